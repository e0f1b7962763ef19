# SPDX-License-Identifier: GPL-2.0-or-later
"""blk-mq against its twins: tags, plug, parts of bios, mq-deadline, ticks."""

from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.kernel.lab import FLUSHER, KSWAPD, USER, lab, many, returned, some
from tests.naive.blk_mq import Layer, MqDeadline, Ticks, Wbt

from pageout.engine import constants as c
from pageout.engine.waitqueue import sleep_on
from pageout.kernel.block.blk_core import end_request
from pageout.kernel.block.blk_mq import _insert, _new_request, _take_next, blk_mq_get_tag, blk_mq_submit_bio, flush_plug
from pageout.kernel.block.blk_plug import blk_start_plug
from pageout.kernel.block.blk_wbt import limit_of, rq_qos_wait, wbt_window, window_ns
from pageout.kernel.drivers.ticks import passes_tick, tick
from pageout.machine.devices_mq import mq_fields, tags_of
from pageout.vocabulary.scenario import Disk, Filesystem, Machine, Scenario

MQ = (("block.layer", "mq"),)
SSD = (("kind", "ssd"), ("elevator", "none"), ("queue_depth", 4), ("max_sectors_kb", 64))


def mq_lab(*disk, tags: int = 8, choices=()):
    m = lab(disk=(*SSD, *disk), choices=(*MQ, *choices))
    m.k.queue[0].nr_tags = tags
    m.k.queue[0].tag_batch = max(1, tags // 8)
    m.act_as(USER)
    m.sink = m.bio(0, 0, 1)  # what all bios are parts of: no page of theirs is looked at when they end
    m.k.bio[m.sink].children = 1 << 30
    return m


def loose(m, block: int, pages: int, *, write: bool = True) -> int:
    bio = m.bio(0, block, pages, write=write)
    m.k.bio[bio].end, m.k.bio[bio].parent = c.END_PART, m.sink
    return bio


def submit(m, *bios: int):
    """Submit a chain of bios as the acting task; returns what submit_bio came to."""
    for first, second in pairwise(bios):
        m.k.bio[first].next = second
    m.enter("submit_bio", bios[0])
    return m.step(blk_mq_submit_bio)


def requests(m, first: int, nr: int) -> list[list[int]]:
    found = []
    for _ in range(nr):
        found.append([int(m.k.request[first].block), int(m.k.request[first].nr_pages)])
        first = int(m.k.request[first].next)
    return found


def at_device(m) -> list[int]:
    events = [m.k.heap[i] for i in range(m.k.stat.heap_nr) if m.k.heap[i].kind == c.EV_IO_DONE]
    return [int(event.arg) for event in sorted(events, key=lambda event: (event.when_ns, event.seq))]


def complete(m, request: int) -> None:
    """The device is done with a request: its event is the earliest."""
    for i in range(m.k.stat.heap_nr):
        if m.k.heap[i].kind == c.EV_IO_DONE and m.k.heap[i].arg == request:
            m.k.heap[i].kind = c.EV_SERIES
    end_request(m.k, request)


@pytest.mark.parametrize(
    ("depth", "elevator", "tags"),
    [(1, "none", 32), (1, "mq-deadline", 64), (64, "noop", 64), (64, "deadline", 128), (1000, "deadline", 256)],
)
def test_tags_are_the_hosts_depth_or_with_a_scheduler_twice_that_and_at_most_256(depth, elevator, tags) -> None:
    assert tags_of(Disk(queue_depth=depth, elevator=elevator)) == tags


def test_a_bio_has_256_pieces_of_memory_and_a_request_128_unless_folios_are_large() -> None:
    disk = Disk(kind="ssd", max_sectors_kb=1280)
    scenario = Scenario(name="s", machine=Machine(disks=(disk,)), choices={"block.layer": "mq"})
    fields = mq_fields(scenario, disk)
    assert (fields["bio_segs"], fields["max_pages"]) == (256, 128)
    large = {**scenario.choices, "throttle.by": "pause", "write.folios": "xfs"}
    assert mq_fields(msgspec.structs.replace(scenario, choices=large), disk)["max_pages"] == 320
    ext4 = Machine(disks=(disk,), filesystem=Filesystem(kind="ext4"))
    assert mq_fields(msgspec.structs.replace(scenario, machine=ext4, choices=large), disk)["max_pages"] == 128


steps = st.lists(
    st.tuples(st.just("write"), st.integers(0, 60), st.integers(1, 16))
    | st.tuples(st.sampled_from(["flush", "complete"]), st.just(0), st.just(0)),
    max_size=60,
)


@many
@given(steps, st.sampled_from([1, 2, 8, 40]), st.integers(1, 5))
def test_plug_line_and_device_hold_what_the_twin_holds(program, tags, depth) -> None:
    m = mq_lab(tags=tags)
    m.k.queue[0].depth = depth
    blk_start_plug(m.k, USER)
    twin, held = Layer(tags, depth, 16), (0, 0)
    q = m.k.queue[0]
    for what, block, pages in program:
        if what == "write" and not held[1]:
            went = submit(m, loose(m, block, pages))
            assert (went == returned(0)) == twin.write(block, pages)
            if went != returned(0):  # as the scheduler does when the task sleeps
                assert m.step(blk_mq_get_tag).kind == "sleep"
                flush_plug(m.k, USER)
                twin.flush()
                held = (block, pages)
        elif what == "flush":
            flush_plug(m.k, USER)
            twin.flush()
        elif what == "complete" and twin.device:
            oldest = twin.complete()
            complete(m, next(r for r in at_device(m) if [m.k.request[r].block, m.k.request[r].nr_pages] == oldest))
            if held[1] and m.task.woken:
                m.act_as(USER)
                assert m.step(blk_mq_get_tag) == returned(0)
                assert m.step(blk_mq_submit_bio) == returned(0)
                assert twin.write(*held, merge=False)
                held = (0, 0)
        assert requests(m, m.task.plug_head, m.task.plug_nr) == twin.plug
        assert requests(m, q.list_head, q.nr_list) == twin.line
        assert sorted([m.k.request[r].block, m.k.request[r].nr_pages] for r in at_device(m)) == sorted(twin.device)
        assert q.tags_used == twin.used


def test_a_long_bio_is_cut_and_its_pages_end_with_the_last_part() -> None:
    m = mq_lab()
    bio = loose(m, 100, 40)
    m.k.bio[m.sink].children = 2

    assert submit(m, bio) == returned(0)

    assert [(m.k.request[r].block, m.k.request[r].nr_pages) for r in at_device(m)] == [(100, 16), (116, 16), (132, 8)]
    for request in at_device(m)[:2]:
        complete(m, request)
    assert m.k.bio[m.sink].children == 2
    complete(m, at_device(m)[0])
    assert m.k.bio[m.sink].children == 1
    assert not m.k.bio[bio].used


def greedy(joined: list[bool], pages: int, pieces: int) -> list[int]:
    """Lengths of requests that hold so many pages in so many pieces of memory; joined: with the page before it."""
    lengths, used = [0], 0
    for is_joined in joined:
        used += not is_joined or lengths[-1] == 0
        if lengths[-1] == pages or used > pieces:
            lengths.append(0)
            used = 1
        lengths[-1] += 1
    return lengths


@some
@given(st.lists(st.booleans(), min_size=1, max_size=40), st.integers(1, 12))
def test_a_request_holds_no_more_pieces_of_memory_than_the_device_takes(joined, pieces) -> None:
    """Each page lies apart from the one before it, unless both are in one large folio."""
    m = mq_lab(tags=64)
    m.k.queue[0].max_segs = pieces
    joined = [False, *joined]
    frames = [m.block(0, 1) for _ in joined][::-1]
    for page, is_joined in zip(frames, joined, strict=True):
        m.place(page, c.PG_FOLIO if is_joined else 0, writeback=True)
    bio = m.bio(0, 100, len(joined))
    m.k.bio[bio].nr_segs = joined.count(False)

    assert submit(m, bio) == returned(0)

    found = requests(m, m.k.queue[0].list_head, m.k.queue[0].nr_list)
    found = sorted([[m.k.request[r].block, m.k.request[r].nr_pages] for r in at_device(m)] + found)
    assert [length for _, length in found] == greedy(joined, 16, pieces)
    assert [block for block, _ in found] == [100 + sum(n for _, n in found[:i]) for i in range(len(found))]


@pytest.mark.parametrize(("pieces", "fits"), [(8, True), (7, False)])
def test_a_bio_is_merged_only_while_its_pieces_fit(pieces, fits) -> None:
    m = mq_lab()
    m.k.queue[0].max_segs = pieces
    first, second = loose(m, 10, 4), loose(m, 14, 4)
    m.k.bio[first].nr_segs = m.k.bio[second].nr_segs = 4

    assert submit(m, first, second) == returned(0)
    assert [(m.k.request[r].block, m.k.request[r].nr_pages) for r in at_device(m)] == (
        [(10, 8)] if fits else [(10, 4), (14, 4)]
    )


def test_without_a_plug_a_chain_is_gathered_and_goes_at_its_end() -> None:
    m = mq_lab()
    assert submit(m, loose(m, 10, 2), loose(m, 12, 2), loose(m, 50, 1)) == returned(0)
    assert [(m.k.request[r].block, m.k.request[r].nr_pages) for r in at_device(m)] == [(10, 4), (50, 1)]
    assert m.events("block_unplug") == [(2,)]


def test_a_kernel_thread_keeps_its_plug_and_a_large_request_goes_when_the_next_comes() -> None:
    m = mq_lab(("max_sectors_kb", 256))
    m.act_as(FLUSHER)
    submit(m, loose(m, 100, 32))
    assert not at_device(m)
    submit(m, loose(m, 200, 1))
    assert [m.k.request[r].block for r in at_device(m)] == [100]


def test_who_waits_for_a_tag_is_woken_when_an_eighth_of_them_is_free() -> None:
    m = mq_lab(tags=16)
    m.k.queue[0].depth = 100
    for i in range(16):
        submit(m, loose(m, 1000 * (i + 1), 1))
    assert submit(m, loose(m, 5, 1)).name == "blk_mq_get_tag"
    assert m.step(blk_mq_get_tag).kind == "sleep"
    complete(m, at_device(m)[0])
    assert m.task.state == c.T_SLEEPING
    complete(m, at_device(m)[0])
    assert m.task.state != c.T_SLEEPING


@some
@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 400), st.integers(0, 600)), min_size=1, max_size=50),
    st.integers(1, 4),
)
def test_mq_deadline_takes_what_the_twin_takes(program, every) -> None:
    """Triples: is it a write, its block / 10, milliseconds since the last one; one is taken after each `every`."""
    m = mq_lab(("elevator", "mq-deadline"), tags=200)
    twin, now, seen = MqDeadline(), 0, set[tuple[bool, int]]()
    m.k.queue[0].depth = 0

    def taken() -> tuple[str, int] | None:
        request = int(_take_next(m.k, 0, now))
        if request == c.NIL:
            return None
        rq = m.k.request[request]
        return "write" if rq.is_write else "read", int(rq.block)

    for i, (write, block, gap) in enumerate(program):
        now += gap * 1_000_000
        m.k.stat.now_ns = now
        if (write, block) not in seen:
            seen.add((write, block))
            request = _new_request(m.k, USER, 0, m.bio(0, block * 10, 1, write=write))
            _insert(m.k, USER, request, now)
            expires = now + (5_000_000_000 if write else 500_000_000)
            twin.add("write" if write else "read", (block * 10, 1, i, expires))
        if i % every == 0:
            assert taken() == twin.take(now)
    while (expected := twin.take(now)) is not None:
        assert taken() == expected
    assert taken() is None


