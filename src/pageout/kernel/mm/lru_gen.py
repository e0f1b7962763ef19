# SPDX-License-Identifier: GPL-2.0-or-later
"""Lists of the multi-generation LRU (lru=gen): which generation a page comes to, and how it moves to another.

A group has up to four generations of each type, numbered modulo four, each with a list a zone. A page's label says
which generation it counts for; its list may still be an older one, until the scan meets it there. The two youngest
generations count as active. A page read again through calls climbs tiers within its generation: refs, 0 to 4.
Source: Linux v6.1.119 include/linux/mm_inline.h:lru_gen_add_folio, lru_gen_del_folio, lru_gen_update_size;
mm/swap.c:folio_inc_refs, folio_add_lru; mm/vmscan.c:folio_update_gen, folio_inc_gen. Differs: sizes are exact at once;
advice given for a mapping is not known, so every fault is one that makes its pages young.
"""

from pageout.engine.constants import (
    LRU_INACTIVE_ANON,
    LRU_INACTIVE_FILE,
    MAX_DEPTH,
    MAX_NR_GENS,
    MAX_NR_TIERS,
    MIN_NR_GENS,
    NIL,
    NR_LRU,
    PF_MEMALLOC,
    PG_ACTIVE,
    PG_DIRTY,
    PG_LRU,
    PG_RECLAIM,
    PG_REFERENCED,
    PG_SWAPBACKED,
    PG_SWAPCACHE,
    PG_WORKINGSET,
    PG_WRITEBACK,
)
from pageout.jit import kfn
from pageout.kernel.frames import FN
from pageout.kernel.mm.free_area import zone_of
from pageout.kernel.mm.lru_count import count_in_zone, count_lru

ANON, FILE = 0, 1
# page.gen: the label plus 1 (0: on no list) in bits 0-2; whose list it is on in bits 3-4; refs beyond two in bits 5-6
LABEL_MASK, LIST_SHIFT, REFS_SHIFT = 7, 3, 5
LIST_MASK, REFS_MASK = 3 << LIST_SHIFT, 3 << REFS_SHIFT
MOST_REFS = 4  # what refs can be: such a page is always protected


@kfn
def gen_type(pflags):
    """ANON or FILE."""
    return ANON if pflags & PG_SWAPBACKED else FILE


@kfn
def gen_row(k, memcg, gen, kind, zone):
    """Row of gen_list."""
    return ((memcg * MAX_NR_GENS + gen) * 2 + kind) * k.param.nr_zones + zone


@kfn
def min_seq(k, memcg, kind):
    """The oldest generation of a type."""
    return k.gen[memcg].min_anon if kind == ANON else k.gen[memcg].min_file


@kfn
def nr_gens(k, memcg, kind):
    """Generations of a type there are now."""
    return k.gen[memcg].max_seq - min_seq(k, memcg, kind) + 1


@kfn
def label_of(k, page):
    """The generation, modulo four, a page counts for; -1 if it is on no list."""
    return (k.page[page].gen & LABEL_MASK) - 1


@kfn
def set_label(k, page, gen):
    """The page counts for another generation."""
    k.page[page].gen = k.page[page].gen & ~LABEL_MASK | gen + 1


@kfn
def refs_of(k, page):
    """Times a page was used through calls, beyond the first: 0 to 4."""
    pg = k.page[page]
    return (pg.gen >> REFS_SHIFT & 3) + (1 if pg.pflags & PG_WORKINGSET else 0)


@kfn
def tier_of(refs):
    """The tier of a page used so often: the logarithm of refs + 1, rounded up."""
    if refs < 2:
        return refs
    return 2 if refs < MOST_REFS else MAX_NR_TIERS - 1


@kfn
def tier_row(memcg, kind, tier):
    """Row of gen_tier."""
    return (memcg * 2 + kind) * MAX_NR_TIERS + tier


