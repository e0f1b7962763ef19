# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads `iotop -b` and dstat. Rates become bytes a second. Sources: iotop(8), dstat(1)."""

from __future__ import annotations

import re

from pageout.readers.lines import Claim
from pageout.readers.proc.named import Named, names
from pageout.readers.tools.columns import TableReader, real

_TOTAL = re.compile(
    r"(?:\d\d:\d\d:\d\d )?(?:Total|Actual|Current) DISK READ\s{0,3}:\s{1,12}[\d.]{1,14} [BKMGT]/s\s{1,8}\|\s{1,8}"
    r"(?:Total|Actual|Current) DISK WRITE\s{0,3}:\s{1,12}[\d.]{1,14} [BKMGT]/s"
)
_HEADER = re.compile(
    r"(?:TIME\s{1,8})?(?:TID|PID)\s{1,8}PRIO\s{1,8}USER\s{1,12}DISK READ\s{1,8}DISK "
    r"WRITE(?:\s{1,8}SWAPIN)?(?:\s{1,8}IO>?)?\s{1,12}COMMAND"
)
_ROW = re.compile(
    r"(?:(\d\d:\d\d:\d\d) )?\s{0,8}(\d{1,10}) (\S{1,8}) (\S{1,40})\s{1,20}([\d.]{1,14}) "
    r"([BKMGT])/s\s{1,12}([\d.]{1,14}) ([BKMGT])/s"
    r"(?:\s{1,8}([\d.]{1,8}) %)?(?:\s{1,8}([\d.]{1,8}) %)?(?:\s{1,8}\?unavailable\?)?\s{1,4}(\S.{0,400})"
)
_SCALE = {"B": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_GROUP = re.compile(r"-{1,30}([a-z][\w/+-]{0,30}?)-{1,30}|([a-z][a-z/]{1,20})")
_DSTAT_NAMES = names(
    "usr sys idl wai stl hiq siq read writ recv send in out int csw used free buff cach util run blk new time 1m 5m 15m"
)
_CELL = re.compile(r"-?[\d.,]{1,14}[BkKMGT]?|-")


class Iotop(TableReader):
    """`  123 be/4 root   0.00 B/s  12.3 M/s  0.00 % 99.99 % [kworker/u8:1+flush-8:0]`."""

    kind = "iotop"
    words = frozenset(("time", "PRIO", "USER", "COMMAND"))

    def see(self, number: int, text: str) -> Claim | None:
        """Claim totals, header and rows."""
        if _HEADER.fullmatch(text):
            self._start(number)
            return Claim.KNOWN
        if _TOTAL.fullmatch(text):
            return Claim.KNOWN
        row = _ROW.fullmatch(text)
        if row is None:
            return None
        if self.sheet is None:
            self._start(number)
        labels = {"PRIO": row[3], "USER": row[4], "COMMAND": row[11], **({"time": row[1]} if row[1] else {})}
        read = (real(row[5]) or 0.0) * _SCALE[row[6]]
        write = (real(row[7]) or 0.0) * _SCALE[row[8]]
        swapin, io = (row[9], row[10]) if row[10] else (None, row[9])
        taken = self.row(number, labels, [row[2], f"{read:.3f}", f"{write:.3f}", swapin or "-", io or "-"])
        return Claim.KNOWN if taken else None

    def _start(self, number: int) -> None:
        columns = ["TID", "PRIO", "USER", "read_bytes_s", "write_bytes_s", "SWAPIN", "IO", "COMMAND"]
        self.begin(number, "iotop", columns, "iotop")


class Dstat(TableReader):
    """`----total-cpu-usage---- -dsk/total-` over `usr sys idl wai hiq siq| read  writ`."""

    kind = "dstat"
    words = frozenset(("system:time", "time"))

    def __init__(self, named: Named) -> None:
        super().__init__(named)
        self._groups: list[str] = []
        self._groups_at = -10

    def see(self, number: int, text: str) -> Claim | None:
        """Claim both headers and the rows."""
        words = text.split()
        if (
            "-" in text
            and "|" not in text
            and len(words) > 1
            and all(word.startswith("-") and word.endswith("-") for word in words)
        ):
            groups = [_GROUP.fullmatch(word) for word in words]
            if any("/" in word or "usage" in word or "paging" in word for word in words) and all(groups):
                self._groups = [(group[1] or group[2]).strip("-") for group in groups if group]
                self._groups_at = number
                return Claim.KNOWN
        if self._groups_at == number - 1 and self._header(number, text):
            return Claim.KNOWN
        return Claim.KNOWN if self.near(number) and self._row(number, text) else None

    def _header(self, number: int, text: str) -> bool:
        parts = [part.split() for part in re.split(r"[|:]", text.strip("|"))]
        names = [name for part in parts for name in part]
        if len(parts) != len(self._groups) or not names or sum(name in _DSTAT_NAMES for name in names) * 2 < len(names):
            return False
        columns = [f"{group}:{name}" for group, part in zip(self._groups, parts, strict=True) for name in part]
        self.begin(number, "dstat", columns, "dstat")
        return True

    def _row(self, number: int, text: str) -> bool:
        sheet = self.sheet
        words = re.sub(r"[|]|(?<=\s):(?=\s)", " ", text).split()
        if sheet is None or "|" not in text or any(name in self.words for name in sheet.columns):
            return False
        scaled = [word.removesuffix("B") for word in words]
        if len(words) != len(sheet.columns) or not all(_CELL.fullmatch(word) for word in words):
            return False
        return self.row(number, {}, scaled)
