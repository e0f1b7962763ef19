# SPDX-License-Identifier: GPL-2.0-or-later
"""Out of memory: of a cgroup or of the machine, and why each kind of memory was not given back.

Source: Linux v6.1 mm/oom_kill.c:dump_header, mm/memcontrol.c:mem_cgroup_print_oom_meminfo,
mm/page_alloc.c:show_free_areas.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from pageout.diagnose.case import Case, parse_release
from pageout.diagnose.findings import ERROR, HIGH, MEDIUM, Evidence, Finding
from pageout.diagnose.words import bytes_text, pages_text, percent
from pageout.diagnose.zones import (
    Reach,
    clean_cache,
    cma_out_of_reach,
    is_ample,
    is_short,
    is_small_dma,
    may_use,
    reach_of,
    size_of,
)
from pageout.readers.facts import MemoryState, OomReport, Value, ZoneState

MGLRU_SINCE = (6, 1)
LONGEST_PATH = 40  # of a cgroup, in a title
KIB = 1024
LEFT_SHARE, LEFT_PAGES = 0.1, 8192  # clean cache of a zone that is much to leave: of its size, and 32 MiB
NO_LIMIT_KIB = 1 << 50  # what v1 and v2 print where no limit is set is above
MUCH_DIRTY = 0.3  # of the limit: reclaim then meets dirty pages at every third page
LITTLE_DIRTY = 0.05
NO_FS = ("GFP_NOFS", "GFP_NOIO")


class Part(NamedTuple):
    """Memory of one kind, and why reclaim did not get it."""

    nbytes: float
    name: str
    reason: str
    line: int | None


def reports(case: Case) -> Iterator[Finding]:
    """One finding for all reports of a kind: the last one tells, the others are counted."""
    of_cgroups = [(file, report) for file, report in case.facts(OomReport) if report.memcg is not None]
    of_machine = [(file, report) for file, report in case.facts(OomReport) if report.memcg is None]
    whole = [(file, report) for file, report in of_cgroups if report.memcg_stat or report.memcg_kib]
    if whole:
        yield _cgroup(*whole[-1], len(of_cgroups))
    told = [(file, report) for file, report in of_machine if report.memory is not None and report.memory.zones]
    if told:
        yield _machine(*told[-1], len(of_machine))
    if not whole and not told and (of_machine or of_cgroups):
        yield _bare(*(of_machine or of_cgroups)[-1], len(of_machine) or len(of_cgroups))


# --- of a cgroup ---


def _stat(report: OomReport, *names: str) -> Value | None:
    return next((report.memcg_stat[name] for name in names if name in report.memcg_stat), None)


def _cgroup(file: str, report: OomReport, count: int) -> Finding:
    limit = report.memcg_kib.get("limit")
    dirty = _stat(report, "file_dirty", "total_dirty", "dirty")
    limit_bytes = limit.number * KIB if limit is not None and limit.number < NO_LIMIT_KIB else None
    nofs = any(name in (report.gfp_mask or "") for name in NO_FS)
    if dirty is not None and limit_bytes and dirty.number > MUCH_DIRTY * limit_bytes:
        return _dirty_cgroup(file, report, count, dirty, limit_bytes, nofs)
    parts = _cgroup_parts(report)
    largest = parts[0] if parts else None
    is_not = []
    if dirty is not None and limit_bytes and dirty.number < LITTLE_DIRTY * limit_bytes:
        is_not.append(
            f"dirty pages: {bytes_text(dirty.number)} of {bytes_text(limit_bytes)} ({file}:{dirty.line}); "
            "no vm.dirty_* setting changes this"
        )
    elif dirty is None:
        is_not.append("shown to be dirty pages: the report lists none")
    title = f"cgroup {_short(report)} reached its limit{f' of {bytes_text(limit_bytes)}' if limit_bytes else ''}"
    if limit is not None and limit_bytes is None:
        title = f"cgroup {_short(report)} was out of memory without a limit of its own"
    if largest is not None:
        title += f": mostly {largest.name} ({bytes_text(largest.nbytes)})"
    return Finding(
        id="memcg-oom",
        severity=ERROR,
        title=title,
        detail=_times(report, count) + _path(report) + _told(parts) + (_nofs_words() if nofs else ""),
        confidence=HIGH if largest is not None else MEDIUM,
        why="the report lists what the cgroup held" if largest else "the report does not list what the cgroup held",
        evidence=_evidence(file, report, [part.line for part in parts[:4]], limit),
        is_not=tuple(is_not) + (_machine_not_short(report),),
        unknown=("how fast it filled, and whether it would have fitted with time to reclaim",),
        capture=("cgroup",),
        advice=("raise memory.max (v1: memory.limit_in_bytes), or give the tasks in it less to hold",),
        weight=count,
    )


def _machine_not_short(report: OomReport) -> str:
    return f"the machine's memory running out: the limit of {report.memcg} was met, whatever the machine had free"


def _nofs_words() -> str:
    return (
        " The allocation could not enter the filesystem (GFP_NOFS): reclaim for it can write nothing and skips what "
        "would need the filesystem; since 4.19 such a charge does not start the OOM killer by itself."
    )


def _dirty_cgroup(file: str, report: OomReport, count: int, dirty: Value, limit: float, nofs: bool) -> Finding:
    writeback = _stat(report, "file_writeback", "total_writeback", "writeback")
    direct, kswapd = _stat(report, "pgscan_direct"), _stat(report, "pgscan_kswapd")
    idle = writeback is not None and writeback.number < 0.02 * dirty.number
    share = percent(dirty.number, limit)
    detail = _times(report, count) + (
        f"{bytes_text(dirty.number)} of {bytes_text(limit)} ({share}) were dirty pages of files: memory that only the "
        "flusher can make free. "
    )
    if idle:
        detail += (
            "Next to nothing of it was under writeback: the flushers were not writing this cgroup's pages when reclaim "
            "gave up. Reclaim does not write file pages itself on such kernels; it has to wake the flushers and wait. "
        )
    if direct is not None and kswapd is not None and kswapd.number < 0.01 * max(direct.number, 1):
        detail += "All scanning was by the tasks themselves, none by kswapd: the machine as a whole was not short. "
    kernel = parse_release(report.kernel or "")
    return Finding(
        id="memcg-oom-dirty",
        severity=ERROR,
        title=f"cgroup {_short(report)} was killed with {share} of its limit dirty"
        + (" and nothing of it being written" if idle else ""),
        detail=(_path(report) + detail + (_nofs_words() if nofs else "")).strip(),
        confidence=HIGH if idle else MEDIUM,
        why="the report's own counters: file_dirty against the limit" + (", file_writeback near 0" if idle else ""),
        evidence=_evidence(
            file,
            report,
            [value.line for value in (dirty, writeback, direct, kswapd) if value],
            report.memcg_kib.get("limit"),
        ),
        is_not=(
            "a leak of the tasks: what filled the limit is page cache that becomes free once written",
            _machine_not_short(report),
        ),
        unknown=(
            *(
                (
                    "whether the kernel uses MGLRU (cat /sys/kernel/mm/lru_gen/enabled): some versions did not wake flushers",
                )
                if kernel is None or kernel[:2] >= MGLRU_SINCE
                else ()
            ),
            "the bandwidth of the device those pages go to",
        ),
        capture=("cgroup", "throttle", "reclaim"),
        advice=(
            "try: echo 0 > /sys/kernel/mm/lru_gen/enabled (undo: echo the former value); or a kernel with the fix",
            "set memory.high below memory.max: the writer is then slowed before anybody is killed",
            "with cgroup v1 or hybrid, dirty limits know nothing of the cgroup: lower vm.dirty_bytes below its limit",
        ),
        weight=count + 10,
        covers=("memcg-oom",),
    )


def _cgroup_parts(report: OomReport) -> list[Part]:
    """Return what the cgroup held, the largest first."""
    rows = (
        (("anon", "total_rss", "rss"), "anonymous memory of tasks", "it can only be swapped{swap}"),
        (("shmem", "total_shmem"), "shared memory and tmpfs", "it can only be swapped{swap}"),
        (("unevictable", "total_unevictable"), "locked memory", "mlocked or pinned: never reclaimed"),
        (("slab_unreclaimable",), "kernel objects that cannot be reclaimed", "freed only by their owners"),
        (("slab_reclaimable",), "dentries and inodes", "freed by shrinkers, not while they are in use"),
        (("kernel_stack", "total_kernel_stack"), "kernel stacks", "freed when their tasks end"),
        (("sock",), "socket buffers", "freed when the network takes them"),
        (("file_dirty", "total_dirty", "dirty"), "dirty file pages", "must be written first"),
        (("file_writeback", "total_writeback", "writeback"), "file pages under writeback", "free once written"),
        (("inactive_file", "total_inactive_file"), "inactive file pages", "reclaimable unless dirty, mapped or in use"),
        (("active_file", "total_active_file"), "active file pages", "reclaimable once deactivated"),
    )
    swap = _no_swap(report)
    parts = []
    for names, name, reason in rows:
        value = _stat(report, *names)
        if value is not None and value.number > 0:
            parts.append(Part(value.number, name, reason.format(swap=swap), value.line))
    return sorted(parts, key=lambda part: -part.nbytes)


def _no_swap(report: OomReport) -> str:
    for values, name in ((report.memcg_kib, "swap_limit"), (report.memory.swap_kib if report.memory else {}, "total")):
        if name in values and values[name].number == 0:
            return ", and there is no swap"
    return ""


# --- of the machine ---


def _machine(file: str, report: OomReport, count: int) -> Finding:
    assert report.memory is not None
    order, reach = report.order or 0, reach_of(report.gfp_mask)
    usable = [zone for zone in report.memory.zones if zone.name and may_use(zone, reach)]
    short = [zone for zone in usable if is_short(zone, reach)]
    if order < 0:
        return _asked_for(file, report, count)
    if order > 0 and any(is_ample(zone, reach) for zone in usable if not is_small_dma(zone)):
        return _fragmented(file, report, count, order)
    shown = usable or [zone for zone in report.memory.zones if zone.name and zone.pages]
    if not short and any(is_ample(zone, None if not usable else reach) for zone in shown if not is_small_dma(zone)):
        return _not_short(file, report, count, shown, bool(usable))
    parts = _machine_parts(report, report.memory)
    largest = parts[0] if parts else None
    dirty = report.memory.pages.get("dirty")
    writeback = report.memory.pages.get("writeback")
    file_pages = sum(
        report.memory.pages[n].number for n in ("inactive_file", "active_file") if n in report.memory.pages
    )
    unwritten = sum(value.number for value in (dirty, writeback) if value is not None)
    page = _page_bytes(report.memory)
    left = [zone for zone in short if clean_cache(zone) > max(LEFT_SHARE * size_of(zone), LEFT_PAGES)]
    title = _machine_title(report.memory, reach, short)
    if unwritten > 0.5 * max(file_pages, 1) and unwritten * page > 16 << 20:
        title += f", with {bytes_text(unwritten * page)} of file pages dirty or under writeback"
    elif left:
        names = " and ".join(dict.fromkeys(zone.name for zone in left))
        title = (
            f"zone {names} ran out of memory with {pages_text(sum(map(clean_cache, left)))} of clean file cache in it"
        )
    elif (lost := _not_listed(report.memory, parts)) > 0:
        title += f": {bytes_text(lost)} are in nothing that the report lists"
    elif largest is not None:
        title += f": mostly {largest.name} ({bytes_text(largest.nbytes)})"
    return Finding(
        id="oom",
        severity=ERROR,
        title=title,
        detail=_times(report, count) + _zones_words(report, reach, short) + _told(parts) + _skipped(report),
        confidence=HIGH if short else MEDIUM,
        why="the report's zone lines" if short else "no zone of the report is below its min watermark",
        evidence=_evidence(file, report, [zone.line for zone in short[:4]] + [part.line for part in parts[:4]], None),
        is_not=_not_dirty(file, dirty, unwritten, file_pages, page),
        unknown=(
            "why reclaim left that clean cache: in use, protected (memory.min, memory.low), or a fault",
            "what grew before the report",
        )
        if left
        else ("what grew, and how fast, before the report",),
        capture=("counters", "reclaim"),
        advice=_machine_advice(largest, unwritten, file_pages),
        weight=count,
    )


def _machine_title(memory: MemoryState, reach: Reach | None, short: list[ZoneState]) -> str:
    """Name the zone, if memory was left in others that the request could not use."""
    beyond = [zone for zone in memory.zones if zone.name and not may_use(zone, reach)]
    spare = sum(zone.pages["free"].number for zone in beyond if "free" in zone.pages and not is_short(zone, None))
    cma = sum(cma_out_of_reach(zone, reach) for zone in short)
    names = " and ".join(dict.fromkeys(zone.name for zone in short if not is_small_dma(zone)))
    if short and names and spare * 4 > sum(map(size_of, short)) / 10:
        return f"zone {names} ran out of memory, while {pages_text(spare)} were free in {beyond[-1].name}"
    if short and names and cma > sum(zone.pages["min"].number for zone in short):
        return f"zone {names} ran out of memory: {pages_text(cma)} of what was free there is CMA's"
    return "the machine ran out of memory"


def _zones_words(report: OomReport, reach: Reach | None, short: list[ZoneState]) -> str:
    assert report.memory is not None
    names = ", ".join(f"{zone.name} (node {zone.node or 0})" for zone in short) or "none that the report shows"
    said = f"Zones below their min watermark for this request: {names}. "
    for zone in short[:3]:
        cma = cma_out_of_reach(zone, reach)
        if cma:
            free = pages_text(zone.pages["free"].number)
            said += f"{zone.name}: {free} free, but {pages_text(cma)} of it is CMA, which only movable pages may use. "
    beyond = [zone.name for zone in report.memory.zones if zone.name and not may_use(zone, reach)]
    if beyond:
        said += f"The request ({_mask_words(report)}) may not use {', '.join(dict.fromkeys(beyond))}. "
    return said


def _mask_words(report: OomReport) -> str:
    return (report.gfp_mask or "no mask").partition("(")[2].rstrip(")") or report.gfp_mask or "no mask"


def _not_short(file: str, report: OomReport, count: int, usable: list[ZoneState], reached: bool) -> Finding:
    """The killer ran and no zone was short: another limit than the machine's memory was met."""
    free = sum(zone.pages["free"].number for zone in usable if "free" in zone.pages)
    faulted = (report.gfp_mask or "").startswith("0x0") and report.order == 0
    limited = report.constraint in ("CONSTRAINT_CPUSET", "CONSTRAINT_MEMORY_POLICY")
    detail = "No zone of the report is below its min watermark. "
    if not reached:
        names = ", ".join(dict.fromkeys(zone.name for zone in usable))
        detail += f"The request ({_mask_words(report)}) may use none of the zones shown: {names}. A cpuset or a memory policy left it no other. "
    elif limited:
        detail += f"{report.constraint}: the task may use some nodes only, and these were short. "
    elif faulted:
        detail += (
            "gfp_mask=0x0 is that of a page fault that came back without a page (pagefault_out_of_memory): what failed is "
            "not in the report; a charge to a cgroup's limit is the usual reason. "
        )
    return Finding(
        id="oom-not-short",
        severity=ERROR,
        title=f"the OOM killer ran while {pages_text(free)} were free: the machine was not out of memory",
        detail=_times(report, count) + detail,
        confidence=HIGH if limited or not reached else MEDIUM,
        why="every zone's free pages and watermarks stand in the report",
        evidence=_evidence(file, report, [zone.line for zone in usable[:4]], None),
        is_not=("a want of memory of the whole machine", "dirty pages that could not be written"),
        unknown=("which limit was met: a cgroup's, a cpuset's, a memory policy's, or none and the kernel is at fault",),
        capture=("cgroup", "log"),
        weight=count,
    )


