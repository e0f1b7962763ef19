# SPDX-License-Identifier: GPL-2.0-or-later
"""How fast a device writes, and how fast a task may dirty pages for it, since Linux 3.2: plain integer arithmetic.

Bandwidths are pages a second, times jiffies. RATIO (1024) stands for 1.0. Nothing here sleeps.
Source: Linux v6.1 mm/page-writeback.c (wb_position_ratio, wb_update_write_bandwidth, wb_update_dirty_ratelimit,
wb_max_pause, wb_min_pause, dirty_poll_interval), lib/flex_proportions.c.
"""

from pageout.engine.clock import jiffies_of, now_of, post
from pageout.engine.constants import EV_BANDWIDTH, THROTTLE_BY_PAUSE
from pageout.engine.ring import emit
from pageout.jit import kfn
from pageout.vocabulary.tracepoints import EV

RATIO = 1024
POLL_THRESH = 32  # DIRTY_POLL_THRESH, pages
KIB_PER_PAGE_SHIFT = 2
COMPLETIONS_PERIOD_S = 3  # VM_COMPLETIONS_PERIOD_LEN
NEVER_SHIFT = 64


@kfn
def ilog2(x):
    """Position of the highest bit; 0 for 0, which the kernel never asks."""
    found = 0
    while x > 1:
        x >>= 1
        found += 1
    return found


@kfn
def roundup_pow_of_two(x):
    """The smallest power of two that is not below x."""
    found = 1
    while found < x:
        found <<= 1
    return found


