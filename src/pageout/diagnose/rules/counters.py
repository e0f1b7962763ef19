# SPDX-License-Identifier: GPL-2.0-or-later
"""What counters of /proc say: totals since boot, levels at one moment, differences between two.

Source: Linux v6.1 mm/vmstat.c:vmstat_text, mm/vmscan.c, fs/proc/meminfo.c.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from pageout.diagnose.case import Case, Said
from pageout.diagnose.findings import ERROR, HIGH, INFO, LOW, MEDIUM, WARNING, Evidence, Finding
from pageout.diagnose.pairs import Pair, pair
from pageout.diagnose.verdict import not_the_limits
from pageout.diagnose.words import bytes_text, pages_text, percent

KIB = 1024
MANY_STALLS = 1000  # direct reclaims since boot that are worth a word
MUCH_DIRECT = 0.2  # of all pages reclaimed: healthy machines have next to none
POOR_YIELD = 0.3  # reclaimed of scanned; healthy is above 0.8
BLOCK_ORDER = 9  # of a huge page of 2 MiB


def _sum(case: Case, *names: str) -> tuple[float, list[Said]]:
    """Return the sum of counters of /proc/vmstat and those that are there; old kernels have one a zone."""
    said = [one for name in names for one in _named(case, name)]
    return sum(one.number for one in said), said


def _named(case: Case, name: str) -> list[Said]:
    whole = case.counter("vmstat", name)
    if whole is not None:
        return [whole]
    parts = (case.counter("vmstat", f"{name}_{zone}") for zone in ("dma", "dma32", "normal", "high", "movable"))
    return [one for one in parts if one is not None]


# --- /proc/vmstat ---


def direct_reclaim(case: Case) -> Iterator[Finding]:
    """Tasks reclaim for themselves what kswapd should have reclaimed ahead of them."""
    direct, direct_said = _sum(case, "pgsteal_direct")
    kswapd, kswapd_said = _sum(case, "pgsteal_kswapd")
    stalls, stall_said = _sum(case, "allocstall")
    if not direct_said or not kswapd_said or stalls < MANY_STALLS:
        return
    share = direct / max(direct + kswapd, 1)
    if share < MUCH_DIRECT:
        return
    yield Finding(
        id="direct-reclaim-dominates",
        severity=WARNING,
        title=f"{percent(direct, direct + kswapd)} of all pages reclaimed since boot were reclaimed by the tasks themselves",
        detail=(
            f"Since boot tasks stalled {stalls:,.0f} times to reclaim for their own allocations: {pages_text(direct)} by "
            f"them, {pages_text(kswapd)} by kswapd, which should have done nearly all of it. {_yield(case)}"
        ).strip(),
        confidence=HIGH,
        why="the kernel counts both; they are totals since boot, not what happens now",
        evidence=tuple(one.evidence for one in (*direct_said, *kswapd_said, *stall_said)),
        is_not=not_the_limits(case),
        unknown=(
            "when it happened, and for how long each task stalled",
            "what kswapd did instead: slept, worked for another zone, or stood in a shrinker",
            "whether a cgroup's limit is involved: its reclaim is counted in some of these too",
        ),
        capture=("reclaim", "counters", "slab"),
        advice=(
            "raise vm.watermark_scale_factor (10 to 100 or 200): kswapd starts earlier; the price is free memory kept idle",
        ),
        weight=stalls / 1e6 + share,
    )


def _yield(case: Case) -> str:
    scanned, _ = _sum(case, "pgscan_direct", "pgscan_kswapd")
    stolen, _ = _sum(case, "pgsteal_direct", "pgsteal_kswapd")
    return f"Of what was scanned, {percent(stolen, scanned)} could be reclaimed." if scanned else ""


def poor_yield(case: Case) -> Iterator[Finding]:
    """Reclaim scans much and finds little."""
    both = pair(case, "vmstat")
    scanned, said = _sum(case, "pgscan_kswapd", "pgscan_direct")
    stolen, stolen_said = _sum(case, "pgsteal_kswapd", "pgsteal_direct")
    when = "since boot"
    if both is not None:
        deltas = [both.delta(name) for name in ("pgscan_kswapd", "pgscan_direct", "pgsteal_kswapd", "pgsteal_direct")]
        if None not in deltas:
            numbers = [delta for delta in deltas if delta is not None]
            scanned, stolen, when = numbers[0] + numbers[1], numbers[2] + numbers[3], "between the two snapshots"
    if not said or not stolen_said or scanned < 1e6 or stolen > POOR_YIELD * scanned:
        return
    yield Finding(
        id="reclaim-finds-little",
        severity=WARNING,
        title=f"reclaim scans far more than it can free: {percent(stolen, scanned)} of {scanned:,.0f} pages",
        detail=f"Counted {when}. Pages in use, dirty, under writeback or mapped are looked at again and again.",
        confidence=MEDIUM,
        why="both counters are the kernel's own; what the pages were, they do not say",
        evidence=tuple(one.evidence for one in (*said, *stolen_said)),
        is_not=not_the_limits(case),
        unknown=("why the scanned pages could not be reclaimed",),
        capture=("reclaim", "counters"),
        weight=1 - stolen / scanned,
    )


def compaction(case: Case) -> Iterator[Finding]:
    """Allocations of high order stall for compaction, and mostly in vain."""
    stalls, failed = case.counter("vmstat", "compact_stall"), case.counter("vmstat", "compact_fail")
    if stalls is None or failed is None or stalls.number < MANY_STALLS or failed.number < 0.5 * stalls.number:
        return
    yield Finding(
        id="compaction-fails",
        severity=WARNING,
        title=f"{stalls.number:,.0f} allocations stalled to compact memory, {percent(failed.number, stalls.number)} in vain",
        detail="Tasks ask for contiguous pages (huge pages, network buffers) that fragmented memory does not have.",
        confidence=MEDIUM,
        why="totals since boot",
        evidence=(stalls.evidence, failed.evidence),
        unknown=("which allocations, of which order, and how long they stall",),
        capture=("compaction",),
        advice=("transparent_hugepage/defrag = madvise or defer: tasks no longer compact for themselves",),
        weight=failed.number / 1e6,
    )


# --- /proc/meminfo ---


def under_writeback(case: Case) -> Iterator[Finding]:
    """Much is dirty or under writeback: does it move?"""
    dirty, writeback = case.counter("meminfo", "Dirty"), case.counter("meminfo", "Writeback")
    free, total = case.counter("meminfo", "MemFree"), case.counter("meminfo", "MemTotal")
    if dirty is None or writeback is None or total is None:
        return
    both = pair(case, "meminfo")
    if both is not None and writeback.number > 1024 and both.delta("Writeback") == 0 and not _written(case):
        yield _stuck(case, both, dirty, writeback)
        return
    if writeback.number < 64 * 1024 or dirty.number < 1 << 20:
        return
    short = free is not None and free.number < 0.05 * total.number
    yield Finding(
        id="writeback-pending",
        severity=WARNING,
        title=f"{bytes_text(dirty.number * KIB)} are dirty and {bytes_text(writeback.number * KIB)} under writeback: "
        "whether it moves, one snapshot cannot say",
        detail=(
            "Look again some seconds later. If Writeback stays the same to the kilobyte, the device completes nothing: "
            "then tasks wait for hardware or its driver, and no memory setting helps. If it falls, (Dirty + Writeback) "
            "over its fall a second is the time left."
        ),
        confidence=LOW,
        why="a level at one moment",
        evidence=(dirty.evidence, writeback.evidence, *((free.evidence,) if free is not None and not short else ())),
        is_not=not_the_limits(case)
        + (
            (
                f"a shortage of memory: {bytes_text(free.number * KIB)} are free ({free.evidence.file}:{free.evidence.line})",
            )
            if free is not None and not short
            else ()
        ),
        unknown=("whether writeback makes progress, and on which device", "what the waiting tasks wait for"),
        capture=("counters", "blocked", "device"),
        weight=dirty.number / total.number,
    )


def _written(case: Case) -> bool:
    """Whether counters beside it say that pages were written between two snapshots: then the level only looks the same."""
    both = pair(case, "vmstat")
    return both is not None and (both.delta("nr_written") or 0.0) > 0


def _stuck(case: Case, both: Pair, dirty: Said, writeback: Said) -> Finding:
    return Finding(
        id="writeback-stuck",
        severity=ERROR,
        title=f"{bytes_text(writeback.number * KIB)} are under writeback and do not move between two snapshots",
        detail=(
            f"{bytes_text(dirty.number * KIB)} more are dirty behind it. Writeback that stays the same to the kilobyte "
            "means requests that are not completed: a device, driver or server that does not answer."
        ),
        confidence=MEDIUM,
        why="two snapshots agree; the time between them is not in the file",
        evidence=both.lines("Writeback") + (dirty.evidence,),
        is_not=("the dirty limits: whatever they are, nothing gets clean",),
        unknown=("which device; its in-flight requests in /proc/diskstats say",),
        capture=("counters", "log", "blocked"),
        weight=10,
    )


# --- fragmentation ---


def fragmentation(case: Case) -> Iterator[Finding]:
    """No free block of the size of a huge page is left in the zone most memory comes from."""
    rows = [(file, one) for file, one in case.snapshots("buddyinfo") if one.free_by_order]
    normal = [(file, one) for file, one in rows if "Normal" in one.part] or rows[-1:]
    for file, one in normal[-1:]:
        blocks = one.free_by_order
        largest = max((order for order, count in enumerate(blocks) if count > 0), default=-1)
        free = sum(count << order for order, count in enumerate(blocks))
        if largest >= BLOCK_ORDER or free < 256:
            continue
        yield Finding(
            id="fragmented",
            severity=INFO,
            title=f"{one.part or 'memory'}: {pages_text(free)} are free, the largest block is order {largest}",
            detail=f"An allocation of order {largest + 1} or more has to compact first or fails; order 0 is not affected.",
            confidence=HIGH,
            why="the counts of free blocks stand there; whether anybody asks for larger ones does not",
            evidence=(Evidence(file, one.line),),
            unknown=("whether anything allocates such orders, and stalls for it",),
            capture=("compaction",),
            weight=0.1,
        )


RULES: tuple[Callable[[Case], Iterator[Finding]], ...] = (
    direct_reclaim, poor_yield, compaction, under_writeback, fragmentation,
)  # fmt: skip