@kfn
def clear_refs(k, page):
    """Forget the uses through calls."""
    pg = k.page[page]
    pg.gen &= ~REFS_MASK
    pg.pflags &= ~(PG_REFERENCED | PG_WORKINGSET)


@kfn
def set_refs(k, page):
    """As if the page had been used so often that it is protected. Source: lru_gen_refault."""
    k.page[page].gen |= REFS_MASK


@kfn
def inc_refs(k, page):
    """Used through a call: referenced, then workingset, then counted up. Source: folio_inc_refs."""
    pg = k.page[page]
    if not pg.pflags & PG_REFERENCED:
        pg.pflags |= PG_REFERENCED
    elif not pg.pflags & PG_WORKINGSET:
        pg.pflags |= PG_WORKINGSET
    elif pg.gen & REFS_MASK != REFS_MASK:
        pg.gen += 1 << REFS_SHIFT


@kfn
def in_lru_fault(k, t):
    """Is the task handling a page fault, and not on behalf of reclaim? Then what it adds is young."""
    task = k.task[t]
    if task.tflags & PF_MEMALLOC:
        return False
    for i in range(task.depth, -1, -1):
        fn = k.frame[t * MAX_DEPTH + i].fn
        if fn == FN.page_fault or fn == FN.anonymous_fault:
            return True
    return False


@kfn
def is_active_gen(k, memcg, gen):
    """Does the generation, modulo four, count as active?"""
    youngest = k.gen[memcg].max_seq
    return gen == youngest % MAX_NR_GENS or gen == (youngest - 1) % MAX_NR_GENS


@kfn
def count_list(k, memcg, kind, is_active, delta):
    """Pages more that are active or inactive. Source: __update_lru_size."""
    lru = (LRU_INACTIVE_ANON if kind == ANON else LRU_INACTIVE_FILE) + is_active
    k.lru[memcg * NR_LRU + lru].nr += delta
    count_lru(k, lru, delta)


@kfn
def update_size(k, page, old, new):
    """The page no longer counts for generation `old` but for `new`; -1: for none."""
    pg = k.page[page]
    memcg, kind, zone = pg.memcg, gen_type(pg.pflags), zone_of(k, page)
    if old >= 0:
        k.gen_list[gen_row(k, memcg, old, kind, zone)].nr -= 1
        count_list(k, memcg, kind, 1 if is_active_gen(k, memcg, old) else 0, -1)
    if new >= 0:
        k.gen_list[gen_row(k, memcg, new, kind, zone)].nr += 1
        count_list(k, memcg, kind, 1 if is_active_gen(k, memcg, new) else 0, 1)


@kfn
def link_page(k, page, gen, at_tail):
    """Put a page that is on no list on a generation's."""
    pg = k.page[page]
    pg.gen = pg.gen & ~LIST_MASK | gen << LIST_SHIFT
    queue = k.gen_list[gen_row(k, pg.memcg, gen, gen_type(pg.pflags), zone_of(k, page))]
    if at_tail:
        pg.lru_prev, pg.lru_next = queue.tail, NIL
        if queue.tail == NIL:
            queue.head = page
        else:
            k.page[queue.tail].lru_next = page
        queue.tail = page
    else:
        pg.lru_prev, pg.lru_next = NIL, queue.head
        if queue.head == NIL:
            queue.tail = page
        else:
            k.page[queue.head].lru_prev = page
        queue.head = page


@kfn
def unlink_page(k, page):
    """Take a page off the list it is on."""
    pg = k.page[page]
    gen = pg.gen >> LIST_SHIFT & 3
    queue = k.gen_list[gen_row(k, pg.memcg, gen, gen_type(pg.pflags), zone_of(k, page))]
    if pg.lru_prev == NIL:
        queue.head = pg.lru_next
    else:
        k.page[pg.lru_prev].lru_next = pg.lru_next
    if pg.lru_next == NIL:
        queue.tail = pg.lru_prev
    else:
        k.page[pg.lru_next].lru_prev = pg.lru_prev
    pg.lru_next, pg.lru_prev = NIL, NIL


