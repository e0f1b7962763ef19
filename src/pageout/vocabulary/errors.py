# SPDX-License-Identifier: GPL-2.0-or-later
"""Every error a user can meet, each one line: `file:line: what was seen, what to do`.

    PageoutError            2   root: a mistake in what we were given
    +-- ScenarioError       2   a scenario or machine TOML
    +-- JobFileError        2   a fio job file
    +-- SettingError        2   --set, sysctls, designs and their choices
    +-- TraceError          2   a recording that cannot be read
    +-- MissingEventError   2   a recording without the tracepoints a question needs
    +-- TooLargeError       2   a run that would not fit in this computer
    +-- RecordError         2   a machine that does not let itself be recorded
    +-- UsageError          2   the command line
    +-- InvariantError     70   the model contradicts itself: a bug of ours
    +-- WorkerError        70   a process that simulated one of several runs failed or died

The number is the exit status of the command line.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import ClassVar

MAX_MESSAGE = 600  # characters: more of a garbled input helps nobody


class PageoutError(Exception):
    """Root of all errors a user may see; its text is always one printable line."""

    exit_code: ClassVar[int] = 2

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


class ScenarioError(PageoutError):
    """A scenario or machine TOML says something that cannot be simulated."""


class JobFileError(PageoutError):
    """A fio job file is broken, or asks for what is not modelled."""


class SettingError(PageoutError):
    """A setting, design or choice has no such name or value."""


class TraceError(PageoutError):
    """A recording cannot be read."""


class MissingEventError(PageoutError):
    """A recording lacks tracepoints without which a question cannot be answered."""


class TooLargeError(PageoutError):
    """The run would need more memory than this computer has."""


class RecordError(PageoutError):
    """The machine does not let itself be recorded, or not there, or not by this user."""


class UsageError(PageoutError):
    """The command line asks for something that does not exist."""


class InvariantError(PageoutError):
    """A checker found the model contradicting itself."""

    exit_code: ClassVar[int] = 70


class WorkerError(PageoutError):
    """A process that simulated one of several runs failed or died; the text says which run."""

    exit_code: ClassVar[int] = 70


def one_line(text: str) -> str:
    """Return `text` as one printable line of bounded length, whatever bytes a user's file held."""
    line = "".join(char if char.isprintable() else " " for char in text[: 2 * MAX_MESSAGE]).strip()
    return line if len(line) <= MAX_MESSAGE else line[: MAX_MESSAGE - 3] + "..."


def shown(value: object) -> str:
    """Return a value of a user's file as an error message quotes it: short, text without its quotes."""
    try:
        text = value if isinstance(value, str) else str(value)
    except ValueError:  # an integer of more digits than Python prints
        text = "a huge number"
    return text if len(text) <= 60 else text[:57] + "..."


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """Return `, did you mean X?` for the nearest right name, or the names there are when none is near."""
    right = sorted(names)
    near = difflib.get_close_matches(name[:60].lower(), right, n=1, cutoff=0.6)
    if near:
        return f", did you mean {near[0]}?"
    return f"; there is {', '.join(right)}" if len(right) <= 30 else ""
