# SPDX-License-Identifier: GPL-2.0-or-later
"""Which printed values the arithmetic of throttling can give, from any inputs in keeping with the rest of the event.

Each judge goes through all members of the set of inputs, until one gives exactly what was printed; if none does, it
leaves the least and the greatest value that any gives. Times here are jiffies, bandwidths pages a second.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pageout.jit import bind_state, kentry, kernel_view, kfn
from pageout.kernel.mm.dirty_throttle import (
    balanced_rate,
    bandwidth_period,
    ilog2,
    next_avg_bandwidth,
    next_dirty_ratelimit,
    next_write_bandwidth,
    pause_limit,
    pause_of,
    wb_max_pause,
    wb_min_pause,
    wb_position_ratio,
)

UNKNOWN = -1
NOT_JUDGED, ATTAINABLE, UNATTAINABLE = 0, 1, 2

# One balance_dirty_pages: what it printed; then the sets its inputs are in; then, for each judgement, whether it is
# wanted (in) and what came of it (out: NOT_JUDGED..UNATTAINABLE), and the least and greatest value found.
CHECK = np.dtype([(name, "i8") for name in (
    "limit", "setpoint", "dirty", "wb_setpoint", "wb_dirty", "ratelimit", "task", "dirtied", "dirtied_pause", "pause",
    "period", "think", "limit_before", "thresh_low", "thresh_high", "freerun_low", "freerun_high", "avg_low",
    "avg_high", "pause_avg_low", "pause_avg_high", "late", "rate_before", "update_task", "previous", "poll",
    "judge_task", "judge_update", "judge_period", "judge_pause", "judge_dirtied_pause",
    "task_low", "task_high", "update_low", "update_high", "period_low", "period_high", "pause_low", "pause_high",
    "dirtied_pause_low", "dirtied_pause_high",
)])  # fmt: skip
# One bdi_dirty_ratelimit against the one before it (x_before). first: jiffies the update made at the one before may
# stand for; between: those that this one may stand for; unseen: further updates that may have been made between them.
UPDATE = np.dtype([(name, "i8") for name in (
    "bw_before", "avg_before", "rate_before", "balanced_before", "bw", "avg", "rate", "balanced", "task", "dirty_rate",
    "dirty", "limit", "limit_before", "thresh", "freerun", "first_low", "first_high", "first_written",
    "between_low", "between_high", "between_written", "unseen",
    "judge_balanced", "judge_rate", "judge_bandwidth", "judge_dirty_rate",
    "balanced_low", "balanced_high", "rate_low", "rate_high", "bandwidth_low", "bandwidth_high", "dirty_rate_low",
    "dirty_rate_high",
)])  # fmt: skip
PARAM = np.dtype([("hz", "i8"), ("floor_moved", "i8")])
LAYOUT = {"param": (PARAM, True), "check": (CHECK, False), "update": (UPDATE, False)}
_at = kernel_view(LAYOUT)


@kfn
def judge_position(k: Any, row: int) -> int:
    """task_ratelimit of a check, and of the update made in it, by every position its inputs allow."""
    c = k.check[row]
    wants_update = c.judge_update
    low, high, seen, both = 1 << 62, -1, 0, 0
    for thresh in range(c.thresh_low, c.thresh_high + 1):
        first, last = share_from_setpoint(c.wb_setpoint, c.setpoint, thresh)
        for freerun in range(c.freerun_low, c.freerun_high + 1):
            for turn in range(2):
                limit = max(c.limit_before if turn == 0 else c.limit, thresh)
                for share in range(first, last + 1):
                    for avg in range(c.avg_low, c.avg_high + 1):
                        position = wb_position_ratio(
                            thresh, freerun, limit, c.dirty, share, c.wb_dirty, avg, k.param.floor_moved
                        )
                        task = c.ratelimit * position >> 10
                        low, high = min(low, task), max(high, task)
                        if task == c.task:
                            seen = 1
                            if (c.rate_before * position >> 10) + 1 == c.update_task:
                                both = 1
                    if seen > 0 and (both > 0 or wants_update == 0):
                        break
    c.task_low, c.task_high = low, high
    c.judge_task = ATTAINABLE if seen > 0 else UNATTAINABLE
    if wants_update > 0:
        c.update_low = (c.rate_before * (low << 10) // max(c.ratelimit, 1) >> 10) + 1
        c.update_high = (c.rate_before * ((high + 1) << 10) // max(c.ratelimit, 1) >> 10) + 1
        c.judge_update = ATTAINABLE if both > 0 else UNATTAINABLE
    return 0


@kfn
def share_from_setpoint(wb_setpoint: int, setpoint: int, thresh: int) -> Any:
    """Return (least, greatest) share of a device in `thresh` for which the kernel prints this wb_setpoint."""
    if setpoint <= 0:
        return 0, thresh
    least = (wb_setpoint * (thresh + 1) + setpoint - 1) // setpoint
    return least, ((wb_setpoint + 1) * (thresh + 1) - 1) // setpoint


@kfn
def judge_pause(k: Any, row: int) -> int:
    """Period and pause of a check, by every bandwidth and every tick that may have passed in the call."""
    c = k.check[row]
    hz = k.param.hz
    wants_period, wants_pause = c.judge_period, c.judge_pause
    low, high, seen = 1 << 62, -(1 << 62), 0
    period_low, period_high, period_seen = 1 << 62, -1, 0
    for avg in range(c.pause_avg_low, c.pause_avg_high + 1):
        longest = wb_max_pause(c.wb_dirty, avg, hz)
        shortest, _ = wb_min_pause(c.ratelimit, c.task, avg, longest, hz)
        period = longest if c.task == 0 else hz * c.dirtied // c.task
        period_low, period_high = min(period_low, period), max(period_high, period)
        if period == c.period:
            period_seen = 1
        for late in range(c.late + 2):  # the last turn: a task that has never paused thinks for no time
            if late > c.late and c.think != 0:
                break
            think = 0 if late > c.late else c.think - late
            pause = longest if c.task == 0 else pause_of(period, think, shortest, longest)
            low, high = min(low, pause), max(high, pause)
            if pause == c.pause and period == c.period:
                seen = 1
        if seen > 0:
            break
    c.pause_low, c.pause_high, c.period_low, c.period_high = low, high, period_low, period_high
    if wants_period > 0:
        c.judge_period = ATTAINABLE if period_seen > 0 else UNATTAINABLE
    if wants_pause > 0:
        c.judge_pause = ATTAINABLE if seen > 0 else UNATTAINABLE
    return 0


@kfn
def judge_dirtied_pause(k: Any, row: int) -> int:
    """What a task may dirty between checks, as its check before left it."""
    c = k.check[row]
    low, high, seen = 1 << 62, -1, 0
    if c.poll != UNKNOWN:
        low = high = c.poll
        seen = c.poll == c.dirtied_pause
    else:
        p = k.check[c.previous]
        hz = k.param.hz
        if p.pause > 0:
            for avg in range(p.pause_avg_low, p.pause_avg_high + 1):
                longest = wb_max_pause(p.wb_dirty, avg, hz)
                _, pages = wb_min_pause(p.ratelimit, p.task, avg, longest, hz)
                low, high = min(low, pages), max(high, pages)
                if pages == c.dirtied_pause:
                    seen = 1
        else:
            low = p.dirtied_pause
            if p.period == 0 and p.pause >= -hz and p.dirtied_pause <= p.dirtied:
                low += p.dirtied
            high = low
            seen = low == c.dirtied_pause
    c.dirtied_pause_low, c.dirtied_pause_high = low, high
    c.judge_dirtied_pause = ATTAINABLE if seen else UNATTAINABLE
    return 0


@kfn
def judge_rate(k: Any, row: int) -> int:
    """The base rate after an update, by the limits it may have seen."""
    u = k.update[row]
    low, high, seen = 1 << 62, -1, 0
    for turn in range(3):
        limit = u.limit if turn == 0 else u.limit_before
        if turn == 2:
            target = max(u.thresh, u.dirty)
            limit = u.thresh if limit < u.thresh else limit - (max(limit - target, 0) >> 5)
        setpoint = (u.freerun + max(limit, u.thresh)) // 2
        rate = next_dirty_ratelimit(u.rate_before, u.balanced_before, u.balanced, u.task, u.dirty, setpoint)
        low, high = min(low, rate), max(high, rate)
        if rate == u.rate:
            seen = 1
    u.rate_low, u.rate_high = low, high
    u.judge_rate = ATTAINABLE if seen > 0 else UNATTAINABLE
    return 0


@kfn
def reachable(before: int, after: int, least: int, greatest: int, written: int, hz: int) -> int:
    """1 if some number of pages up to `written`, in some time from `least` to `greatest`, makes the one the other."""
    period = bandwidth_period(hz)
    shift = ilog2(period)
    for elapsed in range(least, min(greatest, period) + 1):
        rest = before * (period - elapsed)
        most = (((after + 1) << shift) - 1 - rest) // hz
        fewest = ((after << shift) - rest + hz - 1) // hz
        if max(fewest, 0) <= min(most, written):
            return 1
    return 0


@kfn
def judge_bandwidth(k: Any, row: int) -> int:
    """Both bandwidths, by the update made at the event before, and one more that may have been made since."""
    u = k.update[row]
    hz = k.param.hz
    seen = 0
    low = high = next_avg_bandwidth(u.avg_before, u.bw_before, u.bw, 1, hz)
    if low == u.avg and reachable(u.bw_before, u.bw, u.first_low, u.first_high, u.first_written, hz) > 0:
        seen = 1
    if u.first_high > bandwidth_period(hz) and u.bw == u.avg:
        seen = 1  # after so long both begin anew
    if seen == 0 and u.unseen > 0:
        least = next_write_bandwidth(u.bw_before, 0, min(u.first_high, bandwidth_period(hz)), hz)
        greatest = next_write_bandwidth(u.bw_before, u.first_written, u.first_low, hz)
        window = max(u.between_high - pause_limit(hz) - 1, 1)  # no update is printed sooner after any other
        for middle in range(least, greatest + 1):
            avg = next_avg_bandwidth(u.avg_before, u.bw_before, middle, 1, hz)
            avg = next_avg_bandwidth(avg, middle, u.bw, 1, hz)
            low, high = min(low, avg), max(high, avg)
            if (
                avg == u.avg
                and reachable(u.bw_before, middle, u.first_low, u.first_high, u.first_written, hz) > 0
                and reachable(middle, u.bw, 1, window, u.between_written, hz) > 0
            ):
                seen = 1
                break
    u.bandwidth_low, u.bandwidth_high = low, high
    u.judge_bandwidth = ATTAINABLE if seen > 0 else UNATTAINABLE
    return 0


@kfn
def judge_dirty_rate(k: Any, row: int) -> int:
    """The rate of dirtying: pages in a whole number of jiffies."""
    u = k.update[row]
    hz = k.param.hz
    low, high, seen = -1, 1 << 62, 0
    for elapsed in range(u.between_low, u.between_high + 1):
        pages = u.dirty_rate * elapsed // hz
        for extra in range(2):
            rate = (pages + extra) * hz // elapsed
            if rate == u.dirty_rate:
                seen = 1
            elif rate < u.dirty_rate:
                low = max(low, rate)
            else:
                high = min(high, rate)
    u.dirty_rate_low, u.dirty_rate_high = low, high
    u.judge_dirty_rate = ATTAINABLE if seen > 0 else UNATTAINABLE
    return 0


def judge_checks(address: int, nr: int) -> int:
    """Judge the checks 0..nr-1, each by what it asks for."""
    k = _at(address)
    for row in range(nr):
        c = k.check[row]
        if c.judge_task > 0 or c.judge_update > 0:
            judge_position(k, row)
        if c.judge_period > 0 or c.judge_pause > 0:
            judge_pause(k, row)
        if c.judge_dirtied_pause > 0:
            judge_dirtied_pause(k, row)
    return 0


def judge_updates(address: int, nr: int) -> int:
    """Judge the updates 0..nr-1, each by what it asks for."""
    k = _at(address)
    for row in range(nr):
        u = k.update[row]
        if u.judge_balanced > 0:
            balanced = balanced_rate(u.task, u.avg, u.dirty_rate)
            u.balanced_low = balanced
            u.balanced_high = balanced
            u.judge_balanced = ATTAINABLE if balanced == u.balanced else UNATTAINABLE
        if u.judge_rate > 0:
            judge_rate(k, row)
        if u.judge_bandwidth > 0:
            judge_bandwidth(k, row)
        if u.judge_dirty_rate > 0:
            judge_dirty_rate(k, row)
    return 0


_checks, _updates = kentry(judge_checks), kentry(judge_updates)


def judge(check: Any, update: Any, hz: int, floor_moved: bool) -> None:
    """Fill in what comes of every judgement that the rows of both tables ask for.

    check, update: arrays of CHECK and UPDATE, none empty
    floor_moved:   the kernel has the floor for quiet devices in their share of the limit (Linux 6.14 on)
    """
    param = np.zeros(1, PARAM)
    param["hz"], param["floor_moved"] = hz, floor_moved
    block, address = bind_state({"param": param, "check": check, "update": update}, LAYOUT)
    _checks(address, len(check))
    _updates(address, len(update))
    del block
