# SPDX-License-Identifier: GPL-2.0-or-later
"""Many snapshots of one source in one file: what the first and the last hide between them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

from pageout.diagnose.case import Case
from pageout.diagnose.findings import Evidence
from pageout.diagnose.pairs import LONGEST_S, dates_by_file, stamp
from pageout.diagnose.words import seconds_text
from pageout.readers.facts import Moment, Snapshot

FEWEST = 3


class Stretch(NamedTuple):
    """Snapshots that follow each other: numbers of the first and the last of a series, both belong to it."""

    first: int
    last: int


class Series:
    """Snapshots of one source, part and place, in the order of their lines."""

    def __init__(self, file: str, snapshots: Sequence[Snapshot], dates: Sequence[Moment] = ()) -> None:
        self.file = file
        self.snapshots = tuple(snapshots)
        self._dates = dates

    def __len__(self) -> int:
        return len(self.snapshots)

    @cached_property
    def seconds(self) -> tuple[float, ...] | None:
        """When each was taken, from the first on; None if the file does not date every one of them."""
        found: list[float] = []
        before = 0
        for one in self.snapshots:
            at = stamp(self._dates, one, before)
            if at is None or (found and not 0 <= at - found[-1] <= LONGEST_S):
                return None
            found.append(at)
            before = one.line
        return tuple(at - found[0] for at in found)

    def column(self, name: str) -> list[float] | None:
        """Return a counter of each snapshot, None if one has it not."""
        values = [one.values.get(name) for one in self.snapshots]
        known = [value.number for value in values if value is not None]
        return known if len(known) == len(values) else None

    def total(self, *names: str) -> list[float] | None:
        """Return the sum of those counters that every snapshot has; None if there is none."""
        columns = [column for name in names if (column := self.column(name)) is not None]
        return [sum(row) for row in zip(*columns, strict=True)] if columns else None

    def lines(self, at: int, *names: str) -> tuple[Evidence, ...]:
        """Return the lines of counters of one snapshot."""
        values = self.snapshots[at].values
        return tuple(Evidence(self.file, values[name].line) for name in names if name in values)

    def length(self, stretch: Stretch) -> float | None:
        """Return how long a stretch lasts, in seconds, None if nobody dated it."""
        return None if self.seconds is None else self.seconds[stretch.last] - self.seconds[stretch.first]

    def span(self, stretch: Stretch) -> str:
        """Say how long a stretch lasts: `8 s`; without dates `9 of 30 snapshots`."""
        length = self.length(stretch)
        nr = stretch.last - stretch.first + 1
        return f"{nr} of {len(self)} snapshots" if length is None else seconds_text(length)


def series(case: Case, source: str) -> Iterator[Series]:
    """Yield what has three snapshots or more."""
    found: dict[tuple[str, str, str], list[Snapshot]] = {}
    for file, snapshot in case.snapshots(source):
        found.setdefault((file, snapshot.place, snapshot.part), []).append(snapshot)
    dates = dates_by_file(case)
    for (file, _, _), several in found.items():
        if len(several) >= FEWEST:
            yield Series(file, several, dates.get(file, []))


def stretches(holds: Sequence[bool]) -> Iterator[Stretch]:
    """Yield where something holds without a gap.

    >>> list(stretches([False, True, True, False, True]))
    [Stretch(first=1, last=2), Stretch(first=4, last=4)]
    """
    edges = [at for at, (one, other) in enumerate(pairwise([False, *holds, False])) if one != other]
    for first, end in zip(edges[::2], edges[1::2], strict=True):
        yield Stretch(first, end - 1)
