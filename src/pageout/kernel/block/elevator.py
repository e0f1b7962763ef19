# SPDX-License-Identifier: GPL-2.0-or-later
"""Which request goes to the device next. Queued requests are kept in block order, one list a direction.

Source: Linux v2.6.34 block/deadline-iosched.c. `noop` here is the plain sorted elevator: one way across the disk, then
back to its start (the kernel's noop does not sort; a sorted queue is what the article's authors call an elevator).
"""

from pageout.engine.constants import ELEVATOR_DEADLINE, NIL, READ, WRITE
from pageout.jit import kfn

READ_EXPIRE_NS = 500_000_000
WRITE_EXPIRE_NS = 5_000_000_000
WRITES_STARVED = 2
FIFO_BATCH = 16


@kfn
def sorted_start(k, queue, direction):
    """Where a direction's sorted list begins in the table `sort`."""
    q = k.queue[queue]
    return q.sort_write if direction == WRITE else q.sort_read


@kfn
def nr_sorted(k, queue, direction):
    """Requests queued in a direction."""
    q = k.queue[queue]
    return q.nr_sort_write if direction == WRITE else q.nr_sort_read


@kfn
def _grow(k, queue, direction, by):
    q = k.queue[queue]
    if direction == WRITE:
        q.nr_sort_write += by
    else:
        q.nr_sort_read += by


@kfn
def position_of(k, queue, direction, block):
    """Index of the first queued request that begins at or after `block`."""
    start = sorted_start(k, queue, direction)
    low, high = 0, nr_sorted(k, queue, direction)
    while low < high:
        middle = (low + high) >> 1
        if k.request[k.sort[start + middle]].block < block:
            low = middle + 1
        else:
            high = middle
    return low


@kfn
def sort_insert(k, queue, direction, request):
    """Queue a request at its place in block order."""
    start = sorted_start(k, queue, direction)
    place = position_of(k, queue, direction, k.request[request].block)
    n = nr_sorted(k, queue, direction)
    while n > place:
        k.sort[start + n] = k.sort[start + n - 1]
        n -= 1
    k.sort[start + place] = request
    _grow(k, queue, direction, 1)


@kfn
def sort_remove(k, queue, direction, place):
    """Take the request at `place` of the list out; returns it."""
    start = sorted_start(k, queue, direction)
    request = k.sort[start + place]
    _grow(k, queue, direction, -1)
    for i in range(place, nr_sorted(k, queue, direction)):
        k.sort[start + i] = k.sort[start + i + 1]
    return request


@kfn
def oldest(k, queue, direction):
    """Index of the request that has waited longest."""
    start = sorted_start(k, queue, direction)
    best = 0
    for i in range(1, nr_sorted(k, queue, direction)):
        if k.request[k.sort[start + i]].seq < k.request[k.sort[start + best]].seq:
            best = i
    return best


@kfn
def _deadline_direction(k, queue):
    """Reads go first, but not more than WRITES_STARVED batches while writes wait."""
    q = k.queue[queue]
    if q.nr_sort_read > 0:
        if q.nr_sort_write > 0 and q.starved >= WRITES_STARVED:
            q.starved = 0
            return WRITE
        if q.nr_sort_write > 0:
            q.starved += 1
        return READ
    q.starved = 0
    return WRITE


@kfn
def _deadline_choice(k, queue, now):
    """Continue the batch in block order; else begin a new one, at the oldest request if it has expired."""
    q = k.queue[queue]
    if q.batch_left > 0:
        place = position_of(k, queue, q.batch_dir, q.position_block)
        if place < nr_sorted(k, queue, q.batch_dir):
            q.batch_left -= 1
            return sort_remove(k, queue, q.batch_dir, place)
    direction = _deadline_direction(k, queue)
    place = position_of(k, queue, direction, q.position_block)
    first = oldest(k, queue, direction)
    expired = k.request[k.sort[sorted_start(k, queue, direction) + first]].deadline_ns <= now
    if expired or place >= nr_sorted(k, queue, direction) or direction != q.batch_dir:
        place = first
    q.batch_dir = direction
    q.batch_left = FIFO_BATCH - 1
    return sort_remove(k, queue, direction, place)


@kfn
def _noop_choice(k, queue):
    q = k.queue[queue]
    read = position_of(k, queue, READ, q.position_block)
    write = position_of(k, queue, WRITE, q.position_block)
    if read >= q.nr_sort_read and write >= q.nr_sort_write:
        read, write = 0, 0
    if read >= q.nr_sort_read:
        return sort_remove(k, queue, WRITE, write)
    if write >= q.nr_sort_write:
        return sort_remove(k, queue, READ, read)
    if k.request[k.sort[q.sort_read + read]].block <= k.request[k.sort[q.sort_write + write]].block:
        return sort_remove(k, queue, READ, read)
    return sort_remove(k, queue, WRITE, write)


@kfn
def next_request(k, queue, now):
    """Take the next request off the queue; NIL if it is empty."""
    q = k.queue[queue]
    if q.nr_sort_read + q.nr_sort_write == 0:
        return NIL
    request = _deadline_choice(k, queue, now) if q.elevator == ELEVATOR_DEADLINE else _noop_choice(k, queue)
    q.position_block = k.request[request].block + k.request[request].nr_pages
    return request
