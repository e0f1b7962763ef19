# SPDX-License-Identifier: GPL-2.0-or-later
"""shrink_page_list and pageout: each page's fate against the table, and the passes step by step."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.kernel.lab import ANON, FILE, KSWAPD, USER, YIELDED, called, lab, many, returned
from tests.naive import reclaim as naive

from pageout.engine import constants as c
from pageout.kernel import costs
from pageout.kernel.mm import shrink_list
from pageout.kernel.mm.isolate import count_isolated
from pageout.kernel.mm.shrink_list import shrink_page_list
from pageout.kernel.mm.swap import lru_del

WAIT = called("congestion_wait", 10)
FLUSHERS_ONLY = (("reclaim.writeback", "kswapd"), ("reclaim.kick", "dirty"), ("reclaim.wait_on_dirty", "congestion"))


def isolated(m, pages: list[int]) -> None:
    """Make these pages the task's private list, in this order."""
    for page in pages:
        if m.flags(page) & c.PG_LRU:
            lru_del(m.k, page)
        m.k.page[page].pflags |= c.PG_ISOLATED
        count_isolated(m.k, 1, page, 1)
        m.k.page[page].lru_next = c.NIL
    for page, following in zip(pages, [*pages[1:], c.NIL], strict=True):
        m.k.page[page].lru_next = following
    m.task.kept_head, m.task.kept_tail = pages[0], pages[-1]


def begin(
    m,
    pages: list[int],
    *,
    sync: int = 0,
    gfp: int = c.GFP_KERNEL,
    order: int = 0,
    priority: int = 12,
    write: int = 1,
    t: int = USER,
):
    m.act_as(t)
    isolated(m, pages)
    task = m.task
    task.sc_gfp, task.sc_order, task.sc_priority, task.sc_writepage, task.sc_scanned, task.sc_dirty = (
        gfp,
        order,
        priority,
        write,
        0,
        9,
    )
    return m.enter("shrink_page_list", 1, sync)


def go(m):
    return m.step(shrink_page_list)


def writeback_done(m, page: int) -> None:
    from pageout.kernel.mm.filemap import end_page_writeback

    end_page_writeback(m.k, page)


def written_async(m, page: int) -> None:
    """What writepage does: the page is under writeback and unlocked."""
    from pageout.kernel.mm.filemap import set_page_writeback

    m.k.page[page].pflags &= ~c.PG_LOCKED
    set_page_writeback(m.k, page)


def test_a_clean_page_is_freed_and_everything_about_it_undone() -> None:
    m = lab()
    m.k.zone[1].pcp_high = 6
    page = m.page()
    begin(m, [page])
    m.task.spent_ns = 0
    assert go(m) == returned(1)
    assert m.kept() == []
    assert m.flags(page) & c.PG_PCP
    k = m.k
    assert (k.inode[FILE].nr_pages, k.vm.nr_file_pages, k.zone[1].isolated_file, k.vm.nr_isolated_file) == (0, 0, 0, 0)
    assert (k.vm.pgfree, m.task.sc_scanned, m.task.sc_dirty, m.task.spent_ns) == (1, 1, 0, costs.FREE_NS)
    assert m.events() == [("mm_pagevec_free", page, 0)]
    assert not m.flags(page) & c.PG_ISOLATED


@pytest.mark.parametrize("nr", [1, 2, 5])
def test_freed_pages_are_counted_and_the_survivors_keep_their_order(nr: int) -> None:
    m = lab()
    pages = [m.page(c.PG_LOCKED if i % 2 else 0) for i in range(2 * nr)]
    begin(m, pages)
    assert go(m) == returned(nr)
    assert m.kept() == pages[1::2]


FLAGS = st.fixed_dictionaries(
    {
        name: st.booleans()
        for name in (
            "locked",
            "mapped",
            "swapcache",
            "writeback",
            "anon",
            "dirty",
            "young",
            "referenced",
            "refs",
            "fs",
            "io",
            "may_writepage",
            "swap_full",
            "congested",
            "swapwrite",
            "own_device",
            "sync",
        )
    }
)


