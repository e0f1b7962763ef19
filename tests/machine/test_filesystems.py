# SPDX-License-Identifier: GPL-2.0-or-later
"""Whole runs on each filesystem, on several at once, and through a union: who writes, how deep, at what cost."""

from typing import Any

import pytest

from pageout.jit import INTERPRETED
from pageout.machine.simulate import Result, simulate
from pageout.vocabulary.scenario import Disk, File, Filesystem, Machine, Scenario, Task
from tests.machine.test_simulate import KIB, MIB, MS, S

pytestmark = pytest.mark.skipif(INTERPRETED, reason="whole runs: compiled only")

KINDS = ("xfs", "ext2", "ext3", "ext4", "btrfs")
STICK = Disk(name="stick", kind="throttled", size_bytes=4 << 30, write_bps=4 * MIB)
FAST = Disk(name="sda", size_bytes=8 << 30)


def on(kind: str, files: tuple[File, ...], *tasks: Task, memory_mib: int = 32, **more: Any) -> Result:
    """Run tasks on a machine whose files are on one kind of filesystem; `union-KIND`: through a union over it."""
    upper, _, lower = kind.rpartition("-")
    first = Filesystem(name="u", kind="union", lower="data") if upper else Filesystem(kind=lower)  # type: ignore[arg-type]
    below = (Filesystem(name="data", kind=lower),) if upper else ()  # type: ignore[arg-type]
    machine = Machine(memory_bytes=memory_mib * MIB, disks=(FAST,), filesystem=first, more_filesystems=below)
    return simulate(Scenario(name=kind, machine=machine, files=files, tasks=tasks, **more), check=5000)


def stat(result: Result, name: str) -> int:
    return int(result.booted.arrays["stat"][name][0])


@pytest.mark.parametrize("kind", [*KINDS, "union-xfs", "union-ext4"])
def test_a_file_written_and_synced_is_clean_and_whole_on_the_disk(kind: str) -> None:
    write = Task(name="w", rw="write", file=(0,), bs_bytes=64 * KIB, io_bytes=8 * MIB, end_fsync=True)
    result = on(kind, (File(name="f", size_bytes=8 * MIB),), write, memory_mib=64)
    inode = result.booted.arrays["inode"]
    of_file = int(inode["lower"][0]) if kind.startswith("union") else 0

    assert result.ending == "done"
    assert result.document()["jobs"][0]["error"] is None
    assert inode["nr_dirty"][of_file] == 0
    assert result.vmstat["nr_dirty"] == 0 or kind not in ("xfs", "ext2", "btrfs")  # metadata in the journal comes later
    assert inode["disk_pages"][of_file] == 8 * MIB // 4096
    assert stat(result, "journal_commits") >= (1 if kind.endswith(("ext3", "ext4")) else 0)


def pressed(kind: str) -> Result:
    """A file larger than memory is written once from its start, while high-priority allocations press."""
    return on(
        kind,
        (File(name="f", size_bytes=96 * MIB),),
        Task(name="w", rw="write", file=(0,), bs_bytes=64 * KIB, io_bytes=96 * MIB),
        Task(name="netrx", kind="alloc", interval_ns=MS, hold=2000, background=True),
        settings={"vm.dirty_ratio": 90, "vm.dirty_background_ratio": 80, "vm.min_free_kbytes": 1024},
    )


def test_reclaim_cleans_fresh_data_on_xfs_and_on_ext2_and_never_on_ext4_or_btrfs() -> None:
    results = {kind: pressed(kind) for kind in ("xfs", "ext2", "ext4", "btrfs")}
    cleaned = {kind: r.metrics["written_direct"] + r.metrics["written_kswapd"] for kind, r in results.items()}

    assert cleaned["xfs"] > 0
    assert cleaned["ext2"] > 0
    assert cleaned["ext4"] == cleaned["btrfs"] == 0
    for kind in ("ext4", "btrfs"):
        assert stat(results[kind], "writepage_refused") > 0
        assert results[kind].vmstat["nr_vmscan_write"] > 0  # pageout counts a refused page all the same


@pytest.mark.parametrize("kind", KINDS)
def test_writes_to_the_same_place_while_it_is_dirty_cost_no_second_write(kind: str) -> None:
    rewrite = Task(name="w", rw="randwrite", file=(0,), io_bytes=16 * MIB, norandommap=True, end_fsync=True)
    result = on(kind, (File(name="f", size_bytes=MIB),), rewrite, memory_mib=64)

    assert result.metrics["rewrites_saved_pages"] > 3000
    assert result.metrics["written_flusher"] + result.metrics["written_writer"] < 1000


def test_ext3_commits_every_five_seconds_while_files_change() -> None:
    slow = Task(name="w", rw="write", file=(0,), io_bytes=2 * MIB, rate_bps=100 * KIB)
    result = on("ext3", (File(name="f", size_bytes=2 * MIB),), slow, memory_mib=64)

    assert 3 <= stat(result, "journal_commits") <= 4  # 20 s of writing


@pytest.mark.parametrize("kind", ["ext3", "ext4"])
def test_each_fsync_of_a_journaled_filesystem_costs_a_commit(kind: str) -> None:
    synced = Task(name="w", rw="write", file=(0,), io_bytes=128 * KIB, fsync_every=1)
    result = on(kind, (File(name="f", size_bytes=MIB),), synced, memory_mib=64)

    assert stat(result, "journal_commits") == stat(result, "fsyncs") == 32


