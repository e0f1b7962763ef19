# SPDX-License-Identifier: GPL-2.0-or-later
"""Events written as ftrace text and read again."""

import io
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.conftest import ROOT
from tests.export.recordings import assert_equal, read, recordings

from pageout.events.tables import EventBuilder, Events
from pageout.export.ftrace_text import comm_text, write_text
from pageout.export.payloads import best_text
from pageout.readers.ftrace_lines import cpus_told
from pageout.readers.read import read_input
from pageout.vocabulary.errors import TraceError
from pageout.vocabulary.schema import EVENTS

SHARED = ROOT.parent / "shared"

SAMPLE = """\
# tracer: nop
#
# entries-in-buffer/entries-written: 7/9   #P:2
#
 Web Content-77    [001] d.s4.   10.000001: mm_vmscan_direct_reclaim_begin: order=2 gfp_flags=GFP_KERNEL|__GFP_COMP
           <...>-77    [001] .....   10.250000: mm_vmscan_direct_reclaim_end: nr_reclaimed=18446744073709551615
           <...>-77    [001] .....   10.250000: <stack trace>
 => try_to_free_pages
 => __alloc_pages_slowpath
CPU:1 [LOST 12 EVENTS]
   kworker/u8:1-9     [000] .....   11.000000: balance_dirty_pages: bdi btrfs-1: limit=5 setpoint=4 dirty=3 \
bdi_setpoint=2 bdi_dirty=1 dirty_ratelimit=8 task_ratelimit=0 dirtied=4 dirtied_pause=8 paused=0 pause=-4 period=0 \
think=8 cgroup_ino=1
CPU:0 [LOST EVENTS]
   kworker/u8:1-9     [000] .....   11.000002: mm_vmscan_write_folio: page=00000000deadbeef pfn=0x1a2b \
flags=RECLAIM_WB_FILE|RECLAIM_WB_ASYNC
            dd-12    [000] .....   11.000003: my_kprobe: (vfs_write+0x0/0x10) a=1  b="x y"
...
            dd-12    [000] .....    3.000003: block_rq_issue: 8,16 WFS 4096 () 2048 + 8 [dd]
            dd-12    [000] .....    2.000003: writeback_pages_written: 17
"""


def written(events: Events) -> str:
    out = io.BytesIO()
    write_text(events, out)
    return out.getvalue().decode()


def test_what_was_read_and_written_reads_the_same() -> None:
    events = read(SAMPLE)
    assert len(events) == 7
    assert [hole.why for hole in events.holes] == ["overwritten", "lost", "lost", "cut by the author", "times go back"]
    again = read(written(events))
    assert_equal(events, again)
    assert written(again) == written(events)


@given(recordings())
@settings(max_examples=100, deadline=None)
def test_any_recording_written_as_text_reads_the_same(events: Events) -> None:
    assert_equal(events, read(written(events)))


def test_an_event_is_written_in_the_words_of_the_kernel_that_had_its_columns() -> None:
    old = "  dd-1 [000]  1.000000: mm_vmscan_direct_reclaim_begin: order=0 may_writepage=1 gfp_flags=GFP_NOFS\n"
    new = "  dd-1 [000] .....  1.000000: mm_vmscan_direct_reclaim_begin: order=0 gfp_flags=GFP_NOFS\n"
    assert "begin: order=0 may_writepage=1 gfp_flags=GFP_NOFS\n" in written(read(old))
    assert "begin: order=0 gfp_flags=GFP_NOFS\n" in written(read(new))


def test_a_column_no_text_has_beside_the_others_follows_as_key_and_value() -> None:
    kind = EVENTS["mm_vmscan_kswapd_sleep"]
    odd = best_text(EVENTS["mm_vmscan_direct_reclaim_end"], ())
    assert [piece.name for piece in best_text(kind, ("nid",))] == ["nid"]
    assert odd == ()


def test_the_header_has_a_line_for_each_character_of_a_context() -> None:
    line = "  dd-1 [000]{}  1.000000: mm_vmscan_kswapd_sleep: nid=0\n"
    assert "||||" not in written(read(line.format("")))
    assert "CPU#  ||||   TIMESTAMP" in written(read(line.format(" d.s4")))
    assert "migrate-disable" in written(read(line.format(" d.s4.")))


