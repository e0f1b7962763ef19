# SPDX-License-Identifier: GPL-2.0-or-later
"""Which file a line is of, and which snapshot: what all families of counters share."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from pageout.readers.facts import Fact, Snapshot, Value
from pageout.readers.lines import Claim
from pageout.readers.proc.named import GAP, Named, Reader

MAX_VALUES = 1_000_000  # of one family; beyond, lines stay unread
MAX_NUMBER = (1 << 63) - 1

_NUMBER = re.compile(r"\d{1,20}|\d{1,3}(?:,\d{3}){1,6}")
_CGROUP = re.compile(r"/?(?:.*?/)?sys/fs/cgroup/(?:(?:memory|unified|blkio|io|cpu|cpu,cpuacct)/)?(.*)")


def count(text: str) -> int | None:
    """Return a whole number from 0 to 2^63 - 1, None for any other text: a wrapped or negative counter is no count."""
    if _NUMBER.fullmatch(text) is None:
        return None
    number = int(text.replace(",", ""))
    return number if number <= MAX_NUMBER else None


def counts(words: Sequence[str]) -> list[int] | None:
    """Return several numbers; None if one is not."""
    found = [count(word) for word in words]
    return None if None in found else [number for number in found if number is not None]


def cgroup_of(path: str) -> str:
    """Return the cgroup a file of it stands in, from the mount point where the path shows it: `/system.slice/a`."""
    folder = path.rpartition("/")[0]
    mounted = _CGROUP.fullmatch(folder + "/")
    if mounted is not None:
        return "/" + mounted[1].strip("/")
    return folder.removeprefix("./")


@dataclass
class _Part:
    line: int
    values: dict[str, Value]
    orders: tuple[int, ...] = ()
    unit_bytes: int | None = None


@dataclass
class _Moment:
    number: int
    last: int
    parts: dict[str, _Part] = field(default_factory=dict)


class Blocks:
    """Values by source, place and part; a name that comes again opens the next snapshot."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, str], _Moment] = {}
        self._done: list[tuple[str, str, _Moment]] = []
        self._nr_values = 0

    @property
    def full(self) -> bool:
        """No more is kept."""
        return self._nr_values >= MAX_VALUES

    def part(
        self, source: str, part: str, line: int, names: Sequence[str] = (), place: str = "", *, explicit: bool = False
    ) -> _Part:
        """Return where the values of these names go; a fresh part if no names are given.

        explicit: the line itself names its file, so that distance means nothing
        """
        moment = self._open.get((source, place))
        if moment is not None:
            old = moment.parts.get(part)
            again = old is not None and (not names or any(name in old.values for name in names))
            far = not explicit and line - moment.last > GAP
            if again or far:
                self._done.append((source, place, moment))
                moment = _Moment(moment.number + 1, line)
        else:
            moment = _Moment(0, line)
        self._open[source, place] = moment
        self._nr_values += 1
        moment.last = line
        return moment.parts.setdefault(part, _Part(line, {}))

    def add(
        self,
        source: str,
        part: str,
        line: int,
        values: Sequence[tuple[str, float]],
        place: str = "",
        *,
        explicit: bool = False,
    ) -> _Part:
        """Keep values of one line."""
        found = self.part(source, part, line, [name for name, _ in values], place, explicit=explicit)
        self.put(found, line, values)
        return found

    def put(self, part: _Part, line: int, values: Sequence[tuple[str, float]]) -> None:
        """Keep more values of a part."""
        self._nr_values += len(values)
        for name, number in values:
            part.values.setdefault(name, Value(float(number), line))

    def near(self, source: str, line: int, place: str = "") -> bool:
        """Whether the line directly follows one of this source."""
        moment = self._open.get((source, place))
        return moment is not None and 0 <= line - moment.last <= 1

    def reach(self, source: str, line: int, place: str = "") -> None:
        """A line without values belongs to the snapshot."""
        moment = self._open.get((source, place))
        if moment is not None:
            moment.last = line

    def snapshots(self) -> list[Snapshot]:
        """Return all that was found, by line."""
        moments = self._done + [(source, place, moment) for (source, place), moment in self._open.items()]
        found = [
            Snapshot(block.line, source, part, block.values, block.orders, moment.number, place, block.unit_bytes)
            for source, place, moment in moments
            for part, block in moment.parts.items()
            if block.values or block.orders
        ]
        return sorted(found, key=lambda snapshot: snapshot.line)


class Family(Reader):
    """Counters of one kind of file: bare, `path:line`, or after a line that names the file."""

    files: ClassVar[str] = "(?!)"  # regular expression of the file's name, with its folder where the name says little

    def __init__(self, named: Named) -> None:
        super().__init__(named)
        self.blocks = Blocks()
        self._name = re.compile(rf"(?:\S{{0,400}}/)?(?:{self.files})")
        self._prefix = re.compile(rf"((?:\S{{0,400}}/)?(?:{self.files})):[ \t]{{0,40}}(.*)")

    def see(self, number: int, text: str) -> Claim | None:
        """Find the line's file and hand it on."""
        if self.blocks.full:
            return None
        prefixed = self._prefix.fullmatch(text)
        if prefixed is not None:
            claim = self.read(number, prefixed[2].strip(), self.absolute(prefixed[1]), explicit=True)
            if claim is not None:
                self.variants.add("path:line")
                return claim
        path = self.named.path(number, self._name)
        claim = self.read(number, text, path, explicit=False)
        if claim is not None:
            self.named.touch(number)
        return claim

    def absolute(self, path: str) -> str:
        """Return a path as seen from the last `cd`."""
        folder = self.named.folder
        return path if path.startswith("/") or not folder else f"{folder.rstrip('/')}/{path.removeprefix('./')}"

    def read(self, number: int, text: str, path: str, *, explicit: bool) -> Claim | None:
        """Read one line.

        path:     of its file, empty if nobody said
        explicit: the path stands in the line itself
        """
        raise NotImplementedError

    def facts(self) -> Sequence[Fact]:
        """Return the snapshots."""
        return self.blocks.snapshots()
