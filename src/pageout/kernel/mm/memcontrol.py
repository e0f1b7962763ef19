# SPDX-License-Identifier: GPL-2.0-or-later
"""Memory cgroups: what a group is charged for, and what it may hold. Group 0 is the root, which has no limits.

A CPU charges 64 pages at a time and keeps the rest in stock. A task's next page is charged to its group before it is
allocated (memcg_reserved), and so belongs to somebody all along.
Source: Linux v6.1 mm/memcontrol.c:try_charge_memcg, consume_stock, refill_stock, drain_all_stock, uncharge_batch.
Differs: the kernel charges a page it has allocated; a CPU has a stock for one group (6.18: seven); only pages of files
and anonymous memory are charged, no slab, no stacks, no filesystem's own metadata; one level of groups; the counters of
memory.stat are exact, where the kernel's lag.
"""

from pageout.engine.constants import (
    LRU_ACTIVE_ANON,
    LRU_INACTIVE_ANON,
    LRU_INACTIVE_FILE,
    MEMCG_CHARGE_BATCH,
    NIL,
    NR_LRU,
    PF_KSWAPD,
    PF_MEMALLOC,
    PG_SWAPBACKED,
)
from pageout.jit import kfn


@kfn
def lru_size(k, memcg, lru):
    """Pages on a list of a group; of the root (0): on those of all groups, as the kernel counts the root's."""
    if memcg or k.param.nr_memcgs == 0:
        return k.lru[memcg * NR_LRU + lru].nr
    if lru == LRU_INACTIVE_ANON:
        return k.vm.nr_inactive_anon
    if lru == LRU_ACTIVE_ANON:
        return k.vm.nr_active_anon
    return k.vm.nr_inactive_file if lru == LRU_INACTIVE_FILE else k.vm.nr_active_file


@kfn
def memcg_margin(k, memcg):
    """Pages that may still be charged. Source: mem_cgroup_margin."""
    group = k.memcg[memcg]
    return max(group.memory_max - group.usage, 0)


@kfn
def _charged(group, nr_pages):
    group.usage += nr_pages
    if group.usage > group.peak:
        group.peak = group.usage


@kfn
def drain_stock(k, cpu):
    """Give back what a CPU has in stock."""
    stock = k.cpu[cpu]
    if stock.stock_nr > 0:
        k.memcg[stock.stock_memcg].usage -= stock.stock_nr
    stock.stock_nr = 0


@kfn
def drain_all_stock(k, memcg):
    """Give back what all CPUs have in stock for a group; at once, where the kernel sends each CPU a message."""
    for cpu in range(k.param.nr_cpus):
        if k.cpu[cpu].stock_memcg == memcg:
            drain_stock(k, cpu)


@kfn
def charge_page(k, t):
    """Charge one page to the task's group: from the CPU's stock, or with a batch for it. Returns 1, or 0 at the limit.

    Over memory.high the pages are noted; the task pays for them later.
    """
    task = k.task[t]
    group, stock = k.memcg[task.memcg], k.cpu[task.cpu]
    if stock.stock_memcg == task.memcg and stock.stock_nr > 0:
        stock.stock_nr -= 1
        task.memcg_reserved = 1
        return 1
    batch = MEMCG_CHARGE_BATCH
    if group.usage + batch > group.memory_max:
        batch = 1
        if group.usage + 1 > group.memory_max:
            return 0
    _charged(group, batch)
    if batch > 1:
        if stock.stock_memcg != task.memcg:
            drain_stock(k, task.cpu)
            stock.stock_memcg = task.memcg
        stock.stock_nr += batch - 1
    task.memcg_reserved = 1
    if group.usage > group.memory_high:
        task.memcg_over_high += batch
    return 1


@kfn
def force_charge_page(k, t):
    """Charge one page whatever the limit: memory that is to free memory must not be refused."""
    _charged(k.memcg[k.task[t].memcg], 1)
    k.task[t].memcg_reserved = 1


@kfn
def pays_at_once(k, t):
    """Is the task so much over memory.high that it must not wait until it returns to user mode?"""
    task = k.task[t]
    return task.memcg_over_high > MEMCG_CHARGE_BATCH and not task.tflags & PF_MEMALLOC


@kfn
def may_charge(k, t):
    """Charge the page the task is about to allocate. False: the group is at a limit, and try_charge_memcg is needed."""
    task = k.task[t]
    if task.memcg == 0 or task.memcg_reserved:
        return True
    return charge_page(k, t) and not pays_at_once(k, t)


@kfn
def commit_charge(k, t, page):
    """The page just allocated is the one that was charged."""
    task = k.task[t]
    if task.memcg_reserved:
        task.memcg_reserved = 0
        k.page[page].memcg = task.memcg


@kfn
def uncharge_reserve(k, t):
    """A task that exits does not use the page it has charged."""
    task = k.task[t]
    if task.memcg_reserved:
        task.memcg_reserved = 0
        k.memcg[task.memcg].usage -= 1


@kfn
def count_charged(k, page, pflags, delta):
    """A charged page comes into a file or anonymous memory, or leaves it; then it is no longer charged."""
    group = k.memcg[k.page[page].memcg]
    if pflags & PG_SWAPBACKED:
        group.nr_anon += delta
    else:
        group.nr_file += delta
    if delta < 0:
        group.usage -= 1
        k.page[page].memcg = 0


@kfn
def count_group_scan(k, t, nr):
    """Pages of a group (the root: its own) that were scanned; reclaim for a limit does not count for the machine."""
    group = k.memcg[k.task[t].sc_vec]
    if k.task[t].tflags & PF_KSWAPD:
        group.pgscan_kswapd += nr
    else:
        group.pgscan_direct += nr


@kfn
def count_group_steal(k, t, nr):
    """As count_group_scan, of pages freed."""
    group = k.memcg[k.task[t].sc_vec]
    if k.task[t].tflags & PF_KSWAPD:
        group.pgsteal_kswapd += nr
    else:
        group.pgsteal_direct += nr


@kfn
def next_group(k, t, last):
    """The group whose lists are scanned after `last` (NIL: none yet); NIL when the walk is over.

    For a group's own limit it is that group. Else it is every group, the root first; or, where several walks are one
    (memcg.walk=part), the next that no walk of this turn has seen.
    Source: Linux v6.12 mm/memcontrol.c:mem_cgroup_iter, mm/vmscan.c:shrink_node_memcgs.
    """
    task = k.task[t]
    if task.sc_memcg:
        return task.sc_memcg if last == NIL else NIL
    if task.sc_full_walk:
        return last + 1 if last < k.param.nr_memcgs else NIL
    root = k.memcg[0]
    if last == NIL:
        task.sc_walk_turn = root.walk_turn
    elif task.sc_walk_turn != root.walk_turn:
        return NIL
    root.walk_last += 1
    if root.walk_last > k.param.nr_memcgs:
        root.walk_last = NIL
        root.walk_turn += 1
        if last != NIL:
            return NIL
        root.walk_last = 0
    return root.walk_last
