# SPDX-License-Identifier: GPL-2.0-or-later
"""How much may be dirty: global thresholds and each device's share of them.

Source: Linux v2.6.34 mm/page-writeback.c:get_dirty_limits, bdi_writeout_fraction; lib/proportions.c.
The shares of later kernels: wb_rates.py.
"""

from pageout.engine.constants import (
    BACKGROUND_HALF,
    BASE_UNMAPPED,
    BASE_UNRESERVED,
    ENGINE_NODE,
    LRU_ACTIVE_ANON,
    LRU_ACTIVE_FILE,
    LRU_INACTIVE_ANON,
    LRU_INACTIVE_FILE,
    NR_LRU,
    PF_LESS_THROTTLE,
    THROTTLE_BY_PAUSE,
)
from pageout.engine.ring import emit
from pageout.jit import kfn
from pageout.vocabulary.tracepoints import EV

PROP_FRAC_BASE = 1 << 15


@kfn
def dirtyable_pages(k):
    """Pages that could hold dirty data: free and reclaimable, anonymous ones only if swap has room.

    dirty.base=unreserved: what zones keep free is none, nor is anonymous memory ever.
    Source: Linux v6.1 mm/page-writeback.c:global_dirtyable_memory.
    """
    if k.param.dirty_base == BASE_UNRESERVED:
        free = max(k.vm.nr_free_pages - k.param.reserve_pages, 0)
        return free + k.vm.nr_inactive_file + k.vm.nr_active_file + 1
    pages = k.vm.nr_free_pages + k.vm.nr_inactive_file + k.vm.nr_active_file + 1
    if k.stat.swap_free > 0:
        pages += k.vm.nr_inactive_anon + k.vm.nr_active_anon
    return pages


@kfn
def ratios_are_of(k):
    """Pages of which dirty_ratio and its like are percents.

    dirty.base=unmapped: all memory. Source: Linux v2.6.14 mm/page-writeback.c:get_dirty_limits (total_pages).
    """
    return k.param.total_pages if k.param.dirty_base == BASE_UNMAPPED else dirtyable_pages(k)


@kfn
def _unmapped_percent(k):
    """What no page table maps; half of it bounds dirty_ratio before 2.6.22. Mapped file pages are not counted here."""
    return 100 - k.vm.nr_anon_pages * 100 // k.param.total_pages


