# SPDX-License-Identifier: GPL-2.0-or-later
"""What becomes of each page that was taken off the LRU: freed, written, kept or activated.

Source: Linux v2.6.34 mm/vmscan.c:shrink_page_list, pageout.
"""

from pageout.engine.clock import spend
from pageout.engine.constants import (
    ENTRY,
    GFP_IO,
    KICK_DIRTY,
    KICK_INODES,
    NIL,
    PAGE_ACTIVATE,
    PAGE_KEEP,
    PAGE_RECLAIM_CLEAN,
    PF_SWAPWRITE,
    PG_ACTIVE,
    PG_DIRTY,
    PG_ISOLATED,
    PG_LOCKED,
    PG_MAPPED,
    PG_PTE_WRITE,
    PG_RECLAIM,
    PG_SWAPBACKED,
    PG_SWAPCACHE,
    PG_WRITEBACK,
    PG_YOUNG,
    SPLIT_OFF,
    SWAP_CLUSTER_MAX,
    SWITCH_WRITEPAGE,
    YIELD,
)
from pageout.engine.kstack import call, leave_stack, ret, switch_stack, touch
from pageout.engine.ring import emit
from pageout.engine.waitqueue import timeout_jiffies
from pageout.jit import kfn
from pageout.kernel.block.bio import bdi_write_congested
from pageout.kernel.costs import FREE_NS
from pageout.kernel.frames import FN, LEAF
from pageout.kernel.fs.bdi_work import wakeup_flusher_threads
from pageout.kernel.fs.inode_order import target_inode, wakeup_flushers_for_zone
from pageout.kernel.mm.buddy import free_page
from pageout.kernel.mm.causes import note_reclaim_write
from pageout.kernel.mm.filemap import (
    clear_page_dirty_for_io,
    find_page,
    next_dirty,
    remove_from_page_cache,
    set_page_dirty,
    trace_removal,
)
from pageout.kernel.mm.isolate import count_isolated, is_kswapd, is_lumpy, may_enter_fs, page_check_references
from pageout.kernel.mm.swapfile import get_swap_page
from pageout.kernel.mm.throttle import note_congestion
from pageout.kernel.mm.writeback_rules import leaves_dirty
from pageout.kernel.policies import judge_dirty_page, judge_page
from pageout.vocabulary.tracepoints import EV

WRITEPAGE_FILE_ASYNC, WRITEPAGE_ANON_ASYNC = 0x02 | 0x08, 0x01 | 0x08
WRITEPAGE_FILE_SYNC, WRITEPAGE_ANON_SYNC = 0x02 | 0x04, 0x01 | 0x04
SUBMIT_DIRECT, SUBMIT_KSWAPD = 0, 1
CLEAN_WAITS = 50  # flushers-only: how often a high-order reclaimer waits for pages to become clean
_FREEING, _KEEPING = 10, 11


@kfn
def _keep(k, t, f, page):
    """Append a page to the list of survivors."""
    k.page[page].lru_next = NIL
    if f.d == NIL:
        f.c = page
    else:
        k.page[f.d].lru_next = page
    f.d = page


@kfn
def _free(k, t, f, page):
    """A clean page nobody uses: out of its file and back to the allocator."""
    pg = k.page[page]
    count_isolated(k, f.zone, page, -1)
    touch(k, t, LEAF.remove_mapping)
    trace_removal(k, t, page)
    remove_from_page_cache(k, page)
    pg.pflags &= ~PG_ISOLATED
    emit(k, t, EV.mm_pagevec_free, page, 0)
    free_page(k, t, page, 1)
    spend(k, t, FREE_NS)
    f.nr_reclaimed += 1


@kfn
def _may_write_to_queue(k, t, page):
    """Direct reclaimers skip congested devices unless they are writing to them anyway; kswapd does not care."""
    task = k.task[t]
    bdi = k.inode[k.page[page].mapping].bdi
    return bool(task.tflags & PF_SWAPWRITE) or not bdi_write_congested(k, bdi) or task.bdi_writing == bdi


