# SPDX-License-Identifier: GPL-2.0-or-later
"""CPU time of a page in reclaim, as batches in a trace tell it."""

from __future__ import annotations

import polars as pl

from pageout.events.tables import Events, frame_schema
from pageout.kernel.costs import FREE_NS, SCAN_NS
from pageout.twin.reclaimcost import ReclaimCost, reclaim_cost, with_reclaim_cost
from pageout.vocabulary.scenario import Machine
from pageout.vocabulary.schema import EVENTS

BATCH = "mm_vmscan_lru_shrink_inactive"
OTHER = "block_rq_complete"


def frame(name: str, rows: list[dict[str, object]]) -> pl.DataFrame:
    schema = frame_schema(EVENTS[name])
    return pl.DataFrame([dict.fromkeys(schema) | row for row in rows], schema=schema)


def batches(nr: int, page_ns: int, *, comm: str, freed: bool, line: int, pid: int, pages: int = 32) -> list:
    """Batches of one task on every second line, one right after the other."""
    return [
        {"line": line + 2 * n, "time_ns": 10**9 + n * page_ns * pages, "pid": pid, "comm": comm,
         "nr_scanned": pages, "nr_reclaimed": pages if freed else 0}
        for n in range(nr)
    ]  # fmt: skip


def events(*groups: list, others: list[int] = ()) -> Events:
    rows = [row for group in groups for row in group]
    frames = {BATCH: frame(BATCH, rows)}
    if others:
        frames[OTHER] = frame(OTHER, [{"line": line, "time_ns": 0, "pid": 0, "comm": "idle"} for line in others])
    return Events(frames=frames)


KEPT = batches(30, 1900, comm="writer", freed=False, line=1, pid=7)
FREED = batches(30, 4100, comm="kswapd0", freed=True, line=1001, pid=38)


def test_kept_pages_cost_a_look_and_freed_ones_the_freeing_too() -> None:
    assert reclaim_cost(events(KEPT, FREED)) == ReclaimCost(1900, 2200)


def test_one_kind_alone_is_divided_as_the_models_own_cost_is() -> None:
    assert reclaim_cost(events(FREED)) == ReclaimCost(4100 * SCAN_NS // (SCAN_NS + FREE_NS),
                                                      4100 * FREE_NS // (SCAN_NS + FREE_NS))  # fmt: skip
    assert reclaim_cost(events(KEPT)) == ReclaimCost(1900, 1900 * FREE_NS // SCAN_NS)


def test_batches_with_anything_between_them_and_pages_that_kswapd_kept_do_not_count() -> None:
    assert reclaim_cost(events(FREED, others=[row["line"] + 1 for row in FREED])) is None
    by_kswapd = batches(30, 5600, comm="kswapd0", freed=False, line=1, pid=38)  # it may have written them
    assert reclaim_cost(events(by_kswapd)) is None
    assert reclaim_cost(events(by_kswapd, FREED)) == reclaim_cost(events(FREED))


def test_a_few_batches_or_small_ones_tell_nothing_and_the_machine_stays_as_it_is() -> None:
    assert reclaim_cost(events(FREED[:10])) is None
    assert reclaim_cost(events(batches(30, 4100, comm="kswapd0", freed=True, line=1, pid=38, pages=8))) is None
    notes: list[str] = []
    assert with_reclaim_cost(None, Machine(), notes) == Machine()
    assert with_reclaim_cost(Events(), Machine(), notes) == Machine()
    assert not notes
    found = with_reclaim_cost(events(KEPT, FREED), Machine(), notes)
    assert (found.scan_ns, found.free_ns, len(notes)) == (1900, 2200, 1)
