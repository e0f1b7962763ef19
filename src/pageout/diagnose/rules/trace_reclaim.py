# SPDX-License-Identifier: GPL-2.0-or-later
"""Traces of reclaim: who stalls in it, for how long, and on what.

Source: Linux v2.6.36..v6.18 mm/vmscan.c; what each field counts: include/trace/events/vmscan.h.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from pageout.analysis.compaction import df_compaction
from pageout.analysis.pairs import open_at, until_next
from pageout.analysis.reclaim import df_direct_reclaim, df_isolated, df_kswapd, df_lru, df_reclaim_writes, df_throttled
from pageout.analysis.slab import df_shrinkers
from pageout.diagnose.case import Case
from pageout.diagnose.findings import ERROR, HIGH, INFO, LOW, MEDIUM, WARNING, Evidence, Finding
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
from pageout.diagnose.words import counted, pages_text, percent

if TYPE_CHECKING:
    from pageout.events.tables import Events

STOPPED_S = 0.9  # of sleep in all: less is slow, not stopped
NS = 1e9
LONG_S, NOTABLE_S = 2.0, 0.005  # a stall a user sees at once; one an application measures
STARVED_NS = 10_000_000  # between two events of a task in reclaim, with need-resched set
SHARE_OF_A_CPU = 0.2


class Cause(NamedTuple):
    """What part of reclaim's time, or of its pages, goes where; `share` orders them."""

    id: str
    share: float
    text: str
    evidence: tuple[Evidence, ...]
    advice: tuple[str, ...] = ()
    capture: tuple[str, ...] = ()


def stalls(case: Case) -> Iterator[Finding]:
    """Tasks reclaim for themselves, or for their cgroup."""
    for file, events in case.traces():
        found = df_direct_reclaim.or_none(events)
        if found is None or found.is_empty():
            continue
        for kind in found["kind"].unique(maintain_order=True).to_list():
            yield from _stalls(case, file, events, str(kind), found.filter(pl.col("kind") == kind))


def _stalls(case: Case, file: str, events: Events, kind: str, found: pl.DataFrame) -> Iterator[Finding]:
    ended = found.filter(pl.col("stall_ns").is_not_null()).sort("stall_ns", descending=True)
    stalled_ns, worst_ns = total(ended, "stall_ns"), number(ended["stall_ns"].max() if len(ended) else None)
    open_ended = len(found) - len(ended)
    seconds_all = max(window_s(events), 1e-9)
    causes = _causes(file, events, kind, found, stalled_ns)
    memcg = kind.startswith("memcg")
    compacted_ns = _compacted(events) if kind == "direct" else 0.0
    little = stalled_ns + compacted_ns < max(0.01 * seconds_all, NOTABLE_S) * NS
    if worst_ns < NOTABLE_S * NS and not open_ended and little:
        yield _harmless(case, file, events, kind, ended, stalled_ns, worst_ns)
        return
    starving = next((cause for cause in causes if cause.id == "cpu-starved"), None)
    severe = worst_ns >= LONG_S * NS or stalled_ns >= max(seconds_all, LONG_S) * NS
    reclaimed = total(ended, "nr_reclaimed")
    top = causes[0] if causes else None
    where = "for their cgroup's limit" if memcg else "for their own allocations"
    head = f"{_times(len(found))} tasks reclaimed {where}"
    title = (
        f"{head}: {seconds(stalled_ns)} in all, {seconds(worst_ns)} at worst"
        if len(ended)
        else f"{head}, and the trace does not show the end"
    )
    title += f"; {top.text.split(';')[0]}" if top is not None else ""
    detail = f"Most: {tasks(ended, 'stall_ns')}. {pages_text(reclaimed)} came of it. " if len(ended) else ""
    detail += f"{open_ended} had not ended at the end of the trace. " if open_ended else ""
    detail += _orders(ended)
    detail += " ".join(f"{cause.text[0].upper()}{cause.text[1:]}." for cause in causes)
    yield Finding(
        id=_id(memcg, top),
        severity=ERROR if severe else WARNING,
        title=title,
        detail=detail.strip(),
        confidence=HIGH if top is not None and top.share > 0.5 else MEDIUM if top is not None else LOW,
        why=_why(top, starving),
        evidence=lines(file, ended if len(ended) else found, 3, "line", "line_end") + tuple(e for cause in causes[:3] for e in cause.evidence),
        is_not=not_the_limits(case) if top is None or top.id not in ("writes", "dirty") else (),
        unknown=_unknown(events, causes) + holes_unknown(events),
        capture=_capture(causes, memcg),
        advice=tuple(dict.fromkeys(advice for cause in causes[:2] for advice in cause.advice)),
        weight=stalled_ns / NS,
    )  # fmt: skip


