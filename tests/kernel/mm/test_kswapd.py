# SPDX-License-Identifier: GPL-2.0-or-later
"""kswapd: waking, napping, sleeping, and balance_pgdat step by step."""

import itertools

import pytest
from tests.kernel.lab import KSWAPD, USER, called, lab, returned, slept
from tests.naive import reclaim as naive
from tests.naive.allocator import sleeping_prematurely

from pageout.engine import constants as c
from pageout.engine.waitqueue import sleep_on
from pageout.kernel.mm.kswapd import balance_pgdat, kswapd, wakeup_kswapd

WAIT = called("congestion_wait", 10)
NAP, SLEEP = slept(c.WQ_KSWAPD, 10), slept(c.WQ_KSWAPD)


def marks(m, zone: int, free: int, low: int = 40, high: int = 60, minimum: int = 30) -> None:
    """Set a zone's marks and free pages (single pages only count for order 0)."""
    z = m.k.zone[zone]
    z.wmark_min, z.wmark_low, z.wmark_high, z.nr_free, z.reserve1 = minimum, low, high, free, 0


def machine(free: tuple[int, int] = (10_000, 10_000), **options):
    m = lab(**options)
    for zone, pages in enumerate(free):
        marks(m, zone, pages)
        m.set_list_sizes(zone, inactive_file=1000)
    m.act_as(KSWAPD)
    return m


# --- wakeup_kswapd


def sleeping_kswapd(m) -> None:
    m.k.task[KSWAPD].depth = 0
    sleep_on(m.k, KSWAPD, c.WQ_KSWAPD, 0, 0)


@pytest.mark.parametrize("zone", [0, 1])
@pytest.mark.parametrize(("free", "wakes"), [(39, True), (40, True), (41, False)])
def test_kswapd_is_woken_for_a_zone_not_above_its_low_mark(zone: int, free: int, wakes: bool) -> None:
    m = machine()
    marks(m, zone, free)
    m.act_as(USER)
    sleeping_kswapd(m)
    wakeup_kswapd(m.k, USER, 0)
    assert (m.k.task[KSWAPD].state == c.T_RUNNABLE) == wakes
    assert m.events("mm_vmscan_wakeup_kswapd") == ([(0, zone, 0)] if wakes else [])


@pytest.mark.parametrize(("asked", "pending", "after"), [(2, 3, 3), (3, 3, 3), (4, 3, 4)])
def test_the_largest_order_asked_for_is_remembered(asked: int, pending: int, after: int) -> None:
    m = machine((0, 0))
    m.k.stat.kswapd_max_order = pending
    wakeup_kswapd(m.k, USER, asked)
    assert m.k.stat.kswapd_max_order == after
    assert m.events() == []


def test_an_order_is_not_remembered_while_all_zones_are_fine() -> None:
    m = machine()
    m.k.zone[1].nr_free = 900
    wakeup_kswapd(m.k, USER, 1)
    assert m.k.stat.kswapd_max_order == 0


def test_both_zones_low_wake_kswapd_once() -> None:
    m = machine((0, 0))
    sleeping_kswapd(m)
    wakeup_kswapd(m.k, USER, 3)
    assert m.events("mm_vmscan_wakeup_kswapd") == [(0, 1, 3)]


# --- the thread


def thread(m, order: int = 0, pending: int = 0):
    m.f.order = order
    m.k.stat.kswapd_max_order = pending


def run(m):
    return m.step(kswapd)


def balance(order: int):
    return called("balance_pgdat", order)


def test_a_larger_order_pending_is_served_at_once() -> None:
    m = machine()
    thread(m, 0, 3)
    assert run(m) == balance(3)
    assert m.k.stat.kswapd_max_order == 0
    assert m.events() == [("mm_vmscan_kswapd_wake", 0, 3)]
    m.answer()
    m.k.stat.kswapd_max_order = 3
    assert run(m) == NAP
    assert m.k.stat.kswapd_max_order == 0
    assert m.f.order == 3


