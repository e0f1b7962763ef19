# SPDX-License-Identifier: GPL-2.0-or-later
"""The head of a line, compiled: ` comm-PID (TGID) [CPU] flags TIME: EVENT: payload`.

Finds what `ftrace_text`'s strict pattern finds, in the lines it takes: printable ASCII, and a comm as long as a kernel
keeps one and that does not begin as a mail's or a log's prefix does. All others are Python's.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pageout.jit import kfn, kinline, lowest_bit, marked_bytes, word_at
from pageout.readers.bulk_bytes import (
    ONES,
    decimal,
    digits_length,
    equal_bytes,
    find_byte,
    find_odd,
    first_bytes,
    nr_digits,
    short_value,
    skip_spaces,
    value_of,
)
from pageout.readers.bulk_known import (
    UNKNOWN,
    flags_row,
    is_name,
    is_prefix,
    mask_of,
    name_row,
    prefix_row,
)

# Where the parts of a line stand, and its numbers. `next`: the line after it; `bracket`: that before the CPU. Numbers
# of words, `comm_word`, `flag_word` and `name_word`, are UNKNOWN where they were not found among those known.
HEAD = np.dtype([(name, "i8") for name in (
    "line_start", "next", "comm", "comm_end", "pid", "has_tgid", "bracket", "cpu", "flag", "flag_end", "time_ns",
    "name", "name_end", "payload", "end", "comm_word", "flag_word", "name_word",
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
_DIGITS_3, _CPU_ENDS, _NOT_CPU = 0x767676, 0x205D303030, 0xFFFF808080  # `000] `
_DIGITS_6, _TIME_ENDS, _NOT_TIME = 0x767676767676, 0x203A303030303030, -0x00007F7F7F7F7F80  # `000000: `


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
def parse_cpu(buf: Any, at: int, head: Any) -> Any:
    """Take `[CPU] ` and spaces; returns what follows, UNSURE if it is not that."""
    word = word_at(buf, at + 1)
    digits = word ^ _CPU_ENDS
    if ((digits + _DIGITS_3) | digits) & _NOT_CPU == 0:
        head.cpu = (digits & 255) * 100 + (digits >> 8 & 255) * 10 + (digits >> 16 & 255)
        return skip_spaces(buf, at + 6)
    length = nr_digits(word)
    if length < 3 or length > 4:
        return UNSURE
    head.cpu = value_of(word, length)
    at += 1 + length
    if buf[at] != _RIGHT or buf[at + 1] != _SPACE:
        return UNSURE
    return skip_spaces(buf, at + 1)


@kinline
def parse_flags(k: Any, at: int, head: Any) -> Any:
    """Take the flags, if there are any; returns what follows, UNSURE for what could be read in two ways."""
    buf = k.buf
    head.flag = at
    head.flag_end = at
    head.flag_word = UNKNOWN
    word = word_at(buf, at)
    spaces = equal_bytes(word, _BLANKS)
    if spaces != 0:
        length = lowest_bit(spaces) >> 3
        text = word & ((1 << 8 * length) - 1)
        row = k.flags[flags_row(text)]
        if row.text == text:
            head.flag_word = row.word
            head.flag_end = at + length
            return skip_spaces(buf, at + length)
    length = find_byte(buf, at, at + 9, _BLANKS) - at
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
def parse_time(k: Any, at: int, head: Any) -> Any:
    """Take `SECONDS.FRACTION: `; returns what follows, UNSURE if it is not that."""
    buf = k.buf
    known = k.seconds
    word = word_at(buf, at)
    if (word ^ known.text) & known.mask != 0:
        length = digits_length(buf, at)
        if length < 1 or length > _TIME_DIGITS or buf[at + length] != _DOT:
            return UNSURE
        mask = mask_of(length + 1)
        known.text = word & mask
        known.mask = mask
        known.length = length
        known.time_ns = decimal(buf, at, length) * _GIGA
        if length >= 7:
            known.text = 0
            known.mask = -1
    dot = at + known.length
    word = word_at(buf, dot + 1)
    digits = word ^ _TIME_ENDS
    if ((digits + _DIGITS_6) | digits) & _NOT_TIME == 0:
        head.time_ns = known.time_ns + short_value(word, 48) * 1000
        return dot + 9
    places = digits_length(buf, dot + 1)
    if places < 6 or places > 9:
        return UNSURE
    fraction = decimal(buf, dot + 1, places)
    after = dot + 1 + places
    if buf[after] != _COLON or buf[after + 1] != _SPACE:
        return UNSURE
    while places < 9:
        fraction *= 10
        places += 1
    head.time_ns = known.time_ns + fraction
    return after + 2


@kinline
def known_name(k: Any, at: int, head: Any) -> Any:
    """Take `EVENT: ` if it is known, and find the payload; returns 0 if it is not."""
    buf = k.buf
    end = head.end
    ends = marked_bytes(buf, at, _COLON)
    if ends == 0:
        return 0
    stop = at + lowest_bit(ends)
    if stop - at < 8 or stop + 1 >= end or buf[stop + 1] != _SPACE:
        return 0
    row = k.name[name_row(buf, at, stop)]
    if not is_name(buf, at, stop, row):
        return 0
    head.name = at
    head.name_end = stop
    head.name_word = row.word
    head.payload = skip_spaces(buf, stop + 1)
    return 1


@kfn
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
    head.name_word = UNKNOWN
    at_payload = skip_spaces(buf, stop + 1)
    head.payload = at_payload if at_payload < end else end
    return 0 if buf[head.payload] == _LESS or buf[at] == _LESS else 1  # `kernel_stack: <stack trace>`


@kinline
def parse_task(buf: Any, at: int, head: Any) -> Any:
    """Take what follows the dash after a comm, `PID (TGID) `; returns where the bracket before the CPU stands.

    0 if the comm goes on, as there is no `PID [`; UNSURE if it may be read otherwise.
    """
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
    return at


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


@kfn
def parse_prefix(buf: Any, head: Any) -> Any:
    """Take ` comm-PID (TGID) ` from `head.line_start` on; returns 0 if it is Python's."""
    start = skip_spaces(buf, head.line_start)
    end = head.end
    dash = start
    at = 0
    while at == 0:
        dash = find_byte(buf, dash, end, _MINUSES)
        if dash - start > COMM_BYTES or dash >= end:
            return 0
        at = parse_task(buf, dash + 1, head)
        dash += 1
    if at == UNSURE or head.pid > _MAX_PID:
        return 0
    head.bracket = at
    head.comm = start
    head.comm_end = dash - 1
    head.comm_word = UNKNOWN
    return is_plain_comm(buf, start, dash - 1)


