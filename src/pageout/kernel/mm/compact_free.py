# SPDX-License-Identifier: GPL-2.0-or-later
"""Compaction's free scanner: it takes free frames for a batch of pages beforehand, from the zone's high end down.

First a short search of the free lists, from their ends, in the orders below the wanted one by turns; then pageblock by
pageblock. A pageblock that has been gone through, or has not enough for the batch, is marked to be skipped, which the
other scanner goes by, too.

Fields of compact_zone's frame (its compact_control): f.a, f.b, f.c zone, order, MODE_*; f.pos migrate_pfn; f.left
free_pfn; f.list_head, f.count freepages, nr_freepages; f.nr_taken nr_migratepages; f.order search_order; f.stage
fast_search_fail.
Source: Linux v6.1 mm/compaction.c:isolate_freepages, fast_isolate_freepages, fast_isolate_around,
isolate_freepages_block, next_search_order, compaction_alloc.
"""

from pageout.engine.clock import spend
from pageout.engine.constants import MIGRATE_MOVABLE, NIL, PAGEBLOCK_ORDER, PG_BUDDY, PG_KERNEL
from pageout.jit import kfn
from pageout.kernel.mm.buddy import free_page
from pageout.kernel.mm.compaction import MODE_DIRECT, MODE_PROACTIVE, MODE_SYNC, MODE_WHOLE, PAGEBLOCK
from pageout.kernel.mm.free_area import (
    last_block,
    movable_blocks,
    order_of,
    pageblock_type,
    take_free_block,
    turn_list,
)

COMPACT_CLUSTER_MAX = 32
PEEKS = 16  # assumed: so many pages are passed by in the time reclaim takes for one
NOWHERE = 1 << 62  # above every frame


