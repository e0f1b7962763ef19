# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel log: a bounded table of what printk would say. Its text is made in Python, once the run is over.

The first records are kept, not the last: the first OOM explains more than the hundredth. What finds no room is counted.
"""

from pageout.engine.clock import now_of
from pageout.engine.constants import (
    KLOG_IO_ERROR,
    KLOG_STACK,
    KLOG_STACK_USED,
    KLOG_SUPPRESSED,
    KLOG_SWAP_ERROR,
    MAX_DEPTH,
    NIL,
)
from pageout.jit import kfn

RATELIMIT_S, RATELIMIT_BURST = 5, 10  # Linux v2.6.34 kernel/printk.c: printk_ratelimit_state


@kfn
def klog(k, t, kind, who, a, b, c, d):
    """Append a record at the task's own time. Returns its number; NIL if the log is full.

    A quarter of the log is kept free of device errors, of which there may be any number.
    """
    n = k.stat.klog_nr
    room = k.param.klog_size
    if KLOG_IO_ERROR <= kind <= KLOG_SWAP_ERROR:
        room -= room // 4
    if n >= room:
        k.stat.klog_dropped += 1
        return NIL
    k.stat.klog_nr = n + 1
    record = k.klog[n]
    record.time_ns = now_of(k, t) if t >= 0 else k.stat.now_ns
    record.kind, record.task, record.who = kind, t, who
    record.a, record.b, record.c, record.d = a, b, c, d
    record.snapshot, record.nr_stack = NIL, 0
    return n


@kfn
def klog_stack(k, n, t):
    """Keep the functions on a task's stack with a record, as dump_stack() would print them."""
    if n == NIL or t < 0:
        return
    nr = 0
    for i in range(k.task[t].depth + 1):
        frame = k.frame[t * MAX_DEPTH + i]
        if frame.via:
            k.klog_stack[n * KLOG_STACK + nr] = -frame.via
            nr += 1
        k.klog_stack[n * KLOG_STACK + nr] = frame.fn
        nr += 1
    k.klog[n].nr_stack = nr


@kfn
def printk_ratelimit(k, t, caller):
    """True for ten messages in five seconds, all callers together. Source: Linux v2.6.34 lib/ratelimit.c."""
    jiffies = (now_of(k, t) if t >= 0 else k.stat.now_ns) // k.param.jiffy_ns + 1  # 0: not begun
    if k.stat.rate_begin == 0:
        k.stat.rate_begin = jiffies
    if k.stat.rate_begin + RATELIMIT_S * k.param.hz < jiffies:
        if k.stat.rate_missed > 0:
            klog(k, t, KLOG_SUPPRESSED, NIL, caller, k.stat.rate_missed, 0, 0)
        k.stat.rate_begin, k.stat.rate_printed, k.stat.rate_missed = 0, 0, 0
    if k.stat.rate_printed < RATELIMIT_BURST:
        k.stat.rate_printed += 1
        return True
    k.stat.rate_missed += 1
    return False


@kfn
def check_stack_usage(k, t):
    """At exit: note a stack that used more than any before. Source: Linux v2.6.34 kernel/exit.c."""
    used = k.task[t].peak
    if used > k.stat.deepest_exit:
        k.stat.deepest_exit = used
        klog(k, t, KLOG_STACK_USED, t, used, 0, 0, 0)
