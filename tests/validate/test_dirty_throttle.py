# SPDX-License-Identifier: GPL-2.0-or-later
"""The arithmetic of throttling: the reference's vectors by the twin, then the compiled functions against the twin."""

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.naive import dirty_throttle as naive
from tests.validate.throttle_calls import compiled

many = settings(max_examples=250)

LIMITS = {"thresh": 200_000, "bg": 100_000, "dirty_limit": 200_000}
SMALL = {"thresh": 20_000, "bg": 10_000, "dirty_limit": 20_000}


@pytest.mark.parametrize(
    ("dirty", "ratio"),
    [(100_000, 2048), (150_000, 2045), (160_000, 1244), (175_000, 1024), (190_000, 803), (199_999, 2)],
)
def test_the_polynomial_is_the_references(dirty, ratio):
    assert naive.poly(175_000, dirty, 200_000) == ratio


@pytest.mark.parametrize(
    ("limits", "dirty", "wb_thresh", "wb_dirty", "avg_bw", "ratio"),
    [
        (LIMITS, 160_000, 200_000, 160_000, 25_600, 1335),
        (LIMITS, 175_000, 200_000, 175_000, 25_600, 1023),
        (LIMITS, 190_000, 200_000, 190_000, 25_600, 744),
        (LIMITS, 160_000, 0, 100, 25_600, 14_200),
        (LIMITS, 175_000, 50_000, 60_000, 12_800, 760),
        (LIMITS, 175_000, 50_000, 20_000, 12_800, 1761),
        (SMALL, 17_500, 20_000, 17_500, 2560, 1023),
    ],
)
def test_the_position_ratio_is_the_references(limits, dirty, wb_thresh, wb_dirty, avg_bw, ratio):
    found = naive.position_ratio(**limits, dirty=dirty, wb_thresh=wb_thresh, wb_dirty=wb_dirty, avg_bw=avg_bw)

    assert found == ratio


def test_the_floor_of_6_14_gives_a_quiet_device_the_same_when_dirty_limit_is_thresh():
    share = naive.wb_thresh(thresh=200_000, fraction=(0, 1), dirty=160_000, floor_moved=True)

    found = naive.position_ratio(
        **LIMITS, dirty=160_000, wb_thresh=share, wb_dirty=100, avg_bw=25_600, floor_moved=True
    )

    assert (share, found) == (5000, 14_200)


@pytest.mark.parametrize(("dirty", "pages"), [(0, 256), (140_000, 128), (199_999, 1), (200_000, 1)])
def test_the_poll_interval_is_the_references(dirty, pages):
    assert naive.poll(dirty, 200_000) == pages


@pytest.mark.parametrize(
    ("wb_dirty", "avg_bw", "hz", "jiffies"),
    [
        (17_500, 25_600, 100, 11), (17_500, 25_600, 250, 22), (17_500, 25_600, 1000, 88),
        (2000, 2560, 100, 13), (2000, 2560, 250, 25), (2000, 2560, 1000, 96),
        (300, 25_600, 250, 1), (300, 25_600, 1000, 2),
    ],
)  # fmt: skip
def test_the_longest_pause_is_the_references(wb_dirty, avg_bw, hz, jiffies):
    assert naive.max_pause(wb_dirty=wb_dirty, avg_bw=avg_bw, hz=hz) == jiffies


@pytest.mark.parametrize(
    ("hz", "avg_bw", "ratelimit", "task", "expected"),
    [
        (250, 25_600, 25_600, 25_600, (2, 200)),
        (250, 25_600, 3200, 3200, (5, 112)),
        (250, 25_600, 400, 400, (11, 32)),
        (250, 2560, 100, 60, (50, 11)),
        (1000, 25_600, 25_600, 25_600, (6, 250)),
        (1000, 25_600, 3200, 3200, (20, 121)),
        (1000, 25_600, 400, 400, (41, 32)),
    ],
)
def test_the_shortest_pause_and_the_pages_to_the_next_are_the_references(hz, avg_bw, ratelimit, task, expected):
    longest = naive.longest_pause(hz)

    assert naive.min_pause(ratelimit=ratelimit, task=task, avg_bw=avg_bw, longest=longest, hz=hz) == expected


