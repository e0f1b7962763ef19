# SPDX-License-Identifier: GPL-2.0-or-later
"""The compiled loop over ftrace text against its twin in Python: the same frames, the same account, on any input."""

import os
import random
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pytest
from bench.recording import COMMS, KINDS, chunks
from hypothesis import given, settings
from hypothesis import strategies as st

from pageout.readers.bulk_store import RowStore
from pageout.readers.bulk_text import BulkText
from pageout.readers.bulk_words import WordTable
from pageout.readers.dress import Physical, undress
from pageout.readers.formats import recognisers
from pageout.readers.ftrace_text import FtraceText
from pageout.readers.lines import Account, Desk
from pageout.readers.read import Input, fetch_texts, read_input, read_pieces
from tests.conftest import ROOT

GOOD = [make(random.Random(seed)) for seed in range(3) for make, _ in KINDS]
UNKNOWN = [
    "rseq_update: cpu_id=1",
    "my_sys:my_event: x",
    "tracing_mark_write: begin",
    "bare:",
    "mm_vmscan_kswapd_sleep:",
]
ODD = [
    "mm_vmscan_kswapd_wake: nid=18446744073709551615 order=0",
    "mm_vmscan_kswapd_wake: nid=-1 order=2147483648",
    "mm_vmscan_kswapd_wake: order=1 nid=0 zid=3",
    "mm_vmscan_kswapd_wake:   nid=0  order=1",
    "vmscan:mm_vmscan_kswapd_wake: nid=0 order=1",
    "mm_vmscan_direct_reclaim_end: nr_reclaimed=18446744073709551615",
    "mm_vmscan_direct_reclaim_end: nr_reclaimed=18446744073709551616",
    "mm_vmscan_direct_reclaim_end: nr_reclaimed=9999999999999999999",
    "mm_vmscan_direct_reclaim_end: nr_reclaimed=9223372036854775808",
    "mm_vmscan_direct_reclaim_end: nr_reclaimed=" + "7" * 5000,
    "mm_compaction_begin: zone_start=0xffffffffffffffff migrate_pfn=0x0 free_pfn=0x7fffffffffffffff zone_end=0, mode=",
    "mm_compaction_begin: zone_start=0x10000000000000000 migrate_pfn=0x0 free_pfn=0x1 zone_end=0x1, mode=sync",
    "block_rq_issue: 8,0 W 4096 ()  8 + 8 [a b [c]",
    "block_rq_issue: 8,0 WS 4096 () 8 + 8 none,0,0 [fio]",
    "writeback_pages_written:  12",
    "writeback_pages_written: 12 pages",
    "writeback_single_inode: bdi (unknown): ino=1 state= dirtied_when=1 age=1 index=1 to_write=1 wrote=0",
    "balance_dirty_pages: bdi 8:0: limit=1 setpoint=2",
    "kernel_stack: <stack trace>",
    "<stack trace>",
    "writeback_wake_background: [FAILED TO PARSE] name=bdi 8:0",
    "block_rq_issue: [FAILED TO PARSE] 8,0 W 4096 () 8 + 8 [fio]",
    "sched_switch: a &lt;b&gt; &amp; c",
    "mm_vmscan_kswapd_wake: nid=0\u00a0order=1 \u00e9",
    "mm_vmscan_kswapd_wake: nid=\u0661 order=1",
    "mm_vmscan_kswapd_wake: nid=0\torder=1",
]
BETWEEN = [
    "", "   ", "#", "# tracer: nop", "CPU:1 [LOST 12 EVENTS]", "CPU:2 [LOST EVENTS]", "...", "[...]", " => shrink_node",
    " nr_dirty=3 order=7", "reason=background", "Hello, this is what I saw:", "> quoted", "+ more", "cgroup_ino=1 ^M",
    "-", "cpus=8", "MemTotal:       16384 kB", "  trace-cmd", "-1 [000] 1.000000: x:",
]  # fmt: skip
TASKS = [*COMMS,
         "a-1 [000] b-2", "x -3", "-5", "longer than sixteen-9", "> quoted-8", "[1.5] log-7", "f:  g-6", "p-2147483648",
         "&lt;idle&gt;-0", "<6>bash-4", "1st-1", "e\u00e9-1", "p-99999999999"]  # fmt: skip
