# SPDX-License-Identifier: GPL-2.0-or-later
"""The frames of the analysis: needs, columns, units, what is null and what is 0."""

import importlib
import pkgutil
import re
from pathlib import Path

import pytest

from pageout import analysis
from pageout.analysis.block import df_queueing, rwbs_class
from pageout.analysis.compaction import df_compaction
from pageout.analysis.needs import Needing
from pageout.analysis.page import reference
from pageout.analysis.reclaim import df_direct_reclaim, df_isolated, df_lru, df_throttled
from pageout.analysis.slab import df_shrinkers
from pageout.analysis.stalls import df_holders, df_wait_totals, df_waits
from pageout.analysis.writeback import df_dirty_rates, df_dirty_throttle, df_flusher_work, df_inodes, df_throttle_totals
from pageout.events.tables import Events
from pageout.vocabulary.errors import MissingEventError, PageoutError
from pageout.vocabulary.schema import EVENTS
from tests.analysis.traces import MS, Trace

FRAMES = [
    value
    for module in pkgutil.iter_modules(analysis.__path__)
    for value in vars(importlib.import_module(f"pageout.analysis.{module.name}")).values()
    if isinstance(value, Needing) and value.__module__ == f"pageout.analysis.{module.name}"
]
EACH = pytest.mark.parametrize("frame", FRAMES, ids=lambda frame: frame.__name__)


def one_of_each():
    """Every event of the table once: nothing pairs well, everything has a row."""
    trace = Trace()
    for n, name in enumerate(EVENTS):
        trace.emit(name, n)
    return trace.events()


@EACH
def test_without_its_events_a_frame_names_what_it_lacks(frame):
    with pytest.raises(MissingEventError) as error:
        frame(Events())

    assert isinstance(error.value, PageoutError)
    assert all(need in str(error.value) for need in frame.events)
    assert frame.or_none(Events()) is None


@EACH
def test_what_a_frame_needs_is_in_the_table(frame):
    assert {name for need in frame.events for name in need.split("|")} <= set(EVENTS)


@EACH
def test_events_that_say_nothing_give_rows_of_nulls(frame):
    frame(one_of_each())


@pytest.mark.parametrize("frame", [f for f in FRAMES if f.__name__.startswith("df_")], ids=lambda f: f.__name__)
def test_each_column_is_documented(frame):
    rows = frame(one_of_each())
    words = set(re.findall(r"\w+", frame.__doc__))

    assert not [name for name in rows.columns if name not in words]


def test_one_of_several_events_is_enough():
    trace = Trace()
    trace.emit("mm_vmscan_memcg_reclaim_begin", 1, order=0, gfp_flags="GFP_KERNEL")
    trace.emit("mm_vmscan_memcg_reclaim_end", 3, nr_reclaimed=5)

    assert df_direct_reclaim(trace.events()).select("kind", "stall_ns", "nr_reclaimed").rows() == [("memcg", 2 * MS, 5)]


def test_no_stall_crosses_a_hole():
    trace = Trace()
    trace.emit("mm_vmscan_direct_reclaim_begin", 1, order=3, gfp_flags="GFP_KERNEL")
    trace.hole()
    trace.emit("mm_vmscan_direct_reclaim_end", 900, nr_reclaimed=5)

    rows = df_direct_reclaim(trace.events())

    assert rows.select("order", "stall_ns", "nr_reclaimed").rows() == [(3, None, None)]


def test_a_clock_that_went_back_gives_no_time():
    trace = Trace()
    trace.emit("mm_vmscan_direct_reclaim_begin", 9, order=0)
    trace.emit("mm_vmscan_direct_reclaim_end", 5, nr_reclaimed=5)

    assert df_direct_reclaim(trace.events())["stall_ns"].to_list() == [None]


BALANCE = {"bdi": "8:0", "dirtied": 32, "task_ratelimit": 400, "cgroup_ino": 1}


def test_a_wrapped_pause_is_no_time_and_is_counted():
    trace = Trace()
    trace.emit("balance_dirty_pages", 1, paused=1, pause=-4294824915, period=10, think=4294824917, **BALANCE)
    trace.emit("balance_dirty_pages", 2, paused=0, pause=-12, period=10, think=0, **BALANCE)
    trace.emit("balance_dirty_pages", 4, paused=0, pause=20, period=10, think=0, **BALANCE)
    trace.emit("balance_dirty_pages", 27, paused=0, pause=0, period=10, think=0, **BALANCE)
    events = trace.events()

    rows = df_dirty_throttle(events)
    totals = df_throttle_totals(events)

    assert rows["wrapped"].to_list() == [True, False, False, False]
    assert rows["asked_ns"].to_list() == [None, 0, 20 * MS, 0]
    assert rows["seen_ns"].to_list() == [1 * MS, 2 * MS, 23 * MS, None]
    assert totals.select("checks", "pauses", "wrapped", "asked_ns", "seen_ns").rows() == [(4, 1, 1, 20 * MS, 23 * MS)]


