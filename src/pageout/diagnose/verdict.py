# SPDX-License-Identifier: GPL-2.0-or-later
"""Is it the dirty limits at all? Answered from whatever the files hold, with the line that proves it.

Writers are held back only above the freerun ceiling, half-way between the background threshold and the limit: below it
no setting of vm.dirty_* can be what a writer waits for.
Source: Linux v6.1 mm/page-writeback.c:balance_dirty_pages, dirty_freerun_ceiling.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from pageout.diagnose.case import Case
from pageout.diagnose.findings import Evidence
from pageout.diagnose.wait_sites import asleep, has
from pageout.diagnose.words import bytes_text, pages_text, percent
from pageout.readers.facts import Snapshot, TaskStack

DEFAULT_RATIO, DEFAULT_BACKGROUND = 20, 10  # per cent of dirtyable memory
BALANCE = r"balance_dirty_pages(?:_ratelimited\w*)?|throttle_vm_writeout"
KIB = 1024
SURELY_BELOW = 0.5  # of the freerun ceiling: one snapshot is a moment, and levels swing


class Verdict(NamedTuple):
    """`reached`: True, the limits hold writers back; False, they do not; None, nobody can tell."""

    reached: bool | None
    text: str
    evidence: Evidence | None


def verdicts(case: Case) -> Iterator[Verdict]:
    """Yield what each kind of evidence says, the strongest first."""
    yield from _from_traces(case)
    yield from _from_stacks(case)
    yield from _from_vmstat(case)
    yield from _from_meminfo(case)


def dirty_limits(case: Case) -> Verdict:
    """Return the verdict: True if any evidence says so, False if some says no and none says yes."""
    found = list(verdicts(case))
    for wanted in (True, False):
        for verdict in found:
            if verdict.reached is wanted:
                return verdict
    return found[0] if found else Verdict(None, "", None)


def not_the_limits(case: Case) -> tuple[str, ...]:
    """Return what clears the dirty limits, as a finding's `is_not`; empty if nothing does."""
    verdict = dirty_limits(case)
    return (verdict.text,) if verdict.reached is False else ()


def _at(evidence: Evidence) -> str:
    return f"({evidence.file}:{evidence.line})"


def _from_traces(case: Case) -> Iterator[Verdict]:
    import polars as pl

    from pageout.analysis.writeback import df_dirty_throttle
    from pageout.diagnose.trace_words import seconds, total, unnoticed

    for file, events in case.traces():
        checks = df_dirty_throttle.or_none(events)
        if checks is None:
            if "global_dirty_state" in events:
                yield from _from_levels(file, events)
            continue
        pauses = checks.filter(pl.col("asked_ns") > 0)
        first = pauses if len(pauses) else checks
        evidence = Evidence(file, int(first["line"][0]))
        if pauses.is_empty():
            yield Verdict(
                False, f"the dirty limits: balance_dirty_pages never asked for a pause {_at(evidence)}", evidence
            )
        elif unnoticed(pauses, events):
            asked = seconds(total(pauses, "asked_ns"))
            yield Verdict(False, f"the dirty limits: all pauses add up to {asked} {_at(evidence)}", evidence)
        else:
            yield Verdict(True, f"balance_dirty_pages asked for {len(pauses):,} pauses {_at(evidence)}", evidence)


def _from_levels(file: str, events: object) -> Iterator[Verdict]:
    import polars as pl

    from pageout.events.tables import Events

    assert isinstance(events, Events)
    frame = events.frame("global_dirty_state").with_columns(
        level=(pl.col("dirty") + pl.col("writeback")) / ((pl.col("bg_thresh") + pl.col("thresh")) / 2)
    )
    highest = frame.filter(pl.col("level") == pl.col("level").max())
    if highest.is_empty():
        return
    row = highest.row(0, named=True)
    evidence = Evidence(file, row["line"])
    pages = row["dirty"] + row["writeback"]
    ceiling = (row["bg_thresh"] + row["thresh"]) / 2
    said = f"{pages_text(pages)} dirty or under writeback at most, writers are held back from {pages_text(ceiling)} on"
    reached = row["level"] >= 1
    yield Verdict(reached, f"{'' if reached else 'the dirty limits: '}{said} {_at(evidence)}", evidence)


