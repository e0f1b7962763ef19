# SPDX-License-Identifier: GPL-2.0-or-later
"""Compaction of 6.1 against its naive twin, and what its two scanners do to each other."""

import random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from tests.kernel.lab import few, lab
from tests.naive import compaction as naive
from tests.naive.allocator import MOVABLE, Buddy

from pageout.engine import constants as c
from pageout.kernel.mm import compact_migrate, compact_zone, compaction
from pageout.kernel.mm.free_area import free_one_page
from pageout.machine.checkers_node import check_held_frames

CHOICES = (("reclaim.engine", "node"), ("lru.batch", "15"), ("watermark.marks", "scaled"), ("compaction", "on"))
ZONE = 0
VERDICTS = {
    compaction.COMPLETE: naive.COMPLETE,
    compaction.PARTIAL: naive.PARTIAL,
    compaction.CONTENDED: naive.CONTENDED,
    compaction.SUCCESS: naive.SUCCESS,
}


def machine() -> Any:
    m = lab(choices=CHOICES)
    m.k.zone[ZONE].pcp_high = 1 << 30
    return m


def lay_out(m: Any, frames: dict[int, str], default: str = "kernel") -> None:
    """Make the zone's memory what is said of each frame: free, page, held, written, kernel."""
    k, z = m.k, m.k.zone[ZONE]
    owned = [m.block(0, ZONE) for _ in range(z.nr_free)]
    m.arrays["pageblock"][:] = c.MIGRATE_MOVABLE
    index = 0
    for page in sorted(owned):
        what = frames.get(page, default)
        if what == "free":
            k.page[page].pflags = 0
            free_one_page(k, ZONE, page, 0, c.MIGRATE_MOVABLE)
        elif what == "kernel" or index == 1024:
            k.page[page].pflags = c.PG_KERNEL
        else:
            m.place(page, index=index, refs=int(what == "held"))
            index += 1
            if what == "written":
                k.page[page].pflags |= c.PG_WRITEBACK


def twin_of(m: Any) -> naive.Zone:
    """The zone as the twin has it."""
    k, z = m.k, m.k.zone[ZONE]
    free = Buddy(int(z.start_page), int(z.end_page))
    inside: set[int] = set()
    for order in range(c.MAX_ORDER):
        free.lists[order, MOVABLE] = free_list(k, order)
        for page in free.lists[order, MOVABLE]:
            inside |= set(range(page, page + 2**order))
    used = {}
    for page in range(z.start_page, z.end_page):
        if page not in inside:
            pg = k.page[page]
            used[page] = "kernel"
            if pg.pflags & c.PG_LRU:
                used[page] = "written" if pg.pflags & c.PG_WRITEBACK else "held" if pg.refs else "page"
    return naive.Zone(free, int(z.wmark_min + z.reserve0), used)


def free_list(k: Any, order: int) -> list[int]:
    """The free blocks of an order for movable pages, the first first."""
    blocks, page = [], int(k.free_list[(ZONE * c.MAX_ORDER + order) * c.NR_FREE_LISTS + c.MIGRATE_MOVABLE].head)
    while page != c.NIL:
        blocks.append(page)
        page = int(k.page[page].lru_next)
    return blocks


def compacted(m: Any, order: int, how: int) -> Any:
    """Run compact_zone on the zone, suitable or not. What it came to."""
    f = m.enter("compact_zone", ZONE, order, how)
    compact_zone._begin(m.k, m.t, f)
    f.pc = 1
    step = m.step(compact_zone.compact_zone)
    while step.kind == "yield":
        m.task.spent_ns = 0
        step = m.step(compact_zone.compact_zone)
    return VERDICTS[step.args[0]]


def same(m: Any, zone: naive.Zone, places: dict[int, int]) -> None:
    """The machine stands as the twin does; places: which file page was in which frame at the start."""
    k, z = m.k, m.k.zone[ZONE]
    assert [free_list(k, order) for order in range(c.MAX_ORDER)] == [
        zone.free.lists[order, MOVABLE] for order in range(c.MAX_ORDER)
    ]
    assert {int(i) for i in range(len(m.arrays["pageblock_skip"])) if k.pageblock_skip[i]} == zone.skip
    assert (z.compact_async, z.compact_migrate, z.compact_free) == (
        zone.migrate_async,
        zone.migrate_sync,
        zone.free_from,
    )
    assert (z.compact_init, z.compact_init_free, bool(z.compact_flush)) == (
        zone.first_migrate,
        zone.first_free,
        zone.flush,
    )
    assert k.node.compact_migrate_scanned == zone.looked_at
    assert k.node.compact_free_scanned == zone.looked_at_free
    assert k.node.pgmigrate_fail == zone.failed
    for index, before in places.items():
        now = int(k.slot[k.inode[0].slot_start + index].page)
        assert zone.moved.get(now, now) == before