@kfn
def _verdict_before_io(k, t, f, page):
    """Everything up to the decision to write: references, swap, unmapping. Returns a PAGE_ verdict."""
    pg = k.page[page]
    verdict = page_check_references(k, t, page)
    if verdict == PAGE_ACTIVATE and k.param.lru_split == SPLIT_OFF and not pg.pflags & PG_SWAPBACKED:
        verdict = PAGE_KEEP
    if k.param.policy_isolate:
        verdict = judge_page(k, t, page)
    if verdict == PAGE_ACTIVATE or verdict == PAGE_KEEP:
        return verdict
    if pg.pflags & PG_SWAPBACKED and not pg.pflags & PG_SWAPCACHE:
        if not k.task[t].sc_gfp & GFP_IO:
            return PAGE_KEEP
        if not get_swap_page(k, page):
            return PAGE_ACTIVATE
        set_page_dirty(k, t, page)
    if pg.pflags & PG_MAPPED:
        pg.pflags &= ~(PG_MAPPED | PG_YOUNG | PG_PTE_WRITE)
        k.inode[pg.mapping].nr_mapped -= 1
    return verdict


@kfn
def _leaves_to_flushers(k):
    """The designs in which direct reclaim writes swap but asks the flushers for the dirty file pages it meets."""
    return k.param.reclaim_kick == KICK_DIRTY or k.param.reclaim_kick == KICK_INODES


@kfn
def _may_write(k, t, f, page, verdict):
    """May this reclaimer write this dirty page now? A user's policy decides all but what the request forbids."""
    if k.param.policy_dirty_page:
        return may_enter_fs(k, t, page) and k.page[page].refs == 0 and judge_dirty_page(k, t, page) != 0
    if leaves_dirty(k, t, page) or verdict == PAGE_RECLAIM_CLEAN or not may_enter_fs(k, t, page):
        return False
    if not k.task[t].sc_writepage:
        if not _leaves_to_flushers(k) or not k.page[page].pflags & PG_SWAPBACKED:
            return False
    return k.page[page].refs == 0 and _may_write_to_queue(k, t, page)


@kfn
def _look_at(k, t, f, page, again):
    """One page in shrink_page_list, as far as no sleep is needed. Returns a label: free it, keep it, write it, wait."""
    FREE, KEEP, WRITE, WAIT = 1, 2, 3, 4
    task = k.task[t]
    pg = k.page[page]
    if pg.pflags & PG_LOCKED:
        return KEEP
    if not again:
        task.sc_scanned += 2 if pg.pflags & (PG_MAPPED | PG_SWAPCACHE) else 1
    if pg.pflags & PG_WRITEBACK:
        if not again:
            task.sc_writeback += 1
        return WAIT if f.b and may_enter_fs(k, t, page) else KEEP
    verdict = _verdict_before_io(k, t, f, page)
    if verdict == PAGE_ACTIVATE:
        pg.pflags |= PG_ACTIVE
        k.vm.pgactivate += 1
        return KEEP
    if verdict == PAGE_KEEP:
        return KEEP
    if pg.pflags & PG_DIRTY:
        if not pg.pflags & PG_SWAPBACKED:
            task.sc_dirty += 1
            if bdi_write_congested(k, k.inode[pg.mapping].bdi):
                task.sc_congested += 1
        if _may_write(k, t, f, page, verdict):
            return WRITE
        if k.param.reclaim_kick == KICK_INODES and not pg.pflags & PG_SWAPBACKED and not is_kswapd(k, t):
            target_inode(k, pg.mapping)
        return KEEP
    return FREE if pg.refs == 0 else KEEP


