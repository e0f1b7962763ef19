# SPDX-License-Identifier: GPL-2.0-or-later
"""Dirty pages: who was held at the limit and how long, levels against limits, what the flushers did.

Source: Linux v3.2..v6.18 mm/page-writeback.c:balance_dirty_pages, fs/fs-writeback.c:wb_writeback.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import polars as pl

from pageout.analysis.needs import needs
from pageout.analysis.pairs import TASK, lasted, named, pair, total, until_next

if TYPE_CHECKING:
    from pageout.events.tables import Events

WRAPPED_MS = 1 << 31  # beyond, a time is jiffies that wrapped (`pause=-4294824915`), and says nothing
_TIMES = ("paused", "pause", "period", "think")
NS_PER_MS = 1_000_000
KIB_PER_PAGE = 4  # assumed: pages of 4 KiB, which the events do not say


def cgroup() -> pl.Expr:
    """Return the cgroup of a row as text: its path, or the number of its inode (1: the root), null if not said."""
    return pl.coalesce(pl.col("cgroup").cast(pl.String), pl.col("cgroup_ino").cast(pl.String)).alias("cgroup")


@needs("balance_dirty_pages")
def df_dirty_throttle(events: Events) -> pl.DataFrame:
    """Return one row each time a writer was checked at the limit: just before it sleeps, or decides not to.

    comm, pid, cpu, segment, line, time_ns; bdi, cgroup; limit, setpoint, dirty (with writeback), bdi_setpoint,
    bdi_dirty, dirtied, dirtied_pause: pages; dirty_ratelimit, task_ratelimit: KiB/s; paused, pause, period, think: ms,
    null where not printed or wrapped; wrapped: at least one of these was; asked_ns: the sleep it was about to take
    (0: none, a pause of 0 or less; null: not known); seen_ns: the time to the task's next event in the same segment,
    which is the sleep and what it did after; null if there is none.
    """
    rows = until_next(named(events.frame("balance_dirty_pages"), events), events)
    sane = [
        pl.when(pl.col(name).cast(pl.Float64).abs() <= WRAPPED_MS).then(pl.col(name).cast(pl.Int64)).alias(name)
        for name in _TIMES
    ]
    wrapped = pl.any_horizontal(
        (pl.col(name).cast(pl.Float64).abs() > WRAPPED_MS).fill_null(False) for name in _TIMES
    ).alias("wrapped")
    return rows.select(
        "comm", "pid", "cpu", "segment", "line", "time_ns", "bdi", cgroup(), "limit", "setpoint", "dirty",
        "bdi_setpoint", "bdi_dirty", "dirtied", "dirtied_pause", "dirty_ratelimit", "task_ratelimit", *sane, wrapped,
        "seen_ns",
    ).with_columns((pl.col("pause").clip(lower_bound=0) * NS_PER_MS).alias("asked_ns"))  # fmt: skip


@needs("balance_dirty_pages")
def df_throttle_totals(events: Events, by: Sequence[str] = ("comm", "pid", "bdi", "cgroup")) -> pl.DataFrame:
    """Return what throttling cost, the longest asked sleep first.

    comm, pid, bdi, cgroup, or the columns of `by`; checks: times it was looked at; pauses: times it was told to sleep;
    wrapped: rows whose times wrapped, which count nothing; asked_ns, longest_ns; seen_ns: of rows with a pause, an
    upper bound; dirtied: pages said in these rows; task_ratelimit: the median, KiB/s; looped: rows of a task that had
    slept in this call before.
    """
    rows = df_dirty_throttle(events)
    told = pl.col("asked_ns") > 0
    return (
        rows.group_by(*by)
        .agg(
            pl.len().alias("checks"),
            told.sum().alias("pauses"),
            pl.col("wrapped").sum(),
            total("asked_ns"),
            pl.col("asked_ns").max().alias("longest_ns"),
            pl.when(told.any()).then(pl.col("seen_ns").filter(told).sum()).alias("seen_ns"),
            total("dirtied"),
            pl.col("task_ratelimit").median(),
            (pl.col("paused") > 0).sum().alias("looped"),
        )
        .sort("asked_ns", *by, descending=[True, *[False] * len(by)], nulls_last=True)
    )


@needs("global_dirty_state")
def df_dirty_state(events: Events) -> pl.DataFrame:
    """Return the levels of the whole machine against its thresholds, pages.

    segment, line, time_ns, comm, pid; dirty, writeback, unstable (NFS, until 5.7, null after), bg_thresh, thresh,
    limit: the smoothed one; dirtied, written: pages since boot; held: dirty + writeback + unstable; freerun: below it
    nobody is throttled; fill: held over thresh, null if that is 0; over_background, over_freerun. Thresholds are 25 %
    higher in rows of realtime tasks.
    """
    rows = named(events.frame("global_dirty_state"), events)
    held = pl.col("dirty") + pl.col("writeback") + pl.col("unstable").fill_null(0)
    freerun = (pl.col("thresh") + pl.col("bg_thresh")) / 2
    return rows.select(
        "segment", "line", "time_ns", "comm", "pid", "dirty", "writeback", "unstable", "bg_thresh", "thresh", "limit",
        "dirtied", "written",
        held.alias("held"),
        freerun.alias("freerun"),
        pl.when(pl.col("thresh") > 0).then(held / pl.col("thresh")).alias("fill"),
        (pl.col("dirty") > pl.col("bg_thresh")).alias("over_background"),
        (held > freerun).alias("over_freerun"),
    )  # fmt: skip


@needs("global_dirty_state")
def df_dirty_rates(events: Events, every_ns: int = 1_000_000_000) -> pl.DataFrame:
    """Return how fast the machine dirtied and wrote pages, window by window, by the counters since boot.

    segment, time_ns, time_ns_end: of the last rows of two windows that follow; dirtied, written: pages between them;
    dirtied_kib_s, written_kib_s: with pages of 4 KiB.
    """
    rows = events.frame("global_dirty_state").select("segment", "time_ns", "line", "dirtied", "written")
    window = (pl.col("time_ns") // every_ns).alias("window")
    last = rows.sort("line").group_by("segment", window, maintain_order=True).last()
    before = pl.col("time_ns").shift(1).over("segment")
    steps = last.with_columns(
        before.alias("time_ns"),
        pl.col("time_ns").alias("time_ns_end"),
        *(pl.col(name).cast(pl.Int64).diff().over("segment").alias(name) for name in ("dirtied", "written")),
    ).filter(pl.col("time_ns").is_not_null() & (pl.col("time_ns_end") > pl.col("time_ns")))
    seconds = (pl.col("time_ns_end") - pl.col("time_ns")) / 1e9
    return steps.select(
        "segment", "time_ns", "time_ns_end", "dirtied", "written",
        (pl.col("dirtied") * KIB_PER_PAGE / seconds).alias("dirtied_kib_s"),
        (pl.col("written") * KIB_PER_PAGE / seconds).alias("written_kib_s"),
    )  # fmt: skip


@needs("bdi_dirty_ratelimit")
def df_bdi_rates(events: Events) -> pl.DataFrame:
    """Return what the kernel believes of each device, KiB/s: segment, line, time_ns, bdi, cgroup.

    write_bw, awrite_bw: bandwidth, of the last update and smoothed; dirty_rate; dirty_ratelimit: the base rate of each
    task; task_ratelimit; balanced_dirty_ratelimit.
    """
    return events.frame("bdi_dirty_ratelimit").select(
        "segment", "line", "time_ns", "bdi", cgroup(), "write_bw", "awrite_bw", "dirty_rate", "dirty_ratelimit",
        "task_ratelimit", "balanced_dirty_ratelimit",
    )  # fmt: skip


@needs("writeback_start", "writeback_written")
def df_flusher_work(events: Events) -> pl.DataFrame:
    """Return one row for each pass of a flusher, from writeback_start to the writeback_written that follows it.

    comm, pid, segment, line, line_end, time_ns, time_ns_end, took_ns; bdi, cgroup; reason: background, vmscan, sync,
    periodic... (null before 3.2); sync_mode, kupdate, background, range_cyclic, sb_dev (0:0: all); nr_pages: asked for;
    pages: written in this pass; took_ns and pages are null if the trace does not hold the end.
    """
    ends = events.frame("writeback_written").select(*TASK, "bdi", "line", "time_ns", "nr_pages")
    rows = named(pair(events.frame("writeback_start"), ends, (*TASK, "bdi")), events)
    return rows.select(
        "comm", "pid", "segment", "line", "line_end", "time_ns", "time_ns_end", lasted().alias("took_ns"), "bdi",
        cgroup(), "reason", "sync_mode", "kupdate", "background", "range_cyclic", "sb_dev", "nr_pages",
        (pl.col("nr_pages") - pl.col("nr_pages_end")).alias("pages"),
    )  # fmt: skip


@needs("writeback_start", "writeback_written")
def df_flusher_totals(events: Events) -> pl.DataFrame:
    """Return what the flushers wrote and why: bdi, cgroup, reason; passes, pages, took_ns, longest_ns."""
    return (
        df_flusher_work(events)
        .group_by("bdi", "cgroup", "reason")
        .agg(pl.len().alias("passes"), total("pages"), total("took_ns"), pl.col("took_ns").max().alias("longest_ns"))
        .sort("took_ns", "bdi", "reason", descending=[True, False, False], nulls_last=True)
    )


@needs("writeback_single_inode")
def df_inodes(events: Events) -> pl.DataFrame:
    """Return what was written of each inode.

    bdi, ino; passes; wrote: pages; redirtied: passes after which it was still or again dirty; requeues: times it was
    busy and put off, null if not recorded; took_ns: in these passes, null if their starts were not recorded; time_ns,
    time_ns_end: first and last pass.
    """
    rows = events.frame("writeback_single_inode")
    starts = events.frame("writeback_single_inode_start").select(*TASK, "bdi", "ino", "line", "time_ns")
    took = pair(starts, rows.select(*TASK, "bdi", "ino", "line", "time_ns"), (*TASK, "bdi", "ino"))
    took = took.select(pl.col("line_end").alias("line"), lasted().alias("took_ns")).drop_nulls("line")
    dirty = pl.col("state").cast(pl.String).str.contains("I_DIRTY")
    found = (
        rows.join(took, on="line", how="left")
        .group_by("bdi", "ino")
        .agg(
            pl.len().alias("passes"),
            total("wrote"),
            dirty.sum().alias("redirtied"),
            total("took_ns"),
            pl.col("time_ns").min(),
            pl.col("time_ns").max().alias("time_ns_end"),
        )
    )
    if "writeback_single_inode_requeue" in events:
        put_off = events.frame("writeback_single_inode_requeue").group_by("bdi", "ino").agg(pl.len().alias("requeues"))
        found = found.join(put_off, on=["bdi", "ino"], how="left").with_columns(pl.col("requeues").fill_null(0))
    else:
        found = found.with_columns(pl.lit(None, pl.UInt32).alias("requeues"))
    return found.sort("wrote", "ino", descending=[True, False], nulls_last=True)
