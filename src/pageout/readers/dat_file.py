# SPDX-License-Identifier: GPL-2.0-or-later
"""The parts of a trace.dat: event formats, tables of names, options, and where each CPU's pages lie.

Source: trace-cmd's trace-cmd.dat.v6(5) and trace-cmd.dat.v7(5).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from pageout.readers.dat_bytes import Cursor, Unpacker, methods

MAGIC = b"\x17\x08Dtracing"
VERSIONS = (6, 7)
MAX_CPUS = 1 << 14
MAX_OPTION_SECTIONS = 1 << 10
PACKED = 1  # flag of a section

(DONE, DATE, CPUSTAT, BUFFER, TRACECLOCK, UNAME, _, OFFSET, CPUCOUNT, VERSION, _, _, _, _, TSC2NSEC, STRINGS,
 HEADER_INFO, FTRACE_EVENTS, EVENT_FORMATS, KALLSYMS, PRINTK, CMDLINES, BUFFER_TEXT) = range(23)  # fmt: skip
_TEXTS = {DATE: "date", UNAME: "uname", OFFSET: "offset", VERSION: "version"}


class CpuData(NamedTuple):
    """The pages of one CPU in one buffer."""

    cpu: int
    offset: int
    size: int  # in the file


class Buffer(NamedTuple):
    """One ring buffer instance; `name` is empty for the machine's own."""

    name: str
    clock: str
    page_size: int
    cpus: tuple[CpuData, ...]
    packed: bool


class PageHeader(NamedTuple):
    """Where things stand in a page of the ring buffer."""

    commit_offset: int = 8
    commit_size: int = 8
    data_offset: int = 16


@dataclass
class DatFile:
    """What a trace.dat holds besides the pages."""

    name: str
    data: memoryview
    version: int = 0
    big: bool = False
    long_size: int = 8
    page_size: int = 4096
    packing: str = "none"
    page: PageHeader = field(default_factory=PageHeader)
    formats: list[tuple[str, str]] = field(default_factory=list)  # system, text of the format file
    kallsyms: bytes = b""
    printk: bytes = b""
    cmdlines: bytes = b""
    cpustats: list[str] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)  # date, uname, offset, version
    clock: str = ""
    tsc: tuple[int, int] | None = None  # multiplier, shift
    nr_cpus: int = 0
    buffers: list[Buffer] = field(default_factory=list)
    latency: list[bytes] = field(default_factory=list)  # ASCII traces stored in place of pages
    unpacker: Unpacker = field(default_factory=lambda: Unpacker("none", 0))

    @property
    def ts_offset(self) -> int:
        """Nanoseconds to be added to every time."""
        return _c_number(self.texts.get("date", "")) * 1000 + _c_number(self.texts.get("offset", ""))


def _c_number(text: str) -> int:
    """Return a number as strtoll(…, 0) reads it, 0 for anything else."""
    match = re.match(r"\s*([+-]?)(?:0[xX]([0-9a-fA-F]{1,16})|(\d{1,19}))", text)
    if match is None:
        return 0
    value = int(match[2], 16) if match[2] else int(match[3], 8 if re.fullmatch(r"0[0-7]+", match[3]) else 10)
    return max(min(-value if match[1] == "-" else value, 1 << 62), -(1 << 62))


def parse(name: str, data: memoryview) -> DatFile:
    """Read everything but the pages.  Raises TraceError with the offset of what is wrong."""
    cursor = Cursor(name, data)
    cursor.expect(MAGIC, "trace.dat's magic")
    version = cursor.string("the version")
    found = DatFile(name, data)
    if version not in map(str, VERSIONS):
        cursor.fail(f"version {version[:20]!r} is not read: 6 and 7 are; record with trace-cmd 2 or 3")
    found.version = int(version)
    found.big = cursor.big = cursor.number(1, "the byte order") == 1
    found.long_size = cursor.number(1, "the size of a long")
    if found.long_size not in (4, 8):
        cursor.fail(f"a long of {found.long_size} bytes: 4 or 8")
    found.page_size = _page_size(cursor, cursor.number(4, "the page size"))
    if found.version == 6:
        _Version6(found, cursor).read()
    else:
        _Version7(found, cursor).read()
    return found


def _page_size(cursor: Cursor, size: int) -> int:
    if not 512 <= size <= 1 << 22 or size % 8:
        cursor.fail(f"a page of {size:,} bytes")
    return size


