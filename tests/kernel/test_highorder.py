# SPDX-License-Identifier: GPL-2.0-or-later
"""Requests of high order by tasks: what they may do, what is counted."""

from types import SimpleNamespace

import pytest
from tests.kernel.lab import called, lab, returned

from pageout.engine import constants as c
from pageout.kernel.frames import FN
from pageout.kernel.sched.allocators import periodic
from pageout.kernel.sched.highorder import GFP_HUGEPAGE, JOB_HUGEPAGES, get_pages

JOB_ALLOC = 1


def ask(m, order: int, gfp: int):
    m.enter("net_rx_action", order, gfp)
    return m.step(get_pages)


@pytest.mark.parametrize("order", [0, 2, 9])
def test_a_block_at_hand_is_held_and_counted_by_order(order: int) -> None:
    m = lab()
    step = ask(m, order, c.GFP_ATOMIC)
    page = m.task.allocated_head
    assert step == returned(page)
    assert m.flags(page) == c.PG_KERNEL | order << c.ORDER_SHIFT
    assert (m.k.order_stat[order].attempts, m.k.order_stat[order].failures) == (int(order > 0), 0)
    assert m.k.stat.highorder_attempts == int(order > 0)
    assert m.k.pageblock[page >> 9] == c.MIGRATE_UNMOVABLE


def test_a_failure_is_counted_at_its_order() -> None:
    m = lab()
    for zone in (0, 1):
        m.k.zone[zone].nr_free = 0
    assert ask(m, 2, c.GFP_ATOMIC) == called("alloc_pages", 2, c.GFP_ATOMIC)
    m.answer(c.NIL)
    assert m.step(get_pages) == returned(c.NIL)
    assert [m.k.order_stat[o].failures for o in range(4)] == [0, 0, 1, 0]
    assert (m.k.stat.highorder_failures, m.task.nr_highorder_failed, m.task.allocated_nr) == (1, 1, 0)


@pytest.mark.parametrize(
    ("kind", "gfp", "function", "order"),
    [
        (JOB_HUGEPAGES, 0, "sys_nr_hugepages", 9),
        (JOB_ALLOC, c.GFP_NOFS, "sys_ioctl", 2),
        (JOB_ALLOC, c.GFP_ATOMIC, "net_rx_action", 2),
        (JOB_ALLOC, 0, "sys_recvmsg", 2),
    ],
)
def test_each_kind_of_request_comes_down_a_stack_of_its_own(kind: int, gfp: int, function: str, order: int) -> None:
    m = lab()
    job = m.k.job[0]
    job.kind, job.gfp, job.order, job.background, job.count = kind, gfp, 2, 0, 0
    depth = m.task.depth
    periodic(m.k, m.t, m.f, job)
    assert m.task.depth == depth + 1
    assert m.f.fn == getattr(FN, function)
    assert m.f.a == order
    assert m.f.b == (GFP_HUGEPAGE if kind == JOB_HUGEPAGES else gfp)


def test_a_huge_page_is_asked_for_as_hugetlb_does() -> None:
    """Source: Linux v2.6.34 mm/hugetlb.c:alloc_fresh_huge_page_node; names as the trace prints them."""
    from pageout.vocabulary.tracepoints import GFP_HIGHUSER, gfp_mask

    assert GFP_HIGHUSER | gfp_mask("COMP", "THISNODE", "REPEAT", "NOWARN") == GFP_HUGEPAGE


@pytest.mark.parametrize(
    ("have", "got", "ends"), [(0, True, False), (6, True, False), (7, True, True), (0, False, True)]
)
def test_a_pool_is_filled_up_to_its_size_or_to_the_first_failure(have: int, got: bool, ends: bool) -> None:
    m = lab()
    job = SimpleNamespace(
        pool=1, count=8, issued=0, next_due_ns=0, interval_ns=0, background=0, kind=JOB_HUGEPAGES, gfp=0, hold=0
    )
    m.enter("user")
    m.k.stat.nr_hugepages = have + int(got)
    m.f.pc, m.task.retval = 1, 100 if got else c.NIL
    assert (periodic(m.k, m.t, m.f, job) == -1) == ends