def _asked_for(file: str, report: OomReport, count: int) -> Finding:
    return Finding(
        id="oom-asked-for",
        severity=ERROR,
        title=f"the OOM killer was called by hand (sysrq f){f' and killed {_killed(report)}' if report.killed else ''}",
        detail=_times(report, count) + "order=-1 says so: no allocation failed here.",
        confidence=HIGH,
        why="order=-1 stands in the report",
        evidence=(Evidence(file, report.line),),
        is_not=("an allocation that failed",),
        unknown=("who asked for it, and why",),
        capture=("counters",),
        weight=0.5,
    )


def _fragmented(file: str, report: OomReport, count: int, order: int) -> Finding:
    assert report.memory is not None
    zone = max(report.memory.zones, key=lambda one: one.pages["free"].number if "free" in one.pages else 0)
    return Finding(
        id="oom-order",
        severity=ERROR,
        title=f"an allocation of {1 << order} contiguous pages (order {order}) failed; free pages there were",
        detail=_times(report, count)
        + f"No zone is below its min watermark, {zone.name} has {pages_text(zone.pages['free'].number)} free"
        + (f" in blocks by order {list(zone.free_by_order)}" if zone.free_by_order else "")
        + ": memory is fragmented, or the free blocks lie in zones or of types this allocation may not take.",
        confidence=HIGH,
        why="the order and the zones' free pages stand in the report",
        evidence=_evidence(file, report, [zone.line], None),
        is_not=("the dirty limits, or too little memory: order-0 pages were free",),
        unknown=("why compaction did not help",),
        capture=("compaction",),
        advice=("avoid the high order (the stack of the report names who asks), or raise vm.min_free_kbytes",),
        weight=count,
    )


