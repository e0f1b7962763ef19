# SPDX-License-Identifier: GPL-2.0-or-later
"""Each device by its own completions: how fast while it had work, what limits it, how large its requests were."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pageout.analysis.block import df_requests
from pageout.events.tables import Events
from pageout.twin.estimate import Estimate, of_values
from pageout.vocabulary.settings import DESIGNS

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

SECTOR = 512
WINDOWS_NS = (500_000_000, 200_000_000, 100_000_000)
LEAST_WINDOWS = 8
OPPOSED = -0.5  # correlation of what is read and what is written, where one limit is for both
LEAST_READ = 0.05  # of what is written
ALIKE = 0.1  # median distance from the median, as a part of it
STEADY = 0.25
SMALL_BYTES = 16384
BURST_NS = 1_000_000  # completions further apart belong to different ticks
TICK_NS = (8_000_000, 250_000_000)
MOSTLY = 0.9
NEAR_TICK = 0.2  # of the period: a host that runs other machines too is late by milliseconds
BUSY_ENOUGH_NS = 10_000_000
BLK_MAX_SEGMENTS = 128  # include/linux/blkdev.h: of a driver that sets none


@dataclass(frozen=True)
class Device:
    """What completions tell of a device; rates are of moments at which pages waited to be written to it."""

    name: str  # "7:0"
    written_bytes: int = 0
    read_bytes: int = 0
    write_bps: Estimate | None = None
    write_iops: Estimate | None = None
    limited_by: str | None = None  # bytes, requests; None: it cannot be told
    is_shared: bool = False  # what is read is missing from what is written: the rates are of both together
    tick_ns: int | None = None  # requests pass in bursts so far apart
    tick_bytes: int | None = None
    largest_bytes: int = 0
    write_bytes: Estimate | None = None  # of one request
    is_sequential: bool | None = None  # of what was written
    span_bytes: int = 0  # from the first to the last sector written, but for the outermost hundredths
    service_ns: Estimate | None = None  # from issue to completion
    written_ns: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    written: Floats = field(default_factory=lambda: np.zeros(0))  # bytes of each


def most_segments(design: str, kib: int) -> int:
    """Return the pieces of memory in a request, where nothing says: the block layer's own limit.

    Without large folios a page is a piece, and the largest request met, of `kib` KiB, had that many.
    """
    return BLK_MAX_SEGMENTS if DESIGNS[design]["write.folios"] != "none" else kib // 4


def devices_of(
    events: Events, samples: Mapping[str, Any] | None, time_ns: Ints | None, tick_ns: int
) -> dict[str, Device]:
    """Return the devices that anything was read from or written to, by number."""
    done = events.frame("block_rq_complete").filter(
        pl.col("nr_sector").cast(pl.Int64, strict=False).is_between(1, 1 << 24)
    )
    done = done.with_columns(
        pl.col("dev", "rwbs").cast(pl.String), pl.col("nr_sector", "sector").cast(pl.Int64, strict=False)
    )
    waiting = _waiting(events, samples, time_ns)
    service = _service(events)
    found = {}
    for (dev,), rows in done.sort("line").group_by("dev", maintain_order=True):
        name = str(dev).replace(",", ":")
        found[name] = _device(name, rows, waiting, service.get(str(dev)), tick_ns)
    return found


def busy_rate(events: Events | None, device: str | None) -> float | None:
    """Return bytes a second while at least one request was at the device, None if that cannot be told."""
    if events is None or df_requests.missing(events):
        return None
    rows = df_requests(events).filter(pl.col("time_ns_end").is_not_null() & (pl.col("nr_sector") > 0))
    if device is not None:
        rows = rows.filter(pl.col("dev").cast(pl.String) == device.replace(":", ","))
    spans = rows.sort("time_ns").select("time_ns", "time_ns_end")
    reached = pl.col("time_ns_end").cum_max().shift(1)
    begun = pl.max_horizontal("time_ns", reached)
    busy = spans.select((pl.col("time_ns_end") - begun).clip(lower_bound=0).sum()).item() if len(spans) else 0
    if not busy or busy < BUSY_ENOUGH_NS:
        return None
    return float(rows["nr_sector"].sum()) * SECTOR * 1e9 / float(busy)


def _device(
    name: str, rows: pl.DataFrame, waiting: tuple[Ints, Floats] | None, service: Estimate | None, tick_ns: int
) -> Device:
    is_data = pl.col("rwbs").str.contains("W") & ~pl.col("rwbs").str.contains("M")
    writes = rows.filter(is_data)
    is_read = pl.col("rwbs").str.starts_with("R")
    reads = rows.filter(is_read)
    times, sizes = _timed(writes)
    read_bytes = int(reads["nr_sector"].sum()) * SECTOR
    if not len(times):
        return Device(name, read_bytes=read_bytes, service_ns=service)
    is_shared = _is_shared(times, sizes, _timed(reads), waiting)
    both = _timed(rows.filter(is_data | is_read)) if is_shared else (times, sizes)
    bps, iops, limited = _rates(*both, waiting)
    tick, per_tick = tick_of(times, sizes, tick_ns)
    sectors, nr = writes["sector"].to_numpy(), writes["nr_sector"].to_numpy()
    low, high = (float(end) for end in np.quantile(sectors, [0.01, 0.99]))
    return Device(
        name, int(sizes.sum()), read_bytes, bps, iops, limited, is_shared, tick, per_tick, int(sizes.max()),
        of_values(sizes), _is_sequential(sectors, nr), int(high - low) * SECTOR, service, times, sizes,
    )  # fmt: skip


def _timed(rows: pl.DataFrame) -> tuple[Ints, Floats]:
    return rows["time_ns"].to_numpy(), rows["nr_sector"].to_numpy() * float(SECTOR)


def _is_shared(times: Ints, sizes: Floats, reads: tuple[Ints, Floats], waiting: tuple[Ints, Floats] | None) -> bool:
    """Was less written whenever more was read, while there was something to write all the time?"""
    if reads[1].sum() < LEAST_READ * sizes.sum():
        return False
    for window_ns in WINDOWS_NS:
        edges, full = _full(times, waiting, window_ns)
        if full.sum() < LEAST_WINDOWS:
            continue
        written = np.histogram(times, edges, weights=sizes)[0][full]
        read = np.histogram(reads[0], edges, weights=reads[1])[0][full]
        varies = min(written.std(), read.std()) > 0
        return bool(varies and np.corrcoef(written, read)[0, 1] < OPPOSED)
    return False


def _is_sequential(sectors: Ints, nr: Ints) -> bool | None:
    """Do most bytes go to where a request of late ended, or in pieces too large to be random?"""
    if len(sectors) < 8:
        return None
    ends = sectors + nr
    follows = np.zeros(len(sectors), bool)
    for back in (1, 2, 3, 4):
        follows[back:] |= sectors[back:] == ends[:-back]
    return bool(nr[follows | (nr * SECTOR >= 128 * 1024)].sum() >= 0.5 * nr.sum())


def _waiting(events: Events, samples: Mapping[str, Any] | None, time_ns: Ints | None) -> tuple[Ints, Floats] | None:
    """Return pages under writeback over time."""
    states = events.frame("global_dirty_state").select("time_ns", "writeback").drop_nulls()
    times, values = [states["time_ns"].to_numpy()], [states["writeback"].cast(pl.Float64).to_numpy()]
    column = samples.get("nr_writeback") if samples is not None else None
    if column is not None and time_ns is not None:
        told = np.isfinite(column)
        times.append(time_ns[told])
        values.append(np.asarray(column, np.float64)[told])
    at, pages = np.concatenate(times), np.concatenate(values)
    if len(at) < 2:
        return None
    order = np.argsort(at, kind="stable")
    return at[order], pages[order]


def _rates(times: Ints, sizes: Floats, waiting: tuple[Ints, Floats] | None) -> tuple[Any, Any, str | None]:
    """Return bytes and requests a second while something waited to be written, and which of them is the steadier."""
    for window_ns in WINDOWS_NS:
        nbytes, count = _full_windows(times, sizes, waiting, window_ns)
        if len(count) < LEAST_WINDOWS:
            continue
        a_second = 1e9 / window_ns
        bps, iops = (_rate(values * a_second) for values in (nbytes, count))
        return bps, iops, _limited_by(nbytes, count, float(np.median(sizes)))
    return None, None, None


def _full_windows(
    times: Ints, sizes: Floats, waiting: tuple[Ints, Floats] | None, window_ns: int
) -> tuple[Floats, Floats]:
    """Return bytes and requests done in each window in which pages were under writeback all the time."""
    edges, full = _full(times, waiting, window_ns)
    nr = len(full)
    if not nr:
        return np.zeros(0), np.zeros(0)
    where = np.searchsorted(edges, times, side="right") - 1
    nbytes = np.bincount(where, weights=sizes, minlength=nr)[:nr].astype(np.float64)
    count = np.bincount(where, minlength=nr)[:nr].astype(np.float64)
    return nbytes[full], count[full]


def _full(times: Ints, waiting: tuple[Ints, Floats] | None, window_ns: int) -> tuple[Ints, NDArray[np.bool_]]:
    """Return the edges of windows, and in which of them pages were under writeback all the time."""
    edges = np.arange(times[0], times[-1], window_ns)
    nr = len(edges) - 1
    if nr < 1:
        return edges, np.zeros(0, bool)
    full = np.bincount(np.searchsorted(edges, times, side="right") - 1, minlength=nr)[:nr] > 0
    if waiting is not None:
        ends = np.searchsorted(waiting[0], edges)
        for window, (low, high) in enumerate(pairwise(ends.tolist())):
            full[window] = high > low and waiting[1][max(low - 1, 0) : high + 1].min() > 0
    return edges, full


def _rate(values: Floats) -> Estimate:
    """The median where most windows are alike; else the mean, since what a window lacks the next one has."""
    low, middle, high = (float(end) for end in np.quantile(values, [0.1, 0.5, 0.9]))
    return Estimate(middle if _variation(values) < ALIKE else float(values.mean()), low, high)


def _limited_by(nbytes: Floats, count: Floats, size: float) -> str | None:
    vary_bytes, vary_count = _variation(nbytes), _variation(count)
    if min(vary_bytes, vary_count) >= STEADY:
        return None
    if abs(vary_bytes - vary_count) < ALIKE / 2:  # all of one size: small ones are told by their number
        return "requests" if size <= SMALL_BYTES else "bytes"
    return "bytes" if vary_bytes <= vary_count else "requests"


def _variation(values: Floats) -> float:
    middle = float(np.median(values))
    return float(np.median(np.abs(values - middle))) / middle if middle else np.inf


def tick_of(times: Ints, sizes: Floats, tick_ns: int) -> tuple[int | None, int | None]:
    """Return period and bytes of bursts, where completions come in bursts at a period of several timer ticks."""
    starts = np.flatnonzero(np.diff(times, prepend=times[0] - TICK_NS[1]) > BURST_NS)
    if len(starts) < 20:
        return None, None
    if np.median(np.diff(starts)) < 2:  # one request a burst is no more than a slow device
        return None, None
    gaps = np.diff(times[starts])
    period = float(np.median(gaps))
    if not max(TICK_NS[0], 2.5 * tick_ns) <= period <= TICK_NS[1]:
        return None, None
    whole = np.round(gaps / period)
    near = (np.abs(gaps - whole * period) < NEAR_TICK * period) & (whole > 0)
    if near.mean() < MOSTLY:
        return None, None
    exact = float(gaps[near].sum() / whole[near].sum())
    bursts = np.add.reduceat(sizes, starts)
    return round(exact), int(np.quantile(bursts, MOSTLY))


def _service(events: Events) -> dict[str, Estimate]:
    """Return the time from issue to completion, by device."""
    issue = events.frame("block_rq_issue").select("time_ns", pl.col("dev").cast(pl.String), "sector")
    done = events.frame("block_rq_complete").filter(pl.col("nr_sector") > 0)
    done = done.select("time_ns", pl.col("dev").cast(pl.String), "sector")
    if not len(issue) or not len(done):
        return {}
    keys = ["dev", "sector"]
    issue = issue.sort("time_ns").with_columns(pl.col("time_ns").alias("issued_ns"))
    pairs = done.sort("time_ns").join_asof(issue, on="time_ns", by=keys, check_sortedness=False).drop_nulls()
    took = pairs.with_columns((pl.col("time_ns") - pl.col("issued_ns")).alias("took"))
    found = {}
    for (dev,), rows in took.group_by("dev"):
        estimate = of_values(rows["took"].cast(pl.Float64).to_numpy())
        if estimate is not None:
            found[str(dev)] = estimate
    return found
