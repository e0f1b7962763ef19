# SPDX-License-Identifier: GPL-2.0-or-later
"""One source, two ways to run it: machine code and plain Python come to the same state, to the last bit."""

import json
import os
import subprocess
import sys
from functools import cache

import msgspec
import pytest

from pageout.jit import INTERPRETED
from pageout.machine.simulate import simulate
from pageout.vocabulary.scenario import MIB, NS_PER_S, Disk, File, Filesystem, Machine, Scenario, Task, task_seed
from tests.conftest import ROOT

pytestmark = pytest.mark.skipif(INTERPRETED, reason="compares compiled runs with interpreted ones")


def small(
    name: str,
    *tasks: Task,
    files: tuple[int, ...] = (6,),
    swap_mib: int = 0,
    memory_mib: int = 16,
    seed: int = 11,
    **options,
) -> Scenario:
    disk = Disk(**{"size_bytes": 256 * MIB, **options.pop("disk", {})})
    disks = (disk, *options.pop("stacked", ()))
    more = options.pop("more", ())
    machine = Machine(
        memory_bytes=memory_mib * MIB,
        cpus=2,
        swap_bytes=swap_mib * MIB,
        swap_disk="sda" if swap_mib else "",
        disks=disks,
        filesystem=Filesystem(kind=options.pop("fs", "xfs"), disk=disks[-1].name, lower=more[0].name if more else ""),
        more_filesystems=more,
    )
    tasks = tuple(msgspec.structs.replace(task, seed=task_seed(seed, number)) for number, task in enumerate(tasks))
    made = tuple(File(name=f"f{i}", size_bytes=mib * MIB, exists=True) for i, mib in enumerate(files))
    return Scenario(
        name=name, machine=machine, files=made, tasks=tasks, settings={"vm.min_free_kbytes": 4096}, **options
    )


def fresh(*tasks: Task, seed: int) -> Scenario:
    """New files on two XFS filesystems in pieces of two pages: transactions, trees, logs."""
    pieces = Filesystem(kind="xfs", layout="fragmented", fragment_pages=2, size_bytes=64 * MIB)
    both = small("new files on xfs", *tasks, files=(2, 1), seed=seed, prefill_bytes=12 * MIB,
                 more=(msgspec.structs.replace(pieces, name="data", size_bytes=0),))  # fmt: skip
    one, two = both.files
    return msgspec.structs.replace(
        both,
        machine=msgspec.structs.replace(both.machine, filesystem=pieces),
        files=(msgspec.structs.replace(one, exists=False), msgspec.structs.replace(two, filesystem="data")),
    )


