# SPDX-License-Identifier: GPL-2.0-or-later
"""Random programs on a tiny machine: page cache, LRU, reclaim and allocator against slow obvious twins."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pageout.jit import INTERPRETED

if not INTERPRETED:
    pytest.skip("steps the kernel's functions one by one: NUMBA_DISABLE_JIT=1", allow_module_level=True)

from pageout.engine import constants as c
from pageout.kernel.frames import FN
from pageout.kernel.mm.buddy import free_pages, mark_kernel, try_alloc
from pageout.kernel.mm.filemap import (
    add_to_page_cache,
    clear_page_dirty_for_io,
    end_page_writeback,
    find_page,
    set_page_dirty,
    set_page_writeback,
)
from pageout.kernel.mm.lru_balance import shrink_active_list
from pageout.kernel.mm.shrink_list import shrink_page_list
from pageout.kernel.mm.swap import lru_add_drain, mark_page_accessed
from pageout.kernel.mm.vmscan import shrink_inactive_list
from tests.kernel.lab import FILE, USER, Lab, lab
from tests.naive.allocator import Buddy
from tests.naive.reclaim import Lru, check_references

NR_FILE_PAGES = 60


class NaiveMachine:
    """A file of which pages are cached, dirty, under writeback; one LRU of file pages; blocks held by the kernel."""

    def __init__(self) -> None:
        self.lru = Lru()
        self.dirty: set[int] = set()
        self.writeback: set[int] = set()
        self.for_reclaim: set[int] = set()
        self.held: list[int] = []

    @property
    def cached(self) -> set[int]:
        return set(self.lru.inactive) | set(self.lru.active)

    def touch(self, index: int) -> None:
        if index not in self.cached:
            self.lru.add(index)
        self.lru.mark_accessed(index)

    def write(self, index: int) -> None:
        self.touch(index)
        self.dirty.add(index)

    def evict(self, *, may_write: bool) -> int:
        """One batch off the inactive tail. Dirty pages are kept, or put under writeback; clean ones freed."""
        freed, kept = 0, []
        for index in [*self.lru.inactive][:32]:
            referenced = self.lru.inactive.pop(index)
            if index in self.writeback:
                kept.append((index, False, referenced))
                continue
            verdict, marked = check_references(order=0, young=False, anon=False, referenced=referenced)
            assert not marked
            if index not in self.dirty:
                freed += 1
                continue
            kept.append((index, False, False))
            if may_write and verdict == "reclaim":
                self.dirty.discard(index)
                self.writeback.add(index)
                self.for_reclaim.add(index)
        for index, active, referenced in kept:
            self.lru.add(index, active=active, referenced=referenced)
        return freed

    def write_back(self, index: int) -> None:
        if index in self.dirty - self.writeback:
            self.dirty.discard(index)
            self.writeback.add(index)

    def end_writeback(self, index: int) -> None:
        if index in self.writeback:
            self.writeback.discard(index)
            if index in self.for_reclaim and index not in self.dirty:
                self.lru.rotate(index)
            self.for_reclaim.discard(index)


class RealMachine:
    """The same moves by the kernel's functions, on zone 1 of the lab."""

    def __init__(self) -> None:
        self.m: Lab = lab(fs="ext2")
        self.k = self.m.k
        self.k.zone[0].nr_free = 0  # nothing to be had from the lower zone
        for mark in ("wmark_min", "wmark_low", "wmark_high"):
            setattr(self.k.zone[1], mark, 0)
        self.held: list[tuple[int, int]] = []
        self.m.task.tflags = c.PF_SWAPWRITE

    def touch(self, index: int) -> int:
        page = find_page(self.k, FILE, index)
        if page == c.NIL:
            page = try_alloc(self.k, USER, 0, c.GFP_KERNEL)
            assert page != c.NIL
            add_to_page_cache(self.k, USER, page, FILE, index, c.PG_UPTODATE)
            lru_add_drain(self.k, 0)
        mark_page_accessed(self.k, page)
        return int(page)

    def write(self, index: int) -> None:
        set_page_dirty(self.k, USER, self.touch(index))

    def evict(self, *, may_write: bool) -> int:
        m = self.m
        m.task.sc_writepage, m.task.sc_order, m.task.sc_gfp, m.task.sc_priority = int(may_write), 0, c.GFP_KERNEL, 12
        m.enter("shrink_inactive_list", 1, c.LRU_INACTIVE_FILE, 1)
        functions = {FN.shrink_inactive_list: shrink_inactive_list, FN.shrink_page_list: shrink_page_list}
        while m.task.depth:
            step = m.step(functions[m.f.fn])
            if step.name == "ext2_writepage":
                page = step.args[0]
                self.k.page[page].pflags &= ~c.PG_LOCKED
                set_page_writeback(self.k, page)
                m.answer()
        return int(m.task.retval)

    def write_back(self, index: int) -> None:
        page = find_page(self.k, FILE, index)
        if page != c.NIL and self.m.flags(page) & (c.PG_DIRTY | c.PG_WRITEBACK) == c.PG_DIRTY:
            clear_page_dirty_for_io(self.k, page)
            set_page_writeback(self.k, page)

    def end_writeback(self, index: int) -> None:
        page = find_page(self.k, FILE, index)
        if page != c.NIL and self.m.flags(page) & c.PG_WRITEBACK:
            end_page_writeback(self.k, page)

    def allocate(self, order: int) -> None:
        page = try_alloc(self.k, USER, order, c.GFP_KERNEL)
        if page != c.NIL:
            mark_kernel(self.k, page, order)
            self.held.append((page, order))

    def free(self, which: int) -> None:
        if self.held:
            page, order = self.held.pop(which % len(self.held))
            free_pages(self.k, USER, page, order)

    def indices(self, lru: int) -> list[int]:
        return [self.k.page[page].index for page in self.m.list_of(lru)]

    def flagged(self, flag: int) -> set[int]:
        return {self.k.page[page].index for lru in (2, 3) for page in self.m.list_of(lru) if self.m.flags(page) & flag}


