# SPDX-License-Identifier: GPL-2.0-or-later
"""The OOM killer: the last way to free memory.

Source: Linux v2.6.34 mm/oom_kill.c.
"""

from pageout.engine.clock import now_of
from pageout.engine.constants import MAX_DEPTH, NIL, NS_PER_S, PF_KTHREAD, STOP_PANIC, T_DEAD
from pageout.engine.kstack import touch
from pageout.engine.ring import emit
from pageout.engine.waitqueue import wake_task
from pageout.jit import kfn
from pageout.kernel.frames import LEAF
from pageout.vocabulary.tracepoints import EV

WORK, EXITING = 2, 3  # stages of the frame `user`, at the bottom of each user task's stack


@kfn
def _isqrt(n):
    root = 0
    while (root + 1) * (root + 1) <= n:
        root += 1
    return root


@kfn
def badness(k, t, now):
    """Points of a task: its virtual size, less for CPU time and age. Source: badness(); tasks here have no children."""
    task = k.task[t]
    points = task.total_vm
    cpu_time = _isqrt(task.cpu_ns // (8 * NS_PER_S))
    if cpu_time:
        points //= cpu_time
    run_time = _isqrt(_isqrt((now - task.begun_ns) // (1024 * NS_PER_S)))
    if run_time:
        points //= run_time
    return points


@kfn
def _pick(k, asking, now):
    """The task with the most points; NIL when someone is on the way out already, -2 when nobody can be killed."""
    best, most = -2, -1
    for t in range(k.param.nr_tasks):
        task = k.task[t]
        stage = k.frame[t * MAX_DEPTH].stage
        if task.state == T_DEAD or task.tflags & PF_KTHREAD or stage < WORK:
            continue
        if stage == EXITING and t != asking:
            return NIL
        if task.memdie:
            return NIL
        points = badness(k, t, now)
        if points > most:
            best, most = t, points
    return best


@kfn
def out_of_memory(k, t):
    """Choose a victim and send it SIGKILL with access to all reserves; none while an earlier one is exiting."""
    touch(k, t, LEAF.freelist)
    victim = _pick(k, t, now_of(k, t))
    if victim == NIL:
        return
    if victim < 0:
        k.stat.stop = STOP_PANIC
        return
    k.task[victim].memdie = 1
    k.task[victim].killed = 1
    if k.task[victim].depth == 0:
        wake_task(k, victim)  # a signal ends an interruptible sleep in user mode
    k.stat.oom_victims += 1
    emit(k, t, EV.mark_victim, k.task[victim].pid)
