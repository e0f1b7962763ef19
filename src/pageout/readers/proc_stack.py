# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads /proc/PID/stack, one or many: with `==> /proc/123/stack <==`, prompts, `grep .`, or a line naming the task.

Source: Linux v2.6.34 and v5.5 fs/proc/base.c:proc_pid_stack. It prints no `?`: every frame was called.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from pageout.readers.call_trace import MAX_FRAMES, frames_of
from pageout.readers.facts import Fact, Frame, TaskStack
from pageout.readers.lines import Claim, Line, Recogniser

MAX_STACKS = 1 << 16
_PATH = r"/proc/(\d{1,10}|self)(?:/task/(\d{1,10}))?/stack"
_HEADING = re.compile(rf"(?:==> )?{_PATH}(?: <==|:)?")
_COMMAND = re.compile(rf"(?:.{{0,100}}[#$>%]\s{{0,3}})?(?:sudo )?(?:cat|head|tail|more) {_PATH}\s{{0,3}}")
_GREP = re.compile(rf"{_PATH}:(\[<.*)")
_NAMES = (
    re.compile(r"(?:.{0,40}\b)?(?:PID|pid)[ :=]{1,3}(?P<pid>\d{1,10})\b"
        r"(?:.{0,60}?\b(?:comm|COMM|name)[ :=]{1,3}(?P<comm>[^\s,)]{1,64}).{0,80})?.{0,80}"),
    re.compile(r"\W{0,8}(?P<pid>\d{1,10})[ :,-]{0,3}\(?(?P<comm>[A-Za-z][\w/:.+-]{0,63})\)?[ :=-]{0,8}"),
    re.compile(r"\W{0,8}(?P<comm>[A-Za-z][\w/:.+-]{0,63}?)[ :(/-]{1,3}(?P<pid>\d{1,10})\)?[ :=-]{0,8}"),
    re.compile(r"\W{0,8}(?P<pid>\d{1,10})\s{1,8}[A-Z?][a-zA-Z+<]{0,5}\s{1,8}.{0,100}?(?P<comm>[^\s]{1,64})"),
    re.compile(r"[\W]{0,8}(?P<pid>\d{1,10})(?P<comm>)[ :=-]{0,8}"),
)  # fmt: skip
_LAST = re.compile(r"entry_|ret_from_fork_asm|ret_fast_syscall|system_call|el0t_64_sync$|el0_svc_naked|sysenter_|stub_")


class ProcStack(Recogniser):
    """Stacks that somebody read from /proc."""

    kind = "/proc/PID/stack"

    def __init__(self) -> None:
        super().__init__()
        self._found: list[Fact] = []
        self._frames: list[Frame] = []
        self._start = 0
        self._pid: int | None = None
        self._comm: str | None = None
        self._before: tuple[int, str] = (0, "")  # the last line that was not mine: it may name the task

    def take(self, line: Line) -> Claim | None:
        """Claim frames without a log's prefix, and what names their task."""
        text = line.text.strip()
        if not text:
            self._close()
            return None
        if line.logged or len(text) > 1000:
            return None
        names_path = "/stack" in text
        if names_path and (match := _HEADING.fullmatch(text) or _COMMAND.fullmatch(text)):
            self._close()
            self._head(line.number, [group for group in match.groups() if group])
            return Claim.KNOWN
        if names_path and (match := _GREP.fullmatch(text)):
            pid = _number(match[2] or match[1])
            if pid != self._pid:
                self._close()
                self._head(line.number, [match[1], match[2] or ""])
            text = match[3]
        if not text.startswith("[<") or "] ? " in text:
            self._before = line.number, text
            self._close()
            return None
        return self._frame(text, line.number)

    def _frame(self, text: str, number: int) -> Claim | None:
        found = frames_of(text, number)
        if found is None or found.caller is not None:
            return None
        if self._frames and _LAST.match(self._frames[-1].function):
            self._close()
        if not self._start:
            self._name(number)
        if len(self._frames) < MAX_FRAMES:
            self._frames.extend(found.frames)
        if not found.frames:
            self._close()
        return Claim.KNOWN

    def gap(self, number: int) -> None:
        """End the stack."""
        self._close()

    def _head(self, number: int, groups: list[str]) -> None:
        self._start = number
        self._pid = _number(groups[-1] or groups[0]) if groups else None

    def _name(self, number: int) -> None:
        """Begin a stack; the line before may say whose it is."""
        self._start = number
        before, text = self._before
        if number - 2 <= before < number:
            for pattern in _NAMES:
                if match := pattern.fullmatch(text):
                    self._pid, self._comm = _number(match["pid"]), match["comm"] or None
                    return

    def _close(self) -> None:
        if self._frames and len(self._found) < MAX_STACKS:
            self._found.append(
                TaskStack(
                    self._start, "proc stack", self._comm, self._pid, None, None, None, tuple(self._frames), None, None
                )
            )
        if self._frames:
            self._start, self._pid, self._comm = 0, None, None
        self._frames = []

    def facts(self) -> Sequence[Fact]:
        """Return the stacks."""
        self._close()
        return self._found


def _number(text: str) -> int | None:
    return int(text) if text.isdigit() else None
