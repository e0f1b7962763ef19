# SPDX-License-Identifier: GPL-2.0-or-later
"""Readahead: how much more than asked is read, and when the next window is started.

Source: Linux v2.6.34 mm/readahead.c:ondemand_readahead.  Differs: no context readahead from cached history; the
window is kept by task, not by open file, so a task that reads several files in turn begins anew at each.
"""

from pageout.engine.clock import out_of_slice, spend
from pageout.engine.constants import (
    ENTRY,
    GFP_COLD,
    GFP_HIGHUSER_MOVABLE,
    GFP_NORETRY,
    NIL,
    PG_FOLIO,
    PG_LOCKED,
    PG_READAHEAD,
    PG_UPTODATE,
    READ,
    YIELD,
)
from pageout.engine.kstack import call, ret
from pageout.jit import kfn
from pageout.kernel.block.bio import bio_add
from pageout.kernel.costs import LOOKUP_NS
from pageout.kernel.frames import FN
from pageout.kernel.fs.folios import begins_folio, has_large_folios
from pageout.kernel.fs.xfs_items import inode_locked, sleep_on_inode
from pageout.kernel.mm.buddy import free_page, try_alloc
from pageout.kernel.mm.filemap import add_to_page_cache, find_page
from pageout.kernel.mm.memcontrol import commit_charge, may_charge

ADVICE_NORMAL, ADVICE_SEQUENTIAL, ADVICE_RANDOM = 0, 1, 2
GFP_READAHEAD = GFP_HIGHUSER_MOVABLE | GFP_COLD


@kfn
def ra_pages(k, inode):
    """Pages that are read ahead of this file at most: its device's read_ahead_kb."""
    return k.queue[k.bdi[k.inode[inode].bdi].queue].ra_pages


@kfn
def advice_of(k, t):
    """What the task said of its files by posix_fadvise().  Source: mm/fadvise.c:generic_fadvise."""
    return k.job[k.task[t].job].advice


@kfn
def _initial_size(nr_asked, most):
    size = 1
    while size < nr_asked:
        size <<= 1
    if size <= most // 32:
        return size * 4
    if size <= most // 4:
        return size * 2
    return most


@kfn
def _next_size(size, most):
    size = size * 4 if size < most // 16 else size * 2
    return size if size < most else most


@kfn
def _next_hole(k, inode, index, limit):
    for i in range(index, index + limit):
        if i >= k.inode[inode].size_pages or find_page(k, inode, i) == NIL:
            return i
    return NIL


@kfn
def plan_readahead(k, t, inode, index, nr_asked, hit_marker):
    """Choose the window to read now. Returns (start, pages, place of its marker from its end); 0 pages: none."""
    task = k.task[t]
    most = ra_pages(k, inode)
    if advice_of(k, t) == ADVICE_RANDOM:
        return index, nr_asked, 0
    if advice_of(k, t) == ADVICE_SEQUENTIAL:
        most *= 2
    if task.ra_inode != inode:
        task.ra_inode, task.ra_start, task.ra_size, task.ra_async = inode, 0, 0, 0
    end = task.ra_start + task.ra_size
    if index > 0 and (index == end - task.ra_async or index == end) and task.ra_size > 0:
        task.ra_start = end
        task.ra_size = _next_size(task.ra_size, most)
        task.ra_async = task.ra_size
    elif hit_marker:
        start = _next_hole(k, inode, index + 1, most)
        if start == NIL:
            return 0, 0, 0
        task.ra_start = start
        task.ra_size = _next_size(start - index + nr_asked, most)
        task.ra_async = task.ra_size
    elif index == 0 or nr_asked > most or 0 <= index - task.prev_index <= 1:
        task.ra_start = index
        task.ra_size = _initial_size(nr_asked, most)
        task.ra_async = task.ra_size - nr_asked if task.ra_size > nr_asked else task.ra_size
    else:
        return index, nr_asked, 0
    if index == task.ra_start and task.ra_size == task.ra_async:
        task.ra_async = _next_size(task.ra_size, most)
        task.ra_size += task.ra_async
    return task.ra_start, task.ra_size, task.ra_async


