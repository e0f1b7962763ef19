# SPDX-License-Identifier: GPL-2.0-or-later
"""kcompactd: compacts for an order that kswapd or the allocator noted, and twice a second where memory is in pieces.

Source: Linux v6.1 mm/compaction.c:kcompactd, kcompactd_do_work, proactive_compact_node, should_proactive_compact_node.
Differs: vm.compaction_proactiveness is 20.
"""

from pageout.engine.constants import MIGRATE_UNMOVABLE, WQ_KCOMPACTD
from pageout.engine.kstack import call
from pageout.engine.waitqueue import sleep_on
from pageout.jit import kfn
from pageout.kernel.frames import FN
from pageout.kernel.mm.buddy import drain_all_pages
from pageout.kernel.mm.compact_zone import PROACTIVE_HIGH, kswapd_is_running, node_score
from pageout.kernel.mm.compaction import (
    COMPLETE,
    CONTINUE,
    MAX_DEFER_SHIFT,
    MODE_PROACTIVE,
    MODE_SYNC,
    MODE_WHOLE,
    PARTIAL,
    SUCCESS,
    compaction_defer_reset,
    compaction_deferred,
    compaction_suitable,
    defer_compaction,
)

CHECK_MS = 500  # HPAGE_FRAG_CHECK_INTERVAL_MSEC


@kfn
def kcompactd(k, t, f):
    """The thread. f.order: what it works for; f.zone: where it is; f.total: the score before; f.count: its back-off.

    f.stage: 0 asleep, 1 at work for an order, 2 of its own accord.  Sleeps: yes.
    """
    WAITED, COMPACTED = 1, 2
    node = k.node
    if f.pc == COMPACTED:
        _after_zone(k, t, f, k.task[t].retval)
    elif f.pc == WAITED and node.kcompactd_max_order == 0:
        f.count = 0
        if k.param.compaction and not kswapd_is_running(k) and node_score(k) > PROACTIVE_HIGH:
            f.stage, f.zone, f.total = 2, -1, node_score(k)
    if f.stage == 0 and node.kcompactd_max_order > 0:
        f.stage, f.zone, f.order, f.count = 1, -1, node.kcompactd_max_order, 0
        node.compact_daemon_wake += 1
    if f.stage > 0 and _to_next_zone(k, f):
        if f.stage == 1:
            return call(k, t, f, FN.compact_zone, COMPACTED, f.zone, f.order, MODE_SYNC | MIGRATE_UNMOVABLE)
        how = MODE_SYNC | MODE_WHOLE | MODE_PROACTIVE | MIGRATE_UNMOVABLE
        return call(k, t, f, FN.compact_zone, COMPACTED, f.zone, -1, how)
    if f.stage == 1 and node.kcompactd_max_order <= f.order:
        node.kcompactd_max_order = 0
    elif f.stage == 2 and node_score(k) >= f.total:
        f.count = MAX_DEFER_SHIFT
    f.stage = 0
    f.pc = WAITED
    wait = 0 if not k.param.compaction else max(CHECK_MS * k.param.hz // 1000, 1) << f.count
    return sleep_on(k, t, WQ_KCOMPACTD, wait, 0)


@kfn
def _to_next_zone(k, f):
    """Go on to the next zone that is to be compacted, from the lowest. False: there is none."""
    f.zone += 1
    while f.zone < k.param.nr_zones:
        if f.stage == 2:
            return True
        if not compaction_deferred(k, f.zone, f.order) and compaction_suitable(k, f.zone, f.order) == CONTINUE:
            return True
        f.zone += 1
    return False


@kfn
def _after_zone(k, t, f, status):
    if f.stage != 1:
        return
    if status == SUCCESS:
        compaction_defer_reset(k, f.zone, f.order, False)
    elif status == PARTIAL or status == COMPLETE:
        drain_all_pages(k, t)
        defer_compaction(k, f.zone, f.order)
