# SPDX-License-Identifier: GPL-2.0-or-later
"""Page faults: shared file mappings and anonymous memory.

Source: Linux v2.6.34 mm/memory.c:__do_fault, do_anonymous_page, do_swap_page; mm/filemap.c:filemap_fault.
Differs: no swap readahead; a page comes back from swap alone.
"""

from pageout.engine.clock import spend
from pageout.engine.constants import (
    ENTRY,
    GFP_HIGHUSER_MOVABLE,
    GFP_ZERO,
    NIL,
    PG_ACTIVE,
    PG_DIRTY,
    PG_ISOLATED,
    PG_LOCKED,
    PG_LRU,
    PG_MAPPED,
    PG_PTE_WRITE,
    PG_SWAPBACKED,
    PG_SWAPCACHE,
    PG_UPTODATE,
    PG_WRITEBACK,
    PG_YOUNG,
    READ,
)
from pageout.engine.kstack import call, ret
from pageout.jit import kfn
from pageout.kernel.block.bio import bio_alloc
from pageout.kernel.costs import FAULT_NS, LOOKUP_NS
from pageout.kernel.frames import FN
from pageout.kernel.fs.extents import get_branch_of, metadata_cached, prepare_block
from pageout.kernel.fs.folios import folio_first, folio_next, has_large_folios
from pageout.kernel.fs.read_write import copy_cost
from pageout.kernel.fs.xfs_items import inode_locked, sleep_on_inode
from pageout.kernel.mm.buddy import free_page, try_alloc
from pageout.kernel.mm.filemap import add_to_page_cache, find_page, remove_from_page_cache, set_page_dirty
from pageout.kernel.mm.memcontrol import commit_charge, may_charge
from pageout.kernel.mm.page_writeback import ratelimit_reached
from pageout.kernel.mm.readahead import ADVICE_RANDOM, ADVICE_SEQUENTIAL, advice_of, plan_readahead, ra_pages
from pageout.kernel.mm.swap import lru_del, lru_drain_page
from pageout.kernel.mm.swapfile import free_swap_slot

ENOMEM = -12
MMAP_LOTSAMISS = 100
GFP_ANON = GFP_HIGHUSER_MOVABLE | GFP_ZERO
ANON_FLAGS = PG_SWAPBACKED | PG_ACTIVE | PG_MAPPED | PG_YOUNG | PG_UPTODATE | PG_PTE_WRITE


@kfn
def touch_mapped(k, t, inode, index, is_write, nbytes):
    """A load or store through a page table that already allows it. Returns 1, or 0 if it faults."""
    page = find_page(k, inode, index)
    if page == NIL:
        return 0
    pg = k.page[page]
    if not pg.pflags & PG_MAPPED or (is_write and not pg.pflags & PG_PTE_WRITE):
        return 0
    pg.pflags |= PG_YOUNG
    copy_cost(k, t, nbytes)
    return 1


@kfn
def _map(k, page):
    pg = k.page[page]
    if not pg.pflags & PG_MAPPED:
        k.inode[pg.mapping].nr_mapped += 1
    pg.pflags |= PG_MAPPED | PG_YOUNG


@kfn
def _read_around(k, t, f, resume):
    """Read for a fault: on in a sequence, else the pages around it, or the page alone once that has missed too often.

    Source: Linux v2.6.34 mm/filemap.c:do_sync_mmap_readahead.
    """
    task = k.task[t]
    task.readahead_mark = 0
    most = ra_pages(k, f.a)
    advice = advice_of(k, t)
    if advice == ADVICE_RANDOM:  # VM_RAND_READ
        return call(k, t, f, FN.do_readahead, resume, f.a, f.b, 1)
    if f.b == task.prev_index + 1 or advice == ADVICE_SEQUENTIAL:
        start, nr_pages, mark = plan_readahead(k, t, f.a, f.b, most, 0)
        task.readahead_mark = mark
        return call(k, t, f, FN.do_readahead, resume, f.a, start, nr_pages)
    task.mmap_miss += 1
    if task.mmap_miss > MMAP_LOTSAMISS:
        return call(k, t, f, FN.do_readahead, resume, f.a, f.b, 1)
    first = f.b - most // 2
    return call(k, t, f, FN.do_readahead, resume, f.a, first if first > 0 else 0, most)


@kfn
def page_fault(k, t, f):
    """A fault in a shared file mapping: read the page in, map it; for a store make it writable and dirty.

    f.a, f.b, f.c   in: inode, page index, 1 for a store.  Returns 0, -ENOSPC or -ENOMEM.  Sleeps: yes.
    """
    READ_IN, UNLOCKED, THROTTLED, MAPPED = 1, 2, 3, 4
    task = k.task[t]
    if f.pc == MAPPED and task.retval < 0:
        task.io_error = task.retval
        return ret(k, t, f, task.retval)
    if f.pc == ENTRY:
        spend(k, t, FAULT_NS)
        k.vm.pgfault += 1
    elif f.pc == THROTTLED:
        return ret(k, t, f, 0)
    page = find_page(k, f.a, f.b)
    if page == NIL:
        if f.pc == READ_IN and (task.killed or f.count > 8):
            return ret(k, t, f, ENOMEM)
        f.count += 1
        k.vm.pgmajfault += 1
        return _read_around(k, t, f, READ_IN)
    if k.page[page].pflags & PG_LOCKED:
        return call(k, t, f, FN.wait_on_page, UNLOCKED, page, PG_LOCKED, 0)
    _map(k, page)
    if task.mmap_miss > 0 and f.count == 0:
        task.mmap_miss -= 1
    task.prev_index = f.b
    if not f.c:
        return ret(k, t, f, 0)
    if k.inode[f.a].copy_to != NIL:
        return call(k, t, f, FN.copyup_dentry, MAPPED, f.a, 0, 0)
    if k.slot[k.inode[f.a].slot_start + f.b].block == NIL:
        if inode_locked(k, t, f.a):
            f.pc = UNLOCKED
            return sleep_on_inode(k, t, f.a)
        if not metadata_cached(k, f.a, f.b):
            return call(k, t, f, get_branch_of(k, f.a), MAPPED, f.a, f.b, 0)
    failed = prepare_block(k, t, f.a, f.b, page)
    if failed:
        k.stat.enospc += 1
        task.io_error = failed
        return ret(k, t, f, failed)
    if not set_page_dirty(k, t, page):
        k.stat.rewrites_saved += 1
    elif has_large_folios(k, f.a):
        _dirty_rest(k, t, f.a, f.b)
    k.page[page].pflags |= PG_PTE_WRITE
    chunk = ratelimit_reached(k, t, k.inode[f.a].bdi)
    if chunk > 0:
        return call(k, t, f, FN.balance_dirty_pages, THROTTLED, k.inode[f.a].bdi, chunk, 0)
    return ret(k, t, f, 0)


