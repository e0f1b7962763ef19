# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads the stack tracer's tables out of any text: /sys/kernel/debug/tracing/stack_trace, a dmesg, a mail, its quotes.

A table is `Depth Size Location (N entries)` and rows `index) depth size location`. What stands before a row (a time
stamp, quote marks) does not matter, nor lines between rows, nor a row that a mailer broke in two. Rows must agree with
each other: each depth less its size is the depth of the caller. Lines are read one at a time: a file may be huge.
Format: Linux Documentation/trace/ftrace.txt, kernel/trace/trace_stack.c:t_show.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, NamedTuple

from pageout.readers.facts import Fact, StackNote, StackTable
from pageout.readers.lines import Claim, Line, Recogniser
from pageout.vocabulary.errors import TraceError

MAX_LINE = 4096  # bytes of a line that are looked at
MAX_ROWS = 512  # the tracer itself keeps 500
MAX_TABLES = 1000
MAX_NOTES = 100
MAX_JUNK = 8  # lines between two rows before a table is taken to be over
MAX_BYTES = 1 << 24  # no stack is as deep as this

_HEADER = re.compile(r"Depth\s+Size\s+Location\b(?:\s+\((\d{1,6}) entries\))?")
_COUNT = re.compile(r"^\((\d{1,6}) entries\)$")
_ROW = re.compile(r"(?:^|[\s>|:\]])(\d{1,3})\)\s+(\d{1,9})\s+(\d{1,9})(?:\s+(\S.*?))?\s*$")
_PREFIX = re.compile(r"^(?:\s*>)*\s*(?:<\d>)?\s*(?:\S.{0,80}?kernel:\s+)?(?:\[\s*\d+\.\d+\]\s*)?")
_LOCATION = re.compile(r"^([\w.$?]+(?:\+0x[0-9a-f]+(?:/0x[0-9a-f]+)?)?|0x[0-9a-f]+)(?:\s+(\[[\w\s-]{1,64}\]))?", re.I)
_MODULE = re.compile(r"^\[\w[\w\s-]{0,63}\]$")
_LEFT = re.compile(r"(?:(\S{1,40})(?: \(\d{1,10}\))? )?used greatest stack depth: (\d{1,7}) bytes left")
_OVERRUN = re.compile(
    r"Thread overran stack|kernel stack overflow|do_IRQ: .{0,40}stack overflow|stack guard page was hit|"
    r"[Kk]ernel stack is corrupted|corrupted stack end detected|stack_trace_overflow",
)
_KERNEL = re.compile(r"(?:Linux version |[Tt]ainted:? (?:[A-Z ]{0,30} )?)(\d{1,2}\.\d{1,3}(?:\.\d{1,4}){0,2})")


class Entry(NamedTuple):
    """One function of a table, innermost first: bytes used down to it, its own bytes, where it stands in the code."""

    depth: int
    size: int
    location: str
    line: int


class Table(NamedTuple):
    """A stack tracer's table: where it begins, how many rows it announced (0: not said), its rows, what is wrong."""

    line: int
    announced: int
    entries: tuple[Entry, ...]
    problem: str

    @property
    def depth(self) -> int:
        """Bytes of the whole stack."""
        return self.entries[0].depth if self.entries else 0


class Note(NamedTuple):
    """A line that speaks of a stack without showing it; `left`: bytes left as it says, -1 if it does not."""

    line: int
    left: int
    text: str


class Found(NamedTuple):
    """What a text holds about stacks."""

    tables: tuple[Table, ...]
    notes: tuple[Note, ...]
    kernel: str
    nr_lines: int
    nr_dropped: int  # tables beyond MAX_TABLES


def read_stacks(path: str | Path) -> Found:
    """Read a file (`.gz` too).  Raises TraceError with the line if it holds nothing of the kind, or only nonsense."""
    name = str(path)
    try:
        with ExitStack() as files:
            raw = files.enter_context(Path(path).open("rb"))
            packed = str(path).endswith(".gz")
            found = parse_stacks(_lines(files.enter_context(gzip.GzipFile(fileobj=raw)) if packed else raw))
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise TraceError(f"{name}: a broken .gz file ({error}): copy it again") from None
    except OSError as error:
        raise TraceError(f"{name}: cannot be read ({error.strerror or error}): name a text file") from None
    return checked(name, found)


def checked(name: str, found: Found) -> Found:
    """Refuse a text without any sound table or hint.  Raises TraceError."""
    broken = [table for table in found.tables if table.problem]
    if broken and len(broken) == len(found.tables):
        raise TraceError(f"{name}:{broken[0].problem}")
    if not found.tables and not found.notes:
        raise TraceError(
            f"{name}:{max(found.nr_lines, 1)}: no stack tracer table (Depth Size Location) up to here: "
            "cat /sys/kernel/debug/tracing/stack_trace prints one, after echo 1 > /proc/sys/kernel/stack_tracer_enabled"
        )
    return found


def _lines(source: BinaryIO | gzip.GzipFile) -> Iterator[str]:
    """Yield lines of bounded length; the rest of an endless one is skipped."""
    while raw := source.readline(MAX_LINE):
        whole = raw
        while not whole.endswith(b"\n") and len(whole) == MAX_LINE:
            whole = source.readline(MAX_LINE)
            if not whole:
                break
        yield raw.decode("utf-8", "replace")


def parse_stacks(lines: Iterable[str]) -> Found:
    """Find all tables and hints in the lines of a text."""
    reader = _Reader()
    for line in lines:
        reader.take(line)
    return reader.found()


