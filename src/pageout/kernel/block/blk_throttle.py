# SPDX-License-Identifier: GPL-2.0-or-later
"""blk-throttle: limits of bytes and of requests a second, kept in slices of jiffies, one group a device.

A bio that is over a limit waits here: it holds no tag and its submitter goes on. A timer lets bios go, a thread sends
them to the queue. A bio is counted whole, before it is cut into requests; of its parts only requests are counted again.
Source: Linux v6.1 and v6.18 block/blk-throttle.c (tg_within_bps_limit, tg_within_iops_limit, throtl_trim_slice,
throtl_dispatch_tg, tg_update_disptime).
Left out: groups below the root; limits changed while bios wait (and the carry-over for them); .low limits. Differs from
v6.16 on: with both limits set, bios past the first and short of the second stay in the one queue.
"""

from pageout.engine.clock import jiffies_of, post, wheel
from pageout.engine.constants import EV_THROTTLE, LIMIT_SLICES, NIL, READ, RULES_LINE, RULES_SPARE, WRITE
from pageout.engine.waitqueue import wake_one
from pageout.jit import kfn
from pageout.kernel.block.request import clock_of

READS_A_ROUND, WRITES_A_ROUND = 6, 2  # three quarters of 8 are for reads
MAX_SLICES = 8  # the timer never lies further ahead
COUNTED, PASSED = 2, 1  # values of bio.throttled: its bytes are counted; it has been let go
PAGE_BYTES = 4096


@kfn
def _bps(q, direction):
    return q.write_bps if direction == WRITE else q.read_bps


@kfn
def _iops(q, direction):
    return q.write_iops if direction == WRITE else q.read_iops


@kfn
def _round_up(value, step):
    return (value + step - 1) // step * step


@kfn
def _slice_used(g, now):
    return now < g.start or now > g.end


@kfn
def _extend_slice(g, until, slice_jiffies):
    if g.end < until:
        g.end = _round_up(until, slice_jiffies)


@kfn
def _renew_slice(g, now, slice_jiffies):
    """A slice that is over begins anew if nothing waits; otherwise it goes on for one slice at least."""
    if _slice_used(g, now) and g.nr == 0:
        g.bytes, g.ios, g.start, g.end = 0, 0, now, now + slice_jiffies
    else:
        _extend_slice(g, now + slice_jiffies, slice_jiffies)


@kfn
def bps_wait(g, size, bps, hz, now, slice_jiffies):
    """Jiffies until a bio of `size` bytes is within the limit, 0: now."""
    elapsed = now - g.start
    window = _round_up(elapsed if elapsed > 0 else slice_jiffies, slice_jiffies)
    over = g.bytes + size - bps * window // hz
    if over <= 0:
        return 0
    wait = over * hz // bps
    return (wait if wait > 0 else 1) + window - elapsed


@kfn
def iops_wait(g, iops, hz, now, slice_jiffies, spare):
    """Jiffies until one more request is within the limit, 0: now."""
    elapsed = now - g.start
    window = _round_up(elapsed + 1, slice_jiffies)
    if g.ios + 1 <= iops * window // hz:
        return 0
    wait = window - elapsed
    if spare and wait < hz // iops + 1:
        wait = hz // iops + 1
    return wait


@kfn
def _dispatch_wait(k, queue, direction, bio, now):
    """Jiffies until the bio may go. The slice is renewed, and stretched to when that will be."""
    q, g, b = k.queue[queue], k.throtl[2 * queue + direction], k.bio[bio]
    bps, iops, spare = _bps(q, direction), _iops(q, direction), k.param.throttle_rules == RULES_SPARE
    wait = 0
    _renew_slice(g, now, q.slice_jiffies)
    if bps > 0 and b.throttled == 0:
        wait = bps_wait(g, b.nr_pages * PAGE_BYTES, bps, k.param.hz, now, q.slice_jiffies)
    if spare and wait == 0:
        _count_bytes(g, b)
    if iops > 0 and (wait == 0 or not spare):
        requests = iops_wait(g, iops, k.param.hz, now, q.slice_jiffies, spare)
        if requests > wait:
            wait = requests
    _extend_slice(g, now + wait, q.slice_jiffies)
    return wait


@kfn
def _count_bytes(g, b):
    if b.throttled == 0:
        g.bytes += b.nr_pages * PAGE_BYTES
        b.throttled = COUNTED


@kfn
def _charge(k, queue, direction, bio, now):
    """A bio goes: count it, then forget the slices that are behind."""
    g, b = k.throtl[2 * queue + direction], k.bio[bio]
    _count_bytes(g, b)
    b.throttled = PASSED
    g.ios += 1
    _trim_slice(k, queue, direction, now)


