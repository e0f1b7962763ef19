# SPDX-License-Identifier: GPL-2.0-or-later
"""Direct reclaim, the scan of a zone, inactive lists, the waits: step by step."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.kernel.lab import KSWAPD, USER, YIELDED, called, few, lab, returned, slept, some
from tests.naive import dirty as naive_dirty
from tests.naive import reclaim as naive

from pageout.engine import constants as c
from pageout.kernel.fs.bdi_work import ALL_PAGES
from pageout.kernel.mm.swap import lru_cache_add
from pageout.kernel.mm.vmscan import (
    congestion_wait,
    shrink_inactive_list,
    shrink_zone,
    throttle_vm_writeout,
    try_to_free_pages,
)

MS = 1_000_000
WAIT = called("congestion_wait", 10)  # HZ/10 at 100 Hz

# --- try_to_free_pages


def direct(m, order: int = 0, gfp: int = c.GFP_KERNEL):
    return m.enter("try_to_free_pages", order, gfp)


def reclaim_step(m, scanned: int = 0, reclaimed: int = 0):
    """shrink_zone returns, having scanned and reclaimed so much."""
    m.task.sc_scanned += scanned
    m.task.sc_reclaimed += reclaimed
    m.answer()
    return m.step(try_to_free_pages)


def dirty_file(m):
    """A device with something to write, so that a kick of the flushers is seen."""
    m.page(dirty=True)


def test_direct_reclaim_sets_out_with_what_the_request_allows() -> None:
    m = lab()
    m.k.stat.now_ns = 7777
    task = m.task
    task.sc_reclaimed, task.sc_dirty, task.sc_scanned, task.tflags = 99, 99, 99, 0
    direct(m, 2, c.GFP_NOFS)
    assert m.step(try_to_free_pages) == called("shrink_zone", 12, 1)
    assert (task.sc_order, task.sc_gfp, task.sc_reclaimed, task.sc_dirty, task.sc_scanned) == (2, c.GFP_NOFS, 0, 0, 0)
    assert (task.sc_to_reclaim, task.sc_writepage, task.tflags & c.PF_MEMALLOC) == (32, 1, c.PF_MEMALLOC)
    assert (task.stall_count, task.stall_begin_ns, m.k.vm.allocstall) == (1, 7777, 1)
    assert m.events() == [("mm_vmscan_direct_reclaim_begin", 2, 1, c.GFP_NOFS)]


@pytest.mark.parametrize(
    ("settings", "choices", "expected"),
    [
        ((), (), 1),
        ((("vm.laptop_mode", 5),), (), 0),
        ((), (("reclaim.writeback", "kswapd"),), 0),
        ((), (("reclaim.writeback", "never"),), 0),
    ],
)
def test_direct_reclaim_may_write_unless_laptop_mode_or_the_design_forbids(settings, choices, expected) -> None:
    m = lab(settings=settings, choices=choices)
    direct(m)
    m.step(try_to_free_pages)
    assert m.task.sc_writepage == expected
    assert m.events("mm_vmscan_direct_reclaim_begin") == [(0, expected, c.GFP_KERNEL)]


def test_each_priority_goes_over_the_zones_from_the_highest_and_waits_from_priority_9_on() -> None:
    m = lab()
    direct(m)
    seen = [m.step(try_to_free_pages)]
    while seen[-1].kind == "call":
        seen.append(reclaim_step(m, scanned=1))
    expected = []
    for priority in range(12, -1, -1):
        expected += [called("shrink_zone", priority, 1), called("shrink_zone", priority, 0)]
        if priority < 10:
            expected.append(WAIT)
    assert seen == [*expected, returned(0)]
    assert m.work_items() == []


def test_a_pass_that_scanned_nothing_waits_for_nothing() -> None:
    m = lab()
    direct(m)
    seen = [m.step(try_to_free_pages)]
    while seen[-1].kind == "call":
        seen.append(reclaim_step(m))
    assert WAIT not in seen
    assert len(seen) == 27


def test_zones_given_up_are_skipped_below_priority_12() -> None:
    m = lab()
    m.k.zone[1].all_unreclaimable = 1
    direct(m)
    assert m.step(try_to_free_pages) == called("shrink_zone", 12, 1)
    assert reclaim_step(m) == called("shrink_zone", 12, 0)
    assert reclaim_step(m) == called("shrink_zone", 11, 0)
    assert reclaim_step(m) == called("shrink_zone", 10, 0)


@pytest.mark.parametrize("freed", [0, 20])
def test_direct_reclaim_reports_nothing_when_every_zone_was_given_up_at_the_end(freed: int) -> None:
    m = lab()
    direct(m)
    m.step(try_to_free_pages)
    reclaim_step(m, reclaimed=freed)
    m.k.zone[0].all_unreclaimable = m.k.zone[1].all_unreclaimable = 1
    assert reclaim_step(m) == returned(0)
    assert m.events("mm_vmscan_direct_reclaim_end") == [(freed,)]


def test_direct_reclaim_reports_what_little_it_freed_while_a_zone_is_not_given_up() -> None:
    m = lab()
    m.k.zone[1].all_unreclaimable = 1
    direct(m)
    step = m.step(try_to_free_pages)
    while step.kind == "call":
        step = reclaim_step(m, reclaimed=1)
    assert step == returned(14)


@pytest.mark.parametrize(("freed", "done"), [(31, False), (32, True), (33, True)])
def test_direct_reclaim_ends_after_a_pass_with_32_pages(freed: int, done: bool) -> None:
    m = lab()
    dirty_file(m)
    direct(m)
    m.step(try_to_free_pages)
    assert reclaim_step(m, scanned=100, reclaimed=freed) == called("shrink_zone", 12, 0)
    m.events()
    after = reclaim_step(m)
    assert after == (returned(freed) if done else called("shrink_zone", 11, 1))
    assert m.work_items() == ([] if done else [(100, 0, 0)])
    if done:
        assert m.events("mm_vmscan_direct_reclaim_end") == [(freed,)]


def test_thirty_two_pages_count_even_if_all_zones_are_given_up() -> None:
    m = lab()
    direct(m)
    m.step(try_to_free_pages)
    frame = m.k.frame[USER * c.MAX_DEPTH + 1]
    reclaim_step(m, reclaimed=32)
    frame.flag = 0
    assert reclaim_step(m) == returned(32)


def test_the_stall_is_measured_and_forgotten_at_the_end() -> None:
    m = lab()
    m.task.tflags = c.PF_LESS_THROTTLE
    direct(m)
    m.step(try_to_free_pages)
    reclaim_step(m)
    m.k.stat.now_ns += 5 * MS
    assert reclaim_step(m, reclaimed=32) == returned(32)
    task = m.task
    assert (task.stall_ns, task.stall_begin_ns, m.k.stat.alloc_stall_ns) == (5 * MS, 0, 5 * MS)
    assert task.tflags == c.PF_LESS_THROTTLE
    row = m.k.hist_sum[c.HIST_STALL]
    assert (row.nr, row.total) == (1, 5 * MS)


def kick(scanned: list[int], **options):
    """The works queued after passes that scanned so many pages each."""
    m = lab(**options)
    dirty_file(m)
    m.k.vm.nr_dirty = 3
    direct(m)
    m.step(try_to_free_pages)
    m.task.sc_writepage = 0
    for nr in scanned:
        reclaim_step(m, scanned=nr)
        reclaim_step(m)
    return m.work_items(), m.task.sc_writepage


@pytest.mark.parametrize(
    ("scanned", "kicked"), [([48], []), ([49], [49]), ([24, 24], []), ([24, 25], [49]), ([49, 10], [49, 59])]
)
def test_the_flushers_are_asked_for_all_that_was_scanned_once_that_exceeds_48(
    scanned: list[int], kicked: list[int]
) -> None:
    works, may_write = kick(scanned)
    assert works == [(nr, 0, 0) for nr in kicked]
    assert may_write == bool(kicked)


def test_in_laptop_mode_the_flushers_are_asked_for_everything_and_reclaim_may_write_from_then_on() -> None:
    assert kick([49], settings=(("vm.laptop_mode", 5),)) == ([(3, 0, 0)], 1)


@pytest.mark.parametrize("kind", ["dirty", "none"])
def test_designs_that_kick_otherwise_do_not_kick_for_scanned_pages(kind: str) -> None:
    assert kick([500], choices=(("reclaim.kick", kind),))[0] == []


def test_no_direct_writeback_kicks_but_never_lets_direct_reclaim_write() -> None:
    assert kick([49], choices=(("reclaim.writeback", "kswapd"),)) == ([(49, 0, 0)], 0)


def test_each_pass_counts_its_own_scan_from_zero() -> None:
    m = lab()
    direct(m)
    m.step(try_to_free_pages)
    reclaim_step(m, scanned=10)
    reclaim_step(m, scanned=5)
    assert m.task.sc_scanned == 0
    assert m.k.frame[USER * c.MAX_DEPTH + 1].total == 15


# --- shrink_zone


def zone_scan(m, shares=(0, 0, 0, 0), priority: int = 12, zone: int = 1, swap: int = 1):
    """Enter shrink_zone with the lists' shares as given, by way of saved_scan and lists without pages."""
    for lru, share in enumerate(shares):
        m.k.lru[zone * c.NR_LRU + lru].saved_scan = share
    m.k.stat.swap_free = swap
    m.task.sc_to_reclaim = 32
    return m.enter("shrink_zone", priority, zone)


