# SPDX-License-Identifier: GPL-2.0-or-later
"""How long a machine's CPU takes to put a page under writeback, by what a writer beside the flusher did not get.

On one CPU a writer that is not held and does not reclaim itself either runs or waits for the CPU. Between two
checks of it (global_dirty_state) it dirtied so many pages, at a cost a page that checks with nothing between them
tell; what other tasks had is told by events of theirs that follow each other; the rest was the flusher's, which put so
many pages under writeback meanwhile. One rule for every recording; several CPUs, or too few such moments, tell nothing.
"""

from __future__ import annotations

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from pageout.events.tables import Events
from pageout.vocabulary.scenario import Machine

Ints = NDArray[np.int64]

CHECK, HELD = "global_dirty_state", "balance_dirty_pages"
MOVED, DIRTIED = 512, 16  # pages between two checks that tell of the flusher, of the writer
ENOUGH, ENOUGH_TURNS = 16, 3  # checks with nothing between them; with a flusher's work
RECLAIM = (
    "mm_vmscan_lru_shrink_inactive", "mm_vmscan_direct_reclaim_begin", "mm_vmscan_direct_reclaim_end",
    "mm_vmscan_throttled",
)  # fmt: skip
IDLE = 0  # pid of a CPU that has nothing to do
LONGEST_NS = 1_000_000


def with_flusher_cost(events: Events | None, machine: Machine, notes: list[str]) -> Machine:
    """Return the machine with the recording's own cost, if it tells."""
    writepage_ns = flusher_cost(events) if machine.cpus == 1 else None
    if writepage_ns is None:
        return machine
    notes.append(f"flusher: {writepage_ns} ns to put a page under writeback, by what the writer beside it did not get")
    return msgspec.structs.replace(machine, writepage_ns=writepage_ns)


def flusher_cost(events: Events | None) -> int | None:
    """Return ns a page of a machine with one CPU, None if too few moments tell."""
    if events is None or not len(events.frame(HELD)) or "writeback_start" not in events.frames:
        return None
    flushers = events.frame("writeback_start")["pid"].unique()
    spans = _spans(events).filter(~pl.col("pid").is_in(flushers.implode()))
    if not len(spans):
        return None
    spans = spans.with_columns(**_between(events, spans, flushers.to_numpy()))
    a_page = spans.filter((pl.col("events") == 0) & (pl.col("moved") == 0) & (pl.col("nr_dirtied") >= DIRTIED))
    turns = spans.filter((pl.col("moved") >= MOVED) & (pl.col("ended") == 0) & ~pl.col("disturbed"))
    if len(a_page) < ENOUGH or len(turns) < ENOUGH_TURNS:
        return None
    writer_ns = (a_page["took_ns"] / a_page["nr_dirtied"]).median()
    left = turns["took_ns"] - turns["nr_dirtied"] * float(writer_ns or 0) - turns["others_ns"]  # type: ignore[arg-type]
    found = (left / turns["moved"]).median()
    return min(round(found), LONGEST_NS) if isinstance(found, float) and found >= 1 else None


def _spans(events: Events) -> pl.DataFrame:
    """Return the spans between two checks of one writer that was not told to pause at the first."""
    checks = events.frame(CHECK).select("line", "time_ns", "pid", "writeback", "dirtied", "written")
    writers = events.frame(HELD)["pid"].unique()
    checks = (
        checks.cast(pl.Int64, strict=False).drop_nulls().filter(pl.col("pid").is_in(writers.cast(pl.Int64).implode()))
    )
    held = events.frame(HELD).filter(pl.col("pause").cast(pl.Int64) > 0).sort("line")["line"].to_numpy()
    spans = checks.sort("pid", "line").with_columns(
        begin=pl.col("line").shift(1).over("pid"),
        from_ns=pl.col("time_ns").shift(1).over("pid"),
        nr_dirtied=pl.col("dirtied").diff().over("pid"),
        ended=pl.col("written").diff().over("pid"),
        moved=(pl.col("writeback") + pl.col("written")).diff().over("pid"),
    )
    spans = spans.drop_nulls().with_columns(took_ns=pl.col("time_ns") - pl.col("from_ns"))
    begin, end = spans["begin"].to_numpy(), spans["line"].to_numpy()
    paused = np.searchsorted(held, end) > np.searchsorted(held, begin)
    return spans.filter(pl.Series(~paused)).filter(pl.col("nr_dirtied") >= 0)


def _between(events: Events, spans: pl.DataFrame, flushers: Ints) -> dict[str, pl.Series]:
    """Return what lies between: events of others; its own reclaim, or a CPU that was idle; ns that others had."""
    tables = [(name in RECLAIM, table) for name, table in (("", events.other), *events.frames.items())]
    columns = pl.col("line", "time_ns", "pid").cast(pl.Int64)
    common = pl.concat([table.select(columns, reclaim=pl.lit(is_reclaim)) for is_reclaim, table in tables]).sort("line")
    line, time, pid, reclaim = (common[name].to_numpy() for name in ("line", "time_ns", "pid", "reclaim"))
    low = np.searchsorted(line, spans["begin"].to_numpy(), side="right")
    high = np.searchsorted(line, spans["line"].to_numpy(), side="left")
    writer = spans["pid"].to_numpy()
    gaps = np.diff(time, prepend=time[:1])
    mine = np.append(False, pid[1:] == pid[:-1]) & ~np.isin(pid, flushers)
    others = np.zeros(len(spans), np.int64)
    nr, disturbed = np.zeros(len(spans), np.int64), np.zeros(len(spans), bool)
    for row, (first, end) in enumerate(zip(low.tolist(), high.tolist(), strict=True)):
        who = pid[first:end]
        nr[row] = int((who != writer[row]).sum())
        disturbed[row] = bool(((who == IDLE) | (reclaim[first:end] & (who == writer[row]))).any())
        inner = slice(first + 1, end)
        others[row] = int(gaps[inner][mine[inner] & (pid[inner] != writer[row])].sum())
    return {"events": pl.Series(nr), "disturbed": pl.Series(disturbed), "others_ns": pl.Series(others)}
