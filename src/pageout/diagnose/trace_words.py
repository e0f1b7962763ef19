# SPDX-License-Identifier: GPL-2.0-or-later
"""What rules on traces share: the window, tasks by name, rows as evidence."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import polars as pl

from pageout.diagnose.findings import Evidence
from pageout.diagnose.words import seconds_text

if TYPE_CHECKING:
    from pageout.events.tables import Events

NS = 1e9
SHORT_NS = 50_000_000  # of throttling a task does not notice in a call or two
Row = dict[str, Any]


def window_s(events: Events) -> float:
    """Return the seconds the trace covers, holes left out: the sum over its segments."""
    frames = [*events.frames.values(), events.other]
    spans = pl.concat([frame.select("segment", "time_ns") for frame in frames]).drop_nulls()
    each = spans.group_by("segment").agg((pl.col("time_ns").max() - pl.col("time_ns").min()).alias("span"))
    return float(each["span"].sum() or 0) / NS


def seconds(nanoseconds: float | None) -> str:
    """Return a time as text, `unknown` for null."""
    return "unknown" if nanoseconds is None else seconds_text(nanoseconds / NS)


def rows_of(frame: pl.DataFrame, most: int) -> list[Row]:
    """Return the first rows of a frame."""
    return list(frame.head(most).iter_rows(named=True))


def lines(file: str, frame: pl.DataFrame, most: int = 6, *columns: str) -> tuple[Evidence, ...]:
    """Return the lines of the first rows of a frame, each once."""
    wanted = [row[name] for row in rows_of(frame, most) for name in (columns or ("line",)) if row[name] is not None]
    return tuple(Evidence(file, int(line)) for line in dict.fromkeys(wanted))


def task(row: Row) -> str:
    """Return a task as a trace names it: dd-4267."""
    comm, pid = row.get("comm"), row.get("pid")
    if comm is None and pid is None:
        return "an unknown task"
    return f"{comm if comm is not None else '<...>'}-{pid}" if pid is not None else str(comm)


def tasks(frame: pl.DataFrame, by: str, most: int = 3) -> str:
    """Return the tasks with most of a column: `dd-12 (3.2 s), cp-13 (1 s) and 4 more`."""
    summed = (
        frame.group_by("comm", "pid").agg(pl.col(by).sum()).sort(by, "pid", descending=[True, False], nulls_last=True)
    )
    told = [f"{task(row)} ({seconds(row[by])})" for row in rows_of(summed, most)]
    rest = len(summed) - len(told)
    return ", ".join(told) + (f" and {rest} more" if rest > 0 else "")


def number(value: object) -> float:
    """Return a sum of polars as a float, 0 for null."""
    return float(value) if isinstance(value, int | float) else 0.0


def total(frame: pl.DataFrame, column: str) -> float:
    """Return the sum of a column, 0 for an empty or null one."""
    return number(frame[column].sum()) if len(frame) else 0.0


def said(frame: pl.DataFrame, column: str) -> bool:
    """Whether a column holds anything at all."""
    return column in frame.columns and frame[column].null_count() < len(frame)


def texts(values: Iterable[object]) -> list[str]:
    """Return the values that are not null, as text, each once, in order."""
    return list(dict.fromkeys(str(value) for value in values if value is not None))


def unnoticed(pauses: pl.DataFrame, events: Events) -> bool:
    """Whether pauses at the dirty limit (rows of df_dirty_throttle) are too short in all for anybody to notice."""
    worst = number(pauses.group_by("pid").agg(pl.col("asked_ns").sum())["asked_ns"].max())
    return worst < SHORT_NS and total(pauses, "asked_ns") < 0.2 * max(window_s(events), 0.001) * NS


def holes_unknown(events: Events) -> tuple[str, ...]:
    """Return what holes in the trace leave unknown."""
    if not events.holes:
        return ()
    lost = events.lost
    how_many = "an unknown number of" if lost is None else f"{lost:,}"
    firsts: Sequence[int] = [hole.line for hole in events.holes]
    return (
        f"what happened in {len(firsts)} hole{'s' if len(firsts) > 1 else ''} of the trace ({how_many} events lost; the first before line {firsts[0]:,})",
    )
