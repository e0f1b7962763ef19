# SPDX-License-Identifier: GPL-2.0-or-later
"""One line each for the machine and the workload of a run, from the scenario."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pageout.report import contrast, reading
from pageout.report.figures import Document
from pageout.report.text import counted, plain
from pageout.vocabulary.scenario import Disk, Machine, Scenario
from pageout.vocabulary.units import format_size

_KINDS = {"ssd": "SSD", "throttled": "rate-limited device", "null": "zero-latency device"}


def stacks_text(sizes: Iterable[int]) -> str:
    """Return e.g. '8 KiB stacks', or '4 to 16 KiB stacks (by design)'."""
    found = sorted(set(sizes))
    if len(found) == 1:
        return f"{format_size(found[0])} stacks"
    return f"{', '.join(format_size(size) for size in found)} stacks (by design)"


def machine_line(machine: Machine, stacks: Iterable[int] = ()) -> str:
    """Return e.g. 'article: 2 GiB memory, 4 CPUs, HZ 1000, 8 KiB stacks; xfs on sda (7200 rpm disk, 500 GB)'."""
    body = [f"{format_size(machine.memory_bytes)} memory", counted(machine.cpus, "CPU"), f"HZ {machine.hz}"]
    body.append(stacks_text(tuple(stacks) or (machine.stack_bytes,)))
    if machine.swap_bytes:
        body.append(f"{format_size(machine.swap_bytes)} swap")
    in_order = sorted(machine.disks, key=lambda disk: disk.name != machine.filesystem.disk)
    disks = ", ".join(f"{plain(disk.name)} ({_disk(disk)})" for disk in in_order)
    if not machine.more_filesystems:
        return f"{plain(machine.name)}: {', '.join(body)}; {machine.filesystem.kind} on {disks}"
    mounted = ", ".join(
        f"{plain(fs.name)} ({fs.kind} on {plain(fs.lower if fs.kind == 'union' else fs.disk)})"
        for fs in machine.filesystems
    )
    return f"{plain(machine.name)}: {', '.join(body)}; {mounted}; {disks}"


def workload_line(scenario: Scenario) -> str:
    """Return what runs: how many jobs move data, and what else goes on beside them."""
    kinds: dict[str, int] = {}
    for task in scenario.tasks:
        kinds[task.kind] = kinds.get(task.kind, 0) + 1
    parts = [f"{count} {kind}" for kind, count in kinds.items()]
    return f"{plain(scenario.name)}: {counted(len(scenario.tasks), 'task')} ({', '.join(parts)})"


def _disk(disk: Disk) -> str:
    if disk.kind == "loop":
        return f"loop on file {plain(disk.file)}"
    if disk.members:
        return f"{disk.kind} on {', '.join(plain(name) for name in disk.members)}"
    kind = f"{disk.rpm} rpm disk" if disk.kind == "disk" else _KINDS[disk.kind]
    return f"{kind}, {disk.size_bytes / 1e9:.4g} GB"


def sentences(documents: Sequence[Document], stacks: Mapping[str, int]) -> list[str]:
    """Return the reading of one or several runs. stacks: size of a kernel stack by design."""
    found = contrast.contrast(documents)
    if found:
        return found
    run = documents[0]
    found = reading.endings(run)
    return found + reading.reading(
        run["metrics"], run["sim_seconds"], stacks.get(str(run["design"])), run.get("devices")
    )


def run_lines(documents: Sequence[Document]) -> dict[str, str]:
    """Return label and text of what else decides the runs: designs, choices, settings, seeds, version, digests."""
    first = documents[0]
    lines = {}
    base = first.get("choices") or {}
    for document in documents:
        own = document.get("choices") or {}
        told = own if document is first else {name: value for name, value in own.items() if base.get(name) != value}
        choices = ", ".join(f"{name} = {value}" for name, value in told.items())
        beside = "" if document is first else f" (beside {first['design']})"
        if f"design {document['design']}" not in lines:
            lines[f"design {document['design']}{beside}"] = choices or "-"
    settings = first.get("settings") or {}
    lines["settings"] = ", ".join(f"{name} = {value}" for name, value in settings.items()) or "the kernel's own"
    lines["seed"] = ", ".join(dict.fromkeys(str(document["seed"]) for document in documents))
    lines["kernel"] = str(first["kernel"])
    lines["simulated"] = f"{first['sim_seconds']:g} s a run"
    lines["pageout"] = str(first["pageout"])
    for document in documents:
        lines[f"digest, {document['design']}, seed {document['seed']}"] = str(document["digest"])
    warnings = dict.fromkeys(text for document in documents for text in document.get("warnings") or ())
    return lines | {f"warning {number}": text for number, text in enumerate(warnings, start=1)}


def stack_lines(document: dict[str, Any]) -> list[str]:
    """Return what must be said of the stacks' figures: frame sizes that are assumed, whose stack ran over first."""
    facts = document.get("stack") or {}
    said = []
    if facts.get("sizes_assumed"):
        said.append(f"Stack depths are assumed, not measured: {plain(facts['build'])}.")
    if facts.get("first_overflow_task"):
        said.append(f"The first kernel stack to run over was that of {plain(facts['first_overflow_task'])}.")
    return said