@pytest.mark.parametrize(
    ("bw", "avg", "elapsed", "written", "expected"),
    [
        (25_600, 25_600, 50, 1024, (24_600, 25_600)),
        (25_600, 25_600, 50, 10_240, (26_850, 25_600)),
        (20_000, 25_600, 50, 2000, (19_511, 24_900)),
        (25_600, 25_600, 1250, 12_800, (2560, 2560)),
    ],
)
def test_the_bandwidth_is_the_references(bw, avg, elapsed, written, expected):
    assert naive.next_bandwidth(bw=bw, avg=avg, written=written, elapsed=elapsed, hz=250) == expected


@pytest.mark.parametrize(
    ("ratelimit", "balanced", "pos", "avg_bw", "dirtied", "dirty", "expected"),
    [
        (25_600, 25_600, 1024, 12_800, 5120, 176_000, (25_600, 12_800, 25_601, 25_600)),
        (25_600, 25_600, 900, 12_800, 5120, 180_000, (25_600, 11_250, 22_501, 25_600)),
        (12_800, 12_800, 1100, 12_800, 2560, 170_000, (12_800, 12_800, 13_751, 12_800)),
        (12_800, 25_600, 1500, 25_600, 1280, 160_000, (13_172, 25_600, 18_751, 6400)),
    ],
)
def test_the_base_rate_is_the_references(ratelimit, balanced, pos, avg_bw, dirtied, dirty, expected):
    found = naive.next_ratelimit(
        ratelimit=ratelimit, balanced=balanced, pos=pos, avg_bw=avg_bw, dirtied=dirtied, elapsed=50, hz=250,
        dirty=dirty, setpoint=175_000,
    )  # fmt: skip

    assert found == expected


def test_a_chunk_is_half_a_second_of_bandwidth_in_pieces_of_4_mib():
    assert naive.chunk(avg_bw=25_600, dirty_limit=200_000) == 13_312


