# SPDX-License-Identifier: GPL-2.0-or-later
"""XFS: transactions do not nest, a full log puts to sleep, trees split when full, memory is asked for as it may be."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.kernel.lab import FILE, Lab, called, few, lab, returned, slept, some

from pageout.engine import constants as c
from pageout.kernel.fs import xfs_items, xfs_trees
from pageout.kernel.fs.read_write import sys_write
from pageout.kernel.fs.xfs import xfs_file_fsync, xfs_iomap_write_allocate, xfs_vm_writepage
from pageout.kernel.fs.xfs_alloc import xfs_alloc_vextent
from pageout.kernel.fs.xfs_btree import DELETE, INSERT, xfs_btree
from pageout.kernel.fs.xfs_buf import READ_BUF, READAHEAD_BUF, kmem_zone_alloc, xfs_buf_read, xfsbufd
from pageout.kernel.fs.xfs_log import ICLOG_BYTES, xfs_log_force, xfs_log_reserve, xfs_trans_commit, xlog_sync
from pageout.kernel.mm import slab
from pageout.kernel.mm.readahead import do_readahead

GFP_NOFS, GFP_KERNEL = c.GFP_NOFS | c.GFP_NOWARN, c.GFP_KERNEL | c.GFP_NOWARN


def delayed(m: Lab, index: int = 0) -> int:
    """A page that writepage is called for: its block promised, its dirty mark taken, locked."""
    page = m.page(index=index, refs=0)
    m.k.page[page].pflags |= c.PG_DELAYED | c.PG_LOCKED
    m.k.inode[FILE].delayed += 1
    m.k.fs[0].reserved_blocks += 1
    return page


def stock(m: Lab) -> None:
    """Free objects in every cache, so that no page has to be taken."""
    for cache in range(slab.NR_CACHES):
        m.k.slab[cache].nr_free = 8


def in_transaction(m: Lab) -> None:
    m.task.tflags |= c.PF_FSTRANS
    m.task.xt_head, m.task.xt_bytes = c.NIL, 0


def cached(m: Lab, slot: int) -> int:
    """A metadata block that is in the cache, up to date, out of reclaim's reach."""
    return m.place(m.block(0), inode=m.k.xfs[0].inode, index=slot, listed=False)


# --- transactions


def test_writepage_inside_a_transaction_leaves_a_delayed_page_dirty() -> None:
    m = lab()
    page = delayed(m)
    in_transaction(m)

    m.enter("xfs_vm_writepage", page, 0, 128)

    assert m.step(xfs_vm_writepage) == returned(0)
    assert m.flags(page) & (c.PG_DIRTY | c.PG_DELAYED) == c.PG_DIRTY | c.PG_DELAYED
    assert not m.flags(page) & (c.PG_LOCKED | c.PG_WRITEBACK)
    assert (m.k.xfs[0].redirtied, m.k.vm.nr_dirty, m.k.inode[FILE].nr_dirty) == (1, 1, 1)


def test_writepage_inside_a_transaction_writes_a_page_that_has_its_block() -> None:
    m = lab()
    page = m.page(block=7)
    m.k.page[page].pflags |= c.PG_LOCKED
    in_transaction(m)

    m.enter("xfs_vm_writepage", page, 0, 1)

    assert m.step(xfs_vm_writepage).name == "submit_bio"
    assert m.flags(page) & c.PG_WRITEBACK


DIRECT, KSWAPD, FLUSHER, WRITER = range(4)


def lock_inode(m: Lab) -> Any:
    """Another task's transaction has the file locked. Returns its tree, which has the lock."""
    tree = m.k.xfs_tree[xfs_trees.tree_of_inode(m.k, 0, FILE)]
    tree.locked = m.t + 2
    return tree


