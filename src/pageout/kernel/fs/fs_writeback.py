# SPDX-License-Identifier: GPL-2.0-or-later
"""The flusher threads: which inode is written next, and how much of it. Later kernels' are in wb_writeback.py.

Source: Linux v2.6.34 fs/fs-writeback.c, mm/page-writeback.c:write_cache_pages, mm/backing-dev.c.
"""

from pageout.engine.clock import now_of, out_of_slice
from pageout.engine.constants import (
    ENTRY,
    FLUSH_OLDEST,
    FLUSH_PAGE_AGE,
    I_DIRTY_PAGES,
    I_DIRTY_RECLAIM,
    I_SYNC,
    LIST_DIRTY,
    LIST_IO,
    LIST_MORE_IO,
    NEVER,
    NIL,
    NS_PER_S,
    PG_LOCKED,
    PG_WRITEBACK,
    YIELD,
)
from pageout.engine.kstack import call, call_via, ret
from pageout.engine.ring import emit
from pageout.engine.waitqueue import sleep_on, wake_all
from pageout.jit import kfn
from pageout.kernel.frames import FN, LEAF
from pageout.kernel.fs.bdi_work import trace_work
from pageout.kernel.fs.inode_order import oldest_to_the_tail, oldest_window, queue_by_page_age
from pageout.kernel.mm.buddy import zone_of
from pageout.kernel.mm.dirty_limits import over_background
from pageout.kernel.mm.filemap import clear_page_dirty_for_io, find_page, inode_list_add, inode_list_del, next_dirty
from pageout.kernel.mm.wb_rates import begin_writepages, end_writepages
from pageout.kernel.policies import choose_inode
from pageout.vocabulary.tracepoints import EV, FIRST_INO

MAX_WRITEBACK_PAGES = 1024
OLD_DATA_INTERVAL_NS = 5 * NS_PER_S
BUDGET_FLOOR = -(1 << 40)
UNLIMITED = 1 << 40
SUBMIT_FLUSHER, SUBMIT_WRITER = 2, 3
I_DIRTY = 7


@kfn
def bdi_writeback_thread(k, t, f):
    """A device's flusher: do the queued work, then the periodic work, then sleep. f.a in: the device."""
    WORK, WORKED, OLD_WORKED, SLEPT = ENTRY, 1, 2, 3
    pc = f.pc
    while True:
        device = k.bdi[f.a]
        device.writing = 1
        if pc == WORKED or pc == OLD_WORKED:
            f.total += k.task[t].retval
        if pc == WORKED:
            free_work(k, f.work)
        if pc == WORK or pc == WORKED or pc == SLEPT:
            if device.work_head != NIL:
                f.work = take_work(k, t, f.a)
                return call(k, t, f, FN.wb_writeback, WORKED, f.a, f.work, 0)
            if _old_data_due(k, t, f.a):
                return call(k, t, f, FN.wb_writeback, OLD_WORKED, f.a, _old_data_work(k, f.a), 0)
        if pc == OLD_WORKED:
            free_work(k, k.bdi[f.a].old_work)
        if f.total:
            emit(k, t, EV.writeback_pages_written, f.total)
            f.total = 0
        device.writing = 0
        f.pc = SLEPT
        jiffies = k.param.dirty_writeback_ns // k.param.jiffy_ns
        return sleep_on(k, t, NIL, jiffies if jiffies > 0 else 0, 0)


@kfn
def take_work(k, t, bdi):
    """Take the first item: it leaves the queue as it starts, so that others see an empty queue while it runs."""
    device = k.bdi[bdi]
    work = device.work_head
    item = k.work[work]
    device.work_head = item.next
    if item.next == NIL:
        device.work_tail = NIL
    device.work_nr -= 1
    trace_work(k, t, EV.writeback_exec, bdi, item.nr_pages, item.for_kupdate, item.range_cyclic, item.for_background)
    return work


@kfn
def free_work(k, work):
    """Give an item back to the pool."""
    item = k.work[work]
    item.used, item.zone = 0, 0
    item.next = k.stat.free_work
    k.stat.free_work = work
    k.stat.works_used -= 1


