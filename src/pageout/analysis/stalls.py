# SPDX-License-Identifier: GPL-2.0-or-later
"""Waits: who waited, for what, on what, how long; and who held it.

Each wait says how its time is known, since not all times are alike:

    measured  from the event that began it to the one that ended it
    reported  the kernel says the time itself (in jiffies: 0 may be less than one)
    asked     what the task was about to sleep; the sleep itself is not traced
    at most   to the task's next event: the sleep, and what it did after
    unended   the trace does not hold the end: no time is given
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import polars as pl

from pageout.analysis.block import df_requests
from pageout.analysis.compaction import df_compaction
from pageout.analysis.journal import df_fsync
from pageout.analysis.needs import needs
from pageout.analysis.pairs import named, open_at, until_next
from pageout.analysis.reclaim import KINDS, df_direct_reclaim, df_throttled
from pageout.analysis.writeback import cgroup, df_dirty_throttle, df_flusher_work

if TYPE_CHECKING:
    from pageout.events.tables import Events

COLUMNS = {
    "site": pl.String, "on": pl.String, "cgroup": pl.String, "comm": pl.String, "pid": pl.Int32, "segment": pl.UInt16,
    "line": pl.UInt32, "line_end": pl.UInt32, "time_ns": pl.Int64, "time_ns_end": pl.Int64, "wait_ns": pl.Int64,
    "known": pl.String,
}  # fmt: skip
_NS_PER_MS = 1_000_000
_SPAN = ("line_end", "time_ns_end")


def _null(name: str) -> pl.Expr:
    return pl.lit(None, COLUMNS[name]).alias(name)


def _text(name: str) -> pl.Expr:
    return pl.col(name).cast(pl.String)


def _disk(name: str) -> pl.Expr:
    """Return `dev 8:0` for a bdi 8:0 or a dev 8,0: they are one disk; any other bdi (btrfs-1) by its own name."""
    text = _text(name).str.replace(",", ":", literal=True)
    return pl.when(text.str.contains(r"^\d+:\d+$")).then(pl.format("dev {}", text)).otherwise(pl.format("bdi {}", text))


def _table(rows: pl.DataFrame, *columns: pl.Expr) -> pl.DataFrame:
    """Return rows with all of COLUMNS, of their types: those given, else the rows' own, else null."""
    given = {column.meta.output_name(): column for column in columns}
    chosen = [given.get(name, pl.col(name) if name in rows.columns else _null(name)) for name in COLUMNS]
    return rows.select(column.cast(COLUMNS[name]) for name, column in zip(COLUMNS, chosen, strict=True))


def _measured(took: str) -> tuple[pl.Expr, pl.Expr]:
    known = pl.when(pl.col(took).is_null()).then(pl.lit("unended")).otherwise(pl.lit("measured"))
    return pl.col(took).alias("wait_ns"), known.alias("known")


def _reported(rows: pl.DataFrame, site: pl.Expr, on: pl.Expr, nanoseconds: pl.Expr) -> pl.DataFrame:
    """Return waits of events that come when the wait is over and say how long it was."""
    return _table(
        rows,
        site.alias("site"),
        on.alias("on"),
        pl.lit(None, pl.UInt32).alias("line_end"),
        (pl.col("time_ns") - nanoseconds).alias("time_ns"),
        pl.col("time_ns").alias("time_ns_end"),
        nanoseconds.alias("wait_ns"),
        pl.lit("reported").alias("known"),
    )


def _dirty(events: Events) -> pl.DataFrame:
    rows = df_dirty_throttle(events).filter(pl.col("asked_ns") > 0)
    return _table(
        rows,
        pl.lit("dirty limit").alias("site"),
        _disk("bdi").alias("on"),
        (pl.col("time_ns") + pl.col("asked_ns")).alias("time_ns_end"),
        pl.col("asked_ns").alias("wait_ns"),
        pl.lit("asked").alias("known"),
    )


def _dirty_until_3_1(events: Events) -> pl.DataFrame:
    """The writer sleeps after this event and looks at the limit again: it says no time."""
    rows = until_next(named(events.frame("balance_dirty_wait"), events), events)
    known = pl.when(pl.col("seen_ns").is_null()).then(pl.lit("unended")).otherwise(pl.lit("at most"))
    return _table(
        rows,
        pl.lit("dirty limit").alias("site"),
        _disk("bdi").alias("on"),
        cgroup(),
        pl.col("next_line").alias("line_end"),
        (pl.col("time_ns") + pl.col("seen_ns")).alias("time_ns_end"),
        pl.col("seen_ns").alias("wait_ns"),
        known.alias("known"),
    )


