# SPDX-License-Identifier: GPL-2.0-or-later
"""Where file pages go on the disk: delayed allocation, allocation at write, copy on write, fragmented layouts.

Each filesystem has a bitmap of its free blocks, one bit a block of 4 KiB, set when used; bit 0 is its first block on
its disk. Files are spread over it; blocks are taken next-fit after the file's last one, so that a file written in order
lies in order. ext2 and ext3 put an indirect block before each 1024 blocks it names, behind the first twelve.
Simplified from Linux v2.6.34 fs/xfs/xfs_alloc.c, fs/ext2/balloc.c, fs/ext4/mballoc.c: no btrees, no preallocation.
"""

from pageout.engine.constants import (
    BLOCKS_PER_GROUP,
    DIRECT_BLOCKS,
    FS_EXT2,
    FS_EXT3,
    FS_UNION,
    NIL,
    PAGES_PER_INDIRECT,
    PG_BH_DELAY,
    PG_DELAYED,
    PG_PRIVATE,
    PG_UPTODATE,
)
from pageout.jit import kfn, lowest_bit
from pageout.kernel.frames import FN
from pageout.kernel.fs.journal import begin_transaction, join_transaction
from pageout.kernel.mm.filemap import find_page, set_page_dirty

MAX_EXTENT = 8192  # pages converted at once at most: 32 MiB, far above any single writeback pass


@kfn
def next_free(k, number, block):
    """Return the first free block of a filesystem at or after `block`, wrapping round once; NIL if it is full."""
    return next_free_of(k, number, block, 0, k.fs[number].nr_blocks)


@kfn
def next_free_of(k, number, block, first, end):
    """As next_free, among the blocks from `first` up to `end` alone; `block` is one of them."""
    found = _free_from(k, number, block, end)
    return found if found != NIL else _free_from(k, number, first, block)


@kfn
def _free_from(k, number, block, end):
    """The first free block from `block` on and before `end`, NIL if none."""
    if block >= end:
        return NIL
    bitmap = k.fs[number].bitmap
    word, last = block >> 5, (end - 1) >> 5
    free = ~k.bits[bitmap + word] & 0xFFFFFFFF & ~((1 << (block & 31)) - 1)
    while free == 0 and word < last:
        word += 1
        free = ~k.bits[bitmap + word] & 0xFFFFFFFF
    if free == 0:
        return NIL
    found = word * 32 + lowest_bit(free)
    return found if found < end else NIL


@kfn
def take_block(k, number, block):
    """Mark a block of a filesystem used."""
    fs = k.fs[number]
    word = fs.bitmap + (block >> 5)
    k.bits[word] = k.bits[word] | (1 << (block & 31))
    fs.free_blocks -= 1


@kfn
def release_block(k, number, block):
    """Mark a block of a filesystem free."""
    fs = k.fs[number]
    word = fs.bitmap + (block >> 5)
    k.bits[word] = k.bits[word] & ~(1 << (block & 31))
    fs.free_blocks += 1


@kfn
def goal_block(k, inode, index):
    """Where the next block of a file should go: after its last one, a new place at each fragment border."""
    file = k.inode[inode]
    fs = k.fs[file.fs]
    goal = file.last_block + 1 - fs.first_block
    if fs.fragment_pages > 0 and index % fs.fragment_pages == 0:
        piece = index // fs.fragment_pages
        goal = (piece * 2654435761 + inode * 40503) % fs.nr_blocks
    if goal >= fs.nr_blocks or goal < 0:
        goal = 0
    return goal


@kfn
def choose_block(k, inode, index):
    """Choose and take a block for one page of a file. Returns its number on the disk."""
    file = k.inode[inode]
    block = next_free(k, file.fs, goal_block(k, inode, index))
    take_block(k, file.fs, block)
    file.last_block = block + k.fs[file.fs].first_block
    file.disk_pages += 1
    return file.last_block


@kfn
def has_room(k, number):
    """True if one more block can be promised (reserved for delayed allocation, or taken at once)."""
    fs = k.fs[number]
    return fs.free_blocks - fs.reserved_blocks > 0


# Metadata that has a page in the cache


@kfn
def metadata_slot(k, inode, index):
    """Which page of its filesystem's metadata inode maps page `index` of a file of ext2 or ext3; NIL: its inode."""
    if index < DIRECT_BLOCKS or k.inode[inode].meta_start == NIL:
        return NIL
    return k.inode[inode].meta_start + (index - DIRECT_BLOCKS) // PAGES_PER_INDIRECT


@kfn
def new_indirect(k, inode, index):
    """Give the indirect block of a page a place if it has none yet. Returns 0, or -ENOSPC as -28."""
    where = metadata_slot(k, inode, index)
    if where == NIL:
        return 0
    file = k.inode[inode]
    slot = k.slot[k.inode[k.fs[file.fs].meta_inode].slot_start + where]
    if slot.block != NIL:
        return 0
    if not has_room(k, file.fs):
        return -28
    slot.block = choose_block(k, inode, index)
    file.disk_pages -= 1
    k.inode[k.fs[file.fs].meta_inode].disk_pages += 1
    return 0


@kfn
def metadata_cached(k, inode, index):
    """Is what says where page `index` lies in memory? Always, but for the indirect blocks of ext2 and ext3."""
    where = metadata_slot(k, inode, index)
    return where == NIL or page_ready(k, k.fs[k.inode[inode].fs].meta_inode, where)


