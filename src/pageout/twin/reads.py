# SPDX-License-Identifier: GPL-2.0-or-later
"""What was read from a device, by the task whose requests they were; and memory that programs took for themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pageout.events.tables import Events
from pageout.twin.completions import SECTOR, Device
from pageout.twin.estimate import segments

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

LEAST_BYTES = 4 << 20
STEP_NS = 100_000_000
REST_SHARE = 0.3  # of its time: who rests less reads on as soon as it can
MAX_PHASES = 100
NEAR_S = 0.2
LEAST_PAGES = 1024  # of anonymous memory that somebody took


@dataclass(frozen=True)
class Reader:
    """One task that read. Amounts in bytes."""

    comm: str
    device: str
    is_sequential: bool
    request_bytes: int
    nr_bytes: int
    stretches: list[tuple[float, float, float]]  # start and end, s; bytes
    is_bound: bool  # it read on as soon as it could


@dataclass(frozen=True)
class Taken:
    """Anonymous memory that grew from start_s to end_s, and was given back at freed_s, None: never."""

    start_s: float
    end_s: float
    pages: float
    freed_s: float | None


def readers_of(events: Events, start_ns: int, devices: Mapping[str, Device]) -> list[Reader]:
    """Return who read more than a little, those of most bytes first. Metadata is left out."""
    done = _reads(events, "block_rq_complete").select("line", "time_ns", "dev", "sector", "nr_sector")
    issued = _reads(events, "block_rq_issue").with_columns(pl.col("comm").cast(pl.String))
    owner = issued.sort("line").unique(["dev", "sector"], keep="first").select("dev", "sector", "pid", "comm")
    first = issued.group_by("dev", "sector").agg(pl.col("time_ns").min().alias("issued_ns"))
    rows = done.join(owner, on=["dev", "sector"], how="left").join(first, on=["dev", "sector"], how="left")
    found = []
    for (dev, pid, comm), own in _by_task(rows).sort("line").group_by("dev", "pid", "comm", maintain_order=True):
        name = str(dev).replace(",", ":")
        if int(own["nr_sector"].sum()) * SECTOR >= LEAST_BYTES:
            found.append(
                _reader(devices.get(name, Device(name)), str(comm) if comm and pid else "reader", own, start_ns)
            )
    return sorted(found, key=lambda one: -one.nr_bytes)


def _by_task(rows: pl.DataFrame) -> pl.DataFrame:
    """Give what kernel threads issued, or nobody known, to the task that read most from the device."""
    is_own = (pl.col("pid") > 0) & pl.col("comm").is_not_null() & ~pl.col("comm").str.starts_with("kworker")
    most = rows.filter(is_own).group_by("dev", "pid", "comm").agg(pl.col("nr_sector").sum()).sort("nr_sector", "pid")
    most = most.unique("dev", keep="last").select("dev", pl.col("pid").alias("most_pid"), pl.col("comm").alias("most"))
    rows = rows.join(most, on="dev", how="left")
    pid = pl.when(is_own).then(pl.col("pid")).otherwise(pl.col("most_pid"))
    comm = pl.when(is_own).then(pl.col("comm")).otherwise(pl.col("most"))
    return rows.with_columns(pid.alias("pid"), comm.alias("comm"))


def _reads(events: Events, name: str) -> pl.DataFrame:
    rows = events.frame(name).with_columns(
        pl.col("dev", "rwbs").cast(pl.String), pl.col("sector", "nr_sector").cast(pl.Int64, strict=False)
    )
    data = pl.col("rwbs").str.starts_with("R") & ~pl.col("rwbs").str.contains("M")
    return rows.filter(data & pl.col("nr_sector").is_between(1, 1 << 24))


def _reader(device: Device, comm: str, rows: pl.DataFrame, start_ns: int) -> Reader:
    done_ns = np.maximum.accumulate(rows["time_ns"].to_numpy())
    begun_ns = rows["issued_ns"].fill_null(rows["time_ns"]).to_numpy()
    sectors, nr = rows["sector"].to_numpy(), rows["nr_sector"].to_numpy()
    follows = float(np.isin(sectors, sectors + nr).mean())
    curve = np.append(0.0, np.cumsum(nr * float(SECTOR)))
    at = np.append(int(begun_ns.min()), done_ns)
    nbytes, time = int(curve[-1]), (at - start_ns) / 1e9
    bound = _rests(begun_ns, done_ns, device) <= REST_SHARE
    pieces = [(float(time[0]), float(time[-1]), float(nbytes))] if bound else segments(
        time, curve, max(nbytes * 0.02, 256.0 * 1024), MAX_PHASES
    )  # fmt: skip
    return Reader(comm, device.name, follows >= 0.5, int(np.median(nr)) * SECTOR, nbytes, pieces, bound)


def _rests(begun_ns: Ints, done_ns: Ints, device: Device) -> float:
    """Part of the reader's time in which it neither had a request under way nor was the device busy writing."""
    edges = np.arange(int(begun_ns.min()), int(done_ns[-1]) + STEP_NS, STEP_NS)
    nr = len(edges) - 1
    under_way = np.zeros(nr, bool)
    first = np.searchsorted(edges, begun_ns, side="right") - 1
    last = np.searchsorted(edges, done_ns, side="right") - 1
    for low, high in zip(first.tolist(), last.tolist(), strict=True):
        under_way[low : high + 1] = True
    if device.write_bps is not None and len(device.written_ns):
        where = np.searchsorted(edges, device.written_ns, side="right") - 1
        inside = (where >= 0) & (where < nr)
        written = np.bincount(where[inside], weights=device.written[inside], minlength=nr)
        under_way |= written * 1e9 / STEP_NS >= 0.5 * device.write_bps.value
    return 1.0 - float(under_way.mean())


def taken_of(samples: Mapping[str, Any] | None, time_ns: Ints | None, start_ns: int) -> list[Taken]:
    """Return how anonymous memory grew and was given back, by samples; empty where they do not say."""
    if samples is None or time_ns is None:
        return []
    column = samples.get("nr_anon_pages")
    if column is None and {"nr_inactive_anon", "nr_active_anon"} <= set(samples):
        column = samples["nr_inactive_anon"] + samples["nr_active_anon"]
    if column is None:
        return []
    told = np.isfinite(column)
    level, time = np.asarray(column)[told], (time_ns[told] - start_ns) / 1e9
    found: list[Taken] = []
    grown = np.append(0.0, np.cumsum(np.maximum(np.diff(level), 0.0))) if len(level) else level
    for start, end, pages in segments(time, grown, LEAST_PAGES / 2, 20) if len(level) > 1 else []:
        if pages < LEAST_PAGES or end < 0:
            continue
        after = time > end
        top = float(np.interp(end, time, level))
        gone = np.flatnonzero(after & (level < top - pages / 2))
        one = Taken(max(start, 0.0), end, pages, float(time[gone[0]]) if len(gone) else None)
        last = found[-1] if found else None
        if last is not None and one.start_s - last.end_s < NEAR_S and _freed_together(last, one):
            found[-1] = Taken(last.start_s, end, last.pages + pages, one.freed_s)
        else:
            found.append(one)
    return found


def _freed_together(one: Taken, other: Taken) -> bool:
    if one.freed_s is None or other.freed_s is None:
        return one.freed_s == other.freed_s
    return abs(one.freed_s - other.freed_s) < 5 * NEAR_S
