# SPDX-License-Identifier: GPL-2.0-or-later
"""What if: a recorded run under other settings, as far as the unchanged replay of it can be trusted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from pageout.bundle.measured import FIGURES, Value, figure_of
from pageout.twin.judge import error_of, nothing, tolerance_of
from pageout.vocabulary.scenario import Scenario
from pageout.vocabulary.settings import choices

LIMITS = tuple(f"vm.dirty_{name}" for name in ("ratio", "bytes", "background_ratio", "background_bytes"))
COUNTED_BY = ("dirty.base", "throttle.by")  # choices of a design that make another limit of the same memory
# The second is never less than the first. Smaller pairs first: what one raises, the next must see.
NOT_LESS = (
    ("pause_p50_ms", "pause_p90_ms"), ("pause_p90_ms", "pause_max_ms"), ("pause_mean_ms", "pause_max_ms"),
    ("write_p50_us", "write_p99_us"), ("dirty_mean_mib", "dirty_max_mib"),
)  # fmt: skip
TRUSTED = 1.5  # times the tolerance that a prediction may be off


def settled(before: Scenario, after: Scenario) -> Scenario:
    """Return the changed scenario as if it had always been so: a limit being followed is of what it was made of.

    That is the settings, the memory, and how the design counts; a limit that the change itself names stands.
    """
    if before.machine.start_dirty_limit_bytes != after.machine.start_dirty_limit_bytes:
        return after
    if _limited_by(before) == _limited_by(after):
        return after
    return msgspec.structs.replace(after, machine=msgspec.structs.replace(after.machine, start_dirty_limit_bytes=0))


def _limited_by(scenario: Scenario) -> list[Any]:
    """Return all that the limit on dirty pages is made of, but what is free at the moment."""
    chosen, machine = choices(scenario), scenario.machine
    said = [scenario.settings.get(name) for name in LIMITS]
    return [*said, machine.memory_bytes, machine.taken_bytes, *(chosen.get(name) for name in COUNTED_BY)]


def rows(
    before: Mapping[str, Value], unchanged: Mapping[str, Value], changed: Mapping[str, Value], tick_ms: float
) -> list[dict[str, Any]]:
    """Return one row a figure.

    before: recorded; unchanged, changed: simulated; after: what to expect, the recorded value moved as the simulated
    one moved; error_bar: how far off the unchanged replay was, carried over, in the figure's unit; trust: False where
    it was off by more than half again what is near enough, None where the figure is not judged, or was 0 in both
    """
    names = [*FIGURES, *(name for name in before if name not in FIGURES)]
    found = []
    for name in names:
        values = [table.get(name) for table in (before, unchanged, changed)]
        if all(value is None for value in values):
            continue
        after = _after(*values)
        if after is not None and _counts(name):
            after = round(after)
        error = error_of(values[0], values[1])
        off = None if error is None else abs(error)
        bar = None if off is None or after is None else round(off * abs(after) if values[0] else off, 6)
        gone = bool(values[0]) and not after  # what is gone has no error that could be scaled
        unseen = nothing(values[0], values[1])  # of what did not happen nobody knows how well it is predicted
        bar = None if gone or unseen else bar
        limit = None if unseen else tolerance_of(name, values[0], tick_ms)
        found.append(
            {
                "name": name, "unit": figure_of(name).unit, "before": values[0], "unchanged": values[1],
                "changed": values[2], "after": after, "difference": _minus(after, values[0]), "error_bar": bar,
                "trust": None if limit is None or gone else off is not None and off <= TRUSTED * limit,
            }
        )  # fmt: skip
    _in_order(found)
    return found


def _in_order(found: list[dict[str, Any]]) -> None:
    """Raise what cannot be less than another figure of the same distribution, and its error bar with it.

    Each figure is moved by its own ratio, so that a longest pause might come out below the median one.
    """
    by_name = {row["name"]: row for row in found}
    for less, more in NOT_LESS:
        low, high = (by_name.get(name, {}).get("after") for name in (less, more))
        if low is not None and high is not None and high < low:
            row = by_name[more]
            row["error_bar"] = _raised_bar(row, by_name[less])
            row["after"], row["difference"] = low, _minus(low, row["before"])


def _raised_bar(row: Mapping[str, Any], less: Mapping[str, Any]) -> Value:
    """Return how far off a figure may be once it is raised to another: as a share what it was, no less than of that."""
    bars = [row["error_bar"], less["error_bar"]]
    if row["error_bar"] is not None and row["after"] and row["before"]:
        bars[0] = round(row["error_bar"] * abs(less["after"] / row["after"]), 6)
    return None if bars[0] is None else max(bar for bar in bars if bar is not None)


def _counts(name: str) -> bool:
    return name.endswith(("_count", "_requests")) or figure_of(name).unit == "pages"


def _after(before: Value, unchanged: Value, changed: Value) -> Value:
    if changed is None:
        return None
    if before is None or not unchanged or not before:
        return changed
    return round(float(before) * float(changed) / float(unchanged), 6)


def _minus(after: Value, before: Value) -> Value:
    return None if after is None or before is None else round(float(after) - float(before), 6)
