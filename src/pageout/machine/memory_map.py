# SPDX-License-Identifier: GPL-2.0-or-later
"""Zones, watermarks, reserves and free lists of a machine, as its kernel computes them at boot.

Source: Linux v2.6.34 mm/page_alloc.c:setup_per_zone_wmarks, setup_per_zone_lowmem_reserve, zone_batchsize,
setup_zone_migrate_reserve, build_all_zonelists.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import NamedTuple

from pageout.engine.constants import MIGRATE_MOVABLE, MIGRATE_RESERVE, PAGEBLOCK_ORDER
from pageout.vocabulary.errors import ScenarioError

PAGE = 4096
DMA_END = (16 << 20) // PAGE
DMA32_END = (4 << 30) // PAGE
LOWMEM_RESERVE_RATIO = 256
BIOS_PAGES = 96  # assumed: what the firmware keeps of the first megabyte
KERNEL_IMAGE_PAGES = (12 << 20) // PAGE  # assumed: text, data and early tables of a distribution kernel
STRUCT_PAGE_BYTES = 56
PAGEBLOCK = 1 << PAGEBLOCK_ORDER
MIGRATE_TYPES = 5  # the kernel counts ISOLATE too


class Zone(NamedTuple):
    """Frames [start, end), of which [first_free, last_free) are the allocator's; marks and reserves in pages."""

    start: int
    end: int
    first_free: int
    last_free: int
    present: int
    wmark_min: int
    wmark_low: int
    wmark_high: int
    reserve: tuple[int, int, int]
    pcp_batch: int
    pcp_high: int
    inactive_ratio: int
    nr_free: int = -1  # pages free at boot; -1: all present
    pcp_high_max: int = 0  # pcp.high=auto: the most a CPU may keep


