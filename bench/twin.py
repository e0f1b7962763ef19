# SPDX-License-Identifier: GPL-2.0-or-later
"""A naive twin of the page cache: two lists, two touches to be promoted, the coldest 32 go. No code of the engine."""

from collections import OrderedDict
from collections.abc import Iterable

BATCH = 32


def twin_hits(requests: Iterable[int], room: int) -> int:
    """Replay single-page reads; returns how many were found in memory.

    room: pages that fit. A page enters the inactive list, referenced by the read that brought it; the next touch makes
    it active. When the active list is the longer one, its coldest pages go back to the inactive list, marks kept.
    Source: Linux v2.6.34 mm/swap.c:mark_page_accessed, mm/vmscan.c:inactive_file_is_low.
    """
    inactive: OrderedDict[int, bool] = OrderedDict()  # page -> referenced
    active: OrderedDict[int, bool] = OrderedDict()
    hits = 0
    for page in requests:
        if page in active:
            active[page] = True
            hits += 1
        elif page in inactive:
            hits += 1
            if inactive[page]:
                del inactive[page]
                active[page] = False
            else:
                inactive[page] = True
        else:
            if len(inactive) + len(active) >= room:
                _shrink(inactive, active)
            inactive[page] = True  # read() touches it once, right after it came in
    return hits


def _shrink(inactive: OrderedDict[int, bool], active: OrderedDict[int, bool]) -> None:
    """Free 32 pages, the coldest first; keep the active list no longer than the inactive one."""
    for _ in range(BATCH):
        if inactive:
            inactive.popitem(last=False)
    if len(active) > len(inactive):
        for _ in range(min(BATCH, len(active))):
            page, referenced = active.popitem(last=False)
            inactive[page] = referenced
