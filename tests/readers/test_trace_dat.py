# SPDX-License-Identifier: GPL-2.0-or-later
"""trace.dat read directly: what was put into one comes out again, whatever its dress; what is broken is refused."""

from __future__ import annotations

import gzip
import shutil
import subprocess
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from bench.dat_pages import CPUSTAT, DATE, OFFSET, TSC2NSEC, Dat, Ring
from bench.recording_dat import EVENT_TABLE, Event, number, record, recording, text
from hypothesis import given, settings
from hypothesis import strategies as st

from pageout.events.tables import Events
from pageout.readers.dat_fields import FieldReader, Rows, distinct
from pageout.readers.dat_file import PageHeader
from pageout.readers.event_format import Field, Shape
from pageout.readers.facts import KernelVersion
from pageout.readers.read import Input, fetch_texts, read_input, read_pieces, stream_events
from pageout.readers.ring_buffer import Layout, plain_scan
from pageout.vocabulary.errors import TraceError

EVENTS = 600


@cache
def dat(version: int = 7, packing: str = "none", big: bool = False, long_size: int = 8) -> Dat:
    return recording(EVENTS, 3, version=version, packing=packing, big=big, long_size=long_size)


def read(one: Dat | bytes) -> Input:
    found = read_pieces("x", [one if isinstance(one, bytes) else one.to_bytes()])
    account = found.account
    assert account.lines == account.events + account.known_non_events + account.unread
    return found


def events_of(one: Dat | bytes) -> Events:
    found = read(one).events
    assert found is not None
    return found


def refusal(data: bytes) -> str:
    """Return what is said of an input that is refused; of one that is read: "byte"."""
    try:
        read(data)
    except TraceError as error:
        return str(error)
    return "byte"


def assert_same(left: Events, right: Events, *, without: frozenset[str] = frozenset()) -> None:
    assert left.frames.keys() == right.frames.keys()
    for name, frame in left.frames.items():
        if name not in without:
            assert frame.equals(right.frames[name]), name
    assert left.other.equals(right.other)


def named(name: str) -> Event:
    return next(event for event in EVENT_TABLE if event.name == name)


def of_records(payloads: list[bytes], formats: list[tuple[str, str]] | None = None, **more: object) -> Dat:
    ring = Ring()
    for n, payload in enumerate(payloads):
        ring.add(1_000_000 * (n + 1), payload)
    ring.end_page()
    texts = formats or [(event.system, event.format_text()) for event in EVENT_TABLE]
    return replace(Dat(texts, [ring.pages], cmdlines=b"88 kswapd0\n"), **more)  # type: ignore[arg-type]


def custom(fields: list[object], print_fmt: str, name: str = "custom", system: str = "test") -> Event:
    return Event(system, name, 950, fields, print_fmt, lambda _: (), 1)  # type: ignore[arg-type]


def payload_of(event: Event, *values: object) -> str:
    found = events_of(of_records([record(event, values, pid=88)], [(event.system, event.format_text())]))
    return str(found.other["payload"][0])


def test_every_event_comes_out_once_in_the_order_of_time() -> None:
    found = read(dat())
    assert found.kind == "trace.dat v7"
    assert (found.unit, found.account.events, found.lost) == ("record", EVENTS, 0)
    assert found.facts == [KernelVersion(0, "6.12.41")]
    assert found.events is not None
    columns = [frame.select("line", "time_ns", "cpu") for frame in (*found.events.frames.values(), found.events.other)]
    rows = pl.concat(columns).sort("line")
    assert rows["line"].to_list() == list(range(1, EVENTS + 1))
    assert rows["time_ns"].is_sorted()
    assert rows["cpu"].n_unique() == 4


@pytest.mark.parametrize(("version", "packing"), [(6, "none"), (7, "zlib"), (7, "zstd")])
def test_versions_and_packings_give_the_same_frames(version: int, packing: str) -> None:
    assert_same(events_of(dat(version, packing)), events_of(dat()))


