# SPDX-License-Identifier: GPL-2.0-or-later
"""When a reclaimer waits under designs that no longer wait at every low priority.

Source: Linux v3.1 mm/backing-dev.c:wait_iff_congested, mm/vmscan.c (ZONE_CONGESTED); 3.2, commit 92df3a72.
"""

from pageout.engine.clock import now_of, spend
from pageout.engine.constants import DEF_PRIORITY, ENTRY, STALL_WRITEBACK, WQ_CONGESTION_WRITE, YIELD
from pageout.engine.kstack import call, ret
from pageout.engine.ring import emit
from pageout.engine.waitqueue import sleep_on, timeout_jiffies
from pageout.jit import kfn
from pageout.kernel.costs import RESCHED_NS
from pageout.kernel.frames import FN
from pageout.vocabulary.tracepoints import EV


@kfn
def _some_device_congested(k):
    for bdi in range(k.param.nr_bdis):
        if k.bdi[bdi].congested_write and not k.bdi[bdi].is_swap:
            return True
    return False


@kfn
def wait_iff_congested(k, t, f):
    """Wait as congestion_wait does, but only if some device is congested and reclaim has met that in this zone.

    f.a, f.b   in: timeout in jiffies, zone.  Sleeps: perhaps; if not, others may run first (cond_resched).
    """
    if f.pc == ENTRY:
        f.start_ns = now_of(k, t)
        f.pc = 1
        if _some_device_congested(k) and k.zone[f.b].congested:
            f.flag = 1
            return sleep_on(k, t, WQ_CONGESTION_WRITE, f.a, 0)
        spend(k, t, RESCHED_NS)
        return YIELD
    if f.flag:
        k.task[t].congestion_ns += now_of(k, t) - f.start_ns
    jiffies = now_of(k, t) // k.param.jiffy_ns - f.start_ns // k.param.jiffy_ns
    emit(k, t, EV.writeback_wait_iff_congested, f.a * k.param.jiffy_ns // 1000, jiffies * k.param.jiffy_ns // 1000)
    return ret(k, t, f, 0)


@kfn
def nap(k, t, f, resume, divisor):
    """Direct reclaim and the allocator wait HZ / divisor: as 2.6.34 (any device) or as 3.2 (only if congested).

    Source: Linux v3.1 mm/vmscan.c:do_try_to_free_pages, mm/page_alloc.c:__alloc_pages_slowpath.
    """
    ticks = timeout_jiffies(k, divisor)
    if k.param.reclaim_throttle == STALL_WRITEBACK:
        return call(k, t, f, FN.wait_iff_congested, resume, ticks, k.param.nr_zones - 1, 0)
    return call(k, t, f, FN.congestion_wait, resume, ticks, 0, 0)


@kfn
def recycles_writeback(k, t, nr_taken, priority):
    """True if so much of a batch was under writeback already that scanning on would only go round.

    All of it at priority 12, half at 11, a quarter at 10 and so on.  Source: commit 92df3a72 (3.2).
    """
    if k.param.reclaim_throttle != STALL_WRITEBACK or k.task[t].sc_writeback == 0:
        return False
    return k.task[t].sc_writeback >= nr_taken >> (DEF_PRIORITY - priority)


@kfn
def note_congestion(k, t, zone):
    """After a batch: the zone is congested if every dirty page met in it belongs to a congested device.

    Source: Linux v3.1 mm/vmscan.c:shrink_page_list. Differs: there only pages that pageout() itself refused count,
    which under 3.2's rules hardly any reaches; here the device counts, as the mark is meant.
    """
    task = k.task[t]
    if task.sc_dirty > 0 and task.sc_dirty == task.sc_congested:
        k.zone[zone].congested = 1
