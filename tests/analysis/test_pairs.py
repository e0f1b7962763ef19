# SPDX-License-Identifier: GPL-2.0-or-later
"""What belongs together, against twins that walk the events one by one."""

from hypothesis import given, settings
from hypothesis import strategies as st

from pageout.analysis.block import df_requests
from pageout.analysis.pairs import task_names
from pageout.analysis.reclaim import df_direct_reclaim, df_kswapd, df_lru
from tests.analysis.traces import MS, Trace

BEGIN, END = "mm_vmscan_direct_reclaim_begin", "mm_vmscan_direct_reclaim_end"
STEPS = st.lists(st.tuples(st.sampled_from(["begin", "end", "scan", "hole"]), st.sampled_from([7, 8])), max_size=30)


def reclaim_trace(steps):
    trace = Trace()
    for ms, (what, pid) in enumerate(steps):
        if what == "hole":
            trace.hole()
        elif what == "begin":
            trace.emit(BEGIN, ms, pid, order=0, gfp_flags="GFP_KERNEL")
        elif what == "end":
            trace.emit(END, ms, pid, nr_reclaimed=ms)
        else:
            trace.emit("mm_vmscan_lru_shrink_inactive", ms, pid, nid=0, nr_scanned=32, nr_reclaimed=ms, priority=12,
                       flags="RECLAIM_WB_FILE|RECLAIM_WB_ASYNC")  # fmt: skip
    return trace.events()


def naive_stalls(steps):
    """(pid, begun ms, ended ms or None) of each begin."""
    found, begun = [], {}
    for ms, (what, pid) in enumerate(steps):
        if what == "hole":
            begun.clear()
        elif what == "begin":
            begun[pid] = len(found)
            found.append([pid, ms, None])
        elif what == "end" and pid in begun:
            found[begun.pop(pid)][2] = ms
    return [tuple(row) for row in found]


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_direct_reclaim_pairs_as_a_walk_over_the_events_does(steps):
    events = reclaim_trace(steps)
    rows = df_direct_reclaim.or_none(events)
    found = [] if rows is None else rows.select("pid", "time_ns", "time_ns_end", "stall_ns").rows()

    assert [(pid, begun // MS, None if end is None else end // MS) for pid, begun, end, _ in found] == naive_stalls(
        steps
    )
    assert all(stall == (None if end is None else end - begun) for _, begun, end, stall in found)


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_what_was_scanned_belongs_to_the_reclaim_it_happened_in(steps):
    inside, expected = set(), {}
    for what, pid in steps:
        if what == "hole":
            inside.clear()
        elif what == "begin":
            inside.add(pid)
        elif what == "end":
            inside.discard(pid)
        else:
            key = ("direct" if pid in inside else None, pid)
            expected[key] = expected.get(key, 0) + 32

    rows = df_lru.or_none(reclaim_trace(steps))
    found = {} if rows is None else {(by, pid): n for by, pid, n in rows.select("by", "pid", "nr_scanned").rows()}

    assert found == expected


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(["wake", "sleep", "hole"]), max_size=25))
def test_kswapd_is_awake_from_its_first_wake_to_its_sleep(steps):
    trace, expected, run = Trace(), [], None
    for ms, what in enumerate(steps):
        if what == "hole":
            trace.hole()
            run = None
        elif what == "wake":
            trace.emit("mm_vmscan_kswapd_wake", ms, 30, "kswapd0", nid=0, order=ms % 4)
            if run is None:
                run = [ms, None, 0]
                expected.append(run)
            else:
                run[2] += 1
        else:
            trace.emit("mm_vmscan_kswapd_sleep", ms, 30, "kswapd0", nid=0)
            if run is not None:
                run[1] = ms
                run = None
    rows = df_kswapd.or_none(trace.events())
    found = [] if rows is None else rows.select("time_ns", "time_ns_end", "rewakes").rows()

    assert [[a // MS, None if b is None else b // MS, n] for a, b, n in found] == expected


REQUESTS = st.lists(
    st.tuples(
        st.sampled_from(["issue", "complete", "hole"]), st.sampled_from([0, 8, 64]), st.sampled_from(["8,0", "8,16"])
    ),
    max_size=30,
)


@settings(max_examples=60, deadline=None)
@given(REQUESTS)
def test_requests_pair_the_last_issue_with_the_first_completion(steps):
    trace, expected, flying = Trace(), [], {}
    for ms, (what, sector, dev) in enumerate(steps):
        where = {"dev": dev, "rwbs": "W", "sector": sector, "nr_sector": 8}
        if what == "hole":
            trace.hole()
            flying = {}
        elif what == "issue":
            trace.emit("block_rq_issue", ms, issuer="dd", bytes=0, **where)
            row = flying.get((dev, sector))
            if row is None:
                row = flying[dev, sector] = {"issues": 0, "end": None, "first": ms}
                expected.append(row)
            row |= {"issues": row["issues"] + 1, "last": ms}
        else:
            trace.emit("block_rq_complete", ms, error=0, **where)
            row = flying.pop((dev, sector), None)
            if row is not None:
                row["end"] = ms
    rows = df_requests.or_none(trace.events())
    found = [] if rows is None else rows.select("time_ns", "latency_ns", "whole_ns", "issues").rows()
    expected.sort(key=lambda row: row["last"])

    def since(row, at):
        return None if row["end"] is None else (row["end"] - row[at]) * MS

    assert found == [(row["last"] * MS, since(row, "last"), since(row, "first"), row["issues"]) for row in expected]


def test_seek_and_depth_follow_the_requests_of_one_device():
    trace = Trace()
    for ms, (name, dev, sector) in enumerate(
        [
            ("issue", "8,0", 0),
            ("issue", "8,16", 800),
            ("issue", "8,0", 8),
            ("complete", "8,0", 0),
            ("issue", "8,0", 100),
        ]
    ):
        trace.emit(f"block_rq_{name}", ms, dev=dev, rwbs="R", sector=sector, nr_sector=8)

    rows = df_requests(trace.events())

    assert rows.select("dev", "seek", "depth").rows() == [
        ("8,0", None, 1),
        ("8,16", None, 1),
        ("8,0", 0, 2),
        ("8,0", 84, 2),
    ]


def test_a_flush_without_a_place_does_not_complete_the_data_at_sector_0():
    trace = Trace()
    trace.emit("block_rq_issue", 1, dev="8,0", rwbs="W", sector=0, nr_sector=8)
    trace.emit("block_rq_issue", 2, dev="8,0", rwbs="FF", sector=0, nr_sector=0)
    trace.emit("block_rq_complete", 5, dev="8,0", rwbs="FF", sector=0, nr_sector=0, error=0)

    rows = df_requests(trace.events())

    assert rows.select("op", "latency_ns").rows() == [("write", None), ("flush", 3 * MS)]


def test_a_name_is_lent_only_where_the_trace_knows_one():
    trace = Trace()
    trace.emit(END, 1, 5, "", nr_reclaimed=1)
    trace.emit(END, 2, 5, "cp", nr_reclaimed=1)
    trace.emit(END, 3, 6, "a", nr_reclaimed=1)
    trace.emit(END, 4, 6, "b", nr_reclaimed=1)

    assert task_names(trace.events()).rows() == [(5, "cp")]
