# SPDX-License-Identifier: GPL-2.0-or-later
"""Reclaim of a node since 4.8: direct reclaim, the scan of the node's lists, one batch of it (reclaim.engine=node).

With memory cgroups each group has lists of its own in the node, and reclaim goes from group to group; reclaim for a
group's limit (try_to_free_mem_cgroup_pages) is the same, on that group's lists alone.

That of zones, 2.6.34's, stands beside it in vmscan.py; what becomes of a page: folio_list.py; how much is scanned:
lruvec.py; waiting: reclaim_throttle.py.
Source: Linux v6.1 mm/vmscan.c:do_try_to_free_pages, shrink_node, shrink_lruvec, shrink_inactive_list. Differs: one
node; no slab caches to shrink. The multi-generation LRU (lru=gen): vmscan_gen.py.
"""

from pageout.engine.clock import out_of_slice
from pageout.engine.constants import (
    DEF_PRIORITY,
    ENTRY,
    GFP_FS,
    LRU_ACTIVE_ANON,
    LRU_ACTIVE_FILE,
    LRU_INACTIVE_ANON,
    LRU_INACTIVE_FILE,
    NIL,
    PAGE_ALLOC_COSTLY_ORDER,
    PF_KTHREAD,
    PF_MEMALLOC,
    SWAP_CLUSTER_MAX,
    THROTTLE_CONGESTED,
    THROTTLE_NOPROGRESS,
    THROTTLE_WRITEBACK,
    WALK_ALL,
    WQ_PFMEMALLOC,
    YIELD,
)
from pageout.engine.kstack import call, ret
from pageout.engine.ring import emit
from pageout.engine.waitqueue import sleep_on
from pageout.jit import kfn
from pageout.kernel.frames import FN
from pageout.kernel.mm.compaction import compact_gap, compaction_ready
from pageout.kernel.mm.isolate import is_kswapd
from pageout.kernel.mm.lruvec import (
    deactivate,
    get_scan_count,
    inactive_is_low,
    prepare_scan_count,
    snapshot_refaults,
)
from pageout.kernel.mm.memcontrol import lru_size, next_group
from pageout.kernel.mm.reclaim_entry import memcg_stall_begins, memcg_stall_ends, stall_begins, stall_ends
from pageout.kernel.mm.reclaim_throttle import allow_direct_reclaim, should_throttle_noprogress
from pageout.vocabulary.tracepoints import EV


@kfn
def try_to_free_node_pages(k, t, f):
    """Direct reclaim: priority 12 to 0 until 32 pages are freed; once more over active pages if nothing was.

    f.a, f.b, f.c   in: order, GFP flags, callers it is done for (0: one); for a group: pages wanted, GFP flags, the
    group.  Returns pages freed; 1 if none was but compaction would succeed now.  Sleeps: yes.
    """
    PRIORITY, SHRUNK, THROTTLED, AT_THE_DOOR = 1, 2, 3, 4
    task = k.task[t]
    pc = f.pc
    if pc == ENTRY or pc == AT_THE_DOOR:
        if pc == AT_THE_DOOR and task.killed:
            return ret(k, t, f, 1)
        if has_to_wait(k, t, f, pc == ENTRY):
            f.pc = AT_THE_DOOR
            return sleep_on(k, t, WQ_PFMEMALLOC, 0 if f.b & GFP_FS else k.param.hz, 0)
        _begin_direct(k, t, f)
        pc = PRIORITY
    while True:
        if pc == PRIORITY:
            task.sc_scanned = 0
            costly = task.sc_order > PAGE_ALLOC_COSTLY_ORDER
            f.flag = 1 if costly and compaction_ready(k, task.sc_order) else 0
            if not f.flag:
                return call(k, t, f, FN.shrink_node, SHRUNK, f.priority, 0, 0)
            pc = THROTTLED
        elif pc == SHRUNK:
            if should_throttle_noprogress(k, t, f.priority):
                return call(k, t, f, FN.reclaim_throttle, THROTTLED, THROTTLE_NOPROGRESS, 0, 0)
            pc = THROTTLED
        else:
            if task.sc_reclaimed >= task.sc_to_reclaim or f.flag:
                return _end_direct(k, t, f)
            f.priority -= 1
            if f.priority < DEF_PRIORITY - 2:
                task.sc_writepage = 1
            if f.priority < 0 and not _looks_at_active(k, t, f):
                return _end_direct(k, t, f)
            pc = PRIORITY


