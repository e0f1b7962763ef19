# SPDX-License-Identifier: GPL-2.0-or-later
"""Marks raised by fragmentation (buddy.steal=alike), kswapd's reclaim for them, and waiting at the door of reclaim."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.kernel.lab import KSWAPD, USER, called, few, lab, returned, slept
from tests.kernel.mm.test_buddy import NUMBER, lists_of, pageblocks_of
from tests.naive import allocator as naive

from pageout.engine import constants as c
from pageout.kernel.mm import kswapd_node, reclaim_throttle, vmscan_node
from pageout.kernel.mm.buddy import get_page_from_freelist, try_alloc
from pageout.kernel.mm.free_area import boost_watermark, rmqueue, rmqueue_within

NODE = (("reclaim.engine", "node"), ("buddy.steal", "alike"))


def node(**options: Any) -> Any:
    return lab(choices=(*NODE, *options.pop("choices", ())), **options)


def later_twin(m: Any, zone: int) -> naive.LaterBuddy:
    z = m.k.zone[zone]
    z.present = z.end_page - z.start_page  # the twin counts them so
    twin = naive.LaterBuddy(z.start_page, z.end_page, z.wmark_high)
    twin.lists = {key: list(pages) for key, pages in lists_of(m, zone).items()}
    twin.blocks = dict(pageblocks_of(m, zone))
    return twin


@few
@given(
    st.lists(
        st.tuples(
            st.sampled_from(("take", "take", "fill", "lru")), st.integers(0, 9), st.sampled_from(naive.TYPES[:3])
        ),
        max_size=30,
    )
)
def test_what_a_block_of_another_kind_brings_along_is_that_of_the_twin(program: Any) -> None:
    m = node(memory_mb=32)
    k, zone = m.k, 1
    twin = later_twin(m, zone)
    for what, order, kind in program:
        for _ in range(300 if what == "fill" else 1):
            expected = twin.take(order, kind)
            page = rmqueue(k, USER, zone, order, NUMBER[kind])
            assert page == (c.NIL if expected is None else expected)
            if page == c.NIL:
                break
            if what == "lru":
                for at in range(page, page + (1 << order)):
                    k.page[at].pflags = c.PG_LRU
                    twin.movable.add(at)
    assert lists_of(m, zone) == twin.lists
    assert pageblocks_of(m, zone) == twin.blocks
    assert k.zone[zone].boost == twin.boost


@pytest.mark.parametrize(
    ("factor", "present", "boosts"),
    [
        (15000, 4096, [512, 750, 750]),  # one and a half of HIGH, 500
        (0, 4096, [0, 0, 0]),
        (1000, 4096, [512, 512, 512]),  # a pageblock at least
        (15000, 2047, [0, 0, 0]),  # a zone of less than four pageblocks
    ],
)
def test_marks_rise_by_a_pageblock_at_a_time(factor: int, present: int, boosts: list[int]) -> None:
    m = node()
    z = m.k.zone[1]
    m.k.param.boost_factor, z.present, z.wmark_high = factor, present, 500
    found = []
    for _ in range(3):
        boost_watermark(m.k, 1)
        found.append(z.boost)
    assert found == boosts


def test_an_allocation_that_fragments_wakes_kswapd_though_there_is_plenty() -> None:
    m = node(memory_mb=64)
    k = m.k
    m.act_as(KSWAPD)
    m.enter("kswapd")
    assert m.step(kswapd_node.kswapd_of_node).kind == "sleep"
    m.act_as(USER)
    k.zone[1].present = 4096
    while k.free_area[c.MAX_ORDER + 9].nr + k.free_area[c.MAX_ORDER + 10].nr > 0:
        rmqueue(k, USER, 1, 9, c.MIGRATE_MOVABLE)
    m.events()
    assert try_alloc(k, USER, 0, c.GFP_KERNEL) != c.NIL  # unmovable, of which there is none
    assert k.zone[1].boost == 512
    assert m.events("mm_vmscan_wakeup_kswapd") == [(0, 0, 0)]
    assert k.task[KSWAPD].state == c.T_RUNNABLE


def test_raised_marks_hold_ordinary_requests_back_and_not_urgent_single_pages() -> None:
    m = node()
    z = m.k.zone[1]
    m.k.zone[0].nr_free = 0
    z.wmark_min, z.wmark_low, z.wmark_high, z.boost = 30, 40, 60, 512
    z.nr_free = 500
    assert get_page_from_freelist(m.k, USER, 0, c.WMARK_MIN, c.GFP_KERNEL) == c.NIL
    assert get_page_from_freelist(m.k, USER, 0, c.WMARK_MIN | c.ALLOC_HARDER, c.GFP_ATOMIC) != c.NIL


def test_a_normal_zone_leaves_its_pageblocks_whole_while_the_lower_one_has_pages() -> None:
    m = node(memory_mb=64)
    while m.k.free_area[c.MAX_ORDER + 9].nr + m.k.free_area[c.MAX_ORDER + 10].nr > 0:
        rmqueue(m.k, USER, 1, 9, c.MIGRATE_MOVABLE)
    assert rmqueue_within(m.k, USER, 1, 0, c.MIGRATE_UNMOVABLE, 1) == c.NIL
    assert rmqueue_within(m.k, USER, 1, 0, c.MIGRATE_UNMOVABLE, 0) != c.NIL


def balanced_but_boosted(m: Any, boost: int) -> Any:
    m.k.zone[1].boost = boost
    m.act_as(KSWAPD)
    m.enter("balance_pgdat", 0)
    return m.k


def test_a_boosted_run_frees_what_was_asked_for_without_writing_and_takes_the_boost_back() -> None:
    m = node()
    k = balanced_but_boosted(m, 100)
    assert m.step(kswapd_node.balance_node) == called("shrink_node", c.DEF_PRIORITY)
    assert (m.task.sc_writepage, m.task.sc_no_swap) == (0, 1)
    m.task.sc_reclaimed, m.task.sc_scanned = 60, 60
    m.answer()
    assert m.step(kswapd_node.balance_node) == called("shrink_node", c.DEF_PRIORITY - 1)
    m.task.sc_reclaimed = 100
    k.zone[1].boost += 512  # fragmented again meanwhile: that is for the next run
    m.answer()
    assert m.step(kswapd_node.balance_node) == returned(0)
    assert k.zone[1].boost == 512


def test_a_boosted_run_looks_no_harder_than_priority_10_and_gives_up_when_nothing_is_freed() -> None:
    m = node()
    balanced_but_boosted(m, 1000)
    seen, reclaimed = [], 0
    for freed in (1, 1, 1, 1, 0):
        step = m.step(kswapd_node.balance_node)
        seen.append(step.args[0])
        reclaimed += freed
        m.task.sc_reclaimed = reclaimed
        m.answer()
    assert m.step(kswapd_node.balance_node) == returned(0)
    assert seen == [12, 11, 10, 10, 10]
    assert m.k.zone[1].boost == 0


def test_a_run_for_want_of_memory_forgets_the_boost_until_its_end() -> None:
    m = node()
    k = balanced_but_boosted(m, 100)
    for zone in range(k.param.nr_zones):
        k.zone[zone].nr_free = 0
    assert m.step(kswapd_node.balance_node) == called("shrink_node", c.DEF_PRIORITY)
    assert (m.task.sc_writepage, m.task.sc_no_swap, m.f.left) == (1, 0, 0)
    for zone in range(k.param.nr_zones):
        k.zone[zone].nr_free = k.zone[zone].present
    m.task.sc_reclaimed = 7
    m.answer()
    assert m.step(kswapd_node.balance_node) == returned(0)
    assert k.zone[1].boost == 0


def starved(m: Any) -> Any:
    k = m.k
    for zone in range(k.param.nr_zones):
        k.zone[zone].lru_file = 10
        k.zone[zone].nr_free = k.zone[zone].wmark_min // 2
    return k


@pytest.mark.parametrize(("gfp", "timeout"), [(c.GFP_KERNEL, 0), (c.GFP_NOFS, 250)])
def test_with_half_of_the_reserve_gone_a_task_waits_at_the_door_of_reclaim(gfp: int, timeout: int) -> None:
    m = node()
    k = starved(m)
    k.param.hz = 250
    m.enter("try_to_free_pages", 0, gfp)
    step = m.step(vmscan_node.try_to_free_node_pages)
    assert step.kind == "sleep"
    assert step.args[0] == slept(c.WQ_PFMEMALLOC).args[0]
    assert bool(step.args[1]) == bool(timeout)
    assert k.node.pgscan_direct_throttle == 1
    m.wake()
    assert m.step(vmscan_node.try_to_free_node_pages).kind == "sleep"  # woken too early: it waits on, and counts once
    assert k.node.pgscan_direct_throttle == 1
    k.zone[1].nr_free += k.zone[1].wmark_min
    m.wake()
    assert m.step(vmscan_node.try_to_free_node_pages) == called("shrink_node", c.DEF_PRIORITY)


@pytest.mark.parametrize("why", ["kernel thread", "kswapd has given up", "enough is free", "nothing to reclaim"])
def test_who_is_not_held_at_the_door(why: str) -> None:
    m = node()
    k = starved(m)
    if why == "kernel thread":
        m.task.tflags |= c.PF_KTHREAD
    elif why == "kswapd has given up":
        k.node.kswapd_failures = 16
    for zone in range(k.param.nr_zones):
        if why == "enough is free":
            k.zone[zone].nr_free += 2
        elif why == "nothing to reclaim":
            k.zone[zone].lru_file = k.zone[zone].lru_anon = 0
    m.enter("try_to_free_pages", 0, c.GFP_KERNEL)
    assert m.step(vmscan_node.try_to_free_node_pages).kind == "call"


def test_kswapd_lets_them_in_once_it_has_freed_enough_and_always_before_it_sleeps() -> None:
    m = node()
    k = starved(m)
    m.enter("try_to_free_pages", 0, c.GFP_KERNEL)
    m.step(vmscan_node.try_to_free_node_pages)
    m.act_as(KSWAPD)
    m.enter("balance_pgdat", 0)
    m.step(kswapd_node.balance_node)
    m.answer()
    m.step(kswapd_node.balance_node)
    assert k.task[USER].state == c.T_SLEEPING
    k.zone[1].nr_free += k.zone[1].wmark_min
    assert reclaim_throttle.allow_direct_reclaim(k)
    m.answer()
    m.step(kswapd_node.balance_node)
    assert k.task[USER].state == c.T_RUNNABLE
