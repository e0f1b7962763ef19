# SPDX-License-Identifier: GPL-2.0-or-later
"""Isolation and the referenced check against their twins."""

import itertools

import pytest
from tests.kernel.lab import KSWAPD, USER, lab
from tests.naive import reclaim as naive

from pageout.engine import constants as c
from pageout.kernel.costs import SCAN_NS
from pageout.kernel.mm.isolate import (
    count_isolated,
    is_kswapd,
    is_lumpy,
    isolate_lru_pages,
    may_enter_fs,
    page_check_references,
)

VERDICT = {
    "reclaim": c.PAGE_RECLAIM,
    "reclaim_clean": c.PAGE_RECLAIM_CLEAN,
    "keep": c.PAGE_KEEP,
    "activate": c.PAGE_ACTIVATE,
}
YES_NO = [False, True]


@pytest.mark.parametrize("order", [0, 3, 4, 10])
def test_the_referenced_check_equals_its_table(order: int) -> None:
    for young, anon, referenced in itertools.product(YES_NO, repeat=3):
        m = lab()
        marks = young * c.PG_YOUNG | anon * c.PG_SWAPBACKED | referenced * c.PG_REFERENCED
        page = m.page(marks | c.PG_DELAYED)
        m.task.sc_order = order
        verdict, marked = naive.check_references(order=order, young=young, anon=anon, referenced=referenced)
        assert page_check_references(m.k, USER, page) == VERDICT[verdict]
        assert bool(m.flags(page) & c.PG_REFERENCED) == marked
        assert not m.flags(page) & c.PG_YOUNG
        assert m.flags(page) & (c.PG_LRU | c.PG_DELAYED) == c.PG_LRU | c.PG_DELAYED


def test_lumpy_reclaim_is_on_for_costly_orders_and_for_small_ones_below_priority_10() -> None:
    m = lab()
    for order, priority in itertools.product(range(11), range(13)):
        m.task.sc_order = order
        assert is_lumpy(m.k, USER, priority) == naive.is_lumpy(order, priority)


def test_a_design_without_lumpy_reclaim_never_has_it() -> None:
    m = lab(choices=(("reclaim.lumpy", "off"),))
    m.task.sc_order = 9
    assert is_lumpy(m.k, USER, 0) == 0


@pytest.mark.parametrize("gfp", [0, c.GFP_WAIT, c.GFP_NOFS, c.GFP_KERNEL, c.GFP_KERNEL & ~c.GFP_IO])
@pytest.mark.parametrize("in_swap_cache", YES_NO)
def test_the_filesystem_may_be_entered_with_fs_or_for_swap_with_io(gfp: int, in_swap_cache: bool) -> None:
    m = lab(swap=64)
    page = m.page(c.PG_SWAPBACKED | (c.PG_SWAPCACHE if in_swap_cache else 0))
    m.task.sc_gfp = gfp
    assert may_enter_fs(m.k, USER, page) == bool(gfp & c.GFP_FS or (in_swap_cache and gfp & c.GFP_IO))


def test_kswapd_knows_itself() -> None:
    m = lab()
    assert is_kswapd(m.k, KSWAPD)
    m.task.tflags = c.PF_MEMALLOC | c.PF_SWAPWRITE
    assert not is_kswapd(m.k, USER)


@pytest.mark.parametrize(("flags", "kind"), [(0, "file"), (c.PG_SWAPBACKED, "anon")])
def test_isolated_pages_are_counted_by_kind_in_zone_and_machine(flags: int, kind: str) -> None:
    m = lab()
    page = m.page(flags, zone=0)
    count_isolated(m.k, 0, page, 3)
    other = "anon" if kind == "file" else "file"
    assert (getattr(m.k.zone[0], f"isolated_{kind}"), getattr(m.k.vm, f"nr_isolated_{kind}")) == (3, 3)
    assert (getattr(m.k.zone[0], f"isolated_{other}"), getattr(m.k.vm, f"nr_isolated_{other}")) == (0, 0)


def isolate(m, nr: int, lru: int = c.LRU_INACTIVE_FILE, lumpy: int = 0, order: int = 0, zone: int = 1):
    m.task.sc_order = order
    return isolate_lru_pages(m.k, USER, zone, lru, nr, lumpy)


@pytest.mark.parametrize("nr", [0, 1, 5, 9, 10, 11])
def test_isolation_takes_pages_from_the_tail_like_the_ordered_dict(nr: int) -> None:
    m, twin = lab(), naive.Lru()
    for _ in range(10):
        twin.add(m.page())
    m.task.kept_head, m.task.kept_tail, m.task.kept_nr = 1, 1, 7
    expected = twin.isolate(nr)
    assert isolate(m, nr) == len(expected)
    assert m.kept() == expected
    assert m.task.kept_nr == len(expected)
    assert m.list_of(c.LRU_INACTIVE_FILE) == twin.head_first("inactive")
    assert all(m.flags(page) & (c.PG_ISOLATED | c.PG_LRU) == c.PG_ISOLATED for page in expected)
    assert m.task.spent_ns == len(expected) * SCAN_NS
    assert m.events() == [("mm_vmscan_lru_isolate", 0, 0, nr, len(expected), len(expected), 0, 0, 0)]


