# SPDX-License-Identifier: GPL-2.0-or-later
"""The flusher since Linux 3.2: whole turns of half a second's bandwidth for each inode, oldest first.

What 2.6.34 did stands beside it, in fs_writeback.py, which also has what both share.
Source: Linux v6.1 fs/fs-writeback.c (wb_workfn, wb_do_writeback, wb_writeback, queue_io, writeback_sb_inodes,
requeue_inode).  Differs: one superblock a device; only WB_SYNC_NONE work, since fsync writes its file itself.
"""

from pageout.engine.clock import jiffies_of, now_of, out_of_slice
from pageout.engine.constants import (
    ENTRY,
    I_DIRTY_PAGES,
    I_SYNC,
    LIST_IO,
    LIST_MORE_IO,
    NEVER,
    NIL,
    NS_PER_MS,
    REQUEUE_CHUNK,
    YIELD,
)
from pageout.engine.kstack import call, ret
from pageout.engine.ring import emit
from pageout.engine.waitqueue import sleep_on, wake_all
from pageout.jit import kfn
from pageout.kernel.frames import FN
from pageout.kernel.fs.bdi_work import has_dirty_io, trace_work
from pageout.kernel.fs.fs_writeback import (
    I_DIRTY,
    SUBMIT_FLUSHER,
    free_work,
    redirty_tail,
    requeue_io,
    take_work,
    trace_inode,
)
from pageout.kernel.mm.dirty_limits import background_threshold
from pageout.kernel.mm.dirty_throttle import writeback_chunk_size
from pageout.kernel.mm.filemap import inode_list_add, inode_list_del
from pageout.kernel.mm.memcg_dirty import group_dirty_limits, split_pages
from pageout.kernel.mm.wb_rates import begin_writepages, device_share, end_writepages, group_share
from pageout.vocabulary.tracepoints import EV, I_SYNC_QUEUED, REASON_BACKGROUND, REASON_PERIODIC, REASON_VMSCAN

PASS_NS = 100 * NS_PER_MS  # after so long a batch of inodes ends: HZ/10
UNLIMITED = (1 << 63) - 1  # pages of background work


@kfn
def over_background_of(k, bdi):
    """Is more dirty, not under writeback, than the background threshold: of the machine, or of this device's share?

    Source: wb_over_bg_thresh.
    """
    background, device = background_threshold(k, NIL), k.bdi[bdi]
    if k.vm.nr_dirty > background or device.reclaimable > device_share(k, bdi, background, k.vm.nr_dirty):
        return True
    return device.memcg > 0 and _group_over_background(k, bdi)


@kfn
def _group_over_background(k, bdi):
    """The same of the limits of the memory cgroup whose writeback it is."""
    device = k.bdi[bdi]
    dirty = k.memcg[device.memcg].nr_dirty
    background, _ = group_dirty_limits(k, device.memcg, dirty, k.vm.nr_dirty)
    return dirty > background or device.reclaimable > group_share(k, bdi, background, dirty)


@kfn
def _next_work(k, t, bdi):
    """The next item, in the order of wb_do_writeback: queued, all at once for reclaim, periodic, background; or NIL."""
    device = k.bdi[bdi]
    if device.work_head != NIL:
        return take_work(k, t, bdi)
    everything = k.vm.nr_dirty + k.param.nr_inodes
    now = now_of(k, t)
    if device.start_all:
        device.start_all = 0
        return _item(k, split_pages(k, bdi, everything), 0, 0, 1)
    if k.param.dirty_writeback_ns > 0 and now >= device.last_old_flush_ns + k.param.dirty_writeback_ns:
        device.last_old_flush_ns = now
        if everything > 0:
            return _item(k, everything, 1, 0, 1)
    if over_background_of(k, bdi):
        return _item(k, UNLIMITED, 0, 1, 1)
    return NIL


@kfn
def _item(k, nr_pages, for_kupdate, for_background, range_cyclic):
    """A work item that was never queued; NIL if the pool is empty."""
    work = k.stat.free_work
    if work == NIL:
        return NIL
    item = k.work[work]
    k.stat.free_work = item.next
    k.stat.works_used += 1
    item.used, item.next, item.nr_pages = 1, NIL, nr_pages
    item.for_kupdate, item.for_background, item.range_cyclic = for_kupdate, for_background, range_cyclic
    return work


