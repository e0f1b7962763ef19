# SPDX-License-Identifier: GPL-2.0-or-later
"""Twins of the block layer and the devices, from the reference alone: section 14."""

from fractions import Fraction


def congestion(nr_requests: int) -> tuple[int, int, int]:
    """(on, off, hard cap): congested when count + 1 >= on, no longer when count < off, nothing beyond the cap."""
    n = nr_requests
    return min(n - n // 8 + 1, n), max(n - n // 8 - n // 16 - 1, 1), 3 * n // 2


class Side:
    """One direction of a request queue, with who may have a request."""

    def __init__(self, nr_requests: int) -> None:
        self.nr = nr_requests
        self.on, self.off, self.cap = congestion(nr_requests)
        self.count = 0
        self.full = self.congested = False

    def ask(self, *, batching: bool) -> tuple[bool, bool]:
        """(granted, does the asker become a batcher)."""
        becomes = False
        if self.count + 1 >= self.nr:
            if not self.full:
                self.full = becomes = True
            elif not batching:
                return False, False
        if self.count + 1 >= self.on:
            self.congested = True
        if self.count >= self.cap:
            return False, becomes
        self.count += 1
        return True, becomes

    def free(self) -> tuple[bool, bool]:
        """(do all in congestion_wait wake, may a waiter for a request go on)."""
        self.count -= 1
        below = self.count < self.off
        if below:
            self.congested = False
        room = self.count + 1 <= self.nr
        if room:
            self.full = False
        return below, room


class Deadline:
    """The deadline elevator over two sorted lists of (block, pages, arrival, deadline)."""

    def __init__(self) -> None:
        self.queues: dict[str, list[tuple[int, int, int, int]]] = {"read": [], "write": []}
        self.position, self.direction, self.batch_left, self.starved = 0, "read", 0, 0

    def add(self, direction: str, block: int, pages: int, arrival: int, deadline: int) -> None:
        self.queues[direction] = sorted([*self.queues[direction], (block, pages, arrival, deadline)])

    def _dispatch(self, direction: str, request: tuple[int, int, int, int]) -> tuple[str, int]:
        self.queues[direction].remove(request)
        self.position = request[0] + request[1]
        self.direction = direction
        return direction, request[2]

    def next(self, now: int) -> tuple[str, int] | None:
        """(direction, arrival number) of the request that goes next."""
        ahead = [r for r in self.queues[self.direction] if r[0] >= self.position]
        if self.batch_left > 0 and ahead:
            self.batch_left -= 1
            return self._dispatch(self.direction, ahead[0])
        reads, writes = self.queues["read"], self.queues["write"]
        if not reads and not writes:
            return None
        direction = "read" if reads else "write"
        if reads and writes:
            if self.starved >= 2:
                direction = "write"
            else:
                self.starved += 1
        if direction == "write":
            self.starved = 0
        queue = self.queues[direction]
        oldest = min(queue, key=lambda r: r[2])
        ahead = [r for r in queue if r[0] >= self.position] if direction == self.direction else []
        chosen = ahead[0] if ahead and oldest[3] > now else oldest
        self.batch_left = 15
        return self._dispatch(direction, chosen)


def disk_service(
    *,
    block: int,
    pages: int,
    head: int,
    now: int,
    nr_blocks: int,
    rotation_ns: int,
    outer: int,
    inner: int,
    seek_ns: int,
    zones: int = 16,
) -> int:
    """Closed form: seek, then wait until the block's angle comes round, then transfer at the zone's rate."""
    zone = block * zones // nr_blocks
    per_block = outer + (inner - outer) * zone // (zones - 1)
    if block == head:
        return per_block * pages
    first = zone * nr_blocks // zones
    angle = Fraction((block - first) * per_block, rotation_ns) % 1
    at = Fraction(now + seek_ns, rotation_ns) % 1
    return seek_ns + int(((angle - at) % 1) * rotation_ns) + per_block * pages


def bucket(value: int) -> int:
    """Histogram: exact below 16, then eight buckets to an octave."""
    if value < 16:
        return value
    octave = value.bit_length() - 1
    return 16 + (octave - 4) * 8 + (value * 8 >> octave) - 8


def initial_window(asked: int, largest: int = 32) -> int:
    size = 1
    while size < asked:
        size *= 2
    if size * 32 <= largest:
        return 4 * size
    if size * 4 <= largest:
        return 2 * size
    return largest


def next_window(size: int, largest: int = 32) -> int:
    return min(largest, (4 if size < largest // 16 else 2) * size)
