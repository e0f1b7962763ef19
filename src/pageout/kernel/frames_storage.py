# SPDX-License-Identifier: GPL-2.0-or-later
"""Frames, rows and leaf chains of devices stacked on others: md, device-mapper, iSCSI, loop.

`kernel.frames` takes them up. No trace of 2010 has these: they stay, section by section, within the ranges thought
likely then: 200 to 400 for md or dm, 600 to 1200 for iSCSI with TCP and a network driver. Order of the functions: Linux
v2.6.34 drivers/md/md.c, raid0.c, raid1.c, raid5.c, dm.c, drivers/scsi/libiscsi.c, iscsi_tcp.c, drivers/block/loop.c.
"""

from __future__ import annotations

T33 = "traces of 2.6.33.2, April 2010"

SIZES: dict[str, tuple[int, str]] = {
    "queue_delayed_work": (160, T33 + ": the sum from queue_delayed_work to insert_work"),
    "__wake_up": (272, T33 + ": the sum from __wake_up to try_to_wake_up"),
    "bio_clone": (32, "assumed: few locals"),
    "bio_alloc_bioset": (64, "assumed: as kmem_cache_alloc"),
    "md_make_request": (96, "assumed: half of the 200 thought least for md; it waits inline for a suspended array"),
    "raid0_make_request": (112, "assumed: with md_make_request just over the 200 thought least for md"),
    "raid1_make_request": (
        192,
        "assumed: a wait entry, two bio lists and many locals; md in all below 400 with clones",
    ),
    "raid5_make_request": (160, "assumed: a wait entry and locals; drivers/md/raid5.c:make_request"),
    "get_active_stripe": (144, "assumed: as get_request_wait, which sleeps the same way"),
    "dm_request": (64, "assumed: few locals"),
    "__split_and_process_bio": (160, "assumed: a clone_info on the stack"),
    "md_thread": (112, "assumed: a wait entry"),
    "raid5d": (96, "assumed: few locals"),
    "handle_stripe": (208, "assumed: a stripe_head_state and locals, handle_stripe5 inlined"),
    "ops_run_io": (96, "assumed: few locals"),
    "worker_thread": (112, "assumed: a wait entry, as md_thread"),
    "iscsi_xmitworker": (48, "assumed: few locals"),
    "iscsi_data_xmit": (64, "assumed: few locals"),
    "iscsi_sw_tcp_pdu_xmit": (48, "assumed: few locals"),
    "iscsi_sw_tcp_xmit_segment": (112, "assumed: an msghdr and a kvec"),
    "do_tcp_sendpages": (160, "assumed: many locals"),
    "sk_stream_wait_memory": (112, "assumed: a wait entry"),
    "tcp_write_xmit": (112, "assumed: many locals"),
    "tcp_transmit_skb": (112, "assumed: as tcp_write_xmit"),
    "ip_queue_xmit": (128, "assumed: a flowi for the route"),
    "ip_output": (48, "assumed: few locals"),
    "dev_queue_xmit": (80, "assumed: few locals"),
    "ndo_start_xmit": (144, "assumed: a network driver's transmit, as get_request_wait"),
    "iscsi_queuecommand": (96, "assumed: few locals"),
    "loop_thread": (112, "assumed: a wait entry"),
    "loop_make_request": (48, "assumed: few locals"),
    "do_bio_filebacked": (64, "assumed: few locals"),
    "do_lo_send_aops": (144, "assumed: many locals"),
    "grab_cache_page_write_begin": (64, "assumed: as find_or_create_page less its inlined lookup"),
    "lo_receive": (64, "assumed: few locals"),
    "do_lo_receive": (112, "assumed: a splice_desc and its cookie"),
    "wbt_wait": (48, "assumed: few locals"),
    "blk_mq_get_tag": (128, "assumed: a wait queue entry, as get_request_wait"),
    "rq_qos_wait": (112, "assumed: a wait queue entry and its data"),
    "blk_finish_plug": (48, "assumed: a list of its own"),
    "blk_throtl_dispatch_work_fn": (112, "assumed: a plug and a list of bios"),
}

ROWS = (
    ("make_request", "block", "", "__make_request"),
    ("submit_bio_stacked", "storage", "submit_bio", "generic_make_request"),
    ("generic_make_request", "storage"),
    ("raid5_make_request", "storage", "md_make_request raid5_make_request", "get_active_stripe"),
    ("raid5d", "storage", "kernel_thread_helper kthread md_thread"),
    ("handle_stripe", "storage", "handle_stripe", "ops_run_io"),
    ("iscsi_xmitworker", "storage", "kernel_thread_helper kthread worker_thread iscsi_xmitworker", "iscsi_data_xmit"),
    ("iscsi_send", "storage", "iscsi_sw_tcp_pdu_xmit iscsi_sw_tcp_xmit_segment", "do_tcp_sendpages"),
    ("loop_thread", "storage", "kernel_thread_helper kthread"),
    ("lo_send", "storage", "do_bio_filebacked do_lo_send_aops", "grab_cache_page_write_begin"),
    (
        "lo_receive",
        "task",
        "do_bio_filebacked lo_receive do_lo_receive splice_direct_to_actor do_splice_to generic_file_splice_read",
        "__generic_file_splice_read",
    ),
    ("blk_mq_get_tag", "block"),
    ("rq_qos_wait", "block", "wbt_wait"),
    ("blk_finish_plug", "block"),
    ("kthrotld", "block", "kernel_thread_helper kthread worker_thread", "blk_throtl_dispatch_work_fn"),
)

LEAVES = {
    "raid0": "md_make_request raid0_make_request generic_make_request",
    "raid1": "md_make_request raid1_make_request bio_clone bio_alloc_bioset mempool_alloc mempool_alloc_slab "
    "kmem_cache_alloc __slab_alloc",
    "raid5_read": "md_make_request raid5_make_request bio_clone bio_alloc_bioset mempool_alloc mempool_alloc_slab "
    "kmem_cache_alloc __slab_alloc",
    "dm_linear": "dm_request __split_and_process_bio bio_alloc_bioset mempool_alloc mempool_alloc_slab "
    "kmem_cache_alloc __slab_alloc",
    "loop": "loop_make_request __wake_up",
    "iscsi_queue": "__elv_add_request elv_insert __blk_run_queue scsi_request_fn scsi_dispatch_cmd iscsi_queuecommand "
    "queue_delayed_work __wake_up",
    "tcp_transmit": "tcp_write_xmit tcp_transmit_skb ip_queue_xmit ip_output dev_queue_xmit ndo_start_xmit",
}
