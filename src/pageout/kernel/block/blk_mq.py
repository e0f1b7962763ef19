# SPDX-License-Identifier: GPL-2.0-or-later
"""blk-mq with one hardware queue: bios become requests with tags, wait in their task's plug, go to a scheduler or on.

A tag is one request under way, whichever its direction; who finds none sleeps in blk_mq_get_tag. Nothing is called
congested. A bio longer than a request may be is cut into parts; its pages end when the last part has.
Source: Linux v6.1 to v6.18 block/blk-mq.c (blk_mq_submit_bio, blk_add_rq_to_plug, blk_mq_flush_plug_list,
blk_mq_dispatch_rq_list), block/blk-merge.c, block/blk-mq-tag.c, lib/sbitmap.c:sbitmap_queue_wake_up.
Differs: requests leave a plug in the order in which they came, as since v6.13; a thread of the kernel has its plug open
all the time, since it ends by sleeping. Left out: several hardware queues, polling, flush requests.
"""

from pageout.engine.clock import post, spend
from pageout.engine.constants import (
    DEV_ISCSI,
    DEV_NULL,
    ELEVATOR_DEADLINE,
    END_PART,
    ENTRY,
    EV_IO_DONE,
    NIL,
)
from pageout.engine.kstack import become, call, ret
from pageout.engine.ring import emit
from pageout.engine.waitqueue import sleep_on, wake_one
from pageout.jit import kfn
from pageout.kernel.block.bio import bio_alloc, lie_together
from pageout.kernel.block.blk_plug import has_plug
from pageout.kernel.block.blk_throttle import is_throttled, take_ready
from pageout.kernel.block.blk_wbt import wbt_admits, wbt_completed, wbt_done, wbt_issued
from pageout.kernel.block.elevator import (
    READ_EXPIRE_NS,
    WRITE_EXPIRE_NS,
    nr_sorted,
    position_of,
    sort_insert,
    sort_remove,
    sorted_start,
)
from pageout.kernel.block.endio import bio_endio, part_done
from pageout.kernel.block.mq_deadline import mq_deadline_next
from pageout.kernel.block.request import (
    RWBS_META,
    RWBS_READ,
    RWBS_SYNC,
    RWBS_WRITE,
    account_transfer,
    add_bio,
    clock_of,
    fails,
    finish_bios,
    leave_device,
    new_request,
    put_request,
    rwbs_of,
    trace_bio,
)
from pageout.kernel.costs import SUBMIT_NS, WRITEPAGE_NS
from pageout.kernel.drivers.devices import done_at
from pageout.kernel.drivers.ticks import passes_tick
from pageout.kernel.drivers.wire import queue_command
from pageout.kernel.frames import FN
from pageout.vocabulary.tracepoints import EV

PLUG_REQUESTS = 32  # BLK_MAX_REQUEST_COUNT; twice as many if they are of several queues
PLUG_PAGES = 32  # BLK_PLUG_FLUSH_SIZE, 128 KiB
LIST_CHECKED = 8  # queued requests that a bio is compared with where no scheduler sorts them
PAGE_BYTES = 4096


# Merging


@kfn
def _merge_into(k, t, queue, request, bio):
    """Put a bio into a request that it continues or precedes. Returns 1 if it went in, 2 if at the front."""
    q, rq, b = k.queue[queue], k.request[request], k.bio[bio]
    if rq.is_write != b.is_write or rq.nr_pages + b.nr_pages > q.max_pages or rq.nr_segs + b.nr_segs > q.max_segs:
        return 0
    rwbs = rwbs_of(rq)
    if rq.block + rq.nr_pages == b.block:
        add_bio(k, rq, bio, 0)
        q.merged += 1
        trace_bio(k, t, EV.block_bio_backmerge, queue, rwbs, b.block * 8, b.nr_pages * 8)
        return 1
    if b.block + b.nr_pages == rq.block:
        add_bio(k, rq, bio, 1)
        rq.block = b.block
        q.merged += 1
        trace_bio(k, t, EV.block_bio_frontmerge, queue, rwbs, b.block * 8, b.nr_pages * 8)
        return 2
    return 0


@kfn
def _merge_with_next(k, queue, direction, place):
    """Two sorted requests may have grown together: join the one at `place` to the one before it."""
    if place == 0 or place >= nr_sorted(k, queue, direction):
        return
    start = sorted_start(k, queue, direction)
    rq, following = k.request[k.sort[start + place - 1]], k.request[k.sort[start + place]]
    q = k.queue[queue]
    if rq.block + rq.nr_pages != following.block or rq.nr_pages + following.nr_pages > q.max_pages:
        return
    if rq.nr_segs + following.nr_segs > q.max_segs:
        return
    k.bio[rq.bio_tail].next = following.bio_head
    rq.bio_tail = following.bio_tail
    rq.nr_pages += following.nr_pages
    rq.nr_segs += following.nr_segs
    if following.seq < rq.seq:
        rq.seq, rq.deadline_ns = following.seq, following.deadline_ns
    following.bio_head, following.bio_tail = NIL, NIL
    _free_request(k, queue, sort_remove(k, queue, direction, place))


