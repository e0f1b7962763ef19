# SPDX-License-Identifier: GPL-2.0-or-later
"""What heads of lines were made of before, by their very bytes: a part that stands here again is not read again.

Each table is looked up by a hash of some bytes, and a row holds good only for the bytes it was made of, every one of
them compared. Rows are made of what `bulk_header` has read the long way. Compiled: imports numba.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pageout.jit import kfn, kinline, word_at

# The first bytes of a line, up to and with the bracket before its CPU: 24 bytes and, by their masks, up to 16 more.
# Then what stands there: places are counted from the line's first byte; `word`: the comm's number, or NULL.
PREFIX = np.dtype([(name, "i8") for name in (
    "first", "second", "third", "fourth", "fourth_mask", "fifth", "fifth_mask", "bracket", "comm", "comm_end", "pid",
    "has_tgid", "word",
)])  # fmt: skip
# Flags of 4 to 7 characters, filled up with zeros, and their number.
FLAGS = np.dtype([(name, "i8") for name in ("text", "word")])
# The seconds of a time, with the dot after them, and their worth.
SECONDS = np.dtype([(name, "i8") for name in ("text", "mask", "length", "time_ns")])
# The name of an event, 8 to 32 characters: four words that overlap, so that they are all of it; and its number.
NAME = np.dtype([(name, "i8") for name in ("first", "second", "third", "last", "length", "word")])

PREFIXES, FLAG_ROWS, NAMES = 1 << 11, 1 << 6, 1 << 9
LAYOUT = {
    "prefix": (PREFIX, False),
    "flags": (FLAGS, False),
    "seconds": (SECONDS, True),
    "name": (NAME, False),
}
UNKNOWN = -1  # in place of a number, or a row

_LEAST_PREFIX, _MOST_PREFIX = 24, 40
_MULTIPLIER, _OTHER = 0x1E3779B97F4A7C15, 0x2545F4914F6CDD1D
_MASK_62 = (1 << 62) - 1


def known_tables() -> dict[str, Any]:
    """Return the tables of LAYOUT, with nothing in them."""
    seconds = np.zeros(1, SECONDS)
    seconds["mask"] = -1  # no text is 0
    return {
        "prefix": np.zeros(PREFIXES, PREFIX),
        "flags": np.zeros(FLAG_ROWS, FLAGS),
        "seconds": seconds,
        "name": np.zeros(NAMES, NAME),
    }


@kinline
def prefix_row(buf: Any, start: int) -> Any:
    """Return the row for the line that begins here."""
    mixed = (word_at(buf, start + 8) + word_at(buf, start + 16) * _OTHER) * _MULTIPLIER & _MASK_62
    return mixed >> 51


@kinline
def is_prefix(buf: Any, start: int, row: Any) -> Any:
    """Return 1 if the line that begins here begins as the row says."""
    other = (word_at(buf, start) ^ row.first) | (word_at(buf, start + 8) ^ row.second)
    other |= (word_at(buf, start + 16) ^ row.third) | (word_at(buf, start + 24) ^ row.fourth) & row.fourth_mask
    return 1 if (other | (word_at(buf, start + 32) ^ row.fifth) & row.fifth_mask) == 0 else 0


@kfn
def mask_of(length: int) -> Any:
    """Return the mask of the first bytes of a word: none for 0 and less, all for 8 and more."""
    if length <= 0:
        return 0
    return -1 if length >= 8 else (1 << 8 * length) - 1


@kfn
def know_prefix(k: Any, head: Any, word: int) -> None:
    """Keep the prefix of a line that was taken, if it is long enough and not too long."""
    buf = k.buf
    start = head.line_start
    length = head.bracket - start + 1
    if length < _LEAST_PREFIX or length > _MOST_PREFIX:
        return
    row = k.prefix[prefix_row(buf, start)]
    row.first = word_at(buf, start)
    row.second = word_at(buf, start + 8)
    row.third = word_at(buf, start + 16)
    row.fourth = word_at(buf, start + 24)
    row.fourth_mask = mask_of(length - 24)
    row.fifth = word_at(buf, start + 32)
    row.fifth_mask = mask_of(length - 32)
    row.bracket = head.bracket - start
    row.comm = head.comm - start
    row.comm_end = head.comm_end - start
    row.pid = head.pid
    row.has_tgid = head.has_tgid
    row.word = word


@kinline
def flags_row(text: int) -> Any:
    """Return the row for flags."""
    return (text * _MULTIPLIER & _MASK_62) >> 56


@kfn
def know_flags(k: Any, head: Any, word: int) -> None:
    """Keep the flags of a line that was taken."""
    length = head.flag_end - head.flag
    if length < 8:
        text = word_at(k.buf, head.flag) & mask_of(length)
        row = k.flags[flags_row(text)]
        row.text = text
        row.word = word


@kinline
def name_row(buf: Any, at: int, end: int) -> Any:
    """Return the row for the name of an event, of 8 characters or more."""
    mixed = (word_at(buf, at) + word_at(buf, end - 8) * _OTHER + (end - at)) * _MULTIPLIER & _MASK_62
    return mixed >> 53


@kinline
def is_name(buf: Any, at: int, end: int, row: Any) -> Any:
    """Return 1 if the name is the row's."""
    length = end - at
    if length != row.length:
        return 0
    second = at + 8 if length >= 16 else end - 8
    third = at + 16 if length >= 24 else end - 8
    other = (word_at(buf, at) ^ row.first) | (word_at(buf, second) ^ row.second)
    return 1 if (other | (word_at(buf, third) ^ row.third) | (word_at(buf, end - 8) ^ row.last)) == 0 else 0


@kfn
def know_name(k: Any, head: Any, word: int) -> None:
    """Keep the name of an event."""
    buf = k.buf
    at = head.name
    end = head.name_end
    length = end - at
    if length < 8 or length > 32:
        return
    row = k.name[name_row(buf, at, end)]
    row.first = word_at(buf, at)
    row.second = word_at(buf, at + 8 if length >= 16 else end - 8)
    row.third = word_at(buf, at + 16 if length >= 24 else end - 8)
    row.last = word_at(buf, end - 8)
    row.length = length
    row.word = word
