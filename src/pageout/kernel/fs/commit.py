# SPDX-License-Identifier: GPL-2.0-or-later
"""The journal's thread: every 5 s, or when fsync asks, the running transaction is written to the journal.

Source: Linux v2.6.34 fs/jbd/journal.c:kjournald, log_wait_commit; fs/jbd/commit.c:journal_commit_transaction.
Differs: ordered data is written by the filesystem's writepage, not from the buffers alone; every journal block takes a
page of the journal's own in the cache, where the kernel writes most from the metadata's pages; metadata goes to its
place by the flusher at any time, not only after the commit.
"""

from pageout.engine.clock import now_of
from pageout.engine.constants import (
    ENTRY,
    GFP_HARDWALL,
    GFP_MOVABLE,
    GFP_NOFS,
    NEVER,
    NIL,
    PG_LOCKED,
    PG_PRIVATE,
    PG_UPTODATE,
    PG_WRITEBACK,
    TURN_BANDWIDTH,
)
from pageout.engine.kstack import call, ret, touch
from pageout.engine.waitqueue import sleep_on, sleep_until, wake_all
from pageout.jit import kfn
from pageout.kernel.block.bio import bio_add
from pageout.kernel.frames import FN, LEAF
from pageout.kernel.fs.journal import log_start_commit
from pageout.kernel.fs.writepage import count_written, start_page
from pageout.kernel.mm.buddy import free_page, try_alloc
from pageout.kernel.mm.filemap import (
    add_to_page_cache,
    block_of,
    clear_page_dirty_for_io,
    find_page,
    next_writeback,
    set_page_dirty,
)

GFP_JOURNAL = GFP_NOFS | GFP_HARDWALL | GFP_MOVABLE
SUBMIT_FLUSHER = 2
WHOLE_FILE = 1 << 30
DATA, WAIT_DATA, BLOCKS, WAIT_BLOCKS, RECORD, WAIT_RECORD = 0, 1, 2, 3, 4, 5  # stages of a commit


@kfn
def kjournald(k, t, f):
    """Commit when a transaction is old enough or asked for; else sleep. f.a in: the filesystem."""
    COMMITTED, SLEPT = 1, 2
    fs = k.fs[f.a]
    if fs.trans_expires_ns != NEVER and (fs.commit_request >= fs.tid or now_of(k, t) >= fs.trans_expires_ns):
        return call(k, t, f, FN.journal_commit_transaction, COMMITTED, f.a, 0, 0)
    f.pc = SLEPT
    if fs.trans_expires_ns != NEVER:
        return sleep_until(k, t, fs.trans_expires_ns)
    return sleep_on(k, t, NIL, 0, 0)


@kfn
def log_wait_commit(k, t, f):
    """Sleep until a transaction is on the device. f.a, f.b in: filesystem, transaction. Sleeps: yes."""
    if not log_start_commit(k, f.a, f.b):
        return ret(k, t, f, 0)
    f.pc = 1
    return sleep_on(k, t, k.fs[f.a].wait_queue, 0, 0)


@kfn
def _next_member(k, f):
    """The next file that the transaction holds, from f.inode on; NIL after the last."""
    fs = k.fs[f.a]
    for inode in range(f.inode, k.param.nr_inodes):
        file = k.inode[inode]
        if file.fs == f.a and file.trans_id >= f.count and inode != fs.journal_inode:
            return inode
    return NIL


@kfn
def _begin(k, t, f):
    """Close the running transaction and open the next. f.count: its number; f.left: blocks it takes in the journal."""
    fs = k.fs[f.a]
    most = k.inode[fs.journal_inode].nr_slots // 4
    f.count, f.left = fs.tid, fs.trans_blocks + 1  # one descriptor
    if f.left > most:
        f.left = most
    fs.tid += 1
    fs.trans_blocks, fs.trans_expires_ns = 0, NEVER
    f.inode, f.index, f.d = 0, 0, NIL
    f.stage = DATA if fs.ordered and k.param.flush_turn != TURN_BANDWIDTH else BLOCKS  # later: unwritten extents
    f.pos = fs.journal_head


@kfn
def _write_data(k, t, f, resume):
    """Ordered mode: write what is dirty in the transaction's files. Returns a verb, or -1 when all is under way."""
    inode = _next_member(k, f)
    while inode != NIL and k.inode[inode].nr_dirty == 0:
        f.inode = inode + 1
        inode = _next_member(k, f)
    if inode == NIL:
        f.inode, f.index, f.stage = 0, 0, WAIT_DATA
        return -1
    f.inode = inode + 1
    task = k.task[t]
    task.wbc_nr, task.wbc_cyclic, task.wbc_sync, task.wbc_older_ns = WHOLE_FILE, 0, 0, NEVER
    task.wbc_kupdate, task.wbc_background = 0, 0
    return call(k, t, f, FN.generic_writepages, resume, inode, SUBMIT_FLUSHER, 0)


