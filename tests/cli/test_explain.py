# SPDX-License-Identifier: GPL-2.0-or-later
"""pageout explain: what is printed, where, and the exit status."""

import gzip
import io
import json
import lzma
import sys
from pathlib import Path

import pytest

from pageout.cli.app import main

BALANCE = (
    "{comm:>16}-{pid:<5} [001] ..... {time:12.6f}: balance_dirty_pages: bdi 8:0: limit=40000 setpoint=30000 dirty=31000 "
    "bdi_setpoint=29000 bdi_dirty=30900 dirty_ratelimit=2000 task_ratelimit=1900 dirtied=64 dirtied_pause=64 paused=0 "
    "pause=120 period=124 think=4 cgroup_ino=1"
)
HEALTHY = "MemTotal: 16000000 kB\nMemFree: 8000000 kB\nMemAvailable: 9000000 kB\nDirty: 120 kB\nWriteback: 0 kB\n"
SYSCTLS = "vm.dirty_ratio = 10\nvm.dirty_background_ratio = 20\n"


def throttled(seconds: int = 10, comm: str = "dd", pid: int = 77) -> str:
    """A writer asked for 120 ms of sleep eight times a second."""
    return "".join(BALANCE.format(comm=comm, pid=pid, time=100 + n / 8) + "\n" for n in range(8 * seconds))


def put(folder: Path, name: str, text: str | bytes) -> str:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


def test_the_answer_comes_first_then_its_lines_then_what_to_capture(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = main(["explain", put(tmp_path, "trace.txt", throttled())])

    out, err = capsys.readouterr()
    assert status == 0
    assert out.startswith("1. WARNING: 1 writer of device 8:0 is held back at the dirty limit")
    flat = " ".join(out.split())
    assert flat.index("Because of these lines") < flat.index("What these files cannot say") < flat.index("Read ")
    assert "trace.txt:1: " in flat
    assert "undo: rmdir /sys/kernel/tracing/instances/pageout-" in flat
    assert err.startswith("next: ")
    assert max(map(len, out.splitlines())) <= 100


def test_an_error_is_told_by_the_status(tmp_path: Path) -> None:
    oom = "[1.0] Out of memory: Killed process 12 (db) total-vm:1kB, anon-rss:1kB, file-rss:0kB, shmem-rss:0kB\n"

    assert main(["explain", put(tmp_path, "dmesg.txt", oom)]) == 1
    assert main(["explain", put(tmp_path, "sysctl.txt", SYSCTLS)]) == 0


def test_json_is_one_document_and_nothing_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["explain", put(tmp_path, "a.txt", SYSCTLS), str(tmp_path / "missing"), "--json"])

    out, err = capsys.readouterr()
    document = json.loads(out)
    assert [finding["id"] for finding in document["findings"]] == ["sysctl-background-above-limit"]
    assert document["findings"][0]["evidence"][0] == {
        "file": str(tmp_path / "a.txt"), "line": 2, "text": "vm.dirty_background_ratio = 20",
    }  # fmt: skip
    assert document["inputs"][0]["kind"] == "sysctl"
    assert "missing" in document["inputs"][1]["error"]
    assert "missing" in err