@kinline
def known_prefix(k: Any, head: Any) -> Any:
    """Take ` comm-PID (TGID) ` if it is known; returns 0 if it is not."""
    start = head.line_start
    row = k.prefix[prefix_row(k.buf, start)]
    if not is_prefix(k.buf, start, row):
        return 0
    head.bracket = start + row.bracket
    head.comm = start + row.comm
    head.comm_end = start + row.comm_end
    head.pid = row.pid
    head.has_tgid = row.has_tgid
    head.comm_word = row.word
    return 1


@kinline
def parse_head(k: Any, head: Any) -> Any:
    """Take the head of the line from `line_start` to `end`, without spaces at its end; 0 if it is Python's."""
    buf = k.buf
    if not known_prefix(k, head) and not parse_prefix(buf, head):
        return 0
    at = parse_cpu(buf, head.bracket, head)
    if at == UNSURE:
        return 0
    at = parse_flags(k, at, head)
    if at == UNSURE:
        return 0
    at = parse_time(k, at, head)
    if at == UNSURE or at - head.comm_end > _MAX_PREFIX + 1:
        return 0
    if not known_name(k, at, head):
        return parse_name(buf, at, head)
    return 0 if buf[head.payload] == _LESS else 1  # `kernel_stack: <stack trace>`


@kfn
def find_line(k: Any, start: int, head: Any) -> Any:
    """Find the line that begins at `start`, and its head; returns 0 if it is Python's, `head.next` is right anyway."""
    buf = k.buf
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
    head.line_start = start
    head.end = end
    return parse_head(k, head)
