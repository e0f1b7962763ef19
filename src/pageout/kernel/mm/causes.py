# SPDX-License-Identifier: GPL-2.0-or-later
"""Why reclaim wrote a page, why a task entered direct reclaim: what is known at that moment, counted by cause.

Each page and each direct reclaim gets exactly one cause, the first in the order below that holds, and all the facts
that hold beside it. Order is to blame when the flusher works and the page it took last is younger than this one; the
device only if the flusher is still at older pages. The candidates are those of the April 2010 discussion (Morton's
question: why does reclaim meet so many dirty pages?). Nothing here changes what the machine does.
"""

from pageout.engine.clock import now_of
from pageout.engine.constants import (
    ENGINE_NODE,
    LIST_DIRTY,
    LIST_IO,
    LIST_MORE_IO,
    LIST_NONE,
    NIL,
    NS_PER_MS,
    NS_PER_S,
    PG_SWAPBACKED,
    PG_WRITTEN,
    T_SLEEPING,
)
from pageout.engine.kstack import frame_of
from pageout.jit import kfn
from pageout.kernel.frames import FN
from pageout.kernel.mm.buddy import zone_of, zone_watermark_ok
from pageout.kernel.mm.dirty_limits import background_threshold, dirtyable_pages
from pageout.kernel.mm.lru_balance import nr_on, reclaimable_pages

# Causes of a page written by reclaim, in the order in which they are tried
CAUSE_SWAP, CAUSE_REDIRTIED, CAUSE_ZONE, CAUSE_FILE_ORDER, CAUSE_INODE_AGE = 0, 1, 2, 3, 4
CAUSE_INODE_QUEUE, CAUSE_BACKGROUND, CAUSE_DEVICE, CAUSE_UNKNOWN = 5, 6, 7, 8
CAUSE_CLUSTERED = 9  # not asked for: the filesystem wrote it with a neighbour that was
# Causes of a direct reclaim, likewise
RECLAIM_FRAGMENTED, RECLAIM_EXHAUSTED, RECLAIM_BURST, RECLAIM_KSWAPD_DEVICE = 16, 17, 18, 19
RECLAIM_KSWAPD_WAITS, RECLAIM_DIRTY_TAIL, RECLAIM_OUTRUN = 20, 21, 22
NR_CAUSES = 24

# Facts about a written page; any number of them may hold
FACT_REDIRTIED, FACT_ZONE, FACT_BELOW_BACKGROUND, FACT_INODE_RESTAMPED, FACT_DEVICE_BUSY = 1, 2, 4, 8, 16
FACT_BEING_WRITTEN, FACT_QUEUED_BEHIND, FACT_FLUSHER_IDLE, FACT_EXPIRED, FACT_YOUNG = 32, 64, 128, 256, 512
FACT_YOUNGER_FIRST = 1024
NR_FACTS = 11

EXAMPLES = 4  # kept for each cause: the first, and the latest whose number is a power of two
MAX_AHEAD = 1024  # inodes counted at most
AGE_BUCKETS = 40  # log2 of milliseconds
BURST_NS = 100 * NS_PER_MS  # kswapd awake for less than its own nap, HZ/10, when the task came to the min mark
KSWAPD = 0  # its task number
TABLE_SIZES = {"cause": NR_CAUSES, "fact": NR_FACTS, "cause_age": AGE_BUCKETS, "example": NR_CAUSES * EXAMPLES}


@kfn
def inodes_ahead(k, inode):
    """Inodes that the flusher serves before this one: those nearer the tail of b_io, then b_more_io, then b_dirty.

    At most MAX_AHEAD are counted.
    """
    device = k.bdi[k.inode[inode].bdi]
    kind = k.inode[inode].list_kind
    n = 0
    for which in range(3):
        at, here = device.b_io_tail, LIST_IO
        if which == 1:
            at, here = device.b_more_io_tail, LIST_MORE_IO
        elif which == 2:
            at, here = device.b_dirty_tail, LIST_DIRTY
        while at != NIL and n < MAX_AHEAD:
            if at == inode:
                return n
            n += 1
            at = k.inode[at].list_prev
        if kind == here:
            return n
    return n


