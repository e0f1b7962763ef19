# SPDX-License-Identifier: GPL-2.0-or-later
"""Cgroup writeback: how much a memory cgroup may have dirty, and whose writeback an inode is.

Each group has writeback of its own on each device: inodes, flusher, rates; the table `bdi` has a row for it, behind
those of the devices themselves: row = group * devices + device. The root's are the devices' own.
Source: Linux v6.1 mm/page-writeback.c:domain_dirty_limits, mdtc_calc_avail; mm/memcontrol.c:mem_cgroup_wb_stats;
fs/fs-writeback.c:__inode_attach_wb, wb_split_bdi_pages. Differs: an inode stays with whom it was first dirtied for
(inode_switch_wbs), and nobody writes what others have dirtied in his files (mem_cgroup_flush_foreign).
"""

from pageout.engine.constants import LRU_ACTIVE_FILE, LRU_INACTIVE_FILE
from pageout.jit import kfn
from pageout.kernel.mm.dirty_limits import dirtyable_pages
from pageout.kernel.mm.memcontrol import lru_size

WHOLE = 4096  # a ratio of 1 (PAGE_SIZE): thresholds of a group are parts of what it may have dirty


@kfn
def wb_of(k, memcg, bdi):
    """The row of a group's writeback on the device that a row of writeback is of."""
    return memcg * k.param.nr_bdis + k.bdi[bdi].root


@kfn
def wb_of_task(k, t, bdi):
    """The row that a task's group has on a device: whose limits and rates the task goes by, whoever has the inode."""
    memcg = k.task[t].memcg
    return wb_of(k, memcg, bdi) if memcg else k.bdi[bdi].root


@kfn
def group_avail(file_pages, group_dirty, headroom, avail, dirty):
    """Pages a group could have dirty: its cache, and what it may still grow by, as far as others have clean pages.

    avail, dirty: the same of the whole machine.
    """
    clean = file_pages - min(file_pages, group_dirty)
    all_clean = avail - min(avail, dirty)
    other_clean = all_clean - min(all_clean, clean)
    return file_pages + min(headroom, other_clean)


@kfn
def group_ratio(nbytes, percent, avail):
    """The part of it that a sysctl allows, in 4096ths; what is set in bytes is a part of the machine's pages."""
    if nbytes > 0:
        return min(-(-nbytes // max(avail, 1)), WHOLE)
    return percent * WHOLE // 100


@kfn
def group_dirty_limits(k, memcg, group_dirty, dirty):
    """Return (background threshold, limit) of a group, in pages; group_dirty, dirty: pages that count against them."""
    group = k.memcg[memcg]
    file_pages = lru_size(k, memcg, LRU_INACTIVE_FILE) + lru_size(k, memcg, LRU_ACTIVE_FILE)
    ceiling = min(group.memory_max, group.memory_high)
    headroom = ceiling - min(ceiling, group.usage)
    avail = dirtyable_pages(k)
    mine = group_avail(file_pages, group_dirty, headroom, avail, dirty)
    limit = group_ratio(k.param.dirty_bytes, k.param.dirty_ratio, avail) * mine // WHOLE
    background = group_ratio(k.param.background_bytes, k.param.background_ratio, avail) * mine // WHOLE
    return (limit // 2 if background >= limit else background), limit


@kfn
def attach_inode(k, inode, memcg):
    """The inode's first dirty page, or first change, is a group's: from now on that group's writeback has it."""
    file = k.inode[inode]
    file.wb_attached = 1
    file.bdi = wb_of(k, memcg, file.bdi)


@kfn
def has_dirty_inodes(device):
    """Are there inodes on the lists of a row of writeback?"""
    return device.b_dirty >= 0 or device.b_io >= 0 or device.b_more_io >= 0


@kfn
def device_bandwidth(k, bdi):
    """Pages a second that all writeback of a device with dirty inodes is believed to write. tot_write_bandwidth."""
    total = 0
    root = k.bdi[bdi].root
    for memcg in range(k.param.nr_memcgs + 1):
        device = k.bdi[wb_of(k, memcg, root)]
        if has_dirty_inodes(device):
            total += device.avg_bandwidth
    return total


@kfn
def split_pages(k, bdi, nr_pages):
    """The part of a number of pages that this writeback is to write, by its part of the device's bandwidth."""
    if k.param.nr_memcgs == 0:
        return nr_pages
    mine, every = k.bdi[bdi].avg_bandwidth, device_bandwidth(k, bdi)
    if every == 0 or mine >= every:
        return nr_pages
    return -(-nr_pages * mine // every)


@kfn
def split_ratio(k, bdi, percent):
    """The part of a device's min_ratio or max_ratio that is this writeback's. Source: wb_min_max_ratio."""
    if k.param.nr_memcgs == 0:
        return percent
    mine, every = k.bdi[bdi].avg_bandwidth, device_bandwidth(k, bdi)
    return percent * mine // every if mine < every else percent
