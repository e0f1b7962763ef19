# SPDX-License-Identifier: GPL-2.0-or-later
"""Every text of the table can be read, and real recordings leave no event of the known systems unread."""

import re
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pageout.readers.read import read_input, read_pieces
from pageout.readers.templates import learn
from pageout.vocabulary.schema import ANY_BASE, DEC, EVENTS, HEX
from tests.conftest import ROOT

TRUTH = ROOT.parent / "shared" / "groundtruth"
PAIRS = [pytest.param(kind, n, id=f"{kind.name}-{era}") for kind in EVENTS.values() for n, era in enumerate(kind.eras)]
RANGES = {"i32": (-(1 << 31), (1 << 31) - 1), "u32": (0, (1 << 32) - 1), "i64": (-(1 << 63) + 1, (1 << 63) - 1),
          "u64": (0, (1 << 64) - 1)}  # fmt: skip
WORDS = st.from_regex(r"[A-Za-z0-9_|+]{1,20}", fullmatch=True)
DEVICES = st.sampled_from(["8:0", "253,16", "btrfs-1", "(unknown)"])
NAMES = st.sampled_from(["Web Content", "kworker/u16:2-x", "dd", "IndexedDB #18"])


def parts(text):
    return [(literal, name) for literal, name, _, _ in string.Formatter().parse(text)]


def value(kind, name):
    at = kind.index_of(name)
    column = kind.columns[at] if at >= 0 else None
    if column is None:
        return st.just("00000000deadbeef")
    if column.base in (DEC, HEX, ANY_BASE):
        low, high = RANGES[column.width]
        low = max(low, 0) if column.base != DEC else low
        return st.integers(low, high).filter(lambda number: number != 1 << 63)  # that one stands for null in rows
    if name in ("bdi", "dev", "sb_dev", "old_dev"):
        return DEVICES
    return NAMES if name in ("issuer", "prev_comm", "next_comm", "target_comm") else WORDS


def printed(kind, name, chosen):
    at = kind.index_of(name)
    base = kind.columns[at].base if at >= 0 else None
    if base == ANY_BASE:
        return f"0x{chosen:x}" if chosen % 2 else str(chosen)
    return f"{chosen:x}" if base == HEX else str(chosen)


def wrapped(number):
    return number - (1 << 64) if number >= 1 << 63 else number


@pytest.mark.parametrize(("kind", "n"), PAIRS)
@settings(max_examples=8, deadline=None)
@given(data=st.data())
def test_each_text_of_each_kernel_reads_back(kind, n, data):
    names = [name for _, name in parts(kind.texts[n]) if name]
    given_values = {name: data.draw(value(kind, name)) for name in names}
    payload = "".join(
        literal + ("" if name is None else printed(kind, name, given_values[name]))
        for literal, name in parts(kind.texts[n])
    )
    text = f"           <...>-7       [001] ....     1.000001: {kind.name}: {payload}".rstrip()

    found = read_pieces("trace", [text.encode()])

    assert found.account.events == 1
    events = found.events
    assert not len(events.other), payload
    row = events.frame(kind.name).row(0, named=True)
    for name in names:
        at = kind.index_of(name)
        if at < 0:
            continue
        chosen = given_values[name]
        if isinstance(chosen, int) and kind.columns[at].width == "u64":
            assert wrapped(row[name]) == wrapped(chosen)
        else:
            assert row[name] == chosen


@pytest.mark.parametrize("kernel", ["linux-6.1", "linux-6.18"])
def test_real_recordings_leave_no_known_event_unread(kernel):
    traces = sorted((TRUTH / kernel).glob("*/trace.txt.gz"))
    if not traces:
        pytest.skip(f"no recordings under {TRUTH}")
    for trace in traces if kernel == "linux-6.1" else traces[::2]:
        events = read_input(str(trace)).events

        assert set(events.other_names()) <= {"tracing_mark_write"}, trace
        assert not events.unknown_fields, trace


def lines_of(*payloads):
    text = "\n".join(f"  dd-7  [000] .....  1.{n:06d}: {payload}" for n, payload in enumerate(payloads))
    return read_pieces("trace", [text.encode()]).events


