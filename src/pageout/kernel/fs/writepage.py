# SPDX-License-Identifier: GPL-2.0-or-later
"""What a filesystem does when asked to write a page: choose blocks, gather neighbours, submit.

Source: Linux v2.6.34 fs/xfs/linux-2.6/xfs_aops.c, mm/page_io.c.
"""

from pageout.engine.clock import out_of_slice, spend
from pageout.engine.constants import (
    ENTRY,
    NIL,
    PG_DELAYED,
    PG_DIRTY,
    PG_LOCKED,
    PG_WRITEBACK,
    YIELD,
)
from pageout.engine.kstack import call, ret, touch
from pageout.engine.waitqueue import wake_page
from pageout.jit import kfn
from pageout.kernel.block.bio import bio_add
from pageout.kernel.costs import WRITEPAGE_NS
from pageout.kernel.frames import FN, LEAF
from pageout.kernel.fs.extents import convert_delayed
from pageout.kernel.mm.filemap import (
    block_of,
    clear_page_dirty_for_io,
    set_page_writeback,
)

METADATA_READ_EVERY = 16  # assumed: one allocation in so many finds its btree block not cached
BIO_PAGES_A_TURN = 256


@kfn
def count_written(k, t, submitter, nr_pages):
    """Who submitted the pages: direct reclaim, kswapd, flusher or writer."""
    if submitter == 0:
        k.stat.written_direct += nr_pages
    elif submitter == 1:
        k.stat.written_kswapd += nr_pages
    elif submitter == 2:
        k.stat.written_flusher += nr_pages
    else:
        k.stat.written_writer += nr_pages
    k.task[t].written_pages += nr_pages


@kfn
def start_page(k, t, page):
    """Put a page, clean by now, under writeback and unlock it."""
    set_page_writeback(k, page)
    if k.page[page].pflags & PG_LOCKED:
        k.page[page].pflags ^= PG_LOCKED
        wake_page(k, page)
    spend(k, t, WRITEPAGE_NS)


@kfn
def _allocate(k, t, inode, index):
    """Delayed pages get their blocks now, in a transaction, on whatever stack this is."""
    k.stat.transactions += 1
    if k.stat.transactions % METADATA_READ_EVERY == 0:
        touch(k, t, LEAF.xfs_read_metadata)
    else:
        touch(k, t, LEAF.xfs_allocate)
    spend(k, t, 20 * convert_delayed(k, inode, index))


@kfn
def _may_join(k, inode, index, block):
    """May the page at `index` join a cluster that has come to `block`? Returns the page, or NIL."""
    if index >= k.inode[inode].nr_slots:
        return NIL
    slot = k.slot[k.inode[inode].slot_start + index]
    if slot.page == NIL or slot.block != block:
        return NIL
    pflags = k.page[slot.page].pflags
    if not pflags & PG_DIRTY or pflags & (PG_LOCKED | PG_WRITEBACK | PG_DELAYED):
        return NIL
    return slot.page


@kfn
def xfs_vm_writepage(k, t, f):
    """Write a page and, from the same extent, the dirty pages that follow it, up to the budget.

    f.a, f.b, f.c   in: page (its dirty mark taken by the caller), submitter, budget in pages (four times what the
    caller asked for).  Returns pages beyond the first that went along.  Sleeps: yes.
    """
    CLUSTER, SUBMITTED = 1, 2
    pc = f.pc
    if pc == ENTRY:
        pg = k.page[f.a]
        f.inode, f.index = pg.mapping, pg.index
        if pg.pflags & PG_DELAYED:
            _allocate(k, t, f.inode, f.index)
        f.pos = block_of(k, f.inode, f.index)
        f.d = NIL
        f.bio = _add(k, t, f, f.a)
        pc = CLUSTER
    while True:
        if pc == SUBMITTED:
            f.bio, f.d = NIL, NIL
            if f.stage or f.left >= f.c:
                break
            if out_of_slice(k, t):
                f.pc = SUBMITTED
                return YIELD
        turn = 0
        while f.left < f.c and turn < BIO_PAGES_A_TURN:
            page = _may_join(k, f.inode, f.index + 1, f.pos + 1)
            if page == NIL:
                f.stage = 1
                break
            clear_page_dirty_for_io(k, page)
            f.index += 1
            f.pos += 1
            first = _add(k, t, f, page)
            if f.bio == NIL:
                f.bio = first
            f.left += 1
            turn += 1
        if f.bio == NIL:
            break
        return call(k, t, f, FN.submit_bio, SUBMITTED, f.bio, 0, 0)
    count_written(k, t, f.b, f.left + 1)
    return ret(k, t, f, f.left)


@kfn
def _add(k, t, f, page):
    """Put a page under writeback and into the chain; returns the chain's first bio if it began with this page."""
    start_page(k, t, page)
    began = f.d == NIL
    pg = k.page[page]
    f.d = bio_add(k, NIL, f.d, pg.mapping, pg.index, f.pos, 1, k.task[t].wbc_sync if f.b >= 2 else 0, f.b)
    return f.d if began else f.bio


@kfn
def swap_writepage(k, t, f):
    """Write one anonymous page to its swap slot. f.a, f.b in: page, submitter. Sleeps: yes."""
    if f.pc == ENTRY:
        pg = k.page[f.a]
        f.inode, f.index, f.d = pg.mapping, pg.index, NIL
        f.pos = block_of(k, f.inode, f.index)
        f.bio = _add(k, t, f, f.a)
        count_written(k, t, f.b, 1)
        k.vm.pswpout += 1
        return call(k, t, f, FN.submit_bio, 1, f.bio, 0, 0)
    return ret(k, t, f, 0)
