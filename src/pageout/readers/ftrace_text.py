# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads ftrace text: what tracefs prints, `trace-cmd report` prints after it, and people paste into mails.

Each event is held until the next line is known: a mailer may have cut it, a marker may have more lines.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pageout.readers.ftrace_lines import (
    Said,
    begins_stack,
    cpus_told,
    is_dump_ruler,
    read_frame,
    read_function,
    read_header,
    read_latency_header,
)
from pageout.readers.lines import Claim, Line
from pageout.readers.payloads import NULL, Payloads, joined
from pageout.readers.prefix import Prefix, may_be_head, read_prefix
from pageout.readers.stream import COUNTER, FROM_START, SECONDS, EventRecogniser, Stream
from pageout.vocabulary.schema import EventKind, event_of

if TYPE_CHECKING:
    from pageout.events.tables import EventBuilder

MAX_LINES = 8  # of one event, wrapped at 72 columns and quoted
MAX_MARKER_LINES, MAX_OTHER_LINES = 60, 8  # lines that may follow a marker, or any event nobody knows
FUNCTION = "function"  # the name of what function tracers print
MARKERS = frozenset({"tracing_mark_write", "print", "bprint", "bputs", "raw_data"})
_EVENT = re.compile(r"([^\s:]{1,128}(?::\w{1,64})?):(?:\s(.*))?", re.DOTALL)


@dataclass
class Pending:
    """An event whose line has been read, and perhaps not all of it."""

    name: str
    kind: EventKind | None
    common: tuple[int, ...]
    payload: str
    time: int
    number: int  # of its last line so far
    width: int  # of that line
    nr_lines: int = 1


