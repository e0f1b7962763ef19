# SPDX-License-Identifier: GPL-2.0-or-later
"""XFS when a page is to be written: allocate what was delayed, gather neighbours, submit.

Source: Linux v2.6.34 fs/xfs/linux-2.6/xfs_aops.c, fs/xfs/xfs_iomap.c.
"""

from pageout.engine.clock import out_of_slice
from pageout.engine.constants import (
    ENTRY,
    NIL,
    PF_FSTRANS,
    PG_BH_DELAY,
    PG_DELAYED,
    PG_DIRTY,
    PG_LOCKED,
    PG_WRITEBACK,
    YIELD,
)
from pageout.engine.kstack import call, call_via, ret
from pageout.jit import kfn
from pageout.kernel.frames import FN, LEAF
from pageout.kernel.fs.writepage import (
    BIO_PAGES_A_TURN,
    FOR_RECLAIM,
    add_page,
    count_clustered,
    count_written,
    refuse_page,
)
from pageout.kernel.fs.xfs_items import inode_locked, sleep_on_inode, trans_log, xfs_of
from pageout.kernel.fs.xfs_log import grant, log_has_room
from pageout.kernel.fs.xfs_space import is_delayed
from pageout.kernel.fs.xfs_trees import tree_of_inode
from pageout.kernel.mm.filemap import block_of, clear_page_dirty_for_io
from pageout.kernel.mm.slab import CACHE_XFS_TICKET, CACHE_XFS_TRANS, slab_alloc

INODE_BYTES = 272  # assumed: the log item's header and the inode's core


@kfn
def _begin_transaction(k, t, f, pc):
    """Memory and log space for a transaction, then the lock of inode f.a. Returns a verb, or -1 once all is had.

    Its labels are 1 to 3.  Source: fs/xfs/xfs_trans.c:xfs_trans_alloc, xfs_trans_reserve.  Differs: every transaction
    reserves what an allocation may log.
    """
    ALLOCATED, RESERVED, LOCK = 1, 2, 3
    task = k.task[t]
    x = xfs_of(k, f.a)
    if pc == ENTRY:
        if not slab_alloc(k, CACHE_XFS_TRANS):
            return call_via(k, t, f, FN.kmem_zone_alloc, ALLOCATED, LEAF.trans_alloc, CACHE_XFS_TRANS, 0, 0)
        pc = ALLOCATED
    if pc == ALLOCATED:
        k.stat.transactions += 1
        task.tflags |= PF_FSTRANS
        task.xt_head, task.xt_bytes = NIL, 0
        if k.slab[CACHE_XFS_TICKET].nr_free == 0 or not log_has_room(k, x):
            return call(k, t, f, FN.xfs_log_reserve, RESERVED, x, 0, 0)
        slab_alloc(k, CACHE_XFS_TICKET)
        task.xt_ticket = 1
        grant(k, t, x)
    if inode_locked(k, t, f.a):
        f.pc = LOCK
        return sleep_on_inode(k, t, f.a)
    k.xfs_tree[tree_of_inode(k, x, f.a)].locked = t + 1
    return -1


@kfn
def _log_inode(k, t, x, inode):
    """The transaction logs the inode's core, and with it all that writes have changed there."""
    k.inode[inode].core_dirty = 0
    trans_log(k, t, x, k.xfs[x].inode_rows + inode, INODE_BYTES)


@kfn
def xfs_iomap_write_allocate(k, t, f):
    """Blocks for a delayed page: one transaction for each extent, from the start of the delayed run, up to the page.

    f.a, f.b in: inode, page.  The transaction is allocated before the task is marked as being in one: for that piece of
    memory reclaim may enter the filesystem, and this function, again.  Source: fs/xfs/xfs_iomap.c.  Sleeps: yes.
    """
    MAPPED, COMMITTED = 4, 5
    x = xfs_of(k, f.a)
    pc = f.pc
    if pc == COMMITTED:
        if not is_delayed(k, f.a, f.b):
            return ret(k, t, f, 0)
        pc = ENTRY
    if pc < MAPPED:
        verb = _begin_transaction(k, t, f, pc)
        if verb >= 0:
            return verb
        if is_delayed(k, f.a, f.b):
            _log_inode(k, t, x, f.a)
        return call(k, t, f, FN.xfs_bmapi, MAPPED, f.a, f.b, 0)
    return call(k, t, f, FN.xfs_trans_commit, COMMITTED, x, f.a, 0)