def check_fate(o: dict) -> None:
    m = lab(swap=64)
    o = dict(o)
    o["swapcache"] &= o["anon"]
    young, referenced = o.pop("young") and o["mapped"], o.pop("referenced")
    bits = {"locked": c.PG_LOCKED, "mapped": c.PG_MAPPED, "swapcache": c.PG_SWAPCACHE, "anon": c.PG_SWAPBACKED}
    flags = sum(bit for name, bit in bits.items() if o[name])
    flags |= c.PG_YOUNG * young | c.PG_REFERENCED * referenced | c.PG_PTE_WRITE * o["mapped"]
    o["dirty"] &= not o["anon"] or o["swapcache"]
    page = m.page(flags, dirty=o["dirty"], refs=int(o["refs"]))
    if o["writeback"]:
        m.k.page[page].pflags |= c.PG_WRITEBACK
    if o["swap_full"]:
        m.k.stat.swap_free = 0
    bdi = 1 if o["anon"] else 0
    m.k.bdi[bdi].congested_write = int(o["congested"])
    if o["anon"]:
        o["congested"] = False
    m.task.bdi_writing = bdi if o["own_device"] else c.NIL
    m.task.tflags = c.PF_SWAPWRITE if o["swapwrite"] else 0
    gfp = c.GFP_WAIT | c.GFP_FS * o["fs"] | c.GFP_IO * o["io"]
    begin(m, [page], sync=int(o["sync"]), gfp=gfp, write=int(o["may_writepage"]))
    verdict, marked = naive.check_references(order=0, young=young, anon=o["anon"], referenced=referenced)
    fate, scanned = naive.judge(verdict=verdict, **o)
    step = go(m)
    assert m.task.sc_scanned == scanned
    if fate == "free":
        assert step == returned(1)
    elif fate == "write":
        name, args = ("swap_writepage", (page, 0, 0)) if o["anon"] else ("xfs_vm_writepage", (page, 0, 128))
        assert step == called(name, *args)
        assert m.flags(page) & (c.PG_LOCKED | c.PG_RECLAIM | c.PG_DIRTY) == c.PG_LOCKED | c.PG_RECLAIM
    elif fate == "wait":
        assert step == called("wait_on_page", page, c.PG_WRITEBACK)
    else:
        assert step == returned(0)
        assert m.kept() == [page]
        assert bool(m.flags(page) & c.PG_ACTIVE) == (fate == "activate")
        assert m.k.vm.pgactivate == (fate == "activate")
    judged = not o["locked"] and not o["writeback"]
    if judged and fate != "free":
        assert bool(m.flags(page) & c.PG_REFERENCED) == marked
        unmapped = verdict not in ("activate", "keep") and not (
            o["anon"] and not o["swapcache"] and (not o["io"] or o["swap_full"])
        )
        assert bool(m.flags(page) & c.PG_MAPPED) == (o["mapped"] and not unmapped)
        assert m.k.inode[ANON if o["anon"] else FILE].nr_mapped == int(o["mapped"] and not unmapped)
        if o["mapped"] and unmapped:
            assert not m.flags(page) & (c.PG_PTE_WRITE | c.PG_YOUNG)
    if judged and verdict not in ("activate", "keep"):
        found_dirty = o["dirty"] and not o["anon"]
        assert m.task.sc_dirty == int(found_dirty)


@pytest.mark.parametrize("anon", [False, True])
@pytest.mark.parametrize("dirty", [False, True])
def test_each_single_circumstance_decides_as_the_table_says(anon: bool, dirty: bool) -> None:
    usual = {
        "locked": False,
        "mapped": False,
        "swapcache": anon,
        "writeback": False,
        "anon": anon,
        "dirty": dirty,
        "young": False,
        "referenced": False,
        "refs": False,
        "fs": True,
        "io": True,
        "may_writepage": True,
        "swap_full": False,
        "congested": False,
        "swapwrite": False,
        "own_device": False,
        "sync": False,
    }
    check_fate(usual)
    for name, value in usual.items():
        check_fate({**usual, name: not value})
        for other, its in usual.items():
            check_fate({**usual, name: not value, other: not its})


@many
@given(FLAGS)
def test_the_fate_of_any_page_equals_the_table(circumstances) -> None:
    check_fate(circumstances)


def test_an_anonymous_page_gets_a_swap_slot_becomes_dirty_and_is_written() -> None:
    m = lab(swap=64)
    page = m.page(c.PG_SWAPBACKED)
    begin(m, [page], gfp=c.GFP_NOFS)
    assert go(m) == called("swap_writepage", page)
    assert m.flags(page) & c.PG_SWAPCACHE
    assert m.k.stat.swap_free == 63


@pytest.mark.parametrize(("t", "submitter"), [(USER, 0), (KSWAPD, 1)])
@pytest.mark.parametrize(("fs", "name", "budget"), [("xfs", "xfs_vm_writepage", 128), ("ext2", "ext2_writepage", 128)])
def test_pageout_calls_the_filesystems_writepage_with_its_budget(
    t: int, submitter: int, fs: str, name: str, budget: int
) -> None:
    m = lab(fs=fs)
    page = m.page(dirty=True)
    begin(m, [page], t=t)
    assert go(m) == called(name, page, submitter, budget)
    assert m.k.vm.nr_dirty == 0


