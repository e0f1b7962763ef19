# SPDX-License-Identifier: GPL-2.0-or-later
"""The buddy allocator, per-CPU lists and watermarks against their twins."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.kernel.lab import USER, few, lab, many
from tests.naive import allocator as naive

from pageout.engine import constants as c
from pageout.kernel.mm.buddy import (
    allocflags_to_migratetype,
    buffered_rmqueue,
    drain_all_pages,
    drain_pcp,
    free_page,
    get_page_from_freelist,
    try_alloc,
    zone_watermark_ok,
)
from pageout.kernel.mm.free_area import free_one_page, rmqueue, zone_of

NUMBER = {kind: number for number, kind in enumerate(naive.TYPES)}
GFP_OF = {
    naive.UNMOVABLE: c.GFP_KERNEL,
    naive.RECLAIMABLE: c.GFP_KERNEL | c.GFP_RECLAIMABLE,
    naive.MOVABLE: c.GFP_HIGHUSER_MOVABLE,
}


def chain(m, head: int, flags: int) -> list[int]:
    """Frames of a list, head first; each must be linked back and carry just these flags."""
    pages, page, before = [], head, c.NIL
    while page != c.NIL:
        assert m.k.page[page].lru_prev == before
        assert m.flags(page) == flags
        pages.append(page)
        page, before = m.k.page[page].lru_next, page
    return pages


def lists_of(m, zone: int) -> dict[tuple[int, str], list[int]]:
    """Free lists by order and type, head first; an area's count must be that of its lists."""
    found = {}
    for order in range(c.MAX_ORDER):
        area = zone * c.MAX_ORDER + order
        for kind, number in NUMBER.items():
            head = m.k.free_list[area * c.NR_FREE_LISTS + number].head
            found[order, kind] = chain(m, head, c.PG_BUDDY | order << c.ORDER_SHIFT | number << c.MT_SHIFT)
        assert m.k.free_area[area].nr == sum(len(found[order, kind]) for kind in NUMBER)
    return found