@kfn
def has_to_wait(k, t, f, comes):
    """throttle_direct_reclaim: half of what the MIN marks keep is gone, and kswapd may yet bring some of it back.

    comes: it has not waited yet; one that may not enter a filesystem waits no more than a second.
    """
    task = k.task[t]
    if task.tflags & PF_KTHREAD or task.killed or (not comes and not task.woken):
        return False
    if allow_direct_reclaim(k):
        return False
    if comes:
        k.node.pgscan_direct_throttle += 1
    return True


@kfn
def _begin_direct(k, t, f):
    task = k.task[t]
    f.priority = DEF_PRIORITY
    task.tflags |= PF_MEMALLOC
    if f.fn == FN.try_to_free_mem_cgroup_pages:
        begin_scan_control(k, t, 0, f.b)
        task.sc_memcg, task.sc_to_reclaim = f.c, max(f.a, SWAP_CLUSTER_MAX)
        memcg_stall_begins(k, t, f, f.b)
        return
    begin_scan_control(k, t, f.a, f.b)
    task.sc_full_walk = 1 if k.param.memcg_walk == WALK_ALL else 0
    task.sc_to_reclaim = SWAP_CLUSTER_MAX * (f.c if f.c > 0 else 1)
    stall_begins(k, t, f, f.a, f.b, task.sc_writepage)


@kfn
def begin_scan_control(k, t, order, gfp):
    """A scan_control as each reclaim begins with."""
    task = k.task[t]
    task.sc_order, task.sc_gfp, task.sc_reclaimed, task.sc_scanned = order, gfp, 0, 0
    task.sc_writepage = 0 if k.param.laptop_mode else 1
    task.sc_no_swap = 0
    task.sc_force_deactivate, task.sc_skipped_deactivate, task.sc_no_trim, task.sc_trim_failed = 0, 0, 0, 0
    task.sc_memcg, task.sc_vec, task.sc_full_walk, task.sc_need_aging = 0, 0, 1, 0


@kfn
def _looks_at_active(k, t, f):
    """Nothing was freed and active pages were spared: begin again, and spare none. True once.

    Before that, once, if the walk over the groups was shared with others: begin again alone.
    """
    task = k.task[t]
    if task.sc_reclaimed == 0 and not task.sc_full_walk and k.param.nr_memcgs:
        snapshot_refaults(k, task.sc_memcg)
        f.priority, task.sc_full_walk = DEF_PRIORITY, 1
        return True
    if task.sc_reclaimed > 0 or not task.sc_skipped_deactivate or task.sc_force_deactivate:
        return False
    _end_pass(k, task.sc_memcg)
    f.priority, task.sc_force_deactivate, task.sc_skipped_deactivate = DEF_PRIORITY, 1, 0
    return True


@kfn
def _end_pass(k, memcg):
    snapshot_refaults(k, memcg)
    if memcg:
        k.memcg[memcg].congested = 0


@kfn
def _end_direct(k, t, f):
    task = k.task[t]
    _end_pass(k, task.sc_memcg)
    task.tflags &= ~PF_MEMALLOC
    freed = task.sc_reclaimed
    if freed == 0 and f.flag:
        freed = 1
    if task.sc_memcg:
        memcg_stall_ends(k, t, f, freed)
        task.sc_memcg = 0
    else:
        stall_ends(k, t, f, freed)
    return ret(k, t, f, freed)


