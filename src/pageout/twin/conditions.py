# SPDX-License-Identifier: GPL-2.0-or-later
"""What a recorded machine was set to and made of, for both boxes: sysctls, memory, timer ticks, CPUs, filesystem."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from pageout.events.tables import Events
from pageout.machine.memory_map import zones_of
from pageout.vocabulary.later_kernels import design_for
from pageout.vocabulary.settings import DESIGNS, SYSCTLS, min_free_kbytes, with_sysctl
from pageout.vocabulary.units import MIB

PAGE_BYTES = 4096
FILESYSTEMS = ("xfs", "ext2", "ext3", "ext4", "btrfs")
HZ = (100, 250, 1000)
MOST_CPUS = 256
LEAST_MEMORY = 64 * MIB


class Memory(NamedTuple):
    """RAM, of it in use for good, and page cache when the tasks began; bytes."""

    memory_bytes: int
    taken_bytes: int = 0
    cache_bytes: int = 0


def settings_in_force(told: Mapping[str, int], notes: list[str]) -> dict[str, int]:
    """Return the sysctls that the model knows and that are not as they are by default; of a pair the one in force."""
    settings: dict[str, int] = {}
    for name, value in told.items():
        off = name.endswith("_bytes") and value == 0
        beside = name.endswith("_ratio") and told.get(name.replace("_ratio", "_bytes"), 0) > 0
        if name not in SYSCTLS or off or beside or SYSCTLS[name].default == value:
            continue
        try:
            settings = with_sysctl(settings, name, value)
        except ValueError as error:
            notes.append(f"{name} = {value} is left out: {error}")
    return settings


def memory_holding(usable: int, total: int, cache: int, settings: Mapping[str, int]) -> Memory:
    """Return memory in which `usable` of at least `total` pages are free or page cache, `cache` of them page cache."""
    total = max(total, usable)
    kept = settings.get("vm.min_free_kbytes") or min_free_kbytes(total * PAGE_BYTES, {})
    memory = max(total * PAGE_BYTES, LEAST_MEMORY)
    for _ in range(4):  # the kernel's own share grows with memory
        present = sum(zone.present for zone in zones_of(memory, kept))
        memory = max(memory + (total - present) * PAGE_BYTES, LEAST_MEMORY)
    present = sum(zone.present for zone in zones_of(memory, kept))
    return Memory(memory, max(present - usable, 0) * PAGE_BYTES, cache * PAGE_BYTES)


def ticks_of(hz: int | None, notes: list[str]) -> Any:
    """Return timer ticks a second that the model has."""
    if hz is None:
        notes.append("timer ticks: 250 a second, nothing says")
        return 250
    nearest = min(HZ, key=lambda known: abs(known - hz))
    if nearest != hz:
        notes.append(f"timer ticks: {nearest} a second, the model has no {hz}")
    return nearest


def cpus_of(told: int | None, events: Events | None, notes: list[str]) -> int:
    """Return how many CPUs there were: as told, else those that anything ran on."""
    if not told:
        frames = events.frames.values() if events is not None else ()
        told = max((most for frame in frames if isinstance(most := frame["cpu"].max(), int)), default=0) + 1
        notes.append(f"CPUs: {told}, those that events were of")
    if told > MOST_CPUS:
        notes.append(f"CPUs: {MOST_CPUS}, the model has no {told}")
    return min(max(told, 1), MOST_CPUS)


def filesystem_of(kind: str | None, notes: list[str]) -> Any:
    """Return the filesystem, or what stands in for it."""
    if kind in FILESYSTEMS:
        return kind
    why = "nothing says" if kind is None else f"in place of {kind}, which the model has not"
    notes.append(f"filesystem: ext4, {why}")
    return "ext4"


def floor_moved(kernel: str | None) -> bool:
    """Say whether a kernel's shares of the limit have the floor of 6.14."""
    return DESIGNS[design_for(kernel)]["dirty.floor"] == "share"
