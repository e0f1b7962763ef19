# SPDX-License-Identifier: GPL-2.0-or-later
"""Twins of blk-mq from the reference alone (section 6): tags and plug, mq-deadline, wbt, a device's ticks."""

from __future__ import annotations


class Ticks:
    """A device of `size` bytes a tick. `ask` gives a request to it, `tick` is its timer, due at `due`."""

    def __init__(self, size: int, every: int) -> None:
        self.size, self.every, self.left, self.stopped = size, every, size, False
        self.due: int | None = None

    def ask(self, nr_bytes: int, now: int) -> bool:
        if self.due is None and self.left < self.size:
            self.left, self.due = self.size, (now // self.every + 1) * self.every
        self.left -= nr_bytes
        self.stopped = self.left < 0
        return not self.stopped

    def tick(self) -> None:
        assert self.due is not None
        if self.left == self.size:
            self.due = None
        else:
            self.left, self.stopped, self.due = self.size, False, self.due + self.every


class MqDeadline:
    """Requests (block, pages, arrival, deadline) of two directions; `take` says which goes next."""

    def __init__(self) -> None:
        self.waiting: dict[str, list[tuple[int, int, int, int]]] = {"read": [], "write": []}
        self.reached = {"read": 0, "write": 0}
        self.batch, self.direction, self.passed_over = 0, "read", 0

    def add(self, direction: str, request: tuple[int, int, int, int]) -> None:
        self.waiting[direction].append(request)

    def _onward(self, direction: str) -> tuple[int, int, int, int] | None:
        ahead = [request for request in self.waiting[direction] if request[0] >= self.reached[direction]]
        return min(ahead, default=None)

    def take(self, now: int) -> tuple[str, int] | None:
        if not any(self.waiting.values()):
            return None
        request = self._onward(self.direction)
        if request is None or not 0 < self.batch < 16:
            self.direction, self.batch = self._turn(), 0
            request = self._onward(self.direction)
            first = min(self.waiting[self.direction], key=lambda one: one[2])
            if request is None or first[3] <= now:
                request = first
        self.batch += 1
        self.reached[self.direction] = request[0]
        self.waiting[self.direction].remove(request)
        return self.direction, request[0]

    def _turn(self) -> str:
        reads, writes = bool(self.waiting["read"]), bool(self.waiting["write"])
        if reads and writes and self.passed_over < 2:
            self.passed_over += 1
            return "read"
        if reads and not writes:
            return "read"
        self.passed_over = 0
        return "write"


class Layer:
    """One queue without a scheduler, one task with a plug: bios are (block, pages), all writes.

    `plug`, `line` and `device` hold requests as lists of [block, pages]; the device takes `depth`, there are `tags`.
    """

    def __init__(self, tags: int, depth: int, most: int) -> None:
        self.tags, self.depth, self.most = tags, depth, most
        self.plug: list[list[int]] = []
        self.line: list[list[int]] = []
        self.device: list[list[int]] = []

    @property
    def used(self) -> int:
        return len(self.plug) + len(self.line) + len(self.device)

    def _merge(self, block: int, pages: int) -> bool:
        for request in [*self.plug[-1:], *self.line[-8:]]:
            if request[1] + pages > self.most:
                continue
            if sum(request) == block:
                request[1] += pages
                return True
            if block + pages == request[0]:
                request[0], request[1] = block, request[1] + pages
                return True
        return False

    def write(self, block: int, pages: int, *, merge: bool = True) -> bool:
        """One part of a bio, not longer than a request. False: no tag, nothing has changed; it merges no more."""
        if merge and self._merge(block, pages):
            return True
        if self.used >= self.tags:
            return False
        if len(self.plug) >= 32 or (self.plug and self.plug[-1][1] >= 32):
            self.flush()
        self.plug.append([block, pages])
        return True

    def flush(self) -> None:
        """The plug goes: to the device, or in line behind what waits for it."""
        self.line += self.plug
        self.plug = []
        self._run()

    def _run(self) -> None:
        while self.line and len(self.device) < self.depth:
            self.device.append(self.line.pop(0))

    def complete(self) -> list[int]:
        """The device is done with its oldest request."""
        request = self.device.pop(0)
        self._run()
        return request


class Wbt:
    """Depths of writeback throttling by step, and what a window does to the step."""

    def __init__(self, queue_depth: int, target: int) -> None:
        self.queue_depth, self.target, self.step, self.unknown = queue_depth, target, 0, 0

    @property
    def depths(self) -> tuple[int, int, int]:
        """(max, normal, background)."""
        if self.queue_depth == 1:
            most = 1 if self.step > 0 else 2
        else:
            most = min(16, self.queue_depth)
            if self.step > 0:
                most = 1 + (most - 1) // 2**self.step
            elif self.step < 0:
                most = min(1 + (most - 1) * 2**-self.step, self.queue_depth * 3 // 4)
        if most <= 2:
            return most, most, 1
        return most, (most + 1) // 2, (most + 3) // 4

    @property
    def _at_most(self) -> bool:
        if self.queue_depth == 1:
            return self.step <= 0
        return self.step < 0 and 1 + (min(16, self.queue_depth) - 1) * 2**-self.step > self.queue_depth * 3 // 4

    def window(self, reads: list[int], writes: int, *, busy: bool) -> None:
        """Latencies of the reads that came back, writes that did; are writes under way, or did a writer sleep?"""
        if reads and writes >= 3:
            if min(reads) > self.target:
                self._down(hard=True)
            else:
                self._up()
        elif writes or busy:
            self._up()
        else:
            self.unknown += 1
            if self.unknown >= 5 and self.step > 0:
                self._up()
            elif self.unknown >= 5 and self.step < 0:
                self._down(hard=False)

    def _up(self) -> None:
        if not self._at_most:
            self.step, self.unknown = self.step - 1, 0

    def _down(self, *, hard: bool) -> None:
        if self.depths[0] > 1:
            self.step, self.unknown = (0 if hard and self.step < 0 else self.step + 1), 0