@kfn
def peek(k, t, pages):
    """So many pages were looked at."""
    spend(k, t, pages * k.param.scan_ns // PEEKS)


@kfn
def is_skipped(k, f, page):
    """Is the pageblock marked? Never so for who looks at everything. Source: isolation_suitable."""
    return not f.c & MODE_WHOLE and k.pageblock_skip[page >> PAGEBLOCK_ORDER]


@kfn
def set_skip(k, page):
    """Mark the pageblock: both scanners pass it by from now on."""
    k.pageblock_skip[page >> PAGEBLOCK_ORDER] = 1


@kfn
def block_of(page):
    """Where the page's pageblock begins."""
    return page >> PAGEBLOCK_ORDER << PAGEBLOCK_ORDER


@kfn
def scanners_met(f):
    """Have the scanners come to the same pageblock, or passed each other?"""
    return f.left >> PAGEBLOCK_ORDER <= f.pos >> PAGEBLOCK_ORDER


@kfn
def freelist_scan_limit(f):
    """Blocks to look at in a search of the free lists: the fewer, the more searches have failed."""
    return (COMPACT_CLUSTER_MAX >> min(f.stage, 63)) + 1


@kfn
def _hold(k, t, f, page):
    """Take a free block, on top of those held; frames taken, 0 if the zone would fall to its MIN mark."""
    z, nr = k.zone[f.a], 1 << order_of(k, page)
    if z.nr_free <= z.wmark_min + z.reserve0 + nr:
        return 0
    take_free_block(k, f.a, page)
    for frame in range(page, page + nr):
        pg = k.page[frame]
        pg.pflags, pg.mapping, pg.lru_prev, pg.lru_next = PG_KERNEL, NIL, NIL, f.list_head
        f.list_head = frame
    f.count += nr
    k.node.compact_isolated += nr
    return nr


@kfn
def _isolate_freepages_block(k, t, f, page, end, stride):
    """Take the free blocks from a frame on, until as many frames are held as there are pages to move.

    stride: how many frames further on to look after one that is in use, or a block.  Returns where it stopped: the end,
    or behind the last block taken, or at one that must stay for the zone's mark.
    """
    scanned = 0
    while page < end:
        scanned += 1
        pflags = k.page[page].pflags
        if pflags & PG_BUDDY:
            nr = _hold(k, t, f, page)
            if nr == 0:
                break
            scanned += nr - 1
            page += nr
            if f.nr_taken <= f.count:
                break
            page += stride - 1
        else:
            if pflags & PG_KERNEL:
                page += (1 << order_of(k, page)) - 1
            page += stride
    k.node.compact_free_scanned += scanned
    peek(k, t, scanned)
    return min(page, end)


@kfn
def _fast_isolate_around(k, t, f, page):
    """What the search of the lists found was not enough: take the rest of its pageblock."""
    if f.count >= f.nr_taken or (f.c & MODE_DIRECT and not f.c & MODE_SYNC):
        return
    z = k.zone[f.a]
    start = max(block_of(page), z.start_page)
    _isolate_freepages_block(k, t, f, start, min(block_of(page) + PAGEBLOCK, z.end_page), 1)
    if f.count < f.nr_taken:
        set_skip(k, start)


@kfn
def _next_search_order(f, order):
    """The order to search after one; -1 after a whole turn, and the next search begins one order lower."""
    order -= 1
    if order < 0:
        order = f.b - 1
    if order == f.order:
        f.order = f.order - 1 if f.order > 0 else f.b - 1
        return -1
    return order


@kfn
def _fast_isolate_freepages(k, t, f):
    """Look at a few blocks at the end of the free lists for one in the upper quarter of the way between the scanners,
    or at least in the upper half, and take it; those looked at go to the front of their list.

    In the topmost pageblocks, where all begins, it looks at more, and the free scanner goes on where it was sent.
    """
    if f.b <= 0:
        return
    z, limit = k.zone[f.a], max(1, freelist_scan_limit(f) >> 1)
    at_start = f.left >= z.compact_init_free
    if at_start:
        limit = PAGEBLOCK >> 1
    distance = f.left - f.pos
    low, least = block_of(f.left - (distance >> 2)), block_of(f.left - (distance >> 1))
    if distance < 0:
        low, least = NOWHERE, NOWHERE
    f.order = min(f.b - 1, f.order)
    found, highest, scanned, order = NIL, 0, 0, f.order
    while found == NIL and order >= 0:
        number = movable_blocks(f.a, order)
        page, last, high, seen = last_block(k, number), NIL, NIL, 0
        while page != NIL:
            last = page
            seen += 1
            highest = max(highest, block_of(page), z.start_page)
            if page >= low:
                found, f.stage, f.order = page, 0, order
                break
            if page >= least and page > high:
                high = page
                limit >>= 1
            if seen >= limit:
                break
            page = k.page[page].lru_prev
        scanned += seen
        if found == NIL and high != NIL:
            found, last, page = high, high, high
        if page != NIL:
            turn_list(k, number, last)
        if found != NIL:
            nr = _hold(k, t, f, found)
            scanned += max(nr - 1, 0)
            if nr == 0:
                found, order = NIL, f.order + 1
        if seen >= limit:
            limit = max(1, limit >> 1)
        order = _next_search_order(f, order)
    if found == NIL:
        f.stage += 1
        found = _start_without(f, at_start, highest, least)
    if highest > 0 and highest >= z.compact_free:
        z.compact_free = highest - PAGEBLOCK
    k.node.compact_free_scanned += scanned
    peek(k, t, scanned)
    if found != NIL:
        _fast_isolate_around(k, t, f, found)


@kfn
def _start_without(f, at_start, highest, least):
    """Nothing on the lists would do: the frame to begin at instead, or NIL."""
    if at_start and highest >= least:
        f.left = highest
        return highest
    if at_start and f.c & MODE_DIRECT and least < NOWHERE:
        f.left = least
        return least
    return NIL


@kfn
def _is_target(k, f, block, start):
    """suitable_migration_target: movable pages belong there, and it is not free as a whole."""
    if k.page[start].pflags & PG_BUDDY and order_of(k, start) >= PAGEBLOCK_ORDER:
        return False
    return (f.c & MODE_WHOLE and not f.c & MODE_PROACTIVE) or pageblock_type(k, block) == MIGRATE_MOVABLE


@kfn
def _isolate_freepages(k, t, f):
    """Take free frames for the pages that are to be moved, by the free lists, else pageblock by pageblock downwards."""
    _fast_isolate_freepages(k, t, f)
    if f.count > 0:
        return
    z, floor = k.zone[f.a], block_of(f.pos) + PAGEBLOCK
    at, block = f.left, block_of(f.left)
    stride = 1 if f.c & MODE_SYNC else COMPACT_CLUSTER_MAX
    while block >= floor:
        end = min(block + PAGEBLOCK, z.end_page)
        if _is_target(k, f, block, block) and not is_skipped(k, f, block):
            before = f.count
            at = _isolate_freepages_block(k, t, f, at, end, stride)
            if at == end:
                set_skip(k, block)
                z.compact_free = min(z.compact_free, block)
            if f.count >= f.nr_taken:
                if at >= end:
                    at = block - PAGEBLOCK
                break
            if at < end:
                break
            stride = 1 if f.count > before else min(COMPACT_CLUSTER_MAX, stride << 1)
        block -= PAGEBLOCK
        at = block
    f.left = at


@kfn
def compaction_alloc(k, t, f):
    """A frame to move a page to; NIL if there is none above the other scanner, or none that the mark lets go."""
    if f.list_head == NIL:
        _isolate_freepages(k, t, f)
    page = f.list_head
    if page != NIL:
        f.list_head = k.page[page].lru_next
        f.count -= 1
    return page


@kfn
def compaction_free(k, f, page):
    """The page for which a frame was taken stays where it is: the frame is the next to be given out."""
    k.page[page].lru_next = f.list_head
    f.list_head = page
    f.count += 1


@kfn
def release_freepages(k, t, f):
    """Give back what is left; the next run looks for free frames from there at the lowest."""
    highest, z = NIL, k.zone[f.a]
    while f.list_head != NIL:
        page = f.list_head
        f.list_head = k.page[page].lru_next
        highest = max(highest, page)
        free_page(k, t, page, 0)
    f.count = 0
    if highest != NIL:
        z.compact_free = max(z.compact_free, block_of(highest))
