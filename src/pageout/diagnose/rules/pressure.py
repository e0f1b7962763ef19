# SPDX-License-Identifier: GPL-2.0-or-later
"""Pressure stall information: what share of the time tasks wait, by resource.

Source: Linux v6.1 Documentation/accounting/psi.rst, kernel/sched/psi.c:psi_show.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from pageout.diagnose.case import Case
from pageout.diagnose.findings import ERROR, HIGH, INFO, MEDIUM, WARNING, Evidence, Finding

STOPPED = 80.0  # per cent of the time nothing runs: work has as good as stopped
WORTH, MUCH, BURST = 5.0, 20.0, 10.0  # per cent: worth a word, slows work; of the last 10 s only
UNNAMED = "a resource the file does not name"
# Sources in the order they are told: full CPUs are no fault by themselves, so they come last.
RESOURCES = {"pressure memory": "memory", "pressure io": "io", "pressure": UNNAMED, "pressure irq": "interrupts", "pressure cpu": "cpu"}  # fmt: skip
_MEANS = {
    "io": "io counts sleeps for disks and at the dirty limit; one task that does nothing but I/O on an idle machine makes it look full, too.",
    "memory": "memory counts reclaim, compaction, refaults and memory.high.",
    "cpu": "cpu counts tasks that could run and have no CPU: a busy machine, not a slow disk.",
    UNNAMED: "The lines of /proc/pressure/memory, io and cpu look alike, and what they mean does not: only the file's name tells.",
}


class _Wait(NamedTuple):
    share: float
    resource: str
    part: str
    place: str
    when: str
    evidence: Evidence

    def text(self) -> str:
        who = "all tasks at once" if self.part == "full" else "some task"
        return f"{self.share:g} % for {self.resource} ({who}{f' of {self.place}' if self.place else ''})"


def _waits(case: Case) -> list[_Wait]:
    told = []
    for source, resource in RESOURCES.items():
        for file, one in case.snapshots(source):
            minute, ten = one.values.get("avg60"), one.values.get("avg10")
            if minute is not None and minute.number >= WORTH:
                value, when = minute, "last minute"
            elif ten is not None and ten.number >= BURST:
                value, when = ten, "last 10 s"
            else:
                continue
            told.append(_Wait(value.number, resource, one.part, one.place, when, Evidence(file, value.line)))
    return sorted(told, key=lambda wait: (wait.resource == "cpu", wait.when == "last 10 s", -wait.share))


def pressure(case: Case) -> Iterator[Finding]:
    """What share of the time tasks wait, by resource."""
    told = _waits(case)
    if not told:
        return
    first = told[0]
    stopped = any(
        wait.resource == "memory" and wait.part == "full" and wait.share >= STOPPED and wait.when == "last minute"
        for wait in told
    )
    severe = max((wait.share for wait in told if wait.resource != "cpu" and wait.when == "last minute"), default=0.0)
    unnamed = any(wait.resource == UNNAMED for wait in told)
    same = [wait for wait in told if wait.when == first.when]
    yield Finding(
        id="pressure",
        severity=ERROR if stopped else WARNING if severe >= MUCH else INFO,
        title=f"tasks waited, of the {first.when}: " + "; ".join(wait.text() for wait in same[: 1 if unnamed else 2]),
        detail=" ".join(_MEANS[name] for name in dict.fromkeys(wait.resource for wait in told) if name in _MEANS),
        confidence=MEDIUM if unnamed else HIGH,
        why="the kernel measures it" + ("; for which resource, the file does not say" if unnamed else ""),
        evidence=tuple(wait.evidence for wait in told),
        unknown=(
            *(("which resource: name the file as /proc names it (memory, io, cpu), or: head /proc/pressure/*",) if unnamed else ()),
            "who stalls, and on what",
        ),
        capture=("blocked", "reclaim", "throttle"),
        weight=first.share / 100,
    )  # fmt: skip


RULES: tuple[Callable[[Case], Iterator[Finding]], ...] = (pressure,)