@kfn
def longest_pause(k):
    """MAX_PAUSE and BANDWIDTH_INTERVAL: 200 ms in jiffies."""
    return max(k.param.hz // 5, 1)


# Shares of the devices


@kfn
def _age(k, now):
    """Halve all completions once for each period of 3 s gone by. Source: fprop_new_period."""
    period = now // (COMPLETIONS_PERIOD_S * k.param.hz)
    missed = period - k.stat.written_period
    if missed > 0:
        k.stat.written_events = k.stat.written_events >> missed if missed < NEVER_SHIFT - 1 else 0
        k.stat.written_period = period
    return period


@kfn
def _age_device(k, bdi, period):
    """Source: fprop_reflect_period_percpu."""
    device = k.bdi[bdi]
    missed = period - device.written_period
    if missed > 0:
        device.written_events = device.written_events >> missed if missed < NEVER_SHIFT - 1 else 0
        device.written_period = period


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
    period = _age(k, jiffies_of(k, k.stat.now_ns))
    _age_device(k, bdi, period)
    k.bdi[bdi].nr_written += 1
    k.bdi[bdi].written_events += 1
    k.stat.written_events += 1


@kfn
def device_share(k, bdi, thresh):
    """The part of `thresh` that is this device's, by what it wrote of late. Source: __wb_calc_thresh."""
    _age_device(k, bdi, _age(k, jiffies_of(k, k.stat.now_ns)))
    device = k.bdi[bdi]
    mine, every = device.written_events, k.stat.written_events
    if every <= mine:
        every = mine if mine > 0 else 1
    spare = 100
    for i in range(k.param.nr_bdis):
        spare -= k.bdi[i].min_ratio
    share = thresh * spare // 100 * mine // every + thresh * device.min_ratio // 100
    return min(share, thresh * device.max_ratio // 100)


# Position: where dirty pages stand between freerun and limit


@kfn
def hard_limit(k, thresh):
    """What must not be exceeded: it follows the threshold up at once, and down slowly."""
    return max(thresh, k.stat.dirty_limit)


@kfn
def position_curve(setpoint, dirty, limit):
    """2.0 at freerun, 1.0 at the setpoint, 0 at the limit, as a cubic. Source: pos_ratio_polynom."""
    room, span = (setpoint - dirty) << 10, (limit - setpoint) | 1
    x = room // span if room >= 0 else -((-room) // span)
    curve = ((x * x >> 10) * x >> 10) + RATIO
    return min(max(curve, 0), 2 * RATIO)


@kfn
def position_ratio(thresh, bg_thresh, limit, dirty, share, wb_dirty, bandwidth):
    """What a task's rate is multiplied with.

    dirty, wb_dirty   pages dirty or under writeback, of all devices and of this one
    share             this device's part of thresh
    bandwidth         avg_write_bandwidth, pages a second
    """
    if dirty >= limit:
        return 0
    freerun = (thresh + bg_thresh) // 2
    setpoint = (freerun + limit) // 2
    ratio = position_curve(setpoint, dirty, limit)
    room = max(min(share, thresh), (limit - dirty) // 8)
    x = (room << 16) // (thresh | 1)
    wb_setpoint = setpoint * x >> 16
    span = (thresh - room + 8 * bandwidth) * x >> 16
    end = wb_setpoint + span
    if wb_dirty < end - span // 4:
        ratio = ratio * (end - wb_dirty) // (span | 1)
    else:
        ratio //= 4
    reserve = room // 2
    if wb_dirty < reserve:
        ratio = ratio * reserve // wb_dirty if wb_dirty > reserve // 8 else ratio * 8
    return ratio


@kfn
def first_page_writing(k, bdi):
    """An inode has a page under writeback again. Source: wb_inode_writeback_start."""
    if k.param.throttle_by != THROTTLE_BY_PAUSE:
        return
    k.bdi[bdi].inodes_writing += 1


@kfn
def last_page_written(k, bdi):
    """An inode's last page under writeback is done: its device's bandwidth is looked at soon.

    Source: wb_inode_writeback_end.
    """
    if k.param.throttle_by != THROTTLE_BY_PAUSE:
        return
    device = k.bdi[bdi]
    device.inodes_writing -= 1
    if not device.bw_update_due:
        device.bw_update_due = 1
        jiffy = jiffies_of(k, k.stat.now_ns) + longest_pause(k)
        post(k, jiffy * k.param.jiffy_ns, EV_BANDWIDTH, bdi, 0)


@kfn
def bandwidth_work(k, bdi):
    """The update that a finished inode asked for. Source: wb_update_bandwidth_workfn."""
    k.bdi[bdi].bw_update_due = 0
    update_bandwidth(k, jiffies_of(k, k.stat.now_ns), bdi)


# Bandwidth and rates, brought up to date some five times a second


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
    return now > k.bdi[bdi].bw_stamp + longest_pause(k)


@kfn
def update_bandwidth(k, now, bdi):
    """Bring the device's bandwidth up to date with what it wrote. Source: __wb_update_bandwidth, without rates."""
    device = k.bdi[bdi]
    _write_bandwidth(k, bdi, max(now - device.bw_stamp, 1), device.nr_written - device.written_stamp)
    device.dirtied_stamp, device.written_stamp, device.bw_stamp = device.nr_dirtied, device.nr_written, now


@kfn
def _write_bandwidth(k, bdi, elapsed, written):
    device = k.bdi[bdi]
    period = roundup_pow_of_two(3 * k.param.hz)
    average, old = device.avg_bandwidth, device.write_bandwidth
    if elapsed > period:
        bandwidth = written * k.param.hz // elapsed
        average = bandwidth
    else:
        bandwidth = (written * k.param.hz + old * (period - elapsed)) >> ilog2(period)
        if average > old and old >= bandwidth:
            average -= (average - old) >> 3
        if average < old and old <= bandwidth:
            average += (old - average) >> 3
    device.write_bandwidth, device.avg_bandwidth = bandwidth, max(average, 1)


@kfn
def update_limit(k, now, thresh, dirty):
    """Let the hard limit follow the threshold: up at once, down by a 32nd of the way. Source: update_dirty_limit."""
    stat = k.stat
    if now < stat.dirty_limit_stamp + longest_pause(k):
        return
    stat.dirty_limit_stamp = now
    if stat.dirty_limit < thresh:
        stat.dirty_limit = thresh
        return
    target = max(thresh, dirty)
    if stat.dirty_limit > target:
        stat.dirty_limit -= (stat.dirty_limit - target) >> 5


@kfn
def next_ratelimit(rate, balanced, target, bandwidth, setpoint, dirty):
    """One step of the base rate, once `balanced` (before) and `target` (task_ratelimit) agree with the new balance.

    bandwidth   the new balanced rate, already bounded.  Source: wb_update_dirty_ratelimit.
    """
    step = 0
    if dirty < setpoint:
        step = max(min(balanced, bandwidth, target) - rate, 0)
    else:
        step = max(rate - max(balanced, bandwidth, target), 0)
    shift = rate // (2 * step + 1)
    step = ((step >> shift) + 7) // 8 if shift < NEVER_SHIFT else 0
    return max(rate + step if rate < bandwidth else rate - step, 1)


@kfn
def update_ratelimit(k, t, now, bdi, ratio, setpoint, dirty):
    """Move the device's base rate towards bandwidth / number of dirtiers. Emits: bdi_dirty_ratelimit."""
    device = k.bdi[bdi]
    elapsed = max(now - device.bw_stamp, 1)
    dirty_rate = (device.nr_dirtied - device.dirtied_stamp) * k.param.hz // elapsed
    target = (device.dirty_ratelimit * ratio >> 10) + 1
    balanced = min(target * device.avg_bandwidth // (dirty_rate | 1), device.avg_bandwidth)
    before = device.balanced_ratelimit
    device.dirty_ratelimit = next_ratelimit(device.dirty_ratelimit, before, target, balanced, setpoint, dirty)
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
        target << KIB_PER_PAGE_SHIFT,
        balanced << KIB_PER_PAGE_SHIFT,
    )


# Pauses, in jiffies


@kfn
def poll_interval(dirty, thresh):
    """Pages a task may dirty before it is looked at again, far from the limit. Source: dirty_poll_interval."""
    return 1 << (ilog2(thresh - dirty) >> 1) if thresh > dirty else 1


@kfn
def max_pause(k, bdi, wb_dirty):
    """No longer than an eighth of the time the device needs for what it has. Source: wb_max_pause."""
    bandwidth = k.bdi[bdi].avg_bandwidth
    pause = wb_dirty // (1 + bandwidth // roundup_pow_of_two(1 + k.param.hz // 8))
    return min(pause + 1, longest_pause(k))


@kfn
def _wanted_pause(k, bdi, longest):
    """The shortest pause worth its while: longer for rates far below the bandwidth, which many tasks share."""
    device = k.bdi[bdi]
    high, low = ilog2(device.avg_bandwidth), ilog2(device.dirty_ratelimit)
    pause = max(1, k.param.hz // 100)
    if high > low:
        pause += (high - low) * (10 * k.param.hz) // 1024
    return min(pause, 1 + longest // 2)


@kfn
def min_pause(k, bdi, task_ratelimit, longest):
    """Return (jiffies below which a pause is not slept but owed, pages the task may dirty before its next check).

    Source: wb_min_pause.
    """
    rate, hz = k.bdi[bdi].dirty_ratelimit, k.param.hz
    second = roundup_pow_of_two(hz)
    pause = _wanted_pause(k, bdi, longest)
    pages = rate * pause // second
    if pages < POLL_THRESH:
        pause = longest
        pages = rate * pause // second
        if pages > POLL_THRESH:
            pages = POLL_THRESH
            pause = hz * POLL_THRESH // rate
    if hz * pages // (task_ratelimit + 1) > longest:
        pause = longest
        pages = task_ratelimit * pause // second
    if pages >= POLL_THRESH:
        pause = 1 + pause // 2
    return pause, pages