@pytest.mark.parametrize("submitter", [DIRECT, KSWAPD])
@pytest.mark.parametrize("mark", [c.PG_DELAYED, c.PG_BH_DELAY])
def test_reclaim_leaves_a_delayed_page_of_a_locked_inode_dirty_and_does_not_wait(submitter: int, mark: int) -> None:
    m = lab()
    page = delayed(m)
    m.k.page[page].pflags = m.flags(page) & ~c.PG_DELAYED | mark
    lock_inode(m)

    m.enter("xfs_vm_writepage", page, submitter, 128)

    assert m.step(xfs_vm_writepage) == returned(0)
    assert m.flags(page) & (c.PG_DIRTY | mark) == c.PG_DIRTY | mark
    assert not m.flags(page) & (c.PG_LOCKED | c.PG_WRITEBACK)
    assert (m.k.xfs[0].redirtied, m.k.stat.reclaim_refused) == (1, 1)


@pytest.mark.parametrize(
    ("submitter", "has_block"), [(FLUSHER, False), (WRITER, False), (FLUSHER, True), (DIRECT, True), (KSWAPD, True)]
)
def test_who_may_wait_and_whoever_asks_where_a_page_lies_waits_for_a_locked_inode(
    submitter: int, has_block: bool
) -> None:
    m = lab()
    stock(m)
    page = m.page(block=7) if has_block else delayed(m)
    m.k.page[page].pflags |= c.PG_LOCKED
    tree = lock_inode(m)

    m.enter("xfs_vm_writepage", page, submitter, 1)

    assert m.step(xfs_vm_writepage) == slept(m.k.xfs[0].wait + xfs_items.WAIT_LOCK)
    m.wake()
    assert m.step(xfs_vm_writepage).kind == "sleep"  # still locked
    tree.locked = 0
    m.wake()
    assert m.step(xfs_vm_writepage).name == ("submit_bio" if has_block else "xfs_iomap_write_allocate")
    assert m.k.xfs[0].redirtied == 0


@pytest.mark.parametrize("first", [True, False])
def test_a_cluster_is_of_pages_written_for_the_first_time_or_of_such_as_were_written_before(first: bool) -> None:
    m = lab()
    for index, mark in enumerate((0, 0, c.PG_BH_DELAY, 0) if not first else (c.PG_BH_DELAY, c.PG_BH_DELAY, 0, 0)):
        page = m.page(index=index, block=7 + index, dirty=True)
        m.k.page[page].pflags |= mark
    page = m.k.slot[m.k.inode[FILE].slot_start].page
    m.k.page[page].pflags = m.flags(page) & ~c.PG_DIRTY | c.PG_LOCKED
    m.k.inode[FILE].nr_dirty -= 1

    m.enter("xfs_vm_writepage", page, FLUSHER, 128)

    assert m.step(xfs_vm_writepage).name == "submit_bio"
    under_way = [m.flags(m.k.slot[m.k.inode[FILE].slot_start + i].page) & c.PG_WRITEBACK != 0 for i in range(4)]
    assert under_way == [True, True, False, False]
    assert m.flags(page) & c.PG_BH_DELAY == 0


def test_a_page_that_got_its_block_while_a_flusher_waited_needs_no_transaction() -> None:
    m = lab()
    stock(m)
    page = delayed(m)
    tree = lock_inode(m)
    m.enter("xfs_vm_writepage", page, FLUSHER, 1)
    assert m.step(xfs_vm_writepage).kind == "sleep"
    m.k.page[page].pflags &= ~c.PG_DELAYED
    m.k.slot[m.k.inode[FILE].slot_start].block = 7
    tree.locked = 0
    m.wake()

    assert m.step(xfs_vm_writepage).name == "submit_bio"
    assert m.k.stat.transactions == 0


def test_a_write_to_a_page_without_a_place_waits_for_a_locked_inode_and_one_that_has_its_place_does_not() -> None:
    m = lab()
    has_place = m.page(index=0, block=7)
    m.k.page[has_place].pflags |= c.PG_PRIVATE | c.PG_UPTODATE
    tree = lock_inode(m)

    m.enter("sys_write", FILE, 0, 8192)

    assert m.step(sys_write) == slept(m.k.xfs[0].wait + xfs_items.WAIT_LOCK)
    assert m.f.pos == 4096
    tree.locked = 0
    m.wake()
    assert m.step(sys_write) == returned(8192)


