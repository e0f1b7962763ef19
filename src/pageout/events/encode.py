# SPDX-License-Identifier: GPL-2.0-or-later
"""Ring records to the text a kernel prints for them, compiled: importing this imports numba.

The compiled loop runs the steps of `text_program` over each record, into one buffer that is handed on when full.
Lines are those of 3.1, with its header, or those of 6.x: what kernels between them print is in no simulated trace.

Source: Linux v3.1.3 kernel/trace/trace_output.c:trace_print_context, ftrace_print_flags_seq;
kernel/trace/trace.c:ns2usecs, trace_find_cmdline, print_trace_line; lib/vsprintf.c:pointer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from pageout.events.recording import RECORD, Array
from pageout.events.text_program import (
    BDI,
    BYTES,
    CGROUP,
    COMM,
    COMM_OF,
    DEFAULT_TEXT,
    DEV,
    FLAG,
    FLAGS,
    HASHED,
    HEX,
    HEX_TEXT,
    INT,
    LONG,
    MAX_LINE,
    NAME_BYTES,
    NONE,
    NULL_TEXT,
    PAGE,
    PFN,
    ROW,
    SB_DEV,
    SHRINKER,
    STEP,
    UINT,
    ULONG,
    UNKNOWN_TEXT,
    program,
)
from pageout.jit import bind_state, kentry, kernel_view, kfn
from pageout.vocabulary.errors import InvariantError
from pageout.vocabulary.prints import COLUMNS, COUNTS, is_later
from pageout.vocabulary.tracepoints import (
    DEV_T,
    FIRST_NAME,
    MINOR_BITS,
    NO_DEVICE,
    NULL_PAGE_PFN,
    NULL_PFN,
    PAGE_STRUCT_BYTES,
    TRACEPOINTS,
    VMEMMAP_START,
)

HEADER = (
    b"# tracer: nop\n#\n"
    b"#           TASK-PID    CPU#    TIMESTAMP  FUNCTION\n"
    b"#              | |       |          |         |\n"
)

FIRST_CGROUP_INO, COUNTS_BYTES = 1000, 78  # assumed inode of the first group; room for the line that says how many
CONTEXT_BYTES = 5
COMM_BYTES = 16  # TASK_COMM_LEN, the final NUL included
OUT_BYTES = 1 << 20
WORDS = RECORD.itemsize // 8
_MAX = (1 << 63) - 1
_VMEMMAP = VMEMMAP_START - (1 << 64)
_NULL_PAGE_PFN = NULL_PAGE_PFN - (1 << 64 if NULL_PAGE_PFN > _MAX else 0)

_PARAM = np.dtype([(name, "i8") for name in (
    "nr_records", "first", "next", "out_size", "used", "nr_pids", "last_pid", "last_row", "nr_names",
    "nr_rows", "nr_bdis",  # devices with writeback: rows beyond are of memory cgroups on them; 0: there are none
)])  # fmt: skip

LAYOUT = {
    "param": (_PARAM, True),
    "ring": (np.dtype("i8"), False),
    "out": (np.dtype("u1"), False),
    "first_step": (np.dtype("i4"), False),
    "context": (np.dtype("i4"), False),
    "step": (STEP, False),
    "flag_row": (FLAG, False),
    "pool": (np.dtype("u1"), False),
    "pids": (np.dtype("i4"), False),
    "comms": (np.dtype("u1"), False),
    "names": (np.dtype("u1"), False),
}
_at = kernel_view(LAYOUT)

_SPACE, _ZERO, _MINUS, _COLON, _COMMA, _DOT, _A = 32, 48, 45, 58, 44, 46, 97


@kfn
def put_text(k: Any, at: int, start: int, length: int) -> Any:
    """Copy a literal of the pool."""
    for index in range(length):
        k.out[at + index] = k.pool[start + index]
    return at + length


@kfn
def put_unsigned(k: Any, at: int, value: int, width: int, pad: int) -> Any:
    """Print a 64-bit word as an unsigned decimal, right-justified in `width`."""
    tens = (value >> 1 & _MAX) // 5
    last = value - tens * 10 & 15
    length = 1
    rest = tens
    while rest > 0:
        rest //= 10
        length += 1
    while length < width:
        k.out[at] = pad
        at += 1
        width -= 1
    at += length
    k.out[at - 1] = _ZERO + last
    for index in range(1, length):
        rest = tens // 10
        k.out[at - 1 - index] = _ZERO + tens - rest * 10
        tens = rest
    return at


@kfn
def put_signed(k: Any, at: int, value: int) -> Any:
    """Print a 64-bit word as a signed decimal."""
    if value < 0:
        k.out[at] = _MINUS
        return put_unsigned(k, at + 1, -value, 1, _ZERO)
    return put_unsigned(k, at, value, 1, _ZERO)


@kfn
def put_hex(k: Any, at: int, value: int, digits: int) -> Any:
    """Print a 64-bit word in lower-case hexadecimal, in at least `digits` digits."""
    length = 16
    while length > digits and value >> (length * 4 - 4) & 15 == 0:
        length -= 1
    for index in range(length):
        digit = value >> ((length - 1 - index) * 4) & 15
        k.out[at + index] = _ZERO + digit if digit < 10 else _A + digit - 10
    return at + length


@kfn
def put_page(k: Any, at: int, pfn: int) -> Any:
    """Print the struct page of a pfn as %p does."""
    if pfn != NULL_PFN:
        return put_hex(k, at, _VMEMMAP + pfn * PAGE_STRUCT_BYTES, 16)
    for index in range(10):
        k.out[at + index] = _SPACE
    return put_text(k, at + 10, NULL_TEXT, 6)


@kfn
def put_hashed(k: Any, at: int, pfn: int) -> Any:
    """Print 32 bits that stand for the struct page of a pfn, as %p does since 4.15. assumed: the hash."""
    if pfn == NULL_PFN:
        return put_hex(k, at, 0, 16)
    return put_hex(k, at, (pfn * 2654435761 ^ pfn >> 7) & 0xFFFFFFFF, 16)


@kfn
def put_flags(k: Any, at: int, step: Any, value: int) -> Any:
    """Print the names of the masks wholly in `value`, first come first served, then the rest in hexadecimal."""
    if value == 0:
        return put_text(k, at, step.zero, step.zero_length)
    start = at
    row = step.first
    while value != 0 and row < step.end:
        flag = k.flag_row[row]
        row += 1
        mask = flag.mask
        if value & mask != mask:
            continue
        value ^= mask
        if at != start and step.separator:
            k.out[at] = step.separator
            at += 1
        at = put_text(k, at, flag.text, flag.text_length)
    if value != 0:
        if at != start and step.separator:
            k.out[at] = step.separator
            at += 1
        at = put_hex(k, put_text(k, at, HEX_TEXT, 2), value, 1)
    return at


@kfn
def put_name(k: Any, at: int, value: int) -> Any:
    """Print a name the recording keeps."""
    row = FIRST_NAME - value
    if row >= k.param.nr_names:
        return put_text(k, at, UNKNOWN_TEXT, 7)
    for index in range(NAME_BYTES):
        letter = k.names[row * NAME_BYTES + index]
        if letter == 0:
            break
        k.out[at] = letter
        at += 1
    return at


@kfn
def put_device(k: Any, at: int, kind: int, device: int) -> Any:
    """Print a device number as the bdi's name, MAJ:MIN or MAJ,MIN."""
    if device <= FIRST_NAME:
        return put_name(k, at, device)
    major = 0
    minor = 0
    if device == NO_DEVICE:
        if kind == BDI:
            return put_text(k, at, DEFAULT_TEXT, 7)
    elif device >= DEV_T:
        major = device - DEV_T >> MINOR_BITS
        minor = device & (1 << MINOR_BITS) - 1
    else:
        major = 8 if device < 16 else 64 + device // 16
        minor = device % 16 * 16
    at = put_unsigned(k, at, major, 1, _ZERO)
    k.out[at] = _COMMA if kind == DEV else _COLON
    return put_unsigned(k, at + 1, minor, 1, _ZERO)


