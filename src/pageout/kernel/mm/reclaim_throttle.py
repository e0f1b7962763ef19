# SPDX-License-Identifier: GPL-2.0-or-later
"""How reclaim waits since 5.16: for a reason, never long, woken early when the reason is gone.

Source: Linux v6.1 mm/vmscan.c:reclaim_throttle, __acct_reclaim_writeback, consider_reclaim_throttle,
skip_throttle_noprogress.
"""

from pageout.engine.clock import now_of, spend
from pageout.engine.constants import (
    LRU_ACTIVE_ANON,
    LRU_ACTIVE_FILE,
    LRU_INACTIVE_ANON,
    LRU_INACTIVE_FILE,
    NIL,
    PF_KSWAPD,
    PF_KTHREAD,
    SWAP_CLUSTER_MAX,
    THROTTLE_CONGESTED,
    THROTTLE_ISOLATED,
    THROTTLE_NOPROGRESS,
    THROTTLE_WRITEBACK,
    WQ_KSWAPD,
    WQ_RECLAIM_ISOLATED,
    WQ_RECLAIM_NOPROGRESS,
    WQ_RECLAIM_WRITEBACK,
    YIELD,
)
from pageout.engine.kstack import ret
from pageout.engine.ring import emit
from pageout.engine.waitqueue import sleep_on, timeout_jiffies, wake_all
from pageout.jit import kfn
from pageout.kernel.costs import RESCHED_NS
from pageout.kernel.mm.kswapd_wake import MAX_RECLAIM_RETRIES
from pageout.kernel.mm.memcontrol import lru_size
from pageout.vocabulary.tracepoints import EV


@kfn
def node_reclaimable(k):
    """Pages that reclaim could take: file pages, and anonymous ones if swap has room."""
    pages = lru_size(k, 0, LRU_ACTIVE_FILE) + lru_size(k, 0, LRU_INACTIVE_FILE)
    if k.stat.swap_free > 0:
        pages += lru_size(k, 0, LRU_ACTIVE_ANON) + lru_size(k, 0, LRU_INACTIVE_ANON)
    return pages


@kfn
def allow_direct_reclaim(k):
    """Is more than half of what the MIN marks keep still free? If not, kswapd must be awake. For lack of kswapd: yes.

    Source: Linux v6.1 mm/vmscan.c:allow_direct_reclaim.
    """
    if k.node.kswapd_failures >= MAX_RECLAIM_RETRIES:
        return True
    reserve, free = 0, 0
    for zone in range(k.param.nr_zones):
        z = k.zone[zone]
        if z.lru_file > 0 or (z.lru_anon > 0 and k.stat.swap_free > 0):
            reserve += z.wmark_min + z.boost
            free += z.nr_free
    if reserve == 0 or free > reserve // 2:
        return True
    wake_all(k, WQ_KSWAPD)
    return False


@kfn
def _skip_noprogress(k):
    """No nap if kswapd has given up, or if so little is being written that pages will come round soon."""
    if k.node.kswapd_failures >= MAX_RECLAIM_RETRIES:
        return True
    return 2 * (k.vm.nr_dirty + k.vm.nr_writeback) <= node_reclaimable(k)


@kfn
def reclaim_throttle(k, t, f):
    """Sleep for a reason (f.a: THROTTLE_*), at most 100 ms, 20 ms or a tick. Sleeps: yes, unless it need not."""
    SLEPT, PASSED = 1, 2
    node, reason = k.node, f.a
    if f.pc == PASSED:
        return ret(k, t, f, 0)
    if f.pc == SLEPT:
        if reason == THROTTLE_WRITEBACK:
            node.nr_writeback_throttled -= 1
        slept = now_of(k, t) - f.start_ns
        k.task[t].congestion_ns += slept
        ticks = now_of(k, t) // k.param.jiffy_ns - f.start_ns // k.param.jiffy_ns
        usec = k.param.jiffy_ns // 1000
        emit(k, t, EV.mm_vmscan_throttled, 0, f.b * usec, min(ticks, f.b) * usec, 1 << reason)
        return ret(k, t, f, 0)
    task = k.task[t]
    is_kthread = task.tflags & PF_KTHREAD and not task.tflags & PF_KSWAPD
    is_nap = reason == THROTTLE_NOPROGRESS or reason == THROTTLE_CONGESTED
    if is_kthread or (is_nap and _skip_noprogress(k)):
        spend(k, t, RESCHED_NS)
        f.pc = PASSED
        return YIELD
    queue, f.b = NIL, 1
    if reason == THROTTLE_WRITEBACK:
        queue, f.b = WQ_RECLAIM_WRITEBACK, timeout_jiffies(k, 10)
        node.nr_writeback_throttled += 1
        if node.nr_writeback_throttled == 1:
            node.reclaim_start = node.nr_throttled_written
    elif reason == THROTTLE_ISOLATED:
        queue, f.b = WQ_RECLAIM_ISOLATED, timeout_jiffies(k, 50)
    elif reason == THROTTLE_NOPROGRESS:
        queue = WQ_RECLAIM_NOPROGRESS
    f.pc, f.start_ns = SLEPT, now_of(k, t)
    return sleep_on(k, t, queue, f.b, 0)


@kfn
def acct_reclaim_writeback(k):
    """A page has been written: those who wait for writes go on after 32 pages for each of them."""
    node = k.node
    if node.nr_writeback_throttled == 0:
        return
    node.nr_throttled_written += 1
    if node.nr_throttled_written - node.reclaim_start > SWAP_CLUSTER_MAX * node.nr_writeback_throttled:
        wake_all(k, WQ_RECLAIM_WRITEBACK)


@kfn
def wake_throttle_isolated(k):
    """Not too much is isolated any more."""
    if k.wait[WQ_RECLAIM_ISOLATED].head != NIL:
        wake_all(k, WQ_RECLAIM_ISOLATED)


@kfn
def should_throttle_noprogress(k, t, priority):
    """After a pass of direct reclaim: wake who naps if it went well; True if this task is to nap itself."""
    task = k.task[t]
    if task.sc_reclaimed > task.sc_scanned >> 3:
        if k.wait[WQ_RECLAIM_NOPROGRESS].head != NIL:
            wake_all(k, WQ_RECLAIM_NOPROGRESS)
        return False
    return priority == 1 and task.sc_reclaimed == 0 and not task.sc_memcg