CPUS = ["[000]", "[001]", "[1023]", "(  77) [002]", "(-----) [003]", "( 12) [03]", "[00]", "(a) [000]"]
FLAGS = [" .....", " d..1.", " ....", "", " 1234", " dN.h2.XY", " d[..", " d..:1"]
TIMES = ["{}.{:06}", "{}.{:06}123", "{}.{:06}1234567", "99999999999.{1:06}", "{}.5", "9999999999.{1:06}", "{}"]
SPACES = [" ", "  ", " " * 70]


@st.composite
def event_lines(draw: st.DrawFn) -> str:
    """A line of a trace, good or nearly so."""
    plain = draw(st.integers(0, 9)) > 0
    payload = draw(st.sampled_from(GOOD) if draw(st.integers(0, 5)) else st.sampled_from(UNKNOWN + ODD))
    us = draw(st.integers(0, 3)) * 1000 + (draw(st.integers(0, 40_000)) if draw(st.integers(0, 9)) == 0 else 0)
    if plain:
        text = f"{draw(st.sampled_from(COMMS)):>20} {draw(st.sampled_from(CPUS[:4]))}{draw(st.sampled_from(FLAGS[:2]))}"
        return f"{text} 7.{us:06}: {payload}"
    head = draw(st.sampled_from(TASKS)) + draw(st.sampled_from(SPACES)) + draw(st.sampled_from(CPUS))
    time = draw(st.sampled_from(TIMES)).format(7, us)
    return f"{head}{draw(st.sampled_from(FLAGS))}{draw(st.sampled_from(SPACES))}{time}: {payload}"


@st.composite
def mangled(draw: st.DrawFn, lines: st.SearchStrategy[str]) -> str:
    """A line with a character put in or left out, or cut."""
    text = draw(lines)
    at = draw(st.integers(0, len(text)))
    how = draw(st.integers(0, 3))
    if how == 0:
        return text[:at] + draw(st.sampled_from(list(" -:[]=.0x<&|,\r\t\x85\u2028^M"))) + text[at:]
    if how == 1:
        return text[:at] + text[at + 1 :]
    if how == 2:
        return text[:at]
    return text + draw(st.sampled_from(["\r", " ", "  \r", "^M", "\u00a0", "\x1f", "\x00"]))


def inputs() -> st.SearchStrategy[str]:
    """Mostly good lines, some nearly good, some of another kind."""
    good = event_lines()
    line = st.integers(0, 19).flatmap(
        lambda n: good if n < 15 else mangled(good) if n < 17 else st.sampled_from(BETWEEN)
    )
    return st.lists(line, min_size=1, max_size=60).flatmap(
        lambda lines: st.sampled_from(["\n".join(lines), "\n".join(lines) + "\n"])
    )


def state(reader: FtraceText, account: Account, desk: Desk) -> dict[str, object]:
    """Everything that is known at the end."""
    facts = list(desk.facts())
    events = reader.stream.finish()
    found: dict[str, object] = {"account": account, "facts": facts, "variants": reader.variants}
    if events is not None:
        found |= {"holes": events.holes, "clock": events.clock, "stacks": events.stacks}
        found |= {"unknown": events.unknown_fields, "other": events.other, "names": list(events.frames)}
        found |= {f"frame {name}": frame for name, frame in events.frames.items()}
    return found


def in_python(text: bytes) -> dict[str, object]:
    """Read it line by line."""
    readers, account = recognisers(), Account()
    desk = Desk(readers, account)
    for line in undress([text]):
        desk.take(line)
    return state(next(reader for reader in readers if isinstance(reader, FtraceText)), account, desk)


