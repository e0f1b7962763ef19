# SPDX-License-Identifier: GPL-2.0-or-later
"""Pictures of recordings hold what the frames hold, and are drawn."""

import json

import pytest

from pageout.analysis.block import df_requests
from pageout.analysis.reclaim import df_direct_reclaim
from pageout.analysis.stalls import df_waits
from pageout.analysis.writeback import df_dirty_rates, df_dirty_state, df_dirty_throttle
from pageout.report import trace_charts as charts
from tests.analysis.traces import Trace

PLOTS = [
    (charts.plot_direct_reclaim, df_direct_reclaim),
    (charts.plot_dirty_throttle, df_dirty_throttle),
    (charts.plot_dirty_state, df_dirty_state),
    (charts.plot_dirty_rates, df_dirty_rates),
    (charts.plot_requests, df_requests),
    (charts.plot_waits, df_waits),
]


def trace_of(comm="dd", rows=3):
    trace = Trace()
    for n in range(rows):
        at = n * 1000
        trace.emit("mm_vmscan_direct_reclaim_begin", at, 7, comm, order=0)
        trace.emit("mm_vmscan_direct_reclaim_end", at + n % 7 + 1, 7, comm, nr_reclaimed=1)
        trace.emit("balance_dirty_pages", at + 10, 7, comm, bdi="8:0", pause=4, paused=0, period=4, think=0)
        trace.emit("global_dirty_state", at + 20, 7, comm, dirty=n, writeback=1, thresh=10, bg_thresh=5, dirtied=n,
                   written=n)  # fmt: skip
        trace.emit("block_rq_issue", at + 30, 7, comm, dev="8,0", rwbs="W", sector=n, nr_sector=1)
        trace.emit("block_rq_complete", at + 35, 7, comm, dev="8,0", rwbs="W", sector=n, nr_sector=1, error=0)
    return trace.events()


@pytest.mark.parametrize(("plot", "frame"), PLOTS, ids=lambda function: function.__name__)
def test_an_empty_frame_gives_no_picture(plot, frame):
    assert plot(frame(trace_of()).clear()) is None


def test_all_pictures_of_a_trace_are_drawn_on_one_page():
    events = trace_of()

    spec = charts.trace_picture([plot(frame(events)) for plot, frame in PLOTS], "three <stalls>")

    svg = charts.picture_bytes(spec, ".svg").decode()
    assert "in direct reclaim: 3" in svg
    assert "background threshold" in svg
    assert "three &lt;stalls&gt;" in svg
    assert charts.picture_bytes(spec, ".png").startswith(b"\x89PNG")


def test_a_long_trace_shows_its_longest_stalls_and_says_so():
    frame = df_direct_reclaim(trace_of(rows=5000))

    spec = charts.plot_direct_reclaim(frame)

    shown = [row["ms"] for row in spec["data"]["values"]]
    assert len(shown) < 1.1 * charts.MAX_POINTS
    assert max(shown) == 7.0
    assert spec["title"]["text"] == f"in direct reclaim: 5,000, {len(shown):,} of them shown"


def test_a_comm_is_data_never_an_expression():
    spec = charts.plot_direct_reclaim(df_direct_reclaim(trace_of("' + window.x +\x1b[31m")))

    values = spec.pop("data")
    assert "window" in json.dumps(values)
    assert "\x1b" not in json.dumps(values, ensure_ascii=False)
    assert "window" not in json.dumps(spec)
