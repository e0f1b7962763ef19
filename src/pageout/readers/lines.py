# SPDX-License-Identifier: GPL-2.0-or-later
"""Lines, and who claims them."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from pageout.readers.facts import Fact

MAX_LINE = 1 << 16  # bytes of a line that are looked at; the rest is dropped, and the line is marked
KEPT_OF_UNREAD = 200
MAX_UNREAD = 10_000  # unread lines kept with their text; all are counted
MAX_TAKEN_BACK = 64  # lines
# A text that came this often among lines in a row of which nobody claimed one is nobody's: it is not shown again
# before a line is claimed. Else a megabyte of blank lines would be asked about half a million times.
REFUSED_FOR_GOOD = 64
MAX_REFUSED = 256  # texts counted


class Claim(Enum):
    """What a recogniser says of a line that is its own."""

    EVENT = "event"
    KNOWN = "known"  # understood, but no event: a header, a row of a snapshot, a line of a report


class Line(NamedTuple):
    """A line of a file, undressed."""

    number: int  # in the file, from 1
    text: str  # without quote marks, a mail's encoding, the log's stamp, and without white space at the end
    stamp_s: float | None = None  # the log's time, seconds: since boot, or (no uptime there) since 1970; None: not said
    prefix: str = ""  # what was taken off, outermost first: "quoted, syslog, dmesg"
    cut: bool = False  # longer than MAX_LINE: the rest is not here
    nr_lines: int = 1  # lines of the file joined to make it (broken by a mailer); 0: more of a line already counted
    width: int = 0  # characters it had in the file, without quote marks: says whether a mailer broke it
    depth: int = 0  # quote marks taken off
    logged: bool = False  # a logger's prefix was taken off


class Recogniser:
    """One format. Sees lines in order, claims its own, and says at the end what they told.

    A recogniser that is inside something (a table, a report) sees a line first; otherwise all are asked in turn. It
    must not claim what it does not understand: an unread line is better than a wrong fact.
    """

    kind = ""  # the format's name, as the user reads it: "meminfo", "ftrace text"
    broad = False  # claims what looks like nothing else: asked last, even after a line of its own
    alone = True  # a file holding nothing else is worth reading

    def __init__(self) -> None:
        self.variants: set[str] = set()  # dresses seen: "tgid column", "quoted"
        self.taken_back = 0  # set by take: so many lines just before, refused then, turned out to belong to this one

    def take(self, line: Line) -> Claim | None:
        """Look at the next line; None if it is not one of mine."""
        raise NotImplementedError

    def gap(self, number: int) -> None:
        """Lines before this number were not shown to me, or belong to somebody else."""

    def skipped(self, number: int) -> None:
        """Lines up to this number were read for me by somebody faster."""
        self.gap(number)

    def facts(self) -> Sequence[Fact]:
        """Return what the lines told. Called once, at the end."""
        return ()

    def refuse(self, file: str) -> None:
        """Raise TraceError if the input holds something of mine that is known, and of no use. Asked of an input with
        neither an event nor a fact in it."""


def is_nothing(line: Line) -> bool:
    """Return whether a line is blank or a comment."""
    text = line.text.lstrip()
    return not text or text.startswith("#")


@dataclass
class Account:
    """Where every line of an input went: lines = events + known non-events + unread."""

    lines: int = 0
    events: int = 0
    known_non_events: int = 0
    unread: int = 0
    kinds: Counter[str] = field(default_factory=Counter)  # lines by the kind that claimed them
    unread_lines: list[tuple[int, str]] = field(default_factory=list)  # number and text, the first MAX_UNREAD

    def claim(self, kind: str, claim: Claim, nr_lines: int = 1) -> None:
        """Count a line somebody claimed; of several joined ones the first is the event."""
        self.lines += nr_lines
        self.kinds[kind] += nr_lines
        events = 1 if claim is Claim.EVENT and nr_lines else 0
        self.events += events
        self.known_non_events += nr_lines - events

    def take_back(self, kind: str, line: Line) -> None:
        """Move a refused line to the known ones: what followed showed whose it was."""
        self.kinds[kind] += line.nr_lines
        self.unread -= line.nr_lines
        self.known_non_events += line.nr_lines
        while self.unread_lines and self.unread_lines[-1][0] >= line.number:
            self.unread_lines.pop()

    def refuse(self, line: Line) -> None:
        """Count a line nobody claimed; a blank one or a comment is known to be nothing."""
        self.lines += line.nr_lines
        if is_nothing(line):
            self.known_non_events += line.nr_lines
            return
        self.unread += line.nr_lines
        if len(self.unread_lines) < MAX_UNREAD:
            self.unread_lines.append((line.number, line.text[:KEPT_OF_UNREAD]))


class Desk:
    """Gives each line to the recogniser it belongs to."""

    def __init__(self, recognisers: Sequence[Recogniser], account: Account) -> None:
        self._recognisers = list(recognisers)
        self._account = account
        self._last: Recogniser | None = None
        self._refused: deque[Line] = deque(maxlen=MAX_TAKEN_BACK)  # in a row, up to now
        self._nr_refused: dict[str, int] = {}  # how often each text was refused since the last claim

    def take(self, line: Line) -> None:
        """Offer a line: to whoever took the last one first."""
        if line.number == 1 and line.text.startswith("\ufeff"):  # a byte order mark
            line = line._replace(text=line.text[1:])
        if line.text.endswith("^M"):  # a carriage return, as some viewers and pagers show it
            line = line._replace(text=line.text[:-2].rstrip())
        if self._nr_refused.get(line.text, 0) >= REFUSED_FOR_GOOD:
            self._refuse(line)
            return
        last = self._last
        if last is not None:
            claim = last.take(line)
            if claim is not None:
                self._claimed(last, claim, line)
                return
            if not line.text:  # a blank line ends nothing by itself
                self._refuse(line)
                return
            last.gap(line.number)
        for recogniser in self._recognisers:
            if recogniser is last:
                continue
            claim = recogniser.take(line)
            if claim is not None:
                if not recogniser.broad:
                    self._last = recogniser
                self._claimed(recogniser, claim, line)
                return
        self._last = None
        self._refuse(line)

    def _claimed(self, recogniser: Recogniser, claim: Claim, line: Line) -> None:
        self._account.claim(recogniser.kind, claim, line.nr_lines)
        for _ in range(min(recogniser.taken_back, len(self._refused))):
            self._account.take_back(recogniser.kind, self._refused.pop())
        recogniser.taken_back = 0
        self._refused.clear()
        self._nr_refused.clear()
        if line.prefix:
            recogniser.variants.update(line.prefix.split(", "))

    def _refuse(self, line: Line) -> None:
        self._account.refuse(line)
        if line.text in self._nr_refused or len(self._nr_refused) < MAX_REFUSED:
            self._nr_refused[line.text] = self._nr_refused.get(line.text, 0) + 1
        if is_nothing(line):
            self._refused.clear()
        else:
            self._refused.append(line)

    @property
    def last(self) -> Recogniser | None:
        """Who took the last line, and is offered the next one first."""
        return self._last

    def facts(self) -> Iterable[Fact]:
        """Return what all of them found, in the order of the lines."""
        found = [fact for recogniser in self._recognisers for fact in recogniser.facts()]
        return sorted(found, key=lambda fact: fact.line)
