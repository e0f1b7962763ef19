# SPDX-License-Identifier: GPL-2.0-or-later
"""Names a trace.dat brings along: of tasks, of functions; and the letters of irqs-off, need-resched..."""

from __future__ import annotations

import bisect
import re
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pageout.events.blocks import Part

MAX_PID = 1 << 22  # PID_MAX_LIMIT of 64-bit kernels
LAZY_SINCE, MIGRATE_SINCE = (6, 13), (5, 12)  # kernels that print need-resched-lazy, migrate-disable


def task_names(text: bytes) -> dict[int, bytes]:
    """Return the names of saved_cmdlines by pid; 0 is the idle task."""
    found = {0: b"<idle>"}
    for line in text.split(b"\n"):
        pid, _, comm = line.strip(b"\0 ").partition(b" ")
        if pid.isdigit() and len(pid) < 8 and comm:
            found[int(pid)] = comm
    return found


class Symbols:
    """Functions by address, out of kallsyms; parsed when first asked."""

    def __init__(self, kallsyms: bytes) -> None:
        self._text = kallsyms
        self._rows: list[tuple[int, str]] | None = None

    def __call__(self, address: int) -> str:
        """Return `function+0x10`, empty if unknown."""
        if self._rows is None:
            self._rows = self._parsed()
        at = bisect.bisect_right(self._rows, (address, "\U0010ffff")) - 1
        if at < 0 or at + 1 >= len(self._rows):
            return ""
        start, name = self._rows[at]
        return f"{name}+0x{address - start:x}"

    def _parsed(self) -> list[tuple[int, str]]:
        rows = []
        for line in self._text.split(b"\n"):
            words = line.split(None, 3)
            if len(words) < 3 or len(words[0]) > 16 or not re.fullmatch(rb"[0-9a-fA-F]+", words[0]):
                continue
            address = int(words[0], 16)
            if address and words[1] in (b"T", b"t", b"W", b"w"):
                rows.append((address, words[2].decode("utf-8", "replace")))
        return sorted(rows)


def release_of(uname: str) -> str:
    """Return the release in what uname prints: `6.12.41-1` of `Linux host 6.12.41-1 x86_64`."""
    words = uname.split()
    found = next((word for word in words[1:] if re.match(r"\d{1,3}\.\d{1,4}", word)), "")
    return found[:100]


class ContextLetters:
    """The letters between CPU and time, `d.s2.`.

    Source: Linux v6.13 kernel/trace/trace_output.c:trace_print_lat_fmt.
    """

    def __init__(self, release: str) -> None:
        match = re.match(r"(\d{1,3})\.(\d{1,4})", release)
        self._version = (int(match[1]), int(match[2])) if match else None

    def text(self, code: int) -> str:
        """Return the letters of common_flags << 8 | common_preempt_count."""
        bits, depth = code >> 8, code & 255
        lazy = self._version is not None and self._version >= LAZY_SINCE
        irqs, bottom = bits & 1, bits & 0x80
        first = "D" if irqs and bottom else "d" if irqs else "b" if bottom else "X" if bits & 2 and not lazy else "."
        need = (bool(bits & 4), lazy and bool(bits & 2), bool(bits & 0x20))
        second = {
            (True, True, True): "B", (True, False, True): "N", (False, True, True): "L", (True, True, False): "b",
            (True, False, False): "n", (False, True, False): "l", (False, False, True): "p",
        }.get(need, ".")  # fmt: skip
        nmi, hard, soft = bits & 0x40, bits & 8, bits & 16
        third = ("Z" if hard else "z") if nmi else ("H" if hard and soft else "h" if hard else "s" if soft else ".")
        low, high = (f"{digit:x}" if digit else "." for digit in (depth & 15, depth >> 4))
        migrate = self._version >= MIGRATE_SINCE if self._version is not None else depth >> 4
        return first + second + third + low + (high if migrate else "")


class Lookup:
    """Numbers to words, by a table that fills as numbers are met."""

    def __init__(self, size: int) -> None:
        self._table = np.full(size, -1, np.int64)  # -1: not met, -2: no word

    def column(self, numbers: NDArray[Any], word_of: Callable[[int], int | None]) -> Part:
        """Return the words' numbers, null where `word_of` gives None."""
        inside = np.minimum(numbers, len(self._table) - 1) if len(numbers) else numbers
        found = self._table[inside]
        new = found == -1
        if new.any():
            for number in np.unique(inside[new]).tolist():
                word = word_of(number)
                self._table[number] = -2 if word is None else word
            found = self._table[inside]
        missing = found < 0
        return Part(found.astype(np.uint32), missing if missing.any() else None)
