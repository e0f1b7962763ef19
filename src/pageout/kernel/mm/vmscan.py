# SPDX-License-Identifier: GPL-2.0-or-later
"""Page reclaim: direct reclaim, the scan of a zone, and what becomes of each page.

Source: Linux v2.6.34 mm/vmscan.c.  The scan_control is kept in the task (sc_*): reclaim never nests.
"""

from pageout.engine.clock import now_of, out_of_slice
from pageout.engine.constants import (
    BAIL_BATCH,
    BAIL_PRIORITY,
    DEF_PRIORITY,
    ENTRY,
    GFP_FS,
    GFP_IO,
    KICK_SCANNED,
    LRU_ACTIVE_ANON,
    LRU_ACTIVE_FILE,
    LRU_INACTIVE_ANON,
    LRU_INACTIVE_FILE,
    NIL,
    PF_MEMALLOC,
    PG_ACTIVE,
    PG_ISOLATED,
    PG_SWAPBACKED,
    PROGRESS_RECLAIMABLE,
    SWAP_CLUSTER_MAX,
    WQ_CONGESTION_READ,
    WQ_CONGESTION_WRITE,
    YIELD,
)
from pageout.engine.kstack import call, ret
from pageout.engine.ring import emit
from pageout.engine.waitqueue import sleep_on, timeout_jiffies
from pageout.jit import kfn
from pageout.kernel.block.blk_plug import blk_start_plug
from pageout.kernel.frames import FN
from pageout.kernel.fs.bdi_work import wakeup_flusher_threads
from pageout.kernel.mm.dirty_limits import background_threshold, dirty_threshold, trace_dirty_state
from pageout.kernel.mm.isolate import count_isolated, is_kswapd, is_lumpy, isolate_lru_pages
from pageout.kernel.mm.lru_balance import (
    age_anon_if_low,
    anon_is_low,
    anon_percent,
    can_swap,
    file_is_low,
    nr_on,
    nr_to_scan,
    shrink_active_list,
)
from pageout.kernel.mm.reclaim_entry import stall_begins, stall_ends
from pageout.kernel.mm.reclaim_worker import cluster_pages, sort_by_file
from pageout.kernel.mm.swap import lru_add, lru_add_drain
from pageout.kernel.mm.throttle import nap, recycles_writeback
from pageout.kernel.mm.writeback_rules import direct_may_write
from pageout.kernel.policies import pages_to_ask_for
from pageout.vocabulary.tracepoints import EV


@kfn
def _direct_may_writepage(k, order):
    """May direct reclaim write file pages? The choice the article is about."""
    return 1 if direct_may_write(k, order) and not k.param.laptop_mode else 0


@kfn
def try_to_free_pages(k, t, f):
    """Direct reclaim: the allocating task itself looks for pages to free, harder at each priority.

    f.a, f.b, f.c   in: order, GFP flags, callers it is done for (0: one).
    Returns pages reclaimed, 0 if it got nowhere.  Sleeps: yes.
    """
    PRIORITY, ZONE, ZONE_SHRUNK, WAITED = 1, 2, 3, 4
    pc = f.pc
    while True:
        if pc == ENTRY:
            _begin_direct(k, t, f)
            pc = PRIORITY
        elif pc == PRIORITY:
            k.task[t].sc_scanned = 0
            f.flag = 0
            f.zone = k.param.nr_zones - 1
            pc = ZONE
        elif pc == ZONE:
            if f.zone >= 0:
                if not k.zone[f.zone].all_unreclaimable or f.priority == DEF_PRIORITY:
                    f.flag = 1
                    return call(k, t, f, FN.shrink_zone, ZONE_SHRUNK, f.priority, f.zone, 0)
                f.zone -= 1
                continue
            if _enough_or_kick(k, t, f):
                return _end_direct(k, t, f)
            if k.task[t].sc_scanned > 0 and f.priority < DEF_PRIORITY - 2:
                return nap(k, t, f, WAITED, 10)
            pc = WAITED
        elif pc == ZONE_SHRUNK:
            f.zone -= 1
            pc = ZONE
        else:
            if f.priority == 0:
                return _end_direct(k, t, f)
            f.priority -= 1
            pc = PRIORITY


@kfn
def _begin_direct(k, t, f):
    task = k.task[t]
    f.priority = DEF_PRIORITY
    task.tflags |= PF_MEMALLOC
    task.sc_order, task.sc_gfp, task.sc_reclaimed, task.sc_dirty = f.a, f.b, 0, 0
    task.sc_to_reclaim = SWAP_CLUSTER_MAX * (f.c if f.c > 0 else 1)
    task.sc_writepage = _direct_may_writepage(k, f.a)
    stall_begins(k, t, f, f.a, f.b, task.sc_writepage)