@pytest.mark.parametrize(("big", "long_size"), [(True, 8), (True, 4), (False, 4)])
def test_byte_order_and_size_of_a_long_do_not_show(big: bool, long_size: int) -> None:
    without = frozenset({"mm_shrink_slab_end"} if long_size == 4 else ())  # its pointers are cut there
    assert_same(events_of(dat(6, big=big, long_size=long_size)), events_of(dat()), without=without)


def test_a_packed_file_and_a_plain_file_are_read_alike(tmp_path: Path) -> None:
    path, packed = tmp_path / "trace.dat", tmp_path / "trace.dat.gz"
    dat().write(path)
    packed.write_bytes(gzip.compress(path.read_bytes()))
    plain, unpacked = read_input(str(path)), read_input(str(packed))
    assert plain.events is not None
    assert unpacked.events is not None
    assert_same(plain.events, unpacked.events)


def test_blocks_of_a_streamed_recording_are_its_frames(tmp_path: Path) -> None:
    dat().write(tmp_path / "trace.dat")
    blocks: dict[str, list[pl.DataFrame]] = {}
    rest = stream_events(str(tmp_path / "trace.dat"), lambda name, frame: blocks.setdefault(name, []).append(frame))
    assert rest.account.events == EVENTS
    for name, frame in events_of(dat()).frames.items():
        assert pl.concat(blocks[name]).equals(frame), name


def test_values_stand_in_the_columns_of_the_text() -> None:
    balance = named("balance_dirty_pages")
    values = (b"8:16", 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, -11, 12, -13, 4711)
    issue = (8 << 20 | 16, 4096, 8, 4096, b"WSM", b"dd", 0)
    wake = (1, 2, 3, 0xC40 | 1 << 13)
    found = events_of(of_records([
        record(balance, values, pid=88, bits=0x1102), record(named("block_rq_issue"), issue, pid=77),
        record(named("mm_vmscan_wakeup_kswapd"), wake, pid=0), record(named("mm_shrink_slab_end"),
        (0xFFFF888100040000, 1, 0xFFFFFFFF81234010, 2, 3, 4, 5), pid=88),
    ], kallsyms=b"ffffffff81234000 t super_cache_scan\nffffffff81300000 t next\n"))  # fmt: skip
    row = found.frame("balance_dirty_pages").row(0, named=True)
    assert (row["bdi"], row["limit"], row["bdi_setpoint"], row["pause"], row["think"]) == ("8:16", 1, 4, -11, -13)
    assert (row["comm"], row["pid"], row["cpu"], row["line"], row["time_ns"]) == ("kswapd0", 88, 0, 1, 1_000_000)
    assert row["context"] == "d.s2"
    row = found.frame("block_rq_issue").row(0, named=True)
    assert (row["dev"], row["rwbs"], row["bytes"], row["sector"], row["comm"]) == ("8,16", "WSM", 4096, 4096, None)
    row = found.frame("mm_vmscan_wakeup_kswapd").row(0, named=True)
    assert (row["nid"], row["zid"], row["order"]) == (1, 2, 3)
    assert (row["gfp_flags"], row["comm"]) == ("GFP_NOFS|__GFP_NOWARN", "<idle>")
    assert found.frame("mm_shrink_slab_end")["shrinker"][0] == "super_cache_scan+0x10"


def test_evidence_is_the_record_as_a_line() -> None:
    wake = record(named("mm_vmscan_wakeup_kswapd"), (1, 2, 3, 0), pid=88)
    found = read(of_records([wake]))
    assert "kswapd0-88 [000]" in fetch_texts(found, {1, 7})[1]
    assert "mm_vmscan_wakeup_kswapd: nid=1 zid=2 order=3 gfp_flags=none" in fetch_texts(found, {1})[1]


def test_an_event_outside_the_table_keeps_its_name_and_its_text() -> None:
    event = custom(
        [text("who", 8), number("int", "n")], '"who=%s n=%03d %s", REC->who, REC->n, REC->n > 3 ? "many" : "few"'
    )
    found = events_of(of_records([record(event, (b"me", 5), pid=1)], [("test", event.format_text())]))
    assert found.other_names() == {"custom": 1}
    assert found.other["payload"].to_list() == ["who=me n=005 many"]


