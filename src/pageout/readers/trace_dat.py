# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads trace-cmd's trace.dat, versions 6 and 7, with no program's help."""

from __future__ import annotations

import mmap
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from itertools import takewhile
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pageout.events.blocks import Part
from pageout.events.tables import EventBuilder, OnBlock
from pageout.readers import dat_file
from pageout.readers.dat_bytes import Cursor
from pageout.readers.dat_fields import FieldReader, Gather, Rows
from pageout.readers.dat_file import MAGIC, Buffer, CpuData, DatFile
from pageout.readers.dat_frames import FrameMaker
from pageout.readers.dat_names import MAX_PID, ContextLetters, Lookup, Symbols, release_of, task_names
from pageout.readers.dat_plan import Plan, make_plan
from pageout.readers.event_format import EventFormat, parse_format
from pageout.readers.facts import KernelVersion
from pageout.readers.lines import MAX_UNREAD, Account
from pageout.readers.ring_buffer import Batch, Layout, Scan, Stream, merged, plain_scan
from pageout.readers.stream import MAX_FRAMES
from pageout.vocabulary.schema import event_of

if TYPE_CHECKING:
    from pageout.readers.read import Input

Array = NDArray[Any]

SMALL = 1 << 22  # bytes of pages: below, plain Python is done sooner than compiled code is loaded
STACKS = ("kernel_stack", "user_stack")  # records that belong to the one before: no events
LOOK_BACK = 1000  # records between an event and its stack
_BARE_CLOCKS = {"counter": "counter", "uptime": "counter", "x86-tsc": "tsc", "ppc-tb": "tsc"}


def is_recording(head: bytes) -> bool:
    """Whether a file that begins so is a trace.dat."""
    return head.startswith(MAGIC)


def read_recording(name: str, pieces: Iterable[bytes], on_block: OnBlock | None = None) -> Input:
    """Read a trace.dat: `name` if it is a plain file, else its unpacked bytes.  Raises TraceError.

    on_block: as of `EventBuilder`
    """
    data = _whole(name, pieces)
    dat = dat_file.parse(name, memoryview(data.data))
    if dat.latency and not dat.buffers:
        return _latency(dat, on_block)
    return _Recording(dat, on_block).read()


def _whole(name: str, pieces: Iterable[bytes]) -> Array:
    path = Path(name)
    if path.is_file():
        with path.open("rb") as file:
            if is_recording(file.read(len(MAGIC))):
                return _mapped(file)
    with tempfile.TemporaryFile() as spool:
        for piece in pieces:
            spool.write(piece)
        spool.flush()
        return _mapped(spool)


def _mapped(file: IO[bytes]) -> Array:
    """Return a file's bytes: mapped, not read."""
    if not file.seek(0, 2):
        return np.zeros(0, np.uint8)
    return np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), np.uint8)


def _latency(dat: DatFile, on_block: OnBlock | None) -> Input:
    """Read the text a recording of a latency tracer holds in place of pages."""
    from pageout.readers.read import read_pieces

    found = read_pieces(dat.name, iter(dat.latency), on_block)
    found.kind = f"{_kind(dat)} with {found.kind}"
    found.facts = [*_facts(dat), *found.facts]
    return found


def _facts(dat: DatFile) -> list[Any]:
    release = release_of(dat.texts.get("uname", ""))
    return [KernelVersion(0, release)] if release else []


def _kind(dat: DatFile) -> str:
    said = [dat.packing] if dat.packing != "none" else []
    said += ["big-endian"] if dat.big else []
    said += [f"instance {buffer.name[:40]}" for buffer in dat.buffers if buffer.name][:8]
    return f"trace.dat v{dat.version}" + (f" ({', '.join(said)})" if said else "")


class _Sorted(NamedTuple):
    """Records of a batch by event, those of one event by time."""

    line: Array
    segment: Array
    time: Array
    at: Array
    size: Array
    cpu: Array


