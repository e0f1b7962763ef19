# SPDX-License-Identifier: GPL-2.0-or-later
"""The allocator's slow path of 6.x: reclaim, compaction, and again while reclaim could still help; then OOM.

Source: Linux v6.1 mm/page_alloc.c:__alloc_pages_slowpath, should_reclaim_retry, __alloc_pages_may_oom. Differs: the OOM
reaper is left out, a victim gives its memory back itself; no reserve for requests of high order that may not wait.
"""

from pageout.engine.clock import spend
from pageout.engine.constants import (
    ALLOC_HARDER,
    ALLOC_HIGH,
    ALLOC_NO_WATERMARKS,
    ENTRY,
    GFP_FS,
    GFP_HIGH,
    GFP_MOVABLE,
    GFP_NOFAIL,
    GFP_NORETRY,
    GFP_NOWARN,
    GFP_REPEAT,
    GFP_THISNODE,
    GFP_WAIT,
    NIL,
    PAGE_ALLOC_COSTLY_ORDER,
    PF_MEMALLOC,
    RUN,
    WMARK_HIGH,
    WMARK_MIN,
    YIELD,
)
from pageout.engine.kstack import call, ret
from pageout.engine.ring import emit
from pageout.engine.waitqueue import sleep_on
from pageout.jit import kfn
from pageout.kernel.costs import RESCHED_NS
from pageout.kernel.frames import FN
from pageout.kernel.mm.buddy import (
    allocflags_to_migratetype,
    drain_all_pages,
    free_watermark_ok,
    get_page_from_freelist,
    zone_watermark_ok,
)
from pageout.kernel.mm.compaction import (
    COMPACT_ASYNC,
    COMPACT_LIGHT,
    SKIPPED,
    compaction_defer_reset,
    should_compact_retry,
)
from pageout.kernel.mm.free_area import zone_of
from pageout.kernel.mm.kswapd_node import wakeup_node_kswapd
from pageout.kernel.mm.kswapd_wake import MAX_RECLAIM_RETRIES
from pageout.kernel.mm.oom_kill import out_of_memory
from pageout.kernel.mm.reclaim_entry import enter_reclaim, left_reclaim
from pageout.kernel.mm.show_mem import warn_alloc_failed
from pageout.vocabulary.tracepoints import EV


@kfn
def _alloc_flags(gfp):
    """Which reserves a request may use. Source: gfp_to_alloc_flags."""
    flags = WMARK_MIN
    if gfp & GFP_HIGH:
        flags |= ALLOC_HIGH
    if not gfp & GFP_WAIT:
        flags |= ALLOC_HARDER
    return flags


@kfn
def _try(k, t, f, flags):
    return get_page_from_freelist(k, t, f.order, flags, f.gfp)


@kfn
def _deliver(k, t, f, page):
    emit(k, t, EV.mm_page_alloc, page, f.order, allocflags_to_migratetype(k, f.gfp), f.gfp)
    if page == NIL and not f.gfp & GFP_NOWARN:
        warn_alloc_failed(k, t, f.order, f.gfp)
    return ret(k, t, f, page)


@kfn
def zone_reclaimable_pages(k, zone):
    """Pages of a zone on the node's lists that reclaim could take; dirty ones and those being written count, too."""
    pages = k.zone[zone].lru_file
    if k.stat.swap_free > 0:
        pages += k.zone[zone].lru_anon
    return pages


@kfn
def should_reclaim_retry(k, t, f, progress):
    """Again, if some zone would be above its MIN mark with all that reclaim could free; not after 16 times in vain.

    f.count: no_progress_loops.
    """
    if progress > 0 and f.order <= PAGE_ALLOC_COSTLY_ORDER:
        f.count = 0
    else:
        f.count += 1
    if f.count > MAX_RECLAIM_RETRIES:
        return False
    top = k.param.nr_zones - 1
    for i in range(k.param.nr_zones):
        zone = top - i
        reclaimable = zone_reclaimable_pages(k, zone)
        available = reclaimable + k.zone[zone].nr_free
        mark = k.zone[zone].wmark_min + k.zone[zone].boost
        enough = free_watermark_ok(k, zone, f.order, mark, top, _alloc_flags(f.gfp), available)
        emit(
            k,
            t,
            EV.reclaim_retry_zone,
            0,
            1 << zone,
            f.order,
            reclaimable,
            available,
            mark,
            f.count,
            1 if enough else 0,
        )
        if enough:
            return True
    return False