@pytest.mark.parametrize("unreclaimable", list(itertools.product([0, 1], repeat=2)))
@pytest.mark.parametrize("free", [(61, 61), (60, 61), (61, 60), (59, 59)])
def test_kswapd_naps_unless_a_zone_worth_reclaiming_is_not_above_high(free, unreclaimable) -> None:
    m = machine(free)
    for zone in (0, 1):
        m.k.zone[zone].all_unreclaimable = unreclaimable[zone]
    thread(m)
    zones = [(bool(unreclaimable[z]), free[z] > 60) for z in (0, 1)]
    premature = sleeping_prematurely(woken=False, zones=zones)
    assert run(m) == (balance(0) if premature else NAP)
    assert m.k.vm.kswapd_high_wmark_hit_quickly == premature


def test_after_an_undisturbed_nap_kswapd_sleeps() -> None:
    m = machine()
    thread(m)
    run(m)
    m.wake(100_000_000, woken=0)
    assert run(m) == SLEEP
    assert m.events() == [("mm_vmscan_kswapd_sleep", 0)]
    m.k.stat.kswapd_max_order = 2
    m.wake()
    assert run(m) == balance(2)
    m.answer()
    m.k.stat.kswapd_max_order = 0
    assert run(m) == NAP
    assert (m.k.vm.kswapd_low_wmark_hit_quickly, m.k.vm.kswapd_high_wmark_hit_quickly) == (0, 0)


def test_a_nap_cut_short_counts_as_low_hit_quickly() -> None:
    m = machine()
    thread(m, 1)
    run(m)
    m.k.stat.kswapd_max_order = 0
    m.wake(5, woken=1)
    assert run(m) == balance(0)
    assert (m.k.vm.kswapd_low_wmark_hit_quickly, m.k.vm.kswapd_high_wmark_hit_quickly) == (1, 0)


def test_a_zone_below_high_after_the_nap_counts_as_high_hit_quickly() -> None:
    m = machine()
    thread(m)
    run(m)
    m.wake(100_000_000, woken=0)
    m.k.zone[0].nr_free = 60
    assert run(m) == balance(0)
    assert (m.k.vm.kswapd_low_wmark_hit_quickly, m.k.vm.kswapd_high_wmark_hit_quickly) == (0, 1)


# --- balance_pgdat


def sweep(m, order: int = 0):
    return m.enter("balance_pgdat", order)


def bal(m):
    return m.step(balance_pgdat)


def scan(priority: int, zone: int):
    return called("shrink_zone", priority, zone)


def after_scan(m, scanned: int = 0, reclaimed: int = 0):
    m.task.sc_scanned += scanned
    m.task.sc_reclaimed += reclaimed
    m.answer()
    return bal(m)


def test_nothing_is_done_when_all_zones_are_above_high() -> None:
    m = machine((61, 61))
    sweep(m, 0)
    assert bal(m) == returned(0)
    assert m.k.vm.pageoutrun == 1
    m = machine((100_000, 100_000))
    sweep(m, 5)
    for o in range(5):
        m.k.free_area[o].nr = m.k.free_area[c.MAX_ORDER + o].nr = 0
    assert bal(m) == returned(5)


@pytest.mark.parametrize(
    ("settings", "choices", "expected"),
    [
        ((), (), 1),
        ((("vm.laptop_mode", 1),), (), 0),
        ((), (("reclaim.writeback", "kswapd"),), 1),
        ((), (("reclaim.writeback", "never"),), 0),
    ],
)
def test_a_sweep_sets_out_with_no_target_and_may_write_unless_forbidden(settings, choices, expected) -> None:
    m = machine((0, 0), settings=settings, choices=choices)
    task = m.task
    task.sc_reclaimed, task.sc_scanned = 50, 60
    sweep(m, 3)
    assert bal(m) == scan(12, 0)
    assert (task.sc_reclaimed, task.sc_order, task.sc_gfp, task.sc_writepage, task.sc_scanned) == (
        0,
        3,
        c.GFP_KERNEL,
        expected,
        0,
    )
    assert task.sc_to_reclaim > 1 << 50


