# SPDX-License-Identifier: GPL-2.0-or-later
"""Folios of more than one page, as far as a writer notices them: how much goes into the cache at a time.

A page is still the unit that is reclaimed and written here; what a large folio changes is when a writer is looked at,
and how large a bio can get.  Source: Linux v6.18 mm/filemap.c:__filemap_get_folio, include/linux/pagemap.h.
"""

from pageout.engine.constants import FOLIOS_ALL, FOLIOS_NONE, FOLIOS_XFS, FS_EXT4, FS_XFS, PG_FOLIO
from pageout.jit import kfn, lowest_bit
from pageout.kernel.mm.dirty_throttle import ilog2

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
