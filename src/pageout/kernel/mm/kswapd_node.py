# SPDX-License-Identifier: GPL-2.0-or-later
"""kswapd of a node since 4.8: one zone above its HIGH mark is enough; after 16 runs in vain it leaves it to others.

Source: Linux v6.1 mm/vmscan.c:wakeup_kswapd, kswapd_try_to_sleep, kswapd, balance_pgdat, kswapd_shrink_node,
pgdat_balanced, pgdat_watermark_boosted. Differs: no memory tiers.
"""

from pageout.engine.constants import (
    DEF_PRIORITY,
    ENTRY,
    GFP_KERNEL,
    GFP_WAIT,
    NIL,
    PAGEBLOCK_ORDER,
    SWAP_CLUSTER_MAX,
    WQ_KSWAPD,
    WQ_PFMEMALLOC,
)
from pageout.engine.kstack import call, ret
from pageout.engine.ring import emit
from pageout.engine.waitqueue import sleep_on, timeout_jiffies, wake_all
from pageout.jit import kfn
from pageout.kernel.frames import FN
from pageout.kernel.mm.buddy import zone_watermark_ok
from pageout.kernel.mm.compaction import compact_gap, reset_isolation_suitable, wakeup_kcompactd
from pageout.kernel.mm.kswapd_wake import MAX_RECLAIM_RETRIES, note_kswapd_woken
from pageout.kernel.mm.lruvec import kswapd_age_node, snapshot_refaults
from pageout.kernel.mm.reclaim_throttle import allow_direct_reclaim
from pageout.kernel.mm.vmscan_node import begin_scan_control
from pageout.vocabulary.tracepoints import EV

BOOST_PRIORITY = DEF_PRIORITY - 2  # reclaim for boosted marks alone looks no harder than so


@kfn
def pgdat_balanced(k, order):
    """Is there a zone above its HIGH mark, with a block of this order?"""
    top = k.param.nr_zones - 1
    for zone in range(k.param.nr_zones):
        if zone_watermark_ok(k, zone, order, k.zone[zone].wmark_high + k.zone[zone].boost, top, 0):
            return True
    return False


@kfn
def pgdat_watermark_boosted(k):
    """Are any zone's marks raised?"""
    for zone in range(k.param.nr_zones):
        if k.zone[zone].boost > 0:
            return True
    return False


@kfn
def wakeup_node_kswapd(k, t, order, gfp):
    """Wake kswapd if it sleeps, has not given up, and the node needs it; else kcompactd, for who may not reclaim."""
    if k.stat.kswapd_max_order < order:
        k.stat.kswapd_max_order = order
    if k.wait[WQ_KSWAPD].head == NIL:
        return
    rests = k.node.kswapd_failures >= MAX_RECLAIM_RETRIES
    if rests or (pgdat_balanced(k, order) and not pgdat_watermark_boosted(k)):
        if not gfp & GFP_WAIT:
            wakeup_kcompactd(k, order)
        return
    emit(k, t, EV.mm_vmscan_wakeup_kswapd_gfp, 0, order, gfp)
    note_kswapd_woken(k, t)
    wake_all(k, WQ_KSWAPD)


@kfn
def _may_sleep(k, order):
    """prepare_kswapd_sleep: it has given up, or the node is balanced, and then what was noted of it is forgotten."""
    node = k.node
    wake_all(k, WQ_PFMEMALLOC)
    if node.kswapd_failures >= MAX_RECLAIM_RETRIES:
        return True
    if not pgdat_balanced(k, order):
        return False
    node.congested, node.dirty, node.writeback = 0, 0, 0
    return True


@kfn
def kswapd_of_node(k, t, f):
    """The thread: nap for 100 ms, sleep, or run balance_pgdat. Fields: f.order asked for, f.left what it works for."""
    NAPPED, SLEPT, BALANCED = 1, 2, 3
    if f.pc == BALANCED and k.task[t].retval < f.order:
        f.left = k.task[t].retval
    elif f.pc == BALANCED or f.pc == ENTRY:
        f.order = k.stat.kswapd_max_order
        f.left = f.order
    if f.pc == NAPPED:
        if k.task[t].woken:
            if k.stat.kswapd_max_order < f.left:
                k.stat.kswapd_max_order = f.left
            k.vm.kswapd_low_wmark_hit_quickly += 1
        elif _may_sleep(k, f.left):
            emit(k, t, EV.mm_vmscan_kswapd_sleep, 0)
            f.pc = SLEPT
            return sleep_on(k, t, WQ_KSWAPD, 0, 0)
        else:
            k.vm.kswapd_high_wmark_hit_quickly += 1
    elif f.pc != SLEPT:
        if _may_sleep(k, f.left):
            reset_isolation_suitable(k)
            wakeup_kcompactd(k, f.order)
            f.pc = NAPPED
            return sleep_on(k, t, WQ_KSWAPD, timeout_jiffies(k, 10), 0)
        k.vm.kswapd_high_wmark_hit_quickly += 1
    f.order = k.stat.kswapd_max_order
    k.stat.kswapd_max_order = 0
    emit(k, t, EV.mm_vmscan_kswapd_wake, 0, f.order)
    return call(k, t, f, FN.balance_pgdat, BALANCED, f.order, 0, 0)


