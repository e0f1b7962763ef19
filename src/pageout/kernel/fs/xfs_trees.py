# SPDX-License-Identifier: GPL-2.0-or-later
"""XFS's btrees: of free space by block and by size, one pair an allocation group, and of the extents of each file.

Source: Linux v2.6.34 fs/xfs/xfs_btree.c (make_block_unfull, split, delrec), xfs_alloc_btree.c, xfs_bmap_btree.c. A tree
is its leaves, in order, with the number of records in each; a leaf is a metadata block that may be cached or not. The
records themselves are not stored: the files' and the disk's own tables have them, and each tree's sum is checked
against those. Between a leaf's first and last key records are taken to lie evenly. Over the leaves is one block,
the root, once they are more than fit into the place above them; further levels are left out.
"""

from pageout.engine.clock import fail
from pageout.engine.constants import ERR_META, NIL
from pageout.jit import kfn

BMBT, BNOBT, CNTBT = 0, 1, 2
# Records a leaf of 4 KiB holds: (4096 - 24) / 16 and (4096 - 16) / 8. Source: fs/xfs/xfs_btree.h, xfs_bmap_btree.h,
# xfs_alloc_btree.h
BMBT_RECORDS, ALLOC_RECORDS = 254, 510
INLINE_EXTENTS = 9  # extents that fit into an inode of 256 bytes: (256 - 100) / 16
ROOT_POINTERS = 9  # children of the root in the inode: (256 - 100 - 4) / 16
TOP_KEY = 1 << 20  # larger than any size in a by-size tree, where a search for the largest goes
NR_AGS = 4  # mkfs.xfs for one disk of less than 4 TiB
AGFL_SIZE = 128  # entries of the list of free metadata blocks: a sector of 4-byte numbers


@kfn
def tree_of_ag(ag, kind):
    """The tree of an allocation group: by block or by size."""
    return 2 * ag + (0 if kind == BNOBT else 1)


@kfn
def tree_of_inode(k, x, inode):
    """The tree of a file's extents."""
    return k.xfs[x].inode_trees + inode


@kfn
def find_leaf(k, tree, key):
    """The leaf that a key belongs to; NIL if the tree has no blocks.

    Keys of leaves ascend, so the search may begin anywhere: it begins where the last one ended. That shortens ours, not
    the kernel's, which goes by the blocks above.
    """
    t = k.xfs_tree[tree]
    if t.head == NIL:
        return NIL
    leaf = t.top_hint if key >= TOP_KEY else t.hint
    if leaf == NIL:
        leaf = t.head
    while k.xfs_block[leaf].key > key and k.xfs_block[leaf].prev != NIL:
        leaf = k.xfs_block[leaf].prev
    following = k.xfs_block[leaf].next
    while following != NIL and k.xfs_block[following].key <= key:
        leaf = following
        following = k.xfs_block[leaf].next
    if key >= TOP_KEY:
        t.top_hint = leaf
    else:
        t.hint = leaf
    return leaf


@kfn
def forget_hints(k, tree):
    """A leaf has gone: the next search begins at the first."""
    k.xfs_tree[tree].hint, k.xfs_tree[tree].top_hint = NIL, NIL


@kfn
def filled_leaf(k, leaf):
    """The nearest leaf at or beside this one that has a record to delete."""
    right = leaf
    while right != NIL:
        if k.xfs_block[right].nr > 0:
            return right
        right = k.xfs_block[right].next
    left = k.xfs_block[leaf].prev
    while left != NIL and k.xfs_block[left].nr == 0:
        left = k.xfs_block[left].prev
    return left


@kfn
def take_slot(k, x, tree, block):
    """A row for a new metadata block that lies at this block of its filesystem."""
    slot = k.xfs[x].free_slot
    if slot != NIL:
        k.xfs[x].free_slot = k.xfs_block[slot].next
    elif k.xfs[x].next_slot < k.xfs[x].nr_slots:
        slot = k.xfs[x].next_slot  # rows never used before are not chained: their memory stays untouched
        k.xfs[x].next_slot += 1
    else:
        fail(k, ERR_META, -1, tree)
        return 0
    b = k.xfs_block[slot]
    b.tree, b.nr, b.key, b.last, b.next, b.prev, b.block = tree, 0, 0, 0, NIL, NIL, block
    return slot


