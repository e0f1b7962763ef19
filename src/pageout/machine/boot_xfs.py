# SPDX-License-Identifier: GPL-2.0-or-later
"""The tables of an XFS filesystem: how many rows, and what is in them before it is mounted."""

from __future__ import annotations

from typing import Any

import numpy as np

from pageout.engine import constants as c
from pageout.kernel.fs import xfs_items, xfs_trees
from pageout.kernel.mm import slab

PAGE = 4096
NR_AGS = xfs_trees.NR_AGS
INODES_A_BLOCK = 16  # of 256 bytes
MOST_BLOCKS = 1 << 20  # rows at most: enough for 130 million extents
# assumed: mkfs.xfs of 2010: 1/2048 of the disk, at least 10 MiB, at most 128 MiB
LOG_SHARE, LOG_LEAST, LOG_MOST = 2048, 2560, 32768
# Log space a transaction of xfs_iomap_write_allocate reserves, twice (XFS_WRITE_LOG_COUNT): two allocations of 2 trees
# of 3 levels, a file's tree of 5 levels, headers. Source: Linux v2.6.34 fs/xfs/xfs_trans.c:xfs_calc_write_reservation
RESERVATION = 2 * (2 * 2 * PAGE * (2 * 3 - 1) + 5 * PAGE + PAGE)


def nr_slots(nr_inodes: int, file_pages: int, is_xfs: bool) -> int:
    """Rows for metadata blocks: AG headers, inodes, btree blocks of half-full leaves if no two pages were adjacent."""
    return NR_AGS + nr_inodes + min(MOST_BLOCKS, file_pages // 40 + 8 * nr_inodes + 256) if is_xfs else 1


def sizes(nr_inodes: int, slots: int) -> dict[str, int]:
    """Rows of XFS's own tables."""
    return {
        "xfs": 1,
        "xfs_ag": NR_AGS,
        "xfs_agfl": NR_AGS * xfs_trees.AGFL_SIZE,
        "xfs_block": slots,
        "xfs_tree": 2 * NR_AGS + nr_inodes,
        "iclog": xfs_items.NR_ICLOGS,
        "slab": slab.NR_CACHES,
    }


def boot_xfs(arrays: dict[str, Any], *, nr_inodes: int, slot_at: int, bdi: int, wait_at: int, daemon: int) -> None:
    """Fill in an XFS filesystem about to be mounted on `bdi`; its metadata inode is the one after the files'."""
    blocks, slots = int(arrays["fs"]["nr_blocks"][0]), len(arrays["xfs_block"])
    log_blocks = min(max(LOG_LEAST, min(LOG_MOST, blocks // LOG_SHARE)), max(64, blocks // 4))
    log_bytes = log_blocks * PAGE
    _put(arrays, "xfs", inode=nr_inodes, nr_ags=NR_AGS, ag_blocks=max(1, blocks // NR_AGS), lock_owner=c.NIL,
         log_start=blocks // 2, log_blocks=log_blocks, log_bytes=log_bytes,
         reserve_bytes=min(RESERVATION, log_bytes // 4), ail_head=c.NIL, ail_tail=c.NIL, daemon=daemon, wait=wait_at,
         free_slot=c.NIL, next_slot=NR_AGS + nr_inodes, nr_slots=slots,
         tracked=int(arrays["fs"]["delalloc"][0]))  # fmt: skip
    arrays["xfs_ag"]["slot"][:] = np.arange(NR_AGS)
    for field in ("tree", "next", "prev", "ail_next", "ail_prev", "trans_next"):
        arrays["xfs_block"][field][: NR_AGS + nr_inodes] = c.NIL
    first = NR_AGS + nr_inodes
    arrays["xfs_block"]["is_item"][NR_AGS:first] = 1
    arrays["xfs_tree"]["head"][:] = c.NIL
    arrays["xfs_tree"]["root"][:] = c.NIL
    arrays["xfs_tree"]["inode"][2 * NR_AGS :] = np.arange(nr_inodes)
    for ag in range(NR_AGS):
        for offset, kind in ((0, xfs_trees.BNOBT), (1, xfs_trees.CNTBT)):
            tree = 2 * ag + offset
            arrays["xfs_tree"]["kind"][tree] = kind
            arrays["xfs_tree"]["ag"][tree] = ag
            arrays["xfs_tree"]["capacity"][tree] = xfs_trees.ALLOC_RECORDS
    arrays["slot"]["block"][slot_at : slot_at + NR_AGS] = np.arange(NR_AGS) * (blocks // NR_AGS)
    inode_block = blocks // NR_AGS + 8 + np.arange(nr_inodes) // INODES_A_BLOCK
    arrays["slot"]["block"][slot_at + NR_AGS : slot_at + first] = np.minimum(inode_block, max(0, blocks - 1))
    for name, value in (
        ("slot_start", slot_at), ("nr_slots", slots), ("size_pages", slots), ("kind", c.INODE_META), ("bdi", bdi),
        ("list_next", c.NIL), ("list_prev", c.NIL), ("last_block", -1),
    ):  # fmt: skip
        arrays["inode"][name][nr_inodes] = value


def boot_slab(arrays: dict[str, Any]) -> None:
    """Empty caches."""
    arrays["slab"]["head"][:] = c.NIL
    arrays["slab"]["per_slab"][:] = [PAGE // size for size in slab.OBJECT_BYTES]
    arrays["task"]["xt_head"][:] = c.NIL


def _put(arrays: dict[str, Any], table: str, **values: int) -> None:
    for name, value in values.items():
        arrays[table][name][0] = value
