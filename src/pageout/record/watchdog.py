# SPDX-License-Identifier: GPL-2.0-or-later
"""A child that outlives a recorder that is killed, and puts the machine back in its place."""

from __future__ import annotations

import os
import signal
from contextlib import suppress

from pageout.record import tenancy
from pageout.record.tenancy import RUN, Note

ALL_WELL = b"q"
NAME = "pageout-watch"


class Watchdog:
    """The recorder's end of it.  Start it before any thread: it is a fork."""

    def __init__(self, note: Note) -> None:
        read, self._write = os.pipe()
        self.pid = os.fork()
        if not self.pid:
            try:
                os.close(self._write)
                _watch(read, note)
            finally:
                os._exit(0)
        os.close(read)

    def dismiss(self) -> None:
        """Let it go: everything has been put back."""
        with suppress(OSError):
            os.write(self._write, ALL_WELL)
        os.close(self._write)
        with suppress(ChildProcessError):
            os.waitpid(self.pid, 0)


def name_process(name: str) -> None:
    """Give this process a name by which people find it in ps and in traces."""
    with suppress(OSError), open("/proc/self/comm", "w") as comm:  # noqa: PTH123  one short write
        comm.write(name)


def _watch(read: int, note: Note) -> None:
    os.setsid()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    os.closerange(3, read)
    os.closerange(read + 1, 1 << 16)
    os.chdir("/")
    name_process(NAME)
    while True:
        try:
            said = os.read(read, 1)
        except InterruptedError:
            continue
        break
    if said == ALL_WELL:
        return
    latest = tenancy.read_note(RUN / f"{note.pid}.json")
    if latest is not None and latest.started == note.started:
        tenancy.end_command(latest)
        tenancy.depart(latest)
