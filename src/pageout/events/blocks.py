# SPDX-License-Identifier: GPL-2.0-or-later
"""Rows of int64 to columns of polars, and words to categories: the busy part of `tables`.

Blocks are kept as narrow arrays of numpy and become a frame once, at the end: polars has little to do then, and its
threads nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

Array = NDArray[Any]

NULL = -(1 << 63)  # in rows: the text did not say
_MAX = (1 << 63) - 1

# What a cell becomes, and the numbers that fit; others become null.
_NARROW: dict[Any, tuple[Any, int, int]] = {
    pl.Int16: (np.int16, -(1 << 15), (1 << 15) - 1),
    pl.UInt16: (np.uint16, 0, (1 << 16) - 1),
    pl.Int32: (np.int32, -(1 << 31), (1 << 31) - 1),
    pl.UInt32: (np.uint32, 0, (1 << 32) - 1),
    pl.Int64: (np.int64, NULL + 1, _MAX),
    pl.UInt64: (np.uint64, NULL + 1, _MAX),  # above 2**63 it stands as a negative number
    pl.Categorical: (np.uint32, 0, (1 << 32) - 1),  # the word's number
}


class Part(NamedTuple):
    """A column of a block: its numbers, and which of them are null; numbers None: all, missing None: none."""

    numbers: Array | None
    missing: Array | None


class Block(NamedTuple):
    """Rows of one event, in the order of their lines."""

    nr_rows: int
    parts: list[Part]
    payloads: pl.Series | None  # of events in no row


def limits_of(dtype: Any) -> tuple[Any, int, int]:
    """Return what a cell of this dtype is in numpy, and the least and the largest number that fit."""
    return _NARROW[dtype]


def part_of(dtype: Any, numbers: Array) -> Part:
    """Return one column of int64 as narrow as its dtype, words still as numbers; what does not fit is null."""
    narrow, low, high = _NARROW[dtype]
    least, most = int(numbers.min()), int(numbers.max())
    if low <= least and most <= high:
        return Part(numbers.astype(narrow), None)
    if most == NULL:
        return Part(None, None)
    return Part(numbers.astype(narrow), (numbers < low) | (numbers > high))


def block_of(schema: Mapping[str, Any], rows: Array, payloads: pl.Series | None = None) -> Block:
    """Return rows, at least one, sorted by line, as a block; the schema's columns in their order."""
    lines = rows[:, list(schema).index("line")]
    if bool((lines[1:] < lines[:-1]).any()):
        order = np.argsort(lines, kind="stable")
        rows = rows[order]
        payloads = payloads[order] if payloads is not None else None
    columns = rows.T
    if columns.strides[-1] != columns.itemsize:
        columns = np.ascontiguousarray(columns)
    return Block(len(rows), [part_of(*pair) for pair in zip(schema.values(), columns, strict=False)], payloads)


def _together(dtype: Any, blocks: Sequence[Block], at: int) -> Part:
    """Return one column of all blocks."""
    parts = [block.parts[at] for block in blocks]
    if all(part.numbers is None for part in parts):
        return Part(None, None)
    narrow = _NARROW[dtype][0]
    numbers = [
        np.zeros(block.nr_rows, narrow) if part.numbers is None else part.numbers
        for block, part in zip(blocks, parts, strict=True)
    ]
    missing = None
    if any(part.numbers is None or part.missing is not None for part in parts):
        missing = np.concatenate(
            [
                np.full(block.nr_rows, part.numbers is None) if part.missing is None else part.missing
                for block, part in zip(blocks, parts, strict=True)
            ]
        )
    return Part(numbers[0] if len(numbers) == 1 else np.concatenate(numbers), missing)


class Words:
    """Words by number, in the order they were met, and as a column of categories."""

    def __init__(self) -> None:
        self._numbers: dict[bytes, int] = {}
        self._texts: list[bytes] = []
        self._column = pl.Series("words", [], dtype=pl.Categorical)

    def __len__(self) -> int:
        return len(self._texts)

    def number(self, text: bytes) -> int:
        """Return the number of a word, the next one if it is new."""
        number = self._numbers.get(text)
        if number is None:
            number = self._numbers[text] = len(self._texts)
            self._texts.append(text)
        return number

    def since(self, number: int) -> list[bytes]:
        """Return the words from this number on."""
        return self._texts[number:]

    def categories(self) -> pl.Series:
        """Return all words so far as a column, by number."""
        known = len(self._column)
        if known < len(self._texts):
            texts = [text.decode("utf-8", "backslashreplace") for text in self._texts[known:]]
            self._column = self._column.append(pl.Series("words", texts, dtype=pl.Categorical))
        return self._column


_CHUNK_ROWS = 1 << 14  # blocks of so many rows each, on average, are a column's chunks as they are


def frame_of(schema: Mapping[str, Any], blocks: Sequence[Block], words: Words) -> pl.DataFrame:
    """Return blocks as one frame, in the order of lines."""
    nr_rows = sum(block.nr_rows for block in blocks)
    lines = _together(pl.UInt32, blocks, list(schema).index("line")).numbers
    assert lines is not None
    order = np.argsort(lines, kind="stable") if bool((lines[1:] < lines[:-1]).any()) else None
    spelled = Spelled.of(words)
    in_chunks = order is None and len(blocks) > 1 and nr_rows >= _CHUNK_ROWS * len(blocks)
    columns = []
    for at, (name, dtype) in enumerate(schema.items()):
        if dtype == pl.String:
            columns.append(_payload_column(name, blocks, order))
        elif in_chunks:
            columns.append(
                _chunked([_series(name, dtype, block.parts[at], block.nr_rows, spelled) for block in blocks])
            )
        else:
            columns.append(_series(name, dtype, _sorted(_together(dtype, blocks, at), order), nr_rows, spelled))
    return pl.DataFrame(columns)


class Spelled(NamedTuple):
    """All words so far as a column, by number, and with a null after them."""

    words: pl.Series
    with_null: pl.Series

    @classmethod
    def of(cls, words: Words) -> Spelled:
        """Return the words of a table."""
        spelled = words.categories()
        return cls(spelled, spelled.clone().append(pl.Series("words", [None], dtype=pl.Categorical)))


def _sorted(part: Part, order: Array | None) -> Part:
    if order is None or part.numbers is None:
        return part
    return Part(part.numbers[order], None if part.missing is None else part.missing[order])


def _series(name: str, dtype: Any, part: Part, nr_rows: int, spelled: Spelled) -> pl.Series:
    numbers, missing = part
    if numbers is None:
        return pl.Series(name, [None], dtype=dtype).new_from_index(0, nr_rows)
    if dtype == pl.Categorical:
        if missing is None:
            return spelled.words[pl.Series(numbers)].alias(name)
        return spelled.with_null[pl.Series(np.where(missing, np.uint32(len(spelled.words)), numbers))].alias(name)
    column = pl.Series(name, numbers)
    return column if missing is None else column.set(pl.Series(missing), None)


def _chunked(series: Sequence[pl.Series]) -> pl.Series:
    """Return one column of several, none of them copied."""
    column = series[0].clone()
    for more in series[1:]:
        column.append(more)
    return column


def _payload_column(name: str, blocks: Sequence[Block], order: Array | None) -> pl.Series:
    column = pl.concat([block.payloads for block in blocks if block.payloads is not None]).alias(name)
    return column if order is None else column[order]


def lines_column(name: str, text: str, nr_lines: int) -> pl.Series:
    """Return the lines of a text as a column."""
    found = pl.Series(name, [text]).str.split("\n").explode()
    assert len(found) == nr_lines
    return found
