# SPDX-License-Identifier: GPL-2.0-or-later
"""Frames of reclaim as 6.x has it. No stack trace of those kernels is at hand: sizes are guesses, marked so.

Functions that kept their names have the rows of 2.6.34; another unit runs them (MOVED) under reclaim.engine=node.
"""

from __future__ import annotations

SIZES: dict[str, tuple[int, str]] = {
    "shrink_node": (208, "assumed: the shares of four lists, twice, and locals; shrink_lruvec inlined"),
    "shrink_folio_list": (384, "assumed: as shrink_page_list"),
    "reclaim_throttle": (144, "assumed: as congestion_wait, which sleeps the same way"),
    "compact_zone": (256, "assumed: a compact_control, as balance_pgdat's scan_control"),
    "try_to_compact_pages": (64, "assumed: few locals"),
    "lru_gen_shrink_lruvec": (192, "assumed: as shrink_lruvec, with evict_folios inlined"),
    "kcompactd": (256, "assumed: as compact_zone, its compact_control is kcompactd_do_work's"),
}

ROWS = (
    ("shrink_node", "node"),
    ("shrink_folio_list", "node"),
    ("reclaim_throttle", "node"),
    ("compact_zone", "node"),
    ("try_to_compact_pages", "node"),
    ("lru_gen_shrink_lruvec", "gen"),
    ("kcompactd", "node", "kernel_thread_helper kthread"),
)

MOVED = ("alloc_pages", "page_cache_alloc", "try_to_free_pages", "shrink_inactive_list", "kswapd", "balance_pgdat")
