# SPDX-License-Identifier: GPL-2.0-or-later
"""Compaction in place of lumpy reclaim: when it is worth trying, who is woken for it, and whether to try again.

How a zone is compacted: compact_zone.py; the thread that does it unasked: kcompactd.py.
Source: Linux v6.1 mm/compaction.c:compaction_suitable, compaction_deferred, try_to_compact_pages, wakeup_kcompactd;
mm/vmstat.c:fragmentation_index; mm/page_alloc.c:should_compact_retry.
"""

from pageout.engine.constants import (
    ENTRY,
    GFP_FS,
    GFP_IO,
    GFP_MOVABLE,
    GFP_RECLAIMABLE,
    MAX_ORDER,
    MIGRATE_MOVABLE,
    MIGRATE_RECLAIMABLE,
    MIGRATE_UNMOVABLE,
    NIL,
    PAGE_ALLOC_COSTLY_ORDER,
    PAGEBLOCK_ORDER,
    PG_BUDDY,
    PG_KERNEL,
    PG_LRU,
    WQ_KCOMPACTD,
)
from pageout.engine.kstack import call, ret
from pageout.engine.waitqueue import wake_all
from pageout.jit import kfn
from pageout.kernel.frames import FN
from pageout.kernel.mm.buddy import free_watermark_ok, zone_watermark_ok
from pageout.kernel.mm.free_area import order_of, pageblock_type

COMPACT_FULL, COMPACT_LIGHT, COMPACT_ASYNC = 0, 1, 2  # priorities: the lower the harder
# What came of it, the better the higher. CONTINUE: worth trying, or not done yet.
SKIPPED, DEFERRED, CONTINUE, COMPLETE, PARTIAL, CONTENDED, SUCCESS = 0, 1, 2, 3, 4, 5, 6
# How a zone is compacted, beside the kind of page wanted in the lowest two bits.
MODE_SYNC, MODE_DIRECT, MODE_WHOLE, MODE_PROACTIVE, MODE_NOFS = 4, 8, 16, 32, 64
KIND_MASK = 3
MAX_DEFER_SHIFT = 6
MAX_COMPACT_RETRIES = 16
EXTFRAG_THRESHOLD = 500  # vm.extfrag_threshold
PAGEBLOCK = 1 << PAGEBLOCK_ORDER
SAMPLE = 1 << PAGE_ALLOC_COSTLY_ORDER


@kfn
def compact_gap(order):
    """Free pages that compaction needs to work in."""
    return 2 << order


@kfn
def migratetype_of(gfp):
    """The kind of page a request wants, as try_to_compact_pages takes it from its flags."""
    if gfp & GFP_MOVABLE:
        return MIGRATE_MOVABLE
    return MIGRATE_RECLAIMABLE if gfp & GFP_RECLAIMABLE else MIGRATE_UNMOVABLE


