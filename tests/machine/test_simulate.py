# SPDX-License-Identifier: GPL-2.0-or-later
"""Whole runs on small machines: the same bytes twice, and what pencil and paper say beforehand.

The helpers at the top are shared by the other tests of whole machines.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pageout.jit import INTERPRETED
from pageout.machine.simulate import Result, simulate
from pageout.vocabulary.scenario import Disk, File, Filesystem, Machine, Scenario, Task
from pageout.vocabulary.tracepoints import RWBS_WRITE
from tests.events.recording import Recording
from tests.readers.recordings import read_recording

pytestmark = pytest.mark.skipif(INTERPRETED, reason="whole runs: compiled only")

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
US, MS, S = 10**3, 10**6, 10**9
PAGE = 4096
DATA_ALONE = Filesystem(kind="xfs", delalloc=False)  # no transactions: the device sees the files' pages and no log
NO_FLUSHING = {"vm.dirty_writeback_centisecs": 0, "vm.dirty_background_ratio": 90, "vm.dirty_ratio": 100}


def machine(memory_mib: int = 64, *, swap_mib: int = 0, filesystem: Any = None, cpus: int = 2, **disk: Any) -> Machine:
    """A machine with one disk; keywords are the disk's fields."""
    return Machine(
        name="small",
        memory_bytes=memory_mib * MIB,
        cpus=cpus,
        swap_bytes=swap_mib * MIB,
        swap_disk="sda" if swap_mib else "",
        disks=(Disk(**{"size_bytes": 8 * GIB, **disk}),),
        filesystem=filesystem or Filesystem(),
    )


def file(mib: int, name: str = "f", *, exists: bool = False) -> File:
    return File(name=name, size_bytes=mib * MIB, exists=exists)


def io(rw: str, mib: int, name: str = "t", *, of: int = 0, **more: Any) -> Task:
    """A task that moves so many MiB of the `of`-th file."""
    return Task(name=name, rw=rw, file=(of,), io_bytes=mib * MIB, **more)  # type: ignore[arg-type]


def scenario(machine: Machine, files: tuple[File, ...], *tasks: Task, **more: Any) -> Scenario:
    return Scenario(name="small", machine=machine, files=files, tasks=tasks, **more)


def traced(what: Scenario, folder: Path, **options: Any) -> tuple[Result, Recording]:
    """Run with a trace, and read the trace back."""
    result = simulate(what, trace=folder / "trace.txt", **options)
    recording = read_recording(folder / "trace.txt")
    assert not recording.unread
    assert not recording.other
    return result, recording


def requests(recording: Recording, name: str = "block_rq_complete", *, write: bool) -> Any:
    """The requests of one direction, in order."""
    found = recording.column(name)
    return found[(found["rwbs"] & RWBS_WRITE != 0) == write]


