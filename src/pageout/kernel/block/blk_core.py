# SPDX-License-Identifier: GPL-2.0-or-later
"""The request queue: merging, 128 requests a direction, congestion, plugging, completion.

Source: Linux v2.6.34 block/blk-core.c, block/blk-settings.c. "read" counts the kernel's sync side (reads and sync
writes), "write" its async side.
"""

from pageout.engine.clock import now_of, post, spend
from pageout.engine.constants import (
    BLK_BATCH_REQ,
    DEV_ISCSI,
    DEV_NULL,
    DEV_RAID5,
    DEV_SSD,
    END_TARGET,
    EV_IO_DONE,
    EV_UNPLUG,
    MAX_DEPTH,
    NIL,
    WQ_CONGESTION_READ,
    WQ_CONGESTION_WRITE,
)
from pageout.engine.kstack import become, call, ret, touch
from pageout.engine.ring import emit
from pageout.engine.waitqueue import sleep_on, timeout_jiffies, wake_all, wake_one
from pageout.jit import kfn
from pageout.kernel.block.bio import bio_for_member
from pageout.kernel.block.blk_mq import complete_request
from pageout.kernel.block.elevator import (
    READ_EXPIRE_NS,
    WRITE_EXPIRE_NS,
    next_request,
    nr_sorted,
    position_of,
    sort_insert,
    sort_remove,
    sorted_start,
)
from pageout.kernel.block.endio import bio_endio
from pageout.kernel.block.request import (
    RWBS_READ,
    RWBS_WRITE,
    account_transfer,
    add_bio,
    clock_of,
    fails,
    finish_bios,
    is_ordered,
    leave_device,
    new_request,
    put_request,
    rwbs_of,
    trace_bio,
)
from pageout.kernel.costs import SUBMIT_NS
from pageout.kernel.drivers.devices import done_at
from pageout.kernel.drivers.scsi import scsi_dispatch, sg_free
from pageout.kernel.drivers.stripes import raid5_unplug
from pageout.kernel.drivers.wire import RESPONSE, TO_TARGET, acknowledge, arrive, queue_command, take_response
from pageout.kernel.frames import FN, LEAF
from pageout.vocabulary.tracepoints import EV

UNPLUG_THRESH = 4
UNPLUG_DELAY_NS = 3_000_000


@kfn
def _is_sync_side(bio):
    return 1 if not bio.is_write or bio.is_sync else 0


@kfn
def _free_request(k, queue, request):
    """Give a request back; may end congestion and let a waiter in. Source: block/blk-core.c:__freed_request."""
    q = k.queue[queue]
    rq = k.request[request]
    side_sync = 1 if not rq.is_write or rq.is_sync else 0
    put_request(k, request)
    if side_sync:
        q.count_read -= 1
        count = q.count_read
    else:
        q.count_write -= 1
        count = q.count_write
    if count < q.off_threshold:
        _clear_congested(k, queue, side_sync)
    if count + 1 <= q.nr_requests:
        wake_one(k, q.wait_read if side_sync else q.wait_write)
        if side_sync:
            q.full_read = 0
        else:
            q.full_write = 0


@kfn
def _clear_congested(k, queue, side_sync):
    """Every sleeper in congestion_wait wakes, whether or not the device was congested. Source: clear_bdi_congested."""
    if k.queue[queue].remote:
        return
    device = k.bdi[k.queue[queue].bdi]
    if side_sync:
        device.congested_read = 0
        wake_all(k, WQ_CONGESTION_READ)
    else:
        device.congested_write = 0
        wake_all(k, WQ_CONGESTION_WRITE)


@kfn
def _try_merge(k, t, queue, bio):
    """Merge a bio into a queued request that it continues or precedes. Returns 1 if it went in."""
    b = k.bio[bio]
    q = k.queue[queue]
    direction = b.is_write
    place = position_of(k, queue, direction, b.block)
    start = sorted_start(k, queue, direction)
    if place > 0:
        request = k.sort[start + place - 1]
        rq = k.request[request]
        if rq.block + rq.nr_pages == b.block and rq.nr_pages + b.nr_pages <= q.max_pages and rq.is_sync == b.is_sync:
            add_bio(k, rq, bio, 0)
            q.merged += 1
            trace_bio(k, t, EV.block_bio_backmerge, queue, rwbs_of(rq), b.block * 8, b.nr_pages * 8)
            _merge_with_next(k, queue, direction, place)
            return 1
    if place < nr_sorted(k, queue, direction):
        rq = k.request[k.sort[start + place]]
        if b.block + b.nr_pages == rq.block and rq.nr_pages + b.nr_pages <= q.max_pages and rq.is_sync == b.is_sync:
            add_bio(k, rq, bio, 1)
            rq.block = b.block
            q.merged += 1
            trace_bio(k, t, EV.block_bio_frontmerge, queue, rwbs_of(rq), b.block * 8, b.nr_pages * 8)
            _merge_with_next(k, queue, direction, place)
            return 1
    return 0


