# SPDX-License-Identifier: GPL-2.0-or-later
"""The buddy system: free lists by zone, order and mobility; merging, splitting, and borrowing from another type.

Source: Linux v2.6.34 mm/page_alloc.c.  Differs: no type ISOLATE, which only memory hot-unplug uses.
"""

from pageout.engine.constants import (
    MAX_ORDER,
    MIGRATE_MOVABLE,
    MIGRATE_RECLAIMABLE,
    MIGRATE_RESERVE,
    MIGRATE_UNMOVABLE,
    MT_MASK,
    MT_SHIFT,
    NIL,
    NR_FREE_LISTS,
    ORDER_MASK,
    ORDER_SHIFT,
    PAGEBLOCK_ORDER,
    PG_BUDDY,
    PG_LRU,
    STEAL_ALIKE,
)
from pageout.engine.ring import emit
from pageout.jit import kfn
from pageout.vocabulary.tracepoints import EV

PAGEBLOCK = 1 << PAGEBLOCK_ORDER


@kfn
def zone_of(k, page):
    """The zone a frame belongs to."""
    zone = 0
    while page >= k.zone[zone].end_page:
        zone += 1
    return zone


@kfn
def pageblock_type(k, page):
    """What the frame's pageblock is for (MIGRATE_*). Source: mm/page_alloc.c:get_pageblock_migratetype."""
    return k.pageblock[page >> PAGEBLOCK_ORDER]


@kfn
def set_pageblock_type(k, page, kind):
    """Say what a pageblock is for from now on. Source: mm/page_alloc.c:set_pageblock_migratetype."""
    k.pageblock[page >> PAGEBLOCK_ORDER] = MIGRATE_UNMOVABLE if k.param.mobility_off else kind


@kfn
def _link(k, area, page, order, kind):
    """Put a block at the head of a list; the count of the area is not touched."""
    at = k.free_list[area * NR_FREE_LISTS + kind]
    pg = k.page[page]
    pg.pflags = PG_BUDDY | (order << ORDER_SHIFT) | (kind << MT_SHIFT)
    pg.lru_prev = NIL
    pg.lru_next = at.head
    if at.head != NIL:
        k.page[at.head].lru_prev = page
    at.head = page


@kfn
def _unlink(k, area, page):
    """Take a block off the list that its flags name; the count of the area is not touched."""
    pg = k.page[page]
    if pg.lru_prev == NIL:
        k.free_list[area * NR_FREE_LISTS + ((pg.pflags & MT_MASK) >> MT_SHIFT)].head = pg.lru_next
    else:
        k.page[pg.lru_prev].lru_next = pg.lru_next
    if pg.lru_next != NIL:
        k.page[pg.lru_next].lru_prev = pg.lru_prev
    pg.pflags = 0
    pg.lru_next = NIL
    pg.lru_prev = NIL


@kfn
def free_one_page(k, zone, page, order, kind):
    """Give a block back to the lists of a type, merged with its buddies as far as they are free, whatever their type.

    Any page freed tells reclaim that the zone is worth scanning again.
    Source: Linux v2.6.34 mm/page_alloc.c:__free_one_page, free_one_page.
    """
    z = k.zone[zone]
    k.page[page].pflags = 0
    z.all_unreclaimable = 0
    z.pages_scanned = 0
    z.nr_free += 1 << order
    k.vm.nr_free_pages += 1 << order
    start, end = z.start_page, z.end_page
    while order < MAX_ORDER - 1:
        buddy = page ^ (1 << order)
        if buddy < start or buddy + (1 << order) > end:
            break
        bflags = k.page[buddy].pflags
        if not bflags & PG_BUDDY or (bflags & ORDER_MASK) >> ORDER_SHIFT != order:
            break
        area = zone * MAX_ORDER + order
        _unlink(k, area, buddy)
        k.free_area[area].nr -= 1
        page &= ~(1 << order)
        order += 1
    area = zone * MAX_ORDER + order
    _link(k, area, page, order, kind)
    k.free_area[area].nr += 1


