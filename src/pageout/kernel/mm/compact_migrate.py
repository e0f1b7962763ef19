# SPDX-License-Identifier: GPL-2.0-or-later
"""Compaction's other scanner: it finds pages in use, from the zone's low end up, 32 at a time, and moves them.

For orders above 3 it first looks at the largest free blocks for a pageblock that is partly free already. It marks the
one it picks, and then finds it marked: so in 6.1 a pageblock picked so is passed by, and where the next run begins with
it.  Fields of the frame as in compact_free.py, and f.page the first page to be moved; f.index fast_start_pfn.
Source: Linux v6.1 mm/compaction.c:isolate_migratepages, isolate_migratepages_block, fast_find_migrateblock,
reinit_migrate_pfn, update_cached_migrate; mm/migrate.c:migrate_pages.
Differs: who waits for a page's lock is not waited for; large folios are moved page by page.
"""

from pageout.engine.clock import spend
from pageout.engine.constants import (
    MIGRATE_MOVABLE,
    NIL,
    PAGE_ALLOC_COSTLY_ORDER,
    PAGEBLOCK_ORDER,
    PG_BUDDY,
    PG_DIRTY,
    PG_KERNEL,
    PG_LOCKED,
    PG_LRU,
    PG_SWAPBACKED,
    PG_SWAPCACHE,
    PG_WAITERS,
    PG_WRITEBACK,
)
from pageout.jit import kfn
from pageout.kernel.mm.buddy import free_page
from pageout.kernel.mm.compact_free import (
    COMPACT_CLUSTER_MAX,
    block_of,
    compaction_alloc,
    compaction_free,
    freelist_scan_limit,
    is_skipped,
    peek,
    scanners_met,
    set_skip,
)
from pageout.kernel.mm.compaction import KIND_MASK, MODE_DIRECT, MODE_NOFS, MODE_SYNC, MODE_WHOLE, PAGEBLOCK
from pageout.kernel.mm.free_area import movable_blocks, order_of, pageblock_type, turn_list
from pageout.kernel.mm.swap import lru_add, lru_del

USED_UP = -2  # of fast_start_pfn: the linear scan has been sent back there once


@kfn
def is_careful(f):
    """Asynchronous direct compaction moves the pages of a block of the wanted order only if it can move them all."""
    return f.c & MODE_DIRECT and not f.c & MODE_SYNC


@kfn
def order_end(f, page):
    """Where the block of the wanted order ends that a page is in."""
    return (page >> f.b) + 1 << f.b


@kfn
def _is_isolated(k, f, page):
    """May the page be taken off its list to be moved? None that is being written, nor one dirty and locked."""
    pg = k.page[page]
    pflags = pg.pflags
    if not pflags & PG_LRU or pflags & PG_WRITEBACK or (pflags & PG_DIRTY and pflags & PG_LOCKED):
        return False
    if pflags & PG_SWAPBACKED and not pflags & PG_SWAPCACHE:
        return pg.refs == 0
    return not f.c & MODE_NOFS


@kfn
def _can_move(k, page):
    """Nobody else holds on to it."""
    pg = k.page[page]
    return not pg.pflags & (PG_LOCKED | PG_WAITERS) and pg.refs == 0


@kfn
def _put_back(k, f):
    """putback_movable_pages: those that were not moved, to the heads of their lists."""
    while f.page != NIL:
        page = f.page
        f.page = k.page[page].lru_next
        lru_add(k, page)


@kfn
def _update_cached_migrate(k, f, end):
    """A pageblock is done with: later runs begin behind the one after it."""
    z = k.zone[f.a]
    begin = block_of(end) + PAGEBLOCK
    z.compact_async = max(z.compact_async, begin)
    if f.c & MODE_SYNC:
        z.compact_migrate = max(z.compact_migrate, begin)


@kfn
def _isolate_migratepages_block(k, t, f, page, end, rescan):
    """Take pages off their lists, 32 at most: from a frame to its pageblock's end. f.pos: where it stopped.

    rescan: it was begun, so all the rest at once.  A pageblock in which nothing was found, or that was gone through
    twice, is done with.
    """
    scanned, next_skip, looked, updated = 0, order_end(f, page) if is_careful(f) else 0, False, False
    while page < end:
        if is_careful(f) and page >= next_skip:
            if f.nr_taken > 0:
                break
            next_skip = order_end(f, page)
        scanned += 1
        if not looked and page & PAGEBLOCK - 1 == 0:
            if is_skipped(k, f, page):
                page = end
                break
            looked = True
        pflags = k.page[page].pflags
        if pflags & PG_BUDDY:
            page += 1 << order_of(k, page)
            continue
        if _is_isolated(k, f, page):
            if not updated and page & PAGEBLOCK - 1 == 0 and not f.c & MODE_WHOLE:
                set_skip(k, page)
            updated = True
            lru_del(k, page)
            k.page[page].lru_next, f.page = f.page, page
            f.nr_taken += 1
            page += 1
            if f.nr_taken >= COMPACT_CLUSTER_MAX and not rescan:
                break
            continue
        if pflags & PG_KERNEL:
            page += (1 << order_of(k, page)) - 1
        if is_careful(f):
            _put_back(k, f)
            f.nr_taken = 0
            if page < next_skip:
                page = next_skip - 1
                next_skip += 1 << f.b
        page += 1
    page = min(page, end)
    if page == end and (f.nr_taken == 0 or rescan):
        if looked and not updated:
            set_skip(k, end - 1)
        _update_cached_migrate(k, f, end)
    k.node.compact_migrate_scanned += scanned
    k.node.compact_isolated += f.nr_taken
    peek(k, t, scanned)
    f.pos = page


