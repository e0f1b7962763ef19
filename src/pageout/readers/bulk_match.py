# SPDX-License-Identifier: GPL-2.0-or-later
"""Templates as steps of a compiled loop: literal, value, literal, value... of one payload into one row.

A step finds what the template's regular expression finds, because only templates are taken over in which every value
ends where its own characters end, or where the next literal first stands.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pageout.events.tables import NR_COMMON, NULL
from pageout.jit import kfn, kinline, word_at
from pageout.readers.bulk_bytes import (
    ONES,
    SLACK,
    after_digits,
    decimal,
    digits_length,
    find_byte,
    hex_length,
    hexadecimal,
    long_decimal,
    long_decimal_fits,
    same_text,
    short_value,
)
from pageout.readers.bulk_words import NO_ROOM, number_of
from pageout.readers.templates import SKIP, Template
from pageout.vocabulary.schema import ANY_BASE, DEC, HEX, WORD

Array = NDArray[Any]

# What a step takes after its literal. MISSING: no literal, a column this template has not.
END, AS_DEC, AS_HEX, AS_ANY, AS_WORD, AS_NOTHING, MISSING = range(7)
_KINDS = {DEC: AS_DEC, HEX: AS_HEX, ANY_BASE: AS_ANY, WORD: AS_WORD}

STEP = np.dtype([
    # the literal's first 16 bytes as two words, and which bytes of them there are
    ("first", "i8"), ("first_mask", "i8"), ("second", "i8"), ("second_mask", "i8"),
    ("stop", "i8"),  # the byte after the value, times ONES; -1 at the end of the line
    ("text", "i4"), ("text_length", "i4"),
    ("cell", "i8"),  # how far from the row's first
    ("kind", "i4"), ("is_u64", "i4"),
])  # fmt: skip
# The least and the largest number of a step's column.
RANGE = np.dtype([("low", "i8"), ("high", "i8")])
# Where a template's steps are, and how many lines it matched.
TEMPLATE = np.dtype([("first", "i4"), ("end", "i4"), ("nr_lines", "i8")])
LAYOUT = {
    "step": (STEP, False),
    "range": (RANGE, False),
    "template": (TEMPLATE, False),
    "literals": (np.dtype("u1"), False),
}

NO_MATCH, MATCH, PYTHONS, WORDS_FULL = 0, 1, 2, 3  # what became of a payload

_MAX = (1 << 63) - 1
_RANGES = {"i32": (-(1 << 31), (1 << 31) - 1), "u32": (0, (1 << 32) - 1), "i64": (-_MAX - 1, _MAX),
           "u64": (-_MAX - 1, _MAX), "word": (0, 0)}  # fmt: skip
_ENDS_BEFORE = {AS_DEC: b"0123456789", AS_HEX: b"0123456789abcdefABCDEFxX", AS_ANY: b"0123456789abcdefABCDEFxX"}

_SPACE, _MINUS, _ZERO, _X = 32, 45, 48, 120


@kinline
def is_literal(k: Any, step: Any, at: int) -> Any:
    """Return 1 if the literal of a step stands here."""
    buf = k.buf
    other = (word_at(buf, at) ^ step.first) & step.first_mask
    if (other | (word_at(buf, at + 8) ^ step.second) & step.second_mask) != 0:
        return 0
    if step.text_length <= 16:
        return 1
    return same_text(buf, at + 16, k.literals, step.text + 16, step.text_length - 16)


@kfn
def take_number(k: Any, index: int, at: int, cell: int) -> Any:
    """Put the number that stands here into a cell; returns what follows, 0 if none does, -1 if it is Python's."""
    buf = k.buf
    step = k.step[index]
    limits = k.range[index]
    negative = 0
    if buf[at] == _MINUS and step.kind == AS_DEC:
        negative = 1
        at += 1
    length = digits_length(buf, at)
    if length < 1 or length > 20:
        return 0
    if length <= 18:
        number = decimal(buf, at, length)
    elif long_decimal_fits(buf, at, length) and (length == 19 or (step.is_u64 and not negative)):
        number = long_decimal(buf, at, length)
    else:
        return -1
    if negative:
        number = -number
    if number < limits.low or number > limits.high:
        return -1
    k.rows[cell] = number
    return at + length


@kfn
def take_hexadecimal(k: Any, index: int, at: int, cell: int) -> Any:
    """Put the hexadecimal number here, after its 0x, into a cell; returns as `take_number`."""
    limits = k.range[index]
    length = hex_length(k.buf, at)
    if length < 1 or length > 16:
        return 0
    number = hexadecimal(k.buf, at, length)
    if length == 16 and number < 0 and not k.step[index].is_u64:
        return -1
    if number < limits.low or number > limits.high:
        return -1
    k.rows[cell] = number
    return at + length


@kinline
def find_literal(k: Any, step: Any, at: int, end: int, first: int) -> Any:
    """Return where the literal of a step stands next, `end` if nowhere. `first`: its first byte times ONES."""
    while True:
        at = find_byte(k.buf, at, end, first)
        if at == end or is_literal(k, step, at):
            return at
        at += 1


