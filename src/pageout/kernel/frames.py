# SPDX-License-Identifier: GPL-2.0-or-later
"""Stack frames of the kernel's functions: bytes, source, and which simulated function stands for which chain.

Sizes are of gcc of early 2010 on x86-64, Linux 2.6.33.2, as the stack tracer printed them in the traces mailed in
April 2010 (Message-IDs 20100408030347.GM11036@dastard, 4BBDEC9A.9070903@humyo.com, 4BBF2F18.10507@humyo.com); what is
not in them is marked `assumed`, with the reason. A sleeping function of the simulator stands for itself and for the
kernel functions on the way to it that do nothing but call on (`via`); the stack tracer's table prints each of them.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Mapping
from typing import Any, NamedTuple

from pageout.kernel import frames_callers, frames_memcg, frames_node, frames_storage, frames_xfs

T33 = "traces of 2.6.33.2, April 2010"

# name -> (bytes, source)
SIZES: dict[str, tuple[int, str]] = {
    name: (int(size), T33)
    for name, size in (
        row.rsplit(" ", 1)
        for row in """
system_call_fastpath 128
sys_select 112
core_sys_select 416
do_select 912
sock_poll 16
unix_poll 32
__pollwait 48
__get_free_pages 16
__page_cache_alloc 32
find_or_create_page 80
sys_write 64
vfs_write 48
do_sync_write 272
generic_file_buffered_write 192
balance_dirty_pages_ratelimited_nr 224
writeback_inodes_wbc 16
writeback_inodes_wb 128
writeback_single_inode 64
do_writepages 16
generic_writepages 16
write_cache_pages 288
__writepage 32
kernel_thread_helper 184
kthread 96
bdi_start_fn 48
bdi_writeback_task 80
wb_do_writeback 128
wb_writeback 176
page_cache_async_readahead 64
ondemand_readahead 80
ra_submit 16
__do_page_cache_readahead 144
alloc_pages_current 48
__alloc_pages_nodemask 240
get_page_from_freelist 304
try_to_free_pages 128
do_try_to_free_pages 112
shrink_zone 528
shrink_page_list 384
try_to_release_page 16
xfs_vm_releasepage 160
try_to_free_buffers 64
free_buffer_head 16
kmem_cache_free 64
__slab_free 64
add_partial 48
__remove_mapping 64
__remove_from_page_cache 32
radix_tree_delete 272
submit_bio 80
generic_make_request 208
__make_request 96
get_request_wait 144
get_request 96
__elv_add_request 48
elv_insert 48
__blk_run_queue 32
scsi_request_fn 96
scsi_dispatch_cmd 48
ata_scsi_queuecmd 64
ata_scsi_translate 64
ata_qc_issue 96
mempool_alloc 144
mempool_alloc_slab 16
kmem_cache_alloc 64
__slab_alloc 96
splice_direct_to_actor 112
do_splice_to 64
generic_file_splice_read 48
__generic_file_splice_read 592
""".strip().splitlines()
    )
}
_GUESS = {
    "sys_read": (64, "assumed: as sys_write"),
    "vfs_read": (48, "assumed: as vfs_write"),
    "do_sync_read": (272, "assumed: as do_sync_write, which builds the same kiocb"),
    "xfs_read": (288, "assumed: as xfs_write"),
    "generic_file_aio_read": (192, "assumed: as generic_file_buffered_write"),
    "ext2_file_write": (16, "assumed: as xfs_file_aio_write"),
    "ext2_writepage": (16, "assumed: a call of block_write_full_page"),
    "block_write_full_page": (160, "assumed: as xfs_vm_releasepage, of the same room"),
    "ext2_get_block": (208, "assumed: as xfs_iomap"),
    "ext2_get_blocks": (208, "assumed: as xfs_iomap: chains of four buffers and offsets"),
    "ext2_get_branch": (80, "assumed: as xfs_btree_lookup_get_block"),
    "ext3_writepage": (32, "assumed: passes on to block_write_full_page"),
    "ext3_get_block": (64, "assumed: a handle and what it passes on"),
    "ext3_get_blocks_handle": (240, "assumed: as ext2_get_blocks, with a handle"),
    "ext3_get_branch": (80, "assumed: as ext2_get_branch"),
    "simple_fsync": (48, "assumed: few locals"),
    "sync_mapping_buffers": (112, "assumed: a list of its own and locals"),
    "ext2_writepages": (16, "assumed: passes on"),
    "mpage_writepages": (80, "assumed: an mpage_data"),
    "blkdev_writepage": (16, "assumed: passes on to block_write_full_page"),
    "__bread": (32, "assumed: as xfs_buf_read, less its arguments"),
    "__getblk": (112, "assumed: the loop of grow_buffers inlined"),
    "ext4_da_writepages": (384, "assumed: as ext4_writepages in the trace of 2014 that the reference's 15 sums up"),
    "ext4_writepage": (80, "assumed: walks the page's buffers"),
    "mpage_da_submit_io": (208, "assumed: a pagevec of 14 and locals"),
    "ext4_get_blocks": (160, "assumed: ext4's share of the 1080 bytes from ext4 to the allocator, trace of 2014"),
    "ext4_ext_get_blocks": (256, "assumed: as ext4_get_blocks, of the same 1080 bytes"),
    "ext4_mb_new_blocks": (128, "assumed: as ext4_get_blocks, of the same 1080 bytes"),
    "ext4_mb_regular_allocator": (176, "assumed: as ext4_get_blocks, of the same 1080 bytes"),
    "ext4_mb_load_buddy": (80, "assumed: as ext4_get_blocks, of the same 1080 bytes"),
    "kjournald": (128, "assumed: a wait queue entry and locals, as kthread"),
    "journal_commit_transaction": (304, "assumed: as get_page_from_freelist: many locals, no buffers"),
    "journal_submit_data_buffers": (80, "assumed: few locals"),
    "log_wait_commit": (112, "assumed: a wait queue entry"),
    "ext3_sync_file": (48, "assumed: few locals"),
    "btrfs_writepage": (16, "assumed: passes on"),
    "extent_write_full_page": (192, "assumed: two writeback_controls' worth of locals"),
    "__extent_writepage": (256, "assumed: as xfs_page_state_convert"),
    "btrfs_writepages": (16, "assumed: passes on"),
    "extent_writepages": (64, "assumed: an extent_page_data"),
    "extent_write_cache_pages": (240, "assumed: a pagevec of 14 and locals, as truncate_inode_pages"),
    "run_delalloc_range": (64, "assumed: passes on"),
    "cow_file_range": (272, "assumed: as xfs_bmap_btalloc, of the same task"),
    "btrfs_reserve_extent": (128, "assumed: as xfs_alloc_ag_vextent_near"),
    "find_free_extent": (304, "assumed: as get_page_from_freelist, a search of many locals"),
    "submit_one_bio": (64, "assumed: few locals"),
    "btrfs_submit_bio_hook": (80, "assumed: few locals"),
    "generic_file_aio_write": (80, "assumed: as find_or_create_page"),
    "__generic_file_aio_write": (144, "assumed: an iov_iter and locals"),
    "ext4_file_write": (64, "assumed: few locals"),
    "btrfs_file_write": (208, "assumed: as generic_file_buffered_write, and a few more locals"),
    "unionfs_write": (304, "assumed: the low end of 300-600 a stacked filesystem, reference section 15"),
    "unionfs_read": (304, "assumed: as unionfs_write"),
    "unionfs_readpage": (304, "assumed: as unionfs_write"),
    "unionfs_writepage": (336, "assumed: as unionfs_write, and a lower page"),
    "unionfs_fsync": (304, "assumed: as unionfs_write"),
    "copyup_dentry": (400, "assumed: within 300-600 a stacked filesystem, reference section 15"),
    "sys_fsync": (32, "assumed: as sys_write, less its file position"),
    "do_fsync": (48, "assumed: as vfs_write"),
    "vfs_fsync_range": (64, "assumed: as writeback_single_inode"),
    "filemap_fdatawrite": (128, "assumed: a writeback_control, as in writeback_inodes_wb"),
    "wait_on_page_writeback": (144, "assumed: as get_request_wait, which sleeps the same way"),
    "__lock_page": (144, "assumed: as get_request_wait, which sleeps the same way"),
    "congestion_wait": (144, "assumed: as get_request_wait, which sleeps the same way"),
    "throttle_vm_writeout": (64, "assumed: a few counters"),
    "kswapd": (208, "assumed: as generic_make_request; no trace has it"),
    "balance_pgdat": (256, "assumed: a scan_control and an array of priorities"),
    "page_fault": (144, "assumed: the exception frame with all registers"),
    "do_page_fault": (128, "assumed: as system_call_fastpath"),
    "handle_mm_fault": (128, "assumed: several inlined levels of the page table walk"),
    "__do_fault": (112, "assumed: a vm_fault and locals"),
    "do_anonymous_page": (64, "assumed: few locals"),
    "do_swap_page": (128, "assumed: as __do_fault"),
    "swap_writepage": (64, "assumed: few locals"),
    "sys_clone": (32, "assumed: passes on"),
    "do_fork": (112, "assumed: as sys_select"),
    "copy_process": (160, "assumed: many locals, little on the stack"),
    "sys_recvmsg": (272, "assumed: as do_sync_write: an msghdr and an iovec"),
    "__alloc_skb": (64, "assumed: few locals"),
    "proc_sys_call_handler": (48, "assumed: as vfs_write, to which it passes on"),
    "hugetlb_sysctl_handler": (112, "assumed: as sys_select: a copied ctl_table"),
    "set_max_huge_pages": (64, "assumed: few locals"),
    "alloc_fresh_huge_page_node": (48, "assumed: as alloc_pages_current"),
    "sys_ioctl": (64, "assumed: as sys_write"),
    "do_vfs_ioctl": (128, "assumed: as system_call_fastpath"),
    "call_softirq": (16, "assumed: the return address and the old stack pointer, on the interrupt stack"),
    "__do_softirq": (96, "assumed: as kthread, a loop with few locals"),
    "net_rx_action": (96, "assumed: as __do_softirq, a loop with few locals"),
    "__netdev_alloc_skb": (32, "assumed: passes on"),
    "out_of_memory": (128, "assumed: as try_to_free_pages"),
    "sys_unlink": (112, "assumed: as sys_select"),
    "sys_fadvise64": (112, "assumed: as sys_unlink"),
    "invalidate_mapping_pages": (240, "assumed: a pagevec of 14 and locals, as truncate_inode_pages"),
    "truncate_inode_pages": (240, "assumed: a pagevec of 14 and locals, as __alloc_pages_nodemask"),
    "shrink_inactive_list": (0, "traces of 2.6.33.2: inlined into shrink_zone"),
    "pageout": (0, "traces of 2.6.33.2: inlined into shrink_page_list"),
    "user": (0, "user mode has a stack of its own"),
    "wait_iff_congested": (144, "assumed: as congestion_wait, of the same shape"),
    "hand_to_reclaim_thread": (304, "assumed: a request on the stack and the sleep of get_request_wait, some 300"),
    "reclaim_thread": (96, "assumed: as kthread, a loop that sleeps"),
}
SIZES.update(_GUESS)
SIZES.update(frames_storage.SIZES)
SIZES.update(frames_callers.SIZES)
SIZES.update(frames_xfs.SIZES)
SIZES.update(frames_node.SIZES)
SIZES.update(frames_memcg.SIZES)


class Function(NamedTuple):
    """A sleeping function: its number is its place in TABLE; `via` are the pass-through callers printed above it."""

    name: str
    unit: str
    via: tuple[str, ...]
    own: str  # the row of SIZES that is its own frame


def _row(name: str, unit: str, via: str = "", own: str = "") -> Function:
    return Function(name, unit, tuple(via.split()), own or name)


_SYS_WRITE = "system_call_fastpath sys_write vfs_write do_sync_write"
_GENERIC_WRITE = "generic_file_aio_write __generic_file_aio_write"

TABLE = (
    # block: the request queue, and waiting for what it does
    _row("submit_bio", "block", "submit_bio generic_make_request", "__make_request"),
    _row("get_request_wait", "block"),
    # task: system calls, faults and the programs that make them
    _row("user", "task"),
    _row(
        "sys_write",
        "task",
        "system_call_fastpath sys_write vfs_write do_sync_write xfs_file_aio_write xfs_write",
        "generic_file_buffered_write",
    ),
    # the same as other filesystems have it; vfs_*: called by a union, without the system call above it
    _row("vfs_write", "task", "vfs_write do_sync_write xfs_file_aio_write xfs_write", "generic_file_buffered_write"),
    _row("ext2_sys_write", "task", f"{_SYS_WRITE} {_GENERIC_WRITE}", "generic_file_buffered_write"),
    _row("ext2_vfs_write", "task", f"vfs_write do_sync_write {_GENERIC_WRITE}", "generic_file_buffered_write"),
    _row("ext4_sys_write", "task", f"{_SYS_WRITE} ext4_file_write {_GENERIC_WRITE}", "generic_file_buffered_write"),
    _row(
        "ext4_vfs_write",
        "task",
        f"vfs_write do_sync_write ext4_file_write {_GENERIC_WRITE}",
        "generic_file_buffered_write",
    ),
    _row("btrfs_sys_write", "task", "system_call_fastpath sys_write vfs_write", "btrfs_file_write"),
    _row("btrfs_vfs_write", "task", "vfs_write", "btrfs_file_write"),
    _row("sys_read", "task", "system_call_fastpath sys_read vfs_read do_sync_read xfs_read", "generic_file_aio_read"),
    _row("vfs_read", "task", "vfs_read do_sync_read xfs_read", "generic_file_aio_read"),
    _row("ext2_sys_read", "task", "system_call_fastpath sys_read vfs_read do_sync_read", "generic_file_aio_read"),
    _row("ext2_vfs_read", "task", "vfs_read do_sync_read", "generic_file_aio_read"),
    _row("do_readahead", "task", "page_cache_sync_readahead ondemand_readahead ra_submit", "__do_page_cache_readahead"),
    _row("page_fault", "callers", "page_fault do_page_fault handle_mm_fault", "__do_fault"),
    _row("anonymous_fault", "task", "page_fault do_page_fault handle_mm_fault", "do_anonymous_page"),
    _row("sync_mapping_buffers", "callers", "simple_fsync"),
    _row("unionfs_fsync", "callers", "unionfs_fsync vfs_fsync_range", "filemap_fdatawrite"),
    _row("log_wait_commit", "ext", "ext3_sync_file", "log_wait_commit"),
    _row("sys_fsync", "callers", "system_call_fastpath sys_fsync do_fsync vfs_fsync_range", "filemap_fdatawrite"),
    _row(
        "sys_select",
        "task",
        "system_call_fastpath sys_select",
        "core_sys_select",
    ),
    _row("sys_clone", "task", "system_call_fastpath sys_clone do_fork", "copy_process"),
    _row("sys_recvmsg", "task", "system_call_fastpath sys_recvmsg", "__alloc_skb"),
    _row("sys_unlink", "callers", "system_call_fastpath sys_unlink", "truncate_inode_pages"),
    _row("sys_fadvise64", "callers", "system_call_fastpath sys_fadvise64", "invalidate_mapping_pages"),
    _row(
        "sys_nr_hugepages",
        "task",
        "system_call_fastpath sys_write vfs_write proc_sys_call_handler hugetlb_sysctl_handler set_max_huge_pages",
        "alloc_fresh_huge_page_node",
    ),
    _row("sys_ioctl", "task", "system_call_fastpath sys_ioctl do_vfs_ioctl", "__get_free_pages"),
    _row("net_rx_action", "task", "call_softirq __do_softirq net_rx_action __netdev_alloc_skb", "__alloc_skb"),
    _row("wait_on_page", "block", "", "wait_on_page_writeback"),
    # mm: the allocator's slow path and reclaim
    _row("alloc_pages", "mm", "alloc_pages_current", "__alloc_pages_nodemask"),
    _row("try_to_free_pages", "mm", "try_to_free_pages", "do_try_to_free_pages"),
    _row("shrink_zone", "mm"),
    _row("shrink_inactive_list", "mm"),
    _row("shrink_page_list", "mm"),
    _row("congestion_wait", "mm"),
    _row("throttle_vm_writeout", "mm"),
    _row("kswapd", "mm", "kernel_thread_helper kthread"),
    _row("balance_pgdat", "mm"),
    _row("wait_iff_congested", "mm"),
    _row("hand_to_worker", "mm", "", "hand_to_reclaim_thread"),
    _row("reclaim_worker", "mm", "kernel_thread_helper kthread", "reclaim_thread"),
    # writeback: flusher threads, throttled writers, filesystems
    _row("balance_dirty_pages", "writeback", "", "balance_dirty_pages_ratelimited_nr"),
    _row(
        "bdi_writeback_thread",
        "writeback",
        "kernel_thread_helper kthread bdi_start_fn bdi_writeback_task",
        "wb_do_writeback",
    ),
    _row("wb_writeback", "writeback"),
    _row("writeback_inodes_wb", "writeback", "writeback_inodes_wbc"),
    _row("writeback_single_inode", "writeback"),
    _row("write_cache_pages", "writeback", "do_writepages xfs_vm_writepages generic_writepages"),
    _row("swap_writepage", "writeback"),
    *(_row(*row) for row in frames_storage.ROWS),
    # write_cache_pages as other address spaces come to it
    _row("ext2_writepages", "writeback", "do_writepages ext2_writepages mpage_writepages", "write_cache_pages"),
    _row("generic_writepages", "writeback", "do_writepages generic_writepages", "write_cache_pages"),
    # ext: ext2, ext3, ext4, btrfs and the journal
    _row("ext2_writepage", "ext", "ext2_writepage", "block_write_full_page"),
    _row("ext3_writepage", "ext", "ext3_writepage", "block_write_full_page"),
    _row("ext4_writepage", "ext", "ext4_writepage", "block_write_full_page"),
    _row("mpage_da_submit_io", "ext", "mpage_da_submit_io ext4_writepage", "block_write_full_page"),
    _row("blkdev_writepage", "ext", "blkdev_writepage", "block_write_full_page"),
    _row("btrfs_writepage", "ext", "btrfs_writepage extent_write_full_page", "__extent_writepage"),
    _row("ext2_get_branch", "ext", "ext2_get_block ext2_get_blocks ext2_get_branch __bread", "__getblk"),
    _row("ext3_get_branch", "ext", "ext3_get_block ext3_get_blocks_handle ext3_get_branch __bread", "__getblk"),
    _row(
        "ext4_mb_load_buddy",
        "ext",
        "ext4_get_blocks ext4_ext_get_blocks ext4_mb_new_blocks ext4_mb_regular_allocator "
        "ext4_mb_load_buddy find_or_create_page",
        "__page_cache_alloc",
    ),
    _row("ext4_da_writepages", "ext", "do_writepages", "ext4_da_writepages"),
    _row("btrfs_writepages", "ext", "do_writepages btrfs_writepages extent_writepages", "extent_write_cache_pages"),
    _row("kjournald", "ext", "kernel_thread_helper kthread"),
    _row("journal_commit_transaction", "ext"),
    # union: a stacked filesystem
    _row("unionfs_write", "union", "system_call_fastpath sys_write vfs_write", "unionfs_write"),
    _row("unionfs_read", "union", "system_call_fastpath sys_read vfs_read", "unionfs_read"),
    _row("unionfs_readpage", "union"),
    _row("unionfs_writepage", "union"),
    _row("copyup_dentry", "union"),
    *(_row(*row) for row in frames_callers.ROWS),
    *(_row(*row) for row in frames_xfs.ROWS),
    *(_row(*row) for row in frames_node.ROWS),
    *(_row(*row) for row in frames_memcg.ROWS),
)

UNITS = ("block", "task", "mm", "writeback", "storage", "ext", "union", "callers", "xfs", "wb", "node", "gen")

FN: Any = namedtuple("FN", [row.name for row in TABLE])(*range(len(TABLE)))

# Chains of functions that never sleep here, and so only mark a depth.
LEAVES = {
    "release_page": "try_to_release_page xfs_vm_releasepage try_to_free_buffers free_buffer_head kmem_cache_free "
    "__slab_free add_partial",
    "remove_mapping": "__remove_mapping __remove_from_page_cache radix_tree_delete",
    "freelist": "get_page_from_freelist",
    "ext2_allocate": "ext2_get_block",
    **frames_storage.LEAVES,
    "journal_data": "journal_submit_data_buffers",
    "ext4_allocate": "ext4_get_blocks ext4_ext_get_blocks ext4_mb_new_blocks ext4_mb_regular_allocator",
    "btrfs_allocate": "__extent_writepage run_delalloc_range cow_file_range btrfs_reserve_extent find_free_extent",
    "btrfs_submit": "__extent_writepage submit_one_bio btrfs_submit_bio_hook",
    **frames_callers.LEAVES,
    **frames_xfs.LEAVES,
}
LEAF: Any = namedtuple("LEAF", list(LEAVES))(*range(len(LEAVES)))
_CHAINS = list(LEAVES.values())


# The stack diet: frames after it. Source: Gorman's series of 15 April 2010 took about 1 KB off reclaim in all (which
# function gave how much is assumed); select() and poll() give up the 832 bytes of MAX_STACK_ALLOC, 256 in the caller
# and 576 below it (include/linux/poll.h); splice gives up its two arrays of PIPE_BUFFERS = 16 (fs/splice.c: 16 * 8 +
# 16 * 16 bytes).
DIET = {
    "__alloc_pages_nodemask": 64,
    "try_to_free_pages": 64,
    "do_try_to_free_pages": 64,
    "shrink_zone": 112,
    "shrink_page_list": 80,
    "radix_tree_delete": 96,
    "core_sys_select": 160,
    "do_select": 336,
    "do_sys_poll": 80,
    "__generic_file_splice_read": 208,
}

THREAD_INFO_BYTES = 104  # assumed: about 100 bytes at the low end of the stack (its exact size is in no source of ours)
I386_STACK = 4096  # stacks of this size exist on i386 only (CONFIG_4KSTACKS), with interrupt stacks of their own
I386_SCALE = (5, 8)  # assumed: pointers and saved registers halve, counters, flags and buffers do not


def sizes_of(choices: Mapping[str, Any]) -> dict[str, int]:
    """Return each function's frame in the kernel that the choices build: x86-64 as traced, on a diet, or i386."""
    sizes = {name: size for name, (size, _) in SIZES.items()}
    if choices["stack.diet"] == "on":
        sizes |= DIET
    if int(choices["stack.bytes"]) == I386_STACK:
        up, down = I386_SCALE
        sizes = {name: -(-size * up // down // 4) * 4 for name, size in sizes.items()}
    return sizes


def chain_bytes(names: tuple[str, ...], sizes: Mapping[str, int] | None = None) -> int:
    """Sum of the frames of a chain, in bytes."""
    return sum(SIZES[name][0] if sizes is None else sizes[name] for name in names)


def frame_bytes(row: Function, sizes: Mapping[str, int] | None = None) -> int:
    """Bytes a simulated function adds to the stack: its own frame and those of its pass-through callers."""
    return chain_bytes((*row.via, row.own), sizes)


def names_of(row: Function) -> tuple[str, ...]:
    """The kernel functions a simulated function stands for, outermost first, without those inlined away."""
    return tuple(name for name in (*row.via, row.own) if SIZES[name][0] > 0)


def names_in_chain(entry: int) -> tuple[str, ...]:
    """The kernel functions of an entry of a chain that was kept: a function, or ~n for the leaf chain n."""
    return names_of(TABLE[entry]) if entry >= 0 else tuple(_CHAINS[~entry].split())
