# SPDX-License-Identifier: GPL-2.0-or-later
"""Twins of the page allocator, written from the reference alone: sections 2 and 3."""

from math import isqrt

MAX_ORDER = 11
COSTLY = 3


UNMOVABLE, RECLAIMABLE, MOVABLE, RESERVE = "unmovable", "reclaimable", "movable", "reserve"
TYPES = (UNMOVABLE, RECLAIMABLE, MOVABLE, RESERVE)
FALLBACK = {
    UNMOVABLE: (RECLAIMABLE, MOVABLE),
    RECLAIMABLE: (UNMOVABLE, MOVABLE),
    MOVABLE: (RECLAIMABLE, UNMOVABLE),
    RESERVE: (),
}
PAGEBLOCK = 512


class Buddy:
    """Free blocks of one zone: lists by (order, type), head first, and the type of each pageblock."""

    def __init__(self, start: int, end: int) -> None:
        self.start, self.end = start, end
        self.lists: dict[tuple[int, str], list[int]] = {(o, kind): [] for o in range(MAX_ORDER) for kind in TYPES}
        self.blocks = dict.fromkeys(range(start // PAGEBLOCK, -(-end // PAGEBLOCK)), MOVABLE)
        self.borrowed: list[tuple[int, int, str, str]] = []  # page, order of the block, wanted type, its type then

    @property
    def free(self) -> list[set[int]]:
        return [set().union(*(self.lists[order, kind] for kind in TYPES)) for order in range(MAX_ORDER)]

    @property
    def nr_free(self) -> int:
        return sum(len(blocks) << order for order, blocks in enumerate(self.free))

    def type_of(self, page: int) -> str:
        return self.blocks[page // PAGEBLOCK]

    def release(self, page: int, order: int, kind: str = MOVABLE) -> None:
        while order < MAX_ORDER - 1:
            buddy = page ^ 2**order
            listed = next((t for t in TYPES if buddy in self.lists[order, t]), None)
            if listed is None:
                break
            self.lists[order, listed].remove(buddy)
            page = min(page, buddy)
            order += 1
        self.lists[order, kind].insert(0, page)

    def take(self, order: int, kind: str) -> int | None:
        for take in (self._own, self._borrowed):
            page = take(order, kind)
            if page is not None:
                return page
        return self._own(order, RESERVE)

    def _own(self, order: int, kind: str) -> int | None:
        for larger in range(order, MAX_ORDER):
            if self.lists[larger, kind]:
                page = self.lists[larger, kind].pop(0)
                self._split(page, larger, order, kind)
                return page
        return None

    def _split(self, page: int, larger: int, order: int, kind: str) -> None:
        for half in range(larger - 1, order - 1, -1):
            self.lists[half, kind].insert(0, page + 2**half)

    def _borrowed(self, order: int, kind: str) -> int | None:
        for larger in range(MAX_ORDER - 1, order - 1, -1):
            for lender in FALLBACK[kind]:
                if self.lists[larger, lender]:
                    page, owner = self.lists[larger, lender][0], lender
                    if larger >= 4 or kind == RECLAIMABLE:
                        moved = self._move_block(page, kind)
                        if moved >= PAGEBLOCK // 2:
                            self.blocks[page // PAGEBLOCK] = kind
                        owner = kind
                    for listed in TYPES:
                        if page in self.lists[larger, listed]:
                            self.lists[larger, listed].remove(page)
                    if larger >= 9:
                        for i in range(2 ** (larger - 9)):
                            self.blocks[page // PAGEBLOCK + i] = kind
                    self._split(page, larger, order, owner)
                    self.borrowed.append((page, larger, kind, owner))
                    return page
        return None

    def _move_block(self, page: int, kind: str) -> int:
        first = page // PAGEBLOCK * PAGEBLOCK
        if first + PAGEBLOCK > self.end:
            return 0
        inside = sorted(
            (head, order, listed)
            for (order, listed), heads in self.lists.items()
            for head in heads
            if max(first, self.start) <= head < first + PAGEBLOCK
        )
        for head, order, listed in inside:
            self.lists[order, listed].remove(head)
            self.lists[order, kind].insert(0, head)
        return sum(2**order for _, order, _ in inside)


class LaterBuddy(Buddy):
    """As kernels of 5.0 and later lend blocks: what comes along, and how far the marks are raised for it."""

    def __init__(self, start: int, end: int, high: int, factor: int = 15000) -> None:
        super().__init__(start, end)
        self.high, self.factor = high, factor
        self.boost = 0
        self.movable: set[int] = set()  # pages on LRU lists

    def take(self, order: int, kind: str) -> int | None:
        page = self._own(order, kind)
        return page if page is not None or not self._bring(order, kind) else self._own(order, kind)

    def _lender(self, order: int, kind: str) -> str | None:
        return next((lender for lender in FALLBACK[kind] if self.lists[order, lender]), None)

    def _bring(self, order: int, kind: str) -> bool:
        """Move a block of another kind to the lists of this one."""
        sizes = [larger for larger in range(order, MAX_ORDER) if self._lender(larger, kind)]
        if not sizes:
            return False
        size = sizes[-1]
        takes_all = size >= 4 or kind != MOVABLE
        if not takes_all and size > order:
            size = sizes[0]
        lender = self._lender(size, kind)
        assert lender
        page = self.lists[size, lender][0]
        if size >= 9:
            for i in range(2 ** (size - 9)):
                self.blocks[page // PAGEBLOCK + i] = kind
        else:
            self._raise_marks()
            if takes_all and self._take_block(page, kind):
                return True
        self.lists[size, lender].remove(page)
        self.lists[size, kind].insert(0, page)
        return True

    def _take_block(self, page: int, kind: str) -> bool:
        block = page // PAGEBLOCK
        inside = {p for p in self.movable if p // PAGEBLOCK == block}
        was = self.blocks[block]
        moved = self._move_block(page, kind)
        alike = len(inside) if kind == MOVABLE else PAGEBLOCK - moved - len(inside) if was == MOVABLE else 0
        if moved and moved + alike >= PAGEBLOCK // 2:
            self.blocks[block] = kind
        return moved > 0

    def _raise_marks(self) -> None:
        most = self.high * self.factor // 10000
        if self.factor and most and self.end - self.start >= 4 * PAGEBLOCK:
            self.boost = min(self.boost + PAGEBLOCK, max(most, PAGEBLOCK))


class PerCpu:
    """One CPU's free pages of a zone: a list for each type, hot end first; the count is for all three."""

    def __init__(self, zone: Buddy, batch: int, high: int) -> None:
        self.zone, self.batch, self.high = zone, batch, high
        self.lists: dict[str, list[tuple[int, str]]] = {kind: [] for kind in TYPES[:3]}

    @property
    def nr(self) -> int:
        return sum(map(len, self.lists.values()))

    def take(self, kind: str, *, cold: bool = False) -> int | None:
        pages = self.lists[kind]
        if not pages:
            for _ in range(self.batch):
                page = self.zone.take(0, kind)
                if page is None:
                    break
                pages.insert(0 if cold else len(pages), (page, kind))
            if not pages:
                return None
        return pages.pop(-1 if cold else 0)[0]

    def release(self, page: int, *, cold: bool = False) -> None:
        kind = self.zone.type_of(page)
        pages = self.lists[MOVABLE if kind == RESERVE else kind]
        pages.insert(len(pages) if cold else 0, (page, kind))
        if self.nr >= self.high:
            self.drain(self.batch)

    def drain(self, count: int) -> None:
        """Go round the lists, beginning with the second; each list found empty lets the next one give a page more."""
        order, turn, due = (UNMOVABLE, RECLAIMABLE, MOVABLE), 0, 0
        while count:
            due += 1
            turn = (turn + 1) % 3
            pages = self.lists[order[turn]]
            while pages and count:
                page, kind = pages.pop()
                self.zone.release(page, 0, kind)
                count, due = count - 1, due - 1
                if not due:
                    break


def boot(start: int, end: int, first_free: int, last_free: int, min_mark: int) -> Buddy:
    """Free every frame from low to high as movable, then set the lowest pageblocks aside, two at most."""
    zone = Buddy(start, end)
    page = first_free
    while page < last_free:
        order = max(o for o in range(MAX_ORDER) if page % 2**o == 0 and page + 2**o <= last_free)
        zone.lists[order, MOVABLE].insert(0, page)
        page += 2**order
    wanted = min(2, -(-min_mark // PAGEBLOCK))
    usable = [block for block in sorted(zone.blocks) if first_free <= block * PAGEBLOCK < last_free]
    for block in usable[:wanted]:
        zone.blocks[block] = RESERVE
        zone._move_block(block * PAGEBLOCK, RESERVE)
    return zone


def fragmentation_index(nr_free: list[int], order: int) -> int:
    """In thousandths: -1000 if such a block is free, else towards 0 for want of memory, towards 1000 for splinters."""
    blocks = sum(nr_free)
    if not blocks:
        return 0
    if any(nr_free[order:]):
        return -1000
    pages = sum(nr * 2**o for o, nr in enumerate(nr_free))
    return 1000 - (1000 + pages * 1000 // 2**order) // blocks


def unusable_index(nr_free: list[int], order: int) -> int:
    """The share of free memory in blocks too small, in thousandths; 1000 if nothing is free."""
    pages = [nr * 2**o for o, nr in enumerate(nr_free)]
    return sum(pages[:order]) * 1000 // sum(pages) if sum(pages) else 1000


def min_free_kbytes(lowmem_kbytes: int) -> int:
    return min(max(isqrt(lowmem_kbytes * 16), 128), 65536)


def watermarks(min_free: int, present: int, all_present: int) -> tuple[int, int, int]:
    tmp = (min_free >> 2) * present // all_present
    return tmp, tmp + tmp // 4, tmp + tmp // 2


def lowmem_reserve(present: list[int], i: int, j: int) -> int:
    """What zone i keeps from requests whose preferred zone is j; the ratio of DMA and DMA32 is 256."""
    return sum(present[i + 1 : j + 1]) // 256 if j > i else 0


def inactive_ratio(present: int) -> int:
    gib = present * 4096 >> 30
    return isqrt(10 * gib) if gib else 1


def pcp_batch(present: int) -> int:
    """A quarter of present/1024 (at most 128), rounded to 2^n - 1 as zone_batchsize does: 31 from 512 MiB on."""
    batch = max(1, min(present // 1024, 128) // 4)
    power = 1
    while power * 2 <= batch + batch // 2:
        power *= 2
    return max(1, power - 1)


def zone_watermark_ok(
    nr_free: int,
    nr_free_of_order: list[int],
    order: int,
    mark: int,
    reserve: int,
    *,
    high: bool = False,
    harder: bool = False,
) -> bool:
    need = mark
    if high:
        need -= need // 2
    if harder:
        need -= need // 4
    free = nr_free - 2**order + 1
    if free <= need + reserve:
        return False
    for o in range(order):
        free -= nr_free_of_order[o] * 2**o
        need >>= 1
        if free <= need:
            return False
    return True


def alloc_flags(*, high: bool, wait: bool) -> tuple[bool, bool]:
    """(ALLOC_HIGH, ALLOC_HARDER) of a request that is neither of a real-time task nor in an interrupt."""
    return high, not wait


def should_retry(order: int, *, noretry: bool, repeat: bool, reclaimed_so_far: int) -> bool:
    if noretry:
        return False
    if order <= COSTLY:
        return True
    return repeat and reclaimed_so_far < 2**order


def sleeping_prematurely(*, woken: bool, zones: list[tuple[bool, bool]]) -> bool:
    """zones: (all_unreclaimable, above HIGH for the order) of each."""
    if woken:
        return True
    return any(not given_up and not above_high for given_up, above_high in zones)
