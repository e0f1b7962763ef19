# SPDX-License-Identifier: GPL-2.0-or-later
"""What the time in reclaim went to, and whose pages were written there: concluded from which event follows which.

The kernel prints mm_vmscan_writepage when writepage has returned: what passes before it is the writing itself. After
the sleep of lumpy reclaim (until 3.1) the same pages are gone through again, and each is waited for.

Source: Linux v2.6.34..v3.1 mm/vmscan.c:pageout, shrink_inactive_list, set_reclaim_mode.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from pageout.analysis.needs import needs
from pageout.analysis.pairs import TASK, lasted, named, open_at, pair, until_next
from pageout.analysis.reclaim import BEGINS, df_direct_reclaim, is_kswapd, list_of

if TYPE_CHECKING:
    from pageout.events.tables import Events

SLEEPS = ("mm_vmscan_throttled", "writeback_congestion_wait", "writeback_wait_iff_congested")
_WRITE, _SHRINK, _ISOLATE = "mm_vmscan_writepage", "mm_vmscan_lru_shrink_inactive", "mm_vmscan_lru_isolate"
_BLOCK = r"^block_(?:bio|rq|getrq|sleeprq|plug|unplug|split)"
_STEPS = (_WRITE, _SHRINK, _ISOLATE)


def _marks(events: Events) -> pl.DataFrame:
    """Return every known event: segment, pid, line, time_ns, what."""
    parts = [
        frame.select(*TASK, "line", "time_ns", pl.lit(name).alias("what"))
        for name, frame in events.frames.items()
        if len(frame)
    ]
    other = events.other.select(*TASK, "line", "time_ns", pl.lit("other").alias("what"))
    return pl.concat([*parts, other]).sort("line")


def is_lumpy(events: Events) -> bool:
    """Whether the kernel has lumpy reclaim: it says what it took around a page (until 3.2)."""
    isolated = events.frame(_ISOLATE)
    return _ISOLATE in events and isolated["contig_taken"].null_count() < len(isolated)


@needs("|".join(BEGINS))
def df_reclaim_steps(events: Events) -> pl.DataFrame:
    """Return what the time of each stall in reclaim went to, a row each step of a stall that ended.

    kind, segment, pid, comm, order, line: of the stall, as in df_direct_reclaim; step: see below; took_ns; times; at:
    the line of the longest.

    Steps: `writing file` and `writing anon`: in writepage, which ends with mm_vmscan_writepage, and in the block layer
    (`writing` where no such event says whose page it was); `asleep`: before an event that says a sleep is over;
    `for pages`: lumpy reclaim going through pages again, each waited for; `other`.
    """
    stalls = df_direct_reclaim(events).filter(pl.col("line_end").is_not_null())
    spans = stalls.select(
        *TASK, "line", "line_end", "kind", "order", pl.col("comm").cast(pl.String), pl.col("line").alias("stall")
    )
    marks = _with_lists(_marks(events), events)
    following = marks.with_columns(
        pl.col("time_ns").shift(-1).over(TASK).alias("until"), pl.col("what").shift(-1).over(TASK).alias("then"),
        pl.col("line").shift(-1).over(TASK).alias("at"), pl.col("lru").shift(-1).over(TASK).alias("wrote"),
    )  # fmt: skip
    columns = ["kind", "comm", "order", "stall"]
    inside = pl.concat(
        open_at(following, spans.filter(pl.col("kind") == kind), columns).filter(pl.col("stall").is_not_null())
        for kind in spans["kind"].unique(maintain_order=True).to_list()
    ) if len(spans) else open_at(following, spans, columns).clear()  # fmt: skip
    inside = inside.with_columns(
        pl.col("wrote").backward_fill().over("kind", "stall"), (pl.col("until") - pl.col("time_ns")).alias("took_ns")
    ).filter(pl.col("took_ns") >= 0)  # fmt: skip
    return (
        inside.with_columns(_step(is_lumpy(events)).alias("step"))
        .sort("took_ns", descending=True)
        .group_by("kind", "segment", "pid", "comm", "order", pl.col("stall").alias("line"), "step", maintain_order=True)
        .agg(pl.col("took_ns").sum(), pl.len().alias("times"), pl.col("at").first())
        .sort("line", "step")
    )


def _with_lists(marks: pl.DataFrame, events: Events) -> pl.DataFrame:
    """Return the events with lru: whose page it was, null where they are no mm_vmscan_writepage."""
    if _WRITE not in events:
        return marks.with_columns(pl.lit(None, pl.String).alias("lru"))
    lists = events.frame(_WRITE).select("line", list_of("flags").alias("lru"))
    return marks.join(lists, on="line", how="left", maintain_order="left")


def _step(lumpy: bool) -> pl.Expr:
    block = pl.col("what").str.contains(_BLOCK) | pl.col("then").str.contains(_BLOCK)
    again = pl.col("what").is_in(SLEEPS[1:]) & pl.col("then").is_in([_WRITE, _SHRINK]) & pl.lit(lumpy)
    writing = (pl.col("then") == _WRITE) | block
    whose = pl.when(pl.col("wrote").is_in(["file", "anon"])).then(pl.format("writing {}", "wrote"))
    return (
        pl.when(pl.col("then").is_in(SLEEPS)).then(pl.lit("asleep"))
        .when(again).then(pl.lit("for pages"))
        .when(writing).then(whose.otherwise(pl.lit("writing")))
        .otherwise(pl.lit("other"))
    )  # fmt: skip


@needs(_WRITE, _SHRINK)
def df_zone_writes(events: Events) -> pl.DataFrame:
    """Return what reclaim scanned, freed and wrote of files in each zone.

    nid; zid: the zone's number, null where the kernel reclaims whole nodes (4.8 and later); nr_scanned, nr_reclaimed:
    pages; kswapd, tasks: file pages written by kswapd, and by everybody else; line: of the first one written.
    """
    shrinks = events.frame(_SHRINK)
    zid = pl.col("zid") if "zid" in shrinks.columns else pl.lit(None, pl.Int32).alias("zid")
    batches = shrinks.select(*TASK, "line", "nid", zid, "nr_scanned", "nr_reclaimed").sort("line")
    writes = (
        events.frame(_WRITE)
        .filter(list_of("flags") == "file")
        .select(*TASK, "line", is_kswapd(events).alias("is_kswapd"))
        .sort("line")
    )
    of_batch = writes.join_asof(
        batches.select(*TASK, "line", "nid", "zid"), on="line", by=list(TASK), strategy="forward",
        check_sortedness=False,
    )  # fmt: skip
    written = of_batch.group_by("nid", "zid").agg(
        pl.col("is_kswapd").sum().cast(pl.Int64).alias("kswapd"),
        (~pl.col("is_kswapd")).sum().cast(pl.Int64).alias("tasks"),
        pl.col("line").first(),
    )
    scanned = batches.group_by("nid", "zid").agg(pl.col("nr_scanned", "nr_reclaimed").cast(pl.Int64).sum())
    return (
        scanned.join(written, on=["nid", "zid"], how="full", coalesce=True, nulls_equal=True)
        .with_columns(pl.col("kswapd", "tasks", "nr_scanned", "nr_reclaimed").fill_null(0))
        .sort("nid", "zid", nulls_last=True)
    )


@needs("balance_dirty_wait|balance_dirty_start")
def df_limit_waits(events: Events, longest_ns: int = 100_000_000) -> pl.DataFrame:
    """Return how long writers over the limit were held back, until 3.1, by task and device.

    bdi, comm, pid; waits: times one slept there; asleep_ns: at most, from the event to the task's next, since a sleep
    says no time; none is longer than `longest_ns`: the kernel's longest pause is 100 ms; wrote: times it wrote pages
    itself, writing_ns: how long that took; line: of its first wait, of its first write if it never waited.
    """
    waits = until_next(named(events.frame("balance_dirty_wait"), events), events)
    starts = named(events.frame("balance_dirty_start"), events)
    ends = events.frame("balance_dirty_written").select(*TASK, "bdi", "line", "time_ns")
    writes = pair(starts, ends, (*TASK, "bdi"))
    by = ("bdi", "comm", "pid")
    slept = waits.group_by(*by).agg(
        pl.len().alias("waits"), pl.col("seen_ns").clip(upper_bound=longest_ns).sum().alias("asleep_ns"),
        pl.col("line").first(),
    )  # fmt: skip
    wrote = writes.group_by(*by).agg(
        pl.len().alias("wrote"), lasted().sum().alias("writing_ns"), pl.col("line").first().alias("line_wrote")
    )
    return (
        slept.join(wrote, on=list(by), how="full", coalesce=True, nulls_equal=True)
        .with_columns(pl.col("waits", "asleep_ns", "wrote", "writing_ns").fill_null(0))
        .with_columns(pl.coalesce("line", "line_wrote").alias("line"))
        .drop("line_wrote")
        .sort("asleep_ns", "pid", descending=[True, False])
    )
