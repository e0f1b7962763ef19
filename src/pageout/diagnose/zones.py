# SPDX-License-Identifier: GPL-2.0-or-later
"""Which zones of a report a request may take its pages from, and what of their free memory is of use to it.

Free pages of CMA are for movable pages only. A request names the highest zone it may use; lower ones keep part of their
memory back from it (lowmem_reserve).
Source: Linux v2.6.34, v4.4, v6.1 include/linux/gfp.h:gfp_zone; v6.1 mm/page_alloc.c:__zone_watermark_unusable_free.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from pageout.readers.facts import ZoneState

_NAMED = re.compile(r"0x[0-9a-f]{1,16}\s?\(")
_DMA_BIT, _HIGHMEM_BIT, _DMA32_BIT, _MOVABLE_BIT = 0x01, 0x02, 0x04, 0x08  # the same in all kernels
SMALL_DMA_PAGES = 8192  # the zone below 16 MiB: kept back from nearly everybody
NEAR = 1.1  # of the min watermark: the report is printed a moment later


class Reach(NamedTuple):
    """What an allocation mask says of zones. `movable`: CMA's pages are for it too."""

    dma: bool
    dma32: bool
    highmem: bool
    movable: bool


def reach_of(mask: str | None) -> Reach | None:
    """Read a mask, `0x100cca(GFP_HIGHUSER_MOVABLE)` or a bare number; None without one."""
    if not mask:
        return None
    if _NAMED.match(mask):
        return Reach(
            bool(re.search(r"GFP_DMA\b", mask)), "GFP_DMA32" in mask, "HIGH" in mask.replace("__GFP_HIGH|", "").replace("__GFP_HIGH)", ""),
            "MOVABLE" in mask or "__GFP_CMA" in mask,
        )  # fmt: skip
    match = re.match(r"0x([0-9a-f]{1,16})$", mask)
    if match is None:
        return None
    number = int(match[1], 16)
    return Reach(*(bool(number & bit) for bit in (_DMA_BIT, _DMA32_BIT, _HIGHMEM_BIT, _MOVABLE_BIT)))


def may_use(zone: ZoneState, reach: Reach | None) -> bool:
    """Say whether a request may take pages of a zone; yes if nobody knows."""
    if reach is None:
        return True
    if zone.name == "HighMem":
        return reach.highmem
    if zone.name == "Movable":
        return reach.highmem and reach.movable
    if reach.dma:
        return zone.name == "DMA"
    if reach.dma32:
        return zone.name in ("DMA", "DMA32")
    return True


def size_of(zone: ZoneState) -> float:
    """Return a zone's pages, 0 if the report does not say."""
    value = zone.pages.get("managed") or zone.pages.get("present")
    return value.number if value is not None else 0


def is_small_dma(zone: ZoneState) -> bool:
    """Say whether it is the small zone for old devices: what is free there is kept back."""
    return zone.name == "DMA" and 0 < size_of(zone) <= SMALL_DMA_PAGES


def cma_out_of_reach(zone: ZoneState, reach: Reach | None) -> float:
    """Return free pages of CMA that a request may not have."""
    cma = zone.pages.get("free_cma")
    return cma.number if cma is not None and reach is not None and not reach.movable else 0


def usable_free(zone: ZoneState, reach: Reach | None) -> float | None:
    """Return the free pages of a zone that are for this request."""
    free = zone.pages.get("free")
    return max(free.number - cma_out_of_reach(zone, reach), 0) if free is not None else None


def is_short(zone: ZoneState, reach: Reach | None) -> bool:
    """Say whether what is free for the request is at or below the min watermark."""
    free, low = usable_free(zone, reach), zone.pages.get("min")
    return free is not None and low is not None and low.number > 0 and free <= low.number * NEAR


def is_ample(zone: ZoneState, reach: Reach | None) -> bool:
    """Say whether what is free for the request is above the high watermark (without one: twice the min)."""
    free, low = usable_free(zone, reach), zone.pages.get("min")
    high = zone.pages.get("high")
    if free is None or low is None:
        return False
    return free > (high.number if high is not None else 2 * low.number)


def clean_cache(zone: ZoneState) -> float:
    """Return file pages on a zone's lists that are neither dirty nor under writeback."""
    lists = sum(zone.pages[name].number for name in ("active_file", "inactive_file") if name in zone.pages)
    busy = sum(zone.pages[name].number for name in ("writepending", "dirty", "writeback") if name in zone.pages)
    return max(lists - busy, 0)
