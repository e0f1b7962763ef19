# SPDX-License-Identifier: GPL-2.0-or-later
"""Allocating an extent of an XFS filesystem inside a transaction, and entering it into the file's own tree.

Source: Linux v2.6.34 fs/xfs/xfs_alloc.c:xfs_alloc_vextent, xfs_alloc_fix_freelist, xfs_alloc_ag_vextent_near,
xfs_alloc_fixup_trees, xfs_free_ag_extent; xfs_bmap.c:xfs_bmapi, xfs_bmap_add_extent_delay_real. The lock of
an AGF buffer is a field of its own, held by the transaction until it commits.
"""

from pageout.engine.clock import spend
from pageout.engine.constants import ENTRY, NIL
from pageout.engine.kstack import call, call_via, ret
from pageout.engine.waitqueue import sleep_on
from pageout.jit import kfn
from pageout.kernel.frames import FN, LEAF
from pageout.kernel.fs.extents import release_block
from pageout.kernel.fs.xfs_btree import BLOCK_BYTES, DELETE, INSERT, LOOKUP, free_block
from pageout.kernel.fs.xfs_buf import GET_BUF, READ_BUF
from pageout.kernel.fs.xfs_items import WAIT_LOCK, buf_ready, trans_log, xfs_of
from pageout.kernel.fs.xfs_space import (
    after_last,
    ag_of,
    convert_extent,
    free_beside,
    freelist_busy,
    freelist_get,
    freelist_need,
    goal_ag,
    is_delayed,
    joins,
    near,
    take_for_freelist,
    take_one,
)
from pageout.kernel.fs.xfs_trees import (
    BNOBT,
    CNTBT,
    INLINE_EXTENTS,
    NR_AGS,
    plant,
    take_slot,
    tree_of_ag,
    tree_of_inode,
)

AGF_BYTES = 128  # assumed: one chunk of the header changes
CONVERT_NS = 20  # a page of an extent that gets its block
WANT_EXTENT, WANT_BLOCK = 0, 1
GIVE, GROW, NEAR = 0, 1, 2  # why the free-space trees change: a freed block, the free list's own, what was asked for
_LOCKED, _AGF, _FREELIST, _SEARCHED, _FIX, _FORCED = 1, 2, 3, 4, 5, 6


@kfn
def xfs_alloc_vextent(k, t, f):
    """An extent for the delayed pages round a page, or one block for metadata. Sleeps: yes.

    f.a, f.b, f.c in: inode, WANT_EXTENT or WANT_BLOCK, page. An extent is left in task.xt_first, xt_nr (0: the
    pages were not delayed any more); a block is returned, NIL if there is none.
    f.zone is the AG, locked; f.stage why the trees change; f.count records to delete by size, f.total to insert,
    f.left change of records by block, f.flag lookups before them; f.pos block; f.nr_taken what is returned.
    """
    x = xfs_of(k, f.a)
    pc = f.pc
    if pc == ENTRY or pc == _LOCKED:
        f.zone = _lock_ag(k, t, x, f)
        if f.zone == NIL:
            f.pc = _LOCKED
            k.xfs[x].agf_waits += 1
            return sleep_on(k, t, k.xfs[x].wait + WAIT_LOCK, 0, 0)
        pc = _AGF
    if pc == _SEARCHED:
        _choose(k, t, f, x)
        pc = _FIX
    if pc == _FIX:
        step = _fix_trees(k, t, f, x)
        if step >= 0:
            return step
        if f.stage == NEAR:
            return ret(k, t, f, f.nr_taken)
    agf = k.xfs_ag[f.zone].slot
    if not buf_ready(k, x, agf):
        return call_via(k, t, f, FN.xfs_buf_read, _AGF, LEAF.read_agf, x, agf, READ_BUF)
    trans_log(k, t, x, agf, AGF_BYTES)
    return _fix_freelist(k, t, f, x)


