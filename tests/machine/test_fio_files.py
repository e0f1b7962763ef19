# SPDX-License-Identifier: GPL-2.0-or-later
"""What fio does with its files: lays them out, tells the kernel how it goes through them, reads and writes at once."""

import random

import msgspec
import polars as pl
import pytest

from pageout.jit import INTERPRETED
from pageout.machine.simulate import simulate
from pageout.readers.read import read_input
from pageout.vocabulary.scenario import Disk, File, Filesystem, Machine, Scenario, Task
from pageout.vocabulary.units import KIB, MIB
from pageout.workload.fio import read_fio

pytestmark = pytest.mark.skipif(INTERPRETED, reason="seconds of a machine, interpreted, take minutes")

MACHINE = Machine(
    name="small", memory_bytes=512 * MIB, copy_mb_s=2000, filesystem=Filesystem(kind="ext4"),
    disks=(Disk(kind="throttled", write_bps=40 * MIB, size_bytes=8 << 30, elevator="none", queue_depth=64, tags=64,
                service_mb_s=2000, max_sectors_kb=1280, read_ahead_kb=128),),
)  # fmt: skip
LIMITS = {
    "vm.dirty_ratio": 0, "vm.dirty_bytes": 16 * MIB, "vm.dirty_background_ratio": 0, "vm.dirty_background_bytes": 4 * MIB,
}  # fmt: skip
SIZE = 24 * MIB


def events_of(tmp_path, files, tasks, design="linux-6.18", machine=MACHINE):
    scenario = Scenario(name="t", machine=machine, files=files, tasks=tasks, settings=LIMITS, design=design)
    result = simulate(scenario, trace=tmp_path / "t.txt")
    assert result.ending == "done"
    return read_input(str(tmp_path / "t.txt")).events


def read_kib(events):
    rows = events.frame("block_rq_complete").filter(pl.col("rwbs").cast(pl.String).str.starts_with("R"))
    rows = rows.filter(~pl.col("rwbs").cast(pl.String).str.contains("M"))
    return [int(nr) / 2 for nr in rows["nr_sector"]]


@pytest.mark.parametrize("dropped", [False, True])
def test_what_was_written_and_dropped_is_read_from_the_device_again(tmp_path, dropped):
    layout = Task(
        name="layout", rw="write", file=(0,), bs_bytes=64 * KIB, io_bytes=SIZE, end_fsync=True, drop_cache=dropped
    )
    reader = Task(name="reader", rw="read", file=(0,), bs_bytes=64 * KIB, io_bytes=SIZE, group=1)
    events = events_of(tmp_path, (File(name="f", size_bytes=SIZE, unwritten=True),), (layout, reader))

    assert sum(read_kib(events)) == (SIZE / KIB if dropped else 0)


