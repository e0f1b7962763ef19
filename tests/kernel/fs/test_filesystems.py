# SPDX-License-Identifier: GPL-2.0-or-later
"""What each filesystem decides about a page it is asked to write, against twins and closed forms."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.kernel.lab import FILE, FLUSHER, KSWAPD, USER, Lab, called, few, lab, returned, slept, some
from tests.naive import filesystems as naive

from pageout.engine import constants as c
from pageout.kernel.fs.btrfs import extent_write_cache_pages, raised_budget
from pageout.kernel.fs.buffer import block_write_full_page, bread
from pageout.kernel.fs.commit import journal_commit_transaction, kjournald, log_wait_commit
from pageout.kernel.fs.ext4 import MAX_MBALLOC, dirty_run, ext4_da_writepages
from pageout.kernel.fs.extents import convert_delayed, convert_page, metadata_slot, prepare_block
from pageout.kernel.fs.journal import is_shadowed, log_start_commit
from pageout.kernel.fs.read_write import sys_write
from pageout.kernel.fs.union import unionfs_write, unionfs_writepage
from pageout.kernel.mm.filemap import (
    block_of,
    clear_page_dirty_for_io,
    find_page,
    set_page_dirty,
    set_page_writeback,
)

STATES = {"d": c.PG_DELAYED, "m": 0, "w": 0, "l": c.PG_LOCKED, ".": 0}


def written(m: Lab, index: int, *, allocated: bool = False) -> int:
    """A page of the file that a task has just written."""
    page = m.page(index=index)
    assert prepare_block(m.k, USER, FILE, index, page) == 0
    if allocated and m.k.page[page].pflags & c.PG_DELAYED:
        convert_page(m.k, FILE, index)
    set_page_dirty(m.k, USER, page)
    return page


def for_writepage(m: Lab, page: int, name: str, submitter: int) -> None:
    """As write_cache_pages and pageout do: dirty mark taken, locked, then the call."""
    clear_page_dirty_for_io(m.k, page)
    m.k.page[page].pflags |= c.PG_LOCKED
    m.enter(name, page, submitter)


@pytest.mark.parametrize(("t", "submitter"), [(USER, 0), (KSWAPD, 1), (FLUSHER, 2)])
def test_ext4_writepage_refuses_a_delayed_page_whoever_asks(t: int, submitter: int) -> None:
    m = lab(fs="ext4")
    m.act_as(t)
    page = written(m, 3)
    for_writepage(m, page, "ext4_writepage", submitter)

    assert m.step(block_write_full_page) == returned(0)
    assert m.flags(page) & (c.PG_DIRTY | c.PG_DELAYED) == c.PG_DIRTY | c.PG_DELAYED
    assert not m.flags(page) & (c.PG_LOCKED | c.PG_WRITEBACK)
    assert (m.k.stat.writepage_refused, m.k.vm.nr_dirty, m.k.stat.written_direct) == (1, 1, 0)


def test_ext4_writepage_writes_a_page_that_has_its_block() -> None:
    m = lab(fs="ext4")
    page = written(m, 3, allocated=True)
    for_writepage(m, page, "ext4_writepage", 0)

    assert m.step(block_write_full_page).name == "submit_bio"
    assert m.flags(page) & c.PG_WRITEBACK
    assert m.k.stat.written_direct == 1


@some
@given(st.text("dmwl.", min_size=1, max_size=24), st.integers(0, 23), st.integers(1, 30))
def test_the_run_ext4_raises_its_budget_to_is_the_twins(pages: str, index: int, most: int) -> None:
    m = file_of(lab(fs="ext4"), pages)
    assert dirty_run(m.k, FILE, min(index, len(pages) - 1), most) == naive.dirty_run(
        pages, min(index, len(pages) - 1), most
    )


def file_of(m: Lab, pages: str) -> Lab:
    """A file of pages in the states of a text."""
    m.k.inode[FILE].nr_slots = len(pages)
    for index, kind in enumerate(pages):
        page = written(m, index, allocated=kind != "d")
        if kind in "w.":
            clear_page_dirty_for_io(m.k, page)
        if kind == "w":
            set_page_writeback(m.k, page)
        m.k.page[page].pflags |= STATES[kind]
    return m


@few
@given(st.text("dmw.", min_size=1, max_size=40), st.integers(1, 45), st.booleans())
def test_ext4_writes_the_twins_extents_in_order(pages: str, budget: int, cyclic: bool) -> None:
    m = file_of(lab(fs="ext4"), pages)
    m.act_as(FLUSHER)
    m.task.wbc_nr, m.task.wbc_cyclic, m.task.wbc_sync = budget, cyclic, 0
    raised = naive.dirty_run(pages, 0, 1 << 15) if cyclic else 8 * budget
    f = m.enter("ext4_da_writepages", FILE, 2)
    indices = []
    while (step := m.step(ext4_da_writepages)) != returned(0):
        if step.name == "ext4_mb_load_buddy":
            m.answer(0)
            continue
        assert step.name == "mpage_da_submit_io"
        page = step.args[0]
        assert not m.flags(page) & c.PG_DELAYED
        indices.append(m.k.page[page].index)
        m.k.page[page].pflags &= ~c.PG_LOCKED
        m.answer(0)
    extents = naive.ext4_extents(pages, max(budget, raised), MAX_MBALLOC)

    assert indices == [first + i for first, length in extents for i in range(length)]
    assert m.task.wbc_nr == budget - len(indices)
    assert f.fn >= 0


def test_ext2_reads_each_indirect_block_once_to_write_mapped_pages() -> None:
    m = lab(fs="ext2", file_pages=4096, exists=True)
    indices, reads = [5, 11, 12, 900, 1035, 1036, 2000, 3500, 13], 0
    for index in indices:
        page = m.page(index=index, dirty=True)
        for_writepage(m, page, "ext2_writepage", 0)
        step = m.step(block_write_full_page)
        while step.name == "ext2_get_branch":
            assert m.step(bread).name == "submit_bio"
            reads += 1
            m.answer()
            meta = m.k.fs[0].meta_inode
            m.k.page[find_page(m.k, meta, metadata_slot(m.k, FILE, index))].pflags ^= c.PG_LOCKED | c.PG_UPTODATE
            assert m.step(bread) == returned(0)
            step = m.step(block_write_full_page)
        assert step.name == "submit_bio"
        m.answer()
        m.step(block_write_full_page)

    assert reads == naive.indirect_blocks(indices) == m.k.stat.metadata_reads


def test_an_indirect_block_that_memory_cannot_be_found_for_leaves_the_page_dirty() -> None:
    m = lab(fs="ext2", file_pages=4096, exists=True)
    page = m.page(index=100, dirty=True)
    for_writepage(m, page, "ext2_writepage", 0)
    assert m.step(block_write_full_page) == called("ext2_get_branch", FILE, 100)
    m.answer(-12)

    assert m.step(block_write_full_page) == returned(0)
    assert m.flags(page) & c.PG_DIRTY
    assert not m.flags(page) & c.PG_LOCKED


def test_ext2_lays_an_indirect_block_before_the_pages_it_names() -> None:
    m = lab(fs="ext2", file_pages=2000, exists=True)
    first = block_of(m.k, FILE, 0)
    for index in (0, 11, 12, 1035, 1036, 1999):
        assert block_of(m.k, FILE, index) == first + index + naive.indirect_blocks(list(range(index + 1)))


@pytest.mark.parametrize(("memalloc", "refused"), [(True, 1), (False, 0)])
def test_btrfs_refuses_whoever_is_short_of_memory(memalloc: bool, refused: int) -> None:
    m = lab(fs="btrfs")
    page = written(m, 3)
    m.task.tflags |= c.PF_MEMALLOC if memalloc else 0
    for_writepage(m, page, "btrfs_writepage", 0)
    step = m.step(block_write_full_page)

    assert step == returned(0) if memalloc else step.name == "submit_bio"
    assert m.k.stat.writepage_refused == refused
    assert bool(m.flags(page) & c.PG_DIRTY) == memalloc


def test_btrfs_gives_a_rewritten_page_a_new_block_and_frees_the_old() -> None:
    m = lab(fs="btrfs")
    page = written(m, 3, allocated=True)
    before, free = block_of(m.k, FILE, 3), m.k.fs[0].free_blocks
    assert prepare_block(m.k, USER, FILE, 3, page) == 0
    assert block_of(m.k, FILE, 3) == before
    convert_delayed(m.k, FILE, 3)

    assert block_of(m.k, FILE, 3) != before
    assert m.k.fs[0].free_blocks == free


def test_btrfs_puts_neighbours_into_one_bio() -> None:
    m = lab(fs="btrfs")
    for index in range(10):
        written(m, index)
    m.act_as(FLUSHER)
    m.task.wbc_nr, m.task.wbc_cyclic, m.task.wbc_sync = 1024, 0, 0
    m.enter("btrfs_writepages", FILE, 2)
    step = m.step(extent_write_cache_pages)

    assert step.name == "submit_bio"
    assert m.k.bio[step.args[0]].nr_pages == 10
    m.answer()
    assert m.step(extent_write_cache_pages) == returned(0)
    assert m.task.wbc_nr == 1014


@pytest.mark.parametrize(
    ("budget", "run", "after"), [(1024, 10, 1024), (1024, 2000, 2000), (1024, 16383, 16383), (1024, 16384, 8192)]
)
def test_btrfs_raises_its_budget_to_a_delayed_run_but_not_far(budget: int, run: int, after: int) -> None:
    assert raised_budget(budget, run) == after


def journal_thread(m: Lab) -> int:
    return int(m.k.fs[0].journald)


def test_the_journal_commits_five_seconds_after_the_first_change() -> None:
    m = lab(fs="ext3")
    t = journal_thread(m)
    written(m, 0)
    m.act_as(t)
    m.enter("kjournald", 0)
    assert m.step(kjournald).kind == "sleep"
    m.wake(5 * c.NS_PER_S)
    m.f.pc = 2
    assert m.step(kjournald) == called("journal_commit_transaction", 0)


def test_fsync_asks_for_the_commit_that_holds_the_file_and_waits_for_it() -> None:
    m = lab(fs="ext3")
    written(m, 0)
    assert m.k.inode[FILE].trans_id == m.k.fs[0].tid == 1
    m.enter("log_wait_commit", 0, 1)
    assert m.step(log_wait_commit) == slept(m.k.fs[0].wait_queue)
    assert m.k.fs[0].commit_request == 1
    m.k.fs[0].committed_tid = 1
    m.wake()
    assert m.step(log_wait_commit) == returned(0)
    assert not log_start_commit(m.k, 0, 1)


def test_a_file_that_was_not_changed_has_no_commit_to_wait_for() -> None:
    m = lab(fs="ext3")
    assert not log_start_commit(m.k, 0, m.k.inode[FILE].trans_id)


def test_a_writer_waits_while_its_inode_is_being_written_to_the_journal() -> None:
    m = lab(fs="ext4", choices=(("flusher.turn", "bandwidth"),))
    fs = m.k.fs[0]
    written(m, 0)
    assert fs.shadow_tid == 0
    m.act_as(journal_thread(m))
    m.enter("journal_commit_transaction", 0)
    assert m.step(journal_commit_transaction).kind == "call"  # the blocks are on their way
    assert (fs.shadow_tid, fs.tid) == (1, 2)

    m.act_as(USER)
    f = m.enter("sys_write", FILE, 4096)
    f.c = 4096
    assert m.step(sys_write) == slept(fs.wait_queue)
    assert m.k.inode[FILE].trans_id == 1
    fs.shadow_tid = 0
    m.wake()
    assert m.step(sys_write) == returned(4096)
    assert m.k.inode[FILE].trans_id == 2


def test_who_changes_a_file_of_no_transaction_that_is_being_written_goes_on() -> None:
    m = lab(fs="ext4")
    written(m, 0)
    m.k.fs[0].shadow_tid = 5
    assert not is_shadowed(m.k, FILE)
    m.k.fs[0].shadow_tid = int(m.k.inode[FILE].trans_id)
    assert is_shadowed(m.k, FILE)


def union_page(submitter: int, lower: str = "xfs") -> tuple[Lab, int, int]:
    m = lab(fs="union", lower=lower)
    page = m.page(index=3, dirty=True)
    for_writepage(m, page, "unionfs_writepage", submitter)
    return m, page, int(m.k.inode[FILE].lower)


@pytest.mark.parametrize("submitter", [0, 1])
def test_a_union_in_reclaim_makes_a_dirty_page_below_and_lets_its_own_go(submitter: int) -> None:
    m, page, lower = union_page(submitter)
    assert m.step(unionfs_writepage) == returned(0)
    below = find_page(m.k, lower, 3)

    assert not m.flags(page) & (c.PG_DIRTY | c.PG_LOCKED | c.PG_WRITEBACK)
    assert m.flags(below) & c.PG_DIRTY
    assert m.k.vm.nr_dirty == 1


@pytest.mark.parametrize(("lower", "writepage"), [("xfs", "xfs_vm_writepage"), ("ext4", "ext4_writepage")])
def test_a_unions_flusher_calls_the_writepage_below_on_the_same_stack(lower: str, writepage: str) -> None:
    m, page, inode = union_page(2, lower)
    depth = m.task.used
    assert m.step(unionfs_writepage) == called(writepage, find_page(m.k, inode, 3), 2, 1)
    assert m.task.used > depth
    assert not m.flags(page) & c.PG_LOCKED


def test_a_union_refuses_when_the_page_below_is_locked_and_reclaim_asks() -> None:
    m = lab(fs="union")
    lower = int(m.k.inode[FILE].lower)
    m.page(c.PG_LOCKED, index=3, inode=lower)
    page = m.page(index=3, dirty=True)
    for_writepage(m, page, "unionfs_writepage", 0)
    assert m.step(unionfs_writepage) == returned(0)
    assert m.flags(page) & c.PG_DIRTY


@pytest.mark.parametrize("exists", [True, False])
def test_the_first_write_to_a_unions_file_copies_it_up_if_it_exists(exists: bool) -> None:
    m = lab(fs="union", exists=exists)
    m.enter("unionfs_write", FILE, 8192, 100)
    step = m.step(unionfs_write)
    if exists:
        assert step == called("copyup_dentry", FILE)
        m.k.inode[FILE].lower, m.k.inode[FILE].copy_to = m.k.inode[FILE].copy_to, c.NIL
        m.answer(0)
        step = m.step(unionfs_write)
    assert step == called("vfs_write", int(m.k.inode[FILE].lower), 8192) or step.args[2] == 100
    assert step.name == "vfs_write"
