# SPDX-License-Identifier: GPL-2.0-or-later
"""The allocator's fast path: per-CPU lists of single pages before the buddy lists, watermarks, freeing.

Source: Linux v2.6.34 mm/page_alloc.c.
"""

from pageout.engine.clock import spend
from pageout.engine.constants import (
    ALLOC_HARDER,
    ALLOC_HIGH,
    ALLOC_NO_WATERMARKS,
    ALLOC_NOFRAGMENT,
    ALLOC_SPREAD_DIRTY,
    ENGINE_NODE,
    GFP_COLD,
    GFP_MOVABLE,
    GFP_RECLAIMABLE,
    LIMITS_NODE,
    LIMITS_ZONE,
    MAX_ORDER,
    MIGRATE_MOVABLE,
    MIGRATE_PCPTYPES,
    MIGRATE_RECLAIMABLE,
    MIGRATE_UNMOVABLE,
    MT_MASK,
    MT_SHIFT,
    NIL,
    ORDER_SHIFT,
    PCP_AUTO,
    PG_KERNEL,
    PG_PCP,
    PG_TAIL,
    STEAL_ALIKE,
    WMARK_HIGH,
    WMARK_LOW,
)
from pageout.engine.ring import emit
from pageout.jit import kfn
from pageout.kernel.costs import ALLOC_NS
from pageout.kernel.mm.dirty_limits import node_dirty_ok, zone_dirty_ok
from pageout.kernel.mm.free_area import free_one_page, pageblock_type, rmqueue_within, zone_of
from pageout.kernel.mm.kswapd_wake import wake_for_boost
from pageout.kernel.mm.pcp_high import note_freed, nr_kept, nr_to_decay, nr_to_fetch, nr_to_give_back
from pageout.vocabulary.tracepoints import EV

ZONE_NORMAL = 2


@kfn
def allocflags_to_migratetype(k, gfp):
    """Which pages a request belongs with. Source: Linux v2.6.34 include/linux/gfp.h:allocflags_to_migratetype."""
    if k.param.mobility_off:
        return MIGRATE_UNMOVABLE
    if gfp & GFP_MOVABLE:
        return MIGRATE_MOVABLE
    return MIGRATE_RECLAIMABLE if gfp & GFP_RECLAIMABLE else MIGRATE_UNMOVABLE


@kfn
def _pcp_add(k, pages, page, cold, kind):
    """Put a free frame at the head of one of a CPU's lists, a cold one at its tail, with the type it goes back to."""
    pg = k.page[page]
    pg.pflags = PG_PCP | (kind << MT_SHIFT)
    if cold:
        pg.lru_prev, pg.lru_next = pages.tail, NIL
        if pages.tail == NIL:
            pages.head = page
        else:
            k.page[pages.tail].lru_next = page
        pages.tail = page
    else:
        pg.lru_prev, pg.lru_next = NIL, pages.head
        if pages.head == NIL:
            pages.tail = page
        else:
            k.page[pages.head].lru_prev = page
        pages.head = page


@kfn
def _refill_pcp(k, t, zone, at, kind, cold, nofragment):
    """Fetch single pages into an empty list, a batch or more; the first fetched is the first used, from either end.

    Source: Linux v2.6.34 mm/page_alloc.c:rmqueue_bulk.
    """
    pages = k.pcp_list[at * MIGRATE_PCPTYPES + kind]
    for _ in range(nr_to_fetch(k, zone, at)):
        page = rmqueue_within(k, t, zone, 0, kind, nofragment)
        if page == NIL:
            break
        _pcp_add(k, pages, page, 0 if cold else 1, kind)
        k.pcp[at].nr += 1


@kfn
def _pcp_tail(k, pages):
    """Take the coldest frame off a list that has one."""
    page = pages.tail
    pages.tail = k.page[page].lru_prev
    if pages.tail == NIL:
        pages.head = NIL
    else:
        k.page[pages.tail].lru_next = NIL
    return page


@kfn
def drain_pcp(k, t, zone, cpu, count):
    """Give `count` of a CPU's free pages back, the coldest first, from its three lists in turn.

    A list is left after one page more for each list just found empty, so that full lists give more. The zone counts as
    worth scanning again even if nothing is given back. Source: Linux v2.6.34 mm/page_alloc.c:free_pcppages_bulk.
    """
    at = zone * k.param.nr_cpus + cpu
    k.zone[zone].all_unreclaimable = 0
    k.zone[zone].pages_scanned = 0
    k.pcp[at].nr -= count
    kind, batch = 0, 0
    while count > 0:
        batch += 1
        kind = kind + 1 if kind + 1 < MIGRATE_PCPTYPES else 0
        pages = k.pcp_list[at * MIGRATE_PCPTYPES + kind]
        while pages.tail != NIL:
            page = _pcp_tail(k, pages)
            home = (k.page[page].pflags & MT_MASK) >> MT_SHIFT
            free_one_page(k, zone, page, 0, home)
            emit(k, t, EV.mm_page_pcpu_drain, page, 0, home)
            count -= 1
            batch -= 1
            if count == 0 or batch == 0:
                break