@pytest.mark.parametrize(("advice", "most"), [("normal", 128), ("sequential", 256)])
def test_advice_of_a_sequence_doubles_what_is_read_ahead(tmp_path, advice, most):
    reader = Task(name="r", rw="read", file=(0,), bs_bytes=16 * KIB, io_bytes=SIZE, advice=advice)
    kib = read_kib(events_of(tmp_path, (File(name="f", size_bytes=SIZE, exists=True),), (reader,)))

    assert sum(kib) == SIZE / KIB
    assert sorted(kib)[len(kib) // 2] == most


@pytest.mark.parametrize("mmap", [False, True])
def test_advice_of_random_places_reads_no_more_than_is_asked(tmp_path, mmap):
    reader = Task(name="r", rw="randread", file=(0,), bs_bytes=4 * KIB, io_bytes=4 * MIB, advice="random", mmap=mmap)
    kib = read_kib(events_of(tmp_path, (File(name="f", size_bytes=SIZE, exists=True),), (reader,)))

    assert set(kib) == {4}
    assert sum(kib) == 4 * 1024


def test_a_mixed_job_goes_through_its_file_once_by_reads_and_once_by_writes(tmp_path):
    job = "[w]\nrw=rw\nrwmixread=50\nbs=64k\nsize=24m\nend_fsync=1\n"
    scenario = read_fio("j.fio", job, MACHINE, environ={})
    events = events_of(tmp_path, scenario.files, scenario.tasks)
    done = events.frame("block_rq_complete").filter(pl.col("nr_sector") > 0).with_columns(
        pl.col("rwbs").cast(pl.String), pl.col("sector").cast(pl.Int64), pl.col("nr_sector").cast(pl.Int64)
    )  # fmt: skip
    data = done.filter(~pl.col("rwbs").str.contains("M"))
    reads, writes = (data.filter(pl.col("rwbs").str.starts_with(op)) for op in "RW")

    assert reads["sector"].min() - writes["sector"].min() < 0.2 * SIZE / 512  # both from the start of the file
    half = writes["sector"].max() + writes["nr_sector"].max() - writes["sector"].min()
    assert half * 512 < 0.7 * SIZE  # what was written lies in one piece, not all over the file
    assert 0.3 * SIZE < writes["nr_sector"].sum() * 512 < 0.7 * SIZE


@pytest.mark.parametrize(("design", "large"), [("linux-6.18", True), ("linux-6.1", False)])
def test_a_store_into_a_mapping_makes_as_much_dirty_as_its_folio_has(tmp_path, design, large):
    disk = msgspec.structs.replace(MACHINE.disks[0], read_ahead_kb=1024)
    machine = msgspec.structs.replace(MACHINE, disks=(disk,))
    writer = Task(name="w", rw="write", file=(0,), bs_bytes=64 * KIB, io_bytes=2 * SIZE, mmap=True, end_fsync=True,
                  advice="sequential")  # fmt: skip
    files = (File(name="f", size_bytes=2 * SIZE, exists=True),)
    events = events_of(tmp_path, files, (writer,), design, machine)
    dirtied = events.frame("balance_dirty_pages").filter(pl.col("pause") > 0)["dirtied"].cast(pl.Int64)

    assert len(dirtied)
    assert (dirtied.median() == 512) == large


def test_fio_tells_the_kernel_how_it_goes_through_its_files():
    def advice(text):
        return read_fio("j.fio", f"[w]\nsize=1m\n{text}\n", MACHINE, environ={}).tasks[0].advice

    assert [advice(f"rw={rw}") for rw in ("read", "rw", "randread", "randrw")] == [
        "sequential", "sequential", "random", "random"]  # fmt: skip
    assert [advice(f"rw=read\nfadvise_hint={hint}") for hint in ("0", "1", "random")] == [
        "normal",
        "sequential",
        "random",
    ]


def runs_of(nr_blocks, nr_calls, draw):
    """fio's random map: a block that was covered gives way to the next one that was not. Returns pieces in a row."""
    covered = set()
    for _ in range(nr_calls):
        block = draw.randrange(nr_blocks)
        while block in covered:
            block = (block + 1) % nr_blocks
        covered.add(block)
    return sum(block - 1 not in covered for block in covered)


@pytest.mark.parametrize("nr_files", [1, 3])
def test_random_blocks_lie_as_much_in_a_row_as_fio_has_them(tmp_path, nr_files):
    blocks, calls = SIZE // 4096, SIZE // 4096 // 2
    job = f"[w]\nrw=randwrite\nbs=4k\nnrfiles={nr_files}\nsize={nr_files * SIZE}\nio_size={nr_files * calls * 4096}\nend_fsync=1\n"
    scenario = read_fio("j.fio", job, MACHINE, environ={})
    high = LIMITS | {"vm.dirty_bytes": 400 * MIB, "vm.dirty_background_bytes": 300 * MIB}
    files = tuple(msgspec.structs.replace(file, unwritten=True) for file in scenario.files)  # blocks by fallocate()
    scenario = msgspec.structs.replace(scenario, files=files, settings=high, design="linux-6.18")
    simulate(scenario, trace=tmp_path / "t.txt")
    done = (
        read_input(str(tmp_path / "t.txt"))
        .events.frame("block_rq_complete")
        .with_columns(pl.col("rwbs").cast(pl.String))
    )
    written = done.filter(pl.col("rwbs").str.starts_with("W") & ~pl.col("rwbs").str.contains("M"))

    expected = sum(runs_of(blocks, calls, random.Random(seed)) for seed in range(nr_files))
    assert written["nr_sector"].cast(pl.Int64).sum() == nr_files * calls * 8  # no block twice
    assert len(written) == pytest.approx(expected, rel=0.05)
    assert expected < 0.9 * nr_files * calls / 2  # of a permutation half of all blocks begin a piece
