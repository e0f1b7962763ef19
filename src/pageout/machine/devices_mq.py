# SPDX-License-Identifier: GPL-2.0-or-later
"""What blk-mq, its throttles and its limits need of a disk: integers for its queue record."""

from __future__ import annotations

from typing import Any

from pageout.engine import constants as c
from pageout.vocabulary.later_kernels import LARGE_FOLIOS
from pageout.vocabulary.scenario import Disk, Scenario
from pageout.vocabulary.settings import choices, sysctls

PAGE = 4096
LIMITS = {"bucket": c.LIMIT_BUCKET, "slices": c.LIMIT_SLICES, "ticks": c.LIMIT_TICKS}
NO_REQUESTS = ("null", "linear", "raid0", "raid1", "raid5", "loop")
MOST_TAGS = 256  # of a scheduler: twice BLKDEV_DEFAULT_RQ
HOST_DEPTH = 32  # assumed: commands a host adapter takes at once, as SATA's; a device may take fewer
SEGMENTS = 256  # pieces of memory in a bio: BIO_MAX_VECS
BIOS_BESIDE = 65536  # bios of readers and of pages beyond the dirty limit


def targets(scenario: Scenario) -> set[str]:
    """Disks of another machine, at the far end of iSCSI sessions: their kernel is not the one that is chosen."""
    return {name for disk in scenario.machine.disks if disk.kind == "iscsi" for name in disk.members}


def is_mq(scenario: Scenario, disk: Disk) -> bool:
    """Is this disk's queue of blk-mq?"""
    chosen = choices(scenario)["block.layer"] == "mq"
    return chosen and disk.kind not in NO_REQUESTS and disk.name not in targets(scenario)


def has_scheduler(disk: Disk) -> bool:
    """Does mq-deadline sort its requests?"""
    return disk.elevator in ("deadline", "mq-deadline")


def tags_of(disk: Disk) -> int:
    """Requests that may be under way.  Source: Linux v6.1 block/blk-mq-sched.c:blk_mq_init_sched."""
    depth = max(disk.queue_depth, HOST_DEPTH)
    return disk.tags or (min(2 * depth, MOST_TAGS) if has_scheduler(disk) else depth)


def slices_of(scenario: Scenario, disk: Disk) -> bool:
    """Does blk-throttle hold bios back before this disk?"""
    limited = disk.read_bps or disk.write_bps or disk.read_iops or disk.write_iops
    return is_mq(scenario, disk) and disk.kind == "throttled" and disk.limit == "slices" and bool(limited)


