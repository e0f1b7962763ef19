# SPDX-License-Identifier: GPL-2.0-or-later
"""A batch of the inactive list in reclaim by node: taken off, looked at, the survivors put back, all of it counted.

Source: Linux v6.1 mm/vmscan.c:shrink_inactive_list, too_many_isolated.
"""

from pageout.engine.constants import (
    GFP_FS,
    GFP_IO,
    LRU_INACTIVE_ANON,
    LRU_INACTIVE_FILE,
    SWAP_CLUSTER_MAX,
    THROTTLE_ISOLATED,
)
from pageout.engine.kstack import call, ret
from pageout.engine.ring import emit
from pageout.jit import kfn
from pageout.kernel.frames import FN
from pageout.kernel.fs.bdi_work import wakeup_flusher_threads
from pageout.kernel.mm.folio_list import putback
from pageout.kernel.mm.free_area import zone_of
from pageout.kernel.mm.isolate import count_isolated, is_kswapd
from pageout.kernel.mm.lruvec import isolate_lru_folios
from pageout.kernel.mm.memcontrol import count_group_scan, count_group_steal, lru_size
from pageout.kernel.mm.reclaim_throttle import wake_throttle_isolated
from pageout.kernel.mm.swap import lru_add_drain
from pageout.kernel.mm.workingset import lru_note_cost
from pageout.vocabulary.tracepoints import EV

FATAL_SIGNAL = SWAP_CLUSTER_MAX  # what a killed task says it has freed, so that it gets out


@kfn
def too_many_isolated(k, t, is_file):
    """Is more off the lists than on the inactive one (an eighth of it, for those who may start I/O)?"""
    if is_kswapd(k, t):
        return False
    isolated = k.vm.nr_isolated_file if is_file else k.vm.nr_isolated_anon
    inactive = lru_size(k, 0, LRU_INACTIVE_FILE if is_file else LRU_INACTIVE_ANON)
    if k.task[t].sc_gfp & (GFP_IO | GFP_FS) == GFP_IO | GFP_FS:
        inactive >>= 3
    if isolated > inactive:
        return True
    wake_throttle_isolated(k)
    return False


@kfn
def shrink_inactive_folios(k, t, f):
    """shrink_inactive_list: take up to 32 pages off an inactive list, see what becomes of them, put the rest back.

    f.a, f.b   in: pages to scan, list.  Returns pages freed.  Sleeps: yes.
    """
    STALLED, SHRUNK = 1, 2
    is_file = f.b == LRU_INACTIVE_FILE
    if f.pc == SHRUNK:
        return _end_batch(k, t, f, is_file)
    if f.pc == STALLED and k.task[t].killed:
        return ret(k, t, f, FATAL_SIGNAL)
    if too_many_isolated(k, t, is_file):
        if f.pc == STALLED:
            return ret(k, t, f, 0)
        return call(k, t, f, FN.reclaim_throttle, STALLED, THROTTLE_ISOLATED, 0, 0)
    lru_add_drain(k, k.task[t].cpu)
    f.nr_taken = isolate_lru_folios(k, t, f.b, f.a)
    count_scan(k, t, f.nr_taken, is_file)
    if f.nr_taken == 0:
        return ret(k, t, f, 0)
    return call(k, t, f, FN.shrink_folio_list, SHRUNK, 0, 0, 0)


@kfn
def count_scan(k, t, nr, is_file):
    """Count the pages of the private list as isolated, and as scanned by whom."""
    node, page = k.node, k.task[t].kept_head
    while page >= 0:
        count_isolated(k, zone_of(k, page), page, 1)
        page = k.page[page].lru_next
    zone = k.zone[k.param.nr_zones - 1]
    if is_kswapd(k, t):
        node.pgscan_kswapd += nr
        zone.pgscan_kswapd += nr
        k.stat.scanned_kswapd += nr
    elif not k.task[t].sc_memcg:
        node.pgscan_direct += nr
        zone.pgscan_direct += nr
        k.stat.scanned_direct += nr
    if k.param.nr_memcgs:
        count_group_scan(k, t, nr)
    if is_file:
        node.pgscan_file += nr
    else:
        node.pgscan_anon += nr


@kfn
def count_steal(k, t, nr, is_file):
    """Count pages that were freed, by whom and of what kind."""
    node = k.node
    k.zone[k.param.nr_zones - 1].pgsteal += nr
    if is_kswapd(k, t):
        node.pgsteal_kswapd += nr
        k.vm.kswapd_steal += nr
        k.stat.reclaimed_kswapd += nr
    elif not k.task[t].sc_memcg:
        node.pgsteal_direct += nr
        k.stat.reclaimed_direct += nr
    if k.param.nr_memcgs:
        count_group_steal(k, t, nr)
    if is_file:
        node.pgsteal_file += nr
    else:
        node.pgsteal_anon += nr


@kfn
def _end_batch(k, t, f, is_file):
    """Put the survivors back, count; wake the flushers if the batch was nothing but dirty pages nobody writes."""
    task = k.task[t]
    freed = task.retval
    putback(k, t)
    count_steal(k, t, freed, is_file)
    lru_note_cost(k, is_file, task.st_pageout, f.nr_taken - freed, task.sc_vec)
    if task.st_unqueued == f.nr_taken:
        wakeup_flusher_threads(k, t, 0)
    task.sn_dirty += task.st_dirty
    task.sn_congested += task.st_congested
    task.sn_unqueued += task.st_unqueued
    task.sn_writeback += task.st_writeback
    task.sn_immediate += task.st_immediate
    task.sn_taken += f.nr_taken
    if is_file:
        task.sn_file_taken += f.nr_taken
    trace_batch(k, t, f, freed, is_file)
    return ret(k, t, f, freed)


@kfn
def trace_batch(k, t, f, freed, is_file):
    """Emit mm_vmscan_lru_shrink_inactive: f.nr_taken looked at, task.st_*."""
    task = k.task[t]
    emit(
        k,
        t,
        EV.mm_vmscan_lru_shrink_inactive_counts,
        0,
        f.nr_taken,
        freed,
        task.st_dirty,
        task.st_writeback,
        task.st_congested,
        task.st_immediate,
        task.st_activate_anon,
        task.st_activate_file,
        task.st_ref_keep,
        task.st_unmap_fail,
        task.sc_priority,
        (2 if is_file else 1) | 8,
    )