@kfn
def _enough_or_kick(k, t, f):
    """After a pass over the zones: enough freed? If not, ask the flushers, as the design has it."""
    task = k.task[t]
    f.total += task.sc_scanned
    if task.sc_reclaimed >= task.sc_to_reclaim:
        return True
    if k.param.policy_wake_flushers:
        wanted = pages_to_ask_for(k, t, f.total)
        if wanted > 0:
            wakeup_flusher_threads(k, t, wanted)
        return False
    if f.total > SWAP_CLUSTER_MAX + SWAP_CLUSTER_MAX // 2 and k.param.reclaim_kick == KICK_SCANNED:
        wakeup_flusher_threads(k, t, 0 if k.param.laptop_mode else f.total)
        if direct_may_write(k, f.a):
            task.sc_writepage = 1
    return False


@kfn
def _end_direct(k, t, f):
    """Leave direct reclaim. 2.6.34 returns 0 when every zone was given up, whatever was freed on the way.

    reclaim.progress=reclaimable: 1 if nothing was freed but some zone is not given up (2.6.35, commit bb21c7ce).
    """
    task = k.task[t]
    task.tflags &= ~PF_MEMALLOC
    stall_ends(k, t, f, task.sc_reclaimed)
    if k.param.reclaim_progress == PROGRESS_RECLAIMABLE:
        return ret(k, t, f, task.sc_reclaimed if task.sc_reclaimed > 0 else f.flag)
    return ret(k, t, f, task.sc_reclaimed if f.flag or task.sc_reclaimed >= SWAP_CLUSTER_MAX else 0)


@kfn
def shrink_zone(k, t, f):
    """Scan the zone's lists in turn, 32 pages each, until their shares are used up or enough was freed.

    f.a, f.b   in: priority, zone.  Shares: f.left inactive anon, f.count active anon, f.total inactive file,
    f.nr_taken active file.  Sleeps: yes.
    """
    LISTS, SHRUNK, THROTTLED, FLUSHED = 1, 2, 3, 4
    pc = f.pc
    if pc == ENTRY:
        blk_start_plug(k, t)
        f.priority, f.zone = f.a, f.b
        f.nr_reclaimed = k.task[t].sc_reclaimed
        k.task[t].sc_priority = f.priority
        percent = anon_percent(k, f.zone)
        f.left = nr_to_scan(k, f.zone, LRU_INACTIVE_ANON, f.priority, percent)
        f.count = nr_to_scan(k, f.zone, LRU_ACTIVE_ANON, f.priority, percent)
        f.total = nr_to_scan(k, f.zone, LRU_INACTIVE_FILE, f.priority, 100 - percent)
        f.nr_taken = nr_to_scan(k, f.zone, LRU_ACTIVE_FILE, f.priority, 100 - percent)
    elif pc == THROTTLED and k.task[t].plug_open > 0:
        return call(k, t, f, FN.blk_finish_plug, FLUSHED, 0, 0, 0)
    elif pc == THROTTLED or pc == FLUSHED:
        return ret(k, t, f, 0)
    elif k.param.reclaim_bail == BAIL_BATCH:
        _drop_shares_if_enough(k, t, f)
    while True:
        if f.stage == 0 and f.left + f.total + f.nr_taken == 0:
            break
        lru, f.stage = f.stage, (f.stage + 1) & 3
        portion = _take_portion(f, lru, cluster_pages(k, t))
        if portion > 0:
            if lru == LRU_ACTIVE_ANON:
                if can_swap(k) and anon_is_low(k, f.zone):
                    shrink_active_list(k, t, f.zone, lru, portion)
            elif lru == LRU_ACTIVE_FILE:
                if file_is_low(k, f.zone):
                    shrink_active_list(k, t, f.zone, lru, portion)
            else:
                return call(k, t, f, FN.shrink_inactive_list, SHRUNK, portion, lru, f.zone)
        if f.stage == 0 and _enough(k, t, f):
            break
        if f.stage == 0 and out_of_slice(k, t):
            f.pc = LISTS
            return YIELD
    if can_swap(k):
        age_anon_if_low(k, f.zone)
    return call(k, t, f, FN.throttle_vm_writeout, THROTTLED, k.task[t].sc_gfp, 0, 0)


