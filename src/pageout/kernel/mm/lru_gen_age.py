# SPDX-License-Identifier: GPL-2.0-or-later
"""Ageing of the multi-generation LRU: page tables are walked, a new youngest generation begins, empty old ones end.

Source: Linux v6.1 mm/vmscan.c:should_run_aging, try_to_inc_max_seq, walk_pte_range, inc_max_seq, inc_min_seq,
try_to_inc_min_seq, reset_ctrl_pos, lru_gen_look_around. Differs: a file's page table begins where the file does, in
ranges of 512 pages; which task maps a page is not known, nor how much each has mapped; a walk is done by one task, in
one go; its filters never err. x86: page tables note what was used, and the walk is on (lru_gen/enabled is 0x0007).
"""

from pageout.engine.clock import spend
from pageout.engine.constants import (
    GEN_OWN,
    MAX_NR_GENS,
    MAX_NR_TIERS,
    MIN_LRU_BATCH,
    MIN_NR_GENS,
    NIL,
    PG_ACTIVE,
    PG_MAPPED,
    PG_REFERENCED,
    PG_SWAPBACKED,
    PG_YOUNG,
)
from pageout.jit import kfn
from pageout.kernel.mm.isolate import is_kswapd
from pageout.kernel.mm.lru_gen import (
    ANON,
    FILE,
    count_list,
    gen_add,
    gen_del,
    gen_row,
    inc_gen,
    label_of,
    min_seq,
    move_page,
    nr_gens,
    tier_row,
    update_gen,
)

RANGE_SHIFT = 9  # pages of one page table
PTE_NS, YOUNG_NS = 2, 30  # assumed: looking at a page table's entry; clearing its bit and promoting the page
PAGEVEC_SIZE = 15
DENSE = 8  # a page table is worth a walk if one entry in so many, those of a cache line, is young


@kfn
def gen_size(k, memcg, kind, seq):
    """Pages that count for a generation."""
    size = 0
    for zone in range(k.param.nr_zones):
        size += k.gen_list[gen_row(k, memcg, seq % MAX_NR_GENS, kind, zone)].nr
    return size


@kfn
def should_run_aging(k, memcg, can_swap):
    """Are too few pages cold? Returns (whether, pages there are to scan)."""
    youngest, total, young, old = k.gen[memcg].max_seq, 0, 0, 0
    for kind in range(ANON if can_swap else FILE, FILE + 1):
        for seq in range(min_seq(k, memcg, kind), youngest + 1):
            size = gen_size(k, memcg, kind, seq)
            total += size
            if seq == youngest:
                young += size
            elif seq + MIN_NR_GENS == youngest:
                old += size
    oldest = min_seq(k, memcg, ANON if can_swap else FILE)
    if oldest + MIN_NR_GENS > youngest:
        return True, total
    if oldest + MIN_NR_GENS < youngest:
        return False, total
    return young * MIN_NR_GENS > total or old * (MIN_NR_GENS + 2) < total, total


@kfn
def reset_ctrl_pos(k, memcg, kind):
    """The oldest generation ends: half of what was counted of it goes into the averages."""
    for tier in range(MAX_NR_TIERS):
        row = k.gen_tier[tier_row(memcg, kind, tier)]
        row.avg_refaulted = (row.avg_refaulted + row.refaulted) // 2
        row.avg_total = (row.avg_total + row.evicted + row.protected) // 2
        row.refaulted, row.evicted, row.protected = 0, 0, 0


@kfn
def set_min_seq(k, memcg, kind, seq):
    """A younger generation is the oldest of its type now."""
    reset_ctrl_pos(k, memcg, kind)
    if kind == ANON:
        k.gen[memcg].min_anon = seq
    else:
        k.gen[memcg].min_file = seq


@kfn
def _first_with_pages(k, memcg, kind):
    """The oldest generation that has pages on its lists, but for the two youngest."""
    seq = min_seq(k, memcg, kind)
    while seq + MIN_NR_GENS <= k.gen[memcg].max_seq:
        for zone in range(k.param.nr_zones):
            if k.gen_list[gen_row(k, memcg, seq % MAX_NR_GENS, kind, zone)].head != NIL:
                return seq
        seq += 1
    return seq


@kfn
def try_to_inc_min_seq(k, memcg, can_swap):
    """Drop generations that are empty. Returns 1 if any was."""
    gen, success = k.gen[memcg], 0
    file = _first_with_pages(k, memcg, FILE)
    if can_swap:
        anon = min(_first_with_pages(k, memcg, ANON), file)
        file = max(anon, gen.min_file)
        if anon != gen.min_anon:
            set_min_seq(k, memcg, ANON, anon)
            success = 1
    if file != gen.min_file:
        set_min_seq(k, memcg, FILE, file)
        success = 1
    return success


@kfn
def _inc_min_seq(k, memcg, kind, can_swap):
    """Make room for a generation. What anonymous pages the oldest has stay where they are if there is no swap."""
    oldest = min_seq(k, memcg, kind)
    if kind == FILE or can_swap:
        for zone in range(k.param.nr_zones):
            queue = k.gen_list[gen_row(k, memcg, oldest % MAX_NR_GENS, kind, zone)]
            while queue.tail != NIL:
                page = queue.tail
                move_page(k, page, inc_gen(k, page, False), True)
    set_min_seq(k, memcg, kind, oldest + 1)


