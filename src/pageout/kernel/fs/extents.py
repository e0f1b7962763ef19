# SPDX-License-Identifier: GPL-2.0-or-later
"""Where file pages go on the disk: delayed allocation, allocation at write, fragmented layouts.

The free-block bitmap has one bit a block of 4 KiB, set when used. Files are spread over allocation groups; within a
group blocks are taken next-fit after the file's last block, so that a file written in order lies in order.
Simplified from Linux v2.6.34 fs/xfs/xfs_alloc.c, fs/ext2/balloc.c: no btrees, no metadata blocks.
"""

from pageout.engine.constants import NIL, PG_DELAYED
from pageout.jit import kfn, lowest_bit

MAX_EXTENT = 8192  # pages converted at once at most: 32 MiB, far above any single writeback pass


@kfn
def _used(k, block):
    return k.bits[k.fs[0].bitmap + (block >> 5)] >> (block & 31) & 1


@kfn
def next_free(k, block):
    """Return the first free block at or after `block`, wrapping round once; NIL if the filesystem is full."""
    fs = k.fs[0]
    word = block >> 5
    free = ~k.bits[fs.bitmap + word] & 0xFFFFFFFF & ~((1 << (block & 31)) - 1)
    last = (fs.nr_blocks - 1) >> 5
    turns = 0
    while turns < 2:
        if free:
            found = word * 32 + lowest_bit(free)
            if found < fs.nr_blocks:
                return found
        word += 1
        if word > last:
            word = 0
            turns += 1
        free = ~k.bits[fs.bitmap + word] & 0xFFFFFFFF
    return NIL


@kfn
def take_block(k, block):
    """Mark a block used."""
    fs = k.fs[0]
    word = fs.bitmap + (block >> 5)
    k.bits[word] = k.bits[word] | (1 << (block & 31))
    fs.free_blocks -= 1


@kfn
def release_block(k, block):
    """Mark a block free."""
    fs = k.fs[0]
    word = fs.bitmap + (block >> 5)
    k.bits[word] = k.bits[word] & ~(1 << (block & 31))
    fs.free_blocks += 1


@kfn
def choose_block(k, inode, index):
    """Choose and take a block for one page: after the file's last one, a new place at each fragment border."""
    fs = k.fs[0]
    file = k.inode[inode]
    goal = file.last_block + 1
    if fs.fragment_pages > 0 and index % fs.fragment_pages == 0:
        piece = index // fs.fragment_pages
        goal = (piece * 2654435761 + inode * 40503) % fs.nr_blocks
    if goal >= fs.nr_blocks or goal < 0:
        goal = 0
    block = next_free(k, goal)
    take_block(k, block)
    file.last_block = block
    file.disk_pages += 1
    return block


@kfn
def has_room(k):
    """True if one more block can be promised (reserved for delayed allocation, or taken at once)."""
    fs = k.fs[0]
    return fs.free_blocks - fs.reserved_blocks > 0


@kfn
def prepare_block(k, inode, index, page):
    """At write time: promise a block (delayed allocation) or choose one. Returns 0, or -ENOSPC as -28."""
    slot = k.slot[k.inode[inode].slot_start + index]
    if slot.block != NIL or k.page[page].pflags & PG_DELAYED:
        return 0
    if not has_room(k):
        return -28
    if k.fs[0].delalloc:
        k.fs[0].reserved_blocks += 1
        k.inode[inode].delayed += 1
        k.page[page].pflags |= PG_DELAYED
    else:
        slot.block = choose_block(k, inode, index)
    return 0


@kfn
def _is_delayed(k, inode, index):
    page = k.slot[k.inode[inode].slot_start + index].page
    return page != NIL and k.page[page].pflags & PG_DELAYED


@kfn
def convert_delayed(k, inode, index):
    """Choose blocks for the whole delayed run that holds page `index`. Returns the pages converted.

    Source: Linux v2.6.34 fs/xfs/xfs_iomap.c:xfs_iomap_write_allocate: the delayed extent is allocated from its start.
    """
    file = k.inode[inode]
    fs = k.fs[0]
    first = index
    while first > 0 and index - first < MAX_EXTENT - 1 and _is_delayed(k, inode, first - 1):
        first -= 1
    i = first
    while i < file.nr_slots and i - first < MAX_EXTENT and (i <= index or _is_delayed(k, inode, i)):
        slot = k.slot[file.slot_start + i]
        k.page[slot.page].pflags &= ~PG_DELAYED
        fs.reserved_blocks -= 1
        file.delayed -= 1
        slot.block = choose_block(k, inode, i)
        i += 1
    return i - first


@kfn
def forget_block(k, inode, index, page):
    """Truncation: give back what the page had on disk, or was promised."""
    slot = k.slot[k.inode[inode].slot_start + index]
    if page != NIL and k.page[page].pflags & PG_DELAYED:
        k.page[page].pflags &= ~PG_DELAYED
        k.fs[0].reserved_blocks -= 1
        k.inode[inode].delayed -= 1
    if slot.block != NIL:
        release_block(k, slot.block)
        k.inode[inode].disk_pages -= 1
        slot.block = NIL


@kfn
def lay_out(k, inode, nr_pages):
    """Put a file on the disk before the run starts."""
    for index in range(nr_pages):
        k.slot[k.inode[inode].slot_start + index].block = choose_block(k, inode, index)
