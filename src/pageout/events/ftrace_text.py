# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads ftrace text (`comm-pid [cpu] secs.usecs: event: payload`) into a Recording, accounting for every line.

The comm is whatever stands before `-PID [CPU] TIME: EVENT:` and may hold anything. Flags, TGID and CPU may be there or
not. Payloads are matched against the schema; aliases of later kernels and fields they append are taken. What is in no
row, or does not have its row's form, is kept as it stands.
"""

from __future__ import annotations

import re
import string
from array import array
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import IO

import numpy as np

from pageout.events.recording import OtherEvent, Recording, columns
from pageout.vocabulary.errors import TraceError
from pageout.vocabulary.tracepoints import (
    FIRST_NAME,
    GFP_FLAGS,
    INODE_STATE_FLAGS,
    NO_DEVICE,
    NULL_PAGE_PFN,
    NULL_PFN,
    RECLAIM_FLAGS,
    ROWS,
    RWBS_FLAGS,
    SHRINKERS,
    TRACEPOINTS,
    Field,
    Tracepoint,
    disk_of,
)

KEPT_OF_UNREAD = 200  # characters of a line nobody could read

# First what a kernel prints; then looser, with no CPU and any fraction of a second, as found in mails and tools.
_STRICT = re.compile(
    rb" *(.*?)-(\d+) +(?:\( *(?:\d+|-+)\) +)?\[(\d{3,})\] +(?:[^\s\[\]]{4,8} +)?(\d+)\.(\d{6}): ([^\s:]+):(?: (.*))?",
    re.DOTALL,
)
_LOOSE = re.compile(
    rb"\s*(.*?)-(\d+)\s+(?:\(\s*(?:\d+|-+)\)\s+)?(?:\[(\d+)\]\s+)?(?:[^\s\[\]]{4,8}\s+)?(\d+)\.(\d{1,9}):\s+"
    rb"([^\s:]+):(?:\s(.*))?",
    re.DOTALL,
)
_LOST = re.compile(rb"(?:\[ *[\d.]+\] +)?CPU:(\d+) \[LOST (?:(\d+) )?EVENTS\]\s*")
_NOT_EVENTS = tuple(
    (kind, re.compile(pattern))
    for kind, pattern in (
        ("blank", rb"\s*"),
        ("buffer started", rb"#+ CPU \d+ buffer started #+\s*"),
        ("comment", rb"\s*#.*"),
        ("trace-cmd header", rb"(?:version = \d+|cpus=\d+|CPU \d+ is empty)\s*"),
        ("stack", rb".*<stack trace>\s*|\s*=> .*"),
        ("cut by the author", rb"\s*(?:\.\.+|\[\.\.+\])\s*"),
    )
)

_NUMBER = rb"(-?\d+)"
_PATTERNS = {
    "d": _NUMBER, "u": _NUMBER, "ld": _NUMBER, "lu": _NUMBER, "lx": rb"([0-9a-f]+)", "pfn": rb"(0x[0-9a-f]+|\d+)",
    "gfp": rb"([\w|]+)", "reclaim": rb"([\w|]+)", "istate": rb"([\w|]*)", "rwbs": rb"(F?[WDRN][FASME]*)",
    "bdi": rb"(\S+?)", "sb_dev": rb"(\d+:\d+)", "dev": rb"(\d+,\d+)", "shrinker": rb"(\S+ \S+)",
    "page": rb"\s*(?:\(null\)|(?:0x)?[0-9a-f]+)", "comm": rb".*", "comm_of_target": rb".*",
}  # fmt: skip

_Convert = Callable[[bytes], int]


def _signed(value: int) -> int:
    """Return an unsigned 64-bit number as the ring's signed word."""
    return value - (1 << 64) if value >= 1 << 63 else value


def _pfn(text: bytes) -> int:
    value = int(text, 16) if text[:2] == b"0x" else int(text)
    return NULL_PFN if value == NULL_PAGE_PFN else _signed(value)


