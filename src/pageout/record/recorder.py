# SPDX-License-Identifier: GPL-2.0-or-later
"""One recording, from a machine nobody looks at to a bundle, and the machine as it was."""

from __future__ import annotations

import os
import platform
import re
import select
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import IO, Any

from pageout.record import command as commands
from pageout.record import dat_write, describe, drain, machine, samples, sets, tenancy, tracefs, watchdog
from pageout.record.command import Command
from pageout.record.describe import Made
from pageout.record.drain import Drain
from pageout.record.package import Package
from pageout.record.sets import BYTES_A_SECOND, SETS, STALL_S, Chosen
from pageout.record.tenancy import Note
from pageout.record.tracefs import PREFIX, Instance
from pageout.record.watchdog import Watchdog
from pageout.vocabulary.errors import RecordError

NAME = "pageout-record"
SHARE_OF_FREE = 16  # all buffers together take at most one part in so many of free memory
SLOWLY = round(samples.SLOWLY_S / samples.EVERY_S)
MANY_NAMES = 1000  # that the kernel keeps: no need to look each second
STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
OnTick = Callable[[float, str, bool], None]  # seconds so far, what is going on, whether the command has printed


@dataclass
class Request:
    """What is to be recorded."""

    target: Path
    argv: list[str] | None = None
    duration_s: float | None = None
    events: str = "light"
    user: str | None = None
    device: str | None = None  # MAJ:MIN: block events of this disk only
    output_to: IO[bytes] | None = None  # of the command, in place of our standard output


@dataclass
class Outcome:
    """What came of it."""

    path: Path
    meta: dict[str, Any]
    warnings: list[str] = field(default_factory=list)


class Stopped(BaseException):
    """Somebody would not wait for the end."""


class _Signals:
    """Turns the signals that stop a recording into a number to look at, and lets poll() return."""

    def __init__(self) -> None:
        self.number = 0
        self._nr = 0
        self._old: dict[int, Any] = {}
        self.read, self._write = os.pipe()
        os.set_blocking(self._write, False)

    def __enter__(self) -> _Signals:
        self._fd = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        for number in STOPPING:
            if signal.getsignal(number) is not signal.SIG_IGN:  # nohup's wish stands
                self._old[number] = signal.signal(number, self._take)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._old.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._fd)
        os.close(self.read)
        os.close(self._write)

    def _take(self, number: int, frame: FrameType | None) -> None:
        self.number = number
        self._nr += 1
        if self._nr > 2:
            raise Stopped


