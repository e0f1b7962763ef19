# SPDX-License-Identifier: GPL-2.0-or-later
"""Devices stacked on others: which stand on which, how large they are, and what cannot be built."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from pageout.vocabulary.errors import did_you_mean, shown
from pageout.vocabulary.keys import FieldError, nth
from pageout.vocabulary.scenario import Disk, File, Machine, Scenario
from pageout.vocabulary.units import MIB, NS_PER_S, format_size

PAGE_BYTES = 4096
PLAIN = ("disk", "ssd", "throttled", "null")
MEMBERS = {"raid0": (2, 32), "raid1": (2, 32), "raid5": (3, 32), "linear": (1, 32), "iscsi": (1, 1)}
MAX_LAYERS = 8


def members_of(disk: Disk, disks: Mapping[str, Disk]) -> list[Disk]:
    """Return the devices a device stands on, in order; those that do not exist are left out."""
    return [disks[name] for name in disk.members if name in disks]


def below(disk: Disk, disks: Mapping[str, Disk], layers: int = MAX_LAYERS) -> Iterator[Disk]:
    """Yield every device below a device, at most `layers` deep."""
    if layers:
        for member in members_of(disk, disks):
            yield member
            yield from below(member, disks, layers - 1)


def capacity(disk: Disk, disks: Mapping[str, Disk], files: Sequence[File] = ()) -> int:
    """Return the bytes a device has room for: its own, or what its members or its file make of it."""
    if disk.kind in PLAIN:
        return disk.size_bytes
    if disk.kind == "loop":
        sizes = [file.size_bytes for file in files if file.name == disk.file]
        return sizes[0] // PAGE_BYTES * PAGE_BYTES if sizes else disk.size_bytes
    sizes = [capacity(member, disks, files) // PAGE_BYTES * PAGE_BYTES for member in members_of(disk, disks)]
    if disk.kind == "linear":
        return sum(sizes)
    smallest = min(sizes, default=0)
    if disk.kind in ("raid1", "iscsi"):
        return smallest
    data = len(sizes) if disk.kind == "raid0" else len(sizes) - 1
    return data * (smallest // disk.chunk_bytes * disk.chunk_bytes)


def sized(machine: Machine, files: Sequence[File] = ()) -> Machine:
    """Return the machine with the size of every stacked device filled in."""
    disks = {disk.name: disk for disk in machine.disks}
    if all(disk.kind in PLAIN for disk in machine.disks):
        return machine
    full = tuple(msgspec.structs.replace(disk, size_bytes=capacity(disk, disks, files)) for disk in machine.disks)
    return msgspec.structs.replace(machine, disks=full)


def sized_scenario(scenario: Scenario) -> Scenario:
    """Return the scenario with the size of every stacked device filled in."""
    return msgspec.structs.replace(scenario, machine=sized(scenario.machine, scenario.files))


def _require(condition: bool, where: str, message: str) -> None:
    if not condition:
        raise FieldError(where, message)


def check_stacks(machine: Machine) -> None:
    """Check that the devices form trees that can be built.  Raises FieldError."""
    disks = {disk.name: disk for disk in machine.disks}
    used: dict[str, str] = {}
    for index, disk in enumerate(machine.disks):
        where = nth("disk", index)
        _check_kind(where, disk)
        for name in disk.members:
            _require(name in disks, f"{where}.members", f"{shown(name)}: no such disk{did_you_mean(name, disks)}")
            text = f"{shown(name)} is a member of {shown(used.get(name, ''))} already, and can be of one device only"
            _require(name not in used, f"{where}.members", text)
            used[name] = disk.name
    for index, disk in enumerate(machine.disks):
        _check_tree(nth("disk", index), disk, disks)
    reserved = sum(disk.min_ratio for disk in machine.disks)
    _require(reserved < 100, "disk.min_ratio", f"the min_ratio of all disks is {reserved}, must be below 100")
    for where, name in (("filesystem.disk", machine.filesystem.disk), ("swap.disk", machine.swap_disk)):
        if where == "filesystem.disk" or machine.swap_bytes:
            text = f"{shown(name)} is a member of {shown(used.get(name, ''))}: name that device, or another disk"
            _require(name not in used, where, text)


def _check_limit(where: str, disk: Disk) -> None:
    """A request larger than a tick would never pass."""
    if disk.kind != "throttled" or disk.limit != "ticks":
        return
    per_tick = disk.tick_bytes or disk.write_bps * disk.tick_ns // NS_PER_S
    _require(per_tick > 0, f"{where}.limit", "ticks need bytes_per_tick or write_bps")
    text = f"a request of {disk.max_sectors_kb} KiB would never pass: a tick has {format_size(per_tick)}"
    _require(disk.max_sectors_kb * 1024 <= per_tick, f"{where}.max_sectors_kb", text)


def _check_kind(where: str, disk: Disk) -> None:
    _check_limit(where, disk)
    text = f"must not be over max_ratio, {disk.max_ratio}"
    _require(disk.min_ratio <= disk.max_ratio, f"{where}.min_ratio", text)
    if disk.kind == "loop":
        _require(bool(disk.file), f"{where}.file", "a loop device needs the name of a [[file]]")
    if disk.kind not in MEMBERS:
        _require(not disk.members, f"{where}.members", f"a {disk.kind} has no members")
        return
    low, high = MEMBERS[disk.kind]
    wanted = str(low) if low == high else f"{low} to {high}"
    _require(low <= len(disk.members) <= high, f"{where}.members", f"a {disk.kind} needs {wanted}")
    aligned = disk.chunk_bytes % PAGE_BYTES == 0
    _require(aligned, f"{where}.chunk", "must be a multiple of 4K")


def _check_tree(where: str, disk: Disk, disks: Mapping[str, Disk]) -> None:
    names = [other.name for other in below(disk, disks)]
    _require(disk.name not in names, f"{where}.members", "the device stands on itself")
    deep = _layers(disk, disks)
    _require(deep <= MAX_LAYERS, f"{where}.members", f"more than {MAX_LAYERS} devices one on the other")
    if disk.kind not in PLAIN and disk.kind != "loop":
        room = capacity(disk, disks)
        _require(room >= 16 * MIB, f"{where}.members", f"leave {format_size(room)} of room, less than 16 MiB")
    if disk.kind == "iscsi":
        (target,) = members_of(disk, disks)
        _require(
            target.kind in PLAIN, f"{where}.members", "the target's device must be a plain disk, not a stacked one"
        )
        enough = disk.queue_depth < target.nr_requests
        _require(enough, f"{where}.queue_depth", "must be below the nr_requests of the target's disk")


def _layers(disk: Disk, disks: Mapping[str, Disk], left: int = MAX_LAYERS + 1) -> int:
    if not left:
        return 0
    return 1 + max((_layers(member, disks, left - 1) for member in members_of(disk, disks)), default=0)


def check_loops(scenario: Scenario) -> None:
    """Check that every loop device has a file of its own, that stays, and does not lie on the device itself."""
    disks = {disk.name: disk for disk in scenario.machine.disks}
    files = {file.name: number for number, file in enumerate(scenario.files)}
    taken: set[str] = set()
    home = disks[scenario.machine.filesystem.disk]
    under_home = {disk.name for disk in (home, *below(home, disks))}
    for index, disk in enumerate(scenario.machine.disks):
        if disk.kind == "loop":
            where = f"{nth('disk', index)}.file"
            _require(disk.file in files, where, f"{shown(disk.file)}: no such [[file]]{did_you_mean(disk.file, files)}")
            _require(disk.file not in taken, where, f"{shown(disk.file)} is another loop device's file already")
            taken.add(disk.file)
            _require(disk.name not in under_home, where, "lies on a filesystem that lies on this very device")
            removed = any(task.kind == "unlink" and files[disk.file] in task.file for task in scenario.tasks)
            _require(not removed, where, f"{shown(disk.file)} is removed by a task while the device uses it")
            room = capacity(disk, disks, scenario.files)
            _require(room >= 16 * MIB, where, f"{shown(disk.file)} has {format_size(room)}, less than 16 MiB")
