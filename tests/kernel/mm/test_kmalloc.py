# SPDX-License-Identifier: GPL-2.0-or-later
"""size-1024: objects come from slabs at hand, else from a new page, for which reclaim may have to run."""

from tests.kernel.lab import USER, called, lab, returned

from pageout.engine import constants as c
from pageout.engine.kstack import start_thread
from pageout.kernel.frames import FN
from pageout.kernel.mm.kmalloc import PER_SLAB, REAP_NS, cache_reap, kfree, kmalloc_refill, kmalloc_take
from pageout.kernel.sched.allocators import sys_select


def refill(m) -> int:
    m.enter("kmalloc_refill")
    m.step(kmalloc_refill)
    return int(m.task.retval)


def test_four_objects_come_from_one_page() -> None:
    m = lab()
    start_thread(m.k, USER, FN.user, 0)
    assert not kmalloc_take(m.k, USER)
    assert refill(m) == 0
    assert [kmalloc_take(m.k, USER) for _ in range(PER_SLAB)] == [1, 1, 1, 0]
    assert m.k.stat.kmalloc_pages == 1
    assert m.flags(m.k.stat.kmalloc_page) & c.PG_KERNEL
    kfree(m.k, USER)
    assert kmalloc_take(m.k, USER)


def test_without_a_free_page_the_allocators_slow_path_is_entered_and_its_failure_passed_on() -> None:
    m = lab()
    for zone in range(m.k.param.nr_zones):
        m.k.zone[zone].wmark_low = 1 << 30
    start_thread(m.k, USER, FN.user, 0)
    m.enter("kmalloc_refill")
    assert m.step(kmalloc_refill) == called("alloc_pages", 0, c.GFP_KERNEL)
    m.answer(c.NIL)
    assert m.step(kmalloc_refill) == returned(c.NIL)
    assert m.k.stat.kmalloc_pages == 0


def test_the_reaper_gives_empty_slabs_back_every_two_seconds() -> None:
    m = lab()
    start_thread(m.k, USER, FN.user, 0)
    for _ in range(3):
        refill(m)
        m.k.stat.kmalloc_free += 1  # what refill took comes back
    free = m.k.vm.nr_free_pages + sum(m.k.pcp[i].nr for i in range(m.k.param.nr_zones))
    cache_reap(m.k, USER)
    assert m.k.stat.kmalloc_pages == 3
    m.k.stat.now_ns = REAP_NS
    cache_reap(m.k, USER)
    assert (m.k.stat.kmalloc_pages, m.k.stat.kmalloc_free, m.k.stat.kmalloc_page) == (0, 0, c.NIL)
    assert m.k.vm.nr_free_pages + sum(m.k.pcp[i].nr for i in range(m.k.param.nr_zones)) == free + 3


def test_select_allocates_first_on_a_diet_and_polls_at_once_otherwise() -> None:
    for diet in (c.DIET_OFF, c.DIET_ON):
        m = lab()
        m.k.param.stack_diet = diet
        start_thread(m.k, USER, FN.user, 0)
        m.enter("sys_select")
        assert m.step(sys_select) == (called("kmalloc_refill") if diet else called("do_select"))
        if diet:
            m.answer(0)
            assert m.step(sys_select) == called("do_select")
        m.answer(0)
        assert m.step(sys_select) == returned(0)
        assert m.k.stat.kmalloc_free == diet


def test_select_without_memory_for_its_table_fails() -> None:
    m = lab()
    m.k.param.stack_diet = c.DIET_ON
    start_thread(m.k, USER, FN.user, 0)
    m.enter("sys_select")
    m.step(sys_select)
    m.answer(c.NIL)
    assert m.step(sys_select) == returned(-12)


def test_poll_goes_its_own_way() -> None:
    m = lab()
    start_thread(m.k, USER, FN.user, 0)
    m.enter("sys_poll")
    assert m.step(sys_select) == called("do_poll")
