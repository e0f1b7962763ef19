# SPDX-License-Identifier: GPL-2.0-or-later
import json
from pathlib import Path
from typing import Any

import pytest

from pageout.cli.app import main
from pageout.cli.options import CHECK_EVERY
from tests.cli.fakes import SCENARIO, FakeEngine


@pytest.fixture
def storm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workload's file, read as the made-up scenario."""
    import msgspec

    from pageout.vocabulary.settings import apply_settings
    from pageout.workload import program

    def load(path: Path, machine: Any, design: Any, settings: Any, seed: Any) -> Any:
        changed = {name: value for name, value in (("design", design), ("seed", seed)) if value is not None}
        return apply_settings(msgspec.structs.replace(SCENARIO, **changed), settings)

    monkeypatch.setattr(program, "load_workload", load)
    monkeypatch.chdir(tmp_path)
    path = Path("storm.fio")
    path.write_text("[writer]\nrw=write\n")
    return path


def test_run_prints_tables_a_reading_and_what_to_type_next(
    engine: FakeEngine, storm: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "storm.fio", "--seed", "9", "--set", "vm.dirty_bytes=64M"]) == 0
    out, err = capsys.readouterr()
    assert "made-up: 2 GiB memory, 2 CPUs" in out
    assert "seed 9" in out
    assert "written_flusher" in out
    assert "flusher threads 90 %" in out
    assert max(map(len, out.splitlines())) <= 100
    assert "warning: storm.fio:3: iodepth_batch is not modelled" in err
    assert "next: pageout compare storm.fio --set vm.dirty_bytes=64M --seed 9 --designs all" in err
    assert engine.calls[0][0].settings["vm.dirty_bytes"] == 64 << 20


def test_options_reach_the_engine(engine: FakeEngine, storm: Path) -> None:
    options = ["--design", "flushers-only", "--events", "full", "--check", "--power-cut", "90s"]
    assert main(["run", "storm.fio", *options]) == 0
    scenario, given = engine.calls[0]
    assert scenario.design == "flushers-only"
    assert (given["events"], given["check"], given["power_cut_ns"], given["trace"]) == (
        "full",
        CHECK_EVERY,
        90 * 10**9,
        None,
    )


def test_without_check_the_machine_is_recounted_only_at_the_end(engine: FakeEngine, storm: Path) -> None:
    main(["run", "storm.fio"])
    assert engine.calls[0][1]["check"] == 0