@kfn
def shrink_page_list(k, t, f):
    """Go through the task's private list: free the clean, write the dirty if allowed, keep the rest.

    f.a, f.b   in: zone, 1 for a pass that waits for each page.  Returns pages freed; survivors in task.kept_head.
    Sleeps: yes.
    """
    NEXT, PAGED_OUT, WAITED, WRITTEN_WAITED, FLUSHED, AROUND = ENTRY, 1, 2, 3, 4, 5
    task = k.task[t]
    pc = f.pc
    if pc == ENTRY and f.stage == 0:
        f.stage = 1
        f.zone, f.list_head, f.c, f.d = f.a, task.kept_head, NIL, NIL
        task.sc_dirty, task.sc_congested = 0, 0
        touch(k, t, LEAF.release_page)
    elif pc == AROUND:
        _after_pageout(k, t, f)
        if _next_around(k, t, f):
            return _pageout(k, t, f, f.page, AROUND)
        pc = _end_around(k, t, f)
        if pc == WAITED:
            return call(k, t, f, FN.wait_on_page, WRITTEN_WAITED, f.page, PG_WRITEBACK, 0)
        _settle(k, t, f, pc)
    elif pc == PAGED_OUT:
        pc = _after_pageout(k, t, f)
        if pc == WAITED:
            return call(k, t, f, FN.wait_on_page, WRITTEN_WAITED, f.page, PG_WRITEBACK, 0)
        _settle(k, t, f, pc)
    elif pc == WRITTEN_WAITED:
        _settle(k, t, f, _freeable_now(k, f.page))
    elif pc == FLUSHED:
        return _end_page_list(k, t, f)
    while True:
        again = pc == WAITED
        pc = NEXT
        if again:
            page = f.page
        else:
            page = f.list_head
            if page == NIL:
                return _kick_for_dirty(k, t, f, FLUSHED)
            f.list_head = k.page[page].lru_next
        action = _look_at(k, t, f, page, again)
        if action == 1:
            _free(k, t, f, page)
        elif action == 2:
            _keep(k, t, f, page)
        elif action == 3:
            if _begin_around(k, t, f, page):
                return _pageout(k, t, f, f.page, AROUND)
            return _pageout(k, t, f, page, PAGED_OUT)
        else:
            f.page = page
            return call(k, t, f, FN.wait_on_page, WAITED, page, PG_WRITEBACK, 0)


@kfn
def _settle(k, t, f, freeable):
    if freeable == _FREEING:
        _free(k, t, f, f.page)
    else:
        _keep(k, t, f, f.page)


@kfn
def _freeable_now(k, page):
    pflags = k.page[page].pflags
    return (
        _FREEING
        if not pflags & (PG_DIRTY | PG_WRITEBACK | PG_LOCKED | PG_MAPPED) and k.page[page].refs == 0
        else _KEEPING
    )


@kfn
def _pageout(k, t, f, page, resume):
    """Write one dirty page from the reclaiming task's own stack: what the article warns about.

    stack.switch=writepage: from a fresh one, as Arcangeli would have it (reference section 18.8).
    """
    pg = k.page[page]
    f.page = page
    note_reclaim_write(k, t, page)
    if k.param.stack_switch == SWITCH_WRITEPAGE and not is_kswapd(k, t):
        switch_stack(k, t)
    clear_page_dirty_for_io(k, page)
    pg.pflags |= PG_RECLAIM | PG_LOCKED
    submitter = SUBMIT_KSWAPD if is_kswapd(k, t) else SUBMIT_DIRECT
    if pg.pflags & PG_SWAPBACKED:
        return call(k, t, f, FN.swap_writepage, resume, page, submitter, 0)
    return call(k, t, f, k.inode[pg.mapping].writepage, resume, page, submitter, SWAP_CLUSTER_MAX * 4)


