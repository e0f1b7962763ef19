# SPDX-License-Identifier: GPL-2.0-or-later
"""The compiled units: each runs the frames that belong to it and hands over at the border to another.

Only this module imports all rooms. A unit is compiled by itself, when a run first reaches it, and cached by itself;
units call each other by address.
"""

from pageout.engine.constants import LAYER_MQ, RUN, SWITCH
from pageout.engine.kstack import frame_of
from pageout.engine.state import kernel_at
from pageout.jit import kentry, kfn
from pageout.kernel.block.blk_core import get_request_wait, submit_bio
from pageout.kernel.block.blk_mq import blk_finish_plug, blk_mq_get_tag, blk_mq_submit_bio, kthrotld
from pageout.kernel.block.blk_wbt import rq_qos_wait
from pageout.kernel.drivers.iscsi import iscsi_send, iscsi_xmitworker
from pageout.kernel.drivers.loop import lo_send, loop_thread
from pageout.kernel.drivers.raid5 import handle_stripe, raid5_make_request, raid5d
from pageout.kernel.drivers.stacked import generic_make_request
from pageout.kernel.frames import FN
from pageout.kernel.frames import UNITS as UNIT_NAMES
from pageout.kernel.fs.btrfs import extent_write_cache_pages
from pageout.kernel.fs.buffer import block_write_full_page, bread
from pageout.kernel.fs.commit import journal_commit_transaction, kjournald, log_wait_commit
from pageout.kernel.fs.ext4 import ext4_da_writepages
from pageout.kernel.fs.fadvise import sys_fadvise64
from pageout.kernel.fs.fs_writeback import (
    bdi_writeback_thread,
    wb_writeback,
    write_cache_pages,
    writeback_inodes_wb,
    writeback_single_inode,
)
from pageout.kernel.fs.nfsd import nfsd, svc_recv
from pageout.kernel.fs.read_write import sys_fsync, sys_read, sys_unlink, sys_write
from pageout.kernel.fs.splice import splice_read, sys_sendfile
from pageout.kernel.fs.union import (
    copyup_dentry,
    unionfs_read,
    unionfs_readpage,
    unionfs_write,
    unionfs_writepage,
)
from pageout.kernel.fs.wb_writeback import wb_workfn, wb_writeback_turns, writeback_sb_inodes
from pageout.kernel.fs.writepage import swap_writepage
from pageout.kernel.fs.writepages import writepages
from pageout.kernel.fs.xfs import xfs_file_fsync, xfs_iomap_write_allocate, xfs_vm_writepage
from pageout.kernel.fs.xfs_alloc import xfs_alloc_vextent, xfs_bmap_add_extent, xfs_bmapi
from pageout.kernel.fs.xfs_btree import xfs_btree
from pageout.kernel.fs.xfs_buf import kmem_zone_alloc, xfs_buf_read, xfsbufd
from pageout.kernel.fs.xfs_log import xfs_log_force, xfs_log_reserve, xfs_trans_commit, xlog_sync
from pageout.kernel.mm.balance_dirty import balance_dirty_pages_by_pause
from pageout.kernel.mm.compact_zone import compact_zone
from pageout.kernel.mm.compaction import try_to_compact_pages
from pageout.kernel.mm.folio_list import shrink_folio_list
from pageout.kernel.mm.kcompactd import kcompactd
from pageout.kernel.mm.kmalloc import kmalloc_refill
from pageout.kernel.mm.kswapd import balance_pgdat, kswapd
from pageout.kernel.mm.kswapd_node import balance_node, kswapd_of_node
from pageout.kernel.mm.memcg_charge import mem_cgroup_handle_over_high, try_charge_memcg
from pageout.kernel.mm.memory import anonymous_fault, page_fault
from pageout.kernel.mm.page_alloc import alloc_pages
from pageout.kernel.mm.page_alloc_node import alloc_pages_slowpath
from pageout.kernel.mm.page_wait import wait_on_page
from pageout.kernel.mm.page_writeback import balance_dirty_pages
from pageout.kernel.mm.readahead import do_readahead
from pageout.kernel.mm.reclaim_throttle import reclaim_throttle
from pageout.kernel.mm.reclaim_worker import hand_to_worker, reclaim_worker
from pageout.kernel.mm.shrink_inactive import shrink_inactive_folios
from pageout.kernel.mm.shrink_list import shrink_page_list
from pageout.kernel.mm.throttle import wait_iff_congested
from pageout.kernel.mm.vmscan import (
    congestion_wait,
    shrink_inactive_list,
    shrink_zone,
    throttle_vm_writeout,
    try_to_free_pages,
)
from pageout.kernel.mm.vmscan_node import shrink_node, try_to_free_node_pages
from pageout.kernel.sched.allocators import do_select, sys_clone, sys_recvmsg, sys_select
from pageout.kernel.sched.core import run_machine
from pageout.kernel.sched.highorder import get_pages
from pageout.kernel.sched.user import user
from pageout.machine.dispatch_gen import gen_unit

