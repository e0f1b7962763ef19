# SPDX-License-Identifier: GPL-2.0-or-later
"""What is read of a machine, and what is chosen for it."""

from pathlib import Path

import pytest

from pageout.readers import dat_file
from pageout.record import dat_write, machine, sets, tracefs
from pageout.record.command import job_files, wants_json
from pageout.record.machine import Cgroup, hz_of, main_device
from pageout.vocabulary.schema import event_of


def kernel_with(folder: Path, *events: str) -> Path:
    for event in events:
        (folder / event).mkdir(parents=True)
        (folder / event / "enable").write_text("0")
    return folder


def test_the_newest_name_of_an_event_is_taken_and_the_older_one_where_it_is_not(tmp_path: Path) -> None:
    rows = ("writeback:writeback_dirty_folio|writeback_dirty_page",)
    old = kernel_with(tmp_path / "old", "writeback/writeback_dirty_page")
    new = kernel_with(tmp_path / "new", "writeback/writeback_dirty_page", "writeback/writeback_dirty_folio")

    assert sets.choose(rows, old).events == ("writeback/writeback_dirty_page",)
    assert sets.choose(rows, new).events == ("writeback/writeback_dirty_folio",)


def test_events_a_kernel_lacks_are_named_unless_nobody_misses_them(tmp_path: Path) -> None:
    kernel = kernel_with(tmp_path, "vmscan/mm_vmscan_kswapd_wake", "vmscan/mm_vmscan_throttled")

    found = sets.choose(("vmscan:*", "wbt:*", "oom:mark_victim", "writeback:writeback_congestion_wait"), kernel)

    assert found.events == ("vmscan/mm_vmscan_kswapd_wake", "vmscan/mm_vmscan_throttled")
    assert found.missing == ("oom:mark_victim",)


def test_every_event_of_light_is_in_the_table_of_events() -> None:
    rows = [row.partition(":")[2] for row in sets.SETS["light"]]

    assert [row for row in rows if event_of(row) is None] == []
    assert set(sets.SETS["light"]) < set(sets.SETS["full"])


def test_nothing_in_light_fires_for_each_page() -> None:
    per_page = (
        "dirty_folio",
        "writeback_dirty_page",
        "wbc_writepage",
        "filemap",
        "shrink",
        "isolate",
        "write_begin",
        "*",
    )

    assert not [row for row in sets.SETS["light"] if any(word in row for word in per_page)]


def test_hz_is_as_configured_or_as_a_format_divides_by() -> None:
    age = "(jiffies - REC->dirtied_when) / 300, REC->writeback_index"

    assert hz_of("CONFIG_HZ_250=y\nCONFIG_HZ=250\n", [age]) == 250
    assert hz_of("", ["REC->x", age]) == 300
    assert hz_of("", ["REC->x"]) is None


def test_limits_are_the_lowest_of_the_group_and_those_above(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    group = tmp_path / "a" / "b"
    group.mkdir(parents=True)
    (group / "io.max").write_text("8:0 rbps=max wbps=2000 riops=max wiops=70\n")
    (tmp_path / "a" / "io.max").write_text(
        "8:0 rbps=max wbps=1000 riops=max wiops=max\n8:16 rbps=5 wbps=5 riops=5 wiops=5\n"
    )
    cgroup = Cgroup("self")
    monkeypatch.setattr(cgroup, "paths", {"": "/a/b"})
    monkeypatch.setattr(cgroup, "roots", {"": tmp_path})

    assert cgroup.limits("8:0") == {"wbps": 1000, "rbps": None, "wiops": 70, "riops": None}
    assert cgroup.limits("8:32") is None


def test_limits_of_the_first_version_are_those_of_blkio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "blkio.throttle.write_bps_device").write_text("7:0 40000000\n7:1 1\n")
    cgroup = Cgroup("self")
    monkeypatch.setattr(cgroup, "paths", {"blkio": "/"})
    monkeypatch.setattr(cgroup, "roots", {"blkio": tmp_path})

    assert cgroup.limits("7:0") == {"wbps": 40_000_000, "rbps": None, "wiops": None, "riops": None}