def test_a_read_that_misses_the_cache_waits_for_a_locked_inode() -> None:
    m = lab()
    m.k.inode[FILE].size_pages = 4
    tree = lock_inode(m)

    m.enter("do_readahead", FILE, 0)
    m.f.c = 4

    assert m.step(do_readahead) == slept(m.k.xfs[0].wait + xfs_items.WAIT_LOCK)
    assert m.k.stat.readahead_pages == 0
    tree.locked = 0
    m.wake()
    assert m.step(do_readahead).kind in ("call", "ret")
    assert m.k.stat.readahead_pages == 4


def test_the_transactions_own_memory_is_asked_for_before_the_task_counts_as_inside_one() -> None:
    m = lab()
    page = delayed(m)

    m.enter("xfs_iomap_write_allocate", FILE, m.k.page[page].index)

    assert m.step(xfs_iomap_write_allocate) == called("kmem_zone_alloc", slab.CACHE_XFS_TRANS)
    assert not m.task.tflags & c.PF_FSTRANS


def test_memory_inside_a_transaction_may_not_enter_a_filesystem() -> None:
    for flags, gfp in ((0, GFP_KERNEL), (c.PF_FSTRANS, GFP_NOFS)):
        m = lab()
        for zone in range(2):
            m.k.zone[zone].wmark_low = 1 << 30
        m.task.tflags |= flags

        m.enter("kmem_zone_alloc", slab.CACHE_XFS_TRANS)

        assert m.step(kmem_zone_alloc) == called("alloc_pages", 0, gfp)


def test_a_cache_that_gets_no_page_waits_20_ms_and_tries_again() -> None:
    m = lab()
    m.k.zone[0].wmark_low = m.k.zone[1].wmark_low = 1 << 30
    m.enter("kmem_zone_alloc", slab.CACHE_XFS_BUF)
    m.step(kmem_zone_alloc)
    m.answer(c.NIL)

    assert m.step(kmem_zone_alloc) == called("congestion_wait", 2)  # jiffies of 10 ms
    m.answer()
    assert m.step(kmem_zone_alloc).name == "alloc_pages"
    m.answer(m.block(0))
    assert m.step(kmem_zone_alloc) == returned(0)
    assert (m.k.slab[slab.CACHE_XFS_BUF].nr_used, m.k.slab[slab.CACHE_XFS_BUF].nr_free) == (1, 8)


def test_a_second_transaction_on_an_inode_waits_for_the_first() -> None:
    m = lab()
    page = delayed(m)
    stock(m)
    m.k.xfs_tree[xfs_trees.tree_of_inode(m.k, 0, FILE)].locked = 1 + m.t + 1

    m.enter("xfs_iomap_write_allocate", FILE, m.k.page[page].index)

    assert m.step(xfs_iomap_write_allocate).kind == "sleep"
    m.k.xfs_tree[xfs_trees.tree_of_inode(m.k, 0, FILE)].locked = 0
    m.wake()
    assert m.step(xfs_iomap_write_allocate).name == "xfs_bmapi"


# --- the log


def test_a_full_log_puts_the_reservation_to_sleep_and_the_tail_is_pushed() -> None:
    m = lab()
    stock(m)
    xfs = m.k.xfs[0]
    xfs.reserved = xfs.log_bytes - xfs.reserve_bytes + 1

    m.enter("xfs_log_reserve", 0)

    assert m.step(xfs_log_reserve).kind == "sleep"
    assert (xfs.push, xfs.grants_slept, m.task.wait_queue) == (1, 1, xfs.wait + xfs_items.WAIT_LOG)
    xfs.reserved -= 1
    m.wake()
    assert m.step(xfs_log_reserve) == returned(0)
    assert xfs.reserved == xfs.log_bytes


def open_transaction(m: Lab, nr_bytes: int) -> None:
    in_transaction(m)
    stock(m)
    m.task.xt_bytes = nr_bytes
    m.k.xfs[0].reserved += m.k.xfs[0].reserve_bytes
    m.k.xfs[0].nr_trans_open += 1
    m.k.slab[slab.CACHE_XFS_TICKET].nr_used += 1


