# SPDX-License-Identifier: GPL-2.0-or-later
"""Slab caches, as far as pages go: objects come out of pages, a page is taken when no object is free.

Simplified from Linux v2.6.34 mm/slub.c: one partial list a cache, on which the objects in use are packed, so that a
page is empty as soon as the free objects would fill one. No per-CPU slabs, orders above 0 not used.
"""

from pageout.engine.constants import NIL
from pageout.jit import kfn
from pageout.kernel.mm.buddy import free_pages, mark_kernel

CACHE_XFS_TRANS, CACHE_XFS_BUF, CACHE_XFS_TICKET, NR_CACHES = 0, 1, 2, 3
# assumed: bytes of xfs_trans_t (with its first chunks of items and busy extents), xfs_buf_t and xlog_ticket_t of 2.6.34
# on x86-64, counted by hand from fs/xfs/xfs_trans.h, linux-2.6/xfs_buf.h, xfs_log_priv.h
OBJECT_BYTES = (1168, 432, 184)
PARTIAL = 5  # empty slabs a cache keeps. Source: mm/slub.c:MIN_PARTIAL


@kfn
def slab_alloc(k, cache):
    """Take a free object; False if the cache has none and needs a page first."""
    s = k.slab[cache]
    if s.nr_free == 0:
        return False
    s.nr_free -= 1
    s.nr_used += 1
    return True


@kfn
def slab_grow(k, cache, page):
    """Make a fresh page a slab."""
    s = k.slab[cache]
    mark_kernel(k, page, 0)
    k.page[page].lru_next = s.head
    s.head = page
    s.nr_pages += 1
    s.nr_free += s.per_slab


@kfn
def slab_free(k, t, cache):
    """Give an object back; a page goes back to the allocator when more than PARTIAL are empty."""
    s = k.slab[cache]
    s.nr_free += 1
    s.nr_used -= 1
    if s.nr_free >= (PARTIAL + 1) * s.per_slab and s.head != NIL:
        page = s.head
        s.head = k.page[page].lru_next
        s.nr_pages -= 1
        s.nr_free -= s.per_slab
        free_pages(k, t, page, 0)
