# SPDX-License-Identifier: GPL-2.0-or-later
"""A device that lets so many bytes pass each tick of a timer, as null_blk with `mbps` does.

A request that is over what is left of the tick goes back, and nothing passes until the next tick; what a tick leaves
over is lost. Ticks lie on one grid; the timer stops after one in which nothing passed. Once it has stopped, a request
starts it, and it fires at once: the first request finds nothing to fill and leaves it stopped, the second fills the
tick anew.
Source: Linux v6.1 drivers/block/null_blk/main.c:null_handle_throttled, nullb_bwtimer_fn.
"""

from pageout.engine.clock import post
from pageout.engine.constants import EV_TICK, LIMIT_TICKS
from pageout.jit import kfn


@kfn
def passes_tick(k, queue, nr_bytes, now):
    """May this request pass? If not, the queue is stopped until the next tick."""
    q = k.queue[queue]
    if q.limit != LIMIT_TICKS:
        return True
    if not q.tick_armed and q.tick_left != q.tick_bytes:
        q.tick_left, q.tick_armed = q.tick_bytes, 1
        post(k, (now // q.tick_ns + 1) * q.tick_ns, EV_TICK, queue, 0)
    q.tick_left -= nr_bytes
    if q.tick_left < 0:
        q.stopped = 1
        return False
    return True


@kfn
def tick(k, queue):
    """A tick: its bytes are there again, and a stopped queue may go on."""
    q = k.queue[queue]
    if q.tick_left == q.tick_bytes:
        q.tick_armed = 0
        return
    q.tick_left = q.tick_bytes
    q.stopped = 0
    post(k, k.stat.now_ns + q.tick_ns, EV_TICK, queue, 0)