@kfn
def _lock_ag(k, t, x, f):
    """Lock an allocation group with free space for the transaction and return it; NIL: one is to be waited for.

    The first choice is where the file goes on. If another transaction has that group locked, the next one with space
    that is not locked is taken; only if there is none does the task wait. A transaction that has allocated goes on in
    the same group, or in a later one: waiting for an earlier one might never end.
    Source: fs/xfs/xfs_alloc.c:xfs_alloc_vextent (XFS_ALLOCTYPE_START_BNO, XFS_ALLOC_FLAG_TRYLOCK).
    """
    first, last = x * NR_AGS, (x + 1) * NR_AGS
    start = k.task[t].xt_ag
    if start != NIL:
        first = start
    elif f.b == WANT_EXTENT:
        start = goal_ag(k, x, f.a, f.c)
    else:
        start = ag_of(k, x, near(k, x, after_last(k, x, f.a)))
    chosen, must_wait = NIL, False
    for i in range(last - first):
        ag = start + i if start + i < last else start + i - (last - first)
        owner = k.xfs_ag[ag].lock_owner
        if owner != NIL and owner != t:
            must_wait = True
        elif chosen == NIL and k.xfs_tree[tree_of_ag(ag, BNOBT)].nr > 0:
            chosen = ag
    if chosen == NIL:
        if must_wait:
            return NIL
        chosen = start
    k.xfs_ag[chosen].lock_owner = t
    k.task[t].xt_ag = chosen
    return chosen


@kfn
def _fix_freelist(k, t, f, x):
    """The free list is made shorter, or longer, to what the trees may need; then the search for space begins."""
    count, need = k.xfs_ag[f.zone].fl_count, freelist_need(k, f.zone)
    if count > need:
        lsn = freelist_busy(k, x, f.zone)
        if lsn != NIL:
            return call_via(k, t, f, FN.xfs_log_force, _FORCED, LEAF.freelist_busy, x, lsn, 0)
        block = freelist_get(k, x, f.zone)
        before, after = free_beside(k, x, block, 1)
        release_block(k, k.xfs[x].fs, block)
        f.stage, f.pos, f.flag = GIVE, block, 0
        f.count, f.total, f.left = before + after, 1, 1 - before - after
        return _fix_first(k, t, f, x)
    if count < need:
        block = take_for_freelist(k, x, f.zone)
        if block != NIL:
            before, after = free_beside(k, x, block, 1)
            _changes(f, GROW, block, before, after)
            return _fix_first(k, t, f, x)
    tree = tree_of_ag(f.zone, CNTBT)
    return call_via(k, t, f, FN.xfs_btree, _SEARCHED, LEAF.near_ge, tree, LOOKUP, 1 << 20)


@kfn
def _changes(f, why, block, before, after):
    """What taking a run out of a free extent does to the trees. Source: fs/xfs/xfs_alloc.c:xfs_alloc_fixup_trees."""
    f.stage, f.pos, f.flag = why, block, 2
    f.count, f.total, f.left = 1, before + after, before + after - 1


@kfn
def _choose(k, t, f, x):
    """Take the blocks; the trees follow."""
    if f.b == WANT_BLOCK:
        block = take_one(k, x, f.zone, near(k, x, after_last(k, x, f.a)))
        f.nr_taken = block
        nr = 1
    else:
        k.task[t].xt_first, k.task[t].xt_nr, block, nr = f.c, 0, NIL, 0
        if is_delayed(k, f.a, f.c):
            first, nr, block = convert_extent(k, x, f.zone, f.a, f.c)
            k.task[t].xt_first, k.task[t].xt_nr = first, nr
            spend(k, t, CONVERT_NS * nr)
        f.nr_taken = nr
    if block == NIL:
        f.stage, f.count, f.total, f.left, f.flag = NEAR, 0, 0, 0, 0
        return
    before, after = free_beside(k, x, block, nr)
    _changes(f, NEAR, block, before, after)


@kfn
def _fix_first(k, t, f, x):
    step = _fix_trees(k, t, f, x)
    if step >= 0:
        return step
    return call_via(k, t, f, FN.xfs_btree, _FREELIST, LEAF.near_ge, tree_of_ag(f.zone, CNTBT), LOOKUP, 1 << 20)


@kfn
def _site(why, is_lookup):
    """The functions between xfs_alloc_vextent and a step on a tree."""
    if why == GIVE:
        return LEAF.give_lookup if is_lookup else LEAF.give
    if why == GROW:
        return LEAF.grow_lookup if is_lookup else LEAF.grow
    return LEAF.near_lookup if is_lookup else LEAF.near_fixup