class _Recording:
    """One recording on its way to frames."""

    def __init__(self, dat: DatFile, on_block: OnBlock | None) -> None:
        self.dat = dat
        self.builder = EventBuilder(on_block)
        self.account = Account()
        self.release = release_of(dat.texts.get("uname", ""))
        self.formats = _formats(dat)
        self.plans: dict[int, Plan | None] = {}
        self.hz = _hz(self.formats)
        self.names = task_names(dat.cmdlines)
        self.last_pid = min(max(self.names), MAX_PID)
        self.comms, self.contexts = Lookup(self.last_pid + 2), Lookup(1 << 16)
        self.letters = ContextLetters(self.release)

    def read(self) -> Input:
        from pageout.readers.read import Input

        data, streams = _streams(self.dat)
        nbytes = sum(stream.end - stream.offset for stream in streams)
        scan, gather = _loops(data, nbytes, big=self.dat.big)
        self.fields = FieldReader(data, big=self.dat.big, gather=gather)
        self.symbols = Symbols(self.dat.kallsyms)
        self.maker = FrameMaker(self.fields, self.builder, self.symbols, self.dat.page.commit_size)
        for batch in merged(self.dat.name, streams, scan):
            self.take(batch)
        self.overwritten()
        self.account.unread_lines.sort()
        self.builder.clock = self.clock()
        self.builder.nr_cpus = self.dat.nr_cpus or None
        kind = _kind(self.dat)
        self.account.kinds[kind] = self.account.lines
        events = self.builder.finish() if self.builder.nr_events or self.builder.holes else None
        return Input(self.dat.name, self.account, _facts(self.dat), events, kind, "record")

    def clock(self) -> str:
        clock = next((buffer.clock for buffer in self.dat.buffers if buffer.clock), self.dat.clock)
        return "seconds" if self.dat.tsc is not None else _BARE_CLOCKS.get(clock, "seconds")

    def take(self, batch: Batch) -> None:
        """Sort records by event, and make a frame of each."""
        nr = len(batch.time)
        segment = self.segments(batch)
        self.account.lines += nr
        if not nr:
            return
        numbers = self.fields.unsigned(batch.at, 2)
        order = np.argsort(numbers, kind="stable")
        numbers, segment = numbers[order], segment[order]
        parts = (part[order] for part in (batch.time, batch.at, batch.size, batch.cpu))
        sorted_ = _Sorted(order + batch.first_line, segment, *parts)
        starts = np.flatnonzero(np.diff(numbers.astype(np.int64), prepend=-1))
        for start, end in zip(starts.tolist(), [*starts[1:].tolist(), nr], strict=True):
            self.event(int(numbers[start]), _Sorted(*(column[start:end] for column in sorted_)), batch)

    def segments(self, batch: Batch) -> Array:
        segment = np.full(len(batch.time), self.builder.segment, np.uint16)
        for row, cpu, lost, why in batch.holes:
            self.builder.hole(batch.first_line + row, cpu, lost, why)
            segment[row:] = self.builder.segment
        return segment

    def event(self, number: int, records: _Sorted, batch: Batch) -> None:
        plan = self.plan(number)
        if plan is None:
            self.unread(records.line, f"a record of event {number}, which has no format in the file")
            return
        if plan.form.system == "ftrace" and plan.form.name in STACKS:
            self.account.known_non_events += len(records.line)
            if plan.form.name == "kernel_stack" and "caller" in plan.form.fields:
                self.stacks(plan.form.fields["caller"].offset, records, batch)
            return
        short = records.size < plan.min_size
        if short.any():
            self.unread(records.line[short], f"{plan.form.name}: a record too short for its format")
            records = _Sorted(*(column[~short] for column in records))
        if len(records.line):
            self.frame(plan, records)

    def stacks(self, offset: int, records: _Sorted, batch: Batch) -> None:
        """Keep kernel stacks: each is that of the record before it on its CPU."""
        width = self.dat.page.commit_size
        order: Literal["big", "little"] = "big" if self.dat.big else "little"
        nr_frames = np.minimum((records.size - offset) // width, MAX_FRAMES).tolist()
        for line, at, nr in zip(records.line.tolist(), records.at.tolist(), nr_frames, strict=True):
            row = line - batch.first_line
            before = np.flatnonzero(batch.cpu[max(row - LOOK_BACK, 0) : row] == batch.cpu[row])
            owner = line - min(row, LOOK_BACK) + int(before[-1]) if len(before) else line
            places = range(at + offset, at + offset + nr * width, width)
            words = [int.from_bytes(self.fields.data[place : place + width].tobytes(), order) for place in places]
            callers = takewhile(lambda word: word not in (0, (1 << 8 * width) - 1), words)
            self.builder.stack(owner, [self.symbols(word).partition("+")[0] or f"0x{word:x}" for word in callers])

    def frame(self, plan: Plan, records: _Sorted) -> None:
        rows = self.fields.load(Rows(records.at, records.size), plan.fields)
        numbers = (
            self.time(records.time), records.line.astype(np.uint32), records.segment, records.cpu.astype(np.int16),
        )  # fmt: skip
        common = [*(Part(column, None) for column in numbers), *self.task(plan.form, rows)]
        if plan.kind is not None:
            self.builder.add_columns(plan.kind, self.maker.known(plan, plan.kind, rows, common))
            for key in plan.unknown:
                self.builder.unknown_fields[plan.kind.name, key] += len(records.line)
        else:
            self.builder.add_columns(None, self.maker.other(plan, rows, common))
        self.account.events += len(records.line)

    def task(self, form: EventFormat, rows: Rows) -> list[Part]:
        """Return pid, comm and context."""
        common = form.fields
        pid = self.fields.numbers(common["common_pid"], rows).astype(np.int32)
        code = np.zeros(len(pid), np.int64)
        for name, shift in (("common_flags", 8), ("common_preempt_count", 0)):
            if name in common and common[name].size == 1:
                code |= self.fields.numbers(common[name], rows).astype(np.int64) << shift
        inside = np.where((pid < 0) | (pid > self.last_pid), self.last_pid + 1, pid)  # that one has no name
        return [
            Part(pid, None),
            self.comms.column(inside, self.comm_word),
            self.contexts.column(code & 0xFFFF, lambda code: self.builder.word(self.letters.text(code).encode())),
        ]

    def comm_word(self, pid: int) -> int | None:
        name = self.names.get(pid)
        return self.builder.word(name) if name is not None else None

    def plan(self, number: int) -> Plan | None:
        """Return the plan of an event's records, None if the file has no format of it."""
        if number not in self.plans:
            form = self.formats.get(number)
            self.plans[number] = make_plan(form, event_of(form.name), self.hz) if form is not None else None
        return self.plans[number]

    def time(self, time: Array) -> Array:
        """Return times in ns, with the file's offset."""
        if self.dat.tsc is not None:
            factor, shift = (np.uint64(number) for number in self.dat.tsc)
            low, high = (time.view(np.uint64) & np.uint64(0xFFFFFFFF)), time.view(np.uint64) >> np.uint64(32)
            left = high * factor << np.uint64(32) - shift if shift <= 32 else high * factor >> shift - np.uint64(32)
            time = ((low * factor >> shift) + left).view(np.int64)
        return time + np.int64(self.dat.ts_offset)

    def unread(self, lines: Array, why: str) -> None:
        self.account.unread += len(lines)
        room = MAX_UNREAD - len(self.account.unread_lines)
        self.account.unread_lines += [(line, why) for line in lines[: max(room, 0)].tolist()]

    def overwritten(self) -> None:
        """Say what the kernel counted as lost beyond the marks in the pages."""
        for cpu, lost in _counted(self.dat.cpustats).items():
            marked = [hole.lost for hole in self.builder.holes if hole.cpu == cpu and hole.why == "lost"]
            if min(marked, default=0) >= 0 and lost > sum(marked):
                self.builder.hole(1, cpu, lost - sum(marked), "overwritten")


def _formats(dat: DatFile) -> dict[int, EventFormat]:
    found: dict[int, EventFormat] = {}
    for system, text in dat.formats:
        form = parse_format(system, text)
        if form is not None and "common_pid" in form.fields and form.fields["common_pid"].size == 4:
            found.setdefault(form.number, form)
    return found


def _hz(formats: Mapping[int, EventFormat]) -> int:
    """Return the kernel's HZ, which some formats divide jiffies by; 0 if none does."""
    found = (re.search(r"\(jiffies - REC->\w{1,40}\) / (\d{2,4})\b", form.print_fmt) for form in formats.values())
    return next((int(match[1]) for match in found if match is not None), 0)


def _counted(stats: list[str]) -> dict[int, int]:
    """Return the events per_cpu/cpuN/stats counts as lost, by CPU."""
    found: dict[int, int] = {}
    for text in stats:
        cpu = re.search(r"CPU:\s{0,3}(\d{1,5})\b", text)
        if cpu is not None:
            lost = re.findall(r"^(?:overrun|dropped events): (\d{1,18})$", text, re.MULTILINE)
            found[int(cpu[1])] = found.get(int(cpu[1]), 0) + sum(map(int, lost))
    return found


def _loops(data: Array, nbytes: int, *, big: bool) -> tuple[Scan, Gather | None]:
    if nbytes < SMALL:
        return plain_scan(memoryview(data.data)), None
    from pageout.readers.ring_scan import compiled_gather, compiled_scan

    return compiled_scan(data), compiled_gather(data, big=big)


def _streams(dat: DatFile) -> tuple[Array, list[Stream]]:
    """Return the bytes pages are in, and each CPU's share: packed pages are unpacked into a file without a name."""
    if not any(buffer.packed or cpu.offset % 4 for buffer in dat.buffers for cpu in buffer.cpus if cpu.size):
        return np.asarray(dat.data, np.uint8), [
            _stream(dat, buffer, cpu, len(dat.data)) for buffer in dat.buffers for cpu in buffer.cpus if cpu.size
        ]
    streams = []
    with tempfile.TemporaryFile() as spool:
        for buffer in dat.buffers:
            for cpu in buffer.cpus:
                if not cpu.size:
                    continue
                start = spool.tell()
                for piece in _pages(dat, buffer, cpu):
                    spool.write(piece)
                stream = _stream(dat, buffer, CpuData(cpu.cpu, start, spool.tell() - start), spool.tell())
                streams.append(stream)
                spool.write(bytes(-spool.tell() % 8))
        spool.flush()
        return _mapped(spool), streams


def _pages(dat: DatFile, buffer: Buffer, cpu: CpuData) -> Iterator[bytes | memoryview]:
    cursor = Cursor(dat.name, dat.data, big=dat.big)
    cursor.go(cpu.offset)
    if not buffer.packed:
        yield cursor.take(min(cpu.size, len(dat.data) - cpu.offset), f"the pages of CPU {cpu.cpu}")
        return
    for _ in range(cursor.number(4, f"the number of packed blocks of CPU {cpu.cpu}")):
        yield dat.unpacker.block(cursor)


def _stream(dat: DatFile, buffer: Buffer, cpu: CpuData, nbytes: int) -> Stream:
    cursor = Cursor(dat.name, dat.data, big=dat.big)
    if cpu.offset >= nbytes:
        cursor.fail(f"the pages of CPU {cpu.cpu} should be at {cpu.offset:,}: the file has {nbytes:,} bytes")
    end = cpu.offset + cpu.size
    cut = end > nbytes
    if cut:  # what is left of a recording is read page by page, as far as they are whole
        end = cpu.offset + (nbytes - cpu.offset) // buffer.page_size * buffer.page_size
    return Stream(cpu.cpu, cpu.offset, end, Layout(buffer.page_size, dat.page, dat.big), cut)