WRITEBACK, EXT, NODE = (UNIT_NAMES.index(name) for name in ("writeback", "ext", "node"))


@kentry
def core_unit(address, max_steps):
    """The scheduler, and what happens between tasks: timers, completions, drivers."""
    return run_machine(kernel_at(address), max_steps)


@kfn
def _block_step(k, t):
    f = frame_of(k, t)
    fn = f.fn
    if fn == FN.submit_bio or fn == FN.make_request:
        if k.param.block_layer == LAYER_MQ:
            return blk_mq_submit_bio(k, t, f)
        return submit_bio(k, t, f)
    if fn == FN.get_request_wait:
        return get_request_wait(k, t, f)
    if fn == FN.blk_mq_get_tag:
        return blk_mq_get_tag(k, t, f)
    if fn == FN.rq_qos_wait:
        return rq_qos_wait(k, t, f)
    if fn == FN.blk_finish_plug:
        return blk_finish_plug(k, t, f)
    if fn == FN.kthrotld:
        return kthrotld(k, t, f)
    if fn == FN.wait_on_page:
        return wait_on_page(k, t, f)
    return SWITCH


@kentry
def block_unit(address, t):
    """The request queue, and waiting for what it does."""
    k = kernel_at(address)
    verb = RUN
    while verb == RUN:
        verb = _block_step(k, t)
    return verb


@kfn
def _task_step(k, t):
    f = frame_of(k, t)
    fn = f.fn
    if fn == FN.user:
        return user(k, t, f)
    if FN.sys_write <= fn <= FN.btrfs_vfs_write or fn == FN.nfsd_write:
        return sys_write(k, t, f)
    if FN.sys_read <= fn <= FN.ext2_vfs_read or fn == FN.lo_receive:
        return sys_read(k, t, f)
    if fn == FN.do_readahead or fn == FN.async_readahead:
        return do_readahead(k, t, f)
    if fn == FN.anonymous_fault:
        return anonymous_fault(k, t, f)
    if fn == FN.sys_select or fn == FN.sys_poll:
        return sys_select(k, t, f)
    if fn == FN.do_select or fn == FN.do_poll:
        return do_select(k, t, f)
    if fn == FN.kmalloc_refill:
        return kmalloc_refill(k, t, f)
    if fn == FN.sys_clone:
        return sys_clone(k, t, f)
    if fn == FN.sys_recvmsg:
        return sys_recvmsg(k, t, f)
    if fn == FN.sys_nr_hugepages or fn == FN.sys_ioctl or fn == FN.net_rx_action:
        return get_pages(k, t, f)
    return SWITCH


@kentry
def task_unit(address, t):
    """System calls, faults and the programs that make them."""
    k = kernel_at(address)
    verb = RUN
    while verb == RUN:
        verb = _task_step(k, t)
    return verb


@kfn
def _mm_step(k, t):
    f = frame_of(k, t)
    fn = f.fn
    if fn == FN.alloc_pages or fn == FN.page_cache_alloc:
        return alloc_pages(k, t, f)
    if fn == FN.try_to_free_pages:
        return try_to_free_pages(k, t, f)
    if fn == FN.shrink_zone:
        return shrink_zone(k, t, f)
    if fn == FN.shrink_inactive_list:
        return shrink_inactive_list(k, t, f)
    if fn == FN.shrink_page_list:
        return shrink_page_list(k, t, f)
    if fn == FN.congestion_wait:
        return congestion_wait(k, t, f)
    if fn == FN.throttle_vm_writeout:
        return throttle_vm_writeout(k, t, f)
    if fn == FN.kswapd:
        return kswapd(k, t, f)
    if fn == FN.balance_pgdat:
        return balance_pgdat(k, t, f)
    if fn == FN.wait_iff_congested:
        return wait_iff_congested(k, t, f)
    if fn == FN.hand_to_worker:
        return hand_to_worker(k, t, f)
    if fn == FN.reclaim_worker:
        return reclaim_worker(k, t, f)
    return SWITCH


@kentry
def mm_unit(address, t):
    """The allocator's slow path, reclaim, kswapd, the OOM killer."""
    k = kernel_at(address)
    verb = RUN
    while verb == RUN:
        verb = _mm_step(k, t)
    return verb


