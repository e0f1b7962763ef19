# SPDX-License-Identifier: GPL-2.0-or-later
"""How much of which of the node's lists to scan, and the ageing of its active pages, since 5.8.

Source: Linux v6.1 mm/vmscan.c:prepare_scan_count, get_scan_count, shrink_active_list, inactive_is_low. Differs: no
memory.min or low; no executable mappings are known, so every active page that is scanned becomes inactive.
"""

from pageout.engine.clock import spend
from pageout.engine.constants import (
    LRU_ACTIVE_ANON,
    LRU_ACTIVE_FILE,
    LRU_INACTIVE_ANON,
    LRU_INACTIVE_FILE,
    NIL,
    NR_LRU,
    PG_ACTIVE,
    PG_ISOLATED,
    PG_WORKINGSET,
    PG_YOUNG,
    SWAP_CLUSTER_MAX,
)
from pageout.engine.ring import emit
from pageout.jit import kfn
from pageout.kernel.mm.memcontrol import lru_size
from pageout.kernel.mm.swap import lru_add, lru_add_drain, lru_del
from pageout.vocabulary.tracepoints import EV

DEACTIVATE_ANON, DEACTIVATE_FILE = 1, 2
SCAN_EQUAL, SCAN_FRACT, SCAN_ANON, SCAN_FILE = 0, 1, 2, 3
PAGES_SHIFT_OF_GIB = 18


@kfn
def _isqrt(n):
    root = 0
    while (root + 1) * (root + 1) <= n:
        root += 1
    return root


@kfn
def inactive_is_low(k, memcg, lru):
    """Are there too few inactive pages beside the active ones, in a group or (0) all? lru: the inactive list."""
    inactive, active = lru_size(k, memcg, lru), lru_size(k, memcg, lru + 1)
    gib = inactive + active >> PAGES_SHIFT_OF_GIB
    return inactive * (_isqrt(10 * gib) if gib else 1) < active


@kfn
def prepare_scan_count(k, t, priority):
    """Before a scan of the node: may active pages be deactivated, is there cache to trim, is there hardly any cache?"""
    task = k.task[t]
    memcg = task.sc_memcg
    may = DEACTIVATE_ANON | DEACTIVATE_FILE
    if not task.sc_force_deactivate:
        may = _refaulted(k.memcg[memcg]) if memcg else _refaulted(k.node)
        if inactive_is_low(k, memcg, LRU_INACTIVE_ANON):
            may |= DEACTIVATE_ANON
        if inactive_is_low(k, memcg, LRU_INACTIVE_FILE):
            may |= DEACTIVATE_FILE
    task.sc_may_deactivate = may
    inactive = lru_size(k, memcg, LRU_INACTIVE_FILE)
    trims = inactive >> priority > 0 and not may & DEACTIVATE_FILE and not task.sc_no_trim
    task.sc_cache_trim = 1 if trims else 0
    task.sc_file_tiny = 0 if memcg else _is_file_tiny(k, may, inactive, priority)


@kfn
def _refaulted(lruvec):
    """Of what has been activated since the last snapshot, active pages may be deactivated."""
    may = 0
    if lruvec.workingset_activate_anon != lruvec.refaults_anon:
        may |= DEACTIVATE_ANON
    if lruvec.workingset_activate_file != lruvec.refaults_file:
        may |= DEACTIVATE_FILE
    return may


@kfn
def _is_file_tiny(k, may, inactive, priority):
    high = 0
    for zone in range(k.param.nr_zones):
        high += k.zone[zone].wmark_high + k.zone[zone].boost
    file = inactive + lru_size(k, 0, LRU_ACTIVE_FILE)
    is_tiny = file + k.vm.nr_free_pages <= high and not may & DEACTIVATE_ANON
    return 1 if is_tiny and lru_size(k, 0, LRU_INACTIVE_ANON) >> priority > 0 else 0


@kfn
def snapshot_refaults(k, memcg):
    """Note what had been activated by refaults when this reclaim of a group, or (0) of all, ended."""
    if memcg:
        _snapshot(k.memcg[memcg])
    else:
        _snapshot(k.node)


@kfn
def _snapshot(lruvec):
    lruvec.refaults_anon = lruvec.workingset_activate_anon
    lruvec.refaults_file = lruvec.workingset_activate_file


