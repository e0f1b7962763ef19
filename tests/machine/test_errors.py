# SPDX-License-Identifier: GPL-2.0-or-later
"""Disks that fail, filesystems that fill up, power that goes, machines that cannot be: said and counted."""

from pathlib import Path

import msgspec
import pytest

from pageout.jit import INTERPRETED
from pageout.kernel import frames
from pageout.machine import boot, room
from pageout.machine.dispatch import UNITS
from pageout.machine.simulate import simulate
from pageout.vocabulary.errors import JobFileError, PageoutError, ScenarioError, TooLargeError
from pageout.vocabulary.scenario import Filesystem, Machine, Task
from pageout.workload.program import load_workload
from tests.machine.test_simulate import GIB, KIB, MIB, MS, NO_FLUSHING, S, file, io, machine, requests, scenario, traced

pytestmark = pytest.mark.skipif(INTERPRETED, reason="whole runs: compiled only")
EIO = -5


@pytest.mark.parametrize("kind", ["xfs", "ext2"])
def test_a_disk_that_fails_writes_loses_pages_and_tells_fsync(kind: str, tmp_path: Path) -> None:
    bad = machine(64, filesystem=Filesystem(kind=kind), write_error_every=5)  # type: ignore[arg-type]

    result, recording = traced(
        scenario(bad, (file(16),), io("write", 16, bs_bytes=128 * KIB, end_fsync=True)), tmp_path
    )

    done = requests(recording, write=True)
    failed = done[done["error"] == EIO]
    assert len(failed) == len(done) // 5 > 0
    assert result.document()["devices"]["sda"]["write_errors"] == len(failed)
    own = int(result.booted.arrays["xfs"]["log_writes"].sum())  # fsync has the log written, a block or two at a time
    assert 0 <= int(failed["nr_sector"].sum()) // 8 - result.metrics["pages_lost"] <= 8 * own
    assert (own > 0) == (kind == "xfs")
    assert [job["error"] for job in result.document()["jobs"]] == ["EIO"]
    assert result.vmstat["nr_dirty"] == result.vmstat["nr_writeback"] == 0


def test_an_error_is_told_to_one_fsync_and_then_forgotten() -> None:
    bad = machine(64, write_error_every=1)
    what = scenario(
        bad,
        (file(1),),
        io("write", 1, "first", bs_bytes=MIB, end_fsync=True),
        io("read", 1, "between", group=1),
        io("write", 1, "again", bs_bytes=MIB, end_fsync=True, group=2),
    )

    jobs = simulate(what).document()["jobs"]

    assert [job["error"] for job in jobs] == ["EIO", None, "EIO"]


def test_a_write_error_nobody_asks_about_is_still_counted() -> None:
    what = scenario(
        machine(64, write_error_every=2), (file(16),), io("write", 16, bs_bytes=128 * KIB), length_ns=40 * S
    )

    result = simulate(what)

    assert result.metrics["pages_lost"] > 0
    assert result.document()["jobs"][0]["error"] is None


def test_a_swap_page_whose_write_failed_stays_dirty_and_is_not_lost() -> None:
    bad = machine(32, swap_mib=64, write_error_every=3)
    what = scenario(
        bad, (file(4),), Task(name="hog", kind="hog", anon_bytes=40 * MIB, rate_bps=20 * MIB, hold_ns=2 * S)
    )

    result = simulate(what, check=2000)

    assert result.document()["devices"]["sda"]["write_errors"] > 0
    assert result.vmstat["pswpout"] > 0
    assert result.metrics["pages_lost"] == 0
    assert result.metrics["oom_kills"] == 0
    assert not result.document()["jobs"][0]["killed"]