@kfn
def do_readahead(k, t, f):
    """Bring a run of file pages in: allocate what is missing, then send the reads.

    f.a, f.b, f.c   in: inode, first page, number of pages; f.left: pages from the end at which the marker goes
    (0: none), set by the caller in task.readahead_mark; f.total: the page last put in.  Sleeps: yes.
    """
    PAGES, ALLOCATED, SUBMITTED, LOCKED, CHARGED = 1, 2, 3, 4, 5
    task = k.task[t]
    pc = f.pc
    if pc == ENTRY:
        f.inode, f.index, f.pos = f.a, f.b, f.b + f.c
        if f.pos > k.inode[f.inode].size_pages:
            f.pos = k.inode[f.inode].size_pages
        f.left = f.b + f.c - task.readahead_mark if task.readahead_mark else NIL
        f.d, f.total = NIL, NIL
        pc = LOCKED
    elif pc == ALLOCATED:
        if task.retval == NIL:
            f.pos = f.index
        else:
            _fill(k, t, f, task.retval)
    elif pc == SUBMITTED:
        return ret(k, t, f, 0)
    elif pc == CHARGED and task.retval < 0:
        f.pos = f.index
    if pc == LOCKED and inode_locked(k, t, f.inode):
        f.pc = LOCKED
        return sleep_on_inode(k, t, f.inode)
    while f.index < f.pos:
        if find_page(k, f.inode, f.index) == NIL:
            gfp = GFP_READAHEAD & ~k.inode[f.inode].gfp_off
            if not may_charge(k, t):
                return call(k, t, f, FN.try_charge_memcg, CHARGED, _hard(f, gfp), 0, 0)
            page = try_alloc(k, t, 0, gfp)
            if page == NIL:
                return call(k, t, f, FN.page_cache_alloc, ALLOCATED, 0, gfp, 0)
            _fill(k, t, f, page)
        else:
            spend(k, t, LOOKUP_NS)
            f.index += 1
        if out_of_slice(k, t):
            f.pc = PAGES
            return YIELD
    if k.inode[f.inode].lower != NIL and f.pos > f.b:
        return call(k, t, f, FN.unionfs_readpage, SUBMITTED, f.inode, f.b, f.pos - f.b)
    if f.bio == NIL:
        return ret(k, t, f, 0)
    return call(k, t, f, FN.submit_bio, SUBMITTED, f.bio, 0, 0)


@kfn
def _hard(f, gfp):
    """How hard a group's limit is tried for a page: not very, unless it is the first one, which was asked for."""
    return gfp if f.index == f.b else gfp | GFP_NORETRY


@kfn
def _fill(k, t, f, page):
    """Put a fresh frame into the file at f.index and its block into the read; a hole is zeroes at once.

    A page begins a folio if the one before it was cached already (f.total: the last that was put in).
    """
    if find_page(k, f.inode, f.index) != NIL:
        free_page(k, t, page, 0)
        return
    block = k.slot[k.inode[f.inode].slot_start + f.index].block
    pflags = PG_READAHEAD if f.index == f.left else 0
    follows = f.total >= 0 and f.total == f.index - 1
    if has_large_folios(k, f.inode) and follows and not begins_folio(f.index, f.b, f.pos):
        pflags |= PG_FOLIO
    commit_charge(k, t, page)
    if block == NIL:
        add_to_page_cache(k, t, page, f.inode, f.index, pflags | PG_UPTODATE)
    else:
        add_to_page_cache(k, t, page, f.inode, f.index, pflags | PG_LOCKED)
        began = f.d == NIL
        f.d = bio_add(k, NIL, f.d, f.inode, f.index, block, READ, 1, 0)
        if began:
            f.bio = f.d
    k.stat.readahead_pages += 1
    f.total = f.index
    f.index += 1
