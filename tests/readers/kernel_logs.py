# SPDX-License-Identifier: GPL-2.0-or-later
"""Reports as kernels of several eras print them, with numbers of our own, and what they say."""

from collections.abc import Iterable, Sequence
from typing import Any

from pageout.readers.facts import Fact
from pageout.readers.lines import Account, Desk, Recogniser
from pageout.readers.read import recognisers

TASK_NEW = """\
INFO: task tar:4711 blocked for more than 122 seconds.
      Tainted: G        W          6.6.3-test-1 #1
"echo 0 > /proc/sys/kernel/hung_task_timeout_secs" disables this message.
task:tar             state:D stack:0     pid:4711  tgid:4711  ppid:4700   task_flags:0x400100 flags:0x00004002
Call Trace:
 <TASK>
 __schedule+0x3e8/0x1440
 ? __pfx_wake_bit_function+0x10/0x10
 schedule+0x5e/0xd0
 io_schedule+0x46/0x70
 folio_wait_bit_common+0x13d/0x350
 xfs_file_fsync+0x5a/0x290 [xfs]
 entry_SYSCALL_64_after_hwframe+0x6e/0x76
RIP: 0033:0x7f0e0d114a5a
RSP: 002b:00007ffd8a1b2c38 EFLAGS: 00000246 ORIG_RAX: 000000000000004a
RAX: ffffffffffffffda RBX: 0000000000000003 RCX: 00007f0e0d114a5a
 </TASK>
INFO: task tar:4711 is blocked on a mutex likely owned by task kworker/u8:3:99.
task:kworker/u8:3    state:R  running task     stack:0     pid:99    tgid:99    ppid:2      flags:0x00004000
Workqueue: writeback wb_workfn (flush-8:16)
Call Trace:
 <TASK>
 ext4_mb_good_group+0x20/0x120 [ext4]
 wb_workfn+0x2b7/0x480
 ret_from_fork_asm+0x1b/0x30
 </TASK>
"""
TASK_OLD = """\
INFO: task rsync:2222 blocked for more than 120 seconds.
"echo 0 > /proc/sys/kernel/hung_task_timeout_secs" disables this message.
rsync         D ffff88007d4c1a80     0  2222   2100 0x00000080
 ffff88007b0fdc68 0000000000000086 ffff88007b0fdfd8 ffff88007b0fc000
Call Trace:
 [<ffffffff8149b6ef>] ? schedule_timeout+0x1ff/0x2f0
 [<ffffffff8149aa93>] io_schedule+0x73/0xc0
 [<ffffffff810f5b50>] sync_page+0x40/0x50
 [<ffffffffa01c2b7d>] nfs_wait_on_request+0x2d/0x40 [nfs]
 [<ffffffff8100bf02>] system_call_fastpath+0x16/0x1b
"""
TASK_PPC = """\
INFO: task dd:3131 blocked for more than 120 seconds.
dd              D 00003fff9bb0d2a4     0  3131   3000 0x00040000
Call Trace:
[c000000fea5d37b0] [c000000fea5d3800] 0xc000000fea5d3800 (unreliable)
[c000000fea5d3980] [c00000000001562c] .__switch_to+0x17c/0x2c0
[c000000fea5d39d0] [c000000000922ffc] .io_schedule+0xac/0x140
[c000000fea5d3e30] [c000000000009358] syscall_exit+0x0/0x98
"""
TASK_ARM = """\
INFO: task jbd2/mmcblk0p2-:77 blocked for more than 120 seconds.
jbd2/mmcblk0p2- D 8079ef70     0    77      2 0x00000000
Backtrace:
[<8079ef70>] (__schedule) from [<8079f5d8>] (schedule+0x50/0xa8)
[<8079f5d8>] (schedule) from [<8079fa10>] (io_schedule+0x14/0x24)
[<8079fa10>] (io_schedule) from [<80107fd8>] (ret_from_fork+0x14/0x3c)
"""
MEMORY_NEW = """\
Mem-Info:
active_anon:1201 inactive_anon:880332 isolated_anon:32
 active_file:310 inactive_file:2047 isolated_file:0
 unevictable:16 dirty:1536 writeback:256
 slab_reclaimable:4100 slab_unreclaimable:9000
 mapped:700 shmem:44 pagetables:2500
 sec_pagetables:0 bounce:0
 kernel_misc_reclaimable:0
 free:13401 free_pcp:61 free_cma:0
Node 0 active_anon:4804kB inactive_anon:3521328kB active_file:1240kB inactive_file:8188kB unevictable:64kB \
isolated(anon):128kB isolated(file):0kB mapped:2800kB dirty:6144kB writeback:1024kB shmem:176kB \
writeback_tmp:0kB kernel_stack:4400kB pagetables:10000kB all_unreclaimable? no
Node 0 DMA free:14336kB boost:0kB min:128kB low:160kB high:192kB reserved_highatomic:0KB active_anon:0kB \
inactive_anon:0kB active_file:0kB inactive_file:0kB unevictable:0kB writepending:0kB present:15992kB \
managed:15360kB mlocked:0kB bounce:0kB free_pcp:0kB local_pcp:0kB free_cma:0kB
lowmem_reserve[]: 0 3357 3900 3900
Node 0 Normal free:39268kB boost:0kB min:40000kB low:50000kB high:60000kB active_anon:4804kB \
inactive_anon:3521328kB active_file:1240kB inactive_file:8188kB writepending:7168kB present:4177920kB \
managed:3993600kB free_cma:0kB
lowmem_reserve[]: 0 0 0 0
Node 0 DMA: 0*4kB 0*8kB 0*16kB 0*32kB 0*64kB 0*128kB 0*256kB 0*512kB 0*1024kB 1*2048kB (M) 3*4096kB (M) = 14336kB
Node 0 Normal: 917*4kB (UME) 450*8kB (UME) 500*16kB (UE) 740*32kB (U) 0*64kB 0*128kB 0*256kB 0*512kB 0*1024kB \
0*2048kB 0*4096kB = 38948kB
Node 0 hugepages_total=0 hugepages_free=0 hugepages_surp=0 hugepages_size=2048kB
2401 total pagecache pages
1200 pages in swap cache
Free swap  = 1020kB
Total swap = 2097148kB
1048478 pages RAM
0 pages HighMem/MovableOnly
46238 pages reserved
"""
OOM_NEW = (
    """\
mkfs.ext4 invoked oom-killer: gfp_mask=0x101c4a(GFP_NOFS|__GFP_HIGHMEM|__GFP_HARDWALL|__GFP_MOVABLE|__GFP_WRITE), \
order=0, oom_score_adj=-17
CPU: 2 PID: 3001 Comm: mkfs.ext4 Not tainted 6.1.9-test #7
Hardware name: Some Maker Model/Board, BIOS 1.2 01/02/2023
Call Trace:
 <TASK>
 dump_stack_lvl+0x45/0x5a
 dump_header+0x4a/0x1f0
 out_of_memory+0x10e/0x4f0
 ? blkdev_write_begin+0x10/0x10
 __alloc_pages+0x1d4/0x240
 </TASK>
"""
    + MEMORY_NEW
    + """\
Tasks state (memory values in pages):
[  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name
[    512]     0   512     7010      500    77824      300         -1000 systemd-udevd
[   3300]  1000  3300   950000   870000  7200000   250000           300 Web Content
oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,global_oom,\
task_memcg=/user.slice,task=Web Content,pid=3300,uid=1000
Out of memory: Killed process 3300 (Web Content) total-vm:3800000kB, anon-rss:3480000kB, file-rss:0kB, \
shmem-rss:176kB, UID:1000 pgtables:7031kB oom_score_adj:300
oom_reaper: reaped process 3300 (Web Content), now anon-rss:0kB, file-rss:0kB, shmem-rss:176kB
"""
)
OOM_2010 = """\
dd invoked oom-killer: gfp_mask=0x201da, order=0, oom_adj=0
Pid: 1234, comm: dd Not tainted 2.6.34 #3
Call Trace:
 [<ffffffff810a1b2c>] ? dump_header+0x8c/0x1a0
 [<ffffffff810a1d20>] oom_kill_process+0xe0/0x220
 [<ffffffff810a60de>] __alloc_pages_nodemask+0x5fe/0x6b0
Mem-Info:
Node 0 DMA per-cpu:
CPU    0: hi:    0, btch:   1 usd:   0
active_anon:52000 inactive_anon:17400 isolated_anon:0
 active_file:100 inactive_file:40000 isolated_file:64
 unevictable:0 dirty:30000 writeback:9000 unstable:0
 free:1200 slab_reclaimable:900 slab_unreclaimable:2600
 mapped:200 shmem:10 pagetables:1100 bounce:0
Node 0 DMA free:2020kB min:84kB low:104kB high:124kB active_anon:0kB inactive_anon:100kB active_file:0kB \
inactive_file:9000kB unevictable:0kB isolated(anon):0kB isolated(file):0kB present:15708kB mlocked:0kB \
dirty:8800kB writeback:200kB mapped:0kB shmem:0kB slab_reclaimable:0kB slab_unreclaimable:40kB \
kernel_stack:0kB pagetables:0kB unstable:0kB bounce:0kB writeback_tmp:0kB pages_scanned:19000 all_unreclaimable? yes
lowmem_reserve[]: 0 489 489 489
Node 0 DMA: 5*4kB 2*8kB 4*16kB 2*32kB 1*64kB 0*128kB 1*256kB 1*512kB 1*1024kB 0*2048kB 0*4096kB = 2020kB
40164 total pagecache pages
0 pages in swap cache
Swap cache stats: add 11, delete 11, find 5/6
Free swap  = 0kB
Total swap = 0kB
131056 pages RAM
[ pid ]   uid  tgid total_vm      rss cpu oom_adj name
[ 1100]     0  1100     2980       60   0       0 rsyslogd
Out of memory: kill process 1100 (rsyslogd) score 500 or a child
Killed process 1100 (rsyslogd) vsz:11920kB, anon-rss:240kB, file-rss:0kB
"""
OOM_MEMCG_V1 = """\
cp invoked oom-killer: gfp_mask=0xd0, order=0, oom_score_adj=0
CPU: 0 PID: 88 Comm: cp Not tainted 3.16.0 #1
Call Trace:
 [<ffffffff8117a3f1>] mem_cgroup_oom_synchronize+0x521/0x540
Task in /box/inner killed as a result of limit of /box
memory: usage 102400kB, limit 102400kB, failcnt 777
memory+swap: usage 102404kB, limit 18014398509481983kB, failcnt 0
kmem: usage 0kB, limit 18014398509481983kB, failcnt 0
Memory cgroup stats for /box: cache:90000KB rss:0KB rss_huge:0KB mapped_file:0KB dirty:70000KB writeback:9000KB \
inactive_anon:0KB active_anon:0KB inactive_file:80000KB active_file:10000KB unevictable:0KB
Memory cgroup stats for /box/inner: cache:10000KB rss:2400KB rss_huge:0KB mapped_file:0KB dirty:500KB writeback:0KB \
inactive_anon:1200KB active_anon:1200KB inactive_file:10000KB active_file:0KB unevictable:0KB
[ pid ]   uid  tgid total_vm      rss nr_ptes swapents oom_score_adj name
[   88]     0    88     5000      600      14        0             0 cp
Memory cgroup out of memory: Kill process 88 (cp) score 30 or sacrifice child
Killed process 88 (cp) total-vm:20000kB, anon-rss:2400kB, file-rss:0kB
"""
OOM_MEMCG_V2 = """\
tar invoked oom-killer: gfp_mask=0x8c40(GFP_NOFS|__GFP_NOFAIL), order=0, oom_score_adj=0
CPU: 3 UID: 1000 PID: 901 Comm: tar Not tainted 6.10.1 #1
Call Trace:
 <TASK>
 mem_cgroup_out_of_memory+0x12e/0x150
 try_charge_memcg+0x7a0/0x8b0
 </TASK>
memory: usage 65536kB, limit 65536kB, failcnt 4321
swap: usage 0kB, limit 0kB, failcnt 0
Memory cgroup stats for /system.slice/backup.service:
anon 409600
file 60000256
kernel 5000000
file_mapped 0
file_dirty 59000000
file_writeback 81920
inactive_file 50000000
pgscan 9000
pgsteal_direct 400
Tasks state (memory values in pages):
[  pid  ]   uid  tgid total_vm      rss rss_anon rss_file rss_shmem pgtables_bytes swapents oom_score_adj name
[    901]  1000   901     3000      900      100      800         0    61440        0             0 tar
oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/system.slice/backup.service,\
task_memcg=/system.slice/backup.service,task=tar,pid=901,uid=1000
Memory cgroup out of memory: Killed process 901 (tar) total-vm:12000kB, anon-rss:400kB, file-rss:3200kB, \
shmem-rss:0kB, UID:1000 pgtables:60kB oom_score_adj:0
"""
ALLOC_NEW = (
    """\
kworker/u4:1: page allocation failure: order:4, mode:0x40dc0(GFP_KERNEL|__GFP_COMP|__GFP_ZERO), \
nodemask=(null),cpuset=/,mems_allowed=0
CPU: 1 PID: 61 Comm: kworker/u4:1 Tainted: G           OE      5.10.60 #2
Workqueue: events_unbound async_run_entry_fn
Call Trace:
 dump_stack+0x6b/0x83
 warn_alloc+0x115/0x190
 __alloc_pages_slowpath.constprop.0+0xcf4/0xd30
"""
    + MEMORY_NEW
)
ALLOC_OLD = """\
swapper: page allocation failure. order:0, mode:0x20
Pid: 0, comm: swapper Not tainted 2.6.34 #3
Call Trace:
 <IRQ>  [<ffffffff810a60de>] __alloc_pages_nodemask+0x5fe/0x6b0
 [<ffffffff8138f0e4>] ? __alloc_skb+0x74/0x170
Mem-Info:
active_anon:10 inactive_anon:20 isolated_anon:0
"""
STALLED = """\
java: page allocation stalls for 10516ms, order:2, mode:0x14000c0(GFP_KERNEL), nodemask=(null)
java cpuset=/ mems_allowed=0
CPU: 0 PID: 700 Comm: java Not tainted 4.13.4 #1
Call Trace:
 warn_alloc+0x11c/0x1b0
Mem-Info:
active_anon:11 inactive_anon:21 isolated_anon:0
"""
SLUB = """\
SLUB: Unable to allocate memory on node -1, gfp=0x20000(GFP_ATOMIC)
  cache: kmalloc-4k, object size: 4096, buffer size: 4096, default order: 3, min order: 0
  node 0: slabs: 21, objs: 168, free: 0
"""
LOCKUP = """\
watchdog: BUG: soft lockup - CPU#3 stuck for 26s! [kswapd0:44]
Modules linked in: xfs nvme
CPU: 3 PID: 44 Comm: kswapd0 Not tainted 5.4.2 #1
RIP: 0010:shrink_slab+0x9e/0x2d0
RSP: 0018:ffffa1b2c3d4e5f0 EFLAGS: 00000246
Call Trace:
 shrink_node+0xd4/0x430
 kswapd+0x3c0/0x730
"""
SYSRQ = """\
sysrq: Show Blocked State
  task                        PC stack   pid father
cp              D    0   901    900 0x00000000
Call Trace:
 schedule+0x4a/0xb0
 balance_dirty_pages+0x2f5/0xd70
sync            D    0   902    900 0x00004000
Call Trace:
 schedule+0x4a/0xb0
 wb_wait_for_completion+0x56/0x90
"""
ALL = {
    "hung task": TASK_NEW, "old hung task": TASK_OLD, "ppc64": TASK_PPC, "arm": TASK_ARM, "oom": OOM_NEW,
    "oom 2010": OOM_2010, "memcg v1": OOM_MEMCG_V1, "memcg v2": OOM_MEMCG_V2, "allocation": ALLOC_NEW,
    "old allocation": ALLOC_OLD, "stall": STALLED, "slub": SLUB, "lockup": LOCKUP, "sysrq": SYSRQ,
}  # fmt: skip


def read(text: str | bytes) -> tuple[list[Fact], Account, list[Recogniser]]:
    """Read a text as `read_input` does; it may hold nothing that is known."""
    from pageout.readers.dress import undress

    account, readers = Account(), recognisers()
    desk = Desk(readers, account)
    for line in undress([text.encode() if isinstance(text, str) else text]):
        desk.take(line)
    return list(desk.facts()), account, readers


def said(facts: Iterable[Fact]) -> list[Any]:
    """Return the facts without line numbers and stamps: what must be the same in any dress."""
    return [_bare(fact) for fact in facts]


def _bare(value: Any) -> Any:
    if hasattr(value, "_fields"):
        kept = [name for name in value._fields if name not in ("line", "last_line", "stamp_s")]
        return type(value).__name__, [(name, _bare(getattr(value, name))) for name in kept]
    if isinstance(value, dict):
        return {key: _bare(inner) for key, inner in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_bare(inner) for inner in value]
    return value
