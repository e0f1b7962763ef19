# SPDX-License-Identifier: GPL-2.0-or-later
"""Records of a binary recording as lines of text, for evidence: what a kernel would have printed, values by name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import polars as pl

    from pageout.events.tables import Events

_COMMON = ("time_ns", "line", "segment", "cpu", "pid", "comm", "context")


def texts_of_records(events: Events | None, numbers: Iterable[int]) -> dict[int, str]:
    """Return a line for each of these records that is an event."""
    wanted = sorted(set(numbers))
    found: dict[int, str] = {}
    for name, frame in [*events.frames.items(), ("", events.other)] if events is not None else []:
        for row in _rows(frame, wanted):
            found[row["line"]] = _text(name or row["name"], row)
    return found


def _rows(frame: pl.DataFrame, wanted: list[int]) -> Iterator[Mapping[str, Any]]:
    """Yield the rows of these lines; a frame is in the order of its lines."""
    lines = frame["line"]
    for number in wanted:
        at = int(lines.search_sorted(number))
        if at < len(lines) and lines[at] == number:
            yield frame.row(at, named=True)


def _text(name: str, row: Mapping[str, Any]) -> str:
    seconds, ns = divmod(row["time_ns"], 10**9)
    own = {key: value for key, value in row.items() if key not in _COMMON and value is not None}
    payload = own["payload"] if "payload" in own else " ".join(f"{key}={value}" for key, value in own.items())
    comm = row["comm"] if row["comm"] is not None else "<...>"
    return f"{comm}-{row['pid']} [{row['cpu']:03}] {row['context'] or ''} {seconds}.{ns // 1000:06}: {name}: {payload}"
