# SPDX-License-Identifier: GPL-2.0-or-later
"""Holding writers back: balance_dirty_pages of 2.6.34, in which a throttled writer writes back itself.

Source: Linux v2.6.34 mm/page-writeback.c.
"""

from pageout.engine.clock import now_of
from pageout.engine.constants import ENTRY, NEVER, NIL, THROTTLE_BACKGROUND, THROTTLE_BY_PAUSE, THROTTLE_LIMIT
from pageout.engine.kstack import call, ret
from pageout.engine.ring import emit
from pageout.engine.waitqueue import sleep_on
from pageout.jit import kfn
from pageout.kernel.frames import FN
from pageout.kernel.fs.bdi_work import start_background
from pageout.kernel.mm.balance_dirty import is_check_due
from pageout.kernel.mm.dirty_limits import (
    background_threshold,
    bdi_threshold,
    dirty_threshold,
    trace_dirty_state,
)
from pageout.kernel.policies import holds_writer
from pageout.vocabulary.tracepoints import EV

SUBMIT_WRITER = 3


@kfn
def _throttle_from(k, background, limit):
    """The level at which writers are held: midway between background and limit; a design may choose sooner."""
    if k.param.throttle_start == THROTTLE_BACKGROUND:
        return background
    if k.param.throttle_start == THROTTLE_LIMIT:
        return limit + 1
    return (background + limit) // 2


@kfn
def _limits(k, t, f):
    """Compute limits into the frame: f.a background, f.b limit, f.total the device's share.

    throttle.start=limit: devices have no shares. Source: Linux v2.6.14 mm/page-writeback.c:balance_dirty_pages.
    """
    f.a = background_threshold(k, t)
    f.b = dirty_threshold(k, t)
    f.total = 0 if k.param.throttle_start == THROTTLE_LIMIT else bdi_threshold(k, t, f.c, f.b)
    trace_dirty_state(k, t, f.a, f.b)


@kfn
def _over_its_share(k, t, f):
    """Has the device more dirty and under writeback than its share? A user's policy may put its own test here."""
    if k.param.policy_throttle:
        return holds_writer(k, t, f.c, f.total)
    if k.param.throttle_start == THROTTLE_LIMIT:
        return k.vm.nr_dirty + k.vm.nr_writeback > f.b
    return k.bdi[f.c].reclaimable + k.bdi[f.c].writeback > f.total


@kfn
def _is_held(k, t, f):
    """Is the writer to be held: its device over its share, and the machine over the level where throttling starts?"""
    if not _over_its_share(k, t, f):
        return False
    return k.param.policy_throttle or k.vm.nr_dirty + k.vm.nr_writeback >= _throttle_from(k, f.a, f.b)


@kfn
def balance_dirty_pages(k, t, f):
    """Hold a writer until its device is under its share: it writes other pages back itself, then sleeps.

    f.a, f.b   in: device, pages to write before it may go.  Sleeps: 1, 2, 4 ... ticks, at most 100 ms at a time.
    Emits: balance_dirty_start, balance_dirty_written, balance_dirty_wait, global_dirty_state.
    """
    CHECK, WRITTEN, SLEPT = 1, 2, 3
    task = k.task[t]
    pc = f.pc
    if pc == ENTRY:
        f.c, f.d = f.a, f.b
        f.pause = 1
        pc = CHECK
    device = k.bdi[f.c]
    while True:
        if pc == SLEPT:
            _account_sleep(k, t, f)
            f.pause = f.pause * 2 if f.pause * 2 < k.param.hz // 10 else k.param.hz // 10
            if f.pause < 1:
                f.pause = 1
            pc = CHECK
        elif pc == CHECK:
            _limits(k, t, f)
            if not _is_held(k, t, f):
                return _let_go(k, t, f)
            device.dirty_exceeded = 1
            if device.reclaimable > f.total:
                return _write_back(k, t, f, WRITTEN)
            return _pause(k, t, f, SLEPT)
        else:
            f.nr_written += f.d - task.wbc_nr
            emit(k, t, EV.balance_dirty_written, f.c, f.nr_written)
            task.bdi_writing = f.list_head
            _limits(k, t, f)
            if f.nr_written >= f.d or not _over_its_share(k, t, f):
                return _let_go(k, t, f)
            return _pause(k, t, f, SLEPT)


@kfn
def _write_back(k, t, f, resume):
    """The writer runs a writeback pass itself, over whatever inodes head the device's queue."""
    task = k.task[t]
    task.wbc_nr, task.wbc_more_io, task.wbc_cyclic = f.d, 0, 1
    task.wbc_kupdate, task.wbc_background, task.wbc_sync, task.wbc_older_ns = 0, 0, 0, NEVER
    f.list_head = task.bdi_writing
    task.bdi_writing = f.c
    emit(k, t, EV.balance_dirty_start, f.c)
    return call(k, t, f, FN.writeback_inodes_wb, resume, f.c, SUBMIT_WRITER, 0)


@kfn
def _pause(k, t, f, resume):
    """Sleep for the pause; counted when it ends."""
    f.pc = resume
    f.start_ns = now_of(k, t)
    k.stat.throttle_count += 1
    k.task[t].throttle_count += 1
    asked = f.pause * k.param.jiffy_ns
    k.stat.throttle_asked_ns += asked
    k.task[t].throttle_asked_ns += asked
    emit(k, t, EV.balance_dirty_wait, f.c)
    return sleep_on(k, t, NIL, f.pause, 0)


@kfn
def _account_sleep(k, t, f):
    slept = now_of(k, t) - f.start_ns
    k.stat.throttle_ns += slept
    k.task[t].throttle_ns += slept


@kfn
def _let_go(k, t, f):
    """Release the writer; start background writeback if there is more dirty than the background threshold."""
    device = k.bdi[f.c]
    if k.param.throttle_start == THROTTLE_LIMIT:
        if k.vm.nr_dirty + k.vm.nr_writeback <= f.b:
            device.dirty_exceeded = 0
    elif device.reclaimable + device.writeback < f.total:
        device.dirty_exceeded = 0
    wanted = f.nr_written > 0 if k.param.laptop_mode else k.vm.nr_dirty > f.a
    if wanted and device.work_head == NIL:
        start_background(k, t, f.c)
    return ret(k, t, f, 0)


@kfn
def ratelimit_reached(k, t, bdi):
    """Count a page dirtied on this CPU. Returns the write_chunk, in pages, when it is time to balance, else 0.

    throttle.by=pause: 1 in place of a chunk, nobody writes.
    Source: balance_dirty_pages_ratelimited_nr, sync_writeback_pages.
    """
    if k.param.throttle_by == THROTTLE_BY_PAUSE:
        return 1 if is_check_due(k, t, bdi) else 0
    cpu = k.cpu[k.task[t].cpu]
    limit = k.param.ratelimit_pages
    if k.bdi[bdi].dirty_exceeded:
        limit = 8
    cpu.dirty_count += 1
    if cpu.dirty_count < limit:
        return 0
    dirtied = cpu.dirty_count
    cpu.dirty_count = 0
    if dirtied < k.param.ratelimit_pages:
        dirtied = k.param.ratelimit_pages
    return dirtied + dirtied // 2