class FtraceText(EventRecogniser):
    """Events in the text of tracefs and its relatives."""

    kind = "ftrace text"

    def __init__(self, stream: Stream | None = None) -> None:
        super().__init__(stream)
        self.alone = False  # comments are no trace
        self.payloads = Payloads()
        self._pending: Pending | None = None
        self._loose: list[Line] = []  # refused, and nothing has come since: perhaps the beginning of what comes
        self._was_apart = False  # before the first of them
        self._inside = False  # a comment here is part of the trace
        self._last = 0  # line of the last event
        self._title = False  # between a latency tracer's title and its first event
        self._dump = False

    @property
    def builder(self) -> EventBuilder | None:
        """Where the events are, None before the first."""
        return self.stream.builder

    @property
    def is_plain(self) -> bool:
        """Whether the next event, if it stands in a line of its own, is read by that line alone."""
        return self.seen and not self._loose and not self._title and self.stream.is_plain

    def take(self, line: Line) -> Claim | None:
        """Claim events and what tracefs prints between them."""
        text = line.text
        if not text:
            self._blank()
            return None
        prefix = read_prefix(text)
        if prefix is None and line.stamp_s is not None:  # its time may have been taken for the log's
            prefix = read_prefix(f"{line.stamp_s:.6f} {text}")
        claim = None
        if prefix is not None and prefix.pid is None:  # who it was may stand in the line before
            claim = self._wrapped_head(line)
        if claim is None and prefix is not None:
            claim = self._with_prefix(line, prefix)
        if claim is None:
            claim = self._without_prefix(line)
        if claim is None:
            self._refuse(line)
        else:
            self._loose = []
            self._inside = True
        return claim

    def gap(self, number: int) -> None:
        """Nothing goes on over what somebody else has read."""
        self._inside = False
        if self._loose and self._loose[-1].number == number:
            return  # the line I have just refused: it may yet be mine
        self._settle()
        super().gap(number)

    def skipped(self, number: int) -> None:
        """The bulk reader has put its events into the builder itself."""
        self._settle()
        self._loose = []

    def facts(self) -> tuple[()]:
        """Put the last event where it belongs."""
        self._settle()
        return ()

    def _refuse(self, line: Line) -> None:
        if self._loose and _last_of(self._loose[-1]) + 1 != line.number:
            self._loose = []
        if not self._loose:
            self._was_apart = self.stream.is_apart
        if self.seen:
            self.stream.apart("other text between")
        if len(self._loose) > MAX_MARKER_LINES:
            del self._loose[0]
        self._loose.append(line)

    def _blank(self) -> None:
        self._settle()
        self.stream.end_stack()
        self._loose = []

    def _settle(self) -> None:
        """Put the event that was held where it belongs."""
        held, self._pending = self._pending, None
        if held is None:
            return
        self.payloads.put(self.stream.events(), held.kind, held.common, held.name, held.payload)

    def _with_prefix(self, line: Line, prefix: Prefix) -> Claim | None:
        """Take a line that begins like an event, None if it goes on like none."""
        if begins_stack(prefix.rest):
            self._settle()
            self.stream.begin_stack(line.number, _or(prefix.cpu, -1), _or(prefix.pid, -1))
            return Claim.KNOWN
        match = _EVENT.fullmatch(prefix.rest)
        if match is not None:
            self._event(line, prefix, match[1], (match[2] or "").lstrip())
            return Claim.EVENT
        function = read_function(prefix.rest)
        if function is None:
            return None
        self._event(line, prefix, FUNCTION, function)
        return Claim.EVENT

    def _event(self, line: Line, prefix: Prefix, name: str, payload: str) -> None:
        clock = prefix.clock
        if clock == FROM_START and (self._dump or line.stamp_s is not None):
            clock = SECONDS  # a dump into the log prints the trace's own clock
            self.variants.add("ftrace dump")
        elif prefix.dress:
            self.variants.add(prefix.dress)
        self._marker_lines(line, prefix.time)
        self._settle()
        self._note(prefix)
        stream = self.stream
        segment = stream.moment(line.number, prefix.time, clock, _or(prefix.cpu, -1), _or(prefix.pid, -1))
        builder = stream.events()
        common = (
            prefix.time,
            line.number,
            segment,
            _or(prefix.cpu, NULL),
            _or(prefix.pid, NULL),
            builder.word(prefix.comm.encode()) if prefix.comm is not None else NULL,
            builder.word(prefix.context.encode()) if prefix.context else NULL,
        )
        self.seen = self.alone = True
        self._title = False
        self._last, last = line.number, _last_of(line)
        self._pending = Pending(name, event_of(name), common, payload, prefix.time, last, len(line.text))

    def _note(self, prefix: Prefix) -> None:
        if prefix.tgid:
            self.variants.add("tgid column")
        if prefix.cpu is None:
            self.variants.add("no CPU")
        elif prefix.context is None and prefix.clock != COUNTER:
            self.variants.add("no flags")

    def _marker_lines(self, line: Line, time: int) -> None:
        """Give lines that nobody wanted to the marker before them, now that its trace goes on."""
        held, loose = self._pending, self._loose
        if held is None or not loose or held.kind is not None or held.name == FUNCTION:
            return
        marker = held.name in MARKERS
        first, last = loose[0], loose[-1]
        if first.number != held.number + 1 or _last_of(last) + 1 != line.number or time < held.time:
            return
        if len(loose) > (MAX_MARKER_LINES if marker else MAX_OTHER_LINES):
            return
        if any(read_prefix(more.text) is not None for more in loose):
            return  # an event, if an odd one
        self.taken_back = len(loose)
        self.variants.add("multi-line markers")
        held.payload = "\n".join([held.payload, *(more.text for more in loose)])
        if marker:
            self._together()  # else it may have been prose: nothing is concluded over it

    def _without_prefix(self, line: Line) -> Claim | None:
        """Take what is between events, or goes on with one."""
        return self._said(line) or self._cut_here(line) or self._wrapped_head(line) or self._wrapped_payload(line)

    def _cut_here(self, line: Line) -> Claim | None:
        claim = self.cut(line)
        if claim is not None:
            self._settle()
        return claim

    def _wrapped_head(self, line: Line) -> Claim | None:
        """Join a line to the one or two before it, if together they are an event and they alone were nothing."""
        if ":" not in line.text:
            return None  # what ends an event's name would have to be here
        loose = self._loose[1 - MAX_LINES :]
        for n in range(len(loose)):
            lines = loose[n:]
            if not may_be_head(lines[0].text) or _last_of(lines[-1]) + 1 != line.number:
                continue
            for glue in (" ", ""):
                text = glue.join([*(part.text.strip() for part in lines), line.text.strip()])
                prefix = read_prefix(text)
                match = _EVENT.fullmatch(prefix.rest) if prefix is not None else None
                if prefix is None or match is None:
                    continue
                del self._loose[len(self._loose) - len(lines) :]
                whole = line._replace(number=lines[0].number, text=text, nr_lines=_last_of(line) + 1 - lines[0].number)
                if not self._loose:
                    self._together()
                self._event(whole, prefix, match[1], match[2] or "")
                self._joined_to(line, len(lines))
                self.taken_back = len(lines) + (self.taken_back if self._loose else 0)
                return Claim.EVENT
        return None

    def _wrapped_payload(self, line: Line) -> Claim | None:
        """Join a line to the event before it, if it goes on with that event's payload."""
        held = self._pending
        if held is None or held.name in MARKERS or held.name == FUNCTION:
            return None
        lines = [*self._loose, line]
        if held.nr_lines + len(lines) > MAX_LINES or lines[0].number != held.number + 1:
            return None
        payload: str | None = held.payload
        if len(lines) == 1:
            payload = joined(held.kind, held.payload, line.text, held.width)
        else:  # the lines between said nothing by themselves
            between = " ".join([held.payload, *(part.text.strip() for part in self._loose)])
            payload = joined(held.kind, between, line.text, 0)
        if payload is None:
            return None
        held.payload = payload
        self.taken_back = len(lines) - 1
        self._together()
        self._joined_to(line, len(lines))
        return Claim.KNOWN

    def _together(self) -> None:
        if not self._was_apart:
            self.stream.together()

    def _joined_to(self, line: Line, nr_lines: int) -> None:
        held = self._pending
        assert held is not None
        held.nr_lines += nr_lines
        held.number = _last_of(line)
        held.width = len(line.text)
        self.variants.add("wrapped")

    def _said(self, line: Line) -> Claim | None:
        text = line.text
        if self._title:
            said = read_latency_header(text) or read_header(text)
        else:
            said = read_header(text) or (Said("comment") if text.startswith("#") and self._inside else None)
        if said is None and self._dump and is_dump_ruler(text):
            said = Said("dump")
        if said is not None:
            self._hear(line, said)
            return Claim.KNOWN
        function = read_frame(text) if self.seen else None
        if function is None:
            return None
        self._settle()
        if not self.stream.in_stack:
            self.stream.stack_of(self._last)
        self.stream.frame(function)
        self.variants.add("stacks")
        return Claim.KNOWN

    def _hear(self, line: Line, said: Said) -> None:
        self._settle()
        self.alone |= said.what != "comment" and line.text.strip("# ") != ""
        if said.what in ("overwritten", "trace-cmd"):
            self.stream.nr_cpus = cpus_told(line.text) or self.stream.nr_cpus
        if said.what == "lost":
            self.stream.hole(line.number, said.cpu, said.lost)
        elif said.what == "overwritten" and said.lost > 0:
            self.stream.hole(line.number, lost=said.lost, why="overwritten")
        elif said.what == "title":
            self._title = True
            self.variants.add("latency-format")
        elif said.what == "dump":
            self._dump = True
        elif said.what == "trace-cmd":
            self.variants.add("trace-cmd report")


def _last_of(line: Line) -> int:
    """Return the number of the last line of the file that is in this one."""
    return line.number + max(line.nr_lines, 1) - 1


def _or(number: int | None, missing: int) -> int:
    return missing if number is None else number