THROTTLE = called("throttle_vm_writeout", c.GFP_KERNEL)


def zone_steps(m, per_call: int = 0) -> list:
    m.task.sc_gfp = c.GFP_KERNEL
    seen = [m.step(shrink_zone)]
    while seen[-1].kind == "call":
        m.task.sc_reclaimed += per_call
        m.answer(per_call)
        seen.append(m.step(shrink_zone))
    return seen


@some
@given(st.tuples(*[st.sampled_from([0, 32, 33, 63, 64, 65, 100])] * 4))
def test_the_lists_are_scanned_in_turn_32_pages_each(shares) -> None:
    m = lab()
    zone_scan(m, shares)
    inactive = [
        called("shrink_inactive_list", portion, lru, 1) for lru, portion in naive.portions(shares) if lru in (0, 2)
    ]
    assert zone_steps(m) == [*inactive, THROTTLE, returned(0)]


def test_shares_come_from_list_sizes_priority_and_the_anonymous_percentage() -> None:
    m = lab(swap=64)
    sizes = (4000, 8000, 16000, 32000)
    m.k.zone[1].nr_free = 100_000
    zone_scan(m, (1, 2, 3, 4), priority=3, swap=5)
    m.set_list_sizes(1, *sizes)
    percent = naive.scan_ratio(
        file=48000, anon=12000, free=100_000, high=m.k.zone[1].wmark_high, swappiness=60, scanned=(0, 0), rotated=(0, 0)
    )[0]
    m.task.sc_priority = 0
    expected = [
        naive.nr_to_scan(
            pages=size, priority=3, percent=percent if lru < 2 else 100 - percent, swap=True, saved=lru + 1
        )[0]
        for lru, size in enumerate(sizes)
    ]
    assert m.step(shrink_zone) == called("shrink_inactive_list", 32, 0, 1)
    f = m.k.frame[USER * c.MAX_DEPTH + 1]
    assert [f.left + 32, f.count, f.total, f.nr_taken] == expected
    assert (f.priority, f.zone, m.task.sc_priority) == (3, 1, 3)


