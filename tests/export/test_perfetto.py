# SPDX-License-Identifier: GPL-2.0-or-later
"""Perfetto traces, read back with the package's own schema."""

import io
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import Trace, TracePacket, TrackEvent
from tests.export.recordings import read, recordings
from tests.export.test_ftrace_text import hostile

from pageout.events.tables import Events
from pageout.export.perfetto import write_perfetto
from pageout.vocabulary.errors import TraceError

BEGIN, END, INSTANT, COUNTER = (
    TrackEvent.TYPE_SLICE_BEGIN, TrackEvent.TYPE_SLICE_END, TrackEvent.TYPE_INSTANT, TrackEvent.TYPE_COUNTER,
)  # fmt: skip


@dataclass
class Slice:
    track: tuple[str, ...]
    name: str
    begin: int
    end: int
    said: dict[str, Any]


@dataclass
class Shown:
    """What a viewer makes of a trace."""

    slices: list[Slice] = field(default_factory=list)
    instants: list[tuple[tuple[str, ...], str, int, dict[str, Any]]] = field(default_factory=list)
    counters: dict[tuple[str, ...], list[tuple[int, int]]] = field(default_factory=lambda: defaultdict(list))
    units: dict[tuple[str, ...], str] = field(default_factory=dict)
    threads: dict[int, str] = field(default_factory=dict)

    def named(self, name: str) -> list[Slice]:
        return [found for found in self.slices if found.name == name]


def show(events: Events) -> Shown:
    """Read a trace as a viewer does, and see that it is a valid one."""
    out = io.BytesIO()
    write_perfetto(events, out)
    trace = Trace()
    trace.ParseFromString(out.getvalue())
    tracks = {p.track_descriptor.uuid: p.track_descriptor for p in trace.packet if p.HasField("track_descriptor")}
    assert len(tracks) == sum(p.HasField("track_descriptor") for p in trace.packet)
    shown = Shown()
    for track in tracks.values():
        assert not track.parent_uuid or track.parent_uuid in tracks
        if track.HasField("thread"):
            shown.threads[track.thread.tid] = track.thread.thread_name
            assert tracks[track.parent_uuid].process.pid == track.thread.pid
    Reader(tracks, shown).read(trace)
    return shown


class Reader:
    def __init__(self, tracks: dict[int, Any], shown: Shown) -> None:
        self.tracks, self.shown = tracks, shown
        self.names: dict[tuple[str, int], str] = {}
        self.stacks: dict[int, list[Slice]] = defaultdict(list)

    def read(self, trace: Trace) -> None:
        last = 0
        assert trace.packet[0].sequence_flags == TracePacket.SEQ_INCREMENTAL_STATE_CLEARED
        for packet in trace.packet:
            assert packet.trusted_packet_sequence_id == trace.packet[0].trusted_packet_sequence_id
            for table, rows in packet.interned_data.ListFields():
                for row in rows:
                    assert (table.name, row.iid) not in self.names
                    word = row.str.decode() if table.name == "debug_annotation_string_values" else row.name
                    assert word.isprintable()
                    self.names[table.name, row.iid] = word
            if packet.HasField("track_event"):
                assert packet.timestamp >= last
                last = packet.timestamp
                self.event(packet.track_event, packet.timestamp)
        assert not any(self.stacks.values()), "slices that never end"

    def path(self, uuid: int) -> tuple[str, ...]:
        track = self.tracks[uuid]
        own = track.name or track.thread.thread_name or track.process.process_name
        return (*(self.path(track.parent_uuid) if track.parent_uuid else ()), own)

    def said(self, event: Any) -> dict[str, Any]:
        found = {}
        for note in event.debug_annotations:
            kind = note.WhichOneof("value")
            value = getattr(note, kind)
            if kind == "string_value_iid":
                value = self.names["debug_annotation_string_values", value]
            found[self.names["debug_annotation_names", note.name_iid]] = value
        return found

    def event(self, event: Any, time_ns: int) -> None:
        path = self.path(event.track_uuid)
        if event.type == COUNTER:
            self.shown.counters[path].append((time_ns, event.counter_value))
            self.shown.units[path] = self.tracks[event.track_uuid].counter.unit_name
        elif event.type == END:
            found = self.stacks[event.track_uuid].pop()
            found.end = time_ns
            found.said |= {f"end {key}": value for key, value in self.said(event).items()}
        else:
            name = self.names["event_names", event.name_iid]
            assert all(("event_categories", iid) in self.names for iid in event.category_iids)
            if event.type == BEGIN:
                found = Slice(path, name, time_ns, -1, self.said(event))
                self.stacks[event.track_uuid].append(found)
                self.shown.slices.append(found)
            else:
                assert event.type == INSTANT
                self.shown.instants.append((path, name, time_ns, self.said(event)))


