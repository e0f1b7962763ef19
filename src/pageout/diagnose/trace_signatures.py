# SPDX-License-Identifier: GPL-2.0-or-later
"""What known kernel faults look like in traces. No signature joins events across a hole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from pageout.diagnose.case import Case
from pageout.diagnose.findings import Evidence
from pageout.diagnose.signatures import Seen
from pageout.diagnose.words import seconds_text
from pageout.vocabulary.schema import EVENTS

if TYPE_CHECKING:
    from pageout.events.tables import Events

MANY_WAITS = 5
MOST = 0.8
MUCH_WRITEBACK = 16384  # pages: 64 MiB
SOON_NS, LATER_NS = 1_000_000_000, 120_000_000_000
MOST_INODES = 200  # looked at: the first ones tell
TAIL_SECTORS = 64  # what splitting leaves over is smaller than this
STEPS = 4  # remaps in a row, each the same way before the last


def events_of(events: Events, name: str, *keys: str) -> pl.DataFrame:
    """Return line, segment, time_ns, pid, comm and `keys`, as text, of an event, whether its columns were read or not.

    A key is what kernels call it, joined by `|`; the column has the first name.
    """
    common = [*map(pl.col, ("line", "segment", "time_ns", "pid")), pl.col("comm").cast(pl.String)]
    names = [full for full in events.other_names() if full.rpartition(":")[2] == name]
    found = events.other.filter(pl.col("name").cast(pl.String).is_in(names))
    texts = [pl.col("payload").str.extract(rf"(?:^|[\s,])(?:{key})[= ]([^\s,]{{1,400}})").str.strip_chars_end(":") for key in keys]  # fmt: skip
    columns = [key.split("|")[0] for key in keys]
    bare = found.select(*common, *(text.alias(column) for text, column in zip(texts, columns, strict=True)))
    if name not in EVENTS:
        return bare
    frame = events.frame(name)
    own = [(pl.col(column) if column in frame.columns else pl.lit(None)).cast(pl.String).alias(column) for column in columns]  # fmt: skip
    return pl.concat([frame.select(*common, *own), bare]).sort("line", maintain_order=True)


def _number(key: str) -> pl.Expr:
    return pl.col(key).cast(pl.Int64, strict=False)


def _some(file: str, frame: pl.DataFrame, most: int = 4) -> tuple[Evidence, ...]:
    return tuple(Evidence(file, line) for line in frame["line"].head(most).to_list())


def throttled_in_vain(case: Case) -> Seen | None:
    """Many tasks wait out the whole timeout for writeback, though hardly anything is under writeback."""
    under = case.counter("vmstat", "nr_writeback")
    if under is not None and under.number > MUCH_WRITEBACK:
        return None
    for file, events in case.traces():
        frame = events_of(events, "mm_vmscan_throttled", "usec_timeout", "usec_delayed|usect_delayed", "reason").filter(
            pl.col("reason").fill_null("").str.contains("WRITEBACK")
            & ~pl.col("comm").fill_null("").str.starts_with("kswapd")
        )
        full = frame.filter(_number("usec_delayed") >= _number("usec_timeout"))
        tasks = full["pid"].n_unique()
        if len(full) >= MANY_WAITS and len(full) >= MOST * len(frame) and tasks >= 3 and not _writes(events):
            total = full.select(_number("usec_delayed").sum()).item() / 1e6
            text = f"{len(full):,} of {len(frame):,} waits of {tasks} tasks for writeback lasted the whole timeout, {seconds_text(total)} together"
            return Seen(text, _some(file, full))
    return None


def _writes(events: Events) -> bool:
    """Say whether the trace itself shows much under writeback."""
    states = events.frame("global_dirty_state")
    return not states.is_empty() and bool((states["writeback"].fill_null(0) > MUCH_WRITEBACK).any())


def strictlimit_zero(case: Case) -> Seen | None:
    """Writers are paused with a rate and a setpoint of 0, far below the limit."""
    for file, events in case.traces():
        keys = ("bdi", "limit", "dirty", "bdi_setpoint|wb_setpoint", "task_ratelimit", "pause")
        frame = events_of(events, "balance_dirty_pages", *keys).filter(
            (_number("task_ratelimit") == 0)
            & (_number("bdi_setpoint") == 0)
            & (_number("dirty") < _number("limit") // 4)
            & _number("pause").is_between(1, 10_000)
        )
        if len(frame) >= 3:
            row = frame.row(0, named=True)
            text = f"{len(frame):,} pauses with task_ratelimit 0 and bdi_setpoint 0 on {row['bdi']}, at {row['dirty']} dirty pages of {row['limit']}"
            return Seen(text, _some(file, frame))
    return None


def congestion_timeouts(case: Case) -> Seen | None:
    """Nearly every wait for congestion ends by its timeout: nothing ever woke the waiter."""
    for file, events in case.traces():
        for name in ("writeback_congestion_wait", "writeback_wait_iff_congested"):
            frame = events_of(events, name, "usec_timeout", "usec_delayed").filter(_number("usec_delayed") > 0)
            full = frame.filter(_number("usec_delayed") >= _number("usec_timeout"))
            if len(full) >= MANY_WAITS and len(full) >= MOST * len(frame):
                text = f"{len(full):,} of {len(frame):,} waits in {name.removeprefix('writeback_')} lasted the whole timeout"
                return Seen(text, _some(file, full))
    return None


def lazytime_twice(case: Case) -> Seen | None:
    """An inode's lazy timestamp is written, the writing marks it dirty, and it is written again."""
    for file, events in case.traces():
        lazy = events_of(events, "writeback_lazytime", "ino").drop_nulls("ino")
        if lazy.is_empty():
            continue
        marks = events_of(events, "writeback_mark_inode_dirty", "ino", "flags").filter(
            pl.col("flags").fill_null("").str.contains(r"I_DIRTY_SYNC")
        )
        starts = events_of(events, "writeback_single_inode_start", "ino", "state").filter(
            pl.col("state").fill_null("").str.contains(r"I_DIRTY_SYNC")
        )
        for first in lazy.head(MOST_INODES).iter_rows(named=True):
            mark = _next(marks, first, SOON_NS)
            again = _next(starts, mark, LATER_NS) if mark is not None and mark["pid"] == first["pid"] else None
            if mark is not None and again is not None:
                lines = tuple(Evidence(file, row["line"]) for row in (first, mark, again))
                return Seen(f"inode {first['ino']} is written for its time, marked I_DIRTY_SYNC by that, and written again", lines)  # fmt: skip
    return None