@kfn
def alloc_pages_slowpath(k, t, f):
    """Find 2^order pages when the free lists are low: wake kswapd, reclaim, compact, try again; kill in the end.

    f.a, f.b   in: order, GFP flags.  Returns the first page, NIL on failure.  Sleeps: yes.
    """
    RETRY, RECLAIMED, COMPACTED_FIRST, COMPACTED, KILLED, JUDGE, GAVE_WAY = 1, 2, 3, 4, 5, 6, 7
    task = k.task[t]
    pc = f.pc
    if pc == ENTRY:
        f.order, f.gfp, f.priority = f.a, f.b, COMPACT_LIGHT
        wakeup_node_kswapd(k, t, f.order, f.gfp)
        if f.gfp & GFP_WAIT and k.cpu[task.cpu].resched:  # might_sleep(): who was woken may go first
            f.pc = GAVE_WAY
            return YIELD
    if pc == ENTRY or pc == GAVE_WAY:
        page = _try(k, t, f, _alloc_flags(f.gfp))
        if page != NIL:
            return _deliver(k, t, f, page)
        unmovable = f.order > 0 and not f.gfp & GFP_MOVABLE
        may = f.gfp & GFP_WAIT and not task.tflags & PF_MEMALLOC
        if k.param.compaction and may and (f.order > PAGE_ALLOC_COSTLY_ORDER or unmovable):
            return call(k, t, f, FN.try_to_compact_pages, COMPACTED_FIRST, f.order, COMPACT_ASYNC, f.gfp)
        pc = RETRY
    elif pc == KILLED:
        if f.flag:
            k.stat.oom_lock, f.flag = 0, 0
        f.count, pc = 0, RETRY
        if task.memdie:
            return _deliver(k, t, f, _try(k, t, f, ALLOC_NO_WATERMARKS))
    elif pc == COMPACTED_FIRST:
        page = _after_compaction(k, t, f)
        if page != NIL:
            return _deliver(k, t, f, page)
        pc = RETRY
    elif pc == RECLAIMED:
        left_reclaim(k, t)
        f.total = task.retval
        page = _after_reclaim(k, t, f)
        if page != NIL:
            return _deliver(k, t, f, page)
        if k.param.compaction and f.order > 0:
            return call(k, t, f, FN.try_to_compact_pages, COMPACTED, f.order, f.priority, f.gfp)
        pc = JUDGE
    elif pc == COMPACTED:
        f.left = task.retval
        page = _after_compaction(k, t, f)
        if page != NIL:
            return _deliver(k, t, f, page)
        pc = JUDGE
    if pc == JUDGE:
        return _judge(k, t, f, RETRY, KILLED)
    wakeup_node_kswapd(k, t, f.order, f.gfp)
    reserve = ALLOC_NO_WATERMARKS if task.tflags & PF_MEMALLOC or task.memdie else _alloc_flags(f.gfp)
    page = _try(k, t, f, reserve)
    if page != NIL or not f.gfp & GFP_WAIT or task.tflags & PF_MEMALLOC or task.memdie:
        return _deliver(k, t, f, page)
    return enter_reclaim(k, t, f, RECLAIMED, f.order, f.gfp)


@kfn
def _after_reclaim(k, t, f):
    """Pages were freed: try; then once more with what the CPUs keep given back."""
    if f.total == 0:
        return NIL
    page = _try(k, t, f, _alloc_flags(f.gfp))
    if page == NIL:
        drain_all_pages(k, t)
        page = _try(k, t, f, _alloc_flags(f.gfp))
    return page


@kfn
def _after_compaction(k, t, f):
    """Try again, unless too little was free to compact anything."""
    if k.task[t].retval == SKIPPED:
        return NIL
    k.node.compact_stall += 1
    page = _try(k, t, f, _alloc_flags(f.gfp))
    if page != NIL:
        zone = zone_of(k, page)
        k.zone[zone].compact_flush = 0
        compaction_defer_reset(k, zone, f.order, True)
        k.node.compact_success += 1
    else:
        k.node.compact_fail += 1
    return page


@kfn
def _judge(k, t, f, RETRY, KILLED):
    """Reclaim and compaction did not do: fail, go round again, or kill."""
    costly = f.order > PAGE_ALLOC_COSTLY_ORDER
    if f.gfp & GFP_NORETRY or (costly and not f.gfp & GFP_REPEAT):
        return _deliver(k, t, f, NIL)
    again = should_reclaim_retry(k, t, f, f.total)
    if not again and f.total > 0 and k.param.compaction and f.order > 0:
        again = should_compact_retry(k, f)
    elif not again and f.total > 0 and f.order > 0 and not costly:
        again = _has_single_pages(k, f)
    if again:
        spend(k, t, RESCHED_NS)
        f.pc = RETRY
        return YIELD
    return _may_oom(k, t, f, RETRY, KILLED)


@kfn
def _has_single_pages(k, f):
    """Without compaction: there are pages, only not together; reclaim may yet free neighbours."""
    top = k.param.nr_zones - 1
    for zone in range(k.param.nr_zones):
        if zone_watermark_ok(k, zone, 0, k.zone[zone].wmark_min + k.zone[zone].boost, top, _alloc_flags(f.gfp)):
            return True
    return False


@kfn
def _may_oom(k, t, f, RETRY, KILLED):
    """Kill, unless someone else is at it or memory has come meanwhile; not for costly orders. Sleeps for a tick."""
    f.pc = KILLED
    if k.stat.oom_lock:
        return sleep_on(k, t, NIL, 1, 0)
    page = _try(k, t, f, WMARK_HIGH)
    if page != NIL:
        return _deliver(k, t, f, page)
    if f.order > PAGE_ALLOC_COSTLY_ORDER or f.gfp & (GFP_REPEAT | GFP_THISNODE):
        if not f.gfp & GFP_NOFAIL:
            return _deliver(k, t, f, NIL)
        return sleep_on(k, t, NIL, 1, 0)
    if not f.gfp & GFP_FS:
        return sleep_on(k, t, NIL, 1, 0)
    k.stat.oom_lock, f.flag = 1, 1
    out_of_memory(k, t, f.gfp, f.order)
    if k.task[t].memdie:
        return RUN
    return sleep_on(k, t, NIL, 1, 0)
