# SPDX-License-Identifier: GPL-2.0-or-later
"""Stacked devices one call at a time: where each block goes, what a stripe reads first, who is congested."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.kernel.lab import USER, lab, many, some
from tests.naive import stacked as naive

from pageout.engine import constants as c
from pageout.kernel.block.bio import bdi_read_congested, bdi_write_congested
from pageout.kernel.block.blk_core import submit_bio
from pageout.kernel.block.endio import bio_endio
from pageout.kernel.drivers import stripes
from pageout.kernel.drivers.iscsi import iscsi_send
from pageout.kernel.drivers.loop import lo_send
from pageout.kernel.drivers.raid5 import handle_stripe, raid5_make_request
from pageout.kernel.drivers.stacked import generic_make_request, raid0_map, read_balance
from pageout.vocabulary.scenario import MIB, Disk

CHUNK = 4


def disks(kind: str, members: int, mib: int = 32, **fields) -> tuple[Disk, ...]:
    plain = tuple(Disk(name=f"m{i}", size_bytes=mib * MIB, nr_requests=16) for i in range(members))
    top = Disk(name="top", kind=kind, members=tuple(d.name for d in plain), chunk_bytes=CHUNK * 4096, **fields)
    return (*plain, top)


@many
@given(st.integers(2, 9), st.integers(1, 40), st.integers(0, 6))
def test_raid0_deals_chunks_like_cards(members, chunk, rows) -> None:
    q = SimpleNamespace(nr_members=members, chunk_pages=chunk)
    layout = naive.raid0_layout(members, chunk, rows)
    assert {block: raid0_map(q, block) for block in layout} == layout


@many
@given(st.integers(3, 9), st.integers(1, 40), st.integers(0, 11))
def test_raid5_lays_data_and_parity_left_symmetrically(members, chunk, rows) -> None:
    q = SimpleNamespace(nr_members=members, chunk_pages=chunk)
    layout, parity = naive.raid5_layout(members, chunk, rows)
    assert {block: stripes.raid5_map(q, block) for block in layout} == layout
    assert {row: stripes.raid5_parity(q, row * chunk) for row in parity} == parity
    assert len(set(layout.values())) == len(layout)
    assert all(member != parity[place // chunk] for member, place in layout.values())


def submit(m, *bios: int) -> list[tuple[int, int, int]]:
    """Submit bios to the stacked device; returns (queue, block, pages) of all bios that reach a member, in order."""
    for bio, following in zip(bios, [*bios[1:], c.NIL], strict=True):
        m.k.bio[bio].next = following
    m.enter("submit_bio", bios[0])
    assert submit_bio(m.k, m.t, m.f) == c.RUN
    reached = []
    step = m.step(generic_make_request)
    while step.kind == "call":
        assert step.name == "make_request"
        b = m.k.bio[step.args[0]]
        reached += [(b.queue, b.block + i) for i in range(b.nr_pages)]
        bio_endio(m.k, step.args[0], 0)
        m.answer()
        step = m.step(generic_make_request)
    assert step.kind == "ret"
    return reached


SPANS = st.lists(st.tuples(st.integers(0, 900), st.integers(1, 16)), min_size=1, max_size=4)


@pytest.mark.parametrize("kind", ["raid0", "linear", "raid5"])
@some
@given(SPANS)
def test_every_block_read_goes_to_its_place_on_its_member(kind, spans) -> None:
    m = lab(stacked=disks(kind, 3, 16), disk_mb=16)
    layouts = {
        "raid0": naive.raid0_layout(3, CHUNK, 100),
        "linear": naive.linear_layout([4096] * 3),
        "raid5": naive.raid5_layout(3, CHUNK, 150)[0],
    }
    first, before = 1, m.k.stat.bios_used
    if kind == "linear":
        spans = [(block + 4090 - 450, pages) for block, pages in spans]
    expected = [layouts[kind][block + i] for block, pages in spans for i in range(pages)]
    for i in range(sum(pages for _, pages in spans)):
        m.page(c.PG_LOCKED, index=i)
    index, bios = 0, []
    for block, pages in spans:
        bios.append(m.bio(index, block, pages, write=False))
        index += pages
    assert submit(m, *bios) == [(first + member, place) for member, place in expected]
    assert m.k.stat.bios_used == before
    assert not any(m.flags(page) & c.PG_LOCKED for page in range(len(m.arrays["page"])))


def test_raid1_writes_every_copy_and_ends_the_write_with_the_last() -> None:
    m = lab(stacked=disks("raid1", 3))
    pages = [m.page(writeback=True, index=i) for i in range(4)]
    bio = m.bio(0, 50, 4)
    m.enter("submit_bio", bio)
    submit_bio(m.k, m.t, m.f)
    clones = []
    while (step := m.step(generic_make_request)).kind == "call":
        clones.append(step.args[0])
        m.answer()
    assert [m.k.bio[clone].queue for clone in clones] == [1, 2, 3]
    for number, clone in enumerate(clones):
        assert all(m.flags(page) & c.PG_WRITEBACK for page in pages), number
        bio_endio(m.k, clone, 0)
    assert not any(m.flags(page) & c.PG_WRITEBACK for page in pages)


@pytest.mark.parametrize(("failures", "lost"), [(0, 0), (1, 0), (2, 0), (3, 4)])
def test_a_mirrored_write_is_lost_only_if_every_copy_fails(failures, lost) -> None:
    m = lab(stacked=disks("raid1", 3))
    for i in range(4):
        m.page(writeback=True, index=i)
    m.enter("submit_bio", m.bio(0, 50, 4))
    submit_bio(m.k, m.t, m.f)
    clones = []
    while (step := m.step(generic_make_request)).kind == "call":
        clones.append(step.args[0])
        m.answer()
    for number, clone in enumerate(clones):
        bio_endio(m.k, clone, 1 if number < failures else 0)
    assert m.k.stat.pages_lost == lost


@many
@given(st.lists(st.tuples(st.integers(0, 1000), st.integers(1, 3)), min_size=3, max_size=3), st.integers(0, 2),
       st.integers(0, 1000), st.integers(-1, 1000))  # fmt: skip
def test_a_read_goes_to_the_mirror_with_the_nearest_head(mirrors, last, block, expected_next) -> None:
    """All mirrors are busy (pending > 0), so no idle one is preferred."""
    m = lab(stacked=disks("raid1", 3))
    top = 4
    q = m.k.queue[top]
    q.last_used, q.next_block = last, expected_next
    for i, (head, pending) in enumerate(mirrors):
        m.k.member[q.member_start + i].head, m.k.member[q.member_start + i].pending = head, pending
    got = read_balance(m.k, top, block)
    distances = [abs(head - block) for head, _ in mirrors]
    if expected_next == block or distances[last] == 0:
        assert got == last
    else:
        assert distances[got] == min(distances)


def test_an_idle_mirror_is_preferred_to_a_nearer_busy_one() -> None:
    m = lab(stacked=disks("raid1", 3))
    q = m.k.queue[4]
    q.last_used, q.next_block = 0, -1
    for i, (head, pending) in enumerate([(100, 1), (5000, 0), (101, 1)]):
        m.k.member[q.member_start + i].head, m.k.member[q.member_start + i].pending = head, pending
    assert read_balance(m.k, 4, 102) == 1


def write_into(m, block: int) -> int:
    """One page written to the RAID5; returns its stripe."""
    m.page(writeback=True, index=block)
    bio = m.bio(block, block)
    m.k.bio[bio].children = 1
    m.enter("raid5_make_request", bio)
    assert m.step(raid5_make_request).kind == "ret"
    _, place = stripes.raid5_map(m.k.queue[m.k.bio[bio].queue], block)
    stripe = stripes.get_stripe(m.k, m.k.bio[bio].queue, place)
    stripes.release_stripe(m.k, stripe)
    return int(stripe)


@some
@given(st.integers(3, 7), st.data())
def test_a_stripe_reads_whichever_way_reads_less(members, data) -> None:
    m = lab(stacked=disks("raid5", members))
    top = members + 1
    q = m.k.queue[top]
    _, parity = naive.raid5_layout(members, CHUNK, 3)
    stripe = stripes.get_stripe(m.k, top, 0)
    s = m.k.stripe[stripe]
    assert s.parity == parity[0]
    data_members = [i for i in range(members) if i != s.parity]
    written = set(data.draw(st.sets(st.sampled_from(data_members), min_size=1)))
    known = set(data.draw(st.sets(st.integers(0, members - 1))))
    for i in range(members):
        page = m.k.stripe_page[stripes.page_of(m.k, stripe, i)]
        page.uptodate = int(i in known)
        page.towrite = m.bio(i, i) if i in written else c.NIL
    s.nr_towrite, s.preread = len(written), 1
    expected = naive.reads_before_write(members, s.parity, written, known)
    writes = stripes.choose_write(m.k, stripe)
    wants = [m.k.stripe_page[stripes.page_of(m.k, stripe, i)].want for i in range(members)]
    if expected:
        assert not writes
        assert {i for i, want in enumerate(wants) if want == stripes.WANT_READ} == expected
        assert q.rmw_reads == len(expected) == s.locked
    else:
        assert writes
        assert {i for i, want in enumerate(wants) if want == stripes.WANT_WRITE} == written | {s.parity}


def test_a_partial_write_waits_plugged_and_a_stripe_filled_meanwhile_is_written_without_reading() -> None:
    m = lab(stacked=disks("raid5", 3))
    top = 4
    q = m.k.queue[top]
    stripe = write_into(m, 0)
    assert stripes.next_stripe(m.k, top) == stripe
    m.enter("handle_stripe", stripe)
    assert m.step(handle_stripe).kind == "ret"
    stripes.release_stripe(m.k, stripe)
    assert (m.k.stripe[stripe].which, q.plugged, q.rmw_reads) == (stripes.DELAYED, 1, 0)
    assert write_into(m, CHUNK) == stripe  # the same stripe's other data page
    assert stripes.next_stripe(m.k, top) == stripe
    m.enter("handle_stripe", stripe)
    step = m.step(handle_stripe)
    assert step.name == "generic_make_request"
    sent, bio = [], step.args[0]
    while bio != c.NIL:
        b = m.k.bio[bio]
        sent.append((b.queue, b.block, b.is_write))
        bio = b.next
    assert sent == [(1, 0, 1), (2, 0, 1), (3, 0, 1)]
    assert (q.rmw_reads, q.pending_full) == (0, 1)


def test_a_stripe_left_alone_reads_once_its_plug_is_pulled() -> None:
    m = lab(stacked=disks("raid5", 5))
    top = 6
    stripe = write_into(m, 0)
    assert stripes.next_stripe(m.k, top) == stripe
    m.enter("handle_stripe", stripe)
    m.step(handle_stripe)
    stripes.release_stripe(m.k, stripe)
    assert stripes.next_stripe(m.k, top) == c.NIL
    stripes.raid5_unplug(m.k, top)
    assert stripes.next_stripe(m.k, top) == stripe
    m.enter("handle_stripe", stripe)
    assert m.step(handle_stripe).name == "generic_make_request"
    assert m.k.queue[top].rmw_reads == 2


def test_submitters_wait_when_256_stripes_are_in_use_until_a_quarter_is_free() -> None:
    m = lab(stacked=disks("raid5", 3))
    top = 4
    used = [stripes.get_stripe(m.k, top, block) for block in range(256)]
    assert len(set(used)) == 256
    assert stripes.get_stripe(m.k, top, 999) == c.NIL
    assert bdi_write_congested(m.k, top)
    assert bdi_read_congested(m.k, top)
    for number, stripe in enumerate(used[:65], start=1):
        stripes.release_stripe(m.k, stripe)
        got = stripes.get_stripe(m.k, top, 999)
        assert (got != c.NIL) == (number == 65), number
    assert not bdi_write_congested(m.k, top)


def test_a_bio_that_needs_a_stripe_sleeps_with_the_plug_pulled() -> None:
    m = lab(stacked=disks("raid5", 3))
    top = 4
    for block in range(1000, 1256):
        stripes.get_stripe(m.k, top, block)
    m.page(writeback=True, index=0)
    bio = m.bio(0, 0)
    m.k.bio[bio].children = 1
    m.enter("raid5_make_request", bio)
    step = m.step(raid5_make_request)
    assert (step.kind, step.args[0]) == ("sleep", m.k.queue[top].submit_wait)
    assert m.task.state == c.T_SLEEPING


@pytest.mark.parametrize(("kind", "all_must_be"), [("raid0", False), ("linear", False), ("raid1", True)])
def test_a_stack_is_congested_if_a_member_is_but_a_mirrors_reads_only_if_all_are(kind, all_must_be) -> None:
    m = lab(stacked=disks(kind, 3))
    top = 4
    assert not bdi_write_congested(m.k, top)
    m.k.bdi[2].congested_write = m.k.bdi[2].congested_read = 1
    assert bdi_write_congested(m.k, top)
    assert bool(bdi_read_congested(m.k, top)) != all_must_be
    m.k.bdi[1].congested_read = m.k.bdi[3].congested_read = 1
    assert bdi_read_congested(m.k, top)


def test_layers_follow_each_other_on_the_stack_and_do_not_nest() -> None:
    """One RAID0 and a RAID0 of two RAID0s: the same depth at the member's queue."""
    two = disks("raid0", 2)
    inner = (*two[:-1], Disk(name="in0", kind="raid0", members=("m0", "m1")))
    more = tuple(Disk(name=f"n{i}", size_bytes=32 * MIB) for i in range(2))
    nested = (*inner, *more, Disk(name="in1", kind="raid0", members=("n0", "n1")),
              Disk(name="top", kind="raid0", members=("in0", "in1")))  # fmt: skip
    depths = []
    for stacked in (two, nested):
        m = lab(stacked=stacked)
        m.page(writeback=True, index=0)
        m.enter("submit_bio", m.bio(0, 0))
        submit_bio(m.k, USER, m.f)
        assert m.step(generic_make_request).name == "make_request"
        depths.append((m.task.used, m.task.peak))
    assert depths[0] == depths[1]


