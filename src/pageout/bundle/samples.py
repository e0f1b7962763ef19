# SPDX-License-Identifier: GPL-2.0-or-later
"""samples.csv: counters of the whole machine over time, brought onto the trace's clock."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pageout.vocabulary.errors import TraceError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pageout.bundle.files import Files
    from pageout.bundle.meta import Meta
    from pageout.events.tables import Events

SAMPLES = "samples.csv"
UNITS_NS = {"t_s": 1e9, "t_ms": 1e6, "t_us": 1e3, "t_ns": 1.0}
NAMES = {"nr_free": "nr_free_pages"}  # old name -> the kernel's
TIE = ("nr_dirty", "nr_writeback", "nr_dirtied", "nr_written")
TIE_EVENT = ("dirty", "writeback", "dirtied", "written")
SAME_NS = 5_000_000  # a read of /proc/vmstat and the line that is written of it are no further apart
LARGEST = float(1 << 62)
LINE = "#line"
NAMED = 4  # columns that a message names

Column = NDArray[np.float64]


@dataclass(frozen=True)
class Samples:
    """Rows in the order of time. `clock`: trace; tied (to it, by what both say); start, where nothing ties them."""

    time_ns: NDArray[np.int64]
    columns: Mapping[str, Column]
    clock: str
    samplers: frozenset[int] = frozenset()  # tasks, by pid, whose events come of sampling
    warnings: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.time_ns)

    def column(self, name: str) -> Column | None:
        """Return a counter over time, None if it was not sampled."""
        return self.columns.get(name)


def read_samples(files: Files, meta: Meta, events: Events | None) -> Samples | None:
    """Return the samples on the trace's clock, None if there are none.  Raises TraceError if they are unusable.

    What is no count is not known, and rows without a time are left out: a warning says where.
    """
    if SAMPLES not in files.names:
        return None
    where = files.where(SAMPLES)
    text = _text(where, files.read(SAMPLES))
    time_column = (meta.samples.time_column if meta.samples else None) or text.columns[0]
    unit = UNITS_NS.get(time_column)
    if unit is None or time_column not in text.columns:
        raise TraceError(f"{where}:1: {time_column[:40]!r}: no time column; there is {', '.join(UNITS_NS)}")
    text = text.with_row_index(LINE, offset=2)  # the first line has the names
    text = text.filter(~pl.all_horizontal(pl.exclude(LINE).is_null()))
    told, warnings = _times(where, text, time_column, LARGEST / unit)
    table = {name: told[name].to_numpy().astype(np.float64) for name in told.columns if name != LINE}
    time = table.pop(time_column)
    order = np.argsort(time, kind="stable")
    columns = {NAMES.get(name, name): values[order] for name, values in table.items()}
    time_ns = (time[order] * unit).astype(np.int64)
    found = Samples(time_ns, columns, "start", warnings=tuple(warnings))
    return _on_trace_clock(found, time_column, meta, events)


def _text(where: str, content: bytes) -> pl.DataFrame:
    """Return the table as it stands, a row a line; a cell that is empty or not there is null."""
    in_utf8 = content.replace(b"\0", b"?").decode("utf-8", "replace").encode()
    try:
        text = pl.read_csv(
            in_utf8, infer_schema=False, truncate_ragged_lines=True, ignore_errors=True, quote_char=None
        )  # fmt: skip
    except (pl.exceptions.PolarsError, ValueError) as error:
        raise TraceError(f"{where}: no table with commas ({str(error)[:120]}): record again") from None
    if not len(text) or text.width < 2:
        raise TraceError(f"{where}: no row of samples in it: record again")
    names = [name.strip(' "')[:100] for name in text.columns]
    for name in names:
        if name == "*" or (name[:1], name[-1:]) == ("^", "$"):  # polars would take it for many columns
            raise TraceError(f"{where}:1: {_shown(name)} is no name of a column: correct it, or record again")
    given = [name.strip(' "\r') for name in in_utf8.lstrip().split(b"\n", 1)[0].decode("utf-8", "replace").split(",")]
    twice = next((name for name in [LINE, *names, *given] if [LINE, *given].count(name) > 1), None)
    if twice is not None or len(set(names)) < len(names):  # polars would give the second one another name
        of_them = "" if twice is None else f" ({_shown(twice)})"
        raise TraceError(f"{where}:1: two columns of one name{of_them}: correct it, or record again")
    return text.rename(dict(zip(text.columns, names, strict=True))).with_columns(pl.all().str.strip_chars(' "'))


def _times(where: str, text: pl.DataFrame, time_column: str, largest: float) -> tuple[pl.DataFrame, list[str]]:
    """Return the rows that have a time, as numbers, null where there is none; and what is to be said of the rest."""
    warnings = []
    numbers = text.with_columns(pl.exclude(LINE).cast(pl.Float64, strict=False))
    usable = pl.col(time_column).is_finite() & (pl.col(time_column).abs() < largest)
    timed = numbers.select(usable.fill_null(False)).to_series()
    if not timed.any():
        raise TraceError(f"{where}: {time_column}: a time in no row: record again")
    if not timed.all():
        line, cell = text.filter(~timed).select(LINE, time_column).row(0)
        nr = int((~timed).sum())
        rows = "this row is" if nr == 1 else f"{nr:,} rows are"
        warnings.append(f"{where}:{line}: {time_column}: {_shown(cell)} is no time: {rows} left out")
    counts = numbers.with_columns(
        pl.when(pl.col(name).is_between(0, LARGEST)).then(pl.col(name)).otherwise(None)
        for name in numbers.columns if name not in (LINE, time_column)
    )  # fmt: skip
    return counts.filter(timed), warnings + _unknown(where, text.filter(timed), counts.filter(timed), time_column)


def _unknown(where: str, text: pl.DataFrame, counts: pl.DataFrame, time_column: str) -> list[str]:
    """Say of which values nobody knows what they were, the first by its line, and of columns that say nothing."""
    columns = {name: counts[name].is_null() for name in counts.columns if name not in (LINE, time_column)}
    odd = {name: rows for name, rows in columns.items() if rows.any()}
    if not odd:
        return []
    empty = [name for name, rows in odd.items() if rows.all()]
    first = min(odd, key=lambda name: int(text[LINE].filter(odd[name])[0]))
    line, cell = text.filter(odd[first]).select(LINE, first).row(0)
    several = sum(int(rows.sum()) for rows in odd.values())
    values = "it is" if several == 1 else f"{several:,} values of {_named(list(odd))} are"
    said = f"{where}:{line}: {first}: {_shown(cell)} is no count: {values} unknown, taken to change evenly there"
    return [said, *([f"{where}: {_named(empty)}: no count in any row: what is made of it is unknown"] if empty else [])]


def _named(names: list[str]) -> str:
    return ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")


def _shown(cell: str | None) -> str:
    return "nothing" if cell is None else repr(cell[:40])


def _on_trace_clock(rows: Samples, time_column: str, meta: Meta, events: Events | None) -> Samples:
    clock = meta.samples.clock if meta.samples else None
    offset, samplers = tie(rows, events) if events is not None else (None, frozenset[int]())
    if clock == "trace" or (clock is None and time_column == "t_us"):
        return replace(rows, clock="trace", samplers=samplers)
    if offset is not None:
        return replace(rows, time_ns=rows.time_ns + offset, clock="tied", samplers=samplers)
    if meta.start_s is not None:
        return replace(rows, time_ns=rows.time_ns + int(meta.start_s * 1e9), clock="trace")
    return rows


def tie(rows: Samples, events: Events) -> tuple[int | None, frozenset[int]]:
    """Return what to add to the samples' times, ns, and the tasks that sampled; None if nothing ties the two.

    Reading /proc/vmstat computes the dirty limits, and so fires global_dirty_state in the task that samples, with the
    very counters of the row. Most pairs of a row and an event with the same counters lie at one distance of time.
    """
    state = events.frame("global_dirty_state").select("time_ns", "pid", *TIE_EVENT)
    given = [rows.column(name) for name in TIE]
    if not len(state) or any(column is None for column in given):
        return None, frozenset()
    table = {event: pl.Series(column, strict=False).cast(pl.Int64, strict=False)
             for event, column in zip(TIE_EVENT, given, strict=True)}  # fmt: skip
    sampled = pl.DataFrame({"at": rows.time_ns, **table}).drop_nulls()
    rare = state.with_columns(pl.col(name).cast(pl.Int64) for name in TIE_EVENT).filter(pl.len().over(*TIE_EVENT) <= 64)
    pairs = sampled.join(rare, on=TIE_EVENT, how="inner").with_columns(
        (pl.col("time_ns") - pl.col("at")).alias("apart")
    )
    if not len(pairs):
        return None, frozenset()
    slots = pairs.group_by((pl.col("apart") // SAME_NS).alias("slot")).len().sort("len", "slot", descending=True)
    near = pairs.filter((pl.col("apart") // SAME_NS - slots["slot"][0]).abs() <= 1)
    if len(near) < max(2, len(sampled) // 10):
        return None, frozenset()
    middle = near["apart"].median()
    assert isinstance(middle, float | int)
    offset = int(middle)
    close = near.filter((pl.col("apart") - offset).abs() <= SAME_NS)
    counts = close.group_by("pid").len().filter(pl.col("len") * 2 >= len(close))
    return offset, frozenset(pid for pid in counts["pid"].to_list() if pid is not None)