@kfn
def _dirty_rest(k, t, inode, index):
    """A store makes the whole folio dirty, and counts as so many pages for who stores.

    Source: Linux v6.18 mm/memory.c:fault_dirty_shared_page, mm/page-writeback.c:folio_account_dirtied.
    """
    for other in range(folio_first(k, inode, index), folio_next(k, inode, index)):
        page = find_page(k, inode, other)
        pflags = k.page[page].pflags
        if pflags & (PG_DIRTY | PG_LOCKED | PG_WRITEBACK) or not pflags & PG_UPTODATE:
            continue
        if k.slot[k.inode[inode].slot_start + other].block != NIL and not prepare_block(k, t, inode, other, page):
            set_page_dirty(k, t, page)


@kfn
def anonymous_fault(k, t, f):
    """A store to anonymous memory: a fresh zeroed page, or one that was swapped out.

    f.a, f.b   in: the memory's inode, page index.  Returns 0 or -ENOMEM.  Sleeps: yes.
    """
    ALLOCATED, SWAPPED_IN, UNLOCKED, CHARGED = 1, 2, 3, 4
    task = k.task[t]
    if f.pc == ENTRY:
        spend(k, t, FAULT_NS)
        k.vm.pgfault += 1
    elif f.pc == ALLOCATED:
        if task.retval == NIL:
            return ret(k, t, f, ENOMEM)
        return _new_anonymous(k, t, f, task.retval, SWAPPED_IN)
    elif f.pc == CHARGED and task.retval < 0:
        return ret(k, t, f, ENOMEM)
    page = find_page(k, f.a, f.b)
    if page == NIL:
        if not may_charge(k, t):
            return call(k, t, f, FN.try_charge_memcg, CHARGED, GFP_ANON, 0, 0)
        page = try_alloc(k, t, 0, GFP_ANON)
        if page == NIL:
            return call(k, t, f, FN.alloc_pages, ALLOCATED, 0, GFP_ANON, 0)
        return _new_anonymous(k, t, f, page, SWAPPED_IN)
    if k.page[page].pflags & PG_LOCKED:
        return call(k, t, f, FN.wait_on_page, UNLOCKED, page, PG_LOCKED, 0)
    _map(k, page)
    pg = k.page[page]
    if pg.pflags & PG_SWAPCACHE and not pg.pflags & PG_WRITEBACK:
        free_swap_slot(k, f.a, f.b)
        pg.pflags &= ~(PG_SWAPCACHE | PG_DIRTY)
    elif pg.pflags & PG_SWAPCACHE:
        pg.pflags |= PG_DIRTY
    pg.pflags |= PG_PTE_WRITE
    return ret(k, t, f, 0)


@kfn
def _new_anonymous(k, t, f, page, SWAPPED_IN):
    """Install a fresh page: zeroed, or locked and being read from swap."""
    if find_page(k, f.a, f.b) != NIL:
        free_page(k, t, page, 0)
        f.pc = SWAPPED_IN
        return 0
    block = k.slot[k.inode[f.a].slot_start + f.b].block
    commit_charge(k, t, page)
    if block == NIL:
        add_to_page_cache(k, t, page, f.a, f.b, ANON_FLAGS & ~PG_ACTIVE if k.param.reclaim_engine else ANON_FLAGS)
        k.inode[f.a].nr_mapped += 1
        spend(k, t, k.param.clear_ns + LOOKUP_NS)
        return ret(k, t, f, 0)
    k.vm.pgmajfault += 1
    k.vm.pswpin += 1
    add_to_page_cache(k, t, page, f.a, f.b, PG_SWAPBACKED | PG_SWAPCACHE | PG_LOCKED)
    bio = bio_alloc(k, f.a, f.b, block, READ, 1, 0)
    return call(k, t, f, FN.submit_bio, SWAPPED_IN, bio, 0, 0)


@kfn
def free_anonymous(k, t, inode, index):
    """Discard one page of anonymous memory at exit. Returns 0 if it is in use by I/O or reclaim right now."""
    page = find_page(k, inode, index)
    if page != NIL:
        lru_drain_page(k, page)
        pg = k.page[page]
        if pg.pflags & (PG_LOCKED | PG_WRITEBACK | PG_ISOLATED):
            return 0
        if pg.pflags & PG_LRU:
            lru_del(k, page)
        remove_from_page_cache(k, page)
        free_page(k, t, page, 0)
    free_swap_slot(k, inode, index)
    return 1
