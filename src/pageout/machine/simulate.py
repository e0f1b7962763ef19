# SPDX-License-Identifier: GPL-2.0-or-later
"""Run a scenario: boot, advance, drain events, check, and hand back what was found."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

import pageout
from pageout import jit
from pageout.engine import constants as c
from pageout.engine.state import NODE_COUNTERS
from pageout.machine import checkers, checkers_node, figures, stacks, why
from pageout.machine.boot import CHOICE_PARAMS, Booted, boot
from pageout.machine.boot_memcg import cgroup_figures
from pageout.machine.dispatch import core_unit
from pageout.machine.dmesg import dmesg
from pageout.machine.oom_why import oom_events
from pageout.machine.policy import HOOKS, Policy
from pageout.machine.procfs import proc_files
from pageout.vocabulary.errors import InvariantError, UsageError
from pageout.vocabulary.prints import kernel_of
from pageout.vocabulary.scenario import Scenario
from pageout.vocabulary.settings import choices, validate

STEPS_A_TURN = 20_000  # compiled steps between two looks at progress and Ctrl-C
# Not state: the drained ring, addresses of this process, what is traced, constants of the kernel build.
UNHASHED = {"ring", "unit", "event_on", "function", "leaf"}
DESIGN_PARAMS = (
    *CHOICE_PARAMS.values(),
    "stack_bytes",
    "stack_order",
    "stack_limit",
)  # what was chosen is no state: only what came of it
ERRORS = {
    c.ERR_DEPTH: "a task nests more frames than the model allows",
    c.ERR_HEAP: "too many pending events",
    c.ERR_BIOS: "the bio pool is empty",
    c.ERR_META: "no row is left for a metadata block",
}
ENDINGS = {
    c.STOP_DONE: "done",
    c.STOP_LENGTH: "length",
    c.STOP_POWER: "power cut",
    c.STOP_DEADLOCK: "deadlock",
    c.STOP_LIVELOCK: "livelock: no call has ended, and no page was read or written, for 20 minutes",
    c.STOP_PANIC: "panic: out of memory and no killable processes",
    c.STOP_OVERFLOW: "panic: kernel stack overflow",
}
PANIC_ENDINGS = {
    c.PANIC_ON_OOM: "panic: out of memory, and vm.panic_on_oom is set",
    c.PANIC_ALWAYS: "panic: out of memory, and vm.panic_on_oom is set",
}
Progress = Callable[[float, str], None]


class Result:
    """What a run leaves: figures, series, digest, the deepest stack, and the tables themselves."""

    def __init__(
        self, scenario: Scenario, booted: Booted, digest: str, wall_seconds: float, policies: Sequence[Policy]
    ):
        self.scenario, self.booted, self.digest, self.wall_seconds = scenario, booted, digest, wall_seconds
        self._policies = policies
        self.power_cut_ns: int | None = None
        self._ledger = figures.Ledger(booted)
        self.first_task = 1 + len(scenario.machine.disks)
        self.now_ns = self._ledger.stat("now_ns")

    @property
    def why(self) -> dict[str, Any]:
        """Why reclaim wrote each page and why each direct reclaim was entered, by cause: see machine/why.py."""
        return why.why(self.booted)

    @property
    def series(self) -> dict[str, list[float]]:
        """Samples of the run, 100 ms apart or more: t_s, nr_dirty, nr_writeback, nr_free (pages), written_mb_s, ..."""
        return figures.series(self.booted)

    @property
    def histograms(self) -> dict[str, dict[str, list[tuple[int, int]]]]:
        """By device: write_kib and seek_kib, rows (KiB from, count) by powers of two."""
        return figures.histograms(self.scenario, self.booted)

    @property
    def watermarks(self) -> dict[str, int]:
        """Pages that the zones keep free, all together: min, low, high."""
        zones = self.booted.arrays["zone"]
        return {mark: int(zones[f"wmark_{mark}"].sum()) for mark in ("min", "low", "high")}

    @property
    def metrics(self) -> dict[str, Any]:
        """The figures of the whole machine."""
        return figures.metrics(self.scenario, self._ledger, self.first_task, self.now_ns)

    @property
    def vmstat(self) -> dict[str, int]:
        """/proc/vmstat as it stands at the end, by the kernel's names."""
        vm = self.booted.arrays["vm"]
        values = {name: int(vm[name][0]) for name in vm.dtype.names}
        for z, zone in enumerate(("dma", "dma32", "normal")[: len(self.booted.arrays["zone"])]):
            for name in ("pgalloc", "pgrefill", "pgsteal", "pgscan_kswapd", "pgscan_direct"):
                values[f"{name}_{zone}"] = int(self.booted.arrays["zone"][name][z])
        if checkers_node.is_node(self.booted.arrays):
            values |= {name: int(self.booted.arrays["node"][name][0]) for name in NODE_COUNTERS}
        return values

    def proc_files(self) -> dict[str, str]:
        """Texts of buddyinfo, pagetypeinfo, zoneinfo, ... at the end of the run, as the kernel would print them."""
        return proc_files(self.booted.arrays, self.vmstat)

    @property
    def deepest_stack(self) -> list[tuple[int, int, str]]:
        """Rows (depth, size, function) of the deepest kernel stack met, innermost first, as the stack tracer prints."""
        return stacks.rows(self.booted, self.scenario, 0, self._ledger.stat("peak_nr"))

    @property
    def first_overflow(self) -> list[tuple[int, int, str]]:
        """The stack as it was when one ran over for the first time; empty if none did."""
        return stacks.rows(self.booted, self.scenario, c.CHAIN_ROWS, self._ledger.stat("overflow_nr"))

    @property
    def ending(self) -> str:
        """Why the run ended: done, length, power cut, deadlock, livelock, panic."""
        if self._ledger.stat("stop") == c.STOP_PANIC and self._ledger.stat("panic_reason") in PANIC_ENDINGS:
            return PANIC_ENDINGS[self._ledger.stat("panic_reason")]
        return ENDINGS.get(self._ledger.stat("stop"), "stopped")

    @property
    def dmesg(self) -> str:
        """The kernel log, as dmesg prints it: OOM reports, failed allocations, I/O errors, hung tasks."""
        return dmesg(self.booted, self.scenario)

    @property
    def oom(self) -> list[dict[str, Any]]:
        """Each OOM kill: when, who asked, who died, and why each zone had nothing to give."""
        return oom_events(self.booted, self.scenario)

    @property
    def cgroups(self) -> list[dict[str, Any]]:
        """Each memory cgroup: limits, usage, memory.stat, memory.events; see machine/boot_memcg.py."""
        return cgroup_figures(self.booted.arrays, self.scenario)

    def document(self) -> dict[str, Any]:
        """The run as `run --json` prints it."""
        scenario = self.scenario
        return {
            "pageout": pageout.__version__,
            "workload": scenario.name,
            "machine": scenario.machine.name,
            "design": scenario.design,
            "kernel": kernel_of(scenario.design),
            "choices": choices(scenario),
            "settings": scenario.settings,
            "seed": scenario.seed,
            "digest": self.digest,
            "ending": self.ending,
            "power_cut_s": None if self.power_cut_ns is None else self.power_cut_ns / c.NS_PER_S,
            "sim_seconds": round(self.now_ns / c.NS_PER_S, 6),
            "wall_seconds": round(self.wall_seconds, 3),
            "jobs": figures.job_figures(scenario, self._ledger, self.first_task, self.now_ns),
            "devices": figures.device_figures(scenario, self._ledger, self.now_ns),
            "metrics": self.metrics,
            "highorder": self._ledger.by_order(),
            "vmstat": self.vmstat,
            "oom": self.oom,
            **({"cgroups": self.cgroups} if scenario.cgroups else {}),
            "deepest_stack": stacks.entries(self.deepest_stack),
            "first_overflow": stacks.entries(self.first_overflow),
            "stack": stacks.facts(self.booted, scenario, self._ledger),
            "why": self.why,
            "warnings": list(scenario.warnings),
        }


