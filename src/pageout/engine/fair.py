# SPDX-License-Identifier: GPL-2.0-or-later
"""Who runs next, by virtual run time (sched.pick=fair): the completely fair scheduler, as far as it decides who waits.

A task keeps its CPU until it sleeps, until a tick finds that its part of the period is over, or until someone wakes
who has run so much less that he may take it at once. So a thread that works for 2 ms, as kswapd does, is not
interrupted by the task that woke it. Preemption is that of PREEMPT_VOLUNTARY: at the end of a slice of the engine,
50 us at most, unless the task is where the kernel does not look (no_resched); a wake-up that preempts ends the slice.

Source: Linux v6.1 kernel/sched/fair.c:place_entity, check_preempt_wakeup, check_preempt_tick, sched_slice,
pick_next_entity, update_min_vruntime. Differs: one run queue for all CPUs, from which a CPU that has nothing takes the
leftmost; no groups, no last buddy; a task is placed like one that wakes when it first runs.
"""

from pageout.engine.constants import NIL, T_RUNNABLE, T_RUNNING
from pageout.jit import kfn

NICE_0 = 1024
LATENCY_NS, MIN_GRANULARITY_NS, WAKEUP_GRANULARITY_NS = 6_000_000, 750_000, 1_000_000
NR_LATENCY = 8  # tasks that fit a period
YIELD_NS = 1_000  # what a way through the scheduler counts as that took no time


@kfn
def tunable_scale(cpus):
    """What the scheduler's times are multiplied by: 1 + log2 of the CPUs, of 8 at most."""
    factor, cpus = 1, min(cpus, 8)
    while cpus > 1:
        factor += 1
        cpus >>= 1
    return factor


@kfn
def weighted(ns, weight):
    """Virtual time for so much time of a CPU."""
    return ns if weight == NICE_0 or weight == 0 else ns * NICE_0 // weight


@kfn
def weight_of(k, t):
    """A task's weight; 0 in the table stands for that of nice 0."""
    weight = k.task[t].weight
    return weight if weight else NICE_0


@kfn
def is_queued(k, t):
    """Is the task in the run queue?"""
    at = k.stat.run_head
    while at != NIL:
        if at == t:
            return True
        at = k.task[at].wait_next
    return False


@kfn
def _running_v(k, t):
    """A task's virtual time now, with what it has used of its slice."""
    return k.task[t].vruntime + weighted(k.task[t].spent_ns, weight_of(k, t))


@kfn
def _has_room(k):
    """Is there a CPU that belongs to nobody who could run?"""
    for cpu in range(k.param.nr_cpus):
        t = k.cpu[cpu].curr - 1
        if t < 0 or (k.task[t].state != T_RUNNING and not (k.task[t].state == T_RUNNABLE and is_queued(k, t))):
            return True
    return False


@kfn
def woken(k, t):
    """A task has come to the run queue from sleep: place it, and see whether it may take its CPU at once."""
    task, here = k.task[t], k.cpu[k.task[t].cpu]
    scale = tunable_scale(k.param.nr_cpus)
    floor = k.stat.min_vruntime - (LATENCY_NS * scale >> 1)
    if task.vruntime < floor:
        task.vruntime = floor
    curr = here.curr - 1
    if curr < 0 or curr == t or here.resched or _has_room(k):
        return
    if _running_v(k, curr) - task.vruntime > weighted(WAKEUP_GRANULARITY_NS * scale, weight_of(k, t)):
        here.resched, here.next = 1, t + 1
        k.stat.slice_ns = 0


