# SPDX-License-Identifier: GPL-2.0-or-later
"""Each time the OOM killer struck: who asked, who died, and why each zone had nothing to give.

The reasons are computed from what the engine recounted at that moment, zone by zone: the free pages against the marks
and the lowmem reserve, and the pages of each LRU list against what keeps them from being freed.
"""

from __future__ import annotations

from typing import Any

from pageout.engine import constants as c
from pageout.kernel.mm.oom_kill import BY_CGROUP
from pageout.machine.boot import Booted
from pageout.machine.dmesg import MEMCG_STATS, PAGE_KIB, PANICS, Log, zone_name
from pageout.vocabulary.scenario import Scenario

LISTS = ("inactive_anon", "active_anon", "inactive_file", "active_file")
MARKS = ("dirty", "writeback", "locked", "young", "mapped", "idle")
UNRECLAIMABLE_FACTOR = 6  # Linux v2.6.34 mm/vmscan.c: a zone scanned six times over without success is given up


def oom_events(booted: Booted, scenario: Scenario) -> list[dict[str, Any]]:
    """Return one object a kill or panic, in order; `zones` is None where the log had no room for the zones."""
    log = Log(booted, scenario)
    found: list[dict[str, Any]] = []
    header: dict[str, int] | None = None
    event: dict[str, Any] = {}
    stat: dict[str, int] | None = None
    for number in range(log.stat("klog_nr")):
        record = log.record(number)
        if record["kind"] == c.KLOG_OOM:
            header = record
        elif record["kind"] == c.KLOG_MEMCG_STAT:
            stat = {name: record[field] * PAGE_KIB for name, field in zip(MEMCG_STATS, "abcd", strict=True)}
        elif record["kind"] == c.KLOG_OOM_SCORE:
            event = _event(log, record, record["c"], record["d"], header) | {"score": record["a"]}
            if record["b"] == BY_CGROUP:
                event |= {"cgroup": _group_of(log, record["who"]), "cgroup_kib": stat}
                stat = None
            header = None
        elif record["kind"] == c.KLOG_OOM_KILLED and event:
            found.append(event | _victim(log, record, event))
            event = {}
        elif record["kind"] == c.KLOG_PANIC:
            gfp, order = (header["a"], header["b"]) if header is not None else (None, None)
            found.append(_event(log, record, gfp, order, header) | {"panic": PANICS[record["a"]]})
    return found


def _group_of(log: Log, task: int) -> str:
    return log.scenario.cgroups[log.row("task", task)["memcg"] - 1].name


def _event(
    log: Log, record: dict[str, int], gfp: int | None, order: int | None, header: dict[str, int] | None
) -> dict[str, Any]:
    snapshot = header["snapshot"] if header is not None and header["task"] == record["task"] else c.NIL
    kept = snapshot != c.NIL
    return {
        "time_s": round(record["time_ns"] / c.NS_PER_S, 6),
        "victim": None,
        "victim_pid": None,
        "victim_is_child": None,
        "anon_rss_kib": None,
        "file_rss_kib": None,
        "score": None,
        "invoked_by": log.comm(record["task"]),
        "order": order,
        "gfp": None if gfp is None else f"0x{gfp:x}",
        "panic": None,
        "swap_free_kib": log.row("klog_mem", snapshot)["swap_free"] * PAGE_KIB if kept else None,
        "zones": [_zone(log, snapshot, zone, order or 0) for zone in range(log.nr_zones)] if kept else None,
    }


def _victim(log: Log, record: dict[str, int], event: dict[str, Any]) -> dict[str, Any]:
    return {
        "victim": log.comm(record["who"]),
        "victim_pid": record["a"],
        "victim_is_child": record["a"] != log.pid(record["who"]),
        "anon_rss_kib": record["c"] * PAGE_KIB,
        "file_rss_kib": record["d"] * PAGE_KIB,
    }


