# SPDX-License-Identifier: GPL-2.0-or-later
"""Invariants of reclaim.engine=node: its counters recounted, its flags and waiters in order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pageout.engine import constants as c
from pageout.engine.state import NODE_COUNTERS
from pageout.kernel.frames import FN
from pageout.kernel.mm.workingset import GROUP_BITS


def is_node(arrays: dict[str, Any]) -> bool:
    """Are the node's lists in use, in place of the zones'?"""
    return int(arrays["param"]["reclaim_engine"][0]) == c.ENGINE_NODE


def check_node(arrays: dict[str, Any], seen: Any) -> Iterator[str]:
    """Pages on the node's lists by zone; what was scanned and freed, by whom and of what kind; who waits for writes."""
    node = {name: int(arrays["node"][name][0]) for name in arrays["node"].dtype.names}
    if not is_node(arrays):
        if any(node.values()):
            yield "the node has counted something under another engine"
        return
    listed = seen.has(c.PG_LRU)
    for z, zone in enumerate(arrays["zone"]):
        here = listed & (seen.zone == z)
        for name, mask in (("lru_file", seen.is_file), ("lru_anon", ~seen.is_file)):
            yield from _differ(f"zone {z} {name}", int(zone[name]), int((here & mask).sum()))
    for what in ("pgscan", "pgsteal"):
        by_who = node[f"{what}_kswapd"] + node[f"{what}_direct"]
        if int(arrays["param"]["nr_memcgs"][0]):  # the machine's counters leave out what was for a group's limit
            by_who = int(arrays["memcg"][f"{what}_kswapd"].sum() + arrays["memcg"][f"{what}_direct"].sum())
        yield from _differ(f"{what} by kind", node[f"{what}_anon"] + node[f"{what}_file"], by_who)
        if by_who < 0 or (what == "pgsteal" and by_who > node["pgscan_anon"] + node["pgscan_file"]):
            yield f"{what} is {by_who}"
    yield from _shadows(arrays, node)
    yield from check_held_frames(arrays)
    yield from _differ("nr_writeback_throttled", node["nr_writeback_throttled"], _waiting(arrays))
    if any(node[name] < 0 for name in NODE_COUNTERS) or node["kswapd_failures"] < 0:
        yield "a counter of the node is negative"
    if (listed & (seen.mapping < 0)).any():
        yield "a page on a list belongs to no file"


def check_held_frames(arrays: dict[str, Any]) -> Iterator[str]:
    """The frames that a run of compaction holds are linked, as many as it counts, and nobody else's."""
    frame, page = arrays["frame"], arrays["page"]
    for t, depth in enumerate(arrays["task"]["depth"].tolist()):
        for f in frame[t * c.MAX_DEPTH : t * c.MAX_DEPTH + depth + 1]:
            if f["fn"] != FN.compact_zone or f["pc"] == c.ENTRY:
                continue
            at, held = int(f["list_head"]), 0
            while at != c.NIL and held <= len(page) and page["pflags"][at] == c.PG_KERNEL:
                at, held = int(page["lru_next"][at]), held + 1
            if at != c.NIL:
                yield f"task {t} holds frame {at} for compaction, which is not its own"
            elif held != f["count"]:
                yield f"task {t} holds {held} frames for compaction, counted {int(f['count'])}"


def _differ(what: str, counted: int, found: int) -> Iterator[str]:
    if counted != found:
        yield f"{what}: counted {counted}, a recount finds {found}"


def _shadows(arrays: dict[str, Any], node: dict[str, int]) -> Iterator[str]:
    """What reclaimed pages left is no more than what was reclaimed, and none is younger than the node."""
    slot = arrays["slot"]["page"]
    shadows = -2 - slot[slot < c.NIL].astype("i8")
    reclaimed = node["pgsteal_anon"] + node["pgsteal_file"] + _being_counted(arrays)
    if len(shadows) > reclaimed:
        yield f"{len(shadows)} shadows of {reclaimed} reclaimed pages"
    if int(arrays["param"]["nr_memcgs"][0]):  # a shadow says which group's age it has, too
        shadows = shadows >> GROUP_BITS
    if int(arrays["param"]["lru_gen"][0]):  # a shadow says a generation
        return
    if node["nonresident_age"] < 1 << 29 and len(shadows) and int((shadows >> 1).max()) >= node["nonresident_age"]:
        yield "a shadow is younger than the node"


def _being_counted(arrays: dict[str, Any]) -> int:
    """Pages freed by batches that have not ended: they count at the end."""
    frame, nr = arrays["frame"], 0
    for t, depth in enumerate(arrays["task"]["depth"].tolist()):
        rows = frame[t * c.MAX_DEPTH : t * c.MAX_DEPTH + depth + 1]
        nr += int(rows["nr_reclaimed"][rows["fn"] == FN.shrink_folio_list].sum())
    return nr


def _waiting(arrays: dict[str, Any]) -> int:
    """Tasks in reclaim_throttle for writes."""
    nr, frame = 0, arrays["frame"]
    for t, depth in enumerate(arrays["task"]["depth"].tolist()):
        for f in frame[t * c.MAX_DEPTH : t * c.MAX_DEPTH + depth + 1]:
            nr += int(f["fn"] == FN.reclaim_throttle and f["pc"] == 1 and f["a"] == c.THROTTLE_WRITEBACK)
    return nr
