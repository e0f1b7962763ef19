# SPDX-License-Identifier: GPL-2.0-or-later
"""Quantities as a finding says them."""

from __future__ import annotations

PAGE = 4096


def bytes_text(nbytes: float) -> str:
    """Return a size with two or three significant digits: 512 MiB, 1.5 GiB."""
    size = abs(nbytes)
    for bound, unit in ((1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if size >= bound:
            value = nbytes / bound
            return f"{value:,.0f} {unit}" if abs(value) >= 100 or value == int(value) else f"{value:.3g} {unit}"
    return f"{nbytes:,.0f} B"


def pages_text(pages: float) -> str:
    """Return pages as a size."""
    return bytes_text(pages * PAGE)


def seconds_text(seconds: float) -> str:
    """Return a time: 3 us, 12.6 ms, 4.2 s, 3 min 20 s."""
    size = abs(seconds)
    if size >= 120:
        minutes, rest = divmod(round(seconds), 60)
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    for bound, factor, unit in ((1, 1, "s"), (1e-3, 1e3, "ms"), (0, 1e6, "us")):
        if size >= bound:
            return f"{seconds * factor:.3g} {unit}"
    return "0 s"


def percent(part: float, whole: float) -> str:
    """Return a share, `?` of nothing."""
    return f"{100 * part / whole:.3g} %" if whole else "? %"


def counted(number: int, noun: str) -> str:
    """Return a number of things: 1 task, 1,200 tasks."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def times(count: int) -> str:
    """Return how often: once, twice, 1,200 times."""
    return {1: "once", 2: "twice"}.get(count, f"{count:,} times")
