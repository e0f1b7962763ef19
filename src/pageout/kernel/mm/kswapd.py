# SPDX-License-Identifier: GPL-2.0-or-later
"""kswapd: the thread that reclaims in the background, and how it is woken.

Source: Linux v2.6.34 mm/vmscan.c:kswapd, balance_pgdat, wakeup_kswapd, sleeping_prematurely.
"""

from pageout.engine.clock import now_of
from pageout.engine.constants import DEF_PRIORITY, ENTRY, KSWAPD_ALL, NIL, SWAP_CLUSTER_MAX, WQ_KSWAPD
from pageout.engine.kstack import call, ret
from pageout.engine.ring import emit
from pageout.engine.waitqueue import sleep_on, timeout_jiffies, wake_all
from pageout.jit import kfn
from pageout.kernel.frames import FN
from pageout.kernel.mm.buddy import zone_watermark_ok
from pageout.kernel.mm.kswapd_wake import note_kswapd_woken
from pageout.kernel.mm.lru_balance import age_anon_if_low, reclaimable_pages
from pageout.vocabulary.tracepoints import EV

UNRECLAIMABLE_FACTOR = 6  # a zone scanned this many times over without success is given up
FAIRNESS_FACTOR = 8  # a zone this many times above its high mark is left alone
UNLIMITED = 1 << 60


@kfn
def wakeup_kswapd(k, t, order):
    """Wake kswapd if some zone is not above its LOW mark for this order."""
    zone = k.param.nr_zones - 1
    while zone >= 0:
        if not zone_watermark_ok(k, zone, order, k.zone[zone].wmark_low, 0, 0):
            if k.stat.kswapd_max_order < order:
                k.stat.kswapd_max_order = order
            if k.wait[WQ_KSWAPD].head != NIL:
                emit(k, t, EV.mm_vmscan_wakeup_kswapd, 0, zone, order)
                note_kswapd_woken(k, t)
                wake_all(k, WQ_KSWAPD)
        zone -= 1


@kfn
def _sleeping_prematurely(k, order):
    for zone in range(k.param.nr_zones):
        z = k.zone[zone]
        if not z.all_unreclaimable and not zone_watermark_ok(k, zone, order, z.wmark_high, 0, 0):
            return True
    return False


@kfn
def kswapd(k, t, f):
    """The thread: nap, sleep, or run balance_pgdat for the largest order asked for since the last run."""
    ASKED, NAPPED, SLEPT, BALANCED = ENTRY, 1, 2, 3
    pc = f.pc
    while True:
        if pc == ASKED or pc == BALANCED:
            asked = k.stat.kswapd_max_order
            k.stat.kswapd_max_order = 0
            if f.order < asked:
                f.order = asked
                return _balance(k, t, f, BALANCED)
            if not _sleeping_prematurely(k, f.order):
                f.pc = NAPPED
                return sleep_on(k, t, WQ_KSWAPD, timeout_jiffies(k, 10), 0)
            k.vm.kswapd_high_wmark_hit_quickly += 1
            f.order = k.stat.kswapd_max_order
            return _balance(k, t, f, BALANCED)
        if pc == NAPPED:
            if not k.task[t].woken and not _sleeping_prematurely(k, f.order):
                emit(k, t, EV.mm_vmscan_kswapd_sleep, 0)
                f.pc = SLEPT
                return sleep_on(k, t, WQ_KSWAPD, 0, 0)
            if k.task[t].woken:
                k.vm.kswapd_low_wmark_hit_quickly += 1
            else:
                k.vm.kswapd_high_wmark_hit_quickly += 1
        f.order = k.stat.kswapd_max_order
        return _balance(k, t, f, BALANCED)


@kfn
def _balance(k, t, f, BALANCED):
    emit(k, t, EV.mm_vmscan_kswapd_wake, 0, f.order)
    return call(k, t, f, FN.balance_pgdat, BALANCED, f.order, 0, 0)


@kfn
def _end_zone(k, f):
    """The highest zone below its HIGH mark: this one and all lower are scanned. NIL if none needs it."""
    zone = k.param.nr_zones - 1
    while zone >= 0:
        z = k.zone[zone]
        if not z.all_unreclaimable or f.priority == DEF_PRIORITY:
            age_anon_if_low(k, zone)
            if not zone_watermark_ok(k, zone, f.order, z.wmark_high, 0, 0):
                return zone
            z.congested = 0
        zone -= 1
    return NIL


