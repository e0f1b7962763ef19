# SPDX-License-Identifier: GPL-2.0-or-later
"""What a simulated run prints under the design of a later kernel, beside the lines that kernel prints."""

import gzip
import re
from collections import Counter
from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.conftest import ROOT
from tests.events.naive_text import print_records
from tests.events.strategies import traces
from tests.readers.recordings import read_recording
from tests.readers.test_bulk_text import assert_same, in_bulk, in_python

from pageout.events.encode import HEADER, encode
from pageout.events.recording import RECORD
from pageout.readers.templates import learn
from pageout.vocabulary.prints import events_of, kernel_of, rows_of
from pageout.vocabulary.schema import event_of
from pageout.vocabulary.tracepoints import (
    EV,
    GFP_HIGHUSER_MOVABLE,
    I_DIRTY_PAGES,
    I_SYNC,
    I_SYNC_QUEUED,
    REASON_PERIODIC,
    RWBS_WRITE,
    TRACEPOINTS,
    gfp_mask,
)

KERNELS = ("6.1", "6.12", "6.18")
RECORDED = sorted((ROOT.parent / "shared" / "groundtruth").glob("linux-6.*/*/trace.txt.gz"))
LINE = re.compile(r"^ *(.{1,16})-\d+ +\[\d{3}\] \S{5} +\d+\.\d{6}: ([\w]+): (.*)$")
STATE = I_DIRTY_PAGES | I_SYNC | I_SYNC_QUEUED


def lines_of(kernel, *rows):
    records = np.array([(7_000_000, 5, event, 1, (*row, *(14 - len(row)) * (0,))) for event, *row in rows], RECORD)
    text = encode(records, {5: "kworker/u4:0"}, kernel=kernel).decode()
    return [line.split(": ", 1)[1] for line in text.splitlines() if not line.startswith("#")]


@settings(deadline=None, max_examples=60)
@given(st.data(), st.sampled_from(KERNELS))
def test_text_equals_the_naive_twins(data, kernel):
    records, comms = data.draw(traces(kernel=kernel))

    text = encode(records, comms, kernel=kernel)

    lines = text.splitlines(keepends=True)
    assert b"".join(lines[12:]) == print_records(records, comms, kernel)
    assert all(line.startswith(b"#") for line in lines[:12])
    assert b"entries-written: %d/%d   #P:1" % (len(records), len(records)) in text


@settings(deadline=None, max_examples=60)
@given(st.data(), st.sampled_from(KERNELS))
def test_what_is_written_is_read_back(data, kernel):
    records, comms = data.draw(traces(kernel=kernel))

    found = read_recording(encode(records, comms, kernel=kernel), kernel)

    assert not found.unread
    assert not found.other
    assert found.records().tobytes() == records.tobytes()


@settings(deadline=None, max_examples=15)
@given(st.data(), st.sampled_from(KERNELS))
def test_the_compiled_reader_and_the_one_line_by_line_read_the_same(data, kernel):
    records, comms = data.draw(traces(kernel=kernel))
    text = encode(np.tile(records, 5), comms, kernel=kernel)

    found, _ = in_bulk([text])

    assert_same(found, in_python(text))


@pytest.mark.parametrize("kernel", ["", "2.6.34", "2.6.18", "3.2"])
def test_an_older_kernel_prints_as_before(kernel):
    records = np.zeros(3, RECORD)

    assert encode(records, {}, kernel=kernel) == HEADER + print_records(records, {})


def test_lines_are_those_of_6_18():
    assert lines_of(
        "6.18",
        (EV.writeback_start, 0, -1, 12116, 0, 1, 1, 0, REASON_PERIODIC),
        (EV.writeback_single_inode_start, 0, 12, STATE, 9, 2, 0, 5120, 0),
        (EV.writeback_single_inode_requeue, 0, 12, STATE, 9, 2, 0, 5120, 0),
        (EV.balance_dirty_pages, 0, *range(1, 14)),
        (EV.global_dirty_state, 1, 2, 3, 4, 5, 6, 7, 8),
        (EV.block_rq_issue, 0, RWBS_WRITE, 0, 2048, 256),
        (EV.block_rq_complete, 0, RWBS_WRITE, 2048, 256, 0),
        (EV.mm_page_alloc, 2000, 0, 2, GFP_HIGHUSER_MOVABLE | gfp_mask("COMP")),
        (EV.mm_vmscan_writepage, 2000, 0x0A),
        (EV.writeback_dirty_page, 0, 128, 7),
        (EV.mm_filemap_add_to_page_cache, 0, 128, 2000, 28672, 0),
    ) == [
        (
            "writeback_start: bdi 8:0: sb_dev 0:0 nr_pages=12116 sync_mode=0 kupdate=1 range_cyclic=1 background=0 "
            "reason=periodic cgroup_ino=1"
        ),
        (
            "writeback_single_inode_start: bdi 8:0: ino=12 state=I_DIRTY_PAGES|I_SYNC|I_SYNC_QUEUED dirtied_when=9 age=2 "
            "index=0 to_write=5120 wrote=0 cgroup_ino=1"
        ),
        (
            "writeback_sb_inodes_requeue: bdi 8:0: ino=12 state=I_DIRTY_PAGES|I_SYNC|I_SYNC_QUEUED dirtied_when=9 age=2 "
            "cgroup_ino=1"
        ),
        (
            "balance_dirty_pages: bdi 8:0: limit=1 setpoint=2 dirty=3 wb_setpoint=4 wb_dirty=5 dirty_ratelimit=6 "
            "task_ratelimit=7 dirtied=8 dirtied_pause=9 paused=10 pause=11 period=12 think=13 cgroup_ino=1"
        ),
        "global_dirty_state: dirty=1 writeback=2 bg_thresh=4 thresh=5 limit=6 dirtied=7 written=8",
        "block_rq_issue: 8,0 W 131072 () 2048 + 256 be,0,4 [kworker/u4:0]",
        "block_rq_complete: 8,0 W () 2048 + 256 be,0,4 [0]",
        (
            "mm_page_alloc: page=000000001166b6df pfn=0x7d0 order=0 migratetype=2 "
            "gfp_flags=GFP_HIGHUSER_MOVABLE|__GFP_COMP"
        ),
        "mm_vmscan_write_folio: page=000000001166b6df pfn=0x7d0 flags=RECLAIM_WB_FILE|RECLAIM_WB_ASYNC",
        "writeback_dirty_folio: bdi 8:0: ino=128 index=7",
        "mm_filemap_add_to_page_cache: dev 8:0 ino 80 pfn=0x7d0 ofs=28672 order=0",
    ]


