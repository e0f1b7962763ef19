# SPDX-License-Identifier: GPL-2.0-or-later
"""Events as a folder of Parquet tables, one an event, and back.

EVENT.parquet has COMMON and the event's own columns; _other.parquet the events in no row, with their payload;
_stacks.parquet the kernel stacks recorded with events; _meta.json where they come from, what is missing, and what the
columns mean.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
import polars as pl

from pageout.events.tables import Events, Hole, frame_schema
from pageout.vocabulary.errors import TraceError
from pageout.vocabulary.json_words import json_words
from pageout.vocabulary.schema import EVENTS

SCHEMA = 1  # raised when a table's columns change their meaning
META, OTHER, STACKS, SUFFIX = "_meta.json", "_other", "_stacks", ".parquet"
STACKS_SCHEMA: dict[str, Any] = {"line": pl.UInt32, "functions": pl.List(pl.String)}  # innermost first
NEVER_NULL = ("line", "time_ns", "segment")
PART_ROWS = 1 << 16
MAX_META = 1 << 28
COMMON_UNITS = {
    "time_ns": "ns", "line": "of the input, from 1", "segment": "from 0, one more at each hole",
    "cpu": "", "pid": "", "comm": "", "context": "irqs-off, need-resched, irq, preempt-depth, as printed",
}  # fmt: skip


_Number = Annotated[int, msgspec.Meta(ge=-1, le=(1 << 63) - 1)]


class Lost(msgspec.Struct):
    """A hole: events are missing before `line`. cpu -1: all or unknown; lost -1: nobody counted."""

    line: _Number
    cpu: _Number
    lost: _Number
    why: str


class Meta(msgspec.Struct, kw_only=True):
    """What _meta.json says."""

    pageout: str  # the version that wrote it
    schema: int
    input: dict[str, Any]  # file, kind, lines, events, known_non_events, unread, lost, as `explain --json` has them
    kernel: str | None
    clock: str
    nr_cpus: _Number | None = None  # of the machine, as the trace's header said
    holes: list[Lost]
    unknown_fields: dict[str, dict[str, int]]  # event -> field of the text that is in no column -> how often
    events: dict[str, int]  # rows of each table
    other: dict[str, int]  # events in _other.parquet by name
    columns: dict[str, dict[str, str]]  # event -> column -> unit


class TablesWriter:
    """Writes blocks of frames into a folder; each table becomes one file when all are there.

    A block waits for others of its event until PART_ROWS are worth a part of a file: what a recording's size decides
    is the disk's to hold.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._waiting: dict[str, list[pl.DataFrame]] = {}
        self._parts: Counter[str] = Counter()
        self._rows: Counter[str] = Counter()
        self._other: Counter[str] = Counter()

    @property
    def nr_events(self) -> int:
        """How many events have been given to this writer."""
        return self._rows.total()

    def block(self, name: str, frame: pl.DataFrame) -> None:
        """Write some rows of an event, "" for those in no row, which come after its rows written before."""
        if not len(frame):
            return
        table = name or OTHER
        self._rows[table] += len(frame)
        if not name:
            self._other.update(dict(frame.group_by(pl.col("name").cast(pl.String)).len().iter_rows()))
        waiting = self._waiting.setdefault(table, [])
        waiting.append(frame)
        if sum(map(len, waiting)) >= PART_ROWS:
            self._write(table)

    def _write(self, table: str) -> None:
        self._parts[table] += 1
        part = self._part(table, self._parts[table])
        pl.concat(self._waiting.pop(table)).write_parquet(part, compression="zstd")

    def _part(self, name: str, number: int) -> Path:
        return self._folder / f"{name}.{number:06}.part"

    def finish(self, events: Events, about: Meta) -> Meta:
        """Make one file of each table's parts, and write _meta.json: `about` with what was counted here.

        events:  for what is no frame of it
        """
        for table in list(self._waiting):
            self._write(table)
        for name, count in sorted(self._parts.items()):
            parts = [self._part(name, number) for number in range(1, count + 1)]
            whole = self._folder / (name + SUFFIX)
            if count == 1:
                parts[0].rename(whole)
                continue
            pl.scan_parquet(parts).sink_parquet(whole, compression="zstd", maintain_order=True)
            for part in parts:
                part.unlink()
        if not self._parts[OTHER]:
            Events().other.write_parquet(self._folder / (OTHER + SUFFIX))
        if events.stacks:
            rows = {"line": list(events.stacks), "functions": [list(stack) for stack in events.stacks.values()]}
            frame = pl.DataFrame(rows, schema=STACKS_SCHEMA).sort("line")
            frame.write_parquet(self._folder / (STACKS + SUFFIX), compression="zstd")
        about.events = {name: count for name, count in sorted(self._rows.items()) if name != OTHER}
        about.other = dict(self._other.most_common())
        about.columns = {name: units(name) for name in about.events}
        text = msgspec.json.format(msgspec.json.encode(about), indent=1)
        (self._folder / META).write_bytes(text + b"\n")
        return about


