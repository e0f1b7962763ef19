# SPDX-License-Identifier: GPL-2.0-or-later
"""Writes ring buffer pages and trace.dat files round them: versions 6 and 7, plain or packed, either byte order.

Source: trace-cmd.dat.v6(5), trace-cmd.dat.v7(5); Linux v6.12 include/linux/ring_buffer.h.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

MAGIC = b"\x17\x08Dtracing"
MISSED, MISSED_STORED = 1 << 31, 1 << 30
PADDING, TIME_EXTEND, TIME_STAMP = 29, 30, 31
DELTA_LIMIT = 1 << 27
CHUNK_PAGES = 10
(DATE, CPUSTAT, BUFFER, TRACECLOCK, UNAME, OFFSET, CPUCOUNT, VERSION, TSC2NSEC, HEADER_INFO, FTRACE_EVENTS,
 EVENT_FORMATS, KALLSYMS, PRINTK, CMDLINES, BUFFER_TEXT) = (
    1, 2, 3, 4, 5, 7, 8, 9, 14, 16, 17, 18, 19, 20, 21, 22)  # fmt: skip


class Ring:
    """One CPU's pages. Records are added in the order of time."""

    def __init__(self, *, page_size: int = 4096, big: bool = False, long_size: int = 8) -> None:
        self.page_size, self.order, self.long_size = page_size, ">" if big else "<", long_size
        self.big = big
        self.pages: list[bytes] = []
        self._body = bytearray()
        self._first = self._last = 0
        self._missed = 0  # 0, -1: uncounted, or how many before this page

    @property
    def _room(self) -> int:
        return self.page_size - 8 - self.long_size - len(self._body)

    def _head(self, kind: int, delta: int) -> bytes:
        return struct.pack(self.order + "I", kind << 27 | delta if self.big else delta << 5 | kind)

    def add(self, time: int, payload: bytes, *, stamped: bool = False, long_form: bool = False) -> None:
        """Add a record.

        stamped:    with an absolute time stamp before it, as some clocks need
        long_form:  with its length in a word of its own, though it may be short enough without
        """
        size = (len(payload) + 3) & ~3
        if self._body and self._room < size + 20:
            self.end_page()
        if not self._body:
            self._first = self._last = time
        delta = time - self._last
        if stamped:
            self._body += self._head(TIME_STAMP, time & (DELTA_LIMIT - 1))
            self._body += struct.pack(self.order + "I", time >> 27 & 0xFFFFFFFF)
            delta = 0
        elif delta >= DELTA_LIMIT:
            self._body += self._head(TIME_EXTEND, delta & (DELTA_LIMIT - 1))
            self._body += struct.pack(self.order + "I", delta >> 27)
            delta = 0
        if long_form or size > 28 * 4 or not size:
            self._body += self._head(0, delta) + struct.pack(self.order + "I", size + 4)
        else:
            self._body += self._head(size >> 2, delta)
        self._body += payload.ljust(size, b"\0")
        self._last = time

    def discard(self, size: int) -> None:
        """Add what an event leaves behind that was filtered out: `size` bytes of padding, a multiple of 4."""
        if self._body and self._room >= size + 8:
            self._body += self._head(PADDING, 1) + struct.pack(self.order + "I", size + 4) + bytes(size)
            self._last += 1

    def lost(self, count: int = -1) -> None:
        """Say that events are missing here: a new page begins."""
        self.end_page()
        self._missed = count

    def end_page(self) -> None:
        """Close the page that is being filled."""
        if not self._body and not self._missed:
            return
        commit = len(self._body)
        if self._missed:
            commit |= MISSED
        word = self.order + ("Q" if self.long_size == 8 else "I")
        if self._missed > 0 and self._room >= self.long_size:
            commit |= MISSED_STORED
            self._body += struct.pack(word, self._missed)
        page = struct.pack(self.order + "Q", self._first) + struct.pack(word, commit) + self._body
        self.pages.append(page.ljust(self.page_size, b"\0"))
        self._body, self._missed = bytearray(), 0