@kfn
def _trim_slice(k, queue, direction, now):
    """Move the slice's start up to now in whole slices, less what they allowed.

    Since v6.15 one of them stays as a spare: what a late timer did not use is not lost.
    """
    q, g = k.queue[queue], k.throtl[2 * queue + direction]
    step, spare = q.slice_jiffies, k.param.throttle_rules == RULES_SPARE
    if _slice_used(g, now):
        return
    g.end = _round_up(now + step, step)
    elapsed = (now - g.start) // step * step
    if spare:
        elapsed -= step
    if elapsed <= 0:
        return
    nr_bytes = _trimmed(g.bytes, _bps(q, direction), elapsed, k.param.hz, spare)
    nr_ios = _trimmed(g.ios, _iops(q, direction), elapsed, k.param.hz, spare)
    if nr_bytes == 0 and nr_ios == 0:
        return
    g.bytes -= nr_bytes if nr_bytes < g.bytes else g.bytes
    g.ios -= nr_ios if nr_ios < g.ios else g.ios
    g.start += elapsed


@kfn
def _trimmed(used, rate, elapsed, hz, spare):
    """What goes with the slices cut off. Since v6.15: nothing without a limit, all if the slices allowed none."""
    allowed = rate * elapsed // hz
    if spare and rate == 0:
        return 0
    if spare and (allowed == 0 or used < allowed):
        return used
    return allowed


@kfn
def is_throttled(k, t, queue, bio):
    """A bio comes: True if it has to wait in the throttle, which has it then. One let go before pays for its parts.

    Since v6.12 metadata and swap pass at once, and what follows pays for them.
    """
    q, b = k.queue[queue], k.bio[bio]
    direction = b.is_write
    if q.limit != LIMIT_SLICES:
        return False
    if _iops(q, direction) == 0 and (_bps(q, direction) == 0 or b.throttled == PASSED):
        return False
    g = k.throtl[2 * queue + direction]
    now = jiffies_of(k, clock_of(k, t))
    if b.throttled == PASSED:
        b.throttled = COUNTED
    if g.nr == 0 and _dispatch_wait(k, queue, direction, bio, now) == 0:
        _charge(k, queue, direction, bio, now)
        return False
    if b.meta and k.param.throttle_rules != RULES_LINE:
        _count_bytes(g, b)
        b.throttled = PASSED
        g.ios += 1
        return False
    b.next = NIL
    if g.nr == 0:
        g.head = bio
    else:
        k.bio[g.tail].next = bio
    g.tail = bio
    g.nr += 1
    if g.nr == 1:
        _arm(k, queue, now, _dispatch_time(k, queue, now))
    return True


@kfn
def _dispatch_time(k, queue, now):
    """When the first bio of either direction may go; NIL if none waits."""
    best = NIL
    for direction in range(READ, WRITE + 1):
        g = k.throtl[2 * queue + direction]
        if g.nr > 0:
            at = now + _dispatch_wait(k, queue, direction, g.head, now)
            if best == NIL or at < best:
                best = at
    return best


@kfn
def _arm(k, queue, now, when):
    """Set the queue's timer, at most eight slices ahead; it takes the place of the one set before."""
    q = k.queue[queue]
    latest = now + MAX_SLICES * q.slice_jiffies
    q.throttle_gen += 1
    tick = wheel(now, when if when < latest else latest)
    post(k, tick * k.param.jiffy_ns, EV_THROTTLE, queue, q.throttle_gen)


@kfn
def _let_go(k, queue, direction, most, now):
    """Let bios of one direction go that are within the limits, at most so many. Returns how many."""
    g = k.throtl[2 * queue + direction]
    n = 0
    while n < most and g.nr > 0 and _dispatch_wait(k, queue, direction, g.head, now) == 0:
        bio = g.head
        g.head = k.bio[bio].next
        g.nr -= 1
        k.bio[bio].next = NIL
        _charge(k, queue, direction, bio, now)
        if g.nr_ready == 0:
            g.ready_head = bio
        else:
            k.bio[g.ready_tail].next = bio
        g.ready_tail = bio
        g.nr_ready += 1
        n += 1
    return n


@kfn
def throttle_timer(k, queue, gen):
    """The timer: let go what is due, set it again for the rest. Source: throtl_pending_timer_fn."""
    q = k.queue[queue]
    if gen != q.throttle_gen:
        return
    now = jiffies_of(k, k.stat.now_ns)
    gone = 0
    when = _dispatch_time(k, queue, now)
    while when != NIL and when <= now:
        gone += _let_go(k, queue, READ, READS_A_ROUND, now)
        gone += _let_go(k, queue, WRITE, WRITES_A_ROUND, now)
        when = _dispatch_time(k, queue, now)
    if when != NIL:
        _arm(k, queue, now, when)
    if gone > 0:
        wake_one(k, q.throttle_wait)


@kfn
def take_ready(k, queue):
    """What the thread sends on: all bios let go, reads first, as one chain; NIL if there are none."""
    first = NIL
    last = NIL
    for direction in range(READ, WRITE + 1):
        g = k.throtl[2 * queue + direction]
        if g.nr_ready > 0:
            if first == NIL:
                first = g.ready_head
            else:
                k.bio[last].next = g.ready_head
            last = g.ready_tail
            g.nr_ready = 0
    return first
