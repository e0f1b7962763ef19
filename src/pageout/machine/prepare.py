# SPDX-License-Identifier: GPL-2.0-or-later
"""What is done inside the machine before its clock starts: files laid out, the page cache filled."""

from pageout.engine.constants import FS_EXT4, GFP_HIGHUSER_MOVABLE, NIL, NS_PER_MS, PG_PRIVATE, PG_UPTODATE, WMARK_HIGH
from pageout.engine.state import kernel_at
from pageout.jit import kentry, kfn
from pageout.kernel.fs.extents import lay_out, lay_out_groups, prepare_block
from pageout.kernel.fs.xfs_mount import xfs_mount
from pageout.kernel.mm.buddy import get_page_from_freelist
from pageout.kernel.mm.filemap import add_to_page_cache, set_page_dirty
from pageout.kernel.mm.swap import lru_add_drain


@kfn
def _fill_cache(k, inode):
    """Read a file into the cache without time passing, as far as memory goes. Returns pages read."""
    index = 0
    while index < k.inode[inode].nr_slots:
        page = get_page_from_freelist(k, 0, 0, WMARK_HIGH, GFP_HIGHUSER_MOVABLE)
        if page == NIL:
            break
        add_to_page_cache(k, 0, page, inode, index, PG_UPTODATE)
        index += 1
    lru_add_drain(k, 0)
    return index


@kentry
def dirty_unit(address, row):
    """Put the first pages of a file into memory, dirty for a while, as far as memory goes. Returns pages.

    row   where k.table has the inode, the pages, and for how long they have been dirty, ns
    """
    k = kernel_at(address)
    inode, nr_pages, age_ns = k.table[row], k.table[row + 1], k.table[row + 2]
    file = k.inode[inode]
    age_ms = age_ns // NS_PER_MS
    if k.param.dirty_writeback_ns > 0:  # its flusher's timer has been running since it was dirtied, round after round
        k.stat.now_ns = -(age_ns % k.param.dirty_writeback_ns)
        k.bdi[file.bdi].last_old_flush_ns = k.stat.now_ns
    index = 0
    while index < nr_pages:
        page = get_page_from_freelist(k, 0, 0, WMARK_HIGH, GFP_HIGHUSER_MOVABLE)
        if page == NIL:
            break
        add_to_page_cache(k, 0, page, inode, index, PG_UPTODATE)
        prepare_block(k, 0, inode, index, page)
        k.page[page].pflags |= PG_PRIVATE
        set_page_dirty(k, 0, page)
        k.page[page].dirtied_when = -age_ms
        index += 1
    lru_add_drain(k, 0)
    k.stat.now_ns = 0
    if index > 0:
        file.dirtied_when = -age_ns
    k.task[0].spent_ns, k.task[0].nr_dirtied, k.cpu[k.task[0].cpu].dirty_count = 0, 0, 0
    return index


@kentry
def prepare_unit(address, fill_inode):
    """Lay out every file that exists, then fill the cache from `fill_inode` (NIL: from none). Returns pages read."""
    k = kernel_at(address)
    for number in range(k.param.nr_fs):
        if k.fs[number].kind == FS_EXT4:
            lay_out_groups(k, number)
    for inode in range(k.param.nr_inodes):
        if k.inode[inode].disk_pages < 0:
            k.inode[inode].disk_pages = 0
            lay_out(k, inode, k.inode[inode].nr_slots)
    for x in range(k.param.nr_xfs):
        xfs_mount(k, x)
    filled = 0
    if fill_inode != NIL:
        filled = _fill_cache(k, fill_inode)
    k.task[0].spent_ns = 0
    return filled