def test_counts_a_kernel_does_not_print_are_null_not_0():
    trace = Trace()
    trace.emit(
        "mm_vmscan_lru_shrink_inactive", 1, nid=0, nr_scanned=32, nr_reclaimed=3, priority=12, flags="RECLAIM_WB_ANON"
    )

    row = df_lru(trace.events()).row(0, named=True)

    assert (row["nr_scanned"], row["nr_dirty"], row["nr_activate"], row["lru"]) == (32, None, None, "anon")


@pytest.mark.parametrize(
    ("said", "lru", "rotation"),
    [
        ({"lru": "inactive_file"}, "inactive_file", False),
        ({"lru": "3"}, "active_file", True),
        ({"lru": "1,0"}, "1,0", False),
        ({"file": 1, "isolate_mode": 2}, "file", False),
        ({"contig_taken": 0, "isolate_mode": 1}, None, True),
        ({"contig_taken": 0, "isolate_mode": 0}, None, False),
    ],
)
def test_a_list_is_named_whatever_the_kernel_printed(said, lru, rotation):
    trace = Trace()
    trace.emit("mm_vmscan_lru_isolate", 1, nr_scanned=1, **said)

    row = df_isolated(trace.events()).row(0, named=True)

    assert (row["lru"], row["rotation"]) == (lru, rotation)


def test_throttling_of_all_eras_is_one_frame():
    trace = Trace()
    trace.emit("writeback_congestion_wait", 100, usec_timeout=100000, usec_delayed=2000)
    trace.emit("mm_vmscan_direct_reclaim_begin", 101, order=0)
    trace.emit("mm_vmscan_throttled", 210, nid=1, usec_timeout=100000, usec_delayed=100000,
               reason="VMSCAN_THROTTLE_WRITEBACK")  # fmt: skip

    rows = df_throttled(trace.events())

    assert rows.select("reason", "by", "delayed_ns", "full").rows() == [
        ("congestion_wait", None, 2 * MS, False),
        ("WRITEBACK", "direct", 100 * MS, True),
    ]


@pytest.mark.parametrize(("nid", "freed"), [(0, 128), (None, None)])
def test_the_dearest_shrinker_is_first_and_old_kernels_do_not_say_what_was_freed(nid, freed):
    trace = Trace()
    for ms, name, took in ((0, "super_cache_scan+0x0/0x1a0", 50), (60, "xfs_buftarg_shrink+0x0/0x1c0", 2)):
        who = {"shrinker": name, "shrinker_at": "ffff", "nid": nid, "total_scan": 128}
        trace.emit("mm_shrink_slab_start", ms, 30, "kswapd0", cache_items=9, **who)
        trace.emit("mm_shrink_slab_end", ms + took, 30, "kswapd0", retval=128, **who)

    rows = df_shrinkers(trace.events())

    assert rows.select("shrinker", "by", "took_ns", "nr_freed").rows() == [
        ("super_cache_scan", "kswapd", 50 * MS, freed),
        ("xfs_buftarg_shrink", "kswapd", 2 * MS, freed),
    ]


def test_a_pass_of_a_flusher_wrote_what_it_had_less_to_write():
    trace = Trace()
    work = {"bdi": "8:0", "reason": "background", "background": 1, "sync_mode": 0}
    trace.emit("writeback_start", 1, 20, "kworker/u8:1", nr_pages=(1 << 63) - 1, **work)
    trace.emit("writeback_written", 5, 20, "kworker/u8:1", nr_pages=(1 << 63) - 1 - 1024, **work)

    assert df_flusher_work(trace.events()).select("pages", "took_ns", "reason").rows() == [(1024, 4 * MS, "background")]


def test_an_inode_that_stays_dirty_is_counted_as_such():
    trace = Trace()
    inode = {"bdi": "8:0", "ino": 12}
    for ms, state in ((1, "I_SYNC"), (5, "I_DIRTY_PAGES|I_SYNC")):
        trace.emit("writeback_single_inode_start", ms, state="I_DIRTY_PAGES", **inode)
        trace.emit("writeback_single_inode", ms + 2, state=state, wrote=100, **inode)

    row = df_inodes(trace.events()).row(0, named=True)

    assert (row["passes"], row["wrote"], row["redirtied"], row["took_ns"], row["requeues"]) == (2, 200, 1, 4 * MS, None)


