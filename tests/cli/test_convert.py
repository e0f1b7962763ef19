# SPDX-License-Identifier: GPL-2.0-or-later
"""pageout convert, from the command line in."""

import gzip
import json
import os
from pathlib import Path

import polars as pl
import pytest

from pageout.cli.app import main
from pageout.cli.convert import format_of
from pageout.vocabulary.errors import UsageError

TRACE = """\
# tracer: nop
  dd-12 [000] .....  1.000000: mm_vmscan_direct_reclaim_begin: order=0 gfp_flags=GFP_KERNEL
  dd-12 [000] .....  1.500000: mm_vmscan_direct_reclaim_end: nr_reclaimed=3
CPU:0 [LOST 5 EVENTS]
  dd-12 [000] .....  2.000000: my_probe: a=1
"""


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    path = tmp_path / "trace.in"
    path.write_text(TRACE)
    return path


def nothing_else(folder: Path, *names: str) -> bool:
    return sorted(path.name for path in folder.iterdir()) == sorted(("trace.in", *names))


def test_the_name_of_the_output_tells_the_format() -> None:
    assert format_of("a/", None) == format_of("a.parquet", None) == "parquet"
    assert format_of("a.txt", None) == format_of("a.TXT.gz", None) == "text"
    assert format_of("a.pftrace", None) == format_of("a.perfetto-trace", None) == "perfetto"
    assert format_of("a.txt", "perfetto") == "perfetto"
    with pytest.raises(UsageError, match="--to"):
        format_of("trace", None)


def test_a_trace_goes_through_all_formats_and_comes_back(trace: Path, tmp_path: Path) -> None:
    tables, text, packed = tmp_path / "t.parquet", tmp_path / "t.txt", tmp_path / "t.txt.gz"
    assert main(["convert", str(trace), str(tables)]) == 0
    assert main(["convert", str(tables), str(text)]) == 0
    assert main(["convert", str(text), str(packed)]) == 0
    assert gzip.decompress(packed.read_bytes()) == text.read_bytes()
    assert "CPU:0 [LOST 5 EVENTS]" in text.read_text()
    assert main(["convert", str(packed), str(tmp_path / "t.pftrace")]) == 0
    assert (tmp_path / "t.pftrace").stat().st_size > 100
    frame = pl.read_parquet(tables / "mm_vmscan_direct_reclaim_begin.parquet")
    assert frame["comm"].to_list() == ["dd"]
    assert nothing_else(tmp_path, "t.parquet", "t.txt", "t.txt.gz", "t.pftrace")


def test_json_says_what_was_read_written_and_missing(
    trace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["convert", str(trace), str(tmp_path / "out"), "--to", "parquet", "--json"]) == 0
    out, err = capsys.readouterr()
    said = json.loads(out)
    assert said["input"]["events"] == 3
    assert said["input"]["lost"] == 5
    assert said["output"]["format"] == "parquet"
    assert said["output"]["tables"] == {"mm_vmscan_direct_reclaim_begin": 1, "mm_vmscan_direct_reclaim_end": 1}
    assert said["output"]["other"] == {"my_probe": 1}
    assert said["output"]["bytes"] == sum(path.stat().st_size for path in (tmp_path / "out").iterdir())
    assert any("missing at 1 place" in warning for warning in said["warnings"])
    assert "missing at 1 place" in err


