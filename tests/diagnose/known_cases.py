# SPDX-License-Identifier: GPL-2.0-or-later
"""Hand-made cases: for each row of the table of known faults one that shows it, and some that nearly do."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from pageout.diagnose.case import Case
from pageout.readers.facts import (
    Fact,
    Frame,
    KernelVersion,
    LogLine,
    OomReport,
    Snapshot,
    Sysctl,
    Table,
    TableRow,
    TaskStack,
    Value,
)  # fmt: skip
from pageout.readers.lines import Account
from pageout.readers.read import Input, read_pieces


def stack(
    comm: str, *functions: str, state: str = "D", source: str = "hung task", blocked: int | None = 245, line: int = 10
) -> TaskStack:
    """A task with certain frames, innermost first; `?name` is a guess."""
    frames = tuple(Frame(name.lstrip("?"), name.startswith("?"), "", line + n) for n, name in enumerate(functions, 1))
    return TaskStack(line, source, comm, 100 + line, state, blocked, None, frames, None, None)


def running(comm: str, *functions: str, line: int = 500) -> TaskStack:
    """A task caught on a CPU."""
    return stack(comm, *functions, state="R", source="soft lockup", blocked=None, line=line)


def oom(limit_kib: int, memcg: str | None = "/jobs/copy", **stat: int) -> OomReport:
    """A cgroup's OOM report with some of its memory.stat, in bytes."""
    values = {name: Value(number, 30 + n) for n, (name, number) in enumerate(stat.items())}
    kib = {"usage": Value(limit_kib, 20), "limit": Value(limit_kib, 20)}
    return OomReport(
        5, "cp", "0x100cca(GFP_HIGHUSER_MOVABLE)", 0, "CONSTRAINT_MEMCG", memcg, kib, None, values, None, (), (), None,
        None, 90
    )  # fmt: skip


def table(source: str, *rows: dict[str, float], device: str = "") -> Table:
    """What sar or iostat printed, a row a dict."""
    words = {"Device": device} if device else {}
    return Table(1, source, tuple(TableRow(2 + n, row, words) for n, row in enumerate(rows)))


def trace(text: str) -> Input:
    """A trace as the reader reads it."""
    return read_pieces("trace.txt", [text.encode()])


def facts(*found: Fact) -> Input:
    """A file of which these facts were read."""
    return Input("dmesg.txt", Account(), list(found), kind="made by hand")


def case_of(inputs: Iterable[Input], kernel: str = "") -> Case:
    """The inputs, and a file that names the kernel."""
    named = [Input("uname.txt", Account(), [KernelVersion(1, kernel)])] if kernel else []
    return Case([*inputs, *named])


class Example(NamedTuple):
    """What shows a fault, on a kernel that has it and one that has not; and what only nearly shows it."""

    shows: list[Input]
    affected: str
    cured: str | None
    near: tuple[list[Input], ...]


FLUSH = ("writeback_sb_inodes", "__writeback_inodes_wb", "wb_writeback", "wb_workfn", "process_one_work")
JOURNAL_WAIT = ("schedule", "wait_transaction_locked", "start_this_handle", "jbd2__journal_start", "ext4_create")
SLAB = ("super_cache_scan", "do_shrink_slab", "shrink_slab", "shrink_node", "do_try_to_free_pages")


def _throttled(tasks: int, delayed: int, reason: str = "VMSCAN_THROTTLE_WRITEBACK", comm: str = "web page #") -> str:
    return "".join(
        f"  {comm}{n}-{200 + n}   [00{n % 4}] .....   50.{n:06d}: mm_vmscan_throttled: nid=0 usec_timeout=100000 "
        f"usect_delayed={delayed} reason={reason}\n"
        for n in range(tasks)
    )


def _balance(task: int, setpoint: int, dirty: int) -> str:
    return "".join(
        f" cp-77 [001] .... 9.{n}00000: balance_dirty_pages: bdi 0:61: limit=200000 setpoint=150000 dirty={dirty} "
        f"bdi_setpoint={setpoint} bdi_dirty=40 dirty_ratelimit=9000 task_ratelimit={task} dirtied=1 dirtied_pause=0 "
        "paused=0 pause=8 period=8 think=0 cgroup_ino=1\n"
        for n in range(5)
    )


def _congestion(delayed: int) -> str:
    return "".join(
        f" dd-88 [001] .... 7.{n}00000: writeback_congestion_wait: usec_timeout=100000 usec_delayed={delayed}\n"
        for n in range(6)
    )


