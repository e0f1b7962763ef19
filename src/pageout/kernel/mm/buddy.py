# SPDX-License-Identifier: GPL-2.0-or-later
"""The buddy allocator: free lists of orders 0-10 per zone, per-CPU lists of single pages, watermarks.

Source: Linux v2.6.34 mm/page_alloc.c. Differs: one list per order (no grouping by mobility).
"""

from pageout.engine.clock import spend
from pageout.engine.constants import (
    ALLOC_HARDER,
    ALLOC_HIGH,
    ALLOC_NO_WATERMARKS,
    ALLOC_SPREAD_DIRTY,
    LIMITS_ZONE,
    MAX_ORDER,
    NIL,
    ORDER_MASK,
    ORDER_SHIFT,
    PG_BUDDY,
    PG_KERNEL,
    PG_PCP,
    PG_TAIL,
    WMARK_HIGH,
    WMARK_LOW,
)
from pageout.engine.ring import emit
from pageout.jit import kfn
from pageout.kernel.costs import ALLOC_NS
from pageout.kernel.mm.dirty_limits import zone_dirty_ok
from pageout.vocabulary.tracepoints import EV


@kfn
def zone_of(k, page):
    """The zone a frame belongs to."""
    zone = 0
    while page >= k.zone[zone].end_page:
        zone += 1
    return zone


@kfn
def _list_add(k, zone, order, page):
    area = k.free_area[zone * MAX_ORDER + order]
    pg = k.page[page]
    pg.pflags = PG_BUDDY | (order << ORDER_SHIFT)
    pg.lru_prev = NIL
    pg.lru_next = area.head
    if area.head != NIL:
        k.page[area.head].lru_prev = page
    area.head = page
    area.nr += 1


@kfn
def _list_del(k, zone, order, page):
    area = k.free_area[zone * MAX_ORDER + order]
    pg = k.page[page]
    if pg.lru_prev == NIL:
        area.head = pg.lru_next
    else:
        k.page[pg.lru_prev].lru_next = pg.lru_next
    if pg.lru_next != NIL:
        k.page[pg.lru_next].lru_prev = pg.lru_prev
    pg.pflags = 0
    pg.lru_next = NIL
    pg.lru_prev = NIL
    area.nr -= 1


@kfn
def free_one_page(k, zone, page, order):
    """Give a block back to the free lists, merged with its buddies as far as they are free.

    Any page freed tells reclaim that the zone is worth scanning again.
    Source: Linux v2.6.34 mm/page_alloc.c:__free_one_page, free_pages_bulk.
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
        _list_del(k, zone, order, buddy)
        page &= ~(1 << order)
        order += 1
    _list_add(k, zone, order, page)


@kfn
def rmqueue(k, zone, order):
    """Take a block of 2^order frames off the free lists, splitting a larger one; NIL if there is none."""
    current = order
    while current < MAX_ORDER:
        page = k.free_area[zone * MAX_ORDER + current].head
        if page != NIL:
            _list_del(k, zone, current, page)
            while current > order:
                current -= 1
                _list_add(k, zone, current, page + (1 << current))
            k.zone[zone].nr_free -= 1 << order
            k.vm.nr_free_pages -= 1 << order
            return page
        current += 1
    return NIL


@kfn
def _pcp_add(k, pcp, page, cold):
    """Put a free frame at the head of a CPU's list, a cold one at its tail."""
    pg = k.page[page]
    pg.pflags = PG_PCP
    pcp.nr += 1
    if cold:
        pg.lru_prev, pg.lru_next = pcp.tail, NIL
        if pcp.tail == NIL:
            pcp.head = page
        else:
            k.page[pcp.tail].lru_next = page
        pcp.tail = page
    else:
        pg.lru_prev, pg.lru_next = NIL, pcp.head
        if pcp.head == NIL:
            pcp.tail = page
        else:
            k.page[pcp.head].lru_prev = page
        pcp.head = page


@kfn
def _refill_pcp(k, zone, cpu):
    """Fetch a batch of single pages for a CPU; the first fetched is the first used."""
    pcp = k.pcp[zone * k.param.nr_cpus + cpu]
    for _ in range(k.zone[zone].pcp_batch):
        page = rmqueue(k, zone, 0)
        if page == NIL:
            break
        _pcp_add(k, pcp, page, 1)


