# SPDX-License-Identifier: GPL-2.0-or-later
"""The command as people run it: real files in, real engine, in a process of its own."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from pageout.jit import INTERPRETED
from pageout.vocabulary.tracepoints import RWBS_WRITE
from tests.conftest import ROOT
from tests.readers.recordings import read_recording

pytestmark = pytest.mark.skipif(INTERPRETED, reason="whole runs: compiled only")

JOB = """
[global]
bs=64k
size=16m
[writer]
rw=write
end_fsync=1
[updater]
rw=randwrite
bs=4k
size=2m
fsync=64
"""
HOG = """
name = "crowded"
[machine]
memory = "32M"
[run]
length = "3s"
[[task]]
name = "hog"
kind = "hog"
anon = "64M"
rate = "60M"
"""
DOCUMENT = {  # design.md, section 5
    "pageout", "workload", "machine", "design", "kernel", "seed", "digest", "sim_seconds", "wall_seconds", "jobs",
    "metrics",
}  # fmt: skip
_METRICS = """
write_mb_s read_mb_s write_p50_us write_p99_us write_p999_us write_max_us dirty_mean_mib writeback_mean_mib
dirty_writeback_mean_mib dirty_max_mib data_at_risk_max_mib oldest_dirty_s rewrites_saved_pages throttle_count
throttle_s throttle_slept_s alloc_stall_count alloc_stall_s alloc_stall_p99_us scanned_direct reclaimed_direct
scanned_kswapd reclaimed_kswapd written_direct written_kswapd written_flusher written_writer write_requests
mean_write_kib seek_count seek_mean_mib device_busy_share stack_memory_mib fork_stall_p99_us stack_max_bytes
stack_overflows highorder_attempts highorder_failures oom_kills pages_lost
"""
METRICS = _METRICS.split()


def pageout(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a folder."""
    return subprocess.run(command(*words), env=environment(), cwd=folder, capture_output=True, text=True, timeout=300)


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "pageout", *words]


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT / "src")}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("cli")
    (found / "job.fio").write_text(JOB)
    (found / "hog.toml").write_text(HOG)
    return found


@pytest.fixture(scope="module")
def document(folder: Path) -> dict[str, Any]:
    """What `run --json` printed: one document and nothing else."""
    done = pageout(folder, "run", "job.fio", "--json", "--seed", "7", "--trace", "json-trace.txt")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_the_document_has_every_name_users_rely_on(document: dict[str, Any]) -> None:
    assert document.keys() >= DOCUMENT
    assert set(METRICS) <= document["metrics"].keys()
    assert document["workload"] == "job"
    assert document["design"] == "linux-2.6.34"
    assert document["kernel"] == "2.6.34"
    assert document["machine"] == "server-2g"
    assert document["seed"] == 7
    assert len(document["digest"]) == 64


def test_what_does_not_apply_is_null_and_what_applies_is_a_number(document: dict[str, Any]) -> None:
    metrics = document["metrics"]
    missing = {name for name in METRICS if metrics[name] is None}

    assert missing >= {"read_mb_s", "alloc_stall_p99_us", "stack_memory_mib", "fork_stall_p99_us"}
    assert metrics["oom_kills"] == metrics["pages_lost"] == metrics["stack_overflows"] == 0
    assert metrics["write_mb_s"] > 0
    assert all(isinstance(metrics[name], int | float) for name in METRICS if name not in missing)


def test_each_job_bears_the_same_names(document: dict[str, Any]) -> None:
    writer, updater = document["jobs"]

    assert [writer["name"], updater["name"]] == ["writer", "updater"]
    assert writer["write_mib"] == 16
    assert updater["write_mib"] == 2
    shared = set(writer) & set(METRICS)
    assert shared >= {"write_mb_s", "read_mb_s", "write_p50_us", "write_max_us", "throttle_count", "throttle_s"}
    assert writer["write_p50_us"] <= writer["write_p99_us"] <= writer["write_p999_us"] <= writer["write_max_us"]


def test_the_same_command_prints_the_same_figures_twice(document: dict[str, Any], folder: Path) -> None:
    again = json.loads(pageout(folder, "run", "job.fio", "--json", "--seed", "7", "--check").stdout)

    assert again["metrics"] == document["metrics"]
    assert again["jobs"] == document["jobs"]
    assert again["digest"] == document["digest"]


