# SPDX-License-Identifier: GPL-2.0-or-later
"""Events as frames: what every reader fills and every analysis reads, whoever recorded them.

One polars frame an event: the columns COMMON, then the event's own. Words (task names, flags, devices) are
categories.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pageout.vocabulary.schema import EVENTS, WORD, EventKind

Array = NDArray[Any]

NULL = -(1 << 63)  # in rows: the text did not say

# Columns every event has, in this order, before its own.
#   line     of the file, from 1 (of a binary recording: the number of the record); rows are in its order
#   segment  counts from 0 up by one at each hole (lost events, a cut, times that jump back): nothing may be concluded
#            from an event of one segment together with an event of another
#   context  the characters of irqs-off, need-resched...: "d.s4", null where the text has none
COMMON = ("time_ns", "line", "segment", "cpu", "pid", "comm", "context")
NR_COMMON = len(COMMON)
_COMMON_DTYPES: dict[str, Any] = {
    "time_ns": pl.Int64, "line": pl.UInt32, "segment": pl.UInt16, "cpu": pl.Int16, "pid": pl.Int32,
    "comm": pl.Categorical, "context": pl.Categorical,
}  # fmt: skip
_WIDTHS: dict[str, Any] = {
    "i32": pl.Int32, "u32": pl.UInt32, "i64": pl.Int64, "u64": pl.UInt64, "word": pl.Categorical,
}  # fmt: skip
_OTHER_SCHEMA: dict[str, Any] = _COMMON_DTYPES | {"name": pl.Categorical, "payload": pl.String}
_BLOCK_ROWS = 1 << 16


def frame_schema(kind: EventKind) -> dict[str, Any]:
    """Return the polars schema of an event's frame."""
    return _COMMON_DTYPES | {column.name: _WIDTHS[column.width] for column in kind.columns}


class Hole(NamedTuple):
    """A place where events are missing: before `line`; `cpu` -1: all or unknown; `lost` -1: nobody counted them."""

    line: int
    cpu: int
    lost: int
    why: str


@dataclass(frozen=True)
class Events:
    """The events of one recording."""

    frames: Mapping[str, pl.DataFrame] = field(default_factory=dict)  # only events that occurred
    other: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=_OTHER_SCHEMA))  # events in no row
    holes: tuple[Hole, ...] = ()
    clock: str = "seconds"  # or "us from start", "counter", "tsc": then time_ns is a bare number
    unknown_fields: Mapping[tuple[str, str], int] = field(default_factory=dict)  # (event, key) -> how often
    stacks: Mapping[int, tuple[str, ...]] = field(default_factory=dict)  # line -> functions, innermost first

    def __len__(self) -> int:
        return sum(map(len, self.frames.values())) + len(self.other)

    def __contains__(self, name: str) -> bool:
        return name in self.frames

    def frame(self, name: str) -> pl.DataFrame:
        """Return the frame of an event, an empty one if it did not occur.  Raises KeyError for a name in no row."""
        found = self.frames.get(name)
        return found if found is not None else pl.DataFrame(schema=frame_schema(EVENTS[name]))

    def column(self, name: str) -> Array:
        """Return the frame of an event as a structured array, for element-wise work."""
        return self.frame(name).to_numpy(structured=True)

    def other_names(self) -> dict[str, int]:
        """Return how often each event outside the table occurred."""
        counts = self.other.group_by("name").len().sort("len", "name", descending=[True, False])
        return dict(counts.with_columns(pl.col("name").cast(pl.String)).iter_rows())

    @property
    def lost(self) -> int | None:
        """How many events are known to be missing, None if some were lost uncounted."""
        if any(hole.lost < 0 and hole.why == "lost" for hole in self.holes):
            return None
        return sum(max(hole.lost, 0) for hole in self.holes)