@kfn
def take_value(k: Any, index: int, at: int, end: int, cell: int) -> Any:
    """Put the value that stands here into a cell; returns what follows, 0 if none does, -1 and -2 if it cannot."""
    step = k.step[index]
    kind = step.kind
    buf = k.buf
    if kind == AS_DEC:
        return take_number(k, index, at, cell)
    if kind in (AS_HEX, AS_ANY):
        if buf[at] == _ZERO and buf[at + 1] == _X:
            return take_hexadecimal(k, index, at + 2, cell)
        if kind == AS_HEX:
            return take_hexadecimal(k, index, at, cell)
        return take_number(k, index, at, cell)
    stop = end
    if step.stop >= 0:
        stop = find_literal(k, k.step[index + 1], at, end, step.stop)
        if stop == end:
            return 0
    if kind == AS_WORD:
        number = number_of(k, buf, at, stop - at)
        if number == NO_ROOM:
            return -2
        k.rows[cell] = number
    return stop


@kfn
def put_missing(k: Any, index: int, end: int, row: int) -> None:
    """Say that the columns of some steps are not in this row."""
    for missing in range(index, end):
        k.rows[row + k.step[missing].cell] = NULL


@kfn
def match_template(k: Any, number: int, at: int, end: int, row: int) -> Any:
    """Try a template on the payload from `at` to `end`; fills a row if it matches: cells from `row` on."""
    buf = k.buf
    index = k.template[number].first
    while True:
        step = k.step[index]
        if not is_literal(k, step, at):
            return NO_MATCH
        at += step.text_length
        kind = step.kind
        cell = row + step.cell
        if kind == AS_DEC:
            word = word_at(buf, at)
            bits = after_digits(word) - 7
            if bits > 0:  # 1 to 7 digits, which fit anywhere
                k.rows[cell] = short_value(word, bits)
                at += bits >> 3
                index += 1
                continue
        if at > end:
            return NO_MATCH
        if kind == END:
            break
        at = take_value(k, index, at, end, cell)
        if at <= 0:
            return NO_MATCH if at == 0 else PYTHONS if at == -1 else WORDS_FULL
        index += 1
    if at != end:
        return NO_MATCH
    template = k.template[number]
    if index + 1 < template.end:
        put_missing(k, index + 1, template.end, row)
    template.nr_lines += 1
    return MATCH


class Step(NamedTuple):
    """A step before it is a row of the table; see STEP."""

    text: bytes
    kind: int
    cell: int = 0
    stop: int = -1
    low: int = 0
    high: int = 0
    is_u64: int = 0


def steps_of(template: Template) -> list[Step] | None:
    """Return the steps of a template: none if no ASCII can match it, None if a loop could read one otherwise."""
    if not all(text.isascii() and text.isprintable() for text in template.literals):
        return []
    literals = [text.encode() for text in template.literals]
    if literals[0][:1] == b" " or not all(literals[1:-1]):
        return None
    steps = []
    for n, column in enumerate(template.columns):
        step = _value_step(template, column, literals[n], literals[n + 1][:1])
        if step is None:
            return None
        steps.append(step)
    steps.append(Step(literals[-1], END))
    absent = set(range(len(template.kind.columns))) - set(template.columns)
    return steps + [Step(b"", MISSING, NR_COMMON + column) for column in sorted(absent)]


def _value_step(template: Template, at: int, literal: bytes, following: bytes) -> Step | None:
    stop = following[0] * ONES if following else -1
    if at == SKIP:
        return Step(literal, AS_NOTHING, 0, stop)
    column = template.kind.columns[at]
    kind = _KINDS.get(column.base, -1)
    if kind < 0 or column.width not in _RANGES or (following and following in _ENDS_BEFORE.get(kind, b"")):
        return None
    low, high = _RANGES[column.width]
    return Step(literal, kind, NR_COMMON + at, stop, low, high, int(column.width == "u64"))


def _words_of(text: bytes) -> list[int]:
    """Return the first 16 bytes as two words, a mask after each."""
    parts = (text[:8], b"\xff" * len(text[:8]), text[8:16], b"\xff" * len(text[8:16]))
    return [int.from_bytes(part.ljust(8, b"\0"), "little", signed=True) for part in parts]


class Steps(NamedTuple):
    """The rows of a template in the tables, and the literals' bytes they speak of."""

    table: bytes  # of STEP, `cell` the number of a column
    ranges: bytes  # of RANGE
    nr_steps: int
    literals: bytes


def packed_steps(template: Template) -> Steps | None:
    """Return `steps_of` a template as rows of the table."""
    steps = steps_of(template)
    if steps is None:
        return None
    rows, pool = [], b""
    for step in steps:
        rows.append((*_words_of(step.text), step.stop, len(pool), len(step.text), step.cell, step.kind, step.is_u64))
        pool += step.text
    ranges = np.array([(step.low, step.high) for step in steps], RANGE)
    return Steps(np.array(rows, STEP).tobytes(), ranges.tobytes(), len(steps), pool)


def match_tables(templates: Sequence[Steps], stride: int) -> dict[str, Array]:
    """Return the tables of LAYOUT for the steps of some templates; `stride`: from a column's cell to the next one's."""
    rows = np.zeros(len(templates) + 1, TEMPLATE)
    pool = b"".join(steps.literals for steps in templates)
    step = np.frombuffer(bytearray().join([*(steps.table for steps in templates), bytes(STEP.itemsize)]), STEP)
    ranges = np.frombuffer(b"".join([*(steps.ranges for steps in templates), bytes(RANGE.itemsize)]), RANGE)
    step["cell"] *= stride
    at = first_byte = 0
    for row, steps in enumerate(templates):
        end = at + steps.nr_steps
        step["text"][at:end] += first_byte
        rows[row] = (at, end, 0)
        at = end
        first_byte += len(steps.literals)
    literals = np.frombuffer(pool + bytes(SLACK), np.uint8).copy()
    return {"step": step, "range": ranges, "template": rows, "literals": literals}
