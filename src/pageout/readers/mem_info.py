# SPDX-License-Identifier: GPL-2.0-or-later
"""The Mem-Info block of OOM and allocation-failure reports: totals, nodes, zones, free lists, swap. All eras.

Source: Linux v2.6.18, v2.6.34, v4.8, v6.1 mm/page_alloc.c:show_free_areas; lib/show_mem.c:show_mem;
mm/swap_state.c:show_swap_cache_info.
"""

from __future__ import annotations

import re

from pageout.readers.facts import MemoryState, Value, ZoneState

MAX_ZONES = 1024
_NODE = r"(?:Node (\d{1,4}) )?"
_NAME = r"(DMA32|DMA|Normal|HighMem|Movable|Device)"
_ZONE = re.compile(rf"{_NODE}{_NAME}:? free:\s?\d.*")
_WHOLE_NODE = re.compile(r"Node (\d{1,4}) (active_anon:\s?\d.*)")
_KB = re.compile(r"([a-z_]{1,40}(?:\([a-z]{1,12}\))?):\s?(\d{1,18})(kB|KB)?(?![\w])")
_DEAD = re.compile(r"all_unreclaimable\? (yes|no)")
_BUDDY = re.compile(rf"{_NODE}{_NAME}: (?:(?:\d{{1,9}}[*_x×]\d{{1,9}}kB.*)|(?:empty))")
_BLOCKS = re.compile(r"(\d{1,9})[*_x×](\d{1,9})kB")
_TOTALS = re.compile(r"(?:[A-Za-z_]{2,40}:\d{1,18}(?:\s{1,4}|$)){1,12}")
_TOTAL = re.compile(r"([A-Za-z_]{2,40}):(\d{1,18})")
_COUNTS = re.compile(
    r"(\d{1,18}) (total pagecache pages|pages in swap cache|pages RAM|pages of RAM|pages HighMem(?:/MovableOnly)?"
    r"|(?:pages reserved|reserved pages)|pages shared|pages non-shared|pages cma reserved|pages hwpoisoned|pages slab"
    r"|free pages|pages swap cached|pages of HIGHMEM|slab pages|pages in pagetable cache|pages of slab)"
)
_SWAP = re.compile(r"(Free|Total) swap\s{0,4}[=:]\s{0,20}(\d{1,18})kB")
_SWAP_STATS = re.compile(r"Swap cache(?: stats)?: add (\d{1,18}), delete (\d{1,18}), find (\d{1,18})/(\d{1,18}).*")
_HEAD = re.compile(r"Mem-[Ii]nfo:.*")
_NAMES = {
    "total pagecache pages": "pagecache", "pages in swap cache": "swapcache", "pages swap cached": "swapcache",
    "pages RAM": "ram", "pages of RAM": "ram", "pages reserved": "reserved", "reserved pages": "reserved",
    "pages cma reserved": "cma_reserved", "pages hwpoisoned": "hwpoisoned", "pages shared": "shared",
    "pages non-shared": "non_shared", "pages HighMem": "highmem", "pages HighMem/MovableOnly": "highmem",
    "pages of HIGHMEM": "highmem", "pages slab": "slab", "slab pages": "slab", "pages of slab": "slab",
    "free pages": "free", "pages in pagetable cache": "pagetable_cache",
}  # fmt: skip
_TOTAL_KEYS = re.compile(
    r"(?:in)?active(?:_anon|_file)?|isolated_(?:anon|file)|unevictable|dirty|writeback|unstable|slab(?:_(?:un)?reclaimable)?"
    r"|mapped|shmem|(?:sec_)?pagetables|bounce|kernel_misc_reclaimable|free(?:_pcp|_cma)?"
)
_QUIET = re.compile(
    rf"(?:lowmem_reserve|protections)\[\]:[\d \t]*|{_NODE}{_NAME} per-cpu:(?: empty)?"
    r"|(?:CPU|cpu)\s{1,5}\d{1,5}:?\s{1,4}(?:hi:|hot:|cold:|Hot:|Cold:).*|(?:active|inactive):.{0,20}kB.*"
    r"|Node \d{1,4} hugepages_total=.*|\d{1,9} pages? (?:in|of) .{1,40}"
    r"|Unreclaimable slab info:|Name\s{2,40}Used\s{2,40}Total|[\w.:-]{1,64}\s{1,40}\d{1,12}KB\s{1,40}\d{1,12}KB"
    r"|Memory allocations? .{0,80}|\s{0,10}[\d.]{1,9} ?[kMG]?i?B? .{0,10}\d{1,9} func:.*|Node \d{1,4}"
)


