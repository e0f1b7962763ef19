# SPDX-License-Identifier: GPL-2.0-or-later
"""Where in the kernel a task waits, told from its stack: what it waits for, and who may hold that.

A stack is read from the innermost function outwards, `?` frames left out. Scheduling primitives say nothing; the first
function that a row of SITES knows does. Some waits mean another thing when a certain caller stands further out: those
rows come first and name the caller too.
Source: function names of Linux 2.6.32 to 6.18, mm/, fs/, fs/jbd2, fs/xfs, block/, drivers/md.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

from pageout.readers.facts import Frame, TaskStack

# What a site's waiters wait for: the bottom of a chain of waits is at the device.
DEVICE, WRITEBACK, JOURNAL, LOCK, LIMIT, RECLAIM, SYNC, OTHER = (
    "device", "writeback", "journal", "lock", "limit", "reclaim", "sync", "other",
)  # fmt: skip


class Site(NamedTuple):
    """A place to wait. `level`: 0 waits for hardware, higher ones wait for tasks of lower levels."""

    id: str
    label: str
    waits_for: str
    level: int


class _Row(NamedTuple):
    site: Site
    inner: re.Pattern[str]  # the innermost function that tells
    outer: re.Pattern[str] | None  # further out, if needed to tell


def _row(id: str, label: str, waits_for: str, level: int, inner: str, outer: str = "") -> _Row:
    return _Row(
        Site(id, label, waits_for, level), re.compile(f"(?:{inner})$"), re.compile(f"(?:{outer})$") if outer else None
    )


_LOCK_WAIT = (
    r"__mutex_lock.*|mutex_lock.*|rwsem_down_.*|__?down_(?:read|write).*|down_(?:read|write).*|percpu_rwsem_wait|__percpu_down_read|"
    r"rt_mutex_(?:schedule|slowlock\w*|lock\w*)|__rt_mutex_\w+|rwbase_\w+|rtlock_slowlock\w*|inode_lock\w*"
)
_PAGE_WAIT = r"folio_wait_bit(?:_common|_killable)?|wait_on_page_bit(?:_common|_killable)?|__wait_on_page.*|sleep_on_page|sync_page"
_SHRINKERS = (
    r"(?:xfs|ext4|btrfs|nfs|ceph|f2fs|zfs|arc|prune|super|do_shrink|shrink_slab|inode|dentry|dcache|i915|ttm)\w*"
    r"(?:reclaim_inodes\w*|shrink\w*|scan\w*|prune\w*|cache_scan|icache_sb|dcache_sb)"
)

# Order matters: the first row whose `inner` matches the frame looked at (and whose `outer` stands further out) wins.
_ROWS = (
    _row("cgroup-teardown", "a dying cgroup waits for its writeback to end", SYNC, 5, r"wb_wait_for_completion", r"mem_cgroup_css_free\w*|css_free_rwork_fn"),
    _row("sync", "sync waits for the flusher to write everything", SYNC, 3, r"wb_wait_for_completion|_*writeback_inodes_sb\w*|try_to_writeback_inodes_sb|sync_inodes_sb"),
    _row("dirty-limit", "held back at the dirty limit", LIMIT, 2, r"balance_dirty_pages(?:_ratelimited\w*)?|throttle_vm_writeout"),
    _row("memory-high", "held back by memory.high of its cgroup", LIMIT, 2, r"(?:__)?mem_cgroup_handle_over_high"),
    _row("memcg-oom", "waits for its cgroup's OOM to be resolved", LIMIT, 2, r"mem_cgroup_oom_synchronize|mem_cgroup_out_of_memory"),
    _row("reclaim-throttle", "reclaim sleeps for progress", RECLAIM, 2, r"reclaim_throttle|throttle_direct_reclaim|wait_iff_congested|too_many_isolated"),
    _row("congestion-wait", "sleeps for a congested device", RECLAIM, 2, r"congestion_wait"),
    _row("shrinker", "reclaim is inside a shrinker", RECLAIM, 2, _SHRINKERS, r"shrink_slab\w*|do_shrink_slab|shrink_node\w*|drop_slab\w*"),
    _row("compaction", "compacts memory for a high order", RECLAIM, 2, r"compact_zone\w*|try_to_compact_pages|isolate_migratepages\w*|migrate_pages\w*"),
    _row("raid-stripe", "waits inside a RAID array (md)", DEVICE, 1, r"raid5_get_active_stripe|raid5_make_request|get_active_stripe|md_write_start|md_super_wait|md_flush_request|_?wait_barrier|raise_barrier|freeze_array|raid10?_wait_\w+|raid10?_make_request|md_bitmap_\w+|bitmap_(?:startwrite|unplug\w*)|mddev_suspend|stop_sync_thread|md_handle_request|md_do_sync|r5l_\w+|wait_for_serialization"),
    _row("wbt", "held back by writeback throttling (wbt) of the block layer", DEVICE, 1, r"wbt_wait|rq_qos_wait|__wbt_wait|ioc_rqos_throttle|iocg_\w+wait|blkcg_iolatency_throttle|blk_throtl_bio|blkcg_maybe_throttle_\w+"),
    _row("tag", "waits for a free request (tag) of the device", DEVICE, 0, r"blk_mq_get_tag|sbitmap_\w*wait\w*|get_request(?:_wait)?|__get_request_wait|bt_get"),
    _row("queue-frozen", "waits for a frozen block queue", DEVICE, 1, r"blk_mq_freeze_queue_wait|blk_queue_enter|bio_queue_enter|__bio_queue_enter"),
    _row("device-removal", "waits while a device is being removed", DEVICE, 1, r"del_gendisk|blk_cleanup_queue|bdev_mark_dead|invalidate_bdev|sd_remove|nvme_remove\w*"),
    _row("nfs", "waits for an NFS server", DEVICE, 0, r"rpcrdma_\w*disconnect|xprt_rdma_\w+|rpc_wait_for_completion_task|nfs4?_run_\w+|rpc_wait_bit_killable|nfs_wait_\w+|nfs_commit_\w+|nfs4?_wait_\w+|nfs_iocounter_wait|__rpc_execute|rpc_execute"),
    _row("cifs", "waits for an SMB server", DEVICE, 0, r"wait_for_response|cifs_\w*wait\w*|compound_send_recv|wait_for_free_\w+"),
    _row("fuse", "waits for a FUSE or 9p server", DEVICE, 0, r"request_wait_answer|_*fuse_(?:simple_request|wait_\w+|set_nowrite|request_\w+|flush_\w+)|v9fs_\w+|p9_\w+"),
    _row("ceph", "waits for a Ceph server", DEVICE, 0, r"ceph_\w*wait\w*|wait_request_timeout|rbd_\w*wait\w*"),
    _row("dm", "waits inside device-mapper", DEVICE, 1, r"dm_wait_for_\w+|dm_\w*suspend\w*|dmcrypt_\w+|kcopyd_\w+|bch_\w*wait\w*|wait_for_writes"),
    _row("scsi-error", "the SCSI error handler is at work", DEVICE, 0, r"scsi_error_handler|scsi_block_when_processing_errors|scsi_execute\w*|ata_\w*wait\w*|nvme_\w*(?:reset|timeout|wait)\w*"),
    _row("dax-direct-io", "waits for its own direct I/O", DEVICE, 0, r"__?blkdev_direct_IO\w*|blk_io_schedule|iomap_dio_(?:rw|complete)|__iomap_dio_rw|dio_await_completion|do_blockdev_direct_IO|submit_bio_wait|blk_execute_rq|blkdev_issue_flush"),
    _row("commit-page", "the journal's commit waits for a page of file data", LOCK, 2, _PAGE_WAIT, r"jbd2_journal_commit_transaction|journal_commit_transaction"),
    _row("commit-io", "the journal's commit waits for its own I/O", DEVICE, 1, r"__wait_on_buffer|wait_on_buffer", r"jbd2_journal_commit_transaction|journal_commit_transaction"),
    _row("commit-io", "the journal's commit waits for its own I/O", DEVICE, 1, r"io_schedule\w*|bit_wait_io|blk_mq_get_tag|submit_bio\w*", r"jbd2_journal_commit_transaction|journal_commit_transaction"),
    _row("commit-updates", "the journal's commit waits for open handles to end", JOURNAL, 3, r"jbd2_journal_wait_updates|jbd2_journal_commit_transaction|journal_commit_transaction|jbd2_journal_lock_updates|jbd2_journal_barrier_\w+"),
    _row("fast-commit", "waits for a fast commit of the journal to end", JOURNAL, 3, r"jbd2_fc_\w+|ext4_fc_(?:start_update|wait_\w+|commit)"),
    _row("journal-space", "waits for room in the journal", JOURNAL, 4, r"jbd2_log_wait_commit|log_wait_commit", r"__jbd2_log_wait_for_space|__log_wait_for_space|add_transaction_credits"),
    _row("journal-space", "waits for room in the journal", JOURNAL, 4, r"__jbd2_log_wait_for_space|jbd2_log_do_checkpoint|add_transaction_credits|xlog_grant_head_w\w+|xfs_log_reserve|xlog_wait\b.*|__log_wait_for_space"),
    _row("journal-commit", "waits for a journal commit", JOURNAL, 4, r"jbd2_log_wait_commit|log_wait_commit|jbd2_complete_transaction|xlog_wait_on_iclog|xfs_log_force\w*|_xfs_log_force\w*|xfs_file_fsync|btrfs_wait_for_commit|wait_for_commit|wait_current_trans|btrfs_commit_transaction|f2fs_wait_on_\w+|journal_start_commit"),
    _row("journal-start", "waits to start a transaction of the journal", JOURNAL, 4, r"start_this_handle|jbd2__?journal_start|wait_transaction_(?:locked|switching)|jbd2_journal_get_\w+access|do_get_write_access|jbd2_journal_extend|journal_start|start_transaction|xfs_trans_(?:alloc|reserve)\w*"),
    _row("page-writeback", "waits for a page to be written", WRITEBACK, 1, r"(?:folio_)?wait_(?:on_page_)?writeback\w*|folio_wait_writeback\w*|(?:__)?filemap_fdatawait\w*|wait_on_page_writeback\w*|wait_for_stable_page|folio_wait_stable|filemap_write_and_wait\w*|(?:file|__filemap)_\w*fdatawait\w*"),
    _row("page-writeback", "waits for a page to be written", WRITEBACK, 1, _PAGE_WAIT, r"filemap_fdatawait\w*|__filemap_fdatawait\w*|folio_wait_writeback|wait_on_page_writeback|invalidate_inode_pages2\w*"),
    _row("page-read", "waits for a page to be read", DEVICE, 0, r"filemap_read_folio|filemap_update_page|filemap_get_pages|generic_file_buffered_read|do_generic_file_read|filemap_fault|__lock_page_killable|wait_on_page_read|swap_read(?:page|_folio)|do_swap_page|read_cache_folio|do_read_cache_\w+|ext4_bread\w*|__bread\w*|__read_extent_tree_block"),
    _row("page-lock", "waits for a page somebody holds locked", LOCK, 2, r"__lock_page\w*|__folio_lock\w*|lock_page\w*|folio_lock\w*"),
    _row("page-lock", "waits for a page somebody holds locked", LOCK, 2, _PAGE_WAIT, r"write_cache_pages|writeback_iter|ext4_writepages|mpage_\w+|pagecache_get_page|grab_cache_page\w*|truncate_inode_pages\w*|extent_write_cache_pages"),
    _row("buffer", "waits for a metadata block", DEVICE, 0, r"__wait_on_buffer|wait_on_buffer|__?sync_dirty_buffer|sync_buffer|xfs_buf_(?:iowait|submit\w*)|__xfs_buf_\w+|btree?_\w*wait\w*|read_extent_buffer\w*"),
    _row("memcg-reclaim", "reclaims for its cgroup's limit", RECLAIM, 2, r"try_to_free_mem_cgroup_pages|mem_cgroup_(?:shrink|reclaim)\w*|try_charge(?:_memcg)?|reclaim_high\w*|mem_cgroup_try_charge"),
    _row("memcg-reclaim", "reclaims for its cgroup's limit", RECLAIM, 2, r"shrink_(?:node|zone|list|lruvec|inactive_list|page_list|folio_list|slab)\w*|do_try_to_free_pages|evict_folios|try_to_shrink_lruvec", r"try_to_free_mem_cgroup_pages|try_charge(?:_memcg)?|reclaim_high"),
    _row("direct-reclaim", "reclaims memory for its own allocation", RECLAIM, 2, r"(?:do_)?try_to_free_pages|shrink_(?:node|zone|list|lruvec|inactive_list|page_list|folio_list|slab)\w*|__alloc_pages_(?:slowpath|direct_reclaim)\w*|__perform_reclaim|evict_folios|try_to_shrink_lruvec|node_reclaim"),
    _row("freeze", "waits for a frozen filesystem", LOCK, 3, r"__sb_start_write|sb_wait_write|freeze_super|thaw_super"),
    _row("inode-busy", "waits for an inode that is being written", WRITEBACK, 2, r"__?inode_wait_for_writeback|inode_wait_for_\w+|inode_sleep_on_writeback"),
    _row("inode-freeing", "waits for an inode that is being freed", LOCK, 4, r"__wait_on_freeing_inode|find_inode(?:_fast)?|wait_on_inode|wait_on_new_inode"),
    _row("fscache", "waits for a page on its way to the local cache (fscache)", WRITEBACK, 1, r"folio_wait_private_2\w*|wait_on_page_fscache\w*|folio_wait_fscache\w*|_*fscache_wait_\w+"),
    _row("buffer-lock", "waits for a metadata block that somebody holds locked", LOCK, 4, r"_*lock_buffer|xfs_buf_(?:find_)?lock"),
    _row("inode-dio", "waits for direct I/O to a file to end", LOCK, 3, r"inode_dio_wait\w*|__inode_dio_wait"),
    _row("ordered-extent", "waits for file data on its way to disk (an ordered extent)", WRITEBACK, 2, r"btrfs_start_ordered_extent\w*|btrfs_wait_ordered_\w+|btrfs_lock_and_flush_ordered_range"),
    _row("extent-lock", "waits for a range of a file that somebody holds locked", LOCK, 4, r"(?:__|btrfs_)?lock_extent\w*|wait_extent_bit|btrfs_try_lock_extent\w*"),
    _row("btrfs-space", "waits for btrfs to make room for metadata or data", JOURNAL, 4, r"handle_reserve_ticket|wait_reserve_ticket|__reserve_bytes|__reserve_metadata_bytes|priority_reclaim_\w+"),
    _row("tree-lock", "waits for a block of a btrfs tree that somebody holds locked", LOCK, 5, _LOCK_WAIT, r"__?btrfs_tree_(?:read_)?lock\w*|btrfs_tree_(?:read_)?lock\w*"),
    _row("log-buffer", "waits for a log buffer of XFS: its I/O has to complete first", DEVICE, 2, r"xlog_state_get_iclog_space|xlog_wait_iclog_completion"),
    _row("journal-commit", "waits for a journal commit", JOURNAL, 4, r"xlog_cil_order_write|xlog_cil_force_\w+|xfs_log_commit_cil|xlog_cil_commit|xlog_force_lsn|xlog_cil_push_now"),
    _row("metadata-drain", "waits until all changed metadata is written back", SYNC, 3, r"xfs_ail_push_all_sync|xfs_(?:wait_buftarg|buftarg_wait|buftarg_drain)"),
    _row("zfs", "waits for ZFS to write a transaction group", JOURNAL, 3, r"txg_wait_\w+|dmu_tx_(?:wait|delay|assign)|zil_commit\w*|txg_sync_thread|spa_sync"),
    _row("zfs-io", "ZFS waits for its own I/O", DEVICE, 0, r"zio_wait|vdev_\w+_io_\w+|arc_read|dbuf_read"),
    _row("mmc-host", "waits for the SD/MMC host, which another task holds", LOCK, 3, r"__mmc_claim_host|mmc_get_card|mmc_claim_host"),
    _row("mmc", "waits for an SD/MMC card", DEVICE, 0, r"mmc_wait_for_\w+|__?mmc_poll_for_busy|mmc_blk_\w*wait\w*|mmc_blk_(?:mq_)?rw_\w+|mmc_start_req\w*|__mmc_switch|mmc_switch"),
    _row("usb", "waits for a USB device", DEVICE, 0, r"usb_stor_\w+|usb_sg_wait|usb_start_wait_urb|usb_kill_urb|usb_poison_urb|usb_control_msg|uas_\w+|command_abort"),
    _row("drbd", "waits for DRBD: its peer or its own disk", DEVICE, 0, r"drbd_\w+|_drbd_\w+|__drbd_\w+"),
    _row("aio-exit", "waits at its exit for its own asynchronous I/O", DEVICE, 0, r"exit_aio|io_ring_exit_work|io_uring_cancel_generic|wait_for_all_aios"),
    _row("mempool", "waits for a reserved request of the layer below (mempool)", DEVICE, 1, r"mempool_alloc\w*|bio_alloc_bioset"),
    _row("nfsd-callback", "the NFS server waits for a callback to a client", OTHER, 3, r"nfsd4_shutdown_callback|nfsd4_probe_callback_sync|rpc_shutdown_client|nfsd41_destroy_cb"),
    _row("cgroup-drain", "waits for tasks of a dying cgroup to go", OTHER, 4, r"cgroup_drain_dying|cgroup_lock_and_drain_offline|cgroup_destroy_wait\w*"),
    _row("grace-period", "waits for an RCU grace period: every CPU has to pass", OTHER, 4, r"_*synchronize_(?:s?rcu|net|sched)\w*|_*s?rcu_barrier\w*|_*wait_rcu_gp"),
    _row("work-item", "waits for a work item of another worker to end", LOCK, 4, r"_*flush_work\w*|_*cancel_(?:delayed_)?work\w*|drain_workqueue|kthread_flush_work\w*|destroy_workqueue"),
    _row("thread-end", "waits for a kernel thread to stop", LOCK, 4, r"kthread_(?:stop|park)\w*|nfsd_destroy_serv|svc_stop_\w+|svc_destroy"),
    _row("mm-lock", "waits for the lock of an address space (mmap_lock)", LOCK, 5, _LOCK_WAIT, r"do_madvise|\w*madvise\w*|\w*mmap_(?:read|write)_lock\w*|vm_mmap_pgoff|do_exit|exit_mm|exc_page_fault|do_user_addr_fault|(?:__)?do_page_fault|__vm_munmap|vm_munmap|\w*mprotect\w*|proc_pid_cmdline_read|get_cmdline|access_process_vm|__access_remote_vm|m_start|\w*brk"),
    _row("inode-lock", "waits for a file's lock (inode rwsem)", LOCK, 5, _LOCK_WAIT, r"(?:ext4|xfs|btrfs|f2fs|generic)_file_\w+|ext4_(?:buffered|dio)_\w+|xfs_ilock\w*|lock_two_nondirectories|open_last_lookups|do_last|path_openat|do_unlinkat|do_truncate|do_rmdir|\w*start_dirop\w*|filename_\w+|walk_component|do_mkdirat|iterate_dir|lookup_slow|vfs_\w+|lock_rename\w*|filename_create"),
    _row("superblock-lock", "waits for a superblock's lock", LOCK, 5, _LOCK_WAIT, r"iterate_supers\w*|grab_super\w*|_*super_lock\w*|deactivate_super|writeback_inodes_sb\w*|sync_\w+"),
    _row("superblock-lock", "waits for a superblock's lock", LOCK, 5, r"_*super_lock\w*"),
    _row("lock", "waits for a lock", LOCK, 5, _LOCK_WAIT),
    _row("flusher", "the flusher is at work", WRITEBACK, 1, r"wb_workfn|bdi_writeback_workfn|bdi_writeback_thread|wb_writeback|writeback_sb_inodes|wb_do_writeback|pdflush|bdi_start_fn"),
    _row("kswapd", "kswapd is at work", RECLAIM, 2, r"kswapd|balance_pgdat"),
)  # fmt: skip
# Looked for only where no row above matches any function of the stack.
_LAST = (
    _row("page-wait", "waits for a page to be read, written or given back", WRITEBACK, 2, _PAGE_WAIT),
)  # fmt: skip
UNKNOWN = Site("unknown", "waits for something pageout does not know", OTHER, 6)
SITES: dict[str, Site] = {row.site.id: row.site for row in (*_ROWS, *_LAST)} | {UNKNOWN.id: UNKNOWN}

# Never tell anything: on the way to sleep, or on the way in.
_PRIMITIVE = re.compile(
    r"(?:(?:__|_)?(?:x64_sys_|do_sys_|se_sys_)\w*|__?schedule\w*|schedule\w*|io_schedule\w*|preempt_schedule\w*|"
    r"_*wait_for_(?:common|completion)\w*|wait_woken|dump_backtrace\w*|bit_wait_io|__wait_on_bit(?:_lock)?|out_of_line_wait_on_bit(?:_lock)?|"
    r"prepare_to_\w+|finish_wait|context_switch|__switch_to\w*|"
    r"_*raw_spin_\w+|_cond_resched|__cond_resched|do_wait_for_common|bit_wait|wait_on_bit\w*|\w*_sleep|msleep\w*|"
    r"dump_stack\w*|show_stack\w*|dump_header|dump_trace|save_stack_trace\w*)$"
)


_GAVE_UP_CPU = re.compile(
    r"__?schedule|schedule(?!_work|_delayed)\w*|io_schedule\w*|context_switch|rt_mutex_schedule|__switch_to"
)
_ONLY_PREEMPTED = re.compile(
    r"preempt_schedule\w*|_*cond_resched\w*|schedule_(?:user|tail)|exit_to_user\w*|retint_\w+|irqentry_exit\w*"
)
_INTERRUPT = re.compile(
    r"(?:asm_)?sysvec_\w+|(?:smp_)?apic_timer_interrupt|(?:asm_)?common_interrupt|ret_from_intr|do_IRQ|__irq_svc|__irq_usr|"
    r"el1h?_(?:64_)?(?:irq|interrupt)\w*|el1_irq\w*|end_repeat_nmi|asm_exc_nmi|nmi|hardware_interrupt_common\w*|"
    r"decrementer_common\w*|timer_interrupt|handle_percpu_devid_irq|smp_\w+_interrupt|\w+_ipi_handler|handle_int"
)
_IDLE = re.compile(
    r"worker_thread|rescuer_thread|kthread_worker_fn|smpboot_thread_fn|kthreadd|futex_wait\w*|__futex_wait|do_futex|"
    r"do_(?:sys_)?poll|do_select|poll_schedule_timeout\w*|ep_poll|do_epoll_wait|pipe_(?:read|wait\w*)|n_tty_read|do_wait|"
    r"hrtimer_nanosleep|do_nanosleep|sigsuspend|do_sigtimedwait|unix_stream_\w+|inet_csk_accept|io_cqring_wait|"
    r"acpi_(?:safe_halt|idle_\w+)|mwait_idle\w*|intel_idle\w*|cpu_startup_entry|do_idle|default_idle\w*|(?:pv_)?native_safe_halt|arch_safe_halt|cpuidle_enter\w*|cpu_idle\w*|rcu_gp_kthread|kauditd_thread|do_freezer_trap|signalfd_\w+"
)
ON_CPU = ("soft lockup", "hard lockup")
NEAR_TOP = 6  # certain frames within which a task that sleeps has its call of the scheduler


def asleep(stack: TaskStack) -> bool:
    """Say whether a task waits for something: a task caught on its CPU, and one that idles by choice, does not."""
    names = [_bare(frame.function) for frame in solid(stack.frames)]
    if not names or stack.source in ON_CPU or stack.source == "locks held":
        return False
    if stack.source == "backtrace" and not (stack.state or "").startswith("D"):
        top = names[:NEAR_TOP]
        left = next((n for n, name in enumerate(top) if _GAVE_UP_CPU.fullmatch(name)), None)
        if left is None or any(map(_ONLY_PREEMPTED.fullmatch, names[left + 1 : left + 3])):
            return False
    if stack.source in ("proc stack", "backtrace"):
        first = next((name for name in names if not _PRIMITIVE.match(name)), "")
        return _IDLE.fullmatch(first) is None
    return True


def is_idle(function: str) -> bool:
    """Say whether a function is where a task or a CPU is that has nothing to do."""
    return _IDLE.fullmatch(function) is not None


def is_primitive(function: str) -> bool:
    """Say whether a function is of the scheduler, or of printing: it tells nothing."""
    return _PRIMITIVE.match(function) is not None


def plain_name(frame: Frame) -> str:
    """Return a frame's function as the source has it."""
    return _bare(frame.function)