def _reclaim(events: Events) -> pl.DataFrame:
    rows = df_direct_reclaim(events)
    nid = pl.when(pl.col("nid").is_not_null()).then(pl.format("node {}", "nid"))
    return _table(rows, pl.format("{} reclaim", "kind").alias("site"), nid.alias("on"), *_measured("stall_ns"))


def _throttle(events: Events) -> pl.DataFrame:
    rows = df_throttled(events)
    kernel = pl.col("reason").is_in(["congestion_wait", "wait_iff_congested"])
    site = pl.when(kernel).then("reason").otherwise(pl.format("reclaim_throttle {}", "reason"))
    nid = pl.when(pl.col("nid").is_not_null()).then(pl.format("node {}", "nid"))
    return _reported(rows, site, nid, pl.col("delayed_ns"))


def _compaction(events: Events) -> pl.DataFrame:
    rows = df_compaction(events).filter(~pl.col("background"))
    return _table(rows, pl.lit("compaction").alias("site"), *_measured("took_ns"))


def _fsync(events: Events) -> pl.DataFrame:
    on = _disk("dev").alias("on")
    return _table(df_fsync(events), pl.lit("fsync").alias("site"), on, *_measured("took_ns"))


def _device(events: Events) -> pl.DataFrame:
    """Reads and synchronous writes: somebody is likely to wait for these, not for readahead or the flusher's writes."""
    rows = df_requests(events).filter(((pl.col("op") == "read") & ~pl.col("readahead")) | pl.col("sync"))
    on = _disk("dev").alias("on")
    return _table(rows, pl.format("device {}", "op").alias("site"), on, *_measured("whole_ns"))


def _buffer(events: Events) -> pl.DataFrame:
    rows = named(events.frame("jbd2_lock_buffer_stall"), events)
    on = _disk("dev")
    return _reported(rows, pl.lit("journal buffer"), on, pl.col("stall_ms").cast(pl.Int64) * _NS_PER_MS)


def _scheduler(name: str) -> Callable[[Events], pl.DataFrame]:
    def rows_of(events: Events) -> pl.DataFrame:
        rows = events.frame(f"sched_stat_{name}")
        target = rows.with_columns(_text("target_comm").alias("comm"), pl.col("target_pid").alias("pid"))
        return _reported(target, pl.lit(f"scheduler: {name}"), _null("on"), pl.col("delay").cast(pl.Int64))

    return rows_of


_SOURCES: tuple[tuple[str, Callable[[Events], pl.DataFrame]], ...] = (
    ("balance_dirty_pages", _dirty),
    ("balance_dirty_wait", _dirty_until_3_1),
    *((f"mm_vmscan_{kind}_reclaim_begin", _reclaim) for kind in KINDS),
    ("mm_vmscan_throttled", _throttle),
    ("writeback_congestion_wait", _throttle),
    ("writeback_wait_iff_congested", _throttle),
    ("mm_compaction_begin", _compaction),
    ("ext4_sync_file_enter", _fsync),
    ("jbd2_lock_buffer_stall", _buffer),
    ("block_rq_issue", _device),
    ("sched_stat_iowait", _scheduler("iowait")),
    ("sched_stat_blocked", _scheduler("blocked")),
)


@needs("|".join(name for name, _ in _SOURCES))
def df_waits(events: Events) -> pl.DataFrame:
    """Return every wait the trace shows, whichever of its tracepoints were recorded, in the order of lines.

    site: dirty limit, direct reclaim, memcg reclaim, memcg soft limit reclaim, node reclaim, reclaim_throttle REASON,
    congestion_wait, wait_iff_congested, compaction, fsync, journal buffer, device read or write, scheduler: iowait or
    blocked; on: `dev 8:0` (a disk, whether the event says bdi or dev), `bdi btrfs-1`, `node 0`, null if the events do
    not say; cgroup: its path or inode; comm, pid; segment, line, line_end; time_ns, time_ns_end: from, to; wait_ns:
    how long, null if not known; known: measured, reported, asked, at most, unended (see this module); inside: the
    site of a wait of the same task this one is part of: do not add the two.
    """
    sources = dict.fromkeys(source for name, source in _SOURCES if name in events)
    waits = pl.concat([source(events) for source in sources]).sort("line", "site")
    return _nested(waits)


