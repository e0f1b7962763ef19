# SPDX-License-Identifier: GPL-2.0-or-later
"""Reports of allocations that failed or took long: `page allocation failure`, `stalls for`, SLUB's and vmalloc's.

Source: Linux v2.6.34 and v6.1 mm/page_alloc.c:__alloc_pages_slowpath, warn_alloc; v4.14 mm/page_alloc.c (stalls);
mm/slub.c:slab_out_of_memory; mm/vmalloc.c.
"""

from __future__ import annotations

import re

from pageout.readers.facts import AllocFailure, Fact
from pageout.readers.mem_info import MemInfo, is_mem_info
from pageout.readers.reports import Entry, Report

_MODE = r"mode:\s?(0x[0-9a-f]{1,16}(?:\s?\([\w| ]{0,400}\))?)"
_FAILED = re.compile(rf"(?:(.{{1,64}}?)\s?[:.] )?page allocation failure[:.,] order:\s?(\d{{1,3}}), {_MODE}.{{0,200}}")
_STALLED = re.compile(
    rf"(.{{1,64}}?): page allocation stalls for (\d{{1,10}})ms,? order:\s?(\d{{1,3}}), {_MODE}.{{0,200}}"
)
_VMALLOC = re.compile(
    rf"(.{{1,64}}?): (?:vmalloc: allocation failure.{{0,80}}"
    rf"|vmalloc (?:error: )?size \d{{1,20}}.{{0,120}}), {_MODE}.{{0,200}}"
)
_ORDER = re.compile(r"page order:? (\d{1,3})")
_SLUB = re.compile(r"SLUB: Unable to allocate memory on .{0,80}?\(?gfp=(0x[0-9a-f]{1,16}(?:\([\w|]{0,400}\))?)\)?")
_CACHE = re.compile(
    r"cache: .{1,64}, object size: \d{1,12}, buffer size: \d{1,12}, default order: \d{1,3}, min order: (\d{1,3})"
)
_NODE = re.compile(
    r"node \d{1,4}: slabs: \d{1,12}, objs: \d{1,12}, free: \d{1,12}|.{1,64} debugging increased min order.{0,80}"
)
_HALVES = re.compile(
    r"page allocation failure[:.,] order.*"
    r"|.{1,64}?[:.] (?:page allocation (?:failure|stalls for)\b|vmalloc).*|SLUB: Unable to allocate memory.*"
)
_QUIET = re.compile(
    r"warn_alloc: \d{1,9} callbacks suppressed|warn_alloc_show_mem: .{0,80}"
    r"|.{1,64} cpuset=.{1,200}mems_allowed=.{1,100}"
)

_CACHE_BEGINS = re.compile(r"cache: .{1,64}, object size: \d")


class AllocBuilder(Report):
    """One report being read."""

    def __init__(self, entry: Entry, source: str, comm: str | None, order: int | None, mode: str) -> None:
        super().__init__(entry)
        self.source, self.comm, self.order, self.mode = source, comm, order, mode
        self.stalled_ms: int | None = None
        self.memory = MemInfo()

    def wants(self, text: str) -> bool:
        return super().wants(text) or is_mem_info(text) or is_alloc_line(text)

    def take(self, entry: Entry) -> bool:
        body = entry.text.strip()
        if match := _CACHE.fullmatch(body):
            self.order = int(match[1]) if self.source == "slab" else self.order
        elif not (
            self.memory.take(body, entry.number)
            or super().take(entry)
            or _QUIET.fullmatch(body)
            or _NODE.fullmatch(body)
        ):
            return False
        self.last_line = entry.last
        return True

    def finish(self) -> list[Fact]:
        if self.order is None:
            return []
        return [
            AllocFailure(
                self.line, self.comm, self.order, self.mode, self.memory.finish(), self.stack(), self.kernel,
                self.stamp_s, self.source, self.stalled_ms,
            )
        ]  # fmt: skip


def starts_alloc(text: str) -> bool:
    """Tell whether a line, or its first half, begins a report."""
    body = text.strip()[:1000]
    return _HALVES.fullmatch(body) is not None or _QUIET.fullmatch(body) is not None


def is_alloc_line(text: str) -> bool:
    """Tell whether a line, or its first half, is of a report and of no other."""
    body = text.strip()[:1000]
    return any(pattern.fullmatch(body) for pattern in (_QUIET, _NODE)) or _CACHE_BEGINS.match(body) is not None


def start_alloc(entry: Entry) -> AllocBuilder | None:
    """Return the report an entry begins."""
    body = entry.text.strip()[:1000]
    if match := _FAILED.fullmatch(body):
        return AllocBuilder(entry, "page", match[1], int(match[2]), match[3])
    if match := _STALLED.fullmatch(body):
        report = AllocBuilder(entry, "stall", match[1], int(match[3]), match[4])
        report.stalled_ms = int(match[2])
        return report
    if match := _VMALLOC.fullmatch(body):
        order = _ORDER.search(body)
        return AllocBuilder(entry, "vmalloc", match[1], int(order[1]) if order else 0, match[2])
    if match := _SLUB.fullmatch(body):
        return AllocBuilder(entry, "slab", None, None, match[1])
    return None
