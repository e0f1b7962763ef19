# SPDX-License-Identifier: GPL-2.0-or-later
"""The tables of XFS filesystems: how many rows, and what is in them before they are mounted.

Each filesystem that allocates in transactions has its part of the tables xfs_ag, xfs_agfl, xfs_block and iclog, in the
order of the table xfs. The trees of all allocation groups come first, then one tree for each inode of the machine.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pageout.engine import constants as c
from pageout.kernel.fs import xfs_items, xfs_trees
from pageout.kernel.mm import slab
from pageout.machine.filesystems import Mounts

PAGE = 4096
NR_AGS = xfs_trees.NR_AGS
NR_WAITS = xfs_items.NR_WAITS
INODES_A_BLOCK = 16  # of 256 bytes
# assumed: mkfs.xfs of 2010: 1/2048 of the disk, at least 10 MiB, at most 128 MiB
LOG_SHARE, LOG_LEAST, LOG_MOST = 2048, 2560, 32768
# Log space a transaction of xfs_iomap_write_allocate reserves, twice (XFS_WRITE_LOG_COUNT): two allocations of 2 trees
# of 3 levels, a file's tree of 5 levels, headers. Source: Linux v2.6.34 fs/xfs/xfs_trans.c:xfs_calc_write_reservation
RESERVATION = 2 * (2 * 2 * PAGE * (2 * 3 - 1) + 5 * PAGE + PAGE)


def sizes(mounts: Mounts) -> dict[str, int]:
    """Rows of XFS's own tables."""
    nr, rows = len(mounts.allocating), [mounts.inodes[mounts.meta[number]].nr_slots for number in mounts.allocating]
    return {
        "xfs": max(1, nr),
        "xfs_ag": max(1, nr * NR_AGS),
        "xfs_agfl": max(1, nr * NR_AGS * xfs_trees.AGFL_SIZE),
        "xfs_block": max(1, sum(rows)),
        "xfs_tree": nr * 2 * NR_AGS + len(mounts.inodes),
        "iclog": max(1, nr * xfs_items.NR_ICLOGS),
        "slab": slab.NR_CACHES,
    }


def boot_xfs(arrays: dict[str, Any], mounts: Mounts, wait_at: int, first_daemon: int) -> None:
    """Fill in every XFS filesystem, about to be mounted; `wait_at` is the first of NR_WAITS wait queues for each."""
    arrays["slab"]["head"][:] = c.NIL
    arrays["slab"]["per_slab"][:] = [PAGE // size for size in slab.OBJECT_BYTES]
    arrays["task"]["xt_head"][:] = c.NIL
    arrays["task"]["xt_ag"][:] = c.NIL
    arrays["xfs_ag"]["lock_owner"][:] = c.NIL
    arrays["param"]["nr_xfs"][0] = len(mounts.allocating)
    for name in ("head", "root", "hint", "top_hint"):
        arrays["xfs_tree"][name][:] = c.NIL
    row = 0
    for x, number in enumerate(mounts.allocating):
        _boot_one(arrays, x, mounts, number, row)
        arrays["xfs"]["wait"][x] = wait_at + NR_WAITS * x
        arrays["xfs"]["daemon"][x] = first_daemon + x
        row = int(arrays["xfs"]["nr_slots"][x])


def _boot_one(arrays: dict[str, Any], x: int, mounts: Mounts, number: int, row: int) -> None:
    """One filesystem, its rows of xfs_block from `row` on."""
    inode, blocks = mounts.meta[number], mounts.places[number].nr_blocks
    nr_inodes, ag_blocks = len(mounts.inodes), max(1, blocks // NR_AGS)
    inode_rows = row + NR_AGS
    first, inode_trees = inode_rows + nr_inodes, 2 * NR_AGS * len(mounts.allocating)
    log_blocks = min(max(LOG_LEAST, min(LOG_MOST, blocks // LOG_SHARE)), max(64, blocks // 4))
    log_bytes = log_blocks * PAGE
    for name, value in {
        "fs": number, "inode": inode, "nr_ags": NR_AGS, "ag_blocks": ag_blocks,
        "first_row": row, "inode_rows": inode_rows, "inode_trees": inode_trees,
        "slots": int(arrays["inode"]["slot_start"][inode]) - row, "bitmap": int(arrays["fs"]["bitmap"][number]),
        "log_start": blocks // 2, "log_blocks": log_blocks, "log_bytes": log_bytes,
        "reserve_bytes": min(RESERVATION, log_bytes // 4), "ail_head": c.NIL, "ail_tail": c.NIL,
        "free_slot": c.NIL, "next_slot": first, "nr_slots": row + mounts.inodes[inode].nr_slots,
    }.items():  # fmt: skip
        arrays["xfs"][name][x] = value
    block = arrays["xfs_block"]
    for field in ("tree", "next", "prev", "ail_next", "ail_prev", "trans_next"):
        block[field][row:first] = c.NIL
    block["is_item"][inode_rows:first] = 1
    block["block"][row:inode_rows] = np.arange(NR_AGS) * ag_blocks
    inode_block = blocks // NR_AGS + 8 + np.arange(nr_inodes) // INODES_A_BLOCK
    block["block"][inode_rows:first] = np.minimum(inode_block, max(0, blocks - 1))
    arrays["xfs_ag"]["slot"][x * NR_AGS : (x + 1) * NR_AGS] = row + np.arange(NR_AGS)
    tree = arrays["xfs_tree"]
    for ag in range(x * NR_AGS, (x + 1) * NR_AGS):
        tree["kind"][2 * ag : 2 * ag + 2] = (xfs_trees.BNOBT, xfs_trees.CNTBT)
        tree["ag"][2 * ag : 2 * ag + 2] = ag
        tree["fs"][2 * ag : 2 * ag + 2] = x
        tree["capacity"][2 * ag : 2 * ag + 2] = xfs_trees.ALLOC_RECORDS
    own = np.flatnonzero(arrays["inode"]["fs"][:nr_inodes] == number)
    tree["inode"][inode_trees + own] = own
    tree["fs"][inode_trees + own] = x
