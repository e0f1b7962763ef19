# SPDX-License-Identifier: GPL-2.0-or-later
"""Events as the text tracefs prints, so that every tool which reads that can read them.

Source: Linux v6.1 kernel/trace/trace.c:print_lat_help_header, print_func_help_header_irq;
kernel/trace/trace_output.c:trace_print_context.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import IO

import numpy as np
import polars as pl

from pageout.events.tables import Events, Hole
from pageout.export.payloads import UNKNOWN_COMM, escaped, groups, payloads, printable
from pageout.vocabulary.schema import EVENTS

CHUNK_EVENTS = 1 << 17
MAX_COMM = 255  # a kernel's own names have 15
BARE_CLOCKS = ("counter", "tsc", "x86-tsc")
CUT = "..."

_HEADER = "# tracer: nop\n#\n# entries-in-buffer/entries-written: {}/{}\n#\n"
# By the number of characters a context has: none before 3.x, migrate-disable since 5.11.
_COLUMNS = {
    0: """\
#           TASK-PID    CPU#    TIMESTAMP  FUNCTION
#              | |       |          |         |
""",
    4: """\
#                                _-----=> irqs-off
#                               / _----=> need-resched
#                              | / _---=> hardirq/softirq
#                              || / _--=> preempt-depth
#                              ||| /     delay
#           TASK-PID     CPU#  ||||   TIMESTAMP  FUNCTION
#              | |         |   ||||      |         |
""",
    5: """\
