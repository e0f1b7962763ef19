# SPDX-License-Identifier: GPL-2.0-or-later
"""Sizes of the LRU lists: those of the whole machine, and of the node's lists by zone."""

from pageout.engine.constants import (
    ENGINE_NODE,
    LRU_ACTIVE_FILE,
    LRU_INACTIVE_ANON,
    LRU_INACTIVE_FILE,
    PG_SWAPBACKED,
)
from pageout.jit import kfn
from pageout.kernel.mm.free_area import zone_of


@kfn
def count_in_zone(k, page, pflags, delta):
    """The node's lists hold pages of all zones: count them by zone."""
    if k.param.reclaim_engine == ENGINE_NODE:
        zone = k.zone[zone_of(k, page)]
        if pflags & PG_SWAPBACKED:
            zone.lru_anon += delta
        else:
            zone.lru_file += delta


@kfn
def count_lru(k, lru, delta):
    """Keep the machine-wide sizes of the lists."""
    if lru == LRU_INACTIVE_FILE:
        k.vm.nr_inactive_file += delta
    elif lru == LRU_ACTIVE_FILE:
        k.vm.nr_active_file += delta
    elif lru == LRU_INACTIVE_ANON:
        k.vm.nr_inactive_anon += delta
    else:
        k.vm.nr_active_anon += delta
