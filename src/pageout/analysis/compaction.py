# SPDX-License-Identifier: GPL-2.0-or-later
"""Compaction: who was in it, how long, for which order, and how it ended.

Source: Linux v3.11..v6.18 mm/compaction.c:compact_zone, try_to_compact_pages, kcompactd.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from pageout.analysis.needs import needs
from pageout.analysis.pairs import TASK, lasted, named, pair, total

if TYPE_CHECKING:
    from pageout.events.tables import Events

KCOMPACTD_NAME = r"^kcompactd\d+$"


def _orders(events: Events) -> pl.DataFrame:
    """Return segment, pid, line, order of what says for which order a task goes on to compact."""
    tried = events.frame("mm_compaction_try_to_compact_pages").select(*TASK, "line", "order")
    woken = events.frame("mm_compaction_kcompactd_wake").select(*TASK, "line", "order")
    return pl.concat([tried, woken]).sort("line")


@needs("mm_compaction_begin")
def df_compaction(events: Events) -> pl.DataFrame:
    """Return one row each time a task compacted a zone.

    comm, pid, segment, line, line_end, time_ns, time_ns_end, took_ns: null if the trace does not hold the end; order:
    of the task's last mm_compaction_try_to_compact_pages or kcompactd_wake, null if there is none; mode: sync or
    async, null before 4.0; status: how it ended; background: it is a kcompactd, nobody waits for it.
    """
    ends = events.frame("mm_compaction_end").select(*TASK, "line", "time_ns", "status")
    rows = named(pair(events.frame("mm_compaction_begin"), ends), events).sort("line")
    met = rows.join_asof(_orders(events), on="line", by=list(TASK), strategy="backward", check_sortedness=False)
    background = pl.col("comm").str.contains(KCOMPACTD_NAME).fill_null(False).alias("background")
    return met.select(
        "comm", "pid", "segment", "line", "line_end", "time_ns", "time_ns_end", lasted().alias("took_ns"), "order",
        "mode", pl.col("status_end").alias("status"), background,
    )  # fmt: skip


@needs("mm_compaction_begin")
def df_compaction_totals(events: Events) -> pl.DataFrame:
    """Return compaction summed: comm, pid, order, mode, status; runs, took_ns, longest_ns; the longest first."""
    by = ("comm", "pid", "order", "mode", "status")
    return (
        df_compaction(events)
        .group_by(*by)
        .agg(pl.len().alias("runs"), total("took_ns"), pl.col("took_ns").max().alias("longest_ns"))
        .sort("took_ns", *by, descending=[True, *[False] * len(by)], nulls_last=True)
    )


@needs("mm_page_alloc_extfrag")
def df_fragmentation(events: Events) -> pl.DataFrame:
    """Return allocations that broke into blocks of another type: alloc_order, fallback_order, fragmenting; events.

    fragmenting: the piece taken was smaller than a block, which stays mixed.
    """
    rows = events.frame("mm_page_alloc_extfrag")
    by = ("alloc_order", "fallback_order", "fragmenting")
    return rows.group_by(*by).agg(pl.len().alias("events")).sort(*by)
