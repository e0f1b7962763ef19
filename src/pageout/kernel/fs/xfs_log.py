# SPDX-License-Identifier: GPL-2.0-or-later
"""XFS's log: room is reserved, a commit fills in-core logs, a full one is written out in sequence, a force waits.

Source: Linux v2.6.34 fs/xfs/xfs_log.c, xfs_trans.c. A place in the log (lsn) is the number of bytes logged before it.
Eight in-core logs of 32 KiB; their writes count in the order in which they were filled.
"""

from pageout.engine.clock import spend
from pageout.engine.constants import END_XFS, ENTRY, NIL, PF_FSTRANS
from pageout.engine.kstack import call, call_via, ret, touch
from pageout.engine.waitqueue import sleep_on, wake_all
from pageout.jit import kfn
from pageout.kernel.block.bio import bio_alloc
from pageout.kernel.block.blk_core import request_unplug
from pageout.kernel.costs import TRANSACTION_NS
from pageout.kernel.frames import FN, LEAF
from pageout.kernel.fs.xfs_items import (
    ICLOG_ACTIVE,
    ICLOG_SYNCING,
    NR_ICLOGS,
    WAIT_DAEMON,
    WAIT_LOCK,
    WAIT_LOG,
    end_items,
    tail_lsn,
)
from pageout.kernel.fs.xfs_trees import NR_AGS, tree_of_inode
from pageout.kernel.mm.slab import CACHE_XFS_TICKET, CACHE_XFS_TRANS, slab_alloc, slab_free

ICLOG_BYTES = 32 * 1024  # fs/xfs/xfs_log_priv.h:XLOG_BIG_RECORD_BSIZE
LOG_BLOCK = 4096  # a record is padded to a block here; to 512 bytes in the kernel
TRANS_BYTES = 512  # assumed: headers, start and commit record, the inode's core
SUBMIT_WRITER = 3


@kfn
def queue_of(k, x):
    """The request queue below the filesystem."""
    return k.bdi[k.inode[k.xfs[x].inode].bdi].queue


@kfn
def xfs_bio(k, x, index, block, is_write, is_sync):
    """A bio of XFS's own, for a block of its filesystem: page `index` of its metadata, or of in-core log -1 - index."""
    number = k.xfs[x].fs
    bio = bio_alloc(k, k.xfs[x].inode, index, k.fs[number].first_block + block, is_write, is_sync, SUBMIT_WRITER)
    if is_write:
        k.bio[bio].end = END_XFS
    return bio


@kfn
def log_has_room(k, x):
    """True if a transaction of the largest size still fits before the log's tail."""
    f = k.xfs[x]
    return f.head - tail_lsn(k, x) + f.reserved + f.reserve_bytes <= f.log_bytes


@kfn
def grant(k, t, x):
    """Reserve log space for the task's transaction."""
    k.xfs[x].reserved += k.xfs[x].reserve_bytes
    k.xfs[x].nr_trans_open += 1


@kfn
def xfs_log_reserve(k, t, f):
    """A ticket and log space for a transaction; sleeps while the log is full, and has its tail pushed on.

    f.a in: filesystem.  Source: fs/xfs/xfs_log.c:xfs_log_reserve, xlog_grant_log_space.  Sleeps: yes.
    """
    TICKET, SPACE = 1, 2
    x = f.a
    if f.pc == ENTRY or f.pc == TICKET:
        if not slab_alloc(k, CACHE_XFS_TICKET):
            return call_via(k, t, f, FN.kmem_zone_alloc, TICKET, LEAF.ticket_alloc, CACHE_XFS_TICKET, 0, 0)
        k.task[t].xt_ticket = 1
    if not log_has_room(k, x):
        k.xfs[x].grants_slept += 1
        k.xfs[x].push = 1
        wake_all(k, k.xfs[x].wait + WAIT_DAEMON)
        f.pc = SPACE
        return sleep_on(k, t, k.xfs[x].wait + WAIT_LOG, 0, 0)
    grant(k, t, x)
    return ret(k, t, f, 0)


@kfn
def switch_iclog(k, x):
    """The current in-core log is full, or forced: it is to be written, the next takes over. Returns its number."""
    f = k.xfs[x]
    i = f.iclog_cur
    log = k.iclog[x * NR_ICLOGS + i]
    f.head += -log.used % LOG_BLOCK
    log.state, log.end_lsn = ICLOG_SYNCING, f.head
    f.iclog_cur = (i + 1) % NR_ICLOGS
    k.iclog[x * NR_ICLOGS + f.iclog_cur].start_lsn = f.head
    return i