@kfn
def shrink_node(k, t, f):
    """Scan the node's lists in turn, 32 pages each, for their shares at this priority; then see what was met.

    With memory cgroups: the lists of one group after the other; task.sc_vec: whose turn it is.
    f.a   in: priority.  Left of each share: f.left inactive anon, f.count active anon, f.total inactive file,
    f.nr_taken active file; the shares: f.nr_to_scan, f.nr_dirty, f.nr_to_write, f.nr_written.  Sleeps: yes.
    """
    LISTS, SHRUNK, WAITED_FOR_WRITES, WAITED = 1, 2, 3, 4
    task = k.task[t]
    pc = f.pc
    if pc == ENTRY:
        f.priority, f.flag = f.a, 0
        _begin_node(k, t, f)
    elif pc == SHRUNK:
        f.nr_reclaimed += task.retval
    while pc != WAITED_FOR_WRITES and pc != WAITED:
        if f.stage == 0 and f.left + f.total + f.nr_taken == 0:
            if not _next_lists(k, t, f):
                break
            continue
        if f.stage == 4:
            f.stage = 0
            if _end_of_round(k, t, f):
                if not _next_lists(k, t, f):
                    break
                continue
            if out_of_slice(k, t):
                f.pc = LISTS
                return YIELD
            continue
        lru, f.stage = f.stage, f.stage + 1
        portion = _take_portion(f, lru)
        if portion > 0:
            if lru == LRU_INACTIVE_ANON or lru == LRU_INACTIVE_FILE:
                return call(k, t, f, FN.shrink_inactive_list, SHRUNK, portion, lru, 0)
            _shrink_active(k, t, f, lru, portion)
    if pc != WAITED_FOR_WRITES and pc != WAITED:
        note_node(k, t)
        if is_kswapd(k, t) and task.sn_immediate > 0:
            return call(k, t, f, FN.reclaim_throttle, WAITED_FOR_WRITES, THROTTLE_WRITEBACK, 0, 0)
    if pc != WAITED:
        if _is_congested(k, t):
            return call(k, t, f, FN.reclaim_throttle, WAITED, THROTTLE_CONGESTED, 0, 0)
    reclaimed = task.sc_reclaimed - f.pos
    if reclaimed > 0:
        f.flag = 1
    if goes_on(k, t, f, reclaimed):
        f.pc = ENTRY
        return YIELD
    if f.flag:
        k.node.kswapd_failures = 0
    elif task.sc_cache_trim:
        task.sc_trim_failed = 1
    return ret(k, t, f, 0)


@kfn
def _begin_node(k, t, f):
    task = k.task[t]
    task.sn_dirty, task.sn_congested, task.sn_unqueued, task.sn_writeback, task.sn_immediate = 0, 0, 0, 0, 0
    task.sn_taken, task.sn_file_taken = 0, 0
    f.pos, f.nr_scanned, f.index = task.sc_reclaimed, task.sc_scanned, NIL
    task.sc_priority = f.priority
    prepare_scan_count(k, t, f.priority)
    if k.param.nr_memcgs:
        f.index = next_group(k, t, NIL)
        task.sc_vec = max(f.index, 0)
    _begin_lists(k, t, f)


@kfn
def _begin_lists(k, t, f):
    f.nr_reclaimed, f.stage = 0, 0
    f.nr_to_scan = get_scan_count(k, t, LRU_INACTIVE_ANON, f.priority)
    f.nr_dirty = get_scan_count(k, t, LRU_ACTIVE_ANON, f.priority)
    f.nr_to_write = get_scan_count(k, t, LRU_INACTIVE_FILE, f.priority)
    f.nr_written = get_scan_count(k, t, LRU_ACTIVE_FILE, f.priority)
    f.left, f.count, f.total, f.nr_taken = f.nr_to_scan, f.nr_dirty, f.nr_to_write, f.nr_written


@kfn
def _next_lists(k, t, f):
    """A group's lists have been scanned: on to the next one's. False: there is none, or enough has been freed."""
    task = k.task[t]
    _end_lists(k, t, f)
    if not k.param.nr_memcgs:
        return False
    if not task.sc_full_walk and task.sc_reclaimed >= task.sc_to_reclaim:
        return False
    f.index = next_group(k, t, f.index)
    if f.index == NIL:
        task.sc_vec = 0
        return False
    task.sc_vec = f.index
    _begin_lists(k, t, f)
    return True


