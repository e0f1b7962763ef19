# SPDX-License-Identifier: GPL-2.0-or-later
"""Names of bits that only events of 6.x print: lists, reasons to throttle, zones.

Source: Linux v6.1 include/trace/events/vmscan.h, oom.h, include/linux/mmzone.h.
"""

LRU_FLAGS: tuple[tuple[int, str], ...] = tuple(
    (1 << n, name) for n, name in enumerate(("inactive_anon", "active_anon", "inactive_file", "active_file"))
)
THROTTLE_FLAGS: tuple[tuple[int, str], ...] = tuple(
    (1 << n, f"VMSCAN_THROTTLE_{name}") for n, name in enumerate(("WRITEBACK", "ISOLATED", "NOPROGRESS", "CONGESTED"))
)
ZONE_FLAGS: tuple[tuple[int, str], ...] = tuple(
    (1 << n, f"{name:8}") for n, name in enumerate(("DMA", "DMA32", "Normal"))
)
