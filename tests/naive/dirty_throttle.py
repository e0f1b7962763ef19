# SPDX-License-Identifier: GPL-2.0-or-later
"""Twins of the throttling of Linux 3.2 on (6.1, and the floor of 6.14), from the reference alone: linux-6, section 1.

Pages, pages a second and jiffies, in plain integers. `floor_moved`: the kernel has the floor for quiet devices in the
device's share (6.14), not in the position ratio.
"""

from fractions import Fraction
from typing import NamedTuple

POLL_THRESH = 32  # pages
STRICT_MARGIN = 8  # pages


def rup2(x: int) -> int:
    return 1 << (x - 1).bit_length()


def ilog2(x: int) -> int:
    return x.bit_length() - 1


def longest_pause(hz: int) -> int:
    return max(hz // 5, 1)


interval = longest_pause  # between updates of bandwidth, rate limit and dirty_limit


def truncated(a: int, b: int) -> int:
    return abs(a) // b * (1 if a >= 0 else -1)


# --- 1.3 and 1.4: limits of the machine


def dirtyable(*, free: int, reserve: int, inactive_file: int, active_file: int) -> int:
    return max(0, free - reserve) + inactive_file + active_file + 1


def thresholds(
    *, avail: int, ratio: int, bg_ratio: int, nbytes: int = 0, bg_bytes: int = 0, realtime: bool = False, limit: int = 0
) -> tuple[int, int]:
    """(thresh, bg); limit: dirty_limit, of which a realtime task gets a 32nd on top."""
    thresh = -(-nbytes // 4096) if nbytes else ratio * 4096 // 100 * avail // 4096
    bg = -(-bg_bytes // 4096) if bg_bytes else bg_ratio * 4096 // 100 * avail // 4096
    if bg >= thresh:
        bg = thresh // 2
    if realtime:
        thresh, bg = thresh + thresh // 4 + limit // 32, bg + bg // 4 + limit // 32
    return thresh, bg


def freerun(thresh: int, bg: int) -> int:
    return (thresh + bg) // 2


def hard_limit(thresh: int, dirty_limit: int) -> int:
    return max(thresh, dirty_limit)


def setpoint(*, thresh: int, bg: int, dirty_limit: int) -> int:
    return (freerun(thresh, bg) + hard_limit(thresh, dirty_limit)) // 2


def next_dirty_limit(*, dirty_limit: int, thresh: int, dirty: int) -> int:
    if dirty_limit < thresh:
        return thresh
    target = max(thresh, dirty)
    return dirty_limit - (dirty_limit - target) // 32 if dirty_limit > target else dirty_limit


# --- 1.5: share of a device


class Share:
    """Completions of a device and of all devices, both halved with every period of 3 s."""

    def __init__(self) -> None:
        self.mine = self.all = 0

    def written(self, pages: int, *, mine: bool = True, most: int = 100) -> None:
        """most: percent of all completions beyond which the device's do not count."""
        if not mine:
            self.all += pages
        for _ in range(pages if mine else 0):
            part = Fraction(*self.fraction())
            if most == 100 or part < Fraction(1024 * most // 100, 1024):
                self.mine += 1
                self.all += 1

    def period(self, missed: int = 1) -> None:
        self.mine >>= missed
        self.all >>= missed

    def fraction(self) -> tuple[int, int]:
        if self.all <= self.mine:
            return (1, 1) if self.mine else (0, 1)
        return self.mine, self.all


def wb_thresh(
    *,
    thresh: int,
    fraction: tuple[int, int],
    dirty: int = 0,
    min_sum: int = 0,
    min_ratio: int = 0,
    max_ratio: int = 100,
    floor_moved: bool = False,
    strict: bool = False,
) -> int:
    share = thresh * (100 - min_sum) // 100 * fraction[0] // fraction[1] + thresh * min_ratio // 100
    if floor_moved and thresh > dirty:
        share = max(share, (thresh - dirty) // (100 if strict else 8))
    return min(share, thresh * max_ratio // 100)


def wb_bg_thresh(share: int, thresh: int, bg: int) -> int:
    return share * bg // thresh if thresh else 0


# --- 1.6: position


def poly(setpoint: int, dirty: int, limit: int) -> int:
    x = truncated((setpoint - dirty) * 1024, (limit - setpoint) | 1)
    return min(max(((x * x >> 10) * x >> 10) + 1024, 0), 2048)


def position_ratio(
    *,
    thresh: int,
    bg: int,
    dirty_limit: int,
    dirty: int,
    wb_thresh: int,
    wb_dirty: int,
    avg_bw: int,
    floor_moved: bool = False,
    strict: bool = False,
) -> int:
    """1024: the task may dirty at the base rate."""
    limit = hard_limit(thresh, dirty_limit)
    if dirty >= limit:
        return 0
    middle = (freerun(thresh, bg) + limit) // 2
    pos = poly(middle, dirty, limit)
    if strict:
        return strict_ratio(pos, wb_thresh, wb_bg_thresh(wb_thresh, thresh, bg), wb_dirty, floor_moved)
    w = min(wb_thresh, thresh)
    if not floor_moved:
        w = max(w, (limit - dirty) // 8)
    x = (w << 16) // (thresh | 1)
    wb_setpoint = middle * x >> 16
    span = (thresh - w + 8 * avg_bw) * x >> 16
    end = wb_setpoint + span
    if wb_dirty < end - span // 4:
        pos = pos * (end - wb_dirty) // (span | 1)
    else:
        pos //= 4
    reserve = w // 2
    if wb_dirty < reserve:
        pos = pos * reserve // wb_dirty if wb_dirty > reserve // 8 else pos * 8
    return pos


def strict_ratio(pos: int, wb_thresh: int, wb_bg: int, wb_dirty: int, floor_moved: bool) -> int:
    if wb_dirty < STRICT_MARGIN and not floor_moved:
        return min(2 * pos, 2048)
    if wb_dirty >= wb_thresh:
        return 0
    middle = (wb_thresh + wb_bg) // 2
    if middle in (0, wb_thresh):
        return 0
    return min(pos, poly(middle, wb_dirty, wb_thresh))


# --- 1.7: bandwidth


def next_bandwidth(*, bw: int, avg: int, written: int, elapsed: int, hz: int) -> tuple[int, int]:
    """(bw, avg)"""
    period = rup2(3 * hz)
    if elapsed > period:
        new = written * hz // elapsed
        return new, max(new, 1)
    new = (written * hz + bw * (period - elapsed)) >> ilog2(period)
    if avg > bw >= new:
        avg -= (avg - bw) >> 3
    if avg < bw <= new:
        avg += (bw - avg) >> 3
    return new, max(avg, 1)


# --- 1.8: rate


class Rate(NamedTuple):
    ratelimit: int
    balanced: int
    task: int
    dirty_rate: int


def next_ratelimit(
    *,
    ratelimit: int,
    balanced: int,
    pos: int,
    avg_bw: int,
    dirtied: int,
    elapsed: int,
    hz: int,
    dirty: int,
    setpoint: int,
) -> Rate:
    """dirtied: pages since the update before. Strictlimit: dirty and setpoint are the device's."""
    dirty_rate = dirtied * hz // elapsed
    task = (ratelimit * pos >> 10) + 1
    new_balanced = min(task * avg_bw // (dirty_rate | 1), avg_bw)
    step = 0
    if dirty < setpoint:
        step = max(min(balanced, new_balanced, task) - ratelimit, 0)
    else:
        step = max(ratelimit - max(balanced, new_balanced, task), 0)
    shift = ratelimit // (2 * step + 1)
    step = -(-(step >> shift) // 8) if shift < 64 else 0
    ratelimit += step if ratelimit < new_balanced else -step
    return Rate(max(ratelimit, 1), new_balanced, task, dirty_rate)


def strict_setpoint(*, wb_thresh: int, wb_bg: int, wb_dirty: int, floor_moved: bool) -> int:
    if wb_dirty < STRICT_MARGIN and not floor_moved:
        return wb_dirty + 1
    return (wb_thresh + wb_bg) // 2


# --- 1.9 to 1.11: the pause


def poll(dirty: int, thresh: int) -> int:
    return 1 << (ilog2(thresh - dirty) // 2) if thresh > dirty else 1


def max_pause(*, wb_dirty: int, avg_bw: int, hz: int) -> int:
    return min(longest_pause(hz), 1 + wb_dirty // (1 + avg_bw // rup2(1 + hz // 8)))


def min_pause(*, ratelimit: int, task: int, avg_bw: int, longest: int, hz: int) -> tuple[int, int]:
    """(min_pause, next nr_dirtied_pause); longest: max_pause."""
    t = max(1, hz // 100)
    if ilog2(avg_bw) > ilog2(ratelimit):
        t += (ilog2(avg_bw) - ilog2(ratelimit)) * (10 * hz) // 1024
    t = min(t, 1 + longest // 2)
    pages = ratelimit * t // rup2(hz)
    if pages < POLL_THRESH:
        t = longest
        pages = ratelimit * t // rup2(hz)
        if pages > POLL_THRESH:
            pages, t = POLL_THRESH, hz * POLL_THRESH // ratelimit
    if hz * pages // (task + 1) > longest:
        t = longest
        pages = task * t // rup2(hz)
    return (1 + t // 2 if pages >= POLL_THRESH else t), pages


class Pause(NamedTuple):
    period: int
    pause: int  # as traced: 0 or less is no sleep
    think: int  # as traced
    sleeps: bool
    paused_when: int  # of the task afterwards; 0: never
    nr_dirtied: int
    nr_dirtied_pause: int


def pause(
    *,
    now: int,
    paused_when: int,
    nr_dirtied_pause: int,
    dirtied: int,
    ratelimit: int,
    task: int,
    avg_bw: int,
    wb_dirty: int,
    hz: int,
) -> Pause:
    """The end of one turn of balance_dirty_pages; now: jiffies, the same all the turn."""
    longest = max_pause(wb_dirty=wb_dirty, avg_bw=avg_bw, hz=hz)
    shortest, pages = min_pause(ratelimit=ratelimit, task=task, avg_bw=avg_bw, longest=longest, hz=hz)
    think = now - paused_when if paused_when else 0
    if task == 0:
        period = left = longest
    else:
        period = hz * dirtied // task
        left = period - think
        if left < shortest:
            return _goes_on(Pause(period, min(left, 0), think, False, paused_when, dirtied, nr_dirtied_pause), now, hz)
    if left > longest:
        now += min(left - longest, longest)
        left = longest
    return Pause(period, left, think, True, now + left, 0, pages)


def _goes_on(p: Pause, now: int, hz: int) -> Pause:
    if p.pause < -hz:
        return p._replace(paused_when=now, nr_dirtied=0)
    if p.period:
        return p._replace(paused_when=p.paused_when + p.period, nr_dirtied=0)
    if p.nr_dirtied_pause <= p.nr_dirtied:
        return p._replace(nr_dirtied_pause=p.nr_dirtied_pause + p.nr_dirtied)
    return p


def ms(jiffies: int, hz: int) -> int:
    """As traced."""
    return truncated(jiffies * 1000, hz)


# --- 2.6: the flusher


def chunk(*, avg_bw: int, dirty_limit: int, nr_pages: int | None = None) -> int:
    """Pages of one inode at a turn; nr_pages None: unlimited."""
    wanted = min(avg_bw // 2, dirty_limit // 8)
    if nr_pages is not None:
        wanted = min(wanted, nr_pages)
    return (wanted + 1024) // 1024 * 1024
