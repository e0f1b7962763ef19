# SPDX-License-Identifier: GPL-2.0-or-later
"""Who says nothing of his workload is known by what he did while nothing held him."""

import json
import shutil

import msgspec
import polars as pl
import pytest

from pageout.bundle.bundle import read_bundle
from pageout.bundle.evidence import evidence_of
from pageout.bundle.measured import measured
from pageout.twin.boxes import scenario_of
from pageout.twin.simulated import run
from pageout.twin.whitebox import has_workload
from pageout.vocabulary.errors import TraceError
from pageout.vocabulary.scenario import Disk, File, Filesystem, Machine, Scenario, Task
from pageout.vocabulary.units import MIB
from pageout.workload.fio import read_fio
from tests.bundle.made import TRACE, of_run, small

JOB = "[global]\nend_fsync=1\n[w]\nrw=write\nbs=64k\nsize=64m\n"
RATED = "[w]\nrw=write\nbs=64k\nsize=40m\nrate=10m\n"
LIMITS = {
    "vm.dirty_ratio": 0,
    "vm.dirty_bytes": 8 * MIB,
    "vm.dirty_background_ratio": 0,
    "vm.dirty_background_bytes": 2 * MIB,
}
MACHINE = Machine(
    name="small", memory_bytes=256 * MIB, disks=(Disk(kind="throttled", write_bps=20 * MIB),),
    filesystem=Filesystem(kind="ext4"),
)  # fmt: skip


def unsaid(folder):
    """Take out of a bundle what says its workload."""
    for name in ("fio.json", "job.fio"):
        (folder / name).unlink(missing_ok=True)
    meta = json.loads((folder / "meta.json").read_text())
    meta["devices"] = {meta["dev"]: {"limits": {"wbps": meta.pop("case")["wbps"]}}}
    (folder / "meta.json").write_text(json.dumps(meta))
    return folder


@pytest.fixture(scope="module", params=[JOB, RATED], ids=["held", "rated"])
def recorded(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("black")
    scenario = read_fio("job.fio", request.param, MACHINE, environ={})
    scenario = msgspec.structs.replace(scenario, design="ioless-throttle", settings=LIMITS)
    ran = run(scenario, trace=folder / "trace.txt")
    return ran, unsaid(of_run(folder / "b", ran, folder / "trace.txt", scenario, request.param))


def test_a_recording_that_says_nothing_is_replayed_as_it_was(recorded):
    ran, folder = recorded
    bundle = read_bundle(str(folder))
    twin = scenario_of(bundle, "ioless-throttle")
    told, found = measured(evidence_of(bundle)), measured(run(twin.scenario).evidence)
    task = twin.scenario.tasks[0]

    assert not has_workload(bundle)
    assert twin.box == "black"
    wrote = ran.evidence.calls[0].nbytes
    assert task.io_bytes == pytest.approx(wrote, rel=0.05)
    assert task.rw == "write"
    if task.end_fsync:
        assert found["throttle_count"] == pytest.approx(told["throttle_count"], rel=0.3)
        assert found["throttle_s"] == pytest.approx(told["throttle_s"], rel=0.3)
    assert found["plateau_mib"] == pytest.approx(told["plateau_mib"], rel=0.3)


def test_where_nobody_wrote_there_is_nothing_to_replay(tmp_path):
    silent = "\n".join(line for line in TRACE.splitlines() if line.startswith("#")) + "\n"
    path = small(
        tmp_path / "b",
        trace__txt__gz=None,
        job__fio=None,
        fio__json=None,
        meta__json={"kernel": "6.1", "machine": {"memory_kib": 1 << 20}},
    )
    with pytest.raises(TraceError, match="no trace"):
        scenario_of(read_bundle(str(path)))
    shutil.copy(path / "meta.json", path / "meta.json.kept")
    (path / "trace.txt").write_text(silent)
    with pytest.raises(TraceError, match="no event in it"):
        scenario_of(read_bundle(str(path)))


def test_a_white_recording_can_be_looked_at_black(tmp_path):
    bundle = read_bundle(str(small(tmp_path / "b")))

    assert scenario_of(bundle).box == "white"
    black = scenario_of(bundle, box="black")
    assert black.box == "black"
    assert [task.name for task in black.scenario.tasks] == ["fio"]
    assert bundle.events.frame("balance_dirty_pages").filter(pl.col("pause") > 0).height == 1


def test_jobs_that_share_a_comm_stay_apart_and_keep_their_names(tmp_path):
    job = "[global]\nend_fsync=1\nrw=write\nsize=24m\n[small]\nbs=4k\n[large]\nbs=128k\n"
    scenario = msgspec.structs.replace(
        read_fio("job.fio", job, MACHINE, environ={}), design="linux-6.1", settings=LIMITS
    )
    ran = run(scenario, trace=tmp_path / "trace.txt")
    trace = tmp_path / "as-fio.txt"
    text = (tmp_path / "trace.txt").read_text()
    for name in ("small", "large"):
        text = text.replace(f" {name}-", " " * (len(name) - 2) + "fio-")
    trace.write_text(text)
    bundle = read_bundle(str(of_run(tmp_path / "b", ran, trace, scenario, job)))
    twin = scenario_of(bundle, box="black")
    told, found = measured(evidence_of(bundle)), measured(run(twin.scenario).evidence)

    assert {task.name for task in twin.scenario.tasks} == {"small", "large"}
    assert any("order of their pids" in note for note in twin.notes)
    for name in ("write_mb_s.small", "write_mb_s.large"):
        assert found[name] == pytest.approx(told[name], rel=0.15)


def test_clones_of_one_fio_job_are_numbered(tmp_path):
    job = {"jobname": "w", "write": {"io_bytes": 1 << 20, "runtime": 200, "total_ios": 16}}
    other = {"jobname": "x", "write": {"io_bytes": 1 << 20, "runtime": 400, "total_ios": 16}}
    bundle = read_bundle(str(small(tmp_path / "b", fio__json={"jobs": [job, other, job]})))

    assert [calls.name for calls in bundle.calls] == ["w.0", "x", "w.1"]


def test_what_is_written_to_another_device_is_not_the_workloads():
    other = Disk(name="sdb", kind="ssd")
    machine = msgspec.structs.replace(
        MACHINE, disks=(*MACHINE.disks, other), more_filesystems=(Filesystem(name="log", kind="ext4", disk="sdb"),)
    )
    scenario = Scenario(
        name="two", machine=machine, design="linux-6.1", settings=LIMITS,
        files=(File(name="a", size_bytes=16 * MIB), File(name="b", size_bytes=16 * MIB, filesystem="log")),
        tasks=tuple(Task(name=n, file=(i,), rw="write", bs_bytes=65536, io_bytes=16 * MIB) for i, n in enumerate("ab")),
    )  # fmt: skip
    ran = run(scenario)

    assert [calls.name for calls in ran.evidence.calls] == ["a"]
    assert not any(name.startswith("write_mb_s.") for name in measured(ran.evidence))