def remote(**fields) -> tuple[Disk, ...]:
    far = Disk(name="far", size_bytes=64 * MIB, nr_requests=64)
    return (far, Disk(name="top", kind="iscsi", members=("far",), **{"queue_depth": 8, "mb_s": 100, **fields}))


def command(m, pages: int, *, write: bool) -> int:
    from pageout.kernel.block import blk_core

    return int(blk_core._get_request(m.k, USER, 2, m.bio(0, 64, pages, write=write)))


def segments(m) -> list[tuple[int, int]]:
    """(bytes, command that is whole with it) of each segment under way, in the order of arrival."""
    events = sorted((m.k.heap[i].when_ns, m.k.heap[i].seq, m.k.heap[i].arg) for i in range(m.k.stat.heap_nr))
    found = [m.k.segment[~arg] for _, _, arg in events if arg < 0]
    return [(int(s.length), int(s.request)) for s in found]


@pytest.mark.parametrize(("pages", "write", "sizes"), [
    (1, True, [48 + 4096]), (40, False, [48]), (16, True, [65536, 48]), (40, True, [65536, 65536, 48 + 8 * 4096]),
])  # fmt: skip
def test_a_command_goes_out_in_segments_of_64k_with_its_data(pages, write, sizes) -> None:
    m = lab(stacked=remote(socket_buffer_bytes=MIB))
    number = command(m, pages, write=write)
    m.enter("iscsi_send", 2, number)
    assert m.step(iscsi_send).kind == "ret"
    got = segments(m)
    assert [nbytes for nbytes, _ in got] == sizes
    assert [whole for _, whole in got] == [c.NIL] * (len(sizes) - 1) + [number]
    assert m.k.queue[2].socket_used == sum(sizes)