def line(time: float, rest: str, task: str = "dd-12") -> str:
    return f"  {task} [000] ..... {time:.6f}: {rest}\n"


def begin(time: float, task: str = "dd-12") -> str:
    return line(time, "mm_vmscan_direct_reclaim_begin: order=3 gfp_flags=GFP_KERNEL", task)


def end(time: float, task: str = "dd-12") -> str:
    return line(time, "mm_vmscan_direct_reclaim_end: nr_reclaimed=54", task)


def bdp(time: float, pause: int, task: str = "dd-12") -> str:
    return line(
        time,
        "balance_dirty_pages: bdi 8:0: limit=100 setpoint=80 dirty=90 bdi_setpoint=40 bdi_dirty=30 "
        f"dirty_ratelimit=400 task_ratelimit=200 dirtied=8 dirtied_pause=8 paused=0 pause={pause} period=20 think=0 "
        "cgroup_ino=1",
        task,
    )


def test_direct_reclaim_is_a_slice_of_its_task_with_what_both_events_say() -> None:
    shown = show(read(begin(1.0) + begin(1.1, "cp-13") + end(1.25) + end(1.5, "cp-13")))
    (dd, cp) = shown.named("direct reclaim")
    assert (dd.track, dd.begin, dd.end) == (("dd", "dd"), 1_000_000_000, 1_250_000_000)
    assert dd.said == {"order": 3, "gfp_flags": "GFP_KERNEL", "end nr_reclaimed": 54}
    assert (cp.begin, cp.end) == (1_100_000_000, 1_500_000_000)
    assert shown.threads == {12: "dd", 13: "cp"}


def test_no_slice_crosses_a_hole() -> None:
    shown = show(read(begin(1.0) + "CPU:0 [LOST 5 EVENTS]\n" + end(2.0)))
    assert not shown.slices
    names = [name for _, name, _, _ in shown.instants]
    assert sorted(names) == [
        "direct reclaim (begin not seen)", "direct reclaim (end not seen)", "events missing before here"
    ]  # fmt: skip
    (hole,) = [found for found in shown.instants if found[1].startswith("events")]
    assert (hole[2], hole[3]["lost"]) == (2_000_000_000, 5)


def test_a_wait_reported_at_its_end_begins_earlier_but_not_before_a_hole() -> None:
    wait = "mm_vmscan_throttled: nid=0 usec_timeout=100000 usect_delayed=100000 reason=VMSCAN_THROTTLE_WRITEBACK"
    first, after = show(
        read(line(1.0, wait) + "CPU:0 [LOST EVENTS]\n" + line(2.0, "mark_victim: pid=1") + line(2.01, wait))
    ).named("reclaim_throttle VMSCAN_THROTTLE_WRITEBACK")
    assert (first.begin, first.end) == (900_000_000, 1_000_000_000)
    assert (after.begin, after.end) == (2_000_000_000, 2_010_000_000)
    assert after.said["usec_delayed"] == 100_000


def test_a_pause_lasts_as_long_as_asked_for_but_not_beyond_what_the_task_does_next() -> None:
    shown = show(read(bdp(1.0, 200) + bdp(1.1, -3) + bdp(1.2, 100) + line(1.25, "mark_victim: pid=1", "cp-13")
                      + bdp(5.0, 4294824915)))  # fmt: skip
    first, second = shown.named("throttled")
    assert (first.begin, first.end) == (1_000_000_000, 1_100_000_000)
    assert (second.begin, second.end) == (1_200_000_000, 1_300_000_000)
    assert (first.said["dirty"], first.said["limit"], first.said["task_ratelimit"]) == (90, 100, 200)
    assert [name for _, name, _, _ in shown.instants if name == "no pause"] == ["no pause"] * 2


def test_a_pause_before_a_hole_ends_with_its_segment() -> None:
    lost = "CPU:0 [LOST 1 EVENTS]\n"
    text = bdp(1.0, 200) + line(1.02, "mark_victim: pid=1", "cp-13") + lost + bdp(3.0, 0)
    (only,) = show(read(text)).named("throttled")
    assert (only.begin, only.end) == (1_000_000_000, 1_020_000_000)


def issue(time: float, sector: int, rwbs: str = "W") -> str:
    return line(time, f"block_rq_issue: 8,0 {rwbs} 4096 () {sector} + 8 [kworker/0:1]", "kworker/0:1-9")


