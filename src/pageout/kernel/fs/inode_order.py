# SPDX-License-Identifier: GPL-2.0-or-later
"""Which inodes the flushers take first, under designs that do not go by dirtied_when alone."""

from pageout.engine.clock import now_of
from pageout.engine.constants import (
    I_DIRTY_RECLAIM,
    I_SYNC,
    LIST_DIRTY,
    LIST_IO,
    LIST_MORE_IO,
    NEVER,
    NIL,
    NS_PER_MS,
)
from pageout.jit import kfn
from pageout.kernel.fs.bdi_work import queue_work
from pageout.kernel.mm.filemap import find_page, inode_list_add, inode_list_del, next_dirty

NO_PAGE = 1 << 62


@kfn
def target_inode(k, inode):
    """Reclaim has met a dirty page of this inode: marked, and moved at once to where the flusher takes the next from.

    Source: Gorman, RFC of 4 August 2010 (1280932711-23696-1-git-send-email-mel@csn.ul.ie).
    """
    file = k.inode[inode]
    if file.istate & (I_DIRTY_RECLAIM | I_SYNC):
        return
    if file.list_kind != LIST_DIRTY and file.list_kind != LIST_IO and file.list_kind != LIST_MORE_IO:
        return
    file.istate |= I_DIRTY_RECLAIM
    inode_list_del(k, inode)
    inode_list_add(k, file.bdi, LIST_IO, inode, 1)


@kfn
def wakeup_flushers_for_zone(k, t, nr_pages, zone):
    """Ask the devices whose next inode is one that reclaim has met for so many pages of the zone.  Source: as above."""
    for bdi in range(k.param.nr_bdis):
        inode = k.bdi[bdi].b_io_tail
        if inode != NIL and k.inode[inode].istate & I_DIRTY_RECLAIM:
            before = k.bdi[bdi].work_nr
            queue_work(k, t, bdi, nr_pages, 0, 0)
            if k.bdi[bdi].work_nr > before:
                k.work[k.bdi[bdi].work_tail].zone = zone + 1


@kfn
def oldest_window(k, t, bdi):
    """Background writeback: only inodes dirty for dirty_expire; for half of that, a quarter ... until one is found.

    Returns the moment they must have been dirtied by.  Source: Wu Fengguang's patch in Gorman's V4 to V6, July 2010.
    """
    device = k.bdi[bdi]
    now = now_of(k, t)
    age = k.param.dirty_expire_ns
    if device.b_io == NIL and device.b_dirty_tail != NIL:
        while age > 0 and k.inode[device.b_dirty_tail].dirtied_when > now - age:
            age >>= 1
    return now - age


@kfn
def oldest_page_ms(k, inode):
    """When the inode's longest dirty page was dirtied, ms since boot."""
    oldest = NO_PAGE
    nr_slots = k.inode[inode].nr_slots
    index = next_dirty(k, inode, 0, nr_slots)
    while index != NIL:
        when = k.page[find_page(k, inode, index)].dirtied_when
        if when < oldest:
            oldest = when
        index = next_dirty(k, inode, index + 1, nr_slots)
    return oldest


@kfn
def queue_by_page_age(k, bdi, older):
    """Fill b_io by the age of pages, not of inodes: every inode with a page dirtied by `older`. Returns inodes moved.

    Not in any kernel: takes away one candidate reason why reclaim meets dirty pages (reference section 18.10).
    """
    device = k.bdi[bdi]
    moved = 0
    inode = device.b_dirty_tail
    while inode != NIL:
        before = k.inode[inode].list_prev
        k.inode[inode].oldest_ms = oldest_page_ms(k, inode)
        if older == NEVER or k.inode[inode].oldest_ms * NS_PER_MS <= older:
            inode_list_del(k, inode)
            inode_list_add(k, bdi, LIST_IO, inode, 0)
            moved += 1
        inode = before
    inode = device.b_io
    while inode != NIL:
        k.inode[inode].oldest_ms = oldest_page_ms(k, inode)
        inode = k.inode[inode].list_next
    return moved


@kfn
def oldest_to_the_tail(k, bdi):
    """Move the inode of b_io with the oldest page to the end that is served next."""
    device = k.bdi[bdi]
    best = device.b_io_tail
    inode = best
    while inode != NIL:
        if k.inode[inode].oldest_ms < k.inode[best].oldest_ms:
            best = inode
        inode = k.inode[inode].list_prev
    if best != NIL and best != device.b_io_tail:
        inode_list_del(k, best)
        inode_list_add(k, bdi, LIST_IO, best, 1)