def _compacted(events: Events) -> float:
    """Return the time tasks spent compacting, which the allocator does beside direct reclaim."""
    runs = df_compaction.or_none(events)
    return 0.0 if runs is None else total(runs.filter(~pl.col("background")), "took_ns")


def _times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count:,} times")


def _id(memcg: bool, top: Cause | None) -> str:
    base = "memcg-reclaim" if memcg else "direct-reclaim"
    return f"{base}-{top.id}" if top is not None else f"{base}-stalls"


def _why(top: Cause | None, starving: Cause | None) -> str:
    if top is None:
        return "begin and end of each stall are in the trace; what it met is not"
    if starving is not None:
        return "times between events are certain; what ran instead is not recorded"
    return "begin and end of each stall are in the trace, and so is what it met"


def _harmless(
    case: Case, file: str, events: Events, kind: str, ended: pl.DataFrame, stalled_ns: float, worst_ns: float
) -> Finding:
    return Finding(
        id=f"{kind.replace(' ', '-')}-reclaim-short",
        severity=INFO,
        title=f"{_times(len(ended))} tasks were in {kind} reclaim, {seconds(stalled_ns)} together, {seconds(worst_ns)} at worst: no stall a user sees",
        detail=f"{_orders(ended)}{pages_text(total(ended, 'nr_reclaimed'))} came of it.",
        confidence=HIGH if not events.holes else MEDIUM,
        why="begin and end of each are in the trace",
        evidence=lines(file, ended, 2, "line", "line_end"),
        is_not=not_the_limits(case),
        unknown=holes_unknown(events),
        capture=("blocked",),
        weight=stalled_ns / NS,
    )


def _orders(ended: pl.DataFrame) -> str:
    high = ended.filter(pl.col("order") > 0)
    if high.is_empty():
        return ""
    by_order = high.group_by("order").agg(pl.len().alias("n"), pl.col("stall_ns").sum()).sort("order")
    told = ", ".join(
        f"{row['n']:,} of order {row['order']} ({seconds(row['stall_ns'])})" for row in rows_of(by_order, 8)
    )
    return f"{len(high):,} of them were for contiguous pages: {told}. "


# --- causes ---


def _causes(file: str, events: Events, kind: str, found: pl.DataFrame, stalled_ns: float) -> list[Cause]:
    makers = (_compaction, _asleep, _shrinkers, _starved, _writes, _dirty, _little)
    causes = [cause for make in makers if (cause := make(file, events, kind, found, stalled_ns)) is not None]
    return sorted(causes, key=lambda cause: -cause.share)


def _compaction(file: str, events: Events, kind: str, found: pl.DataFrame, stalled_ns: float) -> Cause | None:
    """Compaction stands beside direct reclaim in the allocator's slow path, not inside: compare the two."""
    runs = df_compaction.or_none(events)
    if runs is None or kind != "direct":
        return None
    runs = runs.filter(~pl.col("background")).sort("took_ns", descending=True, nulls_last=True)
    took = total(runs, "took_ns")
    if took < 0.2 * stalled_ns:
        return None
    statuses = runs.group_by("status").len().sort("len", descending=True)
    told = ", ".join(f"{row['len']} {row['status']}" for row in rows_of(statuses, 3) if row["status"] is not None)
    more = f" ({took / stalled_ns:.1f} times the reclaim)" if stalled_ns and took > stalled_ns else ""
    return Cause(
        "compaction", took / max(took + stalled_ns, 1),
        f"compaction took {seconds(took)} more in the same allocations{more}{f'; it ended {told}' if told else ''}",
        lines(file, runs, 2, "line", "line_end"),
        ("ask for lower orders, or let transparent_hugepage/defrag be madvise or defer", "raise vm.min_free_kbytes or vm.watermark_scale_factor: kcompactd and kswapd then work ahead"),
        ("compaction",),
    )  # fmt: skip