def test_a_commit_that_fits_only_fills_the_in_core_log() -> None:
    m = lab()
    open_transaction(m, 1000)

    m.enter("xfs_trans_commit", 0, FILE)

    assert m.step(xfs_trans_commit) == returned(0)
    assert m.k.iclog[0].used == m.k.xfs[0].head > 1000
    assert (m.k.xfs[0].reserved, m.k.xfs[0].log_writes) == (0, 0)
    assert not m.task.tflags & c.PF_FSTRANS


def test_full_in_core_logs_are_written_in_turn_and_the_commit_sleeps_when_all_are_under_way() -> None:
    m = lab()
    open_transaction(m, ICLOG_BYTES * (xfs_items.NR_ICLOGS + 1))
    m.enter("xfs_trans_commit", 0, FILE)

    for i in range(xfs_items.NR_ICLOGS):
        assert m.step(xfs_trans_commit) == called("xlog_sync", 0, i)
        m.answer()
        m.k.iclog[i].bios = 1
    assert m.step(xfs_trans_commit).kind == "sleep"

    # the second ends first: nothing counts yet
    xfs_items.xfs_end_io(m.k, m.k.xfs[0].inode, -2)
    assert m.k.xfs[0].synced == 0
    xfs_items.xfs_end_io(m.k, m.k.xfs[0].inode, -1)
    assert (m.k.xfs[0].synced, m.k.xfs[0].iclog_oldest) == (2 * ICLOG_BYTES, 2)
    m.wake()
    assert m.step(xfs_trans_commit) == called("xlog_sync", 0, 0)


def test_log_writes_follow_each_other_on_the_disk() -> None:
    m = lab()
    m.k.iclog[0].used, m.k.iclog[1].used = ICLOG_BYTES, 5000
    places = []
    for i in range(2):
        m.enter("xlog_sync", 0, i)
        bio = m.step(xlog_sync).args[0]
        while bio != c.NIL:
            b = m.k.bio[bio]
            places += range(b.block, b.block + b.nr_pages)
            assert (b.is_write, b.is_sync, b.index) == (1, 1, -1 - i)
            bio = b.next
        m.answer()
        assert m.step(xlog_sync) == returned(0)

    assert places == list(range(m.k.xfs[0].log_start, m.k.xfs[0].log_start + 8 + 2))


def test_a_force_writes_the_current_in_core_log_and_waits_for_it() -> None:
    m = lab()
    xfs = m.k.xfs[0]
    m.k.iclog[0].used, xfs.head = 700, 700

    m.enter("xfs_log_force", 0, 700)
    assert m.step(xfs_log_force) == called("xlog_sync", 0, 0)
    assert (xfs.head, xfs.iclog_cur) == (4096, 1)  # padded to a block
    m.k.iclog[0].bios = 1
    m.answer()
    assert m.step(xfs_log_force).kind == "sleep"
    xfs_items.xfs_end_io(m.k, xfs.inode, -1)
    m.wake()
    assert m.step(xfs_log_force) == returned(0)


def inode_row(m: Lab) -> Any:
    return m.k.xfs_block[m.k.xfs[0].inode_rows + FILE]


def test_fsync_of_a_file_written_to_logs_its_inode_and_waits_for_the_log() -> None:
    m = lab()
    stock(m)
    m.k.inode[FILE].core_dirty = 1

    m.enter("xfs_file_fsync", FILE)

    assert m.step(xfs_file_fsync) == called("xfs_trans_commit", 0, FILE)
    assert m.task.xt_head == m.k.xfs[0].inode_rows + FILE
    assert m.k.inode[FILE].core_dirty == 0
    inode_row(m).lsn = 700
    m.answer()
    assert m.step(xfs_file_fsync) == called("xfs_log_force", 0, 700)
    m.answer()
    assert m.step(xfs_file_fsync) == returned(0)


@pytest.mark.parametrize(
    ("lsn", "step"), [(900, called("xfs_log_force", 0, 900)), (500, returned(0)), (0, returned(0))]
)
def test_fsync_of_a_file_that_a_transaction_caught_up_with_forces_the_log_only_if_that_is_not_on_disk(
    lsn: int, step: object
) -> None:
    m = lab()
    m.k.xfs[0].synced = 500
    inode_row(m).lsn = lsn

    m.enter("xfs_file_fsync", FILE)

    assert m.step(xfs_file_fsync) == step
    assert m.k.stat.transactions == 0