def _next(frame: pl.DataFrame, after: dict[str, Any], within_ns: int) -> dict[str, Any] | None:
    """Return the first event of the same inode after another, within a time, in the same segment."""
    start = after["time_ns"]
    found = frame.filter(
        (pl.col("ino") == after["ino"])
        & (pl.col("segment") == after["segment"])
        & pl.col("time_ns").is_between(start, start + within_ns)
        & (pl.col("line") != after["line"])
    )
    return found.row(0, named=True) if len(found) else None


def raid0_tails(case: Case) -> Seen | None:
    """A RAID0 array sends its disks small tails of split writes in falling order."""
    for file, events in case.traces():
        frame = (
            events.frame("block_bio_remap")
            .with_columns(old=pl.col("old_dev").cast(pl.String), rw=pl.col("rwbs").cast(pl.String))
            .filter(pl.col("old").str.contains(r"^9[,:]") & pl.col("rw").str.contains("W") & (pl.col("nr_sector") > 0))
            .sort("segment", "old", "line", maintain_order=True)
            .with_columns(
                step=pl.col("old_sector").cast(pl.Int64) - pl.col("old_sector").cast(pl.Int64).shift(1),
                same=(pl.col("old") == pl.col("old").shift(1)) & (pl.col("segment") == pl.col("segment").shift(1)),
                small=pl.col("nr_sector") < TAIL_SECTORS,
            )
        )
        falls = frame["same"].fill_null(False) & (frame["step"].fill_null(0) < 0) & frame["small"]
        runs = frame.select(step=pl.when(falls).then("step").otherwise(0).rle()).unnest("step")
        runs = runs.with_columns(first=pl.col("len").cum_sum() - pl.col("len"))
        steady = runs.filter((pl.col("value") < 0) & (pl.col("len") >= STEPS - 1))
        if len(steady):
            first, count = steady["first"][0] - 1, steady["len"][0] + 1
            tail = frame.slice(first, count)
            text = f"{count:,} writes of {tail['nr_sector'][1]} sectors in a row to {tail['old'][1]}, each {-steady['value'][0]:,} sectors before the last"
            return Seen(text, _some(file, tail))
    return None
