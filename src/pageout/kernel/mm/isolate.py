# SPDX-License-Identifier: GPL-2.0-or-later
"""Taking pages off the LRU for reclaim, with their physical neighbours when the request is for more than one page.

Source: Linux v2.6.34 mm/vmscan.c:isolate_lru_pages, __isolate_lru_page, page_check_references.
"""

from pageout.engine.clock import spend
from pageout.engine.constants import (
    DEF_PRIORITY,
    GFP_FS,
    GFP_IO,
    ISOLATE_BOTH,
    ISOLATE_INACTIVE,
    LRU_INACTIVE_FILE,
    LUMPY_GENTLE,
    LUMPY_OFF,
    NIL,
    NR_LRU,
    PAGE_ACTIVATE,
    PAGE_ALLOC_COSTLY_ORDER,
    PAGE_KEEP,
    PAGE_RECLAIM,
    PAGE_RECLAIM_CLEAN,
    PF_KSWAPD,
    PG_ACTIVE,
    PG_BUDDY,
    PG_DIRTY,
    PG_ISOLATED,
    PG_LRU,
    PG_PCP,
    PG_REFERENCED,
    PG_SWAPBACKED,
    PG_SWAPCACHE,
    PG_TAIL,
    PG_YOUNG,
)
from pageout.engine.ring import emit
from pageout.jit import kfn
from pageout.kernel.costs import SCAN_NS
from pageout.kernel.mm.gentle import LOOK_NS, gentle_tag, sort_by_block
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
def _can_be_taken(k, page, lru, mode):
    """May this page be isolated? From any list in mode ISOLATE_BOTH, else only from the same one as the tag page.

    References by others do not keep a page on its list, they only keep it from being freed.
    Source: Linux v2.6.34 mm/vmscan.c:__isolate_lru_page.
    """
    pflags = k.page[page].pflags
    if not pflags & PG_LRU:
        return False
    if mode == ISOLATE_BOTH:
        return True
    is_active = 1 if pflags & PG_ACTIVE else 0
    is_anon = 1 if pflags & PG_SWAPBACKED else 0
    return is_active == mode and is_anon == (1 if lru < LRU_INACTIVE_FILE else 0)


@kfn
def _lacks_swap(k, page):
    """An anonymous page that could not be written out: it has no slot, and there is none left."""
    pflags = k.page[page].pflags
    return pflags & PG_SWAPBACKED and not pflags & PG_SWAPCACHE and k.stat.swap_free <= 0


@kfn
def _is_in_use(k, page):
    """Is the frame neither free nor the further part of a block?"""
    pflags = k.page[page].pflags
    return pflags != 0 and not pflags & (PG_BUDDY | PG_PCP | PG_TAIL)


@kfn
def _take_block(k, t, zone, page, lru, mode):
    """Take what can be had of the naturally aligned block round the tag page. Returns (taken, dirty, failed).

    failed: pages in use that could not be had, counted in mode ISOLATE_BOTH only, as the tracepoint of 2.6.36 does.
    """
    order = k.task[t].sc_order
    first = page >> order << order
    taken, dirty, failed = 0, 0, 0
    for candidate in range(first, first + (1 << order)):
        if candidate == page or candidate < k.zone[zone].start_page or candidate >= k.zone[zone].end_page:
            continue
        if _lacks_swap(k, candidate):
            continue
        if _can_be_taken(k, candidate, lru, mode):
            if k.page[candidate].pflags & PG_DIRTY:
                dirty += 1
            _take(k, t, candidate)
            taken += 1
        elif mode == ISOLATE_BOTH and _is_in_use(k, candidate):
            failed += 1
    return taken, dirty, failed


@kfn
def isolate_lru_pages(k, t, zone, lru, nr_to_scan, lumpy):
    """Take up to nr_to_scan pages off an inactive list's tail, into the task's private list. Returns pages scanned.

    For order > 0 each is the tag of a block whose other pages are tried too: one tag may bring 2^order pages.
    """
    return isolate_pages(k, t, zone, lru, nr_to_scan, ISOLATE_BOTH if lumpy else ISOLATE_INACTIVE)


@kfn
def isolate_pages(k, t, zone, lru, nr_to_scan, mode):
    """As isolate_lru_pages, of a list of either age; mode: ISOLATE_INACTIVE, ISOLATE_ACTIVE or ISOLATE_BOTH."""
    task = k.task[t]
    task.kept_head, task.kept_tail, task.kept_nr = NIL, NIL, 0
    queue = k.lru[zone * NR_LRU + lru]
    gentle = k.param.reclaim_lumpy == LUMPY_GENTLE and mode == ISOLATE_BOTH
    scanned, looked_at, contig_taken, contig_dirty, contig_failed = 0, 0, 0, 0, 0
    while scanned < nr_to_scan and queue.tail != NIL:
        page = queue.tail
        with_block = task.sc_order > 0
        if gentle:
            page, with_block, looked = gentle_tag(k, zone, page, task.sc_order)
            looked_at += looked
        scanned += 1
        _take(k, t, page)
        if with_block:
            taken, dirty, failed = _take_block(k, t, zone, page, lru, mode)
            scanned += taken
            contig_taken += taken
            contig_dirty += dirty
            contig_failed += failed
    if gentle:
        sort_by_block(k, t)
    spend(k, t, scanned * SCAN_NS + looked_at * LOOK_NS)
    emit(
        k,
        t,
        EV.mm_vmscan_lru_isolate,
        mode,
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
    if k.param.reclaim_lumpy == LUMPY_OFF:
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