@kfn
def xlog_sync(k, t, f):
    """Write an in-core log out at the log's head. f.a, f.b in: filesystem, in-core log. Sleeps: yes."""
    SUBMITTED = 1
    if f.pc == SUBMITTED:
        request_unplug(k, t, queue_of(k, f.a))
        return ret(k, t, f, 0)
    x = k.xfs[f.a]
    log = k.iclog[f.a * NR_ICLOGS + f.b]
    left = -(-log.used // LOG_BLOCK)
    most = k.queue[queue_of(k, f.a)].max_pages
    if x.log_pos + left > x.log_blocks:
        x.log_pos = 0
    f.bio, f.d, log.bios = NIL, NIL, 0
    x.log_writes += 1
    while left > 0:
        n = left if left < most else most
        bio = xfs_bio(k, f.a, -1 - f.b, x.log_start + x.log_pos, 1, 1)
        k.bio[bio].nr_pages = n
        if f.bio == NIL:
            f.bio = bio
        else:
            k.bio[f.d].next = bio
        f.d = bio
        log.bios += 1
        x.log_pos += n
        left -= n
    return call_via(k, t, f, FN.submit_bio, SUBMITTED, LEAF.xlog_bdstrat, f.bio, 0, 0)


@kfn
def xfs_log_force(k, t, f):
    """Wait until the log is on disk up to a place. f.a, f.b in: filesystem, lsn. Sleeps: yes.

    Source: fs/xfs/xfs_log.c:_xfs_log_force, in 2.6.33 with xlog_state_sync below it, as the traces have it.
    """
    x = k.xfs[f.a]
    if f.pc == ENTRY:
        x.log_forces += 1
    if x.synced >= f.b:
        return ret(k, t, f, 0)
    log = k.iclog[f.a * NR_ICLOGS + x.iclog_cur]
    if log.state == ICLOG_ACTIVE and log.used > 0 and f.b > log.start_lsn:
        return call(k, t, f, FN.xlog_sync, 1, f.a, switch_iclog(k, f.a), 0)
    x.log_waits += 1
    f.pc = 1
    request_unplug(k, t, queue_of(k, f.a))
    return sleep_on(k, t, x.wait + WAIT_LOG, 0, 0)


@kfn
def xfs_trans_commit(k, t, f):
    """Copy the transaction into the in-core log and let everything go that it held. f.a, f.b in: filesystem, inode.

    Sleeps while every in-core log is being written.  Source: fs/xfs/xfs_trans.c:_xfs_trans_commit,
    fs/xfs/xfs_log.c:xlog_write, xlog_state_get_iclog_space.
    """
    x = k.xfs[f.a]
    if f.pc == ENTRY:
        f.left = k.task[t].xt_bytes + TRANS_BYTES if k.task[t].xt_bytes > 0 else 0
    while f.left > 0:
        log = k.iclog[f.a * NR_ICLOGS + x.iclog_cur]
        if log.state != ICLOG_ACTIVE:
            x.log_waits += 1
            f.pc = 1
            touch(k, t, LEAF.log_write)
            request_unplug(k, t, queue_of(k, f.a))
            return sleep_on(k, t, x.wait + WAIT_LOG, 0, 0)
        part = ICLOG_BYTES - log.used
        if f.left < part:
            part = f.left
        log.used += part
        x.head += part
        f.left -= part
        if log.used == ICLOG_BYTES:
            return call_via(k, t, f, FN.xlog_sync, 1, LEAF.log_write, f.a, switch_iclog(k, f.a), 0)
    touch(k, t, LEAF.log_write)
    spend(k, t, TRANSACTION_NS)
    _end_transaction(k, t, f.a, f.b)
    return ret(k, t, f, 0)


@kfn
def _end_transaction(k, t, x, inode):
    """Locks, log space, ticket and flag go back; the transaction itself is freed once its log is on disk."""
    f = k.xfs[x]
    if k.task[t].xt_bytes > 0:
        k.iclog[x * NR_ICLOGS + f.iclog_cur].nr_trans += 1
    else:
        slab_free(k, t, CACHE_XFS_TRANS)
    end_items(k, t, x, f.head)
    k.task[t].tflags &= ~PF_FSTRANS
    f.reserved -= f.reserve_bytes
    f.nr_trans_open -= 1
    slab_free(k, t, CACHE_XFS_TICKET)
    k.task[t].xt_ticket = 0
    k.task[t].xt_ag = NIL
    for ag in range(x * NR_AGS, (x + 1) * NR_AGS):
        if k.xfs_ag[ag].lock_owner == t:
            k.xfs_ag[ag].lock_owner = NIL
    tree = tree_of_inode(k, x, inode)
    if k.xfs_tree[tree].locked == t + 1:
        k.xfs_tree[tree].locked = 0
    wake_all(k, f.wait + WAIT_LOCK)
    wake_all(k, f.wait + WAIT_LOG)
