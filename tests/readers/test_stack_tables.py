# SPDX-License-Identifier: GPL-2.0-or-later
"""Stack tracer tables as people post them: whole, quoted, wrapped, cut, wrong."""

import gzip
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pageout.readers.stack_tables import Found, checked, parse_stacks, read_stacks
from pageout.vocabulary.errors import TraceError
from tests.conftest import ROOT

REAL = ROOT.parent / "shared" / "realdata" / "stack"
ROWS = [
    ("leaf_fn+0x1/0x20", 48),
    ("middle_fn+0x10/0x80 [mod]", 224),
    ("0xc00000000f16b100", 96),
    ("outer_fn+0x3/0x9", 128),
]
few = settings(max_examples=200, deadline=None, derandomize=True, database=None)


def table(rows: list[tuple[str, int]], header: bool = True) -> list[str]:
    """A table as kernel/trace/trace_stack.c prints it, innermost first."""
    lines = []
    if header:
        lines += [f"        Depth    Size   Location    ({len(rows)} entries)", "        -----    ----   --------"]
    depth = sum(size for _, size in rows)
    for n, (place, size) in enumerate(rows):
        lines.append(f"{n:>3}) {depth:>8} {size:>7}   {place}")
        depth -= size
    return lines


def only(lines: list[str]) -> list[tuple[str, int]]:
    found = parse_stacks(f"{line}\n" for line in lines)
    (one,) = found.tables
    assert one.problem == ""
    depth = sum(size for _, size in ROWS)
    for entry in one.entries:
        assert entry.depth == depth
        depth -= entry.size
    return [(entry.location, entry.size) for entry in one.entries]


def broken_in_two(line: str) -> list[str]:
    """As a mailer wraps it: the function on a line of its own."""
    head, _, tail = line.rpartition("   ")
    return [head, tail] if ")" in head else [line]


FORMS = {
    "plain": lambda lines: lines,
    "CRLF": lambda lines: [line + "\r" for line in lines],
    "quoted": lambda lines: [f"> > {line}" for line in lines],
    "dmesg": lambda lines: [f"[ 1234.567890] {line}" for line in lines],
    "syslog": lambda lines: [f"Apr  7 10:01:02 host kernel: [12.5] {line}" for line in lines],
    "wrapped": lambda lines: [part for line in lines for part in broken_in_two(line)],
    "wrapped and quoted": lambda lines: [f"> {part}" for line in lines for part in broken_in_two(line)],
    "module wrapped": lambda lines: [part for line in lines for part in line.replace(" [", "\n[").split("\n")],
    "blank lines": lambda lines: [part for line in lines for part in (line, "")],
    "tabs": lambda lines: [line.replace("   ", "\t") for line in lines],
    "in a mail": lambda lines: ["Hello,", "", *lines, "", "-- ", "Regards"],
    "without header": lambda lines: lines[2:],
}


@pytest.mark.parametrize("form", FORMS)
def test_a_table_is_read_whatever_a_mailer_made_of_it(form: str) -> None:
    assert only(FORMS[form](table(ROWS))) == ROWS


def test_several_tables_in_one_file_are_all_found_with_their_lines() -> None:
    found = parse_stacks([*table(ROWS), "text", *table(ROWS[1:]), *table(ROWS[2:])])

    assert [(t.line, t.announced, len(t.entries)) for t in found.tables] == [(1, 4, 4), (8, 3, 3), (13, 2, 2)]


def test_a_cut_table_says_how_many_rows_it_announced() -> None:
    (one,) = parse_stacks(table(ROWS)[:-2]).tables

    assert (one.announced, len(one.entries), one.problem) == (4, 2, "")


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda lines: [line.replace(" 224 ", " 225 ") for line in lines], 4),
        (lambda lines: lines[:3] + lines[4:], 4),
        (lambda lines: [line.replace(" 496 ", "   0 ") for line in lines], 3),
        (lambda lines: [line.removesuffix("leaf_fn+0x1/0x20") for line in lines], 3),
    ],
)
def test_a_table_that_contradicts_itself_is_refused_at_its_line(change, line: int, tmp_path: Path) -> None:
    path = tmp_path / "trace.txt"
    path.write_text("\n".join(change(table(ROWS))))

    with pytest.raises(TraceError, match=rf"trace\.txt:{line}: "):
        read_stacks(path)