@kfn
def move_page(k, page, gen, at_tail):
    """Move a page to the head or the tail of a generation's list."""
    unlink_page(k, page)
    link_page(k, page, gen, at_tail)


@kfn
def first_seq(k, page, reclaiming):
    """The generation a page comes to: hot, not to be had yet, to be had first, or in between."""
    pg = k.page[page]
    gen, pflags = k.gen[pg.memcg], pg.pflags
    oldest = min_seq(k, pg.memcg, gen_type(pflags))
    if pflags & PG_ACTIVE:
        return gen.max_seq
    waits = pflags & PG_RECLAIM and pflags & (PG_DIRTY | PG_WRITEBACK)
    if waits or (pflags & PG_SWAPBACKED and not pflags & PG_SWAPCACHE):
        return gen.max_seq - 1
    if reclaiming or oldest + MIN_NR_GENS >= gen.max_seq:
        return oldest
    return oldest + 1


@kfn
def gen_add(k, page, reclaiming):
    """Put a page on the list of the generation that its flags give it; reclaiming: it can be had now."""
    seq = first_seq(k, page, reclaiming) % MAX_NR_GENS
    pg = k.page[page]
    pg.pflags = pg.pflags & ~PG_ACTIVE | PG_LRU
    set_label(k, page, seq)
    update_size(k, page, -1, seq)
    link_page(k, page, seq, reclaiming)
    count_in_zone(k, page, pg.pflags, 1)


@kfn
def gen_del(k, page, reclaiming):
    """Take a page off its list; it is active if its generation was, unless it is for reclaim."""
    pg = k.page[page]
    gen = label_of(k, page)
    unlink_page(k, page)
    pg.gen &= REFS_MASK
    pg.pflags &= ~PG_LRU
    update_size(k, page, gen, -1)
    count_in_zone(k, page, pg.pflags, -1)
    if not reclaiming and is_active_gen(k, pg.memcg, gen):
        pg.pflags |= PG_ACTIVE


@kfn
def update_gen(k, page, gen):
    """Found young in a page table: it counts for `gen` now; its list is left for the scan to sort out."""
    old = label_of(k, page)
    if old < 0:
        k.page[page].pflags |= PG_REFERENCED
        return
    clear_refs(k, page)
    if old != gen:
        set_label(k, page, gen)
        update_size(k, page, old, gen)


@kfn
def inc_gen(k, page, reclaiming):
    """Spared: from the oldest generation to the next, unless it has been promoted meanwhile. Returns its label.

    reclaiming: the end of its I/O shall bring it back.
    """
    pg = k.page[page]
    label = label_of(k, page)
    oldest = min_seq(k, pg.memcg, gen_type(pg.pflags)) % MAX_NR_GENS
    if label != oldest:
        return label
    clear_refs(k, page)
    if reclaiming:
        pg.pflags |= PG_RECLAIM
    label = (oldest + 1) % MAX_NR_GENS
    set_label(k, page, label)
    update_size(k, page, oldest, label)
    return label


@kfn
def gen_eviction(k, page):
    """A page is reclaimed: count it in its tier. Returns (what its shadow says: generation and refs, was it used?)."""
    pg = k.page[page]
    kind, refs = gen_type(pg.pflags), refs_of(k, page)
    k.gen_tier[tier_row(pg.memcg, kind, tier_of(refs))].evicted += 1
    return min_seq(k, pg.memcg, kind) << 2 | max(refs - 1, 0), 1 if refs else 0


@kfn
def is_recent(k, memcg, kind, token, bits):
    """Was a page reclaimed from the generation that is still the oldest? bits: of the token that there is room for."""
    return token >> 2 == min_seq(k, memcg, kind) & (1 << bits - 2) - 1
