# SPDX-License-Identifier: GPL-2.0-or-later
"""The workload a user named, with his machine, design, settings and seed: the one way into a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from pageout.vocabulary.cgroups import read_cgroups
from pageout.vocabulary.demand import phases_of
from pageout.vocabulary.errors import ScenarioError, SettingError, UsageError, did_you_mean, shown
from pageout.vocabulary.keys import FieldError, Key, keys_of, nth, read_table
from pageout.vocabulary.machines import load_machine, parse_toml, read_machine, read_text
from pageout.vocabulary.scenario import IO_KINDS, PERIODIC_KINDS, File, Machine, Scenario, Task, task_seed
from pageout.vocabulary.settings import (
    MAX_TASKS,
    MAX_USES,
    apply_settings,
    check,
    choice,
    design_named,
    warnings_of_sysctl,
    with_sysctl,
)
from pageout.vocabulary.units import MAX_VALUE, TIB
from pageout.workload import shipped
from pageout.workload.fio import load_fio

ROOMS = ("name", "machine", "disk", "filesystem", "swap", "settings", "design", "run", "file", "cgroup", "task")
TASK_EXTRAS = {
    "size": Key("size", "size", int, (), None, "size of a file of its own, in place of `file`", "size", 1, 64 * TIB,
                frozenset(IO_KINDS)),
    "filesystem": Key("filesystem", "filesystem", str, (), "", "where a file of its own is; unset: the first",
                      "", 0, 0, frozenset(IO_KINDS)),
    "numjobs": Key("numjobs", "numjobs", int, (), 1, "tasks alike, each with its own file unless `file` is given",
                   "", 1, MAX_TASKS, frozenset()),
}  # fmt: skip


def load_workload(
    path: str | Path,
    machine: str | None = None,
    design: str | None = None,
    settings: Sequence[str] = (),
    seed: int | None = None,
) -> Scenario:
    """Return the scenario of a `.fio` job file, a `.toml` or a shipped name, as the command line asks for it.

    machine: a preset's name or the path of a machine TOML; None: what the file says, or server-2g
    design: replaces the file's design; settings: `NAME=VALUE` of --set, in order
    seed: of all random numbers; `randseed` in a fio job wins over it
    """
    name = str(path)
    if seed is not None and not 0 <= seed <= MAX_VALUE:
        raise SettingError(f"--seed {shown(seed)}: must be from 0 to {MAX_VALUE}")
    if name.lower().endswith(".fio"):
        scenario = load_fio(name, load_machine(machine or "server-2g"), seed=seed)
    elif name.lower().endswith(".toml") or shipped.is_shipped(name):
        _point_at_shipped(name)
        scenario = load_scenario(name, machine=load_machine(machine) if machine else None, seed=seed)
    elif Path(name).exists() or (Path(name).suffix and not shipped.near(name)):
        raise UsageError(
            f"{name}: a workload is a fio job file (.fio) or a scenario (.toml), or named by `pageout scenarios`"
        )
    else:
        raise UsageError(f"{name}: {shipped.not_found(name)}")
    if design is not None:
        scenario = msgspec.structs.replace(scenario, design=design_named(design))
    return apply_settings(scenario, settings)


def _point_at_shipped(name: str) -> None:
    """Raise ScenarioError if a file is missing whose name, less `.toml`, is that of a shipped scenario."""
    stem = name[: -len(".toml")]
    if stem in shipped.names() and name.lower().endswith(".toml") and not Path(name).exists():
        raise ScenarioError(f"{name}: cannot be read: no such file; the shipped scenario is {stem}")


def load_scenario(path: str | Path, *, machine: Machine | None = None, seed: int | None = None) -> Scenario:
    """Return the scenario of a TOML file or of a shipped name; a machine given here stands in for the file's own."""
    name = str(path)
    if shipped.is_shipped(name):
        return read_scenario(f"{name}.toml", shipped.text_of(name), machine=machine, seed=seed)
    return read_scenario(name, read_text(name), machine=machine, seed=seed)