@kfn
def _old_data_due(k, t, bdi):
    device = k.bdi[bdi]
    if k.stat.free_work == NIL or k.param.dirty_writeback_ns == 0:
        return False
    if now_of(k, t) < device.last_old_flush_ns + k.param.dirty_writeback_ns:
        return False
    device.last_old_flush_ns = now_of(k, t)
    return k.vm.nr_dirty + k.param.nr_inodes > 0


@kfn
def _old_data_work(k, bdi):
    """The periodic item: everything dirty for longer than dirty_expire. Source: wb_check_old_data_flush."""
    work = k.stat.free_work
    item = k.work[work]
    k.stat.free_work = item.next
    k.stat.works_used += 1
    item.used, item.next, item.nr_pages = 1, NIL, k.vm.nr_dirty + k.param.nr_inodes
    item.for_kupdate, item.for_background, item.range_cyclic = 1, 0, 1
    k.bdi[bdi].old_work = work
    return work


@kfn
def wb_writeback(k, t, f):
    """Work off one item in passes of 1024 pages. f.a, f.b in: device, item. Returns pages written. Sleeps: yes."""
    WRITTEN, INODE_FREE = 1, 2
    pc = f.pc
    item = k.work[f.b]
    task = k.task[t]
    if pc == ENTRY:
        task.wbc_kupdate, task.wbc_background = item.for_kupdate, item.for_background
        task.wbc_cyclic, task.wbc_sync, task.wbc_zone = item.range_cyclic, 0, item.zone
        task.wbc_older_ns = now_of(k, t) - k.param.dirty_expire_ns if item.for_kupdate else NEVER
    elif pc == WRITTEN:
        done = MAX_WRITEBACK_PAGES - task.wbc_nr
        item.nr_pages -= done
        f.total += done
        trace_work(
            k, t, EV.writeback_written, f.a, item.nr_pages, item.for_kupdate, item.range_cyclic, item.for_background
        )
        if task.wbc_nr > 0:
            if not task.wbc_more_io:
                return ret(k, t, f, f.total)
            if done == 0:
                busy = k.bdi[f.a].b_more_io_tail
                if busy != NIL and k.inode[busy].istate & I_SYNC:
                    f.pc = INODE_FREE
                    trace_work(
                        k,
                        t,
                        EV.writeback_wait,
                        f.a,
                        item.nr_pages,
                        item.for_kupdate,
                        item.range_cyclic,
                        item.for_background,
                    )
                    return sleep_on(k, t, k.inode[busy].wait_queue, 0, 0)
    if item.nr_pages <= 0 or (item.for_background and not over_background(k)):
        return ret(k, t, f, f.total)
    task.wbc_nr, task.wbc_more_io = MAX_WRITEBACK_PAGES, 0
    trace_work(k, t, EV.writeback_start, f.a, item.nr_pages, item.for_kupdate, item.range_cyclic, item.for_background)
    return call(k, t, f, FN.writeback_inodes_wb, WRITTEN, f.a, SUBMIT_FLUSHER, 0)


