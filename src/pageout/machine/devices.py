# SPDX-License-Identifier: GPL-2.0-or-later
"""From a scenario's disk to the fields of its request queue."""

from __future__ import annotations

from pageout.engine import constants as c
from pageout.vocabulary.scenario import Disk

PAGE = 4096
KINDS = {"disk": c.DEV_DISK, "ssd": c.DEV_SSD, "throttled": c.DEV_THROTTLED, "null": c.DEV_NULL}
DRIVERS = {"ahci": c.DRIVER_AHCI, "sata_mv": c.DRIVER_SATA_MV}
ELEVATORS = {"deadline": c.ELEVATOR_DEADLINE, "noop": c.ELEVATOR_NOOP}


def queue_fields(disk: Disk) -> dict[str, int]:
    """Return a queue record's fields, all integers: ns per block at both edges, thresholds of congestion, limits.

    Source of the thresholds: Linux v2.6.34 block/blk-core.c:blk_queue_congestion_threshold.
    """
    nr = disk.nr_requests
    on = min(nr - nr // 8 + 1, nr)
    off = max(nr - nr // 8 - nr // 16 - 1, 1)
    return {
        "kind": KINDS[disk.kind],
        "nr_requests": nr,
        "on_threshold": on,
        "off_threshold": off,
        "max_pages": max(1, disk.max_sectors_kb * 1024 // PAGE),
        "elevator": ELEVATORS[disk.elevator],
        "depth": disk.queue_depth,
        "nr_blocks": disk.size_bytes // PAGE,
        "rotation_ns": 60 * c.NS_PER_S // disk.rpm,
        "outer_ns_per_block": PAGE * 1000 // disk.outer_mb_s,
        "inner_ns_per_block": PAGE * 1000 // disk.inner_mb_s,
        "nr_channels": min(disk.channels, 64),
        "read_ns": disk.read_us * 1000,
        "write_ns": disk.write_us * 1000,
        "page_ns": PAGE * 1000 // disk.mb_s,
        "read_bps": disk.read_bps,
        "write_bps": disk.write_bps,
        "read_iops": disk.read_iops,
        "write_iops": disk.write_iops,
        "error_every": disk.write_error_every,
        "driver": DRIVERS[disk.driver],
    }
