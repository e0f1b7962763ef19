# SPDX-License-Identifier: GPL-2.0-or-later
"""How late samples were, and writers that were held, tells how long a woken task waits for a CPU."""

import msgspec
import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pageout.bundle.bundle import read_bundle
from pageout.events.tables import Events, frame_schema
from pageout.jit import INTERPRETED
from pageout.twin.boxes import scenario_of
from pageout.twin.lateness import run_delay, run_delay_of_held
from pageout.twin.simulated import run
from pageout.vocabulary.scenario import MIB, Disk, File, Filesystem, Machine, Scenario, Task
from pageout.vocabulary.schema import EVENTS
from tests.bundle.made import META, small

EVERY_NS = 100_000_000


def sampled(rng: np.random.Generator, nr: int, share: float, mean_ns: float, jitter_ns: int) -> np.ndarray:
    """Times of samples by one who sleeps 100 ms between two, and at each wake waits with this chance so long."""
    late = np.where(rng.random(nr) < share, rng.exponential(mean_ns, nr), 0.0)
    steps = EVERY_NS + late + rng.integers(0, jitter_ns + 1, nr)
    return np.cumsum(steps).astype(np.int64)


@given(st.integers(0, 2**31), st.integers(5, 45), st.integers(5, 60))
def test_the_share_and_the_length_of_waits_come_back(seed: int, percent: int, mean_ms: int) -> None:
    rng = np.random.default_rng(seed)
    at = sampled(rng, 20_000, percent / 100, mean_ms * 1e6, 900_000)
    found = run_delay(at, 0, int(at[-1]))

    assert found is not None
    noticed = np.exp(-2 / mean_ms)  # of waits, those longer than what is noticed
    assert found.busy_percent == pytest.approx(percent * noticed, rel=0.12, abs=1.5)
    assert found.run_delay_ns == pytest.approx(mean_ms * 1e6 + 2e6, rel=0.12)


@given(st.integers(0, 2**31), st.integers(0, 1_000_000))
def test_a_machine_that_is_not_busy_is_said_to_be_nothing(seed: int, jitter_ns: int) -> None:
    at = sampled(np.random.default_rng(seed), 300, 0, 1, jitter_ns)

    assert run_delay(at, 0, int(at[-1])) is None


def test_what_lies_outside_of_the_window_and_what_is_too_little_says_nothing() -> None:
    at = sampled(np.random.default_rng(1), 300, 0.4, 2e7, 0)

    assert run_delay(at, 0, int(at[-1])) is not None
    assert run_delay(at, int(at[-1]) + 1, int(at[-1]) + 10**10) is None
    assert run_delay(at[:10], 0, int(at[-1])) is None


def test_it_is_never_more_than_a_run_can_have() -> None:
    at = np.cumsum(np.where(np.arange(4000) % 2, 5 * 10**9, EVERY_NS))
    found = run_delay(at[:-1], 0, int(at[-1]))

    assert found is None or (found.busy_percent <= 90 and found.run_delay_ns <= 10**9)


@pytest.mark.parametrize("cpus", [1, 2])
def test_on_one_cpu_the_sampler_waits_for_the_recorded_tasks_and_tells_nothing(tmp_path, cpus: int) -> None:
    at = sampled(np.random.default_rng(3), 60, 0.4, 2e7, 0) / 1e9
    rows = [f"{100 + t:.6f},10,0,50000,1000,990" for t in at]
    samples = "\n".join(["t_s,nr_dirty,nr_writeback,nr_free,nr_dirtied,nr_written", *rows, ""])
    meta = {**META, "cpus": cpus, "start_s": 100.0, "end_s": 120.0, "samples": {"clock": "trace", "time_column": "t_s"}}
    bundle = read_bundle(str(small(tmp_path / "b", meta__json=meta, samples__csv=samples, fio__json=None)))
    machine = scenario_of(bundle, box="white").scenario.machine

    assert (machine.busy_percent > 0) == (cpus > 1)


TICK_NS, MS = 4_000_000, 1_000_000


def table(name: str, rows: list[dict[str, int]]) -> pl.DataFrame:
    schema = frame_schema(EVENTS[name])
    return pl.DataFrame([dict.fromkeys(schema) | row for row in rows], schema=schema)


