# SPDX-License-Identifier: GPL-2.0-or-later
"""The places where a user's own policy is asked instead of the kernel's rule; each has its own knobs and counters.

Every function here is called only where `k.param.policy_<hook>` is set; a machine without policies never comes here.
"""

from pageout.engine.clock import now_of
from pageout.engine.constants import NIL, NS_PER_MS
from pageout.jit import call_policy, kfn
from pageout.kernel.mm.dirty_limits import background_threshold, dirty_threshold

# Rows of policy_ctx
CTX_ISOLATE, CTX_DIRTY_PAGE, CTX_NEXT_INODE, CTX_THROTTLE, CTX_WAKE_FLUSHERS, NR_HOOKS = 0, 1, 2, 3, 4, 5


@kfn
def judge_page(k, t, page):
    """isolate: what becomes of a page that reclaim looks at? Returns a PAGE_ verdict."""
    return call_policy(k.param.policy_isolate, k.page[page], k.policy_ctx[CTX_ISOLATE], k.task[t].sc_priority)


@kfn
def judge_dirty_page(k, t, page):
    """dirty_page: may reclaim write this dirty page itself? Not 0: yes."""
    return call_policy(k.param.policy_dirty_page, k.page[page], k.policy_ctx[CTX_DIRTY_PAGE], k.task[t].sc_priority)


@kfn
def choose_inode(k, t, bdi):
    """next_inode: the inode of b_io that the policy values highest; among equals the one the kernel would take."""
    best, best_value = NIL, 0
    inode = k.bdi[bdi].b_io_tail
    ctx = k.policy_ctx[CTX_NEXT_INODE]
    while inode != NIL:
        age_ms = (now_of(k, t) - k.inode[inode].dirtied_when) // NS_PER_MS
        value = call_policy(k.param.policy_next_inode, k.inode[inode], ctx, age_ms)
        if best == NIL or value > best_value:
            best, best_value = inode, value
        inode = k.inode[inode].list_prev
    return best


@kfn
def _look_around(k, bdi):
    view = k.policy_view
    view.nr_dirty, view.nr_writeback, view.nr_free = k.vm.nr_dirty, k.vm.nr_writeback, k.vm.nr_free_pages
    view.background_limit, view.dirty_limit = background_threshold(k, -1), dirty_threshold(k, -1)
    view.bdi_dirty, view.bdi_writeback, view.bdi_limit = 0, 0, 0
    view.nr_scanned, view.nr_reclaimed = 0, 0
    if bdi != NIL:
        view.bdi_dirty, view.bdi_writeback = k.bdi[bdi].reclaimable, k.bdi[bdi].writeback


@kfn
def holds_writer(k, t, bdi, bdi_limit):
    """throttle: is a writer to this device to be held now? Asked before the kernel's own test. Not 0: yes."""
    _look_around(k, bdi)
    view = k.policy_view
    view.bdi_limit = bdi_limit
    return call_policy(k.param.policy_throttle, view, k.policy_ctx[CTX_THROTTLE], k.task[t].throttle_count)


@kfn
def pages_to_ask_for(k, t, nr_scanned):
    """wake_flushers: how many pages to ask every flusher for after a pass of direct reclaim; 0 or less: do not."""
    _look_around(k, NIL)
    view = k.policy_view
    view.nr_scanned, view.nr_reclaimed = nr_scanned, k.task[t].sc_reclaimed
    return call_policy(k.param.policy_wake_flushers, view, k.policy_ctx[CTX_WAKE_FLUSHERS], k.task[t].sc_priority)
