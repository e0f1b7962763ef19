# SPDX-License-Identifier: GPL-2.0-or-later
"""How long a request takes: rotating disk, SSD, token buckets. All times are integers; curves are tables made at boot.

No seek time is in the kernel. Figures for the disk are the scenario's; the shape is Ruemmler and Wilkes,
"An introduction to disk drive modeling" (1994): a square root for short seeks, a line for long ones.
"""

from pageout.engine.constants import DEV_DISK, DEV_SSD, LIMIT_BUCKET, WRITE
from pageout.engine.ledger import observe_seek
from pageout.jit import kfn

SEEK_STEPS = 1024  # resolution of the seek table over the whole disk
ZONES = 16  # zones of constant rate, from the outer edge inwards


@kfn
def _media_ns_per_block(q, block):
    zone = block * ZONES // q.nr_blocks
    return q.outer_ns_per_block + (q.inner_ns_per_block - q.outer_ns_per_block) * zone // (ZONES - 1)


@kfn
def _rotation_wait(q, block, now):
    """Time until the block comes under the head: its angle less where the platter is now."""
    per_block = _media_ns_per_block(q, block)
    zone_start = block * ZONES // q.nr_blocks * q.nr_blocks // ZONES
    angle = (block - zone_start) * per_block % q.rotation_ns
    return (angle - now) % q.rotation_ns


@kfn
def disk_service_ns(k, queue, block, nr_pages, now):
    """Seek, wait for the sector, transfer. A request that begins where the last one ended streams on.

    assumed: a track buffer, so that a short pause between two contiguous requests does not cost a revolution.
    """
    q = k.queue[queue]
    transfer = _media_ns_per_block(q, block) * nr_pages
    if block == q.head_block:
        return transfer
    distance = block - q.head_block
    if distance < 0:
        distance = -distance
    seek = k.table[q.seek_table + distance * SEEK_STEPS // q.nr_blocks]
    return seek + _rotation_wait(q, block, now + seek) + transfer


@kfn
def _ssd_done_ns(k, queue, block, nr_pages, is_write, now):
    """A channel works for the latency of the operation, then the link carries the data."""
    q = k.queue[queue]
    channel = q.channel_start + (block >> 5) % q.nr_channels
    begin = k.channel[channel]
    if begin < now:
        begin = now
    ready = begin + (q.write_ns if is_write else q.read_ns)
    k.channel[channel] = ready
    if q.link_ns < ready:
        q.link_ns = ready
    q.link_ns += q.page_ns * nr_pages
    return q.link_ns


@kfn
def _later(x, y):
    return x if x > y else y


@kfn
def _throttled_done_ns(q, nr_pages, is_write, now):
    """Token buckets of bytes and of requests, for each direction or one for both: whichever allows it later decides."""
    if is_write == WRITE:
        bps, iops = q.write_bps, q.write_iops
    else:
        bps, iops = q.read_bps, q.read_iops
    by_write = is_write == WRITE or q.bucket_shared
    bucket = q.bucket_write_ns if by_write else q.bucket_read_ns
    cost = 0
    if bps > 0:
        cost = nr_pages * 4096 * 1_000_000_000 // bps
    if iops > 0:
        cost = _later(cost, 1_000_000_000 // iops)
    done = _later(bucket, now) + cost
    if by_write:
        q.bucket_write_ns = done
    else:
        q.bucket_read_ns = done
    return done


@kfn
def _served_ns(q, nr_pages, now):
    """What lies below limits that work elsewhere: data one request after the other, then a fixed latency."""
    if q.link_ns < now:
        q.link_ns = now
    q.link_ns += q.service_page_ns * nr_pages
    return q.link_ns + q.latency_ns


@kfn
def done_at(k, queue, request, now):
    """Start the request on its device; returns when it will be done."""
    q = k.queue[queue]
    rq = k.request[request]
    if q.kind == DEV_DISK:
        done = now + disk_service_ns(k, queue, rq.block, rq.nr_pages, now)
    elif q.kind == DEV_SSD:
        done = _ssd_done_ns(k, queue, rq.block, rq.nr_pages, rq.is_write, now)
    elif q.limit != LIMIT_BUCKET:
        done = _served_ns(q, rq.nr_pages, now)
    else:
        done = _throttled_done_ns(q, rq.nr_pages, rq.is_write, now)
    if rq.block != q.head_block:
        q.nr_seeks += 1
        distance = rq.block - q.head_block
        q.seek_blocks += distance if distance >= 0 else -distance
        observe_seek(k, queue, distance if distance >= 0 else -distance)
    q.head_block = rq.block + rq.nr_pages
    return done
