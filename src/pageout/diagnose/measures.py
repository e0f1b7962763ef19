# SPDX-License-Identifier: GPL-2.0-or-later
"""Figures of a capture that can be held beside those of another: rates and medians, never totals of unknown length."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from pageout.analysis.block import df_requests
from pageout.analysis.compaction import df_compaction
from pageout.analysis.journal import df_fsync
from pageout.analysis.reclaim import df_direct_reclaim, df_kswapd, df_lru, df_throttled
from pageout.analysis.writeback import df_dirty_state, df_dirty_throttle
from pageout.diagnose.case import Case
from pageout.diagnose.counter_rates import rates
from pageout.diagnose.findings import Evidence
from pageout.diagnose.rules.tasks import waiters
from pageout.diagnose.trace_words import NS, number, total, window_s

if TYPE_CHECKING:
    from pageout.events.tables import Events

PAGES_PER_MIB = 256
SECTORS_PER_MIB = 2048
TABLES = {
    "sar -B": ("pgscank/s", "pgscand/s", "pgsteal/s", "%vmeff", "majflt/s"),
    "sar -r": ("kbdirty", "kbmemfree", "kbcached"),
    "vmstat 1": ("b", "wa", "si", "so", "bo"),
}
DEVICE_TABLE, DEVICE_COLUMNS = "iostat -x", ("%util", "w_await", "r_await", "await", "wkB/s", "w/s")
SINCE_BOOT = "reclaimed by tasks themselves, since boot"
VMSTAT_LEVELS = ("nr_dirty", "nr_writeback", "nr_free_pages")
LEVELS = ("Dirty", "Writeback", "MemFree", "Slab", "SReclaimable", "AnonPages")


class Measure(NamedTuple):
    """One figure: `worse`: +1 if more of it is worse, -1 if less is, 0 if neither; `floor`: smaller is nothing."""

    name: str
    number: float
    unit: str
    worse: int
    floor: float
    evidence: Evidence | None


def measures(case: Case) -> dict[str, Measure]:
    """Return every figure the inputs give, by name; the last of a name counts."""
    found: dict[str, Measure] = {}
    for file, events in case.traces():
        for measure in _of_trace(file, events):
            found[measure.name] = measure
    for measure in (*_of_tables(case), *_of_snapshots(case), *_of_tasks(case)):
        found[measure.name] = measure
    return found


def _first(file: str, frame: pl.DataFrame) -> Evidence | None:
    return Evidence(file, int(frame["line"][0])) if len(frame) else None


def _of_trace(file: str, events: Events) -> Iterator[Measure]:
    """Times are shares of the trace's own length, so that a long capture can stand beside a short one."""
    window = max(window_s(events), 1e-3)

    def share(name: str, frame: pl.DataFrame | None, column: str) -> Iterator[Measure]:
        if frame is not None:
            yield Measure(name, total(frame, column) / NS / window, "s/s", 1, 0.001, _first(file, frame))

    throttle = df_dirty_throttle.or_none(events)
    yield from share("held back at the dirty limit", throttle, "asked_ns")
    reclaim = df_direct_reclaim.or_none(events)
    yield from share("in direct and memcg reclaim", reclaim, "stall_ns")
    if reclaim is not None and len(reclaim):
        worst = number(reclaim["stall_ns"].max()) / 1e6
        yield Measure(
            "longest reclaim",
            worst,
            "ms",
            1,
            1.0,
            _first(file, reclaim.sort("stall_ns", descending=True, nulls_last=True)),
        )
        yield Measure("reclaims", len(reclaim) / window, "1/s", 1, 0.1, _first(file, reclaim))
    yield from share("asleep in reclaim", df_throttled.or_none(events), "delayed_ns")
    yield from share("compacting", df_compaction.or_none(events), "took_ns")
    yield from share("kswapd awake", df_kswapd.or_none(events), "awake_ns")
    yield from _scanning(file, events, window)
    yield from _requests(file, events, window)
    state = df_dirty_state.or_none(events)
    if state is not None and len(state):
        yield Measure(
            "dirty and under writeback, median",
            number(state["held"].median()) / PAGES_PER_MIB,
            "MiB",
            0,
            1.0,
            _first(file, state),
        )
    fsync = df_fsync.or_none(events)
    if fsync is not None and len(fsync):
        yield Measure(
            "fsync, 99th percentile", number(fsync["took_ns"].quantile(0.99)) / 1e6, "ms", 1, 1.0, _first(file, fsync)
        )


