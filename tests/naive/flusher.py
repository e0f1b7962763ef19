# SPDX-License-Identifier: GPL-2.0-or-later
"""A slow obvious twin of the flusher since Linux 3.2, its mappings, timers and folios, as plain lists and rules.

Written from a description of Linux v6.1's fs/fs-writeback.c (wb_do_writeback, wb_writeback, queue_io,
writeback_sb_inodes, requeue_inode), fs/ext4/inode.c (ext4_writepages), mm/page-writeback.c (write_cache_pages),
kernel/time/timer.c (calc_wheel_index) and mm/filemap.c (__filemap_get_folio).
"""


class Flusher:
    """Lists hold inodes in the order in which they are served; times in ms, amounts in pages."""

    def __init__(self, *, expire, background, bandwidth, limit, by_age=False):
        self.by_age = by_age  # since 6.9
        self.expire, self.background, self.bandwidth, self.limit = expire, background, bandwidth, limit
        self.dirty, self.io, self.more = [], [], []  # dirty: oldest first
        self.when, self.pages = {}, {}
        self.now = 0
        self.queued = False  # another item waits
        self.turns = []

    def mark_dirty(self, inode, pages):
        if inode not in self.dirty + self.io + self.more:
            self.when[inode] = self.now
            self.dirty.append(inode)
        self.pages[inode] = self.pages.get(inode, 0) + pages

    def over_background(self):
        return sum(self.pages.values()) > self.background

    def queue_io(self, before):
        self.io, self.more = self.more, []
        while self.dirty and self.when[self.dirty[0]] <= before:
            self.io.append(self.dirty.pop(0))

    def chunk(self, left):
        return (min(self.bandwidth // 2, self.limit // 8, left) + 1024) // 1024 * 1024

    def redirty_tail(self, inode):
        if self.dirty and self.when[inode] < self.when[self.dirty[-1]]:
            self.when[inode] = self.now
        self.dirty.append(inode)

    def work(self, kind, pages, script):
        """Do a whole item; `script` says of each turn (share written of what could be, ms it took, then queued)."""
        total, begun = 0, self.now
        script = iter(script)
        filled = False
        while True:
            if pages <= 0 or (self.queued and kind in ("background", "periodic")):
                return total
            if kind == "background" and not self.over_background():
                return total
            before = {"periodic": self.now - self.expire, "background": self.now}.get(kind, begun)
            if not self.io:
                filled = True
                self.queue_io(before)
            done, pages = self.batch(kind, pages, script)
            total += done
            if done == 0 and (filled or not self.by_age) and not self.more:
                return total  # who is on b_more_io is waited for, then tried again

    def batch(self, kind, left, script):
        begun, done = self.now, 0
        before = begun - (self.expire if kind == "periodic" else 0)
        while self.io:
            inode = self.io.pop(0)
            chunk = self.chunk(left)
            share, took, self.queued = next(script, (1, 0, self.queued))
            wrote = int(min(self.pages[inode], chunk) * share)
            self.now += took
            self.turns.append((inode, chunk, wrote))
            self.pages[inode] -= wrote
            left -= wrote
            done += wrote + (self.pages[inode] == 0)
            if self.pages[inode] == 0:
                pass  # clean: on no list
            elif wrote >= chunk and not (self.by_age and self.when[inode] > before):
                self.more.append(inode)
            else:
                self.redirty_tail(inode)
            if done and (self.now - begun > 100 or left <= 0):
                break
        return done, left


def next_item(*, queued, start_all, everything, interval, since_last, over):
    """Return (kind, pages) of the first thing a flusher that woke does, None if nothing."""
    if queued:
        return "queued", queued
    if start_all:
        return "all", everything
    if interval and since_last >= interval and everything:
        return "periodic", everything
    return ("background", (1 << 63) - 1) if over else None


def pages_in_order(dirty, busy, start, budget, *, wraps):
    """Return the pages one pass writes, in order, and where the next begins; `busy` are under writeback: left out."""
    ahead = [index for index in sorted(dirty) if index >= start and index not in busy]
    behind = [index for index in sorted(dirty) if index < start and index not in busy] if wraps else []
    written = (ahead + behind)[:budget]
    if len(written) == budget:
        return written, written[-1] + 1
    return written, None  # the end was reached


def wheel_expiry(now, ticks):
    """Return the tick at which a timer of `ticks` fires that is set at `now`, by the levels of the wheel."""
    expires, level = now + ticks, 0
    while level < 8 and ticks >= 63 << 3 * level:
        level += 1
    return ((expires >> 3 * level) + 1) << 3 * level


def folio_after(pos, nbytes, *, largest):
    """Return where the folio ends that is made for a write of so many bytes: as large as fits, aligned to its size."""
    index, order = pos // 4096, 0
    while order < largest and (4096 << order + 1) <= nbytes:
        order += 1
    while index % (1 << order):
        order -= 1
    return (index + (1 << order)) * 4096


def folios_read(start: int, end: int, largest: int) -> list[int]:
    """Return where each folio begins that is read ahead from `start` up to `end`: mm/readahead.c:page_cache_ra_order."""
    begins = []
    largest = min(largest, (end - start).bit_length() - 1)
    index = start
    while index < end:
        order = largest
        while index % (1 << order):
            order -= 1
        while index + (1 << order) > end:
            order -= 1
        begins.append(index)
        index += 1 << order
    return begins
