# SPDX-License-Identifier: GPL-2.0-or-later
"""Twins of the page allocator, written from the reference alone: sections 2 and 3."""

from math import isqrt

MAX_ORDER = 11
COSTLY = 3


class Buddy:
    """Free blocks of one zone as a set for each order. It says what may be handed out, not which of several."""

    def __init__(self, start: int, end: int) -> None:
        self.start, self.end = start, end
        self.free: list[set[int]] = [set() for _ in range(MAX_ORDER)]

    @property
    def nr_free(self) -> int:
        return sum(len(blocks) << order for order, blocks in enumerate(self.free))

    def release(self, page: int, order: int) -> None:
        while order < MAX_ORDER - 1:
            buddy = page ^ (1 << order)
            if buddy not in self.free[order]:
                break
            self.free[order].discard(buddy)
            page = min(page, buddy)
            order += 1
        self.free[order].add(page)

    def order_to_split(self, order: int) -> int | None:
        return next((larger for larger in range(order, MAX_ORDER) if self.free[larger]), None)

    def take(self, page: int, order: int) -> None:
        """Account for `page` having been handed out; it must be the lowest part of a smallest sufficient block."""
        current = self.order_to_split(order)
        assert current is not None
        assert page in self.free[current], "not the first page of a block of the smallest sufficient order"
        self.free[current].discard(page)
        while current > order:
            current -= 1
            self.free[current].add(page + (1 << current))


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
