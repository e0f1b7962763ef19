# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel's own reader of vmscan traces agrees with our text and our totals."""

import numpy as np
import pytest
from tests.events.recording import from_records
from tests.readers.recordings import read_recording

from pageout.events.encode import encode
from pageout.events.recording import RECORD
from pageout.vocabulary.tracepoints import EV, GFP_HIGHUSER_MOVABLE, GFP_KERNEL

COMMS = {101: "kswapd0", 200: "dd", 201: "flush-8-0", 202: "fork-bomb", 203: "cp"}
MS = 1_000_000


class Ring:
    """Appends records as an engine would."""

    def __init__(self):
        self.rows = []
        self.now = 5 * MS

    def emit(self, pid, event, *fields, after=MS):
        self.now += after
        self.rows.append((self.now, pid, event, pid % 2, (*fields, *(14 - len(fields)) * (0,))))

    def records(self):
        return np.array(self.rows, RECORD)


def storm(seed=1, turns=400):
    """Direct reclaimers and a kswapd at work, with the untidy ends real traces have."""
    rng = np.random.default_rng(seed)
    ring = Ring()
    ring.emit(203, EV.mm_vmscan_direct_reclaim_end, 7)  # both began before the trace
    ring.emit(202, EV.mm_vmscan_direct_reclaim_end, 7)
    ring.emit(101, EV.mm_vmscan_kswapd_sleep, 0)
    for _ in range(turns):
        pid = int(rng.choice([200, 201, 202]))
        order = int(rng.integers(0, 4))
        ring.emit(pid, EV.mm_vmscan_wakeup_kswapd, 0, 1, order)
        ring.emit(203, EV.mm_vmscan_wakeup_kswapd, 0, 1, order)  # never reclaims itself
        if rng.random() < 0.7:
            ring.emit(101, EV.mm_vmscan_kswapd_wake, 0, order)
        ring.emit(pid, EV.mm_vmscan_direct_reclaim_begin, order, 1, int(rng.choice([GFP_KERNEL, GFP_HIGHUSER_MOVABLE])))
        for who in (pid, 101):
            mode = int(rng.integers(0, 3))
            scanned = int(rng.integers(0, 500))
            ring.emit(who, EV.mm_vmscan_lru_isolate, mode, order, 32, scanned, 32, 1, 2, 0, after=3000)
            for _ in range(int(rng.integers(0, 4))):
                flags = int(rng.choice([1, 2])) | int(rng.choice([4, 8]))
                ring.emit(who, EV.mm_vmscan_writepage, int(rng.integers(0, 10**6)), flags, after=1234)
            ring.emit(who, EV.mm_vmscan_lru_shrink_inactive, 0, 1, 32, int(rng.integers(0, 33)), 12, 0x0A)
        ring.emit(pid, EV.mm_vmscan_direct_reclaim_end, 32, after=int(rng.integers(0, 90)) * MS + 777)
        if rng.random() < 0.5:
            ring.emit(101, EV.mm_vmscan_kswapd_sleep, 0)
    ring.emit(202, EV.mm_vmscan_direct_reclaim_begin, 0, 1, GFP_KERNEL)  # still in it when the trace ends
    return ring.records()


@pytest.fixture(scope="module")
def script(postprocess, tmp_path_factory):
    try:
        return postprocess.find_script(tmp_path_factory.mktemp("script"))
    except postprocess.NoScript as reason:
        pytest.skip(str(reason))


@pytest.mark.parametrize("seed", range(3))
def test_the_kernels_script_reads_our_text_and_gives_our_totals(postprocess, script, seed):
    records = storm(seed)
    text = encode(records, COMMS)

    summary, output = postprocess.run_script(*script, text)
    totals = postprocess.postprocess_totals(read_recording(text))

    assert "Failed to parse" not in output
    assert summary.keys() == totals.keys()
    assert summary == pytest.approx(totals, abs=0.0051)
    assert totals["Direct reclaims"] == 401


def test_totals_are_the_same_from_the_ring_as_from_the_text(postprocess):
    records = storm()

    from_ring = postprocess.postprocess_totals(from_records([records[:100], records[100:]], COMMS))
    from_text = postprocess.postprocess_totals(read_recording(encode(records, COMMS)))

    assert from_ring == pytest.approx(from_text, abs=1e-3)


def test_totals_of_a_trace_small_enough_to_add_up_by_hand(postprocess):
    ring = Ring()
    ring.emit(101, EV.mm_vmscan_kswapd_wake, 0, 0)
    ring.emit(200, EV.mm_vmscan_wakeup_kswapd, 0, 1, 0)
    ring.emit(200, EV.mm_vmscan_direct_reclaim_begin, 0, 1, GFP_KERNEL)
    ring.emit(200, EV.mm_vmscan_lru_isolate, 0, 0, 32, 40, 32, 0, 0, 0)
    ring.emit(200, EV.mm_vmscan_lru_isolate, 1, 0, 32, 1000, 32, 0, 0, 0)  # active list: rotation, no scan
    ring.emit(200, EV.mm_vmscan_writepage, 77, 0x0A)
    ring.emit(200, EV.mm_vmscan_lru_shrink_inactive, 0, 1, 32, 31, 12, 0x0A)
    ring.emit(200, EV.mm_vmscan_direct_reclaim_end, 31, after=100 * MS)
    ring.emit(101, EV.mm_vmscan_kswapd_sleep, 0, after=MS)

    totals = postprocess.postprocess_totals(from_records([ring.records()], COMMS))

    assert totals["Direct reclaims"] == totals["Wake kswapd requests"] == totals["Kswapd wakeups"] == 1
    assert totals["Direct reclaim pages scanned"] == 40
    assert totals["Direct reclaim pages reclaimed"] == 31
    assert totals["Direct reclaim write file async I/O"] == 1
    assert totals["Direct reclaim write file sync I/O"] == 0
    assert totals["Time stalled direct reclaim"] == pytest.approx(0.104)
    assert totals["Time kswapd awake"] == pytest.approx(0.107)
