# SPDX-License-Identifier: GPL-2.0-or-later
"""Direct reclaim in a thread with a stack of its own: queue, poke and wait.

Proposed in the discussion of April 2010 (Morton: hand the page to another thread and wait); reference section 18.8. The
caller's depth ends with a wait; the thread's begins at its own base. Costs: two context switches, and callers stand in
line. The threads are asleep at the end of the task table under every other design.
"""

from pageout.engine.clock import spend
from pageout.engine.constants import (
    ENTRY,
    GFP_FS,
    GFP_IO,
    NIL,
    PF_RECLAIMER,
    SWAP_CLUSTER_MAX,
    WORKER_CPU,
    WORKER_FILE,
)
from pageout.engine.kstack import call, ret
from pageout.engine.waitqueue import sleep_on, wake_task
from pageout.jit import kfn
from pageout.kernel.frames import FN
from pageout.kernel.mm.reclaim_entry import stall_begins, stall_ends
from pageout.kernel.mm.writeback_rules import direct_may_write

CONTEXT_SWITCH_NS = 10_000  # assumed: of the order of 10 us with the caches it costs (reference section 18.8)
FILE_ORDER_BATCH = 256  # assumed: eight clusters, so that sorting finds neighbours


@kfn
def _worker_of(k, t):
    """The thread that reclaims for this task: the node's, or that of the CPU it runs on."""
    return k.param.first_worker + (k.task[t].cpu if k.param.reclaim_worker == WORKER_CPU else 0)


@kfn
def hand_to_worker(k, t, f):
    """Queue a request for direct reclaim, wake the thread, wait until it is done.

    f.a, f.b   in: order, GFP flags.  Returns pages reclaimed, 0 if it got nowhere.  Sleeps: yes, killed or not.
    """
    task = k.task[t]
    if f.pc == ENTRY:
        may_write = 1 if direct_may_write(k, f.a) and not k.param.laptop_mode else 0
        stall_begins(k, t, f, f.a, f.b, may_write)
        task.rq_order, task.rq_gfp, task.rq_done, task.rq_next = f.a, f.b, 0, NIL
        worker = _worker_of(k, t)
        queue = k.task[worker]
        if queue.rq_tail == NIL:
            queue.rq_head = t
        else:
            k.task[queue.rq_tail].rq_next = t
        queue.rq_tail = t
        wake_task(k, worker)
        f.pc = 1
    if not task.rq_done:
        return sleep_on(k, t, NIL, 0, 0)
    spend(k, t, CONTEXT_SWITCH_NS)
    stall_ends(k, t, f, task.rq_result)
    return ret(k, t, f, task.rq_result)


@kfn
def _take_batch(k, t, f):
    """Take the first request and all others that allow the same of filesystems and devices, for the largest order.

    A request that may not enter the filesystem keeps apart: its caller may hold what the other would wait for.
    Fields: f.list_head the requests taken, f.order, f.gfp, f.count how many.
    """
    task = k.task[t]
    first = k.task[task.rq_head]
    f.gfp, f.order, f.count = first.rq_gfp, 0, 0
    allows = first.rq_gfp & (GFP_FS | GFP_IO)
    one = task.rq_head
    task.rq_head, task.rq_tail, f.list_head = NIL, NIL, NIL
    last = NIL
    while one != NIL:
        request = k.task[one]
        following = request.rq_next
        request.rq_next = NIL
        if request.rq_gfp & (GFP_FS | GFP_IO) == allows:
            if last == NIL:
                f.list_head = one
            else:
                k.task[last].rq_next = one
            last = one
            f.count += 1
            if request.rq_order > f.order:
                f.order = request.rq_order
        else:
            if task.rq_tail == NIL:
                task.rq_head = one
            else:
                k.task[task.rq_tail].rq_next = one
            task.rq_tail = one
        one = following


@kfn
def _finish(k, f, reclaimed):
    """Tell each caller of the batch what came of it."""
    one = f.list_head
    while one != NIL:
        request = k.task[one]
        following = request.rq_next
        request.rq_next, request.rq_done, request.rq_result = NIL, 1, reclaimed
        wake_task(k, one)
        one = following
    f.list_head = NIL


@kfn
def reclaim_worker(k, t, f):
    """The thread: take what has queued up, reclaim for all of it at once, wake the callers. Sleeps: yes."""
    WOKEN, RECLAIMED = 1, 2
    task = k.task[t]
    if f.pc == RECLAIMED:
        _finish(k, f, task.retval)
    elif f.pc == WOKEN and task.rq_head != NIL:
        spend(k, t, CONTEXT_SWITCH_NS)
    if task.rq_head == NIL:
        f.pc = WOKEN
        return sleep_on(k, t, NIL, 0, 0)
    _take_batch(k, t, f)
    return call(k, t, f, FN.try_to_free_pages, RECLAIMED, f.order, f.gfp, f.count)


@kfn
def cluster_pages(k, t):
    """Pages isolated at a time: 32; a thread that writes in file order takes more, to have something to sort."""
    if k.param.worker_order == WORKER_FILE and k.task[t].tflags & PF_RECLAIMER:
        return FILE_ORDER_BATCH
    return SWAP_CLUSTER_MAX


@kfn
def _before(k, page, other):
    one = k.page[page]
    two = k.page[other]
    return one.mapping < two.mapping or (one.mapping == two.mapping and one.index < two.index)


@kfn
def sort_by_file(k, t):
    """Put the task's private list into the order of inode and index, if this is a thread that writes so."""
    task = k.task[t]
    if k.param.worker_order != WORKER_FILE or not task.tflags & PF_RECLAIMER:
        return
    head, tail = NIL, NIL
    page = task.kept_head
    while page != NIL:
        following = k.page[page].lru_next
        if head == NIL or _before(k, page, head):
            k.page[page].lru_next = head
            head = page
            if tail == NIL:
                tail = page
        elif not _before(k, page, tail):
            k.page[page].lru_next = NIL
            k.page[tail].lru_next = page
            tail = page
        else:
            at = head
            while not _before(k, page, k.page[at].lru_next):
                at = k.page[at].lru_next
            k.page[page].lru_next = k.page[at].lru_next
            k.page[at].lru_next = page
        page = following
    task.kept_head, task.kept_tail = head, tail
