# SPDX-License-Identifier: GPL-2.0-or-later
"""From the ledger of a finished run to its figures, by the names users rely on. What does not apply is None."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pageout.engine.constants import (
    HIST_BUCKETS,
    HIST_FORK,
    HIST_FSYNC,
    HIST_READ,
    HIST_STALL,
    HIST_WRITE,
    NS_PER_S,
    SERIES_COLUMNS,
)
from pageout.kernel.sched.user import HIST_JOBS
from pageout.machine.boot import Booted
from pageout.machine.procfs import fragmentation_index, nr_free_of
from pageout.vocabulary.scenario import IO_KINDS, Disk, Scenario
from pageout.vocabulary.storage import PLAIN

PAGE = 4096
MIB_PAGES = 256
QUANTILES = ("p50", "p99", "p999", "max")
HOLDERS = ("alloc", "fork", "hugepages")  # kinds of task that take blocks of memory
SERIES_NAMES = (
    "t_s", "nr_dirty", "nr_writeback", "nr_free", "written_kib", "read_kib", "alloc_stall_ns", "throttle_ns",
    "nr_inactive_file", "nr_active_file", "nr_anon", "reclaimed", "background_limit", "dirty_limit",
    "written_direct", "written_kswapd", "written_flusher", "written_writer", "throttle_slept_ns", "stack_max_bytes",
    "write_requests", "seek_count", "seek_blocks", "stack_pages",
)  # fmt: skip


def bucket_floor(bucket: int) -> int:
    """Smallest value that falls into a histogram bucket (the inverse of ledger.bucket_of)."""
    if bucket < 16:
        return bucket
    octave, step = divmod(bucket - 16, 8)
    return (8 + step) << octave + 1


def quantile(counts: Any, share: float) -> float | None:
    """Return the value below which `share` of a histogram lies: the middle of its bucket, ns; None if it is empty."""
    total = int(counts.sum())
    if not total:
        return None
    rank = min(total, int(share * total) + 1)
    bucket = int((counts.cumsum() >= rank).argmax())
    low, high = bucket_floor(bucket), bucket_floor(bucket + 1)
    return float(low) if bucket < 16 else (low + high) / 2


class Ledger:
    """The tables of a run that has ended, read by name."""

    def __init__(self, booted: Booted) -> None:
        self._arrays = booted.arrays

    def stat(self, name: str) -> int:
        return int(self._arrays["stat"][name][0])

    def vm(self, name: str) -> int:
        return int(self._arrays["vm"][name][0])

    def row(self, table: str, row: int) -> Callable[[str], int]:
        """Return a reader of one record's fields."""
        record = self._arrays[table][row]
        return lambda name: int(record[name])

    def fragmentation(self) -> dict[str, float | None]:
        """Fragmentation index of all memory at the end, by order; None where a free block of the order is left."""
        zones = [nr_free_of(self._arrays, z) for z in range(len(self._arrays["zone"]))]
        free = [sum(counts) for counts in zip(*zones, strict=True)]
        indices = {order: fragmentation_index(free, order) for order in (2, 3, 9)}
        return {f"fragmentation_index_order{o}": None if i < 0 and any(free[o:]) else i / 1000
                for o, i in indices.items()}  # fmt: skip

    def by_order(self) -> list[dict[str, int]]:
        """Allocations of order 1 and above that tasks asked for, and those that got nothing, by order."""
        rows = zip(range(len(self._arrays["order_stat"])), self._arrays["order_stat"].tolist(), strict=True)
        return [{"order": o, "attempts": asked, "failures": failed} for o, (asked, failed) in rows if asked]

    def histogram(self, row: int) -> Any:
        return self._arrays["hist"][row * HIST_BUCKETS : (row + 1) * HIST_BUCKETS]

    def largest(self, row: int) -> int:
        return int(self._arrays["hist_sum"]["largest"][row])

    def count(self, row: int) -> int:
        return int(self._arrays["hist_sum"]["nr"][row])