def in_bulk(pieces: list[bytes], **sizes: int) -> tuple[dict[str, object], int]:
    """Read it by the loop; returns how many lines were left to Python, too."""
    readers, account = recognisers(), Account()
    desk = Desk(readers, account)
    reader = next(reader for reader in readers if isinstance(reader, FtraceText))
    store = RowStore(sizes.get("rows", 1 << 14), WordTable(sizes.get("words", 1 << 12), sizes.get("nbytes", 1 << 17)))
    nr_left = 0

    def split(text: Iterator[bytes], leaves_plain: Callable[[], bool]) -> Iterator[Physical]:
        def ready(number: int) -> bool:
            plain = account.lines == number - 1 and leaves_plain()
            return plain and desk.last is reader and reader.is_plain

        yield from BulkText(reader, account, ready, store=store).lines(text)

    for line in undress(pieces, split):
        nr_left += 1
        desk.take(line)
    return state(reader, account, desk), nr_left


def assert_same(one: dict[str, object], other: dict[str, object]) -> None:
    """Both know the same."""
    assert one.keys() == other.keys()
    for key, value in one.items():
        if isinstance(value, pl.DataFrame):
            assert isinstance(other[key], pl.DataFrame)
            assert value.schema == other[key].schema, key
            assert value.equals(other[key]), f"{key}: {value.to_dicts()} {other[key].to_dicts()}"
        else:
            assert value == other[key], key


@settings(max_examples=int(os.environ.get("BULK_EXAMPLES", "150")), deadline=None)
@given(inputs(), st.integers(1, 4000), st.sampled_from([2, 5, 100]), st.sampled_from([4, 64]))
def test_any_mixture_of_lines_comes_out_as_python_alone_reads_it(text: str, piece: int, rows: int, words: int) -> None:
    raw = text.encode("utf-8", "replace")
    pieces = [raw[at : at + piece] for at in range(0, len(raw), piece)]
    found, _ = in_bulk(pieces, rows=rows, words=words, nbytes=40)
    assert_same(found, in_python(raw))


HEADS = [
    f"{task:>{width}} {tgid}[{cpu:03}] {flags}"
    for task in ("kswapd0-88     ", "kswapd1-88     ", "kworker/u16:3-4481   ", "<...>-7        ", "fio a-12       ")
    for width, tgid, cpu, flags in (
        (24, "", 1, "d..2. "), (24, "", 12, "dN.2. "), (24, "(     88) ", 3, "d..2. "), (22, "", 1, " "), (24, "", 1, ".... "),
    )
]  # fmt: skip
NAMES = ["mm_vmscan_kswapd_wake: nid=0 order=1", "mm_vmscan_kswapd_sleep: nid=0", "mm_vmscan_direct_reclaim_end: nr_reclaimed=5",
         "mm_vmscan_direct_reclaim_xyz: nr_reclaimed=5", "rseq_update: cpu_id=1", "rseq_updat: cpu_id=1", "x: y",
         "a_name_of_more_than_32_characters_a: b", "a_name_of_more_than_32_characters_b: c"]  # fmt: skip


@pytest.mark.parametrize("head", HEADS[::4])
def test_a_head_that_is_nearly_one_read_before_is_read_by_itself(head: str) -> None:
    lines = ["  fio-1   [000] .....     7.000000: rseq_update: cpu_id=1"]
    for name in NAMES[:4]:
        good = f"{head}7.000001: {name}"
        for at in range(good.rindex(": ") + 3):
            for letter in "a0 9-:[](":
                lines += [good, good[:at] + letter + good[at + (at + len(lines)) % 2 :]]
    for name in NAMES:
        for seconds in ("7", "8", "08", "123456", "123457", "1234567", "1234568", "12345678", "123456789"):
            lines += [f"{head}{seconds}.{us:06}: {name}" for us in (0, 999999)]
    raw = "\n".join([*lines, ""]).encode()
    found, nr_left = in_bulk([raw])
    assert_same(in_python(raw), found)
    assert nr_left < len(lines)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=2000), st.integers(0, 1900))
def test_bytes_of_any_kind_in_the_middle_of_a_trace_come_out_as_python_alone_reads_them(junk: bytes, at: int) -> None:
    raw = "".join(chunks(30, seed=2)).encode()
    raw = raw[: 900 + at] + junk + raw[900 + at :]
    found, _ = in_bulk([raw])
    assert_same(found, in_python(raw))


