# SPDX-License-Identifier: GPL-2.0-or-later
"""From a scenario's tasks and files to job records, inodes and the tables they draw from."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from pageout.engine import constants as c
from pageout.engine.constants import GFP_ATOMIC, GFP_COMP, GFP_KERNEL, GFP_NOFS, GFP_WAIT, NIL
from pageout.kernel.sched import allocators
from pageout.kernel.sched import user as programs
from pageout.kernel.sched.highorder import JOB_HUGEPAGES
from pageout.machine.filesystems import Inode, Mounts
from pageout.machine.tables import pareto_table, zipf_table
from pageout.vocabulary.errors import UsageError
from pageout.vocabulary.mounts import number_of, prefill_home
from pageout.vocabulary.scenario import IO_KINDS, Scenario, Task

PAGE = 4096
MAX_RANKS = 1 << 22  # a distribution over more blocks than this is drawn in groups of equal weight
KINDS = {
    "io": programs.JOB_IO,
    "alloc": programs.JOB_ALLOC,
    "select": programs.JOB_SELECT,
    "fork": programs.JOB_FORK,
    "hog": programs.JOB_HOG,
    "unlink": programs.JOB_UNLINK,
    "hugepages": JOB_HUGEPAGES,
    "poll": allocators.JOB_POLL,
    "sendfile": programs.JOB_IO,
    "nfsd": programs.JOB_IO,
}
GFP = {"auto": 0, "kernel": GFP_KERNEL, "nofs": GFP_NOFS, "noio": GFP_WAIT, "atomic": GFP_ATOMIC}
CALLERS = {"sendfile": c.CALLER_SENDFILE, "nfsd": c.CALLER_NFSD}
DIRECTIONS = {"read": 0, "write": 1, "randread": 2, "randwrite": 3, "rw": 4, "randrw": 5}
MAP_BITS = programs.MAP_BITS
MOST_MAP_WORDS = 1 << 22  # a larger map is a permutation instead
ADVICE = {"normal": 0, "sequential": 1, "random": 2}


class Jobs(NamedTuple):
    """Job records as dicts of fields, and the arrays they point into."""

    rows: list[dict[str, int]]
    tables: Any
    file_list: list[int]
    request_list: Any
    nr_groups: int
    fill_inode: int
    dirty_rows: range  # where the tables say what is dirty when the run starts: rows of inode, pages, age


def inodes_of(scenario: Scenario, mounts: Mounts) -> list[Inode]:
    """Files first, in the scenario's order; anonymous memory of hogs; the file the cache is filled from; the hidden."""
    machine = scenario.machine
    inodes = [
        mounts.file(
            -(-file.size_bytes // PAGE),
            file.exists or file.unwritten or file.dirty_bytes > 0,
            number_of(machine, file.filesystem),
            unwritten=file.unwritten,
        )
        for file in scenario.files
    ]
    inodes += [Inode(-(-task.anon_bytes // PAGE), False, True) for task in scenario.tasks if task.kind == "hog"]
    if scenario.prefill_bytes:
        pages = min(scenario.prefill_bytes, machine.memory_bytes) // PAGE
        inodes.append(mounts.file(max(1, pages), True, prefill_home(machine, pages * PAGE)))
    return mounts.with_hidden(scenario, inodes)


def _fill_inode(scenario: Scenario) -> int:
    hogs = sum(task.kind == "hog" for task in scenario.tasks)
    return len(scenario.files) + hogs if scenario.prefill_bytes else NIL


def _feistel_bits(nr_blocks: int) -> int:
    bits = max(2, (nr_blocks - 1).bit_length())
    return bits + bits % 2


def _io_fields(scenario: Scenario, task: Task) -> dict[str, int]:
    size = min(scenario.files[i].size_bytes for i in task.file)
    return {
        "rw": DIRECTIONS[task.rw],
        "caller": CALLERS.get(task.kind, c.CALLER_SYSCALL),
        "rwmixread": task.rwmixread,
        "block_bytes": task.bs_bytes,
        "io_bytes": task.io_bytes or sum(scenario.files[i].size_bytes for i in task.file),
        "offset_bytes": task.offset_bytes,
        "fsync_every": task.fsync_every,
        "end_fsync": int(task.end_fsync),
        "drop_cache": int(task.drop_cache),
        "advice": ADVICE[task.advice],
        "norandommap": int(task.norandommap),
        "mmap": int(task.mmap),
        "loops": task.loops,
        "file_bytes": size,
        "nr_blocks": max(1, size // task.bs_bytes),
        "feistel_bits": _feistel_bits(max(1, size // task.bs_bytes)),
        "key": task.seed & 0x7FFFFFFF,
    }


def _common_fields(task: Task) -> dict[str, int]:
    return {
        "kind": KINDS[task.kind],
        "rate_bps": task.rate_bps,
        "thinktime_ns": task.thinktime_ns,
        "thinktime_blocks": max(1, task.thinktime_blocks),
        "runtime_ns": task.runtime_ns,
        "time_based": int(task.time_based),
        "start_delay_ns": task.start_delay_ns,
        "group": task.group,
        "order": task.order,
        "gfp": GFP[task.gfp] | (GFP_COMP if task.order and task.gfp != "auto" else 0),  # as kmalloc asks for blocks
        "count": task.count,
        "pool": int(task.pool),
        "interval_ns": task.interval_ns,
        "hold": task.hold,
        "anon_bytes": task.anon_bytes,
        "hold_ns": task.hold_ns,
        "lifetime_ns": task.lifetime_ns,
        "background": int(task.background),
        "mm_inode": NIL,
        "map_start": NIL,
        "nr_files": max(1, len(task.file)),
    }


def _distribution(task: Task, nr_blocks: int) -> Any:
    """The cumulative table a job draws ranks from."""
    ranks = min(nr_blocks, MAX_RANKS)
    return zipf_table(ranks, task.theta) if task.distribution == "zipf" else pareto_table(ranks, task.theta)


def _phases(task: Task) -> Any:
    """The rows a job's phases are played by: start, rate, and the bytes moved when the phase is over."""
    ends = np.cumsum([phase.amount_bytes for phase in task.phases])
    rows = [(p.start_ns, p.rate_bps, int(end)) for p, end in zip(task.phases, ends, strict=True)]
    return np.array(rows, dtype=np.int64).reshape(-1)


def _dirty(scenario: Scenario) -> Any:
    """What is dirty when the run starts, the oldest file first: lists of dirty inodes are in the order of age."""
    dirty = [(-file.dirty_age_ns, number, file) for number, file in enumerate(scenario.files) if file.dirty_bytes]
    dirty.sort(key=lambda one: one[:2])
    rows = [(number, -(-file.dirty_bytes // PAGE), -age) for age, number, file in dirty]
    return np.array(rows, dtype=np.int64).reshape(-1)


def _replay(rows: list[dict[str, int]], request_list: Any) -> Any:
    """Make the first io task read a list of pages of its file, one after the other. Returns the list as int64."""
    requests = np.ascontiguousarray(request_list, dtype=np.int64)
    row = next((row for row in rows if row["kind"] == programs.JOB_IO), None)
    if row is None:
        raise UsageError("request_list: the scenario has no io task to read it")
    nr_pages = -(-row["file_bytes"] // PAGE)
    if len(requests) and not 0 <= int(requests.min()) <= int(requests.max()) < nr_pages:
        raise UsageError(f"request_list: must hold page numbers from 0 to {nr_pages - 1}, the pages of the task's file")
    row |= {"kind": programs.JOB_REQUESTS, "requests_start": 0, "nr_requests": len(requests)}
    return requests


def jobs_of(scenario: Scenario, request_list: Any = None) -> Jobs:
    """Build the job records; equal distributions share one table.

    request_list: page numbers that the first io task reads in turn, in place of what it would do
    """
    rows: list[dict[str, int]] = []
    tables: list[Any] = []
    made: dict[tuple[str, float, int], int] = {}
    file_list: list[int] = []
    next_hog, table_at = len(scenario.files), 0
    for task in scenario.tasks:
        row = _common_fields(task)
        row["file_start"] = len(file_list)
        file_list += task.file
        if task.kind in IO_KINDS:
            row |= _io_fields(scenario, task)
        if task.kind in IO_KINDS and task.distribution != "random":
            key = (task.distribution, task.theta, row["nr_blocks"])
            if key not in made:
                made[key] = table_at
                tables.append(_distribution(task, row["nr_blocks"]))
                table_at += len(tables[-1])
            row |= {"distribution": 1, "zipf_start": made[key], "zipf_nr": min(row["nr_blocks"], MAX_RANKS)}
        if task.next_free and not task.norandommap and task.distribution == "random":
            words = -(-row["nr_blocks"] // MAP_BITS) * max(1, len(task.file))
            if words <= MOST_MAP_WORDS:
                row["map_start"] = table_at
                tables.append(np.zeros(words, np.int64))
                table_at += words
        if task.phases:
            row |= {"phases_start": table_at, "nr_phases": len(task.phases)}
            row |= {"phase_own": int(task.phase_clock == "own")}
            tables.append(_phases(task))
            table_at += len(tables[-1])
        if task.kind == "hog":
            row["mm_inode"], next_hog = next_hog, next_hog + 1
        rows.append(row)
    dirty = _dirty(scenario)
    tables.append(dirty)
    groups = 1 + max((task.group for task in scenario.tasks), default=0)
    table = np.concatenate(tables)
    fill = _fill_inode(scenario)
    requests = np.zeros(0, dtype=np.int64) if request_list is None else _replay(rows, request_list)
    return Jobs(rows, table, file_list, requests, groups, fill, range(table_at, len(table), 3))
