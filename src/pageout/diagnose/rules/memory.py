# SPDX-License-Identifier: GPL-2.0-or-later
"""Where the memory is: what /proc/meminfo, slabinfo and slabtop show at one moment.

Source: Linux v6.1 fs/proc/meminfo.c:meminfo_proc_show, Documentation/filesystems/proc.rst.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from pageout.diagnose.case import Case, of_fact
from pageout.diagnose.findings import HIGH, INFO, LOW, MEDIUM, WARNING, Evidence, Finding
from pageout.diagnose.verdict import not_the_limits
from pageout.diagnose.words import bytes_text, percent
from pageout.readers.facts import Snapshot, Value

KIB = 1024
PAGE_KIB = 4
MUCH_SLAB = 0.15  # of memory
MUCH_POOL = 0.25
MUCH_SHMEM = 0.3
MUCH_TABLES = 0.1
MUCH_LOST = 0.2
SHORT = 0.05  # available of all: reclaim works all the time
GIB_KIB = float(1 << 20)
BIG_CACHE_KIB = 1 << 20  # of one slab cache, worth a word without knowing the memory
INODES = ("dentry", "inode_cache", "_inode", "xfs_ili", "kernfs_node", "buffer_head", "radix_tree_node", "xa_node")


class Use(NamedTuple):
    """One kind of memory, in KiB."""

    what: str
    kib: float
    names: tuple[str, ...]  # the lines it comes from


def _one(values: Mapping[str, Value], name: str) -> float:
    return values[name].number if name in values else 0.0


def huge_kib(values: Mapping[str, Value]) -> float | None:
    """Return the size of the pool of huge pages, None if it is not stated."""
    if "Hugetlb" in values:  # 4.16 on: of all sizes
        return values["Hugetlb"].number
    if "HugePages_Total" in values and "Hugepagesize" in values:
        return values["HugePages_Total"].number * values["Hugepagesize"].number
    return None


def uses(values: Mapping[str, Value]) -> list[Use]:
    """Return what memory is used for, the largest first."""
    shmem = _one(values, "Shmem")
    cache = _one(values, "Cached") + _one(values, "Buffers") + _one(values, "SwapCached") - shmem
    reclaimable, rest = _one(values, "SReclaimable"), _one(values, "SUnreclaim")
    found = [
        Use("anonymous memory of programs", _one(values, "AnonPages"), ("AnonPages",)),
        Use("page cache", max(cache, 0.0), ("Cached", "Buffers")),
        Use("shared memory and tmpfs", shmem, ("Shmem",)),
        Use("slab, reclaimable", reclaimable, ("SReclaimable",)),
        Use("slab, not reclaimable", rest, ("SUnreclaim",)),
        Use("huge pages set aside", huge_kib(values) or 0.0, ("HugePages_Total", "Hugepagesize", "Hugetlb")),
        Use("page tables", _one(values, "PageTables"), ("PageTables",)),
        Use("kernel stacks", _one(values, "KernelStack"), ("KernelStack",)),
        Use("per-CPU data", _one(values, "Percpu"), ("Percpu",)),
        Use("free", _one(values, "MemFree"), ("MemFree",)),
    ]
    return sorted((one for one in found if one.kib > 0), key=lambda one: -one.kib)


def use_text(values: Mapping[str, Value], most: int = 4) -> str:
    """Return the largest kinds of memory as a sentence."""
    return ", ".join(f"{bytes_text(one.kib * KIB)} {one.what}" for one in uses(values)[:most])


def meminfo(case: Case) -> list[tuple[str, Snapshot]]:
    """Return the last snapshot of meminfo of each file that states MemTotal."""
    last = {
        file: one
        for file, one in case.snapshots("meminfo")
        if not one.place and "MemTotal" in one.values and one.values["MemTotal"].number > 0
    }
    return list(last.items())


_OF_VMSTAT = {
    "nr_free_pages": "MemFree", "nr_file_pages": "Cached", "nr_shmem": "Shmem", "nr_anon_pages": "AnonPages",
    "nr_slab_reclaimable": "SReclaimable", "nr_slab_unreclaimable": "SUnreclaim", "nr_page_table_pages": "PageTables",
}  # fmt: skip


def from_vmstat(case: Case) -> list[tuple[str, dict[str, Value]]]:
    """Return what /proc/vmstat counts in pages as meminfo's lines in KiB; MemTotal is the sum, so what it counts."""
    known = {file for file, _ in meminfo(case)}
    last = {file: one for file, one in case.snapshots("vmstat") if file not in known}
    found = []
    for file, one in last.items():
        values = {
            new: Value(one.values[old].number * PAGE_KIB, one.values[old].line)
            for old, new in _OF_VMSTAT.items()
            if old in one.values
        }
        if not {"MemFree", "AnonPages", "SReclaimable", "SUnreclaim", "Cached"} <= values.keys():
            continue
        whole = sum(value.number for name, value in values.items() if name != "Shmem")
        rest = values["SUnreclaim"]
        values["Slab"] = Value(values["SReclaimable"].number + rest.number, rest.line)
        values["MemTotal"] = Value(whole, values["MemFree"].line)
        found.append((file, values))
    return found


