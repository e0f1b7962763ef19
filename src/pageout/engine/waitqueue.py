# SPDX-License-Identifier: GPL-2.0-or-later
"""Wait queues, the run queue, sleeping and waking."""

from pageout.engine.clock import jiffies_of, now_of, post, wheel
from pageout.engine.constants import (
    EV_TIMER,
    EV_WAKE,
    NIL,
    PAGE_WAIT_TABLE,
    PG_WAITERS,
    SLEEP,
    T_RUNNABLE,
    T_SLEEPING,
    TIMER_LATE,
    WQ_FIXED,
)
from pageout.engine.rng import exponential
from pageout.jit import kfn


@kfn
def enqueue(k, t):
    """Put a task at the end of the run queue."""
    task = k.task[t]
    task.state = T_RUNNABLE
    task.wait_next = NIL
    if k.stat.run_tail == NIL:
        k.stat.run_head = t
    else:
        k.task[k.stat.run_tail].wait_next = t
    k.stat.run_tail = t
    k.stat.run_nr += 1


@kfn
def _unlink(k, t):
    """Take a sleeping task off its wait queue."""
    task = k.task[t]
    if task.wait_queue == NIL:
        return
    queue = k.wait[task.wait_queue]
    if task.wait_prev == NIL:
        queue.head = task.wait_next
    else:
        k.task[task.wait_prev].wait_next = task.wait_next
    if task.wait_next == NIL:
        queue.tail = task.wait_prev
    else:
        k.task[task.wait_next].wait_prev = task.wait_prev
    task.wait_queue = NIL
    task.wait_next = NIL
    task.wait_prev = NIL


@kfn
def _run_delay(k):
    """How long a task woken now waits for a CPU, in ns: until those that are not simulated let one go.

    They have all CPUs for times of exponential length, with such times between: of any moment the same share is theirs.
    """
    stat = k.stat
    while stat.now_ns >= stat.busy_until_ns:
        share = k.param.busy_percent
        stat.busy_from_ns = stat.busy_until_ns + exponential(stat, k.param.run_delay_ns * (100 - share) // share)
        stat.busy_until_ns = stat.busy_from_ns + exponential(stat, k.param.run_delay_ns)
    return stat.busy_until_ns - stat.now_ns if stat.now_ns >= stat.busy_from_ns else 0


@kfn
def wake_task(k, t):
    """Make a sleeping task runnable, not before the slice in which it fell asleep is over. Returns 1 if it slept.

    On a machine busy with other things it may wait for a CPU first.
    """
    task = k.task[t]
    if task.state != T_SLEEPING:
        return 0
    _unlink(k, t)
    task.timer_gen += 1
    task.woken = 1
    k.stat.wakeups += 1
    ready_ns = task.ready_ns
    if k.param.busy_percent > 0:
        ready_ns = max(ready_ns, k.stat.now_ns + _run_delay(k))
    if ready_ns > k.stat.now_ns:
        task.state = T_RUNNABLE
        post(k, ready_ns, EV_WAKE, t, 0)
    else:
        enqueue(k, t)
    return 1


@kfn
def _expiry(k, now, jiffies):
    """The tick at which a timer set now ends.

    timer.expiry=late: never before its time, so a tick later than it seems, or more where it lies far ahead.
    """
    return wheel(now, now + jiffies) if k.param.timer_expiry == TIMER_LATE else now + jiffies


@kfn
def sleep_on(k, t, queue, timeout_jiffies, exclusive):
    """Sleep on a wait queue (NIL: on none), at most `timeout_jiffies` (0: for ever). task.woken tells why it ended."""
    task = k.task[t]
    task.state = T_SLEEPING
    task.woken = 0
    task.timer_gen += 1
    task.wait_queue = queue
    task.wait_exclusive = exclusive
    task.wait_next = NIL
    task.wait_prev = NIL
    if queue != NIL:
        head = k.wait[queue]
        task.wait_prev = head.tail
        if head.tail == NIL:
            head.head = t
        else:
            k.task[head.tail].wait_next = t
        head.tail = t
    if timeout_jiffies > 0:
        tick = _expiry(k, jiffies_of(k, now_of(k, t)), timeout_jiffies)
        post(k, tick * k.param.jiffy_ns, EV_TIMER, t, task.timer_gen)
    return SLEEP


@kfn
def sleep_until(k, t, when_ns):
    """Sleep until a moment of virtual time (a high-resolution timer)."""
    sleep_on(k, t, NIL, 0, 0)
    now = now_of(k, t)
    post(k, when_ns if when_ns > now else now, EV_TIMER, t, k.task[t].timer_gen)
    return SLEEP


@kfn
def wake_all(k, queue):
    """Wake every sleeper of a queue, in the order in which they came. Returns their number."""
    woken = 0
    while k.wait[queue].head != NIL:
        woken += wake_task(k, k.wait[queue].head)
    return woken


@kfn
def wake_one(k, queue):
    """Wake the first sleeper of a queue. Returns 1 if there was one."""
    if k.wait[queue].head == NIL:
        return 0
    return wake_task(k, k.wait[queue].head)


@kfn
def page_queue(page):
    """The hashed wait queue of a page."""
    return WQ_FIXED + (page * 40503 >> 4) % PAGE_WAIT_TABLE


@kfn
def sleep_on_page(k, t, page):
    """Sleep until the page is unlocked or its writeback has ended."""
    k.page[page].pflags |= PG_WAITERS
    k.task[t].wait_page = page
    return sleep_on(k, t, page_queue(page), 0, 0)


@kfn
def wake_page(k, page):
    """Wake the tasks that wait for this page."""
    pg = k.page[page]
    if not pg.pflags & PG_WAITERS:
        return
    pg.pflags ^= PG_WAITERS
    t = k.wait[page_queue(page)].head
    while t != NIL:
        following = k.task[t].wait_next
        if k.task[t].wait_page == page:
            k.task[t].wait_page = NIL
            wake_task(k, t)
        t = following


@kfn
def timeout_jiffies(k, divisor):
    """HZ / divisor, the kernel's way of writing a timeout; at least one tick."""
    jiffies = k.param.hz // divisor
    return jiffies if jiffies > 0 else 1
