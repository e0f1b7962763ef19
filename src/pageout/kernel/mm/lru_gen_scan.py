# SPDX-License-Identifier: GPL-2.0-or-later
"""The scan of the multi-generation LRU: which type and which tiers to take from, and which pages to spare.

A feedback loop decides: of each tier, how many of the pages that went (or were spared) came back. The first tier of
one type is what the others are held against.
Source: Linux v6.1 mm/vmscan.c:read_ctrl_pos, positive_ctrl_err, get_tier_idx, get_type_to_scan, sort_folio,
isolate_folio, scan_folios, isolate_folios. Differs: every request may use the highest zone, no page is unevictable.
"""

from pageout.engine.clock import spend
from pageout.engine.constants import (
    GEN_OWN,
    GFP_IO,
    MAX_LRU_BATCH,
    MAX_NR_GENS,
    MAX_NR_TIERS,
    MIN_LRU_BATCH,
    MIN_NR_GENS,
    NIL,
    PG_DIRTY,
    PG_ISOLATED,
    PG_LOCKED,
    PG_RECLAIM,
    PG_REFERENCED,
    PG_SWAPBACKED,
    PG_SWAPCACHE,
    PG_WRITEBACK,
)
from pageout.engine.ring import emit
from pageout.jit import kfn
from pageout.kernel.mm.lru_gen import (
    ANON,
    FILE,
    MOST_REFS,
    clear_refs,
    gen_del,
    gen_row,
    gen_type,
    inc_gen,
    label_of,
    min_seq,
    move_page,
    nr_gens,
    refs_of,
    tier_of,
    tier_row,
)
from pageout.kernel.mm.shrink_inactive import count_scan
from pageout.vocabulary.tracepoints import EV

SWAPPINESS_MOST = 200


@kfn
def ctrl_pos(k, memcg, kind, tier):
    """Of a tier, now and on average: (pages that came back, pages that went or were spared)."""
    row = k.gen_tier[tier_row(memcg, kind, tier)]
    return row.avg_refaulted + row.refaulted, row.avg_total + row.evicted + row.protected


@kfn
def positive_ctrl_err(sp_refaulted, sp_total, sp_gain, pv_refaulted, pv_total, pv_gain):
    """Does what is compared (pv) come back no more often than what it is held against (sp)?"""
    if pv_refaulted < MIN_LRU_BATCH:
        return True
    return pv_refaulted * (sp_total + MIN_LRU_BATCH) * sp_gain <= (sp_refaulted + 1) * pv_total * pv_gain


@kfn
def last_tier(k, memcg, sp_kind, sp_gain, kind, gain):
    """The last tier of a type that is not protected, held against the first tier of the same or the other type."""
    sp_refaulted, sp_total = ctrl_pos(k, memcg, sp_kind, 0)
    for tier in range(1, MAX_NR_TIERS):
        refaulted, total = ctrl_pos(k, memcg, kind, tier)
        if not positive_ctrl_err(sp_refaulted, sp_total, sp_gain, refaulted, total, gain):
            return tier - 1
    return MAX_NR_TIERS - 1


@kfn
def get_type_to_scan(k, memcg, swappiness):
    """Which type to take from: anonymous, unless file pages come back no more often, weighed by swappiness."""
    anon_refaulted, anon_total = ctrl_pos(k, memcg, ANON, 0)
    file_refaulted, file_total = ctrl_pos(k, memcg, FILE, 0)
    gain = SWAPPINESS_MOST - swappiness
    is_file = positive_ctrl_err(anon_refaulted, anon_total, swappiness, file_refaulted, file_total, gain)
    return FILE if is_file else ANON


@kfn
def sort_folio(k, t, page, memcg, tier_idx):
    """Is the page not to be taken? Then it goes to the list it belongs to."""
    pg = k.page[page]
    kind = gen_type(pg.pflags)
    label, refs = label_of(k, page), refs_of(k, page)
    if label != min_seq(k, memcg, kind) % MAX_NR_GENS:
        move_page(k, page, label, False)
        return True
    tier = tier_of(refs)
    if tier > tier_idx or refs == MOST_REFS:
        move_page(k, page, inc_gen(k, page, False), True)
        k.gen_tier[tier_row(memcg, kind, tier)].protected += 1
        _count_activate(k, memcg, kind)
        return True
    file_dirty = kind == FILE and pg.pflags & PG_DIRTY
    if file_dirty and k.param.gen_flush:
        k.task[t].sn_file_taken += 1
        k.task[t].sn_unqueued += 0 if pg.pflags & PG_WRITEBACK else 1
    if file_dirty or pg.pflags & (PG_LOCKED | PG_WRITEBACK):
        move_page(k, page, inc_gen(k, page, True), False)
        return True
    return False


