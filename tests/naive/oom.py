# SPDX-License-Identifier: GPL-2.0-or-later
"""Twins of the OOM killer's choice and of printk_ratelimit, from the reference alone (section 3) and in floats' place
exact fractions: written as the text says it, not as the model does it."""

import math
from dataclasses import dataclass, field

SHIFT_HZ = {100: 7, 250: 8, 1000: 10}


@dataclass
class Process:
    """A process as the OOM killer sees it; sizes in pages, times in ns."""

    total_vm: int
    cpu_ns: int = 0
    begun_ns: int = 0
    nice: int = 0
    privileged: bool = False
    oom_adj: int = 0
    memdie: bool = False
    exiting: bool = False
    gone: bool = False
    children: list["Process"] = field(default_factory=list)


def badness(p: Process, now_ns: int, hz: int) -> int:
    if p.oom_adj == -17:
        return 0
    points = p.total_vm + sum(child.total_vm // 2 + 1 for child in p.children if not child.gone)
    jiffies = p.cpu_ns * hz // 10**9
    cpu = math.isqrt(jiffies // 2 ** (SHIFT_HZ[hz] + 3))
    age = math.isqrt(math.isqrt((now_ns // 10**9 - p.begun_ns // 10**9) // 1024))
    points //= max(cpu, 1)
    points //= max(age, 1)
    if p.nice > 0:
        points *= 2
    if p.privileged:
        points //= 4
        points //= 4
    if p.oom_adj > 0:
        return max(points, 1) * 2**p.oom_adj
    return points // 2**-p.oom_adj


def victim(processes: list[Process], asking: int, now_ns: int, hz: int) -> int | str:
    """Number of the one to kill, "wait" while an earlier one is dying, "panic" when nobody can be killed."""
    alive = [(i, p) for i, p in enumerate(processes) if not p.gone]
    for i, p in alive:
        if p.memdie or (p.exiting and i != asking):
            return "wait"
    if asking in dict(alive) and processes[asking].exiting:
        return asking
    can = [(badness(p, now_ns, hz), -i) for i, p in alive if p.oom_adj != -17]
    return -max(can)[1] if can else "panic"


class RateLimit:
    """Ten in five seconds; a window begins with the first message that finds none open."""

    def __init__(self, hz: int) -> None:
        self.span, self.begun, self.said, self.missed = 5 * hz, None, 0, 0

    def allows(self, jiffies: int) -> tuple[bool, int]:
        """(may it be printed, how many suppressed ones are reported now)."""
        reported = 0
        if self.begun is None:
            self.begun = jiffies
        if jiffies > self.begun + self.span:
            reported, self.begun, self.said, self.missed = self.missed, None, 0, 0
        if self.said < 10:
            self.said += 1
            return True, reported
        self.missed += 1
        return False, reported