@kfn
def _zone_over_its_share(k, page, background):
    """Is the page's zone dirty far beyond the rest?

    That is: more than 1.5 times the share the whole machine has, and more than the zone's part of the threshold.
    """
    zone = zone_of(k, page)
    own = k.zone[zone].nr_free + nr_on(k, zone, 2) + nr_on(k, zone, 3) + 1
    if k.param.reclaim_engine == ENGINE_NODE:
        own = k.zone[zone].nr_free + k.zone[zone].lru_file + 1
    everywhere = dirtyable_pages(k)
    dirty = k.zone[zone].nr_dirty
    return dirty * 2 * everywhere > k.vm.nr_dirty * 3 * own and dirty * everywhere > background * own


@kfn
def _device_busy(k, bdi):
    """At least half of the requests that writes may hold are taken."""
    q = k.queue[k.bdi[bdi].queue]
    return 2 * q.count_write >= q.nr_requests


@kfn
def _flusher_idle(k, bdi):
    device = k.bdi[bdi]
    if device.flusher == NIL:
        return True
    return device.work_head == NIL and k.task[device.flusher].depth == 0 and k.task[device.flusher].state == T_SLEEPING


@kfn
def _facts_of(k, t, page, age_ms):
    pg = k.page[page]
    file = k.inode[pg.mapping]
    background = background_threshold(k, -1)
    facts = 0
    if pg.pflags & PG_WRITTEN:
        facts |= FACT_REDIRTIED
    if _zone_over_its_share(k, page, background):
        facts |= FACT_ZONE
    if k.vm.nr_dirty < background:
        facts |= FACT_BELOW_BACKGROUND
    if file.dirtied_when // NS_PER_MS - pg.dirtied_when > k.param.dirty_writeback_ns // NS_PER_MS:
        facts |= FACT_INODE_RESTAMPED
    if _device_busy(k, file.bdi):
        facts |= FACT_DEVICE_BUSY
    if file.istate & 128:
        facts |= FACT_BEING_WRITTEN
    if _flusher_idle(k, file.bdi):
        facts |= FACT_FLUSHER_IDLE
    elif k.bdi[file.bdi].flushed_dirtied_ms > pg.dirtied_when:
        facts |= FACT_YOUNGER_FIRST
    if age_ms * NS_PER_MS > k.param.dirty_expire_ns:
        facts |= FACT_EXPIRED
    if age_ms * NS_PER_MS < NS_PER_S:
        facts |= FACT_YOUNG
    return facts


@kfn
def _first_cause(facts):
    if facts & FACT_REDIRTIED:
        return CAUSE_REDIRTIED
    if facts & FACT_ZONE:
        return CAUSE_ZONE
    if facts & FACT_YOUNGER_FIRST:
        if facts & FACT_BEING_WRITTEN:
            return CAUSE_FILE_ORDER
        return CAUSE_INODE_AGE if facts & FACT_INODE_RESTAMPED else CAUSE_INODE_QUEUE
    if facts & FACT_BELOW_BACKGROUND and not facts & FACT_EXPIRED:
        return CAUSE_BACKGROUND
    if facts & FACT_DEVICE_BUSY:
        return CAUSE_DEVICE
    return CAUSE_UNKNOWN


@kfn
def _log2(value):
    bits = 0
    while value > 0:
        value >>= 1
        bits += 1
    return bits if bits < AGE_BUCKETS else AGE_BUCKETS - 1


@kfn
def _count(k, t, cause, direct, amount, ahead):
    """Count one case. Returns the place for its example, NIL if it is not to be kept."""
    row = k.cause[cause]
    row.nr += 1
    row.nr_direct += direct
    row.total += amount
    row.total_ahead += ahead
    if amount > row.largest:
        row.largest = amount
    n = row.nr
    if n == 1:
        place = 0
    elif n & (n - 1) == 0:
        place = 1 + _log2(n) % (EXAMPLES - 1)
    else:
        return NIL
    example = k.example[cause * EXAMPLES + place]
    example.time_ns, example.pid, example.number = now_of(k, t), k.task[t].pid, n
    return cause * EXAMPLES + place


