# SPDX-License-Identifier: GPL-2.0-or-later
"""Where the recognisers of one input put their events: one builder, one count of segments, one memory of stacks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from pageout.readers.lines import Claim, Line, Recogniser

if TYPE_CHECKING:
    from pageout.events.tables import EventBuilder, Events, OnBlock

SECONDS, FROM_START, COUNTER, TSC = "seconds", "us from start", "counter", "tsc"

# A time that goes back by more than this begins a new segment. Less is what CPUs do to each other: the kernel merges
# their buffers by time, but an event still being written when its buffer is read appears late, by some microseconds,
# or a time slice where a virtual CPU was not running. Ten ms is that, and one tick of HZ=100. More is another paste.
BACK_NS = 10_000_000
BACK_COUNTS = 10_000  # of a bare counter: so many events cannot be on their way at once (assumed)
_TSC_FROM = 1 << 32  # a bare number of this size counts cycles: no ring has seen so many events

MAX_FRAMES = 512
_MAX_TIME = 1 << 63
_CUT = re.compile(
    r"\s*(?:[.\u2026\u22ee: ]*[.\u2026\u22ee]{2,}[. ]*|\u2026|\u22ee"
    r"|[\[(<{*~=-]{1,10} ?(?:big |huge )?"
    r"(?:\.{2,}|\u2026|snip|cut|skip|trim|truncated|deleted|omitted|removed|8<|>8)"
    r"[^\]\[<>]{0,80}[\])>}*~=-]{1,10}|snip|<snip>)\s*",
    re.IGNORECASE,
)


class Stream:
    """The events of one input, from whatever formats it holds."""

    def __init__(self) -> None:
        self.builder: EventBuilder | None = None
        self.on_block: OnBlock | None = None
        self.nr_cpus: int | None = None  # as a header says
        self._newest: int | None = None  # time in this segment
        self._clock = ""
        self._apart = ""
        self._cpu_last: dict[int, tuple[int, int]] = {}  # cpu -> pid, line of its last event
        self._owner = 0
        self._frames: list[str] = []

    def events(self) -> EventBuilder:
        """Return the builder, made when first needed."""
        if self.builder is None:
            from pageout.events.tables import EventBuilder

            self.builder = EventBuilder(self.on_block)
        return self.builder

    def finish(self) -> Events | None:
        """Return all events, None if there was neither event nor hole."""
        self.end_stack()
        if self.builder is None:
            return None
        self.builder.nr_cpus = self.nr_cpus
        return self.builder.finish()

    def hole(self, line: int, cpu: int = -1, lost: int = -1, why: str = "lost") -> None:
        """Say that events are missing before this line."""
        self.end_stack()
        self.events().hole(line, cpu, lost, why)
        self._newest = None
        self._apart = ""

    def apart(self, why: str) -> None:
        """Say that something else stands between the last event and the next, if there will be one."""
        if self._newest is not None:
            self._apart = why

    @property
    def is_apart(self) -> bool:
        """Whether something stands between the last event and the next."""
        return bool(self._apart)

    @property
    def in_stack(self) -> bool:
        """Whether a stack began and nothing has ended it."""
        return self._owner > 0

    def together(self) -> None:
        """Take `apart` back: the lines between belonged to an event after all."""
        self._apart = ""

    def moment(self, line: int, time: int, clock: str, cpu: int = -1, pid: int = -1) -> int:
        """Take the time of the next event; return its segment.

        time: ns, or a bare number of clock COUNTER, which is what large numbers make a TSC.
        """
        self.end_stack()
        builder = self.events()
        if clock == COUNTER and (time >= _TSC_FROM or self._clock == TSC):
            clock = TSC
        if not self._clock:
            self._clock = builder.clock = clock
        elif clock != self._clock and {clock, self._clock} != {COUNTER, TSC}:
            self._clock, self._apart = clock, "another clock"
        if self._apart:
            self.hole(line, why=self._apart)
        elif self._newest is not None and time < self._newest - (BACK_COUNTS if clock == COUNTER else BACK_NS):
            self.hole(line, why="times go back")
        self._newest = time if self._newest is None else max(time, self._newest)
        self._cpu_last[cpu] = (pid, line)
        return builder.segment

    @property
    def is_plain(self) -> bool:
        """Whether the next event with a time in seconds goes on where the last one was."""
        return self._newest is not None and self._clock == SECONDS and not self._apart

    @property
    def newest(self) -> int:
        """The latest time of this segment; there is one (`is_plain`)."""
        assert self._newest is not None
        return self._newest

    def read_elsewhere(self, newest: int, cpu_last: Mapping[int, tuple[int, int]]) -> None:
        """Go on after events that were put into the builder by somebody else.

        newest: the latest time of them    cpu_last: pid and line of the last of them on each CPU that had one
        """
        self.end_stack()
        self._newest = newest
        self._apart = ""
        self._cpu_last.update(cpu_last)

    def begin_stack(self, line: int, cpu: int = -1, pid: int = -1) -> None:
        """A stack follows: that of the last event of this task on this CPU; the stack's own line if there was none."""
        self.end_stack()
        last = self._cpu_last.get(cpu)
        self._owner = last[1] if last is not None and last[0] == pid else line

    def stack_of(self, line: int) -> None:
        """A stack may follow: that of the event of this line."""
        self.end_stack()
        self._owner = line

    def frame(self, function: str) -> None:
        """Take the next function of the stack that began, the innermost first."""
        if len(self._frames) < MAX_FRAMES:
            self._frames.append(function)

    def end_stack(self) -> None:
        """Keep the stack, if one was read."""
        if self._frames and self._owner:
            self.events().stack(self._owner, self._frames)
        self._frames = []
        self._owner = 0


class EventRecogniser(Recogniser):
    """A format of events: it shares the stream with all others of its input."""

    def __init__(self, stream: Stream | None = None) -> None:
        super().__init__()
        self.stream = stream or Stream()
        self.seen = False  # an event of mine

    def gap(self, number: int) -> None:
        """Remember that something else stands here."""
        self.stream.end_stack()
        self.stream.apart("other text between")

    def cut(self, line: Line) -> Claim | None:
        """Claim `...` and `[snip]`, where an author left events out."""
        if not self.seen or len(line.text) > 120 or _CUT.fullmatch(line.text) is None:
            return None
        self.stream.hole(line.number, why="cut by the author")
        return Claim.KNOWN


def fits_time(time: int) -> bool:
    """Return whether a time is one that frames can hold."""
    return time < _MAX_TIME