@kfn
def wb_workfn(k, t, f):
    """A device's flusher: all work there is, then sleep for an interval, or until an inode is dirty. f.a in: device."""
    WORKED, SLEPT = 1, 2
    device = k.bdi[f.a]
    if f.pc == WORKED:
        f.total += k.task[t].retval
        f.flag = k.work[f.work].for_background
        free_work(k, f.work)
    if f.pc == SLEPT:
        f.flag = 0
    device.writing, device.timer_armed = 1, 0
    is_over = f.flag and device.work_head == NIL and not device.start_all  # a round ends with background work
    work = NIL if is_over else _next_work(k, t, f.a)
    if work != NIL:
        f.work = work
        return call(k, t, f, FN.wb_writeback, WORKED, f.a, work, 0)
    emit(k, t, EV.writeback_pages_written, f.total)
    f.total, f.flag, f.pc = 0, 0, SLEPT
    device.writing = 0
    jiffies = _interval(k, t, device) // k.param.jiffy_ns if has_dirty_io(k, f.a) else 0
    device.timer_armed = 1 if jiffies > 0 else 0
    return sleep_on(k, t, NIL, jiffies, 0)


@kfn
def _interval(k, t, device):
    """How long a flusher with dirty inodes sleeps; of one that had some when the run started, what is left of it."""
    interval = k.param.dirty_writeback_ns
    if device.last_old_flush_ns < 0:
        interval = max(device.last_old_flush_ns + interval - now_of(k, t), min(k.param.jiffy_ns, interval))
    return interval


@kfn
def wb_writeback_turns(k, t, f):
    """Work off one item, batch by batch, until it is done or no longer wanted. f.a, f.b in: device, item."""
    WRITTEN, INODE_FREE = 1, 2
    item, device = k.work[f.b], k.bdi[f.a]
    if f.pc == ENTRY:
        f.start_ns = now_of(k, t)
        k.task[t].wbc_kupdate, k.task[t].wbc_background = item.for_kupdate, item.for_background
        k.task[t].wbc_cyclic, k.task[t].wbc_sync, k.task[t].wbc_zone = item.range_cyclic, 0, 0
    elif f.pc == WRITTEN:
        progress = k.task[t].retval
        f.total += progress
        _trace(k, t, EV.writeback_written, f.a, item)
        if progress == 0 and (f.flag or k.param.flush_requeue == REQUEUE_CHUNK):
            busy = device.b_more_io_tail
            if busy == NIL:
                return ret(k, t, f, f.total)
            _trace(k, t, EV.writeback_wait, f.a, item)
            if k.inode[busy].istate & I_SYNC:
                f.pc = INODE_FREE
                return sleep_on(k, t, k.inode[busy].wait_queue, 0, 0)
    if not _is_wanted(k, f.a, item):
        return ret(k, t, f, f.total)
    before = f.start_ns
    if item.for_kupdate:
        before = now_of(k, t) - k.param.dirty_expire_ns
    elif item.for_background:
        before = now_of(k, t)
    _trace(k, t, EV.writeback_start, f.a, item)
    if device.b_io == NIL:
        f.flag = 1
        _queue_io(k, t, f.a, before, reason_of(item))
    return call(k, t, f, FN.writeback_inodes_wb, WRITTEN, f.a, f.b, 0)


@kfn
def _is_wanted(k, bdi, item):
    """Background and periodic work give way to any that is queued; background ends below its threshold."""
    if item.nr_pages <= 0:
        return False
    if (item.for_background or item.for_kupdate) and k.bdi[bdi].work_head != NIL:
        return False
    return not item.for_background or over_background_of(k, bdi)


@kfn
def reason_of(item):
    """Why a work item is done: what is neither background nor periodic was asked for by reclaim, since no sync is."""
    if item.for_background:
        return REASON_BACKGROUND
    return REASON_PERIODIC if item.for_kupdate else REASON_VMSCAN


@kfn
def _trace(k, t, event, bdi, item):
    cyclic, reason = item.range_cyclic, reason_of(item)
    trace_work(k, t, event, bdi, item.nr_pages, item.for_kupdate, cyclic, item.for_background, reason)


