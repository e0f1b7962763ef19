# SPDX-License-Identifier: GPL-2.0-or-later
"""Scenarios drawn from a seed: every option of machine, storage, tasks, settings and design may meet every other."""

from __future__ import annotations

import random

import msgspec

from pageout.vocabulary import later_reclaim
from pageout.vocabulary.scenario import Cgroup, Disk, File, Filesystem, Machine, Phase, Scenario, Task
from pageout.vocabulary.settings import DESIGNS

MIB, S, MS = 1 << 20, 1_000_000_000, 1_000_000
# Tasks work, then the machine is left alone until all must be clean: data is written when 30 s old, and what that
# allocates makes metadata dirty, which is written 30 s later.
WORK_NS, REST_NS = 3 * S, 90 * S


def _disk(r: random.Random, name: str) -> Disk:
    kind = r.choice(["disk", "ssd", "throttled", "null"])
    return Disk(
        name=name, kind=kind, size_bytes=r.choice([1, 4]) << 30, nr_requests=r.choice([4, 16, 128]),  # type: ignore[arg-type]
        elevator=r.choice(["deadline", "noop"]), max_sectors_kb=r.choice([4, 64, 512]), read_ahead_kb=r.choice([4, 128, 128, 2560]),  # type: ignore[arg-type]
        queue_depth=r.choice([1, 4, 32]), write_bps=r.choice([0, 5, 50]) * MIB if kind == "throttled" else 0,
        write_iops=r.choice([0, 500]) if kind == "throttled" else 0,
    )  # fmt: skip


def _stack(r: random.Random, disks: tuple[Disk, ...]) -> tuple[Disk, ...]:
    """Put a stack on the disks: an array, perhaps of iSCSI sessions, perhaps with a linear device on top."""
    kind = r.choice(["raid0", "raid1", "raid5", "linear", "iscsi"])
    count = {"raid5": 3, "iscsi": 1}.get(kind, 2)
    names = [f"m{i}" for i in range(count)]
    plain = [_disk(r, name) for name in names]
    stacked = []
    if kind == "iscsi" or r.random() < 0.3:
        plain = [msgspec.structs.replace(disk, nr_requests=64) for disk in plain]
        stacked = [
            Disk(name=f"i{i}", kind="iscsi", members=(name,), queue_depth=r.choice([1, 32]), mb_s=r.choice([5, 100]),
                 rtt_us=r.choice([0, 200, 5000]), socket_buffer_bytes=r.choice([4, 64, 256]) * 1024)
            for i, name in enumerate(names)
        ]  # fmt: skip
        names = [disk.name for disk in stacked]
    if kind != "iscsi":
        stacked.append(
            Disk(name="md0", kind=kind, members=tuple(names), chunk_bytes=r.choice([4, 64, 512]) * 1024)  # type: ignore[arg-type]
        )
    stacked.append(Disk(name="dm0", kind="linear", members=(stacked[-1].name,)))
    return (*disks, *plain, *stacked)


def _node(r: random.Random) -> dict[str, str | int]:
    """Reclaim of 6.x in one scenario of three, with any of what its versions differ in."""
    if r.random() > 0.35:
        return {}
    drawn: dict[str, str | int] = {name: r.choice(values) for name, (values, _) in later_reclaim.CHOICES.items()}
    return drawn | {"reclaim.engine": "node"}


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


def _more_filesystems(
    r: random.Random, disks: tuple[Disk, ...], first: Filesystem
) -> tuple[tuple[Filesystem, ...], list[str]]:
    """A filesystem on the second disk, a union over one of the two; and the names files may be on."""
    more: list[Filesystem] = []
    if len(disks) > 1 and r.random() < 0.6:
        kind = r.choice(["xfs", "ext2", "ext3", "ext4", "btrfs"])
        more.append(Filesystem(name="data", kind=kind, disk="sdb", size_bytes=256 * MIB))  # type: ignore[arg-type]
    if r.random() < 0.4:
        readonly = r.choice(["", "data"]) if more else ""
        more.append(Filesystem(name="u", kind="union", lower=r.choice(["root", *(fs.name for fs in more)]),
                               readonly=readonly))  # fmt: skip
    return tuple(more), ["", *(fs.name for fs in more)]


