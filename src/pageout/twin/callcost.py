# SPDX-License-Identifier: GPL-2.0-or-later
"""How long a machine's CPU takes for a call, by calls that nothing held up: its copy speed and its cost a call.

One rule for every recording. Of a log: the calls made before any writer was told to pause, their median. Of fio, which
keeps no calls: the value a quarter of them do not exceed; their mean where nobody was ever told to pause, since what
some of them took longer was the CPU's doing then (memory that a guest touches first, say). The kernel's own work a
page, as the model charges it (kernel/costs.py), is taken off; the rest is copying, and what a call costs beside where
block sizes differ.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import polars as pl

from pageout.bundle.calls import Calls
from pageout.events.tables import Events
from pageout.kernel.costs import ADD_TO_CACHE_NS, ALLOC_NS, DIRTY_NS, LOOKUP_NS

PAGE_BYTES = 4096
PAGE_NS = ALLOC_NS + ADD_TO_CACHE_NS + DIRTY_NS + LOOKUP_NS
FREE_SHARE = 0.25
MOST_SHARE = 0.99  # the others met something else
ENOUGH = 16  # calls
FASTEST_NS, SLOWEST_NS = 5, 4_000_000  # of copying a page: 800 GB/s, 1 MB/s


class CallCost(NamedTuple):
    """What a machine's calls cost, and where that is from."""

    copy_mb_s: int
    syscall_ns: int
    said: str


def page_ns_of(copy_mb_s: int) -> float:
    """Return how long a page that a call dirties takes in the model, of a machine that copies so fast, ns."""
    return PAGE_NS + PAGE_BYTES * 1000 / copy_mb_s


def call_cost(
    calls: Sequence[Calls], sizes: Mapping[str, int], events: Events | None, syscall_ns: int, tick_us: float
) -> CallCost | None:
    """Return the cost by the write calls whose block size is known (else by the read calls); None if there is none.

    sizes: bytes of one call, by task; syscall_ns: what a call costs beside its pages, unless two block sizes tell;
    tick_us: the shortest pause, so that calls of which even the quarter took as long were all held up
    """
    first_pause_ns = _first_pause(events)
    nobody_held = events is not None and first_pause_ns is None and "global_dirty_state" in events.frames
    for is_write in (True, False):
        rows = [
            (sizes[one.name] / PAGE_BYTES, free)
            for one in calls
            if one.is_write == is_write and sizes.get(one.name, 0) > 0
            and (free := _free_us(one, first_pause_ns, nobody_held)) is not None and free < tick_us
        ]  # fmt: skip
        if rows:
            return _cost(rows, syscall_ns, "write" if is_write else "read")
    return None


def _cost(rows: Sequence[tuple[float, float]], syscall_ns: int, what: str) -> CallCost:
    least, most = min(rows), max(rows)
    a_page = (most[1] * 1000 - syscall_ns) / max(most[0], 1.0)
    if most[0] >= 2 * least[0]:
        a_page = max(1000 * (most[1] - least[1]) / (most[0] - least[0]), 1.0)
        syscall_ns = int(max(least[1] * 1000 - a_page * least[0], 0))
    copy_ns = min(max(a_page - PAGE_NS, FASTEST_NS), SLOWEST_NS)
    pages, free_us = most
    said = f"{what} calls that nothing held up took {free_us:g} us for {pages * PAGE_BYTES / 1024:g} KiB"
    return CallCost(max(1, round(PAGE_BYTES * 1000 / copy_ns)), min(syscall_ns, 1_000_000), said)


def _free_us(one: Calls, first_pause_ns: int | None, nobody_held: bool) -> float | None:
    if not one.latency.nr:
        return None
    if one.each_us is not None and one.start_ns is not None and len(one.each_us):
        ends = one.start_ns + np.cumsum(one.each_us) * 1000
        free = one.each_us if first_pause_ns is None else one.each_us[ends < first_pause_ns]
        if len(free) >= ENOUGH:
            return float(np.median(free))
    return one.latency.mean_of(MOST_SHARE) if nobody_held else one.latency.at(FREE_SHARE)


def _first_pause(events: Events | None) -> int | None:
    if events is None:
        return None
    held = events.frame("balance_dirty_pages").filter(pl.col("pause") > 0)["time_ns"]
    first = held.min()
    return int(first) if isinstance(first, int) else None
