# SPDX-License-Identifier: GPL-2.0-or-later
"""The multi-generation LRU (lru=gen) against its naive twin: any program of steps, then each decision by itself."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.kernel.lab import FILE, KSWAPD, USER, called, lab, many, returned, some
from tests.naive import lru_gen as naive

from pageout.engine import constants as c
from pageout.kernel.mm import lru_gen, lru_gen_age, lru_gen_scan, vmscan_gen, workingset
from pageout.kernel.mm.filemap import remove_from_page_cache
from pageout.kernel.mm.swap import lru_add, lru_add_tail, lru_del, mark_page_accessed

GEN = (("reclaim.engine", "node"), ("lru.batch", "15"), ("watermark.marks", "scaled"), ("lru", "gen"))
OWN = (*GEN, ("gen.node", "own"), ("gen.flush", "dirty"), ("gen.events", "on"))
MARKS = {
    "active": c.PG_ACTIVE,
    "referenced": c.PG_REFERENCED,
    "workingset": c.PG_WORKINGSET,
    "reclaim": c.PG_RECLAIM,
    "dirty": c.PG_DIRTY,
    "writeback": c.PG_WRITEBACK,
    "locked": c.PG_LOCKED,
    "swapcache": c.PG_SWAPCACHE,
    "young": c.PG_YOUNG,
}


class Both:
    """The lab's pages and the twin's, of the same names; every step is done to both."""

    def __init__(self, choices: Any = GEN) -> None:
        self.m = lab(choices=choices, swap=64)
        self.twin = naive.Generations(zones=self.m.k.param.nr_zones)
        self.pages: list[naive.Page] = []
        self.gone: list[tuple[int, tuple[int, int, int]]] = []

    @property
    def k(self) -> Any:
        return self.m.k

    def new(self, kind: int, zone: int, **marks: bool) -> None:
        flags = sum(MARKS[name] for name, is_set in marks.items() if is_set) | (c.PG_SWAPBACKED if kind == 0 else 0)
        number = self.m.page(0 if kind == 1 else c.PG_SWAPBACKED, zone, listed=False)
        self.k.page[number].pflags |= flags | (c.PG_MAPPED if flags & c.PG_YOUNG else 0)
        page = naive.Page(number, kind, zone, **marks)
        page.index = self.k.page[number].index
        if flags & c.PG_YOUNG:
            self.k.inode[self.k.page[number].mapping].nr_mapped += 1
        lru_add(self.k, number)
        self.twin.add(page)
        self.pages.append(page)

    def flag(self, page: naive.Page, name: str, value: bool) -> None:
        pg = self.k.page[page.name]
        pg.pflags = pg.pflags & ~MARKS[name] | (MARKS[name] if value else 0)
        setattr(page, name, value)
        if name == "young" and value:
            pg.pflags |= c.PG_MAPPED
            self.k.inode[pg.mapping].nr_mapped = 64

    def age(self, can_swap: bool) -> None:
        self.twin.walk(can_swap=can_swap)
        self.twin.begin(can_swap=can_swap)
        self.k.gen[0].filters = 0  # all page tables: which of them are passed by has a test of its own
        lru_gen_age.walk_page_tables(self.k, self.m.t, 0, can_swap)
        lru_gen_age.inc_max_seq(self.k, 0, can_swap)

    def evict(self, swappiness: int, free: int, again: bool) -> None:
        """A batch: its first pages are freed, the others go back."""
        k, m = self.k, self.m
        m.task.sc_gfp, m.task.sc_writepage = c.GFP_KERNEL, 1
        wanted = self.twin.isolate(swappiness)
        looked_at, kind = lru_gen_scan.isolate_folios(k, m.t, 0, swappiness)
        assert (looked_at, m.kept()) == (wanted[0], [page.name for page in wanted[2]])
        if wanted[2]:
            assert kind == wanted[1]
        assert lru_gen_age.try_to_inc_min_seq(k, 0, swappiness > 0) == self.twin.drop_empty(can_swap=swappiness > 0)
        for page in wanted[2][:free]:
            shadow = workingset.workingset_eviction(k, page.name, 0)
            remove_from_page_cache(k, page.name)
            self.gone.append((shadow, self.twin.evict(page)))
            self.pages.remove(page)
        back = wanted[2][free:]
        self._put_back(back, again)

    def _put_back(self, back: list[naive.Page], again: bool) -> None:
        k, task = self.k, self.m.task
        task.kept_head = back[0].name if back else c.NIL
        for page, after in zip(back, [*back, None][1:], strict=True):
            k.page[page.name].lru_next = after.name if after else c.NIL
        if back:
            task.kept_tail = back[-1].name
        vmscan_gen._put_back(k, self.m.t, again)
        left = [
            p for p in back if not self.twin.put_back(p, mapped=bool(self.m.flags(p.name) & c.PG_MAPPED), again=again)
        ]
        assert self.m.kept() == [page.name for page in left]
        if left:
            self._put_back(left, True)

    def refault(self) -> None:
        """What went last is read again, into another frame, as if by a call."""
        shadow, was = self.gone.pop()
        number = self.m.page(0 if was[0] == 1 else c.PG_SWAPBACKED, 0, listed=False)
        pg = self.k.page[number]
        pg.pflags |= workingset.lru_gen_refault(self.k, self.m.t, number, shadow, pg.pflags)
        page = naive.Page(number, was[0], 0, index=pg.index)
        self.twin.refault(page, was, fault=False)
        lru_add(self.k, number)
        self.twin.add(page)
        self.pages.append(page)

    def compare(self) -> None:
        k, twin = self.k, self.twin
        gen = k.gen[0]
        assert (gen.max_seq, [gen.min_anon, gen.min_file]) == (twin.max_seq, twin.min_seq)
        for g in range(4):
            for kind in range(2):
                for zone in range(twin.zones):
                    row = k.gen_list[lru_gen.gen_row(k, 0, g, kind, zone)]
                    found, page = [], row.head
                    while page != c.NIL:
                        found.append(page)
                        page = k.page[page].lru_next
                    lists = [pages for (seq, of, z), pages in twin.lists.items() if (seq % 4, of, z) == (g, kind, zone)]
                    assert found == [page.name for pages in lists for page in pages]
                    mine = [p for p in twin.pages() if p.seq % 4 == g and (p.kind, p.zone) == (kind, zone)]
                    assert row.nr == len(mine)
        for i, kind in ((kind * 4 + tier, twin.tiers[kind][tier]) for kind in range(2) for tier in range(4)):
            row = k.gen_tier[i]
            assert (row.avg_refaulted, row.avg_total) == (kind.avg_refaulted, kind.avg_total)
            assert (row.refaulted, row.evicted, row.protected) == (kind.refaulted, kind.evicted, kind.protected)
        self._compare_marks()
        listed = twin.pages()
        active = [sum(p.seq >= twin.max_seq - 1 and p.kind == kind for p in listed) for kind in range(2)]
        assert (k.vm.nr_active_anon, k.vm.nr_active_file) == tuple(active)
        assert k.vm.nr_inactive_anon + k.vm.nr_inactive_file == len(listed) - sum(active)

    def _compare_marks(self) -> None:
        for page in self.pages:
            flags = self.m.flags(page.name)
            found = {name: bool(flags & bit) for name, bit in MARKS.items()}
            assert found == {name: getattr(page, name) for name in MARKS}, page
            assert lru_gen.refs_of(self.k, page.name) == page.refs


STEP = st.one_of(
    st.tuples(st.just("new"), st.integers(0, 1), st.integers(0, 1), st.sampled_from([1, 5, 70]), st.integers(0, 63)),
    st.tuples(st.just("use"), st.integers(0, 200), st.integers(1, 90), st.integers(1, 5)),
    st.tuples(st.just("flag"), st.sampled_from(["young", "dirty", "writeback", "locked"]), st.integers(0, 200),
              st.integers(1, 60), st.booleans()),
    st.tuples(st.just("rotate"), st.integers(0, 200)),
    st.tuples(st.just("remove"), st.integers(0, 200)),
    st.tuples(st.just("age"), st.booleans()),
    st.tuples(st.just("evict"), st.sampled_from([0, 1, 60, 100, 200]), st.integers(0, 70), st.booleans()),
    st.tuples(st.just("refault"), st.integers(1, 70)),
)  # fmt: skip


def do(both: Both, step: tuple[Any, ...]) -> None:
    what, *args = step
    if what == "new" and len(both.pages) < 400:
        kind, zone, nr, marks = args
        names = ("active", "reclaim", "dirty", "writeback", "young", "swapcache")
        for _ in range(nr):
            drawn = {name: bool(marks >> i & 1) for i, name in enumerate(names)}
            drawn["swapcache"] &= kind == 0
            both.new(kind, zone, **drawn)
    elif what == "age" and both.twin.max_seq < 40:
        if all(both.twin.max_seq - both.twin.min_seq[kind] < 3 for kind in ((0, 1) if args[0] else (1,))):
            both.age(args[0])
    elif what == "evict":
        both.evict(*args)
    elif what == "refault":
        for _ in range(min(args[0], len(both.gone))):
            both.refault()
    elif both.pages and what in {"use", "flag", "rotate", "remove"}:
        _one_page(both, what, args)


def _one_page(both: Both, what: str, args: list[Any]) -> None:
    k = both.k
    if what == "use":
        first, nr, times = args
        for page in both.pages[first : first + nr]:
            for _ in range(times):
                mark_page_accessed(k, page.name)
                page.use()
        return
    if what == "flag":
        name, first, nr, value = args
        for page in both.pages[first : first + nr]:
            both.flag(page, name, value)
        return
    page = both.pages[args[0] % len(both.pages)]
    lru_del(k, page.name)
    both.twin.remove(page)
    if what == "rotate":
        k.page[page.name].pflags &= ~c.PG_ACTIVE
        page.active = False
        lru_add_tail(k, page.name)
        both.twin.add(page, reclaiming=True)
    else:
        both.pages.remove(page)


@some
@given(st.lists(STEP, max_size=25))
def test_every_program_of_steps_leaves_the_lists_of_the_twin(program: list[tuple[Any, ...]]) -> None:
    both = Both()
    for step in program:
        do(both, step)
        both.compare()


COUNT = st.integers(0, 80) | st.integers(0, 10**6)
TIERS = st.lists(st.tuples(COUNT, COUNT, COUNT, COUNT, COUNT), min_size=8, max_size=8)


@many
@given(TIERS, st.sampled_from([0, 1, 2, 60, 100, 199, 200]), st.tuples(st.integers(0, 1), st.integers(0, 1)))
def test_type_and_tiers_are_chosen_as_the_control_loop_says(tiers: Any, swappiness: int, oldest: Any) -> None:
    m = lab(choices=GEN, swap=64)
    k = m.k
    k.gen[0].min_anon, k.gen[0].min_file, k.gen[0].max_seq = oldest[0], oldest[1], 3
    twin = [[naive.Tier(*tiers[kind * 4 + i]) for i in range(4)] for kind in range(2)]
    for i, values in enumerate(tiers):
        row = k.gen_tier[i]
        row.avg_refaulted, row.avg_total, row.refaulted, row.evicted, row.protected = values
    kind, last = naive.choose(twin, list(oldest), swappiness)
    assert lru_gen_scan.type_and_tier(k, 0, swappiness) == (kind, last)


@many
@given(
    st.integers(1, 3), st.integers(0, 2), st.lists(st.integers(0, 40), min_size=8, max_size=8), st.booleans()
)  # fmt: skip
def test_ageing_is_due_as_the_twin_says(file: int, behind: int, nr: list[int], can_swap: bool) -> None:
    """Fewer than three generations: yes. More: no. Three: too many young or too few old."""
    m = lab(choices=GEN, swap=64)
    k, max_seq = m.k, 10
    oldest = [max_seq - min(file + behind, 3), max_seq - file]
    k.gen[0].max_seq, k.gen[0].min_anon, k.gen[0].min_file = max_seq, *oldest
    sizes = {kind: [nr[kind * 4 + seq % 4] for seq in range(oldest[kind], max_seq + 1)] for kind in range(2)}
    for kind in range(2):
        for seq in range(oldest[kind], max_seq + 1):
            k.gen_list[lru_gen.gen_row(k, 0, seq % 4, kind, 1)].nr = nr[kind * 4 + seq % 4]
    due, total = lru_gen_age.should_run_aging(k, 0, can_swap)
    assert due == naive.ageing_due(sizes, max_seq, oldest, can_swap)
    assert total == sum(sum(sizes[kind]) for kind in ((0, 1) if can_swap else (1,)))


@many
@given(st.integers(1, 10**6), st.integers(0, 10**7))
def test_kswapd_begins_where_its_first_pass_gives_what_it_wants(wanted: int, inactive: int) -> None:
    m = lab(choices=OWN)
    m.act_as(KSWAPD)
    m.task.sc_to_reclaim, m.k.vm.nr_inactive_file = wanted, inactive
    m.enter("balance_pgdat")
    m.enter("shrink_node", c.DEF_PRIORITY)
    priority = vmscan_gen._initial_priority(m.k, m.t, m.f)
    assert priority == naive.first_priority(wanted, inactive)


def test_an_empty_old_generation_is_dropped_and_a_full_one_is_evicted_oldest_first() -> None:
    both = Both()
    both.new(1, 1)
    both.new(1, 1)
    first, second = both.pages
    m, k = both.m, both.k
    m.task.sc_gfp, m.task.sc_writepage = c.GFP_KERNEL, 1
    assert lru_gen_age.try_to_inc_min_seq(k, 0, True) == 1  # pages came to the second oldest of four
    assert lru_gen_scan.isolate_folios(k, m.t, 0, 60) == (2, 1)
    assert m.kept() == [first.name, second.name]


def test_dirty_file_pages_are_passed_on_marked_for_the_end_of_their_io() -> None:
    both = Both(OWN)
    both.new(1, 1, dirty=True)
    both.new(1, 1, dirty=True, writeback=True)
    both.new(1, 1)
    m, k = both.m, both.k
    m.task.sc_gfp, m.task.sc_writepage = c.GFP_KERNEL, 1
    lru_gen_age.try_to_inc_min_seq(k, 0, True)
    assert lru_gen_scan.isolate_folios(k, m.t, 0, 60) == (3, 1)
    assert m.kept() == [both.pages[2].name]
    assert [bool(m.flags(p.name) & c.PG_RECLAIM) for p in both.pages] == [True, True, False]
    assert (m.task.sn_file_taken, m.task.sn_unqueued) == (3, 1)
    assert [lru_gen.label_of(k, p.name) for p in both.pages] == [2, 2, -1]
    top = k.param.nr_zones - 1
    assert m.events("mm_vmscan_lru_isolate") == [(top, 0, 4096, 3, 0, 1, 4)]


def test_who_faults_makes_its_pages_young_unless_it_reclaims() -> None:
    m = lab(choices=GEN)
    m.act_as(USER)
    assert not lru_gen.in_lru_fault(m.k, m.t)
    m.enter("page_fault")
    m.enter("do_readahead")
    assert lru_gen.in_lru_fault(m.k, m.t)
    m.task.tflags |= c.PF_MEMALLOC
    assert not lru_gen.in_lru_fault(m.k, m.t)


def mapped(both: Both, nr: int, young: set[int]) -> None:
    for i in range(nr):
        both.new(1, 1, young=i in young)
        both.k.page[both.pages[-1].name].pflags |= c.PG_MAPPED
    both.k.inode[FILE].nr_mapped = nr


def test_a_page_found_young_promotes_its_neighbours_and_marks_their_page_table() -> None:
    both = Both()
    mapped(both, 80, {10, 12, 70})
    k = both.k
    m = both.m
    m.act_as(KSWAPD)
    page = both.pages[10].name
    lru_gen.gen_del(k, page, True)
    lru_gen_age.look_around(k, m.t, page, True)
    labels = [lru_gen.label_of(k, p.name) for p in both.pages]
    assert [i for i, label in enumerate(labels) if label == 3] == [12]  # 70 is beyond the 64 entries looked at
    assert m.flags(page) & c.PG_REFERENCED
    assert not k.gen_filter[lru_gen_age.filter_row(k, 0, FILE, 10)]  # 2 of 64 are too few
    mapped(both, 16, set(range(16)))
    lru_gen_age.look_around(k, m.t, both.pages[90].name, True)
    assert k.gen_filter[lru_gen_age.filter_row(k, 0, FILE, 90)] == 2  # that of the walk to come


def test_a_walk_passes_page_tables_that_the_last_one_found_hardly_used() -> None:
    both = Both()
    mapped(both, 100, {3})
    k, t = both.k, both.m.t
    lru_gen_age.try_to_inc_max_seq(k, t, 0, True)
    assert not both.m.flags(both.pages[3].name) & c.PG_YOUNG  # the first goes over all
    both.flag(both.pages[4], "young", True)
    lru_gen_age.try_to_inc_max_seq(k, t, 0, True)
    assert both.m.flags(both.pages[4].name) & c.PG_YOUNG


@pytest.mark.parametrize(
    ("choices", "clean", "woken"), [(GEN, 0, False), (OWN, 0, True), (OWN, 1, False)]
)  # fmt: skip
def test_flushers_are_woken_by_later_kernels_if_all_that_was_met_is_dirty(
    choices: Any, clean: int, woken: bool
) -> None:
    m = lab(choices=choices)
    k = m.k
    for i in range(4):
        m.page(dirty=i >= clean)
    m.act_as(USER)
    m.task.sc_gfp, m.task.sc_writepage, m.task.sc_to_reclaim = c.GFP_KERNEL, 1, 32
    lru_gen_age.try_to_inc_min_seq(k, 0, True)
    m.enter("lru_gen_shrink_lruvec", 0)
    step = m.step(vmscan_gen.lru_gen_shrink_lruvec)
    if clean:
        assert step == called("shrink_folio_list")
        m.task.kept_head, m.task.kept_tail = c.NIL, c.NIL  # it is freed
        m.answer(1)
        step = m.step(vmscan_gen.lru_gen_shrink_lruvec)
    assert step == returned(0)
    assert bool(m.work_items()) == woken
    assert m.task.sn_file_taken == (0 if choices is GEN else 4)


def test_a_node_is_scanned_by_one_function_and_nobody_waits_for_writes() -> None:
    m = lab(choices=GEN)
    m.act_as(KSWAPD)
    m.task.sc_to_reclaim = 32
    m.enter("balance_pgdat")
    m.enter("shrink_node", 12)
    assert m.step(vmscan_gen.shrink_node_gen) == called("lru_gen_shrink_lruvec", 12)
    m.answer()
    assert m.task.sc_need_aging == 1  # the next pass of this run ages the lists
    assert m.step(vmscan_gen.shrink_node_gen) == returned(0)


def test_who_gets_a_second_look_was_not_scanned_yet() -> None:
    m = lab(choices=GEN)
    clean, dirty = m.page(listed=False), m.page(listed=False, dirty=True)
    m.task.kept_head, m.task.kept_tail, m.task.sc_scanned = clean, dirty, 10
    m.k.page[clean].lru_next = dirty
    for page in (clean, dirty):
        m.k.page[page].pflags |= c.PG_ISOLATED
    m.k.zone[1].isolated_file = 2
    vmscan_gen._put_back(m.k, m.t, False)
    assert m.kept() == [clean]
    assert m.task.sc_scanned == 9


def test_a_further_round_counts_what_was_reclaimed_since_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    m = lab(choices=GEN)
    m.act_as(KSWAPD)
    m.task.sc_to_reclaim = 32
    m.enter("balance_pgdat")
    m.enter("shrink_node", 9)
    monkeypatch.setattr(vmscan_gen, "goes_on", lambda k, t, f, reclaimed: reclaimed > 0)
    m.task.sc_reclaimed = 5
    assert m.step(vmscan_gen.shrink_node_gen) == called("lru_gen_shrink_lruvec", 9, 5)
    m.task.sc_reclaimed += 40
    m.answer()
    assert m.step(vmscan_gen.shrink_node_gen).kind == "yield"
    assert m.step(vmscan_gen.shrink_node_gen) == called("lru_gen_shrink_lruvec", 9, 5)
