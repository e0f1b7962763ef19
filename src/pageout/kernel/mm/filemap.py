# SPDX-License-Identifier: GPL-2.0-or-later
"""The page cache: which frame holds which page of which file, and which are dirty or under writeback.

Every inode owns a row of slots (frame, disk block) and four bitmaps: dirty and writeback, one bit a page, and for each
a summary, one bit per word of 32, so that the next tagged page of a large sparse file is found in a few steps.
Source of the behaviour: Linux v2.6.34 mm/filemap.c, mm/page-writeback.c (set_page_dirty and its kin).
"""

from pageout.engine.clock import post, spend
from pageout.engine.constants import (
    ENGINE_NODE,
    EV_TIMER,
    I_DIRTY_PAGES,
    LIST_NONE,
    NIL,
    NS_PER_MS,
    PG_DIRTY,
    PG_LOCKED,
    PG_PTE_WRITE,
    PG_RECLAIM,
    PG_SWAPBACKED,
    PG_WRITEBACK,
    PG_WRITTEN,
    TURN_BANDWIDTH,
    WRITEBACK_URGENT,
)
from pageout.engine.ledger import highest, levels
from pageout.engine.ring import emit
from pageout.engine.waitqueue import wake_page
from pageout.jit import kfn, lowest_bit
from pageout.kernel.costs import ADD_TO_CACHE_NS, DIRTY_NS
from pageout.kernel.mm.dirty_limits import count_dirtied
from pageout.kernel.mm.free_area import zone_of
from pageout.kernel.mm.memcg_dirty import attach_inode
from pageout.kernel.mm.memcontrol import count_charged
from pageout.kernel.mm.reclaim_throttle import acct_reclaim_writeback
from pageout.kernel.mm.swap import lru_cache_add, rotate_reclaimable_page
from pageout.kernel.mm.wb_rates import count_dirtied_page, first_page_writing, last_page_written
from pageout.kernel.mm.workingset import lru_gen_refault, workingset_refault
from pageout.vocabulary.tracepoints import EV, FIRST_INO
from pageout.vocabulary.units import PAGE_BYTES


@kfn
def find_page(k, inode, index):
    """Return the frame that holds page `index` of the file, NIL if none."""
    page = k.slot[k.inode[inode].slot_start + index].page
    return page if page >= 0 else NIL


@kfn
def block_of(k, inode, index):
    """Return the disk block of page `index`, NIL if none was chosen yet."""
    return k.slot[k.inode[inode].slot_start + index].block


@kfn
def set_bit(k, words, summary, i):
    """Set bit i and its word in the summary."""
    word = words + (i >> 5)
    k.bits[word] = k.bits[word] | (1 << (i & 31))
    word = summary + (i >> 10)
    k.bits[word] = k.bits[word] | (1 << (i >> 5 & 31))


@kfn
def clear_bit(k, words, summary, i):
    """Clear bit i; an empty word leaves the summary."""
    word = words + (i >> 5)
    left = k.bits[word] & ~(1 << (i & 31))
    k.bits[word] = left
    if left == 0:
        word = summary + (i >> 10)
        k.bits[word] = k.bits[word] & ~(1 << (i >> 5 & 31))


@kfn
def next_bit(k, words, summary, start, end):
    """Return the first set bit in [start, end), NIL if there is none."""
    if start >= end:
        return NIL
    word = start >> 5
    left = k.bits[words + word] >> (start & 31) << (start & 31)
    last = (end - 1) >> 5
    while left == 0:
        word += 1
        if word > last:
            return NIL
        group = k.bits[summary + (word >> 5)] >> (word & 31)
        while group == 0:
            word = (word | 31) + 1
            if word > last:
                return NIL
            group = k.bits[summary + (word >> 5)]
        word += lowest_bit(group)
        if word > last:
            return NIL
        left = k.bits[words + word]
    found = word * 32 + lowest_bit(left)
    return found if found < end else NIL


@kfn
def next_dirty(k, inode, start, end):
    """Return the first dirty page of the file at or after `start`, before `end`; NIL if none."""
    file = k.inode[inode]
    return next_bit(k, file.dirty_bits, file.dirty_summary, start, end)


