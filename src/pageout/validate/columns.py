# SPDX-License-Identifier: GPL-2.0-or-later
"""The events of throttling as columns of numbers, and which of them belong to one call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pageout.events.tables import Events

Array = NDArray[Any]
Columns = dict[str, Array]

MISSING = -(1 << 62)  # not printed
NONE = -1  # no such row
GREATEST = 1 << 31  # of a number the arithmetic is sure of
GREATEST_MS = 1 << 50  # of a pause or a think time, which can be all the time since boot
NO_CGROUPS = (1 << 32) - 1  # printed as cgroup_ino by kernels built without
_SIGNED = ("pause", "think")

STATE, UPDATE, CHECK = 0, 1, 2  # global_dirty_state, bdi_dirty_ratelimit, balance_dirty_pages

_PLACE = ("line", "segment", "pid", "time_ns", "cpu")
_CHECK = (
    "limit", "setpoint", "dirty", "bdi_setpoint", "bdi_dirty", "dirty_ratelimit", "task_ratelimit", "dirtied",
    "dirtied_pause", "paused", "pause", "period", "think", "cgroup_ino",
)  # fmt: skip
_UPDATE = (
    "write_bw", "awrite_bw", "dirty_rate", "dirty_ratelimit", "task_ratelimit", "balanced_dirty_ratelimit",
    "cgroup_ino",
)  # fmt: skip
_STATE = ("dirty", "writeback", "bg_thresh", "thresh", "limit", "written")


@dataclass(frozen=True)
class Joined:
    """The three events in the order of their lines, and for each check and update what else its call printed."""

    checks: Columns
    updates: Columns
    states: Columns
    state_of: Array  # of a check: its call's global_dirty_state, or NONE
    update_of: Array  # of a check: the update made in its call, or NONE
    before: Array  # of a check: the check of the same task before it, or NONE
    free_run: Array  # of a check: the state at which the task was let go unseen since then, or NONE
    check_of: Array  # of an update: the check of its call, or NONE


def _columns(events: Events, name: str, wanted: tuple[str, ...], device: bool) -> Columns:
    frame = events.frame(name).sort("line")
    numbers = [pl.col(column).cast(pl.Int64, strict=False).fill_null(MISSING) for column in (*_PLACE, *wanted)]
    found = {column: values.to_numpy() for column, values in frame.select(numbers).to_dict(as_series=True).items()}
    if device:
        found["device"] = frame["bdi"].cast(pl.String).fill_null("").to_numpy()
    return found


def _merged(tables: tuple[Columns, ...]) -> tuple[Array, Array]:
    """Return (kind, row) of all events, task by task, each in the order of its lines."""
    kind = np.concatenate([np.full(len(table["line"]), number) for number, table in enumerate(tables)])
    row = np.concatenate([np.arange(len(table["line"])) for table in tables])
    line, pid, segment = (np.concatenate([table[name] for table in tables]) for name in ("line", "pid", "segment"))
    order = np.lexsort((line, segment, pid))
    return kind[order], row[order]


def join(events: Events) -> Joined:
    """Bring together what one call printed: the last global_dirty_state of the task, an update, the check."""
    states = _columns(events, "global_dirty_state", _STATE, device=False)
    updates = _columns(events, "bdi_dirty_ratelimit", _UPDATE, device=True)
    checks = _columns(events, "balance_dirty_pages", _CHECK, device=True)
    nr = len(checks["line"])
    none = [np.full(nr, NONE) for _ in range(4)]
    found = Joined(checks, updates, states, none[0], none[1], none[2], none[3], np.full(len(updates["line"]), NONE))
    kind, row = _merged((states, updates, checks))
    task: tuple[int, int] = (NONE, NONE)
    tables = (states, updates, checks)
    last_check = state = free_run = update = NONE
    for what, number in zip(kind.tolist(), row.tolist(), strict=True):
        table = tables[what]
        place = int(table["pid"][number]), int(table["segment"][number])
        if place != task:
            task, last_check, state, free_run, update = place, NONE, NONE, NONE, NONE
        if what == STATE:
            free_run, state, update = state, number, NONE
        elif what == UPDATE:
            update = number
        else:
            found.state_of[number], found.before[number], found.free_run[number] = state, last_check, free_run
            if update != NONE and updates["device"][update] == checks["device"][number]:
                found.update_of[number], found.check_of[update] = update, number
            last_check, state, free_run, update = number, NONE, NONE, NONE
    return found


def of_rows(values: Array, rows: Array) -> Array:
    """Return the values of these rows, 0 where there is none."""
    if not len(values):
        return np.zeros(len(rows), values.dtype)
    return np.where(rows == NONE, np.zeros(1, values.dtype), values[np.where(rows == NONE, 0, rows)])


def grouped(columns: Columns, wanted: Array) -> dict[tuple[str, int], Array]:
    """Return the wanted rows of each device in each segment."""
    found: dict[tuple[str, int], list[int]] = {}
    for row in np.flatnonzero(wanted).tolist():
        found.setdefault((str(columns["device"][row]), int(columns["segment"][row])), []).append(row)
    return {key: np.array(rows) for key, rows in found.items()}


def is_global(columns: Columns) -> Array:
    """Is only the machine's own domain in question? Before 4.2 there was no other, and nothing was printed."""
    return np.isin(columns["cgroup_ino"], (1, NO_CGROUPS, MISSING))


def is_sane(columns: Columns) -> Array:
    """Say of each row whether all its numbers are printed and small enough for the arithmetic."""
    found = np.full(len(columns["line"]), True)
    for name, values in columns.items():
        if name not in ("line", "segment", "pid", "time_ns", "cpu", "device", "cgroup_ino"):
            found &= np.abs(values) < GREATEST_MS if name in _SIGNED else (values >= 0) & (values < GREATEST)
    return found


def first_rule(left_out: Array, *rules: tuple[Array, str]) -> Array:
    """Return the first rule that holds of each event, those already left out first."""
    for holds, rule in rules:
        left_out = np.where((left_out == "") & holds, rule, left_out)
    return left_out
