# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads /proc/zoneinfo of all eras: one snapshot a zone, one a node. Numbers are pages.

Names of its lines become names of values: `free`, `min`, `boost`, `managed`, `nr_free_pages`, `protection 2`,
`cpu 0 count`. Source: Linux v6.1, v2.6.16 mm/vmstat.c, mm/page_alloc.c:zoneinfo_show_print.
"""

from __future__ import annotations

import re

from pageout.readers.lines import Claim
from pageout.readers.proc.files import Family, count
from pageout.readers.proc.named import Named

_ZONE = re.compile(r"Node\s{1,8}(\d{1,4}),\s{1,8}zone\s{1,12}(\w{1,20})")
_FREE = re.compile(r"pages\s{1,12}free\s{1,12}(\d{1,20})")
_FIELD = re.compile(
    r"(min|low|high|boost|promo|spanned|present|managed|cma|scanned|reserved)\s{1,20}(\d{1,20})(?:\s{1,8}\(.{0,60}\))?"
)
_COUNTER = re.compile(r"([a-z][a-z0-9_]{2,48}):?\s{1,40}(\d{1,20})")
_PROTECTION = re.compile(r"protection:\s{0,8}\(([\d,\s]{1,300})\)")
_PROTECTION_CUT = re.compile(r"protection:\s{0,8}\([\d,\s]{0,300}")
_CPU = re.compile(r"cpu:\s{0,8}(\d{1,6})(?:\s{1,8}pcp:\s{0,8}(\d{1,3}))?")
_PAGESET = re.compile(
    r"(count|low|high|batch|high_min|high_max|vm stats threshold|numa_hit|numa_miss|[a-z_]{4,20}):\s{0,40}(\d{1,20})"
)
_TAIL = re.compile(
    r"(node_unreclaimable|all_unreclaimable|prev_priority|temp_priority|start_pfn|inactive_ratio|refill_counter):?\s{0,40}(\d{1,20})"
)
_PLAIN = ("pagesets", "per-node stats")
_WRAPPED_NUMBERS = re.compile(r"[\d,\s]{1,300}\)?")


class Zoneinfo(Family):
    """`Node 0, zone   Normal` and all below it."""

    kind = "zoneinfo"
    files = r"zoneinfo"

    def __init__(self, named: Named) -> None:
        super().__init__(named)
        self._zone = ""  # "Node 0, zone Normal", empty outside
        self._node = ""
        self._per_node = False
        self._cpu = ""  # "cpu 0" inside a pageset
        self._cut = ""  # a protection line whose bracket has not closed
        self._last = -10

    def gap(self, number: int) -> None:
        """Somebody else's line: a remark of a line or two may stand inside a zone."""

    def read(self, number: int, text: str, path: str, *, explicit: bool) -> Claim | None:
        """Read one line."""
        claim = self._zone_line(number, text) or (self._inside(number, text) if self._near(number, explicit) else None)
        if claim is not None:
            self._last = number
        return claim

    def _near(self, number: int, explicit: bool) -> bool:
        return bool(self._zone) and (explicit or number - self._last <= 3)

    def _zone_line(self, number: int, text: str) -> Claim | None:
        zone = _ZONE.fullmatch(text)
        if zone is None:
            return None
        self._node, self._zone = f"Node {zone[1]}", f"Node {zone[1]}, zone {zone[2]}"
        self._per_node, self._cpu, self._cut = False, "", ""
        self.blocks.part("zoneinfo", self._zone, number, explicit=number - self._last <= 1)
        return Claim.KNOWN

    def _inside(self, number: int, text: str) -> Claim | None:
        if self._cut:
            return self._rest_of_protection(number, text)
        if text in _PLAIN:
            self._per_node, self._cpu = text == "per-node stats", ""
            return Claim.KNOWN
        free = _FREE.fullmatch(text)
        if free is not None:
            self._per_node, self._cpu = False, ""
            return self._keep(number, "free", free[1])
        cpu = _CPU.fullmatch(text)
        if cpu is not None:
            self._cpu = f"cpu {cpu[1]}" + (f" pcp {cpu[2]}" if cpu[2] else "")
            return Claim.KNOWN
        return self._field(number, text)

    def _field(self, number: int, text: str) -> Claim | None:
        tail = _TAIL.fullmatch(text)
        if tail is not None:
            self._cpu = ""
            return self._keep(number, tail[1], tail[2])
        if self._cpu:
            pageset = _PAGESET.fullmatch(text)
            return self._keep(number, f"{self._cpu} {pageset[1]}", pageset[2]) if pageset else None
        field = _FIELD.fullmatch(text) or _COUNTER.fullmatch(text)
        if field is not None:
            return self._keep(number, field[1], field[2])
        protection = _PROTECTION.fullmatch(text)
        if protection is not None:
            return self._protect(number, protection[1])
        if _PROTECTION_CUT.fullmatch(text):
            self._cut = text
            return Claim.KNOWN
        return None

    def _rest_of_protection(self, number: int, text: str) -> Claim | None:
        whole, self._cut = f"{self._cut} {text}", ""
        protection = _PROTECTION.fullmatch(whole)
        return self._protect(number, protection[1]) if protection and _WRAPPED_NUMBERS.fullmatch(text) else None

    def _protect(self, number: int, text: str) -> Claim | None:
        for n, word in enumerate(text.replace(",", " ").split()):
            self._keep(number, f"protection {n}", word)
        return Claim.KNOWN

    def _keep(self, number: int, name: str, digits: str) -> Claim | None:
        found = count(digits)
        if found is None:
            return None
        part = self._node if self._per_node else self._zone
        self.blocks.add("zoneinfo", part, number, [(name, found)], explicit=True)
        return Claim.KNOWN
