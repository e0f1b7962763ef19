# SPDX-License-Identifier: GPL-2.0-or-later
"""A recording's twin, by either box: the workload as it was said (white), or by trace and samples alone (black)."""

from __future__ import annotations

import dataclasses
import re
from contextlib import suppress
from typing import NamedTuple

import msgspec

from pageout.bundle.bundle import Bundle
from pageout.bundle.evidence import Window, evidence_of, window_of
from pageout.bundle.levels import levels_of
from pageout.twin.blackbox import black_box
from pageout.twin.callcost import page_ns_of
from pageout.twin.completions import devices_of
from pageout.twin.conditions import (
    Memory,
    cpus_of,
    filesystem_of,
    memory_holding,
    settings_in_force,
    ticks_of,
)
from pageout.twin.device import disk_of, share_of
from pageout.twin.elsewhere import activity_of, with_activity
from pageout.twin.estimate import Estimate
from pageout.twin.flushercost import with_flusher_cost
from pageout.twin.grouped import with_cgroup
from pageout.twin.lateness import run_delay, run_delay_of_held
from pageout.twin.layout import whole_window
from pageout.twin.phase import in_phase
from pageout.twin.reclaimcost import with_reclaim_cost
from pageout.twin.recorded_lru import with_lru
from pageout.twin.start import start_of, with_room, with_start
from pageout.twin.whitebox import has_workload, program_of, with_clearing, with_cost
from pageout.vocabulary.errors import JobFileError, ScenarioError, TraceError
from pageout.vocabulary.keys import FieldError
from pageout.vocabulary.later_kernels import design_for, differs_of
from pageout.vocabulary.scenario import File, Filesystem, Machine, Scenario, Task, task_seed
from pageout.vocabulary.settings import check, design_named
from pageout.vocabulary.units import MIB

_PCP_COUNT = re.compile(r"^ {1,40}count: {1,40}(\d{1,9})$", re.MULTILINE)
_MEMINFO = re.compile(r"^(\w{1,40}(?:\(\w{1,20}\))?):\s{1,40}(\d{1,18})", re.MULTILINE)
_RELEASE = re.compile(r"\d{1,3}\.\d{1,3}")


class Twin(NamedTuple):
    """A scenario that stands for a recording, and what of it was assumed or derived."""

    scenario: Scenario
    notes: tuple[str, ...]
    box: str  # white: the workload as it was said; black: by trace and samples
    window: Window | None = None  # black: from the start of its tasks to their end, on the trace's clock


def scenario_of(bundle: Bundle, design: str | None = None, seed: int = 1, box: str = "auto") -> Twin:
    """Return the scenario of a recording.  Raises TraceError, ScenarioError, JobFileError.

    box: white, by the workload it says; black, by trace and samples alone; auto: white where it can be played
    """
    notes: list[str] = []
    design = design_named(design) if design is not None else _design(bundle.kernel, notes)
    if box == "white":
        return _white(bundle, design, seed, notes)
    if box == "auto" and has_workload(bundle):
        try:
            return _white(bundle, design, seed, list(notes))
        except (JobFileError, ScenarioError) as error:
            with suppress(TraceError, ScenarioError):
                return _black(bundle, design, seed, [*notes, f"the workload it says cannot be played: {error}"])
            raise
    return _black(bundle, design, seed, notes)


def _white(bundle: Bundle, design: str, seed: int, notes: list[str]) -> Twin:
    """Return the scenario of the workload that a recording says."""
    memory = _memory(bundle, notes)
    machine = _machine(bundle, memory, notes)
    files, tasks = program_of(bundle, machine, seed, notes)
    machine = with_clearing(bundle, with_cost(bundle, machine, tasks, notes), notes)
    own = {task.name for task in tasks}
    machine, files, tasks = _with_others(bundle, machine, files, tasks, seed, notes)
    machine = with_room(_as_busy(bundle, machine, window_of(bundle), notes), memory.cache_bytes)
    scenario = Scenario(
        name=bundle.name,
        machine=machine,
        files=files,
        tasks=tasks,
        settings=settings_in_force(bundle.sysctl, notes),
        design=design,
        seed=seed,
        prefill_bytes=memory.cache_bytes,
        length_ns=_cut_after(bundle, tasks, notes),
    )
    scenario = with_lru(bundle, with_cgroup(bundle, scenario, notes, own), notes)
    try:
        check(scenario)
    except FieldError as problem:
        raise ScenarioError(f"{bundle.path}: cannot be simulated: {problem.where}: {problem}") from None
    return Twin(scenario, tuple(notes), "white")


