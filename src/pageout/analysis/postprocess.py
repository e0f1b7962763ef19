# SPDX-License-Identifier: GPL-2.0-or-later
"""What the kernel's trace-vmscan-postprocess.pl reports, of any kernel's trace: that script prints zeroes since 4.8.

Where the two differ on purpose: what was not recorded is null, not 0; work counts for direct reclaim or for kswapd by
what the task was in, not by what it did once in the trace; a request for kswapd counts whoever made it; an end without
a begin, or a sleep without a wake, adds no time. As there, time is the sum over tasks, so it may exceed the clock's.

Source: Linux v3.1 Documentation/trace/postprocess/trace-vmscan-postprocess.pl (its output, not its code).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from pageout.analysis.needs import needs
from pageout.analysis.reclaim import (
    df_direct_reclaim,
    df_isolated,
    df_kswapd,
    df_kswapd_requests,
    df_lru,
    df_reclaim_writes,
)

if TYPE_CHECKING:
    from pageout.events.tables import Events

SCANNED_FROM = ("mm_vmscan_lru_isolate", "mm_vmscan_lru_shrink_inactive")  # the first of them that was recorded
_SUMMARY = {  # the script's order and words, with the name of each figure
    "Direct reclaims": "direct_reclaims",
    "Direct reclaim pages scanned": "direct_scanned",
    "Direct reclaim pages reclaimed": "direct_reclaimed",
    "Direct reclaim write file sync I/O": "direct_file_sync",
    "Direct reclaim write anon sync I/O": "direct_anon_sync",
    "Direct reclaim write file async I/O": "direct_file_async",
    "Direct reclaim write anon async I/O": "direct_anon_async",
    "Wake kswapd requests": "kswapd_requests",
    "Time stalled direct reclaim": "direct_seconds",
    "Kswapd wakeups": "kswapd_wakeups",
    "Kswapd pages scanned": "kswapd_scanned",
    "Kswapd pages reclaimed": "kswapd_reclaimed",
    "Kswapd reclaim write file sync I/O": "kswapd_file_sync",
    "Kswapd reclaim write anon sync I/O": "kswapd_anon_sync",
    "Kswapd reclaim write file async I/O": "kswapd_file_async",
    "Kswapd reclaim write anon async I/O": "kswapd_anon_async",
    "Time kswapd awake": "kswapd_seconds",
}


@dataclass(frozen=True)
class Summary:
    """The script's four reports.

    latencies: comm, pid, order, ms: one row each direct reclaim that was seen to end
    processes: comm, pid, order, reclaims, stalled_ns, wakeups: by task and order
    kswapds: comm, pid, nid, wakeups, rewakes, awake_ns, order_max
    pages: by (direct or kswapd), comm, pid: scanned, reclaimed, and written as file_sync, file_async, anon_sync,
        anon_async; null: not recorded
    totals: the script's Summary by its own words; None: not recorded, or (a time) none was seen to end
    scanned_from: the event pages scanned are summed from, "" if none was recorded
    """

    latencies: pl.DataFrame
    processes: pl.DataFrame
    kswapds: pl.DataFrame
    pages: pl.DataFrame
    totals: dict[str, int | float | None]
    scanned_from: str

    def text(self) -> str:
        """Return the Summary as the script prints it, with `not recorded` where it would print 0."""
        width = max(map(len, self.totals)) + 2
        return "\n".join(f"{label + ':':<{width}} {_shown(value)}" for label, value in self.totals.items())


def _shown(value: float | None) -> str:
    if value is None:
        return "not recorded"
    return f"{value:.2f} seconds" if isinstance(value, float) else str(value)


@needs(
    "mm_vmscan_direct_reclaim_begin|mm_vmscan_kswapd_wake|mm_vmscan_wakeup_kswapd|mm_vmscan_lru_isolate|"
    "mm_vmscan_lru_shrink_inactive|mm_vmscan_writepage"
)
def summary(events: Events) -> Summary:
    """Return the reports of the kernel's own script on these events."""
    direct = df_direct_reclaim.or_none(events)
    if "mm_vmscan_direct_reclaim_begin" not in events:
        direct = None
    stalls = _no_stalls() if direct is None else direct.filter(pl.col("kind") == "direct")
    kswapd, asked = df_kswapd.or_none(events), df_kswapd_requests.or_none(events)
    pages = _pages(events)
    figures: dict[str, int | float | None] = {
        "direct_reclaims": None if direct is None else len(stalls),
        "direct_seconds": None if direct is None else _seconds(stalls["stall_ns"]),
        "kswapd_requests": None if asked is None else int(asked["wakeups"].sum()),
        "kswapd_wakeups": None if kswapd is None else len(kswapd),
        "kswapd_seconds": None if kswapd is None else _seconds(kswapd["awake_ns"]),
    }
    for by in ("direct", "kswapd"):
        of = pages.filter(pl.col("by") == by)
        for what in _PAGES:
            recorded = what in _recorded(events)
            figures[f"{by}_{what}"] = int(of[what].fill_null(0).sum()) if recorded else None
    return Summary(
        stalls.filter(pl.col("stall_ns").is_not_null()).select(
            "comm", "pid", "order", (pl.col("stall_ns") / 1e6).alias("ms")
        ),
        _processes(stalls, asked),
        _kswapds(kswapd),
        pages,
        {label: figures[name] for label, name in _SUMMARY.items()},
        _scanned_from(events),
    )


