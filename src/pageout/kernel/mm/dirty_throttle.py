# SPDX-License-Identifier: GPL-2.0-or-later
"""The arithmetic of throttling that writes nothing itself: of balance_dirty_pages of Linux 3.2 on.

Numbers in, numbers out: pages, pages a second, jiffies. Nothing here sleeps or looks at the machine, so what a machine
recorded can be held against it (`validate`). Numbers up to 2**31 do not overflow.

Source: Linux v6.1 mm/page-writeback.c; where `floor_moved` is asked for, v6.14.
"""

from pageout.jit import kfn

RATELIMIT_CALC_SHIFT = 10
DIRTY_POLL_THRESH = 32  # pages
BITS_PER_LONG = 64
POS_ONE, POS_TWO = 1 << RATELIMIT_CALC_SHIFT, 2 << RATELIMIT_CALC_SHIFT
STRICT_MARGIN = 8  # pages of a strictly limited device that are always free


@kfn
def ilog2(value):
    """Return floor(log2) of a value > 0."""
    log = 0
    while value > 1:
        value >>= 1
        log += 1
    return log


@kfn
def roundup_pow_of_two(value):
    """Return the smallest power of two that is not below a value > 0."""
    power = 1
    while power < value:
        power <<= 1
    return power


@kfn
def pause_limit(hz):
    """Jiffies of the longest single sleep, and between two updates of an estimate: MAX_PAUSE, BANDWIDTH_INTERVAL."""
    return hz // 5 if hz >= 5 else 1


@kfn
def bandwidth_period(hz):
    """Jiffies over which write bandwidth is averaged."""
    return roundup_pow_of_two(3 * hz)


@kfn
def dirty_freerun_ceiling(thresh, bg_thresh):
    """Pages of dirty and writeback up to which nobody is throttled."""
    return (thresh + bg_thresh) // 2


@kfn
def follow_dirty_limit(dirty_limit, thresh, dirty):
    """Return the smoothed limit 200 ms on: up at once, down by a 32nd of the way.  Source: update_dirty_limit."""
    if dirty_limit < thresh:
        return thresh
    target = thresh if thresh > dirty else dirty
    if dirty_limit > target:
        dirty_limit -= (dirty_limit - target) >> 5
    return dirty_limit


@kfn
def wb_calc_thresh(thresh, done, all_done, dirty, floor_moved):
    """Return a device's part of `thresh`: it had `done` of `all_done` recent completions (not 0).

    floor_moved: a quiet device gets an eighth of what is free below thresh, at least.
    Differs: min_ratio 0, max_ratio 100, no strictlimit (wb_rates.py has them).  Source: __wb_calc_thresh.
    """
    part = thresh * done // all_done
    if floor_moved and thresh > dirty:
        floor = (thresh - dirty) // 8
        if part < floor:
            part = floor
    return part if part < thresh else thresh


@kfn
def pos_ratio_polynom(setpoint, dirty, limit):
    """Return 1 + ((setpoint - dirty) / (limit - setpoint))**3 as 1024ths, from 0 to 2048."""
    span = (limit - setpoint) | 1
    off = (setpoint - dirty) << RATELIMIT_CALC_SHIFT
    x = off // span if off >= 0 else -(-off // span)
    if x >= POS_ONE:
        return POS_TWO
    if x <= -POS_ONE:
        return 0
    ratio = ((x * x >> RATELIMIT_CALC_SHIFT) * x >> RATELIMIT_CALC_SHIFT) + POS_ONE
    return ratio if ratio > 0 else 0


@kfn
def wb_position_ratio(thresh, freerun, limit, dirty, wb_thresh, wb_dirty, avg_write_bandwidth, floor_moved):
    """Return by how much a task may go faster (above 1024) or slower than the base rate, by where dirty pages are.

    limit: the hard one, max(thresh, dirty_limit); floor_moved: `wb_thresh` has its floor already.
    """
    if dirty >= limit:
        return 0
    setpoint = (freerun + limit) // 2
    ratio = pos_ratio_polynom(setpoint, dirty, limit)
    if wb_thresh > thresh:
        wb_thresh = thresh
    if not floor_moved and wb_thresh < (limit - dirty) // 8:
        wb_thresh = (limit - dirty) // 8
    x = (wb_thresh << 16) // (thresh | 1)
    wb_setpoint = setpoint * x >> 16
    span = (thresh - wb_thresh + 8 * avg_write_bandwidth) * x >> 16
    intercept = wb_setpoint + span
    if wb_dirty < intercept - span // 4:
        ratio = ratio * (intercept - wb_dirty) // (span | 1)
    else:
        ratio //= 4
    reserve = wb_thresh // 2
    if wb_dirty < reserve:
        if wb_dirty > reserve // 8:
            ratio = ratio * reserve // wb_dirty
        else:
            ratio *= 8
    return ratio


@kfn
def strict_position_ratio(setpoint, limit, dirty, wb_thresh, wb_bg_thresh, wb_dirty, floor_moved):
    """As wb_position_ratio, of a device that must keep its own limits (strictlimit: FUSE)."""
    if dirty >= limit:
        return 0
    ratio = pos_ratio_polynom(setpoint, dirty, limit)
    if wb_dirty < STRICT_MARGIN and not floor_moved:
        return 2 * ratio if 2 * ratio < POS_TWO else POS_TWO
    if wb_dirty >= wb_thresh:
        return 0
    wb_setpoint = dirty_freerun_ceiling(wb_thresh, wb_bg_thresh)
    if wb_setpoint in (0, wb_thresh):
        return 0
    own = pos_ratio_polynom(wb_setpoint, wb_dirty, wb_thresh)
    return own if own < ratio else ratio