def is_mem_info(text: str) -> bool:
    """Tell whether a line, or the first half of one, is of a Mem-Info block."""
    body = text.strip()[:4096]
    return bool(
        _ZONE.fullmatch(body)
        or _WHOLE_NODE.fullmatch(body)
        or _BUDDY.fullmatch(body)
        or _is_totals(body)
        or _COUNTS.fullmatch(body)
        or _SWAP.fullmatch(body)
        or body.startswith("Swap cache stats: add ")
        or _SWAP_STATS.fullmatch(body)
        or _HEAD.fullmatch(body)
        or _QUIET.fullmatch(body)
    )


def is_mem_info_head(text: str) -> bool:
    """Tell whether a line begins the block."""
    return _HEAD.fullmatch(text.strip()[:80]) is not None


def _is_totals(body: str) -> bool:
    return bool(_TOTALS.fullmatch(body)) and all(_TOTAL_KEYS.fullmatch(key.lower()) for key, _ in _TOTAL.findall(body))


class MemInfo:
    """Collects one block."""

    def __init__(self) -> None:
        self.totals: dict[str, Value] = {}
        self.swap: dict[str, Value] = {}
        self.zones: dict[tuple[int | None, str], ZoneState] = {}
        self.page_kib: int | None = None

    def take(self, text: str, number: int) -> bool:
        """Take a line; False if it is none of the block's."""
        body = text.strip()[:4096]
        if match := _ZONE.fullmatch(body):
            self._zone(_node(match[1]), match[2], body[match.start(2) :], number)
        elif match := _WHOLE_NODE.fullmatch(body):
            self._zone(_node(match[1]), "", match[2], number)
        elif match := _BUDDY.fullmatch(body):
            self._free_lists(_node(match[1]), match[2], body, number)
        elif _is_totals(body):
            for key, value in _TOTAL.findall(body):
                self.totals.setdefault(key.lower(), Value(int(value), number))
        elif match := _COUNTS.fullmatch(body):
            self.totals.setdefault(_NAMES.get(match[2], match[2]), Value(int(match[1]), number))
        elif match := _SWAP.fullmatch(body):
            self.swap.setdefault(match[1].lower(), Value(int(match[2]), number))
        elif match := _SWAP_STATS.fullmatch(body):
            for name, value in zip(
                ("swap_add", "swap_delete", "swap_find_hit", "swap_find"), match.groups(), strict=True
            ):
                self.totals.setdefault(name, Value(int(value), number))
        else:
            return bool(_HEAD.fullmatch(body) or _QUIET.fullmatch(body))
        return True

    def _zone(self, node: int | None, name: str, body: str, number: int) -> None:
        dead = _DEAD.search(body)
        pages = {
            key.replace("(", "_").replace(")", ""): Value(int(value) / 4 if unit else int(value), number)
            for key, value, unit in _KB.findall(body)
        }
        self._keep(ZoneState(node, name, pages, (), dead[1] == "yes" if dead else None, number))

    def _free_lists(self, node: int | None, name: str, body: str, number: int) -> None:
        blocks = [(int(count), int(size)) for count, size in _BLOCKS.findall(body)]
        if blocks and self.page_kib is None:
            self.page_kib = blocks[0][1]
        counts = tuple(count for count, _ in blocks)
        old = self.zones.get((node, name))
        if old is not None:
            self.zones[node, name] = old._replace(free_by_order=counts)
        else:
            self._keep(ZoneState(node, name, {}, counts, None, number))

    def _keep(self, zone: ZoneState) -> None:
        key = (zone.node, zone.name)
        if len(self.zones) < MAX_ZONES and (key not in self.zones or not self.zones[key].pages):
            self.zones[key] = zone

    def finish(self) -> MemoryState | None:
        """Return what was said, None if nothing was."""
        if not self.totals and not self.zones and not self.swap:
            return None
        return MemoryState(self.totals, tuple(self.zones.values()), self.swap, self.page_kib)


def _node(text: str | None) -> int | None:
    return int(text) if text else None
