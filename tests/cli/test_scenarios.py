# SPDX-License-Identifier: GPL-2.0-or-later
"""`pageout scenarios`, and the verbs that take a shipped scenario by its name."""

import json
from pathlib import Path

import pytest

from pageout.cli.app import main
from pageout.workload import shipped
from tests.cli.fakes import FakeEngine


def test_the_table_names_each_with_its_claims_and_fits_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["scenarios"]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert max(map(len, lines)) <= 100
    for name in shipped.names():
        (row,) = [line for line in lines if line.startswith(f"{name} ")]
        assert all(claim in row for claim in shipped.about(name).claims)
        assert row.endswith(str(shipped.about(name).seconds))
    assert err.startswith("next: pageout ")


def test_json_has_all_that_the_heads_say(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["scenarios", "--json"]) == 0
    out, err = capsys.readouterr()
    rows = json.loads(out)["scenarios"]
    assert [row["name"] for row in rows] == list(shipped.names())
    assert all(row["shows"] and row["claims"] and row["seconds"] and row["commands"] for row in rows)
    assert err == ""


def test_the_text_of_one_can_be_kept_changed_and_run(
    tmp_path: Path, engine: FakeEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["scenarios", "usb-stick"]) == 0
    mine = tmp_path / "mine.toml"
    mine.write_text(capsys.readouterr().out)
    assert main(["run", str(mine)]) == 0
    assert engine.calls[0][0].name == "usb-stick"


@pytest.mark.parametrize("verb", [["run"], ["compare", "--designs", "all"], ["why"], ["stack"], ["scenarios"]])
def test_every_verb_answers_an_unknown_name_in_one_line(verb: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*verb, "lumpy-strom"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "lumpy-strom: no such file or shipped scenario, did you mean lumpy-storm" in err
    assert err.count("\n") == 1


def test_run_and_compare_take_a_name_and_say_it_again_in_what_to_type_next(
    engine: FakeEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "small-zone", "--seed", "3"]) == 0
    assert "next: pageout compare small-zone --seed 3 --designs" in capsys.readouterr().err
    assert main(["compare", "small-zone", "--designs", "linux-2.6.34,zone-dirty-limits"]) == 0
    assert [one.name for one, _ in engine.calls] == ["small-zone"] * 3
    assert [one.design for one, _ in engine.calls[1:]] == ["linux-2.6.34", "zone-dirty-limits"]


def test_stack_takes_a_recorded_file_that_is_called_like_a_scenario(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: FakeEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("usb-stick").write_text("nothing recorded\n")
    assert main(["stack", "usb-stick"]) == 2
    assert "usb-stick:1: no stack tracer table" in capsys.readouterr().err
    assert not engine.calls


def test_hostile_names_stay_text(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["scenarios", "\x1b[2J[red]x"]) == 2
    assert "\x1b" not in capsys.readouterr().err