def test_a_full_send_buffer_holds_the_sender_until_a_segment_is_acknowledged() -> None:
    from pageout.kernel.block.blk_core import end_request

    m = lab(stacked=remote(socket_buffer_bytes=8192))
    m.enter("iscsi_send", 2, command(m, 4, write=True))
    step = m.step(iscsi_send)
    assert (step.kind, step.args[0]) == ("sleep", m.k.queue[2].submit_wait)
    assert m.k.queue[2].socket_used == 8192
    free = m.k.vm.pgfree
    first = next(m.k.heap[i].arg for i in range(m.k.stat.heap_nr) if m.k.heap[i].arg < 0)
    end_request(m.k, first)  # at the target
    assert m.task.state == c.T_SLEEPING
    end_request(m.k, first)  # acknowledged
    assert m.task.state != c.T_SLEEPING
    assert (m.k.queue[2].socket_used, m.k.vm.pgfree) == (0, free + 1)


def test_without_memory_for_a_buffer_the_sender_waits_2_ticks_to_200_ms_and_tries_again() -> None:
    m = lab(stacked=remote())
    m.enter("iscsi_send", 2, command(m, 1, write=True))
    for z in range(m.k.param.nr_zones):
        m.k.zone[z].wmark_min = m.k.zone[z].wmark_low = 1 << 30
    m.task.rng0, m.task.rng1, m.task.rng2, m.task.rng3 = 1, 2, 3, 4
    seen = set()
    for failures in range(1, 40):
        step = m.step(iscsi_send)
        assert step.name == "alloc_pages"
        assert step.args[:2] == (0, c.GFP_ATOMIC)
        m.answer(c.NIL)
        step = m.step(iscsi_send)
        assert step.kind == "sleep"
        assert 2 <= step.args[1] <= 2 + m.k.param.hz // 5
        seen.add(step.args[1])
        assert m.k.queue[2].skb_failures == failures
        m.wake(step.args[1] * m.k.param.jiffy_ns, woken=0)
    assert len(seen) > 5
    assert m.step(iscsi_send).name == "alloc_pages"
    m.answer(m.block(0))
    assert m.step(iscsi_send).kind == "ret"


