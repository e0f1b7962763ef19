# SPDX-License-Identifier: GPL-2.0-or-later
"""mq-deadline: requests sorted by sector, in batches of one direction; a request that has waited too long goes first.

Source: Linux v6.12 block/mq-deadline.c (__dd_dispatch_request, deadline_next_request, deadline_check_fifo). The lists
are those of elevator.py. Left out: the classes real-time and idle, and their ageing; zoned writes; async_depth, which
is nr_requests. v6.1 remembers the next request instead of the last one's sector: a request that came between the two
waits for the next batch there.
"""

from pageout.engine.constants import NIL, READ, WRITE
from pageout.jit import kfn
from pageout.kernel.block.elevator import (
    FIFO_BATCH,
    WRITES_STARVED,
    nr_sorted,
    oldest,
    position_of,
    sort_remove,
    sorted_start,
)


@kfn
def _last_position(k, queue, direction):
    """Where the direction's last request began."""
    q = k.queue[queue]
    return q.write_pos if direction == WRITE else q.read_pos


@kfn
def _take(k, queue, direction, place):
    q = k.queue[queue]
    request = sort_remove(k, queue, direction, place)
    if direction == WRITE:
        q.write_pos = k.request[request].block
    else:
        q.read_pos = k.request[request].block
    q.batch_left -= 1
    return request


@kfn
def _choose_direction(k, queue):
    """Reads, unless writes wait and reads were chosen over them twice."""
    q = k.queue[queue]
    if q.nr_sort_read > 0:
        if q.nr_sort_write == 0:
            return READ
        if q.starved < WRITES_STARVED:
            q.starved += 1
            return READ
    q.starved = 0
    return WRITE


@kfn
def mq_deadline_next(k, queue, now):
    """Take the next request off the queue; NIL if it is empty."""
    q = k.queue[queue]
    if q.nr_sort_read + q.nr_sort_write == 0:
        return NIL
    if q.batch_left > 0:
        place = position_of(k, queue, q.batch_dir, _last_position(k, queue, q.batch_dir))
        if place < nr_sorted(k, queue, q.batch_dir):
            return _take(k, queue, q.batch_dir, place)
    direction = _choose_direction(k, queue)
    place = position_of(k, queue, direction, _last_position(k, queue, direction))
    first = oldest(k, queue, direction)
    expired = k.request[k.sort[sorted_start(k, queue, direction) + first]].deadline_ns <= now
    if expired or place >= nr_sorted(k, queue, direction):
        place = first
    q.batch_dir = direction
    q.batch_left = FIFO_BATCH
    return _take(k, queue, direction, place)