def read_scenario(path: str, text: str, *, machine: Machine | None = None, seed: int | None = None) -> Scenario:
    """Return the scenario of a TOML text.  Raises ScenarioError with the file and line of what is wrong."""
    table, source = parse_toml(path, text)
    try:
        scenario, origins = _scenario(path, table, machine, seed)
        check(scenario, origins)
    except FieldError as problem:
        raise source.error(problem) from None
    return scenario


def _scenario(
    path: str, table: dict[str, Any], machine: Machine | None, seed: int | None
) -> tuple[Scenario, list[int]]:
    """Build the scenario room by room; with it, for each task the [[task]] it came from.  Raises FieldError."""
    name = table.get("name", Path(path).stem)
    stray = next((room for room in table if room not in ROOMS), None)
    if stray is not None:
        raise FieldError(stray, f"no such table{did_you_mean(stray, ROOMS)}")
    if not isinstance(name, str) or not (name.isprintable() and 0 < len(name) <= 200):
        raise FieldError("name", "must be printable text of 1 to 200 characters")
    run = read_table("run", table.get("run", {}), keys_of(Scenario))
    run |= {"seed": seed} if seed is not None else {}
    settings, warnings = _settings(path, table.get("settings", {}))
    design, choices = _design(table.get("design", {}))
    files, tasks, origins = _program(table, run.get("seed", 1))
    scenario = Scenario(
        name=name,
        machine=machine or read_machine(table, Path(path).parent),
        files=files,
        tasks=tasks,
        settings=settings,
        choices=choices,
        design=design,
        warnings=warnings,
        cgroups=read_cgroups(_array("cgroup", table.get("cgroup", []))),
        **run,
    )
    return scenario, origins


def _flat(where: str, table: object) -> dict[str, object]:
    """Return a table of dotted names, whether they were written quoted or not."""
    if not isinstance(table, dict):
        raise FieldError(where, f"must be a table, [{where}]")
    flat: dict[str, object] = {}
    for name, value in table.items():
        if isinstance(value, dict):
            flat |= {f"{name}.{key}": inner for key, inner in value.items()}
        else:
            flat[name] = value
    return flat


def _settings(path: str, table: object) -> tuple[dict[str, int], tuple[str, ...]]:
    """Return the sysctls of [settings] and what to warn of."""
    settings: dict[str, int] = {}
    written: dict[str, object] = {}
    warnings: tuple[str, ...] = ()
    for name, value in _flat("settings", table).items():
        rival = name.replace("bytes", "ratio") if name.endswith("bytes") else name.replace("ratio", "bytes")
        if written.get(rival) and value and rival != name:
            raise FieldError(f"settings.{name}", f"{rival} is set too, and each switches the other off: keep one")
        try:
            settings = with_sysctl(settings, name, value)
        except ValueError as error:
            raise FieldError(f"settings.{name}", f"{shown(value)}: {error}") from None
        written[name] = value
        warnings += warnings_of_sysctl(path, name)
    return settings, warnings


def _design(table: object) -> tuple[str, dict[str, str | int]]:
    """Return the name and the choices of [design]."""
    flat = _flat("design", table)
    try:
        name = design_named(flat.pop("name", "linux-2.6.34"))
    except SettingError as error:
        raise FieldError("design.name", str(error)) from None
    choices: dict[str, str | int] = {}
    for point, value in flat.items():
        try:
            choices[point] = choice(point, value)
        except ValueError as error:
            raise FieldError(f"design.{point}", f"{shown(value)}: {error}") from None
    return name, choices