def _cut_after(bundle: Bundle, tasks: tuple[Task, ...], notes: list[str]) -> int:
    """Return how long to simulate a command that was not let end, ns; 0: until its tasks are done."""
    window, ended_by = whole_window(bundle, tasks), bundle.meta.ended_by
    cut = ended_by == "duration" or (ended_by or "").startswith("SIG")
    if window is None or not cut:
        return 0
    notes.append(f"the command was cut short by {ended_by}, after {window.seconds:.3g} s: simulated for as long")
    starts = [task.start_delay_ns for task in tasks if not task.background]
    return max(window.end_ns - window.start_ns, 1) + min(starts, default=0)


def _black(bundle: Bundle, design: str, seed: int, notes: list[str]) -> Twin:
    """Return the scenario that trace and samples alone tell of, on the machine's memory and CPUs."""
    if bundle.events is None:
        raise TraceError(f"{bundle.path}: has no trace, and nothing says the workload: there is nothing to replay")
    found = black_box(
        bundle.events, bundle.samples, bundle.sysctl, bundle.kernel or "", bundle.hz, _memory(bundle, notes),
        seed=seed, design=design, device=bundle.device, cpus=bundle.cpus,
        filesystem=filesystem_of(bundle.filesystem, notes), name=bundle.name,
        limit_bps=int(bundle.limits.wbps or 0) if bundle.limits is not None else 0,
        jobs=tuple(calls.name for calls in bundle.calls if calls.is_write),
    )  # fmt: skip
    window = Window(found.start_ns, found.end_ns)
    first, *others = found.scenario.machine.disks
    disks = (msgspec.structs.replace(first, **share_of(bundle)), *others)
    machine = _as_busy(bundle, msgspec.structs.replace(found.scenario.machine, disks=disks), window, notes)
    machine = with_flusher_cost(bundle.events, with_reclaim_cost(bundle.events, machine, notes), notes)
    said = ["black box: the workload by trace and samples alone", *notes]
    bytes_of = {what: one for what, one in found.estimates.items() if what.endswith(".bytes")}
    said.append("demand, MiB: " + ", ".join(f"{what[:-6]} {_told(one, MIB)}" for what, one in bytes_of.items()))
    said += [f"{what}: {_told(one)}" for what, one in found.estimates.items() if what not in bytes_of]
    scenario = with_cgroup(bundle, msgspec.structs.replace(found.scenario, machine=machine), said)
    scenario = with_lru(bundle, scenario, said)
    return Twin(scenario, (*said, *found.notes), "black", window)


def _told(one: Estimate, unit: int = 1) -> str:
    """Return an estimate, and the interval where it has one."""
    value, low, high = (f"{number / unit:.4g}" for number in one)
    return value if low == high else f"{value} ({low} to {high})"


def _design(kernel: str | None, notes: list[str]) -> str:
    """Return the design that stands for a kernel; say so where it is not the kernel's own."""
    design = design_for(kernel)
    found = _RELEASE.match(kernel or "")
    if found is None:
        notes.append(f"kernel: nothing says; design {design}, the newest, stands for it")
    elif not design.endswith(f"-{found[0]}"):
        differs = differs_of(kernel)
        notes.append(f"kernel {kernel}: design {design} stands for it, the nearest that was read{differs}")
    return design


