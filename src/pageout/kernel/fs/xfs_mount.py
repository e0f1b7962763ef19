# SPDX-License-Identifier: GPL-2.0-or-later
"""An XFS filesystem as it is mounted: its trees hold what the files laid out before left free, and their extents.

assumed: leaves two thirds full, as random insertion leaves them. Nothing of it is cached: the first transaction reads.
"""

from pageout.engine.constants import NIL
from pageout.jit import kfn
from pageout.kernel.fs.xfs_space import (
    after_last,
    ag_of,
    ag_range,
    free_beside,
    near,
    take_for_freelist,
    take_one,
)
from pageout.kernel.fs.xfs_trees import (
    ALLOC_RECORDS,
    BMBT,
    BMBT_RECORDS,
    BNOBT,
    CNTBT,
    INLINE_EXTENTS,
    NR_AGS,
    append_leaf,
    needs_root,
    quick_change,
    take_slot,
    tree_of_ag,
    tree_of_inode,
)

FREELIST_BLOCKS = 4  # mkfs.xfs leaves what XFS_MIN_FREELIST asks for


@kfn
def _next(k, x, block, end, used):
    """The first block from `block` on that is used (1) or free (0); `end` if there is none."""
    bitmap = k.xfs[x].bitmap
    whole = 0 if used else 0xFFFFFFFF
    while block < end:
        word = k.bits[bitmap + (block >> 5)]
        if block & 31 == 0 and word == whole:
            block += 32
        elif word >> (block & 31) & 1 == used:
            return block
        else:
            block += 1
    return end


@kfn
def _count_free_runs(k, x, ag):
    start, end = ag_range(k, x, ag)
    n = 0
    block = _next(k, x, start, end, 0)
    while block < end:
        n += 1
        block = _next(k, x, _next(k, x, block, end, 1), end, 0)
    return n


@kfn
def _new_leaf(k, x, tree, goal):
    """A row for a block of a tree near a block; if its AG is full, in another, whose trees are told."""
    own = ag_of(k, x, goal) - x * NR_AGS
    for i in range(NR_AGS):
        ag = x * NR_AGS + (own + i) % NR_AGS
        block = take_one(k, x, ag, goal)
        if block != NIL:
            before, after = free_beside(k, x, block, 1)
            for kind in range(BNOBT, CNTBT + 1):
                if k.xfs_tree[tree_of_ag(ag, kind)].head != NIL:
                    quick_change(k, tree_of_ag(ag, kind), block & 0xFFFFF, before + after - 1)
            return take_slot(k, x, tree, block)
    return take_slot(k, x, tree, near(k, x, goal))  # not even one block is left: the door lets no such scenario in


@kfn
def _load_ag(k, x, ag):
    """The two trees of an allocation group, a row of xfs_ag, from the bitmap."""
    start, end = ag_range(k, x, ag)
    for _ in range(FREELIST_BLOCKS):
        take_for_freelist(k, x, ag)
    nr_leaves = -(-_count_free_runs(k, x, ag) * 3 // (2 * ALLOC_RECORDS))
    nr_leaves = nr_leaves if nr_leaves > 0 else 1
    first, total = NIL, 2 * nr_leaves + (2 if nr_leaves > 1 else 0)
    for _ in range(total):
        slot = _new_leaf(k, x, NIL, start + k.xfs[x].ag_blocks * 3 // 4)
        k.xfs_block[slot].next = first
        first = slot
    n = _count_free_runs(k, x, ag)
    for kind in range(BNOBT, CNTBT + 1):
        tree = tree_of_ag(ag, kind)
        tail = NIL
        block = _next(k, x, start, end, 0)
        for i in range(nr_leaves):
            leaf = first
            first = k.xfs_block[leaf].next
            k.xfs_block[leaf].next, k.xfs_block[leaf].tree = NIL, tree
            nr = n * (i + 1) // nr_leaves - n * i // nr_leaves
            key = block if kind == BNOBT else (1 << 20) * i // nr_leaves
            append_leaf(k, tree, tail, leaf, key, nr)
            tail = leaf
            for _ in range(nr if kind == BNOBT else 0):
                block = _next(k, x, _next(k, x, block, end, 1), end, 0)
        k.xfs_block[tail].last = end if kind == BNOBT else 1 << 20
        if nr_leaves > 1:
            k.xfs_tree[tree].root = first
            first = k.xfs_block[first].next
            k.xfs_block[k.xfs_tree[tree].root].tree = tree


@kfn
def _starts_extent(k, inode, index):
    slots = k.inode[inode].slot_start
    block = k.slot[slots + index].block
    return block != NIL and (index == 0 or k.slot[slots + index - 1].block != block - 1 or block == 0)


@kfn
def _load_inode(k, x, inode):
    """The tree of a file's extents, from its slots."""
    tree = tree_of_inode(k, x, inode)
    file = k.inode[inode]
    n = 0
    for index in range(file.nr_slots):
        if _starts_extent(k, inode, index):
            n += 1
    if n <= INLINE_EXTENTS:
        k.xfs_tree[tree].nr = n
        return
    nr_leaves = -(-n * 3 // (2 * BMBT_RECORDS))
    tail, done, seen = NIL, 0, 0
    for index in range(file.nr_slots):
        if not _starts_extent(k, inode, index):
            continue
        if seen == n * done // nr_leaves and done < nr_leaves:
            leaf = _new_leaf(k, x, tree, near(k, x, after_last(k, x, inode)))
            append_leaf(k, tree, tail, leaf, index, n * (done + 1) // nr_leaves - n * done // nr_leaves)
            tail = leaf
            done += 1
        seen += 1
    k.xfs_block[tail].last = file.nr_slots
    if needs_root(k, tree):
        k.xfs_tree[tree].root = _new_leaf(k, x, tree, near(k, x, after_last(k, x, inode)))


@kfn
def xfs_mount(k, x):
    """Load every tree. Files first: their trees take blocks too."""
    for inode in range(k.param.nr_inodes):
        if k.inode[inode].fs != k.xfs[x].fs:
            continue
        tree = tree_of_inode(k, x, inode)
        k.xfs_tree[tree].kind, k.xfs_tree[tree].capacity = BMBT, BMBT_RECORDS
        if k.inode[inode].disk_pages > 0:
            _load_inode(k, x, inode)
    for ag in range(x * NR_AGS, (x + 1) * NR_AGS):
        _load_ag(k, x, ag)
