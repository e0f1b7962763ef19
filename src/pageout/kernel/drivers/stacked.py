# SPDX-License-Identifier: GPL-2.0-or-later
"""Devices stacked on others: linear (device-mapper), RAID0, RAID1 and the door to RAID5 and loop.

A stacked device keeps no requests: it sends each bio on, cut and cloned, to its members. A bio submitted from within
such a driver is put on the task's list and issued once the driver returns, so drivers of a stack follow each other on
the kernel stack and do not nest. A bio is cut here where Linux keeps filesystems from building it (merge_bvec_fn).
Source: Linux v2.6.34 block/blk-core.c:generic_make_request, drivers/md/raid0.c, raid1.c, dm.c, dm-linear.c.
Left out: failed members, resync, bitmaps, barriers; members beyond the smallest one's size are not used.
"""

from pageout.engine.clock import spend
from pageout.engine.constants import (
    DEV_ISCSI,
    DEV_LINEAR,
    DEV_LOOP,
    DEV_RAID0,
    DEV_RAID1,
    END_CHILD,
    ENTRY,
    NIL,
)
from pageout.engine.kstack import call, ret, touch
from pageout.engine.ring import emit
from pageout.engine.waitqueue import wake_all
from pageout.jit import kfn
from pageout.kernel.block.bio import bio_for_member
from pageout.kernel.block.endio import bio_put
from pageout.kernel.costs import SUBMIT_NS
from pageout.kernel.drivers.stripes import raid5_map
from pageout.kernel.frames import FN, LEAF
from pageout.vocabulary.tracepoints import EV

RWBS_WRITE, RWBS_READ = 2, 8


@kfn
def generic_make_request(k, t, f):
    """Send a chain of bios down through all layers; what a layer adds waits on the frame's list until it returns.

    f.a   in: first bio of the chain (linked by next).  f.d: the chain's rest; f.list_head, f.work: the list.
    Sleeps: yes, in RAID5 for a stripe and in queues for a request.
    """
    NEXT = 1
    if f.pc == ENTRY:
        f.d = f.a
    while True:
        bio = f.list_head
        if bio != NIL:
            f.list_head = k.bio[bio].next
            if f.list_head == NIL:
                f.work = NIL
        elif f.d != NIL:
            bio = f.d
            f.d = k.bio[bio].next
        else:
            return ret(k, t, f, 0)
        k.bio[bio].next = NIL
        kind = k.queue[k.bio[bio].queue].kind
        if kind <= DEV_ISCSI:
            return call(k, t, f, FN.make_request, NEXT, bio, 0, 0)
        _enter_stack(k, t, bio)
        if kind == DEV_LINEAR:
            _linear(k, t, f, bio)
        elif kind == DEV_RAID0:
            _raid0(k, t, f, bio)
        elif kind == DEV_RAID1:
            _raid1(k, t, f, bio)
        elif kind == DEV_LOOP:
            _loop(k, t, bio)
        elif k.bio[bio].is_write:
            return call(k, t, f, FN.raid5_make_request, NEXT, bio, 0, 0)
        else:
            _raid5_read(k, t, f, bio)


@kfn
def _enter_stack(k, t, bio):
    """Count a bio at a stacked device; it counts as one part of itself until all others are sent."""
    b = k.bio[bio]
    q = k.queue[b.queue]
    spend(k, t, SUBMIT_NS)
    rwbs = RWBS_WRITE if b.is_write else RWBS_READ
    emit(k, t, EV.block_bio_queue, b.queue, rwbs, b.block * 8, b.nr_pages * 8)
    b.children, b.failed = 1, 0
    if b.is_write:
        q.nr_write_requests += 1
        q.blocks_written += b.nr_pages
    else:
        q.nr_read_requests += 1
        q.blocks_read += b.nr_pages


@kfn
def _send(k, f, bio, member, block, nr_pages):
    """Clone a part of a bio for a member, at the end of the frame's list."""
    b = k.bio[bio]
    clone = bio_for_member(k, member, block, nr_pages, b.is_write, b.is_sync, b.submitter, END_CHILD, bio)
    b.children += 1
    if f.work == NIL:
        f.list_head = clone
    else:
        k.bio[f.work].next = clone
    f.work = clone


