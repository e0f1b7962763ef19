# SPDX-License-Identifier: GPL-2.0-or-later
"""Requests for contiguous memory: huge pages, jumbo frames, driver buffers; and what is counted of them by order.

Source: Linux v2.6.34 mm/hugetlb.c:alloc_fresh_huge_page_node, set_max_huge_pages; net/core/skbuff.c:__netdev_alloc_skb.
"""

from pageout.engine.clock import now_of, spend
from pageout.engine.constants import (
    ENGINE_NODE,
    ENTRY,
    GFP_COMP,
    GFP_HIGHUSER,
    GFP_MOVABLE,
    GFP_NOWARN,
    GFP_REPEAT,
    GFP_THISNODE,
    GFP_WAIT,
    NIL,
    NS_PER_MS,
)
from pageout.engine.kstack import call, ret
from pageout.jit import kfn
from pageout.kernel.frames import FN
from pageout.kernel.mm.buddy import mark_kernel, try_alloc

JOB_HUGEPAGES = 20
HUGETLB_PAGE_ORDER = 9
# Not movable in 2.6.34 unless vm.hugepages_treat_as_movable is set: so each huge page takes a pageblock for the
# unmovable. Movable since they can be migrated (6.1: hugepage_movable_supported).
GFP_HUGEPAGE = GFP_HIGHUSER | GFP_COMP | GFP_THISNODE | GFP_REPEAT | GFP_NOWARN


@kfn
def count_attempt(k, t, order, page):
    """Count a request of order 1 or more, and its failure."""
    if order > 0:
        k.order_stat[order].attempts += 1
        k.stat.highorder_attempts += 1
        k.task[t].nr_highorder += 1
        if page == NIL:
            k.order_stat[order].failures += 1
            k.stat.highorder_failures += 1
            k.task[t].nr_highorder_failed += 1


@kfn
def hold_block(k, t, page, order):
    """Keep a block at the end of the task's list, with the time it was got."""
    task = k.task[t]
    pg = k.page[page]
    mark_kernel(k, page, order)
    pg.lru_next = NIL
    pg.dirtied_when = now_of(k, t) // NS_PER_MS
    if task.allocated_tail == NIL:
        task.allocated_head = page
    else:
        k.page[task.allocated_tail].lru_next = page
    task.allocated_tail = page
    task.allocated_nr += 1


@kfn
def call_for_pages(k, t, f, label, job):
    """Make the system call, or take the interrupt, that asks for the job's next block."""
    if job.kind == JOB_HUGEPAGES:
        gfp = GFP_HUGEPAGE | GFP_MOVABLE if k.param.reclaim_engine == ENGINE_NODE else GFP_HUGEPAGE
        return call(k, t, f, FN.sys_nr_hugepages, label, HUGETLB_PAGE_ORDER, gfp, 0)
    if job.gfp & GFP_WAIT:
        return call(k, t, f, FN.sys_ioctl, label, job.order, job.gfp, 0)
    return call(k, t, f, FN.net_rx_action, label, job.order, job.gfp, 0)


@kfn
def get_pages(k, t, f):
    """Get one block and keep it: a huge page for the pool, a driver's buffer, a receive buffer in softirq context.

    The three differ in the stack above and in what the request allows; without __GFP_WAIT it cannot reclaim.
    f.a, f.b   in: order, GFP flags.  Returns the first page, NIL if there was none.  Sleeps: yes, if the flags allow.
    """
    if f.pc == ENTRY:
        spend(k, t, k.param.syscall_ns)
        page = try_alloc(k, t, f.a, f.b)
        if page == NIL:
            return call(k, t, f, FN.alloc_pages, 1, f.a, f.b, 0)
    else:
        page = k.task[t].retval
    count_attempt(k, t, f.a, page)
    if page != NIL:
        hold_block(k, t, page, f.a)
        if f.fn == FN.sys_nr_hugepages:
            k.stat.nr_hugepages += 1
    return ret(k, t, f, page)