def _scanning(file: str, events: Events, window: float) -> Iterator[Measure]:
    lru = df_lru.or_none(events)
    if lru is None:
        return
    scanned, reclaimed = total(lru, "nr_scanned"), total(lru, "nr_reclaimed")
    first = _first(file, events.frame("mm_vmscan_lru_shrink_inactive"))
    yield Measure("scanned", scanned / PAGES_PER_MIB / window, "MiB/s", 1, 1.0, first)
    if scanned:
        yield Measure("reclaimed of scanned", 100 * reclaimed / scanned, "%", -1, 1.0, first)


def _requests(file: str, events: Events, window: float) -> Iterator[Measure]:
    requests = df_requests.or_none(events)
    if requests is None:
        return
    for device in requests["dev"].unique(maintain_order=True).to_list():
        mine = requests.filter(pl.col("dev") == device)
        writes = mine.filter((pl.col("op") == "write") & (pl.col("nr_sector") > 0))
        if writes.is_empty():
            continue
        sectors, first = total(writes, "nr_sector"), _first(file, writes)
        yield Measure(f"{device} writes", sectors / SECTORS_PER_MIB / window, "MiB/s", 0, 0.1, first)
        yield Measure(f"{device} mean write", sectors / 2 / len(writes), "KiB", -1, 1.0, first)
        latency = writes["latency_ns"].quantile(0.99)
        if latency is not None:
            yield Measure(f"{device} write latency, 99th percentile", latency / 1e6, "ms", 1, 0.1, first)


def _of_tables(case: Case) -> Iterator[Measure]:
    for source, columns in TABLES.items():
        for column in columns:
            yield from _median(case, source, column, f"{source} {column}", None)
    devices = {row.words.get("Device") for _, table in case.tables(DEVICE_TABLE) for row in table.rows}
    for device in sorted(name for name in devices if name is not None):
        for column in DEVICE_COLUMNS:
            yield from _median(case, DEVICE_TABLE, column, f"{device} {column}", device)


def _median(case: Case, source: str, column: str, name: str, device: str | None) -> Iterator[Measure]:
    rows = [
        (file, row)
        for file, table in case.tables(source)
        for row in table.rows
        if column in row.numbers and not row.average and not row.since_boot
        and (device is None or row.words.get("Device") == device)
    ]  # fmt: skip
    if rows:
        worse = (
            -1
            if column == "%vmeff"
            else 1
            if column in ("pgscank/s", "pgscand/s", "b", "wa", "w_await", "r_await", "await")
            else 0
        )
        yield Measure(
            name, median(row.numbers[column] for _, row in rows), "", worse, 1.0, Evidence(rows[0][0], rows[0][1].line)
        )


def _of_snapshots(case: Case) -> Iterator[Measure]:
    for name in LEVELS:
        said = case.counter("meminfo", name)
        if said is not None:
            yield Measure(f"meminfo {name}", said.number / 1024, "MiB", 0, 16.0, said.evidence)
    for rate in rates(case):
        yield Measure(*rate)
    for name in VMSTAT_LEVELS:
        said = case.counter("vmstat", name)
        if said is not None:
            yield Measure(f"vmstat {name}", said.number / PAGES_PER_MIB, "MiB", 0, 16.0, said.evidence)
    direct, kswapd = case.counter("vmstat", "pgsteal_direct"), case.counter("vmstat", "pgsteal_kswapd")
    if direct is not None and kswapd is not None and direct.number + kswapd.number > 0:
        part = 100 * direct.number / (direct.number + kswapd.number)
        yield Measure(SINCE_BOOT, part, "%", 1, 1.0, direct.evidence)
    for resource in ("memory", "io"):
        for file, one in case.snapshots(f"pressure {resource}"):
            if "avg60" in one.values:
                value = one.values["avg60"]
                yield Measure(f"pressure {resource} {one.part}", value.number, "%", 1, 1.0, Evidence(file, value.line))


def _of_tasks(case: Case) -> Iterator[Measure]:
    found = waiters(case)
    if found:
        yield Measure("tasks that wait", float(len(found)), "", 1, 1.0, found[0].evidence)
