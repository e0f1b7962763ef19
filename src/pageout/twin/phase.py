# SPDX-License-Identifier: GPL-2.0-or-later
"""Where the device's clock stood when the tasks of a recording began, for a device that works by ticks."""

from __future__ import annotations

import msgspec
import numpy as np

from pageout.twin.completions import Device
from pageout.vocabulary.scenario import Disk, Task

ENOUGH = 16  # ticks at which requests were let go
STEADY = 0.8  # length of the mean of their places on the clock's circle


def until_tick(device: Device, disk: Disk, start_ns: int) -> int | None:
    """Return how long after start_ns the device's next tick was, ns; None if its completions keep to no clock.

    A tick lets go what waits, so the first completion behind a pause comes so much later as the device takes.
    """
    done, tick = device.written_ns, disk.tick_ns
    first = done[1:][np.diff(done) > tick // 2] if len(done) else done
    if len(first) < ENOUGH:
        return None
    angles = 2 * np.pi * ((first - start_ns - disk.latency_us * 1000) % tick) / tick
    mean = np.exp(1j * angles).mean()
    if abs(mean) < STEADY:
        return None
    return int(np.angle(mean) % (2 * np.pi) / (2 * np.pi) * tick) % tick


def in_phase(disk: Disk, tasks: tuple[Task, ...], device: Device, start_ns: int) -> tuple[Task, ...]:
    """Return the tasks begun as far before one of the device's ticks, which come from time 0 on, as they did."""
    if disk.limit != "ticks" or not disk.tick_ns:
        return tasks
    until = until_tick(device, disk, start_ns)
    if not until:
        return tasks
    return begun_later(tasks, disk.tick_ns - until)


def begun_later(tasks: tuple[Task, ...], shift_ns: int) -> tuple[Task, ...]:
    """Return the tasks as much later: those of the first group, which the others wait for as they did."""
    first = min((task.group for task in tasks), default=0)
    return tuple(
        msgspec.structs.replace(task, start_delay_ns=task.start_delay_ns + shift_ns) if task.group == first else task
        for task in tasks
    )
