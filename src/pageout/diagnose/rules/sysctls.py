# SPDX-License-Identifier: GPL-2.0-or-later
"""Settings that contradict themselves, or say what nobody means.

Source: Linux v6.1 mm/page-writeback.c:dirty_bytes_handler, dirty_background_ratio_handler, domain_dirty_limits;
Documentation/admin-guide/sysctl/vm.rst.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

from pageout.diagnose.case import Case, Said
from pageout.diagnose.findings import HIGH, INFO, MEDIUM, WARNING, Evidence, Finding
from pageout.diagnose.verdict import DEFAULT_BACKGROUND
from pageout.diagnose.words import bytes_text, seconds_text
from pageout.readers.facts import Sysctl

PAGE = 4096
LATE_CENTISECS = 6000  # a minute; both default to half of that or less
SMALL_BYTES = 1 << 20  # a limit below: a percentage or MiB written where bytes stand
TIMES = "vm.dirty_expire_centisecs", "vm.dirty_writeback_centisecs"


class Block(NamedTuple):
    """Settings stated together: a name that comes again begins another block."""

    file: str
    values: Mapping[str, Said]

    def get(self, name: str) -> Said | None:
        """Return a setting that is stated and not zero (bytes and ratio each say 0 when the other counts)."""
        said = self.values.get(f"vm.{name}")
        return said if said is not None and said.number > 0 else None

    def lines(self, *names: str) -> tuple[Evidence, ...]:
        """Return the lines of some of the settings."""
        found = (self.values.get(f"vm.{name}") for name in names)
        return tuple(said.evidence for said in found if said is not None)


def blocks(case: Case, told: bool = True) -> list[Block]:
    """Return the settings of all files, block by block; `told`: those a sentence tells of, too."""
    found: list[Block] = []
    values: dict[str, Said] = {}
    previous = ""
    for file, fact in case.facts(Sysctl):
        if fact.number is None or not fact.name.startswith("vm.") or (fact.how == "said" and not told):
            continue
        if file != previous or fact.name in values:
            values = {}
            found.append(Block(file, values))
            previous = file
        values[fact.name] = Said(fact.number, Evidence(file, fact.line))
    return found


def contradictions(case: Case) -> Iterator[Finding]:
    """Settings of one block that cannot all hold."""
    for block in blocks(case, told=False):
        yield from _both(block, "dirty_bytes", "dirty_ratio")
        yield from _both(block, "dirty_background_bytes", "dirty_background_ratio")
        yield from _background_above(block, "dirty_bytes", "dirty_background_bytes")
        yield from _background_above(block, "dirty_ratio", "dirty_background_ratio")
        yield from _background_unsaid(block)


def _both(block: Block, one: str, other: str) -> Iterator[Finding]:
    first, second = block.get(one), block.get(other)
    if first is None or second is None:
        return
    wins = one if first.evidence.line > second.evidence.line else other
    yield Finding(
        id="sysctl-bytes-and-ratio",
        severity=WARNING,
        title=f"vm.{one} and vm.{other} are both set: only one of them can hold",
        detail=(
            f"Writing one of the two sets the other to 0. Applied in this order, vm.{wins} is what remains "
            "and the other line does nothing."
        ),
        confidence=HIGH,
        why="the kernel's handlers clear the counterpart; a running kernel never shows both",
        evidence=(first.evidence, second.evidence),
        advice=(f"keep one of the two lines, and remove vm.{one if wins == other else other}",),
    )


def _background_unsaid(block: Block) -> Iterator[Finding]:
    """A limit at or below the background threshold the kernel comes with, which nobody sets beside it."""
    high = block.get("dirty_ratio")
    unsaid = all(f"vm.{name}" not in block.values for name in ("dirty_background_ratio", "dirty_background_bytes"))
    if high is None or not unsaid or high.number > DEFAULT_BACKGROUND:
        return
    yield Finding(
        id="sysctl-background-above-limit",
        severity=WARNING,
        title=f"vm.dirty_ratio ({high.number:g}) is not above the background threshold the kernel comes with ({DEFAULT_BACKGROUND})",
        detail=(
            "The background threshold is not set beside it. If it is still the kernel's own, the kernel takes half of the limit instead, "
            "without a word."
        ),
        confidence=MEDIUM,
        why="vm.dirty_background_ratio is 10 unless something sets it, and it is not in this block",
        evidence=(high.evidence,),
        advice=(f"set vm.dirty_background_ratio too: {max(1, int(high.number // 2))} or less",),
    )


def _background_above(block: Block, limit: str, background: str) -> Iterator[Finding]:
    high, low = block.get(limit), block.get(background)
    if high is None or low is None or low.number < high.number:
        return
    yield Finding(
        id="sysctl-background-above-limit",
        severity=WARNING,
        title=f"vm.{background} ({low.number:,.0f}) is not below vm.{limit} ({high.number:,.0f})",
        detail=(
            "The kernel then takes half of the limit as the background threshold, without a word: what was asked for "
            "is not what happens."
        ),
        confidence=HIGH,
        why="domain_dirty_limits() does so whenever the background threshold is not below the limit",
        evidence=(low.evidence, high.evidence),
        advice=(f"set vm.{background} to a half of vm.{limit} or less",),
    )


def absurd(case: Case) -> Iterator[Finding]:
    """Numbers in the wrong unit or out of range."""
    for block in blocks(case, told=False):
        for name in ("dirty_bytes", "dirty_background_bytes"):
            said = block.get(name)
            if said is not None and said.number < SMALL_BYTES:
                yield _small(name, said)
            if said is not None and (ram := case.counter("meminfo", "MemTotal")) and said.number > ram.number * 1024:
                yield _larger_than_ram(name, said, ram)
        for name in ("dirty_ratio", "dirty_background_ratio"):
            said = block.get(name)
            if said is not None and said.number > 100:
                yield absurd_value(name, said, f"{said.number:,.0f} is no percentage: the kernel refuses it (0 to 100)")
        yield from _timers(block)


def absurd_value(name: str, said: Said, what: str, *advice: str) -> Finding:
    """Return the finding of one number that is out of place."""
    return Finding(
        id="sysctl-absurd",
        severity=WARNING,
        title=f"vm.{name} = {said.number:,.0f}: {what}",
        confidence=HIGH,
        why="the number stands there",
        evidence=(said.evidence,),
        advice=advice,
    )


def _small(name: str, said: Said) -> Finding:
    if said.number < 2 * PAGE and name == "dirty_bytes":  # of the background threshold it takes any
        what = "below two pages: the setting is refused, and the old one stays"
    else:
        wait = (
            "nearly every write would wait for the device" if name == "dirty_bytes" else "the flusher would never rest"
        )
        what = f"{bytes_text(said.number)}: {wait}"
    return absurd_value(
        name, said, what, f"vm.{name} counts bytes: for {said.number:,.0f} MiB write {int(said.number) << 20}",
        f"for a percentage use vm.{name.replace('bytes', 'ratio')}",
    )  # fmt: skip


def _larger_than_ram(name: str, said: Said, ram: Said) -> Finding:
    memory = bytes_text(ram.number * 1024)
    what = f"{bytes_text(said.number)} is more than the machine's memory ({memory}): it limits nothing"
    found = absurd_value(name, said, what, "a second or two of the slowest disk's bandwidth is a usual limit")
    return replace(found, evidence=(said.evidence, ram.evidence))


def _timers(block: Block) -> Iterator[Finding]:
    expire, wakeup = (block.values.get(name) for name in TIMES)
    if wakeup is not None and wakeup.number == 0:
        yield Finding(
            id="sysctl-no-periodic-writeback",
            severity=WARNING,
            title="vm.dirty_writeback_centisecs = 0: nothing is written by age",
            detail="Dirty pages stay until the background threshold, a sync or reclaim: a power cut loses all of them.",
            confidence=HIGH,
            why="0 switches the periodic flusher off",
            evidence=(wakeup.evidence,),
            advice=("the kernel's own value is 500 (5 s)",),
        )
    elif wakeup is not None and wakeup.number > LATE_CENTISECS:
        yield _late("dirty_writeback_centisecs", wakeup, "the flusher looks for old pages")
    elif expire is not None and expire.number > LATE_CENTISECS:
        yield _late("dirty_expire_centisecs", expire, "a page counts as old")
    elif expire is not None and wakeup is not None and 0 < expire.number < wakeup.number:
        yield Finding(
            id="sysctl-expire-below-wakeup",
            severity=INFO,
            title="dirty pages are to expire sooner than the flusher wakes to look",
            detail=(
                f"Expiry after {expire.number / 100:g} s, a look every {wakeup.number / 100:g} s: the age that holds "
                f"is up to {(expire.number + wakeup.number) / 100:g} s."
            ),
            confidence=HIGH,
            why="expiry is only looked at when the flusher wakes",
            evidence=(expire.evidence, wakeup.evidence),
        )


def _late(name: str, said: Said, what: str) -> Finding:
    return Finding(
        id="sysctl-late-writeback",
        severity=WARNING,
        title=f"vm.{name} = {said.number:,.0f}: only after {seconds_text(said.number / 100)} {what}",
        detail=(
            "Until then nothing is written by age: only the background threshold, a sync or reclaim starts writing. A power cut loses all "
            "that was written since, and when writing starts there is much of it at once."
        ),
        confidence=HIGH,
        why="the number is in hundredths of a second; the kernel's own are 500 (5 s) and 3000 (30 s)",
        evidence=(said.evidence,),
        advice=(
            f"vm.{name} = {500 if 'writeback' in name else 3000}, unless losing that much is meant (laptops saving power)",
        ),
    )


def changed(case: Case) -> Iterator[Finding]:
    """Two sets of dirty limits in what was given: tried one after the other, most likely."""
    limits = [(block, _limit(block)) for block in blocks(case)]
    stated = [(block, limit) for block, limit in limits if limit is not None]
    if len({limit for _, limit in stated}) < 2:
        return
    (first, before), (last, after) = stated[0], stated[-1]
    names = ("dirty_bytes", "dirty_ratio", "dirty_background_bytes", "dirty_background_ratio")
    yield Finding(
        id="sysctl-two-sets",
        severity=INFO,
        title=f"two sets of dirty limits are stated: {before}, then {after}",
        detail="If the trouble was the same under both, the dirty limits are not its cause: look for another wait.",
        confidence=MEDIUM,
        why="the files state both; whether the trouble changed, they do not say",
        evidence=(*first.lines(*names), *last.lines(*names)),
        unknown=("whether the stall was the same under both sets",),
        capture=("blocked", "throttle", "reclaim"),
    )


def _limit(block: Block) -> str | None:
    for name, unit in (("dirty_bytes", "bytes"), ("dirty_ratio", "ratio")):
        said, low = block.get(name), block.get(name.replace("dirty_", "dirty_background_"))
        if said is not None:
            both = (low.number if low is not None else None, said.number)
            shown = [("?" if n is None else f"{n:g}" if unit == "ratio" else bytes_text(n)) for n in both]
            return f"{shown[0]} / {shown[1]}" + (" % of memory" if unit == "ratio" else "")
    return None


RULES: tuple[Callable[[Case], Iterator[Finding]], ...] = (contradictions, absurd, changed)
