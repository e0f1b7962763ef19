# SPDX-License-Identifier: GPL-2.0-or-later
"""Pages of ftrace's ring buffer: each CPU's records in turn, then all CPUs' in the order of time.

Source: Linux v6.12 kernel/trace/ring_buffer.c, include/linux/ring_buffer.h (enum ring_buffer_type).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, NoReturn

import numpy as np
from numpy.typing import NDArray

from pageout.readers.dat_file import PageHeader
from pageout.readers.stream import BACK_NS
from pageout.vocabulary.errors import TraceError

Array = NDArray[Any]

CHUNK = 1 << 17  # records of a CPU taken at once, at most a page more

# type_len of a record's head; up to 28 it is the length of the data in words of 4 bytes, 0: the length follows
PADDING, TIME_EXTEND, TIME_STAMP = 29, 30, 31
DELTA_BITS = 27
COMMIT_MASK = (1 << 27) - 1
MISSED, MISSED_STORED = 1 << 31, 1 << 30  # in the commit word: events are missing before this page; how many is stored
KEPT_BITS = 59  # of a time stamp record: the rest is the page's
OK, BAD_COMMIT, BAD_RECORD = range(3)
_WHY = {BAD_COMMIT: "a page that says it holds more than a page", BAD_RECORD: "a record longer than its page"}


class Layout(NamedTuple):
    """How pages are laid out in one file."""

    page_size: int
    header: PageHeader
    big: bool


class Scanned(NamedTuple):
    """Records of some pages: time in the clock's unit, place and length of the data; holes as (record, how many)."""

    time: Array
    at: Array
    size: Array
    holes: list[tuple[int, int]]
    next: int  # offset of the page after these
    problem: int  # OK, or what is wrong with the page at `next`


Scan = Callable[[Layout, int, int], Scanned]  # layout, offset of the first page, end of the data


class Batch(NamedTuple):
    """Records in the order of time."""

    first_line: int
    time: Array
    at: Array
    size: Array
    cpu: Array
    holes: list[tuple[int, int, int, str]]  # row, cpu, lost, why


@dataclass
class Stream:
    """The pages of one CPU, and what was read of them but not handed on."""

    cpu: int
    offset: int
    end: int
    layout: Layout
    cut: bool = False  # the file ends before the data does
    key: Array = field(default_factory=lambda: np.zeros(0, np.int64))  # time that never goes back: the order to keep
    time: Array = field(default_factory=lambda: np.zeros(0, np.int64))
    at: Array = field(default_factory=lambda: np.zeros(0, np.int64))
    size: Array = field(default_factory=lambda: np.zeros(0, np.int32))
    holes: list[tuple[int, int, str]] = field(default_factory=list)  # pending row, lost, why

    @property
    def done(self) -> bool:
        """Whether all pages were read."""
        return self.offset + self.layout.header.data_offset > self.end

    def read(self, name: str, scan: Scan) -> None:
        """Read some more pages.  Raises TraceError."""
        found = scan(self.layout, self.offset, self.end)
        if found.problem:
            _fail(name, found.next, _WHY[found.problem])
        self.offset = found.next
        before = len(self.time)
        last = self.key[-1:] if before else np.zeros(0, np.int64)
        key = np.maximum.accumulate(np.concatenate([last, found.time]))[len(last) :]
        back = np.flatnonzero(np.diff(np.concatenate([self.time[-1:], found.time])) < -BACK_NS) + 1 - min(before, 1)
        self.holes += [(before + row, lost, "lost") for row, lost in found.holes]
        self.holes += [(before + int(row), -1, "times go back") for row in back[:1000]]
        self.holes.sort()
        self.key = np.concatenate([self.key, key])
        self.time = np.concatenate([self.time, found.time])
        self.at = np.concatenate([self.at, found.at])
        self.size = np.concatenate([self.size, found.size])

    def take(self, count: int) -> tuple[Array, Array, Array, Array, list[tuple[int, int, str]]]:
        """Hand on the first records: key, time, place, length, holes."""
        parts = (self.key[:count], self.time[:count], self.at[:count], self.size[:count])
        rest = [hole for hole in self.holes if hole[0] >= count]
        holes = self.holes[: len(self.holes) - len(rest)]
        self.key, self.time = self.key[count:], self.time[count:]
        self.at, self.size = self.at[count:], self.size[count:]
        self.holes = [(row - count, lost, why) for row, lost, why in rest]
        return (*parts, holes)


def _fail(name: str, offset: int, why: str) -> NoReturn:
    raise TraceError(f"{name}: trace.dat broken at byte {offset:,}: {why}")


