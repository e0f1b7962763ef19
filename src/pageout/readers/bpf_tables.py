# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads the tables of bcc's and bpftrace's drsnoop, biosnoop, compactsnoop and writeback tools.

The header names the columns; one word column (a task's name) may hold spaces, all others are single words.
Source: bcc v0.29 tools/{drsnoop,biosnoop,compactsnoop}.py; bpftrace v0.20 tools/{biosnoop,writeback}.bt.
"""

from __future__ import annotations

import re

from pageout.readers.facts import Fact, Table, TableRow
from pageout.readers.lines import Claim, Line, Recogniser

MAX_ROWS = 1_000_000
_TOOLS = (
    ("drsnoop", {"COMM", "PID", "LAT(ms)", "PAGES"}),
    ("compactsnoop", {"COMM", "PID", "ORDER", "MODE", "STATUS"}),
    ("biosnoop", {"COMM", "PID", "DISK", "LAT(ms)"}),
    ("biosnoop", {"COMM", "PID", "DISK", "T", "SECTOR", "BYTES"}),
    ("writeback.bt", {"TIME", "DEVICE", "PAGES", "REASON", "ms"}),
)
_COLUMNS = frozenset((
    "TIME(s)", "TIME(ms)", "TIME", "UID", "COMM", "TASK", "PID", "TID", "LAT(ms)", "LAT(us)", "PAGES", "FREE(KB)",
    "DISK", "T", "D", "SECTOR", "BYTES", "QUE(ms)", "BLOCK", "NODE", "ZONE", "ORDER", "MODE", "STATUS", "FRAGIDX",
    "MIN", "LOW", "HIGH", "FREE", "DEVICE", "REASON", "ms", "PATTERN", "CPU", "IOPRIO",
))  # fmt: skip
_WORDS = {"COMM", "TASK", "DISK", "T", "D", "DEVICE", "REASON", "MODE", "STATUS", "ZONE", "TIME", "PATTERN"}
_WITH_SPACES = ("COMM", "TASK")
_NUMBER = re.compile(r"-?\d{1,18}(?:\.\d{1,9})?")
_SAID = re.compile(
    r"Tracing (?:block|direct|compaction|writeback).{0,80}(?:Ctrl-C|\.\.\.).{0,40}|Attaching \d{1,4} probes\.\.\."
)


class BpfTables(Recogniser):
    """Rows under the header of a tool."""

    kind = "BPF table"

    def __init__(self) -> None:
        super().__init__()
        self._tables: list[tuple[int, str, list[TableRow]]] = []
        self._columns: list[str] = []

    def take(self, line: Line) -> Claim | None:
        """Claim a header that names the columns of a tool, and the rows below it."""
        words = line.text[:1000].split()
        if not words:
            return None
        if words[0].isupper() or words[0].startswith("TIME("):
            tool = _tool_of(words)
            if tool:
                self._columns = words
                self._tables.append((line.number, tool, []))
                self.variants.add(tool)
                return Claim.KNOWN
        if self._columns:
            row = _row(self._columns, line)
            rows = self._tables[-1][2]
            if row is not None and len(rows) < MAX_ROWS:
                rows.append(row)
                return Claim.KNOWN
        return Claim.KNOWN if _SAID.fullmatch(line.text.strip()[:200]) else None

    def gap(self, number: int) -> None:
        """A table ends where something else begins."""
        self._columns = []

    def facts(self) -> list[Fact]:
        """Return the tables."""
        return [Table(line, tool, tuple(rows)) for line, tool, rows in self._tables]


def _tool_of(words: list[str]) -> str:
    """Return the tool whose header this is, empty if it is none."""
    found = set(words)
    if len(found) != len(words) or not found <= _COLUMNS:
        return ""
    return next((tool for tool, needed in _TOOLS if needed <= found), "")


def _row(columns: list[str], line: Line) -> TableRow | None:
    """Return a row, None unless every number is one."""
    cells = line.text[:1000].split()
    surplus = len(cells) - len(columns)
    if surplus and not any(name in columns for name in _WITH_SPACES):
        return None
    if surplus < 0:
        return _without_comm(columns, line) if surplus == -1 else None
    at = next((n for n, name in enumerate(columns) if name in _WITH_SPACES), 0)
    cells[at : at + surplus + 1] = [" ".join(cells[at : at + surplus + 1])]
    return _cells(columns, cells, line.number)


def _without_comm(columns: list[str], line: Line) -> TableRow | None:
    """Return a row whose task or disk has no name."""
    cells = line.text[:1000].split()
    for name in ("COMM", "TASK", "DISK"):
        if name in columns:
            at = columns.index(name)
            row = _cells(columns, [*cells[:at], "", *cells[at:]], line.number)
            if row is not None:
                return row
    return None


def _cells(columns: list[str], cells: list[str], number: int) -> TableRow | None:
    numbers: dict[str, float] = {}
    words: dict[str, str] = {}
    for name, cell in zip(columns, cells, strict=True):
        if name in _WORDS:
            words[name] = cell
        elif _NUMBER.fullmatch(cell):
            numbers[name] = float(cell)
        else:
            return None
    return TableRow(number, numbers, words)
