# SPDX-License-Identifier: GPL-2.0-or-later
"""The scheduler: one virtual clock, some CPUs, tasks that run in slices of at most 50 us, events in order of time.

A slice runs at its start, in one go, as far as its CPU time allows; its CPU is busy until its end. Differs from any
kernel's scheduler: one run queue for all CPUs, first come, first served; or, sched.pick=fair, by virtual run time
(engine/fair.py).
"""

from pageout.engine.clock import pop, post
from pageout.engine.constants import (
    EV_BANDWIDTH,
    EV_IO_DONE,
    EV_POWER_CUT,
    EV_SERIES,
    EV_SLICE_END,
    EV_THROTTLE,
    EV_TICK,
    EV_TIMER,
    EV_UNPLUG,
    EV_WAKE,
    EV_WBT,
    GO,
    NIL,
    PICK_FAIR,
    RUN,
    SERIES_COLUMNS,
    SLEEP,
    STOP_DEADLOCK,
    STOP_DONE,
    STOP_DRAIN,
    STOP_LENGTH,
    STOP_POWER,
    STOP_STEPS,
    SWITCH,
    T_RUNNABLE,
    T_RUNNING,
    T_SLEEPING,
    YIELD,
)
from pageout.engine.fair import charge, cpu_to_serve, pick
from pageout.engine.kstack import frame_of
from pageout.engine.ledger import levels, sample
from pageout.engine.waitqueue import enqueue, enqueue_woken, wake_task
from pageout.jit import call_at, kfn
from pageout.kernel.block.blk_core import end_request, unplug
from pageout.kernel.block.blk_mq import flush_plug, run_queue
from pageout.kernel.block.blk_throttle import throttle_timer
from pageout.kernel.block.blk_wbt import wbt_window
from pageout.kernel.drivers.ticks import tick
from pageout.kernel.mm.dirty_limits import background_threshold, dirty_threshold
from pageout.kernel.mm.wb_rates import bandwidth_work
from pageout.kernel.sched.hung_task import check_hung_tasks, check_progress

SLICE_NS = 50_000


@kfn
def _run_task(k, t):
    """Run a task until it sleeps, yields or exits, from unit to unit as its stack goes."""
    while True:
        unit = k.function[frame_of(k, t).fn].unit
        verb = call_at(k.unit[unit], k, t)
        if verb != SWITCH or k.stat.stop > STOP_DRAIN:
            return verb


@kfn
def _dequeue(k):
    t = k.stat.run_head
    k.stat.run_head = k.task[t].wait_next
    if k.stat.run_head == NIL:
        k.stat.run_tail = NIL
    k.task[t].wait_next = NIL
    k.stat.run_nr -= 1
    return t


@kfn
def _budget(k):
    """The next slice ends at the next due event, or after 50 us."""
    limit = SLICE_NS
    if k.stat.heap_nr > 0 and k.heap[0].when_ns - k.stat.now_ns < limit:
        limit = k.heap[0].when_ns - k.stat.now_ns
    k.stat.slice_ns = limit


@kfn
def _run_slice(k, cpu, t):
    """Give a task the CPU for one slice."""
    task = k.task[t]
    task.state = T_RUNNING
    task.cpu = cpu
    task.spent_ns = 0
    k.stat.slices += 1
    _budget(k)
    verb = _run_task(k, t)
    if verb == SLEEP and task.plug_nr > 0:
        task.ready_ns = k.stat.now_ns + task.spent_ns
        flush_plug(k, t)
    spent = task.spent_ns
    task.spent_ns = 0
    task.cpu_ns += spent
    task.ready_ns = k.stat.now_ns + spent
    here = k.cpu[cpu]
    here.busy_ns += spent
    if verb == SLEEP and task.state == T_RUNNING:
        task.state = T_SLEEPING
    if k.param.sched_pick == PICK_FAIR:
        charge(k, t, spent, verb == YIELD or verb == RUN)
    if spent > 0:
        here.task, here.idle = t, 0
        k.stat.idle_cpus -= 1
        post(k, k.stat.now_ns + spent, EV_SLICE_END, cpu, verb)
    elif verb == YIELD or verb == RUN:
        enqueue(k, t)