@kfn
def _merge_sorted(k, t, queue, bio):
    """Merge a bio into a request that the scheduler has sorted. Returns True if it went in."""
    direction = k.bio[bio].is_write
    place = position_of(k, queue, direction, k.bio[bio].block)
    start = sorted_start(k, queue, direction)
    for at in range(place - 1, place + 1):
        if 0 <= at < nr_sorted(k, queue, direction):
            merged = _merge_into(k, t, queue, k.sort[start + at], bio)
            if merged:
                _merge_with_next(k, queue, direction, at + 1 if merged == 1 else at)
                return True
    return False


@kfn
def _merge_listed(k, t, queue, bio):
    """Merge a bio into one of the requests queued last, where nothing is sorted. Source: blk_bio_list_merge."""
    q = k.queue[queue]
    request = q.list_head
    for _ in range(q.nr_list - LIST_CHECKED):
        request = k.request[request].next
    found = 0
    while request != NIL and not found:
        following = k.request[request].next
        found = _merge_into(k, t, queue, request, bio)
        request = following
    return found != 0


@kfn
def _merge(k, t, queue, bio):
    """Merge a bio into the plug's last request of this queue, or into one that is queued."""
    last = k.task[t].plug_tail
    if last != NIL and k.request[last].queue == queue and _merge_into(k, t, queue, last, bio):
        return True
    if k.queue[queue].elevator == ELEVATOR_DEADLINE:
        return _merge_sorted(k, t, queue, bio)
    return _merge_listed(k, t, queue, bio)


# Tags and requests


@kfn
def _new_request(k, t, queue, bio):
    """Take a tag, which the caller knows to be free, and a request for a bio."""
    q, b = k.queue[queue], k.bio[bio]
    q.tags_used += 1
    if b.is_write:
        q.count_write += 1
    else:
        q.count_read += 1
    request = new_request(k, t, queue, bio, WRITE_EXPIRE_NS if b.is_write else READ_EXPIRE_NS)
    k.request[request].tracked, k.request[request].meta = b.tracked, b.meta
    trace_bio(k, t, EV.block_getrq, queue, rwbs_of(k.request[request]), b.block * 8, b.nr_pages * 8)
    return request


@kfn
def _free_request(k, queue, request):
    """Give request and tag back. Who waits for a tag is woken in batches. Source: sbitmap_queue_wake_up."""
    q, rq = k.queue[queue], k.request[request]
    if rq.tracked:
        wbt_done(k, queue, k.stat.now_ns)
    if rq.is_write:
        q.count_write -= 1
    else:
        q.count_read -= 1
    put_request(k, request)
    q.tags_used -= 1
    if k.wait[q.tag_wait].head == NIL:
        return
    q.tags_freed += 1
    if q.tags_freed >= q.tag_batch:
        q.tags_freed = 0
        for _ in range(q.tag_batch):
            wake_one(k, q.tag_wait)


@kfn
def blk_mq_get_tag(k, t, f):
    """Sleep until a tag is free. What the task has plugged goes to its queue as it falls asleep.

    f.a   in: queue.  Source: Linux v6.1 block/blk-mq-tag.c:blk_mq_get_tag.
    """
    q = k.queue[f.a]
    if q.tags_used < q.nr_tags:
        return ret(k, t, f, 0)
    f.pc = 1
    run_queue(k, t, f.a, clock_of(k, t))
    if q.tags_used < q.nr_tags:
        return ret(k, t, f, 0)
    return sleep_on(k, t, q.tag_wait, 0, 1)


# The plug


@kfn
def blk_finish_plug(k, t, f):
    """End one blk_start_plug; the last one lets the plug go. Never sleeps."""
    k.task[t].plug_open -= 1
    if not has_plug(k, t):
        flush_plug(k, t)
    return ret(k, t, f, 0)


@kfn
def _plug(k, t, request):
    """Put a request into the task's plug; a plug that is full, or whose last request is large, goes first."""
    task, rq = k.task[t], k.request[request]
    most = PLUG_REQUESTS if task.plug_queues < 2 else 2 * PLUG_REQUESTS
    if task.plug_nr >= most or (task.plug_nr > 0 and k.request[task.plug_tail].nr_pages >= PLUG_PAGES):
        flush_plug(k, t)
    rq.next = NIL
    if task.plug_nr == 0:
        task.plug_head, task.plug_queues = request, 1
        emit(k, t, EV.block_plug)
    else:
        if k.request[task.plug_tail].queue != rq.queue:
            task.plug_queues = 2
        k.request[task.plug_tail].next = request
    task.plug_tail = request
    task.plug_nr += 1