MOVES = st.lists(
    st.one_of(
        st.tuples(
            st.sampled_from(["touch", "write", "write_back", "end_writeback"]), st.integers(0, NR_FILE_PAGES - 1)
        ),
        st.tuples(st.sampled_from(["evict", "evict_writing", "deactivate"]), st.integers(0, 40)),
        st.tuples(st.sampled_from(["allocate", "free"]), st.integers(0, 4)),
    ),
    max_size=80,
)
programs = settings(
    max_examples=60, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)


def play(machine, what: str, number: int):
    if what in ("evict", "evict_writing"):
        return machine.evict(may_write=what == "evict_writing")
    return getattr(machine, what)(number)


def assert_equal(real: RealMachine, naive: NaiveMachine) -> None:
    assert real.indices(c.LRU_INACTIVE_FILE) == naive.lru.head_first("inactive")
    assert real.indices(c.LRU_ACTIVE_FILE) == naive.lru.head_first("active")
    assert real.flagged(c.PG_DIRTY) == naive.dirty
    assert real.flagged(c.PG_WRITEBACK) == naive.writeback
    assert real.flagged(c.PG_REFERENCED) == {
        i for one in (naive.lru.inactive, naive.lru.active) for i, r in one.items() if r
    }
    vm, device = real.k.vm, real.k.bdi[0]
    assert (vm.nr_dirty, vm.nr_writeback, vm.nr_file_pages) == (
        len(naive.dirty),
        len(naive.writeback),
        len(naive.cached),
    )
    assert (device.reclaimable, device.writeback) == (len(naive.dirty), len(naive.writeback))
    assert (vm.nr_isolated_file, vm.nr_inactive_file, vm.nr_active_file) == (
        0,
        len(naive.lru.inactive),
        len(naive.lru.active),
    )


@programs
@given(MOVES)
def test_cache_lru_and_reclaim_equal_the_naive_machine_after_every_move(moves) -> None:
    naive, real = NaiveMachine(), RealMachine()
    for what, number in moves:
        if what in ("allocate", "free"):
            continue
        if what == "deactivate":
            naive.lru.deactivate(number)
            shrink_active_list(real.k, USER, 1, c.LRU_ACTIVE_FILE, number)
        else:
            freed = play(naive, what, number)
            got = play(real, what, number)
            if what.startswith("evict"):
                assert got == freed
        assert_equal(real, naive)


@programs
@given(MOVES)
def test_every_frame_is_free_cached_or_held_after_every_move(moves) -> None:
    real = RealMachine()
    total = real.k.zone[1].nr_free
    for what, number in moves:
        if what == "deactivate":
            continue
        play(real, what, number)
        used = real.k.vm.nr_file_pages + sum(1 << order for _, order in real.held) + real.k.pcp[1].nr
        assert real.k.zone[1].nr_free == total - used
    twin = Buddy(real.k.zone[1].start_page, real.k.zone[1].end_page)
    in_use = {page + i for page, order in real.held for i in range(1 << order)}
    in_use |= {page for lru in (2, 3) for page in real.m.list_of(lru)}
    for page in range(real.k.zone[1].start_page, real.k.zone[1].end_page):
        reserved = real.m.flags(page) & (c.PG_RESERVED | c.PG_PCP)
        if page not in in_use and not reserved:
            twin.release(page, 0)
    found = [real.k.free_area[c.MAX_ORDER + order].nr for order in range(c.MAX_ORDER)]
    assert found == [len(blocks) for blocks in twin.free]