_OF_TOP = {
    "Mem total": "MemTotal", "Mem free": "MemFree", "Mem avail": "MemAvailable", "Mem buff/cache": "Cached",
    "Swap total": "SwapTotal", "Swap free": "SwapFree",
}  # fmt: skip
_OF_FREE = {
    ("Mem", "total"): "MemTotal", ("Mem", "free"): "MemFree", ("Mem", "available"): "MemAvailable",
    ("Mem", "buff/cache"): "Cached", ("Mem", "shared"): "Shmem", ("Swap", "total"): "SwapTotal",
    ("Swap", "free"): "SwapFree",
}  # fmt: skip


def levels(case: Case) -> list[tuple[str, Mapping[str, Value]]]:
    """Return the last levels of each file in KiB under meminfo's names: of meminfo, else of free or top's heading."""
    found: dict[str, Mapping[str, Value]] = {file: one.values for file, one in meminfo(case)}
    others: dict[str, dict[str, Value]] = {}
    for file, one in case.snapshots("top"):
        for old, value in one.values.items():
            if old in _OF_TOP:
                others.setdefault(file, {})[_OF_TOP[old]] = value
    for file, one in case.snapshots("free"):
        for old, value in one.values.items():
            name = _OF_FREE.get((one.part, old))
            if name is not None and one.unit_bytes is not None:
                others.setdefault(file, {})[name] = Value(value.number * one.unit_bytes / KIB, value.line)
    for file, values in others.items():
        if "MemTotal" in values and values["MemTotal"].number > 0:
            found.setdefault(file, values)
    return list(found.items())


def available_kib(values: Mapping[str, Value]) -> float | None:
    """Return what can be had without swapping: MemAvailable (3.14 on), else about that; None if nothing says."""
    if "MemAvailable" in values:
        return values["MemAvailable"].number
    if not {"MemFree", "Cached"} <= values.keys():
        return None
    cache = _one(values, "Cached") + _one(values, "Buffers") - _one(values, "Shmem")
    return values["MemFree"].number + max(cache, 0.0) + 0.5 * _one(values, "SReclaimable")


def lines(file: str, values: Mapping[str, Value], *names: str) -> tuple[Evidence, ...]:
    """Return the lines of some values."""
    return tuple(Evidence(file, values[name].line) for name in names if name in values)


