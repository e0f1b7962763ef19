# SPDX-License-Identifier: GPL-2.0-or-later
"""What the designs add to a machine at boot: their choice points as parameters, zones' shares, reclaim threads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pageout.engine import constants as c
from pageout.kernel import frames
from pageout.machine.memory_map import Marks
from pageout.vocabulary.scenario import Disk

CHOICE_VALUES: dict[str, dict[str, int]] = {
    "reclaim.writeback": {
        "always": c.WRITEBACK_ALWAYS,
        "kswapd": c.WRITEBACK_KSWAPD,
        "never": c.WRITEBACK_NEVER,
        "high-order": c.WRITEBACK_HIGH_ORDER,
        "priority": c.WRITEBACK_PRIORITY,
        "urgent": c.WRITEBACK_URGENT,
    },
    "reclaim.kick": {
        "scanned": c.KICK_SCANNED,
        "dirty": c.KICK_DIRTY,
        "none": c.KICK_NONE,
        "inodes": c.KICK_INODES,
    },
    "reclaim.throttle": {"congestion": c.STALL_CONGESTION, "writeback": c.STALL_WRITEBACK},
    "reclaim.progress": {"freed": c.PROGRESS_FREED, "reclaimable": c.PROGRESS_RECLAIMABLE},
    "reclaim.around": {"off": 0, "16": 16, "32": 32, "64": 64},
    "reclaim.worker": {"off": c.WORKER_OFF, "node": c.WORKER_NODE, "cpu": c.WORKER_CPU},
    "reclaim.worker_order": {"lru": c.WORKER_LRU, "file": c.WORKER_FILE},
    "dirty.limits": {"global": c.LIMITS_GLOBAL, "zone": c.LIMITS_ZONE, "node": c.LIMITS_NODE},
    "background.start": {"ratio": c.BACKGROUND_RATIO, "half": c.BACKGROUND_HALF},
    "flusher.background": {"all": c.FLUSH_ALL, "oldest": c.FLUSH_OLDEST},
    "flusher.order": {"dirtied_when": c.FLUSH_DIRTIED_WHEN, "page_age": c.FLUSH_PAGE_AGE},
    "lru.split": {"on": c.SPLIT_ON, "off": c.SPLIT_OFF},
    "watermark.gap": {"kernel": c.GAP_KERNEL, "wide": c.GAP_WIDE},
    "reclaim.bail": {"priority": c.BAIL_PRIORITY, "batch": c.BAIL_BATCH, "never": c.BAIL_NEVER},
    "kswapd.zones": {"needy": c.KSWAPD_NEEDY, "all": c.KSWAPD_ALL},
    "dirty.base": {"dirtyable": c.BASE_DIRTYABLE, "unmapped": c.BASE_UNMAPPED, "unreserved": c.BASE_UNRESERVED},
    "zone.dma32": {"on": c.DMA32_ON, "off": c.DMA32_OFF},
    "flusher.turn": {"pages": c.TURN_PAGES, "bandwidth": c.TURN_BANDWIDTH},
    "flusher.requeue": {"chunk": c.REQUEUE_CHUNK, "age": c.REQUEUE_AGE},
    "write.folios": {"none": c.FOLIOS_NONE, "xfs": c.FOLIOS_XFS, "all": c.FOLIOS_ALL},
    "dirty.floor": {"position": c.FLOOR_POSITION, "share": c.FLOOR_SHARE},
    "timer.expiry": {"tick": c.TIMER_TICK, "late": c.TIMER_LATE},
    "throttle.by": {"writing": c.THROTTLE_BY_WRITING, "pause": c.THROTTLE_BY_PAUSE},
    "reclaim.engine": {"zone": c.ENGINE_ZONE, "node": c.ENGINE_NODE},
    "reclaim.file_writepage": {"allocated": c.WRITEPAGE_ALLOCATED, "never": c.WRITEPAGE_NEVER},
    "reclaim.scan_cost": {"pages": c.COST_PAGES, "rotations": c.COST_ROTATIONS},
    "reclaim.trim_retry": {"off": 0, "on": 1},
    "watermark.marks": {"quarter": c.MARKS_QUARTER, "scaled": c.MARKS_SCALED},
    "watermark.hugepages": {"off": 0, "on": 1},
    "buddy.steal": {"half": c.STEAL_HALF, "alike": c.STEAL_ALIKE},
    "lru.batch": {"14": 14, "15": 15, "31": 31},
    "pcp.high": {"batch": c.PCP_BATCHES, "low": c.PCP_LOW, "auto": c.PCP_AUTO},
    "lru": {"classic": 0, "gen": 1},
    "gen.node": {"shared": c.GEN_SHARED, "own": c.GEN_OWN},
    "gen.flush": {"never": 0, "dirty": 1},
    "gen.events": {"off": 0, "on": 1},
    "compaction": {"off": 0, "on": 1},
    "events.isolate_mode": {"on": 1, "off": 0},
    "memcg.walk": {"all": c.WALK_ALL, "part": c.WALK_PART},
    "oom.score": {"badness": c.OOM_BADNESS, "rss": c.OOM_RSS},
    "sched.pick": {"turns": c.PICK_TURNS, "fair": c.PICK_FAIR},
    "block.layer": {"single": c.LAYER_SINGLE, "mq": c.LAYER_MQ},
    "block.throttle": {"line": c.RULES_LINE, "meta": c.RULES_META, "spare": c.RULES_SPARE},
    "stack.switch": {"off": c.SWITCH_OFF, "reclaim": c.SWITCH_RECLAIM, "writepage": c.SWITCH_WRITEPAGE},
}
CHOICE_PARAMS = {
    "reclaim.throttle": "reclaim_throttle",
    "reclaim.progress": "reclaim_progress",
    "reclaim.around": "reclaim_around",
    "reclaim.worker": "reclaim_worker",
    "reclaim.worker_order": "worker_order",
    "dirty.limits": "dirty_limits",
    "background.start": "background_start",
    "flusher.background": "flush_background",
    "flusher.order": "flush_order",
    "lru.split": "lru_split",
    "watermark.gap": "watermark_gap",
    "stack.switch": "stack_switch",
    "reclaim.bail": "reclaim_bail",
    "kswapd.zones": "kswapd_zones",
    "dirty.base": "dirty_base",
    "zone.dma32": "zone_dma32",
    "flusher.turn": "flush_turn",
    "flusher.requeue": "flush_requeue",
    "write.folios": "write_folios",
    "dirty.floor": "dirty_floor",
    "timer.expiry": "timer_expiry",
    "throttle.by": "throttle_by",
    "reclaim.engine": "reclaim_engine",
    "reclaim.file_writepage": "file_writepage",
    "reclaim.scan_cost": "scan_cost",
    "reclaim.trim_retry": "trim_retry",
    "watermark.marks": "watermark_marks",
    "watermark.hugepages": "watermark_hugepages",
    "buddy.steal": "buddy_steal",
    "lru.batch": "pvec_size",
    "pcp.high": "pcp_mode",
    "lru": "lru_gen",
    "gen.node": "gen_node",
    "gen.flush": "gen_flush",
    "gen.events": "gen_events",
    "compaction": "compaction",
    "events.isolate_mode": "isolate_mode",
    "memcg.walk": "memcg_walk",
    "oom.score": "oom_score",
    "block.layer": "block_layer",
    "block.throttle": "throttle_rules",
    "sched.pick": "sched_pick",
}
WIDE_GAP = 8
WORKER_PID = 500
INIT_BW = 25600  # pages a second
IDLE_S = 2  # what wb_bandwidth_estimate_start takes for idle is one
FIRST_CHECK = 32  # pages that a new task may dirty before it is looked at


def nr_workers(cpus: int) -> int:
    """Reclaim threads of a machine: one a CPU; asleep for good under designs that do not use them."""
    return cpus


def nr_kcompactd(choices: Mapping[str, Any]) -> int:
    """Threads that compact unasked: one, where pages are compacted at all."""
    return int(choices["compaction"] == "on" and choices["reclaim.engine"] == "node")


def marks_of(choices: Mapping[str, Any], values: Mapping[str, int], cpus: int) -> Marks:
    """Return how the design's kernel lays its marks."""
    scaled = choices["watermark.marks"] == "scaled"
    return Marks(values["vm.watermark_scale_factor"] if scaled else 0, choices["pcp.high"] != "batch", cpus)


