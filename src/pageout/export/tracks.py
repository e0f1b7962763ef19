# SPDX-License-Identifier: GPL-2.0-or-later
"""What is drawn of a recording, and where: spans, instants and levels on tracks.

No span crosses a hole. A begin whose end was not seen, and an end whose begin was not, are instants that say so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from pageout.events.tables import COMMON, Events
from pageout.export.spans import Array, pair
from pageout.vocabulary.schema import EVENTS

MAX_PAUSE_MS = 1000  # a kernel's longest is 200; more is a counter that wrapped
MAX_DELAY_US = 600_000_000
MAX_NAME = 100
_MAX = (1 << 63) - 1
HOLES = "holes"  # the category of marks of missing events

# What a track is known by: ("task", pid), with what lies below it; ("flusher", bdi); ("disk", dev); a lone word.
Owner = tuple[Any, ...]


class Level(NamedTuple):
    """A column drawn as a counter; the unit is the schema's."""

    event: str
    column: str
    of: str  # column that names what it belongs to, "" for the machine


class Bracket(NamedTuple):
    """Two events around something, and the columns that must be equal in both."""

    begin: str
    end: str
    keys: tuple[str, ...]
    name: str
    owner: str  # "task": who emitted it; "flusher": of its bdi; "disk": of its dev
    first_counts: bool = False


BRACKETS = (
    Bracket("mm_vmscan_direct_reclaim_begin", "mm_vmscan_direct_reclaim_end", ("pid",), "direct reclaim", "task"),
    Bracket("mm_vmscan_memcg_reclaim_begin", "mm_vmscan_memcg_reclaim_end", ("pid",), "memcg reclaim", "task"),
    Bracket("mm_vmscan_memcg_softlimit_reclaim_begin", "mm_vmscan_memcg_softlimit_reclaim_end", ("pid",),
            "memcg softlimit reclaim", "task"),
    Bracket("mm_vmscan_node_reclaim_begin", "mm_vmscan_node_reclaim_end", ("pid",), "node reclaim", "task"),
    Bracket("mm_vmscan_kswapd_wake", "mm_vmscan_kswapd_sleep", ("pid", "nid"), "kswapd awake", "task", True),
    Bracket("mm_compaction_kcompactd_wake", "mm_compaction_kcompactd_sleep", ("pid", "nid"), "kcompactd awake", "task",
            True),
    Bracket("mm_compaction_begin", "mm_compaction_end", ("pid",), "compaction", "task"),
    Bracket("mm_shrink_slab_start", "mm_shrink_slab_end", ("pid", "shrinker"), "shrink_slab", "task"),
    Bracket("writeback_start", "writeback_written", ("pid", "bdi"), "writeback", "flusher"),
    Bracket("writeback_single_inode_start", "writeback_single_inode", ("pid", "bdi", "ino"), "inode", "flusher"),
    Bracket("block_rq_issue", "block_rq_complete", ("dev", "sector"), "request", "disk"),
)  # fmt: skip
# Emitted when a wait is over, with how long it was.
WAITS = (
    ("mm_vmscan_throttled", "reclaim_throttle"),
    ("writeback_congestion_wait", "congestion_wait"),
    ("writeback_wait_iff_congested", "wait_iff_congested"),
)
DELAY = "usec_delayed"
LEVELS = (
    *(Level("global_dirty_state", column, "")
      for column in ("dirty", "writeback", "unstable", "bg_thresh", "thresh", "limit")),
    *(Level("balance_dirty_pages", column, "bdi") for column in ("bdi_dirty", "bdi_setpoint")),
    *(Level("bdi_dirty_ratelimit", column, "bdi") for column in ("write_bw", "awrite_bw", "dirty_ratelimit")),
    Level("reclaim_retry_zone", "available", "zone"),
)  # fmt: skip
INSTANTS = (
    "mm_vmscan_wakeup_kswapd", "mm_compaction_wakeup_kcompactd", "mm_compaction_try_to_compact_pages",
    "writeback_queue", "writeback_exec", "writeback_wait", "writeback_wake_background", "writeback_wake_thread",
    "writeback_wake_forker_thread", "mark_victim", "wake_reaper", "start_task_reaping", "finish_task_reaping",
    "skip_task_reaping", "reclaim_retry_zone", "compact_retry", "block_rq_requeue", "block_rq_error",
)  # fmt: skip