@kfn
def drain_all_pages(k, t):
    """Empty every CPU's lists, so that blocks can merge."""
    for zone in range(k.param.nr_zones):
        for cpu in range(k.param.nr_cpus):
            drain_pcp(k, t, zone, cpu, k.pcp[zone * k.param.nr_cpus + cpu].nr)


@kfn
def buffered_rmqueue(k, t, zone, order, cpu, gfp):
    """Take a block from a zone, single pages through the CPU's own list; NIL if the zone has none."""
    return rmqueue_of_cpu(k, t, zone, order, cpu, gfp, 0)


@kfn
def rmqueue_of_cpu(k, t, zone, order, cpu, gfp, nofragment):
    """The same; nofragment: nothing but a whole pageblock from another kind's."""
    kind = allocflags_to_migratetype(k, gfp)
    if order > 0:
        return rmqueue_within(k, t, zone, order, kind, nofragment)
    at = zone * k.param.nr_cpus + cpu
    pages = k.pcp_list[at * MIGRATE_PCPTYPES + kind]
    if pages.head == NIL:
        spare = nr_to_decay(k, t, zone, at)
        if spare > 0:
            drain_pcp(k, t, zone, cpu, spare)
        _refill_pcp(k, t, zone, at, kind, gfp & GFP_COLD, nofragment)
        if pages.head == NIL:
            return NIL
    k.pcp[at].nr -= 1
    k.pcp[at].free_factor >>= 1
    if gfp & GFP_COLD:
        return _pcp_tail(k, pages)
    page = pages.head
    pages.head = k.page[page].lru_next
    if pages.head == NIL:
        pages.tail = NIL
    else:
        k.page[pages.head].lru_prev = NIL
    return page


@kfn
def free_watermark_ok(k, zone, order, mark, classzone, alloc_flags, free):
    """Would the zone stay above `mark` if `free` pages were free? And is there one block large enough?

    Source: Linux v6.1 mm/page_alloc.c:__zone_watermark_ok.
    """
    z = k.zone[zone]
    if alloc_flags & ALLOC_HIGH:
        mark -= mark // 2
    if alloc_flags & ALLOC_HARDER:
        mark -= mark // 4
    reserve = z.reserve0
    if classzone == 1:
        reserve = z.reserve1
    elif classzone == 2:
        reserve = z.reserve2
    if free - (1 << order) + 1 <= mark + reserve:
        return False
    for o in range(order, MAX_ORDER):
        if order == 0 or k.free_area[zone * MAX_ORDER + o].nr > 0:
            return True
    return False


@kfn
def zone_watermark_ok(k, zone, order, mark, classzone, alloc_flags):
    """True if the zone would stay above `mark` after giving 2^order pages, in blocks large enough.

    Source: Linux v2.6.34 mm/page_alloc.c:zone_watermark_ok.
    """
    z = k.zone[zone]
    if k.param.reclaim_engine == ENGINE_NODE:
        return free_watermark_ok(k, zone, order, mark, classzone, alloc_flags, z.nr_free)
    need = mark
    if alloc_flags & ALLOC_HIGH:
        need -= need // 2
    if alloc_flags & ALLOC_HARDER:
        need -= need // 4
    free = z.nr_free - (1 << order) + 1
    reserve = z.reserve0
    if classzone == 1:
        reserve = z.reserve1
    elif classzone == 2:
        reserve = z.reserve2
    if free <= need + reserve:
        return False
    for o in range(order):
        free -= k.free_area[zone * MAX_ORDER + o].nr << o
        need >>= 1
        if free <= need:
            return False
    return True


@kfn
def _mark_of(z, alloc_flags):
    if alloc_flags & WMARK_HIGH:
        return z.wmark_high + z.boost
    if alloc_flags & WMARK_LOW:
        return z.wmark_low + z.boost
    return z.wmark_min + z.boost


@kfn
def _passes(k, zone, order, alloc_flags, classzone):
    """Is the zone above its mark? One page for a request that cannot wait is not measured by the boost."""
    z = k.zone[zone]
    if k.param.pcp_mode == PCP_AUTO and not z.below_high:
        if zone_watermark_ok(k, zone, order, _mark_of(z, WMARK_HIGH), classzone, alloc_flags):
            return True
        z.below_high = 1
    if zone_watermark_ok(k, zone, order, _mark_of(z, alloc_flags), classzone, alloc_flags):
        return True
    urgent = z.boost and order == 0 and alloc_flags & ALLOC_HARDER and not alloc_flags & (WMARK_LOW | WMARK_HIGH)
    return urgent and zone_watermark_ok(k, zone, order, z.wmark_min, classzone, alloc_flags)


@kfn
def get_page_from_freelist(k, t, order, alloc_flags, gfp):
    """Walk the zones, highest first, and take a block from the first that stays above its mark; NIL if none does.

    The pages come back with no flags, order > 0 with the order noted in the first.
    Source: Linux v2.6.34 mm/page_alloc.c:get_page_from_freelist.
    """
    classzone = k.param.nr_zones - 1
    nofragment = 1 if alloc_flags & ALLOC_NOFRAGMENT and classzone == ZONE_NORMAL else 0
    page = _walk_zones(k, t, order, alloc_flags, gfp, nofragment)
    if page == NIL and nofragment:
        page = _walk_zones(k, t, order, alloc_flags, gfp, 0)
    return page


