# SPDX-License-Identifier: GPL-2.0-or-later
"""White box: the workload of a recording that says it, a fio job or a list of tasks, and how long its calls take."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import msgspec

from pageout.bundle.bundle import Bundle
from pageout.bundle.calls import log_latencies, of_values
from pageout.bundle.evidence import JOB_FILE, fio_text
from pageout.bundle.meta import CaseTask
from pageout.kernel.costs import ADD_TO_CACHE_NS, ALLOC_NS, FAULT_NS, LOOKUP_NS
from pageout.twin.callcost import FASTEST_NS, SLOWEST_NS, call_cost
from pageout.twin.conditions import PAGE_BYTES
from pageout.twin.layout import Program, with_layout
from pageout.vocabulary.errors import TraceError
from pageout.vocabulary.scenario import File, Machine, Task, task_seed
from pageout.workload.fio import read_fio

# fio: extend_file() in filesetup.c preallocates what a job will write, by the native call where there is one.
_NO_FALLOCATE = re.compile(r"^\s{0,20}fallocate\s{0,20}=\s{0,20}(?:none|0)\b", re.MULTILINE)
FAULTED_NS = FAULT_NS + ALLOC_NS + ADD_TO_CACHE_NS + LOOKUP_NS  # of a fresh page, beside clearing it


def has_workload(bundle: Bundle) -> bool:
    """Say whether a recording says its workload."""
    case = bundle.case
    return fio_text(bundle) is not None or (case is not None and bool(case.tasks))


def program_of(
    bundle: Bundle, machine: Machine, seed: int, notes: list[str]
) -> tuple[tuple[File, ...], tuple[Task, ...]]:
    """Return files and tasks of the workload that was said.  Raises TraceError, JobFileError."""
    case = bundle.case
    fio = fio_text(bundle)
    if case is not None and case.tasks and fio is None:
        return _of_tasks(bundle, case.tasks, seed, notes)
    if fio is None:
        raise TraceError(
            f"{bundle.path}: nothing says the workload ({JOB_FILE}, or a case in meta.json): record fio, or describe it"
        )
    scenario = read_fio(bundle.files.where(JOB_FILE), fio, machine, seed=seed, environ={})
    notes += scenario.warnings
    files, tasks = with_layout(bundle, fio, Program(scenario.files, _numbered(scenario.tasks)), seed, notes)
    if _NO_FALLOCATE.search(fio):
        return files, tasks
    notes.append("files: their blocks are laid out in order before the run, unwritten, as fio does by fallocate()")
    return tuple(file if file.exists else msgspec.structs.replace(file, unwritten=True) for file in files), tasks


def _numbered(tasks: tuple[Task, ...]) -> tuple[Task, ...]:
    """Return the tasks with a number behind the names of those that share one, as their calls are called."""
    several, met = Counter(task.name for task in tasks), Counter[str]()
    found = []
    for task in tasks:
        name = task.name if several[task.name] == 1 else f"{task.name}.{met[task.name]}"
        met[task.name] += 1
        found.append(msgspec.structs.replace(task, name=name))
    return tuple(found)


def _of_tasks(
    bundle: Bundle, given: tuple[CaseTask, ...], seed: int, notes: list[str]
) -> tuple[tuple[File, ...], tuple[Task, ...]]:
    files: dict[str, File] = {}
    tasks: list[Task] = []
    for one in given:
        name = (one.log or "").removeprefix("log.").removesuffix(".csv") or f"task{len(tasks)}"
        for fields in _task_fields(bundle, one, name, files, notes):
            if any(task.name == fields["name"] for task in tasks):
                fields["name"] = f"{fields['name']}-{len(tasks)}"
            tasks.append(Task(**fields, seed=task_seed(seed, len(tasks))))
    return tuple(files.values()), tuple(tasks)


def _task_fields(
    bundle: Bundle, one: CaseTask, name: str, files: dict[str, File], notes: list[str]
) -> list[dict[str, Any]]:
    """Return the fields of the task, or of several, that an op stands for."""
    delay = int(one.start_s * 1e9)
    if one.op in ("read", "write", "randread", "randwrite"):
        return [_io(one, name, files) | {"start_delay_ns": delay}]
    if one.op == "touch_anonymous" and one.size:
        rate = _touch_rate(bundle, one)
        hold = int((one.hold_ms or 0) * 1e6)
        hog = {"name": name, "kind": "hog", "anon_bytes": one.size, "rate_bps": rate, "hold_ns": hold}
        return [hog | {"start_delay_ns": delay}]
    if one.op == "nr_hugepages" and one.steps:
        every = int((one.every_s or 0) * 1e9)
        return [
            {"name": f"{name}.{n}", "kind": "hugepages", "count": nr, "pool": True, "start_delay_ns": delay + n * every}
            for n, nr in enumerate(one.steps)
            if nr > 0
        ]
    notes.append(f"a task of kind {one.op} is left out: the model has none")
    return []


def _io(one: CaseTask, name: str, files: dict[str, File]) -> dict[str, Any]:
    file = one.file or name
    bs = one.bs or PAGE_BYTES
    calls = one.nr_writes or one.nr_reads
    size = one.file_size or one.size or bs * (calls or 1)
    old = files.get(file)
    exists = one.cold or one.op in ("read", "randread") or one.op == "randwrite"
    largest = max(size, old.size_bytes if old else 0)
    files[file] = File(name=file, size_bytes=largest, exists=exists or (old is not None and old.exists))
    return {
        "name": name, "kind": "io", "rw": one.op,
        "file": (list(files).index(file),), "bs_bytes": bs, "io_bytes": bs * calls if calls else one.size or size,
        "end_fsync": one.end_fsync, "fsync_every": one.fsync_every or 0, "norandommap": bool(calls),
        "runtime_ns": int((one.limit_s or 0) * 1e9), "rate_bps": int(one.rate or 0),
    }  # fmt: skip


def _touch_rate(bundle: Bundle, one: CaseTask) -> int:
    """Return how fast memory is touched, by the pause after each chunk and its own time; 0: as fast as the CPU can."""
    chunk, pause_us = one.chunk or 0, one.delay_us_per_chunk or 0.0
    if not chunk:
        return int(one.rate or 0)
    return int(chunk * 1e6 / (pause_us + (_chunk_us(bundle, one) or 0.0))) if pause_us else 0


def _chunk_us(bundle: Bundle, one: CaseTask) -> float | None:
    """Return how long touching a chunk takes, by the quarter of its calls that nothing held up."""
    if not one.log or one.log not in bundle.files.names:
        return None
    return of_values(log_latencies(bundle.files, one.log)).at(0.25)


def with_clearing(bundle: Bundle, machine: Machine, notes: list[str]) -> Machine:
    """Return the machine as fast at clearing pages as tasks were that touched fresh memory, if any says."""
    for one in bundle.case.tasks if bundle.case is not None else ():
        if one.op != "touch_anonymous" or (one.chunk or 0) < PAGE_BYTES:
            continue
        took_us = _chunk_us(bundle, one)
        if took_us is None or took_us <= 0:
            continue
        page_ns = took_us * 1000 * PAGE_BYTES / (one.chunk or PAGE_BYTES)
        clear_ns = min(max(round(page_ns - FAULTED_NS), FASTEST_NS), SLOWEST_NS)
        notes.append(f"CPU: a fresh page takes {page_ns / 1000:.3g} us, {clear_ns} ns of it to clear it")
        return msgspec.structs.replace(machine, clear_ns=clear_ns)
    return machine


def with_cost(bundle: Bundle, machine: Machine, tasks: tuple[Task, ...], notes: list[str]) -> Machine:
    """Return the machine as fast as its calls were."""
    sizes = {task.name: task.bs_bytes for task in tasks if task.kind == "io"}
    for task in tasks:  # clones of one job share its name in fio's own output
        sizes.setdefault(task.name.rpartition(".")[0] or task.name, task.bs_bytes)
    cost = call_cost(bundle.calls, sizes, bundle.events, machine.syscall_ns, 1e6 / machine.hz)
    if cost is None:
        notes.append(f"CPU: copies {machine.copy_mb_s} MB/s, no call was timed")
        return machine
    notes.append(f"CPU: {cost.said}: copies {cost.copy_mb_s} MB/s, {cost.syscall_ns} ns a call")
    return msgspec.structs.replace(machine, copy_mb_s=min(cost.copy_mb_s, 10**6), syscall_ns=cost.syscall_ns)
