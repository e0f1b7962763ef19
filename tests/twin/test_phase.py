# SPDX-License-Identifier: GPL-2.0-or-later
"""Tasks begin as far before the device's next tick as the recorded ones did."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pageout.twin.completions import Device, tick_of
from pageout.twin.phase import in_phase, until_tick
from pageout.twin.seeds import from_seed
from pageout.vocabulary.scenario import Disk, Machine, Scenario, Task

TICK_NS = 20_000_000
DISK = Disk(kind="throttled", limit="ticks", tick_ns=TICK_NS, tick_bytes=545_259, latency_us=30)


def ticking(first_ns: int, nr: int, rng: np.random.Generator) -> Device:
    """A device that lets four requests go each tick, which are done 30 us later and up to 200 us apart."""
    at = first_ns + np.repeat(np.arange(nr) * TICK_NS, 4) + 30_000 + np.tile(np.arange(4) * 60_000, nr)
    at = np.sort(at + rng.integers(0, 20_000, len(at)))
    return Device("8:0", written_ns=at.astype(np.int64), written=np.full(len(at), 131072.0))


@given(st.integers(0, 2**31), st.integers(0, 2_000_000))
def test_a_tick_is_seen_though_it_comes_late_and_chance_is_none(seed: int, late_ns: int) -> None:
    rng = np.random.default_rng(seed)
    late = np.arange(300) * TICK_NS + rng.integers(0, late_ns + 1, 300)
    chance = np.cumsum(rng.exponential(TICK_NS, 300)).astype(np.int64)
    for starts, found in ((late, True), (chance, False)):
        at = (starts[:, None] + np.arange(4) * 60_000).reshape(-1)
        tick, nbytes = tick_of(at, np.full(len(at), 131072.0), 4_000_000)
        assert (tick is not None) == found
        if found:
            assert (tick, nbytes) == (pytest.approx(TICK_NS, rel=0.001), 4 * 131072)


@given(st.integers(0, 10**12), st.integers(0, TICK_NS - 1), st.integers(0, 2**31))
def test_the_next_tick_is_as_far_as_in_the_recording(start_ns: int, until_ns: int, seed: int) -> None:
    device = ticking(start_ns + until_ns, 40, np.random.default_rng(seed))
    found = until_tick(device, DISK, start_ns)

    assert found is not None
    apart = abs(found - until_ns)
    assert min(apart, TICK_NS - apart) < 50_000

    (task,) = in_phase(DISK, (Task(name="w", start_delay_ns=5 * TICK_NS),), device, start_ns)
    behind = (task.start_delay_ns + until_ns) % TICK_NS
    assert min(behind, TICK_NS - behind) < 50_000


def test_groups_that_wait_for_others_wait_no_second_time() -> None:
    tasks = tuple(Task(name=str(group), group=group, start_delay_ns=7) for group in (1, 0, 2))
    shifted = in_phase(DISK, tasks, ticking(TICK_NS // 2, 40, np.random.default_rng(3)), 0)

    assert [task.start_delay_ns == 7 for task in shifted] == [True, False, True]

    scenario = Scenario(name="g", machine=Machine(), tasks=tasks, files=())
    other = from_seed(scenario, 2)
    assert [task.start_delay_ns == 7 for task in other.tasks] == [True, False, True]
    assert all(task.seed != was.seed for task, was in zip(other.tasks, tasks, strict=True))


@given(st.integers(0, 2**31))
def test_completions_at_any_time_tell_of_no_clock(seed: int) -> None:
    at = np.cumsum(np.random.default_rng(seed).integers(TICK_NS // 2, 4 * TICK_NS, 200))
    device = Device("8:0", written_ns=at.astype(np.int64), written=np.full(200, 4096.0))

    assert until_tick(device, DISK, 0) is None
    assert until_tick(Device("8:0"), DISK, 0) is None


@pytest.mark.parametrize("limit", ["slices", "bucket"])
def test_other_devices_have_no_ticks(limit) -> None:
    tasks = (Task(name="w"),)
    disk = Disk(kind="throttled", limit=limit, write_bps=1 << 20)

    assert in_phase(disk, tasks, ticking(7, 40, np.random.default_rng(1)), 0) is tasks
