# SPDX-License-Identifier: GPL-2.0-or-later
"""Who may write dirty pages from reclaim: the choice the article is about, `reclaim.writeback`.

always      Linux v2.6.34 mm/vmscan.c: whoever reclaims, at any priority.
kswapd      Chinner, 8 and 13 April 2010: direct reclaim writes nothing, swap neither.
never       nobody writes from reclaim.
high-order  Chinner's compromise, 15 April 2010: direct reclaim writes for orders above 0 only.
priority    Kosaki, 15 April 2010: kswapd only reclaims what is clean; so does direct reclaim for order 0 while its
            priority is above DEF_PRIORITY / 2, from 6 down it writes itself.
urgent      Linux 3.2, commit f84f6e2b0868 and its neighbours: direct reclaim never writes file pages, kswapd does at
            priorities below 10; the page is marked for immediate reclaim once the flusher has written it.
"""

from pageout.engine.constants import (
    DEF_PRIORITY,
    PG_RECLAIM,
    PG_SWAPBACKED,
    WRITEBACK_ALWAYS,
    WRITEBACK_HIGH_ORDER,
    WRITEBACK_PRIORITY,
    WRITEBACK_URGENT,
)
from pageout.jit import kfn
from pageout.kernel.mm.isolate import is_kswapd


@kfn
def direct_may_write(k, order):
    """May direct reclaim for this order write at all (may_writepage)?"""
    who = k.param.reclaim_writeback
    if who == WRITEBACK_ALWAYS or who == WRITEBACK_PRIORITY or who == WRITEBACK_URGENT:
        return 1
    return 1 if who == WRITEBACK_HIGH_ORDER and order > 0 else 0


@kfn
def leaves_dirty(k, t, page):
    """A dirty page that may be written by may_writepage: does the design leave it to the flushers all the same?"""
    task = k.task[t]
    if k.param.reclaim_writeback == WRITEBACK_PRIORITY:
        if is_kswapd(k, t):
            return True
        return task.sc_order == 0 and task.sc_priority > DEF_PRIORITY // 2
    if k.param.reclaim_writeback == WRITEBACK_URGENT and not k.page[page].pflags & PG_SWAPBACKED:
        if not is_kswapd(k, t) or task.sc_priority >= DEF_PRIORITY - 2:
            k.page[page].pflags |= PG_RECLAIM
            return True
    return False
