# SPDX-License-Identifier: GPL-2.0-or-later
"""Predicted held against measured, figure by figure: error, the machine's own spread, whether it is near enough."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import median
from typing import Any, NamedTuple

import msgspec

from pageout.bundle.bundle import Bundle
from pageout.bundle.evidence import Evidence, Window, evidence_of, fio_text
from pageout.bundle.levels import PAGES_PER_MIB, levels_of
from pageout.bundle.measured import LEAST_P99_US, Value, figure_of, measured, per_second
from pageout.twin.baseline import baseline
from pageout.twin.boxes import Twin
from pageout.twin.device import share_of
from pageout.vocabulary.verdicts import counts

# Where the measured value is 0 an error is absolute, and this much is near enough.
ABSOLUTE = {
    "s": 0.1, "MiB": 1.0, "": 1.0, "pages": 1.0, "MB/s": 1.0, "ms": 1.0, "us": 1000.0, "KiB": 1.0,
    "/s": 0.1, "s/s": 0.01, "pages/s": 1.0,
}  # fmt: skip
PAUSES_MS = ("pause_mean_ms", "pause_p50_ms", "pause_p90_ms")
POINTS = 2000  # of a curve that is drawn

Curve = Mapping[str, Sequence[float]]  # t_s from the start of the tasks; dirty_mib, writeback_mib


class Recorded(NamedTuple):
    """What is kept of a recording once it was measured."""

    path: str
    name: str
    twin: Twin
    figures: Mapping[str, Value]
    tick_ms: float
    key: str  # equal for recordings of one case on one kernel with the same settings
    curve: Curve | None
    warnings: tuple[str, ...]
    seconds: float | None  # from the start of the tasks to the end of the last one's fsync


def recorded(bundle: Bundle, twin: Twin, window: Window | None = None) -> Recorded:
    """Measure a recording.  window: when its tasks worked, for one whose tasks say nothing of themselves"""
    evidence = evidence_of(bundle)
    if window is not None and not bundle.calls:
        evidence = replace(evidence, window=window)
    tick_ms = 1000 / (bundle.hz or twin.scenario.machine.hz)
    return Recorded(
        bundle.path, bundle.name, twin, measured(evidence), tick_ms, key_of(bundle), curve_of(evidence),
        tuple(bundle.warnings), evidence.window.seconds if evidence.window is not None else None,
    )  # fmt: skip


def key_of(bundle: Bundle) -> str:
    """Return what twins have in common: case or job, kernel, lists, sysctls, limits and shares of the device."""
    case: Any = None
    if bundle.case is not None:
        case = msgspec.to_builtins(msgspec.structs.replace(bundle.case, name=None, memory=None))
    job = fio_text(bundle) if case is None else None
    command = bundle.meta.command if case is None and job is None else None
    limits = msgspec.to_builtins(bundle.limits) if bundle.limits is not None else None
    settings = [sorted(bundle.sysctl.items()), limits, share_of(bundle)]
    parts = [case, job, command, bundle.kernel, bundle.meta.lru_gen, *settings]
    return msgspec.json.encode(parts).decode()


def curve_of(evidence: Evidence) -> Curve | None:
    """Return dirty and writeback over the time of the tasks, MiB, to be drawn."""
    levels = levels_of(evidence)
    if levels is None:
        return None
    step = max(1, len(levels.time_ns) // POINTS)
    return {
        "t_s": ((levels.time_ns - levels.time_ns[0]) / 1e9)[::step].tolist(),
        "dirty_mib": (levels.dirty / PAGES_PER_MIB)[::step].tolist(),
        "writeback_mib": (levels.writeback / PAGES_PER_MIB)[::step].tolist(),
    }


def same_recording(one: Recorded, other: Recorded) -> bool:
    """Say whether two are copies of one recording: no two runs leave the same curve."""
    if one.path == other.path:
        return True
    return one.curve is not None and one.curve == other.curve and one.figures == other.figures


def copies(all_recorded: Sequence[Recorded]) -> list[str]:
    """Return a warning for each recording that was named before, as another folder or .zip of it."""
    found = []
    for number, one in enumerate(all_recorded):
        first = next((other for other in all_recorded[:number] if same_recording(one, other)), None)
        if first is not None:
            found.append(f"{one.path}: the same recording as {first.path}: it tells no spread")
    return found


def spreads(all_recorded: Sequence[Recorded]) -> list[dict[str, float | None]]:
    """Return, for each recording and figure, how far its furthest twin lies, as errors are told; None without twins."""
    found = []
    for one in all_recorded:
        twins = [other for other in all_recorded if other.key == one.key and not same_recording(one, other)]
        found.append({name: _spread(name, value, twins) for name, value in one.figures.items()})
    return found


def _spread(name: str, value: Value, twins: Sequence[Recorded]) -> float | None:
    apart = [error_of(value, twin.figures.get(name)) for twin in twins]
    known = [abs(one) for one in apart if one is not None]
    return round(max(known), 6) if known else None


def error_of(measured_value: Value, predicted: Value) -> float | None:
    """Return predicted over measured, less 1; the difference where 0 was measured; None where either is not known."""
    if measured_value is None or predicted is None:
        return None
    difference = float(predicted) - float(measured_value)
    return round(difference / abs(measured_value), 6) if measured_value else round(difference, 6)


def tolerance_of(name: str, value: Value, tick_ms: float) -> float | None:
    """Return how far a prediction may be off, as errors are told; None: not judged.

    A pause is a whole number of ticks: one tick is always near enough.
    """
    share = figure_of(name).tolerance
    if share is None or value is None or (name == "write_p99_us" and value <= LEAST_P99_US):
        return None
    if not value:
        return ABSOLUTE[figure_of(name).unit]
    return max(share, tick_ms / float(value)) if name in PAUSES_MS else share


def figures(
    one: Recorded, predicted: Mapping[str, Value], spread: Mapping[str, float | None], margin: float = 1.0
) -> list[dict[str, Any]]:
    """Return one row a figure that was measured or predicted.  margin: times the tolerance a prediction may be off"""
    told = baseline(one.twin.scenario, list(one.figures))
    told |= per_second(told, one.seconds)
    rows = []
    for name in dict.fromkeys((*one.figures, *predicted)):
        value, guess = one.figures.get(name), predicted.get(name)
        if value is None and guess is None:
            continue
        rows.append(
            {
                "name": name,
                "unit": figure_of(name).unit,
                "measured": value,
                "predicted": guess,
                "baseline": told.get(name),
                "error": error_of(value, guess),
                "spread": spread.get(name),
                "allowed": allowed(name, value, spread.get(name), one.tick_ms, margin),
                "within": within(name, value, guess, spread.get(name), one.tick_ms, margin),
                "nothing": nothing(value, guess),
            }
        )
    return rows


def nothing(value: Value, guess: Value) -> bool:
    """Say whether nothing happened, neither as recorded nor as predicted: right, and no proof of anything."""
    return value == 0 and guess == 0


def allowed(name: str, value: Value, spread: float | None, tick_ms: float, margin: float = 1.0) -> float | None:
    """Return how far off is near enough, as errors are told: tolerance or the machine's own spread, the larger.

    None: not judged.
    """
    tolerance = tolerance_of(name, value, tick_ms)
    return None if tolerance is None else round(margin * max(tolerance, spread or 0.0), 6)


def within(
    name: str, value: Value, guess: Value, spread: float | None, tick_ms: float, margin: float = 1.0
) -> bool | None:
    """Say whether a prediction is near enough; None: not judged."""
    limit = allowed(name, value, spread, tick_ms, margin)
    if limit is None:
        return None
    error = error_of(value, guess)
    return error is not None and math.isfinite(error) and abs(error) <= limit


def summary(bundles: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return for each figure the errors' median and worst, how many were judged, how many missed."""
    rows: dict[str, list[Mapping[str, Any]]] = {}
    for bundle in bundles:
        for row in bundle["figures"]:
            rows.setdefault(row["name"], []).append(row)
    found = {}
    for name, mine in rows.items():
        judged = [row for row in mine if counts(row)]
        errors = [abs(row["error"]) for row in judged if row["error"] is not None]
        found[name] = {
            "median": round(median(errors), 6) if errors else None,
            "worst": max(errors, default=None),
            "n": len(judged),
            "misses": sum(row["within"] is False for row in judged),
        }
    return found
