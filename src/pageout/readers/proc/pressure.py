# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads pressure stall information: /proc/pressure/* and a cgroup's *.pressure. Averages are per cent, total is us.

Source: Linux v6.1 kernel/sched/psi.c:psi_show.
"""

from __future__ import annotations

import re

from pageout.readers.lines import Claim
from pageout.readers.proc.files import Family, cgroup_of, count
from pageout.readers.proc.named import Named

_LINE = re.compile(
    r"(some|full)\s{1,8}avg10=(\d{1,3}\.\d{1,4})\s{1,8}avg60=(\d{1,3}\.\d{1,4})\s{1,8}avg300=(\d{1,3}\.\d{1,4})\s{1,8}total=(\d{1,20})"
)
_HEAD = re.compile(r"(?:some|full)\s{1,8}avg10=[\w=.\s]{0,120}")
_GLOB = re.compile(r"/?(?:proc/)?pressure/\*")
_RESOURCE = re.compile(r"(?:.*/)?(?:pressure/)?(cpu|io|irq|memory)(?:\.pressure)?")


class Pressure(Family):
    """`some avg10=0.10 avg60=2.00 avg300=3.85 total=15`."""

    kind = "pressure"
    files = r"pressure/(?:cpu|io|irq|memory|\*)|(?:cpu|io|irq|memory)\.pressure"

    def __init__(self, named: Named) -> None:
        super().__init__(named)
        self._cut: tuple[int, str] | None = None
        self._said = -1
        self._next = -1  # of the files `cat /proc/pressure/*` prints: they are sorted by name

    def read(self, number: int, text: str, path: str, *, explicit: bool) -> Claim | None:
        """Read one line."""
        cut, self._cut = self._cut, None
        if cut is not None and cut[0] == number - 1:
            whole = _LINE.fullmatch(f"{cut[1]} {text}")
            if whole is not None:
                self.variants.add("wrapped")
                return self._keep(number, whole, path, explicit)
        match = _LINE.fullmatch(text)
        if match is not None:
            return self._keep(number, match, path, explicit)
        if _HEAD.fullmatch(text):
            self._cut = (number, text)
            return Claim.KNOWN
        return None

    def _keep(self, number: int, match: re.Match[str], path: str, explicit: bool) -> Claim | None:
        total = count(match[5])
        if total is None:
            return None
        resource = _RESOURCE.fullmatch(self._file(number, match[1], path, explicit))
        source = f"pressure {resource[1]}" if resource else "pressure"
        place = cgroup_of(path) if path.endswith(".pressure") else ""
        averages = zip(("avg10", "avg60", "avg300"), map(float, match.group(2, 3, 4)), strict=True)
        self.blocks.add(source, match[1], number, [*averages, ("total_us", total)], place, explicit=explicit)
        return Claim.KNOWN

    def _file(self, number: int, part: str, path: str, explicit: bool) -> str:
        """Return the file of a line; of several that one command printed, each `some` begins the next."""
        if explicit:
            return path
        paths = [path for path in self.named.paths if self._name.fullmatch(path)] if path else []
        if len(paths) < 2:
            return "" if _GLOB.fullmatch(path) else path
        if self.named.said != self._said:
            self._said, self._next = self.named.said, -1
        if part == "some":
            self._next += 1
        return paths[self._next] if 0 <= self._next < len(paths) else ""