def _pcp_batch(present: int) -> int:
    batch = max(1, min(present // 1024, 128) // 4)
    return int((1 << (batch + batch // 2).bit_length() - 1) - 1)


def _spans(nr_pages: int, *, dma32: bool = True) -> list[tuple[int, int, int, int]]:
    """(start, end, first_free, last_free) of each zone; the kernel and its page table lie at the top.

    assumed: a small machine has a small kernel, an eighth of its memory at most. A top zone too small for it is joined
    to the one below. Without DMA32, as before Linux 2.6.15, all memory above DMA is one zone.
    """
    kept = min(KERNEL_IMAGE_PAGES, nr_pages // 8) + nr_pages * STRUCT_PAGE_BYTES // PAGE
    borders = [border for border in ((DMA_END, DMA32_END) if dma32 else (DMA_END,)) if border + 2 * kept < nr_pages]
    edges = [0, *borders, nr_pages]
    spans = []
    for start, end in pairwise(edges):
        first = start + (BIOS_PAGES if start == 0 else 0)
        spans.append((start, end, first, end - (kept if end == nr_pages else 0)))
    return spans


class Marks(NamedTuple):
    """How a kernel lays its watermarks and per-CPU lists; scale: vm.watermark_scale_factor, 0 before it came (4.6)."""

    scale: int = 0
    pcp_low: bool = False  # pcp.high=low or auto
    cpus: int = 1


OLD_MARKS = Marks()
PCP_MOST_FRACTION = 8  # Linux v6.12 mm/page_alloc.c:MIN_PERCPU_PAGELIST_HIGH_FRACTION: of a zone, by all CPUs


def _later_pcp(present: int, low: int, cpus: int) -> tuple[int, int]:
    """Return (batch, high) of the per-CPU lists.  Source: Linux v6.1 mm/page_alloc.c:zone_batchsize, zone_highsize."""
    batch = max(1, min(present // 1024, 256) // 4)
    batch = max(1, (1 << (batch + batch // 2).bit_length() - 1) - 1)
    return batch, max(low // cpus, 4 * batch)


def zones_of(
    memory_bytes: int, min_free_kbytes: int, *, dma32: bool = True, taken_bytes: int = 0, marks: Marks = OLD_MARKS
) -> list[Zone]:
    """Return the machine's zones, DMA first. Raises ScenarioError if memory is too small for its watermarks.

    taken_bytes: of the top zones, not free at boot and never; watermarks and reserves count it
    marks: watermark.marks=scaled: Linux v6.1 mm/page_alloc.c:__setup_per_zone_wmarks
    """
    zones = _all_free(memory_bytes, min_free_kbytes, dma32, marks)
    left = -(-taken_bytes // PAGE)
    for z in range(len(zones) - 1, -1, -1):
        taken = min(left, zones[z].present - 1)
        left -= taken
        last = zones[z].last_free - taken
        zones[z] = zones[z]._replace(last_free=last, nr_free=last - zones[z].first_free)
    kept = sum(zone.wmark_high for zone in zones)
    if taken_bytes and (left > 0 or sum(zone.nr_free for zone in zones) <= kept):
        raise ScenarioError(f"machine.taken = {taken_bytes} bytes leaves less memory than the zones keep free")
    return zones


def _all_free(memory_bytes: int, min_free_kbytes: int, dma32: bool, marks: Marks) -> list[Zone]:
    spans = _spans(memory_bytes // PAGE, dma32=dma32)
    present = [last - first for _, _, first, last in spans]
    pages_min = min_free_kbytes >> 2
    zones = []
    for i, (start, end, first, last) in enumerate(spans):
        share = pages_min * present[i] // sum(present)
        if share * 2 > present[i]:
            raise ScenarioError(
                f"vm.min_free_kbytes = {min_free_kbytes}: more than half of a zone of {present[i] * 4} KiB; "
                "kswapd could never rest"
            )
        reserve = [sum(present[i + 1 : j + 1]) // LOWMEM_RESERVE_RATIO if j > i else 0 for j in range(3)]
        gap = max(share // 4, present[i] * marks.scale // 10000)
        low = share + gap
        high = share + (2 * gap if marks.scale else share // 2)
        batch = _pcp_batch(present[i])
        pcp = _later_pcp(present[i], low, marks.cpus) if marks.pcp_low else (max(1, batch), 6 * batch)
        gib = present[i] * PAGE >> 30
        zones.append(
            Zone(
                start,
                end,
                first,
                last,
                present[i],
                share,
                low,
                high,
                (reserve[0], reserve[1], reserve[2]),
                *pcp,
                math.isqrt(10 * gib) if gib else 1,
                pcp_high_max=max(present[i] // PCP_MOST_FRACTION // marks.cpus, 4 * pcp[0]),
            )
        )
    return zones


def free_blocks(first: int, last: int) -> list[tuple[int, int]]:
    """Cut [first, last) into naturally aligned blocks of order 0-10: (frame, order), ascending."""
    blocks = []
    page = first
    while page < last:
        order = min((page & -page).bit_length() - 1 if page else 10, (last - page).bit_length() - 1, 10)
        blocks.append((page, order))
        page += 1 << order
    return blocks


def mobility_is_off(zones: list[Zone]) -> int:
    """1 if memory is too small for pages to be grouped by mobility. No watermark is set yet when the kernel decides."""
    return int(sum(zone.present for zone in zones) < PAGEBLOCK * MIGRATE_TYPES)


def free_lists(zone: Zone, *, sets_aside: bool = True) -> tuple[dict[tuple[int, int], list[int]], list[int]]:
    """Free lists at boot, {(order, type): frames, head first}, and the pageblocks set aside as a reserve.

    Frames are freed from low to high, all of them movable: the highest block is at the head. Then the lowest pageblocks
    that begin with a free frame, two at most, become the reserve for short-lived allocations of high order; their
    blocks change lists unless the pageblock reaches beyond the zone's end. Not so since 4.4 (sets_aside: False).
    """
    lists: dict[tuple[int, int], list[int]] = {}
    for page, order in free_blocks(zone.first_free, zone.last_free):
        lists.setdefault((order, MIGRATE_MOVABLE), []).append(page)
    lists = {key: pages[::-1] for key, pages in lists.items()}
    reserve = min(2, -(-zone.wmark_min // PAGEBLOCK)) if sets_aside else 0
    reserved: list[int] = []
    for start in range(zone.start, zone.end, PAGEBLOCK):
        if len(reserved) == reserve:
            break
        if not zone.first_free <= start < zone.last_free:
            continue
        reserved.append(start >> PAGEBLOCK_ORDER)
        if start + PAGEBLOCK <= zone.end:
            _move(lists, start)
    return {key: pages for key, pages in lists.items() if pages}, reserved


def _move(lists: dict[tuple[int, int], list[int]], start: int) -> None:
    """Move the free blocks that begin in a pageblock to the reserve's lists, each to the head, low ones first."""
    inside = [(page, order) for (order, kind), pages in lists.items() if kind == MIGRATE_MOVABLE
              for page in pages if start <= page < start + PAGEBLOCK]  # fmt: skip
    for page, order in sorted(inside):
        lists[order, MIGRATE_MOVABLE].remove(page)
        lists.setdefault((order, MIGRATE_RESERVE), []).insert(0, page)
