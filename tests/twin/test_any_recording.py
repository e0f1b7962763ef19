# SPDX-License-Identifier: GPL-2.0-or-later
"""Whatever a recording lacks or has that the model has not: an answer that says so, or one clear line."""

import gzip
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pageout.cli.app import main
from pageout.jit import INTERPRETED
from pageout.twin.simulated import run
from pageout.vocabulary.scenario import Disk, Filesystem, Machine
from pageout.vocabulary.units import MIB
from pageout.workload.fio import read_fio
from tests.bundle.made import of_run

JOB = "[global]\nend_fsync=1\n[w]\nrw=write\nbs=64k\nsize=24m\n"
LIMITS = {
    "vm.dirty_ratio": 0, "vm.dirty_bytes": 8 * MIB, "vm.dirty_background_ratio": 0, "vm.dirty_background_bytes": 2 * MIB,
}  # fmt: skip
pytestmark = pytest.mark.skipif(INTERPRETED, reason="seconds of a machine, interpreted, take minutes")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("any")
    machine = Machine(
        name="small", memory_bytes=256 * MIB, filesystem=Filesystem(kind="ext4"), copy_mb_s=2000,
        disks=(Disk(kind="throttled", write_bps=20 * MIB, size_bytes=8 << 30, elevator="noop", queue_depth=32),),
    )  # fmt: skip
    scenario = read_fio("job.fio", JOB, machine, environ={})
    scenario = msgspec.structs.replace(scenario, design="linux-6.1", settings=LIMITS)
    return of_run(folder / "b", run(scenario, trace=folder / "t.txt"), folder / "t.txt", scenario, JOB)


@pytest.fixture
def folder(recorded: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(recorded, tmp_path / "b"))


def change(folder: Path, edit: Callable[[dict[str, Any]], Any]) -> None:
    meta = json.loads((folder / "meta.json").read_text())
    edit(meta)
    (folder / "meta.json").write_text(json.dumps(meta))


def keep_lines(folder: Path, keep: Callable[[str], bool]) -> None:
    text = gzip.decompress((folder / "trace.txt.gz").read_bytes()).decode().splitlines()
    kept = [line for line in text if line.startswith("#") or keep(line)]
    (folder / "trace.txt.gz").write_bytes(gzip.compress("\n".join([*kept, ""]).encode()))


def answer(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, Any], str]:
    """Return status, document and what stood on standard error; hold that it is an answer, or one clear line."""
    status = main([*words, "--json"])
    out, err = capsys.readouterr()
    told = [line for line in err.splitlines() if "warning:" not in line and "compiling" not in line]
    assert "a fault of pageout" not in err
    assert status in (0, 1, 2)
    assert len(told) == (status == 2), err
    return status, json.loads(out) if status != 2 else {}, err


def notes(document: dict[str, Any]) -> str:
    return "\n".join(document["bundles"][0]["notes"])


def figure(document: dict[str, Any], name: str) -> dict[str, Any]:
    return next(row for row in document["bundles"][0]["figures"] if row["name"] == name)


@pytest.mark.parametrize(
    ("kernel", "design"),
    [("5.10.0-28-amd64", "linux-6.1"), ("5.15.0-91-generic", "linux-6.1"), ("6.6.12", "linux-6.1"),
     ("6.8.0-31-generic", "linux-6.12"), ("6.14.1", "linux-6.18"), ("7.2.0", "linux-6.18"),
     ("3.10.0-1160.el7.x86_64", "linux-6.1"), ("2.6.32-754.el6", "linux-2.6.34"), (None, "linux-6.18")],
)  # fmt: skip
def test_which_design_stands_for_a_kernel_is_said(
    folder: Path, capsys: pytest.CaptureFixture[str], kernel: str | None, design: str
) -> None:
    change(folder, lambda meta: meta.update(kernel=kernel))
    _, document, _ = answer(capsys, "validate", str(folder))

    assert document["bundles"][0]["design"] == design
    said = f"kernel {kernel}: design {design}" if kernel else f"design {design}, the newest"
    assert said in notes(document)
    assert ("no reclaim_throttle" in notes(document)) == (design == "linux-6.1" and kernel != "6.6.12")
    assert ("EEVDF" in notes(document)) == (kernel == "6.6.12")