def draw(seed: int) -> Scenario:
    """Return the scenario of a seed: work for at most 3 s, then rest long enough for everything dirty to be written."""
    r = random.Random(seed)
    memory = r.choice([24, 32, 64, 128]) * MIB
    disks = tuple(_disk(r, name) for name in ("sda", "sdb")[: r.choice([1, 2])])
    swap = r.choice([0, 0, 32 * MIB])
    kind = r.choice(["xfs", "ext2", "xfs", "ext2", "ext3", "ext4", "btrfs"])
    fs = Filesystem(
        kind=kind, delalloc=r.choice([None, True, False]) if kind in ("xfs", "ext2") else None, disk="sda",  # type: ignore[arg-type]
        data=r.choice(["ordered", "writeback"]),  # type: ignore[arg-type]
        layout=r.choice(["contiguous", "fragmented"]), fragment_pages=r.choice([1, 16]),  # type: ignore[arg-type]
        size_bytes=r.choice([0, 0, 48 * MIB]),
    )  # fmt: skip
    more, where = _more_filesystems(r, disks, fs)
    machine = Machine(
        name="drawn", more_filesystems=more,
        memory_bytes=memory, cpus=r.choice([1, 2, 4]), hz=r.choice([100, 250, 1000]), disks=disks,  # type: ignore[arg-type]
        filesystem=fs, swap_bytes=swap, swap_disk=disks[-1].name, stack_bytes=r.choice([4096, 8192, 16384]),
    )  # fmt: skip
    if r.random() < 0.5:
        machine = msgspec.structs.replace(
            machine, disks=_stack(r, disks), filesystem=msgspec.structs.replace(fs, disk="dm0")
        )
    files = tuple(
        File(name=f"f{i}", size_bytes=r.choice([1, 9, 30]) * MIB, exists=r.random() < 0.5, filesystem=r.choice(where))
        for i in range(3)
    )
    if fs.size_bytes:
        files = tuple(File(name=f.name, size_bytes=f.size_bytes, exists=False, filesystem=f.filesystem) for f in files)
    tasks = [_io(r, i, r.randrange(3), False) for i in range(r.choice([1, 2, 4]))] + _others(r, memory)
    if r.random() < 0.3:
        tasks.append(Task(name="rm", kind="unlink", file=(r.randrange(3),), start_delay_ns=S))
    settings = r.choice([{}, {"vm.dirty_bytes": 4 * MIB}, {"vm.laptop_mode": 1}, {"vm.dirty_writeback_centisecs": 100},
                         {"vm.swappiness": 100}, {"vm.min_free_kbytes": 2048}])  # fmt: skip
    scenario = Scenario(
        name=f"seed-{seed}", machine=machine, files=files, tasks=tuple(tasks), settings=dict(settings),
        design=r.choice(sorted(DESIGNS)), choices=_node(random.Random(seed + (1 << 40))), length_ns=WORK_NS + REST_NS, seed=seed,
        prefill_bytes=0 if fs.size_bytes else r.choice([0, memory]),
    )  # fmt: skip
    scenario = _at_work(random.Random(f"at work {seed}"), _later_kernel(random.Random(-1 - seed), scenario))
    r = random.Random(f"cgroups {seed}")
    return grouped(r, scenario) if r.random() < 0.3 else scenario


