# SPDX-License-Identifier: GPL-2.0-or-later
"""The machines a workload can run on: presets by name, or a TOML of [machine], [[disk]], [filesystem], [swap]."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import msgspec

from pageout.vocabulary.errors import PageoutError, ScenarioError, did_you_mean, shown
from pageout.vocabulary.keys import FieldError, Key, keys_of, nth, read_table
from pageout.vocabulary.scenario import Disk, Filesystem, Machine
from pageout.vocabulary.settings import check_machine, default_queue_depth, renamed
from pageout.vocabulary.toml_source import Source
from pageout.vocabulary.units import GIB, MIB

MAX_FILE_BYTES = MIB
DEFAULT_MACHINE = "server-2g"
_SSD = Disk(kind="ssd", size_bytes=256 * 1000**3, queue_depth=32)

PRESETS: dict[str, tuple[str, Machine]] = {
    "server-2g": (
        "the article's kind of server: 2 GB, 2 CPUs, XFS on one 7200 rpm SATA disk, no swap",
        Machine(name="server-2g"),
    ),
    "server-2g-ssd": (
        "the same with an SSD of 2010 in place of the disk",
        Machine(name="server-2g-ssd", disks=(_SSD,)),
    ),
    "box-512m": (
        "a small box: 512 MB, 1 CPU, ext2 on an older disk, 512 MB of swap on the same disk",
        Machine(
            name="box-512m",
            memory_bytes=512 * MIB,
            cpus=1,
            copy_mb_s=1500,
            syscall_ns=500,
            swap_bytes=512 * MIB,
            swap_disk="sda",
            disks=(Disk(size_bytes=160 * 1000**3, outer_mb_s=60, inner_mb_s=35),),
            filesystem=Filesystem(kind="ext2"),
        ),
    ),
    "big-256g": (
        "a big server: 256 GB, 16 CPUs, XFS on a fast SSD",
        Machine(
            name="big-256g",
            memory_bytes=256 * GIB,
            cpus=16,
            copy_mb_s=8000,
            disks=(Disk(kind="ssd", size_bytes=4000 * 1000**3, queue_depth=32, channels=32, mb_s=1500),),
        ),
    ),
}


def load_machine(name: str, *, beside: Path | None = None) -> Machine:
    """Return a preset by its name, or the machine of a TOML file by its path.

    beside: the folder relative paths start from.  Raises ScenarioError with the nearest name, or file and line.
    """
    if name in PRESETS:
        return PRESETS[name][1]
    if not name.endswith(".toml"):
        right = did_you_mean(name, PRESETS)
        raise ScenarioError(f"machine {shown(name)}: no such machine{right} (or give the path of a .toml)")
    path = str(beside / name) if beside else name
    text = read_text(path)
    table, source = parse_toml(path, text)
    try:
        for room in table:
            if room not in ("machine", "disk", "filesystem", "swap"):
                raise FieldError(room, "a machine file holds only [machine], [[disk]], [filesystem] and [swap]")
        machine = read_machine(table, Path(path).parent, nested=True)
        check_machine(machine)
    except FieldError as problem:
        raise source.error(problem) from None
    if "name" not in table.get("machine", {}):
        machine = msgspec.structs.replace(machine, name=Path(path).stem[:60] or "machine")
    return machine


def read_text(path: str, error: type[PageoutError] = ScenarioError) -> str:
    """Return the text of a file a user named.  Raises `error` if it cannot be read or is no text."""
    try:
        with Path(path).open("rb") as stream:
            content = stream.read(MAX_FILE_BYTES + 1)
        if len(content) > MAX_FILE_BYTES:
            raise error(f"{path}: larger than 1 MiB, not a workload or machine file")
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        line = content[: problem.start].count(b"\n") + 1
        raise error(f"{path}:{line}: not text in UTF-8, save it as UTF-8") from None
    except (OSError, ValueError) as problem:
        reason = problem.strerror if isinstance(problem, OSError) else str(problem)
        raise error(f"{path}: cannot be read: {reason}") from None


def parse_toml(path: str, text: str) -> tuple[dict[str, Any], Source]:
    """Return the tables of a TOML text and where its keys stand.  Raises ScenarioError at a syntax error."""
    try:
        return tomllib.loads(text), Source(path, text)
    except (ValueError, RecursionError) as problem:
        reason, _, place = str(problem).rpartition(" (at ")
        line = place.removeprefix("line ").partition(",")[0]
        if line.isdigit():
            raise ScenarioError(f"{path}:{line}: not valid TOML: {reason} (at {place}") from None
        last = text.count("\n") + 1 if "end of document" in place else 1
        raise ScenarioError(f"{path}:{last}: not valid TOML: {problem}") from None


def read_machine(table: dict[str, Any], folder: Path, *, nested: bool = False) -> Machine:
    """Return the machine of the [machine], [[disk]], [filesystem] and [swap] of a TOML.  Raises FieldError.

    nested: the TOML is itself a machine, and may only build on a preset by name
    """
    own = table.get("machine", {})
    if not isinstance(own, dict):
        raise FieldError("machine", "must be a table, [machine]")
    preset = own.get("preset", DEFAULT_MACHINE)
    if not isinstance(preset, str) or (nested and preset not in PRESETS):
        names = did_you_mean(str(preset)[:60], PRESETS)
        raise FieldError("machine.preset", f"{shown(preset)}: no such machine{names}")
    try:
        base = load_machine(preset, beside=folder)
    except ScenarioError as error:
        raise FieldError("machine.preset", str(error)) from None
    fields = read_table("machine", {k: v for k, v in own.items() if k != "preset"}, _machine_keys())
    if "disk" in table:
        fields["disks"] = read_disks(table["disk"])
    fields |= read_table("swap", table.get("swap", {}), _swap_keys())
    placed = _with_storage(msgspec.structs.replace(base, **fields), table.get("filesystem", {}))
    return placed if "name" in fields else renamed(placed, base)


def _with_storage(machine: Machine, filesystem: object) -> Machine:
    """Lay filesystems and swap on the first disk unless told."""
    names = [disk.name for disk in machine.disks]
    first = names[0] if names else ""
    tables = filesystem if isinstance(filesystem, list) else [filesystem]
    mounted = [_read_filesystem(index, table, machine, names) for index, table in enumerate(tables)]
    placed = machine
    if mounted:
        placed = msgspec.structs.replace(placed, filesystem=mounted[0])
    if len(mounted) > 1:
        placed = msgspec.structs.replace(placed, more_filesystems=tuple(mounted[1:]))
    if placed.swap_bytes and not placed.swap_disk:
        placed = msgspec.structs.replace(placed, swap_disk=first)
    return placed


def _read_filesystem(index: int, table: object, machine: Machine, disks: list[str]) -> Filesystem:
    """Return one filesystem of a [filesystem] or a [[filesystem]] array; the first builds on the preset's."""
    where = nth("filesystem", index)
    if isinstance(table, dict) and "type" in table:
        if "kind" in table:
            raise FieldError(f"{where}.type", "is another word for kind, which is given too: keep one")
        table = {"kind" if name == "type" else name: value for name, value in table.items()}
    base = machine.filesystem if index == 0 else Filesystem(name=f"fs{index}")
    if isinstance(table, dict) and index == 0:
        table = {"kind": base.kind} | table
    fields = read_table(where, table, keys_of(Filesystem))
    if "disk" not in fields and base.disk not in disks:
        fields["disk"] = disks[0] if disks else ""
    return msgspec.structs.replace(base, **fields)