@pytest.mark.parametrize(("free", "zones"), [((0, 0), [0, 1]), ((500, 60), [0, 1]), ((60, 500), [0]), ((481, 60), [1])])
def test_zones_up_to_the_highest_below_high_are_scanned_unless_8_times_above_it(free, zones) -> None:
    """8 x high is 480."""
    m = machine(free)
    sweep(m)
    seen = [bal(m)]
    while seen[-1].name == "shrink_zone" and seen[-1].args[0] == 12:
        seen.append(after_scan(m))
    expected = [zone for zone in zones if free[zone] <= 480]
    assert [step.args[1] for step in seen if step.args[0] == 12] == expected


@pytest.mark.parametrize(("free", "scanned"), [(479, True), (480, True), (481, False)])
def test_the_fairness_cut_off_is_8_times_high(free: int, scanned: bool) -> None:
    m = machine((free, 0))
    sweep(m)
    assert bal(m) == scan(12, 0 if scanned else 1)


def test_priorities_go_down_with_waits_from_9_and_the_sweep_begins_again_with_order_0() -> None:
    m = machine((31, 31))
    sweep(m, 0)
    frame = m.f
    seen = [bal(m)]
    while len(seen) < 26 + 10:
        seen.append(after_scan(m, scanned=1))
    expected = []
    for priority in range(12, -1, -1):
        expected += [scan(priority, 0), scan(priority, 1)]
        if priority < 10:
            expected.append(WAIT)
    assert seen == expected
    assert m.k.vm.pageoutrun == 1
    frame.order = 2
    assert after_scan(m) == scan(12, 0)
    assert m.k.vm.pageoutrun == 2
    assert (frame.order, m.task.sc_order, frame.total) == (0, 0, 0)


def test_a_high_order_is_kept_for_the_next_sweep_after_32_pages() -> None:
    m = machine((0, 0))
    sweep(m, 2)
    bal(m)
    after_scan(m, reclaimed=16)
    assert after_scan(m, reclaimed=16) == scan(12, 0)
    assert m.k.vm.pageoutrun == 2
    assert (m.task.sc_order, m.task.sc_reclaimed) == (2, 0)


@pytest.mark.parametrize(("reclaimed", "priority"), [(31, 11), (32, 12), (33, 12)])
def test_a_sweep_ends_after_32_pages(reclaimed: int, priority: int) -> None:
    m = machine((0, 0))
    sweep(m)
    bal(m)
    after_scan(m, reclaimed=reclaimed)
    assert after_scan(m) == scan(priority, 0)


@pytest.mark.parametrize(("reclaimed", "order"), [(31, 0), (32, 2)])
def test_the_order_is_given_up_after_a_whole_sweep_with_too_little(reclaimed: int, order: int) -> None:
    m = machine((0, 0))
    sweep(m, 2)
    frame = m.f
    bal(m)
    frame.priority = 0
    after_scan(m, reclaimed=reclaimed)
    assert after_scan(m) == scan(12, 0)
    assert (frame.order, frame.a) == (order, 1)


def at_last_zone(m, priority: int, scanned: int):
    """A sweep that has come to the end of a priority."""
    sweep(m)
    frame = m.f
    bal(m)
    frame.priority = priority
    after_scan(m, scanned=scanned)
    return after_scan(m)


@pytest.mark.parametrize(("priority", "scanned", "waits"), [(10, 1, False), (9, 1, True), (9, 0, False), (0, 1, True)])
def test_kswapd_waits_below_priority_10_if_anything_was_scanned(priority: int, scanned: int, waits: bool) -> None:
    m = machine((31, 31))
    assert (at_last_zone(m, priority, scanned) == WAIT) == waits
    assert m.k.vm.kswapd_skip_congestion_wait == 0


