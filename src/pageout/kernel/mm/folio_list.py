# SPDX-License-Identifier: GPL-2.0-or-later
"""What becomes of each inactive page that reclaim of 6.x has isolated: freed, marked, set aside or written to swap.

File pages are hardly ever written from here: a dirty one is marked for immediate reclaim and put out of the way; the
flushers write it, and the end of its I/O moves it to the tail of its list.
Source: Linux v6.1 mm/vmscan.c:shrink_folio_list, pageout, folio_check_references. Differs: a page table's access is one
bit a page, whoever maps it; executable mappings are not known; no memory tiers, no cgroups of v1.
"""

from pageout.engine.clock import spend
from pageout.engine.constants import (
    ENTRY,
    FS_BTRFS,
    FS_UNION,
    FS_XFS,
    GFP_IO,
    NIL,
    PG_ACTIVE,
    PG_DIRTY,
    PG_ISOLATED,
    PG_LOCKED,
    PG_MAPPED,
    PG_PTE_WRITE,
    PG_RECLAIM,
    PG_REFERENCED,
    PG_SWAPBACKED,
    PG_SWAPCACHE,
    PG_WRITEBACK,
    PG_YOUNG,
    SWAP_CLUSTER_MAX,
    WRITEPAGE_NEVER,
)
from pageout.engine.kstack import call, ret, touch
from pageout.engine.ring import emit
from pageout.jit import kfn
from pageout.kernel.frames import FN, LEAF
from pageout.kernel.mm.buddy import free_page
from pageout.kernel.mm.causes import note_reclaim_write
from pageout.kernel.mm.filemap import clear_page_dirty_for_io, remove_from_page_cache, set_page_dirty
from pageout.kernel.mm.free_area import zone_of
from pageout.kernel.mm.isolate import count_isolated, is_kswapd, may_enter_fs
from pageout.kernel.mm.swap import age_nonresident, lru_add
from pageout.kernel.mm.swapfile import get_swap_page
from pageout.kernel.mm.workingset import workingset_eviction
from pageout.vocabulary.tracepoints import EV

REF_RECLAIM, REF_CLEAN, REF_KEEP, REF_ACTIVATE = 0, 1, 2, 3
FREE, KEEP, ACTIVATE, WRITE = 1, 2, 3, 4  # what is done with a page
WRITEPAGE_FILE_ASYNC, WRITEPAGE_ANON_ASYNC = 0x02 | 0x08, 0x01 | 0x08
SUBMIT_DIRECT, SUBMIT_KSWAPD = 0, 1


@kfn
def folio_check_references(k, page):
    """Was the page used since it was last looked at? Clears the marks and gives the verdict: REF_*.

    With lru=gen a page is marked as it is found young, before this looks at the mark: once is enough.
    """
    pg = k.page[page]
    pflags = pg.pflags
    pg.pflags = pflags & ~(PG_YOUNG | PG_REFERENCED)
    if pflags & PG_YOUNG:
        pg.pflags |= PG_REFERENCED
        return REF_ACTIVATE if pflags & PG_REFERENCED or k.param.lru_gen else REF_KEEP
    if pflags & PG_REFERENCED and not pflags & PG_SWAPBACKED:
        return REF_CLEAN
    return REF_RECLAIM


@kfn
def _count_state(k, t, page):
    """Count a dirty page or one under writeback in what the batch has met; of files only."""
    task, pflags = k.task[t], k.page[page].pflags
    if pflags & PG_SWAPBACKED or not pflags & (PG_DIRTY | PG_WRITEBACK):
        return
    task.st_dirty += 1
    if not pflags & PG_WRITEBACK:
        task.st_unqueued += 1
    elif pflags & PG_RECLAIM:
        task.st_congested += 1