@kfn
def drain_pcp(k, zone, cpu, count):
    """Give up to `count` of a CPU's free pages back to the free lists, the coldest first."""
    pcp = k.pcp[zone * k.param.nr_cpus + cpu]
    while count > 0 and pcp.tail != NIL:
        page = pcp.tail
        pcp.tail = k.page[page].lru_prev
        if pcp.tail == NIL:
            pcp.head = NIL
        else:
            k.page[pcp.tail].lru_next = NIL
        pcp.nr -= 1
        count -= 1
        free_one_page(k, zone, page, 0)


@kfn
def drain_all_pages(k):
    """Empty every CPU's lists, so that blocks can merge."""
    for zone in range(k.param.nr_zones):
        for cpu in range(k.param.nr_cpus):
            drain_pcp(k, zone, cpu, k.pcp[zone * k.param.nr_cpus + cpu].nr)


@kfn
def buffered_rmqueue(k, zone, order, cpu):
    """Take a block from a zone, single pages through the CPU's own list; NIL if the zone has none."""
    if order > 0:
        return rmqueue(k, zone, order)
    pcp = k.pcp[zone * k.param.nr_cpus + cpu]
    if pcp.head == NIL:
        _refill_pcp(k, zone, cpu)
        if pcp.head == NIL:
            return NIL
    page = pcp.head
    pcp.head = k.page[page].lru_next
    if pcp.head == NIL:
        pcp.tail = NIL
    else:
        k.page[pcp.head].lru_prev = NIL
    pcp.nr -= 1
    return page


@kfn
def zone_watermark_ok(k, zone, order, mark, classzone, alloc_flags):
    """True if the zone would stay above `mark` after giving 2^order pages, in blocks large enough.

    Source: Linux v2.6.34 mm/page_alloc.c:zone_watermark_ok.
    """
    z = k.zone[zone]
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
        return z.wmark_high
    if alloc_flags & WMARK_LOW:
        return z.wmark_low
    return z.wmark_min


@kfn
def get_page_from_freelist(k, t, order, alloc_flags):
    """Walk the zones, highest first, and take a block from the first that stays above its mark; NIL if none does.

    The pages come back with no flags, order > 0 with the order noted in the first.
    Source: Linux v2.6.34 mm/page_alloc.c:get_page_from_freelist.
    """
    classzone = k.param.nr_zones - 1
    zone = classzone
    while zone >= 0:
        if alloc_flags & ALLOC_SPREAD_DIRTY and not zone_dirty_ok(k, t, zone):
            zone -= 1
            continue
        if alloc_flags & ALLOC_NO_WATERMARKS or zone_watermark_ok(
            k, zone, order, _mark_of(k.zone[zone], alloc_flags), classzone, alloc_flags
        ):
            page = buffered_rmqueue(k, zone, order, k.task[t].cpu)
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
    page = get_page_from_freelist(k, t, order, WMARK_LOW)
    if page != NIL:
        emit(k, t, EV.mm_page_alloc, page, order, 0, gfp)
    return page


@kfn
def try_alloc_for_write(k, t, gfp):
    """The fast path for a page that will be dirtied at once: from a zone within its dirty share, if the design says so.

    The slow path does not care.  Source: Linux v3.3 mm/page_alloc.c:get_page_from_freelist (__GFP_WRITE).
    """
    if k.param.dirty_limits != LIMITS_ZONE:
        return try_alloc(k, t, 0, gfp)
    page = get_page_from_freelist(k, t, 0, WMARK_LOW | ALLOC_SPREAD_DIRTY)
    if page != NIL:
        emit(k, t, EV.mm_page_alloc, page, 0, 0, gfp)
    return page


@kfn
def free_page(k, t, page, cold):
    """Free a single page to this CPU's list, at its far end if it is cold; a full list gives a batch back.

    Source: Linux v2.6.34 mm/page_alloc.c:free_hot_cold_page.
    """
    zone = zone_of(k, page)
    cpu = k.task[t].cpu if t >= 0 else 0
    k.page[page].mapping = NIL
    pcp = k.pcp[zone * k.param.nr_cpus + cpu]
    _pcp_add(k, pcp, page, cold)
    k.vm.pgfree += 1
    if pcp.nr >= k.zone[zone].pcp_high:
        drain_pcp(k, zone, cpu, k.zone[zone].pcp_batch)


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
    free_one_page(k, zone_of(k, page), page, order)


@kfn
def mark_kernel(k, page, order):
    """Note that the kernel itself holds this block."""
    k.page[page].pflags |= PG_KERNEL
