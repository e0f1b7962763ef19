# SPDX-License-Identifier: GPL-2.0-or-later
"""`python -m bench.recording FILE [--lines N]`: a long recording in ftrace text, as a 6.x kernel would print it.

Nothing in it happened: times rise, values are of a likely size, and that is all. The same arguments give the same
bytes.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable, Iterator
from pathlib import Path

LINES = 2_000_000
_NR_CPUS = 8
_CHUNK = 10_000  # lines written at once

HEADER = """# tracer: nop
#
# entries-in-buffer/entries-written: {lines}/{lines}   #P:8
#
#                                _-----=> irqs-off/BH-disabled
#                               / _----=> need-resched
#                              | / _---=> hardirq/softirq
#                              || / _--=> preempt-depth
#                              ||| / _-=> migrate-disable
#                              |||| /     delay
#           TASK-PID     CPU#  |||||  TIMESTAMP  FUNCTION
#              | |         |   |||||     |         |
"""

# Names with blanks, slashes, colons and dashes in them, as they are.
COMMS = (
    "<idle>-0", "kswapd0-88", "kswapd1-89", "kcompactd0-71", "kworker/u16:3+flush-8:0-4481", "kworker/u16:0-1207",
    "kworker/0:1H-233", "kworker/3:2-9120", "jbd2/sda1-8-142", "xfsaild/dm-0-611", "fio-20481", "fio-20482", "dd-3301",
    "postgres-1544", "Web Content-7710", "tmux: server-902", "GC Thread#3-30112", "my-app -w 4-8123", "<...>-77123",
)  # fmt: skip
_GFP = (
    "GFP_HIGHUSER_MOVABLE|__GFP_COMP|__GFP_WRITE", "GFP_NOFS|__GFP_NOWARN|__GFP_COMP", "GFP_KERNEL",
    "GFP_KERNEL_ACCOUNT", "GFP_HIGHUSER_MOVABLE|__GFP_CMA", "GFP_TRANSHUGE_LIGHT",
)  # fmt: skip
_FLAGS = (".....", "...1.", "d..2.", "d.h1.", "..s1.", ".N.1.", "d..3.")
_RECLAIM = ("RECLAIM_WB_FILE|RECLAIM_WB_ASYNC", "RECLAIM_WB_ANON|RECLAIM_WB_ASYNC", "RECLAIM_WB_FILE|RECLAIM_WB_SYNC")
_LRU = ("inactive_file", "active_file", "inactive_anon", "active_anon")
_STATES = ("I_DIRTY_PAGES|I_SYNC", "I_DIRTY_SYNC|I_DIRTY_DATASYNC|I_DIRTY_PAGES|I_SYNC", "I_SYNC|I_SYNC_QUEUED", "")
_SHRINKERS = (
    "super_cache_scan+0x0/0x1a0 000000004d2fa7c1", "super_cache_scan+0x0/0x1a0 00000000be35c402",
    "i915_gem_shrinker_scan+0x0/0x120 00000000711ec0aa", "xfs_buftarg_shrink_scan+0x0/0xb0 00000000c86e2b1f",
)  # fmt: skip
_REASONS = ("VMSCAN_THROTTLE_WRITEBACK", "VMSCAN_THROTTLE_NOPROGRESS", "VMSCAN_THROTTLE_CONGESTED")
_DEVICES, _RWBS = ("8,0", "8,16", "253,0"), ("W", "WS", "WM", "R", "RA")
_BDI = ("8:0", "8:16", "253:0", "259:1")

Random = random.Random


def _up_to(r: Random, limit: int) -> int:
    """A number below the limit, small ones as likely as large ones."""
    return int(limit ** r.random()) - 1


def _kswapd_wake(r: Random) -> str:
    return f"mm_vmscan_kswapd_wake: nid={r.randrange(2)} order={r.randrange(4)}"


def _kswapd_sleep(r: Random) -> str:
    return f"mm_vmscan_kswapd_sleep: nid={r.randrange(2)}"


def _wakeup_kswapd(r: Random) -> str:
    return f"mm_vmscan_wakeup_kswapd: nid={r.randrange(2)} order={r.randrange(4)} gfp_flags={r.choice(_GFP)}"


def _direct_begin(r: Random) -> str:
    return f"mm_vmscan_direct_reclaim_begin: order={r.randrange(10)} gfp_flags={r.choice(_GFP)}"


def _direct_end(r: Random) -> str:
    return f"mm_vmscan_direct_reclaim_end: nr_reclaimed={_up_to(r, 4000)}"


def _isolate(r: Random) -> str:
    taken = r.randrange(33)
    return (
        f"mm_vmscan_lru_isolate: classzone={r.randrange(4)} order={r.randrange(4)} nr_requested=32 nr_scanned={taken} "
        f"nr_skipped=0 nr_taken={taken} lru={r.choice(_LRU)}"
    )


def _shrink_inactive(r: Random) -> str:
    scanned = r.randrange(1, 33)
    return (
        f"mm_vmscan_lru_shrink_inactive: nid={r.randrange(2)} nr_scanned={scanned} nr_reclaimed={r.randrange(scanned)} "
        f"nr_dirty={r.randrange(4)} nr_writeback={r.randrange(4)} nr_congested=0 nr_immediate={r.randrange(2)} "
        f"nr_activate_anon=0 nr_activate_file={r.randrange(3)} nr_ref_keep=0 nr_unmap_fail=0 "
        f"priority={r.randrange(13)} flags={r.choice(_RECLAIM)}"
    )


def _slab_start(r: Random) -> str:
    cached = _up_to(r, 3_000_000)
    return (
        f"mm_shrink_slab_start: {r.choice(_SHRINKERS)}: nid: {r.randrange(2)} objects to shrink {_up_to(r, 9000)} "
        f"gfp_flags {r.choice(_GFP)} cache items {cached} delta {cached >> 11} total_scan {cached >> 10} "
        f"priority {r.randrange(13)}"
    )


def _slab_end(r: Random) -> str:
    return (
        f"mm_shrink_slab_end: {r.choice(_SHRINKERS)}: nid: {r.randrange(2)} unused scan count {_up_to(r, 9000)} "
        f"new scan count {_up_to(r, 9000)} total_scan {_up_to(r, 1024)} last shrinker return val {_up_to(r, 1024)}"
    )


def _throttled(r: Random) -> str:
    return (
        f"mm_vmscan_throttled: nid={r.randrange(2)} usec_timeout=100000 usect_delayed={_up_to(r, 104_000)} "
        f"reason={r.choice(_REASONS)}"
    )


def _balance(r: Random, wb: str) -> str:
    dirty, pause = r.randrange(600_000), _up_to(r, 200)
    return (
        f"balance_dirty_pages: bdi {r.choice(_BDI)}: limit=655360 setpoint=573440 dirty={dirty} "
        f"{wb}_setpoint={dirty >> 1} {wb}_dirty={dirty >> 2} dirty_ratelimit={_up_to(r, 400_000)} "
        f"task_ratelimit={_up_to(r, 400_000)} dirtied={_up_to(r, 512)} dirtied_pause={_up_to(r, 512)} "
        f"paused={r.randrange(2)} pause={pause} period={pause + 4} think={r.randrange(-2, 9)} "
        f"cgroup_ino={r.choice((1, 1, 4711))}"
    )


def _balance_6_1(r: Random) -> str:
    return _balance(r, "bdi")


def _balance_6_18(r: Random) -> str:
    return _balance(r, "wb")


def _ratelimit(r: Random) -> str:
    return (
        f"bdi_dirty_ratelimit: bdi {r.choice(_BDI)}: write_bw={_up_to(r, 900_000)} awrite_bw={_up_to(r, 900_000)} "
        f"dirty_rate={_up_to(r, 900_000)} dirty_ratelimit={_up_to(r, 900_000)} task_ratelimit={_up_to(r, 900_000)} "
        f"balanced_dirty_ratelimit={_up_to(r, 900_000)} cgroup_ino=1"
    )


def _global_state(r: Random) -> str:
    written = r.randrange(10**9)
    return (
        f"global_dirty_state: dirty={_up_to(r, 655_360)} writeback={_up_to(r, 40_000)} bg_thresh=327680 thresh=655360 "
        f"limit=655360 dirtied={written + 70_000} written={written}"
    )


def _single_inode(r: Random) -> str:
    return (
        f"writeback_single_inode: bdi {r.choice(_BDI)}: ino={_up_to(r, 90_000_000)} state={r.choice(_STATES)} "
        f"dirtied_when={4294898329 + r.randrange(900_000)} age={_up_to(r, 99)} index={_up_to(r, 2_000_000)} "
        f"to_write={r.choice((1024, 2048, 9223372036854775807))} wrote={_up_to(r, 2048)} cgroup_ino=1"
    )


def _written(r: Random) -> str:
    left = 9223372036854775807 - _up_to(r, 10**6)
    return (
        f"writeback_written: bdi {r.choice(_BDI)}: sb_dev 0:0 nr_pages={left} sync_mode=0 "
        f"kupdate={r.randrange(2)} range_cyclic=1 background={r.randrange(2)} reason=background cgroup_ino=1"
    )


def _issue(r: Random) -> str:
    sectors = 8 << r.randrange(8)
    by = r.choice(("fio", "dd", "kworker/u16:3", "jbd2/sda1-8"))
    return (
        f"block_rq_issue: {r.choice(_DEVICES)} {r.choice(_RWBS)} {sectors * 512} () "
        f"{_up_to(r, 4_000_000_000)} + {sectors} [{by}]"
    )


def _complete(r: Random) -> str:
    return (
        f"block_rq_complete: {r.choice(_DEVICES)} {r.choice(_RWBS)} () "
        f"{_up_to(r, 4_000_000_000)} + {8 << r.randrange(8)} [0]"
    )


def _compaction(r: Random) -> str:
    return (
        f"mm_compaction_begin: zone_start=0x1000 migrate_pfn={_up_to(r, 1 << 23):#x} free_pfn={_up_to(r, 1 << 23):#x} "
        f"zone_end=0x47fe00, mode={r.choice(('sync', 'async'))}"
    )


def _switch(r: Random) -> str:
    return (
        f"sched_switch: prev_comm=swapper/{r.randrange(8)} prev_pid=0 prev_prio=120 prev_state=R ==> "
        f"next_comm=fio next_pid={r.randrange(20_000, 20_100)} next_prio=120"
    )


def _unknown(r: Random) -> str:
    pointer = r.randrange(1 << 24)
    return f"percpu_free_percpu: base_addr=00000000f2a3ee01 off={_up_to(r, 30_000)} ptr=00000000be{pointer:06x}"


# How often each kind comes, in parts of the whole.
KINDS: tuple[tuple[Callable[[Random], str], int], ...] = (
    (_kswapd_wake, 1), (_kswapd_sleep, 1), (_wakeup_kswapd, 8), (_direct_begin, 4), (_direct_end, 4), (_isolate, 18),
    (_shrink_inactive, 16), (_slab_start, 4), (_slab_end, 4), (_throttled, 2), (_balance_6_1, 5), (_balance_6_18, 5),
    (_ratelimit, 1), (_global_state, 4), (_single_inode, 5), (_written, 1), (_issue, 7), (_complete, 7),
    (_compaction, 1), (_switch, 1), (_unknown, 1),
)  # fmt: skip


def chunks(lines: int = LINES, seed: int = 1) -> Iterator[str]:
    """Yield the text of a recording of so many events, header first."""
    r = Random(seed)
    makers = [make for make, weight in KINDS for _ in range(weight)]
    yield HEADER.format(lines=lines)
    time_us = 1_235_000_000
    for first in range(0, lines, _CHUNK):
        out = []
        for _ in range(min(_CHUNK, lines - first)):
            time_us += r.randrange(60)
            comm, _, pid = r.choice(COMMS).rpartition("-")
            seconds, fraction = divmod(time_us, 1_000_000)
            out.append(
                f"{comm[:15]:>16}-{pid:<7} [{r.randrange(_NR_CPUS):03}] {r.choice(_FLAGS)} {seconds:5}.{fraction:06}: "
                f"{r.choice(makers)(r)}\n"
            )
        yield "".join(out)


def write_text(path: Path, lines: int = LINES, seed: int = 1) -> None:
    """Write a recording of so many events."""
    with path.open("w") as file:
        file.writelines(chunks(lines, seed))


def main() -> None:
    """Write a recording where the arguments say."""
    parser = argparse.ArgumentParser(prog="python -m bench.recording", description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("-l", "--lines", type=int, default=LINES, help=f"events, one a line ({LINES:,})")
    parser.add_argument("-s", "--seed", type=int, default=1)
    arguments = parser.parse_args()
    write_text(arguments.file, arguments.lines, arguments.seed)


if __name__ == "__main__":
    main()
