# SPDX-License-Identifier: GPL-2.0-or-later
"""Taking and giving blocks of an XFS filesystem: extents for delayed pages, single blocks, the free list of an AG.

Source: Linux v2.6.34 fs/xfs/xfs_alloc.c, xfs_bmap.c. Which blocks are free the bitmap says; the trees are told by how
many records a change adds or takes. Blocks are counted from the filesystem's first. Differs from the kernel: which free
extent is taken goes by next fit from the file's last block, not by the by-size tree; freed blocks of a file's own tree
go to the free list of the AG.
"""

from pageout.engine.constants import NIL, PG_BH_DELAY, PG_DELAYED
from pageout.jit import kfn
from pageout.kernel.fs.extents import forget_block, goal_block, has_room, next_free_of, release_block, take_block
from pageout.kernel.fs.xfs_items import forget_buffer, xfs_of
from pageout.kernel.fs.xfs_trees import AGFL_SIZE, BNOBT, CNTBT, NR_AGS, quick_change, tree_of_ag, tree_of_inode


@kfn
def after_last(k, x, inode):
    """The block behind the last that a file was given."""
    return k.inode[inode].last_block + 1 - k.fs[k.xfs[x].fs].first_block


@kfn
def near(k, x, block):
    """The block if the filesystem has it, else its first."""
    return block if 0 <= block < k.fs[k.xfs[x].fs].nr_blocks else 0


@kfn
def ag_range(k, x, ag):
    """The first block of an allocation group, a row of xfs_ag, and the one behind its last."""
    n = ag - x * NR_AGS
    start = n * k.xfs[x].ag_blocks
    return start, k.fs[k.xfs[x].fs].nr_blocks if n == NR_AGS - 1 else start + k.xfs[x].ag_blocks


@kfn
def ag_of(k, x, block):
    """The allocation group of a block, as a row of xfs_ag."""
    ag = block // k.xfs[x].ag_blocks
    return x * NR_AGS + (ag if ag < NR_AGS else NR_AGS - 1)


@kfn
def _is_free(k, x, block):
    return not k.bits[k.xfs[x].bitmap + (block >> 5)] >> (block & 31) & 1


@kfn
def free_beside(k, x, block, nr):
    """Is the block before these nr ones free, and the one after, in the same AG? Returns two numbers, 0 or 1."""
    ag = ag_of(k, x, block)
    before, after = 0, 0
    if block > 0 and ag_of(k, x, block - 1) == ag and _is_free(k, x, block - 1):
        before = 1
    end = block + nr
    if end < k.fs[k.xfs[x].fs].nr_blocks and ag_of(k, x, end) == ag and _is_free(k, x, end):
        after = 1
    return before, after


@kfn
def is_delayed(k, inode, index):
    """True if page `index` is in the cache and has its block promised, not chosen."""
    if index < 0 or index >= k.inode[inode].nr_slots:
        return False
    page = k.slot[k.inode[inode].slot_start + index].page
    return page >= 0 and k.page[page].pflags & PG_DELAYED != 0


@kfn
def _convert(k, inode, index, block):
    """Give a delayed page its block."""
    file = k.inode[inode]
    slot = k.slot[file.slot_start + index]
    k.page[slot.page].pflags = k.page[slot.page].pflags & ~PG_DELAYED | PG_BH_DELAY
    k.fs[file.fs].reserved_blocks -= 1
    file.delayed -= 1
    take_block(k, file.fs, block)
    slot.block = k.fs[file.fs].first_block + block
    file.last_block = slot.block
    file.disk_pages += 1


@kfn
def _first_delayed(k, inode, index):
    """The first page of the delayed pages round page `index`: an extent is allocated from there."""
    while is_delayed(k, inode, index - 1):
        index -= 1
    return index


@kfn
def goal_ag(k, x, inode, index):
    """The allocation group where page `index` of a file would best lie, a row of xfs_ag."""
    return ag_of(k, x, goal_block(k, inode, _first_delayed(k, inode, index)))


@kfn
def _free_in_ag(k, x, ag, goal):
    """A free block of an allocation group, from `goal` on if that is in it; NIL if it is full."""
    start, end = ag_range(k, x, ag)
    return next_free_of(k, k.xfs[x].fs, goal if start <= goal < end else start, start, end)


@kfn
def convert_extent(k, x, ag, inode, index):
    """Give one run of adjacent blocks of an AG to the delayed pages round page `index`, from the first of them on.

    Returns (first page, pages, first block); no pages if the AG is full.  Source: fs/xfs/xfs_iomap.c:
    xfs_iomap_write_allocate: the delayed extent is allocated from its start, one extent at a time.
    """
    first = _first_delayed(k, inode, index)
    start = _free_in_ag(k, x, ag, goal_block(k, inode, first))
    if start == NIL:
        return index, 0, NIL
    _, end = ag_range(k, x, ag)
    fragment = k.fs[k.xfs[x].fs].fragment_pages
    i, block = first, start
    while block < end and is_delayed(k, inode, i) and _is_free(k, x, block):
        if fragment > 0 and i > first and i % fragment == 0:
            break
        _convert(k, inode, i, block)
        i += 1
        block += 1
    return first, i - first, start


