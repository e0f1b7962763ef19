# SPDX-License-Identifier: GPL-2.0-or-later
"""Bios: runs of file pages that lie in adjacent disk blocks, on their way to a queue."""

from pageout.engine.clock import fail
from pageout.engine.constants import (
    DEV_RAID1,
    DEV_RAID5,
    END_CHILD,
    END_IOEND,
    END_PAGES,
    ERR_BIOS,
    FS_EXT2,
    NIL,
    PG_FOLIO,
    READ,
    WRITE,
)
from pageout.jit import kfn


@kfn
def _is_metadata(k, inode):
    """1 for what later kernels submit as REQ_META or REQ_SWAP: journals, XFS's own blocks, ext3's and ext4's, swap."""
    if k.bdi[k.inode[inode].bdi].is_swap:
        return 1
    fs = k.fs[k.inode[inode].fs]
    if inode == fs.journal_inode or (fs.xfs != NIL and inode == k.xfs[fs.xfs].inode):
        return 1
    return 1 if inode == fs.meta_inode and fs.kind != FS_EXT2 else 0


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
    b.nr_segs = 1
    b.queue, b.parent, b.member, b.end, b.children, b.failed = NIL, NIL, NIL, END_PAGES, 0, 0
    b.sent, b.throttled, b.tracked, b.meta, b.background = 0, 0, 0, 0, 0
    if inode != NIL:
        b.queue = k.bdi[k.inode[inode].bdi].queue
        b.meta = _is_metadata(k, inode)
    k.stat.bios_used += 1
    return bio


@kfn
def ioend_alloc(k, submitter):
    """Take what the bios of one extent have in common; it counts them, and one more until all have been added."""
    whole = bio_alloc(k, NIL, 0, 0, 1, 0, submitter)
    k.bio[whole].children = 1
    return whole


@kfn
def ioend_add(k, whole, bio):
    """Have a bio end with the others of its extent."""
    b = k.bio[bio]
    if b.end == END_PAGES:
        b.end, b.parent = END_IOEND, whole
        k.bio[whole].children += 1


@kfn
def bio_for_member(k, member, block, nr_pages, is_write, is_sync, submitter, end, parent):
    """Take a bio for a block run of a member device; `end` and `parent` say who hears when it is done."""
    bio = bio_alloc(k, NIL, 0, block, is_write, is_sync, submitter)
    b = k.bio[bio]
    b.nr_pages, b.queue, b.member, b.end, b.parent = nr_pages, k.member[member].queue, member, end, parent
    if end == END_CHILD:
        b.meta = k.bio[parent].meta
    k.member[member].pending += 1
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
def lie_together(k, inode, index):
    """Is the page in memory just behind the file's page before it? In a large folio it is taken to be."""
    slot = k.inode[inode].slot_start + index
    page = k.slot[slot].page
    return page == k.slot[slot - 1].page + 1 or (page >= 0 and k.page[page].pflags & PG_FOLIO != 0)


@kfn
def bio_fits(k, bio, inode, index, block):
    """Can a bio grow by this page? Next in file, on disk, and by a piece of memory that it has room for."""
    b = k.bio[bio]
    q = k.queue[b.queue]
    if b.inode != inode or b.index + b.nr_pages != index or b.block + b.nr_pages != block or b.nr_pages >= q.bio_pages:
        return False
    return b.nr_segs < q.bio_segs or lie_together(k, inode, index)


@kfn
def bio_add(k, first, last, inode, index, block, is_write, is_sync, submitter):
    """Add a page to the chain that ends with `last` (NIL: none yet), in its last bio if that grows by it.

    Returns the chain's last bio. The caller keeps the first: it is `last` itself when the chain was empty.
    """
    if last != NIL and bio_fits(k, last, inode, index, block):
        b = k.bio[last]
        b.nr_segs += 0 if lie_together(k, inode, index) else 1
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
    if device.is_swap:
        return 0
    return device.congested_write or _members_congested(k, device.queue, WRITE)


@kfn
def bdi_read_congested(k, bdi):
    """True if the device's synchronous side is congested."""
    device = k.bdi[bdi]
    return device.congested_read or _members_congested(k, device.queue, READ)


@kfn
def _members_congested(k, queue, direction):
    """A stack is congested if any queue below it is; a RAID5 when its stripes are used up, whatever its members say.

    Source: Linux v2.6.34 drivers/md/raid0.c:raid0_congested, raid1.c:raid1_congested (writes; reads only if every
    mirror is), raid5.c:raid5_congested, dm.c:dm_any_congested. A loop device reports nothing.
    """
    q = k.queue[queue]
    nr_congested = 0
    for i in range(q.nr_leaves):
        leaf = k.leaf_queue[q.leaf_start + i]
        device = k.bdi[k.queue[leaf].bdi]
        if k.queue[leaf].kind == DEV_RAID5:
            nr_congested += 1 if stripes_short(k, leaf) else 0
        elif direction == WRITE:
            nr_congested += 1 if device.congested_write else 0
        else:
            nr_congested += 1 if device.congested_read else 0
    if q.kind == DEV_RAID1 and direction == READ:
        return 1 if nr_congested == q.nr_leaves else 0
    return 1 if nr_congested > 0 else 0


@kfn
def stripes_short(k, queue):
    """True if a RAID5 has no stripe to spare, or lets nobody have one."""
    q = k.queue[queue]
    return q.inactive_blocked or k.stripe_list[q.stripe_list].head == NIL
