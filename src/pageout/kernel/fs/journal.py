# SPDX-License-Identifier: GPL-2.0-or-later
"""The running transaction of a journaled filesystem: who is in it, when it is due, asking for its commit.

Source: Linux v2.6.34 fs/jbd/transaction.c:get_transaction, fs/jbd/journal.c:log_start_commit.  Differs: a commit blocks
nobody who goes on (no T_LOCKED state, no wait for a buffer that is being written to the journal), and the journal never
fills up, since metadata is written in place by the flusher within its usual time.
"""

from pageout.engine.constants import NEVER, NIL
from pageout.engine.waitqueue import wake_task
from pageout.jit import kfn

BLOCKS_OF_AN_INODE = 1  # its block of the inode table
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
def log_start_commit(k, number, tid):
    """Ask the journal's thread to commit transaction `tid` at once. Returns 1 if there is something to wait for."""
    fs = k.fs[number]
    if tid == NIL or fs.committed_tid >= tid:
        return 0
    if fs.commit_request < tid and fs.trans_expires_ns != NEVER:
        fs.commit_request = tid
        _wake_journald(k, fs)
    return 1
