# SPDX-License-Identifier: GPL-2.0-or-later
"""Frames, rows and leaf chains of those who call into the kernel, and of the drivers below the block layer.

`kernel.frames` takes them up; sizes and their sources as there. Order of the functions: Linux v2.6.34 fs/select.c,
fs/splice.c, fs/nfsd/vfs.c, net/sunrpc/svc.c, net/ipv4/tcp.c, block/elevator.c, drivers/scsi/scsi_lib.c,
drivers/ata/libata-sff.c, drivers/ata/sata_mv.c, kernel/workqueue.c, kernel/sched.c.
"""

from __future__ import annotations

T33 = "traces of 2.6.33.2, April 2010"
_GROUP = "traces of 2.6.33.2 give the sum of this group; how it is shared within is assumed"
_TCP = "assumed: few locals; with its neighbours within the 600 to 1200 bytes a network transmit path may take"

_TRACED = """
sys_sendfile64 80
do_sendfile 96
do_splice_direct 80
splice_direct_to_actor 112
do_splice_to 64
xfs_file_splice_read 32
xfs_splice_read 96
generic_file_splice_read 48
__generic_file_splice_read 592
mempool_alloc 144
mempool_alloc_slab 16
kmem_cache_alloc 64
__slab_alloc 96
new_slab 80
cache_alloc_refill 80
cache_grow 96
kmem_getpages 48
mv_qc_issue 96
ata_sff_qc_issue 48
ata_pio_queue_task 32
select_task_rq_fair 304
sd_prep_fn 144
blk_peek_request 64
scsi_setup_fs_cmnd 48
scsi_init_io 24
scsi_init_sgtable 32
__sg_alloc_table 96
scsi_sg_alloc 16
"""
_GROUPED = """
queue_delayed_work 16
queue_work 16
queue_work_on 16
__queue_work 48
insert_work 64
__wake_up 64
__wake_up_common 64
autoremove_wake_function 32
default_wake_function 16
try_to_wake_up 96
"""
_ASSUMED = {
    "sys_poll": (80, "assumed: as sys_sendfile64"),
    "do_sys_poll": (912, "assumed: as do_select; holds all 832 bytes of MAX_STACK_ALLOC itself"),
    "__kmalloc": (64, "assumed: as kmem_cache_alloc"),
    "page_cache_sync_readahead": (64, "assumed: as page_cache_async_readahead"),
    "__generic_unplug_device": (32, "assumed: as __blk_run_queue, which calls the same function"),
    "ahci_qc_issue": (48, "assumed: as ata_sff_qc_issue"),
    "nfsd": (64, "assumed: as writeback_single_inode: a loop with few locals"),
    "svc_recv": (112, "assumed: as sys_select: a loop over an array of pages that lies elsewhere"),
    "svc_process": (48, "assumed: as vfs_write: checks and passes on"),
    "svc_process_common": (112, "assumed: as sys_select"),
    "nfsd_dispatch": (64, "assumed: as writeback_single_inode"),
    "nfsd3_proc_write": (48, "assumed: as vfs_write"),
    "nfsd3_proc_read": (48, "assumed: as vfs_write"),
    "nfsd_write": (80, "assumed: as sys_sendfile64"),
    "nfsd_read": (80, "assumed: as sys_sendfile64"),
    "nfsd_vfs_write": (96, "assumed: as do_sendfile"),
    "nfsd_vfs_read": (128, "assumed: as do_sendfile, with a splice_desc"),
    "vfs_writev": (48, "assumed: as vfs_write"),
    "do_readv_writev": (192, "assumed: UIO_FASTIOV = 8 vectors of 16 bytes, and locals"),
    "do_sync_readv_writev": (272, "assumed: as do_sync_write, which builds the same kiocb"),
    "svc_tcp_recvfrom": (112, "assumed: as sys_select"),
    "svc_recvfrom": (96, "assumed: a msghdr of 56 bytes and locals"),
    "kernel_recvmsg": (48, "assumed: as vfs_write"),
    "sock_recvmsg": (208, "assumed: a kiocb on the stack, as in do_sync_write, without its iovec"),
    "sock_common_recvmsg": (64, "assumed: few locals"),
    "tcp_recvmsg": (144, "assumed: as __do_page_cache_readahead: a loop with many locals"),
    "direct_splice_actor": (16, "assumed: passes on"),
    "do_splice_from": (64, "assumed: as do_splice_to"),
    "generic_splice_sendpage": (16, "assumed: passes on"),
    "splice_from_pipe": (80, "assumed: a splice_desc of 48 bytes"),
    "__splice_from_pipe": (64, "assumed: as do_splice_to"),
    "pipe_to_sendpage": (64, "assumed: as do_splice_to"),
    "sock_sendpage": (32, _TCP),
    "kernel_sendpage": (16, _TCP),
    "tcp_sendpage": (64, _TCP),
    "do_tcp_sendpages": (144, _TCP),
    "tcp_push_one": (48, _TCP),
    "tcp_write_xmit": (112, _TCP),
    "tcp_transmit_skb": (112, _TCP),
    "ip_queue_xmit": (96, _TCP),
    "ip_output": (48, _TCP),
    "dev_queue_xmit": (80, _TCP),
    "dev_hard_start_xmit": (80, _TCP),
}


