# SPDX-License-Identifier: GPL-2.0-or-later
"""khungtaskd: tasks that have been in one uninterruptible sleep for too long.

Source: Linux v2.6.34 kernel/hung_task.c:check_hung_uninterruptible_tasks. It looks every `hung_task_timeout_secs`, so a
task is named between one and two of these after it fell asleep, and ten times in all.
"""

from pageout.engine.constants import KLOG_HUNG, NS_PER_S, T_SLEEPING
from pageout.engine.klog import klog, klog_stack
from pageout.jit import kfn

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
