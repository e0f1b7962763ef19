# SPDX-License-Identifier: GPL-2.0-or-later
"""Known kernel faults around reclaim and writeback: which releases, what it looks like, what to do, who says so.

Every row was looked up in a public thread or commit, named by `source`; what nobody was found to say is None. Releases
are mainline's. A commit whose release the source does not name is placed by its date, at the merge window after it.
`docs/reference/known-kernels.md` is this table to read.
"""

from __future__ import annotations

from typing import NamedTuple

from pageout.diagnose import signatures as sign
from pageout.diagnose import trace_signatures as trace
from pageout.diagnose.findings import ERROR, HIGH, INFO, LOW, MEDIUM, WARNING
from pageout.diagnose.releases import Backport, Span

LORE = "https://lore.kernel.org/r/"
LOOKED_UP = "2026-11-23"


class Known(NamedTuple):
    """One fault.

    looks      the symptom, in words; `signature` finds it
    commit     of the fix (abbreviated), None if there is none or it was not found
    do         advice, the surest first
    or_else    what else looks the same: the finding says so
    sure       confidence if a mainline kernel in the range shows the signature
    severity   as of other findings; a finding of low confidence is a warning at most
    seen_on    releases the reports name
    told_by    the range decides alone: without a kernel's name the row says nothing
    """

    id: str
    title: str
    span: Span
    commit: str | None
    signature: sign.Signature
    looks: str
    do: tuple[str, ...]
    or_else: tuple[str, ...]
    source: str
    sure: str = MEDIUM
    severity: str = WARNING
    seen_on: tuple[str, ...] = ()
    told_by_name: bool = False
    capture: tuple[str, ...] = ("settings",)
    looked_up: str = LOOKED_UP


_MGLRU_OFF = "echo 0 > /sys/kernel/mm/lru_gen/enabled (undo: echo the former value): the old lists wake the flushers"
_NO_STRIPE = "mount ext4 with stripe=0 (or without stripe=): the price is partial stripes on RAID5/6 of disks"

