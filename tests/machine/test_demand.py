# SPDX-License-Identifier: GPL-2.0-or-later
"""Demand played phase by phase, and machines that were already at work when the run starts."""

from pathlib import Path

import msgspec
import pytest

from pageout.machine.simulate import Result, simulate
from pageout.vocabulary.errors import ScenarioError
from pageout.vocabulary.scenario import MIB, Disk, File, Filesystem, Machine, Phase, Scenario, Task

S = 1_000_000_000


def scenario(*tasks: Task, disk: Disk | None = None, **more) -> Scenario:
    disk = disk or Disk(kind="throttled", write_bps=8 * MIB, size_bytes=1 << 30)
    files = more.pop("files", ()) or tuple(File(name=task.name, size_bytes=64 * MIB) for task in tasks)
    return Scenario(
        name="demand",
        machine=Machine(memory_bytes=128 * MIB, disks=(disk,), filesystem=Filesystem(kind="ext4")),
        files=files, tasks=tasks, design=more.pop("design", "linux-6.18"), **more,
    )  # fmt: skip


def writer(*phases: tuple[int, int, int], **more) -> Task:
    rows = tuple(Phase(*phase) for phase in phases)
    total = sum(row.amount_bytes for row in rows)
    fields = {"bs_bytes": 65536, "io_bytes": total, "name": "w"} | more
    return Task(rw="write", file=(0,), phases=rows, **fields)


def dirtied_by(result: Result, seconds: float) -> float:
    """MiB dirtied up to a moment, from the series: all that is dirty, under writeback or written."""
    series = result.series
    at = max(i for i, t in enumerate(series["t_s"]) if t <= seconds)
    return (series["nr_dirty"][at] + series["nr_writeback"][at]) / 256


def test_a_phase_begins_at_its_start_and_goes_no_faster_than_its_rate() -> None:
    null = Disk(kind="null", size_bytes=1 << 30)
    phases = ((0, 2 * MIB, 4 * MIB), (3 * S, 0, 4 * MIB))
    result = simulate(scenario(writer(*phases), disk=null, settings={"vm.dirty_writeback_centisecs": 0}))

    assert dirtied_by(result, 1.05) == pytest.approx(2, abs=0.4)
    assert dirtied_by(result, 2.9) == pytest.approx(4, abs=0.1)
    assert result.now_ns == pytest.approx(3 * S, rel=0.02)


def test_a_clock_of_its_own_stands_still_while_the_writer_is_held() -> None:
    phases = ((0, 0, 24 * MIB), (2 * S, 8 * MIB, 16 * MIB))
    limits = {"vm.dirty_bytes": 8 * MIB, "vm.dirty_background_bytes": 4 * MIB}
    ends = {}
    for clock in ("clock", "own"):
        result = simulate(scenario(writer(*phases, phase_clock=clock), settings=limits))
        (job,) = result.document()["jobs"]
        ends[clock] = result.now_ns / S
        assert job["write_mib"] == 40
    assert ends["clock"] < ends["own"]
    assert ends["own"] > 2 + 2  # the phase's own two seconds come after what the first was held, and last as long


@pytest.mark.parametrize("fs", ["ext4", "xfs", "ext3", "btrfs"])
def test_files_dirty_at_the_start_are_written_when_they_expire(fs: str) -> None:
    files = (File(name="w", size_bytes=8 * MIB), File(name="old", size_bytes=4 * MIB, dirty_bytes=3 * MIB,
             dirty_age_ns=27 * S))  # fmt: skip
    known = Disk(kind="throttled", write_bps=8 * MIB, size_bytes=1 << 30, start_written_bytes=64 * MIB)
    one = scenario(writer((0, 0, 1 * MIB), (6 * S, 0, MIB)), disk=known, files=files, length_ns=9 * S)
    machine = msgspec.structs.replace(one.machine, filesystem=Filesystem(kind=fs))  # type: ignore[arg-type]
    result = simulate(msgspec.structs.replace(one, machine=machine), check=2000)

    assert result.series["nr_dirty"][0] >= 3 * 256
    # 27 s old: its flusher's timer has 3 s to go, and then it is 30 s old
    assert dirtied_by(result, 2.9) > 3
    assert dirtied_by(result, 4.5) < 2.5


def test_a_device_starts_as_the_kernel_knew_it(tmp_path: Path) -> None:
    known = Disk(kind="throttled", write_bps=8 * MIB, size_bytes=1 << 30, start_bandwidth=12 * MIB,
                 start_avg_bandwidth=10 * MIB, start_ratelimit=9 * MIB, start_written_bytes=64 * MIB)  # fmt: skip
    limits = {"vm.dirty_bytes": 8 * MIB, "vm.dirty_background_bytes": 4 * MIB}
    simulate(scenario(writer((0, 0, 24 * MIB)), disk=known, settings=limits), trace=tmp_path / "trace")

    trace = (tmp_path / "trace").read_text()
    first = next(line for line in trace.splitlines() if " balance_dirty_pages:" in line)
    assert f"dirty_ratelimit={9 * 1024} " in first
    update = next(line for line in trace.splitlines() if " bdi_dirty_ratelimit:" in line)
    assert f"write_bw={12 * 1024} awrite_bw={10 * 1024} " in update


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"rate_bps": MIB}, "task.phases"),
        ({"phases": (Phase(S, 0, MIB), Phase(0, 0, MIB))}, "task.phases"),
        ({"phases": (Phase(0, 0, 0),)}, "task.phases"),
    ],
)
def test_phases_that_cannot_be_are_refused(change: dict[str, object], where: str) -> None:
    task = msgspec.structs.replace(writer((0, 0, MIB)), **change)
    with pytest.raises(ScenarioError, match=where):
        simulate(scenario(task))


def test_more_dirty_than_the_file_has_is_refused() -> None:
    files = (File(name="w", size_bytes=MIB, dirty_bytes=2 * MIB),)
    with pytest.raises(ScenarioError, match=r"file\.dirty"):
        simulate(scenario(writer((0, 0, MIB)), files=files))


def test_a_limit_that_was_higher_falls_slowly_to_what_is_set_now() -> None:
    limits = {"vm.dirty_bytes": 8 * MIB, "vm.dirty_background_bytes": 4 * MIB}
    most = {}
    for start in (0, 16 * MIB):
        base = scenario(writer((0, 0, 48 * MIB)), settings=limits)
        machine = msgspec.structs.replace(base.machine, start_dirty_limit_bytes=start)
        series = simulate(msgspec.structs.replace(base, machine=machine)).series
        levels = [d + w for d, w in zip(series["nr_dirty"], series["nr_writeback"], strict=True)]
        most[start] = max(levels) / 256
    assert most[0] < 8.5
    assert 1.1 * most[0] < most[16 * MIB] <= 16


def test_a_machine_slow_at_a_page_in_reclaim_is_as_slow_at_writing_one() -> None:
    ends = {}
    for scan_ns in (120, 120_000):
        base = scenario(writer((0, 0, 16 * MIB)), disk=Disk(kind="null", size_bytes=1 << 30))
        task = msgspec.structs.replace(base.tasks[0], end_fsync=True)
        machine = msgspec.structs.replace(base.machine, scan_ns=scan_ns)
        ends[scan_ns] = simulate(msgspec.structs.replace(base, machine=machine, tasks=(task,))).now_ns
    assert ends[120_000] - ends[120] > 4096 * 120_000  # of 300 us a page, at least the time of looking at it