class _Drain:
    """Takes events off the ring: in order of time into the digest, and into a trace file if one is wanted.

    Records are moved as rows of words: numpy copies structured records field by field.
    """

    def __init__(self, booted: Booted, trace: Path | None, kernel: str) -> None:
        ring = booted.arrays["ring"]
        self._stat = booted.arrays["stat"]
        self._ring = ring.view(np.int64).reshape(len(ring), -1)
        self._kept = self._ring[:0].copy()
        self._hash = hashlib.sha256()
        self._file = trace.open("wb") if trace else None
        self._writer: Any = None
        if self._file is not None:
            from pageout.events.encode import TextWriter

            cpus = int(booted.arrays["param"]["nr_cpus"][0])
            patch = self._patch if self._file.seekable() else None
            param = booted.arrays["param"]
            nr_bdis = int(param["nr_bdis"][0]) if int(param["nr_memcgs"][0]) else 0
            self._writer = TextWriter(
                self._file.write, booted.comms, kernel=kernel, cpus=cpus, patch=patch, nr_bdis=nr_bdis
            )

    def take(self, *, last: bool = False) -> None:
        """Drain what is older than now: CPUs run a slice ahead, so the newest events may still be overtaken."""
        rows = np.concatenate((self._kept, self._ring[: int(self._stat["ring_nr"][0])]))  # a copy: the ring goes on
        self._stat["ring_nr"][0] = 0
        times = rows[:, 0]
        if (times[1:] < times[:-1]).any():
            rows = rows[np.argsort(times, kind="stable")]
        ready = len(rows) if last else int(np.searchsorted(rows[:, 0], self._stat["now_ns"][0]))
        self._kept = rows[ready:].copy()
        self._emit(rows[:ready])

    def _emit(self, rows: Any) -> None:
        self._hash.update(rows.data)
        if self._writer is not None:
            from pageout.events.recording import RECORD

            self._writer.drain(rows.reshape(-1).view(RECORD))

    def _patch(self, at: int, text: bytes) -> None:
        if self._file is not None:
            self._file.seek(at)
            self._file.write(text)
            self._file.seek(0, 2)

    def close(self) -> bytes:
        """Finish the file; returns the digest of all events."""
        if self._writer is not None:
            self._writer.close()
        if self._file is not None:
            self._file.close()
        return self._hash.digest()


