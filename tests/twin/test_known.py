# SPDX-License-Identifier: GPL-2.0-or-later
"""What a kernel had counted of each device's writing before a recording: by its share of the limit, check by check."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from pageout.events.tables import Events, frame_schema
from pageout.twin.completions import Device
from pageout.twin.start import known_of
from pageout.vocabulary.schema import EVENTS

MS, PAGE = 10**6, 4096
SETPOINT, TURN = 10_000, 2048  # pages; pages that end together


def frame(name: str, rows: list[dict[str, object]]) -> pl.DataFrame:
    schema = frame_schema(EVENTS[name])
    return pl.DataFrame([dict.fromkeys(schema) | row for row in rows], schema=schema)


def recorded(own: int, others: int, *, counter: bool = True) -> tuple[Events, Device]:
    """A device writes a request of 32 pages each 5 ms; the pages of a turn end with its last."""
    checks: list[dict[str, object]] = []
    states: list[dict[str, object]] = []
    done = np.arange(1, 400, dtype=np.int64) * 5 * MS
    for n in range(0, 2000, 10):
        requests = int((done <= n * MS).sum())
        ended = requests * 32 // TURN * TURN
        total = own + others + ended
        share = (own + ended) / total if total else 1.0
        states.append({"line": 2 * n + 1, "time_ns": n * MS, "written": 70_000 + ended, "limit": 0})
        checks.append({"line": 2 * n + 2, "time_ns": n * MS, "bdi": "8:0", "setpoint": SETPOINT, "limit": 12_000,
                       "bdi_setpoint": int(SETPOINT * share), "dirty": 9_000, "dirty_ratelimit": 1000})  # fmt: skip
    frames = {"balance_dirty_pages": frame("balance_dirty_pages", checks)}
    if counter:
        frames["global_dirty_state"] = frame("global_dirty_state", states)
    written = np.full(len(done), 32.0 * PAGE)
    return Events(frames=frames), Device("8:0", int(written.sum()), written_ns=done, written=written)


@pytest.mark.parametrize(("own", "others"), [(0, 50), (0, 2240), (0, 24_500), (3000, 9000)])
def test_a_share_of_nothing_is_told_too_and_pages_count_when_their_turn_ends(own: int, others: int) -> None:
    known = known_of(*recorded(own, others), floor_moved=False)
    assert known.written / PAGE == pytest.approx(own, abs=max(own / 20, 3))
    assert known.others_written / PAGE == pytest.approx(others, rel=0.05)


def test_where_a_floor_hides_a_share_of_nothing_the_rest_tells() -> None:
    events, device = recorded(0, 24_500)
    known = known_of(events, device, floor_moved=True)
    assert known.written < 1000 * PAGE < 20_000 * PAGE < known.others_written


def test_without_the_kernel_s_own_count_requests_tell() -> None:
    known = known_of(*recorded(3000, 9000, counter=False), floor_moved=False)
    assert 0 < known.written < known.others_written