def test_perfetto_says_of_which_events_it_shows_nothing(
    trace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["convert", str(trace), str(tmp_path / "t.pftrace"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["output"]["not_drawn"] == {"my_probe": 1}


@pytest.mark.parametrize("out", ["t.parquet", "t.txt", "t.txt.gz", "t.pftrace"])
@pytest.mark.parametrize("content", [b"", b"\0" * 100, b"no trace\n", b"\x1f\x8b\x08broken", b"MemTotal: 1 kB\n"])
def test_what_is_no_trace_is_refused_in_one_line_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes, out: str
) -> None:
    (tmp_path / "trace.in").write_bytes(content)
    assert main(["convert", str(tmp_path / "trace.in"), str(tmp_path / out)]) == 2
    printed, err = capsys.readouterr()
    assert not printed
    assert err.count("\n") == 1
    assert err.startswith("pageout: ")
    assert nothing_else(tmp_path)


def test_a_folder_that_holds_other_things_is_left_alone(
    trace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "thesis.txt").write_text("years")
    assert main(["convert", str(trace), f"{folder}/"]) == 2
    assert "holds other things" in capsys.readouterr().err
    assert (folder / "thesis.txt").read_text() == "years"
    assert nothing_else(tmp_path, "mine")


def test_tables_written_before_are_replaced_as_a_whole(trace: Path, tmp_path: Path) -> None:
    assert main(["convert", str(trace), str(tmp_path / "t.parquet")]) == 0
    trace.write_text("  dd-12 [000] .....  1.000000: mark_victim: pid=5\n")
    assert main(["convert", str(trace), str(tmp_path / "t.parquet")]) == 0
    names = {path.name for path in (tmp_path / "t.parquet").iterdir()}
    assert names == {"_meta.json", "_other.parquet", "mark_victim.parquet"}
    trace.write_text("nothing")
    assert main(["convert", str(trace), str(tmp_path / "t.parquet")]) == 2
    assert {path.name for path in (tmp_path / "t.parquet").iterdir()} == names
    assert nothing_else(tmp_path, "t.parquet")


def test_an_empty_folder_is_filled(trace: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert main(["convert", str(trace), f"{tmp_path}/empty/"]) == 0
    assert (tmp_path / "empty" / "_meta.json").exists()


@pytest.mark.parametrize(
    ("out", "what"),
    [
        ("trace.in", "is IN too"),
        ("./trace.in", "is IN too"),
        ("trace.in/", "is IN too"),
        ("nowhere/t.txt", "cannot be written"),
        ("nowhere/t.parquet", "cannot be made"),
        ("/", "no folder to replace"),
        ("t.doc", "which format"),
    ],
)
def test_an_output_that_cannot_be_is_refused(
    trace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], out: str, what: str
) -> None:
    monkeypatch.chdir(trace.parent)
    to = ["--to", "text"] if out.endswith("trace.in") else []
    assert main(["convert", "trace.in", out, *to]) == 2
    assert what in capsys.readouterr().err
    assert trace.read_text() == TRACE
    assert nothing_else(trace.parent)


def test_a_file_in_the_place_of_the_folder_is_left_alone(
    trace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "t.parquet").write_text("a file")
    assert main(["convert", str(trace), str(tmp_path / "t.parquet")]) == 2
    assert "is a file" in capsys.readouterr().err
    assert (tmp_path / "t.parquet").read_text() == "a file"


def test_standard_output_takes_the_text_and_nothing_else(
    trace: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert main(["convert", str(trace), "-", "--to", "text"]) == 0
    out = capfdbinary.readouterr().out
    task = "              dd-12      [000] .....     "
    assert [line for line in out.decode().split("\n") if line[:1] not in ("#", "")] == [
        f"{task}1.000000: mm_vmscan_direct_reclaim_begin: order=0 gfp_flags=GFP_KERNEL",
        f"{task}1.500000: mm_vmscan_direct_reclaim_end: nr_reclaimed=3",
        "CPU:0 [LOST 5 EVENTS]",
        f"{task}2.000000: my_probe: a=1",
    ]
    assert main(["convert", str(trace), "-", "--to", "text", "--json"]) == 2
    assert main(["convert", str(trace), "-x"]) == 2


def test_a_fault_while_writing_leaves_what_was_there(
    trace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pageout.export import parquet

    assert main(["convert", str(trace), str(tmp_path / "t.parquet")]) == 0
    before = {path.name: path.read_bytes() for path in (tmp_path / "t.parquet").iterdir()}

    def full(*_: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(parquet.TablesWriter, "finish", full)
    assert main(["convert", str(trace), str(tmp_path / "t.parquet")]) == 2
    assert {path.name: path.read_bytes() for path in (tmp_path / "t.parquet").iterdir()} == before
    assert nothing_else(tmp_path, "t.parquet")
