# SPDX-License-Identifier: GPL-2.0-or-later
"""What a row of the table of events is, and the short form rows are written in."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from pageout.vocabulary.tracepoints import ROWS, TRACEPOINTS, Field, Tracepoint

# How a value stands in the text.
DEC, HEX, ANY_BASE, WORD = "dec", "hex", "any", "word"

# Type of a column as rows say it -> how it stands in the text, width of the column.
_TYPES = {
    "d": (DEC, "i32"), "u": (DEC, "u32"), "ld": (DEC, "i64"), "lu": (DEC, "u64"),
    "x": (HEX, "u64"), "pfn": (ANY_BASE, "i64"), "w": (WORD, "word"),
}  # fmt: skip
# The engine's printers (vocabulary/tracepoints.py), where they are not such a type themselves: words, but for this one.
_PRINTERS = {"lx": "x"}


class Column(NamedTuple):
    """One column of an event's frame."""

    name: str
    base: str  # DEC, HEX, ANY_BASE: a number; WORD: text, kept as a category
    width: str  # i32, u32, i64, u64 (a number above 2**63 wraps, as the kernel's own %ld would show it), or word
    unit: str
    aliases: tuple[str, ...]  # what other kernels call it in their text or in their binary record


class EventKind(NamedTuple):
    """One event: its columns in order, and the texts kernels print for it, newest last.

    In a text, {column} stands for the value of a column, {anything_else} for what is skipped.
    """

    name: str
    system: str
    columns: tuple[Column, ...]
    texts: tuple[str, ...]
    aliases: tuple[str, ...]
    eras: tuple[str, ...] = ()  # of each text, the kernel it is known from; "" where that is not known
    until: str = ""  # the last kernel with the event, "" if 6.18 has it

    def index_of(self, key: str) -> int:
        """Return the position of the column of this name or alias, -1 if there is none."""
        return _positions(self).get(key, -1)

    def span(self, column: str) -> tuple[str, str]:
        """Return (since, until) of a column by the texts that print it; "": it is in the newest, or in none."""
        printed = [n for n, text in enumerate(self.texts) if f"{{{column}}}" in text]
        if not printed:
            return "", ""
        after = printed[-1] + 1
        return self.eras[printed[0]], "" if after == len(self.texts) else f"before {self.eras[after]}"


@cache
def _positions(kind: EventKind) -> dict[str, int]:
    return {key: n for n, column in enumerate(kind.columns) for key in (column.name, *column.aliases)}


def _of_engine(field: Field) -> Column:
    base, width = _TYPES.get(_PRINTERS.get(field.printed, field.printed), _TYPES["w"])
    return Column(field.name, base, width, field.unit, field.aliases)


def columns(spec: str) -> tuple[Column, ...]:
    """Return the columns of `name:type/unit=alias,alias` words; a _ of a unit is a blank.

    Raises ValueError for a word of another form.
    """
    found = []
    for word in spec.split():
        head, _, aliases = word.partition("=")
        head, _, unit = head.partition("/")
        name, colon, kind = head.partition(":")
        if not colon or kind not in _TYPES:
            raise ValueError(f"a column is name:type/unit=alias,alias: {word!r}")
        given = tuple(aliases.split(",")) if aliases else ()
        found.append(Column(name, *_TYPES[kind], unit.replace("_", " "), given))
    return tuple(found)


def event(name: str, system: str, spec: str, texts: dict[str, str], aliases: str = "", until: str = "") -> EventKind:
    """Return an event of later kernels: `texts` by the kernel each is known from, oldest first."""
    return EventKind(name, system, columns(spec), tuple(texts.values()), tuple(aliases.split()), tuple(texts), until)


def grown(
    name: str, spec: str = "", texts: dict[str, str] | None = None, aliases: str = "", until: str = ""
) -> EventKind:
    """Return an event the engine emits, with what later kernels added to its row.

    A column of `spec` that the row has already gives it more aliases.
    """
    row: Tracepoint = TRACEPOINTS[ROWS[name]]
    found = {field.name: _of_engine(field) for field in row.fields}
    for column in columns(spec):
        old = found.get(column.name)
        found[column.name] = old._replace(aliases=(*old.aliases, *column.aliases)) if old else column
    text = row.text
    for derived, column_name in (("comm", "issuer"), ("comm_of_target", "target_comm")):
        if column_name in found:
            text = text.replace(f"{{{derived}}}", f"{{{column_name}}}")
    if "cmd" in found:
        text = text.replace("()", "({cmd})")
    if "shrinker_at" in found:
        text = text.replace("{shrinker}:", "{shrinker} {shrinker_at}:")
    later = texts or {}
    return EventKind(
        name,
        row.system,
        tuple(found.values()),
        (text, *later.values()),
        (*row.aliases, *aliases.split()),
        (row.since, *later),
        until or row.until,
    )
