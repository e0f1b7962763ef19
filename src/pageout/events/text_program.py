# SPDX-License-Identifier: GPL-2.0-or-later
"""What a kernel prints as a program for the encoder: per tracepoint a list of steps, each a literal, then a value.

All text the steps refer to lies in one pool of bytes, which opens with FIXED_TEXTS.
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from functools import cache

import numpy as np

from pageout.events.recording import Array
from pageout.vocabulary.prints import (
    GFP_6_FLAGS,
    INODE_STATE_6_FLAGS,
    IRQ_CONTEXT,
    LOCKED,
    LOCKED_CONTEXT,
    PLAIN_CONTEXT,
    is_later,
    rows_of,
)
from pageout.vocabulary.trace_flags import LRU_FLAGS, THROTTLE_FLAGS, ZONE_FLAGS
from pageout.vocabulary.tracepoints import (
    GFP_FLAGS,
    INODE_STATE_FLAGS,
    REASONS,
    RECLAIM_FLAGS,
    RWBS_FLAGS,
    SHRINKERS,
    Tracepoint,
)

NAME_BYTES = 64  # of a device or shrinker the recording keeps by name, final NUL included
MAX_LINE = 1024  # bytes; each row's longest line is asserted to be below
FIELD_WORD = 2  # word of a ring record its fields start at; word 0 is the time, word 1 pid, event and CPU

# What the printers say that is in no row, and where in the pool.
FIXED_TEXTS = ("(null)", "0x", "default", "unknown")
NULL_TEXT, HEX_TEXT, DEFAULT_TEXT, UNKNOWN_TEXT = 0, 6, 8, 15

# Printers of a step. The decimal ones come first.
(NONE, INT, UINT, LONG, ULONG, HEX, PFN, PAGE, COMM, COMM_OF, FLAGS, HASHED, BYTES, CGROUP) = range(14)
(ROW, BDI, SB_DEV, DEV, SHRINKER) = range(14, 19)
_KINDS = {
    "d": INT, "u": UINT, "ld": LONG, "lu": ULONG, "lx": HEX, "pfn": PFN, "bdi": BDI, "sb_dev": SB_DEV, "dev": DEV,
    "shrinker": SHRINKER, "gfp": FLAGS, "reclaim": FLAGS, "istate": FLAGS, "rwbs": FLAGS,
    "gfp6": FLAGS, "istate6": FLAGS, "reason": ROW, "lru": FLAGS, "throttle": FLAGS, "zone": FLAGS,
}  # fmt: skip
_DERIVED = {
    "page": (PAGE, "pfn"), "hashed_page": (HASHED, "pfn"), "comm": (COMM, ""),
    "comm_of_target": (COMM_OF, "target_pid"), "data_bytes": (BYTES, "nr_sector"), "cgroup_ino": (CGROUP, "bdi"),
}  # fmt: skip
_FLAG_SETS: dict[str, tuple[tuple[tuple[int, str], ...], str, str]] = {
    "gfp": (GFP_FLAGS, "|", "GFP_NOWAIT"),
    "reclaim": (RECLAIM_FLAGS, "|", "RECLAIM_WB_NONE"),
    "istate": (INODE_STATE_FLAGS, "|", ""),
    "rwbs": (RWBS_FLAGS, "", ""),
    "lru": (LRU_FLAGS, "|", ""),
    "throttle": (THROTTLE_FLAGS, "|", ""),
    "zone": (ZONE_FLAGS, "|", ""),
    "gfp6": (GFP_6_FLAGS, "|", "GFP_NOWAIT"),
    "istate6": (INODE_STATE_6_FLAGS, "|", ""),
}

STEP = np.dtype([(name, "i4") for name in (
    "text", "text_length",    # a literal of the pool, printed first
    "kind", "word",           # then this word of the record by this printer
    "first", "end",           # rows of `flag_rows` (FLAGS, SHRINKER)
    "zero", "zero_length",    # what FLAGS prints for 0
    "separator",              # what FLAGS prints between names, 0 for nothing
)])  # fmt: skip
FLAG = np.dtype([("mask", "i8"), ("text", "i4"), ("text_length", "i4")])


class Program:
    """Rows as steps: `arrays` holds the tables the compiled loop reads. later: lines have a context, as today."""

    def __init__(self, table: Sequence[Tracepoint], *, later: bool = False) -> None:
        self.pool = bytearray("".join(FIXED_TEXTS).encode())
        self._places: dict[str, int] = {}
        self._flags: list[tuple[int, int, int]] = []
        self._sets = {name: self._flag_rows(flags) for name, (flags, _, _) in _FLAG_SETS.items()}
        self._sets["shrinker"] = self._flag_rows(tuple(enumerate(SHRINKERS)))
        self._sets["reason"] = self._flag_rows(tuple(enumerate(REASONS)))
        self._steps: list[tuple[int, ...]] = []
        first = [0]
        for row in table:
            self._compile(row)
            first.append(len(self._steps))
        context = [self._place(LOCKED_CONTEXT if row.name in LOCKED else PLAIN_CONTEXT)[0] for row in table]
        context.append(self._place(IRQ_CONTEXT)[0])
        self.arrays: dict[str, Array] = {
            "first_step": np.array(first, np.int32),
            "context": np.array(context if later else [0] * len(context), np.int32),
            "step": np.array(self._steps, STEP),
            "flag_row": np.array(self._flags, FLAG),
            "pool": np.frombuffer(bytes(self.pool), np.uint8).copy(),
        }

    def _place(self, text: str) -> tuple[int, int]:
        if text not in self._places:
            self._places[text] = len(self.pool)
            self.pool += text.encode("ascii")
        return self._places[text], len(text)

    def _flag_rows(self, flags: tuple[tuple[int, str], ...]) -> tuple[int, int]:
        first = len(self._flags)
        self._flags += [(mask, *self._place(text)) for mask, text in flags]
        return first, len(self._flags)

    def _compile(self, row: Tracepoint) -> None:
        words = {column.name: FIELD_WORD + index for index, column in enumerate(row.fields)}
        printers = {column.name: column.printed for column in row.fields}
        start = f"{row.name}: "
        bound = len(row.name) + 80
        for literal, name, _, _ in string.Formatter().parse(row.text):
            text = self._place(start + literal)
            bound += len(literal)
            start = ""
            if name is None:
                self._steps.append((*text, NONE, 0, 0, 0, 0, 0, 0))
            elif name in _DERIVED:
                kind, source = _DERIVED[name]
                word = words[source] if source else 0
                self._steps.append((*text, kind, word, 0, 0, 0, 0, 0))
                bound += 20
            else:
                printed = printers[name]
                rows, (_, separator, zero) = self._sets.get(printed, (0, 0)), _FLAG_SETS.get(printed, ((), "", ""))
                flags = (*rows, *self._place(zero), ord(separator or "\0"))
                self._steps.append((*text, _KINDS[printed], words[name], *flags))
                names = sum(length + 1 for _, _, length in self._flags[slice(*rows)])
                bound += 20 + (NAME_BYTES if _KINDS[printed] >= BDI else names)
        assert bound <= MAX_LINE, f"{row.name}: lines of {bound} bytes"


@cache
def program(kernel: str, *, cgroups: bool = False) -> Program:
    """Return the program of what a kernel prints; cgroups: its machine has others than the root's."""
    return Program(rows_of(kernel, cgroups=cgroups), later=is_later(kernel))
