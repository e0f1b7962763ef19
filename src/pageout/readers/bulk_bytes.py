# SPDX-License-Identifier: GPL-2.0-or-later
"""Eight bytes at a time: ends of lines, bytes searched for, numbers, texts compared. Compiled: imports numba.

A word is eight bytes of the text as one integer, the first byte lowest. Every function may read, but never decides by,
bytes up to SLACK past the text: tables of bytes have as many more at their end.
"""

from __future__ import annotations

from typing import Any

from pageout.jit import kfn, kinline, lowest_bit, marked_bytes, word_at

SLACK = 64

ONES = 0x0101010101010101
_HIGHS = -0x7F7F7F7F7F7F7F80  # 0x80 in each byte
_SPACES, _ZEROS = 0x20 * ONES, 0x30 * ONES
_NOT_DIGIT = 0x76 * ONES  # added to 0..9 it leaves the high bit clear
_PAIRS, _FOURS, _EIGHT = 0x00FF00FF00FF00FF, 0x0000FFFF0000FFFF, 0xFFFFFFFF
_TEN_8, _TEN_16 = 10**8, 10**16
NOT_A_NUMBER, TOO_LARGE = -1, -2  # in place of a length

_MINUS, _ZERO, _NINE = 45, 48, 57


@kinline
def find_odd(buf: Any, at: int, wanted: int) -> Any:
    """Return where a byte stands next below the space, above ASCII, or the one wanted: text ends with a line feed."""
    while True:
        hits = marked_bytes(buf, at, wanted)
        if hits != 0:
            return at + lowest_bit(hits)
        at += 64


@kinline
def find_byte(buf: Any, at: int, end: int, wanted: int) -> Any:
    """Return where a byte stands next, `end` if nowhere before. `wanted`: the byte times ONES."""
    while at < end:
        word = word_at(buf, at) ^ wanted
        hit = (word - ONES) & ~word & _HIGHS
        if hit != 0:
            at += lowest_bit(hit) >> 3
            return at if at < end else end
        at += 8
    return end


@kinline
def skip_spaces(buf: Any, at: int) -> Any:
    """Return where the next byte stands that is no space."""
    while True:
        word = word_at(buf, at) ^ _SPACES
        if word != 0:
            return at + (lowest_bit(word) >> 3)
        at += 8


@kinline
def equal_bytes(word: int, wanted: int) -> Any:
    """Return not 0 if a byte of a word is a certain one; `wanted`: that byte times ONES."""
    word ^= wanted
    return (word - ONES) & ~word & _HIGHS


@kinline
def first_bytes(buf: Any, at: int, length: int) -> Any:
    """Return a word of the next 0 to 8 bytes, filled up with zeros."""
    word = word_at(buf, at)
    return word if length >= 8 else word & ((1 << 8 * length) - 1)


@kinline
def same_text(buf: Any, at: int, pool: Any, start: int, length: int) -> Any:
    """Return 1 if two texts are the same bytes."""
    while length >= 8:
        if word_at(buf, at) != word_at(pool, start):
            return 0
        at += 8
        start += 8
        length -= 8
    if length > 0 and ((word_at(buf, at) ^ word_at(pool, start)) & ((1 << 8 * length) - 1)) != 0:
        return 0
    return 1


@kinline
def after_digits(word: int) -> Any:
    """Return 8 times how many decimal digits a word begins with, and 7: 7 to 63; -1 if all are digits."""
    word ^= _ZEROS
    other = ((word + _NOT_DIGIT) | word) & _HIGHS
    if other == 0:
        return -1
    return lowest_bit(other)


@kinline
def short_value(word: int, bits: int) -> Any:
    """Return the number the first 1 to 7 bytes of a word are, which are digits; bits: 8 to 56."""
    word = (word ^ _ZEROS) << (64 - bits)
    word = (word * 10 + (word >> 8)) & _PAIRS
    word = (word * 100 + (word >> 16)) & _FOURS
    return (word * 10000 + (word >> 32)) & _EIGHT


