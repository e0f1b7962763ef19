# SPDX-License-Identifier: GPL-2.0-or-later
"""A simulated run as evidence: its own trace read as any other, its ledger's series as samples, its calls as fio's."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path

import numpy as np

from pageout.bundle.calls import Calls, Quantiles
from pageout.bundle.evidence import Evidence, Window
from pageout.bundle.samples import Samples
from pageout.kernel.sched.user import HIST_JOBS
from pageout.machine.figures import Ledger, bucket_floor
from pageout.machine.simulate import Progress, Result, simulate
from pageout.readers.read import read_input
from pageout.twin.layout import is_layout
from pageout.vocabulary.scenario import IO_KINDS, Scenario, Task

SERIES = {"nr_dirty": "nr_dirty", "nr_writeback": "nr_writeback", "nr_free": "nr_free_pages"}
# Counter of /proc/vmstat -> the ledger's, which counts the same for all zones.
COUNTERS = {
    "pgscan_kswapd": "scanned_kswapd", "pgscan_direct": "scanned_direct", "pgsteal_kswapd": "reclaimed_kswapd",
    "pgsteal_direct": "reclaimed_direct",
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Run:
    """What is kept of a simulated run."""

    scenario: Scenario
    evidence: Evidence
    ending: str
    digest: str
    sim_seconds: float
    wall_seconds: float


def run(
    scenario: Scenario, progress: Progress | None = None, trace: Path | None = None, seed: int | None = None
) -> Run:
    """Simulate a scenario, decisions traced, and return what it left.

    trace: where its trace stays; unset: nowhere
    """
    with tempfile.TemporaryDirectory(prefix="pageout-") as folder:
        place = trace or Path(folder) / "trace.txt"
        result = simulate(scenario, trace=place, progress=progress, seed=seed)
        found = read_input(str(place)) if place.stat().st_size else None
    evidence = evidence_of_run(result)
    if found is not None:
        evidence = dataclasses.replace(evidence, events=found.events)
    return Run(
        scenario, evidence, result.ending, result.digest, result.now_ns / 1e9, result.wall_seconds
    )  # fmt: skip


def evidence_of_run(result: Result) -> Evidence:
    """Return the evidence of a run, less its events."""
    scenario, ledger = result.scenario, Ledger(result.booted)
    calls: list[Calls] = []
    for number, task in enumerate(scenario.tasks):
        get = ledger.row("task", result.first_task + number)
        begun, ended = get("begun_ns"), get("ended_ns") or result.now_ns
        if task.kind not in IO_KINDS or _is_elsewhere(scenario, task) or is_layout(task):
            continue
        for is_write, moved in ((True, "bytes_written"), (False, "bytes_read")):
            if get(moved):
                row = HIST_JOBS + 2 * number + (not is_write)
                latency = _quantiles(ledger, row)
                calls.append(Calls(task.name, is_write, get(moved), (ended - begun) / 1e9, begun, ended, latency))
    busy = [one for one in calls if one.is_write] or calls
    spans = [(one.start_ns, one.end_ns) for one in busy if one.start_ns is not None and one.end_ns is not None]
    window = Window(min(s for s, _ in spans), max(e for _, e in spans)) if spans else Window(0, result.now_ns)
    counters = {name: ledger.stat(of) for name, of in COUNTERS.items()} | {"allocstall": ledger.vm("allocstall")}
    writers = [task for task in scenario.tasks if task.kind == "io" and "write" in task.rw and not is_layout(task)]
    synced = all(task.end_fsync for task in writers if not _is_elsewhere(scenario, task))
    return Evidence(None, _samples(result, ledger), calls, device_number(scenario), window, counters, synced)


def _is_elsewhere(scenario: Scenario, task: Task) -> bool:
    """Say whether a task works on another filesystem than the one that is looked at."""
    first = ("", scenario.machine.filesystem.name)
    return bool(task.file) and all(scenario.files[number].filesystem not in first for number in task.file)


def device_number(scenario: Scenario) -> str:
    """Return the number of the device under the filesystem, as traces have it: sda is 8:0, sdb 8:16."""
    names = [disk.name for disk in scenario.machine.disks]
    return f"8:{16 * names.index(scenario.machine.filesystem.disk)}"


def _samples(result: Result, ledger: Ledger) -> Samples:
    """Return the series, and how it was at the very end."""
    series = result.series
    at = np.append(np.array([round(t * 1e9) for t in series["t_s"]], np.int64), result.now_ns)
    last = {"nr_dirty": "nr_dirty", "nr_writeback": "nr_writeback", "nr_free": "nr_free_pages"}
    columns = {SERIES[name]: np.append(np.array(series[name], np.float64), ledger.vm(last[name])) for name in SERIES}
    return Samples(at, columns, "trace")


def _quantiles(ledger: Ledger, row: int) -> Quantiles:
    """Return a histogram of the ledger as a distribution: the middle of each bucket, no more than the greatest."""
    counts = ledger.histogram(row)
    total = int(counts.sum())
    if not total:
        return Quantiles(np.zeros(0), np.zeros(0), 0)
    buckets = counts.nonzero()[0]
    middles = [float(b) if b < 16 else (bucket_floor(int(b)) + bucket_floor(int(b) + 1)) / 2 for b in buckets]
    values = np.minimum(np.array(middles), float(ledger.largest(row))) / 1000
    return Quantiles(np.cumsum(counts[buckets]) / total, values, total)
