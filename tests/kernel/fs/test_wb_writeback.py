# SPDX-License-Identifier: GPL-2.0-or-later
"""The flusher since 3.2, its passes over a file, late timers and folios, against their twins."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.kernel.lab import FLUSHER, USER, called, lab, some
from tests.naive import flusher as naive

from pageout.engine import constants as c
from pageout.engine.waitqueue import _expiry
from pageout.kernel.fs import wb_writeback as wb
from pageout.kernel.fs import writepages as passes
from pageout.kernel.fs.bdi_work import queue_work
from pageout.kernel.fs.folios import MAX_FOLIO_ORDER, begins_folio, folio_end
from pageout.kernel.fs.fs_writeback import SUBMIT_FLUSHER
from pageout.kernel.mm.filemap import find_page, mark_inode_dirty, set_page_writeback
from pageout.vocabulary.tracepoints import EV

MS = c.NS_PER_MS
BACKGROUND, LIMIT, BANDWIDTH = 3000, 40_000, 12_000
EXPIRE = 300
INODES = 5
TURN = st.tuples(st.sampled_from([0, 0.5, 1]), st.sampled_from([0, 40, 101]), st.booleans() | st.just(False))
DIRTYING = st.lists(
    st.tuples(st.integers(0, INODES - 1), st.sampled_from([1, 900, 1024, 5000, 9000]), st.integers(0, 400)),
    min_size=1,
    max_size=8,
)


def machine():
    m = lab(files=INODES, file_pages=8, hz=250)
    k = m.k
    k.param.throttle_by, k.param.flush_turn = c.THROTTLE_BY_PAUSE, c.TURN_BANDWIDTH
    k.param.background_bytes, k.param.dirty_bytes = BACKGROUND * 4096, 2 * BACKGROUND * 4096
    k.param.dirty_expire_ns = EXPIRE * MS
    k.stat.dirty_limit, k.bdi[0].avg_bandwidth = LIMIT, BANDWIDTH
    k.event_on[EV.writeback_single_inode_start] = 1
    m.act_as(FLUSHER)
    return m


def dirty_pages(m, inode: int, pages: int) -> None:
    mark_inode_dirty(m.k, FLUSHER, inode, c.I_DIRTY_PAGES)
    m.k.inode[inode].nr_dirty += pages
    m.k.vm.nr_dirty += pages


def do_turn(m, turn) -> None:
    """What writepages would: write a share of what the inode's chunk lets it, and take its time."""
    share, took, queued = turn
    inode = m.f.a
    wrote = int(min(m.k.inode[inode].nr_dirty, m.task.wbc_nr) * share)
    m.k.inode[inode].nr_dirty -= wrote
    m.k.vm.nr_dirty -= wrote
    m.task.wbc_nr -= wrote
    m.k.stat.now_ns += took * MS
    if queued and m.k.bdi[0].work_head == c.NIL:
        queue_work(m.k, FLUSHER, 0, 7, 0, 0)
    if not queued:
        m.k.bdi[0].work_head = m.k.bdi[0].work_tail = c.NIL


def served(m) -> tuple[list[int], ...]:
    return tuple(m.inode_list(which)[::-1] for which in ("b_dirty", "b_io", "b_more_io"))


def do_item(m, kind: str, pages: int, script) -> int:
    """Run wb_writeback to its end; returns what it does."""
    work = wb._item(m.k, pages, kind == "periodic", kind == "background", 1)
    m.enter("wb_writeback", 0, work)
    turns = iter(script)
    step = m.step(wb.wb_writeback_turns)
    while step.kind != "ret":
        assert step == called("writeback_inodes_wb", 0, work)
        step = m.step(wb.writeback_sb_inodes)
        while step.kind != "ret":
            assert step.kind == "call"
            queued = m.k.bdi[0].work_head != c.NIL
            do_turn(m, next(turns, (1, 0, queued)))
            m.answer()
            step = m.step(wb.writeback_sb_inodes)
        step = m.step(wb.wb_writeback_turns)
    return step.args[0]


@some
@given(DIRTYING, st.lists(st.tuples(st.sampled_from(["background", "periodic", "all"]),
                                    st.sampled_from([1, 1024, 6000, wb.UNLIMITED]), st.lists(TURN, max_size=8)),
                          min_size=1, max_size=3), st.booleans())  # fmt: skip