def _not_listed(memory: MemoryState, parts: list[Part]) -> float:
    """Return what the report's own numbers leave unexplained, 0 if that is less than half of the memory."""
    pages = memory.pages
    if "ram" not in pages:
        return 0
    page = _page_bytes(memory)
    free = sum(zone.pages["free"].number for zone in memory.zones if zone.name and "free" in zone.pages) * 4 * KIB
    reserved = pages["reserved"].number * page if "reserved" in pages else 0
    lost = pages["ram"].number * page - reserved - free - sum(part.nbytes for part in parts)
    return lost if lost > 0.5 * pages["ram"].number * page else 0


def _page_bytes(memory: MemoryState) -> int:
    return (memory.page_kib or 4) * KIB


def _machine_parts(report: OomReport, memory: MemoryState) -> list[Part]:
    swap = memory.swap_kib
    free = swap["free"].number if "free" in swap else None
    no_swap = "there is no swap" if "total" in swap and swap["total"].number == 0 else (
        "swap is full" if free is not None and free < 1024 else "it can only be swapped"
    )  # fmt: skip
    rows = (
        (("active_anon", "inactive_anon"), "anonymous memory of tasks", no_swap),
        (("shmem",), "shared memory and tmpfs", no_swap),
        (("unevictable",), "locked memory", "mlocked or pinned: never reclaimed"),
        (("dirty", "unstable"), "dirty file pages", "must be written first"),
        (("writeback",), "pages under writeback", "free once the device has written them"),
        (("slab_unreclaimable",), "kernel objects that cannot be reclaimed", "freed only by their owners"),
        (("slab_reclaimable",), "dentries and inodes", "freed by shrinkers, not while in use"),
        (("pagetables",), "page tables", "freed when their tasks end"),
        (
            ("inactive_file", "active_file"),
            "file pages",
            "reclaimable unless dirty, mapped, or in a zone of no use here",
        ),
    )
    parts = []
    for names, name, reason in rows:
        values = [memory.pages[one] for one in names if one in memory.pages]
        total = sum(value.number for value in values)
        if total > 0:
            parts.append(Part(total * _page_bytes(memory), name, reason, values[0].line))
    return sorted(parts, key=lambda part: -part.nbytes)