def _program(table: dict[str, Any], seed: int) -> tuple[tuple[File, ...], tuple[Task, ...], list[int]]:
    """Return the files and tasks of [[file]] and [[task]]; a task without `file` gets one of its own."""
    files = [_file(nth("file", index), entry) for index, entry in enumerate(_array("file", table.get("file", [])))]
    tasks: list[Task] = []
    origins: list[int] = []
    for index, entry in enumerate(_array("task", table.get("task", []))):
        where = nth("task", index)
        plain = {k: v for k, v in entry.items() if k not in ("file", "phases")}
        own = read_table(where, plain, keys_of(Task) | TASK_EXTRAS)
        if "phases" in entry:
            own |= _with_phases(where, own, entry["phases"])
        if "name" not in own:
            raise FieldError(f"{where}.name", "every task needs a name")
        own["file"] = _file_numbers(where, entry["file"], files) if "file" in entry else None
        copies, size, filesystem = own.pop("numjobs", 1), own.pop("size", 0), own.pop("filesystem", "")
        if filesystem and own["file"]:
            raise FieldError(f"{where}.filesystem", "is for a task with a file of its own: give it in [[file]]")
        if len(tasks) + copies > MAX_TASKS:
            raise FieldError(where, f"more than {MAX_TASKS} tasks")
        for copy in range(copies):
            name = f"{own['name']}.{copy}" if copies > 1 else own["name"]
            if copies * len(own["file"] or ()) > MAX_USES:
                raise FieldError(f"{where}.file", f"more than {MAX_USES} files over all tasks")
            seed_of_task = task_seed(seed, len(tasks))
            tasks.append(_task(where, own | {"name": name}, size, files, seed_of_task, filesystem))
            origins.append(index)
    names = [task.name for task in tasks]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise FieldError(nth("task", origins[names.index(twice)]), f"two tasks have the name {shown(twice)}")
    return tuple(files), tuple(tasks), origins


def _with_phases(where: str, own: dict[str, Any], rows: object) -> dict[str, Any]:
    """Return the phases, and the bytes they come to unless the task says."""
    if own.get("kind", "io") not in IO_KINDS:
        raise FieldError(f"{where}.phases", f"belongs to kind {' or '.join(IO_KINDS)}")
    phases = phases_of(f"{where}.phases", rows)
    return {"phases": phases, "io_bytes": own.get("io_bytes", sum(phase.amount_bytes for phase in phases))}


def _array(room: str, tables: object) -> list[dict[str, Any]]:
    entries = tables if isinstance(tables, list) else [tables]
    found = [entry for entry in entries if isinstance(entry, dict)]
    if len(found) < len(entries):
        raise FieldError(room, f"must be tables, each headed [[{room}]]")
    return found


def _file(where: str, entry: dict[str, Any]) -> File:
    fields = read_table(where, entry, keys_of(File))
    for key in ("name", "size"):
        if key not in entry:
            raise FieldError(f"{where}.{key}", f"every file needs a {key}")
    return File(**fields)


def _file_numbers(where: str, names: object, files: list[File]) -> tuple[int, ...]:
    """Return the indices of the files a task names."""
    known = {file.name: index for index, file in enumerate(files)}
    listed = names if isinstance(names, list) else [names]
    wanted = [name for name in listed if isinstance(name, str)]
    if not wanted or len(wanted) < len(listed):
        raise FieldError(f"{where}.file", "must be the name of a [[file]], or a list of names")
    missing = next((name for name in wanted if name not in known), None)
    if missing is not None:
        raise FieldError(f"{where}.file", f"{shown(missing)}: no such [[file]]; a task without `file` gets its own")
    return tuple(known[name] for name in wanted)


def _task(where: str, own: dict[str, Any], size: int, files: list[File], seed: int, filesystem: str) -> Task:
    """Return one task, its defaults filled in from its files and its kind."""
    kind = own.get("kind", "io")
    file = own["file"]
    if size and file:
        raise FieldError(f"{where}.size", "is for a task with a file of its own: give it in [[file]]")
    if kind in IO_KINDS and not file:
        offset = own.get("offset_bytes", 0)
        size = size or own.get("io_bytes", 0) + offset
        if not size:
            raise FieldError(where, f"an {shown(kind)} task needs size, io_size or file")
        exists = own.get("rw", "read") not in ("write", "randwrite")
        files.append(File(name=own["name"], size_bytes=size, exists=exists, filesystem=filesystem))
        file = (len(files) - 1,)
    if kind in IO_KINDS and "io_bytes" not in own:
        own = own | {"io_bytes": sum(files[number].size_bytes - own.get("offset_bytes", 0) for number in file)}
    endless = kind in PERIODIC_KINDS and not own.get("count")
    return Task(**{"seed": seed, "background": endless} | own | {"file": file or ()})
