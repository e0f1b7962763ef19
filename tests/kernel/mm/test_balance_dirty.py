# SPDX-License-Identifier: GPL-2.0-or-later
"""Writers that only sleep: one turn of balance_dirty_pages, and what it reckons with, against the twin."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.kernel.lab import USER, lab, many, returned, slept
from tests.naive import dirty_throttle as naive

from pageout.engine import constants as c
from pageout.kernel.mm.balance_dirty import balance_dirty_pages_by_pause, is_check_due
from pageout.kernel.mm.wb_rates import (
    begin_writepages,
    count_written,
    device_share,
    end_writepages,
    first_page_writing,
    last_page_written,
    update_bandwidth,
)

HZ = 250
BG, THRESH = 1000, 2000  # pages; free run ends at 1500
JIFFY = c.NS_PER_S // HZ


def reckoning(m, *, jiffies=10_000, bandwidth=6400, rate=6400):
    """A machine that holds writers by pauses; its one device has all the writing."""
    m.k.param.throttle_by, m.k.param.dirty_base = c.THROTTLE_BY_PAUSE, c.BASE_UNRESERVED
    m.k.param.dirty_bytes, m.k.param.background_bytes = THRESH * 4096, BG * 4096
    m.k.param.hz, m.k.param.jiffy_ns = HZ, JIFFY
    m.k.stat.now_ns = jiffies * JIFFY
    m.k.stat.dirty_limit, m.k.stat.dirty_limit_stamp = THRESH, jiffies
    device = m.k.bdi[0]
    device.write_bandwidth = device.avg_bandwidth = bandwidth
    device.dirty_ratelimit = device.balanced_ratelimit = rate
    device.bw_stamp, device.written_events, m.k.stat.written_events = jiffies, 100, 100
    period = jiffies // (3 * HZ)
    device.written_period = m.k.stat.written_period = period
    return m


def writer(m, *, dirty, under=0, dirtied=32, paused_when=0):
    m.k.bdi[0].reclaimable, m.k.bdi[0].writeback = dirty, under
    m.k.vm.nr_dirty, m.k.vm.nr_writeback = dirty, under
    task = m.k.task[USER]
    task.nr_dirtied, task.nr_dirtied_pause, task.dirty_paused_when = dirtied, dirtied, paused_when
    return m.enter("balance_dirty_pages", 0, 0)


def turn(m):
    return m.step(balance_dirty_pages_by_pause)


@many
@given(
    dirty=st.integers(0, 2100), under=st.integers(0, 600), dirtied=st.integers(1, 400), bandwidth=st.integers(1, 60_000),
    rate=st.integers(1, 60_000), think=st.integers(-60, 600), limit=st.integers(THRESH, 2600),
)  # fmt: skip
def test_a_turn_ends_as_the_twin_s(dirty, under, dirtied, bandwidth, rate, think, limit) -> None:
    m = reckoning(lab(), bandwidth=bandwidth, rate=rate)
    m.k.stat.dirty_limit = limit
    now, held = 10_000, dirty + under
    writer(m, dirty=dirty, under=under, dirtied=dirtied, paused_when=now - think)

    ended = turn(m)

    task = m.k.task[USER]
    if held <= naive.freerun(THRESH, BG):
        assert ended == returned(0)
        assert (task.nr_dirtied, task.dirty_paused_when) == (0, now)
        assert task.nr_dirtied_pause == naive.poll(held, THRESH)
        return
    ratio = naive.position_ratio(thresh=THRESH, bg=BG, dirty_limit=limit, dirty=held, wb_thresh=THRESH, wb_dirty=held,
                                 avg_bw=bandwidth)  # fmt: skip
    expected = naive.pause(now=now, paused_when=now - think, nr_dirtied_pause=dirtied, dirtied=dirtied, ratelimit=rate,
                           task=rate * ratio >> 10, avg_bw=bandwidth, wb_dirty=held, hz=HZ)  # fmt: skip
    assert ended == (slept(c.NIL, expected.pause) if expected.sleeps else returned(0))
    assert (task.dirty_paused_when, task.nr_dirtied, task.nr_dirtied_pause) == expected[-3:]


@many
@given(
    own=st.integers(0, 700), elsewhere=st.integers(0, 1500), dirtied=st.integers(1, 400), part=st.integers(1, 40),
    bandwidth=st.integers(1, 60_000), rate=st.integers(1, 60_000), think=st.integers(-60, 600), floor_moved=st.booleans(),
)  # fmt: skip
def test_a_strictly_limited_device_holds_its_writers_by_its_own_part(
    own, elsewhere, dirtied, part, bandwidth, rate, think, floor_moved
) -> None:
    """The machine may be far below its limits."""
    m = reckoning(lab(), bandwidth=bandwidth, rate=rate)
    m.k.bdi[0].strict_limit, m.k.bdi[0].max_ratio = 1, part
    m.k.param.dirty_floor = c.FLOOR_SHARE if floor_moved else c.FLOOR_POSITION
    now, dirty = 10_000, own + elsewhere
    writer(m, dirty=own, dirtied=dirtied, paused_when=now - think)
    m.k.vm.nr_dirty += elsewhere
    share = naive.wb_thresh(thresh=THRESH, fraction=(1, 1), dirty=dirty, max_ratio=part, floor_moved=floor_moved,
                            strict=True)  # fmt: skip
    start = naive.wb_bg_thresh(share, THRESH, BG)

    ended = turn(m)

    task = m.k.task[USER]
    if own <= naive.freerun(share, start):
        assert ended == returned(0)
        assert task.nr_dirtied_pause == naive.poll(own, share)
        return
    ratio = naive.position_ratio(thresh=THRESH, bg=BG, dirty_limit=THRESH, dirty=dirty, wb_thresh=share, wb_dirty=own,
                                 avg_bw=bandwidth, strict=True, floor_moved=floor_moved)  # fmt: skip
    expected = naive.pause(now=now, paused_when=now - think, nr_dirtied_pause=dirtied, dirtied=dirtied, ratelimit=rate,
                           task=rate * ratio >> 10, avg_bw=bandwidth, wb_dirty=own, hz=HZ)  # fmt: skip
    assert ended == (slept(c.NIL, expected.pause) if expected.sleeps else returned(0))
    assert (task.dirty_paused_when, task.nr_dirtied, task.nr_dirtied_pause) == expected[-3:]
    assert m.k.bdi[0].dirty_exceeded == int(own > share)


@many
@given(own=st.integers(1, 700), part=st.integers(1, 40), dirtied=st.integers(0, 4000), floor_moved=st.booleans())
def test_the_base_rate_of_a_strictly_limited_device_aims_at_its_own_setpoint(own, part, dirtied, floor_moved) -> None:
    m = reckoning(lab(), bandwidth=5000, rate=4000)
    device, elapsed = m.k.bdi[0], 100
    device.strict_limit, device.max_ratio, device.bw_stamp = 1, part, 10_000 - elapsed
    device.nr_dirtied = dirtied
    m.k.param.dirty_floor = c.FLOOR_SHARE if floor_moved else c.FLOOR_POSITION
    writer(m, dirty=own)
    share = naive.wb_thresh(thresh=THRESH, fraction=(1, 1), dirty=own, max_ratio=part, floor_moved=floor_moved,
                            strict=True)  # fmt: skip
    start = naive.wb_bg_thresh(share, THRESH, BG)
    ratio = naive.position_ratio(thresh=THRESH, bg=BG, dirty_limit=THRESH, dirty=own, wb_thresh=share, wb_dirty=own,
                                 avg_bw=5000, strict=True, floor_moved=floor_moved)  # fmt: skip

    turn(m)

    if own > naive.freerun(share, start):
        aim = naive.strict_setpoint(wb_thresh=share, wb_bg=start, wb_dirty=own, floor_moved=floor_moved)
        after = naive.next_ratelimit(ratelimit=4000, balanced=4000, pos=ratio, avg_bw=5000, dirtied=dirtied,
                                     elapsed=elapsed, hz=HZ, dirty=own, setpoint=aim)  # fmt: skip
        assert device.dirty_ratelimit == after.ratelimit


def test_at_the_hard_limit_a_writer_sleeps_again_until_there_is_room() -> None:
    m = reckoning(lab())
    writer(m, dirty=THRESH)

    assert turn(m).kind == "sleep"
    m.k.stat.now_ns += 60 * JIFFY
    assert turn(m).kind == "sleep"
    m.k.bdi[0].reclaimable = m.k.vm.nr_dirty = BG
    assert turn(m) == returned(0)
    assert m.k.task[USER].throttle_count == 2


@pytest.mark.parametrize(("own", "elsewhere", "exceeded"), [(2100, 0, 1), (1900, 0, 0), (900, 1200, 1), (700, 1400, 0)])
def test_a_device_over_its_share_has_its_writers_looked_at_every_8_pages(own, elsewhere, exceeded) -> None:
    m = reckoning(lab())
    m.k.bdi[0].max_ratio = 40 if elsewhere else 100  # a share of 800 pages, or all
    writer(m, dirty=own)
    m.k.vm.nr_dirty += elsewhere

    turn(m)

    assert m.k.bdi[0].dirty_exceeded == exceeded
    task = m.k.task[USER]
    task.nr_dirtied, task.nr_dirtied_pause = 8, 100
    assert is_check_due(m.k, USER, 0) == bool(exceeded)


@many
@given(nr_dirtied=st.integers(0, 70), pause=st.integers(1, 64), on_cpu=st.integers(0, 100))
def test_a_check_is_due_by_the_task_s_count_or_the_cpu_s(nr_dirtied, pause, on_cpu) -> None:
    m = reckoning(lab())
    task, cpu = m.k.task[USER], m.k.cpu[m.k.task[USER].cpu]
    task.nr_dirtied, task.nr_dirtied_pause, cpu.dirty_count, m.k.param.ratelimit_pages = nr_dirtied, pause, on_cpu, 50

    assert is_check_due(m.k, USER, 0) == (nr_dirtied >= pause or on_cpu >= 50)
    assert cpu.dirty_count == (0 if nr_dirtied >= pause or on_cpu >= 50 else on_cpu)


@many
@given(
    st.lists(
        st.tuples(st.integers(0, 1500), st.integers(0, 1), st.integers(0, 40), st.integers(0, 2 * THRESH)), max_size=30
    ),
    st.booleans(),
    st.booleans(),
    st.tuples(st.integers(0, 50), st.integers(0, 49), st.sampled_from([100, 100, 50, 7])),
)
def test_shares_are_those_of_the_twin(steps, floor_moved, strict, ratios) -> None:
    m = reckoning(lab(swap=64), jiffies=0)
    (least, others, most), device0 = ratios, m.k.bdi[0]
    least = min(least, most)
    device0.min_ratio, device0.max_ratio, m.k.bdi[1].min_ratio, device0.strict_limit = least, most, others, int(strict)
    m.k.param.dirty_floor = c.FLOOR_SHARE if floor_moved else c.FLOOR_POSITION
    m.k.bdi[0].written_events = m.k.stat.written_events = 0
    twin, period = naive.Share(), 0
    for jiffies, device, pages, dirty in steps:
        m.k.stat.now_ns += jiffies * JIFFY
        now = m.k.stat.now_ns // JIFFY // (3 * HZ)
        twin.period(now - period)
        period = now
        device_share(m.k, 0, THRESH, dirty)
        m.k.stat.written_events += pages if device else 0  # of another device
        for _ in range(0 if device else pages):
            count_written(m.k, 0)
        twin.written(pages, mine=device == 0, most=most)

        expected = naive.wb_thresh(thresh=THRESH, fraction=twin.fraction(), dirty=dirty, floor_moved=floor_moved,
                                   strict=strict, min_ratio=least, min_sum=least + others, max_ratio=most)  # fmt: skip
        assert device_share(m.k, 0, THRESH, dirty) == expected


@many
@given(
    bw=st.integers(0, 60_000), avg=st.integers(1, 60_000), written=st.integers(0, 40_000), after=st.integers(1, 2000)
)
def test_bandwidth_is_that_of_the_twin(bw, avg, written, after) -> None:
    m = reckoning(lab())
    device = m.k.bdi[0]
    device.write_bandwidth, device.avg_bandwidth, device.nr_written, device.written_stamp = bw, avg, written + 5, 5

    update_bandwidth(m.k, 10_000 + after, 0)

    expected = naive.next_bandwidth(bw=bw, avg=avg, written=written, elapsed=after, hz=HZ)
    assert (device.write_bandwidth, device.avg_bandwidth) == expected
    assert (device.bw_stamp, device.written_stamp) == (10_000 + after, written + 5)


def test_time_in_which_nothing_was_to_be_written_is_not_slowness() -> None:
    m = reckoning(lab())
    device = m.k.bdi[0]
    m.k.stat.now_ns += 10 * c.NS_PER_S

    begin_writepages(m.k, USER, 0)
    end_writepages(m.k, USER, 0)

    assert device.bw_stamp == 10_000 + 10 * HZ
    assert device.write_bandwidth == 6400


def test_an_inode_that_is_done_has_the_bandwidth_looked_at_once() -> None:
    m = reckoning(lab())
    before = m.k.stat.heap_nr
    for _ in range(3):
        first_page_writing(m.k, 0)
        last_page_written(m.k, 0)

    assert m.k.stat.heap_nr == before + 1
    assert m.k.heap[before].when_ns == (10_000 + 50) * JIFFY
    assert m.k.bdi[0].inodes_writing == 0
