# SPDX-License-Identifier: GPL-2.0-or-later
"""A twin of blk-throttle for one group and one direction, event by event, from the reference alone: section 6.4.

Time is in jiffies. A bio is (name, bytes, meta). What a slice allows is counted in whole slices begun.
"""

from __future__ import annotations

from math import ceil, floor


def fires_at(now: int, expires: int) -> int:
    """When a timer of the wheel fires: on the next mark after `expires`; marks are further apart the later it is."""
    if expires < now:
        return now + 1
    for within, step in ((63, 1), (504, 8), (4032, 64)):
        if expires - now < within:
            return (expires // step + 1) * step
    return (expires // 512 + 1) * 512


class Throttle:
    """One direction: bytes and requests a second (None: no limit), `rules` as the choice block.throttle."""

    def __init__(self, bps: int | None, iops: int | None, hz: int, step: int, rules: str) -> None:
        self.bps, self.iops, self.hz, self.step, self.rules = bps, iops, hz, step, rules
        self.begin = self.end = 0
        self.sent = {"bytes": 0, "ios": 0}
        self.waiting: list[tuple[int, int]] = []  # bio, bytes
        self.counted: set[int] = set()
        self.timer: int | None = None

    def _allowed(self, rate: int, jiffies: int) -> int:
        return floor(rate * jiffies / self.hz) if rate * jiffies < 1 << 50 else rate * jiffies // self.hz

    def _wait(self, bio: int, size: int, now: int) -> int:
        if not self.begin <= now <= self.end and not self.waiting:
            self.sent = {"bytes": 0, "ios": 0}
            self.begin, self.end = now, now + self.step
        else:
            self._stretch(now + self.step)
        gone = now - self.begin
        waits = [0]
        if self.bps is not None and bio not in self.counted:
            window = max(1, ceil(gone / self.step)) * self.step
            over = self.sent["bytes"] + size - self._allowed(self.bps, window)
            if over > 0:
                waits.append(max(1, over * self.hz // self.bps) + window - gone)
        if self.rules == "spare" and max(waits) == 0 and bio not in self.counted:
            self.counted.add(bio)
            self.sent["bytes"] += size
        if self.iops is not None and (self.rules != "spare" or max(waits) == 0):
            window = (gone // self.step + 1) * self.step
            if self.sent["ios"] + 1 > self._allowed(self.iops, window):
                least = self.hz // self.iops + 1 if self.rules == "spare" else 0
                waits.append(max(window - gone, least))
        self._stretch(now + max(waits))
        return max(waits)

    def _stretch(self, until: int) -> None:
        if until > self.end:
            self.end = ceil(until / self.step) * self.step

    def _send(self, bio: int, size: int, now: int) -> None:
        if bio not in self.counted:
            self.counted.add(bio)
            self.sent["bytes"] += size
        self.sent["ios"] += 1
        self._trim(now)

    def _trim(self, now: int) -> None:
        if not self.begin <= now <= self.end:
            return
        self.end = ceil((now + self.step) / self.step) * self.step
        slices = (now - self.begin) // self.step - (1 if self.rules == "spare" else 0)
        if slices < 1:
            return
        cut = {}
        for what, rate in (("bytes", self.bps), ("ios", self.iops)):
            allowed = self._allowed(rate, slices * self.step) if rate is not None else 0
            if self.rules != "spare":
                cut[what] = allowed
            elif rate is None:
                cut[what] = 0
            else:
                cut[what] = self.sent[what] if allowed == 0 else min(allowed, self.sent[what])
        if any(cut.values()):
            self.sent = {what: max(0, self.sent[what] - cut[what]) for what in self.sent}
            self.begin += slices * self.step

    def come(self, bio: int, size: int, now: int, *, meta: bool = False) -> bool:
        """A bio comes. True: it goes on at once."""
        if self.bps is None and self.iops is None:
            return True
        if not self.waiting and self._wait(bio, size, now) == 0:
            self._send(bio, size, now)
            return True
        if meta and self.rules != "line":
            if bio not in self.counted:
                self.counted.add(bio)
                self.sent["bytes"] += size
            self.sent["ios"] += 1
            return True
        self.waiting.append((bio, size))
        if len(self.waiting) == 1:
            self._set_timer(now)
        return False

    def _set_timer(self, now: int) -> None:
        due = now + self._wait(*self.waiting[0], now)
        self.timer = fires_at(now, min(due, now + 8 * self.step))

    def fire(self) -> list[int]:
        """The timer fires: the bios it lets go, in order."""
        assert self.timer is not None
        now, self.timer, gone = self.timer, None, []
        while self.waiting and self._wait(*self.waiting[0], now) == 0:
            bio, size = self.waiting.pop(0)
            self._send(bio, size, now)
            gone.append(bio)
        if self.waiting:
            self._set_timer(now)
        return gone
