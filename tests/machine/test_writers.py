# SPDX-License-Identifier: GPL-2.0-or-later
"""Dirt and what becomes of it: mapped writers, rewrites, fsync, unlink, and when flushers come."""

import msgspec
import numpy as np
import pytest

from pageout.jit import INTERPRETED
from pageout.machine.simulate import Result, simulate
from pageout.vocabulary.scenario import Disk, Filesystem, Task
from tests.machine.test_simulate import KIB, MIB, MS, NO_FLUSHING, S, file, io, machine, scenario

pytestmark = pytest.mark.skipif(INTERPRETED, reason="whole runs: compiled only")
PAGES = 4 * 256  # of a file of 4 MiB


def stat(result: Result, name: str) -> int:
    return int(result.booted.arrays["stat"][name][0])


def inode(result: Result, number: int) -> dict[str, int]:
    row = result.booted.arrays["inode"][number]
    return {name: int(row[name]) for name in ("nr_dirty", "nr_writeback", "nr_pages", "istate", "list_kind", "delayed")}


@pytest.mark.parametrize("mmap", [False, True])
def test_rewrites_of_dirty_pages_are_merged_and_counted(mmap: bool) -> None:
    what = scenario(machine(64), (file(4),), io("write", 4, loops=3, mmap=mmap, end_fsync=True), settings=NO_FLUSHING)

    result = simulate(what, check=2000)

    assert result.vmstat["nr_dirtied"] == PAGES
    assert result.metrics["rewrites_saved_pages"] == 2 * PAGES
    assert result.vmstat["nr_written"] == PAGES
    assert result.document()["jobs"][0]["write_mib"] == 12


@pytest.mark.parametrize("mmap", [False, True])
def test_a_page_written_back_between_two_writes_is_dirtied_twice(mmap: bool) -> None:
    what = scenario(
        machine(64),
        (file(4),),
        io("write", 4, "first", mmap=mmap, end_fsync=True),
        io("write", 4, "second", mmap=mmap, group=1, end_fsync=True),
        settings=NO_FLUSHING,
    )

    result = simulate(what, check=2000)

    assert result.vmstat["nr_dirtied"] == result.vmstat["nr_written"] == 2 * PAGES
    assert result.metrics["rewrites_saved_pages"] == 0


def test_a_mapped_writer_faults_once_a_page_until_writeback_protects_it_again() -> None:
    def run(**more: int | bool) -> Result:
        return simulate(
            scenario(machine(64), (file(4),), io("write", 4, loops=2, mmap=True, **more), settings=NO_FLUSHING)
        )

    merged, synced = run(), run(fsync_every=PAGES)

    assert merged.vmstat["pgfault"] == PAGES
    assert synced.vmstat["pgfault"] == 2 * PAGES
    assert synced.vmstat["nr_dirtied"] == 2 * PAGES


def test_a_mapped_reader_dirties_nothing() -> None:
    result = simulate(scenario(machine(64), (file(4, exists=True),), io("read", 4, mmap=True)))

    assert result.vmstat["nr_dirtied"] == result.vmstat["nr_written"] == 0
    assert result.vmstat["pgpgin"] == 4 * 1024
    assert result.document()["jobs"][0]["read_mib"] == 4


def test_mapped_writers_are_throttled_like_others() -> None:
    slow = machine(64, kind="throttled", write_bps=20 * MIB)

    def run(mmap: bool) -> dict[str, float]:
        return simulate(scenario(slow, (file(32),), io("write", 32, mmap=mmap, end_fsync=True))).metrics

    mapped, plain = run(True), run(False)

    assert mapped["throttle_count"] > 0
    assert mapped["data_at_risk_max_mib"] == pytest.approx(plain["data_at_risk_max_mib"], rel=0.1)
    assert mapped["write_mb_s"] == pytest.approx(plain["write_mb_s"], rel=0.05)