@kfn
def _slice_end(k, cpu, verb):
    here = k.cpu[cpu]
    here.idle = 1
    k.stat.idle_cpus += 1
    if verb == YIELD or verb == RUN:
        enqueue(k, here.task)
    here.task = NIL


@kfn
def _idle_cpu(k):
    for cpu in range(k.param.nr_cpus):
        if k.cpu[cpu].idle:
            return cpu
    return 0


@kfn
def _timer(k, t, gen):
    """A sleep's time is up, unless it ended otherwise."""
    task = k.task[t]
    if task.state == T_SLEEPING and task.timer_gen == gen:
        wake_task(k, t)
        task.woken = 0


@kfn
def _sample(k):
    """Take a sample of the series, the dirty limits beside it."""
    sample(k, background_threshold(k, NIL), dirty_threshold(k, NIL))


@kfn
def _last_sample(k):
    """Once the run is over: the series ends with the totals as they stood then."""
    if k.stat.stop == STOP_STEPS or k.stat.stop == STOP_DRAIN or k.param.series_ns <= 0:
        return
    if k.stat.series_nr == 0 or k.series[(k.stat.series_nr - 1) * SERIES_COLUMNS] < k.stat.now_ns:
        _sample(k)


@kfn
def _handle(k, kind, arg, gen):
    if kind == EV_SLICE_END:
        _slice_end(k, arg, gen)
    elif kind == EV_IO_DONE:
        end_request(k, arg)
    elif kind == EV_TIMER:
        _timer(k, arg, gen)
    elif kind == EV_WAKE:
        if k.task[arg].state == T_RUNNABLE:
            enqueue_woken(k, arg)
    elif kind == EV_UNPLUG:
        if k.queue[arg].plugged and k.queue[arg].plug_gen == gen:
            unplug(k, arg)
    elif kind == EV_SERIES:
        _sample(k)
        check_hung_tasks(k)
        check_progress(k)
        post(k, k.stat.now_ns + k.param.series_ns, EV_SERIES, 0, 0)
    elif kind == EV_BANDWIDTH:
        bandwidth_work(k, arg)
    elif kind == EV_THROTTLE:
        throttle_timer(k, arg, gen)
    elif kind == EV_TICK:
        tick(k, arg)
        run_queue(k, NIL, arg, k.stat.now_ns)
    elif kind == EV_WBT:
        wbt_window(k, arg)
    elif kind == EV_POWER_CUT:
        k.stat.stop = STOP_POWER


@kfn
def _finished(k):
    """Is the run over: length reached, or every foreground task done and no length set?"""
    if k.param.stop_at_ns > 0:
        if k.stat.now_ns >= k.param.stop_at_ns:
            k.stat.stop = STOP_LENGTH
            return True
        return False
    if k.stat.foreground_left <= 0:
        k.stat.stop = STOP_DONE
        return True
    return False


@kfn
def run_machine(k, max_steps):
    """Advance the machine until it is done, its ring must be drained, or `max_steps` are taken. Returns why."""
    if k.stat.stop == STOP_STEPS or k.stat.stop == STOP_DRAIN:
        k.stat.stop = GO
    steps = 0
    while k.stat.stop == GO:
        steps += 1
        if steps > max_steps:
            steps -= 1
            k.stat.stop = STOP_STEPS
            break
        due = k.stat.heap_nr > 0 and k.heap[0].when_ns <= k.stat.now_ns
        if k.stat.run_nr > 0 and k.stat.idle_cpus > 0 and not due:
            if k.param.sched_pick == PICK_FAIR:
                cpu = cpu_to_serve(k)
                _run_slice(k, cpu, pick(k, cpu))
            else:
                _run_slice(k, _idle_cpu(k), _dequeue(k))
        elif _finished(k):
            break
        elif k.stat.heap_nr == 0:
            k.stat.stop = STOP_DEADLOCK
        else:
            event = k.heap[0]
            kind, arg, gen = event.kind, event.arg, event.gen
            if k.param.stop_at_ns > 0 and event.when_ns > k.param.stop_at_ns:
                k.stat.now_ns = k.param.stop_at_ns
                continue
            if event.when_ns > k.stat.now_ns:
                k.stat.now_ns = event.when_ns
            pop(k)
            k.stat.events_handled += 1
            _handle(k, kind, arg, gen)
    levels(k)
    _last_sample(k)
    k.stat.steps += steps
    return k.stat.stop
