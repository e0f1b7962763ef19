# SPDX-License-Identifier: GPL-2.0-or-later
"""The wire between an iSCSI initiator and its target: segments out, acknowledgements and responses back.

What happens in event context: no task's stack is used. The link has the rate of `mb_s` each way and takes half a
round trip; a segment leaves the socket's send buffer, and its network buffer is freed, when its acknowledgement is in.
assumed: nothing is lost, acknowledgements take no room on the link, and receiving never fails for want of memory.
Source: Linux v2.6.34 net/ipv4/tcp.c:do_tcp_sendpages, drivers/scsi/iscsi_tcp.c, libiscsi.c.
"""

from pageout.engine.clock import post
from pageout.engine.constants import EV_IO_DONE, NIL
from pageout.engine.waitqueue import wake_all
from pageout.jit import kfn
from pageout.kernel.mm.buddy import free_pages

HEADER_BYTES = 48  # the basic header segment of an iSCSI PDU, RFC 3720 section 10.2
TO_TARGET, ACKNOWLEDGED, RESPONSE = 0, 1, 2  # what a segment's next event is


@kfn
def _new_segment(k, queue, stage, request, page, nbytes):
    segment = k.stat.free_segment
    s = k.segment[segment]
    k.stat.free_segment = s.next
    k.stat.segments_used += 1
    s.next, s.queue, s.stage, s.request, s.page, s.length = NIL, queue, stage, request, page, nbytes
    return segment


@kfn
def _free_segment(k, segment):
    k.segment[segment].next = k.stat.free_segment
    k.segment[segment].queue = NIL
    k.stat.free_segment = segment
    k.stat.segments_used -= 1


@kfn
def _when_through(free_ns, nbytes, page_ns, now):
    """When the last of the bytes has left, on a link that is free from `free_ns` on."""
    begin = free_ns if free_ns > now else now
    return begin + nbytes * page_ns // 4096


@kfn
def send_segment(k, queue, request, page, nbytes, now):
    """Put bytes on the wire; `request` is the command that is whole with them, NIL if more follow. `page`: its skb."""
    q = k.queue[queue]
    q.socket_used += nbytes
    q.segments_sent += 1
    q.tx_free_ns = _when_through(q.tx_free_ns, nbytes, q.page_ns, now)
    segment = _new_segment(k, queue, TO_TARGET, request, page, nbytes)
    post(k, q.tx_free_ns + q.half_rtt_ns, EV_IO_DONE, ~segment, 0)


@kfn
def send_response(k, request, failed):
    """The target has done a command: its status, and what was read, go back to the initiator."""
    rq = k.request[request]
    q = k.queue[rq.queue]
    nbytes = HEADER_BYTES
    if not rq.is_write:
        nbytes += rq.nr_pages * 4096
    rq.failed = failed
    q.rx_free_ns = _when_through(q.rx_free_ns, nbytes, q.page_ns, k.stat.now_ns)
    segment = _new_segment(k, rq.queue, RESPONSE, request, NIL, nbytes)
    post(k, q.rx_free_ns + q.half_rtt_ns, EV_IO_DONE, ~segment, 0)


@kfn
def acknowledge(k, segment):
    """The target has the segment: room in the send buffer, and the network buffer is free again."""
    s = k.segment[segment]
    q = k.queue[s.queue]
    q.socket_used -= s.length
    if s.page != NIL:
        free_pages(k, -1, s.page, 0)
    wake_all(k, q.submit_wait)
    _free_segment(k, segment)


@kfn
def arrive(k, segment):
    """A segment is at the target; its acknowledgement sets out. Returns the command that is whole now, or NIL."""
    s = k.segment[segment]
    s.stage = ACKNOWLEDGED
    post(k, k.stat.now_ns + k.queue[s.queue].half_rtt_ns, EV_IO_DONE, ~segment, 0)
    return s.request


@kfn
def take_response(k, segment):
    """A response is in. Returns its request."""
    request = k.segment[segment].request
    _free_segment(k, segment)
    return request


@kfn
def queue_command(k, queue, request):
    """Hand a request to the session's worker (libiscsi.c:iscsi_queuecommand for a host that may sleep to transmit)."""
    q = k.queue[queue]
    k.request[request].next = NIL
    if q.xmit_tail == NIL:
        q.xmit_head = request
    else:
        k.request[q.xmit_tail].next = request
    q.xmit_tail = request
    wake_all(k, q.worker_wait)
