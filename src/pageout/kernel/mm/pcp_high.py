# SPDX-License-Identifier: GPL-2.0-or-later
"""How many free pages a CPU keeps of a zone, fetches at once, and gives back at once.

pcp.high=batch: six batches, one at a time. low: its part of the LOW mark, fewer while kswapd works (6.1). auto: since
6.7 the limit moves between that and an eighth of the zone. It grows with each fetch while the zone is above HIGH, and
shrinks with frees once it is not; fetches double up to 32 batches. So one fetch can take a zone from above LOW to below
MIN, and who asks next reclaims though the CPU has pages.
"""

from pageout.engine.clock import now_of
from pageout.engine.constants import PCP_AUTO, PCP_LOW
from pageout.jit import kfn

SCALE_MAX = 5  # CONFIG_PCP_BATCH_SCALE_MAX as it is by default: 32 batches
STAT_INTERVAL_NS = 1_000_000_000  # vm.stat_interval as it is by default


@kfn
def nr_to_fetch(k, zone, at):
    """Pages to fetch from the zone into an empty list.

    Source: Linux v6.12 mm/page_alloc.c:nr_pcp_alloc.
    """
    z, pcp = k.zone[zone], k.pcp[at]
    if k.param.pcp_mode != PCP_AUTO:
        return z.pcp_batch
    pcp.high = min(max(pcp.high, z.pcp_high), z.pcp_high_max)
    batch = z.pcp_batch << pcp.alloc_factor
    if not z.below_high and z.pcp_high != z.pcp_high_max:
        pcp.high = min(pcp.high + batch, z.pcp_high_max)
    room = max(pcp.high - pcp.nr - z.pcp_batch, z.pcp_batch)
    if batch <= room and pcp.alloc_factor < SCALE_MAX:
        pcp.alloc_factor += 1
    return min(batch, room)


@kfn
def note_freed(k, zone, at):
    """A page came to a CPU's list: less is fetched at once.

    Source: Linux v6.12 mm/page_alloc.c:free_unref_page_commit.
    """
    if k.param.pcp_mode == PCP_AUTO:
        k.pcp[at].alloc_factor >>= 1
        if k.pcp[at].free_factor < k.zone[zone].pcp_batch << SCALE_MAX:
            k.pcp[at].free_factor += 1


@kfn
def nr_kept(k, zone, at):
    """Pages at which a CPU gives some back.  Source: Linux v6.1 and v6.12 mm/page_alloc.c:nr_pcp_high."""
    z, pcp = k.zone[zone], k.pcp[at]
    if k.param.pcp_mode != PCP_AUTO:
        few = k.node.reclaim_active and k.param.pcp_mode == PCP_LOW
        return min(z.pcp_high, 4 * z.pcp_batch) if few else z.pcp_high
    high = min(max(pcp.high, z.pcp_high), z.pcp_high_max)
    pcp.high = high
    shrunk = max(high - max(pcp.free_factor, z.pcp_batch), z.pcp_high)
    if k.node.reclaim_active:
        pcp.high = shrunk
        return min(4 * z.pcp_batch, shrunk)
    if z.pcp_high == z.pcp_high_max:
        return high
    if z.below_high:
        pcp.high = shrunk
        return max(pcp.nr, z.pcp_high)
    need = pcp.free_factor + z.pcp_batch
    if pcp.nr >= high and high < need:
        pcp.high = min(need, z.pcp_high_max)
    return high


@kfn
def nr_to_give_back(k, zone, at, high):
    """Of the pages of a CPU that has `high`, how many it gives back.

    low: a batch, twice as much each time while nothing is taken; auto: as many as were freed in a row.
    Source: Linux v6.1 and v6.12 mm/page_alloc.c:nr_pcp_free.
    """
    batch = k.zone[zone].pcp_batch
    if k.param.pcp_mode != PCP_AUTO and k.param.pcp_mode != PCP_LOW:
        return batch
    if high < batch:
        return 1
    if k.param.pcp_mode == PCP_AUTO:
        return max(min(k.pcp[at].free_factor, high - batch), batch)
    count = batch << k.pcp[at].free_factor
    if count < high - batch:
        k.pcp[at].free_factor += 1
    return max(min(count, high - batch), batch)


@kfn
def nr_to_decay(k, t, zone, at):
    """Lower a CPU's limit by an eighth for each second gone by; return how many of its pages are then too many.

    Source: Linux v6.12 mm/page_alloc.c:decay_pcp_high.  Differs: done when the CPU next fetches or gives back.
    """
    if k.param.pcp_mode != PCP_AUTO:
        return 0
    z, pcp = k.zone[zone], k.pcp[at]
    seconds = (now_of(k, t) if t >= 0 else k.stat.now_ns) // STAT_INTERVAL_NS
    nr = pcp.nr
    while pcp.decayed < seconds and pcp.high > z.pcp_high:
        pcp.decayed += 1
        least = max(nr - (z.pcp_batch << SCALE_MAX), z.pcp_high)
        pcp.high = max(pcp.high - (pcp.high >> 3), least)
        nr = min(nr, pcp.high)
    pcp.decayed = seconds
    return pcp.nr - nr