@kfn
def fragmentation_index(k, zone, order):
    """Towards 0: a request would fail for want of memory; towards 1000: of fragmentation. -1000: it would not fail."""
    blocks, pages = 0, 0
    for o in range(MAX_ORDER):
        nr = k.free_area[zone * MAX_ORDER + o].nr
        blocks += nr
        pages += nr << o
        if o >= order and nr > 0:
            return -1000
    if blocks == 0:
        return 0
    return 1000 - (1000 + pages * 1000 // (1 << order)) // blocks


@kfn
def suitable_with(k, zone, order, free):
    """compaction_suitable's marks, were so many pages free."""
    z, top = k.zone[zone], k.param.nr_zones - 1
    if zone_watermark_ok(k, zone, order, z.wmark_min + z.boost, top, 0):
        return SUCCESS
    mark = z.boost + (z.wmark_low if order > PAGE_ALLOC_COSTLY_ORDER else z.wmark_min)
    return CONTINUE if free_watermark_ok(k, zone, 0, mark + compact_gap(order), top, 0, free) else SKIPPED


@kfn
def compaction_suitable(k, zone, order):
    """SUCCESS: not needed. SKIPPED: too little is free to work with, or memory is short rather than in pieces."""
    found = suitable_with(k, zone, order, k.zone[zone].nr_free)
    if found == CONTINUE and order > PAGE_ALLOC_COSTLY_ORDER:
        if 0 <= fragmentation_index(k, zone, order) <= EXTFRAG_THRESHOLD:
            return SKIPPED
    return found


@kfn
def compaction_ready(k, order):
    """Is so much free that compaction, or the request itself, should be tried instead of reclaiming more?"""
    if not k.param.compaction:
        return False
    for zone in range(k.param.nr_zones):
        suitable = compaction_suitable(k, zone, order)
        if suitable == SUCCESS:
            return True
        mark = k.zone[zone].wmark_high + k.zone[zone].boost + compact_gap(order)
        if suitable != SKIPPED and zone_watermark_ok(k, zone, 0, mark, k.param.nr_zones - 1, 0):
            return True
    return False


@kfn
def compaction_deferred(k, zone, order):
    """After failures, is this attempt one of those to be left out?"""
    z = k.zone[zone]
    if order < z.compact_order_failed:
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
    z.compact_order_failed = min(z.compact_order_failed, order)


@kfn
def compaction_defer_reset(k, zone, order, allocated):
    """It succeeded, or will (allocated: the block has been had, too): nothing is left out at this order."""
    z = k.zone[zone]
    if allocated:
        z.compact_considered, z.compact_defer_shift = 0, 0
    if order >= z.compact_order_failed:
        z.compact_order_failed = order + 1


@kfn
def compaction_restarting(k, zone, order):
    """Is this the first attempt after as many were left out as can be?"""
    z = k.zone[zone]
    if order < z.compact_order_failed:
        return False
    return z.compact_defer_shift == MAX_DEFER_SHIFT and z.compact_considered >= 1 << z.compact_defer_shift


@kfn
def _reset_isolation_pfn(k, zone, page, as_source, as_target):
    """Does a sample of the pageblock show a page to move, or a free one? Then it is not marked any more.

    Both are asked for once the outermost has been found, and then a pageblock that is not marked is not looked at.
    """
    z, number = k.zone[zone], page >> PAGEBLOCK_ORDER
    first = max(number << PAGEBLOCK_ORDER, z.start_page)
    if k.page[first].pflags & PG_KERNEL and order_of(k, first) >= PAGEBLOCK_ORDER:
        return False
    if as_source and as_target and not k.pageblock_skip[number]:
        return True
    if not as_source and pageblock_type(k, page) != MIGRATE_MOVABLE:
        return False
    wanted = (PG_LRU if as_source else 0) | (PG_BUDDY if as_target else 0)
    for at in range(first, min(number + 1 << PAGEBLOCK_ORDER, z.end_page), SAMPLE):
        if k.page[at].pflags & wanted:
            k.pageblock_skip[number] = 0
            return True
    return False


@kfn
def reset_skips(k, zone):
    """Forget which pageblocks had nothing, where they now have; both scanners begin at the outermost of those.

    Only after a direct compaction that went through the whole zone.  Source: __reset_isolation_suitable.
    """
    z = k.zone[zone]
    if not z.compact_flush:
        return
    z.compact_flush = 0
    low, high = z.start_page, z.end_page - 1
    source, target = high, low
    has_source, has_target = False, False
    while low < high:
        if _reset_isolation_pfn(k, zone, low, True, has_source) and low < source:
            source, has_source = low, True
            z.compact_async, z.compact_migrate, z.compact_init = low, low, low
        if _reset_isolation_pfn(k, zone, high, has_target, True) and high > target:
            target, has_target = high, True
            z.compact_free, z.compact_init_free = high, high
        low += PAGEBLOCK
        high -= PAGEBLOCK
    if source >= target:
        z.compact_async, z.compact_migrate, z.compact_free = low, low, high


@kfn
def reset_isolation_suitable(k):
    """As kswapd goes to sleep: the next compaction looks everywhere again, if one has been through a whole zone."""
    if not k.param.compaction:
        return
    for zone in range(k.param.nr_zones):
        if k.zone[zone].compact_flush:
            reset_skips(k, zone)


@kfn
def wakeup_kcompactd(k, order):
    """Wake kcompactd for a block of an order above 0, if a zone could be compacted for it."""
    if order == 0 or not k.param.compaction:
        return
    node = k.node
    if node.kcompactd_max_order < order:
        node.kcompactd_max_order = order
    if k.wait[WQ_KCOMPACTD].head == NIL:
        return
    for zone in range(k.param.nr_zones):
        if compaction_suitable(k, zone, node.kcompactd_max_order) == CONTINUE:
            wake_all(k, WQ_KCOMPACTD)
            return


@kfn
def try_to_compact_pages(k, t, f):
    """Direct compaction: each zone from the highest, until one has a block of the order.

    f.a, f.b, f.c   in: order, priority (COMPACT_*), GFP flags.  Returns what came of it.  Sleeps: no, but lets others
    run.
    """
    COMPACTED = 1
    if f.pc == ENTRY:
        if not f.c & GFP_IO:
            return ret(k, t, f, SKIPPED)
        f.zone, f.flag = k.param.nr_zones, SKIPPED
    elif f.pc == COMPACTED:
        status = k.task[t].retval
        f.flag = max(f.flag, status)
        if status == SUCCESS:
            compaction_defer_reset(k, f.zone, f.a, False)
            return ret(k, t, f, f.flag)
        if f.b != COMPACT_ASYNC and (status == COMPLETE or status == PARTIAL):
            defer_compaction(k, f.zone, f.a)
        if k.task[t].killed or (f.b == COMPACT_ASYNC and k.cpu[k.task[t].cpu].resched):
            return ret(k, t, f, f.flag)
    f.zone -= 1
    while f.zone >= 0:
        if f.b == COMPACT_FULL or not compaction_deferred(k, f.zone, f.a):
            how = MODE_DIRECT | migratetype_of(f.c)
            if f.b != COMPACT_ASYNC:
                how |= MODE_SYNC
            if f.b == COMPACT_FULL:
                how |= MODE_WHOLE
            if not f.c & GFP_FS:
                how |= MODE_NOFS
            return call(k, t, f, FN.compact_zone, COMPACTED, f.zone, f.a, how)
        f.flag = max(f.flag, DEFERRED)
        f.zone -= 1
    return ret(k, t, f, f.flag)


@kfn
def _reclaim_would_help(k, order):
    """compaction_zonelist_suitable: could a zone be compacted with a part of what reclaim might free, the less the
    higher the order?"""
    for zone in range(k.param.nr_zones):
        reclaimable = k.zone[zone].lru_file
        if k.stat.swap_free > 0:
            reclaimable += k.zone[zone].lru_anon
        if suitable_with(k, zone, order, reclaimable // order + k.zone[zone].nr_free) == CONTINUE:
            return True
    return False


@kfn
def should_compact_retry(k, f):
    """Reclaim got somewhere, compaction not yet: again, up to 16 times (4 if costly), then harder.

    Fields: f.left what compaction said, f.priority its priority, f.nr_scanned how often it succeeded.
    """
    costly = f.order > PAGE_ALLOC_COSTLY_ORDER
    if f.left == SKIPPED:
        return _reclaim_would_help(k, f.order)
    if f.left == SUCCESS:
        f.nr_scanned += 1
        if f.nr_scanned <= MAX_COMPACT_RETRIES // (4 if costly else 1):
            return True
    if f.priority > (COMPACT_LIGHT if costly else COMPACT_FULL):
        f.priority -= 1
        f.nr_scanned = 0
        return True
    return False
