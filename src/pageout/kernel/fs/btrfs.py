# SPDX-License-Identifier: GPL-2.0-or-later
"""btrfs' writepages: a run of delayed pages gets new blocks at once, and neighbours go out in large bios.

Source: Linux v2.6.34 fs/btrfs/extent_io.c: extent_write_cache_pages, __extent_writepage;
fs/btrfs/inode.c:cow_file_range.
Differs: no trees of its own (no metadata is written), no checksum and submission threads; blocks that were copied are
free at once, not after the transaction's commit.
"""

from pageout.engine.clock import out_of_slice, spend
from pageout.engine.constants import ENTRY, NIL, PG_DELAYED, PG_LOCKED, PG_WRITEBACK, YIELD
from pageout.engine.kstack import call, ret, touch
from pageout.jit import kfn
from pageout.kernel.block.bio import bio_add
from pageout.kernel.frames import FN, LEAF
from pageout.kernel.fs.extents import convert_delayed
from pageout.kernel.fs.writepage import BIO_PAGES_A_TURN, count_written, start_page
from pageout.kernel.mm.filemap import block_of, clear_page_dirty_for_io, find_page, next_dirty

DELALLOC_THRESHOLD = 8192  # pages a delayed run may raise the budget to, unless it is shorter than twice that


@kfn
def raised_budget(nr_to_write, nr_delayed):
    """The budget after a delayed run was allocated: the run, or 8192 pages if it is far longer."""
    if nr_to_write >= nr_delayed:
        return nr_to_write
    return nr_delayed if nr_delayed < 2 * DELALLOC_THRESHOLD else DELALLOC_THRESHOLD


@kfn
def _write_one(k, t, f, page):
    """Put one page, its dirty mark taken, into the chain of bios."""
    pg = k.page[page]
    if pg.pflags & PG_DELAYED:
        touch(k, t, LEAF.btrfs_allocate)
        nr_delayed = convert_delayed(k, f.inode, f.index)
        f.nr_to_write = raised_budget(f.nr_to_write, nr_delayed)
        spend(k, t, 20 * nr_delayed)
        k.stat.transactions += 1
    start_page(k, t, page)
    began = f.d == NIL
    is_sync = k.task[t].wbc_sync if f.b >= 2 else 0
    f.d = bio_add(k, NIL, f.d, f.inode, f.index, block_of(k, f.inode, f.index), 1, is_sync, f.b)
    if began:
        f.bio = f.d
    f.count += 1
    f.nr_to_write -= 1
    f.index += 1
    if k.task[t].wbc_cyclic or f.nr_to_write > 0:
        k.inode[f.inode].writeback_index = f.index
    count_written(k, t, f.b, 1)


@kfn
def _submit(k, t, f, resume):
    touch(k, t, LEAF.btrfs_submit)
    bio = f.bio
    f.bio, f.d, f.count = NIL, NIL, 0
    return call(k, t, f, FN.submit_bio, resume, bio, 0, 0)


@kfn
def _end(k, t, f):
    k.task[t].wbc_nr = f.nr_to_write
    return ret(k, t, f, 0)


@kfn
def extent_write_cache_pages(k, t, f):
    """Write an inode's dirty pages in ascending order, at most task.wbc_nr, or a delayed run's length.

    f.a, f.b   in: inode, submitter.  Leaves task.wbc_nr reduced by the pages written.  Sleeps: yes.
    """
    NEXT, SUBMITTED, WAITED = 1, 2, 3
    task = k.task[t]
    if f.pc == ENTRY:
        f.inode, f.d = f.a, NIL
        file = k.inode[f.inode]
        f.nr_to_write = task.wbc_nr
        f.index = file.writeback_index if task.wbc_cyclic else 0
        f.flag = 1 if f.index > 0 else 0
        f.left = file.nr_slots
    while True:
        done = f.nr_to_write <= 0 and not task.wbc_sync
        late = out_of_slice(k, t)
        if f.bio != NIL and (done or late or f.count >= BIO_PAGES_A_TURN):
            return _submit(k, t, f, SUBMITTED)
        if done:
            return _end(k, t, f)
        if late and f.pc != NEXT:
            f.pc = NEXT
            return YIELD
        index = next_dirty(k, f.inode, f.index, f.left)
        if index == NIL:
            if f.bio != NIL:
                return _submit(k, t, f, SUBMITTED)
            if f.flag and f.stage == 0:
                f.flag, f.index = 0, 0
                continue
            return _end(k, t, f)
        f.index = index
        page = find_page(k, f.inode, index)
        busy = k.page[page].pflags & (PG_LOCKED | PG_WRITEBACK)
        if busy & PG_LOCKED or (busy and task.wbc_sync):
            if f.bio != NIL:
                return _submit(k, t, f, SUBMITTED)
            return call(k, t, f, FN.wait_on_page, WAITED, page, busy, 0)
        f.stage = 1
        if busy:
            f.index += 1
            continue
        f.pc = SUBMITTED
        clear_page_dirty_for_io(k, page)
        k.page[page].pflags |= PG_LOCKED
        _write_one(k, t, f, page)
