# SPDX-License-Identifier: GPL-2.0-or-later
"""Memory cgroups as their description says: the twin of kernel/mm/memcontrol.py and memcg_charge.py.

Written from Documentation/admin-guide/cgroup-v2.rst and the reference's section 4.9.
"""

from __future__ import annotations

from fractions import Fraction

BATCH = 64


class Group:
    """A group and the stocks of all CPUs, as sets of pages that somebody has paid for."""

    def __init__(self, limit: int, high: int, cpus: int) -> None:
        self.limit, self.high = limit, high
        self.in_use = 0
        self.stock = [0] * cpus
        self.over_high = 0

    @property
    def usage(self) -> int:
        return self.in_use + sum(self.stock)

    def charge(self, cpu: int) -> bool:
        """One page. False at the limit, once a batch and then a single page would not fit."""
        if self.stock[cpu]:
            self.stock[cpu] -= 1
            self.in_use += 1
            return True
        for nr in (BATCH, 1):
            if self.usage + nr <= self.limit:
                self.in_use += 1
                self.stock[cpu] += nr - 1
                if self.usage > self.high:
                    self.over_high += nr
                return True
        return False

    def uncharge(self) -> None:
        self.in_use -= 1

    def drain(self) -> None:
        self.stock = [0] * len(self.stock)


def delay_s(usage: int, high: int, nr_pages: int) -> Fraction:
    """Seconds to sleep, before rounding: overage squared for each page, at most two."""
    overage = max(Fraction(usage - high, high), Fraction(0))
    return min(overage**2 * nr_pages, Fraction(2))


def dirty_limits(
    *,
    ratio: int,
    bg_ratio: int,
    dirty_bytes: int,
    bg_bytes: int,
    file_pages: int,
    m_dirty: int,
    limits: tuple[int, int],
    usage: int,
    avail: int,
    dirty: int,
) -> tuple[int, int]:
    """(background, limit) of a group: reference 1.3, memcg domain.  limits: memory.max, memory.high."""
    headroom = max(0, min(limits) - usage)
    clean = max(0, file_pages - m_dirty)
    other_clean = max(0, max(0, avail - dirty) - clean)
    mine = file_pages + min(headroom, other_clean)
    parts = []
    for nbytes, percent in ((dirty_bytes, ratio), (bg_bytes, bg_ratio)):
        part = min(-(-nbytes // avail), 4096) if nbytes else percent * 4096 // 100
        parts.append(part * mine // 4096)
    limit, background = parts
    return (background if background < limit else limit // 2), limit