def _zone(log: Log, snapshot: int, zone: int, order: int) -> dict[str, Any]:
    here, lists = log.zone(snapshot, zone), log.lists(snapshot, zone)
    has_swap = log.row("klog_mem", snapshot)["swap_free"] > 0
    reserve = here[f"reserve{log.nr_zones - 1}"]
    wanted = lists if has_swap else lists[c.LRU_INACTIVE_FILE :]
    isolated = here["isolated_anon"] + here["isolated_file"]
    on_cpus = sum(log.on_cpu(snapshot, zone, cpu) for cpu in range(log.nr_cpus))
    listed = sum(row["nr"] for row in lists)
    numbers = {
        "name": zone_name(zone),
        "free_kib": here["nr_free"] * PAGE_KIB,
        "min_kib": here["wmark_min"] * PAGE_KIB,
        "low_kib": here["wmark_low"] * PAGE_KIB,
        "high_kib": here["wmark_high"] * PAGE_KIB,
        "reserve_kib": reserve * PAGE_KIB,
        "largest_free_order": max((n for n in range(c.MAX_ORDER) if here[f"nr{n}"]), default=None),
        "lists": {
            name: {"pages": row["nr"], **{mark: row[mark] for mark in MARKS}}
            for name, row in zip(LISTS, lists, strict=True)
        },
        "reclaimable": {"pages": sum(row["nr"] for row in wanted)}
        | {mark: sum(row[mark] for row in wanted) for mark in MARKS},
        "isolated_pages": isolated,
        "other_pages": here["present"] - here["nr_free"] - on_cpus - listed - isolated,
        "pages_scanned": here["pages_scanned"],
        "all_unreclaimable": bool(here["all_unreclaimable"]),
        "unreclaimable_since_s": round(here["unreclaimable_since_ns"] / c.NS_PER_S, 6)
        if here["all_unreclaimable"]
        else None,
    }
    return numbers | {"reason": f"{_why_not_free(numbers, order)}; {_why_not_reclaimed(log, numbers, has_swap)}"}


def _why_not_free(zone: dict[str, Any], order: int) -> str:
    """Why the zone's free pages could not be given. The last try before a kill asks for the HIGH mark."""
    free, high, reserve = zone["free_kib"], zone["high_kib"], zone["reserve_kib"]
    if free <= high:
        return f"free {free} KiB is not above the high mark, {high} KiB"
    if free <= high + reserve:
        return f"free {free} KiB is kept by lowmem_reserve: this request must leave {high + reserve} KiB here"
    if order and (zone["largest_free_order"] or 0) < order:
        return f"free {free} KiB is in pieces: none of order {order}"
    if order:
        return f"free {free} KiB, too little of it in pieces of order {order}"
    return f"free {free} KiB is above the high mark with its reserve by now"


def _why_not_reclaimed(log: Log, zone: dict[str, Any], has_swap: bool) -> str:
    """Why reclaim made nothing of the zone's pages."""
    lists, can = zone["lists"], zone["reclaimable"]
    anon = lists["inactive_anon"]["pages"] + lists["active_anon"]["pages"]
    scanned = f"scanned {zone['pages_scanned']} of 6 x {can['pages']}"
    given_up = f"given up at {zone['unreclaimable_since_s']:.3f} s" if zone["all_unreclaimable"] else ""
    ends = ", ".join(part for part in (scanned if not given_up else "", given_up) if part)
    if not can["pages"] and anon:
        swap = "swap is full" if log.scenario.machine.swap_bytes else "there is no swap"
        return f"no file page is left, {anon} pages are anonymous and {swap}; {ends}"
    if not can["pages"]:
        return f"its LRU lists are empty, {zone['other_pages']} pages are the kernel's or on their way; {ends}"
    marks = ", ".join(
        f"{can[mark]} {word}"
        for mark, word in (
            ("dirty", "dirty"),
            ("writeback", "under writeback"),
            ("locked", "locked"),
            ("young", "just used"),
            ("idle", "clean by now"),
        )
        if can[mark]
    )
    away = f", {zone['isolated_pages']} isolated besides" if zone["isolated_pages"] else ""
    left = f" ({anon} anonymous ones cannot be swapped)" if anon and not has_swap else ""
    return f"of {can['pages']} pages to reclaim {marks}{away}{left}; {ends}"