@kfn
def _drop_shares_if_enough(k, t, f):
    """reclaim.bail=batch: a zone's scan ends once 32 pages of it were freed, whoever scans, at any priority.

    Source: Linux v2.6.14 mm/vmscan.c:shrink_zone (nr_to_reclaim); from 2.6.8-rc1 until commit 210fe530 of 2.6.16-rc1.
    """
    if k.task[t].sc_reclaimed - f.nr_reclaimed >= SWAP_CLUSTER_MAX:
        f.stage, f.left, f.count, f.total, f.nr_taken = 0, 0, 0, 0, 0


@kfn
def _enough(k, t, f):
    """May direct reclaim leave the zone? Linux v2.6.34; in v2.6.18 a scan has no early end."""
    if k.param.reclaim_bail != BAIL_PRIORITY:
        return False
    return k.task[t].sc_reclaimed >= k.task[t].sc_to_reclaim and f.priority < DEF_PRIORITY


@kfn
def _take_portion(f, lru, cluster):
    """Take up to a cluster (32) off a list's share."""
    if lru == LRU_INACTIVE_ANON:
        portion = f.left if f.left < cluster else cluster
        f.left -= portion
    elif lru == LRU_ACTIVE_ANON:
        portion = f.count if f.count < cluster else cluster
        f.count -= portion
    elif lru == LRU_INACTIVE_FILE:
        portion = f.total if f.total < cluster else cluster
        f.total -= portion
    else:
        portion = f.nr_taken if f.nr_taken < cluster else cluster
        f.nr_taken -= portion
    return portion


@kfn
def _too_many_isolated(k, t, zone, lru):
    """Direct reclaimers wait while more pages of a kind are isolated than are left on its inactive list."""
    if is_kswapd(k, t):
        return False
    if lru == LRU_INACTIVE_FILE:
        return k.zone[zone].isolated_file > nr_on(k, zone, LRU_INACTIVE_FILE)
    return k.zone[zone].isolated_anon > nr_on(k, zone, LRU_INACTIVE_ANON)


@kfn
def _isolate(k, t, f, lru, lumpy):
    """Take the next 32 off the list; account them. Returns the number taken."""
    task = k.task[t]
    z = k.zone[f.zone]
    scanned = isolate_lru_pages(k, t, f.zone, lru, cluster_pages(k, t), lumpy)
    task.sc_writeback = 0
    sort_by_file(k, t)
    z.pages_scanned += scanned
    f.nr_scanned += scanned
    if is_kswapd(k, t):
        z.pgscan_kswapd += scanned
        k.stat.scanned_kswapd += scanned
    else:
        z.pgscan_direct += scanned
        k.stat.scanned_direct += scanned
    page = task.kept_head
    while page != NIL:
        pg = k.page[page]
        if pg.pflags & PG_ACTIVE:
            pg.pflags ^= PG_ACTIVE
            k.vm.pgdeactivate += 1
        if pg.pflags & PG_SWAPBACKED:
            z.recent_scanned_anon += 1
        else:
            z.recent_scanned_file += 1
        count_isolated(k, f.zone, page, 1)
        page = pg.lru_next
    return task.kept_nr


@kfn
def _put_back(k, t, f):
    """Return the survivors to the head of the list they belong to now."""
    page = k.task[t].kept_head
    while page != NIL:
        pg = k.page[page]
        following = pg.lru_next
        count_isolated(k, f.zone, page, -1)
        pg.pflags &= ~PG_ISOLATED
        lru_add(k, page)
        if pg.pflags & PG_ACTIVE:
            if pg.pflags & PG_SWAPBACKED:
                k.zone[f.zone].recent_rotated_anon += 1
            else:
                k.zone[f.zone].recent_rotated_file += 1
        page = following


@kfn
def _reclaimed(k, t, f, freed):
    """Account pages freed by one batch."""
    f.nr_reclaimed += freed
    k.zone[f.zone].pgsteal += freed
    if is_kswapd(k, t):
        k.vm.kswapd_steal += freed
        k.stat.reclaimed_kswapd += freed
    else:
        k.stat.reclaimed_direct += freed