@kfn
def _under_writeback(k, t, page):
    """A page on its way to the device: tell kswapd to wait if it comes round a second time, else mark it."""
    task, pg = k.task[t], k.page[page]
    if is_kswapd(k, t) and pg.pflags & PG_RECLAIM and k.node.writeback:
        task.st_immediate += 1
    else:
        pg.pflags |= PG_RECLAIM
        task.st_writeback += 1
    return ACTIVATE


@kfn
def _is_left_to_flushers(k, t, page):
    """May nobody write this dirty file page from reclaim now? Only kswapd may, and only what it meets again."""
    pg = k.page[page]
    if pg.pflags & PG_SWAPBACKED:
        return False
    return not (is_kswapd(k, t) and pg.pflags & PG_RECLAIM and k.node.dirty)


@kfn
def has_writepage(k, page):
    """Can a page of this file be written from reclaim: is it of ext2, ext3 or ext4, and does the kernel do so?"""
    if k.param.file_writepage == WRITEPAGE_NEVER:
        return False
    kind = k.fs[k.inode[k.page[page].mapping].fs].kind
    return kind != FS_XFS and kind != FS_BTRFS and kind != FS_UNION


@kfn
def _dirty(k, t, page, references):
    """A dirty page: what becomes of it."""
    pg = k.page[page]
    if _is_left_to_flushers(k, t, page):
        k.node.nr_vmscan_immediate_reclaim += 1
        pg.pflags |= PG_RECLAIM
        return ACTIVATE
    if references == REF_CLEAN or not may_enter_fs(k, t, page) or not k.task[t].sc_writepage or pg.refs > 0:
        return KEEP
    if not pg.pflags & PG_SWAPBACKED and not has_writepage(k, page):
        return ACTIVATE
    return WRITE


@kfn
def look_at_folio(k, t, page):
    """The decision table, first row that holds; no sleep. Returns FREE, KEEP, ACTIVATE or WRITE."""
    task, pg = k.task[t], k.page[page]
    if pg.pflags & PG_LOCKED:
        return KEEP
    task.sc_scanned += 1
    if k.param.lru_gen and pg.pflags & PG_MAPPED and pg.pflags & PG_REFERENCED:
        return KEEP
    _count_state(k, t, page)
    if pg.pflags & PG_WRITEBACK:
        return _under_writeback(k, t, page)
    references = folio_check_references(k, page)
    if references == REF_ACTIVATE:
        return ACTIVATE
    if references == REF_KEEP:
        task.st_ref_keep += 1
        return KEEP
    if pg.pflags & PG_SWAPBACKED and not pg.pflags & PG_SWAPCACHE:
        if not task.sc_gfp & GFP_IO:
            return KEEP
        if not get_swap_page(k, page):
            return ACTIVATE
        set_page_dirty(k, t, page)
    if pg.pflags & PG_MAPPED:
        pg.pflags &= ~(PG_MAPPED | PG_YOUNG | PG_PTE_WRITE)
        k.inode[pg.mapping].nr_mapped -= 1
    if pg.pflags & PG_DIRTY:
        return _dirty(k, t, page, references)
    return FREE if pg.refs == 0 else KEEP


@kfn
def _keep(k, f, page):
    k.page[page].lru_next = NIL
    if f.d == NIL:
        f.c = page
    else:
        k.page[f.d].lru_next = page
    f.d = page


@kfn
def _free(k, t, f, page):
    """Out of its file, leaving a shadow, and back to the allocator."""
    pg = k.page[page]
    count_isolated(k, zone_of(k, page), page, -1)
    touch(k, t, LEAF.remove_mapping)
    inode, index = pg.mapping, pg.index
    shadow = workingset_eviction(k, page, k.task[t].sc_memcg)
    remove_from_page_cache(k, page)
    k.slot[k.inode[inode].slot_start + index].page = shadow
    pg.pflags &= ~PG_ISOLATED
    emit(k, t, EV.mm_pagevec_free, page, 0)
    free_page(k, t, page, 1)
    spend(k, t, k.param.free_ns)
    f.nr_reclaimed += 1