def test_the_trace_file_is_read_back_whole(document: dict[str, Any], folder: Path) -> None:
    recording = read_recording(folder / "json-trace.txt")

    assert recording.unread == []
    assert recording.other == []
    assert recording.nr_events() > 50
    assert len(recording.column("balance_dirty_wait")) == document["metrics"]["throttle_count"]
    done = recording.column("block_rq_complete")
    assert int((done["rwbs"] & RWBS_WRITE != 0).sum()) == document["metrics"]["write_requests"]
    assert "writer" in recording.comms.values()


def test_run_prints_a_table_for_people(folder: Path) -> None:
    done = pageout(folder, "run", "job.fio", "--set", "vm.dirty_bytes=8M", "--fail-on", "oom,overflow,lost")

    assert done.returncode == 0, done.stderr
    assert "pages_lost" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 100
    assert "next: pageout compare job.fio" in done.stderr


def test_what_a_power_cut_loses_is_found_by_fail_on(folder: Path) -> None:
    done = pageout(folder, "run", "job.fio", "--json", "--power-cut", "50ms", "--fail-on", "oom,lost")

    assert done.returncode == 1, done.stderr
    lost = json.loads(done.stdout)["metrics"]["pages_lost"]
    assert lost > 0
    assert f"lost ({lost:,} dirty pages lost)" in done.stderr


@pytest.mark.parametrize(("watched", "status"), [("oom", 1), ("lost", 0)])
def test_an_oom_kill_is_found_by_fail_on_only_if_asked(watched: str, status: int, folder: Path) -> None:
    done = pageout(folder, "run", "hog.toml", "--fail-on", watched)

    assert done.returncode == status, done.stderr
    assert ("oom (1 tasks killed" in done.stderr) == bool(status)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "nowhere.fio"], "nowhere.fio"),
        (["run", "job.fio", "--set", "vm.dirty_byte=1M"], "did you mean vm.dirty_bytes"),
        (["run", "job.fio", "--set", "vm.min_free_kbytes=1600000"], "kswapd could never rest"),
        (["run", "job.fio", "--set", "machine.memory=4T"], "this run needs"),
        (["run", "broken.fio"], "broken.fio:3"),
        (["run", "direct.fio"], "direct.fio:4"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(words: list[str], said: str, folder: Path) -> None:
    (folder / "broken.fio").write_text("[w]\nrw=write\nsize=lots\n")
    (folder / "direct.fio").write_text("[w]\nrw=write\nsize=1m\ndirect=1\n")

    done = pageout(folder, *words)

    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert said in done.stderr


def test_compare_runs_each_design_on_the_same_seed(folder: Path) -> None:
    done = pageout(folder, "compare", "job.fio", "--designs", "linux-2.6.34,flushers-only", "--json")

    assert done.returncode == 0, done.stderr
    runs = json.loads(done.stdout)["runs"]
    assert [run["design"] for run in runs] == ["linux-2.6.34", "flushers-only"]
    assert runs[0]["metrics"] == runs[1]["metrics"]  # no reclaim: the designs do not differ


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_in_the_middle_of_a_run_leaves_no_half_file(
    number: signal.Signals, status: int, tmp_path: Path
) -> None:
    (tmp_path / "long.fio").write_text("[w]\nrw=randwrite\nsize=4g\nbs=4k\nnorandommap=1\ntime_based=1\nruntime=10h\n")
    (tmp_path / "t.txt").write_text("an older trace\n")
    words = command("run", "long.fio", "--trace", "t.txt", "--events", "full")
    with subprocess.Popen(
        words, cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        _wait_for_a_growing_file(tmp_path, process)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)

    assert process.returncode == status, err
    assert out == ""
    assert "Traceback" not in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["long.fio", "t.txt"]
    assert (tmp_path / "t.txt").read_text() == "an older trace\n"


def _wait_for_a_growing_file(folder: Path, process: subprocess.Popen[str]) -> None:
    """Wait until the run is under way: events stand in the file beside the one asked for."""
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        if any(path.stat().st_size for path in folder.glob(".*.part*")):
            return
        time.sleep(0.05)
    process.kill()
    pytest.fail("the run never began")
