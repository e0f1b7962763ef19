# SPDX-License-Identifier: GPL-2.0-or-later
"""Text comes back as the arrays it was written from, and every line of any text is accounted for."""

from pathlib import Path

import numpy as np
import pytest
from events_strategies import traces
from hypothesis import given, settings
from hypothesis import strategies as st

from pageout.events.encode import HEADER, encode
from pageout.events.ftrace_text import read_ftrace_text
from pageout.events.recording import RECORD, from_records
from pageout.vocabulary.errors import TraceError
from pageout.vocabulary.tracepoints import EV, disk_of

PREFIX = b"              dd-4267  [002]  8250.326788: "


def accounted(found):
    return found.nr_events() + len(found.other) + sum(found.not_events.values()) + len(found.unread) == found.lines


@settings(deadline=None, max_examples=300)
@given(traces())
def test_what_is_written_is_read_back(trace):
    records, comms = trace

    found = read_ftrace_text(encode(records, comms))

    back = found.records()
    assert back["a"].tolist() == records["a"].tolist()
    assert back.tobytes() == records.tobytes()
    seen = set(records["pid"].tolist())
    assert found.comms == {pid: comm for pid, comm in comms.items() if pid in seen}
    assert found.not_events == {"comment": 4}
    assert not found.unread
    assert accounted(found)


@settings(deadline=None)
@given(traces(), st.randoms(use_true_random=False))
def test_a_torn_text_is_still_accounted_for_line_by_line(trace, random):
    records, comms = trace
    text = bytearray(encode(records, comms))
    for _ in range(random.randint(1, 30)):
        at = random.randrange(len(text))
        text[at : at + random.randint(0, 5)] = random.randbytes(random.randint(0, 3))

    found = read_ftrace_text(bytes(text))

    assert accounted(found)
    assert found.lines == len(bytes(text).removesuffix(b"\n").split(b"\n")) * bool(text)


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_accounted_for(text):
    assert accounted(read_ftrace_text(text))


@pytest.mark.parametrize(
    ("line", "comm", "pid", "cpu", "time_ns"),
    [
        (b"              dd-4267  [002] ....  8250.326788: mark_victim: pid=7", "dd", 4267, 2, 8250_326_788_000),
        (b"dd-1206590 [003] .... 62988.324049: mark_victim: pid=7", "dd", 1206590, 3, 62988_324_049_000),
        (b"fio-3093904 [044] ..... 1545451.315895: mark_victim: pid=7", "fio", 3093904, 44, 1545451_315_895_000),
        (b"          bash-16737 [010] dN.. 426414.658469: mark_victim: pid=7", "bash", 16737, 10, 426414_658_469_000),
        (b"   dd-3876  [014]   151.167682: mark_victim: pid=7", "dd", 3876, 14, 151_167_682_000),
        (b" gnome-system-mo-4201 553.073384: mark_victim: pid=7", "gnome-system-mo", 4201, -1, 553_073_384_000),
        (b" flinger-1155  ( 1155) [001] ...1 12839.528756: mark_victim: pid=7", "flinger", 1155, 1, 12839_528_756_000),
        (b" flinger-1155  (-----) [001] ...1 12839.528756: mark_victim: pid=7", "flinger", 1155, 1, 12839_528_756_000),
        (b"-5972    [006] ....  7971.248399: mark_victim: pid=7", "", 5972, 6, 7971_248_399_000),
        (b"     Web Content-10876 [000] .... 1.000001: mark_victim: pid=7", "Web Content", 10876, 0, 1_000_001_000),
        (b"    jbd2/sda16-8-587 [000] .... 1.000001: mark_victim: pid=7", "jbd2/sda16-8", 587, 0, 1_000_001_000),
        (b" Surface Flinger -178 [000] .... 1.000001: mark_victim: pid=7", "Surface Flinger ", 178, 0, 1_000_001_000),
        (b"sh-26121 [000] ...1 15.050: mark_victim: pid=7   \r", "sh", 26121, 0, 15_050_000_000),
        (b"sh-26121 [000] ...1 15.050000: mark_victim:         pid=7", "sh", 26121, 0, 15_050_000_000),
    ],
)
def test_prefixes_as_kernels_and_people_write_them(line, comm, pid, cpu, time_ns):
    found = read_ftrace_text(line)

    (event,) = found.column("mark_victim").tolist()
    assert event == (time_ns, 1, pid, cpu, 7)
    assert found.comms == {pid: comm}


def test_an_unknown_comm_is_no_name():
    found = read_ftrace_text(
        b"  <...>-5 [000] 1.000000: mark_victim: pid=7\n <idle>-0 [000] 1.000000: mark_victim: pid=7"
    )

    assert found.comms == {}
    assert found.nr_events() == 2


