# SPDX-License-Identifier: GPL-2.0-or-later
"""What says how busy a machine is, checked at the door: demand in phases, files that are dirty at the start."""

from __future__ import annotations

from pageout.vocabulary.keys import FieldError, Key, nth, value_of
from pageout.vocabulary.scenario import DAY_NS, Phase, Scenario, Task
from pageout.vocabulary.units import MAX_VALUE

MAX_PHASES = 4096
PHASE_KEYS = (
    Key("start", "start_ns", int, (), None, "", "duration", 0, 365 * DAY_NS, frozenset()),
    Key("rate", "rate_bps", int, (), None, "", "rate", 0, 1 << 50, frozenset()),
    Key("bytes", "amount_bytes", int, (), None, "", "size", 1, MAX_VALUE, frozenset()),
)


def _require(condition: bool, where: str, message: str) -> None:
    if not condition:
        raise FieldError(where, message)


def phases_of(where: str, rows: object) -> tuple[Phase, ...]:
    """Return the phases of rows [start, rate, bytes].  Raises FieldError."""
    if not isinstance(rows, list) or not 0 < len(rows) <= MAX_PHASES:
        raise FieldError(where, f"must be a list of 1 to {MAX_PHASES} rows [start, rate, bytes]")
    found = []
    for number, row in enumerate(rows):
        if not isinstance(row, list) or len(row) != len(PHASE_KEYS):
            raise FieldError(where, f'row {number + 1}: must be [start, rate, bytes], such as ["5s", "30M", "1G"]')
        try:
            found.append(Phase(*(value_of(key, value) for key, value in zip(PHASE_KEYS, row, strict=True))))
        except ValueError as error:
            raise FieldError(where, f"row {number + 1}: {error}") from None
    return tuple(found)


def check_phases(where: str, task: Task) -> None:
    """Check that a task's phases follow each other and are its only rates.  Raises FieldError."""
    where = f"{where}.phases"
    starts = [phase.start_ns for phase in task.phases]
    _require(starts == sorted(starts), where, "must be in the order of their starts")
    _require(all(phase.amount_bytes > 0 for phase in task.phases), where, "each needs bytes")
    total = sum(phase.amount_bytes for phase in task.phases)
    _require(total <= MAX_VALUE, where, "more bytes than can be counted")
    alone = not (task.rate_bps or task.time_based or task.loops > 1)
    _require(not task.phases or alone, where, "go neither with rate nor with loops or time_based")


def check_dirty(scenario: Scenario) -> None:
    """Check that no file is dirty beyond its end, or on a union.  Raises FieldError."""
    unions = {filesystem.name for filesystem in scenario.machine.filesystems if filesystem.kind == "union"}
    for index, file in enumerate(scenario.files):
        where = f"{nth('file', index)}.dirty"
        _require(file.dirty_bytes <= file.size_bytes, where, "is more than the file")
        on_union = (file.filesystem or scenario.machine.filesystem.name) in unions
        _require(not (file.dirty_bytes and on_union), where, "not on a union: give it to the file below")
