# SPDX-License-Identifier: GPL-2.0-or-later
"""The OOM killer: the last way to free memory.

Source: Linux v2.6.34 mm/oom_kill.c. Differs: no notifiers, no NUMA or cpuset constraints, no init task; a task that has
begun to give its memory back still counts as having it, so no second victim is chosen meanwhile.
"""

from pageout.engine.clock import now_of
from pageout.engine.constants import (
    KLOG_OOM,
    KLOG_OOM_KILLED,
    KLOG_OOM_SCORE,
    KLOG_PANIC,
    MAX_DEPTH,
    NIL,
    NS_PER_MS,
    NS_PER_S,
    OOM_DISABLE,
    OOM_RSS,
    PANIC_ALWAYS,
    PANIC_NO_VICTIM,
    PANIC_ON_OOM,
    PF_KTHREAD,
    RATELIMIT_OOM,
    STOP_PANIC,
    T_DEAD,
)
from pageout.engine.klog import klog, klog_stack, printk_ratelimit
from pageout.engine.kstack import touch
from pageout.engine.ring import emit
from pageout.engine.waitqueue import wake_task
from pageout.jit import kfn
from pageout.kernel.frames import FN, LEAF
from pageout.kernel.mm.buddy import free_pages
from pageout.kernel.mm.show_mem import anon_rss, file_rss, show_mem
from pageout.vocabulary.tracepoints import EV

WORK, EXITING = 2, 3  # stages of the frame `user`, at the bottom of each user task's stack
JOB_FORK = 3
WORST = 1 << 60  # points of a task that is exiting already
BY_SCORE, BY_ALLOCATING, BY_CGROUP = 0, 1, 2  # why: its score, vm.oom_kill_allocating_task, its group's limit
FIRST_CHILD_PID = 10_000  # assumed: forked children are numbered from here in the order of their birth


@kfn
def _isqrt(n):
    root = 0
    while (root + 1) * (root + 1) <= n:
        root += 1
    return root


@kfn
def has_mm(k, t):
    """Is there a user process behind this task: begun, not dead?"""
    task = k.task[t]
    if task.state == T_DEAD or task.tflags & PF_KTHREAD:
        return False
    return k.frame[t * MAX_DEPTH].stage >= WORK


@kfn
def is_exiting(k, t):
    """Has the task begun to give its memory back?"""
    return k.frame[t * MAX_DEPTH].stage == EXITING


@kfn
def _oldest_child(k, t, now):
    """Of a forking task: the oldest child that still lives, as (the block before its stack in the list, its stack)."""
    task = k.task[t]
    lifetime_ms = k.job[task.job].lifetime_ns // NS_PER_MS
    before, page = NIL, task.allocated_head
    while page != NIL and now // NS_PER_MS - k.page[page].dirtied_when >= lifetime_ms:
        before, page = page, k.page[page].lru_next
    return before, page


@kfn
def _nr_forked(k, t, now):
    """Children of a forking task that are alive: each a process with a copy of its parent's address space."""
    if k.job[k.task[t].job].kind != JOB_FORK:
        return 0
    nr = 0
    _, page = _oldest_child(k, t, now)
    while page != NIL:
        nr += 1
        page = k.page[page].lru_next
    return nr


@kfn
def _cpu_units(k, ns):
    """CPU time in units of about 8 s: jiffies >> (SHIFT_HZ + 3), so 8.19 s at HZ 250 and 1000, 10.24 s at 100."""
    shift = 10
    if k.param.hz < 192:
        shift = 7
    elif k.param.hz < 384:
        shift = 8
    return ns // k.param.jiffy_ns >> shift + 3