def _seconds(nanoseconds: pl.Series) -> float | None:
    """Return the sum in seconds, None if not one of these times is known."""
    known = nanoseconds.drop_nulls()
    return int(known.sum()) / 1e9 if len(known) else None


def _no_stalls() -> pl.DataFrame:
    schema = {"comm": pl.String, "pid": pl.Int32, "order": pl.Int32, "stall_ns": pl.Int64}
    return pl.DataFrame(schema=schema)


def _scanned_from(events: Events) -> str:
    return next((name for name in SCANNED_FROM if name in events), "")


_WRITES = ("file_sync", "file_async", "anon_sync", "anon_async")
_PAGES = ("scanned", "reclaimed", *_WRITES)


def _recorded(events: Events) -> set[str]:
    """Return which figures of pages this trace can give."""
    found = {"scanned"} if _scanned_from(events) else set()
    if "mm_vmscan_lru_shrink_inactive" in events:
        found.add("reclaimed")
    return found | set(_WRITES) if "mm_vmscan_writepage" in events else found


def _pages(events: Events) -> pl.DataFrame:
    """Return pages by what the task was in, and task; null where nothing was recorded for a figure."""
    keys = ["by", "comm", "pid"]
    parts = []
    lru, isolated, writes = df_lru.or_none(events), df_isolated.or_none(events), df_reclaim_writes.or_none(events)
    if isolated is not None:
        rows = isolated.filter(~pl.col("rotation"))
        parts.append(rows.select(*keys, pl.lit("scanned").alias("what"), pl.col("nr_scanned").alias("pages")))
    if lru is not None:
        if isolated is None:
            parts.append(lru.select(*keys, pl.lit("scanned").alias("what"), pl.col("nr_scanned").alias("pages")))
        parts.append(lru.select(*keys, pl.lit("reclaimed").alias("what"), pl.col("nr_reclaimed").alias("pages")))
    if writes is not None:
        mode = pl.when("sync").then(pl.lit("sync")).otherwise(pl.lit("async"))
        kind = pl.format("{}_{}", pl.when(pl.col("lru") == "file").then("lru").otherwise(pl.lit("anon")), mode)
        parts.append(writes.select(*keys, kind.alias("what"), pl.col("pages").cast(pl.Int64)))
    schema = {"by": pl.String, "comm": pl.String, "pid": pl.Int32, "what": pl.String, "pages": pl.Int64}
    rows = pl.concat(parts) if parts else pl.DataFrame(schema=schema)
    known = _recorded(events)
    return (
        rows.group_by(*keys)
        .agg(
            (pl.col("pages").filter(pl.col("what") == what).sum() if what in known else pl.lit(None, pl.Int64)).alias(
                what
            )
            for what in _PAGES
        )
        .sort(*keys, nulls_last=True)
    )


def _processes(stalls: pl.DataFrame, asked: pl.DataFrame | None) -> pl.DataFrame:
    by = ["pid", "order"]
    rows = stalls.group_by(by).agg(
        pl.col("comm").cast(pl.String).drop_nulls().first(), pl.len().alias("reclaims"),
        pl.col("stall_ns").sum().alias("stalled_ns"),
    )  # fmt: skip
    if asked is None:
        return rows.with_columns(pl.lit(None, pl.UInt32).alias("wakeups")).sort(by)
    woken = asked.group_by(by).agg(pl.col("comm").drop_nulls().first().alias("name"), pl.col("wakeups").sum())
    met = rows.join(woken, on=by, how="full", coalesce=True)
    return met.select(
        pl.coalesce("comm", "name").alias("comm"), *by, pl.col("reclaims").fill_null(0),
        pl.col("stalled_ns").fill_null(0), pl.col("wakeups").fill_null(0),
    ).sort(by)  # fmt: skip


def _kswapds(kswapd: pl.DataFrame | None) -> pl.DataFrame:
    if kswapd is None:
        kswapd = pl.DataFrame(schema={"comm": pl.String, "pid": pl.Int32, "nid": pl.Int32, "rewakes": pl.Int64,
                                      "awake_ns": pl.Int64, "order_max": pl.Int32})  # fmt: skip
    return (
        kswapd.group_by("pid", "nid")
        .agg(
            pl.col("comm").cast(pl.String).drop_nulls().first(),
            pl.len().alias("wakeups"),
            pl.col("rewakes").sum(),
            pl.when(pl.col("awake_ns").count() > 0).then(pl.col("awake_ns").sum()).alias("awake_ns"),
            pl.col("order_max").max(),
        )
        .sort("pid", "nid")
    )
