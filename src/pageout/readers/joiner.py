# SPDX-License-Identifier: GPL-2.0-or-later
"""Puts messages of a kernel log without prefixes together again, for those who know how messages begin."""

from __future__ import annotations

import re
from collections.abc import Callable

from pageout.readers.lines import Line
from pageout.readers.rejoin import MAX_JOINED, MAX_TEXT, is_broken, is_half, is_tail
from pageout.readers.reports import Entry

_OPEN = re.compile(
    r".*(?:\b(?:invoked|from|blocked|for|more|than|\d seconds|in|of|likely|by|task|Killed|Kill|process)|[,=:|(]"
    r"|\[[\w-]{1,64}|\(\w{1,64}\))"
)


class Joiner:
    """Holds a message until it is whole. `begins` tells whether a text, after a message, begins one itself."""

    def __init__(self, begins: Callable[[str, str], bool]) -> None:
        self._begins = begins
        self._first: Line | None = None
        self._last: Line | None = None
        self._text = ""
        self._nr = 0

    def open(self, line: Line) -> None:
        """Begin a message."""
        self._first = self._last = line
        self._text, self._nr = line.text[:MAX_TEXT], 1

    def joins(self, line: Line) -> bool:
        """Take a line if it goes on the message; False if not."""
        if not self._continues(line):
            return False
        if len(self._text) < MAX_TEXT:
            self._text = f"{self._text} {line.text.strip()[:MAX_TEXT]}"
        self._last, self._nr = line, self._nr + 1
        return True

    def close(self) -> Entry | None:
        """Return the message, None if there is none."""
        first, last = self._first, self._last
        self._first = self._last = None
        if first is None or last is None:
            return None
        return Entry(first.number, self._text, first.stamp_s, last.number + max(last.nr_lines, 1) - 1, first.logged)

    def _continues(self, line: Line) -> bool:
        first, last, text = self._first, self._last, line.text.strip()
        if first is None or last is None or not text or self._nr >= MAX_JOINED:
            return False
        if first.logged or line.logged or line.depth > first.depth:
            return False
        if line.number > last.number + max(last.nr_lines, 1):
            return False
        whole = self._text.strip()
        sure = is_tail(whole, text)
        if sure is not None:
            return sure
        if is_half(whole):
            return True
        broken = is_broken(last.width, last.text, text) or _OPEN.fullmatch(whole) is not None
        return broken and not self._begins(whole, text)
