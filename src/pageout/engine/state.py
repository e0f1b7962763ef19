# SPDX-License-Identifier: GPL-2.0-or-later
"""The whole state of a simulated machine: every table and every field, with its meaning.

Tables are allocated once, at boot. A page frame takes 32 bytes, a file page 8 bytes and four bits. Record fields never
carry the name of a numpy attribute (hence `pflags`): compiled and interpreted code would read different things.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pageout import jit
from pageout.engine.state_fs import FILESYSTEM, ICLOG, SLAB, XFS, XFS_AG, XFS_BLOCK, XFS_TREE
from pageout.vocabulary.vmstat import VMSTAT

I8, I4, I2, I1, U4 = "i8", "i4", "i2", "i1", "u4"

PAGE = (
    ("lru_next", I4),  # next in whatever list the frame is in (LRU, buddy, per-CPU, isolated); NIL ends it
    ("lru_prev", I4),
    ("mapping", I4),  # inode that owns the page, NIL for none
    ("index", I4),  # page number within that inode
    ("pflags", I4),  # PG_* bits; order of a free or a kernel block in bits 24-27, type of a free one in 28-29
    ("dirtied_when", I4),  # milliseconds since boot when the page was last made dirty
    ("refs", I2),  # references beside the page cache's own
    ("node_zone", I1),  # node and zone, for later kernels; zones of 2.6.34 follow from the frame number
    ("gen", I1),  # lru=gen: its generation, whose list it is on, and refs: see mm/lru_gen.py
    ("memcg", I4),
)

# Locals that survive a sleep: one vocabulary for all sleeping functions.
FRAME = (
    ("fn", I4),
    ("pc", I4),
    ("via", I8),  # chain of functions between the caller and this one at this call site: LEAF number + 1, 0 for none
    *(
        (name, I8)
        for name in (
            "a b c d order gfp priority page zone nr_scanned nr_reclaimed nr_to_scan nr_taken nr_dirty inode index "
            "nr_to_write nr_written list_head count start_ns deadline_ns pos left work bio pause stage total flag"
        ).split()
    ),
)

TASK = tuple(
    (name, I8)
    for name in (
        "state depth used peak overflows retval cpu spent_ns ready_ns pid job tflags group wait_queue wait_next "
        "wait_prev wait_exclusive timer_gen woken wait_page memdie killed mm_inode total_vm start_ns cpu_ns "
        "bdi_writing batch_left batch_expire_ns ra_start ra_size ra_async ra_inode prev_index prev_offset mmap_miss "
        "readahead_mark stall_ns stall_count throttle_ns throttle_asked_ns throttle_count congestion_ns nr_calls "
        "bytes_written bytes_read written_pages begun_ns ended_ns rng0 rng1 rng2 rng3 dirtier_events "
        "dirtier_period allocated_head allocated_tail allocated_nr io_error sc_scanned sc_reclaimed sc_order "
        "sc_gfp sc_writepage sc_to_reclaim sc_priority sc_dirty sc_lumpy_waits kept_head kept_tail kept_nr wbc_nr "
        "wbc_more_io wbc_cyclic wbc_kupdate wbc_background wbc_older_ns wbc_sync op_started_ns "
        "nr_highorder nr_highorder_failed stall_begin_ns "
        # an XFS transaction: its buffers, bytes to log, the extent it was given, whether it has a ticket, its first AG
        "xt_head xt_bytes xt_first xt_nr xt_ticket xt_ag "
        # a page that reclaim asks the filesystem to write, and what is known of it: see kernel/mm/causes.py
        "wr_page wr_facts wr_age_ms wr_ahead "
        # designs: what a batch met; bytes and frames below a fresh stack; a request to a reclaim thread; its queue
        "sc_writeback sc_congested wbc_zone stack_base stack_bottom rq_next rq_order rq_gfp rq_done rq_result "
        "rq_head rq_tail "
        "oom_adj nice privileged parent hung_gen "
        # throttling by pauses: pages dirtied since the last check, pages to the next, when its time began (jiffies)
        "nr_dirtied nr_dirtied_pause dirty_paused_when "
        # reclaim.engine=node: its scan_control; what a node's scan has met (sn_*), and what the last batch has (st_*)
        "sc_may_deactivate sc_force_deactivate sc_skipped_deactivate sc_cache_trim sc_no_trim sc_trim_failed "
        "sc_file_tiny sc_no_swap sn_dirty sn_congested sn_unqueued sn_writeback sn_immediate sn_taken sn_file_taken "
        "st_dirty st_congested st_unqueued st_writeback st_immediate st_activate_anon st_activate_file st_ref_keep "
        "st_unmap_fail st_pageout "
        # blk-mq: requests that wait in the task's plug, from how many queues; how many times it was begun
        "plug_head plug_tail plug_nr plug_queues plug_open "
        # sched.pick=fair: virtual run time; time with the CPU since picked; weight, 0: of nice 0; whether it must stay
        "vruntime ran_ns weight no_resched "
        # its memory cgroup; a page charged but not yet used; pages charged over memory.high; reclaim: the group it is
        # for (0: all), the group whose lists are scanned, the turn of a walk that several share, whether it shares one
        "memcg memcg_reserved memcg_over_high sc_memcg sc_vec sc_walk_turn sc_full_walk "
        "sc_need_aging"  # lru=gen: kswapd's run is to age the lists before it scans them
    ).split()
)

ZONE = tuple(
    (name, I8)
    for name in (
        "start_page end_page present wmark_min wmark_low wmark_high reserve0 reserve1 reserve2 nr_free "
        "pages_scanned all_unreclaimable isolated_anon isolated_file recent_scanned_anon recent_scanned_file "
        "recent_rotated_anon recent_rotated_file inactive_ratio pcp_batch pcp_high nr_dirty nr_writeback pgalloc "
        "pgscan_kswapd pgscan_direct pgsteal pgrefill congested dirty_reserve "
        "unreclaimable_since_ns "
        # reclaim.engine=node: its pages among the node's lists; where compaction goes on, and what it puts off
        "lru_anon lru_file compact_migrate compact_free compact_considered compact_defer_shift compact_order_failed "
        # the same for asynchronous compaction; where both scanners began; whether skip bits are to be reset
        "compact_async compact_init compact_init_free compact_flush "
        # what fallbacks have added to its marks; whether kswapd is to be woken for it (vm.watermark_boost_factor)
        "boost boosted "
        # pcp.high=auto: how far a CPU's limit can grow; whether an allocation has found the zone below HIGH
        "pcp_high_max below_high"
    ).split()
)

# The node, as reclaim.engine=node has it: pglist_data and its lruvec; then counters by vmstat's names.
NODE_COUNTERS = (
    "pgscan_kswapd pgscan_direct pgscan_anon pgscan_file pgsteal_kswapd pgsteal_direct pgsteal_anon pgsteal_file "
    "nr_vmscan_immediate_reclaim nr_throttled_written workingset_refault_anon workingset_refault_file "
    "workingset_activate_anon workingset_activate_file workingset_restore_anon workingset_restore_file "
    "pgscan_direct_throttle compact_daemon_wake "
    "compact_migrate_scanned compact_free_scanned compact_isolated compact_stall compact_fail compact_success "
    "pgmigrate_success pgmigrate_fail"
).split()
NODE = tuple(
    (name, I8)
    for name in (
        # evictions and activations so far; costs of reclaiming each kind; what was refaulted at the last snapshot
        "nonresident_age anon_cost file_cost refaults_anon refaults_file "
        # LRUVEC_CONGESTED, PGDAT_DIRTY, PGDAT_WRITEBACK; runs of kswapd in vain; whether it works; who waits for writes
        "congested dirty writeback kswapd_failures reclaim_active nr_writeback_throttled reclaim_start "
        "kcompactd_max_order"
    ).split()
    + NODE_COUNTERS
)

INODE = tuple(
    (name, I8)
    for name in (
        "slot_start nr_slots dirty_bits writeback_bits dirty_summary writeback_summary kind bdi nr_pages nr_dirty "
        "nr_writeback istate dirtied_when list_kind list_next list_prev writeback_index nr_mapped last_block "
        "io_error unlinked delayed wait_queue size_pages users disk_pages oldest_ms "
        # filesystem; of a union's file: the file below, and the one to copy it up to (NIL: none)
        "fs lower copy_to copying "
        # its operations, by function number
        "writepage writepages f_write f_read vfs_write vfs_read "
        "meta_start "  # ext2, ext3: where its indirect blocks begin in the filesystem's metadata inode
        "trans_id "  # the journal's transaction that last held this inode
        "core_dirty "  # XFS: written to since a transaction last logged it (i_update_core)
        "wb_attached "  # a group's writeback, or the root's, owns it: `bdi` is that one's row
        "unwritten "  # its blocks were its own when the run began, and held nothing (ext4, XFS of later kernels)
        "gfp_off"  # what an allocation for its page cache must not do (a loop device's file: neither I/O nor FS)
    ).split()
)

BDI = tuple(
    (name, I8)
    for name in (
        "queue b_dirty b_dirty_tail b_io b_io_tail b_more_io b_more_io_tail reclaimable writeback completions "
        "period dirty_exceeded congested_write congested_read work_head work_tail work_nr flusher "
        "last_old_flush_ns min_ratio max_ratio strict_limit nr_inodes is_swap old_work flushed_dirtied_ms "
        # throttling by pauses, see mm/wb_rates.py: pages since boot, the part of them that counts for its share, and
        # what was so at the last update; pages a second; inodes with pages under writeback; whether its flusher works
        "nr_dirtied nr_written written_events written_period dirtied_stamp written_stamp bw_stamp write_bandwidth "
        "avg_bandwidth dirty_ratelimit balanced_ratelimit inodes_writing bw_update_due writing "
        "start_all timer_armed "
        # a group's on a device: its group, the device's row; its part of what the group wrote of late
        "memcg root memcg_events memcg_period"
    ).split()
)

# A memory cgroup, row 0 the root. Limits and counters in pages; `usage` counts what CPUs have in stock, too.
MEMCG_COUNTERS = (
    "pgscan_kswapd pgscan_direct pgsteal_kswapd pgsteal_direct workingset_refault_anon workingset_refault_file "
    "workingset_activate_anon workingset_activate_file workingset_restore_anon workingset_restore_file"
).split()
MEMCG = tuple(
    (name, I8)
    for name in (
        "memory_max memory_high usage peak nr_anon nr_file nr_dirty nr_writeback "
        # its lruvec, as the node's; whether what reclaim met there was all under writeback
        "nonresident_age anon_cost file_cost refaults_anon refaults_file congested "
        # memory.events; its tasks' sleeps over memory.high; their reclaim for its limits
        "event_high event_max event_oom event_oom_kill high_sleeps high_asked_ns high_slept_ns stalls stall_ns "
        # its domain of dirty pages
        "dirty_limit dirty_limit_stamp written_events written_period "
        # of the root: the last group a shared walk of direct reclaim has seen (NIL: none), and the walks done
        "walk_last walk_turn"
    ).split()
    + MEMCG_COUNTERS
)

# lru=gen: a group's generations, the Bloom filters it uses (bits); of a tier of a type: averages, counts of the oldest
GEN = tuple((name, I8) for name in "max_seq min_anon min_file filters".split())
GEN_TIER = tuple((name, I8) for name in "avg_refaulted avg_total refaulted evicted protected".split())
WORK = tuple((name, I8) for name in "used next nr_pages for_kupdate for_background range_cyclic zone".split())
QUEUE = tuple(
    (name, I8)
    for name in (
        "kind bdi nr_requests on_threshold off_threshold max_pages elevator depth in_flight count_read "
        "count_write full_read full_write wait_read wait_write sort_read sort_write nr_sort_read nr_sort_write "
        "head_block plugged plug_gen busy_since_ns busy_ns starved batch_dir batch_left position_block seek_table "
        "rotation_ns outer_ns_per_block inner_ns_per_block channel_start nr_channels read_ns write_ns page_ns "
        "link_ns read_bps write_bps read_iops write_iops bucket_read_ns bucket_write_ns bucket_shared error_every "
        "nr_write_requests nr_read_requests blocks_written blocks_read nr_seeks seek_blocks merged errors "
        "nr_blocks "
        # stacked devices: members, leaves (for congestion and unplugging), the kernel thread and who waits for it
        "worker_wait submit_wait member_start nr_members leaf_start nr_leaves chunk_pages bio_head bio_tail "
        "last_used next_block stripe_start nr_stripes page_start stripe_list stripe_hash active_stripes preread_active "
        "inactive_blocked pending_full bypass_count last_hold rmw_reads "
        # iSCSI: the target's queue (remote: this queue is a target's), the socket, both directions of the link
        "target remote xmit_head xmit_tail half_rtt_ns socket_bytes socket_used tx_free_ns rx_free_ns skb_failures "
        "segments_sent backing_inode "
        "driver "
        # blk-mq (mq: this queue is one): pages of the largest bio, pieces of memory in it
        # and in a request; tags, and how many were freed while tasks waited for
        # one; requests put back or not sorted; where each direction's last request of mq-deadline began
        "mq bio_pages bio_segs max_segs nr_tags tags_used tag_batch tags_freed tag_wait list_head list_tail nr_list "
        "read_pos write_pos ra_pages "
        # how its limits work, its own time a request and a page; ticks: bytes of one, what is left of it (stopped: a
        # request waits for the next); slices: their length in jiffies, when the timer is due, its number, the thread
        "limit latency_ns service_page_ns tick_ns tick_bytes tick_left tick_armed stopped slice_jiffies throttle_gen "
        "throttle_wait "
        # wbt: latency wanted (0: off), step, depths; when a task last slept in balance_dirty_pages; of the window
        "wbt_target_ns wbt_step wbt_max wbt_normal wbt_background wbt_unknown wbt_inflight wbt_wait wbt_armed "
        "wbt_window_ns wbt_reads wbt_writes wbt_read_min_ns bdp_sleep_ns last_read_ns wbt_scaled_max "
        "wbt_sync wbt_sync_ns write_cache"
    ).split()
)

# One direction of blk-throttle on a queue, [2 * queue + direction]: its slice, in jiffies; what was let through in it;
# bios that wait; bios let go that the thread has not sent on yet.
THROTL = tuple((name, I8) for name in "start end bytes ios head tail nr ready_head ready_tail nr_ready".split())

# A member of a stacked device; `start` is its first block in a linear device.
MEMBER = tuple((name, I8) for name in "queue start nr_blocks head pending".split())

# One page of each member of a RAID5, at the same place: Linux's stripe_head.
STRIPE = tuple(
    (name, I8)
    for name in (
        "queue block parity refs which next prev hash_next handle delayed preread io_started full locked writing "
        "nr_towrite failed"
    ).split()
)
STRIPE_PAGE = tuple((name, I8) for name in "towrite written uptodate want".split())  # [stripe's first + member]

# A run of bytes on the way through a socket, or a response on its way back.
SEGMENT = tuple((name, I8) for name in "next stage queue request page length".split())

REQUEST = tuple(
    (name, I8)
    for name in (
        "used next queue block nr_pages is_write is_sync bio_head bio_tail deadline_ns started_ns submitter failed seq "
        "tracked meta nr_segs"
    ).split()
)

BIO = tuple(
    (name, I8)
    for name in (
        "used next inode index nr_pages block is_write is_sync page submitter queue parent member end children failed "
        # blk-mq: pages that were sent off in parts; whether the throttle has counted its bytes; whether wbt counts it
        "sent throttled tracked meta background nr_segs"
    ).split()
)

# What a task does: one row a task, filled from the scenario.
JOB = tuple(
    (name, I8)
    for name in (
        "kind rw rwmixread block_bytes io_bytes offset_bytes fsync_every end_fsync rate_bps thinktime_ns "
        "thinktime_blocks runtime_ns time_based start_delay_ns group norandommap distribution mmap loops order "
        "count interval_ns hold anon_bytes hold_ns lifetime_ns background file_start nr_files file_bytes "
        "zipf_start zipf_nr requests_start nr_requests done_bytes position next_due_ns issued state is_read lap "
        "touched nr_blocks feistel_bits key hist call_offset call_inode gfp "
        "caller phases_start nr_phases phase phase_own pool drop_cache advice map_start done_reads done_writes"
    ).split()
)

PARAM = tuple(
    (name, I8)
    for name in (
        "nr_pages nr_zones nr_cpus nr_tasks nr_jobs nr_inodes nr_bdis nr_queues jiffy_ns hz stack_bytes "
        "stack_order dirty_ratio dirty_bytes background_ratio background_bytes dirty_expire_ns dirty_writeback_ns "
        "swappiness laptop_mode ratelimit_pages ring_size heap_size reclaim_writeback reclaim_kick "
        "reclaim_wait_dirty reclaim_lumpy throttle_start throttle_by flush_turn write_folios "
        "dirty_floor timer_expiry flush_requeue reserve_pages "
        "zero_cost copy_ns clear_ns syscall_ns scan_ns free_ns writepage_ns nr_bios swap_bdi "
        "nr_swap_slots swap_bits swap_summary swap_block series_ns nr_series policy_isolate policy_dirty_page "
        "policy_next_inode policy_throttle policy_wake_flushers ring_drain stop_at_ns "
        "power_cut_ns total_pages prop_shift check_every nr_groups reclaim_throttle reclaim_progress reclaim_around "
        "reclaim_worker worker_order dirty_limits background_start flush_background flush_order lru_split "
        "watermark_gap stack_switch first_worker "
        "reclaim_bail kswapd_zones dirty_base zone_dma32 "
        "panic_on_oom oom_kill_allocating oom_dump_tasks hung_timeout_ns klog_size klog_snapshots "
        "hist_device "
        "nr_fs nr_xfs "
        "mobility_off "
        "stack_limit stack_overflow stack_diet "
        "reclaim_engine file_writepage scan_cost trim_retry watermark_marks watermark_hugepages pvec_size pcp_mode "
        "compaction oom_score isolate_mode buddy_steal boost_factor "
        "block_layer throttle_rules sched_pick busy_percent run_delay_ns "
        "nr_memcgs nr_wbs memcg_walk "
        "lru_gen gen_node gen_flush gen_events gen_ranges"
    ).split()
)

# The clock, the run queue and everything there is one of.
STAT = tuple(
    (name, I8)
    for name in (
        "now_ns seq heap_nr run_head run_tail run_nr ring_nr lost steps idle_cpus stop error error_task "
        "error_info free_request free_bio free_work requests_used bios_used works_used swap_free swap_cursor "
        "completions oom_lock oom_victims foreground_left group_left current_group series_nr dirty_integral "
        "writeback_integral level_since_ns dirty_max both_max measure_to_ns rewrites_saved scanned_direct "
        "reclaimed_direct scanned_kswapd reclaimed_kswapd written_direct written_kswapd written_flusher "
        "written_writer highorder_attempts highorder_failures pages_lost peak peak_nr peak_task overflows "
        "stack_pages stack_pages_max fork_nr dirtied lost_io lost_cut enospc oldest_dirty_ms alloc_stall_ns "
        "throttle_ns throttle_asked_ns throttle_count pages_dirtied_total pages_cleaned_total "
        "pages_truncated_dirty kswapd_max_order transactions slice_ns slices wakeups events_handled "
        "readahead_pages fsyncs request_hits "
        "kswapd_woken_ns kswapd_scanned_before kswapd_reclaimed_before "
        "klog_nr klog_dropped klog_snapshot_nr rate_begin rate_printed rate_missed hung_due_ns "
        "hung_warnings progress progress_ns deepest_exit panic_reason "
        "free_segment segments_used "
        "metadata_reads journal_commits writepage_refused reclaim_refused copyups "
        "dirty_limit dirty_limit_stamp written_events written_period "
        "min_vruntime nr_hugepages "
        "overflow_nr overflow_task kmalloc_page kmalloc_pages kmalloc_free kmalloc_reaped_ns "
        "busy_from_ns busy_until_ns rng0 rng1 rng2 rng3"
    ).split()
)

# The kernel log: what printk would have said, and what the machine looked like when it did.
KLOG = tuple((name, I8) for name in "time_ns kind task who a b c d snapshot nr_stack".split())
KLOG_MEM = tuple((name, I8) for name in "nr_free nr_file nr_dirty nr_writeback swap_free nr_tasks".split())
KLOG_ZONE = tuple(
    (name, I8)
    for name in (
        "nr_free isolated_anon isolated_file nr_dirty nr_writeback pages_scanned all_unreclaimable "
        "unreclaimable_since_ns stack_pages "
        "nr0 nr1 nr2 nr3 nr4 nr5 nr6 nr7 nr8 nr9 nr10"  # free blocks of each order
    ).split()
)
# Pages of one LRU list: those with each mark, and those that no mark keeps from being freed.
KLOG_LIST = tuple((name, I8) for name in "nr dirty writeback locked young mapped swapcache idle".split())
KLOG_TASK = tuple((name, I8) for name in "task total_vm anon_rss file_rss cpu".split())

# sched.pick=fair: curr: the task it belongs to, plus 1; whether that has to give way, to whom (plus 1); the last tick
CPU = tuple(
    (name, I8)
    for name in (
        "task busy_until_ns pvec_nr dirty_count idle busy_ns curr resched next tick stock_memcg stock_nr"
    ).split()
)

LAYOUT_FIELDS: Mapping[str, tuple[Any, bool]] = {
    "page": (PAGE, False),
    "frame": (FRAME, False),
    "task": (TASK, False),
    "zone": (ZONE, False),
    "node": (NODE, True),
    "inode": (INODE, False),
    "bdi": (BDI, False),
    "memcg": (MEMCG, False),
    "work": (WORK, False),
    "queue": (QUEUE, False),
    "throtl": (THROTL, False),
    "request": (REQUEST, False),
    "bio": (BIO, False),
    "member": (MEMBER, False),
    "leaf_queue": (I8, False),  # request queues and RAID5s below each stacked device
    "stripe": (STRIPE, False),
    "stripe_page": (STRIPE_PAGE, False),
    "stripe_list": ((("head", I8), ("tail", I8)), False),  # [queue.stripe_list + list]
    "stripe_hash": (I8, False),  # [queue.stripe_hash + block % nr_stripes]: first stripe of the chain
    "segment": (SEGMENT, False),
    "fs": (FILESYSTEM, False),
    "xfs": (XFS, False),
    "xfs_ag": (XFS_AG, False),
    "xfs_agfl": ((("block", I8), ("lsn", I8)), False),  # [ag * AGFL_SIZE + i]: free metadata blocks and when freed
    "xfs_block": (XFS_BLOCK, False),
    "xfs_tree": (XFS_TREE, False),
    "iclog": (ICLOG, False),
    "slab": (SLAB, False),  # by cache number, mm/slab.py
    "job": (JOB, False),
    "cpu": (CPU, False),
    "param": (PARAM, True),
    "stat": (STAT, True),
    "vm": (tuple((name, I8) for name in VMSTAT), True),
    "free_area": ((("nr", I8),), False),  # [zone * MAX_ORDER + order]: free blocks of all types
    "free_list": ((("head", I4),), False),  # [(zone * MAX_ORDER + order) * NR_FREE_LISTS + type]
    "order_stat": ((("attempts", I8), ("failures", I8)), False),  # [order]: requests of order 1 and above by tasks
    "pageblock": (I1, False),  # by frame number / 512: what the block is for, MIGRATE_*
    "pageblock_skip": (I1, False),  # likewise: whether compaction passes it by
    # [zone * nr_cpus + cpu]: free frames a CPU keeps; pcp.high=auto: free_factor is what was freed in a row, in pages;
    # how many it may keep, by what a fetch grows, the second up to which the limit was lowered
    "pcp": (tuple((name, I8) for name in ("nr", "free_factor", "high", "alloc_factor", "decayed")), False),
    "pcp_list": ((("head", I4), ("tail", I4)), False),  # [(zone * nr_cpus + cpu) * MIGRATE_PCPTYPES + type]
    # [zone * NR_LRU + list]; of the node [group * NR_LRU + list]
    "lru": ((("head", I4), ("tail", I4), ("nr", I8), ("saved_scan", I8)), False),
    "gen": (GEN, False),  # by group
    # [((group * 4 + generation) * 2 + type) * nr_zones + zone]; nr: pages that count for it, wherever they are
    "gen_list": ((("head", I4), ("tail", I4), ("nr", I8)), False),
    "gen_tier": (GEN_TIER, False),  # [(group * 2 + type) * 4 + tier]
    "gen_filter": (I1, False),  # [group * gen_ranges + range]: page tables worth a walk, one bit a filter
    "pvec": (I4, False),  # [cpu * pvec_size + i]: pages on their way to an LRU list
    "slot": ((("page", I4), ("block", I4)), False),  # a file page: its frame, NIL, or what it left when
    # reclaim took it (mm/workingset.py); its disk block, NIL for none
    "bits": (U4, False),  # dirty and writeback bitmaps of all inodes, their summaries, free-block bitmaps
    "wait": ((("head", I4), ("tail", I4)), False),  # wait queues
    "heap": ((("when_ns", I8), ("seq", I8), ("kind", I8), ("arg", I8), ("gen", I8)), False),
    "sort": (I4, False),  # each queue's requests in block order, one list a direction
    "channel": (I8, False),  # when each SSD channel is free
    "table": (I8, False),  # integer tables made at boot: seek curves, distributions
    "file_list": (I8, False),  # the files of each job, in turn
    "group_left": (I8, False),  # tasks of each stonewall group that are not done
    "request_list": (I8, False),  # an access list to replay: file page numbers
    "function": ((("frame_bytes", I8), ("unit", I8)), False),  # by function number
    "sg_pool": ((("used", I8), ("objects", I8)), False),  # scatter tables in use, and room for them in slab pages
    "unit": (I8, False),  # where each compiled unit begins
    "chain": (I4, False),  # the deepest stack met, CHAIN_ROWS on the first overflow: functions, leaf chain as ~number
    "leaf": (I8, False),  # bytes of each leaf chain
    "hist": (I8, False),  # log-bucket histograms, HIST_BUCKETS each
    "hist_sum": ((("nr", I8), ("total", I8), ("largest", I8)), False),
    # why reclaim wrote, why tasks entered it, by cause; total, largest: ms dirty, or ms kswapd had been awake
    "cause": (tuple((name, I8) for name in "nr nr_direct total largest total_ahead".split()), False),
    "fact": (I8, False),  # pages written by reclaim of which a fact held
    "cause_age": (I8, False),  # pages written by reclaim, by log2 of the milliseconds they had been dirty
    "example": (
        tuple((n, I8) for n in "time_ns pid number page inode index age_ms ahead facts zone order".split()),
        False,
    ),
    "event_on": (I1, False),  # by tracepoint number
    "series": (I8, False),  # SERIES_COLUMNS columns a sample
    # what a policy that has no page or inode to look at is shown: pages, and limits in pages
    "policy_view": (
        tuple(
            (name, I8)
            for name in (
                "nr_dirty nr_writeback nr_free background_limit dirty_limit bdi_dirty bdi_writeback bdi_limit "
                "nr_scanned nr_reclaimed"
            ).split()
        ),
        True,
    ),
    "policy_ctx": ((("knob0", I8), ("knob1", I8), ("knob2", I8), ("acc0", I8), ("acc1", I8), ("acc2", I8)), False),
    "klog": (KLOG, False),
    "klog_stack": (I4, False),  # [record * KLOG_STACK + i]: functions of the task's stack, outermost first
    "klog_mem": (KLOG_MEM, False),  # [snapshot]
    "klog_zone": (KLOG_ZONE, False),  # [snapshot * nr_zones + zone]
    "klog_list": (KLOG_LIST, False),  # [(snapshot * nr_zones + zone) * NR_LRU + list]
    "klog_pcp": (I4, False),  # [(snapshot * nr_zones + zone) * nr_cpus + cpu]: free pages on the CPU's list
    "klog_task": (KLOG_TASK, False),  # [snapshot * nr_tasks + i], with vm.oom_dump_tasks
    "ring": (
        (("time_ns", I8), ("pid", I4), ("event", I2), ("cpu", I2), *((f"a{i}", I8) for i in range(14))),
        False,
    ),
}


def _dtype(fields: Any) -> Any:
    return np.dtype(fields) if isinstance(fields, str) else np.dtype(list(fields), align=True)


LAYOUT = {name: (_dtype(fields), single) for name, (fields, single) in LAYOUT_FIELDS.items()}

kernel_at = jit.kernel_view(LAYOUT)


def new_state(sizes: Mapping[str, int]) -> dict[str, Any]:
    """Return zeroed tables; `sizes` gives rows for all but single records. Memory is touched only when used."""
    return {
        name: np.zeros(1 if single else max(1, sizes[name]), dtype=dtype) for name, (dtype, single) in LAYOUT.items()
    }