@kfn
def plant(k, x, tree, leaf):
    """Make a block the first leaf of its tree, with all records the tree has."""
    t = k.xfs_tree[tree]
    t.head, t.nr_leaves = leaf, 1
    forget_hints(k, tree)
    k.xfs_block[leaf].nr = t.nr


@kfn
def append_leaf(k, tree, tail, leaf, key, nr):
    """Put a leaf with nr records from `key` on behind the tree's last; for loading a tree."""
    b = k.xfs_block[leaf]
    b.nr, b.key, b.last, b.prev = nr, key, key, tail
    if tail == NIL:
        k.xfs_tree[tree].head = leaf
        forget_hints(k, tree)
    else:
        k.xfs_block[tail].next = leaf
        k.xfs_block[tail].last = key
    k.xfs_tree[tree].nr_leaves += 1
    k.xfs_tree[tree].nr += nr


@kfn
def needs_root(k, tree):
    """True if the leaves are too many for what is above them, and there is no root block yet."""
    t = k.xfs_tree[tree]
    return t.root == NIL and t.nr_leaves > (ROOT_POINTERS if t.kind == BMBT else 1)


@kfn
def add_record(k, tree, leaf, key):
    """Count a record in, at its key."""
    b = k.xfs_block[leaf]
    if b.nr == 0:
        b.last = key
    b.nr += 1
    if key > b.last:
        b.last = key
    if key < b.key:
        b.key = key
    k.xfs_tree[tree].nr += 1


@kfn
def drop_record(k, tree, leaf):
    """Count a record out."""
    k.xfs_block[leaf].nr -= 1
    k.xfs_tree[tree].nr -= 1


@kfn
def _key_at(b, nr):
    """Key of a leaf's record number `nr`, as if they lay evenly."""
    return b.key + (b.last - b.key) * nr // b.nr


@kfn
def shift_right(k, leaf, right):
    """Move the last record of a leaf to its right neighbour. Source: fs/xfs/xfs_btree.c:xfs_btree_rshift."""
    b, r = k.xfs_block[leaf], k.xfs_block[right]
    key = _key_at(b, b.nr - 1)
    b.nr -= 1
    r.nr += 1
    b.last = key
    r.key = key if key > b.key else b.key


@kfn
def shift_left(k, leaf, left):
    """Move the first record of a leaf to its left neighbour. Source: fs/xfs/xfs_btree.c:xfs_btree_lshift."""
    b, n = k.xfs_block[leaf], k.xfs_block[left]
    n.last = b.key
    b.key = _key_at(b, 1)
    b.nr -= 1
    n.nr += 1


@kfn
def split(k, tree, leaf, fresh):
    """Move the upper half of a full leaf to a new one on its right. Source: fs/xfs/xfs_btree.c:xfs_btree_split."""
    b, n = k.xfs_block[leaf], k.xfs_block[fresh]
    stay = (b.nr + 1) // 2
    key = _key_at(b, stay)
    n.nr, n.key, n.last = b.nr - stay, key, b.last
    b.nr, b.last = stay, key
    n.next, n.prev = b.next, leaf
    if b.next != NIL:
        k.xfs_block[b.next].prev = fresh
    b.next = fresh
    k.xfs_tree[tree].nr_leaves += 1


@kfn
def join(k, tree, left, right):
    """Move all of the right leaf into the left one and take the right one out of the tree."""
    n, b = k.xfs_block[left], k.xfs_block[right]
    n.nr += b.nr
    if b.last > n.last:
        n.last = b.last
    n.next = b.next
    if b.next != NIL:
        k.xfs_block[b.next].prev = left
    k.xfs_tree[tree].nr_leaves -= 1
    if k.xfs_tree[tree].hint == right:
        k.xfs_tree[tree].hint = left
    if k.xfs_tree[tree].top_hint == right:
        k.xfs_tree[tree].top_hint = left


@kfn
def quick_change(k, tree, key, delta):
    """Records come or go outside a transaction (truncation): leaves are left too full or too empty for the next one."""
    if delta == 0:
        return
    k.xfs_tree[tree].nr += delta
    leaf = find_leaf(k, tree, key)
    if leaf == NIL:
        return
    if delta < 0:
        leaf = filled_leaf(k, leaf)
    if leaf != NIL:
        k.xfs_block[leaf].nr += delta