@pytest.mark.parametrize(("free", "skips"), [((31, 31), 0), ((30, 31), 1), ((31, 30), 1), ((29, 31), 1)])
def test_kswapd_skips_the_wait_when_a_zone_is_under_min(free, skips: int) -> None:
    m = machine(free)
    after = at_last_zone(m, 9, 1)
    assert (after == WAIT) == (not skips)
    assert m.k.vm.kswapd_skip_congestion_wait == skips
    if skips:
        assert after == scan(8, 0)


@pytest.mark.parametrize("order", [0, 3])
def test_kswapd_is_done_when_all_zones_are_above_high_after_a_pass(order: int) -> None:
    m = machine((0, 0))
    sweep(m, order)
    bal(m)
    for zone in (0, 1):
        marks(m, zone, 61 + 7)
        for o in range(order):
            m.k.free_area[zone * c.MAX_ORDER + o].nr = 0
    after_scan(m, scanned=500)
    assert after_scan(m) == returned(order)


@pytest.mark.parametrize("zone", [0, 1])
@pytest.mark.parametrize(("free", "ok"), [(60, False), (61, True)])
def test_one_zone_not_above_high_keeps_kswapd_going(zone: int, free: int, ok: bool) -> None:
    m = machine((0, 0))
    sweep(m)
    bal(m)
    marks(m, 1 - zone, 100)
    marks(m, zone, free)
    after_scan(m)
    assert (after_scan(m) == returned(0)) == ok


def test_the_marks_after_a_scan_include_the_reserve_for_the_end_zone() -> None:
    m = machine((0, 0))
    sweep(m)
    bal(m)
    marks(m, 0, 65)
    marks(m, 1, 100)
    m.k.zone[0].reserve1 = 5
    after_scan(m)
    m.k.zone[0].nr_free = 100
    assert after_scan(m) == scan(11, 0) or m.k.zone[0].nr_free == 100
    m = machine((0, 0))
    sweep(m)
    bal(m)
    frame = m.k.frame[KSWAPD * c.MAX_DEPTH + 1]
    marks(m, 0, 65)
    m.k.zone[0].reserve1 = 5
    m.answer()
    bal(m)
    assert (frame.flag, frame.stage) == (1, 0)
    m = machine((0, 0))
    sweep(m)
    bal(m)
    frame = m.k.frame[KSWAPD * c.MAX_DEPTH + 1]
    marks(m, 0, 35)
    m.k.zone[0].reserve1 = 5
    m.answer()
    bal(m)
    assert (frame.flag, frame.stage) == (1, 1)


def test_the_fairness_cut_off_includes_the_reserve_for_the_end_zone() -> None:
    m = machine((485, 0))
    m.k.zone[0].reserve1 = 5
    sweep(m)
    assert bal(m) == scan(12, 0)
    m = machine((486, 0))
    m.k.zone[0].reserve1 = 5
    sweep(m)
    assert bal(m) == scan(12, 1)


def test_the_end_zone_is_found_without_a_reserve() -> None:
    m = machine((61, 61))
    m.k.zone[0].reserve0 = m.k.zone[1].reserve0 = 0
    m.k.zone[0].reserve1 = m.k.zone[1].reserve1 = 500
    sweep(m)
    assert bal(m) == returned(0)


@pytest.mark.parametrize("zone", [0, 1])
def test_zones_given_up_are_scanned_at_priority_12_only(zone: int) -> None:
    m = machine((0, 0))
    m.k.zone[zone].all_unreclaimable = 1
    sweep(m)
    assert bal(m) == scan(12, 0)
    assert after_scan(m) == scan(12, 1)
    assert after_scan(m) == scan(11, 1 - zone)


