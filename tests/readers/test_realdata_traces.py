# SPDX-License-Identifier: GPL-2.0-or-later
"""Traces that people posted, where these are at hand: each line accounted for, what its index says found."""

from pathlib import Path

import pytest

from pageout.readers.read import Input, read_input
from pageout.vocabulary.errors import TraceError
from tests.conftest import ROOT
from tests.readers.traces import others, rows, segments

FOLDER = ROOT.parent / "shared" / "realdata"
FOLDERS = (
    "ftrace-block",
    "ftrace-other",
    "ftrace-vmscan",
    "ftrace-writeback",
    "perf-script",
    "blkparse",
    "blktrace-csv",
)
FILES = sorted(path for folder in FOLDERS for path in (FOLDER / folder).glob("*"))
pytestmark = pytest.mark.skipif(not FILES, reason="../shared/realdata is not here")

# events, and lines that no reader of traces knows: those of other formats may
COUNTS = {
    "gregg-tpoint-issue-header.txt": (3, 0),
    "gregg-tpoint-issue-stacks.txt": (3, 3),  # ^C, `Ending tracing...`, a sentence
    "atrace-tgid-column.txt": (29, 0),
    "kernel-doc-latency-format-v115.txt": (3, 0),
    "lost-events-no-count-migrate-disable-header.txt": (3, 0),
    "perfetto-bad-print-multiline.txt": (3, 0),
    "trappy-failed-to-parse.txt": (11, 0),
    "trappy-legacy-systrace.html": (15, 0),
    "trappy-trace-cmd-empty-cpus.txt": (3, 0),
    "android-jit-thread-spaces.txt": (2, 0),
    "avramov-throttled-writeback-2021.txt": (10, 0),
    "catapult-memreclaim.txt": (86, 0),
    "jaewon-order4-compaction-2023.txt": (58, 0),
    "rhel-4.18-memcg-reclaim-need-resched.txt": (4, 0),
    "biggers-lazytime-2020.txt": (5, 0),
    "ext4-periodic-writeback-global-dirty-state.txt": (20, 0),
    "fuse-strictlimit-2024.txt": (5, 0),
    "wu-2011-old-fields.txt": (1, 0),
    "wu-jbod-1mb-dd-2012.txt": (13, 0),
    "gregg-dd-cpu-clock.txt": (11, 0),
    "laniel-block-io-start-2022.txt": (2, 9),  # the shell's lines, and two halves a mailer left nothing useful of
    "kara-raid0-splits-2023.txt": (14, 13),  # sentences
    "tso-btrace-touch-journal-2019.txt": (26, 0),
    "cloudphysics-200-rows.csv": (199, 0),
}


def of(folder: str, name: str) -> Input:
    path = FOLDER / folder / name
    if not path.exists():
        pytest.skip("not here")
    return read_input(str(path))


@pytest.mark.parametrize("path", [path for path in FILES if path.name in COUNTS], ids=lambda path: path.name)
def test_each_line_of_a_posted_trace_is_accounted_for(path: Path) -> None:
    found = read_input(str(path))

    account = found.account
    assert account.lines == account.events + account.known_non_events + account.unread
    assert account.lines == len(path.read_bytes().removesuffix(b"\n").split(b"\n"))
    events, unread = COUNTS[path.name]
    assert account.events == events
    assert account.unread <= unread
    assert found.events is not None
    assert len(found.events) == account.events


def test_function_graph_is_refused() -> None:
    with pytest.raises(TraceError, match=":1: function_graph, not events"):
        of("ftrace-other", "function-graph-lost-163499.txt")


def test_lost_without_a_count_is_an_unknown_number() -> None:
    assert of("ftrace-other", "lost-events-no-count-migrate-disable-header.txt").lost is None