@kfn
def dirty_threshold(k, t):
    """Return the limit on dirty + writeback pages, raised by a quarter for a task that must not be throttled."""
    if k.param.dirty_base == BASE_UNRESERVED:
        return _of_ratio(k, k.param.dirty_bytes, k.param.dirty_ratio)
    if k.param.dirty_bytes > 0:
        limit = (k.param.dirty_bytes + 4095) // 4096
    else:
        ratio = k.param.dirty_ratio
        if k.param.dirty_base == BASE_UNMAPPED:
            ratio = min(ratio, _unmapped_percent(k) // 2)
        limit = max(ratio, 5) * ratios_are_of(k) // 100
    if t >= 0 and k.task[t].tflags & PF_LESS_THROTTLE:
        limit += limit // 4
    return limit


@kfn
def _of_ratio(k, nbytes, ratio):
    """A threshold as set in bytes, or a part of dirtyable memory. Source: Linux v6.1 domain_dirty_limits."""
    if nbytes > 0:
        return (nbytes + 4095) // 4096
    return ratio * 4096 // 100 * dirtyable_pages(k) // 4096


@kfn
def background_threshold(k, t):
    """Return the number of dirty pages above which the flushers begin."""
    if k.param.dirty_base == BASE_UNRESERVED:
        background, limit = _of_ratio(k, k.param.background_bytes, k.param.background_ratio), dirty_threshold(k, t)
        return background if background < limit else limit // 2
    if k.param.background_bytes > 0:
        background = (k.param.background_bytes + 4095) // 4096
    else:
        background = k.param.background_ratio * ratios_are_of(k) // 100
    limit = dirty_threshold(k, -1)
    if background >= limit:
        background = limit // 2
    if k.param.background_start == BACKGROUND_HALF:
        background //= 2
    if t >= 0 and k.task[t].tflags & PF_LESS_THROTTLE:
        background += background // 4
    return background


@kfn
def _bring_up_to_date(k, bdi):
    """Halve the device's completions once for every half period that the machine's have moved on."""
    device = k.bdi[bdi]
    period = k.stat.completions >> k.param.prop_shift
    if device.period < period:
        device.completions = _halved(device.completions, period - device.period)
        device.period = period


@kfn
def _halved(events, times):
    return events >> times if times < 62 else 0


@kfn
def count_completion(k, bdi):
    """A page has been written to the device: its share of the dirty limit grows. Source: bdi_writeout_inc."""
    _bring_up_to_date(k, bdi)
    device, half = k.bdi[bdi], 1 << k.param.prop_shift
    if device.max_ratio < 100:  # no completion beyond its part counts: __prop_inc_percpu_max
        if device.completions > (half + k.stat.completions % half) * (PROP_FRAC_BASE * device.max_ratio // 100) >> 15:
            return
    device.completions += 1
    k.stat.completions += 1


@kfn
def count_dirtied(k, t):
    """The task has dirtied a page: it may get less of its device's share. Source: task_dirty_inc."""
    _task_up_to_date(k, t)
    k.task[t].dirtier_events += 1
    k.stat.pages_dirtied_total += 1


@kfn
def _task_up_to_date(k, t):
    task = k.task[t]
    period = k.stat.pages_dirtied_total >> k.param.prop_shift
    if task.dirtier_period < period:
        task.dirtier_events = _halved(task.dirtier_events, period - task.dirtier_period)
        task.dirtier_period = period


@kfn
def bdi_threshold(k, t, bdi, limit):
    """Return this device's share of the limit, in pages, by its part in recent write completions."""
    _bring_up_to_date(k, bdi)
    device = k.bdi[bdi]
    half = 1 << k.param.prop_shift
    denominator = half + k.stat.completions % half
    spare = 100
    for i in range(k.param.nr_bdis):
        spare -= k.bdi[i].min_ratio
    share = limit * spare // 100 * device.completions // denominator
    share += limit * device.min_ratio // 100
    ceiling = limit * device.max_ratio // 100
    if share > ceiling:
        share = ceiling
    room = limit - (k.vm.nr_dirty + k.vm.nr_writeback)
    if room < 0:
        room = 0
    room += device.reclaimable + device.writeback
    if share > room:
        share = room
    return _task_part(k, t, share)


@kfn
def _task_part(k, t, share):
    """A task that does most of the recent dirtying gets up to an eighth less, so that light writers are not caught."""
    if t < 0:
        return share
    _task_up_to_date(k, t)
    half = 1 << k.param.prop_shift
    denominator = half + k.stat.pages_dirtied_total % half
    reduced = share - (share // 8) * k.task[t].dirtier_events // denominator
    return reduced if reduced > share // 2 else share // 2


@kfn
def zone_dirtyable_pages(k, zone):
    """Pages of a zone that could hold dirty data, less what it keeps free.  Source: v3.3 zone_dirtyable_memory."""
    at = zone * NR_LRU
    pages = k.zone[zone].nr_free + k.lru[at + LRU_INACTIVE_FILE].nr + k.lru[at + LRU_ACTIVE_FILE].nr
    if k.stat.swap_free > 0:
        pages += k.lru[at + LRU_INACTIVE_ANON].nr + k.lru[at + LRU_ACTIVE_ANON].nr
    if k.param.reclaim_engine == ENGINE_NODE:
        pages = k.zone[zone].nr_free + k.zone[zone].lru_file
    pages -= k.zone[zone].dirty_reserve
    return pages if pages > 0 else 0


@kfn
def zone_dirty_ok(k, t, zone):
    """True while the zone holds no more than its share of what may be dirty.

    Source: Linux v3.3 mm/page-writeback.c:zone_dirty_ok, zone_dirty_limit.
    """
    memory = zone_dirtyable_pages(k, zone)
    if k.param.dirty_bytes > 0:
        limit = (k.param.dirty_bytes + 4095) // 4096 * memory // dirtyable_pages(k)
    else:
        limit = k.param.dirty_ratio * memory // 100
    if k.task[t].tflags & PF_LESS_THROTTLE:
        limit += limit // 4
    return k.zone[zone].nr_dirty + k.zone[zone].nr_writeback <= limit


@kfn
def node_dirty_ok(k):
    """True while the node holds no more than the limit as it is now: the throttle's own falls slowly.

    Beyond it pages for writing come by the slow path, which wakes kswapd below HIGH instead of LOW.
    Source: Linux v6.1 mm/page-writeback.c:node_dirty_ok, node_dirty_limit.
    """
    memory = dirtyable_pages(k) - 1
    if k.param.dirty_bytes > 0:
        limit = (k.param.dirty_bytes + 4095) // 4096 * memory // (memory + 1)
    else:
        limit = k.param.dirty_ratio * memory // 100
    return k.vm.nr_dirty + k.vm.nr_writeback <= limit


@kfn
def over_background(k):
    """True while there is more dirty than the background threshold."""
    return k.vm.nr_dirty >= background_threshold(k, -1)


@kfn
def trace_dirty_state(k, t, background, limit):
    """Emit global_dirty_state with the limits just computed."""
    smoothed = k.stat.dirty_limit if k.param.throttle_by == THROTTLE_BY_PAUSE else limit
    emit(
        k,
        t,
        EV.global_dirty_state,
        k.vm.nr_dirty,
        k.vm.nr_writeback,
        0,
        background,
        limit,
        smoothed,
        k.vm.nr_dirtied,
        k.vm.nr_written,
    )
