# SPDX-License-Identifier: GPL-2.0-or-later
"""How deep a request goes below the block layer: its scatter table from a slab, its command through libata.

Source: Linux v2.6.34 block/elevator.c:elv_insert, block/blk-core.c:__make_request,
drivers/scsi/scsi_lib.c:scsi_init_io, drivers/ata/sata_mv.c:mv_qc_issue, drivers/ata/libata-sff.c:ata_sff_qc_issue.
Differs: the slab pages of scatter tables are counted and not taken from the page allocator; a page of a request is one
segment.
"""

from pageout.engine.constants import (
    DISPATCH_KICK,
    DISPATCH_THRESHOLD,
    DISPATCH_UNPLUGGED,
    DRIVER_SATA_MV,
    END_AHCI,
    END_MV,
    END_MV_POLLED,
    END_SLAB,
    END_TABLE,
    NR_ENDS,
    NR_SG_POOLS,
)
from pageout.engine.kstack import touch
from pageout.jit import kfn
from pageout.kernel.frames import LEAF

SCATTERLIST_BYTES = 32
SPARE_SLABS = 5  # empty slabs a cache keeps (Linux v2.6.34 mm/slub.c: MIN_PARTIAL)


@kfn
def sg_pool_of(nr_pages):
    """The pool of scatter tables for so many segments: 8, 16, 32, 64 or 128 entries."""
    pool = 0
    while 8 << pool < nr_pages and pool < NR_SG_POOLS - 1:
        pool += 1
    return pool


@kfn
def _per_slab(pool):
    """Scatter tables in a slab of one page."""
    return 4096 // (SCATTERLIST_BYTES * (8 << pool))


@kfn
def sg_alloc(k, nr_pages):
    """Take a scatter table. Returns 1 if its slab needed a new page for that."""
    pool = sg_pool_of(nr_pages)
    tables = k.sg_pool[pool]
    tables.used += 1
    if tables.used <= tables.objects:
        return 0
    tables.objects += _per_slab(pool)
    return 1


@kfn
def sg_free(k, nr_pages):
    """Give a scatter table back; slabs that are empty go, all but a few."""
    pool = sg_pool_of(nr_pages)
    tables = k.sg_pool[pool]
    tables.used -= 1
    if tables.objects - tables.used >= (SPARE_SLABS + 1) * _per_slab(pool):
        tables.objects -= _per_slab(pool)


@kfn
def dispatch_way(rq, nr_queued, threshold):
    """How the queue came to be run: for an ordered write at once, at the unplug threshold, or as it was not plugged."""
    if rq.is_write and rq.is_sync:
        return DISPATCH_KICK
    return DISPATCH_THRESHOLD if nr_queued >= threshold else DISPATCH_UNPLUGGED


@kfn
def scsi_dispatch(k, t, queue, request, nr_queued, threshold):
    """Prepare a request and hand it to the adapter; marks the depth on the stack of task t (NIL: an interrupt's).

    A sync write stands for one that is ordered by a cache flush (log writes, fsync): a command without data, which
    sata_mv cannot do by DMA and polls for from a work queue; that wakes a thread, all on this stack.
    """
    rq = k.request[request]
    new_slab = sg_alloc(k, rq.nr_pages)
    if t < 0:
        return
    leaf = LEAF.dispatch_kick_table + NR_ENDS * dispatch_way(rq, nr_queued, threshold)
    touch(k, t, leaf + (END_SLAB if new_slab else END_TABLE))
    if k.queue[queue].driver != DRIVER_SATA_MV:
        touch(k, t, leaf + END_AHCI)
    else:
        touch(k, t, leaf + (END_MV_POLLED if rq.is_write and rq.is_sync else END_MV))
