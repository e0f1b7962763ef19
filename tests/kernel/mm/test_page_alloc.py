# SPDX-License-Identifier: GPL-2.0-or-later
"""The allocator's slow path in the kernel's order of actions; readahead windows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.kernel.lab import KSWAPD, OTHER, USER, called, lab, many, returned, slept
from tests.naive import allocator as naive
from tests.naive import blocks

from pageout.engine import constants as c
from pageout.engine.waitqueue import sleep_on
from pageout.kernel.mm.page_alloc import alloc_pages
from pageout.kernel.mm.readahead import plan_readahead

GFP_ATOMIC_WAITING = c.GFP_KERNEL | c.GFP_HIGH


def short(m, free: int = 0) -> None:
    """Leave so many free pages above nothing: marks 100, 125, 150."""
    for zone in (0, 1):
        z = m.k.zone[zone]
        z.wmark_min, z.wmark_low, z.wmark_high, z.nr_free, z.reserve1 = 100, 125, 150, 0, 0
    m.k.zone[1].nr_free = free


def request(m, order: int = 0, gfp: int = c.GFP_KERNEL):
    return m.enter("alloc_pages", order, gfp)


def go(m):
    return m.step(alloc_pages)


def got(step) -> bool:
    return step.kind == "ret" and step.args[0] != c.NIL


@pytest.mark.parametrize("high", [False, True])
@pytest.mark.parametrize("wait", [False, True])
def test_the_reserves_a_request_may_use_go_by_its_flags(high: bool, wait: bool) -> None:
    use_high, use_harder = naive.alloc_flags(high=high, wait=wait)
    mark = 100
    if use_high:
        mark -= mark // 2
    if use_harder:
        mark -= mark // 4
    gfp = (c.GFP_HIGH if high else 0) | (c.GFP_KERNEL if wait else 0)
    for free in (mark, mark + 1):
        m = lab()
        short(m, free)
        request(m, 0, gfp)
        assert got(go(m)) == (free > mark)


def test_kswapd_is_woken_first() -> None:
    m = lab()
    short(m, 110)
    sleep_on(m.k, KSWAPD, c.WQ_KSWAPD, 0, 0)
    request(m)
    assert got(go(m))
    assert m.k.task[KSWAPD].state == c.T_RUNNABLE


def test_a_request_that_may_not_wait_fails() -> None:
    m = lab()
    short(m)
    request(m, 0, c.GFP_ATOMIC)
    assert go(m) == returned(c.NIL)


@pytest.mark.parametrize("why", ["reclaiming", "victim"])
def test_reclaimers_and_oom_victims_ignore_watermarks_and_never_reclaim(why: str) -> None:
    for left in (1, 0):
        m = lab()
        short(m, 1)
        if not left:
            for area in range(2 * c.MAX_ORDER):
                m.k.free_area[area].nr = 0
                for kind in range(c.NR_FREE_LISTS):
                    m.k.free_list[area * c.NR_FREE_LISTS + kind].head = c.NIL
        if why == "victim":
            m.task.memdie = 1
        else:
            m.task.tflags |= c.PF_MEMALLOC
        request(m)
        assert got(step := go(m)) == bool(left)
        assert step.kind == "ret"


def test_direct_reclaim_then_another_try_then_a_wait() -> None:
    m = lab()
    short(m)
    request(m)
    assert go(m) == called("try_to_free_pages", 0, c.GFP_KERNEL)
    m.answer(5)
    assert go(m) == called("congestion_wait", 2)
    m.answer()
    assert go(m) == called("try_to_free_pages", 0, c.GFP_KERNEL)
    m.k.zone[1].nr_free = 101
    m.answer(1)
    assert got(go(m))


@pytest.mark.parametrize("order", [0, 3, 4, 6])
@pytest.mark.parametrize("extra", [0, c.GFP_NORETRY, c.GFP_REPEAT])
@pytest.mark.parametrize("progress", [1, 15, 16, 17])
def test_small_requests_loop_and_large_ones_only_with_repeat_until_2_to_the_order_were_freed(
    order, extra, progress
) -> None:
    m = lab()
    short(m)
    request(m, order, c.GFP_KERNEL | extra)
    go(m)
    m.answer(progress)
    again = naive.should_retry(
        order, noretry=bool(extra & c.GFP_NORETRY), repeat=bool(extra & c.GFP_REPEAT), reclaimed_so_far=progress
    )
    assert go(m) == (called("congestion_wait", 2) if again else returned(c.NIL))


def no_progress(m, order: int = 0, gfp: int = c.GFP_KERNEL):
    short(m)
    request(m, order, gfp)
    go(m)
    m.answer(0)
    return go(m)


@pytest.mark.parametrize(("free", "kills"), [(150, 1), (151, 0)])
def test_without_progress_a_task_is_killed_unless_memory_is_above_high_by_now(free: int, kills: int) -> None:
    m = lab()
    for t in (USER, OTHER):
        if t < m.k.param.nr_tasks:
            m.k.frame[t * c.MAX_DEPTH].stage = 2
    m.k.task[OTHER].total_vm = 1 << 20
    short(m)
    request(m)
    go(m)
    m.k.zone[1].nr_free = free
    m.answer(0)
    step = go(m)
    assert m.k.stat.oom_victims == kills
    if kills:
        assert step == slept(c.NIL, 1)
        assert m.k.stat.oom_lock == 1
        m.wake(10_000_000, woken=0)
        go(m)
        assert m.k.stat.oom_lock == 0
    else:
        assert got(step)


def test_the_victim_itself_does_not_wait_and_takes_from_the_reserves() -> None:
    m = lab()
    m.k.frame[USER * c.MAX_DEPTH].stage = 2
    assert no_progress(m).kind == "run"
    assert m.task.memdie
    m.k.zone[1].nr_free = 1
    assert got(go(m))
    assert m.k.stat.oom_lock == 0


@pytest.mark.parametrize("gfp", [c.GFP_ATOMIC, c.GFP_ATOMIC | c.GFP_NOWARN])
def test_a_failure_is_logged_with_the_stack_and_the_state_of_memory_unless_it_was_asked_to_be_quiet(gfp: int) -> None:
    m = lab()
    short(m)
    request(m, 2, gfp)
    assert go(m) == returned(c.NIL)
    assert m.k.stat.klog_nr == (0 if gfp & c.GFP_NOWARN else 1)
    if m.k.stat.klog_nr:
        record = m.k.klog[0]
        assert (record.kind, record.task, record.a, record.b) == (c.KLOG_ALLOC_FAILURE, USER, gfp, 2)
        assert (record.snapshot, record.nr_stack) == (0, 2)
        assert m.k.klog_zone[1].nr_free == 0


def test_nobody_is_killed_while_someone_else_is_at_it() -> None:
    m = lab()
    m.k.stat.oom_lock = 1
    assert no_progress(m) == slept(c.NIL, 1)
    assert m.k.stat.oom_victims == 0
    m.wake(10_000_000, woken=0)
    assert go(m) == called("try_to_free_pages", 0, c.GFP_KERNEL)
    assert m.k.stat.oom_lock == 1


@pytest.mark.parametrize("gfp", [c.GFP_NOFS, c.GFP_WAIT])
def test_without_fs_nobody_is_killed_and_small_requests_loop(gfp: int) -> None:
    assert no_progress(lab(), 0, gfp) == called("congestion_wait", 2)


def test_with_noretry_nobody_is_killed() -> None:
    m = lab()
    assert no_progress(m, 0, c.GFP_KERNEL | c.GFP_NORETRY) == returned(c.NIL)
    assert m.k.stat.oom_victims == 0


def test_for_costly_orders_nobody_is_killed() -> None:
    m = lab()
    assert no_progress(m, 4) == returned(c.NIL)
    assert m.k.stat.oom_victims == 0


@pytest.mark.parametrize("order", [0, 1])
def test_after_reclaim_for_more_than_one_page_the_cpus_lists_are_drained(order: int) -> None:
    m = lab()
    m.k.zone[1].pcp_batch = 5
    from pageout.kernel.mm.buddy import buffered_rmqueue

    buffered_rmqueue(m.k, USER, 1, 0, 0, c.GFP_KERNEL)
    short(m)
    request(m, order)
    go(m)
    m.answer(1)
    go(m)
    assert (m.k.pcp[1].nr == 0) == (order > 0)


# --- readahead


def plan(m, index: int, asked: int = 1, marker: int = 0):
    return plan_readahead(m.k, USER, 0, index, asked, marker)


AHEAD_KB = st.sampled_from([4, 64, 128, 132, 512, 2560, 8192])


@many
@given(st.integers(1, 40), AHEAD_KB)
def test_the_first_window_of_a_file_is_a_multiple_of_what_was_asked(asked: int, kb: int) -> None:
    m = lab(disk=(("read_ahead_kb", kb),))
    most = kb // 4
    size = blocks.initial_window(asked, most)
    ahead = size - asked if size > asked else size
    if ahead == size:
        ahead = blocks.next_window(size, most)
        size += ahead
    assert plan(m, 0, asked) == (0, size, ahead)


@many
@given(st.integers(1, 32), AHEAD_KB)
def test_each_next_window_grows_to_the_largest(asked, kb) -> None:
    m = lab(disk=(("read_ahead_kb", kb),))
    start, size, ahead = plan(m, 0, asked)
    for _ in range(6):
        following = blocks.next_window(size, kb // 4)
        assert plan(m, start + size - ahead, 1, 1) == (start + size, following, following)
        start, size, ahead = start + size, following, following


def test_a_random_read_reads_what_was_asked_and_leaves_the_window() -> None:
    m = lab()
    plan(m, 0, 4)
    m.task.prev_index = 3
    assert plan(m, 500, 2) == (500, 2, 0)
    assert (m.task.ra_start, m.task.ra_size) == (0, 8)


def test_a_miss_right_behind_the_last_page_read_begins_a_window() -> None:
    for behind, begins in ((0, True), (1, True), (2, False)):
        m = lab()
        m.task.ra_inode, m.task.prev_index = 0, 100
        assert (plan(m, 100 + behind, 4) == (100 + behind, 8, 4)) == begins


def test_a_marked_page_without_a_window_continues_behind_what_is_cached() -> None:
    m = lab()
    for index in range(50, 60):
        m.page(index=index)
    assert plan(m, 52, 1, 1) == (60, min(32, 2 * (60 - 52 + 1)), min(32, 2 * (60 - 52 + 1)))
