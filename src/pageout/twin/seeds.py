# SPDX-License-Identifier: GPL-2.0-or-later
"""A chaotic run is a distribution: the same scenario from other seeds, and whether they cover what was recorded.

A writer that goes through a file in order draws no random number. What differs between two runs of one machine is then
where its timers stood when the tasks began, so every other seed shifts all of them against the device's clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any, NamedTuple

import msgspec

from pageout.bundle.measured import Value
from pageout.twin.phase import begun_later
from pageout.vocabulary.scenario import Disk, Scenario, task_seed

SLICE_NS = 100_000_000  # of blk-throttle: HZ / 10
ENDS = (0.05, 0.95)
WIDEST = 10.0  # times the lower end
SHIFTS = 1 << 40  # the stream of random numbers that shifts are of


class Range(NamedTuple):
    """Where nine of ten runs lie, both ends included; of one run its value twice."""

    low: float
    high: float

    @property
    def width(self) -> float | None:
        """Return how many times the lower end the upper one is, None where the lower is 0."""
        return round(self.high / self.low, 6) if self.low > 0 else (1.0 if self.low == self.high else None)

    def covers(self, value: Value) -> bool | None:
        """Say whether a measured value lies in it; None where nothing was measured."""
        return None if value is None else self.low <= value <= self.high


def from_seed(scenario: Scenario, seed: int) -> Scenario:
    """Return the scenario as another seed has it: the tasks start up to one turn of the device's clock later."""
    moved = seed - scenario.seed
    if not moved:
        return scenario
    shift = task_seed(seed, SHIFTS) % _turn_ns(scenario.machine.disks[0], scenario.machine.hz)
    tasks = tuple(msgspec.structs.replace(task, seed=abs(task.seed + moved)) for task in scenario.tasks)
    return msgspec.structs.replace(scenario, seed=seed, tasks=begun_later(tasks, shift))


def _turn_ns(disk: Disk, hz: int) -> int:
    if disk.limit == "ticks" and disk.tick_ns:
        return disk.tick_ns
    return SLICE_NS if disk.kind == "throttled" else 10**9 // hz


def together(runs: Sequence[Mapping[str, Value]]) -> tuple[dict[str, Value], dict[str, Range]]:
    """Return the median of several seeds' figures, and where 90 % of them lie; of one seed no range."""
    if len(runs) == 1:
        return dict(runs[0]), {}
    predicted: dict[str, Value] = {}
    ranges: dict[str, Range] = {}
    for name in dict.fromkeys(name for figures_of_one in runs for name in figures_of_one):
        values = sorted(value for one in runs if (value := one.get(name)) is not None)
        predicted[name] = round(median(values), 6) if values else None
        if values:
            low, high = (values[round(share * (len(values) - 1))] for share in ENDS)
            ranges[name] = Range(low, high)
    return predicted, ranges


def with_range(row: dict[str, Any], found: Range | None) -> dict[str, Any]:
    """Return a row with its range: its ends, how wide it is, whether it covers what was measured.

    What a range covers that is no wider than WIDEST is within: nearer no single run of such a machine is to another.
    """
    if found is None:
        return row
    covers, width = found.covers(row["measured"]), found.width
    told = {"low": found.low, "high": found.high, "width": width, "covers": covers}
    if row["within"] is False and covers and width is not None and width <= WIDEST:
        told["within"] = True
    return row | told
