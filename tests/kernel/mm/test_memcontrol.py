# SPDX-License-Identifier: GPL-2.0-or-later
"""Memory cgroups: charging against its naive twin, and what a task goes through at its group's limits."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.kernel.lab import OTHER, USER, called, lab, many, returned, slept, some
from tests.naive import memcg as naive

from pageout.engine import constants as c
from pageout.kernel.mm import memcg_charge, memcontrol, vmscan_node, workingset
from pageout.kernel.mm.filemap import add_to_page_cache, remove_from_page_cache, set_page_dirty
from pageout.kernel.mm.swap import lru_add_drain, lru_del
from pageout.vocabulary.scenario import Cgroup

NODE = (("reclaim.engine", "node"), ("lru.batch", "15"), ("watermark.marks", "scaled"))
GFP = c.GFP_KERNEL
JOB, NEIGHBOUR = 1, 2


def grouped(limit: int = 0, high: int = 0, **options: Any) -> Any:
    """A machine with two groups, of which the first has limits, in pages; both users are in it."""
    groups = (Cgroup(name="job", max_bytes=limit * 4096, high_bytes=high * 4096), Cgroup(name="neighbour"))
    return lab(choices=(*NODE, *options.pop("choices", ())), cgroups=groups, **options)


def cached(m: Any, index: int, flags: int = c.PG_UPTODATE, group: int = JOB) -> int:
    """A page of the file, charged to a group, on its list."""
    page = m.block(0)
    m.k.page[page].memcg = group
    m.k.memcg[group].usage += 1
    add_to_page_cache(m.k, m.t, page, 0, index, flags)
    lru_add_drain(m.k, m.task.cpu)
    return int(page)


@many
@given(
    st.integers(0, 300),
    st.integers(0, 300),
    st.lists(st.tuples(st.sampled_from(("charge", "use", "free", "drain")), st.integers(0, 1)), max_size=200),
)
def test_charges_are_those_of_the_twin(limit: int, high: int, calls: list[tuple[str, int]]) -> None:
    m = grouped(cpus=2)
    m.k.memcg[JOB].memory_max, m.k.memcg[JOB].memory_high = limit, high
    twin, pages, index = naive.Group(limit, high, 2), [], 0
    for what, cpu in calls:
        m.task.cpu = cpu
        if what == "charge" and not m.task.memcg_reserved:
            assert bool(memcontrol.charge_page(m.k, m.t)) == twin.charge(cpu)
        elif what == "use" and m.task.memcg_reserved:
            page = m.block(0)
            memcontrol.commit_charge(m.k, m.t, page)
            add_to_page_cache(m.k, m.t, page, 0, index, c.PG_UPTODATE)
            pages.append(page)
            index += 1
        elif what == "free" and pages:
            lru_add_drain(m.k, 0), lru_add_drain(m.k, 1)
            page = pages.pop()
            lru_del(m.k, page)
            remove_from_page_cache(m.k, page)
            twin.uncharge()
        elif what == "drain":
            memcontrol.drain_all_stock(m.k, JOB)
            twin.drain()
        assert m.k.memcg[JOB].usage == twin.usage <= max(limit, 0)
        assert m.task.memcg_over_high == twin.over_high
        assert m.k.memcg[JOB].nr_file == len(pages)


def test_a_task_of_the_root_is_charged_for_nothing() -> None:
    m = grouped(limit=1)
    m.task.memcg = 0
    assert all(memcontrol.may_charge(m.k, m.t) for _ in range(100))
    assert m.k.memcg[0].usage == 0


def test_pages_go_to_the_lists_of_their_group() -> None:
    m = grouped()
    mine, others, nobodys = (cached(m, i, group=group) for i, group in enumerate((JOB, NEIGHBOUR, 0)))
    lists = [m.list_of(c.LRU_INACTIVE_FILE, group) for group in (JOB, NEIGHBOUR, 0)]
    assert lists == [[mine], [others], [nobodys]]
    assert memcontrol.lru_size(m.k, JOB, c.LRU_INACTIVE_FILE) == 1
    assert memcontrol.lru_size(m.k, 0, c.LRU_INACTIVE_FILE) == 3


def test_at_memory_max_a_charge_reclaims_from_the_group_and_succeeds_if_that_frees_something() -> None:
    m = grouped(limit=64)
    m.k.memcg[JOB].usage = 64
    f = m.enter("try_charge_memcg", GFP)
    assert m.step(memcg_charge.try_charge_memcg) == called("try_to_free_mem_cgroup_pages", 1, GFP, JOB)
    m.k.memcg[JOB].usage -= 32
    m.answer(32)
    f.pc = 2
    assert m.step(memcg_charge.try_charge_memcg) == returned(0)
    assert m.k.memcg[JOB].usage == 33
    assert m.task.memcg_reserved == 1
    assert m.k.memcg[JOB].event_max == 1


def _tries(m: Any, gfp: int = GFP) -> tuple[int, Any]:
    """Let every reclaim free nothing; how many there were, and how it ended."""
    m.enter("try_charge_memcg", gfp)
    tries = 0
    while True:
        step = m.step(memcg_charge.try_charge_memcg)
        if step.kind != "call":
            return tries, step
        tries += 1
        m.answer(0)
        if tries > 100:
            return tries, step


def test_reclaim_in_vain_is_tried_16_times_then_the_largest_task_of_the_group_dies() -> None:
    m = grouped(limit=64)
    m.k.memcg[JOB].usage = 64
    for t in (USER, OTHER):
        m.k.frame[t * c.MAX_DEPTH].stage = 2
    m.k.inode[1].nr_mapped = 50
    hog = next(t for t in (USER, OTHER) if m.k.task[t].mm_inode == 1)
    m.act_as(OTHER if hog == USER else USER)

    tries, ended = _tries(m)

    assert (tries, ended.kind) == (101, "call")  # the victim never gives its memory back here
    assert m.k.task[hog].killed
    assert m.k.memcg[JOB].event_oom_kill == 1
    assert m.k.memcg[JOB].event_oom == 5  # after 1 + 1 + 16 tries, then after every 16 + 1


def test_who_is_killed_at_the_limit_gets_an_error() -> None:
    m = grouped(limit=64)
    m.k.memcg[JOB].usage = 64
    m.k.frame[m.t * c.MAX_DEPTH].stage = 2
    m.task.killed = m.task.memdie = 1
    tries, ended = _tries(m)
    assert ended == returned(memcg_charge.ENOMEM)
    assert tries < 40
    assert m.k.memcg[JOB].event_oom_kill == 0


def test_readahead_gives_up_at_the_limit_after_the_stocks_are_empty() -> None:
    m = grouped(limit=64)
    m.k.memcg[JOB].usage = 64
    assert _tries(m, GFP | c.GFP_NORETRY) == (2, returned(memcg_charge.ENOMEM))
    assert m.k.memcg[JOB].event_oom == 0


@some
@given(st.integers(1, 1 << 20), st.integers(0, 1 << 20), st.integers(1, 4096), st.sampled_from((100, 250, 1000)))
def test_the_sleep_over_memory_high_is_the_overage_squared_for_each_page(
    high: int, over: int, nr_pages: int, hz: int
) -> None:
    delay = memcg_charge.calculate_high_delay(high + over, high, nr_pages, hz)
    wanted = naive.delay_s(high + over, high, nr_pages) * hz
    rounding = 1 + nr_pages / 64 + float(wanted) * 1e-3
    assert 0 <= delay <= 2 * hz
    assert abs(delay - float(wanted)) <= rounding


def test_a_twentieth_over_memory_high_costs_160_ms_for_a_batch() -> None:
    assert memcg_charge.calculate_high_delay(10500, 10000, 64, 1000) in (159, 160)


def test_over_memory_high_a_task_reclaims_while_that_helps_and_sleeps_when_it_does_not() -> None:
    m = grouped(high=1000)
    m.k.memcg[JOB].usage = 1200
    m.task.memcg_over_high = 64
    m.enter("mem_cgroup_handle_over_high")
    assert m.step(memcg_charge.mem_cgroup_handle_over_high) == called("try_to_free_mem_cgroup_pages", 64, GFP, JOB)
    for freed in (10, *([0] * memcg_charge.MAX_RECLAIM_RETRIES)):
        m.answer(freed)
        asked = m.step(memcg_charge.mem_cgroup_handle_over_high)
        assert asked == called("try_to_free_mem_cgroup_pages", 32, GFP, JOB)
    m.answer(0)
    wanted = memcg_charge.calculate_high_delay(1200, 1000, 64, 100)
    assert m.step(memcg_charge.mem_cgroup_handle_over_high) == slept(c.NIL, wanted)
    assert wanted == pytest.approx(0.2**2 * 64 * 100, rel=0.22) or wanted == 200
    m.wake(wanted * 10_000_000)
    assert m.step(memcg_charge.mem_cgroup_handle_over_high) == returned(0)
    assert m.k.memcg[JOB].high_asked_ns == wanted * 10_000_000
    assert m.task.memcg_over_high == 0


def test_ten_milliseconds_are_not_slept() -> None:
    m = grouped(high=10000)
    m.k.memcg[JOB].usage = 10010
    m.task.memcg_over_high = 64
    m.enter("mem_cgroup_handle_over_high")
    assert m.step(memcg_charge.mem_cgroup_handle_over_high).kind == "call"
    m.answer(0)
    assert m.step(memcg_charge.mem_cgroup_handle_over_high) == returned(0)


def test_reclaim_for_a_group_says_so_and_does_not_count_as_the_machines() -> None:
    m = grouped(limit=64)
    m.events()
    m.enter("try_to_free_mem_cgroup_pages", 1, GFP, JOB)
    assert m.step(vmscan_node.try_to_free_node_pages) == called("shrink_node", c.DEF_PRIORITY)
    assert m.task.sc_memcg == JOB
    assert m.task.sc_to_reclaim == 32
    assert m.events() == [("mm_vmscan_memcg_reclaim_begin", 0, GFP)]
    assert m.k.vm.allocstall == 0
    m.task.sc_reclaimed = 40
    m.k.memcg[JOB].congested = 1
    m.answer(0)
    assert m.step(vmscan_node.try_to_free_node_pages) == returned(40)
    assert m.events() == [("mm_vmscan_memcg_reclaim_end", 40)]
    assert m.task.sc_memcg == 0
    assert m.k.memcg[JOB].congested == 0


def test_only_the_groups_own_pages_are_scanned_for_its_limit() -> None:
    m = grouped()
    for i in range(64):
        cached(m, i, group=JOB)
        cached(m, 100 + i, group=NEIGHBOUR)
    m.task.sc_gfp, m.task.sc_to_reclaim, m.task.sc_memcg, m.task.sc_full_walk = GFP, 32, JOB, 1
    m.enter("shrink_node", 0)
    seen = []
    while (step := m.step(vmscan_node.shrink_node)).kind == "call":
        seen.append((m.task.sc_vec, *step.args[:2]))
        m.answer(32)
    assert seen == [(JOB, 32, c.LRU_INACTIVE_FILE)]


@pytest.mark.parametrize(
    ("walk", "wanted"), [("all", [[0, 1, 2], [0, 1, 2]]), ("part", [[0], [1], [2], [0]])], ids=["6.1", "6.12"]
)
def test_direct_reclaim_goes_through_all_groups_or_from_where_the_last_one_stopped(
    walk: str, wanted: list[list[int]]
) -> None:
    m = grouped(choices=(("memcg.walk", walk),))
    for i in range(32 << 1):
        for group in range(3):
            cached(m, 100 * group + i, group=group)
    for visits in wanted:
        f = m.enter("try_to_free_pages", 0, GFP)
        m.step(vmscan_node.try_to_free_node_pages)
        m.f.a = 1
        seen = []
        while m.step(vmscan_node.shrink_node).kind == "call":
            seen.append(m.task.sc_vec)
            m.answer(32)
        assert seen == visits
        m.answer(0) if m.f.fn != f.fn else None
        while m.task.depth > 0:
            m.answer(0)


def test_what_a_group_gave_up_is_measured_on_the_clock_of_who_took_it() -> None:
    m = grouped()
    page = cached(m, 0)
    for _ in range(5):
        workingset.age_nonresident(m.k, NEIGHBOUR)
    shadow = workingset.workingset_eviction(m.k, page, JOB)
    assert m.k.memcg[JOB].nonresident_age == 1
    assert m.k.node.nonresident_age == 6
    assert workingset._distance(m.k, shadow) == (1, JOB)
    for _ in range(3):
        workingset.age_nonresident(m.k, JOB)
    assert workingset._distance(m.k, shadow) == (4, JOB)
    of_all = workingset.workingset_eviction(m.k, page, 0)
    assert workingset._distance(m.k, of_all) == (1, 0)


def test_dirty_pages_are_counted_for_the_group_that_is_charged_for_them() -> None:
    m = grouped()
    page = cached(m, 3)
    set_page_dirty(m.k, m.t, page)
    assert (m.k.memcg[JOB].nr_dirty, m.k.memcg[NEIGHBOUR].nr_dirty) == (1, 0)