@kfn
def inc_max_seq(k, memcg, can_swap):
    """A new youngest generation; the one that was second is no longer active."""
    gen = k.gen[memcg]
    if nr_gens(k, memcg, FILE) == MAX_NR_GENS:
        _inc_min_seq(k, memcg, FILE, can_swap)
    if nr_gens(k, memcg, ANON) == MAX_NR_GENS:
        _inc_min_seq(k, memcg, ANON, can_swap)
    for kind in range(2):
        leaves, joins = gen_size(k, memcg, kind, gen.max_seq - 1), gen_size(k, memcg, kind, gen.max_seq + 1)
        count_list(k, memcg, kind, 0, leaves - joins)
        count_list(k, memcg, kind, 1, joins - leaves)
    gen.max_seq += 1


@kfn
def filter_row(k, memcg, inode, index):
    """Row of gen_filter: the page table of a page of a file."""
    return memcg * k.param.gen_ranges + (k.inode[inode].slot_start >> RANGE_SHIFT) + inode + (index >> RANGE_SHIFT)


@kfn
def _begin_filter(k, memcg, bit):
    """An empty filter, for the walk after this one."""
    for row in range(memcg * k.param.gen_ranges, (memcg + 1) * k.param.gen_ranges):
        k.gen_filter[row] = k.gen_filter[row] & ~bit
    k.gen[memcg].filters |= bit


@kfn
def _walk_range(k, memcg, inode, start, can_swap):
    """The young pages of one page table count for the youngest generation. Returns (entries, young ones)."""
    gen, young = k.gen[memcg].max_seq % MAX_NR_GENS, 0
    file = k.inode[inode]
    end = min(start + (1 << RANGE_SHIFT), file.nr_slots)
    for index in range(start, end):
        page = k.slot[file.slot_start + index].page
        if page < 0:
            continue
        pg = k.page[page]
        if pg.pflags & (PG_MAPPED | PG_YOUNG) != PG_MAPPED | PG_YOUNG or pg.memcg != memcg:
            continue
        if pg.pflags & PG_SWAPBACKED and not can_swap:
            continue
        pg.pflags &= ~PG_YOUNG
        update_gen(k, page, gen)
        young += 1
    return end - start, young


@kfn
def walk_page_tables(k, t, memcg, can_swap):
    """Go over the page tables that the last walk, or reclaim since, has found worth it; the first time over all."""
    gen = k.gen[memcg]
    now, following = 1 << (gen.max_seq & 1), 1 << (gen.max_seq + 1 & 1)
    _begin_filter(k, memcg, following)
    for inode in range(k.param.nr_inodes):
        if k.inode[inode].nr_mapped <= 0:
            continue
        for start in range(0, k.inode[inode].nr_slots, 1 << RANGE_SHIFT):
            row = filter_row(k, memcg, inode, start)
            if gen.filters & now and not k.gen_filter[row] & now:
                continue
            entries, young = _walk_range(k, memcg, inode, start, can_swap)
            spend(k, t, entries * PTE_NS + young * YOUNG_NS)
            if young * DENSE >= entries:
                k.gen_filter[row] = k.gen_filter[row] | following


@kfn
def try_to_inc_max_seq(k, t, memcg, can_swap):
    """Age a group: promote what page tables say was used, then begin a generation."""
    walk_page_tables(k, t, memcg, can_swap)
    inc_max_seq(k, memcg, can_swap)


@kfn
def _window(k, inode, index):
    """64 entries of a page table round a page's. Returns (first, end)."""
    start = index >> RANGE_SHIFT << RANGE_SHIFT
    end = min(start + (1 << RANGE_SHIFT), k.inode[inode].nr_slots)
    half = MIN_LRU_BATCH // 2
    if end - start <= MIN_LRU_BATCH:
        return start, end
    if index - start < half:
        return start, start + MIN_LRU_BATCH
    if end - index < half:
        return end - MIN_LRU_BATCH, end
    return index - half, index + half


@kfn
def _can_be_promoted(k, page, page_memcg, can_swap):
    pg = k.page[page]
    if pg.pflags & (PG_MAPPED | PG_YOUNG) != PG_MAPPED | PG_YOUNG or pg.memcg != page_memcg:
        return False
    return can_swap or not pg.pflags & PG_SWAPBACKED


@kfn
def look_around(k, t, page, can_swap):
    """Reclaim has found a page young in its page table: promote its neighbours that are young, too."""
    pg = k.page[page]
    inode, memcg, slots = pg.mapping, pg.memcg, k.inode[pg.mapping].slot_start
    start, end = _window(k, inode, pg.index)
    row, newest = filter_row(k, memcg, inode, pg.index), k.gen[memcg].max_seq
    young, older = 0, 0
    for index in range(start, end):
        near = k.slot[slots + index].page
        if near >= 0 and _can_be_promoted(k, near, memcg, can_swap):
            young += 1
            label = label_of(k, near)
            if label < 0:
                k.page[near].pflags |= PG_REFERENCED
            elif label != newest % MAX_NR_GENS:
                older += 1
    at_once = not is_kswapd(k, t) and (older < PAGEVEC_SIZE or k.param.gen_node == GEN_OWN)
    for index in range(start, end):
        near = k.slot[slots + index].page
        if near >= 0 and _can_be_promoted(k, near, memcg, can_swap):
            k.page[near].pflags &= ~PG_YOUNG
            _promote(k, near, newest % MAX_NR_GENS, at_once)
    spend(k, t, (end - start) * PTE_NS + young * YOUNG_NS)
    if young * DENSE >= end - start:
        k.gen_filter[row] = k.gen_filter[row] | 1 << (newest & 1)


@kfn
def _promote(k, page, gen, at_once):
    """at_once: it goes to the youngest generation's list (folio_activate), not only to its count."""
    label = label_of(k, page)
    if label < 0 or label == gen:
        return
    if not at_once:
        update_gen(k, page, gen)
        return
    gen_del(k, page, False)
    k.page[page].pflags |= PG_ACTIVE
    gen_add(k, page, False)
    k.vm.pgactivate += 1