@pytest.mark.parametrize(("active", "moved"), [(5, 0), (6, 32)])
def test_the_active_file_list_is_shrunk_only_when_the_inactive_one_is_low(active: int, moved: int) -> None:
    m = lab()
    for _ in range(40):
        m.page(c.PG_ACTIVE)
    for _ in range(45 - active):
        m.page()
    zone_scan(m, (0, 0, 0, 64))
    moved_now = 32 if 45 - active < 40 else 0
    zone_steps(m)
    assert len(m.list_of(c.LRU_ACTIVE_FILE)) == 40 - moved_now
    assert moved == moved_now


@pytest.mark.parametrize(("swap", "nr_inactive", "moved"), [(5, 39, 33), (5, 40, 0), (0, 10, 0)])
def test_the_active_anonymous_list_is_shrunk_only_with_free_swap_and_a_low_inactive_one(
    swap, nr_inactive, moved
) -> None:
    """A share of 33: 32 in the first round, one in the second; the inactive file share keeps the rounds going."""
    m = lab(swap=64)
    for _ in range(40):
        m.page(c.PG_ACTIVE | c.PG_SWAPBACKED)
    for _ in range(nr_inactive):
        m.page(c.PG_SWAPBACKED)
    zone_scan(m, (0, 33, 64, 0), swap=swap)
    m.k.zone[1].inactive_ratio = 1
    calls = []
    step = m.step(shrink_zone)
    while step.kind == "call":
        calls.append(40 - len(m.list_of(c.LRU_ACTIVE_ANON)))
        m.answer()
        step = m.step(shrink_zone)
    assert calls[0] == min(moved, 32)
    first_round = min(moved, 32)
    low_again = 40 - first_round > nr_inactive + first_round
    assert calls[1] == first_round + (1 if swap and low_again else 0)


