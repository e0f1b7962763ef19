# SPDX-License-Identifier: GPL-2.0-or-later
"""Request queue, elevator and devices against their twins."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.kernel.lab import USER, lab, many, some
from tests.naive import blocks as naive

from pageout.engine import constants as c
from pageout.kernel.block import blk_core, elevator
from pageout.kernel.block.bio import bdi_write_congested, bio_add
from pageout.kernel.block.blk_core import submit_bio
from pageout.kernel.block.elevator import next_request, sort_insert
from pageout.kernel.drivers.devices import disk_service_ns
from pageout.machine.devices import queue_fields
from pageout.vocabulary.scenario import Disk


@pytest.mark.parametrize("nr", [4, 5, 8, 16, 31, 32, 128, 1000, 4096])
def test_congestion_thresholds_are_the_kernels(nr: int) -> None:
    fields = queue_fields(Disk(nr_requests=nr))
    assert (fields["on_threshold"], fields["off_threshold"]) == naive.congestion(nr)[:2]
    if nr == 128:
        assert (fields["on_threshold"], fields["off_threshold"]) == (113, 103)


def request(m, block: int, *, write: bool, sync: bool = False, pages: int = 1) -> int:
    """Ask for a request of its own, without queueing it; NIL if there is none."""
    return int(blk_core._get_request(m.k, USER, 0, m.bio(0, block, pages, write=write, sync=sync)))


@some
@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=90), st.booleans())
def test_requests_are_granted_and_freed_as_in_the_twin(program, write) -> None:
    """Pairs: ask or free; is the asker a batcher? 16 requests a direction."""
    m, twin, held = lab(), naive.Side(16), []
    q, device = m.k.queue[0], m.k.bdi[0]
    for number, (ask, batching) in enumerate(program * 2):
        if ask:
            m.task.batch_left = 32 if batching else 0
            granted, becomes = twin.ask(batching=batching)
            got = request(m, number * 10, write=write)
            assert (got != c.NIL) == granted
            if granted:
                held.append(got)
            assert (m.task.batch_left >= 31) == (batching or becomes)
        elif held:
            blk_core._free_request(m.k, 0, held.pop())
            twin.free()
        count, full = (q.count_write, q.full_write) if write else (q.count_read, q.full_read)
        congested = device.congested_write if write else device.congested_read
        assert (count, bool(full), bool(congested)) == (twin.count, twin.full, twin.congested)
    assert (q.count_read if write else q.count_write) == 0


@pytest.mark.parametrize("nr", [8, 16, 128])
def test_all_in_congestion_wait_wake_at_each_free_below_the_off_threshold_only(nr: int) -> None:
    from pageout.engine.waitqueue import sleep_on

    m = lab(disk=(("nr_requests", nr),))
    _, off, _ = naive.congestion(nr)
    held = [request(m, 10 * i, write=True) for i in range(off + 1)]
    for count_after, wakes in ((off, False), (off - 1, True)):
        sleep_on(m.k, 0, c.WQ_CONGESTION_WRITE, 0, 0)
        blk_core._free_request(m.k, 0, held.pop())
        assert m.k.queue[0].count_write == count_after
        assert (m.k.task[0].woken == 1) == wakes
        if not wakes:
            from pageout.engine.waitqueue import wake_task

            wake_task(m.k, 0)


def test_sync_writes_count_with_reads() -> None:
    m = lab()
    request(m, 0, write=True, sync=True)
    assert (m.k.queue[0].count_read, m.k.queue[0].count_write) == (1, 0)


def test_swap_never_reports_congestion() -> None:
    m = lab(swap=64)
    m.k.bdi[0].congested_write = m.k.bdi[1].congested_write = 1
    assert bdi_write_congested(m.k, 0)
    assert not bdi_write_congested(m.k, 1)


ARRIVALS = st.lists(
    st.one_of(st.tuples(st.booleans(), st.integers(0, 200), st.integers(0, 30)), st.none()), min_size=1, max_size=120
)


@some
@given(ARRIVALS)
def test_the_deadline_elevator_chooses_as_the_twin(program) -> None:
    """A tuple queues (is it a write, block, deadline in), None dispatches one."""
    m, twin, used = lab(disk=(("nr_requests", 128),)), naive.Deadline(), {}
    for now, entry in enumerate(program + [None] * len(program)):
        if entry is not None:
            write, block, late = entry
            if (write, block) in used:
                continue
            number = request(m, block, write=write)
            used[write, block] = number
            rq = m.k.request[number]
            rq.deadline_ns = now + late
            sort_insert(m.k, 0, int(write), number)
            twin.add("write" if write else "read", block, 1, rq.seq, now + late)
            continue
        expected = twin.next(now)
        got = next_request(m.k, 0, now)
        if expected is None:
            assert got == c.NIL
            continue
        rq = m.k.request[got]
        assert ("write" if rq.is_write else "read", rq.seq) == expected
        del used[bool(rq.is_write), rq.block]


def test_two_batches_of_16_reads_pass_before_waiting_writes() -> None:
    m = lab(disk=(("nr_requests", 128),))
    for i in range(60):
        number = request(m, 10 * i, write=False)
        m.k.request[number].deadline_ns = c.NEVER
        sort_insert(m.k, 0, 0, number)
    number = request(m, 5, write=True)
    m.k.request[number].deadline_ns = c.NEVER
    sort_insert(m.k, 0, 1, number)
    directions = [m.k.request[next_request(m.k, 0, 0)].is_write for _ in range(34)]
    assert directions == [0] * 32 + [1, 0]
    assert (elevator.FIFO_BATCH, elevator.WRITES_STARVED) == (16, 2)
    assert (elevator.READ_EXPIRE_NS, elevator.WRITE_EXPIRE_NS) == (c.NS_PER_S // 2, 5 * c.NS_PER_S)


@some
@given(st.sets(st.tuples(st.booleans(), st.integers(0, 100)), max_size=40), st.integers(0, 100))
def test_the_plain_elevator_goes_one_way_across_the_disk_then_back_to_its_start(requests, position) -> None:
    m = lab(disk=(("nr_requests", 128), ("elevator", "noop")))
    m.k.queue[0].position_block = position
    for write, block in requests:
        sort_insert(m.k, 0, int(write), request(m, block, write=write))
    seen, at = [], position
    left = sorted((block, write) for write, block in requests)
    while left:
        chosen = next((entry for entry in left if entry[0] >= at), left[0])
        seen.append(chosen)
        left.remove(chosen)
        at = chosen[0] + 1
    got = [m.k.request[next_request(m.k, 0, 0)] for _ in requests]
    assert [(rq.block, bool(rq.is_write)) for rq in got] == seen
    assert next_request(m.k, 0, 0) == c.NIL


@many
@given(st.integers(0, 16383), st.integers(1, 16), st.integers(0, 16383), st.integers(0, 10**10))
def test_disk_service_is_seek_then_rotation_then_transfer(block, pages, head, now) -> None:
    m = lab()
    q = m.k.queue[0]
    q.head_block = head
    seek = m.k.table[q.seek_table + abs(block - head) * 1024 // q.nr_blocks]
    expected = naive.disk_service(
        block=block,
        pages=pages,
        head=head,
        now=now,
        nr_blocks=q.nr_blocks,
        rotation_ns=q.rotation_ns,
        outer=q.outer_ns_per_block,
        inner=q.inner_ns_per_block,
        seek_ns=seek,
    )
    got = disk_service_ns(m.k, 0, block, pages, now)
    assert abs(got - expected) <= 1
    if block == head:
        assert got == expected


def test_a_bio_grows_by_pages_that_continue_it_up_to_the_largest_request() -> None:
    m = lab()
    largest = m.k.queue[0].max_pages
    bio = bio_add(m.k, c.NIL, c.NIL, 0, 0, 100, 1, 0, 2)
    for i in range(1, largest):
        assert bio_add(m.k, c.NIL, bio, 0, i, 100 + i, 1, 0, 2) == bio
    following = bio_add(m.k, c.NIL, bio, 0, largest, 100 + largest, 1, 0, 2)
    assert following != bio
    assert (m.k.bio[bio].nr_pages, m.k.bio[bio].next) == (largest, following)
    for index, block in ((largest + 2, 101 + largest), (largest + 1, 102 + largest)):
        assert bio_add(m.k, c.NIL, following, 0, index, block, 1, 0, 2) != following


def submit(m, *bios: int):
    for bio, following in zip(bios, [*bios[1:], c.NIL], strict=True):
        m.k.bio[bio].next = following
    m.enter("submit_bio", bios[0])
    return m.step(submit_bio)


def queued(m) -> list[tuple[int, int]]:
    q = m.k.queue[0]
    return [
        (m.k.request[m.k.sort[q.sort_write + i]].block, m.k.request[m.k.sort[q.sort_write + i]].nr_pages)
        for i in range(q.nr_sort_write)
    ]


@pytest.mark.parametrize(
    ("spans", "expected"),
    [
        ([(10, 2), (12, 2)], [(10, 4)]),
        ([(12, 2), (10, 2)], [(10, 4)]),
        ([(10, 2), (14, 2), (12, 2)], [(10, 6)]),
        ([(10, 2), (13, 2)], [(10, 2), (13, 2)]),
        ([(10, 8), (18, 8)], [(10, 16)]),
        ([(10, 8), (18, 9)], [(10, 8), (18, 9)]),
        ([(18, 9), (10, 8)], [(10, 8), (18, 9)]),
    ],
)
def test_adjacent_bios_merge_up_to_the_largest_request(spans, expected) -> None:
    """A request holds 16 pages here."""
    m = lab()
    for number, (block, pages) in enumerate(spans):
        submit(m, m.bio(number * 50, block, pages))
    assert queued(m) == expected


def test_reads_and_writes_or_sync_and_async_do_not_merge() -> None:
    m = lab()
    submit(m, m.bio(0, 10, 2))
    submit(m, m.bio(50, 12, 2, sync=True))
    assert queued(m) == [(10, 2), (12, 2)]


def test_the_first_request_plugs_the_queue_and_the_fourth_unplugs_it() -> None:
    m = lab()
    q = m.k.queue[0]
    for number in range(3):
        submit(m, m.bio(number * 50, 100 * number))
        assert (q.plugged, q.in_flight) == (1, 0)
    submit(m, m.bio(400, 900))
    assert (q.plugged, q.in_flight) == (0, 1)
    kinds = [m.k.heap[i].kind for i in range(m.k.stat.heap_nr)]
    assert sorted(kinds) == [c.EV_IO_DONE, c.EV_UNPLUG]


def test_a_writer_sleeps_when_the_queue_is_full_and_becomes_a_batcher_when_woken() -> None:
    m = lab()
    m.k.queue[0].full_write, m.k.queue[0].count_write = 1, 15
    assert submit(m, m.bio(0, 10)).name == "get_request_wait"
    from pageout.kernel.block.blk_core import get_request_wait

    step = m.step(get_request_wait)
    assert (step.kind, step.args[0]) == ("sleep", m.k.queue[0].wait_write)
    assert m.task.wait_exclusive == 1
    m.wake(1000)
    assert m.step(get_request_wait).kind == "ret"
    assert m.task.batch_left == 32
    assert m.task.batch_expire_ns == m.k.stat.now_ns + 20 * c.NS_PER_MS