def test_what_kernels_call_differently_is_one_column():
    head = "balance_dirty_pages: bdi 8:16: limit=9 "
    events = lines_of(
        head + "goal=7 dirty=6 bdi_goal=3 bdi_dirty=2 base_bw=800 task_bw=400 dirtied=1 dirtied_pause=2 paused=0 "
        "pause=4 period think",
        head + "setpoint=7 dirty=6 bdi_setpoint=3 bdi_dirty=2 dirty_ratelimit=800 task_ratelimit=400 dirtied=1 "
        "dirtied_pause=2 paused=0 pause=4 period=4 think=0 cgroup_ino=1",
        head + "setpoint=7 dirty=6 wb_setpoint=3 wb_dirty=2 dirty_ratelimit=800 task_ratelimit=400 dirtied=1 "
        "dirtied_pause=2 paused=0 pause=4 period=4 think=0 cgroup_ino=1",
    )

    frame = events.frame("balance_dirty_pages")
    assert frame["setpoint"].to_list() == [7, 7, 7]
    assert frame["bdi_setpoint"].to_list() == [3, 3, 3]
    assert frame["task_ratelimit"].to_list() == [400, 400, 400]
    assert frame["think"].to_list() == [None, 0, 0]
    assert frame["cgroup_ino"].to_list() == [None, 1, 1]
    assert frame["bdi"].to_list() == ["8:16"] * 3


def test_the_list_of_an_isolation_is_kept_as_each_kernel_says_it():
    head = "mm_vmscan_lru_isolate: isolate_mode=0 classzone=2 order=0 nr_requested=32 nr_scanned=32 nr_skipped=0"
    events = lines_of(head + " lru=1,0", head + " lru=1", head + " lru=inactive_file")

    assert events.frame("mm_vmscan_lru_isolate")["lru"].to_list() == ["1,0", "1", "inactive_file"]


def test_no_text_holds_two_values_that_nothing_parts():
    for kind in EVENTS.values():
        for text in kind.texts:
            assert not re.search(r"\}\{", text), kind.name


@pytest.mark.parametrize(
    ("name", "payload", "expected", "unknown"),
    [
        (
            "ext4_writepages",
            (
                "dev 8,1 ino 12 nr_to_write 32 pages_skipped 0 range_start 0 range_end 99 for_kupdate 0 for_reclaim 1 "
                "range_cyclic 1 writeback_index 5"
            ),
            {"dev": "8,1", "ino": 12, "range_end": 99, "sync_mode": None, "writeback_index": 5},
            {"for_reclaim"},
        ),
        (
            "jbd2_run_stats",
            (
                "dev 8,1 tid 5 wait 1 running 5 locked 0 parked 9 flushing 1 logging 2 handle_count 4 blocks 5 "
                "blocks_logged 6"
            ),
            {"dev": "8,1", "tid": 5, "request_delay": None, "blocks_logged": 6},
            {"parked"},
        ),
        (
            "mm_shrink_slab_end",
            (
                "super_cache_scan+0x0/0x1 00000000abcd: nid: 0 unused scan count 1 new scan count 2 total_scan 3 last "
                "shrinker return val 4 cgroup_ino 77"
            ),
            {"shrinker": "super_cache_scan+0x0/0x1", "unused_scan": 1, "retval": 4},
            {"cgroup_ino"},
        ),
    ],
)
def test_prose_that_no_text_has_whole_is_read_word_by_word(name, payload, expected, unknown):
    events = lines_of(f"{name}: {payload}", f"{name}: {payload.replace('dev 8,1', 'dev 8,17')}")

    row = events.frame(name).row(0, named=True)

    assert {column: row[column] for column in expected} == expected
    assert len(events.frame(name)) == 2
    assert {key for _, key in events.unknown_fields} == unknown


def test_prose_of_something_else_stays_with_its_text():
    events = lines_of("jbd2_run_stats: dev 8,1 did 5 things in 7 steps and 9 more")

    assert events.other["payload"].to_list() == ["dev 8,1 did 5 things in 7 steps and 9 more"]


@given(st.text(max_size=200))
def test_no_payload_makes_the_learner_fail(payload):
    for name in ("jbd2_run_stats", "mm_shrink_slab_start", "block_rq_issue", "balance_dirty_pages"):
        found = learn(EVENTS[name], payload)
        assert found is None or found.pattern().fullmatch(payload)
