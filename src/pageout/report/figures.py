# SPDX-License-Identifier: GPL-2.0-or-later
"""The figures of a run: name, unit, group, meaning, and which way is better. One table for every report."""

from typing import Any, Literal, NamedTuple

Document = dict[str, Any]  # what `run --json` prints
Better = Literal["less", "more", ""]


class Figure(NamedTuple):
    """One row of the table of figures. `better` is empty where more or less is not a matter of good or bad."""

    name: str
    unit: str
    group: str
    meaning: str
    better: Better = ""


_SPEED, _DIRTY, _THROTTLE = "throughput and latency", "dirty memory", "throttling of writers"
_RECLAIM, _WHO, _DEVICE = "reclaim", "who wrote", "device"
_STACK, _FAILURES = "kernel stack", "failures"

FIGURES = (
    Figure("write_mb_s", "MB/s", _SPEED, "written by the tasks, end fsync included", "more"),
    Figure("read_mb_s", "MB/s", _SPEED, "read by the tasks", "more"),
    Figure("write_p50_us", "us", _SPEED, "time in one write call, median", "less"),
    Figure("write_p99_us", "us", _SPEED, "99 % of write calls took no longer", "less"),
    Figure("write_p999_us", "us", _SPEED, "99.9 % of write calls took no longer", "less"),
    Figure("write_max_us", "us", _SPEED, "longest write call", "less"),
    Figure("read_p99_us", "us", _SPEED, "99 % of read calls took no longer", "less"),
    Figure("fsync_p50_us", "us", _SPEED, "time in one fsync call, median", "less"),
    Figure("fsync_p99_us", "us", _SPEED, "99 % of fsync calls took no longer", "less"),
    Figure("dirty_mean_mib", "MiB", _DIRTY, "dirty, mean over time"),
    Figure("writeback_mean_mib", "MiB", _DIRTY, "under writeback, mean over time"),
    Figure("dirty_writeback_mean_mib", "MiB", _DIRTY, "both together, mean over time"),
    Figure("dirty_max_mib", "MiB", _DIRTY, "dirty at its highest"),
    Figure("data_at_risk_max_mib", "MiB", _DIRTY, "dirty + writeback at its highest", "less"),
    Figure("oldest_dirty_s", "s", _DIRTY, "age of the oldest dirty page", "less"),
    Figure("rewrites_saved_pages", "pages", _DIRTY, "writes to pages already dirty", "more"),
    Figure("throttle_count", "", _THROTTLE, "sleeps in balance_dirty_pages"),
    Figure("throttle_s", "s", _THROTTLE, "sleep asked for, sum over tasks", "less"),
    Figure("throttle_slept_s", "s", _THROTTLE, "really slept, sum over tasks", "less"),
    Figure("alloc_stall_count", "", _RECLAIM, "direct reclaims entered by allocations", "less"),
    Figure("alloc_stall_s", "s", _RECLAIM, "time in them, sum over tasks", "less"),
    Figure("alloc_stall_p99_us", "us", _RECLAIM, "99 % of them took no longer", "less"),
    Figure("scanned_direct", "pages", _RECLAIM, "looked at by direct reclaim"),
    Figure("reclaimed_direct", "pages", _RECLAIM, "freed by direct reclaim"),
    Figure("scanned_kswapd", "pages", _RECLAIM, "looked at by kswapd"),
    Figure("reclaimed_kswapd", "pages", _RECLAIM, "freed by kswapd"),
    Figure("written_direct", "pages", _WHO, "submitted by direct reclaim"),
    Figure("written_kswapd", "pages", _WHO, "submitted by kswapd"),
    Figure("written_flusher", "pages", _WHO, "submitted by flusher threads"),
    Figure("written_writer", "pages", _WHO, "submitted by the writing tasks themselves"),
    Figure("write_requests", "", _DEVICE, "write requests after merging"),
    Figure("mean_write_kib", "KiB", _DEVICE, "mean size of a write request", "more"),
    Figure("seek_count", "", _DEVICE, "requests that did not follow the one before", "less"),
    Figure("seek_mean_mib", "MiB", _DEVICE, "mean distance of a seek", "less"),
    Figure("device_busy_share", "%", _DEVICE, "of the time the device was busy"),
    Figure("stack_memory_mib", "MiB", _STACK, "memory in kernel stacks at its highest", "less"),
    Figure("fork_stall_p99_us", "us", _STACK, "a fork's wait for its stack, 99 % no longer", "less"),
    Figure("stack_max_bytes", "bytes", _STACK, "deepest kernel stack", "less"),
    Figure("stack_overflows", "", _STACK, "times a kernel stack overflowed", "less"),
    Figure("highorder_attempts", "", _FAILURES, "allocations of order 1 and above"),
    Figure("highorder_failures", "", _FAILURES, "of these failed", "less"),
    Figure("highorder_success_share", "%", _FAILURES, "of these succeeded", "more"),
    Figure("fragmentation_index_order2", "", _FAILURES, "0: order 2 lacks memory, 1: blocks; -: it would succeed"),
    Figure("fragmentation_index_order3", "", _FAILURES, "the same of order 3"),
    Figure("fragmentation_index_order9", "", _FAILURES, "the same of order 9, a huge page"),
    Figure("oom_kills", "", _FAILURES, "tasks killed by the OOM killer", "less"),
    Figure("pages_lost", "pages", _FAILURES, "dirty pages lost to I/O errors or power cut", "less"),
)
BY_NAME = {figure.name: figure for figure in FIGURES}
GROUPS = tuple(dict.fromkeys(figure.group for figure in FIGURES))

CAUSES = (  # figure, who that is in a sentence
    ("written_flusher", "flusher threads"),
    ("written_writer", "the writing tasks themselves"),
    ("written_kswapd", "kswapd"),
    ("written_direct", "direct reclaim"),
)
