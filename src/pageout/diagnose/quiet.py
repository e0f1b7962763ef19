# SPDX-License-Identifier: GPL-2.0-or-later
"""What can be said where no rule found anything wrong: asked last, and only then.

Nothing here alarms. It says what the files clear, for the moment or the time they show, so that the search goes on
elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from pageout.diagnose.case import Case
from pageout.diagnose.findings import HIGH, INFO, LOW, MEDIUM, Evidence, Finding
from pageout.diagnose.rules.cgroups import groups
from pageout.diagnose.rules.memory import available_kib, levels, lines, use_text
from pageout.diagnose.rules.monitors import by_device, load
from pageout.diagnose.rules.pressure import RESOURCES, UNNAMED
from pageout.diagnose.rules.sysctls import Block, blocks
from pageout.diagnose.verdict import not_the_limits
from pageout.diagnose.words import bytes_text, pages_text, percent, seconds_text

KIB = 1024
AT_EASE = 0.15  # of memory can be had
GIB = 1 << 30
CPU_BOUND = 80.0
QUIET_PRESSURE = 5.0
EASY_BUSY, EASY_MS, SLOW_MS = 70.0, 5.0, 40.0  # per cent; a seek or two of a disk is below 40 ms
LITTLE_DIRECT = 0.05  # of all pages reclaimed


def memory(case: Case) -> Iterator[Finding]:
    """There is memory to be had."""
    for file, values in levels(case):
        total = values["MemTotal"].number
        left = available_kib(values)
        if left is None:
            continue
        told = f"{bytes_text(left * KIB)} of {bytes_text(total * KIB)} can be had"
        ease = left >= AT_EASE * total
        dirty = f", {bytes_text(values['Dirty'].number * KIB)} is dirty" if "Dirty" in values else ""
        yield Finding(
            id="memory-at-ease" if ease else "memory-level",
            severity=INFO,
            title=f"{'no shortage of memory at this moment: ' if ease else 'memory is not used up: '}{told}{dirty}",
            detail=(f"Memory: {use_text(values, 5)}. " if "AnonPages" in values else "") + "What is page cache is there to be taken; little free memory is no fault by itself.",
            confidence=MEDIUM if "MemAvailable" in values else LOW,
            why="levels at one moment" + ("" if "MemAvailable" in values else "; without MemAvailable (before 3.14) this is an estimate"),
            evidence=lines(file, values, "MemTotal", "MemFree", "MemAvailable", "Cached", "Dirty", "Writeback"),
            is_not=not_the_limits(case) + (("a shortage of memory, at this moment",) if ease else ()),
            unknown=("what happened before and after: two snapshots of /proc/vmstat say", "who waits, and for what"),
            capture=("counters", "blocked"),
        )  # fmt: skip


def vmstat_rows(case: Case) -> Iterator[Finding]:
    """vmstat 1: the CPUs are busy, or nothing is."""
    rows = [(file, row) for file, table in case.tables("vmstat 1") for row in table.rows if not row.since_boot]
    told = [(file, row) for file, row in rows if {"b", "si", "so", "us", "sy", "id"} <= row.numbers.keys()]
    if not told:
        return
    waits = [row.numbers.get("wa", 0.0) for _, row in told]
    swap = max(row.numbers["si"] + row.numbers["so"] for _, row in told)
    stuck = max(row.numbers["b"] for _, row in told)
    used = sum(row.numbers["us"] + row.numbers["sy"] for _, row in told) / len(told)
    wait = sum(waits) / len(waits)
    if wait >= 20 or (stuck >= 2 and wait >= 5):
        return
    busy = used >= CPU_BOUND
    one = len(told) == 1
    yield Finding(
        id="cpu-bound" if busy else "vmstat-quiet",
        severity=INFO,
        title=(f"the CPUs are busy: {used:.0f} % user and system" if busy else "nobody stands blocked for long in these rows")
        + f"; waiting for disks {wait:.0f} %, " + ("no swapping" if swap == 0 else f"swapping {bytes_text(swap * KIB)}/s at most"),
        detail="Means over the rows." if not one else "It is one row: if it is the first that vmstat printed, it is the average since boot and hides every peak.",
        confidence=LOW if one else MEDIUM,
        why="b, wa, si and so of the rows; a task that waits without I/O (a lock, a pause at the dirty limit) is in b and not in wa",
        evidence=tuple(Evidence(file, row.line) for file, row in told[:3]),
        is_not=(*not_the_limits(case), *(("swapping",) if swap == 0 else ()), *(("slow disks, in these rows",) if wait < 5 else ())),
        unknown=("what happens outside these rows", *(("what the system time is spent on: perf top",) if busy else ())),
        capture=("blocked", "counters"),
    )  # fmt: skip


def devices(case: Case) -> Iterator[Finding]:
    """No device is overloaded, by iostat or diskstats."""
    means = {name: (rows, load(rows)) for name, rows in by_device(case).items()}
    if not means:
        averages = [(file, row) for file, table in case.tables("iostat -x") for row in table.rows if row.since_boot]
        if averages:
            yield _since_boot([Evidence(file, row.line) for file, row in averages[:3]])
        return
    told = {name: one for name, one in means.items() if one[1].busy is not None}
    if not told:
        return
    name, (rows, most) = max(told.items(), key=lambda pair: pair[1][1].busy or 0.0)
    waits = [
        wait
        for wait, count in ((most.write_ms, most.writes), (most.read_ms, most.reads))
        if wait is not None and count >= 1
    ]
    wait = max(waits, default=0.0)
    answer = f" and answers in {seconds_text(wait / 1000)}" if wait > 0 else ""
    eased = wait <= EASY_MS or ((most.busy or 0.0) < EASY_BUSY and wait <= SLOW_MS)
    slow = not eased and (most.busy or 0.0) < EASY_BUSY
    title = (
        f"{name} works only {most.busy:.0f} % of the time, yet a request takes {seconds_text(wait / 1000)}: slow answers, no overload"
        if slow
        else f"no device is overloaded in these rows: the busiest, {name}, works {most.busy:.0f} % of the time{answer}"
        if eased
        else f"{name} works {most.busy:.0f} % of the time{answer}: whether that is too slow, these rows cannot say"
    )
    yield Finding(
        id="devices-keep-up" if eased else "device-slow-answers" if slow else "device-busy",
        severity=INFO,
        title=title,
        detail=(
            "Whoever waits for each request (fsync, a journal, a page that is not in memory) waits that long, although there is bandwidth left. "
            "Large requests, a flush of the device's cache, or a slow path to it."
            if slow
            else "100 % says only that it was never idle: a device that serves many requests at once (SSD, RAID) may take much more."
            if (most.busy or 0.0) >= 90
            else "Means over the rows. A wait of seconds in one request can hide in a mean."
        ),
        confidence=MEDIUM if len(rows) > 1 else LOW,
        why="busy time and waits of all devices" + ("" if len(rows) > 1 else "; one row each: if it is the first that iostat printed, it is the average since boot"),
        evidence=tuple(row.evidence for row in rows[:3]),
        is_not=(*not_the_limits(case), *(("a device that is overloaded, in these rows",) if eased else ())),
        unknown=("who waits, and for what", "single slow requests: biosnoop or block events"),
        capture=("blocked", "block"),
    )  # fmt: skip


def _since_boot(evidence: list[Evidence]) -> Finding:
    return Finding(
        id="iostat-since-boot",
        severity=INFO,
        title="the only iostat report here is the average since boot: it says nothing of one bad minute",
        detail="iostat prints the time since boot first, unless -y is given. Take a few with an interval while the trouble is there: iostat -xy 1 30.",
        confidence=HIGH,
        why="it is the first report after its heading",
        evidence=tuple(evidence),
        unknown=("what the devices do while it hangs",),
        capture=("device", "blocked"),
    )


def pressure(case: Case) -> Iterator[Finding]:
    """Nobody waits."""
    told = [
        (value.number, resource, one.part, Evidence(file, value.line))
        for source, resource in RESOURCES.items()
        for file, one in case.snapshots(source)
        for name, value in one.values.items()
        if name in ("avg60", "avg300")
    ]
    if not told or max(row[0] for row in told) >= QUIET_PRESSURE:
        return
    share, resource, part, evidence = max(told, key=lambda row: row[0])
    cleared = [name for name in dict.fromkeys(row[1] for row in told) if name != UNNAMED]
    unnamed = any(row[1] == UNNAMED for row in told)
    yield Finding(
        id="pressure-low",
        severity=INFO,
        title=f"hardly anybody waits: at most {share:g} % of the time for {resource} ({part}) in the last minutes",
        detail="avg10, avg60 and avg300 look back 10 s, 1 min and 5 min: a hang before that is only in `total`.",
        confidence=HIGH,
        why="the kernel measures it",
        evidence=(evidence,),
        is_not=(f"waiting for {' or '.join(cleared)}, in the last minutes",) if cleared else (),
        unknown=(*(("which resource: only the name of the file tells (memory, io, cpu)",) if unnamed else ()), "what happened earlier"),
        capture=("counters", "blocked"),
    )  # fmt: skip


def counters(case: Case) -> Iterator[Finding]:
    """/proc/vmstat: what its totals clear."""
    direct = [case.counter("vmstat", name) for name in _of_zones("pgsteal_direct")]
    kswapd = [case.counter("vmstat", name) for name in _of_zones("pgsteal_kswapd")]
    mine, theirs = (sum(one.number for one in said if one is not None) for said in (direct, kswapd))
    evidence = tuple(one.evidence for one in (*direct, *kswapd) if one is not None)
    swapped = case.counter("vmstat", "pswpout")
    if not evidence or not any(kswapd) or mine > LITTLE_DIRECT * (mine + theirs):
        return
    share = f"{percent(mine, mine + theirs)} by tasks, the rest by kswapd" if mine + theirs else "none"
    yield Finding(
        id="reclaim-history-calm",
        severity=INFO,
        title=f"since boot tasks hardly reclaimed for themselves: {pages_text(mine + theirs)} reclaimed, {share}",
        detail="Totals since boot: a bad minute yesterday can hide in them." + (f" {pages_text(swapped.number)} went to swap in all." if swapped is not None else ""),
        confidence=MEDIUM,
        why="pgsteal_direct against pgsteal_kswapd",
        evidence=evidence[:4],
        is_not=not_the_limits(case),
        unknown=("what happens now: a second snapshot some seconds later", "who waits, and for what"),
        capture=("counters", "blocked"),
    )  # fmt: skip


def _of_zones(name: str) -> list[str]:
    return [name, *(f"{name}_{zone}" for zone in ("dma", "dma32", "normal", "high", "movable"))]


def settings(case: Case) -> Iterator[Finding]:
    """Dirty limits that were stated: what they mean."""
    stated = [block for block in blocks(case) if any(name.startswith("vm.dirty_") for name in block.values)]
    if not stated:
        return
    block = stated[-1]
    nbytes, ratio = block.get("dirty_bytes"), block.get("dirty_ratio")
    low_bytes, low_ratio = block.get("dirty_background_bytes"), block.get("dirty_background_ratio")
    if nbytes is None and ratio is None and low_bytes is None and low_ratio is None:
        return
    whole = (nbytes or ratio) is not None and (low_bytes or low_ratio) is not None
    limit = (
        bytes_text(nbytes.number)
        if nbytes is not None
        else f"{ratio.number:g} % of memory"
        if ratio is not None
        else "the kernel's own 20 %"
    )
    low = (
        bytes_text(low_bytes.number)
        if low_bytes is not None
        else f"{low_ratio.number:g} % of memory"
        if low_ratio is not None
        else "the kernel's own 10 %"
    )
    yield Finding(
        id="sysctl-meaning",
        severity=INFO,
        title=f"dirty limits: flushing from {low} on, {limit} at most"
        + ("; they do not contradict each other" if whole else ""),
        detail=_meaning(block, ratio.number if ratio is not None and nbytes is None else None),
        confidence=HIGH,
        why="the settings stand there; per cent are of free memory and page cache, not of all memory",
        evidence=block.lines("dirty_bytes", "dirty_ratio", "dirty_background_bytes", "dirty_background_ratio", "dirty_expire_centisecs", "dirty_writeback_centisecs"),
        unknown=("whether anybody reaches them: that takes a trace, or nr_dirty beside nr_dirty_threshold", "how fast the devices write"),
        capture=("throttle", "counters", "device"),
        advice=_by_bandwidth(),
    )  # fmt: skip


def _meaning(block: Block, ratio: float | None) -> str:
    said = "Writers are slowed from half-way between the two on. "
    if ratio is not None:
        said += (
            f"On 64 GiB of free memory and cache {ratio:g} % is {bytes_text(ratio / 100 * 64 * GIB)}: a disk of 150 MB/s writes that in "
            f"{seconds_text(ratio / 100 * 64 * GIB / 150e6)}, and a sync may last as long. "
        )
    expire = block.values.get("vm.dirty_expire_centisecs")
    if expire is not None:
        said += f"What is dirty for {expire.number / 100:g} s is written in any case. "
    return said.strip()


def _by_bandwidth() -> tuple[str, ...]:
    return (
        (
            "rule of thumb: dirty_bytes for 1 to 3 s of what the slowest device in use writes, dirty_background_bytes for a third "
            "of that; price: bursts above it wait for the disk"
        ),
    )


def cgroups(case: Case) -> Iterator[Finding]:
    """What a cgroup holds, where that is all that was given."""
    for group in groups(case):
        anon, cache = group.get("anon", "rss"), group.get("file", "cache")
        if anon is None and cache is None:
            continue
        told = [
            f"{bytes_text(one.number)} {what}"
            for one, what in ((anon, "anonymous"), (cache, "page cache"))
            if one is not None
        ]
        yield Finding(
            id="memcg-level",
            severity=INFO,
            title=f"{group.name} holds {' and '.join(told)} at this moment; its limit is not in the files",
            detail="Page cache counts toward a cgroup's limit and is given back when it is needed; shared memory and tmpfs count as page cache, and are not.",
            confidence=MEDIUM,
            why="a level at one moment",
            evidence=tuple(one.evidence for one in (anon, cache) if one is not None),
            unknown=("the cgroup's limit, and how often it met it", "how long its tasks waited"),
            capture=("cgroup",),
        )  # fmt: skip


RULES: tuple[Callable[[Case], Iterator[Finding]], ...] = (
    memory,
    vmstat_rows,
    devices,
    pressure,
    counters,
    cgroups,
    settings,
)
