# SPDX-License-Identifier: GPL-2.0-or-later
"""Writing an inode's dirty pages as ext4 and XFS do since Linux 3.x: pages are counted, extents mapped, bios filled.

The budget is pages, not calls, and is kept to; blocks are chosen for a whole delayed run at once; a bio goes out when
it is full or the run ends; pages of one extent are locked together, and end together, when its last bio has. What
2.6.34 did stands in ext4.py and fs_writeback.py:write_cache_pages.
Source: Linux v6.1 fs/ext4/inode.c (ext4_writepages, mpage_prepare_extent_to_map), fs/ext4/page-io.c,
fs/iomap/buffered-io.c (iomap_writepages), mm/page-writeback.c:write_cache_pages.  Differs: pages are not tagged TOWRITE
when a sync write begins, so it also takes what was dirtied behind its place meanwhile;
blocks are final when chosen, not when the write is done (unwritten extents).
"""

from pageout.engine.clock import out_of_slice
from pageout.engine.constants import (
    ENTRY,
    FS_EXT4,
    NIL,
    PG_BH_DELAY,
    PG_DELAYED,
    PG_DIRTY,
    PG_LOCKED,
    PG_WRITEBACK,
    YIELD,
)
from pageout.engine.kstack import call, ret
from pageout.engine.waitqueue import sleep_on
from pageout.jit import kfn
from pageout.kernel.block.bio import bio_fits, ioend_add, ioend_alloc
from pageout.kernel.block.endio import ioend_put
from pageout.kernel.frames import FN
from pageout.kernel.fs.ext4 import MAX_MBALLOC, allocate_extent, extent_length, group_ready
from pageout.kernel.fs.journal import is_shadowed, join_transaction, may_reserve, reserve_extent, sleep_on_shadow
from pageout.kernel.fs.writepage import add_page, count_written
from pageout.kernel.fs.xfs_items import inode_locked, sleep_on_inode
from pageout.kernel.mm.filemap import block_of, clear_page_dirty_for_io, find_page, next_dirty

IOEND_BATCH_SIZE = 4096


@kfn
def writepages(k, t, f):
    """Write dirty pages from where the last pass ended, at most task.wbc_nr of them (all, if task.wbc_sync).

    f.a, f.b   in: inode, submitter.  Leaves task.wbc_nr reduced by the pages written.  Sleeps: yes.
    In the frame: f.index next page, f.left end of the range, f.c end of the extent that has its blocks, f.count pages
    in the bios not yet submitted, f.stage where the pass began, f.flag whether ext4 may yet look before that.
    """
    MORE, SUBMITTED, WAITED, MAPPED = 1, 2, 3, 4
    task = k.task[t]
    task.no_resched = 0
    if f.pc == ENTRY:
        _begin(k, t, f)
    while True:
        if out_of_slice(k, t) and f.total != f.nr_taken:
            f.pc, f.nr_taken = MORE, f.total
            task.no_resched = _never_looks(k, f)
            return YIELD
        index = NIL
        if f.nr_to_write > 0 or task.wbc_sync:
            index = _next(k, f)
        if f.work != NIL and _is_over(k, f, index):
            if f.count > 0:
                return _submit(k, t, f, SUBMITTED)
            ioend_put(k, f.work)
            f.work = NIL
        if index == NIL:
            if f.count > 0:
                return _submit(k, t, f, SUBMITTED)
            return _end(k, t, f, f.nr_to_write > 0 or task.wbc_sync)
        page = find_page(k, f.inode, index)
        pflags = k.page[page].pflags
        if pflags & PG_WRITEBACK and not task.wbc_sync:
            f.index = index + 1
            continue
        busy = pflags & (PG_WRITEBACK if index < f.c else PG_LOCKED | PG_WRITEBACK)
        is_unmapped = pflags & (PG_DELAYED | PG_BH_DELAY) and index >= f.c and _is_mapping(k, f.inode, pflags)
        if f.count > 0 and (busy or is_unmapped):
            return _submit(k, t, f, SUBMITTED)
        if busy:
            f.index = index
            return call(k, t, f, FN.wait_on_page, WAITED, page, busy, 0)
        f.index = index
        if is_unmapped:
            verb = _map(k, t, f, MAPPED)
            if verb >= 0:
                return verb
            continue
        block = block_of(k, f.inode, index)
        if f.count > 0 and not bio_fits(k, f.d, f.inode, index, block):
            return _submit(k, t, f, SUBMITTED)
        _take(k, t, f, page, block)


@kfn
def _never_looks(k, f):
    """1 where the kernel does not ask whether someone else should run: ext4, from one bio of an extent to the next.

    Its loop over the pages of an extent has no cond_resched(); what may sleep, and so asks, are the lookup before it
    and each bio.  Source: Linux v6.1 fs/ext4/inode.c:mpage_map_and_submit_buffers.  Differs: the lookup is part of it.
    """
    return 1 if f.count > 0 and f.index < f.c and k.fs[k.inode[f.inode].fs].kind == FS_EXT4 else 0