def _skipped(report: OomReport) -> str:
    gfp = report.gfp_mask or ""
    if any(name in gfp for name in NO_FS):
        return " The allocation could not enter the filesystem (GFP_NOFS/NOIO): dirty pages were out of its reach."
    return ""


def _not_dirty(file: str, dirty: Value | None, unwritten: float, file_pages: float, page: int) -> tuple[str, ...]:
    if dirty is None:
        return ()
    if unwritten < 0.1 * max(file_pages, 1) or unwritten * page < 16 << 20:
        return (f"dirty pages: {bytes_text(unwritten * page)} dirty or under writeback ({file}:{dirty.line})",)
    return ()


def _machine_advice(largest: Part | None, unwritten: float, file_pages: float) -> tuple[str, ...]:
    if unwritten > 0.5 * max(file_pages, 1):
        return (
            "lower vm.dirty_bytes to a second or two of the slowest disk's bandwidth: less of the cache is then stuck",
        )
    if largest is not None and "anonymous" in largest.name:
        return (
            "tasks hold more than fits: fewer or smaller ones, more memory, or swap; vm.dirty_* change nothing here",
        )
    return ()


# --- common ---


def _short(report: OomReport) -> str:
    """Return a cgroup's path, of a long one only its end: what is left out stands in the detail."""
    path = report.memcg or ""
    return path if len(path) <= LONGEST_PATH else f"/.../{path.rpartition('/')[2][-LONGEST_PATH:]}"


