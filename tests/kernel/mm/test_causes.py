# SPDX-License-Identifier: GPL-2.0-or-later
"""Why a page was written by reclaim, why a task had to reclaim: each cause planted on a small machine."""

import pytest
from tests.kernel.lab import FILE, FLUSHER, KSWAPD, Lab, lab

from pageout.engine import constants as c
from pageout.kernel.frames import FN
from pageout.kernel.mm import causes, kswapd_wake
from pageout.kernel.mm.filemap import end_page_writeback, inode_list_add, inode_list_del, set_page_dirty

S = 1_000_000_000


def cause_of(m: Lab, page: int, direct: int = 1) -> int:
    """The one cause that counts this page."""
    before = [m.k.cause[i].nr for i in range(causes.NR_CAUSES)]
    causes.note_reclaim_write(m.k, m.t, page)
    assert [m.k.cause[i].nr for i in range(causes.NR_CAUSES)] == before  # not written yet
    causes.count_reclaim_write(m.k, m.t, direct)
    after = [m.k.cause[i].nr for i in range(causes.NR_CAUSES)]
    (number,) = [i for i in range(causes.NR_CAUSES) if after[i] != before[i]]
    return number


def dirty_page(m: Lab) -> int:
    page = m.page(zone=0, dirty=True)
    m.k.param.background_bytes = 4096  # two dirty pages are more; both zones have their share
    m.page(zone=1, dirty=True)
    return page


def busy_with_younger_pages(m: Lab) -> None:
    m.k.task[FLUSHER].state = c.T_RUNNING
    m.k.bdi[0].flushed_dirtied_ms = 1 << 40


def test_below_the_background_threshold_nobody_was_asked_to_write() -> None:
    m = lab()
    page = m.page(zone=0, dirty=True)
    m.k.param.background_bytes = 1 << 20
    assert cause_of(m, page) == causes.CAUSE_BACKGROUND


def test_a_page_that_was_on_the_device_before_was_dirtied_again() -> None:
    m = lab()
    page = m.page(zone=0, writeback=True)
    end_page_writeback(m.k, page)
    set_page_dirty(m.k, m.t, page)
    assert cause_of(m, page) == causes.CAUSE_REDIRTIED


def test_an_inode_stamped_long_after_its_page_hides_the_page_s_age() -> None:
    m = lab()
    page = dirty_page(m)
    m.k.stat.now_ns = 60 * S
    m.k.inode[FILE].dirtied_when = 59 * S
    busy_with_younger_pages(m)
    assert cause_of(m, page) == causes.CAUSE_INODE_AGE


@pytest.mark.parametrize(("taken", "cause"), [(64, causes.CAUSE_DEVICE), (63, causes.CAUSE_UNKNOWN)])
def test_a_device_with_half_its_requests_taken_is_busy(taken: int, cause: int) -> None:
    m = lab()
    page = dirty_page(m)
    m.k.queue[0].nr_requests = 128
    m.k.queue[0].count_write = taken
    assert cause_of(m, page) == cause


def test_a_flusher_in_this_very_file_had_not_come_to_the_page() -> None:
    m = lab()
    page = dirty_page(m)
    m.k.inode[FILE].istate |= c.I_SYNC
    assert cause_of(m, page) == causes.CAUSE_UNKNOWN
    busy_with_younger_pages(m)
    assert cause_of(m, page) == causes.CAUSE_FILE_ORDER


def test_an_inode_behind_others_waits_its_turn_and_the_others_are_counted() -> None:
    m = lab()
    page = dirty_page(m)
    other = 1
    busy_with_younger_pages(m)
    inode_list_del(m.k, FILE)
    inode_list_add(m.k, 0, c.LIST_DIRTY, FILE, 0)
    inode_list_add(m.k, 0, c.LIST_IO, other, 0)
    assert causes.inodes_ahead(m.k, FILE) == 1
    assert causes.inodes_ahead(m.k, other) == 0
    assert cause_of(m, page) == causes.CAUSE_INODE_QUEUE
    assert m.k.cause[causes.CAUSE_INODE_QUEUE].total_ahead == 1
    example = m.k.example[causes.CAUSE_INODE_QUEUE * causes.EXAMPLES]
    assert (example.page, example.inode, example.ahead) == (page, FILE, 1)


