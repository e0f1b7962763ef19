# SPDX-License-Identifier: GPL-2.0-or-later
"""Work for the flusher threads: how reclaim, writers and sync ask for pages to be written.

Source: Linux v2.6.34 fs/fs-writeback.c:bdi_start_writeback, wakeup_flusher_threads, bdi_queue_work.
"""

from pageout.engine.constants import NIL, TURN_BANDWIDTH
from pageout.engine.ring import emit
from pageout.engine.waitqueue import wake_task
from pageout.jit import kfn
from pageout.vocabulary.tracepoints import EV

ALL_PAGES = 1 << 40


@kfn
def trace_work(k, t, event, bdi, nr_pages, kupdate, cyclic, background, reason=0):
    """Emit one of the events that describe a work item; 2.6.34's know no reason."""
    emit(k, t, event, bdi, -1, nr_pages, 0, kupdate, cyclic, background, reason)


@kfn
def queue_work(k, t, bdi, nr_pages, background, cyclic):
    """Append a work item and wake the flusher. With the pool empty the thread is only woken, as the kernel would."""
    device = k.bdi[bdi]
    work = k.stat.free_work
    if work != NIL:
        item = k.work[work]
        k.stat.free_work = item.next
        k.stat.works_used += 1
        item.used, item.next, item.nr_pages, item.for_kupdate = 1, NIL, nr_pages, 0
        item.for_background, item.range_cyclic = background, cyclic
        if device.work_head == NIL:
            device.work_head = work
        else:
            k.work[device.work_tail].next = work
        device.work_tail = work
        device.work_nr += 1
        trace_work(k, t, EV.writeback_queue, bdi, nr_pages, 0, cyclic, background)
    wake_task(k, device.flusher)


@kfn
def has_dirty_io(k, bdi):
    """True if the device has inodes to write."""
    device = k.bdi[bdi]
    return device.b_dirty != NIL or device.b_io != NIL or device.b_more_io != NIL


@kfn
def wakeup_flusher_threads(k, t, nr_pages):
    """Ask EVERY device that has dirty inodes to write `nr_pages` (0: all that is dirty)."""
    if nr_pages == 0:
        nr_pages = k.vm.nr_dirty
    for bdi in range(k.param.nr_wbs):
        if not has_dirty_io(k, bdi):
            continue
        if k.param.flush_turn == TURN_BANDWIDTH:
            _start_all(k, bdi)
        else:
            queue_work(k, t, bdi, nr_pages, 0, 0)


@kfn
def _start_all(k, bdi):
    """Everything dirty is asked for, once until the flusher has taken it up. Source: Linux v6.1 wb_start_writeback."""
    if not k.bdi[bdi].start_all:
        k.bdi[bdi].start_all = 1
        wake_task(k, k.bdi[bdi].flusher)


@kfn
def start_background(k, t, bdi):
    """Have the device write until below the background threshold: by an item, or since 3.x by waking the flusher."""
    if k.param.flush_turn == TURN_BANDWIDTH:
        wake_task(k, k.bdi[bdi].flusher)
        return
    queue_work(k, t, bdi, ALL_PAGES, 1, 1)
