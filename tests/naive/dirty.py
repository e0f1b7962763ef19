# SPDX-License-Identifier: GPL-2.0-or-later
"""Twins of the dirty limits and of balance_dirty_pages, from the reference alone: section 11."""

from collections.abc import Iterator


def dirtyable(*, free: int, inactive_file: int, active_file: int, anon: int, swap: bool) -> int:
    return free + inactive_file + active_file + (anon if swap else 0) + 1


def limits(
    *,
    pages: int,
    ratio: int,
    background_ratio: int,
    nbytes: int = 0,
    background_bytes: int = 0,
    privileged: bool = False,
) -> tuple[int, int]:
    """(background, dirty); a byte limit is rounded up to pages."""
    dirty = -(-nbytes // 4096) if nbytes else max(ratio, 5) * pages // 100
    background = -(-background_bytes // 4096) if background_bytes else background_ratio * pages // 100
    if background >= dirty:
        background = dirty // 2
    if privileged:
        background, dirty = background + background // 4, dirty + dirty // 4
    return background, dirty


class Proportion:
    """A device's (or task's) part in recent events: its count is halved whenever another half period has gone by."""

    def __init__(self, half: int) -> None:
        self.half = half
        self.mine = self.all = self.period = 0

    def event(self, *, mine: bool, most: int = 100) -> None:
        """most: percent of the whole beyond which its events do not count."""
        self._catch_up()
        if mine and most < 100 and self.mine > self.fraction()[1] * (32768 * most // 100) // 32768:
            return
        self.mine += mine
        self.all += 1

    def _catch_up(self) -> None:
        for _ in range(self.all // self.half - self.period):
            self.mine //= 2
        self.period = self.all // self.half

    def fraction(self) -> tuple[int, int]:
        self._catch_up()
        return self.mine, self.half + self.all % self.half


def period_shift(dirty: int) -> int:
    """2 + ilog2(dirty - 1)."""
    return 2 + (dirty - 1).bit_length() - 1


def device_limit(
    *,
    dirty: int,
    fraction: tuple[int, int],
    min_ratios: list[int],
    own_min: int,
    own_max: int,
    both: int,
    own_both: int,
) -> int:
    """both: dirty + writeback pages of the machine; own_both: of the device."""
    limit = dirty * (100 - sum(min_ratios)) // 100 * fraction[0] // fraction[1] + dirty * own_min // 100
    limit = min(limit, dirty * own_max // 100)
    return min(limit, max(dirty - both, 0) + own_both)


def task_limit(limit: int, fraction: tuple[int, int]) -> int:
    return max(limit - (limit // 8) * fraction[0] // fraction[1], limit // 2)


def balance(
    *,
    own_reclaimable: int,
    own_writeback: int,
    own_limit: int,
    reclaimable: int,
    writeback: int,
    background: int,
    dirty: int,
) -> str:
    """What balance_dirty_pages does at the top of its loop: stop, write or pause."""
    if own_reclaimable + own_writeback <= own_limit:
        return "stop"
    if reclaimable + writeback < (background + dirty) // 2:
        return "stop"
    return "write" if own_reclaimable > own_limit else "pause"


def after_writing(*, own_both: int, own_limit: int, written: int, chunk: int) -> str:
    return "stop" if own_both <= own_limit or written >= chunk else "pause"


def pauses(hz: int) -> Iterator[int]:
    """1, 2, 4 ... jiffies, HZ/10 at most."""
    pause = 1
    while True:
        yield pause
        pause = min(2 * pause, hz // 10)


def ratelimit(total_pages: int, cpus: int) -> int:
    return min(1024, max(16, total_pages // (cpus * 32)))


def write_chunk(counter: int, ratelimit_pages: int) -> int:
    return max(counter, ratelimit_pages) * 3 // 2


def must_wait_for_writeout(writeback: int, dirty: int) -> bool:
    """throttle_vm_writeout: more than 1.1 times the threshold."""
    return writeback > dirty + dirty // 10