def _lazytime(second_ino: int = 14, hole: str = "") -> str:
    return (
        " touch-9 [000] ...1 3.100000: writeback_mark_inode_dirty: bdi 8:0: ino=14 state= flags=I_DIRTY_TIME\n"
        " kworker/u8:1-30 [001] ...1 3.200000: writeback_single_inode_start: bdi 8:0: ino=14 state=I_SYNC|I_DIRTY_TIME "
        "dirtied_when=4294880000 age=0 index=1 to_write=9223372036854775807 wrote=0 cgroup_ino=1\n"
        " kworker/u8:1-30 [001] ...2 3.200010: writeback_lazytime: dev 8,0 ino 14 dirtied 4294880000 state "
        "I_SYNC|I_DIRTY_TIME mode 0100644\n"
        f"{hole}"
        f" kworker/u8:1-30 [001] ...1 3.200500: writeback_mark_inode_dirty: bdi 8:0: ino={second_ino} state=I_SYNC "
        "flags=I_DIRTY_SYNC\n"
        f" kworker/u8:1-30 [001] ...1 8.300000: writeback_single_inode_start: bdi 8:0: ino={second_ino} "
        "state=I_DIRTY_SYNC|I_SYNC dirtied_when=4294880001 age=5 index=1 to_write=13312 wrote=0 cgroup_ino=1\n"
    )


def _remaps(old: Iterable[int], sectors: int = 8) -> str:
    return "".join(
        f" cp-50 [002] .... 1.{n:06d}: block_bio_remap: 8,{16 * (n % 2)} WS {sector // 2} + {sectors} "
        f"<- (9,0) {sector}\n"
        for n, sector in enumerate(old)
    )


_NODES = {"pgscank/s": 8e6, "pgscand/s": 0.0, "pgsteal/s": 7000.0}
_SMALL = {"w/s": 60.0, "wkB/s": 1500.0, "%util": 99.5}
_SYNC = stack("sync", "wb_wait_for_completion", "sync_inodes_sb", "iterate_supers", "ksys_sync")
_DIRTY_OOM = oom(65536, file=60_000_000, file_dirty=50_000_000, file_writeback=0)
_THROTTLED_TASK = stack(
    "java", "schedule_timeout", "throttle_direct_reclaim", "try_to_free_pages", "__alloc_pages_slowpath"
)
_XATTR = running("setfattr", "mb_cache_entry_find_first", "ext4_xattr_block_set", "ext4_xattr_set_handle")
_RAID = stack("md7_raid5", "schedule", "raid5d", "md_thread", "kthread")
_MD_WRITER = stack("kworker/u9:2", "schedule", "md_write_start", "raid5_make_request", "md_handle_request", line=40)
_COMMIT = stack(
    "jbd2/sdb1-8", "io_schedule", "folio_wait_bit_common", "folio_wait_writeback", "write_cache_pages",
    "jbd2_journal_commit_transaction", "kjournald2",
)  # fmt: skip
_WAITER, _WAITER_2 = stack("make", *JOURNAL_WAIT, line=100), stack("tar", *JOURNAL_WAIT, line=130)
_WRITER = stack(
    "rsync", "io_schedule_timeout", "balance_dirty_pages", "generic_perform_write", "ext4_buffered_write_iter"
)
_GONE = LogLine(3, "device gone", "sd 4:0:0:0: [sdc] Synchronizing SCSI cache", "sdc", 12.0)
_TEARDOWN = stack("kworker/3:1", "schedule", "wb_wait_for_completion", "mem_cgroup_css_free", "css_free_rwork_fn")
_SWITCH = ("native_queued_spin_lock_slowpath", "_raw_spin_lock", "inode_switch_wbs_work_fn", "process_one_work")
_QOS = stack("kworker/u8:3", "io_schedule", "rq_qos_wait", "wbt_wait", "__rq_qos_throttle", "blk_mq_submit_bio")
_CHARGE = (
    "shrink_node",
    "try_to_free_mem_cgroup_pages",
    "try_charge",
    "mem_cgroup_try_charge",
    "__add_to_page_cache_locked",
)
_ZONE_MODE = Sysctl(4, "vm.zone_reclaim_mode", "1", 1.0)
_KSWAPD = ("shrink_lruvec", "shrink_node", "balance_pgdat", "kswapd", "kthread")


def _vmstat(**values: float) -> Snapshot:
    return Snapshot(1, "vmstat", "", {name: Value(number, 2 + n) for n, (name, number) in enumerate(values.items())})


