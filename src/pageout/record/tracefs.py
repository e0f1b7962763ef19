# SPDX-License-Identifier: GPL-2.0-or-later
"""Tracefs: where it is, an instance of our own in it, and what it says of itself.

Source: Linux Documentation/trace/ftrace.rst, Documentation/trace/events.rst (filters).
"""

from __future__ import annotations

import ctypes
import errno
import os
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from pageout.vocabulary.errors import RecordError

USUAL_PLACE = Path("/sys/kernel/tracing")
OLD_PLACE = Path("/sys/kernel/debug/tracing")
PREFIX = "pageout-"  # of our instances; the pid of their recorder follows
IRQ_FLAGS = 0x18  # TRACE_FLAG_HARDIRQ, TRACE_FLAG_SOFTIRQ of common_flags: the task was only interrupted
CLOCKS = ("mono", "local")  # in order of preference
LEAST_KIB = 64  # of a CPU's buffer

_libc = ctypes.CDLL(None, use_errno=True)


def mounted_at() -> Path | None:
    """Return where tracefs is mounted, the usual place first; None if nowhere."""
    places = []
    for line in Path("/proc/self/mounts").read_text(errors="replace").splitlines():
        fields = line.split(" ")
        if len(fields) > 2 and fields[2] == "tracefs":
            places.append(Path(re.sub(r"\\(\d{3})", lambda match: chr(int(match[1], 8)), fields[1])))
    places.sort(key=lambda place: place != USUAL_PLACE)
    usable = (place for place in (*places, OLD_PLACE) if (place / "instances").is_dir())  # debugfs brings it along
    return next(usable, None)


def mount() -> Path:
    """Mount tracefs.  Raises RecordError if the kernel has none, or does not let us."""
    if not USUAL_PLACE.is_dir():
        raise RecordError(
            f"record: this kernel has no {USUAL_PLACE}: built without tracing (CONFIG_FTRACE, CONFIG_EVENT_TRACING)"
        )
    if _libc.mount(b"nodev", os.fsencode(USUAL_PLACE), b"tracefs", 0, None):
        why = os.strerror(ctypes.get_errno())
        raise RecordError(
            f"record: tracefs cannot be mounted at {USUAL_PLACE} ({why}): a container or a locked-down kernel does not "
            "let it; record on the host"
        )
    return USUAL_PLACE


def unmount(place: Path) -> bool:
    """Unmount tracefs; False if somebody is using it."""
    return not _libc.umount2(os.fsencode(place), 0)


class Instance:
    """A set of ring buffers beside the machine's own: what others trace is not touched, nor do they touch ours."""

    def __init__(self, root: Path, name: str) -> None:
        self.root = root
        self.name = name
        self.path = root / "instances" / name
        self.clock = ""

    def create(self) -> None:
        """Make it, not tracing.  Raises RecordError."""
        try:
            self.path.mkdir()
        except OSError as error:
            raise RecordError(_refused(self.path, error)) from None
        self.write("tracing_on", "0")

    def write(self, file: str, text: str) -> None:
        """Write to one of its files.  Raises RecordError."""
        try:
            self._write(file, text)
        except OSError as error:
            raise RecordError(f"record: {self.path / file}: {error.strerror} when {text[:60]!r} is written") from None

    def _write(self, file: str, text: str) -> None:
        with (self.path / file).open("w") as out:
            out.write(text)

    def read(self, file: str) -> str:
        """Return what one of its files says, "" if that cannot be read."""
        try:
            return (self.path / file).read_text(errors="replace")
        except OSError:
            return ""

    def set_clock(self) -> str:
        """Choose the clock of its events: CLOCK_MONOTONIC where there is one."""
        known = self.read("trace_clock").replace("[", "").replace("]", "").split()
        self.clock = next((clock for clock in CLOCKS if clock in known), "")
        if not self.clock:
            raise RecordError(f"record: no clock of this kernel is known: {' '.join(known)[:60]!r}")
        self.write("trace_clock", self.clock)
        return self.clock

    def set_buffers(self, wanted_kib: int, at_most_kib: int) -> int:
        """Give each CPU a buffer; returns its KiB.  Raises RecordError if there is no memory for any.

        at_most_kib: what all CPUs together may take
        """
        size = max(min(wanted_kib, at_most_kib // max(len(self.cpus()), 1)), LEAST_KIB)
        while size >= LEAST_KIB:
            with suppress(OSError):
                self._write("buffer_size_kb", str(size))
                said = self.read("buffer_size_kb").split()
                return int(said[0]) if said and said[0].isdigit() else size
            size //= 2
        raise RecordError(f"record: not even {LEAST_KIB} KiB of trace buffer a CPU can be had: free some memory first")

    def enable(self, events: Sequence[str], filters: Mapping[str, str]) -> list[str]:
        """Set filters, of events or of whole systems, and switch events on; returns what could not be done."""
        refused = []
        for event, text in filters.items():
            try:
                self._write(f"events/{event}/filter", text)
            except OSError:
                refused.append(f"{event} filter")
        for event in events:
            try:
                self._write(f"events/{event}/enable", "1")
            except OSError:
                refused.append(event)
        return refused

    def cpus(self) -> list[int]:
        """Return the CPUs that have a buffer."""
        names = (path.name for path in (self.path / "per_cpu").glob("cpu*"))
        return sorted(int(name[3:]) for name in names if name[3:].isdigit())

    def stats(self, cpu: int) -> dict[str, int]:
        """Return a CPU's counters: entries, overrun, commit overrun, dropped events, read events..."""
        rows = re.findall(r"^([a-z ]+): (\d+)$", self.read(f"per_cpu/cpu{cpu}/stats"), re.MULTILINE)
        return {name: int(value) for name, value in rows}

    def remove(self, patience_s: float = 1.0) -> bool:
        """Stop and remove it; False if that could not be done: somebody else keeps a file of it open."""
        for file in ("tracing_on", "events/enable"):
            with suppress(OSError):
                self._write(file, "0")
        until = time.monotonic() + patience_s
        while True:
            try:
                self.path.rmdir()
                return True
            except FileNotFoundError:
                return True
            except OSError:
                if time.monotonic() >= until:
                    return False
                time.sleep(0.02)


def not_by(pids: Iterable[int], comms: Iterable[str] = ()) -> str:
    """Return the filter that drops what these tasks cause themselves, not what interrupts do while they run.

    comms: names to go by in place of the pids, where those are not the kernel's own
    """
    others = [f'COMM != "{comm}"' for comm in comms] or [f"common_pid != {pid}" for pid in pids]
    return f"({' && '.join(others)}) || common_flags & {IRQ_FLAGS}"


def in_pid_namespace() -> bool:
    """Whether our pids are those of a container, which mean nothing to the kernel's tracepoints."""
    found = re.search(r"^NSpid:(.*)$", Path("/proc/self/status").read_text(errors="replace"), re.MULTILINE)
    return found is not None and len(found[1].split()) > 1


def _refused(path: Path, error: OSError) -> str:
    if error.errno in (errno.EPERM, errno.EACCES):
        why = (
            "tracing is locked down (kernel lockdown, a container, or SELinux): record on the host, or boot without it"
        )
    elif error.errno == errno.EROFS:
        why = f"tracefs is mounted read-only: mount -o remount,rw {path.parent.parent}"
    elif error.errno == errno.ENOMEM:
        why = "no memory for trace buffers: free some first"
    elif error.errno == errno.ENOENT:
        why = "this tracefs has no instances: a kernel before 3.10, or without CONFIG_TRACING"
    else:
        why = error.strerror or "refused"
    return f"record: {path} cannot be made: {why}"