def _machine(bundle: Bundle, memory: Memory, notes: list[str]) -> Machine:
    disk = disk_of(bundle)
    notes += disk.notes
    machine = Machine(
        name="recorded",
        memory_bytes=memory.memory_bytes,
        taken_bytes=memory.taken_bytes,
        cpus=cpus_of(bundle.cpus, bundle.events, notes),
        hz=ticks_of(bundle.hz, notes),
        disks=(disk.disk,),
        filesystem=Filesystem(kind=filesystem_of(bundle.filesystem, notes), disk=disk.disk.name),
    )
    return with_flusher_cost(bundle.events, with_reclaim_cost(bundle.events, machine, notes), notes)


def _as_busy(bundle: Bundle, machine: Machine, window: Window | None, notes: list[str]) -> Machine:
    """Return the machine as busy with other things as it was."""
    samples = bundle.samples
    late = run_delay(samples.time_ns, window.start_ns, window.end_ns) if samples is not None and window else None
    if late is None or window is None or machine.cpus == 1:  # on one CPU the sampler waits for the recorded tasks, too
        return machine
    if bundle.events is not None:
        tick_ns, page_ns = 1_000_000_000 // machine.hz, page_ns_of(machine.copy_mb_s)
        late = run_delay_of_held(bundle.events, tick_ns, page_ns, window.start_ns, window.end_ns) or late
    notes.append(late.said)
    return msgspec.structs.replace(machine, busy_percent=late.busy_percent, run_delay_ns=late.run_delay_ns)


def _with_others(
    bundle: Bundle, machine: Machine, files: tuple[File, ...], tasks: tuple[Task, ...], seed: int, notes: list[str]
) -> tuple[Machine, tuple[File, ...], tuple[Task, ...]]:
    """Return all with what was so before, and with what others wrote meanwhile, as far as events say it."""
    window, samples, events = whole_window(bundle, tasks), bundle.samples, bundle.events
    if events is None or bundle.device is None or window is None:
        return machine, files, tasks
    columns, time_ns = (samples.columns, samples.time_ns) if samples is not None else (None, None)
    devices = devices_of(events, columns, time_ns, 10**9 // machine.hz)
    device = devices.get(bundle.device)
    if device is None:
        return machine, files, tasks
    start = start_of(events, (columns, time_ns), device, window.start_ns, bundle.sysctl, bundle.kernel)
    machine, files = with_start(machine, files, start, notes)
    tasks = in_phase(machine.disks[0], tasks, device, window.start_ns)
    levels = levels_of(dataclasses.replace(evidence_of(bundle), window=window))
    activity = activity_of(levels, devices, device, window.start_ns, window.end_ns)
    if activity is None:
        return machine, files, tasks
    return with_activity(machine, files, tasks, activity, task_seed(seed, len(tasks)), notes)


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


def _kept_by_cpus(bundle: Bundle) -> int:
    """Return the free pages on CPUs' own lists, which no counter of free pages has; since 6.7 they may be many."""
    return sum(map(int, _PCP_COUNT.findall(bundle.proc("zoneinfo.before") or "")))


def _memory(bundle: Bundle, notes: list[str]) -> Memory:
    """Return memory in which what is free and what is page cache are as they were."""
    free = _at_start(bundle, "nr_free_pages")
    meminfo = {name: int(value) for name, value in _MEMINFO.findall(bundle.proc("meminfo.before") or "")}
    case = bundle.case
    noted = case.memory if case else None
    if free is None:
        free = (meminfo.get("MemFree") or (noted.free_kib if noted else None) or 0) // 4
    free += _kept_by_cpus(bundle)
    cache = _file_pages(bundle)
    total_kib = meminfo.get("MemTotal") or (noted.total_kib if noted else None)
    machine = bundle.meta.machine
    total = (total_kib or (machine.memory_kib if machine else None) or 0) // 4
    if not free + cache:
        raise TraceError(f"{bundle.path}: nothing says how much memory was free: sample nr_free_pages, keep meminfo")
    if total < free + cache:
        notes.append(f"memory: {(free + cache) // 256:,} MiB, what was free; how much more there was nobody says")
    return memory_holding(free + cache, total, cache, bundle.sysctl)