def _state_digest(booted: Booted, events: bytes) -> str:
    """sha256 over all tables that are state, in layout order, and over all events."""
    digest = hashlib.sha256(events)
    for name, array in booted.arrays.items():
        if name not in UNHASHED:
            digest.update(name.encode())
            for part in _state_of(name, array):
                digest.update(memoryview(part).cast("B"))
    return digest.hexdigest()


def _state_of(name: str, array: Any) -> tuple[Any, ...]:
    """What of a table is state: of the page table the frames that carry a flag, of the parameters not the design's."""
    if name == "page":
        flagged = np.flatnonzero(array["pflags"])
        return flagged, array[flagged]
    if name == "param":
        array = array.copy()
        for field in DESIGN_PARAMS:
            array[field] = 0
    return (array,)


def _install(booted: Booted, policies: Sequence[Policy]) -> None:
    """Put the user's policies at their hooks.  Raises UsageError for one that the design never asks."""
    for one in policies:
        if one.hook == "throttle" and int(booted.arrays["param"]["throttle_by"][0]) == c.THROTTLE_BY_PAUSE:
            raise UsageError(
                f"policy {one.function.__name__}: throttle.by=pause asks no policy: set throttle.by=writing"
            )
        if one.hook in ("isolate", "dirty_page", "wake_flushers") and checkers_node.is_node(booted.arrays):
            raise UsageError(
                f"policy {one.function.__name__}: reclaim.engine=node asks no policy: set reclaim.engine=zone"
            )
        _, address = one.compiled()
        booted.arrays["param"][f"policy_{one.hook}"][0] = address
        for i, knob in enumerate(one.knobs):
            booted.arrays["policy_ctx"][f"knob{i}"][HOOKS.index(one.hook)] = knob


def _fraction(booted: Booted, scenario: Scenario) -> float:
    """How far the run is: by time if it has a length, else by bytes moved."""
    stat, jobs = booted.arrays["stat"], booted.arrays["job"]
    if scenario.length_ns:
        return min(1.0, float(stat["now_ns"][0]) / scenario.length_ns)
    foreground = jobs["background"] == 0
    goal = float((jobs["io_bytes"] * np.maximum(jobs["loops"], 1))[foreground].sum())
    done = float((jobs["done_bytes"] + jobs["lap"] * jobs["io_bytes"])[foreground].sum())
    return min(1.0, done / goal) if goal else 0.0


