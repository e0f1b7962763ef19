# SPDX-License-Identifier: GPL-2.0-or-later
"""A known scenario is simulated; from its trace and samples alone another is made; both must go alike."""

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest

from pageout.bundle.samples import Samples
from pageout.events.tables import Events
from pageout.jit import INTERPRETED
from pageout.twin import blackbox
from pageout.twin.blackbox import BlackBox, black_box
from pageout.twin.completions import devices_of
from pageout.twin.estimate import Estimate
from pageout.twin.simulated import Run, run
from pageout.vocabulary.errors import TraceError
from pageout.vocabulary.scenario import MIB, Disk, File, Filesystem, Machine, Scenario, Task
from pageout.workload.program import read_scenario
from pageout.workload.to_toml import scenario_toml

S = 1_000_000_000
SETTINGS = {"vm.dirty_bytes": 16 * MIB, "vm.dirty_background_bytes": 8 * MIB}
pytestmark = pytest.mark.skipif(INTERPRETED, reason="seconds of a machine, interpreted, take minutes")


def known(*tasks: Task, files: tuple[File, ...] = (), **disk: int) -> Scenario:
    device = Disk(kind="throttled", write_bps=20 * MIB, read_bps=20 * MIB, size_bytes=8 << 30, elevator="noop",
                  queue_depth=32, **disk)  # type: ignore[arg-type]  # fmt: skip
    return Scenario(
        name="known",
        machine=Machine(memory_bytes=256 * MIB, disks=(device,), filesystem=Filesystem(kind="ext4"), copy_mb_s=2000),
        files=files or tuple(File(name=task.name, size_bytes=task.io_bytes) for task in tasks),
        tasks=tuple(msgspec.structs.replace(task, file=(number,)) for number, task in enumerate(tasks)),
        settings=SETTINGS, design="linux-6.18",
    )  # fmt: skip


def writer(name: str, mib: int, **more) -> Task:
    return Task(name=name, rw="write", io_bytes=mib * MIB, **{"bs_bytes": 128 * 1024, "end_fsync": True} | more)


SCENARIOS: Mapping[str, Scenario] = {
    "one writer, held all the time": known(writer("w", 120)),
    "two of them, calls of two sizes": known(writer("a", 60), writer("b", 60, bs_bytes=4096)),
    "a rate the device can take": known(writer("slow", 60, rate_bps=8 * MIB, bs_bytes=65536)),
    "a reader beside a writer": known(
        writer("w", 80), Task(name="r", rw="read", bs_bytes=65536, io_bytes=40 * MIB),
        files=(File(name="w", size_bytes=80 * MIB), File(name="r", size_bytes=40 * MIB, exists=True)),
    ),
    "a reader and a writer, one limit for both": known(
        writer("w", 80), Task(name="r", rw="read", bs_bytes=65536, io_bytes=40 * MIB), shared_limit=True,
        files=(File(name="w", size_bytes=80 * MIB), File(name="r", size_bytes=40 * MIB, exists=True)),
    ),
    "a machine that was at work before": known(
        writer("w", 80),
        start_bandwidth=15 * MIB, start_avg_bandwidth=15 * MIB, start_ratelimit=30 * MIB, start_written_bytes=64 * MIB,
    ),
}  # fmt: skip


@cache
def both(name: str) -> tuple[Run, BlackBox, Run]:
    before = run(SCENARIOS[name])
    evidence = before.evidence
    assert evidence.events is not None
    assert isinstance(evidence.samples, Samples)
    found = black_box(evidence.events, evidence.samples, SETTINGS, "6.18.0", 250)
    return before, found, run(found.scenario)


def of_device(one: Run) -> pl.DataFrame:
    assert one.evidence.events is not None
    return one.evidence.events.frame("balance_dirty_pages").filter(pl.col("bdi").cast(pl.String) == "8:0")


def pauses(one: Run) -> tuple[int, float]:
    """How often anyone was told to sleep, and for how long in all, s."""
    slept = of_device(one)["pause"].to_numpy()
    return int((slept > 0).sum()), float(slept[slept > 0].sum()) / 1000


