# SPDX-License-Identifier: GPL-2.0-or-later
"""The loop device: a file as a disk. A thread of its own reads and writes the file through the page cache.

What is written to the device becomes dirty pages of the file, a second time. 2.6.34 holds nobody back here: the thread
writes through the file's address space operations, past balance_dirty_pages, and its list of bios has no limit.
Source: Linux v2.6.34 drivers/block/loop.c:loop_thread, do_lo_send_aops, do_lo_receive.
"""

from pageout.engine.clock import out_of_slice, spend
from pageout.engine.constants import (
    ENGINE_ZONE,
    ENTRY,
    GFP_FS,
    GFP_HIGHUSER_MOVABLE,
    GFP_IO,
    NIL,
    PG_ERROR,
    PG_LOCKED,
    PG_PRIVATE,
    PG_UPTODATE,
    YIELD,
)
from pageout.engine.kstack import call, ret
from pageout.engine.waitqueue import sleep_on
from pageout.jit import kfn
from pageout.kernel.block.endio import bio_put
from pageout.kernel.costs import LOOKUP_NS
from pageout.kernel.frames import FN
from pageout.kernel.fs.extents import prepare_block
from pageout.kernel.fs.xfs_items import inode_locked, sleep_on_inode
from pageout.kernel.mm.buddy import free_page, try_alloc
from pageout.kernel.mm.filemap import add_to_page_cache, find_page, set_page_dirty
from pageout.kernel.mm.swap import mark_page_accessed

GFP_BACKING = GFP_HIGHUSER_MOVABLE & ~(GFP_IO | GFP_FS)  # loop.c:loop_set_fd, the backing mapping's mask


@kfn
def loop_thread(k, t, f):
    """Take one bio after the other: write it into the backing file, or read it from there. f.a in: queue."""
    NEXT, DONE = ENTRY, 1
    q = k.queue[f.a]
    if f.pc == DONE:
        result = k.task[t].retval
        wanted = k.bio[f.bio].nr_pages * 4096
        bio_put(k, f.bio, 0 if result == wanted else 1)
        f.bio = NIL
        if out_of_slice(k, t):
            f.pc = NEXT
            return YIELD
    f.bio = q.bio_head
    if f.bio == NIL:
        f.pc = NEXT
        return sleep_on(k, t, q.worker_wait, 0, 0)
    b = k.bio[f.bio]
    q.bio_head = b.next
    if q.bio_head == NIL:
        q.bio_tail = NIL
    b.next = NIL
    fn = FN.lo_send if b.is_write else FN.lo_receive
    return call(k, t, f, fn, DONE, q.backing_inode, b.block * 4096, b.nr_pages * 4096)


@kfn
def lo_send(k, t, f):
    """Copy whole pages into the backing file's cache and make them dirty.

    f.a, f.b, f.c   in: inode, offset, bytes.  Returns bytes written.  Sleeps: yes.
    """
    PAGES, ALLOCATED, UNLOCKED = 1, 2, 3
    if f.pc == ENTRY:
        f.inode, f.index, f.left = f.a, f.b >> 12, f.c >> 12
    elif f.pc == ALLOCATED:
        page = k.task[t].retval
        if page == NIL:
            return ret(k, t, f, f.c - f.left * 4096)
        if find_page(k, f.inode, f.index) == NIL:
            add_to_page_cache(k, t, page, f.inode, f.index, 0)
        else:
            free_page(k, t, page, 0)
    while f.left > 0:
        page = find_page(k, f.inode, f.index)
        if page == NIL:
            page = try_alloc(k, t, 0, GFP_BACKING)
            if page == NIL:
                return call(k, t, f, FN.alloc_pages, ALLOCATED, 0, GFP_BACKING, 0)
            add_to_page_cache(k, t, page, f.inode, f.index, 0)
        if k.page[page].pflags & PG_LOCKED:
            return call(k, t, f, FN.wait_on_page, UNLOCKED, page, PG_LOCKED, 0)
        if not k.page[page].pflags & PG_PRIVATE and inode_locked(k, t, f.inode):
            f.pc = PAGES
            return sleep_on_inode(k, t, f.inode)
        if prepare_block(k, t, f.inode, f.index, page):
            return ret(k, t, f, f.c - f.left * 4096)
        spend(k, t, k.param.copy_ns + LOOKUP_NS)
        k.page[page].pflags |= PG_UPTODATE | PG_PRIVATE
        k.page[page].pflags &= ~PG_ERROR
        if not set_page_dirty(k, t, page):
            k.stat.rewrites_saved += 1
        if k.param.reclaim_engine == ENGINE_ZONE:
            mark_page_accessed(k, page)
        f.index += 1
        f.left -= 1
        if out_of_slice(k, t) and f.left > 0:
            f.pc = PAGES
            return YIELD
    return ret(k, t, f, f.c)