def test_kswapd_gives_over_when_every_zone_is_given_up() -> None:
    m = machine((0, 0))
    sweep(m)
    bal(m)
    after_scan(m)
    m.k.zone[0].all_unreclaimable = m.k.zone[1].all_unreclaimable = 1
    assert after_scan(m) == returned(0)


def test_a_zone_given_up_before_does_not_keep_kswapd_going() -> None:
    """mm/vmscan.c:balance_pgdat goes past it before it looks at its marks."""
    m = machine((0, 0))
    m.k.zone[0].all_unreclaimable = 1
    sweep(m)
    bal(m)
    marks(m, 1, 100)
    frame = m.k.frame[KSWAPD * c.MAX_DEPTH + 1]
    after_scan(m, scanned=500)
    assert (frame.flag, frame.total) == (0, 500)
    assert after_scan(m) == returned(0)


@pytest.mark.parametrize("off", [-1, 0, 1])
@pytest.mark.parametrize("zone", [0, 1])
def test_a_zone_scanned_six_times_over_is_given_up(zone: int, off: int) -> None:
    m = machine((0, 0))
    sweep(m)
    bal(m)
    m.set_list_sizes(zone, inactive_file=30, active_file=20)
    z = m.k.zone[zone]
    m.k.zone[1 - zone].pages_scanned = -1
    z.pages_scanned = 300 + off
    if zone == 1:
        after_scan(m)
    m.answer()
    bal(m)
    assert z.all_unreclaimable == naive.is_given_up(300 + off, 50) == (off >= 0)
    assert m.k.zone[1 - zone].all_unreclaimable == 0


@pytest.mark.parametrize(
    ("scanned", "reclaimed", "writes"),
    [(64, 0, 0), (65, 0, 1), (150, 100, 0), (151, 100, 1), (100, 66, 1), (99, 66, 0), (101, 67, 1), (100, 67, 0)],
)
def test_in_laptop_mode_kswapd_writes_after_much_scanning_with_little_success(
    scanned: int, reclaimed: int, writes: int
) -> None:
    m = machine((0, 0), settings=(("vm.laptop_mode", 1),))
    sweep(m)
    bal(m)
    after_scan(m, scanned=scanned, reclaimed=reclaimed)
    assert m.task.sc_writepage == writes


def test_a_design_that_never_writes_from_reclaim_keeps_to_it() -> None:
    m = machine((0, 0), choices=(("reclaim.writeback", "never"),))
    sweep(m)
    bal(m)
    after_scan(m, scanned=1000)
    assert m.task.sc_writepage == 0


def test_scanned_pages_add_up_over_zones_and_priorities() -> None:
    m = machine((31, 31))
    sweep(m)
    frame = m.f
    bal(m)
    for scanned, total in ((5, 5), (7, 12), (11, 23)):
        after_scan(m, scanned=scanned)
        assert frame.total == total
        assert m.task.sc_scanned == 0


def test_anonymous_pages_are_aged_in_each_zone_looked_at() -> None:
    m = machine((0, 61), swap=64)
    for zone in (0, 1):
        m.set_list_sizes(zone)
        for _ in range(40):
            m.page(c.PG_ACTIVE | c.PG_SWAPBACKED, zone=zone)
    marks(m, 1, 61)
    marks(m, 0, 0)
    sweep(m)
    assert bal(m) == scan(12, 0)
    assert [len(m.list_of(c.LRU_INACTIVE_ANON, zone)) for zone in (0, 1)] == [32, 32]
    m = machine((0, 0), swap=64)
    for zone in (0, 1):
        m.set_list_sizes(zone)
        for _ in range(40):
            m.page(c.PG_ACTIVE | c.PG_SWAPBACKED, zone=zone)
    marks(m, 1, 0)
    sweep(m)
    bal(m)
    assert [len(m.list_of(c.LRU_INACTIVE_ANON, zone)) for zone in (0, 1)] == [0, 32]