class Recording:
    """What is open while a recording runs."""

    def __init__(self, request: Request, on_tick: OnTick) -> None:
        self.request = request
        self.on_tick = on_tick
        self.package = Package(request.target)
        self.made = Made(device=request.device)
        self.warnings: list[str] = []
        self.command = Command(request.argv, request.user, request.output_to) if request.argv else None
        self.note = Note(os.getpid(), tenancy.started(os.getpid()))
        self.header = dat_write.Header(uname=" ".join(platform.uname()[number] for number in (0, 2, 4)))
        self.names: dict[int, str] = {}
        self._names_every = SLOWLY
        self.settings: dict[str, Any] = {}
        self.instance = Instance(tracefs.USUAL_PLACE, f"{PREFIX}{self.note.pid}")
        self.drain: Drain | None = None

    def run(self, signals: _Signals, dog: Watchdog) -> Outcome:
        """Record, put the machine back, write the bundle.  Raises RecordError."""
        try:
            try:
                self._settle(dog)
                self._record(signals)
            finally:
                self._leave()
            self._end_command(signals)
            return self._finish()
        finally:
            self.package.discard()
            tenancy.depart(self.note)
            dog.dismiss()

    def _settle(self, dog: Watchdog) -> None:
        note = self.note
        note.watchdog, note.watchdog_started = dog.pid, tenancy.started(dog.pid)
        note.instance = self.instance.name
        self.instance = Instance(tenancy.arrive(note), note.instance)
        note.folder_inode = self.package.begin()
        note.folder = str(self.package.folder.resolve())
        note.write()
        self.instance.create()

    def _record(self, signals: _Signals) -> None:
        folder = self.package.folder
        clock_name = self.instance.set_clock()
        chosen = self._choose()
        self.drain = Drain(self.instance, folder)
        kept = machine.said(self.instance.root / "saved_cmdlines_size").split()
        if kept and kept[0].isdigit() and int(kept[0]) >= MANY_NAMES:
            self._names_every = 30 * SLOWLY
        pids = (os.getpid(), self.drain.start(), self.note.watchdog, *(self.command.tids if self.command else ()))
        self._trace(chosen, pids)
        self.settings = describe.settings("self", folder, self.instance.root / "events")
        machine.snapshot(folder, "before")
        clock = samples.Clock(clock_name, self.instance.path / f"per_cpu/cpu{self.instance.cpus()[0]}/stats")
        self.instance.write("tracing_on", "1")
        began, cpu = time.monotonic(), time.process_time()
        try:
            self._sample(folder, clock, signals)
        finally:
            self.made.cpu_share = (time.process_time() - cpu) / max(time.monotonic() - began, 1e-3)
            clock.close()
        with suppress(OSError):
            machine.snapshot(folder, "after")

    def _choose(self) -> Chosen:
        request, instance = self.request, self.instance
        chosen = sets.choose(SETS[request.events], instance.root / "events")
        if not chosen.events:
            raise RecordError("record: this kernel has none of the events: built without CONFIG_EVENT_TRACING?")
        kib = instance.set_buffers(
            BYTES_A_SECOND[request.events] * STALL_S // 1024, machine.free_kib() // SHARE_OF_FREE
        )
        self.made.events = {
            "set": request.events, "clock": instance.clock, "names": list(chosen.events),
            "missing": list(chosen.missing), "buffer_kib_per_cpu": kib, "cpus": len(instance.cpus()),
        }  # fmt: skip
        return chosen

    def _trace(self, chosen: Chosen, pids: tuple[int, ...]) -> None:
        """Take formats, then switch events on: without ours, but for block events, which are the device's."""
        self.made.recorder_pids = pids
        self.header.read_formats(self.instance.root / "events", chosen.events)
        self.header.clocks = self.instance.read("trace_clock").encode()
        systems = dict.fromkeys(event.partition("/")[0] for event in chosen.events)
        comms: tuple[str, ...] = ()
        if tracefs.in_pid_namespace():
            comms = (NAME, watchdog.NAME)
            self.warnings.append("in a container: the pids of the trace are the host's, not those of tasks.csv")
        filters = {system: tracefs.not_by(pids, comms) for system in systems if system != "block"}
        if self.request.device:
            major, _, minor = self.request.device.partition(":")
            number = int(major) << 20 | int(minor)
            filters |= {event: f"dev == {number}" for event in chosen.events if event.startswith("block/")}
        refused = self.instance.enable(chosen.events, filters)
        self.made.events["refused"] = refused
        if refused:
            self.warnings.append(f"the kernel refused: {', '.join(refused)}")

    def _sample(self, folder: Path, clock: samples.Clock, signals: _Signals) -> None:
        whole, pressure = samples.Machine(folder, clock), samples.Pressure(folder, clock)
        tasks: samples.Tasks | None = None
        poll = select.poll()
        poll.register(signals.read, select.POLLIN)
        began, pidfd = time.monotonic(), -1
        try:
            whole.take()
            self.made.start_s = clock() / 1e9
            if self.command is not None:
                self.command.start()
                self.note.command, self.note.command_started = self.command.pid, tenancy.started(self.command.pid)
                self.note.write()
                tasks = samples.Tasks(folder, clock, self.command.pid)
                pidfd = _pidfd(self.command.pid)
                if pidfd >= 0:
                    poll.register(pidfd, select.POLLIN)
            for tick in range(1 << 40):
                if self._is_over(signals, time.monotonic() - began):
                    break
                self._tick(tick, whole, tasks, pressure, time.monotonic() - began)
                due = began + (int((time.monotonic() - began) / samples.EVERY_S) + 1) * samples.EVERY_S
                poll.poll(max((due - time.monotonic()) * 1000, 0))
            self.made.end_s = clock() / 1e9
            if tasks is not None and self.command is not None:
                tasks.take()
                self.made.command_io = describe.task_io(self.command.pid)
            whole.take()
        except OSError as error:
            if not drain.is_full(error):
                raise
            self.made.ended_by = "disk full"
            self.made.end_s = clock() / 1e9
        finally:
            self.made.nr_samples = whole.nr
            whole.close()
            pressure.close()
            if tasks is not None:
                self.made.written_to = tasks.written_to
                tasks.close()
            if pidfd >= 0:
                os.close(pidfd)

    def _tick(
        self, tick: int, whole: samples.Machine, tasks: samples.Tasks | None, pressure: samples.Pressure, now: float
    ) -> None:
        whole.take()
        if tasks is not None:
            tasks.look()
            tasks.take()
        if tick % SLOWLY:
            return
        pressure.take()
        if not tick % self._names_every:
            self._learn_names()
        if tasks is not None:
            tasks.look_closer()
        lost = sum(self._lost(cpu) for cpu in self.instance.cpus()) if tick else 0
        taken = self.drain.bytes if self.drain else 0
        self.on_tick(
            now, f"{taken / 1e6:.1f} MB of events, {lost:,} lost", bool(self.command and self.command.has_spoken)
        )

    def _is_over(self, signals: _Signals, now: float) -> bool:
        if signals.number:
            self.made.ended_by = signal.Signals(signals.number).name
        elif self.drain is not None and self.drain.failure is not None:
            full = drain.is_full(self.drain.failure)
            self.made.ended_by = "disk full" if full else f"reading the trace failed: {self.drain.failure.strerror}"
        elif self.command is not None and self.command.has_ended():
            self.made.ended_by = "command"
        elif self.request.duration_s is not None and now >= self.request.duration_s:
            self.made.ended_by = "duration"
        return bool(self.made.ended_by)

    def _learn_names(self) -> None:
        """Take the names of tasks: the kernel keeps those of the last 128 only, or of the last some thousand."""
        for line in machine.said(self.instance.root / "saved_cmdlines").splitlines():
            pid, _, comm = line.strip().partition(" ")
            if pid.isdigit() and comm and comm != "<...>":
                self.names[int(pid)] = comm

    def _lost(self, cpu: int) -> int:
        stats = self.instance.stats(cpu)
        return stats.get("overrun", 0) + stats.get("commit overrun", 0) + stats.get("dropped events", 0)

    def _leave(self) -> None:
        """Stop tracing, take the rest, give everything back: what the machine is like from now on is as before."""
        with suppress(RecordError):
            self.instance.write("tracing_on", "0")
        if self.drain is not None:
            self.drain.finish()
            self._learn_names()
            self._count()
        if self.command is not None and not self.command.pid:
            self.command.abandon()
        for row in tenancy.give_back(self.note):
            self.warnings.append(row)

    def _count(self) -> None:
        cpus = self.instance.cpus()
        for cpu in cpus:
            self.header.stats[cpu] = self.instance.read(f"per_cpu/cpu{cpu}/stats")
        self.made.events |= {
            "lost": sum(self._lost(cpu) for cpu in cpus),
            "recorded": sum(self.instance.stats(cpu).get("read events", 0) for cpu in cpus),
        }

    def _end_command(self, signals: _Signals) -> None:
        """See the command to its end; it is told to end if the recording was, and left alone if the disk was full."""
        if self.command is None:
            return
        if self.made.ended_by in ("command", "disk full") or self.made.ended_by.startswith("reading"):
            while not self.command.has_ended() and not signals.number:
                time.sleep(0.05)
        if not self.command.has_ended():
            self.command.tell(signals.number or signal.SIGINT)
        self.made.rc = self.command.wait()

    def _finish(self) -> Outcome:
        folder, package = self.package.folder, self.package
        package.release_reserve()
        assert self.drain is not None
        if self.request.events == "full":  # its events name kernel functions
            with suppress(OSError):
                self.header.kallsyms = Path("/proc/kallsyms").read_bytes()
        self.header.page_size = self.drain.unit
        self.header.cmdlines = _names_of_tasks() | self.names
        dat_write.write(folder / "trace.dat", self.header, self.drain.parts)
        if self.command is not None:
            self.warnings += commands.keep_words(self.command, folder)
        meta = describe.document(self.made, self.request.argv, folder, self.settings, self.instance.clock)
        package.write_json("meta.json", meta)
        path = package.finish()
        return Outcome(path, meta, self.warnings + _warnings(self.made, path, self.request))


