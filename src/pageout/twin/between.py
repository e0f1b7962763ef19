# SPDX-License-Identifier: GPL-2.0-or-later
"""From one recording to another: the demand of the one under the settings in which the other differs.

Of the other nothing is taken but what a user could have set: sysctls, the device's limits, the kernel; and how much was
written, so that runs of one length are compared. What else differs is said, and left as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import NamedTuple

import msgspec

from pageout.bundle.bundle import Bundle
from pageout.bundle.evidence import Window
from pageout.bundle.measured import Value, per_second
from pageout.bundle.meta import Limits
from pageout.twin.boxes import Twin, scenario_of
from pageout.twin.conditions import PAGE_BYTES, settings_in_force
from pageout.twin.device import share_of
from pageout.twin.judge import Recorded
from pageout.twin.recorded_lru import lru_of, under_design
from pageout.twin.whatif import settled
from pageout.vocabulary.errors import ScenarioError, TraceError
from pageout.vocabulary.keys import FieldError
from pageout.vocabulary.later_kernels import design_for
from pageout.vocabulary.scenario import Disk, Phase, Scenario, Task
from pageout.vocabulary.settings import SYSCTLS, check
from pageout.vocabulary.units import MIB

MARGIN = 1.5  # times the tolerance, or the machine's own spread, that a prediction may be off
HELD = 0.9  # a device this near its limit was held by it
SAME = 0.02  # amounts no further apart are the same
OF_DEVICE = (("wbps", "write_bps"), ("rbps", "read_bps"), ("wiops", "write_iops"), ("riops", "read_iops"))


class Conditions(NamedTuple):
    """What a recording ran under, so that another can be asked what it would have done."""

    path: str
    sysctl: Mapping[str, int]
    limits: Limits
    share: Mapping[str, int | bool]  # of the device in the dirty limit, as fields of a Disk
    tick: tuple[int, int]  # bytes that pass each so many ns; zeroes: no such device
    kernel: str | None
    machine: Mapping[str, object]  # what is not carried over, by its name
    written: int | None  # bytes its tasks wrote, None: nobody says


def conditions_of(bundle: Bundle) -> Conditions:
    """Return what a recording ran under."""
    case = bundle.case
    device = case.device if case is not None else None
    tick = (0, 0)
    if device is not None and device.bytes_per_tick and device.tick_ms:
        tick = device.bytes_per_tick, int(device.tick_ms * 1e6)
    written = sum(calls.nbytes for calls in bundle.calls if calls.is_write) or None
    machine = {"filesystem": bundle.filesystem, "CPUs": bundle.cpus, "timer ticks a second": bundle.hz}
    machine["lists of pages"] = lru_of(bundle, [])
    limits = bundle.limits or Limits()
    return Conditions(bundle.path, bundle.sysctl, limits, share_of(bundle), tick, bundle.kernel, machine, written)


class Moved(NamedTuple):
    """A recording's twin under another's settings, and in what those differ."""

    twin: Twin
    changes: tuple[str, ...]


def moved(twin: Twin, one: Conditions, other: Conditions, design: str | None = None) -> Moved:
    """Return the twin of one recording under the settings of another.  Raises ScenarioError if it cannot run so.

    design: in place of that of the other's kernel
    """
    changes: list[str] = []
    notes: list[str] = list(twin.notes)
    scenario = _with_sysctls(twin.scenario, one, other, changes, notes)
    scenario = _with_device(scenario, one, other, changes, notes)
    theirs = design_for(other.kernel)
    if design is None and theirs != design_for(one.kernel):
        changes.append(f"kernel {one.kernel} -> {other.kernel} (design {theirs})")
        scenario = under_design(scenario, theirs)
    for name, value in one.machine.items():
        after = other.machine.get(name)
        if None not in (value, after) and value != after:
            notes.append(f"{name}: {value} in {one.path}, {after} in {other.path}: not carried over")
    scenario = _as_long(settled(twin.scenario, scenario), one, other, notes)
    try:
        check(scenario)
    except FieldError as problem:
        raise ScenarioError(f"{other.path}: cannot be predicted from {one.path}: {problem.where}: {problem}") from None
    return Moved(Twin(scenario, tuple(dict.fromkeys(notes)), twin.box), tuple(changes))


def window_of(bundle: Bundle) -> Window | None:
    """Return when the tasks of a recording worked that say nothing of themselves; None where nothing tells."""
    if bundle.calls:
        return None
    with suppress(TraceError, ScenarioError):
        return scenario_of(bundle, box="black").window
    return None


def rates_of(one: Recorded) -> Recorded:
    """Return a recording with rates in place of sums, since the other may have lasted longer."""
    return one._replace(figures=per_second(one.figures, one.seconds))


def with_before(rows: list[dict[str, object]], before: Mapping[str, Value]) -> list[dict[str, object]]:
    """Return rows of figures with what the first recording had: a prediction that nothing changes."""
    return [row | {"before": before.get(str(row["name"]))} for row in rows]


def _with_sysctls(
    scenario: Scenario, one: Conditions, other: Conditions, changes: list[str], notes: list[str]
) -> Scenario:
    """Return a scenario under the other's sysctls; one that the other does not name stays."""
    if not other.sysctl:
        notes.append(f"{other.path}: says no sysctl: those of {one.path} stand")
        return scenario
    told = dict(other.sysctl)
    for name, value in one.sysctl.items():
        pair = {name, name.replace("_ratio", "_bytes"), name.replace("_bytes", "_ratio")}
        if not pair & set(other.sysctl):
            told[name] = value
    before, after = settings_in_force(one.sysctl, []), settings_in_force(told, notes)
    for name in sorted(before.keys() | after.keys()):
        values = [table.get(name, SYSCTLS[name].default) for table in (before, after)]
        if values[0] != values[1]:
            changes.append(f"{name} {values[0]} -> {values[1]}")
    return msgspec.structs.replace(scenario, settings=after)


