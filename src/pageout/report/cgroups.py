# SPDX-License-Identifier: GPL-2.0-or-later
"""Memory cgroups of a run: what each was allowed, what it held, how often it met its limits."""

from collections.abc import Mapping
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from pageout.report.text import counted, literal, number_text, plain

MIB = 1 << 20
SHOWN = 6  # groups beside each other; --json has them all
_NO_LIMIT = "max"
# Row, unit, where the figure stands: a key of the group, or a table of it and the key.
_ROWS = (
    ("memory.max", "MiB", "memory.max", ""),
    ("memory.high", "MiB", "memory.high", ""),
    ("memory.current", "MiB", "memory.current", ""),
    ("memory.peak", "MiB", "memory.peak", ""),
    *((name, "MiB", "memory.stat", name) for name in ("anon", "file", "file_dirty", "file_writeback")),
    *((name, "pages", "memory.stat", name) for name in ("pgscan", "pgsteal", "workingset_refault_file")),
    *((f"events {name}", "", "memory.events", name) for name in ("high", "max", "oom", "oom_kill")),
    ("reclaims", "", "reclaims", ""),
    ("reclaim_s", "s", "reclaim_s", ""),
    ("high_sleeps", "", "high_sleeps", ""),
    ("high_slept_s", "s", "high_slept_s", ""),
)


def cgroups_table(document: Mapping[str, Any]) -> Table | None:
    """Return one column a group, at the end of the run; None if there is none."""
    groups = (document.get("cgroups") or [])[:SHOWN]
    if not groups:
        return None
    table = Table(
        title="memory cgroups",
        title_justify="left",
        title_style="bold",
        box=SIMPLE_HEAD,
        show_edge=False,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        header_style="bold",
    )
    table.add_column("figure")
    for group in groups:
        table.add_column(literal(group["name"]), justify="right", no_wrap=True)
    table.add_column("unit")
    for label, unit, key, inner in _ROWS:
        values = [group[key][inner] if inner else group[key] for group in groups]
        table.add_row(label, *(_cell(value, unit) for value in values), unit)
    return table


def sentences(document: Mapping[str, Any]) -> list[str]:
    """Return what is to be said of each group that met a limit."""
    return [_sentence(group) for group in document.get("cgroups") or [] if any(group["memory.events"].values())]


def _sentence(group: Mapping[str, Any]) -> str:
    events, parts = group["memory.events"], []
    if events["max"]:
        parts.append(f"{counted(events['max'], 'time')} at memory.max ({_cell(group['memory.max'], 'MiB')} MiB)")
    if events["high"]:
        parts.append(f"reclaimed from {counted(events['high'], 'time')} for memory.high "
                     f"({_cell(group['memory.high'], 'MiB')} MiB)")  # fmt: skip
    if group["reclaims"]:
        parts.append(f"{number_text(group['reclaim_s'])} s of its tasks' time in reclaim for its limits")
    if group["high_sleeps"]:
        parts.append(f"{number_text(group['high_slept_s'])} s asleep over memory.high")
    if events["oom_kill"]:
        parts.append(f"{counted(events['oom_kill'], 'task')} killed")
    return f"Cgroup {plain(group['name'])}: {', '.join(parts)}."


def _cell(value: Any, unit: str) -> str:
    if value is None:
        return _NO_LIMIT
    return number_text(round(value / MIB, 3) if unit == "MiB" else value)