def plateau(one: Run) -> float:
    """Pages dirty and under writeback, the median of the time in which there were any."""
    samples = one.evidence.samples
    assert samples is not None
    both = samples.columns["nr_dirty"] + samples.columns["nr_writeback"]
    return float(np.median(both[both > 64]))


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_scenario_found_goes_as_the_one_recorded(name: str) -> None:
    before, _, after = both(name)
    (count, slept), (count_again, slept_again) = pauses(before), pauses(after)

    assert after.sim_seconds == pytest.approx(before.sim_seconds, rel=0.05)
    assert plateau(after) == pytest.approx(plateau(before), rel=0.10)
    assert count_again == pytest.approx(count, rel=0.25, abs=3)
    assert slept_again == pytest.approx(slept, rel=0.15, abs=0.1)


@pytest.mark.parametrize("name", SCENARIOS)
def test_it_asks_for_what_was_asked_for(name: str) -> None:
    _, found, _ = both(name)
    asked = {"read": 0, "write": 0}
    for task in found.scenario.tasks:
        if task.kind == "io":
            asked[task.rw] += task.io_bytes
    wanted = {"read": 0, "write": 0}
    for task in SCENARIOS[name].tasks:
        wanted[task.rw] += task.io_bytes

    assert asked["write"] == pytest.approx(wanted["write"], rel=0.02)
    assert asked["read"] == pytest.approx(wanted["read"], rel=0.02)


@pytest.mark.parametrize("name", SCENARIOS)
def test_it_can_be_written_out_and_read_back(name: str) -> None:
    _, found, _ = both(name)

    assert read_scenario("x.toml", scenario_toml(found.scenario, found.notes)) == found.scenario


def test_the_size_of_calls_and_the_rate_of_one_that_was_never_held_are_seen() -> None:
    _, two, _ = both("two of them, calls of two sizes")
    assert sorted(task.bs_bytes for task in two.scenario.tasks) == [4096, 131072]
    _, slow, _ = both("a rate the device can take")
    (task,) = slow.scenario.tasks
    most = max(task.phases, key=lambda phase: phase.amount_bytes)
    assert most.rate_bps == pytest.approx(8 * MIB, rel=0.03)


@pytest.mark.parametrize("name", [name for name in SCENARIOS if "reader" in name])
def test_one_limit_for_reads_and_writes_is_seen(name: str) -> None:
    _, found, _ = both(name)

    assert found.scenario.machine.disks[0].shared_limit == ("one limit" in name)


def test_the_start_is_what_the_first_events_said() -> None:
    _, found, _ = both("a machine that was at work before")
    disk = found.scenario.machine.disks[0]

    assert disk.start_ratelimit == pytest.approx(30 * MIB, rel=0.001)
    assert disk.start_avg_bandwidth == pytest.approx(15 * MIB, rel=0.15)
    assert found.estimates["device.write_bps"].value == pytest.approx(20 * MIB, rel=0.05)


def test_a_recording_without_demand_is_refused() -> None:
    samples = Samples(np.array([0, S]), {"nr_free_pages": np.array([1e5, 1e5])}, "trace")
    with pytest.raises(TraceError, match="no demand"):
        black_box(Events(), samples, {}, "6.1.0", 250)


@pytest.mark.parametrize(("noted", "stands"), [(20 * MIB, True), (0, False), (30 * MIB, False)])
def test_a_noted_limit_in_bytes_stands_though_requests_came_more_evenly(monkeypatch, noted: int, stands: bool) -> None:
    before, _, _ = both("one writer, held all the time")
    evidence = before.evidence
    assert evidence.events is not None
    assert isinstance(evidence.samples, Samples)

    def by_requests(*known: Any) -> dict[str, Any]:
        counted = {"limited_by": "requests", "write_iops": Estimate(35.0, 28.0, 42.0)}
        return {name: replace(device, **counted) for name, device in devices_of(*known).items()}

    monkeypatch.setattr(blackbox, "devices_of", by_requests)
    found = black_box(evidence.events, evidence.samples, SETTINGS, "6.18.0", 250, limit_bps=noted)

    disk = found.scenario.machine.disks[0]
    assert (disk.write_bps, disk.write_iops) == ((noted, 0) if stands else (0, 35))
