# SPDX-License-Identifier: GPL-2.0-or-later
"""What monitoring tools print: vmstat 1, iostat -x, sar, top; and two snapshots of diskstats, which say the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from statistics import median
from typing import NamedTuple

from pageout.diagnose.case import Case
from pageout.diagnose.findings import ERROR, HIGH, INFO, LOW, MEDIUM, WARNING, Evidence, Finding
from pageout.diagnose.pairs import pairs
from pageout.diagnose.verdict import not_the_limits
from pageout.diagnose.words import bytes_text, percent, seconds_text
from pageout.readers.facts import TableRow

MUCH_SCANNED = 50_000  # pages a second: 200 MB/s of scanning
POOR_YIELD = 30.0  # per cent reclaimed of scanned
BUSY = 90.0  # per cent of the time with a request in flight
SLOW_WRITE_MS = 100.0
SMALL_KB = 64.0
SLOW_READ_MS = 50.0
FAST_MS = 2.0  # a write answered in less is no trouble by itself
SWAP_KIB = 500.0  # a second, each way
KSWAPD_CPU = 40.0  # per cent
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


# --- iostat -x, sar -d, diskstats ---


def devices(case: Case) -> Iterator[Finding]:
    """One device is busy all the time, or answers slowly, or gets a bad pattern."""
    told = [finding for name, rows in by_device(case).items() if (finding := _device(name, rows)) is not None]
    yield from sorted(told, key=lambda finding: -finding.weight)[:2]


def by_device(case: Case) -> dict[str, list[_Row]]:
    """Return the rows of each device, of every tool that prints them; without averages and the time since boot."""
    found: dict[str, list[_Row]] = {}
    for source in ("iostat -x", "sar -d"):
        for row in _rows(case, source):
            found.setdefault(_name(row.row), []).append(row)
    for row in _between(case):
        found.setdefault(_name(row.row), []).append(row)
    return found


def _name(row: TableRow) -> str:
    return next((row.words[name] for name in ("Device", "DEV", "device") if name in row.words), "?")


def _between(case: Case) -> Iterator[_Row]:
    """Yield a row as iostat would print it for two snapshots of /proc/diskstats whose distance in time is known."""
    for both in pairs(case, "diskstats"):
        if both.seconds is None:
            continue
        deltas = {name: both.delta(name) for name in ("reads", "writes", "sectors_read", "sectors_written", "read_ms", "write_ms", "io_ms", "weighted_io_ms")}  # fmt: skip
        told = {name: delta for name, delta in deltas.items() if delta is not None}
        if len(told) < len(deltas) or min(told.values()) < 0:
            continue
        span = both.seconds
        numbers = {
            "r/s": told["reads"] / span,
            "w/s": told["writes"] / span,
            "rkB/s": told["sectors_read"] / 2 / span,
            "wkB/s": told["sectors_written"] / 2 / span,
            "%util": min(told["io_ms"] / span / 10, 100.0),
            "aqu-sz": told["weighted_io_ms"] / span / 1000,
        }
        for name, wait, count in (("r_await", "read_ms", "reads"), ("w_await", "write_ms", "writes")):
            if told[count]:
                numbers[name] = told[wait] / told[count]
        yield _Row(both.last_file or both.file, TableRow(both.last.line, numbers, {"Device": both.last.part}))


def _mean(rows: Sequence[_Row], *names: str) -> float | None:
    numbers = [number for row in rows if (number := row.get(*names)) is not None]
    return sum(numbers) / len(numbers) if numbers else None


class Load(NamedTuple):
    """What a device did, means over its rows; waits in ms, sizes in KiB, None if the rows do not say."""

    busy: float | None
    writes: float
    reads: float
    write_kib: float | None
    read_kib: float | None
    write_ms: float | None
    read_ms: float | None
    depth: float | None


def load(rows: Sequence[_Row]) -> Load:
    """Return a device's means, by whatever names its tool's version has for them."""

    def kib(letter: str) -> float | None:
        for name, scale in (
            (f"{letter}kB/s", 1.0),
            (f"{letter}MB/s", 1024.0),
            (f"{letter}sec/s", 0.5),
            (f"{letter}d_sec/s" if letter == "r" else "wr_sec/s", 0.5),
        ):
            if (found := _mean(rows, name)) is not None:
                return found * scale
        return None

    return Load(
        _mean(rows, "%util"), _mean(rows, "w/s") or 0.0, _mean(rows, "r/s") or 0.0, kib("w"), kib("r"),
        _mean(rows, "w_await", "await"), _mean(rows, "r_await", "await"), _mean(rows, "aqu-sz", "avgqu-sz"),
    )  # fmt: skip


def _device(name: str, rows: Sequence[_Row]) -> Finding | None:
    told = load(rows)
    if told.busy is None or told.busy < BUSY:
        return None
    if told.writes + told.reads < IDLE:
        return _silent(name, rows) if not _mean(rows, "tps", "f/s", "d/s") else None
    size = told.write_kib / told.writes if told.write_kib and told.writes else None
    writing = told.writes > told.reads
    small = size is not None and size < SMALL_KB and writing
    wait = told.write_ms if writing else told.read_ms
    slow = wait is not None and wait > (SLOW_WRITE_MS if writing else SLOW_READ_MS)
    if small and told.depth is not None and told.depth < 1.5 and (told.write_ms or 0.0) > FAST_MS:
        return _one_at_a_time(name, rows, told, size or 0.0)
    if not slow and (not small or (wait is not None and wait <= FAST_MS)):
        return None
    return _saturated(name, rows, told, size, small=small, wait=wait)


def _saturated(
    name: str, rows: Sequence[_Row], told: Load, size: float | None, *, small: bool, wait: float | None
) -> Finding:
    writing = told.writes > told.reads
    worst = max(rows, key=lambda row: row.get("w_await", "await") or 0.0)
    words = [f"{told.busy:.0f} % busy", f"{told.writes:,.0f} writes/s" if writing else f"{told.reads:,.0f} reads/s"]
    words += [f"of {size:,.0f} KiB"] if size is not None and writing else []
    words += [f"{seconds_text(wait / 1000)} each"] if wait is not None else []
    rate = told.write_kib
    return Finding(
        id="device-small-writes" if small else "device-saturated" if writing else "device-reads",
        severity=WARNING,
        title=f"{name}: {', '.join(words)}" + (": small or scattered writes" if small else ": it cannot keep up"),
        detail=(
            "The device is busy all the time although it moves little: the requests it gets are small or far apart "
            "(random writes, an allocator that scatters, many small files), so its bandwidth is not what is exhausted."
            if small
            else "Requests queue for long: more is asked of the device than it does. Whoever waits for it waits that long."
            if writing
            else "Reads queue for long. Writeback is not what keeps it busy: look for who reads (a scan, a backup, refaults of a cache too small)."
        ),
        confidence=MEDIUM,
        why="means over the rows; %util of 100 says little of devices that serve many requests at once",
        evidence=tuple(dict.fromkeys((worst.evidence, *(row.evidence for row in rows[:3])))),
        unknown=("who submits these writes: flusher, journal, or tasks", "how far apart they are") if writing else ("who reads",),
        capture=("block", "blocked"),
        advice=_limits_for(name, rate) if writing and not small and rate is not None and slow_enough(wait) else (),
        weight=(wait or 0.0) / 1000,
    )  # fmt: skip


def slow_enough(wait: float | None) -> bool:
    """Whether a wait is one that lower dirty limits would shorten for others."""
    return wait is not None and wait >= 5 * SLOW_WRITE_MS


def _limits_for(name: str, kib: float) -> tuple[str, ...]:
    """Return dirty limits of 3 s and 1 s of what the device writes now."""
    one_s = max(1, round(kib / 1024)) << 20
    return (
        (
            f"for shorter syncs: vm.dirty_bytes={3 * one_s} vm.dirty_background_bytes={one_s} (3 s and 1 s of what {name} writes now; the "
            f"limit is one for all devices); price: a burst above {bytes_text(3 * one_s)} waits for the disk"
        ),
    )


def _one_at_a_time(name: str, rows: Sequence[_Row], told: Load, size: float) -> Finding:
    """Small writes, one in flight: somebody waits for each before the next."""
    return Finding(
        id="device-one-at-a-time",
        severity=WARNING,
        title=f"{name}: small writes one after another, {told.writes:,.0f}/s of {size:,.0f} KiB, "
        f"{seconds_text((told.write_ms or 0.0) / 1000)} each: fsync or a journal",
        detail=(
            f"The device is {told.busy:.0f} % busy with {told.depth:.1f} requests in flight: each write is waited for before the next is sent. That "
            "is how fsync, O_SYNC and journal commits look; the flusher would send many at once. The wait for one write sets the pace."
        ),
        confidence=MEDIUM,
        why="queue depth about 1, small requests, device always busy",
        evidence=tuple(row.evidence for row in rows[:4]),
        is_not=(f"the device's bandwidth: {bytes_text((told.write_kib or 0.0) * 1024)}/s",),
        unknown=("who calls fsync", "whether the device has a volatile cache that each fsync empties (f/s, f_await)"),
        capture=("blocked", "block"),
        advice=("fewer, larger commits (group commit, batch size); a device with a protected write cache; no dirty limit helps here",),
        weight=(told.write_ms or 0.0) / 1000,
    )  # fmt: skip


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


def swapping(case: Case) -> Iterator[Finding]:
    """Memory goes out to swap row after row, and perhaps comes back."""
    for source, into, out, scale in (("vmstat 1", "si", "so", 1.0), ("sar -W", "pswpin/s", "pswpout/s", 4.0)):
        rows = _rows(case, source)
        going = [row for row in rows if (row.get(out) or 0.0) * scale >= SWAP_KIB]
        both = [row for row in going if (row.get(into) or 0.0) * scale >= SWAP_KIB]
        if len(both) >= 2 and 2 * len(both) >= len(rows):
            yield _swaps(case, rows, both, (into, out, scale), thrash=True)
        elif len(going) >= 2 and 2 * len(going) >= len(rows):
            yield _swaps(case, rows, going, (into, out, scale), thrash=False)


def _swaps(
    case: Case, rows: Sequence[_Row], busy: Sequence[_Row], columns: tuple[str, str, float], *, thrash: bool
) -> Finding:
    into, out, scale = columns
    came, went = (median((row.get(name) or 0.0) * scale for row in busy) for name in (into, out))
    most = max(busy, key=lambda row: (row.get(into) or 0.0) + (row.get(out) or 0.0))
    waiting = [row.get("wa") or 0.0 for row in busy]
    rates = f"{bytes_text(went * 1024)}/s out" + (f", {bytes_text(came * 1024)}/s in" if thrash else "")
    return Finding(
        id="swap-thrash" if thrash else "swap-out",
        severity=WARNING,
        title=f"memory is swapped out and in again all the time: {rates}" if thrash else f"memory is pushed out to swap all the time: {rates}",
        detail=(
            f"So in {len(busy)} of {len(rows)} rows (medians). "
            + ("Programs need more memory than there is: what was just pushed out is asked for again." if thrash else "Programs and page cache together need more memory than there is. Little comes back so far: it may be memory nobody uses, or the beginning.")
            + (f" The CPUs wait for disks {median(waiting):.0f} % of the time." if any(waiting) else "")
        ),
        confidence=HIGH if thrash and len(busy) >= 3 else MEDIUM,
        why="pages go both ways at once" if thrash else "pages go out row after row",
        evidence=tuple(dict.fromkeys((most.evidence, *(row.evidence for row in busy[:3])))),
        is_not=_cleared(case),
        unknown=("which programs: VmSwap in /proc/PID/status", "whether a cgroup's limit is what is too small"),
        capture=("counters", "blocked"),
        advice=("less at once, more memory, or zram/zswap (price: CPU); vm.swappiness moves the loss from programs to page cache, it does not end it",),
        weight=1 + (came + went) / 1e5,
        covers=("tasks-blocked",),
    )  # fmt: skip


def blocked(case: Case) -> Iterator[Finding]:
    """Tasks stand blocked row after row."""
    rows = _rows(case, "vmstat 1")
    waiting = [row for row in rows if (row.get("b") or 0.0) >= 1 and (row.get("wa") or 0.0) >= 20]
    if len(waiting) < 2 or 2 * len(waiting) < len(rows):
        return
    wrote, read = (sum(row.get(name) or 0.0 for row in waiting) / len(waiting) for name in ("bo", "bi"))
    most = max(waiting, key=lambda row: row.get("b") or 0.0)
    many = max(row.get("b") or 0.0 for row in waiting)
    yield Finding(
        id="tasks-blocked",
        severity=WARNING if many >= 2 else INFO,
        title=f"{many:,.0f} task{'s' if many > 1 else ''} blocked at worst, and the CPUs wait for disks in {len(waiting)} of {len(rows)} rows",
        detail=f"Meanwhile {bytes_text(read * 1024)}/s are read and {bytes_text(wrote * 1024)}/s written (means of these rows).",
        confidence=LOW,
        why="vmstat counts the blocked, it does not say what they wait for",
        evidence=tuple(dict.fromkeys((most.evidence, *(row.evidence for row in waiting[:3])))),
        is_not=_cleared(case),
        unknown=("which tasks, and what they wait for", "which device"),
        capture=("blocked", "device", "throttle"),
        weight=many / 100,
    )  # fmt: skip


# --- top ---


def busy_kswapd(case: Case) -> Iterator[Finding]:
    """kswapd takes a CPU."""
    rows = [
        _Row(file, row)
        for file, table in case.tables("top")
        for row in table.rows
        if row.words.get("COMMAND", "").strip("[]").startswith("kswapd")
    ]
    busy = [row for row in rows if (row.get("%CPU") or 0.0) >= KSWAPD_CPU]
    if not busy:
        return
    most = max(busy, key=lambda row: row.get("%CPU") or 0.0)
    name, share = most.row.words["COMMAND"].strip("[]"), most.get("%CPU") or 0.0
    yield Finding(
        id="kswapd-busy",
        severity=WARNING,
        title=f"{name} takes {share:.0f} % of a CPU{f' in {len(busy)} of {len(rows)} samples' if len(rows) > 1 else ''}: it reclaims all the time",
        detail=(
            "kswapd runs while free memory is below the high watermark of a zone it must serve. All the time means: it does not get there "
            "(nothing it may take, a small zone, somebody takes pages as fast), or it stands in a slow shrinker. Swap need not be involved: "
            "kswapd reclaims page cache first."
        ),
        confidence=MEDIUM if len(busy) > 1 else LOW,
        why="top says that it runs, not what it does" + ("" if len(rows) > 1 else "; one sample is a moment"),
        evidence=tuple(row.evidence for row in busy[:4]),
        is_not=_cleared(case),
        unknown=("how much it scans and frees: two snapshots of /proc/vmstat", "which zone or node is short: /proc/zoneinfo"),
        capture=("counters", "reclaim", "slab"),
        weight=share / 100,
    )  # fmt: skip


RULES: tuple[Callable[[Case], Iterator[Finding]], ...] = (scanning, devices, swapping, blocked, busy_kswapd)
