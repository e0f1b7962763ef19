# SPDX-License-Identifier: GPL-2.0-or-later
"""A short fio run on a throttled device, recorded on this machine's own kernel: all there, on one clock, attainable."""

import csv
import dataclasses
import hashlib
import json
import re
import shutil
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pageout.cli.app import main
from pageout.events.tables import Events
from pageout.jit import INTERPRETED
from pageout.readers.read import read_input
from pageout.validate.oracle import judge_throttling, settings_of
from tests.record.machine import Recorder, alone, run, throttled_disk

JOB = """[global]
directory={mount}
ioengine=psync
end_fsync=1
[w]
rw=write
bs=64k
size=160m
"""
RATE = 40_000_000
LIMITS = {"dirty_bytes": 64 << 20, "dirty_background_bytes": 16 << 20}
PER_CPU = 64 * 4  # pages by which the sums of a counter may be behind it, on each CPU (Linux vm_stat_threshold: <= 125)


@dataclass
class Bundle:
    """What was recorded."""

    folder: Path
    meta: dict[str, Any]
    samples: list[dict[str, float]]
    events: Events
    device: str
    said: str


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bundle]:
    if shutil.which("fio") is None:
        pytest.skip("no fio here")
    folder = tmp_path_factory.mktemp("record")
    with alone(), throttled_disk(folder, RATE) as disk, dirty_limits():
        job = folder / "w.fio"
        job.write_text(JOB.format(mount=disk.mount))
        recorder = Recorder(["-o", "b", "--", "fio", "--output-format=json+", str(job)], folder)
        status, out, error = recorder.finish(120)
        assert status == 0, error
        place = folder / "b"
        meta = json.loads((place / "meta.json").read_text())
        with (place / "samples.csv").open() as file:
            samples = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
        events = read_input(str(place / "trace.dat")).events
        assert events is not None
        yield Bundle(place, meta, samples, events, disk.number, out)


class dirty_limits:  # noqa: N801  used as a function
    """Set the dirty limits low enough for a small disk, and back."""

    def __enter__(self) -> None:
        names = (*LIMITS, "dirty_ratio", "dirty_background_ratio")
        self.were = {name: Path(f"/proc/sys/vm/{name}").read_text() for name in names}
        for name, value in LIMITS.items():
            Path(f"/proc/sys/vm/{name}").write_text(str(value))

    def __exit__(self, *_: object) -> None:
        for name, value in self.were.items():
            if value.strip() != "0":
                Path(f"/proc/sys/vm/{name}").write_text(value)


