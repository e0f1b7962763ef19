# SPDX-License-Identifier: GPL-2.0-or-later
"""White box: a recording that says its workload and its device, as a scenario to simulate."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import msgspec

from pageout.bundle.bundle import Bundle
from pageout.bundle.calls import job_text, log_latencies, of_values
from pageout.bundle.evidence import window_of
from pageout.bundle.meta import CaseTask
from pageout.machine.memory_map import zones_of
from pageout.replay.blackbox import Memory, black_box
from pageout.twin.callcost import call_cost
from pageout.twin.device import disk_of
from pageout.twin.grouped import with_cgroup
from pageout.twin.started import with_start
from pageout.vocabulary.errors import ScenarioError, TraceError
from pageout.vocabulary.later_kernels import design_for
from pageout.vocabulary.scenario import FieldError, File, Filesystem, Machine, Scenario, Task, task_seed
from pageout.vocabulary.settings import DESIGNS, SYSCTLS, check, design_named, min_free_kbytes, with_sysctl
from pageout.vocabulary.units import MIB
from pageout.workload.fio import read_fio

PAGE_BYTES = 4096
FILESYSTEMS = ("xfs", "ext2", "ext3", "ext4", "btrfs")
HZ = (100, 250, 1000)
LEAST_MEMORY = 64 * MIB
_MEMINFO = re.compile(r"^(\w{1,40}(?:\(\w{1,20}\))?):\s{1,40}(\d{1,18})", re.MULTILINE)
JOB_FILE = "job.fio"
# fio: extend_file() in filesetup.c preallocates what a job will write, by the native call where there is one.
_NO_FALLOCATE = re.compile(r"^\s{0,20}fallocate\s{0,20}=\s{0,20}(?:none|0)\b", re.MULTILINE)


class Twin(NamedTuple):
    """A scenario that stands for a recording, and what of it was assumed or derived."""

    scenario: Scenario
    notes: tuple[str, ...]
    box: str  # white: the workload as it was said; black: by trace and samples


def has_workload(bundle: Bundle) -> bool:
    """Say whether a recording says its workload."""
    case = bundle.case
    return fio_text(bundle) is not None or (case is not None and bool(case.tasks))


def fio_text(bundle: Bundle) -> str | None:
    """Return the fio job that ran: of the case, as kept, or as fio's own output tells of it."""
    case = bundle.case
    if case is not None and case.fio is not None:
        return case.fio
    return bundle.files.text(JOB_FILE) if JOB_FILE in bundle.files.names else job_text(bundle.files)


def scenario_of(bundle: Bundle, design: str | None = None, seed: int = 1, box: str = "auto") -> Twin:
    """Return the scenario of a recording.  Raises TraceError, ScenarioError, JobFileError.

    box: white, by the workload it says; black, by trace and samples alone; auto: white if it says one
    """
    if box == "auto":
        box = "white" if has_workload(bundle) else "black"
    notes: list[str] = []
    machine = _machine(bundle, notes)
    if box == "black":
        return _black(bundle, machine, design_named(design or design_for(bundle.kernel)), seed, notes)
    files, tasks = _program(bundle, machine, seed, notes)
    machine = _with_cost(bundle, machine, tasks, notes)
    design = design_named(design or design_for(bundle.kernel))
    floor_moved = DESIGNS[design_for(bundle.kernel)]["dirty.floor"] == "share"
    machine, files = with_start(bundle, machine, files, floor_moved, notes)
    scenario = Scenario(
        name=bundle.name,
        machine=machine,
        files=files,
        tasks=tasks,
        settings=_settings(bundle, notes),
        design=design,
        seed=seed,
        prefill_bytes=_file_pages(bundle) * PAGE_BYTES,
    )
    scenario = with_cgroup(bundle, scenario, notes)
    try:
        check(scenario)
    except FieldError as problem:
        raise ScenarioError(f"{bundle.path}: cannot be simulated: {problem.where}: {problem}") from None
    return Twin(scenario, tuple(notes), box)


