# SPDX-License-Identifier: GPL-2.0-or-later
"""The table of events as readers and analysis see it: canonical names, columns, units, and every kernel's text.

An event has one name and one set of columns, whatever the kernel that printed it: `mm_vmscan_write_folio` is read as
`mm_vmscan_writepage`, `wb_dirty` as `bdi_dirty`. A column a kernel does not print is null in that recording.
What the engine emits is the base of its rows, columns and order; later kernels' columns stand behind.
"""

from __future__ import annotations

from pageout.vocabulary.schema.block import BLOCK
from pageout.vocabulary.schema.journal import JOURNAL
from pageout.vocabulary.schema.memory import MEMORY
from pageout.vocabulary.schema.rows import ANY_BASE, DEC, HEX, WORD, Column, EventKind
from pageout.vocabulary.schema.vmscan import VMSCAN
from pageout.vocabulary.schema.writeback import WRITEBACK

__all__ = ["ANY_BASE", "DEC", "EVENTS", "HEX", "WORD", "Column", "EventKind", "event_of"]

EVENTS: dict[str, EventKind] = {kind.name: kind for kind in (*VMSCAN, *WRITEBACK, *BLOCK, *MEMORY, *JOURNAL)}
_BY_PRINTED_NAME = {name: kind for kind in EVENTS.values() for name in (kind.name, *kind.aliases)}


def event_of(printed: str) -> EventKind | None:
    """Return the event a kernel, trace-cmd or perf prints under this name, None if it is in no row."""
    return _BY_PRINTED_NAME.get(printed.rpartition(":")[2])
