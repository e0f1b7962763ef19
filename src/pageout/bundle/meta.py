# SPDX-License-Identifier: GPL-2.0-or-later
"""meta.json as types. Recordings differ: all may be absent, what is unknown is let be, what is there has its type.

Two ways to say the workload: `case.fio`, a job file's text; or `case.tasks`, a list of what each task did.
"""

from __future__ import annotations

import math
from typing import Any

import msgspec

from pageout.bundle.files import META, Files
from pageout.vocabulary.errors import TraceError
from pageout.vocabulary.json_words import json_words

Number = int | float
MAX_HZ = 10_000


class SamplesNote(msgspec.Struct, frozen=True):
    """How the rows of samples.csv are timed."""

    clock: str | None = None  # "trace", or "start": seconds since the command was started
    time_column: str | None = None


class Limits(msgspec.Struct, frozen=True):
    """Limits of a device, a second; None: none, or not known."""

    wbps: Number | None = None
    rbps: Number | None = None
    wiops: Number | None = None
    riops: Number | None = None


class Device(msgspec.Struct, frozen=True):
    """A block device as sysfs shows it."""

    name: str | None = None
    size: Number | None = None  # bytes
    rotational: bool | int | None = None
    scheduler: str | None = None
    nr_requests: int | None = None
    max_sectors_kb: int | None = None
    max_segments: int | None = None
    wbt_lat_usec: int | None = None
    read_ahead_kb: int | None = None
    limits: Limits | None = None
    write_cache: str | None = None
    min_ratio: Number | None = None
    max_ratio: Number | None = None
    strict_limit: int | bool | None = None


class MountNote(msgspec.Struct, frozen=True):
    """A mounted filesystem."""

    source: str | None = None
    target: str | None = None
    type: str | None = None
    options: str | None = None
    dev: str | None = None


class CaseTask(msgspec.Struct, frozen=True):
    """What one task did; `op` says which of the rest there are."""

    op: str
    file: str | None = None
    size: int | None = None
    file_size: int | None = None
    cold: bool = False
    nr_writes: int | None = None
    nr_reads: int | None = None
    bs: int | None = None
    end_fsync: bool = False
    fsync_every: int | None = None  # calls
    limit_s: Number | None = None
    start_s: Number = 0
    log: str | None = None
    chunk: int | None = None
    delay_us_per_chunk: Number | None = None
    hold_ms: Number | None = None
    rate: Number | None = None
    steps: tuple[int, ...] = ()
    order: int | None = None
    every_s: Number | None = None


class CaseDevice(msgspec.Struct, frozen=True):
    """The device of a case: what limits it, and its queue."""

    model: str | None = None  # "tick_throttle", ...
    tick_ms: Number | None = None
    bytes_per_tick: int | None = None
    carry_over: bool | None = None
    completion_ns: int | None = None
    tags: int | None = None
    hw_queue_depth: int | None = None
    max_request_kib: int | None = None
    scheduler: str | None = None
    wbt: bool | None = None
    read_ahead_kib: int | None = None
    rotational: bool | None = None
    wbps: Number | None = None
    rbps: Number | None = None
    wiops: Number | None = None
    riops: Number | None = None


class CaseMemory(msgspec.Struct, frozen=True):
    """Memory before the run, KiB."""

    total_kib: int | None = None
    free_kib: int | None = None
    page_cache_kib: int | None = None
    unavailable_kib: int | None = None


class Case(msgspec.Struct, frozen=True):
    """The workload and its machine, for a machine to read."""

    name: str | None = None
    fio: str | None = None
    wbps: Number | None = None
    rbps: Number | None = None
    wiops: Number | None = None
    riops: Number | None = None
    sysctl: dict[str, int | float | str] = {}
    fs: str | None = None
    cpus: int | None = None
    hz: int | None = None
    lru: str | None = None
    memory: CaseMemory | None = None
    device: CaseDevice | None = None
    before: tuple[CaseTask, ...] = ()
    tasks: tuple[CaseTask, ...] = ()


class MachineNote(msgspec.Struct, frozen=True):
    """The machine, as far as it was noted."""

    memory_kib: int | None = None


class EventsNote(msgspec.Struct, frozen=True):
    """Which events were recorded, and how many the kernel lost."""

    set: str | None = None
    lost: int | None = None
    clock: str | None = None


class Meta(msgspec.Struct, frozen=True):
    """meta.json."""

    kernel: str | None = None
    sysctl: dict[str, int | float | str] = {}
    dev: str | None = None
    hz: int | None = None
    cpus: int | None = None
    samples: SamplesNote | None = None
    start_s: Number | None = None
    end_s: Number | None = None
    command: tuple[str, ...] | None = None
    events: EventsNote | None = None
    devices: dict[str, Device] = {}
    mounts: tuple[MountNote, ...] = ()
    cgroup: dict[str, Any] | None = None
    vmstat_delta: dict[str, Number] = {}
    command_io: dict[str, Number] = {}
    rc: int | None = None
    ended_by: str | None = None  # command, duration, or a signal's name
    lru_gen: str | None = None  # /sys/kernel/mm/lru_gen/enabled; none: there is no such file
    machine: MachineNote | None = None
    case: Case | None = None


def read_meta(files: Files) -> tuple[Meta, list[str]]:
    """Return meta.json, nulls taken for what is absent, and what of it could not be used.

    Raises TraceError with the place of what makes it unusable: no JSON, or a case nobody can read.
    """
    where = files.where(META)
    try:
        table = msgspec.json.decode(files.read(META))
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise TraceError(f"{where}: {json_words(error)}: correct it, or record again") from None
    if not isinstance(table, dict):
        raise TraceError(f"{where}: no JSON object: record again")
    kept, warnings = _usable(where, _without_nulls(table))
    meta = msgspec.convert(kept, Meta, strict=False)
    hz = meta.hz if meta.hz is not None or meta.case is None else meta.case.hz
    if hz is not None and not 1 <= hz <= MAX_HZ:
        raise TraceError(f"{where}: hz = {hz}: timer ticks a second, from 1 to {MAX_HZ}: correct it")
    return meta, warnings


def _usable(where: str, table: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Leave out what has not the type it should: one odd device makes no recording worthless. A case must be right."""
    kept: dict[str, Any] = {}
    warnings = []
    for field in msgspec.structs.fields(Meta):
        if field.name not in table:
            continue
        value = table[field.name]
        try:
            if not _is_finite(msgspec.to_builtins(msgspec.convert(value, field.type, strict=False))):
                raise msgspec.ValidationError(f"{field.name} has a number that is not finite")
        except (msgspec.MsgspecError, RecursionError) as error:
            text = f"{where}: {json_words(error, field.name)}"
            if field.name == "case":
                raise TraceError(f"{text}: correct it, or take the case out") from None
            warnings.append(f"{text}: {field.name} is left out")
        else:
            kept[field.name] = value
    return kept, warnings


def _is_finite(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(_is_finite, value.values()))
    if isinstance(value, list):
        return all(map(_is_finite, value))
    return not isinstance(value, float) or math.isfinite(value)


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nulls(one) for name, one in value.items() if one is not None}
    if isinstance(value, list):
        return [_without_nulls(one) for one in value if one is not None]
    return value