def test_latency_format_is_said_with_its_clock() -> None:
    found = of("ftrace-other", "kernel-doc-latency-format-v115.txt")

    assert "latency-format" in found.kind
    assert found.events.clock == "us from start"
    assert found.events.other["time_ns"].to_list() == [0, 97_000, 98_000]


def test_stacks_show_that_rename_allocated_and_wrote() -> None:
    events = of("ftrace-block", "gregg-tpoint-issue-stacks.txt").events

    assert len(events.stacks) == 3
    assert set(events.stacks) == {row for (row,) in events.frame("block_rq_issue").select("line").rows()}
    stack = events.stacks[1]
    assert stack.index("ext4_writepages") < stack.index("ext4_alloc_da_blocks") < stack.index("ext4_rename")


@pytest.mark.parametrize(
    ("name", "comm", "stall_ms", "pages"),
    [
        ("catapult-memreclaim.txt", "surfaceflinger", 3.194, 66),
        ("android-jit-thread-spaces.txt", "Jit thread pool", 0.882, 54),
    ],
)
def test_direct_reclaim_is_paired_by_task_within_a_segment(name: str, comm: str, stall_ms: float, pages: int) -> None:
    found = of("ftrace-vmscan", name)
    begins = rows(found, "mm_vmscan_direct_reclaim_begin", "pid", "segment", "time_ns", "comm")
    ends = rows(found, "mm_vmscan_direct_reclaim_end", "pid", "segment", "time_ns", "nr_reclaimed")

    assert [row[:2] for row in begins] == [row[:2] for row in ends]
    first = next(n for n, row in enumerate(begins) if row[3] == comm)
    assert round((ends[first][2] - begins[first][2]) / 1e6, 3) == stall_ms
    assert ends[first][3] == pages


def test_times_that_go_back_begin_segments() -> None:
    assert max(segments(of("ftrace-vmscan", "catapult-memreclaim.txt"))) == 3


def test_sums_of_direct_reclaim_are_those_of_the_mail() -> None:
    found = of("ftrace-vmscan", "jaewon-order4-compaction-2023.txt")
    begins = rows(found, "mm_vmscan_direct_reclaim_begin", "time_ns")
    ends = rows(found, "mm_vmscan_direct_reclaim_end", "time_ns", "nr_reclaimed")

    assert sum(end[0] - begin[0] for begin, end in zip(begins, ends, strict=True)) == 4_973_000
    assert sum(pages for _, pages in ends) == 209


def test_wrapped_pauses_stay_as_printed() -> None:
    found = of("ftrace-writeback", "wu-jbod-1mb-dd-2012.txt")

    assert min(rows(found, "balance_dirty_pages", "pause")) == (-4294831268,)


def test_an_authors_cut_at_the_end_is_known() -> None:
    assert of("ftrace-writeback", "fuse-strictlimit-2024.txt").account.known_non_events == 1


def test_call_chains_of_perf_are_kept() -> None:
    events = of("perf-script", "gregg-dd-cpu-clock.txt").events

    assert len(events.stacks) == 11
    assert events.stacks[1][:2] == ("fsnotify", "vfs_read")
    assert {name for name, _ in others(of("perf-script", "gregg-dd-cpu-clock.txt"))} == {"cpu-clock"}


def test_a_touch_writes_the_journal_seven_times() -> None:
    found = of("blkparse", "tso-btrace-touch-journal-2019.txt")

    queued = [row for row in rows(found, "block_bio_queue", "rwbs", "comm") if row[1] == "jbd2/pmem0-8"]
    assert len(queued) == 7
    assert ("FWFS", "jbd2/pmem0-8") in queued
    assert len(rows(found, "block_bio_complete", "sector")) == 13


def test_cloudphysics_rows_have_no_unit_of_time() -> None:
    found = of("blktrace-csv", "cloudphysics-200-rows.csv")

    assert found.events.clock == "counter"
    assert {row[0] for row in rows(found, "block_rq_issue", "rwbs")} <= {"R", "W"}