def test_active_anonymous_pages_have_their_turn_in_the_last_round_too() -> None:
    """32 in the round that inactive anonymous pages began, 32 more by ageing."""
    m = lab(swap=64)
    for _ in range(100):
        m.page(c.PG_ACTIVE | c.PG_SWAPBACKED)
    zone_scan(m, (32, 64, 0, 0), swap=5)
    assert m.step(shrink_zone) == called("shrink_inactive_list", 32, 0, 1)
    m.answer()
    assert m.step(shrink_zone).name == "throttle_vm_writeout"
    assert len(m.list_of(c.LRU_INACTIVE_ANON)) == 64


def test_active_anonymous_pages_alone_do_not_keep_the_loop_going() -> None:
    m = lab()
    zone_scan(m, (0, 64, 0, 0))
    assert zone_steps(m) == [THROTTLE, returned(0)]
    assert m.k.lru[1 * c.NR_LRU + 1].saved_scan == 0


@pytest.mark.parametrize(
    ("priority", "freed", "calls"), [(12, 32, 3), (11, 31, 2), (11, 32, 1), (11, 33, 1), (0, 32, 1)]
)
def test_the_scan_ends_early_with_enough_freed_below_priority_12(priority: int, freed: int, calls: int) -> None:
    m = lab()
    zone_scan(m, (0, 0, 96, 0), priority=priority)
    assert len(zone_steps(m, freed)) == calls + 2


def test_the_scan_ends_early_only_after_all_four_lists_had_their_turn() -> None:
    m = lab()
    zone_scan(m, (64, 0, 64, 0), priority=5)
    names = [step.args[:2] for step in zone_steps(m, 100)[:-2]]
    assert names == [(32, 0), (32, 2)]


def test_kswapds_target_is_out_of_reach() -> None:
    m = lab()
    zone_scan(m, (0, 0, 96, 0), priority=5)
    m.task.sc_to_reclaim = 1 << 60
    assert len(zone_steps(m, 1000)) == 5


