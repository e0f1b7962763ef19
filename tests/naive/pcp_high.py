# SPDX-License-Identifier: GPL-2.0-or-later
"""A CPU's self-tuned list of one kind of page, as numbers: what Linux 6.12 does at each page taken and freed.

Source: Linux v6.12 mm/page_alloc.c: nr_pcp_alloc, nr_pcp_high, nr_pcp_free, decay_pcp_high, get_page_from_freelist.
"""

from dataclasses import dataclass

MOST_DOUBLINGS = 5


@dataclass
class SelfTuned:
    """batch, least, most: of the zone; zone_free, mark: its free pages, and its HIGH mark with what is reserved."""

    batch: int
    least: int
    most: int
    zone_free: int
    mark: int
    nr: int = 0
    high: int = 0
    doublings: int = 0
    freed: int = 0
    low: bool = False  # the zone has been seen below HIGH
    kswapd: bool = False

    def take(self) -> int:
        """Take a page; return how many were fetched for it."""
        if not self.low and self.zone_free <= self.mark:
            self.low = True
        fetched = 0
        if self.nr == 0:
            fetched = min(self.fetch(), self.zone_free)
            self.zone_free -= fetched
            self.nr += fetched
        self.nr -= 1
        self.freed //= 2
        return fetched

    def fetch(self) -> int:
        self.high = sorted((self.least, self.high, self.most))[1]
        want = self.batch * 2**self.doublings
        if self.least != self.most and not self.low:
            self.high = min(self.most, self.high + want)
        room = max(self.batch, self.high - self.nr - self.batch)
        if want <= room:
            self.doublings = min(self.doublings + 1, MOST_DOUBLINGS)
        return min(room, want)

    def free(self) -> int:
        """Free a page; return how many went back to the zone."""
        self.nr += 1
        self.doublings //= 2
        self.freed = min(self.freed + 1, self.batch * 2**MOST_DOUBLINGS)
        kept = self.kept()
        if self.nr < kept:
            return 0
        back = 1 if kept < self.batch else max(self.batch, min(self.freed, kept - self.batch))
        self.nr -= back
        self.zone_free += back
        if self.zone_free > self.mark:
            self.low = False
        return back

    def kept(self) -> int:
        before = self.high = sorted((self.least, self.high, self.most))[1]
        less = max(self.least, before - max(self.batch, self.freed))
        if self.kswapd:
            self.high = less
            return min(less, 4 * self.batch)
        if self.least == self.most:
            return before
        if self.low:
            self.high = less
            return max(self.least, self.nr)
        if self.nr >= before:
            self.high = min(self.most, max(before, self.freed + self.batch))
        return before

    def second(self) -> int:
        """A second goes by; return how many pages went back."""
        if self.high > self.least:
            self.high = max(self.least, self.high - self.high // 8, self.nr - self.batch * 2**MOST_DOUBLINGS)
        back = max(0, self.nr - self.high) if self.high else 0
        self.nr -= back
        self.zone_free += back
        return back