@kfn
def note_reclaim_write(k, t, page):
    """Reclaim asks for this page to be written (its dirty mark still set): keep what is known of it here and now."""
    task, pg = k.task[t], k.page[page]
    task.wr_page, task.wr_facts, task.wr_age_ms, task.wr_ahead = page, 0, 0, 0
    if pg.pflags & PG_SWAPBACKED:
        return
    task.wr_age_ms = now_of(k, t) // NS_PER_MS - pg.dirtied_when
    task.wr_facts = _facts_of(k, t, page, task.wr_age_ms)
    if k.inode[pg.mapping].list_kind != LIST_NONE:
        task.wr_ahead = inodes_ahead(k, pg.mapping)
        if task.wr_ahead > 0:
            task.wr_facts |= FACT_QUEUED_BEHIND


@kfn
def forget_reclaim_write(k, t):
    """The filesystem has refused the page that reclaim asked for: it was not written."""
    k.task[t].wr_page = NIL


@kfn
def count_reclaim_write(k, t, direct):
    """The page that reclaim asked for is submitted: count why it was dirty when reclaim met it."""
    task = k.task[t]
    page, facts, age_ms, ahead = task.wr_page, task.wr_facts, task.wr_age_ms, task.wr_ahead
    if page == NIL:
        return
    task.wr_page = NIL
    pg = k.page[page]
    if pg.pflags & PG_SWAPBACKED:
        _count(k, t, CAUSE_SWAP, direct, 0, 0)
        return
    for i in range(NR_FACTS):
        if facts >> i & 1:
            k.fact[i] += 1
    k.cause_age[_log2(age_ms)] += 1
    cause = _first_cause(facts)
    place = _count(k, t, cause, direct, age_ms, ahead)
    if place != NIL:
        example = k.example[place]
        example.page, example.inode, example.index = page, pg.mapping, pg.index
        example.age_ms, example.ahead, example.facts, example.zone = age_ms, ahead, facts, zone_of(k, page)
        example.order = 0


@kfn
def note_clustered(k, submitter, nr_pages):
    """Pages that go along with one that reclaim wants; no facts about them are kept."""
    row = k.cause[CAUSE_CLUSTERED]
    row.nr += nr_pages
    if submitter == 0:
        row.nr_direct += nr_pages


@kfn
def _kswapd_cause(k):
    """What kswapd is at while a task has to reclaim for itself."""
    if k.stat.now_ns - k.stat.kswapd_woken_ns < BURST_NS:
        return RECLAIM_BURST
    if k.task[KSWAPD].state == T_SLEEPING:
        fn = frame_of(k, KSWAPD).fn
        if fn == FN.get_request_wait or fn == FN.wait_on_page:
            return RECLAIM_KSWAPD_DEVICE
        if fn == FN.congestion_wait or fn == FN.wait_iff_congested:
            return RECLAIM_KSWAPD_WAITS
    scanned = k.stat.scanned_kswapd - k.stat.kswapd_scanned_before
    reclaimed = k.stat.reclaimed_kswapd - k.stat.kswapd_reclaimed_before
    return RECLAIM_DIRTY_TAIL if scanned > 2 * reclaimed else RECLAIM_OUTRUN


@kfn
def note_direct_reclaim(k, t, order):
    """A task enters direct reclaim: say why memory was short, or in pieces."""
    zone = k.param.nr_zones - 1
    reclaimable = 0
    for z in range(k.param.nr_zones):
        reclaimable += reclaimable_pages(k, z)
    if order > 0 and zone_watermark_ok(k, zone, 0, k.zone[zone].wmark_min, zone, 0):
        cause = RECLAIM_FRAGMENTED
    elif reclaimable < 32:
        cause = RECLAIM_EXHAUSTED
    else:
        cause = _kswapd_cause(k)
    awake_ms = (k.stat.now_ns - k.stat.kswapd_woken_ns) // NS_PER_MS
    place = _count(k, t, cause, 1, awake_ms, 0)
    if place != NIL:
        example = k.example[place]
        example.page, example.inode, example.index = NIL, NIL, NIL
        example.age_ms, example.ahead, example.facts = awake_ms, 0, 0
        example.zone, example.order = zone, order
