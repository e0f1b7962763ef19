# SPDX-License-Identifier: GPL-2.0-or-later
"""How the machine stood when a recording began: what was dirty elsewhere, what the kernel believed of the device. It is
told by the first events, before any of the model's own, and put into the scenario.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from pageout.events.tables import Events
from pageout.twin.completions import Device
from pageout.twin.conditions import PAGE_BYTES, floor_moved
from pageout.vocabulary.scenario import Disk, File, Filesystem, Machine
from pageout.vocabulary.settings import SYSCTLS
from pageout.vocabulary.units import MIB

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

LEAST_PAGES = 64
TURN_PAGES = 1024
WHOLE = 1 << 40  # work that asks for all there is
FIRST_NS = 3_000_000_000  # shares are halved after so long: the first third is less likely to have it
FLOOR_OVER = 1.1
ELSEWHERE = "elsewhere"  # the filesystem on the disk that stands for all other devices
OTHER_DISK = Disk(name="sdb", kind="ssd", queue_depth=32)
PERIODS = ("vm.dirty_writeback_centisecs", "vm.dirty_expire_centisecs")


class Known(NamedTuple):
    """What the kernel had found out about a device; bytes a second and bytes, 0: nothing says."""

    bandwidth: int = 0
    avg_bandwidth: int = 0
    ratelimit: int = 0
    written: int = 0
    others_written: int = 0


class Elsewhere(NamedTuple):
    """Pages dirty on other devices when the tasks began, and for how long they had been."""

    pages: int
    age_ns: int


class Start(NamedTuple):
    """How a machine stood.

    limit: pages that the kernel let be dirty at the most; 0: nothing says
    """

    known: Known
    elsewhere: Elsewhere
    limit: int = 0


def start_of(
    events: Events,
    samples: tuple[Mapping[str, Any] | None, Ints | None],
    device: Device,
    start_ns: int,
    settings: Mapping[str, int],
    kernel: str | None,
) -> Start:
    """Return how the machine stood at start_ns.

    samples: counters of /proc/vmstat, and their times on the trace's clock; device: that matters
    """
    every, expire = (settings.get(name, SYSCTLS[name].default) * 10**7 for name in PERIODS)
    dirty = elsewhere_of(events, *samples, device.name, start_ns, (every, expire))
    return Start(known_of(events, device, floor_moved(kernel)), dirty, limit_of(events, start_ns))


def with_start(
    machine: Machine, files: tuple[File, ...], start: Start, notes: list[str]
) -> tuple[Machine, tuple[File, ...]]:
    """Return machine and files with what was so before; files ELSEWHERE have a disk of their own, if there are any."""
    known, dirty, limit = start
    main = msgspec.structs.replace(
        machine.disks[0],
        start_bandwidth=known.bandwidth,
        start_avg_bandwidth=known.avg_bandwidth,
        start_ratelimit=known.ratelimit,
        start_written_bytes=known.written,
    )
    limit_bytes = min(limit * PAGE_BYTES, machine.memory_bytes)
    machine = msgspec.structs.replace(machine, disks=(main, *machine.disks[1:]), start_dirty_limit_bytes=limit_bytes)
    if known.ratelimit:
        mib = [value / MIB for value in (known.avg_bandwidth, known.ratelimit)]
        notes.append(f"the device was known: {mib[0]:.3g} MiB/s written, writers held to {mib[1]:.3g} MiB/s")
    if dirty.pages:
        nbytes, age_ns = dirty.pages * PAGE_BYTES, dirty.age_ns
        notes.append(f"other devices: {nbytes / MIB:.3g} MiB dirty at the start, for {age_ns / 1e9:.3g} s")
        taken = {file.name for file in files}
        name = next(name for name in (ELSEWHERE, f"{ELSEWHERE}-0", f"{ELSEWHERE}-1") if name not in taken)
        old = File(name=name, size_bytes=nbytes, filesystem=ELSEWHERE, dirty_bytes=nbytes, dirty_age_ns=age_ns)
        files = (*files, old)
    if not known.others_written and all(file.filesystem != ELSEWHERE for file in files):
        return machine, files
    return mounted_elsewhere(machine, known.others_written), files


def with_room(machine: Machine, cache_bytes: int) -> Machine:
    """Return the machine with a disk that what is in the page cache can be of, where its own is too small for that."""
    small = machine.disks[0].size_bytes < 2 * min(cache_bytes, machine.memory_bytes)
    return mounted_elsewhere(machine, 0) if small else machine


def mounted_elsewhere(machine: Machine, written: int) -> Machine:
    """Return the machine with a disk that stands for all other devices, if it has none, which wrote so much of late."""
    if machine.more_filesystems:
        return machine
    other = msgspec.structs.replace(OTHER_DISK, start_written_bytes=written)
    mounted = Filesystem(name=ELSEWHERE, kind=machine.filesystem.kind, disk=other.name)
    return msgspec.structs.replace(machine, disks=(*machine.disks, other), more_filesystems=(mounted,))


def known_of(events: Events, device: Device, floor_moved: bool) -> Known:
    """Return what the first events of a device say of it."""
    checks = _of(events, "balance_dirty_pages", device.name)
    updates = _of(events, "bdi_dirty_ratelimit", device.name)
    found = Known()
    if len(checks):
        found = found._replace(ratelimit=int(checks["dirty_ratelimit"][0] or 0) * 1024)
        written, others = _completions(events, checks, device, floor_moved)
        found = found._replace(written=written, others_written=others)
    if len(updates):
        bandwidth, average = (int(updates[name][0] or 0) * 1024 for name in ("write_bw", "awrite_bw"))
        return found._replace(bandwidth=bandwidth, avg_bandwidth=average)
    seen = _by_turns(events, device.name)
    return found._replace(bandwidth=seen, avg_bandwidth=seen)


def limit_of(events: Events, start_ns: int) -> int:
    """Return the smoothed limit as it was at start_ns, pages, 0 if no event has it: after a change it follows slowly.

    By the last event up to then, else by the first one after.
    Source: Linux v6.1 mm/page-writeback.c:domain_update_dirty_limit.
    """
    told = events.frame("global_dirty_state").select("time_ns", "line", pl.col("limit").cast(pl.Int64)).drop_nulls()
    told = told.sort("time_ns", "line")
    if not len(told):
        return 0
    row = int((told["time_ns"] <= start_ns).sum()) - 1
    return max(int(told["limit"][max(row, 0)]), 0)


def _by_turns(events: Events, device: str) -> int:
    """Return bytes a second by the first turn of the flusher, 0 if that says nothing.

    A turn is half a second's bandwidth and 1024 pages more, in whole 1024 pages, and at most an eighth of the limit.
    Source: Linux v6.1 fs/fs-writeback.c:writeback_chunk_size.
    """
    turns = _of(events, "writeback_single_inode", device)["to_write"].cast(pl.Int64).drop_nulls()
    limits = events.frame("global_dirty_state")["limit"].cast(pl.Int64).drop_nulls()
    turns = turns.filter((turns >= TURN_PAGES) & (turns < WHOLE))
    if not len(turns) or not len(limits):
        return 0
    first, most = int(turns[0]), (int(limits[0]) // 8 + TURN_PAGES) // TURN_PAGES * TURN_PAGES
    return 0 if first >= most else 2 * (first - TURN_PAGES // 2) * PAGE_BYTES


def _of(events: Events, name: str, device: str) -> pl.DataFrame:
    return events.frame(name).sort("line").filter(pl.col("bdi").cast(pl.String) == device)


def _completions(events: Events, checks: pl.DataFrame, device: Device, floor_moved: bool) -> tuple[int, int]:
    """Return bytes the device and all others had written of late: the share is (a + w) / (a + b + w).

    The share is bdi_setpoint / setpoint, but where the floor of a quiet device hides it; w is what was written since.
    """
    first = int(checks["time_ns"][0])
    near = checks.filter(pl.col("time_ns") < first + FIRST_NS).select(
        "line", "time_ns", *(pl.col(name).cast(pl.Float64) for name in ("setpoint", "bdi_setpoint", "limit", "dirty"))
    )
    near = near.drop_nulls().filter(pl.col("setpoint") > 0)
    if not len(near):
        return 0, 0
    share = (near["bdi_setpoint"] / near["setpoint"]).to_numpy()
    seen = np.ones(len(share), bool)
    if floor_moved:
        floor = ((near["limit"] - near["dirty"]).clip(0) / 8 / near["limit"].clip(1)).to_numpy()
        seen = share > floor * FLOOR_OVER + 0.01
    written = _written_by(events, near, device)
    early = seen & (near["time_ns"].to_numpy() < first + FIRST_NS // 3)
    seen = early if early.any() and (share[early] > 0).any() else seen
    if not seen.any():
        hidden = float(written[-1])
        return 0, int(max(hidden, 4096.0) * 15)  # assumed: its share is below the floor
    if float(share[seen].min()) > 0.97:
        return int(max(4096.0, device.written_bytes / 100)), 0
    # share * total - own = written * (1 - share), total = own + others
    left = np.column_stack((share[seen], -np.ones(int(seen.sum()))))
    (total, own), *_ = np.linalg.lstsq(left, written[seen] * (1 - share[seen]), rcond=None)
    own = max(float(own), 0.0)
    return int(own), int(max(float(total) - own, 0.0))


def _written_by(events: Events, near: pl.DataFrame, device: Device) -> Floats:
    """Return bytes of which the kernel knew, at each check, that the device had written them since the trace began.

    Pages count when the last request of their extent is done: no more than requests done, nor than all pages written.
    """
    ends = np.concatenate(([0.0], np.cumsum(device.written)))
    done: Floats = ends[np.searchsorted(device.written_ns, near["time_ns"].to_numpy(), side="right")]
    states = events.frame("global_dirty_state").select("line", pl.col("written").cast(pl.Float64)).drop_nulls()
    if not len(states):
        return done
    states = states.sort("line")
    so_far = states["written"].to_numpy()
    last = np.searchsorted(states["line"].to_numpy(), near["line"].to_numpy(), side="right") - 1
    counted: Floats = (so_far[np.maximum(last, 0)] - so_far[0]) * PAGE_BYTES
    return np.minimum(done, counted)


def elsewhere_of(
    events: Events,
    samples: Mapping[str, Any] | None,
    time_ns: Ints | None,
    device: str | None,
    start_ns: int,
    periods_ns: tuple[int, int],
) -> Elsewhere:
    """Return what was dirty on other devices at start_ns.

    device: that matters; periods_ns: dirty_writeback_centisecs and dirty_expire_centisecs
    """
    at, level = levels_of(events, samples, time_ns)
    before = int((at <= start_ns).sum())
    at_start = int(level[max(before - 1, 0)]) if len(level) else 0
    checks = _of(events, "balance_dirty_pages", device or "").select(
        "time_ns", (pl.col("dirty").cast(pl.Int64) - pl.col("bdi_dirty").cast(pl.Int64)).alias("others")
    )
    others = checks.drop_nulls()
    pages = at_start
    if len(others):
        first = int(np.median(others["others"].to_numpy()[:9]))
        pages = min(at_start, max(first, 0)) if at_start else max(first, 0)
    if pages < LEAST_PAGES:
        return Elsewhere(0, 0)
    gone = others.filter((pl.col("others") < pages // 2) & (pl.col("time_ns") >= start_ns))
    every, expire = periods_ns
    if not len(gone) or not every:
        return Elsewhere(pages, 0)
    left = int(gone["time_ns"][0]) - start_ns
    age = expire - left if expire > left and not _pressed(events, int(gone["time_ns"][0])) else -left % every
    return Elsewhere(pages, age)


def levels_of(events: Events, samples: Mapping[str, Any] | None, time_ns: Ints | None) -> tuple[Ints, Floats]:
    """Return pages dirty or under writeback over time, by events and samples together."""
    states = events.frame("global_dirty_state").select(
        "time_ns", (pl.col("dirty").cast(pl.Float64) + pl.col("writeback").cast(pl.Float64)).alias("both")
    )
    told = states.drop_nulls()
    times, values = [told["time_ns"].to_numpy()], [told["both"].to_numpy()]
    if samples is not None and time_ns is not None and {"nr_dirty", "nr_writeback"} <= set(samples):
        both = np.asarray(samples["nr_dirty"], np.float64) + np.asarray(samples["nr_writeback"], np.float64)
        times.append(time_ns[np.isfinite(both)])
        values.append(both[np.isfinite(both)])
    at, level = np.concatenate(times), np.concatenate(values)
    order = np.argsort(at, kind="stable")
    return at[order], level[order]


def _pressed(events: Events, at_ns: int) -> bool:
    """Was more dirty than the background threshold, so that every flusher that looks writes all it has?"""
    states = events.frame("global_dirty_state").filter(pl.col("time_ns") <= at_ns).sort("time_ns")
    return bool(len(states)) and int(states["dirty"][-1] or 0) > int(states["bg_thresh"][-1] or 0)
