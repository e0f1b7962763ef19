# SPDX-License-Identifier: GPL-2.0-or-later
"""Events as the ring records they were printed from, for tests that compare words, not texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from pageout.events.recording import RECORD, Array
from pageout.vocabulary.tracepoints import ROWS, TRACEPOINTS, Tracepoint

# Columns every event has. `line` is the line of the text (or the number of the record), from 1: the order of events.
COMMON = (("time_ns", "i8"), ("line", "i8"), ("pid", "i4"), ("cpu", "i2"))


@cache
def columns(row: Tracepoint) -> np.dtype[Any]:
    """Return the structured dtype of one tracepoint's array: COMMON, then its fields as i8."""
    return np.dtype([*COMMON, *((column.name, "i8") for column in row.fields)])


class OtherEvent(NamedTuple):
    """An event kept as it stands: its name is in no row, or its payload is not the row's."""

    line: int
    time_ns: int
    pid: int
    cpu: int  # -1: the line did not say
    name: str
    payload: str


@dataclass
class Recording:
    """What was recorded. `events` holds only tracepoints that occurred; every line of the text is in one count."""

    events: dict[str, Array] = field(default_factory=dict)
    comms: dict[int, str] = field(default_factory=dict)  # last name each pid was seen with
    former_comms: dict[int, tuple[str, ...]] = field(default_factory=dict)  # names it had before, first to last
    names: list[str] = field(default_factory=list)  # devices and shrinkers that are no number, see FIRST_NAME
    lost: dict[int, int] = field(default_factory=dict)  # events the kernel dropped, by CPU
    lost_uncounted: int = 0  # LOST lines without a number
    other: list[OtherEvent] = field(default_factory=list)
    not_events: Counter[str] = field(default_factory=Counter)  # lines known to be no event, by kind
    unread: list[tuple[int, str]] = field(default_factory=list)  # number and text of lines nobody could read
    lines: int = 0

    def nr_events(self) -> int:
        """Return the number of events in `events`."""
        return sum(len(array) for array in self.events.values())

    def other_names(self) -> Counter[str]:
        """Return how often each event outside the table occurred."""
        return Counter(event.name for event in self.other)

    def column(self, event: str) -> Array:
        """Return the events of one tracepoint, an empty array if there are none."""
        found = self.events.get(event)
        if found is not None:
            return found
        return np.empty(0, columns(next(row for row in TRACEPOINTS if row.name == event)))

    def records(self) -> Array:
        """Return the events as ring records in the order they were recorded."""
        out = np.zeros(self.nr_events(), RECORD)
        order = np.empty(len(out), np.int64)
        at = 0
        for number, row in enumerate(TRACEPOINTS):
            if ROWS[row.name] != number:
                continue
            array = self.column(row.name)
            part = out[at : at + len(array)]
            for name in ("time_ns", "pid", "cpu"):
                part[name] = array[name]
            part["event"] = number
            for index, column in enumerate(row.fields):
                part["a"][:, index] = array[column.name]
            order[at : at + len(array)] = array["line"]
            at += len(array)
        return out[np.argsort(order, kind="stable")]


def from_records(chunks: Iterable[Array], comms: Mapping[int, str]) -> Recording:
    """Return the recording of a ring drained in `chunks` of records, without going through text."""
    drained = [chunk for chunk in chunks if len(chunk)]
    records = np.concatenate(drained) if drained else np.empty(0, RECORD)
    found = Recording(comms=dict(comms), lines=len(records))
    for number, row in enumerate(TRACEPOINTS):
        lines = np.flatnonzero(records["event"] == number)
        if len(lines) == 0:
            continue
        array = np.empty(len(lines), columns(row))
        for name in ("time_ns", "pid", "cpu"):
            array[name] = records[name][lines]
        array["line"] = lines + 1
        for index, column in enumerate(row.fields):
            array[column.name] = records["a"][lines, index]
        found.events[row.name] = array
    return found
