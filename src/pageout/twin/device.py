# SPDX-License-Identifier: GPL-2.0-or-later
"""The device of a recording as a Disk: its limits and its queue as recorded, what was not by its own requests."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
import polars as pl

from pageout.bundle.bundle import Bundle
from pageout.bundle.evidence import written_requests
from pageout.bundle.meta import CaseDevice
from pageout.twin.completions import busy_rate, most_segments
from pageout.vocabulary.later_kernels import design_for
from pageout.vocabulary.scenario import Disk

DISK_BYTES = 500 * 1000**3  # its size decides how large a journal is
SECTORS_PER_KIB = 2
SECTOR_BYTES = 512
LEAST_BYTES = 1 << 30
LEAST_RATE = 4096


class Modelled(NamedTuple):
    """A disk, and what must be known of where it is from."""

    disk: Disk
    notes: list[str]


def disk_of(bundle: Bundle) -> Modelled:
    """Return the device that matters."""
    case = bundle.case
    device = case.device if case is not None and case.device is not None else CaseDevice()
    notes: list[str] = []
    wanted = _queue(bundle, device, notes)
    limits = bundle.limits
    if device.model == "tick_throttle" and device.bytes_per_tick and device.tick_ms:
        wanted |= {
            "kind": "throttled", "limit": "ticks", "tick_ns": int(device.tick_ms * 1e6),
            "tick_bytes": device.bytes_per_tick, "latency_us": (device.completion_ns or 0) // 1000,
        }  # fmt: skip
    elif limits is not None and any(value for value in msgspec.structs.astuple(limits)):
        wanted |= {
            "kind": "throttled", "limit": "slices",
            "write_bps": int(limits.wbps or 0), "read_bps": int(limits.rbps or 0),
            "write_iops": int(limits.wiops or 0), "read_iops": int(limits.riops or 0),
        }  # fmt: skip
        wanted |= _below(bundle)
    else:
        wanted |= _by_itself(bundle, notes)
    return Modelled(Disk(**wanted), notes)


def _queue(bundle: Bundle, device: CaseDevice, notes: list[str]) -> dict[str, Any]:
    """Return size of requests, tags and scheduler; a limit on the size that nobody noted is the largest request met."""
    queue = bundle.queue
    size = (queue.size if queue else None) or _size_touched(bundle, notes) or DISK_BYTES
    wanted: dict[str, Any] = {"name": "sda", "size_bytes": min(max(int(size), LEAST_BYTES), DISK_BYTES)}
    kib = (queue.max_sectors_kb if queue else None) or device.max_request_kib
    if kib is None and bundle.events is not None:
        largest = written_requests(bundle.events, bundle.device)["nr_sector"].max()
        if isinstance(largest, int) and largest > 0:
            kib = largest // SECTORS_PER_KIB
            notes.append(f"largest request: {kib} KiB, the largest that was met")
    if kib:
        wanted["max_sectors_kb"] = min(max(kib // 4 * 4, 4), 4096)
        segments = queue.max_segments if queue else None
        wanted["max_segments"] = min(max(segments or most_segments(design_for(bundle.kernel), kib), 1), 4096)
    ahead = (queue.read_ahead_kb if queue else None) or device.read_ahead_kib
    if ahead:
        wanted["read_ahead_kb"] = min(max(ahead, 4), 65536)
    wanted |= share_of(bundle)
    tags = (queue.nr_requests if queue else None) or device.tags
    if tags:
        wanted |= {"nr_requests": min(max(tags, 4), 4096), "tags": tags}
    scheduler = (queue.scheduler if queue else None) or device.scheduler or "none"
    is_sorted = "[mq-deadline]" in scheduler or scheduler == "mq-deadline"
    wanted["elevator"] = "mq-deadline" if is_sorted else "none"
    return wanted | {"queue_depth": min(max(device.hw_queue_depth or tags or 32, 1), 1024)}


def share_of(bundle: Bundle) -> dict[str, int | bool]:
    """Return what was set of its part of the dirty limit; a ratio between two percents is the lower of them."""
    queue, wanted = bundle.queue, dict[str, int | bool]()
    if queue is None:
        return wanted
    if queue.max_ratio is not None:
        wanted["max_ratio"] = min(max(int(queue.max_ratio), 1), 100)
    if queue.min_ratio is not None:
        wanted["min_ratio"] = min(max(int(queue.min_ratio), 0), int(wanted.get("max_ratio", 100)), 99)
    return wanted | ({"strict_limit": bool(queue.strict_limit)} if queue.strict_limit is not None else {})


def _size_touched(bundle: Bundle, notes: list[str]) -> int | None:
    """Return the size of a device that nobody noted: the power of two that holds the last sector written."""
    if bundle.events is None:
        return None
    ends = written_requests(bundle.events, bundle.device).select(
        pl.col("sector").cast(pl.Int64, strict=False) + pl.col("nr_sector").cast(pl.Int64, strict=False)
    )
    last = ends.to_series().filter(ends.to_series() > 0).max()
    if not isinstance(last, int):
        return None
    size = 1 << (last * SECTOR_BYTES - 1).bit_length()
    notes.append(f"size of the device: {size >> 20} MiB, which holds the last sector written")
    return size


def _below(bundle: Bundle) -> dict[str, Any]:
    """Return how fast the device is below its limit: bytes over the time that requests were under way."""
    rate = busy_rate(bundle.events, bundle.device)
    return {"service_mb_s": min(max(round(rate / 1e6), 1), 100_000)} if rate is not None else {}


def _by_itself(bundle: Bundle, notes: list[str]) -> dict[str, Any]:
    """Return a device without limits: as fast as it was while it had requests."""
    rate = busy_rate(bundle.events, bundle.device)
    if rate is None:
        notes.append("nothing says how fast the device is: it answers at once")
        return {"kind": "null"}
    notes.append(f"the device by its own requests: {rate / 1e6:.4g} MB/s while any were under way")
    limit = max(int(rate), LEAST_RATE)
    return {"kind": "throttled", "write_bps": limit, "read_bps": limit, "shared_limit": True}
