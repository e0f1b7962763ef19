# SPDX-License-Identifier: GPL-2.0-or-later
"""Two snapshots of one source, in one file or two: what moved between them, and how long that took, if the file says."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from pageout.diagnose.case import Case
from pageout.diagnose.findings import Evidence
from pageout.readers.facts import Moment, Snapshot

_Key = tuple[str, str, str]  # file, place, part
LONGEST_S = 7 * 86400.0  # between two snapshots that are compared


class Pair(NamedTuple):
    """Two snapshots of one source, first and last."""

    file: str
    first: Snapshot
    last: Snapshot
    seconds: float | None = None  # between them, None if the file does not say
    last_file: str = ""  # where the last stands, if that is another file

    def delta(self, name: str) -> float | None:
        """Return by how much a counter grew."""
        if name not in self.first.values or name not in self.last.values:
            return None
        return self.last.values[name].number - self.first.values[name].number

    def lines(self, name: str) -> tuple[Evidence, ...]:
        """Return the lines of a counter: of both snapshots, or of the one that has it."""
        places = ((self.file, self.first), (self.last_file or self.file, self.last))
        return tuple(Evidence(file, one.values[name].line) for file, one in places if name in one.values)

    def sum(self, *names: str) -> float | None:
        """Return by how much counters grew together; None if none is in both. Negative: a restart, or two machines."""
        deltas = [delta for name in names if (delta := self.delta(name)) is not None]
        return sum(deltas) if deltas else None


def pairs(case: Case, source: str) -> Iterator[Pair]:
    """Yield the first and last snapshot of each part and place of a source, of files that have more than one.

    Where no file has, of the first and last file that has one: files are taken in the order they were named.
    """
    found: dict[_Key, list[Snapshot]] = {}
    for file, snapshot in case.snapshots(source):
        found.setdefault((file, snapshot.place, snapshot.part), []).append(snapshot)
    dates = dates_by_file(case)
    for (file, _, _), several in found.items():
        if len(several) > 1:
            begin = stamp(dates.get(file, []), several[0], 0)
            end = stamp(dates.get(file, []), several[-1], several[-2].line)
            known = begin is not None and end is not None and 0 < end - begin <= LONGEST_S
            yield Pair(file, several[0], several[-1], (end or 0.0) - (begin or 0.0) if known else None)

    if all(len(several) == 1 for several in found.values()):
        yield from _of_two_files(found, dates)


def _of_two_files(found: Mapping[_Key, list[Snapshot]], dates: Mapping[str, Sequence[Moment]]) -> Iterator[Pair]:
    """Yield pairs of snapshots that stand in two files; a counter that went back says that they are not in order."""
    by_part: dict[tuple[str, str], list[tuple[str, Snapshot]]] = {}
    for (file, place, part), (snapshot,) in found.items():
        by_part.setdefault((place, part), []).append((file, snapshot))
    for several in by_part.values():
        if len(several) > 1:
            (file, first), (last_file, last) = several[0], several[-1]
            begin, end = stamp(dates.get(file, []), first, 0), stamp(dates.get(last_file, []), last, 0)
            known = begin is not None and end is not None and 0 < end - begin <= LONGEST_S
            yield Pair(file, first, last, (end or 0.0) - (begin or 0.0) if known else None, last_file)


def dates_by_file(case: Case) -> dict[str, list[Moment]]:
    """Return the dated lines of each file."""
    dates: dict[str, list[Moment]] = {}
    for file, moment in case.facts(Moment):
        dates.setdefault(file, []).append(moment)
    return dates


def pair(case: Case, source: str, part: str = "") -> Pair | None:
    """Return the first pair of a part, None if there is only one snapshot."""
    return next((one for one in pairs(case, source) if one.first.part == part), None)


def stamp(dates: Sequence[Moment], snapshot: Snapshot, before: int) -> float | None:
    """Return the last date above a snapshot, None if the one before it, at line `before`, stands between."""
    at = bisect_left(dates, snapshot.line, key=lambda date: date.line) - 1
    return dates[at].seconds if at >= 0 and dates[at].line > before else None
