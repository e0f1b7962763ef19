# SPDX-License-Identifier: GPL-2.0-or-later
"""The report of the kernel's script: as that script of old text, as the kernel's own counters of new."""

import json

import numpy as np
import pytest

from pageout.analysis.postprocess import summary
from pageout.events.encode import encode
from pageout.events.recording import RECORD
from pageout.readers.read import read_input, read_pieces
from pageout.vocabulary.tracepoints import EV, GFP_KERNEL
from tests.analysis.traces import Trace
from tests.conftest import ROOT
from tests.readers.recordings import read_recording

TRUTH = ROOT.parent / "shared" / "groundtruth" / "linux-6.1"
COMMS = {101: "kswapd0", 200: "dd", 201: "flush-8-0", 202: "fork bomb"}


def storm(seed):
    """Reclaimers and a kswapd, every begin with its end: there the script is right."""
    rng = np.random.default_rng(seed)
    rows, now = [], 5_000_000

    def emit(pid, event, *fields, after=1_000_000):
        nonlocal now
        now += after
        rows.append((now, pid, event, 0, (*fields, *(14 - len(fields)) * (0,))))

    for _ in range(60):
        pid = int(rng.choice([200, 201, 202]))
        emit(pid, EV.mm_vmscan_direct_reclaim_begin, int(rng.integers(0, 4)), 1, GFP_KERNEL)
        emit(pid, EV.mm_vmscan_wakeup_kswapd, 0, 1, 0)
        emit(101, EV.mm_vmscan_kswapd_wake, 0, 0)
        for who in (pid, 101):
            emit(who, EV.mm_vmscan_lru_isolate, int(rng.integers(0, 3)), 0, 32, int(rng.integers(0, 500)), 32, 1, 2, 0)
            for _ in range(int(rng.integers(0, 4))):
                emit(who, EV.mm_vmscan_writepage, 77, int(rng.choice([1, 2])) | int(rng.choice([4, 8])))
            emit(who, EV.mm_vmscan_lru_shrink_inactive, 0, 1, 32, int(rng.integers(0, 33)), 12, 0x0A)
        emit(pid, EV.mm_vmscan_direct_reclaim_end, 32, after=int(rng.integers(0, 90)) * 1_000_000 + 777)
        emit(101, EV.mm_vmscan_kswapd_sleep, 0)
    return encode(np.array(rows, RECORD), COMMS)


@pytest.fixture(scope="module")
def script_totals():
    import importlib.util
    from pathlib import Path

    place = Path(__file__).parents[1] / "events" / "postprocess.py"
    spec = importlib.util.spec_from_file_location("kernel_postprocess", place)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.postprocess_totals


@pytest.mark.parametrize("seed", range(4))
def test_the_summary_is_that_of_the_kernels_script(script_totals, seed):
    text = storm(seed)

    found = summary(read_pieces("storm", [text]).events)

    assert found.totals == pytest.approx(script_totals(read_recording(text)), abs=1e-6)
    assert found.scanned_from == "mm_vmscan_lru_isolate"


def test_what_was_not_recorded_is_not_0():
    trace = Trace()
    trace.emit("mm_vmscan_kswapd_wake", 1, 30, "kswapd0", nid=0, order=2)

    found = summary(trace.events())

    assert found.totals["Kswapd wakeups"] == 1
    assert {label for label, value in found.totals.items() if value is not None} == {"Kswapd wakeups"}
    assert "Direct reclaims:                      not recorded" in found.text()


def test_a_process_has_its_reclaims_and_its_wakeups_by_order():
    trace = Trace()
    trace.emit("mm_vmscan_wakeup_kswapd", 0, nid=0, order=3)
    for ms in (1, 10):
        trace.emit("mm_vmscan_direct_reclaim_begin", ms, order=3)
        trace.emit("mm_vmscan_direct_reclaim_end", ms + 2, nr_reclaimed=4)
    trace.emit("mm_vmscan_wakeup_kswapd", 0, 8, "cp", nid=0, order=0)

    found = summary(trace.events())

    assert found.processes.rows() == [("dd", 7, 3, 2, 4_000_000, 1), ("cp", 8, 0, 0, 0, 1)]
    assert found.latencies["ms"].to_list() == [2.0, 2.0]


@pytest.mark.parametrize("case", ["A-ext4", "D4-ext4"])
def test_pages_are_those_the_kernel_counted_itself(case):
    trace = TRUTH / case / "trace.txt.gz"
    if not trace.exists():
        pytest.skip(f"no recordings under {TRUTH}")
    counted = json.loads((TRUTH / case / "meta.json").read_text())["vmstat_delta"]

    totals = summary(read_input(str(trace)).events).totals

    assert totals["Kswapd pages scanned"] == counted["pgscan_kswapd"]
    assert totals["Kswapd pages reclaimed"] == counted["pgsteal_kswapd"]
    assert totals["Direct reclaim pages scanned"] == counted["pgscan_direct"]
    assert totals["Direct reclaim pages reclaimed"] == counted["pgsteal_direct"]
