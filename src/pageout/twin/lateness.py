# SPDX-License-Identifier: GPL-2.0-or-later
"""How long a woken task waited for a CPU because a machine was busy with more than was recorded.

Told by whoever took the samples: it sleeps the same time between any two of them, so what an interval is longer than
most was spent waiting to run. It writes nothing, so nothing the model predicts holds it up, but for a CPU that the
model's own tasks use: where one CPU is all there is, what it waited is left out.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

NOTICED_NS = 2_000_000  # samples are on time to a millisecond; what is sooner is no wait
ENOUGH = 20  # intervals
LONGEST_NS = 10**9
MOST_PERCENT = 90


class RunDelay(NamedTuple):
    """Of all time, in per cent, how much no CPU was free; how long one waited then, on average."""

    busy_percent: int
    run_delay_ns: int

    @property
    def said(self) -> str:
        """The same for a reader."""
        return f"CPU: others had it for {self.busy_percent} % of the time, {self.run_delay_ns / 1e6:.3g} ms on average"


def run_delay(time_ns: NDArray[np.int64], start_ns: int, end_ns: int) -> RunDelay | None:
    """Return how late the samples of a window were; None if they were on time, or too few to tell.

    time_ns: (n,) when each sample was taken, in order
    """
    inside = time_ns[(time_ns >= start_ns) & (time_ns <= end_ns)]
    intervals = np.diff(inside)
    if len(intervals) < ENOUGH:
        return None
    excess = intervals - np.median(intervals)
    late = excess[excess >= NOTICED_NS]
    percent = round(100 * len(late) / len(intervals))
    if not percent:
        return None
    return RunDelay(min(percent, MOST_PERCENT), min(int(late.mean()), LONGEST_NS))