@kfn
def _writeback_step(k, t):
    f = frame_of(k, t)
    fn = f.fn
    if k.function[fn].unit != WRITEBACK:  # a choice may have exchanged it, see machine/functions.py
        return SWITCH
    if fn == FN.balance_dirty_pages:
        return balance_dirty_pages(k, t, f)
    if fn == FN.bdi_writeback_thread:
        return bdi_writeback_thread(k, t, f)
    if fn == FN.wb_writeback:
        return wb_writeback(k, t, f)
    if fn == FN.writeback_inodes_wb:
        return writeback_inodes_wb(k, t, f)
    if fn == FN.writeback_single_inode:
        return writeback_single_inode(k, t, f)
    if fn == FN.write_cache_pages or fn == FN.ext2_writepages or fn == FN.generic_writepages:
        return write_cache_pages(k, t, f)
    if fn == FN.swap_writepage:
        return swap_writepage(k, t, f)
    return SWITCH


@kentry
def writeback_unit(address, t):
    """Throttled writers, flusher threads, the filesystem's writepage."""
    k = kernel_at(address)
    verb = RUN
    while verb == RUN:
        verb = _writeback_step(k, t)
    return verb


@kfn
def _storage_step(k, t):
    f = frame_of(k, t)
    fn = f.fn
    if fn == FN.submit_bio_stacked or fn == FN.generic_make_request:
        return generic_make_request(k, t, f)
    if fn == FN.raid5_make_request:
        return raid5_make_request(k, t, f)
    if fn == FN.raid5d:
        return raid5d(k, t, f)
    if fn == FN.handle_stripe:
        return handle_stripe(k, t, f)
    if fn == FN.iscsi_xmitworker:
        return iscsi_xmitworker(k, t, f)
    if fn == FN.iscsi_send:
        return iscsi_send(k, t, f)
    if fn == FN.loop_thread:
        return loop_thread(k, t, f)
    if fn == FN.lo_send:
        return lo_send(k, t, f)
    return SWITCH


@kentry
def storage_unit(address, t):
    """Devices stacked on others: md, dm, iSCSI, loop, and their threads."""
    k = kernel_at(address)
    verb = RUN
    while verb == RUN:
        verb = _storage_step(k, t)
    return verb


@kfn
def _ext_step(k, t):
    f = frame_of(k, t)
    fn = f.fn
    if k.function[fn].unit != EXT:  # a choice may have exchanged it, see machine/functions.py
        return SWITCH
    if FN.ext2_writepage <= fn <= FN.btrfs_writepage:
        return block_write_full_page(k, t, f)
    if fn == FN.ext2_get_branch or fn == FN.ext3_get_branch or fn == FN.ext4_mb_load_buddy:
        return bread(k, t, f)
    if fn == FN.ext4_da_writepages:
        return ext4_da_writepages(k, t, f)
    if fn == FN.btrfs_writepages:
        return extent_write_cache_pages(k, t, f)
    if fn == FN.kjournald:
        return kjournald(k, t, f)
    if fn == FN.journal_commit_transaction:
        return journal_commit_transaction(k, t, f)
    if fn == FN.log_wait_commit:
        return log_wait_commit(k, t, f)
    return SWITCH


@kentry
def ext_unit(address, t):
    """ext2, ext3, ext4 and btrfs, metadata blocks, the journal."""
    k = kernel_at(address)
    verb = RUN
    while verb == RUN:
        verb = _ext_step(k, t)
    return verb


@kfn
def _union_step(k, t):
    f = frame_of(k, t)
    fn = f.fn
    if fn == FN.unionfs_write:
        return unionfs_write(k, t, f)
    if fn == FN.unionfs_read:
        return unionfs_read(k, t, f)
    if fn == FN.unionfs_readpage:
        return unionfs_readpage(k, t, f)
    if fn == FN.unionfs_writepage:
        return unionfs_writepage(k, t, f)
    if fn == FN.copyup_dentry:
        return copyup_dentry(k, t, f)
    return SWITCH


@kentry
def union_unit(address, t):
    """A union mount: its calls go on to the filesystem below."""
    k = kernel_at(address)
    verb = RUN
    while verb == RUN:
        verb = _union_step(k, t)
    return verb


@kfn
def _callers_step(k, t):
    f = frame_of(k, t)
    fn = f.fn
    if fn == FN.sys_sendfile or fn == FN.nfsd_read:
        return sys_sendfile(k, t, f)
    if fn == FN.xfs_splice_read or fn == FN.splice_read:
        return splice_read(k, t, f)
    if fn == FN.nfsd:
        return nfsd(k, t, f)
    if fn == FN.svc_recv:
        return svc_recv(k, t, f)
    if fn == FN.page_fault:
        return page_fault(k, t, f)
    if fn == FN.sys_fsync or fn == FN.unionfs_fsync or fn == FN.sync_mapping_buffers:
        return sys_fsync(k, t, f)
    if fn == FN.sys_unlink:
        return sys_unlink(k, t, f)
    if fn == FN.sys_fadvise64:
        return sys_fadvise64(k, t, f)
    return SWITCH


@kentry
def callers_unit(address, t):
    """Calls that only some workloads make: fsync, unlink, faults of a mapping, sendfile(), the NFS server."""
    k = kernel_at(address)
    verb = RUN
    while verb == RUN:
        verb = _callers_step(k, t)
    return verb