def disk_rows(**written: int) -> str:
    numbers = {"sda": "8 0", "sdb": "8 16", "loop0": "7 0"}
    return "\n".join(f"   {numbers[name]} {name} 1 2 3 4 5 6 {sectors} 8" for name, sectors in written.items())


def test_the_device_is_the_mounted_disk_written_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "mounts", lambda: [{"dev": "8:0", "source": "x"}, {"dev": "7:0", "source": "y"}])
    known = {"8:0": {}, "8:16": {}, "7:0": {"on": ["8:0"]}}
    before = disk_rows(sda=100, sdb=100, loop0=0)

    assert main_device(before, disk_rows(sda=300, sdb=9000, loop0=0), known) == "8:0"
    assert main_device(before, disk_rows(sda=300, sdb=100, loop0=190), known) == "7:0"
    assert main_device(before, disk_rows(sda=300, sdb=100, loop0=20), known) == "8:0"
    assert main_device(before, before, known) is None


def test_a_disk_the_command_wrote_to_comes_before_a_busier_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "mounts", lambda: [{"dev": "8:0", "source": "x"}, {"dev": "0:44", "source": "y"}])
    monkeypatch.setattr(machine, "device_number", lambda source: "8:16" if source == "y" else "")
    known = {"8:0": {}, "8:16": {}, "7:0": {}}
    before, after = disk_rows(sda=0, sdb=0, loop0=0), disk_rows(sda=900, sdb=20, loop0=10)

    assert main_device(before, after, known, {"7:0"}) == "7:0"
    assert main_device(before, after, known, {"0:44"}) == "8:16"
    assert main_device(before, after, known, {"0:99"}) == "8:0"


def test_a_fio_is_known_by_its_name_and_its_words(tmp_path: Path) -> None:
    job = tmp_path / "x.fio"
    job.write_text("[w]\nrw=write\n")

    assert wants_json(["/usr/bin/fio", "--output-format=json+", str(job)])
    assert wants_json(["fio", "--output-format", "json"])
    assert not wants_json(["fio", str(job)])
    assert not wants_json(["cp", "--output-format=json"])
    assert job_files(["fio", "--bandwidth-log", "nowhere", str(job)]) == {2: str(job)}
    assert job_files(["fio", "--output", str(job), "--name=a"]) == {}
    assert job_files(["sudo", "timeout", "60", "fio", str(job)]) == {1: str(job)}
    assert job_files(["cat", str(job)]) == {}


def test_a_filter_drops_a_task_but_not_what_interrupts_it() -> None:
    assert tracefs.not_by((7, 8)) == "(common_pid != 7 && common_pid != 8) || common_flags & 24"


def test_a_trace_dat_is_read_as_it_was_written(tmp_path: Path) -> None:
    pages = {0: b"\1" * 4096 * 3, 2: b"\2" * 4096}
    parts = {cpu: tmp_path / f"cpu{cpu}" for cpu in pages}
    for cpu, data in pages.items():
        parts[cpu].write_bytes(data)
    header = dat_write.Header(
        header_page=b"\tfield: u64 timestamp;\toffset:0;\tsize:8;\tsigned:0;\n", header_event=b"x", ftrace=[b"name: print\n"],
        systems={"vmscan": [b"name: a\n", b"name: b\n"]}, cmdlines={7: "dd", 8: "two words"}, clocks=b"local [mono]\n",
        uname="Linux 6.1.0 x86_64", stats={0: "overrun: 3\n"},
    )  # fmt: skip

    dat_write.write(tmp_path / "trace.dat", header, parts)

    found = dat_file.parse("x", memoryview((tmp_path / "trace.dat").read_bytes()))
    (buffer,) = found.buffers
    data = {cpu.cpu: bytes(found.data[cpu.offset : cpu.offset + cpu.size]) for cpu in buffer.cpus if cpu.size}
    assert data == pages
    assert (found.version, found.clock, found.texts["uname"]) == (6, "mono", "Linux 6.1.0 x86_64")
    assert found.formats == [("ftrace", "name: print\n"), ("vmscan", "name: a\n"), ("vmscan", "name: b\n")]
    assert found.cmdlines == b"7 dd\n8 two words\n"
    assert found.cpustats == ["CPU: 0\noverrun: 3\n"]
    assert not any(part.exists() for part in parts.values())