EXAMPLES: dict[str, Example] = {
    "throttled-in-vain": Example(
        [trace(_throttled(8, 100000))], "5.16-rc3", "5.16",
        (
            [trace(_throttled(8, 4000))],
            [trace(_throttled(8, 100000, "VMSCAN_THROTTLE_ISOLATED"))],
            [trace(_throttled(3, 100000))],
            [trace(_throttled(8, 100000, comm="kswapd"))],
            [trace(_throttled(8, 100000)), facts(_vmstat(nr_writeback=90000))],
        ),
    ),
    "mglru-no-flusher": Example(
        [facts(_DIRTY_OOM)], "6.7.4", "6.13",
        (
            [facts(oom(65536, file=60_000_000, file_dirty=50_000_000, file_writeback=30_000_000))],
            [facts(oom(65536, anon=60_000_000, file_dirty=1_000_000, file_writeback=0))],
            [facts(oom(65536, memcg=None, file_dirty=50_000_000, file_writeback=0))],
        ),
    ),
    "mglru-late-flusher": Example(
        [facts(_DIRTY_OOM)], "6.14.2", "6.12.3", ([facts(oom(65536, anon=60_000_000, file_dirty=0, file_writeback=0))],)
    ),
    "mglru-v1-no-throttle": Example(
        [facts(oom(65536, total_dirty=30_000_000, total_writeback=20_000_000))], "6.12.3", "5.15.20",
        (
            [facts(oom(65536, total_rss=60_000_000, total_dirty=130_000, total_writeback=0))],
            [facts(oom(65536, file_dirty=30_000_000, file_writeback=20_000_000))],
        ),
    ),
    "strictlimit-zero": Example(
        [trace(_balance(0, 0, 500))], "6.12.5", "6.14",
        ([trace(_balance(900, 0, 500))], [trace(_balance(0, 700, 500))], [trace(_balance(0, 0, 190000))]),
    ),
    "ext4-scattered-writes": Example(
        [facts(_SYNC, table("iostat -x", _SMALL, _SMALL, _SMALL, device="mmcblk0"))], "5.19.3", "6.0",
        (
            [facts(_SYNC)],
            [facts(table("iostat -x", _SMALL, _SMALL, _SMALL, device="mmcblk0"))],
            [facts(_SYNC, table("iostat -x", *[{"w/s": 60.0, "wkB/s": 30000.0, "%util": 99.0}] * 3, device="sda"))],
        ),
    ),
    "ext4-stripe-search": Example(
        [facts(running("kworker/u8:0", "ext4_mb_good_group", "ext4_mb_regular_allocator", "ext4_map_blocks", *FLUSH))],
        "6.6.3", "5.15.3",
        (
            [facts(stack("kworker/u8:0", "folio_wait_bit_common", "ext4_writepages", *FLUSH))],
            [facts(running("fallocate", "ext4_mb_good_group", "ext4_mb_regular_allocator", "ext4_fallocate"))],
        ),
    ),
    "kswapd-hopeless-node": Example(
        [facts(running("kswapd1", *_KSWAPD))], "4.9.20", "4.12",
        ([facts(stack("kswapd1", "schedule", "kswapd", state="S", source="sysrq", blocked=None))],),
    ),
    "kswapd-scans-clean-cache": Example(
        [facts(table("sar -B", _NODES, _NODES, _NODES), table("sar -r", {"kbdirty": 4000.0, "kbcached": 1.3e8}))],
        "6.12.13", None,
        (
            [facts(table("sar -B", *[_NODES | {"pgsteal/s": 7e6}] * 3))],
            [facts(table("sar -B", *[_NODES | {"pgscand/s": 6e6}] * 3))],
            [facts(table("sar -B", *[_NODES | {"pgscank/s": 900.0, "pgsteal/s": 0.0}] * 3))],
            [facts(table("sar -B", _NODES, _NODES, _NODES), table("sar -r", {"kbdirty": 5e7, "kbcached": 1.3e8}))],
        ),
    ),
    "memcg-nofs-charge": Example(
        [facts(running("leak", *_CHARGE, "iomap_readpages", "xfs_vm_readpages", "filemap_fault"))], "5.2.1", "5.4",
        (
            [facts(running("leak", *_CHARGE, "iomap_readpages"), oom(1024, total_rss=1_000_000))],
            [facts(running("leak", *_CHARGE, "do_anonymous_page"))],
        ),
    ),
    "lazytime-twice": Example(
        [trace(_lazytime())], "5.6.2", "5.11",
        ([trace(_lazytime(second_ino=15))], [trace(_lazytime(hole="CPU:1 [LOST 500 EVENTS]\n"))]),
    ),
    "commit-page-never-written": Example(
        [facts(_COMMIT, _WAITER, _WAITER_2)], "6.5.7", None,
        ([facts(_COMMIT)], [facts(_WAITER, _WAITER_2)], [facts(_COMMIT._replace(blocked_s=None), _WAITER, _WAITER_2)]),
    ),
    "removed-device-not-shut-down": Example(
        [facts(_GONE, _WRITER)], "6.1.20", "6.5",
        ([facts(_WRITER)], [facts(_GONE)], [facts(_GONE._replace(topic="remount read-only"), _WRITER)]),
    ),
    "dead-cgroup-waits": Example([facts(_TEARDOWN)], "6.12.41", "5.3.2", ([facts(_SYNC)],)),
    "cgroup-inode-switch-lockup": Example(
        [facts(running("kworker/2:1", *_SWITCH))], "6.12.4", "6.18",
        (
            [facts(stack("kworker/2:1", "schedule", "inode_switch_wbs_work_fn"))],
            [facts(running("kworker/2:1", *_SWITCH[:2], "wb_workfn"))],
        ),
    ),
    "rq-qos-missed-wakeup": Example(
        [facts(_QOS)], "5.10.3", "5.14",
        (
            [facts(_QOS._replace(blocked_s=None))],
            [facts(_QOS, LogLine(2, "device timeout", "nvme0: I/O 5 QID 2 timeout", "nvme0", 1.0))],
            [facts(_QOS, stack("fsck", "io_schedule", "submit_bio_wait", "blkdev_issue_flush", line=60))],
        ),
    ),
    "btrfs-extent-map-shrinker": Example(
        [facts(running("kswapd0", "btrfs_free_extent_maps", *SLAB))], "6.10-rc4", "6.11",
        ([facts(running("kswapd0", *SLAB))], [facts(running("cleaner", "btrfs_free_extent_maps", "cleaner_kthread"))]),
    ),
    "compaction-repeats-blocks": Example(
        [facts(running("khugepaged", "isolate_migratepages_block", "isolate_migratepages", "compact_zone"))],
        "6.1-rc8", "6.2",
        ([facts(stack("khugepaged", "schedule", "compact_zone", state="S", source="sysrq", blocked=None))],),
    ),
    "ext4-xattr-loop": Example(
        [facts(_XATTR, _WAITER)], "5.15.63", "6.2", ([facts(_XATTR)], [facts(_WAITER, _WAITER_2)])
    ),
    "raid5d-superblock-wait": Example(
        [facts(_RAID, _MD_WRITER)], "6.7.2", "5.15.2",
        ([facts(_MD_WRITER)], [facts(stack("md7_raid5", "md_super_wait", "md_update_sb", "raid5d"), _MD_WRITER)]),
    ),
    "xfs-inode-reclaim-waits": Example(
        [facts(stack("nginx", "__mutex_lock", "xfs_reclaim_inodes_ag", "xfs_reclaim_inodes_nr", *SLAB))],
        "5.4.54", "5.9",
        (
            [facts(stack("xfsaild", "schedule", "xfs_reclaim_inodes_ag", "xfs_reclaim_worker"))],
            [facts(stack("nginx", "__mutex_lock", "?xfs_reclaim_inodes_ag", *SLAB))],
        ),
    ),
    "congestion-never-ends": Example(
        [trace(_congestion(100000))], "5.10.5", "5.16", ([trace(_congestion(3000))], [trace(_congestion(0))])
    ),
    "raid0-tails-backwards": Example(
        [trace(_remaps(range(9_005_000, 8_999_000, -1024)))], "5.15.3", "6.6",
        (
            [trace(_remaps(range(9_000_000, 9_006_000, 1024)))],
            [trace(_remaps(range(9_005_000, 8_999_000, -1024), sectors=1024))],
            [trace(_remaps((9_000_000, 8_500_000, 8_400_000, 8_399_000, 100)))],
        ),
    ),
    "zone-reclaim-on": Example(
        [facts(_ZONE_MODE, stack("postgres", "zone_reclaim", "get_page_from_freelist"))], "3.10.5", "3.16",
        (
            [facts(_ZONE_MODE)],
            [facts(_ZONE_MODE._replace(text="0", number=0.0), stack("postgres", "zone_reclaim"))],
        ),
    ),
    "reserves-throttle-for-ever": Example(
        [facts(_THROTTLED_TASK)], "6.6.2", "6.13",
        ([facts(stack("java", "shrink_node", "try_to_free_pages"))], [facts(_THROTTLED_TASK._replace(blocked_s=None))]),
    ),
    "kswapd-waits-for-the-killed": Example(
        [facts(_THROTTLED_TASK, running("kswapd0", *_KSWAPD))], "3.16.2", "3.19",
        ([facts(_THROTTLED_TASK)], [facts(running("kswapd0", *_KSWAPD))]),
    ),
}  # fmt: skip
