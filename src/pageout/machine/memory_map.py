# SPDX-License-Identifier: GPL-2.0-or-later
"""Zones, watermarks and reserves of a machine, as its kernel computes them at boot.

Source: Linux v2.6.34 mm/page_alloc.c:setup_per_zone_wmarks, setup_per_zone_lowmem_reserve, zone_batchsize.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import NamedTuple

from pageout.vocabulary.errors import ScenarioError

PAGE = 4096
DMA_END = (16 << 20) // PAGE
DMA32_END = (4 << 30) // PAGE
LOWMEM_RESERVE_RATIO = 256
BIOS_PAGES = 96  # assumed: what the firmware keeps of the first megabyte
KERNEL_IMAGE_PAGES = (12 << 20) // PAGE  # assumed: text, data and early tables of a distribution kernel
STRUCT_PAGE_BYTES = 56


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


def _pcp_batch(present: int) -> int:
    batch = max(1, min(present // 1024, 128) // 4)
    return int((1 << (batch + batch // 2).bit_length() - 1) - 1)


def _spans(nr_pages: int) -> list[tuple[int, int, int, int]]:
    """(start, end, first_free, last_free) of each zone; the kernel and its page table lie at the top.

    assumed: a small machine has a small kernel, an eighth of its memory at most. A top zone too small for it is joined
    to the one below.
    """
    kept = min(KERNEL_IMAGE_PAGES, nr_pages // 8) + nr_pages * STRUCT_PAGE_BYTES // PAGE
    borders = [border for border in (DMA_END, DMA32_END) if border + 2 * kept < nr_pages]
    edges = [0, *borders, nr_pages]
    spans = []
    for start, end in pairwise(edges):
        first = start + (BIOS_PAGES if start == 0 else 0)
        spans.append((start, end, first, end - (kept if end == nr_pages else 0)))
    return spans


def zones_of(memory_bytes: int, min_free_kbytes: int) -> list[Zone]:
    """Return the machine's zones, DMA first. Raises ScenarioError if memory is too small for its watermarks."""
    spans = _spans(memory_bytes // PAGE)
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
        batch = _pcp_batch(present[i])
        gib = present[i] * PAGE >> 30
        zones.append(
            Zone(
                start,
                end,
                first,
                last,
                present[i],
                share,
                share + share // 4,
                share + share // 2,
                (reserve[0], reserve[1], reserve[2]),
                max(1, batch),
                6 * batch,
                math.isqrt(10 * gib) if gib else 1,
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
