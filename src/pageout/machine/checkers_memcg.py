# SPDX-License-Identifier: GPL-2.0-or-later
"""Invariants of memory cgroups: what is charged is found on the group's lists, and no group is over its limit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from pageout.engine import constants as c


def check_memcg(arrays: dict[str, Any], seen: Any) -> Iterator[str]:
    """Charges, group by group: pages in files and anonymous memory, stocks of CPUs, pages on their way."""
    groups = int(arrays["param"]["nr_memcgs"][0])
    owner = arrays["page"]["memcg"][seen.page]
    if not groups:
        if owner.any() or arrays["task"]["memcg"].any():
            yield "a page or a task belongs to a memory cgroup, and there is none"
        return
    charged = owner > 0
    if (charged & (seen.mapping < 0)).any():
        yield "a page is charged to a memory cgroup and belongs to no file"
    if (charged & ~seen.has(c.PG_LRU | c.PG_PVEC | c.PG_ISOLATED)).any():
        yield "a page is charged to a memory cgroup and is on no list of it"
    for m in range(1, groups + 1):
        yield from _check_group(arrays, seen, m, owner == m)
    scanned = arrays["memcg"]["pgscan_kswapd"].sum() + arrays["memcg"]["pgscan_direct"].sum()
    node = arrays["node"]
    yield from _differ("pgscan by group", int(scanned), int(node["pgscan_anon"][0] + node["pgscan_file"][0]))


def _check_group(arrays: dict[str, Any], seen: Any, m: int, mine: Any) -> Iterator[str]:
    group = {name: int(arrays["memcg"][name][m]) for name in arrays["memcg"].dtype.names}
    for name, mask in (
        ("nr_anon", ~seen.is_file),
        ("nr_file", seen.is_file),
        ("nr_dirty", seen.has(c.PG_DIRTY) & seen.is_file),
        ("nr_writeback", seen.has(c.PG_WRITEBACK)),
    ):
        yield from _differ(f"cgroup {m} {name}", group[name], int((mine & mask).sum()))
    stock = arrays["cpu"]["stock_nr"][arrays["cpu"]["stock_memcg"] == m]
    reserved = arrays["task"]["memcg_reserved"][arrays["task"]["memcg"] == m]
    found = int(mine.sum()) + int(stock.sum()) + int(reserved.sum())
    yield from _differ(f"cgroup {m} usage", group["usage"], found)
    if group["usage"] > group["memory_max"] or group["peak"] > group["memory_max"]:
        yield f"cgroup {m} holds {group['usage']} pages, at most {group['peak']}, and may hold {group['memory_max']}"
    if group["usage"] > group["peak"] or (np.array(stock) < 0).any():
        yield f"cgroup {m} holds {group['usage']} pages, more than its peak, {group['peak']}, or a stock below 0"


def _differ(what: str, counted: int, found: int) -> Iterator[str]:
    if counted != found:
        yield f"{what}: counted {counted}, a recount finds {found}"
