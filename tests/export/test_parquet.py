# SPDX-License-Identifier: GPL-2.0-or-later
"""Events as a folder of tables, and back."""

import json
import tempfile
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.export.recordings import assert_equal, read, recordings
from tests.export.test_ftrace_text import SAMPLE

from pageout.events.tables import Events
from pageout.export.parquet import META, TablesWriter, about, is_tables, read_tables, write_tables
from pageout.vocabulary.errors import TraceError
from pageout.vocabulary.schema import EVENTS


def meta_of(events: Events):
    return about(events, "0", {"file": "trace", "kind": "ftrace text"}, "6.1.0")


def assert_same(one: Events, other: Events) -> None:
    assert_equal(one, other)
    assert all(frame.equals(other.frames[name]) for name, frame in one.frames.items())  # lines too
    assert one.other.equals(other.other)
    assert (one.holes, one.clock, one.stacks, one.nr_cpus) == (other.holes, other.clock, other.stacks, other.nr_cpus)
    assert dict(one.unknown_fields) == dict(other.unknown_fields)


@given(recordings())
@settings(max_examples=30, deadline=None)
def test_any_recording_comes_back_from_parquet_as_it_was(events: Events) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_tables(events, Path(folder), meta_of(events))
        assert is_tables(Path(folder))
        assert_same(events, read_tables(Path(folder))[0])


@given(recordings(), st.integers(1, 4))
@settings(max_examples=20, deadline=None)
def test_blocks_of_a_recording_make_the_same_tables_as_the_whole(events: Events, size: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        writer = TablesWriter(Path(folder))
        for name, frame in [*events.frames.items(), ("", events.other)]:
            for start in range(0, len(frame), size):
                writer.block(name, frame[start : start + size])
        writer.finish(events, meta_of(events))
        assert is_tables(Path(folder))
        assert_same(events, read_tables(Path(folder))[0])


def test_meta_says_what_is_in_the_tables_and_what_is_missing(tmp_path: Path) -> None:
    events = read(SAMPLE)
    write_tables(events, tmp_path, meta_of(events))
    said = json.loads((tmp_path / META).read_text())
    assert said["kernel"] == "6.1.0"
    assert said["events"]["balance_dirty_pages"] == 1
    assert said["other"] == {"my_kprobe": 1}
    assert [hole["lost"] for hole in said["holes"]] == [2, 12, -1, -1, -1]
    assert said["columns"]["balance_dirty_pages"]["pause"] == "ms"
    assert said["columns"]["balance_dirty_pages"]["time_ns"] == "ns"
    stacks = pl.read_parquet(tmp_path / "_stacks.parquet")
    assert stacks["functions"].to_list() == [["try_to_free_pages", "__alloc_pages_slowpath"]]


@pytest.mark.parametrize(
    ("broken", "what"),
    [
        (lambda folder: (folder / META).unlink(), "_meta.json"),
        (lambda folder: (folder / META).write_text("{"), "not written by pageout"),
        (lambda folder: (folder / META).write_text("[" * 100_000), "not written by pageout"),
        (lambda folder: (folder / META).write_bytes(b"\xff\x00"), "not written by pageout"),
        (lambda folder: edit(folder, "schema", 99), "schema 99"),
        (lambda folder: edit(folder, "holes", [{"line": 10**30, "cpu": 0, "lost": 0, "why": ""}]), "not written"),
        (lambda folder: edit(folder, "events", {"no_such_event": 1}), "no_such_event"),
        (lambda folder: edit(folder, "events", {"../x": 1}), "no event"),
        (lambda folder: (folder / "mark_victim.parquet").write_bytes(b"PAR1" * 9), "cannot be read"),
        (lambda folder: (folder / "mark_victim.parquet").unlink(), "cannot be read"),
        (lambda folder: pl.DataFrame({"line": [1]}).write_parquet(folder / "mark_victim.parquet"), "has no column"),
        (lambda folder: no_time(folder / "mark_victim.parquet"), "without time_ns"),
        (lambda folder: wrong_type(folder / "mark_victim.parquet"), "cannot be read"),
    ],
)
def test_a_folder_that_is_none_of_ours_is_refused_in_one_line(tmp_path: Path, broken, what: str) -> None:
    events = read("  dd-1 [000] ..... 1.000000: mark_victim: pid=9\n")
    write_tables(events, tmp_path, meta_of(events))
    broken(tmp_path)
    with pytest.raises(TraceError, match=what) as raised:
        read_tables(tmp_path)
    assert str(tmp_path) in str(raised.value)


def edit(folder: Path, key: str, value: object) -> None:
    said = json.loads((folder / META).read_text())
    (folder / META).write_text(json.dumps(said | {key: value}))


def no_time(path: Path) -> None:
    pl.read_parquet(path).with_columns(time_ns=pl.lit(None, pl.Int64)).write_parquet(path)


def wrong_type(path: Path) -> None:
    pl.read_parquet(path).with_columns(time_ns=pl.lit("soon")).write_parquet(path)


def test_a_folder_with_anything_else_in_it_is_not_ours(tmp_path: Path) -> None:
    events = read("  dd-1 [000] ..... 1.000000: mark_victim: pid=9\n")
    write_tables(events, tmp_path, meta_of(events))
    assert is_tables(tmp_path)
    (tmp_path / "notes.txt").touch()
    assert not is_tables(tmp_path)
    (tmp_path / "notes.txt").unlink()
    (tmp_path / "block_rq_issue.parquet").mkdir()
    assert not is_tables(tmp_path)


def test_every_table_has_units_for_every_column() -> None:
    from pageout.events.tables import frame_schema
    from pageout.export.parquet import units

    assert all(set(units(name)) == set(frame_schema(kind)) for name, kind in EVENTS.items())