@kfn
def _walk_zones(k, t, order, alloc_flags, gfp, nofragment):
    classzone = k.param.nr_zones - 1
    zone = classzone
    while zone >= 0:
        if alloc_flags & ALLOC_SPREAD_DIRTY and not zone_dirty_ok(k, t, zone):
            zone -= 1
            continue
        if alloc_flags & ALLOC_NO_WATERMARKS or _passes(k, zone, order, alloc_flags, classzone):
            page = rmqueue_of_cpu(k, t, zone, order, k.task[t].cpu, gfp, nofragment)
            if k.zone[zone].boosted:
                k.zone[zone].boosted = 0
                wake_for_boost(k, t)
            if page != NIL:
                _prepare(k, page, order)
                k.zone[zone].pgalloc += 1 << order
                spend(k, t, ALLOC_NS)
                return page
        zone -= 1
    return NIL


@kfn
def _prepare(k, page, order):
    pg = k.page[page]
    pg.pflags = order << ORDER_SHIFT
    pg.mapping = NIL
    pg.lru_next = NIL
    pg.lru_prev = NIL
    pg.refs = 0
    for i in range(1, 1 << order):
        k.page[page + i].pflags = PG_TAIL


@kfn
def try_alloc(k, t, order, gfp):
    """The allocator's fast path: one attempt above the LOW watermark. NIL: the slow path is needed."""
    flags = WMARK_LOW | ALLOC_NOFRAGMENT if k.param.buddy_steal == STEAL_ALIKE else WMARK_LOW
    page = get_page_from_freelist(k, t, order, flags, gfp)
    if page != NIL:
        emit(k, t, EV.mm_page_alloc, page, order, allocflags_to_migratetype(k, gfp), gfp)
    return page


@kfn
def try_alloc_for_write(k, t, gfp):
    """The fast path for a page that will be dirtied at once: from a zone within its dirty share, if the design says so.

    The slow path does not care.  Source: Linux v3.3 mm/page_alloc.c:get_page_from_freelist (__GFP_WRITE).
    """
    if k.param.dirty_limits == LIMITS_NODE and not node_dirty_ok(k):
        return NIL
    if k.param.dirty_limits != LIMITS_ZONE:
        return try_alloc(k, t, 0, gfp)
    page = get_page_from_freelist(k, t, 0, WMARK_LOW | ALLOC_SPREAD_DIRTY, gfp)
    if page != NIL:
        emit(k, t, EV.mm_page_alloc, page, 0, allocflags_to_migratetype(k, gfp), gfp)
    return page


@kfn
def free_page(k, t, page, cold):
    """Free a single page to this CPU's list of its pageblock's type, at its far end if it is cold; a full set of lists
    gives a batch back. Pages of the reserve wait among the movable ones.

    Source: Linux v2.6.34 mm/page_alloc.c:free_hot_cold_page.
    """
    zone = zone_of(k, page)
    cpu = k.task[t].cpu if t >= 0 else 0
    at = zone * k.param.nr_cpus + cpu
    kind = pageblock_type(k, page)
    shared = kind if kind < MIGRATE_PCPTYPES else MIGRATE_MOVABLE
    k.page[page].mapping = NIL
    _pcp_add(k, k.pcp_list[at * MIGRATE_PCPTYPES + shared], page, cold, kind)
    k.pcp[at].nr += 1
    k.vm.pgfree += 1
    note_freed(k, zone, at)
    high = nr_kept(k, zone, at)
    if k.pcp[at].nr >= high:
        count = max(nr_to_give_back(k, zone, at, high), nr_to_decay(k, t, zone, at))
        drain_pcp(k, t, zone, cpu, min(count, k.pcp[at].nr))
        if k.zone[zone].below_high:
            _look_above_high(k, zone)


@kfn
def _look_above_high(k, zone):
    """Note that a zone has come above HIGH again: CPUs may keep more. Source: Linux v6.12 free_unref_page_commit."""
    if zone_watermark_ok(k, zone, 0, _mark_of(k.zone[zone], WMARK_HIGH), k.param.nr_zones - 1, 0):
        k.zone[zone].below_high = 0


@kfn
def free_pages(k, t, page, order):
    """Free a block that the kernel allocated."""
    emit(k, t, EV.mm_page_free_direct, page, order)
    if order == 0:
        free_page(k, t, page, 0)
        return
    for i in range(1 << order):
        k.page[page + i].pflags = 0
        k.page[page + i].mapping = NIL
    k.vm.pgfree += 1 << order
    free_one_page(k, zone_of(k, page), page, order, pageblock_type(k, page))


@kfn
def mark_kernel(k, page, order):
    """Note that the kernel itself holds this block."""
    k.page[page].pflags |= PG_KERNEL