def read_disks(tables: object) -> tuple[Disk, ...]:
    """Return the disks of a [[disk]] array; without a name they are sda, sdb, ...  Raises FieldError."""
    disks = []
    for index, table in enumerate(tables if isinstance(tables, list) else [tables]):
        where = nth("disk", index)
        own = {key: value for key, value in table.items() if key != "members"} if isinstance(table, dict) else table
        fields = read_table(where, own, keys_of(Disk))
        if isinstance(table, dict) and "members" in table:
            fields["members"] = _members(where, table["members"])
        default = Disk(name=f"sd{chr(ord('a') + index % 26)}")
        depth = default_queue_depth(fields.get("kind", default.kind))
        disks.append(msgspec.structs.replace(default, **{"queue_depth": depth} | fields))
    return tuple(disks)


def _members(where: str, names: object) -> tuple[str, ...]:
    listed = names if isinstance(names, list) else [names]
    wanted = tuple(name for name in listed if isinstance(name, str))
    if not wanted or len(wanted) < len(listed):
        raise FieldError(f"{where}.members", "must be a list of the names of disks")
    return wanted


def _machine_keys() -> dict[str, Key]:
    return {name: key for name, key in keys_of(Machine).items() if "." not in name}


def _swap_keys() -> dict[str, Key]:
    keys = keys_of(Machine)
    return {name.partition(".")[2]: key for name, key in keys.items() if name.startswith("swap.")}
