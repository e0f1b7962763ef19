# SPDX-License-Identifier: GPL-2.0-or-later
"""Holding writers back since Linux 3.2: a task that dirties pages never writes them, it only sleeps.

Its sleeps make its rate the one the device can take (wb_rates.py, dirty_throttle.py). The way of 2.6.34 stands beside
it, in page_writeback.py.
Source: Linux v6.1 mm/page-writeback.c:balance_dirty_pages, balance_dirty_pages_ratelimited_flags.  Differs: what an
exited task had dirtied is forgotten (dirty_throttle_leaks); no more room for realtime tasks and those that write for
others (PF_LOCAL_THROTTLE); a sleep ends with the tick, as 2.6.34's timers do.
"""

from pageout.engine.clock import jiffies_of, now_of
from pageout.engine.constants import ENTRY, FLOOR_SHARE, NIL
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
    strict_position_ratio,
    strict_setpoint,
    wb_max_pause,
    wb_min_pause,
    wb_position_ratio,
)
from pageout.kernel.mm.memcg_dirty import group_dirty_limits, wb_of_task
from pageout.kernel.mm.wb_rates import (
    KIB_PER_PAGE_SHIFT,
    device_share,
    group_share,
    is_due,
    update_bandwidth,
    update_group_limit,
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
    if k.bdi[wb_of_task(k, t, bdi)].dirty_exceeded:
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

    With memory cgroups there are two domains, the machine's and the group's: the one further from its setpoint decides.
    f.a   in: device.  Sleeps: at most 200 ms at a time; more than once only at the hard limit.
    Emits: global_dirty_state, balance_dirty_pages, bdi_dirty_ratelimit, and what wakes the flusher.
    """
    SLEPT = 1
    task = k.task[t]
    if f.pc == ENTRY:
        f.c, f.d = wb_of_task(k, t, f.a), task.nr_dirtied
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
    memcg = k.bdi[f.c].memcg
    group_background, group_limit, group_dirty = 0, 0, 0
    if memcg:
        group_dirty = k.memcg[memcg].nr_dirty + k.memcg[memcg].nr_writeback
        group_background, group_limit = group_dirty_limits(k, memcg, group_dirty, dirty)
    held, limit, start = dirty, f.b, f.a  # what decides whether anybody is held at all
    group_held, group_most, group_start = group_dirty, group_limit, group_background
    if k.bdi[f.c].strict_limit:
        held, limit = k.bdi[f.c].reclaimable + k.bdi[f.c].writeback, device_share(k, f.c, f.b, dirty)
        start = _strict_background(limit, f.b, f.a)
        if memcg:
            group_held, group_most = held, group_share(k, f.c, group_limit, group_dirty)
            group_start = _strict_background(group_most, group_limit, group_background)
    if held <= dirty_freerun_ceiling(limit, start) and group_held <= dirty_freerun_ceiling(group_most, group_start):
        task.dirty_paused_when, task.nr_dirtied = now, 0
        task.nr_dirtied_pause = dirty_poll_interval(held, limit)
        if memcg:
            task.nr_dirtied_pause = min(task.nr_dirtied_pause, dirty_poll_interval(group_held, group_most))
        return _end(k, t, f)
    _wake_flusher(k, t, f.c)
    _judge(k, t, f, now, dirty, group_background, group_limit, group_dirty)
    return _pause(k, t, f, now, SLEPT)


@kfn
def _strict_background(share, limit, background):
    """A device's part of the background threshold, as of the limit. Source: wb_dirty_limits."""
    return share * background // limit if limit else 0


@kfn
def _wake_flusher(k, t, bdi):
    """Unless it is writing already. Source: wb_start_background_writeback."""
    device = k.bdi[bdi]
    if device.work_head == NIL and not device.writing:
        emit(k, t, EV.writeback_wake_background, bdi)
        start_background(k, t, bdi)


@kfn
def _judge(k, t, f, now, dirty, group_background, group_limit, group_dirty):
    """Where the machine and the device stand: f.total its share, f.left its pages, f.stage the task's rate.

    Of a group's writeback: where the group stands, too; f.a, f.b, f.total and f.pos, its dirty pages, are then of the
    domain that decides, f.count its hard limit if that is the group's.
    """
    device = k.bdi[f.c]
    memcg = device.memcg
    f.pos, f.count = dirty, 0
    f.total = device_share(k, f.c, f.b, dirty)
    f.left = device.reclaimable + device.writeback
    f.flag = 1 if f.left > f.total and (dirty > f.b or device.strict_limit) else 0
    share, group_ratio = 0, 0
    if memcg:
        share = group_share(k, f.c, group_limit, group_dirty)
        group_ratio = _position_in_group(k, f, group_background, group_limit, group_dirty, share)
        if f.left > share and (group_dirty > group_limit or device.strict_limit):
            f.flag = 1
    if f.flag:
        device.dirty_exceeded = 1
    freerun, limit = dirty_freerun_ceiling(f.b, f.a), max(f.b, k.stat.dirty_limit)
    ratio = _position(k, f, f.b, f.a, limit, dirty, f.total)
    if is_due(k, now, f.c):
        update_limit(k, now, f.b, dirty)
        setpoint = (freerun + max(f.b, k.stat.dirty_limit)) // 2
        _update_ratelimit(k, t, f, now, ratio, setpoint, dirty, f.total, _strict_background(f.total, f.b, f.a))
        if memcg:
            update_group_limit(k, now, memcg, group_limit, group_dirty)
            hard = max(group_limit, k.memcg[memcg].dirty_limit)
            setpoint = (dirty_freerun_ceiling(group_limit, group_background) + hard) // 2
            start = _strict_background(share, group_limit, group_background)
            _update_ratelimit(k, t, f, now, group_ratio, setpoint, group_dirty, share, start)
        update_bandwidth(k, now, f.c)
    if memcg and group_ratio < ratio:
        ratio = group_ratio
        f.a, f.b, f.total, f.pos, f.count = group_background, group_limit, share, group_dirty, f.nr_scanned
    f.stage = device.dirty_ratelimit * ratio >> RATELIMIT_CALC_SHIFT


@kfn
def _position_in_group(k, f, background, limit, dirty, share):
    """The position of a group among its own limits. f.nr_scanned: the hard one."""
    f.nr_scanned = max(limit, k.memcg[k.bdi[f.c].memcg].dirty_limit)
    return _position(k, f, limit, background, f.nr_scanned, dirty, share)


@kfn
def _position(k, f, thresh, background, limit, dirty, share):
    """The position of a domain and of the device's part of it; strictlimit: of both, the one further on."""
    device, freerun, floor = k.bdi[f.c], dirty_freerun_ceiling(thresh, background), k.param.dirty_floor
    if device.strict_limit:
        start = _strict_background(share, thresh, background)
        return strict_position_ratio((freerun + limit) // 2, limit, dirty, share, start, f.left, floor)
    return wb_position_ratio(thresh, freerun, limit, dirty, share, f.left, device.avg_bandwidth, floor)


@kfn
def _update_ratelimit(k, t, f, now, ratio, setpoint, dirty, share, start):
    """Move the base rate by where the domain stands; strictlimit: by where the device does."""
    if k.bdi[f.c].strict_limit:
        setpoint, dirty = strict_setpoint(share, start, f.left, k.param.dirty_floor), f.left
    update_ratelimit(k, t, now, f.c, ratio, setpoint, dirty)


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
    if f.count and k.param.dirty_floor == FLOOR_SHARE:  # before 6.15 the machine's is printed even here
        limit = f.count
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
        f.pos,
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