@kinline
def nr_digits(word: int) -> Any:
    """Return how many decimal digits a word begins with, 0 to 8."""
    word ^= _ZEROS
    other = ((word + _NOT_DIGIT) | word) & _HIGHS
    if other == 0:
        return 8
    return lowest_bit(other) >> 3


@kinline
def value_of(word: int, length: int) -> Any:
    """Return the number the first 1 to 8 bytes of a word are, which are digits."""
    word ^= _ZEROS
    if length < 8:
        word = (word & ((1 << 8 * length) - 1)) << (64 - 8 * length)
    word = (word * 10 + (word >> 8)) & _PAIRS
    word = (word * 100 + (word >> 16)) & _FOURS
    return (word * 10000 + (word >> 32)) & _EIGHT


@kinline
def power_of_ten(exponent: int) -> Any:
    """Return 10 to the power of 0 to 8."""
    power = 1
    if exponent & 1:
        power = 10
    if exponent & 2:
        power *= 100
    if exponent & 4:
        power *= 10000
    if exponent & 8:
        power *= _TEN_8
    return power


@kinline
def digits_length(buf: Any, at: int) -> Any:
    """Return how many decimal digits stand here; 21 and more are all 21 or more."""
    length = nr_digits(word_at(buf, at))
    if length == 8:
        length += nr_digits(word_at(buf, at + 8))
        if length == 16:
            length += nr_digits(word_at(buf, at + 16))
    return length


@kinline
def decimal(buf: Any, at: int, length: int) -> Any:
    """Return the number that `length` digits are, 1 to 18."""
    if length <= 8:
        return value_of(word_at(buf, at), length)
    if length <= 16:
        rest = length - 8
        return value_of(word_at(buf, at), 8) * power_of_ten(rest) + value_of(word_at(buf, at + 8), rest)
    rest = length - 16
    head = value_of(word_at(buf, at), 8) * _TEN_8 + value_of(word_at(buf, at + 8), 8)
    return head * power_of_ten(rest) + value_of(word_at(buf, at + 16), rest)


@kfn
def long_decimal_fits(buf: Any, at: int, length: int) -> Any:
    """Return 1 if 19 digits are below 2**63, or 20 between 10**19 and 2**64."""
    first = at + length - 19
    head = decimal(buf, first, 18)
    last = buf[first + 18] - _ZERO
    if length == 19:
        return 1 if head < 922337203685477580 or (head == 922337203685477580 and last <= 7) else 0
    if buf[at] != _ZERO + 1:
        return 0
    return 1 if head < 844674407370955161 or (head == 844674407370955161 and last <= 5) else 0


@kfn
def long_decimal(buf: Any, at: int, length: int) -> Any:
    """Return the number 19 or 20 digits are, less 2**64 if above 2**63; they fit (`long_decimal_fits`)."""
    first = at + length - 19
    number = decimal(buf, first, 18) * 10
    last = buf[first + 18] - _ZERO
    if length == 20:
        return number - 8446744073709551610 + (last - 6)
    return number + last


@kinline
def hex_digit(byte: int) -> Any:
    """Return what a hexadecimal digit is worth, -1 for another byte."""
    if _ZERO <= byte <= _NINE:
        return byte - _ZERO
    byte |= 32
    if 97 <= byte <= 102:
        return byte - 87
    return -1


@kfn
def hex_length(buf: Any, at: int) -> Any:
    """Return how many hexadecimal digits stand here, 17 for more than 16."""
    length = 0
    while length < 17 and hex_digit(buf[at + length]) >= 0:
        length += 1
    return length


@kfn
def hexadecimal(buf: Any, at: int, length: int) -> Any:
    """Return the number 1 to 16 hexadecimal digits are, less 2**64 if above 2**63."""
    number = 0
    for index in range(length - 1):
        number = number << 4 | hex_digit(buf[at + index])
    if number >= 1 << 59:
        number -= 1 << 60
    return number * 16 + hex_digit(buf[at + length - 1])