def _mq_disk(r: random.Random, disk: Disk) -> Disk:
    """What only blk-mq looks at: tags, segments, and how a throttled device's limits work."""
    fields: dict[str, object] = {"tags": r.choice([0, 0, 1, 2, 16]), "max_segments": r.choice([1, 16, 128])}
    fields |= {"wbt": r.random() < 0.5, "wbt_lat_us": r.choice([0, 0, 500]), "write_cache": r.random() < 0.5}
    if disk.kind == "throttled":
        largest = disk.max_sectors_kb * 1024
        fields |= {
            "limit": r.choice(["bucket", "slices", "slices", "ticks"]), "tick_bytes": largest * r.choice([1, 2, 5]),
            "tick_ns": r.choice([1, 20]) * MS, "throttle_slice_ns": r.choice([20, 100]) * MS,
            "latency_us": r.choice([0, 100]), "service_mb_s": r.choice([0, 500]), "read_bps": r.choice([0, 20]) * MIB,
            "read_iops": r.choice([0, 300]),
        }  # fmt: skip
    return msgspec.structs.replace(disk, **fields)


def _later_kernel(r: random.Random, scenario: Scenario) -> Scenario:
    """Half of the machines get the request queue of later kernels. What is drawn for the other half stays as it was."""
    if r.random() < 0.5:
        return scenario
    machine = scenario.machine
    disks = tuple(_mq_disk(r, disk) if disk.kind in ("disk", "ssd", "throttled") else disk for disk in machine.disks)
    chosen = {
        "block.layer": "mq",
        "block.throttle": r.choice(["line", "meta", "spare"]),
        **({"throttle.by": "pause", "write.folios": "all"} if r.random() < 0.5 else {}),
    }
    return msgspec.structs.replace(
        scenario, machine=msgspec.structs.replace(machine, disks=disks), choices={**scenario.choices, **chosen}
    )


def _at_work(r: random.Random, scenario: Scenario) -> Scenario:
    """The same with demand in phases, files that are dirty and devices that are known when the run starts."""
    if r.random() < 0.6:
        return scenario
    unions = {fs.name for fs in scenario.machine.filesystems if fs.kind == "union"}
    files = tuple(
        msgspec.structs.replace(
            file, dirty_bytes=r.choice([4096, file.size_bytes]), dirty_age_ns=r.choice([0, 27, 99]) * S
        )
        if file.filesystem not in unions and r.random() < 0.5 and not scenario.machine.filesystem.size_bytes
        else file
        for file in scenario.files
    )
    tasks = tuple(
        msgspec.structs.replace(
            task, rate_bps=0, phases=_phases(r, task.io_bytes), phase_clock=r.choice(["clock", "own"])
        )
        if task.kind == "io" and r.random() < 0.6
        else task
        for task in scenario.tasks
    )
    disks = tuple(
        msgspec.structs.replace(disk, start_bandwidth=r.choice([0, 4096, 1 << 30]), start_ratelimit=r.choice([0, MIB]),
                                start_written_bytes=r.choice([0, 1 << 30]))
        for disk in scenario.machine.disks
    )  # fmt: skip
    machine = msgspec.structs.replace(scenario.machine, disks=disks)
    return msgspec.structs.replace(scenario, files=files, tasks=tasks, machine=machine)


CGROUPS = {"reclaim.engine": "node", "throttle.by": "pause", "flusher.turn": "bandwidth"}


def grouped(r: random.Random, scenario: Scenario) -> Scenario:
    """The same with memory cgroups, some of them small, and most tasks in one."""
    memory = scenario.machine.memory_bytes
    groups = tuple(
        Cgroup(name=f"g{i}", max_bytes=r.choice([0, memory // 2, memory // 8, MIB]),
               high_bytes=r.choice([0, 0, memory // 3, 2 * MIB]))
        for i in range(r.choice([1, 2, 3]))
    )  # fmt: skip
    names = ["", *(group.name for group in groups)]
    tasks = tuple(msgspec.structs.replace(task, cgroup=r.choice(names)) for task in scenario.tasks)
    walk = {"memcg.walk": r.choice(["all", "part"])}
    return msgspec.structs.replace(
        scenario, cgroups=groups, tasks=tasks, choices={**scenario.choices, **CGROUPS, **walk}
    )


def _phases(r: random.Random, total: int) -> tuple[Phase, ...]:
    half = total // 2
    return Phase(r.choice([0, 200 * MS]), r.choice([0, 5 * MIB]), half), Phase(S, r.choice([0, 4096]), total - half)