@kfn
def scan_fractions(swappiness, anon_cost, file_cost):
    """Parts of anonymous and file pages in scanning, by what reclaiming each has cost. Returns (anon, both)."""
    total = anon_cost + file_cost
    anon, file = total + anon_cost, total + file_cost
    total = anon + file
    ap = swappiness * (total + 1) // (anon + 1)
    fp = (200 - swappiness) * (total + 1) // (file + 1)
    return ap, ap + fp


@kfn
def scan_balance(k, t, priority):
    """Which lists this scan goes over: SCAN_*."""
    task = k.task[t]
    if k.stat.swap_free <= 0 or task.sc_no_swap or (task.sc_memcg and not k.param.swappiness):
        return SCAN_FILE
    if priority == 0 and k.param.swappiness:
        return SCAN_EQUAL
    if task.sc_file_tiny:
        return SCAN_ANON
    if task.sc_cache_trim:
        return SCAN_FILE
    return SCAN_FRACT


@kfn
def _fractions(k, memcg):
    """By what reclaim of the group, or (0) all reclaim, has cost."""
    if memcg:
        return scan_fractions(k.param.swappiness, k.memcg[memcg].anon_cost, k.memcg[memcg].file_cost)
    return scan_fractions(k.param.swappiness, k.node.anon_cost, k.node.file_cost)


@kfn
def get_scan_count(k, t, lru, priority):
    """Pages to scan of one list of the group whose turn it is."""
    is_file = lru >= LRU_INACTIVE_FILE
    task = k.task[t]
    scan = k.lru[task.sc_vec * NR_LRU + lru].nr >> priority
    balance = scan_balance(k, t, priority)
    if balance == SCAN_EQUAL:
        return scan
    if balance == SCAN_FRACT:
        anon, both = _fractions(k, task.sc_memcg)
        return scan * (both - anon if is_file else anon) // both
    return scan if (balance == SCAN_FILE) == is_file else 0


@kfn
def isolate_lru_folios(k, t, lru, nr_to_scan):
    """Take up to nr_to_scan pages off the tail of one of its group's lists into the task's private list, oldest first.
    Returns their number.

    Every request may use the highest zone, so no page is passed over.
    """
    task = k.task[t]
    task.kept_head, task.kept_tail, task.kept_nr = NIL, NIL, 0
    queue = k.lru[task.sc_vec * NR_LRU + lru]
    while task.kept_nr < nr_to_scan and queue.tail != NIL:
        page = queue.tail
        lru_del(k, page)
        pg = k.page[page]
        pg.pflags |= PG_ISOLATED
        pg.lru_next = NIL
        if task.kept_tail == NIL:
            task.kept_head = page
        else:
            k.page[task.kept_tail].lru_next = page
        task.kept_tail = page
        task.kept_nr += 1
    nr = task.kept_nr
    spend(k, t, nr * k.param.scan_ns)
    top, order = k.param.nr_zones - 1, task.sc_order
    if k.param.isolate_mode:
        emit(k, t, EV.mm_vmscan_lru_isolate_mode, 0, top, order, nr_to_scan, nr, 0, nr, 1 << lru)
    else:
        emit(k, t, EV.mm_vmscan_lru_isolate_skipped, top, order, nr_to_scan, nr, 0, nr, 1 << lru)
    return nr


@kfn
def deactivate(k, t, lru, nr_to_scan):
    """shrink_active_list: pages from an active list's tail go to the head of the inactive one. Returns their number."""
    lru_add_drain(k, k.task[t].cpu)
    taken = isolate_lru_folios(k, t, lru, nr_to_scan)
    page = k.task[t].kept_head
    while page != NIL:
        pg = k.page[page]
        following = pg.lru_next
        pg.pflags &= ~(PG_ISOLATED | PG_ACTIVE | PG_YOUNG)
        pg.pflags |= PG_WORKINGSET
        lru_add(k, page)
        page = following
    k.task[t].kept_head, k.task[t].kept_tail = NIL, NIL
    k.zone[k.param.nr_zones - 1].pgrefill += taken
    k.vm.pgdeactivate += taken
    return taken


@kfn
def kswapd_age_node(k, t):
    """Keep some anonymous pages inactive, if there is swap at all."""
    if k.param.lru_gen:
        return
    if k.param.nr_swap_slots > 0 and inactive_is_low(k, 0, LRU_INACTIVE_ANON):
        for memcg in range(k.param.nr_memcgs + 1):
            k.task[t].sc_vec = memcg
            deactivate(k, t, LRU_ACTIVE_ANON, SWAP_CLUSTER_MAX)
        k.task[t].sc_vec = 0