def _us(ns: float | None) -> float | None:
    return None if ns is None else round(ns / 1000, 1)


def _latencies(ledger: Ledger, row: int, call: str = "write") -> dict[str, float | None]:
    """Latency of one kind of call, in microseconds; a quantile never exceeds the maximum."""
    counts, most = ledger.histogram(row), ledger.largest(row)
    figures = {name: quantile(counts, share) for name, share in (("p50", 0.5), ("p99", 0.99), ("p999", 0.999))}
    named = {f"{call}_{name}_us": _us(None if value is None else min(value, most)) for name, value in figures.items()}
    return named | {f"{call}_max_us": _us(most) if ledger.count(row) else None}


def _call_latencies(ledger: Ledger, row: int, call: str, applies: bool) -> dict[str, float | None]:
    """The same for a job that may not make such calls: null then."""
    return _latencies(ledger, row, call) if applies else dict.fromkeys(f"{call}_{name}_us" for name in QUANTILES)


def _rate(nbytes: int, ns: int) -> float | None:
    return round(nbytes * 1000 / ns, 3) if ns > 0 else None


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 6) if whole else None


def _seconds(ns: int) -> float:
    return round(ns / NS_PER_S, 6)


def job_figures(scenario: Scenario, ledger: Ledger, first_task: int, now_ns: int) -> list[dict[str, Any]]:
    """Return one dict a task: the names of the metrics as far as they apply."""
    jobs = []
    for i, task in enumerate(scenario.tasks):
        get = ledger.row("task", first_task + i)
        ended = get("ended_ns") or now_ns
        elapsed = ended - get("begun_ns")
        is_io = task.kind in IO_KINDS
        writes = is_io and task.rw not in ("read", "randread")
        reads = is_io and task.rw not in ("write", "randwrite")
        jobs.append(
            {
                "name": task.name,
                "kind": task.kind,
                "seconds": _seconds(elapsed),
                "write_mb_s": _rate(get("bytes_written"), elapsed) if writes else None,
                "read_mb_s": _rate(get("bytes_read"), elapsed) if reads else None,
                "write_mib": round(get("bytes_written") / (1 << 20), 3) if writes else None,
                "read_mib": round(get("bytes_read") / (1 << 20), 3) if reads else None,
                **_call_latencies(ledger, HIST_JOBS + 2 * i, "write", writes),
                **_call_latencies(ledger, HIST_JOBS + 2 * i + 1, "read", reads),
                "throttle_count": get("throttle_count") if writes else None,
                "throttle_s": _seconds(get("throttle_asked_ns")) if writes else None,
                "throttle_slept_s": _seconds(get("throttle_ns")) if writes else None,
                "alloc_stall_count": get("stall_count"),
                "alloc_stall_s": _seconds(get("stall_ns")),
                "stack_max_bytes": get("peak"),
                "highorder_attempts": get("nr_highorder") if task.kind in ("alloc", "fork", "hugepages") else None,
                "highorder_failures": get("nr_highorder_failed")
                if task.kind in ("alloc", "fork", "hugepages")
                else None,
                "error": {0: None, -28: "ENOSPC", -12: "ENOMEM", -5: "EIO"}[get("io_error")],
                "killed": bool(get("killed")),
            }
        )
    return jobs


def _device_figures(disk: Disk, ledger: Ledger, q: int, now_ns: int) -> dict[str, Any]:
    """Figures of one device; a stacked one has no head and is never busy itself."""
    get = ledger.row("queue", q)
    plain = disk.kind in PLAIN
    writes, seeks = get("nr_write_requests"), get("nr_seeks")
    busy = get("busy_ns") + (now_ns - get("busy_since_ns") if get("in_flight") else 0)
    return {
        "write_requests": writes,
        "read_requests": get("nr_read_requests"),
        "mean_write_kib": round(get("blocks_written") * 4 / writes, 3) if writes else None,
        "seek_count": seeks if plain else None,
        "seek_mean_mib": round(get("seek_blocks") / seeks / MIB_PAGES, 3) if seeks else None,
        "device_busy_share": round(busy / now_ns, 6) if now_ns and (plain or disk.kind == "iscsi") else None,
        "write_errors": get("errors"),
        **({"rmw_reads": get("rmw_reads")} if disk.kind == "raid5" else {}),
        **({"skb_failures": get("skb_failures")} if disk.kind == "iscsi" else {}),
    }


