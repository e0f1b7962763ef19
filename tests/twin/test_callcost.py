# SPDX-License-Identifier: GPL-2.0-or-later
"""What calls that nothing held up took is what a machine's CPU takes for them."""

import numpy as np
import polars as pl
import pytest

from pageout.bundle.calls import Calls, Quantiles
from pageout.events.tables import Events, frame_schema
from pageout.twin.callcost import PAGE_NS, call_cost
from pageout.vocabulary.schema import EVENTS

PAGES = 16


def calls(*values_us: float) -> Calls:
    """A writer of 64 KiB a call whose calls took so long, as many of each."""
    share = np.arange(1, 101) / 100
    value = np.repeat(np.array(values_us), 100 // len(values_us))
    return Calls("w", True, 1 << 30, 10.0, None, None, Quantiles(share, value, 16384))


def recorded(*pauses: int) -> Events:
    def table(name: str, rows: list[dict[str, int]]) -> pl.DataFrame:
        schema = frame_schema(EVENTS[name])
        return pl.DataFrame([dict.fromkeys(schema) | row for row in rows], schema=schema)

    checks = [{"line": n, "time_ns": n * 10**6, "pause": pause} for n, pause in enumerate(pauses)]
    states = [{"line": 100, "time_ns": 10**9, "dirty": 5}]
    return Events(frames={
        "balance_dirty_pages": table("balance_dirty_pages", checks), "global_dirty_state": table("global_dirty_state", states),
    })  # fmt: skip


@pytest.mark.parametrize(("pauses", "took_us"), [((0, 0), 100.0), ((), 100.0), ((0, 8), 20.0)])
def test_slow_calls_count_only_where_nobody_was_told_to_pause(pauses: tuple[int, ...], took_us: float) -> None:
    found = call_cost([calls(20.0, 180.0)], {"w": PAGES * 4096}, recorded(*pauses), 300, 4000.0)

    assert found is not None
    a_page_ns = (took_us * 1000 - 300) / PAGES
    assert 4096 * 1000 / found.copy_mb_s == pytest.approx(a_page_ns - PAGE_NS, rel=0.02)


def test_without_events_nobody_says_that_nothing_held_calls_up() -> None:
    for events in (None, Events(frames={})):
        found = call_cost([calls(20.0, 180.0)], {"w": PAGES * 4096}, events, 300, 4000.0)
        assert found is not None
        assert "took 20 us" in found.said
