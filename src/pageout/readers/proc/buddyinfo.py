# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads /proc/buddyinfo and /proc/pagetypeinfo: free blocks at each order, page blocks of each kind.

Where the kernel stopped counting (`>100000`) the number is a lower bound, and the value `capped` counts such orders.
Source: Linux v6.1 mm/vmstat.c:frag_show_print, pagetypeinfo_showfree_print.
"""

from __future__ import annotations

import re

from pageout.readers.lines import Claim
from pageout.readers.proc.files import Family, _Part, count
from pageout.readers.proc.named import Named

_ROW = re.compile(
    r"Node\s{1,8}(\d{1,4}),\s{1,8}zone\s{1,12}(\w{1,20})((?:,\s{1,8}type\s{1,20}\w{1,20})?)((?:\s{1,40}>?\d{1,18}){1,24})"
)
_NUMBERS = re.compile(r">?\d{1,18}(?:\s{1,40}>?\d{1,18}){0,23}")
_TYPES = re.compile(r"Number of (mixed )?blocks type((?:\s{1,40}[A-Z]\w{1,20}){1,12})")
_MORE_TYPES = re.compile(r"[A-Z]\w{1,20}(?:\s{1,40}[A-Z]\w{1,20}){0,8}")
_SINGLE = re.compile(r"(Page block order|Pages per block):\s{1,20}(\d{1,10})")
_ORDERS = re.compile(r"Free pages count per migrate type at order(?:\s{1,20}\d{1,2}){0,24}")
ORDERS = 11  # of the usual kernel; what a mailer cut is joined up to these


class Buddyinfo(Family):
    """`Node 0, zone   Normal   4381   1093 ...`."""

    kind = "buddyinfo"
    files = r"buddyinfo|pagetypeinfo"

    def __init__(self, named: Named) -> None:
        super().__init__(named)
        self._source = "buddyinfo"
        self._row: tuple[int, _Part] | None = None  # the last row, and its line: more orders may follow
        self._types: tuple[str, ...] = ()
        self._types_line = -1
        self._mixed = "blocks"

    def gap(self, number: int) -> None:
        """Somebody else's line."""
        self._row = None

    def read(self, number: int, text: str, path: str, *, explicit: bool) -> Claim | None:
        """Read one line."""
        row = _ROW.fullmatch(text)
        if row is not None:
            return self._keep(number, row, path)
        last = self._row
        if last is not None and last[0] == number - 1 and _NUMBERS.fullmatch(text):
            return self._more(number, last[1], text)
        return self._heading(number, text)

    def _heading(self, number: int, text: str) -> Claim | None:
        single = _SINGLE.fullmatch(text)
        found = count(single[2]) if single is not None else None
        if single is not None and found is not None:
            self._source, self._types = "pagetypeinfo", ()
            self.blocks.add("pagetypeinfo", "", number, [(single[1].lower(), found)])
            return Claim.KNOWN
        types = _TYPES.fullmatch(text)
        if types is not None:
            self._source, self._types, self._types_line = "pagetypeinfo", tuple(types[2].split()), number
            self._mixed = "mixed blocks" if types[1] else "blocks"
            return Claim.KNOWN
        if self._types and self._types_line == number - 1 and _MORE_TYPES.fullmatch(text):
            self._types += tuple(text.split())
            return Claim.KNOWN
        if _ORDERS.fullmatch(text):
            self._source, self._types, self._row = "pagetypeinfo", (), None
            return Claim.KNOWN
        if (
            self._source == "pagetypeinfo"
            and not self._types
            and self.blocks.near("pagetypeinfo", number - 1)
            and _NUMBERS.fullmatch(text)
        ):
            return Claim.KNOWN  # the header of orders, cut
        return None

    def _keep(self, number: int, row: re.Match[str], path: str) -> Claim | None:
        zone = f"Node {row[1]}, zone {row[2]}"
        words = row[4].split()
        kind = row[3].replace(",", "").split()
        if kind:
            part = self._orders("pagetypeinfo", f"{zone}, type {kind[1]}", number, words)
        elif self._types and not path.endswith("buddyinfo"):
            if len(words) != len(self._types):
                return None
            values = [(name, float(word.lstrip(">"))) for name, word in zip(self._types, words, strict=True)]
            self.blocks.add("pagetypeinfo", f"{zone}, {self._mixed}", number, values, explicit=True)
            return Claim.KNOWN
        else:
            part = self._orders("buddyinfo", zone, number, words)
        self._row = (number, part)
        return Claim.KNOWN

    def _orders(self, source: str, name: str, number: int, words: list[str]) -> _Part:
        self._source = source
        if source == "pagetypeinfo":
            self.variants.add(source)
        part = self.blocks.part(source, name, number)
        self._extend(number, part, words)
        return part

    def _more(self, number: int, part: _Part, text: str) -> Claim | None:
        words = text.split()
        if len(part.orders) + len(words) > ORDERS:
            return None
        self._extend(number, part, words)
        self.variants.add("wrapped")
        self.blocks.reach(self._source, number)
        self._row = (number, part)
        return Claim.KNOWN

    def _extend(self, number: int, part: _Part, words: list[str]) -> None:
        at = len(part.orders)
        part.orders += tuple(int(word.lstrip(">")) for word in words)
        self.blocks.put(part, number, [(f"order {at + n}", float(order)) for n, order in enumerate(part.orders[at:])])
        if capped := sum(word.startswith(">") for word in words):
            self.blocks.put(part, number, [("capped", capped)])
