# SPDX-License-Identifier: GPL-2.0-or-later
"""Pictures of recordings hold what the frames hold, and are drawn."""

import json

import pytest

from pageout.analysis.block import df_queueing, df_requests
from pageout.analysis.compaction import df_compaction
from pageout.analysis.journal import df_fsync, df_journal
from pageout.analysis.reclaim import df_direct_reclaim, df_kswapd, df_throttled
from pageout.analysis.slab import df_shrinker_calls
from pageout.analysis.stalls import df_waits
from pageout.analysis.writeback import (
    df_bdi_rates,
    df_dirty_rates,
    df_dirty_state,
    df_dirty_throttle,
    df_flusher_work,
)
from pageout.report import trace_charts as charts
from tests.analysis.traces import Trace

PLOTS = [
    (charts.plot_direct_reclaim, df_direct_reclaim),
    (charts.plot_dirty_throttle, df_dirty_throttle),
    (charts.plot_dirty_state, df_dirty_state),
    (charts.plot_dirty_rates, df_dirty_rates),
    (charts.plot_requests, df_requests),
    (charts.plot_seeks, df_requests),
    (charts.plot_waits, df_waits),
    (charts.plot_queueing, df_queueing),
    (charts.plot_kswapd, df_kswapd),
    (charts.plot_throttled, df_throttled),
    (charts.plot_shrinker_calls, df_shrinker_calls),
    (charts.plot_compaction, df_compaction),
    (charts.plot_flusher_work, df_flusher_work),
    (charts.plot_fsync, df_fsync),
    (charts.plot_journal, df_journal),
    (charts.plot_bdi_rates, df_bdi_rates),
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
        trace.emit("block_rq_insert", at + 25, 7, comm, dev="8,0", rwbs="W", sector=n, nr_sector=1)
        trace.emit("block_rq_issue", at + 30, 7, comm, dev="8,0", rwbs="W", sector=n, nr_sector=1)
        trace.emit("block_rq_complete", at + 35, 7, comm, dev="8,0", rwbs="W", sector=n, nr_sector=1, error=0)
        trace.emit("mm_vmscan_kswapd_wake", at + 40, 88, "kswapd0", nid=0, order=0)
        trace.emit(
            "mm_shrink_slab_start", at + 41, 88, "kswapd0", shrinker="super_cache_scan", shrinker_at="ffff", nid=0
        )
        trace.emit(
            "mm_shrink_slab_end",
            at + 44,
            88,
            "kswapd0",
            shrinker="super_cache_scan",
            shrinker_at="ffff",
            nid=0,
            retval=2,
        )
        trace.emit("mm_vmscan_kswapd_sleep", at + 45, 88, "kswapd0", nid=0)
        trace.emit("mm_vmscan_throttled", at + 50, 7, comm, nid=0, usec_timeout=10000, usec_delayed=8000,
                   reason="VMSCAN_THROTTLE_NOPROGRESS")  # fmt: skip
        trace.emit("mm_compaction_begin", at + 60, 7, comm, mode="async")
        trace.emit("mm_compaction_end", at + 61, 7, comm, mode="async", status="success")
        trace.emit("writeback_start", at + 70, 20, "kworker/u8:1", bdi="8:0", nr_pages=500, reason="background")
        trace.emit("writeback_written", at + 72, 20, "kworker/u8:1", bdi="8:0", nr_pages=400, reason="background")
        trace.emit("ext4_sync_file_enter", at + 80, 7, comm, dev="8,0", ino=12)
        trace.emit("ext4_sync_file_exit", at + 90, 7, comm, dev="8,0", ino=12, ret=0)
        trace.emit(
            "jbd2_run_stats", at + 95, 9, "jbd2/sda", dev="8,0", tid=n, running=5000, locked=1, flushing=2, logging=3
        )
        trace.emit("bdi_dirty_ratelimit", at + 96, 7, comm, bdi="8:0", write_bw=100, awrite_bw=90, dirty_rate=80,
                   dirty_ratelimit=70, task_ratelimit=60, balanced_dirty_ratelimit=50)  # fmt: skip
    return trace.events()


@pytest.mark.parametrize(("plot", "frame"), PLOTS, ids=lambda function: function.__name__)
def test_an_empty_frame_gives_no_picture(plot, frame):
    assert plot(frame(trace_of()).clear()) is None


def test_all_pictures_of_a_trace_are_drawn_on_one_page():
    events = trace_of()

    spec = charts.trace_picture([plot(frame(events)) for plot, frame in PLOTS], "three <stalls>")

    svg = charts.picture_bytes(spec, ".svg").decode()
    for title in ("in direct reclaim: 3", "requests of 8,0, where they began: 3", "waits before the device: 3", "kswapd awake: 3",
                  "asleep in reclaim: 3", "shrinker calls: 3", "compaction: 3", "passes of the flusher: 3", "fsync: 3",
                  "journal commits", "what the kernel believes of 8:0"):  # fmt: skip
        assert title in svg, title
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
