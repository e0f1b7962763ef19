# SPDX-License-Identifier: GPL-2.0-or-later
"""Compaction of one zone as Linux 6.1 does it, with lists and sets: the twin of kernel/mm/compact_*.py.

Free memory is the allocator's twin; all pageblocks are for movable pages, and of the CPU's list there is one.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.naive.allocator import MOVABLE, PAGEBLOCK, Buddy

BATCH = 32
COMPLETE, PARTIAL, CONTENDED, SUCCESS = "complete", "partial", "contended", "success"


def down(page: int, size: int = PAGEBLOCK) -> int:
    return page - page % size


@dataclass
class Zone:
    """A zone: its free blocks, who is where, what is known from earlier runs."""

    free: Buddy
    mark: int  # not so many are left free by taking frames
    used: dict[int, str]  # frame: "page", "written" (under writeback), "held" (somebody has a reference), "kernel"
    skip: set[int] = field(default_factory=set)  # pageblocks, by number
    migrate_async: int = 0
    migrate_sync: int = 0
    free_from: int = 0
    first_migrate: int = 0
    first_free: int = 0
    flush: bool = False
    moved: dict[int, int] = field(default_factory=dict)  # from where, to where
    cpu: list[int] = field(default_factory=list)  # frames freed, oldest first
    looked_at: int = 0  # by the scanner of pages
    looked_at_free: int = 0
    failed: int = 0


class Run:
    """One run of compact_zone for an order, direct: for a request that waits, for movable memory."""

    def __init__(self, zone: Zone, order: int, *, sync: bool, direct: bool, whole: bool) -> None:
        self.zone, self.order, self.sync, self.direct, self.whole = zone, order, sync, direct, whole
        self.held: list[int] = []  # free frames, the next to be used last
        self.search_from = order
        self.in_vain = 0  # searches of the free lists since the last that found something
        self.lowest_picked: int | None = None
        self.sent_back = False
        self.came_from = 0
        self.batch: list[int] = []
        self.careful = direct and not sync
        end = zone.free.end
        self.from_ends = whole
        self.low, self.high = zone.free.start, down(end - 1)
        if not whole:
            inside = range(max(zone.free.start, 1), end)
            if zone.free_from not in inside:
                zone.free_from = self.high
            if (zone.migrate_sync if sync else zone.migrate_async) not in inside:
                zone.migrate_sync = zone.migrate_async = zone.free.start
            self.low, self.high = zone.migrate_sync if sync else zone.migrate_async, zone.free_from
            self.from_ends = self.low <= zone.first_migrate
        self.in_step = not sync and zone.migrate_sync == zone.migrate_async

    def go(self) -> str:
        while True:
            verdict = self.verdict()
            if verdict is None and not self.step():
                verdict = CONTENDED
            if verdict is not None:
                if self.held:
                    self.zone.free_from = max(self.zone.free_from, down(max(self.held)))
                    self.zone.cpu += reversed(self.held)
                return verdict

    def verdict(self) -> str | None:
        zone = self.zone
        if self.high // PAGEBLOCK <= self.low // PAGEBLOCK:
            zone.migrate_sync = zone.migrate_async = zone.free.start
            zone.free_from = down(zone.free.end - 1)
            zone.flush = zone.flush or self.direct
            return COMPLETE if self.from_ends else PARTIAL
        fits = any(zone.free.lists[order, MOVABLE] for order in range(self.order, 11))
        return SUCCESS if self.low % PAGEBLOCK == 0 and fits else None

    def step(self) -> bool:
        zone, begun = self.zone, self.low
        self.find_pages(again=self.came_from // PAGEBLOCK == begun // PAGEBLOCK)
        if self.batch:
            self.in_step, self.came_from = False, begun
            stuck, starved = self.move()
            if starved and self.high // PAGEBLOCK > self.low // PAGEBLOCK:
                return False
            if (stuck or starved) and self.careful:
                self.low, self.came_from = down(self.low - 1, 2**self.order) + 2**self.order, 0
        elif self.in_step:
            zone.migrate_sync = zone.migrate_async
        if 0 < self.came_from < down(self.low, 2**self.order):
            self.came_from = 0
            for page in zone.cpu:
                zone.free.release(page, 0)
            zone.cpu.clear()
        return True

    # --- pages to move

    def find_pages(self, *, again: bool) -> None:
        self.batch = []
        at = self.pick()
        picked = at != self.low and not self.in_vain
        while down(at) + PAGEBLOCK <= self.high:
            if at % PAGEBLOCK == 0 and not picked and not self.whole and at // PAGEBLOCK in self.zone.skip:
                self.low = at = down(at) + PAGEBLOCK
                continue
            self.take_pages(at, down(at) + PAGEBLOCK, again)
            return

    def pick(self) -> int:
        """A pageblock with a large free block in it."""
        zone = self.zone
        if self.whole or self.order <= 3 or (self.low % PAGEBLOCK and self.low != zone.free.start):
            return self.low
        reach = (self.high - self.low) // (2 if self.low == zone.free.start else 8)
        limit, seen = BATCH // 2**self.in_vain + 1, 0
        for order in range(self.order - 1, 2, -1):
            if seen >= limit:
                break
            blocks = zone.free.lists[order, MOVABLE]
            for i, page in enumerate(list(blocks)):
                seen += 1
                zone.looked_at += 1
                good = page < down(self.low + reach) and page // PAGEBLOCK not in zone.skip
                if seen > limit or good:
                    blocks[:] = blocks[i + 1 :] + blocks[: i + 1]
                if seen > limit:
                    break
                if good:
                    zone.skip.add(page // PAGEBLOCK)
                    self.in_vain = 0
                    if not self.sent_back:
                        self.lowest_picked = page if self.lowest_picked is None else min(page, self.lowest_picked)
                    return max(down(page), zone.free.start)
        self.in_vain += 1
        if self.lowest_picked is not None and not self.sent_back:
            self.low, self.sent_back = self.lowest_picked, True
        return self.low

    def take_pages(self, at: int, end: int, again: bool) -> None:
        zone, checked, marked = self.zone, False, False
        size = 2**self.order
        limit = down(at, size) + size
        heads = {head: order for (order, _), blocks in zone.free.lists.items() for head in blocks}
        while at < end:
            if self.careful and at >= limit:
                if self.batch:
                    break
                limit = down(at, size) + size
            zone.looked_at += 1
            if at % PAGEBLOCK == 0 and not checked:
                if not self.whole and at // PAGEBLOCK in zone.skip:
                    at = end
                    break
                checked = True
            if at in heads:
                at += 2 ** heads[at]
            elif zone.used.get(at) in ("page", "held"):
                if not marked and at % PAGEBLOCK == 0 and not self.whole:
                    zone.skip.add(at // PAGEBLOCK)
                marked = True
                self.batch.append(at)
                at += 1
                if len(self.batch) >= BATCH and not again:
                    break
            elif self.careful:
                self.batch = []
                at, limit = max(at + 1, limit), limit + size
            else:
                at += 1
        at = min(at, end)
        if at == end and (not self.batch or again):
            if checked and not marked:
                zone.skip.add((end - 1) // PAGEBLOCK)
            zone.migrate_async = max(zone.migrate_async, end + PAGEBLOCK)
            if self.sync:
                zone.migrate_sync = max(zone.migrate_sync, end + PAGEBLOCK)
        self.low = at

    def move(self) -> tuple[int, bool]:
        """Move the batch, the last found first. How many could not be moved, and whether there was no frame."""
        zone, stuck = self.zone, 0
        for old in reversed(self.batch):
            if not self.held:
                self.find_frames()
            if not self.held:
                zone.failed += stuck + 1
                return stuck, True
            if zone.used[old] == "held":
                stuck += 1
                continue
            new = self.held.pop()
            zone.used[new] = zone.used.pop(old)
            zone.moved[new] = zone.moved.pop(old, old)
            zone.cpu.append(old)
        zone.failed += stuck
        return stuck, False

    # --- free frames

    def find_frames(self) -> None:
        self.search_lists()
        if self.held:
            return
        zone, at, stride = self.zone, self.high, 1 if self.sync else BATCH
        block = down(at)
        while block >= down(self.low) + PAGEBLOCK:
            end, before = min(block + PAGEBLOCK, zone.free.end), len(self.held)
            is_free = any(block in zone.free.lists[order, MOVABLE] for order in (9, 10))
            if not is_free and (self.whole or block // PAGEBLOCK not in zone.skip):
                at = self.take_frames(at, end, stride)
                if at == end:
                    zone.skip.add(block // PAGEBLOCK)
                    zone.free_from = min(zone.free_from, block)
                if len(self.held) >= len(self.batch):
                    at = block - PAGEBLOCK if at == end else at
                    break
                if at < end:
                    break
                stride = 1 if len(self.held) > before else min(BATCH, stride * 2)
            block -= PAGEBLOCK
            at = block
        self.high = at

    def take_frames(self, at: int, end: int, stride: int) -> int:
        free = self.zone.free
        heads = {head: order for (order, _), blocks in free.lists.items() for head in blocks}
        while at < end:
            self.zone.looked_at_free += 1
            if at not in heads:
                at += stride
                continue
            if not self.hold(at, heads[at]):
                break
            self.zone.looked_at_free += 2 ** heads[at] - 1
            at += 2 ** heads[at]
            if len(self.held) >= len(self.batch):
                break
            at += stride - 1
        return min(at, end)

    def hold(self, page: int, order: int) -> bool:
        free = self.zone.free
        if free.nr_free <= self.zone.mark + 2**order:
            return False
        free.lists[order, MOVABLE].remove(page)
        self.held += range(page, page + 2**order)
        return True

    def search_lists(self) -> None:
        zone, found, highest = self.zone, None, 0
        way = self.high - self.low
        low, least = down(self.high - way // 4), down(self.high - way // 2)
        if way < 0:
            low = least = 2**62
        at_start = self.high >= zone.first_free
        limit = 256 if at_start else max(1, (BATCH // 2**self.in_vain + 1) // 2)
        self.search_from = min(self.order - 1, self.search_from)
        order = self.search_from
        while order is not None and found is None:
            blocks, seen, best, cut = zone.free.lists[order, MOVABLE], 0, None, None
            for page in reversed(list(blocks)):
                seen += 1
                highest = max(highest, down(page), zone.free.start)
                if page >= low:
                    found, self.in_vain, self.search_from, cut = page, 0, order, page
                    break
                if page >= least and (best is None or page > best):
                    best = page
                    limit //= 2
                if seen >= limit:
                    cut = page
                    break
            zone.looked_at_free += seen
            if found is None and best is not None:
                found = cut = best
            if cut is not None:
                i = blocks.index(cut)
                blocks[:] = blocks[i:] + blocks[:i]
            refused = found is not None and not self.hold(found, order)
            if found is not None and not refused:
                zone.looked_at_free += 2**order - 1
            if seen >= limit:
                limit = max(1, limit // 2)
            if refused:
                found, order = None, self.search_from + 1
            order = self.order_after(order)
        if found is None:
            self.in_vain += 1
            if at_start and highest >= least:
                found = self.high = highest
            elif at_start and self.direct and way >= 0:
                found = self.high = least
        if highest and highest >= zone.free_from:
            zone.free_from = highest - PAGEBLOCK
        if found is not None and len(self.held) < len(self.batch) and not self.careful:
            self.take_frames(max(down(found), zone.free.start), min(down(found) + PAGEBLOCK, zone.free.end), 1)
            if len(self.held) < len(self.batch):
                zone.skip.add(found // PAGEBLOCK)

    def order_after(self, order: int) -> int | None:
        order = order - 1 if order > 0 else self.order - 1
        if order == self.search_from:
            self.search_from = self.search_from - 1 if self.search_from > 0 else self.order - 1
            return None
        return order


def reset(zone: Zone) -> None:
    """As kswapd goes to sleep after a run that met: what a sample shows to be of use is not passed by any more."""
    if not zone.flush:
        return
    zone.flush = False
    heads = {head for blocks in zone.free.lists.values() for head in blocks}
    pages = {page for page, what in zone.used.items() if what != "kernel"}
    start, end = zone.free.start, zone.free.end
    low, high = start, end - 1
    source = target = None

    def useful(at: int, wanted: set[int]) -> bool:
        sample = range(max(down(at), start), min(down(at) + PAGEBLOCK, end), 8)
        if any(page in wanted for page in sample):
            zone.skip.discard(at // PAGEBLOCK)
            return True
        return False

    while low < high:
        if source is None:
            if useful(low, pages):
                source = zone.migrate_async = zone.migrate_sync = zone.first_migrate = low
        elif low // PAGEBLOCK in zone.skip:
            useful(low, pages | heads)
        if target is None:
            if useful(high, heads):
                target = zone.free_from = zone.first_free = high
        elif high // PAGEBLOCK in zone.skip:
            useful(high, pages | heads)
        low += PAGEBLOCK
        high -= PAGEBLOCK
    if (end - 1 if source is None else source) >= (start if target is None else target):
        zone.migrate_async, zone.migrate_sync, zone.free_from = low, low, high
