# SPDX-License-Identifier: GPL-2.0-or-later
"""Shipped scenarios by name, and their page.  `python tests/workload/test_shipped.py` writes its table anew."""

import re
from pathlib import Path

import pytest

from pageout.vocabulary.errors import ScenarioError, SettingError, UsageError
from pageout.workload import shipped
from pageout.workload.program import load_workload

PAGE = Path(__file__).parents[2] / "docs" / "scenarios.md"
TABLE = re.compile(r"<!-- table: scenarios -->\n.*?<!-- end -->\n", re.DOTALL)


def table() -> str:
    rows = [shipped.about(name) for name in shipped.names()]
    lines = ["| scenario | what it shows | claims | s | look at |", "|---|---|---|---|---|"]
    lines += [
        f"| [{row.name}](../src/pageout/scenarios/{row.name}.toml) | {row.shows} | {', '.join(row.claims)} "
        f"| {row.seconds} | {row.look_at} |"
        for row in rows
    ]
    return "<!-- table: scenarios -->\n\n" + "\n".join(lines) + "\n\n<!-- end -->\n"


def test_the_page_has_every_scenario_as_its_head_says() -> None:
    assert TABLE.findall(PAGE.read_text()) == [table()]


def test_a_name_alone_is_a_workload() -> None:
    scenario = load_workload("small-zone", design="zone-dirty-limits", settings=["vm.dirty_ratio=30"], seed=7)
    assert (scenario.name, scenario.design, scenario.seed) == ("small-zone", "zone-dirty-limits", 7)
    assert scenario.settings["vm.dirty_ratio"] == 30


def test_the_machine_of_the_command_line_stands_in_for_a_shipped_ones() -> None:
    assert load_workload("duplicate-writes", machine="box-512m").machine.name == "box-512m"


def test_a_file_of_that_name_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("small-zone").write_text('[[task]]\nname = "mine"\nsize = "1M"\n')
    assert not shipped.is_shipped("small-zone")
    with pytest.raises(UsageError, match=r"small-zone: a workload is a fio job file \(.fio\) or a scenario \(.toml\)"):
        load_workload("small-zone")
    Path("small-zone.toml").write_text('[[task]]\nname = "mine"\nsize = "1M"\n')
    assert load_workload("small-zone.toml").tasks[0].name == "mine"


def test_a_folder_of_that_name_is_no_workload_and_does_not_hide_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("small-zone").mkdir()
    assert load_workload("small-zone").name == "small-zone"


@pytest.mark.parametrize(
    ("word", "meant"),
    [("lumpy-strom", "lumpy-storm"), ("lumpy", "lumpy-storm"), ("oom", "reclaim-to-oom"), ("usb_stick", "usb-stick")],
)
def test_an_unknown_name_is_answered_with_near_ones_and_how_to_see_all(word: str, meant: str) -> None:
    with pytest.raises(UsageError) as caught:
        load_workload(word)
    text = str(caught.value)
    assert text.startswith(f"{word}: no such file or shipped scenario, did you mean ")
    assert meant in text
    assert text.endswith("`pageout scenarios` lists all")
    assert "\n" not in text


def test_a_name_like_none_of_them_is_told_how_to_see_all() -> None:
    with pytest.raises(UsageError, match="qqqq: no such file or shipped scenario; `pageout scenarios` lists all"):
        load_workload("qqqq")


def test_the_shipped_file_of_a_toml_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ScenarioError, match=r"usb-stick.toml: cannot be read: .*; the shipped scenario is usb-stick"):
        load_workload("usb-stick.toml")
    with pytest.raises(ScenarioError, match=r"my.toml: cannot be read: No such file or directory$"):
        load_workload("my.toml")


def test_a_mistake_in_a_setting_is_told_as_for_a_file() -> None:
    with pytest.raises(SettingError, match=r"vm.dirty_ratoi"):
        load_workload("usb-stick", settings=["vm.dirty_ratoi=3"])


if __name__ == "__main__":
    PAGE.write_text(TABLE.sub(lambda _: table(), PAGE.read_text()))
