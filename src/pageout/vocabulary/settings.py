# SPDX-License-Identifier: GPL-2.0-or-later
"""Sysctls, designs and their choices; `--set`; and the check at the door that a scenario can be simulated at all."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import msgspec

from pageout.vocabulary import cgroups, later_kernels, later_reclaim, old_kernels
from pageout.vocabulary.demand import check_dirty, check_phases
from pageout.vocabulary.errors import ScenarioError, SettingError, did_you_mean, shown
from pageout.vocabulary.keys import FieldError, keys_of, nth, value_of_text
from pageout.vocabulary.mounts import check_filesystems, check_room
from pageout.vocabulary.scenario import IO_KINDS, PERIODIC_KINDS, Disk, Filesystem, Machine, Scenario, Task
from pageout.vocabulary.storage import check_loops, check_stacks, sized, sized_scenario
from pageout.vocabulary.units import KIB, MAX_VALUE, PAGE_BYTES, format_size, parse_count, parse_size

MAX_TASKS, MAX_FILES = 1024, 65536
MAX_DISK_BYTES = 8 << 40  # blocks are numbered in 31 bits
MAX_USES = 1 << 18  # files counted once for each task that uses them
S = TypeVar("S", bound=msgspec.Struct)


class Sysctl(NamedTuple):
    """A kernel setting: its default in 2.6.34, its range, whether it is written as a size."""

    default: int
    low: int
    high: int
    is_size: bool
    doc: str


SYSCTLS = {
    "vm.dirty_ratio": Sysctl(20, 0, 100, False, "percent of dirtyable memory; the kernel takes 5 for less than 5"),
    "vm.dirty_bytes": Sysctl(0, 0, 1 << 44, True, "instead of dirty_ratio, which it sets to 0; at least two pages"),
    "vm.dirty_background_ratio": Sysctl(10, 0, 100, False, "percent of dirtyable memory where flushers start"),
    "vm.dirty_background_bytes": Sysctl(0, 0, 1 << 44, True, "instead of dirty_background_ratio, which it sets to 0"),
    "vm.dirty_expire_centisecs": Sysctl(3000, 0, 10**9, False, "age at which dirty data is written, 1/100 s"),
    "vm.dirty_writeback_centisecs": Sysctl(500, 0, 10**9, False, "time between flusher wakeups, 1/100 s, 0 = never"),
    "vm.min_free_kbytes": Sysctl(0, 0, 1 << 34, False, "KiB kept free, 0 = isqrt(16 * lowmem KiB) as at boot"),
    "vm.swappiness": Sysctl(60, 0, 200, False, "how readily anonymous memory is reclaimed; 100 at most before 5.8"),
    "vm.watermark_scale_factor": Sysctl(10, 1, 3000, False, "gap between marks, 1/10000 of a zone: watermark.marks"),
    "vm.watermark_boost_factor": Sysctl(
        15000, 0, 10**9, False, "most that fragmentation raises marks, 1/10000 of HIGH: buddy.steal"
    ),
    "vm.laptop_mode": Sysctl(0, 0, 10**9, False, "seconds from a read to a full flush, 0 = off"),
    "vm.panic_on_oom": Sysctl(0, 0, 2, False, "1 or 2: panic in place of killing a task"),
    "vm.oom_kill_allocating_task": Sysctl(0, 0, 1, False, "1: kill the task that asks for memory, if it can be killed"),
    "vm.oom_dump_tasks": Sysctl(0, 0, 1, False, "1: the kernel's report of an OOM lists all tasks"),
    "kernel.hung_task_timeout_secs": Sysctl(120, 0, 10**6, False, "time a task may be blocked unreported, 0 = ever"),
    "vm.vfs_cache_pressure": Sysctl(100, 0, 10**9, False, "accepted, without effect: slab caches are not modelled"),
}

CHOICES: dict[str, tuple[tuple[str, ...], str]] = {
    "reclaim.writeback": (
        ("always", "kswapd", "never", "high-order", "priority", "urgent"),
        "who may write dirty file pages from reclaim",
    ),
    "reclaim.kick": (("scanned", "dirty", "none", "inodes"), "what direct reclaim asks the flushers for"),
    "reclaim.wait_on_dirty": (("off", "congestion"), "whether reclaim that meets dirty pages waits for the device"),
    "reclaim.lumpy": (("on", "off", "gentle"), "whether reclaim for high orders takes physical neighbours, or how"),
    "reclaim.throttle": (("congestion", "writeback"), "what makes reclaim wait: any time a device, or pages in flight"),
    "reclaim.progress": (("freed", "reclaimable"), "when direct reclaim reports success: pages freed, or a zone left"),
    "reclaim.around": (("off", "16", "32", "64"), "window of file pages written with a dirty page that reclaim writes"),
    "reclaim.worker": (("off", "node", "cpu"), "whether a thread does direct reclaim: one a node, or one a CPU"),
    "reclaim.worker_order": (("lru", "file"), "order in which that thread takes its pages"),
    "throttle.start": (("midpoint", "background", "limit"), "dirty level from which writers are held back"),
    "stack.overflow": (
        ("report", "stop"),
        "a kernel stack that runs over: go on and report it, or end as a crash would",
    ),
    "stack.diet": (("off", "on"), "frames of reclaim, select() and splice made smaller; select() allocates instead"),
    "dirty.limits": (("global", "zone", "node"), "of which a page for writing is to be within its share of the limit"),
    "background.start": (("ratio", "half"), "dirty level at which flushers start: as set, or half of it"),
    "flusher.background": (("all", "oldest"), "inodes of background writeback: all, or the long dirty ones first"),
    "flusher.order": (
        ("dirtied_when", "page_age"),
        "which inode a flusher takes next: by stamp or by oldest page",
    ),
    "lru.split": (("on", "off"), "whether file pages have an active list beside the inactive one"),
    "watermark.gap": (("kernel", "wide"), "LOW and HIGH above MIN: as in the kernel, or eight times as far"),
    "stack.switch": (("off", "reclaim", "writepage"), "where a task that reclaims goes over to a fresh stack"),
    **old_kernels.CHOICES,
    **later_kernels.CHOICES,
    "stack.bytes": ((), "kernel stack of a task, a power of two from 4K to 64K; unset: the machine's"),
}

_STATUS_QUO: dict[str, str | int] = {
    "reclaim.writeback": "always",
    "reclaim.kick": "scanned",
    "reclaim.wait_on_dirty": "off",
    "reclaim.lumpy": "on",
    "reclaim.throttle": "congestion",
    "reclaim.progress": "freed",
    "reclaim.around": "off",
    "reclaim.worker": "off",
    "reclaim.worker_order": "lru",
    "throttle.start": "midpoint",
    "stack.overflow": "report",
    "stack.diet": "off",
    "dirty.limits": "global",
    "background.start": "ratio",
    "flusher.background": "all",
    "flusher.order": "dirtied_when",
    "lru.split": "on",
    "watermark.gap": "kernel",
    "stack.switch": "off",
    **old_kernels.STATUS_QUO,
    **later_kernels.STATUS_QUO,
}
_GORMAN: dict[str, str | int] = {
    "reclaim.writeback": "kswapd",
    "reclaim.wait_on_dirty": "congestion",
    "flusher.background": "oldest",
}
# Who proposed each, its cost and what became of it: docs/designs, a page each.
DESIGNS: dict[str, dict[str, str | int]] = {
    "linux-2.6.34": _STATUS_QUO,
    "no-direct-writeback": _STATUS_QUO | {"reclaim.writeback": "kswapd"},
    "order-0-only": _STATUS_QUO | {"reclaim.writeback": "high-order"},
    "kosaki-priority": _STATUS_QUO | {"reclaim.writeback": "priority"},
    "flushers-only": _STATUS_QUO | _GORMAN | {"reclaim.kick": "dirty"},
    "inode-targeting": _STATUS_QUO | _GORMAN | {"reclaim.kick": "inodes"},
    "write-around": _STATUS_QUO | {"reclaim.around": "32"},
    "reclaim-thread": _STATUS_QUO | {"reclaim.worker": "node"},
    "stack-switch": _STATUS_QUO | {"stack.switch": "reclaim"},
    "gentle-lumpy": _STATUS_QUO | {"reclaim.lumpy": "gentle"},
    "throttle-earlier": _STATUS_QUO | {"throttle.start": "background"},
    "stack-diet": _STATUS_QUO | {"stack.diet": "on"},
    "stack-16k": _STATUS_QUO | {"stack.bytes": 16384},
    "zone-dirty-limits": _STATUS_QUO | {"dirty.limits": "zone"},
    **{name: _STATUS_QUO | chosen for name, chosen in (old_kernels.DESIGNS | later_kernels.DESIGNS).items()},
    "reclaim-3.2": _STATUS_QUO
    | {"reclaim.writeback": "urgent", "reclaim.throttle": "writeback", "reclaim.progress": "reclaimable"},
}
_EXCLUDES = {
    "vm.dirty_bytes": "vm.dirty_ratio",
    "vm.dirty_ratio": "vm.dirty_bytes",
    "vm.dirty_background_bytes": "vm.dirty_background_ratio",
    "vm.dirty_background_ratio": "vm.dirty_background_bytes",
}


def sysctls(scenario: Scenario) -> dict[str, int]:
    """Return every modelled sysctl with the value in force; min_free_kbytes as the kernel computes it."""
    values = {name: sysctl.default for name, sysctl in SYSCTLS.items()} | scenario.settings
    kbytes = min_free_kbytes(scenario.machine.memory_bytes, values)
    if not values["vm.min_free_kbytes"]:
        kbytes = later_reclaim.min_free_kbytes(kbytes, scenario.machine.memory_bytes, choices(scenario))
    values["vm.min_free_kbytes"] = kbytes
    return values


def choices(scenario: Scenario) -> dict[str, str | int]:
    """Return the design's choices with the scenario's own on top."""
    stack: dict[str, str | int] = {"stack.bytes": scenario.machine.stack_bytes}
    return stack | DESIGNS[scenario.design] | scenario.choices


def min_free_kbytes(memory_bytes: int, settings: Mapping[str, int]) -> int:
    """Return the sysctl as set, or as sized at boot.  Source: Linux v2.6.34 mm/page_alloc.c:init_per_zone_wmark_min."""
    given = settings.get("vm.min_free_kbytes", 0)
    return given or min(max(math.isqrt(memory_bytes // KIB * 16), 128), 65536)


# Writing one sysctl or choice


def with_sysctl(settings: Mapping[str, int], name: str, value: object) -> dict[str, int]:
    """Return settings with one sysctl written: a ratio zeroes its bytes and the reverse, as in the kernel.

    Raises ValueError if there is no such sysctl or value.
    """
    sysctl = SYSCTLS.get(name)
    if sysctl is None:
        raise ValueError(f"no such sysctl{did_you_mean(name, SYSCTLS)}")
    amount = _whole(value, parse_size if sysctl.is_size else parse_count)
    if not sysctl.low <= amount <= sysctl.high:
        raise ValueError(f"must be from {sysctl.low} to {sysctl.high}")
    if name == "vm.dirty_bytes" and 0 < amount < 2 * PAGE_BYTES:
        raise ValueError(f"must be 0 or at least {2 * PAGE_BYTES}, two pages, as in the kernel")
    zeroed = {_EXCLUDES[name]: 0} if name in _EXCLUDES and (amount or not sysctl.is_size) else {}
    return {**settings, **zeroed, name: amount}


def choice(name: str, value: object) -> str | int:
    """Return a checked value of a choice point.  Raises ValueError if there is no such choice or value."""
    if name not in CHOICES:
        raise ValueError(f"no such choice{did_you_mean(name, CHOICES)}")
    allowed = CHOICES[name][0]
    if allowed:
        written = str(value) if type(value) is int else value
        if written not in allowed:
            raise ValueError(f"must be one of {', '.join(allowed)}")
        return str(written)
    amount = _whole(value, parse_size)
    if not _is_stack_size(amount):
        raise ValueError("must be a power of two from 4096 to 65536 (the article's machine: 8192)")
    return amount


def design_named(name: object) -> str:
    """Return a checked design name.  Raises SettingError naming the nearest one."""
    if isinstance(name, str) and name in DESIGNS:
        return name
    raise SettingError(f"design {shown(name)}: no such design{did_you_mean(str(name)[:60], DESIGNS)}")


def _whole(value: object, parse: Callable[[str], int]) -> int:
    if type(value) is int:
        return value
    if isinstance(value, str):
        return parse(value)
    raise ValueError("must be a whole number")


def _is_stack_size(amount: int) -> bool:
    return 4096 <= amount <= 65536 and amount & (amount - 1) == 0


# --set


def apply_settings(scenario: Scenario, assignments: Iterable[str]) -> Scenario:
    """Return the scenario with each `NAME=VALUE` of --set applied in order, checked at the end.  Raises SettingError.

    NAME: a sysctl, a choice, `machine.KEY`, `filesystem.KEY`, `swap.KEY`, `run.KEY`, DISK.KEY (`disk.KEY`: the first).
    """
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        if not equals:
            raise SettingError(f"--set {shown(assignment)}: write NAME=VALUE, for example vm.dirty_bytes=64M")
        try:
            scenario = _assigned(scenario, name.strip(), value.strip())
        except ValueError as error:
            raise SettingError(f"--set {shown(assignment)}: {error}") from None
    try:
        check(scenario)
    except FieldError as problem:
        raise SettingError(f"--set: {problem.where}: {problem}") from None
    return scenario


def _assigned(scenario: Scenario, name: str, value: str) -> Scenario:
    """Return the scenario with one name set; ValueError if there is no such name or value."""
    if name in SYSCTLS:
        warnings = scenario.warnings + warnings_of_sysctl("--set", name)
        return msgspec.structs.replace(
            scenario, settings=with_sysctl(scenario.settings, name, value), warnings=warnings
        )
    if name in CHOICES:
        return msgspec.structs.replace(scenario, choices={**scenario.choices, name: choice(name, value)})
    if (limited := cgroups.with_limit(scenario, name, value)) is not None:
        return limited
    room, _, key = name.partition(".")
    machine = scenario.machine
    disks = [disk.name for disk in machine.disks]
    if room == "disk" and "disk" not in disks:
        room = machine.filesystem.disk
    if room in disks and key in keys_of(Disk):
        return _with_disk(scenario, disks.index(room), key, value)
    mounted = [filesystem.name for filesystem in machine.filesystems]
    if (room == "filesystem" or room in mounted) and key in FILESYSTEM_KEYS:
        return _with_filesystem(scenario, 0 if room == "filesystem" else mounted.index(room), key, value)
    if room == "run" and key in keys_of(Scenario):
        return _replaced(scenario, key, value)
    if room in ("machine", "swap") and (key if room == "machine" else name) in keys_of(Machine):
        changed = _replaced(machine, key if room == "machine" else name, value)
        if changed.swap_bytes and not changed.swap_disk:
            changed = msgspec.structs.replace(changed, swap_disk=disks[0])
        return msgspec.structs.replace(scenario, machine=renamed(changed, machine))
    raise ValueError(f"no such setting{did_you_mean(name, setting_names(scenario))}")


def setting_names(scenario: Scenario) -> list[str]:
    """Return every name --set takes for this scenario."""
    rooms: list[tuple[str, type[msgspec.Struct]]] = [(disk.name, Disk) for disk in scenario.machine.disks]
    rooms += [("machine", Machine), ("filesystem", Filesystem), ("run", Scenario)]
    rooms += [(filesystem.name, Filesystem) for filesystem in scenario.machine.filesystems]
    names = [f"{room}.{key}" for room, struct in rooms for key in keys_of(struct) if "." not in key]
    return [*SYSCTLS, *CHOICES, *names, "swap.size", "swap.disk", *cgroups.limit_names(scenario)]


def warnings_of_sysctl(origin: str, name: str) -> tuple[str, ...]:
    """Return what to warn of when a sysctl is set, at most one line."""
    unused = name == "vm.vfs_cache_pressure"
    return (f"{origin}: {name} has no effect: slab caches are not modelled",) if unused else ()


def _replaced(struct: S, key: str, text: str) -> S:
    field = keys_of(type(struct))[key]
    if field.field == "members":
        return msgspec.structs.replace(struct, members=tuple(name.strip() for name in text.split(",")))
    return msgspec.structs.replace(struct, **{field.field: value_of_text(field, text)})


def renamed(machine: Machine, before: Machine) -> Machine:
    """Return a machine that differs from the one it was made from under a name that says so."""
    changed = machine != before and machine.name == before.name and not machine.name.endswith(" (changed)")
    return msgspec.structs.replace(machine, name=f"{machine.name} (changed)") if changed else machine


def _with_machine(scenario: Scenario, **fields: Any) -> Scenario:
    machine = msgspec.structs.replace(scenario.machine, **fields)
    return msgspec.structs.replace(scenario, machine=renamed(machine, scenario.machine))


FILESYSTEM_KEYS = {*keys_of(Filesystem), "type"}


def _with_filesystem(scenario: Scenario, index: int, key: str, value: str) -> Scenario:
    """Set a key of a filesystem; `type` is another word for kind."""
    mounted = list(scenario.machine.filesystems)
    mounted[index] = _replaced(mounted[index], "kind" if key == "type" else key, value)
    return _with_machine(scenario, filesystem=mounted[0], more_filesystems=tuple(mounted[1:]))


def _with_disk(scenario: Scenario, index: int, key: str, value: str) -> Scenario:
    """Set a key of a disk; a limit makes the disk a throttled one and says what that gives up."""
    disks = list(scenario.machine.disks)
    disk = _replaced(disks[index], key, value)
    if key == "kind":
        disk = msgspec.structs.replace(disk, queue_depth=default_queue_depth(disk.kind))
    if keys_of(Disk)[key].of == {"throttled"} and disk.kind != "throttled":
        text = f"--set {disk.name}.{key}: {disk.name} is now of kind throttled, its seeks and latencies not modelled"
        disk = msgspec.structs.replace(disk, kind="throttled")
        scenario = msgspec.structs.replace(scenario, warnings=(*scenario.warnings, text))
    disks[index] = disk
    return _with_machine(scenario, disks=tuple(disks))


def default_queue_depth(kind: str) -> int:
    """Return how many requests a device of this kind holds at once unless told."""
    return 32 if kind in ("ssd", "iscsi") else 1


# The check at the door


def validate(scenario: Scenario) -> None:
    """Refuse a scenario that cannot be simulated.  Raises ScenarioError."""
    try:
        check(scenario)
    except FieldError as problem:
        raise ScenarioError(f"{problem.where}: {problem}") from None


def check_machine(machine: Machine, settings: Mapping[str, int] | None = None) -> None:
    """Check that memory, kernel settings and storage fit together.  Raises FieldError."""
    _check_memory(machine, settings or {})
    check_stacks(machine)
    _check_storage(sized(machine))


def check(scenario: Scenario, origins: Sequence[int] | None = None) -> None:
    """Check what no single field can know.  Raises FieldError at the first thing that does not fit.

    origins: for each task, the number of the [[task]] it came from; None: its own number
    """
    check_machine(scenario.machine, scenario.settings)
    check_loops(scenario)
    scenario = sized_scenario(scenario)
    _check_storage(scenario.machine)
    _check_files(scenario)
    for index, task in enumerate(scenario.tasks):
        _check_task(nth("task", origins[index] if origins else index), task, scenario)
    _check_parents(scenario, origins)
    _check_run(scenario)
    known = scenario.design in DESIGNS
    _require(known, "design.name", f"{scenario.design}: no such design{did_you_mean(scenario.design, DESIGNS)}")
    for name, value in scenario.choices.items():
        try:
            choice(name, value)
        except ValueError as error:
            raise FieldError(f"design.{name}", str(error)) from None
    chosen = choices(scenario)
    cgroups.check_cgroups(scenario, chosen, origins)
    later_kernels.check_needs(chosen)
    fits = scenario.settings.get("vm.swappiness", 0) <= 100 or chosen["reclaim.engine"] == "node"
    _require(fits, "settings.vm.swappiness", "must be from 0 to 100 with reclaim.engine=zone")


def _require(condition: bool, where: str, message: str) -> None:
    if not condition:
        raise FieldError(where, message)


def _check_memory(machine: Machine, settings: Mapping[str, int]) -> None:
    _require(_is_stack_size(machine.stack_bytes), "machine.stack", "must be a power of two from 4K to 64K")
    min_pages = min_free_kbytes(machine.memory_bytes, settings) >> 2
    pages = machine.memory_bytes // PAGE_BYTES
    where = "settings.vm.min_free_kbytes" if settings.get("vm.min_free_kbytes") else "machine.memory"
    text = f"the min watermark, {min_pages} pages, is over half of memory, {pages} pages: kswapd could never rest"
    _require(min_pages <= pages // 2, where, text)


def _check_storage(machine: Machine) -> None:
    _require(0 < len(machine.disks) <= 64, "disk", "there must be 1 to 64 disks")
    disks = {disk.name: disk for disk in machine.disks}
    _require(len(disks) == len(machine.disks), "disk", "two disks have the same name")
    for index, disk in enumerate(machine.disks):
        where = nth("disk", index)
        usable = disk.name.isascii() and disk.name.replace("_", "a").isalnum()
        taken = disk.name in ("vm", "machine", "filesystem", "swap", "run")
        _require(usable and not taken, f"{where}.name", "must be letters and digits, such as sda")
        _require(disk.size_bytes <= MAX_DISK_BYTES, f"{where}.size", f"is more than {format_size(MAX_DISK_BYTES)}")
        ordered = disk.seek_min_us <= disk.seek_avg_us <= disk.seek_max_us
        _require(ordered, f"{where}.seek_avg", "must lie between seek_min and seek_max")
        _require(disk.inner_mb_s <= disk.outer_mb_s, f"{where}.inner_mb_s", "must not be over outer_mb_s")
    check_filesystems(machine, disks)
    if machine.swap_bytes:
        _require(machine.swap_disk in disks, "swap.disk", f"no such disk{did_you_mean(machine.swap_disk, disks)}")
        room = disks[machine.swap_disk].size_bytes
        _require(machine.swap_bytes <= room, "swap.size", f"is more than its disk, {format_size(room)}")


def _check_files(scenario: Scenario) -> None:
    _require(len(scenario.files) <= MAX_FILES, "file", f"more than {MAX_FILES} files")
    names = [file.name for file in scenario.files]
    _require(len(set(names)) == len(names), "file", "two files have the same name")
    _require(all(file.size_bytes > 0 for file in scenario.files), "file", "every file needs a size over 0")
    check_dirty(scenario)
    check_room(scenario)


def _check_task(where: str, task: Task, scenario: Scenario) -> None:
    """Check one task against its kind and the files it names."""
    _require(all(0 <= file < len(scenario.files) for file in task.file), f"{where}.file", "no such file")
    sizes = [scenario.files[file].size_bytes for file in task.file]
    needs_file = task.kind in (*IO_KINDS, "unlink")
    _require(bool(sizes) or not needs_file, f"{where}.file", "this task needs a file")
    if task.kind in IO_KINDS:
        _require(task.io_bytes > 0, f"{where}.io_size", "must be over 0")
        _require(task.io_bytes * task.loops <= MAX_VALUE, f"{where}.loops", "more bytes than can be counted")
        _require(task.offset_bytes + task.bs_bytes <= min(sizes), f"{where}.bs", "offset and bs reach beyond the file")
        _require(task.runtime_ns > 0 or not task.time_based, f"{where}.time_based", "needs a runtime")
        _check_distribution(where, task)
        check_phases(where, task)
    elif task.kind in PERIODIC_KINDS:
        bounded = task.interval_ns >= 1000 or task.count > 0
        _require(bounded, f"{where}.interval", "needs an interval of at least 1us, or a count")
    elif task.kind == "hog":
        _require(task.anon_bytes > 0, f"{where}.anon", "a hog needs memory to touch")


def _check_parents(scenario: Scenario, origins: Sequence[int] | None) -> None:
    """Check that every parent named is another task, and nobody its own ancestor."""
    parents = {task.name: task.parent for task in scenario.tasks}
    for index, task in enumerate(scenario.tasks):
        where = f"{nth('task', origins[index] if origins else index)}.parent"
        _require(not task.parent or task.parent in parents, where, f"no such task{did_you_mean(task.parent, parents)}")
    for index, task in enumerate(scenario.tasks):
        where = f"{nth('task', origins[index] if origins else index)}.parent"
        above, seen = task.parent, {task.name}
        while above:
            _require(above not in seen, where, "a task cannot be its own ancestor")
            seen.add(above)
            above = parents[above]


def _check_distribution(where: str, task: Task) -> None:
    theta = task.theta
    zipf_fits = task.distribution != "zipf" or theta > 0
    _require(zipf_fits, f"{where}.theta", "zipf needs an exponent over 0")
    pareto_fits = task.distribution != "pareto" or 0 < theta < 1
    _require(pareto_fits, f"{where}.theta", "pareto needs a value between 0 and 1")


def _check_run(scenario: Scenario) -> None:
    """Check that the run has something to do and an end."""
    tasks: Sequence[Task] = scenario.tasks
    _require(len(tasks) > 0, "task", "nothing to run: add a [[task]] (a file with a machine alone goes with --machine)")
    _require(len(tasks) <= MAX_TASKS, "task", f"more than {MAX_TASKS} tasks")
    uses = sum(len(task.file) for task in tasks)
    _require(uses <= MAX_USES, "task.file", f"more than {MAX_USES} files over all tasks")
    groups = {task.group for task in tasks}
    _require(groups == set(range(len(groups))), "task.group", "groups must be numbered 0, 1, 2 without a gap")
    endless = [task for task in tasks if not task.background and task.kind in PERIODIC_KINDS]
    text = "an endless task in the foreground: set background = true, a count, or [run] length"
    _require(scenario.length_ns > 0 or all(task.count for task in endless), "task.background", text)
    text = "all tasks are in the background: set [run] length"
    _require(scenario.length_ns > 0 or not all(task.background for task in tasks), "run.length", text)
