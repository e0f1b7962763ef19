# SPDX-License-Identifier: GPL-2.0-or-later
"""Which layer of the kernel a function belongs to, by its name: for stacks of any kernel, real or simulated.

First the whole name, then the module it lies in, then the longest prefix that is known; leading underscores and what
the compiler appends (`.isra.0`, `.part.3`) do not count. What no rule knows is `other`, never guessed.
"""

from __future__ import annotations

import re
from functools import cache

SYSCALL, VM, FILESYSTEM, BLOCK, DRIVER = "system call", "VM", "filesystem", "block", "driver"
NETWORK, SCHEDULER, OTHER = "network", "scheduler", "other"
LAYERS = (SYSCALL, VM, FILESYSTEM, BLOCK, DRIVER, NETWORK, SCHEDULER, OTHER)

_NAMES = {
    SYSCALL: "do_syscall_64 do_select do_pollfd do_poll pollwait do_sendfile do_splice_direct do_splice_to "
    "splice_direct_to_actor generic_file_splice_read do_sync_write do_sync_read do_fsync core_sys_select do_fork "
    "copy_process kernel_clone do_iter_write do_iter_readv_writev do_readv_writev do_sync_readv_writev "
    "new_sync_write new_sync_read do_filp_open do_sys_open do_unlinkat notify_change path_openat link_path_walk "
    "search_binary_handler load_elf_binary bprm_execve exec_binprm do_execve ksys_write ksys_read do_writev do_readv "
    "generic_file_sendfile direct_splice_actor do_splice_from generic_splice_sendpage pipe_to_sendpage",
    VM: "page_fault async_page_fault do_page_fault exc_page_fault asm_exc_page_fault handle_mm_fault "
    "handle_pte_fault do_fault do_user_addr_fault data_access_common_virt do_anonymous_page do_swap_page "
    "do_writepages write_one_page pageout out_of_memory congestion_wait wait_iff_congested read_pages ra_submit "
    "do_try_to_free_pages remove_mapping remove_from_page_cache delete_from_page_cache mapping_set_error "
    "generic_perform_write grow_dev_page new_slab add_partial deactivate_slab allocate_slab setup_object "
    "get_partial_node pagevec_lookup wait_on_page_writeback lock_page kvmalloc_node vmalloc hand_to_reclaim_thread "
    "do_mmap mmap_region alloc_skb_pages wb_workfn wb_writeback wb_do_writeback wb_check_old_data_flush "
    "bdi_start_fn bdi_writeback_task bdi_writeback_thread ksys_mmap_pgoff try_charge generic_writepages "
    "filemap_fdatawrite sync_inodes_sb grab_cache_page_write_begin pdflush background_writeout throttle_vm_writeout "
    "hugetlb_sysctl_handler set_max_huge_pages alloc_fresh_huge_page_node",
    FILESYSTEM: "mpage_readpages mpage_writepages mpage_da_map_blocks mpage_da_submit_io do_mpage_readpage "
    "try_to_free_buffers free_buffer_head alloc_buffer_head alloc_page_buffers submit_bh ll_rw_block getblk bread "
    "sync_dirty_buffer find_get_block grow_buffers drop_buffers iput dput evict prune_icache prune_dcache "
    "dispose_list prune_icache_sb shrink_dcache_memory start_this_handle inode_lru_isolate dquot_initialize "
    "super_cache_scan prune_super shrink_icache_memory new_inode alloc_inode igrab "
    "simple_fsync sync_mapping_buffers log_wait_commit extent_write_full_page extent_writepage extent_writepages "
    "extent_write_cache_pages run_delalloc_range cow_file_range find_free_extent submit_one_bio copyup_dentry",
    BLOCK: "submit_bio submit_bio_noacct generic_make_request make_request request_fn mempool_alloc_slab_bio "
    "get_request get_request_wait attempt_merge __generic_unplug_device generic_unplug_device blkdev_issue_flush "
    "blkdev_issue_discard flush_plug_list get_active_stripe do_lo_send_aops do_lo_receive",
    DRIVER: "sd_prep_fn sd_init_command dma_map_sg map_sg swiotlb_map_sg sg_alloc_table sg_alloc_table_chained "
    "mv_qc_issue ioread8 do_loop_switch",
    NETWORK: "dev_queue_xmit dev_hard_start_xmit sch_direct_xmit net_rx_action netif_receive_skb process_backlog "
    "svc_recv svc_process svc_process_common release_sock lock_sock do_tcp_sendpages netdev_alloc_skb ndo_start_xmit",
    SCHEDULER: "schedule schedule_timeout io_schedule try_to_wake_up wake_up wake_up_common default_wake_function "
    "autoremove_wake_function activate_task enqueue_task select_task_rq queue_work queue_delayed_work "
    "queue_delayed_work_on queue_work_on insert_work insert_wq_barrier kthread kernel_thread_helper ret_from_fork "
    "child_rip worker_thread process_one_work process_scheduled_works run_workqueue wait_for_completion "
    "wait_for_common schedule_work resched_task ttwu_do_activate call_rcu rcu_do_batch add_timer mod_timer "
    "flush_work down_write down_read mutex_lock rwsem_down_failed_common load_balance idle_balance "
    "find_busiest_group complete call_rcu_sched call_rcu_bh force_quiescent_state smp_call_function wake_up_process "
    "call_softirq do_softirq "
    "wake_up_bit wake_up_state pick_next_task dequeue_task insert_wq",
}
_PREFIXES = {
    SYSCALL: "sys_ x64_sys_ ia32_sys_ se_sys_ do_sys_ compat_sys_ system_call entry_syscall tracesys sysenter_ "
    "stub_ vfs_ do_execve do_sync_ splice_ int_ret_from_sys ia32_sysret do_vfs_ ksys_ el0_svc",
    VM: "shrink_ alloc_pages alloc_page alloc_frozen alloc_percpu folio_alloc vma_alloc_folio page_cache_ "
    "get_free_page get_page_from_ try_to_free_ try_to_release_ try_to_unmap try_to_compact try_to_reclaim reclaim_ "
    "kmem_ kmalloc kfree kzalloc slab_ cache_alloc cache_grow cache_free cache_reap mempool_ radix_tree_ xas_ xa_ "
    "filemap_ find_get_page find_lock_page find_or_create_page add_to_page add_to_swap swap_ pagevec_ lru_ "
    "balance_dirty_ balance_pgdat kswapd writeback_ wb_ bdi_ write_cache_pages writepage congestion_ compact_ "
    "isolate_ generic_file_ generic_perform ondemand_readahead do_page_cache_ page_cache_ra_ force_page_cache "
    "handle_mm_ do_wp_page do_fault oom_ mem_cgroup_ memcg_ rmap_ page_ put_page free_page free_hot free_unref "
    "drain_ rmqueue zone_ node_reclaim mmap_ unmap_ do_swap migrate_ bdi_writeback set_page_ clear_page_ "
    "test_set_page test_clear_page end_page_ wait_on_page folio_ madvise_ mmu_ kswap read_swap read_cache "
    "truncate_ invalidate_ remove_mapping workingset_ discard_slab free_slab do_shrink slob_ kmap_ pte_ vm_ "
    "kcompactd do_readahead sync_page sleep_on_page try_charge",
    FILESYSTEM: "xfs_ xlog_ xfsaild xfsbuf ext2_ ext3_ ext4_ mpage_ jbd2_ jbd_ journal_ kjournald btrfs_ nfs_ nfs3_ "
    "nfs4_ nfsd cifs_ smb2_ ceph_ f2fs_ gfs2_ ocfs2_ reiserfs_ jfs_ ntfs_ fat_ vfat_ msdos_ fuse_ ovl_ aufs_ au_ "
    "ecryptfs_ unionfs_ udf_ iso9660_ squashfs_ shmem_ ramfs_ tmpfs_ proc_ seq_ sysfs_ kernfs_ debugfs_ dquot_ "
    "block_write_ block_read block_prepare block_commit buffer_ bh_ iomap_ lookup_ do_lookup walk_component dentry_ "
    "d_alloc d_ inode_ touch_atime file_update mark_inode_dirty write_inode erofs_ zfs_ zpl_ bcachefs_ bch2_ lustre_ "
    "ll_ afs_ 9p_ v9fs_ nilfs_ hfs hpfs_ minix_ orangefs_ fscrypt_ fsverity_ fsnotify_",
    BLOCK: "blk_ blkdev_ bio_ submit_bio generic_make_ elv_ elevator_ cfq_ deadline_ dd_ noop_ as_ bfq_ kyber_ "
    "blkcg_ throtl_ rq_ get_request md_ raid0_ raid1_ raid10_ raid5_ raid456_ make_stripe handle_stripe ops_run_ "
    "async_ dm_ crypt_ kcryptd linear_ stripe_ map_bio clone_bio clone_and_map split_and_process multipath_ mirror_ "
    "do_mirror loop_ lo_ do_bio_ bcache_ bch_ drbd_ zram_ end_bio submit_bh_ generic_unplug unplug_ wbt_ ioc_ "
    "sbitmap_ flush_plug raid_ make_request_ dispatch_rw_block raid1d raid5d",
    DRIVER: "scsi_ sd_ sr_ st_ sg_ ata_ ahci_ mv_ piix_ nvme_ virtio_ virtblk_ vring_ virtqueue_ virtscsi_ vp_ "
    "mmc_ sdhci_ usb_ uas_ ehci_ uhci_ xhci_ hcd_ mpt mpt2sas_ mpt3sas_ megasas_ megaraid_ aac_ hpsa_ cciss_ "
    "qla2 lpfc_ bnx2fc_ fc_ sas_ arcmsr_ twa_ tw_ ide_ do_ide_ iscsi_ iser_ target_ dma_ swiotlb_ intel_map "
    "intel_alloc_iova iommu_ amd_iommu e1000 igb_ ixgbe_ bnx2_ tg3_ r8169_ rtl8169_ rtl_ mlx4_ mlx5_ xen_ "
    "blkif_ blkfront_ vmxnet3_ "
    "pvscsi_ hv_ storvsc_ pci_ queuecommand",
    NETWORK: "tcp_ udp_ ip_ ipv6_ ip6_ inet_ sock_ skb_ alloc_skb kfree_skb netif_ net_ dev_queue dev_hard napi_ nf_ "
    "nft_ ipt_ qdisc_ pfifo_ fib_ unix_ sk_ rpc_ xprt_ xs_ svc_ svcauth_ xdr_ kernel_sendmsg kernel_recvmsg "
    "kernel_sendpage br_ vlan_ bond_ tun_ macvlan_ neigh_ arp_ icmp_ packet_ netlink_ rtnetlink_ genl_ sctp_ rds_ ib_ "
    "rdma_ cma_ process_backlog pskb_",
    SCHEDULER: "sched_ wake_ ttwu_ try_to_wake select_task_rq enqueue_ dequeue_ task_ pick_next kthread rcu_ "
    "call_rcu hrtimer_ mutex_ rwsem_ down_ up_ ret_from_ queue_work schedule worker_ wait_for_comp complete_ "
    "update_curr smp_ futex_ do_futex lock_timer mod_timer rt_ flush_work apic_ irq_ do_irq handle_irq softirq",
}
_MODULES = {
    FILESYSTEM: "xfs ext2 ext3 ext4 jbd jbd2 btrfs nfs nfsd nfsv3 nfsv4 cifs ceph fuse overlay aufs unionfs ecryptfs "
    "reiserfs jfs gfs2 ocfs2 vfat fat ntfs ntfs3 f2fs udf isofs mbcache exportfs zfs bcachefs lockd",
    BLOCK: "dm_mod dm_crypt dm_multipath dm_mirror dm_snapshot md_mod raid0 raid1 raid10 raid456 linear loop bcache "
    "drbd zram nbd",
    DRIVER: "scsi_mod sd_mod sg libata ahci libahci sata_mv ata_piix mpt2sas mpt3sas mptsas mptbase megaraid_sas "
    "aacraid hpsa nvme nvme_core virtio virtio_ring virtio_blk virtio_scsi usb_storage uas usbcore mmc_core mmc_block "
    "libiscsi iscsi_tcp libiscsi_tcp scsi_transport_iscsi e1000 e1000e igb ixgbe bnx2 tg3 r8169 mlx4_core mlx5_core "
    "qla2xxx lpfc arcmsr",
    NETWORK: "sunrpc bridge bonding nf_conntrack ip_tables x_tables iptable_filter ipv6 tun 8021q openvswitch rdma_cm "
    "ib_core",
}