@kfn
def flush_plug(k, t):
    """Send what the task has plugged to the queues, in order. Source: blk_mq_flush_plug_list."""
    task = k.task[t]
    if task.plug_nr == 0:
        return
    emit(k, t, EV.block_unplug, task.plug_nr)
    request = task.plug_head
    task.plug_head, task.plug_tail, task.plug_nr, task.plug_queues = NIL, NIL, 0, 0
    now = clock_of(k, t)
    while request != NIL:
        following = k.request[request].next
        queue = k.request[request].queue
        _insert(k, t, request, now)
        if following == NIL or k.request[following].queue != queue or k.queue[queue].elevator != ELEVATOR_DEADLINE:
            run_queue(k, t, queue, now)
        request = following


# Queueing and giving to the device


@kfn
def _insert(k, t, request, now):
    """Queue a request: sorted by the scheduler, or, without one, behind those that wait for the device."""
    rq = k.request[request]
    queue = rq.queue
    q = k.queue[queue]
    if q.elevator == ELEVATOR_DEADLINE:
        emit(k, t, EV.block_rq_insert, queue, rwbs_of(rq), rq.nr_pages * PAGE_BYTES, rq.block * 8, rq.nr_pages * 8)
        place = position_of(k, queue, rq.is_write, rq.block)
        sort_insert(k, queue, rq.is_write, request)
        _merge_with_next(k, queue, rq.is_write, place)
        return
    if q.nr_list > 0 or q.stopped or q.in_flight >= q.depth:
        emit(k, t, EV.block_rq_insert, queue, rwbs_of(rq), rq.nr_pages * PAGE_BYTES, rq.block * 8, rq.nr_pages * 8)
    rq.next = NIL
    if q.nr_list == 0:
        q.list_head = request
    else:
        k.request[q.list_tail].next = request
    q.list_tail = request
    q.nr_list += 1


@kfn
def _take_next(k, queue, now):
    """The next request for the device: one that was put back, or as the scheduler says; NIL if none waits."""
    q = k.queue[queue]
    if q.nr_list == 0:
        return mq_deadline_next(k, queue, now) if q.elevator == ELEVATOR_DEADLINE else NIL
    request = q.list_head
    q.list_head = k.request[request].next
    q.nr_list -= 1
    k.request[request].next = NIL
    if q.nr_list == 0:
        q.list_tail = NIL
    return request


@kfn
def _put_back(k, t, queue, request):
    """The device would not have it: it is the first one next time."""
    q, rq = k.queue[queue], k.request[request]
    emit(k, t, EV.block_rq_requeue, queue, rwbs_of(rq), rq.block * 8, rq.nr_pages * 8, 0)
    rq.next = q.list_head
    q.list_head = request
    q.nr_list += 1
    if q.nr_list == 1:
        q.list_tail = request


@kfn
def run_queue(k, t, queue, now):
    """Give the device requests as long as it takes them. Source: blk_mq_run_hw_queue, blk_mq_dispatch_rq_list."""
    q = k.queue[queue]
    while q.in_flight < q.depth and not q.stopped:
        request = _take_next(k, queue, now)
        if request == NIL:
            return
        rq = k.request[request]
        emit(k, t, EV.block_rq_issue, queue, rwbs_of(rq), rq.nr_pages * PAGE_BYTES, rq.block * 8, rq.nr_pages * 8)
        if not passes_tick(k, queue, rq.nr_pages * PAGE_BYTES, now):
            _put_back(k, t, queue, request)
            return
        if q.in_flight == 0:
            q.busy_since_ns = now
        q.in_flight += 1
        rq.started_ns = now
        wbt_issued(q, request, rq.is_write, now)
        if q.kind == DEV_ISCSI:
            queue_command(k, queue, request)
        else:
            post(k, done_at(k, queue, request, now), EV_IO_DONE, request, 0)


@kfn
def complete_request(k, request):
    """The device has finished a request: end its bios, free its tag, give the device more."""
    queue = k.request[request].queue
    wbt_completed(k, queue, request)
    finish_bios(k, request)
    leave_device(k, queue)
    _free_request(k, queue, request)
    run_queue(k, -1, queue, k.stat.now_ns)


# Bios


@kfn
def _letters(b):
    """Letters of a bio, as of a request."""
    rwbs = (RWBS_WRITE if b.is_write else RWBS_READ) | (RWBS_META if b.meta else 0)
    return rwbs | (RWBS_SYNC if b.is_write and b.is_sync else 0)