@kfn
def _begin_sweep(k, t, f):
    task = k.task[t]
    task.sc_reclaimed, task.sc_order, task.sc_to_reclaim = 0, f.order, UNLIMITED
    task.sc_gfp, task.sc_writepage = 0xD0, 0 if k.param.laptop_mode or k.param.reclaim_writeback == 2 else 1
    f.total = 0
    k.vm.pageoutrun += 1


@kfn
def _zone_done(k, t, f):
    """Judge a zone after its scan: given up? still below its marks? Fields: f.flag not all ok, f.stage under min."""
    z = k.zone[f.zone]
    f.total += k.task[t].sc_scanned
    if z.all_unreclaimable:
        return
    if z.pages_scanned >= UNRECLAIMABLE_FACTOR * reclaimable_pages(k, f.zone):
        z.all_unreclaimable = 1
        z.unreclaimable_since_ns = now_of(k, t)
    if f.total > 2 * SWAP_CLUSTER_MAX and f.total > k.task[t].sc_reclaimed * 3 // 2 and k.param.reclaim_writeback != 2:
        k.task[t].sc_writepage = 1
    if not zone_watermark_ok(k, f.zone, f.order, z.wmark_high, f.a, 0):
        f.flag = 1
        if not zone_watermark_ok(k, f.zone, f.order, z.wmark_min, f.a, 0):
            f.stage = 1
    else:
        z.congested = 0


@kfn
def balance_pgdat(k, t, f):
    """Bring every zone above its HIGH mark, scanning harder from priority 12 to 0, over and over.

    f.a   in: order; later: end_zone.  Returns the order it ended with.  Sleeps: yes.
    """
    PRIORITY, ZONE, ZONE_SHRUNK, WAITED = 1, 2, 3, 4
    pc = f.pc
    while True:
        if pc == ENTRY:
            f.order = f.a
            _begin_sweep(k, t, f)
            f.priority = DEF_PRIORITY
            pc = PRIORITY
        elif pc == PRIORITY:
            f.flag, f.stage = 0, 0
            f.a = _end_zone(k, f)
            if f.a == NIL:
                return ret(k, t, f, f.order)
            f.zone = 0
            pc = ZONE
        elif pc == ZONE:
            if f.zone > f.a:
                pc = _end_of_priority(k, f, WAITED)
                if pc == -1:
                    return ret(k, t, f, f.order)
                if pc == -2:
                    return call(k, t, f, FN.congestion_wait, WAITED, timeout_jiffies(k, 10), 0, 0)
                continue
            z = k.zone[f.zone]
            if z.all_unreclaimable and f.priority != DEF_PRIORITY:
                f.zone += 1
                continue
            k.task[t].sc_scanned = 0
            if k.param.kswapd_zones == KSWAPD_ALL or not zone_watermark_ok(
                k, f.zone, f.order, FAIRNESS_FACTOR * z.wmark_high, f.a, 0
            ):
                return call(k, t, f, FN.shrink_zone, ZONE_SHRUNK, f.priority, f.zone, 0)
            pc = ZONE_SHRUNK
        elif pc == ZONE_SHRUNK:
            _zone_done(k, t, f)
            f.zone += 1
            pc = ZONE
        else:
            pc = _next_priority(k, t, f)


@kfn
def _end_of_priority(k, f, WAITED):
    """After all zones: -1 all is well, -2 wait for the disk, else go on with the next priority."""
    if not f.flag:
        return -1
    if f.total > 0 and f.priority < DEF_PRIORITY - 2:
        if f.stage:
            k.vm.kswapd_skip_congestion_wait += 1
        else:
            return -2
    return WAITED


@kfn
def _next_priority(k, t, f):
    """Go on harder; begin again at 12 after 32 pages or after priority 0. Returns the label."""
    reclaimed = k.task[t].sc_reclaimed
    if reclaimed < SWAP_CLUSTER_MAX and f.priority > 0:
        f.priority -= 1
        return 1
    if reclaimed < SWAP_CLUSTER_MAX:
        f.order = 0
    f.a = f.order
    return ENTRY
