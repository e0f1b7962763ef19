# SPDX-License-Identifier: GPL-2.0-or-later
"""Text read by the readers, as the ring records it was printed from: the way back of the encoder's printers."""

from functools import cache
from pathlib import Path

import numpy as np
import polars as pl

from pageout.readers.read import Input, read_input, read_pieces
from pageout.vocabulary.prints import GFP_6_FLAGS, INODE_STATE_6_FLAGS, rows_of
from pageout.vocabulary.trace_flags import LRU_FLAGS, THROTTLE_FLAGS, ZONE_FLAGS
from pageout.vocabulary.tracepoints import (
    FIRST_NAME,
    GFP_FLAGS,
    INODE_STATE_FLAGS,
    NO_DEVICE,
    NULL_PAGE_PFN,
    NULL_PFN,
    REASONS,
    RECLAIM_FLAGS,
    ROWS,
    RWBS_FLAGS,
    SHRINKERS,
    disk_of,
)
from tests.events.recording import COMMON, OtherEvent, Recording, columns

LISTS = {"lru": LRU_FLAGS, "throttle": THROTTLE_FLAGS, "zone": [(m, n.strip()) for m, n in ZONE_FLAGS]}


def _flags(text, flags, zero, prefix=""):
    masks = {name: mask for mask, name in flags}
    masks |= {f"__{name}": mask for name, mask in masks.items() if prefix and name.startswith(prefix)}
    masks[zero] = 0
    return sum({int(name, 16) if name.startswith("0x") else masks[name] for name in text.split("|")})


def _rwbs(text):
    value = 0
    for mask, letter in RWBS_FLAGS:
        if text.startswith(letter):
            value |= mask
            text = text[1:]
    assert not text
    return value


def _device(text, names):
    major, _, minor = text.replace(",", ":").partition(":")
    if major.isdigit() and minor.isdigit():
        return disk_of(int(major), int(minor)) if int(major) or int(minor) else NO_DEVICE
    return NO_DEVICE if text == "default" else _name(text, names)


def _name(text, names):
    if text not in names:
        names.append(text)
    return FIRST_NAME - names.index(text)


def _number(printed, text, names):
    """Return what the ring holds for a printed word."""
    if printed == "reason":
        return REASONS.index(text)
    if printed == "gfp6":
        return _flags(text, GFP_6_FLAGS, "GFP_NOWAIT", "GFP_")
    if printed == "istate6":
        return _flags(text, INODE_STATE_6_FLAGS, "")
    if printed == "gfp":
        return _flags(text, GFP_FLAGS, "GFP_NOWAIT", "GFP_")
    if printed in LISTS:
        return _flags(text, LISTS[printed], "")
    if printed == "reclaim":
        return _flags(text, RECLAIM_FLAGS, "RECLAIM_WB_NONE")
    if printed == "istate":
        return _flags(text, INODE_STATE_FLAGS, "")
    if printed == "rwbs":
        return _rwbs(text)
    if printed == "shrinker":
        return SHRINKERS.index(text) if text in SHRINKERS else _name(text, names)
    return _device(text, names)


def _signed(value):
    return (value + (1 << 63)) % (1 << 64) - (1 << 63)


def _integers(series):
    """Return a column as the ring has it: the one number that frames show as null is the one they mark nulls with."""
    if series.dtype in (pl.Int64, pl.UInt64):
        series = series.fill_null((1 << 63) if series.dtype == pl.UInt64 else -(1 << 63))
    return series.to_numpy().astype(np.int64)


def _column(series, printed, names):
    if printed in ("d", "u", "ld", "lu", "lx"):
        return _integers(series)
    if printed == "pfn":
        numbers = _integers(series)
        return np.where(numbers == _signed(NULL_PAGE_PFN), NULL_PFN, numbers)
    number = cache(lambda text: _signed(_number(printed, text, names)))
    return np.array([number(text) for text in series.to_list()], np.int64)


def recording_of(found: Input, kernel: str = "") -> Recording:
    """Return the events of an input, printed by a kernel, as arrays of the ring's numbers."""
    account = found.account
    out = Recording(unread=list(account.unread_lines), lines=account.lines)
    if found.events is None:
        return out
    seen = []
    for name, frame in found.events.frames.items():
        row = rows_of(kernel)[ROWS[name]]
        array = np.empty(len(frame), columns(row))
        for column, _ in COMMON:
            array[column] = frame[column].fill_null(-1).to_numpy()
        for column in row.fields:
            array[column.name] = 0
            if f"{{{column.name}}}" not in row.text:
                continue  # this kernel does not print it
            series = frame[column.name]
            if column.printed == "shrinker":  # the ring has one number for the function and its address
                series = series.cast(pl.String) + " " + frame["shrinker_at"].cast(pl.String)
            array[column.name] = _column(series, column.printed, out.names)
        out.events[name] = array
        seen += frame.select("line", "pid", "comm").rows()
    other = found.events.other.select("line", "time_ns", "pid", "cpu", "name", "payload").fill_null(-1)
    out.other = [OtherEvent(*row) for row in other.rows()]
    out.comms = {pid: comm for _, pid, comm in sorted(seen, key=lambda row: row[0]) if pid and comm is not None}
    return out


def read_recording(source: Path | bytes, kernel: str = "") -> Recording:
    """Return the recording in a file, or in a text."""
    return recording_of(read_input(str(source)) if isinstance(source, Path) else read_pieces("text", [source]), kernel)