def test_a_long_scan_gives_way_between_rounds_and_goes_on_where_it_was() -> None:
    m = lab()
    zone_scan(m, (0, 0, 96, 0))
    m.k.stat.slice_ns = 0
    m.task.sc_gfp = c.GFP_KERNEL
    assert m.step(shrink_zone) == called("shrink_inactive_list", 32, 2, 1)
    m.answer()
    assert m.step(shrink_zone) == YIELDED
    assert m.step(shrink_zone) == called("shrink_inactive_list", 32, 2, 1)
    m.answer()
    assert m.step(shrink_zone) == YIELDED
    m.k.stat.slice_ns = 1 << 40
    assert m.step(shrink_zone) == called("shrink_inactive_list", 32, 2, 1)
    m.answer()
    assert m.step(shrink_zone) == THROTTLE


def test_after_the_scan_anonymous_pages_are_aged_and_writers_throttled() -> None:
    m = lab(swap=64)
    for _ in range(40):
        m.page(c.PG_ACTIVE | c.PG_SWAPBACKED)
    zone_scan(m, swap=5)
    m.task.sc_gfp = c.GFP_NOFS
    assert m.step(shrink_zone) == called("throttle_vm_writeout", c.GFP_NOFS)
    assert len(m.list_of(c.LRU_INACTIVE_ANON)) == 32
    m.answer()
    assert m.step(shrink_zone) == returned(0)


def test_without_free_swap_the_scan_of_a_zone_does_not_age_anonymous_pages() -> None:
    m = lab(swap=64)
    for _ in range(40):
        m.page(c.PG_ACTIVE | c.PG_SWAPBACKED)
    zone_scan(m, swap=0)
    m.step(shrink_zone)
    assert len(m.list_of(c.LRU_INACTIVE_ANON)) == 0


# --- shrink_inactive_list


def inactive(m, nr: int = 32, lru: int = c.LRU_INACTIVE_FILE, order: int = 0, priority: int = 12, t: int = USER):
    m.act_as(t)
    m.task.sc_order, m.task.sc_priority = order, priority
    return m.enter("shrink_inactive_list", nr, lru, 1)


def scan_step(m):
    return m.step(shrink_inactive_list)


PASS, SYNC_PASS = called("shrink_page_list", 1), called("shrink_page_list", 1, 1)


@pytest.mark.parametrize("off", [-1, 0, 1])
@pytest.mark.parametrize("kind", ["file", "anon"])
def test_a_direct_reclaimer_waits_while_more_pages_are_isolated_than_inactive(kind: str, off: int) -> None:
    m = lab()
    m.set_list_sizes(1, inactive_anon=10 if kind == "anon" else 50, inactive_file=10 if kind == "file" else 50)
    setattr(m.k.zone[1], f"isolated_{kind}", 10 + off)
    inactive(m, lru=c.LRU_INACTIVE_FILE if kind == "file" else c.LRU_INACTIVE_ANON)
    m.k.lru[1 * c.NR_LRU + (2 if kind == "file" else 0)].tail = c.NIL
    first = scan_step(m)
    assert (first == WAIT) == (off > 0)
    if off > 0:
        m.answer()
        assert scan_step(m) == WAIT
        m.answer()
        setattr(m.k.zone[1], f"isolated_{kind}", 10)
        assert scan_step(m) == returned(0)


def test_kswapd_does_not_wait_for_isolated_pages() -> None:
    m = lab()
    m.k.zone[1].isolated_file = m.k.zone[1].isolated_anon = 1000
    inactive(m, t=KSWAPD)
    assert scan_step(m) == returned(0)


def test_a_reclaimer_about_to_die_leaves_the_gate_claiming_32_pages() -> None:
    m = lab()
    m.k.zone[1].isolated_file = 1000
    inactive(m)
    assert scan_step(m) == WAIT
    m.answer()
    m.task.killed = 1
    assert scan_step(m) == returned(32)


def test_the_32_pages_claimed_by_a_dying_reclaimer_end_its_reclaim() -> None:
    m = lab()
    m.k.zone[1].isolated_file = 1000
    inactive(m)
    scan_step(m)
    m.answer()
    m.task.killed = 1
    scan_step(m)
    assert m.task.sc_reclaimed == 32