def _nested(waits: pl.DataFrame) -> pl.DataFrame:
    """Return the waits with inside: what of the same task was open at their line."""
    spans = waits.filter(pl.col("known").is_in(["measured", "unended"]))
    inside: pl.Expr = pl.lit(None, pl.String)
    rows = waits
    for n, site in enumerate(("fsync", *(f"{kind} reclaim" for kind in KINDS.values()), "compaction")):
        name = f"in_{n}"
        outer = spans.filter(pl.col("site") == site).with_columns(pl.col("site").alias(name), pl.col("line") + 1)
        rows = open_at(rows, outer, [name])
        inside = pl.coalesce(pl.when(pl.col(name) != pl.col("site")).then(name), inside)
    return rows.with_columns(inside.alias("inside")).select(*COLUMNS, "inside")


@needs("|".join(name for name, _ in _SOURCES))
def df_wait_totals(events: Events) -> pl.DataFrame:
    """Return who waited for what, the longest first.

    site, on, cgroup, comm, pid, inside: as in df_waits; waits; wait_ns, longest_ns: of those whose time is known, null
    if none; unended: waits whose end the trace does not hold; time_ns, time_ns_end: from the first to the last.
    """
    by = ("site", "on", "cgroup", "comm", "pid", "inside")
    return (
        df_waits(events)
        .group_by(*by)
        .agg(
            pl.len().alias("waits"),
            pl.when(pl.col("wait_ns").count() > 0).then(pl.col("wait_ns").sum()).alias("wait_ns"),
            pl.col("wait_ns").max().alias("longest_ns"),
            (pl.col("known") == "unended").sum().alias("unended"),
            pl.col("time_ns").min(),
            pl.col("time_ns_end").max(),
        )
        .sort("wait_ns", *by, descending=[True, *[False] * len(by)], nulls_last=True)
    )


@needs("writeback_start|block_rq_issue")
def df_holders(events: Events) -> pl.DataFrame:
    """Return who worked at what others wait for: the flushers of each bdi, the tasks whose requests a device had.

    on: as in df_waits; role: flusher or device; comm, pid; busy_ns: time in passes, or the sum of
    its requests' times at the device; share: of the busy_ns of this role there; work: pages written or requests;
    unended: passes or requests whose end the trace does not hold; waiters, waited_ns: tasks other than this one that
    waited on it, and how long together, null if the trace shows no wait there.
    """
    parts = [source(events) for name, source in (("writeback_start", _flushers), ("block_rq_issue", _devices))
             if name in events]  # fmt: skip
    held = pl.concat(parts)
    waits = df_waits.or_none(events)
    columns = {"waiters": pl.UInt32, "waited_ns": pl.Int64}
    if waits is None:
        return held.with_columns(pl.lit(None, dtype).alias(name) for name, dtype in columns.items())
    met = held.join(waits.select("on", pl.col("pid").alias("waiter"), "wait_ns"), on="on", how="inner")
    others = met.filter(pl.col("waiter") != pl.col("pid"))
    waited = others.group_by("on", "role", "comm", "pid").agg(
        pl.col("waiter").n_unique().alias("waiters"), pl.col("wait_ns").sum().alias("waited_ns")
    )
    keys = ["on", "role", "comm", "pid"]
    return held.join(waited, on=keys, how="left", nulls_equal=True).sort(
        "waited_ns", "busy_ns", "on", "pid", descending=[True, True, False, False], nulls_last=True
    )


def _held(rows: pl.DataFrame, role: str, busy: str, work: pl.Expr) -> pl.DataFrame:
    found = rows.group_by("on", "comm", "pid").agg(
        pl.when(pl.col(busy).count() > 0).then(pl.col(busy).sum()).alias("busy_ns"),
        work.cast(pl.Int64).alias("work"),
        pl.col("line_end").null_count().alias("unended"),
    )
    share = (pl.col("busy_ns") / pl.col("busy_ns").sum().over("on")).alias("share")
    return found.select("on", pl.lit(role).alias("role"), "comm", "pid", "busy_ns", share, "work", "unended")


def _flushers(events: Events) -> pl.DataFrame:
    rows = df_flusher_work.or_none(events)
    if rows is None:  # starts only: they were there, nobody knows how long
        starts = named(events.frame("writeback_start"), events)
        rows = starts.with_columns(
            pl.lit(None, pl.Int64).alias("took_ns"), pl.lit(None, pl.Int64).alias("pages"),
            pl.lit(None, pl.UInt32).alias("line_end"),
        )  # fmt: skip
    on = rows.with_columns(_disk("bdi").alias("on"))
    return _held(on, "flusher", "took_ns", pl.when(pl.col("pages").count() > 0).then(pl.col("pages").sum()))


def _devices(events: Events) -> pl.DataFrame:
    rows = df_requests(events)
    on = rows.with_columns(_disk("dev").alias("on"))
    return _held(on, "device", "latency_ns", pl.len())
