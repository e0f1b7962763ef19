# SPDX-License-Identifier: GPL-2.0-or-later
"""Rows of int64 to columns of polars, and words to categories: the busy part of `tables`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

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


def column_of(name: str, dtype: Any, numbers: Array) -> pl.Series:
    """Return one column of int64 as narrow as its dtype, words still as numbers; what does not fit is null."""
    narrow, low, high = _NARROW[dtype]
    if len(numbers) and (int(numbers.min()) < low or int(numbers.max()) > high):
        missing = (numbers < low) | (numbers > high)
        return pl.Series(name, np.where(missing, 0, numbers).astype(narrow)).set(pl.Series(missing), None)
    return pl.Series(name, numbers.astype(narrow))


def columns_of(schema: Mapping[str, Any], block: Array) -> list[pl.Series]:
    """Return the columns of rows, as many as a block has, in the schema's order."""
    columns = np.ascontiguousarray(block.T)
    return [column_of(name, dtype, numbers) for (name, dtype), numbers in zip(schema.items(), columns, strict=False)]


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

    def _categories(self) -> pl.Series:
        known = len(self._column)
        if known < len(self._texts):
            texts = [text.decode("utf-8", "backslashreplace") for text in self._texts[known:]]
            self._column = self._column.append(pl.Series("words", texts, dtype=pl.Categorical))
        return self._column

    def spelled(self, schema: Mapping[str, Any], frame: pl.DataFrame) -> pl.DataFrame:
        """Return a frame with the words in place of their numbers."""
        words = self._categories()
        named = [name for name in frame.columns if schema[name] == pl.Categorical]
        return frame.with_columns(_look_up(words, frame[name]) for name in named)


def _look_up(words: pl.Series, numbers: pl.Series) -> pl.Series:
    if not len(words) or numbers.null_count() == len(numbers):
        return pl.Series(numbers.name, [None] * len(numbers), dtype=pl.Categorical)
    if not numbers.null_count():
        return words[numbers].alias(numbers.name)
    found = words[numbers.fill_null(0)].alias(numbers.name)
    return pl.select(pl.when(numbers.is_not_null()).then(found).alias(numbers.name)).to_series()


def lines_column(name: str, text: str, nr_lines: int) -> pl.Series:
    """Return the lines of a text as a column."""
    found = pl.Series(name, [text]).str.split("\n").explode()
    assert len(found) == nr_lines
    return found


def joined(blocks: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Return frames as one, in the order of its lines."""
    frame = pl.concat(blocks, rechunk=True)
    if frame["line"].is_sorted():
        return frame
    return frame.sort("line", maintain_order=True)