@dataclass
class Spans:
    """Spans of one kind. `at_begin` and `at_end` have a row a span: what is said of it where it begins and ends."""

    category: str
    names: Sequence[str]
    owners: Sequence[Owner]
    begin: Sequence[int]  # ns
    end: Sequence[int]
    at_begin: pl.DataFrame
    at_end: pl.DataFrame
    overlap: bool = False  # several at a time are usual: beside each other, never within


@dataclass
class Instants:
    """Instants of one kind."""

    category: str
    names: Sequence[str]
    owners: Sequence[Owner]
    times: Sequence[int]
    said: pl.DataFrame


@dataclass
class Counter:
    """A level over time."""

    name: str
    owner: Owner
    unit: str
    times: Sequence[int]
    values: Sequence[int]


@dataclass
class Drawing:
    """All that is drawn, and the names of tasks."""

    spans: list[Spans] = field(default_factory=list)
    instants: list[Instants] = field(default_factory=list)
    counters: list[Counter] = field(default_factory=list)
    comms: dict[int, str] = field(default_factory=dict)  # the last name a pid was seen with
    not_drawn: dict[str, int] = field(default_factory=dict)  # events of which nothing is shown


def draw(events: Events) -> Drawing:
    """Return what is drawn of a recording."""
    found = Drawing(comms=_comms(events))
    drawn: set[str] = set()
    time_line = _TimeLine(events)
    for bracket in BRACKETS:
        drawn |= _bracket(found, events, bracket)
    for name, label in WAITS:
        drawn |= _wait(found, events, name, label, time_line)
    drawn |= _throttling(found, events)
    for level in LEVELS:
        drawn |= _level(found, events, level)
    for name in INSTANTS:
        if name in events:
            frame = events.frame(name)
            drawn.add(name)
            owners = [("task", pid) for pid in _pids(frame)]
            _instants(found, frame, [name] * len(frame), owners)
    _holes(found, events, time_line)
    found.not_drawn = {name: len(frame) for name, frame in events.frames.items() if name not in drawn}
    found.not_drawn |= events.other_names()
    return found


def _comms(events: Events) -> dict[int, str]:
    parts = [frame.select("line", "pid", "comm") for frame in (*events.frames.values(), events.other) if len(frame)]
    if not parts:
        return {}
    last = pl.concat(parts).drop_nulls().sort("line").group_by("pid").last()
    return dict(last.select("pid", pl.col("comm").cast(pl.String)).iter_rows())


def _pids(frame: pl.DataFrame) -> list[int]:
    return frame["pid"].fill_null(0).clip(0).to_list()


def _times(frame: pl.DataFrame) -> Array:
    return frame["time_ns"].fill_null(0).clip(0).to_numpy()


