# SPDX-License-Identifier: GPL-2.0-or-later
"""Writeback throttling: how many buffered writes are with the device at once, by how long reads take.

A write that is over the limit makes its submitter sleep in rq_qos_wait. Each window of 100 ms or less, slow reads make
the depths smaller, quick ones or none larger.
Source: Linux v6.1 block/blk-wbt.c (get_limit, wbt_rqw_done, latency_exceeded, wb_timer_fn), block/blk-rq-qos.c
(rq_depth_calc_max_depth).  Differs: kswapd's writes, or swap's since 6.12, have no count of their own; discards and
direct I/O are not made.
"""

from pageout.engine.clock import jiffies_of, now_of, post
from pageout.engine.constants import EV_WBT, NIL, PF_KSWAPD
from pageout.engine.kstack import ret
from pageout.engine.waitqueue import sleep_on, timeout_jiffies, wake_all
from pageout.jit import kfn

DEFAULT_DEPTH = 16  # RWB_DEF_DEPTH
WINDOW_NS = 100_000_000
LEAST_WRITES = 3  # in a window, for reads in it to count as a mix
UNKNOWN_BUMP = 5  # windows without a mix until the depth drifts back
EXCEEDED, FINE, WRITES_ONLY, UNKNOWN = 0, 1, 2, 3


@kfn
def max_depth(queue_depth, step):
    """(depth, is it the most?) at a step: halved for each above 0, doubled for each below."""
    if queue_depth == 1:
        return (1, 0) if step > 0 else (2, 1)
    depth = DEFAULT_DEPTH if DEFAULT_DEPTH < queue_depth else queue_depth
    if step > 0:
        return 1 + ((depth - 1) >> (step if step < 31 else 31)), 0
    if step < 0:
        most = 3 * queue_depth // 4
        depth = 1 + ((depth - 1) << (-step if step > -20 else 20))
        if depth > most:
            return most, 1
    return depth, 0


@kfn
def set_depths(k, queue):
    """Compute the depths of the queue's step. Source: calc_wb_limits."""
    q = k.queue[queue]
    q.wbt_max, q.wbt_scaled_max = max_depth(q.nr_tags, q.wbt_step)
    if q.wbt_max <= 2:
        q.wbt_normal, q.wbt_background = q.wbt_max, 1
    else:
        q.wbt_normal, q.wbt_background = (q.wbt_max + 1) // 2, (q.wbt_max + 3) // 4


@kfn
def _recent(k, when_ns, now, jiffies):
    """Did this happen less than so many jiffies ago? NIL: never."""
    return when_ns != NIL and jiffies_of(k, now) < jiffies_of(k, when_ns) + jiffies


@kfn
def _writer_waited(k, q, now):
    """Has a task slept in balance_dirty_pages on this device within a second?"""
    return _recent(k, q.bdp_sleep_ns, now, k.param.hz)


@kfn
def limit_of(k, t, queue, background):
    """How many writes may be under way for one more to go. Source: get_limit."""
    q = k.queue[queue]
    now = now_of(k, t)
    if _writer_waited(k, q, now) or k.task[t].tflags & PF_KSWAPD:
        return q.wbt_max
    if background or _recent(k, q.last_read_ns, now, timeout_jiffies(k, 10)):
        return q.wbt_background
    return q.wbt_normal


@kfn
def wbt_admits(k, t, queue, bio):
    """Count a bio as under way if it may be. Reads always may; that there was one is remembered."""
    q, b = k.queue[queue], k.bio[bio]
    if q.wbt_target_ns == 0 or b.tracked:
        return True
    if not b.is_write:
        q.last_read_ns = now_of(k, t)
        return True
    if q.wbt_inflight >= limit_of(k, t, queue, b.background):
        return False
    q.wbt_inflight += 1
    b.tracked = 1
    if not q.wbt_armed:
        _arm(k, queue, now_of(k, t))
    return True


@kfn
def rq_qos_wait(k, t, f):
    """Sleep until one more write may go. f.a, f.b in: queue, 1 for a background write.

    Source: Linux v6.1 block/blk-rq-qos.c:rq_qos_wait.
    """
    q = k.queue[f.a]
    if q.wbt_inflight < limit_of(k, t, f.a, f.b):
        return ret(k, t, f, 0)
    f.pc = 1
    return sleep_on(k, t, q.wbt_wait, 0, 1)


