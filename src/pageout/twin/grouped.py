# SPDX-License-Identifier: GPL-2.0-or-later
"""The memory cgroup a command was recorded in: its tasks are in one of the scenario, with the same limits."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

from pageout.bundle.bundle import Bundle
from pageout.vocabulary.cgroups import DEFAULT_NAME, LIMITS, NO_LIMIT, has_groups, with_group_of_all
from pageout.vocabulary.scenario import Cgroup, Scenario
from pageout.vocabulary.units import TIB

PAGE_BYTES = 4096
MAX_BYTES = 4 * TIB  # the most a scenario says; a limit above limits nothing here
_V1 = "memory.limit_in_bytes"
_PLAIN = re.compile(r"[^A-Za-z0-9_-]+")


def with_cgroup(bundle: Bundle, scenario: Scenario, notes: list[str], names: Collection[str] | None = None) -> Scenario:
    """Return the scenario with the group of meta.json's `cgroup`, if that has a limit; says so in the notes.

    names: of the command's tasks, as far as they are known. All of these that are in the foreground are in it: nothing
    says who else was. A group without limits is left out, though its writeback was its own, too.
    """
    said = bundle.meta.cgroup or {}
    limits = {name: _limit(said.get(name)) for name in LIMITS}
    if _limit(said.get(_V1)) and not any(limits.values()):
        notes.append(f"cgroup: {_V1} is left out: the model has memory cgroups of v2 only")
    if not any(limits.values()):
        return scenario
    if not has_groups(scenario):
        notes.append(f"cgroup: its limits are left out, {scenario.design} has no memory cgroups")
        return scenario
    name = _name(said.get("path"), scenario)
    told = ", ".join(f"{limit} = {nbytes:,}" for limit, nbytes in limits.items() if nbytes)
    notes.append(f"cgroup: the tasks are in {name}, {told}; its cache at the start was others'")
    group = Cgroup(name=name, max_bytes=limits["memory.max"], high_bytes=limits["memory.high"])
    return with_group_of_all(scenario, group, names)


def _limit(value: Any) -> int:
    """Return a limit in bytes, 0 for none: as the kernel prints it, or a number."""
    text = str(value).strip()
    if value is None or text == NO_LIMIT or not text.isdigit() or len(text) > 19:
        return 0
    nbytes = int(text)
    return nbytes if PAGE_BYTES <= nbytes <= MAX_BYTES else 0


def _name(path: Any, scenario: Scenario) -> str:
    last = str(path or "").rstrip("/").rpartition("/")[2]
    name = _PLAIN.sub("-", last).strip("-")[:40]
    taken = {disk.name for disk in scenario.machine.disks} | {one.name for one in scenario.machine.filesystems}
    return name if name and name not in taken else DEFAULT_NAME
