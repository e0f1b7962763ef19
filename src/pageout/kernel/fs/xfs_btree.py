# SPDX-License-Identifier: GPL-2.0-or-later
"""Looking up, inserting and deleting a record of an XFS btree: reads blocks that are not cached, splits, joins.

Source: Linux v2.6.34 fs/xfs/xfs_btree.c:xfs_btree_lookup, xfs_btree_insrec, xfs_btree_make_block_unfull,
xfs_btree_delrec, xfs_alloc_btree.c, xfs_bmap_btree.c.
"""

from pageout.engine.constants import ENTRY, NIL
from pageout.engine.kstack import call_via, ret, touch
from pageout.jit import kfn
from pageout.kernel.frames import FN, LEAF
from pageout.kernel.fs.xfs_buf import GET_BUF, READ_BUF, READAHEAD_BUF
from pageout.kernel.fs.xfs_items import buf_ready, forget_buffer, trans_join, trans_log
from pageout.kernel.fs.xfs_space import freelist_busy, freelist_get, freelist_put
from pageout.kernel.fs.xfs_trees import (
    BMBT,
    add_record,
    drop_record,
    filled_leaf,
    find_leaf,
    join,
    needs_root,
    shift_left,
    shift_right,
    split,
    take_slot,
)

LOOKUP, INSERT, DELETE = 0, 1, 2
LOG_BYTES = 256  # assumed: of a leaf whose record changed: two chunks of 128 bytes
BLOCK_BYTES = 4096
_FOUND, _ROOM, _NEW, _BLOCK, _FRESH, _BALANCE, _ADD, _WITHOUT = 1, 2, 3, 4, 5, 6, 7, 8


@kfn
def xfs_btree(k, t, f):
    """One step on a tree. f.a, f.b, f.c in: tree, LOOKUP or INSERT or DELETE, key. Sleeps: yes.

    f.page is the leaf, f.zone the filesystem, f.stage 1 while a root is being put over the leaves.  Stands for no
    function of its own: its chains name them.
    """
    pc = f.pc
    f.zone = k.xfs_tree[f.a].fs
    if pc == ENTRY or pc == _FOUND:
        slot = _path(k, t, f)
        if slot != NIL:
            return call_via(k, t, f, FN.xfs_buf_read, _FOUND, LEAF.bt_lookup, f.zone, slot, READ_BUF)
        touch(k, t, LEAF.bt_find)
        if f.b == LOOKUP or (f.b == DELETE and f.page == NIL):
            return ret(k, t, f, 0)
        pc = _ROOM
        if f.b == DELETE:
            drop_record(k, f.a, f.page)
            trans_log(k, t, f.zone, f.page, LOG_BYTES)
            pc = _BALANCE
    if pc == _BALANCE:
        return _balance(k, t, f)
    return _insert(k, t, f, pc)


@kfn
def _insert(k, t, f, pc):
    """Room in the leaf, or made by shifting a record to a neighbour, or by a split."""
    while True:
        if pc == _ROOM:
            step = _make_room(k, t, f)
            if step >= 0:
                return step
            pc = _ADD if step == -1 else _NEW
        elif pc == _NEW:
            step = _new_block(k, t, f)
            if step >= 0:
                return step
            pc = _WITHOUT
        elif pc == _BLOCK:
            if k.task[t].retval != NIL:
                return _fresh(k, t, f, k.task[t].retval)
            pc = _WITHOUT
        elif pc == _WITHOUT:
            # no block could be had: the leaf becomes too full, or the root has to wait for the next insertion
            if f.stage:
                return ret(k, t, f, 0)
            pc = _ADD
        elif pc == _FRESH:
            trans_log(k, t, f.zone, f.index, BLOCK_BYTES)
            if f.stage:
                k.xfs_tree[f.a].root = f.index
                return ret(k, t, f, 0)
            split(k, f.a, f.page, f.index)
            trans_log(k, t, f.zone, f.page, LOG_BYTES)
            k.xfs[f.zone].splits += 1
            pc = _ADD
        else:
            leaf = find_leaf(k, f.a, f.c)
            add_record(k, f.a, leaf, f.c)
            trans_log(k, t, f.zone, leaf, LOG_BYTES)
            if not needs_root(k, f.a):
                return ret(k, t, f, 0)
            f.stage = 1
            pc = _NEW


@kfn
def _path(k, t, f):
    """Join the blocks from the root to the key's leaf. Returns the first that has to be read, NIL if none."""
    root = k.xfs_tree[f.a].root
    if root != NIL:
        if not buf_ready(k, f.zone, root):
            return root
        trans_join(k, t, f.zone, root)
    f.page = find_leaf(k, f.a, f.c)
    if f.b == DELETE:
        f.page = filled_leaf(k, f.page)
    if f.page == NIL:
        return NIL
    if not buf_ready(k, f.zone, f.page):
        return f.page
    trans_join(k, t, f.zone, f.page)
    return NIL


