# SPDX-License-Identifier: GPL-2.0-or-later
"""The head of a line, compiled: ` comm-PID (TGID) [CPU] flags TIME: EVENT: payload`.

Finds what `ftrace_text`'s strict pattern finds, in the lines it takes: printable ASCII, and a comm as long as a kernel
keeps one and that does not begin as a mail's or a log's prefix does. All others are Python's.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pageout.jit import kfn, kinline, word_at
from pageout.readers.bulk_bytes import (
    ONES,
    decimal,
    digits_length,
    equal_bytes,
    find_byte,
    find_odd,
    first_bytes,
    nr_digits,
    skip_spaces,
    value_of,
)

# Where the parts of a line stand, and its numbers. `next`: the line after it.
HEAD = np.dtype([(name, "i8") for name in (
    "start", "next", "comm", "comm_end", "pid", "has_tgid", "cpu", "flag", "flag_end", "time_ns", "name", "name_end",
    "payload", "end",
)])  # fmt: skip

COMM_BYTES = 15  # TASK_COMM_LEN - 1: what is longer has a prefix before it
MAX_BULK_LINE = 1 << 12  # bytes; longer lines are Python's
UNSURE = -1
_MAX_PID = (1 << 31) - 1
_MAX_PREFIX = 72  # bytes from the dash to the event: with less, no part is longer than Python's pattern allows
_MAX_TGID, _MAX_NAME, _TIME_DIGITS = 10, 64, 9

_SPACE, _AMPERSAND, _OPEN, _CLOSE, _MINUS, _DOT, _COLON = 32, 38, 40, 41, 45, 46, 58
_LEFT, _RIGHT, _UNDERSCORE, _LESS, _BAR = 91, 93, 95, 60, 124
_LINE_FEED, _RETURN, _CAPITAL_M, _CARET = 10, 13, 77, 94
_MINUSES, _COLONS, _BLANKS = _MINUS * ONES, _COLON * ONES, _SPACE * ONES
_LEFTS, _RIGHTS, _BARS = _LEFT * ONES, _RIGHT * ONES, _BAR * ONES
_GIGA = 10**9


@kinline
def is_word_byte(byte: int) -> Any:
    """Return 1 for what a name in C may have in it."""
    if 48 <= byte <= 57 or byte == _UNDERSCORE:
        return 1
    byte |= 32
    return 1 if 97 <= byte <= 122 else 0


@kfn
def parse_tgid(buf: Any, at: int) -> Any:
    """Return what follows `(TGID) `, `(-----) ` and spaces, UNSURE if it is not that. `at`: after the bracket."""
    opened = at
    at = skip_spaces(buf, at)
    first = at
    if buf[at] == _MINUS:
        while buf[at] == _MINUS:
            at += 1
    else:
        while 48 <= buf[at] <= 57:
            at += 1
    if at == first or at - opened > _MAX_TGID or buf[at] != _CLOSE or buf[at + 1] != _SPACE:
        return UNSURE
    return skip_spaces(buf, at + 1)


@kinline
def parse_flags(buf: Any, at: int, head: Any) -> Any:
    """Take the flags, if there are any; returns what follows, UNSURE for what could be read in two ways."""
    length = find_byte(buf, at, at + 9, _BLANKS) - at
    head.flag = at
    head.flag_end = at
    if length == 9:
        return at  # the time: none is shorter
    word = first_bytes(buf, at, length)
    if length < 4 or nr_digits(word) == length or equal_bytes(word, _COLONS) != 0:
        return UNSURE
    if equal_bytes(word, _LEFTS) != 0 or equal_bytes(word, _RIGHTS) != 0:
        return UNSURE
    head.flag_end = at + length
    return skip_spaces(buf, at + length)


@kinline
def parse_time(buf: Any, at: int, head: Any) -> Any:
    """Take `SECONDS.FRACTION: `; returns what follows, UNSURE if it is not that."""
    length = digits_length(buf, at)
    if length < 1 or length > _TIME_DIGITS or buf[at + length] != _DOT:
        return UNSURE
    dot = at + length
    word = word_at(buf, dot + 1)
    if nr_digits(word) == 6 and buf[dot + 7] == _COLON and buf[dot + 8] == _SPACE:
        head.time_ns = decimal(buf, at, length) * _GIGA + value_of(word, 6) * 1000
        return dot + 9
    places = digits_length(buf, dot + 1)
    if places < 6 or places > 9:
        return UNSURE
    fraction = decimal(buf, dot + 1, places)
    after = dot + 1 + places
    if buf[after] != _COLON or buf[after + 1] != _SPACE:
        return UNSURE
    if places == 6:
        fraction *= 1000
    else:
        while places < 9:
            fraction *= 10
            places += 1
    head.time_ns = decimal(buf, at, length) * _GIGA + fraction
    return after + 2


@kinline
def parse_name(buf: Any, at: int, head: Any) -> Any:
    """Take `EVENT:` or `SYSTEM:EVENT:` and find the payload; returns 0 if it is not that."""
    end = head.end
    stop = find_byte(buf, at, end, _COLONS)
    if stop == at or stop >= end or stop - at > _MAX_NAME or find_byte(buf, at, stop, _BLANKS) < stop:
        return 0
    if stop + 1 < end and buf[stop + 1] != _SPACE:
        stop += 1
        first = stop
        while is_word_byte(buf[stop]):
            stop += 1
        if stop == first or stop >= end or stop - first > _MAX_NAME or buf[stop] != _COLON:
            return 0
        if stop + 1 < end and buf[stop + 1] != _SPACE:
            return 0
    head.name = at
    head.name_end = stop
    at_payload = skip_spaces(buf, stop + 1)
    head.payload = at_payload if at_payload < end else end
    return 0 if buf[head.payload] == _LESS or buf[at] == _LESS else 1  # `kernel_stack: <stack trace>`


@kinline
def parse_prefix(buf: Any, at: int, head: Any) -> Any:
    """Take what follows the dash after a comm, `PID (TGID) [CPU] flags TIME: `; returns what follows.

    0 if the comm goes on, as there is no `PID [`; UNSURE if it may be read otherwise.
    """
    first = at
    length = digits_length(buf, at)
    if length < 1 or length > 10 or buf[at + length] != _SPACE:
        return 0
    head.pid = decimal(buf, at, length)
    at = skip_spaces(buf, at + length)
    head.has_tgid = 0
    if buf[at] == _OPEN:
        head.has_tgid = 1
        at = parse_tgid(buf, at + 1)
        if at == UNSURE:
            return UNSURE
    if buf[at] != _LEFT:
        return 0 if head.has_tgid == 0 else UNSURE
    word = word_at(buf, at + 1)
    length = nr_digits(word)
    if length < 3 or length > 4:
        return UNSURE
    head.cpu = value_of(word, length)
    at += 1 + length
    if buf[at] != _RIGHT or buf[at + 1] != _SPACE:
        return UNSURE
    at = parse_flags(buf, skip_spaces(buf, at + 1), head)
    if at != UNSURE:
        at = parse_time(buf, at, head)
    return UNSURE if at - first > _MAX_PREFIX else at


@kinline
def may_be_more(word: int) -> Any:
    """Return not 0 if a word of a comm has a byte that also stands in markup or before a line."""
    return equal_bytes(word, _LEFTS) | equal_bytes(word, _BARS) | equal_bytes(word, _BLANKS)


@kinline
def is_plain_comm(buf: Any, at: int, end: int) -> Any:
    """Return 1 if a comm is one, surely: no quote mark, number, stamp, markup or file's name before it."""
    length = end - at
    if length > COMM_BYTES:
        return 0
    if length == 0:
        return 1
    first = buf[at] | 32
    if not (97 <= first <= 122 or buf[at] == _LESS or buf[at] == _OPEN or buf[at] == _UNDERSCORE):
        return 0
    if buf[at] == _LESS and 48 <= buf[at + 1] <= 57:
        return 0
    odd = may_be_more(first_bytes(buf, at, length))
    if length > 8:
        odd |= may_be_more(first_bytes(buf, at + 8, length - 8))
    if odd == 0:
        return 1
    for index in range(at, end):
        byte = buf[index]
        if byte in (_LEFT, _BAR):
            return 0
        if byte == _COLON and buf[index + 1] == _SPACE and buf[index + 2] == _SPACE:
            return 0
    return 1