@kfn
def xfs_file_fsync(k, t, f):
    """Have a file's inode in the log on disk; its pages are there already. f.a in: inode. Sleeps: yes.

    If the file was written to since a transaction last logged the inode, another does, and the log is forced; else the
    log is forced if the last such transaction is not on disk yet.  Source: fs/xfs/linux-2.6/xfs_file.c.
    """
    COMMITTED, FORCED, WAIT = 4, 5, 6
    x = xfs_of(k, f.a)
    pc = f.pc
    if pc == FORCED:
        return ret(k, t, f, 0)
    if pc == ENTRY or pc == WAIT:
        if inode_locked(k, t, f.a):
            f.pc = WAIT
            return sleep_on_inode(k, t, f.a)
        pc = ENTRY if k.inode[f.a].core_dirty else COMMITTED
    if pc < COMMITTED:
        verb = _begin_transaction(k, t, f, pc)
        if verb >= 0:
            return verb
        _log_inode(k, t, x, f.a)
        return call(k, t, f, FN.xfs_trans_commit, COMMITTED, x, f.a, 0)
    lsn = k.xfs_block[k.xfs[x].inode_rows + f.a].lsn
    if lsn <= k.xfs[x].synced:
        return ret(k, t, f, 0)
    return call(k, t, f, FN.xfs_log_force, FORCED, x, lsn, 0)


@kfn
def _may_join(k, inode, index, block, delay):
    """May the page at `index` join a cluster that has come to `block`? Returns the page, or NIL.

    A cluster is of pages that are written for the first time (delay: PG_BH_DELAY), or of pages that were written
    before.  Source: fs/xfs/linux-2.6/xfs_aops.c:xfs_is_delayed_page.
    """
    if index >= k.inode[inode].nr_slots:
        return NIL
    slot = k.slot[k.inode[inode].slot_start + index]
    if slot.page < 0 or slot.block != block:
        return NIL
    pflags = k.page[slot.page].pflags
    if not pflags & PG_DIRTY or pflags & (PG_LOCKED | PG_WRITEBACK | PG_DELAYED) or pflags & PG_BH_DELAY != delay:
        return NIL
    return slot.page


@kfn
def _refuse(k, t, f):
    """The page stays dirty: the task is inside a transaction, and another cannot begin; or reclaim met a locked inode.

    Only a page that is written for the first time; one that was written before waits for the inode, whoever asks.
    Source: xfs_aops.c:xfs_vm_writepage (PF_FSTRANS; -EAGAIN), xfs_iomap.c:xfs_iomap (BMAPI_TRYLOCK).
    """
    refuse_page(k, t, f.a, f.b)
    k.xfs[xfs_of(k, f.inode)].redirtied += 1
    return ret(k, t, f, 0)


@kfn
def xfs_vm_writepage(k, t, f):
    """Write a page and, from the same extent, the dirty pages that follow it, up to the budget.

    f.a, f.b, f.c   in: page (its dirty mark taken by the caller), submitter, budget in pages (four times what the
    caller asked for).  Returns pages beyond the first that went along.  Sleeps: yes.
    """
    CLUSTER, SUBMITTED, ALLOCATED, LOCK = 1, 2, 3, 4
    pc = f.pc
    if pc == ENTRY or pc == LOCK:
        pg = k.page[f.a]
        f.inode, f.index = pg.mapping, pg.index
        delayed, locked = pg.pflags & (PG_DELAYED | PG_BH_DELAY), inode_locked(k, t, f.inode)
        if delayed and (k.task[t].tflags & PF_FSTRANS or (locked and f.b < FOR_RECLAIM)):
            return _refuse(k, t, f)
        if locked:
            f.pc = LOCK
            return sleep_on_inode(k, t, f.inode)
        if delayed & PG_DELAYED:
            return call(k, t, f, FN.xfs_iomap_write_allocate, ALLOCATED, f.inode, f.index, 0)
        pc = ALLOCATED
    if pc == ALLOCATED:
        f.pos = block_of(k, f.inode, f.index)
        f.d = NIL
        f.flag = k.page[f.a].pflags & PG_BH_DELAY
        k.page[f.a].pflags &= ~PG_BH_DELAY
        f.bio = add_page(k, t, f, f.a)
        count_written(k, t, f.b, 1)
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
            page = _may_join(k, f.inode, f.index + 1, f.pos + 1, f.flag)
            if page == NIL:
                f.stage = 1
                break
            clear_page_dirty_for_io(k, page)
            k.page[page].pflags &= ~PG_BH_DELAY
            f.index += 1
            f.pos += 1
            first = add_page(k, t, f, page)
            if f.bio == NIL:
                f.bio = first
            f.left += 1
            turn += 1
        if turn > 0:
            count_clustered(k, t, f.b, turn)
        if f.bio == NIL:
            break
        return call(k, t, f, FN.submit_bio, SUBMITTED, f.bio, 0, 0)
    return ret(k, t, f, f.left)
