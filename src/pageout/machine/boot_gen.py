# SPDX-License-Identifier: GPL-2.0-or-later
"""The multi-generation LRU at boot (lru=gen): four generations of each type, all empty."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pageout.engine import constants as c


def _ranges(nr_slots: int, nr_inodes: int) -> int:
    """Page tables of all files, as kernel/mm/lru_gen_age.py:filter_row numbers them."""
    return (nr_slots >> c.PAGEBLOCK_ORDER) + nr_inodes + 1


def sizes(choices: Mapping[str, Any], *, groups: int, zones: int, slots: int, inodes: int) -> dict[str, int]:
    """Return the rows of its tables; one each where it is off."""
    if choices["lru"] != "gen":
        return dict.fromkeys(("gen", "gen_list", "gen_tier", "gen_filter"), 1)
    return {
        "gen": groups,
        "gen_list": groups * c.MAX_NR_GENS * 2 * zones,
        "gen_tier": groups * 2 * c.MAX_NR_TIERS,
        "gen_filter": groups * _ranges(slots, inodes),
    }


def boot_gen(arrays: dict[str, Any]) -> None:
    """Source: Linux v6.1 mm/vmscan.c:lru_gen_init_lruvec."""
    arrays["gen"]["max_seq"][:] = c.MIN_NR_GENS + 1
    for end in ("head", "tail"):
        arrays["gen_list"][end][:] = c.NIL
    arrays["param"]["gen_ranges"][0] = _ranges(len(arrays["slot"]), len(arrays["inode"]))


def zone_lists(arrays: Mapping[str, Any], zone: int) -> list[int]:
    """Pages of a zone by list as the kernel counts them: the two youngest generations are active."""
    nr, nr_zones, sizes = arrays["gen_list"]["nr"], len(arrays["zone"]), [0] * c.NR_LRU
    for memcg, youngest in enumerate(arrays["gen"]["max_seq"].tolist()):
        for gen in range(c.MAX_NR_GENS):
            active = gen in {youngest % c.MAX_NR_GENS, (youngest - 1) % c.MAX_NR_GENS}
            for kind in range(2):
                sizes[2 * kind + active] += int(nr[((memcg * c.MAX_NR_GENS + gen) * 2 + kind) * nr_zones + zone])
    return sizes
