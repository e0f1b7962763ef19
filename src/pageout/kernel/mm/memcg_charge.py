# SPDX-License-Identifier: GPL-2.0-or-later
"""What a task goes through whose memory cgroup is at a limit: reclaim and the OOM killer at memory.max, reclaim and a
sleep over memory.high.

Source: Linux v6.1 mm/memcontrol.c:try_charge_memcg, reclaim_high, mem_cgroup_handle_over_high, calculate_high_delay,
mem_cgroup_oom; a task that is being killed does not pay for memory.high: v6.8. Differs: no limit on swap, so none of
its penalty; no memory.oom.group.
"""

from pageout.engine.clock import now_of, out_of_slice, spend
from pageout.engine.constants import ENTRY, GFP_KERNEL, GFP_NORETRY, NIL, PF_MEMALLOC, SWAP_CLUSTER_MAX, YIELD
from pageout.engine.kstack import call, ret
from pageout.engine.waitqueue import sleep_on
from pageout.jit import kfn
from pageout.kernel.costs import RESCHED_NS
from pageout.kernel.frames import FN
from pageout.kernel.mm.memcg_oom import mem_cgroup_out_of_memory
from pageout.kernel.mm.memcontrol import charge_page, drain_all_stock, force_charge_page, memcg_margin, pays_at_once
from pageout.kernel.mm.reclaim_throttle import MAX_RECLAIM_RETRIES

ENOMEM = -12
MAX_HIGH_DELAY_S = 2
OVERAGE_SHIFT, SCALING_SHIFT, BATCH_SHIFT = 20, 14, 6
DRAINED, PASSED_OOM, RAISED = 1, 2, 4  # marks of a charge: what has been done for it


@kfn
def try_charge_memcg(k, t, f):
    """Charge the task's next page to its group, reclaiming from the group while it is at memory.max; kill in the end.

    f.a   in: GFP flags.  Returns 0, or -ENOMEM: the task is being killed, or must not try hard.  Sleeps: yes.
    """
    CHARGE, RECLAIMED, PAID = 1, 2, 3
    task, pc = k.task[t], f.pc
    memcg = task.memcg
    if pc == PAID:
        return ret(k, t, f, 0)
    if pc == ENTRY:
        f.count = MAX_RECLAIM_RETRIES
    elif pc == RECLAIMED and not _goes_on(k, t, f, memcg):
        return ret(k, t, f, ENOMEM)
    if task.memcg_reserved or charge_page(k, t):
        if pays_at_once(k, t):
            return call(k, t, f, FN.mem_cgroup_handle_over_high, PAID, f.a, 0, 0)
        return ret(k, t, f, 0)
    if task.tflags & PF_MEMALLOC:
        k.memcg[memcg].event_max += 1
        force_charge_page(k, t)
        return ret(k, t, f, 0)
    if pc == RECLAIMED and out_of_slice(k, t):
        f.pc = CHARGE
        return YIELD
    k.memcg[memcg].event_max += 1
    f.flag |= RAISED
    return call(k, t, f, FN.try_to_free_mem_cgroup_pages, RECLAIMED, 1, f.a, memcg)


@kfn
def _goes_on(k, t, f, memcg):
    """Reclaim for the charge is over: is it worth another try? Fields: f.count tries left, f.flag marks."""
    spend(k, t, RESCHED_NS)
    if memcg_margin(k, memcg) >= 1:
        return True
    if not f.flag & DRAINED:
        drain_all_stock(k, memcg)
        f.flag |= DRAINED
        return True
    if f.a & GFP_NORETRY:
        return False
    if k.task[t].retval > 0:
        return True
    f.count -= 1
    if f.count >= 0:
        return True
    if f.flag & PASSED_OOM and k.task[t].killed:
        return False
    k.memcg[memcg].event_oom += 1
    f.flag |= PASSED_OOM
    f.count = MAX_RECLAIM_RETRIES
    return mem_cgroup_out_of_memory(k, t, memcg, f.a)


@kfn
def calculate_high_delay(usage, high, nr_pages, hz):
    """Jiffies to sleep for pages charged over memory.high: the square of the overage, in seconds, for each page.

    Numbers in, numbers out; pages.  1.0 of overage is 1 << 20.
    """
    if usage <= high:
        return 0
    overage = (usage - high << OVERAGE_SHIFT) // max(high, 1)
    delay = overage * overage * hz >> OVERAGE_SHIFT >> SCALING_SHIFT
    return min(delay * nr_pages >> BATCH_SHIFT, MAX_HIGH_DELAY_S * hz)


@kfn
def mem_cgroup_handle_over_high(k, t, f):
    """On the way back to user mode: reclaim what was charged over memory.high, then sleep for what is left of it.

    f.a   in: GFP flags (0: on the way to user mode).  Sleeps: yes, at most 2 s at the end.
    """
    RECLAIMED, SLEPT = 1, 2
    task, hz = k.task[t], k.param.hz
    group = k.memcg[task.memcg]
    if f.pc == SLEPT:
        group.high_slept_ns += now_of(k, t) - f.start_ns
        return ret(k, t, f, 0)
    reclaimed = 0
    if f.pc == ENTRY:
        f.b, f.c, f.count = task.memcg_over_high, task.memcg_over_high, MAX_RECLAIM_RETRIES
        task.memcg_over_high = 0
    else:
        reclaimed = task.retval
        delay = calculate_high_delay(group.usage, group.memory_high, f.b, hz)
        if delay <= hz // 100 or task.killed:
            return ret(k, t, f, 0)
        if reclaimed == 0:
            f.count -= 1
            if f.count < 0:
                return _sleep(k, t, f, group, delay, SLEPT)
        f.c = SWAP_CLUSTER_MAX
        spend(k, t, RESCHED_NS)
    if group.usage <= group.memory_high or task.killed:
        return ret(k, t, f, 0)
    group.event_high += 1
    gfp = f.a if f.a else GFP_KERNEL
    return call(k, t, f, FN.try_to_free_mem_cgroup_pages, RECLAIMED, f.c, gfp, task.memcg)


@kfn
def _sleep(k, t, f, group, delay, resume):
    group.high_sleeps += 1
    group.high_asked_ns += delay * k.param.jiffy_ns
    f.pc, f.start_ns = resume, now_of(k, t)
    return sleep_on(k, t, NIL, delay, 0)
