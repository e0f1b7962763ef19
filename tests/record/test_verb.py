# SPDX-License-Identifier: GPL-2.0-or-later
"""What `pageout record` says: to who may not, to who mistypes, to a script."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from pageout.record import samples, tenancy, tracefs
from pageout.record.tracefs import Instance
from tests.conftest import ROOT
from tests.record.machine import Recorder, alone, notes

NOBODY = 65534


def record(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    env = os.environ | {"PYTHONPATH": str(ROOT / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [sys.executable, "-m", "pageout", "record", *arguments],
        cwd=cwd, env=env, capture_output=True, text=True, timeout=60,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "say what to run"),
        (["--events", "lite", "--", "true"], "--events lite: no such set, did you mean light?"),
        (["--duration", "0", "--", "true"], "--duration 0"),
        (["--duration", "nan"], "--duration nan"),
        (["--user", "x", "--duration", "1"], "--user goes with a command"),
        (["--device", "/dev/null", "--", "true"], "no block device"),
        (["--device", "nosuch", "--", "true"], "--device nosuch: No such file"),
        (["--device", "99:99", "--", "true"], "no disk of this machine"),
    ],
)
def test_a_mistake_is_one_line(arguments: list[str], said: str, tmp_path: Path) -> None:
    done = record(*arguments, cwd=tmp_path)

    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())


AS_NOBODY = """
import os, sys
from pageout.cli import app
import pageout.record.recorder, pageout.record.by_hand, shlex
if not os.geteuid():
    os.setuid(65534)
sys.exit(app.main(sys.argv[1:]))
"""


def as_nobody(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run the verb without root; what it needs is imported before, from where nobody may look."""
    env = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, "-c", AS_NOBODY, "record", *arguments]
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=60)


def test_without_root_it_says_so_in_one_line(tmp_path: Path) -> None:
    refused = as_nobody("--", "true", cwd=tmp_path)

    assert (refused.returncode, refused.stdout) == (2, "")
    assert "needs root" in refused.stderr
    assert "--print" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


def test_print_needs_no_root(tmp_path: Path) -> None:
    printed = as_nobody("--print", "--", "dd", "if=/dev/zero", cwd=tmp_path)

    assert (printed.returncode, printed.stdout[:9], printed.stderr) == (0, "#!/bin/sh", "")
    assert "dd if=/dev/zero" in printed.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-o", "there", "--", "true"], "nothing is overwritten"),
        (["-o", "no/b", "--", "true"], "no such folder"),
        (["--", "no-such-program-anywhere"], "command not found"),
        (["--user", "no-such-user", "--", "true"], "no such user"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_changed(arguments: list[str], said: str, tmp_path: Path) -> None:
    if os.geteuid():
        pytest.skip("recording needs root")
    (tmp_path / "there").mkdir()
    with alone():
        were = notes()
        done = record(*arguments, cwd=tmp_path)
        assert notes() <= were

    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


def test_a_script_gets_one_document_and_the_output_of_the_command_is_not_in_it(tmp_path: Path) -> None:
    with alone():
        status, out, error = Recorder(
            ["--json", "-o", "b.zip", "--", "sh", "-c", "echo hello; echo there >&2; exit 3"], tmp_path
        ).finish()

    found = json.loads(out)
    assert (status, found["rc"], found["ended_by"], found["events"]["lost"]) == (0, 3, "command", 0)
    assert "hello" in error
    assert any("status 3" in warning for warning in found["warnings"])
    with zipfile.ZipFile(tmp_path / "b.zip") as archive:
        assert archive.read("stdout") == b"hello\n"
        assert archive.read("stderr") == b"there\n"
        assert json.loads(archive.read("meta.json"))["rc"] == 3


def test_the_whole_machine_is_recorded_for_so_long(tmp_path: Path) -> None:
    with alone():
        status, out, _ = Recorder(["--json", "-o", "b", "--duration", "0.5", "--events", "full"], tmp_path).finish()

    found = json.loads(out)
    assert (status, found["ended_by"], found["rc"]) == (0, "duration", None)
    assert 0.5 <= found["seconds"] < 5
    assert "writeback/wbc_writepage" in found["events"]["names"]
    assert not (tmp_path / "b" / "tasks.csv").exists()


def test_a_command_that_takes_longer_is_told_to_end(tmp_path: Path) -> None:
    with alone():
        status, out, _ = Recorder(["--json", "-o", "b", "--duration", "0.5", "--", "sleep", "30"], tmp_path).finish()

    found = json.loads(out)
    assert (status, found["ended_by"], found["rc"]) == (0, "duration", -2)


def test_what_sudo_recorded_belongs_to_who_called_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_UID", str(NOBODY))
    monkeypatch.setenv("SUDO_GID", str(NOBODY))
    with alone():
        for name in ("b", "c.zip"):
            assert Recorder(["-o", name, "--user", str(NOBODY), "--", "id", "-u"], tmp_path).finish()[0] == 0

    owners = {path.stat().st_uid for path in (tmp_path / "b", *(tmp_path / "b").iterdir(), tmp_path / "c.zip")}
    assert owners == {NOBODY}
    assert (tmp_path / "b" / "stdout").read_text().strip() == str(NOBODY)


def test_another_clock_is_asked_of_the_instance() -> None:
    with alone():
        note = tenancy.Note(os.getpid(), tenancy.started(os.getpid()), f"{tracefs.PREFIX}{os.getpid()}")
        instance = Instance(tenancy.arrive(note), note.instance)
        try:
            instance.create()
            instance.write("trace_clock", "local")
            clock = samples.Clock("local", instance.path / "per_cpu/cpu0/stats")
            times = [clock() for _ in range(5)]
            assert 0 < times[0] <= times[1] <= times[4] < times[0] + 10**9
            clock.close()
        finally:
            tenancy.depart(note)


def test_a_proc_file_longer_than_a_read_is_sampled_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.pread
    monkeypatch.setattr(os, "pread", lambda file, count, at: real(file, min(count, 700), at))
    machine = samples.Machine(tmp_path, samples.Clock("mono", Path("/dev/null")))

    for _ in range(5):
        machine.take()
    machine.close()

    head, *rows = (tmp_path / "samples.csv").read_text().splitlines()
    assert len(rows) == machine.nr == 5
    assert {row.count(",") for row in (head, *rows)} == {head.count(",")}
    assert head.endswith("Committed_AS")


def test_buffers_shrink_to_what_there_is_and_a_read_only_instance_is_one_line(tmp_path: Path) -> None:
    with alone():
        note = tenancy.Note(os.getpid(), tenancy.started(os.getpid()), f"{tracefs.PREFIX}{os.getpid()}")
        instance = Instance(tenancy.arrive(note), note.instance)
        try:
            instance.create()
            nr = len(instance.cpus())
            assert 64 <= instance.set_buffers(1 << 20, 512 * nr) <= 520
            with pytest.raises(tracefs.RecordError, match="cannot be made"):
                instance.create()
        finally:
            tenancy.depart(note)
