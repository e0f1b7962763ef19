"""Invariants, checked apart from the model: recounts from the page table up, in plain NumPy.

Each check reads the tables and nothing of the kernel's code. They run every n steps on demand and once at the end of
every run; a broken one names scenario, seed and step.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from pageout.engine import constants as c
from pageout.kernel import frames
from pageout.machine.boot import Booted
from pageout.vocabulary.errors import InvariantError
from pageout.vocabulary.scenario import Scenario

PAGE_PLACES = c.PG_LRU | c.PG_BUDDY | c.PG_PCP | c.PG_PVEC | c.PG_ISOLATED | c.PG_KERNEL | c.PG_RESERVED | c.PG_TAIL


def check(booted: Booted, scenario: Scenario) -> None:
    """Run every checker. Raises InvariantError with the first thing that is wrong."""
    for checker in (_frames, _lists, _counters, _dirty, _cache, _pools, _stacks):
        for complaint in checker(booted.arrays):
            stat = booted.arrays["stat"]
            raise InvariantError(
                f"{scenario.name}: {complaint} (seed {scenario.seed}, step {int(stat['steps'][0])}, "
                f"{int(stat['now_ns'][0])} ns)"
            )


def _differ(what: str, counted: int, found: int) -> Iterator[str]:
    if counted != found:
        yield f"{what}: counted {counted}, a recount finds {found}"


def _zone_of_pages(arrays: dict[str, Any]) -> Any:
    return np.searchsorted(arrays["zone"]["end_page"], np.arange(len(arrays["page"])), side="right")


def _frames(arrays: dict[str, Any]) -> Iterator[str]:
    """Every frame is in exactly one place."""
    pflags = arrays["page"]["pflags"]
    free = np.zeros(len(pflags), dtype=bool)
    for order in range(c.MAX_ORDER):
        heads = np.flatnonzero((pflags & c.PG_BUDDY != 0) & ((pflags & c.ORDER_MASK) >> c.ORDER_SHIFT == order))
        covered = (heads[:, None] + np.arange(1 << order)[None, :]).ravel()
        if free[covered].any() or len(np.unique(covered)) != len(covered):
            yield f"free blocks of order {order} overlap another"
        free[covered] = True
    yield from _differ("free pages", int(arrays["vm"]["nr_free_pages"][0]), int(free.sum()))
    head_or_used = ~free | (pflags & c.PG_BUDDY != 0)
    places = pflags & PAGE_PLACES
    single = (places & (places - 1)) == 0
    if not single[head_or_used].all():
        page = int(np.flatnonzero(head_or_used & ~single)[0])
        yield f"page {page} is in two places at once: flags {int(pflags[page]):#x}"
    lost = ~free & (places == 0)
    in_transit = int(lost.sum())
    if in_transit > len(arrays["task"]):
        yield f"{in_transit} pages are nowhere: neither free, listed nor held"
    inside = free & (pflags & c.PG_BUDDY == 0)
    if (pflags[inside] & PAGE_PLACES & ~c.PG_TAIL).any():
        yield "a page inside a free block is in use"


def _walk(arrays: dict[str, Any], head: int, tail: int) -> Any:
    """Pages of a doubly linked list, by pointer jumping: forward and backward must agree."""
    if head == c.NIL:
        return np.zeros(0, dtype=np.int64)
    forward = arrays["page"]["lru_next"]
    pages = [head]
    seen = 1
    limit = len(arrays["page"])
    page = head
    step = forward.item
    while (page := step(page)) != c.NIL:
        pages.append(page)
        seen += 1
        if seen > limit:
            break
    return np.array(pages, dtype=np.int64)


def _lists(arrays: dict[str, Any]) -> Iterator[str]:
    """Each LRU list is sound: linked both ways, of the right length, its pages flagged for it."""
    page, zone_of = arrays["page"], _zone_of_pages(arrays)
    for i, queue in enumerate(arrays["lru"]):
        name = f"zone {i // c.NR_LRU} list {i % c.NR_LRU}"
        pages = _walk(arrays, int(queue["head"]), int(queue["tail"]))
        yield from _differ(f"{name} length", int(queue["nr"]), len(pages))
        if not len(pages):
            continue
        if pages[-1] != queue["tail"] or (page["lru_prev"][pages[1:]] != pages[:-1]).any():
            yield f"{name} is not linked back as it is linked forward"
        wanted = c.PG_LRU | (c.PG_SWAPBACKED if i % c.NR_LRU < 2 else 0) | (c.PG_ACTIVE if i % 2 else 0)
        flags = page["pflags"][pages] & (c.PG_LRU | c.PG_SWAPBACKED | c.PG_ACTIVE)
        if (flags != wanted).any() or (zone_of[pages] != i // c.NR_LRU).any():
            yield f"{name} holds a page that belongs elsewhere"
    on_lists = int((page["pflags"] & c.PG_LRU != 0).sum())
    yield from _differ("pages on LRU lists", int(arrays["lru"]["nr"].sum()), on_lists)


def _counters(arrays: dict[str, Any]) -> Iterator[str]:
    """Global and zone counters equal what a recount finds."""
    vm, zone, lru = arrays["vm"], arrays["zone"], arrays["lru"]["nr"]
    yield from _differ("nr_free_pages", int(vm["nr_free_pages"][0]), int(zone["nr_free"].sum()))
    for i, name in enumerate(("nr_inactive_anon", "nr_active_anon", "nr_inactive_file", "nr_active_file")):
        yield from _differ(name, int(vm[name][0]), int(lru[i :: c.NR_LRU].sum()))
    zone_of, pflags = _zone_of_pages(arrays), arrays["page"]["pflags"]
    is_file = pflags & c.PG_SWAPBACKED == 0
    isolated = pflags & c.PG_ISOLATED != 0
    for z in range(len(zone)):
        here = zone_of == z
        free = sum(int(arrays["free_area"]["nr"][z * c.MAX_ORDER + order]) << order for order in range(c.MAX_ORDER))
        yield from _differ(f"zone {z} nr_free", int(zone["nr_free"][z]), free)
        for name, mask in (
            ("nr_dirty", pflags & c.PG_DIRTY != 0),
            ("isolated_file", isolated),
        ):
            yield from _differ(f"zone {z} {name}", int(zone[name][z]), int((here & mask & is_file).sum()))
        yield from _differ(
            f"zone {z} isolated_anon", int(zone["isolated_anon"][z]), int((here & isolated & ~is_file).sum())
        )
        yield from _differ(
            f"zone {z} nr_writeback", int(zone["nr_writeback"][z]), int((here & (pflags & c.PG_WRITEBACK != 0)).sum())
        )


def _bits(arrays: dict[str, Any], start: int, nr: int) -> Any:
    words = arrays["bits"][start : start + nr // 32 + 1]
    return np.unpackbits(words.view(np.uint8), bitorder="little")[:nr].astype(bool)


def _dirty(arrays: dict[str, Any]) -> Iterator[str]:
    """Dirty pages are accounted for to the last one: flags, bitmaps, inodes, devices and totals agree."""
    pflags, mapping = arrays["page"]["pflags"], arrays["page"]["mapping"]
    is_file = pflags & c.PG_SWAPBACKED == 0
    dirty = np.flatnonzero((pflags & c.PG_DIRTY != 0) & is_file)
    writeback = np.flatnonzero(pflags & c.PG_WRITEBACK != 0)
    yield from _differ("nr_dirty", int(arrays["vm"]["nr_dirty"][0]), len(dirty))
    yield from _differ("nr_writeback", int(arrays["vm"]["nr_writeback"][0]), len(writeback))
    inode = arrays["inode"]
    nr_inodes = int(arrays["param"]["nr_inodes"][0])
    by_inode = np.bincount(mapping[dirty], minlength=nr_inodes) if len(dirty) else np.zeros(nr_inodes, dtype=int)
    for wrong in np.flatnonzero(inode["nr_dirty"][:nr_inodes] != by_inode[:nr_inodes]):
        yield from _differ(f"inode {wrong} nr_dirty", int(inode["nr_dirty"][wrong]), int(by_inode[wrong]))
    for i in range(nr_inodes):
        yield from _differ(
            f"inode {i} dirty bitmap",
            int(_bits(arrays, int(inode["dirty_bits"][i]), int(inode["nr_slots"][i])).sum()),
            int(by_inode[i]),
        )
        listed = bool(inode["list_kind"][i] != c.LIST_NONE or inode["unlinked"][i] or inode["istate"][i] & c.I_SYNC)
        if by_inode[i] and not listed:
            yield f"inode {i} has {int(by_inode[i])} dirty pages and is on no list: nobody will write them"
    for b in range(int(arrays["param"]["nr_bdis"][0])):
        own = np.flatnonzero(inode["bdi"][:nr_inodes] == b)
        yield from _differ(f"bdi {b} reclaimable", int(arrays["bdi"]["reclaimable"][b]), int(by_inode[own].sum()))
    yield from _life_of_dirt(arrays)


def _life_of_dirt(arrays: dict[str, Any]) -> Iterator[str]:
    """A page dirtied is still dirty, under writeback, written, lost or truncated: the sums must meet."""
    stat, pflags = arrays["stat"], arrays["page"]["pflags"]
    is_file = pflags & c.PG_SWAPBACKED == 0
    dirtied = int(stat["pages_dirtied_total"][0])
    both = int(((pflags & c.PG_DIRTY != 0) & is_file).sum()) + int(((pflags & c.PG_WRITEBACK != 0) & is_file).sum())
    ended = int(stat["pages_cleaned_total"][0]) + int(stat["lost_io"][0]) + int(stat["pages_truncated_dirty"][0])
    yield from _differ("pages dirtied", dirtied, both + ended + _locked_for_io(arrays))


def _locked_for_io(arrays: dict[str, Any]) -> int:
    """Pages whose dirty mark has been taken and whose writepage is still on some stack."""
    pflags = arrays["page"]["pflags"]
    page = arrays["page"]
    locked = (pflags & c.PG_LOCKED != 0) & (pflags & c.PG_UPTODATE != 0) & (pflags & c.PG_WRITEBACK == 0)
    return int((locked & (pflags & (c.PG_SWAPBACKED | c.PG_DIRTY) == 0) & (page["mapping"] >= 0)).sum())


def _cache(arrays: dict[str, Any]) -> Iterator[str]:
    """Slots and frames point at each other."""
    slot, page = arrays["slot"]["page"], arrays["page"]
    filled = np.flatnonzero(slot != c.NIL)
    frames_held = slot[filled]
    start = arrays["inode"]["slot_start"]
    owner = page["mapping"][frames_held]
    if len(filled) and ((owner < 0).any() or (start[owner] + page["index"][frames_held] != filled).any()):
        yield "a file's slot points at a frame that does not belong to it"
    mapped = (page["mapping"] >= 0) & (page["pflags"] & (c.PG_LRU | c.PG_PVEC | c.PG_ISOLATED) != 0)
    yield from _differ("cached pages", int(mapped.sum()), len(filled))
    counted = int(arrays["vm"]["nr_file_pages"][0] + arrays["vm"]["nr_anon_pages"][0])
    yield from _differ("nr_file_pages + nr_anon_pages", counted, len(filled))


def _pools(arrays: dict[str, Any]) -> Iterator[str]:
    """Requests, bios and work items in use equal what is marked used."""
    for table, counter in (("request", "requests_used"), ("bio", "bios_used"), ("work", "works_used")):
        yield from _differ(f"{table}s in use", int(arrays["stat"][counter][0]), int((arrays[table]["used"] == 1).sum()))


def _stacks(arrays: dict[str, Any]) -> Iterator[str]:
    """A task's depth in bytes is the sum of its frames; a task at rest in user mode has one."""
    size, task, frame = arrays["function"]["frame_bytes"], arrays["task"], arrays["frame"]["fn"]
    for t in range(int(arrays["param"]["nr_tasks"][0])):
        depth = int(task["depth"][t])
        fns = frame[t * c.MAX_DEPTH : t * c.MAX_DEPTH + depth + 1]
        yield from _differ(f"task {t} stack bytes", int(task["used"][t]), int(size[fns].sum()))
        if task["state"][t] == c.T_DEAD and depth:
            yield f"task {t} died with {depth} frames on its stack ({frames.TABLE[int(fns[-1])].name})"
