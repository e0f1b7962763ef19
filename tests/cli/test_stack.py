# SPDX-License-Identifier: GPL-2.0-or-later
"""pageout stack: one door for recorded files and for workloads."""

import json
from pathlib import Path

import pytest

from pageout.cli.app import main
from pageout.jit import INTERPRETED

TABLE = """\
[  10.0]         Depth    Size   Location    (4 entries)
[  10.0]         -----    ----   --------
[  10.0]   0)     8336     300   get_request+0x1/0x2
[  10.0]   1)     8036    4036   xfs_vm_writepage+0x1/0x2 [xfs]
[  10.0]   2)     4000    2000   shrink_page_list+0x1/0x2
[  10.0]   3)     2000    2000   sys_select+0x1/0x2
"""


def test_a_file_prints_the_answer_first_and_the_next_command_last(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "dmesg.txt"
    path.write_text(TABLE)

    assert main(["stack", str(path)]) == 0
    out, err = capsys.readouterr()
    assert "OVERFLOW, 144 bytes beyond the end" in out.splitlines()[1]
    assert all(len(line) <= 100 for line in out.splitlines() if str(path) not in line)
    assert "filesystem    xfs_vm_writepage+0x1/0x2 [xfs]" in out
    assert err.startswith("next: pageout stack ")
    assert err.rstrip().endswith("--stack 16K")


def test_json_has_the_tables_and_nothing_else_on_standard_output(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "trace"
    path.write_text(TABLE + "\n" + TABLE.replace("8336     300", "8136     100"))

    assert main(["stack", "--json", "--stack", "16K", str(path)]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [table["depth_bytes"] for table in document["tables"]] == [8336, 8136]
    deepest = document["tables"][document["deepest"]]
    assert deepest["margin_bytes"] == 16384 - 104 - 8336
    assert deepest["layers"] == {"system call": 2000, "VM": 2000, "filesystem": 4036, "block": 300}
    assert deepest["entries"][0] == {
        "depth": 8336,
        "size": 300,
        "location": "get_request+0x1/0x2",
        "layer": "block",
    }


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["missing.txt"], "missing.txt: cannot be read (No such file or directory)"),
        (["."], "cannot be read"),
        (["table.txt", "--stack", "5K"], "power of two"),
        (["table.txt", "--design", "stack-16k"], "--design goes with a workload"),
        (["job.fio", "--stack", "16K"], "--stack is for a recorded FILE"),
        (["bad.txt"], "bad.txt:4: depth 8036 less size 4000 is 4036, the next row says 4000"),
    ],
)
def test_what_cannot_be_is_one_line_and_status_2(
    arguments: list[str],
    words: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("table.txt").write_text(TABLE)
    Path("bad.txt").write_text(TABLE.replace("4036", "4000"))

    assert main(["stack", *arguments]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert words in err


def test_hostile_names_stay_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "x\x1b[31m[bold].txt"
    path.write_text(TABLE + "evil\x1b[2J used greatest stack depth: 12 bytes left\n")

    assert main(["stack", str(path)]) == 0
    streams = capsys.readouterr()
    assert "\x1b" not in streams.out + streams.err
    assert main(["stack", str(path), "--json"]) == 0
    json.loads(capsys.readouterr().out)


@pytest.mark.skipif(INTERPRETED, reason="whole runs: compiled only")
def test_a_workload_is_simulated_and_printed_the_same_way(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "small.fio"
    path.write_text("[global]\nsize=4m\n[w]\nrw=write\nend_fsync=1\n")

    assert main(["stack", str(path), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    (table,) = document["tables"]
    assert table["depth_bytes"] == table["entries"][0]["depth"] == sum(table["layers"].values()) > 1000
    assert main(["stack", str(path)]) == 0
    out, err = capsys.readouterr()
    assert "x86-64; interrupts run on a stack of their own" in out
    assert "next: pageout stack" in err
