# SPDX-License-Identifier: GPL-2.0-or-later
"""LRU movements, bitmaps and dirty accounting of the page cache against their twins."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.kernel.lab import ANON, FILE, USER, lab, many, some
from tests.naive.reclaim import Lru
from tests.naive.writeback import next_set

from pageout.engine import constants as c
from pageout.kernel.mm.filemap import (
    cancel_dirty_page,
    clear_bit,
    clear_page_dirty_for_io,
    end_page_writeback,
    next_bit,
    redirty_page,
    set_bit,
    set_page_dirty,
    set_page_writeback,
)
from pageout.kernel.mm.swap import lru_add_drain, lru_cache_add, mark_page_accessed, page_lru, rotate_reclaimable_page
from pageout.kernel.mm.swapfile import free_swap_slot, get_swap_page


@some
@given(st.lists(st.tuples(st.sampled_from(["touch", "rotate", "deactivate"]), st.integers(0, 9)), max_size=40))
def test_touches_rotations_and_deactivations_equal_the_ordered_dicts(program) -> None:
    from pageout.kernel.mm.lru_balance import shrink_active_list

    m, twin = lab(), Lru()
    pages = [m.page() for _ in range(10)]
    for page in pages:
        twin.add(page)
    for what, which in program:
        if what == "touch":
            mark_page_accessed(m.k, pages[which])
            twin.mark_accessed(pages[which])
        elif what == "rotate":
            rotate_reclaimable_page(m.k, pages[which])
            twin.rotate(pages[which])
        else:
            shrink_active_list(m.k, USER, 1, c.LRU_ACTIVE_FILE, which)
            twin.deactivate(which)
        assert m.list_of(c.LRU_ACTIVE_FILE) == twin.head_first("active")
        assert m.list_of(c.LRU_INACTIVE_FILE) == twin.head_first("inactive")
    for page in pages:
        assert bool(m.flags(page) & c.PG_REFERENCED) == {**twin.active, **twin.inactive}[page]


@pytest.mark.parametrize("flag", [c.PG_LOCKED, c.PG_DIRTY, c.PG_ACTIVE])
def test_a_page_locked_dirty_or_active_is_not_rotated(flag: int) -> None:
    m = lab()
    page, other = m.page(flag), m.page(flag)
    rotate_reclaimable_page(m.k, other)
    assert m.list_of(page_lru(m.flags(page))) == [other, page]
    assert m.k.vm.pgrotated == 0


def test_a_page_in_the_pagevec_is_referenced_but_not_promoted() -> None:
    m = lab()
    page = m.page(listed=False)
    lru_cache_add(m.k, USER, page)
    for _ in range(3):
        mark_page_accessed(m.k, page)
    assert m.flags(page) & (c.PG_REFERENCED | c.PG_ACTIVE) == c.PG_REFERENCED


def test_new_pages_reach_their_list_fourteen_at_a_time() -> None:
    m = lab()
    pages = [m.page(listed=False) for _ in range(15)]
    for number, page in enumerate(pages, 1):
        lru_cache_add(m.k, USER, page)
        assert len(m.list_of(c.LRU_INACTIVE_FILE)) == (14 if number >= 14 else 0)
    lru_add_drain(m.k, 0)
    assert m.list_of(c.LRU_INACTIVE_FILE) == pages[::-1]


@many
@given(
    st.sets(st.integers(0, 3000)),
    st.sets(st.integers(0, 3000), max_size=30),
    st.integers(0, 3000),
    st.integers(0, 3001),
)
def test_the_next_set_bit_equals_the_least_of_a_set(bits, cleared, start, end) -> None:
    m = lab(file_pages=3008)
    words, summary = m.k.inode[FILE].dirty_bits, m.k.inode[FILE].dirty_summary
    for bit in bits:
        set_bit(m.k, words, summary, bit)
    for bit in cleared:
        clear_bit(m.k, words, summary, bit)
    assert next_bit(m.k, words, summary, start, end) == next_set(bits - cleared, start, end)


@pytest.mark.parametrize("bit", [0, 31, 32, 1023, 1024, 1055, 2047])
def test_a_lone_bit_is_found_from_at_most_itself_and_only_before_the_end(bit: int) -> None:
    m = lab(file_pages=3008)
    words, summary = m.k.inode[FILE].dirty_bits, m.k.inode[FILE].dirty_summary
    set_bit(m.k, words, summary, bit)
    assert next_bit(m.k, words, summary, 0, 3000) == bit
    assert next_bit(m.k, words, summary, bit, bit + 1) == bit
    assert next_bit(m.k, words, summary, bit + 1, 3000) == c.NIL
    assert next_bit(m.k, words, summary, 0, bit) == c.NIL


def counts(m) -> tuple[int, ...]:
    k = m.k
    return (
        k.vm.nr_dirty,
        k.zone[1].nr_dirty,
        k.inode[FILE].nr_dirty,
        k.bdi[0].reclaimable,
        k.vm.nr_writeback,
        k.zone[1].nr_writeback,
        k.inode[FILE].nr_writeback,
        k.bdi[0].writeback,
    )


def test_the_life_of_a_dirty_page_is_accounted_for_at_each_step() -> None:
    m = lab()
    page = m.page()
    assert set_page_dirty(m.k, USER, page) == 1
    assert set_page_dirty(m.k, USER, page) == 0
    assert counts(m) == (1, 1, 1, 1, 0, 0, 0, 0)
    assert m.inode_list("b_dirty") == [FILE]
    assert clear_page_dirty_for_io(m.k, page) == 1
    assert clear_page_dirty_for_io(m.k, page) == 0
    set_page_writeback(m.k, page)
    assert counts(m) == (0, 0, 0, 0, 1, 1, 1, 1)
    end_page_writeback(m.k, page)
    assert counts(m) == (0,) * 8
    redirty_page(m.k, USER, page)
    assert counts(m) == (1, 1, 1, 1, 0, 0, 0, 0)
    assert cancel_dirty_page(m.k, page) == 1
    assert counts(m) == (0,) * 8
    assert m.k.stat.pages_truncated_dirty == 1


@pytest.mark.parametrize("reclaim", [0, c.PG_RECLAIM])
def test_a_page_that_reclaim_had_written_returns_to_the_tail_when_done(reclaim: int) -> None:
    m = lab()
    old, page = m.page(), m.page(writeback=True)
    m.k.page[page].pflags |= reclaim
    end_page_writeback(m.k, page)
    assert m.list_of(c.LRU_INACTIVE_FILE) == ([old, page] if reclaim else [page, old])
    assert not m.flags(page) & c.PG_RECLAIM
    assert m.k.vm.pgrotated == bool(reclaim)


def test_writing_a_mapped_page_takes_its_write_permission() -> None:
    m = lab()
    page = m.page(c.PG_MAPPED | c.PG_PTE_WRITE, dirty=True)
    clear_page_dirty_for_io(m.k, page)
    assert m.flags(page) & (c.PG_MAPPED | c.PG_PTE_WRITE) == c.PG_MAPPED


def test_swap_slots_are_handed_out_in_turn_until_none_is_left() -> None:
    m = lab(swap=40)
    pages = [m.page(c.PG_SWAPBACKED) for _ in range(41)]
    assert [get_swap_page(m.k, page) for page in pages] == [1] * 40 + [0]
    slots = [m.k.slot[m.k.inode[ANON].slot_start + i].block - m.k.param.swap_block for i in range(40)]
    assert slots == list(range(40))
    for freed in (7, 33):
        free_swap_slot(m.k, ANON, freed)
        free_swap_slot(m.k, ANON, freed)
    assert m.k.stat.swap_free == 2
    assert get_swap_page(m.k, pages[40]) == 1
    assert m.k.slot[m.k.inode[ANON].slot_start + 40].block - m.k.param.swap_block == 7