def _path(report: OomReport) -> str:
    return f"The cgroup is {report.memcg}. " if len(report.memcg or "") > LONGEST_PATH else ""


def _bare(file: str, report: OomReport, count: int) -> Finding:
    in_memcg = report.constraint == "CONSTRAINT_MEMCG"
    whose = f"cgroup {_short(report)}" if report.memcg else "its cgroup" if in_memcg else "the machine or of a cgroup"
    return Finding(
        id="oom-bare",
        severity=ERROR,
        title=f"{_killed(report) or 'a task'} {'were' if len(report.killed) > 1 else 'was'} killed for want of memory of {whose}; the report itself is not here",
        detail=_times(report, count)
        + "Only the kill is in the file: what held the memory stands in the lines before it.",
        confidence=HIGH,
        why="the kill is logged",
        evidence=(Evidence(file, report.line),),
        unknown=("what held the memory, and why it was not given back",),
        capture=("log", "cgroup" if report.memcg or in_memcg else "counters"),
        weight=count,
    )


def _times(report: OomReport, count: int) -> str:
    killed = _killed(report)
    said = f"Killed: {killed}. " if killed else ""
    return said + (f"{count} such reports; the last one is told here. " if count > 1 else "")


def _killed(report: OomReport, most: int = 3) -> str:
    names = [f"{name} ({pid})" for pid, name, _ in report.killed]
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _told(parts: list[Part]) -> str:
    return " ".join(
        f"{part.name[0].upper()}{part.name[1:]}: {bytes_text(part.nbytes)}, {part.reason}." for part in parts[:5]
    )


def _evidence(file: str, report: OomReport, lines: Sequence[int | None], limit: Value | None) -> tuple[Evidence, ...]:
    wanted = [report.line, *([limit.line] if limit is not None else []), *(line for line in lines if line is not None)]
    return tuple(Evidence(file, line) for line in dict.fromkeys(wanted))


RULES: tuple[Callable[[Case], Iterator[Finding]], ...] = (reports,)
