# SPDX-License-Identifier: GPL-2.0-or-later
"""ext4's writepages: the only place where ext4 allocates what was written; one extent at a time, far beyond the budget.

Source: Linux v2.6.34 fs/ext4/inode.c:ext4_da_writepages, write_cache_pages, __mpage_da_writepage, mpage_da_submit_io,
ext4_num_dirty_pages.  Differs: an extent is found by its dirty pages and allocated before any page of it is locked;
after an extent the search goes on behind it, not again from the start; no second try after -ENOSPC, since every delayed
page has its block reserved.
"""

from pageout.engine.clock import out_of_slice, spend
from pageout.engine.constants import (
    ENTRY,
    NIL,
    PG_DELAYED,
    PG_DIRTY,
    PG_LOCKED,
    PG_WRITEBACK,
    TURN_BANDWIDTH,
    YIELD,
)
from pageout.engine.kstack import call, ret, touch
from pageout.jit import kfn
from pageout.kernel.frames import FN, LEAF
from pageout.kernel.fs.extents import convert_page, group_bitmap, page_ready
from pageout.kernel.fs.journal import join_transaction
from pageout.kernel.mm.filemap import clear_page_dirty_for_io, find_page, next_dirty, set_page_dirty

MAX_WRITEBACK_BUMP = 128 * 256  # pages: max_writeback_mb_bump, 128 MiB
MAX_MBALLOC = 2048  # blocks that the allocator gives at once: 8 MiB


@kfn
def _in_extent(k, inode, index, delayed):
    """Is this page dirty, free to be written, and delayed or not as the extent's first is?"""
    page = find_page(k, inode, index)
    if page == NIL:
        return False
    pflags = k.page[page].pflags
    if not pflags & PG_DIRTY or pflags & (PG_LOCKED | PG_WRITEBACK):
        return False
    return (pflags & PG_DELAYED != 0) == (delayed != 0)


@kfn
def dirty_run(k, inode, index, most):
    """Dirty, delayed pages in a row from `index` on, at most so many. Source: ext4_num_dirty_pages."""
    end = k.inode[inode].nr_slots
    nr = 0
    while nr < most and index + nr < end and _in_extent(k, inode, index + nr, 1):
        nr += 1
    return nr


@kfn
def extent_length(k, inode, index, most, end):
    """Pages from `index` on that are allocated and written together."""
    delayed = k.page[find_page(k, inode, index)].pflags & PG_DELAYED
    nr = 1
    while nr < most and index + nr < end and _in_extent(k, inode, index + nr, delayed):
        nr += 1
    return nr


@kfn
def _desired(k, t, f):
    """How many pages ext4 would rather write than what it was asked for."""
    task = k.task[t]
    if task.wbc_cyclic:
        return dirty_run(k, f.inode, f.pos, MAX_WRITEBACK_BUMP)
    return task.wbc_nr * 8 if task.wbc_nr * 8 < MAX_WRITEBACK_BUMP else MAX_WRITEBACK_BUMP


@kfn
def _begin(k, t, f):
    """In the frame: f.pos start, f.left end of the range, f.c pages added to the budget, f.d end of an extent."""
    task = k.task[t]
    file = k.inode[f.a]
    f.inode = f.a
    f.pos = file.writeback_index if task.wbc_cyclic else 0
    f.flag = 1 if f.pos > 0 else 0
    f.index, f.left, f.d, f.total = f.pos, file.nr_slots, 0, 0
    f.nr_to_write = task.wbc_nr
    f.start_ns = f.pos  # the page the index of the next pass is counted from
    desired = _desired(k, t, f)
    if f.nr_to_write < desired:
        f.c = desired - f.nr_to_write
        f.nr_to_write = desired


@kfn
def _find_extent(k, t, f):
    """The next dirty page in range, the range wrapping round once if nothing was written before. Returns it, or NIL."""
    found = next_dirty(k, f.inode, f.index, f.left)
    if found == NIL and f.flag and f.total == 0:
        f.flag = 0
        f.index, f.left, f.start_ns = 0, f.pos, 0
        found = next_dirty(k, f.inode, f.index, f.left)
    return found


@kfn
def allocate_extent(k, t, inode, first, end):
    """Give the delayed pages from `first` to `end` blocks, in a transaction, with the group's bitmap in memory.

    flusher.turn=bandwidth: a bitmap in the running transaction is the journal's, and no flusher's.
    """
    touch(k, t, LEAF.ext4_allocate)
    k.stat.transactions += 1
    meta = k.fs[k.inode[inode].fs].meta_inode
    group = group_bitmap(k, inode, first)
    join_transaction(k, inode)
    if page_ready(k, meta, group) and k.param.flush_turn != TURN_BANDWIDTH:
        set_page_dirty(k, t, find_page(k, meta, group))
    for index in range(first, end):
        convert_page(k, inode, index)
    spend(k, t, 20 * (end - first))


@kfn
def ext4_da_writepages(k, t, f):
    """Allocate and write an inode's dirty pages, extent by extent, up to its run of dirty pages or 128 MiB.

    f.a, f.b   in: inode, submitter.  Leaves task.wbc_nr reduced by the pages written.  Sleeps: yes.
    """
    SEARCH, LOADED, WRITTEN, WAITED = 1, 2, 3, 4
    pc = f.pc
    if pc == ENTRY:
        _begin(k, t, f)
    elif pc == WRITTEN:
        f.index += 1
        f.nr_to_write -= 1
        f.total += 1
        if out_of_slice(k, t):
            f.pc = SEARCH
            return YIELD
    while True:
        if f.index < f.d:
            page = find_page(k, f.inode, f.index)
            if not _in_extent(k, f.inode, f.index, 0):
                f.index += 1
                continue
            clear_page_dirty_for_io(k, page)
            k.page[page].pflags |= PG_LOCKED
            return call(k, t, f, FN.mpage_da_submit_io, WRITTEN, page, f.b, 1)
        if f.nr_to_write <= 0:
            return _end(k, t, f)
        index = _find_extent(k, t, f)
        if index == NIL:
            return _end(k, t, f)
        f.index = index
        page = find_page(k, f.inode, index)
        pflags = k.page[page].pflags
        if pflags & PG_LOCKED or (pflags & PG_WRITEBACK and k.task[t].wbc_sync):
            return call(k, t, f, FN.wait_on_page, WAITED, page, pflags & (PG_LOCKED | PG_WRITEBACK), 0)
        if pflags & PG_WRITEBACK:
            f.index += 1
            continue
        if pflags & PG_DELAYED and pc != LOADED and not group_ready(k, f.inode, index):
            return call(k, t, f, FN.ext4_mb_load_buddy, LOADED, f.inode, index, 0)
        pc = SEARCH
        most = f.nr_to_write if f.nr_to_write < MAX_MBALLOC else MAX_MBALLOC
        f.d = index + extent_length(k, f.inode, index, most, f.left)
        if k.page[find_page(k, f.inode, index)].pflags & PG_DELAYED:
            allocate_extent(k, t, f.inode, index, f.d)


@kfn
def group_ready(k, inode, index):
    """Is the bitmap of the group in memory that the next block of the file is sought in?"""
    return page_ready(k, k.fs[k.inode[inode].fs].meta_inode, group_bitmap(k, inode, index))


@kfn
def _end(k, t, f):
    """Take the added budget back, so that the caller counts pages beyond what it asked for as less than nothing."""
    task = k.task[t]
    if task.wbc_cyclic or f.nr_to_write > 0:
        k.inode[f.inode].writeback_index = f.start_ns + f.total
    task.wbc_nr = f.nr_to_write - f.c
    return ret(k, t, f, 0)