@kfn
def strict_setpoint(wb_thresh, wb_bg_thresh, wb_dirty, floor_moved):
    """Return the device's own setpoint, which its base rate aims at.  Source: wb_update_dirty_ratelimit."""
    if wb_dirty < STRICT_MARGIN and not floor_moved:
        return wb_dirty + 1
    return (wb_thresh + wb_bg_thresh) // 2


@kfn
def next_write_bandwidth(bandwidth, written, elapsed, hz):
    """Return write_bandwidth after `written` pages in `elapsed` jiffies (> 0).  Source: wb_update_write_bandwidth."""
    period = bandwidth_period(hz)
    if elapsed > period:
        return written * hz // elapsed
    return (written * hz + bandwidth * (period - elapsed)) >> ilog2(period)


@kfn
def next_avg_bandwidth(avg, before, after, elapsed, hz):
    """Return avg_write_bandwidth once write_bandwidth went from `before` to `after`: it moves if that leads away."""
    if elapsed > bandwidth_period(hz):
        avg = after
    else:
        if avg > before and before >= after:
            avg -= (avg - before) >> 3
        if avg < before and before <= after:
            avg += (before - avg) >> 3
    return avg if avg > 1 else 1


@kfn
def balanced_rate(task_ratelimit, avg_write_bandwidth, dirty_rate):
    """Return the rate at which the device's writers together would dirty what it writes."""
    rate = task_ratelimit * avg_write_bandwidth // (dirty_rate | 1)
    return rate if rate < avg_write_bandwidth else avg_write_bandwidth


@kfn
def next_dirty_ratelimit(ratelimit, balanced_before, balanced, task_ratelimit, dirty, setpoint):
    """Return the base rate after an update: a step of an eighth of the gap at most, if rate and position agree.

    Strictlimit: dirty and setpoint are the device's own.  Source: wb_update_dirty_ratelimit.
    """
    step = 0
    if dirty < setpoint:
        bound = min(balanced_before, balanced, task_ratelimit)
        if ratelimit < bound:
            step = bound - ratelimit
    else:
        bound = max(balanced_before, balanced, task_ratelimit)
        if ratelimit > bound:
            step = ratelimit - bound
    shift = ratelimit // (2 * step + 1)
    step = ((step >> shift) + 7) // 8 if shift < BITS_PER_LONG else 0
    ratelimit = ratelimit + step if ratelimit < balanced else ratelimit - step
    return ratelimit if ratelimit > 1 else 1


@kfn
def dirty_poll_interval(dirty, thresh):
    """Pages a task may dirty before its next check where nobody is throttled."""
    return 1 << (ilog2(thresh - dirty) >> 1) if thresh > dirty else 1


@kfn
def wb_max_pause(wb_dirty, avg_write_bandwidth, hz):
    """Jiffies of the longest sleep that does not let the device run dry."""
    ticks = wb_dirty // (1 + avg_write_bandwidth // roundup_pow_of_two(1 + hz // 8)) + 1
    limit = pause_limit(hz)
    return ticks if ticks < limit else limit


@kfn
def target_pause(dirty_ratelimit, avg_write_bandwidth, max_pause, hz):
    """Jiffies a writer should sleep at a time: 10 ms, and 10 ms for each doubling of writers."""
    ticks = hz // 100 if hz >= 100 else 1
    more = ilog2(avg_write_bandwidth) - ilog2(dirty_ratelimit)
    if more > 0:
        ticks += more * (10 * hz) // 1024
    cap = 1 + max_pause // 2
    return ticks if ticks < cap else cap


@kfn
def wb_min_pause(dirty_ratelimit, task_ratelimit, avg_write_bandwidth, max_pause, hz):
    """Return (the shortest sleep worth taking in jiffies, nr_dirtied_pause after a sleep in pages)."""
    second = roundup_pow_of_two(hz)
    ticks = target_pause(dirty_ratelimit, avg_write_bandwidth, max_pause, hz)
    pages = dirty_ratelimit * ticks // second
    if pages < DIRTY_POLL_THRESH:
        ticks = max_pause
        pages = dirty_ratelimit * ticks // second
        if pages > DIRTY_POLL_THRESH:
            pages = DIRTY_POLL_THRESH
            ticks = hz * DIRTY_POLL_THRESH // dirty_ratelimit
    if hz * pages // (task_ratelimit + 1) > max_pause:
        ticks = max_pause
        pages = task_ratelimit * ticks // second
    return (1 + ticks // 2 if pages >= DIRTY_POLL_THRESH else ticks), pages


@kfn
def pause_of(period, think, min_pause, max_pause):
    """Return the pause as traced: what is left of the period; 0 or less: no sleep."""
    pause = period - think
    if pause < min_pause:
        return pause if pause < 0 else 0
    return pause if pause < max_pause else max_pause


@kfn
def writeback_chunk_size(avg_write_bandwidth, dirty_limit, nr_pages):
    """Pages of one inode the flusher writes at a turn.  Source: Linux v6.1 fs/fs-writeback.c."""
    pages = min(avg_write_bandwidth // 2, dirty_limit // 8, nr_pages)
    return (pages + 1024) // 1024 * 1024