@pytest.mark.parametrize(("fmt", "values", "said"), [
    ('"%d", REC->a - REC->b * 2', (7, 5), "-3"),
    ('"%d %u", (REC->a / REC->b), REC->a', (-7, 2), "-3 4294967289"),
    ('"%lx|%#x|%c|%%", ((unsigned long) REC->a) << 4, REC->b, REC->b', (15, 65), "f0|0x41|A|%"),
    ('"%s", __print_flags(REC->a, "+", { 1, "one" }, { (1 << 2), "four" })', (13, 0), "one+four+0x8"),
    ('"%s", __print_symbolic(REC->a, { 1, "one" }, { -2, "minus" })', (-2, 0), "minus"),
    ('"%s", __print_symbolic(REC->a, { 1, "one" })', (9, 0), "0x9"),
    ('"a=%d b=%d", REC->a, do_something(REC->b)', (1, 2), "a=1 b=? b=2"),
    ('"a=%d b=%d", REC->a, jiffies - REC->b', (1, 2), "a=1 b=? b=2"),
    ('"%s", REC->a ? "yes" : __print_symbolic(REC->b, { 2, "two" })', (0, 2), "two"),
    ('a broken format', (1, 2), "a=1 b=2"),
    ('"%d' + '(' * 3000 + '"', (1, 2), "1" + "(" * 3000),
    ('"%d", ' + '(' * 3000, (1, 2), "a=1 b=2"),
    ('"%d", ' + '1+' * 3000 + '1', (1, 2), "a=1 b=2"),
])  # fmt: skip
def test_a_print_fmt_is_printed_as_the_kernel_would(fmt: str, values: tuple[int, int], said: str) -> None:
    if said.startswith("1("):
        fmt += ", REC->a"
    assert payload_of(custom([number("int", "a"), number("int", "b")], fmt), *values) == said


def test_enumerators_without_a_value_in_the_format_are_those_of_the_kernels_that_have_them() -> None:
    event = custom([number("unsigned long", "state")], '"state=%s", __print_flags(REC->state, "|", '
                   '{I_DIRTY_SYNC, "I_DIRTY_SYNC"}, {I_DIRTY_PAGES, "I_DIRTY_PAGES"}, {I_NEW_ONE, "I_NEW_ONE"})')  # fmt: skip
    assert payload_of(event, 0x50) == "state=I_DIRTY_SYNC|I_DIRTY_PAGES"


def test_dynamic_strings_are_found_by_both_kinds_of_place() -> None:
    lines = [
        "name: two_strings", "ID: 951", "format:", "\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;",
        "\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;", "",
        "\tfield:__data_loc char[] a;\toffset:8;\tsize:4;\tsigned:0;",
        "\tfield:__rel_loc char[] b;\toffset:12;\tsize:4;\tsigned:0;", "",
        'print fmt: "%s and %s", __get_str(a), __get_rel_str(b)',
    ]  # fmt: skip
    head = (951).to_bytes(2, "little") + bytes(2) + (1).to_bytes(4, "little")
    long_one = b"x" * 90 + b"\0"
    good = head + (16 | 3 << 16).to_bytes(4, "little") + (3 | 91 << 16).to_bytes(4, "little") + b"hi\0" + long_one
    wild = head + (0xFFFF | 0xFFFF << 16).to_bytes(4, "little") + (0xFFFF0000 | 9).to_bytes(4, "little") + b"abc\0"
    found = events_of(of_records([good, wild], [("test", "\n".join(lines))]))
    assert found.other["payload"].to_list() == ["hi and " + "x" * 90, " and"]


def test_a_hole_has_its_cpu_its_line_and_its_count_and_begins_a_segment() -> None:
    payload = record(named("mm_vmscan_direct_reclaim_end"), (5,), pid=88)
    first, second = Ring(), Ring()
    first.add(100, payload)
    first.lost(7)
    first.add(300, payload)
    second.add(200, payload)
    second.add(400, payload)
    for ring in (first, second):
        ring.end_page()
    formats = [("vmscan", named("mm_vmscan_direct_reclaim_end").format_text())]
    found = events_of(Dat(formats, [first.pages, second.pages]))
    assert [tuple(hole) for hole in found.holes] == [(3, 0, 7, "lost")]
    assert found.frame("mm_vmscan_direct_reclaim_end")["segment"].to_list() == [0, 0, 1, 1]
    assert found.lost == 7


