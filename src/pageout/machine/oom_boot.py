# SPDX-License-Identifier: GPL-2.0-or-later
"""What the OOM killer and the kernel log need at boot: table sizes, sysctls, what it goes by in a task."""

from __future__ import annotations

from collections.abc import Mapping

from pageout.engine import constants as c
from pageout.vocabulary.scenario import Scenario, Task

PAGE = 4096
TASK_VM_PAGES = 1024  # assumed: text, libraries and stack of a small program, 4 MiB of address space


def log_sizes(nr_zones: int, nr_cpus: int, nr_tasks: int) -> dict[str, int]:
    """Return the rows of the kernel log's tables."""
    zones = c.KLOG_SNAPSHOTS * nr_zones
    return {
        "klog": c.KLOG_RECORDS,
        "klog_stack": c.KLOG_RECORDS * c.KLOG_STACK,
        "klog_mem": c.KLOG_SNAPSHOTS,
        "klog_zone": zones,
        "klog_list": zones * c.NR_LRU,
        "klog_pcp": zones * nr_cpus,
        "klog_task": c.KLOG_SNAPSHOTS * nr_tasks,
    }


def log_params(values: Mapping[str, int]) -> dict[str, int]:
    """Return the parameters that the sysctls set."""
    return {
        "panic_on_oom": values["vm.panic_on_oom"],
        "oom_kill_allocating": values["vm.oom_kill_allocating_task"],
        "oom_dump_tasks": values["vm.oom_dump_tasks"],
        "hung_timeout_ns": values["kernel.hung_task_timeout_secs"] * c.NS_PER_S,
        "klog_size": c.KLOG_RECORDS,
        "klog_snapshots": c.KLOG_SNAPSHOTS,
    }


def task_fields(scenario: Scenario, number: int, first_task: int, anon_pages: int) -> dict[str, int]:
    """Return what the OOM killer goes by. Its size: the program, its anonymous memory, the files it maps."""
    task: Task = scenario.tasks[number]
    mapped = sum(-(-scenario.files[i].size_bytes // PAGE) for i in set(task.file)) if task.mmap else 0
    parent = c.NIL
    if task.parent:
        parent = first_task + [other.name for other in scenario.tasks].index(task.parent)
    return {
        "total_vm": TASK_VM_PAGES + mapped + anon_pages,
        "oom_adj": task.oom_adj,
        "nice": task.nice,
        "privileged": int(task.privileged),
        "parent": parent,
    }
