# SPDX-License-Identifier: GPL-2.0-or-later
"""Frames of memory cgroups as 6.x has them. No stack trace of those is at hand: sizes are guesses, marked so."""

from __future__ import annotations

SIZES: dict[str, tuple[int, str]] = {
    "try_charge_memcg": (144, "assumed: few locals, as reclaim_throttle"),
    "try_to_free_mem_cgroup_pages": (208, "assumed: a scan_control, with do_try_to_free_pages inlined"),
    "mem_cgroup_handle_over_high": (112, "assumed: few locals"),
}

ROWS = (
    ("try_charge_memcg", "node"),
    ("try_to_free_mem_cgroup_pages", "node"),
    ("mem_cgroup_handle_over_high", "node"),
)
