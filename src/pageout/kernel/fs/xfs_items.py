# SPDX-License-Identifier: GPL-2.0-or-later
"""XFS's buffers and what a transaction holds of them; the list of what is logged but not written back (the AIL).

Source: Linux v2.6.34 fs/xfs/xfs_trans_buf.c, xfs_trans_ail.c, linux-2.6/xfs_buf.c. A buffer's page is a page of the
block device's own cache, on the LRU like any other, and held only while a transaction or the AIL holds the buffer:
reclaim may drop the rest.
"""

from pageout.engine.clock import now_of
from pageout.engine.constants import NIL, NS_PER_MS, PG_LOCKED, PG_REFERENCED, PG_UPTODATE
from pageout.engine.waitqueue import sleep_on, wake_all
from pageout.jit import kfn
from pageout.kernel.mm.slab import CACHE_XFS_BUF, CACHE_XFS_TRANS, slab_alloc, slab_free

B_CLEAN, B_DIRTY, B_WRITING, B_RELOGGED = 0, 1, 2, 3
JOINED, LOGGED = 1, 2
ICLOG_ACTIVE, ICLOG_SYNCING, ICLOG_DONE = 0, 1, 2
NR_ICLOGS = 8
# Waiters: for a lock of the allocator or an inode, for the log, and the buffer daemon.
WAIT_LOCK, WAIT_LOG, WAIT_DAEMON, NR_WAITS = 0, 1, 2, 3


@kfn
def xfs_of(k, inode):
    """Row of `xfs` that an inode's filesystem has."""
    return k.fs[k.inode[inode].fs].xfs


@kfn
def inode_locked(k, t, inode):
    """True if another task's transaction has the inode locked, so that where its pages lie can't be asked for now.

    The lock (XFS_ILOCK) is held exclusively from before an extent is allocated until the transaction is committed.
    False for files of other filesystems.  Source: fs/xfs/xfs_iomap.c:xfs_iomap, xfs_iomap_write_allocate.
    """
    x = xfs_of(k, inode)
    if x == NIL:
        return False
    owner = k.xfs_tree[k.xfs[x].inode_trees + inode].locked
    return owner != 0 and owner != t + 1


@kfn
def sleep_on_inode(k, t, inode):
    """Sleep until some transaction of the inode's filesystem is over."""
    return sleep_on(k, t, k.xfs[xfs_of(k, inode)].wait + WAIT_LOCK, 0, 0)


@kfn
def page_of(k, x, slot):
    """The page that caches a metadata block, NIL if none."""
    page = k.slot[k.xfs[x].slots + slot].page
    return page if page >= 0 else NIL


@kfn
def buf_ready(k, x, slot):
    """True if a transaction can have the buffer without waiting for a read or for memory."""
    b = k.xfs_block[slot]
    if b.in_trans:
        return True
    if not b.has_buf and k.slab[CACHE_XFS_BUF].nr_free == 0:
        return False
    page = page_of(k, x, slot)
    return page != NIL and k.page[page].pflags & (PG_UPTODATE | PG_LOCKED) == PG_UPTODATE


@kfn
def _hold(k, x, slot):
    b = k.xfs_block[slot]
    b.held += 1
    if b.held > 1 or b.is_item:
        return
    page = page_of(k, x, slot)
    k.page[page].refs += 1
    k.page[page].pflags |= PG_REFERENCED
    if not b.has_buf:
        slab_alloc(k, CACHE_XFS_BUF)
        b.has_buf = 1


@kfn
def _let_go(k, t, x, slot):
    b = k.xfs_block[slot]
    b.held -= 1
    if b.held > 0 or b.is_item:
        return
    k.page[page_of(k, x, slot)].refs -= 1
    if b.has_buf:
        slab_free(k, t, CACHE_XFS_BUF)
        b.has_buf = 0


@kfn
def trans_join(k, t, x, slot):
    """The transaction of task t takes a buffer (or an inode) that is ready."""
    b = k.xfs_block[slot]
    if b.in_trans:
        return
    b.in_trans = JOINED
    b.trans_next = k.task[t].xt_head
    k.task[t].xt_head = slot
    _hold(k, x, slot)


@kfn
def trans_log(k, t, x, slot, nr_bytes):
    """The transaction has changed so many bytes of a buffer."""
    trans_join(k, t, x, slot)
    k.xfs_block[slot].in_trans = LOGGED
    k.task[t].xt_bytes += nr_bytes