#                                _-----=> irqs-off/BH-disabled
#                               / _----=> need-resched
#                              | / _---=> hardirq/softirq
#                              || / _--=> preempt-depth
#                              ||| / _-=> migrate-disable
#                              |||| /     delay
#           TASK-PID     CPU#  |||||  TIMESTAMP  FUNCTION
#              | |         |   |||||     |         |
""",
}
_SPOOF = re.compile(r"-\d{1,10}\s.*\d\.\d+:\s", re.DOTALL)  # a comm that could be taken for the rest of a line


def write_text(events: Events, out: IO[bytes], progress: Callable[[float], None] = lambda _: None) -> None:
    """Write events as ftrace text, in the order of their lines.

    Times have microseconds, nanoseconds if one event needs them. A hole is a LOST line, the header's own words for
    overwritten events, or `...`; a task without a name is `<...>`, one without a number has 0.
    """
    holes = list(events.holes)
    lost = 0
    if holes and holes[0].why == "overwritten" and holes[0].line <= _first_line(events):
        lost = max(holes.pop(0).lost, 0)
    out.write((_HEADER.format(len(events), len(events) + lost) + _columns(events)).encode())
    segment = None if not events.holes else 0
    digits = 6 if all((frame["time_ns"] % 1000 == 0).all() for frame in _frames(events)) else 9
    for fraction, chunk in _chunks(events):
        lines, segment, holes = _lines(chunk, events.clock, digits, segment, holes)
        out.write(("\n".join(lines) + "\n").encode("utf-8", "backslashreplace") if lines else b"")
        progress(fraction)
    for hole in holes:
        out.write((_hole_text(hole) + "\n").encode())


def _frames(events: Events) -> Iterator[pl.DataFrame]:
    yield from events.frames.values()
    if len(events.other):
        yield events.other


def _first_line(events: Events) -> int:
    return min((int(frame["line"][0]) for frame in _frames(events) if len(frame)), default=0)


def _columns(events: Events) -> str:
    """Return the lines that name the columns, with as many for the context as its longest has characters."""
    lengths = (frame["context"].cast(pl.String).str.len_chars().max() for frame in _frames(events))
    longest = max((int(length) for length in lengths if isinstance(length, int)), default=0)
    return _COLUMNS[min(longest, 5) if longest >= 4 else 0]


def _chunks(events: Events) -> Iterator[tuple[float, dict[str, pl.DataFrame]]]:
    """Yield events of some lines at a time, with the share of all lines that is then done."""
    last = max((int(frame["line"][-1]) for frame in _frames(events) if len(frame)), default=-1)
    step = max(1, (last + 1) * CHUNK_EVENTS // max(len(events), 1))
    tables = dict(events.frames) | {"": events.other}
    numbers = {name: frame["line"].to_numpy() for name, frame in tables.items()}
    for begin in range(0, last + 1, step):
        chunk = {}
        for name, frame in tables.items():
            low, high = np.searchsorted(numbers[name], [begin, begin + step])
            if high > low:
                chunk[name] = frame[int(low) : int(high)]
        if chunk:
            yield min(1.0, (begin + step) / (last + 1)), chunk


def _lines(
    chunk: dict[str, pl.DataFrame], clock: str, digits: int, segment: int | None, holes: list[Hole]
) -> tuple[list[str], int | None, list[Hole]]:
    """Return the lines of a chunk, the segment it ends in, and the holes that come later."""
    texts = []
    for name, frame in chunk.items():
        if name:
            kind = EVENTS[name]
            for rows, present in groups(kind, frame):
                texts.append(_event_lines(rows, f"{name}: ", payloads(kind, rows, present), clock, digits))
        else:
            names = printable(frame["name"].cast(pl.String)) + ": "
            texts.append(_event_lines(frame, names, printable(frame["payload"].fill_null("")), clock, digits))
    table = pl.concat(texts).sort("line", maintain_order=True)
    found: list[str] = []
    at = 0
    for line, number, text in table.iter_rows():
        holed = segment is None or segment == number
        while at < len(holes) and holes[at].line <= line:
            found.append(_hole_text(holes[at]))
            at, holed = at + 1, True
        if not holed:
            found.append(CUT)
        segment = number
        found.append(text)
    return found, segment, holes[at:]


def _event_lines(
    rows: pl.DataFrame, name: str | pl.Series, payload: pl.Series, clock: str, digits: int
) -> pl.DataFrame:
    prefix = [
        pl.lit(_comms(rows["comm"])),
        pl.lit("-"),
        pl.col("pid").fill_null(0).clip(0).cast(pl.String).str.pad_end(7),
        pl.format(" [{}]", pl.col("cpu").clip(0).cast(pl.String).str.zfill(3)).fill_null(""),
        pl.format(" {}", pl.lit(_contexts(rows["context"]))).fill_null(""),
        pl.lit(" "),
        *_time(clock, digits),
        pl.lit(": "),
    ]
    text = pl.concat_str([*prefix, pl.lit(name), pl.lit(payload)]).str.strip_chars_end()
    return rows.select("line", "segment", text.alias("text"))


def _time(clock: str, digits: int) -> list[pl.Expr]:
    time = pl.col("time_ns").clip(0)
    if clock in BARE_CLOCKS:
        return [time.cast(pl.String).str.pad_start(12)]
    seconds = (time // 10**9).cast(pl.String).str.pad_start(5)
    fraction = (time % 10**9 // 10 ** (9 - digits)).cast(pl.String).str.zfill(digits)
    return [seconds, pl.lit("."), fraction]


def _comms(comms: pl.Series) -> pl.Series:
    """Return names right-justified as the kernel does, none of which can be taken for more than a name."""
    texts = comms.cast(pl.String).fill_null(UNKNOWN_COMM)
    different = texts.unique().to_list()
    return texts.replace_strict(different, [f"{comm_text(comm):>16}" for comm in different], return_dtype=pl.String)


def comm_text(comm: str) -> str:
    """Return a task's name as it can stand in a line."""
    shown = escaped(comm, MAX_COMM)
    return re.sub(r":(?=\s)", ";", shown) if _SPOOF.search(shown) else shown


def _contexts(contexts: pl.Series) -> pl.Series:
    texts = contexts.cast(pl.String)
    odd = [word for word in texts.unique().drop_nulls().to_list() if not re.fullmatch(r"[!-Z^-~]{4,8}", word)]
    return texts.replace(odd, [None] * len(odd)) if odd else texts


def _hole_text(hole: Hole) -> str:
    if hole.why == "lost" and hole.cpu >= 0:
        return f"CPU:{hole.cpu} [LOST {f'{hole.lost} ' if hole.lost >= 0 else ''}EVENTS]"
    if hole.lost > 0:
        return f"# entries-in-buffer/entries-written: 0/{hole.lost}"
    return CUT
