# SPDX-License-Identifier: GPL-2.0-or-later
"""Text comes back as the records it was written from, and every line of any text is accounted for."""

from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pageout.events.encode import HEADER, encode
from pageout.events.recording import RECORD
from pageout.readers.read import read_input
from pageout.vocabulary.errors import TraceError
from pageout.vocabulary.tracepoints import disk_of
from tests.events.strategies import traces
from tests.readers.recordings import read_recording, recording_of
from tests.readers.traces import others, read, rows

PREFIX = "              cat-4267  [002]  8250.326788: "


@settings(deadline=None, max_examples=200)
@given(traces())
def test_what_is_written_is_read_back(trace):
    records, comms = trace

    text = encode(records, comms)
    found = read_recording(text)

    back = found.records()
    assert back["a"].tolist() == records["a"].tolist()
    assert back.tobytes() == records.tobytes()
    seen = set(records["pid"].tolist())
    indented = {pid: comm.lstrip(" \t\xa0") for pid, comm in comms.items() if pid in seen}
    assert found.comms == {pid: comm for pid, comm in indented.items() if comm}
    assert not found.unread
    assert not found.other


@settings(deadline=None, max_examples=60)
@given(traces(), st.randoms(use_true_random=False))
def test_a_torn_text_is_still_accounted_for_line_by_line(trace, random):
    records, comms = trace
    text = bytearray(encode(records, comms))
    for _ in range(random.randint(1, 30)):
        at = random.randrange(len(text))
        text[at : at + random.randint(0, 5)] = random.randbytes(random.randint(0, 3))

    with suppress(TraceError):
        read(bytes(text))


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_accounted_for_or_refused(text):
    with suppress(TraceError):
        read(text)


def test_a_task_that_changes_its_name_keeps_both():
    found = read("".join(f" {comm}-5 [000] 1.000000: mark_victim: pid=7\n" for comm in ("bash", "dd", "<...>")))

    assert rows(found, "mark_victim", "comm") == [("bash",), ("dd",), (None,)]


def test_unknown_events_are_kept_and_counted_by_name():
    found = read(
        f"{PREFIX}tracing_mark_write: B|12|x -7 [000] 1.000000: a: b\n{PREFIX}sched_odd: prev_comm=a\n"
        f"{PREFIX}sched_odd: \n{PREFIX}mark_victim: no number"
    )

    assert found.events.other_names() == {"tracing_mark_write": 1, "sched_odd": 2, "mark_victim": 1}
    assert others(found)[0] == ("tracing_mark_write", "B|12|x -7 [000] 1.000000: a: b")


def test_payloads_of_later_kernels_are_read_by_their_aliases():
    found = read(
        f"{PREFIX}mm_vmscan_write_folio: page=0x00000000f2c9d9ab pfn=0x7d0 flags=RECLAIM_WB_FILE|RECLAIM_WB_ASYNC\n"
        f"{PREFIX}balance_dirty_pages: bdi btrfs-1: limit=1 setpoint=2 dirty=3 wb_setpoint=4 wb_dirty=5 "
        "dirty_ratelimit=6 task_ratelimit=7 dirtied=8 dirtied_pause=9 paused=10 pause=-11 period=12 think=13 "
        f"cgroup_ino=1\n{PREFIX}writeback_nowork: bdi 0:51: cgroup_ino=1\n"
    )

    recording = recording_of(found)
    assert recording.column("mm_vmscan_writepage")[["pfn", "flags"]].tolist() == [(2000, 0x0A)]
    (event,) = recording.column("balance_dirty_pages")
    assert recording.names == ["btrfs-1"]
    assert event.tolist()[4:] == (-2, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, -11, 12, 13)
    assert recording.column("writeback_nowork")["bdi"].tolist() == [disk_of(0, 51)]
    again = encode(recording.records(), recording.comms, recording.names)
    assert read_recording(again).records().tobytes() == recording.records().tobytes()
    assert not recording.other


def test_gfp_names_are_kept_as_printed():
    found = read(f"{PREFIX}mm_vmscan_direct_reclaim_begin: order=0 may_writepage=1 gfp_flags=GFP_NEW|0x2")

    assert rows(found, "mm_vmscan_direct_reclaim_begin", "gfp_flags") == [("GFP_NEW|0x2",)]


def test_lines_that_are_no_events():
    found = read(
        HEADER + b"\nCPU:0 [LOST 163499 EVENTS]\nCPU:1 [LOST EVENTS]\n"
        b"##### CPU 3 buffer started ####\nversion = 6\ncpus=6\nCPU 3 is empty\n"
        b" a-1 [000] 1.000000: mark_victim: pid=7\n"
        b"  dd-1 [000] 1.000000: <stack trace>\n => ext4_writepages\n...\n[...]\nwhat is this"
    )

    assert (found.account.events, found.account.known_non_events) == (1, 15)
    assert [(hole.cpu, hole.lost, hole.why) for hole in found.events.holes] == [
        (0, 163499, "lost"),
        (1, -1, "lost"),
        (-1, -1, "cut by the author"),
        (-1, -1, "cut by the author"),
    ]
    assert found.account.unread_lines == [(17, "what is this")]


def test_files_and_bytes_read_alike(tmp_path):
    text = encode(np.zeros(3, RECORD), {})
    path = tmp_path / "trace"
    path.write_bytes(text)

    readings = [read_recording(path), read_recording(text)]

    assert [reading.records().tobytes() for reading in readings] == [np.zeros(3, RECORD).tobytes()] * 2
    with pytest.raises(TraceError, match="No such file"):
        read_input(str(tmp_path / "nowhere"))


def test_a_frame_without_events_is_empty_but_typed():
    found = read(f"{PREFIX}mark_victim: pid=7")

    frame = found.events.frame("mm_vmscan_kswapd_wake")
    assert len(frame) == 0
    assert frame.columns[:7] == ["time_ns", "line", "segment", "cpu", "pid", "comm", "context"]
    assert {"nid", "order"} < set(frame.columns)
