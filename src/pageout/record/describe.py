# SPDX-License-Identifier: GPL-2.0-or-later
"""meta.json: what a recording is of, and how it was made."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pageout.record import machine
from pageout.record.machine import Cgroup


@dataclass
class Made:
    """How a recording went."""

    start_s: float = 0.0
    end_s: float = 0.0
    rc: int | None = None
    events: dict[str, Any] = field(default_factory=dict)
    recorder_pids: tuple[int, ...] = ()
    cpu_share: float = 0.0  # of one CPU, taken by the recorder while it recorded
    nr_samples: int = 0
    command_io: dict[str, int] | None = None
    ended_by: str = ""
    device: str | None = None  # that the user named
    written_to: set[str] = field(default_factory=set)  # MAJ:MIN the command had open for writing


def document(
    made: Made, argv: list[str] | None, folder: Path, settings: Mapping[str, Any], clock: str
) -> dict[str, Any]:
    """Return the document; the /proc files before and after are in the folder already."""
    uname = platform.uname()
    before, after = (_text(folder / f"vmstat.{when}") for when in ("before", "after"))
    disks_before, disks_after = (_text(folder / f"diskstats.{when}") for when in ("before", "after"))
    counted, was = machine.vmstat(after), machine.vmstat(before)
    devices = settings["devices"]
    return {
        "kernel": uname.release,
        "kernel_version": uname.version,
        "arch": uname.machine,
        "hz": settings["hz"],
        "cpus": os.cpu_count(),
        "machine": {"memory_kib": machine.memory_kib(), "page_bytes": os.sysconf("SC_PAGE_SIZE")},
        "command": argv,
        "rc": made.rc,
        "start_s": round(made.start_s, 6),
        "end_s": round(made.end_s, 6),
        "ended_by": made.ended_by,
        "dev": made.device or machine.main_device(disks_before, disks_after, devices, made.written_to),
        "events": made.events,
        "samples": {
            "clock": "trace",
            "time_column": "t_s",
            "every_s": 0.1,
            "count": made.nr_samples,
            "trace_clock": clock,
        },
        "sysctl": settings["sysctl"],
        "lru_gen": settings["lru_gen"],
        "devices": devices,
        "mounts": settings["mounts"],
        "cgroup": settings["cgroup"],
        "vmstat_delta": {name: value - was[name] for name, value in counted.items() if value != was.get(name, value)},
        "command_io": made.command_io,
        "recorder_pids": list(made.recorder_pids),
        "recorder": {"cpu_share": round(made.cpu_share, 5)},
    }


def settings(pid: int | str, folder: Path, formats: Path) -> dict[str, Any]:
    """Return the settings of the machine as they are now, and copy its files into the folder.

    pid:     whose control group counts
    formats: tracefs' events
    """
    config = machine.kernel_config(folder)
    cgroup = Cgroup(pid)
    sysctls = machine.sysctls()
    (folder / "sysctls").write_text("".join(f"{name} = {value}\n" for name, value in sysctls.items()))
    (folder / "mounts").write_text(machine.said("/proc/self/mounts") + "\n")
    texts = (_text(path) for path in sorted(formats.glob("writeback/*/format")))
    return {
        "hz": machine.hz_of(config, texts),
        "sysctl": sysctls,
        "lru_gen": machine.said("/sys/kernel/mm/lru_gen/enabled")[:16] or "none",
        "devices": machine.devices(cgroup),
        "mounts": machine.mounts(),
        "cgroup": cgroup.describe(),
    }


def task_io(pid: int) -> dict[str, int] | None:
    """Return what a process and all its children that are gone have read and written."""
    rows = re.findall(r"^(\w+): (\d+)$", machine.said(f"/proc/{pid}/io"), re.MULTILINE)
    return {name: int(value) for name, value in rows} or None


def _text(path: Path) -> str:
    return machine.said(path)