class _Parts:
    """What both versions have."""

    def __init__(self, found: DatFile, cursor: Cursor) -> None:
        self.found, self.cursor = found, cursor

    def header_info(self, cursor: Cursor) -> None:
        cursor.expect(b"header_page\0", "header_page")
        text = cursor.sized(8, "header_page").decode("utf-8", "replace")
        rows = {
            match[1]: (int(match[2]), int(match[3]))
            for match in re.finditer(r"(\w+);\s*offset:(\d{1,5});\s*size:(\d{1,7});", text)
        }
        commit, data = rows.get("commit", (8, self.found.long_size)), rows.get("data")
        if commit[1] not in (4, 8) or commit[0] != 8:
            cursor.fail(f"a page header with the commit at {commit[0]}, of {commit[1]} bytes")
        start = data[0] if data else commit[0] + commit[1]
        if not commit[0] + commit[1] <= start <= 64 or start % 4:
            cursor.fail(f"a page header of {start} bytes")
        self.found.page = PageHeader(*commit, start)
        cursor.expect(b"header_event\0", "header_event")
        cursor.sized(8, "header_event")

    def ftrace_events(self, cursor: Cursor) -> None:
        for _ in range(cursor.number(4, "the number of formats")):
            self.format(cursor, "ftrace")

    def event_formats(self, cursor: Cursor) -> None:
        for _ in range(cursor.number(4, "the number of event systems")):
            system = cursor.string("the name of an event system")
            for _ in range(cursor.number(4, f"the number of events of {system}")):
                self.format(cursor, system)

    def format(self, cursor: Cursor, system: str) -> None:
        self.found.formats.append((system, cursor.sized(8, "an event's format").decode("utf-8", "replace")))

    def kallsyms(self, cursor: Cursor) -> None:
        self.found.kallsyms = cursor.sized(4, "kallsyms")

    def printk(self, cursor: Cursor) -> None:
        self.found.printk = cursor.sized(4, "printk formats")

    def cmdlines(self, cursor: Cursor) -> None:
        self.found.cmdlines = cursor.sized(8, "saved command lines")

    def option(self, number: int, data: memoryview, cursor: Cursor) -> None:
        """Keep what an option says; one that is not known is nothing we need."""
        inner = Cursor(cursor.name, data, big=cursor.big, base=f" of option {number} at {cursor.at:,}")
        text = bytes(data).split(b"\0")[0].decode("utf-8", "replace")
        if number in _TEXTS:
            self.found.texts[_TEXTS[number]] = text
        elif number == CPUSTAT:
            self.found.cpustats.append(text)
        elif number == TRACECLOCK:
            chosen = re.search(r"\[\s*([\w-]{1,40})\s*\]", text)
            self.found.clock = chosen[1] if chosen else self.found.clock
        elif number == CPUCOUNT:
            self.cpu_count(inner)
        elif number == TSC2NSEC and len(data) >= 8:
            multiplier, shift = inner.number(4, "a multiplier"), inner.number(4, "a shift")
            self.found.tsc = (multiplier, shift) if multiplier and shift < 64 else None
        elif number in (BUFFER, BUFFER_TEXT):
            self.buffer(inner, text=number == BUFFER_TEXT)

    def cpu_count(self, cursor: Cursor) -> None:
        count = cursor.number(4, "the number of CPUs")
        if count > MAX_CPUS:
            cursor.fail(f"{count:,} CPUs")
        self.found.nr_cpus = count

    def buffer(self, cursor: Cursor, *, text: bool) -> None:
        raise NotImplementedError


class _Version6(_Parts):
    """One part after the other."""

    def read(self) -> None:
        cursor, self._instances = self.cursor, list[tuple[int, str]]()
        for part in (self.header_info, self.ftrace_events, self.event_formats, self.kallsyms, self.printk):
            part(cursor)
        self.cmdlines(cursor)
        self.cpu_count(cursor)
        self.data(cursor, "")
        for offset, name in self._instances:
            cursor.go(offset)
            self.data(cursor, name)

    def data(self, cursor: Cursor, name: str) -> None:
        nr_cpus = self.found.nr_cpus
        kind = bytes(cursor.take(10, "options, latency or flyrecord"))
        if kind.startswith(b"options"):
            self.options(cursor)
            kind = bytes(cursor.take(10, "latency or flyrecord"))
        if kind.startswith(b"latency"):
            self.found.latency.append(bytes(cursor.data[cursor.at :]))
        elif kind.startswith(b"flyrecord"):
            self.cpus(cursor, name, max(nr_cpus, self.found.nr_cpus))
        else:
            cursor.fail(f"{kind!r}: latency or flyrecord should stand here")

    def options(self, cursor: Cursor) -> None:
        while number := cursor.number(2, "an option"):
            size = cursor.number(4, "the size of an option")
            self.option(number, cursor.take(size, f"option {number}"), cursor)

    def cpus(self, cursor: Cursor, name: str, nr_cpus: int) -> None:
        cpus = tuple(
            CpuData(cpu, cursor.number(8, f"the offset of CPU {cpu}"), cursor.number(8, f"the size of CPU {cpu}"))
            for cpu in range(nr_cpus)
        )
        self.found.buffers.append(Buffer(name, self.found.clock, self.found.page_size, cpus, packed=False))

    def buffer(self, cursor: Cursor, *, text: bool) -> None:
        self._instances.append((cursor.number(8, "the offset of a buffer"), cursor.string("a buffer's name")))
        if text or len(self._instances) > MAX_OPTION_SECTIONS:
            cursor.fail("a buffer that version 6 does not have")