def test_fsync_waits_for_a_locked_inode() -> None:
    m = lab()
    tree = lock_inode(m)
    m.enter("xfs_file_fsync", FILE)
    assert m.step(xfs_file_fsync) == slept(m.k.xfs[0].wait + xfs_items.WAIT_LOCK)
    tree.locked = 0
    m.wake()
    assert m.step(xfs_file_fsync) == returned(0)


def test_the_daemon_forces_the_log_before_it_writes_what_is_pinned() -> None:
    m = lab()
    stock(m)
    cached(m, 0)
    in_transaction(m)
    xfs_items.trans_log(m.k, m.t, 0, 0, 128)
    m.k.xfs[0].head = m.k.iclog[0].used = 128
    xfs_items.end_items(m.k, m.t, 0, 128)
    assert (m.k.xfs[0].nr_ail, m.k.xfs_block[0].state) == (1, xfs_items.B_DIRTY)

    m.k.xfs[0].push = 1
    m.enter("xfsbufd", 0)
    assert m.step(xfsbufd) == called("xfs_log_force", 0, 128)
    m.k.xfs[0].synced = 128
    m.answer()
    assert m.step(xfsbufd).name == "submit_bio"
    assert m.k.xfs_block[0].state == xfs_items.B_WRITING
    m.answer()
    xfs_items.xfs_end_io(m.k, m.k.xfs[0].inode, 0)
    assert (m.k.xfs[0].nr_ail, m.k.xfs_block[0].state, m.k.xfs_block[0].held) == (0, xfs_items.B_CLEAN, 0)
    assert xfs_items.tail_lsn(m.k, 0) == m.k.xfs[0].head


# --- buffers


def test_a_block_that_is_not_cached_is_read_and_waited_for_and_readahead_does_not_wait() -> None:
    for what, then in ((READ_BUF, "wait_on_page"), (READAHEAD_BUF, "")):
        m = lab()
        stock(m)
        m.enter("xfs_buf_read", 0, 0, what)
        step = m.step(xfs_buf_read)
        assert step.name == "submit_bio"
        assert not m.k.bio[step.args[0]].is_write
        m.answer()
        step = m.step(xfs_buf_read)
        assert step.name == then or step == returned(0)
        assert m.k.xfs[0].meta_reads == 1


def test_a_held_buffer_keeps_its_page_and_one_let_go_does_not() -> None:
    m = lab()
    stock(m)
    page = cached(m, 0)
    in_transaction(m)

    xfs_items.trans_join(m.k, m.t, 0, 0)
    assert m.k.page[page].refs == 1
    xfs_items.end_items(m.k, m.t, 0, 0)
    assert m.k.page[page].refs == 0


# --- trees


class Occupancy:
    """Leaves of a btree as lists of keys: the slow twin, from the reference's rules alone."""

    def __init__(self, capacity: int) -> None:
        self.capacity, self.leaves, self.splits = capacity, [[]], 0

    def insert(self, key: int) -> None:
        at = max((i for i, leaf in enumerate(self.leaves) if leaf and leaf[0] <= key), default=0)
        leaf = self.leaves[at]
        if len(leaf) == self.capacity:
            if at + 1 < len(self.leaves) and len(self.leaves[at + 1]) < self.capacity:
                self.leaves[at + 1].insert(0, leaf.pop())
            elif at > 0 and len(self.leaves[at - 1]) < self.capacity:
                self.leaves[at - 1].append(leaf.pop(0))
            else:
                half = (len(leaf) + 1) // 2
                self.leaves[at : at + 1] = [leaf[:half], leaf[half:]]
                self.splits += 1
            at = max((i for i, leaf in enumerate(self.leaves) if leaf[0] <= key), default=0)
        self.leaves[at] = sorted([*self.leaves[at], key])


