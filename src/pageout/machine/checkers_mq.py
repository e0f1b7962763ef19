# SPDX-License-Identifier: GPL-2.0-or-later
"""Invariants of blk-mq: every tag is a request in one place, every throttled bio in one list, nothing is forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from pageout.engine import constants as c
from pageout.kernel.frames import FN


def _chain(table: Any, head: int, most: int) -> list[int]:
    """The rows of a list, first to last; one too many if it does not end."""
    found: list[int] = []
    while head != c.NIL and len(found) <= most:
        found.append(head)
        head = int(table["next"][head])
    return found


def _plugged(arrays: dict[str, Any]) -> Iterator[tuple[int, list[int]]]:
    for t in np.flatnonzero(arrays["task"]["plug_nr"]):
        nr = int(arrays["task"]["plug_nr"][t])
        yield int(t), _chain(arrays["request"], int(arrays["task"]["plug_head"][t]), nr)


def check_plugs(arrays: dict[str, Any]) -> Iterator[str]:
    """A plug holds as many requests as it counts, and a task that sleeps has an empty one."""
    for t, requests in _plugged(arrays):
        nr = int(arrays["task"]["plug_nr"][t])
        if len(requests) != nr:
            yield f"task {t}: its plug counts {nr} requests, a recount finds {len(requests)}"
        if arrays["task"]["state"][t] == c.T_SLEEPING:
            yield f"task {t} sleeps with {nr} requests in its plug"


def _woken_for_a_tag(arrays: dict[str, Any], queue: int) -> bool:
    """Say whether a task that waited for a tag of this queue has been woken and has yet to run."""
    task = arrays["task"]
    for t in np.flatnonzero((task["state"] == c.T_RUNNABLE) & (task["depth"] > 0)):
        frame = arrays["frame"][int(t) * c.MAX_DEPTH + int(task["depth"][t])]
        if frame["fn"] == FN.blk_mq_get_tag and frame["a"] == queue:
            return True
    return False


def check_tags(arrays: dict[str, Any]) -> Iterator[str]:
    """A tag in use is a request at the device, in a plug, sorted, or in line; and each is in one place."""
    request = arrays["request"]
    used = request["used"] == 1
    plugged = [int(request["queue"][r]) for _, found in _plugged(arrays) for r in found]
    for q in np.flatnonzero(arrays["queue"]["mq"]):
        row = arrays["queue"][q]
        own = used & (request["queue"] == q)
        tags, nr_list = int(row["tags_used"]), int(row["nr_list"])
        if tags != int(own.sum()) or tags > int(row["nr_tags"]):
            yield f"queue {q}: {tags} tags in use of {int(row['nr_tags'])}, a recount finds {int(own.sum())} requests"
        if int(row["count_write"]) != int((own & (request["is_write"] == 1)).sum()):
            yield f"queue {q}: counts {int(row['count_write'])} writes, a recount finds others"
        if int(row["count_write"]) + int(row["count_read"]) != tags:
            yield f"queue {q}: reads and writes do not add up to {tags} tags"
        placed = int(row["in_flight"] + row["nr_sort_read"] + row["nr_sort_write"]) + nr_list + plugged.count(int(q))
        if placed != tags:
            yield f"queue {q}: {tags} tags in use, {placed} requests plugged, queued or at the device"
        if len(_chain(request, int(row["list_head"]), nr_list)) != nr_list:
            yield f"queue {q}: its line counts {nr_list} requests, a recount finds others"
        if arrays["wait"]["head"][row["tag_wait"]] != c.NIL and not tags and not _woken_for_a_tag(arrays, int(q)):
            yield f"queue {q}: a task waits for a tag, and none is in use"
        counted = int((own & (request["tracked"] == 1)).sum()) + int(
            ((arrays["bio"]["used"] == 1) & (arrays["bio"]["queue"] == q) & (arrays["bio"]["tracked"] == 1)).sum()
        )
        if row["wbt_target_ns"] and not int((own & (request["tracked"] == 1)).sum()) <= row["wbt_inflight"] <= counted:
            yield f"queue {q}: wbt counts {int(row['wbt_inflight'])} writes, a recount finds others"
        if row["stopped"] and not (row["tick_armed"] and nr_list):
            yield f"queue {q} is stopped and no tick is to come, or nothing waits for it"


def check_throttles(arrays: dict[str, Any]) -> Iterator[str]:
    """Bios in a throttle are as many as it counts; its timer is set while any waits, its thread up while any may go."""
    bio, heap = arrays["bio"], arrays["heap"][: int(arrays["stat"]["heap_nr"][0])]
    held: list[int] = []
    for g, row in enumerate(arrays["throtl"][: 2 * int(arrays["param"]["nr_queues"][0])]):
        queue = arrays["queue"][g // 2]
        for head, count in (("head", "nr"), ("ready_head", "nr_ready")):
            nr = int(row[count])
            found = _chain(bio, int(row[head]), nr) if nr else []
            held += found
            if len(found) != nr:
                yield f"throttle {g}: counts {nr} bios ({count}), a recount finds {len(found)}"
        timer = (heap["kind"] == c.EV_THROTTLE) & (heap["arg"] == g // 2) & (heap["gen"] == queue["throttle_gen"])
        if row["nr"] and not timer.any():
            yield f"throttle {g}: {int(row['nr'])} bios wait and no timer is set"
        if row["nr_ready"] and arrays["wait"]["head"][queue["throttle_wait"]] != c.NIL:
            yield f"throttle {g}: its thread sleeps over {int(row['nr_ready'])} bios that may go"
    if len(set(held)) != len(held) or (bio["used"][held] != 1).any():
        yield "a bio is in two throttles, or in one and free"


def check_mq(arrays: dict[str, Any]) -> Iterator[str]:
    """All of them, where blk-mq is the layer."""
    if arrays["param"]["block_layer"][0] != c.LAYER_MQ:
        return
    yield from check_plugs(arrays)
    yield from check_tags(arrays)
    yield from check_throttles(arrays)
