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
