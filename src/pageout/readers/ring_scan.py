# SPDX-License-Identifier: GPL-2.0-or-later
"""The records of ring buffer pages found by a compiled loop: importing this imports numba."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pageout.jit import bind_state, kentry, kernel_view, kinline, word_at
from pageout.readers.dat_fields import Gather
from pageout.readers.ring_buffer import (
    BAD_COMMIT,
    BAD_RECORD,
    CHUNK,
    COMMIT_MASK,
    DELTA_BITS,
    KEPT_BITS,
    MISSED,
    MISSED_STORED,
    OK,
    PADDING,
    TIME_EXTEND,
    Layout,
    Scan,
    Scanned,
)

_PARAM = np.dtype([(name, "i8") for name in (
    "offset", "end", "page_size", "data_offset", "commit_size", "big", "nr", "nr_holes", "max_nr", "max_holes",
    "problem",
)])  # fmt: skip
_MAX_HOLES = 1 << 12

LAYOUT = {
    "param": (_PARAM, True),
    "word": (np.dtype("u4"), False),
    "time": (np.dtype("i8"), False),
    "place": (np.dtype("i8"), False),
    "length": (np.dtype("i4"), False),
    "hole_row": (np.dtype("i8"), False),
    "hole_lost": (np.dtype("i8"), False),
}
_at = kernel_view(LAYOUT)
_LOW = (1 << 32) - 1


@kinline
def read4(k: Any, at: int) -> Any:
    """Read an unsigned word at a multiple of 4."""
    word = k.word[at >> 2]
    if k.param.big != 0:
        return (word & 255) << 24 | (word & 0xFF00) << 8 | word >> 8 & 0xFF00 | word >> 24
    return word


@kinline
def read8(k: Any, at: int) -> Any:
    """Read 8 bytes at a multiple of 4."""
    first = read4(k, at)
    second = read4(k, at + 4)
    if k.param.big != 0:
        return first << 32 | second
    return second << 32 | first


@kinline
def read_page(k: Any, at: int, stop: int, time: int) -> Any:
    """Add the records of a page; returns 0 if one does not fit."""
    param = k.param
    big = param.big
    nr = param.nr
    while at + 4 <= stop:
        head = read4(k, at)
        at += 4
        if big != 0:
            kind = head >> DELTA_BITS
            delta = head & COMMIT_MASK
        else:
            kind = head & 31
            delta = head >> 5
        if kind == PADDING:
            if delta == 0 or at + 4 > stop:
                break
            time += delta
            at += read4(k, at)
            if at & 3 != 0:
                return 0
        elif kind >= TIME_EXTEND:
            if at + 4 > stop:
                return 0
            extended = (read4(k, at) << DELTA_BITS) + delta
            at += 4
            if kind == TIME_EXTEND:
                time += extended
            else:
                time = (time >> KEPT_BITS << KEPT_BITS) | extended
        else:
            size = kind * 4
            if kind == 0:
                size = -1
                if at + 4 <= stop:
                    size = (read4(k, at) - 4 + 3) >> 2 << 2
                at += 4
            if size < 0 or size > stop - at:
                return 0
            time += delta
            k.time[nr] = time
            k.place[nr] = at
            k.length[nr] = size
            nr += 1
            at += size
    param.nr = nr
    return 1


def scan_pages(address: Any, limit: int) -> Any:
    """Read pages from `offset` on until `limit` records or the end; returns how many records."""
    k = _at(address)
    param = k.param
    while param.offset + param.data_offset <= param.end and param.nr < limit and param.nr_holes < param.max_holes:
        offset = param.offset
        stop_page = min(offset + param.page_size, param.end)
        commit = read8(k, offset + 8) if param.commit_size == 8 else read4(k, offset + 8)
        start = offset + param.data_offset
        stop = start + (commit & COMMIT_MASK)
        if stop > stop_page:
            param.problem = BAD_COMMIT
            break
        if commit & MISSED != 0:
            lost = -1
            if commit & MISSED_STORED != 0 and stop & 3 == 0 and stop + param.commit_size <= stop_page:
                lost = read8(k, stop) if param.commit_size == 8 else read4(k, stop)
            k.hole_row[param.nr_holes] = param.nr
            k.hole_lost[param.nr_holes] = lost if lost > 0 else -1
            param.nr_holes += 1
        if read_page(k, start, stop, read8(k, offset)) == 0:
            param.problem = BAD_RECORD
            break
        param.offset = stop_page
    return param.nr


_scan_pages = kentry(scan_pages)

_GATHER = np.dtype([(name, "i8") for name in ("big", "nr", "nr_slots")])
_AT_ONCE = 256  # records
_SLOT = np.dtype([(name, "i8") for name in ("offset", "width", "first")])

GATHER_LAYOUT = {
    "param": (_GATHER, True),
    "word": (np.dtype("u4"), False),
    "data": (np.dtype("u1"), False),
    "place": (np.dtype("i8"), False),
    "slot": (_SLOT, False),
    "out1": (np.dtype("u1"), False),
    "out2": (np.dtype("u2"), False),
    "out4": (np.dtype("u4"), False),
    "out8": (np.dtype("i8"), False),
}
_gather_at = kernel_view(GATHER_LAYOUT)


@kinline
def read_part(k: Any, at: int, width: int) -> Any:
    """Read 1 or 2 bytes that lie in one word."""
    word = read4(k, at >> 2 << 2)
    skipped = at & 3
    if k.param.big != 0:
        skipped = 4 - width - skipped
    return word >> (skipped * 8) & ((1 << (width * 8)) - 1)


@kinline
def gather_slot(k: Any, slot: Any, row: int, end: int) -> None:
    """Read one field of some records."""
    offset, width, first, big = slot.offset, slot.width, slot.first, k.param.big
    if width == 8:
        if big == 0:
            for some in range(row, end):
                k.out8[first + some] = word_at(k.data, k.place[some] + offset)
        else:
            for some in range(row, end):
                k.out8[first + some] = read8(k, k.place[some] + offset)
    elif width == 4:
        if big == 0:
            for some in range(row, end):
                k.out4[first + some] = k.word[(k.place[some] + offset) >> 2]
        else:
            for some in range(row, end):
                k.out4[first + some] = read4(k, k.place[some] + offset)
    elif width == 2:
        for some in range(row, end):
            k.out2[first + some] = read_part(k, k.place[some] + offset, 2)
    else:
        for some in range(row, end):
            k.out1[first + some] = k.data[k.place[some] + offset]


def gather_slots(address: Any, limit: int) -> Any:
    """Read some fields of records, a few records at a time, which stay in the cache; returns how many records."""
    k = _gather_at(address)
    nr = k.param.nr
    if limit < nr:
        nr = limit
    row = 0
    while row < nr:
        end = row + _AT_ONCE
        if end > nr:
            end = nr
        for number in range(k.param.nr_slots):
            gather_slot(k, k.slot[number], row, end)
        row = end
    return nr


_gather_slots = kentry(gather_slots)


def compiled_gather(data: NDArray[np.uint8], *, big: bool) -> Gather:
    """Return what reads many aligned fields of records at multiples of 4."""
    word = data[: len(data) >> 2 << 2].view(np.uint32)

    def gather(at: NDArray[Any], wanted: Sequence[tuple[int, int]]) -> list[NDArray[Any]]:
        param, slots = np.zeros(1, _GATHER), np.zeros(max(len(wanted), 1), _SLOT)
        used = dict.fromkeys((1, 2, 4, 8), 0)
        for row, (offset, width) in zip(slots, wanted, strict=False):
            row["offset"], row["width"], row["first"] = offset, width, used[width]
            used[width] += len(at)
        outs = {width: np.empty(max(count, 1), f"{'i' if width == 8 else 'u'}{width}") for width, count in used.items()}
        place = np.ascontiguousarray(at, np.int64)
        arrays = {"param": param, "word": word, "data": data, "place": place, "slot": slots}
        param["big"], param["nr"], param["nr_slots"] = big, len(at), len(wanted)
        block, address = bind_state({**arrays, **{f"out{width}": out for width, out in outs.items()}}, GATHER_LAYOUT)
        _gather_slots(address, len(at))
        del block
        firsts = slots["first"].tolist()
        return [
            outs[width][first : first + len(at)].view(f"u{width}")
            for (_, width), first in zip(wanted, firsts, strict=False)
        ]

    return gather


def compiled_scan(data: NDArray[np.uint8]) -> Scan:
    """Return a scan over a whole file; offsets of pages must be multiples of 4."""
    word = data[: len(data) >> 2 << 2].view(np.uint32)

    def scan(layout: Layout, first: int, end: int) -> Scanned:
        param = np.zeros(1, _PARAM)
        room = CHUNK + layout.page_size // 4
        arrays = {
            "param": param, "word": word, "time": np.empty(room, np.int64), "place": np.empty(room, np.int64),
            "length": np.empty(room, np.int32), "hole_row": np.zeros(_MAX_HOLES, np.int64),
            "hole_lost": np.zeros(_MAX_HOLES, np.int64),
        }  # fmt: skip
        param["offset"], param["end"], param["page_size"] = first, end, layout.page_size
        param["data_offset"], param["commit_size"] = layout.header.data_offset, layout.header.commit_size
        param["big"], param["max_nr"], param["max_holes"] = layout.big, room, _MAX_HOLES
        block, address = bind_state(arrays, LAYOUT)
        _scan_pages(address, CHUNK)
        del block
        nr, nr_holes = int(param["nr"][0]), int(param["nr_holes"][0])
        holes = list(zip(arrays["hole_row"][:nr_holes].tolist(), arrays["hole_lost"][:nr_holes].tolist(), strict=True))
        parts = (arrays["time"][:nr].copy(), arrays["place"][:nr].copy(), arrays["length"][:nr].copy())
        return Scanned(*parts, holes, int(param["offset"][0]), int(param["problem"][0]) or OK)

    return scan
