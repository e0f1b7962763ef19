# SPDX-License-Identifier: GPL-2.0-or-later
"""An iSCSI session's worker: it sends commands and their data through a socket, with network buffers it has to get.

Data goes with its command (ImmediateData and InitialR2T=No of RFC 3720, the initiator's defaults, taken without limit).
Each segment of up to 64 KiB needs memory for its sk_buff; the socket allocates GFP_ATOMIC, so under pressure it fails,
and the sender waits, 2 ticks to 200 ms, and tries again.
Source: Linux v2.6.34 drivers/scsi/libiscsi.c:iscsi_xmitworker, drivers/scsi/iscsi_tcp.c (sk_allocation = GFP_ATOMIC),
net/ipv4/tcp.c:do_tcp_sendpages, net/core/stream.c:sk_stream_wait_memory.
"""

from pageout.engine.clock import now_of, spend
from pageout.engine.constants import ENTRY, GFP_ATOMIC, NIL
from pageout.engine.kstack import call, ret, touch
from pageout.engine.rng import random_below
from pageout.engine.waitqueue import sleep_on
from pageout.jit import kfn
from pageout.kernel.costs import SEGMENT_NS
from pageout.kernel.drivers.wire import HEADER_BYTES, send_segment
from pageout.kernel.frames import FN, LEAF
from pageout.kernel.mm.buddy import mark_kernel, try_alloc

# assumed: an sk_buff with its clone, its head and the slack of their slabs take about one page for each 64 KiB segment.
SEGMENT_BYTES = 65536


@kfn
def iscsi_xmitworker(k, t, f):
    """Send one command after the other; sleep when there is none. f.a in: queue. Sleeps: yes."""
    SENT = 1
    q = k.queue[f.a]
    request = q.xmit_head
    f.pc = ENTRY
    if request == NIL:
        return sleep_on(k, t, q.worker_wait, 0, 0)
    q.xmit_head = k.request[request].next
    if q.xmit_head == NIL:
        q.xmit_tail = NIL
    k.request[request].next = NIL
    return call(k, t, f, FN.iscsi_send, SENT, f.a, request, 0)


@kfn
def _segment_bytes(q, left):
    """Bytes of the next segment: what is left, what a segment holds, what the buffer has room for, in whole pages."""
    room = (q.socket_bytes - q.socket_used + 4095) // 4096 * 4096
    nbytes = SEGMENT_BYTES if room > SEGMENT_BYTES else room
    return left if left < nbytes else nbytes


@kfn
def iscsi_send(k, t, f):
    """Send a command, with its data if it writes.

    f.a, f.b   in: queue, request.  Sleeps: for room in the send buffer, and after a failed allocation.
    """
    SEND, ALLOCATED, WAITED = 1, 2, 3
    q = k.queue[f.a]
    if f.pc == ENTRY:
        rq = k.request[f.b]
        f.left = HEADER_BYTES
        if rq.is_write:
            f.left += rq.nr_pages * 4096
    page = NIL
    if f.pc == ALLOCATED:
        page = k.task[t].retval
        if page == NIL:
            q.skb_failures += 1
            f.pc = WAITED
            return sleep_on(k, t, NIL, 2 + random_below(k.task[t], k.param.hz // 5), 0)
    while f.left > 0:
        if page == NIL:
            if q.socket_used >= q.socket_bytes:
                f.pc = SEND
                return sleep_on(k, t, q.submit_wait, 0, 0)
            page = try_alloc(k, t, 0, GFP_ATOMIC)
            if page == NIL:
                return call(k, t, f, FN.alloc_pages, ALLOCATED, 0, GFP_ATOMIC, 0)
        mark_kernel(k, page, 0)
        nbytes = _segment_bytes(q, f.left)
        f.left -= nbytes
        spend(k, t, SEGMENT_NS)
        touch(k, t, LEAF.tcp_transmit)
        send_segment(k, f.a, f.b if f.left == 0 else NIL, page, nbytes, now_of(k, t))
        page = NIL
    return ret(k, t, f, 0)
