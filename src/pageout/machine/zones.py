# SPDX-License-Identifier: GPL-2.0-or-later
"""Memory as a machine boots with it: zones, free lists, pageblocks in their tables."""

from __future__ import annotations

from typing import Any

import numpy as np

from pageout.engine import constants as c
from pageout.machine.memory_map import Zone, free_lists, mobility_is_off


def boot_zones(arrays: dict[str, Any], zones: list[Zone], *, later: bool = False) -> None:
    """Fill the tables of zones, frames and free lists: all memory that is the allocator's is free.

    later: buddy.steal=alike: no pageblocks are set aside, and those of memory in use are the kernel's
    """
    arrays["free_list"]["head"][:] = c.NIL
    arrays["pcp_list"]["head"][:] = c.NIL
    arrays["pcp_list"]["tail"][:] = c.NIL
    arrays["pageblock"][:] = c.MIGRATE_MOVABLE
    arrays["param"]["mobility_off"][0] = mobility_is_off(zones)
    arrays["lru"]["head"][:] = c.NIL
    arrays["lru"]["tail"][:] = c.NIL
    for z, zone in enumerate(zones):
        fields = {
            "start_page": zone.start,
            "end_page": zone.end,
            "present": zone.present,
            "wmark_min": zone.wmark_min,
            "wmark_low": zone.wmark_low,
            "wmark_high": zone.wmark_high,
            "reserve0": zone.reserve[0],
            "reserve1": zone.reserve[1],
            "reserve2": zone.reserve[2],
            "pcp_batch": zone.pcp_batch,
            "pcp_high": zone.pcp_high,
            "pcp_high_max": zone.pcp_high_max,
            "inactive_ratio": zone.inactive_ratio,
            "nr_free": zone.nr_free,
        }
        for name, value in fields.items():
            arrays["zone"][name][z] = value
        for start, end in ((zone.start, zone.first_free), (zone.last_free, zone.end)):
            arrays["page"]["pflags"][start:end] = c.PG_RESERVED
        _boot_free_lists(arrays, z, zone, later)
    arrays["vm"]["nr_free_pages"][0] = sum(zone.nr_free for zone in zones)


def _boot_free_lists(arrays: dict[str, Any], z: int, zone: Zone, later: bool) -> None:
    """Put the zone's free blocks on their lists, and say what its pageblocks are for."""
    lists, blocks = free_lists(zone, sets_aside=not later)
    page_table = arrays["page"]
    for (order, kind), pages in lists.items():
        at = np.array(pages, dtype=np.int64)
        page_table["pflags"][at] = c.PG_BUDDY | order << c.ORDER_SHIFT | kind << c.MT_SHIFT
        page_table["lru_next"][at] = np.concatenate((at[1:], [c.NIL]))
        page_table["lru_prev"][at] = np.concatenate(([c.NIL], at[:-1]))
        area = z * c.MAX_ORDER + order
        arrays["free_list"]["head"][area * c.NR_FREE_LISTS + kind] = pages[0]
        arrays["free_area"]["nr"][area] += len(pages)
    for block in blocks:
        arrays["pageblock"][block] = c.MIGRATE_UNMOVABLE if arrays["param"]["mobility_off"][0] else c.MIGRATE_RESERVE
    if later:  # what is in use for good, the kernel has
        arrays["pageblock"][-(-zone.last_free >> c.PAGEBLOCK_ORDER) : zone.end >> c.PAGEBLOCK_ORDER] = (
            c.MIGRATE_UNMOVABLE
        )
