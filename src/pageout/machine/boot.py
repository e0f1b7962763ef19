# SPDX-License-Identifier: GPL-2.0-or-later
"""From a scenario to the tables of a machine that is about to run."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from pageout import jit
from pageout.engine import constants as c
from pageout.engine.rng import seed_words
from pageout.engine.state import LAYOUT, new_state
from pageout.kernel import frames, policies
from pageout.kernel.costs import SCAN_NS, WRITEPAGE_NS
from pageout.kernel.mm import causes
from pageout.kernel.sched import user as programs
from pageout.machine import boot_gen, boot_memcg, boot_xfs, designs, devices_mq, jobs
from pageout.machine.devices import Stacks, queue_fields, share_fields
from pageout.machine.dispatch import UNITS
from pageout.machine.filesystems import Inode, Mounts
from pageout.machine.functions import boot_functions
from pageout.machine.memory_map import zones_of
from pageout.machine.oom_boot import log_params, log_sizes, task_fields
from pageout.machine.prepare import dirty_unit, prepare_unit
from pageout.machine.room import refuse_if_too_large
from pageout.machine.tables import seek_table
from pageout.machine.zones import boot_zones
from pageout.vocabulary.prints import events_of, is_later, kernel_of
from pageout.vocabulary.scenario import Scenario
from pageout.vocabulary.settings import choices, sysctls
from pageout.vocabulary.storage import sized_scenario
from pageout.vocabulary.tracepoints import TRACEPOINTS

PAGE = 4096
RING_RECORDS = 65536
RING_MARGIN = 16384
NR_WORKS = 4096
SERIES_ROWS = 8192
NO_INODES = ("b_dirty", "b_dirty_tail", "b_io", "b_io_tail", "b_more_io", "b_more_io_tail", "work_head", "work_tail",
             "old_work")  # fmt: skip
CHOICE_VALUES = {
    **designs.CHOICE_VALUES,
    "reclaim.wait_on_dirty": {"off": c.WAIT_DIRTY_OFF, "congestion": c.WAIT_DIRTY_CONGESTION},
    "reclaim.lumpy": {"on": c.LUMPY_ON, "off": c.LUMPY_OFF, "gentle": c.LUMPY_GENTLE},
    "throttle.start": {"midpoint": c.THROTTLE_MIDPOINT, "background": c.THROTTLE_BACKGROUND, "limit": c.THROTTLE_LIMIT},
    "stack.overflow": {"report": c.OVERFLOW_REPORT, "stop": c.OVERFLOW_STOP},
    "stack.diet": {"off": c.DIET_OFF, "on": c.DIET_ON},
}
CHOICE_PARAMS = {
    **designs.CHOICE_PARAMS,
    "reclaim.writeback": "reclaim_writeback",
    "reclaim.kick": "reclaim_kick",
    "reclaim.wait_on_dirty": "reclaim_wait_dirty",
    "reclaim.lumpy": "reclaim_lumpy",
    "throttle.start": "throttle_start",
    "stack.overflow": "stack_overflow",
    "stack.diet": "stack_diet",
}


class Booted(NamedTuple):
    """A machine: its tables, the word its units take for `k`, who is who, and what must stay alive."""

    arrays: dict[str, Any]
    address: Any
    comms: dict[int, str]
    block: Any
    nr_files: int
    filled_pages: int
    trouble: list[BaseException]  # what went wrong while a unit was compiled, in the middle of a run


class _Plan:
    """Sizes and places of everything, counted before anything is allocated."""

    def __init__(self, scenario: Scenario, ring: int, request_list: Any) -> None:
        machine = scenario.machine
        self.scenario = scenario
        self.values = sysctls(scenario)
        self.choices = choices(scenario)
        self.zones = zones_of(
            machine.memory_bytes,
            self.values["vm.min_free_kbytes"],
            dma32=self.choices["zone.dma32"] == "on",
            taken_bytes=machine.taken_bytes,
            marks=designs.marks_of(self.choices, self.values, machine.cpus),
        )
        self.nr_pages = machine.memory_bytes // PAGE
        self.mounts = Mounts(scenario)
        self.inodes = jobs.inodes_of(scenario, self.mounts)
        self.jobs = jobs.jobs_of(scenario, request_list)
        self.swap_pages = machine.swap_bytes // PAGE
        self.nr_queues = len(machine.disks)
        self.nr_bdis = self.nr_queues + (1 if self.swap_pages else 0)
        self.stacks = Stacks(scenario)
        self.first_storage = 1 + self.nr_queues + len(scenario.tasks)
        self.first_journald = self.first_storage + len(self.stacks.workers)
        self.first_xfsbufd = self.first_journald + len(self.mounts.journaled)
        self.first_kcompactd = self.first_xfsbufd + len(self.mounts.allocating)
        self.first_worker = self.first_kcompactd + designs.nr_kcompactd(self.choices)
        self.first_group_flusher = self.first_worker + designs.nr_workers(machine.cpus)
        self.nr_tasks = self.first_group_flusher + len(scenario.cgroups) * self.nr_queues
        self._lay_bits()
        self.nr_requests = sum(devices_mq.most_requests(scenario, disk) + 8 for disk in machine.disks)
        self.nr_bios = self.stacks.nr_bios
        self.ring = ring

    def _lay_bits(self) -> None:
        """Give every bitmap its place in the one table of bits."""
        at = 0
        self.bit_places: list[tuple[int, int, int, int]] = []
        for inode in self.inodes:
            words, summary = inode.nr_slots // 32 + 1, inode.nr_slots // 1024 + 1
            self.bit_places.append((at, at + words, at + 2 * words, at + 2 * words + summary))
            at += 2 * (words + summary)
        self.fs_bitmaps = []
        for place in self.mounts.places:
            self.fs_bitmaps.append(at)
            at += place.nr_blocks // 32 + 2
        self.swap_bits = at
        at += self.swap_pages // 32 + 1
        self.swap_summary = at
        self.nr_bits = at + self.swap_pages // 1024 + 2

    def fs_wait(self) -> int:
        """The first filesystem's wait queue: behind those of frames, requests, inodes and stacked devices."""
        return c.WQ_FIXED + c.PAGE_WAIT_TABLE + 4 * self.nr_queues + len(self.inodes)

    def xfs_wait(self) -> int:
        return self.fs_wait() + len(self.mounts.filesystems)

    def mq_wait(self) -> int:
        return self.xfs_wait() + boot_xfs.NR_WAITS * len(self.mounts.allocating)

    def sizes(self, machine_cpus: int) -> dict[str, int]:
        nr_slots = sum(inode.nr_slots for inode in self.inodes)
        return {
            **boot_xfs.sizes(self.mounts),
            "page": self.nr_pages,
            "frame": self.nr_tasks * c.MAX_DEPTH,
            "task": self.nr_tasks,
            "zone": len(self.zones),
            "inode": len(self.inodes),
            "bdi": self.nr_bdis * (1 + len(self.scenario.cgroups)),
            "work": NR_WORKS,
            "queue": self.nr_queues,
            "request": self.nr_requests,
            "bio": self.nr_bios,
            "fs": len(self.mounts.filesystems),
            "job": max(1, len(self.jobs.rows)),
            "cpu": machine_cpus,
            "free_area": len(self.zones) * c.MAX_ORDER,
            "free_list": len(self.zones) * c.MAX_ORDER * c.NR_FREE_LISTS,
            "order_stat": c.MAX_ORDER,
            "pageblock": (self.nr_pages >> c.PAGEBLOCK_ORDER) + 1,
            "pageblock_skip": (self.nr_pages >> c.PAGEBLOCK_ORDER) + 1,
            "pcp": len(self.zones) * machine_cpus,
            "pcp_list": len(self.zones) * machine_cpus * c.MIGRATE_PCPTYPES,
            **boot_memcg.sizes(self.scenario, len(self.zones)),
            **boot_gen.sizes(
                self.choices,
                groups=1 + len(self.scenario.cgroups),
                zones=len(self.zones),
                slots=nr_slots,
                inodes=len(self.inodes),
            ),
            "pvec": machine_cpus * int(self.choices["lru.batch"]),
            "slot": nr_slots,
            "bits": self.nr_bits,
            "wait": self.mq_wait() + 3 * self.nr_queues,
            "throtl": 2 * self.nr_queues,
            "heap": 65536 + 2048 * self.nr_tasks + self.nr_requests,
            "sort": 2 * self.nr_requests,
            "channel": 64 * self.nr_queues + 1024,
            "table": len(self.jobs.tables) + self.nr_queues * 1025,
            "file_list": len(self.jobs.file_list),
            "group_left": self.jobs.nr_groups + 1,
            "request_list": len(self.jobs.request_list),
            "function": len(frames.TABLE),
            "sg_pool": c.NR_SG_POOLS,
            "unit": len(UNITS),
            "chain": 2 * c.CHAIN_ROWS,
            "leaf": len(frames.LEAVES),
            "hist": c.HIST_BUCKETS * (c.NR_HIST_GLOBAL + 2 * len(self.jobs.rows) + 2 * self.nr_queues),
            "hist_sum": c.NR_HIST_GLOBAL + 2 * len(self.jobs.rows) + 2 * self.nr_queues,
            **causes.TABLE_SIZES,
            "event_on": len(TRACEPOINTS),
            "series": SERIES_ROWS * c.SERIES_COLUMNS,
            "policy_ctx": policies.NR_HOOKS,
            "ring": self.ring,
            **log_sizes(len(self.zones), machine_cpus, self.nr_tasks),
        } | self.stacks.sizes()