@kfn
def _nr_to_reclaim(k):
    pages = 0
    for zone in range(k.param.nr_zones):
        pages += max(k.zone[zone].wmark_high + k.zone[zone].boost, SWAP_CLUSTER_MAX)
    return pages


@kfn
def balance_node(k, t, f):
    """One run of kswapd: scan harder from priority 12 to 1 until a zone is above its HIGH mark.

    f.a   in: order.  f.left: what boosted marks ask for beyond that; f.b, f.c, f.d: each zone's boost at the start.
    Returns the order it ended with: 0 once compaction could do the rest.  Sleeps: yes.
    """
    SHRUNK = 1
    task, node = k.task[t], k.node
    if f.pc == ENTRY:
        begin_scan_control(k, t, f.a, GFP_KERNEL)
        k.vm.pageoutrun += 1
        node.reclaim_active = 1
        f.priority = DEF_PRIORITY
        _note_boosts(k, f)
    elif f.pc == SHRUNK and _after_pass(k, t, f):
        return _end_run(k, t, f)
    balanced = pgdat_balanced(k, task.sc_order)
    if not balanced and f.left > 0:
        f.left, f.priority = 0, DEF_PRIORITY
    if balanced and f.left == 0:
        return _end_run(k, t, f)
    task.sc_writepage = 0 if k.param.laptop_mode or f.left > 0 else 1
    task.sc_no_swap = 1 if f.left > 0 else 0
    kswapd_age_node(k, t)
    if f.priority < DEF_PRIORITY - 2:
        task.sc_writepage = 1
    task.sc_scanned, task.sc_to_reclaim, f.pos = 0, _nr_to_reclaim(k), task.sc_reclaimed
    return call(k, t, f, FN.shrink_node, SHRUNK, f.priority, 0, 0)


@kfn
def _note_boosts(k, f):
    f.b = k.zone[0].boost
    f.c = k.zone[1].boost if k.param.nr_zones > 1 else 0
    f.d = k.zone[2].boost if k.param.nr_zones > 2 else 0
    f.left = f.b + f.c + f.d


@kfn
def _after_pass(k, t, f):
    """The node has been scanned: look harder next time, unless enough was looked at. True if the run is over."""
    task = k.task[t]
    if task.sc_order > 0 and task.sc_reclaimed >= compact_gap(task.sc_order):
        task.sc_order = 0
    harder = task.sc_scanned < task.sc_to_reclaim and not (f.left > 0 and f.priority == BOOST_PRIORITY)
    if k.wait[WQ_PFMEMALLOC].head != NIL and allow_direct_reclaim(k):
        wake_all(k, WQ_PFMEMALLOC)
    reclaimed = task.sc_reclaimed - f.pos
    f.left -= min(f.left, reclaimed)
    over = f.left > 0 and reclaimed == 0
    if not over and (harder or reclaimed == 0):
        f.priority -= 1
        over = f.priority < 1 and not _tries_again(k, t, f)
    if over and task.sc_reclaimed == 0:
        k.node.kswapd_failures += 1
    return over


@kfn
def _tries_again(k, t, f):
    """reclaim.trim_retry: nothing was freed while one kind of page was spared: once more from 12, sparing none."""
    task = k.task[t]
    if not k.param.trim_retry or task.sc_reclaimed > 0 or task.sc_no_trim or not task.sc_trim_failed:
        return False
    task.sc_no_trim, f.priority = 1, DEF_PRIORITY
    return True


@kfn
def _end_run(k, t, f):
    """The run is over: boosts that stood at its start have had their reclaim; there may be room for kcompactd."""
    k.node.reclaim_active = 0
    if f.b + f.c + f.d > 0:
        k.zone[0].boost -= min(k.zone[0].boost, f.b)
        if k.param.nr_zones > 1:
            k.zone[1].boost -= min(k.zone[1].boost, f.c)
        if k.param.nr_zones > 2:
            k.zone[2].boost -= min(k.zone[2].boost, f.d)
        wakeup_kcompactd(k, PAGEBLOCK_ORDER)
    snapshot_refaults(k, 0)
    return ret(k, t, f, k.task[t].sc_order)
