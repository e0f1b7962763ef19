# SPDX-License-Identifier: GPL-2.0-or-later
"""What happened between the first and the last of many snapshots: `while sleep 1; do date; cat /proc/vmstat; done`.

Source: Linux v6.1 mm/page-writeback.c:balance_dirty_pages, mm/vmstat.c:vmstat_text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from pageout.diagnose.case import Case
from pageout.diagnose.findings import ERROR, HIGH, INFO, MEDIUM, WARNING, Evidence, Finding
from pageout.diagnose.series import Series, Stretch, series, stretches
from pageout.diagnose.verdict import dirty_limit, not_the_limits
from pageout.diagnose.words import bytes_text, counted, pages_text, percent, times

KIB, PAGE = 1024, 4096
MUCH = 64 << 20  # bytes of dirty memory worth a word
STILL_S, STILL_NR = 5.0, 4  # as long as this without a page written is no chance
MANY_STALLS = 100
LOW_MEMORY, AT_EASE = 0.05, 0.15
DRIFT = 64.0  # pages: a counter is summed from those of the CPUs, and may be as much off for as long as they are idle
ZONES = ("", "_dma", "_dma32", "_normal", "_high", "_movable")


@dataclass(frozen=True)
class _Levels:
    """Dirty and under writeback of each snapshot, in bytes, and where writers are slowed."""

    of: Series
    names: tuple[str, str]
    held: list[float]
    under: list[float]
    limit: list[float] | None
    ceiling: list[float] | None

    @property
    def peak(self) -> int:
        """Where most was dirty or under writeback."""
        return max(range(len(self.held)), key=self.held.__getitem__)


def _levels(case: Case) -> Iterator[_Levels]:
    for one in series(case, "vmstat"):
        dirty, under = one.column("nr_dirty"), one.column("nr_writeback")
        limit, low = one.column("nr_dirty_threshold"), one.column("nr_dirty_background_threshold")
        if dirty is None or under is None:
            continue
        known = limit is not None and low is not None and min(limit) > 0
        yield _Levels(
            one,
            ("nr_dirty", "nr_writeback"),
            [PAGE * (x + y) for x, y in zip(dirty, under, strict=True)],
            [PAGE * y for y in under],
            [PAGE * x for x in limit] if known and limit else None,
            [PAGE * (x + y) / 2 for x, y in zip(limit, low, strict=True)] if known and limit and low else None,
        )
    for one in series(case, "meminfo"):
        dirty, under = one.column("Dirty"), one.column("Writeback")
        left = one.column("MemAvailable")
        if dirty is None:
            continue
        under = under or [0.0] * len(dirty)
        limits = [dirty_limit(case, KIB * x) for x in left] if left else []
        stated = bool(limits) and limits[0][1]
        yield _Levels(
            one,
            ("Dirty", "Writeback"),
            [KIB * (x + y) for x, y in zip(dirty, under, strict=True)],
            [KIB * y for y in under],
            [x for x, _ in limits] if stated else None,
            [0.75 * x for x, _ in limits] if stated else None,
        )


def held_back(case: Case) -> Iterator[Finding]:
    """Dirty memory was where writers are slowed, at least for a while."""
    for one in _levels(case):
        if one.ceiling is None or one.limit is None:
            continue
        above = [x >= y for x, y in zip(one.held, one.ceiling, strict=True)]
        if not any(above):
            continue
        longest = max(stretches(above), key=lambda stretch: stretch.last - stretch.first)
        fill = [x / max(y, 1.0) for x, y in zip(one.held, one.limit, strict=True)]
        nr, worst = sum(above), max(range(len(fill)), key=fill.__getitem__)
        yield Finding(
            id="dirty-level-high-at-times",
            severity=WARNING,
            title=f"dirty memory was where writers are slowed in {nr} of {len(above)} snapshots: "
            f"{bytes_text(one.held[worst])} at most, the limit is {bytes_text(one.limit[worst])}",
            detail=f"Half-way from the background threshold to the limit ({bytes_text(one.ceiling[worst])}) every writer begins to sleep in "
            f"balance_dirty_pages, whichever device it writes to. Longest without a break: {one.of.span(longest)}. {_fall(one)}",
            confidence=MEDIUM,
            why="levels of many moments; that tasks slept for them takes a stack or a trace",
            evidence=_once(
                one.of.lines(worst, *one.names, "nr_dirty_threshold", "nr_dirty_background_threshold")
                + one.of.lines(longest.first, one.names[0]) + one.of.lines(longest.last, one.names[0])
            ),
            unknown=("which device holds it: bdi stats in debugfs, /proc/diskstats", "who writes"),
            capture=("throttle", "device"),
            advice=("raising the limit only moves the wall, and makes the next sync longer; a slow device can be capped: /sys/class/bdi/MAJ:MIN/max_ratio",),
            weight=fill[worst],
            covers=("dirty-level-high", "dirty-over-time", "drain-time"),
        )  # fmt: skip
        return


def _once(lines: tuple[Evidence, ...]) -> tuple[Evidence, ...]:
    return tuple(dict.fromkeys(lines))


def _fall(one: _Levels) -> str:
    """Say how fast the level fell from its highest to its lowest after it."""
    peak = one.peak
    low = min(range(peak, len(one.held)), key=one.held.__getitem__)
    fell = one.held[peak] - one.held[low]
    if fell < 0.5 * one.held[peak]:
        return "It had not fallen by half when the file ends."
    length = one.of.length(Stretch(peak, low))
    per = (
        f"{bytes_text(fell / length)}/s"
        if length
        else f"{bytes_text(fell / (low - peak))} from one snapshot to the next"
    )
    return f"From its highest it fell to {bytes_text(one.held[low])}, by {per}."  # fmt: skip


def over_time(case: Case) -> Iterator[Finding]:
    """How dirty memory moved, where it is not known to have met a limit."""
    for one in _levels(case):
        peak, lowest = one.peak, min(one.held)
        if one.held[peak] < MUCH or one.held[peak] < 2 * lowest:
            continue
        rising = Stretch(min(range(peak + 1), key=one.held.__getitem__), peak)
        idle = max(one.under[rising.first : peak + 1]) == 0 and rising.first < peak
        below = one.ceiling is not None
        yield Finding(
            id="dirty-over-time",
            severity=INFO,
            title=f"dirty memory moved between {bytes_text(lowest)} and {bytes_text(one.held[peak])}; "
            f"{bytes_text(max(one.under))} at most was under writeback at once",
            detail=f"{counted(len(one.of), 'snapshot')}. It rose for {one.of.span(rising)}. {_fall(one)}"
            + (" Nothing was under writeback while it rose: writers were faster than anybody asked for it to be written." if idle else "")
            + ("" if below else " Whether that is near the limit the file does not say: nr_dirty_threshold of /proc/vmstat does."),
            confidence=HIGH if below else MEDIUM,
            why="levels of many moments",
            evidence=_once(
                one.of.lines(peak, *one.names) + one.of.lines(rising.first, *one.names) + one.of.lines(len(one.of) - 1, *one.names)
            ),
            is_not=not_the_limits(case),
            unknown=("who writes, and who waits", *(() if below else ("the limits that held then: sysctl vm | grep dirty",))),
            capture=("throttle", "device"),
            weight=one.held[peak] / (1 << 40),
        )  # fmt: skip
        return


def stood_still(case: Case) -> Iterator[Finding]:
    """Pages were under writeback, and for a while none was written."""
    for one in series(case, "vmstat"):
        written, under = one.column("nr_written"), one.column("nr_writeback")
        dirty = one.column("nr_dirty")
        if written is None or under is None:
            continue
        still = [
            now == then and min(one_under, next_under) >= DRIFT
            for (then, now), (one_under, next_under) in zip(pairwise(written), pairwise(under), strict=True)
        ]
        found = [Stretch(stretch.first, stretch.last + 1) for stretch in stretches(still)]
        if not found:
            continue
        longest = max(found, key=lambda stretch: one.length(stretch) or float(stretch.last - stretch.first))
        length, nr = one.length(longest), longest.last - longest.first + 1
        if nr == len(one) or (length < STILL_S if length is not None else nr < STILL_NR):
            continue
        waiting = PAGE * (under[longest.last] + (dirty[longest.last] if dirty else 0.0))
        yield Finding(
            id="writeback-stood-still",
            severity=ERROR,
            title=f"nothing was written for {one.span(longest)} while {bytes_text(waiting)} waited dirty or under writeback",
            detail=f"nr_written stands still with {pages_text(under[longest.last])} under writeback: a device, its driver or a server completed no request. "
            "Before and after, pages were written.",
            confidence=HIGH if length is not None else MEDIUM,
            why=f"{nr} snapshots agree" + ("" if length is not None else "; how far apart they are the file does not say"),
            evidence=one.lines(longest.first, "nr_written", "nr_writeback") + one.lines(longest.last, "nr_written", "nr_writeback", "nr_dirty"),
            is_not=("the dirty limits: whatever they are, nothing got clean",),
            unknown=("which device: its in-flight requests in /proc/diskstats say", "whether it reported an error: the kernel log does"),
            capture=("log", "counters", "blocked"),
            weight=length or nr,
        )  # fmt: skip
        return


def bursts(case: Case) -> Iterator[Finding]:
    """Tasks reclaimed for themselves, nearly all of it in a part of the time."""
    for one in series(case, "vmstat"):
        stalls = one.total(*(f"allocstall{zone}" for zone in ZONES))
        direct = one.total(*(f"pgsteal_direct{zone}" for zone in ZONES))
        kswapd = one.total(*(f"pgsteal_kswapd{zone}" for zone in ZONES))
        if stalls is None or direct is None or kswapd is None:
            continue
        grown = [max(0.0, now - then) for then, now in pairwise(stalls)]
        busy = [number > 0 for number in grown]
        every = sum(grown)
        if every < MANY_STALLS:
            continue
        burst = max(stretches(busy), key=lambda stretch: sum(grown[stretch.first : stretch.last + 1]))
        whole = Stretch(burst.first, burst.last + 1)
        inside = sum(grown[burst.first : burst.last + 1])
        by_tasks = direct[whole.last] - direct[whole.first]
        by_all = by_tasks + kswapd[whole.last] - kswapd[whole.first]
        if inside < 0.8 * every or 2 * (whole.last - whole.first) > len(grown) or by_tasks < 0.2 * by_all:
            continue
        yield Finding(
            id="direct-reclaim-burst",
            severity=WARNING,
            title=f"tasks reclaimed for themselves {times(int(inside))} within {one.span(whole)}: "
            f"{percent(by_tasks, by_all)} of what was reclaimed then",
            detail=f"{percent(inside, every)} of all such stalls in this file. {pages_text(by_tasks)} by tasks, {pages_text(by_all - by_tasks)} by kswapd, "
            "which should do nearly all of it.",
            confidence=MEDIUM,
            why="differences of the kernel's counters; how long each task stalled they do not say",
            evidence=tuple(line for at in whole for line in one.lines(at, *(f"{name}{zone}" for name in ("allocstall", "pgsteal_direct") for zone in ZONES)))[:6],
            unknown=("how long each stalled, for which order", "who asked for so much memory at that moment"),
            capture=("reclaim", "slab"),
            advice=("raise vm.watermark_scale_factor (10 to 100 or 200): kswapd starts earlier; the price is free memory kept idle",),
            weight=inside / 1e5,
            covers=("direct-reclaim-now", "direct-reclaim-dominates"),
        )  # fmt: skip
        return


def low_for_a_while(case: Case) -> Iterator[Finding]:
    """Memory ran low and was there again at the end."""
    for one in series(case, "meminfo"):
        left, whole = one.column("MemAvailable"), one.column("MemTotal")
        if left is None or whole is None or min(whole) <= 0:
            continue
        share = [x / y for x, y in zip(left, whole, strict=True)]
        low = [x < LOW_MEMORY for x in share]
        if not any(low) or share[-1] < AT_EASE:
            continue
        worst = min(range(len(share)), key=share.__getitem__)
        longest = max(stretches(low), key=lambda stretch: stretch.last - stretch.first)
        yield Finding(
            id="memory-low-for-a-while",
            severity=WARNING,
            title=f"memory ran low for {one.span(longest)}: {bytes_text(KIB * left[worst])} of {bytes_text(KIB * whole[worst])} could be had",
            detail=f"At the end it is {bytes_text(KIB * left[-1])} again: the snapshot that matters is the one at its lowest.",
            confidence=MEDIUM,
            why="levels of many moments",
            evidence=one.lines(worst, "MemAvailable", "MemFree", "AnonPages", "Slab", "Shmem") + one.lines(len(one) - 1, "MemAvailable"),
            unknown=("who held it: the largest processes at that moment", "who stalled for it"),
            capture=("counters", "reclaim"),
            weight=1 - share[worst],
            covers=("memory-at-ease", "memory-level"),
        )  # fmt: skip
        return


RULES: tuple[Callable[[Case], Iterator[Finding]], ...] = (held_back, over_time, stood_still, bursts, low_for_a_while)
