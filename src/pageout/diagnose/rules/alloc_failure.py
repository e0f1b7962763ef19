# SPDX-License-Identifier: GPL-2.0-or-later
"""Allocations that failed or took long: how much in one piece, from which zone, and whether it was allowed to wait.

Source: Linux v2.6.34 and v6.1 mm/page_alloc.c:__alloc_pages_slowpath, __zone_watermark_ok, warn_alloc;
include/linux/gfp.h.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from pageout.diagnose.case import Case
from pageout.diagnose.findings import HIGH, LOW, MEDIUM, WARNING, Evidence, Finding
from pageout.diagnose.wait_sites import plain_name, solid
from pageout.diagnose.words import bytes_text, pages_text, seconds_text
from pageout.diagnose.zones import is_short, is_small_dma, may_use, reach_of, size_of
from pageout.readers.facts import AllocFailure, MemoryState, ZoneState

KIB = 1024
LARGE = 3  # above this order the allocator promises nothing (PAGE_ALLOC_COSTLY_ORDER)
NO_WAIT = re.compile(r"GFP_(?:ATOMIC|NOWAIT)\b")
MAY_WAIT = re.compile(r"GFP_(?:KERNEL|USER|HIGHUSER|NOFS|NOIO)\w*|__GFP_(?:WAIT|RECLAIM|DIRECT_RECLAIM)\b")
ALLOCATORS = re.compile(
    r"dump_stack\w*|dump_backtrace|show_stack|unwind_backtrace|warn_alloc\w*|_*alloc_(?:frozen_)?pages?\w*|alloc_pages\w*|_*get_free_pages\w*|"
    r"k[mzcv]\w*alloc\w*|_*k[mz]alloc\w*|_*kmem_\w+|k?vmalloc\w*|_*vmalloc\w*|cache_\w+|_*cache_alloc\w*|fallback_alloc|new_slab\w*|"
    r"_*slab_\w+|_*slub\w*|allocate_slab|get_page_from_freelist|page_frag_\w+|_*page_frag_\w+|_*folio_alloc\w*|vma_alloc_\w+|"
    r"show_mem|panic|print_\w+|krealloc\w*|_+do_kmalloc\w*|cma_alloc|dma_\w*alloc\w*|_*dma_\w+|_*kvmalloc\w*|refill_\w+|_*do_kmalloc_node|kmalloc_\w+"
)


class Asked(NamedTuple):
    """A report, the kernel function that asked, and whether it could wait for memory (None: the mask does not say)."""

    file: str
    report: AllocFailure
    caller: str
    may_wait: bool | None


def failures(case: Case) -> Iterator[Finding]:
    """One finding for failed allocations, one for slow ones: the last report with a memory state tells."""
    found = [_asked(file, one) for file, one in case.facts(AllocFailure)]
    stalls = [one for one in found if one.report.source == "stall"]
    failed = [one for one in found if one.report.source != "stall"]
    if failed:
        told = [one for one in failed if one.report.memory is not None and one.report.memory.zones]
        yield _failed((told or failed)[-1], failed)
    if stalls:
        yield _stalled(max(stalls, key=lambda one: one.report.stalled_ms or 0), stalls)


def _asked(file: str, report: AllocFailure) -> Asked:
    names = [plain_name(frame) for frame in solid(report.frames)]
    caller = next((name for name in names if not ALLOCATORS.fullmatch(name)), "")
    reclaims = (report.comm or "").startswith("kswapd") or "__GFP_MEMALLOC" in report.mode
    return Asked(file, report, caller, False if reclaims else _may_wait(report.mode))


def _may_wait(mode: str) -> bool | None:
    """Say whether a mask allows to sleep; by its names, or of a kernel without names by the old bit."""
    if "(" in mode:
        return False if NO_WAIT.search(mode) else True if MAY_WAIT.search(mode) else None
    number = int(mode.partition("(")[0], 16) if mode.startswith("0x") else 0
    if number < 1 << 22:
        return bool(number & 0x10)  # __GFP_WAIT, kernels up to 4.3: they print no names
    return None


def _failed(one: Asked, every: Sequence[Asked]) -> Finding:
    report = one.report
    zones = _zones(report.memory)
    reach = reach_of(report.mode)
    short = [zone for zone in zones if is_short(zone, reach)]
    order = report.order
    size = bytes_text((1 << order) * _page_kib(report.memory) * KIB)
    reason, sure = _reason(one, zones, short)
    what = f"{size} in one piece (order {order})" if order else f"free page ({size})"
    return Finding(
        id="alloc-failure",
        severity=WARNING,
        title=f"{_who(one)} got no {what}: {reason}",
        detail=(
            _times(every) + _wait_words(one) + _zone_words(zones, short, order) + _cma_words(one, report.memory)
        ).strip(),
        confidence=sure,
        why="the order, the mask and the zones stand in the report" if zones else "the report has no memory state",
        evidence=tuple(
            Evidence(one.file, line) for line in dict.fromkeys([report.line, *(zone.line for zone in zones[:4])])
        ),
        is_not=_is_not(one, zones, short),
        unknown=("whether the caller copes: most drivers try again with less, or drop a packet",),
        capture=("compaction", "counters") if order else ("counters", "reclaim"),
        advice=_advice(one, order),
        weight=len(every),
    )


def _reason(one: Asked, zones: Sequence[ZoneState], short: Sequence[ZoneState]) -> tuple[str, str]:
    order = one.report.order
    if not zones:
        return ("it may not wait for reclaim", LOW) if one.may_wait is False else ("why, the report does not show", LOW)
    reach = reach_of(one.report.mode)
    usable = [
        zone for zone in zones if may_use(zone, reach) and (not is_small_dma(zone) or (reach is not None and reach.dma))
    ] or list(zones)
    if order and any(_has_block(zone, order) for zone in usable if zone not in short):
        return "blocks that large are free, but not for this kind of request", MEDIUM
    if order and len(short) < len(usable):
        return "free memory is in smaller pieces", HIGH if usable[0].free_by_order else MEDIUM
    if len(short) == len(usable) or any(zone in short for zone in usable):
        names = ", ".join(zone.name for zone in usable if zone in short)
        return f"{names} {'is' if names.count(',') == 0 else 'are'} below the min watermark", HIGH
    return ("it may not wait, and the free memory was in reserve", MEDIUM) if one.may_wait is False else ("free memory there was; why not for this request, the report does not show", LOW)  # fmt: skip


def _who(one: Asked) -> str:
    caller = f" in {one.caller}" if one.caller else ""
    return f"{one.report.comm or 'a task'}{caller}"


def _wait_words(one: Asked) -> str:
    if one.may_wait is False:
        return "The request may not wait for reclaim (interrupt or atomic context, or reclaim itself asks): only kswapd can free memory for it. "
    if one.may_wait:
        return "The request may sleep and reclaim. "
    return ""


def _zone_words(zones: Sequence[ZoneState], short: Sequence[ZoneState], order: int) -> str:
    said = []
    for zone in zones[:4]:
        free, low = zone.pages.get("free"), zone.pages.get("min")
        if free is None:
            continue
        text = f"{zone.name}: {pages_text(free.number)} free"
        if low is not None:
            text += f", min {pages_text(low.number)}{' (below)' if zone in short else ''}"
        if order and zone.free_by_order:
            text += f", {sum(zone.free_by_order[order:]):,} blocks of order {order} or more"
        said.append(text)
    return f"{'; '.join(said)}. " if said else ""


def _cma_words(one: Asked, memory: MemoryState | None) -> str:
    cma = memory.pages.get("free_cma") if memory is not None else None
    if cma is not None and cma.number > 0 and "MOVABLE" not in one.report.mode:
        return f"{pages_text(cma.number * _page_kib(memory) / 4)} of it is CMA: kept for movable pages, a driver's request cannot have it. "
    return ""


def _is_not(one: Asked, zones: Sequence[ZoneState], short: Sequence[ZoneState]) -> tuple[str, ...]:
    if one.report.order and zones and not short:
        return ("too little memory: no zone of the report is below its min watermark",)
    return ()


def _advice(one: Asked, order: int) -> tuple[str, ...]:
    said = []
    if order > LARGE:
        said.append(
            f"order {order} is more than the allocator promises: the caller ({one.caller or 'see its stack'}) should ask for less, or use vmalloc"
        )
    if one.may_wait is False or order:
        said.append(
            "raise vm.min_free_kbytes (say, double it): kswapd then keeps more free, for requests that cannot wait; the price is that memory"
        )
    return tuple(said)


def _stalled(worst: Asked, every: Sequence[Asked]) -> Finding:
    report = worst.report
    return Finding(
        id="alloc-stall",
        severity=WARNING,
        title=f"{_who(worst)} waited {seconds_text((report.stalled_ms or 0) / 1000)} for memory (order {report.order})",
        detail=_times(every)
        + "Every pass of reclaim gave too little: the machine is near out of memory, or reclaim waits itself.",
        confidence=HIGH,
        why="the kernel measured it",
        evidence=tuple(Evidence(one.file, one.report.line) for one in every[:4]),
        unknown=("what reclaim did meanwhile",),
        capture=("reclaim", "counters"),
        weight=len(every),
    )


def _times(every: Sequence[Asked]) -> str:
    return f"{len(every)} such reports; one is told here. " if len(every) > 1 else ""


def _zones(memory: MemoryState | None) -> list[ZoneState]:
    """Return the zones that have pages."""
    zones = [zone for zone in memory.zones if zone.name] if memory is not None else []
    return [zone for zone in zones if zone.pages.get("managed", zone.pages.get("present")) is None or size_of(zone) > 0]


def _has_block(zone: ZoneState, order: int) -> bool:
    return any(zone.free_by_order[order:])


def _page_kib(memory: MemoryState | None) -> int:
    return (memory.page_kib if memory is not None else None) or 4


RULES: tuple[Callable[[Case], Iterator[Finding]], ...] = (failures,)