@kfn
def joins(k, inode, first, nr):
    """Does a new extent go on from the file's extent before it, and into the one after? Two numbers, 0 or 1."""
    start = k.inode[inode].slot_start
    block = k.slot[start + first].block
    before, after = 0, 0
    if first > 0 and k.slot[start + first - 1].block != NIL and k.slot[start + first - 1].block == block - 1:
        before = 1
    end = first + nr
    if end < k.inode[inode].nr_slots and k.slot[start + end].block == block + nr:
        after = 1
    return before, after


@kfn
def drop_block(k, t, inode, index, page):
    """Truncation of a page: as forget_block; on XFS the trees are told, and an empty file's tree goes."""
    slot = k.slot[k.inode[inode].slot_start + index]
    x = xfs_of(k, inode)
    if x == NIL or slot.block == NIL:
        forget_block(k, inode, index, page)
        return
    tree = tree_of_inode(k, x, inode)
    block = slot.block - k.fs[k.xfs[x].fs].first_block
    before, after = free_beside(k, x, block, 1)
    left, right = joins(k, inode, index, 1)
    forget_block(k, inode, index, page)
    ag = ag_of(k, x, block)
    quick_change(k, tree_of_ag(ag, BNOBT), block, 1 - before - after)
    quick_change(k, tree_of_ag(ag, CNTBT), block & 0xFFFFF, 1 - before - after)
    quick_change(k, tree, index, left + right - 1)
    if k.inode[inode].disk_pages == 0:
        _cut(k, t, x, tree)


@kfn
def _cut(k, t, x, tree):
    """A file without blocks has no tree: its metadata blocks become free."""
    root = k.xfs_tree[tree].root
    if root != NIL:
        k.xfs_block[root].next = k.xfs_tree[tree].head
    slot = root if root != NIL else k.xfs_tree[tree].head
    while slot != NIL:
        following = k.xfs_block[slot].next
        forget_buffer(k, t, x, slot)
        give_back(k, x, k.xfs_block[slot].block)
        k.xfs_block[slot].tree = NIL
        k.xfs_block[slot].next = k.xfs[x].free_slot
        k.xfs[x].free_slot = slot
        slot = following
    k.xfs_tree[tree].head, k.xfs_tree[tree].root, k.xfs_tree[tree].nr_leaves = NIL, NIL, 0


@kfn
def take_one(k, x, ag, goal):
    """One block of an AG for metadata, near `goal`; NIL if none may be had."""
    number = k.xfs[x].fs
    if not has_room(k, number):
        return NIL
    block = _free_in_ag(k, x, ag, goal)
    if block != NIL:
        take_block(k, number, block)
    return block


@kfn
def take_for_freelist(k, x, ag):
    """One block of the AG for its free list, from its last quarter if there is one; NIL if none may be had."""
    start, _ = ag_range(k, x, ag)
    block = take_one(k, x, ag, start + k.xfs[x].ag_blocks * 3 // 4)
    if block == NIL:
        return NIL
    freelist_put(k, x, ag, block)
    a = k.xfs_ag[ag]
    k.xfs_agfl[ag * AGFL_SIZE + (a.fl_first + a.fl_count - 1) % AGFL_SIZE].lsn = 0
    return block


@kfn
def freelist_put(k, x, ag, block):
    """A metadata block has become free: to the AG's list, with the place in the log after which it may be used."""
    a = k.xfs_ag[ag]
    if a.fl_count >= AGFL_SIZE:
        give_back(k, x, block)
        return
    entry = k.xfs_agfl[ag * AGFL_SIZE + (a.fl_first + a.fl_count) % AGFL_SIZE]
    entry.block, entry.lsn = block, k.xfs[x].head + 1
    a.fl_count += 1


@kfn
def freelist_busy(k, x, ag):
    """Up to where the log must be on disk before the next block of the free list may be used; NIL if it may be now.

    Source: fs/xfs/xfs_alloc.c:xfs_alloc_search_busy: a block freed by a transaction that is committed, not yet on disk.
    """
    a = k.xfs_ag[ag]
    if a.fl_count == 0:
        return NIL
    lsn = k.xfs_agfl[ag * AGFL_SIZE + a.fl_first].lsn
    return lsn if k.xfs[x].synced < lsn <= k.xfs[x].head else NIL


@kfn
def freelist_get(k, x, ag):
    """Take the first block of the AG's free list; NIL if it is empty."""
    a = k.xfs_ag[ag]
    if a.fl_count == 0:
        return NIL
    block = k.xfs_agfl[ag * AGFL_SIZE + a.fl_first].block
    a.fl_first = (a.fl_first + 1) % AGFL_SIZE
    a.fl_count -= 1
    return block


@kfn
def freelist_need(k, ag):
    """Blocks the free list is to have: one more than levels, for each tree. Source: xfs_alloc.h:XFS_MIN_FREELIST."""
    need = 4
    for kind in range(BNOBT, CNTBT + 1):
        if k.xfs_tree[tree_of_ag(ag, kind)].root != NIL:
            need += 1
    return need


@kfn
def give_back(k, x, block):
    """A block becomes free outside a transaction: truncation. Its records change at once, leaves are mended later."""
    before, after = free_beside(k, x, block, 1)
    release_block(k, k.xfs[x].fs, block)
    ag = ag_of(k, x, block)
    quick_change(k, tree_of_ag(ag, BNOBT), block, 1 - before - after)
    quick_change(k, tree_of_ag(ag, CNTBT), 1 << 20, 1 - before - after)
