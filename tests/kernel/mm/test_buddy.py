# SPDX-License-Identifier: GPL-2.0-or-later
"""The buddy allocator, per-CPU lists and watermarks against their twins."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.kernel.lab import USER, few, lab, many
from tests.naive import allocator as naive

from pageout.engine import constants as c
from pageout.kernel.mm.buddy import (
    buffered_rmqueue,
    drain_all_pages,
    free_one_page,
    free_page,
    get_page_from_freelist,
    rmqueue,
    try_alloc,
    zone_of,
    zone_watermark_ok,
)


def blocks_of(m, zone: int) -> list[set[int]]:
    """Free blocks by order, from the flags; each list must hold just these."""
    found = []
    for order in range(c.MAX_ORDER):
        area, pages = m.k.free_area[zone * c.MAX_ORDER + order], []
        page, before = area.head, c.NIL
        while page != c.NIL:
            assert m.k.page[page].lru_prev == before
            assert m.flags(page) == c.PG_BUDDY | order << c.ORDER_SHIFT
            pages.append(page)
            page, before = m.k.page[page].lru_next, page
        assert area.nr == len(pages) == len(set(pages))
        found.append(set(pages))
    return found


def twin_of(m, zone: int) -> naive.Buddy:
    z = m.k.zone[zone]
    twin = naive.Buddy(z.start_page, z.end_page)
    twin.free = blocks_of(m, zone)
    return twin


@few
@given(st.integers(0, 1), st.lists(st.tuples(st.booleans(), st.integers(0, 10), st.integers(0, 1000)), max_size=60))
def test_random_allocations_and_frees_leave_the_same_free_blocks_as_the_twin(zone, program) -> None:
    m = lab()
    k, twin, held = m.k, twin_of(m, zone), []
    for allocate, order, which in program:
        if allocate:
            page = rmqueue(k, zone, order)
            assert (page == c.NIL) == (twin.order_to_split(order) is None)
            if page != c.NIL:
                twin.take(page, order)
                held.append((page, order))
        elif held:
            page, order = held.pop(which % len(held))
            k.zone[zone].all_unreclaimable, k.zone[zone].pages_scanned = 1, 99
            free_one_page(k, zone, page, order)
            twin.release(page, order)
            assert (k.zone[zone].all_unreclaimable, k.zone[zone].pages_scanned) == (0, 0)
        assert k.zone[zone].nr_free == twin.nr_free
    assert blocks_of(m, zone) == twin.free
    for page, order in held:
        free_one_page(k, zone, page, order)
    assert blocks_of(m, zone) == twin_of(lab(), zone).free


def test_the_last_block_freed_is_the_first_taken() -> None:
    m = lab()
    pages = [rmqueue(m.k, 1, 0) for _ in range(6)]
    for page in pages[::2]:
        free_one_page(m.k, 1, page, 0)
    assert [rmqueue(m.k, 1, 0) for _ in range(2)] == [pages[4], pages[2]]


@pytest.mark.parametrize("order", range(11))
@pytest.mark.parametrize("classzone", [0, 1, 2])
@pytest.mark.parametrize("flags", [0, c.ALLOC_HIGH, c.ALLOC_HARDER, c.ALLOC_HIGH | c.ALLOC_HARDER])
def test_the_watermark_check_is_exact_at_each_order(order: int, classzone: int, flags: int) -> None:
    m = lab()
    z = m.k.zone[1]
    z.reserve0, z.reserve1, z.reserve2 = 0, 50, 90
    m.k.free_area[0].nr = 7777
    for o in range(11):
        m.k.free_area[c.MAX_ORDER + o].nr = 3
    by_order = [3] * 11
    edge = 0
    for free in range(0, 3000 if order < 6 else 9000, 1 if order < 3 else 13):
        z.nr_free = free
        expected = naive.zone_watermark_ok(
            free,
            by_order,
            order,
            203,
            (0, 50, 90)[classzone],
            high=bool(flags & c.ALLOC_HIGH),
            harder=bool(flags & c.ALLOC_HARDER),
        )
        if bool(zone_watermark_ok(m.k, 1, order, 203, classzone, flags)) != expected:
            raise AssertionError(free)
        edge += expected
        if edge > 20:
            break
    assert edge


@many
@given(
    st.integers(0, 500),
    st.lists(st.integers(0, 20), min_size=11, max_size=11),
    st.integers(0, 10),
    st.integers(0, 400),
    st.integers(0, 3),
)
def test_the_watermark_check_equals_the_twin(free, by_order, order, mark, flags) -> None:
    m = lab()
    m.k.zone[1].nr_free = free
    for o, nr in enumerate(by_order):
        m.k.free_area[c.MAX_ORDER + o].nr = nr
    expected = naive.zone_watermark_ok(free, by_order, order, mark, 0, high=bool(flags & 1), harder=bool(flags & 2))
    assert bool(zone_watermark_ok(m.k, 1, order, mark, 1, flags)) == expected


@pytest.mark.parametrize(("flags", "mark"), [(c.WMARK_MIN, "min"), (c.WMARK_LOW, "low"), (c.WMARK_HIGH, "high")])
@pytest.mark.parametrize("off", [0, 1])
def test_an_allocation_is_tested_against_the_mark_asked_for(flags: int, mark: str, off: int) -> None:
    m = lab()
    z = m.k.zone[1]
    m.k.zone[0].nr_free = 0
    z.wmark_min, z.wmark_low, z.wmark_high = 30, 40, 60
    z.nr_free = getattr(z, f"wmark_{mark}") + off
    page = get_page_from_freelist(m.k, USER, 0, flags)
    assert (page != c.NIL) == (off == 1)


def test_zones_are_tried_from_the_highest_with_the_reserve_of_the_preferred_one() -> None:
    m = lab()
    m.k.zone[1].nr_free = 0
    m.k.zone[0].wmark_low = 100
    m.k.zone[0].reserve1 = 20
    m.k.zone[0].nr_free = 120
    assert try_alloc(m.k, USER, 0, c.GFP_KERNEL) == c.NIL
    m.k.zone[0].nr_free = 121
    page = try_alloc(m.k, USER, 0, c.GFP_KERNEL)
    assert zone_of(m.k, page) == 0
    assert m.k.zone[0].pgalloc == 1
    assert m.events("mm_page_alloc") == [(page, 0, 0, c.GFP_KERNEL)]


def test_without_watermarks_the_last_page_can_be_had() -> None:
    m = lab()
    while rmqueue(m.k, 1, 0) != c.NIL:
        pass
    page = get_page_from_freelist(m.k, USER, 0, c.ALLOC_NO_WATERMARKS)
    assert zone_of(m.k, page) == 0


def test_a_block_carries_its_order_and_its_other_pages_are_tails() -> None:
    m = lab()
    page = get_page_from_freelist(m.k, USER, 2, c.WMARK_LOW)
    assert m.flags(page) == 2 << c.ORDER_SHIFT
    assert [m.flags(page + i) for i in (1, 2, 3)] == [c.PG_TAIL] * 3


def test_single_pages_come_in_batches_and_go_back_the_coldest_first() -> None:
    m = lab()
    z = m.k.zone[1]
    z.pcp_batch, z.pcp_high, pcp = 3, 6, m.k.pcp[1]
    free = z.nr_free
    first = buffered_rmqueue(m.k, 1, 0, 0)
    assert (pcp.nr, z.nr_free) == (2, free - 3)
    free_page(m.k, USER, first, 0)
    assert buffered_rmqueue(m.k, 1, 0, 0) == first
    pages = [first, *[rmqueue(m.k, 1, 0) for _ in range(4)]]
    for page in pages[:3]:
        free_page(m.k, USER, page, 0)
    assert pcp.nr == 5
    free_page(m.k, USER, pages[3], 1)
    assert pcp.nr == 3
    assert not m.flags(pages[3]) & c.PG_PCP
    assert buffered_rmqueue(m.k, 1, 0, 0) == pages[2]
    drain_all_pages(m.k)
    assert (pcp.nr, pcp.head, pcp.tail) == (0, c.NIL, c.NIL)


@pytest.mark.parametrize(("memory_mb", "min_free"), [(16, 500), (32, 1448), (64, 1234), (5000, 9000)])
def test_boot_computes_marks_and_reserves_as_the_reference_says(memory_mb: int, min_free: int) -> None:
    from pageout.machine.memory_map import zones_of

    zones = zones_of(memory_mb << 20, min_free)
    present = [zone.present for zone in zones]
    for i, zone in enumerate(zones):
        assert (zone.wmark_min, zone.wmark_low, zone.wmark_high) == naive.watermarks(min_free, present[i], sum(present))
        assert zone.inactive_ratio == naive.inactive_ratio(present[i])
        assert zone.pcp_batch == naive.pcp_batch(present[i])
        for j in range(len(zones)):
            assert zone.reserve[j] == naive.lowmem_reserve(present, i, j)


def test_boot_sizes_min_free_kbytes_as_the_reference_says() -> None:
    from pageout.vocabulary.settings import min_free_kbytes

    for mib in (1, 512, 1024, 2048, 3072, 4096, 16384, 1 << 20):
        assert min_free_kbytes(mib << 20, {}) == naive.min_free_kbytes(mib * 1024)
