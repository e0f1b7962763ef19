# SPDX-License-Identifier: GPL-2.0-or-later
"""One zone compacted: pages in use move from its low end to free frames at its high end, 32 at a time.

Two scanners go towards each other by pageblocks and remember where they were: compact_migrate.py, compact_free.py. A
pageblock that had nothing is not looked at again until kswapd sleeps; one that was begun is finished.

Source: Linux v6.1 mm/compaction.c:compact_zone, __compact_finished. Differs: nothing is taken at the moment it merges
(compaction_capture); nobody waits because too many pages are off their lists (too_many_isolated).
"""

from pageout.engine.clock import out_of_slice
from pageout.engine.constants import (
    ENTRY,
    MAX_ORDER,
    MIGRATE_MOVABLE,
    NIL,
    NR_FREE_LISTS,
    PAGEBLOCK_ORDER,
    T_RUNNABLE,
    T_RUNNING,
    YIELD,
)
from pageout.engine.kstack import ret
from pageout.jit import kfn
from pageout.kernel.mm.buddy import drain_pcp
from pageout.kernel.mm.compact_free import release_freepages, scanners_met
from pageout.kernel.mm.compact_migrate import isolate_migratepages, move_pages
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
from pageout.kernel.mm.swap import lru_add_drain

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
def _step(k, t, f):
    """One batch: find pages, move them. False: no free frame was left to move one to.

    Where pages were just moved from is gone through to its end.  Behind a block of the wanted order from which pages
    were moved, what is on its way to lists goes there.
    """
    z, begun = k.zone[f.a], f.pos
    isolate_migratepages(k, t, f, f.total >> PAGEBLOCK_ORDER == begun >> PAGEBLOCK_ORDER)
    if f.nr_taken > 0:
        f.work, f.total = 0, begun
        if not move_pages(k, t, f):
            return False
    elif f.work:
        z.compact_migrate = z.compact_async
    if f.b > 0 and f.total > 0 and f.total < f.pos >> f.b << f.b:
        f.total = 0
        lru_add_drain(k, k.task[t].cpu)
        drain_pcp(k, t, f.a, k.task[t].cpu, k.pcp[f.a * k.param.nr_cpus + k.task[t].cpu].nr)
    return True


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
    if scanners_met(f):
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
    f.total, f.index, f.list_head, f.order = 0, NIL, NIL, f.b
    f.flag = 1 if f.c & MODE_WHOLE else 0
    f.pos, f.left = z.start_page, last
    if not f.flag:
        if not max(z.start_page, 1) <= z.compact_free < z.end_page:  # 0: there was no run yet
            z.compact_free = last
        at = z.compact_migrate if is_sync else z.compact_async
        if not z.start_page <= at < z.end_page:
            at = z.start_page
            z.compact_async, z.compact_migrate = at, at
        f.pos, f.left = at, z.compact_free
        if f.pos <= z.compact_init:
            f.flag = 1
    f.work = 1 if not is_sync and z.compact_async == z.compact_migrate else 0
    lru_add_drain(k, k.task[t].cpu)


@kfn
def compact_zone(k, t, f):
    """Compact a zone until it has a block of the order, or the scanners meet.

    f.a, f.b, f.c   in: zone, order (-1: as far as it can be), how (MODE_*, kind of page wanted).
    f.pos, f.left: where the scanners are; f.total: where pages were last moved from, 0: they have been given back;
    f.flag: whether it set out from the zone's ends; f.work: whether synchronous runs are to begin where this one does;
    the rest as in compact_free.py and compact_migrate.py.  Returns what came of it.  Sleeps: no, but lets others run.
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
        if result == CONTINUE and (not _step(k, t, f) or k.task[t].killed):
            result = CONTENDED
        if result != CONTINUE:
            release_freepages(k, t, f)
            return ret(k, t, f, result)
        if out_of_slice(k, t):
            f.pc = GO_ON
            return YIELD