def insert(m: Lab, tree: int, key: int, op: int = INSERT) -> int:
    """One step on a tree whose blocks are all cached; returns how many blocks were asked for."""
    blocks = 0
    m.enter("xfs_btree", tree, op, key)
    step = m.step(xfs_btree)
    while step.kind == "call":
        if step.name == "xfs_alloc_vextent":
            blocks += 1
            m.answer(2000 + m.k.xfs[0].next_slot)
        else:
            assert step.name == "xfs_buf_read"
            if xfs_items.page_of(m.k, 0, step.args[1]) == c.NIL:
                cached(m, step.args[1])
            m.answer()
        step = m.step(xfs_btree)
    assert step == returned(0)
    return blocks


def leaves(m: Lab, tree: int) -> list[int]:
    found, leaf = [], m.k.xfs_tree[tree].head
    while leaf != c.NIL:
        found.append(m.k.xfs_block[leaf].nr)
        leaf = m.k.xfs_block[leaf].next
    return found


def planted(capacity: int) -> tuple[Lab, int]:
    """A file's tree of one empty leaf."""
    m = lab()
    in_transaction(m)
    for cache in range(slab.NR_CACHES):
        m.k.slab[cache].nr_free = 500
    tree = xfs_trees.tree_of_inode(m.k, 0, FILE)
    slot = xfs_trees.take_slot(m.k, 0, tree, 5)
    cached(m, slot)
    xfs_trees.plant(m.k, 0, tree, slot)
    m.k.xfs_tree[tree].capacity = capacity
    return m, tree


def test_a_leaf_is_split_when_it_is_full_and_its_neighbours_are_and_not_before() -> None:
    m, tree = planted(8)
    twin = Occupancy(8)
    for key in range(60):
        before = leaves(m, tree)
        blocks = insert(m, tree, key)
        twin.insert(key)
        assert leaves(m, tree) == [len(leaf) for leaf in twin.leaves]
        if blocks:
            assert before[-1] == 8
    assert m.k.xfs[0].splits == twin.splits == len(twin.leaves) - 1 > 5


@given(st.lists(st.integers(0, 300), min_size=30, max_size=90), st.lists(st.integers(0, 1 << 21), max_size=12))
@few
def test_the_leaf_of_a_key_is_the_same_wherever_the_search_begins(keys: list[int], sought: list[int]) -> None:
    m, tree = planted(6)
    for key in keys:
        insert(m, tree, key)
        for wanted in (*sought, key):
            leaf, following = m.k.xfs_tree[tree].head, m.k.xfs_block[m.k.xfs_tree[tree].head].next
            while following != c.NIL and m.k.xfs_block[following].key <= wanted:
                leaf, following = following, m.k.xfs_block[following].next
            assert xfs_trees.find_leaf(m.k, tree, wanted) == leaf


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 200)), max_size=120))
@some
def test_whatever_comes_and_goes_no_leaf_is_too_full_and_the_sum_is_right(steps: list[tuple[bool, int]]) -> None:
    m, tree = planted(6)
    records = 0
    for is_insert, key in steps:
        if not is_insert and not records:
            continue
        insert(m, tree, key, INSERT if is_insert else DELETE)
        records += 1 if is_insert else -1
        now = leaves(m, tree)
        assert sum(now) == m.k.xfs_tree[tree].nr == records
        assert len(now) == m.k.xfs_tree[tree].nr_leaves
        assert all(0 <= nr <= 6 for nr in now)
        if len(now) > 1:  # a leaf below half full has been joined or has borrowed
            assert min(now) >= 2


def seek_ag(m: Lab, goal: int, held: int, owners: list[int], has_space: list[bool]) -> tuple[str, int]:
    """Which allocation group a transaction gets, whose file goes on in AG `goal`; NIL if it sleeps."""
    m.k.inode[FILE].last_block = goal * m.k.xfs[0].ag_blocks + 99
    m.task.xt_ag = held
    for ag in range(xfs_trees.NR_AGS):
        m.k.xfs_ag[ag].lock_owner = owners[ag]
        m.k.xfs_tree[2 * ag].nr = int(has_space[ag])
    m.enter("xfs_alloc_vextent", FILE, 1, 0)
    frame = m.f
    return m.step(xfs_alloc_vextent).kind, frame.zone