@kfn
def _expand(k, zone, page, low, high, kind):
    """Split a block down to the order wanted: the upper halves go back to the lists, the lowest part is left."""
    while high > low:
        high -= 1
        area = zone * MAX_ORDER + high
        _link(k, area, page + (1 << high), high, kind)
        k.free_area[area].nr += 1


@kfn
def _rmqueue_smallest(k, zone, order, kind):
    """Take the smallest sufficient block of a type, split to the order wanted; NIL if the type has none."""
    current = order
    while current < MAX_ORDER:
        area = zone * MAX_ORDER + current
        page = k.free_list[area * NR_FREE_LISTS + kind].head
        if page != NIL:
            _unlink(k, area, page)
            k.free_area[area].nr -= 1
            _expand(k, zone, page, order, current, kind)
            return page
        current += 1
    return NIL


@kfn
def move_freepages_block(k, zone, page, kind):
    """Move the free blocks that begin in the frame's pageblock to the lists of a type. Returns frames moved.

    A block of order 10 counts whole. A pageblock that reaches beyond the zone's end is left alone, as in the kernel.
    Source: Linux v2.6.34 mm/page_alloc.c:move_freepages_block, move_freepages.
    """
    at = page & ~(PAGEBLOCK - 1)
    last = at + PAGEBLOCK - 1
    if last >= k.zone[zone].end_page:
        return 0
    if at < k.zone[zone].start_page:
        at = page
    moved = 0
    while at <= last:
        pflags = k.page[at].pflags
        if pflags & PG_BUDDY:
            order = (pflags & ORDER_MASK) >> ORDER_SHIFT
            area = zone * MAX_ORDER + order
            _unlink(k, area, at)
            _link(k, area, at, order, kind)
            at += 1 << order
            moved += 1 << order
        else:
            at += 1
    return moved


@kfn
def order_of(k, page):
    """Order of the free block that begins at a frame."""
    return (k.page[page].pflags & ORDER_MASK) >> ORDER_SHIFT


@kfn
def movable_blocks(zone, order):
    """Number of the list (k.free_list) of the zone's free blocks of an order that are for movable pages."""
    return (zone * MAX_ORDER + order) * NR_FREE_LISTS + MIGRATE_MOVABLE


@kfn
def last_block(k, number):
    """The last block of a list of free blocks, NIL if it has none."""
    page = k.free_list[number].head
    while page != NIL and k.page[page].lru_next != NIL:
        page = k.page[page].lru_next
    return page


@kfn
def turn_list(k, number, first):
    """Turn a list of free blocks round until it begins at one of them."""
    at = k.free_list[number]
    if at.head == first:
        return
    last, before = last_block(k, number), k.page[first].lru_prev
    k.page[last].lru_next, k.page[at.head].lru_prev = at.head, last
    k.page[before].lru_next, k.page[first].lru_prev = NIL, NIL
    at.head = first


@kfn
def take_free_block(k, zone, page):
    """Take a whole free block off the lists. Returns its order; half a pageblock makes it one for movable pages.

    Source: Linux v6.1 mm/page_alloc.c:__isolate_free_page.
    """
    order = order_of(k, page)
    area = zone * MAX_ORDER + order
    _unlink(k, area, page)
    k.free_area[area].nr -= 1
    k.zone[zone].nr_free -= 1 << order
    k.vm.nr_free_pages -= 1 << order
    if order >= PAGEBLOCK_ORDER - 1:
        for block in range(page, page + (1 << order), PAGEBLOCK):
            set_pageblock_type(k, block, MIGRATE_MOVABLE)
    return order