@pytest.mark.parametrize("mmap", [False, True])
@pytest.mark.parametrize("kind", ["xfs", "ext2"])
def test_fsync_leaves_no_dirty_page_of_its_file_and_does_not_care_for_others(kind: str, mmap: bool) -> None:
    what = scenario(
        machine(64, filesystem=Filesystem(kind=kind)),  # type: ignore[arg-type]
        (file(4, "mine"), file(4, "other")),
        io("write", 4, "other", of=1),
        io("randwrite", 4, "mine", of=0, mmap=mmap, end_fsync=True, group=1),
        settings=NO_FLUSHING,
    )

    result = simulate(what)

    mine, other = inode(result, 0), inode(result, 1)
    assert mine["nr_dirty"] == mine["nr_writeback"] == mine["delayed"] == 0
    assert other["nr_dirty"] == PAGES
    indirect = 2 if kind == "ext2" else 0  # of both files: the filesystem's dirty indirect blocks are written together
    assert result.vmstat["nr_written"] == PAGES + indirect
    assert result.metrics["written_writer"] == PAGES + indirect


def test_fsync_every_n_writes_syncs_so_often() -> None:
    what = scenario(machine(64), (file(4),), io("write", 4, fsync_every=64, bs_bytes=4096), settings=NO_FLUSHING)

    result = simulate(what)

    assert stat(result, "fsyncs") == PAGES // 64
    assert result.vmstat["nr_dirty"] == 0
    assert result.metrics["dirty_max_mib"] == 64 * 4 / 1024


@pytest.mark.parametrize("kind", ["xfs", "ext2"])
def test_unlinking_a_dirty_file_drops_its_pages_unwritten(kind: str) -> None:
    what = scenario(
        machine(64, filesystem=Filesystem(kind=kind)),  # type: ignore[arg-type]
        (file(4, "gone"), file(4, "kept")),
        io("write", 4, "a", of=0),
        io("write", 4, "b", of=1),
        Task(name="rm", kind="unlink", file=(0,), group=1),
        settings=NO_FLUSHING,
    )

    result = simulate(what, check=1000)

    assert result.vmstat["nr_written"] == 0
    indirect = 1 if kind == "ext2" else 0  # each file of 4 MiB has one indirect block
    assert stat(result, "pages_truncated_dirty") == PAGES + indirect
    assert result.metrics["pages_lost"] == 0
    assert inode(result, 0) == dict.fromkeys(inode(result, 0), 0)
    assert inode(result, 1)["nr_dirty"] == PAGES
    assert result.vmstat["nr_dirty"] == result.vmstat["nr_file_pages"] == PAGES + indirect


def test_unlink_waits_until_the_writer_has_closed_the_file() -> None:
    what = scenario(
        machine(64),
        (file(4),),
        io("write", 4, "w", rate_bps=8 * MIB),
        Task(name="rm", kind="unlink", file=(0,)),
        settings=NO_FLUSHING,
    )

    result = simulate(what, check=1000)

    jobs = result.document()["jobs"]
    assert jobs[0]["write_mib"] == 4
    assert jobs[1]["seconds"] >= jobs[0]["seconds"]
    assert result.vmstat["nr_dirty"] == result.vmstat["nr_written"] == 0


def test_old_dirt_is_written_after_it_has_expired_and_not_before() -> None:
    what = scenario(machine(64), (file(1),), io("write", 1), length_ns=60 * S)

    result = simulate(what)

    series = result.series
    dirty = dict(zip(np.round(series["t_s"], 1), series["nr_dirty"], strict=True))
    assert dirty[29.0] == 256
    assert dirty[36.0] == 0  # expired at 30 s, looked at every 5 s
    assert result.metrics["written_flusher"] == 256
    assert 30 <= result.metrics["oldest_dirty_s"] <= 35.1