def test_a_task_that_syncs_after_so_many_calls_is_played_so(
    folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    task = {"op": "write", "file": "a", "size": 2 * MIB, "bs": 65536, "fsync_every": 7}
    change(folder, lambda meta: (meta["case"].pop("fio", None), meta["case"].update(tasks=[task])))
    (folder / "job.fio").unlink(missing_ok=True)
    answer(capsys, "replay", str(folder), "--scenario", str(tmp_path / "s.toml"))

    assert "\nfsync = 7\n" in (tmp_path / "s.toml").read_text()


def test_pages_that_cpus_keep_for_themselves_are_free_too(
    folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (folder / "samples.csv").unlink()
    (folder / "meminfo.before").write_text("MemTotal:  262144 kB\nMemFree:  100000 kB\n")
    taken = []
    for kept in (0, 2000):
        (folder / "zoneinfo.before").write_text(f"  pagesets\n    cpu: 0\n              count: {kept}\n")
        answer(capsys, "replay", str(folder), "--scenario", str(tmp_path / f"{kept}.toml"))
        text = (tmp_path / f"{kept}.toml").read_text()
        taken += [int(line.split("=")[1]) for line in text.splitlines() if line.startswith("taken")]

    assert taken[0] - taken[1] == 2000 * 4096


def test_a_kernel_of_its_own_design_needs_no_word(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, document, _ = answer(capsys, "validate", str(folder))

    assert "stands for it" not in notes(document)


WITHOUT = {
    "case": (),
    "case and job": ("job.fio",),
    "case and what fio said": ("fio.json",),
    "any word of the workload": ("fio.json", "job.fio"),
    "samples": ("samples.csv",),
}


@pytest.mark.parametrize("missing", WITHOUT)
@pytest.mark.parametrize("verb", ["validate", "replay"])
def test_what_is_missing_is_done_without(
    folder: Path, capsys: pytest.CaptureFixture[str], missing: str, verb: str
) -> None:
    if missing != "samples":
        change(folder, lambda meta: meta.pop("case"))
    for name in WITHOUT[missing]:
        (folder / name).unlink(missing_ok=True)
    status, document, err = answer(capsys, verb, str(folder))

    if missing == "samples":
        assert status == 2
        assert "nr_free_pages" in err
    elif verb == "validate" and "fio.json" not in WITHOUT[missing]:
        assert figure(document, "write_mb_s")["measured"] is not None


def test_a_machine_whose_free_memory_only_meminfo_tells_needs_no_samples(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "samples.csv").unlink()
    (folder / "meminfo.before").write_text("MemTotal:  262144 kB\nMemFree:  200000 kB\n")
    _, document, _ = answer(capsys, "validate", str(folder))

    assert all(row["measured"] is None for row in document["bundles"][0]["figures"] if row["unit"] == "MiB")


@pytest.mark.parametrize(
    "keep",
    [
        lambda line: "balance_dirty_pages" not in line,
        lambda line: " pause=0 " in line or "balance_dirty_pages" not in line,
        lambda line: "block_rq" not in line,
        lambda line: "global_dirty_state" not in line,
        lambda line: "balance_dirty_pages" in line,
        lambda line: "block_rq_complete" in line,
        lambda line: "writeback_" in line,
        lambda line: False,
    ],
    ids=["no checks", "no pauses", "no requests", "no states", "checks alone", "completions alone", "flusher alone",
         "nothing"],
)  # fmt: skip
@pytest.mark.parametrize("box", ["white", "black"])
def test_events_that_were_not_recorded_are_done_without(
    folder: Path, capsys: pytest.CaptureFixture[str], keep: Callable[[str], bool], box: str
) -> None:
    keep_lines(folder, keep)
    answer(capsys, "validate", str(folder), "--box", box)


@pytest.mark.parametrize("kind", ["xfs", "ext2", "ext3", "btrfs", "f2fs", "nfs4", "overlay", None])
def test_a_filesystem_the_model_has_not_has_one_that_stands_for_it(
    folder: Path, capsys: pytest.CaptureFixture[str], kind: str | None
) -> None:
    change(folder, lambda meta: meta["case"].pop("fs"))
    change(folder, lambda meta: meta.update(mounts=[{"source": "/dev/sda", "target": "/", "type": kind, "dev": "8:0"}]))
    _, document, _ = answer(capsys, "validate", str(folder))

    assert ("filesystem:" in notes(document)) == (kind not in ("xfs", "ext2", "ext3", "btrfs"))


@pytest.mark.parametrize(
    ("hz", "cpus"), [(100, 1), (300, 64), (1000, 1000), (10000, None), (None, 2), (300, None), (250, 16)]
)
def test_ticks_and_cpus_the_model_has_not_are_said(
    folder: Path, capsys: pytest.CaptureFixture[str], hz: int | None, cpus: int | None
) -> None:
    change(folder, lambda meta: meta.update(hz=hz, cpus=cpus))
    _, document, _ = answer(capsys, "validate", str(folder))

    assert ("timer ticks:" in notes(document)) == (hz in (300, 10000))
    assert ("CPUs:" in notes(document)) == (cpus in (1000, None))


@pytest.mark.parametrize(
    "sysctl",
    [{}, {"vm.dirty_ratio": 10, "vm.dirty_background_ratio": 5}, {"vm.dirty_bytes": 4 * MIB, "vm.dirty_ratio": 0},
     {"vm.dirty_ratio": "abc"}, {"vm.dirty_background_bytes": 1 << 50}, {"vm.dirty_bytes": 1}, {"vm.dirty_ratio": 400},
     {"vm.dirty_bytes": -1}, {"vm.dirty_background_ratio": 0, "vm.dirty_ratio": 0}, {"kernel.hostname": "x"},
     {"vm.min_free_kbytes": 10**9}, {"vm.dirty_writeback_centisecs": 0}, {"vm.dirty_expire_centisecs": 0},
     {"vm.swappiness": 200}, {"vm.watermark_scale_factor": 3000}],
    ids=str,
)  # fmt: skip
def test_any_settings_are_taken_or_left_out_with_a_word(
    folder: Path, capsys: pytest.CaptureFixture[str], sysctl: dict[str, Any]
) -> None:
    change(folder, lambda meta: meta.update(sysctl=sysctl))
    for box in ("white", "black"):
        answer(capsys, "validate", str(folder), "--box", box)


@pytest.mark.parametrize(
    ("dev", "limits"),
    [(None, None), ("7:0", {}), ("nonsense", {"wbps": 1 << 60}), ("8:0", {"rbps": 1000}), (None, {"wiops": 10_000}),
     ("7:0", {"wbps": 50 * MIB}), ("8:0", None)],
    ids=str,
)  # fmt: skip
def test_any_device_is_taken(
    folder: Path, capsys: pytest.CaptureFixture[str], dev: str | None, limits: dict[str, int] | None
) -> None:
    change(folder, lambda meta: meta["case"].pop("wbps"))
    change(folder, lambda meta: meta.update(dev=dev, devices={dev or "8:0": {"limits": limits, "nr_requests": 1}}))
    answer(capsys, "validate", str(folder))


PLAYED = {
    "mmap": "[w]\nrw=write\nioengine=mmap\nbs=4k\nsize=8m\n",
    "several sizes": "[a]\nrw=write\nbs=4k\nsize=4m\n[b]\nrw=write\nbs=1m\nsize=8m\n",
    "a rate": "[w]\nrw=write\nbs=64k\nsize=8m\nrate=10m\n",
    "fsync": "[w]\nrw=write\nbs=64k\nsize=8m\nfsync=16\n",
    "a reader too": "[r]\nrw=read\nbs=64k\nsize=8m\n[w]\nrw=write\nbs=64k\nsize=8m\n",
    "mixed": "[m]\nrw=randrw\nbs=4k\nsize=4m\n",
    "clones": "[w]\nrw=write\nbs=64k\nsize=4m\nnumjobs=3\n",
    "clones, reported together": "[w]\nrw=write\nbs=64k\nsize=4m\nnumjobs=3\ngroup_reporting\n",
    "libaio": "[w]\nrw=write\nbs=64k\nsize=8m\nioengine=libaio\niodepth=16\n",
    "a time": "[w]\nrw=write\nbs=64k\nsize=8m\ntime_based\nruntime=2\n",
}
NOT_PLAYED = {
    "direct": "[w]\nrw=write\nbs=64k\nsize=8m\ndirect=1\n",
    "percent": "[w]\nrw=write\nbs=64k\nsize=50%\n",
    "trim": "[w]\nrw=trim\nbs=64k\nsize=8m\n",
    "splice": "[w]\nrw=write\nbs=64k\nsize=8m\nioengine=splice\n",
    "sizes": "[w]\nrw=write\nbsrange=4k-64k\nsize=8m\n",
    "unknown": "[w]\nrw=write\nno_such_thing=1\nsize=8m\n",
    "empty": "",
}


@pytest.mark.parametrize("job", PLAYED.values(), ids=PLAYED)
def test_any_job_that_can_be_played_is(folder: Path, capsys: pytest.CaptureFixture[str], job: str) -> None:
    change(folder, lambda meta: meta["case"].update(fio=job))
    _, document, _ = answer(capsys, "validate", str(folder))

    assert document["bundles"][0]["box"] == "white"


@pytest.mark.parametrize("job", NOT_PLAYED.values(), ids=NOT_PLAYED)
def test_a_job_that_cannot_be_played_is_told_by_the_trace(
    folder: Path, capsys: pytest.CaptureFixture[str], job: str
) -> None:
    change(folder, lambda meta: meta["case"].update(fio=job))
    _, document, _ = answer(capsys, "validate", str(folder))

    assert document["bundles"][0]["box"] == "black"
    assert "cannot be played" in notes(document)
    assert answer(capsys, "validate", str(folder), "--box", "white")[0] == 2


def test_where_neither_box_can_the_job_is_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change(folder, lambda meta: meta["case"].update(fio=NOT_PLAYED["direct"]))
    keep_lines(folder, lambda line: "block_rq" in line)
    (folder / "samples.csv").write_text("t_s,nr_free_pages\n0.0,50000\n1.0,50000\n")
    status, _, err = answer(capsys, "validate", str(folder))

    assert status == 2
    assert "O_DIRECT" in err


@pytest.mark.parametrize("changed", [{"kernel": "5.15.0"}, {"hz": 1000}, {"cpus": 64}, {"sysctl": {"vm.dirty_ratio": 5}},
                                     {"dev": None}, {"sysctl": {}}], ids=str)  # fmt: skip
def test_from_one_to_any_other(
    recorded: Path, folder: Path, capsys: pytest.CaptureFixture[str], changed: dict[str, Any]
) -> None:
    change(folder, lambda meta: meta.update(changed))
    _, document, _ = answer(capsys, "validate", str(folder), "--from", str(recorded))

    assert document["bundles"][0]["box"] == "black"
