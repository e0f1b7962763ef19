# SPDX-License-Identifier: GPL-2.0-or-later
"""Fields of many records at once: numbers as columns, texts as codes, whatever the byte order of the machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pageout.readers.event_format import Field, Shape

Array = NDArray[Any]

MAX_TEXT = 4096  # bytes of a text that are looked at
_SPREAD = np.uint64(0x9E3779B97F4A7C15)
_SLOT_BITS = 16
_FEW = 1 << 11
_SHORT = 64  # bytes of a text that are compared as numbers


Slot = tuple[int, int]  # offset in a record, bytes: 1, 2, 4 or 8
Gather = Callable[[Array, Sequence[Slot]], list[Array]]  # places of records, slots -> a column of unsigned a slot


class Rows(NamedTuple):
    """Records of one event: where each one's data begins in the file, its length, and slots read already."""

    at: Array
    size: Array
    loaded: dict[Slot, Array] = {}  # noqa: RUF012  never written to: replaced by a new one


class FieldReader:
    """Reads fields out of the bytes of a file."""

    def __init__(self, data: NDArray[np.uint8], *, big: bool, gather: Gather | None = None) -> None:
        self.data, self.big, self._gather = data, big, gather
        order = ">" if big else "<"
        self._words = {size: data[: len(data) // size * size].view(f"{order}u{size}") for size in (2, 4)}

    def numbers(self, field: Field, rows: Rows) -> Array:
        """Return a field of 1, 2, 4 or 8 bytes, in the smallest type that holds it."""
        found = self._slot(rows, field.offset, field.size)
        return found.view(f"i{field.size}") if field.signed else found

    def load(self, rows: Rows, fields: Sequence[Field]) -> Rows:
        """Return the rows with all slots of these fields read at once."""
        if self._gather is None:
            return rows
        wanted = sorted({slot for field in fields for slot in slots(field) if slot[0] % min(slot[1], 4) == 0})
        return rows._replace(loaded=dict(zip(wanted, self._gather(rows.at, wanted), strict=True)))

    def _slot(self, rows: Rows, offset: int, size: int) -> Array:
        found = rows.loaded.get((offset, size))
        return self._unsigned(rows.at + offset, size, offset % min(size, 4) == 0) if found is None else found

    def unsigned(self, at: Array, size: int) -> Array:
        """Return what stands at places that are multiples of 4."""
        return self._unsigned(at, size, True)

    def _unsigned(self, at: Array, size: int, aligned: bool) -> Array:
        if size == 1:
            return self.data.take(at)
        if size == 8:
            first, second = (self._unsigned(at + more, 4, aligned).astype(np.uint64) for more in (0, 4))
            return first << np.uint64(32) | second if self.big else second << np.uint64(32) | first
        if aligned:
            return self._words[size].take(at >> (1 if size == 2 else 2)).astype(f"=u{size}", copy=False)
        pieces = [self.data.take(at + n).astype(f"u{size}") for n in range(size)]
        found = np.zeros(len(at), f"u{size}")
        for piece in pieces if self.big else pieces[::-1]:
            found = found << np.array(8, found.dtype) | piece
        return found

    def texts(self, field: Field, rows: Rows) -> tuple[Array, list[bytes]]:
        """Return a text field: a code for each row, and the text of each code."""
        if field.shape is Shape.TEXT and 0 < field.size <= _SHORT:
            codes, chosen = distinct([self._slot(rows, *slot) for slot in slots(field)])
            return codes, [self._bytes(int(rows.at[row]) + field.offset, field.size) for row in chosen]
        starts, lengths = self.places(field, rows)
        long = lengths > _SHORT
        if not long.any():
            return self._short(starts, lengths)
        codes, raw = np.zeros(len(starts), np.int64), list[bytes]()
        for mask, read in ((~long, self._short), (long, self._one_by_one)):
            some, texts = read(starts[mask], lengths[mask])
            codes[mask] = some + len(raw)
            raw += texts
        return codes, raw

    def _bytes(self, at: int, size: int) -> bytes:
        return self.data[at : at + size].tobytes().split(b"\0")[0]

    def _short(self, starts: Array, lengths: Array) -> tuple[Array, list[bytes]]:
        """Return texts that lie at different places, of different lengths."""
        keys = [lengths]
        for n in range(int(lengths.max(initial=0))):
            byte = np.where(lengths > n, self.data.take(starts + n, mode="clip"), 0).astype(np.uint64)
            if n % 8:
                keys[-1] |= byte << np.uint64(n % 8 * 8)
            else:
                keys.append(byte)
        codes, chosen = distinct(keys)
        return codes, [self._bytes(int(starts[row]), int(lengths[row])) for row in chosen]

    def _one_by_one(self, starts: Array, lengths: Array) -> tuple[Array, list[bytes]]:
        seen: dict[bytes, int] = {}
        codes = np.fromiter(
            (
                seen.setdefault(self._bytes(start, length), len(seen))
                for start, length in zip(starts.tolist(), lengths.tolist(), strict=True)
            ),
            np.int64,
            len(starts),
        )
        return codes, list(seen)

    def places(self, field: Field, rows: Rows) -> tuple[Array, Array]:
        """Return where a field's bytes lie and how many they are, never outside its record."""
        if field.shape in (Shape.DATA_LOC, Shape.REL_LOC):
            where = self._slot(rows, field.offset, 4).astype(np.int64)
            offset, length = where & 0xFFFF, where >> 16
            if field.shape is Shape.REL_LOC:
                offset = offset + field.offset + 4
        else:
            offset = np.full(len(rows.at), field.offset)
            length = np.full(len(rows.at), field.size) if field.size else rows.size.astype(np.int64) - field.offset
        offset = np.minimum(offset, rows.size)
        return rows.at + offset, np.clip(length, 0, np.minimum(rows.size - offset, MAX_TEXT))


def slots(field: Field) -> list[Slot]:
    """Return what is read of a number, a short text or the place of a dynamic field."""
    if field.shape is Shape.ARRAY or (field.shape is Shape.TEXT and not 0 < field.size <= _SHORT):
        return []
    if field.shape is not Shape.TEXT:
        return [(field.offset, field.size)]
    found, at = [], field.offset
    while at < field.offset + field.size:
        left = field.offset + field.size - at
        size = next(size for size in (8, 4, 2, 1) if at % min(size, 4) == 0 and size <= left)
        found.append((at, size))
        at += size
    return found


def distinct(keys: Sequence[Array]) -> tuple[Array, Array]:
    """Return a code for each row, and for each code one row that has it: equal keys, equal codes."""
    nr = len(keys[0])
    if nr == 0:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    mixed = np.zeros(nr, np.uint64)
    for key in keys:
        mixed = (mixed ^ key.astype(np.uint64)) * _SPREAD
        mixed ^= mixed >> np.uint64(29)
    if nr >= _FEW:
        found = _by_slot(keys, mixed * _SPREAD >> np.uint64(64 - _SLOT_BITS))
        if found is not None:
            return found
    _, rows, codes = np.unique(mixed, return_index=True, return_inverse=True)
    if all(np.array_equal(key, key[rows][codes]) for key in keys):
        return codes, rows
    stacked = np.stack([key.astype(np.uint64) for key in keys], axis=1)  # two keys of one hash: by the keys themselves
    _, rows, codes = np.unique(stacked, axis=0, return_index=True, return_inverse=True)
    return codes.reshape(-1), rows


def _by_slot(keys: Sequence[Array], slot: Array) -> tuple[Array, Array] | None:
    """Number rows by a table of slots, if no two different keys fall into one."""
    row_of = np.full(1 << _SLOT_BITS, -1, np.int64)
    row_of[slot] = np.arange(len(slot))
    rows = row_of[slot]
    if not all(np.array_equal(key, key[rows]) for key in keys):
        return None
    used = np.flatnonzero(row_of >= 0)
    code_of = np.zeros(1 << _SLOT_BITS, np.int64)
    code_of[used] = np.arange(len(used))
    return code_of[slot], row_of[used]
