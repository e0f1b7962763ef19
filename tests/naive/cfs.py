# SPDX-License-Identifier: GPL-2.0-or-later
"""A twin of the fair scheduler on one CPU, from sched(7) and the kernel's documentation of CFS: times in ns."""

from __future__ import annotations

PERIOD, LEAST, GRANULARITY = 6_000_000, 750_000, 1_000_000  # of one CPU: latency, least turn, lead that preempts


class Cfs:
    """Tasks that can run, by virtual time; who has the CPU, since when, and whether it is to go."""

    def __init__(self, weights: dict[int, int]) -> None:
        self.weights = weights
        self.virtual = dict.fromkeys(weights, 0)
        self.waiting: list[int] = []  # in the order in which they came
        self.current: int | None = None
        self.turn = 0  # ns the current one has run since it was picked
        self.gives_way = False
        self.favoured: int | None = None
        self.clock = 0  # the queue's virtual time; it never goes back

    def _scaled(self, ns: int, task: int) -> int:
        return ns * 1024 // self.weights[task]

    def wake(self, task: int) -> None:
        """A sleeper gets half a period's credit at most, and the CPU if it is far enough behind."""
        self.virtual[task] = max(self.virtual[task], self.clock - PERIOD // 2)
        self.waiting.append(task)
        if self.current is None or self.gives_way:
            return
        if self.virtual[self.current] - self.virtual[task] > self._scaled(GRANULARITY, task):
            self.gives_way, self.favoured = True, task

    def tick(self) -> None:
        """Has the current task had its part of the period, or run too far ahead of the hindmost?"""
        if self.current is None or not self.waiting:
            return
        everyone = [*self.waiting, self.current]
        period = PERIOD if len(everyone) <= 8 else LEAST * len(everyone)
        part = max(period * self.weights[self.current] // sum(self.weights[t] for t in everyone), LEAST)
        hindmost = min(self.virtual[t] for t in self.waiting)
        if self.turn > part:
            self.gives_way, self.favoured = True, None
        elif self.turn >= LEAST and self.virtual[self.current] - hindmost > part:
            self.gives_way = True

    def pick(self) -> int | None:
        """Who runs on: the current task unless it is to go, else the hindmost, or whom a wake-up favoured."""
        if self.current is not None and not self.gives_way:
            return self.current
        pool = self.waiting if self.current is None else [*self.waiting, self.current]
        if not pool:
            return None
        best = min(pool, key=lambda t: self.virtual[t])
        ahead = self.favoured in pool and self.virtual[self.favoured] - self.virtual[best]
        if self.favoured in pool and ahead <= self._scaled(GRANULARITY, self.favoured):
            best = self.favoured
        self.gives_way, self.favoured = False, None
        if best != self.current:
            if self.current is not None:
                self.waiting.append(self.current)
            self.waiting.remove(best)
            self.current, self.turn = best, 0
        return best

    def ran(self, ns: int, sleeps: bool) -> None:
        """The current task has run for so long, and falls asleep or not."""
        task = self.current
        assert task is not None
        self.virtual[task] += self._scaled(ns, task)
        self.turn += ns
        if sleeps:
            self.current = None
        can = [*self.waiting] if sleeps else [*self.waiting, task]
        if can:
            self.clock = max(self.clock, min(self.virtual[t] for t in can))