def test_an_uncounted_loss_makes_the_number_unknown() -> None:
    ring = Ring()
    ring.lost()
    ring.add(100, record(named("mm_vmscan_direct_reclaim_end"), (5,), pid=88))
    ring.end_page()
    found = read(Dat([("vmscan", named("mm_vmscan_direct_reclaim_end").format_text())], [ring.pages]))
    assert found.lost is None


def test_what_the_kernel_counted_as_overwritten_is_lost() -> None:
    stats = b"CPU: 0\nentries: 0\noverrun: 30\ncommit overrun: 0\ndropped events: 4\n\0"
    payload = record(named("mm_vmscan_direct_reclaim_end"), (5,), pid=88)
    found = events_of(of_records([payload], options=[(CPUSTAT, stats)]))
    assert [tuple(hole) for hole in found.holes] == [(1, 0, 34, "overwritten")]


def test_instances_are_read_with_the_rest() -> None:
    more = dat()
    pages = more.cpus
    for version in (6, 7):
        found = read(replace(more, version=version, cpus=[pages[0], pages[1], [], []],
                             instances=[("foo", [[], [], pages[2], pages[3]])]))  # fmt: skip
        assert found.kind == f"trace.dat v{version} (instance foo)"
        assert found.events is not None
        assert_same(found.events, events_of(more))


@pytest.mark.parametrize(("options", "time"), [
    ([(DATE, b"0x10\0")], 1_016_000), ([(OFFSET, b"-5\0")], 999_995),
    ([(TSC2NSEC, (3).to_bytes(4, "little") + (1).to_bytes(4, "little") + bytes(8))], 1_500_000),
])  # fmt: skip
def test_times_are_moved_as_the_file_says(options: list[tuple[int, bytes]], time: int) -> None:
    payload = record(named("mm_vmscan_direct_reclaim_end"), (5,), pid=88)
    found = events_of(of_records([payload], options=options))
    assert found.frame("mm_vmscan_direct_reclaim_end")["time_ns"].to_list() == [time]


@pytest.mark.parametrize(("clock", "said"), [("local", "seconds"), ("counter", "counter"), ("x86-tsc", "tsc")])
def test_the_clock_is_said(clock: str, said: str) -> None:
    payload = record(named("mm_vmscan_direct_reclaim_end"), (5,), pid=88)
    assert events_of(of_records([payload], clock=clock)).clock == said


@pytest.mark.parametrize(("version", "packing"), [(6, "none"), (7, "none"), (7, "zstd")])
def test_the_text_of_a_latency_recording_is_read_as_text(version: int, packing: str) -> None:
    latency = b"            dd-3301    [001] .....  1235.000123: mm_vmscan_kswapd_wake: nid=0 order=2\n"
    found = read(replace(dat(version, packing), cpus=[[]], latency=latency))
    assert found.kind.startswith(f"trace.dat v{version}")
    assert "with ftrace text" in found.kind
    assert found.events is not None
    assert found.events.frame("mm_vmscan_kswapd_wake")["order"].to_list() == [2]


def test_a_kernel_stack_is_that_of_the_record_before_it_on_its_cpu() -> None:
    stack = (
        "name: kernel_stack\nID: 4\nformat:\n\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n"
        "\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;\n\n\tfield:int size;\toffset:8;\tsize:4;\tsigned:1;\n"
        "\tfield:unsigned long caller[8];\toffset:16;\tsize:64;\tsigned:0;\n"
    )
    event = named("mm_vmscan_direct_reclaim_end")
    callers = b"".join(word.to_bytes(8, "little") for word in (0xFFFFFFFF81234010, 0x1234, (1 << 64) - 1))
    first, second = Ring(), Ring()
    first.add(100, record(event, (1,), pid=88))
    second.add(150, record(event, (2,), pid=77))
    first.add(200, (4).to_bytes(8, "little") + (3).to_bytes(8, "little") + callers)
    for ring in (first, second):
        ring.end_page()
    kallsyms = b"ffffffff81234000 t shrink_node\nffffffff81300000 t next\n"
    formats = [("vmscan", event.format_text()), ("ftrace", stack)]
    found = read(Dat(formats, [first.pages, second.pages], kallsyms=kallsyms))
    assert (found.account.events, found.account.known_non_events) == (2, 1)
    assert found.events is not None
    assert found.events.stacks == {1: ("shrink_node", "0x1234")}


