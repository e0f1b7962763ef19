# SPDX-License-Identifier: GPL-2.0-or-later
"""Reclaim: who was in it and how long, what was scanned, freed and written by whom, who was throttled there.

Source: Linux v2.6.36..v6.18 mm/vmscan.c, the places of its trace_ calls.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from pageout.analysis.needs import needs, recorded
from pageout.analysis.pairs import TASK, lasted, named, open_at, pair, total

if TYPE_CHECKING:
    from pageout.events.tables import Events

KINDS = {"direct": "direct", "memcg": "memcg", "memcg_softlimit": "memcg soft limit", "node": "node"}
BEGINS = tuple(f"mm_vmscan_{kind}_reclaim_begin" for kind in KINDS)
KSWAPD_NAME = r"^kswapd\d+$"
_WAITS = {
    "mm_vmscan_throttled": None,  # says its reason itself
    "writeback_congestion_wait": "congestion_wait",
    "writeback_wait_iff_congested": "wait_iff_congested",
}
_LISTS = ("inactive_anon", "active_anon", "inactive_file", "active_file", "unevictable")


@needs("|".join(BEGINS))
def df_direct_reclaim(events: Events) -> pl.DataFrame:
    """Return one row each time a task reclaimed for itself.

    kind: direct, memcg, memcg soft limit, node; comm, pid, cpu, segment; line, line_end; time_ns, time_ns_end;
    stall_ns: from begin to end, null if the trace does not hold the end; order; gfp_flags; nid (of node reclaim);
    nr_reclaimed: pages. What began before the trace is in no row.
    """
    parts = []
    for kind, label in KINDS.items():
        begin, end = (f"mm_vmscan_{kind}_reclaim_{what}" for what in ("begin", "end"))
        if begin not in events:
            continue
        ends = events.frame(end).select(*TASK, "line", "time_ns", "nr_reclaimed")
        rows = pair(events.frame(begin), ends)
        nid = pl.col("nid") if "nid" in rows.columns else pl.lit(None, pl.Int32).alias("nid")
        parts.append(
            rows.select(
                pl.lit(label).alias("kind"), "comm", "pid", "cpu", "segment", "line", "line_end", "time_ns",
                "time_ns_end", lasted().alias("stall_ns"), "order", "gfp_flags", nid,
                pl.col("nr_reclaimed_end").alias("nr_reclaimed"),
            )
        )  # fmt: skip
    return pl.concat(parts).sort("line")


def is_kswapd(events: Events) -> pl.Expr:
    """Whether a row is of a kswapd: by its name, or as it woke or slept as one."""
    pids = [events.frame(f"mm_vmscan_kswapd_{what}")["pid"] for what in ("wake", "sleep")]
    by_name = pl.col("comm").cast(pl.String).str.contains(KSWAPD_NAME).fill_null(False)
    return by_name | pl.col("pid").is_in(pl.concat(pids).unique().implode()).fill_null(False)


def reclaimer(rows: pl.DataFrame, events: Events) -> pl.DataFrame:
    """Return rows of events with by: kswapd, or the kind of reclaim the task was in; null if the trace does not say."""
    met = rows.sort("line").with_columns(pl.lit(None, pl.String).alias("by"))
    if recorded(events, BEGINS):
        spans = df_direct_reclaim(events)
        for kind in KINDS.values():  # a soft limit's reclaim is inside another, so each kind by itself
            met = open_at(met, spans.filter(pl.col("kind") == kind), ["kind"])
            met = met.with_columns(pl.coalesce("by", "kind").alias("by")).drop("kind")
    return met.with_columns(pl.when(is_kswapd(events)).then(pl.lit("kswapd")).otherwise("by").alias("by"))


@needs("mm_vmscan_kswapd_wake")
def df_kswapd(events: Events) -> pl.DataFrame:
    """Return one row for each time a kswapd was awake.

    comm, pid, segment, nid; line, line_end; time_ns, time_ns_end, awake_ns: from the first wake to the sleep, null if
    the trace does not hold that; order: of the first wake; order_max; rewakes: wakes before it slept. A sleep with
    no wake before it in its segment is in no row.
    """
    wakes = events.frame("mm_vmscan_kswapd_wake").with_columns(pl.lit(False).alias("sleeps"))
    sleeps = events.frame("mm_vmscan_kswapd_sleep").with_columns(pl.lit(True).alias("sleeps"))
    columns = ["comm", "pid", "segment", "nid", "line", "time_ns", "sleeps"]
    order = pl.lit(None, pl.Int32).alias("order")
    marks = pl.concat([wakes.select(*columns, "order"), sleeps.select(*columns, order)]).sort("line")
    run = pl.col("sleeps").cast(pl.Int64).shift(1, fill_value=0).cum_sum().over("segment", "pid").alias("run")
    awake = ~pl.col("sleeps")
    return (
        marks.with_columns(run)
        .group_by("segment", "pid", "run", maintain_order=True)
        .agg(
            pl.col("comm", "nid").first(),
            pl.col("line").filter(awake).first(),
            pl.col("line").filter(~awake).first().alias("line_end"),
            pl.col("time_ns").filter(awake).first(),
            pl.col("time_ns").filter(~awake).first().alias("time_ns_end"),
            pl.col("order").filter(awake).first(),
            pl.col("order").max().alias("order_max"),
            (awake.sum().cast(pl.Int64) - 1).alias("rewakes"),
        )
        .filter(pl.col("line").is_not_null())
        .with_columns(lasted().alias("awake_ns"))
        .select("comm", "pid", "segment", "nid", "line", "line_end", "time_ns", "time_ns_end", "awake_ns", "order",
                "order_max", "rewakes")
        .sort("line")
    )  # fmt: skip


@needs("mm_vmscan_wakeup_kswapd")
def df_kswapd_requests(events: Events) -> pl.DataFrame:
    """Return how often each task woke kswapd: comm, pid, nid, order, wakeups."""
    rows = named(events.frame("mm_vmscan_wakeup_kswapd"), events)
    return rows.group_by("comm", "pid", "nid", "order").agg(pl.len().alias("wakeups")).sort("pid", "nid", "order")


def list_of(flags: str) -> pl.Expr:
    """Return file, anon or mixed, by the flags RECLAIM_WB_*."""
    text = pl.col(flags).cast(pl.String)
    return (
        pl.when(text.str.contains("WB_FILE")).then(pl.lit("file"))
        .when(text.str.contains("WB_ANON")).then(pl.lit("anon"))
        .when(text.str.contains("WB_MIXED")).then(pl.lit("mixed"))
    )  # fmt: skip


@needs("mm_vmscan_lru_shrink_inactive")
def df_lru(events: Events) -> pl.DataFrame:
    """Return what inactive lists gave, by whom, list, node and priority (12 relaxed ... 0 desperate); pages.

    by: kswapd, direct, memcg, memcg soft limit, node, null (not in a reclaim the trace shows); comm, pid, nid, lru:
    file or anon; priority; batches; nr_scanned, nr_reclaimed, nr_dirty (dirty or under writeback), nr_writeback,
    nr_congested, nr_immediate, nr_activate, nr_ref_keep, nr_unmap_fail: null where the kernel does not print them.
    """
    rows = named(reclaimer(events.frame("mm_vmscan_lru_shrink_inactive"), events), events)
    split = pl.col("nr_activate_anon") + pl.col("nr_activate_file")
    sums = ("nr_scanned", "nr_reclaimed", "nr_dirty", "nr_writeback", "nr_congested", "nr_immediate", "nr_activate",
            "nr_ref_keep", "nr_unmap_fail")  # fmt: skip
    return (
        rows.with_columns(list_of("flags").alias("lru"), pl.coalesce("nr_activate", split).alias("nr_activate"))
        .group_by("by", "comm", "pid", "nid", "lru", "priority")
        .agg(pl.len().alias("batches"), *map(total, sums))
        .sort("by", "pid", "nid", "lru", "priority", nulls_last=True)
    )


def list_name() -> pl.Expr:
    """Return the name of the list of an isolation, whether the kernel printed a name, a number or `file=`."""
    text = pl.col("lru").cast(pl.String)
    by_number = text.replace_strict({str(n): name for n, name in enumerate(_LISTS)}, default=text)
    by_file = pl.when(pl.col("file") == 1).then(pl.lit("file")).when(pl.col("file") == 0).then(pl.lit("anon"))
    return pl.coalesce(by_number, by_file).alias("lru")


def is_rotation() -> pl.Expr:
    """Whether an isolation is of an active list, which is no scan for reclaim: by its list, before 3.3 by its mode."""
    of_list = list_name().str.starts_with("active_")
    of_mode = pl.col("contig_taken").is_not_null() & (pl.col("isolate_mode") == 1)
    return of_list.fill_null(False) | of_mode.fill_null(False)


@needs("mm_vmscan_lru_isolate")
def df_isolated(events: Events) -> pl.DataFrame:
    """Return what was taken off the lists, by whom, list, zone index and order; pages.

    by (as in df_lru), comm, pid, lru, classzone, order; batches; nr_requested, nr_scanned (with nr_skipped),
    nr_skipped (of a zone too high for the caller), nr_taken; rotation: true for the active lists.
    """
    rows = named(reclaimer(events.frame("mm_vmscan_lru_isolate"), events), events)
    return (
        rows.with_columns(list_name(), is_rotation().alias("rotation"))
        .group_by("by", "comm", "pid", "lru", "classzone", "order", "rotation")
        .agg(pl.len().alias("batches"), *map(total, ("nr_requested", "nr_scanned", "nr_skipped", "nr_taken")))
        .sort("by", "pid", "lru", "classzone", "order", nulls_last=True)
    )


@needs("mm_vmscan_writepage")
def df_reclaim_writes(events: Events) -> pl.DataFrame:
    """Return the pages reclaim itself wrote: by (as in df_lru), comm, pid, lru: file or anon, sync, pages."""
    rows = named(reclaimer(events.frame("mm_vmscan_writepage"), events), events)
    sync = pl.col("flags").cast(pl.String).str.contains("WB_SYNC").alias("sync")
    return (
        rows.with_columns(list_of("flags").alias("lru"), sync)
        .group_by("by", "comm", "pid", "lru", "sync")
        .agg(pl.len().alias("pages"))
        .sort("by", "pid", "lru", "sync", nulls_last=True)
    )


@needs("|".join(_WAITS))
def df_throttled(events: Events) -> pl.DataFrame:
    """Return one row each time reclaim (until 5.15 anybody) slept to let I/O or others get on.

    The event comes when the sleep is over. comm, pid, segment, line; time_ns: its end; reason: WRITEBACK, ISOLATED,
    NOPROGRESS, CONGESTED, congestion_wait or wait_iff_congested; nid; by (as in df_lru); timeout_ns, delayed_ns: in
    jiffies, so 0 may be less than one; full: it slept all of its time, nothing woke it.
    """
    parts = []
    for name in recorded(events, _WAITS):
        rows = events.frame(name)
        said = pl.col("reason").cast(pl.String).str.replace_all("VMSCAN_THROTTLE_", "", literal=True)
        parts.append(
            rows.select(
                "comm", "pid", "segment", "line", "time_ns",
                (said if _WAITS[name] is None else pl.lit(_WAITS[name])).alias("reason"),
                (pl.col("nid") if "nid" in rows.columns else pl.lit(None, pl.Int32)).alias("nid"),
                (pl.col("usec_timeout").cast(pl.Int64) * 1000).alias("timeout_ns"),
                (pl.col("usec_delayed").cast(pl.Int64) * 1000).alias("delayed_ns"),
            )
        )  # fmt: skip
    full = (pl.col("delayed_ns") >= pl.col("timeout_ns")).alias("full")
    return named(reclaimer(pl.concat(parts), events), events).with_columns(full).sort("line")