def test_a_task_killed_before_it_came_to_the_gate_waits_once() -> None:
    m = lab()
    m.k.zone[1].isolated_file = 1000
    m.task.killed = 1
    inactive(m)
    assert scan_step(m) == WAIT
    m.answer()
    assert scan_step(m) == returned(32)


def test_a_killed_task_that_finds_the_gate_open_scans() -> None:
    m = lab()
    m.page()
    m.task.killed = 1
    inactive(m)
    assert scan_step(m) == PASS


def test_pages_waiting_in_this_cpus_pagevec_are_listed_first() -> None:
    m = lab()
    page = m.page(listed=False)
    lru_cache_add(m.k, USER, page)
    inactive(m)
    assert scan_step(m) == PASS
    assert m.kept() == [page]


def test_a_batch_is_32_pages_from_the_tail_accounted_as_isolated() -> None:
    m = lab()
    pages = [m.page() for _ in range(40)]
    inactive(m)
    assert scan_step(m) == PASS
    assert m.kept() == pages[:32]
    assert m.list_of(c.LRU_INACTIVE_FILE) == pages[:31:-1]
    z = m.k.zone[1]
    assert (z.isolated_file, m.k.vm.nr_isolated_file, z.recent_scanned_file, z.recent_scanned_anon) == (32, 32, 32, 0)
    assert (z.pages_scanned, z.pgscan_direct, z.pgscan_kswapd) == (32, 32, 0)
    assert (m.k.stat.scanned_direct, m.k.stat.scanned_kswapd) == (32, 0)
    m.task.kept_head = m.task.kept_tail = c.NIL
    m.answer(32)
    assert scan_step(m) == returned(32)
    assert (m.task.sc_reclaimed, z.pgsteal, m.k.stat.reclaimed_direct, m.k.stat.reclaimed_kswapd) == (32, 32, 32, 0)
    assert m.k.vm.kswapd_steal == 0
    assert m.events("mm_vmscan_lru_shrink_inactive") == [(0, 1, 32, 32, 12, 0x02 | 0x08)]


def test_kswapds_scans_and_steals_are_counted_apart() -> None:
    m = lab()
    m.page(c.PG_SWAPBACKED)
    m.k.zone[1].pages_scanned = 7
    inactive(m, t=KSWAPD, lru=c.LRU_INACTIVE_ANON)
    assert scan_step(m) == PASS
    z = m.k.zone[1]
    assert (z.pgscan_direct, z.pgscan_kswapd, m.k.stat.scanned_direct, m.k.stat.scanned_kswapd) == (0, 1, 0, 1)
    assert (z.isolated_anon, m.k.vm.nr_isolated_anon, z.recent_scanned_anon, z.recent_scanned_file) == (1, 1, 1, 0)
    assert z.pages_scanned == 8
    m.task.kept_head = m.task.kept_tail = c.NIL
    m.answer(1)
    assert scan_step(m) == returned(1)
    assert (m.k.vm.kswapd_steal, m.k.stat.reclaimed_kswapd, m.k.stat.reclaimed_direct, z.pgsteal) == (1, 1, 0, 1)
    assert m.events("mm_vmscan_lru_shrink_inactive") == [(0, 1, 1, 1, 12, 0x01 | 0x08)]


def test_batches_are_taken_until_as_many_were_scanned_as_asked() -> None:
    m = lab()
    for _ in range(100):
        m.page()
    inactive(m, 33)
    for _ in range(2):
        assert scan_step(m) == PASS
        m.answer(0)
    assert scan_step(m) == returned(0)
    m = lab()
    for _ in range(100):
        m.page()
    inactive(m, 32)
    assert scan_step(m) == PASS
    m.answer(0)
    assert scan_step(m) == returned(0)


