# SPDX-License-Identifier: GPL-2.0-or-later
"""What other people's recordings say, against what is known of them."""

import pytest

from pageout.analysis.block import df_request_totals, df_requests
from pageout.analysis.compaction import df_compaction
from pageout.analysis.reclaim import df_direct_reclaim, df_lru, df_throttled
from pageout.analysis.stalls import df_waits
from pageout.analysis.writeback import df_dirty_state, df_dirty_throttle, df_flusher_work, df_throttle_totals
from pageout.readers.read import read_input
from tests.conftest import ROOT

SHARED = ROOT.parent / "shared"


def events_of(*place):
    path = SHARED.joinpath(*place)
    if not path.exists():
        pytest.skip(f"no {'/'.join(place)} beside this repository")
    return read_input(str(path)).events


def test_an_order_4_allocation_is_slow_by_compaction_not_by_reclaim():
    events = events_of("realdata", "ftrace-vmscan", "jaewon-order4-compaction-2023.txt")

    reclaim, compaction = df_direct_reclaim(events), df_compaction(events)

    assert (reclaim["stall_ns"].sum(), reclaim["nr_reclaimed"].sum()) == (4_973_000, 209)
    assert compaction["took_ns"].sum() == 12_606_000


def test_pairs_are_found_in_pieces_of_several_traces():
    events = events_of("realdata", "ftrace-vmscan", "catapult-memreclaim.txt")

    rows = df_direct_reclaim(events).drop_nulls("stall_ns")

    assert (3_194_000, 66) in rows.select("stall_ns", "nr_reclaimed").rows()
    assert (rows["stall_ns"] >= 0).all()


def test_every_task_waits_the_full_time_for_writeback():
    events = events_of("realdata", "ftrace-vmscan", "avramov-throttled-writeback-2021.txt")

    rows = df_throttled(events)

    assert len(rows) == 10
    assert rows["full"].all()
    assert set(rows["reason"]) == {"WRITEBACK"}
    assert "IndexedDB #18" in rows["comm"].to_list()


def test_memcg_reclaim_without_an_end_is_no_time():
    events = events_of("realdata", "ftrace-vmscan", "rhel-4.18-memcg-reclaim-need-resched.txt")

    assert df_direct_reclaim(events).select("kind", "stall_ns").rows() == [("memcg", None)]
    assert set(df_lru(events)["by"]) == {"memcg"}


def test_wrapped_pauses_are_not_added_to_the_time_at_the_limit():
    events = events_of("realdata", "ftrace-writeback", "wu-jbod-1mb-dd-2012.txt")

    totals = df_throttle_totals(events, by=("bdi",))

    assert totals["wrapped"].sum() > 0
    assert 0 <= totals["asked_ns"].sum() < 20_000_000


def test_a_strict_limit_of_0_pauses_each_check_for_twice_what_it_asks():
    events = events_of("realdata", "ftrace-writeback", "fuse-strictlimit-2024.txt")

    rows = df_dirty_throttle(events)

    assert set(rows["task_ratelimit"]) == {0}
    assert set(rows["bdi_setpoint"]) == {0}
    assert all(dirty < limit / 100 for dirty, limit in rows.select("dirty", "limit").rows())
    assert rows["asked_ns"].to_list() == [4_000_000] * 5
    assert all(7_500_000 < seen < 8_500_000 for seen in rows["seen_ns"].drop_nulls())


def test_two_dirty_pages_are_far_below_every_limit():
    events = events_of("realdata", "ftrace-writeback", "ext4-periodic-writeback-global-dirty-state.txt")

    state = df_dirty_state(events)

    assert not state["over_background"].any()
    assert not state["over_freerun"].any()
    assert df_flusher_work(events)["reason"].to_list()


def test_fields_of_2011_are_those_of_today():
    events = events_of("realdata", "ftrace-writeback", "wu-2011-old-fields.txt")

    row = df_dirty_throttle(events).row(0, named=True)

    assert row["bdi"].startswith("btrfs")
    assert None not in (row["setpoint"], row["dirty_ratelimit"], row["task_ratelimit"])
    assert row["think"] is None


def test_the_pauses_of_a_recorded_writer_are_those_its_recorder_counted():
    events = events_of("groundtruth", "linux-6.1", "A-ext4", "trace.txt.gz")

    totals = df_throttle_totals(events).row(0, named=True)

    assert (totals["comm"], totals["pauses"]) == ("seqwriter", 605)
    assert 22.5e6 < totals["asked_ns"] / totals["pauses"] < 23.5e6


def test_a_request_put_back_counts_once():
    events = events_of("groundtruth", "linux-6.1", "A-ext4", "trace.txt.gz")

    requests = df_requests(events)

    assert len(requests) == len(events.frame("block_rq_complete"))
    assert requests["issues"].sum() == len(events.frame("block_rq_issue"))
    written = df_request_totals(events).filter(op="write")["bytes"].sum()
    assert 512 << 20 <= written < 516 << 20


def test_reclaim_that_meets_dirty_pages_frees_little_and_is_throttled():
    events = events_of("groundtruth", "linux-6.1", "D4-ext4", "trace.txt.gz")

    direct = df_lru(events).filter(by="direct")
    inside = df_waits(events).filter(inside="direct reclaim")

    assert direct["nr_reclaimed"].sum() < 0.01 * direct["nr_scanned"].sum()
    assert "reclaim_throttle CONGESTED" in set(inside["site"])