_SUFFIX = re.compile(r"\.(?:isra|part|constprop|cold|llvm|lto_priv|clone)\b.*$")


def function_name(location: str) -> str:
    """Return the function of a table's location: `xfs_bmapi+0x98/0x120 [xfs]` -> `xfs_bmapi`."""
    return _SUFFIX.sub("", location.split("+", 1)[0].split(" ", 1)[0].lstrip(".").removeprefix("?"))


def module_name(location: str) -> str:
    """Return the module of a location, empty for the kernel's own functions."""
    match = re.search(r"\[([\w-]+)", location)
    return match[1].replace("-", "_") if match else ""


@cache
def _rules() -> tuple[dict[str, str], dict[str, str], dict[str, str], int]:
    names, prefixes, modules = (
        {word.lstrip("_").lower(): layer for layer, words in table.items() for word in words.split()}
        for table in (_NAMES, _PREFIXES, _MODULES)
    )
    return names, prefixes, modules, max(map(len, prefixes))


@cache
def _layer_of_name(name: str) -> str:
    names, prefixes, _, longest = _rules()
    if name in names:
        return names[name]
    return next((prefixes[name[:n]] for n in range(min(longest, len(name)), 0, -1) if name[:n] in prefixes), OTHER)


def layer_of(location: str) -> str:
    """Return the layer of a function as a stack trace names it."""
    name = function_name(location[:200]).lstrip("_").lower()
    names, _, modules, _ = _rules()
    if name not in names and (module := module_name(location[:200])) in modules:
        return modules[module]
    return _layer_of_name(name) if len(name) <= 80 else OTHER