@kfn
def next_writeback(k, inode, start, end):
    """Return the first page of the file under writeback at or after `start`, before `end`; NIL if none."""
    file = k.inode[inode]
    return next_bit(k, file.writeback_bits, file.writeback_summary, start, end)


@kfn
def add_to_page_cache(k, t, page, inode, index, pflags):
    """Give a fresh frame to the file and send it to the LRU."""
    pg = k.page[page]
    pg.mapping = inode
    pg.index = index
    slot = k.slot[k.inode[inode].slot_start + index]
    if slot.page < NIL and pflags:  # a page that is only going to be written comes without flags
        if k.param.lru_gen:
            pflags |= lru_gen_refault(k, t, page, slot.page, pflags)
        else:
            pflags |= workingset_refault(k, slot.page, pflags, pg.memcg)
    pg.pflags = pflags
    slot.page = page
    k.inode[inode].nr_pages += 1
    if pg.memcg:
        count_charged(k, page, pflags, 1)
    if pflags & PG_SWAPBACKED:
        k.vm.nr_anon_pages += 1
    else:
        k.vm.nr_file_pages += 1
        _trace_cache(k, t, EV.mm_filemap_add_to_page_cache, page)
    lru_cache_add(k, t, page)
    spend(k, t, ADD_TO_CACHE_NS)


@kfn
def trace_removal(k, t, page):
    """Emit that a page is about to leave the cache, unless it is anonymous."""
    if not k.page[page].pflags & PG_SWAPBACKED:
        _trace_cache(k, t, EV.mm_filemap_delete_from_page_cache, page)


@kfn
def _trace_cache(k, t, event, page):
    pg = k.page[page]
    emit(k, t, event, k.inode[pg.mapping].bdi, pg.mapping + FIRST_INO, page, pg.index * PAGE_BYTES, 0)


@kfn
def remove_from_page_cache(k, page):
    """Take a clean frame that is on no list out of its file."""
    pg = k.page[page]
    k.slot[k.inode[pg.mapping].slot_start + pg.index].page = NIL
    k.inode[pg.mapping].nr_pages -= 1
    if pg.pflags & PG_SWAPBACKED:
        k.vm.nr_anon_pages -= 1
    else:
        k.vm.nr_file_pages -= 1
    if pg.memcg:
        count_charged(k, page, pg.pflags, -1)
    pg.mapping = NIL
    pg.gen = 0


@kfn
def inode_list_add(k, bdi, which, inode, at_tail):
    """Put an inode on its device's list `which`: b_dirty, b_io or b_more_io."""
    device = k.bdi[bdi]
    file = k.inode[inode]
    head, tail = inode_list_head(k, bdi, which), inode_list_tail(k, bdi, which)
    file.list_kind = which
    if at_tail:
        file.list_prev, file.list_next = tail, NIL
        if tail == NIL:
            head = inode
        else:
            k.inode[tail].list_next = inode
        tail = inode
    else:
        file.list_prev, file.list_next = NIL, head
        if head == NIL:
            tail = inode
        else:
            k.inode[head].list_prev = inode
        head = inode
    _set_list(device, which, head, tail)


@kfn
def _set_list(device, which, head, tail):
    if which == 1:
        device.b_dirty, device.b_dirty_tail = head, tail
    elif which == 2:
        device.b_io, device.b_io_tail = head, tail
    else:
        device.b_more_io, device.b_more_io_tail = head, tail


@kfn
def inode_list_head(k, bdi, which):
    """First inode of a list of the device."""
    device = k.bdi[bdi]
    if which == 1:
        return device.b_dirty
    if which == 2:
        return device.b_io
    return device.b_more_io


@kfn
def inode_list_tail(k, bdi, which):
    """Last inode of a list of the device."""
    device = k.bdi[bdi]
    if which == 1:
        return device.b_dirty_tail
    if which == 2:
        return device.b_io_tail
    return device.b_more_io_tail


