# SPDX-License-Identifier: GPL-2.0-or-later
"""What the kernel believes of each device since Linux 3.2: share, bandwidth, the rate of who dirties pages for it.

State, brought up to date some five times a second; the arithmetic is in dirty_throttle.py. Bandwidths are pages a
second, times jiffies. Under throttle.by=writing nothing here is kept.
Source: Linux v6.1 mm/page-writeback.c, mm/backing-dev.c, lib/flex_proportions.c.
"""

from pageout.engine.clock import jiffies_of, now_of, post
from pageout.engine.constants import EV_BANDWIDTH, FLOOR_SHARE, THROTTLE_BY_PAUSE
from pageout.engine.ring import emit
from pageout.jit import kfn
from pageout.kernel.mm.dirty_throttle import (
    BITS_PER_LONG,
    RATELIMIT_CALC_SHIFT,
    balanced_rate,
    follow_dirty_limit,
    next_avg_bandwidth,
    next_dirty_ratelimit,
    next_write_bandwidth,
    pause_limit,
)
from pageout.kernel.mm.memcg_dirty import split_ratio
from pageout.vocabulary.tracepoints import EV

KIB_PER_PAGE_SHIFT = 2
COMPLETIONS_PERIOD_S = 3  # VM_COMPLETIONS_PERIOD_LEN
FPROP_FRAC_BASE = 1024


# Pages dirtied and written, and each device's share of what was written of late


@kfn
def count_dirtied_page(k, t, bdi):
    """A page became dirty: the device's, the task's and the CPU's count. Source: folio_account_dirtied."""
    if k.param.throttle_by != THROTTLE_BY_PAUSE:
        return
    k.bdi[bdi].nr_dirtied += 1
    k.task[t].nr_dirtied += 1
    k.cpu[k.task[t].cpu].dirty_count += 1


@kfn
def count_written(k, bdi):
    """A page has been written to the device. Source: __wb_writeout_add."""
    if k.param.throttle_by != THROTTLE_BY_PAUSE:
        return
    _age(k, bdi)
    device = k.bdi[bdi]
    device.nr_written += 1
    if _may_count(device.written_events, k.stat.written_events, device.max_ratio):
        device.written_events += 1
        k.stat.written_events += 1
    if device.memcg:
        _age_in_group(k, bdi)
        group = k.memcg[device.memcg]
        if _may_count(device.memcg_events, group.written_events, device.max_ratio):
            device.memcg_events += 1
            group.written_events += 1