def _with_device(
    scenario: Scenario, one: Conditions, other: Conditions, changes: list[str], notes: list[str]
) -> Scenario:
    """Return a scenario with the other's limits upon the device.

    A device that was as fast as its limit is as fast as the new one; one that was slower was itself what held it.
    """
    disk = scenario.machine.disks[0]
    fields: dict[str, object] = {}
    for name, field in OF_DEVICE:
        before, after = (int(getattr(each.limits, name) or 0) for each in (one, other))
        if before == after:
            continue
        changes.append(f"{name} {before or 'none'} -> {after or 'none'}")
        fields |= _limit(disk, field, before, after, notes)
    if one.tick != other.tick and all(one.tick) and all(other.tick):
        changes.append(f"bytes a tick {one.tick[0]} -> {other.tick[0]}, tick {one.tick[1]} -> {other.tick[1]} ns")
        if disk.limit == "ticks":
            fields |= {"tick_bytes": other.tick[0], "tick_ns": other.tick[1]}
        else:
            fields |= _limit(disk, "write_bps", _a_second(one.tick), _a_second(other.tick), notes)
    kind = {"kind": "throttled"} if fields else {}
    for name, after in other.share.items():
        before = getattr(disk, name)
        if before != after:
            changes.append(f"{name} {int(before)} -> {int(after)}")
            fields[name] = after
    if not fields:
        return scenario
    disk = msgspec.structs.replace(disk, **(kind | fields))
    machine = msgspec.structs.replace(scenario.machine, disks=(disk, *scenario.machine.disks[1:]))
    return msgspec.structs.replace(scenario, machine=machine)


def _a_second(tick: tuple[int, int]) -> int:
    return tick[0] * 10**9 // tick[1]


def _limit(disk: Disk, field: str, before: int, after: int, notes: list[str]) -> dict[str, object]:
    had: int = getattr(disk, field)
    if not after:
        notes.append(f"{field}: how fast the device is without its limit nothing says: it is taken to stay as fast")
        return {}
    if had and (not before or had < HELD * before):  # itself the slower: what it can do is known
        after = min(had, after)
    return {field: after}


def _as_long(scenario: Scenario, one: Conditions, other: Conditions, notes: list[str]) -> Scenario:
    """Return a scenario that writes as much as the other wrote: each writer's last stretch goes on, or ends sooner.

    Of writers to the device that matters; nobody says what the others would have done in that time.
    """
    if not one.written or not other.written or abs(other.written - one.written) <= SAME * one.written:
        return scenario
    share = other.written / one.written
    tasks = list(scenario.tasks)
    files = list(scenario.files)
    here = ("", scenario.machine.filesystem.name)
    for number, task in enumerate(tasks):
        is_here = all(files[place].filesystem in here for place in task.file)
        if task.kind != "io" or "write" not in task.rw or task.background or not is_here:
            continue
        tasks[number] = longer = _longer(task, int(task.io_bytes * share) // PAGE_BYTES * PAGE_BYTES)
        if "rand" in task.rw:
            continue
        for place in task.file:
            size = max(files[place].size_bytes, longer.io_bytes)
            files[place] = msgspec.structs.replace(files[place], size_bytes=size)
    notes.append(
        f"written: {one.written / MIB:.5g} MiB in {one.path}, {other.written / MIB:.5g} in {other.path}: as much"
    )
    return msgspec.structs.replace(scenario, tasks=tuple(tasks), files=tuple(files))


def _longer(task: Task, nbytes: int) -> Task:
    nbytes = max(nbytes, PAGE_BYTES)
    return msgspec.structs.replace(task, io_bytes=nbytes, phases=tuple(_phases(task.phases, nbytes)))


def _phases(phases: tuple[Phase, ...], nbytes: int) -> Iterator[Phase]:
    for number, phase in enumerate(phases):
        amount = nbytes if number == len(phases) - 1 else min(phase.amount_bytes, nbytes)
        if amount > 0:
            yield phase._replace(amount_bytes=amount)
        nbytes -= amount