@given(
    st.integers(0, 3),
    st.booleans(),
    st.lists(st.booleans(), min_size=4, max_size=4),
    st.lists(st.booleans(), min_size=4, max_size=4),
)
def test_a_locked_allocation_group_is_passed_over_and_waited_for_only_if_no_other_has_space(
    goal: int, holds: bool, locked: list[bool], has_space: list[bool]
) -> None:
    m = lab(disk_mb=512)
    stock(m)
    in_transaction(m)
    owners = [m.t + 1 if is_locked else c.NIL for is_locked in locked]
    if holds:
        owners[goal] = m.t
    # who has allocated in one group may only go on to those behind it
    allowed = list(range(goal, 4)) + ([] if holds else list(range(goal)))
    free = [ag for ag in allowed if owners[ag] in (c.NIL, m.t)]
    usable = [ag for ag in free if has_space[ag]]

    how, ag = seek_ag(m, goal, goal if holds else c.NIL, owners, has_space)

    if usable:
        assert (how, ag) == ("call", usable[0])
    elif len(free) < len(allowed):
        assert (how, ag) == ("sleep", c.NIL)
    else:
        assert (how, ag) == ("call", goal)
    mine = [ag for ag in range(4) if m.k.xfs_ag[ag].lock_owner == m.t]
    assert mine == sorted({ag for ag in (ag, goal if holds else ag) if ag != c.NIL})


def test_a_commit_unlocks_every_allocation_group_of_the_task_and_no_other() -> None:
    m = lab()
    in_transaction(m)
    m.k.slab[slab.CACHE_XFS_TRANS].nr_used = m.k.slab[slab.CACHE_XFS_TICKET].nr_used = 1
    for ag, owner in enumerate((m.t, m.t + 1, m.t, c.NIL)):
        m.k.xfs_ag[ag].lock_owner = owner

    m.enter("xfs_trans_commit", 0, FILE)

    assert m.step(xfs_trans_commit) == returned(0)
    assert [m.k.xfs_ag[ag].lock_owner for ag in range(4)] == [c.NIL, m.t + 1, c.NIL, c.NIL]
    assert m.task.xt_ag == c.NIL


def test_a_block_freed_by_a_commit_not_yet_on_disk_costs_a_log_force() -> None:
    m = lab()
    stock(m)
    in_transaction(m)
    xfs, ag = m.k.xfs[0], m.k.xfs_ag[0]
    for slot in range(40):
        if m.k.slot[m.k.inode[xfs.inode].slot_start + slot].page == c.NIL:
            cached(m, slot)
    m.k.inode[FILE].last_block = 100
    for i in range(8):  # more than the trees may need, the first of them freed at 5000
        m.k.xfs_agfl[i].block, m.k.xfs_agfl[i].lsn = 3000 + 2 * i, 5000
    ag.fl_first, ag.fl_count = 0, 8
    xfs.head, xfs.synced = 6000, 4096

    m.enter("xfs_alloc_vextent", FILE, 1, 0)

    assert m.step(xfs_alloc_vextent) == called("xfs_log_force", 0, 5000)
    xfs.synced = 8192
    m.answer()
    assert m.step(xfs_alloc_vextent).name == "xfs_btree"
    assert ag.fl_count == 7


# --- slab


def test_a_cache_takes_a_page_when_it_has_no_object_and_gives_it_back_when_enough_are_empty() -> None:
    m = lab()
    cache = slab.CACHE_XFS_TRANS
    per_slab = m.k.slab[cache].per_slab
    assert per_slab == 4096 // slab.OBJECT_BYTES[cache]
    assert not slab.slab_alloc(m.k, cache)
    for _ in range(slab.PARTIAL + 2):
        slab.slab_grow(m.k, cache, m.block(0))
        for _ in range(per_slab):
            assert slab.slab_alloc(m.k, cache)
    assert not slab.slab_alloc(m.k, cache)
    for _ in range((slab.PARTIAL + 2) * per_slab):
        slab.slab_free(m.k, m.t, cache)

    assert m.k.slab[cache].nr_used == 0
    assert m.k.slab[cache].nr_pages == slab.PARTIAL