@kfn
def _fallback_type(kind, turn):
    """The type to borrow from, first (turn 0) and second. Source: Linux v2.6.34 mm/page_alloc.c:fallbacks."""
    if turn == 0:
        return MIGRATE_UNMOVABLE if kind == MIGRATE_RECLAIMABLE else MIGRATE_RECLAIMABLE
    return MIGRATE_UNMOVABLE if kind == MIGRATE_MOVABLE else MIGRATE_MOVABLE


@kfn
def _steal(k, t, zone, page, order, current, kind, lender):
    """Take a block of another type. One of 16 pages or more brings all free pages of its pageblock over with it, and
    the pageblock itself if half of it was free; a reclaimable request always does. Returns the block.
    """
    owner = lender
    if current >= PAGEBLOCK_ORDER >> 1 or kind == MIGRATE_RECLAIMABLE or k.param.mobility_off:
        moved = move_freepages_block(k, zone, page, kind)
        if moved >= 1 << (PAGEBLOCK_ORDER - 1) or k.param.mobility_off:
            set_pageblock_type(k, page, kind)
        owner = kind
    area = zone * MAX_ORDER + current
    _unlink(k, area, page)
    k.free_area[area].nr -= 1
    block = page
    while current >= PAGEBLOCK_ORDER and block < page + (1 << current):
        set_pageblock_type(k, block, kind)
        block += PAGEBLOCK
    _expand(k, zone, page, order, current, owner)
    fragmenting = 1 if current < PAGEBLOCK_ORDER else 0
    same = 1 if owner == kind else 0
    emit(k, t, EV.mm_page_alloc_extfrag, page, order, current, PAGEBLOCK_ORDER, kind, owner, fragmenting, same)
    return page


@kfn
def _claims_all(k, current, kind):
    """May a request of this kind take the free pages of a whole pageblock? Source: v6.1 can_steal_fallback."""
    return current >= PAGEBLOCK_ORDER >> 1 or kind != MIGRATE_MOVABLE or k.param.mobility_off


@kfn
def _lender_of(k, area, kind):
    """The type that has a block of this area to lend; NIL if none has. Source: v6.1 find_suitable_fallback."""
    if k.free_area[area].nr > 0:
        for turn in range(2):
            lender = _fallback_type(kind, turn)
            if k.free_list[area * NR_FREE_LISTS + lender].head != NIL:
                return lender
    return NIL


@kfn
def _nr_movable_in(k, zone, page):
    """Frames of the pageblock that are on LRU lists: they could be moved."""
    first = max(page & ~(PAGEBLOCK - 1), k.zone[zone].start_page)
    movable = 0
    for at in range(first, min((page & ~(PAGEBLOCK - 1)) + PAGEBLOCK, k.zone[zone].end_page)):
        if k.page[at].pflags & PG_LRU:
            movable += 1
    return movable


@kfn
def boost_watermark(k, zone):
    """A block of another kind is taken: raise the zone's marks by a pageblock, so that kswapd makes room.

    Source: Linux v6.1 mm/page_alloc.c:boost_watermark.
    """
    z = k.zone[zone]
    most = z.wmark_high * k.param.boost_factor // 10000
    if k.param.boost_factor == 0 or PAGEBLOCK * 4 > z.present or most == 0:
        return
    z.boost = min(z.boost + PAGEBLOCK, max(most, PAGEBLOCK))
    z.boosted = 1


@kfn
def _take_over(k, zone, page, current, kind):
    """Bring a block of another kind, or all free pages of its pageblock, over to this one.

    The pageblock follows if half of it is free or as good as of this kind: movable pages for the movable, all but those
    for others.  Source: Linux v6.1 mm/page_alloc.c:steal_suitable_fallback.
    """
    if current >= PAGEBLOCK_ORDER:
        for block in range(page, page + (1 << current), PAGEBLOCK):
            set_pageblock_type(k, block, kind)
    else:
        boost_watermark(k, zone)
        if _claims_all(k, current, kind):
            movable, before = _nr_movable_in(k, zone, page), pageblock_type(k, page)
            moved = move_freepages_block(k, zone, page, kind)
            alike = 0
            if kind == MIGRATE_MOVABLE:
                alike = movable
            elif before == MIGRATE_MOVABLE:
                alike = PAGEBLOCK - moved - movable
            if moved > 0:
                if moved + alike >= PAGEBLOCK >> 1 or k.param.mobility_off:
                    set_pageblock_type(k, page, kind)
                return
    area = zone * MAX_ORDER + current
    _unlink(k, area, page)
    _link(k, area, page, current, kind)


