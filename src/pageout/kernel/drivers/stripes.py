# SPDX-License-Identifier: GPL-2.0-or-later
"""The stripe cache of a RAID5, as far as it never sleeps: finding, holding and releasing stripes, where blocks lie.

A stripe is one page of each member at the same place; 256 of them, kept with what they hold (Linux's stripe_head).
Source: Linux v2.6.34 drivers/md/raid5.c. Left out: failed members, resync, reshape, the write-intent bitmap, barriers.
"""

from pageout.engine.clock import post
from pageout.engine.constants import EV_UNPLUG, NIL
from pageout.engine.waitqueue import wake_all
from pageout.jit import kfn

INACTIVE, HANDLE, DELAYED, HOLD, NR_STRIPE_LISTS = 0, 1, 2, 3, 4
NR_STRIPES = 256
BYPASS_THRESHOLD = 1
WANT_NOTHING, WANT_READ, WANT_WRITE = 0, 1, 2
PLUG_NS = 3_000_000


@kfn
def raid5_parity(q, block):
    """Member that holds the parity of a stripe: left-symmetric, md's default. `block` is the member's."""
    return q.nr_members - 1 - block // q.chunk_pages % q.nr_members


@kfn
def raid5_map(q, block):
    """Return (member, its block) of a block of the array. Source: raid5_compute_sector, ALGORITHM_LEFT_SYMMETRIC."""
    data = q.nr_members - 1
    chunk = block // q.chunk_pages
    place = chunk // data * q.chunk_pages + block % q.chunk_pages
    member = (raid5_parity(q, place) + 1 + chunk % data) % q.nr_members
    return member, place


@kfn
def page_of(k, stripe, i):
    """Row in `stripe_page` of a stripe's i-th member."""
    q = k.queue[k.stripe[stripe].queue]
    first = (stripe - q.stripe_start) * q.nr_members
    return q.page_start + first + i


@kfn
def _list_add(k, queue, which, stripe):
    s = k.stripe[stripe]
    ends = k.stripe_list[k.queue[queue].stripe_list + which]
    s.which, s.next, s.prev = which, NIL, ends.tail
    if ends.tail == NIL:
        ends.head = stripe
    else:
        k.stripe[ends.tail].next = stripe
    ends.tail = stripe


@kfn
def _list_del(k, stripe):
    s = k.stripe[stripe]
    if s.which == NIL:
        return
    ends = k.stripe_list[k.queue[s.queue].stripe_list + s.which]
    if s.prev == NIL:
        ends.head = s.next
    else:
        k.stripe[s.prev].next = s.next
    if s.next == NIL:
        ends.tail = s.prev
    else:
        k.stripe[s.next].prev = s.prev
    s.which, s.next, s.prev = NIL, NIL, NIL


@kfn
def _first(k, queue, which):
    return k.stripe_list[k.queue[queue].stripe_list + which].head


@kfn
def _chain_of(q, block):
    return q.stripe_hash + block % q.nr_stripes


@kfn
def _find(k, queue, block):
    stripe = k.stripe_hash[_chain_of(k.queue[queue], block)]
    while stripe != NIL and k.stripe[stripe].block != block:
        stripe = k.stripe[stripe].hash_next
    return stripe


@kfn
def _unhash(k, stripe):
    s = k.stripe[stripe]
    if s.block == NIL:
        return
    chain = _chain_of(k.queue[s.queue], s.block)
    at = k.stripe_hash[chain]
    if at == stripe:
        k.stripe_hash[chain] = s.hash_next
        return
    while k.stripe[at].hash_next != stripe:
        at = k.stripe[at].hash_next
    k.stripe[at].hash_next = s.hash_next


@kfn
def _init_stripe(k, queue, stripe, block):
    """Use a stripe for another place: nothing of its old content is kept."""
    q = k.queue[queue]
    s = k.stripe[stripe]
    _unhash(k, stripe)
    s.block, s.parity, s.failed, s.io_started = block, raid5_parity(q, block), 0, 0
    s.hash_next = k.stripe_hash[_chain_of(q, block)]
    k.stripe_hash[_chain_of(q, block)] = stripe
    for i in range(q.nr_members):
        k.stripe_page[page_of(k, stripe, i)].uptodate = 0


