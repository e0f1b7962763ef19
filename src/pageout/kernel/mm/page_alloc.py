# SPDX-License-Identifier: GPL-2.0-or-later
"""The allocator's slow path, in the kernel's order of actions.

Source: Linux v2.6.34 mm/page_alloc.c:__alloc_pages_slowpath.
"""

from pageout.engine.constants import (
    ALLOC_HARDER,
    ALLOC_HIGH,
    ALLOC_NO_WATERMARKS,
    ENTRY,
    GFP_FS,
    GFP_HIGH,
    GFP_NORETRY,
    GFP_NOWARN,
    GFP_REPEAT,
    GFP_WAIT,
    NIL,
    PAGE_ALLOC_COSTLY_ORDER,
    PF_MEMALLOC,
    RUN,
    WMARK_HIGH,
    WMARK_MIN,
)
from pageout.engine.kstack import ret
from pageout.engine.ring import emit
from pageout.engine.waitqueue import sleep_on
from pageout.jit import kfn
from pageout.kernel.mm.buddy import allocflags_to_migratetype, drain_all_pages, get_page_from_freelist
from pageout.kernel.mm.kswapd import wakeup_kswapd
from pageout.kernel.mm.oom_kill import out_of_memory
from pageout.kernel.mm.reclaim_entry import enter_reclaim, left_reclaim
from pageout.kernel.mm.show_mem import warn_alloc_failed
from pageout.kernel.mm.throttle import nap
from pageout.vocabulary.tracepoints import EV


@kfn
def _alloc_flags(gfp):
    """Which reserves a request may use. Source: mm/page_alloc.c:gfp_to_alloc_flags."""
    flags = WMARK_MIN
    if gfp & GFP_HIGH:
        flags |= ALLOC_HIGH
    if not gfp & GFP_WAIT:
        flags |= ALLOC_HARDER
    return flags


@kfn
def _may_ignore_watermarks(k, t):
    task = k.task[t]
    return task.tflags & PF_MEMALLOC or task.memdie


@kfn
def _deliver(k, t, f, page):
    emit(k, t, EV.mm_page_alloc, page, f.order, allocflags_to_migratetype(k, f.gfp), f.gfp)
    if page == NIL and not f.gfp & GFP_NOWARN:
        warn_alloc_failed(k, t, f.order, f.gfp)
    return ret(k, t, f, page)


@kfn
def _should_retry(f, progress):
    """Small requests never fail, they loop. Source: mm/page_alloc.c:should_alloc_retry."""
    f.total += progress
    if f.gfp & GFP_NORETRY:
        return False
    if f.order <= PAGE_ALLOC_COSTLY_ORDER:
        return True
    return bool(f.gfp & GFP_REPEAT) and f.total < 1 << f.order


@kfn
def alloc_pages(k, t, f):
    """Find 2^order pages when the free lists are low: wake kswapd, reclaim, kill, wait, try again.

    f.a, f.b   in: order, GFP flags.  Returns the first page, NIL on failure.  Sleeps: yes.
    """
    REBALANCE, RECLAIMED, KILLED = 1, 2, 3
    pc = f.pc
    if pc == ENTRY:
        f.order, f.gfp = f.a, f.b
    elif pc == KILLED:
        if f.flag:
            k.stat.oom_lock = 0
            f.flag = 0
        if f.order > PAGE_ALLOC_COSTLY_ORDER:
            return _deliver(k, t, f, NIL)
        pc = ENTRY
    while True:
        if pc == ENTRY:
            wakeup_kswapd(k, t, f.order)
            page = get_page_from_freelist(k, t, f.order, _alloc_flags(f.gfp), f.gfp)
            if page != NIL:
                return _deliver(k, t, f, page)
            pc = REBALANCE
        elif pc == REBALANCE:
            if _may_ignore_watermarks(k, t):
                page = get_page_from_freelist(k, t, f.order, ALLOC_NO_WATERMARKS, f.gfp)
                if page != NIL:
                    return _deliver(k, t, f, page)
            if not f.gfp & GFP_WAIT or _may_ignore_watermarks(k, t):
                return _deliver(k, t, f, NIL)
            return enter_reclaim(k, t, f, RECLAIMED, f.order, f.gfp)
        else:
            left_reclaim(k, t)
            progress = k.task[t].retval
            if f.order > 0:
                drain_all_pages(k, t)
            if progress > 0:
                page = get_page_from_freelist(k, t, f.order, _alloc_flags(f.gfp), f.gfp)
                if page != NIL:
                    return _deliver(k, t, f, page)
            elif f.gfp & GFP_FS and not f.gfp & GFP_NORETRY:
                return _oom(k, t, f, KILLED)
            if not _should_retry(f, progress):
                return _deliver(k, t, f, NIL)
            return nap(k, t, f, REBALANCE, 50)


@kfn
def _oom(k, t, f, KILLED):
    """Nothing could be freed: kill, unless someone else is at it or memory has come meanwhile."""
    f.pc = KILLED
    if k.stat.oom_lock:
        return sleep_on(k, t, NIL, 1, 0)
    page = get_page_from_freelist(k, t, f.order, WMARK_HIGH, f.gfp)
    if page != NIL:
        return _deliver(k, t, f, page)
    if f.order > PAGE_ALLOC_COSTLY_ORDER:
        return _deliver(k, t, f, NIL)
    k.stat.oom_lock = 1
    f.flag = 1
    out_of_memory(k, t, f.gfp, f.order)
    if k.task[t].memdie:
        return RUN  # the victim itself does not wait for its death
    return sleep_on(k, t, NIL, 1, 0)