def test_kswapd_writes_swap_as_kswapd() -> None:
    m = lab(swap=64)
    page = m.page(c.PG_SWAPBACKED)
    begin(m, [page], t=KSWAPD)
    assert go(m) == called("swap_writepage", page, 1)


@pytest.mark.parametrize("sync", [0, 1])
@pytest.mark.parametrize(("anon", "kind"), [(False, 0x02), (True, 0x01)])
def test_a_page_written_is_counted_and_kept_while_under_writeback(sync: int, anon: bool, kind: int) -> None:
    m = lab(swap=64)
    page = m.page(c.PG_SWAPBACKED | c.PG_SWAPCACHE, dirty=True) if anon else m.page(dirty=True)
    last = m.page()
    begin(m, [page, last], sync=sync)
    go(m)
    written_async(m, page)
    m.answer()
    m.events()
    after = go(m)
    assert m.events("mm_vmscan_writepage") == [(page, kind | (0x04 if sync else 0x08))]
    assert m.k.vm.nr_vmscan_write == 1
    if sync:
        assert after == called("wait_on_page", page, c.PG_WRITEBACK)
        writeback_done(m, page)
        m.answer()
        assert go(m) == returned(2)
    else:
        assert after == returned(1)
        assert m.kept() == [page]
        assert m.flags(page) & c.PG_RECLAIM


@pytest.mark.parametrize("sync", [0, 1])
@pytest.mark.parametrize(
    ("left", "refs", "freed"),
    [
        (0, 0, 1),
        (c.PG_DIRTY, 0, 0),
        (c.PG_LOCKED, 0, 0),
        (c.PG_MAPPED, 0, 0),
        (0, 1, 0),
        (c.PG_DIRTY | c.PG_LOCKED, 1, 0),
    ],
)
def test_a_page_written_at_once_is_freed_unless_dirty_locked_or_held(
    sync: int, left: int, refs: int, freed: int
) -> None:
    m = lab()
    page = m.page(dirty=True)
    begin(m, [page], sync=sync)
    go(m)
    m.k.page[page].pflags = m.flags(page) & ~c.PG_LOCKED | left
    m.k.page[page].refs = refs
    m.answer()
    assert go(m) == returned(freed)
    assert not m.flags(page) & c.PG_RECLAIM
    assert m.k.vm.nr_vmscan_write == 1
    if not freed:
        assert m.kept() == [page]


def test_in_a_sync_pass_a_page_dirtied_while_it_was_written_is_kept() -> None:
    m = lab()
    page = m.page(dirty=True)
    begin(m, [page], sync=1)
    go(m)
    written_async(m, page)
    m.answer()
    go(m)
    writeback_done(m, page)
    m.k.page[page].pflags |= c.PG_DIRTY
    m.answer()
    assert go(m) == returned(0)
    assert m.kept() == [page]


def test_a_sync_pass_waits_for_a_page_under_writeback_then_goes_on_with_it() -> None:
    m = lab()
    page, other = m.page(writeback=True), m.page()
    begin(m, [page, other], sync=1)
    assert go(m) == called("wait_on_page", page, c.PG_WRITEBACK)
    writeback_done(m, page)
    m.answer()
    assert go(m) == returned(2)


def test_a_page_waited_for_is_scanned_once_and_the_next_page_once() -> None:
    m = lab()
    page, other, third = m.page(writeback=True), m.page(c.PG_MAPPED), m.page(dirty=True)
    begin(m, [page, other, third], sync=1)
    go(m)
    assert m.task.sc_scanned == 1
    writeback_done(m, page)
    m.answer()
    go(m)
    assert m.task.sc_scanned == 4


@pytest.mark.parametrize("which", ["young", "referenced"])
def test_the_order_of_the_request_makes_reclaim_ignore_references(which: str) -> None:
    m = lab()
    page = m.page(c.PG_MAPPED | c.PG_YOUNG | c.PG_REFERENCED if which == "young" else c.PG_REFERENCED)
    begin(m, [page], order=4)
    assert go(m) == returned(1)


# --- the design that leaves writing to the flushers


def test_flushers_only_direct_reclaim_never_enters_writepage_for_files_but_does_for_swap() -> None:
    m = lab(swap=64, choices=FLUSHERS_ONLY)
    page, anon = m.page(dirty=True), m.page(c.PG_SWAPBACKED)
    begin(m, [page, anon], write=0)
    assert go(m) == called("swap_writepage", anon)
    m = lab(swap=64, choices=(("reclaim.writeback", "kswapd"),))
    anon = m.page(c.PG_SWAPBACKED)
    begin(m, [anon], write=0)
    assert go(m) == returned(0)


