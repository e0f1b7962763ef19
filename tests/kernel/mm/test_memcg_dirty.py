# SPDX-License-Identifier: GPL-2.0-or-later
"""Dirty pages of memory cgroups: their limits, the domain that decides, whose writeback an inode is."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.kernel.lab import USER, lab, many, returned, slept
from tests.kernel.mm.test_balance_dirty import HZ, reckoning, turn
from tests.naive import dirty_throttle as throttle
from tests.naive import memcg as naive

from pageout.engine import constants as c
from pageout.kernel.fs.wb_writeback import over_background_of
from pageout.kernel.mm import memcg_dirty, wb_rates
from pageout.kernel.mm.balance_dirty import is_check_due
from pageout.kernel.mm.dirty_limits import dirtyable_pages
from pageout.kernel.mm.filemap import set_page_dirty
from pageout.vocabulary.scenario import Cgroup

CHOICES = (("reclaim.engine", "node"), ("throttle.by", "pause"), ("flusher.turn", "bandwidth"),
           ("dirty.base", "unreserved"))  # fmt: skip
JOB, OTHER_GROUP = 1, 2


def grouped(**options: Any) -> Any:
    return lab(choices=(*CHOICES, *options.pop("choices", ())), cgroups=(Cgroup(name="job"), Cgroup(name="other")),
               **options)  # fmt: skip


PAGES = st.integers(0, 100_000)


@many
@given(PAGES, PAGES, PAGES, PAGES, PAGES, PAGES, PAGES, st.integers(0, 100), st.integers(0, 100),
       st.sampled_from((0, 1, 2000)))  # fmt: skip
def test_a_groups_limits_are_the_twins(
    file: int, free: int, dirty: int, m_dirty: int, usage: int, most: int, high: int, ratio: int, bg: int, mib: int
) -> None:
    m = grouped()
    k, group = m.k, m.k.memcg[JOB]
    k.param.reserve_pages, k.vm.nr_free_pages = 0, free
    k.lru[JOB * c.NR_LRU + c.LRU_INACTIVE_FILE].nr, k.vm.nr_inactive_file, k.vm.nr_active_file = file, file, 0
    group.memory_max, group.memory_high, group.usage = most, high, usage
    k.param.dirty_ratio, k.param.background_ratio = ratio, bg
    k.param.dirty_bytes, k.param.background_bytes = mib << 20, mib << 18
    found = memcg_dirty.group_dirty_limits(k, JOB, m_dirty, dirty)
    assert found == naive.dirty_limits(
        ratio=ratio, bg_ratio=bg, dirty_bytes=mib << 20, bg_bytes=mib << 18, file_pages=file, m_dirty=m_dirty,
        limits=(most, high), usage=usage, avail=dirtyable_pages(k), dirty=dirty,
    )  # fmt: skip


def held(m: Any, *, cache: int, mine: int, dirty: int, dirtied: int = 32) -> int:
    """A writer of the group, which has `mine` of the machine's `dirty` pages. Returns its row of writeback."""
    reckoning(m)
    row = m.k.param.nr_bdis * JOB
    m.k.param.dirty_bytes, m.k.param.background_bytes = 0, 0
    m.k.param.dirty_ratio, m.k.param.background_ratio, m.k.param.reserve_pages = 20, 10, 0
    m.k.vm.nr_free_pages, m.k.vm.nr_inactive_file, m.k.vm.nr_active_file = 10_000 - cache, cache, 0
    m.k.stat.dirty_limit = 1999
    group, wb = m.k.memcg[JOB], m.k.bdi[row]
    m.k.lru[JOB * c.NR_LRU + c.LRU_INACTIVE_FILE].nr = cache
    group.memory_max = group.usage = cache
    group.nr_dirty, wb.reclaimable, m.k.vm.nr_dirty = mine, mine, dirty
    wb.write_bandwidth = wb.avg_bandwidth = wb.dirty_ratelimit = wb.balanced_ratelimit = 6400
    wb.bw_stamp, wb.written_events, wb.memcg_events, group.written_events = 10_000, 100, 100, 100
    period = 10_000 // (3 * HZ)
    wb.written_period = wb.memcg_period = group.written_period = period
    task = m.k.task[USER]
    task.memcg, task.nr_dirtied, task.nr_dirtied_pause = JOB, dirtied, dirtied
    m.enter("balance_dirty_pages", 0, 0)
    return row


def test_below_both_free_runs_nobody_is_held_and_the_nearer_limit_says_when_to_look_again() -> None:
    m = grouped()
    held(m, cache=1000, mine=100, dirty=100)
    assert turn(m) == returned(0)
    limit = 819 * 1000 // 4096
    assert m.k.task[USER].nr_dirtied_pause == throttle.poll(100, limit) < throttle.poll(100, 1999)