def test_the_target_answers_when_its_disk_is_done_and_its_queue_wakes_nobody_here() -> None:
    from pageout.engine.waitqueue import sleep_on
    from pageout.kernel.block.blk_core import end_request

    m = lab(stacked=remote())
    m.page(writeback=True, index=0)
    number = command(m, 1, write=True)
    m.k.queue[2].in_flight = 1
    m.enter("iscsi_send", 2, number)
    m.step(iscsi_send)
    segment = next(m.k.heap[i].arg for i in range(m.k.stat.heap_nr) if m.k.heap[i].arg < 0)
    end_request(m.k, segment)
    far = m.k.queue[1]
    assert (far.nr_sort_write, far.remote) == (1, 1)
    from pageout.kernel.block.blk_core import unplug

    unplug(m.k, 1)
    at_far = next(m.k.heap[i].arg for i in range(m.k.stat.heap_nr)
                  if m.k.heap[i].kind == c.EV_IO_DONE and m.k.heap[i].arg >= 0)  # fmt: skip
    sleep_on(m.k, 0, c.WQ_CONGESTION_WRITE, 0, 0)
    end_request(m.k, at_far)
    assert m.k.task[0].state == c.T_SLEEPING
    response = [i for i in range(m.k.stat.segments_used + 2) if m.k.segment[i].stage == 2 and m.k.segment[i].queue == 2]
    end_request(m.k, ~response[0])
    assert m.k.task[0].state != c.T_SLEEPING
    assert m.k.queue[2].nr_write_requests == 1


def test_a_loop_write_dirties_whole_pages_of_its_file_without_file_system_or_io_reclaim() -> None:
    from pageout.kernel.drivers.loop import GFP_BACKING

    m = lab()
    m.enter("lo_send", 0, 8 * 4096, at=4 * 4096)
    assert m.step(lo_send).args == (4 * 4096,)
    assert m.k.inode[0].nr_dirty == 4
    assert not GFP_BACKING & (c.GFP_IO | c.GFP_FS)
    assert GFP_BACKING & c.GFP_WAIT