def _black(bundle: Bundle, machine: Machine, design: str, seed: int, notes: list[str]) -> Twin:
    """Return the scenario that trace and samples alone tell of, on the machine's memory and CPUs."""
    if bundle.events is None:
        raise TraceError(f"{bundle.path}: has no trace, and nothing says the workload: there is nothing to replay")
    memory = Memory(machine.memory_bytes, machine.taken_bytes, _file_pages(bundle) * PAGE_BYTES)
    found = black_box(
        bundle.events, bundle.samples, _settings(bundle, []), bundle.kernel or "", machine.hz, memory,
        seed=seed, design=design, device=bundle.device, cpus=machine.cpus, filesystem=machine.filesystem.kind,
        name=bundle.name,
    )  # fmt: skip
    said = ["black box: the workload by trace and samples alone"]
    said += [f"{what}: {one.value:.4g} ({one.low:.4g} to {one.high:.4g})" for what, one in found.estimates.items()]
    scenario = with_cgroup(bundle, found.scenario, said)
    return Twin(scenario, (*said, *found.notes), "black")


def _settings(bundle: Bundle, notes: list[str]) -> dict[str, int]:
    """Return the sysctls that the model knows; of a pair the one that is in force."""
    settings: dict[str, int] = {}
    for name, value in bundle.sysctl.items():
        off = name.endswith("_bytes") and value == 0
        beside = name.endswith("_ratio") and bundle.sysctl.get(name.replace("_ratio", "_bytes"), 0) > 0
        if name not in SYSCTLS or off or beside or SYSCTLS[name].default == value:
            continue
        try:
            settings = with_sysctl(settings, name, value)
        except ValueError as error:
            notes.append(f"{name} = {value} is left out: {error}")
    return settings


# Machine


def _machine(bundle: Bundle, notes: list[str]) -> Machine:
    case = bundle.case
    disk = disk_of(bundle)
    notes += disk.notes
    hz = bundle.hz or 250
    if bundle.hz is None:
        notes.append("timer ticks: 250 a second, nothing says")
    nearest = min(HZ, key=lambda known: abs(known - hz))
    if nearest != hz:
        notes.append(f"timer ticks: {nearest} a second, the model has no {hz}")
    memory, taken = _memory(bundle, notes)
    return Machine(
        name="recorded",
        memory_bytes=memory,
        taken_bytes=taken,
        cpus=min(max(bundle.meta.cpus or (case.cpus if case else None) or _cpus(bundle, notes), 1), 256),
        hz=nearest,  # type: ignore[arg-type]
        disks=(disk.disk,),
        filesystem=Filesystem(kind=_filesystem(bundle, notes), disk=disk.disk.name),  # type: ignore[arg-type]
    )


def _cpus(bundle: Bundle, notes: list[str]) -> int:
    """Return how many CPUs anything ran on."""
    frames = bundle.events.frames.values() if bundle.events is not None else ()
    highest = [most for frame in frames if isinstance(most := frame["cpu"].max(), int)]
    nr_cpus = max(highest, default=0) + 1
    notes.append(f"CPUs: {nr_cpus}, those that events were of")
    return nr_cpus


def _filesystem(bundle: Bundle, notes: list[str]) -> str:
    case = bundle.case
    mounted = next((one.type for one in bundle.meta.mounts if one.dev is not None and one.dev == bundle.device), None)
    kind = (case.fs if case else None) or mounted
    if kind in FILESYSTEMS:
        return kind
    notes.append(f"filesystem: ext4{'' if kind is None else f' in place of {kind}'}, " + (
        "nothing says" if kind is None else "which the model has not"))  # fmt: skip
    return "ext4"


def _at_start(bundle: Bundle, name: str) -> int | None:
    """Return a counter of /proc/vmstat as it was when the tasks began: sampled, else kept from before."""
    samples, window = bundle.samples, window_of(bundle)
    column = samples.column(name) if samples is not None else None
    if samples is not None and column is not None and len(column):
        row = int((samples.time_ns <= window.start_ns).sum()) - 1 if window is not None else 0
        if column[max(row, 0)] == column[max(row, 0)]:
            return int(column[max(row, 0)])
    return bundle.vmstat("before").get(name)


def _file_pages(bundle: Bundle) -> int:
    """Return the page cache on the LRU lists: what reclaim can have."""
    return sum(_at_start(bundle, name) or 0 for name in ("nr_inactive_file", "nr_active_file"))


