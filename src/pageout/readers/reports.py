# SPDX-License-Identifier: GPL-2.0-or-later
"""What the reports of a kernel log have in common: an entry, a stack that is being collected."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from pageout.readers.call_trace import MAX_FRAMES, FrameLine, frames_of, is_around, kernel_of, rip_of
from pageout.readers.facts import Fact, Frame
from pageout.readers.rejoin import is_half

MAX_PAUSE_S = 30.0  # between two lines of one trace, on the slowest console
_HEADING = re.compile(r"(?:Call Trace|Call trace|Backtrace|Trace):.{0,80}")
_NAME = re.compile(r"(\? )?([a-z_][a-z\d_.]{2,120})")  # typed from a photograph, or printed by a simulated kernel
_TAINT = re.compile(r"(?:Not tainted|Tainted: ).*")


class Entry(NamedTuple):
    """One message of the log, whole again if a mailer had broken it."""

    number: int  # of its first line in the file
    text: str
    stamp_s: float | None
    last: int  # its last line in the file
    logged: bool = False


def is_trace_line(text: str) -> bool:
    """Tell whether a line is a frame, or of what is printed around frames."""
    return (
        frames_of(text, 0) is not None
        or is_around(text)
        or ("] (" in text and is_half(text.strip()))
        or _TAINT.fullmatch(text.strip()[:400]) is not None
    )


class Report:
    """A report that is being read. It takes the entries that belong to it, and becomes facts at its end."""

    def __init__(self, entry: Entry) -> None:
        self.line, self.stamp_s, self.last_line = entry.number, entry.stamp_s, entry.last
        self.logged = entry.logged
        self.last_stamp_s = entry.stamp_s
        self.frames: list[Frame] = []
        self.kernel: str | None = None
        self._caller: Frame | None = None  # of the last arm line
        self._in_names = False  # under the heading of a trace, or a function's bare name

    def wants(self, text: str) -> bool:
        """Tell whether a line, or its first half, is mine; changes nothing."""
        return is_trace_line(text) or (self._in_names and _NAME.fullmatch(text.strip()) is not None)

    def take(self, entry: Entry) -> bool:
        """Take an entry; False if it is not mine."""
        text = entry.text.strip()
        found = frames_of(entry.text, entry.number)
        follows = self._in_names and entry.number == self.last_line + 1
        if found is None and follows and (name := _NAME.fullmatch(text)):
            found = FrameLine((Frame(name[2], bool(name[1]), "", entry.number),))
        self._in_names = (self._in_names and found is not None) or _HEADING.fullmatch(text) is not None
        if found is not None:
            self.add_frames(found)
        elif is_around(entry.text) or _TAINT.fullmatch(entry.text.strip()[:400]):
            self.kernel = self.kernel or kernel_of(entry.text)
            self._add([executing] if (executing := rip_of(entry.text, entry.number)) else [])
        else:
            return False
        self.last_line, self.last_stamp_s = entry.last, entry.stamp_s
        return True

    def is_far_from(self, entry: Entry) -> bool:
        """Tell whether so much time lies between that the entry is of another trace."""
        before, now = self.last_stamp_s, entry.stamp_s
        return before is not None and now is not None and abs(now - before) > MAX_PAUSE_S

    def interrupt(self) -> None:
        """Hear that a line of somebody else stands here, in a text without log prefixes."""

    def add_frames(self, found: FrameLine) -> None:
        """Append what a line of the trace says."""
        if found.frames:
            self._add(found.frames)
            self._caller = found.caller

    def _add(self, frames: Sequence[Frame]) -> None:
        if len(self.frames) < MAX_FRAMES:
            self.frames.extend(frames)

    def stack(self) -> tuple[Frame, ...]:
        """Return the frames, innermost first."""
        return (*self.frames, self._caller) if self._caller is not None else tuple(self.frames)

    def finish(self) -> list[Fact]:
        """Return what it says."""
        raise NotImplementedError