@kfn
def slice_of(k, t, nr_running, load):
    """A task's part of a period, in ns. load: the weights of all that can run."""
    scale = tunable_scale(k.param.nr_cpus)
    period = LATENCY_NS * scale
    if nr_running > NR_LATENCY:
        period = MIN_GRANULARITY_NS * scale * nr_running
    return max(period * weight_of(k, t) // load, MIN_GRANULARITY_NS * scale)


@kfn
def _tick(k, here, curr):
    """The tick, as it finds the task that runs: has it had its part?"""
    nr, load, least, at = 0, 0, 0, k.stat.run_head
    while at != NIL:
        if at != curr and (nr == 0 or k.task[at].vruntime < least):
            least = k.task[at].vruntime
        if at != curr:
            nr += 1
        load += weight_of(k, at)
        at = k.task[at].wait_next
    if nr == 0:
        return
    ideal = slice_of(k, curr, nr + 1, load)
    ran = k.task[curr].ran_ns
    if ran > ideal:
        here.resched, here.next = 1, 0
    elif ran >= MIN_GRANULARITY_NS * tunable_scale(k.param.nr_cpus) and k.task[curr].vruntime - least > ideal:
        here.resched = 1


@kfn
def _leftmost(k):
    at = k.stat.run_head
    best = at
    while at != NIL:
        if k.task[at].vruntime < k.task[best].vruntime:
            best = at
        at = k.task[at].wait_next
    return best


@kfn
def _unqueue(k, t):
    before, at = NIL, k.stat.run_head
    while at != t:
        before, at = at, k.task[at].wait_next
    if before == NIL:
        k.stat.run_head = k.task[t].wait_next
    else:
        k.task[before].wait_next = k.task[t].wait_next
    if k.stat.run_tail == t:
        k.stat.run_tail = before
    k.task[t].wait_next = NIL
    k.stat.run_nr -= 1


@kfn
def cpu_to_serve(k):
    """The idle CPU that goes on first: one whose own task could, else the first."""
    first = NIL
    for cpu in range(k.param.nr_cpus):
        here = k.cpu[cpu]
        if here.idle:
            if here.curr > 0 and is_queued(k, here.curr - 1):
                return cpu
            if first == NIL:
                first = cpu
    return first


@kfn
def pick(k, cpu):
    """Take the task off the run queue that this idle CPU runs next: its own, unless it has to give way."""
    here = k.cpu[cpu]
    curr, tick = here.curr - 1, k.stat.now_ns // k.param.jiffy_ns
    stays = curr >= 0 and is_queued(k, curr)
    if stays and tick != here.tick:
        _tick(k, here, curr)
    here.tick = tick
    chosen = curr
    if not stays or (here.resched and not k.task[curr].no_resched):
        chosen = _leftmost(k)
        buddy = here.next - 1
        if buddy >= 0 and buddy != chosen and is_queued(k, buddy):
            ahead = k.task[buddy].vruntime - k.task[chosen].vruntime
            if ahead <= weighted(WAKEUP_GRANULARITY_NS * tunable_scale(k.param.nr_cpus), weight_of(k, buddy)):
                chosen = buddy
        here.resched, here.next = 0, 0
    if chosen != curr:
        k.task[chosen].ran_ns = 0
        for other in range(k.param.nr_cpus):
            if k.cpu[other].curr == chosen + 1:
                k.cpu[other].curr = 0
        here.curr = chosen + 1
    _unqueue(k, chosen)
    return chosen


@kfn
def charge(k, t, spent, goes_on):
    """A slice is over: count it, and let the queue's virtual time follow. goes_on: the task did not fall asleep."""
    task = k.task[t]
    virtual = weighted(spent, weight_of(k, t))
    if spent == 0 and goes_on:
        virtual = YIELD_NS
    task.vruntime += virtual
    task.ran_ns += spent
    least = NIL
    if goes_on:
        least = task.vruntime
    else:
        k.cpu[task.cpu].curr = 0
    at = k.stat.run_head
    while at != NIL:
        if least == NIL or k.task[at].vruntime < least:
            least = k.task[at].vruntime
        at = k.task[at].wait_next
    if least > k.stat.min_vruntime:
        k.stat.min_vruntime = least