@kfn
def inode_list_del(k, inode):
    """Take an inode off whichever list it is on."""
    file = k.inode[inode]
    which = file.list_kind
    if which == LIST_NONE:
        return
    head, tail = inode_list_head(k, file.bdi, which), inode_list_tail(k, file.bdi, which)
    if file.list_prev == NIL:
        head = file.list_next
    else:
        k.inode[file.list_prev].list_next = file.list_next
    if file.list_next == NIL:
        tail = file.list_prev
    else:
        k.inode[file.list_next].list_prev = file.list_prev
    _set_list(k.bdi[file.bdi], which, head, tail)
    file.list_kind, file.list_next, file.list_prev = LIST_NONE, NIL, NIL


@kfn
def mark_inode_dirty(k, t, inode, why):
    """Note that the inode is dirty; the first dirtying stamps it and puts it at the head of b_dirty.

    Source: Linux v2.6.34 fs/fs-writeback.c:__mark_inode_dirty.
    """
    file = k.inode[inode]
    if file.istate & why == why:
        return
    was_dirty = file.istate & 7
    file.istate |= why
    if not was_dirty and not file.unlinked and not file.istate & 128:
        if k.param.nr_memcgs and not file.wb_attached:
            attach_inode(k, inode, k.task[t].memcg if t >= 0 else 0)
        file.dirtied_when = k.stat.now_ns + (k.task[t].spent_ns if t >= 0 else 0)
        _arm_flusher(k, file.bdi)
        inode_list_add(k, file.bdi, 1, inode, 0)


@kfn
def _arm_flusher(k, bdi):
    """The device's first dirty inode: its flusher looks in one interval. Source: Linux v6.1 wb_wakeup_delayed.

    2.6.34's flushers wake in any case.
    """
    device = k.bdi[bdi]
    if k.param.flush_turn != TURN_BANDWIDTH or device.is_swap or device.timer_armed or device.writing:
        return
    device.timer_armed = 1
    if k.param.dirty_writeback_ns > 0:
        flusher = device.flusher
        tick = (k.stat.now_ns + k.param.dirty_writeback_ns) // k.param.jiffy_ns
        post(k, tick * k.param.jiffy_ns, EV_TIMER, flusher, k.task[flusher].timer_gen)


@kfn
def account_page_dirtied(k, page, delta):
    """Count a page that has become dirty (1) or ceased to be (-1)."""
    pg = k.page[page]
    levels(k)
    k.vm.nr_dirty += delta
    k.zone[zone_of(k, page)].nr_dirty += delta
    file = k.inode[pg.mapping]
    file.nr_dirty += delta
    k.bdi[file.bdi].reclaimable += delta
    if pg.memcg:
        k.memcg[pg.memcg].nr_dirty += delta


@kfn
def clears_reclaim(k):
    """Is a page that is written again no longer for immediate reclaim? Commit 278df9f4 of 3.2."""
    return k.param.reclaim_engine == ENGINE_NODE or k.param.reclaim_writeback == WRITEBACK_URGENT


@kfn
def set_page_dirty(k, t, page):
    """Make a page dirty. Returns 1 if it was clean before, 0 if the write was merged into dirt already there (S1)."""
    pg = k.page[page]
    spend(k, t, DIRTY_NS)
    if pg.pflags & PG_RECLAIM and clears_reclaim(k):
        pg.pflags &= ~PG_RECLAIM
    if pg.pflags & PG_DIRTY:
        return 0
    pg.pflags |= PG_DIRTY
    if pg.pflags & PG_SWAPBACKED:
        return 1
    file = k.inode[pg.mapping]
    pg.dirtied_when = (k.stat.now_ns + k.task[t].spent_ns) // NS_PER_MS
    set_bit(k, file.dirty_bits, file.dirty_summary, pg.index)
    if k.param.nr_memcgs and not file.wb_attached:
        attach_inode(k, pg.mapping, pg.memcg)
    account_page_dirtied(k, page, 1)
    highest(k)
    k.vm.nr_dirtied += 1
    count_dirtied(k, t)
    count_dirtied_page(k, t, file.bdi)
    emit(k, t, EV.writeback_dirty_page, file.bdi, pg.mapping + FIRST_INO, pg.index)
    mark_inode_dirty(k, t, pg.mapping, I_DIRTY_PAGES)
    return 1