@kfn
def _merge_with_next(k, queue, direction, place):
    """Two queued requests may have grown together: join the one at `place` to the one before it."""
    if place == 0 or place >= nr_sorted(k, queue, direction):
        return
    start = sorted_start(k, queue, direction)
    rq = k.request[k.sort[start + place - 1]]
    following = k.request[k.sort[start + place]]
    if rq.block + rq.nr_pages != following.block or rq.nr_pages + following.nr_pages > k.queue[queue].max_pages:
        return
    if rq.is_sync != following.is_sync:
        return
    k.bio[rq.bio_tail].next = following.bio_head
    rq.bio_tail = following.bio_tail
    rq.nr_pages += following.nr_pages
    if following.seq < rq.seq:
        rq.seq, rq.deadline_ns = following.seq, following.deadline_ns
    following.bio_head, following.bio_tail = NIL, NIL
    _free_request(k, queue, sort_remove(k, queue, direction, place))


@kfn
def _is_batching(k, t):
    """A batcher may take more requests than the limit for a while. Source: block/blk-core.c:ioc_batching."""
    task = k.task[t]
    return task.batch_left == BLK_BATCH_REQ or (task.batch_left > 0 and now_of(k, t) < task.batch_expire_ns)


@kfn
def _set_batching(k, t):
    if not _is_batching(k, t):
        k.task[t].batch_left = BLK_BATCH_REQ
        k.task[t].batch_expire_ns = now_of(k, t) + timeout_jiffies(k, 50) * k.param.jiffy_ns


@kfn
def _get_request(k, t, queue, bio):
    """Take a free request, or NIL if the task has to wait. Source: block/blk-core.c:get_request."""
    q = k.queue[queue]
    side_sync = _is_sync_side(k.bio[bio])
    count = q.count_read if side_sync else q.count_write
    full = q.full_read if side_sync else q.full_write
    if count + 1 >= q.on_threshold:
        if count + 1 >= q.nr_requests:
            if not full:
                _set_batching(k, t)
                if side_sync:
                    q.full_read = 1
                else:
                    q.full_write = 1
            elif not _is_batching(k, t):
                return NIL
        device = k.bdi[q.bdi]
        if side_sync:
            device.congested_read = 1
        else:
            device.congested_write = 1
    if count >= 3 * q.nr_requests // 2:
        return NIL
    if side_sync:
        q.count_read += 1
    else:
        q.count_write += 1
    if count + 1 >= q.nr_requests and _is_batching(k, t):
        k.task[t].batch_left -= 1
    return new_request(k, t, queue, bio, WRITE_EXPIRE_NS if k.bio[bio].is_write else READ_EXPIRE_NS)


