# SPDX-License-Identifier: GPL-2.0-or-later
"""Reclaim of 6.x (reclaim.engine=node) against its naive twin, and its steps one by one."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.kernel.lab import KSWAPD, USER, YIELDED, called, lab, many, returned, slept, some
from tests.naive import reclaim_node as naive

from pageout.engine import constants as c
from pageout.kernel.mm import (
    compact_zone,
    compaction,
    folio_list,
    kcompactd,
    lruvec,
    reclaim_throttle,
    shrink_inactive,
    vmscan_node,
    workingset,
)
from pageout.kernel.mm.filemap import add_to_page_cache, end_page_writeback
from pageout.kernel.mm.free_area import free_one_page
from pageout.kernel.mm.kswapd_node import balance_node, kswapd_of_node, pgdat_balanced, wakeup_node_kswapd
from pageout.kernel.mm.swap import lru_del, mark_page_accessed
from pageout.machine.memory_map import Marks, zones_of

NODE = (("reclaim.engine", "node"), ("lru.batch", "15"), ("watermark.marks", "scaled"))
FLAGS = {
    "locked": c.PG_LOCKED,
    "reclaim": c.PG_RECLAIM,
    "young": c.PG_YOUNG,
    "referenced": c.PG_REFERENCED,
    "mapped": c.PG_MAPPED,
}
WHAT = {folio_list.FREE: "free", folio_list.KEEP: "keep", folio_list.ACTIVATE: "activate", folio_list.WRITE: "write"}


def node(**options: Any) -> Any:
    return lab(choices=(*NODE, *options.pop("choices", ())), **options)


def booleans(record: Any) -> Any:
    return st.builds(record, **{name: st.booleans() for name in record._fields})


@st.composite
def folios(draw: st.DrawFn) -> naive.Folio:
    """Pages as they can be: only one in swap cache or of a file can be dirty or under writeback."""
    folio = draw(booleans(naive.Folio))
    if not folio.anon:
        folio = folio._replace(swapcache=False)
    elif not folio.swapcache:
        folio = folio._replace(dirty=False, writeback=False)
    return folio


@many
@given(folios(), booleans(naive.Reclaimer))
def test_the_fate_of_a_page_is_that_of_the_table(folio: naive.Folio, who: naive.Reclaimer) -> None:
    m = node(swap=64, fs="ext2" if folio.has_writepage else "xfs")
    flags = sum(bit for name, bit in FLAGS.items() if getattr(folio, name))
    if folio.anon:
        flags |= c.PG_SWAPBACKED | (c.PG_SWAPCACHE if folio.swapcache else 0)
    page = m.page(flags, dirty=folio.dirty, writeback=folio.writeback, refs=int(folio.held), listed=False)
    m.k.page[page].pflags |= flags & c.PG_RECLAIM
    if not who.swap_free:
        m.k.stat.swap_free = 0
    m.act_as(KSWAPD if who.kswapd else USER)
    m.task.sc_gfp = c.GFP_WAIT | (c.GFP_IO if who.may_io else 0) | (c.GFP_FS if who.may_fs else 0)
    m.task.sc_writepage = int(who.may_write)
    m.k.node.dirty, m.k.node.writeback = int(who.node_dirty), int(who.node_writeback)
    action = folio_list.look_at_folio(m.k, m.t, page)
    wanted = naive.fate(folio, who)
    counted = {name for name in ("dirty", "unqueued", "congested", "immediate", "writeback", "ref_keep")
               if getattr(m.task, f"st_{name}")}  # fmt: skip
    if m.k.node.nr_vmscan_immediate_reclaim:
        counted.add("nr_vmscan_immediate_reclaim")
    assert (WHAT[action], bool(m.flags(page) & c.PG_RECLAIM), counted) == (wanted.what, wanted.reclaim, wanted.counts)


SIZE = st.integers(0, 40) | st.integers(0, 10**6)


@many
@given(
    st.builds(
        naive.Lists, SIZE, SIZE, SIZE, SIZE, free=SIZE, sum_of_high=st.just(0), swap_free=st.integers(0, 1),
        swappiness=st.integers(0, 200), anon_cost=SIZE, file_cost=SIZE,
        refaulted_anon=st.booleans(), refaulted_file=st.booleans(),
    ),
    st.integers(0, 12),
)  # fmt: skip
def test_the_shares_of_the_lists_are_those_of_the_twin(lists: naive.Lists, priority: int) -> None:
    m = node(swap=64)
    m.set_list_sizes(0, *lists[:4])
    k = m.k
    k.stat.swap_free, k.vm.nr_free_pages, k.param.swappiness = lists.swap_free, lists.free, lists.swappiness
    k.node.anon_cost, k.node.file_cost = lists.anon_cost, lists.file_cost
    k.node.workingset_activate_anon, k.node.workingset_activate_file = lists.refaulted_anon, lists.refaulted_file
    high = sum(k.zone[z].wmark_high for z in range(k.param.nr_zones))
    lruvec.prepare_scan_count(k, m.t, priority)
    found = [lruvec.get_scan_count(k, m.t, lru, priority) for lru in range(4)]
    assert found == naive.scan_counts(lists._replace(sum_of_high=high), priority)


@some
@given(st.integers(512, 1 << 16), st.integers(64, 8192), st.integers(1, 1000))
def test_watermarks_are_those_of_the_twin(min_free: int, memory_mib: int, scale: int) -> None:
    min_free = min(min_free, memory_mib * 1024 // 8)
    zones = zones_of(memory_mib << 20, min_free, marks=Marks(scale))
    wanted = naive.watermarks(min_free, [zone.present for zone in zones], scale)
    assert [(zone.wmark_min, zone.wmark_low, zone.wmark_high) for zone in zones] == wanted


def test_the_watermarks_of_a_recorded_machine() -> None:
    assert naive.watermarks(3855, [3840, 245316], 10) == [(14, 17, 20), (948, 1193, 1438)]


@some
@given(st.integers(0, 1 << 29), st.integers(0, 2000), st.integers(0, 100), st.integers(0, 1), st.booleans())
def test_a_refault_activates_if_the_page_would_have_stayed(
    then: int, distance: int, active: int, swap: int, was_active: bool
) -> None:
    m = node(swap=64)
    k = m.k
    k.stat.swap_free = swap
    m.set_list_sizes(0, 300, 200, 50, active * 10)
    k.node.nonresident_age = then + distance
    shadow = workingset.pack_shadow(then, int(was_active))
    assert shadow < c.NIL
    flags = workingset.workingset_refault(k, shadow, c.PG_UPTODATE)
    activates = naive.refault(then + distance, then, active * 10, swap, 300, 200)
    assert bool(flags & c.PG_ACTIVE) == activates == bool(k.node.workingset_activate_file)
    assert bool(flags & c.PG_WORKINGSET) == (activates and was_active) == bool(k.node.workingset_restore_file)


def test_a_page_that_is_only_written_does_not_refault() -> None:
    m = node()
    slot = m.k.slot[m.k.inode[0].slot_start + 5]
    slot.page = workingset.pack_shadow(0, 0)
    add_to_page_cache(m.k, m.t, m.block(0), 0, 5, 0)
    assert m.k.node.workingset_refault_file == 0
    m.k.slot[m.k.inode[0].slot_start + 6].page = workingset.pack_shadow(0, 0)
    add_to_page_cache(m.k, m.t, m.block(0), 0, 6, c.PG_LOCKED)
    assert m.k.node.workingset_refault_file == 1


def test_a_page_written_back_goes_to_the_tail_from_the_active_list_too() -> None:
    m = node()
    others = [m.page() for _ in range(3)]
    page = m.page(c.PG_ACTIVE, writeback=True)
    m.k.page[page].pflags |= c.PG_RECLAIM
    assert m.list_of(c.LRU_ACTIVE_FILE, 0) == [page]
    end_page_writeback(m.k, page)
    assert m.list_of(c.LRU_INACTIVE_FILE, 0) == [*others[::-1], page]
    assert m.k.vm.pgrotated == 1


def test_the_second_reading_activates_and_ages_the_node() -> None:
    m = node()
    page = m.page()
    mark_page_accessed(m.k, page)
    assert m.k.node.nonresident_age == 0
    mark_page_accessed(m.k, page)
    assert m.list_of(c.LRU_ACTIVE_FILE, 0) == [page]
    assert m.k.node.nonresident_age == 1


def test_pages_of_all_zones_lie_on_one_list_and_are_counted_by_zone() -> None:
    m = node()
    pages = [m.page(zone=zone) for zone in (0, 1, 0)]
    assert m.list_of(c.LRU_INACTIVE_FILE, 0) == pages[::-1]
    assert [m.k.zone[zone].lru_file for zone in range(2)] == [2, 1]
    lru_del(m.k, pages[0])
    assert m.k.zone[0].lru_file == 1


def begin_batch(m: Any, nr: int = 32) -> Any:
    m.task.sc_gfp = c.GFP_KERNEL
    return m.enter("shrink_inactive_list", nr, c.LRU_INACTIVE_FILE)


def test_a_batch_of_dirty_pages_wakes_the_flushers_and_goes_out_of_the_way() -> None:
    m = node()
    pages = [m.page(dirty=True) for _ in range(40)]
    m.act_as(KSWAPD)
    begin_batch(m)
    assert m.step(shrink_inactive.shrink_inactive_folios) == called("shrink_folio_list")
    assert m.step(folio_list.shrink_folio_list) == returned(0)
    assert m.step(shrink_inactive.shrink_inactive_folios) == returned(0)
    assert m.list_of(c.LRU_ACTIVE_FILE, 0) == pages[:32][::-1]
    assert m.k.node.nr_vmscan_immediate_reclaim == 32
    assert m.work_items() == [(40, 0, 0)]
    assert m.events("mm_vmscan_lru_shrink_inactive") == [(0, 32, 0, 32, 0, 0, 0, 0, 32, 0, 0, 0, 10)]
    assert (m.task.sn_unqueued, m.task.sn_file_taken) == (32, 32)


def test_clean_pages_are_freed_and_leave_their_age() -> None:
    m = node()
    for _ in range(5):
        m.page()
    begin_batch(m)
    m.step(shrink_inactive.shrink_inactive_folios)
    assert m.step(folio_list.shrink_folio_list) == returned(5)
    assert m.step(shrink_inactive.shrink_inactive_folios) == returned(5)
    start = m.k.inode[0].slot_start
    assert [workingset.shadow_age(m.k.slot[start + i].page) for i in range(5)] == [0, 1, 2, 3, 4]
    assert m.k.node.nonresident_age == 5
    assert (m.k.node.pgscan_direct, m.k.node.pgsteal_direct, m.k.node.pgsteal_file) == (5, 5, 5)


def test_direct_reclaim_waits_20_ms_where_too_much_is_isolated_and_gives_up_after() -> None:
    m = node(hz=250)
    m.page()
    m.k.vm.nr_isolated_file = 1
    begin_batch(m)
    assert m.step(shrink_inactive.shrink_inactive_folios) == called("reclaim_throttle", c.THROTTLE_ISOLATED)
    assert m.step(reclaim_throttle.reclaim_throttle) == slept(c.WQ_RECLAIM_ISOLATED, 5)
    m.wake(20_000_000, woken=0)
    assert m.step(reclaim_throttle.reclaim_throttle) == returned(0)
    assert m.events("mm_vmscan_throttled") == [(0, 20_000, 20_000, 2)]
    assert m.step(shrink_inactive.shrink_inactive_folios) == returned(0)


def test_kswapd_waits_for_writes_until_enough_are_written() -> None:
    m = node(hz=250)
    pages = [m.page(writeback=True) for _ in range(40)]
    m.act_as(KSWAPD)
    m.enter("reclaim_throttle", c.THROTTLE_WRITEBACK)
    assert m.step(reclaim_throttle.reclaim_throttle) == slept(c.WQ_RECLAIM_WRITEBACK, 25)
    for page in pages[:32]:
        end_page_writeback(m.k, page)
    assert m.task.state == c.T_SLEEPING
    end_page_writeback(m.k, pages[32])
    assert m.task.state == c.T_RUNNABLE
    assert m.k.node.nr_throttled_written == 33


@pytest.mark.parametrize(("in_flight", "naps"), [(0, False), (40, True)])
def test_nobody_naps_for_want_of_progress_while_little_is_being_written(in_flight: int, naps: bool) -> None:
    m = node()
    for i in range(60):
        m.page(dirty=i < in_flight)
    m.enter("reclaim_throttle", c.THROTTLE_NOPROGRESS)
    step = m.step(reclaim_throttle.reclaim_throttle)
    assert step == (slept(c.WQ_RECLAIM_NOPROGRESS, 1) if naps else YIELDED)


def use_up(m: Any, below: str, zones: tuple[int, ...] = (0, 1)) -> None:
    for zone in zones:
        m.k.zone[zone].nr_free = getattr(m.k.zone[zone], f"wmark_{below}")


def test_one_zone_above_high_is_a_balanced_node() -> None:
    m = node()
    assert pgdat_balanced(m.k, 0)
    use_up(m, "low", (1,))
    assert pgdat_balanced(m.k, 0)
    use_up(m, "low", (0,))
    assert not pgdat_balanced(m.k, 0)


def test_kswapd_is_woken_where_it_sleeps_and_is_needed_and_has_not_given_up() -> None:
    m = node()
    m.act_as(KSWAPD)
    m.task.depth = 0
    assert m.step(kswapd_of_node) == slept(c.WQ_KSWAPD, 10)
    m.act_as(USER)
    wakeup_node_kswapd(m.k, USER, 0, c.GFP_KERNEL)
    assert m.events() == []
    use_up(m, "low")
    m.k.node.kswapd_failures = 16
    wakeup_node_kswapd(m.k, USER, 0, c.GFP_KERNEL)
    assert m.events() == []
    m.k.node.kswapd_failures = 0
    wakeup_node_kswapd(m.k, USER, 0, c.GFP_KERNEL)
    assert m.events() == [("mm_vmscan_wakeup_kswapd", 0, 0, c.GFP_KERNEL)]
    assert m.k.task[KSWAPD].state == c.T_RUNNABLE


def test_a_run_of_kswapd_scans_harder_and_counts_its_failure() -> None:
    m = node()
    use_up(m, "low")
    m.act_as(KSWAPD)
    m.enter("balance_pgdat", 0)
    for priority in range(12, 0, -1):
        assert m.step(balance_node) == called("shrink_node", priority)
        m.answer()
    assert m.step(balance_node) == returned(0)
    assert m.k.node.kswapd_failures == 1
    assert m.k.vm.pageoutrun == 1


def test_enough_scanned_and_something_freed_keeps_the_priority() -> None:
    m = node()
    use_up(m, "low")
    m.act_as(KSWAPD)
    m.enter("balance_pgdat", 0)
    assert m.step(balance_node) == called("shrink_node", 12)
    m.task.sc_scanned, m.task.sc_reclaimed = m.task.sc_to_reclaim, 1
    m.answer()
    assert m.step(balance_node) == called("shrink_node", 12)


@some
@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 100))
def test_the_larger_kind_gets_what_the_smaller_one_got(target: int, left: int, percentage: int) -> None:
    left = min(left, target)
    found = vmscan_node.rescaled(target, left, percentage)
    assert found == max(0, target * (100 - percentage) // 100 - (target - left))


def in_pieces(m: Any, zone: int) -> tuple[list[int], set[int]]:
    """A quarter of a zone's pages in use, in no order, the others free: its pages, and what they hold of their file."""
    k = m.k
    pages = sorted(m.block(0, zone) for _ in range(k.zone[zone].nr_free - 600))
    used = {page for page in pages if (page * 40503 >> 4) % 4 == 0}
    for page in sorted(used):
        m.place(page)
    for page in pages:
        if page not in used:
            k.page[page].pflags = 0
            free_one_page(k, zone, page, 0, c.MIGRATE_MOVABLE)
    return pages, {int(k.page[page].index) for page in m.list_of(c.LRU_INACTIVE_FILE, 0)}