@pytest.mark.parametrize(
    "text", [b"", b"\0" * 100, b"\x7fELF\x02\x01\x01" + bytes(range(256)) * 8, b"Dear all,\n\nit hangs.\n"]
)
def test_what_holds_nothing_is_refused_in_one_line(
    text: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = main(["explain", put(tmp_path, "x.bin", text)])

    out, err = capsys.readouterr()
    assert status == 2
    assert out == ""
    assert err.count("\n") == 1
    assert "x.bin:" in err


def test_a_fio_job_is_sent_to_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["explain", put(tmp_path, "a.fio", "# comment\n#\n# more\n[global]\nrw=randwrite\nsize=1g\n")])

    assert status == 2
    assert "pageout run" in capsys.readouterr().err


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress], ids=["gz", "xz"])
def test_packed_files_are_read_as_they_are(pack, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", put(tmp_path, "t.packed", pack(throttled().encode()))]) == 0
    assert "held back at the dirty limit" in capsys.readouterr().out


def test_zst_is_read_and_a_truncated_file_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if sys.version_info >= (3, 14):
        from compression.zstd import compress
    else:
        from backports.zstd import compress

    packed = compress(throttled().encode())
    assert main(["explain", put(tmp_path, "t.zst", packed)]) == 0
    assert main(["explain", put(tmp_path, "cut.zst", packed[:-20])]) == 2
    assert "broken .zst" in capsys.readouterr().err


def test_standard_input_is_a_dash(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    class Pipe:
        buffer = io.BytesIO(throttled().encode())

    monkeypatch.setattr("sys.stdin", Pipe())

    assert main(["explain", "-"]) == 0
    assert "-:1: " in " ".join(capsys.readouterr().out.split())


def test_a_hostile_name_reaches_the_terminal_harmless(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evil = "\x1b]0;owned\x07[red]x[/red]"

    main(["explain", put(tmp_path, "t.txt", throttled(comm=evil))])

    out, _ = capsys.readouterr()
    assert "\x1b" not in out
    assert "\x07" not in out
    assert "[red]" in out


def test_masking_hides_tasks_hosts_and_paths_but_not_the_kernels_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = (
        "Oct 07 00:18:11 secrethost kernel: INFO: task payroll-db:412 blocked for more than 122 seconds.\n"
        "Oct 07 00:18:11 secrethost kernel:       Not tainted 6.1.0-13-amd64 #1\n"
        "Oct 07 00:18:11 secrethost kernel: task:payroll-db      state:D stack:0     pid:412   ppid:1      flags:0x00000002\n"
        "Oct 07 00:18:11 secrethost kernel: Call Trace:\n"
        "Oct 07 00:18:11 secrethost kernel:  __schedule+0x351/0xa20\n"
        "Oct 07 00:18:11 secrethost kernel:  schedule+0x5d/0xe0\n"
        "Oct 07 00:18:11 secrethost kernel:  io_schedule+0x42/0x70\n"
        "Oct 07 00:18:11 secrethost kernel:  blk_mq_get_tag+0x11e/0x2b0\n"
        "Oct 07 00:18:11 secrethost kernel:  __blk_mq_alloc_requests+0x186/0x2e0\n"
    )
    path = put(tmp_path, "dmesg.txt", log)

    main(["explain", path, "--mask"])

    out = " ".join(capsys.readouterr().out.split())
    assert "secrethost" not in out
    assert "payroll" not in out
    assert str(tmp_path) not in out
    assert "blk_mq_get_tag" in out
    assert "task-1" in out


def test_two_captures_are_held_side_by_side(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = put(tmp_path, "before.txt", throttled())
    after = put(tmp_path, "after.txt", throttled().replace("pause=120", "pause=10").replace("period=124", "period=14"))

    main(["explain", after, "--against", before, "--json"])

    document = json.loads(capsys.readouterr().out)
    (figure,) = (one for one in document["against"]["figures"] if one["name"] == "held back at the dirty limit")
    assert figure["verdict"] == "better"
    assert figure["ratio"] == pytest.approx(10 / 120)
    assert document["findings"][0]["id"] == "changed-better"


def test_two_captures_without_a_common_figure_are_not_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["explain", put(tmp_path, "a.txt", HEALTHY), "--against", put(tmp_path, "b.txt", throttled())])

    out = capsys.readouterr().out
    assert "the two captures have no figure in common" in out
    assert "gone" not in out
    assert "before and after" not in out


def test_the_same_capture_twice_has_not_changed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = put(tmp_path, "a.txt", throttled())

    main(["explain", path, "--against", path, "--json"])

    document = json.loads(capsys.readouterr().out)
    assert document["findings"][0]["id"] == "unchanged"
    assert {one["verdict"] for one in document["against"]["figures"]} == {"same"}
