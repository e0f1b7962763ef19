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
MAX_COMM = 64  # a kernel's own names have 15, of its threads at most 63
BARE_CLOCKS = ("counter", "tsc", "x86-tsc")
CUT, OVERWRITTEN = "...", "overwritten"
BACK_NS = 10_000_000  # a time that goes back by more says by itself that a segment begins: readers/stream.py

_HEADER = "# tracer: nop\n#\n# entries-in-buffer/entries-written: {}/{}{}\n#\n"
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
MAX_NAME = 128
_NAME = re.compile(r"[^\s:]{1,128}(?::\w{1,64})?")
_SPOOF = re.compile(r"-\d{1,10}\s.*\d\.\d+:\s", re.DOTALL)  # a comm that could be taken for the rest of a line


def write_text(events: Events, out: IO[bytes], progress: Callable[[float], None] = lambda _: None) -> None:
    """Write events as ftrace text, in the order of their lines, each with its kernel stack if it has one.

    Times have microseconds, nanoseconds if one event needs them. A hole is a LOST line, the header's own words for
    overwritten events, or `...`; a task without a name is `<...>`, one without a number has 0.
    """
    holes = list(events.holes)
    lost = 0
    if holes and holes[0].why == OVERWRITTEN and holes[0].line <= _first_line(events):
        lost = max(holes.pop(0).lost, 0)
    cpus = "" if events.nr_cpus is None else f"   #P:{events.nr_cpus}"
    out.write((_HEADER.format(len(events), len(events) + lost, cpus) + _columns(events)).encode())
    digits = 6 if all((frame["time_ns"] % 1000 == 0).all() for frame in _frames(events)) else 9
    writer = _Lines(events, digits, holes)
    for fraction, chunk in _chunks(events):
        lines = writer.of_chunk(chunk)
        out.write(("\n".join(lines) + "\n").encode("utf-8", "backslashreplace"))
        progress(fraction)
    for hole in writer.holes:
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


class _Lines:
    """Makes lines of events, with what stands between them."""

    def __init__(self, events: Events, digits: int, holes: list[Hole]) -> None:
        self.holes = holes  # that come later
        self._stacks, self._clock, self._digits = events.stacks, events.clock, digits
        self._segment: int | None = None if events.holes else 0
        self._newest = 0

    def of_chunk(self, chunk: dict[str, pl.DataFrame]) -> list[str]:
        """Return the lines of a chunk's events, and of the holes before each."""
        found: list[str] = []
        at = 0
        for line, segment, time_ns, text, prefix in self._table(chunk).iter_rows():
            holed = self._segment is None or self._segment == segment
            while at < len(self.holes) and self.holes[at].line <= line:
                if not self._seen_by_time(self.holes[at], time_ns):
                    found.append(_hole_text(self.holes[at]))
                at, holed = at + 1, True
            if not holed:
                found.append(CUT)
            self._newest = time_ns if segment != self._segment else max(self._newest, time_ns)
            self._segment = segment
            found.append(text)
            stack = self._stacks.get(line)
            if stack:
                found.append(f"{prefix}<stack trace>")
                found += [f" => {escaped(function, MAX_NAME)}" for function in stack]
        del self.holes[:at]
        return found

    def _seen_by_time(self, hole: Hole, time_ns: int) -> bool:
        """Say whether the times alone show a hole, as they did in the recording."""
        return hole.why == "times go back" and self._clock == "seconds" and time_ns < self._newest - BACK_NS

    def _table(self, chunk: dict[str, pl.DataFrame]) -> pl.DataFrame:
        """Return line, segment, time, text and prefix of a chunk's events, in the order of lines."""
        texts = []
        for name, frame in chunk.items():
            if not name:
                names = _each(frame["name"].cast(pl.String), name_text) + ": "
                payload = printable(frame["payload"].fill_null(""))
                texts.append(_event_lines(frame, names, payload, self._clock, self._digits))
                continue
            kind = EVENTS[name]
            for rows, present in groups(kind, frame):
                payload = payloads(kind, rows, present)
                texts.append(_event_lines(rows, f"{name}: ", payload, self._clock, self._digits))
        return pl.concat(texts).sort("line", maintain_order=True)


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
    text = pl.concat_str([pl.col("prefix"), pl.lit(name), pl.lit(payload)]).str.strip_chars_end()
    found = rows.with_columns(pl.concat_str(prefix).alias("prefix"))
    return found.select("line", "segment", "time_ns", text.alias("text"), "prefix")


def _time(clock: str, digits: int) -> list[pl.Expr]:
    time = pl.col("time_ns").clip(0)
    if clock in BARE_CLOCKS:
        return [time.cast(pl.String).str.pad_start(12)]
    seconds = (time // 10**9).cast(pl.String).str.pad_start(5)
    fraction = (time % 10**9 // 10 ** (9 - digits)).cast(pl.String).str.zfill(digits)
    return [seconds, pl.lit("."), fraction]


def _comms(comms: pl.Series) -> pl.Series:
    """Return names right-justified, after a blank; none can be taken for more than a name."""
    return _each(comms.cast(pl.String).fill_null(UNKNOWN_COMM), lambda comm: f" {comm_text(comm):>15}")


def _each(words: pl.Series, text_of: Callable[[str], str]) -> pl.Series:
    """Return what is made of each word; each different one is looked at once."""
    different = words.unique().to_list()
    return words.replace_strict(different, [text_of(word) for word in different], return_dtype=pl.String)


def name_text(name: str) -> str:
    """Return an event's name as it can stand in a line: SYSTEM:NAME, neither with a blank."""
    if _NAME.fullmatch(name) and name.isprintable():
        return name
    return re.sub(r"[\s:]", "_", escaped(name, MAX_NAME)) or "_"


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
