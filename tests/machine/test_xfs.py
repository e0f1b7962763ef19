# SPDX-License-Identifier: GPL-2.0-or-later
"""XFS in whole runs: on each of several filesystems, on devices stacked on others, its log and metadata on the disk."""

from typing import Any

import msgspec
import numpy as np
import pytest

from pageout.engine import constants as c
from pageout.jit import INTERPRETED
from pageout.kernel.fs.xfs_trees import NR_AGS
from pageout.machine import checkers
from pageout.machine.checkers_xfs import own_blocks
from pageout.machine.simulate import Result, simulate
from pageout.vocabulary.errors import InvariantError, ScenarioError
from pageout.vocabulary.scenario import MIB, Disk, File, Filesystem, Machine, Scenario, Task

pytestmark = pytest.mark.skipif(INTERPRETED, reason="whole runs: compiled only")


def fragmented(name: str, **more: Any) -> Filesystem:
    return Filesystem(name=name, kind="xfs", layout="fragmented", fragment_pages=2, **more)


def writer(number: int, mib: int = 6) -> Task:
    return Task(name=f"w{number}", rw="randwrite", file=(number,), bs_bytes=4096, io_bytes=mib * MIB, end_fsync=True,
                norandommap=True, seed=number + 1)  # fmt: skip


def run(disks: tuple[Disk, ...], mounted: tuple[Filesystem, ...], **more: Any) -> Result:
    """A new file on each filesystem is written at random, and checked on the way."""
    what = Scenario(
        name="xfs",
        machine=Machine(memory_bytes=32 * MIB, disks=disks, filesystem=mounted[0], more_filesystems=mounted[1:]),
        files=tuple(File(name=f"f{i}", size_bytes=8 * MIB, filesystem=fs.name) for i, fs in enumerate(mounted)),
        tasks=tuple(writer(i) for i in range(len(mounted))),
        **more,
    )
    result = simulate(what, check=300)
    assert result.ending == "done"
    return result


def side_by_side() -> Result:
    """Two on one disk, one on another, and an ext4 between them in the list."""
    disks = (Disk(name="sda", size_bytes=256 * MIB), Disk(name="sdb", size_bytes=128 * MIB))
    mounted = (
        fragmented("one", disk="sda", size_bytes=64 * MIB),
        Filesystem(name="other", kind="ext4", disk="sdb", size_bytes=32 * MIB),
        fragmented("two", disk="sda"),
        fragmented("three", disk="sdb"),
    )
    return run(disks, mounted)


@pytest.fixture(scope="module")
def several() -> Result:
    return side_by_side()


def test_each_filesystem_has_its_own_transactions_log_and_metadata(several: Result) -> None:
    arrays, xfs = several.booted.arrays, several.booted.arrays["xfs"]

    assert arrays["fs"]["xfs"].tolist() == [0, c.NIL, 1, 2]
    assert xfs["fs"].tolist() == [0, 2, 3]
    for name in ("meta_reads", "log_writes", "splits"):
        assert (xfs[name] > 0).all(), name
    assert several.booted.comms[702] == "xfsbufd"
    assert len(several.booted.comms) == len(set(arrays["task"]["pid"].tolist()))


