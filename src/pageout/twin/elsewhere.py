# SPDX-License-Identifier: GPL-2.0-or-later
"""What other tasks wrote to other devices while a recording ran: one writer who stands for all of them.

Each device has a share of the dirty limit, as much as it completes of all pages written back; so who installs packages
on the root disk takes from the share of the disk that matters. What others dirtied in a time is what was written for
them in it, and what is dirty for them at its end more than at its beginning. Where their pages stay dirty but for a
moment, somebody waits for them: the writer calls fsync as often.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pageout.bundle.levels import Levels
from pageout.twin.completions import Device
from pageout.twin.conditions import PAGE_BYTES
from pageout.twin.start import ELSEWHERE, mounted_elsewhere
from pageout.vocabulary.scenario import File, Machine, Phase, Task
from pageout.vocabulary.units import MIB

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

SLOT_NS = 250_000_000
CALL_BYTES = 65536
LEAST_BYTES = 4 * MIB
LEAST_SHARE = 0.01  # of what the device that matters wrote
MOST_FILE_BYTES = 256 * MIB
SOON_S = 1.0  # pages that stay dirty no longer are waited for


class Activity(NamedTuple):
    """Demand on other devices, and how much is dirtied between two calls of fsync (0: none calls it)."""

    phases: tuple[Phase, ...]
    total_bytes: int
    sync_bytes: int


def activity_of(
    levels: Levels | None, devices: Mapping[str, Device], main: Device, start_ns: int, end_ns: int
) -> Activity | None:
    """Return what others wrote between two times; None if that is too little to matter, or nothing tells.

    levels: what of the machine's dirty pages others held
    """
    if levels is None or end_ns - start_ns < 2 * SLOT_NS:
        return None
    edges = np.append(np.arange(start_ns, end_ns, SLOT_NS), end_ns)
    written = sum((_written(one, edges) for one in devices.values() if one.name != main.name), np.zeros(len(edges)))
    held_then = np.interp(edges, levels.time_ns, levels.others) * PAGE_BYTES
    dirtied = np.maximum.accumulate(written - written[0] + held_then - held_then[0])
    total = int(dirtied[-1])
    if total < max(LEAST_BYTES, LEAST_SHARE * main.written_bytes):
        return None
    amounts = np.diff(dirtied.astype(np.int64) // CALL_BYTES * CALL_BYTES)
    phases = tuple(
        Phase(int(edges[n] - start_ns), int(amount * 10**9 // SLOT_NS), int(amount))
        for n, amount in enumerate(amounts)
        if amount > 0
    )
    mean_held = float(held_then.mean())
    stays_s = mean_held * (end_ns - start_ns) / 1e9 / total
    sync = int(2 * mean_held) // CALL_BYTES * CALL_BYTES if stays_s < SOON_S else 0
    return Activity(phases, sum(phase.amount_bytes for phase in phases), sync) if phases else None


def with_activity(
    machine: Machine, files: tuple[File, ...], tasks: tuple[Task, ...], found: Activity, seed: int, notes: list[str]
) -> tuple[Machine, tuple[File, ...], tuple[Task, ...]]:
    """Return machine, files and tasks with a writer who stands for all others."""
    synced = f", fsync after each {found.sync_bytes / MIB:.2g} MiB" if found.sync_bytes else ""
    notes.append(f"other devices: {found.total_bytes / MIB:,.0f} MiB were written to them meanwhile{synced}")
    name = _free("others", {file.name for file in files} | {task.name for task in tasks})
    size = min(found.total_bytes, MOST_FILE_BYTES)
    task = Task(
        name=name, rw="write", file=(len(files),), bs_bytes=CALL_BYTES, io_bytes=found.total_bytes, seed=seed,
        phases=found.phases, fsync_every=max(found.sync_bytes // CALL_BYTES, 1) if found.sync_bytes else 0,
        background=True,
    )  # fmt: skip
    files = (*files, File(name=name, size_bytes=size, exists=True, filesystem=ELSEWHERE))
    return mounted_elsewhere(machine, 0), files, (*tasks, task)


def _free(name: str, taken: set[str]) -> str:
    return next(one for one in (name, *(f"{name}-{n}" for n in range(2, 4096))) if one not in taken)


def _written(device: Device, edges: Ints) -> Floats:
    """Return the bytes a device had completed at each of these times."""
    so_far = np.concatenate(([0.0], np.cumsum(device.written)))
    found: Floats = so_far[np.searchsorted(device.written_ns, edges, side="right")]
    return found
