# SPDX-License-Identifier: GPL-2.0-or-later
"""Waking kswapd: what every way to it has in common, and the way from the allocator when marks have been raised."""

from pageout.engine.clock import now_of
from pageout.engine.constants import NIL, WQ_KSWAPD
from pageout.engine.ring import emit
from pageout.engine.waitqueue import wake_all
from pageout.jit import kfn
from pageout.vocabulary.tracepoints import EV

MAX_RECLAIM_RETRIES = 16


@kfn
def note_kswapd_woken(k, t):
    """kswapd leaves its sleep: remember when, and what it had done by then."""
    k.stat.kswapd_woken_ns = now_of(k, t)
    k.stat.kswapd_scanned_before = k.stat.scanned_kswapd
    k.stat.kswapd_reclaimed_before = k.stat.reclaimed_kswapd


@kfn
def wake_for_boost(k, t):
    """The node may be balanced but for its raised marks: kswapd would not be woken otherwise.

    Source: Linux v6.1 mm/page_alloc.c:rmqueue (ZONE_BOOSTED_WATERMARK); mm/vmscan.c:wakeup_kswapd.
    """
    if k.wait[WQ_KSWAPD].head == NIL or k.node.kswapd_failures >= MAX_RECLAIM_RETRIES:
        return
    emit(k, t, EV.mm_vmscan_wakeup_kswapd_gfp, 0, 0, 0)
    note_kswapd_woken(k, t)
    wake_all(k, WQ_KSWAPD)
