# SPDX-License-Identifier: GPL-2.0-or-later
"""sendfile(): file pages from the cache into a pipe of 16 buffers, and out of it to a socket.

Source: Linux v2.6.34 fs/splice.c:splice_direct_to_actor, __generic_file_splice_read; fs/nfsd/vfs.c:nfsd_vfs_read, which
reads the same way. Differs: the pipe holds no reference, so that reclaim may take a page between reading and sending;
the network takes what it is given (limit it with `rate`) and allocates nothing.
"""

from pageout.engine.clock import out_of_slice, spend
from pageout.engine.constants import (
    ENTRY,
    FS_XFS,
    GFP_COLD,
    GFP_HIGHUSER_MOVABLE,
    NIL,
    PG_LOCKED,
    PG_READAHEAD,
    PG_UPTODATE,
    READ,
    YIELD,
)
from pageout.engine.kstack import call, ret, touch
from pageout.jit import kfn
from pageout.kernel.block.bio import bio_alloc
from pageout.kernel.costs import LOOKUP_NS
from pageout.kernel.frames import FN, LEAF
from pageout.kernel.mm.buddy import free_page, try_alloc
from pageout.kernel.mm.filemap import add_to_page_cache, block_of, find_page
from pageout.kernel.mm.readahead import plan_readahead

PIPE_BUFFERS = 16
ENOMEM = -12
SEND_NS = 500  # assumed: CPU time to put one page into a socket buffer and send it, about 8 GB/s
GFP_SPLICE = GFP_HIGHUSER_MOVABLE | GFP_COLD


@kfn
def sys_sendfile(k, t, f):
    """Send part of a file: fill the pipe, empty it, until all is sent.

    f.a, f.b, f.c   in: inode, offset, bytes.  Returns bytes sent.  Sleeps: yes.
    """
    SPLICED, NEXT = 1, 2
    task = k.task[t]
    if f.pc == ENTRY:
        f.inode, f.pos, f.left = f.a, f.b, f.c
        spend(k, t, k.param.syscall_ns)
    elif f.pc == SPLICED:
        if task.retval <= 0:
            return ret(k, t, f, f.pos - f.b)
        if f.fn == FN.sys_sendfile:
            touch(k, t, LEAF.splice_send)
        spend(k, t, SEND_NS * ((task.retval + 4095) >> 12))
        f.pos += task.retval
        f.left -= task.retval
        task.bytes_read += task.retval
        if f.left > 0 and out_of_slice(k, t):
            f.pc = NEXT
            return YIELD
    if f.left <= 0:
        return ret(k, t, f, f.pos - f.b)
    how = FN.xfs_splice_read if k.fs[0].kind == FS_XFS else FN.splice_read
    return call(k, t, f, how, SPLICED, f.inode, f.pos, f.left)


@kfn
def _missing(k, inode, index, end):
    """First page of [index, end) that is not in the cache; `end` if all are."""
    while index < end and find_page(k, inode, index) != NIL:
        index += 1
    return index


@kfn
def splice_read(k, t, f):
    """Bring up to 16 pages of a file into the pipe: readahead, then each page up to date.

    f.a, f.b, f.c   in: inode, offset, bytes wanted.  Returns bytes read, 0 on failure.  Sleeps: yes.
    """
    READ_AHEAD, READ_ASYNC, ALLOCATED, READY = 1, 2, 3, 4
    task = k.task[t]
    if f.pc == ENTRY:
        f.inode, f.index = f.a, f.b >> 12
        f.pos = (f.b + f.c + 4095) >> 12
        f.total = f.pos - f.index  # pages asked for in all
        if f.pos > f.index + PIPE_BUFFERS:
            f.pos = f.index + PIPE_BUFFERS
        hole = _missing(k, f.inode, f.index, f.pos)
        if hole < f.pos:
            verb = _read_ahead(k, t, f, hole, f.total - (hole - f.index), 0, READ_AHEAD)
            if verb >= 0:
                return verb
    elif f.pc == ALLOCATED:
        if task.retval == NIL:
            task.io_error = ENOMEM
            return ret(k, t, f, 0)
        if find_page(k, f.inode, f.index) == NIL:
            add_to_page_cache(k, t, task.retval, f.inode, f.index, 0)
        else:
            free_page(k, t, task.retval, 0)
    while f.index < f.pos:
        if task.killed:
            return ret(k, t, f, 0)
        verb = _page_ready(k, t, f, READ_ASYNC, ALLOCATED, READY)
        if verb >= 0:
            return verb
        spend(k, t, LOOKUP_NS)
        f.index += 1
    task.prev_index = f.index - 1
    nbytes = (f.pos << 12) - f.b
    return ret(k, t, f, nbytes if nbytes < f.c else f.c)


@kfn
def _read_ahead(k, t, f, index, nr_asked, hit_marker, resume):
    """Ask for a window of readahead. Returns a verb, or -1 if there is nothing to read."""
    start, nr_pages, mark = plan_readahead(k, t, f.inode, index, nr_asked, hit_marker)
    if nr_pages == 0:
        return -1
    k.task[t].readahead_mark = mark
    how = FN.async_readahead if hit_marker else FN.do_readahead
    return call(k, t, f, how, resume, f.inode, start, nr_pages)


@kfn
def _page_ready(k, t, f, READ_ASYNC, ALLOCATED, READY):
    """Bring the page at f.index up to date. Returns a verb, or -1 once it is."""
    page = find_page(k, f.inode, f.index)
    if page == NIL:
        page = try_alloc(k, t, 0, GFP_SPLICE)
        if page == NIL:
            return call(k, t, f, FN.page_cache_alloc, ALLOCATED, 0, GFP_SPLICE, 0)
        add_to_page_cache(k, t, page, f.inode, f.index, 0)
    pg = k.page[page]
    if pg.pflags & PG_READAHEAD:
        pg.pflags ^= PG_READAHEAD
        if not k.bdi[k.inode[f.inode].bdi].congested_read:
            verb = _read_ahead(k, t, f, f.index, f.pos - f.index, 1, READ_ASYNC)
            if verb >= 0:
                return verb
    if pg.pflags & PG_UPTODATE:
        return -1
    if pg.pflags & PG_LOCKED:
        return call(k, t, f, FN.wait_on_page, READY, page, PG_LOCKED, 0)
    block = block_of(k, f.inode, f.index)
    if block == NIL:
        pg.pflags |= PG_UPTODATE
        return -1
    pg.pflags |= PG_LOCKED
    return call(k, t, f, FN.submit_bio, READY, bio_alloc(k, f.inode, f.index, block, READ, 1, 0), 0, 0)