@kfn
def comm_row(k: Any, pid: int) -> Any:
    """Return the row of the name of a task; the last two rows are <idle> and <...>."""
    param = k.param
    if pid == param.last_pid:
        return param.last_row
    low = 0
    high = param.nr_pids
    while low < high:
        middle = (low + high) // 2
        if k.pids[middle] < pid:
            low = middle + 1
        else:
            high = middle
    if pid == 0:
        low = param.nr_pids
    elif low == param.nr_pids or k.pids[low] != pid:
        low = param.nr_pids + 1
    param.last_pid = pid
    param.last_row = low
    return low


@kfn
def put_comm(k: Any, at: int, pid: int, width: int) -> Any:
    """Print the name of a task, right-justified in `width`."""
    start = comm_row(k, pid) * COMM_BYTES
    length = 0
    while length < COMM_BYTES - 1 and k.comms[start + length] != 0:
        length += 1
    for _ in range(length, width):
        k.out[at] = _SPACE
        at += 1
    for index in range(length):
        k.out[at + index] = k.comms[start + index]
    return at + length


@kfn
def put_prefix(k: Any, at: int, time_ns: int, pid: int, cpu: int, event: int) -> Any:
    """Print `comm-pid [cpu] secs.usecs: `, the time rounded to a microsecond; today a context stands before it."""
    at = put_comm(k, at, pid, 16)
    k.out[at] = _MINUS
    end = put_signed(k, at + 1, pid)
    context = k.context[event] if pid != 0 else k.context[k.param.nr_rows]
    digits = 5 if context == 0 else 7
    while end < at + 1 + digits:
        k.out[end] = _SPACE
        end += 1
    k.out[end] = _SPACE
    k.out[end + 1] = 91  # [
    at = put_unsigned(k, end + 2, cpu, 3, _ZERO)
    k.out[at] = 93
    k.out[at + 1] = _SPACE
    at += 2
    if context:
        at = put_text(k, at, context, CONTEXT_BYTES)
        k.out[at] = _SPACE
        at += 1
    usecs = (time_ns + 500) // 1000
    at = put_unsigned(k, at, usecs // 1000000, 5, _SPACE)
    k.out[at] = _DOT
    at = put_unsigned(k, at + 1, usecs % 1000000, 6, _ZERO)
    k.out[at] = _COLON
    k.out[at + 1] = _SPACE
    return at + 2


@kfn
def put_value(k: Any, at: int, step: Any, value: int, pid: int) -> Any:
    """Print one word by the step's printer, cut to its C type."""
    kind = step.kind
    if kind == INT:
        return put_signed(k, at, ((value + (1 << 31)) & 0xFFFFFFFF) - (1 << 31))
    if kind == UINT:
        return put_unsigned(k, at, value & 0xFFFFFFFF, 1, _ZERO)
    if kind == LONG:
        return put_signed(k, at, value)
    if kind == ULONG:
        return put_unsigned(k, at, value, 1, _ZERO)
    if kind == FLAGS:
        return put_flags(k, at, step, value)
    if kind == PFN:
        return put_unsigned(k, at, _NULL_PAGE_PFN if value == NULL_PFN else value, 1, _ZERO)
    if kind == PAGE:
        return put_page(k, at, value)
    if kind == COMM:
        return put_comm(k, at, pid, 0)
    if kind == COMM_OF:
        return put_comm(k, at, value, 0)
    if kind == HEX:
        return put_hex(k, at, value, 1)
    if kind == BYTES:
        return put_unsigned(k, at, value << 9 & 0xFFFFFFFF, 1, _ZERO)
    if kind == HASHED:
        return put_hashed(k, at, value)
    if kind == CGROUP:  # the inode of the group's folder: 1 is the root's
        number = value // k.param.nr_bdis
        return put_unsigned(k, at, FIRST_CGROUP_INO + number if number else 1, 1, _ZERO)
    if kind in (ROW, SHRINKER):
        row = step.first + value
        if value < 0 or row >= step.end:
            return put_name(k, at, value)
        return put_text(k, at, k.flag_row[row].text, k.flag_row[row].text_length)
    if k.param.nr_bdis > 0 and kind in (BDI, SB_DEV) and 0 <= value < DEV_T:
        value %= k.param.nr_bdis
    return put_device(k, at, kind, value)


def encode_records(address: Any, limit: int) -> Any:
    """Print records from `first` on until `limit` of them are printed or the buffer is full; returns the next."""
    k = _at(address)
    param = k.param
    number = param.first
    end = min(param.nr_records, number + limit)
    at = 0
    while number < end and at + MAX_LINE <= param.out_size:
        start = number * WORDS
        packed = k.ring[start + 1]
        pid = ((packed & 0xFFFFFFFF) ^ 0x80000000) - 0x80000000
        event = packed >> 32 & 0xFFFF
        at = put_prefix(k, at, k.ring[start], pid, packed >> 48 & 0xFFFF, event)
        for index in range(k.first_step[event], k.first_step[event + 1]):
            step = k.step[index]
            at = put_text(k, at, step.text, step.text_length)
            if step.kind != NONE:
                at = put_value(k, at, step, k.ring[start + step.word], pid)
        k.out[at] = 10
        at += 1
        number += 1
    param.next = number
    param.used = at
    return number


_encode_records = kentry(encode_records)


def _text_rows(texts: Sequence[str], width: int) -> Array:
    """Return a matrix of NUL-padded names, flat; a line end inside a name would break the line and becomes `?`."""
    out = np.zeros((len(texts), width), np.uint8)
    for row, text in enumerate(texts):
        raw = text.encode("utf-8", "surrogateescape").replace(b"\n", b"?").split(b"\0")[0][: width - 1]
        out[row, : len(raw)] = np.frombuffer(raw, np.uint8)
    return out.reshape(-1)


class TextWriter:
    """Writes a trace: `drain` the ring into it as often as needed, then `close`.

    write:       takes each chunk of text (a file's write)
    comms:       names of tasks by pid; pass a new mapping to `drain` when tasks came or went
    names:       what device values from FIRST_NAME downwards stand for
    max_events:  0, or how many events are written before the rest is counted as LOST, as the kernel does
    kernel, cpus: whose text it is, and what its header says of the machine
    nr_bdis:     of a machine with memory cgroups: devices with writeback; a row from there on is of a group on one
    patch:       writes bytes over those at a place of the text: the header of today says how many events there are
    """

    def __init__(
        self,
        write: Callable[[bytes], object],
        comms: Mapping[int, str],
        names: Sequence[str] = (),
        max_events: int = 0,
        kernel: str = "",
        cpus: int = 1,
        patch: Callable[[int, bytes], object] | None = None,
        nr_bdis: int = 0,
    ) -> None:
        self._write = write
        self._patch, self._cpus, self._later = patch, cpus, is_later(kernel)
        self._left = max_events or -1
        self.written = 0
        self.bytes_written = 0
        self.lost: dict[int, int] = {}
        self._out = np.zeros(OUT_BYTES, np.uint8)
        self._param = np.zeros(1, _PARAM)
        self._comms: dict[int, str] | None = None
        self._arrays: dict[str, Array] = {
            "param": self._param,
            "out": self._out,
            "names": _text_rows([*names, ""], NAME_BYTES),
            **program(kernel, cgroups=nr_bdis > 0).arrays,
        }
        self._param["nr_rows"] = len(TRACEPOINTS)
        self._param["nr_names"] = len(names)
        self._param["nr_bdis"] = nr_bdis
        self._rename(comms)
        self._put(self._counts() + COLUMNS.encode() if self._later else HEADER)

    def _counts(self) -> bytes:
        """Return the header's first lines of today; the second is as long whatever it says."""
        said = COUNTS.format(self.written, self._cpus) if self._patch is not None else "#"
        return f"# tracer: nop\n#\n{said:{COUNTS_BYTES}}\n".encode()

    def _put(self, text: bytes) -> None:
        self._write(text)
        self.bytes_written += len(text)

    def _rename(self, comms: Mapping[int, str]) -> None:
        if comms == self._comms:
            return
        self._comms = dict(comms)
        pids = sorted(pid for pid in comms if pid > 0)
        self._arrays["pids"] = np.array([*pids, 0], np.int32)
        self._arrays["comms"] = _text_rows([*(comms[pid] for pid in pids), "<idle>", "<...>"], COMM_BYTES)
        self._param["nr_pids"] = len(pids)
        self._param["last_pid"] = -1
        self._param["last_row"] = len(pids) + 1

    def drain(self, records: Array, comms: Mapping[int, str] | None = None) -> None:
        """Write ring records (dtype RECORD) in their order."""
        if comms is not None:
            self._rename(comms)
        if len(records) == 0:
            return
        events = records["event"]
        if int(events.min()) < 0 or int(events.max()) >= len(TRACEPOINTS):
            raise InvariantError(f"ring record of event {int(events.max())}: there are {len(TRACEPOINTS)} tracepoints")
        if 0 <= self._left < len(records):
            cpus, counts = np.unique(records["cpu"][self._left :], return_counts=True)
            for cpu, count in zip(cpus.tolist(), counts.tolist(), strict=True):
                self.lost[cpu] = self.lost.get(cpu, 0) + count
            records = records[: self._left]
        self._encode(np.ascontiguousarray(records))
        self.written += len(records)
        if self._left > 0:
            self._left -= len(records)

    def _encode(self, records: Array) -> None:
        param = self._param
        param["nr_records"], param["first"], param["out_size"] = len(records), 0, len(self._out)
        block, address = bind_state({**self._arrays, "ring": records.view(np.int64)}, LAYOUT)
        while param["first"][0] < len(records):
            param["first"] = _encode_records(address, len(records))
            self._put(self._out[: int(param["used"][0])].tobytes())
        del block

    def close(self) -> None:
        """Say what the cap dropped. The file is the caller's to close."""
        for cpu, count in sorted(self.lost.items()):
            self._put(lost_line(cpu, count))
        self.lost = {}
        if self._patch is not None and self._later:
            self._patch(0, self._counts())


def lost_line(cpu: int, count: int) -> bytes:
    """Return the line that says how many events of one CPU were dropped."""
    return f"CPU:{cpu} [LOST {count} EVENTS]\n".encode()


def encode(
    records: Array, comms: Mapping[int, str], names: Sequence[str] = (), max_events: int = 0, kernel: str = ""
) -> bytes:
    """Return the whole text of some ring records, header included."""
    text = bytearray()

    def patch(at: int, part: bytes) -> None:
        text[at : at + len(part)] = part

    writer = TextWriter(text.extend, comms, names, max_events, kernel, patch=patch)
    writer.drain(records)
    writer.close()
    return bytes(text)