def units(name: str) -> dict[str, str]:
    """Return {column: unit} of an event's table."""
    return COMMON_UNITS | {column.name: column.unit for column in EVENTS[name].columns}


def about(events: Events, version: str, source: Mapping[str, Any], kernel: str | None) -> Meta:
    """Return what _meta.json says of a recording; the tables' own numbers come when they are written."""
    fields: dict[str, dict[str, int]] = {}
    for (event, key), count in sorted(events.unknown_fields.items()):
        fields.setdefault(event, {})[key] = count
    return Meta(
        pageout=version, schema=SCHEMA, input=dict(source), kernel=kernel, clock=events.clock, nr_cpus=events.nr_cpus,
        holes=[Lost(*hole) for hole in events.holes], unknown_fields=fields, events={}, other={}, columns={},
    )  # fmt: skip


def write_tables(events: Events, folder: Path, meta: Meta, progress: Callable[[float], None] = lambda _: None) -> Meta:
    """Write a recording that is in memory."""
    writer = TablesWriter(folder)
    for number, (name, frame) in enumerate(sorted(events.frames.items())):
        progress(number / len(events.frames))
        writer.block(name, frame)
    writer.block("", events.other)
    return writer.finish(events, meta)


def is_tables(folder: Path) -> bool:
    """Say whether a folder is one that this module writes: its _meta.json and tables, and nothing else."""
    found = {path.name for path in folder.iterdir()}
    return META in found and all(_is_ours(name) for name in found) and all(map(Path.is_file, folder.iterdir()))


def _is_ours(name: str) -> bool:
    table = name.removesuffix(SUFFIX)
    return name == META or (table != name and (table in (OTHER, STACKS) or table in EVENTS))


def read_meta(folder: Path) -> Meta:
    """Read a folder's _meta.json.  Raises TraceError if there is none, or it is none of ours."""
    path = folder / META
    try:
        if path.stat().st_size > MAX_META:
            raise TraceError(f"{path}: {path.stat().st_size:,} bytes: not written by pageout")
        found = msgspec.json.decode(path.read_bytes(), type=Meta)
    except OSError as error:
        raise TraceError(
            f"{folder}: a folder without {META} ({error.strerror}): name a trace, or a folder that convert wrote"
        ) from None
    except (msgspec.DecodeError, msgspec.ValidationError, RecursionError) as error:
        raise TraceError(f"{path}: not written by pageout: {json_words(error)}: convert the trace again") from None
    if found.schema != SCHEMA:
        raise TraceError(f"{path}: schema {found.schema}, this pageout reads {SCHEMA}: convert the trace again")
    return found


def read_tables(folder: Path) -> tuple[Events, Meta]:
    """Read a folder of tables back.  Raises TraceError if it is none, or a table is not what the schema says."""
    meta = read_meta(folder)
    frames = {name: _read(folder, name, frame_schema(EVENTS[name])) for name in _tables(folder, meta)}
    other = _read(folder, OTHER, Events().other.schema)
    holes = tuple(Hole(hole.line, hole.cpu, hole.lost, hole.why) for hole in meta.holes)
    fields = {(event, key): count for event, keys in meta.unknown_fields.items() for key, count in keys.items()}
    stacks: dict[int, tuple[str, ...]] = {}
    if (folder / (STACKS + SUFFIX)).exists():
        rows = _read(folder, STACKS, STACKS_SCHEMA).iter_rows()
        stacks = {line: tuple(map(str, functions)) for line, functions in rows}
    return Events(frames, other, holes, meta.clock, fields, stacks, meta.nr_cpus), meta


def _tables(folder: Path, meta: Meta) -> Iterator[str]:
    for name in sorted(meta.events):
        if name not in EVENTS:
            raise TraceError(f"{folder / META}: {name!r}: no event of this pageout: convert the trace again")
        yield name


def _read(folder: Path, name: str, schema: Mapping[str, Any]) -> pl.DataFrame:
    path = folder / (name + SUFFIX)
    try:
        found = pl.read_parquet(path, hive_partitioning=False, glob=False)
        missing = [column for column in schema if column not in found.columns]
        if missing:
            raise TraceError(f"{path}: has no column {missing[0]}: convert the trace again")
        found = found.select(pl.col(column).cast(dtype) for column, dtype in schema.items())
    except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        reason = str(error).strip().partition("\n")[0]
        raise TraceError(f"{path}: cannot be read ({reason}): convert the trace again") from None
    for column in (*NEVER_NULL, "name", "payload", "functions") if name in (OTHER, STACKS) else NEVER_NULL:
        if column in schema and found[column].null_count():
            raise TraceError(f"{path}: a row without {column}: convert the trace again")
    return found.sort("line", maintain_order=True)