@pytest.mark.parametrize("nr_dirty", [0, 1, 3])
def test_flushers_only_asks_for_as_many_pages_as_were_met_dirty_and_waits(nr_dirty: int) -> None:
    m = lab(choices=FLUSHERS_ONLY)
    m.page(dirty=True)
    pages = [m.page(dirty=True) for _ in range(nr_dirty)]
    locked = m.page(c.PG_LOCKED)
    begin(m, [*pages, locked], write=0)
    first = go(m)
    if not nr_dirty:
        assert first == returned(0)
        assert m.work_items() == []
        return
    assert first == WAIT
    assert m.work_items() == [(nr_dirty, 0, 0)]
    m.answer()
    assert go(m) == returned(0)
    assert m.kept() == [*pages, locked]


def test_flushers_only_without_the_wait_goes_on_at_once() -> None:
    m = lab(choices=FLUSHERS_ONLY[:2])
    page = m.page(dirty=True)
    begin(m, [page], write=0)
    assert go(m) == returned(0)
    assert m.work_items() == [(1, 0, 0)]


def test_flushers_only_kswapd_neither_asks_nor_waits() -> None:
    m = lab(choices=FLUSHERS_ONLY)
    page = m.page(dirty=True)
    begin(m, [page], write=0, t=KSWAPD)
    assert go(m) == returned(0)
    assert m.work_items() == []


def test_designs_that_do_not_kick_for_dirty_pages_do_not() -> None:
    m = lab(choices=(("reclaim.wait_on_dirty", "congestion"),))
    page = m.page(dirty=True)
    begin(m, [page], write=0)
    assert go(m) == returned(0)
    assert m.work_items() == []


def lumpy_flushers_only(m, pages, **options):
    return begin(m, pages, **{"write": 0, "order": 1, "priority": 9, **options})


def test_a_high_order_reclaimer_waits_for_dirty_pages_up_to_50_times() -> None:
    m = lab(choices=FLUSHERS_ONLY)
    page, other = m.page(dirty=True), m.page(dirty=True)
    lumpy_flushers_only(m, [page, other])
    for number in range(1, 51):
        assert go(m) == WAIT
        m.answer()
        assert go(m) == YIELDED
        assert m.task.sc_lumpy_waits == number
    assert go(m) == WAIT
    m.answer()
    assert go(m) == returned(0)
    assert (m.kept(), m.task.sc_lumpy_waits) == ([page, other], 0)
    assert len(m.work_items()) == 51
    assert shrink_list.CLEAN_WAITS == 50


def test_a_high_order_reclaimer_goes_on_as_soon_as_its_pages_are_clean() -> None:
    from pageout.kernel.mm.filemap import clear_page_dirty_for_io

    m = lab(choices=FLUSHERS_ONLY)
    page, locked = m.page(dirty=True), m.page(c.PG_LOCKED)
    lumpy_flushers_only(m, [page, locked])
    go(m)
    m.answer()
    assert go(m) == YIELDED
    clear_page_dirty_for_io(m.k, page)
    assert go(m) == returned(1)
    assert (m.kept(), m.task.sc_lumpy_waits) == ([locked], 0)


@pytest.mark.parametrize("options", [{"order": 0}, {"sync": 1}, {"priority": 10}])
def test_only_an_asynchronous_lumpy_pass_waits_for_clean_pages(options: dict) -> None:
    m = lab(choices=FLUSHERS_ONLY)
    page = m.page(dirty=True)
    lumpy_flushers_only(m, [page], **options)
    assert go(m) == WAIT
    m.answer()
    assert go(m) == returned(0)


def test_kswapd_never_waits_for_clean_pages() -> None:
    m = lab(choices=FLUSHERS_ONLY)
    page = m.page(dirty=True)
    lumpy_flushers_only(m, [page], t=KSWAPD)
    assert go(m) == returned(0)


# --- a user's policy


def test_a_users_policy_has_the_last_word() -> None:
    from pageout.jit import compile_policy

    seen = []

    def keep_odd(page, ctx, priority):
        seen.append((page.index & 1, priority, ctx.knob0))
        return c.PAGE_KEEP if page.index & 1 else c.PAGE_RECLAIM

    m = lab()
    m.k.param.policy_isolate = compile_policy(keep_odd, None, None)[1]
    m.k.policy_ctx[0].knob0 = 77
    pages = [m.page(c.PG_REFERENCED) for _ in range(4)]
    begin(m, pages, priority=5)
    assert go(m) == returned(2)
    assert m.kept() == pages[1::2]
    assert seen == [(0, 5, 77), (1, 5, 77)] * 2


def test_the_depth_of_the_leaf_chains_is_marked() -> None:
    from pageout.kernel.frames import LEAF

    m = lab()
    page = m.page()
    begin(m, [page])
    m.task.peak = 0
    used = m.task.used
    go(m)
    assert m.task.peak == used + max(m.k.leaf[LEAF.release_page], m.k.leaf[LEAF.remove_mapping])
