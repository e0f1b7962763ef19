# SPDX-License-Identifier: GPL-2.0-or-later
"""posix_fadvise(POSIX_FADV_DONTNEED) of a whole file: what is clean, unmapped and idle leaves the page cache.

Source: Linux v6.1 mm/fadvise.c:generic_fadvise, mm/truncate.c:invalidate_mapping_pagevec.  Differs: dirty pages are not
begun to be written, and what cannot be dropped stays where it is on its list.
"""

from pageout.engine.clock import out_of_slice, spend
from pageout.engine.constants import (
    ENTRY,
    NIL,
    PG_DIRTY,
    PG_ISOLATED,
    PG_LOCKED,
    PG_LRU,
    PG_MAPPED,
    PG_WRITEBACK,
    YIELD,
)
from pageout.engine.kstack import ret
from pageout.jit import kfn
from pageout.kernel.costs import LOOKUP_NS
from pageout.kernel.mm.buddy import free_page
from pageout.kernel.mm.filemap import find_page, remove_from_page_cache, trace_removal
from pageout.kernel.mm.swap import lru_del, lru_drain_page

BUSY = PG_DIRTY | PG_LOCKED | PG_WRITEBACK | PG_MAPPED | PG_ISOLATED


@kfn
def sys_fadvise64(k, t, f):
    """Drop a file's pages.

    f.a   in: inode.  Returns 0.  Sleeps: no, but it gives up the CPU.
    """
    PAGES = 1
    if f.pc == ENTRY:
        spend(k, t, k.param.syscall_ns)
    nr_slots = k.inode[f.a].nr_slots
    while f.index < nr_slots:
        page = find_page(k, f.a, f.index)
        if page != NIL:
            lru_drain_page(k, page)
            spend(k, t, LOOKUP_NS)
            if not k.page[page].pflags & BUSY:
                _drop(k, t, page)
        f.index += 1
        if out_of_slice(k, t):
            f.pc = PAGES
            return YIELD
    return ret(k, t, f, 0)


@kfn
def _drop(k, t, page):
    if k.page[page].pflags & PG_LRU:
        lru_del(k, page)
    trace_removal(k, t, page)
    remove_from_page_cache(k, page)
    free_page(k, t, page, 0)
