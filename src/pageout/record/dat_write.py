# SPDX-License-Identifier: GPL-2.0-or-later
"""Writes a trace.dat, version 6, of the pages of an instance: what trace-cmd, KernelShark and our own readers take.

Source: trace-cmd's trace-cmd.dat.v6(5).
"""

from __future__ import annotations

import os
import struct
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_CPUSTAT, _TRACECLOCK, _UNAME = 2, 4, 5  # options
_CHUNK = 1 << 22


@dataclass
class Header:
    """All that stands before the pages."""

    header_page: bytes = b""
    header_event: bytes = b""
    ftrace: list[bytes] = field(default_factory=list)  # formats of tracefs' own events
    systems: dict[str, list[bytes]] = field(default_factory=dict)
    kallsyms: bytes = b""
    printk: bytes = b""
    cmdlines: dict[int, str] = field(default_factory=dict)
    clocks: bytes = b""  # the text of trace_clock
    uname: str = ""
    stats: dict[int, str] = field(default_factory=dict)
    page_size: int = 4096

    def read_formats(self, events: Path, chosen: Sequence[str]) -> None:
        """Take the formats of these events (`system/name`) from tracefs."""
        self.header_page = (events / "header_page").read_bytes()
        self.header_event = (events / "header_event").read_bytes()
        self.ftrace = [path.read_bytes() for path in sorted((events / "ftrace").glob("*/format"))]
        for event in chosen:
            system = event.partition("/")[0]
            self.systems.setdefault(system, []).append((events / event / "format").read_bytes())

    def packed(self, nr_cpus: int) -> bytes:
        """Return the bytes up to the table of CPUs."""
        parts = [b"\x17\x08Dtracing6\0", bytes([sys.byteorder == "big", struct.calcsize("l")]), _u32(self.page_size)]
        parts += [b"header_page\0", _sized(self.header_page), b"header_event\0", _sized(self.header_event)]
        parts += [_u32(len(self.ftrace)), *map(_sized, self.ftrace), _u32(len(self.systems))]
        for system, formats in self.systems.items():
            parts += [system.encode() + b"\0", _u32(len(formats)), *map(_sized, formats)]
        names = "".join(f"{pid} {comm}\n" for pid, comm in sorted(self.cmdlines.items()))
        parts += [_u32(len(self.kallsyms)), self.kallsyms, _u32(len(self.printk)), self.printk]
        parts += [_sized(names.encode(errors="replace")), _u32(nr_cpus), b"options  \0"]
        parts += [_option(_TRACECLOCK, self.clocks), _option(_UNAME, self.uname.encode())]
        parts += [_option(_CPUSTAT, f"CPU: {cpu}\n{text}".encode()) for cpu, text in self.stats.items()]
        return b"".join([*parts, struct.pack("=H", 0), b"flyrecord\0"])


def write(path: Path, header: Header, parts: Mapping[int, Path]) -> None:
    """Write a trace.dat; the files with the CPUs' pages are used up, so that both never take room at once."""
    nr_cpus = max(parts, default=0) + 1
    head = header.packed(nr_cpus)
    page = header.page_size
    at = -(-(len(head) + 16 * nr_cpus) // page) * page
    table = []
    places = {}
    for cpu in range(nr_cpus):
        size = parts[cpu].stat().st_size if cpu in parts else 0
        places[cpu] = at
        table.append(struct.pack("=QQ", at, size))
        at += -(-size // page) * page
    out = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    try:
        _put(out, head + b"".join(table), 0)
        os.ftruncate(out, at)
        for cpu, part in parts.items():
            _move(part, out, places[cpu])
    finally:
        os.close(out)


def _move(part: Path, out: int, at: int) -> None:
    """Move a file's bytes, the last first, giving back the room of what has been moved."""
    source = os.open(part, os.O_RDWR)
    try:
        left = os.fstat(source).st_size
        while left:
            start = max(left - _CHUNK, 0)
            _put(out, os.pread(source, left - start, start), at + start)
            os.ftruncate(source, start)
            left = start
    finally:
        os.close(source)
    part.unlink()


def _put(out: int, data: bytes, at: int) -> None:
    rest = memoryview(data)
    while rest:
        done = os.pwrite(out, rest, at)
        rest, at = rest[done:], at + done


def _u32(value: int) -> bytes:
    return struct.pack("=I", value)


def _sized(data: bytes) -> bytes:
    return struct.pack("=Q", len(data)) + data


def _option(number: int, data: bytes) -> bytes:
    data += b"\0"
    return struct.pack("=HI", number, len(data)) + data
