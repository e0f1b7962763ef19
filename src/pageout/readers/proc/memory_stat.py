# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads a cgroup's memory.stat, of v1 (`cache`, `total_dirty`) and v2 (`anon`, `file_dirty`), and memory.events.

Sizes are bytes, the rest counts. Source: Linux v6.1 mm/memcontrol.c:memory_stats, memcg_stat_show.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from pageout.readers.facts import Fact
from pageout.readers.lines import Claim
from pageout.readers.proc.files import Family, cgroup_of, count
from pageout.readers.proc.named import Named
from pageout.readers.proc.vmstat import CGROUP_ONLY, Vmstat

MIN_EVENTS = 3
_PAIR = re.compile(r"([a-z][a-z0-9_.]{1,48})(?:\s{0,8}[:=]\s{0,40}|\s{1,80})(\d[\d,]{0,30})")
_KEY = re.compile(r"[a-z][a-z0-9_]{2,48}")
_EVENTS = re.compile(r"low|high|max|oom|oom_kill|oom_group_kill|sock_throttled")
_NOT_STAT = re.compile(rf"nr_\w+|numa_(?:hit|miss)|min|populated|frozen|some|full|{_EVENTS.pattern}")


class MemoryStat(Family):
    """`file_dirty 811008`."""

    kind = "memory.stat"
    files = r"memory\.stat"

    def __init__(self, named: Named, vmstat: Vmstat) -> None:
        super().__init__(named)
        self._vmstat = vmstat
        self._waiting: tuple[int, str] | None = None

    def read(self, number: int, text: str, path: str, *, explicit: bool) -> Claim | None:
        """Read one line."""
        place = cgroup_of(path)
        waiting, self._waiting = self._waiting, None
        if waiting is not None and waiting[0] == number - 1 and count(text) is not None:
            return self._keep(number, waiting[1], text, place, explicit)
        near = self.blocks.near("memory.stat", number, place)
        pair = _PAIR.fullmatch(text)
        if pair is None:
            if near and _KEY.fullmatch(text) and CGROUP_ONLY.fullmatch(text):
                self._waiting = (number, text)
                self.blocks.reach("memory.stat", number, place)
                return Claim.KNOWN
            return None
        if not CGROUP_ONLY.fullmatch(pair[1]) and (not (path or near) or _NOT_STAT.fullmatch(pair[1])):
            return None
        if not near and not path:
            self._adopt(number)
        return self._keep(number, pair[1], pair[2], place, explicit)

    def _adopt(self, number: int) -> None:
        """Take the lines before, whose names vmstat has too."""
        run = self._vmstat.run
        if not run or run[-1][0] != number - 1:
            return
        for line, name, value in run:
            self.named.adopted.add(line)
            self.blocks.add("memory.stat", "", line, [(name, value)])
        run.clear()

    def _keep(self, number: int, name: str, digits: str, place: str, explicit: bool) -> Claim | None:
        found = count(digits)
        if found is None:
            return None
        self.blocks.add("memory.stat", "", number, [(name, found)], place, explicit=explicit)
        return Claim.KNOWN


class MemoryEvents(Family):
    """`high 13455`: how often a cgroup met its limits."""

    kind = "memory.events"
    files = r"memory\.(?:events|events\.local|swap\.events)"

    def __init__(self, named: Named) -> None:
        super().__init__(named)
        self._told: set[int] = set()  # lines whose file is known

    def read(self, number: int, text: str, path: str, *, explicit: bool) -> Claim | None:
        """Read one line."""
        pair = _PAIR.fullmatch(text)
        if pair is None or (not _EVENTS.fullmatch(pair[1]) and not path):
            return None
        source = path.rpartition("/")[2] or "memory.events"
        place = cgroup_of(path)
        found = count(pair[2])
        if found is None or not (path or pair[1] == "low" or self.blocks.near(source, number, place)):
            return None
        if path and not explicit and not _EVENTS.fullmatch(pair[1]) and pair[1] != "fail":
            return None
        self.blocks.add(source, "", number, [(pair[1], found)], place, explicit=explicit)
        self._told.update([number] if path else ())
        return Claim.KNOWN

    def facts(self) -> Sequence[Fact]:
        """Return the snapshots; without a path, fewer than three of these words in a row prove nothing."""
        return [
            snapshot
            for snapshot in self.blocks.snapshots()
            if snapshot.line in self._told or len(snapshot.values) >= MIN_EVENTS
        ]