@kfn
def _xfs_step(k, t):
    f = frame_of(k, t)
    fn = f.fn
    if fn == FN.xfs_vm_writepage:
        return xfs_vm_writepage(k, t, f)
    if fn == FN.xfs_iomap_write_allocate:
        return xfs_iomap_write_allocate(k, t, f)
    if fn == FN.xfs_bmapi:
        return xfs_bmapi(k, t, f)
    if fn == FN.xfs_bmap_add_extent:
        return xfs_bmap_add_extent(k, t, f)
    if fn == FN.xfs_alloc_vextent:
        return xfs_alloc_vextent(k, t, f)
    if fn == FN.xfs_btree:
        return xfs_btree(k, t, f)
    if fn == FN.xfs_buf_read:
        return xfs_buf_read(k, t, f)
    if fn == FN.kmem_zone_alloc:
        return kmem_zone_alloc(k, t, f)
    if fn == FN.xfs_log_reserve:
        return xfs_log_reserve(k, t, f)
    if fn == FN.xfs_trans_commit:
        return xfs_trans_commit(k, t, f)
    if fn == FN.xfs_log_force:
        return xfs_log_force(k, t, f)
    if fn == FN.xlog_sync:
        return xlog_sync(k, t, f)
    if fn == FN.xfsbufd:
        return xfsbufd(k, t, f)
    if fn == FN.xfs_file_fsync:
        return xfs_file_fsync(k, t, f)
    return SWITCH


@kentry
def xfs_unit(address, t):
    """XFS: writepage, transactions, metadata, the log."""
    k = kernel_at(address)
    verb = RUN
    while verb == RUN:
        verb = _xfs_step(k, t)
    return verb


@kfn
def _wb_step(k, t):
    f = frame_of(k, t)
    fn = f.fn
    if fn == FN.balance_dirty_pages:
        return balance_dirty_pages_by_pause(k, t, f)
    if fn == FN.bdi_writeback_thread:
        return wb_workfn(k, t, f)
    if fn == FN.wb_writeback:
        return wb_writeback_turns(k, t, f)
    if fn == FN.writeback_inodes_wb:
        return writeback_sb_inodes(k, t, f)
    if fn == FN.ext4_da_writepages or fn == FN.write_cache_pages:
        return writepages(k, t, f)
    return SWITCH


@kentry
def wb_unit(address, t):
    """Writeback since Linux 3.2: writers that only sleep, flushers that go by bandwidth, pages counted as pages."""
    k = kernel_at(address)
    verb = RUN
    while verb == RUN:
        verb = _wb_step(k, t)
    return verb


@kfn
def _node_step(k, t):
    f = frame_of(k, t)
    fn = f.fn
    if k.function[fn].unit != NODE:  # a choice may have exchanged it, see machine/functions.py
        return SWITCH
    if fn == FN.alloc_pages or fn == FN.page_cache_alloc:
        return alloc_pages_slowpath(k, t, f)
    if fn == FN.try_to_free_pages or fn == FN.try_to_free_mem_cgroup_pages:
        return try_to_free_node_pages(k, t, f)
    if fn == FN.shrink_node:
        return shrink_node(k, t, f)
    if fn == FN.shrink_inactive_list:
        return shrink_inactive_folios(k, t, f)
    if fn == FN.shrink_folio_list:
        return shrink_folio_list(k, t, f)
    if fn == FN.reclaim_throttle:
        return reclaim_throttle(k, t, f)
    if fn == FN.kswapd:
        return kswapd_of_node(k, t, f)
    if fn == FN.balance_pgdat:
        return balance_node(k, t, f)
    if fn == FN.compact_zone:
        return compact_zone(k, t, f)
    if fn == FN.try_to_compact_pages:
        return try_to_compact_pages(k, t, f)
    if fn == FN.kcompactd:
        return kcompactd(k, t, f)
    if fn == FN.try_charge_memcg:
        return try_charge_memcg(k, t, f)
    if fn == FN.mem_cgroup_handle_over_high:
        return mem_cgroup_handle_over_high(k, t, f)
    return SWITCH


@kentry
def node_unit(address, t):
    """As mm_unit, for reclaim.engine=node: the allocator's slow path, reclaim, kswapd, compaction of 6.x."""
    k = kernel_at(address)
    verb = RUN
    while verb == RUN:
        verb = _node_step(k, t)
    return verb


# In the order of kernel.frames.UNITS, by which a frame's function finds its unit.
UNITS = (
    block_unit,
    task_unit,
    mm_unit,
    writeback_unit,
    storage_unit,
    ext_unit,
    union_unit,
    callers_unit,
    xfs_unit,
    wb_unit,
    node_unit,
    gen_unit,
)