def test_rates_are_of_the_counters_and_stop_at_a_hole():
    trace = Trace()
    for second in range(4):
        trace.emit("global_dirty_state", second * 1000, dirtied=second * 100, written=0, dirty=1, writeback=0, thresh=9,
                   bg_thresh=4)  # fmt: skip
        if second == 1:
            trace.hole()

    rows = df_dirty_rates(trace.events())

    assert rows.select("segment", "dirtied", "dirtied_kib_s").rows() == [(0, 100, 400.0), (1, 100, 400.0)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("R", ("read", False, False, False, False)),
        ("RA", ("read", False, False, True, False)),
        ("WSM", ("write", True, True, False, False)),
        ("FWFS", ("write", True, False, False, True)),
        ("FWS", ("write", True, False, False, True)),
        ("FF", ("flush", False, False, False, True)),
        ("F", ("flush", False, False, False, True)),
        ("WFS", ("write", True, False, False, True)),
        ("DE", ("discard", False, False, False, False)),
        ("N", ("other", False, False, False, False)),
        ("", ("flush", False, False, False, False)),
    ],
)
def test_the_letters_of_a_request_say_its_class(text, expected):
    if text:
        assert rwbs_class(text) == expected


def test_time_in_the_scheduler_and_for_a_request_are_told_apart():
    trace = Trace()
    where = {"dev": "8,0", "rwbs": "R", "sector": 8, "nr_sector": 8}
    trace.emit("block_bio_queue", 0, **where)
    trace.emit("block_getrq", 4, **where)
    trace.emit("block_rq_insert", 5, **where)
    trace.emit("block_rq_issue", 7, **where)

    assert df_queueing(trace.events()).select("step", "wait_ns").rows() == [("request", 4 * MS), ("scheduler", 2 * MS)]


def test_the_order_of_a_compaction_is_that_of_the_attempt_before_it():
    trace = Trace()
    trace.emit("mm_compaction_try_to_compact_pages", 1, order=4)
    trace.emit("mm_compaction_begin", 2, mode="async")
    trace.emit("mm_compaction_end", 5, status="success")
    trace.emit("mm_compaction_begin", 6, 40, "kcompactd0", mode="sync")

    rows = df_compaction(trace.events())

    assert rows.select("order", "took_ns", "status", "background").rows() == [
        (4, 3 * MS, "success", False),
        (None, None, None, True),
    ]


def waiting_trace():
    trace = Trace()
    trace.emit("writeback_start", 0, 20, "kworker/u8:1", bdi="8:0", nr_pages=500)
    trace.emit("balance_dirty_pages", 1, 7, pause=20, paused=0, period=20, think=0, **BALANCE)
    trace.emit("mm_vmscan_direct_reclaim_begin", 30, 8, "cp", order=0)
    trace.emit("mm_vmscan_throttled", 42, 8, "cp", nid=0, usec_timeout=10000, usec_delayed=8000,
               reason="VMSCAN_THROTTLE_CONGESTED")  # fmt: skip
    trace.emit("mm_vmscan_direct_reclaim_end", 45, 8, "cp", nr_reclaimed=1)
    trace.emit("block_rq_issue", 50, 9, "fsyncer", dev="8,0", rwbs="WS", sector=8, nr_sector=8)
    trace.emit("writeback_written", 80, 20, "kworker/u8:1", bdi="8:0", nr_pages=100)
    return trace.events()


def test_waits_of_all_kinds_are_one_table():
    rows = df_waits(waiting_trace())

    assert rows.select("site", "on", "comm", "wait_ns", "known", "inside").rows() == [
        ("dirty limit", "dev 8:0", "dd", 20 * MS, "asked", None),
        ("direct reclaim", None, "cp", 15 * MS, "measured", None),
        ("reclaim_throttle CONGESTED", "node 0", "cp", 8 * MS, "reported", "direct reclaim"),
        ("device write", "dev 8:0", "fsyncer", None, "unended", None),
    ]
    assert df_wait_totals(waiting_trace())["unended"].to_list() == [0, 0, 0, 1]


def test_who_holds_is_who_worked_there_while_others_waited():
    rows = df_holders(waiting_trace())

    assert rows.select("on", "role", "comm", "busy_ns", "work", "unended", "waiters", "waited_ns").rows() == [
        ("dev 8:0", "flusher", "kworker/u8:1", 80 * MS, 400, 0, 2, 20 * MS),
        ("dev 8:0", "device", "fsyncer", None, 1, 1, 1, 20 * MS),
    ]


def test_before_3_2_a_wait_at_the_limit_lasts_at_most_to_the_next_event():
    trace = Trace()
    trace.emit("balance_dirty_wait", 1, bdi="8:0")
    trace.emit("balance_dirty_wait", 101, bdi="8:0")

    assert df_waits(trace.events()).select("site", "wait_ns", "known").rows() == [
        ("dirty limit", 100 * MS, "at most"),
        ("dirty limit", None, "unended"),
    ]


def test_the_reference_page_is_made_of_the_frames():
    page = Path(__file__).parents[2] / "docs" / "reference" / "frames.md"

    assert page.read_text() == reference()