def slab(case: Case) -> Iterator[Finding]:
    """Memory goes to kernel objects: inodes and dentries, which shrinkers free, or what only its owner frees."""
    stated: list[tuple[str, Mapping[str, Value]]] = [(file, one.values) for file, one in meminfo(case)]
    for file, values in stated + list(from_vmstat(case)):
        total, whole = values["MemTotal"].number, _one(values, "Slab")
        reclaimable = _one(values, "SReclaimable")
        if whole < MUCH_SLAB * total or "SReclaimable" not in values:
            continue
        mostly = reclaimable > 0.5 * whole
        held = "mostly dentries and inodes" if mostly else "mostly not reclaimable"
        yield Finding(
            id="slab-heavy",
            severity=WARNING,
            title=f"kernel objects (slab) take {bytes_text(whole * KIB)} of {bytes_text(total * KIB)}, {held}",
            detail=(
                f"{bytes_text(reclaimable * KIB)} of it is reclaimable, through shrinkers: one object at a time, under locks, and for "
                "some filesystems with writing. It is given back under pressure, slowly: tasks are then slow in reclaim while the "
                "page cache is clean."
                if mostly
                else f"{bytes_text((whole - reclaimable) * KIB)} is freed by its owners only. If it grows from day to day, something in the "
                "kernel (a driver, a module, cgroups that do not die) leaks; neither reclaim nor drop_caches gets it back."
            ) + f" Memory: {use_text(values)}.",
            confidence=MEDIUM,
            why="the sizes are certain; " + ("that reclaim is slow because of them needs a trace" if mostly else "whether it grows, one moment cannot say"),
            evidence=lines(file, values, "Slab", "SReclaimable", "SUnreclaim", "MemTotal"),
            is_not=not_the_limits(case),
            unknown=("which caches hold it (slabtop -o -s c)", "the time reclaim spends in each shrinker" if mostly else "whether it grows"),
            capture=("slab", "counters"),
            advice=(("to see whether it matters: echo 2 > /proc/sys/vm/drop_caches once (price: metadata is read again); vm.vfs_cache_pressure "
                    "above 100 keeps fewer inodes"),) if mostly
            else ("note the largest caches of slabtop now and a day later: the one that grew names the owner",),
            weight=whole / total,
        )  # fmt: skip


def caches(case: Case) -> Iterator[Finding]:
    """One slab cache holds much."""
    held: list[tuple[float, str, Evidence, float | None]] = []
    for file, one in case.snapshots("slabtop"):
        if "cache_size_kib" in one.values:
            share = one.values["use_percent"].number if "use_percent" in one.values else None
            held.append((one.values["cache_size_kib"].number, one.part, of_fact(file, one), share))
    for file, one in case.snapshots("slabinfo"):
        if {"num_objs", "objsize"} <= one.values.keys():
            objects, active = one.values["num_objs"].number, _one(one.values, "active_objs")
            size = objects * one.values["objsize"].number / KIB
            held.append((size, one.part, of_fact(file, one), 100 * active / objects if objects else None))
    held.sort(key=lambda row: -row[0])
    totals = [one.values["MemTotal"].number for _, one in meminfo(case)]
    if not held or held[0][0] < max(BIG_CACHE_KIB, 0.05 * max(totals, default=0.0)):
        return
    kib, name, evidence, used = held[0]
    whole = sum(row[0] for row in held)
    inodes = any(mark in name for mark in INODES)
    idle = used is not None and used < 50
    yield Finding(
        id="slab-cache",
        severity=WARNING,
        title=f"the slab cache {name} holds {bytes_text(kib * KIB)}, {percent(kib, whole)} of the slab memory listed",
        detail=(
            "These are caches of files and directories: reclaim frees them when memory is asked for, through shrinkers, slowly."
            if inodes
            else f"Only {used:.0f} % of its objects are in use: freed objects pin whole slabs, memory is fragmented inside the cache."
            if idle
            else "Its objects are in use and only their owner frees them: reclaim cannot. If the number grows with time, this is a leak."
        ) + " Next: " + ", ".join(f"{part} {bytes_text(size * KIB)}" for size, part, _, _ in held[1:4]) + ".",
        confidence=MEDIUM,
        why="a level at one moment: that it grows needs a second one",
        evidence=(evidence, *(row[2] for row in held[1:3])),
        is_not=not_the_limits(case),
        unknown=("whether it grows", *(() if totals else ("how much memory the machine has",))),
        capture=("slab", "counters"),
        advice=() if inodes else (("look for the owner: on a test machine boot with slub_debug=U,"
                                  f"{name} and read /sys/kernel/slab/{name}/alloc_calls (price: memory and speed)"),),
        weight=kib / GIB_KIB / 100,
    )  # fmt: skip