def test_metadata_lies_within_its_filesystem_and_belongs_to_it_alone(several: Result) -> None:
    arrays = several.booted.arrays
    for x, number in enumerate(arrays["xfs"]["fs"].tolist()):
        fs, blocks = arrays["fs"][number], own_blocks(arrays, x)
        assert len(blocks) > 2 * NR_AGS
        assert 0 <= blocks.min() <= blocks.max() < fs["nr_blocks"]
        word = arrays["bits"][int(fs["bitmap"]) + blocks // 32]
        assert (word.astype(np.int64) >> blocks % 32 & 1).all()


def test_log_and_metadata_reach_the_disk_they_lie_on(several: Result) -> None:
    """Each disk writes what files, the journal, the in-core logs and the buffer daemon have sent it, and no more."""
    arrays = several.booted.arrays
    xfs, queue = arrays["xfs"], arrays["queue"]
    log_blocks = (xfs["head"] // 4096).astype(int)  # at most: the last of it may still be in memory
    files = arrays["inode"]["disk_pages"][:4]
    assert queue["blocks_written"][0] >= files[0] + files[2] + log_blocks[:2].sum() - 2 * 8
    assert queue["blocks_read"][0] >= xfs["meta_reads"][:2].sum() > 0


def test_a_run_on_several_comes_out_the_same_twice(several: Result) -> None:
    assert side_by_side().digest == several.digest


@pytest.mark.parametrize("kind", ["raid0", "raid1", "raid5", "linear", "iscsi"])
def test_xfs_works_on_stacked_devices(kind: str) -> None:
    """Its reads are waited for, its log and metadata get through the parts and back, blocks tally at the end."""
    members = tuple(Disk(name=f"m{i}", size_bytes=128 * MIB) for i in range({"raid5": 3, "iscsi": 1}.get(kind, 2)))
    mounted = (fragmented("data", disk="top"),)
    top = Disk(name="top", kind=kind, members=tuple(disk.name for disk in members))  # type: ignore[arg-type]
    result = run((*members, top), mounted)

    xfs = result.booted.arrays["xfs"]
    assert (xfs["meta_reads"][0], xfs["log_writes"][0]) > (0, 0)
    assert xfs["synced"][0] > 0
    assert result.document()["jobs"][0]["error"] is None


def test_xfs_works_in_a_file_on_xfs() -> None:
    """A loop device: its thread writes the upper log into a file of the lower filesystem, laid out before."""
    disks = (Disk(name="sda", size_bytes=256 * MIB), Disk(name="loop0", kind="loop", file="back"))
    what = Scenario(
        name="loop",
        machine=Machine(memory_bytes=64 * MIB, disks=disks, filesystem=fragmented("low", disk="sda"),
                        more_filesystems=(fragmented("high", disk="loop0"),)),
        files=(File(name="back", size_bytes=64 * MIB, filesystem="low"),
               File(name="f", size_bytes=8 * MIB, filesystem="high")),
        tasks=(writer(1),),
    )  # fmt: skip
    result = simulate(what, check=300)

    assert result.ending == "done"
    assert result.booted.arrays["xfs"]["log_writes"].tolist()[0] == 0
    assert result.booted.arrays["xfs"]["log_writes"][1] > 8
    upper = result.booted.arrays["xfs"]["log_writes"][1] + result.document()["jobs"][0]["write_mib"] * 256 / 2
    assert result.booted.arrays["inode"]["nr_dirty"][0] > upper  # what is on the upper disk waits in the lower's cache


def test_each_table_of_xfs_spoiled_is_complained_of(several: Result) -> None:
    spoils = {
        "is not linked back": ("xfs_block", "prev", int(several.booted.arrays["xfs_tree"]["head"][8]), 5),
        "records": ("xfs_tree", "nr", int(several.booted.arrays["xfs"]["inode_trees"][1]) + 2, 1),
        "xfs log space": ("xfs", "reserved", 2, 1),
        "used blocks": ("xfs_ag", "fl_count", 4, 0),
        "slab 1 objects": ("slab", "nr_used", 1, 9999),
    }
    for complaint, (table, field, row, value) in spoils.items():
        kept = int(several.booted.arrays[table][field][row])
        several.booted.arrays[table][field][row] = value
        with pytest.raises(InvariantError, match=complaint):
            checkers.check(several.booted, several.scenario)
        several.booted.arrays[table][field][row] = kept
    checkers.check(several.booted, several.scenario)


@pytest.mark.parametrize("old_mib", [64, 128, 200, 254])
def test_a_disk_that_files_fill_group_by_group_has_room_for_its_trees(old_mib: int) -> None:
    machine = Machine(memory_bytes=256 * MIB, disks=(Disk(name="sda", size_bytes=256 * MIB),))
    old = File(name="old", size_bytes=old_mib * MIB, exists=True)
    writer = Task(name="w", rw="randwrite", file=(1,), io_bytes=16 * MIB, bs_bytes=4096, seed=3)
    what = Scenario(
        name="full",
        machine=machine,
        files=(old, File(name="new", size_bytes=16 * MIB)),
        tasks=(writer,),
        length_ns=2 * 10**9,
    )

    result = simulate(what, check=50_000)

    (job,) = result.document()["jobs"]
    assert job["write_mib"] == pytest.approx(min(16, 254 - old_mib), abs=3)


def test_what_is_laid_out_or_read_before_the_run_has_to_fit() -> None:
    machine = Machine(memory_bytes=256 * MIB, disks=(Disk(name="sda", size_bytes=256 * MIB),))
    old = File(name="old", size_bytes=255 * MIB, exists=True)
    task = Task(name="w", rw="read", file=(0,), io_bytes=MIB)
    what = Scenario(name="full", machine=machine, files=(old,), tasks=(task,))
    with pytest.raises(ScenarioError, match="take 255 MiB; root has 254 MiB for files"):
        simulate(what)
    half = msgspec.structs.replace(old, size_bytes=128 * MIB)
    with pytest.raises(ScenarioError, match=r"with what run\.prefill reads, take 384 MiB"):
        simulate(msgspec.structs.replace(what, files=(half,), prefill_bytes=1 << 40))


@pytest.mark.parametrize(("every", "fsyncs"), [(1, 64), (8, 8), (0, 0)])
def test_each_fsync_puts_the_inode_into_the_log_on_disk(every: int, fsyncs: int) -> None:
    """An existing file needs no transaction for its pages: what the log writes is fsync's alone."""
    machine = Machine(memory_bytes=64 * MIB)
    table = File(name="table", size_bytes=16 * MIB, exists=True)
    task = Task(name="w", rw="randwrite", bs_bytes=4096, file=(0,), io_bytes=64 * 4096, fsync_every=every, seed=3)

    result = simulate(Scenario(name="fsync", machine=machine, files=(table,), tasks=(task,)), check=5000)

    xfs, stat = result.booted.arrays["xfs"][0], result.booted.arrays["stat"]
    assert int(stat["fsyncs"][0]) == fsyncs
    assert int(xfs["log_writes"]) == int(xfs["log_forces"]) == int(stat["transactions"][0]) == fsyncs
    if fsyncs:
        # the data, then the log: the head travels to and fro, and an fsync takes more than one turn of the platter
        assert result.document()["devices"]["sda"]["seek_count"] > 2 * fsyncs - 2
        (job,) = result.document()["jobs"]
        assert job["seconds"] > fsyncs * 60 / 7200
        # its time is fsync's, not a write call's: those only copy a page
        assert (
            job["write_max_us"] < 100 < 60e6 / 7200 < result.metrics["fsync_p50_us"] <= result.metrics["fsync_p99_us"]
        )
    else:
        assert result.metrics["fsync_p99_us"] is None