def test_a_long_scan_of_a_list_gives_way_between_batches() -> None:
    m = lab()
    for _ in range(100):
        m.page()
    inactive(m, 64)
    m.k.stat.slice_ns = 0
    scan_step(m)
    m.answer(3)
    assert scan_step(m) == YIELDED
    assert scan_step(m) == PASS
    m.answer(4)
    assert scan_step(m) == returned(7)
    assert m.task.sc_reclaimed == 7


def test_survivors_go_to_the_head_of_the_list_they_belong_to_now() -> None:
    m = lab()
    rest = [m.page(), m.page(c.PG_ACTIVE), m.page(c.PG_SWAPBACKED | c.PG_ACTIVE)]
    files = [m.page() for _ in range(3)]
    inactive(m, 1)
    assert scan_step(m) == PASS
    assert m.kept() == [rest[0], *files]
    for page in (files[0], files[2]):
        m.k.page[page].pflags |= c.PG_ACTIVE
    m.answer(0)
    assert scan_step(m) == returned(0)
    assert m.list_of(c.LRU_ACTIVE_FILE) == [files[2], files[0], rest[1]]
    assert m.list_of(c.LRU_INACTIVE_FILE) == [files[1], rest[0]]
    z = m.k.zone[1]
    assert (z.recent_rotated_file, z.recent_rotated_anon, z.isolated_file, m.k.vm.nr_isolated_file) == (2, 0, 0, 0)
    assert not any(m.flags(page) & c.PG_ISOLATED for page in files)


def test_rotated_anonymous_survivors_are_counted_as_such() -> None:
    m = lab()
    page = m.page(c.PG_SWAPBACKED)
    inactive(m, lru=c.LRU_INACTIVE_ANON)
    scan_step(m)
    m.k.page[page].pflags |= c.PG_ACTIVE
    m.answer(0)
    scan_step(m)
    z = m.k.zone[1]
    assert (z.recent_rotated_anon, z.recent_rotated_file, z.isolated_anon, m.k.vm.nr_isolated_anon) == (1, 0, 0, 0)
    assert m.list_of(c.LRU_ACTIVE_ANON) == [page]


def lumpy_page(m, order: int, priority: int, t: int = USER):
    page = m.page()
    inactive(m, 1, order=order, priority=priority, t=t)
    assert scan_step(m) == PASS
    return page


@pytest.mark.parametrize("order", [0, 1, 3, 4, 9])
@pytest.mark.parametrize("priority", [12, 10, 9, 0])
def test_a_lumpy_direct_reclaimer_goes_over_what_is_left_again_waiting_for_each_page(order: int, priority: int) -> None:
    m = lab()
    page = lumpy_page(m, order, priority)
    m.answer(0)
    if not naive.is_lumpy(order, priority):
        assert scan_step(m) == returned(0)
        assert m.events("mm_vmscan_lru_shrink_inactive") == [(0, 1, 1, 0, priority, 0x02 | 0x08)]
        return
    m.k.page[page].pflags |= c.PG_ACTIVE
    assert scan_step(m) == WAIT
    m.task.kept_head = m.task.kept_tail = c.NIL
    m.answer()
    assert scan_step(m) == SYNC_PASS
    assert m.kept() == [page]
    assert not m.flags(page) & c.PG_ACTIVE
    m.task.kept_head = m.task.kept_tail = c.NIL
    m.answer(1)
    assert scan_step(m) == returned(1)
    assert m.k.zone[1].pgsteal == 1
    assert m.events("mm_vmscan_lru_shrink_inactive") == [(0, 1, 1, 1, priority, 0x10 | 0x04)]


@pytest.mark.parametrize(("freed", "again"), [(0, True), (1, True), (2, False)])
def test_no_second_pass_when_all_taken_were_freed(freed: int, again: bool) -> None:
    m = lab()
    m.page()
    lumpy_page(m, 4, 12)
    m.answer(freed)
    assert (scan_step(m) == WAIT) == again