@kfn
def _begin(k, t, f):
    file = k.inode[f.a]
    f.inode, f.nr_to_write = f.a, k.task[t].wbc_nr
    f.stage = file.writeback_index if k.task[t].wbc_cyclic else 0
    if f.stage >= file.nr_slots:
        f.stage = 0
    f.flag = 1 if f.stage > 0 and k.fs[file.fs].kind == FS_EXT4 else 0
    f.index, f.left, f.c, f.d, f.bio = f.stage, file.nr_slots, 0, NIL, NIL


@kfn
def _next(k, f):
    """The next dirty page, or NIL; ext4, at the end of the file, goes on from its beginning to where it began."""
    found = next_dirty(k, f.inode, f.index, f.left)
    if found == NIL and f.flag:
        f.flag, f.index, f.left, f.c = 0, 0, f.stage, 0
        found = next_dirty(k, f.inode, 0, f.left)
    return found


@kfn
def _is_over(k, f, index):
    """Does the page at `index` (NIL: none) not belong to the extent whose pages end together?

    ext4: what was allocated at once. XFS: blocks in a row, up to 4096 pages.  Source: iomap_can_add_to_ioend.
    """
    if index == NIL:
        return True
    if k.fs[k.inode[f.inode].fs].kind == FS_EXT4:
        return index >= f.c
    nr_pages = k.bio[f.work].nr_pages
    return index != f.index or block_of(k, f.inode, index) != f.pos + 1 or nr_pages > IOEND_BATCH_SIZE


@kfn
def _is_mapping(k, inode, pflags):
    """Must the page be mapped? ext4 also looks up blocks that hold nothing yet: they are written as one extent."""
    return pflags & PG_DELAYED or k.fs[k.inode[inode].fs].kind == FS_EXT4


@kfn
def _unwritten_length(k, inode, index, most, end):
    """Pages from `index` on whose blocks lie in a row and hold nothing yet."""
    block = block_of(k, inode, index)
    nr = 1
    while nr < most and index + nr < end and block_of(k, inode, index + nr) == block + nr:
        page = find_page(k, inode, index + nr)
        if page == NIL:
            return nr
        pflags = k.page[page].pflags
        if not pflags & PG_DIRTY or not pflags & PG_BH_DELAY or pflags & (PG_LOCKED | PG_WRITEBACK):
            return nr
        nr += 1
    return nr


@kfn
def _map(k, t, f, resume):
    """Have blocks for the run that begins at f.index. Returns a verb, or -1 when it has them."""
    if k.fs[k.inode[f.inode].fs].kind != FS_EXT4:
        if inode_locked(k, t, f.inode):
            f.pc = resume
            return sleep_on_inode(k, t, f.inode)
        return call(k, t, f, FN.xfs_iomap_write_allocate, resume, f.inode, f.index, 0)
    number = k.inode[f.inode].fs
    if not may_reserve(k, number):
        f.pc = resume
        return sleep_on(k, t, k.fs[number].wait_queue, 0, 0)
    if is_shadowed(k, f.inode):
        f.pc = resume
        return sleep_on_shadow(k, t, f.inode)
    most = MAX_MBALLOC
    if not k.task[t].wbc_sync and f.nr_to_write < most:
        most = f.nr_to_write
    if k.page[find_page(k, f.inode, f.index)].pflags & PG_BH_DELAY:
        f.c = f.index + _unwritten_length(k, f.inode, f.index, most, f.left)
        join_transaction(k, f.inode)
    elif not group_ready(k, f.inode, f.index):
        return call(k, t, f, FN.ext4_mb_load_buddy, resume, f.inode, f.index, 0)
    else:
        f.c = f.index + extent_length(k, f.inode, f.index, most, f.left)
        allocate_extent(k, t, f.inode, f.index, f.c)
    for index in range(f.index, f.c):
        k.page[find_page(k, f.inode, index)].pflags |= PG_LOCKED
    f.work = ioend_alloc(k, f.b)
    k.bio[f.work].inode = f.inode
    reserve_extent(k, number, 1)
    return -1


@kfn
def _take(k, t, f, page, block):
    """Put the page at f.index under writeback and into the bio that is being filled."""
    clear_page_dirty_for_io(k, page)
    k.page[page].pflags |= PG_LOCKED
    k.page[page].pflags &= ~PG_BH_DELAY
    f.pos = block
    f.bio = add_page(k, t, f, page)
    if f.work == NIL and k.fs[k.inode[f.inode].fs].kind != FS_EXT4:
        f.work = ioend_alloc(k, f.b)
    if f.work != NIL:
        ioend_add(k, f.work, f.d)
        k.bio[f.work].nr_pages += 1
    count_written(k, t, f.b, 1)
    f.index += 1
    f.count += 1
    f.total += 1
    f.nr_to_write -= 1


@kfn
def _submit(k, t, f, resume):
    bio = f.bio
    f.bio, f.d, f.count = NIL, NIL, 0
    return call(k, t, f, FN.submit_bio, resume, bio, 0, 0)


@kfn
def _end(k, t, f, at_end):
    """Remember where to go on: behind the last page; others than ext4, at the end of the file, at its beginning."""
    task, file = k.task[t], k.inode[f.inode]
    if task.wbc_cyclic or f.nr_to_write > 0:
        is_ext4 = k.fs[file.fs].kind == FS_EXT4
        file.writeback_index = f.index if is_ext4 or not at_end else 0
    task.wbc_nr = f.nr_to_write
    return ret(k, t, f, 0)
