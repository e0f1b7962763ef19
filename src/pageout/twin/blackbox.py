# SPDX-License-Identifier: GPL-2.0-or-later
"""Black box: from a trace and samples alone, without a word of the workload, a scenario that stands for the recording.

What cannot be seen is assumed, and each assumption said: how a file lies, the size of calls on kernels without folios,
who wrote what nobody was looked at for. What is estimated has its interval.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from pageout.events.tables import Events
from pageout.kernel.costs import ADD_TO_CACHE_NS, ALLOC_NS, DIRTY_NS, LOOKUP_NS
from pageout.twin.completions import Device, busy_rate, devices_of, most_segments
from pageout.twin.conditions import PAGE_BYTES, Memory, cpus_of, memory_holding, settings_in_force, ticks_of
from pageout.twin.demand import ANONYMOUS, Writer, stretches, writers_of
from pageout.twin.estimate import Estimate
from pageout.twin.reads import Reader, Taken, readers_of, taken_of
from pageout.twin.start import ELSEWHERE, levels_of, start_of, with_room, with_start
from pageout.twin.synced import Synced, synced_of
from pageout.vocabulary.errors import ScenarioError, TraceError
from pageout.vocabulary.keys import FieldError
from pageout.vocabulary.later_kernels import LARGE_FOLIOS, design_for
from pageout.vocabulary.scenario import Disk, File, Filesystem, Machine, Phase, Scenario, Task, task_seed
from pageout.vocabulary.settings import DESIGNS, SYSCTLS, check
from pageout.vocabulary.units import GIB, MIB

PAGE_NS = ALLOC_NS + ADD_TO_CACHE_NS + DIRTY_NS + LOOKUP_NS
MAX_WRITERS = 24
LEAST_SHARE = 0.005  # of all that was dirtied, and of what is kept of readers
BUSY = 0.8  # requests under way, on average
AS_NOTED = 0.1  # a device no further from its limit was held by it
CALL_BYTES = 64 * 1024  # assumed where nothing tells
LEAST_PAST, LEAST_PAST_BYTES = 0.25, 64 * MIB  # written past the page cache: said from there on


class BlackBox(NamedTuple):
    """A scenario, where its time 0 and the end of its tasks lie on the trace's clock, what was estimated or assumed."""

    scenario: Scenario
    start_ns: int
    end_ns: int
    estimates: dict[str, Estimate]
    notes: tuple[str, ...]


class Inputs(NamedTuple):
    """What a black box is opened with."""

    events: Events
    samples: Mapping[str, Any] | None  # counters of /proc/vmstat; pages
    time_ns: NDArray[np.int64] | None  # of the samples, on the trace's clock
    samplers: frozenset[int]  # pids that did nothing but sample
    settings: Mapping[str, int]  # sysctls by their full names
    kernel: str  # uname -r
    hz: int | None
    memory: Memory | None = None
    device: str | None = None  # "7:0"; None: where writers were held, else the most written
    cpus: int | None = None
    filesystem: str = "ext4"
    name: str = "recorded"
    design: str = ""  # empty: by the release
    limit_bps: int = 0  # of writes to the device, where that was noted
    jobs: tuple[str, ...] = ()  # what writers are called, in the order in which they were begun; empty: as their comm


def black_box(
    events: Events,
    samples: Any,
    settings: Mapping[str, int],
    kernel: str,
    hz: int | None,
    memory: Memory | None = None,
    *,
    seed: int = 1,
    **more: Any,
) -> BlackBox:
    """Return the scenario of a recording.  Raises TraceError if it shows no demand, ScenarioError if it cannot run.

    samples: bundle.samples.Samples or None; memory: None: as samples and thresholds say
    more: fields of Inputs: device, cpus, filesystem, name, design, limit_bps, jobs
    """
    columns, time_ns, samplers = None, None, frozenset[int]()
    if samples is not None:
        columns, time_ns, samplers = samples.columns, samples.time_ns, samples.samplers
    known = Inputs(events, columns, time_ns, samplers, settings, kernel, hz, memory, **more)
    return _Box(known, seed).open()