def record(request: Request, on_tick: OnTick) -> Outcome:
    """Record.  Raises RecordError, and Stopped if somebody insists on an end: then nothing is written."""
    if os.geteuid():
        raise RecordError(
            "record: needs root, to read the kernel's tracepoints: sudo pageout record ...; or pageout record --print "
            "for the commands somebody with root can run"
        )
    if request.argv:
        commands.check(request.argv)
    if os.path.lexists(request.target):
        raise RecordError(f"record: {request.target}: exists already: nothing is overwritten; name another with -o")
    if not request.target.parent.is_dir():
        raise RecordError(f"record: {request.target.parent}: no such folder")
    with _Signals() as signals, _named(NAME):
        dog = Watchdog(Note(os.getpid(), tenancy.started(os.getpid())))
        recording = Recording(request, on_tick)
        return recording.run(signals, dog)


@contextmanager
def _named(name: str) -> Iterator[None]:
    old = machine.said("/proc/self/comm")
    watchdog.name_process(name)
    try:
        yield
    finally:
        watchdog.name_process(old)


def _pidfd(pid: int) -> int:
    try:
        return os.pidfd_open(pid)
    except (OSError, AttributeError):  # before 5.3: looked at each tick
        return -1


def _names_of_tasks() -> dict[int, str]:
    """Return the names of what runs now; that of a worker without what it is working at."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/comm"):
        comm = machine.said(path)
        if comm:
            found[int(path.parent.name)] = re.split(r"[+-]", comm)[0] if comm.startswith("kworker/") else comm
    return found


def _warnings(made: Made, path: Path, request: Request) -> list[str]:
    found = []
    lost, missing = made.events.get("lost", 0), made.events["missing"]
    if lost:
        found.append(f"{lost:,} events were lost: the buffers were too small, or the disk too slow")
    if missing:
        found.append(f"this kernel has no {', '.join(row.partition(':')[2] for row in missing)}")
    if made.ended_by == "disk full":
        found.append("the disk is full: recording ended there; the bundle has what was recorded until then")
    elif made.ended_by.startswith("reading"):
        found.append(made.ended_by)
    if made.rc:
        how = f"was ended by signal {-made.rc}" if made.rc < 0 else f"exited with status {made.rc}"
        found.append(f"the command {how}")
    if path != request.target:
        found.append(f"no room for the zip: the bundle is the folder {path}")
    return found
