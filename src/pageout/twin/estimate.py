# SPDX-License-Identifier: GPL-2.0-or-later
"""A number that was not recorded but follows from what was, and how far off it may be."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Estimate(NamedTuple):
    """A value, and the interval it may lie in, ends included."""

    value: float
    low: float
    high: float


def of_values(values: Array, low: float = 0.1, middle: float = 0.5, high: float = 0.9) -> Estimate | None:
    """Return three quantiles of at least one value as an estimate, None of none."""
    if not len(values):
        return None
    ends = np.quantile(values, [middle, low, high])
    return Estimate(float(ends[0]), float(ends[1]), float(ends[2]))


def segments(times: Array, amounts: Array, tolerance: float, most: int) -> list[tuple[float, float, float]]:
    """Return (start, end, amount) of straight pieces that keep within `tolerance` of a rising curve.

    times, amounts: points of the curve, both rising. The tolerance is doubled until there are at most so many pieces.
    Pieces in which nothing rises are left out.
    """
    while True:
        found = _swing(times, amounts, tolerance)
        if len(found) <= most:
            return found
        tolerance *= 2


def _swing(times: Array, amounts: Array, tolerance: float) -> list[tuple[float, float, float]]:
    """From each corner the longest piece whose slope passes within the tolerance of all points on its way."""
    at, x, y = 0, times.tolist(), amounts.tolist()
    found = []
    while at < len(x) - 1:
        low, high, end = -np.inf, np.inf, at + 1
        for i in range(at + 1, len(x)):
            span = max(x[i] - x[at], 1e-9)
            slope = (y[i] - y[at]) / span
            if not low <= slope <= high:
                break
            low, high = max(low, slope - tolerance / span), min(high, slope + tolerance / span)
            end = i
        if y[end] > y[at]:
            found.append((x[at], x[end], y[end] - y[at]))
        at = end
    return found
