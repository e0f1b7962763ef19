# SPDX-License-Identifier: GPL-2.0-or-later
"""Memory cgroups at boot: table sizes, limits, whose task is in which; and what they have come to at the end."""

from __future__ import annotations

from typing import Any

import numpy as np

from pageout.engine import constants as c
from pageout.kernel.frames import FN
from pageout.vocabulary.cgroups import number_of
from pageout.vocabulary.scenario import Cgroup, Scenario

PAGE = 4096
FLUSHER_PID = 30_000  # assumed: of the groups' flushers, above all others
ASLEEP = 2  # label of wb_workfn


def sizes(scenario: Scenario, nr_zones: int) -> dict[str, int]:
    """Return the rows of the tables that groups make larger; row 0 is the root's."""
    groups = 1 + len(scenario.cgroups)
    return {"memcg": groups, "lru": max(nr_zones, groups) * c.NR_LRU}


def boot_memcgs(arrays: dict[str, Any], scenario: Scenario, first_task: int) -> None:
    """Set the limits, and put the tasks into their groups. memory.max below the pages of a batch works too."""
    arrays["param"]["nr_memcgs"][0] = len(scenario.cgroups)
    for row, group in enumerate((Cgroup(name=""), *scenario.cgroups)):
        for name, limit in (("memory_max", group.max_bytes), ("memory_high", group.high_bytes)):
            arrays["memcg"][name][row] = limit // PAGE if limit else c.NO_LIMIT
    arrays["memcg"]["walk_last"][0] = c.NIL
    for i, task in enumerate(scenario.tasks):
        arrays["task"]["memcg"][first_task + i] = number_of(scenario, task.cgroup)


def boot_wbs(arrays: dict[str, Any], scenario: Scenario, nr_bdis: int, first: int) -> dict[int, str]:
    """Give each group writeback of its own on each device: a row of `bdi`, and a flusher, asleep. Returns comms.

    first: the first flusher's task.  They are workers of the same pool as the devices' own.
    """
    bdi, comms, cpus = arrays["bdi"], dict[int, str](), scenario.machine.cpus
    nr_queues = len(scenario.machine.disks)
    bdi["root"][:] = np.arange(len(bdi)) % nr_bdis
    arrays["param"]["nr_wbs"][0] = len(bdi)
    for row in range(nr_bdis, len(bdi)):
        m, b = divmod(row, nr_bdis)
        bdi[row] = bdi[b]
        bdi["memcg"][row], bdi["flusher"][row] = m, c.NIL
        if b < nr_queues:
            number = (m - 1) * nr_queues + b
            _start_asleep(arrays, first + number, row)
            bdi["flusher"][row] = first + number
            comms[FLUSHER_PID + number] = f"kworker/u{2 * cpus}:{nr_queues + number}"[:15]
            arrays["task"]["pid"][first + number] = FLUSHER_PID + number
    return comms


def _start_asleep(arrays: dict[str, Any], t: int, row: int) -> None:
    """A flusher that waits for its first dirty inode."""
    task, frame = arrays["task"][t], arrays["frame"][t * c.MAX_DEPTH]
    used = int(arrays["function"]["frame_bytes"][FN.bdi_writeback_thread])
    task["state"], task["used"], task["peak"] = c.T_SLEEPING, used, used
    task["tflags"] = c.PF_FLUSHER | c.PF_KTHREAD
    frame["fn"], frame["pc"], frame["a"] = FN.bdi_writeback_thread, ASLEEP, row
    for name in ("page", "inode", "list_head", "work", "bio"):
        frame[name] = c.NIL


def _limit(pages: int) -> int | None:
    return None if pages == c.NO_LIMIT else pages * PAGE


def _events(get: dict[str, int]) -> dict[str, int]:
    return {name: get[f"event_{name}"] for name in ("high", "max", "oom", "oom_kill")}


STAT = ("workingset_refault_anon", "workingset_refault_file", "workingset_activate_anon", "workingset_activate_file",
        "workingset_restore_anon", "workingset_restore_file")  # fmt: skip


def cgroup_figures(arrays: dict[str, Any], scenario: Scenario) -> list[dict[str, Any]]:
    """Return each group's limits, usage and peak, memory.stat and memory.events by the kernel's names, in bytes.

    pgscan and pgsteal are pages, of all who scanned the group. reclaims: times its tasks reclaimed for its limits.
    """
    found = []
    for row, group in enumerate(scenario.cgroups, 1):
        get = {name: int(arrays["memcg"][name][row]) for name in arrays["memcg"].dtype.names}
        lists = arrays["lru"]["nr"][row * c.NR_LRU :][: c.NR_LRU].tolist()
        names = ("inactive_anon", "active_anon", "inactive_file", "active_file")
        found.append(
            {
                "name": group.name,
                "memory.max": _limit(get["memory_max"]),
                "memory.high": _limit(get["memory_high"]),
                "memory.current": get["usage"] * PAGE,
                "memory.peak": get["peak"] * PAGE,
                "memory.stat": {
                    "anon": get["nr_anon"] * PAGE,
                    "file": get["nr_file"] * PAGE,
                    "file_dirty": get["nr_dirty"] * PAGE,
                    "file_writeback": get["nr_writeback"] * PAGE,
                    **{name: int(nr) * PAGE for name, nr in zip(names, lists, strict=True)},
                    "pgscan": get["pgscan_kswapd"] + get["pgscan_direct"],
                    "pgsteal": get["pgsteal_kswapd"] + get["pgsteal_direct"],
                    **{n: get[n] for n in ("pgscan_kswapd", "pgscan_direct", "pgsteal_kswapd", "pgsteal_direct")},
                    **{n: get[n] for n in STAT},
                },
                "memory.events": _events(get),
                "reclaims": get["stalls"],
                "reclaim_s": round(get["stall_ns"] / c.NS_PER_S, 6),
                "high_sleeps": get["high_sleeps"],
                "high_asked_s": round(get["high_asked_ns"] / c.NS_PER_S, 6),
                "high_slept_s": round(get["high_slept_ns"] / c.NS_PER_S, 6),
            }
        )
    return found