def _sized(text: str, source: str) -> dict[str, tuple[int, str]]:
    rows = (line.split() for line in text.strip().splitlines())
    return {name: (int(nbytes), source) for name, nbytes in rows}


SIZES: dict[str, tuple[int, str]] = _sized(_TRACED, T33) | _sized(_GROUPED, _GROUP) | _ASSUMED

_NFSD_WRITE = "svc_process svc_process_common nfsd_dispatch nfsd3_proc_write nfsd_write nfsd_vfs_write"

# name, unit, functions that only pass on, its own frame; where two rows have one body, `machine.dispatch` says so
ROWS = (
    ("do_select", "task", "do_select sock_poll unix_poll __pollwait", "__get_free_pages"),
    ("sys_poll", "task", "system_call_fastpath sys_poll", "do_sys_poll"),
    ("do_poll", "task", "sock_poll unix_poll __pollwait", "__get_free_pages"),
    ("kmalloc_refill", "task", "__kmalloc cache_alloc_refill cache_grow", "kmem_getpages"),
    (
        "async_readahead",
        "task",
        "page_cache_async_readahead ondemand_readahead ra_submit",
        "__do_page_cache_readahead",
    ),
    ("page_cache_alloc", "mm", "__page_cache_alloc alloc_pages_current", "__alloc_pages_nodemask"),
    (
        "sys_sendfile",
        "callers",
        "system_call_fastpath sys_sendfile64 do_sendfile do_splice_direct",
        "splice_direct_to_actor",
    ),
    (
        "xfs_splice_read",
        "callers",
        "do_splice_to xfs_file_splice_read xfs_splice_read generic_file_splice_read",
        "__generic_file_splice_read",
    ),
    ("splice_read", "callers", "do_splice_to generic_file_splice_read", "__generic_file_splice_read"),
    ("nfsd", "callers", "kernel_thread_helper kthread", "nfsd"),
    ("svc_recv", "callers", "", "svc_recv"),
    (
        "nfsd_read",
        "callers",
        "svc_process svc_process_common nfsd_dispatch nfsd3_proc_read nfsd_read nfsd_vfs_read",
        "splice_direct_to_actor",
    ),
    (
        "nfsd_write",
        "task",
        f"{_NFSD_WRITE} vfs_writev do_readv_writev do_sync_readv_writev xfs_file_aio_write xfs_write",
        "generic_file_buffered_write",
    ),
)

# From __make_request to the driver, in the order of engine.constants.DISPATCH_*: the queue is run at once for a request
# that must not wait; at the unplug threshold; by the submitter, the queue not being plugged.
_WAYS = (
    ("kick", "__elv_add_request elv_insert __blk_run_queue"),
    ("threshold", "__elv_add_request elv_insert __generic_unplug_device"),
    ("unplugged", "__generic_unplug_device"),
)
_PREPARE = (
    "scsi_request_fn blk_peek_request sd_prep_fn scsi_setup_fs_cmnd scsi_init_io scsi_init_sgtable __sg_alloc_table "
    "scsi_sg_alloc mempool_alloc mempool_alloc_slab"
)
_ISSUE = "scsi_request_fn scsi_dispatch_cmd ata_scsi_queuecmd ata_scsi_translate ata_qc_issue"
_NEW_SLAB = "kmem_cache_alloc __slab_alloc new_slab alloc_pages_current __alloc_pages_nodemask get_page_from_freelist"
_QUEUE_WORK = "queue_delayed_work queue_work queue_work_on __queue_work insert_work"
_WAKE_UP = "__wake_up __wake_up_common autoremove_wake_function default_wake_function try_to_wake_up"
# What follows, in the order of engine.constants.DRIVER_*: a scatter table from an object at hand, one from a new slab
# page, and the command itself by kind of driver.
_ENDS = (
    ("table", _PREPARE),
    (
        "slab",
        f"{_PREPARE} {_NEW_SLAB}",
    ),
    ("ahci", f"{_ISSUE} ahci_qc_issue"),
    ("mv", f"{_ISSUE} mv_qc_issue"),
    (
        "mv_polled",
        f"{_ISSUE} mv_qc_issue ata_sff_qc_issue ata_pio_queue_task {_QUEUE_WORK} {_WAKE_UP} select_task_rq_fair",
    ),
)
LEAVES = {
    "get_request": "get_request_wait get_request mempool_alloc mempool_alloc_slab",
    "after_wait": "get_request mempool_alloc mempool_alloc_slab",
    "svc_receive": "svc_tcp_recvfrom svc_recvfrom kernel_recvmsg sock_recvmsg sock_common_recvmsg tcp_recvmsg",
    "splice_send": "direct_splice_actor do_splice_from generic_splice_sendpage splice_from_pipe __splice_from_pipe "
    "pipe_to_sendpage sock_sendpage kernel_sendpage tcp_sendpage do_tcp_sendpages tcp_push_one tcp_write_xmit "
    "tcp_transmit_skb ip_queue_xmit ip_output dev_queue_xmit dev_hard_start_xmit",
    "kmalloc": "__kmalloc",
} | {f"dispatch_{way}_{end}": f"{above} {below}" for way, above in _WAYS for end, below in _ENDS}
