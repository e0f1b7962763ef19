# SPDX-License-Identifier: GPL-2.0-or-later
"""Samples of the whole machine and of the command's tasks, on the trace's clock.

Files are kept open and read from their start: nothing is looked up ten times a second. Reading /proc/vmstat makes the
kernel work out the dirty limits, which fires global_dirty_state: the instance's filters drop it by the reader's pid.
"""

from __future__ import annotations

import os
import re
import time
from contextlib import suppress
from pathlib import Path

from pageout.record.machine import device_number, mount_devices

EVERY_S = 0.1
SLOWLY_S = 1.0  # pressure, names of tasks
_FIRST = ("nr_dirty", "nr_writeback", "nr_free_pages", "nr_dirtied", "nr_written")
_OMITTED = re.compile(
    r"(?:thp|numa|htlb|balloon|swap_ra|ksm|cow_ksm|zswp|vma_lock|direct_map|nr_ring|nr_hugetlb|nr_foll|drop_|unevictable_pgs"
    r"|zone_reclaim|pginodesteal|kcompactd|nr_sec_|nr_iommu|nr_unaccepted|stack_|memmap|nr_memmap)"
)
# Not among the items of vmstat; in pages, too.
_MEMINFO = ("MemAvailable", "Buffers", "Cached", "SwapCached", "SwapFree", "Committed_AS")
_TASK_IO = ("rchar", "wchar", "read_bytes", "write_bytes", "cancelled_write_bytes")
MAX_TASKS, MAX_FILES = 512, 256
_VMSTAT, _MEM = "/proc/vmstat", "/proc/meminfo"


class Clock:
    """The trace's clock, in ns. CLOCK_MONOTONIC is read; another is what the instance says it is now."""

    def __init__(self, name: str, stats: Path) -> None:
        self._stats = -1 if name == "mono" else os.open(stats, os.O_RDONLY)

    def __call__(self) -> int:
        if self._stats < 0:
            return time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        found = re.search(rb"now ts:\s*(\d+)\.(\d{6})", os.pread(self._stats, 4096, 0))
        return (int(found[1]) * 1_000_000 + int(found[2])) * 1000 if found else 0

    def close(self) -> None:
        """Close what is open of the instance, which could not be removed otherwise."""
        if self._stats >= 0:
            os.close(self._stats)
            self._stats = -1