@kfn
def _source_on_list(k, f, number, high, left):
    """Look at so many blocks of a list for one below a frame, in a pageblock not marked; 1 + it, or minus those seen.

    The next search of the list begins behind what was looked at.
    """
    page, seen, found = k.free_list[number].head, 0, False
    while page != NIL:
        after = k.page[page].lru_next
        seen += 1
        found = seen <= left and page < high and not k.pageblock_skip[page >> PAGEBLOCK_ORDER]
        if found or seen > left:
            if after != NIL:
                turn_list(k, number, after)
            break
        page = after
    k.node.compact_migrate_scanned += seen
    return 1 + page if found else -seen


@kfn
def _fast_find_migrateblock(k, f):
    """The pageblock of a large free block low in the zone, to be emptied first; else where the scanner is.

    Only where a pageblock begins, for an order above 3 and kcompactd or who wants a movable block.  With none found the
    scanner is sent to the lowest block so picked, once.
    """
    z = k.zone[f.a]
    begins = f.pos == z.start_page or f.pos & PAGEBLOCK - 1 == 0
    if f.c & MODE_WHOLE or not begins or f.b <= PAGE_ALLOC_COSTLY_ORDER:
        return f.pos
    if f.c & MODE_DIRECT and f.c & KIND_MASK != MIGRATE_MOVABLE:
        return f.pos
    distance = f.left - f.pos >> 1
    if f.pos != z.start_page:
        distance >>= 2
    high, left, order = block_of(f.pos + distance), freelist_scan_limit(f), f.b - 1
    while order >= PAGE_ALLOC_COSTLY_ORDER and left > 0:
        found = _source_on_list(k, f, movable_blocks(f.a, order), high, left)
        if found > 0:
            set_skip(k, found - 1)
            f.stage = 0
            if f.index != USED_UP:
                f.index = found - 1 if f.index == NIL else min(f.index, found - 1)
            return max(block_of(found - 1), z.start_page)
        left += found
        order -= 1
    f.stage += 1
    if f.index >= 0:
        f.pos, f.index = f.index, USED_UP
    return f.pos


@kfn
def _is_source(k, f, block):
    """suitable_migration_source: no huge page; asynchronous direct compaction keeps to pageblocks of its own kind."""
    if k.page[block].pflags & PG_KERNEL and order_of(k, block) >= PAGEBLOCK_ORDER:
        return False
    return not is_careful(f) or pageblock_type(k, block) == f.c & KIND_MASK


@kfn
def isolate_migratepages(k, t, f, rescan):
    """Go on to a pageblock worth looking at, and take pages of it; f.page, f.nr_taken: what was taken."""
    f.page, f.nr_taken = NIL, 0
    page = _fast_find_migrateblock(k, f)
    picked = page != f.pos and f.stage == 0
    end = block_of(page) + PAGEBLOCK
    while end <= f.left:
        if picked or page & PAGEBLOCK - 1 != 0 or not is_skipped(k, f, page):
            if _is_source(k, f, max(end - PAGEBLOCK, k.zone[f.a].start_page)):
                _isolate_migratepages_block(k, t, f, page, end, rescan)
                return
            _update_cached_migrate(k, f, end)
        picked = False
        f.pos, page = end, end
        end += PAGEBLOCK


@kfn
def _move(k, t, old, new):
    """The page moves to another frame: what is known of it, its place in its file, a place at the head of its list."""
    was, is_now = k.page[old], k.page[new]
    is_now.pflags, is_now.mapping, is_now.index = was.pflags, was.mapping, was.index
    is_now.dirtied_when, is_now.refs, is_now.memcg = was.dirtied_when, 0, was.memcg
    k.slot[k.inode[was.mapping].slot_start + was.index].page = new
    lru_add(k, new)
    was.pflags, was.memcg, was.gen = 0, 0, 0
    free_page(k, t, old, 0)
    k.node.pgmigrate_success += 1
    spend(k, t, k.param.scan_ns + k.param.copy_ns)


@kfn
def _migrate_pages(k, t, f):
    """Move the pages taken; who cannot be moved goes back. Returns how many could not; -1: there was no frame left."""
    failed, kept = 0, NIL
    new = NIL
    while f.page != NIL:
        old, new = f.page, compaction_alloc(k, t, f)
        if new == NIL:
            failed += 1
            break
        f.page = k.page[old].lru_next
        if _can_move(k, old):
            _move(k, t, old, new)
        else:
            compaction_free(k, f, new)
            k.page[old].lru_next, kept = kept, old
            failed += 1
    k.node.pgmigrate_fail += failed
    _put_back(k, f)
    f.page = kept
    _put_back(k, f)
    return failed if new != NIL else -1


@kfn
def move_pages(k, t, f):
    """Move what was taken. False: no free frame was left to move one to, though the scanners have not met."""
    failed = _migrate_pages(k, t, f)
    if failed < 0 and not scanners_met(f):
        return False
    if failed != 0 and is_careful(f):  # the block of the wanted order will not come about
        f.pos = order_end(f, f.pos - 1)
        f.total = 0
    return True
