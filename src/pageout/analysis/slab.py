# SPDX-License-Identifier: GPL-2.0-or-later
"""Shrinkers: which one takes the time of reclaim, and what it frees.

Source: Linux v3.1..v6.18 mm/vmscan.c:shrink_slab, mm/shrinker.c:do_shrink_slab.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from pageout.analysis.needs import needs
from pageout.analysis.pairs import TASK, lasted, named, pair, total
from pageout.analysis.reclaim import reclaimer

if TYPE_CHECKING:
    from pageout.events.tables import Events


@needs("mm_shrink_slab_start")
def df_shrinker_calls(events: Events) -> pl.DataFrame:
    """Return one row each time a shrinker was called.

    shrinker: its function; by: kswapd or the kind of reclaim, null if the trace does not say; comm, pid, segment, nid,
    line, line_end, time_ns, time_ns_end, took_ns: null if the trace does not hold the end; cache_items, total_scan,
    nr_freed: objects; nr_freed is null before 3.12, whose event holds what the shrinker said last instead.
    """
    rows = pair(events.frame("mm_shrink_slab_start"), _ends(events), (*TASK, "shrinker", "shrinker_at"))
    rows = named(reclaimer(rows, events), events)
    return rows.select(
        pl.col("shrinker").cast(pl.String).str.replace(r"\+0x.*$", ""), "by", "comm", "pid", "segment", "nid", "line",
        "line_end", "time_ns", "time_ns_end", lasted().alias("took_ns"), "cache_items", "total_scan",
        pl.when(pl.col("nid").is_not_null()).then(pl.col("retval_end")).alias("nr_freed"),
    )  # fmt: skip


def _ends(events: Events) -> pl.DataFrame:
    return events.frame("mm_shrink_slab_end").select(*TASK, "shrinker", "shrinker_at", "line", "time_ns", "retval")


@needs("mm_shrink_slab_start")
def df_shrinkers(events: Events) -> pl.DataFrame:
    """Return what each shrinker cost, the dearest first.

    shrinker; by: as in df_shrinker_calls; calls; unfinished; took_ns, longest_ns: null if no call was seen to end;
    total_scan, nr_freed: objects.
    """
    calls = df_shrinker_calls(events)
    return (
        calls.group_by("shrinker", "by")
        .agg(
            pl.len().alias("calls"),
            pl.col("line_end").null_count().alias("unfinished"),
            total("took_ns"),
            pl.col("took_ns").max().alias("longest_ns"),
            total("total_scan"),
            total("nr_freed"),
        )
        .sort("took_ns", "shrinker", descending=[True, False], nulls_last=True)
    )
