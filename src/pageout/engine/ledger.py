# SPDX-License-Identifier: GPL-2.0-or-later
"""What no tracepoint tells: log-bucket histograms, time-weighted levels, and the series."""

from pageout.engine.constants import HIST_BUCKETS, SERIES_COLUMNS
from pageout.jit import kfn


@kfn
def bucket_of(value):
    """Histogram bucket of a value >= 0: eight to an octave, exact below 16."""
    if value < 16:
        return value
    octave = 3
    scaled = value
    if scaled >= 1 << 36:
        scaled >>= 32
        octave += 32
    if scaled >= 1 << 20:
        scaled >>= 16
        octave += 16
    while scaled >= 16:
        scaled >>= 1
        octave += 1
    bucket = (octave - 2) * 8 + (value >> (octave - 3)) - 8
    return bucket if bucket < HIST_BUCKETS else HIST_BUCKETS - 1


@kfn
def observe(k, histogram, value):
    """Count one value; the last two cells of a row would be its sum and maximum, kept apart in `hist_sum`."""
    k.hist[histogram * HIST_BUCKETS + bucket_of(value)] += 1
    row = k.hist_sum[histogram]
    row.nr += 1
    row.total += value
    if value > row.largest:
        row.largest = value


@kfn
def levels(k):
    """Bring the time-weighted means of dirty and writeback pages up to now; called before either changes."""
    now = k.stat.now_ns
    elapsed = now - k.stat.level_since_ns
    if elapsed <= 0:
        return
    k.stat.level_since_ns = now
    k.stat.dirty_integral += elapsed * k.vm.nr_dirty
    k.stat.writeback_integral += elapsed * k.vm.nr_writeback


@kfn
def highest(k):
    """Keep the highest levels; called after dirty or writeback pages have grown."""
    if k.vm.nr_dirty > k.stat.dirty_max:
        k.stat.dirty_max = k.vm.nr_dirty
    if k.vm.nr_dirty + k.vm.nr_writeback > k.stat.both_max:
        k.stat.both_max = k.vm.nr_dirty + k.vm.nr_writeback


@kfn
def sample(k):
    """Append one row to the series: time, levels and running totals."""
    n = k.stat.series_nr
    if n >= k.param.nr_series:
        return
    k.stat.series_nr = n + 1
    at = n * SERIES_COLUMNS
    k.series[at] = k.stat.now_ns
    k.series[at + 1] = k.vm.nr_dirty
    k.series[at + 2] = k.vm.nr_writeback
    k.series[at + 3] = k.vm.nr_free_pages
    k.series[at + 4] = k.vm.pgpgout
    k.series[at + 5] = k.vm.pgpgin
    k.series[at + 6] = k.stat.alloc_stall_ns
    k.series[at + 7] = k.stat.throttle_asked_ns
    k.series[at + 8] = k.vm.nr_inactive_file
    k.series[at + 9] = k.vm.nr_active_file
    k.series[at + 10] = k.vm.nr_inactive_anon + k.vm.nr_active_anon
    k.series[at + 11] = k.stat.reclaimed_direct + k.stat.reclaimed_kswapd
