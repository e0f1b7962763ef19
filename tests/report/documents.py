# SPDX-License-Identifier: GPL-2.0-or-later
"""Made-up documents in the shape of `run --json`: fixtures, not results of any run."""

from typing import Any

METRICS: dict[str, Any] = {
    "write_mb_s": 81.25,
    "read_mb_s": None,
    "write_p50_us": 34,
    "write_p99_us": 1200,
    "write_p999_us": 98_000,
    "write_max_us": 412_000,
    "dirty_mean_mib": 201.5,
    "writeback_mean_mib": 12.25,
    "dirty_writeback_mean_mib": 213.75,
    "dirty_max_mib": 390.0,
    "data_at_risk_max_mib": 402.5,
    "oldest_dirty_s": 31.5,
    "rewrites_saved_pages": 12,
    "throttle_count": 40,
    "throttle_s": 8.0,
    "throttle_slept_s": 8.4,
    "alloc_stall_count": 812,
    "alloc_stall_s": 5.4,
    "alloc_stall_p99_us": 40_000,
    "scanned_direct": 60_000,
    "reclaimed_direct": 26_000,
    "scanned_kswapd": 140_000,
    "reclaimed_kswapd": 104_000,
    "written_direct": 3_000,
    "written_kswapd": 17_000,
    "written_flusher": 180_000,
    "written_writer": 0,
    "write_requests": 2_000,
    "mean_write_kib": 400.0,
    "seek_count": 1_500,
    "seek_mean_mib": 800.5,
    "device_busy_share": 0.97,
    "stack_memory_mib": 2.5,
    "fork_stall_p99_us": 310,
    "stack_max_bytes": 7_216,
    "stack_overflows": 0,
    "highorder_attempts": 400,
    "highorder_failures": 3,
    "highorder_success_share": 0.9925,
    "fragmentation_index_order2": None,
    "fragmentation_index_order3": None,
    "fragmentation_index_order9": 0.913,
    "oom_kills": 0,
    "pages_lost": 0,
}


def document(design: str = "linux-2.6.34", **changed: Any) -> dict[str, Any]:
    """Return a made-up document; `changed` are figures that differ from METRICS."""
    return {
        "pageout": "0.1.0",
        "workload": "storm.fio",
        "machine": "server-2g",
        "design": design,
        "kernel": "2.6.34",
        "seed": 7,
        "digest": f"made-up-{design}",
        "sim_seconds": 60.0,
        "wall_seconds": 2.5,
        "jobs": [
            {"name": "writer", "write_mb_s": 81.25, "write_p99_us": 1200, "throttle_s": 8.0, "alloc_stall_count": 3}
        ],
        "metrics": METRICS | changed,
    }


def series(length: int = 5) -> dict[str, list[float]]:
    """Return made-up levels over time."""
    return {
        "t_s": [0.1 * step for step in range(length)],
        "nr_dirty": [1000 * step for step in range(length)],
        "nr_writeback": [50] * length,
        "nr_free": [4000 - step for step in range(length)],
        "written_mb_s": [80.0] * length,
        "dirty_limit": [9000] * length,
        "background_limit": [4500] * length,
        "written_flusher": [2000 * step for step in range(length)],
        "written_writer": [0] * length,
        "written_kswapd": [100 * step for step in range(length)],
        "written_direct": [10 * step for step in range(length)],
        "alloc_stall_ns": [5_000_000 * step for step in range(length)],
        "throttle_slept_ns": [50_000_000 * step for step in range(length)],
        "stack_max_bytes": [6000] * length,
    }


def histograms() -> dict[str, dict[str, list[tuple[int, int]]]]:
    """Return made-up histograms of one device."""
    return {"sda": {"write_kib": [(4, 10), (8, 0), (16, 3)], "seek_kib": [(1024, 7), (2048, 2)]}}
