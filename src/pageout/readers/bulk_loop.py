# SPDX-License-Identifier: GPL-2.0-or-later
"""The compiled loop over lines of ftrace text. `bulk_store` holds its tables, `bulk_text` runs it."""

from __future__ import annotations

from typing import Any

import numpy as np

from pageout.events.tables import NR_COMMON, NULL
from pageout.jit import kentry, kernel_view, kfn, kinline
from pageout.readers import bulk_known, bulk_match, bulk_words
from pageout.readers.bulk_columns import columns_at, narrow_columns
from pageout.readers.bulk_header import HEAD, find_line
from pageout.readers.bulk_known import UNKNOWN, know_flags, know_name, know_prefix
from pageout.readers.bulk_match import MATCH, NO_MATCH, PYTHONS, WORDS_FULL, match_template
from pageout.readers.bulk_words import NO_ROOM, number_of, place_words
from pageout.readers.stream import BACK_NS

NEW_NAME, ROWS_FULL = 4, 5  # why the loop stopped, beside the outcomes of a payload

# where the loop is: bytes [at, end) of whole lines, the number of the line at `at`, where the one after it begins
PARAM = np.dtype([(name, "i8") for name in (
    "at", "end", "next", "line", "segment", "newest", "had_tgid", "had_no_flags", "name", "event", "nr_payload",
    "max_payload", "max_rows", "stride",
)])  # fmt: skip
# An event's templates, the cells of its rows, column by column, `stride` cells each, and whether its lines are all
# Python's. Event 0: those in no row.
EVENT = np.dtype([(name, "i8") for name in (
    "first_template", "end_template", "first_cell", "nr_cells", "nr_rows", "pythons",
)])  # fmt: skip
OTHER_CELLS = NR_COMMON + 1

LAYOUT = {
    "param": (PARAM, True),
    "head": (HEAD, False),
    "cpu_pid": (np.dtype("i4"), False),
    "cpu_line": (np.dtype("i8"), False),
    "buf": (np.dtype("u1"), False),
    "rows": (np.dtype("i8"), False),
    "payload": (np.dtype("u1"), False),
    "event": (EVENT, False),
    "event_named": (np.dtype("i4"), False),  # event + 1 by the word of its name, 0 for a name not seen yet
    **bulk_known.LAYOUT,
    **bulk_match.LAYOUT,
    **bulk_words.LAYOUT,
}
_at = kernel_view(LAYOUT)

_LINE_FEED, _BRACKET = 10, 91


@kfn
def know_task(k: Any, head: Any) -> Any:
    """Find the number of a comm that was not known, and know it from now on; returns 0 if there is no room for it."""
    buf = k.buf
    length = head.comm_end - head.comm
    comm = NULL
    if length == 5 and buf[head.comm] == 60 and buf[head.comm + 1] == 46 and buf[head.comm + 2] == 46:
        length = 0 if buf[head.comm + 3] == 46 and buf[head.comm + 4] == 62 else length
    if length > 0:
        comm = number_of(k, buf, head.comm, length)
    if comm == NO_ROOM:
        return 0
    head.comm_word = comm
    know_prefix(k, head, comm)
    return 1


@kfn
def know_context(k: Any, head: Any) -> Any:
    """Find the number of flags that were not known, and know it from now on; returns 0 if there is no room for it."""
    flags = number_of(k, k.buf, head.flag, head.flag_end - head.flag)
    if flags == NO_ROOM:
        return 0
    head.flag_word = flags
    know_flags(k, head, flags)
    return 1


@kinline
def put_common(k: Any, head: Any, row: int, line: int) -> Any:
    """Fill a row's common cells from the head of its line; returns 0 if there is no room for a word."""
    if head.comm_word == UNKNOWN and not know_task(k, head):
        return 0
    flags = NULL
    if head.flag_end > head.flag:
        if head.flag_word == UNKNOWN and not know_context(k, head):
            return 0
        flags = head.flag_word
    rows = k.rows
    stride = k.param.stride
    rows[row] = head.time_ns
    rows[row + stride] = line
    rows[row + 2 * stride] = k.param.segment
    rows[row + 3 * stride] = head.cpu
    rows[row + 4 * stride] = head.pid
    rows[row + 5 * stride] = head.comm_word
    rows[row + 6 * stride] = flags
    return 1


@kfn
def take_other(k: Any, head: Any, row: int, name: int) -> Any:
    """Keep the payload of an event in no row as it is."""
    param = k.param
    length = head.end - head.payload
    first = param.nr_payload
    if first + length + 1 > param.max_payload:
        param.event = 0
        return ROWS_FULL
    for index in range(length):
        k.payload[first + index] = k.buf[head.payload + index]
    k.payload[first + length] = _LINE_FEED
    param.nr_payload = first + length + 1
    k.rows[row + NR_COMMON * param.stride] = name
    return MATCH


@kfn
def take_payload(k: Any, head: Any, event: Any, row: int) -> Any:
    """Try the templates of the event, in the order they were learned."""
    if k.buf[head.payload] == _BRACKET:
        return PYTHONS  # `[FAILED TO PARSE]`
    for number in range(event.first_template, event.end_template):
        outcome = match_template(k, number, head.payload, head.end, row)
        if outcome != NO_MATCH:
            return outcome
    return PYTHONS


@kfn
def take_line(k: Any, head: Any, line: int) -> Any:
    """Take the event of a line; returns MATCH, or whose it is, or what is in the way."""
    param = k.param
    name = head.name_word
    if name == UNKNOWN:
        name = number_of(k, k.buf, head.name, head.name_end - head.name)
        if name == NO_ROOM:
            return WORDS_FULL
        know_name(k, head, name)
    number = k.event_named[name] - 1
    if number < 0:
        param.name = name
        return NEW_NAME
    event = k.event[number]
    if event.pythons or head.time_ns < param.newest - BACK_NS:
        return PYTHONS
    if event.nr_rows == param.max_rows:
        param.event = number
        return ROWS_FULL
    row = event.first_cell + event.nr_rows
    if not put_common(k, head, row, line):
        return WORDS_FULL
    outcome = take_other(k, head, row, name) if number == 0 else take_payload(k, head, event, row)
    if outcome == MATCH:
        event.nr_rows += 1
        param.newest = max(param.newest, head.time_ns)
        param.had_tgid |= head.has_tgid
        param.had_no_flags |= head.flag == head.flag_end
        k.cpu_pid[head.cpu] = head.pid
        k.cpu_line[head.cpu] = line
    return outcome


@kinline
def take_lines(k: Any) -> Any:
    """Take lines from `at` on; returns why it stopped at the line that begins there, the next one is at `next`.

    A line is only taken if an event follows it: anything else may go on with it, as Python knows.
    """
    place_words(k)
    param = k.param
    end = param.end
    line = param.line
    which = 0
    at = param.at
    outcome = PYTHONS
    good = find_line(k, at, k.head[0])
    while good:
        head = k.head[which]
        if head.next >= end:
            break
        which = 1 - which
        good = find_line(k, head.next, k.head[which])
        if not good:
            which = 1 - which
            break
        outcome = take_line(k, head, line)
        if outcome != MATCH:
            which = 1 - which
            break
        outcome = PYTHONS
        at = head.next
        line += 1
    param.next = k.head[which].next
    param.at = at
    param.line = line
    return outcome


def bulk_lines(address: Any, columns: int) -> Any:
    """Take lines; or, if `columns` is not 0, make columns narrow: one unit, which is loaded once."""
    if columns:
        return narrow_columns(columns_at(address))
    return take_lines(_at(address))


run_loop = kentry(bulk_lines)