def merged(name: str, streams: Sequence[Stream], scan: Scan) -> Iterator[Batch]:
    """Yield the records of all CPUs by time; of equal times the lower CPU's first.  Raises TraceError."""
    line = 1
    while True:
        for stream in streams:
            while not len(stream.key) and not stream.done:
                stream.read(name, scan)
        bounds = [int(stream.key[-1]) for stream in streams if not stream.done]
        counts = [int(np.searchsorted(stream.key, min(bounds))) if bounds else len(stream.key) for stream in streams]
        if not any(counts):
            if not bounds:
                break
            for stream in streams:
                if not stream.done and stream.key[-1] == min(bounds):
                    stream.read(name, scan)
            continue
        batch = _merge(line, streams, counts)
        line += len(batch.time)
        yield batch
    holes = [
        (0, stream.cpu, lost, why)
        for stream in streams
        for _, lost, why in [*stream.holes, *([(0, -1, "the file ends early")] if stream.cut else [])]
    ]
    if holes:
        nothing = np.zeros(0, np.int64)
        yield Batch(line, nothing, nothing, nothing, nothing, holes)


def _merge(line: int, streams: Sequence[Stream], counts: Sequence[int]) -> Batch:
    parts = [(stream.cpu, *stream.take(count)) for stream, count in zip(streams, counts, strict=True) if count]
    if len(parts) == 1:
        cpu, _, time, at, size, holes = parts[0]
        cpus = np.full(len(time), cpu, np.int16)
        return Batch(line, time, at, size, cpus, [(row, cpu, lost, why) for row, lost, why in holes])
    order = np.argsort(np.concatenate([part[1] for part in parts]), kind="stable")
    time, at, size = (np.concatenate([part[n] for part in parts])[order] for n in (2, 3, 4))
    cpus = np.concatenate([np.full(len(part[1]), part[0], np.int16) for part in parts])[order]
    all_holes: list[tuple[int, int, int, str]] = []
    start = 0
    for cpu, key, _, _, _, found in parts:
        if found:
            place = np.flatnonzero((order >= start) & (order < start + len(key)))
            all_holes += [(int(place[row]), cpu, lost, why) for row, lost, why in found]
        start += len(key)
    return Batch(line, time, at, size, cpus, sorted(all_holes))


def plain_scan(data: memoryview) -> Scan:
    """Return a scan that needs no compiled code: for recordings so small that nobody should wait for any."""

    def scan(layout: Layout, first: int, end: int) -> Scanned:
        pages = _Pages(data, layout, first, end)
        pages.run()
        return pages.scanned()

    return scan


class _Pages:
    """Reads pages one after the other, in plain Python."""

    def __init__(self, data: memoryview, layout: Layout, first: int, end: int) -> None:
        self.data, self.layout, self.offset, self.end = data, layout, first, end
        self.order = "big" if layout.big else "little"
        self.time: list[int] = []
        self.at: list[int] = []
        self.size: list[int] = []
        self.holes: list[tuple[int, int]] = []
        self.problem = OK

    def number(self, at: int, size: int) -> int:
        return int.from_bytes(self.data[at : at + size], "big" if self.layout.big else "little")

    def run(self) -> None:
        header = self.layout.header
        while self.offset + header.data_offset <= self.end and len(self.time) < CHUNK:
            limit = min(self.offset + self.layout.page_size, self.end)
            commit = self.number(self.offset + header.commit_offset, header.commit_size)
            start = self.offset + header.data_offset
            stop = start + (commit & COMMIT_MASK)
            if stop > limit:
                self.problem = BAD_COMMIT
                return
            if commit & MISSED:
                stored = commit & MISSED_STORED and stop % 4 == 0 and stop + header.commit_size <= limit
                lost = _signed(self.number(stop, header.commit_size)) if stored else -1
                self.holes.append((len(self.time), lost if lost > 0 else -1))
            before = len(self.time)
            if not self.page(start, stop, _signed(self.number(self.offset, 8))):
                self.problem = BAD_RECORD
                del self.time[before:], self.at[before:], self.size[before:]
                return
            self.offset = limit if limit < self.end else self.end

    def page(self, at: int, stop: int, time: int) -> bool:
        """Read the records of one page; False if one does not fit."""
        while at + 4 <= stop:
            head = self.number(at, 4)
            kind, delta = (head >> DELTA_BITS, head & COMMIT_MASK) if self.layout.big else (head & 31, head >> 5)
            at += 4
            if kind == PADDING:
                if not delta or at + 4 > stop:
                    return True
                time, at = time + delta, at + self.number(at, 4)
                if at % 4:
                    return False
            elif kind in (TIME_EXTEND, TIME_STAMP):
                if at + 4 > stop:
                    return False
                extended = (self.number(at, 4) << DELTA_BITS) + delta
                kept = time >> KEPT_BITS << KEPT_BITS
                time, at = (time + extended if kind == TIME_EXTEND else kept | extended), at + 4
            else:
                size = kind * 4
                if not kind:
                    size = (self.number(at, 4) - 4 + 3) & ~3 if at + 4 <= stop else -1
                    at += 4
                if not 0 <= size <= stop - at:
                    return False
                time = _signed(time + delta)
                self.time.append(time)
                self.at.append(at)
                self.size.append(size)
                at += size
            time = _signed(time)
        return True

    def scanned(self) -> Scanned:
        return Scanned(
            np.array(self.time, np.int64),
            np.array(self.at, np.int64),
            np.array(self.size, np.int32),
            self.holes,
            self.offset,
            self.problem,
        )


def _signed(value: int) -> int:
    return ((value + (1 << 63)) & ((1 << 64) - 1)) - (1 << 63)
