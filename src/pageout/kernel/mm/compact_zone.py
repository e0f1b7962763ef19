# SPDX-License-Identifier: GPL-2.0-or-later
"""One zone compacted: pages in use move from its low end to free frames at its high end, 32 at a time.

Two scanners go towards each other by pageblocks and remember where they were. A pageblock that had nothing is not
looked at again until kswapd sleeps; one that was begun is finished.

Source: Linux v6.1 mm/compaction.c:compact_zone, __compact_finished, isolate_migratepages, isolate_migratepages_block,
isolate_freepages. Differs: a page moves as soon as it is found, so no free pages are held back meanwhile; no search of
the free lists for a good place to begin; nothing is taken at the moment it merges (compaction_capture).
"""

from pageout.engine.clock import out_of_slice, spend
from pageout.engine.constants import (
    ENTRY,
    MAX_ORDER,
    MIGRATE_MOVABLE,
    NIL,
    NR_FREE_LISTS,
    PAGEBLOCK_ORDER,
    PG_BUDDY,
    PG_LOCKED,
    PG_LRU,
    PG_WAITERS,
    PG_WRITEBACK,
    T_RUNNABLE,
    T_RUNNING,
    YIELD,
)
from pageout.engine.kstack import ret
from pageout.jit import kfn
from pageout.kernel.mm.buddy import drain_pcp
from pageout.kernel.mm.compaction import (
    COMPLETE,
    CONTENDED,
    CONTINUE,
    KIND_MASK,
    MODE_DIRECT,
    MODE_PROACTIVE,
    MODE_SYNC,
    MODE_WHOLE,
    PAGEBLOCK,
    PARTIAL,
    SKIPPED,
    SUCCESS,
    compaction_restarting,
    compaction_suitable,
    reset_skips,
)
from pageout.kernel.mm.free_area import free_one_page, order_of, pageblock_type, take_free_page
from pageout.kernel.mm.swap import lru_add, lru_add_drain, lru_del

COMPACT_CLUSTER_MAX = 32
PEEKS = 16  # assumed: so many pages are passed by in the time reclaim takes for one
PROACTIVE_LOW, PROACTIVE_HIGH = 80, 90  # scores at vm.compaction_proactiveness = 20


@kfn
def fragmentation_score(k, zone):
    """Percentage of the zone's free pages that are in blocks smaller than a huge page."""
    whole = 0
    for order in range(PAGEBLOCK_ORDER, MAX_ORDER):
        whole += k.free_area[zone * MAX_ORDER + order].nr << order
    free = k.zone[zone].nr_free
    return (free - min(whole, free)) * 100 // free if free > 0 else 0


@kfn
def node_score(k):
    """The zones' scores, each by its part of the node."""
    total, score = 1, 0
    for zone in range(k.param.nr_zones):
        total += k.zone[zone].present
    for zone in range(k.param.nr_zones):
        score += k.zone[zone].present * fragmentation_score(k, zone) // total
    return score


@kfn
def kswapd_is_running(k):
    """Is kswapd at work?"""
    return k.task[0].state == T_RUNNING or k.task[0].state == T_RUNNABLE


@kfn
def _is_movable(k, page):
    """On the node's lists, its data at rest, nobody else holding on to it."""
    pg = k.page[page]
    busy = PG_LOCKED | PG_WRITEBACK | PG_WAITERS
    return pg.pflags & PG_LRU and not pg.pflags & busy and pg.refs == 0


@kfn
def _skipped(k, f, page):
    """Has the pageblock had nothing of late? Never so for who looks at everything."""
    return not f.c & MODE_WHOLE and k.pageblock_skip[page >> PAGEBLOCK_ORDER]


@kfn
def _set_skip(k, page):
    k.pageblock_skip[page >> PAGEBLOCK_ORDER] = 1