class _Box:
    """The parts of a black box, and what is said of them."""

    def __init__(self, known: Inputs, seed: int) -> None:
        self.known, self.seed = known, seed
        self.tick_ns = 1_000_000_000 // (known.hz or 250)
        self.notes: list[str] = []
        self.estimates: dict[str, Estimate] = {}
        self.called: dict[int, str] = {}
        self.calls_assumed: list[str] = []
        self.nr_main = 0  # writers to the device that matters
        self.files: list[File] = []
        self.tasks: list[Task] = []
        self.design = known.design or design_for(known.kernel)
        self.large_folios = LARGE_FOLIOS[str(DESIGNS[self.design]["write.folios"])]
        self.devices = devices_of(known.events, known.samples, known.time_ns, self.tick_ns)
        self.main = self.devices.get(known.device or _most(self.devices)) or Device(known.device or "8:0")

    def open(self) -> BlackBox:
        known = self.known
        writers = self._kept(writers_of(known.events, known.samples, known.time_ns, known.samplers, self.tick_ns))
        self._place_unknown(writers)
        self.nr_main = sum(self._filesystem_of(one.device) == "" for one in writers)
        self._note_unplayed(writers)
        self.called = self._called(writers)
        readers = [one for one in readers_of(known.events, 0, self.devices) if one.device == self.main.name]
        begun = [int(one.time_ns[0]) for one in writers if one.total >= 0.05 * sum(w.total for w in writers)]
        begun += [int(one.stretches[0][0] * 1e9) for one in readers]
        if not begun:
            raise TraceError("the recording shows no demand: nobody dirtied pages or read, or no event or sample says")
        start_ns = min(begun)
        cpu_ns = self._cpu(writers)
        self.end_ns = start_ns
        for writer in writers:
            self._write(writer, start_ns, cpu_ns)
        if self.calls_assumed:
            self.notes.append(f"calls of {CALL_BYTES // 1024} KiB are assumed of {', '.join(self.calls_assumed)}")
        for reader in readers:
            self._read(reader, start_ns)
        for taken in taken_of(known.samples, known.time_ns, start_ns):
            self._hog(taken)
        scenario = self._scenario(self._machine(start_ns, cpu_ns, writers))
        return BlackBox(scenario, start_ns, self.end_ns, self.estimates, tuple(self.notes))

    # Demand

    def _kept(self, writers: list[Writer]) -> list[Writer]:
        """Return the writers that matter."""
        total = sum(writer.total for writer in writers)
        kept = [writer for writer in writers if writer.total >= LEAST_SHARE * total][:MAX_WRITERS]
        left = total - sum(writer.total for writer in kept)
        if left > 0:
            nr = len(writers) - len(kept)
            self.notes.append(f"{nr} tasks that dirtied {left / 256:,.1f} MiB in all are left out")
        nobody = sum(writer.total for writer in kept if writer.pid == ANONYMOUS)
        if nobody:
            self.notes.append(f"{nobody / 256:,.1f} MiB are of no task that was looked at: one writer stands for all")
        return kept

    def _cpu(self, writers: list[Writer]) -> float | None:
        """Return CPU time of a page, ns, by the writer it takes least; None: nothing tells."""
        told = [writer.page_ns for writer in writers if writer.page_ns is not None and writer.total >= 2560]
        if not told:
            self.notes.append("CPU: nobody was held, so nothing tells how fast a call is")
            return None
        best = min(told, key=lambda one: one.value)
        self.estimates["cpu_ns_per_page"] = best
        return best.value

    def _name(self, comm: str) -> str:
        plain = "".join(letter if letter.isprintable() else "?" for letter in comm).strip() or "task"
        taken = {task.name for task in self.tasks}
        return next(name for name in (plain, *(f"{plain}-{n}" for n in range(2, 4096))) if name not in taken)

    def _note_unplayed(self, writers: list[Writer]) -> None:
        """Say so where the device was written much more than was dirtied: O_DIRECT, or what was dirty before."""
        dirtied = sum(one.total for one in writers if self._filesystem_of(one.device) == "") * PAGE_BYTES
        past = self.main.written_bytes - dirtied
        if past > max(LEAST_PAST * dirtied, LEAST_PAST_BYTES):
            self.notes.append(f"{past / MIB:,.0f} MiB were written that nobody dirtied meanwhile (O_DIRECT?)")

    def _called(self, writers: list[Writer]) -> dict[int, str]:
        """Return the names of the jobs that writers are, by pid: the largest of the device, numbered as they began."""
        pids = [one.pid for one in writers if one.pid != ANONYMOUS and self._filesystem_of(one.device) == ""]
        jobs = self.known.jobs
        if len(jobs) < 2 or len(pids) < len(jobs):
            return {}
        self.notes.append("writers of one name: taken to be the jobs in the order of their pids")
        return dict(zip(sorted(pids[: len(jobs)]), jobs, strict=True))

    def _filesystem_of(self, device: str | None) -> str:
        return "" if device in (None, self.main.name) else ELSEWHERE

    def _place_unknown(self, writers: list[Writer]) -> None:
        """Who was never looked at above free run wrote to the device that matters, unless that is accounted for."""
        known = sum(writer.total for writer in writers if writer.device == self.main.name) * PAGE_BYTES
        for writer in writers:
            if writer.device is None and known + writer.total * PAGE_BYTES / 2 > self.main.written_bytes > 0:
                writer.device = ELSEWHERE
            elif writer.device is None:
                known += writer.total * PAGE_BYTES

    def _call_bytes(self, writer: Writer) -> int:
        """Return the bytes of a writer's calls, 0 where nothing tells: a check is of whole folios, where there are any.

        Of a device that is none of the filesystem known, only kernels on which all have them tell.
        """
        on = {self.known.filesystem} if self._filesystem_of(writer.device) == "" else set(LARGE_FOLIOS["all"])
        return PAGE_BYTES * (writer.call_pages or 0) if on <= set(self.large_folios) else 0

    def _write(self, writer: Writer, start_ns: int, cpu_ns: float | None) -> None:
        device = self.devices.get(writer.device or "")
        is_main = self._filesystem_of(writer.device) == ""
        is_random = self.main.is_sequential is False and is_main
        synced = self._synced(writer) if is_main else None
        if synced is not None and synced.is_spread:
            writer.waited_ns = writer.waited_ns + synced.during(writer.time_ns)
        rate = device.write_bps.value / PAGE_BYTES if device is not None and device.write_bps is not None else None
        clock, pieces = stretches(writer, start_ns, cpu_ns, rate)
        call = self._call_bytes(writer)
        if is_random:
            call = int(self.main.write_bytes.low) if self.main.write_bytes else PAGE_BYTES
        is_assumed = not call
        call = max(call or CALL_BYTES, PAGE_BYTES)
        phases = _phases([(one.start_s, one.pages * PAGE_BYTES, _bps(one.rate)) for one in pieces])
        if not phases:
            return
        total = sum(phase.amount_bytes for phase in phases)
        synced_ns = ((synced and synced.at_end_ns) or self._clean_soon(writer)) if is_main else None
        if is_main:
            self.end_ns = max(self.end_ns, synced_ns or int(writer.time_ns[-1]))
        name = self._name(self.called.get(writer.pid, writer.comm))
        every = 0
        if synced is not None and synced.is_spread:
            between = int(total // len(synced.start_ns)) // PAGE_BYTES * PAGE_BYTES
            is_assumed, call = is_assumed and between >= call, max(min(call, between), PAGE_BYTES)
            every = max(round(between / call), 1)
            self.notes.append(f"{name}: fsync {len(synced.start_ns):,} times, after each {between / MIB:.3g} MiB")
        if is_assumed:
            self.calls_assumed.append(name)
        size = max(total, call)
        if is_random:
            size = max(min(self.main.span_bytes, 64 * total), size if self.main.span_bytes < call else call)
            self.notes.append(f"{name}: at random over {size / MIB:,.0f} MiB, as far apart as what was written")
        self.files.append(
            File(name=name, size_bytes=size, exists=is_random, filesystem=self._filesystem_of(writer.device))
        )
        self.tasks.append(
            Task(
                name=name, rw="randwrite" if is_random else "write",
                file=(len(self.files) - 1,), bs_bytes=min(call, size), io_bytes=total, phases=phases,
                phase_clock="own" if clock == "own" else "clock", seed=task_seed(self.seed, len(self.tasks)),
                fsync_every=every, end_fsync=synced_ns is not None,
            )
        )  # fmt: skip
        self.estimates[f"{name}.bytes"] = writer.bytes

    def _synced(self, writer: Writer) -> Synced | None:
        """Return the calls of fsync that a writer made; None: none can be seen.

        Where others give requests for him, and he is not the only writer, it shows only in all being clean soon after
        the last page.
        """
        if DESIGNS[self.design]["throttle.by"] != "pause":
            return None
        found = synced_of(self.known.events, writer, self.main.name, self.nr_main == 1, PAGE_NS)
        return found if found is None or found.is_spread or found.at_end_ns is not None else None

    def _clean_soon(self, writer: Writer) -> int | None:
        """Return when all was clean, if soon after the last page and neither age nor the threshold asked for it."""
        at, level = levels_of(self.known.events, self.known.samples, self.known.time_ns)
        states = self.known.events.frame("global_dirty_state")
        if not len(at) or not len(states) or self.main.write_bps is None:
            return None
        last, background = int(writer.time_ns[-1]), int(states["bg_thresh"][-1] or 0)
        there = float(level[min(int(np.searchsorted(at, last)), len(at) - 1)])
        expected = int(1.5e9 * there * PAGE_BYTES / self.main.write_bps.value) + 1_000_000_000
        clean = at[(at > last) & (at <= last + expected) & (level < background / 4)]
        return int(clean[0]) if len(clean) else None

    def _read(self, reader: Reader, start_ns: int) -> None:
        name = self._name(reader.comm)
        rows = [
            (start - start_ns / 1e9, amount, 0 if reader.is_bound else int(amount / max(end - start, 1e-3)))
            for start, end, amount in reader.stretches
        ]
        phases = _phases(rows)
        if not phases:
            return
        self.end_ns = max(self.end_ns, int(reader.stretches[-1][1] * 1e9))
        total = sum(phase.amount_bytes for phase in phases)
        call = CALL_BYTES if reader.is_sequential else max(reader.request_bytes, PAGE_BYTES)
        self.files.append(File(name=name, size_bytes=max(total, call), exists=True))
        self.tasks.append(
            Task(
                name=name, rw="read" if reader.is_sequential else "randread", file=(len(self.files) - 1,),
                bs_bytes=call, io_bytes=total, phases=phases, seed=task_seed(self.seed, len(self.tasks)),
            )
        )  # fmt: skip
        self.estimates[f"{name}.bytes"] = Estimate(total, total, total)

    def _hog(self, taken: Taken) -> None:
        span = max(taken.end_s - taken.start_s, 1e-3)
        nbytes = int(taken.pages) * PAGE_BYTES
        hold = int(max((taken.freed_s or 86400.0) - taken.end_s, 0.0) * 1e9)
        self.tasks.append(
            Task(
                name=self._name("anon"), kind="hog", anon_bytes=nbytes, rate_bps=max(int(nbytes / span), 1),
                start_delay_ns=int(taken.start_s * 1e9), hold_ns=hold, background=True,
                seed=task_seed(self.seed, len(self.tasks)),
            )
        )  # fmt: skip

    # Machine

    def _machine(self, start_ns: int, cpu_ns: float | None, writers: list[Writer]) -> Machine:
        known = self.known
        memory = known.memory or self._memory(start_ns)
        self.cache_bytes = memory.cache_bytes
        machine = Machine(
            name="recorded", hz=ticks_of(known.hz, self.notes), cpus=cpus_of(known.cpus, known.events, self.notes),
            memory_bytes=memory.memory_bytes, taken_bytes=memory.taken_bytes, disks=(self._disk(self.main, "sda"),),
            filesystem=Filesystem(kind=known.filesystem, disk="sda"),  # type: ignore[arg-type]
        )  # fmt: skip
        samples = known.samples, known.time_ns
        start = start_of(known.events, samples, self.main, start_ns, known.settings, known.kernel)
        machine, files = with_start(machine, tuple(self.files), start, self.notes)
        self.files = list(files)
        return self._with_cpu(machine, cpu_ns, writers)

    def _with_cpu(self, machine: Machine, cpu_ns: float | None, writers: list[Writer]) -> Machine:
        if cpu_ns is None:
            return machine
        small = [one for one in writers if one.page_ns and self._call_bytes(one) == PAGE_BYTES]
        cost = max((one.page_ns.value for one in small if one.page_ns), default=cpu_ns) - cpu_ns
        call_ns = min(int(cost), 1_000_000) if cost > machine.syscall_ns else machine.syscall_ns
        copy_ns = max(cpu_ns - PAGE_NS, 5.0)
        return msgspec.structs.replace(
            machine, copy_mb_s=min(max(round(PAGE_BYTES * 1000 / copy_ns), 1), 10**6), syscall_ns=call_ns
        )

    def _disk(self, device: Device, name: str) -> Disk:
        """Return the device that matters."""
        wanted: dict[str, Any] = {"name": name, "kind": "throttled", "queue_depth": 32, "elevator": "none"}
        if device.largest_bytes:
            kib = min(max(device.largest_bytes // 4096 * 4, 4), 4096)
            wanted |= {"max_sectors_kb": kib, "max_segments": most_segments(self.design, kib)}
        if device.write_bps is None and (busy := busy_rate(self.known.events, device.name)) is not None:
            self.notes.append(f"the device was never busy for long; while it was, {busy / 1e6:.4g} MB/s passed")
            limit = max(int(busy), PAGE_BYTES)
            wanted |= {"write_bps": limit, "read_bps": limit, "limit": "bucket", "shared_limit": True}
        elif device.write_bps is None:
            self.notes.append("the device was never busy for long: it is taken to answer at once")
            wanted["kind"] = "null"
        elif device.limited_by == "requests" and device.write_iops is not None and not self._as_noted(device):
            self.estimates["device.write_iops"] = device.write_iops
            wanted |= {"write_iops": max(round(device.write_iops.value), 1), "limit": "slices"}
        else:
            self.estimates["device.write_bps"] = device.write_bps
            rate = max(round(device.write_bps.value), PAGE_BYTES)
            if self._as_noted(device):
                rate = self.known.limit_bps
                self.notes.append(f"device.write_bps: {rate}, its limit, near which it was")
            wanted |= {"write_bps": rate, "read_bps": self._read_bps(device, rate), "limit": "slices"}
        fits = device.tick_bytes is not None and device.tick_bytes >= wanted.get("max_sectors_kb", 512) * 1024
        if device.tick_ns and fits and wanted["kind"] == "throttled":
            wanted |= {"limit": "ticks", "tick_ns": device.tick_ns, "tick_bytes": device.tick_bytes}
            self.notes.append(f"the device lets {device.tick_bytes} bytes pass every {device.tick_ns / 1e6:.3g} ms")
        if wanted.get("limit") == "slices" and (device.is_shared or _is_busy(device)):
            wanted |= {"limit": "bucket", "shared_limit": device.is_shared}
            if device.is_shared:
                self.notes.append(
                    "the device: what was read was missing from what was written, so one limit is for both"
                )
        elif device.service_ns is not None:
            wanted["latency_us"] = min(int(device.service_ns.value // 1000), 10**6)
        size = max(device.span_bytes * 2, 64 * GIB, sum(file.size_bytes for file in self.files) * 2)
        wanted["size_bytes"] = size
        return Disk(**wanted)

    def _as_noted(self, device: Device) -> bool:
        """Say whether it wrote as fast as the limit that somebody noted."""
        limit = self.known.limit_bps
        return device.write_bps is not None and limit > 0 and abs(device.write_bps.value - limit) <= AS_NOTED * limit

    def _read_bps(self, device: Device, rate: int) -> int:
        """Return the limit of reads: that of writes where reads came no faster; 0 where they did, or none were."""
        return rate if device.read_bytes > device.written_bytes // 20 or device.tick_ns else 0

    def _memory(self, start_ns: int) -> Memory:
        """Return memory in which what is free and what is cache are as they were, and so the dirty limits."""
        known = self.known
        free = _at(known.samples, known.time_ns, "nr_free_pages", start_ns)
        lists = [_at(known.samples, known.time_ns, f"nr_{which}_file", start_ns) for which in ("inactive", "active")]
        cache = sum(one for one in lists if one is not None)
        avail = self._dirtyable()
        if free is None and avail is None:
            raise TraceError("nothing says how much memory was free: sample nr_free_pages")
        free = free if free is not None else avail or 0
        if lists == [None, None] and avail is not None and known.memory is None:
            cache = max(avail - free, 0)
        memory = memory_holding(free + cache, 0, cache, known.settings)
        self.notes.append(f"memory: {memory.memory_bytes // MIB:,} MiB, what was free or page cache")
        return memory

    def _dirtyable(self) -> int | None:
        """Return the pages that thresholds are parts of, None where they are bytes or not printed."""
        if self.known.settings.get("vm.dirty_bytes", 0):
            return None
        states = self.known.events.frame("global_dirty_state").sort("time_ns")
        ratio = self.known.settings.get("vm.dirty_ratio", SYSCTLS["vm.dirty_ratio"].default) * 4096 // 100
        return int(states["thresh"][0]) * 4096 // ratio if len(states) and ratio else None

    def _scenario(self, machine: Machine) -> Scenario:
        scenario = Scenario(
            name=self.known.name, machine=with_room(machine, self.cache_bytes), files=tuple(self.files),
            tasks=tuple(self.tasks),
            settings=settings_in_force(self.known.settings, self.notes), design=self.design, seed=self.seed,
            prefill_bytes=self.cache_bytes,
        )  # fmt: skip
        try:
            check(scenario)
        except FieldError as problem:
            raise ScenarioError(f"{self.known.name}: cannot be simulated: {problem.where}: {problem}") from None
        return scenario


def _is_busy(device: Device) -> bool:
    """Is the device itself what limits, not something above it? Then a request is there all the time."""
    if device.service_ns is None or device.write_iops is None:
        return False
    return device.service_ns.value * device.write_iops.value >= BUSY * 1e9


def _most(devices: Mapping[str, Device]) -> str:
    return max(devices.values(), key=lambda one: (one.written_bytes, one.name)).name if devices else ""


def _bps(rate: float | None) -> int:
    return 0 if rate is None else max(int(rate * PAGE_BYTES), 1)


def _phases(rows: Iterable[tuple[float, float, int]]) -> tuple[Phase, ...]:
    """Return phases of (start, bytes, rate), none before 0, in whole pages and milliseconds."""
    made = [
        Phase(max(round(start * 1000), 0) * 1_000_000, rate, int(amount) // PAGE_BYTES * PAGE_BYTES)
        for start, amount, rate in rows
    ]
    return tuple(phase for phase in made if phase.amount_bytes > 0)


def _at(samples: Mapping[str, Any] | None, time_ns: NDArray[np.int64] | None, name: str, at_ns: int) -> int | None:
    if samples is None or time_ns is None or name not in samples or not len(time_ns):
        return None
    value = float(samples[name][max(int((time_ns <= at_ns).sum()) - 1, 0)])
    return int(value) if np.isfinite(value) else None
