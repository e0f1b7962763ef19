# SPDX-License-Identifier: GPL-2.0-or-later
"""What a recording says in tables: who waited for what, who worked at it, and what reclaim did."""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import fill
from typing import TYPE_CHECKING, Any, NamedTuple

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from pageout.report.table import WIDTH
from pageout.report.text import number_text, plain

if TYPE_CHECKING:
    import polars as pl

    from pageout.events.tables import Events

SHOWN = 12  # rows of a table
NS_PER_MS = 1e6
GAP = 2  # columns between two columns
LEAST = 14  # a text is not shortened below this: what tells rows apart must stand
KEYS_SHARE = 0.6  # of the width: what the columns that name a row may take, so that figures have room
CUT = "..."


class _Layout(NamedTuple):
    """Columns that name a row, which every part of a table that is too wide begins with, and the figures."""

    title: str
    keys: tuple[str, ...]
    figures: tuple[str, ...]


_WAITS = _Layout(
    "who waited for what (ms; a wait inside another is part of it; at a device: from the first time it was given)",
    ("site", "on", "task"),
    ("cgroup", "waits", "wait_ms", "longest_ms", "unended", "inside"),
)
_HOLDERS = _Layout(
    "who worked at what others wait for (work: pages or requests; busy at a device: from the last time each was given)",
    ("on", "role", "task"),
    ("busy_ms", "work", "waiters", "waited_ms"),
)
_REQUESTS = _Layout(
    "requests by who gave them (latency: from the last time a request was given to the device, whole: from the first; "
    "the driver puts back what it has no room for)",
    ("dev", "op", "comm"),
    (
        "sync",
        "requests",
        "mean_kib",
        "sequential",
        "latency_median_ms",
        "latency_p99_ms",
        "whole_p99_ms",
        "whole_max_ms",
        "depth_mean",
    ),
)
_FLUSHERS = _Layout("flusher work by reason", ("bdi", "cgroup", "reason"), ("passes", "pages", "took_ms", "longest_ms"))


def trace_tables(events: Events, width: int = WIDTH) -> Iterator[RenderableType]:
    """Yield the tables these events allow, the most telling first; none is wider than `width`."""
    from pageout.analysis.block import df_request_totals
    from pageout.analysis.postprocess import summary
    from pageout.analysis.stalls import df_holders, df_wait_totals
    from pageout.analysis.writeback import df_flusher_totals

    for layout, frame in (
        (_WAITS, df_wait_totals.or_none(events)),
        (_HOLDERS, df_holders.or_none(events)),
        (_REQUESTS, df_request_totals.or_none(events)),
        (_FLUSHERS, df_flusher_totals.or_none(events)),
    ):
        if frame is not None and len(frame):
            yield _table(layout, _readable(frame), width)
    reclaim = summary.or_none(events)
    if reclaim is not None:
        head = ("reclaim, as the kernel's post-processing script says it\n", "bold")
        yield Text.assemble(head, plain_lines(reclaim.text()))


def plain_lines(text: str) -> str:
    """Return lines without anything a terminal would obey."""
    return "\n".join(plain(line) for line in text.split("\n"))


def _readable(frame: pl.DataFrame) -> pl.DataFrame:
    """Return a frame with times in ms, tasks as `comm-pid` and sizes in KiB beside its own columns."""
    import polars as pl

    names = [name for name in frame.columns if name.endswith("_ns") and not name.startswith("time_")]
    more = [(pl.col(name) / NS_PER_MS).alias(name.removesuffix("_ns") + "_ms") for name in names]
    if "pid" in frame.columns:
        comm = pl.col("comm").cast(pl.String).fill_null("<...>")
        more.append(pl.concat_str(comm, pl.lit("-"), pl.col("pid")).alias("task"))
    if "mean_bytes" in frame.columns:
        more.append((pl.col("mean_bytes") / 1024).alias("mean_kib"))
    return frame.with_columns(more)


class _Column(NamedTuple):
    head: str
    cells: list[str]
    is_number: bool

    @property
    def width(self) -> int:
        """What it takes without breaking a word: of its head, which may stand on several lines, or of a cell."""
        return max(len(word) for word in (*self.head.split(), *self.cells))

    def within(self, width: int) -> _Column:
        """Return the column with texts shortened to a width."""
        if self.is_number:
            return self
        return self._replace(cells=[_shortened(cell, width) for cell in self.cells])


def _shortened(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - len(CUT)] + CUT


def _table(layout: _Layout, frame: pl.DataFrame, width: int) -> RenderableType:
    """Return the first rows of a frame, in as many parts as the width asks for, without columns that say nothing."""
    shown = frame.head(SHOWN)

    def column(name: str) -> _Column:
        cells = [_cell(value) for value in shown[name].to_list()]
        return _Column(name.replace("_", " "), cells, frame[name].dtype.is_numeric())

    kept = [name for name in (*layout.keys, *layout.figures) if _says_something(frame[name])]
    keys = _fitting([column(name) for name in kept if name in layout.keys], int(width * KEYS_SHARE))
    room = width - sum(one.width + GAP for one in keys)
    parts: list[list[_Column]] = [[]]
    used = 0
    for one in (column(name).within(max(room, LEAST)) for name in kept if name in layout.figures):
        if parts[-1] and used + one.width > room:
            parts.append([])
            used = 0
        parts[-1].append(one)
        used += one.width + GAP
    found: list[RenderableType] = [Text(layout.title, "bold")]
    found += [_part([*keys, *part]) for part in parts]
    if len(frame) > SHOWN:
        found.append(Text(f"and {len(frame) - SHOWN:,} more rows", "italic"))
    return Group(*found)


def _says_something(values: pl.Series) -> bool:
    return values.null_count() < len(values) and (values.name != "unended" or values.sum() > 0)


def _fitting(columns: list[_Column], width: int) -> list[_Column]:
    """Return columns whose texts are shortened, the longest first, until all fit or none can be shorter."""
    found = list(columns)
    while sum(one.width + GAP for one in found) > width:
        widest = max((one for one in found if not one.is_number), key=lambda one: one.width, default=None)
        if widest is None or widest.width <= max(LEAST, *map(len, widest.head.split())):
            break
        found[found.index(widest)] = widest.within(widest.width - 1)
    return found


def _part(columns: list[_Column]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
    for one in columns:
        head = fill(one.head, one.width, break_long_words=False)
        table.add_column(head, justify="right" if one.is_number else "left", no_wrap=True, width=one.width)
    for row in zip(*(one.cells for one in columns), strict=True):
        table.add_row(*(Text(cell) for cell in row))
    return table


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return number_text(value) if isinstance(value, int | float) else plain("-" if value is None else value)
