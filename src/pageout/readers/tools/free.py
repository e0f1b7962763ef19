# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads `free`: a snapshot a row (Mem, Swap, Low, High, Total). What one is, only its command or -h says.

Source: procps-ng's free(1); `-/+ buffers/cache` is of versions before 3.3.10.
"""

from __future__ import annotations

import re

from pageout.readers.lines import Claim
from pageout.readers.proc.files import Family
from pageout.readers.proc.named import Named, names
from pageout.readers.tools.columns import real

_NAMES = names("total used free shared buffers cache buff/cache cached available")
_ROW = re.compile(
    r"(Mem|Swap|Low|High|Total|Comm|-/\+ buffers/cache)\s?:((?:\s{1,20}[\d.,]{1,18}(?:[BKMGTPkmgtp]i?)?){1,8})"
)
_VALUES = re.compile(r"[\d.,]{1,18}(?:[BKMGTPkmgtp]i?)?(?:\s{1,20}[\d.,]{1,18}(?:[BKMGTPkmgtp]i?)?){0,4}")
_OPTION = re.compile(r"\s-\w{0,4}([bkmgh])|\s--(kibi|mebi|gibi|kilo|mega|giga|human|bytes)")
_BYTES = {
    "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "bytes": 1, "kibi": 1 << 10, "mebi": 1 << 20, "gibi": 1 << 30,
    "kilo": 1000, "mega": 10**6, "giga": 10**9,
}  # fmt: skip


class Free(Family):
    """`Mem:  15Gi  2.1Gi ...`."""

    kind = "free"

    def __init__(self, named: Named) -> None:
        super().__init__(named)
        self._columns: tuple[str, ...] = ()
        self._last = -10
        self._unit: int | None = None
        self._cut: tuple[str, list[str]] = ("", [])

    def read(self, number: int, text: str, path: str, *, explicit: bool) -> Claim | None:
        """Read one line."""
        words = text.split()
        inside = number - self._last <= 2
        if len(words) >= 3 and words[:2] == ["total", "used"] and _NAMES.issuperset(words):
            self._columns, self._last = tuple(words), number
            told = self.named.told(number, "free")
            option = _OPTION.search(told)
            self._unit = _BYTES.get(option[1] or option[2]) if option else (1024 if told else None)
            return Claim.KNOWN
        if not inside or not words:
            return None
        if self._last == number - 1 and _NAMES.issuperset(words):
            self._columns, self._last = self._columns + tuple(words), number
            return Claim.KNOWN
        row = _ROW.fullmatch(text)
        if row is not None:
            self._last, self._cut = number, (row[1], row[2].split())
            return self._keep(number, row[1], row[2].split(), 0)
        name, before = self._cut
        if (
            name
            and _VALUES.fullmatch(text)
            and len(before) + len(words) <= len(self._columns)
            and self._last == number - 1
        ):
            self._last, self._cut = number, (name, before + words)
            return self._keep(number, name, words, len(before))
        return None

    def _keep(self, number: int, part: str, words: list[str], at: int) -> Claim | None:
        columns = ("used", "free") if part.startswith("-/+") else self._columns
        if at + len(words) > len(columns):
            return None
        human = any(word[-1].isalpha() for word in words)
        values = []
        for name, word in zip(columns[at:], words, strict=False):
            found = real(word.removesuffix("B").removesuffix("i"))
            if found is None:
                return None
            values.append((name, found))
        found_part = self.blocks.add("free", part, number, values, explicit=bool(at))
        found_part.unit_bytes = 1 if human else self._unit
        return Claim.KNOWN