@pytest.mark.parametrize("kind", ["xfs", "ext2"])
def test_a_full_filesystem_gives_the_task_enospc_and_the_rest_goes_on(kind: str) -> None:
    small = machine(64, filesystem=Filesystem(kind=kind, size_bytes=8 * MIB))  # type: ignore[arg-type]
    what = scenario(
        small,
        (file(16, "large"), file(1, "old", exists=True)),
        io("write", 16, "filler", bs_bytes=64 * KIB, end_fsync=True),
        io("write", 1, "rewriter", of=1, start_delay_ns=S, end_fsync=True),
        io("read", 1, "reader", of=1),
    )

    result = simulate(what, check=2000)

    jobs = {job["name"]: job for job in result.document()["jobs"]}
    assert jobs["filler"]["error"] == "ENOSPC"
    # all that was free, less what XFS keeps for its trees and free lists, and ext2's indirect blocks
    kept = {"xfs": pytest.approx(6.9, abs=0.1), "ext2": pytest.approx(7 - 3 * 4 / 1024, abs=0.001)}
    assert jobs["filler"]["write_mib"] == kept.get(kind, 7)
    assert jobs["rewriter"]["error"] is None
    assert jobs["rewriter"]["write_mib"] == jobs["reader"]["read_mib"] == 1
    assert result.ending == "done"
    assert result.metrics["pages_lost"] == 0
    assert result.vmstat["nr_dirty"] == 0


def test_a_mapped_writer_meets_the_full_filesystem_too() -> None:
    small = machine(64, filesystem=Filesystem(size_bytes=4 * MIB), size_bytes=64 * MIB)

    result = simulate(scenario(small, (file(8),), io("write", 8, mmap=True)))

    assert result.document()["jobs"][0]["error"] == "ENOSPC"
    assert 1024 - 64 <= result.vmstat["nr_dirtied"] < 1024  # the filesystem's own blocks are not to be had


def test_space_of_an_unlinked_file_can_be_used_again() -> None:
    small = machine(64, filesystem=Filesystem(size_bytes=9 * MIB))
    what = scenario(
        small,
        (file(8, "first"), file(8, "second")),
        io("write", 8, "a", of=0, bs_bytes=64 * KIB, end_fsync=True),
        Task(name="rm", kind="unlink", file=(0,), group=1),
        io("write", 8, "b", of=1, bs_bytes=64 * KIB, group=2, end_fsync=True),
    )

    jobs = simulate(what, check=2000).document()["jobs"]

    assert [job["error"] for job in jobs] == [None, None, None]


@pytest.mark.parametrize("cut_ms", [100, 500, 900])
def test_a_power_cut_loses_what_was_not_on_the_device_and_no_more(cut_ms: int, tmp_path: Path) -> None:
    slow = machine(64, kind="throttled", write_bps=8 * MIB)
    what = scenario(slow, (file(16),), io("write", 16, bs_bytes=64 * KIB, rate_bps=12 * MIB))

    result, recording = traced(what, tmp_path, power_cut_ns=cut_ms * MS)

    vm = result.vmstat
    assert result.ending == "power cut"
    assert result.now_ns == cut_ms * MS
    assert result.metrics["pages_lost"] == vm["nr_dirty"] + vm["nr_writeback"] > 0
    assert vm["nr_dirtied"] == result.metrics["pages_lost"] + vm["nr_written"]
    assert vm["nr_written"] == int(requests(recording, write=True)["nr_sector"].sum()) // 8


def test_a_power_cut_after_fsync_loses_nothing() -> None:
    what = scenario(machine(64), (file(4),), io("write", 4, end_fsync=True), length_ns=20 * S)

    result = simulate(what, power_cut_ns=10 * S)

    assert result.ending == "power cut"
    assert result.metrics["pages_lost"] == 0


def test_a_power_cut_does_not_lose_anonymous_memory() -> None:
    hog = Task(name="hog", kind="hog", anon_bytes=8 * MIB, hold_ns=60 * S)

    assert simulate(scenario(machine(64), (), hog), power_cut_ns=S).metrics["pages_lost"] == 0


def test_a_power_cut_at_the_very_beginning_is_one_too() -> None:
    what = scenario(machine(64), (file(4),), io("write", 4, end_fsync=True))

    result = simulate(what, power_cut_ns=0)

    assert result.ending == "power cut"
    assert result.metrics["pages_lost"] == 0


def test_a_power_cut_after_the_end_changes_nothing() -> None:
    what = scenario(machine(64), (file(4),), io("write", 4, end_fsync=True))

    assert simulate(what, power_cut_ns=100 * S).ending == "done"


def test_memory_too_small_for_its_watermarks_is_refused_at_the_door() -> None:
    what = scenario(machine(16), (file(1),), io("write", 1), settings={"vm.min_free_kbytes": 12 * 1024})

    with pytest.raises(ScenarioError, match="kswapd could never rest"):
        simulate(what)


