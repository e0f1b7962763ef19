# SPDX-License-Identifier: GPL-2.0-or-later
"""What show_mem() would print, kept as numbers of the moment: zones, free blocks, per-CPU lists, LRU lists, tasks.

Source: Linux v2.6.34 lib/show_mem.c:show_mem, mm/page_alloc.c:show_free_areas, mm/oom_kill.c:dump_tasks. Beyond the
kernel's numbers each LRU list is recounted page by page: what keeps its pages from being freed.
"""

from pageout.engine.constants import (
    ENGINE_NODE,
    KLOG_ALLOC_FAILURE,
    MAX_NR_GENS,
    MAX_ORDER,
    NIL,
    NR_LRU,
    PF_KTHREAD,
    PG_DIRTY,
    PG_LOCKED,
    PG_MAPPED,
    PG_SWAPCACHE,
    PG_WRITEBACK,
    PG_YOUNG,
    RATELIMIT_ALLOC,
    T_DEAD,
)
from pageout.engine.klog import klog, klog_stack, printk_ratelimit
from pageout.jit import kfn
from pageout.kernel.mm.buddy import zone_of
from pageout.kernel.mm.lru_gen import gen_row, is_active_gen

JOB_IO, JOB_FORK = 0, 3


@kfn
def anon_rss(k, t):
    """Anonymous pages that the task's page tables map."""
    inode = k.task[t].mm_inode
    return k.inode[inode].nr_mapped if inode != NIL else 0


@kfn
def file_rss(k, t):
    """Mapped pages of the files a task maps; pages that two tasks map are in both their counts."""
    job = k.job[k.task[t].job]
    if job.kind != JOB_IO or not job.mmap:
        return 0
    pages = 0
    for i in range(job.nr_files):
        pages += k.inode[k.file_list[job.file_start + i]].nr_mapped
    return pages


@kfn
def _count_list(k, row, head):
    """Recount one list and add it: how many of its pages each mark keeps, how many none does."""
    nr, dirty, writeback, locked, young, mapped, swapcache, idle = 0, 0, 0, 0, 0, 0, 0, 0
    page = head
    while page != NIL:
        pflags = k.page[page].pflags
        nr += 1
        if pflags & PG_DIRTY:
            dirty += 1
        if pflags & PG_WRITEBACK:
            writeback += 1
        if pflags & PG_LOCKED:
            locked += 1
        if pflags & PG_YOUNG:
            young += 1
        if pflags & PG_MAPPED:
            mapped += 1
        if pflags & PG_SWAPCACHE:
            swapcache += 1
        if not pflags & (PG_DIRTY | PG_WRITEBACK | PG_LOCKED | PG_YOUNG):
            idle += 1
        page = k.page[page].lru_next
    row.nr += nr
    row.dirty += dirty
    row.writeback += writeback
    row.locked += locked
    row.young += young
    row.mapped += mapped
    row.swapcache += swapcache
    row.idle += idle


@kfn
def _blocks(k, row, zone):
    area = zone * MAX_ORDER
    row.nr0, row.nr1, row.nr2 = k.free_area[area].nr, k.free_area[area + 1].nr, k.free_area[area + 2].nr
    row.nr3, row.nr4, row.nr5 = k.free_area[area + 3].nr, k.free_area[area + 4].nr, k.free_area[area + 5].nr
    row.nr6, row.nr7, row.nr8 = k.free_area[area + 6].nr, k.free_area[area + 7].nr, k.free_area[area + 8].nr
    row.nr9, row.nr10 = k.free_area[area + 9].nr, k.free_area[area + 10].nr


@kfn
def _count_generations(k, counts, lru):
    """lru=gen: of all groups, the generations that are active (odd lists), or not."""
    for memcg in range(k.param.nr_memcgs + 1):
        for gen in range(MAX_NR_GENS):
            if is_active_gen(k, memcg, gen) == (lru & 1 == 1):
                for zone in range(k.param.nr_zones):
                    _count_list(k, counts, k.gen_list[gen_row(k, memcg, gen, lru >> 1, zone)].head)