def test_records_without_a_format_or_too_short_for_it_are_unread() -> None:
    good = record(named("mm_vmscan_direct_reclaim_end"), (5,), pid=88)
    strange = (7777).to_bytes(2, "little") + good[2:]
    found = read(of_records([good, strange, good[:8], b"ab", b""]))
    assert (found.account.events, found.account.unread) == (1, 4)
    assert found.account.unread_lines[0] == (2, "a record of event 7777, which has no format in the file")


def test_a_file_that_ends_early_gives_its_whole_pages_and_says_so() -> None:
    whole = of_records([record(named("mm_vmscan_direct_reclaim_end"), (n,), pid=88) for n in range(2000)], version=6)
    cut = read(whole.to_bytes()[:-5000])
    assert 0 < cut.account.events < 2000
    assert cut.events is not None
    assert cut.events.holes[-1].why == "the file ends early"


def test_every_prefix_is_refused_or_read_never_worse() -> None:
    whole = {version: replace(dat(version, packing), cpus=dat().cpus[:1]).to_bytes()
             for version, packing in ((6, "none"), (7, "zstd"))}  # fmt: skip
    for data in whole.values():
        for size in range(10, len(data), max(len(data) // 150, 1)):
            assert "byte" in refusal(data[:size])


@pytest.mark.parametrize(("version", "packing"), [(6, "none"), (7, "none"), (7, "zlib"), (7, "zstd")])
@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_bytes_make_more_than_a_trace_error(version: int, packing: str, data: st.DataObject) -> None:
    whole = bytearray(replace(dat(version, packing), kallsyms=b"", cpus=dat().cpus[:1]).to_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(10, len(whole) - 1))
        whole[at] = data.draw(st.integers(0, 255))
    assert refusal(bytes(whole)).startswith(("x: trace.dat broken at byte", "byte", "x:1: "))


def test_a_length_that_lies_allocates_nothing() -> None:
    data = bytearray(dat(6).to_bytes())
    at = data.index(b"header_page\0") + 12
    data[at : at + 8] = (1 << 62).to_bytes(8, "little")
    with pytest.raises(TraceError, match=r"should have 4,611,686,018,427,387,904 bytes"):
        read(bytes(data))
    packed = bytearray(dat(7, "zstd").to_bytes())
    packed[packed.index(b"\x28\xb5\x2f\xfd") - 4 :][:4] = b""
    at = packed.index(b"\x28\xb5\x2f\xfd")
    packed[at - 4 : at] = (0xF0000000).to_bytes(4, "little")
    with pytest.raises(TraceError, match="cannot hold"):
        read(bytes(packed))


def trace_cmd(path: Path) -> str:
    program = shutil.which("trace-cmd")
    if program is None:
        pytest.skip("trace-cmd is not installed")
    done = subprocess.run([program, "report", "-t", str(path)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(("version", "packing"), [(6, "none"), (7, "none"), (7, "zstd")])
def test_trace_cmd_reads_what_is_written_and_its_text_gives_equal_frames(
    tmp_path: Path, version: int, packing: str
) -> None:
    path = tmp_path / "trace.dat"
    dat(version, packing).write(path)
    printed = read_pieces("text", [trace_cmd(path).encode()])
    direct = read_input(str(path))
    assert printed.events is not None
    assert direct.events is not None
    assert printed.account.events == direct.account.events == EVENTS
    # What the text lacks, or trace-cmd cannot know: columns it does not print, an age by the jiffies of now.
    skipped = {"line", "context", "zid", "age"}
    for name, frame in direct.events.frames.items():
        theirs = printed.events.frames[name]
        columns = [column for column in frame.columns if column not in skipped]
        assert (
            frame.select(columns)
            .cast({pl.Categorical: pl.String})
            .equals(theirs.select(columns).cast({pl.Categorical: pl.String}))
        ), name


STEP = st.tuples(
    st.sampled_from(["add", "stamped", "long", "lost", "uncounted", "discard", "page"]),
    st.one_of(st.integers(0, 1 << 20), st.integers(0, 1 << 40)),
    st.integers(0, 40).map(lambda words: words * 4),
)


def filled(steps: list[tuple[str, int, int]], *, big: bool, long_size: int) -> Ring:
    ring = Ring(page_size=1024, big=big, long_size=long_size)
    time = 1 << 59 | 12345  # above what a time stamp record holds
    for what, later, size in steps:
        time += later
        if what in ("lost", "uncounted"):
            ring.lost(later + 1 if what == "lost" and long_size == 8 else -1)
        elif what == "discard":
            ring.discard(size)
            time += 1
        elif what == "page":
            ring.end_page()
        else:
            ring.add(time, bytes([size & 255]) * size, stamped=what == "stamped", long_form=what == "long")
    ring.end_page()
    return ring


@settings(max_examples=150, deadline=None)
@given(
    st.lists(STEP, max_size=60), st.booleans(), st.sampled_from((4, 8)),
    st.lists(st.tuples(st.integers(0, 1 << 14), st.integers(0, 255)), max_size=3),
)  # fmt: skip
def test_compiled_and_plain_scans_find_the_same(
    steps: list[tuple[str, int, int]], big: bool, long_size: int, damage: list[tuple[int, int]]
) -> None:
    from pageout.readers.ring_scan import compiled_scan

    data = bytearray(b"".join(filled(steps, big=big, long_size=long_size).pages))
    for at, value in damage if data else ():
        data[at % len(data)] = value
    layout = Layout(1024, PageHeader(8, long_size, 8 + long_size), big)
    plain = plain_scan(memoryview(bytes(data)))(layout, 0, len(data))
    compiled = compiled_scan(np.frombuffer(bytes(data), np.uint8))(layout, 0, len(data))
    for left, right in zip(plain, compiled, strict=True):
        assert np.array_equal(left, right)


@settings(max_examples=60, deadline=None)
@given(
    st.booleans(), st.lists(st.integers(0, 60), min_size=1, max_size=9),
    st.lists(st.tuples(st.integers(0, 40), st.sampled_from((1, 2, 4, 8))), min_size=1, max_size=9),
)  # fmt: skip
def test_compiled_and_plain_reading_of_fields_agree(
    big: bool, places: list[int], wanted: list[tuple[int, int]]
) -> None:
    from pageout.readers.ring_scan import compiled_gather

    data = np.random.default_rng(5).integers(0, 256, 400, np.uint8)
    at = np.array(places) * 4
    slots = [(offset - offset % min(size, 4), size) for offset, size in wanted]
    reader = FieldReader(data, big=big)
    for (offset, size), found in zip(slots, compiled_gather(data, big=big)(at, slots), strict=True):
        field = Field("x", "u64", offset, size, signed=False, shape=Shape.NUMBER, is_text=False)
        assert np.array_equal(found, reader.numbers(field, Rows(at, at)))
        order = "big" if big else "little"
        expected = [int.from_bytes(data[place + offset : place + offset + size].tobytes(), order) for place in at]
        assert found.tolist() == expected


def test_a_recording_read_by_compiled_loops_gives_the_same_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = events_of(dat())
    monkeypatch.setattr("pageout.readers.trace_dat.SMALL", 0)
    assert_same(events_of(dat()), plain)
    assert_same(events_of(dat(6, big=True)), plain)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=60), st.integers(1, 60))
def test_equal_keys_have_equal_codes(rows: list[tuple[int, int]], times: int) -> None:
    left, right = (np.array(column * times) for column in zip(*rows, strict=True))
    codes, chosen = distinct([left, right])
    assert np.array_equal(left[chosen][codes], left)
    assert np.array_equal(right[chosen][codes], right)
    assert len(chosen) == len(set(rows))
