# SPDX-License-Identifier: GPL-2.0-or-later
"""One line each for the machine and the workload of a run, from the scenario."""

from typing import Any

from pageout.report.text import counted, plain
from pageout.vocabulary.scenario import Disk, Machine, Scenario
from pageout.vocabulary.units import format_size

_KINDS = {"ssd": "SSD", "throttled": "rate-limited device", "null": "zero-latency device"}


def machine_line(machine: Machine, stack_bytes: int | None = None) -> str:
    """Return e.g. 'article: 2 GiB memory, 4 CPUs, HZ 1000, 8 KiB stacks; xfs on sda (7200 rpm disk, 500 GB)'."""
    body = [f"{format_size(machine.memory_bytes)} memory", counted(machine.cpus, "CPU"), f"HZ {machine.hz}"]
    body.append(f"{format_size(stack_bytes or machine.stack_bytes)} stacks")
    if machine.swap_bytes:
        body.append(f"{format_size(machine.swap_bytes)} swap")
    disks = ", ".join(f"{plain(disk.name)} ({_disk(disk)})" for disk in machine.disks)
    return f"{plain(machine.name)}: {', '.join(body)}; {machine.filesystem.kind} on {disks}"


def workload_line(scenario: Scenario) -> str:
    """Return what runs: how many jobs move data, and what else goes on beside them."""
    kinds: dict[str, int] = {}
    for task in scenario.tasks:
        kinds[task.kind] = kinds.get(task.kind, 0) + 1
    parts = [f"{count} {kind}" for kind, count in kinds.items()]
    return f"{plain(scenario.name)}: {counted(len(scenario.tasks), 'task')} ({', '.join(parts)})"


def _disk(disk: Disk) -> str:
    kind = f"{disk.rpm} rpm disk" if disk.kind == "disk" else _KINDS[disk.kind]
    return f"{kind}, {disk.size_bytes / 1e9:.4g} GB"


def stack_lines(document: dict[str, Any]) -> list[str]:
    """Return what must be said of the stacks' figures: frame sizes that are assumed, whose stack ran over first."""
    facts = document.get("stack") or {}
    said = []
    if facts.get("sizes_assumed"):
        said.append(f"Stack depths are assumed, not measured: {plain(facts['build'])}.")
    if facts.get("first_overflow_task"):
        said.append(f"The first kernel stack to run over was that of {plain(facts['first_overflow_task'])}.")
    return said