def _own(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.drop(COMMON)


def _words(values: pl.Series, otherwise: str) -> list[str]:
    return [word[:MAX_NAME] for word in values.cast(pl.String).fill_null(otherwise).to_list()]


def _owners(frame: pl.DataFrame, kind: str) -> list[Owner]:
    if kind == "task":
        return [("task", pid) for pid in _pids(frame)]
    column = "dev" if kind == "disk" else "bdi"
    return [(kind, word) for word in _words(frame[column], "unknown")]


def _names(frame: pl.DataFrame, bracket: Bracket) -> list[str]:
    """Return what spans are called: a flusher's work by its reason, a request by its letters."""
    if bracket.begin == "writeback_start":
        return _reasons(frame)
    if bracket.owner == "disk":
        return _words(frame["rwbs"], bracket.name)
    return [bracket.name] * len(frame)


def _reasons(frame: pl.DataFrame) -> list[str]:
    """Return why a flusher works; before 3.2 the event does not say, but two of its fields do."""
    if "reason" in frame.columns and frame["reason"].null_count() < len(frame):
        return _words(frame["reason"], "writeback")
    guess = pl.when(pl.col("background") != 0).then(pl.lit("background"))
    return frame.select(guess.when(pl.col("kupdate") != 0).then(pl.lit("periodic")).otherwise(pl.lit("writeback")))[
        "literal"
    ].to_list()


def _system(name: str) -> str:
    return EVENTS[name].system if name in EVENTS else "pageout"


def _instants(
    found: Drawing, frame: pl.DataFrame, names: Sequence[str], owners: Sequence[Owner], category: str = "instant"
) -> None:
    if len(frame):
        found.instants.append(Instants(category, names, owners, _times(frame).tolist(), _own(frame)))


def _bracket(found: Drawing, events: Events, bracket: Bracket) -> set[str]:
    names = {bracket.begin, bracket.end} & set(events.frames)
    if not names or not {bracket.begin, bracket.end} <= set(EVENTS):
        return set()
    begins, ends = events.frame(bracket.begin), events.frame(bracket.end)
    pairs = pair(begins, ends, bracket.keys, bracket.first_counts)
    begin, end = begins[pairs.begin], ends[pairs.end]
    category = _system(bracket.begin)
    if len(begin):
        said = _own(begin)
        if bracket.owner != "task":  # whose context it was is nowhere else to be seen
            said = said.with_columns(begin["pid"].alias("by_pid"), begin["comm"].alias("by_comm"))
        found.spans.append(
            Spans(
                category,
                _names(begin, bracket),
                _owners(begin, bracket.owner),
                _times(begin).tolist(),
                _times(end).tolist(),
                said,
                _own(end),
                bracket.owner == "disk",
            )
        )
    for frame, rows, what in (
        (begins, pairs.open_begin, " (end not seen)"),
        (ends, pairs.open_end, " (begin not seen)"),
        (begins, pairs.again, " (again)" if bracket.first_counts else " (begun again, end not seen)"),
    ):
        rest = frame[rows]
        _instants(found, rest, [bracket.name + what] * len(rest), _owners(rest, bracket.owner), category)
    return names


class _TimeLine:
    """When lines were, across all events, and where segments begin."""

    def __init__(self, events: Events) -> None:
        columns = ("line", "time_ns", "segment", "pid")
        frames = [frame.select(columns) for frame in (*events.frames.values(), events.other) if len(frame)]
        self.table = pl.concat(frames).sort("line") if frames else events.other.select(columns)
        first = self.table.group_by("segment").agg(pl.col("time_ns").min())
        self._segments: dict[int, int] = dict(first.iter_rows())

    def segment_begins(self, segments: pl.Series) -> Array:
        """Return the first time of each segment; of the first one 0, for nothing is missing before it."""
        first = min(self._segments, default=0)
        return np.array([0 if n == first else max(self._segments[n], 0) for n in segments.to_list()], np.int64)

    def at(self, line: int) -> int:
        """Return the time of the first event from a line on, of the last one if none comes."""
        if not len(self.table):
            return 0
        row = min(int(np.searchsorted(self.table["line"].to_numpy(), line)), len(self.table) - 1)
        return max(int(self.table["time_ns"][row]), 0)


def _wait(found: Drawing, events: Events, name: str, label: str, time_line: _TimeLine) -> set[str]:
    """Draw waits that are reported when they are over."""
    if name not in events:
        return set()
    frame = events.frame(name)
    sane = frame[DELAY].is_between(0, MAX_DELAY_US).fill_null(False)
    waits = frame.filter(sane)
    rest = frame.filter(~sane)
    _instants(found, rest, [label] * len(rest), [("task", pid, "waits") for pid in _pids(rest)], _system(name))
    if len(waits):
        end = _times(waits)
        begin = np.maximum(end - waits[DELAY].cast(pl.Int64).to_numpy() * 1000, 0)
        begin = np.minimum(np.maximum(begin, time_line.segment_begins(waits["segment"])), end)
        names = [label] * len(waits)
        if "reason" in waits.columns:
            names = [f"{label} {word}".strip() for word in _words(waits["reason"], "")]
        owners = [("task", pid, "waits") for pid in _pids(waits)]
        none = pl.DataFrame()
        found.spans.append(Spans(_system(name), names, owners, begin.tolist(), end.tolist(), _own(waits), none))
    return {name}


def _throttling(found: Drawing, events: Events) -> set[str]:
    """Draw the pauses of balance_dirty_pages: as long as asked for, but not beyond what the task did next."""
    name = "balance_dirty_pages"
    if name not in events:
        return set()
    frame = events.frame(name)
    sane = frame["pause"].is_between(1, MAX_PAUSE_MS).fill_null(False)
    paused, rest = frame.filter(sane), frame.filter(~sane)
    _instants(found, rest, ["no pause"] * len(rest), [("task", pid, name) for pid in _pids(rest)], _system(name))
    if len(paused):
        begin = _times(paused)
        asked = begin + paused["pause"].to_numpy() * 1_000_000
        end = np.maximum(np.minimum(asked, _next_of_task(events, paused)), begin)
        owners = [("task", pid, name) for pid in _pids(paused)]
        names = ["throttled"] * len(paused)
        none = pl.DataFrame()
        found.spans.append(Spans(_system(name), names, owners, begin.tolist(), end.tolist(), _own(paused), none))
    return {name}


def _next_of_task(events: Events, rows: pl.DataFrame) -> Array:
    """Return when the task of each row was seen next, or its segment's last time if another segment follows."""
    columns = ("line", "time_ns", "segment", "pid")
    pids = rows["pid"].unique().drop_nulls()
    every = pl.concat(frame.select(columns) for frame in (*events.frames.values(), events.other) if len(frame))
    last = int(every["segment"].max())  # type: ignore[arg-type]
    ends = every.group_by("segment").agg(pl.col("time_ns").max().alias("segment_end"))
    theirs = every.filter(pl.col("pid").is_in(pids.implode())).sort("line")
    theirs = theirs.with_columns(pl.col("time_ns").shift(-1).over("segment", "pid").alias("next"))
    joined = rows.select("line", "segment", "pid").join(
        theirs.select("line", "pid", "segment", "next").unique(["line", "pid", "segment"]),
        on=["line", "pid", "segment"], how="left", maintain_order="left", nulls_equal=True,
    ).join(ends, on="segment", how="left", maintain_order="left")  # fmt: skip
    border = pl.when(pl.col("segment") < last).then(pl.col("segment_end")).otherwise(pl.lit((1 << 63) - 1))
    return joined.select(pl.min_horizontal("next", border).alias("next"))["next"].to_numpy()


def _level(found: Drawing, events: Events, level: Level) -> set[str]:
    if level.event not in events or level.event not in EVENTS:
        return set()
    frame, kind = events.frame(level.event), EVENTS[level.event]
    if level.column not in frame.columns or (level.of and level.of not in frame.columns):
        return set()
    unit = kind.columns[kind.index_of(level.column)].unit
    rows = frame.filter(pl.col(level.column).is_not_null())
    groups: Iterator[tuple[str, pl.DataFrame]] = iter([("", rows)])
    if level.of:
        by = rows.with_columns(pl.col(level.of).cast(pl.String).fill_null("unknown")).partition_by(
            level.of, as_dict=True, maintain_order=True
        )
        groups = ((str(key[0])[:MAX_NAME], part) for key, part in by.items())
    for of, part in groups:
        if len(part):
            owner = (level.of, of) if of else ("memory",)
            values = part[level.column].to_list()
            found.counters.append(Counter(level.column, owner, unit, _times(part).tolist(), values))
    return {level.event}


def _holes(found: Drawing, events: Events, time_line: _TimeLine) -> None:
    """Draw each hole where the recording goes on after it."""
    if events.holes:
        said = pl.DataFrame(
            [(hole.line, hole.cpu, min(hole.lost, _MAX), hole.why) for hole in events.holes],
            schema={"line": pl.Int64, "cpu": pl.Int64, "lost": pl.Int64, "why": pl.String},
            orient="row",
        )
        times = [time_line.at(hole.line) for hole in events.holes]
        names = ["events missing before here"] * len(times)
        found.instants.append(Instants(HOLES, names, [("holes",)] * len(times), times, said))
