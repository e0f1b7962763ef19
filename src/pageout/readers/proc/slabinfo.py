# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads /proc/slabinfo (2.x) and what slabtop prints: one snapshot a cache.

Sizes as the files have them: objsize in bytes; of slabtop in KiB. Source: Linux v6.1 mm/slab_common.c:cache_show.
"""

from __future__ import annotations

import re

from pageout.readers.lines import Claim
from pageout.readers.proc.files import Family, counts
from pageout.readers.proc.named import Named

_VERSION = re.compile(r"slabinfo - version: 2\.\d(?: \(statistics\))?")
_HEADER = re.compile(r"# name\s.{0,300}")
_HEADER_REST = re.compile(r"(?:[<>:\w# ]{0,200}<\w{3,20}>[<>:\w ]{0,200})|(?:: )?slabdata|: tunables")
_ROW = re.compile(
    r"(\S{1,80})\s{1,40}(\d{1,20})\s{1,20}(\d{1,20})\s{1,20}(\d{1,12})\s{1,20}(\d{1,12})\s{1,20}(\d{1,12})\s{1,20}: "
    r"tunables\s{1,20}"
    r"(\d{1,12})\s{1,20}(\d{1,12})\s{1,20}(\d{1,12})\s{1,20}: "
    r"slabdata\s{1,20}(\d{1,20})\s{1,20}(\d{1,20})\s{1,20}(\d{1,20})(?:\s{1,20}: .{0,400})?"
)
_NAMES = (
    "active_objs", "num_objs", "objsize", "objperslab", "pagesperslab", "limit", "batchcount", "sharedfactor",
    "active_slabs", "num_slabs", "sharedavail",
)  # fmt: skip
_TOP_TOTAL = re.compile(
    r"(Active / Total (?:Objects|Slabs|Caches|Size)|Minimum / Average / Maximum "
    r"Object)[ (%used)]{0,20}:\s{0,8}[\d.K/ ]{3,80}(?:\(\s{0,4}[\d.]{1,10}%\))?"
)
_TOP_HEADER = re.compile(r"OBJS\s+ACTIVE\s+USE\s+OBJ SIZE\s+SLABS\s+OBJ/SLAB\s+CACHE SIZE\s+NAME")
_TOP_ROW = re.compile(
    r"(\d{1,18})\s{1,12}(\d{1,18})\s{1,12}(\d{1,3})%\s{1,12}(\d{1,9}\.\d\d)K\s{1,12}(\d{1,18})\s{1,12}(\d{1,9})\s{1,12}(\d{1,18})K\s{1,12}(\S{1,80})"
)
_TOP_NAMES = ("objs", "active", "use_percent", "obj_size_kib", "slabs", "objs_per_slab", "cache_size_kib")


def _begun(text: str) -> bool:
    """Whether a line is the first piece of a row: a name, two numbers, then numbers and the row's own words."""
    words = text.split()
    return (
        3 <= len(words) <= 18
        and all(word.isdecimal() and len(word) <= 20 for word in words[1:3])
        and all(word.isdecimal() or word in (":", "tunables", "slabdata") for word in words[3:])
    )


class Slabinfo(Family):
    """`dentry  8192 9000 192 21 1 : tunables 0 0 0 : slabdata 428 428 0`."""

    kind = "slabinfo"
    files = r"slabinfo|memory\.kmem\.slabinfo"

    def __init__(self, named: Named) -> None:
        super().__init__(named)
        self._last = -10  # the last line that was one of these for certain
        self._cut = ""
        self._header = False

    def gap(self, number: int) -> None:
        """Somebody else's line."""
        self._cut = ""

    def read(self, number: int, text: str, path: str, *, explicit: bool) -> Claim | None:
        """Read one line."""
        claim = self._read(number, text, path, explicit)
        if claim is not None:
            self._last = number
        return claim

    def _read(self, number: int, text: str, path: str, explicit: bool) -> Claim | None:
        cut, self._cut = self._cut, ""
        inside = explicit or bool(path) or self._last == number - 1
        if cut and self._last == number - 1:
            whole = f"{cut} {text}"
            if _ROW.fullmatch(whole):
                self.variants.add("wrapped")
                return self._row(number, _ROW.fullmatch(whole))
            if _begun(whole):
                self._cut = whole
                return Claim.KNOWN
        if _VERSION.fullmatch(text):
            return Claim.KNOWN
        if _HEADER.fullmatch(text) and "objs>" in text:
            self._header = True
            return Claim.KNOWN
        if self._header and inside and _HEADER_REST.fullmatch(text):
            return Claim.KNOWN
        row = _ROW.fullmatch(text)
        if row is not None:
            return self._row(number, row)
        if inside and _begun(text):
            self._cut = text
            return Claim.KNOWN
        return None

    def _row(self, number: int, row: re.Match[str] | None) -> Claim | None:
        self._header = False
        found = counts(row.groups()[1:]) if row is not None else None
        if row is None or found is None:
            return None
        self.blocks.add("slabinfo", row[1], number, list(zip(_NAMES, map(float, found), strict=True)))
        return Claim.KNOWN


class Slabtop(Family):
    """`172494 172494 100%    0.19K   8214   21   32856K dentry`."""

    kind = "slabtop"

    def read(self, number: int, text: str, path: str, *, explicit: bool) -> Claim | None:
        """Read one line."""
        row = _TOP_ROW.fullmatch(text)
        if row is not None:
            values = [(name, float(row[n + 1])) for n, name in enumerate(_TOP_NAMES)]
            self.blocks.add("slabtop", row[8], number, values)
            return Claim.KNOWN
        return Claim.KNOWN if _TOP_TOTAL.fullmatch(text) or _TOP_HEADER.fullmatch(text) else None
