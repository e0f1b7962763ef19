# SPDX-License-Identifier: GPL-2.0-or-later
"""Taking pages off the LRU for reclaim, with their physical neighbours when the request is for more than one page.

Source: Linux v2.6.34 mm/vmscan.c:isolate_lru_pages, __isolate_lru_page, page_check_references.
"""

from pageout.engine.clock import spend
from pageout.engine.constants import (
    DEF_PRIORITY,
    GFP_FS,
    GFP_IO,
    LRU_INACTIVE_ANON,
    NIL,
    NR_LRU,
    PAGE_ACTIVATE,
    PAGE_ALLOC_COSTLY_ORDER,
    PAGE_KEEP,
    PAGE_RECLAIM,
    PAGE_RECLAIM_CLEAN,
    PF_KSWAPD,
    PG_ACTIVE,
    PG_DIRTY,
    PG_ISOLATED,
    PG_LRU,
    PG_REFERENCED,
    PG_SWAPBACKED,
    PG_SWAPCACHE,
    PG_YOUNG,
)
from pageout.engine.ring import emit
from pageout.jit import kfn
from pageout.kernel.costs import SCAN_NS
from pageout.kernel.mm.swap import lru_del
from pageout.vocabulary.tracepoints import EV


@kfn
def _take(k, t, page):
    """Move a page from its LRU list to the end of the task's private list."""
    task = k.task[t]
    lru_del(k, page)
    pg = k.page[page]
    pg.pflags |= PG_ISOLATED
    pg.lru_next = NIL
    if task.kept_tail == NIL:
        task.kept_head = page
    else:
        k.page[task.kept_tail].lru_next = page
    task.kept_tail = page
    task.kept_nr += 1


@kfn
def _neighbour_fits(k, page, lru, both_modes):
    """May this neighbour be taken too? With lumpy reclaim on, from any list; else only from the same one."""
    pg = k.page[page]
    if not pg.pflags & PG_LRU or pg.refs > 0:
        return False
    if pg.pflags & PG_SWAPBACKED and not pg.pflags & PG_SWAPCACHE and k.stat.swap_free <= 0:
        return False
    if both_modes:
        return True
    is_anon = 1 if pg.pflags & PG_SWAPBACKED else 0
    return not pg.pflags & PG_ACTIVE and is_anon == (1 if lru == LRU_INACTIVE_ANON else 0)


@kfn
def _take_block(k, t, zone, page, lru, both_modes):
    """Take what can be had of the naturally aligned block round the tag page. Returns (taken, dirty, failed)."""
    order = k.task[t].sc_order
    first = page >> order << order
    taken, dirty, failed = 0, 0, 0
    for candidate in range(first, first + (1 << order)):
        if candidate == page or candidate < k.zone[zone].start_page or candidate >= k.zone[zone].end_page:
            continue
        if _neighbour_fits(k, candidate, lru, both_modes):
            if k.page[candidate].pflags & PG_DIRTY:
                dirty += 1
            _take(k, t, candidate)
            taken += 1
        else:
            failed += 1
    return taken, dirty, failed


@kfn
def isolate_lru_pages(k, t, zone, lru, nr_to_scan, lumpy):
    """Take up to nr_to_scan pages off the tail of a list, into the task's private list. Returns pages scanned.

    For order > 0 each is the tag of a block whose other pages are tried too: one tag may bring 2^order pages.
    """
    task = k.task[t]
    task.kept_head, task.kept_tail, task.kept_nr = NIL, NIL, 0
    queue = k.lru[zone * NR_LRU + lru]
    scanned, contig_taken, contig_dirty, contig_failed = 0, 0, 0, 0
    while scanned < nr_to_scan and queue.tail != NIL:
        page = queue.tail
        scanned += 1
        _take(k, t, page)
        if task.sc_order > 0:
            taken, dirty, failed = _take_block(k, t, zone, page, lru, lumpy)
            scanned += taken
            contig_taken += taken
            contig_dirty += dirty
            contig_failed += failed
    spend(k, t, scanned * SCAN_NS)
    emit(
        k,
        t,
        EV.mm_vmscan_lru_isolate,
        2 if lumpy else 0,
        task.sc_order,
        nr_to_scan,
        scanned,
        task.kept_nr,
        contig_taken,
        contig_dirty,
        contig_failed,
    )
    return scanned


@kfn
def page_check_references(k, t, page):
    """Was the page used since it was last looked at? Clears the marks and gives the verdict.

    A file page seen in a page table once gets one more lap; a page that was only written gets one lap while dirty.
    """
    pg = k.page[page]
    pflags = pg.pflags
    pg.pflags = pflags & ~(PG_YOUNG | PG_REFERENCED)
    if k.task[t].sc_order > PAGE_ALLOC_COSTLY_ORDER:
        return PAGE_RECLAIM
    if pflags & PG_YOUNG:
        if pflags & PG_SWAPBACKED:
            return PAGE_ACTIVATE
        pg.pflags |= PG_REFERENCED
        return PAGE_ACTIVATE if pflags & PG_REFERENCED else PAGE_KEEP
    if pflags & PG_REFERENCED:
        return PAGE_RECLAIM_CLEAN
    return PAGE_RECLAIM


@kfn
def may_enter_fs(k, t, page):
    """May reclaim call the filesystem (or swap) for this page, given what the request allows?"""
    gfp = k.task[t].sc_gfp
    if gfp & GFP_FS:
        return True
    return bool(k.page[page].pflags & PG_SWAPCACHE) and bool(gfp & GFP_IO)


@kfn
def is_kswapd(k, t):
    """True if the task is kswapd."""
    return k.task[t].tflags & PF_KSWAPD


@kfn
def is_lumpy(k, t, priority):
    """1 if reclaim for this order, at this priority, takes pages of any list and age."""
    order = k.task[t].sc_order
    if not k.param.reclaim_lumpy:
        return 0
    return 1 if order > PAGE_ALLOC_COSTLY_ORDER or (order > 0 and priority < DEF_PRIORITY - 2) else 0


@kfn
def count_isolated(k, zone, page, delta):
    """Count a page taken off its list (1) or given back (-1)."""
    if k.page[page].pflags & PG_SWAPBACKED:
        k.zone[zone].isolated_anon += delta
        k.vm.nr_isolated_anon += delta
    else:
        k.zone[zone].isolated_file += delta
        k.vm.nr_isolated_file += delta
