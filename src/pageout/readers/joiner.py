# SPDX-License-Identifier: GPL-2.0-or-later
"""Puts messages of a kernel log together again that a mailer broke at blanks.

In a log with prefixes, what has none goes on the line before, if that one was about as long as mailers make lines and
not evidently whole. Without prefixes it must not be the beginning of something itself. What a line of a mail looks
like is a guess, so evidence of a whole message stops it: prose after a log is not the log's.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from pageout.readers.lines import Line
from pageout.readers.reports import Entry

BREAKS_FROM, BREAKS_TO = 58, 84  # columns where mailers break lines, quote marks not counted
MAX_JOINED = 200  # lines
MAX_TEXT = 1 << 14  # characters

_WHOLE = re.compile(
    r".*(?: = \d{1,12}kB|all_unreclaimable\? (?:yes|no)|oom_score_adj:-?\d{1,5}|shmem-rss:\d{1,12}kB"
    r"|for more than \d{1,10} seconds\."
    r"|disables this message\.|</?[A-Z]{3,8}>|[Cc]all [Tt]race:|Backtrace:|hung_task_warnings"
    r"|\+0x[0-9a-f]{1,8}/0x[0-9a-f]{1,8}"
    r"|\[[\w-]{1,64}\])"
)
_OPEN = re.compile(
    r".*(?:\b(?:invoked|from|blocked|for|more|than|\d seconds|in|of|likely|by|task)|[,=:|(]|Killed|Kill"
    r"|process|\[[\w-]{1,64}"
    r"|\(\w{1,64}\)|(?:^|\s)(?:\[<?[0-9a-f]{8,16}>?\]\s{0,3}){1,2})"
)
_HALF_FRAME = re.compile(
    r"(?:(?:\[<?[0-9a-f]{1,16}>?\]\s{0,3}){1,2}|\?|(?:\[<[0-9a-f]{8,16}>\] )?\(\w{1,64}\)(?: from)?"
    r"(?: \[<[0-9a-f]{8,16}>\])?)"
)
_MODULE = re.compile(r"\[[\w-]{1,64}(?: [0-9a-f]{8,64})?\]|\(unreliable\)")
_KILLER = "oom-killer:"


class Joiner:
    """Holds a message until it is whole. `starts` tells whether a text begins a message."""

    def __init__(self, starts: Callable[[str], bool]) -> None:
        self._starts = starts
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
        if line.number > last.number + max(last.nr_lines, 1):
            return False
        if line.logged:
            return text.startswith(_KILLER) and self._text.endswith(" invoked")
        if line.depth > first.depth:
            return False
        whole = self._text.strip()
        if not whole:
            return first.logged
        if _MODULE.fullmatch(text):
            return not whole.endswith("]")
        if _WHOLE.fullmatch(whole):
            return False
        if _HALF_FRAME.fullmatch(whole):
            return True
        broken = self._is_broken(last, text)
        if first.logged:
            return broken
        return (broken or _OPEN.fullmatch(whole) is not None) and not self._starts(line.text)

    def _is_broken(self, last: Line, text: str) -> bool:
        """Tell whether a mailer would have broken the line here: the next word did not fit."""
        word = len(text.split(None, 1)[0])
        fits = last.width <= BREAKS_TO or " " not in last.text.strip()
        return fits and last.width + 1 + word > BREAKS_FROM