@some
@given(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 1024)), max_size=60))
def test_ticks_let_pass_what_the_twin_lets_pass(program) -> None:
    """Pairs: milliseconds since the last request, its blocks of 512 bytes. One that does not fit is not tried again."""
    m = mq_lab(("kind", "throttled"), ("limit", "ticks"), ("tick_bytes", 545_246), ("max_sectors_kb", 128))
    twin, now, every = Ticks(545_246, 20_000_000), 0, 20_000_000
    q = m.k.queue[0]
    for gap, sectors in program:
        until = now + gap * 1_000_000
        while twin.due is not None and twin.due <= until:
            assert q.tick_armed
            m.k.stat.now_ns = twin.due
            twin.tick()
            tick(m.k, 0)
            assert (q.tick_left, bool(q.stopped), bool(q.tick_armed)) == (twin.left, twin.stopped, twin.due is not None)
        now = until
        m.k.stat.now_ns = now
        if not q.stopped:
            assert bool(passes_tick(m.k, 0, sectors * 512, now)) == twin.ask(sectors * 512, now)
        assert (q.tick_left, bool(q.tick_armed)) == (twin.left, twin.due is not None)
    assert every == q.tick_ns


def test_nobody_is_told_that_a_queue_is_congested() -> None:
    m = mq_lab(tags=2)
    sleep_on(m.k, KSWAPD, c.WQ_CONGESTION_WRITE, 0, 0)
    submit(m, loose(m, 100, 1))
    submit(m, loose(m, 200, 1))
    assert not m.k.bdi[0].congested_write
    complete(m, at_device(m)[0])
    assert m.k.task[KSWAPD].state == c.T_SLEEPING


