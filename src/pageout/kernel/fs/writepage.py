# SPDX-License-Identifier: GPL-2.0-or-later
"""What a filesystem does when asked to write a page: choose blocks, gather neighbours, submit.

XFS has its own module.  Source: Linux v2.6.34 fs/buffer.c, mm/page_io.c.
"""

from pageout.engine.clock import spend
from pageout.engine.constants import (
    ENTRY,
    NIL,
    PG_LOCKED,
)
from pageout.engine.kstack import call, ret
from pageout.engine.waitqueue import wake_page
from pageout.jit import kfn
from pageout.kernel.block.bio import bio_add
from pageout.kernel.frames import FN
from pageout.kernel.mm.causes import count_reclaim_write, forget_reclaim_write, note_clustered
from pageout.kernel.mm.filemap import (
    block_of,
    redirty_page,
    set_page_writeback,
    unlock_page,
)

BIO_PAGES_A_TURN = 256
FOR_RECLAIM = 2  # submitters below it: direct reclaim, kswapd


@kfn
def count_written(k, t, submitter, nr_pages):
    """Who submitted the pages: direct reclaim, kswapd, flusher or writer."""
    if submitter < FOR_RECLAIM:
        count_reclaim_write(k, t, 1 - submitter)
    if submitter == 0:
        k.stat.written_direct += nr_pages
    elif submitter == 1:
        k.stat.written_kswapd += nr_pages
    elif submitter == 2:
        k.stat.written_flusher += nr_pages
    else:
        k.stat.written_writer += nr_pages
    k.task[t].written_pages += nr_pages


@kfn
def count_clustered(k, t, submitter, nr_pages):
    """As count_written, for pages that nobody asked for: they lie beside one that somebody did ask for."""
    count_written(k, t, submitter, nr_pages)
    if submitter < FOR_RECLAIM:
        note_clustered(k, submitter, nr_pages)


@kfn
def refuse_page(k, t, page, submitter):
    """redirty_page_for_writepage: the page stays dirty, unlocked, as old as it was."""
    k.stat.writepage_refused += 1
    if submitter < FOR_RECLAIM:
        k.stat.reclaim_refused += 1
        forget_reclaim_write(k, t)
    redirty_page(k, t, page)
    unlock_page(k, page)


@kfn
def start_page(k, t, page):
    """Put a page, clean by now, under writeback and unlock it."""
    set_page_writeback(k, page)
    if k.page[page].pflags & PG_LOCKED:
        k.page[page].pflags ^= PG_LOCKED
        wake_page(k, page)
    spend(k, t, k.param.writepage_ns)


@kfn
def add_page(k, t, f, page):
    """Put a page under writeback and into the chain; returns the chain's first bio if it began with this page."""
    start_page(k, t, page)
    began = f.d == NIL
    pg = k.page[page]
    f.d = bio_add(k, NIL, f.d, pg.mapping, pg.index, f.pos, 1, k.task[t].wbc_sync if f.b >= 2 else 0, f.b)
    return f.d if began else f.bio


@kfn
def swap_writepage(k, t, f):
    """Write one anonymous page to its swap slot. f.a, f.b in: page, submitter. Sleeps: yes."""
    if f.pc == ENTRY:
        pg = k.page[f.a]
        f.inode, f.index, f.d = pg.mapping, pg.index, NIL
        f.pos = block_of(k, f.inode, f.index)
        f.bio = add_page(k, t, f, f.a)
        count_written(k, t, f.b, 1)
        k.vm.pswpout += 1
        return call(k, t, f, FN.submit_bio, 1, f.bio, 0, 0)
    return ret(k, t, f, 0)