def complete(time: float, sector: int, rwbs: str = "W") -> str:
    return line(time, f"block_rq_complete: 8,0 {rwbs} () {sector} + 8 [0]", "<idle>-0")


def test_requests_in_flight_together_lie_on_lanes_of_their_device() -> None:
    shown = show(read(issue(1.0, 8) + issue(1.1, 16, "RA") + complete(1.2, 8) + complete(1.3, 16, "RA") + issue(2, 24)))
    assert [(found.name, found.begin, found.end) for found in shown.slices] == [
        ("W", 1_000_000_000, 1_200_000_000), ("RA", 1_100_000_000, 1_300_000_000)
    ]  # fmt: skip
    assert {found.track for found in shown.slices} == {("block devices", "8,0", "requests")}
    assert shown.slices[0].said["by_comm"] == "kworker/0:1"
    assert shown.slices[0].said["sector"] == 8
    (path, name, time_ns, _) = shown.instants[0]
    assert (path, name, time_ns) == (("block devices", "8,0"), "request (end not seen)", 2_000_000_000)


def test_a_request_issued_again_counts_from_the_last_time() -> None:
    shown = show(read(issue(1.0, 8) + issue(1.1, 8) + complete(1.2, 8)))
    assert [(found.begin, found.end) for found in shown.slices] == [(1_100_000_000, 1_200_000_000)]
    assert [name for _, name, _, _ in shown.instants] == ["request (begun again, end not seen)"]


def test_kswapd_is_awake_from_its_first_wake_to_its_sleep() -> None:
    wake = "mm_vmscan_kswapd_wake: nid=0 order={}"
    text = line(1, wake.format(0), "kswapd0-30") + line(2, wake.format(3), "kswapd0-30")
    shown = show(read(text + line(3, "mm_vmscan_kswapd_sleep: nid=0", "kswapd0-30")))
    assert [(found.begin, found.end) for found in shown.named("kswapd awake")] == [(1_000_000_000, 3_000_000_000)]
    assert [name for _, name, _, _ in shown.instants] == ["kswapd awake (again)"]


def test_a_flusher_works_for_a_reason_on_the_track_of_its_device() -> None:
    work = (
        "writeback_{}: bdi 8:0: sb_dev 0:0 nr_pages={} sync_mode=0 kupdate=0 range_cyclic=1 background=1 "
        "reason=background cgroup_ino=1"
    )
    text = line(1, work.format("start", 1000), "kworker/u4:1-9") + line(
        2, work.format("written", 400), "kworker/u4:1-9"
    )
    (only,) = show(read(text)).slices
    assert (only.track, only.name) == (("flushers", "8:0"), "background")
    assert only.said["nr_pages"] - only.said["end nr_pages"] == 600


def test_counters_have_the_values_of_the_frames() -> None:
    state = "global_dirty_state: dirty={} writeback=2 bg_thresh=50 thresh=100 limit=101 dirtied=7 written=8"
    events = read(line(1, state.format(5)) + line(2, state.format(9)) + bdp(3, 0))
    shown = show(events)
    assert shown.counters["page cache", "dirty"] == [(1_000_000_000, 5), (2_000_000_000, 9)]
    assert shown.units["page cache", "dirty"] == "pages"
    assert {path[-1] for path in shown.counters} >= {"writeback", "bg_thresh", "thresh", "limit", "bdi_dirty"}
    assert shown.counters["writeback devices", "8:0", "bdi_dirty"] == [(3_000_000_000, 30)]


@given(recordings())
@settings(max_examples=60, deadline=None)
def test_any_recording_makes_a_valid_trace_whose_counters_are_the_frames(events: Events) -> None:
    try:
        shown = show(events)
    except TraceError:
        return
    if "global_dirty_state" in events:
        frame = events.frame("global_dirty_state").drop_nulls("dirty").sort("time_ns", maintain_order=True)
        expected = list(zip(frame["time_ns"].to_list(), frame["dirty"].to_list(), strict=True))
        assert shown.counters.get(("page cache", "dirty"), []) == expected


def test_a_hostile_name_is_written_out() -> None:
    shown = show(hostile("\x1b[2J\0" + "x" * 5000, "y"))
    (name,) = shown.threads.values()
    assert name.startswith("\\x1b[2J\\x00xx")
    assert len(name) <= 255


def test_a_recording_of_which_nothing_can_be_drawn_is_refused() -> None:
    out = io.BytesIO()
    with pytest.raises(TraceError, match="my_event"):
        write_perfetto(read(line(1, "my_event: a=1")), out)
    assert not out.getvalue()