@kfn
def _queue_request(k, t, queue, request):
    """Insert a request; the first into an empty elevator plugs it, the fourth unplugs; an SSD is never plugged.

    Source: Linux v2.6.34 block/elevator.c:elv_insert, block/blk-core.c:blk_plug_device.
    """
    q = k.queue[queue]
    rq = k.request[request]
    if q.nr_sort_read + q.nr_sort_write == 0 and not q.plugged and q.kind != DEV_SSD:
        q.plugged = 1
        q.plug_gen += 1
        ticks = (UNPLUG_DELAY_NS + k.param.jiffy_ns - 1) // k.param.jiffy_ns
        post(k, (clock_of(k, t) // k.param.jiffy_ns + ticks) * k.param.jiffy_ns, EV_UNPLUG, queue, q.plug_gen)
    sort_insert(k, queue, rq.is_write, request)
    if not q.remote:
        emit(k, t, EV.block_rq_insert, queue, rwbs_of(rq), 0, rq.block * 8, rq.nr_pages * 8)
    if q.nr_sort_read + q.nr_sort_write >= UNPLUG_THRESH or is_ordered(k, rq):
        q.plugged = 0
    if not q.plugged:
        start_requests(k, t, queue, clock_of(k, t))


@kfn
def start_requests(k, t, queue, now):
    """Feed the device as long as it takes requests."""
    q = k.queue[queue]
    nr_queued = q.nr_sort_read + q.nr_sort_write
    while q.in_flight < q.depth:
        request = next_request(k, queue, now)
        if request == NIL:
            return
        rq = k.request[request]
        if q.in_flight == 0:
            q.busy_since_ns = now
        q.in_flight += 1
        rq.started_ns = now
        if q.kind == DEV_ISCSI:
            if t >= 0:
                touch(k, t, LEAF.iscsi_queue)
        else:
            scsi_dispatch(k, t, queue, request, nr_queued, UNPLUG_THRESH)
        if not q.remote:
            emit(k, t, EV.block_rq_issue, queue, rwbs_of(rq), 0, rq.block * 8, rq.nr_pages * 8)
        if q.kind == DEV_ISCSI:
            queue_command(k, queue, request)
        else:
            post(k, done_at(k, queue, request, now), EV_IO_DONE, request, 0)


@kfn
def unplug(k, queue):
    """Let a plugged queue go."""
    if k.queue[queue].kind == DEV_RAID5:
        raid5_unplug(k, queue)
        return
    k.queue[queue].plugged = 0
    start_requests(k, -1, queue, k.stat.now_ns)


@kfn
def request_unplug(k, t, queue):
    """Someone waits for this queue: unplug it, or those below, at once (done by the core, which owns the drivers)."""
    if k.queue[queue].kind <= DEV_ISCSI:
        _unplug_soon(k, t, queue)
        return
    for i in range(k.queue[queue].nr_leaves):
        _unplug_soon(k, t, k.leaf_queue[k.queue[queue].leaf_start + i])


@kfn
def _unplug_soon(k, t, queue):
    if k.queue[queue].plugged:
        post(k, now_of(k, t), EV_UNPLUG, queue, k.queue[queue].plug_gen)


@kfn
def end_request(k, number):
    """A device has finished request `number`, or something has come over the network: ~number is the segment."""
    if number >= 0:
        if k.queue[k.request[number].queue].mq:
            complete_request(k, number)
        else:
            _end_request(k, number)
        return
    segment = ~number
    stage = k.segment[segment].stage
    if stage == RESPONSE:
        request = take_response(k, segment)
        if k.queue[k.request[request].queue].mq:
            complete_request(k, request)
        else:
            _end_request(k, request)
    elif stage == TO_TARGET:
        request = arrive(k, segment)
        if request != NIL:
            _submit_at_target(k, request)
    else:
        acknowledge(k, segment)


@kfn
def _submit_at_target(k, request):
    """A command is whole at the target: it goes to the disk there, past that machine's elevator.

    The session's queue depth is below the far queue's requests, so there is always one free.
    """
    rq = k.request[request]
    q = k.queue[rq.queue]
    far = k.member[q.member_start].queue
    bio = bio_for_member(
        k, q.member_start, rq.block, rq.nr_pages, rq.is_write, rq.is_sync, rq.submitter, END_TARGET, request
    )
    if not _try_merge(k, -1, far, bio):
        _queue_request(k, -1, far, _get_request(k, -1, far, bio))


@kfn
def _end_request(k, request):
    """The device has finished a request: end its pages, free it, start the next."""
    rq = k.request[request]
    queue = rq.queue
    q = k.queue[queue]
    finish_bios(k, request)
    if q.kind != DEV_ISCSI:
        sg_free(k, rq.nr_pages)
    leave_device(k, queue)
    _free_request(k, queue, request)
    q.plugged = 0
    start_requests(k, -1, queue, k.stat.now_ns)


@kfn
def _complete_inline(k, queue, bio):
    """A memory-backed device (as brd) is done within submit_bio."""
    b = k.bio[bio]
    q = k.queue[queue]
    account_transfer(k, queue, b.is_write, b.nr_pages)
    failed = 1 if fails(q, b.is_write) else 0
    q.errors += failed
    bio_endio(k, bio, failed)


@kfn
def submit_bio(k, t, f):
    """Send a chain of bios to their queue; sleeps in get_request_wait when it is full.

    A device stacked on others has no queue of requests: there it goes on as generic_make_request.
    f.a   in: first bio of the chain (linked by next).  Sleeps: yes.
    Source: Linux v2.6.34 block/blk-core.c:__make_request.
    """
    pc = f.pc
    if pc == 0:
        f.bio = f.a
    while f.bio != NIL:
        b = k.bio[f.bio]
        queue = b.queue
        following = b.next
        if k.queue[queue].kind > DEV_ISCSI:
            f.a = f.bio
            return become(k, t, f, FN.submit_bio_stacked)
        if pc == 0:
            spend(k, t, SUBMIT_NS)
            emit(k, t, EV.block_bio_queue, queue, RWBS_WRITE if b.is_write else RWBS_READ, b.block * 8, b.nr_pages * 8)
        resumed = pc == 1
        pc = 0
        if k.queue[queue].kind == DEV_NULL:
            _complete_inline(k, queue, f.bio)
        elif resumed or not _try_merge(k, t, queue, f.bio):
            request = _get_request(k, t, queue, f.bio)
            if request == NIL:
                return call(k, t, f, FN.get_request_wait, 1, queue, _is_sync_side(b), 0)
            touch(k, t, LEAF.get_request)
            _queue_request(k, t, queue, request)
        f.bio = following
    return ret(k, t, f, 0)


@kfn
def get_request_wait(k, t, f):
    """Sleep until a request may be free; whoever wakes may take a batch of them.

    f.a in: queue, f.b in: 1 for its sync side.  Source: Linux v2.6.34 block/blk-core.c:get_request_wait.
    """
    q = k.queue[f.a]
    if f.pc == 0:
        f.pc = 1
        b = k.bio[k.frame[t * MAX_DEPTH + k.task[t].depth - 1].bio]
        emit(k, t, EV.block_sleeprq, f.a, RWBS_WRITE if b.is_write else RWBS_READ, b.block * 8, b.nr_pages * 8)
        request_unplug(k, t, f.a)
        return sleep_on(k, t, q.wait_read if f.b else q.wait_write, 0, 1)
    _set_batching(k, t)
    touch(k, t, LEAF.after_wait)
    return ret(k, t, f, 0)