@pytest.mark.parametrize("zone", [0, 1])
@pytest.mark.parametrize("lru", range(4))
def test_only_the_list_asked_for_is_taken_from(zone: int, lru: int) -> None:
    m = lab()
    pages = {
        (z, which): m.page((c.PG_SWAPBACKED if which < 2 else 0) | (c.PG_ACTIVE if which & 1 else 0), zone=z)
        for z in (0, 1)
        for which in range(4)
    }
    assert isolate(m, 32, lru, zone=zone) == 1
    assert m.kept() == [pages[zone, lru]]


def neighbours(m, kinds: list[dict], order: int = 3):
    """A block of 2^order frames whose first page is the tag; returns (tag, numbers)."""
    first = m.block(order)
    m.place(first, kinds[0].get("flags", 0))
    for i, kind in enumerate(kinds[1:], 1):
        if kind is not None:
            m.place(first + i, **kind)
    return first


KINDS = {
    "dirty": {"dirty": True},
    "active": {"flags": c.PG_ACTIVE},
    "anon": {"flags": c.PG_SWAPBACKED},
    "active_anon": {"flags": c.PG_SWAPBACKED | c.PG_ACTIVE},
    "swapped": {"flags": c.PG_SWAPBACKED | c.PG_SWAPCACHE},
    "held": {"refs": 1},
    "unlisted": {"listed": False},
}


@pytest.mark.parametrize("swap", [0, 1])
@pytest.mark.parametrize("lumpy", [0, 1])
@pytest.mark.parametrize("lru", [c.LRU_INACTIVE_FILE, c.LRU_INACTIVE_ANON])
def test_neighbours_in_the_block_are_taken_if_of_the_same_list_or_lumpy(lumpy: int, lru: int, swap: int) -> None:
    m = lab(swap=64)
    names = ["tag", "dirty", "active", "anon", "active_anon", "swapped", "held", "unlisted"]
    tag_flags = c.PG_SWAPBACKED if lru == c.LRU_INACTIVE_ANON else 0
    first = neighbours(m, [{"flags": tag_flags}, *[KINDS[name] for name in names[1:]]])
    m.k.stat.swap_free = swap
    of_tag = {"dirty", "held"} if lru == c.LRU_INACTIVE_FILE else {"anon", "swapped"}
    taken = {"dirty", "active", "anon", "active_anon", "swapped", "held"} if lumpy else of_tag
    if not swap:
        taken -= {"anon", "active_anon"}
    expected = [first, *[first + i for i, name in enumerate(names) if name in taken]]
    scanned = isolate(m, 1, lru, lumpy, order=3)
    assert m.kept() == expected
    assert scanned == m.task.kept_nr == len(expected)
    assert m.events("mm_vmscan_lru_isolate") == [
        (2 if lumpy else 0, 3, 1, scanned, scanned, len(taken), int("dirty" in taken), lumpy)
    ]


@pytest.mark.parametrize(("nr", "blocks_taken"), [(1, 1), (4, 1), (5, 2), (8, 2), (9, 3)])
def test_the_scan_limit_is_tested_at_each_tag_so_that_the_last_block_may_overshoot(nr: int, blocks_taken: int) -> None:
    m = lab()
    blocks = [neighbours(m, [{}] * 4, order=2) for _ in range(3)]
    assert isolate(m, nr, lumpy=1, order=2) == 4 * blocks_taken
    assert m.kept() == [page for first in blocks[:blocks_taken] for page in range(first, first + 4)]


def test_the_block_is_the_aligned_one_round_the_tag() -> None:
    m = lab()
    first = m.block(3)
    for i in (5, 0, 1, 2, 3, 4, 6, 7):
        m.place(first + i)
    isolate(m, 1, order=2)
    assert m.kept() == [first + 5, first + 4, first + 6, first + 7]


def test_neighbours_beyond_the_zones_borders_are_passed_over() -> None:
    m = lab()
    z = m.k.zone[1]
    first = m.block(3)
    for i in range(8):
        m.place(first + i)
    end = z.end_page
    z.start_page = first + 1
    z.end_page = first + 6
    m.k.zone[0].end_page = 4096
    m.k.lru[1 * c.NR_LRU + 2].tail = first + 3
    m.k.page[first + 3].lru_prev = c.NIL
    m.k.page[first + 3].lru_next = c.NIL
    m.k.lru[1 * c.NR_LRU + 2].head = first + 3
    for i in (0, 1, 2, 4, 5, 6, 7):
        m.k.page[first + i].pflags &= ~c.PG_LRU
    isolate(m, 1, lumpy=1, order=3)
    assert m.events("mm_vmscan_lru_isolate")[0][5:] == (0, 0, 4)
    z.end_page = end


def test_order_0_never_looks_at_neighbours() -> None:
    m = lab()
    first = neighbours(m, [{}, {}], order=1)
    assert isolate(m, 1, lumpy=1) == 1
    assert m.kept() == [first]
    m = lab()
    first = neighbours(m, [{}, {}], order=1)
    assert isolate(m, 1, order=1) == 2