def huge_pages(case: Case) -> Iterator[Finding]:
    """Memory set aside as huge pages, which nobody else can use."""
    for file, one in case.snapshots("meminfo"):
        values = one.values
        count, unused = _one(values, "HugePages_Total"), _one(values, "HugePages_Free") - _one(values, "HugePages_Rsvd")
        pool, total = huge_kib(values), _one(values, "MemTotal")
        if (
            one.place
            or unused > count
            or not (count or pool)
            or (total and pool is not None and pool < MUCH_POOL * total)
        ):
            continue
        share = unused / count if count else 0.0
        waste = share * pool if pool is not None else 0.0
        bad = waste > 0.1 * total if total else share > 0.3 and count >= 64
        size = (
            f"{bytes_text(pool * KIB)}" + (f" of {bytes_text(total * KIB)}" if total else "")
            if pool is not None
            else f"{count:,.0f} pages"
        )
        yield Finding(
            id="huge-pages-idle" if bad else "huge-pages",
            severity=WARNING if bad else INFO,
            title=f"{size} {'are' if pool is None else 'is'} set aside as huge pages" + (f", {percent(unused, count)} of these unused" if count else "") + ": nothing else can use it",
            detail=(
                "This pool (vm.nr_hugepages, hugepages= at boot) counts as used, is never reclaimed and is not in the programs' sizes. "
                + (f"{unused:,.0f} of {count:,.0f} pages are neither used nor reserved. " if count else "")
                + (f"Memory: {use_text(values)}." if total else "")
            ).strip(),
            confidence=HIGH if pool is not None else MEDIUM,
            why="the kernel's own count" + ("" if pool is not None else "; the size of a huge page is not in the file (2 MiB on x86)"),
            evidence=lines(file, values, "HugePages_Total", "HugePages_Free", "HugePages_Rsvd", "Hugepagesize", "Hugetlb", "MemTotal"),
            is_not=not_the_limits(case),
            unknown=("which program they are meant for, and whether it has started",),
            capture=("counters",),
            advice=("set vm.nr_hugepages to what the program (database, virtual machines, DPDK) needs; price: it cannot start if it is too small",) if bad else (),
            weight=(waste or unused) / max(total, GIB_KIB),
        )  # fmt: skip


def shared(case: Case) -> Iterator[Finding]:
    """tmpfs and shared memory take much: they look like cache, and cannot be dropped."""
    for file, one in meminfo(case):
        values = one.values
        shmem, total = _one(values, "Shmem"), values["MemTotal"].number
        if shmem < MUCH_SHMEM * total:
            continue
        left = available_kib(values)
        no_swap = "SwapTotal" in values and values["SwapTotal"].number == 0
        yield Finding(
            id="shmem-heavy",
            severity=WARNING if left is not None and left < SHORT * 2 * total else INFO,
            title=f"shared memory and tmpfs hold {bytes_text(shmem * KIB)} of {bytes_text(total * KIB)}",
            detail=(
                "It is counted in Cached and cannot be dropped like cache: " + ("without swap it stays" if no_swap else "it can only go to swap")
                + f" until it is deleted or detached. Memory: {use_text(values)}."
            ),
            confidence=HIGH,
            why="the kernel's own count, at one moment",
            evidence=lines(file, values, "Shmem", "Cached", "MemTotal", "SwapTotal"),
            is_not=not_the_limits(case),
            unknown=("whose it is: files on tmpfs (df -t tmpfs; du -x /dev/shm /tmp /run) or segments (ipcs -m): a database's is meant to be there",),
            capture=("counters",),
            advice=("for tmpfs: delete the files, or mount with size=",),
            weight=shmem / total,
        )  # fmt: skip


