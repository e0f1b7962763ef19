# SPDX-License-Identifier: GPL-2.0-or-later
"""The text of rows of a frame, in the words of the kernel that had these columns.

A row is written in the text of the schema that holds most of the columns it has and none that it lacks, the newest of
equals; columns that text has no place for follow as key=value.
"""

from __future__ import annotations

import string
from collections.abc import Iterable, Iterator
from functools import cache
from typing import NamedTuple

import polars as pl

from pageout.vocabulary.schema import ANY_BASE, HEX, WORD, Column, EventKind

UNKNOWN_COMM = "<...>"  # as the kernel prints a task whose name it no longer knows
UNKNOWN_POINTER = "(____ptrval____)"  # as the kernel prints an address it will not tell
MAX_WORD = 1 << 15  # characters of a word or a payload in a text
_MASK = (1 << 64) - 1


class Piece(NamedTuple):
    """A literal, and the column, or what else, that stands after it ("" at the end)."""

    literal: str
    name: str


@cache
def pieces(text: str) -> tuple[Piece, ...]:
    """Return a text of the schema in pieces."""
    return tuple(Piece(literal, name or "") for literal, name, _, _ in string.Formatter().parse(text))


def best_text(kind: EventKind, present: Iterable[str]) -> tuple[Piece, ...]:
    """Return the pieces of the text that shows these columns and no other, with what it has no place for behind it."""
    left = list(present)
    best: tuple[Piece, ...] | None = None
    shown: set[str] = set()
    for text in reversed(kind.texts):
        parts = pieces(text)
        names = {part.name for part in parts if kind.index_of(part.name) >= 0}
        if names <= set(left) and (best is None or len(names) > len(shown)):
            best, shown = parts, names
    found = [] if best is None else list(best)
    for name in left:
        if name not in shown:
            found.append(Piece(f"{' ' if found else ''}{name}=", name))
    return tuple(found)


def groups(kind: EventKind, frame: pl.DataFrame) -> Iterator[tuple[pl.DataFrame, tuple[str, ...]]]:
    """Yield the rows that have the same columns, and these columns' names."""
    own = [column.name for column in kind.columns]
    if not any(frame[name].null_count() for name in own):
        yield frame, tuple(own)
        return
    for rows in frame.with_columns(pl.struct(pl.col(own).is_null()).alias("_absent")).partition_by("_absent"):
        absent = rows["_absent"][0]
        yield rows.drop("_absent"), tuple(name for name in own if not absent[name])


def payloads(kind: EventKind, rows: pl.DataFrame, present: Iterable[str]) -> pl.Series:
    """Return the text of rows that all have the columns `present`."""
    parts: list[pl.Expr] = []
    for piece in best_text(kind, present):
        parts.append(pl.lit(piece.literal))
        if piece.name:
            parts.append(pl.lit(_value(kind, rows, piece.name)))
    if not parts:
        return pl.repeat("", len(rows), dtype=pl.String, eager=True)
    return rows.select(pl.concat_str([*parts, pl.repeat("", len(rows), dtype=pl.String)]).alias("payload"))["payload"]


def _value(kind: EventKind, rows: pl.DataFrame, name: str) -> pl.Series:
    at = kind.index_of(name)
    if at >= 0:
        return _column(kind.columns[at], rows[kind.columns[at].name])
    if name == "comm":
        return printable(rows["comm"].cast(pl.String).fill_null(UNKNOWN_COMM))
    return pl.repeat(UNKNOWN_POINTER if name == "page" else "", len(rows), dtype=pl.String, eager=True)


def _column(column: Column, values: pl.Series) -> pl.Series:
    if column.base == WORD:
        return printable(values.cast(pl.String))
    if column.base == HEX:
        return pl.Series([f"{value & _MASK:x}" for value in values.to_list()], dtype=pl.String)
    if column.base == ANY_BASE:
        return pl.Series([f"{value & _MASK:#x}" for value in values.to_list()], dtype=pl.String)
    return values.cast(pl.String)


def printable(words: pl.Series) -> pl.Series:
    """Return words with control characters written out, whatever a task or a file called itself."""
    different = words.unique().drop_nulls()
    changed = [word for word in different.to_list() if not word.isprintable() or len(word) > MAX_WORD]
    if not changed:
        return words
    return words.replace(changed, [escaped(word, MAX_WORD) for word in changed])


def escaped(word: str, longest: int) -> str:
    """Return a word of printable characters, at most so many."""
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in word[:longest])
    return shown if len(shown) <= longest else shown[: longest - 3] + "..."
