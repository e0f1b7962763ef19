# SPDX-License-Identifier: GPL-2.0-or-later
"""What moved between two snapshots of /proc, and what the totals since boot tell of the past.

Source: Linux v6.1 mm/vmstat.c:vmstat_text, mm/workingset.c, mm/vmscan.c:balance_pgdat.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from pageout.diagnose.case import Case, of_fact
from pageout.diagnose.findings import ERROR, HIGH, INFO, LOW, MEDIUM, WARNING, Evidence, Finding
from pageout.diagnose.pairs import Pair, pair, pairs
from pageout.diagnose.verdict import not_the_limits
from pageout.diagnose.words import bytes_text, pages_text, seconds_text

PAGE = 4096
LONG_DRAIN_S = 20.0
MUCH_PAGES = 25_000  # 100 MB between two snapshots
FAST_SWAP = 256  # pages a second, each way: 1 MB/s
THRASH = 0.5  # pages read back of those reclaimed
REFAULTS = ("workingset_refault_file", "workingset_refault")
STEALS = tuple(
    f"pgsteal_{who}{zone}"
    for who in ("kswapd", "direct", "khugepaged", "proactive")
    for zone in ("", "_dma", "_dma32", "_normal", "_high", "_movable")
)


def _span(both: Pair) -> str:
    return (
        f"in {seconds_text(both.seconds)}"
        if both.seconds
        else "between the two snapshots (how far apart, the file does not say)"
    )


def drain(case: Case) -> Iterator[Finding]:
    """How long until what is dirty is written, by what was written between two snapshots."""
    both = pair(case, "vmstat")
    written = both.delta("nr_written") if both is not None else None
    if both is None or written is None or "nr_dirty" not in both.last.values:
        return
    left = both.last.values["nr_dirty"].number + _value(both, "nr_writeback")
    if left * PAGE < 64 << 20 or written < 0:
        return
    if written == 0 and _value(both, "nr_writeback") > 0 and both.delta("nr_writeback") == 0:
        yield _nothing_written(case, both, left)
        return
    if not both.seconds or written == 0:
        return
    rate = written / both.seconds
    needed = left / rate
    yield Finding(
        id="drain-time",
        severity=WARNING if needed > LONG_DRAIN_S else INFO,
        title=f"{pages_text(left)} is dirty and {pages_text(rate)}/s is written: a sync now takes about {seconds_text(needed)}",
        detail=(
            f"{pages_text(written)} was written {_span(both)}; {pages_text(left)} is dirty or under writeback at the end. A power cut loses "
            "up to that much. What writers add meanwhile comes on top."
        ),
        confidence=MEDIUM,
        why="nr_written over the time between the snapshots; all devices together: a slow one may need longer",
        evidence=both.lines("nr_written") + both.lines("nr_dirty")[-1:],
        is_not=not_the_limits(case),
        unknown=("on which device it lies: /proc/diskstats, and bdi stats in debugfs",),
        capture=("device", "throttle"),
        advice=(_set_to(rate),) if needed > LONG_DRAIN_S else (),
        weight=needed / 100,
    )  # fmt: skip


def _set_to(rate: float) -> str:
    one_s = max(1, round(rate * PAGE / (1 << 20))) << 20
    return (
        f"for shorter syncs and less at risk: vm.dirty_bytes={3 * one_s} vm.dirty_background_bytes={one_s} (3 s and 1 s of this "
        f"rate, all devices together); price: a burst above {bytes_text(3 * one_s)} waits for the disk"
    )


def _value(both: Pair, name: str) -> float:
    return both.last.values[name].number if name in both.last.values else 0.0


def _nothing_written(case: Case, both: Pair, left: float) -> Finding:
    return Finding(
        id="writeback-stuck",
        severity=ERROR,
        title=f"nothing was written between two snapshots, and {pages_text(left)} waits dirty or under writeback",
        detail="nr_written stands still while pages are under writeback: requests are not completed by a device, driver or server.",
        confidence=MEDIUM,
        why=f"two snapshots agree, {_span(both)}; a second or less apart would prove little",
        evidence=both.lines("nr_written") + both.lines("nr_writeback"),
        is_not=("the dirty limits: whatever they are, nothing gets clean",),
        unknown=("which device; its in-flight requests in /proc/diskstats say",),
        capture=("counters", "log", "blocked"),
        weight=10,
    )


def dead_devices(case: Case) -> Iterator[Finding]:
    """Requests in flight, the same number in every snapshot, and none completed."""
    for both in pairs(case, "diskstats"):
        flying = both.last.values.get("in_flight")
        done = both.sum("reads", "writes", "discards", "flushes")
        if flying is None or flying.number <= 0 or done != 0 or both.delta("in_flight") != 0:
            continue
        known = both.seconds is not None and both.seconds >= 5
        yield Finding(
            id="device-silent",
            severity=ERROR if known else WARNING,
            title=f"{both.last.part} has {flying.number:,.0f} requests in flight and completed none " + (f"in {seconds_text(both.seconds)}" if both.seconds else "between the two snapshots"),
            detail="Nothing came back from the device: hardware, driver, cable, or a server that is gone. Tasks that wait for it wait in vain.",
            confidence=HIGH if known and (both.seconds or 0) >= 30 else MEDIUM if known else LOW,
            why="reads and writes completed stand still while requests are in flight" + ("" if known else "; if the snapshots are a moment apart, this is normal"),
            evidence=(of_fact(both.file, both.first), of_fact(both.last_file or both.file, both.last)),
            is_not=("the dirty limits: whatever they are, nothing gets clean",),
            unknown=("since when, and what the log says of it",),
            capture=("log", "counters", "blocked"),
            weight=100,
        )  # fmt: skip


def swapping(case: Case) -> Iterator[Finding]:
    """Memory goes to swap and comes back between two snapshots."""
    both = pair(case, "vmstat")
    if both is None:
        return
    into, out = both.delta("pswpin"), both.delta("pswpout")
    if into is None or out is None or min(into, out) < MUCH_PAGES:
        return
    if both.seconds and min(into, out) / both.seconds < FAST_SWAP:
        return
    refaults = both.delta("workingset_refault_anon")
    yield Finding(
        id="swap-thrash",
        severity=WARNING,
        title=f"memory is swapped out and in again: {pages_text(out)} out, {pages_text(into)} in between two snapshots",
        detail=(
            f"Counted {_span(both)}. Programs need more memory than there is: what was just pushed out is asked for again"
            + (f" ({refaults:,.0f} refaults)." if refaults else ".")
        ),
        confidence=HIGH if both.seconds else MEDIUM,
        why="pswpin and pswpout grow together",
        evidence=both.lines("pswpin") + both.lines("pswpout"),
        is_not=not_the_limits(case),
        unknown=("which tasks wait for it: /proc/pressure/memory, and the VmSwap of each process",),
        capture=("counters", "blocked"),
        advice=_SWAP_ADVICE,
        weight=1.0,
    )


_SWAP_ADVICE = (
    "less at once, more memory, or zram/zswap (price: CPU); vm.swappiness moves the loss from programs to page cache, it does not end it",
)


def refaults(case: Case) -> Iterator[Finding]:
    """Page cache is read back soon after it was reclaimed."""
    both = pair(case, "vmstat")
    back = both.sum(*REFAULTS) if both is not None else None
    stolen = both.sum(*STEALS) if both is not None else None
    if both is None or back is None or stolen is None or back < MUCH_PAGES or back < THRASH * stolen:
        return
    name = next(one for one in REFAULTS if both.delta(one) is not None)
    yield Finding(
        id="file-thrash",
        severity=WARNING,
        title=f"page cache is reclaimed and read back at once: {pages_text(back)} came back for {pages_text(stolen)} reclaimed",
        detail=f"Counted {_span(both)}. The files in use do not fit beside the programs: reads that were free go to disk again.",
        confidence=MEDIUM,
        why="refaults against pages reclaimed; a refault is a page missed while it would still have been in memory",
        evidence=both.lines(name) + (_steal_line(both),),
        is_not=not_the_limits(case),
        unknown=("whose files; whether a cgroup's limit is what is too small",),
        capture=("counters", "cgroup", "reclaim"),
        advice=("more memory for the cache: smaller programs, memory.low for the victim's cgroup; with fast swap a higher vm.swappiness",),
        weight=min(back / max(stolen, 1), 2),
    )  # fmt: skip


def _steal_line(both: Pair) -> Evidence:
    name = next(one for one in STEALS if both.delta(one) is not None)
    return both.lines(name)[-1]


def refault_history(case: Case) -> Iterator[Finding]:
    """Since boot much of what was reclaimed came back, and had been in use before: the past of a thrashing machine."""
    if pair(case, "vmstat") is not None:
        return
    back = [one for one in (case.counter("vmstat", name) for name in REFAULTS) if one is not None]
    again = [case.counter("vmstat", name) for name in ("workingset_restore_file", "workingset_restore")]
    stolen = sum(one.number for one in (case.counter("vmstat", name) for name in STEALS) if one is not None)
    restored = next((one for one in again if one is not None), None)
    if not back or restored is None or back[0].number < 10 * MUCH_PAGES or restored.number < 0.4 * back[0].number:
        return
    if stolen and back[0].number < 0.3 * stolen:
        return
    yield Finding(
        id="refaults-since-boot",
        severity=INFO,
        title=f"since boot {pages_text(back[0].number)} of page cache was read back after reclaim, much of it in use: it did not fit",
        detail=(
            f"{pages_text(restored.number)} of it belonged to the working set when it was taken"
            + (f", of {pages_text(stolen)} reclaimed in all" if stolen else "") + ". Whether it goes on, a second snapshot says."
        ),
        confidence=MEDIUM,
        why="workingset_restore against workingset_refault, totals since boot",
        evidence=(back[0].evidence, restored.evidence),
        is_not=not_the_limits(case),
        unknown=("when it was, and whether it goes on", "whether the whole machine or a cgroup was too small"),
        capture=("counters", "cgroup"),
        weight=0.3,
    )  # fmt: skip


def history(case: Case) -> Iterator[Finding]:
    """Totals since boot that tell of the past: kills, dropped caches, reserves run low."""
    kills = case.counter("vmstat", "oom_kill")
    if kills is not None and kills.number > 0:
        yield Finding(
            id="oom-kills-since-boot",
            severity=WARNING,
            title=f"the OOM killer ended {kills.number:,.0f} task{'s' if kills.number > 1 else ''} since boot",
            detail="When, and for which cgroup, only the kernel log says. It need not have to do with today's trouble.",
            confidence=HIGH,
            why="the kernel's own count, a total since boot",
            evidence=(kills.evidence,),
            unknown=("when, which task, and whether the machine or a cgroup was full",),
            capture=("log",),
            weight=0.3,
        )
    dropped = case.counter("vmstat", "drop_pagecache")
    if dropped is not None and dropped.number >= 10:
        yield Finding(
            id="caches-dropped",
            severity=INFO,
            title=f"something empties the page cache: drop_caches was written {dropped.number:,.0f} times since boot",
            detail="A script or a person writes /proc/sys/vm/drop_caches. Every read after that goes to disk, and what it freed would have been reclaimed anyway.",
            confidence=HIGH,
            why="the kernel's own count, a total since boot",
            evidence=(dropped.evidence,),
            unknown=("when; and who: the kernel log names the task (drop_caches)",),
            capture=("log",),
            weight=0.05,
        )  # fmt: skip
    yield from _throttled(case)


def _throttled(case: Case) -> Iterator[Finding]:
    said = case.counter("vmstat", "pgscan_direct_throttle")
    if said is None or said.number <= 0:
        return
    yield Finding(
        id="reserves-throttle",
        severity=INFO,
        title=f"{said.number:,.0f} times since boot tasks waited because the reserves of a node were low",
        detail="Direct reclaim is held back (up to 1 s a time) while free pages of the low zones are below half of what is kept for emergencies.",
        confidence=HIGH,
        why="pgscan_direct_throttle, a total since boot",
        evidence=(said.evidence,),
        unknown=("when, and how long each waited",),
        capture=("reclaim", "counters"),
        advice=("vm.min_free_kbytes is too small if this grows; price: the memory kept free",),
        weight=0.1,
    )


def zones(case: Case) -> Iterator[Finding]:
    """kswapd gave up on a node; a zone is below its minimum; watermarks are boosted."""
    given_up: dict[str, Evidence] = {}
    for file, one in case.snapshots("zoneinfo"):
        values = one.values
        node = one.part.split(",")[0]
        flag = values.get("node_unreclaimable")
        managed = values.get("managed") or values.get("present")
        if flag is not None and flag.number >= 1 and (managed is None or managed.number > 0):
            given_up.setdefault(node, Evidence(file, flag.line))
        if any(name in values and values[name].number == 0 for name in ("managed", "present")):
            continue  # a zone without pages: kernels give it a minimum all the same
        free, least = values.get("free"), values.get("min")
        if free is not None and least is not None and least.number > 0 and free.number < least.number:
            yield _below_min(file, one.part, free.number, least.number, (free.line, least.line))
        boost = values.get("boost")
        if boost is not None and least is not None and boost.number > least.number > 0:
            yield _boosted(file, one.part, boost.number, (boost.line, least.line))
    for node, evidence in given_up.items():
        yield _given_up(case, node, evidence)


def _given_up(case: Case, node: str, evidence: Evidence) -> Finding:
    return Finding(
        id="node-unreclaimable",
        severity=WARNING,
        title=f"kswapd has given up on {node}: 16 rounds in a row found nothing to reclaim",
        detail="What is there is locked, pinned, anonymous without swap, or kernel memory. From now on tasks reclaim for themselves until something is freed.",
        confidence=HIGH,
        why="node_unreclaimable is set",
        evidence=(evidence,),
        is_not=not_the_limits(case),
        unknown=("what fills the node: numastat -m, /proc/meminfo of the node in /sys/devices/system/node",),
        capture=("counters", "reclaim"),
        weight=2.0,
    )  # fmt: skip


def _below_min(file: str, part: str, free: float, least: float, at: tuple[int, int]) -> Finding:
    return Finding(
        id="zone-below-min",
        severity=WARNING,
        title=f"{part} is below its minimum: {pages_text(free)} free, {pages_text(least)} is kept for emergencies",
        detail="Every allocation that needs this zone reclaims for itself before it gets a page.",
        confidence=MEDIUM,
        why="a level at one moment",
        evidence=tuple(Evidence(file, line) for line in at),
        unknown=("whether it stays so", "whether anybody needs this zone: others may have room"),
        capture=("reclaim", "counters"),
        weight=1.0,
    )


def _boosted(file: str, part: str, boost: float, at: tuple[int, int]) -> Finding:
    return Finding(
        id="watermark-boost",
        severity=INFO,
        title=f"{part}: watermarks are raised by {pages_text(boost)} for a while, after fragmentation",
        detail="kswapd reclaims up to there although enough is free: page cache goes for no allocation. It falls off again as kswapd runs.",
        confidence=MEDIUM,
        why="the boost is larger than the minimum itself",
        evidence=tuple(Evidence(file, line) for line in at),
        unknown=("how often this happens",),
        capture=("compaction", "reclaim"),
        advice=("vm.watermark_boost_factor = 0 switches it off; price: blocks of mixed types stay mixed",),
        weight=0.2,
    )


RULES: tuple[Callable[[Case], Iterator[Finding]], ...] = (
    drain,
    dead_devices,
    swapping,
    refaults,
    refault_history,
    history,
    zones,
)
