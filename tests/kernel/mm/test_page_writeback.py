# SPDX-License-Identifier: GPL-2.0-or-later
"""balance_dirty_pages step by step against its decision table; the rate limit."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.kernel.lab import USER, called, lab, many, returned, slept
from tests.naive import dirty as naive

from pageout.engine import constants as c
from pageout.kernel.fs.bdi_work import ALL_PAGES
from pageout.kernel.mm.page_writeback import balance_dirty_pages, ratelimit_reached

CHUNK = 1536
BACKGROUND, LIMIT = 400, 1000  # pages; throttling starts at 700


def writer(m, *, own_dirty: int, own_writeback: int = 0, elsewhere: int = 0, chunk: int = CHUNK):
    """A writer that has to balance, on a device that may have half of the limit, LIMIT/2 pages."""
    m.k.param.dirty_bytes, m.k.param.background_bytes = LIMIT * 4096, BACKGROUND * 4096
    m.k.param.prop_shift = 20
    m.k.bdi[0].max_ratio = 50
    m.k.bdi[0].completions, m.k.stat.completions = 1 << 20, 0
    levels(m, own_dirty, own_writeback, elsewhere)
    return m.enter("balance_dirty_pages", 0, chunk)


def levels(m, own_dirty: int, own_writeback: int = 0, elsewhere: int = 0) -> None:
    m.k.bdi[0].reclaimable, m.k.bdi[0].writeback = own_dirty, own_writeback
    m.k.vm.nr_dirty, m.k.vm.nr_writeback = own_dirty + elsewhere, own_writeback


def step(m):
    return m.step(balance_dirty_pages)


PASS = called("writeback_inodes_wb", 0, 3)
GO = returned(0)
OUTCOME = {"stop": GO, "write": PASS, "pause": slept(c.NIL, 1)}


@many
@given(st.integers(0, 1100), st.integers(0, 1100), st.integers(0, 700))
def test_the_first_decision_equals_the_table(own_dirty, own_writeback, elsewhere) -> None:
    m = lab()
    writer(m, own_dirty=own_dirty, own_writeback=own_writeback, elsewhere=elsewhere)
    own_limit = min(500, max(LIMIT - own_dirty - own_writeback - elsewhere, 0) + own_dirty + own_writeback)
    expected = naive.balance(
        own_reclaimable=own_dirty,
        own_writeback=own_writeback,
        own_limit=own_limit,
        reclaimable=own_dirty + elsewhere,
        writeback=own_writeback,
        background=BACKGROUND,
        dirty=LIMIT,
    )
    assert step(m) == OUTCOME[expected]


@pytest.mark.parametrize(
    ("own_dirty", "own_writeback", "expected"),
    [
        (300, 199, "stop"),
        (300, 200, "stop"),
        (300, 201, "pause"),
        (499, 300, "pause"),
        (500, 300, "pause"),
        (501, 300, "write"),
    ],
)
def test_a_writer_is_held_while_its_device_is_over_its_share(own_dirty: int, own_writeback: int, expected: str) -> None:
    m = lab()
    writer(m, own_dirty=own_dirty, own_writeback=own_writeback, elsewhere=1000 - own_dirty - own_writeback)
    assert step(m) == OUTCOME[expected]
    assert m.k.bdi[0].dirty_exceeded == (expected != "stop")


@pytest.mark.parametrize(("total", "expected"), [(699, "stop"), (700, "write"), (701, "write")])
def test_nobody_is_held_below_the_midpoint_of_background_and_limit(total: int, expected: str) -> None:
    m = lab()
    writer(m, own_dirty=600, elsewhere=total - 600)
    assert step(m) == OUTCOME[expected]


@pytest.mark.parametrize(("total", "expected"), [(399, "stop"), (400, "pause"), (401, "pause")])
def test_throttle_earlier_holds_writers_from_the_background_threshold(total: int, expected: str) -> None:
    m = lab(choices=(("throttle.start", "background"),))
    writer(m, own_dirty=0, own_writeback=total)
    m.k.bdi[0].max_ratio = 0
    assert step(m) == OUTCOME[expected]


def test_the_midpoint_counts_pages_under_writeback_too() -> None:
    m = lab()
    writer(m, own_dirty=501, own_writeback=198)
    assert step(m) == GO
    m = lab()
    writer(m, own_dirty=501, own_writeback=199)
    assert step(m) == PASS


def test_the_writer_writes_back_itself_with_the_chunk_as_budget() -> None:
    m = lab()
    f = writer(m, own_dirty=800, chunk=777)
    m.task.bdi_writing, m.task.wbc_nr, m.task.wbc_sync, m.task.wbc_kupdate, m.task.wbc_background = 5, 1, 1, 1, 1
    m.task.wbc_more_io, m.task.wbc_older_ns = 1, 3
    assert step(m) == PASS
    task = m.task
    assert (task.wbc_nr, task.wbc_more_io, task.wbc_cyclic, task.wbc_kupdate) == (777, 0, 1, 0)
    assert (task.wbc_background, task.wbc_sync, task.wbc_older_ns, task.bdi_writing) == (0, 0, c.NEVER, 0)
    assert m.events("balance_dirty_start") == [(0,)]
    task.wbc_nr = 700
    levels(m, 400)
    m.answer()
    assert step(m) == GO
    assert task.bdi_writing == 5
    assert f.nr_written == 77
    assert ("balance_dirty_written", 0, 77) in m.events()


@pytest.mark.parametrize(("left", "expected"), [(1, "pause"), (0, "stop"), (-1, "stop")])
def test_a_writer_that_has_written_its_chunk_may_go(left: int, expected: str) -> None:
    m = lab()
    writer(m, own_dirty=800)
    assert step(m) == PASS
    m.task.wbc_nr = left
    m.answer()
    assert step(m) == OUTCOME[expected]


@pytest.mark.parametrize(
    ("dirty", "under_writeback", "expected"), [(100, 399, "stop"), (100, 400, "stop"), (100, 401, "pause")]
)
def test_after_its_pass_a_writer_may_go_once_its_device_is_not_over_its_share(
    dirty: int, under_writeback: int, expected: str
) -> None:
    m = lab()
    writer(m, own_dirty=800)
    step(m)
    m.answer()
    levels(m, dirty, under_writeback, elsewhere=1000 - dirty - under_writeback)
    assert step(m) == OUTCOME[expected]


def test_what_several_passes_wrote_adds_up_to_the_chunk() -> None:
    m = lab()
    f = writer(m, own_dirty=800, chunk=100)
    for left, total in ((60, 40), (30, 110)):
        assert step(m) == PASS
        m.task.wbc_nr = left
        m.answer()
        outcome = step(m)
        assert f.nr_written == total
        if total < 100:
            assert outcome == slept(c.NIL, 1)
            m.wake(10_000_000, woken=0)
    assert outcome == GO


@pytest.mark.parametrize("hz", [100, 250, 1000])
def test_pauses_double_up_to_a_tenth_of_a_second(hz: int) -> None:
    m = lab(hz=hz)
    writer(m, own_dirty=100, own_writeback=700)
    jiffy = 1_000_000_000 // hz
    asked = waited = 0
    for number, pause in enumerate(itertools.islice(naive.pauses(hz), 9), 1):
        assert step(m) == slept(c.NIL, pause)
        asked += pause * jiffy
        assert m.events("balance_dirty_wait") == [(0,)]
        assert m.task.throttle_count == m.k.stat.throttle_count == number
        assert m.task.throttle_asked_ns == m.k.stat.throttle_asked_ns == asked
        m.wake(pause * jiffy + 5, woken=0)
        waited += pause * jiffy + 5
    levels(m, 0)
    assert step(m) == GO
    assert m.task.throttle_ns == m.k.stat.throttle_ns == waited


@pytest.mark.parametrize("total", [499, 500, 501])
def test_the_device_is_no_longer_over_when_it_is_below_its_share(total: int) -> None:
    """At the share itself the writer may go, but the mark stays."""
    m = lab()
    writer(m, own_dirty=total - 100, own_writeback=100)
    m.k.bdi[0].dirty_exceeded = 1
    step(m)
    assert m.k.bdi[0].dirty_exceeded == (total >= 500)


@pytest.mark.parametrize(("dirty", "started"), [(399, False), (400, False), (401, True)])
def test_a_writer_that_goes_starts_background_writeback_above_the_background_threshold(
    dirty: int, started: bool
) -> None:
    m = lab()
    writer(m, own_dirty=dirty)
    assert step(m) == GO
    assert m.work_items() == ([(ALL_PAGES, 1, 1)] if started else [])


def test_no_background_work_is_queued_behind_other_work() -> None:
    m = lab()
    writer(m, own_dirty=450)
    m.k.bdi[0].work_head = 9
    assert step(m) == GO
    assert m.k.bdi[0].work_head == 9
    assert m.k.stat.works_used == 0


@pytest.mark.parametrize(("passed", "dirty"), [(True, 10), (False, 450)])
def test_in_laptop_mode_background_work_follows_only_a_writers_own_pass(passed: bool, dirty: int) -> None:
    m = lab(settings=(("vm.laptop_mode", 5),))
    writer(m, own_dirty=800 if passed else dirty)
    if passed:
        assert step(m) == PASS
        m.task.wbc_nr = 1000
        levels(m, dirty)
        m.answer()
    assert step(m) == GO
    assert bool(m.work_items()) == passed


@pytest.mark.parametrize(("written", "started"), [(0, False), (1, True)])
def test_in_laptop_mode_a_pass_that_wrote_nothing_starts_no_background_work(written: int, started: bool) -> None:
    m = lab(settings=(("vm.laptop_mode", 5),))
    writer(m, own_dirty=800)
    assert step(m) == PASS
    m.task.wbc_nr -= written
    levels(m, 10)
    m.answer()
    assert step(m) == GO
    assert bool(m.work_items()) == started


def test_the_levels_are_traced_each_time_they_are_computed() -> None:
    m = lab()
    writer(m, own_dirty=800)
    step(m)
    (state,) = m.events("global_dirty_state")
    assert state[3:6] == (BACKGROUND, LIMIT, LIMIT)
    m.answer()
    step(m)
    assert len(m.events("global_dirty_state")) == 1


def test_the_writers_own_device_and_quarter_decide() -> None:
    """A privileged task is held only above limits a quarter higher."""
    m = lab()
    writer(m, own_dirty=800, elsewhere=0)
    m.task.tflags = c.PF_LESS_THROTTLE
    assert step(m) == GO
    assert (m.k.frame[USER * c.MAX_DEPTH + 1].a, m.k.frame[USER * c.MAX_DEPTH + 1].b) == (500, 1250)


@pytest.mark.parametrize("exceeded", [0, 1])
def test_every_so_many_pages_a_writer_has_to_balance(exceeded: int) -> None:
    m = lab()
    m.k.bdi[0].dirty_exceeded, m.k.param.ratelimit_pages = exceeded, 20
    limit = 8 if exceeded else 20
    chunks = [ratelimit_reached(m.k, USER, 0) for _ in range(2 * limit)]
    assert chunks == [*[0] * (limit - 1), 30] * 2
    assert m.k.cpu[0].dirty_count == 0


@pytest.mark.parametrize(("counter", "expected"), [(19, 30), (20, 31), (21, 33)])
def test_the_chunk_is_one_and_a_half_times_the_counter_or_the_limit(counter: int, expected: int) -> None:
    m = lab()
    m.k.param.ratelimit_pages, m.k.cpu[0].dirty_count = 20, counter
    assert ratelimit_reached(m.k, USER, 0) == expected == naive.write_chunk(counter + 1, 20)


def test_the_counter_belongs_to_the_cpu() -> None:
    m = lab(cpus=2)
    m.k.param.ratelimit_pages, m.k.cpu[0].dirty_count = 16, 15
    m.task.cpu = 1
    assert ratelimit_reached(m.k, USER, 0) == 0
    assert (m.k.cpu[0].dirty_count, m.k.cpu[1].dirty_count) == (15, 1)


@pytest.mark.parametrize("cpus", [1, 2, 64])
def test_boot_sizes_the_rate_limit_by_memory_and_cpus(cpus: int) -> None:
    m = lab(cpus=cpus)
    assert m.k.param.ratelimit_pages == naive.ratelimit(m.k.param.total_pages, cpus)
