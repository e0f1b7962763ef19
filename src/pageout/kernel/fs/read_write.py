# SPDX-License-Identifier: GPL-2.0-or-later
"""read(), write(), fsync() and unlink() as the page cache sees them.

Source: Linux v2.6.34 mm/filemap.c:generic_perform_write, do_generic_file_read; fs/sync.c; mm/truncate.c.
"""

from pageout.engine.clock import now_of, out_of_slice, spend
from pageout.engine.constants import (
    ENGINE_ZONE,
    ENTRY,
    FS_EXT2,
    GFP_HIGHUSER_MOVABLE,
    HIST_FSYNC,
    NEVER,
    NIL,
    NS_PER_MS,
    PG_ERROR,
    PG_ISOLATED,
    PG_LOCKED,
    PG_LRU,
    PG_PRIVATE,
    PG_READAHEAD,
    PG_UPTODATE,
    PG_WRITEBACK,
    READ,
    YIELD,
)
from pageout.engine.kstack import call, ret
from pageout.engine.ledger import observe
from pageout.engine.waitqueue import sleep_until
from pageout.jit import kfn
from pageout.kernel.block.bio import bdi_read_congested, bio_alloc
from pageout.kernel.block.blk_plug import blk_start_plug
from pageout.kernel.costs import LOOKUP_NS
from pageout.kernel.frames import FN
from pageout.kernel.fs.extents import get_branch_of, metadata_cached, metadata_slot, prepare_block
from pageout.kernel.fs.folios import folio_end, is_looked_at_before, join_folio
from pageout.kernel.fs.journal import is_shadowed, log_start_commit, sleep_on_shadow
from pageout.kernel.fs.xfs_items import inode_locked, sleep_on_inode, xfs_of
from pageout.kernel.fs.xfs_space import drop_block
from pageout.kernel.mm.buddy import free_page, try_alloc_for_write
from pageout.kernel.mm.filemap import (
    add_to_page_cache,
    cancel_dirty_page,
    find_page,
    inode_list_del,
    next_writeback,
    remove_from_page_cache,
    set_page_dirty,
    trace_removal,
)
from pageout.kernel.mm.memcontrol import commit_charge, may_charge
from pageout.kernel.mm.page_writeback import ratelimit_reached
from pageout.kernel.mm.readahead import plan_readahead
from pageout.kernel.mm.swap import lru_del, lru_drain_page, mark_page_accessed
from pageout.kernel.mm.wb_rates import begin_writepages, end_writepages

PAGE_SIZE = 4096
ENOMEM, ENOSPC, EIO = -12, -28, -5
SUBMIT_WRITER = 3
WHOLE_FILE = 1 << 30