@kfn
def shrink_inactive_list(k, t, f):
    """Reclaim from the tail of an inactive list, 32 pages at a time; high orders may go over them again, waiting.

    f.a, f.b, f.c   in: pages to scan, list, zone.  Returns pages freed.  Sleeps: yes.
    """
    BATCH, SHRUNK, BEFORE_SYNC, SYNC_SHRUNK, GATED, HELD = 1, 2, 3, 4, 5, 6
    pc = f.pc
    if pc == ENTRY or pc == GATED:
        f.zone = f.c
        if pc == GATED and k.task[t].killed:
            k.task[t].sc_reclaimed += SWAP_CLUSTER_MAX
            return ret(k, t, f, SWAP_CLUSTER_MAX)
        if _too_many_isolated(k, t, f.zone, f.b):
            return call(k, t, f, FN.congestion_wait, GATED, timeout_jiffies(k, 10), 0, 0)
        f.priority = k.task[t].sc_priority
        f.flag = is_lumpy(k, t, f.priority)
        lru_add_drain(k, k.task[t].cpu)
        pc = BATCH
    while True:
        if pc == BATCH:
            f.nr_taken = _isolate(k, t, f, f.b, f.flag)
            if f.nr_taken == 0:
                return _end_inactive(k, t, f)
            return call(k, t, f, FN.shrink_page_list, SHRUNK, f.zone, 0, 0)
        if pc == SHRUNK:
            _reclaimed(k, t, f, k.task[t].retval)
            if k.task[t].retval < f.nr_taken and f.flag and not is_kswapd(k, t):
                f.list_head, f.left = k.task[t].kept_head, k.task[t].kept_tail
                return call(k, t, f, FN.congestion_wait, BEFORE_SYNC, timeout_jiffies(k, 10), 0, 0)
        elif pc == BEFORE_SYNC:
            k.task[t].kept_head, k.task[t].kept_tail = f.list_head, f.left
            _clear_active(k, t)
            return call(k, t, f, FN.shrink_page_list, SYNC_SHRUNK, f.zone, 1, 0)
        elif pc == SYNC_SHRUNK:
            _reclaimed(k, t, f, k.task[t].retval)
        if pc != HELD:
            _put_back(k, t, f)
            if recycles_writeback(k, t, f.nr_taken, f.priority):
                return call(k, t, f, FN.wait_iff_congested, HELD, timeout_jiffies(k, 10), f.zone, 0)
        if f.nr_scanned >= f.a:
            return _end_inactive(k, t, f)
        if out_of_slice(k, t):
            f.pc = BATCH
            return YIELD
        pc = BATCH


@kfn
def _clear_active(k, t):
    page = k.task[t].kept_head
    while page != NIL:
        if k.page[page].pflags & PG_ACTIVE:
            k.page[page].pflags ^= PG_ACTIVE
            k.vm.pgdeactivate += 1
        page = k.page[page].lru_next


@kfn
def _end_inactive(k, t, f):
    k.task[t].sc_reclaimed += f.nr_reclaimed
    flags = (0x01 if f.b == LRU_INACTIVE_ANON else 0x02) | 0x08
    if f.flag:
        flags = 0x10 | 0x04
    emit(k, t, EV.mm_vmscan_lru_shrink_inactive, 0, f.zone, f.nr_scanned, f.nr_reclaimed, f.priority, flags)
    return ret(k, t, f, f.nr_reclaimed)


@kfn
def congestion_wait(k, t, f):
    """Sleep until some device's queue drains or the timeout ends, whether or not anything is congested.

    f.a, f.b   in: timeout in jiffies, 1 for the sync side.  Source: Linux v2.6.34 mm/backing-dev.c:congestion_wait.
    """
    if f.pc == ENTRY:
        f.pc = 1
        f.start_ns = now_of(k, t)
        return sleep_on(k, t, WQ_CONGESTION_READ if f.b else WQ_CONGESTION_WRITE, f.a, 0)
    slept = now_of(k, t) - f.start_ns
    k.task[t].congestion_ns += slept
    jiffies = now_of(k, t) // k.param.jiffy_ns - f.start_ns // k.param.jiffy_ns
    emit(k, t, EV.writeback_congestion_wait, f.a * k.param.jiffy_ns // 1000, jiffies * k.param.jiffy_ns // 1000)
    return ret(k, t, f, 0)


@kfn
def throttle_vm_writeout(k, t, f):
    """Hold a reclaimer while far too much is under writeback: more than 1.1 times the dirty threshold.

    f.a   in: GFP flags.  Source: Linux v2.6.34 mm/page-writeback.c:throttle_vm_writeout.
    """
    WAITED = 1
    if f.pc == WAITED and (not f.a & GFP_FS or not f.a & GFP_IO):
        return ret(k, t, f, 0)
    limit = dirty_threshold(k, t)
    trace_dirty_state(k, t, background_threshold(k, t), limit)
    if k.vm.nr_writeback <= limit + limit // 10:
        return ret(k, t, f, 0)
    return call(k, t, f, FN.congestion_wait, WAITED, timeout_jiffies(k, 10), 0, 0)