def test_a_zone_much_dirtier_than_the_machine_is_the_cause() -> None:
    m = lab()
    page = m.page(zone=1, dirty=True)
    m.k.param.background_bytes = 1 << 20
    assert cause_of(m, page) == causes.CAUSE_BACKGROUND
    m.k.zone[1].nr_dirty += 600
    m.k.vm.nr_dirty += 600
    assert cause_of(m, page) == causes.CAUSE_ZONE


def test_facts_beside_the_cause_are_counted_too() -> None:
    m = lab()
    page = dirty_page(m)
    m.k.queue[0].count_write = m.k.queue[0].nr_requests
    m.k.inode[FILE].istate |= c.I_SYNC
    assert cause_of(m, page) == causes.CAUSE_DEVICE
    held = {1 << i for i in range(causes.NR_FACTS) if m.k.fact[i]}
    assert {causes.FACT_DEVICE_BUSY, causes.FACT_BEING_WRITTEN} <= held


def reclaim_cause(m: Lab, order: int = 0) -> int:
    before = [m.k.cause[i].nr for i in range(causes.NR_CAUSES)]
    causes.note_direct_reclaim(m.k, m.t, order)
    after = [m.k.cause[i].nr for i in range(causes.NR_CAUSES)]
    (number,) = [i for i in range(causes.NR_CAUSES) if after[i] != before[i]]
    return number


def with_cache(m: Lab) -> Lab:
    for _ in range(64):
        m.page()
    return m


def test_reclaim_right_after_kswapd_woke_is_a_burst_through_the_gap() -> None:
    m = with_cache(lab())
    m.k.stat.now_ns = 10 * S
    kswapd_wake.note_kswapd_woken(m.k, m.t)
    assert reclaim_cause(m) == causes.RECLAIM_BURST


@pytest.mark.parametrize(
    ("asleep_in", "cause"),
    [("get_request_wait", causes.RECLAIM_KSWAPD_DEVICE), ("congestion_wait", causes.RECLAIM_KSWAPD_WAITS)],
)
def test_kswapd_asleep_on_the_device_leaves_reclaim_to_others(asleep_in: str, cause: int) -> None:
    m = with_cache(lab())
    m.k.stat.now_ns = 10 * S
    m.act_as(KSWAPD)
    m.enter(asleep_in)
    m.k.task[KSWAPD].state = c.T_SLEEPING
    m.act_as(2)
    assert m.k.frame[KSWAPD * c.MAX_DEPTH + m.k.task[KSWAPD].depth].fn == getattr(FN, asleep_in)
    assert reclaim_cause(m) == cause


def test_kswapd_that_frees_little_of_what_it_scans_has_a_bad_tail() -> None:
    m = with_cache(lab())
    m.k.stat.now_ns = 10 * S
    m.k.task[KSWAPD].state = c.T_RUNNING
    m.k.stat.scanned_kswapd, m.k.stat.reclaimed_kswapd = 100, 49
    assert reclaim_cause(m) == causes.RECLAIM_DIRTY_TAIL
    m.k.stat.reclaimed_kswapd = 50
    assert reclaim_cause(m) == causes.RECLAIM_OUTRUN


def test_nothing_to_reclaim_and_memory_in_pieces() -> None:
    m = lab()
    assert reclaim_cause(m) == causes.RECLAIM_EXHAUSTED
    m.k.zone[m.k.param.nr_zones - 1].wmark_min = 0
    assert reclaim_cause(m, order=3) == causes.RECLAIM_FRAGMENTED


def test_the_flusher_of_the_lab_is_idle_until_it_has_work() -> None:
    m = lab()
    m.k.task[FLUSHER].state = c.T_SLEEPING
    page = m.page(zone=0, dirty=True)
    causes.note_reclaim_write(m.k, m.t, page)
    causes.count_reclaim_write(m.k, m.t, 1)
    assert m.k.fact[7] == 1


def test_a_page_that_the_filesystem_refuses_has_no_cause_and_is_counted_once() -> None:
    m = lab()
    page = dirty_page(m)
    causes.note_reclaim_write(m.k, m.t, page)
    causes.forget_reclaim_write(m.k, m.t)
    causes.count_reclaim_write(m.k, m.t, 1)
    assert sum(m.k.cause[i].nr for i in range(causes.NR_CAUSES)) == 0
    causes.note_reclaim_write(m.k, m.t, page)
    causes.count_reclaim_write(m.k, m.t, 1)
    causes.count_reclaim_write(m.k, m.t, 1)
    assert sum(m.k.cause[i].nr for i in range(causes.NR_CAUSES)) == 1
