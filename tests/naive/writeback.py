# SPDX-License-Identifier: GPL-2.0-or-later
"""Twins of the flusher's inode lists, from the reference alone: section 12. Lists are head first."""


class Lists:
    """b_dirty, b_io and b_more_io of one device, with each inode's dirtied_when."""

    def __init__(self) -> None:
        self.dirty: list[int] = []
        self.io: list[int] = []
        self.more_io: list[int] = []
        self.when: dict[int, int] = {}

    def _off(self, inode: int) -> None:
        for one in (self.dirty, self.io, self.more_io):
            if inode in one:
                one.remove(inode)

    def mark_dirty(self, inode: int, now: int) -> None:
        """First dirtying stamps; dirtying again does not move."""
        if inode in self.dirty + self.io + self.more_io:
            return
        self.when[inode] = now
        self.dirty.insert(0, inode)

    def redirty_tail(self, inode: int, now: int) -> None:
        self._off(inode)
        if self.dirty and self.when[inode] < self.when[self.dirty[0]]:
            self.when[inode] = now
        self.dirty.insert(0, inode)

    def requeue_io(self, inode: int) -> None:
        self._off(inode)
        self.more_io.insert(0, inode)

    def queue_io(self, older_than: int | None) -> None:
        """Parked ones to the tail end of b_io, then b_dirty oldest first before (above) what is on b_io."""
        self.io += self.more_io
        self.more_io = []
        while self.dirty and (older_than is None or self.when[self.dirty[-1]] <= older_than):
            self.io.insert(0, self.dirty.pop())

    def clean(self, inode: int) -> None:
        self._off(inode)


def file_away(*, dirty_again: bool, pages_left: bool, kupdate: bool, budget_left: int) -> str:
    """Where an inode goes after its turn: clean, redirty_tail or requeue_io.

    dirty_again: a page of it was dirtied while it was written.
    """
    if pages_left or dirty_again:
        if kupdate and budget_left <= 0:
            return "requeue_io"
        return "redirty_tail"
    return "clean"


def next_set(bits: set[int], start: int, end: int) -> int:
    return min((bit for bit in bits if start <= bit < end), default=-1)
