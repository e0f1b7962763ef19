# SPDX-License-Identifier: GPL-2.0-or-later
"""gentle-lumpy: which block it takes, and in which order its pages are written."""

from hypothesis import given
from hypothesis import strategies as st
from tests.kernel.lab import FILE, USER, few, lab

from pageout.engine import constants as c
from pageout.kernel.mm.gentle import NR_TAGS, gentle_tag, sort_by_block
from pageout.kernel.mm.isolate import isolate_lru_pages

GENTLE = (("reclaim.lumpy", "gentle"),)
ORDER = 2
CLEAN, DIRTY, ACTIVE, KERNEL = "clean", "dirty", "active", "kernel"
COST = {CLEAN: 0, DIRTY: 16, ACTIVE: 4}


def blocks(m, kinds: list[list[str]]) -> list[int]:
    """Blocks of four frames; the first frame of each is an inactive page, oldest first. Returns those tags."""
    firsts = [m.block(ORDER) for _ in kinds]
    for first in firsts:
        m.place(first)
    for first, rest in zip(firsts, kinds, strict=True):
        for page, kind in enumerate(rest, first + 1):
            if kind == KERNEL:
                m.k.page[page].pflags = c.PG_KERNEL
            else:
                m.place(page, c.PG_ACTIVE if kind == ACTIVE else 0, dirty=kind == DIRTY)
    return firsts


@few
@given(
    st.lists(
        st.lists(st.sampled_from((CLEAN, DIRTY, DIRTY, ACTIVE, KERNEL)), min_size=3, max_size=3),
        min_size=1,
        max_size=NR_TAGS,
    )
)
def test_the_cheapest_block_near_the_tail_is_taken_and_a_hopeless_one_never(kinds) -> None:
    m = lab(choices=GENTLE)
    tags = blocks(m, kinds)
    for first, rest in zip(tags, kinds, strict=True):  # the tags are the oldest pages: nothing else is near the tail
        for page in range(first + 1, first + 4):
            if m.flags(page) & c.PG_LRU and not m.flags(page) & c.PG_ACTIVE:
                assert rest
    costs = [None if KERNEL in rest else sum(COST[kind] for kind in rest) for rest in kinds]
    known = [cost for cost in costs if cost is not None]
    tag, with_block, _ = gentle_tag(m.k, 1, tags[0], ORDER)
    assert with_block == bool(known)
    assert tag == (tags[costs.index(min(known))] if known else tags[0])
    m.task.sc_order = ORDER
    isolate_lru_pages(m.k, USER, 1, c.LRU_INACTIVE_FILE, 1, 1)
    assert set(m.kept()) == set(range(tag, tag + 4) if with_block else [tag])


def test_without_lumpy_reclaim_for_the_request_the_tail_is_taken_as_ever() -> None:
    m = lab(choices=GENTLE)
    tags = blocks(m, [[DIRTY] * 3, [CLEAN] * 3])
    m.task.sc_order = ORDER
    isolate_lru_pages(m.k, USER, 1, c.LRU_INACTIVE_FILE, 1, 0)
    assert m.kept()[0] == tags[0]


@few
@given(st.lists(st.tuples(st.booleans(), st.integers(-1, 30)), max_size=40))
def test_what_was_taken_is_sorted_clean_first_then_by_disk_block(pages) -> None:
    m = lab(choices=GENTLE)
    order, before = [], c.NIL
    for number, (dirty, block) in enumerate(pages):
        page = m.page(dirty=dirty, listed=False, index=number, block=block)
        key = (0, 0, 0) if not dirty else (1, 0, block) if block >= 0 else (2, 0, m.k.inode[FILE].slot_start + number)
        order.append((key, number, page))
        if before == c.NIL:
            m.task.kept_head = page
        else:
            m.k.page[before].lru_next = page
        before = page
    if not pages:
        m.task.kept_head = c.NIL
    m.task.kept_tail = before
    sort_by_block(m.k, USER)
    assert m.kept() == [page for _, _, page in sorted(order)]
