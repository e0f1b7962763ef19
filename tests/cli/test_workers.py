# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs in processes of their own: the same figures, every ending quiet, a death told by name."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pageout.cli import bars, workers
from pageout.cli.workers import Order, simulate_all
from pageout.jit import INTERPRETED
from pageout.vocabulary.errors import PageoutError, ScenarioError, WorkerError
from tests.cli.test_end_to_end import environment, pageout
from tests.cli.test_terminal import screened
from tests.machine.test_parity import scenarios

pytestmark = pytest.mark.skipif(INTERPRETED, reason="whole runs: compiled only")

JOB = "[w]\nrw=randwrite\nbs=4k\nsize=4m\nfsync=256\n[r]\nrw=read\nsize=4m\n"
LONG = "[w]\nrw=randwrite\nsize=4g\nbs=4k\nnorandommap=1\ntime_based=1\nruntime=10h\n"
OPTIONS: dict[str, Any] = {"events": "decisions", "check": 0, "power_cut_ns": None}
NOT_SHARED = ("wall_seconds",)  # what no two runs share


class Quiet:
    """A watcher that only remembers."""

    def __init__(self) -> None:
        self.ended: list[int] = []
        self.begun: list[int] = []

    def started(self, number: int) -> None:
        self.begun.append(number)

    def note(self, number: int, unit: str) -> None:
        pass

    def progress(self, number: int, fraction: float, text: str) -> None:
        assert 0 <= fraction <= 1

    def done(self, number: int) -> None:
        self.ended.append(number)


def orders(count: int = 3) -> list[Order]:
    return [Order(scenario, f"run {n}", None, OPTIONS) for n, scenario in enumerate(scenarios()[:count])]


def same(document: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name not in NOT_SHARED}


def test_side_by_side_gives_what_one_after_the_other_gives() -> None:
    from pageout.machine.simulate import simulate

    alone = [simulate(order.scenario) for order in orders()]
    watcher = Quiet()
    together = simulate_all(orders(), 2, watcher)
    assert [same(one.document()) for one in together] == [same(one.document()) for one in alone]
    assert [one.series for one in together] == [one.series for one in alone]
    assert [one.histograms for one in together] == [one.histograms for one in alone]
    assert sorted(watcher.begun) == sorted(watcher.ended) == [0, 1, 2]


def test_a_runs_own_error_comes_back_with_the_runs_name() -> None:
    broken = msgspec.structs.replace(scenarios()[0], design="no-such-design")
    with pytest.raises(ScenarioError, match=r"^run 1: .*no-such-design"):
        simulate_all([*orders(1), Order(broken, "run 1", None, OPTIONS)], 2, Quiet())


def test_a_fault_in_a_worker_names_the_run_and_the_place() -> None:
    odd = Order(scenarios()[0], "odd", None, OPTIONS | {"no_such_option": 1})
    with pytest.raises(WorkerError, match=r"^odd: TypeError: .*no_such_option.* at workers\.py:\d+") as caught:
        simulate_all([odd], 1, Quiet())
    assert "Traceback" in caught.value.__notes__[0]


def test_a_killed_worker_is_told_by_its_runs_name() -> None:
    class Killer(Quiet):
        def started(self, number: int) -> None:
            (child,) = workers.multiprocessing.active_children()
            os.kill(child.pid or 0, signal.SIGKILL)

    with pytest.raises(WorkerError, match=r"run 0: its process was killed by SIGKILL.*--jobs 1"):
        simulate_all(orders(1), 1, Killer())
    assert issubclass(WorkerError, PageoutError)
    assert workers.multiprocessing.active_children() == []


def test_compare_gives_the_same_figures_however_many_processes(tmp_path: Path) -> None:
    (tmp_path / "job.fio").write_text(JOB)
    words = ("compare", "job.fio", "--designs", "all", "--json", "--seeds", "2", "--set", "vm.dirty_bytes=1M")
    one = pageout(tmp_path, *words, "--jobs", "1", "--csv", "one.csv")
    two = pageout(tmp_path, *words, "--jobs", "2", "--csv", "two.csv", "--trace", "t.txt", "--report", "r.html")
    assert (one.returncode, two.returncode) == (0, 0), one.stderr + two.stderr
    runs = [[same(run) for run in json.loads(done.stdout)["runs"]] for done in (one, two)]
    assert runs[0] == runs[1]
    assert (tmp_path / "one.csv").read_text() == (tmp_path / "two.csv").read_text()
    rows = list(csv.DictReader((tmp_path / "one.csv").open()))
    assert [row["digest"] for row in rows] == [run["digest"] for run in runs[0]]
    assert [row["seek_count"] for row in rows] == [str(run["metrics"]["seek_count"]) for run in runs[0]]
    assert rows[0]["fork_stall_p99_us"] == ""
    assert rows[0]["seed"] != rows[1]["seed"]
    assert len(list(tmp_path.glob("t.*.seed-*.txt"))) == len(rows)
    assert (tmp_path / "r.html").read_text().endswith("</html>\n")


@pytest.mark.parametrize("after", [0.1, 0.3, 2.0, 8.0])
def test_ctrl_c_ends_all_processes_quietly_at_any_time(after: float, tmp_path: Path) -> None:
    (tmp_path / "long.fio").write_text(LONG)
    words = ["compare", "long.fio", "--designs", "all", "--jobs", "2", "--report", "r.html"]
    code = f"import sys; sys.argv[1:] = {words!r}; from pageout.__main__ import entry; print('up', flush=True); entry()"
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment(), stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, start_new_session=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"  # what Python itself does before is not ours
        time.sleep(after)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to every process of the group
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert out == ""
    assert "Traceback" not in err
    assert [path.name for path in tmp_path.iterdir()] == ["long.fio"]
    assert _group_is_gone(process.pid)


def _group_is_gone(group: int) -> bool:
    for _ in range(200):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


def test_a_trace_may_go_to_standard_output(tmp_path: Path) -> None:
    (tmp_path / "job.fio").write_text(JOB)
    done = pageout(tmp_path, "run", "job.fio", "--trace", "/dev/stdout")
    assert done.returncode == 0, done.stderr
    trace, _, table = done.stdout.partition("\nworkload")
    assert trace.startswith("# tracer: nop")
    assert "figures" in table


def test_each_running_design_has_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = screened(monkeypatch)
    monkeypatch.setattr(bars, "PATIENCE_S", 0.0)
    with bars.Bars(["first", "second\x1b[2J", "third"]) as shown:
        shown.started(0)
        shown.note(0, "mm")
        shown.started(1)
        shown.progress(0, 0.25, "3.0 s simulated")
        shown.progress(1, 0.75, "9.0 s simulated")
        assert shown._screen is not None
        shown._screen.refresh()
        shown.done(1)
        shown._screen.refresh()
    text = screen.getvalue()
    for word in ("first", "second\\x1b[2J", "3.0 s simulated", "75%", "1 of 3 done"):
        assert word in text, word
    assert "third" not in text


def test_runs_that_end_soon_show_no_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = screened(monkeypatch)
    with bars.Bars(["first"]) as shown:
        shown.started(0)
        shown.progress(0, 0.5, "x")
        shown.done(0)
    assert screen.getvalue() == ""
    assert sys.stderr is screen