def _advance(booted: Booted, scenario: Scenario, drain: _Drain, check: int, progress: Progress | None) -> None:
    """Let the machine run until it ends, looking up now and then."""
    steps = check or STEPS_A_TURN
    while True:
        why = core_unit(booted.address, steps)
        if booted.trouble:
            raise booted.trouble[0]
        if why == c.STOP_ERROR:
            raise _broken(booted, scenario)
        if check:
            checkers.check(booted, scenario)
        if why == c.STOP_DRAIN or int(booted.arrays["stat"]["ring_nr"][0]):
            drain.take()
        if why not in (c.STOP_DRAIN, c.STOP_STEPS):
            return
        if progress is not None:
            now = float(booted.arrays["stat"]["now_ns"][0]) / c.NS_PER_S
            progress(_fraction(booted, scenario), f"{scenario.design}: {now:.1f} s simulated")


def _broken(booted: Booted, scenario: Scenario) -> InvariantError:
    stat = booted.arrays["stat"]
    what = ERRORS.get(int(stat["error"][0]), "an assertion of the model failed")
    return InvariantError(
        f"{scenario.name}: {what} (seed {scenario.seed}, step {int(stat['steps'][0])}, "
        f"task {int(stat['error_task'][0])}, info {int(stat['error_info'][0])})"
    )


def _settle(booted: Booted) -> None:
    """What is only known at the end: the oldest dirty page, and what a power cut would lose."""
    page, stat = booted.arrays["page"], booted.arrays["stat"]
    flagged = np.flatnonzero(page["pflags"])
    pflags = page["pflags"][flagged]
    unwritten = flagged[(pflags & (c.PG_DIRTY | c.PG_WRITEBACK) != 0) & (pflags & c.PG_SWAPBACKED == 0)]
    now_ms = int(stat["now_ns"][0]) // c.NS_PER_MS
    if len(unwritten):
        oldest = now_ms - int(page["dirtied_when"][unwritten].min())
        stat["oldest_dirty_ms"][0] = max(int(stat["oldest_dirty_ms"][0]), oldest)
    if int(stat["stop"][0]) == c.STOP_POWER:
        stat["lost_cut"][0] = len(unwritten)
        stat["pages_lost"][0] += len(unwritten)


def _reseeded(scenario: Scenario, seed: int) -> Scenario:
    """The same scenario from another seed: each task's own moves by as much."""
    if seed == scenario.seed:
        return scenario
    moved = seed - scenario.seed
    tasks = tuple(msgspec.structs.replace(task, seed=abs(task.seed + moved)) for task in scenario.tasks)
    return msgspec.structs.replace(scenario, seed=seed, tasks=tasks)


def simulate(
    scenario: Scenario,
    *,
    trace: Path | None = None,
    events: str = "decisions",
    check: int = 0,
    power_cut_ns: int | None = None,
    policies: Sequence[Policy] = (),
    progress: Progress | None = None,
    seed: int | None = None,
    zero_cost: bool = False,
    request_list: Any = None,
) -> Result:
    """Simulate a scenario to its end.

    trace:    write the events there as ftrace text        events: "decisions" or "full" (per-page events too)
    check:    run all checkers every so many steps (always once at the end)
    power_cut_ns: stop at this moment and count what was not on the device
    seed:     another seed than the scenario's; the tasks' own seeds move with it
    policies: user's policies, one a hook            progress: called with (fraction done, text) now and then
    zero_cost: CPU work takes no time
    request_list: int64 page numbers that the first io task reads, one 4 KiB call each, in place of its own offsets
    Raises ScenarioError, SettingError, TooLargeError at the door; InvariantError if the model contradicts itself.
    """
    if events not in ("decisions", "full"):
        raise UsageError(f"events = {events!r}: must be decisions or full")
    if seed is not None:
        scenario = _reseeded(scenario, seed)
    validate(scenario)
    begun = time.perf_counter() - jit.loading_seconds()
    booted = boot(scenario, events=events, zero_cost=zero_cost, power_cut_ns=power_cut_ns, request_list=request_list)
    _install(booted, policies)
    drain = _Drain(booted, trace, kernel_of(scenario.design))
    try:
        _advance(booted, scenario, drain, check, progress)
        drain.take(last=True)
    finally:
        of_events = drain.close()
    checkers.check(booted, scenario)
    _settle(booted)
    for one in policies:
        booted.arrays["param"][f"policy_{one.hook}"][0] = 1  # that it was there is state, its address is not
    wall_seconds = time.perf_counter() - jit.loading_seconds() - begun
    result = Result(scenario, booted, _state_digest(booted, of_events), wall_seconds, policies)
    result.power_cut_ns = power_cut_ns
    return result