def _asleep(file: str, events: Events, kind: str, found: pl.DataFrame, stalled_ns: float) -> Cause | None:
    """Sleeps inside: congestion_wait until 5.15, reclaim_throttle since."""
    rows = df_throttled.or_none(events)
    if rows is None:
        return None
    mine = rows.filter(pl.col("by") == kind)
    slept = total(mine, "delayed_ns")
    if mine.is_empty() or slept < 0.1 * stalled_ns:
        return None
    reasons = mine.group_by("reason").agg(pl.col("delayed_ns").sum()).sort("delayed_ns", descending=True)
    told = ", ".join(f"{row['reason']} {seconds(row['delayed_ns'])}" for row in rows_of(reasons, 3))
    return Cause(
        "asleep", slept / max(stalled_ns, 1), f"{seconds(slept)} of it asleep, waiting for others to make progress ({told})",
        lines(file, mine.sort("delayed_ns", descending=True), 2), (), ("throttle", "block"),
    )  # fmt: skip


def _shrinkers(file: str, events: Events, kind: str, found: pl.DataFrame, stalled_ns: float) -> Cause | None:
    rows = df_shrinkers.or_none(events)
    if rows is None:
        return None
    mine = rows.filter(pl.col("by") == kind)
    took = total(mine, "took_ns")
    if mine.is_empty() or took < 0.2 * stalled_ns:
        return None
    first = rows_of(mine, 1)[0]
    starts = events.frame("mm_shrink_slab_start")
    picked = starts.filter(pl.col("shrinker").cast(pl.String).str.starts_with(str(first["shrinker"])))
    return Cause(
        "shrinkers", took / max(stalled_ns, 1),
        f"{seconds(took)} of it in shrinkers, most in {first['shrinker']} ({seconds(first['took_ns'])}, {seconds(first['longest_ns'])} at worst)",
        lines(file, picked, 2), ("a shrinker that writes or waits stalls whoever calls it: fewer cached inodes (vm.vfs_cache_pressure), or a kernel where it does not wait",), ("slab",),
    )  # fmt: skip


def _starved(file: str, events: Events, kind: str, found: pl.DataFrame, stalled_ns: float) -> Cause | None:
    """Gaps between a task's events in reclaim while it should have given up the CPU: it did not run, or ran in something untraced."""
    steps = ("mm_vmscan_lru_isolate", "mm_vmscan_lru_shrink_inactive", "mm_vmscan_lru_shrink_active")
    columns = ("segment", "pid", "line", "time_ns", "context", "comm")
    parts = [events.frame(name).select(columns) for name in steps if name in events]
    if not parts:
        return None
    rows = until_next(pl.concat(parts).sort("line"), events)
    spans = found.with_columns(pl.lit(True).alias("inside"))
    inside = open_at(rows, spans, ["inside"]).filter(pl.col("inside"))
    pressed = inside.filter(pl.col("context").cast(pl.String).str.contains("[NnB]") & (pl.col("seen_ns") > STARVED_NS))
    lost = total(pressed, "seen_ns")
    if pressed.is_empty() or lost < 0.3 * max(stalled_ns, 1):
        return None
    worst = pressed.sort("seen_ns", descending=True)
    return Cause(
        "cpu-starved", min(lost / max(stalled_ns, lost), 1.0),
        f"{seconds(lost)} passed between single steps with need-resched set, {seconds(worst['seen_ns'][0])} at worst: the task did not get the CPU, or ran in code without tracepoints (slab shrinkers, a huge tree of cgroups); no disk is involved",
        lines(file, worst, 3),
        (),
        ("slab",),
    )  # fmt: skip


def _writes(file: str, events: Events, kind: str, found: pl.DataFrame, stalled_ns: float) -> Cause | None:
    """Pages this reclaim wrote itself, from the stack of whoever allocated."""
    rows = df_reclaim_writes.or_none(events)
    if rows is None:
        return None
    mine = rows.filter((pl.col("by") == kind) & (pl.col("lru") == "file"))
    pages, others = total(mine, "pages"), total(rows.filter(pl.col("by") == "kswapd"), "pages")
    if pages < 1:
        return None
    scattered = f" (kswapd {pages_text(others)} more)" if others else ""
    return Cause(
        "writes", 0.55,
        f"they wrote {pages_text(pages)} of file pages themselves, page by page{scattered}; each goes down through the filesystem on the stack of whoever allocated",
        lines(file, events.frame("mm_vmscan_writepage"), 2),
        ("a kernel whose reclaim leaves file pages to the flushers (direct reclaim: 3.2 and later)", "lower vm.dirty_background_bytes: flushers write before reclaim meets the pages"),
        ("throttle",),
    )  # fmt: skip