@kfn
def _begin_around(k, t, f, page):
    """Page-out clustering: write the window of the file round a dirty page too, lowest index first.

    Each page goes through the filesystem on this same stack; what is gone, locked or clean by then is passed over.
    Fields: f.pos the page reclaim wants, f.inode, f.index, f.left what is left of the window.
    Source: ->vm_writeback of 2.5.10-2.5.48 (reference section 18.6). assumed: the window is aligned, as swap's are.
    """
    window = k.param.reclaim_around
    if window == 0 or k.page[page].pflags & PG_SWAPBACKED:
        return False
    f.pos, f.inode = page, k.page[page].mapping
    f.index = k.page[page].index // window * window
    f.left = f.index + window
    if f.left > k.inode[f.inode].nr_slots:
        f.left = k.inode[f.inode].nr_slots
    return _next_around(k, t, f)


@kfn
def _next_around(k, t, f):
    """Find the next page of the window to write: into f.page. False if there is none."""
    while not k.inode[f.inode].unlinked:
        index = next_dirty(k, f.inode, f.index, f.left)
        if index == NIL:
            return False
        f.index = index + 1
        page = find_page(k, f.inode, index)
        if not k.page[page].pflags & (PG_LOCKED | PG_WRITEBACK) and _may_write_to_queue(k, t, page):
            f.page = page
            return True
    return False


@kfn
def _end_around(k, t, f):
    """The window is done: back to the page reclaim wanted, which a neighbour's cluster may have taken along."""
    f.page = f.pos
    pg = k.page[f.page]
    if pg.pflags & PG_WRITEBACK:
        pg.pflags |= PG_RECLAIM
        return 2 if f.b else _KEEPING
    return _freeable_now(k, f.page)


@kfn
def _after_pageout(k, t, f):
    """The filesystem has been called: count, and see what has become of the page. Returns a label."""
    if k.param.stack_switch == SWITCH_WRITEPAGE:
        leave_stack(k, t)
    pg = k.page[f.page]
    is_anon = pg.pflags & PG_SWAPBACKED
    if f.b:
        flags = WRITEPAGE_ANON_SYNC if is_anon else WRITEPAGE_FILE_SYNC
    else:
        flags = WRITEPAGE_ANON_ASYNC if is_anon else WRITEPAGE_FILE_ASYNC
    emit(k, t, EV.mm_vmscan_writepage, f.page, flags)
    k.vm.nr_vmscan_write += 1
    if f.b and pg.pflags & PG_WRITEBACK:
        return 2
    if not pg.pflags & PG_WRITEBACK:
        pg.pflags &= ~PG_RECLAIM
    return _freeable_now(k, f.page)


@kfn
def _kick_for_dirty(k, t, f, resume):
    """The design that leaves all writing to the flushers: ask for as many pages as were met dirty, and wait a little.

    Asking for 0 would mean everything, hence the guard.  Source: Gorman, V4 patch 8 (19 July 2010).
    """
    note_congestion(k, t, f.zone)
    if not _leaves_to_flushers(k) or is_kswapd(k, t) or k.task[t].sc_dirty == 0:
        return _end_page_list(k, t, f)
    if k.param.reclaim_kick == KICK_INODES:
        wakeup_flushers_for_zone(k, t, k.task[t].sc_dirty, f.zone)
    else:
        wakeup_flusher_threads(k, t, k.task[t].sc_dirty)
    if not k.param.reclaim_wait_dirty:
        return _end_page_list(k, t, f)
    return call(k, t, f, FN.congestion_wait, resume, timeout_jiffies(k, 10), 0, 0)


@kfn
def _end_page_list(k, t, f):
    task = k.task[t]
    if f.c != NIL and _leaves_to_flushers(k) and task.sc_lumpy_waits < CLEAN_WAITS:
        if is_lumpy(k, t, task.sc_priority) and not is_kswapd(k, t) and task.sc_dirty > 0 and not f.b:
            task.sc_lumpy_waits += 1
            f.list_head, f.c, f.d, f.pc = f.c, NIL, NIL, ENTRY
            task.sc_dirty, task.sc_congested = 0, 0
            return YIELD
    task.sc_lumpy_waits = 0
    task.kept_head, task.kept_tail = f.c, f.d
    return ret(k, t, f, f.nr_reclaimed)