@dataclass
class Dat:
    """What a trace.dat is made of."""

    formats: Sequence[tuple[str, str]]  # system, text
    cpus: Sequence[Sequence[bytes]]  # pages of each CPU
    instances: Sequence[tuple[str, Sequence[Sequence[bytes]]]] = ()
    version: int = 7
    packing: str = "none"
    big: bool = False
    long_size: int = 8
    page_size: int = 4096
    kallsyms: bytes = b""
    printk: bytes = b""
    cmdlines: bytes = b""
    options: Sequence[tuple[int, bytes]] = ()
    clock: str = "local"
    latency: bytes | None = None
    _out: bytearray = field(default_factory=bytearray)

    def to_bytes(self) -> bytes:
        """Return the whole file."""
        self._out = bytearray(MAGIC + str(self.version).encode() + b"\0")
        self._out += bytes((self.big, self.long_size)) + self._number(4, self.page_size)
        if self.version == 6:
            self._version6()
        else:
            self._version7()
        return bytes(self._out)

    def write(self, path: Path) -> None:
        """Write the file."""
        path.write_bytes(self.to_bytes())

    def _number(self, size: int, value: int) -> bytes:
        return value.to_bytes(size, "big" if self.big else "little")

    def _sized(self, size: int, data: bytes) -> bytes:
        return self._number(size, len(data)) + data

    def _header_info(self) -> bytes:
        data = 8 + self.long_size
        page = (
            "\tfield: u64 timestamp;\toffset:0;\tsize:8;\tsigned:0;\n"
            f"\tfield: local_t commit;\toffset:8;\tsize:{self.long_size};\tsigned:1;\n"
            "\tfield: int overwrite;\toffset:8;\tsize:1;\tsigned:1;\n"
            f"\tfield: char data;\toffset:{data};\tsize:{self.page_size - data};\tsigned:0;\n"
        )
        event = (
            "# compressed entry header\n\ttype_len    :    5 bits\n\ttime_delta  :   27 bits\n"
            "\tarray       :   32 bits\n\n"
            "\tpadding     : type == 29\n\ttime_extend : type == 30\n\ttime_stamp : type == 31\n"
            "\tdata max type_len  == 28\n"
        )
        return b"header_page\0" + self._sized(8, page.encode()) + b"header_event\0" + self._sized(8, event.encode())

    def _formats_of(self, *, ftrace: bool) -> bytes:
        systems: dict[str, list[bytes]] = {}
        for system, text in self.formats:
            if (system == "ftrace") == ftrace:
                systems.setdefault(system, []).append(self._sized(8, text.encode()))
        if ftrace:
            texts = systems.get("ftrace", [])
            return self._number(4, len(texts)) + b"".join(texts)
        parts = [
            name.encode() + b"\0" + self._number(4, len(texts)) + b"".join(texts) for name, texts in systems.items()
        ]
        return self._number(4, len(systems)) + b"".join(parts)

    def _all_options(self) -> list[tuple[int, bytes]]:
        clocks = " ".join(f"[{clock}]" if clock == self.clock else clock for clock in ("local", "global", "counter"))
        return [(TRACECLOCK, clocks.encode() + b"\0"), *self.options]

    def _align(self) -> None:
        self._out += bytes(-len(self._out) % self.page_size)

    def _version6(self) -> None:
        self._out += self._header_info() + self._formats_of(ftrace=True) + self._formats_of(ftrace=False)
        self._out += self._sized(4, self.kallsyms) + self._sized(4, self.printk) + self._sized(8, self.cmdlines)
        self._out += self._number(4, len(self.cpus)) + b"options  \0"
        for number, data in self._all_options():
            self._out += self._number(2, number) + self._sized(4, data)
        places = []
        for name, _ in self.instances:
            self._out += self._number(2, BUFFER) + self._number(4, 8 + len(name) + 1)
            places.append(len(self._out))
            self._out += bytes(8) + name.encode() + b"\0"
        self._out += self._number(2, 0)
        self._pages6(self.cpus)
        for place, (_, cpus) in zip(places, self.instances, strict=True):
            self._out[place : place + 8] = self._number(8, len(self._out))
            self._pages6(cpus)

    def _pages6(self, cpus: Sequence[Sequence[bytes]]) -> None:
        if self.latency is not None:
            self._out += b"latency  \0" + self.latency
            return
        self._out += b"flyrecord\0"
        table = len(self._out)
        self._out += bytes(16 * len(cpus))
        clocks = self._all_options()[0][1]
        self._out += self._sized(8, clocks)  # trace-cmd repeats the clock here
        for n, pages in enumerate(cpus):
            self._align()
            data = b"".join(pages)
            row = self._number(8, len(self._out) if data else 0) + self._number(8, len(data))
            self._out[table + 16 * n : table + 16 * n + 16] = row
            self._out += data

    def _version7(self) -> None:
        self._out += self.packing.encode() + b"\0" + (b"" if self.packing == "none" else b"1") + b"\0"
        place = len(self._out)
        self._out += bytes(8)
        parts = (
            (HEADER_INFO, self._header_info()), (FTRACE_EVENTS, self._formats_of(ftrace=True)),
            (EVENT_FORMATS, self._formats_of(ftrace=False)), (KALLSYMS, self._sized(4, self.kallsyms)),
            (PRINTK, self._sized(4, self.printk)), (CMDLINES, self._sized(8, self.cmdlines)),
        )  # fmt: skip
        options = [(number, self._number(8, self._section(number, data))) for number, data in parts]
        options += [*self._all_options(), (CPUCOUNT, self._number(4, len(self.cpus)))]
        self._out[place : place + 8] = self._number(8, len(self._out))
        next_place = self._options(options)
        if self.latency is not None:
            at = self._text(self.latency)
            buffers = [(BUFFER_TEXT, self._number(8, at) + b"\0" + self.clock.encode() + b"\0")]
        else:
            buffers = [(BUFFER, self._buffer(name, cpus)) for name, cpus in (("", self.cpus), *self.instances)]
        self._out[next_place : next_place + 8] = self._number(8, len(self._out))
        self._options(buffers)

    def _section_header(self, number: int, size: int, *, packed: bool) -> bytes:
        return self._number(2, number) + self._number(2, packed) + self._number(4, 0) + self._number(8, size)

    def _section(self, number: int, data: bytes) -> int:
        at = len(self._out)
        packed = self.packing != "none"
        if packed:
            data = self._packed(data)
        self._out += self._section_header(number, len(data), packed=packed) + data
        return at

    def _packed(self, data: bytes) -> bytes:
        if self.packing == "zlib":
            packed = zlib.compress(data, 6)
        else:
            from backports.zstd import compress

            packed = compress(data)
        return self._number(4, len(packed)) + self._number(4, len(data)) + packed

    def _options(self, options: Sequence[tuple[int, bytes]]) -> int:
        """Write a section of options; returns where the offset of the next one stands."""
        body = b"".join(self._number(2, number) + self._sized(4, data) for number, data in options)
        body += self._number(2, 0) + self._sized(4, bytes(8))
        self._out += self._section_header(0, len(body), packed=False) + body
        return len(self._out) - 8

    def _text(self, text: bytes) -> int:
        at = len(self._out)
        packed = self.packing != "none"
        data = self._number(4, 1) + self._packed(text) if packed else text
        self._out += self._section_header(BUFFER_TEXT, len(data), packed=packed) + data
        return at

    def _buffer(self, name: str, cpus: Sequence[Sequence[bytes]]) -> bytes:
        at, packed = len(self._out), self.packing != "none"
        self._out += self._section_header(BUFFER, 0, packed=packed)
        rows = b""
        for cpu, pages in enumerate(cpus):
            self._align()
            start = len(self._out)
            if packed:
                chunks = [b"".join(pages[n : n + CHUNK_PAGES]) for n in range(0, len(pages), CHUNK_PAGES)]
                self._out += self._number(4, len(chunks)) + b"".join(map(self._packed, chunks))
            else:
                self._out += b"".join(pages)
            rows += self._number(4, cpu) + self._number(8, start) + self._number(8, len(self._out) - start)
        self._out[at + 8 : at + 16] = self._number(8, len(self._out) - at - 16)
        found = self._number(8, at) + name.encode() + b"\0" + self.clock.encode() + b"\0"
        return found + self._number(4, self.page_size) + self._number(4, len(cpus)) + rows