def bios_held(scenario: Scenario, disk: Disk) -> int:
    """Bios that may wait in a throttle: one a page that may be dirty, or swapped out."""
    if not slices_of(scenario, disk):
        return 0
    machine, values = scenario.machine, sysctls(scenario)
    pages = machine.memory_bytes // PAGE
    if machine.swap_bytes and machine.swap_disk == disk.name:
        return pages
    ratio = max(values["vm.dirty_ratio"], 5)
    dirty = values["vm.dirty_bytes"] // PAGE or pages * ratio // 100
    return min(pages, dirty + dirty // 4 + BIOS_BESIDE)


def most_requests(scenario: Scenario, disk: Disk) -> int:
    """Requests a disk may have at once, each direction: half as many again as nr_requests, or its tags."""
    return max(3 * disk.nr_requests, tags_of(disk) + 1) if is_mq(scenario, disk) else 3 * disk.nr_requests


def _max_pages(disk: Disk, large: bool) -> int:
    own = max(1, disk.max_sectors_kb * 1024 // PAGE)
    return own if large else min(own, disk.max_segments)


def _has_large_folios(scenario: Scenario, disk: Disk) -> bool:
    """Say whether a filesystem on this disk keeps its files in folios of many pages, each one piece of memory."""
    kinds = LARGE_FOLIOS[str(choices(scenario)["write.folios"])]
    return any(fs.disk == disk.name and fs.kind in kinds for fs in scenario.machine.filesystems)


def _limit_fields(disk: Disk, hz: int) -> dict[str, int]:
    per_tick = disk.tick_bytes or disk.write_bps * disk.tick_ns // c.NS_PER_S
    ticks = disk.limit == "ticks" and per_tick > 0
    return {
        "limit": LIMITS[disk.limit] if ticks or disk.limit != "ticks" else c.LIMIT_BUCKET,
        "slice_jiffies": max(1, disk.throttle_slice_ns * hz // c.NS_PER_S),
        "tick_ns": disk.tick_ns,
        "tick_bytes": per_tick,
        "tick_left": per_tick,
        "service_page_ns": PAGE * 1000 // disk.service_mb_s if disk.service_mb_s else 0,
        "latency_ns": disk.latency_us * 1000,
    }


def _wbt_fields(disk: Disk, nr_tags: int) -> dict[str, int]:
    """What blk-wbt begins with.  Source: Linux v6.1 block/blk-wbt.c:wbt_default_latency_nsec, calc_wb_limits."""
    if not disk.wbt:
        return {}
    target = disk.wbt_lat_us * 1000 or (75_000_000 if disk.kind == "disk" else 2_000_000)
    depth = min(16, nr_tags) if nr_tags > 1 else 2
    normal, background = ((depth + 1) // 2, (depth + 3) // 4) if depth > 2 else (depth, 1)
    return {
        "wbt_target_ns": target,
        "wbt_max": depth,
        "wbt_scaled_max": int(nr_tags == 1),
        "wbt_normal": normal,
        "wbt_background": background,
        "bdp_sleep_ns": c.NIL,
        "last_read_ns": c.NIL,
        "write_cache": int(disk.write_cache),
    }


def mq_fields(scenario: Scenario, disk: Disk) -> dict[str, int]:
    """Return what a queue record has beside the fields of `queue_fields`, which some of these take the place of."""
    common = {"list_head": c.NIL, "list_tail": c.NIL, "wbt_sync": c.NIL}
    if not is_mq(scenario, disk):
        return {**common, "bio_pages": max(1, disk.max_sectors_kb * 1024 // PAGE), "bio_segs": c.MAX_BIO_PAGES}
    large = _has_large_folios(scenario, disk)
    nr = tags_of(disk)
    limits = _limit_fields(disk, scenario.machine.hz) if disk.kind == "throttled" else {}
    return {
        **common,
        **limits,
        **_wbt_fields(disk, nr),
        "mq": 1,
        "nr_requests": nr,
        "nr_tags": nr,
        "tag_batch": min(8, max(1, nr // 8)),
        "max_pages": _max_pages(disk, large),
        "bio_pages": c.MAX_BIO_PAGES,
        "bio_segs": SEGMENTS,
        "max_segs": disk.max_segments if large else c.MAX_BIO_PAGES,
    }


def boot_mq(arrays: dict[str, Any], scenario: Scenario, wait_at: int) -> None:
    """Fill what blk-mq needs once the queues are there; `wait_at` is the first of three wait queues a device."""
    for name in ("head", "tail", "ready_head", "ready_tail"):
        arrays["throtl"][name][:] = c.NIL
    for name in ("plug_head", "plug_tail"):
        arrays["task"][name][:] = c.NIL
    for q, disk in enumerate(scenario.machine.disks):
        row = arrays["queue"][q]
        for i, name in enumerate(("tag_wait", "throttle_wait", "wbt_wait")):
            row[name] = wait_at + 3 * q + i
        if row["mq"]:
            row["max_pages"] = mq_fields(scenario, disk)["max_pages"]
        else:
            row["bio_pages"] = row["max_pages"]


def mq_workers(scenario: Scenario, fn: int) -> list[tuple[int, int, str]]:
    """The threads that send on what blk-throttle lets go: queue, function, name."""
    return [(q, fn, f"kworker/0:{q + 1}") for q, disk in enumerate(scenario.machine.disks) if slices_of(scenario, disk)]