def _flags(flags: Iterable[tuple[int, str]], zero: str, prefix: str = "") -> _Convert:
    """Return the reader of `|`-joined names; a name it does not know raises KeyError."""
    masks = {name.encode(): mask for mask, name in flags}
    masks |= {b"__" + name: mask for name, mask in masks.items() if prefix and name.startswith(prefix.encode())}
    masks[zero.encode()] = 0

    @cache
    def read(text: bytes) -> int:
        value = 0
        for name in text.split(b"|"):
            value |= int(name, 16) if name.startswith(b"0x") else masks[name]
        return _signed(value)

    return read


@cache
def _rwbs(text: bytes) -> int:
    value = 0
    rest = text.decode()
    for mask, letter in RWBS_FLAGS:
        if rest.startswith(letter):
            value |= mask
            rest = rest[1:]
    if rest:
        raise ValueError(f"{text!r}: letters out of the kernel's order")
    return value


class _Reader:
    """One pass over the lines of one trace."""

    def __init__(self) -> None:
        self.found = Recording()
        self._words: list[array[int]] = [array("q") for _ in TRACEPOINTS]
        self._payloads = [self._compile(row) for row in TRACEPOINTS]
        self._name_numbers: dict[bytes, int] = {}

    def _name(self, text: bytes) -> int:
        number = self._name_numbers.get(text)
        if number is None:
            number = self._name_numbers[text] = FIRST_NAME - len(self._name_numbers)
            self.found.names.append(text.decode("utf-8", "surrogateescape"))
        return number

    def _bdi(self, text: bytes) -> int:
        major, colon, minor = text.partition(b":")
        if colon and major.isdigit() and minor.isdigit():
            return disk_of(int(major), int(minor))
        return NO_DEVICE if text == b"default" else self._name(text)

    def _dev(self, text: bytes) -> int:
        major, minor = (int(part) for part in text.replace(b",", b":").split(b":"))
        return disk_of(major, minor) if major or minor else NO_DEVICE

    def _shrinker(self, text: bytes) -> int:
        known = text.decode("ascii", "replace")
        return SHRINKERS.index(known) if known in SHRINKERS else self._name(text)

    def _converter(self, column: Field) -> _Convert:
        special: dict[str, _Convert] = {
            "lu": lambda text: _signed(int(text)),
            "lx": lambda text: _signed(int(text, 16)),
            "pfn": _pfn,
            "gfp": _GFP,
            "reclaim": _RECLAIM,
            "istate": _ISTATE,
            "rwbs": _rwbs,
            "bdi": self._bdi,
            "sb_dev": self._dev,
            "dev": self._dev,
            "shrinker": self._shrinker,
        }
        return special.get(column.printed, int)

    def _compile(self, row: Tracepoint) -> tuple[re.Pattern[bytes], tuple[_Convert, ...]]:
        printed = {column.name: column.printed for column in row.fields}
        aliases = {column.name: column.aliases for column in row.fields}
        pattern = b""
        for literal, name, _, _ in string.Formatter().parse(row.text):
            if name and aliases.get(name) and literal.endswith(f"{name}="):
                names = "|".join((name, *aliases[name]))
                pattern += re.escape(literal.removesuffix(f"{name}=").encode()) + f"(?:{names})=".encode()
            else:
                pattern += re.escape(literal.encode())
            if name:
                pattern += _PATTERNS[printed.get(name, name)]
        later = b"" if row.system == "block" else rb":?(?: \w+=\S*)*"
        converters = tuple(self._converter(column) for column in row.fields)
        return re.compile(rb"\s*" + pattern + later + rb"\s*", re.DOTALL), converters

    def _learn_comm(self, pid: int, raw: bytes) -> None:
        comm = raw.decode("utf-8", "surrogateescape")
        if pid == 0 or comm == "<...>":
            return
        known = self.found.comms.get(pid)
        if known is not None and known != comm:
            self.found.former_comms[pid] = (*self.found.former_comms.get(pid, ()), known)
        self.found.comms[pid] = comm

    def _payload(self, row: int, payload: bytes) -> tuple[int, ...] | None:
        pattern, converters = self._payloads[row]
        match = pattern.fullmatch(payload)
        if match is None:
            return None
        try:
            values = tuple(convert(text) for convert, text in zip(converters, match.groups(), strict=True))
        except (KeyError, ValueError):
            return None
        return values if all(-(1 << 63) <= value < 1 << 63 for value in values) else None

    def line(self, raw: bytes) -> None:
        """Take one line into account."""
        self.found.lines += 1
        match = _STRICT.fullmatch(raw) or _LOOSE.fullmatch(raw)
        if match is None:
            self._other_line(raw)
            return
        comm, pid_text, cpu_text, secs, fraction, name, payload = match.groups(b"")
        pid, cpu = int(pid_text), int(cpu_text or b"-1")
        time_ns = int(secs) * 10**9 + int(fraction.ljust(9, b"0"))
        if pid >= 1 << 31 or cpu >= 1 << 15 or time_ns >= 1 << 63:
            self._unread(raw)
            return
        self._learn_comm(pid, comm)
        row = ROWS.get(name.decode("utf-8", "replace"))
        values = self._payload(row, payload) if row is not None else None
        if row is not None and values is not None:
            self._words[row].extend((time_ns, self.found.lines, pid, cpu, *values))
            return
        text = name.decode("utf-8", "surrogateescape"), payload.decode("utf-8", "surrogateescape").rstrip("\r")
        self.found.other.append(OtherEvent(self.found.lines, time_ns, pid, cpu, *text))

    def _other_line(self, raw: bytes) -> None:
        lost = _LOST.fullmatch(raw)
        if lost:
            cpu, count = int(lost[1]), int(lost[2] or b"0")
            self.found.not_events["lost"] += 1
            if count:
                self.found.lost[cpu] = self.found.lost.get(cpu, 0) + count
            else:
                self.found.lost_uncounted += 1
            return
        kind = next((kind for kind, pattern in _NOT_EVENTS if pattern.fullmatch(raw)), None)
        if kind is None:
            self._unread(raw)
        else:
            self.found.not_events[kind] += 1

    def _unread(self, raw: bytes) -> None:
        self.found.unread.append((self.found.lines, raw.decode("utf-8", "replace")[:KEPT_OF_UNREAD].rstrip("\r")))

    def finish(self) -> Recording:
        """Turn what was collected into arrays."""
        for row, words in zip(TRACEPOINTS, self._words, strict=True):
            if not words:
                continue
            kinds = columns(row)
            assert kinds.names is not None
            table = np.frombuffer(words, np.int64).reshape(-1, len(kinds.names))
            events = np.empty(len(table), kinds)
            for index, name in enumerate(kinds.names):
                events[name] = table[:, index]
            self.found.events[row.name] = events
        return self.found


_GFP = _flags(GFP_FLAGS, "GFP_NOWAIT", "GFP_")
_RECLAIM = _flags(RECLAIM_FLAGS, "RECLAIM_WB_NONE")
_ISTATE = _flags(INODE_STATE_FLAGS, "")


def read_lines(lines: Iterable[bytes]) -> Recording:
    """Return the recording in some lines, with or without their line ends."""
    reader = _Reader()
    for raw in lines:
        reader.line(raw.removesuffix(b"\n"))
    return reader.finish()


def read_ftrace_text(source: Path | bytes | IO[bytes]) -> Recording:
    """Return the recording in a file of ftrace text, an open one, or the text itself.

    Raises TraceError if the file cannot be read. Lines are never refused: see Recording.unread.
    """
    if isinstance(source, bytes):
        return read_lines(source.split(b"\n")[: -1 if source.endswith(b"\n") else None] if source else ())
    if not isinstance(source, Path):
        return read_lines(source)
    try:
        with source.open("rb") as file:
            return read_lines(file)
    except OSError as error:
        raise TraceError(f"{source}: {error.strerror}") from error
