# SPDX-License-Identifier: GPL-2.0-or-later
"""Memory cgroups (v2) of a scenario: how they are written, checked, and set from the command line.

One level below the root. Source of the names: Linux v6.1 Documentation/admin-guide/cgroup-v2.rst.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec

from pageout.vocabulary.errors import did_you_mean, shown
from pageout.vocabulary.keys import FieldError, keys_of, nth, read_table, value_of_text
from pageout.vocabulary.later_kernels import DESIGNS
from pageout.vocabulary.scenario import Cgroup, Scenario

MAX_CGROUPS = 31  # a reclaimed page's shadow has five bits for its group
DEFAULT_NAME = "job"  # of the group that `--set memory.max=` makes where there is none
LIMITS = ("memory.max", "memory.high")
NO_LIMIT = "max"  # what the kernel prints, and takes, for none
_NEEDED = {"reclaim.engine": "node", "throttle.by": "pause", "flusher.turn": "bandwidth"}
_TAKEN = ("vm", "machine", "filesystem", "disk", "swap", "run", "memory")


def read_cgroups(entries: Sequence[dict[str, Any]]) -> tuple[Cgroup, ...]:
    """Return the groups of [[cgroup]].  Raises FieldError."""
    return tuple(_cgroup(nth("cgroup", index), entry) for index, entry in enumerate(entries))


def _cgroup(where: str, entry: dict[str, Any]) -> Cgroup:
    flat: dict[str, Any] = {}
    for name, value in entry.items():
        named = {f"{name}.{key}": inner for key, inner in value.items()} if isinstance(value, dict) else {name: value}
        flat |= {key: inner for key, inner in named.items() if key not in LIMITS or inner != NO_LIMIT}
    fields = read_table(where, flat, keys_of(Cgroup))
    if "name" not in fields:
        raise FieldError(f"{where}.name", "every cgroup needs a name")
    return Cgroup(**fields)


def has_groups(scenario: Scenario) -> bool:
    """Say whether the scenario's design has memory cgroups."""
    chosen = {**DESIGNS.get(scenario.design, {}), **scenario.choices}
    return all(chosen.get(choice) == value for choice, value in _NEEDED.items())


def check_cgroups(scenario: Scenario, chosen: Mapping[str, str | int], origins: Sequence[int] | None = None) -> None:
    """Check names, and that the design has memory cgroups.  Raises FieldError."""
    names = [group.name for group in scenario.cgroups]
    taken = {*_TAKEN, *(disk.name for disk in scenario.machine.disks)}
    taken |= {filesystem.name for filesystem in scenario.machine.filesystems}
    _require(len(names) <= MAX_CGROUPS, "cgroup", f"more than {MAX_CGROUPS} cgroups")
    for index, name in enumerate(names):
        where = f"{nth('cgroup', index)}.name"
        plain = name.isascii() and name.replace("_", "a").replace("-", "a").isalnum()
        _require(plain, where, "must be letters, digits, - and _, such as job")
        _require(name not in taken, where, f"{shown(name)} is the name of something else: choose another")
        _require(names.index(name) == index, where, "two cgroups have the same name")
    for index, task in enumerate(scenario.tasks):
        where = f"{nth('task', origins[index] if origins else index)}.cgroup"
        text = f"{shown(task.cgroup)}: no such [[cgroup]]{did_you_mean(task.cgroup, names)}"
        _require(not task.cgroup or task.cgroup in names, where, text)
        _require(not task.cgroup or task.kind != "nfsd", where, "a thread of the kernel is in the root cgroup")
    for choice, value in _NEEDED.items():
        text = f"memory cgroups need {choice} = {value}: take the design linux-6.1, linux-6.12 or linux-6.18"
        _require(not names or chosen[choice] == value, "cgroup", text)


def _require(condition: bool, where: str, message: str) -> None:
    if not condition:
        raise FieldError(where, message)


def number_of(scenario: Scenario, name: str) -> int:
    """Return a group's number: 0 is the root, which has no name."""
    return 1 + [group.name for group in scenario.cgroups].index(name) if name else 0


def limit_names(scenario: Scenario) -> list[str]:
    """Return what --set takes of cgroups."""
    return [*LIMITS, *(f"{group.name}.{limit}" for group in scenario.cgroups for limit in LIMITS)]


def with_limit(scenario: Scenario, name: str, value: str) -> Scenario | None:
    """Return the scenario with `GROUP.memory.max` or the like set; None if the name is no such limit.

    Without a group's name it is that of the only group; where there is none, of one made for all foreground tasks.
    Raises ValueError if the value cannot be, or the name could mean several groups.
    """
    room, _, limit = ("", "", name) if name in LIMITS else name.partition(".")
    names = [group.name for group in scenario.cgroups]
    if limit not in LIMITS or (room and room not in names):
        return None
    if not room:
        if len(names) > 1:
            raise ValueError(f"there are several cgroups: write {' or '.join(f'{one}.{name}' for one in names)}")
        scenario = scenario if names else with_group_of_all(scenario, Cgroup(name=DEFAULT_NAME))
        room = scenario.cgroups[0].name
    key = keys_of(Cgroup)[limit]
    amount = 0 if value == NO_LIMIT else value_of_text(key, value)
    groups = tuple(
        msgspec.structs.replace(group, **{key.field: amount}) if group.name == room else group
        for group in scenario.cgroups
    )
    return msgspec.structs.replace(scenario, cgroups=groups)


def with_group_of_all(scenario: Scenario, group: Cgroup, names: Collection[str] | None = None) -> Scenario:
    """Return the scenario with one group, in which all foreground tasks are that a group can hold.

    names: of the tasks that may be in it; None: of all
    """
    tasks = tuple(
        task
        if task.background or task.kind == "nfsd" or (names is not None and task.name not in names)
        else msgspec.structs.replace(task, cgroup=group.name)
        for task in scenario.tasks
    )
    return msgspec.structs.replace(scenario, tasks=tasks, cgroups=(group,))
