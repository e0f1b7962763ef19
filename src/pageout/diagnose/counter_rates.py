# SPDX-License-Identifier: GPL-2.0-or-later
"""Counters that only grow, in two captures: rates where a capture holds two snapshots and their dates.

One snapshot holds totals since boot, and totals of two boots of unknown length are not comparable. Those of one boot
are: what lies between them happened between the captures.
Source: Linux v6.1 mm/vmstat.c:vmstat_text, kernel/sched/psi.c:psi_show.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from pageout.diagnose.case import Case
from pageout.diagnose.findings import Evidence
from pageout.diagnose.pairs import Pair, pair, pairs
from pageout.diagnose.words import pages_text, seconds_text
from pageout.readers.facts import Snapshot

ZONES = ("dma", "dma32", "normal", "high", "movable", "device")
EQUAL, EQUAL_FROM = 2, 10  # counters above this that stand still, from which on two snapshots are of one boot
PREFIXES = ("pg", "ps", "workingset_refault", "workingset_activate", "allocstall", "compact_", "kswapd_", "drop_", "oom_kill",
            "thp_", "slabs_scanned", "nr_dirtied", "nr_written", "numa_hit", "numa_miss", "unevictable_pgs_")  # fmt: skip
FLOWING = "total_us"


class Counter(NamedTuple):
    """A counter of /proc/vmstat that is compared: `worse` as in Measure; `pages`: whether it counts pages."""

    name: str
    worse: int
    floor: float  # a second; less is nothing
    pages: bool = True


COUNTERS = (
    Counter("allocstall", 1, 0.1, pages=False), Counter("pgscan_direct", 1, 10), Counter("pgscan_kswapd", 1, 100),
    Counter("pgsteal_direct", 1, 10), Counter("pgsteal_kswapd", 0, 100), Counter("pgmajfault", 1, 1, pages=False),
    Counter("workingset_refault_file", 1, 10), Counter("workingset_refault_anon", 1, 10),
    Counter("workingset_refault", 1, 10), Counter("pswpin", 1, 1), Counter("pswpout", 1, 1),
    Counter("nr_dirtied", 0, 10), Counter("nr_written", 0, 10), Counter("nr_vmscan_write", 1, 1),
    Counter("nr_throttled_written", 1, 1), Counter("compact_stall", 1, 0.1, pages=False),
    Counter("pgscan_direct_throttle", 1, 0.1, pages=False),
)  # fmt: skip


class Rate(NamedTuple):
    """How fast a counter grew in one capture."""

    name: str
    per_second: float
    unit: str
    worse: int
    floor: float
    evidence: Evidence | None


def _names(both: Pair, name: str) -> tuple[str, ...]:
    """Return the counters a name stands for: itself, or one a zone (before 4.8; allocstall: from 4.10 on)."""
    return (name,) if name in both.last.values else tuple(f"{name}_{zone}" for zone in ZONES)


def rates(case: Case) -> Iterator[Rate]:
    """Yield the rates a capture gives: of /proc/vmstat a second, of pressure as a share of the time."""
    both = pair(case, "vmstat")
    if both is not None and both.seconds:
        for counter in COUNTERS:
            names = _names(both, counter.name)
            grown = both.sum(*names)
            if grown is not None and grown >= 0:
                lines = next((found for name in names if (found := both.lines(name))), ())
                unit = "pages/s" if counter.pages else "1/s"
                evidence = lines[-1] if lines else None
                yield Rate(f"vmstat {counter.name}", grown / both.seconds, unit, counter.worse, counter.floor, evidence)
    for resource in ("memory", "io", "cpu"):
        for two in pairs(case, f"pressure {resource}"):
            grown = two.delta(FLOWING)
            if two.seconds and grown is not None and grown >= 0:
                name = f"pressure {resource} {two.first.part}{f' of {two.first.place}' if two.first.place else ''}, by total"
                yield Rate(name, grown / 1e4 / two.seconds, "%", 1, 1.0, two.lines(FLOWING)[-1])


def has_totals_only(case: Case) -> bool:
    """Whether a capture has counters since boot and no way to make rates of them."""
    both = pair(case, "vmstat")
    return bool(case.snapshots("vmstat")) and (both is None or not both.seconds)


class Between(NamedTuple):
    """What happened between two captures of one boot, in words, and the lines that say so."""

    text: str
    evidence: tuple[Evidence, ...]


def between(before: Case, after: Case) -> Between | None:
    """Return what the counters say happened from the first capture to the second; None unless they are of one boot."""
    first, last = before.snapshots("vmstat"), after.snapshots("vmstat")
    if not first or not last or set(before.files()) & set(after.files()):
        return None
    both = Pair(first[-1][0], first[-1][1], last[0][1], _seconds(before, after), last[0][0])
    if not one_boot(both.first, both.last):
        return None
    told, evidence = [], []
    for counter in COUNTERS:
        names = _names(both, counter.name)
        grown = both.sum(*names)
        if grown:
            told.append(_grown(counter, grown, both.seconds))
            evidence += [line for name in names for line in both.lines(name)][:2]
    span = f" in {seconds_text(both.seconds)}" if both.seconds else ""
    text = f"Both captures are of one boot; between them{span} the counters grew by: {', '.join(told[:8]) or 'nothing'}"
    return Between(text, tuple(evidence[:4]))


def _grown(counter: Counter, grown: float, seconds: float | None) -> str:
    def amount(number: float) -> str:
        return pages_text(number) if counter.pages else f"{number:,.3g}" if number < 100 else f"{number:,.0f}"

    return f"{counter.name} {amount(grown)}" + (f" ({amount(grown / seconds)}/s)" if seconds else "")


def _seconds(before: Case, after: Case) -> float | None:
    """Return the time between two captures that have one snapshot each, by the dates above them."""
    both = pair(Case([*before.inputs, *after.inputs]), "vmstat")
    return both.seconds if both is not None and both.last_file else None


def one_boot(first: Snapshot, last: Snapshot) -> bool:
    """Whether two snapshots of /proc/vmstat are of one machine since one boot, the first before the last.

    No counter went back, and some that are not zero stand still: of two boots hardly any two totals are equal.
    """
    common = [name for name in first.values if name in last.values and name.startswith(PREFIXES)]
    old, new = ([snapshot.values[name].number for name in common] for snapshot in (first, last))
    if any(now < then for then, now in zip(old, new, strict=True)):
        return False
    return sum(then == now >= EQUAL_FROM for then, now in zip(old, new, strict=True)) >= EQUAL