def has_block(k: Any, zone: int, order: int) -> bool:
    return any(k.free_area[zone * c.MAX_ORDER + o].nr > 0 for o in range(order, c.MAX_ORDER))


def compacted(m: Any, order: int, how: int) -> Any:
    """Run compact_zone on zone 1 to its end; what it returned."""
    m.enter("compact_zone", 1, order, how)
    step = m.step(compact_zone.compact_zone)
    while step == YIELDED:
        m.task.spent_ns = 0
        step = m.step(compact_zone.compact_zone)
    return step


LIGHT = compaction.MODE_DIRECT | compaction.MODE_SYNC | c.MIGRATE_MOVABLE


def test_compaction_moves_pages_from_the_low_end_and_frees_a_block() -> None:
    m = node(choices=(("compaction", "on"),), memory_mb=64)
    k, zone = m.k, 1
    _, before = in_pieces(m, zone)
    while has_block(k, zone, 7):
        m.block(7, zone)
    assert compacted(m, 7, LIGHT) == returned(compaction.SUCCESS)
    assert has_block(k, zone, 7)
    after = m.list_of(c.LRU_INACTIVE_FILE, 0)
    assert {int(k.page[page].index) for page in after} == before
    assert all(k.slot[k.inode[0].slot_start + k.page[page].index].page == page for page in after)
    assert k.node.pgmigrate_success > 0
    assert k.node.compact_isolated >= 2 * k.node.pgmigrate_success