@kfn
def _fix_trees(k, t, f, x):
    """The next step on the free-space trees, as a call; -1 if there is none left.

    assumed: the low bits of the block stand for the size by which a record is found: sizes are not stored.
    """
    agf = k.xfs_ag[f.zone].slot
    if not buf_ready(k, x, agf):
        return call_via(k, t, f, FN.xfs_buf_read, _FIX, LEAF.read_agf, x, agf, READ_BUF)
    trans_log(k, t, x, agf, 0)
    by_size, by_block = tree_of_ag(f.zone, CNTBT), tree_of_ag(f.zone, BNOBT)
    if f.flag == 2:
        f.flag = 1
        return call_via(k, t, f, FN.xfs_btree, _FIX, _site(f.stage, True), by_size, LOOKUP, f.pos & 0xFFFFF)
    if f.flag == 1:
        f.flag = 0
        return call_via(k, t, f, FN.xfs_btree, _FIX, _site(f.stage, True), by_block, LOOKUP, f.pos)
    if f.count > 0:
        f.count -= 1
        return call_via(k, t, f, FN.xfs_btree, _FIX, _site(f.stage, False), by_size, DELETE, f.pos & 0xFFFFF)
    if f.total > 0:
        f.total -= 1
        return call_via(k, t, f, FN.xfs_btree, _FIX, _site(f.stage, False), by_size, INSERT, f.pos & 0xFFFFF)
    if f.left > 0:
        f.left -= 1
        return call_via(k, t, f, FN.xfs_btree, _FIX, _site(f.stage, False), by_block, INSERT, f.pos)
    if f.left < 0:
        f.left += 1
        return call_via(k, t, f, FN.xfs_btree, _FIX, _site(f.stage, False), by_block, DELETE, f.pos)
    return -1


@kfn
def xfs_bmapi(k, t, f):
    """Real blocks for a delayed page of a file. f.a, f.b in: inode, page. Sleeps: yes."""
    ALLOCATED, ENTERED = 1, 2
    if f.pc == ENTRY:
        if not is_delayed(k, f.a, f.b):
            return ret(k, t, f, 0)
        return call_via(k, t, f, FN.xfs_alloc_vextent, ALLOCATED, LEAF.bmap_alloc, f.a, WANT_EXTENT, f.b)
    if f.pc == ALLOCATED and k.task[t].xt_nr > 0:
        return call(k, t, f, FN.xfs_bmap_add_extent, ENTERED, f.a, k.task[t].xt_first, k.task[t].xt_nr)
    return ret(k, t, f, 0)


@kfn
def xfs_bmap_add_extent(k, t, f):
    """A new extent of a file: merged with those beside it, or a record of its own. Sleeps: yes.

    f.a, f.b, f.c in: inode, first page, pages.  f.left is the change in records.
    """
    LOOKED_UP, CHANGED, NEW_ROOT, PLANTED = 1, 2, 3, 4
    x = xfs_of(k, f.a)
    tree = tree_of_inode(k, x, f.a)
    if f.pc == ENTRY:
        before, after = joins(k, f.a, f.b, f.c)
        f.left = 1 - before - after
        if k.xfs_tree[tree].head == NIL:
            k.xfs_tree[tree].nr += f.left
            if k.xfs_tree[tree].nr <= INLINE_EXTENTS:
                return ret(k, t, f, 0)
            return call_via(k, t, f, FN.xfs_alloc_vextent, NEW_ROOT, LEAF.extents_to_btree, f.a, WANT_BLOCK, f.b)
        return call_via(k, t, f, FN.xfs_btree, LOOKED_UP, LEAF.bmbt_lookup, tree, LOOKUP, f.b)
    if f.pc == LOOKED_UP and f.left != 0:
        return call(k, t, f, FN.xfs_btree, CHANGED, tree, INSERT if f.left > 0 else DELETE, f.b)
    if f.pc == NEW_ROOT:
        block = k.task[t].retval
        if block == NIL:
            return ret(k, t, f, 0)
        f.index = take_slot(k, x, tree, block)
        return call_via(k, t, f, FN.xfs_buf_read, PLANTED, LEAF.bt_get_buf, x, f.index, GET_BUF)
    if f.pc == PLANTED:
        _plant(k, t, f, x, tree)
    elif f.left < 0 and k.xfs_tree[tree].nr <= INLINE_EXTENTS and k.xfs_tree[tree].nr_leaves == 1:
        leaf = k.xfs_tree[tree].head
        k.xfs_tree[tree].head, k.xfs_tree[tree].nr_leaves = NIL, 0
        free_block(k, t, x, tree, leaf)
    return ret(k, t, f, 0)


@kfn
def _plant(k, t, f, x, tree):
    """The first block of a file's tree."""
    k.xfs_tree[tree].ag = ag_of(k, x, k.xfs_block[f.index].block)
    plant(k, x, tree, f.index)
    k.xfs_block[f.index].key, k.xfs_block[f.index].last = 0, k.inode[f.a].nr_slots
    trans_log(k, t, x, f.index, BLOCK_BYTES)