@kfn
def _queue_io(k, t, bdi, before, reason):
    """Fill b_io: what was parked first, then from b_dirty, oldest first, what was dirtied by `before`."""
    device = k.bdi[bdi]
    while device.b_more_io != NIL:
        inode = device.b_more_io
        inode_list_del(k, inode)
        inode_list_add(k, bdi, LIST_IO, inode, 1)
    moved = 0
    while device.b_dirty_tail != NIL and k.inode[device.b_dirty_tail].dirtied_when <= before:
        inode = device.b_dirty_tail
        inode_list_del(k, inode)
        inode_list_add(k, bdi, LIST_IO, inode, 0)
        moved += 1
    age_ms = (now_of(k, t) - before) // NS_PER_MS
    emit(k, t, EV.writeback_queue_io, bdi, jiffies_of(k, before), age_ms, moved, reason)


@kfn
def writeback_sb_inodes(k, t, f):
    """Write inodes of b_io from its tail, a chunk of each, until something was written and 100 ms are over.

    f.a, f.b   in: device, item.  Returns pages written, and one for each inode that became clean.  Sleeps: yes.
    """
    INODES, WRITTEN = 1, 2
    device, item, task = k.bdi[f.a], k.work[f.b], k.task[t]
    if f.pc == ENTRY:
        f.start_ns = now_of(k, t)
    elif f.pc == WRITTEN:
        end_writepages(k, t, f.a)
        wrote = f.nr_to_write - task.wbc_nr
        item.nr_pages -= wrote
        f.total += wrote if wrote > 0 else 0
        f.total += _end_turn(k, t, f.inode, f.nr_to_write, wrote)
        before = f.start_ns - k.param.dirty_expire_ns * item.for_kupdate
        _requeue(k, t, f.inode, f.nr_to_write, wrote, before)
        if f.total > 0 and (now_of(k, t) - f.start_ns > PASS_NS or item.nr_pages <= 0):
            return ret(k, t, f, f.total)
    while device.b_io_tail != NIL:
        if out_of_slice(k, t) and f.flag == 0:
            f.pc, f.flag = INODES, 1
            return YIELD
        f.flag = 0
        inode = device.b_io_tail
        if not k.inode[inode].istate & I_SYNC:
            return _write_inode(k, t, f, inode, item, WRITTEN)
        requeue_io(k, inode)
        _trace_inode(k, t, EV.writeback_single_inode_requeue, inode, task.wbc_nr, 0)
    return ret(k, t, f, f.total)


@kfn
def _write_inode(k, t, f, inode, item, resume):
    """Give the inode its turn. Source: __writeback_single_inode."""
    file, device = k.inode[inode], k.bdi[f.a]
    file.istate |= I_SYNC
    f.inode = inode
    f.nr_to_write = writeback_chunk_size(device.avg_bandwidth, k.stat.dirty_limit, item.nr_pages)
    k.task[t].wbc_nr, k.task[t].wbc_older_ns = f.nr_to_write, NEVER
    _trace_inode(k, t, EV.writeback_single_inode_start, inode, f.nr_to_write, 0)
    begin_writepages(k, t, f.a)
    return call(k, t, f, file.writepages, resume, inode, SUBMIT_FLUSHER, 0)


@kfn
def _end_turn(k, t, inode, chunk, wrote):
    """What is dirty now is what the inode's pages say. Returns 1 if it is clean. Source: as above, its end."""
    file = k.inode[inode]
    file.istate &= ~I_DIRTY
    if file.nr_dirty > 0:
        file.istate |= I_DIRTY_PAGES
    _trace_inode(k, t, EV.writeback_single_inode, inode, chunk, wrote)
    return 0 if file.nr_dirty > 0 else 1


@kfn
def _trace_inode(k, t, event, inode, to_write, wrote):
    """An inode on its way through b_io and b_more_io has a flag of its own, which here its list says."""
    kind = k.inode[inode].list_kind
    more = I_SYNC_QUEUED if kind == LIST_IO or kind == LIST_MORE_IO else 0
    trace_inode(k, t, event, inode, to_write, wrote, more)


@kfn
def _requeue(k, t, inode, chunk, wrote, before):
    """Where the inode goes after its turn: on if its chunk is used up, back to wait if it is stuck, off if clean.

    flusher.requeue=age: back to wait, too, if it was not dirtied by `before`.  Source: Linux v6.12 requeue_inode.
    """
    file = k.inode[inode]
    file.istate &= ~I_SYNC
    if file.unlinked:
        inode_list_del(k, inode)
    elif file.nr_dirty > 0:
        if wrote >= chunk and (k.param.flush_requeue == REQUEUE_CHUNK or file.dirtied_when <= before):
            requeue_io(k, inode)
        else:
            redirty_tail(k, t, inode)
    else:
        inode_list_del(k, inode)
    wake_all(k, file.wait_queue)
