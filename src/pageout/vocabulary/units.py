# SPDX-License-Identifier: GPL-2.0-or-later
"""Sizes, times and rates: from what people write to bytes and nanoseconds, and back for people to read."""

from __future__ import annotations

import re
from fractions import Fraction

KIB, MIB, GIB, TIB = 1 << 10, 1 << 20, 1 << 30, 1 << 40
NS_PER_US, NS_PER_MS, NS_PER_S = 10**3, 10**6, 10**9
PAGE_BYTES = 4096
MAX_VALUE = 1 << 62  # everything must survive a sum in a signed 64-bit integer

_NUMBER = re.compile(r"\s*(\d{1,30}(?:\.\d{0,30})?|\.\d{1,30})\s*([A-Za-z]*)\s*", re.ASCII)
_PREFIXES = "kmgtp"
SIZE_UNITS: dict[str, int] = {"": 1, "b": 1}
for _power, _letter in enumerate(_PREFIXES, start=1):
    SIZE_UNITS |= {_letter: 1024**_power, f"{_letter}ib": 1024**_power, f"{_letter}b": 1000**_power}
TIME_UNITS = {
    "ns": 1,
    "us": NS_PER_US,
    "ms": NS_PER_MS,
    "s": NS_PER_S,
    "m": 60 * NS_PER_S,
    "min": 60 * NS_PER_S,
    "h": 3600 * NS_PER_S,
    "d": 86400 * NS_PER_S,
}


def _scaled(text: str, units: dict[str, int], example: str) -> int:
    """Return number times unit, rounded down to an integer; ValueError says what to write instead."""
    match = _NUMBER.fullmatch(text)
    if not match:
        raise ValueError(f"not a number with a unit, write for example {example}")
    factor = units.get(match[2].lower())
    if factor is None:
        raise ValueError(f"{'no unit ' + match[2] if match[2] else 'needs a unit'}, write for example {example}")
    value = int(Fraction(match[1] if match[1][-1] != "." else match[1][:-1]) * factor)
    if value > MAX_VALUE:
        raise ValueError("larger than anything that can be simulated")
    return value


def parse_size(text: str) -> int:
    """Return bytes of `64M`, `1.5GiB` (powers of 1024) or `500GB` (powers of 1000).  Raises ValueError."""
    return _scaled(text, SIZE_UNITS, "64M, 1G or 500GB")


def parse_duration(text: str) -> int:
    """Return nanoseconds of `5s`, `100ms`, `8.5ms`, `2min`; only 0 may lack its unit.  Raises ValueError."""
    return _scaled(text, TIME_UNITS | ({"": 0} if text.strip() == "0" else {}), "5s or 100ms")


def parse_rate(text: str) -> int:
    """Return bytes per second of `80M`, `80M/s` or `80MB/s`; units as in `parse_size`.  Raises ValueError."""
    return _scaled(text.strip().removesuffix("/s"), SIZE_UNITS, "80M or 80MB/s")


def parse_count(text: str) -> int:
    """Return a plain whole number.  Raises ValueError."""
    if not re.fullmatch(r"\s*-?\d{1,18}\s*", text, re.ASCII):
        raise ValueError("not a whole number")
    return int(text)


def format_size(size_bytes: int) -> str:
    """Return bytes for people: `512 MiB`, `1.5 GiB`, `700 B`."""
    for unit, factor in (("TiB", TIB), ("GiB", GIB), ("MiB", MIB), ("KiB", KIB)):
        if abs(size_bytes) >= factor:
            return f"{_short(size_bytes / factor)} {unit}"
    return f"{size_bytes} B"


def format_duration(time_ns: int) -> str:
    """Return nanoseconds for people: `1.5 s`, `100 ms`, `12 us`."""
    for unit, factor in (("s", NS_PER_S), ("ms", NS_PER_MS), ("us", NS_PER_US)):
        if abs(time_ns) >= factor:
            return f"{_short(time_ns / factor)} {unit}"
    return f"{time_ns} ns"


def format_rate(bytes_per_second: float) -> str:
    """Return a rate for people, in 10^6 bytes per second as figures are: `83.8 MB/s`."""
    return f"{_short(bytes_per_second / 1e6)} MB/s"


def _short(number: float) -> str:
    text = f"{number:.2f}" if abs(number) < 10 else f"{number:.1f}"
    return text.rstrip("0").rstrip(".")