def _memory(bundle: Bundle, notes: list[str]) -> tuple[int, int]:
    """Return (RAM, of it in use for good) so that what is free and what is page cache are as they were."""
    free = _at_start(bundle, "nr_free_pages")
    meminfo = {name: int(value) for name, value in _MEMINFO.findall(bundle.proc("meminfo.before") or "")}
    case = bundle.case
    noted = case.memory if case else None
    if free is None:
        free = (meminfo.get("MemFree") or (noted.free_kib if noted else None) or 0) // 4
    usable = free + _file_pages(bundle)
    total_kib = meminfo.get("MemTotal") or (noted.total_kib if noted else None)
    machine = bundle.meta.machine
    total = (total_kib or (machine.memory_kib if machine else None) or 0) // 4
    if not usable:
        raise TraceError(f"{bundle.path}: nothing says how much memory was free: sample nr_free_pages, keep meminfo")
    if total < usable:
        notes.append(f"memory: {usable // 256:,} MiB, what was free; how much more there was nobody says")
        total = usable
    kept = bundle.sysctl.get("vm.min_free_kbytes") or min_free_kbytes(total * PAGE_BYTES, {})
    memory = max(total * PAGE_BYTES, LEAST_MEMORY)
    for _ in range(4):  # the kernel's own share grows with memory
        present = sum(zone.present for zone in zones_of(memory, kept))
        memory = max(memory + (total - present) * PAGE_BYTES, LEAST_MEMORY)
    present = sum(zone.present for zone in zones_of(memory, kept))
    return memory, max(present - usable, 0) * PAGE_BYTES


def _with_cost(bundle: Bundle, machine: Machine, tasks: tuple[Task, ...], notes: list[str]) -> Machine:
    """Return the machine as fast as its calls were."""
    sizes = {task.name: task.bs_bytes for task in tasks if task.kind == "io"}
    for task in tasks:  # clones of one job share its name in fio's own output
        sizes.setdefault(task.name.rpartition(".")[0] or task.name, task.bs_bytes)
    cost = call_cost(bundle.calls, sizes, bundle.events, machine.syscall_ns)
    if cost is None:
        notes.append(f"CPU: copies {machine.copy_mb_s} MB/s, no call was timed")
        return machine
    notes.append(f"CPU: {cost.said}: copies {cost.copy_mb_s} MB/s, {cost.syscall_ns} ns a call")
    return msgspec.structs.replace(machine, copy_mb_s=min(cost.copy_mb_s, 10**6), syscall_ns=cost.syscall_ns)


# Workload


def _program(
    bundle: Bundle, machine: Machine, seed: int, notes: list[str]
) -> tuple[tuple[File, ...], tuple[Task, ...]]:
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
    if _NO_FALLOCATE.search(fio):
        return scenario.files, scenario.tasks
    notes.append("files: their blocks are laid out in order before the run, unwritten, as fio does by fallocate()")
    return tuple(
        file if file.exists else msgspec.structs.replace(file, unwritten=True) for file in scenario.files
    ), scenario.tasks


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
        added = [step - before for step, before in zip(one.steps, (0, *one.steps), strict=False)]
        return [
            {"name": f"{name}.{n}", "kind": "hugepages", "count": nr, "start_delay_ns": delay + n * every}
            for n, nr in enumerate(added)
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
        "end_fsync": one.end_fsync, "runtime_ns": int((one.limit_s or 0) * 1e9), "norandommap": bool(calls),
        "rate_bps": int(one.rate or 0),
    }  # fmt: skip


def _touch_rate(bundle: Bundle, one: CaseTask) -> int:
    """Return how fast memory is touched: a chunk takes as long as the quarter of its calls that nothing held up."""
    chunk = one.chunk or 0
    if not chunk:
        return int(one.rate or 0)
    name = one.log or ""
    took_us = one.delay_us_per_chunk or 0.0
    if name in bundle.files.names:
        took_us += of_values(log_latencies(bundle.files, name)).at(0.25) or 0.0
    return int(chunk * 1e6 / took_us) if took_us > 0 else 0