@kfn
def wbt_issued(q, request, is_write, now):
    """Remember a read that has gone to the device, until it is back: one at a time."""
    if q.wbt_target_ns > 0 and not is_write and q.wbt_sync == NIL:
        q.wbt_sync, q.wbt_sync_ns = request, now


@kfn
def wbt_completed(k, queue, request):
    """The device is done with a request: a sample, if a window is open."""
    q, rq = k.queue[queue], k.request[request]
    if q.wbt_target_ns == 0:
        return
    latency = k.stat.now_ns - rq.started_ns
    if not rq.is_write:
        q.last_read_ns = k.stat.now_ns
        if q.wbt_sync == request:
            q.wbt_sync = NIL
    if q.wbt_armed and rq.is_write:
        q.wbt_writes += 1
    elif q.wbt_armed:
        if q.wbt_reads == 0 or latency < q.wbt_read_min_ns:
            q.wbt_read_min_ns = latency
        q.wbt_reads += 1


@kfn
def wbt_done(k, queue, now):
    """A counted write is over: who waits is woken once enough are. Source: wbt_rqw_done."""
    q = k.queue[queue]
    q.wbt_inflight -= 1
    limit = q.wbt_normal
    if q.write_cache and not _writer_waited(k, q, now):
        limit = 0
    if q.wbt_inflight > 0 and q.wbt_inflight >= limit:
        return
    if q.wbt_inflight == 0 or limit - q.wbt_inflight >= q.wbt_background // 2:
        wake_all(k, q.wbt_wait)


@kfn
def _root(value):
    """Integer square root."""
    low, high = 0, 1 << 20
    while low < high:
        middle = (low + high + 1) >> 1
        if middle * middle <= value:
            low = middle
        else:
            high = middle - 1
    return low


@kfn
def window_ns(step):
    """How long a window is: shorter the further the depth was cut."""
    return (WINDOW_NS << 4) // _root((step + 1) << 8) if step > 0 else WINDOW_NS


@kfn
def _arm(k, queue, now):
    q = k.queue[queue]
    q.wbt_armed, q.wbt_reads, q.wbt_writes = 1, 0, 0
    q.wbt_window_ns = window_ns(q.wbt_step)
    tick = jiffies_of(k, now) + q.wbt_window_ns // k.param.jiffy_ns + 1
    post(k, tick * k.param.jiffy_ns, EV_WBT, queue, 0)


@kfn
def verdict(k, queue, now):
    """What the window says. Source: latency_exceeded."""
    q = k.queue[queue]
    out = now - q.wbt_sync_ns if q.wbt_sync != NIL else 0
    if out > q.wbt_window_ns or (out > q.wbt_target_ns and q.wbt_reads == 0):
        return EXCEEDED
    if q.wbt_reads == 0 or q.wbt_writes < LEAST_WRITES:
        mere_writes = q.wbt_writes > 0 or q.wbt_inflight > 0 or _writer_waited(k, q, now)
        return WRITES_ONLY if mere_writes else UNKNOWN
    return EXCEEDED if q.wbt_read_min_ns > q.wbt_target_ns else FINE


@kfn
def _scale_up(k, queue):
    q = k.queue[queue]
    if q.wbt_scaled_max:
        return
    q.wbt_step -= 1
    set_depths(k, queue)
    q.wbt_unknown = 0
    wake_all(k, q.wbt_wait)


@kfn
def _scale_down(k, queue, hard):
    q = k.queue[queue]
    if q.wbt_max == 1:
        return
    if q.wbt_step < 0 and hard:
        q.wbt_step = 0
    else:
        q.wbt_step += 1
    set_depths(k, queue)
    q.wbt_unknown = 0


@kfn
def wbt_window(k, queue):
    """A window is over: move the depths, open the next if anything is under way. Source: wb_timer_fn."""
    q = k.queue[queue]
    now = k.stat.now_ns
    said = verdict(k, queue, now)
    if said == EXCEEDED:
        _scale_down(k, queue, 1)
    elif said == FINE or said == WRITES_ONLY:
        _scale_up(k, queue)
    else:
        q.wbt_unknown += 1
        if q.wbt_unknown >= UNKNOWN_BUMP:
            if q.wbt_step > 0:
                _scale_up(k, queue)
            elif q.wbt_step < 0:
                _scale_down(k, queue, 0)
    q.wbt_armed = 0
    if q.wbt_step != 0 or q.wbt_inflight > 0:
        _arm(k, queue, now)