@kfn
def oom_badness(k, t, total):
    """Points of a task by the memory it uses: resident pages and swap entries, moved by its adjustment.

    total: pages there are for those among whom one is chosen

    Source: Linux v6.1 mm/oom_kill.c:oom_badness; fs/proc/base.c:__set_oom_adj. Page tables are not counted.
    """
    task = k.task[t]
    points = anon_rss(k, t) + file_rss(k, t)
    if task.mm_inode != NIL:
        at = k.inode[task.mm_inode].slot_start
        for i in range(k.inode[task.mm_inode].nr_slots):
            slot = k.slot[at + i]
            if slot.page < 0 and slot.block >= 0:
                points += 1
    adjust = 1000 if task.oom_adj == 15 else task.oom_adj * 1000 // 17
    return points + adjust * ((total + k.param.nr_swap_slots) // 1000)


@kfn
def badness(k, t, now):
    """Points of a task: the size of it and half of its children, less for CPU time and age, more if it is niced.

    Source: mm/oom_kill.c:badness. Every task has an address space of its own.
    """
    task = k.task[t]
    if task.oom_adj == OOM_DISABLE:
        return 0
    points = task.total_vm
    for child in range(k.param.nr_tasks):
        if k.task[child].parent == t and has_mm(k, child):
            points += k.task[child].total_vm // 2 + 1
    points += _nr_forked(k, t, now) * (task.total_vm // 2 + 1)
    cpu_time = _isqrt(_cpu_units(k, task.cpu_ns))
    if cpu_time:
        points //= cpu_time
    run_time = _isqrt(_isqrt((now // NS_PER_S - task.begun_ns // NS_PER_S) >> 10))
    if run_time:
        points //= run_time
    if task.nice > 0:
        points *= 2
    if task.privileged:
        points = points // 4 // 4  # CAP_SYS_ADMIN or CAP_SYS_RESOURCE, and CAP_SYS_RAWIO
    if task.oom_adj > 0:
        points = (points if points > 0 else 1) << task.oom_adj
    elif task.oom_adj < 0:
        points >>= -task.oom_adj
    return points


@kfn
def _select_bad_process(k, asking, now):
    """The task with the most points, and its points; -2 when nobody can be killed.

    NIL when one with access to the reserves, or one on its way out, has not gone yet: no second victim beside it.
    """
    best, most = -2, 0
    for t in range(k.param.nr_tasks):
        if not has_mm(k, t):
            continue
        if k.task[t].memdie:
            return NIL, 0
        points = 0
        if is_exiting(k, t):
            if t != asking:
                return NIL, 0
            best, most = t, WORST
        if k.task[t].oom_adj == OOM_DISABLE:
            continue
        points = oom_badness(k, t, k.param.total_pages) if k.param.oom_score == OOM_RSS else badness(k, t, now)
        if points > most or best < 0:
            best, most = t, points
    return best, most


@kfn
def _dump_header(k, t, gfp, order):
    """Log who asks for what, its stack, and all of memory."""
    n = klog(k, t, KLOG_OOM, NIL, gfp, order, k.task[t].oom_adj, 0)
    if n != NIL:
        klog_stack(k, n, t)
        k.klog[n].snapshot = show_mem(k, k.param.oom_dump_tasks)


@kfn
def kill(k, t, victim, verbose):
    """Send SIGKILL and open all reserves. A task in user mode, or throttled as a writer, wakes at once; others do not.

    Source: mm/oom_kill.c:__oom_kill_task. In 2.6.34 balance_dirty_pages sleeps interruptibly.
    """
    task = k.task[victim]
    if verbose:
        klog(k, t, KLOG_OOM_KILLED, victim, task.pid, task.total_vm, anon_rss(k, victim), file_rss(k, victim))
    task.memdie = 1
    task.killed = 1
    if task.depth == 0 or k.frame[victim * MAX_DEPTH + task.depth].fn == FN.balance_dirty_pages:
        wake_task(k, victim)
    k.stat.oom_victims += 1
    emit(k, t, EV.mark_victim, task.pid)


@kfn
def _kill_forked(k, t, parent, now):
    """Kill a forking task's oldest child: a process of its own that dies at once, and its stack with it. True if done.

    Assumed: the child sleeps where a signal reaches it.
    """
    task = k.task[parent]
    if k.job[task.job].kind != JOB_FORK:
        return False
    before, page = _oldest_child(k, parent, now)
    if page == NIL:
        return False
    pid = FIRST_CHILD_PID + k.stat.fork_nr - _nr_forked(k, parent, now)
    order = (k.page[page].pflags >> 24) & 15
    following = k.page[page].lru_next
    if before == NIL:
        task.allocated_head = following
    else:
        k.page[before].lru_next = following
    if following == NIL:
        task.allocated_tail = before
    task.allocated_nr -= 1
    k.stat.stack_pages -= 1 << order
    klog(k, t, KLOG_OOM_KILLED, parent, pid, task.total_vm, 0, 0)
    k.stat.oom_victims += 1
    emit(k, t, EV.mark_victim, pid)
    free_pages(k, t, page, order)
    return True


@kfn
def _oom_kill_task(k, t, victim):
    """Kill it unless that is forbidden, or nothing is left to kill. True if done."""
    if not has_mm(k, victim) or k.task[victim].oom_adj == OOM_DISABLE:
        return False
    kill(k, t, victim, True)
    return True


@kfn
def _oom_kill_process(k, t, victim, points, gfp, order, why, now):
    """Kill the task's first child that can be killed, else the task. True if something was killed."""
    if printk_ratelimit(k, t, RATELIMIT_OOM):
        _dump_header(k, t, gfp, order)
    if has_mm(k, victim) and is_exiting(k, victim):
        kill(k, t, victim, False)
        return True
    klog(k, t, KLOG_OOM_SCORE, victim, points, why, gfp, order)
    if k.param.oom_score == OOM_RSS:
        return _oom_kill_task(k, t, victim)  # no child dies in its parent's place since 5.3
    for child in range(k.param.nr_tasks):
        if k.task[child].parent == victim and not is_exiting(k, child) and _oom_kill_task(k, t, child):
            return True
    if has_mm(k, victim) and k.task[victim].oom_adj != OOM_DISABLE and _kill_forked(k, t, victim, now):
        return True
    return _oom_kill_task(k, t, victim)


@kfn
def _panic(k, t, reason):
    klog(k, t, KLOG_PANIC, NIL, reason, 0, 0, 0)
    k.stat.panic_reason = reason
    k.stat.stop = STOP_PANIC


@kfn
def out_of_memory(k, t, gfp, order):
    """Choose a victim and kill it, or panic if so told. The caller then gives it a tick to die.

    Source: mm/oom_kill.c:out_of_memory, __out_of_memory.
    """
    touch(k, t, LEAF.freelist)
    now = now_of(k, t)
    if k.param.panic_on_oom:
        _dump_header(k, t, gfp, order)
        _panic(k, t, PANIC_ALWAYS if k.param.panic_on_oom == 2 else PANIC_ON_OOM)
        return
    if k.param.oom_kill_allocating and _oom_kill_process(k, t, t, 0, gfp, order, BY_ALLOCATING, now):
        return
    victim, points = _select_bad_process(k, t, now)
    if victim == NIL:
        return
    if victim < 0:
        _dump_header(k, t, gfp, order)
        _panic(k, t, PANIC_NO_VICTIM)
        return
    _oom_kill_process(k, t, victim, points, gfp, order, BY_SCORE, now)