def test_nanoseconds_are_kept_where_there_are_any() -> None:
    events = read("  dd-1 [000] ..... 1.000000001: mm_vmscan_kswapd_sleep: nid=0\n")
    assert " 1.000000001: " in written(events)


def hostile(comm: str, word: str) -> Events:
    builder = EventBuilder()
    kind = EVENTS["mark_victim"]
    common = (10**9, 1, 0, 0, 7, builder.word(comm.encode("utf-8", "replace")), -(1 << 63))
    builder.add(kind, common, [5] + [-(1 << 63)] * (len(kind.columns) - 1))
    builder.add_other(
        (*common[:1], 2, *common[2:]),
        f"odd{comm}".encode("utf-8", "replace").decode(),
        word.encode("utf-8", "replace").decode(),
    )
    return builder.finish()


ODD = st.text(st.sampled_from(list("ab-019 []().:\n\r\0\x1b\x9b\u202e\u2028\x85=>#")), max_size=60) | st.text(
    max_size=40
)


@given(ODD, ODD)
@example("x-1 [000] 1.5: mm_vmscan_kswapd_sleep: nid=0\n", "\x1b[2J")
@example("a" * 100_000, "\0" * 100_000)
@settings(max_examples=100, deadline=None)
def test_no_name_breaks_a_line_or_reaches_the_terminal(comm: str, word: str) -> None:
    text = written(hostile(comm, word))
    body = [line for line in text.split("\n") if line and not line.startswith("#")]
    assert len(body) == 2
    assert all(line.isprintable() and len(line) < 40_000 for line in body)
    again = read(text)
    assert again.frame("mark_victim")["pid"].to_list() == [7]
    assert again.frame("mark_victim")["time_ns"].to_list() == [10**9]
    assert [name[:3] for name in again.other_names()] == ["odd"]


def test_a_usual_comm_stays_what_it_is() -> None:
    for comm in ("Web Content", "IndexedDB #18", "jbd2/sda16-8", "kworker/u16:2", "a:b: c", "x-1 [0]"):
        assert comm_text(comm) == comm


def texts() -> list[Path]:
    return sorted([*SHARED.glob("realdata/ftrace-*/*"), *SHARED.glob("groundtruth/*/[Ast]*[1s]/trace.txt.gz")])


@pytest.mark.skipif(not texts(), reason="no recordings beside the repository (../shared)")
@pytest.mark.parametrize("path", texts(), ids=lambda path: "/".join(path.parts[-3:]))
def test_real_recordings_written_as_text_read_the_same(path: Path) -> None:
    try:
        events = read_input(str(path)).events
    except TraceError as error:
        pytest.skip(str(error))
    if events is None:
        pytest.skip("no events")
    out = io.BytesIO()
    write_text(events, out)
    again = read(out.getvalue())
    # Why something is missing is not always to be said in ftrace's words, where it is missing always is.
    kept = tuple(hole._replace(why="", line=0) for hole in events.holes)
    assert kept == tuple(hole._replace(why="", line=0) for hole in again.holes)
    assert_equal(Events(events.frames, events.other, (), stacks=events.stacks),
                 Events(again.frames, again.other, (), stacks=again.stacks))  # fmt: skip


@pytest.mark.parametrize("nr_cpus", [None, 2, 64])
def test_the_number_of_cpus_in_the_header_is_kept(nr_cpus: int | None) -> None:
    said = "" if nr_cpus is None else f"   #P:{nr_cpus}"
    events = read(SAMPLE.replace("   #P:2", said))

    assert events.nr_cpus == nr_cpus
    assert written(events).splitlines()[2].endswith(f"/{len(events) + 2}{said}")
    assert read(written(events)).nr_cpus == nr_cpus


@pytest.mark.parametrize(
    ("line", "nr_cpus"),
    [
        ("cpus=6", 6),
        ("# latency: 50 us, #4/4, CPU#0 | (M:preempt VP:0, KP:0, SP:0 HP:0 #P:4)", 4),
        ("#           TASK-PID   CPU#  ||||    TIMESTAMP  FUNCTION", None),
        ("# tracer: nop #P:99999999", None),
        ("# entries-in-buffer/entries-written: 0/0   #P:0", None),
    ],
)
def test_what_a_header_says_of_cpus(line: str, nr_cpus: int | None) -> None:
    assert cpus_told(line) == nr_cpus
