# SPDX-License-Identifier: GPL-2.0-or-later
"""Puts lines of a kernel log together again that a mailer broke at blanks.

In a log with prefixes, what has none goes on the line before, if that one was about as long as mailers make lines and
not evidently whole. What a broken line looks like is a guess, so evidence of a whole message stops it: prose after a
log is not the log's. Logs without prefixes are for those who know their messages (`joiner`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from pageout.readers.lines import Line
from pageout.readers.prefix import read_prefix

BREAKS_FROM, BREAKS_TO = 58, 84  # columns where mailers break lines, quote marks not counted
MAX_JOINED = 200  # lines
MAX_TEXT = 1 << 14  # characters

_WHOLE = re.compile(
    r".*(?: = \d{1,12}kB|all_unreclaimable\? (?:yes|no)|oom_score_adj:-?\d{1,5}|shmem-rss:\d{1,12}kB"
    r"|for more than \d{1,10} seconds\.|disables this message\.|</?[A-Z]{3,8}>|[Cc]all [Tt]race:|Backtrace:"
    r"|hung_task_warnings|\+0x[0-9a-f]{1,8}/0x[0-9a-f]{1,8}\)?|\+0x[0-9a-f]{1,8}/0x[0-9a-f]{1,8} \[[\w-]{1,64}\])"
)
_HALF_FRAME = re.compile(
    r"(?:(?:\[<?[0-9a-f]{1,16}>?\]\s{0,3}){1,2}|\?|(?:\[<[0-9a-f]{8,16}>\] )?\(\w{1,64}\)(?: from)?"
    r"(?: \[<[0-9a-f]{8,16}>\])?)"
)
_MODULE = re.compile(r"\[[\w-]{1,64}(?: [0-9a-f]{8,64})?\]|\(unreliable\)")
_TAIL = re.compile(r"(?:score \d|total-vm:|anon-rss:|order=\d|mode:0x|UID:\d)")  # no message begins so
_KILLER = "oom-killer:"


def is_half(text: str) -> bool:
    """Tell whether a frame was broken in two here."""
    return _HALF_FRAME.fullmatch(text) is not None


def is_tail(whole: str, text: str) -> bool | None:
    """Tell whether a line must (True) or cannot (False) go on the one before; None: it may."""
    if text.startswith(_KILLER):
        return whole.endswith(" invoked")
    if _MODULE.fullmatch(text):
        return not whole.endswith("]")
    if _TAIL.match(text):
        return True
    return False if _WHOLE.fullmatch(whole) else None


def is_broken(width: int, last: str, text: str) -> bool:
    """Tell whether a mailer would have broken here: the next word did not fit.  `last`: the line above."""
    word = len(text.split(None, 1)[0])
    return (width <= BREAKS_TO or " " not in last.strip()) and width + 1 + word > BREAKS_FROM


def rejoin(lines: Iterable[Line]) -> Iterator[Line]:
    """Yield lines, those of a log with prefixes whole again: `nr_lines` says of how many."""
    held: Line | None = None
    width, last, pieces = 0, "", 0
    for line in lines:
        if held is not None:
            if pieces < MAX_JOINED and _continues(held, line, width, last):
                text = held.text if len(held.text) > MAX_TEXT else f"{held.text} {line.text.strip()}".lstrip()
                held = held._replace(text=text, nr_lines=held.nr_lines + line.nr_lines, cut=held.cut or line.cut)
                width, last, pieces = line.width, line.text, pieces + 1
                continue
            yield held
            held = None
        if line.logged:
            held, width, last, pieces = line, line.width, line.text, 1
        else:
            yield line
    if held is not None:
        yield held


def _continues(held: Line, line: Line, width: int, last: str) -> bool:
    text, whole = line.text.strip(), held.text.strip()
    if line.logged or not text or line.depth > held.depth:
        return False
    prefix = read_prefix(text)
    if prefix is not None and prefix.pid is not None:
        return False  # a trace begins
    if not whole:
        return True  # the prefix was all that fitted
    sure = is_tail(whole, text)
    if sure is not None:
        return sure
    return (line.text[:1] in (" ", "\t") and whole[-1] in ",|=(") or is_broken(width, last, text)