@kfn
def _make_room(k, t, f):
    """See that the leaf has room. Returns a verb for a block to read, -1 for room, -2 for a split to be made."""
    tree = k.xfs_tree[f.a]
    leaf = find_leaf(k, f.a, f.c)
    f.page = leaf
    b = k.xfs_block[leaf]
    if b.nr < tree.capacity:
        return -1
    right, left = b.next, b.prev
    if right != NIL:
        if not buf_ready(k, f.zone, right):
            return call_via(k, t, f, FN.xfs_buf_read, _ROOM, LEAF.bt_rshift, f.zone, right, READ_BUF)
        touch(k, t, LEAF.bt_rshift_find)
        trans_join(k, t, f.zone, right)
        if k.xfs_block[right].nr < tree.capacity:
            shift_right(k, leaf, right)
            _shifted(k, t, f, right)
            return -1
    if left != NIL:
        if not buf_ready(k, f.zone, left):
            return call_via(k, t, f, FN.xfs_buf_read, _ROOM, LEAF.bt_lshift, f.zone, left, READ_BUF)
        trans_join(k, t, f.zone, left)
        if k.xfs_block[left].nr < tree.capacity:
            shift_left(k, leaf, left)
            _shifted(k, t, f, left)
            return -1
    return -2


@kfn
def _shifted(k, t, f, other):
    k.xfs[f.zone].shifts += 1
    trans_log(k, t, f.zone, other, LOG_BYTES)


@kfn
def _new_block(k, t, f):
    """A block for the new leaf or root: a free-space tree takes it from the AG's free list, a file's allocates it.

    Returns a verb, or -1 if there is none.
    """
    tree = k.xfs_tree[f.a]
    if tree.kind == BMBT:
        return call_via(k, t, f, FN.xfs_alloc_vextent, _BLOCK, LEAF.bmbt_alloc_block, tree.inode, 1, 0)
    lsn = freelist_busy(k, f.zone, tree.ag)
    if lsn != NIL:
        return call_via(k, t, f, FN.xfs_log_force, _NEW, LEAF.allocbt_busy, f.zone, lsn, 0)
    block = freelist_get(k, f.zone, tree.ag)
    if block == NIL:
        return -1
    return _fresh(k, t, f, block)


@kfn
def _fresh(k, t, f, block):
    f.index = take_slot(k, f.zone, f.a, block)
    return call_via(k, t, f, FN.xfs_buf_read, _FRESH, LEAF.bt_get_buf, f.zone, f.index, GET_BUF)


@kfn
def _balance(k, t, f):
    """A leaf that is less than half full takes a record from a neighbour, or is joined with one.

    Moving the cursor on the way reads the next block ahead, whether it is needed or not.
    """
    tree = k.xfs_tree[f.a]
    leaf = f.page
    b = k.xfs_block[leaf]
    least = tree.capacity // 2
    if b.nr >= least or tree.nr_leaves == 1:
        return ret(k, t, f, 0)
    right, left = b.next, b.prev
    if right != NIL:
        if not buf_ready(k, f.zone, right):
            return call_via(k, t, f, FN.xfs_buf_read, _BALANCE, LEAF.bt_delrec, f.zone, right, READ_BUF)
        trans_join(k, t, f.zone, right)
        if k.xfs_block[right].nr > least:
            shift_left(k, right, leaf)
            _shifted(k, t, f, right)
            return ret(k, t, f, 0)
    if left != NIL:
        if not buf_ready(k, f.zone, left):
            return call_via(k, t, f, FN.xfs_buf_read, _BALANCE, LEAF.bt_delrec, f.zone, left, READ_BUF)
        trans_join(k, t, f.zone, left)
        if k.xfs_block[left].nr > least:
            ahead = k.xfs_block[leaf].next
            if ahead != NIL and not f.flag and not buf_ready(k, f.zone, ahead):
                f.flag = 1
                return call_via(k, t, f, FN.xfs_buf_read, _BALANCE, LEAF.bt_readahead, f.zone, ahead, READAHEAD_BUF)
            touch(k, t, LEAF.bt_readahead_find)
            shift_right(k, left, leaf)
            _shifted(k, t, f, left)
            return ret(k, t, f, 0)
    return _join(k, t, f, left, right)


@kfn
def _join(k, t, f, left, right):
    """Two leaves that fit into one become one; the other's block is free once this transaction is on disk."""
    tree = k.xfs_tree[f.a]
    leaf = f.page
    if left != NIL and k.xfs_block[left].nr + k.xfs_block[leaf].nr <= tree.capacity:
        keep, gone = left, leaf
    elif right != NIL and k.xfs_block[right].nr + k.xfs_block[leaf].nr <= tree.capacity:
        keep, gone = leaf, right
    else:
        return ret(k, t, f, 0)
    join(k, f.a, keep, gone)
    k.xfs[f.zone].joins += 1
    trans_log(k, t, f.zone, keep, LOG_BYTES)
    free_block(k, t, f.zone, f.a, gone)
    if tree.nr_leaves == 1 and tree.root != NIL:
        root = tree.root
        tree.root = NIL
        free_block(k, t, f.zone, f.a, root)
    return ret(k, t, f, 0)


@kfn
def free_block(k, t, x, tree, slot):
    """A block has left its tree."""
    forget_buffer(k, t, x, slot)
    freelist_put(k, x, k.xfs_tree[tree].ag, k.xfs_block[slot].block)
    k.xfs_block[slot].tree = NIL
    k.xfs_block[slot].next = k.xfs[x].free_slot
    k.xfs[x].free_slot = slot