def _stream(seed: int, stream: int) -> dict[str, int]:
    """Return the state of a stream of random numbers, as a row's fields."""
    return dict(zip(("rng0", "rng1", "rng2", "rng3"), seed_words(seed, stream), strict=True))


def _put(arrays: dict[str, Any], table: str, row: int, **values: int) -> None:
    for name, value in values.items():
        arrays[table][name][row] = value


def _boot_params(arrays: dict[str, Any], scenario: Scenario, plan: _Plan, events: str, zero_cost: bool) -> None:
    machine, values = scenario.machine, plan.values
    stack = int(plan.choices["stack.bytes"])
    total = sum(zone.present for zone in plan.zones)
    limit = values["vm.dirty_bytes"] // PAGE or max(values["vm.dirty_ratio"], 5) * total // 100
    _put(
        arrays, "param", 0,
        nr_pages=plan.nr_pages, nr_zones=len(plan.zones), nr_cpus=machine.cpus, nr_tasks=plan.nr_tasks,
        nr_jobs=len(plan.jobs.rows), nr_inodes=len(plan.inodes), nr_bdis=plan.nr_bdis, nr_queues=plan.nr_queues,
        jiffy_ns=c.NS_PER_S // machine.hz, hz=machine.hz, stack_bytes=stack,
        busy_percent=machine.busy_percent, run_delay_ns=machine.run_delay_ns,
        stack_limit=stack - frames.THREAD_INFO_BYTES,
        stack_order=max(0, (stack // PAGE).bit_length() - 1),
        dirty_ratio=values["vm.dirty_ratio"], dirty_bytes=values["vm.dirty_bytes"],
        background_ratio=values["vm.dirty_background_ratio"], background_bytes=values["vm.dirty_background_bytes"],
        dirty_expire_ns=values["vm.dirty_expire_centisecs"] * 10_000_000,
        dirty_writeback_ns=values["vm.dirty_writeback_centisecs"] * 10_000_000,
        swappiness=values["vm.swappiness"], laptop_mode=1 if values["vm.laptop_mode"] else 0,
        ratelimit_pages=min(1024, max(16, total // (machine.cpus * 32))),
        ring_size=plan.ring, ring_drain=max(1, plan.ring - RING_MARGIN), heap_size=len(arrays["heap"]),
        zero_cost=int(zero_cost), copy_ns=PAGE * 1000 // machine.copy_mb_s, syscall_ns=machine.syscall_ns,
        clear_ns=machine.clear_ns or PAGE * 1000 // machine.copy_mb_s,
        writepage_ns=machine.writepage_ns or WRITEPAGE_NS * machine.scan_ns // SCAN_NS,
        scan_ns=machine.scan_ns, free_ns=machine.free_ns, boost_factor=values["vm.watermark_boost_factor"],
        swap_bdi=plan.nr_bdis - 1 if plan.swap_pages else c.NIL, nr_swap_slots=plan.swap_pages,
        swap_bits=plan.swap_bits, swap_summary=plan.swap_summary, swap_block=_swap_block(scenario, plan),
        stop_at_ns=scenario.length_ns, total_pages=total, prop_shift=1 + max(1, limit - 1).bit_length() - 1,
        nr_groups=plan.jobs.nr_groups, nr_fs=len(plan.mounts.filesystems), nr_series=SERIES_ROWS,
        **log_params(values),
        hist_device=c.NR_HIST_GLOBAL + 2 * len(plan.jobs.rows),
    )  # fmt: skip
    for name, allowed in CHOICE_VALUES.items():
        arrays["param"][CHOICE_PARAMS[name]][0] = allowed[str(plan.choices[name])]
    arrays["event_on"][:] = events_of(events, kernel_of(scenario.design))


def _swap_block(scenario: Scenario, plan: _Plan) -> int:
    """First block of the swap area: at the end of its disk."""
    if not plan.swap_pages:
        return 0
    return int(_disk(scenario, scenario.machine.swap_disk).size_bytes) // PAGE - plan.swap_pages


def _disk(scenario: Scenario, name: str) -> Any:
    return next(disk for disk in scenario.machine.disks if disk.name == name)


def _boot_pools(arrays: dict[str, Any], plan: _Plan) -> None:
    """Chain the free lists of requests, bios and work items."""
    for table, nr in (("request", plan.nr_requests), ("bio", plan.nr_bios), ("work", NR_WORKS)):
        arrays[table]["next"][:nr] = np.arange(1, nr + 1)
        arrays[table]["next"][nr - 1] = c.NIL
    arrays["wait"]["head"][:] = c.NIL
    arrays["wait"]["tail"][:] = c.NIL
    _put(arrays, "stat", 0, run_head=c.NIL, run_tail=c.NIL, swap_free=plan.swap_pages, kmalloc_page=c.NIL)


def _boot_storage(arrays: dict[str, Any], scenario: Scenario, plan: _Plan) -> None:
    machine = scenario.machine
    sort_at, wait_at, table_at = 0, c.WQ_FIXED + c.PAGE_WAIT_TABLE, len(plan.jobs.tables)
    for q, disk in enumerate(machine.disks):
        arrays["table"][table_at : table_at + 1025] = seek_table(disk.seek_min_us, disk.seek_avg_us, disk.seek_max_us)
        _put(
            arrays,
            "queue",
            q,
            bdi=q,
            sort_read=sort_at,
            sort_write=sort_at + devices_mq.most_requests(scenario, disk),
            wait_read=wait_at,
            wait_write=wait_at + 1,
            seek_table=table_at,
            channel_start=q * 64,
            **queue_fields(disk) | devices_mq.mq_fields(scenario, disk),
        )
        sort_at, wait_at, table_at = (
            sort_at + 2 * devices_mq.most_requests(scenario, disk),
            wait_at + 2,
            table_at + 1025,
        )
    plan.stacks.boot(arrays, wait_at + len(plan.inodes))
    devices_mq.boot_mq(arrays, scenario, plan.mq_wait())
    for b in range(plan.nr_bdis):
        is_swap = b >= plan.nr_queues
        queue = [d.name for d in machine.disks].index(machine.swap_disk) if is_swap else b
        _put(
            arrays,
            "bdi",
            b,
            queue=queue,
            **({"max_ratio": 100} if is_swap else share_fields(machine.disks[b])),
            is_swap=int(is_swap),
            flusher=c.NIL if is_swap else 1 + b,
            **dict.fromkeys(NO_INODES, c.NIL),
        )
    for number in range(len(plan.mounts.filesystems)):
        journaled = number in plan.mounts.journaled
        journald = plan.first_journald + plan.mounts.journaled.index(number) if journaled else c.NIL
        _put(
            arrays,
            "fs",
            number,
            **plan.mounts.fields(number, plan.fs_bitmaps[number], plan.fs_wait() + number, journald),
        )


def _boot_inodes(arrays: dict[str, Any], plan: _Plan) -> None:
    slot_at = 0
    wait_at = c.WQ_FIXED + c.PAGE_WAIT_TABLE + 2 * plan.nr_queues
    arrays["slot"]["page"][:] = c.NIL
    arrays["slot"]["block"][:] = c.NIL
    for i, inode in enumerate(plan.inodes):
        words = plan.bit_places[i]
        _put(
            arrays,
            "inode",
            i,
            slot_start=slot_at,
            nr_slots=inode.nr_slots,
            size_pages=inode.nr_slots,
            dirty_bits=words[0],
            writeback_bits=words[1],
            dirty_summary=words[2],
            writeback_summary=words[3],
            kind=c.INODE_ANON if inode.anonymous else c.INODE_FILE,
            bdi=_bdi_of(plan, inode),
            list_next=c.NIL,
            list_prev=c.NIL,
            wait_queue=wait_at + i,
            last_block=plan.mounts.goal(i),
            disk_pages=-1 if inode.exists else 0,
            unwritten=int(inode.unwritten),
            **plan.mounts.inode_fields(i),
        )
        slot_at += inode.nr_slots
    boot_xfs.boot_xfs(arrays, plan.mounts, plan.xfs_wait(), plan.first_xfsbufd)


def _bdi_of(plan: _Plan, inode: Inode) -> int:
    return plan.nr_bdis - 1 if inode.anonymous and plan.swap_pages else plan.mounts.places[inode.fs].disk


def _install_units(arrays: dict[str, Any]) -> tuple[list[Any], list[BaseException]]:
    """Make the units known by address. Returns (what to keep, what fails in mid run)."""
    trouble: list[BaseException] = []

    def failed(error: BaseException) -> int:
        trouble.append(error)
        _put(arrays, "stat", 0, stop=c.STOP_ERROR)
        return c.YIELD

    return [unit.install(arrays["unit"], number, failed) for number, unit in enumerate(UNITS)], trouble


def _flusher_comm(scenario: Scenario, device: int) -> str:
    """What a device's flusher is called: since 3.10 it is a worker of the first pool behind those of the CPUs."""
    if is_later(kernel_of(scenario.design)):
        return f"kworker/u{2 * scenario.machine.cpus}:{device}"
    return f"flush-8:{16 * device}"


def _boot_tasks(arrays: dict[str, Any], scenario: Scenario, plan: _Plan) -> dict[int, str]:
    """Start kswapd, a flusher for each device, the scenario's tasks, the devices' threads; all run. Returns comms."""
    comms = {32: "kswapd0"}
    nowhere = "wait_queue wait_next wait_prev wait_page mm_inode bdi_writing ra_inode allocated_head allocated_tail"
    for field in f"{nowhere} prev_index parent wr_page".split():
        arrays["task"][field][:] = c.NIL
    _start(arrays, 0, frames.FN.kswapd, 0, pid=32, tflags=c.PF_MEMALLOC | c.PF_KSWAPD | c.PF_SWAPWRITE | c.PF_KTHREAD)
    for q in range(plan.nr_queues):
        comms[200 + q] = _flusher_comm(scenario, q)
        _start(arrays, 1 + q, frames.FN.bdi_writeback_thread, q, pid=200 + q, tflags=c.PF_FLUSHER | c.PF_KTHREAD)
    first = 1 + plan.nr_queues
    for i, task in enumerate(scenario.tasks):
        comms[1000 + i] = task.name[:15]
        mm_inode = plan.jobs.rows[i]["mm_inode"]
        _start(
            arrays,
            first + i,
            frames.FN.user,
            0,
            pid=1000 + i,
            tflags=c.PF_LESS_THROTTLE | c.PF_KTHREAD if task.kind == "nfsd" else 0,
            job=i,
            **_stream(task.seed, i),
            mm_inode=mm_inode,
            **task_fields(scenario, i, first, plan.inodes[mm_inode].nr_slots if mm_inode >= 0 else 0),
        )
    for t, worker in enumerate(plan.stacks.workers, plan.first_storage):
        comms[400 + worker.queue] = worker.comm
        _start(arrays, t, worker.fn, worker.queue, pid=400 + worker.queue, tflags=c.PF_KTHREAD,
               **_stream(scenario.seed, 1 << 20 | t))  # fmt: skip
    for j, number in enumerate(plan.mounts.journaled):
        comms[900 + j] = "kjournald" if scenario.machine.filesystems[number].kind == "ext3" else "jbd2"
        _start(arrays, plan.first_journald + j, frames.FN.kjournald, number, pid=900 + j, tflags=c.PF_KTHREAD)
    for x in range(len(plan.mounts.allocating)):
        comms[700 + x] = "xfsbufd"
        _start(arrays, plan.first_xfsbufd + x, frames.FN.xfsbufd, x, pid=700 + x, tflags=c.PF_KTHREAD)
    for t in range(plan.first_kcompactd, plan.first_worker):
        comms[28] = "kcompactd0"
        _start(arrays, t, frames.FN.kcompactd, 0, pid=28, tflags=c.PF_KTHREAD)
    _chain_run_queue(arrays, plan.first_worker)
    return comms | designs.boot_workers(arrays, plan.first_worker, scenario.machine.cpus)


def _start(arrays: dict[str, Any], t: int, fn: int, a: int, **fields: int) -> None:
    used = int(arrays["function"]["frame_bytes"][fn])
    _put(arrays, "task", t, state=c.T_RUNNABLE, used=used, peak=used, **fields)
    frame = t * c.MAX_DEPTH
    for name in ("page", "inode", "list_head", "work", "bio"):
        arrays["frame"][name][frame] = c.NIL
    _put(arrays, "frame", frame, fn=fn, a=a)


def _chain_run_queue(arrays: dict[str, Any], nr_tasks: int) -> None:
    arrays["task"]["wait_next"][:nr_tasks] = np.arange(1, nr_tasks + 1)
    arrays["task"]["wait_next"][nr_tasks - 1] = c.NIL
    _put(arrays, "stat", 0, run_head=0, run_tail=nr_tasks - 1, run_nr=nr_tasks)


def _boot_jobs(arrays: dict[str, Any], plan: _Plan) -> None:
    for i, row in enumerate(plan.jobs.rows):
        for name, value in row.items():
            if name != "mm_inode":
                arrays["job"][name][i] = value
    arrays["table"][: len(plan.jobs.tables)] = plan.jobs.tables
    arrays["file_list"][: len(plan.jobs.file_list)] = plan.jobs.file_list
    arrays["request_list"][: len(plan.jobs.request_list)] = plan.jobs.request_list
    for row in plan.jobs.rows:
        arrays["group_left"][row["group"]] += 1
        if row["kind"] == programs.JOB_IO:
            np.add.at(arrays["inode"]["users"], plan.jobs.file_list[row["file_start"] :][: row["nr_files"]], 1)
    arrays["stat"]["foreground_left"][0] = sum(not row["background"] for row in plan.jobs.rows)


def boot(
    scenario: Scenario,
    *,
    events: str = "decisions",
    zero_cost: bool = False,
    ring: int = RING_RECORDS,
    series_ns: int = 100_000_000,
    power_cut_ns: int | None = None,
    request_list: Any = None,
) -> Booted:
    """Build the machine of a scenario: memory free, files laid out, cache filled, every task about to start.

    request_list: page numbers that the first io task reads in turn (int64)
    Raises ScenarioError if memory is too small, TooLargeError if the tables do not fit into this computer's memory.
    """
    scenario = sized_scenario(scenario)
    plan = _Plan(scenario, ring, request_list)
    sizes = plan.sizes(scenario.machine.cpus)
    refuse_if_too_large(sizes)
    arrays = new_state(sizes)
    boot_zones(arrays, plan.zones, later=plan.choices["buddy.steal"] == "alike")
    _boot_params(arrays, scenario, plan, events, zero_cost)
    designs.boot_zone_shares(arrays)
    _boot_pools(arrays, plan)
    _boot_storage(arrays, scenario, plan)
    _boot_inodes(arrays, plan)
    boot_functions(arrays, plan.choices)
    comms = _boot_tasks(arrays, scenario, plan)
    _boot_jobs(arrays, plan)
    boot_gen.boot_gen(arrays)
    boot_memcg.boot_memcgs(arrays, scenario, 1 + plan.nr_queues)
    comms |= boot_memcg.boot_wbs(arrays, scenario, plan.nr_bdis, plan.first_group_flusher)
    _put(arrays, "stat", 0, idle_cpus=scenario.machine.cpus, **_stream(scenario.seed, 1 << 21))
    arrays["stat"]["hung_due_ns"][0] = arrays["param"]["hung_timeout_ns"][0]
    arrays["cpu"]["idle"][:] = 1
    arrays["cpu"]["task"][:] = c.NIL
    arrays["param"]["series_ns"][0] = series_ns
    _first_events(arrays, series_ns, power_cut_ns)
    units, trouble = _install_units(arrays)
    block, address = jit.bind_state(arrays, LAYOUT)
    filled = prepare_unit(address, plan.jobs.fill_inode)
    for row in plan.jobs.dirty_rows:
        dirty_unit(address, row)
    arrays["stat"]["level_since_ns"][0] = 0
    designs.boot_rates(arrays, plan.nr_bdis, scenario.machine.disks, scenario.machine.start_dirty_limit_bytes)
    return Booted(arrays, address, comms, (block, units), len(scenario.files), int(filled), trouble)


def _first_events(arrays: dict[str, Any], series_ns: int, power_cut_ns: int | None) -> None:
    events = [(0, c.EV_SERIES)] if series_ns else []
    if power_cut_ns is not None:
        events.append((power_cut_ns, c.EV_POWER_CUT))
    for i, (when, kind) in enumerate(events):
        _put(arrays, "heap", i, when_ns=when, seq=i + 1, kind=kind)
    _put(arrays, "stat", 0, heap_nr=len(events), seq=len(events))
