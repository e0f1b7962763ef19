# SPDX-License-Identifier: GPL-2.0-or-later
"""Scenarios drawn from a seed: every option of machine, storage, tasks, settings and design may meet every other."""

from __future__ import annotations

import random

from pageout.vocabulary.scenario import Disk, File, Filesystem, Machine, Scenario, Task
from pageout.vocabulary.settings import DESIGNS

MIB, S, MS = 1 << 20, 1_000_000_000, 1_000_000
WORK_NS, REST_NS = 3 * S, 60 * S  # tasks work, then the machine is left alone until all must be clean


def _disk(r: random.Random, name: str) -> Disk:
    kind = r.choice(["disk", "ssd", "throttled", "null"])
    return Disk(
        name=name, kind=kind, size_bytes=r.choice([1, 4]) << 30, nr_requests=r.choice([4, 16, 128]),  # type: ignore[arg-type]
        elevator=r.choice(["deadline", "noop"]), max_sectors_kb=r.choice([4, 64, 512]),  # type: ignore[arg-type]
        queue_depth=r.choice([1, 4, 32]), write_bps=r.choice([0, 5, 50]) * MIB if kind == "throttled" else 0,
        write_iops=r.choice([0, 500]) if kind == "throttled" else 0,
    )  # fmt: skip


def _io(r: random.Random, i: int, file: int, exists: bool) -> Task:
    rw = r.choice(["write", "randwrite", "read", "randread", "rw", "randrw"])
    return Task(
        name=f"io{i}", rw=rw, file=(file,), bs_bytes=r.choice([512, 4096, 6000, 65536, 131072]),  # type: ignore[arg-type]
        io_bytes=r.choice([1, 8, 40]) * MIB, mmap=r.random() < 0.25, fsync_every=r.choice([0, 0, 0, 7]),
        end_fsync=r.random() < 0.3, rate_bps=r.choice([0, 0, 5 * MIB]), norandommap=r.random() < 0.5,
        runtime_ns=WORK_NS, thinktime_ns=r.choice([0, 0, MS]), thinktime_blocks=4, seed=r.randrange(1 << 30),
        distribution=r.choice(["random", "random", "zipf"]), theta=1.1, start_delay_ns=r.choice([0, 200 * MS]),
        group=r.choice([0, 0, 1]) if i else 0,
    )  # type: ignore[arg-type]  # fmt: skip


def _others(r: random.Random, memory: int) -> list[Task]:
    tasks = []
    if r.random() < 0.6:
        tasks.append(Task(name="netrx", kind="alloc", order=r.choice([0, 1, 3, 5]), interval_ns=r.choice([1, 10]) * MS,
                          hold=r.choice([0, 50]), count=200))  # fmt: skip
    if r.random() < 0.4:
        tasks.append(Task(name="select", kind="select", interval_ns=MS, count=500))
    if r.random() < 0.4:
        tasks.append(Task(name="fork", kind="fork", interval_ns=5 * MS, lifetime_ns=100 * MS, count=200))
    if r.random() < 0.3:
        tasks.append(Task(name="huge", kind="hugepages", interval_ns=100 * MS, count=2))
    if r.random() < 0.3:
        tasks.append(Task(name="jumbo", kind="alloc", order=r.choice([1, 2]), interval_ns=5 * MS, hold=50, count=200,
                          gfp=r.choice(["atomic", "kernel", "nofs", "noio"])))  # type: ignore[arg-type]  # fmt: skip
    if r.random() < 0.6:
        tasks.append(Task(name="hog", kind="hog", anon_bytes=int(memory * r.choice([0.3, 0.6, 0.9])), hold_ns=S,
                          rate_bps=r.choice([0, 100 * MIB]), start_delay_ns=r.choice([0, S])))  # fmt: skip
    return tasks


def draw(seed: int) -> Scenario:
    """Return the scenario of a seed: work for at most 3 s, then rest long enough for everything dirty to be written."""
    r = random.Random(seed)
    memory = r.choice([24, 32, 64, 128]) * MIB
    disks = tuple(_disk(r, name) for name in ("sda", "sdb")[: r.choice([1, 2])])
    swap = r.choice([0, 0, 32 * MIB])
    fs = Filesystem(
        kind=r.choice(["xfs", "ext2"]), delalloc=r.choice([None, True, False]), disk="sda",  # type: ignore[arg-type]
        layout=r.choice(["contiguous", "fragmented"]), fragment_pages=r.choice([1, 16]),  # type: ignore[arg-type]
        size_bytes=r.choice([0, 0, 48 * MIB]),
    )  # fmt: skip
    machine = Machine(
        name="drawn", memory_bytes=memory, cpus=r.choice([1, 2, 4]), hz=r.choice([100, 250, 1000]), disks=disks,  # type: ignore[arg-type]
        filesystem=fs, swap_bytes=swap, swap_disk=disks[-1].name, stack_bytes=r.choice([4096, 8192, 16384]),
    )  # fmt: skip
    files = tuple(File(name=f"f{i}", size_bytes=r.choice([1, 9, 30]) * MIB, exists=r.random() < 0.5) for i in range(3))
    if fs.size_bytes:
        files = tuple(File(name=f.name, size_bytes=f.size_bytes, exists=False) for f in files)
    tasks = [_io(r, i, r.randrange(3), False) for i in range(r.choice([1, 2, 4]))] + _others(r, memory)
    if r.random() < 0.3:
        tasks.append(Task(name="rm", kind="unlink", file=(r.randrange(3),), start_delay_ns=S))
    settings = r.choice([{}, {"vm.dirty_bytes": 4 * MIB}, {"vm.laptop_mode": 1}, {"vm.dirty_writeback_centisecs": 100},
                         {"vm.swappiness": 100}, {"vm.min_free_kbytes": 2048}])  # fmt: skip
    return Scenario(
        name=f"seed-{seed}", machine=machine, files=files, tasks=tuple(tasks), settings=dict(settings),
        design=r.choice(sorted(DESIGNS)), length_ns=WORK_NS + REST_NS, seed=seed,
        prefill_bytes=0 if fs.size_bytes else r.choice([0, memory]),
    )  # fmt: skip
