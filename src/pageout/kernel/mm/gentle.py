# SPDX-License-Identifier: GPL-2.0-or-later
"""gentle-lumpy: lumpy reclaim that looks before it leaps; a design of our own for what the article asks in S11.

Lumpy reclaim of 2.6.34 takes the block round whatever page lies at the tail of the list. Neighbours in memory are
strangers on disk (S8), so what is dirty there is written with a seek a page; what is in use there is evicted for
nothing if a single page of the block cannot be had. Two changes, both local to the isolation step:

1. Of the blocks round the first NR_TAGS pages from the tail the one that costs least is taken. A page that is dirty or
   under writeback costs a write and the wait for it: DIRTY_COST. An active or recently used one costs a refault likely
   to come: ACTIVE_COST. A page that cannot be reclaimed at all (kernel memory, a page off the lists, an anonymous one
   without swap) makes the block hopeless: it could never become free as a whole, so none of its neighbours is touched
   and only the tag page is taken. All tags looked at are old, so which of them goes first hardly matters to the LRU
   order; those passed over stay at the tail and are looked at again.
2. What was taken is sorted: clean pages first, as they are freed at once, then dirty ones by their disk block. So the
   requests of one batch reach the device in one sweep, and adjacent blocks merge.

Looking costs CPU time, a few ns a page, charged as such; a read of a page's flags is far less than a seek.
"""

from pageout.engine.constants import (
    NIL,
    PG_ACTIVE,
    PG_BUDDY,
    PG_DIRTY,
    PG_LRU,
    PG_PCP,
    PG_SWAPBACKED,
    PG_SWAPCACHE,
    PG_WRITEBACK,
    PG_YOUNG,
)
from pageout.jit import kfn

NR_TAGS = 8
DIRTY_COST = 16  # assumed: a written page waits for the disk, an evicted one may never be wanted again
ACTIVE_COST = 4
HOPELESS = 1 << 40
LOOK_NS = 5  # assumed: one cache line of struct page, mostly prefetched
UNPLACED = 1 << 40  # sort key of dirty pages whose block is not chosen yet: behind all others, in file order


@kfn
def _cost(k, zone, tag, order):
    """What it would cost to empty the block round a page: 0 for clean and idle pages only, HOPELESS if it cannot be."""
    first = tag >> order << order
    last = first + (1 << order)
    if first < k.zone[zone].start_page or last > k.zone[zone].end_page:
        return HOPELESS
    cost, page = 0, first
    while page < last:
        pflags = k.page[page].pflags
        if pflags & PG_LRU:
            if pflags & PG_SWAPBACKED and not pflags & PG_SWAPCACHE and k.stat.swap_free <= 0:
                return HOPELESS
            if pflags & (PG_DIRTY | PG_WRITEBACK) or (pflags & PG_SWAPBACKED and not pflags & PG_SWAPCACHE):
                cost += DIRTY_COST
            if pflags & (PG_ACTIVE | PG_YOUNG):
                cost += ACTIVE_COST
        elif pflags != 0 and not pflags & (PG_BUDDY | PG_PCP):
            return HOPELESS
        page += 1
    return cost


@kfn
def gentle_tag(k, zone, tail, order):
    """Choose among the pages near a list's tail. Returns (tag page, whether its block is worth taking, frames read)."""
    best, best_cost, looked = tail, HOPELESS, 0
    page, tags = tail, 0
    while page != NIL and tags < NR_TAGS and best_cost > 0:
        cost = _cost(k, zone, page, order)
        looked += 1 << order
        if cost < best_cost:
            best, best_cost = page, cost
        page = k.page[page].lru_prev
        tags += 1
    return best, best_cost < HOPELESS, looked


@kfn
def _key(k, page):
    """Where a page comes in the order of writing: clean pages first, then by disk block."""
    pg = k.page[page]
    if not pg.pflags & PG_DIRTY or pg.mapping < 0:
        return -1
    slot = k.inode[pg.mapping].slot_start + pg.index
    block = k.slot[slot].block
    return block if block >= 0 else UNPLACED + slot


@kfn
def sort_by_block(k, t):
    """Sort the task's private list by _key, equal keys as they were: merge sort of a linked list, bottom up."""
    task = k.task[t]
    head, width, merges = task.kept_head, 1, 2
    while merges > 1:
        rest, head, tail, merges = head, NIL, NIL, 0
        while rest != NIL:
            merges += 1
            left, right, nr_left = rest, rest, 0
            while nr_left < width and right != NIL:
                nr_left += 1
                right = k.page[right].lru_next
            nr_right = width
            while nr_left > 0 or (nr_right > 0 and right != NIL):
                if nr_left > 0 and (nr_right == 0 or right == NIL or _key(k, left) <= _key(k, right)):
                    page, left, nr_left = left, k.page[left].lru_next, nr_left - 1
                else:
                    page, right, nr_right = right, k.page[right].lru_next, nr_right - 1
                if tail == NIL:
                    head = page
                else:
                    k.page[tail].lru_next = page
                tail = page
            rest = right
        if tail != NIL:
            k.page[tail].lru_next = NIL
        task.kept_head, task.kept_tail = head, tail
        width *= 2
