# SPDX-License-Identifier: GPL-2.0-or-later
"""How long a woken task waited for a CPU because a machine was busy with more than was recorded.

Told first by whoever took the samples: it sleeps the same time between any two of them, so what an interval is longer
than most was spent waiting to run. It writes nothing, so nothing the model predicts holds it up, but for a CPU that the
model's own tasks use: where one CPU is all there is, what it waited is left out.

Where the sampler was late at all, writers that were held tell it better: there are more of them, they wake with the
tick, and are who waited. Each is due at the first tick after its pause; when it looks at the limits again, less the
time that what it dirtied until then takes here, is when it ran.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pageout.events.tables import Events

Ints = NDArray[np.int64]

NOTICED_NS = 2_000_000  # samples are on time to a millisecond; what is sooner is no wait
ENOUGH = 20  # intervals
LONGEST_NS = 10**9
MOST_PERCENT = 90
ENOUGH_PAUSES = 100
TYPICAL_NS = 10_000_000  # a writer that mostly comes back later than that sleeps for a reason of its own
GRID = 8  # parts of a tick: wakes of one part of it stand out
IN_GRID = 2 / GRID  # of wakes, twice what chance brings to a part


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
    return _of_waits(intervals - np.median(intervals))


def run_delay_of_held(events: Events, tick_ns: int, page_ns: float, start_ns: int, end_ns: int) -> RunDelay | None:
    """Return how late writers that were held in a window came back; None if they were on time, or too few to tell.

    page_ns: what the model lets a page dirtied take; what it took longer is a wait, too
    """
    wakes = [found for one in _writers(events, start_ns, end_ns) if (found := _wakes(*one, page_ns)) is not None]
    if sum(len(due) for due, _, _ in wakes) < ENOUGH_PAUSES:
        return None
    phase = _phase(np.concatenate([back for _, back, _ in wakes]), tick_ns)
    if phase is None:
        return None
    waits = [back - busy - (-((phase - due) // tick_ns) * tick_ns + phase) for due, back, busy in wakes]
    waits = [late for late in waits if np.median(late) <= TYPICAL_NS]
    return _of_waits(np.concatenate(waits)) if waits else None


def _of_waits(waits: NDArray[np.number]) -> RunDelay | None:
    late = waits[waits >= NOTICED_NS]
    percent = round(100 * len(late) / len(waits))
    if not percent:
        return None
    return RunDelay(min(percent, MOST_PERCENT), min(int(late.mean()), LONGEST_NS))


def _writers(events: Events, start_ns: int, end_ns: int) -> list[tuple[pl.DataFrame, Ints]]:
    """Return each writer's checks, and when it gave requests to a device itself: it waited for them, not for a CPU."""
    columns = [
        pl.col(name).cast(pl.Int64, strict=False) for name in ("line", "time_ns", "pid", "pause", "dirtied", "paused")
    ]
    checks = events.frame("balance_dirty_pages").select(columns).drop_nulls()
    checks = checks.filter(pl.col("time_ns").is_between(start_ns, end_ns)).sort("line")
    issued = events.frame("block_rq_issue").select("time_ns", pl.col("pid").cast(pl.Int64, strict=False)).drop_nulls()
    own = {pid: rows["time_ns"].sort().to_numpy() for (pid,), rows in issued.group_by("pid")}
    groups = checks.group_by("pid", maintain_order=True)
    return [(rows, own.get(pid, np.zeros(0, np.int64))) for (pid,), rows in groups if len(rows) > 1]


def _wakes(checks: pl.DataFrame, issued: Ints, page_ns: float) -> tuple[Ints, Ints, Ints] | None:
    """Return of each pause when it ended, when the writer next looked at the limits, and its work until then, ns."""
    time, pause = checks["time_ns"].to_numpy(), checks["pause"].to_numpy() * 1_000_000
    gap, dirtied = np.diff(time), checks["dirtied"].to_numpy()[1:]
    alone = np.searchsorted(issued, time[1:]) == np.searchsorted(issued, time[:-1])
    held = (pause[:-1] > 0) & alone
    if not held.any():
        return None
    again = checks["paused"].to_numpy()[1:] > 0  # the same call: nothing was dirtied since
    busy = np.where(again, 0, np.minimum(dirtied * page_ns, np.maximum(gap - pause[:-1], 0))).astype(np.int64)
    return (time[:-1] + pause[:-1])[held], time[1:][held], busy[held]


def _phase(back: Ints, tick_ns: int) -> int | None:
    """Return where in a tick the timer goes off: the edge of what most wakes have in common; None if they have not."""
    width = tick_ns // GRID
    at = np.sort(back % tick_ns)
    ring = np.concatenate([at, at + tick_ns])
    within = np.searchsorted(ring, at + width) - np.arange(len(at))
    best = int(np.argmax(within))
    return int(at[best]) - width // GRID if within[best] >= IN_GRID * len(at) else None
