# SPDX-License-Identifier: GPL-2.0-or-later
"""The cache size-1024 of kmalloc(), as far as the stack diet needs it: objects in slabs of one page.

Source: Linux v2.6.34 mm/slab.c:cache_alloc_refill, cache_grow, cache_reap. Differs: which object lies in which slab is
not kept, any four free ones make a slab that may go; the reaper works when the next object is asked for.
"""

from pageout.engine.clock import now_of, spend
from pageout.engine.constants import ENTRY, GFP_KERNEL, NIL, NS_PER_S
from pageout.engine.kstack import call, ret
from pageout.jit import kfn
from pageout.kernel.costs import ALLOC_NS
from pageout.kernel.frames import FN
from pageout.kernel.mm.buddy import free_pages, mark_kernel, try_alloc

PER_SLAB = 4
BATCH = 27  # objects a CPU fetches at once (mm/slab.c:enable_cpucache: half of 54 for sizes over 256)
REAP_NS = 2 * NS_PER_S  # REAPTIMEOUT_CPUC


@kfn
def kmalloc_take(k, t):
    """Take a free object. Returns 1, or 0 if a new slab is needed first."""
    spend(k, t, ALLOC_NS)
    if k.stat.kmalloc_free == 0:
        return 0
    k.stat.kmalloc_free -= 1
    return 1


@kfn
def kfree(k, t):
    """Give an object back."""
    spend(k, t, ALLOC_NS)
    k.stat.kmalloc_free += 1


@kfn
def cache_reap(k, t):
    """Every two seconds some of the empty slabs go back to the page allocator."""
    stat = k.stat
    if now_of(k, t) - stat.kmalloc_reaped_ns < REAP_NS:
        return
    stat.kmalloc_reaped_ns = now_of(k, t)
    free_limit = (1 + k.param.nr_cpus) * BATCH + PER_SLAB
    left = (free_limit + 5 * PER_SLAB - 1) // (5 * PER_SLAB)
    while left > 0 and stat.kmalloc_free >= PER_SLAB and stat.kmalloc_page != NIL:
        page = stat.kmalloc_page
        stat.kmalloc_page = k.page[page].lru_next
        stat.kmalloc_pages -= 1
        stat.kmalloc_free -= PER_SLAB
        free_pages(k, t, page, 0)
        left -= 1


@kfn
def kmalloc_refill(k, t, f):
    """Add a slab to the cache and take an object from it. Returns 0, or NIL if there is no page. Sleeps: yes."""
    if f.pc == ENTRY:
        page = try_alloc(k, t, 0, GFP_KERNEL)
        if page == NIL:
            return call(k, t, f, FN.alloc_pages, 1, 0, GFP_KERNEL, 0)
    else:
        page = k.task[t].retval
    if page == NIL:
        return ret(k, t, f, NIL)
    mark_kernel(k, page, 0)
    k.page[page].lru_next = k.stat.kmalloc_page
    k.stat.kmalloc_page = page
    k.stat.kmalloc_pages += 1
    k.stat.kmalloc_free += PER_SLAB - 1
    return ret(k, t, f, 0)