def test_every_file_is_as_the_manifest_says(bundle: Bundle) -> None:
    manifest = json.loads((bundle.folder / "manifest.json").read_text())

    found = {
        path.name: {"bytes": path.stat().st_size, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
        for path in bundle.folder.iterdir()
        if path.name != "manifest.json"
    }

    assert (manifest["bundle"], manifest["files"]) == (1, found)
    assert {
        "trace.dat",
        "samples.csv",
        "tasks.csv",
        "meta.json",
        "job.fio",
        "fio.json",
        "vmstat.before",
        "sysctls",
    } <= set(found)


def test_nothing_was_lost_and_the_decisions_are_there(bundle: Bundle) -> None:
    nr = {
        name: len(bundle.events.frame(name))
        for name in ("balance_dirty_pages", "writeback_written", "block_rq_complete")
    }

    assert (bundle.meta["events"]["lost"], bundle.events.lost) == (0, 0)
    assert len(bundle.events) == bundle.meta["events"]["recorded"]
    assert all(nr.values()), nr
    assert bundle.meta["events"]["missing"] == []


def test_the_arithmetic_of_throttling_could_have_printed_every_number(bundle: Bundle) -> None:
    meta = bundle.meta
    sysctls = {name.removeprefix("vm."): value for name, value in meta["sysctl"].items() if isinstance(value, int)}
    assert {name: sysctls[name] for name in LIMITS} == LIMITS
    assert meta["hz"]

    strict = frozenset(device for device, noted in meta["devices"].items() if noted.get("strict_limit"))
    settings = dataclasses.replace(settings_of(meta["kernel"], meta["hz"], sysctls), strict_devices=strict)

    judged = judge_throttling(bundle.events, settings)

    wrong = {kind: one.unattainable for kind, one in judged.items() if one.unattainable}
    assert sum(one.judged for one in judged.values()) > 100
    assert not wrong


def test_the_recorder_itself_is_not_in_the_trace(bundle: Bundle) -> None:
    ours = bundle.meta["recorder_pids"]

    for name in bundle.events.frames:
        if not name.startswith("block_"):
            assert bundle.events.frame(name).filter(pl.col("pid").is_in(ours)).is_empty(), name


def test_samples_and_events_share_a_clock(bundle: Bundle) -> None:
    times = [row["t_s"] for row in bundle.samples]
    state = bundle.events.frame("global_dirty_state").sort("time_ns")
    event_times = (state["time_ns"] / 1e9).to_list()
    dirtied = state["dirtied"].to_list()
    slack = PER_CPU * bundle.meta["cpus"]

    assert times == sorted(set(times))
    assert times[0] <= bundle.meta["start_s"] <= bundle.meta["end_s"] <= times[-1]
    assert times[0] - 0.5 <= event_times[0] <= event_times[-1] <= times[-1] + 0.5
    compared = 0
    for row in bundle.samples:
        before, after = bisect_right(event_times, row["t_s"]) - 1, bisect_left(event_times, row["t_s"])
        if before >= 0 and after < len(event_times):
            assert dirtied[before] - slack <= row["nr_dirtied"] <= dirtied[after] + slack, row["t_s"]
            compared += 1
    assert compared > 10


def test_samples_come_ten_times_a_second(bundle: Bundle) -> None:
    seconds = bundle.samples[-1]["t_s"] - bundle.samples[0]["t_s"]

    assert len(bundle.samples) == bundle.meta["samples"]["count"]
    assert len(bundle.samples) > 2 * seconds  # a fifth of them, on a machine that does other things too


def test_the_device_is_found_with_its_limit_and_its_queue(bundle: Bundle) -> None:
    meta = bundle.meta
    device = meta["devices"][meta["dev"]]

    assert meta["dev"] == bundle.device
    assert device["limits"]["wbps"] == RATE
    assert {"scheduler", "nr_requests", "max_sectors_kb", "read_ahead_kb", "min_ratio", "max_ratio"} <= device.keys()
    assert any(mount["dev"] == bundle.device and mount["type"] == "ext4" for mount in meta["mounts"])


def test_what_fio_said_and_was_told_is_kept(bundle: Bundle) -> None:
    said = json.loads((bundle.folder / "fio.json").read_text())

    assert said["jobs"][0]["write"]["io_bytes"] == 160 << 20
    assert "size=160m" in (bundle.folder / "job.fio").read_text()
    assert (bundle.meta["rc"], bundle.meta["command"][0]) == (0, "fio")


def test_each_task_of_the_command_is_sampled(bundle: Bundle) -> None:
    with (bundle.folder / "tasks.csv").open() as file:
        rows = list(csv.DictReader(file))

    writer = max(rows, key=lambda row: int(row["write_bytes"]))
    assert writer["comm"] == "fio"
    assert int(writer["write_bytes"]) > 80 << 20
    assert bundle.meta["command_io"]["write_bytes"] >= 160 << 20


def test_the_end_says_what_was_recorded(bundle: Bundle) -> None:
    assert re.search(r"(?m)^recorded \d+\.\d s in b: [\d,]+ events, 0 lost, \d+ samples, ", bundle.said)


def test_trace_cmd_reads_as_many_events(bundle: Bundle) -> None:
    if shutil.which("trace-cmd") is None:
        pytest.skip("no trace-cmd here")

    printed = run("trace-cmd", "report", "-i", str(bundle.folder / "trace.dat")).splitlines()

    assert len([line for line in printed if re.search(r"\[\d{3}\]", line)]) == len(bundle.events)


@pytest.mark.skipif(INTERPRETED, reason="simulates seconds of a machine: interpreted, that takes minutes")
def test_every_figure_is_measured_and_predicted(bundle: Bundle, capsys: pytest.CaptureFixture[str]) -> None:
    """How near they are is this machine's and this moment's: reported, not asserted."""
    status = main(["validate", str(bundle.folder), "--json"])
    said = capsys.readouterr()
    (found,) = json.loads(said.out)["bundles"]
    figures = {row["name"]: row for row in found["figures"]}

    assert status in (0, 1), said.err
    assert found["box"] == "white"
    for name in ("write_mb_s", "plateau_mib", "throttle_s", "throttle_count", "pause_mean_ms", "pause_p50_ms",
                 "pause_p90_ms", "write_requests", "mean_write_kib", "write_p99_us"):  # fmt: skip
        assert figures[name]["measured"] is not None, name
        assert figures[name]["predicted"] is not None, name
        assert figures[name]["error"] is not None, name
    print({name: row["error"] for name, row in figures.items() if row["within"] is not None})  # noqa: T201  pytest -s
