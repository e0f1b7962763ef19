# SPDX-License-Identifier: GPL-2.0-or-later
"""Which event ends what another began, within a segment: across a hole nothing is paired."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    from pageout.events.tables import Events

TASK = ("segment", "pid")
_END = "_end"


def pair(begins: pl.DataFrame, ends: pl.DataFrame, by: Sequence[str] = TASK) -> pl.DataFrame:
    """Return the rows of `begins`, each with what ended it: the next row of its group, if that is an end.

    The columns of the end get the suffix _end; all are null where the next is another begin, or nothing: it never
    ended, or the trace does not say. An end that nothing began is in no row. Rows without a group (null) are never
    paired. Both frames have line, and all of `by`.
    """
    keys = list(by)
    marks = pl.concat(
        [
            begins.select(*keys, "line", pl.lit(False).alias("is_end")),
            ends.select(*keys, "line", pl.lit(True).alias("is_end")),
        ]
    ).sort("line", maintain_order=True)
    follows = marks.with_columns(
        pl.col("line").shift(-1).over(keys).alias("line_end"), pl.col("is_end").shift(-1).over(keys).alias("ended")
    )
    known = pl.all_horizontal(pl.col(key).is_not_null() for key in keys)
    follows = follows.filter(~pl.col("is_end") & pl.col("ended") & known).select("line", "line_end")
    renamed = ends.rename({name: name + _END for name in ends.columns})
    return begins.join(follows, on="line", how="left").join(
        renamed, on="line" + _END, how="left", maintain_order="left"
    )


def lasted(begin: str = "time_ns", end: str = "time_ns_end") -> pl.Expr:
    """Return the time from begin to end, null where the clock went back."""
    time = pl.col(end) - pl.col(begin)
    return pl.when(time >= 0).then(time)


def open_at(rows: pl.DataFrame, spans: pl.DataFrame, columns: Sequence[str], by: Sequence[str] = TASK) -> pl.DataFrame:
    """Return the rows, each with `columns` of the span of its group that was open at its line, null if none was.

    `spans` has line, line_end (null: until the group's next span, or the end) and `by`.
    """
    picked = spans.select(*by, "line", "line_end", *columns).sort("line")
    ends = pl.col("_until").fill_null(pl.col("line") + 1)
    met = rows.sort("line").join_asof(
        picked.rename({"line_end": "_until"} | {name: f"_{name}" for name in columns}),
        on="line",
        by=list(by),
        strategy="backward",
        check_sortedness=False,
    )
    inside = pl.col("line") < ends
    return met.with_columns(pl.when(inside).then(pl.col(f"_{name}")).alias(name) for name in columns).drop(
        "_until", *(f"_{name}" for name in columns)
    )


def total(column: str) -> pl.Expr:
    """Return the sum of a column, null (not 0) if it was never printed."""
    return pl.when(pl.col(column).count() > 0).then(pl.col(column).cast(pl.Int64).sum()).alias(column)


def every_time(events: Events) -> pl.DataFrame:
    """Return segment, pid, line, time_ns of every event of the trace, in the order of lines."""
    frames = [*events.frames.values(), events.other]
    columns = ["segment", "pid", "line", "time_ns"]
    return pl.concat([frame.select(columns) for frame in frames]).sort("line")


def until_next(rows: pl.DataFrame, events: Events) -> pl.DataFrame:
    """Return the rows with seen_ns: the time to the next event of the same task, null if there is none."""
    following = every_time(events).with_columns(
        pl.col("time_ns").shift(-1).over(*TASK).alias("_next"), pl.col("line").shift(-1).over(*TASK).alias("next_line")
    )
    with_next = rows.join(following.select("line", "_next", "next_line"), on="line", how="left", maintain_order="left")
    return with_next.with_columns(lasted("time_ns", "_next").alias("seen_ns")).drop("_next")


def task_names(events: Events) -> pl.DataFrame:
    """Return pid and comm of the tasks that bear one name all through the trace."""
    frames = [*events.frames.values(), events.other]
    seen = pl.concat([frame.select("pid", pl.col("comm").cast(pl.String)) for frame in frames]).drop_nulls().unique()
    return seen.filter(pl.len().over("pid") == 1).sort("pid")


def named(rows: pl.DataFrame, events: Events) -> pl.DataFrame:
    """Return the rows with a missing comm (`<...>`) taken from the task's other events, as text."""
    names = task_names(events).rename({"comm": "_name"})
    met = rows.with_columns(pl.col("comm").cast(pl.String)).join(names, on="pid", how="left", maintain_order="left")
    return met.with_columns(pl.coalesce("comm", "_name").alias("comm")).drop("_name")