@kfn
def get_stripe(k, queue, block):
    """Hold the stripe of a member's block; NIL if there is none to spare and the caller must wait.

    Source: Linux v2.6.34 drivers/md/raid5.c:get_active_stripe. Once it ran dry, nobody gets a new stripe until a
    quarter is free.
    """
    q = k.queue[queue]
    stripe = _find(k, queue, block)
    if stripe == NIL:
        stripe = _first(k, queue, INACTIVE)
        if stripe == NIL or (q.inactive_blocked and q.active_stripes >= q.nr_stripes * 3 // 4):
            q.inactive_blocked = 1
            return NIL
        q.inactive_blocked = 0
        _list_del(k, stripe)
        q.active_stripes += 1
        _init_stripe(k, queue, stripe, block)
    elif k.stripe[stripe].refs == 0:
        if not k.stripe[stripe].handle:
            q.active_stripes += 1
        _list_del(k, stripe)
    k.stripe[stripe].refs += 1
    return stripe


@kfn
def release_stripe(k, stripe):
    """Let a stripe go: to the thread if there is something to do, back to the cache if not.

    Source: Linux v2.6.34 drivers/md/raid5.c:__release_stripe.
    """
    s = k.stripe[stripe]
    q = k.queue[s.queue]
    s.refs -= 1
    if s.refs > 0:
        return
    if s.handle:
        _list_add(k, s.queue, DELAYED if s.delayed else HANDLE, stripe)
        if s.delayed:
            _plug(k, s.queue)
        wake_all(k, q.worker_wait)
        return
    if s.preread:
        s.preread = 0
        q.preread_active -= 1
        if q.preread_active == 0:
            wake_all(k, q.worker_wait)
    s.io_started = 0
    q.active_stripes -= 1
    _list_add(k, s.queue, INACTIVE, stripe)
    wake_all(k, q.submit_wait)


@kfn
def _plug(k, queue):
    """Partial writes wait for more of their stripe, until the plug is pulled: by its timer, or by one who waits."""
    q = k.queue[queue]
    if not q.plugged:
        q.plugged = 1
        q.plug_gen += 1
        ticks = (PLUG_NS + k.param.jiffy_ns - 1) // k.param.jiffy_ns
        post(k, (k.stat.now_ns // k.param.jiffy_ns + ticks) * k.param.jiffy_ns, EV_UNPLUG, queue, q.plug_gen)


@kfn
def raid5_unplug(k, queue):
    """Pull the plug: delayed stripes may read what they lack. Source: raid5_unplug_device, raid5_activate_delayed."""
    q = k.queue[queue]
    if q.plugged:
        q.plugged = 0
        if q.preread_active == 0:
            while _first(k, queue, DELAYED) != NIL:
                stripe = _first(k, queue, DELAYED)
                _list_del(k, stripe)
                k.stripe[stripe].delayed = 0
                if not k.stripe[stripe].preread:
                    k.stripe[stripe].preread = 1
                    q.preread_active += 1
                _list_add(k, queue, HOLD, stripe)
        elif _first(k, queue, DELAYED) != NIL:
            _plug(k, queue)
    wake_all(k, q.worker_wait)


@kfn
def next_stripe(k, queue):
    """The stripe to handle next, held; NIL if there is none. Full stripes go first, prereading ones wait for them.

    Source: Linux v2.6.34 drivers/md/raid5.c:__get_priority_stripe.
    """
    q = k.queue[queue]
    stripe, held = _first(k, queue, HANDLE), _first(k, queue, HOLD)
    if stripe != NIL:
        if held == NIL:
            q.bypass_count = 0
        elif not k.stripe[stripe].io_started:
            if held == q.last_hold:
                q.bypass_count += 1
            else:
                q.last_hold = held
                q.bypass_count = q.bypass_count - BYPASS_THRESHOLD if q.bypass_count > BYPASS_THRESHOLD else 0
    elif held != NIL and (q.bypass_count > BYPASS_THRESHOLD or q.pending_full == 0):
        stripe = held
        q.bypass_count = q.bypass_count - BYPASS_THRESHOLD if q.bypass_count > BYPASS_THRESHOLD else 0
    else:
        return NIL
    _list_del(k, stripe)
    k.stripe[stripe].refs += 1
    return stripe


@kfn
def stripe_io_done(k, stripe, member, failed):
    """A member has read or written its page of the stripe; the thread goes on with it."""
    s = k.stripe[stripe]
    page = k.stripe_page[page_of(k, stripe, member - k.queue[s.queue].member_start)]
    if page.want == WANT_READ:
        page.uptodate = 1
    page.want = WANT_NOTHING
    s.failed += failed
    s.locked -= 1
    s.handle = 1
    release_stripe(k, stripe)


@kfn
def _needs(k, stripe, i, for_rmw):
    """Would the i-th page have to be read: for a read-modify-write, or for computing parity from all data?"""
    s = k.stripe[stripe]
    page = k.stripe_page[page_of(k, stripe, i)]
    if page.uptodate:
        return False
    if for_rmw:
        return page.towrite != NIL or i == s.parity
    return page.towrite == NIL and i != s.parity


@kfn
def choose_write(k, stripe):
    """Decide how a stripe with writes waiting gets its parity: reads first, by whichever way reads less, or write now.

    Marks what is to be read or written (stripe_page.want) and counts it in `locked`. Returns 1 when it writes.
    Source: Linux v2.6.34 drivers/md/raid5.c:handle_stripe_dirtying5, schedule_reconstruction.
    """
    s = k.stripe[stripe]
    q = k.queue[s.queue]
    rmw, rcw = 0, 0
    for i in range(q.nr_members):
        rmw += 1 if _needs(k, stripe, i, 1) else 0
        rcw += 1 if _needs(k, stripe, i, 0) else 0
    if rmw == 0 or rcw == 0:
        _write_out(k, stripe)
        return 1
    s.handle = 1
    if not s.preread:
        s.delayed = 1
        return 0
    for_rmw = 1 if rmw < rcw else 0
    for i in range(q.nr_members):
        if _needs(k, stripe, i, for_rmw):
            k.stripe_page[page_of(k, stripe, i)].want = WANT_READ
            s.locked += 1
            q.rmw_reads += 1
    return 0


@kfn
def _write_out(k, stripe):
    """Take the waiting bios' pages in, compute the parity: these pages are to be written."""
    s = k.stripe[stripe]
    q = k.queue[s.queue]
    s.writing, s.failed = 1, 0
    for i in range(q.nr_members):
        page = k.stripe_page[page_of(k, stripe, i)]
        if page.towrite != NIL or i == s.parity:
            page.written, page.towrite, page.uptodate, page.want = page.towrite, NIL, 1, WANT_WRITE
            s.locked += 1
    s.nr_towrite = 0
    if s.locked == q.nr_members:
        s.full = 1
        q.pending_full += 1
    wake_all(k, q.submit_wait)


@kfn
def end_full_write(k, stripe):
    """A full stripe is on the disks: prereading ones may go once there is none left."""
    s = k.stripe[stripe]
    if s.full:
        q = k.queue[s.queue]
        s.full = 0
        q.pending_full -= 1
        if q.pending_full == 0:
            wake_all(k, q.worker_wait)
