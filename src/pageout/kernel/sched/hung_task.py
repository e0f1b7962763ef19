# SPDX-License-Identifier: GPL-2.0-or-later
"""khungtaskd: tasks that have been in one uninterruptible sleep for too long; runs in which nobody gets on any more.

Source: Linux v2.6.34 kernel/hung_task.c:check_hung_uninterruptible_tasks. It looks every `hung_task_timeout_secs`, so a
task is named between one and two of these after it fell asleep, and ten times in all.
"""

from pageout.engine.constants import KLOG_HUNG, NS_PER_S, PF_KTHREAD, STOP_LIVELOCK, T_DEAD, T_NEW, T_SLEEPING
from pageout.engine.klog import klog, klog_stack
from pageout.jit import kfn

LIVELOCK_NS = 1200 * NS_PER_S
NR_WARNINGS = 10  # Linux v2.6.34 kernel/hung_task.c: sysctl_hung_task_warnings


@kfn
def check_hung_tasks(k):
    """Called with each sample of the series: look if it is time to, and log who has not moved since the last look."""
    timeout = k.param.hung_timeout_ns
    if timeout == 0 or k.stat.now_ns < k.stat.hung_due_ns:
        return
    k.stat.hung_due_ns = k.stat.now_ns + timeout
    for t in range(k.param.nr_tasks):
        task = k.task[t]
        if task.state != T_SLEEPING or task.depth == 0:
            continue  # threads and programs sleep interruptibly at the bottom of their stacks
        if task.hung_gen != task.timer_gen:
            task.hung_gen = task.timer_gen
        elif k.stat.hung_warnings < NR_WARNINGS:
            k.stat.hung_warnings += 1
            left = k.param.stack_bytes - task.peak
            n = klog(k, -1, KLOG_HUNG, t, timeout // NS_PER_S, left if left > 0 else 0, 0, 0)
            klog_stack(k, n, t)


@kfn
def check_progress(k):
    """Called with each sample: end a run without a set length in which nothing has moved for 20 minutes.

    Nothing moves if no call of a program has ended, no page was faulted in, read or written, while a program is in
    the kernel. A program that sleeps by its own wish is not in the kernel.
    """
    if k.param.stop_at_ns > 0:
        return
    progress, inside = k.vm.pgpgin + k.vm.pgpgout + k.vm.pgfault, False
    for t in range(k.param.nr_tasks):
        task = k.task[t]
        progress += task.nr_calls
        if task.depth > 0 and task.state != T_NEW and task.state != T_DEAD and not task.tflags & PF_KTHREAD:
            inside = True
    if progress != k.stat.progress or not inside:
        k.stat.progress, k.stat.progress_ns = progress, k.stat.now_ns
    elif k.stat.now_ns - k.stat.progress_ns >= LIVELOCK_NS:
        k.stat.stop = STOP_LIVELOCK
