# SPDX-License-Identifier: GPL-2.0-or-later
"""A bundle, read: settings, case, trace, samples on the trace's clock, what each task says it did.

Read by what its meta.json and its files say, never by its name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import polars as pl

from pageout.analysis.jiffies import hz_of
from pageout.bundle.calls import Calls, read_calls
from pageout.bundle.files import Files, files_of
from pageout.bundle.meta import Case, Device, Limits, Meta, read_meta
from pageout.bundle.mounted import kind_on
from pageout.bundle.samples import SAMPLES, Samples, read_samples
from pageout.events.tables import Events
from pageout.readers.read import read_input
from pageout.vocabulary.errors import TraceError

TRACES = tuple(
    f"{stem}{packed}" for stem in ("trace.txt", "trace.dat", "trace") for packed in (".gz", "", ".xz", ".zst")
)
_SYSCTL = re.compile(r"([\w.-]{1,100})\s{0,9}=\s{0,9}(-?\d{1,18})\s{0,9}")
_COUNTER = re.compile(r"([\w-]{1,100}) (\d{1,20})")
OnRead = Callable[[float], None]


@dataclass
class Bundle:
    """One recording."""

    files: Files
    meta: Meta
    events: Events | None
    samples: Samples | None
    calls: list[Calls]
    sysctl: dict[str, int]
    warnings: list[str]

    @property
    def path(self) -> str:
        """Return it as the user named it."""
        return self.files.path

    @property
    def name(self) -> str:
        """Return what its case is called, else its own name."""
        case = self.meta.case
        return (case.name if case is not None else None) or self.path.rstrip("/").rpartition("/")[2]

    @property
    def kernel(self) -> str | None:
        """Return the release, as uname -r says it."""
        return self.meta.kernel

    @property
    def case(self) -> Case | None:
        """Return the workload, where it was described for a machine to read."""
        return self.meta.case

    @cached_property
    def hz(self) -> int | None:
        """Timer ticks a second: as recorded, else the coarsest that all printed times are ticks of."""
        told = self.meta.hz or (self.meta.case.hz if self.meta.case else None)
        if told is None and self.events is not None:
            return hz_of(self.events)
        return told

    @property
    def cpus(self) -> int | None:
        """Return the number of CPUs as recorded."""
        return self.meta.cpus or (self.meta.case.cpus if self.meta.case else None)

    @cached_property
    def filesystem(self) -> str | None:
        """Return the kind of the filesystem on the device that matters: of the case, else as mounted."""
        told = self.meta.case.fs if self.meta.case else None
        if told is None and self.device is not None:
            told = kind_on(self.device, self.meta, self.files)
        return told

    @cached_property
    def device(self) -> str | None:
        """Return the device that matters, `7:0`: as recorded, else where writers were held, else the most written."""
        return self.meta.dev or (device_of(self.events) if self.events is not None else None)

    @property
    def queue(self) -> Device | None:
        """Return the device as sysfs showed it."""
        return self.meta.devices.get(self.device or "")

    @cached_property
    def limits(self) -> Limits | None:
        """Return the limits set upon the device: of its queue, else of the case; None where nothing was said."""
        if self.queue is not None and self.queue.limits is not None:
            return self.queue.limits
        case = self.meta.case
        if case is None:
            return None
        told = Limits(case.wbps, case.rbps, case.wiops, case.riops)
        if case.device is not None and told == Limits():
            device = case.device
            told = Limits(device.wbps, device.rbps, device.wiops, device.riops)
        return told if told != Limits() else None

    @cached_property
    def counters(self) -> Mapping[str, float] | None:
        """Return how far each counter of /proc/vmstat rose; one that stood still may be absent. None: not recorded."""
        if self.meta.vmstat_delta:
            return self.meta.vmstat_delta
        before, after = (self.vmstat(when) for when in ("before", "after"))
        if before and after:
            return {name: value - before.get(name, 0) for name, value in after.items()}
        return None

    def vmstat(self, when: str) -> dict[str, int]:
        """Return /proc/vmstat `before` or `after`, empty where it was not kept."""
        name = f"vmstat.{when}"
        if name not in self.files.names:
            return {}
        return {key: int(value) for key, value in _COUNTER.findall(self.files.text(name))}

    def proc(self, name: str) -> str | None:
        """Return a /proc file as text, `zoneinfo.before` say; None where it was not kept."""
        return self.files.text(name) if name in self.files.names else None


def read_bundle(path: str, on_read: OnRead | None = None) -> Bundle:
    """Read a folder or a .zip.  Raises TraceError: file, what is wrong with it, what to do."""
    files = files_of(path)
    meta, warnings = read_meta(files)
    trace = trace_name(files)
    events = None
    if trace is not None:
        found = read_input(files.where(trace), on_read)
        events = found.events
        if events is None:
            raise TraceError(f"{files.where(trace)}: {found.kind}, and no event in it: record again")
        warnings += _of_trace(files.where(trace), events, meta)
    if events is None and SAMPLES not in files.names:
        raise TraceError(f"{path}: neither {TRACES[0]} nor {SAMPLES} in it, nothing was recorded: record again")
    samples = read_samples(files, meta, events)
    warnings += samples.warnings if samples is not None else ()
    if samples is not None and samples.clock == "start":
        warnings.append(f"{files.where(SAMPLES)}: nothing ties its clock to the trace's: levels are of all its rows")
    return Bundle(files, meta, events, samples, read_calls(files, meta), _sysctls(files, meta), warnings)


def trace_name(files: Files) -> str | None:
    """Return the name of the trace in a bundle, None if it has none."""
    return next((name for name in TRACES if name in files.names), None)


def _of_trace(where: str, events: Events, meta: Meta) -> list[str]:
    lost = events.lost if events.holes else (meta.events.lost if meta.events else 0)
    if lost == 0:
        return []
    told = "an unknown number of" if lost is None else f"{lost:,}"
    return [f"{where}: {told} events were lost: counts and sums of events are too low"]


def _sysctls(files: Files, meta: Meta) -> dict[str, int]:
    """Return settings by their names; what is no number is left out."""
    found: dict[str, int] = {}
    if "sysctls" in files.names:
        for line in files.text("sysctls").splitlines():
            if told := _SYSCTL.fullmatch(line[:200]):
                found[told[1]] = int(told[2])
    told_last = dict(meta.sysctl) | (meta.case.sysctl if meta.case else {})
    for name, value in told_last.items():
        if told := _SYSCTL.fullmatch(f"{name} = {value}"[:200]):
            found[name] = int(told[2])
    return found


def device_of(events: Events) -> str | None:
    """Return the device of most pauses; if nobody paused, the one that most was written to; None if none was."""
    pauses = events.frame("balance_dirty_pages").with_columns(pl.col("bdi").cast(pl.String))
    if len(pauses):
        counts = pauses.group_by("bdi").agg((pl.col("pause") > 0).sum().alias("pauses"), pl.len())
        return str(counts.sort("pauses", "len", "bdi", descending=[True, True, False])["bdi"][0])
    done = events.frame("block_rq_complete").with_columns(pl.col("dev", "rwbs").cast(pl.String))
    written = done.filter(pl.col("rwbs").str.contains("W")).group_by("dev").agg(pl.col("nr_sector").sum())
    if not len(written):
        return None
    return str(written.sort("nr_sector", "dev", descending=[True, False])["dev"][0]).replace(",", ":")
