# SPDX-License-Identifier: GPL-2.0-or-later
"""The one-line model that a simulation has to beat: rate the smaller of demand and limit, levels at the limit."""

from __future__ import annotations

from collections.abc import Sequence

from pageout.bundle.measured import Value
from pageout.twin.layout import is_layout
from pageout.vocabulary.scenario import Disk, Scenario, Task
from pageout.vocabulary.settings import sysctls

MIB, PAGE_BYTES = 1 << 20, 4096


def baseline(scenario: Scenario, names: Sequence[str]) -> dict[str, Value]:
    """Return the figures the model has an answer for; nobody held, nothing reclaimed, requests the largest."""
    writers = [task for task in scenario.tasks if task.kind == "io" and "write" in task.rw and not task.background]
    writers = [task for task in writers if not is_layout(task)]
    disk = next(disk for disk in scenario.machine.disks if disk.name == scenario.machine.filesystem.disk)
    rate = _rate(writers, disk)
    limit = _limit_bytes(scenario) / MIB
    nbytes = sum(task.io_bytes * task.loops for task in writers)
    found: dict[str, Value] = {
        "throttle_count": 0, "throttle_s": 0.0,
        "scanned_kswapd": 0, "reclaimed_kswapd": 0, "scanned_direct": 0, "reclaimed_direct": 0,
        "alloc_stall_count": 0, "alloc_stall_s": 0.0,
    }  # fmt: skip
    if writers:
        found |= {"plateau_mib": round(limit, 3), "dirty_writeback_mean_mib": round(limit, 3)}
        found |= {
            "mean_write_kib": float(disk.max_sectors_kb),
            "write_requests": -(-nbytes // (disk.max_sectors_kb * 1024)),
        }
    if writers and rate is not None:
        found["write_mb_s"] = round(rate / 1e6, 3)
        share = round(rate / 1e6 / len(writers), 3)
        found |= {name: share for name in names if name.startswith("write_mb_s.")}
    return found


def _rate(writers: Sequence[Task], disk: Disk) -> float | None:
    """Return bytes a second: the smaller of what the writers want and what the device lets through."""
    limits: list[float] = []
    if writers and all(task.rate_bps for task in writers):
        limits.append(sum(task.rate_bps for task in writers))
    if disk.write_bps:
        limits.append(disk.write_bps)
    if ticks := getattr(disk, "tick_bytes", 0):
        limits.append(ticks * 1e9 / getattr(disk, "tick_ns", 20_000_000))
    if disk.write_iops and writers:
        limits.append(disk.write_iops * max(task.bs_bytes for task in writers))
    return min(limits, default=None)


def _limit_bytes(scenario: Scenario) -> float:
    """Return the dirty limit: as set in bytes, or a share of the memory that is not taken."""
    values = sysctls(scenario)
    memory = scenario.machine.memory_bytes - scenario.machine.taken_bytes
    return float(values["vm.dirty_bytes"] or memory * values["vm.dirty_ratio"] / 100)