@pytest.mark.parametrize("memory_mib", [16, 17, 20, 24, 31, 33, 65, 100, 255])
def test_every_machine_that_is_let_in_runs(memory_mib: int) -> None:
    what = scenario(machine(memory_mib), (file(1),), io("write", 1, end_fsync=True))

    assert simulate(what, check=1000).ending == "done"


def test_a_run_too_large_for_this_computer_is_refused_with_the_figure_before_it_starts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(boot, "new_state", lambda sizes: pytest.fail("it began to allocate"))
    huge = msgspec.structs.replace(machine(64), memory_bytes=4 << 40, cpus=64)
    free = room.os.sysconf
    monkeypatch.setattr(room.os, "sysconf", lambda name: min(free(name), 8 * GIB // 4096))

    with pytest.raises(TooLargeError, match=r"needs [\d.]+ GiB of memory and [\d.]+ GiB are free here"):
        simulate(scenario(huge, (file(1),), io("write", 1)))


def test_the_figure_counts_memory_of_the_machine_at_32_bytes_a_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room.os, "sysconf", lambda name: 1)
    large = msgspec.structs.replace(machine(64), memory_bytes=256 * GIB)

    with pytest.raises(TooLargeError) as error:
        simulate(scenario(large, (file(1),), io("write", 1)))

    need = float(str(error.value).split("needs ")[1].split(" GiB")[0])
    assert need == pytest.approx(256 / 4096 * 32, abs=0.3)


@pytest.mark.parametrize("size", [8 << 40, 16 << 40], ids=lambda size: f"{size >> 40}T")
@pytest.mark.parametrize("what", ["file", "swap"])
def test_a_disk_of_more_blocks_than_the_model_can_number_is_refused_or_works(what: str, size: int) -> None:
    large = machine(32, size_bytes=size, swap_mib=64 if what == "swap" else 0)
    tasks = {
        "file": io("write", 4, of=1, end_fsync=True),
        "swap": Task(name="hog", kind="hog", anon_bytes=40 * MIB, rate_bps=40 * MIB, hold_ns=60 * S),
    }
    files = (file(4, "low"), file(4, "high"))

    try:
        result = simulate(scenario(large, files, tasks[what], length_ns=2 * S), check=1000)
    except (ScenarioError, TooLargeError):
        return
    assert result.vmstat["pgpgout"] > 0
    assert result.metrics["oom_kills"] == 0
    slots = result.booted.arrays["slot"]["block"]
    assert (slots >= -1).all()
    if what == "file":
        assert slots[2 * 1024 - 1] == result.booted.arrays["inode"]["last_block"][1] == size // 4096 // 2 + 1023


def test_o_direct_is_refused_with_its_line(tmp_path: Path) -> None:
    job = tmp_path / "j.fio"
    job.write_text("[w]\nrw=write\nsize=1m\ndirect=1\n")

    with pytest.raises(JobFileError, match=r"j\.fio:4: .*O_DIRECT"):
        load_workload(job)


def test_an_unknown_set_of_events_is_refused() -> None:
    with pytest.raises(PageoutError, match="decisions or full"):
        simulate(scenario(machine(64), (file(1),), io("write", 1)), events="all")


def test_a_scenario_is_checked_before_it_is_booted() -> None:
    with pytest.raises(ScenarioError, match="no such file"):
        simulate(scenario(machine(64), (), io("write", 1)))
    with pytest.raises(ScenarioError, match="no such disk"):
        simulate(scenario(Machine(filesystem=Filesystem(disk="sdz")), (file(1),), io("write", 1)))


def test_dirty_data_is_as_old_as_the_cut_finds_it() -> None:
    what = scenario(machine(64), (file(1),), io("write", 1), length_ns=20 * S, settings=NO_FLUSHING)

    result = simulate(what, power_cut_ns=10 * S)

    assert result.metrics["oldest_dirty_s"] == pytest.approx(10, abs=0.1)
    assert result.metrics["pages_lost"] == 256


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("no machine code")])
def test_what_goes_wrong_while_a_unit_is_compiled_in_mid_run_reaches_the_caller(
    error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    unit = UNITS[frames.UNITS.index("task")]

    def refuse() -> None:
        raise error

    monkeypatch.setattr(unit, "_compiled", None)
    monkeypatch.setattr(unit, "_load", refuse)

    with pytest.raises(type(error)):
        simulate(scenario(machine(64), (file(1),), io("write", 1)))
