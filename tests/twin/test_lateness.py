# SPDX-License-Identifier: GPL-2.0-or-later
"""How late samples were tells how long a woken task waits for a CPU."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pageout.bundle.bundle import read_bundle
from pageout.twin.boxes import scenario_of
from pageout.twin.lateness import run_delay
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
