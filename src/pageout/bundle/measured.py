# SPDX-License-Identifier: GPL-2.0-or-later
"""The figures of a run by the names users know, measured from what it left. What was not recorded is None, never 0."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from pageout.analysis.reclaim import df_direct_reclaim
from pageout.bundle.calls import Calls, pooled
from pageout.bundle.evidence import Evidence, written_requests
from pageout.bundle.levels import PAGES_PER_MIB, Levels, levels_of
from pageout.bundle.samples import Samples

SECTORS_PER_KIB = 2
MIDDLE = (0.25, 0.75)  # of the window: where the plateau is read
STEPS, NEAR_NS = 2, 100_000_000  # what samples may leave out of a command at either end: steps of theirs, or so long
LONGEST_MS = 1 << 31  # beyond, a time is jiffies that wrapped

Value = float | int | None


class Figure(NamedTuple):
    """A figure: its unit, what it is, and how well it is to be predicted (share of the measured; None: not judged)."""

    unit: str
    doc: str
    tolerance: float | None = None


# Tolerances: what the recordings are to be predicted within, by their own spread if that is larger.
FIGURES: dict[str, Figure] = {
    "write_mb_s": Figure("MB/s", "bytes written over the time it took, end fsync included", 0.05),
    "read_mb_s": Figure("MB/s", "bytes read over the time it took", 0.05),
    "plateau_mib": Figure("MiB", "dirty + writeback, the median of the middle half of the run", 0.10),
    "dirty_writeback_mean_mib": Figure("MiB", "dirty + writeback, mean over time", 0.10),
    "dirty_mean_mib": Figure("MiB", "dirty, mean over time"),
    "writeback_mean_mib": Figure("MiB", "under writeback, mean over time"),
    "dirty_max_mib": Figure("MiB", "dirty at its highest"),
    "throttle_count": Figure("", "pauses in balance_dirty_pages", 0.25),
    "throttle_s": Figure("s", "pauses asked for, sum over tasks", 0.15),
    "throttle_slept_s": Figure("s", "really slept"),
    "pause_mean_ms": Figure("ms", "pauses: their mean", 0.25),
    "pause_p50_ms": Figure("ms", "pauses: half were no longer", 0.25),
    "pause_p90_ms": Figure("ms", "pauses: 90 % were no longer", 0.25),
    "pause_max_ms": Figure("ms", "the longest pause"),
    "write_requests": Figure("", "write requests the device finished", 0.15),
    "mean_write_kib": Figure("KiB", "mean size of a write request", 0.15),
    "write_p50_us": Figure("us", "write calls, pooled over tasks: half took no longer"),
    "write_p99_us": Figure("us", "write calls, pooled over tasks: 99 % took no longer", 0.30),
    "scanned_kswapd": Figure("pages", "looked at by kswapd", 0.15),
    "reclaimed_kswapd": Figure("pages", "freed by kswapd", 0.15),
    "scanned_direct": Figure("pages", "looked at by direct reclaim"),
    "reclaimed_direct": Figure("pages", "freed by direct reclaim"),
    "alloc_stall_count": Figure("", "direct reclaims entered by allocations"),
    "alloc_stall_s": Figure("s", "time in them, sum over tasks"),
}
# Sums over the run: of runs that differ in length their rates compare.
SUMMED = (
    "throttle_count", "throttle_s", "throttle_slept_s", "write_requests", "scanned_kswapd", "reclaimed_kswapd",
    "scanned_direct", "reclaimed_direct", "alloc_stall_count", "alloc_stall_s",
)  # fmt: skip
A_SECOND = "_per_s"
SPLIT = Figure("MB/s", "bandwidth of one writer of several", 0.10)
LEAST_P99_US = 1000.0  # a p99 below is not judged


def figure_of(name: str) -> Figure:
    """Return what a figure is; of a name with a task in it: `write_mb_s.NAME`; of a rate: `throttle_count_per_s`."""
    summed = name.removesuffix(A_SECOND)
    if summed != name and summed in SUMMED:
        figure = FIGURES[summed]
        return figure._replace(unit=f"{figure.unit}/s", doc=f"{figure.doc}, a second")
    return FIGURES.get(name, SPLIT)


def per_second(figures: Mapping[str, Value], seconds: float | None) -> dict[str, Value]:
    """Return the figures with a rate in place of each sum; None where nothing says how long the run was."""
    found: dict[str, Value] = {}
    for name, value in figures.items():
        if name not in SUMMED:
            found[name] = value
        else:
            found[name + A_SECOND] = round(value / seconds, 6) if value is not None and seconds else None
    return found


def measured(evidence: Evidence) -> dict[str, Value]:
    """Return every figure of a run. None: not recorded, or nothing to measure."""
    found: dict[str, Value] = dict.fromkeys(FIGURES)
    found |= _throughput(evidence)
    found |= _latency(evidence.calls)
    levels = levels_of(evidence)
    if levels is not None:
        found |= _levels(levels)
    if evidence.events is not None:
        found |= _throttling(evidence)
        found |= _requests(evidence)
    found |= _reclaim(evidence)
    return {name: _rounded(value) for name, value in found.items()}


def _rounded(value: Value) -> Value:
    return round(value, 6) if isinstance(value, float) else value


def _throughput(evidence: Evidence) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for name, is_write in (("write_mb_s", True), ("read_mb_s", False)):
        mine = [calls for calls in evidence.calls if calls.is_write == is_write]
        if seconds := _span_s(mine):
            found[name] = sum(calls.nbytes for calls in mine) / seconds / 1e6
    writers = [calls for calls in evidence.calls if calls.is_write]
    if len(writers) > 1:
        found |= {
            f"write_mb_s.{calls.name}": calls.nbytes / calls.seconds / 1e6 for calls in writers if calls.seconds > 0
        }
    return found


def _span_s(calls: Iterable[Calls]) -> float:
    """Return the time from the first start to the last end; tasks without a clock are taken to start at once."""
    rows = list(calls)
    spans = [(one.start_ns, one.end_ns) for one in rows]
    known = [(start, end) for start, end in spans if start is not None and end is not None]
    if known and len(known) == len(spans):
        return (max(end for _, end in known) - min(start for start, _ in known)) / 1e9
    first = min((one.after_s for one in rows), default=0.0)
    return max((one.after_s + one.seconds for one in rows), default=0.0) - first


def _latency(calls: Iterable[Calls]) -> dict[str, Value]:
    writes = pooled([one.latency for one in calls if one.is_write])
    return {f"write_{name}_us": writes.at(share) for name, share in (("p50", 0.5), ("p99", 0.99))}


def _levels(levels: Levels) -> dict[str, Value]:
    start, end = float(levels.time_ns[0]), float(levels.time_ns[-1])
    low, high = (start + share * (end - start) for share in MIDDLE)
    both = levels.dirty + levels.writeback
    middle = both[(levels.time_ns >= low) & (levels.time_ns <= high)]
    return {
        "plateau_mib": float(np.median(middle)) / PAGES_PER_MIB if len(middle) else None,
        "dirty_writeback_mean_mib": levels.mean(both) / PAGES_PER_MIB,
        "dirty_mean_mib": levels.mean(levels.dirty) / PAGES_PER_MIB,
        "writeback_mean_mib": levels.mean(levels.writeback) / PAGES_PER_MIB,
        "dirty_max_mib": float(levels.dirty.max()) / PAGES_PER_MIB,
    }


def pauses_ms(evidence: Evidence) -> pl.Series | None:
    """Return each pause that a writer was told to take, whatever his device; None where the trace cannot say.

    A kernel that never held a writer prints nothing, as one that was not asked to: a trace with other events of its
    arithmetic has none, any other says nothing.
    """
    events = evidence.events
    if events is None:
        return None
    rows = events.frame("balance_dirty_pages")
    if not len(rows) and not any(name in events for name in ("bdi_dirty_ratelimit", "global_dirty_state")):
        return None
    pause = rows["pause"].cast(pl.Int64, strict=False)
    return pause.filter((pause > 0) & (pause < LONGEST_MS))


def _throttling(evidence: Evidence) -> dict[str, Value]:
    pauses = pauses_ms(evidence)
    if pauses is None:
        return {}
    found: dict[str, Value] = {"throttle_count": len(pauses), "throttle_s": float(pauses.sum()) / 1000}
    if len(pauses):
        found["pause_mean_ms"] = float(pauses.sum()) / len(pauses)
        for name, share in (("p50", 0.5), ("p90", 0.9), ("max", 1.0)):
            value = pauses.quantile(share, "lower")
            found[f"pause_{name}_ms"] = None if value is None else float(value)
    return found


def _requests(evidence: Evidence) -> dict[str, Value]:
    assert evidence.events is not None
    if "block_rq_complete" not in evidence.events:
        return {}
    rows = written_requests(evidence.events, evidence.device)
    if evidence.window is not None:
        rows = rows.filter(pl.col("time_ns") >= evidence.window.start_ns)
    if not len(rows):
        return {"write_requests": 0}
    return {"write_requests": len(rows), "mean_write_kib": float(rows["nr_sector"].sum()) / SECTORS_PER_KIB / len(rows)}


# Figure -> the counters of /proc/vmstat that add up to it: by name, and by zone as older kernels count.
_COUNTED: dict[str, Callable[[str], bool]] = {
    "scanned_kswapd": lambda name: _is(name, "pgscan_kswapd"),
    "scanned_direct": lambda name: _is(name, "pgscan_direct") and name != "pgscan_direct_throttle",
    "reclaimed_kswapd": lambda name: _is(name, "pgsteal_kswapd"),
    "reclaimed_direct": lambda name: _is(name, "pgsteal_direct"),
    "alloc_stall_count": lambda name: _is(name, "allocstall"),
}


def _is(name: str, counter: str) -> bool:
    return name == counter or name.startswith(f"{counter}_")


def _reclaim(evidence: Evidence) -> dict[str, Value]:
    counters = _counters(evidence)
    if counters is None:
        return {}
    found: dict[str, Value] = {
        figure: int(sum(value for name, value in counters.items() if mine(name))) for figure, mine in _COUNTED.items()
    }
    if not found["alloc_stall_count"]:
        found["alloc_stall_s"] = 0.0
    elif evidence.events is not None and not df_direct_reclaim.missing(evidence.events):
        stalls: Any = df_direct_reclaim(evidence.events)["stall_ns"]
        found["alloc_stall_s"] = float(stalls.sum()) / 1e9
    return found


def _counters(evidence: Evidence) -> Mapping[str, float] | None:
    """Return how far the counters rose: of the whole command as noted, else from the first sample to the last.

    Samples that leave out where it began, which may be long before its tasks did, or where it ended, count a part of it
    that no twin could be held against.
    """
    if evidence.counters is not None:
        return evidence.counters
    samples = evidence.samples
    if samples is None or not len(samples) or not any(_is(name, "pgscan_kswapd") for name in samples.columns):
        return None
    if not _cover(samples, evidence):
        return None
    rose = {name: float(values[-1] - values[0]) for name, values in samples.columns.items()}
    return {name: value for name, value in rose.items() if np.isfinite(value)}


def _cover(samples: Samples, evidence: Evidence) -> bool:
    """Say whether samples go from the command's beginning to its end, less a step or two; taken so without a clock."""
    window = evidence.window
    if window is None or samples.clock == "start":
        return True
    step = float(np.median(np.diff(samples.time_ns))) if len(samples) > 1 else 0.0
    near = max(STEPS * step, NEAR_NS)
    begun = window.start_ns if evidence.begun_ns is None else evidence.begun_ns
    return bool(samples.time_ns[0] <= begun + near and samples.time_ns[-1] >= window.end_ns - near)
