# SPDX-License-Identifier: GPL-2.0-or-later
"""What monitoring tools print: vmstat 1, iostat -x, sar."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from statistics import median
from typing import NamedTuple

from pageout.diagnose.case import Case
from pageout.diagnose.findings import ERROR, HIGH, LOW, MEDIUM, WARNING, Evidence, Finding
from pageout.diagnose.verdict import not_the_limits
from pageout.diagnose.words import bytes_text, percent, seconds_text
from pageout.readers.facts import TableRow

MUCH_SCANNED = 50_000  # pages a second: 200 MB/s of scanning
POOR_YIELD = 30.0  # per cent reclaimed of scanned
BUSY = 90.0  # per cent of the time with a request in flight
SLOW_WRITE_MS = 100.0
SMALL_KB = 64.0
IDLE = 1.0


class _Row(NamedTuple):
    file: str
    row: TableRow

    @property
    def evidence(self) -> Evidence:
        return Evidence(self.file, self.row.line)

    def get(self, *names: str) -> float | None:
        """Return the first of some columns the row has: tools rename them from version to version."""
        return next((self.row.numbers[name] for name in names if name in self.row.numbers), None)


def _rows(case: Case, source: str) -> list[_Row]:
    """Return the rows of a tool's tables, without averages and without the first since boot."""
    return [
        _Row(file, row)
        for file, table in case.tables(source)
        for row in table.rows
        if not row.average and not row.since_boot
    ]


def _cleared(case: Case) -> tuple[str, ...]:
    cleared = not_the_limits(case)
    if cleared:
        return cleared
    dirty = [(row, row.get("kbdirty")) for row in _rows(case, "sar -r")]
    stated = [(row, kib) for row, kib in dirty if kib is not None]
    cached = [row.get("kbcached") for row, _ in stated]
    if stated:
        row, most = max(stated, key=lambda pair: pair[1])
        whole = max((kib for kib in cached if kib is not None), default=0.0)
        if whole and most < 0.02 * whole:
            return (
                f"the dirty limits: {bytes_text(most * 1024)} dirty at most beside {bytes_text(whole * 1024)} of page cache ({row.file}:{row.row.line})",
            )
    return ()


# --- sar -B ---


def scanning(case: Case) -> Iterator[Finding]:
    """Reclaim scans without reclaiming: kswapd burns a CPU, or tasks do."""
    rows = _rows(case, "sar -B")
    if not rows:
        return
    kswapd = [row.get("pgscank/s") or 0.0 for row in rows]
    direct = [row.get("pgscand/s") or 0.0 for row in rows]
    stolen = [row.get("pgsteal/s") or 0.0 for row in rows]
    scanned = sum(kswapd) + sum(direct)
    worst = max(rows, key=lambda row: (row.get("pgscank/s") or 0.0) + (row.get("pgscand/s") or 0.0))
    if scanned / len(rows) < MUCH_SCANNED or 100 * sum(stolen) > POOR_YIELD * scanned:
        return
    by_kswapd = sum(kswapd) > 0.9 * scanned
    yield Finding(
        id="kswapd-scans-in-vain" if by_kswapd else "reclaim-scans-in-vain",
        severity=ERROR if 100 * sum(stolen) < scanned else WARNING,
        title=f"{'kswapd' if by_kswapd else 'reclaim'} scans {median(kswapd) + median(direct):,.0f} pages a second and frees "
        f"{percent(sum(stolen), scanned)} of them",
        detail=(
            f"Over {len(rows)} rows {sum(stolen):,.0f} of {scanned:,.0f} pages (sums of the rates) could be reclaimed. Pages come round again and again "
            "that reclaim may look at and not take: in use by something, pinned, of a filesystem that refuses to give "
            "them back, or of a zone or cgroup nobody needs. " + ("Tasks themselves hardly reclaim: they find memory. " if by_kswapd else "")
        ).strip(),
        confidence=HIGH,
        why="%vmeff and the scan rates agree row after row",
        evidence=tuple(dict.fromkeys((worst.evidence, *(row.evidence for row in rows[:4])))),
        is_not=_cleared(case),
        unknown=("which pages come round: dirty, under writeback, mapped, or clean ones the filesystem keeps", "the kernel's version" if not case.kernels else "whether a later kernel has a fix"),
        capture=("reclaim", "counters", "slab"),
        weight=scanned / len(rows) / 1e5,
    )  # fmt: skip


# --- iostat -x ---


def devices(case: Case) -> Iterator[Finding]:
    """One device is busy all the time, or answers slowly, or gets a bad pattern."""
    by_device: dict[str, list[_Row]] = {}
    for row in _rows(case, "iostat -x"):
        by_device.setdefault(row.row.words.get("device", "?"), []).append(row)
    told = [finding for name, rows in by_device.items() if (finding := _device(name, rows)) is not None]
    yield from sorted(told, key=lambda finding: -finding.weight)[:2]