@kfn
def _queue_io(k, t, bdi):
    """Fill b_io: what is parked first, then from b_dirty, oldest first, what is old enough."""
    device = k.bdi[bdi]
    while device.b_more_io != NIL:
        inode = device.b_more_io
        inode_list_del(k, inode)
        inode_list_add(k, bdi, LIST_IO, inode, 1)
    moved = 0
    older = k.task[t].wbc_older_ns
    if k.param.flush_background == FLUSH_OLDEST and k.task[t].wbc_background:
        older = oldest_window(k, t, bdi)
    if k.param.flush_order == FLUSH_PAGE_AGE:
        moved = queue_by_page_age(k, bdi, older)
        older_stamp = -1
    else:
        older_stamp = older
    while device.b_dirty_tail != NIL and k.inode[device.b_dirty_tail].dirtied_when <= older_stamp:
        inode = device.b_dirty_tail
        inode_list_del(k, inode)
        inode_list_add(k, bdi, LIST_IO, inode, 0)
        moved += 1
    age = 0
    if older != NEVER:
        age = (now_of(k, t) - older) // 1_000_000
    emit(k, t, EV.writeback_queue_io, bdi, older // k.param.jiffy_ns if older != NEVER else 0, age, moved)


@kfn
def writeback_inodes_wb(k, t, f):
    """One pass: inodes of b_io from its tail, until the budget is used up. f.a, f.b in: device, submitter."""
    INODES, WRITTEN = 1, 2
    task = k.task[t]
    device = k.bdi[f.a]
    if f.pc == ENTRY:
        f.start_ns = now_of(k, t)
        if not task.wbc_kupdate or device.b_io == NIL:
            _queue_io(k, t, f.a)
    elif f.pc == WRITTEN:
        if task.wbc_nr <= 0:
            task.wbc_more_io = 1
            return ret(k, t, f, 0)
        if device.b_more_io != NIL:
            task.wbc_more_io = 1
    if k.param.flush_order == FLUSH_PAGE_AGE:
        oldest_to_the_tail(k, f.a)
    inode = device.b_io_tail
    if k.param.policy_next_inode:
        inode = choose_inode(k, t, f.a)
    if inode == NIL or k.inode[inode].dirtied_when > f.start_ns:
        return ret(k, t, f, 0)
    if out_of_slice(k, t) and f.flag == 0:
        f.pc, f.flag = INODES, 1
        return YIELD
    f.flag = 0
    return call(k, t, f, FN.writeback_single_inode, WRITTEN, inode, f.b, 0)


@kfn
def redirty_tail(k, t, inode):
    """Back to the head of b_dirty; stamped anew unless it is already at least as new as the head."""
    file = k.inode[inode]
    inode_list_del(k, inode)
    head = k.bdi[file.bdi].b_dirty
    if head != NIL and file.dirtied_when < k.inode[head].dirtied_when:
        file.dirtied_when = now_of(k, t)
    inode_list_add(k, file.bdi, LIST_DIRTY, inode, 0)


@kfn
def requeue_io(k, inode):
    """Park an inode on b_more_io: to be continued soon."""
    file = k.inode[inode]
    inode_list_del(k, inode)
    inode_list_add(k, file.bdi, LIST_MORE_IO, inode, 0)


@kfn
def trace_inode(k, t, event, inode, to_write, wrote, more=0):
    """Emit one of the events that describe an inode's turn. more: bits of its state that only later kernels have."""
    file = k.inode[inode]
    emit(
        k,
        t,
        event,
        file.bdi,
        inode + FIRST_INO,
        file.istate | more,
        file.dirtied_when // k.param.jiffy_ns,
        (now_of(k, t) - file.dirtied_when) // NS_PER_S,
        file.writeback_index,
        to_write,
        wrote,
    )


@kfn
def writeback_single_inode(k, t, f):
    """Write one inode's pages, then decide which list it goes to. f.a, f.b in: inode, submitter. Sleeps: yes."""
    UNLOCKED, WRITTEN = 1, 2
    file = k.inode[f.a]
    task = k.task[t]
    if f.pc == ENTRY or f.pc == UNLOCKED:
        if file.istate & I_SYNC:
            if not task.wbc_sync:
                requeue_io(k, f.a)
                trace_inode(k, t, EV.writeback_single_inode_requeue, f.a, task.wbc_nr, 0)
                return ret(k, t, f, 0)
            f.pc = UNLOCKED
            return sleep_on(k, t, file.wait_queue, 0, 0)
        file.istate |= I_SYNC
        file.istate &= ~(I_DIRTY | I_DIRTY_RECLAIM)
        f.nr_to_write = task.wbc_nr
        begin_writepages(k, t, file.bdi)
        return call(k, t, f, file.writepages, WRITTEN, f.a, f.b, 0)
    end_writepages(k, t, file.bdi)
    file.istate &= ~I_SYNC
    _file_away(k, t, f.a)
    trace_inode(k, t, EV.writeback_single_inode, f.a, f.nr_to_write, f.nr_to_write - task.wbc_nr)
    wake_all(k, file.wait_queue)
    return ret(k, t, f, 0)


@kfn
def _file_away(k, t, inode):
    """The rules by which an inode goes back to b_dirty, is parked, or leaves the lists clean."""
    file = k.inode[inode]
    task = k.task[t]
    if file.unlinked:
        inode_list_del(k, inode)
        return
    if file.istate & I_DIRTY_PAGES and task.wbc_kupdate:
        more = 1
    elif file.istate & I_DIRTY:
        redirty_tail(k, t, inode)
        return
    else:
        more = 1 if file.nr_dirty > 0 else 0
    if not more:
        inode_list_del(k, inode)
        return
    file.istate |= I_DIRTY_PAGES
    if task.wbc_kupdate and task.wbc_nr <= 0:
        requeue_io(k, inode)
    else:
        redirty_tail(k, t, inode)


@kfn
def _next_to_write(k, f):
    """The next dirty page of the inode in file order, from where the last pass stopped, wrapping round once."""
    found = next_dirty(k, f.inode, f.index, f.left)
    if found == NIL and f.flag:
        f.flag = 0
        f.index, f.left = 0, f.pos
        found = next_dirty(k, f.inode, f.index, f.left)
    return found


@kfn
def write_cache_pages(k, t, f):
    """Write an inode's dirty pages in ascending order, at most task.wbc_nr calls of writepage.

    f.a, f.b   in: inode, submitter.  Leaves task.wbc_nr reduced by the number of CALLS, as 2.6.34 counts (for work that
    carries a zone, of calls for its pages: Gorman, RFC of 4 August 2010); f.c is the
    budget the filesystem sees, which it multiplies by four at each call and pays its clustered pages from.
    """
    NEXT, WRITTEN, WAITED = 1, 2, 3
    task = k.task[t]
    pc = f.pc
    if pc == ENTRY:
        f.inode = f.a
        file = k.inode[f.inode]
        f.nr_to_write, f.c = task.wbc_nr, task.wbc_nr
        f.pos = file.writeback_index if task.wbc_cyclic else 0
        f.flag = 1 if f.pos > 0 else 0
        f.index = f.pos
        f.left = file.nr_slots
    elif pc == WRITTEN:
        f.nr_to_write -= f.count
        f.index += 1 + task.retval
        f.c -= task.retval
        if f.c < BUDGET_FLOOR:
            f.c = BUDGET_FLOOR
        if (f.nr_to_write <= 0 and not task.wbc_sync) or out_of_slice(k, t):
            if f.nr_to_write <= 0 and not task.wbc_sync:
                return _end_cache_pages(k, t, f)
            f.pc = NEXT
            return YIELD
    while True:
        index = _next_to_write(k, f)
        if index == NIL:
            return _end_cache_pages(k, t, f)
        f.index = index
        page = find_page(k, f.inode, index)
        pflags = k.page[page].pflags
        if pflags & PG_LOCKED or (pflags & PG_WRITEBACK and task.wbc_sync):
            return call(k, t, f, FN.wait_on_page, WAITED, page, pflags & (PG_LOCKED | PG_WRITEBACK), 0)
        if pflags & PG_WRITEBACK:
            f.index += 1
            continue
        k.bdi[k.inode[f.inode].bdi].flushed_dirtied_ms = k.page[page].dirtied_when
        clear_page_dirty_for_io(k, page)
        return _writepage(k, t, f, page, WRITTEN)


@kfn
def _writepage(k, t, f, page, WRITTEN):
    task = k.task[t]
    k.page[page].pflags |= PG_LOCKED
    f.count = 1 if task.wbc_zone == 0 or zone_of(k, page) == task.wbc_zone - 1 else 0
    emit(
        k,
        t,
        EV.wbc_writepage,
        k.inode[f.inode].bdi,
        f.nr_to_write,
        0,
        task.wbc_sync,
        task.wbc_kupdate,
        task.wbc_background,
        0,
        task.wbc_cyclic,
        0,
        (1 << 63) - 1,
    )
    writepage = k.inode[f.inode].writepage
    if writepage != FN.xfs_vm_writepage:
        return call(k, t, f, writepage, WRITTEN, page, f.b, 1)
    f.c = f.c * 4 if f.c < UNLIMITED else UNLIMITED
    budget = f.c if f.c > 1 else 1
    return call_via(k, t, f, FN.xfs_vm_writepage, WRITTEN, LEAF.writepage, page, f.b, budget)


@kfn
def _end_cache_pages(k, t, f):
    """Remember where to go on, and hand back what is left of the budget."""
    file = k.inode[f.inode]
    if k.task[t].wbc_cyclic or f.nr_to_write > 0:
        file.writeback_index = f.index
    k.task[t].wbc_nr = f.nr_to_write
    return ret(k, t, f, 0)
