# SPDX-License-Identifier: GPL-2.0-or-later
"""Made-up recordings."""

from typing import Any

import polars as pl
from hypothesis import strategies as st

from pageout.events.tables import COMMON, NULL, EventBuilder, Events
from pageout.readers.read import read_pieces
from pageout.vocabulary.schema import ANY_BASE, EVENTS, HEX, WORD, EventKind

WORDS = st.text("abcXYZ019_|-+", min_size=1, max_size=12)
COMMS = st.text("abc XYZ#~:/-019", min_size=1, max_size=15).map(str.strip).filter(bool)
CONTEXTS = st.sampled_from(["....", "d.s4", "dN..2", "....1", "..s.."])
RANGES = {
    "i32": (-(1 << 31), (1 << 31) - 1), "u32": (0, (1 << 32) - 1), "i64": (-(1 << 63) + 1, (1 << 63) - 1),
    "u64": (0, (1 << 63) - 1),
}  # fmt: skip


def read(text: str | bytes) -> Events:
    found = read_pieces("trace", [text.encode() if isinstance(text, str) else text]).events
    assert found is not None
    return found


def comparable(frame: pl.DataFrame) -> pl.DataFrame:
    """A frame without its line numbers, which another file may have elsewhere, and with a marker's lines as one."""
    words = frame.drop("line").with_columns(pl.col(pl.Categorical).cast(pl.String))
    if "payload" in words.columns:
        words = words.with_columns(pl.col("payload").str.replace_all("\n", "\\n", literal=True))
    return words


def assert_equal(one: Events, other: Events) -> None:
    assert set(one.frames) == set(other.frames)
    for name, frame in one.frames.items():
        assert comparable(frame).equals(comparable(other.frames[name])), name
        assert frame.schema == other.frames[name].schema
    assert comparable(one.other).equals(comparable(other.other))
    assert [hole[1:] for hole in one.holes] == [hole[1:] for hole in other.holes]
    assert list(one.stacks.values()) == list(other.stacks.values())


def value_of(kind: EventKind, column: int) -> st.SearchStrategy[Any]:
    row = kind.columns[column]
    if row.base == WORD:
        return WORDS
    low, high = RANGES[row.width]
    return st.integers(max(low, 0) if row.base in (HEX, ANY_BASE) else low, high) | st.integers(0, 3)


KINDS = sorted(EVENTS.values(), key=lambda kind: kind.name)


@st.composite
def kernels(draw: st.DrawFn) -> list[tuple[EventKind, tuple[int, ...]]]:
    """Some events and the columns that one kernel prints for each."""
    kinds = draw(st.lists(st.sampled_from(KINDS), min_size=1, max_size=4, unique_by=lambda kind: kind.name))
    texts = [draw(st.sampled_from(kind.texts)) for kind in kinds]
    return [
        (kind, tuple(n for n, column in enumerate(kind.columns) if f"{{{column.name}}}" in text))
        for kind, text in zip(kinds, texts, strict=True)
    ]


@st.composite
def recordings(draw: st.DrawFn) -> Events:
    """Events of one kernel, in the order of time, with holes and tasks without a name."""
    builder = EventBuilder()
    time_ns = draw(st.integers(0, 10**15)) * 1000
    line = 1
    kernel = draw(kernels())
    for kind, present in draw(st.lists(st.sampled_from(kernel), min_size=1, max_size=8)):
        line += draw(st.integers(1, 3))
        if draw(st.integers(0, 5)) == 0:
            builder.hole(line, draw(st.integers(0, 300)), draw(st.integers(1, 10**6) | st.just(-1)))
            line += 1
        time_ns += draw(st.integers(0, 10**6)) * draw(st.sampled_from([1000, 1000, 1]))
        comm = draw(st.none() | COMMS)
        context = draw(st.none() | CONTEXTS)
        cpu = draw(st.integers(0, 999) | st.just(NULL))
        common = {
            "time_ns": time_ns, "line": line, "segment": builder.segment, "cpu": cpu,
            "pid": draw(st.integers(0, (1 << 22))),
            "comm": NULL if comm is None else builder.word(comm.encode()),
            "context": NULL if context is None else builder.word(context.encode()),
        }  # fmt: skip
        values = [draw(value_of(kind, n)) if n in present else NULL for n in range(len(kind.columns))]
        cells = [builder.word(value.encode()) if isinstance(value, str) else value for value in values]
        builder.add(kind, [common[name] for name in COMMON], cells)
    return builder.finish()