def tables(case: Case) -> Iterator[Finding]:
    """Page tables take much."""
    for file, one in meminfo(case):
        table, total = _one(one.values, "PageTables"), one.values["MemTotal"].number
        if table < MUCH_TABLES * total:
            continue
        yield Finding(
            id="page-tables-heavy",
            severity=WARNING,
            title=f"page tables take {bytes_text(table * KIB)} of {bytes_text(total * KIB)}",
            detail="Many processes map the same large memory, each with tables of its own. They cannot be reclaimed while the processes live.",
            confidence=HIGH,
            why="the kernel's own count",
            evidence=lines(file, one.values, "PageTables", "MemTotal"),
            is_not=not_the_limits(case),
            unknown=("which processes (VmPTE in /proc/PID/status)",),
            advice=("huge pages for the shared memory of a database: one entry for 512; price: memory set aside", "fewer connections or processes"),
            weight=table / total,
        )  # fmt: skip


def missing(case: Case) -> Iterator[Finding]:
    """Memory that no line of meminfo accounts for."""
    needed = {"MemFree", "Cached", "AnonPages", "Slab", "PageTables", "KernelStack", "HugePages_Total", "Hugepagesize"}
    for file, one in meminfo(case):
        values = one.values
        if not needed <= values.keys():
            continue
        total = values["MemTotal"].number
        known = sum(use.kib for use in uses(values))
        known += (
            _one(values, "VmallocUsed") if "Percpu" in values else 0.0
        )  # before 5.3 it is 0, or counts device memory
        lost = total - known
        if lost < MUCH_LOST * total or lost < GIB_KIB:
            continue
        yield Finding(
            id="memory-unaccounted",
            severity=WARNING,
            title=f"{bytes_text(lost * KIB)} of {bytes_text(total * KIB)} is in no line of meminfo: pages the kernel or a driver holds",
            detail=(
                f"Known: {use_text(values, 5)}. What is missing was taken as whole pages: the ZFS ARC, a balloon of the hypervisor, "
                "buffers of graphics or network drivers, or a leak. Programs and page cache are all counted."
            ),
            confidence=MEDIUM,
            why="MemTotal less all that is counted",
            evidence=lines(file, values, "MemTotal", "MemFree", "AnonPages", "Cached", "Slab"),
            is_not=not_the_limits(case),
            unknown=("who holds it: arcstats, dmesg | grep -i balloon, /proc/vmallocinfo, page_owner=on at boot",),
            capture=("counters",),
            weight=lost / total,
        )  # fmt: skip


def short(case: Case) -> Iterator[Finding]:
    """Little memory can be had."""
    for file, values in levels(case):
        total = values["MemTotal"].number
        left = available_kib(values)
        if left is None or left >= SHORT * total:
            continue
        swap, swap_free = (values.get(name) for name in ("SwapTotal", "SwapFree"))
        full = swap is not None and swap_free is not None and swap.number > 0 and swap_free.number < 0.1 * swap.number
        none = swap is not None and swap.number == 0
        told = ", and swap is full" if full else ", and there is no swap" if none else ""
        known = f"Memory: {use_text(values, 5)}. " if "AnonPages" in values else ""
        yield Finding(
            id="memory-short",
            severity=WARNING,
            title=f"memory is nearly used up: {bytes_text(left * KIB)} of {bytes_text(total * KIB)} can be had{told}",
            detail=known + (
                "At such a level every allocation reclaims; what remains of the page cache is program text and files in use, which come "
                "back from disk at once: then disks read all the time, kswapd runs all the time, and nothing gets on."
            ),
            confidence=MEDIUM if "MemAvailable" in values else LOW,
            why="a level at one moment" + ("" if "MemAvailable" in values else "; MemAvailable is not printed here, it is estimated"),
            evidence=lines(file, values, "MemTotal", "MemFree", "MemAvailable", "AnonPages", "Cached", "SwapTotal", "SwapFree"),
            is_not=not_the_limits(case),
            unknown=("whether tasks stall for it: /proc/pressure/memory, and two snapshots of /proc/vmstat",
                     *(() if known else ("what holds it: /proc/meminfo",))),
            capture=("counters", "reclaim"),
            weight=1 - left / total,
        )  # fmt: skip


RULES: tuple[Callable[[Case], Iterator[Finding]], ...] = (slab, caches, huge_pages, shared, tables, missing, short)