class _Version7(_Parts):
    """Sections, found by the options."""

    def read(self) -> None:
        cursor, found = self.cursor, self.found
        found.packing = cursor.string("the compression")
        cursor.string("the compression's version")
        if found.packing not in methods():
            cursor.fail(f"packed by {found.packing[:20]!r}: {', '.join(methods())} are read")
        found.unpacker = Unpacker(found.packing, len(found.data))
        at, seen = cursor.number(8, "the offset of the options"), set[int]()
        while at:
            if at in seen or len(seen) > MAX_OPTION_SECTIONS:
                cursor.fail("sections of options that lead back to themselves")
            seen.add(at)
            at = self.options(self.section(at, DONE))

    def section(self, at: int, wanted: int) -> Cursor:
        """Return a cursor into a section, unpacked."""
        self.cursor.go(at)
        size, packed = self.header(wanted)
        if not packed:
            data = self.cursor.take(size, f"section {wanted}")
            base = f" of section {wanted} at {at:,}"
            return Cursor(self.cursor.name, data, big=self.cursor.big, base=base)
        data = memoryview(self.found.unpacker.block(self.cursor))
        return Cursor(self.cursor.name, data, big=self.cursor.big, base=f" of packed section {wanted} at {at:,}")

    def header(self, wanted: int) -> tuple[int, bool]:
        cursor = self.cursor
        number, flags = cursor.number(2, "a section"), cursor.number(2, "a section's flags")
        cursor.number(4, "a section's description")
        size = cursor.number(8, "a section's size")
        if number != wanted:
            cursor.fail(f"section {number}: {wanted} should stand here")
        return size, bool(flags & PACKED)

    def options(self, cursor: Cursor) -> int:
        """Read a section of options; returns the offset of the next, 0 for none."""
        parts: dict[int, Callable[[Cursor], None]] = {
            HEADER_INFO: self.header_info, FTRACE_EVENTS: self.ftrace_events, EVENT_FORMATS: self.event_formats,
            KALLSYMS: self.kallsyms, PRINTK: self.printk, CMDLINES: self.cmdlines,
        }  # fmt: skip
        while cursor.at < len(cursor.data):
            number, size = cursor.number(2, "an option"), cursor.number(4, "the size of an option")
            data = cursor.take(size, f"option {number}")
            inner = Cursor(cursor.name, data, big=cursor.big, base=f" of option {number}{cursor.base}")
            if number == DONE:
                return inner.number(8, "the offset of the next options") if size >= 8 else 0
            if number in parts:
                parts[number](self.section(inner.number(8, "the offset of a section"), number))
            else:
                self.option(number, data, cursor)
        return 0

    def buffer(self, cursor: Cursor, *, text: bool) -> None:
        at, name, clock = cursor.number(8, "an offset"), cursor.string("a buffer's name"), cursor.string("its clock")
        if text:
            self.text(at)
            return
        self.cursor.go(at)
        _, packed = self.header(BUFFER)
        page_size = _page_size(cursor, cursor.number(4, "the size of a buffer's page"))
        count = cursor.number(4, "the number of CPUs")
        if count > MAX_CPUS:
            cursor.fail(f"{count:,} CPUs")
        numbers = [[cursor.number(size, "a CPU's data") for size in (4, 8, 8)] for _ in range(count)]
        if any(cpu >= MAX_CPUS for cpu, _, _ in numbers):
            cursor.fail("a CPU of an absurd number")
        cpus = tuple(sorted(CpuData(*row) for row in numbers))
        self.found.buffers.append(Buffer(name, clock, page_size, cpus, packed))

    def text(self, at: int) -> None:
        self.cursor.go(at)
        size, packed = self.header(BUFFER_TEXT)
        if not packed:
            self.found.latency.append(bytes(self.cursor.take(size, "the text of a latency trace")))
            return
        for _ in range(self.cursor.number(4, "the number of packed blocks")):
            self.found.latency.append(self.found.unpacker.block(self.cursor))
