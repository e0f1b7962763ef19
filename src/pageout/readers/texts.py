# SPDX-License-Identifier: GPL-2.0-or-later
"""Lines kept for evidence: one by one, or in runs as they stood in the file."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from pageout.readers.lines import Line

KEPT_BYTES = 1 << 27  # of memory, about: beyond, evidence is read from the file again
LINE_BYTES = 128  # that keeping a line costs beside its text


class _Run(NamedTuple):
    first: int
    nr_lines: int
    raw: bytes


class Texts(Mapping[int, str]):
    """The texts of the first lines of an input, by number."""

    def __init__(self, room: int = KEPT_BYTES) -> None:
        self._room = room
        self._lines: dict[int, str] = {}
        self._runs: list[_Run] = []
        self._split: tuple[int, list[bytes]] = (0, [])  # the run last looked into

    def add(self, line: Line) -> None:
        """Keep a line that says something, if there is room."""
        if self._room > 0 and line.text:
            self._lines[line.number] = line.text
            self._room -= LINE_BYTES + len(line.text)

    def add_run(self, first: int, raw: bytes) -> None:
        """Keep whole lines as they stand in the file, later ones than all before, if there is room."""
        if self._room > 0:
            self._runs.append(_Run(first, raw.count(b"\n"), raw))
            self._room -= len(raw)

    def __getitem__(self, number: int) -> str:
        found = self._lines.get(number)
        if found is not None:
            return found
        at = bisect_right(self._runs, number, key=lambda run: run.first) - 1
        if at < 0 or number >= self._runs[at].first + self._runs[at].nr_lines:
            raise KeyError(number)
        run = self._runs[at]
        if self._split[0] != run.first:
            self._split = (run.first, run.raw.split(b"\n"))
        return self._split[1][number - run.first].decode("utf-8", "replace").rstrip()

    def __iter__(self) -> Iterator[int]:
        numbers = set(self._lines)
        for run in self._runs:
            numbers.update(range(run.first, run.first + run.nr_lines))
        return iter(sorted(numbers))

    def __len__(self) -> int:
        return len(self._lines) + sum(run.nr_lines for run in self._runs)
