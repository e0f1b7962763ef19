# SPDX-License-Identifier: GPL-2.0-or-later
"""Which inode the flusher takes first, under designs that do not go by dirtied_when alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.kernel.lab import FLUSHER, KSWAPD, USER, called, few, lab, returned
from tests.kernel.mm.test_shrink_list import begin, go
from tests.naive import designs as naive

from pageout.engine import constants as c
from pageout.kernel.fs.fs_writeback import _queue_io, wb_writeback, write_cache_pages, writeback_inodes_wb
from pageout.kernel.fs.inode_order import oldest_page_ms, target_inode, wakeup_flushers_for_zone
from pageout.kernel.mm.filemap import mark_inode_dirty

S = 10**9
MS = 10**6
FIRST, SECOND, THIRD = 0, 1, 2


def files(**options):
    """A machine with three file inodes, 0 to 2; anonymous memory comes after them."""
    return lab(files=3, **options)


def dirty(m, inode: int, at_ns: int, pages: int = 1) -> None:
    m.k.stat.now_ns = at_ns
    for _ in range(pages):
        m.page(dirty=True, inode=inode)


@few
@given(st.lists(st.integers(0, 70), min_size=1, max_size=3), st.booleans())
def test_background_writeback_takes_what_is_dirty_longest(seconds: list[int], background: bool) -> None:
    m = files(choices=(("flusher.background", "oldest"),), settings=(("vm.dirty_expire_centisecs", 3000),))
    now = 100 * S
    ages = sorted(seconds, reverse=True)
    for inode, age in enumerate(ages):
        dirty(m, inode, now - age * S - MS)
    m.k.stat.now_ns = now
    m.act_as(FLUSHER)
    m.task.wbc_older_ns, m.task.wbc_background = c.NEVER, int(background)
    _queue_io(m.k, m.t, 0)
    taken = naive.oldest_first([age * S + MS for age in ages], 30 * S) if background else ages
    assert len(m.inode_list("b_io")) == len(taken)
    assert m.inode_list("b_io")[::-1] == list(range(len(taken)))


def test_linux_takes_every_inode_in_the_background() -> None:
    m = files()
    dirty(m, FIRST, 1 * S)
    dirty(m, SECOND, 90 * S)
    m.act_as(FLUSHER)
    m.task.wbc_older_ns, m.task.wbc_background = c.NEVER, 1
    _queue_io(m.k, m.t, 0)
    assert m.inode_list("b_io") == [SECOND, FIRST]


INODES = (("reclaim.writeback", "kswapd"), ("reclaim.kick", "inodes"), ("reclaim.wait_on_dirty", "congestion"))


def test_reclaim_moves_the_inodes_of_the_dirty_pages_it_meets_to_where_the_flusher_takes_the_next() -> None:
    m = files(choices=INODES)
    dirty(m, FIRST, 1 * S)
    m.k.stat.now_ns = 2 * S
    met = m.page(dirty=True, inode=SECOND, zone=1)
    dirty(m, THIRD, 3 * S)
    begin(m, [met], write=0)
    assert go(m) == called("congestion_wait", 10)
    assert (m.inode_list("b_io"), m.inode_list("b_dirty")) == ([SECOND], [THIRD, FIRST])
    assert m.k.inode[SECOND].istate & c.I_DIRTY_RECLAIM
    assert m.work_items() == [(1, 0, 0)]
    assert m.k.work[m.k.bdi[0].work_head].zone == 1 + 1


@pytest.mark.parametrize("choices", [(), INODES])
def test_kswapd_targets_nothing_and_no_other_design_does(choices) -> None:
    m = files(choices=choices)
    met = m.page(dirty=True, inode=SECOND)
    begin(m, [met], write=0, t=KSWAPD if choices else USER)
    assert go(m) == returned(0)
    assert (m.inode_list("b_io"), m.work_items()) == ([], [])


@pytest.mark.parametrize("state", [c.I_SYNC, c.I_DIRTY_RECLAIM])
def test_an_inode_that_is_being_written_or_marked_already_stays_where_it_is(state: int) -> None:
    m = files()
    dirty(m, FIRST, 1 * S)
    m.k.inode[FIRST].istate |= state
    target_inode(m.k, FIRST)
    assert m.inode_list("b_dirty") == [FIRST]


def test_an_inode_on_no_list_is_not_put_on_one() -> None:
    m = files()
    target_inode(m.k, FIRST)
    assert m.inode_list("b_io") == []
    wakeup_flushers_for_zone(m.k, USER, 5, 1)
    assert m.work_items() == []


def test_the_mark_goes_when_the_inode_is_written() -> None:
    from pageout.kernel.fs.fs_writeback import writeback_single_inode

    m = files()
    dirty(m, FIRST, 1 * S)
    target_inode(m.k, FIRST)
    m.act_as(FLUSHER)
    m.enter("writeback_single_inode", FIRST, 2)
    m.step(writeback_single_inode)
    assert not m.k.inode[FIRST].istate & c.I_DIRTY_RECLAIM


@pytest.mark.parametrize(("zone", "counted"), [(0, 1), (1 + 1, 1), (0 + 1, 0)])
def test_work_for_a_zone_counts_pages_of_that_zone_only(zone: int, counted: int) -> None:
    m = files()
    page = m.page(dirty=True, inode=FIRST, zone=1)
    m.act_as(FLUSHER)
    m.task.wbc_nr, m.task.wbc_zone = 10, zone
    m.enter("write_cache_pages", FIRST, 2)
    assert m.step(write_cache_pages).args[0] == page
    m.k.page[page].pflags &= ~c.PG_LOCKED
    m.answer()
    m.step(write_cache_pages)
    assert m.task.wbc_nr == 10 - counted


def test_the_flusher_takes_the_zone_from_the_item_and_forgets_it_with_the_next() -> None:
    from pageout.kernel.fs.bdi_work import queue_work

    m = files()
    m.act_as(FLUSHER)
    for zone in (2, 0):
        queue_work(m.k, USER, 0, 7, 0, 0)
        item = m.k.bdi[0].work_tail
        m.k.work[item].zone = zone
        m.enter("wb_writeback", 0, item)
        assert m.step(wb_writeback) == called("writeback_inodes_wb", 0, 2)
        assert m.task.wbc_zone == zone


# --- by the age of pages


def test_the_oldest_page_of_an_inode_is_found() -> None:
    m = files()
    for index, ms in ((500, 70), (3, 40), (900, 90)):
        m.k.stat.now_ns = ms * MS
        m.page(dirty=True, inode=FIRST, index=index)
    assert oldest_page_ms(m.k, FIRST) == 40


def test_by_page_age_the_inode_with_the_oldest_page_comes_first_whatever_its_stamp() -> None:
    m = files(choices=(("flusher.order", "page_age"),))
    for inode, ms in ((FIRST, 30), (SECOND, 10), (THIRD, 20)):
        dirty(m, inode, ms * MS)
    m.k.inode[SECOND].dirtied_when = m.k.inode[THIRD].dirtied_when = 31 * MS  # stamped anew by redirty_tail
    m.k.stat.now_ns = 40 * MS
    m.act_as(FLUSHER)
    m.task.wbc_older_ns, m.task.wbc_kupdate, m.task.wbc_nr = c.NEVER, 0, 99
    m.enter("writeback_inodes_wb", 0, 2)
    served = []
    step = m.step(writeback_inodes_wb)
    while step.kind == "call":
        served.append(step.args[0])
        from pageout.kernel.mm.filemap import inode_list_del

        inode_list_del(m.k, step.args[0])
        m.answer()
        step = m.step(writeback_inodes_wb)
    assert served == [SECOND, THIRD, FIRST]


def test_by_page_age_the_periodic_work_takes_inodes_with_an_old_page_though_their_stamp_is_new() -> None:
    m = files(choices=(("flusher.order", "page_age"),))
    dirty(m, FIRST, 1 * S)
    dirty(m, SECOND, 20 * S)
    m.k.inode[FIRST].dirtied_when = 25 * S
    m.act_as(FLUSHER)
    m.task.wbc_older_ns = 10 * S
    _queue_io(m.k, m.t, 0)
    assert (m.inode_list("b_io"), m.inode_list("b_dirty")) == ([FIRST], [SECOND])
    mark_inode_dirty(m.k, USER, SECOND, c.I_DIRTY_PAGES)
    assert m.inode_list("b_dirty") == [SECOND]