def test_one_sound_table_is_enough_and_the_other_is_reported() -> None:
    bad = [line.replace(" 224 ", " 225 ") for line in table(ROWS)]
    found = checked("f", parse_stacks([*bad, *table(ROWS)]))

    assert [bool(one.problem) for one in found.tables] == [True, False]


def test_lines_that_only_speak_of_stacks_are_noted() -> None:
    found = checked(
        "f",
        parse_stacks(
            [
                "Linux version 2.6.33.2 (root@host)",
                "[1.0] apache2 used greatest stack depth: 7208 bytes left",
                "[2.0] cc1 (123) used greatest stack depth: 720 bytes left",
                "[3.0] Thread overran stack, or stack corrupted",
            ]
        ),
    )

    assert found.kernel == "2.6.33.2"
    assert [(note.line, note.left) for note in found.notes] == [(2, 7208), (3, 720), (4, -1)]
    assert not found.tables


def test_a_text_without_any_stack_is_refused_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("nothing\nhere\n")

    with pytest.raises(TraceError, match=r"notes\.txt:2: no stack tracer table.*stack_trace"):
        read_stacks(path)


@pytest.mark.parametrize("content", [b"", b"\x1f\x8b broken", b"\xff" * 10_000, b"\n" * 10_000])
def test_garbage_is_refused_in_one_line(content: bytes, tmp_path: Path) -> None:
    for name in ("garbage.txt", "garbage.gz"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(TraceError) as caught:
            read_stacks(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_a_packed_file_and_an_endless_line_are_read(tmp_path: Path) -> None:
    text = "x" * 1_000_000 + "\n" + "\n".join(table(ROWS))
    with gzip.open(tmp_path / "log.gz", "wt") as out:
        out.write(text)

    (one,) = read_stacks(tmp_path / "log.gz").tables
    assert (one.line, len(one.entries)) == (2, 4)


PIECES = st.sampled_from(
    [*table(ROWS), *FORMS["wrapped"](table(ROWS)), "text", "", "  0) 99999999 1 f", "> 1) 2 2   g"]
)


@few
@given(st.lists(st.one_of(PIECES, st.text(max_size=60)), max_size=40))
def test_no_mixture_of_lines_breaks_the_reader(lines: list[str]) -> None:
    found = parse_stacks(lines)

    assert isinstance(found, Found)
    for one in found.tables:
        if not one.problem:
            for outer, inner in zip(one.entries[1:], one.entries, strict=False):
                assert inner.depth - inner.size == outer.depth


@few
@given(
    st.lists(
        st.tuples(st.from_regex(r"[a-z_][a-z0-9_.]{0,30}", fullmatch=True), st.integers(0, 2000)),
        min_size=2,
        max_size=60,
    )
)
def test_any_table_printed_reads_back_the_same(rows: list[tuple[str, int]]) -> None:
    rows = [*rows, ("bottom", 8)]
    (one,) = parse_stacks(table(rows)).tables

    assert one.problem == ""
    assert [(entry.location, entry.size) for entry in one.entries] == rows


@pytest.mark.skipif(not REAL.is_dir(), reason="no ../shared/realdata here")
@pytest.mark.parametrize(
    ("name", "nr", "depth", "top"),
    [
        ("berthels-2010-47.txt", 47, 7568, "mempool_alloc_slab+0x16/0x20"),
        ("ppc64-2023-dummy-frame.txt", 17, 4144, "ftrace_call+0x4/0x44"),
    ],
)
def test_tables_that_people_posted(name: str, nr: int, depth: int, top: str) -> None:
    (one,) = read_stacks(REAL / name).tables

    assert (one.announced, len(one.entries), one.depth, one.entries[0].location) == (nr, nr, depth, top)