@kfn
def copy_cost(k, t, nbytes):
    """Charge copying between user space and the page cache."""
    spend(k, t, nbytes * k.param.copy_ns // PAGE_SIZE + LOOKUP_NS)


@kfn
def _must_read_first(k, page, inode, index, nbytes):
    """A write to part of a page that is on disk but not in memory has to read the rest."""
    if nbytes == PAGE_SIZE or k.page[page].pflags & PG_UPTODATE:
        return False
    return k.slot[k.inode[inode].slot_start + index].block != NIL and not k.inode[inode].unwritten


@kfn
def _fill_page(k, t, f, page, nbytes):
    """Copy into the page, make it dirty, count. Returns 0 or -ENOSPC."""
    failed = prepare_block(k, t, f.inode, f.pos >> 12, page)
    if failed:
        return failed
    copy_cost(k, t, nbytes)
    k.page[page].pflags |= PG_UPTODATE | PG_PRIVATE
    k.page[page].pflags &= ~PG_ERROR
    if not set_page_dirty(k, t, page):
        k.stat.rewrites_saved += 1
    if k.param.reclaim_engine == ENGINE_ZONE:
        mark_page_accessed(k, page)
    f.pos += nbytes
    f.left -= nbytes
    return 0


@kfn
def sys_write(k, t, f):
    """A buffered write: page by page into the cache; the writer is throttled as it goes.

    f.a, f.b, f.c   in: inode, offset, bytes.  Returns bytes written, or -errno if none were.  Sleeps: yes.
    """
    PAGES, ALLOCATED, UNLOCKED, READ_IN, THROTTLED, MAPPED, CHARGED = 1, 2, 3, 4, 5, 6, 7
    task = k.task[t]
    pc = f.pc
    if pc == ENTRY:
        f.inode, f.pos, f.left = f.a, f.b, f.c
        task.bdi_writing = k.inode[f.inode].bdi
        spend(k, t, k.param.syscall_ns)
    elif pc == ALLOCATED:
        if task.retval == NIL:
            return _end_write(k, t, f, ENOMEM)
        _adopt(k, t, f.inode, f.pos >> 12, task.retval, f.index)
    elif (pc == MAPPED or pc == CHARGED) and task.retval < 0:
        return _end_write(k, t, f, task.retval)
    while f.left > 0:
        if f.pos >= f.stage and is_looked_at_before(k):
            f.stage, f.index = folio_end(k, f.inode, f.pos, f.left), f.pos >> 12
            chunk = ratelimit_reached(k, t, k.inode[f.inode].bdi)
            if chunk > 0:
                return call(k, t, f, FN.balance_dirty_pages, THROTTLED, k.inode[f.inode].bdi, chunk, 0)
        if is_shadowed(k, f.inode):
            f.pc = PAGES
            return sleep_on_shadow(k, t, f.inode)
        index = f.pos >> 12
        nbytes = PAGE_SIZE - (f.pos & 4095)
        if nbytes > f.left:
            nbytes = f.left
        page = find_page(k, f.inode, index)
        if page == NIL:
            gfp = GFP_HIGHUSER_MOVABLE & ~k.inode[f.inode].gfp_off
            if not may_charge(k, t):
                return call(k, t, f, FN.try_charge_memcg, CHARGED, gfp, 0, 0)
            page = try_alloc_for_write(k, t, gfp)
            if page == NIL:
                if task.killed:
                    return _end_write(k, t, f, ENOMEM)
                return call(k, t, f, FN.alloc_pages, ALLOCATED, 0, gfp, 0)
            commit_charge(k, t, page)
            add_to_page_cache(k, t, page, f.inode, index, 0)
            join_folio(k, page, f.index)
        if k.page[page].pflags & PG_LOCKED:
            return call(k, t, f, FN.wait_on_page, UNLOCKED, page, PG_LOCKED, 0)
        if _must_read_first(k, page, f.inode, index, nbytes):
            return _read_page(k, t, f, page, READ_IN)
        if not k.page[page].pflags & PG_PRIVATE:
            if inode_locked(k, t, f.inode):
                f.pc = PAGES
                return sleep_on_inode(k, t, f.inode)
            if not metadata_cached(k, f.inode, index):
                return call(k, t, f, get_branch_of(k, f.inode), MAPPED, f.inode, index, 0)
        failed = _fill_page(k, t, f, page, nbytes)
        if failed:
            return _end_write(k, t, f, failed)
        chunk = 0 if is_looked_at_before(k) else ratelimit_reached(k, t, k.inode[f.inode].bdi)
        if chunk > 0:
            return call(k, t, f, FN.balance_dirty_pages, THROTTLED, k.inode[f.inode].bdi, chunk, 0)
        if out_of_slice(k, t) and f.left > 0:
            f.pc = PAGES
            return YIELD
    return _end_write(k, t, f, 0)


@kfn
def _adopt(k, t, inode, index, page, first):
    """Use a page that came from the slow path, unless someone else filled the place meanwhile."""
    if find_page(k, inode, index) == NIL:
        commit_charge(k, t, page)
        add_to_page_cache(k, t, page, inode, index, 0)
        join_folio(k, page, first)
    else:
        free_page(k, t, page, 0)


@kfn
def _read_page(k, t, f, page, resume):
    """Start reading one page that is in the cache but not up to date."""
    pg = k.page[page]
    pg.pflags |= PG_LOCKED
    block = k.slot[k.inode[f.inode].slot_start + pg.index].block
    bio = bio_alloc(k, f.inode, pg.index, block, READ, 1, 0)
    return call(k, t, f, FN.submit_bio, resume, bio, 0, 0)


@kfn
def _end_write(k, t, f, error):
    task = k.task[t]
    task.bdi_writing = NIL
    written = f.pos - f.b
    task.bytes_written += written
    if error == ENOSPC:
        k.stat.enospc += 1
    if error:
        task.io_error = error
    return ret(k, t, f, written if written > 0 or not error else error)


@kfn
def read_cached(k, t, inode, pos, nbytes):
    """Serve a read that lies within one cached page, without a frame. Returns 1, or 0 if the slow way is needed."""
    index = pos >> 12
    if (pos & 4095) + nbytes > PAGE_SIZE:
        return 0
    page = find_page(k, inode, index)
    if page == NIL:
        return 0
    pflags = k.page[page].pflags
    if not pflags & PG_UPTODATE or pflags & (PG_LOCKED | PG_READAHEAD):
        return 0
    task = k.task[t]
    if task.prev_index != index or task.prev_offset != pos & 4095:
        mark_page_accessed(k, page)
    task.prev_index = index
    task.prev_offset = pos + nbytes & 4095
    copy_cost(k, t, nbytes)
    spend(k, t, k.param.syscall_ns)
    task.bytes_read += nbytes
    return 1


@kfn
def sys_read(k, t, f):
    """A buffered read: page by page out of the cache; missing pages are read in with what readahead adds.

    f.a, f.b, f.c   in: inode, offset, bytes.  Returns bytes read.  Sleeps: yes.
    """
    PAGES, READ_AHEAD, UNLOCKED, READ_IN, ASYNC_READ = 1, 2, 3, 4, 5
    task = k.task[t]
    pc = f.pc
    if pc == ENTRY:
        f.inode, f.pos, f.left = f.a, f.b, f.c
        spend(k, t, k.param.syscall_ns)
    elif pc == READ_AHEAD:
        if find_page(k, f.inode, f.pos >> 12) == NIL:
            f.count += 1
            if f.count > 8 or task.killed:
                task.io_error = ENOMEM
                return ret(k, t, f, f.pos - f.b)
    while f.left > 0:
        index = f.pos >> 12
        nr_asked = ((f.pos & 4095) + f.left + 4095) >> 12
        page = find_page(k, f.inode, index)
        if page == NIL:
            return _read_more(k, t, f, index, nr_asked, 0, READ_AHEAD)
        pflags = k.page[page].pflags
        if pflags & PG_READAHEAD:
            k.page[page].pflags = pflags & ~PG_READAHEAD
            if not bdi_read_congested(k, k.inode[f.inode].bdi):
                return _read_more(k, t, f, index, nr_asked, 1, ASYNC_READ)
        if pflags & PG_LOCKED:
            return call(k, t, f, FN.wait_on_page, UNLOCKED, page, PG_LOCKED, 0)
        if not pflags & PG_UPTODATE:
            if k.slot[k.inode[f.inode].slot_start + index].block != NIL:
                return _read_page(k, t, f, page, READ_IN)
            k.page[page].pflags |= PG_UPTODATE
        _copy_out(k, t, f, page, index)
        f.count = 0
        if out_of_slice(k, t) and f.left > 0:
            f.pc = PAGES
            return YIELD
    return ret(k, t, f, f.pos - f.b)


@kfn
def _copy_out(k, t, f, page, index):
    task = k.task[t]
    nbytes = PAGE_SIZE - (f.pos & 4095)
    if nbytes > f.left:
        nbytes = f.left
    if task.prev_index != index or task.prev_offset != f.pos & 4095:
        mark_page_accessed(k, page)
    copy_cost(k, t, nbytes)
    f.pos += nbytes
    f.left -= nbytes
    task.prev_index = index
    task.prev_offset = f.pos & 4095
    task.bytes_read += nbytes


@kfn
def _read_more(k, t, f, index, nr_asked, hit_marker, resume):
    start, nr_pages, mark = plan_readahead(k, t, f.inode, index, nr_asked, hit_marker)
    if nr_pages == 0:
        f.pc = resume
        return 0
    k.task[t].readahead_mark = mark
    how = FN.async_readahead if hit_marker else FN.do_readahead
    return call(k, t, f, how, resume, f.inode, start, nr_pages)


@kfn
def sys_fsync(k, t, f):
    """Write all dirty pages of a file, wait for every one that is under writeback, then for what says where they lie.

    f.a   in: inode.  Returns 0 or -EIO.  Sleeps: yes.
    """
    WRITTEN, WAITED, COMMITTED, LOWER, FLUSHED = 1, 2, 3, 4, 5
    task = k.task[t]
    pc = f.pc
    if pc == LOWER:
        return _fsynced(k, t, f, task.retval)
    if pc == COMMITTED:
        return _end_fsync(k, t, f, LOWER)
    if pc == ENTRY:
        f.start_ns = now_of(k, t)
        spend(k, t, k.param.syscall_ns)
        f.inode = f.a
        task.wbc_nr, task.wbc_cyclic, task.wbc_sync, task.wbc_older_ns = WHOLE_FILE, 0, 1, NEVER
        task.wbc_kupdate, task.wbc_background = 0, 0
        if k.inode[f.inode].nr_dirty > 0:
            begin_writepages(k, t, k.inode[f.inode].bdi)
            blk_start_plug(k, t)
            return call(k, t, f, k.inode[f.inode].writepages, WRITTEN, f.inode, SUBMIT_WRITER, 0)
    if pc == WRITTEN:
        end_writepages(k, t, k.inode[f.inode].bdi)
        if task.plug_open > 0:
            return call(k, t, f, FN.blk_finish_plug, FLUSHED, 0, 0, 0)
    task.wbc_sync = 0
    f.index = next_writeback(k, f.inode, f.index, k.inode[f.inode].nr_slots)
    if f.index != NIL:
        page = find_page(k, f.inode, f.index)
        f.index += 1
        return call(k, t, f, FN.wait_on_page, WAITED, page, PG_WRITEBACK, 0)
    file = k.inode[f.inode]
    if k.fs[file.fs].journal_inode != NIL and log_start_commit(k, file.fs, file.trans_id):
        return call(k, t, f, FN.log_wait_commit, COMMITTED, file.fs, file.trans_id, 0)
    if xfs_of(k, f.inode) != NIL:
        return call(k, t, f, FN.xfs_file_fsync, COMMITTED, f.inode, 0, 0)
    return _end_fsync(k, t, f, LOWER)


@kfn
def _end_fsync(k, t, f, LOWER):
    """Report an error of writing; of a union's file, go on with the one below, on ext2 with the indirect blocks.

    Source: Linux v2.6.34 fs/libfs.c:simple_fsync, fs/buffer.c:sync_mapping_buffers.  Differs: ext2 writes every dirty
    indirect block of the filesystem, not those of this file alone.
    """
    file = k.inode[f.inode]
    error = file.io_error
    file.io_error = 0
    if error:
        k.task[t].io_error = error
    if file.lower != NIL:
        return call(k, t, f, FN.unionfs_fsync, LOWER, file.lower, 0, 0)
    meta = k.fs[file.fs].meta_inode
    if k.fs[file.fs].kind == FS_EXT2 and f.inode != meta and k.inode[meta].nr_dirty > 0:
        return call(k, t, f, FN.sync_mapping_buffers, LOWER, meta, 0, 0)
    k.stat.fsyncs += 1
    return _fsynced(k, t, f, error)


@kfn
def _fsynced(k, t, f, value):
    """The call is over: how long it took counts, if it was a program's."""
    if f.fn == FN.sys_fsync:
        observe(k, HIST_FSYNC, now_of(k, t) - f.start_ns)
    return ret(k, t, f, value)


@kfn
def _drop_page(k, t, inode, index, page):
    """Throw a page away, dirty or not; it is neither locked nor under writeback. Returns 1 if it could be dropped."""
    lru_drain_page(k, page)
    pg = k.page[page]
    if pg.pflags & PG_ISOLATED:
        return 0
    cancel_dirty_page(k, page)
    drop_block(k, t, inode, index, page)
    if pg.pflags & PG_LRU:
        lru_del(k, page)
    trace_removal(k, t, page)
    remove_from_page_cache(k, page)
    free_page(k, t, page, 0)
    return 1


@kfn
def sys_unlink(k, t, f):
    """Remove a file: every cached page is dropped, dirty ones unwritten; blocks go back.

    f.a   in: inode.  Sleeps: yes (for pages under writeback).  Source: mm/truncate.c:truncate_inode_pages_range.
    """
    PAGES, WAITED, RETRY = 1, 2, 3
    if f.pc == ENTRY:
        spend(k, t, k.param.syscall_ns)
        f.inode = f.a
        k.inode[f.inode].unlinked = 1
    nr_slots = k.inode[f.inode].nr_slots
    while f.index < nr_slots:
        page = find_page(k, f.inode, f.index)
        if page == NIL:
            drop_block(k, t, f.inode, f.index, NIL)
        else:
            busy = k.page[page].pflags & (PG_LOCKED | PG_WRITEBACK)
            if busy:
                return call(k, t, f, FN.wait_on_page, WAITED, page, busy, 0)
            if not _drop_page(k, t, f.inode, f.index, page):
                f.pc = RETRY
                return sleep_until(k, t, now_of(k, t) + NS_PER_MS)
            spend(k, t, LOOKUP_NS)
        f.index += 1
        if out_of_slice(k, t):
            f.pc = PAGES
            return YIELD
    if not k.inode[f.inode].istate & 128:
        inode_list_del(k, f.inode)
        k.inode[f.inode].istate = 0
    _free_branches(k, t, f.inode)
    return _unlink_lower(k, t, f, PAGES)


@kfn
def _free_branches(k, t, inode):
    """Give back the indirect blocks of a removed file; one that is busy this moment stays (differs from ext2)."""
    file = k.inode[inode]
    if file.meta_start == NIL:
        return
    meta = k.fs[file.fs].meta_inode
    last = metadata_slot(k, inode, file.nr_slots - 1)
    for where in range(file.meta_start, last + 1):
        page = find_page(k, meta, where)
        if page == NIL:
            drop_block(k, t, meta, where, NIL)
        elif not k.page[page].pflags & (PG_LOCKED | PG_WRITEBACK):
            _drop_page(k, t, meta, where, page)


@kfn
def _unlink_lower(k, t, f, resume):
    """Of a union's file, go on with the one below, unless that lies on the branch that is only read."""
    lower = k.inode[f.inode].lower
    if lower == NIL or k.inode[f.inode].copy_to != NIL:
        return ret(k, t, f, 0)
    k.inode[lower].unlinked = 1
    f.inode, f.index, f.pc = lower, 0, resume
    return YIELD