def interrupted(frames: Sequence[Frame]) -> list[Frame]:
    """Return the certain frames of what an interrupt or a dump broke into, innermost first."""
    certain = solid(frames)
    entries = [n for n, frame in enumerate(certain) if _INTERRUPT.fullmatch(_bare(frame.function))]
    below = certain[entries[-1] + 1 :] if entries else []
    return below or certain


def solid(frames: Sequence[Frame]) -> list[Frame]:
    """Return the frames that are certain, innermost first."""
    return [frame for frame in frames if frame.function and not frame.guess]


@cache
def _site_of(names: tuple[str, ...]) -> tuple[Site, int]:
    for rows in (_ROWS, _LAST):
        for n, name in enumerate(names):
            if _PRIMITIVE.match(name):
                continue
            for row in rows:
                if row.inner.match(name) and (row.outer is None or any(map(row.outer.match, names[n + 1 :]))):
                    return row.site, n
    return UNKNOWN, 0


def site_of(frames: Sequence[Frame]) -> tuple[Site, Frame | None]:
    """Return where a stack waits, and the frame that tells; UNKNOWN and the innermost frame if none does."""
    certain = solid(frames)
    site, n = _site_of(tuple(_bare(frame.function) for frame in certain))
    return site, certain[n] if certain else None


def telling(frames: Sequence[Frame]) -> str:
    """Return the innermost certain function that is not of the scheduler's own; empty if there is none."""
    return next((_bare(frame.function) for frame in solid(frames) if not _PRIMITIVE.match(_bare(frame.function))), "")


def _bare(function: str) -> str:
    """Return a function's name without what compilers add: .isra.0, .constprop.0, .part.3, .cold."""
    return re.sub(r"\.(?:isra|constprop|part|cold|llvm)\b[.\d]*", "", function)


def has(frames: Sequence[Frame], pattern: str) -> Frame | None:
    """Return the innermost certain frame whose whole name matches, None without one."""
    wanted = re.compile(pattern)
    return next((frame for frame in solid(frames) if wanted.fullmatch(_bare(frame.function))), None)
