# SPDX-License-Identifier: GPL-2.0-or-later
"""LRU lists: where pages wait to be used again or to be reclaimed.

Source: Linux v2.6.34 mm/swap.c, include/linux/mm_inline.h. With lru=gen the lists are those of lru_gen.py.
"""

from pageout.engine.constants import (
    ENGINE_NODE,
    LRU_INACTIVE_FILE,
    NIL,
    NR_LRU,
    PG_ACTIVE,
    PG_DIRTY,
    PG_LOCKED,
    PG_LRU,
    PG_PVEC,
    PG_REFERENCED,
    PG_SWAPBACKED,
    SPLIT_OFF,
)
from pageout.jit import kfn
from pageout.kernel.mm.free_area import zone_of
from pageout.kernel.mm.lru_count import count_in_zone, count_lru
from pageout.kernel.mm.lru_gen import gen_add, gen_del, in_lru_fault, inc_refs


@kfn
def page_lru(pflags):
    """The list a page belongs on, by its flags."""
    return (0 if pflags & PG_SWAPBACKED else LRU_INACTIVE_FILE) + (1 if pflags & PG_ACTIVE else 0)


@kfn
def lruvec_of(k, page):
    """Row of the first of the lists that a page goes on: its zone's, or its group's in the node (reclaim.engine)."""
    return (k.page[page].memcg if k.param.reclaim_engine == ENGINE_NODE else zone_of(k, page)) * NR_LRU


@kfn
def lru_add(k, page):
    """Put a page at the head (the recently used end) of its list."""
    if k.param.lru_gen:
        gen_add(k, page, False)
        return
    pg = k.page[page]
    lru = page_lru(pg.pflags)
    queue = k.lru[lruvec_of(k, page) + lru]
    pg.pflags |= PG_LRU
    pg.lru_prev = NIL
    pg.lru_next = queue.head
    if queue.head == NIL:
        queue.tail = page
    else:
        k.page[queue.head].lru_prev = page
    queue.head = page
    queue.nr += 1
    count_lru(k, lru, 1)
    count_in_zone(k, page, pg.pflags, 1)


@kfn
def lru_add_tail(k, page):
    """Put a page at the tail of its list: the next to be scanned."""
    if k.param.lru_gen:
        gen_add(k, page, True)
        return
    pg = k.page[page]
    lru = page_lru(pg.pflags)
    queue = k.lru[lruvec_of(k, page) + lru]
    pg.pflags |= PG_LRU
    pg.lru_next = NIL
    pg.lru_prev = queue.tail
    if queue.tail == NIL:
        queue.head = page
    else:
        k.page[queue.tail].lru_next = page
    queue.tail = page
    queue.nr += 1
    count_lru(k, lru, 1)
    count_in_zone(k, page, pg.pflags, 1)


@kfn
def lru_del(k, page):
    """Take a page off its list."""
    if k.param.lru_gen:
        gen_del(k, page, False)
        return
    pg = k.page[page]
    lru = page_lru(pg.pflags)
    queue = k.lru[lruvec_of(k, page) + lru]
    if pg.lru_prev == NIL:
        queue.head = pg.lru_next
    else:
        k.page[pg.lru_prev].lru_next = pg.lru_next
    if pg.lru_next == NIL:
        queue.tail = pg.lru_prev
    else:
        k.page[pg.lru_next].lru_prev = pg.lru_prev
    pg.pflags &= ~PG_LRU
    pg.lru_next = NIL
    pg.lru_prev = NIL
    queue.nr -= 1
    count_lru(k, lru, -1)
    count_in_zone(k, page, pg.pflags, -1)


@kfn
def _count_new(k, page):
    """A page new on a list counts for the balance of anonymous and file pages.

    Source: Linux v2.6.34 mm/swap.c:update_page_reclaim_stat.
    """
    zone = k.zone[zone_of(k, page)]
    rotated = 1 if k.page[page].pflags & PG_ACTIVE else 0
    if k.page[page].pflags & PG_SWAPBACKED:
        zone.recent_scanned_anon += 1
        zone.recent_rotated_anon += rotated
    else:
        zone.recent_scanned_file += 1
        zone.recent_rotated_file += rotated


