# SPDX-License-Identifier: GPL-2.0-or-later
"""The designs' choice points in reclaim, one decision at a time, beside slow twins."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.kernel.lab import ANON, FILE, KSWAPD, OTHER, USER, called, few, lab, returned, slept, some
from tests.kernel.mm.test_shrink_list import begin, go, isolated, written_async
from tests.naive import designs as naive

from pageout.engine import constants as c
from pageout.engine.kstack import call, leave_stack, ret, switch_stack, touch
from pageout.kernel import frames
from pageout.kernel.frames import FN, LEAF
from pageout.kernel.mm.dirty_limits import background_threshold, dirtyable_pages, zone_dirty_ok, zone_dirtyable_pages
from pageout.kernel.mm.filemap import end_page_writeback, set_page_dirty
from pageout.kernel.mm.page_alloc import alloc_pages
from pageout.kernel.mm.reclaim_worker import CONTEXT_SWITCH_NS, hand_to_worker, reclaim_worker, sort_by_file
from pageout.kernel.mm.swap import mark_page_accessed
from pageout.kernel.mm.throttle import note_congestion, recycles_writeback, wait_iff_congested
from pageout.kernel.mm.vmscan import try_to_free_pages

WHO = ("always", "kswapd", "never", "high-order", "priority", "urgent")
MS = 1_000_000

# --- who may write


@pytest.mark.parametrize("who", WHO)
def test_who_may_write_which_dirty_page_at_which_priority(who: str) -> None:
    for kswapd, order, priority, anon in product((False, True), (0, 2), (12, 10, 9, 7, 6, 0), (False, True)):
        m = lab(swap=64, choices=(("reclaim.writeback", who),))
        page = m.page(c.PG_SWAPBACKED | c.PG_SWAPCACHE, dirty=True) if anon else m.page(dirty=True)
        if kswapd:
            allowed = int(who != "never")
        else:
            m.enter("try_to_free_pages", order, c.GFP_KERNEL)
            m.step(try_to_free_pages)
            allowed = m.task.sc_writepage
            m.answer()
            m.answer()
        begin(m, [page], order=order, priority=priority, write=allowed, t=KSWAPD if kswapd else USER)
        writes = go(m).kind == "call"
        expected, marked = naive.may_write_dirty(who, kswapd=kswapd, order=order, priority=priority, anon=anon)
        assert writes == expected, (kswapd, order, priority, anon)
        if not writes:
            assert bool(m.flags(page) & c.PG_RECLAIM) == marked


def test_a_page_marked_for_immediate_reclaim_goes_to_the_tail_once_the_flusher_has_written_it() -> None:
    m = lab(choices=(("reclaim.writeback", "urgent"),))
    other, page = m.page(), m.page(dirty=True)
    m.k.page[page].pflags |= c.PG_RECLAIM
    m.page()
    from pageout.kernel.mm.filemap import clear_page_dirty_for_io

    clear_page_dirty_for_io(m.k, page)
    written_async(m, page)
    end_page_writeback(m.k, page)
    assert m.list_of(c.LRU_INACTIVE_FILE)[-2:] == [other, page]
    assert m.k.vm.pgrotated == 1


@pytest.mark.parametrize(("who", "kept"), [("urgent", False), ("always", True)])
def test_a_page_written_to_again_is_no_longer_for_immediate_reclaim(who: str, kept: bool) -> None:
    m = lab(choices=(("reclaim.writeback", who),))
    page = m.page(dirty=True)
    m.k.page[page].pflags |= c.PG_RECLAIM
    set_page_dirty(m.k, USER, page)
    assert bool(m.flags(page) & c.PG_RECLAIM) == kept


@pytest.mark.parametrize(("progress", "left", "freed", "result"), [
    ("freed", 1, 0, 0), ("freed", 0, 7, 0),
    ("reclaimable", 1, 0, 1), ("reclaimable", 0, 0, 0), ("reclaimable", 0, 7, 7),
])  # fmt: skip
def test_what_counts_as_progress(progress: str, left: int, freed: int, result: int) -> None:
    m = lab(choices=(("reclaim.progress", progress),))
    m.k.zone[0].all_unreclaimable = 1
    m.enter("try_to_free_pages", 0, c.GFP_KERNEL)
    step = m.step(try_to_free_pages)
    while step.kind == "call":
        if not left:
            m.k.zone[1].all_unreclaimable = 1
        m.task.sc_reclaimed = freed
        m.answer()
        step = m.step(try_to_free_pages)
    assert step == returned(result)


# --- waiting


@some
@given(st.integers(0, 40), st.integers(1, 40), st.integers(0, 12))
def test_reclaim_is_held_when_enough_of_a_batch_is_under_writeback(under: int, taken: int, priority: int) -> None:
    m = lab(choices=(("reclaim.throttle", "writeback"),))
    m.task.sc_writeback = under
    assert bool(recycles_writeback(m.k, m.t, taken, priority)) == naive.recycles(under, taken, priority)
    m.k.param.reclaim_throttle = 0
    assert not recycles_writeback(m.k, m.t, taken, priority)


@pytest.mark.parametrize("device", [False, True])
@pytest.mark.parametrize("zone", [False, True])
def test_wait_iff_congested_sleeps_only_if_a_device_and_the_zone_are(device: bool, zone: bool) -> None:
    m = lab()
    m.k.bdi[0].congested_write, m.k.zone[1].congested = int(device), int(zone)
    m.enter("wait_iff_congested", 10, 1)
    step = m.step(wait_iff_congested)
    if device and zone:
        assert step == slept(c.WQ_CONGESTION_WRITE, 10)
        m.wake(30 * MS)
    else:
        assert step.kind == "yield"
        assert m.task.spent_ns > 0  # who only goes round takes time, or time would stand still
    assert m.step(wait_iff_congested) == returned(0)
    ((timeout, delayed),) = m.events("writeback_wait_iff_congested")
    assert timeout == 100_000
    assert delayed == (30_000 if device and zone else 0)
    assert m.task.congestion_ns == (30 * MS if device and zone else 0)


def test_swap_is_never_the_congested_device() -> None:
    m = lab(swap=64)
    m.k.bdi[1].congested_write, m.k.zone[1].congested = 1, 1
    m.enter("wait_iff_congested", 10, 1)
    assert m.step(wait_iff_congested).kind == "yield"


@pytest.mark.parametrize(("dirty", "congested", "marked"), [(0, 0, 0), (3, 2, 0), (3, 3, 1)])
def test_a_zone_is_congested_when_every_dirty_page_met_was(dirty: int, congested: int, marked: int) -> None:
    m = lab()
    m.task.sc_dirty, m.task.sc_congested = dirty, congested
    note_congestion(m.k, m.t, 1)
    assert (m.k.zone[0].congested, m.k.zone[1].congested) == (0, marked)


def test_shrink_page_list_counts_what_it_meets_dirty_behind_congestion_and_under_writeback() -> None:
    m = lab()
    m.k.bdi[0].congested_write = 1
    pages = [m.page(dirty=True), m.page(dirty=True), m.page(writeback=True)]
    m.task.sc_writeback = 0
    begin(m, pages)
    assert go(m) == returned(0)
    assert (m.task.sc_dirty, m.task.sc_congested, m.task.sc_writeback) == (2, 2, 1)
    assert m.k.zone[1].congested == 1


# --- writing around


def around(m, window: int, indexes: list[int], wanted: int, **flags: int):
    """Dirty pages of the file at these indexes; reclaim meets the one at `wanted`."""
    pages = {index: m.page(flags.get(f"i{index}", 0), dirty=True, index=index) for index in indexes}
    return pages, begin(m, [pages[wanted]])


@pytest.mark.parametrize(("window", "expected"), [("16", [33, 40, 47]), ("32", [33, 40, 47, 48, 63]),
                                                  ("64", [5, 33, 40, 47, 48, 63])])  # fmt: skip
@pytest.mark.parametrize("fs", ["xfs", "ext2"])
def test_the_window_round_a_dirty_page_is_written_in_file_order(window: str, expected: list[int], fs: str) -> None:
    m = lab(fs=fs, choices=(("reclaim.around", window),))
    pages, _ = around(m, int(window), [5, 33, 40, 47, 48, 63, 64, 70], 40)
    written = []
    step = go(m)
    while step.kind == "call":
        written.append(step.args[0])
        written_async(m, step.args[0])
        m.answer()
        step = go(m)
    assert written == [pages[index] for index in expected]
    assert step == returned(0)
    assert m.kept() == [pages[40]]
    assert m.k.vm.nr_vmscan_write == len(expected)
    assert [event[0] for event in m.events("mm_vmscan_writepage")] == written


def test_neighbours_that_are_locked_or_go_along_with_another_are_passed_over() -> None:
    m = lab(choices=(("reclaim.around", "16"),))
    pages, _ = around(m, 16, [0, 1, 2, 3], 2, i0=c.PG_LOCKED)
    first = go(m)
    assert first.args[0] == pages[1]
    from pageout.kernel.mm.filemap import clear_page_dirty_for_io

    for index in (1, 2, 3):  # the filesystem took the rest of the extent along
        clear_page_dirty_for_io(m.k, pages[index])
        written_async(m, pages[index])
    m.answer()
    assert go(m) == returned(0)
    assert m.flags(pages[2]) & c.PG_RECLAIM
    assert m.k.vm.nr_vmscan_write == 1


def test_swap_is_not_written_around() -> None:
    m = lab(swap=64, choices=(("reclaim.around", "16"),))
    m.page(dirty=True)
    page = m.page(c.PG_SWAPBACKED | c.PG_SWAPCACHE, dirty=True)
    begin(m, [page])
    assert go(m) == called("swap_writepage", page)
    written_async(m, page)
    m.answer()
    assert go(m) == returned(0)


# --- a thread that reclaims


def hand_over(m, t: int, order: int, gfp: int):
    m.act_as(t)
    m.enter("hand_to_worker", order, gfp)
    return m.step(hand_to_worker)


def worker(m) -> int:
    return m.k.param.first_worker


def test_the_allocator_hands_over_and_the_caller_sleeps_until_the_thread_is_done() -> None:
    m = lab(choices=(("reclaim.worker", "node"),))
    m.k.task[worker(m)].state = c.T_SLEEPING  # as at boot
    m.k.stat.now_ns = 5 * MS
    assert hand_over(m, USER, 0, c.GFP_KERNEL) == slept(c.NIL)
    assert m.k.task[worker(m)].state == c.T_RUNNABLE
    assert (m.task.stall_count, m.k.vm.allocstall) == (1, 1)
    m.act_as(worker(m))
    assert m.step(reclaim_worker) == called("try_to_free_pages", 0, c.GFP_KERNEL, 1)
    assert m.task.spent_ns == CONTEXT_SWITCH_NS
    m.answer(33)
    assert m.step(reclaim_worker) == slept(c.NIL)
    assert m.k.task[USER].state == c.T_RUNNABLE
    m.k.stat.now_ns = 9 * MS
    m.act_as(USER)
    m.task.spent_ns = 0
    assert m.step(hand_to_worker) == returned(33)
    assert m.task.stall_ns == 4 * MS + CONTEXT_SWITCH_NS
    names = [event[0] for event in m.events() if "direct_reclaim" in event[0]]
    assert names == ["mm_vmscan_direct_reclaim_begin", "mm_vmscan_direct_reclaim_end"]


def test_a_caller_woken_before_the_thread_is_done_sleeps_on() -> None:
    m = lab(choices=(("reclaim.worker", "node"),))
    hand_over(m, USER, 0, c.GFP_KERNEL)
    m.wake()
    assert m.step(hand_to_worker) == slept(c.NIL)


@pytest.mark.parametrize("first", [c.GFP_KERNEL, c.GFP_NOFS])
@pytest.mark.parametrize("second", [c.GFP_KERNEL, c.GFP_NOFS, c.GFP_WAIT])
def test_requests_that_allow_the_same_are_served_together_for_the_largest_order(first: int, second: int) -> None:
    m = lab(choices=(("reclaim.worker", "node"),))
    hand_over(m, USER, 1, first)
    hand_over(m, OTHER, 3, second)
    bits = c.GFP_FS | c.GFP_IO
    taken, left, order = naive.batch([(1, first & bits), (3, second & bits)])
    m.act_as(worker(m))
    assert m.step(reclaim_worker) == called("try_to_free_pages", order, first, len(taken))
    m.answer(40)
    step = m.step(reclaim_worker)
    assert m.k.task[USER].rq_done == 1
    if left:
        assert step == called("try_to_free_pages", 3, second, 1)
        assert m.k.task[OTHER].rq_done == 0
        m.answer(5)
        step = m.step(reclaim_worker)
        assert m.k.task[OTHER].rq_result == 5
    else:
        assert m.k.task[OTHER].rq_result == 40
    assert step == slept(c.NIL)


def test_a_batch_reclaims_for_all_its_callers_and_stalls_nobody_by_itself() -> None:
    m = lab(choices=(("reclaim.worker", "node"),))
    m.act_as(worker(m))
    m.enter("try_to_free_pages", 0, c.GFP_KERNEL, 3)
    m.step(try_to_free_pages)
    assert m.task.sc_to_reclaim == 96
    m.answer()
    m.task.sc_reclaimed = 95
    assert m.step(try_to_free_pages).kind == "call"
    m.task.sc_reclaimed = 96
    m.answer()
    assert m.step(try_to_free_pages) == returned(96)
    assert (m.task.stall_count, m.k.vm.allocstall, m.events("mm_vmscan_direct_reclaim_begin")) == (0, 0, [])


@few
@given(st.lists(st.tuples(st.sampled_from([FILE, ANON]), st.integers(0, 900)), max_size=40, unique=True))
def test_file_order_sorts_by_inode_and_index(places: list[tuple[int, int]]) -> None:
    m = lab(choices=(("reclaim.worker", "node"), ("reclaim.worker_order", "file")))
    m.act_as(worker(m))
    pages = [m.page(c.PG_SWAPBACKED if inode == ANON else 0, index=index) for inode, index in places]
    if not pages:
        m.task.kept_head = m.task.kept_tail = c.NIL
    else:
        isolated(m, pages)
    sort_by_file(m.k, m.t)
    found = [(m.k.page[page].mapping, m.k.page[page].index) for page in m.kept()]
    assert found == sorted(places)


def test_only_the_thread_sorts() -> None:
    m = lab(choices=(("reclaim.worker", "node"), ("reclaim.worker_order", "file")))
    pages = [m.page(index=9), m.page(index=3)]
    isolated(m, pages)
    sort_by_file(m.k, m.t)
    assert m.kept() == pages


# --- a fresh stack


def test_a_fresh_stack_begins_at_nothing_and_the_old_one_is_found_again() -> None:
    m = lab()
    m.enter("sys_select")
    before, size = m.task.used, m.k.function[FN.shrink_zone].frame_bytes
    m.task.peak = before
    switch_stack(m.k, m.t)
    call(m.k, m.t, m.f, FN.shrink_zone, 1, 0, 0, 0)
    assert (m.task.used, m.task.peak) == (before + size, before)
    touch(m.k, m.t, LEAF.splice_send)
    deepest = size + m.k.leaf[LEAF.splice_send]
    assert m.task.peak == max(before, deepest)
    ret(m.k, m.t, m.f, 0)
    leave_stack(m.k, m.t)
    assert m.task.used == before
    touch(m.k, m.t, LEAF.splice_send)
    assert m.task.peak == before + m.k.leaf[LEAF.splice_send]


def test_the_deepest_chain_is_that_of_one_stack() -> None:
    m = lab()
    m.enter("alloc_pages")
    m.k.stat.peak = 0
    m.task.peak = 0
    switch_stack(m.k, m.t)
    call(m.k, m.t, m.f, FN.try_to_free_pages, 1, 0, 0, 0)
    assert m.k.stat.peak_nr == 1
    assert frames.TABLE[m.k.chain[0]].name == "try_to_free_pages"
    assert m.k.stat.peak == m.k.function[FN.try_to_free_pages].frame_bytes


@pytest.mark.parametrize(("choices", "into", "switched"), [
    ((), "try_to_free_pages", False),
    ((("stack.switch", "writepage"),), "try_to_free_pages", False),
    ((("stack.switch", "reclaim"),), "try_to_free_pages", True),
    ((("reclaim.worker", "node"),), "hand_to_worker", False),
])  # fmt: skip
def test_the_way_into_direct_reclaim(choices, into: str, switched: bool) -> None:
    m = lab(choices=choices)
    for zone in (0, 1):
        m.k.zone[zone].wmark_min = m.k.zone[zone].wmark_low = 1 << 30
    m.enter("alloc_pages", 0, c.GFP_KERNEL)
    assert m.step(alloc_pages) == called(into, 0, c.GFP_KERNEL)
    assert (m.task.stack_base > 0) == switched
    m.answer(1)
    m.step(alloc_pages)
    assert m.task.stack_base == m.task.stack_bottom == 0


@pytest.mark.parametrize("t", [USER, KSWAPD])
def test_writepage_alone_may_run_on_a_fresh_stack_but_not_kswapds(t: int) -> None:
    m = lab(choices=(("stack.switch", "writepage"),))
    page = m.page(dirty=True)
    begin(m, [page], t=t)
    go(m)
    assert (m.task.stack_base > 0) == (t == USER)
    written_async(m, page)
    m.answer()
    go(m)
    assert m.task.stack_base == 0


# --- limits, lists


@some
@given(st.integers(0, 4000), st.integers(0, 3000), st.integers(0, 900), st.integers(0, 900), st.booleans(),
       st.sampled_from([0, 1 << 20, 3 << 20]))  # fmt: skip
def test_a_zones_share_of_the_dirty_limit(free, file, dirty, writeback, less, nr_bytes) -> None:
    settings_ = (("vm.dirty_bytes", nr_bytes), ("vm.dirty_ratio", 0)) if nr_bytes else (("vm.dirty_ratio", 20),)
    m = lab(settings=settings_)
    zone = m.k.zone[1]
    zone.nr_free, zone.nr_dirty, zone.nr_writeback = free, dirty, writeback
    m.set_list_sizes(1, inactive_file=file, active_file=7, inactive_anon=99)
    m.task.tflags = c.PF_LESS_THROTTLE if less else 0
    reserve = max(zone.reserve0, zone.reserve1, zone.reserve2) + zone.wmark_high
    memory = max(0, free + file + 7 - reserve)
    assert zone_dirtyable_pages(m.k, 1) == memory
    limit = naive.zone_limit(
        ratio=20, nr_bytes=nr_bytes, zone_pages=memory, all_pages=dirtyable_pages(m.k), less_throttle=less
    )
    assert bool(zone_dirty_ok(m.k, m.t, 1)) == (dirty + writeback <= limit)


def test_half_the_background_level() -> None:
    usual = background_threshold(lab().k, -1)
    assert background_threshold(lab(choices=(("background.start", "half"),)).k, -1) == usual // 2 > 0


@pytest.mark.parametrize("split", ["on", "off"])
def test_with_one_list_a_page_used_twice_goes_to_its_head_and_stays_inactive(split: str) -> None:
    m = lab(choices=(("lru.split", split),))
    page, other = m.page(), m.page()
    mark_page_accessed(m.k, page)
    mark_page_accessed(m.k, page)
    if split == "on":
        assert m.list_of(c.LRU_ACTIVE_FILE) == [page]
    else:
        assert m.list_of(c.LRU_INACTIVE_FILE) == [page, other]
        assert not m.flags(page) & (c.PG_REFERENCED | c.PG_ACTIVE)
    anon = m.page(c.PG_SWAPBACKED)
    mark_page_accessed(m.k, anon)
    mark_page_accessed(m.k, anon)
    assert m.flags(anon) & c.PG_ACTIVE