@kfn
def _may_count(mine, every, max_ratio):
    """No completion beyond max_ratio counts for the device's share. Source: __fprop_add_percpu_max."""
    if max_ratio >= 100:
        return True
    if every <= mine:
        every = mine if mine > 0 else 1
    return every * (FPROP_FRAC_BASE * max_ratio // 100) > mine * FPROP_FRAC_BASE


@kfn
def device_share(k, bdi, thresh, dirty):
    """The part of `thresh` that is this device's, by what it wrote of late; `dirty`: the pages that count against it.

    dirty.floor=share: no less than an eighth of what is free.  Source: __wb_calc_thresh.
    """
    _age(k, bdi)
    return _part_of(k, bdi, thresh, dirty, k.bdi[bdi].written_events, k.stat.written_events)


@kfn
def group_share(k, bdi, thresh, dirty):
    """As device_share, of a memory cgroup's threshold: by what the group wrote of late."""
    _age_in_group(k, bdi)
    device = k.bdi[bdi]
    return _part_of(k, bdi, thresh, dirty, device.memcg_events, k.memcg[device.memcg].written_events)


@kfn
def _part_of(k, bdi, thresh, dirty, mine, every):
    device = k.bdi[bdi]
    if every <= mine:
        every = mine if mine > 0 else 1
    spare = 100
    for i in range(k.param.nr_bdis):
        spare -= k.bdi[i].min_ratio
    low = split_ratio(k, bdi, device.min_ratio) if device.min_ratio else 0
    high = split_ratio(k, bdi, device.max_ratio) if device.max_ratio < 100 else 100
    share = thresh * spare // 100 * mine // every + thresh * low // 100
    if k.param.dirty_floor == FLOOR_SHARE and thresh > dirty:
        share = max(share, (thresh - dirty) // (100 if device.strict_limit else 8))
    return min(share, thresh * high // 100)


@kfn
def _age(k, bdi):
    """Halve completions once for each period of 3 s gone by, the machine's and the device's.

    Source: fprop_new_period, fprop_reflect_period_percpu.
    """
    period = jiffies_of(k, k.stat.now_ns) // (COMPLETIONS_PERIOD_S * k.param.hz)
    stat, device = k.stat, k.bdi[bdi]
    stat.written_events = _halved(stat.written_events, period - stat.written_period)
    device.written_events = _halved(device.written_events, period - device.written_period)
    stat.written_period, device.written_period = period, period


@kfn
def _age_in_group(k, bdi):
    """As _age, of the completions that count in the group's own domain."""
    period = jiffies_of(k, k.stat.now_ns) // (COMPLETIONS_PERIOD_S * k.param.hz)
    device = k.bdi[bdi]
    group = k.memcg[device.memcg]
    group.written_events = _halved(group.written_events, period - group.written_period)
    device.memcg_events = _halved(device.memcg_events, period - device.memcg_period)
    group.written_period, device.memcg_period = period, period


@kfn
def _halved(events, times):
    return events >> times if times < BITS_PER_LONG - 1 else 0


# Bandwidth


@kfn
def first_page_writing(k, bdi):
    """An inode has a page under writeback again. Source: wb_inode_writeback_start."""
    k.bdi[bdi].inodes_writing += 1


@kfn
def last_page_written(k, bdi):
    """An inode's last page under writeback is done: its device's bandwidth is looked at 200 ms later.

    Source: wb_inode_writeback_end.
    """
    device = k.bdi[bdi]
    device.inodes_writing -= 1
    if not device.bw_update_due and k.param.throttle_by == THROTTLE_BY_PAUSE:
        device.bw_update_due = 1
        jiffy = jiffies_of(k, k.stat.now_ns) + pause_limit(k.param.hz)
        post(k, jiffy * k.param.jiffy_ns, EV_BANDWIDTH, bdi, 0)


@kfn
def bandwidth_work(k, bdi):
    """The update that a finished inode asked for. Source: wb_update_bandwidth_workfn."""
    k.bdi[bdi].bw_update_due = 0
    update_bandwidth(k, jiffies_of(k, k.stat.now_ns), bdi)


@kfn
def begin_writepages(k, t, bdi):
    """A device that has been idle begins anew: idle time is not slowness. Source: wb_bandwidth_estimate_start."""
    if k.param.throttle_by != THROTTLE_BY_PAUSE:
        return
    device, now = k.bdi[bdi], jiffies_of(k, now_of(k, t))
    if now > device.bw_stamp + k.param.hz and device.inodes_writing == 0:
        device.dirtied_stamp, device.written_stamp, device.bw_stamp = device.nr_dirtied, device.nr_written, now


@kfn
def end_writepages(k, t, bdi):
    """What every writepages ends with. Source: do_writepages."""
    now = jiffies_of(k, now_of(k, t))
    if k.param.throttle_by == THROTTLE_BY_PAUSE and is_due(k, now, bdi):
        update_bandwidth(k, now, bdi)


@kfn
def is_due(k, now, bdi):
    """True once the last update is more than 200 ms old."""
    return now > k.bdi[bdi].bw_stamp + pause_limit(k.param.hz)


@kfn
def update_bandwidth(k, now, bdi):
    """Bring the device's bandwidth up to date with what it wrote. Source: __wb_update_bandwidth, without rates."""
    device = k.bdi[bdi]
    elapsed, before = max(now - device.bw_stamp, 1), device.write_bandwidth
    after = next_write_bandwidth(before, device.nr_written - device.written_stamp, elapsed, k.param.hz)
    device.avg_bandwidth = next_avg_bandwidth(device.avg_bandwidth, before, after, elapsed, k.param.hz)
    device.write_bandwidth = after
    device.dirtied_stamp, device.written_stamp, device.bw_stamp = device.nr_dirtied, device.nr_written, now


# Limit and rate, which only a held writer brings up to date


@kfn
def update_limit(k, now, thresh, dirty):
    """Let the hard limit follow the threshold, at most every 200 ms. Source: domain_update_dirty_limit."""
    if now >= k.stat.dirty_limit_stamp + pause_limit(k.param.hz):
        k.stat.dirty_limit = follow_dirty_limit(k.stat.dirty_limit, thresh, dirty)
        k.stat.dirty_limit_stamp = now


@kfn
def update_group_limit(k, now, memcg, thresh, dirty):
    """As update_limit, of a memory cgroup's domain."""
    group = k.memcg[memcg]
    if now >= group.dirty_limit_stamp + pause_limit(k.param.hz):
        group.dirty_limit = follow_dirty_limit(group.dirty_limit, thresh, dirty)
        group.dirty_limit_stamp = now


@kfn
def update_ratelimit(k, t, now, bdi, ratio, setpoint, dirty):
    """Move the device's base rate towards bandwidth / number of dirtiers. Emits: bdi_dirty_ratelimit.

    Source: wb_update_dirty_ratelimit.
    """
    device = k.bdi[bdi]
    elapsed = max(now - device.bw_stamp, 1)
    dirty_rate = (device.nr_dirtied - device.dirtied_stamp) * k.param.hz // elapsed
    task_ratelimit = (device.dirty_ratelimit * ratio >> RATELIMIT_CALC_SHIFT) + 1
    balanced = balanced_rate(task_ratelimit, device.avg_bandwidth, dirty_rate)
    device.dirty_ratelimit = next_dirty_ratelimit(
        device.dirty_ratelimit, device.balanced_ratelimit, balanced, task_ratelimit, dirty, setpoint
    )
    device.balanced_ratelimit = balanced
    emit(
        k,
        t,
        EV.bdi_dirty_ratelimit,
        bdi,
        device.write_bandwidth << KIB_PER_PAGE_SHIFT,
        device.avg_bandwidth << KIB_PER_PAGE_SHIFT,
        dirty_rate << KIB_PER_PAGE_SHIFT,
        device.dirty_ratelimit << KIB_PER_PAGE_SHIFT,
        task_ratelimit << KIB_PER_PAGE_SHIFT,
        balanced << KIB_PER_PAGE_SHIFT,
    )
