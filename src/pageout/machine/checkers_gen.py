# SPDX-License-Identifier: GPL-2.0-or-later
"""Invariants of the multi-generation LRU (lru=gen): generations in order, labels and lists recounted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from pageout.engine import constants as c
from pageout.kernel.mm.lru_gen import LABEL_MASK, LIST_SHIFT

ANON, FILE = 0, 1
WALKED = 5000  # pages of a list that are walked one by one; longer ones are only checked as neighbours


def is_gen(arrays: dict[str, Any]) -> bool:
    """Are the lists those of generations?"""
    return bool(arrays["param"]["lru_gen"][0])


def check_gen(arrays: dict[str, Any], seen: Any) -> Iterator[str]:
    """Two to four generations of each type; each page counts for one of them and is on one list, counted rightly."""
    if not is_gen(arrays):
        if arrays["page"]["gen"].any() or arrays["gen_tier"]["evicted"].any():
            yield "a page is of a generation under another LRU"
        return
    for memcg, row in enumerate(arrays["gen"]):
        youngest, oldest = int(row["max_seq"]), (int(row["min_anon"]), int(row["min_file"]))
        nr = (youngest - oldest[ANON] + 1, youngest - oldest[FILE] + 1)
        if not c.MIN_NR_GENS <= nr[FILE] <= nr[ANON] <= c.MAX_NR_GENS or min(oldest) < 0:
            yield f"group {memcg} has generations {oldest} to {youngest}"
        yield from _group(arrays, seen, memcg, youngest, oldest)
    if any((arrays["gen_tier"][name] < 0).any() for name in arrays["gen_tier"].dtype.names):
        yield "a tier has counted below nought"
    for what in ("pgsteal", "workingset_refault"):
        if int(arrays["node"][f"{what}_anon"][0] + arrays["node"][f"{what}_file"][0]) < 0:
            yield f"{what} is negative"


def _group(arrays: dict[str, Any], seen: Any, memcg: int, youngest: int, oldest: tuple[int, int]) -> Iterator[str]:
    """Each generation of a group: what counts for it, what is on its lists; and so what is active."""
    gen = arrays["page"]["gen"][seen.page].astype(np.int64)
    label, place = (gen & LABEL_MASK) - 1, gen >> LIST_SHIFT & 3
    listed = seen.has(c.PG_LRU) & (arrays["page"]["memcg"][seen.page] == memcg)
    nr_zones, sums = len(arrays["zone"]), [0, 0, 0, 0]
    if (label[~seen.has(c.PG_LRU)] >= 0).any() or (label[listed] < 0).any():
        yield f"group {memcg}: a page counts for a generation and is on no list, or the other way round"
    if (seen.has(c.PG_ACTIVE) & listed).any():
        yield f"group {memcg}: a page on a list is marked active"
    for kind, of_kind in ((ANON, ~seen.is_file), (FILE, seen.is_file)):
        there = {seq % c.MAX_NR_GENS for seq in range(oldest[kind], youngest + 1)}
        if set(label[listed & of_kind].tolist()) - there:
            yield f"group {memcg}: a page of type {kind} counts for a generation that is gone"
        for g in range(c.MAX_NR_GENS):
            for z in range(nr_zones):
                mine = listed & of_kind & (seen.zone == z)
                queue = arrays["gen_list"][((memcg * c.MAX_NR_GENS + g) * 2 + kind) * nr_zones + z]
                name = f"group {memcg} generation {g} type {kind} zone {z}"
                yield from _differ(f"{name} counts", int(queue["nr"]), int((mine & (label == g)).sum()))
                yield from _sound(arrays, name, queue, seen.page[mine & (place == g)])
            is_active = g in {youngest % c.MAX_NR_GENS, (youngest - 1) % c.MAX_NR_GENS}
            sums[kind * 2 + is_active] += int((listed & of_kind & (label == g)).sum())
    for lru, found in enumerate(sums):
        yield from _differ(f"group {memcg} list {lru}", int(arrays["lru"]["nr"][memcg * c.NR_LRU + lru]), found)


def _sound(arrays: dict[str, Any], name: str, queue: Any, members: Any) -> Iterator[str]:
    """The members name each other as neighbours both ways, from the list's head to its tail."""
    if len(members) == 0:
        if int(queue["head"]) != c.NIL or int(queue["tail"]) != c.NIL:
            yield f"{name}: an empty list has an end"
        return
    following, before = arrays["page"]["lru_next"][members], arrays["page"]["lru_prev"][members]
    inner = following != c.NIL
    mutual = (arrays["page"]["lru_prev"][following[inner]] == members[inner]).all()
    ends = (members[~inner].tolist(), members[before == c.NIL].tolist())
    if not mutual or ends != ([int(queue["tail"])], [int(queue["head"])]):
        yield f"{name} is not one list of its pages"
    elif len(members) <= WALKED:
        pages, page = 1, int(queue["head"])
        while pages <= len(members) and (page := int(arrays["page"]["lru_next"][page])) != c.NIL:
            pages += 1
        yield from _differ(f"{name} length", len(members), pages)


def _differ(what: str, counted: int, found: int) -> Iterator[str]:
    if counted != found:
        yield f"{what}: counted {counted}, a recount finds {found}"
