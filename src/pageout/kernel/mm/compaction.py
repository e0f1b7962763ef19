# SPDX-License-Identifier: GPL-2.0-or-later
"""Compaction in place of lumpy reclaim: pages in use move from a zone's low end to free frames at its high end.

Source: Linux v6.1 mm/compaction.c:compact_zone, isolate_migratepages_block, isolate_freepages, compaction_suitable,
defer_compaction; mm/page_alloc.c:should_compact_retry. Differs: direct compaction only, no kcompactd; no skip bits, no
fast searches, no fragmentation index; a page moves at once, so no free pages are held back meanwhile; a page that is
being written is passed over at any priority.
"""

from pageout.engine.clock import out_of_slice, spend
from pageout.engine.constants import (
    ENTRY,
    MAX_ORDER,
    MIGRATE_MOVABLE,
    MIGRATE_UNMOVABLE,
    NIL,
    PAGE_ALLOC_COSTLY_ORDER,
    PAGEBLOCK_ORDER,
    PG_BUDDY,
    PG_LOCKED,
    PG_LRU,
    PG_WAITERS,
    PG_WRITEBACK,
    YIELD,
)
from pageout.engine.kstack import ret
from pageout.jit import kfn
from pageout.kernel.costs import SCAN_NS
from pageout.kernel.mm.buddy import drain_all_pages, zone_watermark_ok
from pageout.kernel.mm.free_area import free_one_page, order_of, pageblock_type, take_free_page
from pageout.kernel.mm.swap import lru_add, lru_add_drain, lru_del

COMPACT_FULL, COMPACT_LIGHT, COMPACT_ASYNC = 0, 1, 2  # priorities: the lower the harder
SKIPPED, DEFERRED, COMPLETE, SUCCESS = 0, 1, 2, 3  # what came of it
MAX_DEFER_SHIFT = 6
MAX_COMPACT_RETRIES = 16
MOVE_NS = 1000  # assumed: unmap a page, copy 4 KiB, map it again
PAGEBLOCK = 1 << PAGEBLOCK_ORDER


@kfn
def compact_gap(order):
    """Free pages that compaction needs to work in."""
    return 2 << order


@kfn
def has_block(k, zone, order):
    """Is there a free block of this order or larger?"""
    for o in range(order, MAX_ORDER):
        if k.free_area[zone * MAX_ORDER + o].nr > 0:
            return True
    return False


@kfn
def compaction_suitable(k, zone, order):
    """SUCCESS: not needed. SKIPPED: too few pages are free to work with. Else COMPLETE: worth trying."""
    z, top = k.zone[zone], k.param.nr_zones - 1
    if zone_watermark_ok(k, zone, order, z.wmark_min, top, 0):
        return SUCCESS
    mark = z.wmark_low if order > PAGE_ALLOC_COSTLY_ORDER else z.wmark_min
    return COMPLETE if zone_watermark_ok(k, zone, 0, mark + compact_gap(order), top, 0) else SKIPPED


@kfn
def compaction_ready(k, order):
    """Is so much free that compaction, or the request itself, should be tried instead of reclaiming more?"""
    if not k.param.compaction:
        return False
    for zone in range(k.param.nr_zones):
        suitable = compaction_suitable(k, zone, order)
        if suitable == SUCCESS:
            return True
        mark = k.zone[zone].wmark_high + compact_gap(order)
        if suitable != SKIPPED and zone_watermark_ok(k, zone, 0, mark, k.param.nr_zones - 1, 0):
            return True
    return False


@kfn
def compaction_deferred(k, zone, order):
    """After failures, is this attempt one of those to be left out?"""
    z = k.zone[zone]
    if order < z.compact_order_failed or z.compact_defer_shift == 0:
        return False
    z.compact_considered += 1
    if z.compact_considered >= 1 << z.compact_defer_shift:
        z.compact_considered = 1 << z.compact_defer_shift
        return False
    return True


@kfn
def defer_compaction(k, zone, order):
    """It failed: leave out twice as many attempts as last time, 64 at most."""
    z = k.zone[zone]
    z.compact_considered = 0
    z.compact_defer_shift = min(z.compact_defer_shift + 1, MAX_DEFER_SHIFT)
    if order < z.compact_order_failed or z.compact_order_failed == 0:
        z.compact_order_failed = order


@kfn
def _succeeded(k, zone, order):
    z = k.zone[zone]
    z.compact_considered, z.compact_defer_shift = 0, 0
    if order >= z.compact_order_failed:
        z.compact_order_failed = order + 1


@kfn
def _is_movable(k, page):
    """On the node's lists, its data at rest, nobody else holding on to it."""
    pg = k.page[page]
    busy = PG_LOCKED | PG_WRITEBACK | PG_WAITERS
    return pg.pflags & PG_LRU and not pg.pflags & busy and pg.refs == 0


@kfn
def _next_target(k, zone, floor):
    """A free frame at the zone's high end, above `floor`, taken out of its block; NIL if there is none.

    compact_free: the frame from which to look on, within its pageblock upwards, then in the pageblock below.
    """
    z = k.zone[zone]
    while z.compact_free > floor:
        block = z.compact_free >> PAGEBLOCK_ORDER << PAGEBLOCK_ORDER
        end = min(block + PAGEBLOCK, z.end_page)
        if block > floor and pageblock_type(k, block) != MIGRATE_UNMOVABLE:
            page = z.compact_free
            while page < end:
                k.node.compact_free_scanned += 1
                if k.page[page].pflags & PG_BUDDY and order_of(k, page) < PAGEBLOCK_ORDER:
                    z.compact_free = page
                    take_free_page(k, zone, page)
                    return page
                page += 1 << order_of(k, page) if k.page[page].pflags & PG_BUDDY else 1
        z.compact_free = block - PAGEBLOCK
    return NIL