@kfn
def _begin(k, t, f):
    task = k.task[t]
    f.list_head, f.c, f.d = task.kept_head, NIL, NIL
    task.st_dirty, task.st_congested, task.st_unqueued, task.st_writeback, task.st_immediate = 0, 0, 0, 0, 0
    task.st_activate_anon, task.st_activate_file, task.st_ref_keep, task.st_unmap_fail, task.st_pageout = 0, 0, 0, 0, 0
    touch(k, t, LEAF.release_page)


@kfn
def shrink_folio_list(k, t, f):
    """Go through the task's private list. Returns pages freed; survivors in task.kept_head, counts in task.st_*.

    Sleeps: where a page is written.
    """
    WRITTEN = 1
    task = k.task[t]
    if f.pc == ENTRY:
        _begin(k, t, f)
    else:
        _after_pageout(k, t, f)
    while f.list_head != NIL:
        page = f.list_head
        f.list_head = k.page[page].lru_next
        action = look_at_folio(k, t, page)
        if action == FREE:
            _free(k, t, f, page)
        elif action == WRITE:
            return _pageout(k, t, f, page, WRITTEN)
        else:
            if action == ACTIVATE:
                _set_active(k, t, page)
            _keep(k, f, page)
    task.kept_head, task.kept_tail = f.c, f.d
    return ret(k, t, f, f.nr_reclaimed)


@kfn
def _set_active(k, t, page):
    """Put aside: it will go to the head of the active list."""
    pg = k.page[page]
    pg.pflags |= PG_ACTIVE
    k.vm.pgactivate += 1
    if pg.pflags & PG_SWAPBACKED:
        k.task[t].st_activate_anon += 1
    else:
        k.task[t].st_activate_file += 1


@kfn
def _pageout(k, t, f, page, resume):
    """Write one page: anonymous to its slot, or a file's where its block is chosen (v6.1)."""
    pg = k.page[page]
    f.page = page
    note_reclaim_write(k, t, page)
    clear_page_dirty_for_io(k, page)
    pg.pflags |= PG_RECLAIM | PG_LOCKED
    submitter = SUBMIT_KSWAPD if is_kswapd(k, t) else SUBMIT_DIRECT
    if pg.pflags & PG_SWAPBACKED:
        return call(k, t, f, FN.swap_writepage, resume, page, submitter, 0)
    return call(k, t, f, k.inode[pg.mapping].writepage, resume, page, submitter, SWAP_CLUSTER_MAX)


@kfn
def _after_pageout(k, t, f):
    """The write is on its way, done at once, or refused: count it; free the page if it is clean already."""
    pg = k.page[f.page]
    if not pg.pflags & PG_WRITEBACK:
        pg.pflags &= ~PG_RECLAIM
    flags = WRITEPAGE_ANON_ASYNC if pg.pflags & PG_SWAPBACKED else WRITEPAGE_FILE_ASYNC
    emit(k, t, EV.mm_vmscan_write_folio, f.page, flags)
    k.vm.nr_vmscan_write += 1
    k.task[t].st_pageout += 1
    if pg.pflags & PG_DIRTY:  # refused: as much work as putting it under writeback
        spend(k, t, k.param.writepage_ns)
    if not pg.pflags & (PG_DIRTY | PG_WRITEBACK | PG_LOCKED | PG_MAPPED) and pg.refs == 0:
        _free(k, t, f, f.page)
    else:
        _keep(k, f, f.page)


@kfn
def putback(k, t):
    """move_folios_to_lru: the survivors go to the head of the list they belong to now."""
    page = k.task[t].kept_head
    while page != NIL:
        pg = k.page[page]
        following = pg.lru_next
        count_isolated(k, zone_of(k, page), page, -1)
        pg.pflags &= ~PG_ISOLATED
        if pg.pflags & PG_ACTIVE:
            age_nonresident(k, pg.memcg)
        lru_add(k, page)
        page = following