@kfn
def _take_portion(f, lru):
    """Take up to 32 pages off a list's share."""
    if lru == LRU_INACTIVE_ANON:
        portion = min(f.left, SWAP_CLUSTER_MAX)
        f.left -= portion
    elif lru == LRU_ACTIVE_ANON:
        portion = min(f.count, SWAP_CLUSTER_MAX)
        f.count -= portion
    elif lru == LRU_INACTIVE_FILE:
        portion = min(f.total, SWAP_CLUSTER_MAX)
        f.total -= portion
    else:
        portion = min(f.nr_taken, SWAP_CLUSTER_MAX)
        f.nr_taken -= portion
    return portion


@kfn
def _shrink_active(k, t, f, lru, portion):
    task = k.task[t]
    bit = 2 if lru == LRU_ACTIVE_FILE else 1
    if not task.sc_may_deactivate & bit:
        task.sc_skipped_deactivate = 1
        return
    taken = deactivate(k, t, lru, portion)
    emit(k, t, EV.mm_vmscan_lru_shrink_active, 0, taken, 0, taken, 0, f.priority, (2 if bit == 2 else 1) | 8)


@kfn
def rescaled(target, left, percentage):
    """What is left of the larger kind's share once the smaller kind's has been given up with so many percent left."""
    rest = target * (100 - percentage) // 100
    return rest - min(rest, target - left)


@kfn
def _end_of_round(k, t, f):
    """All four lists had their turn. Enough freed: stop, or give the larger kind what the smaller one got.

    A direct reclaimer at priority 12 goes through its whole shares.
    """
    proportional = not is_kswapd(k, t) and f.priority == DEF_PRIORITY and not k.task[t].sc_memcg
    if f.nr_reclaimed < k.task[t].sc_to_reclaim or proportional:
        return False
    file, anon = f.total + f.nr_taken, f.left + f.count
    if file == 0 or anon == 0:
        return True
    if file > anon:
        percentage = anon * 100 // (f.nr_to_scan + f.nr_dirty + 1)
        f.left, f.count = 0, 0
        f.total = rescaled(f.nr_to_write, f.total, percentage)
        f.nr_taken = rescaled(f.nr_written, f.nr_taken, percentage)
    else:
        percentage = file * 100 // (f.nr_to_write + f.nr_written + 1)
        f.total, f.nr_taken = 0, 0
        f.left = rescaled(f.nr_to_scan, f.left, percentage)
        f.count = rescaled(f.nr_dirty, f.count, percentage)
    return False


@kfn
def _end_lists(k, t, f):
    """The lists have been scanned: age anonymous pages."""
    task = k.task[t]
    task.sc_reclaimed += f.nr_reclaimed
    if k.param.nr_swap_slots > 0 and inactive_is_low(k, task.sc_vec, LRU_INACTIVE_ANON):
        deactivate(k, t, LRU_ACTIVE_ANON, SWAP_CLUSTER_MAX)


@kfn
def note_node(k, t):
    """For kswapd, note what the node is full of; for a group's reclaim, whether the group is congested."""
    task, node = k.task[t], k.node
    if task.sc_memcg and task.sn_dirty > 0 and task.sn_dirty == task.sn_congested:
        k.memcg[task.sc_memcg].congested = 1
    if not is_kswapd(k, t):
        return
    if task.sn_writeback > 0 and task.sn_writeback == task.sn_taken:
        node.writeback = 1
    if task.sn_unqueued == task.sn_file_taken:
        node.dirty = 1
    if task.sn_dirty > 0 and task.sn_dirty == task.sn_congested:
        node.congested = 1


@kfn
def _is_congested(k, t):
    memcg = k.task[t].sc_memcg
    return (k.memcg[memcg].congested if memcg else k.node.congested) and not is_kswapd(k, t)


@kfn
def goes_on(k, t, f, reclaimed):
    """should_continue_reclaim: for orders above 0, until compaction has room to work in or nothing more is freed."""
    task = k.task[t]
    order = task.sc_order
    if order == 0 or (order <= PAGE_ALLOC_COSTLY_ORDER and f.priority >= DEF_PRIORITY - 2) or reclaimed == 0:
        return False
    if not k.param.compaction or compaction_ready(k, order):
        return False
    inactive = lru_size(k, 0, LRU_INACTIVE_FILE)
    if k.stat.swap_free > 0:
        inactive += lru_size(k, 0, LRU_INACTIVE_ANON)
    return inactive > compact_gap(order)
