# SPDX-License-Identifier: GPL-2.0-or-later
"""Which tracepoints a set holds. A row is `system:name`; `a|b` are names of one event, the newest first; `*` is all.

`light` has what decides: throttling, flushers, begin and end of reclaim, requests. Nothing in it fires for each page,
and below freerun it still says who dirties: each look of a writer at the limits is one global_dirty_state, made after
1 << (ilog2(thresh - dirty) / 2) pages dirtied (Linux v6.1 mm/page-writeback.c:dirty_poll_interval).
`full` adds what fires for each page, each scan, each allocation of a request.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

_LIGHT = """
writeback:balance_dirty_pages
writeback:bdi_dirty_ratelimit
writeback:global_dirty_state
writeback:writeback_start
writeback:writeback_written
writeback:writeback_wake_background
writeback:writeback_queue
writeback:writeback_exec
writeback:writeback_pages_written
writeback:writeback_queue_io
writeback:writeback_single_inode
writeback:writeback_congestion_wait
writeback:writeback_wait_iff_congested
vmscan:mm_vmscan_kswapd_wake
vmscan:mm_vmscan_kswapd_sleep
vmscan:mm_vmscan_direct_reclaim_begin
vmscan:mm_vmscan_direct_reclaim_end
vmscan:mm_vmscan_memcg_reclaim_begin
vmscan:mm_vmscan_memcg_reclaim_end
vmscan:mm_vmscan_throttled
oom:mark_victim
compaction:mm_compaction_begin
compaction:mm_compaction_end
jbd2:jbd2_run_stats
block:block_rq_issue
block:block_rq_complete
"""

_PER_PAGE = """
writeback:writeback_dirty_folio|writeback_dirty_page
writeback:wbc_writepage
writeback:writeback_write_inode
writeback:writeback_single_inode_start
writeback:writeback_dirty_inode
filemap:mm_filemap_add_to_page_cache
filemap:mm_filemap_delete_from_page_cache
vmscan:*
oom:*
compaction:*
jbd2:jbd2_start_commit
jbd2:jbd2_end_commit
jbd2:jbd2_checkpoint_stats
jbd2:jbd2_handle_stats
ext4:ext4_writepages|ext4_da_writepages
ext4:ext4_writepages_result|ext4_da_writepages_result
ext4:ext4_da_write_pages
ext4:ext4_sync_file_enter
ext4:ext4_sync_file_exit
block:block_bio_queue
block:block_bio_backmerge
block:block_bio_frontmerge
block:block_getrq
block:block_rq_insert
block:block_rq_merge
block:block_rq_requeue
wbt:*
"""

SETS = {"light": tuple(_LIGHT.split()), "full": tuple((_LIGHT + _PER_PAGE).split())}

# Of kernels that are long gone, or of parts a kernel may be built without: their absence loses nothing.
NOT_MISSED = {
    "writeback:writeback_congestion_wait", "writeback:writeback_wait_iff_congested",
    "vmscan:mm_vmscan_memcg_reclaim_begin", "vmscan:mm_vmscan_memcg_reclaim_end", "jbd2:jbd2_run_stats", "wbt:*",
    *(row for row in _PER_PAGE.split() if row.startswith(("jbd2:", "ext4:"))),
}  # fmt: skip

# What the sets are expected to give on a busy CPU, and how long the reader may be kept from reading, for the buffers.
BYTES_A_SECOND = {"light": 1_400_000, "full": 12_000_000}  # 20,000 events/s of 70 bytes; 200,000 of 60
STALL_S = 3


class Chosen(NamedTuple):
    """The events of a set on one kernel, as `system/name`, and the rows it has no event for."""

    events: tuple[str, ...]
    missing: tuple[str, ...]  # that a reader would miss


def choose(rows: Collection[str], folder: Path) -> Chosen:
    """Return what a kernel has of these rows.  folder: tracefs' events."""
    events: dict[str, None] = {}
    missing = []
    for row in rows:
        system, _, names = row.partition(":")
        if names == "*":
            found = sorted(path.parent.name for path in (folder / system).glob("*/enable"))
        else:
            found = [name for name in names.split("|") if (folder / system / name / "enable").exists()][:1]
        events |= dict.fromkeys(f"{system}/{name}" for name in found)
        if not found and row not in NOT_MISSED:
            missing.append(row)
    return Chosen(tuple(events), tuple(missing))
