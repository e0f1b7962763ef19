# SPDX-License-Identifier: GPL-2.0-or-later
"""Tasks that need kernel memory: network buffers, select() callers, forks.

Source: Linux v2.6.34 fs/select.c, kernel/fork.c, net/core/skbuff.c, as far as they allocate.
"""

from pageout.engine.clock import now_of, spend
from pageout.engine.constants import ENTRY, GFP_KERNEL, GFP_NORETRY, GFP_NOWARN, HIST_FORK, NIL, NS_PER_MS
from pageout.engine.kstack import call, ret, touch
from pageout.engine.ledger import observe
from pageout.engine.waitqueue import sleep_until
from pageout.jit import kfn
from pageout.kernel.costs import FORK_NS
from pageout.kernel.frames import FN, LEAF
from pageout.kernel.mm.buddy import free_pages, try_alloc
from pageout.kernel.mm.kmalloc import cache_reap, kfree, kmalloc_take
from pageout.kernel.sched.highorder import JOB_HUGEPAGES, call_for_pages, count_attempt, hold_block

JOB_SELECT, JOB_FORK, JOB_POLL = 2, 3, 21
ENOMEM = -12
GFP_OPTIONAL = GFP_KERNEL | GFP_NORETRY | GFP_NOWARN


@kfn
def periodic(k, t, f, job):
    """One call each interval: receive into a fresh buffer, select(), or fork."""
    CALLED = 1
    if f.pc == CALLED:
        f.pc = 0
        job.issued += 1
        if job.pool and k.task[t].retval == NIL:
            return -1
        job.next_due_ns += job.interval_ns
        if job.next_due_ns < now_of(k, t):
            job.next_due_ns = now_of(k, t)
    done = k.stat.nr_hugepages if job.pool else job.issued
    if k.task[t].killed or (job.count > 0 and done >= job.count) or foreground_over(k, job):
        return -1
    _reap(k, t, job)
    if job.next_due_ns > now_of(k, t):
        return sleep_until(k, t, job.next_due_ns)
    if job.kind == JOB_SELECT:
        return call(k, t, f, FN.sys_select, CALLED, 0, 0, 0)
    if job.kind == JOB_POLL:
        return call(k, t, f, FN.sys_poll, CALLED, 0, 0, 0)
    if job.kind == JOB_FORK:
        return call(k, t, f, FN.sys_clone, CALLED, k.param.stack_order, 0, 0)
    if job.kind == JOB_HUGEPAGES or job.gfp != 0:
        return call_for_pages(k, t, f, CALLED, job)
    return call(k, t, f, FN.sys_recvmsg, CALLED, job.order, 0, 0)


@kfn
def foreground_over(k, job):
    """True once only background tasks are left, of which this is one."""
    return job.background and k.stat.foreground_left == 0 and k.stat.measure_to_ns > 0


@kfn
def _reap(k, t, job):
    """Free what is held too long: buffers beyond `hold`, stacks of children whose life is over; never huge pages."""
    task = k.task[t]
    while task.allocated_head != NIL:
        if job.kind == JOB_FORK:
            age_ms = now_of(k, t) // NS_PER_MS - k.page[task.allocated_head].dirtied_when
            if age_ms < job.lifetime_ns // NS_PER_MS:
                return
        elif task.allocated_nr <= job.hold or job.kind == JOB_HUGEPAGES:
            return
        free_oldest(k, t, job)


@kfn
def free_oldest(k, t, job):
    """Free the block the task has held longest."""
    task = k.task[t]
    page = task.allocated_head
    pg = k.page[page]
    order = (pg.pflags >> 24) & 15
    task.allocated_head = pg.lru_next
    if pg.lru_next == NIL:
        task.allocated_tail = NIL
    task.allocated_nr -= 1
    if job.kind == JOB_FORK:
        k.stat.stack_pages -= 1 << order
    free_pages(k, t, page, order)


@kfn
def keep_page(k, t, page):
    """Let the task own a page of the kernel's until it exits."""
    hold_block(k, t, page, 0)


@kfn
def sys_recvmsg(k, t, f):
    """Allocate one buffer of 2^f.a pages and keep it.

    An order above 0 is tried once, as by a cache that can do with less. Sleeps: yes.
    """
    gfp = GFP_OPTIONAL if f.a > 0 else GFP_KERNEL
    if f.pc == ENTRY:
        spend(k, t, k.param.syscall_ns)
        page = try_alloc(k, t, f.a, gfp)
        if page == NIL:
            return call(k, t, f, FN.alloc_pages, 1, f.a, gfp, 0)
    else:
        page = k.task[t].retval
    count_attempt(k, t, f.a, page)
    if page != NIL:
        hold_block(k, t, page, f.a)
    return ret(k, t, f, 0)


@kfn
def sys_select(k, t, f):
    """select() or poll(). On a diet, what it kept on the stack (832 bytes) is allocated first. Sleeps: yes.

    Source: Linux v2.6.34 fs/select.c:core_sys_select, do_sys_poll; include/linux/poll.h:MAX_STACK_ALLOC.
    """
    POLLED, REFILLED = 1, 2
    if f.pc == POLLED:
        if f.flag:
            kfree(k, t)
        return ret(k, t, f, 0)
    if f.pc == ENTRY:
        spend(k, t, k.param.syscall_ns)
        if k.param.stack_diet:
            cache_reap(k, t)
            touch(k, t, LEAF.kmalloc)
            if not kmalloc_take(k, t):
                return call(k, t, f, FN.kmalloc_refill, REFILLED, 0, 0, 0)
            f.flag = 1
    elif k.task[t].retval == NIL:
        return ret(k, t, f, ENOMEM)
    else:
        f.flag = 1
    return call(k, t, f, FN.do_poll if f.fn == FN.sys_poll else FN.do_select, POLLED, 0, 0, 0)


@kfn
def do_select(k, t, f):
    """Many descriptors are waited for: the table of them needs a page, 1.6 KB down the stack. Sleeps: yes."""
    if f.pc == ENTRY:
        page = try_alloc(k, t, 0, GFP_KERNEL)
        if page == NIL:
            return call(k, t, f, FN.alloc_pages, 1, 0, GFP_KERNEL, 0)
    else:
        page = k.task[t].retval
    if page != NIL:
        free_pages(k, t, page, 0)
    return ret(k, t, f, 0)


@kfn
def sys_clone(k, t, f):
    """Fork: the child's kernel stack is one block of order f.a. Sleeps: yes."""
    if f.pc == ENTRY:
        spend(k, t, FORK_NS)
        f.start_ns = now_of(k, t)
        page = try_alloc(k, t, f.a, GFP_KERNEL)
        if page == NIL:
            return call(k, t, f, FN.alloc_pages, 1, f.a, GFP_KERNEL, 0)
    else:
        page = k.task[t].retval
    count_attempt(k, t, f.a, page)
    k.stat.fork_nr += 1
    observe(k, HIST_FORK, now_of(k, t) - f.start_ns)
    if page != NIL:
        hold_block(k, t, page, f.a)
        k.stat.stack_pages += 1 << f.a
        if k.stat.stack_pages > k.stat.stack_pages_max:
            k.stat.stack_pages_max = k.stat.stack_pages
    return ret(k, t, f, 0)