def test_a_pageblock_that_had_nothing_is_passed_by_until_kswapd_sleeps() -> None:
    m = node(choices=(("compaction", "on"),), memory_mb=64)
    k, zone = m.k, 1
    in_pieces(m, zone)
    for page in m.list_of(c.LRU_INACTIVE_FILE, 0):
        k.page[page].pflags |= c.PG_WRITEBACK
    while has_block(k, zone, 7):
        m.block(7, zone)
    assert compacted(m, 7, LIGHT) == returned(compaction.PARTIAL)
    scanned = int(k.node.compact_migrate_scanned)
    assert scanned > 0
    assert k.zone[zone].compact_flush
    assert compacted(m, 7, LIGHT) == returned(compaction.PARTIAL)
    assert k.node.compact_migrate_scanned == scanned  # all are marked
    compaction.reset_isolation_suitable(k)
    assert not k.zone[zone].compact_flush
    assert compacted(m, 7, LIGHT) == returned(compaction.COMPLETE)  # it set out from where all is known to begin
    assert k.node.compact_migrate_scanned > scanned


def test_without_free_frames_above_the_mark_compaction_gives_up() -> None:
    m = node(choices=(("compaction", "on"),), memory_mb=64)
    k, zone = m.k, 1
    in_pieces(m, zone)
    while has_block(k, zone, 7):
        m.block(7, zone)
    k.zone[zone].wmark_min = k.zone[zone].nr_free
    k.task[KSWAPD].state = c.T_SLEEPING
    whole = compaction.MODE_SYNC | compaction.MODE_WHOLE | compaction.MODE_PROACTIVE
    assert compacted(m, -1, whole) == returned(compaction.CONTENDED)
    assert k.node.pgmigrate_success == 0


