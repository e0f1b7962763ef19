# SPDX-License-Identifier: GPL-2.0-or-later
"""Events as frames: what every reader fills and every analysis reads, whoever recorded them.

One polars frame an event: the columns COMMON, then the event's own. Words (task names, flags, devices) are
categories.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pageout.events.blocks import NULL, Block, Words, block_of, frame_of, lines_column
from pageout.vocabulary.schema import EVENTS, WORD, EventKind

Array = NDArray[Any]

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

__all__ = ["COMMON", "NR_COMMON", "NULL", "EventBuilder", "Events", "Hole", "OnBlock", "frame_schema", "word_columns"]


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
    nr_cpus: int | None = None  # of the machine, as a header says

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


# Is given each block of events as it is done: the event's name, "" for those in no row, and a frame as in `Events`.
OnBlock = Callable[[str, pl.DataFrame], object]


class EventBuilder:
    """Collects rows in any order of kinds; `finish` makes frames of them, each in the order of its lines.

    on_block:  takes the frames, a block at a time, in place of `finish`, which then has none; an event's blocks follow
               each other in the order of lines if its rows came in that order
    """

    def __init__(self, on_block: OnBlock | None = None) -> None:
        self.segment = 0
        self.clock = "seconds"
        self.unknown_fields: Counter[tuple[str, str]] = Counter()
        self.nr_events = 0
        self.nr_cpus: int | None = None
        self._on_block = on_block
        self.stacks: dict[int, tuple[str, ...]] = {}
        self._same_stacks: dict[tuple[str, ...], tuple[str, ...]] = {}
        self._words = Words()
        self._rows: dict[str, array[int]] = {}
        self._blocks: dict[str, list[Block]] = {}
        self._other_rows: array[int] = array("q")
        self._other_payloads: list[str] = []
        self._holes: list[Hole] = []

    def word(self, text: bytes) -> int:
        """Return the number a word is known by in rows."""
        return self._words.number(text)

    @property
    def nr_words(self) -> int:
        """How many words are known: the number of the next."""
        return len(self._words)

    def words_from(self, number: int) -> list[bytes]:
        """Return the words from this number on, in the order of their numbers."""
        return self._words.since(number)

    def hole(self, line: int, cpu: int = -1, lost: int = -1, why: str = "lost") -> None:
        """Say that events are missing before this line: a new segment begins."""
        self._holes.append(Hole(line, cpu, lost, why))
        self.segment = min(self.segment + 1, (1 << 16) - 1)

    @property
    def holes(self) -> Sequence[Hole]:
        """The holes said so far."""
        return self._holes

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
        """Take many events: an int64 array of shape (n, NR_COMMON + columns), words by number.

        The array may be used again afterwards.
        """
        self.nr_events += len(block)
        self._flush(kind, block)

    def make_way(self, kind: EventKind, line: int) -> bool:
        """Make a block of the rows that came one by one; False if one is of this line or later: not done then."""
        rows = self._rows.get(kind.name)
        if rows:
            lines = np.frombuffer(rows, np.int64)[COMMON.index("line") :: NR_COMMON + len(kind.columns)]
            if int(lines.max()) >= line:
                return False
            del lines
            self._flush(kind)
        return True

    def add_other(self, common: Sequence[int], name: str, payload: str) -> None:
        """Take an event that is in no row, or whose text is not the row's."""
        self._other_rows.extend(common)
        self._other_rows.append(self.word(name.encode("utf-8", "surrogatepass")))
        self._other_payloads.append(payload)
        self.nr_events += 1
        if len(self._other_payloads) >= _BLOCK_ROWS:
            self._flush_other()

    def add_other_block(self, block: Array, payloads: str) -> None:
        """Take many events that are in no row: COMMON and the name's number, and as many lines of payloads."""
        self.nr_events += len(block)
        self._flush_other(block, lines_column("payload", payloads, len(block)))

    def add_columns(self, kind: EventKind | None, block: Block) -> None:
        """Take many events as columns, those of the event's schema in order; None: events that are in no row."""
        self.nr_events += block.nr_rows
        self._put(kind.name if kind is not None else "", block)

    def _flush(self, kind: EventKind, block: Array | None = None) -> None:
        """Make a block of a block and of the rows added one by one."""
        added = self._rows.pop(kind.name, None)
        rows = [] if block is None or not len(block) else [block]
        if added:
            rows.append(np.frombuffer(added, np.int64).reshape(-1, NR_COMMON + len(kind.columns)))
        if rows:
            self._put(kind.name, block_of(frame_schema(kind), rows[0] if len(rows) == 1 else np.concatenate(rows)))

    def _flush_other(self, block: Array | None = None, payloads: pl.Series | None = None) -> None:
        rows, texts = ([], []) if block is None or payloads is None else ([block], [payloads])
        if self._other_payloads:
            rows.append(np.frombuffer(self._other_rows, np.int64).reshape(-1, NR_COMMON + 1))
            texts.append(pl.Series("payload", self._other_payloads, dtype=pl.String))
            self._other_rows, self._other_payloads = array("q"), []
        if rows:
            self._put("", block_of(_OTHER_SCHEMA, np.concatenate(rows), pl.concat(texts)))

    def _put(self, name: str, block: Block) -> None:
        if self._on_block is None:
            self._blocks.setdefault(name, []).append(block)
        else:
            self._on_block(name, frame_of(_schema_of(name), [block], self._words))

    def flush(self) -> None:
        """Make blocks of all rows that came one by one."""
        for name in list(self._rows):
            self._flush(EVENTS[name])
        self._flush_other()

    def finish(self) -> Events:
        """Return what was collected."""
        self.flush()
        frames = {
            name: frame_of(_schema_of(name), self._blocks.pop(name), self._words) for name in sorted(self._blocks)
        }
        other = frames.pop("", None)
        if other is None:
            other = pl.DataFrame(schema=_OTHER_SCHEMA)
        holes, stacks = tuple(self._holes), dict(self.stacks)
        return Events(frames, other, holes, self.clock, dict(self.unknown_fields), stacks, self.nr_cpus)


def _schema_of(name: str) -> dict[str, Any]:
    return frame_schema(EVENTS[name]) if name else _OTHER_SCHEMA


def word_columns(kind: EventKind) -> Iterable[int]:
    """Return the positions, in a row, of what are words: comm and context, then the event's own."""
    own = (NR_COMMON + n for n, column in enumerate(kind.columns) if column.base == WORD)
    return (COMMON.index("comm"), COMMON.index("context"), *own)
