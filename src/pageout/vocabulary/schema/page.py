# SPDX-License-Identifier: GPL-2.0-or-later
"""The text of docs/reference/events.md: `python -m pageout.vocabulary.schema.page > docs/reference/events.md`."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from pageout.vocabulary.schema import EVENTS
from pageout.vocabulary.schema.rows import DEC, WORD, Column, EventKind

_HEAD = """\
# Events as they are read

One table, `pageout.vocabulary.schema`: what every reader fills and every analysis reads, whatever kernel recorded it.
What simulated runs emit, and its text, is in [tracepoints.md](tracepoints.md); this page holds later kernels too.

An event has one name and one set of columns. *Also* are the names other kernels give it in their text or in their
binary record. *Since* and *until* of an event are the first kernel it is known from and the last that had it; those of
a column are by the texts that print it (empty: as the event's; *record*: no text prints it alone, or only that of
kernels between those in the table). They are the versions found in sources and recordings: the change itself may have
come a release or two before. A column the kernel did not print is null, never 0.

Types: `i32`, `u32`, `i64`, `u64` are numbers; `word` is text, kept as a category: flags, states, devices, names. Each
frame begins with `time_ns`, `line` (of the file), `segment` (up by one at each hole), `cpu`, `pid`, `comm`, `context`
(irqs-off, need-resched...).
"""


def reference() -> str:
    """Return the page."""
    parts = [_HEAD]
    for system in dict.fromkeys(kind.system for kind in EVENTS.values()):
        parts.append(f"\n## {system}\n\n| event | since | until | column | type | unit | also | of the column |\n")
        parts.append("|---|---|---|---|---|---|---|---|\n")
        for kind in EVENTS.values():
            if kind.system == system:
                parts += _rows(kind)
    return "".join(parts)


def _rows(kind: EventKind) -> Iterator[str]:
    names = "".join(f", `{alias}`" for alias in kind.aliases)
    head = f"| `{kind.name}`{names} | {kind.eras[0]} | {kind.until} "
    if not kind.columns:
        yield f"{head}| | | | | |\n"
    for column in kind.columns:
        yield f"{head}| {_cells(kind, column)} |\n"
        head = "| | | "


def _cells(kind: EventKind, column: Column) -> str:
    number = column.width if column.base == DEC else f"{column.width}, {column.base}"
    width = "word" if column.base == WORD else number
    also = ", ".join(f"`{alias}`" for alias in column.aliases)
    return f"`{column.name}` | {width} | {column.unit} | {also} | {_kernels(kind, column)}"


def _kernels(kind: EventKind, column: Column) -> str:
    if not any(f"{{{column.name}}}" in text for text in kind.texts):
        return "record"
    since, until = kind.span(column.name)
    return " ".join(part for part in ("" if since == kind.eras[0] else f"since {since}", until) if part)


if __name__ == "__main__":
    sys.stdout.write(reference())