@kfn
def _move(k, zone, old, new):
    """The page moves to another frame: what is known of it, its place in its file, a place at the head of its list."""
    was, is_now = k.page[old], k.page[new]
    lru_del(k, old)
    is_now.pflags, is_now.mapping, is_now.index = was.pflags, was.mapping, was.index
    is_now.dirtied_when, is_now.refs, is_now.memcg = was.dirtied_when, 0, was.memcg
    k.slot[k.inode[was.mapping].slot_start + was.index].page = new
    lru_add(k, new)
    was.mapping, was.pflags, was.memcg = NIL, 0, 0
    free_one_page(k, zone, old, 0, pageblock_type(k, old))
    k.node.pgmigrate_success += 1


@kfn
def _compact_block(k, t, zone, order, is_async):
    """Empty the pageblock that compact_migrate is in. False once the two ends have met."""
    z = k.zone[zone]
    end = min((z.compact_migrate >> PAGEBLOCK_ORDER) + 1 << PAGEBLOCK_ORDER, z.end_page)
    if z.compact_migrate >= z.end_page or end > z.compact_free:
        return False
    if is_async and pageblock_type(k, z.compact_migrate) != MIGRATE_MOVABLE:
        z.compact_migrate = end
        return True
    page = z.compact_migrate
    while page < end:
        k.node.compact_migrate_scanned += 1
        pflags = k.page[page].pflags
        if pflags & PG_BUDDY:
            page += 1 << order_of(k, page)
            continue
        if _is_movable(k, page):
            target = _next_target(k, zone, end)
            if target == NIL:
                z.compact_migrate = page
                return False
            k.node.compact_isolated += 2
            _move(k, zone, page, target)
            spend(k, t, MOVE_NS)
        elif pflags & PG_LRU:
            k.node.pgmigrate_fail += 1
        spend(k, t, SCAN_NS // 4)
        page += 1
    z.compact_migrate = end
    return True


@kfn
def compact_zone(k, t, f):
    """Direct compaction: each zone from the highest, until one has a block of the order.

    f.a, f.b   in: order, priority (COMPACT_*).  Returns what came of it.  Sleeps: no, but lets others run.
    """
    ZONE, BLOCKS = 1, 2
    pc = f.pc
    if pc == ENTRY:
        f.zone, f.flag = k.param.nr_zones, SKIPPED
        lru_add_drain(k, k.task[t].cpu)
        drain_all_pages(k, t)
        pc = ZONE
    while True:
        if pc == ZONE:
            f.zone -= 1
            if f.zone < 0:
                return _end(k, t, f)
            if f.b != COMPACT_FULL and compaction_deferred(k, f.zone, f.a):
                f.flag = max(f.flag, DEFERRED)
                continue
            suitable = compaction_suitable(k, f.zone, f.a)
            if suitable == SUCCESS:
                f.flag = SUCCESS
                return _end(k, t, f)
            if suitable == SKIPPED:
                continue
            _begin_zone(k, f.zone)
            pc = BLOCKS
        met = not _compact_block(k, t, f.zone, f.a, f.b == COMPACT_ASYNC)
        if has_block(k, f.zone, f.a):
            _succeeded(k, f.zone, f.a)
            f.flag = SUCCESS
            return _end(k, t, f)
        if met:
            k.zone[f.zone].compact_migrate, k.zone[f.zone].compact_free = 0, 0
            f.flag = max(f.flag, COMPLETE)
            if f.b != COMPACT_ASYNC:
                defer_compaction(k, f.zone, f.a)
            pc = ZONE
        elif out_of_slice(k, t):
            f.pc = BLOCKS
            return YIELD


@kfn
def _begin_zone(k, zone):
    """Go on where the last run stopped, or begin at both ends."""
    z = k.zone[zone]
    if z.compact_free <= z.start_page:
        z.compact_migrate = z.start_page
        z.compact_free = (z.end_page - 1) >> PAGEBLOCK_ORDER << PAGEBLOCK_ORDER


@kfn
def _end(k, t, f):
    if f.flag != SKIPPED and f.flag != DEFERRED:
        k.node.compact_stall += 1
    return ret(k, t, f, f.flag)


@kfn
def should_compact_retry(k, f):
    """Reclaim got somewhere, compaction not yet: again, up to 16 times (4 if costly), then harder.

    Fields: f.left what compaction said, f.priority its priority, f.nr_scanned how often it was tried.
    """
    costly = f.order > PAGE_ALLOC_COSTLY_ORDER
    if f.left == SKIPPED:
        for zone in range(k.param.nr_zones):
            if compaction_suitable(k, zone, f.order) != SKIPPED:
                return True
        return False
    if f.left == SUCCESS:
        f.nr_scanned += 1
        if f.nr_scanned <= MAX_COMPACT_RETRIES // (4 if costly else 1):
            return True
    if f.priority > (COMPACT_LIGHT if costly else COMPACT_FULL):
        f.priority -= 1
        f.nr_scanned = 0
        return True
    return False
