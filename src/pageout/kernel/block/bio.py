# SPDX-License-Identifier: GPL-2.0-or-later
"""Bios: runs of file pages that lie in adjacent disk blocks, on their way to a queue."""

from pageout.engine.clock import fail
from pageout.engine.constants import ERR_BIOS, NIL
from pageout.jit import kfn


@kfn
def bio_alloc(k, inode, index, block, is_write, is_sync, submitter):
    """Take a bio of one page from the pool; its `next` links the bios one caller is about to submit."""
    bio = k.stat.free_bio
    if bio == NIL:
        fail(k, ERR_BIOS, -1, 0)
        return 0
    b = k.bio[bio]
    k.stat.free_bio = b.next
    b.used, b.next, b.inode, b.index, b.nr_pages, b.block = 1, NIL, inode, index, 1, block
    b.is_write, b.is_sync, b.submitter = is_write, is_sync, submitter
    k.stat.bios_used += 1
    return bio


@kfn
def bio_free(k, bio):
    """Give a bio back to the pool."""
    b = k.bio[bio]
    b.used = 0
    b.next = k.stat.free_bio
    k.stat.free_bio = bio
    k.stat.bios_used -= 1


@kfn
def bio_add(k, first, last, inode, index, block, is_write, is_sync, submitter):
    """Add a page to the chain that ends with `last` (NIL: none yet), in its last bio if that grows by it.

    Returns the chain's last bio. The caller keeps the first: it is `last` itself when the chain was empty.
    """
    if last != NIL:
        b = k.bio[last]
        queue = k.bdi[k.inode[inode].bdi].queue
        if (
            b.inode == inode
            and b.index + b.nr_pages == index
            and b.block + b.nr_pages == block
            and b.nr_pages < k.queue[queue].max_pages
        ):
            b.nr_pages += 1
            return last
    bio = bio_alloc(k, inode, index, block, is_write, is_sync, submitter)
    if last != NIL:
        k.bio[last].next = bio
    return bio


@kfn
def bdi_write_congested(k, bdi):
    """True if the device's asynchronous side is congested. Swap never reports it."""
    device = k.bdi[bdi]
    return device.congested_write if not device.is_swap else 0
