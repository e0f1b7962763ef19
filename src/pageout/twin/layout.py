# SPDX-License-Identifier: GPL-2.0-or-later
"""What fio does before its jobs: it lays out the files they read or write over, syncs them, drops them from the cache.

Where a recording shows that, the twin does the same first: a writer a file, one after another, under the same limits.
So the device is as well known, and as much is in memory, as when the real jobs began.

Source: fio 3.33 filesetup.c:setup_files, extend_file.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import msgspec
import polars as pl

from pageout.bundle.bundle import Bundle
from pageout.bundle.evidence import Window, first_of_fio, window_of, written_requests
from pageout.vocabulary.scenario import File, Task, task_seed
from pageout.vocabulary.settings import MAX_TASKS
from pageout.vocabulary.units import MIB

LAYOUT = "layout"
SECTOR_BYTES = 512
SHOWN = 0.5  # of the bytes of the files: so much was written before the jobs began
_NO_FSYNC = re.compile(r"^\s{0,20}create_fsync\s{0,20}=\s{0,20}0\b", re.MULTILINE)


class Program(NamedTuple):
    """Files and tasks."""

    files: tuple[File, ...]
    tasks: tuple[Task, ...]


def with_layout(bundle: Bundle, fio: str, program: Program, seed: int, notes: list[str]) -> Program:
    """Return the program with the layout of its files before it, if the recording shows one."""
    files, tasks = program
    needed = _needed(files, tasks)
    total = sum(files[number].size_bytes for number in needed)
    if not needed or _written_before(bundle) < SHOWN * total or len(needed) + len(tasks) > MAX_TASKS:
        return program
    notes.append(f"files: {total / MIB:,.0f} MiB are laid out before the jobs, synced and dropped from the cache")
    synced = _NO_FSYNC.search(fio) is None
    after = len(tasks)
    first = [
        Task(
            name=_free(f"{LAYOUT}-{number}", tasks), rw="write", file=(number,), bs_bytes=bs, group=turn,
            io_bytes=files[number].size_bytes, end_fsync=synced, drop_cache=True, seed=task_seed(seed, after + turn),
        )
        for turn, (number, bs) in enumerate(needed.items())
    ]  # fmt: skip
    later = [msgspec.structs.replace(task, group=task.group + len(first)) for task in tasks]
    new = [
        msgspec.structs.replace(file, exists=False) if number in needed else file for number, file in enumerate(files)
    ]
    return Program(tuple(new), (*later, *first))


def _needed(files: tuple[File, ...], tasks: tuple[Task, ...]) -> dict[int, int]:
    """Return the files that hold something before the jobs, and the bytes of one call of who lays them out."""
    found: dict[int, int] = {}
    for task in tasks:
        for number in task.file:
            if files[number].exists or task.mmap:
                found.setdefault(number, task.bs_bytes)
    return found


def _written_before(bundle: Bundle) -> float:
    """Return the bytes that the device finished before the jobs began."""
    window = window_of(bundle)
    if window is None or bundle.events is None:
        return 0.0
    rows = written_requests(bundle.events, bundle.device).filter(pl.col("time_ns") < window.start_ns)
    return float(rows["nr_sector"].sum()) * SECTOR_BYTES


def whole_window(bundle: Bundle, tasks: tuple[Task, ...]) -> Window | None:
    """Return when the tasks worked, the layout before them included."""
    window = window_of(bundle)
    if window is None or bundle.events is None or not any(is_layout(task) for task in tasks):
        return window
    first = first_of_fio(bundle.events, window)
    return window if first is None else Window(first, window.end_ns)


def is_layout(task: Task) -> bool:
    """Say whether a task lays out files for others."""
    return task.drop_cache


def _free(name: str, tasks: tuple[Task, ...]) -> str:
    taken = {task.name for task in tasks}
    while name in taken:
        name += "-"
    return name
