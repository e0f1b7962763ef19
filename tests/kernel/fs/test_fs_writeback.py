# SPDX-License-Identifier: GPL-2.0-or-later
"""Inode lists, passes and write_cache_pages of the flusher against their twins."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.kernel.lab import FLUSHER, USER, YIELDED, called, lab, returned, slept, some
from tests.naive import writeback as naive

from pageout.engine import constants as c
from pageout.kernel.fs.bdi_work import ALL_PAGES, queue_work, start_background, wakeup_flusher_threads
from pageout.kernel.fs.fs_writeback import (
    MAX_WRITEBACK_PAGES,
    bdi_writeback_thread,
    redirty_tail,
    wb_writeback,
    write_cache_pages,
    writeback_inodes_wb,
    writeback_single_inode,
)
from pageout.kernel.mm.filemap import clear_page_dirty_for_io, inode_list_del, mark_inode_dirty, set_page_dirty

S = c.NS_PER_S


def lists(m) -> tuple[list[int], ...]:
    return m.inode_list("b_dirty"), m.inode_list("b_io"), m.inode_list("b_more_io")


def park(m, inode: int, which: int) -> None:
    """Put an inode where a test wants it, at the head of a list."""
    from pageout.kernel.mm.filemap import inode_list_add

    inode_list_del(m.k, inode)
    inode_list_add(m.k, 0, which, inode, 0)


PROGRAM = st.lists(
    st.tuples(st.sampled_from(["dirty", "redirty", "requeue", "queue_io", "old", "clean"]), st.integers(0, 5)),
    max_size=40,
)


@some
@given(PROGRAM)
def test_inodes_move_between_the_lists_as_the_twin_moves_them(program) -> None:
    m, twin = lab(files=6, file_pages=8), naive.Lists()
    k = m.k
    m.act_as(FLUSHER)
    for now, (what, inode) in enumerate(program, 1):
        k.stat.now_ns = now
        k.task[FLUSHER].spent_ns = 0
        somewhere = k.inode[inode].list_kind != c.LIST_NONE
        if what == "dirty":
            mark_inode_dirty(k, FLUSHER, inode, c.I_DIRTY_PAGES)
            twin.mark_dirty(inode, now)
        elif what in ("queue_io", "old"):
            older = now - 3 if what == "old" else None
            m.task.wbc_kupdate, m.task.wbc_older_ns = 0, c.NEVER if older is None else older
            m.enter("writeback_inodes_wb", 0, 2)
            m.step(writeback_inodes_wb)
            while m.task.depth:
                m.answer()
            twin.queue_io(older)
        elif somewhere and what == "redirty":
            redirty_tail(k, FLUSHER, inode)
            twin.redirty_tail(inode, now)
        elif somewhere and what == "requeue":
            k.inode[inode].istate |= c.I_SYNC
            m.task.wbc_sync = 0
            m.enter("writeback_single_inode", inode, 2)
            assert m.step(writeback_single_inode) == returned(0)
            k.inode[inode].istate &= ~c.I_SYNC
            twin.requeue_io(inode)
        elif somewhere:
            inode_list_del(k, inode)
            k.inode[inode].istate = 0
            twin.clean(inode)
        assert lists(m) == (twin.dirty, twin.io, twin.more_io)
        assert all(k.inode[i].dirtied_when == twin.when[i] for i in twin.dirty + twin.io + twin.more_io)


def test_kupdate_refills_b_io_only_when_it_is_empty() -> None:
    for on_io, refilled in ((True, False), (False, True)):
        m = lab(files=3, file_pages=8)
        m.act_as(FLUSHER)
        mark_inode_dirty(m.k, FLUSHER, 0, c.I_DIRTY_PAGES)
        mark_inode_dirty(m.k, FLUSHER, 1, c.I_DIRTY_PAGES)
        if on_io:
            park(m, 1, c.LIST_IO)
        m.task.wbc_kupdate, m.task.wbc_older_ns = 1, 10
        m.enter("writeback_inodes_wb", 0, 2)
        m.step(writeback_inodes_wb)
        assert (m.inode_list("b_dirty") == []) == refilled


def a_pass(m, budget: int = 1024, kupdate: int = 0):
    m.act_as(FLUSHER)
    m.task.wbc_nr, m.task.wbc_more_io, m.task.wbc_kupdate, m.task.wbc_older_ns = budget, 0, kupdate, c.NEVER
    m.task.wbc_sync, m.task.wbc_cyclic = 0, 1
    return m.enter("writeback_inodes_wb", 0, 2)


@pytest.mark.parametrize(("budget", "goes_on"), [(1, True), (0, False), (-1, False)])
def test_a_pass_ends_when_its_budget_is_used_up(budget: int, goes_on: bool) -> None:
    m = lab(files=3, file_pages=8)
    for inode in (0, 1):
        mark_inode_dirty(m.k, FLUSHER, inode, c.I_DIRTY_PAGES)
    a_pass(m)
    assert m.step(writeback_inodes_wb) == called("writeback_single_inode", 0, 2)
    inode_list_del(m.k, 0)
    m.task.wbc_nr = budget
    m.answer()
    after = m.step(writeback_inodes_wb)
    assert after == (called("writeback_single_inode", 1, 2) if goes_on else returned(0))
    assert m.task.wbc_more_io == (not goes_on)


def test_parked_inodes_mean_there_is_more_to_do() -> None:
    m = lab(files=3, file_pages=8)
    mark_inode_dirty(m.k, FLUSHER, 0, c.I_DIRTY_PAGES)
    a_pass(m)
    m.step(writeback_inodes_wb)
    park(m, 0, c.LIST_MORE_IO)
    m.answer()
    assert m.step(writeback_inodes_wb) == returned(0)
    assert m.task.wbc_more_io == 1


@pytest.mark.parametrize(("off", "served"), [(0, True), (1, False)])
def test_a_pass_stops_at_an_inode_dirtied_after_it_began(off: int, served: bool) -> None:
    m = lab()
    m.k.stat.now_ns = 100
    mark_inode_dirty(m.k, FLUSHER, 0, c.I_DIRTY_PAGES)
    m.k.inode[0].dirtied_when = 100 + off
    a_pass(m)
    assert m.step(writeback_inodes_wb).kind == ("call" if served else "ret")


# --- one inode


def single(m, kupdate: int = 0, budget: int = 100):
    m.act_as(FLUSHER)
    m.task.wbc_nr, m.task.wbc_kupdate, m.task.wbc_sync = budget, kupdate, 0
    return m.enter("writeback_single_inode", 0, 2)


@pytest.mark.parametrize("dirty_again", [False, True])
@pytest.mark.parametrize("pages_left", [False, True])
@pytest.mark.parametrize("kupdate", [0, 1])
@pytest.mark.parametrize("budget_left", [-1, 0, 1])
def test_after_its_turn_an_inode_goes_where_the_table_says(dirty_again, pages_left, kupdate, budget_left) -> None:
    m = lab()
    left = m.page(dirty=True)
    clean = m.page()
    single(m, kupdate)
    assert m.step(writeback_single_inode) == called("write_cache_pages", 0, 2)
    assert m.k.inode[0].istate == c.I_SYNC
    if not pages_left:
        clear_page_dirty_for_io(m.k, left)
    if dirty_again:
        set_page_dirty(m.k, FLUSHER, clean)
    m.task.wbc_nr = budget_left
    m.answer()
    assert m.step(writeback_single_inode) == returned(0)
    where = naive.file_away(
        dirty_again=dirty_again, pages_left=pages_left, kupdate=bool(kupdate), budget_left=budget_left
    )
    expected = {"redirty_tail": ([0], [], []), "requeue_io": ([], [], [0]), "clean": ([], [], [])}[where]
    assert lists(m) == expected
    assert bool(m.k.inode[0].istate & c.I_DIRTY_PAGES) == (where != "clean")
    assert not m.k.inode[0].istate & c.I_SYNC


def test_an_inode_being_written_by_another_is_parked_and_waited_for_only_by_sync() -> None:
    m = lab()
    m.page(dirty=True)
    m.k.inode[0].istate |= c.I_SYNC
    single(m)
    assert m.step(writeback_single_inode) == returned(0)
    assert lists(m) == ([], [], [0])
    single(m)
    m.task.wbc_sync = 1
    assert m.step(writeback_single_inode) == slept(m.k.inode[0].wait_queue)
    m.k.inode[0].istate &= ~c.I_SYNC
    m.wake()
    assert m.step(writeback_single_inode) == called("write_cache_pages", 0, 2)


def test_an_unlinked_inode_leaves_the_lists() -> None:
    m = lab()
    m.page(dirty=True)
    single(m)
    m.step(writeback_single_inode)
    m.k.inode[0].unlinked = 1
    m.answer()
    m.step(writeback_single_inode)
    assert lists(m) == ([], [], [])


# --- an item


def item(m, nr_pages: int, *, kupdate: int = 0, background: int = 0):
    m.act_as(FLUSHER)
    queue_work(m.k, FLUSHER, 0, nr_pages, background, 1)
    work = m.k.bdi[0].work_head
    m.k.work[work].for_kupdate = kupdate
    m.k.bdi[0].work_head = c.NIL
    return m.enter("wb_writeback", 0, work)


def pass_done(m, left: int, more: int = 0):
    m.task.wbc_nr, m.task.wbc_more_io = left, more
    m.answer()
    return m.step(wb_writeback)


PASS = called("writeback_inodes_wb", 0, 2)


@pytest.mark.parametrize(("pages", "passes"), [(0, 0), (1, 1), (1024, 1), (1025, 2), (3000, 3)])
def test_an_item_is_worked_off_in_passes_of_1024_pages(pages: int, passes: int) -> None:
    m = lab()
    item(m, pages)
    step, seen = m.step(wb_writeback), 0
    while step == PASS:
        assert (m.task.wbc_nr, m.task.wbc_more_io) == (MAX_WRITEBACK_PAGES, 0) == (1024, 0)
        seen += 1
        step = pass_done(m, 0)
    assert (seen, step) == (passes, returned(1024 * passes))


@pytest.mark.parametrize(
    ("left", "more", "again"),
    [(1, 0, False), (1, 1, True), (0, 0, True), (-5, 0, True), (1024, 0, False), (1023, 1, True)],
)
def test_after_a_pass_there_is_another_if_all_was_used_or_something_written_with_more_to_come(
    left, more, again
) -> None:
    m = lab()
    item(m, 1 << 30)
    m.step(wb_writeback)
    assert pass_done(m, left, more) == (PASS if again else returned(1024 - left))


def test_with_nothing_written_but_more_parked_the_flusher_waits_for_the_busy_inode() -> None:
    m = lab()
    m.page(dirty=True)
    item(m, 1 << 30)
    m.step(wb_writeback)
    park(m, 0, c.LIST_MORE_IO)
    m.k.inode[0].istate |= c.I_SYNC
    assert pass_done(m, 1024, 1) == slept(m.k.inode[0].wait_queue)
    m.wake()
    assert m.step(wb_writeback) == PASS
    m.k.inode[0].istate &= ~c.I_SYNC
    assert pass_done(m, 1024, 1) == PASS


@pytest.mark.parametrize(("dirty", "goes_on"), [(399, False), (400, True), (401, True)])
def test_a_background_item_ends_below_the_background_threshold(dirty: int, goes_on: bool) -> None:
    m = lab()
    m.k.param.dirty_bytes, m.k.param.background_bytes, m.k.vm.nr_dirty = 1000 * 4096, 400 * 4096, dirty
    item(m, ALL_PAGES, background=1)
    assert m.step(wb_writeback) == (PASS if goes_on else returned(0))


@pytest.mark.parametrize("kupdate", [0, 1])
def test_only_the_periodic_item_has_an_age_limit(kupdate: int) -> None:
    m = lab()
    m.k.stat.now_ns = 100 * S
    item(m, 10, kupdate=kupdate)
    m.step(wb_writeback)
    assert m.task.wbc_older_ns == (70 * S if kupdate else c.NEVER)
    assert (m.task.wbc_kupdate, m.task.wbc_background, m.task.wbc_sync) == (kupdate, 0, 0)


# --- the thread


def test_the_flusher_takes_items_first_come_first_served_then_looks_for_old_data_then_sleeps() -> None:
    m = lab()
    m.act_as(FLUSHER)
    m.k.stat.now_ns = 4 * S
    queue_work(m.k, USER, 0, 5, 0, 0)
    queue_work(m.k, USER, 0, 6, 0, 0)
    m.task.state = c.T_RUNNING
    first, second = m.k.bdi[0].work_head, m.k.work[m.k.bdi[0].work_head].next
    assert m.step(bdi_writeback_thread) == called("wb_writeback", 0, first)
    assert m.k.bdi[0].work_head == second
    m.answer(3)
    assert m.step(bdi_writeback_thread) == called("wb_writeback", 0, second)
    assert m.k.bdi[0].work_head == m.k.bdi[0].work_tail == c.NIL
    m.answer(4)
    assert m.step(bdi_writeback_thread) == slept(c.NIL, 500)
    assert m.events("writeback_pages_written") == [(7,)]
    assert m.k.stat.works_used == 0
    m.wake(S, woken=0)
    step = m.step(bdi_writeback_thread)
    assert step.name == "wb_writeback"
    assert m.k.work[step.args[1]].for_kupdate == 1
    m.answer(0)
    assert m.step(bdi_writeback_thread) == slept(c.NIL, 500)


@pytest.mark.parametrize("nr", [0, 7])
def test_every_device_with_dirty_inodes_gets_the_full_number(nr: int) -> None:
    m = lab(swap=64)
    m.k.vm.nr_dirty = 40
    wakeup_flusher_threads(m.k, USER, nr)
    assert m.work_items() == []
    m.page(dirty=True)
    wakeup_flusher_threads(m.k, USER, nr)
    assert m.work_items() == [(nr or 41, 0, 0)]
    start_background(m.k, USER, 0)
    assert m.work_items()[1] == (ALL_PAGES, 1, 1)
    assert m.k.bdi[0].work_nr == 2


# --- write_cache_pages


def cache_pages(m, budget: int, *, cyclic: int = 1, sync: int = 0, start: int = 0):
    m.act_as(FLUSHER)
    m.task.wbc_nr, m.task.wbc_cyclic, m.task.wbc_sync = budget, cyclic, sync
    m.k.inode[0].writeback_index = start
    return m.enter("write_cache_pages", 0, 2)


def write_all(m, extra: int = 0) -> list[int]:
    """Indices of the pages writepage is called for; each call says that `extra` more went along."""
    indices = []
    step = m.step(write_cache_pages)
    while step.name.endswith("_writepage"):
        page = step.args[0]
        indices.append(m.k.page[page].index)
        m.k.page[page].pflags &= ~c.PG_LOCKED
        m.answer(extra)
        step = m.step(write_cache_pages)
    assert step == returned(0)
    return indices


@some
@given(st.sets(st.integers(0, 200), max_size=30), st.integers(0, 200), st.integers(1, 40), st.booleans())
def test_dirty_pages_are_written_in_file_order_from_where_the_last_pass_stopped(indices, start, budget, cyclic) -> None:
    m = lab(fs="ext2")
    for index in indices:
        m.page(dirty=True, index=index)
    cache_pages(m, budget, cyclic=int(cyclic), start=start)
    order = sorted(indices)
    if cyclic:
        order = [i for i in order if i >= start] + [i for i in order if i < start]
    assert write_all(m) == order[:budget]
    assert m.task.wbc_nr == budget - len(order[:budget])
    if cyclic and budget <= len(order):
        assert m.k.inode[0].writeback_index == order[budget - 1] + 1


def test_pages_under_writeback_are_skipped_and_locked_ones_waited_for() -> None:
    m = lab(fs="ext2")
    m.page(dirty=True, writeback=True)
    locked = m.page(c.PG_LOCKED, dirty=True)
    cache_pages(m, 10)
    assert m.step(write_cache_pages) == called("wait_on_page", locked, c.PG_LOCKED)
    m.k.page[locked].pflags &= ~c.PG_LOCKED
    m.answer()
    assert write_all(m) == [1]


def test_xfs_sees_its_budget_times_four_and_the_generic_loop_counts_calls() -> None:
    m = lab()
    for _ in range(3):
        m.page(dirty=True)
    cache_pages(m, 2)
    step = m.step(write_cache_pages)
    assert (step.name, step.args[1]) == ("xfs_vm_writepage", 2)
    assert step.args[2] == 8
    m.answer(0)
    assert m.step(write_cache_pages).name == "xfs_vm_writepage"
    m.answer(0)
    assert m.step(write_cache_pages) == returned(0)
    assert m.task.wbc_nr == 0


def test_a_long_pass_gives_way() -> None:
    m = lab(fs="ext2")
    for _ in range(3):
        m.page(dirty=True)
    cache_pages(m, 10)
    m.step(write_cache_pages)
    m.k.stat.slice_ns = 0
    m.answer(0)
    assert m.step(write_cache_pages) == YIELDED
    assert m.step(write_cache_pages).name == "ext2_writepage"
