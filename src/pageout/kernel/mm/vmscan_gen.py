# SPDX-License-Identifier: GPL-2.0-or-later
"""Reclaim of a node with the multi-generation LRU (lru=gen): whose turn it is, how much to evict, what comes back.

gen.node=shared (6.1): the node function is that of the classic lists, kswapd ages all groups before it scans. own
(since 6.3; as of 6.12): a node function of its own, each reclaimer ages what it runs out of, and stops when it has
enough. gen.flush=dirty: the flushers are woken if all file pages of a pass were dirty and nobody was writing them.
Nothing waits for writes.
Source: Linux v6.1 mm/vmscan.c:lru_gen_age_node, lru_gen_shrink_lruvec, get_nr_to_scan, should_abort_scan, evict_folios;
v6.12 lru_gen_shrink_node, set_initial_priority, try_to_shrink_lruvec. Differs: groups are gone over in turn, where 6.12
keeps them in 16 lists by what they last gave; a batch's neighbours in page tables are looked at before its pages, not
in turn with them; lru_gen/min_ttl_ms is 0; the tiers of 6.14 are not modelled.
"""

from pageout.engine.clock import out_of_slice
from pageout.engine.constants import (
    DEF_PRIORITY,
    ENTRY,
    GEN_OWN,
    GFP_IO,
    MAX_DEPTH,
    MIN_LRU_BATCH,
    MIN_NR_GENS,
    NIL,
    PG_ACTIVE,
    PG_DIRTY,
    PG_ISOLATED,
    PG_LOCKED,
    PG_MAPPED,
    PG_RECLAIM,
    PG_REFERENCED,
    PG_WORKINGSET,
    PG_WRITEBACK,
    PG_YOUNG,
    YIELD,
)
from pageout.engine.kstack import call, ret
from pageout.jit import kfn
from pageout.kernel.frames import FN
from pageout.kernel.fs.bdi_work import wakeup_flusher_threads
from pageout.kernel.mm.buddy import zone_watermark_ok
from pageout.kernel.mm.compaction import compact_gap
from pageout.kernel.mm.free_area import zone_of
from pageout.kernel.mm.isolate import count_isolated, is_kswapd
from pageout.kernel.mm.lru_gen import FILE, clear_refs, gen_add, min_seq, nr_gens
from pageout.kernel.mm.lru_gen_age import look_around, should_run_aging, try_to_inc_max_seq, try_to_inc_min_seq
from pageout.kernel.mm.lru_gen_scan import isolate_folios
from pageout.kernel.mm.memcontrol import next_group
from pageout.kernel.mm.shrink_inactive import count_steal, trace_batch
from pageout.kernel.mm.swap import lru_add_drain
from pageout.kernel.mm.vmscan_node import goes_on, note_node


@kfn
def get_swappiness(k, t):
    """How much anonymous pages are wanted, 0 to 200: not at all without room in swap."""
    task = k.task[t]
    swappiness = k.param.swappiness if k.stat.swap_free >= MIN_LRU_BATCH else 0
    if k.param.gen_node == GEN_OWN:
        if task.sc_no_swap:
            return 0
        return 1 if swappiness and not task.sc_gfp & GFP_IO else swappiness
    if task.sc_no_swap:
        return 1 if swappiness and not task.sc_memcg else 0
    return swappiness


@kfn
def _age_node(k, t):
    """lru_gen_age_node: kswapd begins generations where they are due, unless its last pass had no need of it."""
    task = k.task[t]
    if not task.sc_need_aging:
        task.sc_need_aging = 1
        return
    can_swap = k.stat.swap_free >= MIN_LRU_BATCH and k.param.swappiness > 0
    for memcg in range(k.param.nr_memcgs + 1):
        due, _ = should_run_aging(k, memcg, can_swap)
        if due:
            try_to_inc_max_seq(k, t, memcg, can_swap)