class EventBuilder:
    """Collects rows in any order of kinds; `finish` makes frames of them, each in the order of its lines."""

    def __init__(self) -> None:
        self.segment = 0
        self.clock = "seconds"
        self.unknown_fields: Counter[tuple[str, str]] = Counter()
        self.stacks: dict[int, tuple[str, ...]] = {}
        self._same_stacks: dict[tuple[str, ...], tuple[str, ...]] = {}
        self._words: dict[bytes, int] = {}
        self._rows: dict[str, array[int]] = {}
        self._blocks: dict[str, list[pl.DataFrame]] = {}
        self._other: list[tuple[Any, ...]] = []
        self._holes: list[Hole] = []
        self.nr_events = 0

    def word(self, text: bytes) -> int:
        """Return the number a word is known by in rows."""
        return self._words.setdefault(text, len(self._words))

    def hole(self, line: int, cpu: int = -1, lost: int = -1, why: str = "lost") -> None:
        """Say that events are missing before this line: a new segment begins."""
        self._holes.append(Hole(line, cpu, lost, why))
        self.segment = min(self.segment + 1, (1 << 16) - 1)

    def stack(self, line: int, functions: Sequence[str]) -> None:
        """Keep the kernel stack of the event of this line, innermost function first; equal stacks are kept once."""
        found = tuple(functions)
        self.stacks[line] = self._same_stacks.setdefault(found, found)

    def add(self, kind: EventKind, common: Sequence[int], values: Sequence[int]) -> None:
        """Take one event: COMMON and the columns' values, words by number, NULL for what was not said."""
        rows = self._rows.get(kind.name)
        if rows is None:
            rows = self._rows[kind.name] = array("q")
        rows.extend(common)
        rows.extend(values)
        self.nr_events += 1
        if len(rows) >= _BLOCK_ROWS * (NR_COMMON + len(kind.columns)):
            self._flush(kind)

    def add_block(self, kind: EventKind, block: Array) -> None:
        """Take many events: an int64 array of shape (n, NR_COMMON + columns), words by number."""
        self._flush(kind)
        self._blocks.setdefault(kind.name, []).append(self._frame(kind, block))
        self.nr_events += len(block)

    def add_other(self, common: Sequence[int], name: str, payload: str) -> None:
        """Take an event that is in no row, or whose text is not the row's."""
        self._other.append((*common, name, payload))
        self.nr_events += 1

    def _flush(self, kind: EventKind) -> None:
        rows = self._rows.pop(kind.name, None)
        if rows:
            block = np.frombuffer(rows, np.int64).reshape(-1, NR_COMMON + len(kind.columns))
            self._blocks.setdefault(kind.name, []).append(self._frame(kind, block))

    def _series(self, name: str, dtype: Any, numbers: Array) -> pl.Series:
        missing = numbers == NULL
        if dtype == pl.Categorical:
            series = pl.Series(name, np.where(missing, 0, numbers).astype(np.uint32))
        elif dtype == pl.UInt64:
            series = pl.Series(name, numbers.astype(np.uint64))
        else:
            series = pl.Series(name, numbers).cast(dtype, strict=False)
        if missing.any():
            series = series.set(pl.Series(missing), None)
        return series

    def _frame(self, kind: EventKind, block: Array) -> pl.DataFrame:
        """Return rows as a frame whose words are still numbers."""
        schema = frame_schema(kind)
        return pl.DataFrame([self._series(name, schema[name], block[:, n]) for n, name in enumerate(schema)])

    def finish(self) -> Events:
        """Return what was collected."""
        for name in list(self._rows):
            self._flush(EVENTS[name])
        texts = [word.decode("utf-8", "backslashreplace") for word in self._words]
        words = pl.Series("words", texts, dtype=pl.Categorical)
        frames = {}
        for name in sorted(self._blocks):
            frame = pl.concat(self._blocks.pop(name)).sort("line", maintain_order=True)
            schema = frame_schema(EVENTS[name])
            frames[name] = frame.with_columns(
                words.gather(frame[column]).alias(column)
                for column in frame.columns
                if schema[column] == pl.Categorical
            )
        others, holes = self._others(texts), tuple(self._holes)
        return Events(frames, others, holes, self.clock, dict(self.unknown_fields), dict(self.stacks))

    def _others(self, texts: list[str]) -> pl.DataFrame:
        rows = sorted(self._other, key=lambda row: row[1])
        columns: dict[str, list[Any]] = {
            name: [None if row[n] == NULL else row[n] for row in rows] for n, name in enumerate(_OTHER_SCHEMA)
        }
        for name in ("comm", "context"):
            columns[name] = [None if number is None else texts[number] for number in columns[name]]
        return pl.DataFrame(columns, schema=_OTHER_SCHEMA)


def word_columns(kind: EventKind) -> Iterable[int]:
    """Return the positions, in a row, of what are words: comm and context, then the event's own."""
    own = (NR_COMMON + n for n, column in enumerate(kind.columns) if column.base == WORD)
    return (COMMON.index("comm"), COMMON.index("context"), *own)
