# SPDX-License-Identifier: GPL-2.0-or-later
"""However a command ends: one line, the right exit status, no half-written file, no traceback."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pageout.cli import app
from pageout.cli.app import main
from pageout.vocabulary.errors import InvariantError, TooLargeError
from tests.cli.fakes import FakeEngine
from tests.conftest import ROOT


def _raise(error: BaseException) -> Callable[[], None]:
    def during() -> None:
        raise error

    return during


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("rnu", "run"),
        ("run", "WORKLOAD"),
        ("run nowhere.fio", "nowhere.fio"),
        ("run notes.txt", "fio"),
        ("run x.fio y.fio", "y.fio"),
        ("demo --desings a", "--designs"),
        ("demo --designs flusher-only", "flushers-only"),
        ("demo --designs ,", "no name"),
        ("demo --seed x", "--seed"),
        ("demo --seed -1", "--seed"),
        ("demo --seed 99999999999999999999999", "--seed"),
        ("demo --events some", "decisions"),
        ("demo --power-cut soon", "--power-cut"),
        ("demo --power-cut 5", "--power-cut"),
        ("demo --set vm.dirty_byte=1", "vm.dirty_bytes"),
        ("demo --set nonsense", "nonsense"),
        ("demo --machine servr-2g", "server-2g"),
        ("demo --plot picture.jpg", ".svg"),
        ("demo --plot no/such/folder/p.svg", "no/such/folder"),
        ("demo --designs linux-2.6.34 --trace a.svg --plot a.svg", "too"),
        ("demo --designs linux-2.6.34 --trace .", "folder"),
        ("compare x.fio", "--designs"),
        ("demo --jobs 0", "--jobs"),
        ("demo --seeds 0", "--seeds"),
        ("demo --seeds 1000001", "--seeds"),
        ("demo --report no/such/folder/r.html", "no/such/folder"),
        ("demo --report a.html --csv a.html", "too"),
        ("run x.fio --fail-on ooms", "oom"),
    ],
)
def test_a_mistake_is_one_line_and_exit_2(
    line: str,
    said: str,
    engine: FakeEngine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(line.split()) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert said in err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (ValueError("\x1b[31mboom\nbang"), 70, "ValueError: \\x1b[31mboom\\nbang at "),
        (AssertionError(), 70, "please report"),
        (InvariantError("frame 12 is in two places"), 70, "frame 12"),
        (TooLargeError("needs 900 GiB"), 2, "needs 900 GiB"),
        (MemoryError(), 2, "memory"),
        (OSError(28, "No space left on device", "t.txt"), 2, "t.txt: No space left on device"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (app.Terminated(), 143, ""),
        (BrokenPipeError(), 141, ""),
    ],
)
def test_whatever_the_engine_raises_ends_in_a_line_and_leaves_old_files_alone(
    error: BaseException, status: int, said: str, engine: FakeEngine, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    trace = tmp_path / "t.txt"
    trace.write_text("an older trace")
    monkeypatch.setattr(app, "_drop_stdout", lambda: None)
    engine.during = _raise(error)
    assert main(["demo", "--designs", "linux-2.6.34", "--trace", str(trace)]) == status
    err = capsys.readouterr().err
    assert said in err
    assert "Traceback" not in err
    assert "\x1b" not in err
    assert trace.read_text() == "an older trace"
    assert [path.name for path in tmp_path.iterdir()] == ["t.txt"]


def test_a_traceback_is_there_for_those_who_ask(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PAGEOUT_DEBUG", "1")
    engine.during = _raise(ValueError("boom"))
    assert main(["demo"]) == 70
    assert "Traceback" in capsys.readouterr().err


def test_an_unwritable_file_is_refused_before_the_run(engine: FakeEngine, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--designs", "linux-2.6.34", "--trace", "/proc/pageout.txt"]) == 2
    assert "/proc/pageout.txt: cannot be written" in capsys.readouterr().err
    assert not engine.calls


def test_a_device_is_written_as_it_is(engine: FakeEngine) -> None:
    assert main(["demo", "--designs", "linux-2.6.34", "--trace", os.devnull]) == 0
    assert not Path(os.devnull).is_file()


def test_an_output_never_replaces_the_workload(
    engine: FakeEngine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = tmp_path / "job.toml"
    job.write_text('[[file]]\nname = "f"\nsize = "1M"\n[[task]]\nname = "w"\nfile = "f"\nrw = "write"\n')
    assert main(["run", str(job), "--trace", str(job)]) == 2
    assert "is the workload too" in capsys.readouterr().err
    assert job.read_text().startswith("[[file]]")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.sampled_from(["--set", "--seed", "--power-cut", "--designs", "--machine", "--events"]),
    st.text(max_size=20) | st.sampled_from(["vm.dirty_bytes=", "sda.write_bps=", "machine.cpus=", "5s", "=", "-1"]),
    st.text(max_size=8),
)
def test_any_words_end_in_a_status_and_at_most_one_line_of_complaint(
    engine: FakeEngine, capsys: pytest.CaptureFixture[str], option: str, first: str, second: str
) -> None:
    status = main(["demo", option, first + second])
    out, err = capsys.readouterr()
    assert status in (0, 2)
    assert (status == 0) == bool(out)
    assert status == 0 or err.count("\n") == 1
    assert "Traceback" not in err


_SLOW = """
import sys, time
sys.path[:0] = [{root!r}, {src!r}]
import pytest
from tests.cli import fakes
engine = fakes.installed(pytest.MonkeyPatch())
def during():
    print("running", file=sys.stderr, flush=True)
    time.sleep(30)
engine.during = during
sys.argv = ["pageout", "demo", "--designs", "linux-2.6.34", "--trace", "t.txt"]
from pageout.cli.app import entry
entry()
"""


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_leaves_no_half_file(number: signal.Signals, status: int, tmp_path: Path) -> None:
    code = _SLOW.format(root=str(ROOT), src=str(ROOT / "src"))
    with subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        seen = ""
        while "running" not in seen:
            seen = process.stderr.readline()
            assert seen, "it ended early"
        process.send_signal(number)
        err = process.stderr.read()
        assert process.wait(10) == status
    assert "Traceback" not in err
    assert not list(tmp_path.iterdir())


def test_help_brings_in_nothing_heavy() -> None:
    code = (
        "import sys, pageout.cli.app as app; app.main(['run', '--help']);"
        "heavy = {'numba', 'numpy', 'polars', 'altair', 'msgspec'} & set(sys.modules);"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    env = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_closed_pipe_is_no_error() -> None:
    env = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    shell = f"{sys.executable} -m pageout --help | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", shell], env=env, capture_output=True, text=True)
    assert done.stderr == ""
    assert done.stdout.strip() in ("0", "141")  # 0: all was written before the pipe closed


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nix"], 'Unknown command "nix". (pageout --help says what there is)'),
        (["demo", "nix"], "too many arguments: 'nix'. (pageout demo --help says what there is)"),
        (["validate"], "(pageout validate --help says what there is)"),
    ],
)
def test_a_wrong_command_line_is_one_line_that_names_the_help_to_read(words, said, capsys):
    assert main(words) == 2
    err = capsys.readouterr().err
    assert (err.count("\n"), said in err) == (1, True)