def test_thresholds_are_shares_of_what_may_be_dirty_and_bytes_are_rounded_up():
    avail = naive.dirtyable(free=100_000, reserve=20_000, inactive_file=300_000, active_file=19_999)

    assert avail == 400_000
    assert naive.thresholds(avail=avail, ratio=20, bg_ratio=10) == (819 * 400_000 // 4096, 409 * 400_000 // 4096)
    assert naive.thresholds(avail=avail, ratio=20, bg_ratio=10, nbytes=8193, bg_bytes=1 << 30) == (3, 1)
    assert naive.thresholds(avail=avail, ratio=0, bg_ratio=0, nbytes=1 << 24, realtime=True, limit=3200) == (
        4096 + 1024 + 100, 100,
    )  # fmt: skip


def test_the_limit_follows_up_at_once_and_down_by_a_32nd():
    assert naive.next_dirty_limit(dirty_limit=100, thresh=200, dirty=0) == 200
    assert naive.next_dirty_limit(dirty_limit=1000, thresh=200, dirty=360) == 980
    assert naive.next_dirty_limit(dirty_limit=300, thresh=200, dirty=400) == 300


def test_a_share_halves_with_each_period_and_the_only_device_has_it_all():
    share = naive.Share()
    assert share.fraction() == (0, 1)
    share.written(100)
    assert share.fraction() == (1, 1)
    share.written(300, mine=False)
    share.period()
    assert share.fraction() == (50, 200)
    assert naive.wb_thresh(thresh=1000, fraction=share.fraction(), min_sum=20, min_ratio=20, max_ratio=30) == 300


pages, rates, hertz = st.integers(0, 1 << 22), st.integers(1, 1 << 20), st.sampled_from((100, 250, 300, 1000))


@st.composite
def levels(draw):
    """thresh, bg, dirty_limit, dirty as they can be where somebody is throttled."""
    thresh = draw(st.integers(2, 1 << 22))
    bg = draw(st.integers(0, thresh - 1))
    dirty_limit = draw(st.integers(0, 2 * thresh))
    return thresh, bg, dirty_limit, draw(st.integers(0, max(thresh, dirty_limit) + 10))


@many
@given(levels(), pages, pages, rates, st.booleans())
def test_compiled_position_is_the_twins(level, wb_thresh, wb_dirty, avg_bw, floor_moved):
    thresh, bg, dirty_limit, dirty = level
    limit = naive.hard_limit(thresh, dirty_limit)
    common = {"thresh": thresh, "bg": bg, "dirty_limit": dirty_limit, "dirty": dirty, "wb_dirty": wb_dirty,
              "avg_bw": avg_bw, "wb_thresh": wb_thresh, "floor_moved": floor_moved}  # fmt: skip

    found = compiled(
        "wb_position_ratio", thresh, naive.freerun(thresh, bg), limit, dirty, wb_thresh, wb_dirty, avg_bw, floor_moved
    )
    middle = (naive.freerun(thresh, bg) + limit) // 2
    strict = compiled(
        "strict_position_ratio", middle, limit, dirty, wb_thresh, naive.wb_bg_thresh(wb_thresh, thresh, bg), wb_dirty,
        floor_moved,
    )  # fmt: skip

    assert found[0] == naive.position_ratio(**common)
    assert strict[0] == naive.position_ratio(**common, strict=True)
    assert compiled("pos_ratio_polynom", middle, dirty, limit)[0] == naive.poly(middle, dirty, limit)


@many
@given(rates, rates, pages, st.integers(1, 10_000), hertz)
def test_compiled_bandwidth_is_the_twins(bw, avg, written, elapsed, hz):
    expected = naive.next_bandwidth(bw=bw, avg=avg, written=written, elapsed=elapsed, hz=hz)

    new = compiled("next_write_bandwidth", bw, written, elapsed, hz)[0]

    assert (new, compiled("next_avg_bandwidth", avg, bw, new, elapsed, hz)[0]) == expected


@many
@given(rates, rates, st.integers(0, 16_384), rates, pages, st.integers(1, 300), hertz, pages, pages)
def test_compiled_base_rate_is_the_twins(ratelimit, balanced, pos, avg_bw, dirtied, elapsed, hz, dirty, setpoint):
    rate = naive.next_ratelimit(
        ratelimit=ratelimit, balanced=balanced, pos=pos, avg_bw=avg_bw, dirtied=dirtied, elapsed=elapsed, hz=hz,
        dirty=dirty, setpoint=setpoint,
    )  # fmt: skip

    found = compiled("balanced_rate", rate.task, avg_bw, rate.dirty_rate)[0]

    assert found == rate.balanced
    assert compiled("next_dirty_ratelimit", ratelimit, balanced, found, rate.task, dirty, setpoint)[0] == rate.ratelimit


@many
@given(rates, st.integers(0, 1 << 20), rates, pages, hertz, st.integers(0, 5000), st.integers(0, 1 << 16))
def test_compiled_pauses_are_the_twins(ratelimit, task, avg_bw, wb_dirty, hz, think, dirtied):
    assume(task == 0 or dirtied * hz // task < 1 << 31)
    expected = naive.pause(
        now=10_000, paused_when=10_000 - think, nr_dirtied_pause=7, dirtied=dirtied, ratelimit=ratelimit, task=task,
        avg_bw=avg_bw, wb_dirty=wb_dirty, hz=hz,
    )  # fmt: skip

    longest = compiled("wb_max_pause", wb_dirty, avg_bw, hz)[0]
    shortest, next_pause = compiled("wb_min_pause", ratelimit, task, avg_bw, longest, hz)
    pause = longest if task == 0 else compiled("pause_of", expected.period, think, shortest, longest)[0]

    assert pause == expected.pause
    assert (pause > 0) == expected.sleeps
    if expected.sleeps:
        assert next_pause == expected.nr_dirtied_pause


@many
@given(pages, pages, pages, st.booleans(), st.integers(0, 100), st.integers(1, 100))
def test_compiled_limits_and_shares_are_the_twins(thresh, dirty, dirty_limit, floor_moved, done, more):
    share = naive.wb_thresh(thresh=thresh, fraction=(done, done + more), dirty=dirty, floor_moved=floor_moved)
    limit = naive.next_dirty_limit(dirty_limit=dirty_limit, thresh=thresh, dirty=dirty)

    assert compiled("wb_calc_thresh", thresh, done, done + more, dirty, floor_moved)[0] == share
    assert compiled("follow_dirty_limit", dirty_limit, thresh, dirty)[0] == limit
    assert compiled("dirty_poll_interval", dirty, thresh)[0] == naive.poll(dirty, thresh)
    assert compiled("writeback_chunk_size", thresh, dirty_limit, dirty)[0] == naive.chunk(
        avg_bw=thresh, dirty_limit=dirty_limit, nr_pages=dirty
    )