def test_the_group_holds_a_writer_whom_the_machine_would_let_run() -> None:
    m = grouped()
    row = held(m, cache=1000, mine=180, dirty=180)
    wanted = throttle.position_ratio(thresh=199, bg=99, dirty_limit=0, dirty=180, wb_thresh=199, wb_dirty=180,
                                     avg_bw=6400)  # fmt: skip
    ended = turn(m)
    expected = throttle.pause(now=10_000, paused_when=0, nr_dirtied_pause=32, dirtied=32, ratelimit=6400,
                              task=6400 * wanted >> 10, avg_bw=6400, wb_dirty=180, hz=HZ)  # fmt: skip
    assert ended == slept(c.NIL, expected.pause)
    (event,) = m.events("balance_dirty_pages")
    assert event[0] == row
    assert event[3] == 180
    assert event[7] == (6400 * wanted >> 10) << 2


def test_the_printed_limit_is_the_machines_before_the_kernel_that_prints_the_groups() -> None:
    for floor, limit in (("position", 1999), ("share", 199)):
        m = grouped(choices=(("dirty.floor", floor),))
        held(m, cache=1000, mine=180, dirty=180)
        turn(m)
        assert m.events("balance_dirty_pages")[0][1] == limit


def test_the_machine_decides_when_it_is_nearer_to_its_limit() -> None:
    m = grouped()
    held(m, cache=9000, mine=1, dirty=1900)
    turn(m)
    (event,) = m.events("balance_dirty_pages")
    assert event[3] == 1900


def test_a_group_over_its_limit_is_looked_at_every_eight_pages_and_nobody_else() -> None:
    m = grouped()
    row = held(m, cache=1000, mine=250, dirty=250)
    turn(m)
    assert m.k.bdi[row].dirty_exceeded
    assert not m.k.bdi[0].dirty_exceeded
    m.k.task[USER].nr_dirtied, m.k.task[USER].nr_dirtied_pause = 9, 500
    assert is_check_due(m.k, USER, 0)
    m.k.task[USER].memcg = 0
    assert not is_check_due(m.k, USER, 0)


def test_an_inode_is_the_groups_who_is_charged_for_its_first_dirty_page() -> None:
    m = grouped()
    page, later = m.page(index=0), m.page(index=1)
    m.k.page[page].memcg, m.k.page[later].memcg = JOB, OTHER_GROUP
    set_page_dirty(m.k, m.t, page)
    set_page_dirty(m.k, m.t, later)
    row = m.k.param.nr_bdis * JOB
    assert m.k.inode[0].bdi == row
    assert m.k.bdi[row].reclaimable == 2
    assert m.inode_list("b_dirty", row) == [0]
    assert m.inode_list("b_dirty", 0) == []
    assert (m.k.memcg[JOB].nr_dirty, m.k.memcg[OTHER_GROUP].nr_dirty) == (1, 1)


def test_a_groups_flusher_begins_at_the_groups_background_limit() -> None:
    m = grouped()
    row = held(m, cache=1000, mine=98, dirty=98)
    assert not over_background_of(m.k, row)
    m.k.memcg[JOB].nr_dirty = m.k.vm.nr_dirty = 100
    assert over_background_of(m.k, row)
    assert not over_background_of(m.k, m.k.param.nr_bdis * OTHER_GROUP)


@pytest.mark.parametrize(("mine", "others", "wanted"), [(100, 0, 60), (100, 100, 30), (100, 300, 15), (0, 300, 0)])
def test_what_is_written_of_a_device_is_split_by_the_bandwidth_of_those_with_dirty_inodes(
    mine: int, others: int, wanted: int
) -> None:
    m = grouped()
    rows = [m.k.param.nr_bdis * group for group in (JOB, OTHER_GROUP)]
    for row, bandwidth in zip(rows, (mine, others), strict=True):
        m.k.bdi[row].avg_bandwidth = bandwidth
        m.k.bdi[row].b_dirty = 0 if bandwidth else c.NIL
    assert memcg_dirty.split_pages(m.k, rows[0], 60) == wanted
    assert memcg_dirty.split_ratio(m.k, rows[0], 60) == wanted


def test_a_groups_share_of_its_own_limit_goes_by_what_the_group_wrote() -> None:
    m = grouped(stacked=())
    row = held(m, cache=1000, mine=10, dirty=10)
    for _ in range(30):
        wb_rates.count_written(m.k, row)
    assert (m.k.bdi[row].memcg_events, m.k.memcg[JOB].written_events) == (130, 130)
    assert wb_rates.group_share(m.k, row, 1000, 10) == 1000
    m.k.memcg[JOB].written_events = 260
    assert wb_rates.group_share(m.k, row, 1000, 10) == 500
    m.k.stat.now_ns += 3 * c.NS_PER_S
    wb_rates.count_written(m.k, row)
    assert (m.k.bdi[row].memcg_events, m.k.memcg[JOB].written_events) == (66, 131)
