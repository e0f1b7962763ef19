# SPDX-License-Identifier: GPL-2.0-or-later
"""Between which bounds the smoothed write bandwidth of a device was at a time, by its updates that were printed.

bdi_dirty_ratelimit prints both bandwidths as they were before the update it is part of. They are updated unseen too: by
the flusher, 200 ms after any other update at the earliest (do_writepages), and by a work item 200 ms after the last
page of some inode was written, whenever the update before was (wb_update_bandwidth_workfn). A printed one comes 200 ms
after any other, so none was made unseen in the last 200 ms before it. (Two CPUs may find at once that it is time: then
two follow each other, both printed.)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from pageout.validate.columns import Array, Columns

UNLIMITED = 1 << 40  # pages


class Bounds(NamedTuple):
    """Least and greatest, pages a second; both -1: not known."""

    low: int
    high: int

    def with_(self, other: Bounds) -> Bounds:
        """Return the bounds of either."""
        if self.low < 0 or other.low < 0:
            return UNKNOWN
        return Bounds(min(self.low, other.low), max(self.high, other.high))


UNKNOWN = Bounds(-1, -1)


@dataclass(frozen=True)
class Clock:
    """HZ, and the intervals that follow from it."""

    hz: int

    @property
    def interval(self) -> int:
        """Jiffies that must have passed before the next update: 200 ms, and a tick."""
        return max(self.hz // 5, 1) + 1

    @property
    def period(self) -> int:
        """Jiffies after which both bandwidths begin anew."""
        return 1 << (3 * self.hz - 1).bit_length()

    def ticks(self, nanoseconds: int) -> int:
        """Jiffies that begin in a time, one less or one more is possible."""
        return round(nanoseconds * self.hz / 1e9)

    def unseen(self, ticks: int) -> int:
        """Return how many updates may be made unseen in a time: by work items, and by the flusher between them."""
        if ticks < 0:
            return 0
        return 1 + ticks // (self.interval - 1) + ticks // self.interval

    def unseen_between(self, ticks: int) -> int:
        """Return how many may be made between two that are printed, so many jiffies apart."""
        return self.unseen(ticks + 1 - self.interval)


class Device:
    """The updates of one device in one segment, in the order of lines."""

    def __init__(self, updates: Columns, rows: Array, written: Array, clock: Clock) -> None:
        """written: pages written between an update and the one before it, then after the last; UNLIMITED: not known."""
        self.rows, self.written, self._clock = rows, written, clock
        self.line, self.time = updates["line"][rows], updates["time_ns"][rows]
        self._bw, self._avg = updates["write_bw"][rows] // 4, updates["awrite_bw"][rows] // 4
        self._between = [self._after(number) for number in range(len(rows))]

    def position_of(self, line: int) -> int:
        """Return how many updates stand before this line."""
        return int(np.searchsorted(self.line, line))

    def at_update(self, number: int) -> Bounds:
        """Return what was in force when an update was begun: what it printed."""
        return Bounds(int(self._avg[number]), int(self._avg[number]))

    def after(self, nr_updates: int, time_ns: int) -> Bounds:
        """Return what was in force from this time on until the next update that is printed, once there were so many."""
        if nr_updates == 0:
            return UNKNOWN
        number = nr_updates - 1
        if nr_updates == len(self.rows):
            ticks = self._clock.ticks(time_ns - int(self.time[number])) + 1
            return self._drift(number, ticks, self._clock.unseen(ticks), int(self.written[nr_updates]))
        quiet_ns = (self._clock.interval - 1) * 1_000_000_000 // self._clock.hz
        if time_ns > int(self.time[nr_updates]) - quiet_ns:
            return self.at_update(nr_updates)
        return self._between[number]

    def ticks_before(self, number: int) -> int:
        """Return the longest time an update can stand for: to the one before; a whole period if there is none."""
        if number == 0:
            return self._clock.period
        return self._clock.ticks(int(self.time[number] - self.time[number - 1])) + 1

    def _after(self, number: int) -> Bounds:
        """Return what was in force between an update and the next."""
        if number + 1 == len(self.rows):
            return UNKNOWN
        following = self.at_update(number + 1)
        ticks = self._clock.ticks(int(self.time[number + 1] - self.time[number]))
        unseen = self._clock.unseen_between(ticks)
        return self._drift(number, ticks, unseen, int(self.written[number + 1])).with_(following)

    def _drift(self, number: int, ticks: int, unseen: int, written: int) -> Bounds:
        """Return the bounds from the end of an update to so many jiffies, and unseen updates, later.

        written: pages, by all devices, in that time
        """
        clock, before = self._clock, self.ticks_before(number)
        bw, avg = int(self._bw[number]), int(self._avg[number])
        if ticks >= clock.period or before > clock.period:
            return UNKNOWN
        low, high = sorted((avg, avg - ((avg - bw) >> 3) if avg > bw else avg + ((bw - avg) >> 3)))
        written += int(self.written[number])
        if unseen and written >= UNLIMITED:
            return UNKNOWN
        least = max(bw - bw * (ticks + before) // clock.period - unseen - 1, 0)
        greatest = bw + written * clock.hz // clock.period + 1
        for _ in range(unseen):
            low -= max(low - least, 0) >> 3
            high += max(greatest - high, 0) >> 3
        return Bounds(max(low, 1), max(high, 1))
