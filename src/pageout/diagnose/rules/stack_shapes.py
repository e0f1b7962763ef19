# SPDX-License-Identifier: GPL-2.0-or-later
"""Stacks whose shape alone says something: reclaim inside what does I/O for others, an allocator that burns CPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from pageout.diagnose.case import Case
from pageout.diagnose.findings import ERROR, HIGH, LOW, MEDIUM, WARNING, Evidence, Finding
from pageout.diagnose.verdict import not_the_limits
from pageout.diagnose.wait_sites import JOURNAL, LOCK, WRITEBACK, has, site_of, solid
from pageout.readers.facts import TaskStack

RECLAIM = r"(?:do_)?try_to_free_(?:mem_cgroup_)?pages|__alloc_pages_direct_reclaim|node_reclaim"
# Tasks that complete other tasks' I/O: whoever reclaims there may wait for itself.
IO_SERVER = (
    r"loop_(?:thread|process_work|workfn|rootcg_workfn|queue_work)|lo_\w+|nbd_\w+|rbd_\w+|md_thread|raid\d+d|kcryptd\w*|"
    r"dmcrypt_\w+|nfsd|svc_process\w*|iscsi_\w+|sock_xmit|kjournald2?|jbd2_journal_commit_transaction|xfsaild\w*|"
    r"xfs_buf_\w*work\w*|xlog_\w*work\w*|wb_workfn|bdi_writeback_thread|kcopyd\w*|drbd\w*|rpc_async_schedule|xs_\w+|"
    r"fuse_dev_\w+|swap_writepage\w*|drain_slots_cache"
)
ALLOCATOR = (
    r"ext4_mb_(?:regular_allocator|scan_\w+|good_group\w*|find_\w+|load_buddy\w*|complex_scan_group|choose_next_group\w*|"
    r"init_cache)|mb_find_\w+|xfs_alloc_(?:ag_vextent\w*|cur_\w+|fix_freelist\w*|walk_iter|lookup\w*)|"
    r"(?:btrfs_)?find_free_extent|f2fs_get_victim|fat_alloc_clusters|ntfs_cluster_alloc"
)
BURNING = ("soft lockup", "backtrace")


def recursion(case: Case) -> Iterator[Finding]:
    """Reclaim on the stack of a task that completes I/O: it may wait for what only it can finish."""
    found = []
    for file, stack in case.facts(TaskStack):
        names = solid(stack.frames)
        inner = has(stack.frames, RECLAIM)
        if inner is None:
            continue
        outer = [frame for frame in names[names.index(inner) + 1 :] if has((frame,), IO_SERVER)]
        site, _ = site_of(stack.frames)
        if outer:
            found.append((file, stack, inner, outer[0], site))
    if not found:
        return
    file, stack, inner, server, site = found[0]
    waits = site.waits_for in (JOURNAL, LOCK, WRITEBACK)
    yield Finding(
        id="io-path-reclaims",
        severity=ERROR if waits and stack.blocked_s else WARNING,
        title=f"{stack.comm or 'a task'} completes I/O for others ({server.function}) and stands in reclaim itself",
        detail=(
            f"While it makes memory free, the I/O it serves does not go on{f'; there it {site.label}' if waits else ''}. If what "
            "it waits for needs that I/O, nobody ever gets on: a deadlock of the storage stack (loop over a full "
            "filesystem, NFS or iSCSI to the same machine, swap over such a device)."
        ),
        confidence=MEDIUM if waits else LOW,
        why="both stand on one stack; that the wait closes the circle is inferred",
        evidence=tuple(Evidence(name, frame.line) for name, _, low, high, _ in found[:3] for frame in (low, high)),
        is_not=not_the_limits(case),
        unknown=("whether the pages it waits for go through its own device", "how the devices are stacked (lsblk)"),
        capture=("shape", "blocked"),
        advice=(
            "I/O servers in user space set PR_SET_IO_FLUSHER; kernel ones allocate with GFP_NOIO: an old kernel may lack that",
            "keep swap and dirty page cache off devices that need memory to write (loop, network, FUSE)",
        ),
        weight=len(found) + 5,
    )


def allocator(case: Case) -> Iterator[Finding]:
    """A filesystem's block allocator holds the CPU."""
    found = []
    for file, stack in case.facts(TaskStack):
        frame = has(stack.frames, ALLOCATOR)
        running = stack.source in BURNING or (stack.state or "")[:1] == "R"
        if frame is not None and running:
            found.append((file, stack, frame))
    if not found:
        return
    file, stack, frame = found[0]
    yield Finding(
        id="filesystem-allocator",
        severity=WARNING,
        title=f"{stack.comm or 'a task'} burns CPU looking for free blocks ({frame.function})",
        detail=(
            "The filesystem searches its groups for free space while it writes back: a nearly full or fragmented "
            "filesystem, or an allocator that searches badly. Writeback is slow then although the device is idle."
        ),
        confidence=HIGH if len(found) > 1 else MEDIUM,
        why=f"{len(found)} stack{'s stand' if len(found) > 1 else ' stands'} there while running",
        evidence=tuple(Evidence(name, one.line) for name, _, one in found[:6]),
        is_not=not_the_limits(case),
        unknown=("how full and how fragmented the filesystem is (df, e2freefrag, xfs_db freesp)",),
        capture=("blocked", "device"),
        weight=len(found),
        covers=("cpu-stuck",),
    )


RULES: tuple[Callable[[Case], Iterator[Finding]], ...] = (recursion, allocator)