def test_a_long_recording_is_left_to_python_only_where_it_teaches() -> None:
    raw = "".join(chunks(3000, seed=3)).encode()
    found, nr_left = in_bulk([raw[:200_000], raw[200_000:]])
    assert_same(found, in_python(raw))
    assert nr_left < 150


def test_each_line_by_itself_after_a_good_one_comes_out_as_python_alone_reads_it() -> None:
    head = "             fio-1     [000] ..... {}: "
    for n, payload in enumerate([*ODD, *UNKNOWN, *GOOD]):
        good = GOOD[n % len(GOOD)]
        lines = [
            head.format(f"1.{i:06}") + text for i, text in enumerate([good, good, payload, good, payload, good, good])
        ]
        raw = ("\n".join(lines) + "\n").encode()
        assert_same(in_bulk([raw])[0], in_python(raw))


def read(raw: bytes, monkeypatch: pytest.MonkeyPatch, least: int, name: str = "trace") -> Input:
    """Read it as a file, through the loop if it has so many bytes."""
    monkeypatch.setattr("pageout.readers.read.BULK_BYTES", least)
    return read_pieces(name, [raw[: len(raw) // 2], raw[len(raw) // 2 :]])


def test_a_large_standard_input_keeps_the_same_texts_for_evidence(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = "".join(chunks(500, seed=4)).encode() + b"what is this\n"
    large, small = read(raw, monkeypatch, 1, "-"), read(raw, monkeypatch, 1 << 30)
    assert dict(large.texts) == dict(small.texts)
    assert len(large.texts) == len(small.texts) == 513
    assert large.texts[100] == small.texts[100]
    assert 514 not in large.texts
    assert 0 not in large.texts
    assert (large.account, large.kind) == (small.account, small.kind)


@pytest.mark.parametrize("end", ["", "\n"])
def test_texts_of_a_large_file_are_read_from_it_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, end: str
) -> None:
    monkeypatch.setattr("pageout.readers.read.BULK_BYTES", 1)
    monkeypatch.setattr("pageout.readers.source.CHUNK", 5000)
    path = tmp_path / "trace"
    path.write_text("".join(chunks(500, seed=4)) + "the last" + end)
    lines = path.read_text().splitlines()
    found = read_input(str(path))
    assert len(found.texts) < 200
    for numbers in ({1}, {513}, {20, 21, 300, 513}, {400, 401, 402}, set(range(1, 514)), {514}, set()):
        assert fetch_texts(found, numbers) == {n: lines[n - 1].rstrip() for n in numbers if n <= 513}


def test_blocks_of_a_stream_make_the_frames_that_reading_at_once_makes(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = "".join(chunks(5000, seed=5)).replace("order=2\n", "order=2 extra\n").encode()
    whole = read(raw, monkeypatch, 1 << 30).events
    assert whole is not None
    monkeypatch.setattr("pageout.readers.read.BULK_BYTES", 1)
    monkeypatch.setattr("pageout.readers.bulk_text.MAX_YIELDED", 20)
    blocks = defaultdict(list)
    found = read_pieces("trace", [raw[:300_000], raw[300_000:]], lambda name, frame: blocks[name].append(frame))
    assert found.events is not None
    assert not found.events.frames
    assert found.account.events == 5000
    assert max(map(len, blocks.values())) > 1
    together = {name: pl.concat(some) for name, some in blocks.items()}
    assert together.keys() - {""} == whole.frames.keys()
    for name, frame in whole.frames.items():
        assert together[name].equals(frame), name
    assert len(whole.other) == 0 or together[""].equals(whole.other)


@pytest.mark.skipif(os.environ.get("NUMBA_DISABLE_JIT", "0") != "0", reason="is what this test runs")
def test_the_same_source_interpreted_reads_the_same() -> None:
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1", "BULK_EXAMPLES": "15"}
    environment["PYTHONPATH"] = os.pathsep.join([*sys.path, str(ROOT)])
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", str(Path(__file__))],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:]
