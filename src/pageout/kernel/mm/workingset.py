# SPDX-License-Identifier: GPL-2.0-or-later
"""Refault distance: a page that reclaim took leaves the node's age in its place; come back soon enough, it is active.

Source: Linux v6.1 mm/workingset.c:workingset_eviction, workingset_refault, workingset_activation. Differs: the age is
kept modulo 2^29 pages; the shadow's nodes cost no memory and no shrinker takes them.
"""

from pageout.engine.constants import (
    COST_ROTATIONS,
    LRU_ACTIVE_ANON,
    LRU_ACTIVE_FILE,
    LRU_INACTIVE_ANON,
    LRU_INACTIVE_FILE,
    PG_ACTIVE,
    PG_SWAPBACKED,
    PG_WORKINGSET,
    SWAP_CLUSTER_MAX,
)
from pageout.jit import kfn

AGE_MASK = (1 << 29) - 1


@kfn
def pack_shadow(age, was_active):
    """What a file's slot holds in place of a frame: a number below NIL."""
    return -2 - ((age & AGE_MASK) << 1 | was_active)


@kfn
def shadow_age(shadow):
    """The node's age when the page was taken, modulo 2^29."""
    return -2 - shadow >> 1


@kfn
def shadow_was_active(shadow):
    """Had the page been active?"""
    return -2 - shadow & 1


@kfn
def refault_distance(now, then):
    """Pages evicted or activated meanwhile."""
    return (now - then) & AGE_MASK


@kfn
def workingset_size(k, is_file):
    """Pages that would have had to give way for the page to stay."""
    size = k.lru[LRU_ACTIVE_FILE].nr
    if not is_file:
        size += k.lru[LRU_INACTIVE_FILE].nr
    if k.stat.swap_free > 0:
        size += k.lru[LRU_ACTIVE_ANON].nr
        if is_file:
            size += k.lru[LRU_INACTIVE_ANON].nr
    return size


@kfn
def workingset_eviction(k, page):
    """Return the shadow of a page that is being reclaimed; one more has gone."""
    shadow = pack_shadow(k.node.nonresident_age, 1 if k.page[page].pflags & PG_WORKINGSET else 0)
    k.node.nonresident_age += 1
    return shadow


@kfn
def lru_note_cost(k, is_file, nr_io, nr_rotated):
    """Reclaiming pages of this kind cost I/O, or was in vain: the balance leans away from it.

    Source: Linux v6.1 mm/swap.c:lru_note_cost; with rotations, v6.3.
    """
    node = k.node
    cost = nr_io
    if k.param.scan_cost == COST_ROTATIONS:
        cost = nr_io * SWAP_CLUSTER_MAX + nr_rotated
    if is_file:
        node.file_cost += cost
    else:
        node.anon_cost += cost
    size = k.lru[LRU_INACTIVE_ANON].nr + k.lru[LRU_ACTIVE_ANON].nr
    size += k.lru[LRU_INACTIVE_FILE].nr + k.lru[LRU_ACTIVE_FILE].nr
    if node.anon_cost + node.file_cost > size // 4:
        node.anon_cost //= 2
        node.file_cost //= 2


@kfn
def workingset_refault(k, shadow, pflags):
    """A page that was reclaimed is read again. Returns the flags it gets: active if it would have stayed."""
    node = k.node
    is_file = 0 if pflags & PG_SWAPBACKED else 1
    if is_file:
        node.workingset_refault_file += 1
    else:
        node.workingset_refault_anon += 1
    if refault_distance(node.nonresident_age, shadow_age(shadow)) > workingset_size(k, is_file):
        return 0
    node.nonresident_age += 1
    if is_file:
        node.workingset_activate_file += 1
    else:
        node.workingset_activate_anon += 1
    if not shadow_was_active(shadow):
        return PG_ACTIVE
    if is_file:
        node.workingset_restore_file += 1
    else:
        node.workingset_restore_anon += 1
    lru_note_cost(k, is_file, 1, 0)
    return PG_ACTIVE | PG_WORKINGSET