def test_items_are_done_as_the_twin_does_them(dirtying, items, by_age) -> None:
    m = machine()
    m.k.param.flush_requeue = c.REQUEUE_AGE if by_age else c.REQUEUE_CHUNK
    twin = naive.Flusher(expire=EXPIRE, background=BACKGROUND, bandwidth=BANDWIDTH, limit=LIMIT, by_age=by_age)
    m.k.stat.now_ns = 1000 * MS
    for inode, nr_pages, after in dirtying:
        dirty_pages(m, inode, nr_pages)
        twin.now = m.k.stat.now_ns // MS
        twin.mark_dirty(inode, nr_pages)
        m.k.stat.now_ns += after * MS
    twin.now = m.k.stat.now_ns // MS
    m.events()

    for kind, pages, script in items:
        assert do_item(m, kind, pages, script) == twin.work(kind, pages, script)
        assert served(m) == (twin.dirty, twin.io, twin.more)

    events = m.events()
    turns = [(event[2] - 128, event[7], event[8]) for event in events if event[0] == "writeback_single_inode"]
    assert turns == twin.turns
    assert all(m.k.inode[i].dirtied_when == twin.when[i] * MS for i in twin.dirty + twin.io + twin.more)
    starts = [event for event in events if event[0] == "writeback_single_inode_start"]
    assert [(event[2] - 128, event[7]) for event in starts] == [turn[:2] for turn in twin.turns]
    reasons = {{"background": 0, "all": 1, "periodic": 3}[kind] for kind, _, _ in items}
    assert {event[8] for event in events if event[0] in ("writeback_start", "writeback_written")} <= reasons


@some
@given(st.booleans(), st.booleans(), st.sampled_from([0, 5000]), st.integers(0, 9000), st.integers(0, 6000))
def test_what_a_flusher_does_first_is_what_the_twin_does(queued, start_all, interval, since_last, nr_dirty) -> None:
    m = machine()
    k, device = m.k, m.k.bdi[0]
    k.stat.now_ns = 20_000 * MS
    k.param.dirty_writeback_ns, device.last_old_flush_ns = interval * MS, k.stat.now_ns - since_last * MS
    k.vm.nr_dirty, device.start_all = nr_dirty, start_all
    if queued:
        queue_work(k, FLUSHER, 0, 7, 0, 0)
    over = nr_dirty > BACKGROUND
    everything = nr_dirty + k.param.nr_inodes

    work = wb._next_work(k, FLUSHER, 0)

    expected = naive.next_item(queued=7 if queued else 0, start_all=start_all, everything=everything,
                               interval=interval, since_last=since_last, over=over)  # fmt: skip
    if expected is None:
        assert work == c.NIL
        return
    kind, pages = expected
    item = k.work[work]
    assert item.nr_pages == pages
    assert (item.for_kupdate, item.for_background) == (kind == "periodic", kind == "background")
    assert device.start_all == (start_all if queued else 0)


@some
@given(st.integers(0, 1 << 40), st.integers(1, 100_000))
def test_a_late_timer_ends_at_the_tick_of_the_wheel(now, ticks) -> None:
    m = machine()
    m.k.param.timer_expiry = c.TIMER_LATE

    tick = _expiry(m.k, now, ticks)

    assert tick == naive.wheel_expiry(now, ticks)
    assert tick > now + ticks


@some
@given(st.integers(0, 1 << 20), st.integers(0, 1 << 13), st.integers(0, 4095))
def test_a_folio_is_as_large_as_the_twin_makes_it(index, pages, odd) -> None:
    m = lab(fs="xfs")
    m.k.param.write_folios = c.FOLIOS_XFS
    pos, nbytes = index * 4096 + odd, max(1, pages * 4096 - odd)

    assert folio_end(m.k, 0, pos, nbytes) == naive.folio_after(pos, nbytes, largest=MAX_FOLIO_ORDER)
    m.k.param.write_folios = c.FOLIOS_NONE
    assert folio_end(m.k, 0, pos, nbytes) == (index + 1) * 4096


# --- what a pass over a file writes

PAGES = 40
STATES = st.lists(st.sampled_from(["clean", "dirty", "dirty", "busy", "absent"]), min_size=PAGES, max_size=PAGES)


def bios_of(m, bio: int) -> list[int]:
    """Pages of a chain of bios, in order."""
    pages = []
    while bio != c.NIL:
        row = m.k.bio[bio]
        pages += range(row.index, row.index + row.nr_pages)
        bio = row.next
    return pages


