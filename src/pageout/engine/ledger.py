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
def observe_request(k, queue, is_write, nr_pages):
    """Count the size of a write request that a device has finished, in KiB."""
    if is_write:
        observe(k, k.param.hist_device + 2 * queue, nr_pages * 4)


@kfn
def observe_seek(k, queue, blocks):
    """Count the distance of a seek, in KiB, so that the shortest is told from none."""
    observe(k, k.param.hist_device + 2 * queue + 1, blocks * 4)


@kfn
def _stalled_ns(k):
    """Time in direct reclaim up to now, of tasks still in it too."""
    total = k.stat.alloc_stall_ns
    for t in range(k.param.nr_tasks):
        begun = k.task[t].stall_begin_ns
        if begun > 0 and begun < k.stat.now_ns:
            total += k.stat.now_ns - begun
    return total


@kfn
def _halve_series(k):
    """Keep every second sample and take them half as often from here on: a run of any length fits."""
    kept = (k.stat.series_nr + 1) // 2
    for row in range(1, kept):
        for column in range(SERIES_COLUMNS):
            k.series[row * SERIES_COLUMNS + column] = k.series[2 * row * SERIES_COLUMNS + column]
    for cell in range(kept * SERIES_COLUMNS, k.stat.series_nr * SERIES_COLUMNS):
        k.series[cell] = 0
    k.stat.series_nr = kept
    k.param.series_ns *= 2


@kfn
def sample(k, background, limit):
    """Append one row to the series: time, levels beside the dirty limits in force, and running totals."""
    if k.stat.series_nr >= k.param.nr_series:
        _halve_series(k)
    n = k.stat.series_nr
    k.stat.series_nr = n + 1
    at = n * SERIES_COLUMNS
    k.series[at] = k.stat.now_ns
    k.series[at + 1] = k.vm.nr_dirty
    k.series[at + 2] = k.vm.nr_writeback
    k.series[at + 3] = k.vm.nr_free_pages
    k.series[at + 4] = k.vm.pgpgout
    k.series[at + 5] = k.vm.pgpgin
    k.series[at + 6] = _stalled_ns(k)
    k.series[at + 7] = k.stat.throttle_asked_ns
    k.series[at + 8] = k.vm.nr_inactive_file
    k.series[at + 9] = k.vm.nr_active_file
    k.series[at + 10] = k.vm.nr_inactive_anon + k.vm.nr_active_anon
    k.series[at + 11] = k.stat.reclaimed_direct + k.stat.reclaimed_kswapd
    k.series[at + 12] = background
    k.series[at + 13] = limit
    k.series[at + 14] = k.stat.written_direct
    k.series[at + 15] = k.stat.written_kswapd
    k.series[at + 16] = k.stat.written_flusher
    k.series[at + 17] = k.stat.written_writer
    k.series[at + 18] = k.stat.throttle_ns
    k.series[at + 19] = k.stat.peak
    requests, seeks, distance = 0, 0, 0
    for q in range(k.param.nr_queues):
        requests += k.queue[q].nr_write_requests
        seeks += k.queue[q].nr_seeks
        distance += k.queue[q].seek_blocks
    k.series[at + 20] = requests
    k.series[at + 21] = seeks
    k.series[at + 22] = distance
    k.series[at + 23] = k.stat.stack_pages
