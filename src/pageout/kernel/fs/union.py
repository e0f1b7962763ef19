# SPDX-License-Identifier: GPL-2.0-or-later
"""A union mount in the manner of unionfs 2.x: system calls go on to the file below; mapped pages are the union's own.

Source: unionfs 2.5 for Linux 2.6.3x (fs/unionfs/file.c, mmap.c, copyup.c), which was never part of the kernel.
write(), read() and fsync() run the lower file's own operations deeper on the same stack. A mapped page is copied to the
lower file's page by writepage, which may have to allocate that page; called from reclaim it leaves the lower page
dirty and returns, so reclaim has traded one page for another; where that page is locked it refuses, since here it may
be this very task's readahead that locked it. Simplified: branches are one to write to and one that is
only read; no whiteouts, no dentries; the union's inodes are written by the lower device's flusher (assumed).
"""

from pageout.engine.clock import spend
from pageout.engine.constants import (
    ENTRY,
    GFP_FS,
    GFP_HIGHUSER_MOVABLE,
    NIL,
    PG_DIRTY,
    PG_LOCKED,
    PG_PRIVATE,
    PG_UPTODATE,
    PG_WRITEBACK,
)
from pageout.engine.kstack import call, ret
from pageout.engine.waitqueue import sleep_on, wake_all
from pageout.jit import kfn
from pageout.kernel.frames import FN
from pageout.kernel.fs.extents import get_branch_of, metadata_cached, prepare_block
from pageout.kernel.fs.writepage import FOR_RECLAIM, refuse_page
from pageout.kernel.fs.xfs_items import inode_locked, sleep_on_inode
from pageout.kernel.mm.buddy import free_page, try_alloc
from pageout.kernel.mm.filemap import (
    add_to_page_cache,
    clear_page_dirty_for_io,
    find_page,
    set_page_dirty,
    unlock_page,
)

PAGE_SIZE = 4096
ENOSPC = -28
GFP_LOWER_PAGE = GFP_HIGHUSER_MOVABLE & ~GFP_FS  # no way back into a filesystem from within writepage


@kfn
def unionfs_write(k, t, f):
    """Copy the file up if it lies on the branch that is only read, then write to the file below.

    f.a, f.b, f.c   in: inode, offset, bytes.  Returns what the lower write returns.  Sleeps: yes.
    """
    COPIED, WRITTEN = 1, 2
    task = k.task[t]
    if f.pc == WRITTEN:
        return ret(k, t, f, task.retval)
    if f.pc == COPIED and task.retval < 0:
        task.io_error = task.retval
        return ret(k, t, f, task.retval)
    file = k.inode[f.a]
    if file.copy_to != NIL:
        return call(k, t, f, FN.copyup_dentry, COPIED, f.a, 0, 0)
    return call(k, t, f, k.inode[file.lower].vfs_write, WRITTEN, file.lower, f.b, f.c)


@kfn
def unionfs_read(k, t, f):
    """Read from the file below. f.a, f.b, f.c in: inode, offset, bytes. Sleeps: yes."""
    if f.pc == ENTRY:
        lower = k.inode[f.a].lower
        return call(k, t, f, k.inode[lower].vfs_read, 1, lower, f.b, f.c)
    return ret(k, t, f, k.task[t].retval)


@kfn
def unionfs_readpage(k, t, f):
    """Fill pages of the union from the file below. f.a, f.b, f.c in: inode, first page, pages. Sleeps: yes."""
    task = k.task[t]
    if f.pc == ENTRY:
        lower = k.inode[f.a].lower
        f.total = task.bytes_read
        return call(k, t, f, k.inode[lower].vfs_read, 1, lower, f.b * PAGE_SIZE, f.c * PAGE_SIZE)
    task.bytes_read = f.total
    return ret(k, t, f, 0)


@kfn
def copyup_dentry(k, t, f):
    """Copy a file from the branch that is only read to the one that is written, a page at a time.

    f.a   in: the union's inode.  Returns 0 or -ENOSPC.  Sleeps: yes; a second writer waits for the first.
    """
    WAITED, READ_IN, WRITTEN = 1, 2, 3
    task = k.task[t]
    file = k.inode[f.a]
    if f.pc == ENTRY or f.pc == WAITED:
        if file.copy_to == NIL:
            return ret(k, t, f, 0)
        if file.copying:
            f.pc = WAITED
            return sleep_on(k, t, file.wait_queue, 0, 0)
        file.copying = 1
        f.total, f.count, f.pos = task.bytes_read, task.bytes_written, 0
    elif f.pc == READ_IN:
        return call(k, t, f, k.inode[file.copy_to].vfs_write, WRITTEN, file.copy_to, f.pos, PAGE_SIZE)
    elif task.retval < PAGE_SIZE:
        return _end_copyup(k, t, f, file, ENOSPC)
    else:
        f.pos += PAGE_SIZE
    if f.pos < file.nr_slots * PAGE_SIZE:
        return call(k, t, f, k.inode[file.lower].vfs_read, READ_IN, file.lower, f.pos, PAGE_SIZE)
    k.stat.copyups += 1
    file.lower, file.copy_to = file.copy_to, NIL
    return _end_copyup(k, t, f, file, 0)