@kfn
def _initial_priority(k, t, f):
    """Where kswapd begins, for its first pass to give about what it wants; the caller's priority is lowered, too."""
    wanted = k.task[t].sc_to_reclaim
    if f.a != DEF_PRIORITY or wanted < MIN_LRU_BATCH:
        return f.a
    there = k.vm.nr_inactive_file
    if k.stat.swap_free > 0:
        there += k.vm.nr_inactive_anon
    bits, wanted = 0, wanted - 1
    while there > 0:
        bits, there = bits + 1, there >> 1
    while wanted > 0:
        bits, wanted = bits - 1, wanted >> 1
    priority = min(max(bits - 1, DEF_PRIORITY // 2), DEF_PRIORITY)
    caller = k.frame[t * MAX_DEPTH + k.task[t].depth - 1]
    caller.priority = priority
    return priority


@kfn
def shrink_node_gen(k, t, f):
    """Evict from the lists of one group after the other; see the module's text for what gen.node makes of it.

    f.a   in: priority.  task.sc_vec: whose turn it is.  Sleeps: yes.
    """
    NEXT, SHRUNK = 1, 2
    task = k.task[t]
    own = k.param.gen_node == GEN_OWN and not task.sc_memcg
    if f.pc == ENTRY:
        f.flag, f.left = 0, task.sc_reclaimed
        f.priority = _initial_priority(k, t, f) if own else f.a
        if is_kswapd(k, t) and not own:
            _age_node(k, t)
        f.pc = NEXT
        f.index = _begin_pass(k, t, f)
    elif f.pc == SHRUNK:
        f.index = _next_group(k, t, f, own)
    if f.index != NIL:
        return call(k, t, f, FN.lru_gen_shrink_lruvec, SHRUNK, f.priority, f.left, 0)
    task.sc_vec = 0
    reclaimed = task.sc_reclaimed - f.pos
    if reclaimed > 0:
        f.flag = 1
    if not own:
        note_node(k, t)
        if goes_on(k, t, f, reclaimed):
            f.index = _begin_pass(k, t, f)
            f.pc = NEXT
            return YIELD
    if f.flag:
        k.node.kswapd_failures = 0
    return ret(k, t, f, 0)


@kfn
def _begin_pass(k, t, f):
    task = k.task[t]
    task.sn_dirty, task.sn_congested, task.sn_unqueued, task.sn_writeback, task.sn_immediate = 0, 0, 0, 0, 0
    task.sn_taken, task.sn_file_taken = 0, 0
    f.pos, task.sc_priority = task.sc_reclaimed, f.priority
    first = next_group(k, t, NIL) if k.param.nr_memcgs else 0
    task.sc_vec = max(first, 0)
    return first


@kfn
def _next_group(k, t, f, own):
    """The next group, or NIL: all have been seen, or enough has been freed."""
    task = k.task[t]
    if k.param.nr_memcgs == 0:
        return NIL
    if own and _should_abort(k, t, f.pos):
        return NIL
    if not own and not task.sc_full_walk and task.sc_reclaimed >= task.sc_to_reclaim:
        return NIL
    following = next_group(k, t, f.index)
    task.sc_vec = max(following, 0)
    return following


@kfn
def _should_abort(k, t, began):
    """gen.node=own: is it enough? began: what had been reclaimed when this pass began."""
    task = k.task[t]
    if task.sc_memcg:
        return False
    freed = task.sc_reclaimed - (began if is_kswapd(k, t) else 0)
    if freed >= max(task.sc_to_reclaim, compact_gap(task.sc_order)):
        return True
    if not is_kswapd(k, t) or task.sc_order:
        return False
    top = k.param.nr_zones - 1
    for zone in range(top + 1):
        z = k.zone[zone]
        if not zone_watermark_ok(k, zone, 0, z.wmark_high + z.boost + MIN_LRU_BATCH, top, 0):
            return False
    return True


@kfn
def _should_stop(k, t, f):
    """gen.node=shared: is it enough, or is it time to let others? Then 64 pages count as freed that were not."""
    task = k.task[t]
    if is_kswapd(k, t):
        if task.sc_reclaimed - f.b < task.sc_to_reclaim:
            return False
    else:
        if k.gen[task.sc_vec].max_seq - f.left > 1 or (task.sc_reclaimed >= task.sc_to_reclaim and f.flag):
            return True
        if task.killed:
            task.sc_reclaimed += MIN_LRU_BATCH
            return True
        if task.sc_memcg:
            return False
    if f.a > DEF_PRIORITY - 2:
        return False
    for zone in range(k.param.nr_zones):
        z = k.zone[zone]
        if (z.wmark_high if is_kswapd(k, t) else z.wmark_low) + z.boost > z.nr_free:
            return False
    task.sc_reclaimed += MIN_LRU_BATCH
    return True


@kfn
def _nr_to_scan(k, t, f, can_swap):
    """Pages to scan of the group's; ages it first if that is due and this task's to do. 0: none. f.count: was due."""
    task = k.task[t]
    memcg = task.sc_vec
    due, total = should_run_aging(k, memcg, can_swap)
    kind = 0 if can_swap else 1
    f.count = 1 if due else 0
    if k.param.gen_node == GEN_OWN:
        if due and min_seq(k, memcg, kind) + MIN_NR_GENS > k.gen[memcg].max_seq:
            total = 0
        if due and f.a != DEF_PRIORITY:
            try_to_inc_max_seq(k, t, memcg, can_swap)
            return 0
        return total >> f.a
    if due and f.a != DEF_PRIORITY:
        if is_kswapd(k, t):
            return 0
        try_to_inc_max_seq(k, t, memcg, can_swap)
    elif due and min_seq(k, memcg, kind) + MIN_NR_GENS > k.gen[memcg].max_seq:
        return 0
    return total >> f.a


@kfn
def lru_gen_shrink_lruvec(k, t, f):
    """Evict pages of the group whose turn it is, up to 64 at a time, until its share has been looked at.

    f.a, f.b   in: priority, pages that had been reclaimed when the node's turn began (last_reclaimed).  f.total: looked
    at; f.left: the youngest generation at the start; f.pos: reclaimed then; f.stage: the batch's type; f.nr_taken:
    looked at for it; f.nr_to_scan: the share; f.flag: anonymous pages were taken.  Sleeps: yes.
    """
    GO_ON, SHRUNK, RETRIED = 1, 2, 3
    task = k.task[t]
    pc = f.pc
    if pc == ENTRY:
        lru_add_drain(k, task.cpu)
        f.left, f.pos, f.pc = k.gen[task.sc_vec].max_seq, task.sc_reclaimed, GO_ON
    elif pc == SHRUNK or pc == RETRIED:
        if _after_batch(k, t, f, pc == RETRIED):
            return call(k, t, f, FN.shrink_folio_list, RETRIED, 0, 0, 0)
        if _is_done(k, t, f):
            return _end_lruvec(k, t, f)
        f.pc = GO_ON
        if out_of_slice(k, t):
            return YIELD
    while True:
        swappiness = get_swappiness(k, t)
        f.nr_to_scan = _nr_to_scan(k, t, f, swappiness > 0)
        if f.nr_to_scan <= 0:
            f.count = 1
            return _end_lruvec(k, t, f)
        f.nr_taken, f.stage = isolate_folios(k, t, task.sc_vec, swappiness)
        f.nr_taken += try_to_inc_min_seq(k, task.sc_vec, swappiness > 0)
        if nr_gens(k, task.sc_vec, 0 if swappiness else 1) == MIN_NR_GENS:
            f.nr_taken = 0
        if task.kept_head != NIL:
            _look_around_batch(k, t, swappiness > 0)
            return call(k, t, f, FN.shrink_folio_list, SHRUNK, 0, 0, 0)
        if _is_done(k, t, f):
            return _end_lruvec(k, t, f)
        if out_of_slice(k, t):
            return YIELD


@kfn
def _look_around_batch(k, t, can_swap):
    """Round each page of the batch that was used through a page table, others are promoted; it is marked itself."""
    page = k.task[t].kept_head
    while page != NIL:
        pg = k.page[page]
        used = pg.pflags & (PG_MAPPED | PG_YOUNG | PG_REFERENCED | PG_LOCKED | PG_WRITEBACK) == PG_MAPPED | PG_YOUNG
        if used:
            look_around(k, t, page, can_swap)
            pg.pflags = pg.pflags & ~PG_REFERENCED | PG_YOUNG  # for shrink_folio_list to find
        page = pg.lru_next


@kfn
def _is_done(k, t, f):
    """A batch has ended: has the share been looked at, or is it enough?"""
    if f.nr_taken == 0:
        f.count = 1
        return True
    f.total += f.nr_taken
    if f.total >= f.nr_to_scan:
        return True
    return _should_abort(k, t, f.b) if k.param.gen_node == GEN_OWN else _should_stop(k, t, f)


@kfn
def _end_lruvec(k, t, f):
    """f.count: the group needs ageing, or has nothing to take."""
    task = k.task[t]
    if k.param.gen_flush and task.sn_unqueued > 0 and task.sn_unqueued == task.sn_file_taken:
        wakeup_flusher_threads(k, t, 0)
    if task.sc_reclaimed - f.pos >= MIN_LRU_BATCH and not f.count:
        task.sc_need_aging = 0
    return ret(k, t, f, 0)


@kfn
def _after_batch(k, t, f, retried):
    """What shrink_folio_list left goes back, what was freed is counted. True: some pages are worth a second look."""
    task = k.task[t]
    freed = task.retval
    task.sc_reclaimed += freed
    task.sn_unqueued += task.st_unqueued
    if k.param.gen_events:
        trace_batch(k, t, f, freed, f.stage == FILE)
    _put_back(k, t, retried)
    count_steal(k, t, freed, f.stage == FILE)
    if task.kept_head != NIL:
        return True
    if f.stage != FILE:
        f.flag = 1
    return False


@kfn
def _put_back(k, t, retried):
    """Survivors go to the generation that their marks say; those nothing keeps from being freed stay for a second look.

    Not to the oldest generation: what was refused counts as hot, unless its I/O will bring it back.
    """
    task = k.task[t]
    page, head, tail = task.kept_head, NIL, NIL
    while page != NIL:
        pg = k.page[page]
        following = pg.lru_next
        pflags = pg.pflags
        busy = PG_ACTIVE | PG_REFERENCED | PG_MAPPED | PG_LOCKED | PG_DIRTY | PG_WRITEBACK
        waits = pflags & PG_RECLAIM and pflags & (PG_DIRTY | PG_WRITEBACK)
        if not waits and not retried and not pflags & busy:
            pg.lru_next = NIL
            if tail == NIL:
                head = page
            else:
                k.page[tail].lru_next = page
            tail = page
            task.sc_scanned -= 1
        else:
            if not waits:
                clear_refs(k, page)
                pg.pflags |= PG_ACTIVE
            elif pflags & PG_WORKINGSET:
                pg.pflags |= PG_REFERENCED
            count_isolated(k, zone_of(k, page), page, -1)
            pg.pflags &= ~PG_ISOLATED
            gen_add(k, page, False)
        page = following
    task.kept_head, task.kept_tail = head, tail