@kinline
def parse_head(buf: Any, head: Any) -> Any:
    """Take the head of the line from `head.start` to `head.end`, without spaces at its end; 0 if it is Python's."""
    start = skip_spaces(buf, head.start)
    end = head.end
    dash = start
    at = 0
    while at == 0:
        dash = find_byte(buf, dash, end, _MINUSES)
        if dash - start > COMM_BYTES or dash >= end:
            return 0
        at = parse_prefix(buf, dash + 1, head)
        dash += 1
    if at == UNSURE or head.pid > _MAX_PID:
        return 0
    head.comm = start
    head.comm_end = dash - 1
    if not is_plain_comm(buf, start, dash - 1):
        return 0
    return parse_name(buf, at, head)


@kfn
def find_line(buf: Any, start: int, head: Any) -> Any:
    """Find the line that begins at `start`, and its head; returns 0 if it is Python's, `head.next` is right anyway."""
    end = find_odd(buf, start, _AMPERSAND)  # an ampersand may be markup
    stop = end
    if buf[stop] == _RETURN and buf[stop + 1] == _LINE_FEED:
        stop += 1
    plain = buf[stop] == _LINE_FEED
    while buf[stop] != _LINE_FEED:
        stop += 1
    head.next = stop + 1
    if not plain or end - start > MAX_BULK_LINE:
        return 0
    while end > start and buf[end - 1] == _SPACE:
        end -= 1
    if end - start < 2 or (buf[end - 1] == _CAPITAL_M and buf[end - 2] == _CARET):
        return 0  # a carriage return, spelled out
    head.start = start
    head.end = end
    return parse_head(buf, head)