@kfn
def _fitting(k, bio):
    """Of what is left of a bio, what one request can hold: pages, pieces of memory."""
    b = k.bio[bio]
    q = k.queue[b.queue]
    most = min(b.nr_pages - b.sent, q.max_pages)
    if b.nr_segs <= q.max_segs or b.inode == NIL:
        return most, min(b.nr_segs, q.max_segs)
    nr_pages, nr_segs = 1, 1
    while nr_pages < most:
        if not lie_together(k, b.inode, b.index + b.sent + nr_pages):
            if nr_segs == q.max_segs:
                break
            nr_segs += 1
        nr_pages += 1
    return nr_pages, nr_segs


@kfn
def _next_part(k, t, bio):
    """What of a bio is sent next: the bio itself if it fits into one request, else a part of it."""
    b = k.bio[bio]
    q = k.queue[b.queue]
    if b.sent == 0 and b.nr_pages <= q.max_pages and b.nr_segs <= q.max_segs:
        return bio
    if b.sent == 0:
        b.children += 1
    part = bio_alloc(k, NIL, 0, b.block + b.sent, b.is_write, b.is_sync, b.submitter)
    p = k.bio[part]
    p.queue, p.parent, p.end = b.queue, bio, END_PART
    p.nr_pages, p.nr_segs = _fitting(k, bio)
    p.meta, p.background = b.meta, b.background
    b.children += 1
    b.sent += p.nr_pages
    if b.sent < b.nr_pages:
        trace_bio(k, t, EV.block_split, b.queue, _letters(b), p.block * 8, (b.block + b.sent) * 8)
    return part


@kfn
def _finish_inline(k, bio):
    """A memory-backed device is done within submit_bio."""
    b = k.bio[bio]
    q = k.queue[b.queue]
    account_transfer(k, b.queue, b.is_write, b.nr_pages)
    failed = 1 if fails(q, b.is_write) else 0
    q.errors += failed
    bio_endio(k, bio, failed)


@kfn
def _bio_came(k, t, bio):
    """A bio enters its queue for the first time. Returns True if it goes no further now: done, or throttled."""
    b = k.bio[bio]
    spend(k, t, SUBMIT_NS * k.param.writepage_ns // WRITEPAGE_NS)
    task = k.task[t]
    if b.is_write and not b.is_sync and (task.wbc_background or task.wbc_kupdate) and not task.wbc_sync:
        b.background = 1
    if b.throttled == 0 and is_throttled(k, t, b.queue, bio):
        return True
    if b.sent == 0:
        emit(k, t, EV.block_bio_queue, b.queue, _letters(b), b.block * 8, b.nr_pages * 8)
    if k.queue[b.queue].kind == DEV_NULL:
        _finish_inline(k, bio)
        return True
    return False


@kfn
def blk_mq_submit_bio(k, t, f):
    """Send a chain of bios to their queue; sleeps when there is no tag.

    f.a   in: first bio of the chain (linked by next).  f.bio, f.work: the bio and the part of it being sent; f.flag: it
    could not be merged, and is not tried again.
    """
    WAITED = 1
    if f.pc == ENTRY:
        f.bio = f.a
    while f.bio != NIL:
        bio = f.bio
        b = k.bio[bio]
        queue, following = b.queue, b.next
        if f.work == NIL:
            if k.queue[queue].kind > DEV_ISCSI:
                f.a = bio
                return become(k, t, f, FN.submit_bio_stacked)
            if _bio_came(k, t, bio):
                f.bio = following
                continue
            f.work = _next_part(k, t, bio)
        while f.work != NIL:
            part = f.work
            if f.flag or not _merge(k, t, queue, part):
                f.flag = 1
                if not wbt_admits(k, t, queue, part):
                    return call(k, t, f, FN.rq_qos_wait, WAITED, queue, k.bio[part].background, 0)
                if k.queue[queue].tags_used >= k.queue[queue].nr_tags:
                    return call(k, t, f, FN.blk_mq_get_tag, WAITED, queue, 0, 0)
                _plug(k, t, _new_request(k, t, queue, part))
            f.flag = 0
            f.work = NIL if part == bio else _part_sent(k, t, bio)
        f.bio = following
    if not has_plug(k, t):
        flush_plug(k, t)
    return ret(k, t, f, 0)


@kfn
def _part_sent(k, t, bio):
    """A part is under way: returns the next, or NIL if there is none, or the rest waits in the throttle."""
    b = k.bio[bio]
    if b.sent == b.nr_pages:
        part_done(k, bio, 0)
        return NIL
    if is_throttled(k, t, b.queue, bio):
        return NIL
    return _next_part(k, t, bio)


@kfn
def kthrotld(k, t, f):
    """The thread that sends on what the throttle of a queue lets go. f.a in: queue. Sleeps: yes."""
    bio = take_ready(k, f.a)
    f.pc = 1
    if bio == NIL:
        return sleep_on(k, t, k.queue[f.a].throttle_wait, 0, 0)
    return call(k, t, f, FN.make_request, 1, bio, 0, 0)
