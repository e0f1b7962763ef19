# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads the tool vmstat: a row a moment, and `vmstat -s`.

Memory columns are in the unit its command asked for (KiB unless -S): known only where the command is shown.
bi and bo are blocks of 1 KiB a second, us to gu per cent. Source: procps-ng's vmstat(8).
"""

from __future__ import annotations

import re

from pageout.readers.lines import Claim
from pageout.readers.proc.files import Family, count
from pageout.readers.proc.named import names
from pageout.readers.tools.columns import TableReader, is_value

COLUMNS = names("r b w swpd free buff cache inact active si so bi bo in cs us sy id wa st gu")
_GROUPS = re.compile(
    r"(?:procs|-{1,40}time-{1,40}\s{1,4}procs|-{1,40}(?:procs|memory|swap|io|system|cpu|timestamp)-{1,40})(?:\s{1,4}-{0,40}(?:procs|memory|swap|io|system|cpu|timestamp)-{0,40}){0,8}"
)
_ZONE = re.compile(r"[A-Z]{2,5}|[+-]\d\d")
_CLOCK = re.compile(r"\d\d:\d\d:\d\d")
REMARKS = 12  # lines between two rows: somebody's notes
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_UNIT = re.compile(r"(?:-S|--unit)\s?=?([kKmM])\b|-\w{0,6}S\s?([kKmM])\b")
_BYTES = {"k": 1000, "K": 1024, "m": 10**6, "M": 1 << 20}
_SUMMARY = re.compile(
    r"(\d{1,20})\s{1,4}([KMkmB]\s)?\s{0,4}((?:total|used|active|inactive|free|buffer|swap)\s(?:memory|swap|cache)|"
    r"(?:non-nice user|nice user|system|idle|IO-wait|IRQ|softirq|stolen|non-nice "
    r"guest|nice guest) cpu ticks|(?:pages )?paged (?:in|out)|"
    r"pages swapped (?:in|out)|interrupts|CPU context switches|boot time|forks)"
)


class VmstatTool(TableReader):
    """` r  b   swpd   free ...`."""

    kind = "vmstat 1"
    words = frozenset(("time",))

    def see(self, number: int, text: str) -> Claim | None:
        """Claim headers and rows."""
        if _GROUPS.fullmatch(text) and "-" in text:
            self.named.touch(number)
            if self.header_open(number):
                self._header_at = number
            return Claim.KNOWN
        words = text.split()
        if words[:2] == ["r", "b"] and self._begins(number, words):
            return Claim.KNOWN
        if self.sheet is None or not (self.near(number) or self._is_far_row(number, words)):
            return None
        if self.header_open(number) and COLUMNS.union(_zone(words)).issuperset(words):
            self.extend(number, [name for name in words if name in COLUMNS] + ["time"] * bool(_zone(words)))
            return Claim.KNOWN
        return self._row(number, words)

    def _is_far_row(self, number: int, words: list[str]) -> bool:
        sheet = self.sheet
        near = sheet is not None and number - sheet.last <= REMARKS
        return near and sheet is not None and len(words) == len(sheet.columns) and all(map(str.isdecimal, words))

    def _begins(self, number: int, words: list[str]) -> bool:
        zone = _zone(words)
        names = words[: -len(zone)] if zone else words
        if not COLUMNS.issuperset(names) or len(names) < 6:
            return False
        sheet = self.begin(number, "vmstat 1", [*names, *["time"] * bool(zone)], "vmstat")
        sheet.report = 0
        unit = _UNIT.search(sheet.command)
        if sheet.command:
            sheet.unit_bytes = _BYTES[unit[1] or unit[2]] if unit else 1024
        return True

    def _row(self, number: int, words: list[str]) -> Claim | None:
        labels: dict[str, str] = {}
        if len(words) > 1 and _CLOCK.fullmatch(words[0]):
            labels, words = {"time": words[0]}, words[1:]
        for n, word in enumerate(words):
            if _DATE.fullmatch(word):
                labels = {"time": " ".join(words[n : n + 3])}
                words = words[:n]
                break
        if not all(map(is_value, words)) or (not words and not self.waiting(number)):
            return None
        if words and self.waiting(number) and self.more(number, words):
            return Claim.KNOWN
        if labels and not words:
            return Claim.KNOWN
        if len(words) < 3 or not self.row(number, labels, words):
            return None
        if self.sheet is not None:
            self.sheet.first_since_boot = False  # only the first row can be one
        return Claim.KNOWN


def _zone(words: list[str]) -> list[str]:
    return words[-1:] if _ZONE.fullmatch(words[-1]) else []


class VmstatSummary(Family):
    """`vmstat -s`: `24684092 K total memory`; sizes in KiB unless its letter says otherwise."""

    kind = "vmstat -s"

    def read(self, number: int, text: str, path: str, *, explicit: bool) -> Claim | None:
        """Read one line."""
        match = _SUMMARY.fullmatch(text)
        found = count(match[1]) if match else None
        if match is None or found is None:
            return None
        inside = self.blocks.near("vmstat -s", number) or bool(self.named.told(number, "vmstat"))
        if not inside and not match[2]:
            return None
        letter = (match[2] or "").strip()
        scale = {"M": 1024.0, "m": 1e6 / 1024, "k": 1000 / 1024, "B": 1 / 1024}.get(letter, 1.0)
        self.blocks.add("vmstat -s", "", number, [(match[3], found * scale)])
        return Claim.KNOWN
