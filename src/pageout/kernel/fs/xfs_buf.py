# SPDX-License-Identifier: GPL-2.0-or-later
"""Reading XFS's metadata blocks, the memory they and transactions take, and the daemon that writes them back.

Source: Linux v2.6.34 fs/xfs/linux-2.6/xfs_buf.c, kmem.c, fs/xfs/xfs_trans_ail.c. One daemon stands for xfsaild (which
pushes the log's tail when room is short) and xfsbufd (which writes buffers older than 15 s, looking each second).
"""

from pageout.engine.clock import now_of
from pageout.engine.constants import (
    ENTRY,
    GFP_KERNEL,
    GFP_NOFS,
    GFP_NORETRY,
    GFP_NOWARN,
    NIL,
    NS_PER_MS,
    PF_FSTRANS,
    PG_LOCKED,
    PG_UPTODATE,
    WMARK_LOW,
)
from pageout.engine.kstack import call, call_via, ret, touch
from pageout.engine.waitqueue import sleep_on, timeout_jiffies
from pageout.jit import kfn
from pageout.kernel.block.blk_core import request_unplug
from pageout.kernel.frames import FN, LEAF
from pageout.kernel.fs.xfs_items import B_DIRTY, B_WRITING, WAIT_DAEMON, page_of
from pageout.kernel.fs.xfs_log import queue_of, xfs_bio
from pageout.kernel.mm.buddy import free_page, get_page_from_freelist
from pageout.kernel.mm.filemap import add_to_page_cache
from pageout.kernel.mm.slab import CACHE_XFS_BUF, slab_alloc, slab_free, slab_grow

READ_BUF, READAHEAD_BUF, GET_BUF = 0, 1, 2  # what is wanted of a block: its contents, soon, or a fresh one
AGE_MS = 15_000  # fs/xfs/xfs_globals.c: xfs_age_buffer, xfs_buf_timer
BATCH = 32  # assumed: blocks the daemon submits in one go


@kfn
def kmem_zone_alloc(k, t, f):
    """An object out of a slab cache; takes a page when none is free, and may enter reclaim for it.

    f.a in: cache.  Inside a transaction the request may not enter a filesystem.  Never fails: it tries again every
    20 ms.  Source: fs/xfs/linux-2.6/kmem.c:kmem_zone_alloc, kmem_flags_convert.  Sleeps: yes.
    """
    PAGE, WAITED = 1, 2
    if f.pc == PAGE:
        page = k.task[t].retval
        if page == NIL:
            return call(k, t, f, FN.congestion_wait, WAITED, timeout_jiffies(k, 50), 0, 0)
        slab_grow(k, f.a, page)
    if slab_alloc(k, f.a):
        return ret(k, t, f, 0)
    gfp = (GFP_NOFS if k.task[t].tflags & PF_FSTRANS else GFP_KERNEL) | GFP_NOWARN
    page = get_page_from_freelist(k, t, 0, WMARK_LOW, gfp)
    if page == NIL:
        return call_via(k, t, f, FN.alloc_pages, PAGE, LEAF.new_slab, 0, gfp, 0)
    touch(k, t, LEAF.new_slab)
    slab_grow(k, f.a, page)
    slab_alloc(k, f.a)
    return ret(k, t, f, 0)


@kfn
def _add_page(k, t, f, page):
    """The page joins the block device's cache, unless another task's did meanwhile."""
    if page_of(k, f.a, f.b) != NIL:
        free_page(k, t, page, 0)
        return
    locked = PG_UPTODATE if f.c == GET_BUF else PG_LOCKED
    add_to_page_cache(k, t, page, k.xfs[f.a].inode, f.b - k.xfs[f.a].first_row, locked)
    f.flag = 1