def mixed(seed: int) -> Scenario:
    """Random writers, a reader and an allocator, short of memory."""
    return scenario(
        machine(32),
        (file(16, "table"), file(64, "image")),
        io("randwrite", 8, "w", of=0, norandommap=True, seed=seed, rate_bps=20 * MIB, runtime_ns=S // 2),
        io("read", 64, "r", of=1, bs_bytes=64 * KIB, runtime_ns=S // 2),
        Task(name="netrx", kind="alloc", interval_ns=MS, hold=64, background=True),
        prefill_bytes=32 * MIB,
        length_ns=S,
        seed=seed,
    )


@pytest.mark.parametrize("events", ["decisions", "full"])
def test_the_same_seed_gives_the_same_bytes_twice(events: str, tmp_path: Path) -> None:
    digests = [simulate(mixed(3), trace=tmp_path / f"{n}.txt", events=events).digest for n in range(2)]

    assert digests[0] == digests[1]
    assert (tmp_path / "0.txt").read_bytes() == (tmp_path / "1.txt").read_bytes()
    assert (tmp_path / "0.txt").stat().st_size > 10_000


def test_another_seed_gives_another_run(tmp_path: Path) -> None:
    digests = {simulate(mixed(seed), trace=tmp_path / f"{seed}.txt").digest for seed in (3, 4)}

    assert len(digests) == 2
    assert (tmp_path / "3.txt").read_bytes() != (tmp_path / "4.txt").read_bytes()


def test_watching_changes_nothing(tmp_path: Path) -> None:
    plain = simulate(mixed(3))

    looked_at = simulate(mixed(3), trace=tmp_path / "t.txt", check=500, progress=lambda fraction, text: None)

    assert looked_at.digest == plain.digest
    assert looked_at.metrics == plain.metrics


# --- closed forms ---


def test_a_throttled_device_drains_n_bytes_in_n_over_b_seconds(tmp_path: Path) -> None:
    slow = machine(64, filesystem=DATA_ALONE, kind="throttled", write_bps=20 * MIB)

    result, recording = traced(
        scenario(slow, (file(16),), io("write", 16, bs_bytes=128 * KIB, end_fsync=True)), tmp_path
    )

    done = requests(recording, write=True)
    first = requests(recording, "block_rq_issue", write=True)["time_ns"][0]
    assert int(done["nr_sector"].sum()) * 512 == 16 * MIB
    assert (int(done["time_ns"][-1]) - int(first)) / S == pytest.approx(16 / 20, abs=512 / 1024 / 20)
    assert result.document()["jobs"][0]["seconds"] == pytest.approx(16 / 20, abs=0.03)
    assert result.metrics["device_busy_share"] > 0.97


@pytest.mark.parametrize("shared", [False, True])
def test_reads_and_writes_take_turns_where_one_limit_is_for_both(shared: bool, tmp_path: Path) -> None:
    limits = {"write_bps": 20 * MIB, "read_bps": 40 * MIB, "shared_limit": shared}
    slow = machine(64, filesystem=DATA_ALONE, kind="throttled", queue_depth=8, **limits)
    write = io("write", 16, bs_bytes=128 * KIB, end_fsync=True)
    read = io("read", 16, "reader", of=1, bs_bytes=128 * KIB)

    _, recording = traced(scenario(slow, (file(16), file(16, "read", exists=True)), write, read), tmp_path)

    done = [int(requests(recording, write=write)["time_ns"][-1]) / S for write in (True, False)]
    begun = min(int(requests(recording, "block_rq_issue", write=write)["time_ns"][0]) / S for write in (True, False))
    in_turns = 16 / 20 + 16 / 40
    if shared:
        assert max(done) - begun == pytest.approx(in_turns, rel=0.04)
    else:  # both wait for the same eight places, so not quite side by side
        assert 16 / 20 <= max(done) - begun < 0.9 * in_turns


@pytest.mark.parametrize(("which", "zone"), [(0, 0), (1, 8)])
def test_a_disks_sequential_rate_is_that_of_its_zone(which: int, zone: int, tmp_path: Path) -> None:
    disk = machine(64, filesystem=DATA_ALONE, outer_mb_s=100, inner_mb_s=40)
    files = (file(16, "outermost"), file(16, "middle"))

    _, recording = traced(
        scenario(disk, files, io("write", 16, of=which, bs_bytes=128 * KIB, end_fsync=True)), tmp_path
    )

    done = requests(recording, write=True)
    begun = requests(recording, "block_rq_issue", write=True)
    assert len(done) == len(begun) > 10
    outer, inner = PAGE * 1000 // 100, PAGE * 1000 // 40
    per_page = outer + (inner - outer) * zone // 15
    took = (done["time_ns"] - begun["time_ns"])[1:]  # the first one seeks to the file
    assert np.abs(took - done["nr_sector"][1:] // 8 * per_page).max() <= 2 * US


def test_an_iops_limit_is_the_rate_of_requests(tmp_path: Path) -> None:
    slow = machine(64, kind="throttled", read_iops=200)

    result, recording = traced(
        scenario(slow, (file(64, exists=True),), io("randread", 1, norandommap=True, seed=5)), tmp_path
    )

    done = requests(recording, write=False)
    elapsed = (int(done["time_ns"][-1]) - int(requests(recording, "block_rq_issue", write=False)["time_ns"][0])) / S
    assert len(done) > 200
    assert result.document()["devices"]["sda"]["read_requests"] == len(done)
    assert elapsed == pytest.approx(len(done) / 200, rel=0.02)  # a reader without readahead: one request at a time


def test_reading_a_cached_file_costs_no_io() -> None:
    def run(loops: int) -> Result:
        return simulate(scenario(machine(64), (file(8, exists=True),), io("read", 8, loops=loops)))

    once, thrice = run(1), run(3)

    assert once.vmstat["pgpgin"] == thrice.vmstat["pgpgin"] == 8 * 1024
    assert thrice.metrics["read_mb_s"] > once.metrics["read_mb_s"]
    assert thrice.document()["jobs"][0]["read_mib"] == 24


def test_a_sequential_reader_reads_windows_of_128_kib(tmp_path: Path) -> None:
    what = scenario(machine(64), (file(8, exists=True),), io("read", 8, bs_bytes=PAGE))

    _, recording = traced(what, tmp_path, events="full")

    pages = (recording.column("block_bio_queue")["nr_sector"] // 8).tolist()
    assert pages[:5] == [4, 8, 16, 32, 32]  # one page asked for: the first window is four, then each is doubled
    assert set(pages[3:-1]) == {32}
    assert sum(pages) == 8 * 256


def test_a_random_reader_reads_what_it_asks_for_and_no_more(tmp_path: Path) -> None:
    _, recording = traced(
        scenario(machine(64), (file(256, exists=True),), io("randread", 2, norandommap=True, seed=1)), tmp_path
    )

    sectors = requests(recording, write=False)["nr_sector"]
    assert np.mean(sectors == 8) > 0.95


def test_uniform_reads_hit_as_often_as_the_share_of_the_file_that_is_cached() -> None:
    null = machine(32, kind="null")
    reads = 60_000

    result = simulate(
        scenario(
            null,
            (file(64, exists=True),),
            io("randread", reads * 4 // 1024, norandommap=True, seed=2),
            prefill_bytes=0,
        )
    )

    vm = result.vmstat
    nr_reads = reads * 4 // 1024 * 256
    capacity = vm["nr_file_pages"]
    misses = vm["pgpgin"] // 4
    in_file = 64 * 256
    # while the cache fills every new page misses; then each read misses with probability 1 - capacity / file
    filling = -in_file * np.log(1 - capacity / in_file)
    expected = capacity + (nr_reads - filling) * (1 - capacity / in_file)
    assert 0.2 < capacity / in_file < 0.8
    assert misses == pytest.approx(expected, rel=0.04)


def test_a_loop_over_a_file_larger_than_memory_misses_every_time() -> None:
    result = simulate(scenario(machine(32), (file(64, exists=True),), io("read", 64, loops=3, bs_bytes=128 * KIB)))

    assert result.vmstat["pgpgin"] == pytest.approx(3 * 64 * 1024, rel=0.02)


def test_the_bytes_a_job_moved_over_its_time_are_its_rate() -> None:
    result = simulate(scenario(machine(64), (file(8),), io("write", 8, rate_bps=8 * MIB, bs_bytes=64 * KIB)))

    (job,) = result.document()["jobs"]
    assert job["seconds"] == pytest.approx(1, abs=0.02)
    assert job["write_mb_s"] == pytest.approx(8 * MIB / 1e6, rel=0.02)
    assert result.metrics["write_mb_s"] == job["write_mb_s"]