class _Reader:
    """Takes a text line by line; holds the table it is in."""

    def __init__(self) -> None:
        self.number = 0
        self.kernel = ""
        self.tables: list[Table] = []
        self.notes: list[Note] = []
        self.dropped = 0
        self._open(0, 0)
        self.inside = False

    def _open(self, line: int, announced: int) -> None:
        self.inside, self.start, self.announced = True, line, announced
        self.rows: list[Entry] = []
        self.last, self.junk, self.pending, self.problem = -1, 0, False, ""

    def _close(self) -> None:
        """Check the table that ends here and keep it; one row without a header is no table."""
        if self.inside and self.rows and (self.announced or self.headed or len(self.rows) > 1):
            table = Table(self.start, self.announced, tuple(self.rows), self.problem or _contradiction(self.rows))
            if len(self.tables) < MAX_TABLES:
                self.tables.append(table)
            else:
                self.dropped += 1
        self.inside = False

    headed = False

    def take(self, raw: str) -> bool:
        """Take the next line; tells whether it says something."""
        self.number += 1
        line = raw.replace("\t", " ").rstrip("\r\n ").removesuffix("=").rstrip()
        mine = True
        if header := _HEADER.search(line):
            self._close()
            self._open(self.number, int(header[1] or 0))
            self.headed = True
        elif (row := _ROW.search(line)) and (self.inside or row[1] == "0"):
            self._row(row)
        else:
            mine = self.inside and self._between(line)
        return self._notes(line) or mine

    def _row(self, row: re.Match[str]) -> None:
        index, depth, size = int(row[1]), int(row[2]), int(row[3])
        if self.inside and self.rows and index == 0:
            self._close()
        if not self.inside:
            self._open(self.number, 0)
            self.headed = False
        if index != self.last + 1 and not self.problem:
            self.problem = f"{self.number}: row {index} follows row {self.last}: rows are missing or out of order"
            self.problem += "; give the table whole"
        if len(self.rows) >= MAX_ROWS:
            self._close()
            return
        self.last, self.junk = index, 0
        self.rows.append(Entry(depth, size, "", self.number))
        self.pending = not self._locate(row[4] or "")

    def _locate(self, text: str) -> bool:
        """Give the last row its location; False if this text is none."""
        match = _LOCATION.match(text)
        if match is None:
            return False
        place = match[1] + (f" {match[2]}" if match[2] else "")
        self.rows[-1] = self.rows[-1]._replace(location=place[:200])
        return True

    def _between(self, line: str) -> bool:
        """A line inside a table that is no row: the second half of a broken one, or something to skip."""
        text = _PREFIX.sub("", line, count=1).strip()
        if not text or set(text) <= set("- "):
            return bool(text)
        if not self.rows and (count := _COUNT.match(text)):
            self.announced = int(count[1])
        elif self.pending and self._locate(text):
            self.pending = False
        elif self.rows and _MODULE.match(text) and not self.rows[-1].location.endswith("]"):
            self.rows[-1] = self.rows[-1]._replace(location=f"{self.rows[-1].location} {text}")
        else:
            self.junk += 1
            if self.junk > MAX_JUNK or (self.announced and len(self.rows) >= self.announced):
                self._close()
            return False
        return True

    def _notes(self, line: str) -> bool:
        if not self.kernel and (kernel := _KERNEL.search(line)):
            self.kernel = kernel[1]
        if left := _LEFT.search(line):
            note = Note(self.number, int(left[2]), left[0])
        elif over := _OVERRUN.search(line):
            note = Note(self.number, -1, line[over.start() :][:120].strip())
        else:
            return False
        if len(self.notes) < MAX_NOTES:
            self.notes.append(note)
        return True

    def found(self) -> Found:
        """Close what is open and return everything."""
        self._close()
        return Found(tuple(self.tables), tuple(self.notes), self.kernel, self.number, self.dropped)


def _contradiction(rows: list[Entry]) -> str:
    """Return `line: what` for the first row that cannot be, empty if all agree."""
    for n, row in enumerate(rows):
        if not 0 < row.depth < MAX_BYTES or row.size > row.depth:
            return f"{row.line}: depth {row.depth} and size {row.size} cannot be: copy the table again"
        if not row.location:
            return f"{row.line}: a row without a function: copy the table again"
        if n + 1 < len(rows) and row.depth - row.size != rows[n + 1].depth:
            return (
                f"{row.line}: depth {row.depth} less size {row.size} is {row.depth - row.size}, the next row says "
                f"{rows[n + 1].depth}: a row is missing or was changed"
            )
    return ""


class StackTables(Recogniser):
    """The tables, and the lines that speak of a stack, among whatever else a file holds."""

    kind = "stack tracer"

    def __init__(self) -> None:
        super().__init__()
        self._reader = _Reader()

    def take(self, line: Line) -> Claim | None:
        """Claim rows, headers and notes."""
        self._reader.number = line.number - 1
        return Claim.KNOWN if self._reader.take(line.text[:MAX_LINE]) else None

    def facts(self) -> Sequence[Fact]:
        """Return tables and notes; a table that contradicts itself says so."""
        found = self._reader.found()
        tables = [
            StackTable(
                table.line or table.entries[0].line,
                tuple((row.depth, row.size, row.location, row.line) for row in table.entries),
                table.announced or None,
                table.problem,
            )
            for table in found.tables
        ]
        return [
            *tables,
            *(StackNote(note.line, note.text, note.left if note.left >= 0 else None) for note in found.notes),
        ]
