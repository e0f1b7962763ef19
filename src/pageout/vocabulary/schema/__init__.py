# SPDX-License-Identifier: GPL-2.0-or-later
"""The table of events as readers and analysis see it: canonical names, columns, units, and every kernel's text.

An event has one name and one set of columns, whatever the kernel that printed it: `mm_vmscan_write_folio` is read as
`mm_vmscan_writepage`, `wb_dirty` as `bdi_dirty`. A column a kernel does not print is null in that recording.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from pageout.vocabulary.tracepoints import TRACEPOINTS, Field, Tracepoint

# How a value stands in the text.
DEC, HEX, ANY_BASE, WORD = "dec", "hex", "any", "word"

_BASES = {
    "d": DEC, "u": DEC, "ld": DEC, "lu": DEC, "lx": HEX, "pfn": ANY_BASE,
    "gfp": WORD, "reclaim": WORD, "istate": WORD, "rwbs": WORD, "bdi": WORD, "sb_dev": WORD, "dev": WORD,
    "shrinker": WORD, "word": WORD,
}  # fmt: skip
_WIDTHS = {"d": "i32", "u": "u32", "ld": "i64", "lu": "u64", "lx": "u64", "pfn": "i64"}


class Column(NamedTuple):
    """One column of an event's frame."""

    name: str
    base: str  # DEC, HEX, ANY_BASE: a number; WORD: text, kept as a category
    width: str  # i32, u32, i64, u64 (a number above 2**63 wraps, as the kernel's own %ld would show it), or word
    unit: str
    aliases: tuple[str, ...]


class EventKind(NamedTuple):
    """One event: its columns in order, and the texts kernels print for it, newest last.

    In a text, {column} stands for the value of a column, {anything_else} for what is skipped.
    """

    name: str
    system: str
    columns: tuple[Column, ...]
    texts: tuple[str, ...]
    aliases: tuple[str, ...]

    def index_of(self, key: str) -> int:
        """Return the position of the column of this name or alias, -1 if there is none."""
        return _positions(self).get(key, -1)


@cache
def _positions(kind: EventKind) -> dict[str, int]:
    return {key: n for n, column in enumerate(kind.columns) for key in (column.name, *column.aliases)}


def _column(field: Field) -> Column:
    base = _BASES[field.printed]
    return Column(field.name, base, _WIDTHS.get(field.printed, "word"), field.unit, field.aliases)


def _kind(row: Tracepoint) -> EventKind:
    return EventKind(row.name, row.system, tuple(map(_column, row.fields)), (row.text,), row.aliases)


EVENTS: dict[str, EventKind] = {row.name: _kind(row) for row in TRACEPOINTS}
_BY_PRINTED_NAME = {name: kind for kind in EVENTS.values() for name in (kind.name, *kind.aliases)}


def event_of(printed: str) -> EventKind | None:
    """Return the event a kernel, trace-cmd or perf prints under this name, None if it is in no row."""
    return _BY_PRINTED_NAME.get(printed.rpartition(":")[2])
