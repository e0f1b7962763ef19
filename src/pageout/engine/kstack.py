# SPDX-License-Identifier: GPL-2.0-or-later
"""The simulated kernel stack: the frames of a thread are its continuation, and their bytes its depth."""

from pageout.engine.clock import fail
from pageout.engine.constants import (
    CHAIN_ROWS,
    ENTRY,
    ERR_DEPTH,
    KLOG_STACK_OVERRUN,
    MAX_DEPTH,
    NIL,
    OVERFLOW_STOP,
    RUN,
    STOP_OVERFLOW,
)
from pageout.engine.klog import klog, klog_stack
from pageout.jit import kfn


@kfn
def frame_of(k, t):
    """The running frame of a task."""
    return k.frame[t * MAX_DEPTH + k.task[t].depth]


@kfn
def _reset(g, fn):
    g.fn, g.pc = fn, ENTRY
    g.a, g.b, g.c, g.d, g.order, g.gfp = 0, 0, 0, 0, 0, 0
    g.priority, g.page, g.zone, g.nr_scanned, g.nr_reclaimed, g.nr_to_scan = 0, NIL, 0, 0, 0, 0
    g.nr_taken, g.nr_dirty, g.inode, g.index, g.nr_to_write, g.nr_written = 0, 0, NIL, 0, 0, 0
    g.list_head, g.count, g.start_ns, g.deadline_ns, g.pos, g.left = NIL, 0, 0, 0, 0, 0
    g.work, g.bio, g.pause, g.stage, g.total, g.flag = NIL, NIL, 0, 0, 0, 0
    g.via = 0


@kfn
def _record_chain(k, t, start, leaf):
    """Keep the functions on a stack, outermost first, from row `start` of the table of chains on. Returns how many."""
    n = 0
    for i in range(k.task[t].stack_bottom, k.task[t].depth + 1):
        via = k.frame[t * MAX_DEPTH + i].via
        if via:
            k.chain[start + n] = -via
            n += 1
        k.chain[start + n] = k.frame[t * MAX_DEPTH + i].fn
        n += 1
    if leaf >= 0:
        k.chain[start + n] = ~leaf
        n += 1
    return n


@kfn
def _overflow(k, t, used, leaf):
    """The stack has grown over thread_info. The kernel does not notice; by choice the run ends as if it had crashed."""
    k.task[t].overflows += 1
    k.stat.overflows += 1
    klog_stack(k, klog(k, t, KLOG_STACK_OVERRUN, t, used, leaf, 0, 0), t)
    if k.stat.overflows == 1:
        k.stat.overflow_task = t
        k.stat.overflow_nr = _record_chain(k, t, CHAIN_ROWS, leaf)
    if k.param.stack_overflow == OVERFLOW_STOP:
        k.stat.stop = STOP_OVERFLOW


@kfn
def _mark_depth(k, t, used, leaf):
    """A task's stack is deeper than ever before."""
    task = k.task[t]
    if used > k.param.stack_limit and task.peak <= k.param.stack_limit:
        _overflow(k, t, used, leaf)
    task.peak = used
    if used > k.stat.peak:
        k.stat.peak = used
        k.stat.peak_task = t
        k.stat.peak_nr = _record_chain(k, t, 0, leaf)


@kfn
def touch(k, t, leaf):
    """A chain of leaf functions that never sleep runs on this stack: only its depth matters."""
    task = k.task[t]
    used = task.used - task.stack_base + k.leaf[leaf]
    if used > task.peak:
        _mark_depth(k, t, used, leaf)


@kfn
def call(k, t, f, fn, resume, a, b, c):
    """Push a frame for `fn`; the caller goes on at label `resume` once it returns, with the value in task.retval."""
    task = k.task[t]
    f.pc = resume
    if task.depth + 1 >= MAX_DEPTH:
        fail(k, ERR_DEPTH, t, fn)
        return RUN
    task.depth += 1
    task.used += k.function[fn].frame_bytes
    g = k.frame[t * MAX_DEPTH + task.depth]
    _reset(g, fn)
    g.a, g.b, g.c = a, b, c
    if task.used - task.stack_base > task.peak:
        _mark_depth(k, t, task.used - task.stack_base, NIL)
    return RUN


@kfn
def call_via(k, t, f, fn, resume, leaf, a, b, c):
    """As call, through a chain of functions that only this call site has on its way to `fn`: LEAF number `leaf`.

    The chain's bytes lie on the stack as long as the frame does, and its functions are printed above those of `fn`.
    """
    task = k.task[t]
    f.pc = resume
    if task.depth + 1 >= MAX_DEPTH:
        fail(k, ERR_DEPTH, t, fn)
        return RUN
    task.depth += 1
    task.used += k.function[fn].frame_bytes + k.leaf[leaf]
    g = k.frame[t * MAX_DEPTH + task.depth]
    _reset(g, fn)
    g.a, g.b, g.c, g.via = a, b, c, leaf + 1
    if task.used - task.stack_base > task.peak:
        _mark_depth(k, t, task.used - task.stack_base, NIL)
    return RUN


@kfn
def ret(k, t, f, value):
    """Pop the running frame; its caller finds `value` in task.retval."""
    task = k.task[t]
    task.retval = value
    task.used -= k.function[f.fn].frame_bytes
    if f.via:
        task.used -= k.leaf[f.via - 1]
    task.depth -= 1
    return RUN


@kfn
def switch_stack(k, t):
    """Go on with an empty stack: the frames pushed from here on count from 0, until `leave_stack`."""
    k.task[t].stack_base = k.task[t].used
    k.task[t].stack_bottom = k.task[t].depth + 1


@kfn
def leave_stack(k, t):
    """Back on the task's own stack."""
    k.task[t].stack_base = 0
    k.task[t].stack_bottom = 0


@kfn
def become(k, t, f, fn):
    """Let the running frame begin anew as another function, called in its place with the same arguments."""
    task = k.task[t]
    task.used += k.function[fn].frame_bytes - k.function[f.fn].frame_bytes
    f.fn, f.pc = fn, ENTRY
    if task.used > task.peak:
        _mark_depth(k, t, task.used, NIL)
    return RUN


@kfn
def start_thread(k, t, fn, a):
    """Give a task an empty stack with one frame on it."""
    task = k.task[t]
    task.depth = 0
    task.used = k.function[fn].frame_bytes
    task.peak = task.used
    g = k.frame[t * MAX_DEPTH]
    _reset(g, fn)
    g.a = a
