# SPDX-License-Identifier: GPL-2.0-or-later
"""Virtual time: the event heap, timers, and when a task's own clock is."""

from pageout.engine.constants import ERR_HEAP, STOP_ERROR
from pageout.jit import kfn


@kfn
def fail(k, error, task, info):
    """Stop the run: an assertion of the model does not hold. Raised outside as InvariantError."""
    if k.stat.stop != STOP_ERROR:
        k.stat.stop = STOP_ERROR
        k.stat.error = error
        k.stat.error_task = task
        k.stat.error_info = info


@kfn
def now_of(k, t):
    """Return the task's clock: the start of its slice plus the CPU time it has used since, in ns."""
    return k.stat.now_ns + k.task[t].spent_ns


@kfn
def spend(k, t, ns):
    """Charge CPU time to the task."""
    if not k.param.zero_cost:
        k.task[t].spent_ns += ns


@kfn
def out_of_slice(k, t):
    """True once a leaf loop has to give way: at the next due event, or 50 us of its own CPU time."""
    return k.task[t].spent_ns >= k.stat.slice_ns


@kfn
def jiffies_of(k, ns):
    """Return the tick that a moment falls into."""
    return ns // k.param.jiffy_ns


WHEEL_LEVELS = 8  # above the first


@kfn
def wheel(now, expires):
    """The jiffy at which a timer of the wheel fires (since 4.8): never early, so one later than asked.

    It is more where the timer lies far ahead: from 63 jiffies on by up to 8, from 504 by up to 64, and so on over nine
    levels.  Source: Linux v6.1 kernel/time/timer.c:calc_wheel_index.
    """
    ahead = expires - now
    if ahead < 0:
        return now + 1
    shift = 0
    while shift < WHEEL_LEVELS * 3 and ahead >= 63 << shift:
        shift += 3
    return ((expires >> shift) + 1) << shift


@kfn
def _before(k, i, j):
    x = k.heap[i]
    y = k.heap[j]
    return x.when_ns < y.when_ns or (x.when_ns == y.when_ns and x.seq < y.seq)


@kfn
def _swap(k, i, j):
    x = k.heap[i]
    y = k.heap[j]
    when_ns, seq, kind, arg, gen = x.when_ns, x.seq, x.kind, x.arg, x.gen
    x.when_ns, x.seq, x.kind, x.arg, x.gen = y.when_ns, y.seq, y.kind, y.arg, y.gen
    y.when_ns, y.seq, y.kind, y.arg, y.gen = when_ns, seq, kind, arg, gen


@kfn
def post(k, when_ns, kind, arg, gen):
    """Put an event on the heap. Events of one moment come in the order in which they were posted."""
    i = k.stat.heap_nr
    if i >= k.param.heap_size:
        fail(k, ERR_HEAP, -1, i)
        return
    k.stat.heap_nr = i + 1
    k.stat.seq += 1
    if when_ns - k.stat.now_ns < k.stat.slice_ns:
        k.stat.slice_ns = when_ns - k.stat.now_ns
    event = k.heap[i]
    event.when_ns, event.seq, event.kind, event.arg, event.gen = when_ns, k.stat.seq, kind, arg, gen
    while i > 0 and _before(k, i, (i - 1) >> 1):
        _swap(k, i, (i - 1) >> 1)
        i = (i - 1) >> 1


@kfn
def pop(k):
    """Drop the heap's first event; the caller has read heap[0]."""
    last = k.stat.heap_nr - 1
    k.stat.heap_nr = last
    if last == 0:
        return
    _swap(k, 0, last)
    i = 0
    while True:
        child = 2 * i + 1
        if child >= last:
            return
        if child + 1 < last and _before(k, child + 1, child):
            child += 1
        if not _before(k, child, i):
            return
        _swap(k, i, child)
        i = child
