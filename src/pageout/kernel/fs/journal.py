# SPDX-License-Identifier: GPL-2.0-or-later
"""The running transaction of a journaled filesystem: who is in it, when it is due, asking for its commit.

Source: Linux v2.6.34 fs/jbd/transaction.c:get_transaction, fs/jbd/journal.c:log_start_commit.  Differs: a commit waits
for nobody who is in the middle of a change (no T_LOCKED state); of buffers that are being written to the journal, only
inodes make those wait who change them, and not 2.6.34's flushers; the journal never fills up, since metadata is written
in place by the flusher within its usual time.
"""

from pageout.engine.constants import NEVER, NIL
from pageout.engine.waitqueue import sleep_on, wake_all, wake_task
from pageout.jit import kfn

BLOCKS_OF_AN_INODE = 1  # its block of the inode table
# What the end of an extent's write may change: two blocks of an extent tree one level deep (assumed), the bitmaps of
# three groups, a block of descriptors, inode, superblock and xattrs (6), and one.  Source: ext4_meta_trans_blocks.
RESERVED_CREDITS = 2 + 3 + 1 + 6 + 1
SHARED_BLOCKS = 2  # a transaction that allocates: a block bitmap and a group descriptor


@kfn
def _wake_journald(k, fs):
    """Wake the journal's thread if it waits for work, and not in the middle of a commit."""
    if k.task[fs.journald].depth == 0:
        wake_task(k, fs.journald)


@kfn
def begin_transaction(k, number):
    """Note when the running transaction is due, if this is its first change; the journal's thread sets its timer."""
    fs = k.fs[number]
    if fs.trans_expires_ns == NEVER:
        fs.trans_expires_ns = k.stat.now_ns + fs.commit_ns
        fs.trans_blocks = SHARED_BLOCKS
        _wake_journald(k, fs)


@kfn
def join_transaction(k, inode):
    """A file is changed: its inode is part of the running transaction."""
    file = k.inode[inode]
    fs = k.fs[file.fs]
    if fs.journal_inode == NIL or file.trans_id == fs.tid:
        return
    begin_transaction(k, file.fs)
    file.trans_id = fs.tid
    fs.trans_blocks += BLOCKS_OF_AN_INODE


@kfn
def is_shadowed(k, inode):
    """Is the inode's block just being written to the journal? Who is to change it waits until it has been.

    Source: Linux v6.1 fs/jbd2/transaction.c:do_get_write_access, commit.c:journal_end_buffer_io_sync (BH_Shadow).
    """
    file = k.inode[inode]
    fs = k.fs[file.fs]
    return fs.shadow_tid > 0 and file.trans_id == fs.shadow_tid


@kfn
def sleep_on_shadow(k, t, inode):
    """Leave the CPU until a journal's thread has got on: then look again."""
    return sleep_on(k, t, k.fs[k.inode[inode].fs].wait_queue, 0, 0)


@kfn
def may_reserve(k, number):
    """May one more extent be written whose blocks are turned into written ones when it is done?

    Each under way holds reserved credits, and half a transaction at most is reserved; a transaction takes a quarter of
    the journal.  Source: Linux v6.1 fs/jbd2/transaction.c:add_transaction_credits, fs/ext4/inode.c:ext4_writepages.
    """
    fs = k.fs[number]
    if fs.journal_inode == NIL:
        return True
    half = k.inode[fs.journal_inode].nr_slots // 4 // 2
    return fs.reserved_extents == 0 or (fs.reserved_extents + 1) * RESERVED_CREDITS <= half


@kfn
def reserve_extent(k, number, change):
    """An extent begins (1) or is done (-1); who waits to begin one looks again."""
    fs = k.fs[number]
    fs.reserved_extents += change
    if change < 0:
        wake_all(k, fs.wait_queue)


@kfn
def log_start_commit(k, number, tid):
    """Ask the journal's thread to commit transaction `tid` at once. Returns 1 if there is something to wait for."""
    fs = k.fs[number]
    if tid == NIL or fs.committed_tid >= tid:
        return 0
    if fs.commit_request < tid and fs.trans_expires_ns != NEVER:
        fs.commit_request = tid
        _wake_journald(k, fs)
    return 1
