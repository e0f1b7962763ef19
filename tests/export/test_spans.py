# SPDX-License-Identifier: GPL-2.0-or-later
"""Begins and ends that belong together, and lanes on which nothing crosses."""

from collections import defaultdict

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from pageout.export.spans import BEGIN, Mark, beside, nested, pair

SPANS = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 10)).map(lambda s: (s[0], s[0] + s[1])), max_size=25)


def on_lanes(marks: list[Mark]) -> dict[int, list[Mark]]:
    lanes = defaultdict(list)
    for mark in marks:
        lanes[mark.lane].append(mark)
    return lanes


@given(SPANS)
@settings(deadline=None)
def test_on_each_lane_spans_lie_within_or_beside_each_other(spans: list[tuple[int, int]]) -> None:
    marks = list(nested([begin for begin, _ in spans], [end for _, end in spans], 100))
    assert len(marks) == 2 * len(spans)
    for lane in on_lanes(marks).values():
        assert [mark.time_ns for mark in lane] == sorted(mark.time_ns for mark in lane)
        stack: list[int] = []
        for mark in lane:
            assert mark.time_ns == spans[mark.span][0 if mark.phase == BEGIN else 1]
            if mark.phase == BEGIN:
                stack.append(mark.span)
            else:
                assert stack.pop() == mark.span
        assert not stack


@given(SPANS)
@settings(deadline=None)
def test_requests_overlap_on_no_lane_and_take_no_more_lanes_than_are_in_flight(spans: list[tuple[int, int]]) -> None:
    marks = list(beside([begin for begin, _ in spans], [end for _, end in spans], 100))
    for lane in on_lanes(marks).values():
        assert [mark.phase for mark in lane] == [BEGIN, 3 - BEGIN] * (len(lane) // 2)
        assert [mark.time_ns for mark in lane] == sorted(mark.time_ns for mark in lane)
    at_once = [sum(b <= begin < e or b == begin for b, e in spans) for begin, _ in spans]
    assert len(on_lanes(marks)) <= max(at_once, default=0)


def test_what_finds_no_lane_is_left_out_whole() -> None:
    for lanes in (nested, beside):
        marks = list(lanes([0, 1, 2], [10, 11, 12], 2))
        assert {mark.span for mark in marks} == {0, 1}
        assert len(marks) == 4


def naive_pairs(events: list[tuple[int, int, bool]], first_counts: bool) -> set[tuple[int, int]]:
    """(key, segment, is_end) in order -> positions of begin and end."""
    open_at: dict[tuple[int, int], int] = {}
    found = set()
    for at, (key, segment, is_end) in enumerate(events):
        place = (key, segment)
        if not is_end and not (first_counts and place in open_at):
            open_at[place] = at
        elif is_end and place in open_at:
            found.add((open_at.pop(place), at))
    return found


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 1), st.booleans()), max_size=30), st.booleans())
@settings(deadline=None)
def test_an_end_belongs_to_a_begin_of_its_own_keys_and_segment(
    events: list[tuple[int, int, bool]], first_counts: bool
) -> None:
    rows = [
        {"line": at, "time_ns": at, "segment": segment, "pid": key, "is_end": is_end}
        for at, (key, segment, is_end) in enumerate(events)
    ]
    schema = {"line": pl.UInt32, "time_ns": pl.Int64, "segment": pl.UInt16, "pid": pl.Int32, "is_end": pl.Boolean}
    frame = pl.DataFrame(rows, schema=schema)
    begins, ends = frame.filter(~pl.col("is_end")), frame.filter(pl.col("is_end"))
    found = pair(begins, ends, ["pid"], first_counts)
    lines = zip(begins[found.begin]["line"].to_list(), ends[found.end]["line"].to_list(), strict=True)
    assert set(lines) == naive_pairs(events, first_counts)
    assert sorted([*found.begin, *found.open_begin, *found.again]) == list(range(len(begins)))
    assert sorted([*found.end, *found.open_end]) == list(range(len(ends)))


def test_an_end_before_its_begin_in_time_is_no_end_of_it() -> None:
    begin = pl.DataFrame({"line": [1], "time_ns": [9], "segment": [0], "pid": [1]})
    end = pl.DataFrame({"line": [2], "time_ns": [8], "segment": [0], "pid": [1]})
    found = pair(begin, end, ["pid"])
    assert not len(found.begin)
    assert (list(found.open_begin), list(found.open_end)) == ([0], [0])
