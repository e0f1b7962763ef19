# SPDX-License-Identifier: GPL-2.0-or-later
"""Swap slots: one per page of the swap area, chosen next-fit.

Source: Linux v2.6.34 mm/swapfile.c:get_swap_page, simplified: one area, clusters by next-fit.
"""

from pageout.engine.constants import NIL, PG_SWAPCACHE
from pageout.jit import kfn
from pageout.kernel.mm.filemap import clear_bit, set_bit


@kfn
def _slot_used(k, i):
    word = k.param.swap_bits + (i >> 5)
    return k.bits[word] >> (i & 31) & 1


@kfn
def get_swap_page(k, page):
    """Give an anonymous page a slot on the swap device. Returns 1, or 0 when swap is full."""
    if k.stat.swap_free <= 0:
        return 0
    i = k.stat.swap_cursor
    while _slot_used(k, i):
        i = i + 1 if i + 1 < k.param.nr_swap_slots else 0
    k.stat.swap_cursor = i + 1 if i + 1 < k.param.nr_swap_slots else 0
    set_bit(k, k.param.swap_bits, k.param.swap_summary, i)
    k.stat.swap_free -= 1
    pg = k.page[page]
    pg.pflags |= PG_SWAPCACHE
    k.slot[k.inode[pg.mapping].slot_start + pg.index].block = k.param.swap_block + i
    return 1


@kfn
def free_swap_slot(k, inode, index):
    """Give a slot back when its page is discarded or made dirty again in memory."""
    slot = k.slot[k.inode[inode].slot_start + index]
    if slot.block == NIL:
        return
    clear_bit(k, k.param.swap_bits, k.param.swap_summary, slot.block - k.param.swap_block)
    k.stat.swap_free += 1
    slot.block = NIL
    if slot.page < NIL:
        slot.page = NIL
