# SPDX-License-Identifier: GPL-2.0-or-later
"""Traces of reclaim: who stalls in it, for how long, and on what.

Source: Linux v2.6.36..v6.18 mm/vmscan.c; what each field counts: include/trace/events/vmscan.h.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import polars as pl

from pageout.analysis.block import df_device_load
from pageout.analysis.compaction import df_compaction
from pageout.analysis.pairs import open_at
from pageout.analysis.reclaim import df_direct_reclaim, df_isolated, df_kswapd, df_lru, df_throttled
from pageout.analysis.reclaim_steps import df_reclaim_steps, is_lumpy
from pageout.diagnose.case import Case
from pageout.diagnose.findings import ERROR, HIGH, INFO, LOW, MEDIUM, WARNING, Finding
from pageout.diagnose.rules.trace_reclaim_causes import Cause, Stalls, causes
from pageout.diagnose.trace_words import (
    holes_unknown,
    lines,
    number,
    rows_of,
    said,
    seconds,
    task,
    tasks,
    total,
    window_s,
)
from pageout.diagnose.verdict import not_the_limits
from pageout.diagnose.words import bytes_text, counted, pages_text, percent, times

if TYPE_CHECKING:
    from pageout.events.tables import Events

STOPPED_S = 1.0  # of sleep in all: what anybody who waits notices
NS = 1e9
LONG_S, NOTICED_S, NOTABLE_S = 2.0, 0.01, 0.005  # a user sees it at once; an application waits for it, measures it


def stalls(case: Case) -> Iterator[Finding]:
    """Tasks reclaim for themselves, or for their cgroup."""
    for file, events in case.traces():
        found = df_direct_reclaim.or_none(events)
        if found is None or found.is_empty():
            continue
        steps = df_reclaim_steps(events)
        for kind in found["kind"].unique(maintain_order=True).to_list():
            for group in _groups(found.filter(pl.col("kind") == kind), is_lumpy(events)):
                mine = steps.filter(pl.col("line").is_in(group["line"].implode()))
                yield _stalls(case, Stalls(file, events, str(kind), group, mine))


def _groups(found: pl.DataFrame, lumpy: bool) -> list[pl.DataFrame]:
    """Return stalls for single pages, and those for blocks apart where reclaim treats them in its own way."""
    if not lumpy:
        return [found]
    groups = [found.filter(pl.col("order") > 0), found.filter(pl.col("order") == 0)]
    return [group for group in groups if len(group)]


def _stalls(case: Case, met: Stalls) -> Finding:
    ended = met.found.filter(pl.col("stall_ns").is_not_null()).sort("stall_ns", descending=True)
    stalled_ns, worst_ns = met.stalled_ns, number(ended["stall_ns"].max() if len(ended) else None)
    open_ended = len(met.found) - len(ended)
    window = max(window_s(met.events), 1e-9)
    compacted_ns = _compacted(met.events) if met.kind == "direct" else 0.0
    little = stalled_ns + compacted_ns < max(0.01 * window, NOTABLE_S) * NS
    if worst_ns < NOTABLE_S * NS and not open_ended and little:
        return _harmless(case, met, ended, worst_ns)
    found = causes(met)
    severe = worst_ns >= LONG_S * NS or stalled_ns >= max(window, LONG_S) * NS
    top = found[0] if found else None
    noticed = worst_ns >= NOTICED_S * NS or not little or bool(open_ended)
    memcg, blocks = met.kind.startswith("memcg"), _for_blocks(met)
    scans = "mm_vmscan_lru_shrink_inactive" in met.events.frames
    return Finding(
        id=_id(memcg, blocks, top),
        severity=ERROR if severe else WARNING if noticed else INFO,
        title=_title(met, ended, worst_ns, blocks, top),
        detail=_detail(met, ended, open_ended, blocks, found),
        confidence=HIGH if top is not None and top.share > 0.5 else MEDIUM if top is not None or scans else LOW,
        why=_why(top, scans, any(cause.id == "cpu-starved" for cause in found)),
        evidence=lines(met.file, ended if len(ended) else met.found, 3, "line", "line_end") + tuple(e for cause in found[:3] for e in cause.evidence),
        is_not=not_the_limits(case) if top is None or top.id not in ("writes", "dirty", "pages") else (),
        unknown=_unknown(met.events, found) + holes_unknown(met.events),
        capture=_capture(found, memcg),
        advice=tuple(dict.fromkeys([*(_BLOCK_ADVICE if blocks else ()), *(advice for cause in found[:2] for advice in cause.advice)])),
        weight=stalled_ns / NS,
        covers=("writeback-healthy",) if noticed else (),
    )  # fmt: skip


def _compacted(events: Events) -> float:
    """Return the time tasks spent compacting, which the allocator does beside direct reclaim."""
    runs = df_compaction.or_none(events)
    return 0.0 if runs is None else total(runs.filter(~pl.col("background")), "took_ns")


def _for_blocks(met: Stalls) -> bool:
    """Whether lumpy reclaim was at work: for contiguous pages it takes whatever stands around a page."""
    return is_lumpy(met.events) and bool((met.found["order"] > 0).all())


def _title(met: Stalls, ended: pl.DataFrame, worst_ns: float, blocks: bool, top: Cause | None) -> str:
    count = times(len(met.found))
    if blocks:
        orders = met.found["order"].unique().sort().to_list()
        what = f"for pages of order {_either(orders)}"
    else:
        what = "for their cgroup" if met.kind.startswith("memcg") else "for themselves"
    head = f"tasks reclaimed {count} {what}"
    if ended.is_empty():
        return f"{head}, and the trace does not show the end"
    title = f"{head}: {seconds(met.stalled_ns)} in all, {seconds(worst_ns)} at worst"
    return title + (f", {top.short}" if top is not None else "")


def _either(orders: list[int]) -> str:
    return str(orders[0]) if len(orders) == 1 else f"{orders[0]} to {orders[-1]}"


def _detail(met: Stalls, ended: pl.DataFrame, open_ended: int, blocks: bool, found: list[Cause]) -> str:
    said = [f"{cause.text[0].upper()}{cause.text[1:]}." for cause in found]
    if len(ended):
        said.append(f"Most: {tasks(ended, 'stall_ns')}. {pages_text(total(ended, 'nr_reclaimed'))} came of it.")
    if open_ended:
        said.append(f"{open_ended} had not ended at the end of the trace.")
    said.append(_orders(ended))
    if blocks:
        said += [_lumpy(met), _slowest(met.events), _stacks_of_forks(met.found)]
    return " ".join(one.strip() for one in said if one)


def _id(memcg: bool, blocks: bool, top: Cause | None) -> str:
    if blocks:
        return "direct-reclaim-lumpy"
    base = "memcg-reclaim" if memcg else "direct-reclaim"
    return f"{base}-{top.id}" if top is not None else f"{base}-stalls"


def _why(top: Cause | None, scans: bool, starving: bool) -> str:
    if top is None and scans:
        return "begin and end of each stall are in the trace; in what it met nothing stands out"
    if top is None:
        return "begin and end of each stall are in the trace; what it met is not"
    if starving:
        return "times between events are certain; what ran instead is not recorded"
    return "begin and end of each stall are in the trace, and so is what it met"


def _harmless(case: Case, met: Stalls, ended: pl.DataFrame, worst_ns: float) -> Finding:
    return Finding(
        id=f"{met.kind.replace(' ', '-')}-reclaim-short",
        severity=INFO,
        title=f"tasks were {times(len(ended))} in {met.kind} reclaim, {seconds(worst_ns)} at worst: no stall a user sees",
        detail=f"Together {seconds(met.stalled_ns)}. {_orders(ended)}{pages_text(total(ended, 'nr_reclaimed'))} came of it.",
        confidence=HIGH if not met.events.holes else MEDIUM,
        why="begin and end of each are in the trace",
        evidence=lines(met.file, ended, 2, "line", "line_end"),
        is_not=not_the_limits(case),
        unknown=holes_unknown(met.events),
        capture=("blocked",),
        weight=met.stalled_ns / NS,
    )


def _orders(ended: pl.DataFrame) -> str:
    high = ended.filter(pl.col("order") > 0)
    if high.is_empty() or (len(high) == len(ended) and high["order"].n_unique() == 1):
        return ""
    by_order = high.group_by("order").agg(pl.len().alias("n"), pl.col("stall_ns").sum()).sort("order")
    told = ", ".join(
        f"{row['n']:,} of order {row['order']} ({seconds(row['stall_ns'])})" for row in rows_of(by_order, 8)
    )
    return f"For contiguous pages: {told}. "


# --- lumpy reclaim ---

_BLOCK_ADVICE = (
    "ask for lower orders: a single page need not wait for a block to come free",
    "a kernel that compacts memory (2.6.35 and later, CONFIG_COMPACTION) instead of emptying blocks by writing",
)


def _lumpy(met: Stalls) -> str:
    """What was taken off the lists for the blocks, and what stood in the way."""
    spans = met.found.with_columns(pl.lit(True).alias("inside"))
    isolated = open_at(met.events.frame("mm_vmscan_lru_isolate"), spans, ["inside"]).filter(pl.col("inside"))
    taken, around, dirty, failed = (
        total(isolated, name) for name in ("nr_taken", "contig_taken", "contig_dirty", "contig_failed")
    )
    if not taken:
        return ""
    said = f"Lumpy reclaim empties whole blocks, whatever stands in them: {pages_text(around)} of the {pages_text(taken)} it took were neighbours of a page it wanted"
    return said + (f", {pages_text(dirty)} of these dirty" if dirty else "") + (
        f"; {times(int(failed))} a neighbour could not be taken." if failed else "."
    )  # fmt: skip


def _slowest(events: Events) -> str:
    """The slowest of several devices that were written to: pages on their way to it block their neighbours longest."""
    load = df_device_load.or_none(events)
    if load is None:
        return ""
    writing = load.filter((pl.col("written_bytes") > 0) & (pl.col("busy_ns") > 0)).with_columns(
        (pl.col("written_bytes") / pl.col("busy_ns") * NS).alias("bps")
    ).sort("bps")  # fmt: skip
    if len(writing) < 2 or writing["bps"][0] * 4 > writing["bps"][-1]:
        return ""
    row = rows_of(writing, 1)[0]
    return f"The slowest device written to is {row['dev']} ({bytes_text(row['bps'])}/s while busy, {row['busy_ns'] / NS / max(window_s(events), 1e-9):.0%} of the time): a block with a page on its way there waits for it."


def _stacks_of_forks(found: pl.DataFrame) -> str:
    """Order 2 for the kernel itself: what fork() takes for a stack of 16 KiB."""
    asked = found.filter((pl.col("order") == 2) & (pl.col("gfp_flags").cast(pl.String) == "GFP_KERNEL"))
    if 2 * len(asked) < len(found):
        return ""
    return "Order 2 with plain GFP_KERNEL is what each fork asks for where kernel stacks are 16 KiB; with 8 KiB it is order 1."


# --- what every finding says ---


def _unknown(events: Events, found: list[Cause]) -> tuple[str, ...]:
    told = []
    if "mm_vmscan_lru_shrink_inactive" not in events:
        told.append("what reclaim scanned and why it took so long: mm_vmscan_lru_shrink_inactive is not in the trace")
    if "mm_shrink_slab_start" not in events:
        told.append("the time in shrinkers: not recorded")
    return tuple(told)


def _capture(found: list[Cause], memcg: bool) -> tuple[str, ...]:
    wanted = [name for cause in found[:2] for name in cause.capture]
    return tuple(dict.fromkeys([*wanted, *(["cgroup"] if memcg else []), "reclaim", "slab"]))


# --- sleeps of reclaim ---


def throttled(case: Case) -> Iterator[Finding]:
    """Tasks sleep in reclaim_throttle (before 5.16: congestion_wait) for progress of others."""
    for file, events in case.traces():
        rows = df_throttled.or_none(events)
        if rows is None:
            continue
        mine = rows.filter((pl.col("by") != "kswapd").fill_null(True) & (pl.col("delayed_ns") > 0))
        slept = total(mine, "delayed_ns")
        if mine.is_empty() or slept < 0.01 * NS:
            continue
        yield _throttled(case, file, events, mine, slept)


def _throttled(case: Case, file: str, events: Events, mine: pl.DataFrame, slept: float) -> Finding:
    reasons = mine.group_by("reason").agg(
        pl.len().alias("n"), pl.col("delayed_ns").sum(), pl.col("full").sum(), pl.col("pid").n_unique().alias("tasks")
    ).sort("delayed_ns", descending=True)  # fmt: skip
    first = rows_of(reasons, 1)[0]
    full = int(reasons["full"].sum())
    told = "; ".join(
        f"{row['reason']}: {counted(row['n'], 'sleep')}, {seconds(row['delayed_ns'])}, {row['full']:,} to the end of their timeout"
        for row in rows_of(reasons, 4)
    )
    between = total(mine.filter(pl.col("by").is_null()), "delayed_ns")
    where = "between reclaims" if between > 0.5 * slept else "in reclaim"
    return Finding(
        id="reclaim-throttled",
        severity=ERROR if slept >= max(0.5 * window_s(events) * first["tasks"], STOPPED_S) * NS else WARNING,
        title=f"{counted(mine['pid'].n_unique(), 'task')} slept {seconds(slept)} {where}, waiting for {_progress(str(first['reason']))}",
        detail=f"By reason: {told}. Most: {tasks(mine, 'delayed_ns')}. "
        + ("Between reclaims the allocator sleeps before it tries again, or a writer waits: not all of it is in a stall of reclaim itself. " if where != "in reclaim" else "")
        + (f"{percent(full, len(mine))} of the sleeps ran to the end of their timeout: nothing woke them; either the device is that slow, or there was nothing to wait for." if full > 0.5 * len(mine) else ""),
        confidence=MEDIUM,
        why="each sleep says its reason and its length; whether there was writeback to wait for, these events do not say",
        evidence=lines(file, mine.sort("delayed_ns", descending=True), 5),
        is_not=not_the_limits(case) or ("proven to be a slow disk: the sleeps have a timeout of their own, whatever the disk does",),
        unknown=(*(("how much was dirty and under writeback meanwhile: not recorded",) if "global_dirty_state" not in events else ()), *(("the kernel's version: the meaning of these sleeps changed with 5.16",) if not case.kernels else ()), *holes_unknown(events)),
        capture=("counters", "throttle", "reclaim"),
        weight=slept / NS,
        covers=("writeback-healthy",),
    )  # fmt: skip


def _progress(reason: str) -> str:
    return {
        "WRITEBACK": "pages under writeback (WRITEBACK)",
        "ISOLATED": "other tasks' reclaim to give pages back (ISOLATED)",
        "NOPROGRESS": "any progress at all (NOPROGRESS)",
        "CONGESTED": "a congested device (CONGESTED)",
        "congestion_wait": "a congested device (congestion_wait)",
        "wait_iff_congested": "a congested device (wait_iff_congested)",
    }.get(reason, reason)


# --- kswapd ---


def kswapd(case: Case) -> Iterator[Finding]:
    """kswapd works all the time and finds little."""
    for file, events in case.traces():
        awake, lru = df_kswapd.or_none(events), df_lru.or_none(events)
        if lru is None:
            continue
        mine = lru.filter(pl.col("by") == "kswapd")
        scanned, reclaimed = total(mine, "nr_scanned"), total(mine, "nr_reclaimed")
        if scanned < 10_000 or reclaimed > 0.3 * scanned:
            continue
        window = window_s(events)
        share = total(awake, "awake_ns") / NS / window if awake is not None and window else None
        skipped = _skipped(events)
        shrinks = events.frame("mm_vmscan_lru_shrink_inactive").filter(
            pl.col("comm").cast(pl.String).str.starts_with("kswapd")
        )
        dirty = total(mine, "nr_dirty") if said(mine, "nr_dirty") else None
        yield Finding(
            id="kswapd-scans-in-vain",
            severity=WARNING if share is None or share > 0.02 else INFO,
            title=f"kswapd scanned {pages_text(scanned)} and reclaimed {percent(reclaimed, scanned)} of it" + (f", awake {share:.0%} of the time" if share is not None else ""),
            detail=(f"{percent(dirty, scanned)} of what it scanned was dirty or under writeback. " if dirty is not None else "")
            + (f"{percent(skipped, scanned + skipped)} were skipped as being of a zone too high for the allocation: it works for the wrong zone. " if skipped > 0.3 * scanned else ""),
            confidence=MEDIUM,
            why="its own events count what it looked at and what it got",
            evidence=lines(file, shrinks.filter(pl.col("nr_reclaimed") == 0), 4),
            is_not=not_the_limits(case),
            unknown=("why those pages could not be reclaimed, where not dirty", *holes_unknown(events)),
            capture=("counters", "slab"),
            weight=(1 - reclaimed / scanned) * (share or 0.1),
        )  # fmt: skip


def _skipped(events: Events) -> float:
    isolated = df_isolated.or_none(events)
    if isolated is None or not said(isolated, "nr_skipped"):
        return 0.0
    return total(isolated.filter(pl.col("by") == "kswapd"), "nr_skipped")


# --- compaction without reclaim ---


def compaction(case: Case) -> Iterator[Finding]:
    """Tasks compact memory, and the trace shows no reclaim beside it."""
    for file, events in case.traces():
        runs = df_compaction.or_none(events)
        if runs is None or df_direct_reclaim.or_none(events) is not None:
            continue
        mine = runs.filter(~pl.col("background")).sort("took_ns", descending=True, nulls_last=True)
        took = total(mine, "took_ns")
        if took < NOTABLE_S * NS:
            continue
        worst = rows_of(mine, 1)[0]
        yield Finding(
            id="compaction-stalls",
            severity=ERROR if took > LONG_S * NS else WARNING,
            title=f"tasks compacted memory {len(mine):,} times: {seconds(took)} in all, {seconds(worst['took_ns'])} at worst by {task(worst)}",
            detail=f"Most: {tasks(mine, 'took_ns')}. They asked for contiguous pages that fragmented memory did not have.",
            confidence=HIGH,
            why="begin and end of each are in the trace",
            evidence=lines(file, mine, 3, "line", "line_end"),
            is_not=not_the_limits(case) or ("reclaim: the trace shows none",),
            unknown=holes_unknown(events),
            capture=("compaction",),
            advice=("ask for lower orders, or let transparent_hugepage/defrag be madvise or defer",),
            weight=took / NS,
        )


RULES: tuple[Callable[[Case], Iterator[Finding]], ...] = (stalls, throttled, kswapd, compaction)