@kfn
def _part(at, end, boundary):
    """Pages from `at` to `end`, or to the next multiple of `boundary` if that comes sooner."""
    to_boundary = boundary - at % boundary
    return to_boundary if to_boundary < end - at else end - at


@kfn
def _linear(k, t, f, bio):
    """One member after the other. Source: drivers/md/dm.c:__split_and_process_bio, dm-linear.c:linear_map."""
    touch(k, t, LEAF.dm_linear)
    b = k.bio[bio]
    at, end = b.block, b.block + b.nr_pages
    member = k.queue[b.queue].member_start
    while at < end:
        while at >= k.member[member].start + k.member[member].nr_blocks:
            member += 1
        m = k.member[member]
        nr_pages = end - at
        if nr_pages > m.start + m.nr_blocks - at:
            nr_pages = m.start + m.nr_blocks - at
        _send(k, f, bio, member, at - m.start, nr_pages)
        at += nr_pages
    bio_put(k, bio, 0)


@kfn
def raid0_map(q, block):
    """Return (member, its block) of a block: chunks in turn. Source: drivers/md/raid0.c:map_sector, one zone."""
    chunk = block // q.chunk_pages
    return chunk % q.nr_members, chunk // q.nr_members * q.chunk_pages + block % q.chunk_pages


@kfn
def _raid0(k, t, f, bio):
    touch(k, t, LEAF.raid0)
    b = k.bio[bio]
    q = k.queue[b.queue]
    at, end = b.block, b.block + b.nr_pages
    while at < end:
        nr_pages = _part(at, end, q.chunk_pages)
        member, block = raid0_map(q, at)
        _send(k, f, bio, q.member_start + member, block, nr_pages)
        at += nr_pages
    bio_put(k, bio, 0)


@kfn
def read_balance(k, queue, block):
    """The mirror to read from: the last one if it goes on in sequence, an idle one, or the one with the nearest head.

    Source: Linux v2.6.34 drivers/md/raid1.c:read_balance.
    """
    q = k.queue[queue]
    last = k.member[q.member_start + q.last_used]
    if q.next_block == block or last.head == block:
        return q.last_used
    best = q.last_used
    nearest = last.head - block if last.head > block else block - last.head
    disk = best
    for _ in range(q.nr_members):
        disk = disk - 1 if disk > 0 else q.nr_members - 1
        m = k.member[q.member_start + disk]
        if m.pending == 0:
            return disk
        distance = m.head - block if m.head > block else block - m.head
        if distance < nearest:
            best, nearest = disk, distance
    return best


@kfn
def _raid1(k, t, f, bio):
    """Writes go to all members, reads to one. Source: drivers/md/raid1.c:make_request."""
    touch(k, t, LEAF.raid1)
    b = k.bio[bio]
    q = k.queue[b.queue]
    if b.is_write:
        for i in range(q.nr_members):
            _send(k, f, bio, q.member_start + i, b.block, b.nr_pages)
    else:
        q.last_used = read_balance(k, b.queue, b.block)
        q.next_block = b.block + b.nr_pages
        _send(k, f, bio, q.member_start + q.last_used, b.block, b.nr_pages)
    bio_put(k, bio, 0)


@kfn
def _raid5_read(k, t, f, bio):
    """Reads within a chunk go past the stripe cache. Source: drivers/md/raid5.c:chunk_aligned_read."""
    touch(k, t, LEAF.raid5_read)
    b = k.bio[bio]
    q = k.queue[b.queue]
    at, end = b.block, b.block + b.nr_pages
    while at < end:
        nr_pages = _part(at, end, q.chunk_pages)
        member, block = raid5_map(q, at)
        _send(k, f, bio, q.member_start + member, block, nr_pages)
        at += nr_pages
    bio_put(k, bio, 0)


@kfn
def _loop(k, t, bio):
    """Hand a bio to the loop thread. Source: drivers/block/loop.c:loop_make_request; nothing bounds its list."""
    touch(k, t, LEAF.loop)
    q = k.queue[k.bio[bio].queue]
    if q.bio_tail == NIL:
        q.bio_head = bio
    else:
        k.bio[q.bio_tail].next = bio
    q.bio_tail = bio
    wake_all(k, q.worker_wait)
