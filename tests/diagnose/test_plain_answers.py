# SPDX-License-Identifier: GPL-2.0-or-later
"""Answers where there is little to say: a healthy log, two machines, captures that are there already."""

from pathlib import Path

import pytest

from pageout.cli.app import main
from pageout.cli.terminal import WIDTH, hint
from pageout.diagnose.capture import RECIPES, events_of, is_answered

HEALTHY = """\
[    0.000000] Linux version 6.1.0-13-amd64 (gcc-12) #1 SMP
[    2.345678] EXT4-fs (sda1): mounted filesystem with ordered data mode. Opts: errors=remount-ro
[   12.345678] e1000e 0000:00:1f.6 eno1: NIC Link is Up 1000 Mbps Full Duplex
"""


def explained(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[str, str]:
    main(["explain", *words])
    found = capsys.readouterr()
    return found.out, found.err


def test_a_healthy_log_is_said_to_speak_of_no_trouble(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "dmesg").write_text(HEALTHY)
    out, _ = explained(capsys, str(tmp_path / "dmesg"))

    assert out.startswith("1. INFO: nothing in this log speaks of trouble")
    assert "To know more, capture:" in out


@pytest.mark.parametrize(
    "line", ["blk_update_request: I/O error, dev sda, sector 9", "ata1: link is slow, resetting", "nfs: timed out"]
)
def test_a_log_with_an_odd_line_is_not_called_healthy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], line: str
) -> None:
    (tmp_path / "dmesg").write_text(f"{HEALTHY}[   99.000001] {line}\n")
    out, _ = explained(capsys, str(tmp_path / "dmesg"))

    assert "speaks of no trouble" not in out
    assert "nothing in this log" not in out
    assert line in " ".join(out.split())


MEMINFO = (
    "MemTotal: {} kB\nMemFree: 90000 kB\nMemAvailable: 4000000 kB\nCached: 90000 kB\nDirty: 40 kB\nWriteback: 0 kB\n"
)


@pytest.mark.parametrize(("kib", "two"), [(16_000_000, True), (8_100_000, False)])
def test_two_machines_are_not_compared_without_a_word(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kib: int, two: bool
) -> None:
    for name, total in (("before", 8_000_000), ("after", kib)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "meminfo").write_text(MEMINFO.format(total))
    out, _ = explained(capsys, str(tmp_path / "after" / "meminfo"), "--against", str(tmp_path / "before" / "meminfo"))

    assert ("two machines (memory: 7.63 GiB before, 15.3 GiB after)" in out) == two


def test_a_capture_whose_question_is_answered_is_not_asked_for_again() -> None:
    for name in ("throttle", "reclaim", "slab", "compaction", "block"):
        assert is_answered(name, events_of(name))
        assert not is_answered(name, set())
    assert is_answered("block", {"block_rq_issue", "block_rq_complete"})
    assert not is_answered("block", {"block_rq_issue"})
    assert not any(is_answered(name, {"block_rq_issue"}) for name in RECIPES)


def test_a_picture_of_snapshots_is_refused_in_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "meminfo").write_text(MEMINFO.format(8_000_000))
    _, err = explained(capsys, str(tmp_path / "meminfo"), "--plot", str(tmp_path / "p.svg"))

    assert "a picture is drawn of a trace, and none is here" in err
    assert not (tmp_path / "p.svg").exists()


def test_a_hint_that_is_prose_fits_the_screen_and_a_command_stays_in_one_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    hint("capture what is named above, then: " + "word " * 40)
    lines = capsys.readouterr().err.splitlines()
    hint("pageout replay " + "x" * 200)

    assert max(map(len, lines)) <= WIDTH
    assert lines[0].startswith("next: capture")
    assert capsys.readouterr().err.count("\n") == 1