@kfn
def get_branch_of(k, inode):
    """The function that reads the indirect blocks of this file's filesystem."""
    return FN.ext2_get_branch if k.fs[k.inode[inode].fs].kind == FS_EXT2 else FN.ext3_get_branch


@kfn
def page_ready(k, inode, index):
    """Is this page in the cache and up to date?"""
    page = find_page(k, inode, index)
    return page != NIL and k.page[page].pflags & PG_UPTODATE != 0


@kfn
def group_bitmap(k, inode, index):
    """Which page of ext4's metadata inode holds the bitmap of the group the next block is sought in."""
    return goal_block(k, inode, index) // BLOCKS_PER_GROUP


# Blocks for pages


@kfn
def prepare_block(k, t, inode, index, page):
    """At write time: promise a block (delayed allocation, copy on write) or choose one. Returns 0 or -ENOSPC (-28)."""
    file = k.inode[inode]
    file.core_dirty = 1
    fs = k.fs[file.fs]
    if fs.kind == FS_UNION:
        return 0
    slot = k.slot[file.slot_start + index]
    join_transaction(k, inode)
    if slot.block != NIL and file.unwritten and not k.page[page].pflags & PG_UPTODATE:
        k.page[page].pflags |= PG_BH_DELAY
    if k.page[page].pflags & PG_DELAYED or (slot.block != NIL and not fs.cow):
        return 0
    if not has_room(k, file.fs):
        return -28
    k.page[page].pflags |= PG_PRIVATE
    if fs.delalloc:
        fs.reserved_blocks += 1
        file.delayed += 1
        k.page[page].pflags |= PG_DELAYED
    else:
        if new_indirect(k, inode, index) or not has_room(k, file.fs):
            return -28
        slot.block = choose_block(k, inode, index)
        dirty_metadata(k, t, inode, index)
    return 0


@kfn
def dirty_metadata(k, t, inode, index):
    """A block was given to a page: the block that names it is changed, if it is in memory."""
    where = metadata_slot(k, inode, index)
    number = k.inode[inode].fs
    if where != NIL and page_ready(k, k.fs[number].meta_inode, where):
        page = find_page(k, k.fs[number].meta_inode, where)
        if set_page_dirty(k, t, page) and k.fs[number].journal_inode != NIL:
            begin_transaction(k, number)
            k.fs[number].trans_blocks += 1


@kfn
def _is_delayed(k, inode, index):
    page = k.slot[k.inode[inode].slot_start + index].page
    return page >= 0 and k.page[page].pflags & PG_DELAYED


@kfn
def convert_page(k, inode, index):
    """Choose the block of one delayed page; what it had before (copy on write) is free again."""
    file = k.inode[inode]
    slot = k.slot[file.slot_start + index]
    k.page[slot.page].pflags &= ~PG_DELAYED
    k.fs[file.fs].reserved_blocks -= 1
    file.delayed -= 1
    before = slot.block
    slot.block = choose_block(k, inode, index)
    if before != NIL:
        release_block(k, file.fs, before - k.fs[file.fs].first_block)
        file.disk_pages -= 1


@kfn
def convert_delayed(k, inode, index):
    """Choose blocks for the whole delayed run that holds page `index`. Returns the pages converted.

    Source: Linux v2.6.34 fs/xfs/xfs_iomap.c:xfs_iomap_write_allocate: the delayed extent is allocated from its start.
    """
    file = k.inode[inode]
    first = index
    while first > 0 and index - first < MAX_EXTENT - 1 and _is_delayed(k, inode, first - 1):
        first -= 1
    i = first
    while i < file.nr_slots and i - first < MAX_EXTENT and (i <= index or _is_delayed(k, inode, i)):
        convert_page(k, inode, i)
        i += 1
    return i - first


@kfn
def forget_block(k, inode, index, page):
    """Truncation: give back what the page had on disk, or was promised."""
    file = k.inode[inode]
    slot = k.slot[file.slot_start + index]
    if page != NIL and k.page[page].pflags & PG_DELAYED:
        k.page[page].pflags &= ~PG_DELAYED
        k.fs[file.fs].reserved_blocks -= 1
        file.delayed -= 1
    if slot.block != NIL:
        release_block(k, file.fs, slot.block - k.fs[file.fs].first_block)
        file.disk_pages -= 1
        slot.block = NIL


@kfn
def lay_out(k, inode, nr_pages):
    """Put a file on the disk before the run starts."""
    kind = k.fs[k.inode[inode].fs].kind
    for index in range(nr_pages):
        if kind == FS_EXT2 or kind == FS_EXT3:
            new_indirect(k, inode, index)
        k.slot[k.inode[inode].slot_start + index].block = choose_block(k, inode, index)


@kfn
def lay_out_groups(k, number):
    """Put the bitmaps of ext4's block groups on the disk, at the start of each group."""
    fs = k.fs[number]
    meta = k.inode[fs.meta_inode]
    for group in range(meta.nr_slots):
        take_block(k, number, group * BLOCKS_PER_GROUP)
        k.slot[meta.slot_start + group].block = fs.first_block + group * BLOCKS_PER_GROUP
        meta.disk_pages += 1
