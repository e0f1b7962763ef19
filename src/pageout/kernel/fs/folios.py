# SPDX-License-Identifier: GPL-2.0-or-later
"""Folios of more than one page, as far as a writer notices them: how much goes into the cache at a time.

A page is still the unit that is reclaimed and written here; what a large folio changes is when a writer is looked at,
and how large a bio can get.  Source: Linux v6.18 mm/filemap.c:__filemap_get_folio, include/linux/pagemap.h.
"""

from pageout.engine.constants import FOLIOS_ALL, FOLIOS_NONE, FOLIOS_XFS, FS_EXT4, FS_XFS, NIL, PG_FOLIO
from pageout.jit import kfn, lowest_bit
from pageout.kernel.mm.dirty_throttle import ilog2
from pageout.kernel.mm.filemap import find_page

MAX_FOLIO_ORDER = 9  # assumed: of the page cache, PMD_ORDER


@kfn
def has_large_folios(k, inode):
    """Does this file's filesystem put folios of many pages into the cache?"""
    kind = k.fs[k.inode[inode].fs].kind
    if k.param.write_folios == FOLIOS_ALL:
        return kind in (FS_EXT4, FS_XFS)
    return k.param.write_folios == FOLIOS_XFS and kind == FS_XFS


@kfn
def join_folio(k, page, first):
    """A page that a write put into the cache is in one piece with the page before it, but for the folio's first."""
    pg = k.page[page]
    if k.param.write_folios != FOLIOS_NONE and pg.index > first and has_large_folios(k, pg.mapping):
        pg.pflags |= PG_FOLIO


@kfn
def begins_folio(index, start, end):
    """Does a folio begin at `index` of what is read from `start` up to `end`? Each is as large as its place allows.

    Source: Linux v6.18 mm/readahead.c:page_cache_ra_order.  Differs: the order does not have to grow first.
    """
    order = min(ilog2(end - start), MAX_FOLIO_ORDER)
    while order > 0:
        first = index >> order << order
        if first >= start and first + (1 << order) <= end:
            return first == index
        order -= 1
    return True


@kfn
def folio_first(k, inode, index):
    """The first page of the folio that a cached page is in."""
    while index > 0:
        page = find_page(k, inode, index)
        if page == NIL or not k.page[page].pflags & PG_FOLIO:
            break
        before = find_page(k, inode, index - 1)
        if before == NIL:
            break
        index -= 1
    return index


@kfn
def folio_next(k, inode, index):
    """The first page behind the folio that a cached page is in."""
    index += 1
    page = find_page(k, inode, index) if index < k.inode[inode].nr_slots else NIL
    while page != NIL and k.page[page].pflags & PG_FOLIO:
        index += 1
        page = find_page(k, inode, index) if index < k.inode[inode].nr_slots else NIL
    return index


@kfn
def is_looked_at_before(k):
    """Since large folios, balance_dirty_pages is called before a folio is filled; till then, after each page."""
    return k.param.write_folios != FOLIOS_NONE


@kfn
def folio_end(k, inode, pos, nbytes):
    """Where the folio ends that a write of so many bytes at `pos` begins with, in bytes."""
    index = pos >> 12
    order = 0
    if has_large_folios(k, inode) and nbytes >= 8192:
        order = min(ilog2(nbytes >> 12), MAX_FOLIO_ORDER)
        if index & ((1 << order) - 1):
            order = lowest_bit(index)
    return (index + (1 << order)) << 12