@kfn
def _wait_for_data(k, t, f, resume):
    """Wait for each page of the transaction's files that is under writeback. Returns a verb, or -1."""
    inode = _next_member(k, f)
    while inode != NIL:
        if inode != f.inode:
            f.inode, f.index = inode, 0
        index = next_writeback(k, inode, f.index, k.inode[inode].nr_slots)
        if index != NIL:
            f.index = index + 1
            return call(k, t, f, FN.wait_on_page, resume, find_page(k, inode, index), PG_WRITEBACK, 0)
        f.inode, f.index = inode + 1, 0
        inode = _next_member(k, f)
    f.stage = BLOCKS
    return -1


@kfn
def _submit(k, t, f, resume):
    bio = f.bio
    f.bio, f.d = NIL, NIL
    return call(k, t, f, FN.submit_bio, resume, bio, 0, 0)


@kfn
def _write_blocks(k, t, f, resume, allocated):
    """Write f.left blocks of the journal from f.pos on. Returns a verb, or -1 when all are with the device."""
    journal = k.fs[f.a].journal_inode
    nr_slots = k.inode[journal].nr_slots
    while f.left > 0:
        index = f.pos % nr_slots
        page = find_page(k, journal, index)
        if page == NIL:
            page = try_alloc(k, t, 0, GFP_JOURNAL)
            if page == NIL:
                if f.bio != NIL:
                    return _submit(k, t, f, resume)
                return call(k, t, f, FN.alloc_pages, allocated, 0, GFP_JOURNAL, 0)
            add_to_page_cache(k, t, page, journal, index, PG_UPTODATE | PG_PRIVATE)
        busy = k.page[page].pflags & (PG_LOCKED | PG_WRITEBACK)
        if busy:
            if f.bio != NIL:
                return _submit(k, t, f, resume)
            return call(k, t, f, FN.wait_on_page, resume, page, busy, 0)
        set_page_dirty(k, t, page)
        clear_page_dirty_for_io(k, page)
        start_page(k, t, page)
        began = f.d == NIL
        f.d = bio_add(k, NIL, f.d, journal, index, block_of(k, journal, index), 1, 1, SUBMIT_FLUSHER)
        if began:
            f.bio = f.d
        count_written(k, t, SUBMIT_FLUSHER, 1)
        f.pos += 1
        f.left -= 1
    if f.stage == BLOCKS:
        k.fs[f.a].shadow_tid = f.count
    f.stage += 1
    if f.bio != NIL:
        return _submit(k, t, f, resume)
    return -1


@kfn
def _wait_for_blocks(k, t, f, resume):
    """Wait for the journal's pages under writeback. Returns a verb, or -1."""
    journal = k.fs[f.a].journal_inode
    index = next_writeback(k, journal, 0, k.inode[journal].nr_slots)
    if index != NIL:
        return call(k, t, f, FN.wait_on_page, resume, find_page(k, journal, index), PG_WRITEBACK, 0)
    if f.stage == WAIT_BLOCKS:
        k.fs[f.a].shadow_tid = 0
        wake_all(k, k.fs[f.a].wait_queue)
    f.stage += 1
    f.left = 1
    return -1


@kfn
def journal_commit_transaction(k, t, f):
    """Write the running transaction: in ordered mode its data, then its blocks, then the record that makes it count.

    f.a   in: filesystem.  Sleeps: yes.
    """
    GO_ON, ALLOCATED = 1, 2
    if f.pc == ENTRY:
        _begin(k, t, f)
        touch(k, t, LEAF.journal_data)
    elif f.pc == ALLOCATED:
        _adopt(k, t, f, k.task[t].retval)
    verb = -1
    while verb < 0:
        if f.stage == DATA:
            verb = _write_data(k, t, f, GO_ON)
        elif f.stage == WAIT_DATA:
            verb = _wait_for_data(k, t, f, GO_ON)
        elif f.stage == BLOCKS or f.stage == RECORD:
            verb = _write_blocks(k, t, f, GO_ON, ALLOCATED)
        elif f.stage == WAIT_BLOCKS or f.stage == WAIT_RECORD:
            verb = _wait_for_blocks(k, t, f, GO_ON)
        else:
            return _committed(k, t, f)
    return verb


@kfn
def _adopt(k, t, f, page):
    """Use a page from the slow path for the next journal block; without one, try again."""
    journal = k.fs[f.a].journal_inode
    index = f.pos % k.inode[journal].nr_slots
    if page == NIL:
        return
    if find_page(k, journal, index) == NIL:
        add_to_page_cache(k, t, page, journal, index, PG_UPTODATE | PG_PRIVATE)
    else:
        free_page(k, t, page, 0)


@kfn
def _committed(k, t, f):
    fs = k.fs[f.a]
    fs.journal_head = f.pos % k.inode[fs.journal_inode].nr_slots
    fs.committed_tid = f.count
    k.stat.journal_commits += 1
    wake_all(k, fs.wait_queue)
    return ret(k, t, f, 0)
