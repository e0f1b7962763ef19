# SPDX-License-Identifier: GPL-2.0-or-later
"""Where a task waits, told from its stack."""

import pytest

from pageout.diagnose.wait_sites import SITES, UNKNOWN, site_of
from tests.diagnose.build import frames

STACKS = {
    "dirty-limit": "__schedule schedule schedule_timeout io_schedule_timeout balance_dirty_pages balance_dirty_pages_ratelimited generic_perform_write",
    "memory-high": "mem_cgroup_handle_over_high exit_to_usermode_loop do_syscall_64",
    "cgroup-teardown": "__schedule schedule wb_wait_for_completion mem_cgroup_css_free css_free_rwork_fn process_one_work",
    "sync": "__schedule schedule wb_wait_for_completion sync_inodes_sb iterate_supers ksys_sync",
    "tag": "__schedule schedule io_schedule blk_mq_get_tag __blk_mq_alloc_requests blk_mq_submit_bio submit_bio ext4_writepages",
    "wbt": "schedule io_schedule rq_qos_wait wbt_wait __rq_qos_throttle blk_mq_submit_bio",
    "journal-space": "schedule jbd2_log_wait_commit jbd2_log_do_checkpoint __jbd2_log_wait_for_space add_transaction_credits start_this_handle ext4_dirty_inode",
    "journal-start": "schedule wait_transaction_locked start_this_handle jbd2__journal_start ext4_create",
    "journal-commit": "schedule jbd2_log_wait_commit jbd2_complete_transaction ext4_sync_file do_fsync",
    "commit-page": "schedule io_schedule folio_wait_bit_common write_cache_pages jbd2_journal_commit_transaction kjournald2",
    "commit-io": "schedule io_schedule bit_wait_io __wait_on_bit out_of_line_wait_on_bit __wait_on_buffer jbd2_journal_commit_transaction kjournald2",
    "page-writeback": "schedule io_schedule folio_wait_bit_common folio_wait_writeback __filemap_fdatawait_range file_write_and_wait_range ext4_sync_file",
    "page-read": "schedule io_schedule folio_wait_bit_common filemap_update_page filemap_get_pages filemap_read",
    "page-lock": "schedule io_schedule folio_wait_bit_common __folio_lock __filemap_get_folio ext4_da_write_begin",
    "buffer": "schedule io_schedule bit_wait_io __wait_on_bit out_of_line_wait_on_bit __wait_on_buffer ext4_read_bh ext4_bread",
    "mm-lock": "schedule schedule_preempt_disabled rwsem_down_read_slowpath down_read do_madvise",
    "inode-lock": "schedule rwsem_down_write_slowpath down_write ext4_buffered_write_iter vfs_write",
    "lock": "schedule schedule_preempt_disabled __mutex_lock.isra.0 mutex_lock some_driver_ioctl",
    "direct-reclaim": "_cond_resched shrink_page_list shrink_inactive_list shrink_zone do_try_to_free_pages try_to_free_pages __alloc_pages_slowpath",
    "reclaim-throttle": "schedule schedule_timeout reclaim_throttle shrink_node do_try_to_free_pages try_to_free_pages",
    "congestion-wait": "io_schedule io_schedule_timeout congestion_wait shrink_inactive_list try_to_free_pages",
    "shrinker": "schedule xfs_reclaim_inodes_ag xfs_reclaim_inodes_nr super_cache_scan do_shrink_slab shrink_slab shrink_node try_to_free_pages",
    "memcg-reclaim": "schedule shrink_lruvec shrink_node try_to_free_mem_cgroup_pages try_charge_memcg",
    "compaction": "schedule migrate_pages compact_zone compact_zone_order try_to_compact_pages __alloc_pages_direct_compact",
    "raid-stripe": "schedule raid5_get_active_stripe raid5_make_request md_handle_request submit_bio",
    "nfs": "rpc_wait_bit_killable __wait_on_bit out_of_line_wait_on_bit nfs_wait_on_request nfs_updatepage",
    "fuse": "schedule request_wait_answer fuse_simple_request fuse_flush_times",
    "commit-updates": "__schedule schedule jbd2_journal_commit_transaction kjournald2 kthread",
    "fast-commit": "schedule jbd2_fc_begin_commit ext4_fc_commit ext4_sync_file",
    "inode-freeing": "schedule __wait_on_freeing_inode find_inode_fast iget_locked __ext4_iget",
    "inode-dio": "schedule inode_dio_wait ext4_fallocate vfs_fallocate",
    "ordered-extent": "schedule btrfs_start_ordered_extent btrfs_wait_ordered_range btrfs_sync_file",
    "extent-lock": "schedule wait_extent_bit __lock_extent btrfs_page_mkwrite",
    "btrfs-space": "schedule handle_reserve_ticket __reserve_bytes btrfs_reserve_metadata_bytes",
    "tree-lock": "schedule rwsem_down_write_slowpath __btrfs_tree_lock btrfs_search_slot",
    "log-buffer": "schedule xlog_state_get_iclog_space xlog_write xlog_cil_push_work process_one_work",
    "metadata-drain": "schedule xfs_ail_push_all_sync xfs_log_quiesce xfs_log_unmount",
    "zfs": "schedule cv_wait_common __cv_wait txg_wait_open dmu_tx_wait zfs_write",
    "zfs-io": "schedule io_schedule cv_wait_common zio_wait dbuf_hold_impl",
    "mmc-host": "schedule __mmc_claim_host mmc_get_card mmc_sd_detect",
    "mmc": "schedule __wait_for_common mmc_wait_for_req_done mmc_wait_for_cmd mmc_send_status",
    "usb": "schedule wait_for_completion usb_sg_wait usb_stor_bulk_transfer_sglist",
    "drbd": "schedule drbd_al_begin_io drbd_make_request submit_bio",
    "aio-exit": "schedule exit_aio __mmput do_exit",
    "mempool": "schedule io_schedule_timeout mempool_alloc kcryptd_crypt process_one_work",
    "nfsd-callback": "schedule nfsd4_shutdown_callback __destroy_client nfsd4_destroy_clientid",
    "cgroup-drain": "schedule cgroup_drain_dying cgroup_rmdir kernfs_iop_rmdir",
    "grace-period": "schedule __wait_for_common wait_for_completion __wait_rcu_gp synchronize_rcu kernfs_x",
    "work-item": "schedule __wait_for_common __flush_work flush_work dquot_disable",
    "thread-end": "schedule __wait_for_common kthread_stop ext4_put_super",
    "buffer-lock": "schedule schedule_timeout __down_common down xfs_buf_lock xfs_buf_get_map",
    "fscache": "schedule io_schedule folio_wait_private_2 nfs_release_folio filemap_release_folio",
    "page-wait": "schedule io_schedule folio_wait_bit_common some_new_function",
    "flusher": "schedule worker_thread wb_workfn process_one_work",
}  # fmt: skip


@pytest.mark.parametrize("site", STACKS)
def test_a_stack_tells_its_site(site: str) -> None:
    found, frame = site_of(frames(STACKS[site]))

    assert found.id == site
    assert frame is not None
    assert frame.function in STACKS[site].split()


def test_every_site_is_tried() -> None:
    rare = {"memcg-oom", "queue-frozen", "device-removal", "cifs", "ceph", "dm", "scsi-error", "dax-direct-io", "freeze",
            "inode-busy", "superblock-lock", "kswapd", "unknown"}  # fmt: skip

    assert set(STACKS) | rare == set(SITES)


def test_frames_with_a_question_mark_decide_nothing() -> None:
    found, _ = site_of(frames("schedule ?balance_dirty_pages ?wbt_wait blk_mq_get_tag blk_mq_submit_bio"))

    assert found.id == "tag"


def test_a_stack_of_guesses_alone_is_unknown() -> None:
    found, frame = site_of(frames("?balance_dirty_pages ?try_to_free_pages"))

    assert found is UNKNOWN
    assert frame is None