@kfn
def ail_remove(k, x, slot):
    """Take an entry out of the AIL."""
    f = k.xfs[x]
    b = k.xfs_block[slot]
    if b.ail_prev == NIL:
        f.ail_head = b.ail_next
    else:
        k.xfs_block[b.ail_prev].ail_next = b.ail_next
    if b.ail_next == NIL:
        f.ail_tail = b.ail_prev
    else:
        k.xfs_block[b.ail_next].ail_prev = b.ail_prev
    f.nr_ail -= 1


@kfn
def _ail_append(k, x, slot):
    f = k.xfs[x]
    b = k.xfs_block[slot]
    b.ail_prev, b.ail_next = f.ail_tail, NIL
    if f.ail_tail == NIL:
        f.ail_head = slot
    else:
        k.xfs_block[f.ail_tail].ail_next = slot
    f.ail_tail = slot
    f.nr_ail += 1


@kfn
def _insert_committed(k, t, x, slot, lsn):
    """A logged buffer goes to the end of the AIL, with the place of its newest change in the log."""
    b = k.xfs_block[slot]
    b.lsn = lsn
    if b.state == B_CLEAN:
        b.state = B_DIRTY
        b.when_ms = now_of(k, t) // NS_PER_MS
        _hold(k, x, slot)
    else:
        ail_remove(k, x, slot)
        if b.state == B_WRITING:
            b.state = B_RELOGGED
    _ail_append(k, x, slot)


@kfn
def end_items(k, t, x, lsn):
    """The transaction is over: what it changed waits in the AIL to be written back, the rest is let go."""
    slot = k.task[t].xt_head
    was_empty = k.xfs[x].ail_head == NIL
    while slot != NIL:
        b = k.xfs_block[slot]
        following = b.trans_next
        if b.in_trans == LOGGED:
            _insert_committed(k, t, x, slot, lsn)
        b.in_trans = 0
        b.trans_next = NIL
        _let_go(k, t, x, slot)
        slot = following
    k.task[t].xt_head = NIL
    k.task[t].xt_bytes = 0
    if was_empty and k.xfs[x].ail_head != NIL:
        wake_all(k, k.xfs[x].wait + WAIT_DAEMON)


@kfn
def forget_buffer(k, t, x, slot):
    """A metadata block is freed: nothing of it is to be written; its row may be used again once it is let go.

    Its page stays in the cache, clean, until reclaim takes it or the row is used again.
    """
    b = k.xfs_block[slot]
    if b.in_trans == LOGGED:
        b.in_trans = JOINED
    if b.state == B_DIRTY:
        ail_remove(k, x, slot)
        b.state = B_CLEAN
        _let_go(k, t, x, slot)


@kfn
def tail_lsn(k, x):
    """Where the log's tail stands: the oldest change that is not written back yet."""
    f = k.xfs[x]
    return k.xfs_block[f.ail_head].lsn if f.ail_head != NIL else f.head


@kfn
def xfs_end_io(k, inode, index):
    """A write of XFS's own has ended: of a metadata block (its page), or of an in-core log (-1 - its number)."""
    x = xfs_of(k, inode)
    f = k.xfs[x]
    if index < 0:
        _iclog_done(k, x, -1 - index)
        return
    slot = f.first_row + index
    b = k.xfs_block[slot]
    f.meta_writes += 1
    if b.state == B_WRITING:
        ail_remove(k, x, slot)
        b.state = B_CLEAN
        _let_go(k, -1, x, slot)
    elif b.state == B_RELOGGED:
        b.state = B_DIRTY
    wake_all(k, f.wait + WAIT_LOG)


@kfn
def _iclog_done(k, x, i):
    """Log writes count in order: what is on disk ends before the oldest in-core log that is not."""
    f = k.xfs[x]
    log = k.iclog[x * NR_ICLOGS + i]
    log.bios -= 1
    if log.bios > 0:
        return
    log.state = ICLOG_DONE
    log = k.iclog[x * NR_ICLOGS + f.iclog_oldest]
    while log.state == ICLOG_DONE:
        f.synced = log.end_lsn
        for _ in range(log.nr_trans):
            slab_free(k, -1, CACHE_XFS_TRANS)
        log.state, log.used, log.nr_trans = ICLOG_ACTIVE, 0, 0
        f.iclog_oldest = (f.iclog_oldest + 1) % NR_ICLOGS
        log = k.iclog[x * NR_ICLOGS + f.iclog_oldest]
    wake_all(k, f.wait + WAIT_LOG)
