# SPDX-License-Identifier: GPL-2.0-or-later
"""Moves the pages of each CPU's ring buffer to a file as the kernel wrote them: no event is looked at while recording.

A full page goes from ring buffer to file by splice(2), without a copy; the last, unfilled ones are read at the end.
"""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

from pageout.record.tracefs import Instance

EVERY_S = 0.1
PIPE_PAGES = 16  # what a pipe holds unless told otherwise
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Drain:
    """A thread that empties the ring buffers."""

    def __init__(self, instance: Instance, folder: Path) -> None:
        self.failure: OSError | None = None  # why no more can be written
        self.bytes = 0
        self.tid = 0
        self._stop = threading.Event()
        self._ready = threading.Event()
        self._page = os.sysconf("SC_PAGE_SIZE")
        self.unit = max(self._page, _subbuf_bytes(instance))  # of a page of the ring buffer
        self._pipe = os.pipe()
        self._splices = True
        self.parts: dict[int, Path] = {}
        self._ends: dict[int, tuple[int, int]] = {}
        for cpu in instance.cpus():
            self.parts[cpu] = folder / f".cpu{cpu}"
            source = os.open(instance.path / f"per_cpu/cpu{cpu}/trace_pipe_raw", os.O_RDONLY | os.O_NONBLOCK)
            self._ends[cpu] = source, os.open(self.parts[cpu], os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> int:
        """Begin; returns the thread's id, which is the pid of what it causes."""
        self._thread.start()
        self._ready.wait()
        return self.tid

    def finish(self) -> None:
        """Take what is left, when nothing traces any more, and close everything."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        for source, target in self._ends.values():
            os.close(source)
            os.close(target)
        for end in self._pipe:
            os.close(end)
        self._ends = {}

    def _run(self) -> None:
        self.tid = threading.get_native_id()
        self._ready.set()
        try:
            while not self._stop.wait(EVERY_S):
                for source, target in self._ends.values():
                    self._take_full(source, target)
            for source, target in self._ends.values():
                self._take_full(source, target)
                self._take_rest(source, target)
        except OSError as error:
            self.failure = error

    def _take_full(self, source: int, target: int) -> None:
        while self._splices:
            try:
                taken = os.splice(source, self._pipe[1], PIPE_PAGES * self._page, flags=os.SPLICE_F_NONBLOCK)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno == errno.ENODATA:  # a CPU that is gone
                    return
                self._splices = False
                break
            if not taken:
                return
            self._put_spliced(taken, target)
        self._take_rest(source, target)

    def _put_spliced(self, taken: int, target: int) -> None:
        while taken:
            try:
                moved = os.splice(self._pipe[0], target, taken)
            except OSError as error:
                if error.errno != errno.EINVAL:
                    raise
                moved = _write(target, os.read(self._pipe[0], taken))  # a file system that cannot
            taken -= moved
            self.bytes += moved

    def _take_rest(self, source: int, target: int) -> None:
        while True:
            try:
                page = os.read(source, self.unit)
            except BlockingIOError:
                return
            if not page:
                return
            self.bytes += _write(target, page.ljust(self.unit, b"\0"))


def _write(target: int, data: bytes) -> int:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(target, rest) :]
    return len(data)


def is_full(error: OSError) -> bool:
    """Say whether a write failed for want of room."""
    return error.errno in _FULL


def _subbuf_bytes(instance: Instance) -> int:
    """Return the size of a page of the ring buffer: since 6.8 an instance may have larger ones."""
    said = instance.read("buffer_subbuf_size_kb").strip()
    return int(said) * 1024 if said.isdigit() else 0
