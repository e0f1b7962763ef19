# SPDX-License-Identifier: GPL-2.0-or-later
"""Words and their numbers, in tables that compiled loops look up and add to.

The numbers are those of a Python dictionary, the builder's: `WordTable.learned` hands new words of the loops to it,
`WordTable.teach` takes its new ones.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pageout.jit import kfn, kinline, word_at
from pageout.readers.bulk_bytes import SLACK, same_text

Array = NDArray[Any]

# words, bytes of their texts and places to look so far
WORDS = np.dtype(
    [(name, "i8") for name in ("nr_words", "max_words", "nr_bytes", "max_bytes", "place_mask", "nr_placed")]
)
# A word: its first 16 bytes as two words of eight, filled up with zeros, and where all of them are in the pool.
WORD = np.dtype([(name, "i8") for name in ("first", "second", "length", "start")])
LAYOUT = {
    "words": (WORDS, True),
    "word": (WORD, False),
    "word_place": (np.dtype("i4"), False),  # number + 1, 0 where nothing stands
    "word_pool": (np.dtype("u1"), False),
    "word_mask": (np.dtype("u1"), False),
}
NO_ROOM = -1

_SHORT = 16  # bytes
_MASKS = np.frombuffer(b"\xff" * _SHORT + b"\0" * _SHORT, np.uint8)
_MULTIPLIER, _OTHER = 0x1E3779B97F4A7C15, 0x2545F4914F6CDD1D
_MASK_62 = (1 << 62) - 1


@kinline
def place_of(first: int, second: int, length: int) -> Any:
    """Return where to look first for a text of up to 16 bytes: a number of 62 bits that depends on every byte."""
    found = (first + second * _OTHER + length) * _MULTIPLIER & _MASK_62
    return found ^ found >> 31


@kinline
def hash_of(first: int, second: int, buf: Any, at: int, length: int) -> Any:
    """Return a number of 62 bits that depends on every byte of a text."""
    found = place_of(first, second, length)
    if length <= _SHORT:
        return found
    at += _SHORT
    length -= _SHORT
    while length >= 8:
        found = (found ^ word_at(buf, at)) * _MULTIPLIER & _MASK_62
        found ^= found >> 31
        at += 8
        length -= 8
    if length > 0:
        found = (found ^ word_at(buf, at) & ((1 << 8 * length) - 1)) * _MULTIPLIER & _MASK_62
        found ^= found >> 31
    return found


@kfn
def number_of(k: Any, buf: Any, at: int, length: int) -> Any:
    """Return the number of a word, a new one if it is new; NO_ROOM if the tables are full."""
    if length > _SHORT:
        return number_anywhere(k, buf, at, length)
    first = word_at(buf, at) & word_at(k.word_mask, _SHORT - length)
    second = word_at(buf, at + 8) & word_at(k.word_mask, _SHORT + 8 - length)
    number = k.word_place[place_of(first, second, length) & k.words.place_mask] - 1
    if number >= 0:
        word = k.word[number]
        if ((word.first ^ first) | (word.second ^ second) | (word.length ^ length)) == 0:
            return number
    return number_anywhere(k, buf, at, length)


@kfn
def number_anywhere(k: Any, buf: Any, at: int, length: int) -> Any:
    """Return the number of a word wherever it stands, or make it one; as `number_of`."""
    words = k.words
    short = length if length < _SHORT else _SHORT
    first = word_at(buf, at) & word_at(k.word_mask, _SHORT - short)
    second = word_at(buf, at + 8) & word_at(k.word_mask, _SHORT + 8 - short)
    place = hash_of(first, second, buf, at, length) & words.place_mask
    while True:
        number = k.word_place[place] - 1
        if number < 0:
            break
        word = k.word[number]
        if ((word.first ^ first) | (word.second ^ second) | (word.length ^ length)) == 0:
            if length <= _SHORT:
                return number
            if same_text(buf, at + _SHORT, k.word_pool, word.start + _SHORT, length - _SHORT):
                return number
        place = (place + 1) & words.place_mask
    number = words.nr_words
    start = words.nr_bytes
    if number == words.max_words or start + length > words.max_bytes:
        return NO_ROOM
    for index in range(length):
        k.word_pool[start + index] = buf[at + index]
    word = k.word[number]
    word.first = first
    word.second = second
    word.length = length
    word.start = start
    k.word_place[place] = number + 1
    words.nr_words = number + 1
    words.nr_placed = number + 1
    words.nr_bytes = start + length
    return number


@kfn
def place_words(k: Any) -> None:
    """Put words in their places that `WordTable` has added or made more room for."""
    words = k.words
    for number in range(words.nr_placed, words.nr_words):
        word = k.word[number]
        length = word.length
        short = length if length < _SHORT else _SHORT
        word.first = word_at(k.word_pool, word.start) & word_at(k.word_mask, _SHORT - short)
        word.second = word_at(k.word_pool, word.start + 8) & word_at(k.word_mask, _SHORT + 8 - short)
        place = hash_of(word.first, word.second, k.word_pool, word.start, length) & words.place_mask
        while k.word_place[place]:
            place = (place + 1) & words.place_mask
        k.word_place[place] = number + 1
    words.nr_placed = words.nr_words


class WordTable:
    """The tables of `LAYOUT`, as large as needed. Before anything looks a word up there, `place_words` must run."""

    def __init__(self, max_words: int = 1 << 12, max_bytes: int = 1 << 17) -> None:
        self.arrays: dict[str, Array] = {}
        self._param = np.zeros(1, WORDS)
        self._known = 0  # words both sides have
        self._allocate(max_words, max_bytes)

    def __len__(self) -> int:
        return int(self._param["nr_words"][0])

    @property
    def max_words(self) -> int:
        """How many words there is room for."""
        return int(self._param["max_words"][0])

    def _allocate(self, max_words: int, max_bytes: int) -> None:
        places = 1 << (2 * max_words - 1).bit_length()
        old = self.arrays
        sizes = {"word": max_words, "word_pool": max_bytes + SLACK}
        self.arrays = {name: np.zeros(size, LAYOUT[name][0]) for name, size in sizes.items()}
        for name, array in self.arrays.items():
            if old:
                array[: len(old[name])] = old[name]
        self.arrays |= {"words": self._param, "word_place": np.zeros(places, np.int32), "word_mask": _MASKS}
        self._param["max_words"], self._param["max_bytes"], self._param["place_mask"] = max_words, max_bytes, places - 1
        self._param["nr_placed"] = 0

    def grow(self, nbytes: int) -> None:
        """Make room for as many words again, and for a word of this size."""
        param = self._param[0]
        room = max(2 * int(param["max_bytes"]), int(param["max_bytes"]) + 2 * nbytes)
        self._allocate(2 * int(param["max_words"]), room)

    def learned(self) -> list[bytes]:
        """Return the words the compiled side has met since the last time, in the order of their numbers."""
        first, self._known = self._known, len(self)
        if first == self._known:
            return []
        starts = self.arrays["word"]["start"][first : self._known]
        ends = starts + self.arrays["word"]["length"][first : self._known]
        pool = self.arrays["word_pool"][int(starts[0]) : int(ends[-1])].tobytes()
        base = int(starts[0])
        return [pool[a - base : b - base] for a, b in zip(starts.tolist(), ends.tolist(), strict=True)]

    def teach(self, words: Iterable[bytes]) -> None:
        """Take words the Python side has met, in the order of their numbers; none of the compiled side's is due."""
        for word in words:
            param = self._param[0]
            number, start = int(param["nr_words"]), int(param["nr_bytes"])
            if number == param["max_words"] or start + len(word) > param["max_bytes"]:
                self.grow(len(word))
            self.arrays["word_pool"][start : start + len(word)] = np.frombuffer(word, np.uint8)
            self.arrays["word"][number] = (0, 0, len(word), start)
            self._param["nr_words"], self._param["nr_bytes"] = number + 1, start + len(word)
            self._known = number + 1
