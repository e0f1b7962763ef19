# SPDX-License-Identifier: GPL-2.0-or-later
"""Out of memory: who was chosen, and how often allocations were tried again before.

Source: Linux v4.13..v6.18 mm/oom_kill.c:mark_oom_victim, mm/page_alloc.c:should_reclaim_retry, should_compact_retry.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from pageout.analysis.needs import needs
from pageout.analysis.pairs import named

if TYPE_CHECKING:
    from pageout.events.tables import Events


@needs("mark_victim")
def df_oom(events: Events) -> pl.DataFrame:
    """Return one row for each task chosen to die.

    segment, line, time_ns; comm, pid: the task that ran out of memory; target_pid, target_comm: the victim, its name
    null before 6.8; total_vm, anon_rss, file_rss, shmem_rss, pgtables: KiB, uid, oom_score_adj: null before 6.8.
    """
    return named(events.frame("mark_victim"), events).select(
        "segment", "line", "time_ns", "comm", "pid", "target_pid", "target_comm", "total_vm", "anon_rss", "file_rss",
        "shmem_rss", "pgtables", "uid", "oom_score_adj",
    )  # fmt: skip


@needs("reclaim_retry_zone")
def df_retries(events: Events) -> pl.DataFrame:
    """Return how often allocations asked whether to try reclaim again, by task, zone and order.

    comm, pid, nid, zone, order; tries; most_loops: most times in a row without progress (16 ends it); refused: times
    no watermark could be reached even with all reclaimable pages; reclaimable, available, min_wmark: of the last
    time, pages; time_ns, time_ns_end: first and last time.
    """
    by = ("comm", "pid", "nid", "zone", "order")
    return (
        named(events.frame("reclaim_retry_zone"), events)
        .group_by(*by)
        .agg(
            pl.len().alias("tries"),
            pl.col("no_progress_loops").max().alias("most_loops"),
            (pl.col("wmark_check") == 0).sum().alias("refused"),
            pl.col("reclaimable", "available", "min_wmark").last(),
            pl.col("time_ns").first(),
            pl.col("time_ns").last().alias("time_ns_end"),
        )
        .sort(*by, nulls_last=True)
    )