@kfn
def xfs_buf_read(k, t, f):
    """Bring a metadata block into the cache: an xfs_buf, a page, a read from the disk that is waited for.

    f.a, f.b, f.c in: filesystem, block (row of xfs_block), READ_BUF, READAHEAD_BUF or GET_BUF.
    Source: fs/xfs/linux-2.6/xfs_buf.c:xfs_buf_get, _xfs_buf_lookup_pages, _xfs_buf_read.  Sleeps: yes.
    """
    OBJECT, PAGE, SUBMITTED, WAITED, RETRY = 1, 2, 3, 4, 5
    b = k.xfs_block[f.b]
    if f.pc == ENTRY or f.pc == OBJECT:
        if not b.has_buf:
            if f.pc == OBJECT or slab_alloc(k, CACHE_XFS_BUF):
                b.has_buf = 1
            else:
                return call_via(k, t, f, FN.kmem_zone_alloc, OBJECT, LEAF.buf_get, CACHE_XFS_BUF, 0, 0)
        elif f.pc == OBJECT:
            slab_free(k, t, CACHE_XFS_BUF)
        touch(k, t, LEAF.buf_find)
    elif f.pc == PAGE:
        page = k.task[t].retval
        if page != NIL:
            _add_page(k, t, f, page)
        elif f.c == READAHEAD_BUF:
            return _done(k, t, f)
        else:
            return call_via(k, t, f, FN.congestion_wait, RETRY, LEAF.buf_lookup_pages, timeout_jiffies(k, 50), 0, 0)
    elif f.pc == SUBMITTED:
        request_unplug(k, t, queue_of(k, f.a))
    page = page_of(k, f.a, f.b)
    if page == NIL:
        gfp = (GFP_NORETRY if f.c == READAHEAD_BUF else GFP_NOFS) | GFP_NOWARN
        page = get_page_from_freelist(k, t, 0, WMARK_LOW, gfp)
        if page == NIL:
            return call_via(k, t, f, FN.alloc_pages, PAGE, LEAF.buf_page, 0, gfp, 0)
        _add_page(k, t, f, page)
    if f.flag and f.c != GET_BUF:
        f.flag = 0
        return _submit_read(k, t, f, page, SUBMITTED)
    if k.page[page].pflags & PG_LOCKED and f.c != READAHEAD_BUF:
        return call_via(k, t, f, FN.wait_on_page, WAITED, LEAF.buf_iowait, page, PG_LOCKED, 0)
    return _done(k, t, f)


@kfn
def buf_bio(k, x, slot, is_write):
    """A bio of the page of a metadata block. Reads are waited for, writes are not."""
    return xfs_bio(k, x, slot - k.xfs[x].first_row, k.xfs_block[slot].block, is_write, 1 - is_write)


@kfn
def _submit_read(k, t, f, page, resume):
    k.xfs[f.a].meta_reads += 1
    bio = buf_bio(k, f.a, f.b, 0)
    return call_via(k, t, f, FN.submit_bio, resume, LEAF.buf_iorequest, bio, 0, 0)


@kfn
def _done(k, t, f):
    """Nobody holds what was only read ahead."""
    b = k.xfs_block[f.b]
    if f.c == READAHEAD_BUF and b.held == 0 and b.has_buf:
        b.has_buf = 0
        slab_free(k, t, CACHE_XFS_BUF)
    return ret(k, t, f, 0)


@kfn
def _collect(k, t, f):
    """Bios for the oldest changes that may be written now. Returns a changed block whose log is not on disk, or NIL."""
    x = k.xfs[f.a]
    now_ms = now_of(k, t) // NS_PER_MS
    f.bio, f.d, f.count = NIL, NIL, 0
    slot = x.ail_head
    while slot != NIL and f.count < BATCH:
        b = k.xfs_block[slot]
        if b.state == B_DIRTY and (x.push or now_ms - b.when_ms >= AGE_MS):
            if b.lsn > x.synced:
                return slot
            b.state = B_WRITING
            bio = buf_bio(k, f.a, slot, 1)
            if f.bio == NIL:
                f.bio = bio
            else:
                k.bio[f.d].next = bio
            f.d = bio
            f.count += 1
        slot = b.ail_next
    return NIL


@kfn
def xfsbufd(k, t, f):
    """The buffer daemon: writes old metadata, or all of it when the log is short of room. f.a in: filesystem."""
    LOOK, SUBMITTED = 1, 2
    x = k.xfs[f.a]
    pinned = _collect(k, t, f)
    if f.bio != NIL:
        return call_via(k, t, f, FN.submit_bio, SUBMITTED, LEAF.bdstrat, f.bio, 0, 0)
    if f.pc == SUBMITTED:
        request_unplug(k, t, queue_of(k, f.a))
    if pinned != NIL:
        return call(k, t, f, FN.xfs_log_force, LOOK, f.a, k.xfs_block[pinned].lsn, 0)
    x.push = 0
    f.pc = LOOK
    return sleep_on(k, t, x.wait + WAIT_DAEMON, k.param.hz if x.ail_head != NIL else 0, 0)
