# SPDX-License-Identifier: GPL-2.0-or-later
"""A scenario as the TOML that reads back as the same scenario: to be kept, changed, passed on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgspec

from pageout.vocabulary.keys import Key, keys_of
from pageout.vocabulary.scenario import Cgroup, Disk, File, Filesystem, Machine, Phase, Scenario, Task
from pageout.vocabulary.units import NS_PER_US


def scenario_toml(scenario: Scenario, about: tuple[str, ...] = ()) -> str:
    """Return the TOML of a scenario; read_scenario gives an equal one, less its warnings.

    about: lines of comment to stand above it
    """
    return "\n".join([*(f"# {line}" for line in about), *_lines(scenario)]) + "\n"


def _lines(scenario: Scenario) -> Iterator[str]:
    machine = scenario.machine
    yield f"name = {_text(scenario.name)}"
    yield from _section("[machine]", machine, Machine(), always=("name",), without="swap.")
    for disk in machine.disks:
        yield from _section("[[disk]]", disk, Disk(), always=("name", "kind", "queue_depth"))
    for filesystem in machine.filesystems:
        head = "[[filesystem]]" if machine.more_filesystems else "[filesystem]"
        yield from _section(head, filesystem, Filesystem(), always=("name", "kind", "disk"))
    if machine.swap_bytes or machine.swap_disk:
        yield ""
        yield "[swap]"
        yield from _keys(machine, Machine(), (), only="swap.")
    if scenario.settings:
        yield from ("", "[settings]", *(f"{_text(name)} = {value}" for name, value in scenario.settings.items()))
    yield from ("", "[design]", f"name = {_text(scenario.design)}")
    yield from (f"{_text(name)} = {_value(value)}" for name, value in scenario.choices.items())
    yield from _section("[run]", scenario, Scenario(name="", machine=Machine()), always=("seed",))
    for file in scenario.files:
        yield from _section("[[file]]", file, File(name="", size_bytes=0), always=("name",))
    for group in scenario.cgroups:
        yield from _section("[[cgroup]]", group, Cgroup(name=""), always=("name",))
    for task in scenario.tasks:
        yield from _section("[[task]]", task, Task(name=""), always=("name", "kind", "seed", "background"))
        if task.file:
            yield f"file = [{', '.join(_text(scenario.files[number].name) for number in task.file)}]"
        if task.phases:
            yield from ("phases = [", *map(_phase, task.phases), "]")


_TIMES = (("s", 10**9), ("ms", 10**6), ("us", 10**3), ("ns", 1))


def _phase(phase: Phase) -> str:
    unit, length = next((name, ns) for name, ns in _TIMES if phase.start_ns % ns == 0)
    return f'    ["{phase.start_ns // length}{unit}", {phase.rate_bps}, {phase.amount_bytes}],'


def _section(head: str, struct: msgspec.Struct, plain: msgspec.Struct, *, always: tuple[str, ...], without: str = "\0"
             ) -> Iterator[str]:  # fmt: skip
    yield ""
    yield head
    yield from _keys(struct, plain, always, without=without)


def _keys(
    struct: msgspec.Struct, plain: msgspec.Struct, always: tuple[str, ...], *, only: str = "", without: str = "\0"
) -> Iterator[str]:
    """Yield `key = value` of each field that is not as it would be if left out, and of those named."""
    kind = getattr(struct, "kind", "")
    for key in keys_of(type(struct)).values():
        value = getattr(struct, key.field)
        if isinstance(struct, Task) and key.field in ("file", "phases"):  # at the end
            continue
        if not key.key.startswith(only) or key.key.startswith(without) or value is None:
            continue
        if key.of and kind not in key.of:
            continue
        explicit = key.key == "io_size" and kind in key.of
        if value != getattr(plain, key.field) or key.field in always or explicit:
            name = key.key.removeprefix(only)
            yield f"{_text(name) if '.' in name else name} = {_of_key(key, value)}"


def _of_key(key: Key, value: Any) -> str:
    if key.field == "members":
        return f"[{', '.join(_text(name) for name in value)}]"
    if key.unit == "duration":
        return _text(f"{value * (NS_PER_US if key.field.endswith('_us') else 1)}ns")
    return _value(value)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return _text(value) if isinstance(value, str) else repr(value)


def _text(text: str) -> str:
    """Return a TOML string; JSON's escapes are TOML's, but for what lies beyond 16 bits."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
