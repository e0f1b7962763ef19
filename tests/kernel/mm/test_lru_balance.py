# SPDX-License-Identifier: GPL-2.0-or-later
"""Scan balance against its twin, with each threshold at, one below and one above."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.kernel.lab import KSWAPD, OTHER, USER, lab, many
from tests.naive import reclaim as naive

from pageout.engine import constants as c
from pageout.kernel.costs import SCAN_NS
from pageout.kernel.mm.lru_balance import (
    age_anon_if_low,
    anon_is_low,
    anon_percent,
    can_swap,
    file_is_low,
    nr_on,
    nr_to_scan,
    reclaimable_pages,
    shrink_active_list,
)
from pageout.kernel.mm.swap import lru_cache_add

ANON_ACTIVE = c.PG_SWAPBACKED | c.PG_ACTIVE


def test_each_list_of_each_zone_has_its_own_size() -> None:
    m = lab()
    m.set_list_sizes(0, 1, 2, 3, 4)
    m.set_list_sizes(1, 5, 6, 7, 8)
    assert [nr_on(m.k, zone, lru) for zone in (0, 1) for lru in range(4)] == [1, 2, 3, 4, 5, 6, 7, 8]


@pytest.mark.parametrize(("free", "expected"), [(-1, False), (0, False), (1, True), (2, True)])
def test_swap_can_be_used_while_a_slot_is_free(free: int, expected: bool) -> None:
    m = lab()
    m.k.stat.swap_free = free
    assert can_swap(m.k) is expected


@pytest.mark.parametrize("zone", [0, 1])
@pytest.mark.parametrize("swap", [0, 1])
def test_reclaimable_pages_include_anonymous_ones_only_with_free_swap(zone: int, swap: int) -> None:
    m = lab()
    m.k.stat.swap_free = swap
    m.set_list_sizes(zone, 1, 20, 300, 4000)
    assert reclaimable_pages(m.k, zone) == naive.reclaimable((1, 20, 300, 4000), swap=bool(swap))


@pytest.mark.parametrize("ratio", [1, 3])
@pytest.mark.parametrize("inactive", [0, 10])
@pytest.mark.parametrize("off", [-1, 0, 1])
def test_anon_is_low_when_active_exceeds_inactive_times_the_ratio(ratio: int, inactive: int, off: int) -> None:
    m = lab()
    active = max(0, inactive * ratio + off)
    m.set_list_sizes(1, inactive_anon=inactive, active_anon=active, inactive_file=7, active_file=5)
    m.k.zone[1].inactive_ratio = ratio
    assert bool(anon_is_low(m.k, 1)) == naive.anon_is_low(inactive, active, ratio)


@pytest.mark.parametrize("off", [-1, 0, 1])
def test_file_is_low_when_more_is_active_than_inactive(off: int) -> None:
    m = lab()
    m.set_list_sizes(1, inactive_file=10, active_file=10 + off, inactive_anon=1, active_anon=50)
    assert bool(file_is_low(m.k, 1)) == naive.file_is_low(10, 10 + off)


@pytest.mark.parametrize(("lru", "kind"), [(c.LRU_ACTIVE_FILE, 0), (c.LRU_ACTIVE_ANON, c.PG_SWAPBACKED)])
def test_active_pages_go_from_the_tail_to_the_inactive_head_and_lose_their_page_table_bit(lru: int, kind: int) -> None:
    m = lab()
    pages = [m.page(kind | c.PG_ACTIVE | extra) for extra in (0, c.PG_YOUNG, c.PG_REFERENCED, c.PG_YOUNG, 0)]
    inactive = m.page(kind)
    m.task.sc_order, m.k.zone[1].pages_scanned, m.k.zone[1].pgrefill, m.k.vm.pgdeactivate = 2, 100, 50, 10
    shrink_active_list(m.k, USER, 1, lru, 4)
    assert m.list_of(lru) == [pages[4]]
    assert m.list_of(lru - 1) == [pages[3], pages[2], pages[1], pages[0], inactive]
    assert all(not m.flags(page) & (c.PG_YOUNG | c.PG_ACTIVE) for page in pages[:4])
    assert m.flags(pages[2]) & c.PG_REFERENCED
    z = m.k.zone[1]
    counts = (z.recent_scanned_anon, z.recent_rotated_anon, z.recent_scanned_file, z.recent_rotated_file)
    assert counts == ((4, 2, 0, 0) if kind else (0, 0, 4, 2))
    assert (z.pages_scanned, z.pgrefill, m.k.vm.pgdeactivate) == (104, 54, 14)
    assert m.task.spent_ns == 4 * SCAN_NS
    neighbours = 0 if kind else 3  # anonymous ones without swap are left to come as tags of their own
    assert m.events() == [("mm_vmscan_lru_isolate", 1, 2, 4, 4, 4, neighbours, 0, 0)]


@pytest.mark.parametrize("order", [0, 1, 3])
def test_ageing_for_a_high_order_takes_active_neighbours_of_the_same_list(order: int) -> None:
    m = lab()
    first = m.block(3)
    kinds = [c.PG_ACTIVE, 0, c.PG_ACTIVE, c.PG_ACTIVE | c.PG_SWAPBACKED, c.PG_ACTIVE, None, c.PG_ACTIVE, c.PG_ACTIVE]
    for i, flags in enumerate(kinds):
        if flags is not None:
            m.place(first + i, flags)
    m.task.sc_order, m.task.kept_head, m.task.kept_tail = order, c.NIL, c.NIL
    shrink_active_list(m.k, USER, 1, c.LRU_ACTIVE_FILE, 1)
    taken = {0: [0], 1: [0], 3: [0, 2, 4, 6, 7]}[order]
    assert m.list_of(c.LRU_INACTIVE_FILE) == [first + i for i in reversed([1, *taken])]
    assert m.k.zone[1].pgrefill == m.k.zone[1].recent_scanned_file == m.k.vm.pgdeactivate == len(taken)
    assert not any(m.flags(first + i) & (c.PG_ISOLATED | c.PG_ACTIVE) for i in taken)
    assert m.kept() == []


def test_an_active_list_shorter_than_asked_is_emptied() -> None:
    m = lab()
    m.page(c.PG_ACTIVE)
    shrink_active_list(m.k, 0, 1, c.LRU_ACTIVE_FILE, 32)
    assert m.list_of(c.LRU_ACTIVE_FILE) == []
    assert m.k.zone[1].recent_scanned_file == 1
    assert m.k.task[0].spent_ns == SCAN_NS


@pytest.mark.parametrize(("t", "cpu"), [(USER, 1), (KSWAPD, 1), (OTHER, 0), (-1, 0)])
def test_an_active_list_is_shrunk_with_what_this_cpus_pagevec_held(t: int, cpu: int) -> None:
    m = lab(cpus=2)
    m.k.task[USER].cpu = m.k.task[KSWAPD].cpu = 1
    pages = [m.page(c.PG_ACTIVE, listed=False) for _ in range(2)]
    for number, page in enumerate(pages):
        m.task.cpu = number
        lru_cache_add(m.k, USER, page)
    m.task.cpu = 1
    shrink_active_list(m.k, t, 1, c.LRU_ACTIVE_FILE, 32)
    assert m.list_of(c.LRU_INACTIVE_FILE) == [pages[cpu]]


def test_shrinking_an_active_list_equals_the_ordered_dict() -> None:
    m, twin = lab(), naive.Lru()
    for i in range(12):
        active = i % 3 != 0
        twin.add(m.page(c.PG_ACTIVE if active else 0), active=active)
    for nr in (1, 5, 0, 100):
        twin.deactivate(nr)
        shrink_active_list(m.k, USER, 1, c.LRU_ACTIVE_FILE, nr)
        assert m.list_of(c.LRU_ACTIVE_FILE) == twin.head_first("active")
        assert m.list_of(c.LRU_INACTIVE_FILE) == twin.head_first("inactive")


@pytest.mark.parametrize(("swap", "nr_inactive", "moved"), [(64, 20, 32), (0, 20, 32), (64, 39, 32), (64, 40, 0)])
def test_ageing_moves_32_anonymous_pages_if_the_inactive_are_low(swap: int, nr_inactive: int, moved: int) -> None:
    m = lab(swap=64)
    m.k.stat.swap_free = swap
    for _ in range(40):
        m.page(ANON_ACTIVE)
    for _ in range(nr_inactive):
        m.page(c.PG_SWAPBACKED)
    m.page(c.PG_ACTIVE)
    age_anon_if_low(m.k, 1)
    assert len(m.list_of(c.LRU_ACTIVE_ANON)) == 40 - moved
    assert len(m.list_of(c.LRU_INACTIVE_ANON)) == nr_inactive + moved
    assert len(m.list_of(c.LRU_ACTIVE_FILE)) == 1
    assert m.task.spent_ns == 0
    assert m.events() == []


def ratio_of(m, zone=1):
    z = m.k.zone[zone]
    return (
        anon_percent(m.k, zone),
        (z.recent_scanned_anon, z.recent_scanned_file),
        (z.recent_rotated_anon, z.recent_rotated_file),
    )


@many
@given(
    st.tuples(*[st.integers(0, 400)] * 4),
    st.integers(0, 300),
    st.integers(0, 100),
    st.tuples(*[st.integers(0, 300)] * 2),
    st.tuples(*[st.integers(0, 300)] * 2),
)
def test_the_anonymous_share_equals_get_scan_ratio(lists, free, swappiness, scanned, rotated) -> None:
    m = lab()
    m.set_list_sizes(1, *lists)
    m.k.stat.swap_free, m.k.param.swappiness = 1, swappiness
    z = m.k.zone[1]
    z.nr_free, z.wmark_high = free, 200
    (z.recent_scanned_anon, z.recent_scanned_file), (z.recent_rotated_anon, z.recent_rotated_file) = scanned, rotated
    expected = naive.scan_ratio(
        file=lists[2] + lists[3],
        anon=lists[0] + lists[1],
        free=free,
        high=200,
        swappiness=swappiness,
        scanned=scanned,
        rotated=rotated,
    )
    assert ratio_of(m) == expected


@pytest.mark.parametrize("off", [-1, 0, 1])
def test_anonymous_pages_are_scanned_alone_when_file_and_free_pages_are_not_above_high(off: int) -> None:
    m = lab()
    m.set_list_sizes(1, 50, 50, 30, 20)
    m.k.stat.swap_free = 1
    m.k.zone[1].nr_free, m.k.zone[1].wmark_high = 60 + off, 110
    assert (anon_percent(m.k, 1) == 100) == (off <= 0)


@pytest.mark.parametrize("off", [-1, 0, 1])
@pytest.mark.parametrize("kind", ["anon", "file"])
def test_recent_counts_are_halved_when_more_than_a_quarter_of_the_pages_was_scanned(kind: str, off: int) -> None:
    m = lab()
    m.set_list_sizes(1, 100, 303, 200, 203)
    m.k.stat.swap_free = 1
    z = m.k.zone[1]
    setattr(z, f"recent_scanned_{kind}", 100 + off)
    setattr(z, f"recent_rotated_{kind}", 51)
    anon_percent(m.k, 1)
    halved = off > 0
    assert getattr(z, f"recent_scanned_{kind}") == ((100 + off) // 2 if halved else 100 + off)
    assert getattr(z, f"recent_rotated_{kind}") == (25 if halved else 51)


def test_without_free_swap_anonymous_pages_get_no_share() -> None:
    m = lab()
    m.set_list_sizes(1, 50, 50, 0, 0)
    m.k.zone[1].nr_free = 0
    assert anon_percent(m.k, 1) == 0


def test_a_percentage_that_is_one_number_in_the_reference() -> None:
    """Swappiness 60 and equal histories: 100 * 61 / (61 + 141 + 1)."""
    m = lab()
    m.set_list_sizes(1, 0, 1000, 0, 1000)
    m.k.stat.swap_free, m.k.param.swappiness = 1, 60
    assert anon_percent(m.k, 1) == 30


@many
@given(st.integers(0, 10_000), st.integers(0, 12), st.integers(0, 100), st.booleans(), st.integers(0, 31))
def test_the_pages_to_scan_equal_the_twin(pages, priority, percent, swap, saved) -> None:
    m = lab()
    queue = m.k.lru[1 * c.NR_LRU + c.LRU_INACTIVE_FILE]
    queue.nr, queue.saved_scan, m.k.stat.swap_free = pages, saved, int(swap)
    expected = naive.nr_to_scan(pages=pages, priority=priority, percent=percent, swap=swap, saved=saved)
    assert (nr_to_scan(m.k, 1, c.LRU_INACTIVE_FILE, priority, percent), queue.saved_scan) == expected


@pytest.mark.parametrize("saved", [0, 1])
@pytest.mark.parametrize("off", [-1, 0, 1])
def test_small_shares_are_saved_up_until_they_make_32(saved: int, off: int) -> None:
    m = lab()
    queue = m.k.lru[1 * c.NR_LRU + c.LRU_INACTIVE_FILE]
    queue.nr, queue.saved_scan = (32 + off - saved) << 3, saved
    expected = (32 + off, 0) if off >= 0 else (0, 32 + off)
    assert (nr_to_scan(m.k, 1, c.LRU_INACTIVE_FILE, 3, 100), queue.saved_scan) == expected


@pytest.mark.parametrize(("swap", "expected"), [(1, 1000), (0, 500)])
def test_at_priority_0_with_swap_the_whole_list_is_scanned_whatever_the_percentage(swap: int, expected: int) -> None:
    m = lab()
    m.k.lru[1 * c.NR_LRU + c.LRU_INACTIVE_FILE].nr, m.k.stat.swap_free = 1000, swap
    assert nr_to_scan(m.k, 1, c.LRU_INACTIVE_FILE, 0, 50) == expected


def test_at_priority_1_the_percentage_counts_even_with_swap() -> None:
    m = lab()
    m.k.lru[1 * c.NR_LRU + c.LRU_INACTIVE_FILE].nr, m.k.stat.swap_free = 1000, 1
    assert nr_to_scan(m.k, 1, c.LRU_INACTIVE_FILE, 1, 50) == 250


def test_each_list_saves_up_for_itself() -> None:
    m = lab()
    for zone in (0, 1):
        m.set_list_sizes(zone, *[10 * zone + lru + 1 for lru in range(4)])
        for lru in range(4):
            assert nr_to_scan(m.k, zone, lru, 0, 100) == 0
    assert [m.k.lru[i].saved_scan for i in range(8)] == [1, 2, 3, 4, 11, 12, 13, 14]
