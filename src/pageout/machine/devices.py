# SPDX-License-Identifier: GPL-2.0-or-later
"""From a scenario's disks to request queues, and to the tables of devices stacked on others."""

from __future__ import annotations

from typing import Any, NamedTuple

from pageout.engine import constants as c
from pageout.kernel.drivers import stripes
from pageout.kernel.frames import FN
from pageout.machine import devices_mq
from pageout.vocabulary.scenario import Disk, Scenario
from pageout.vocabulary.storage import members_of

PAGE = 4096
KINDS = {
    "disk": c.DEV_DISK,
    "ssd": c.DEV_SSD,
    "throttled": c.DEV_THROTTLED,
    "null": c.DEV_NULL,
    "iscsi": c.DEV_ISCSI,
    "linear": c.DEV_LINEAR,
    "raid0": c.DEV_RAID0,
    "raid1": c.DEV_RAID1,
    "raid5": c.DEV_RAID5,
    "loop": c.DEV_LOOP,
}
WORKERS = {"raid5": "raid5d", "iscsi": "iscsi_xmitworker", "loop": "loop_thread"}  # kinds with a thread of their own
LOOP_PAGES = 31  # Linux v2.6.34 block/blk-settings.c:blk_queue_make_request, BLK_SAFE_MAX_SECTORS
DRIVERS = {"ahci": c.DRIVER_AHCI, "sata_mv": c.DRIVER_SATA_MV}
ELEVATORS = {
    "deadline": c.ELEVATOR_DEADLINE,
    "mq-deadline": c.ELEVATOR_DEADLINE,
    "noop": c.ELEVATOR_NOOP,
    "none": c.ELEVATOR_NOOP,
}
NO_ELEVATOR = ("linear", "raid0", "raid1", "raid5", "loop")  # kinds without requests of their own


def share_fields(disk: Disk) -> dict[str, int]:
    """Return a device record's part of the dirty limit, as /sys/class/bdi has it."""
    return {"min_ratio": disk.min_ratio, "max_ratio": disk.max_ratio, "strict_limit": int(disk.strict_limit)}


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
        "ra_pages": disk.read_ahead_kb // 4,
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
        "bucket_shared": int(disk.shared_limit),
        "read_iops": disk.read_iops,
        "write_iops": disk.write_iops,
        "error_every": disk.write_error_every,
        "chunk_pages": disk.chunk_bytes // PAGE,
        "half_rtt_ns": disk.rtt_us * 1000 // 2,
        "socket_bytes": disk.socket_buffer_bytes,
        "driver": DRIVERS[disk.driver],
    }


class Worker(NamedTuple):
    """A kernel thread of a device."""

    queue: int
    fn: int
    comm: str