@kfn
def _zone_snapshot(k, at, zone):
    z = k.zone[zone]
    row = k.klog_zone[at]
    row.nr_free, row.isolated_anon, row.isolated_file = z.nr_free, z.isolated_anon, z.isolated_file
    row.nr_dirty, row.nr_writeback, row.pages_scanned = z.nr_dirty, z.nr_writeback, z.pages_scanned
    row.all_unreclaimable, row.unreclaimable_since_ns = z.all_unreclaimable, z.unreclaimable_since_ns
    row.stack_pages = 0
    _blocks(k, row, zone)
    for lru in range(NR_LRU):
        counts = k.klog_list[at * NR_LRU + lru]
        if k.param.reclaim_engine != ENGINE_NODE:
            _count_list(k, counts, k.lru[zone * NR_LRU + lru].head)
        elif zone == 0 and k.param.lru_gen:
            _count_generations(k, counts, lru)
        elif zone == 0:  # the node's lists, of all groups, stand in its first zone
            for memcg in range(k.param.nr_memcgs + 1):
                _count_list(k, counts, k.lru[memcg * NR_LRU + lru].head)
    for cpu in range(k.param.nr_cpus):
        k.klog_pcp[at * k.param.nr_cpus + cpu] = k.pcp[zone * k.param.nr_cpus + cpu].nr


@kfn
def _count_stacks(k, first):
    """Add the stacks of forked children to the zones they lie in."""
    for t in range(k.param.nr_tasks):
        task = k.task[t]
        if task.tflags & PF_KTHREAD or k.job[task.job].kind != JOB_FORK:
            continue
        page = task.allocated_head
        while page != NIL:
            pg = k.page[page]
            k.klog_zone[first + zone_of(k, page)].stack_pages += 1 << ((pg.pflags >> 24) & 15)
            page = pg.lru_next


@kfn
def _dump_tasks(k, snapshot):
    n = 0
    for t in range(k.param.nr_tasks):
        task = k.task[t]
        if task.state == T_DEAD or task.tflags & PF_KTHREAD:
            continue
        row = k.klog_task[snapshot * k.param.nr_tasks + n]
        row.task, row.total_vm, row.anon_rss, row.file_rss, row.cpu = (
            t,
            task.total_vm,
            anon_rss(k, t),
            file_rss(k, t),
            task.cpu,
        )
        n += 1
    return n


@kfn
def show_mem(k, tasks):
    """Keep the state of memory as it is now. Returns the snapshot's number, NIL once all rows are taken."""
    snapshot = k.stat.klog_snapshot_nr
    if snapshot >= k.param.klog_snapshots:
        return NIL
    k.stat.klog_snapshot_nr = snapshot + 1
    row = k.klog_mem[snapshot]
    row.nr_free, row.nr_file = k.vm.nr_free_pages, k.vm.nr_file_pages
    row.nr_dirty, row.nr_writeback, row.swap_free = k.vm.nr_dirty, k.vm.nr_writeback, k.stat.swap_free
    row.nr_tasks = _dump_tasks(k, snapshot) if tasks else 0
    first = snapshot * k.param.nr_zones
    for zone in range(k.param.nr_zones):
        _zone_snapshot(k, first + zone, zone)
    _count_stacks(k, first)
    return snapshot


@kfn
def warn_alloc_failed(k, t, order, gfp):
    """Say "page allocation failure": the request, the stack, the state of memory; at most ten in five seconds.

    Source: Linux v2.6.34 mm/page_alloc.c:__alloc_pages_slowpath, at nopage. The caller looks at __GFP_NOWARN.
    """
    if printk_ratelimit(k, t, RATELIMIT_ALLOC):
        n = klog(k, t, KLOG_ALLOC_FAILURE, NIL, gfp, order, 0, 0)
        if n != NIL:
            klog_stack(k, n, t)
            k.klog[n].snapshot = show_mem(k, 0)