@kfn
def _count_activate(k, memcg, kind):
    if kind == FILE:
        k.node.workingset_activate_file += 1
        if memcg:
            k.memcg[memcg].workingset_activate_file += 1
    else:
        k.node.workingset_activate_anon += 1
        if memcg:
            k.memcg[memcg].workingset_activate_anon += 1


@kfn
def isolate_folio(k, t, page):
    """Take a page into the task's private list, unless it would need writing that is not allowed."""
    task, pg = k.task[t], k.page[page]
    if not (task.sc_gfp & GFP_IO and (task.sc_writepage or k.param.gen_node == GEN_OWN)):
        if pg.pflags & PG_DIRTY or pg.pflags & (PG_SWAPBACKED | PG_SWAPCACHE) == PG_SWAPBACKED:
            return False
    if not pg.pflags & PG_REFERENCED:
        clear_refs(k, page)
    pg.pflags &= ~(PG_RECLAIM | PG_REFERENCED)
    gen_del(k, page, True)
    pg.pflags |= PG_ISOLATED
    pg.lru_next = NIL
    if task.kept_tail == NIL:
        task.kept_head = page
    else:
        k.page[task.kept_tail].lru_next = page
    task.kept_tail = page
    task.kept_nr += 1
    return True


@kfn
def scan_folios(k, t, memcg, kind, tier_idx):
    """Go over the oldest generation of a type, the highest zone first, until 64 pages are taken.

    Returns pages looked at; 0 if nothing could be taken.
    """
    task = k.task[t]
    task.kept_head, task.kept_tail, task.kept_nr = NIL, NIL, 0
    if nr_gens(k, memcg, kind) == MIN_NR_GENS:
        return 0
    gen, remaining, scanned, nr_sorted, nr_skipped = min_seq(k, memcg, kind) % MAX_NR_GENS, MAX_LRU_BATCH, 0, 0, 0
    for i in range(k.param.nr_zones):
        queue = k.gen_list[gen_row(k, memcg, gen, kind, k.param.nr_zones - 1 - i)]
        skipped, last = 0, NIL
        while queue.tail != NIL and queue.tail != last and remaining > 0:
            page = queue.tail
            scanned += 1
            remaining -= 1
            if sort_folio(k, t, page, memcg, tier_idx):
                nr_sorted += 1
            elif not isolate_folio(k, t, page):
                move_page(k, page, gen, False)
                if last == NIL:
                    last = page
                skipped += 1
            if max(task.kept_nr, skipped) >= MIN_LRU_BATCH:
                break
        nr_skipped += skipped
        if remaining == 0 or task.kept_nr >= MIN_LRU_BATCH:
            break
    _end_scan(k, t, kind, scanned, nr_sorted, nr_skipped)
    return scanned if task.kept_nr > 0 or remaining == 0 else 0


@kfn
def _end_scan(k, t, kind, scanned, nr_sorted, nr_skipped):
    task, top = k.task[t], k.param.nr_zones - 1
    spend(k, t, scanned * k.param.scan_ns)
    count_scan(k, t, task.kept_nr, kind == FILE)
    if kind == FILE:
        task.sn_file_taken += task.kept_nr
    if not task.sc_memcg:
        k.zone[top].pgrefill += nr_sorted
    if k.param.gen_events:
        emit(
            k,
            t,
            EV.mm_vmscan_lru_isolate_skipped,
            top,
            task.sc_order,
            MAX_LRU_BATCH,
            scanned,
            nr_skipped,
            task.kept_nr,
            1 << (2 if kind == FILE else 0),
        )


@kfn
def type_and_tier(k, memcg, swappiness):
    """Which type to try first, and the last tier of it that may be taken."""
    kind = FILE
    if swappiness and (k.gen[memcg].min_anon < k.gen[memcg].min_file or swappiness == SWAPPINESS_MOST):
        kind = ANON
    elif swappiness > 1:
        kind = get_type_to_scan(k, memcg, swappiness)
        gain = swappiness if kind == ANON else SWAPPINESS_MOST - swappiness
        return kind, last_tier(k, memcg, 1 - kind, SWAPPINESS_MOST - gain, kind, gain)
    return kind, last_tier(k, memcg, kind, 1, kind, 2)


@kfn
def isolate_folios(k, t, memcg, swappiness):
    """Take pages of the type, and of the tiers of it, that are least wanted; of the other if that has none.

    Returns (pages looked at, type).
    """
    kind, tier = type_and_tier(k, memcg, swappiness)
    for _ in range(2 if swappiness else 1):
        scanned = scan_folios(k, t, memcg, kind, tier)
        if scanned:
            return scanned, kind
        kind = 1 - kind
        tier = last_tier(k, memcg, kind, 1, kind, 2)
    return 0, kind