def test_background_writeback_starts_at_its_threshold() -> None:
    def written(mib: int) -> int:
        what = scenario(machine(64), (file(16),), io("write", mib, bs_bytes=64 * KIB), length_ns=4 * S,
                        settings={"vm.dirty_background_bytes": 8 * MIB, "vm.dirty_bytes": 32 * MIB})  # fmt: skip
        return int(simulate(what).vmstat["nr_written"])

    assert written(7) == 0
    assert written(12) > 0


def test_a_write_shorter_than_a_page_to_a_page_on_disk_reads_it_first() -> None:
    def run(exists: bool) -> Result:
        task = io("randwrite", 1, bs_bytes=512, norandommap=True, seed=1)
        return simulate(scenario(machine(64), (file(16, exists=exists),), task, settings=NO_FLUSHING))

    on_disk, new = run(True), run(False)

    assert new.vmstat["pgpgin"] == 0
    assert on_disk.vmstat["pgpgin"] == on_disk.vmstat["nr_dirtied"] * 4 > 0


def test_a_fragmented_file_is_written_in_pieces() -> None:
    def run(layout: str) -> Result:
        fs = Filesystem(layout=layout, fragment_pages=16)  # type: ignore[arg-type]
        return simulate(scenario(machine(64, filesystem=fs), (file(8),), io("write", 8, end_fsync=True)))

    whole, pieces = run("contiguous").metrics, run("fragmented").metrics

    assert whole["seek_count"] <= 3  # to read the filesystem's own blocks, once
    assert whole["mean_write_kib"] > 256
    assert pieces["mean_write_kib"] == pytest.approx(64, rel=0.05)
    assert pieces["seek_count"] >= 8 * 256 // 16 - 2
    assert pieces["write_mb_s"] < whole["write_mb_s"] / 4


def test_a_background_task_does_not_keep_the_run_alive() -> None:
    what = scenario(
        machine(64),
        (file(1),),
        io("write", 1),
        Task(name="s", kind="select", interval_ns=MS, background=True),
    )

    result = simulate(what)

    assert result.ending == "done"
    assert result.now_ns < S


def test_background_tasks_alone_work_for_the_length_of_the_run() -> None:
    tasks = (
        Task(name="s", kind="select", interval_ns=MS, background=True),
        Task(name="a", kind="alloc", interval_ns=MS, hold=4, background=True),
    )

    result = simulate(scenario(machine(64), (), *tasks, length_ns=S))

    calls = result.booted.arrays["job"]["issued"].tolist()
    assert result.ending == "length"
    assert calls == [pytest.approx(1000, abs=2)] * 2


def test_groups_run_one_after_the_other() -> None:
    what = scenario(
        machine(64),
        (file(4, "a"), file(4, "b")),
        io("write", 4, "a", of=0, rate_bps=16 * MIB),
        io("write", 4, "b", of=1, rate_bps=16 * MIB, group=1),
    )

    result = simulate(what)

    task = result.booted.arrays["task"][result.first_task :]
    slice_ns = 50_000  # who is woken runs as from the begin of the waker's slice
    assert task["begun_ns"][1] + slice_ns >= task["ended_ns"][0] > 0
    assert result.now_ns / S == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("design", ["linux-6.1", "linux-6.18"])
def test_a_strictly_limited_device_keeps_its_share_where_others_may_go_on(design: str) -> None:
    def held_mib(*, strict: bool) -> float:
        slow = msgspec.structs.replace(machine(256), disks=(
            Disk(kind="throttled", write_bps=4 * MIB, size_bytes=512 * MIB, max_ratio=10, strict_limit=strict),
        ))  # fmt: skip
        limits = {"vm.dirty_bytes": 40 * MIB, "vm.dirty_background_bytes": 20 * MIB}
        what = scenario(slow, (file(24),), io("write", 24, bs_bytes=64 * KIB), design=design, settings=limits)
        return simulate(what, check=2000).metrics["data_at_risk_max_mib"]

    share = 4  # MiB: a tenth of the limit
    assert held_mib(strict=True) <= share + 0.25
    assert held_mib(strict=False) > 4 * share
