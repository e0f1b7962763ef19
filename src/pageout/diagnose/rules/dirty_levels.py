# SPDX-License-Identifier: GPL-2.0-or-later
"""How near dirty memory is to its limits, by counters: of the machine, and of one device.

Source: Linux v6.1 mm/page-writeback.c:balance_dirty_pages, mm/backing-dev.c:bdi_debug_stats_show.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from pageout.diagnose.case import Case
from pageout.diagnose.findings import INFO, MEDIUM, WARNING, Evidence, Finding
from pageout.diagnose.pairs import pair
from pageout.diagnose.words import bytes_text, pages_text, percent, seconds_text

KIB = 1024
LONG_DRAIN_S = 20.0


def machine(case: Case) -> Iterator[Finding]:
    """Dirty and writeback are where writers are slowed."""
    dirty, limit = case.counter("vmstat", "nr_dirty"), case.counter("vmstat", "nr_dirty_threshold")
    low, under = case.counter("vmstat", "nr_dirty_background_threshold"), case.counter("vmstat", "nr_writeback")
    if dirty is None or limit is None or low is None or limit.number <= 0:
        return
    pages = dirty.number + (under.number if under is not None else 0.0)
    ceiling = (limit.number + low.number) / 2
    if pages < ceiling:
        return
    yield Finding(
        id="dirty-level-high",
        severity=WARNING,
        title=f"dirty memory is where writers are slowed: {pages_text(pages)}, the limit is {pages_text(limit.number)}",
        detail=(
            f"From {pages_text(ceiling)} on (half-way from the background threshold to the limit) every writer sleeps in balance_dirty_pages, "
            "whichever device it writes to. More was written than the devices took until now; or one of them hardly takes anything and holds most of it."
        ),
        confidence=MEDIUM,
        why="a level at one moment; that tasks sleep for it takes a stack or a trace",
        evidence=tuple(one.evidence for one in (dirty, under, limit, low) if one is not None),
        unknown=("which device holds it: bdi stats in debugfs, /proc/diskstats", "how fast it is written: a second snapshot with its time"),
        capture=("throttle", "device", "counters"),
        advice=("raising the limit only moves the wall, and makes the next sync longer; a slow device can be capped: /sys/class/bdi/MAJ:MIN/max_ratio",),
        weight=pages / limit.number,
    )  # fmt: skip


def devices(case: Case) -> Iterator[Finding]:
    """What one device still has to write, over the bandwidth the kernel measured for it."""
    last = {(file, one.part): one for file, one in case.snapshots("bdi stats")}
    for (file, part), one in last.items():
        level, speed = one.values.get("BdiWriteback"), one.values.get("BdiWriteBandwidth")
        dirty, limit = one.values.get("BdiReclaimable"), one.values.get("BdiDirtyThresh")
        if level is None or dirty is None or speed is None or speed.number <= 0:
            continue
        left = level.number + dirty.number
        needed = left / speed.number
        if left < 64 * KIB or needed < 2:
            continue
        name = f"device {part}" if part else "the device"
        share = (
            f", {percent(left, limit.number)} of its share of the limit" if limit is not None and limit.number else ""
        )
        one_s = max(1, round(speed.number / KIB)) << 20
        slow = needed > LONG_DRAIN_S
        yield Finding(
            id="bdi-drain-time",
            severity=WARNING if slow else INFO,
            title=f"{name} has {bytes_text(left * KIB)} to write at {bytes_text(speed.number * KIB)}/s: a sync takes about {seconds_text(needed)}",
            detail=f"Dirty {bytes_text(dirty.number * KIB)}, under writeback {bytes_text(level.number * KIB)}{share}. A power cut loses up to that much.",
            confidence=MEDIUM,
            why="the kernel's own estimate of the bandwidth, which lags by seconds",
            evidence=tuple(Evidence(file, value.line) for value in (level, dirty, speed, limit) if value is not None),
            unknown=("what else is written meanwhile",),
            capture=("throttle", "device"),
            advice=(
                (f"for shorter syncs: vm.dirty_bytes={3 * one_s} vm.dirty_background_bytes={one_s} (3 s and 1 s of this device; the limit is one "
                f"for all devices); price: a burst above {bytes_text(3 * one_s)} waits for the disk"),
                f"or cap this device alone: /sys/class/bdi/{part or 'MAJ:MIN'}/max_ratio",
            ) if slow else (),
            weight=needed / 100,
        )  # fmt: skip


def between(case: Case) -> Iterator[Finding]:
    """Tasks reclaimed for themselves between two snapshots."""
    both = pair(case, "vmstat")
    zones = ("", "_dma", "_dma32", "_normal", "_high", "_movable")
    stalls = both.sum(*(f"allocstall{zone}" for zone in zones)) if both is not None else None
    direct = both.sum(*(f"pgsteal_direct{zone}" for zone in zones)) if both is not None else None
    kswapd = both.sum(*(f"pgsteal_kswapd{zone}" for zone in zones)) if both is not None else None
    if (
        both is None
        or stalls is None
        or direct is None
        or kswapd is None
        or stalls < 100
        or direct < 0.2 * (direct + kswapd)
    ):
        return
    lines = [name for name in both.last.values if name.startswith(("allocstall", "pgsteal_direct", "pgsteal_kswapd"))]
    span = f"in {seconds_text(both.seconds)}" if both.seconds else "between two snapshots"
    yield Finding(
        id="direct-reclaim-now",
        severity=WARNING,
        title=f"tasks reclaimed for themselves {stalls:,.0f} times {span}: {percent(direct, direct + kswapd)} of all pages reclaimed",
        detail=f"{pages_text(direct)} by tasks, {pages_text(kswapd)} by kswapd, which should do nearly all of it.",
        confidence=MEDIUM,
        why="differences of the kernel's counters; how long each task stalled they do not say",
        evidence=tuple(line for name in lines[:3] for line in both.lines(name) if name in both.first.values),
        unknown=("how long each stalled, for which order", "what kswapd did instead"),
        capture=("reclaim", "slab"),
        advice=("raise vm.watermark_scale_factor (10 to 100 or 200): kswapd starts earlier; the price is free memory kept idle",),
        weight=stalls / 1e5,
        covers=("direct-reclaim-dominates",),
    )  # fmt: skip


RULES: tuple[Callable[[Case], Iterator[Finding]], ...] = (machine, devices, between)
