# SPDX-License-Identifier: GPL-2.0-or-later
"""The series and the histograms of requests beside the figures that are counted elsewhere."""

from functools import cache
from itertools import pairwise
from typing import Any

import pytest

from pageout.engine.constants import HIST_BUCKETS
from pageout.engine.ledger import bucket_of
from pageout.jit import INTERPRETED
from pageout.machine import boot as booting
from pageout.machine import figures, simulate
from pageout.machine.figures import bucket_floor, octaves
from tests.machine.test_parity import scenarios

SAMPLED = {"written_direct", "written_kswapd", "written_flusher", "written_writer", "write_requests", "seek_count"}


@cache
def results() -> tuple[Any, ...]:
    return tuple(simulate.simulate(scenario) for scenario in scenarios()[:4])


@pytest.mark.parametrize("number", range(4))
def test_the_series_ends_with_the_runs_totals(number: int) -> None:
    result = results()[number]
    last = {name: column[-1] for name, column in result.series.items()}
    assert last["t_s"] == result.now_ns / 1e9
    assert {name: last[name] for name in SAMPLED} == {name: result.metrics[name] for name in SAMPLED}
    assert last["stack_max_bytes"] == result.metrics["stack_max_bytes"]
    assert round(last["throttle_slept_ns"] / 1e9, 6) == result.metrics["throttle_slept_s"]
    assert 0 < last["background_limit"] < last["dirty_limit"]


@pytest.mark.parametrize("number", range(4))
def test_every_column_of_totals_only_grows_and_time_moves_on(number: int) -> None:
    series = results()[number].series
    assert len({len(column) for column in series.values()}) == 1
    for name in (*SAMPLED, "alloc_stall_ns", "throttle_slept_ns", "stack_max_bytes", "reclaimed"):
        assert series[name] == sorted(series[name]), name
    assert all(a < b for a, b in pairwise(series["t_s"]))


@pytest.mark.parametrize("number", range(4))
def test_the_histograms_hold_each_write_request_and_each_seek(number: int) -> None:
    result = results()[number]
    for device, figure in result.document()["devices"].items():
        found = result.histograms[device]
        assert sum(count for _, count in found["write_kib"]) == figure["write_requests"]
        assert sum(count for _, count in found["seek_kib"]) == figure["seek_count"]
        low = sum(bound * count for bound, count in found["write_kib"])
        total = figure["write_requests"] * (figure["mean_write_kib"] or 0)
        assert low <= total + 0.01 * figure["write_requests"]
        assert total < 2 * low or not low


@pytest.mark.parametrize("rows", [2, 3, 8])
def test_a_series_that_is_full_goes_on_at_half_the_rate(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    scenario = scenarios()[0]
    fine = _with_rows(scenario, 8192, monkeypatch)
    coarse = _with_rows(scenario, rows, monkeypatch)
    assert len(coarse["t_s"]) <= rows < len(fine["t_s"])
    at = [fine["t_s"].index(t) for t in coarse["t_s"]]
    steps = {b - a for a, b in pairwise(at[:-1])}
    assert len(steps) <= 1  # evenly spaced, but for the very end
    assert at[0] == 0
    assert at[-1] == len(fine["t_s"]) - 1
    for name in ("nr_dirty", "nr_free", "written_flusher", "seek_count", "stack_max_bytes"):
        assert coarse[name] == [fine[name][row] for row in at], name


def _with_rows(scenario: Any, rows: int, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[float]]:
    """Simulate with a sample a millisecond and room for so many of them."""
    monkeypatch.setattr(booting, "SERIES_ROWS", rows)
    monkeypatch.setattr(simulate, "boot", lambda *words, **named: booting.boot(*words, **named, series_ns=1_000_000))
    return simulate.simulate(scenario).series


def test_octaves_keep_every_count_and_have_no_gap() -> None:
    import numpy as np

    counts = np.zeros(HIST_BUCKETS, dtype=np.int64)
    for bucket, count in ((0, 2), (1, 3), (5, 1), (60, 7)):
        counts[bucket] = count
    found = octaves(counts)
    assert sum(count for _, count in found) == 13
    assert found[:4] == [(0, 2), (1, 3), (2, 0), (4, 1)]
    assert [bound for bound, _ in found[1:]] == [1 << n for n in range(len(found) - 1)]
    assert found[-1] == (1 << bucket_floor(60).bit_length() - 1, 7)
    assert octaves(np.zeros(HIST_BUCKETS, dtype=np.int64)) == []


@pytest.mark.skipif(not INTERPRETED, reason="calls a compiled function from Python: interpreted only")
@pytest.mark.parametrize("value", [0, 1, 15, 16, 17, 4096, 123_456_789])
def test_a_buckets_floor_is_not_above_what_falls_into_it(value: int) -> None:
    assert bucket_floor(bucket_of(value)) <= value < bucket_floor(bucket_of(value) + 1)


def test_a_reading_job_has_read_latencies_and_a_writing_one_write_latencies() -> None:
    document = results()[1].document()
    writer, reader = document["jobs"][:2]
    for name in figures.QUANTILES:
        assert writer[f"write_{name}_us"] > 0
        assert writer[f"read_{name}_us"] is None
        assert reader[f"read_{name}_us"] > 0
        assert reader[f"write_{name}_us"] is None
    assert reader["read_p50_us"] <= reader["read_p99_us"] <= reader["read_max_us"]