def test_json_is_one_document_and_nothing_else(
    engine: FakeEngine, storm: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "storm.fio", "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["metrics"]["written_flusher"] == 180_000
    assert "next:" not in err
    assert main(["compare", "storm.fio", "--designs", "linux-2.6.34,flushers-only", "--json"]) == 0
    assert [run["design"] for run in json.loads(capsys.readouterr().out)["runs"]] == ["linux-2.6.34", "flushers-only"]
    assert main(["demo", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["runs"]) >= 4


def test_compare_marks_the_best_and_reads_the_designs_beside_the_first(
    engine: FakeEngine, storm: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    engine.figures["flushers-only"] = {"alloc_stall_s": 1.25}
    assert main(["compare", "storm.fio", "--designs", "linux-2.6.34,flushers-only"]) == 0
    out, err = capsys.readouterr()
    assert "1.25*" in out
    assert "flushers-only beside linux-2.6.34: time stalled" in out
    assert "next: pageout run storm.fio --design flushers-only --trace trace.txt" in err


def test_demo_plays_every_design_on_one_storm(engine: FakeEngine, capsys: pytest.CaptureFixture[str]) -> None:
    engine.figures["linux-2.6.34"] = {"oom_kills": 3}
    assert main(["demo", "--seed", "5"]) == 0
    designs = [scenario.design for scenario, _ in engine.calls]
    assert designs[0] == "linux-2.6.34"
    assert len(designs) == len(set(designs)) >= 4
    assert {scenario.seed for scenario, _ in engine.calls} == {5}
    assert "3 tasks killed by the OOM killer" in capsys.readouterr().out


def test_demo_plays_only_the_designs_asked_for(engine: FakeEngine) -> None:
    assert main(["demo", "--designs", "flushers-only"]) == 0
    assert [scenario.design for scenario, _ in engine.calls] == ["flushers-only"]


def test_one_design_alone_is_read_as_a_run_is(engine: FakeEngine, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--designs", "flushers-only"]) == 0
    reading = capsys.readouterr().out.partition("reading\n")[2]
    assert "flusher threads 90 %" in reading


def test_the_header_names_the_stack_of_the_design_not_of_the_machine(
    engine: FakeEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["demo", "--designs", "all", "--set", "stack.bytes=16K"]) == 0
    assert "16 KiB stacks" in capsys.readouterr().out


def test_each_seed_is_played_under_each_design(engine: FakeEngine, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--designs", "linux-2.6.34,flushers-only", "--seeds", "3", "--seed", "5"]) == 0
    assert [(one.design, one.seed) for one, _ in engine.calls] == [
        (design, seed) for design in ("linux-2.6.34", "flushers-only") for seed in (5, 6, 7)
    ]
    assert "3 seeds, 5 to 7" in capsys.readouterr().out


def test_a_workload_that_keeps_its_own_seed_cannot_have_several(
    engine: FakeEngine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = tmp_path / "j.fio"
    job.write_text("[w]\nrw=randwrite\nsize=1m\nrandseed=7\n")
    assert main(["compare", str(job), "--designs", "all", "--seeds", "2"]) == 2
    assert "randseed wins" in capsys.readouterr().err


def test_a_report_and_a_csv_are_written(engine: FakeEngine, storm: Path) -> None:
    words = ["compare", "storm.fio", "--designs", "linux-2.6.34,flushers-only", "--report", "r.html", "--csv", "c.csv"]
    assert main(words) == 0
    assert Path("r.html").read_text().startswith("<!DOCTYPE html>")
    lines = Path("c.csv").read_text().splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("workload,machine,design,kernel,seed,digest,ending,sim_seconds,write_mb_s")


def test_fail_on_exits_with_1_for_what_happened_and_only_then(
    engine: FakeEngine, storm: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "storm.fio", "--fail-on", "oom,overflow,lost"]) == 0
    engine.figures["linux-2.6.34"] = {"oom_kills": 2, "pages_lost": None}
    assert main(["run", "storm.fio", "--fail-on", "lost"]) == 0
    capsys.readouterr()
    assert main(["run", "storm.fio", "--fail-on", "oom,lost"]) == 1
    assert "oom (2 tasks killed by the OOM killer)" in capsys.readouterr().err


def test_proc_writes_the_kernels_files_into_a_folder(engine: FakeEngine, storm: Path) -> None:
    from pageout.cli.run import PROC_FILES, STACK_FILE

    for _ in range(2):  # a folder that is there already will do
        assert main(["run", "storm.fio", "--proc", "proc"]) == 0
    assert sorted(path.name for path in Path("proc").iterdir()) == sorted((*PROC_FILES, STACK_FILE))
    assert Path("proc/buddyinfo").read_text() == "buddyinfo of the run\n"
    assert "  0)      720      48   xfs_vm_writepage\n" in Path("proc/stack_trace").read_text()


@pytest.mark.parametrize("folder", ["storm.fio", "missing/proc", "/proc/pageout"])
def test_a_folder_that_cannot_be_is_refused_before_the_run(
    folder: str, engine: FakeEngine, storm: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "storm.fio", "--proc", folder]) == 2
    assert f"--proc {folder}" in capsys.readouterr().err
    assert not engine.calls


def test_the_files_of_proc_are_those_the_machine_has() -> None:
    from pageout.cli.run import PROC_FILES
    from pageout.machine.procfs import FILES

    assert PROC_FILES == FILES


def test_a_trace_is_written_for_each_design(engine: FakeEngine, storm: Path) -> None:
    assert main(["run", "storm.fio", "--trace", "t.txt"]) == 0
    assert main(["compare", "storm.fio", "--designs", "linux-2.6.34,flushers-only", "--trace", "u.txt"]) == 0
    names = {path.name for path in Path().iterdir()}
    assert names == {"storm.fio", "t.txt", "u.linux-2.6.34.txt", "u.flushers-only.txt"}


def test_the_kernels_log_is_written(engine: FakeEngine, storm: Path) -> None:
    assert main(["run", "storm.fio", "--dmesg", "log.txt"]) == 0
    assert Path("log.txt").read_text() == "[    1.000000] writer used greatest stack depth: 5296 bytes left\n"
    assert main(["run", "storm.fio", "--dmesg", "a.txt", "--trace", "a.txt"]) == 2
    assert main(["run", "storm.fio", "--dmesg", "storm.fio"]) == 2
    assert not Path("a.txt").exists()
    assert storm.read_text().startswith("[writer]")


def test_a_plot_is_drawn(engine: FakeEngine, storm: Path) -> None:
    assert main(["compare", "storm.fio", "--designs", "linux-2.6.34,flushers-only", "--plot", "p.svg"]) == 0
    assert Path("p.svg").read_text().startswith("<svg")


def test_whole_stdout_survives_names_that_command_a_terminal(
    engine: FakeEngine, storm: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    engine.figures["linux-2.6.34"] = {"\x1b[2J": 3}
    assert main(["run", "storm.fio"]) == 0
    assert "\x1b" not in capsys.readouterr().out
