# SPDX-License-Identifier: GPL-2.0-or-later
"""CPU time of a page under writeback, as a writer beside the flusher tells it by what it did not get."""

from __future__ import annotations

import polars as pl
import pytest

from pageout.events.tables import Events, frame_schema
from pageout.twin.flushercost import flusher_cost, with_flusher_cost
from pageout.vocabulary.scenario import Machine
from pageout.vocabulary.schema import EVENTS
from tests.conftest import ROOT

WRITER, FLUSHER, KSWAPD, IDLE = 7, 27, 38, 0
COPY_NS, PAGE_NS = 20_000, 3_600  # a page of the writer's, of the flusher's
PAUSE = {"pause": 8}


class Trace:
    """Events on one CPU, each a line after the one before."""

    def __init__(self) -> None:
        self.rows: dict[str, list[dict[str, object]]] = {}
        self.line, self.ns, self.dirtied, self.writeback, self.written = 0, 10**9, 0, 0, 0

    def event(self, name: str, pid: int, **fields: object) -> None:
        self.line += 1
        common = {"line": self.line, "time_ns": self.ns, "pid": pid}
        self.rows.setdefault(name, []).append(common | fields)

    def check(self, **held: object) -> None:
        levels = {"writeback": self.writeback, "dirtied": self.dirtied, "written": self.written}
        self.event("global_dirty_state", WRITER, **levels)
        self.event("balance_dirty_pages", WRITER, **({"pause": 0} | held))

    def dirty(self, nr: int) -> None:
        self.ns += nr * COPY_NS
        self.dirtied += nr

    def turn(self, nr: int) -> None:
        self.event("writeback_start", FLUSHER)
        self.ns += nr * PAGE_NS
        self.writeback += nr

    def reclaim(self, ns: int, pid: int) -> None:
        self.event("mm_vmscan_lru_shrink_inactive", pid)
        self.ns += ns
        self.event("mm_vmscan_lru_shrink_inactive", pid)

    def events(self) -> Events:
        frames = {}
        for name, rows in self.rows.items():
            schema = frame_schema(EVENTS[name])
            frames[name] = pl.DataFrame([dict.fromkeys(schema) | row for row in rows], schema=schema)
        return Events(frames=frames)


def recorded(*disturb: str, turns: int = 3, checks: int = 20) -> Events:
    """Checks after 32 pages each, then turns of 2048 pages between two of them."""
    trace = Trace()
    for _ in range(checks):
        trace.check()
        trace.dirty(32)
    for _ in range(turns):
        trace.check(**(PAUSE if "held" in disturb else {}))
        trace.dirty(16)
        trace.turn(2048)
        if "kswapd" in disturb:
            trace.reclaim(2_000_000, KSWAPD)
        if "own" in disturb:
            trace.reclaim(2_000_000, WRITER)
        if "idle" in disturb:
            trace.event("block_rq_complete", IDLE)
            trace.ns += 5_000_000
        if "ended" in disturb:
            trace.writeback, trace.written = trace.writeback - 2048, trace.written + 2048
            trace.ns += 3_000_000
        trace.dirty(16)
    trace.check()
    return trace.events()


@pytest.mark.parametrize("disturb", [(), ("kswapd",)])
def test_what_the_writer_did_not_get_and_no_other_had_was_the_flushers(disturb: tuple[str, ...]) -> None:
    assert flusher_cost(recorded(*disturb)) == PAGE_NS


@pytest.mark.parametrize("disturb", ["held", "own", "idle"])
def test_moments_in_which_the_writer_slept_or_reclaimed_or_nobody_ran_do_not_count(disturb: str) -> None:
    assert flusher_cost(recorded(disturb)) is None


def test_moments_in_which_writes_ended_do_not_count() -> None:
    assert flusher_cost(recorded("ended")) is None


def test_too_few_moments_or_several_cpus_tell_nothing_and_the_machine_stays_as_it_is() -> None:
    one = Machine(cpus=1)
    notes: list[str] = []
    assert flusher_cost(None) is None
    assert flusher_cost(Events()) is None
    assert flusher_cost(recorded(turns=2)) is None
    assert flusher_cost(recorded(checks=10)) is None
    assert with_flusher_cost(recorded(), Machine(cpus=2), notes) == Machine(cpus=2)
    assert with_flusher_cost(Events(), one, notes) == one
    assert not notes
    assert with_flusher_cost(recorded(), one, notes).writepage_ns == PAGE_NS
    assert len(notes) == 1


def test_a_fresh_page_costs_what_it_cost_who_touched_some() -> None:
    from pageout.bundle.bundle import read_bundle
    from pageout.kernel.costs import ADD_TO_CACHE_NS, ALLOC_NS, FAULT_NS, LOOKUP_NS
    from pageout.twin.whitebox import with_clearing

    folder = ROOT.parent / "shared" / "groundtruth" / "linux-6.1" / "D-ext4"
    if not folder.is_dir():
        pytest.skip("needs the recordings")
    notes: list[str] = []
    machine = with_clearing(read_bundle(str(folder)), Machine(), notes)
    # a quarter of its calls took no more than 418.2 us for 64 pages
    assert machine.clear_ns == pytest.approx(418_200 / 64 - FAULT_NS - ALLOC_NS - ADD_TO_CACHE_NS - LOOKUP_NS, rel=0.01)
    assert len(notes) == 1
