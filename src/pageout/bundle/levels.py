# SPDX-License-Identifier: GPL-2.0-or-later
"""Dirty and writeback over time: of the whole machine as sampled, less what other devices hold.

That is known where writers are looked at. Where nobody was, the end tells of others, if the tasks' fsync was it; else
the levels are the machine's.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pageout.bundle.evidence import Evidence, Window

PAGES_PER_MIB = 256
SMOOTHED = 9  # checks: bdi_dirty and dirty are read one after the other, from counters kept a CPU each
Array = NDArray[np.float64]


class Levels(NamedTuple):
    """Rows from the window's start to its end, both in it. Pages."""

    time_ns: NDArray[np.int64]
    dirty: Array
    writeback: Array
    others: Array  # held by other devices, 0 where nothing says; taken off `dirty` where checks of writers tell it

    def mean(self, values: Array) -> float:
        """Return the time-weighted mean, straight lines between samples."""
        span = float(self.time_ns[-1] - self.time_ns[0])
        return float(np.trapezoid(values, self.time_ns.astype(np.float64))) / span if span > 0 else float(values[0])


def levels_of(evidence: Evidence) -> Levels | None:
    """Return the levels of the device that matters, None where they were not sampled."""
    samples, window = evidence.samples, evidence.window
    if samples is None or len(samples) < 2:
        return None
    dirty, writeback = samples.column("nr_dirty"), samples.column("nr_writeback")
    if dirty is None or writeback is None:
        return None
    if window is None or samples.clock == "start":
        window = Window(int(samples.time_ns[0]), int(samples.time_ns[-1]))
    window = Window(max(window.start_ns, int(samples.time_ns[0])), min(window.end_ns, int(samples.time_ns[-1])))
    if window.end_ns <= window.start_ns:
        return None
    known = np.isfinite(dirty) & np.isfinite(writeback)
    if known.sum() < 2:
        return None
    at, dirty, writeback = samples.time_ns[known], dirty[known], writeback[known]
    inside = at[(at > window.start_ns) & (at < window.end_ns)]
    times = np.concatenate(([window.start_ns], inside, [window.end_ns]))
    dirty_at, writeback_at = np.interp(times, at, dirty), np.interp(times, at, writeback)
    checks = _at_checks(evidence)
    others = np.minimum(_others(checks, evidence, window, times, dirty_at + writeback_at), dirty_at)
    told = bool(checks) or (evidence.ends_clean and window == evidence.window)
    return Levels(times, dirty_at - others if told else dirty_at, writeback_at, others)


def _others(
    checks: list[tuple[int, float]], evidence: Evidence, window: Window, times: NDArray[np.int64], held: Array
) -> Array:
    """Return what other devices hold: a check of a writer says how much is dirty, and how much of it his device's.

    Where the tasks' fsync was the end, what is left then is not theirs. Without checks nothing is known but that.
    """
    points = list(checks)
    if evidence.ends_clean:
        points.append((window.end_ns, float(held[-1])))
    if not points:
        return np.zeros(len(times))
    if len(points) == 1:  # nobody was held: what was there before and after is all that is known
        points.insert(0, (window.start_ns, min(float(held[0]), points[0][1])))
    at = np.array([time for time, _ in points], np.float64)
    pages = np.array([held_then for _, held_then in points], np.float64)
    found: Array = np.clip(np.interp(times.astype(np.float64), at, pages), 0, None)
    return found


def _at_checks(evidence: Evidence) -> list[tuple[int, float]]:
    if evidence.events is None or evidence.device is None:
        return []
    checks = evidence.events.frame("balance_dirty_pages").filter(
        (pl.col("bdi").cast(pl.String) == evidence.device) & pl.col("dirty").is_not_null()
        & pl.col("bdi_dirty").is_not_null()
    )  # fmt: skip
    if "cgroup_ino" in checks.columns:  # the pages of a cgroup's own limits are not the machine's
        checks = checks.filter((pl.col("cgroup_ino") == 1).fill_null(True))
    apart = (pl.col("dirty").cast(pl.Float64) - pl.col("bdi_dirty").cast(pl.Float64)).alias("others")
    rows = checks.sort("time_ns").select("time_ns", apart)
    rows = rows.with_columns(pl.col("others").rolling_median(SMOOTHED, min_samples=1, center=True))
    return list(zip(rows["time_ns"].to_list(), rows["others"].to_list(), strict=True))