@kfn
def _peek(k, t, pages):
    spend(k, t, pages * k.param.scan_ns // PEEKS)


@kfn
def _next_target(k, t, f):
    """A free frame at the zone's high end, taken out of its block; NIL if there is none above the other scanner.

    f.left: the frame from which to look on, within its pageblock upwards, then in the pageblock below.
    """
    z = k.zone[f.a]
    floor = (f.pos >> PAGEBLOCK_ORDER) + 1 << PAGEBLOCK_ORDER
    while f.left >= floor:
        block = f.left >> PAGEBLOCK_ORDER << PAGEBLOCK_ORDER
        end = min(block + PAGEBLOCK, z.end_page)
        whole = k.page[block].pflags & PG_BUDDY and order_of(k, block) >= PAGEBLOCK_ORDER
        usable = (f.c & MODE_WHOLE and not f.c & MODE_PROACTIVE) or pageblock_type(k, block) == MIGRATE_MOVABLE
        if not whole and usable and not _skipped(k, f, block):
            first = f.left
            while f.left < end:
                page = f.left
                if k.page[page].pflags & PG_BUDDY:
                    if z.nr_free <= z.wmark_min + z.reserve0 + (1 << order_of(k, page)):
                        return NIL
                    k.node.compact_free_scanned += page - first + 1
                    _peek(k, t, page - first + 1)
                    take_free_page(k, f.a, page)
                    f.left += 1
                    return page
                f.left += 1
            k.node.compact_free_scanned += end - first
            _peek(k, t, end - first)
            _set_skip(k, block)
            z.compact_free = min(z.compact_free, block)
        f.left = block - PAGEBLOCK
    return NIL


@kfn
def _move(k, t, zone, old, new):
    """The page moves to another frame: what is known of it, its place in its file, a place at the head of its list."""
    was, is_now = k.page[old], k.page[new]
    lru_del(k, old)
    is_now.pflags, is_now.mapping, is_now.index = was.pflags, was.mapping, was.index
    is_now.dirtied_when, is_now.refs, is_now.memcg = was.dirtied_when, 0, was.memcg
    k.slot[k.inode[was.mapping].slot_start + was.index].page = new
    lru_add(k, new)
    was.mapping, was.pflags, was.memcg, was.gen = NIL, 0, 0, 0
    free_one_page(k, zone, old, 0, pageblock_type(k, old))
    k.node.pgmigrate_success += 1
    spend(k, t, k.param.scan_ns + k.param.copy_ns)


@kfn
def _may_begin(k, f, block):
    """suitable_migration_source: asynchronous direct compaction keeps to pageblocks of its own kind."""
    return f.c & MODE_SYNC or not f.c & MODE_DIRECT or pageblock_type(k, block) == f.c & KIND_MASK


@kfn
def _advance(k, f, end):
    """A pageblock is done with: later runs begin behind it."""
    z = k.zone[f.a]
    z.compact_async = max(z.compact_async, end)
    if f.c & MODE_SYNC:
        z.compact_migrate = max(z.compact_migrate, end)


@kfn
def _all_movable(k, page, end):
    """Could every page in use of these be moved? Asynchronous direct compaction moves none else."""
    while page < end:
        if k.page[page].pflags & PG_BUDDY:
            page += 1 << order_of(k, page)
            continue
        if not _is_movable(k, page):
            return False
        page += 1
    return True


@kfn
def _end_of_order(f, page, end):
    """Where the block of the wanted order ends that a page is in."""
    return min((page >> f.b) + 1 << f.b, end) if f.b >= 0 else end


@kfn
def _empty_block(k, t, f, end, rescan):
    """isolate_migratepages_block, and moving what it finds: from f.pos to the pageblock's end, 32 pages at a time.

    rescan: it was begun, so all the rest at once.  Returns pages moved; -1 if there was no free frame for one.
    """
    page, moved, start = f.pos, 0, f.pos
    careful = f.c & MODE_DIRECT and not f.c & MODE_SYNC
    while page < end and (rescan or moved < COMPACT_CLUSTER_MAX):
        if careful and (page == start or page == page >> f.b << f.b):
            stop = _end_of_order(f, page, end)
            if moved > 0:
                break
            if not _all_movable(k, page, stop):
                page = stop
                continue
        pflags = k.page[page].pflags
        if pflags & PG_BUDDY:
            page += 1 << order_of(k, page)
            continue
        if _is_movable(k, page):
            if moved == 0 and page & PAGEBLOCK - 1 == 0 and not f.c & MODE_WHOLE:
                _set_skip(k, page)
            target = _next_target(k, t, f)
            if target == NIL:
                f.pos = page
                return -1
            k.node.compact_isolated += 2
            _move(k, t, f.a, page, target)
            moved += 1
        elif pflags & PG_LRU:
            k.node.pgmigrate_fail += 1
        page += 1
    page = min(page, end)
    k.node.compact_migrate_scanned += page - start
    _peek(k, t, page - start)
    f.pos = page
    if page == end and (moved == 0 or rescan):
        _set_skip(k, start)
        _advance(k, f, end)
    return moved


@kfn
def _step(k, t, f):
    """Go on to a pageblock worth looking at, and move 32 pages of it. False: no free frame was left to move one to."""
    z = k.zone[f.a]
    end = min((f.pos >> PAGEBLOCK_ORDER) + 1 << PAGEBLOCK_ORDER, z.end_page)
    rescan = f.total >= 0 and f.total >> PAGEBLOCK_ORDER == f.pos >> PAGEBLOCK_ORDER
    while end <= f.left:
        block = f.pos >> PAGEBLOCK_ORDER << PAGEBLOCK_ORDER
        begins = f.pos == block or f.pos == z.start_page
        if not (begins and _skipped(k, f, block)):
            if _may_begin(k, f, block):
                break
            _advance(k, f, end)
        f.pos = end
        end = min(end + PAGEBLOCK, z.end_page)
    if end > f.left:
        return True
    at = f.pos
    moved = _empty_block(k, t, f, end, rescan)
    if moved > 0:
        f.total = at
    if f.b >= 0 and f.total >= 0 and f.total >> f.b < f.pos >> f.b:
        f.total = NIL
        lru_add_drain(k, k.task[t].cpu)
        drain_pcp(k, t, f.a, k.task[t].cpu, k.pcp[f.a * k.param.nr_cpus + k.task[t].cpu].nr)
    return moved >= 0


@kfn
def _has_fitting_block(k, zone, order, kind):
    """Is there a free block that a request would get: of its kind, or of another it may take over?"""
    for o in range(order, MAX_ORDER):
        area = zone * MAX_ORDER + o
        if k.free_area[area].nr > 0:
            can_steal = o >= PAGEBLOCK_ORDER >> 1 or kind != MIGRATE_MOVABLE or k.param.mobility_off
            if can_steal or k.free_list[area * NR_FREE_LISTS + kind].head != NIL:
                return True
    return False


@kfn
def _finished(k, f):
    """CONTINUE, or what the run has come to."""
    z = k.zone[f.a]
    if f.left >> PAGEBLOCK_ORDER <= f.pos >> PAGEBLOCK_ORDER:
        z.compact_async, z.compact_migrate = z.start_page, z.start_page
        z.compact_free = (z.end_page - 1) >> PAGEBLOCK_ORDER << PAGEBLOCK_ORDER
        if f.c & MODE_DIRECT:
            z.compact_flush = 1
        return COMPLETE if f.flag else PARTIAL
    if f.c & MODE_PROACTIVE:
        if kswapd_is_running(k):
            return PARTIAL
        return CONTINUE if fragmentation_score(k, f.a) > PROACTIVE_LOW else SUCCESS
    if f.pos & PAGEBLOCK - 1:
        return CONTINUE
    return SUCCESS if _has_fitting_block(k, f.a, f.b, f.c & KIND_MASK) else CONTINUE


@kfn
def _begin(k, t, f):
    """Where both scanners set out: at the ends, or where the last run stopped."""
    z, is_sync = k.zone[f.a], f.c & MODE_SYNC
    last = (z.end_page - 1) >> PAGEBLOCK_ORDER << PAGEBLOCK_ORDER
    if f.b >= 0 and compaction_restarting(k, f.a, f.b):
        reset_skips(k, f.a)
    f.total = NIL
    f.flag = 1 if f.c & MODE_WHOLE else 0
    f.pos, f.left = z.start_page, last
    if not f.flag:
        if not z.start_page <= z.compact_free < z.end_page:
            z.compact_free = last
        at = z.compact_migrate if is_sync else z.compact_async
        if not z.start_page <= at < z.end_page:
            at = z.start_page
            z.compact_async, z.compact_migrate = at, at
        f.pos, f.left = at, z.compact_free
        if f.pos <= z.compact_init:
            f.flag = 1
    lru_add_drain(k, k.task[t].cpu)


@kfn
def compact_zone(k, t, f):
    """Compact a zone until it has a block of the order, or the scanners meet.

    f.a, f.b, f.c   in: zone, order (-1: as far as it can be), how (MODE_*, kind of page wanted).
    f.pos, f.left: where the scanners are; f.total: where pages were last moved from, NIL: they have been given back;
    f.flag: whether it set out from the zone's ends.  Returns what came of it.  Sleeps: no, but lets others run.
    """
    GO_ON = 1
    if f.pc == ENTRY:
        if f.b >= 0:
            suitable = compaction_suitable(k, f.a, f.b)
            if suitable == SUCCESS or suitable == SKIPPED:
                return ret(k, t, f, suitable)
        _begin(k, t, f)
    while True:
        result = _finished(k, f)
        if result != CONTINUE:
            return ret(k, t, f, result)
        if not _step(k, t, f) and f.left >> PAGEBLOCK_ORDER > f.pos >> PAGEBLOCK_ORDER:
            return ret(k, t, f, CONTENDED)
        if k.task[t].killed:
            return ret(k, t, f, CONTENDED)
        if out_of_slice(k, t):
            f.pc = GO_ON
            return YIELD