def boot_zone_shares(arrays: dict[str, Any]) -> None:
    """What of each zone no page may be dirtied in; and the gap between its marks, if the design widens it.

    Source: Linux v3.3 mm/page_alloc.c:calculate_totalreserve_pages (dirty_balance_reserve).
    """
    for zone in arrays["zone"]:
        if int(arrays["param"]["watermark_gap"][0]) == c.GAP_WIDE:
            low, high = int(zone["wmark_low"]), int(zone["wmark_high"])
            zone["wmark_low"] = min(zone["wmark_min"] + WIDE_GAP * (low - zone["wmark_min"]), zone["present"] // 2)
            zone["wmark_high"] = min(zone["wmark_min"] + WIDE_GAP * (high - zone["wmark_min"]), zone["present"] // 2)
        reserve = max(int(zone["reserve0"]), int(zone["reserve1"]), int(zone["reserve2"]))
        zone["dirty_reserve"] = min(reserve + int(zone["wmark_high"]), int(zone["present"]))
    arrays["param"]["reserve_pages"][0] = int(arrays["zone"]["dirty_reserve"].sum())


def boot_rates(arrays: dict[str, Any], nr_bdis: int, disks: Sequence[Disk] = (), limit_bytes: int = 0) -> None:
    """What throttling by pauses begins with: every device is believed to write 100 MiB/s, unless its disk says more.

    Called once memory is filled, so that thresholds are those of the machine at its start. A CPU looks after its 32nd
    part of the limit. No device has been written to for more than a second, after which its estimate begins anew with
    the first writing. limit_bytes: the limit as it was followed until then, 0: the threshold.
    Source: Linux v6.1 mm/backing-dev.c:wb_init, mm/page-writeback.c:writeback_set_ratelimit.
    """
    if int(arrays["param"]["throttle_by"][0]) != c.THROTTLE_BY_PAUSE:
        return
    for name in ("write_bandwidth", "avg_bandwidth", "dirty_ratelimit", "balanced_ratelimit"):
        arrays["bdi"][name][:] = INIT_BW
    arrays["bdi"]["bw_stamp"][:] = -IDLE_S * int(arrays["param"]["hz"][0])
    for device, disk in zip(arrays["bdi"], disks, strict=False):
        _boot_known(device, disk)
    arrays["stat"]["written_events"][0] = arrays["bdi"]["written_events"][:nr_bdis].sum()
    arrays["task"]["nr_dirtied_pause"][:] = FIRST_CHECK
    thresh = dirty_threshold(arrays)
    arrays["stat"]["dirty_limit"][0] = limit_bytes // 4096 or thresh
    arrays["param"]["ratelimit_pages"][0] = max(16, thresh // (32 * int(arrays["param"]["nr_cpus"][0])))


def _boot_known(device: Any, disk: Disk) -> None:
    """What the kernel has already found out about a device when the run starts."""
    bandwidth = disk.start_bandwidth // 4096 or INIT_BW
    device["write_bandwidth"], device["avg_bandwidth"] = bandwidth, disk.start_avg_bandwidth // 4096 or bandwidth
    device["dirty_ratelimit"] = device["balanced_ratelimit"] = disk.start_ratelimit // 4096 or INIT_BW
    device["written_events"] = disk.start_written_bytes // 4096
    device["dirtied_stamp"] = device["nr_dirtied"]


def dirty_threshold(arrays: dict[str, Any]) -> int:
    """Return the limit on dirty pages as the compiled mm/dirty_limits.py computes it of an idle machine."""
    param, vm = arrays["param"], arrays["vm"]
    if int(param["dirty_bytes"][0]):
        return -(-int(param["dirty_bytes"][0]) // 4096)
    free = max(int(vm["nr_free_pages"][0]) - int(param["reserve_pages"][0]), 0)
    pages = free + int(vm["nr_inactive_file"][0]) + int(vm["nr_active_file"][0]) + 1
    return int(param["dirty_ratio"][0]) * 4096 // 100 * pages // 4096


def boot_workers(arrays: dict[str, Any], first: int, cpus: int) -> dict[int, str]:
    """Lay the reclaim threads to sleep at the end of the task table, whatever the design. Returns their comms."""
    arrays["param"]["first_worker"][0] = first
    used = int(arrays["function"]["frame_bytes"][frames.FN.reclaim_worker])
    for i in range(nr_workers(cpus)):
        task, frame = arrays["task"][first + i], arrays["frame"][(first + i) * c.MAX_DEPTH]
        task["state"], task["used"], task["peak"], task["pid"] = c.T_SLEEPING, used, used, WORKER_PID + i
        task["tflags"] = c.PF_KTHREAD | c.PF_RECLAIMER
        frame["fn"], frame["pc"] = frames.FN.reclaim_worker, 1
        for name in ("page", "inode", "list_head", "work", "bio"):
            frame[name] = c.NIL
    for name in ("rq_next", "rq_head", "rq_tail"):
        arrays["task"][name][:] = c.NIL
    return {WORKER_PID + i: f"kreclaimd/{i}" for i in range(nr_workers(cpus))}
