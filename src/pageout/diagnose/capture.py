# SPDX-License-Identifier: GPL-2.0-or-later
"""The exact commands that capture what is missing, what they cost, and how to undo them."""

from __future__ import annotations

import re
from collections.abc import Container
from typing import NamedTuple

_TRACEFS = "/sys/kernel/tracing"
_THROTTLE = "writeback:balance_dirty_pages writeback:bdi_dirty_ratelimit writeback:global_dirty_state"
_FLUSHER = "writeback:writeback_start writeback:writeback_written writeback:writeback_queue writeback:writeback_exec"
_RECLAIM = (
    "vmscan:mm_vmscan_direct_reclaim_begin vmscan:mm_vmscan_direct_reclaim_end vmscan:mm_vmscan_kswapd_wake "
    "vmscan:mm_vmscan_kswapd_sleep vmscan:mm_vmscan_lru_shrink_inactive vmscan:mm_vmscan_throttled"
)
_MEMCG = "vmscan:mm_vmscan_memcg_reclaim_begin vmscan:mm_vmscan_memcg_reclaim_end"
_SLAB = "vmscan:mm_shrink_slab_start vmscan:mm_shrink_slab_end"
_COMPACTION = (
    "compaction:mm_compaction_try_to_compact_pages compaction:mm_compaction_begin compaction:mm_compaction_end"
)
_BLOCK = "block:block_rq_issue block:block_rq_complete"


class Recipe(NamedTuple):
    """Commands to type, one a line; what they cost; how to undo them (empty: nothing to undo)."""

    title: str
    command: str
    cost: str
    undo: str


def _trace(name: str, title: str, events: str, seconds: int, cost: str) -> Recipe:
    """Return the recipe of a trace: an instance and a file of its own, and nothing goes on after a step that failed."""
    instance = f"{_TRACEFS}/instances/pageout-{name}"
    command = (
        f"(mountpoint -q {_TRACEFS} || mount -t tracefs nodev {_TRACEFS}) && mkdir -p {instance} && cd {instance} && "
        f"echo > set_event && echo 8192 > buffer_size_kb && for e in {events}; do echo $e >> set_event; done && echo 1 > tracing_on && "
        f"sleep {seconds} && echo 0 > tracing_on && cat trace | gzip > /tmp/{name}.txt.gz; cd /"
    )
    return Recipe(title, command, f"root; 8 MiB a CPU while it records; {cost}", f"rmdir {instance}")


RECIPES: dict[str, Recipe] = {
    "throttle": _trace(
        "throttle", "who is held back at the dirty limit, on which device, for how long", f"{_THROTTLE} {_FLUSHER}", 30,
        "under 1 % of a CPU: an event a pause",
    ),
    "reclaim": _trace(
        "reclaim", "who reclaims, how long it takes, what it meets", f"{_RECLAIM} {_MEMCG}", 30, "some 1 % of a CPU under pressure",
    ),
    "slab": _trace(
        "slab", "time in each shrinker", f"{_RECLAIM} {_SLAB}", 20, "some 2 % of a CPU under pressure",
    ),
    "compaction": _trace(
        "compaction", "reclaim or compaction, by order", f"{_RECLAIM} {_COMPACTION}", 30, "some 1 % of a CPU under pressure",
    ),
    "block": _trace(
        "block", "what the device does: requests, sizes, latencies", f"{_BLOCK} {_FLUSHER}", 20, "an event a request: 1-3 % of a CPU",
    ),
    "blocked": Recipe(
        "the stacks of all tasks that wait, and what they wait for",
        "echo w > /proc/sysrq-trigger; dmesg > /tmp/blocked.txt", "root; prints some lines a task into the log", "",
    ),
    "profile": Recipe(
        "where the CPUs spend their time in the kernel",
        "perf record -a -g -o /tmp/perf.data sleep 10; perf report -i /tmp/perf.data --stdio --no-children > /tmp/profile.txt; "
        "echo l > /proc/sysrq-trigger; dmesg > /tmp/cpus.txt",
        "root; package perf; some 1 % of a CPU for ten seconds", "",
    ),
    "counters": Recipe(
        "the counters twice, ten seconds apart",
        "for i in 1 2; do date; cat /proc/vmstat /proc/meminfo /proc/zoneinfo /proc/diskstats; grep . /proc/pressure/*; "
        "sleep 10; done > /tmp/counters.txt",
        "no root; milliseconds", "",
    ),
    "settings": Recipe(
        "the settings that matter", "sysctl -a 2>/dev/null | grep ^vm. > /tmp/sysctl.txt; uname -a >> /tmp/sysctl.txt",
        "no root; milliseconds", "",
    ),
    "device": Recipe(
        "what each device does, a row a second",
        "iostat -x 1 30 > /tmp/iostat.txt", "no root; package sysstat", "",
    ),
    "cgroup": Recipe(
        "a cgroup's memory, and what limits it",
        "grep . /sys/fs/cgroup/GROUP/memory.{stat,events,current,high,max,pressure} > /tmp/memcg.txt",
        "no root; milliseconds; GROUP: the path behind 0:: in /proc/PID/cgroup", "",
    ),
    "log": Recipe(
        "the kernel's log with readable times", "dmesg -T > /tmp/dmesg.txt", "root on some systems; milliseconds", "",
    ),
    "stack": Recipe(
        "the deepest kernel stack",
        f"echo 1 > /proc/sys/kernel/stack_tracer_enabled; sleep 60; cat {_TRACEFS}/stack_trace > /tmp/stack.txt",
        "root and CONFIG_STACK_TRACER; slows every function call: some 10 % of the CPU while it is on",
        "echo 0 > /proc/sys/kernel/stack_tracer_enabled",
    ),
    "shape": Recipe(
        "the device stack", "lsblk -o NAME,TYPE,FSTYPE,MOUNTPOINT,SIZE,ROTA > /tmp/lsblk.txt; cat /proc/mounts >> /tmp/lsblk.txt",
        "no root; milliseconds", "",
    ),
}  # fmt: skip


# The events that answer a recipe's question; its others only add to the answer.
_TELLING = {
    "throttle": frozenset({"balance_dirty_pages"}),
    "reclaim": frozenset({"mm_vmscan_direct_reclaim_begin", "mm_vmscan_direct_reclaim_end"}),
    "slab": frozenset({"mm_shrink_slab_start", "mm_shrink_slab_end"}),
    "compaction": frozenset({"mm_compaction_begin", "mm_compaction_end"}),
    "block": frozenset({"block_rq_issue", "block_rq_complete"}),
}


def is_answered(name: str, have: Container[str]) -> bool:
    """Say whether a trace with these events answers what a recipe is for."""
    return name in _TELLING and all(event in have for event in _TELLING[name])


def events_of(name: str) -> frozenset[str]:
    """Return the tracepoints a recipe records, none for one that records no trace."""
    return (
        frozenset(re.findall(r"\b[a-z]+:(\w+)", RECIPES[name].command))
        if "set_event" in RECIPES[name].command
        else frozenset()
    )
