# SPDX-License-Identifier: GPL-2.0-or-later
"""How much of which list to scan: swappiness, priority, the balance of active and inactive; ageing of active pages.

Source: Linux v2.6.34 mm/vmscan.c:get_scan_ratio, shrink_active_list, inactive_anon_is_low, inactive_file_is_low.
"""

from pageout.engine.clock import spend
from pageout.engine.constants import (
    ISOLATE_ACTIVE,
    LRU_ACTIVE_ANON,
    LRU_ACTIVE_FILE,
    LRU_INACTIVE_ANON,
    LRU_INACTIVE_FILE,
    NIL,
    NR_LRU,
    PG_ACTIVE,
    PG_ISOLATED,
    PG_YOUNG,
    SWAP_CLUSTER_MAX,
)
from pageout.engine.ring import emit
from pageout.jit import kfn
from pageout.kernel.costs import SCAN_NS
from pageout.kernel.mm.isolate import isolate_pages
from pageout.kernel.mm.swap import lru_add, lru_add_drain, lru_del
from pageout.vocabulary.tracepoints import EV


@kfn
def nr_on(k, zone, lru):
    """Pages on a list of the zone."""
    return k.lru[zone * NR_LRU + lru].nr


@kfn
def can_swap(k):
    """True if swap has a free slot."""
    return k.stat.swap_free > 0


@kfn
def reclaimable_pages(k, zone):
    """Pages of a zone that reclaim could take: file, and anonymous ones if swap has room."""
    pages = nr_on(k, zone, LRU_ACTIVE_FILE) + nr_on(k, zone, LRU_INACTIVE_FILE)
    if can_swap(k):
        pages += nr_on(k, zone, LRU_ACTIVE_ANON) + nr_on(k, zone, LRU_INACTIVE_ANON)
    return pages


@kfn
def anon_is_low(k, zone):
    """True if the zone's inactive anonymous pages are fewer than its ratio asks for."""
    active = nr_on(k, zone, LRU_ACTIVE_ANON)
    return nr_on(k, zone, LRU_INACTIVE_ANON) * k.zone[zone].inactive_ratio < active


@kfn
def file_is_low(k, zone):
    """True if more file pages are active than inactive: streaming never eats into the active half."""
    return nr_on(k, zone, LRU_ACTIVE_FILE) > nr_on(k, zone, LRU_INACTIVE_FILE)


@kfn
def age_anon_if_low(k, zone):
    """Keep some anonymous pages inactive, so that they have a chance to be referenced before they are reclaimed."""
    if anon_is_low(k, zone):
        shrink_active_list(k, -1, zone, LRU_ACTIVE_ANON, SWAP_CLUSTER_MAX)


@kfn
def shrink_active_list(k, t, zone, lru, nr_to_scan):
    """Move pages from the tail of an active list to the head of the inactive one, their page-table bit cleared.

    For orders above 0 each brings its physical neighbours of the same list along: the 2.6.34 kernel uses the same block
    scan here as for inactive pages, without lumpy reclaim being on.
    Differs: for t < 0 (ageing without a task) the order is taken for 0, and nothing is traced.
    """
    z = k.zone[zone]
    lru_add_drain(k, k.task[t].cpu if t >= 0 else 0)
    scanned, taken, rotated = 0, 0, 0
    if t >= 0 and k.task[t].sc_order > 0:
        scanned = isolate_pages(k, t, zone, lru, nr_to_scan, ISOLATE_ACTIVE)
        page = k.task[t].kept_head
        k.task[t].kept_head, k.task[t].kept_tail = NIL, NIL
        while page != NIL:
            following = k.page[page].lru_next
            k.page[page].pflags &= ~PG_ISOLATED
            rotated += _deactivate(k, page)
            taken += 1
            page = following
    else:
        queue = k.lru[zone * NR_LRU + lru]
        while taken < nr_to_scan and queue.tail != NIL:
            page = queue.tail
            lru_del(k, page)
            rotated += _deactivate(k, page)
            taken += 1
        scanned = taken
        if t >= 0:
            spend(k, t, taken * SCAN_NS)
            emit(k, t, EV.mm_vmscan_lru_isolate, ISOLATE_ACTIVE, 0, nr_to_scan, taken, taken, 0, 0, 0)
    if lru == LRU_ACTIVE_ANON:
        z.recent_scanned_anon += taken
        z.recent_rotated_anon += rotated
    else:
        z.recent_scanned_file += taken
        z.recent_rotated_file += rotated
    z.pages_scanned += scanned
    z.pgrefill += scanned
    k.vm.pgdeactivate += taken


@kfn
def _deactivate(k, page):
    """Put a page off its list at the head of the inactive one. Returns 1 if a page table had used it."""
    pg = k.page[page]
    young = 1 if pg.pflags & PG_YOUNG else 0
    pg.pflags &= ~(PG_YOUNG | PG_ACTIVE)
    lru_add(k, page)
    return young


@kfn
def anon_percent(k, zone):
    """Share of scanning that anonymous pages get, 0-100. Source: get_scan_ratio (integer percent, as 2.6.34 has it)."""
    if not can_swap(k):
        return 0
    z = k.zone[zone]
    anon = nr_on(k, zone, LRU_ACTIVE_ANON) + nr_on(k, zone, LRU_INACTIVE_ANON)
    file = nr_on(k, zone, LRU_ACTIVE_FILE) + nr_on(k, zone, LRU_INACTIVE_FILE)
    if file + z.nr_free <= z.wmark_high:
        return 100
    if z.recent_scanned_anon > anon // 4:
        z.recent_scanned_anon //= 2
        z.recent_rotated_anon //= 2
    if z.recent_scanned_file > file // 4:
        z.recent_scanned_file //= 2
        z.recent_rotated_file //= 2
    swappiness = k.param.swappiness
    ap = (swappiness + 1) * (z.recent_scanned_anon + 1) // (z.recent_rotated_anon + 1)
    fp = (200 - swappiness + 1) * (z.recent_scanned_file + 1) // (z.recent_rotated_file + 1)
    return 100 * ap // (ap + fp + 1)


@kfn
def nr_to_scan(k, zone, lru, priority, percent):
    """Pages of one list to scan at this priority; small shares are saved up until they make 32."""
    queue = k.lru[zone * NR_LRU + lru]
    share = queue.nr
    if priority > 0 or not can_swap(k):
        share = (share >> priority) * percent // 100
    queue.saved_scan += share
    if queue.saved_scan < SWAP_CLUSTER_MAX:
        return 0
    share = queue.saved_scan
    queue.saved_scan = 0
    return share
