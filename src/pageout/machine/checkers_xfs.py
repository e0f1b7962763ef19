# SPDX-License-Identifier: GPL-2.0-or-later
"""XFS recounted: extents from the files' slots, free runs from the bitmap, buffers, the AIL, the log, the slabs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from pageout.engine import constants as c

NR_AGS, AGFL_SIZE, NR_ICLOGS = 4, 128, 8


def _differ(what: str, counted: int, found: int) -> Iterator[str]:
    if counted != found:
        yield f"{what}: counted {counted}, a recount finds {found}"


def check_xfs(arrays: dict[str, Any]) -> Iterator[str]:
    """Complaints about the XFS tables, those of each filesystem in turn."""
    yield from _slabs(arrays)
    for x in range(int(arrays["param"]["nr_xfs"][0])):
        yield from _log_and_ail(arrays, x)
        yield from _holds(arrays, x)
        if under_way(arrays, x):
            continue
        yield from _trees(arrays, x)
        yield from _extents(arrays, x)
        yield from _free_space(arrays, x)


def under_way(arrays: dict[str, Any], x: int) -> bool:
    """True while a transaction changes a filesystem: blocks are taken before the trees are told."""
    tree = arrays["xfs_tree"]
    locked = arrays["xfs_ag"]["lock_owner"][x * NR_AGS : (x + 1) * NR_AGS] != c.NIL
    return bool(locked.any() or tree["locked"][tree["fs"] == x].any())


def own_blocks(arrays: dict[str, Any], x: int) -> Any:
    """Blocks that a filesystem keeps for its trees and for its free lists, counted from its first."""
    row, block = arrays["xfs"][x], arrays["xfs_block"]
    used = block[_first_tree_block(arrays, x) : int(row["next_slot"])]
    lists = [_free_list(arrays, ag) for ag in range(x * NR_AGS, (x + 1) * NR_AGS)]
    return np.concatenate([used["block"][used["tree"] != c.NIL], *lists])


def _first_tree_block(arrays: dict[str, Any], x: int) -> int:
    return int(arrays["xfs"]["inode_rows"][x]) + int(arrays["param"]["nr_inodes"][0])


def _free_list(arrays: dict[str, Any], ag: int) -> Any:
    row = arrays["xfs_ag"][ag]
    at = (int(row["fl_first"]) + np.arange(int(row["fl_count"]))) % AGFL_SIZE
    return arrays["xfs_agfl"]["block"][ag * AGFL_SIZE + at]


def _slabs(arrays: dict[str, Any]) -> Iterator[str]:
    for i, cache in enumerate(arrays["slab"]):
        yield from _differ(
            f"slab {i} objects", int(cache["nr_free"] + cache["nr_used"]), int(cache["nr_pages"] * cache["per_slab"])
        )
        pages, page = 0, int(cache["head"])
        while page != c.NIL and pages <= cache["nr_pages"]:
            pages += 1
            if not arrays["page"]["pflags"][page] & c.PG_KERNEL:
                yield f"slab {i} has page {page}, which the kernel does not hold"
            page = int(arrays["page"]["lru_next"][page])
        yield from _differ(f"slab {i} pages", int(cache["nr_pages"]), pages)


def _trees(arrays: dict[str, Any], x: int) -> Iterator[str]:
    """Leaves are linked both ways and hold what their tree holds."""
    all_trees = arrays["xfs_tree"]
    for i in np.flatnonzero((all_trees["fs"] == x) & (all_trees["head"] != c.NIL)).tolist():
        tree = all_trees[i]
        leaves, records, leaf, before = 0, 0, int(tree["head"]), c.NIL
        while leaf != c.NIL and leaves <= tree["nr_leaves"]:
            block = arrays["xfs_block"][leaf]
            if block["prev"] != before or block["tree"] != i or block["nr"] < 0:
                yield f"xfs tree {i} leaf {leaf} is not linked back, or of another tree, or holds less than nothing"
            leaves, records, before, leaf = leaves + 1, records + int(block["nr"]), leaf, int(block["next"])
        yield from _differ(f"xfs tree {i} leaves", int(tree["nr_leaves"]), leaves)
        yield from _differ(f"xfs tree {i} records", int(tree["nr"]), records)


def _extents(arrays: dict[str, Any], x: int) -> Iterator[str]:
    """A file has as many records as its slots have runs of adjacent blocks."""
    inode, trees = arrays["inode"], int(arrays["xfs"]["inode_trees"][x])
    own = inode["fs"][: int(arrays["param"]["nr_inodes"][0])] == arrays["xfs"]["fs"][x]
    for i in np.flatnonzero(own).tolist():
        start, nr = int(arrays["inode"]["slot_start"][i]), int(arrays["inode"]["nr_slots"][i])
        block = arrays["slot"]["block"][start : start + nr].astype(np.int64)
        goes_on = np.zeros(nr, dtype=bool)
        goes_on[1:] = (block[:-1] != c.NIL) & (block[1:] == block[:-1] + 1)
        found = int(((block != c.NIL) & ~goes_on).sum())
        yield from _differ(f"inode {i} extents", int(arrays["xfs_tree"]["nr"][trees + i]), found)


RECOUNTED_BLOCKS = 1 << 26  # a larger disk's bitmap is not gone through: 256 GiB


def _free_space(arrays: dict[str, Any], x: int) -> Iterator[str]:
    """Both trees of an allocation group have a record for each run of free blocks in it."""
    fs = arrays["fs"][int(arrays["xfs"]["fs"][x])]
    nr = int(fs["nr_blocks"])
    if nr > RECOUNTED_BLOCKS:
        return
    words = arrays["bits"][int(fs["bitmap"]) : int(fs["bitmap"]) + nr // 32 + 1]
    busy = np.flatnonzero(words)
    word, bit = np.nonzero(np.unpackbits(words[busy].view(np.uint8), bitorder="little").reshape(len(busy), 32))
    used = busy[word].astype(np.int64) * 32 + bit
    used = used[used < nr]
    yield from _differ("free blocks", int(fs["free_blocks"]), nr - len(used))
    ag_blocks = int(arrays["xfs"]["ag_blocks"][x])
    for ag in range(NR_AGS):
        start, end = ag * ag_blocks, nr if ag == NR_AGS - 1 else (ag + 1) * ag_blocks
        edges = np.concatenate(([start - 1], used[(used >= start) & (used < end)], [end]))
        runs = int((np.diff(edges) > 1).sum())
        for kind in range(2):
            yield from _differ(
                f"xfs {x} AG {ag} free extents", int(arrays["xfs_tree"]["nr"][2 * (x * NR_AGS + ag) + kind]), runs
            )
        listed = _free_list(arrays, x * NR_AGS + ag)
        if len(np.unique(listed)) != len(listed) or not np.isin(listed, used).all():
            yield f"AG {ag}: its free list names a block twice, or one that is free"


def _log_and_ail(arrays: dict[str, Any], x: int) -> Iterator[str]:
    """The AIL is in order of the log and of its length; the log holds no more than it can."""
    xfs, block = arrays["xfs"][x], arrays["xfs_block"]
    entries, slot, before, lsn = 0, int(xfs["ail_head"]), c.NIL, 0
    while slot != c.NIL and entries <= xfs["nr_ail"]:
        row = block[slot]
        if row["ail_prev"] != before or row["lsn"] < lsn or row["state"] == 0:
            yield f"xfs AIL: entry {slot} is not linked back, out of order, or clean"
        entries, before, lsn, slot = entries + 1, slot, int(row["lsn"]), int(row["ail_next"])
    yield from _differ("xfs AIL entries", int(xfs["nr_ail"]), entries)
    yield from _differ("xfs logged buffers", int((_rows(arrays, x)["state"] != 0).sum()), entries)
    tail = int(block["lsn"][xfs["ail_head"]]) if entries else int(xfs["head"])
    if xfs["head"] - tail > xfs["log_bytes"]:
        yield f"the log is overrun: {int(xfs['head']) - tail} bytes in {int(xfs['log_bytes'])}"
    yield from _differ("xfs log space", int(xfs["reserved"]), int(xfs["nr_trans_open"] * xfs["reserve_bytes"]))
    if xfs["synced"] > xfs["head"]:
        yield "more of the log is on disk than was ever written"


def _rows(arrays: dict[str, Any], x: int) -> Any:
    return arrays["xfs_block"][int(arrays["xfs"]["first_row"][x]) : int(arrays["xfs"]["next_slot"][x])]


def _holds(arrays: dict[str, Any], x: int) -> Iterator[str]:
    """A buffer is held by the AIL, by a transaction, or by both; a held one keeps its page."""
    block = _rows(arrays, x)
    held = (block["state"] != 0).astype(int) + (block["in_trans"] != 0)
    wrong = np.flatnonzero(block["held"] != held)
    if len(wrong):
        yield f"xfs block {int(wrong[0])} is held {int(block['held'][wrong[0]])} times, should be {int(held[wrong[0]])}"
    start = int(arrays["inode"]["slot_start"][arrays["xfs"]["inode"][x]])
    kept = np.flatnonzero((held > 0) & (block["is_item"] == 0))
    pages = arrays["slot"]["page"][start + kept]
    if (pages < 0).any() or (arrays["page"]["refs"][pages] < 1).any():
        yield "an XFS buffer is held without its page"
