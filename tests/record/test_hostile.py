# SPDX-License-Identifier: GPL-2.0-or-later
"""Machines that do not let themselves be recorded, or not all of it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pageout.readers.read import read_input
from pageout.record import drain, sets, tracefs
from pageout.record.recorder import Request, record
from pageout.vocabulary.errors import RecordError
from tests.conftest import ROOT
from tests.record.machine import alone, notes


def in_another_world(before: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a recording among mounts of its own, changed by some commands."""
    if os.geteuid() or shutil.which("unshare") is None:
        pytest.skip("mounts of one's own need root and unshare")
    if subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode:
        pytest.skip("no mount namespace can be made here")
    text = f'set -e\n{before}\nexec "$@"'
    command = [sys.executable, "-m", "pageout", "record", "-o", "b", "--", "true"]
    return subprocess.run(
        ["unshare", "-m", "sh", "-c", text, "sh", *command],
        cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT / "src")}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip


READ_ONLY = """
[ -d /sys/kernel/tracing/instances ] || mount -t tracefs nodev /sys/kernel/tracing
mount -o remount,bind,ro /sys/kernel/tracing
"""


@pytest.mark.parametrize(
    ("before", "said"),
    [
        ("umount /sys/kernel/tracing 2>/dev/null || :; mount -t tmpfs none /sys/kernel", "without tracing"),
        (READ_ONLY, "read-only"),
        ("mount -t tmpfs -o ro none /run", "cannot be written"),
    ],
)
def test_each_refusal_is_one_line_and_leaves_nothing(before: str, said: str, tmp_path: Path) -> None:
    with alone():
        was_mounted, were = tracefs.mounted_at() is not None, notes()

        done = in_another_world(before, tmp_path)

        assert (done.returncode, done.stdout) == (2, "")
        assert said in done.stderr
        assert len(done.stderr.splitlines()) == 1
        assert not list(tmp_path.iterdir())
        assert notes() <= were
        assert (tracefs.mounted_at() is not None) == was_mounted


def test_what_was_lost_is_counted_and_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sets.BYTES_A_SECOND, "full", 1000)
    monkeypatch.setattr(drain, "EVERY_S", 30.0)
    busy = ["dd", "if=/dev/zero", f"of={tmp_path / 'x'}", "bs=4k", "count=20000"]
    with alone():
        outcome = record(Request(tmp_path / "b", busy, events="full"), lambda *_: None)

    lost = outcome.meta["events"]["lost"]
    assert lost > 1000
    assert any(f"{lost:,} events were lost" in warning for warning in outcome.warnings)
    found = read_input(str(tmp_path / "b" / "trace.dat"))
    assert found.events is not None
    assert found.events.lost is None or found.events.lost > 0


def test_a_kernel_without_the_newer_events_is_recorded_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sets.SETS, "light", ("writeback:global_dirty_state", "vmscan:mm_vmscan_of_tomorrow"))
    with alone():
        outcome = record(Request(tmp_path / "b", ["true"]), lambda *_: None)

    assert outcome.meta["events"]["missing"] == ["vmscan:mm_vmscan_of_tomorrow"]
    assert any("mm_vmscan_of_tomorrow" in warning for warning in outcome.warnings)


def test_a_file_system_that_cannot_splice_is_written_to_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.splice

    def splice(source: int, target: int, count: int, **more: int) -> int:
        if not more:
            raise OSError(22, "Invalid argument")
        return real(source, target, count, **more)

    monkeypatch.setattr(os, "splice", splice)
    busy = ["dd", "if=/dev/zero", f"of={tmp_path / 'x'}", "bs=4k", "count=20000"]
    with alone():
        outcome = record(Request(tmp_path / "b", busy, events="full"), lambda *_: None)

    found = read_input(str(tmp_path / "b" / "trace.dat"))
    assert found.events is not None
    assert len(found.events) == outcome.meta["events"]["recorded"] > 20_000


def test_requests_of_other_disks_are_left_out_where_one_is_named(tmp_path: Path) -> None:
    with alone():
        busy = f"dd if=/dev/zero of={tmp_path / 'x'} bs=64k count=100 conv=fsync"
        outcome = record(Request(tmp_path / "b", ["sh", "-c", busy], device="99:99"), lambda *_: None)

    found = read_input(str(tmp_path / "b" / "trace.dat"))
    assert outcome.meta["dev"] == "99:99"
    assert found.events is not None
    assert found.events.frame("block_rq_complete").is_empty()


def test_a_command_that_cannot_be_executed_leaves_nothing(tmp_path: Path) -> None:
    program = tmp_path / "broken"
    program.write_bytes(b"\x7fELF no program")
    program.chmod(0o755)
    with alone():
        was_mounted, were = tracefs.mounted_at() is not None, notes()

        with pytest.raises(RecordError, match="cannot be executed"):
            record(Request(tmp_path / "b", [str(program)]), lambda *_: None)

        assert (tracefs.mounted_at() is not None) == was_mounted
        assert [path.name for path in tmp_path.iterdir()] == ["broken"]
        assert notes() <= were


def test_in_a_container_the_recorder_is_left_out_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracefs, "in_pid_namespace", lambda: True)
    busy = ["sh", "-c", f"dd if=/dev/zero of={tmp_path / 'x'} bs=64k count=1000; sleep 0.5"]
    with alone():
        outcome = record(Request(tmp_path / "b", busy), lambda *_: None)

    found = read_input(str(tmp_path / "b" / "trace.dat"))
    assert outcome.meta["events"]["refused"] == []
    assert found.events is not None
    states = found.events.frame("global_dirty_state")
    assert len(states) > 0
    assert states.filter(states["pid"].is_in(outcome.meta["recorder_pids"])).is_empty()
