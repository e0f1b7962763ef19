# SPDX-License-Identifier: GPL-2.0-or-later
"""The OOM killer of a memory cgroup: the group's largest task dies.

Source: Linux v6.1 mm/memcontrol.c:mem_cgroup_out_of_memory; mm/oom_kill.c:out_of_memory, oom_badness. Differs: the OOM
reaper is left out, a victim gives its memory back itself; page tables do not count.
"""

from pageout.engine.constants import KLOG_MEMCG_OOM, KLOG_MEMCG_STAT, KLOG_OOM_SCORE, NIL, OOM_DISABLE, RATELIMIT_OOM
from pageout.engine.klog import klog, klog_stack, printk_ratelimit
from pageout.jit import kfn
from pageout.kernel.mm.memcontrol import memcg_margin
from pageout.kernel.mm.oom_kill import BY_CGROUP, has_mm, is_exiting, kill, oom_badness


@kfn
def _select(k, memcg):
    """The group's task with most memory, and its points; NIL while a victim has not gone yet; -2: nobody."""
    best, most = -2, 0
    for t in range(k.param.nr_tasks):
        if k.task[t].memcg != memcg or not has_mm(k, t):
            continue
        if k.task[t].memdie or is_exiting(k, t):
            return NIL, 0
        if k.task[t].oom_adj == OOM_DISABLE:
            continue
        points = oom_badness(k, t, k.memcg[memcg].memory_max)
        if points > most or best < 0:
            best, most = t, points
    return best, most


@kfn
def mem_cgroup_out_of_memory(k, t, memcg, gfp):
    """Kill in the group, unless it has room again or somebody is dying already. False: nobody can be killed."""
    if memcg_margin(k, memcg) >= 1 or k.task[t].killed:
        return True
    victim, points = _select(k, memcg)
    if victim == NIL:
        return True
    if printk_ratelimit(k, t, RATELIMIT_OOM):
        n = klog(k, t, KLOG_MEMCG_OOM, memcg, gfp, k.task[t].oom_adj, k.memcg[memcg].usage, k.memcg[memcg].event_max)
        klog_stack(k, n, t)
        group = k.memcg[memcg]
        klog(k, t, KLOG_MEMCG_STAT, memcg, group.nr_anon, group.nr_file, group.nr_dirty, group.nr_writeback)
    if victim < 0:
        return False
    klog(k, t, KLOG_OOM_SCORE, victim, points, BY_CGROUP, gfp, 0)
    k.memcg[memcg].event_oom_kill += 1
    kill(k, t, victim, True)
    return True