def device_figures(scenario: Scenario, ledger: Ledger, now_ns: int) -> dict[str, dict[str, Any]]:
    """Return what reached each device after merging, by the device's name."""
    return {disk.name: _device_figures(disk, ledger, q, now_ns) for q, disk in enumerate(scenario.machine.disks)}


def _together(devices: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The machine's device figures: sums, means weighted by what they are means of, the busiest device's share.

    Only devices that work by themselves count: what a stacked one sent has reached them.
    """
    rows = [row for row in devices.values() if row["seek_count"] is not None]
    writes, seeks = sum(row["write_requests"] for row in rows), sum(row["seek_count"] for row in rows)
    kib = sum(row["write_requests"] * (row["mean_write_kib"] or 0) for row in rows)
    mib = sum(row["seek_count"] * (row["seek_mean_mib"] or 0) for row in rows)
    shares = [row["device_busy_share"] for row in rows if row["device_busy_share"] is not None]
    return {
        "write_requests": writes,
        "mean_write_kib": round(kib / writes, 3) if writes else None,
        "seek_count": seeks,
        "seek_mean_mib": round(mib / seeks, 3) if seeks else None,
        "device_busy_share": max(shares, default=None),
    }


def _mean_mib(integral: int, now_ns: int) -> float | None:
    return round(integral / now_ns / MIB_PAGES, 3) if now_ns else None


def _level_figures(ledger: Ledger, now_ns: int) -> dict[str, Any]:
    dirty, writeback = ledger.stat("dirty_integral"), ledger.stat("writeback_integral")
    return {
        "dirty_mean_mib": _mean_mib(dirty, now_ns),
        "writeback_mean_mib": _mean_mib(writeback, now_ns),
        "dirty_writeback_mean_mib": _mean_mib(dirty + writeback, now_ns),
        "dirty_max_mib": round(ledger.stat("dirty_max") / MIB_PAGES, 3),
        "data_at_risk_max_mib": round(ledger.stat("both_max") / MIB_PAGES, 3),
        "oldest_dirty_s": round(ledger.stat("oldest_dirty_ms") / 1000, 3),
    }


def metrics(scenario: Scenario, ledger: Ledger, first_task: int, now_ns: int) -> dict[str, Any]:
    """Return the run's figures, named and in units as the reference says."""
    jobs = job_figures(scenario, ledger, first_task, now_ns)
    ios = [i for i, task in enumerate(scenario.tasks) if task.kind in IO_KINDS]
    rows = [ledger.row("task", first_task + i) for i in ios]
    spans = [(get("begun_ns"), get("ended_ns") or now_ns) for get in rows]
    span = max((end for _, end in spans), default=0) - min((begin for begin, _ in spans), default=0)
    writes = any(jobs[i]["write_mb_s"] is not None for i in ios)
    reads = any(jobs[i]["read_mb_s"] is not None for i in ios)
    forks = any(task.kind == "fork" for task in scenario.tasks)
    stalls = ledger.count(HIST_STALL)
    stat = ledger.stat
    return {
        "write_mb_s": _rate(sum(get("bytes_written") for get in rows), span) if writes else None,
        "read_mb_s": _rate(sum(get("bytes_read") for get in rows), span) if reads else None,
        **_latencies(ledger, HIST_WRITE),
        "read_p99_us": _us(quantile(ledger.histogram(HIST_READ), 0.99)),
        **_level_figures(ledger, now_ns),
        "fsync_p50_us": _us(quantile(ledger.histogram(HIST_FSYNC), 0.5)) if stat("fsyncs") else None,
        "fsync_p99_us": _us(quantile(ledger.histogram(HIST_FSYNC), 0.99)) if stat("fsyncs") else None,
        "rewrites_saved_pages": stat("rewrites_saved"),
        "throttle_count": stat("throttle_count"),
        "throttle_s": _seconds(stat("throttle_asked_ns")),
        "throttle_slept_s": _seconds(stat("throttle_ns")),
        "alloc_stall_count": ledger.vm("allocstall"),
        "alloc_stall_s": _seconds(stat("alloc_stall_ns")),
        "alloc_stall_p99_us": _us(quantile(ledger.histogram(HIST_STALL), 0.99)) if stalls else None,
        **{name: stat(name) for name in (
            "scanned_direct", "reclaimed_direct", "scanned_kswapd", "reclaimed_kswapd",
            "written_direct", "written_kswapd", "written_flusher", "written_writer")},
        **_together(device_figures(scenario, ledger, now_ns)),
        "stack_memory_mib": round(stat("stack_pages_max") / MIB_PAGES, 3) if forks else None,
        "fork_stall_p99_us": _us(quantile(ledger.histogram(HIST_FORK), 0.99)) if forks else None,
        "stack_max_bytes": stat("peak"),
        "stack_overflows": stat("overflows"),
        "highorder_attempts": stat("highorder_attempts"),
        "highorder_failures": stat("highorder_failures"),
        "highorder_success_share": _share(stat("highorder_attempts") - stat("highorder_failures"),
                                          stat("highorder_attempts")),
        **ledger.fragmentation(),
        "oom_kills": stat("oom_victims"),
        "pages_lost": stat("pages_lost"),
    }  # fmt: skip


def series(booted: Booted) -> dict[str, list[float]]:
    """Return the samples of the run: levels in pages, totals as they stood, rates between samples in 10^6 B/s."""
    n = int(booted.arrays["stat"]["series_nr"][0])
    rows = booted.arrays["series"][: n * SERIES_COLUMNS].reshape(n, SERIES_COLUMNS)
    columns: dict[str, list[float]] = {name: rows[:, i].tolist() for i, name in enumerate(SERIES_NAMES)}
    times = [t / NS_PER_S for t in columns["t_s"]]
    written = columns.pop("written_kib")
    columns["t_s"] = times
    columns["written_mb_s"] = [0.0] + [
        (written[i] - written[i - 1]) * 1024 / 1e6 / (times[i] - times[i - 1]) if times[i] > times[i - 1] else 0.0
        for i in range(1, n)
    ]
    return columns


def octaves(counts: Any) -> list[tuple[int, int]]:
    """Return (lower bound, count) by powers of two, from the first to the last that is not empty; 0 stands for 0."""
    totals: dict[int, int] = {}
    for bucket in counts.nonzero()[0].tolist():
        floor = bucket_floor(bucket)
        octave = 1 << floor.bit_length() - 1 if floor else 0
        totals[octave] = totals.get(octave, 0) + int(counts[bucket])
    if not totals:
        return []
    low, high = max(1, min(totals)), max(totals)
    bounds = [0] * (0 in totals) + [1 << n for n in range(low.bit_length() - 1, high.bit_length())]
    return [(bound, totals.get(bound, 0)) for bound in bounds]


def histograms(scenario: Scenario, booted: Booted) -> dict[str, dict[str, list[tuple[int, int]]]]:
    """Return each device's write request sizes and seek distances: (KiB from, count), by powers of two."""
    ledger = Ledger(booted)
    first = ledger.row("param", 0)("hist_device")
    return {
        disk.name: {
            "write_kib": octaves(ledger.histogram(first + 2 * q)),
            "seek_kib": octaves(ledger.histogram(first + 2 * q + 1)),
        }
        for q, disk in enumerate(scenario.machine.disks)
    }
