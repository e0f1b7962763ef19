# SPDX-License-Identifier: GPL-2.0-or-later
"""The head of a line, compiled: ` comm-PID (TGID) [CPU] flags TIME: EVENT: payload`.

Finds what `ftrace_text`'s strict pattern finds, in the lines it takes: printable ASCII, and a comm as long as a kernel
keeps one and that does not begin as a mail's or a log's prefix does. All others are Python's.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pageout.jit import kfn, word_at
from pageout.readers.bulk_bytes import ONES, decimal, digits_length, find_byte, nr_digits, value_of

HEAD = np.dtype([(name, "i8") for name in (
    "comm", "comm_end", "pid", "has_tgid", "cpu", "flag", "flag_end", "time_ns", "name", "name_end", "payload", "end",
)])  # fmt: skip

COMM_BYTES = 15  # TASK_COMM_LEN - 1: what is longer has a prefix before it
_MAX_PID = (1 << 31) - 1

_SPACE, _AMPERSAND, _OPEN, _CLOSE, _MINUS, _DOT, _COLON = 32, 38, 40, 41, 45, 46, 58
_LEFT, _RIGHT, _UNDERSCORE, _LESS, _BAR = 91, 93, 95, 60, 124
_MINUSES, _COLONS = _MINUS * ONES, _COLON * ONES
_GIGA = 10**9


@kfn
def is_word_byte(byte: int) -> Any:
    """Return 1 for what a name in C may have in it."""
    if 48 <= byte <= 57 or byte == _UNDERSCORE:
        return 1
    byte |= 32
    return 1 if 97 <= byte <= 122 else 0


@kfn
def skip_spaces(buf: Any, at: int) -> Any:
    """Return where the next byte stands that is no space."""
    while buf[at] == _SPACE:
        at += 1
    return at


@kfn
def parse_tgid(buf: Any, at: int) -> Any:
    """Return what follows `(TGID) `, `(-----) ` and spaces, 0 if it is not that. `at`: after the bracket."""
    at = skip_spaces(buf, at)
    first = at
    if buf[at] == _MINUS:
        while buf[at] == _MINUS:
            at += 1
    else:
        while 48 <= buf[at] <= 57:
            at += 1
    if at == first or buf[at] != _CLOSE or buf[at + 1] != _SPACE:
        return 0
    return skip_spaces(buf, at + 1)


@kfn
def parse_time(buf: Any, at: int, head: Any) -> Any:
    """Take `SECONDS.FRACTION: `; returns what follows, 0 if it is not that."""
    length = digits_length(buf, at)
    if length < 1 or length > 10 or buf[at + length] != _DOT:
        return 0
    dot = at + length
    places = digits_length(buf, dot + 1)
    if places < 6 or places > 9:
        return 0
    fraction = decimal(buf, dot + 1, places)
    at_end = dot + 1 + places
    if buf[at_end] != _COLON or buf[at_end + 1] != _SPACE:
        return 0
    while places < 9:
        fraction *= 10
        places += 1
    head.time_ns = decimal(buf, at, length) * _GIGA + fraction
    return at_end + 2


@kfn
def parse_flags_and_time(buf: Any, at: int, head: Any) -> Any:
    """Take the flags, if there are any, and the time; returns what follows, 0 if it is not that."""
    stop = at
    while buf[stop] > _SPACE and stop - at < 9:
        if buf[stop] == _LEFT or buf[stop] == _RIGHT:
            return 0
        stop += 1
    head.flag = at
    head.flag_end = at
    if 4 <= stop - at <= 8 and buf[stop] == _SPACE:
        head.flag_end = stop
        at = skip_spaces(buf, stop)
    return parse_time(buf, at, head)


@kfn
def parse_name(buf: Any, at: int, head: Any) -> Any:
    """Take `EVENT:` or `SYSTEM:EVENT:` and the payload behind it; returns 0 if it is not that."""
    end = head.end
    stop = find_byte(buf, at, end, _COLONS)
    if stop == at or stop >= end:
        return 0
    for index in range(at, stop):
        if buf[index] == _SPACE:
            return 0
    if stop + 1 < end and buf[stop + 1] != _SPACE:
        stop += 1
        first = stop
        while is_word_byte(buf[stop]):
            stop += 1
        if stop == first or buf[stop] != _COLON or (stop + 1 < end and buf[stop + 1] != _SPACE):
            return 0
    head.name = at
    head.name_end = stop
    head.payload = min(stop + 2, end)
    return 1


@kfn
def parse_after_comm(buf: Any, at: int, head: Any) -> Any:
    """Take what follows the dash after a comm; returns 0 if it is not `PID (TGID) [CPU] flags TIME: EVENT:`."""
    length = digits_length(buf, at)
    if length < 1 or length > 10 or buf[at + length] != _SPACE:
        return 0
    head.pid = decimal(buf, at, length)
    at = skip_spaces(buf, at + length)
    head.has_tgid = 0
    if buf[at] == _OPEN:
        head.has_tgid = 1
        at = parse_tgid(buf, at + 1)
        if at == 0:
            return 0
    if buf[at] != _LEFT:
        return 0
    word = word_at(buf, at + 1)
    length = nr_digits(word)
    if length < 3 or length > 4:
        return 0
    head.cpu = value_of(word, length)
    at += 1 + length
    if buf[at] != _RIGHT or buf[at + 1] != _SPACE:
        return 0
    at = parse_flags_and_time(buf, skip_spaces(buf, at + 1), head)
    if at == 0:
        return 0
    return parse_name(buf, at, head)


@kfn
def is_plain_comm(buf: Any, at: int, end: int) -> Any:
    """Return 1 if a comm is one, surely: no quote mark, number, stamp, markup or name with a colon before it."""
    if end - at > COMM_BYTES:
        return 0
    if end == at:
        return 1
    first = buf[at] | 32
    if not (97 <= first <= 122 or buf[at] == _LESS or buf[at] == _OPEN or buf[at] == _UNDERSCORE):
        return 0
    if buf[at] == _LESS and 48 <= buf[at + 1] <= 57:
        return 0
    for index in range(at, end):
        byte = buf[index]
        if byte == _AMPERSAND or byte == _LEFT or byte == _BAR or (byte == _COLON and buf[index + 1] == _SPACE):
            return 0
    return 1


@kfn
def parse_head(buf: Any, start: int, head: Any) -> Any:
    """Take the head of the line from `start` to `head.end`, trailing spaces left out; returns 0 if it is Python's."""
    start = skip_spaces(buf, start)
    end = head.end
    dash = start
    while True:
        dash = find_byte(buf, dash, end, _MINUSES)
        if dash >= end:
            return 0
        if parse_after_comm(buf, dash + 1, head):
            break
        dash += 1
    if head.pid > _MAX_PID:
        return 0
    head.comm = start
    head.comm_end = dash
    return is_plain_comm(buf, start, dash)