def pageblocks_of(m, zone: int) -> dict[int, str]:
    z = m.k.zone[zone]
    return {b: naive.TYPES[m.k.pageblock[b]] for b in range(z.start_page // 512, -(-z.end_page // 512))}


def twin_of(m, zone: int) -> naive.Buddy:
    """The twin as its own boot makes it."""
    z = m.k.zone[zone]
    usable = [p for p in range(z.start_page, z.end_page) if not m.flags(p) & c.PG_RESERVED]
    return naive.boot(z.start_page, z.end_page, usable[0], usable[-1] + 1, z.wmark_min)


def assert_same(m, zone: int, twin: naive.Buddy) -> None:
    assert lists_of(m, zone) == twin.lists
    assert pageblocks_of(m, zone) == twin.blocks
    assert m.k.zone[zone].nr_free == twin.nr_free


@pytest.mark.parametrize("memory_mb", [16, 20, 32, 33, 70])
def test_boot_frees_all_as_movable_and_sets_the_lowest_pageblocks_aside(memory_mb: int) -> None:
    m = lab(memory_mb=memory_mb)
    for zone in range(m.k.param.nr_zones):
        twin = twin_of(m, zone)
        assert_same(m, zone, twin)
        assert naive.RESERVE in twin.blocks.values()


PROGRAM = st.lists(
    st.tuples(
        st.sampled_from(("take", "take", "take", "fill", "free", "free", "scatter")),
        st.integers(0, 10),
        st.sampled_from(naive.TYPES[:3]),
        st.integers(0, 1000),
    ),
    max_size=50,
)


def play(m, zone: int, twin: naive.Buddy, program) -> list[tuple[int, int]]:
    """Do the same to both; returns what is held at the end."""
    held: list[tuple[int, int]] = []

    def take(order: int, kind: str) -> bool:
        expected = twin.take(order, kind)
        page = rmqueue(m.k, USER, zone, order, NUMBER[kind])
        assert page == (c.NIL if expected is None else expected)
        if page != c.NIL:
            held.append((page, order))
        return page != c.NIL

    def free(which: int) -> None:
        page, order = held.pop(which % len(held))
        kind = twin.type_of(page)
        free_one_page(m.k, zone, page, order, NUMBER[kind])
        twin.release(page, order, kind)

    for what, order, kind, which in program:
        if what == "take":
            take(order, kind)
        elif what == "fill":
            while take(order, kind):
                pass
        elif what == "scatter":
            for i in range(which % 40):
                if held:
                    free(which * 7 + i * 13)
        elif held:
            free(which)
        assert_same(m, zone, twin)
    return held


@few
@given(st.integers(0, 1), PROGRAM)
def test_random_allocations_and_frees_leave_every_list_and_pageblock_as_the_twin_has_it(zone, program) -> None:
    m = lab(memory_mb=20 if zone == 0 else 32)
    k, twin = m.k, twin_of(m, zone)
    held = play(m, zone, twin, program)
    for page, order in held:
        k.zone[zone].all_unreclaimable, k.zone[zone].pages_scanned = 1, 99
        free_one_page(k, zone, page, order, k.pageblock[page >> 9])
        assert (k.zone[zone].all_unreclaimable, k.zone[zone].pages_scanned) == (0, 0)
    left = lists_of(m, zone)
    found = [{page for kind in NUMBER for page in left[order, kind]} for order in range(c.MAX_ORDER)]
    assert found == twin_of(lab(memory_mb=20 if zone == 0 else 32), zone).free


def test_borrowing_is_traced_as_the_kernel_does() -> None:
    m = lab()
    twin = twin_of(m, 1)
    m.events()
    for order, kind in ((0, naive.UNMOVABLE), (3, naive.RECLAIMABLE), (0, naive.RECLAIMABLE), (8, naive.MOVABLE)):
        twin.take(order, kind)
        rmqueue(m.k, USER, 1, order, NUMBER[kind])
    assert twin.borrowed
    found = m.events("mm_page_alloc_extfrag")
    assert [(page, larger, NUMBER[kind], NUMBER[owner]) for page, larger, kind, owner in twin.borrowed] == [
        (page, larger, kind, owner) for page, _, larger, _, kind, owner, _, _ in found
    ]
    for _, _, larger, pageblock_order, kind, owner, fragmenting, same in found:
        assert (pageblock_order, fragmenting, same) == (9, int(larger < 9), int(kind == owner))


def test_a_small_machine_groups_nothing() -> None:
    m = lab()
    m.k.param.mobility_off = 1
    assert {allocflags_to_migratetype(m.k, gfp) for gfp in GFP_OF.values()} == {c.MIGRATE_UNMOVABLE}
    rmqueue(m.k, USER, 1, 0, c.MIGRATE_UNMOVABLE)
    assert naive.UNMOVABLE in pageblocks_of(m, 1).values()
    m.k.param.mobility_off = 0
    assert {naive.TYPES[allocflags_to_migratetype(m.k, gfp)]: gfp for gfp in GFP_OF.values()} == GFP_OF


def test_the_reserve_is_the_last_to_be_used_and_says_so() -> None:
    m = lab()
    m.events()
    pages = []
    while (page := rmqueue(m.k, USER, 1, 3, c.MIGRATE_UNMOVABLE)) != c.NIL:
        pages.append(page)
    traced = m.events("mm_page_alloc_zone_locked")
    assert [row[0] for row in traced] == [*pages, c.NIL]
    kinds = [row[2] for row in traced]
    reserved = sum(len(twin_of(lab(), 1).lists[order, naive.RESERVE]) << order - 3 for order in range(3, 11))
    assert reserved > 0
    assert kinds == [c.MIGRATE_UNMOVABLE] * (len(pages) - reserved) + [c.MIGRATE_RESERVE] * (reserved + 1)


def test_the_last_block_freed_is_the_first_taken() -> None:
    m = lab()
    pages = [rmqueue(m.k, USER, 1, 0, c.MIGRATE_MOVABLE) for _ in range(6)]
    for page in pages[::2]:
        free_one_page(m.k, 1, page, 0, c.MIGRATE_MOVABLE)
    assert [rmqueue(m.k, USER, 1, 0, c.MIGRATE_MOVABLE) for _ in range(2)] == [pages[4], pages[2]]


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
    page = get_page_from_freelist(m.k, USER, 0, flags, c.GFP_KERNEL)
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
    while rmqueue(m.k, USER, 1, 0, c.MIGRATE_MOVABLE) != c.NIL:
        pass
    page = get_page_from_freelist(m.k, USER, 0, c.ALLOC_NO_WATERMARKS, c.GFP_KERNEL)
    assert zone_of(m.k, page) == 0


def test_a_block_carries_its_order_and_its_other_pages_are_tails() -> None:
    m = lab()
    page = get_page_from_freelist(m.k, USER, 2, c.WMARK_LOW, c.GFP_KERNEL)
    assert m.flags(page) == 2 << c.ORDER_SHIFT
    assert [m.flags(page + i) for i in (1, 2, 3)] == [c.PG_TAIL] * 3


def pcp_of(m, zone: int) -> dict[str, list[tuple[int, str]]]:
    """A CPU's lists, hot end first, each page with the type it goes back to; the count is for all three."""
    found = {}
    for kind in naive.TYPES[:3]:
        pages, page = [], m.k.pcp_list[zone * c.MIGRATE_PCPTYPES + NUMBER[kind]].head
        while page != c.NIL:
            home = (m.flags(page) & c.MT_MASK) >> c.MT_SHIFT
            assert m.flags(page) == c.PG_PCP | home << c.MT_SHIFT
            pages.append((page, naive.TYPES[home]))
            page = m.k.page[page].lru_next
        assert m.k.pcp_list[zone * c.MIGRATE_PCPTYPES + NUMBER[kind]].tail == (pages[-1][0] if pages else c.NIL)
        found[kind] = pages
    assert m.k.pcp[zone].nr == sum(map(len, found.values()))
    return found


@few
@given(
    st.integers(0, 1),
    st.integers(1, 7),
    st.lists(
        st.tuples(
            st.sampled_from(("take", "take", "take", "free", "free", "drain")),
            st.sampled_from(naive.TYPES[:3]),
            st.booleans(),
            st.integers(0, 1000),
        ),
        max_size=120,
    ),
)
def test_a_cpus_lists_equal_the_twins_after_every_single_page(zone, batch, program) -> None:
    m = lab()
    z, pages = m.k.zone[zone], []
    z.pcp_batch, z.pcp_high = batch, 3 * batch
    twin = naive.PerCpu(twin_of(m, zone), batch, 3 * batch)
    for what, kind, cold, which in program:
        if what == "take":
            gfp = GFP_OF[kind] | (c.GFP_COLD if cold else 0)
            pages.append(buffered_rmqueue(m.k, USER, zone, 0, 0, gfp))
            assert pages[-1] == twin.take(kind, cold=cold)
        elif what == "free" and pages:
            page = pages.pop(which % len(pages))
            free_page(m.k, USER, page, int(cold))
            twin.release(page, cold=cold)
        elif what == "drain":
            count = which % (twin.nr + 1)
            drain_pcp(m.k, USER, zone, 0, count)
            twin.drain(count)
        assert pcp_of(m, zone) == twin.lists
        assert_same(m, zone, twin.zone)
    drain_all_pages(m.k, USER)
    twin.drain(twin.nr)
    assert_same(m, zone, twin.zone)


def test_a_drain_of_nothing_still_calls_the_zone_worth_scanning() -> None:
    m = lab()
    for zone in (0, 1):
        m.k.zone[zone].all_unreclaimable, m.k.zone[zone].pages_scanned = 1, 99
    drain_all_pages(m.k, USER)
    assert [(m.k.zone[z].all_unreclaimable, m.k.zone[z].pages_scanned) for z in (0, 1)] == [(0, 0), (0, 0)]


def test_pages_of_the_reserve_wait_among_the_movable_and_go_back_to_the_reserve() -> None:
    m = lab()
    m.k.zone[1].pcp_high = 6
    block = next(b for b, kind in pageblocks_of(m, 1).items() if kind == naive.RESERVE)
    while (page := m.block(0)) >> 9 != block:
        pass
    m.k.page[page].pflags = 0
    free_page(m.k, USER, page, 0)
    assert pcp_of(m, 1)[naive.MOVABLE] == [(page, naive.RESERVE)]
    m.events()
    drain_all_pages(m.k, USER)
    assert m.events("mm_page_pcpu_drain") == [(page, 0, c.MIGRATE_RESERVE)]


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