def held(
    late_ns: np.ndarray, phase_ns: int, page_ns: int, *, pid: int = 7, synced: frozenset[int] = frozenset()
) -> Events:
    """A writer that is told to sleep 1 to 5 ticks, comes back so late, dirties 64 pages and is looked at again.

    synced: the wakes after which it first waits 50 ms for a request of its own
    """
    at, checks, issued = phase_ns, list[dict[str, int]](), list[dict[str, int]]()
    for number, late in enumerate(late_ns.tolist()):
        pause = 4 * (1 + number % 5)
        checks.append({"line": 2 * number, "time_ns": at, "pid": pid, "pause": pause, "dirtied": 64, "paused": 0})
        due = at + pause * MS
        at = -(-(due - phase_ns) // TICK_NS) * TICK_NS + phase_ns + int(late) + 64 * page_ns
        if number in synced:
            issued.append({"line": 2 * number + 1, "time_ns": at, "pid": pid})
            at += 50 * MS
    frames = {"balance_dirty_pages": table("balance_dirty_pages", checks)}
    return Events(frames=frames | ({"block_rq_issue": table("block_rq_issue", issued)} if issued else {}))


@given(st.integers(0, 2**31), st.integers(5, 60), st.integers(5, 30), st.integers(0, TICK_NS), st.integers(300, 5000))
def test_held_writers_tell_the_share_and_the_length_of_waits(
    seed: int, percent: int, mean_ms: int, phase_ns: int, page_ns: int
) -> None:
    rng = np.random.default_rng(seed)
    late = np.where(rng.random(8000) < percent / 100, rng.exponential(mean_ms * MS, 8000), 0.0)
    found = run_delay_of_held(held(late, phase_ns, page_ns), TICK_NS, page_ns, 0, 10**15)

    assert found is not None
    assert found.busy_percent == pytest.approx(percent * np.exp(-2 / mean_ms), rel=0.2, abs=2)
    assert found.run_delay_ns == pytest.approx(mean_ms * 1e6 + 2e6, rel=0.25)


def test_who_is_on_time_or_waits_for_his_own_requests_waits_for_no_cpu() -> None:
    on_time = np.zeros(400)

    assert run_delay_of_held(held(on_time, 1000, 500), TICK_NS, 500, 0, 10**15) is None
    synced = held(on_time, 1000, 500, synced=frozenset(range(0, 400, 4)))
    assert run_delay_of_held(synced, TICK_NS, 500, 0, 10**15) is None
    without = Events(frames={"balance_dirty_pages": synced.frame("balance_dirty_pages")})
    assert run_delay_of_held(without, TICK_NS, 500, 0, 10**15) is not None


def test_a_writer_that_sleeps_for_a_reason_of_its_own_tells_nothing() -> None:
    assert run_delay_of_held(held(np.full(400, 15 * MS), 1000, 500), TICK_NS, 500, 0, 10**15) is None


@pytest.mark.skipif(INTERPRETED, reason="seconds of a machine, interpreted, take minutes")
@pytest.mark.parametrize(("percent", "mean_ms"), [(0, 10), (30, 8), (55, 14)])
def test_what_a_simulated_machine_was_given_comes_back(percent: int, mean_ms: int) -> None:
    disk = Disk(kind="throttled", limit="slices", write_bps=40 * MIB, size_bytes=8 << 30)
    machine = Machine(
        memory_bytes=512 * MIB, cpus=2, disks=(disk,), filesystem=Filesystem(kind="ext4"), copy_mb_s=4000,
    )  # fmt: skip
    task = Task(name="w", rw="write", file=(0,), io_bytes=600 * MIB, bs_bytes=65536, end_fsync=True)
    scenario = Scenario(
        name="busy", machine=msgspec.structs.replace(machine, busy_percent=percent, run_delay_ns=mean_ms * MS),
        files=(File(name="w", size_bytes=600 * MIB),), tasks=(task,), design="linux-6.18",
        settings={"vm.dirty_bytes": 64 * MIB, "vm.dirty_background_bytes": 16 * MIB},
    )  # fmt: skip
    events = run(scenario).evidence.events
    assert events is not None
    found = run_delay_of_held(events, TICK_NS, 1500, 0, 10**15)

    if not percent:
        assert found is None
    else:
        assert found is not None
        assert found.busy_percent == pytest.approx(percent * np.exp(-2 / mean_ms), rel=0.25)
        assert found.run_delay_ns == pytest.approx((mean_ms + 2) * 1e6, rel=0.25)