@some
@given(st.sampled_from(["ext4", "xfs"]), STATES, st.integers(0, PAGES - 1), st.integers(1, PAGES), st.booleans())
def test_a_pass_writes_the_twin_s_pages_in_its_order(fs, states, start, budget, cyclic) -> None:
    m = lab(fs=fs, delalloc=False if fs == "ext4" else None, exists=True, file_pages=PAGES)
    m.act_as(FLUSHER)
    file = m.k.inode[0]
    for index, state in enumerate(states):
        if state != "absent":
            page = m.place(m.block(0), index=index, block=1000 + index, dirty=state != "clean")
            if state == "busy":
                set_page_writeback(m.k, page)
    file.writeback_index = start
    m.task.wbc_nr, m.task.wbc_cyclic, m.task.wbc_sync = budget, cyclic, 0
    m.enter("ext4_da_writepages", 0, SUBMIT_FLUSHER)

    written = []
    step = m.step(passes.writepages)
    while step.kind != "ret":
        assert step.name == "submit_bio"
        written += bios_of(m, step.args[0])
        m.answer()
        step = m.step(passes.writepages)

    dirty = {index for index, state in enumerate(states) if state in ("dirty", "busy")}
    busy = {index for index, state in enumerate(states) if state == "busy"}
    begin = start if cyclic else 0
    expected, onward = naive.pages_in_order(dirty, busy, begin, budget, wraps=fs == "ext4")
    assert written == expected
    assert m.task.wbc_nr == budget - len(expected)
    if onward is not None and cyclic:
        assert file.writeback_index == onward
    elif cyclic and fs == "xfs":
        assert file.writeback_index == 0  # the end was reached: from the beginning


@pytest.mark.parametrize(
    ("budget", "hole", "extents"),
    [
        (9000, -1, [(0, 2048), (2048, 4096), (4096, 4500)]),
        (3000, -1, [(0, 2048), (2048, 3000)]),
        (3000, 10, [(0, 10), (11, 2059), (2059, 3001)]),
    ],
)
def test_blocks_are_chosen_for_at_most_2048_pages_of_a_run_and_not_beyond_the_budget(
    monkeypatch, budget, hole, extents
) -> None:
    m = lab(fs="ext4", file_pages=4600, memory_mb=64)
    m.act_as(FLUSHER)
    for index in range(4500):
        if index != hole:
            m.place(m.block(0), flags=c.PG_DELAYED, index=index, dirty=True, listed=False)
    chosen = []

    def allocate(k, t, inode, index, end):
        chosen.append((index, end))
        for n in range(index, end):
            k.slot[k.inode[inode].slot_start + n].block = 1000 + n
            k.page[find_page(k, inode, n)].pflags &= ~c.PG_DELAYED

    monkeypatch.setattr(passes, "group_ready", lambda k, inode, index: True)
    monkeypatch.setattr(passes, "allocate_extent", allocate)
    m.task.wbc_nr, m.task.wbc_cyclic, m.task.wbc_sync = budget, 1, 0
    m.enter("ext4_da_writepages", 0, SUBMIT_FLUSHER)

    step = m.step(passes.writepages)
    while step.kind != "ret":
        assert step.name == "submit_bio"
        m.answer()
        step = m.step(passes.writepages)

    assert chosen == extents
    assert m.task.wbc_nr == budget - min(budget, sum(end - start for start, end in extents))
    assert m.k.inode[0].writeback_index == extents[-1][1] or budget == 9000


def undelay(m, index: int, end: int) -> None:
    for n in range(index, end):
        m.k.page[find_page(m.k, 0, n)].pflags &= ~c.PG_DELAYED


def test_who_writes_the_same_file_waits_for_an_extent_that_another_has_mapped_and_goes_on_behind_it(
    monkeypatch,
) -> None:
    """Else both would take its pages in turn, and each bio would hold but one."""
    m = lab(fs="ext4", files=1, file_pages=64, memory_mb=32)
    for index in range(40):
        m.place(m.block(0), c.PG_DELAYED if index < 20 else 0, index=index, block=1000 + index, dirty=True)
    monkeypatch.setattr(passes, "group_ready", lambda k, inode, index: True)
    monkeypatch.setattr(passes, "allocate_extent", lambda k, t, inode, index, end: undelay(m, index, end))
    monkeypatch.setattr(passes, "out_of_slice", lambda k, t: True)

    m.act_as(FLUSHER)
    m.task.wbc_nr, m.task.wbc_cyclic, m.task.wbc_sync = 9000, 1, 0
    m.enter("ext4_da_writepages", 0, SUBMIT_FLUSHER)
    assert m.step(passes.writepages).kind == "yield"  # its time is up after one page
    locked = [index for index in range(40) if m.k.page[find_page(m.k, 0, index)].pflags & c.PG_LOCKED]
    assert locked == list(range(1, 20))

    m.act_as(USER)
    m.task.wbc_nr, m.task.wbc_cyclic, m.task.wbc_sync = 9000, 0, 1
    m.enter("ext4_da_writepages", 0, SUBMIT_FLUSHER)
    step = m.step(passes.writepages)
    assert (step.kind, step.name, step.args[0]) == ("call", "wait_on_page", find_page(m.k, 0, 1))


@given(st.integers(0, 5000), st.integers(1, 1400))
def test_what_is_read_ahead_lies_in_folios_as_the_twin_makes_them(start, pages) -> None:
    found = [index for index in range(start, start + pages) if begins_folio(index, start, start + pages)]
    assert found == naive.folios_read(start, start + pages, largest=MAX_FOLIO_ORDER)