class Machine:
    """samples.csv."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._clock = clock
        self._vmstat = _open(_VMSTAT)
        self._meminfo = _open(_MEM)
        names = _names(_VMSTAT)
        first = [name for name in _FIRST if name in names]
        rest = [name for name in names if name not in first and not _OMITTED.match(name)]
        self._places = [2 * names.index(name) + 1 for name in (*first, *rest)]
        self._nr_words = 2 * len(names)
        labels = [name.rstrip(":") for name in _names(_MEM)]
        self._rows = {name: labels.index(name) for name in _MEMINFO if name in labels}
        self._page_kib = os.sysconf("SC_PAGE_SIZE") // 1024
        self._out = _create(folder / "samples.csv")
        _put(self._out, ",".join(["t_s", *first, *rest, *self._rows]) + "\n")
        self.nr = 0

    def take(self) -> int:
        """Write a row; returns its time in ns."""
        before = self._clock()
        words = _all(self._vmstat).split()
        now = (before + self._clock()) // 2
        lines = _all(self._meminfo).splitlines()
        if len(words) != self._nr_words:
            return now
        cells = [words[place].decode() for place in self._places]
        cells += [str(int(lines[row].split()[1]) // self._page_kib) for row in self._rows.values()]
        _put(self._out, f"{_seconds(now)},{','.join(cells)}\n")
        self.nr += 1
        return now

    def close(self) -> None:
        for file in (self._vmstat, self._meminfo, self._out):
            os.close(file)


class Tasks:
    """tasks.csv: what each task of the command has read, written and dirtied since it began.

    write_bytes counts when a page is dirtied, read_bytes when a read is sent to a device (Linux
    include/linux/task_io_accounting_ops.h): demand of a task, also where no event says it.
    """

    def __init__(self, folder: Path, clock: Clock, command: int) -> None:
        self._clock, self._command = clock, command
        self._ours = {command}
        self._seen = set[str]()
        self._loadavg = _open("/proc/loadavg")
        self._last_pid = b""
        self._out = _create(folder / "tasks.csv")
        self._files: dict[int, tuple[int, int, int]] = {}  # tid -> io, statm, process
        self.comms: dict[int, str] = {}
        self._mounts: dict[str, str] = {}
        self.written_to: set[str] = set()  # MAJ:MIN of what the command has open for writing
        _put(self._out, ",".join(["t_s", "tid", "pid", "comm", *_TASK_IO, "rss_pages"]) + "\n")

    def look(self) -> None:
        """Find tasks that are new: descendants of the command, and its process group."""
        last_pid = os.pread(self._loadavg, 256, 0).split()[-1]
        if last_pid == self._last_pid:  # nothing has been forked since
            return
        self._last_pid = last_pid
        names = {name for name in os.listdir("/proc") if name[0].isdigit()}  # noqa: PTH208  ten times a second
        self._ours &= {int(name) for name in names}
        for name in sorted(names - self._seen, key=int):
            row = _read(f"/proc/{name}/stat").rpartition(")")[2].split()
            if len(row) > 2 and (int(row[1]) in self._ours or int(row[2]) == self._command):
                self._ours.add(int(name))
        self._seen = names
        for pid in self._ours:
            try:
                tids = [int(name) for name in os.listdir(f"/proc/{pid}/task")]  # noqa: PTH208
            except OSError:
                continue
            for tid in tids:
                if tid not in self._files and len(self._files) < MAX_TASKS:
                    self._add(pid, tid)

    def _add(self, pid: int, tid: int) -> None:
        folder = f"/proc/{pid}/task/{tid}"
        try:
            self.comms[tid] = _comm(folder)
            self._files[tid] = _open(f"{folder}/io"), _open(f"{folder}/statm"), pid
        except OSError:
            return

    def take(self) -> None:
        """Write a row for each task."""
        rows = []
        for tid, (io, statm, pid) in list(self._files.items()):
            now = self._clock()
            try:
                said = os.pread(io, 1024, 0).split()
                rss = os.pread(statm, 256, 0).split()
            except OSError:
                said = rss = []
            if len(said) < 14 or len(rss) < 2:
                self._drop(tid)
                continue
            cells = [said[2 * number + 1].decode() for number in (0, 1, 4, 5, 6)]
            rows.append(f"{_seconds(now)},{tid},{pid},{self.comms[tid]},{','.join(cells)},{rss[1].decode()}\n")
        if rows:
            _put(self._out, "".join(rows))

    def _drop(self, tid: int) -> None:
        io, statm, _ = self._files.pop(tid)
        os.close(io)
        os.close(statm)

    def look_closer(self) -> None:
        """Learn names, which a task has only after exec, and which devices the command writes to."""
        self._mounts = mount_devices()
        for pid in list(self._ours)[:MAX_TASKS]:
            self._look_at_files(pid)
        for tid, (_, _, pid) in self._files.items():
            self.comms[tid] = _comm(f"/proc/{pid}/task/{tid}") or self.comms[tid]

    def _look_at_files(self, pid: int) -> None:
        try:
            numbers = os.listdir(f"/proc/{pid}/fd")[:MAX_FILES]  # noqa: PTH208
        except OSError:
            return
        for number in numbers:  # nothing is asked of the files themselves: a dead file server would not answer
            said = dict(re.findall(r"^(flags|mnt_id):\s*(\d+)", _read(f"/proc/{pid}/fdinfo/{number}"), re.MULTILINE))
            if not int(said.get("flags", "0"), 8) & (os.O_WRONLY | os.O_RDWR):
                continue
            self.written_to.add(self._mounts.get(said.get("mnt_id", ""), ""))
            with suppress(OSError):
                self.written_to.add(device_number(str(Path(f"/proc/{pid}/fd/{number}").readlink())))

    def close(self) -> None:
        for tid in list(self._files):
            self._drop(tid)
        os.close(self._out)
        os.close(self._loadavg)


class Pressure:
    """pressure.csv: the totals of PSI, us stalled since boot."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._clock = clock
        self._files: dict[str, int] = {}
        for what in ("cpu", "io", "memory"):
            try:
                file = _open(f"/proc/pressure/{what}")
                os.pread(file, 1, 0)
                self._files[what] = file
            except OSError:  # not built in, or not switched on
                continue
        self._out = -1
        if self._files:
            self._out = _create(folder / "pressure.csv")
            _put(
                self._out,
                ",".join(["t_s", *(f"{what}_{kind}_us" for what in self._files for kind in ("some", "full"))]) + "\n",
            )

    def take(self) -> None:
        """Write a row."""
        if self._out < 0:
            return
        cells = [_seconds(self._clock())]
        for file in self._files.values():
            said = dict(re.findall(rb"^(some|full) .*total=(\d+)", os.pread(file, 1024, 0), re.MULTILINE))
            cells += [said.get(kind, b"").decode() for kind in (b"some", b"full")]
        _put(self._out, ",".join(cells) + "\n")

    def close(self) -> None:
        for file in (*self._files.values(), *([self._out] if self._out >= 0 else [])):
            os.close(file)


def _read(path: str) -> str:
    try:
        with open(path, errors="replace") as file:  # noqa: PTH123  ten times a second
            return file.read()
    except OSError:
        return ""


def _comm(folder: str) -> str:
    return re.sub(r"[\s,\"\x00-\x1f]", "_", _read(f"{folder}/comm").strip())


def _names(path: str) -> list[str]:
    return [line.split()[0] for line in Path(path).read_text().splitlines() if line.strip()]


def _seconds(ns: int) -> str:
    return f"{ns // 1_000_000_000}.{ns // 1000 % 1_000_000:06d}"


def _open(path: str) -> int:
    return os.open(path, os.O_RDONLY)


def _all(file: int) -> bytes:
    """Return a file of /proc: one read gives no more than the kernel's buffer, a page, holds."""
    parts: list[bytes] = []
    at = 0
    while part := os.pread(file, 1 << 16, at):
        parts.append(part)
        at += len(part)
    return b"".join(parts)


def _create(path: Path) -> int:
    return os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)


def _put(out: int, text: str) -> None:
    rest = memoryview(text.encode())
    while rest:
        rest = rest[os.write(out, rest) :]
