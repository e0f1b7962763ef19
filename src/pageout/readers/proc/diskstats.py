# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads /proc/diskstats and /sys/block/*/stat: one snapshot a device, counters since boot.

Fields of every era: 4 (a partition before 2.6.25), 11, 15 (discards, 4.18), 17 (flushes, 5.5), more to come.
Sectors are of 512 bytes, times are ms. Source: Linux v6.1 block/genhd.c:diskstats_show.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from pageout.readers.facts import Fact
from pageout.readers.lines import Claim
from pageout.readers.proc.files import Family, _Part, counts
from pageout.readers.proc.named import Named

FIELDS = (
    "reads", "reads_merged", "sectors_read", "read_ms", "writes", "writes_merged", "sectors_written", "write_ms",
    "in_flight", "io_ms", "weighted_io_ms", "discards", "discards_merged", "sectors_discarded", "discard_ms", "flushes",
    "flush_ms",
)  # fmt: skip
_OLD_PARTITION = ("reads", "sectors_read", "writes", "sectors_written")
_WHOLE = (11, 15, 17)
MAX_FIELDS = 24
_ROW = re.compile(r"(\d{1,4})\s{1,8}(\d{1,7})\s{1,8}([A-Za-z]\S{0,40})((?:\s{1,24}\d{1,20}){4,24})")
_NUMBERS = re.compile(r"\d{1,20}(?:\s{1,24}\d{1,20}){0,23}")


class Diskstats(Family):
    """`8 0 sda 14202 71 579164 21861 ...`, and a device's own stat and inflight."""

    kind = "diskstats"
    files = r"diskstats|block/[\w!.-]{1,40}(?:/[\w!.-]{1,40})?/(?:stat|inflight)"

    def __init__(self, named: Named) -> None:
        super().__init__(named)
        self._doubtful: set[int] = set()  # rows too short to be of this file, if no more comes
        self._row: tuple[int, _Part, list[int]] | None = None  # the last row: a mailer may have cut it

    def gap(self, number: int) -> None:
        """Somebody else's line."""
        self._row = None

    def read(self, number: int, text: str, path: str, *, explicit: bool) -> Claim | None:
        """Read one line."""
        row = _ROW.fullmatch(text)
        if row is not None:
            return self._device(number, row, path)
        if not _NUMBERS.fullmatch(text):
            return None
        last = self._row
        if not explicit and last is not None and last[0] == number - 1:
            return self._more(number, last[1], last[2], text)
        if path and not path.endswith("diskstats"):
            return self._file(number, text, path)
        return None

    def _device(self, number: int, row: re.Match[str], path: str) -> Claim | None:
        found = counts(row[4].split())
        if found is None:
            return None
        if len(found) < _WHOLE[0] and not path and not self.blocks.near("diskstats", number):
            self._doubtful.add(number)
        part = self.blocks.part("diskstats", row[3], number)
        self.blocks.put(part, number, [("major", float(row[1])), ("minor", float(row[2]))])
        self._fill(number, part, found)
        self._row = (number, part, found)
        return Claim.KNOWN

    def _more(self, number: int, part: _Part, before: list[int], text: str) -> Claim | None:
        found = counts(text.split())
        if found is None or len(before) + len(found) not in _WHOLE:
            return None
        self._doubtful.discard(part.line)
        for name in _OLD_PARTITION:
            part.values.pop(name, None)
        self._fill(number, part, before + found)
        self.variants.add("wrapped")
        self.blocks.reach("diskstats", number)
        self._row = None
        return Claim.KNOWN

    def facts(self) -> Sequence[Fact]:
        """Return the snapshots, but those of rows that may have been something else."""
        return [snapshot for snapshot in self.blocks.snapshots() if snapshot.line not in self._doubtful]

    def _fill(self, number: int, part: _Part, found: Sequence[int]) -> None:
        names: Sequence[str] = _OLD_PARTITION if len(found) == len(_OLD_PARTITION) else FIELDS
        self.blocks.put(part, number, list(zip(names, map(float, found), strict=False)))
        extra = found[len(FIELDS) :]
        self.blocks.put(part, number, [(f"field {len(FIELDS) + n + 1}", float(more)) for n, more in enumerate(extra)])

    def _file(self, number: int, text: str, path: str) -> Claim | None:
        found = counts(text.split())
        folder, _, name = path.rpartition("/")
        if found is None or (name == "inflight" and len(found) != 2) or (name == "stat" and len(found) < 11):
            return None
        device = folder.rpartition("/")[2].replace("!", "/")
        names = ("reads_in_flight", "writes_in_flight") if name == "inflight" else FIELDS
        values = list(zip(names, map(float, found), strict=False))
        self.blocks.add(f"block {name}", device, number, values)
        return Claim.KNOWN