def test_6_1_differs_in_names_of_fields_states_and_requests():
    assert lines_of(
        "6.1",
        (EV.writeback_single_inode, 0, 12, STATE, 9, 2, 0, 5120, 0),
        (EV.balance_dirty_pages, 0, *range(1, 14)),
        (EV.block_rq_complete, 0, RWBS_WRITE, 2048, 256, 0),
    ) == [
        (
            "writeback_single_inode: bdi 8:0: ino=12 state=I_DIRTY_PAGES|I_SYNC|0x20000 dirtied_when=9 age=2 index=0 "
            "to_write=5120 wrote=0 cgroup_ino=1"
        ),
        (
            "balance_dirty_pages: bdi 8:0: limit=1 setpoint=2 dirty=3 bdi_setpoint=4 bdi_dirty=5 dirty_ratelimit=6 "
            "task_ratelimit=7 dirtied=8 dirtied_pause=9 paused=10 pause=11 period=12 think=13 cgroup_ino=1"
        ),
        "block_rq_complete: 8,0 W () 2048 + 256 [0]",
    ]


@pytest.mark.parametrize("kernel", KERNELS)
def test_no_event_is_printed_that_the_kernel_has_not(kernel):
    gone = {"balance_dirty_start", "writeback_congestion_wait", "writeback_wait_iff_congested", "block_sleeprq"}
    on = {row.name for row, is_on in zip(TRACEPOINTS, events_of("full", kernel), strict=True) if is_on}

    assert not on & gone
    assert {"writeback_dirty_page", "writeback_single_inode_start", "balance_dirty_pages"} < on
    assert gone < {row.name for row, is_on in zip(TRACEPOINTS, events_of("full", "2.6.34"), strict=True) if is_on}


def test_a_design_named_for_a_kernel_is_of_it():
    assert [kernel_of(name) for name in ("linux-6.1", "linux-6.18", "linux-2.6.18", "reclaim-3.2", "flushers-only")] == [
        "6.1", "6.18", "2.6.18", "2.6.34", "2.6.34",
    ]  # fmt: skip


def recorded_templates(path):
    """Learn how a recorded kernel prints each event the engine emits, from the first 30 lines of each."""
    templates, seen = {}, Counter()
    with gzip.open(path, "rt", errors="replace") as file:
        for line in islice(file, 40_000):
            found = LINE.match(line.rstrip("\n"))
            kind = event_of(found[2]) if found else None
            if kind and seen[kind.name] < 30:
                seen[kind.name] += 1
                template = learn(kind, found[3])
                if template is not None:
                    templates.setdefault(found[2], set()).add(template.literals)
    return templates


@pytest.mark.skipif(not RECORDED, reason="no recordings beside the repository")
@pytest.mark.parametrize("path", RECORDED, ids=lambda path: "/".join(path.parts[-3:-1]))
def test_each_event_is_printed_as_the_recorded_kernel_printed_it(path):
    kernel = path.parts[-3].removeprefix("linux-")
    templates = recorded_templates(path)
    rows = {row.name: number for number, row in enumerate(rows_of(kernel)) if row.name in templates}
    assert len(rows) >= 8

    for name, number in rows.items():
        if name == "mark_victim":
            continue  # its text of 6.8 is not printed
        (line,) = lines_of(kernel, (number, *(2 for _ in TRACEPOINTS[number].fields)))
        (mine,) = [learn(event_of(name), line.removeprefix(f"{name}: "))]
        assert mine.literals in templates[name], line
