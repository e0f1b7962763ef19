# SPDX-License-Identifier: GPL-2.0-or-later
"""The counters of /proc/vmstat that are modelled, by the kernel's names and in its order.

Source: Linux v2.6.34 mm/vmstat.c:vmstat_text.
"""

from __future__ import annotations

ZONES = ("dma", "dma32", "normal")


def _per_zone(name: str) -> tuple[str, ...]:
    return tuple(f"{name}_{zone}" for zone in ZONES)


# Levels, in pages; nr_vmscan_write only grows, the kernel keeps it among the levels all the same.
LEVELS = (
    "nr_free_pages",
    "nr_inactive_anon",
    "nr_active_anon",
    "nr_inactive_file",
    "nr_active_file",
    "nr_anon_pages",
    "nr_file_pages",
    "nr_dirty",
    "nr_writeback",
    "nr_vmscan_write",
    "nr_isolated_anon",
    "nr_isolated_file",
    "nr_dirtied",  # since 2.6.37; global_dirty_state prints it
    "nr_written",
)

# Events since boot, in pages where pages are meant; pgpgin and pgpgout are in KiB.
EVENTS = (
    "pgpgin",
    "pgpgout",
    "pswpin",
    "pswpout",
    *_per_zone("pgalloc"),
    "pgfree",
    "pgactivate",
    "pgdeactivate",
    "pgfault",
    "pgmajfault",
    *_per_zone("pgrefill"),
    *_per_zone("pgsteal"),
    *_per_zone("pgscan_kswapd"),
    *_per_zone("pgscan_direct"),
    "pginodesteal",
    "slabs_scanned",
    "kswapd_steal",
    "kswapd_inodesteal",
    "kswapd_low_wmark_hit_quickly",
    "kswapd_high_wmark_hit_quickly",
    "kswapd_skip_congestion_wait",
    "pageoutrun",
    "allocstall",
    "pgrotated",
)

VMSTAT = LEVELS + EVENTS
