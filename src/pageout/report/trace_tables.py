# SPDX-License-Identifier: GPL-2.0-or-later
"""What a recording says in tables: who waited for what, who worked at it, and what reclaim did."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from pageout.report.text import literal, number_text, plain

if TYPE_CHECKING:
    import polars as pl

    from pageout.events.tables import Events

SHOWN = 12  # rows of a table
NS_PER_MS = 1e6
_WAITS = ("site", "on", "cgroup", "task", "waits", "wait_ms", "longest_ms", "unended", "inside")
_HOLDERS = ("on", "role", "task", "busy_ms", "work", "waiters", "waited_ms")
_REQUESTS = (
    "dev", "op", "sync", "comm", "requests", "mean_kib", "sequential", "latency_median_ms", "latency_p99_ms",
    "depth_mean",
)  # fmt: skip
_FLUSHERS = ("bdi", "cgroup", "reason", "passes", "pages", "took_ms", "longest_ms")


def trace_tables(events: Events) -> Iterator[RenderableType]:
    """Yield the tables these events allow, the most telling first."""
    from pageout.analysis.block import df_request_totals
    from pageout.analysis.postprocess import summary
    from pageout.analysis.stalls import df_holders, df_wait_totals
    from pageout.analysis.writeback import df_flusher_totals

    for title, frame, columns in (
        ("who waited for what (ms; a wait inside another is part of it)", df_wait_totals.or_none(events), _WAITS),
        ("who worked at what others wait for (work: pages or requests)", df_holders.or_none(events), _HOLDERS),
        ("requests by who gave them", df_request_totals.or_none(events), _REQUESTS),
        ("flusher work by reason", df_flusher_totals.or_none(events), _FLUSHERS),
    ):
        if frame is not None and len(frame):
            yield _table(title, _readable(frame), columns)
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


def _table(title: str, frame: pl.DataFrame, columns: Sequence[str]) -> RenderableType:
    """Return the first rows of a frame; columns that say nothing are left out."""
    table = Table(box=None, pad_edge=False, title=title, title_justify="left", title_style="bold", header_style="bold")
    kept = [name for name in columns if frame[name].null_count() < len(frame)]
    for name in kept:
        table.add_column(
            name.replace("_", " "), justify="right" if frame[name].dtype.is_numeric() else "left", overflow="fold"
        )
    for row in frame.head(SHOWN).iter_rows(named=True):
        table.add_row(*(_cell(row[name]) for name in kept))
    if len(frame) > SHOWN:
        table.caption = f"and {len(frame) - SHOWN:,} more rows"
        table.caption_justify = "left"
    return table


def _cell(value: Any) -> Text:
    if isinstance(value, bool):
        return Text("yes" if value else "no")
    return Text(number_text(value)) if isinstance(value, int | float) else literal("-" if value is None else value)
