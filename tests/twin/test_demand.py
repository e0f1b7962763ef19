# SPDX-License-Identifier: GPL-2.0-or-later
"""Demand out of events: by hand where the answer is known, on real recordings where the job is."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pageout.bundle.bundle import Bundle, read_bundle
from pageout.readers.read import read_input
from pageout.twin.completions import Device, devices_of
from pageout.twin.demand import ANONYMOUS, Writer, stretches, writers_of
from pageout.twin.estimate import segments
from pageout.twin.reads import readers_of, taken_of
from pageout.twin.start import known_of
from tests.conftest import ROOT

SHARED = ROOT.parent / "shared" / "groundtruth"
TICK_NS = 4_000_000
HEAD = "# tracer: nop\n#\n"


SAMPLER = 9  # of the writers' own comm, as a script is that writes and samples


def check(time: float, dirtied: int, pause: int, *, period: int = 8, paused: int = 0, pid: int = 7) -> str:
    return (
        f"          job-{pid}     [000] .....  {time:.6f}: balance_dirty_pages: bdi 8:0: limit=4096 setpoint=3000 "
        f"dirty=3000 wb_setpoint=2900 wb_dirty=2900 dirty_ratelimit=8192 task_ratelimit=8192 dirtied={dirtied} "
        f"dirtied_pause=32 paused={paused} pause={pause} period={period} think=0 cgroup_ino=1\n"
    )


def state(time: float, dirtied: int, *, pid: int = 7, comm: str = "job") -> str:
    return (
        f"          {comm}-{pid}     [000] .....  {time:.6f}: global_dirty_state: dirty=100 writeback=0 bg_thresh=2000 "
        f"thresh=4096 limit=4096 dirtied={dirtied} written=0\n"
    )


def writers(tmp_path: Path, *lines: str) -> list[Writer]:
    trace = tmp_path / "trace"
    trace.write_text(HEAD + "".join(lines))
    events = read_input(str(trace)).events
    assert events is not None
    return writers_of(events, None, None, [SAMPLER], TICK_NS)


def test_pages_are_those_of_each_check_but_not_of_its_later_rounds(tmp_path: Path) -> None:
    (writer,) = writers(tmp_path, check(1, 32, 8), check(1.010, 32, 100), check(1.110, 32, 100, paused=100),
                        check(1.220, 64, 8))  # fmt: skip

    assert writer.total == 32 + 32 + 64
    # 8 ms and what was late of it, 100 ms, 100 ms and 1.25 ticks of 4 ms
    assert writer.waited_ns[-1] == pytest.approx(0.215e9, abs=1e6)


def test_a_check_too_small_to_be_charged_is_counted_again_in_the_next(tmp_path: Path) -> None:
    (writer,) = writers(tmp_path, check(1, 32, 0, period=0), check(1.001, 64, 8), check(1.010, 40, 8))

    assert writer.total == 64 + 40


def test_below_free_run_the_counter_goes_to_who_was_looked_at_and_not_to_the_sampler(tmp_path: Path) -> None:
    lines = [state(1 + n / 10, 100 * n) for n in range(11)]
    lines += [state(1.05 + n / 10, 100 * n + 50, pid=SAMPLER) for n in range(10)]
    (writer,) = writers(tmp_path, *lines)

    assert (writer.pid, writer.device) == (7, None)
    assert writer.total == pytest.approx(1000, rel=0.03)
    clock, (only,) = stretches(writer, int(writer.time_ns[0]), None)
    assert clock == "clock"
    assert only.rate == pytest.approx(1000, rel=0.1)


def test_what_two_below_free_run_may_each_have_dirtied_is_in_the_interval_of_both(tmp_path: Path) -> None:
    lines = [state(1 + n / 100, 100 * n, pid=7 + n % 2) for n in range(201)]
    one, other = writers(tmp_path, *lines)

    for writer in (one, other):
        assert writer.bytes.low < writer.bytes.value < writer.bytes.high
    assert one.total + other.total == pytest.approx(20_000, rel=0.01)


def test_what_one_alone_dirtied_is_sure(tmp_path: Path) -> None:
    (one,) = writers(tmp_path, *[state(1 + n / 10, 100 * n) for n in range(11)])

    assert one.bytes.low == one.bytes.value == one.bytes.high


def test_what_nobody_was_looked_at_for_is_of_one_writer_without_a_name(tmp_path: Path) -> None:
    (nobody,) = writers(tmp_path, *[state(1 + n / 10, 1000 * n, pid=SAMPLER) for n in range(11)])

    assert nobody.pid == ANONYMOUS
    assert nobody.total == pytest.approx(10_000, rel=0.01)


def test_a_rest_between_two_bursts_is_no_demand(tmp_path: Path) -> None:
    burst = [check(1 + n * 0.012, 64, 8) for n in range(50)]
    again = [check(6 + n * 0.012, 64, 8) for n in range(50)]
    (writer,) = writers(tmp_path, *burst, *again)
    clock, (first, second) = stretches(writer, int(writer.time_ns[0]), 1000.0)

    assert clock == "own"
    assert (first.rate, second.rate) == (None, None)
    assert second.start_s - first.end_s == pytest.approx(4.4, abs=0.2)
    assert first.pages == pytest.approx(3200, rel=0.05)


def test_who_asks_for_twice_what_the_device_takes_is_as_fast_as_his_cpu(tmp_path: Path) -> None:
    held = [check(1 + n * 0.012, 64, 8) for n in range(200)]  # 4 ms of each 12 are neither a pause nor computing
    calls = [check(3.4 + n * 0.0001, 64, 0, period=0) for n in range(20)]
    (writer,) = writers(tmp_path, *held, *calls)
    of_wall = 64 / 0.012
    asked = stretches(writer, int(writer.time_ns[0]), None, of_wall)
    unknown = stretches(writer, int(writer.time_ns[0]), None)

    assert [(clock, {one.rate for one in pieces}) for clock, pieces in [asked]] == [("own", {None})]
    assert any(one.rate is not None for one in unknown[1])


CURVES = st.lists(st.tuples(st.floats(0.001, 5), st.floats(0, 1000)), min_size=2, max_size=80)


@given(CURVES, st.floats(1, 200))
def test_segments_keep_all_that_rises_and_stay_near_the_curve(steps, tolerance) -> None:
    time = np.cumsum([step for step, _ in steps])
    curve = np.cumsum([rise for _, rise in steps])
    found = segments(time, curve, tolerance, 1000)

    assert sum(amount for _, _, amount in found) == pytest.approx(curve[-1] - curve[0], rel=1e-9, abs=1e-6)
    assert all(before[1] <= after[0] for before, after in pairwise(found))
    corners = [(time[0], curve[0])]
    for start, end, amount in found:
        corners += [(start, corners[-1][1]), (end, corners[-1][1] + amount)]
    x, y = zip(*corners, strict=True)
    assert (np.abs(np.interp(time, x, y) - curve) <= tolerance * (1 + 1e-6) + 1e-6).all()


@given(CURVES, st.integers(1, 10))
def test_there_are_never_more_segments_than_wanted(steps, most) -> None:
    time = np.cumsum([step for step, _ in steps])
    curve = np.cumsum([rise for _, rise in steps])

    assert len(segments(time, curve, 1.0, most)) <= most


def test_memory_that_grows_and_is_given_back_is_taken_for_so_long() -> None:
    time = np.arange(0, 100) * 100_000_000
    level = np.where(time < 2e9, 1000.0, np.where(time < 3e9, 1000 + (time - 2e9) / 1e9 * 20_000, 21_000.0))
    level[time > 7e9] = 1000.0
    (one,) = taken_of({"nr_anon_pages": level}, time, 0)

    assert one.pages == pytest.approx(20_000, rel=0.15)
    assert (one.start_s, one.end_s) == (pytest.approx(2, abs=0.3), pytest.approx(3, abs=0.3))
    assert one.freed_s == pytest.approx(7.1, abs=0.11)


# Real recordings


def recorded(name: str) -> Bundle:
    place = SHARED / name
    if not place.exists():
        pytest.skip(f"{place} is not there")
    return read_bundle(str(place))


def real_writers(bundle: Bundle) -> list[Writer]:
    assert bundle.events is not None
    assert bundle.samples is not None
    tick = 1_000_000_000 // (bundle.hz or 250)
    samples = bundle.samples
    return writers_of(bundle.events, samples.columns, samples.time_ns, samples.samplers, tick)


@pytest.mark.parametrize(
    ("name", "mib"),
    [
        ("linux-6.18/seq-40M.1", [800]),
        ("linux-6.18/seq-40M.2", [800]),
        ("linux-6.18/seq-20M.1", [400]),
        ("linux-6.18/two-writers-40M.1", [400, 400]),
        ("linux-6.18/two-writers-40M.2", [400, 400]),
        ("linux-6.18/rated-burst.1", [600]),
        ("linux-6.1/A-ext4", [512]),
        ("linux-6.1/A-xfs", [512]),
        ("linux-6.1/D-ext4", [400]),
    ],
)
def test_each_writer_of_a_job_is_found_with_what_it_wrote(name: str, mib: list[int]) -> None:
    found = real_writers(recorded(name))

    assert [one.total / 256 for one in found[: len(mib)]] == pytest.approx(mib, rel=0.03)


@pytest.mark.parametrize("twin", [1, 2])
def test_a_rate_kept_below_free_run_is_one_stretch_of_that_rate(twin: int) -> None:
    writer = real_writers(recorded(f"linux-6.18/rated-burst.{twin}"))[0]
    clock, pieces = stretches(writer, int(writer.time_ns[0]), None)

    most = max(pieces, key=lambda one: one.pages)
    assert clock == "clock"
    assert most.rate == pytest.approx(30 * 256, rel=0.03)
    assert most.pages >= 0.9 * writer.total


def test_a_reader_behind_a_writer_is_found_and_its_device_s_tick() -> None:
    bundle = recorded("linux-6.1/C-ext4")
    assert bundle.events is not None
    assert bundle.samples is not None
    devices = devices_of(bundle.events, bundle.samples.columns, bundle.samples.time_ns, TICK_NS)
    device = devices["254:0"]
    (reader,) = readers_of(bundle.events, 0, devices)

    assert (reader.comm, reader.is_sequential, reader.is_bound) == ("seqreader", True, True)
    assert reader.nr_bytes == pytest.approx(device.read_bytes, rel=0.001)  # less metadata
    assert device.tick_ns == pytest.approx(20_000_000, rel=0.001)
    assert device.tick_bytes == 4 * 131072  # of 545,246 bytes a tick, whole requests of 128 KiB


@pytest.mark.parametrize(
    ("name", "limit", "rate"),
    [
        ("linux-6.18/seq-20M.1", "bytes", 20 << 20),
        ("linux-6.18/seq-40M.1", "bytes", 40 << 20),
        ("linux-6.18/seq-80M.1", "bytes", 80 << 20),
        ("linux-6.18/rand4k-1000iops.1", "requests", 1000),
    ],
)
def test_a_device_s_limit_is_found_in_its_completions(name: str, limit: str, rate: int) -> None:
    bundle = recorded(name)
    assert bundle.events is not None
    assert bundle.samples is not None
    device = devices_of(bundle.events, bundle.samples.columns, bundle.samples.time_ns, TICK_NS)["7:0"]
    estimate = device.write_bps if limit == "bytes" else device.write_iops

    assert device.limited_by == limit
    assert estimate is not None
    assert estimate.value == pytest.approx(rate, rel=0.06)
    assert estimate.low <= rate <= estimate.high


def turn(time: float, to_write: int) -> str:
    return (
        f"      kworker/u4:1-35     [000] .....  {time:.6f}: writeback_single_inode: bdi 8:0: ino=12 "
        f"state=I_DIRTY_PAGES|I_SYNC dirtied_when=1 age=0 index=0 to_write={to_write} wrote=9 cgroup_ino=1\n"
    )


@pytest.mark.parametrize(
    ("to_write", "pages_a_second"),
    # half a second's bandwidth and 1024 pages, in whole 1024: from 2 * (n - 1024) up to 2 * n; the middle stands for it
    [(1024, 1024), (2048, 3072), (4096, 7168), (1024 + 32768 // 8, 0), (9223372036854775807, 0), (7, 0)],
)
def test_a_device_no_update_was_printed_of_is_known_by_the_flusher_s_first_turn(tmp_path, to_write, pages_a_second):
    trace = tmp_path / "trace"
    trace.write_text(HEAD + state(1.0, 10).replace("limit=4096", "limit=32768") + turn(2.0, to_write) + turn(3.0, 2048))
    events = read_input(str(trace)).events
    assert events is not None

    known = known_of(events, Device("8:0"), floor_moved=True)

    if to_write in (9223372036854775807, 7):  # says nothing: the next turn does
        pages_a_second = 3072
    assert known.bandwidth == known.avg_bandwidth == pages_a_second * 4096
    assert known.ratelimit == 0