def scenarios(seed: int = 11) -> list[Scenario]:
    write = Task(name="write", file=(0,), rw="write", bs_bytes=65536, io_bytes=6 * MIB, end_fsync=True)
    return [
        small("writer", write, seed=seed),
        small("random writer and reader", Task(name="rand", file=(0,), rw="randwrite", io_bytes=MIB),
              Task(name="read", file=(1,), bs_bytes=32768, io_bytes=4 * MIB), files=(8, 8), fs="ext2", seed=seed,
              disk={"elevator": "noop"}),
        small("reclaim under memory pressure", write, Task(name="alloc", kind="alloc", order=1, count=60, hold=30,
              interval_ns=5_000_000, background=True), Task(name="fork", kind="fork", count=20, interval_ns=10_000_000,
              lifetime_ns=50_000_000, background=True), prefill_bytes=16 * MIB),
        small("flushers only", write, design="flushers-only", prefill_bytes=16 * MIB),
        small("huge pages and jumbo frames, gently", write, Task(name="huge", kind="hugepages", count=3,
              interval_ns=10_000_000, background=True), Task(name="rx", kind="alloc", order=2, gfp="atomic", count=60,
              hold=20, interval_ns=1_000_000, background=True), design="gentle-lumpy", prefill_bytes=16 * MIB),
        small("swapping", Task(name="hog", kind="hog", anon_bytes=10 * MIB, hold_ns=10_000_000), swap_mib=16,
              length_ns=NS_PER_S // 10, disk={"kind": "ssd", "queue_depth": 32}),
        small("mmap and unlink", Task(name="map", file=(0,), rw="randwrite", mmap=True, io_bytes=MIB),
              Task(name="rm", kind="unlink", file=(1,), start_delay_ns=20_000_000), files=(4, 4)),
        small("out of memory", Task(name="hog", kind="hog", anon_bytes=24 * MIB, nice=5),
              Task(name="fork", kind="fork", count=20, interval_ns=1_000_000, lifetime_ns=10_000_000_000,
              privileged=True), Task(name="child", kind="hog", anon_bytes=MIB, hold_ns=NS_PER_S, parent="hog"),
              write, disk={"write_error_every": 2}),
        small("ext2 mapped", Task(name="map", file=(0,), rw="randwrite", mmap=True, io_bytes=MIB // 2), fs="ext2"),
        *(small(fs, Task(name="w", file=(0,), rw="write", bs_bytes=65536, io_bytes=MIB, end_fsync=True), fs=fs,
                files=(1,)) for fs in ("ext3", "ext4", "btrfs")),
        fresh(Task(name="w", file=(0,), rw="randwrite", io_bytes=MIB // 2, end_fsync=True),
              Task(name="rm", kind="unlink", file=(1,), start_delay_ns=20_000_000), seed=seed),
        small("union", Task(name="w", file=(0,), rw="write", bs_bytes=65536, io_bytes=MIB // 2, end_fsync=True),
              Task(name="map", file=(1,), rw="write", mmap=True, io_bytes=MIB // 2), fs="union", files=(1, 1),
              more=(Filesystem(name="data", kind="ext4"),)),
    ]  # fmt: skip


def stacked(seed: int = 11) -> list[Scenario]:
    """A RAID5 of iSCSI sessions, a mirror under a linear device, swap on a loop device."""
    plain = tuple(Disk(name=f"d{i}", size_bytes=256 * MIB) for i in range(3))
    sessions = tuple(Disk(name=f"i{i}", kind="iscsi", members=(f"d{i}",), queue_depth=8) for i in range(3))
    loop = Disk(name="loop0", kind="loop", file="f0")
    rand = Task(name="rand", file=(0,), rw="randwrite", io_bytes=MIB // 2, end_fsync=True)
    hog = Task(name="hog", kind="hog", anon_bytes=10 * MIB, hold_ns=10_000_000)
    over_loop = small("loop", hog, files=(16,), swap_mib=16, length_ns=NS_PER_S // 10, seed=seed,
                      disk={"kind": "ssd", "queue_depth": 32})  # fmt: skip
    machine = msgspec.structs.replace(over_loop.machine, disks=(*over_loop.machine.disks, loop), swap_disk="loop0")
    return [
        small("raid5 over iscsi", rand, files=(4,), seed=seed,
              stacked=(*plain, *sessions, Disk(name="md0", kind="raid5", members=("i0", "i1", "i2")))),
        small("linear over a mirror", rand, Task(name="read", file=(1,), bs_bytes=32768, io_bytes=MIB), files=(4, 4),
              stacked=(*plain[:2], Disk(name="md0", kind="raid1", members=("d0", "d1")),
                       Disk(name="dm0", kind="linear", members=("md0",))), seed=seed),
        msgspec.structs.replace(over_loop, machine=machine),
    ]  # fmt: skip


def digests(events: str = "full") -> dict[str, tuple[str, int]]:
    """The digest and the events of each scenario, as this process runs them."""
    found = {}
    for scenario in scenarios() + stacked():
        result = simulate(scenario, events=events)
        found[scenario.name] = (result.digest, int(result.booted.arrays["stat"]["events_handled"][0]))
    return found


@cache
def interpreted() -> dict[str, list]:
    script = "import json; from tests.machine.test_parity import digests; print(json.dumps(digests()))"
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": os.pathsep.join([*sys.path, str(ROOT)])}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


@cache
def compiled() -> dict[str, tuple[str, int]]:
    return digests()


@pytest.mark.parametrize("name", [scenario.name for scenario in scenarios() + stacked()])
def test_a_run_has_the_same_digest_compiled_and_interpreted(name: str) -> None:
    assert compiled()[name] == tuple(interpreted()[name])


def test_parity_runs_stay_small() -> None:
    assert sum(events for _, events in compiled().values()) <= 15_000


def test_the_same_seed_gives_the_same_digest_twice() -> None:
    assert digests() == compiled()


def test_another_seed_gives_another_digest() -> None:
    scenario = scenarios(12)[1]
    assert simulate(scenario, events="full").digest != compiled()[scenario.name][0]


def test_the_seed_given_to_simulate_counts() -> None:
    scenario = scenarios()[1]
    assert simulate(scenario, events="full", seed=12).digest != compiled()[scenario.name][0]


def test_a_seed_that_nothing_draws_from_changes_the_random_state_only() -> None:
    first, second = (simulate(scenarios(seed)[0]) for seed in (11, 12))
    assert first.metrics == second.metrics
    assert first.digest != second.digest