KNOWN: tuple[Known, ...] = (
    Known(
        "throttled-in-vain", "reclaim sleeps for writeback that is not there",
        Span("5.16-rc1", "5.16"), "1b4e3f26f9f7", trace.throttled_in_vain,
        "mm_vmscan_throttled: many tasks that are not kswapd wait the whole timeout, reason VMSCAN_THROTTLE_WRITEBACK; near OOM the machine stalls for minutes",
        ("5.16 or later, or 5.15 and before",),
        ("a device so slow that nothing gets written within a timeout: nr_writeback is high then",),
        "https://kernel.googlesource.com/pub/scm/linux/kernel/git/jberg/mac80211/+/1b4e3f26f9f7553b260b8aed43967500961448a6",
        sure=HIGH, seen_on=("5.16-rc1",), capture=("counters", "reclaim"),
    ),
    Known(
        "mglru-no-flusher", "MGLRU does not wake the flushers, and a cgroup full of dirty pages is killed",
        Span("6.1", "6.13", (Backport("6.12", 104),)), "1bc542c6a0d1", sign.oom_dirty_unwritten,
        "memcg OOM report: file_dirty most of the limit, file_writeback 0, all scanning by the tasks",
        (_MGLRU_OFF, "6.13, 6.12.104 or later; or memory.high below memory.max"),
        ("the old lists with a device that takes nothing: look at /sys/kernel/mm/lru_gen/enabled",),
        LORE + "20240929113050.76079-1-jingxiangzeng.cas@gmail.com",
        sure=HIGH, severity=ERROR, seen_on=("6.7.4",), capture=("cgroup",),
    ),
    Known(
        "mglru-late-flusher", "MGLRU wakes the flushers late or never when a later batch of pages was clean",
        Span("6.13", None), None, sign.oom_dirty_unwritten,
        "the same OOM report as mglru-no-flusher, on a kernel that has its fix",
        (_MGLRU_OFF, "a kernel with the patch of April 2026, once it is merged"),
        ("a device that takes nothing",),
        "https://lkml.iu.edu/hypermail/linux/kernel/2604.3/10634.html",
        severity=ERROR, told_by_name=True, capture=("cgroup",),
    ),
    Known(
        "mglru-v1-no-throttle", "MGLRU does not hold back reclaim in cgroup v1 while its pages are being written",
        Span("6.1", None), None, sign.oom_v1_writeback,
        "OOM report of a v1 memory cgroup: most of the limit dirty and under writeback; writers of v1 cgroups are not held back by the dirty limits of their own",
        (_MGLRU_OFF, "cgroup v2: its writers are held back by the cgroup's own dirty limit"),
        ("a device much slower than the writer, whatever the lists: v1 has no dirty limit a cgroup",),
        "https://lkml.iu.edu/2603.3/05056.html",
        sure=LOW, severity=ERROR, capture=("cgroup",),
    ),
    Known(
        "strictlimit-zero", "the share of a quiet strictlimit device (FUSE) sinks to 0: its writers crawl",
        Span(None, "6.14"), "6aeb991c54b2", trace.strictlimit_zero,
        "balance_dirty_pages: task_ratelimit=0 and bdi_setpoint=0 on a 0:NN device while dirty is far below limit; a few pages a pause",
        ("6.14 or later", "until then: /sys/class/bdi/MAJ:MIN/min_ratio = 1 keeps a floor (undo: 0)"),
        ("a device whose max_ratio was set to next to nothing",),
        LORE + "20241119114444.3925495-1-jimzhao.ai@gmail.com",
        sure=HIGH, capture=("throttle",),
    ),
    Known(
        "ext4-scattered-writes", "ext4 spreads small files over all groups, and cheap flash takes minutes to sync",
        Span("5.18", "6.0", (Backport("5.19", 12), Backport("5.15", 71)), (Backport("5.15", None),)),
        "1940265ede66", sign.sync_small_writes,
        "sync hangs for minutes; iostat: the SD card or eMMC is 100 % busy with writes of some 20-40 KiB",
        ("6.0, 5.19.12, 5.15.71 or later", "until then mount with mb_optimize_scan=0"),
        ("another writer of small files, a worn card, a filesystem other than ext4",),
        LORE + "38333b47-6871-00e2-db54-bde96a74bf00@i2se.com",
        seen_on=("5.15.0-46-generic", "5.19"), capture=("device", "block", "shape"),
    ),
    Known(
        "ext4-stripe-search", "ext4 searches whole groups for stripe-aligned blocks: the flusher burns a CPU",
        Span("6.5", None), "1f6bc02f1848", sign.ext4_group_scan,
        "the flusher (kworker, wb_workfn) always on a CPU in ext4_mb_*; others wait for it; mounted with stripe=",
        (_NO_STRIPE, "6.8 and later cure one case of it; 6.12 was still reported slow"),
        ("a full or fragmented filesystem without stripe=; one sample of a busy flusher proves little",),
        LORE + "cover.1702455010.git.ojaswin@linux.ibm.com",
        seen_on=("6.1", "6.5", "6.6", "6.12.41"), capture=("blocked", "shape"),
    ),
    Known(
        "kswapd-hopeless-node", "kswapd does not give up on a node without anything to reclaim",
        Span("4.8", "4.12"), "c73322d098e4", sign.kswapd_spins,
        "kswapd at 100 % CPU for hours, with nothing left to scan: huge pages reserved, memory of one node pinned",
        ("4.12 or later", "give the node memory back (vm.nr_hugepages), kswapd then sleeps"),
        ("real memory pressure: one sample of a running kswapd is no proof of a loop",),
        LORE + "CALvZod7NzuG7MRhPY4cVD1wXPu0yo1y=ELOpq6nCWSJ_fbk1Gg@mail.gmail.com",
        sure=LOW, told_by_name=True, capture=("counters", "reclaim"),
    ),
    Known(
        "kswapd-scans-clean-cache", "kswapd scans millions of pages a second beside clean cache; cause not found",
        Span(None, None), None, sign.kswapd_scans_in_vain,
        "sar -B: pgscank/s in the millions, %vmeff near 0, pgscand/s 0; sar -r: dirty tiny; an NFS server, slow for its clients",
        ("trace reclaim before changing anything",),
        ("pages pinned or mapped; the reporter suspected the fault that 182db972c956 fixes, whose text is of failing writes, not of scanning",),
        LORE + "CAPwv0JmRGT9b4LeubKABWOsc97U0i6_kJyMAJQ2K7qoexSB=zA@mail.gmail.com",
        sure=LOW, seen_on=("6.12.13",), capture=("reclaim", "counters"),
    ),
    Known(
        "memcg-nofs-charge", "a GFP_NOFS charge at a cgroup's limit reclaims for ever and kills nobody",
        Span("4.19", "5.4"), "f9c645621a28", sign.memcg_charge_loops,
        "a task in try_charge below a read or fault of XFS or ext4, always running or hung, and no OOM report",
        ("5.4 or later, or a stable kernel of autumn 2019", "raise the cgroup's limit: the task goes on"),
        ("a cgroup that reclaims slowly but does get on; a log from which the OOM report was cut",),
        LORE + "7e3c0399-c091-59cd-dbe6-ff53c7c8adc9@i-love.sakura.ne.jp",
        severity=ERROR, seen_on=("4.19", "5.3-rc1"), capture=("cgroup", "log"),
    ),
    Known(
        "lazytime-twice", "an inode with a lazy timestamp is written twice",
        Span(None, "5.11"), "1e249cb5b7fc", trace.lazytime_twice,
        "trace: writeback_lazytime, then writeback_mark_inode_dirty I_DIRTY_SYNC of the same inode by the flusher, then writing it again seconds later",
        ("5.11 or later, or stable kernels of early 2021", "mount without lazytime"),
        ("somebody who writes the same file meanwhile",),
        LORE + "20200306004555.GB225345@gmail.com",
        sure=HIGH, capture=("throttle",),
    ),
    Known(
        "commit-page-never-written", "ext4's commit waits for a page whose I/O never ends; cause not found",
        Span(None, None), None, sign.commit_waits_for_page,
        "jbd2 hung in folio_wait_bit below jbd2_journal_commit_transaction, everybody else waits for the journal",
        ("look below the filesystem: requests in flight, the driver's and the device's messages",),
        ("a lost completion of driver or device: to the maintainers ext4 looked like the victim", "a device that is merely slow"),
        "https://bugzilla.kernel.org/show_bug.cgi?id=218011",
        sure=LOW, severity=ERROR, seen_on=("6.5.7",), capture=("blocked", "device", "log"),
    ),
    Known(
        "removed-device-not-shut-down", "the filesystem is not told that its device is gone, and writers wait for ever",
        Span(None, "6.5"), "f5db130d4443", sign.removed_device,
        "the log says a disk went; tasks stay in balance_dirty_pages below ext4 or XFS",
        ("6.5 or later shuts ext4 and XFS down when the device goes", "umount -l, or xfs_io -x -c shutdown MOUNT: the dirty data is lost either way"),
        ("the device that went is not the one these tasks write to",),
        LORE + "168598572109.2504.8975232011754082233.b4-ty@kernel.dk",
        severity=ERROR, capture=("log", "counters"),
    ),
    Known(
        "dead-cgroup-waits", "the worker that frees dead cgroups waits for writeback, and is called hung",
        Span("5.4", None), "61bbf51e75df (linux-next)", sign.dead_cgroup_waits,
        "hung task: a kworker (cgroup_destroy) in wb_wait_for_completion below mem_cgroup_css_free, nobody else",
        ("nothing: no user waits for it", "if writeback itself is slow, that is a question of its own"),
        ("writeback that makes no progress at all: other tasks hang then too",),
        LORE + "20251006115615.2289526-1-matt@readmodwrite.com",
        severity=INFO, seen_on=("6.12.41",), capture=("device", "throttle"),
    ),
    Known(
        "cgroup-inode-switch-lockup", "workers that move a dead cgroup's inodes all spin for one lock",
        Span("5.14", "6.18"), "e1b849cfa6b6", sign.inode_switches,
        "soft lockups of kworkers in inode_switch_wbs_work_fn below a spinlock, after a cgroup with many files ended",
        ("6.18 or later, or a stable kernel of 2026 with the backport", "fewer, longer-lived cgroups for jobs that touch many files"),
        ("another holder of the lock",),
        LORE + "20250909144400.2901-5-jack@suse.cz",
        severity=ERROR, sure=HIGH, capture=("blocked", "log"),
    ),
    Known(
        "rq-qos-missed-wakeup", "a wake-up is lost between tasks that wait for leave to submit writes",
        Span(None, "5.14"), "11c7aa0ddea8", sign.rq_qos_sleeps,
        "tasks hung in rq_qos_wait or wbt_wait while the device is idle",
        ("5.14 or later, or a stable kernel from mid 2021 on", "echo 0 > /sys/block/DEV/queue/wbt_lat_usec (undo: echo -1): no throttling, nothing to lose"),
        ("a device that does not complete the requests in flight: look at /proc/diskstats twice",),
        LORE + "20210607112613.25344-1-jack@suse.cz",
        severity=ERROR, capture=("device", "counters", "log"),
    ),
    Known(
        "btrfs-extent-map-shrinker", "reclaim spends its time walking btrfs's extent maps",
        Span("6.10", "6.11", (Backport("6.10", None),)), "534f7eff9239", sign.btrfs_extent_maps,
        "kswapd at 100 % CPU, desktops freeze; stacks in btrfs_free_extent_maps below shrink_slab",
        ("6.11 or later, or a 6.10 stable kernel of late August 2024",),
        ("one sample: that reclaim was there, not for how long",),
        LORE + "20240827143833.371588371@linuxfoundation.org",
        capture=("slab", "reclaim"), seen_on=("6.10-rc6",),
    ),
    Known(
        "compaction-repeats-blocks", "compaction looks at the same blocks again and again",
        Span("6.1", "6.2", (Backport("6.1", None),)), "95e7a450b819", sign.compaction_loops,
        "khugepaged, kcompactd or a task that wants huge pages: on a CPU in fast_find_migrateblock for long",
        ("6.2 or later, or a 6.1 stable kernel of February 2023", "/sys/kernel/mm/transparent_hugepage/khugepaged/defrag = 0 (undo: 1); for faulting tasks transparent_hugepage/defrag = never"),
        ("fragmented memory that is merely slow to compact",),
        LORE + "20230125134434.18017-1-mgorman@techsingularity.net",
        capture=("compaction",), seen_on=("6.1",),
    ),
    Known(
        "ext4-xattr-loop", "ext4 loops for ever over a shared attribute block, holding the journal open",
        Span(None, "6.2", (Backport("4.19", None),)), "a44e84a9b776", sign.ext4_xattr_loops,
        "one task always running in ext4_xattr_block_set, all others wait for the journal",
        ("6.2 or later, or a stable kernel of January 2023",),
        ("one sample of a task that sets attributes while the journal is busy for another reason",),
        LORE + "20230116154906.868578674@linuxfoundation.org",
        severity=ERROR, seen_on=("5.15.63",), capture=("blocked",),
    ),
    Known(
        "raid5d-superblock-wait", "raid5d waits for a superblock update that only raid5d can start",
        Span("5.19", None), "151f66bb618d", sign.raid5d_waits,
        "mdN_raid5 or mdN_raid6 hung or spinning in raid5d, writers in md_write_start or raid5_get_active_stripe",
        ("a stable kernel of summer 2024 or later, with 151f66bb618d (bed9e27baf52 undid it once, early in 2024)",),
        ("a member disk that does not answer",),
        LORE + "20240322081005.1112401-1-yukuai1@huaweicloud.com",
        severity=ERROR, capture=("blocked", "log", "shape"),
    ),
    Known(
        "xfs-inode-reclaim-waits", "tasks that allocate wait while XFS's shrinker writes dirty inodes",
        Span(None, "5.9"), "0e8e2c6343dd", sign.xfs_inode_reclaim,
        "tasks, also of other filesystems, wait in xfs_reclaim_inodes_ag below shrink_slab; millions of cached inodes",
        ("5.9 or later: the shrinker no longer waits for I/O; what waits then is the journal", "fewer inodes dirtied at once (spread the backup over the night)"),
        ("many reclaimers on one lock, without any dirty inode",),
        LORE + "20200803221111.GC2114@dread.disaster.area",
        sure=HIGH, seen_on=("5.4.54",), capture=("slab", "counters"),
    ),
    Known(
        "congestion-never-ends", "waits for congestion last their whole timeout: no queue says when it ends",
        Span("5.0", "5.16"), "8cd7c588decf", trace.congestion_timeouts,
        "writeback_congestion_wait and writeback_wait_iff_congested: usec_delayed is usec_timeout, time after time",
        ("5.16 or later: reclaim waits for pages to get written instead",),
        ("a queue that is really congested that long: before 5.0 that happens, and looks the same",),
        "https://patchwork.kernel.org/project/linux-mm/cover/20211008135332.19567-1-mgorman@techsingularity.net/",
        sure=HIGH, told_by_name=True, capture=("reclaim",),
    ),
    Known(
        "raid0-tails-backwards", "RAID0 splits large writes and sends second halves backwards, in small pieces",
        Span(None, "6.6"), None, trace.raid0_tails,
        "block trace: after a large write to md, remaps of a few KiB each, every one a chunk before the last",
        ("6.6 or later, or a stable kernel that lists the fix", "align partition and filesystem to the chunk: unaligned writes are what is split"),
        ("an application that writes backwards itself",),
        LORE + "20230814092720.3931-2-jack@suse.cz",
        sure=HIGH, capture=("block", "shape"),
    ),
    Known(
        "zone-reclaim-on", "allocations reclaim in their own NUMA node while others have free memory",
        Span(None, "3.16"), "4f9b16a64753", sign.zone_reclaim,
        "vm.zone_reclaim_mode 1, set by the kernel itself on machines with far nodes; tasks in zone_reclaim",
        ("vm.zone_reclaim_mode = 0 (undo: 1); 3.16 and later have 0 unless somebody sets it",),
        ("somebody set it on purpose, for a load split by node",),
        LORE + "1396945380-18592-2-git-send-email-mgorman@suse.de",
        sure=HIGH, capture=("settings", "counters"),
    ),
    Known(
        "reserves-throttle-for-ever", "allocations sleep because a node seems short of its reserves, and it stays so",
        Span(None, "6.13", (Backport("5.4", 289), Backport("5.10", 233))), "6aaced5abd32", sign.reserves_throttle,
        "tasks hung in throttle_direct_reclaim; pgscan_direct_throttle grows",
        ("6.13, 5.10.233, 5.4.289 or later", "raise vm.min_free_kbytes, or free memory of that node"),
        ("a machine that is truly out of memory with swap on the network: then it is meant", "9282012fc0aa (2022) mends another way into it"),
        "https://tangled.org/tjh.dev/kernel/commit/9282012fc0aa248b77a69f5eb802b67c5a16bb13?diff=split",
        severity=ERROR, capture=("counters", "blocked"),
    ),
    Known(
        "kswapd-waits-for-the-killed", "kswapd loops because a killed task has not left the queue it was throttled in",
        Span(None, "3.19", (Backport("3.18", 3),)), "9e5e36617272", sign.reserves_livelock,
        "kswapd runs without end, a task that was killed stands in throttle_direct_reclaim",
        ("3.18.3, 3.19 or later",),
        ("true shortage, in which both would stand there too",),
        "https://github.com/openzfs/zfs/issues/3191",
        severity=ERROR, told_by_name=True, capture=("blocked", "counters"),
    ),
)  # fmt: skip