def test_no_second_pass_for_kswapd() -> None:
    m = lab()
    lumpy_page(m, 4, 12, KSWAPD)
    m.answer(0)
    assert scan_step(m) == returned(0)


def test_active_neighbours_taken_by_lumpy_reclaim_are_deactivated() -> None:
    m = lab()
    tag = m.block(1)
    neighbour = tag + 1
    m.place(tag)
    m.place(neighbour, c.PG_ACTIVE | c.PG_DELAYED)
    m.k.vm.pgdeactivate = 3
    inactive(m, order=1, priority=9)
    assert scan_step(m) == PASS
    assert m.kept() == [tag, neighbour]
    assert m.k.vm.pgdeactivate == 4
    assert m.flags(neighbour) & (c.PG_ACTIVE | c.PG_DELAYED) == c.PG_DELAYED
    assert m.k.zone[1].recent_scanned_file == 2


# --- congestion_wait, throttle_vm_writeout


@pytest.mark.parametrize(("sync", "queue"), [(0, c.WQ_CONGESTION_WRITE), (1, c.WQ_CONGESTION_READ)])
def test_congestion_wait_sleeps_on_the_one_queue_of_its_direction(sync: int, queue: int) -> None:
    m = lab(hz=250)
    m.k.stat.now_ns = 6 * MS
    m.enter("congestion_wait", 25, sync)
    assert m.step(congestion_wait) == slept(queue, 25)
    assert m.task.wait_exclusive == 0
    m.wake(9 * MS)
    assert m.step(congestion_wait) == returned(0)
    assert m.task.congestion_ns == 9 * MS
    assert m.events("writeback_congestion_wait") == [(100_000, 8_000)]


def test_two_waits_add_up() -> None:
    m = lab()
    for _ in range(2):
        m.enter("congestion_wait", 10)
        m.step(congestion_wait)
        m.wake(30 * MS)
        m.step(congestion_wait)
    assert m.task.congestion_ns == 60 * MS
    assert m.events("writeback_congestion_wait") == [(100_000, 30_000)] * 2


@pytest.mark.parametrize(("writeback", "waits"), [(1100, False), (1101, True)])
@pytest.mark.parametrize("gfp", [c.GFP_KERNEL, c.GFP_NOFS, c.GFP_KERNEL & ~c.GFP_IO])
def test_reclaimers_wait_while_more_than_1_1_times_the_limit_is_under_writeback(
    writeback: int, waits: bool, gfp: int
) -> None:
    m = lab(settings=(("vm.dirty_bytes", 1000 * 4096), ("vm.dirty_ratio", 0)))
    assert naive_dirty.must_wait_for_writeout(writeback, 1000) == waits
    m.k.vm.nr_writeback = writeback
    m.enter("throttle_vm_writeout", gfp)
    first = m.step(throttle_vm_writeout)
    if not waits:
        assert first == returned(0)
        return
    assert first == WAIT
    m.answer()
    assert m.step(throttle_vm_writeout) == (WAIT if gfp == c.GFP_KERNEL else returned(0))


def test_throttle_vm_writeout_traces_the_levels() -> None:
    m = lab()
    m.k.param.dirty_bytes, m.k.param.background_bytes = 1000 * 4096, 300 * 4096
    m.enter("throttle_vm_writeout", c.GFP_KERNEL)
    m.step(throttle_vm_writeout)
    assert m.events("global_dirty_state") == [(0, 0, 0, 300, 1000, 1000, 0, 0)]


@few
@given(st.sampled_from([100, 250, 1000]))
def test_reclaims_waits_are_a_tenth_of_a_second_at_any_hz(hz) -> None:
    m = lab(hz=hz)
    m.k.zone[1].isolated_file = 9
    inactive(m)
    assert scan_step(m) == called("congestion_wait", hz // 10)


def test_wakeups_for_all_dirty_data_use_no_special_budget() -> None:
    assert ALL_PAGES > 1 << 39