@kfn
def lru_add_drain(k, cpu):
    """Move a CPU's waiting pages to their lists. Source: mm/swap.c:lru_add_drain, ____pagevec_lru_add."""
    waiting = k.cpu[cpu]
    for i in range(waiting.pvec_nr):
        page = k.pvec[cpu * k.param.pvec_size + i]
        k.page[page].pflags &= ~PG_PVEC
        _count_new(k, page)
        lru_add(k, page)
    waiting.pvec_nr = 0


@kfn
def lru_cache_add(k, t, page):
    """Send a new page to its list, through this CPU's pagevec (lru.batch). Source: mm/swap.c:__lru_cache_add."""
    cpu = k.task[t].cpu
    waiting = k.cpu[cpu]
    k.page[page].pflags |= PG_PVEC
    if k.param.lru_gen and in_lru_fault(k, t):
        k.page[page].pflags |= PG_ACTIVE
    k.pvec[cpu * k.param.pvec_size + waiting.pvec_nr] = page
    waiting.pvec_nr += 1
    if waiting.pvec_nr == k.param.pvec_size:
        lru_add_drain(k, cpu)


@kfn
def lru_drain_page(k, page):
    """See to it that a page is on its list and in no pagevec (truncation may have to)."""
    if k.page[page].pflags & PG_PVEC:
        for cpu in range(k.param.nr_cpus):
            lru_add_drain(k, cpu)


@kfn
def mark_page_accessed(k, page):
    """Two touches promote: inactive -> referenced -> active -> active, referenced.

    Source: Linux v2.6.34 mm/swap.c:mark_page_accessed.
    """
    pg = k.page[page]
    pflags = pg.pflags
    if k.param.lru_gen:
        inc_refs(k, page)
    elif not pflags & PG_REFERENCED:
        pg.pflags = pflags | PG_REFERENCED
    elif k.param.reclaim_engine == ENGINE_NODE:
        if not pflags & PG_ACTIVE:
            _activate(k, page)
    elif not pflags & PG_ACTIVE and pflags & PG_LRU:
        lru_del(k, page)
        zone = k.zone[zone_of(k, page)]
        if pflags & PG_SWAPBACKED:
            zone.recent_scanned_anon += 1
            zone.recent_rotated_anon += 1
        else:
            zone.recent_scanned_file += 1
            zone.recent_rotated_file += 1
        if k.param.lru_split == SPLIT_OFF and not pflags & PG_SWAPBACKED:
            pg.pflags &= ~PG_REFERENCED  # one list: used again, a page goes back to its head
            lru_add(k, page)
            return
        pg.pflags = (pg.pflags & ~PG_REFERENCED) | PG_ACTIVE
        lru_add(k, page)
        k.vm.pgactivate += 1


@kfn
def age_nonresident(k, memcg):
    """A page of the group was evicted or became active. Source: Linux v6.1 workingset_age_nonresident."""
    k.node.nonresident_age += 1
    if memcg:
        k.memcg[memcg].nonresident_age += 1


@kfn
def _activate(k, page):
    """To the active list, now or from the pagevec it waits in; what was evicted before it is older by a page.

    Source: Linux v6.1 mm/swap.c:folio_mark_accessed, folio_activate.
    """
    pg = k.page[page]
    if pg.pflags & PG_LRU:
        lru_del(k, page)
        pg.pflags |= PG_ACTIVE
        lru_add(k, page)
        k.vm.pgactivate += 1
    elif pg.pflags & PG_PVEC:
        pg.pflags |= PG_ACTIVE
    else:
        return
    pg.pflags &= ~PG_REFERENCED
    age_nonresident(k, pg.memcg)


@kfn
def rotate_reclaimable_page(k, page):
    """A page that reclaim had written is clean now: to the tail of the inactive list. Source: mm/swap.c.

    reclaim.engine=node: it may have been put on the active list, out of the way (v6.1 mm/swap.c:lru_move_tail_fn).
    """
    pflags = k.page[page].pflags
    if k.param.reclaim_engine == ENGINE_NODE and pflags & PG_LRU and not pflags & (PG_LOCKED | PG_DIRTY):
        lru_del(k, page)
        k.page[page].pflags &= ~PG_ACTIVE
        lru_add_tail(k, page)
        k.vm.pgrotated += 1
        return
    if pflags & PG_LRU and not pflags & (PG_LOCKED | PG_DIRTY | PG_ACTIVE):
        lru_del(k, page)
        lru_add_tail(k, page)
        k.vm.pgrotated += 1
