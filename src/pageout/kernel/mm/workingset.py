# SPDX-License-Identifier: GPL-2.0-or-later
"""Refault distance: a page that reclaim took leaves the node's age in its place; come back soon enough, it is active.

Source: Linux v6.1 mm/workingset.c:workingset_eviction, workingset_refault, workingset_activation. Differs: the age is
kept modulo 2^29 pages; the shadow's nodes cost no memory and no shrinker takes them.
"""

from pageout.engine.constants import (
    COST_ROTATIONS,
    GEN_OWN,
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
from pageout.kernel.mm.lru_gen import gen_eviction, gen_type, in_lru_fault, is_recent, set_refs, tier_of, tier_row
from pageout.kernel.mm.memcontrol import lru_size
from pageout.kernel.mm.swap import age_nonresident

AGE_BITS = 29
AGE_MASK = (1 << AGE_BITS) - 1
GROUP_BITS = 5  # where there are memory cgroups, the last bits of an age name the one it is of


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
def workingset_size(k, is_file, memcg=0):
    """Pages that would have had to give way for the page to stay."""
    size = lru_size(k, memcg, LRU_ACTIVE_FILE)
    if not is_file:
        size += lru_size(k, memcg, LRU_INACTIVE_FILE)
    if k.stat.swap_free > 0:
        size += lru_size(k, memcg, LRU_ACTIVE_ANON)
        if is_file:
            size += lru_size(k, memcg, LRU_INACTIVE_ANON)
    return size


@kfn
def workingset_eviction(k, page, memcg):
    """Return the shadow of a page that is being reclaimed for a group (0: for all); one more has gone."""
    if k.param.lru_gen:
        token, used = gen_eviction(k, page)
        return pack_shadow(token << GROUP_BITS | k.page[page].memcg if k.param.nr_memcgs else token, used)
    was_active = 1 if k.page[page].pflags & PG_WORKINGSET else 0
    age = k.memcg[memcg].nonresident_age if memcg else k.node.nonresident_age
    age_nonresident(k, memcg)
    if k.param.nr_memcgs:
        age = age << GROUP_BITS | memcg
    return pack_shadow(age, was_active)


@kfn
def _distance(k, shadow):
    """How long ago a page was reclaimed, on the clock of whom it was reclaimed for. Returns (distance, group)."""
    if k.param.nr_memcgs == 0:
        return refault_distance(k.node.nonresident_age, shadow_age(shadow)), 0
    then = shadow_age(shadow)
    memcg = then & (1 << GROUP_BITS) - 1
    now = k.memcg[memcg].nonresident_age if memcg else k.node.nonresident_age
    return refault_distance(now << GROUP_BITS | memcg, then) >> GROUP_BITS, memcg


@kfn
def _note_cost(lruvec, is_file, cost, size):
    if is_file:
        lruvec.file_cost += cost
    else:
        lruvec.anon_cost += cost
    if lruvec.anon_cost + lruvec.file_cost > size // 4:
        lruvec.anon_cost //= 2
        lruvec.file_cost //= 2


@kfn
def _sum_of_lists(k, memcg):
    size = lru_size(k, memcg, LRU_INACTIVE_ANON) + lru_size(k, memcg, LRU_ACTIVE_ANON)
    return size + lru_size(k, memcg, LRU_INACTIVE_FILE) + lru_size(k, memcg, LRU_ACTIVE_FILE)


@kfn
def lru_note_cost(k, is_file, nr_io, nr_rotated, memcg=0):
    """Reclaiming pages of this kind cost I/O, or was in vain: the balance leans away from it.

    Source: Linux v6.1 mm/swap.c:lru_note_cost; with rotations, v6.3.
    """
    cost = nr_io
    if k.param.scan_cost == COST_ROTATIONS:
        cost = nr_io * SWAP_CLUSTER_MAX + nr_rotated
    if memcg:
        _note_cost(k.memcg[memcg], is_file, cost, _sum_of_lists(k, memcg))
    _note_cost(k.node, is_file, cost, _sum_of_lists(k, 0))


@kfn
def _count_refault(lruvec, is_file):
    if is_file:
        lruvec.workingset_refault_file += 1
    else:
        lruvec.workingset_refault_anon += 1


@kfn
def _count_activate(lruvec, is_file):
    if is_file:
        lruvec.workingset_activate_file += 1
    else:
        lruvec.workingset_activate_anon += 1


@kfn
def _count_restore(lruvec, is_file):
    if is_file:
        lruvec.workingset_restore_file += 1
    else:
        lruvec.workingset_restore_anon += 1


@kfn
def workingset_refault(k, shadow, pflags, memcg=0):
    """A page that was reclaimed is read again. Returns the flags it gets: active if it would have stayed.

    memcg: the group that is charged for it now
    """
    is_file = 0 if pflags & PG_SWAPBACKED else 1
    _count_refault(k.node, is_file)
    if memcg:
        _count_refault(k.memcg[memcg], is_file)
    distance, evictor = _distance(k, shadow)
    if distance > workingset_size(k, is_file, evictor):
        return 0
    age_nonresident(k, memcg)
    _count_activate(k.node, is_file)
    if memcg:
        _count_activate(k.memcg[memcg], is_file)
    if not shadow_was_active(shadow):
        return PG_ACTIVE
    _count_restore(k.node, is_file)
    if memcg:
        _count_restore(k.memcg[memcg], is_file)
    lru_note_cost(k, is_file, 1, 0, memcg)
    return PG_ACTIVE | PG_WORKINGSET


@kfn
def _count_all(k, memcg, is_file):
    _count_refault(k.node, is_file)
    if memcg:
        _count_refault(k.memcg[memcg], is_file)


@kfn
def lru_gen_refault(k, t, page, shadow, pflags):
    """As workingset_refault, with lru=gen: the refault counts for the tier the page was reclaimed from. Returns flags.

    A page that is faulted in again, or was used so often that it would have been protected, will be.
    gen.node=shared: nothing counts that was reclaimed from a generation that is gone.
    Source: Linux v6.1 mm/workingset.c:lru_gen_refault; v6.12.
    """
    memcg, kind, token, bits = k.page[page].memcg, gen_type(pflags), shadow_age(shadow), AGE_BITS
    if k.param.nr_memcgs:
        if token & (1 << GROUP_BITS) - 1 != memcg:
            return 0
        token, bits = token >> GROUP_BITS, bits - GROUP_BITS
    recent = is_recent(k, memcg, kind, token, bits)
    if recent or k.param.gen_node == GEN_OWN:
        _count_all(k, memcg, kind)
    if not recent:
        return 0
    refs = (token & 3) + shadow_was_active(shadow)
    k.gen_tier[tier_row(memcg, kind, tier_of(refs))].refaulted += 1
    faults = in_lru_fault(k, t)
    if faults and k.param.gen_node == GEN_OWN:
        _count_activate(k.node, kind)
        if memcg:
            _count_activate(k.memcg[memcg], kind)
    if not faults and refs < 3:
        return 0
    _count_restore(k.node, kind)
    if memcg:
        _count_restore(k.memcg[memcg], kind)
    set_refs(k, page)
    return PG_WORKINGSET
