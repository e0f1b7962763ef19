# SPDX-License-Identifier: GPL-2.0-or-later
"""Tables with a header: columns by name, rows joined again where a mailer cut them, reports counted."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from pageout.readers.facts import Fact, Table, TableRow
from pageout.readers.proc.named import Named, Reader

MAX_ROWS = 1_000_000  # of one recogniser; beyond, lines stay unread
NEXT = 2  # lines to the next row, one blank between
MIN_CUT = 3  # values of a row whose rest never came; fewer may be a sentence
GAP = 5  # foreign lines after which a table is over
_REAL = re.compile(r"(-?\d{1,18}(?:[.,]\d{1,9})?)([kKMGTPE]?)(?:i?B)?(%?)")
_COLUMN = re.compile(r"[A-Za-z%][\w/%.+-]{0,30}")
_NOTHING = re.compile(r"-?nan|-|inf", re.IGNORECASE)
_SCALE = {"": 1, "k": 1 << 10, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40, "P": 1 << 50, "E": 1 << 60}


def real(word: str) -> float | None:
    """Return a number with a point or a comma, and K, M, G... as a power of 1024; None for anything else."""
    match = _REAL.fullmatch(word)
    if match is None:
        return None
    return float(match[1].replace(",", ".")) * _SCALE[match[2]]


def is_header(names: Sequence[str], known: frozenset[str]) -> bool:
    """Whether these are a table's columns: most are known, the rest a later version's."""
    return sum(name in known for name in names) * 2 > len(names) and all(_COLUMN.fullmatch(name) for name in names)


def is_value(word: str) -> bool:
    """Whether a word may stand in a column of numbers: nan does."""
    return real(word) is not None or _NOTHING.fullmatch(word) is not None


@dataclass
class Sheet:
    """A table under way."""

    line: int
    source: str
    columns: list[str]
    command: str
    unit_bytes: int | None
    last: int
    report: int = -1
    first_since_boot: bool | None = None  # what is known of the first report
    rows: list[TableRow] = field(default_factory=list)
    before: Sheet | None = None  # the table whose header this may prove to repeat, once its second line is read


@dataclass
class _Cut:
    line: int
    last: int
    words: dict[str, str]
    values: list[str]
    average: bool
    since_boot: bool | None


class TableReader(Reader):
    """What readers of tables share. `columns` of words, not numbers, are in `words`."""

    words: frozenset[str] = frozenset()

    def __init__(self, named: Named) -> None:
        super().__init__(named)
        self.done: list[Sheet] = []
        self._current: dict[str, Sheet] = {}  # of each source, the one a repeated header goes on with
        self.sheet: Sheet | None = None  # the one that gets rows
        self._cut: _Cut | None = None
        self.nr_rows = 0
        self._header_at = -10  # the last line of a header: it may go on
        self._seen = -(1 << 30)  # the last line of any of the tables

    def begin(self, line: int, source: str, columns: Sequence[str], tool: str) -> Sheet:
        """A header: the same table goes on if its columns are the same, nothing foreign came between and no command."""
        self.flush()
        names = list(columns)
        told = self.named.told(line, tool)
        going_on = line - self._seen <= GAP * 8
        old = self._current.get(source) if going_on else None
        fresh = (self.named.said > (old.last if old else -1) and bool(told)) or self._bannered(
            old.last if old else -1, line
        )
        if old is not None and old.columns == names and not fresh:
            self.sheet = old
            old.last = line
        else:
            self.sheet = Sheet(line, source, names, told, None, line)
            self.sheet.before = None if fresh else old
            self._current[source] = self.sheet
            self.sheet.first_since_boot = self._since_boot(told, line)
            self.done.append(self.sheet)
        self.sheet.report += 1
        self._header_at = self._seen = line
        return self.sheet

    def _bannered(self, since: int, line: int) -> bool:
        return since < self.named.banner and line - self.named.banner <= GAP * 2

    def _since_boot(self, told: str, line: int) -> bool | None:
        """Whether the first report is one since boot; None if neither the command nor its first line is there."""
        if re.search(r"\s-\w{0,8}y\b", told):
            return False
        return True if told or line - self.named.banner <= GAP * 2 else None

    def extend(self, line: int, columns: Sequence[str]) -> None:
        """The header goes on in the next line."""
        sheet = self.sheet
        if sheet is None:
            return
        self._header_at = line
        self._seen = sheet.last = line
        whole = sheet.columns + list(columns)
        same = sheet.before
        if same is not None and same.columns == whole and not sheet.rows and self.done[-1] is sheet:
            self.done.pop()
            self._current[sheet.source] = same
            same.report += 1
            same.last = line
            self.sheet = same
            return
        sheet.columns = whole
        self.variants.add("wrapped")

    def header_open(self, line: int) -> bool:
        """Whether the line before was a header without rows yet."""
        return self.sheet is not None and self._header_at == line - 1

    def near(self, line: int) -> bool:
        """Whether the table is still going on at this line."""
        return self.sheet is not None and line - self.sheet.last <= GAP

    def row(self, line: int, words: dict[str, str], values: Sequence[str], *, average: bool = False) -> bool:
        """Take a row, or as much of it as its line has; False if it cannot be one."""
        sheet = self.sheet
        width = self._width()
        if sheet is None or len(values) > width or not all(map(is_value, values)) or self.nr_rows >= MAX_ROWS:
            return False
        if len(values) < width and line - sheet.last > NEXT:
            return False  # the piece of a row follows another row
        self.flush()
        sheet.last = self._seen = line
        since_boot = sheet.first_since_boot if sheet.report == 0 and not average else False
        cut = _Cut(line, line, words, list(values), average, since_boot)
        if len(values) == width:
            self._store(cut)
        else:
            self._cut = cut
        return True

    def more(self, line: int, values: Sequence[str]) -> bool:
        """Take the rest of a cut row; False if these are not it."""
        cut, sheet = self._cut, self.sheet
        if cut is None or sheet is None or cut.last != line - 1 or not values or not all(map(is_value, values)):
            return False
        if len(cut.values) + len(values) > self._width():
            return False
        cut.values += values
        cut.last = sheet.last = self._seen = line
        self.variants.add("wrapped")
        if len(cut.values) == self._width():
            self.flush()
        return True

    def _width(self) -> int:
        return 0 if self.sheet is None else sum(name not in self.words for name in self.sheet.columns)

    def waiting(self, line: int) -> bool:
        """Whether the line before was a cut row."""
        return self._cut is not None and self._cut.last == line - 1

    def flush(self) -> None:
        """Keep a cut row whose rest never came: its columns are right as far as they go."""
        cut, self._cut = self._cut, None
        if cut is not None and (len(cut.values) >= MIN_CUT or len(cut.values) == self._width()):
            self._store(cut)

    def _store(self, cut: _Cut) -> None:
        sheet = self.sheet
        if sheet is None:
            return
        self._cut = None
        names = [name for name in sheet.columns if name not in self.words]
        found = zip(names, map(real, cut.values), strict=False)
        numbers = {name: number for name, number in found if number is not None}
        self.nr_rows += 1
        sheet.rows.append(TableRow(cut.line, numbers, cut.words, sheet.report, cut.since_boot, cut.average))

    def facts(self) -> Sequence[Fact]:
        """Return the tables that have rows."""
        self.flush()
        found = [
            Table(sheet.line, sheet.source, tuple(sheet.rows), tuple(sheet.columns), sheet.command, sheet.unit_bytes)
            for sheet in self.done
            if sheet.rows
        ]
        return sorted(found, key=lambda table: table.line)