@kfn
def _end_copyup(k, t, f, file, error):
    """Let the next writer in; what was copied is not what the task asked to read or write."""
    task = k.task[t]
    task.bytes_read, task.bytes_written = f.total, f.count
    file.copying = 0
    wake_all(k, file.wait_queue)
    return ret(k, t, f, error)


@kfn
def _lower_page(k, t, f, ALLOCATED, BUSY, MAPPED):
    """Have the lower file's page in the cache, unlocked, its place known. Returns a verb, or -1 when it is so."""
    page = find_page(k, f.inode, f.index)
    if page == NIL:
        page = try_alloc(k, t, 0, GFP_LOWER_PAGE)
        if page == NIL:
            return call(k, t, f, FN.alloc_pages, ALLOCATED, 0, GFP_LOWER_PAGE, 0)
        add_to_page_cache(k, t, page, f.inode, f.index, 0)
    if k.page[page].pflags & PG_LOCKED:
        return call(k, t, f, FN.wait_on_page, BUSY, page, PG_LOCKED, 0)
    if not k.page[page].pflags & PG_PRIVATE:
        if inode_locked(k, t, f.inode):
            f.pc = BUSY
            return sleep_on_inode(k, t, f.inode)
        if not metadata_cached(k, f.inode, f.index):
            return call(k, t, f, get_branch_of(k, f.inode), MAPPED, f.inode, f.index, 0)
    return -1


@kfn
def _is_locked(k, inode, index):
    page = find_page(k, inode, index)
    return page != NIL and k.page[page].pflags & PG_LOCKED != 0


@kfn
def _copy_down(k, t, f):
    """Copy the page to the lower file's and make that dirty. Returns 0, or -ENOSPC: the data is lost."""
    page = find_page(k, f.inode, f.index)
    failed = prepare_block(k, t, f.inode, f.index, page)
    if failed:
        k.inode[k.page[f.a].mapping].io_error = failed
        k.stat.enospc += 1
        k.stat.pages_lost += 1
        k.stat.lost_io += 1
    else:
        spend(k, t, k.param.copy_ns)
        k.page[page].pflags |= PG_UPTODATE | PG_PRIVATE
        set_page_dirty(k, t, page)
        k.stat.pages_cleaned_total += 1
    unlock_page(k, f.a)
    return failed


@kfn
def unionfs_writepage(k, t, f):
    """Copy a mapped page to the lower file's; from a flusher or a writer, write that one, deeper on this stack.

    f.a, f.b   in: page (its dirty mark taken by the caller), submitter.  Returns 0.  Sleeps: yes.
    """
    ALLOCATED, BUSY, MAPPED, UNDER_WAY, WRITTEN = 1, 2, 3, 4, 5
    task = k.task[t]
    if f.pc == WRITTEN:
        return ret(k, t, f, 0)
    if f.pc == ENTRY:
        f.inode, f.index = k.inode[k.page[f.a].mapping].lower, k.page[f.a].index
    elif (f.pc == MAPPED and task.retval < 0) or (f.pc == ALLOCATED and task.retval == NIL):
        refuse_page(k, t, f.a, f.b)
        return ret(k, t, f, 0)
    elif f.pc == ALLOCATED:
        if find_page(k, f.inode, f.index) == NIL:
            add_to_page_cache(k, t, task.retval, f.inode, f.index, 0)
        else:
            free_page(k, t, task.retval, 0)
    if f.pc != UNDER_WAY:
        if f.b < FOR_RECLAIM and _is_locked(k, f.inode, f.index):
            refuse_page(k, t, f.a, f.b)
            return ret(k, t, f, 0)
        verb = _lower_page(k, t, f, ALLOCATED, BUSY, MAPPED)
        if verb >= 0:
            return verb
        if _copy_down(k, t, f) or f.b < FOR_RECLAIM:
            return ret(k, t, f, 0)
    page = find_page(k, f.inode, f.index)
    if page == NIL or not k.page[page].pflags & PG_DIRTY:
        return ret(k, t, f, 0)
    busy = k.page[page].pflags & (PG_LOCKED | PG_WRITEBACK)
    if busy:
        return call(k, t, f, FN.wait_on_page, UNDER_WAY, page, busy, 0)
    clear_page_dirty_for_io(k, page)
    k.page[page].pflags |= PG_LOCKED
    return call(k, t, f, k.inode[f.inode].writepage, WRITTEN, page, f.b, 1)
