# SPDX-License-Identifier: GPL-2.0-or-later
"""RAID5 where it sleeps: submitters waiting for a stripe, and the mdX_raid5 thread that handles stripes.

Source: Linux v2.6.34 drivers/md/raid5.c.
"""

from pageout.engine.clock import out_of_slice, spend
from pageout.engine.constants import END_STRIPE, ENTRY, NIL, YIELD
from pageout.engine.kstack import call, ret
from pageout.engine.waitqueue import sleep_on
from pageout.jit import kfn
from pageout.kernel.block.bio import bio_for_member
from pageout.kernel.block.blk_core import request_unplug
from pageout.kernel.block.endio import bio_put
from pageout.kernel.costs import STRIPE_NS, XOR_NS
from pageout.kernel.drivers.stripes import (
    WANT_NOTHING,
    WANT_WRITE,
    choose_write,
    end_full_write,
    get_stripe,
    next_stripe,
    page_of,
    raid5_map,
    raid5_unplug,
    release_stripe,
)
from pageout.kernel.frames import FN


@kfn
def raid5_make_request(k, t, f):
    """Put each page of a write into its stripe; the thread does the rest.

    f.a   in: bio.  Sleeps: for a stripe to spare, and for an earlier write to the same page.
    """
    PAGES = 1
    b = k.bio[f.a]
    queue = b.queue
    q = k.queue[queue]
    if f.pc == ENTRY:
        f.pos, f.left = b.block, b.nr_pages
    f.pc = PAGES
    while f.left > 0:
        member, block = raid5_map(q, f.pos)
        stripe = get_stripe(k, queue, block)
        if stripe == NIL:
            raid5_unplug(k, queue)
            return sleep_on(k, t, q.submit_wait, 0, 0)
        s = k.stripe[stripe]
        page = k.stripe_page[page_of(k, stripe, member)]
        if page.towrite != NIL:
            raid5_unplug(k, queue)
            release_stripe(k, stripe)
            return sleep_on(k, t, q.submit_wait, 0, 0)
        page.towrite = f.a
        s.nr_towrite += 1
        b.children += 1
        s.handle, s.delayed = 1, 0
        release_stripe(k, stripe)
        spend(k, t, STRIPE_NS)
        f.pos += 1
        f.left -= 1
        if out_of_slice(k, t):
            return YIELD
    bio_put(k, f.a, 0)
    return ret(k, t, f, 0)


@kfn
def raid5d(k, t, f):
    """The array's thread: handle stripes while there are any, then let the members go and sleep. f.a in: queue."""
    NEXT, HANDLED = ENTRY, 1
    if f.pc == HANDLED:
        release_stripe(k, f.c)
        if out_of_slice(k, t):
            f.pc = NEXT
            return YIELD
    f.c = next_stripe(k, f.a)
    if f.c != NIL:
        return call(k, t, f, FN.handle_stripe, HANDLED, f.c, 0, 0)
    q = k.queue[f.a]
    for i in range(q.nr_members):
        if k.member[q.member_start + i].pending > 0:
            request_unplug(k, t, k.member[q.member_start + i].queue)
    f.pc = NEXT
    return sleep_on(k, t, q.worker_wait, 0, 0)


@kfn
def _end_writes(k, stripe):
    """All pages of a write are on the members: end what the bios have in this stripe."""
    s = k.stripe[stripe]
    lost = 1 if s.failed > 1 else 0  # one page can be had back from parity
    s.writing = 0
    for i in range(k.queue[s.queue].nr_members):
        page = k.stripe_page[page_of(k, stripe, i)]
        if page.written != NIL:
            bio = page.written
            page.written = NIL
            bio_put(k, bio, lost)
    end_full_write(k, stripe)


@kfn
def _member_bios(k, stripe):
    """Make the bios for what the stripe wants read or written. Returns the first of the chain, NIL if none."""
    s = k.stripe[stripe]
    q = k.queue[s.queue]
    first, last = NIL, NIL
    for i in range(q.nr_members):
        want = k.stripe_page[page_of(k, stripe, i)].want
        if want != WANT_NOTHING:
            is_write = 1 if want == WANT_WRITE else 0
            bio = bio_for_member(k, q.member_start + i, s.block, 1, is_write, 1 - is_write, 2, END_STRIPE, stripe)
            s.refs += 1
            if last == NIL:
                first = bio
            else:
                k.bio[last].next = bio
            last = bio
    return first


@kfn
def handle_stripe(k, t, f):
    """Go on with a stripe: end its writes, decide about new ones, send what is to be read or written. f.a in: stripe.

    Source: handle_stripe5, ops_run_io.  Sleeps: yes, for requests of the members' queues.
    """
    SENT = 1
    if f.pc == SENT:
        return ret(k, t, f, 0)
    s = k.stripe[f.a]
    s.handle, s.delayed = 0, 0
    spend(k, t, STRIPE_NS)
    if s.locked == 0 and s.writing:
        _end_writes(k, f.a)
    if s.locked > 0 or s.nr_towrite == 0:
        return ret(k, t, f, 0)
    if choose_write(k, f.a):
        spend(k, t, XOR_NS * k.queue[s.queue].nr_members)
    chain = _member_bios(k, f.a)
    if chain == NIL:
        return ret(k, t, f, 0)
    s.io_started = 1
    return call(k, t, f, FN.generic_make_request, SENT, chain, 0, 0)