class Stacks:
    """What stands on what, by queue number; sizes of the tables for it, and how to fill them.

    The scenario's disks must have their sizes filled in (`storage.sized_scenario`).
    """

    def __init__(self, scenario: Scenario) -> None:
        self.disks = scenario.machine.disks
        self._scenario = scenario
        self._by_name = {disk.name: disk for disk in self.disks}
        self._number = {disk.name: q for q, disk in enumerate(self.disks)}
        self._files = {file.name: number for number, file in enumerate(scenario.files)}
        self._memory_pages = scenario.machine.memory_bytes // PAGE
        self.workers = [
            Worker(q, getattr(FN, WORKERS[disk.kind]), _comm(disk))
            for q, disk in enumerate(self.disks)
            if disk.kind in WORKERS
        ]
        self.workers += [Worker(*worker) for worker in devices_mq.mq_workers(scenario, FN.kthrotld)]
        held = sum(devices_mq.bios_held(scenario, disk) for disk in self.disks)
        ahead = len(scenario.tasks) * max(disk.read_ahead_kb // 4 for disk in self.disks)  # windows being filled
        self.nr_bios = sum(self._bios(disk) for disk in self.disks) + 16384 + held + ahead
        self._raid5 = [(q, len(disk.members)) for q, disk in enumerate(self.disks) if disk.kind == "raid5"]
        self._iscsi = [(q, disk) for q, disk in enumerate(self.disks) if disk.kind == "iscsi"]

    def _bios(self, disk: Disk) -> int:
        """Bios that may be under way at a device: as many as its requests, or its members', or memory, can hold."""
        if disk.kind == "loop":
            return self._memory_pages
        if disk.kind in NO_ELEVATOR:
            own = stripes.NR_STRIPES * len(disk.members) if disk.kind == "raid5" else 0
            return own + sum(self._bios(member) for member in members_of(disk, self._by_name))
        return devices_mq.most_requests(self._scenario, disk) * max(1, disk.max_sectors_kb // 4)

    def sizes(self) -> dict[str, int]:
        """Rows of the tables of stacked devices."""
        return {
            "member": sum(len(disk.members) for disk in self.disks),
            "leaf_queue": sum(len(self._leaves(disk)) for disk in self.disks),
            "stripe": stripes.NR_STRIPES * len(self._raid5),
            "stripe_page": stripes.NR_STRIPES * sum(members for _, members in self._raid5),
            "stripe_list": stripes.NR_STRIPE_LISTS * len(self._raid5),
            "stripe_hash": stripes.NR_STRIPES * len(self._raid5),
            "segment": self._nr_segments(),
        }

    def _nr_segments(self) -> int:
        """Segments under way: pieces of a full send buffer, one a header, and one response a command."""
        return sum(disk.socket_buffer_bytes // 48 + 64 + 2 * disk.queue_depth for _, disk in self._iscsi)

    def _leaves(self, disk: Disk) -> list[int]:
        """Queues below a stacked device that can be congested or plugged: request queues and RAID5s."""
        if disk.kind not in NO_ELEVATOR:
            return []
        if disk.kind == "raid5":
            return [self._number[disk.name]]
        found: list[int] = []
        for member in members_of(disk, self._by_name):
            found += self._leaves(member) if member.kind in NO_ELEVATOR else [self._number[member.name]]
        return found

    def _max_pages(self, disk: Disk) -> int:
        """Pages of the largest bio: the least of what lies below allows."""
        if disk.kind == "loop":
            return LOOP_PAGES
        own = max(1, disk.max_sectors_kb * 1024 // PAGE)
        return min([own, *(self._max_pages(m) for m in members_of(disk, self._by_name) if disk.kind != "iscsi")])

    def boot(self, arrays: dict[str, Any], wait_at: int) -> None:
        """Fill the tables; `wait_at` is the first of two wait queues a device."""
        queue = arrays["queue"]
        queue["target"][:] = c.NIL
        member_at = leaf_at = 0
        for name in ("xmit_head", "xmit_tail", "bio_head", "bio_tail", "backing_inode", "next_block", "last_hold"):
            queue[name][:] = c.NIL
        for q, disk in enumerate(self.disks):
            row = queue[q]
            row["worker_wait"], row["submit_wait"] = wait_at + 2 * q, wait_at + 2 * q + 1
            row["max_pages"] = self._max_pages(disk)
            row["member_start"], row["nr_members"] = member_at, len(disk.members)
            leaves = self._leaves(disk)
            row["leaf_start"], row["nr_leaves"] = leaf_at, len(leaves)
            arrays["leaf_queue"][leaf_at : leaf_at + len(leaves)] = leaves
            leaf_at += len(leaves)
            start = 0
            for member in members_of(disk, self._by_name):
                blocks = member.size_bytes // PAGE
                arrays["member"][member_at] = (self._number[member.name], start, blocks, 0, 0)
                start, member_at = start + blocks, member_at + 1
            if disk.kind == "loop":
                row["backing_inode"] = self._files[disk.file]
                arrays["inode"]["gfp_off"][self._files[disk.file]] = c.GFP_IO | c.GFP_FS
            if disk.kind == "iscsi":
                target = self._number[disk.members[0]]
                row["target"], queue["remote"][target] = target, 1
        self._boot_stripes(arrays)
        _chain_segments(arrays, self._nr_segments())

    def _boot_stripes(self, arrays: dict[str, Any]) -> None:
        """Every stripe starts empty on its array's inactive list."""
        nr, page_at = stripes.NR_STRIPES, 0
        arrays["stripe_hash"][:] = c.NIL
        for name in ("head", "tail"):
            arrays["stripe_list"][name][:] = c.NIL
        for name in ("towrite", "written"):
            arrays["stripe_page"][name][:] = c.NIL
        for array, (q, members) in enumerate(self._raid5):
            row, first = arrays["queue"][q], array * nr
            row["stripe_start"], row["nr_stripes"], row["page_start"] = first, nr, page_at
            row["stripe_list"], row["stripe_hash"] = array * stripes.NR_STRIPE_LISTS, first
            page_at += nr * members
            stripe = arrays["stripe"][first : first + nr]
            stripe["queue"], stripe["block"], stripe["hash_next"], stripe["which"] = q, c.NIL, c.NIL, stripes.INACTIVE
            stripe["next"], stripe["prev"] = range(first + 1, first + nr + 1), range(first - 1, first + nr - 1)
            stripe["next"][-1], stripe["prev"][0] = c.NIL, c.NIL
            arrays["stripe_list"][array * stripes.NR_STRIPE_LISTS] = (first, first + nr - 1)


def _comm(disk: Disk) -> str:
    """The name of a device's thread, as the kernel makes it."""
    return {"raid5": f"{disk.name}_raid5", "iscsi": f"iscsi_q_{disk.name}", "loop": disk.name}[disk.kind][:15]


def _chain_segments(arrays: dict[str, Any], nr: int) -> None:
    segment = arrays["segment"]
    segment["queue"][:] = c.NIL
    segment["next"][:] = range(1, len(segment) + 1)
    segment["next"][-1] = c.NIL
    arrays["stat"]["free_segment"][0] = 0 if nr else c.NIL
