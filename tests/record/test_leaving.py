# SPDX-License-Identifier: GPL-2.0-or-later
"""However a recording ends, the machine is as it was within a second. Real ones, as root."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pageout.record import tenancy, tracefs
from tests.record.machine import Recorder, a_second, alone, has_left_nothing, wait_for

SLEEPER = ["--", "sh", "-c", "sleep 30; true"]


@pytest.fixture
def was_mounted() -> Iterator[bool]:
    with alone():
        tenancy_was = tracefs.mounted_at() is not None
        yield tenancy_was


def test_a_recording_that_ends_leaves_nothing_but_its_bundle(was_mounted: bool, tmp_path: Path) -> None:
    recorder = Recorder(["-o", "b", "--", "true"], tmp_path)

    status, _, error = recorder.finish()

    assert (status, [path.name for path in tmp_path.iterdir()]) == (0, ["b"]), error
    assert has_left_nothing(recorder.pid, was_mounted, tmp_path)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_command_and_recording_and_the_bundle_is_written(
    number: signal.Signals, was_mounted: bool, tmp_path: Path
) -> None:
    recorder = Recorder(["-o", "b", *SLEEPER], tmp_path)
    recorder.wait_until_tracing()
    command = recorder.note().command

    os.kill(recorder.pid, number)

    assert wait_for(lambda: not recorder.is_tracing(), a_second())
    assert recorder.finish()[0] == 0
    assert has_left_nothing(recorder.pid, was_mounted, tmp_path)
    assert {"meta.json", "manifest.json", "trace.dat"} <= {path.name for path in (tmp_path / "b").iterdir()}
    assert not tenancy.started(command)


def test_a_command_that_does_not_heed_signals_is_not_waited_for_with_tracing_on(
    was_mounted: bool, tmp_path: Path
) -> None:
    recorder = Recorder(["-o", "b", "--", "sh", "-c", "trap '' INT; sleep 3; sleep 1"], tmp_path)
    recorder.wait_until_tracing()

    os.kill(recorder.pid, signal.SIGINT)

    place = f"instances/{tracefs.PREFIX}{recorder.pid}"
    assert wait_for(lambda: (root := tracefs.mounted_at()) is None or not (root / place).exists(), a_second())
    assert recorder.finish()[0] == 0
    assert (tmp_path / "b" / "meta.json").exists()


def test_a_killed_recorder_is_cleaned_up_after_within_a_second(was_mounted: bool, tmp_path: Path) -> None:
    recorder = Recorder(["-o", "b", *SLEEPER], tmp_path)
    recorder.wait_until_tracing()
    note = recorder.note()

    recorder.kill()

    assert wait_for(lambda: has_left_nothing(recorder.pid, was_mounted, tmp_path), a_second())
    assert wait_for(lambda: not tenancy.started(note.command) and not tenancy.started(note.watchdog), a_second())
    assert not list(tmp_path.iterdir())
    recorder.finish()


def test_a_killed_recorder_takes_a_deaf_command_with_it(was_mounted: bool, tmp_path: Path) -> None:
    recorder = Recorder(["-o", "b", "--", "sh", "-c", "trap '' TERM HUP; while :; do sleep 1; done"], tmp_path)
    recorder.wait_until_tracing()
    command = recorder.note().command

    recorder.kill()

    assert wait_for(lambda: has_left_nothing(recorder.pid, was_mounted, tmp_path), a_second())
    assert wait_for(lambda: not tenancy.started(command), a_second())
    recorder.finish()


def test_when_the_watchdog_was_killed_too_the_next_recording_cleans_up(was_mounted: bool, tmp_path: Path) -> None:
    recorder = Recorder(["-o", "b", *SLEEPER], tmp_path)
    recorder.wait_until_tracing()
    note = recorder.note()
    os.kill(note.watchdog, signal.SIGKILL)
    recorder.kill()
    recorder.process.wait()
    os.killpg(note.command, signal.SIGKILL)
    recorder.finish()
    assert not has_left_nothing(recorder.pid, was_mounted, tmp_path)

    following = Recorder(["-o", "c", "--", "true"], tmp_path)

    assert following.finish()[0] == 0
    assert has_left_nothing(recorder.pid, was_mounted, tmp_path)
    assert has_left_nothing(following.pid, was_mounted, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["c"]


def test_a_watchdog_that_is_killed_alone_is_not_missed(was_mounted: bool, tmp_path: Path) -> None:
    recorder = Recorder(["-o", "b", "--", "sleep", "1"], tmp_path)
    recorder.wait_until_tracing()
    os.kill(recorder.note().watchdog, signal.SIGKILL)

    assert recorder.finish()[0] == 0
    assert has_left_nothing(recorder.pid, was_mounted, tmp_path)


def test_an_instance_nobody_has_a_note_of_is_removed(was_mounted: bool, tmp_path: Path) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    recorder = Recorder(["-o", "b", *SLEEPER], tmp_path)
    recorder.wait_until_tracing()
    place = tracefs.mounted_at()
    assert place is not None
    stray = place / "instances" / f"{tracefs.PREFIX}{gone.pid}"
    others = place / "instances" / "somebody-elses"
    stray.mkdir()
    others.mkdir()

    try:
        following = Recorder(["-o", "c", "--", "true"], tmp_path)
        assert following.finish()[0] == 0
        assert not stray.exists()
        assert others.exists()
    finally:
        others.rmdir()
        os.kill(recorder.pid, signal.SIGINT)
        recorder.finish()


def test_of_two_recorders_the_last_one_unmounts(was_mounted: bool, tmp_path: Path) -> None:
    first, second = Recorder(["-o", "b", *SLEEPER], tmp_path), Recorder(["-o", "c", *SLEEPER], tmp_path)
    first.wait_until_tracing()
    second.wait_until_tracing()

    os.kill(first.pid, signal.SIGINT)
    first.finish()

    assert second.is_tracing()
    os.kill(second.pid, signal.SIGINT)
    second.finish()
    assert has_left_nothing(second.pid, was_mounted, tmp_path)


def test_a_mount_somebody_else_made_stays(was_mounted: bool, tmp_path: Path) -> None:
    place = tracefs.mounted_at() or tracefs.mount()
    try:
        assert Recorder(["-o", "b", "--", "true"], tmp_path).finish()[0] == 0
        assert tracefs.mounted_at() == place
    finally:
        if not was_mounted:
            assert tracefs.unmount(place)


def test_a_full_disk_ends_the_recording_and_what_there_is_is_kept(was_mounted: bool, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=9m", "tmpfs", str(small)])
    if done.returncode:
        pytest.skip("nothing can be mounted here")
    busy = f"for n in $(seq 60); do dd if=/dev/zero of={tmp_path}/x bs=64k count=1600 status=none; done"
    try:
        recorder = Recorder(["-o", "b", "--events", "full", "--", "sh", "-c", busy], small)
        status, out, error = recorder.finish(120)
        assert (status, out.startswith("recorded")) == (0, True), error
        assert "the disk is full" in error
        assert has_left_nothing(recorder.pid, was_mounted, small)
        assert {"meta.json", "manifest.json", "trace.dat", "samples.csv"} <= {
            path.name for path in (small / "b").iterdir()
        }
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_somebody_reading_our_instance_costs_no_more_than_a_line(was_mounted: bool, tmp_path: Path) -> None:
    if shutil.which("cat") is None:
        pytest.skip("no cat here")
    recorder = Recorder(["-o", "b", "--", "sleep", "1"], tmp_path)
    recorder.wait_until_tracing()
    place = tracefs.mounted_at()
    assert place is not None
    instance = place / "instances" / f"{tracefs.PREFIX}{recorder.pid}"
    with (instance / "trace_pipe").open("rb"):
        status, _, error = recorder.finish()

    assert (status, "is still in use" in error) == (0, True), error
    following = Recorder(["-o", "c", "--", "true"], tmp_path)
    assert following.finish()[0] == 0
    assert has_left_nothing(recorder.pid, was_mounted, tmp_path)