def _from_stacks(case: Case) -> Iterator[Verdict]:
    stacks = list(case.facts(TaskStack))
    for file, stack in stacks:
        frame = has(stack.frames, BALANCE)
        if frame is not None and asleep(stack):
            evidence = Evidence(file, frame.line)
            yield Verdict(True, f"{stack.comm or 'a task'} waits in {frame.function} {_at(evidence)}", evidence)
            return
    waiting = [(file, stack) for file, stack in stacks if asleep(stack)]
    if waiting:
        file, stack = waiting[0]
        evidence = Evidence(file, stack.line)
        count = f"none of the {len(waiting)} tasks waits" if len(waiting) > 1 else "this task does not wait"
        text = f"the dirty limits: {count} in balance_dirty_pages {_at(evidence)}"
        yield Verdict(False, text, evidence)


def _from_vmstat(case: Case) -> Iterator[Verdict]:
    """Compare what is dirty or under writeback with the limits beside it, where it came nearest to them."""
    nearest: tuple[float, Evidence, float, float, float] | None = None
    nr = 0
    for file, one in case.snapshots("vmstat"):
        names = ("nr_dirty", "nr_writeback", "nr_dirty_threshold", "nr_dirty_background_threshold")
        dirty, writeback, limit, background = (one.values.get(name) for name in names)
        if dirty is None or limit is None or limit.number <= 0:
            continue
        nr += 1
        pages = dirty.number + (writeback.number if writeback is not None else 0)
        ceiling = (limit.number + (background.number if background is not None else limit.number / 2)) / 2
        if nearest is None or pages / ceiling > nearest[0]:
            nearest = (pages / ceiling, Evidence(file, dirty.line), pages, limit.number, ceiling)
    if nearest is None:
        return
    _, evidence, pages, limit_pages, ceiling = nearest
    said = f"{pages_text(pages)} of {pages_text(limit_pages)} ({percent(pages, limit_pages)}){' at most' if nr > 1 else ''}"
    if pages < SURELY_BELOW * ceiling:
        yield Verdict(False, f"the dirty limits: dirty and under writeback are {said} {_at(evidence)}", evidence)
    elif pages >= ceiling:
        yield Verdict(True, f"dirty and under writeback are {said} {_at(evidence)}", evidence)


def _from_meminfo(case: Case) -> Iterator[Verdict]:
    """Compare Dirty + Writeback, at its highest, with the limit as settings and available memory make it."""
    known = [(file, one) for file, one in case.snapshots("meminfo") if "Dirty" in one.values]
    last = case.counter("meminfo", "MemAvailable") or case.counter("meminfo", "MemFree")
    if not known or last is None or case.counter("vmstat", "nr_dirty_threshold") is not None:
        return  # vmstat has the limits themselves, and perhaps another moment: where it cannot tell, this may not

    def nbytes(one: Snapshot) -> float:
        return KIB * sum(one.values[name].number for name in ("Dirty", "Writeback") if name in one.values)

    file, one = max(known, key=lambda pair: nbytes(pair[1]))
    beside = one.values.get("MemAvailable") or one.values.get("MemFree")
    limit, stated = dirty_limit(case, KIB * (beside.number if beside is not None else last.number))
    dirty, evidence = nbytes(one), Evidence(file, one.values["Dirty"].line)
    said = f"{bytes_text(dirty)} dirty or under writeback{' at most' if len(known) > 1 else ''}, the limit is "
    said += f"{'' if stated else 'by default '}about {bytes_text(limit)}"
    if dirty < SURELY_BELOW * 0.75 * limit * (1 if stated else 0.5):
        yield Verdict(False, f"the dirty limits: {said} {_at(evidence)}", evidence)
    elif stated and dirty > 0.75 * limit:
        yield Verdict(True, f"{said} {_at(evidence)}", evidence)


def dirty_limit(case: Case, available_bytes: float) -> tuple[float, bool]:
    """Return the dirty limit in bytes, and whether the settings are known."""
    nbytes, ratio = case.sysctl("vm.dirty_bytes"), case.sysctl("vm.dirty_ratio")
    if nbytes is not None and nbytes.number > 0:
        return nbytes.number, True
    if ratio is not None and ratio.number > 0:
        return available_bytes * ratio.number / 100, True
    return available_bytes * DEFAULT_RATIO / 100, False
