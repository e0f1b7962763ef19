# SPDX-License-Identifier: GPL-2.0-or-later
"""What the time in reclaim went to, which zone was written, how long writers waited until 3.1."""

import pytest

from pageout.analysis.block import df_device_load
from pageout.analysis.reclaim_steps import df_limit_waits, df_reclaim_steps, df_zone_writes, is_lumpy
from tests.analysis.traces import MS, Trace

FILE, ANON = "RECLAIM_WB_FILE|RECLAIM_WB_ASYNC", "RECLAIM_WB_ANON|RECLAIM_WB_ASYNC"


def steps(trace):
    return {row["step"]: row["took_ns"] // MS for row in df_reclaim_steps(trace.events()).iter_rows(named=True)}


def test_time_before_a_written_page_is_writing_and_before_the_end_of_a_sleep_is_sleep():
    trace = Trace()
    trace.emit("mm_vmscan_direct_reclaim_begin", 0, order=0)
    trace.emit("mm_vmscan_lru_isolate", 1, order=0)
    trace.emit("mm_vmscan_writepage", 31, flags=FILE)
    trace.emit("mm_vmscan_writepage", 131, flags=ANON)
    trace.emit("writeback_congestion_wait", 151, usec_timeout=20000, usec_delayed=20000)
    trace.emit("mm_vmscan_direct_reclaim_end", 155, nr_reclaimed=1)

    assert steps(trace) == {"other": 5, "writing file": 30, "writing anon": 100, "asleep": 20}


def test_a_full_queue_is_part_of_the_writing_of_the_page_that_follows():
    trace = Trace()
    trace.emit("mm_vmscan_direct_reclaim_begin", 0, order=0)
    trace.emit("block_sleeprq", 2, dev="8,0")
    trace.emit("mm_vmscan_writepage", 502, flags=FILE)
    trace.emit("mm_vmscan_direct_reclaim_end", 503, nr_reclaimed=1)

    assert steps(trace) == {"other": 1, "writing file": 502}


@pytest.mark.parametrize(("contig_taken", "step"), [(31, "for pages"), (None, "other")])
def test_going_through_pages_again_after_a_sleep_is_waiting_only_where_reclaim_is_lumpy(contig_taken, step):
    trace = Trace()
    trace.emit("mm_vmscan_direct_reclaim_begin", 0, order=9)
    trace.emit("mm_vmscan_lru_isolate", 0, order=9, contig_taken=contig_taken)
    trace.emit("writeback_congestion_wait", 100, usec_timeout=100000, usec_delayed=100000)
    trace.emit("mm_vmscan_lru_shrink_inactive", 900, nr_scanned=32, nr_reclaimed=1)
    trace.emit("mm_vmscan_direct_reclaim_end", 900, nr_reclaimed=1)

    found = steps(trace)
    assert found[step] == 800
    assert found["asleep"] == 100


def test_a_kernel_is_lumpy_that_says_what_it_took_around_a_page():
    old, new = Trace(), Trace()
    old.emit("mm_vmscan_lru_isolate", 0, order=0, contig_taken=0)
    new.emit("mm_vmscan_lru_isolate", 0, order=0)

    assert is_lumpy(old.events())
    assert not is_lumpy(new.events())
    assert not is_lumpy(Trace().events())


def test_other_tasks_and_time_after_the_stall_do_not_count():
    trace = Trace()
    trace.emit("mm_vmscan_direct_reclaim_begin", 0, order=0)
    trace.emit("mm_vmscan_writepage", 5, pid=8, flags=FILE)
    trace.emit("mm_vmscan_direct_reclaim_end", 10, nr_reclaimed=1)
    trace.emit("mm_vmscan_writepage", 90, flags=FILE)

    assert steps(trace) == {"other": 10}


def test_a_stall_cut_by_a_hole_has_no_steps():
    trace = Trace()
    trace.emit("mm_vmscan_direct_reclaim_begin", 0, order=0)
    trace.hole()
    trace.emit("mm_vmscan_direct_reclaim_end", 1000, nr_reclaimed=1)

    assert df_reclaim_steps(trace.events()).is_empty()


def test_a_written_page_is_of_the_zone_that_its_batch_names_when_it_ends():
    trace = Trace()
    for zid, pid, comm, wrote in ((1, 32, "kswapd0", 0), (2, 32, "kswapd0", 2), (2, 7, "dd", 1)):
        for _ in range(wrote):
            trace.emit("mm_vmscan_writepage", trace.line, pid, comm, flags=FILE)
        trace.emit(
            "mm_vmscan_lru_shrink_inactive", trace.line, pid, comm, nid=0, zid=zid, nr_scanned=32, nr_reclaimed=9
        )
    trace.emit("mm_vmscan_writepage", trace.line, 32, "kswapd0", flags=ANON)

    zones = df_zone_writes(trace.events())
    rows = zones.filter(zid=2).to_dicts()
    assert [(row["kswapd"], row["tasks"], row["nr_scanned"], row["nr_reclaimed"]) for row in rows] == [(2, 1, 64, 18)]
    assert zones["kswapd"].sum() == 2


def test_a_wait_at_the_limit_is_no_longer_than_the_longest_pause():
    trace = Trace()
    trace.emit("balance_dirty_start", 0, bdi="8:0")
    trace.emit("balance_dirty_written", 30, bdi="8:0")
    trace.emit("balance_dirty_wait", 30, bdi="8:0")
    trace.emit("balance_dirty_wait", 50, bdi="8:0")
    trace.emit("balance_dirty_start", 9000, bdi="8:0")

    (row,) = df_limit_waits(trace.events()).to_dicts()
    assert (row["waits"], row["asleep_ns"]) == (2, 120 * MS)
    assert (row["wrote"], row["writing_ns"]) == (2, 30 * MS)


def test_a_device_is_busy_while_any_request_is_at_it_and_overlaps_count_once():
    trace = Trace()
    place = {"dev": "8,0", "rwbs": "W", "nr_sector": 8}
    trace.emit("block_rq_issue", 0, sector=0, **place)
    trace.emit("block_rq_issue", 5, sector=8, **place)
    trace.emit("block_rq_complete", 10, sector=0, error=0, **place)
    trace.emit("block_rq_complete", 20, sector=8, error=0, **place)
    trace.emit("block_rq_issue", 100, sector=16, **place)
    trace.emit("block_rq_complete", 101, sector=16, error=0, **place)

    (row,) = df_device_load(trace.events()).to_dicts()
    assert (row["busy_ns"], row["requests"], row["written_bytes"]) == (21 * MS, 3, 3 * 4096)
