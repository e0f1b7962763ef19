# SPDX-License-Identifier: GPL-2.0-or-later
"""Which filesystem lies where: its disk, its part of that disk, what a union stands on; and the check that it fits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pageout.vocabulary.errors import did_you_mean
from pageout.vocabulary.keys import FieldError, nth
from pageout.vocabulary.scenario import Disk, Filesystem, Machine, Scenario
from pageout.vocabulary.units import PAGE_BYTES, format_size

TAKEN = ("vm", "machine", "filesystem", "disk", "swap", "run", "reclaim", "throttle", "stack")
MIN_JOURNALED_BYTES = 8 << 20  # mke2fs makes no journal below 2048 blocks


XFS_OWN_SHARE = 128  # assumed: so much of an XFS filesystem at least is left for its trees


class Place(NamedTuple):
    """A filesystem's part of its disk, in blocks of 4 KiB; a union has none."""

    disk: int
    first_block: int
    nr_blocks: int


def places_of(machine: Machine) -> list[Place]:
    """Return where each filesystem lies: side by side on their disks, in order, before the swap area at the end."""
    names = [disk.name for disk in machine.disks]
    used = dict.fromkeys(names, 0)
    places = []
    for filesystem in machine.filesystems:
        if filesystem.kind == "union":
            places.append(Place(names.index(lower_of(machine, filesystem).disk), 0, 0))
            continue
        number = names.index(filesystem.disk)
        left = _blocks(machine, machine.disks[number]) - used[filesystem.disk]
        nr_blocks = min(left, filesystem.size_bytes // PAGE_BYTES) if filesystem.size_bytes else left
        places.append(Place(number, used[filesystem.disk], nr_blocks))
        used[filesystem.disk] += nr_blocks
    return places


def _blocks(machine: Machine, disk: Disk) -> int:
    """Blocks of a disk that filesystems may take."""
    swap = machine.swap_bytes // PAGE_BYTES if machine.swap_disk == disk.name else 0
    return disk.size_bytes // PAGE_BYTES - swap


def number_of(machine: Machine, name: str) -> int:
    """Return the number of a filesystem by its name; no name: the first."""
    return [filesystem.name for filesystem in machine.filesystems].index(name) if name else 0


def lower_of(machine: Machine, filesystem: Filesystem) -> Filesystem:
    """Return the filesystem a union writes to; any other is its own."""
    if filesystem.kind != "union":
        return filesystem
    return machine.filesystems[number_of(machine, filesystem.lower)]


def _require(condition: bool, where: str, message: str) -> None:
    if not condition:
        raise FieldError(where, message)


def check_filesystems(machine: Machine, disks: Mapping[str, Disk]) -> None:
    """Check names, disks, sizes and what unions stand on.  Raises FieldError."""
    mounted = machine.filesystems
    names = [filesystem.name for filesystem in mounted]
    _require(len(mounted) <= 64, "filesystem", "there must be 1 to 64 filesystems")
    for index, filesystem in enumerate(mounted):
        where = nth("filesystem", index)
        usable = filesystem.name.isascii() and filesystem.name.replace("_", "a").isalnum()
        _require(usable and filesystem.name not in TAKEN, f"{where}.name", "must be letters and digits, such as data")
        _require(names.index(filesystem.name) == index, f"{where}.name", "two filesystems have the same name")
        _require(filesystem.name not in disks, f"{where}.name", "a disk has this name too")
        if filesystem.kind == "union":
            _check_union(where, filesystem, mounted)
            continue
        _require(filesystem.disk in disks, f"{where}.disk", f"no such disk{did_you_mean(filesystem.disk, disks)}")
        _check_size(where, filesystem, mounted[:index], disks[filesystem.disk])
        copies = filesystem.kind == "btrfs" and filesystem.delalloc is False
        _require(not copies, f"{where}.delalloc", "btrfs always allocates when it writes back")
    for index, (filesystem, place) in enumerate(zip(mounted, places_of(machine), strict=True)):
        where = nth("filesystem", index)
        fits = filesystem.kind == "union" or place.nr_blocks > 0
        _require(fits, f"{where}.size", "nothing of its disk is left: give what lies before it a size")
        journaled = filesystem.kind in ("ext3", "ext4")
        text = f"{filesystem.kind} needs {format_size(MIN_JOURNALED_BYTES)} for itself and its journal"
        large = place.nr_blocks * PAGE_BYTES >= MIN_JOURNALED_BYTES
        _require(large or not journaled, f"{where}.size", text)


def _check_size(where: str, filesystem: Filesystem, before: Sequence[Filesystem], disk: Disk) -> None:
    _require(filesystem.size_bytes <= disk.size_bytes, f"{where}.size",
             f"is more than its disk, {format_size(disk.size_bytes)}")  # fmt: skip
    beside = [other for other in before if other.kind != "union" and other.disk == filesystem.disk]
    _require(all(other.size_bytes for other in beside), f"{where}.disk",
             f"a filesystem without a size takes all of {disk.name}: give that one a size")  # fmt: skip
    together = sum(other.size_bytes for other in beside) + filesystem.size_bytes
    text = f"together with what lies on {disk.name} before it, more than its disk, {format_size(disk.size_bytes)}"
    _require(together <= disk.size_bytes, f"{where}.size", text)


def _check_union(where: str, filesystem: Filesystem, mounted: Sequence[Filesystem]) -> None:
    kinds = {other.name: other.kind for other in mounted}
    for key, name in (("lower", filesystem.lower), ("readonly", filesystem.readonly)):
        if key == "readonly" and not name:
            continue
        _require(name in kinds, f"{where}.{key}", f"no such filesystem{did_you_mean(name, kinds)}")
        _require(kinds[name] != "union", f"{where}.{key}", "a union on a union is not modelled: name what lies below")


def prefill_home(machine: Machine, nbytes: int) -> int:
    """Return the number of the filesystem that holds the file read in before the run: the first it takes half of."""
    room = [place.nr_blocks * PAGE_BYTES for place in places_of(machine)]
    plain = [number for number, filesystem in enumerate(machine.filesystems) if filesystem.kind != "union"]
    return next((number for number in plain if room[number] >= 2 * nbytes), max(plain, key=lambda number: room[number]))


def check_room(scenario: Scenario) -> None:
    """Check that files name filesystems there are, and that what is laid out before the run fits.  FieldError."""
    machine = scenario.machine
    names = [filesystem.name for filesystem in machine.filesystems]
    room = [place.nr_blocks * PAGE_BYTES for place in places_of(machine)]
    laid_out = [0] * len(room)
    for index, file in enumerate(scenario.files):
        known = not file.filesystem or file.filesystem in names
        text = f"{file.filesystem}: no such filesystem{did_you_mean(file.filesystem, names)}"
        _require(known, f"{nth('file', index)}.filesystem", text)
        filesystem = machine.filesystems[number_of(machine, file.filesystem)]
        if filesystem.kind == "union":
            home = number_of(machine, filesystem.readonly or filesystem.lower)
        else:
            home = number_of(machine, filesystem.name)
        laid_out[home] += file.size_bytes if file.exists or file.unwritten or file.dirty_bytes else 0
    filled = min(scenario.prefill_bytes, machine.memory_bytes)
    laid_out[prefill_home(machine, filled)] += filled
    for filesystem, taken, size in zip(machine.filesystems, laid_out, room, strict=True):
        own = size // XFS_OWN_SHARE if filesystem.kind == "xfs" else 0
        what = "files laid out before the run" + (", with what run.prefill reads," if filled else "")
        text = f"{what} take {format_size(taken)}; {filesystem.name} has {format_size(size - own)} for files"
        _require(taken <= size - own, "file", text)