def test_a_task_that_changes_its_name_keeps_both():
    line = b" %s-5 [000] 1.000000: mark_victim: pid=7\n"

    found = read_ftrace_text(line % b"bash" + line % b"dd" + line % b"<...>")

    assert (found.comms, found.former_comms) == ({5: "dd"}, {5: ("bash",)})


def test_unknown_events_are_kept_and_counted_by_name():
    found = read_ftrace_text(
        PREFIX + b"tracing_mark_write: B|12|x -7 [000] 1.000000: a: b\n" + PREFIX + b"sched_switch: prev_comm=a\n"
        b"" + PREFIX + b"sched_switch: \n" + PREFIX + b"mark_victim: no number"
    )

    assert found.other_names() == {"tracing_mark_write": 1, "sched_switch": 2, "mark_victim": 1}
    assert found.other[0] == (1, 8250_326_788_000, 4267, 2, "tracing_mark_write", "B|12|x -7 [000] 1.000000: a: b")
    assert accounted(found)


def test_payloads_of_later_kernels_are_read_by_their_aliases():
    found = read_ftrace_text(
        PREFIX + b"mm_vmscan_write_folio: page=0x00000000f2c9d9ab pfn=0x7d0 flags=RECLAIM_WB_FILE|RECLAIM_WB_ASYNC\n"
        b"" + PREFIX + b"balance_dirty_pages: bdi btrfs-1: limit=1 setpoint=2 dirty=3 wb_setpoint=4 wb_dirty=5 "
        b"dirty_ratelimit=6 task_ratelimit=7 dirtied=8 dirtied_pause=9 paused=10 pause=-11 period=12 think=13 "
        b"cgroup_ino=1\n" + PREFIX + b"writeback_nowork: bdi 0:51: cgroup_ino=1\n"
    )

    assert found.column("mm_vmscan_writepage")[["pfn", "flags"]].tolist() == [(2000, 0x0A)]
    (event,) = found.column("balance_dirty_pages")
    assert found.names == ["btrfs-1"]
    assert event.tolist()[4:] == (-2, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, -11, 12, 13)
    assert found.column("writeback_nowork")["bdi"].tolist() == [disk_of(0, 51)]
    again = encode(found.records(), found.comms, found.names)
    assert read_ftrace_text(again).records().tobytes() == found.records().tobytes()
    assert not found.other


def test_gfp_names_this_table_lacks_are_not_guessed():
    found = read_ftrace_text(PREFIX + b"mm_vmscan_direct_reclaim_begin: order=0 may_writepage=1 gfp_flags=GFP_NEW|0x2")

    assert found.other_names() == {"mm_vmscan_direct_reclaim_begin": 1}


def test_lines_that_are_no_events():
    found = read_ftrace_text(
        HEADER + b"\nCPU:0 [LOST 163499 EVENTS]\nCPU:1 [LOST EVENTS]\n[10612.028498] CPU:0 [LOST 41 EVENTS]\n"
        b"##### CPU 3 buffer started ####\nversion = 6\ncpus=6\nCPU 3 is empty\n"
        b"  dd-1 [000] 1.000000: <stack trace>\n => ext4_writepages\n...\n[...]\nwhat is this"
    )

    assert found.not_events == {
        "comment": 4,
        "blank": 1,
        "lost": 3,
        "buffer started": 1,
        "trace-cmd header": 3,
        "stack": 2,
        "cut by the author": 2,
    }
    assert (found.lost, found.lost_uncounted) == ({0: 163540}, 1)
    assert found.unread == [(17, "what is this")]
    assert accounted(found)


def test_files_streams_and_bytes_read_alike(tmp_path):
    text = encode(np.zeros(3, RECORD), {})
    path = tmp_path / "trace"
    path.write_bytes(text)

    with path.open("rb") as file:
        readings = [read_ftrace_text(path), read_ftrace_text(file), read_ftrace_text(text)]

    assert [reading.records().tobytes() for reading in readings] == [np.zeros(3, RECORD).tobytes()] * 3
    with pytest.raises(TraceError, match="No such file"):
        read_ftrace_text(Path("/nowhere/trace"))


def test_a_column_without_events_is_empty_but_typed():
    found = read_ftrace_text(b"")

    assert found.column("mm_vmscan_kswapd_wake").dtype.names == ("time_ns", "line", "pid", "cpu", "nid", "order")
    assert len(found.records()) == found.lines == 0


def test_records_without_text_give_the_same_recording():
    records = np.zeros(3, RECORD)
    records["event"] = EV.mm_vmscan_kswapd_wake, EV.mark_victim, EV.mm_vmscan_kswapd_wake

    found = from_records([records[:1], records[1:]], {1: "dd"})

    assert found.column("mm_vmscan_kswapd_wake")["line"].tolist() == [1, 3]
    assert found.records().tobytes() == records.tobytes()