windows = st.lists(
    st.tuples(st.lists(st.integers(1, 40), max_size=2), st.sampled_from([0, 0, 1, 3, 9]), st.booleans()), max_size=25
)


@some
@given(windows, st.sampled_from([1, 2, 3, 15, 16, 64, 256]))
def test_wbts_depths_move_as_the_twins(program, tags) -> None:
    """Triples: latencies of reads in 100 us, writes that came back, is anything under way?"""
    m = mq_lab(("wbt", True), ("tags", tags), tags=tags)
    q, twin = m.k.queue[0], Wbt(tags, 2_000_000)
    for reads, writes, busy in [([], 0, False), *program]:
        assert (q.wbt_max, q.wbt_normal, q.wbt_background, q.wbt_step) == (*twin.depths, twin.step)
        q.wbt_reads, q.wbt_writes, q.wbt_inflight = len(reads), writes, int(busy)
        q.wbt_read_min_ns = min(reads, default=0) * 100_000
        twin.window([latency * 100_000 for latency in reads], writes, busy=busy)
        wbt_window(m.k, 0)
    assert bool(q.wbt_armed) == (twin.step != 0 or q.wbt_inflight > 0)


def test_a_write_may_go_with_four_eight_or_sixteen_others() -> None:
    """Background, alone, soon after a read, and with a writer that slept in balance_dirty_pages a moment ago."""
    m = mq_lab(("wbt", True), ("tags", 64))
    m.k.stat.now_ns = 10_000_000_000
    limits = [limit_of(m.k, USER, 0, background) for background in (1, 0)]
    m.k.queue[0].last_read_ns = m.k.stat.now_ns - 90_000_000
    limits.append(limit_of(m.k, USER, 0, 0))
    m.k.queue[0].bdp_sleep_ns = m.k.stat.now_ns - 900_000_000
    limits.append(limit_of(m.k, USER, 0, 1))
    assert limits == [4, 8, 4, 16]


def test_a_write_over_the_limit_sleeps_until_half_the_background_depth_is_free() -> None:
    m = mq_lab(("wbt", True), ("tags", 64), tags=64)
    m.k.queue[0].depth = 64
    for i in range(8):
        assert submit(m, loose(m, 1000 * (i + 1), 1)) == returned(0)
    assert submit(m, loose(m, 5, 1)).name == "rq_qos_wait"
    assert m.k.queue[0].wbt_inflight == 8
    assert m.step(rq_qos_wait).kind == "sleep"
    complete(m, at_device(m)[0])
    assert m.task.state == c.T_SLEEPING
    complete(m, at_device(m)[0])
    assert m.task.state != c.T_SLEEPING


def test_a_window_is_shorter_the_further_the_depth_was_cut() -> None:
    assert [window_ns(step) for step in (-2, 0, 1, 3)] == [100_000_000, 100_000_000, 72_727_272, 50_000_000]
