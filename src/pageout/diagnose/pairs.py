# SPDX-License-Identifier: GPL-2.0-or-later
"""Two snapshots of one source in one file: what moved between them, and how long that took, if the file says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from pageout.diagnose.case import Case
from pageout.diagnose.findings import Evidence
from pageout.readers.facts import Moment, Snapshot

NEAR = 4  # lines from a date to the snapshot it belongs to
LONGEST_S = 7 * 86400.0  # between two snapshots that are compared


class Pair(NamedTuple):
    """Two snapshots of one source, first and last."""

    file: str
    first: Snapshot
    last: Snapshot
    seconds: float | None = None  # between them, None if the file does not say

    def delta(self, name: str) -> float | None:
        """Return by how much a counter grew."""
        if name not in self.first.values or name not in self.last.values:
            return None
        return self.last.values[name].number - self.first.values[name].number

    def lines(self, name: str) -> tuple[Evidence, ...]:
        """Return the two lines of a counter."""
        return tuple(Evidence(self.file, one.values[name].line) for one in (self.first, self.last))

    def sum(self, *names: str) -> float | None:
        """Return by how much counters grew together; None if none is in both. Negative: a restart, or two machines."""
        deltas = [delta for name in names if (delta := self.delta(name)) is not None]
        return sum(deltas) if deltas else None


def pairs(case: Case, source: str) -> Iterator[Pair]:
    """Yield the first and last snapshot of each part and place of a source, of files that have more than one."""
    found: dict[tuple[str, str, str], list[Snapshot]] = {}
    for file, snapshot in case.snapshots(source):
        found.setdefault((file, snapshot.place, snapshot.part), []).append(snapshot)
    for (file, _, _), several in found.items():
        if len(several) > 1:
            yield Pair(file, several[0], several[-1], _seconds(case, file, several[0], several[-1]))


def pair(case: Case, source: str, part: str = "") -> Pair | None:
    """Return the first pair of a part, None if there is only one snapshot."""
    return next((one for one in pairs(case, source) if one.first.part == part), None)


def _seconds(case: Case, file: str, first: Snapshot, last: Snapshot) -> float | None:
    """Return the time between two snapshots: by the dates that stand above both."""
    begin, end = _stamp(case, file, first), _stamp(case, file, last)
    if begin is None or end is None or not 0 < end - begin <= LONGEST_S:
        return None
    return end - begin


def _stamp(case: Case, file: str, snapshot: Snapshot) -> float | None:
    """Return the date above a snapshot, before which no other snapshot of its part begins."""
    above = [one for name, one in case.facts(Moment) if name == file and one.line < snapshot.line]
    if not above:
        return None
    nearest = above[-1]
    between = [
        one for name, one in case.facts(Snapshot)
        if name == file and one.source == snapshot.source and one.number < snapshot.number and one.line > nearest.line
    ]  # fmt: skip
    return None if between else nearest.seconds