@kfn
def clear_page_dirty_for_io(k, page):
    """Take the dirty mark off a page about to be written. Returns 1 if it was dirty.

    A mapped page is write-protected, so that the next store faults and marks it dirty again.
    """
    pg = k.page[page]
    if not pg.pflags & PG_DIRTY:
        return 0
    pg.pflags &= ~(PG_DIRTY | PG_PTE_WRITE)
    if pg.pflags & PG_SWAPBACKED:
        return 1
    age_ms = k.stat.now_ns // NS_PER_MS - pg.dirtied_when
    if age_ms > k.stat.oldest_dirty_ms:
        k.stat.oldest_dirty_ms = age_ms
    file = k.inode[pg.mapping]
    clear_bit(k, file.dirty_bits, file.dirty_summary, pg.index)
    account_page_dirtied(k, page, -1)
    return 1


@kfn
def redirty_page(k, t, page):
    """The write was refused or failed: dirty again, its age kept."""
    pg = k.page[page]
    pg.pflags |= PG_DIRTY
    if pg.pflags & PG_SWAPBACKED:
        return
    file = k.inode[pg.mapping]
    set_bit(k, file.dirty_bits, file.dirty_summary, pg.index)
    account_page_dirtied(k, page, 1)
    mark_inode_dirty(k, t, pg.mapping, I_DIRTY_PAGES)


@kfn
def cancel_dirty_page(k, page):
    """The page's data is not wanted any more (truncate, unlink): drop its dirty mark. Returns 1 if it was dirty."""
    was_dirty = clear_page_dirty_for_io(k, page)
    if was_dirty and not k.page[page].pflags & PG_SWAPBACKED:
        k.stat.pages_truncated_dirty += 1
    return was_dirty


@kfn
def set_page_writeback(k, page):
    """The page is on its way to the device."""
    pg = k.page[page]
    pg.pflags |= PG_WRITEBACK
    levels(k)
    k.vm.nr_writeback += 1
    k.zone[zone_of(k, page)].nr_writeback += 1
    file = k.inode[pg.mapping]
    k.bdi[file.bdi].writeback += 1
    if pg.memcg:
        k.memcg[pg.memcg].nr_writeback += 1
    file.nr_writeback += 1
    if file.nr_writeback == 1:
        first_page_writing(k, file.bdi)
    if not pg.pflags & PG_SWAPBACKED:
        set_bit(k, file.writeback_bits, file.writeback_summary, pg.index)
    highest(k)


@kfn
def end_page_writeback(k, page):
    """The device is done with the page. Source: mm/filemap.c:end_page_writeback, mm/page-writeback.c."""
    pg = k.page[page]
    pg.pflags &= ~PG_WRITEBACK
    levels(k)
    k.vm.nr_writeback -= 1
    k.zone[zone_of(k, page)].nr_writeback -= 1
    file = k.inode[pg.mapping]
    device = k.bdi[file.bdi]
    device.writeback -= 1
    if pg.memcg:
        k.memcg[pg.memcg].nr_writeback -= 1
    file.nr_writeback -= 1
    if file.nr_writeback == 0:
        last_page_written(k, file.bdi)
    if not pg.pflags & PG_SWAPBACKED:
        clear_bit(k, file.writeback_bits, file.writeback_summary, pg.index)
        pg.pflags |= PG_WRITTEN
    if pg.pflags & PG_RECLAIM:
        pg.pflags ^= PG_RECLAIM
        rotate_reclaimable_page(k, page)
    if k.param.reclaim_engine == ENGINE_NODE:
        acct_reclaim_writeback(k)
    wake_page(k, page)


@kfn
def unlock_page(k, page):
    """Release the page lock and wake who waits for it."""
    k.page[page].pflags &= ~PG_LOCKED
    wake_page(k, page)
