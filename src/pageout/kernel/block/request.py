# SPDX-License-Identifier: GPL-2.0-or-later
"""What both request queues do with requests: their letters, how bios go in, what is counted when they are done."""

from pageout.engine.clock import now_of
from pageout.engine.constants import END_XFS, KLOG_IO_ERROR, NIL
from pageout.engine.klog import klog
from pageout.engine.ledger import observe_request
from pageout.engine.ring import emit
from pageout.jit import kfn
from pageout.kernel.block.endio import bio_endio
from pageout.vocabulary.tracepoints import EV

RWBS_WRITE, RWBS_READ, RWBS_SYNC, RWBS_META = 2, 8, 128, 256
EIO = -5


@kfn
def rwbs_of(rq):
    """Letters of a request: W or R, S for a write that somebody waits for, M for metadata (blk-mq only)."""
    rwbs = (RWBS_WRITE if rq.is_write else RWBS_READ) | (RWBS_META if rq.meta else 0)
    return rwbs | (RWBS_SYNC if rq.is_write and rq.is_sync else 0)


@kfn
def clock_of(k, t):
    """The time of a task, or of the event being handled (NIL)."""
    return now_of(k, t) if t >= 0 else k.stat.now_ns


@kfn
def trace_bio(k, t, event, queue, rwbs, sector, nr_sectors):
    """Emit an event of a bio on a queue of this machine; a target's are not seen here."""
    if not k.queue[queue].remote:
        emit(k, t, event, queue, rwbs, sector, nr_sectors)


@kfn
def add_bio(k, rq, bio, at_front):
    """Put a bio at either end of a request."""
    b = k.bio[bio]
    b.next = NIL
    if rq.bio_head == NIL:
        rq.bio_head, rq.bio_tail = bio, bio
    elif at_front:
        b.next = rq.bio_head
        rq.bio_head = bio
    else:
        k.bio[rq.bio_tail].next = bio
        rq.bio_tail = bio
    rq.nr_pages += b.nr_pages
    rq.nr_segs += b.nr_segs


@kfn
def is_ordered(k, rq):
    """A log write is a barrier, for which the queue is run at once. Source: block/elevator.c:elv_insert."""
    b = k.bio[rq.bio_head]
    return b.end == END_XFS and b.index < 0


@kfn
def new_request(k, t, queue, bio, expire_ns):
    """Take a request from the pool for a bio; it expires so long from now."""
    b = k.bio[bio]
    request = k.stat.free_request
    rq = k.request[request]
    k.stat.free_request = rq.next
    k.stat.requests_used += 1
    k.stat.seq += 1
    rq.used, rq.next, rq.queue, rq.block, rq.nr_pages, rq.seq = 1, NIL, queue, b.block, 0, k.stat.seq
    rq.is_write, rq.is_sync, rq.bio_head, rq.bio_tail, rq.submitter = b.is_write, b.is_sync, NIL, NIL, b.submitter
    rq.failed, rq.tracked, rq.meta, rq.nr_segs = 0, 0, 0, 0
    rq.deadline_ns = clock_of(k, t) + expire_ns
    add_bio(k, rq, bio, 0)
    return request


@kfn
def put_request(k, request):
    """Give a request back to the pool."""
    rq = k.request[request]
    rq.used = 0
    rq.next = k.stat.free_request
    k.stat.free_request = request
    k.stat.requests_used -= 1


@kfn
def account_transfer(k, queue, is_write, nr_pages):
    """Count a transfer that is done."""
    q = k.queue[queue]
    observe_request(k, queue, is_write, nr_pages)
    if is_write:
        q.nr_write_requests += 1
        q.blocks_written += nr_pages
    else:
        q.nr_read_requests += 1
        q.blocks_read += nr_pages


@kfn
def fails(q, is_write):
    """True for every n-th write request of a device that is told to fail; counted before this one."""
    return is_write and q.error_every > 0 and q.nr_write_requests % q.error_every == 0


@kfn
def finish_bios(k, request):
    """The device is done with a request: count it, and end every bio in it, as failed if the request is."""
    rq = k.request[request]
    queue = rq.queue
    q = k.queue[queue]
    account_transfer(k, queue, rq.is_write, rq.nr_pages)
    failed = 1 if rq.failed or fails(q, rq.is_write) else 0
    if failed:
        q.errors += 1
        klog(k, -1, KLOG_IO_ERROR, NIL, queue, rq.block * 8, 0, 0)
    if not q.remote:
        emit(k, -1, EV.block_rq_complete, queue, rwbs_of(rq), rq.block * 8, rq.nr_pages * 8, EIO if failed else 0)
    bio = rq.bio_head
    while bio != NIL:
        following = k.bio[bio].next
        bio_endio(k, bio, failed)
        bio = following


@kfn
def leave_device(k, queue):
    """One request less at the device; an idle one is not busy."""
    q = k.queue[queue]
    q.in_flight -= 1
    if q.in_flight == 0:
        q.busy_ns += k.stat.now_ns - q.busy_since_ns