def _mean(rows: Sequence[_Row], *names: str) -> float | None:
    numbers = [number for row in rows if (number := row.get(*names)) is not None]
    return sum(numbers) / len(numbers) if numbers else None


def _device(name: str, rows: Sequence[_Row]) -> Finding | None:
    busy = _mean(rows, "%util")
    writes, reads = _mean(rows, "w/s") or 0.0, _mean(rows, "r/s") or 0.0
    kilobytes = _mean(rows, "wkB/s")
    if kilobytes is None and (megabytes := _mean(rows, "wMB/s")) is not None:
        kilobytes = megabytes * 1024
    wait = _mean(rows, "w_await", "await")
    if busy is None or busy < BUSY:
        return None
    worst = max(rows, key=lambda row: row.get("w_await", "await") or 0.0)
    if writes + reads < IDLE:
        return _silent(name, rows)
    size = kilobytes / writes if kilobytes and writes else None
    small = size is not None and size < SMALL_KB and writes > reads
    slow = wait is not None and wait > SLOW_WRITE_MS
    if not small and not slow:
        return None
    told = [f"{busy:.0f} % busy", f"{writes:,.0f} writes/s"]
    told += [f"of {size:,.0f} KiB"] if size is not None else []
    told += [f"{seconds_text(wait / 1000)} each"] if wait is not None else []
    return Finding(
        id="device-small-writes" if small else "device-saturated",
        severity=WARNING,
        title=f"{name}: {', '.join(told)}" + (": small or scattered writes" if small else ": it cannot keep up"),
        detail=(
            "The device is busy all the time although it moves little: the requests it gets are small or far apart "
            "(random writes, an allocator that scatters, many small files), so its bandwidth is not what is exhausted."
            if small
            else "Requests queue for long: more is asked of the device than it does. Whoever waits for it waits that long."
        ),
        confidence=MEDIUM,
        why="means over the rows; %util of 100 says little of devices that serve many requests at once",
        evidence=tuple(dict.fromkeys((worst.evidence, *(row.evidence for row in rows[:3])))),
        unknown=("who submits these writes: flusher, journal, or tasks", "how far apart they are"),
        capture=("block", "blocked"),
        weight=(wait or 0.0) / 1000,
    )


def _silent(name: str, rows: Sequence[_Row]) -> Finding | None:
    """Busy, and nothing completes."""
    if len(rows) < 2:
        return None
    return Finding(
        id="device-silent",
        severity=ERROR,
        title=f"{name} has requests in flight all the time and completes none",
        detail="A busy device without a single completion does not answer: hardware, driver, cable, or a server that is gone.",
        confidence=MEDIUM,
        why=f"{len(rows)} rows say the same",
        evidence=tuple(row.evidence for row in rows[:4]),
        is_not=("the dirty limits: whatever they are, nothing gets clean",),
        unknown=("since when, and what the log says of it",),
        capture=("log", "counters", "blocked"),
        weight=100,
        covers=("device-saturated",),
    )


# --- vmstat 1 ---


def blocked(case: Case) -> Iterator[Finding]:
    """Tasks stand blocked row after row."""
    rows = _rows(case, "vmstat 1")
    waiting = [row for row in rows if (row.get("b") or 0.0) >= 2 and (row.get("wa") or 0.0) >= 20]
    if len(waiting) < max(3, len(rows) // 2):
        return
    swap = sum((row.get("si") or 0.0) + (row.get("so") or 0.0) for row in rows) / len(rows)
    out = sum(row.get("bo") or 0.0 for row in rows) / len(rows)
    most = max(waiting, key=lambda row: row.get("b") or 0.0)
    yield Finding(
        id="tasks-blocked",
        severity=WARNING,
        title=f"{most.get('b'):,.0f} tasks blocked at worst, and {'swapping' if swap > 1000 else 'the CPUs wait for disks'} in {len(waiting)} of {len(rows)} rows",
        detail=f"The disks take {bytes_text(out * 1024)}/s meanwhile.",
        confidence=LOW,
        why="vmstat counts the blocked, it does not say what they wait for",
        evidence=tuple(dict.fromkeys((most.evidence, *(row.evidence for row in waiting[:3])))),
        is_not=_cleared(case),
        unknown=("which tasks, and what they wait for", "which device"),
        capture=("blocked", "device", "throttle"),
        weight=(most.get("b") or 0.0) / 100,
    )


RULES: tuple[Callable[[Case], Iterator[Finding]], ...] = (scanning, devices, blocked)