@few
@given(
    st.integers(0, 2**32),
    st.sampled_from(("rare", "mixed", "blocks", "low")),
    st.lists(
        st.tuples(st.integers(1, 9), st.sampled_from(("async", "light", "full", "kcompactd", "sleep"))),
        min_size=1,
        max_size=5,
    ),
)
def test_a_zone_is_compacted_as_by_the_twin(seed: int, pattern: str, runs: list[tuple[int, str]]) -> None:
    rng, m = random.Random(seed), machine()
    z = m.k.zone[ZONE]
    weights = {
        "rare": (2, 60, 1, 1, 40),
        "mixed": (50, 40, 3, 4, 3),
        "blocks": (30, 30, 1, 2, 37),
        "low": (4, 1, 0, 0, 95),
    }
    frames, what = {}, "kernel"
    for page in range(z.start_page, z.end_page):
        if page % rng.choice((1, 3, 8, 32)) == 0 if pattern == "blocks" else True:
            what = rng.choices(("free", "page", "held", "written", "kernel"), weights[pattern])[0]
        frames[page] = what
    lay_out(m, frames)
    z.wmark_min = rng.choice((0, 20, z.nr_free // 2))
    zone = twin_of(m)
    places = {int(m.k.page[page].index): page for page, kind in zone.used.items() if kind != "kernel"}
    for order, how in runs:
        if how == "sleep":
            compaction.reset_isolation_suitable(m.k)
            naive.reset(zone)
        else:
            direct, sync, whole = how != "kcompactd", how != "async", how == "full"
            mode = compaction.MODE_DIRECT | c.MIGRATE_MOVABLE if direct else c.MIGRATE_UNMOVABLE
            mode |= (compaction.MODE_SYNC if sync else 0) | (compaction.MODE_WHOLE if whole else 0)
            found = naive.Run(zone, order, sync=sync, direct=direct, whole=whole).go()
            assert compacted(m, order, mode) == found
        same(m, zone, places)


def begun(m: Any, order: int, how: int) -> Any:
    """A run of compact_zone that has only begun: its frame."""
    f = m.enter("compact_zone", ZONE, order, how)
    compact_zone._begin(m.k, m.t, f)
    return f


LIGHT = compaction.MODE_DIRECT | compaction.MODE_SYNC | c.MIGRATE_MOVABLE


def test_frames_for_a_batch_are_held_beforehand_and_given_back_at_the_end() -> None:
    m = machine()
    free = dict.fromkeys((*range(3072, 3136), *range(3328, 3392)), "free")
    lay_out(m, {512: "page", 513: "page", **free})
    k, before = m.k, int(m.k.zone[ZONE].nr_free)
    k.zone[ZONE].wmark_min = 0
    f = begun(m, 9, LIGHT)
    f.pos = 512
    compact_zone._step(k, m.t, f)
    f.pc = 1
    assert k.node.pgmigrate_success == 2
    assert f.count == 62  # the block came whole, two of it are used
    assert k.zone[ZONE].nr_free == before - 64 + 2  # those the pages came from
    assert not list(check_held_frames(m.arrays))
    f.count -= 1
    assert list(check_held_frames(m.arrays)) == ["task 2 holds 62 frames for compaction, counted 61"]
    f.count += 1
    compact_zone.release_freepages(k, m.t, f)
    assert (f.count, k.pcp[0].nr) == (0, 62)


def test_a_pageblock_picked_for_its_free_block_is_passed_by_and_the_next_run_begins_behind_it() -> None:
    m = machine()
    frames = dict.fromkeys(range(1024, 1032), "free") | dict.fromkeys(range(1032, 1100), "page")
    lay_out(m, {512: "page", **frames, **dict.fromkeys(range(3072, 3200), "free")})
    f = begun(m, 9, LIGHT)
    compact_migrate.isolate_migratepages(m.k, m.t, f, False)
    assert (f.nr_taken, f.pos) == (0, 1536)
    assert m.k.pageblock_skip[2]
    assert (m.k.zone[ZONE].compact_migrate, m.k.zone[ZONE].compact_async) == (2048, 2048)


def test_asynchronous_direct_compaction_leaves_a_block_it_cannot_empty() -> None:
    m = machine()
    lay_out(m, {**dict.fromkeys(range(512, 528), "page"), 515: "written", **dict.fromkeys(range(3072, 3200), "free")})
    f = begun(m, 3, compaction.MODE_DIRECT | c.MIGRATE_MOVABLE)
    f.pos = 512
    compact_migrate.isolate_migratepages(m.k, m.t, f, False)
    assert (f.nr_taken, f.pos) == (8, 528)  # those of the second block of eight