def test_a_union_goes_deeper_than_what_it_stands_on() -> None:
    write = Task(name="w", rw="write", file=(0,), bs_bytes=64 * KIB, io_bytes=16 * MIB)
    tight = {"vm.dirty_bytes": MIB}
    deep = {
        kind: on(kind, (File(name="f", size_bytes=16 * MIB),), write, settings=tight).document()["jobs"][0]
        for kind in ("ext2", "union-ext2")
    }

    assert deep["union-ext2"]["stack_max_bytes"] - deep["ext2"]["stack_max_bytes"] >= 300
    assert deep["union-ext2"]["write_mib"] == deep["ext2"]["write_mib"] == 16


def test_a_union_copies_a_file_up_once_before_it_is_written() -> None:
    poke = Task(name="w", rw="randwrite", file=(0,), io_bytes=40 * KIB, end_fsync=True)
    result = on("union-xfs", (File(name="f", size_bytes=4 * MIB, exists=True),), poke, memory_mib=64)

    assert stat(result, "copyups") == 1
    assert result.metrics["write_mb_s"] is not None
    written = result.document()["devices"]["sda"]
    assert written["write_requests"] * written["mean_write_kib"] >= 4095


def two_disks(*tasks: Task, memory_mib: int = 64, **more: Any) -> Result:
    """A disk and a slow stick, a filesystem on each; file 0 is on the disk, file 1 on the stick."""
    machine = Machine(
        memory_bytes=memory_mib * MIB,
        disks=(FAST, STICK),
        more_filesystems=(Filesystem(name="usb", kind="ext2", disk="stick"),),
    )
    files = (File(name="fast", size_bytes=64 * MIB), File(name="slow", size_bytes=64 * MIB, filesystem="usb"))
    return simulate(
        Scenario(name="stick", machine=machine, files=files, tasks=tasks, length_ns=10 * S, **more), check=9000
    )


def test_a_slow_stick_takes_memory_from_who_writes_to_a_fast_disk() -> None:
    fast = Task(name="fast", rw="write", file=(0,), bs_bytes=64 * KIB, io_bytes=64 * MIB, time_based=True,
                runtime_ns=8 * S)  # fmt: skip
    slow = Task(name="slow", rw="write", file=(1,), bs_bytes=64 * KIB, io_bytes=64 * MIB, time_based=True,
                runtime_ns=8 * S, background=True)  # fmt: skip
    alone, beside = two_disks(fast, memory_mib=16), two_disks(slow, fast, memory_mib=16)
    rate = [
        job["write_mb_s"] for result in (alone, beside) for job in result.document()["jobs"] if job["name"] == "fast"
    ]
    late = beside.document()["jobs"][1]

    assert rate[1] < 0.95 * rate[0]  # the limits are the machine's, and the stick's dirt counts
    assert late["throttle_slept_s"] > 0
    written = beside.document()["devices"]
    assert written["stick"]["write_requests"] > 0
    assert written["sda"]["write_requests"] > 0


def test_disks_of_different_speed_each_take_what_they_can() -> None:
    rates = (2, 8, 32)
    disks = tuple(Disk(name=f"d{rate}", kind="throttled", size_bytes=1 << 30, write_bps=rate * MIB) for rate in rates)
    first, *others = (Filesystem(name=f"fs{rate}", kind="ext4", disk=f"d{rate}") for rate in rates)
    machine = Machine(memory_bytes=64 * MIB, disks=disks, filesystem=first, more_filesystems=tuple(others))
    files = tuple(File(name=f"f{rate}", size_bytes=256 * MIB, filesystem=f"fs{rate}") for rate in rates)
    tasks = tuple(
        Task(name=f"w{rate}", rw="write", file=(i,), bs_bytes=64 * KIB, io_bytes=256 * MIB, runtime_ns=10 * S)
        for i, rate in enumerate(rates)
    )
    result = simulate(Scenario(name="three", machine=machine, files=files, tasks=tasks, length_ns=11 * S), check=9000)
    kib = [row["write_requests"] * row["mean_write_kib"] for row in result.document()["devices"].values()]

    assert kib[0] < kib[1] < kib[2]
    for rate, amount in zip(rates, kib, strict=True):
        assert amount == pytest.approx(rate * 1024 * 10, rel=0.35)


def test_a_full_filesystem_says_so_and_the_other_goes_on() -> None:
    machine = Machine(
        memory_bytes=64 * MIB,
        disks=(FAST,),
        filesystem=Filesystem(name="small", size_bytes=8 * MIB, kind="ext2"),
        more_filesystems=(Filesystem(name="large"),),
    )
    files = (File(name="a", size_bytes=16 * MIB), File(name="b", size_bytes=16 * MIB, filesystem="large"))
    tasks = tuple(
        Task(name=name, rw="write", file=(i,), io_bytes=16 * MIB, end_fsync=True) for i, name in enumerate("ab")
    )
    jobs = simulate(Scenario(name="full", machine=machine, files=files, tasks=tasks), check=5000).document()["jobs"]

    assert [job["error"] for job in jobs] == ["ENOSPC", None]
    assert 7.9 <= jobs[0]["write_mib"] < 8
    assert jobs[1]["write_mib"] == 16


@pytest.mark.parametrize("kind", [*KINDS, "union-ext3"])
def test_a_removed_file_gives_all_its_blocks_back(kind: str) -> None:
    write = Task(name="w", rw="write", file=(0,), bs_bytes=64 * KIB, io_bytes=4 * MIB, end_fsync=True)
    result = on(kind, (File(name="f", size_bytes=4 * MIB),), write, Task(name="rm", kind="unlink", file=(0,)),
                memory_mib=64)  # fmt: skip
    inode = result.booted.arrays["inode"]
    of_file = int(inode["lower"][0]) if kind.startswith("union") else 0

    assert inode["disk_pages"][of_file] == inode["nr_pages"][of_file] == 0