def _dirty(file: str, events: Events, kind: str, found: pl.DataFrame, stalled_ns: float) -> Cause | None:
    """What it scanned was dirty or under writeback."""
    rows = df_lru.or_none(events)
    if rows is None or not said(rows, "nr_dirty"):
        return None
    mine = rows.filter((pl.col("by") == kind) & (pl.col("lru") != "anon"))
    scanned, dirty, writeback = (total(mine, name) for name in ("nr_scanned", "nr_dirty", "nr_writeback"))
    if scanned < 1 or dirty < 0.2 * scanned:
        return None
    shrinks = (
        events.frame("mm_vmscan_lru_shrink_inactive").filter(pl.col("nr_dirty") > 0).sort("nr_dirty", descending=True)
    )
    return Cause(
        "dirty", min(dirty / scanned, 1.0),
        f"{percent(dirty, scanned)} of the pages it scanned were dirty or under writeback ({percent(writeback, scanned)} under writeback): they become free only when the device has written them",
        lines(file, shrinks, 2),
        ("lower vm.dirty_background_bytes and vm.dirty_bytes to a second or two of the disk's bandwidth: less of the list is then dirty",),
        ("throttle",),
    )  # fmt: skip


def _little(file: str, events: Events, kind: str, found: pl.DataFrame, stalled_ns: float) -> Cause | None:
    """It scanned much and got little, for no reason the trace tells."""
    rows = df_lru.or_none(events)
    if rows is None:
        return None
    mine = rows.filter(pl.col("by") == kind)
    scanned, reclaimed = total(mine, "nr_scanned"), total(mine, "nr_reclaimed")
    if scanned < 1000 or reclaimed > 0.3 * scanned:
        return None
    poor = events.frame("mm_vmscan_lru_shrink_inactive").filter(pl.col("nr_reclaimed") == 0)
    return Cause(
        "finds-little", 0.3 * (1 - reclaimed / scanned),
        f"only {percent(reclaimed, scanned)} of {scanned:,.0f} scanned pages could be reclaimed",
        lines(file, poor, 2), (), ("counters",),
    )  # fmt: skip


def _unknown(events: Events, causes: list[Cause]) -> tuple[str, ...]:
    told = []
    if "mm_vmscan_lru_shrink_inactive" not in events:
        told.append("what reclaim scanned and why it took so long: mm_vmscan_lru_shrink_inactive is not in the trace")
    if "mm_shrink_slab_start" not in events:
        told.append("the time in shrinkers: not recorded")
    return tuple(told)


def _capture(causes: list[Cause], memcg: bool) -> tuple[str, ...]:
    wanted = [name for cause in causes[:2] for name in cause.capture]
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
        f"{row['reason']}: {row['n']:,} sleeps, {seconds(row['delayed_ns'])}, {row['full']:,} to the end of their timeout"
        for row in rows_of(reasons, 4)
    )
    return Finding(
        id="reclaim-throttled",
        severity=ERROR if slept > max(0.5 * window_s(events) * first["tasks"], STOPPED_S) * NS else WARNING,
        title=f"{counted(mine['pid'].n_unique(), 'task')} slept {seconds(slept)} in reclaim, waiting for {_progress(str(first['reason']))}"
        + (f"; {percent(full, len(mine))} of the sleeps ran to the end of their timeout" if full else ""),
        detail=f"By reason: {told}. Most: {tasks(mine, 'delayed_ns')}. "
        + ("A sleep that runs to its end was woken by nothing: either the device is that slow, or there was nothing to wait for." if full > 0.5 * len(mine) else ""),
        confidence=MEDIUM,
        why="each sleep says its reason and its length; whether there was writeback to wait for, these events do not say",
        evidence=lines(file, mine.sort("delayed_ns", descending=True), 5),
        is_not=not_the_limits(case) or ("proven to be a slow disk: the sleeps have a timeout of their own, whatever the disk does",),
        unknown=(*(("how much was dirty and under writeback meanwhile: not recorded",) if "global_dirty_state" not in events else ()), *(("the kernel's version: the meaning of these sleeps changed with 5.16",) if not case.kernels else ()), *holes_unknown(events)),
        capture=("counters", "throttle", "reclaim"),
        weight=slept / NS,
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
            severity=WARNING,
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