@some
@given(st.lists(st.integers(0, 30), min_size=11, max_size=11), st.integers(1, 10))
def test_the_fragmentation_index_is_that_of_the_documentation(by_order: list[int], order: int) -> None:
    """Documentation/admin-guide/sysctl/vm.rst: towards 0 for want of memory, towards 1000 for fragmentation."""
    m = node()
    for o, nr in enumerate(by_order):
        m.k.free_area[c.MAX_ORDER + o].nr = nr
    pages, blocks = sum(nr << o for o, nr in enumerate(by_order)), sum(by_order)
    found = compaction.fragmentation_index(m.k, 1, order)
    if any(by_order[order:]):
        assert found == -1000
    elif not blocks:
        assert found == 0
    else:
        assert found == 1000 - (1000 + pages * 1000 // 2**order) // blocks


def test_kcompactd_works_for_the_order_it_was_woken_for_and_puts_off_what_failed() -> None:
    m = node(choices=(("compaction", "on"),), memory_mb=64)
    k = m.k
    k.param.hz = 250
    m.act_as(USER)
    m.enter("kcompactd")
    assert m.step(kcompactd.kcompactd) == slept(c.WQ_KCOMPACTD, 125)
    in_pieces(m, 1)
    while has_block(k, 1, 9):
        m.block(9, 1)
    compaction.wakeup_kcompactd(k, 9)
    assert (k.node.kcompactd_max_order, k.task[USER].state) == (9, c.T_RUNNABLE)
    m.wake()
    how = compaction.MODE_SYNC | c.MIGRATE_UNMOVABLE
    assert m.step(kcompactd.kcompactd) == called("compact_zone", 1, 9, how)
    m.answer(compaction.COMPLETE)
    assert m.step(kcompactd.kcompactd).kind == "sleep"
    assert (k.node.kcompactd_max_order, k.zone[1].compact_defer_shift, k.node.compact_daemon_wake) == (0, 1, 1)


def test_compaction_that_failed_is_put_off_for_more_and_more_attempts() -> None:
    m = node(choices=(("compaction", "on"),))
    skipped = []
    for _ in range(3):
        compaction.defer_compaction(m.k, 1, 4)
        nr = 0
        while compaction.compaction_deferred(m.k, 1, 4):
            nr += 1
        skipped.append(nr)
    assert skipped == [1, 3, 7]
    compaction.defer_compaction(m.k, 1, 4)
    compaction.compaction_defer_reset(m.k, 1, 3, False)  # order 3 will do: what is above is put off as before
    assert m.k.zone[1].compact_order_failed == 4
    assert not compaction.compaction_deferred(m.k, 1, 3)
    assert compaction.compaction_deferred(m.k, 1, 4)
    compaction.compaction_defer_reset(m.k, 1, 4, True)
    assert not compaction.compaction_deferred(m.k, 1, 5)
