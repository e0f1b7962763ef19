# SPDX-License-Identifier: GPL-2.0-or-later
"""Holding writers back since Linux 3.2: a task that dirties pages never writes them, it only sleeps.

Its sleeps make its rate the one the device can take (wb_rates.py, dirty_throttle.py). The way of 2.6.34 stands beside
it, in page_writeback.py.
Source: Linux v6.1 mm/page-writeback.c:balance_dirty_pages, balance_dirty_pages_ratelimited_flags.  Differs: what an
exited task had dirtied is forgotten (dirty_throttle_leaks); no more room for realtime tasks and those that write for
others (PF_LOCAL_THROTTLE); one domain, no strict limits; a sleep ends with the tick, as 2.6.34's timers do.
"""

from pageout.engine.clock import jiffies_of, now_of
from pageout.engine.constants import ENTRY, NIL
from pageout.engine.kstack import ret
from pageout.engine.ring import emit
from pageout.engine.waitqueue import sleep_on
from pageout.jit import kfn
from pageout.kernel.fs.bdi_work import start_background
from pageout.kernel.mm.dirty_limits import background_threshold, dirty_threshold, trace_dirty_state
from pageout.kernel.mm.dirty_throttle import (
    RATELIMIT_CALC_SHIFT,
    dirty_freerun_ceiling,
    dirty_poll_interval,
    ilog2,
    wb_max_pause,
    wb_min_pause,
    wb_position_ratio,
)
from pageout.kernel.mm.wb_rates import (
    KIB_PER_PAGE_SHIFT,
    device_share,
    is_due,
    update_bandwidth,
    update_limit,
    update_ratelimit,
)
from pageout.vocabulary.tracepoints import EV

EXCEEDED_CHECK = 8  # pages, once the device is over its share: 32 KiB


@kfn
def is_check_due(k, t, bdi):
    """Has the task, or its CPU, dirtied so much that balance_dirty_pages must look?"""
    task, cpu = k.task[t], k.cpu[k.task[t].cpu]
    limit = task.nr_dirtied_pause
    if k.bdi[bdi].dirty_exceeded:
        limit = min(limit, EXCEEDED_CHECK)
    if task.nr_dirtied >= limit:
        cpu.dirty_count = 0
    elif cpu.dirty_count >= k.param.ratelimit_pages:
        cpu.dirty_count = 0
        limit = 0
    return task.nr_dirtied >= limit


@kfn
def _wb_stat_error(k):
    return k.param.nr_cpus * 8 * (1 + ilog2(k.param.nr_cpus))


@kfn
def balance_dirty_pages_by_pause(k, t, f):
    """Let the writer sleep until its rate is what the device can take.

    f.a   in: device.  Sleeps: at most 200 ms at a time; more than once only at the hard limit.
    Emits: global_dirty_state, balance_dirty_pages, bdi_dirty_ratelimit, and what wakes the flusher.
    """
    SLEPT = 1
    task = k.task[t]
    if f.pc == ENTRY:
        f.c, f.d = f.a, task.nr_dirtied
        f.start_ns = jiffies_of(k, now_of(k, t))
    elif f.pc == SLEPT:
        slept = now_of(k, t) - f.deadline_ns
        k.stat.throttle_ns += slept
        task.throttle_ns += slept
        if f.stage > 0 or f.left <= _wb_stat_error(k) or task.killed:
            return _end(k, t, f)
    now = jiffies_of(k, now_of(k, t))
    f.a, f.b = background_threshold(k, t), dirty_threshold(k, t)
    trace_dirty_state(k, t, f.a, f.b)
    dirty = k.vm.nr_dirty + k.vm.nr_writeback
    if not k.param.laptop_mode and k.vm.nr_dirty > f.a:
        _wake_flusher(k, t, f.c)
    if dirty <= dirty_freerun_ceiling(f.b, f.a):
        task.dirty_paused_when, task.nr_dirtied = now, 0
        task.nr_dirtied_pause = dirty_poll_interval(dirty, f.b)
        return _end(k, t, f)
    _wake_flusher(k, t, f.c)
    _judge(k, t, f, now, dirty)
    return _pause(k, t, f, now, SLEPT)


@kfn
def _wake_flusher(k, t, bdi):
    """Unless it is writing already. Source: wb_start_background_writeback."""
    device = k.bdi[bdi]
    if device.work_head == NIL and not device.writing:
        emit(k, t, EV.writeback_wake_background, bdi)
        start_background(k, t, bdi)