@kfn
def _fallback_alike(k, t, zone, order, kind, nofragment):
    """buddy.steal=alike: bring a block over from another kind, the largest there is; False if there is none.

    A movable request that may not take a whole pageblock's pages takes the smallest that will do.
    Source: Linux v6.1 mm/page_alloc.c:__rmqueue_fallback.
    """
    least = PAGEBLOCK_ORDER if nofragment and order < PAGEBLOCK_ORDER else order
    current = MAX_ORDER - 1
    while current >= least and _lender_of(k, zone * MAX_ORDER + current, kind) == NIL:
        current -= 1
    if current < least:
        return False
    if kind == MIGRATE_MOVABLE and current > order and not _claims_all(k, current, kind):
        current = order
        while _lender_of(k, zone * MAX_ORDER + current, kind) == NIL:
            current += 1
    area = zone * MAX_ORDER + current
    lender = _lender_of(k, area, kind)
    page = k.free_list[area * NR_FREE_LISTS + lender].head
    _take_over(k, zone, page, current, kind)
    fragmenting = 1 if current < PAGEBLOCK_ORDER else 0
    same = 1 if pageblock_type(k, page) == kind else 0
    emit(k, t, EV.mm_page_alloc_extfrag, page, order, current, PAGEBLOCK_ORDER, kind, lender, fragmenting, same)
    return True


@kfn
def _rmqueue_fallback(k, t, zone, order, kind):
    """Borrow from another type, the largest block there is; NIL if there is none.

    Source: Linux v2.6.34 mm/page_alloc.c:__rmqueue_fallback.
    """
    current = MAX_ORDER - 1
    while current >= order:
        if k.free_area[zone * MAX_ORDER + current].nr > 0:
            for turn in range(2):
                lender = _fallback_type(kind, turn)
                page = k.free_list[(zone * MAX_ORDER + current) * NR_FREE_LISTS + lender].head
                if page != NIL:
                    return _steal(k, t, zone, page, order, current, kind, lender)
        current -= 1
    return NIL


@kfn
def rmqueue(k, t, zone, order, kind):
    """Take a block of 2^order frames off the lists: of its own type, of another, of the reserve; NIL if none is left.

    Source: Linux v2.6.34 mm/page_alloc.c:__rmqueue.
    """
    return rmqueue_within(k, t, zone, order, kind, 0)


@kfn
def rmqueue_within(k, t, zone, order, kind, nofragment):
    """The same; nofragment: of another type only a whole pageblock (buddy.steal=alike)."""
    page = _rmqueue_smallest(k, zone, order, kind)
    if k.param.buddy_steal == STEAL_ALIKE:
        if page == NIL and _fallback_alike(k, t, zone, order, kind, nofragment):
            page = _rmqueue_smallest(k, zone, order, kind)
    elif page == NIL and kind != MIGRATE_RESERVE:
        page = _rmqueue_fallback(k, t, zone, order, kind)
        if page == NIL:
            kind = MIGRATE_RESERVE
            page = _rmqueue_smallest(k, zone, order, kind)
    emit(k, t, EV.mm_page_alloc_zone_locked, page, order, kind, 1 if order == 0 else 0)
    if page != NIL:
        k.zone[zone].nr_free -= 1 << order
        k.vm.nr_free_pages -= 1 << order
    return page