@kfn
def _judge(k, t, f, now, dirty):
    """Where the machine and the device stand: f.total its share, f.left its pages, f.stage the task's rate."""
    device = k.bdi[f.c]
    f.total = device_share(k, f.c, f.b, dirty)
    f.left = device.reclaimable + device.writeback
    f.flag = 1 if f.left > f.total and dirty > f.b else 0
    if f.flag:
        device.dirty_exceeded = 1
    freerun, limit = dirty_freerun_ceiling(f.b, f.a), max(f.b, k.stat.dirty_limit)
    ratio = wb_position_ratio(f.b, freerun, limit, dirty, f.total, f.left, device.avg_bandwidth, k.param.dirty_floor)
    if is_due(k, now, f.c):
        update_limit(k, now, f.b, dirty)
        setpoint = (freerun + max(f.b, k.stat.dirty_limit)) // 2
        update_ratelimit(k, t, now, f.c, ratio, setpoint, dirty)
        update_bandwidth(k, now, f.c)
    f.stage = device.dirty_ratelimit * ratio >> RATELIMIT_CALC_SHIFT


@kfn
def _pause(k, t, f, now, resume):
    """Sleep for what the pages dirtied cost at the task's rate, less the time it took; or owe it, if that is little."""
    task = k.task[t]
    device, hz = k.bdi[f.c], k.param.hz
    longest = wb_max_pause(f.left, device.avg_bandwidth, hz)
    shortest, pages = wb_min_pause(device.dirty_ratelimit, f.stage, device.avg_bandwidth, longest, hz)
    period, pause = longest, longest
    if f.stage > 0:
        period = hz * f.d // f.stage
        pause = period
        if task.dirty_paused_when > 0:
            pause -= now - task.dirty_paused_when
        if pause < shortest:
            _trace(k, t, f, now, min(pause, 0), period)
            _owe(k, t, f, now, pause, period)
            return _end(k, t, f)
    if pause > longest:
        now += min(pause - longest, longest)
        pause = longest
    _trace(k, t, f, jiffies_of(k, now_of(k, t)), pause, period)
    task.dirty_paused_when, task.nr_dirtied, task.nr_dirtied_pause = now + pause, 0, pages
    asked = pause * k.param.jiffy_ns
    k.stat.throttle_count += 1
    task.throttle_count += 1
    k.stat.throttle_asked_ns += asked
    task.throttle_asked_ns += asked
    f.pc, f.deadline_ns = resume, now_of(k, t)
    k.queue[k.bdi[f.c].queue].bdp_sleep_ns = f.deadline_ns
    return sleep_on(k, t, NIL, pause, 0)


@kfn
def _owe(k, t, f, now, pause, period):
    """What is too short to sleep is kept as virtual time: a debt, or a credit of at most a second."""
    task = k.task[t]
    if pause < -k.param.hz:
        task.dirty_paused_when, task.nr_dirtied = now, 0
    elif period > 0:
        task.dirty_paused_when += period
        task.nr_dirtied = 0
    elif task.nr_dirtied_pause <= f.d:
        task.nr_dirtied_pause += f.d


@kfn
def _trace(k, t, f, now, pause, period):
    task, device, hz = k.task[t], k.bdi[f.c], k.param.hz
    limit = k.stat.dirty_limit
    setpoint = (limit + dirty_freerun_ceiling(f.b, f.a)) // 2
    think = now - task.dirty_paused_when if task.dirty_paused_when > 0 else 0
    milliseconds = pause * 1000 // hz if pause >= 0 else -(-pause * 1000 // hz)
    emit(
        k,
        t,
        EV.balance_dirty_pages,
        f.c,
        limit,
        setpoint,
        k.vm.nr_dirty + k.vm.nr_writeback,
        setpoint * f.total // (f.b + 1),
        f.left,
        device.dirty_ratelimit << KIB_PER_PAGE_SHIFT,
        f.stage << KIB_PER_PAGE_SHIFT,
        f.d,
        task.nr_dirtied_pause,
        (now - f.start_ns) * 1000 // hz,
        milliseconds,
        period * 1000 // hz,
        think * 1000 // hz,
    )


@kfn
def _end(k, t, f):
    """The writer goes on; f.flag: whether its device was over its share when last looked at."""
    if not f.flag:
        k.bdi[f.c].dirty_exceeded = 0
    return ret(k, t, f, 0)
