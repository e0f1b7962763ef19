# SPDX-License-Identifier: GPL-2.0-or-later
"""What the ledger says equals what the events give, and what the kernel's own script makes of them."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from pageout.jit import INTERPRETED
from pageout.machine.simulate import Result
from pageout.vocabulary.scenario import Filesystem, Scenario, Task
from tests.events import postprocess
from tests.events.recording import Recording
from tests.machine.test_simulate import KIB, MIB, MS, US, S, file, io, machine, mixed, requests, scenario, traced

pytestmark = pytest.mark.skipif(INTERPRETED, reason="whole runs: compiled only")
KSWAPD = 32  # its pid


def bounded_storm(filesystem: str, swap_mib: int) -> Scenario:
    """A second of everything at once, then silence: at the end nobody is in the middle of anything."""
    return scenario(
        machine(32, swap_mib=swap_mib, cpus=4, filesystem=Filesystem(kind=filesystem)),  # type: ignore[arg-type]
        (file(64, "table"), file(1024, "image"), file(128, "stream")),
        io("randwrite", 64, "updater", of=0, norandommap=True, rate_bps=20 * MIB, runtime_ns=S, seed=7),
        io("read", 1024, "reader", of=1, bs_bytes=64 * KIB, rate_bps=200 * MIB, runtime_ns=S),
        io("write", 128, "writer", of=2, bs_bytes=128 * KIB, runtime_ns=S),
        Task(name="hog", kind="hog", anon_bytes=22 * MIB, rate_bps=60 * MIB, hold_ns=S),
        *(Task(name=f"selector{n}", kind="select", interval_ns=MS // 10, count=8000) for n in range(3)),
        Task(name="order2", kind="alloc", order=2, interval_ns=4 * MS, hold=32, count=250),
        prefill_bytes=32 * MIB,
        length_ns=60 * S,
    )


class Storm(NamedTuple):
    result: Result
    recording: Recording
    text: bytes
    filesystem: str


@pytest.fixture(scope="module", params=[("xfs", 0), ("xfs", 32), ("ext2", 0)], ids=["xfs", "xfs-swap", "ext2"])
def storm(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Storm:
    filesystem, swap_mib = request.param
    folder = tmp_path_factory.mktemp("storm")
    result, recording = traced(bounded_storm(filesystem, swap_mib), folder)
    assert result.metrics["alloc_stall_count"] > 20
    assert result.metrics["throttle_count"] > 0
    return Storm(result, recording, (folder / "trace.txt").read_bytes(), filesystem)


def by(recording: Recording, name: str, *, kswapd: bool) -> Any:
    """The events of kswapd, or those of everybody else."""
    events = recording.column(name)
    return events[(events["pid"] == KSWAPD) == kswapd]


def stalls(recording: Recording) -> Any:
    """Nanoseconds from each begin of a direct reclaim to the end that its task reaches next."""
    begins = recording.column("mm_vmscan_direct_reclaim_begin")
    ends = recording.column("mm_vmscan_direct_reclaim_end")
    assert len(begins) == len(ends)
    found = []
    for pid in np.unique(begins["pid"]):
        mine, over = begins[begins["pid"] == pid], ends[ends["pid"] == pid]
        assert (mine["line"] < over["line"]).all()
        assert (mine["line"][1:] > over["line"][:-1]).all()
        found.append(over["time_ns"] - mine["time_ns"])
    return np.concatenate(found)


def test_direct_reclaims_and_the_time_in_them(storm: Storm) -> None:
    took = stalls(storm.recording)
    metrics = storm.result.metrics

    assert metrics["alloc_stall_count"] == len(took)
    assert metrics["alloc_stall_count"] == storm.result.vmstat["allocstall"]
    assert metrics["alloc_stall_s"] == pytest.approx(took.sum() / S, abs=len(took) * US / S)
    slowest = np.sort(took)[int(0.99 * len(took))]
    assert metrics["alloc_stall_p99_us"] == pytest.approx(slowest / US, rel=0.13, abs=2)  # eight buckets an octave


def test_stalls_of_the_jobs_add_up(storm: Storm) -> None:
    jobs = storm.result.document()["jobs"]

    begins = storm.recording.column("mm_vmscan_direct_reclaim_begin")["pid"]
    by_threads = int((begins < 1000).sum())  # a flusher enters reclaim too, for the memory of XFS's transactions
    whole = storm.result.metrics
    assert sum(job["alloc_stall_count"] for job in jobs) + by_threads == whole["alloc_stall_count"]
    stalled = sum(job["alloc_stall_s"] for job in jobs)
    assert stalled <= whole["alloc_stall_s"] + 1e-5
    if by_threads == 0:
        assert stalled == pytest.approx(whole["alloc_stall_s"], abs=1e-5)
    assert [job["alloc_stall_count"] for job in jobs] == [int((begins == 1000 + n).sum()) for n in range(len(jobs))]


@pytest.mark.parametrize(("who", "kswapd"), [("direct", False), ("kswapd", True)])
def test_pages_scanned_and_reclaimed(who: str, kswapd: bool, storm: Storm) -> None:
    isolated = by(storm.recording, "mm_vmscan_lru_isolate", kswapd=kswapd)
    shrunk = by(storm.recording, "mm_vmscan_lru_shrink_inactive", kswapd=kswapd)
    metrics, vm = storm.result.metrics, storm.result.vmstat

    scanned = int(isolated["nr_scanned"][isolated["isolate_mode"] != 1].sum())
    assert metrics[f"scanned_{who}"] == scanned == int(shrunk["nr_scanned"].sum())
    assert metrics[f"reclaimed_{who}"] == int(shrunk["nr_reclaimed"].sum())
    assert scanned == sum(vm[name] for name in vm if name.startswith(f"pgscan_{who}"))


def test_pages_stolen_are_those_reclaimed(storm: Storm) -> None:
    vm, metrics = storm.result.vmstat, storm.result.metrics

    stolen = sum(vm[name] for name in vm if name.startswith("pgsteal"))
    assert stolen == metrics["reclaimed_direct"] + metrics["reclaimed_kswapd"]
    assert vm["kswapd_steal"] == metrics["reclaimed_kswapd"]
    ended = storm.recording.column("mm_vmscan_direct_reclaim_end")
    assert int(ended["nr_reclaimed"].sum()) == metrics["reclaimed_direct"]


def test_pauses_of_throttled_writers(storm: Storm) -> None:
    waits = storm.recording.column("balance_dirty_wait")
    metrics = storm.result.metrics
    jobs = storm.result.document()["jobs"]

    assert metrics["throttle_count"] == len(waits)
    assert metrics["throttle_slept_s"] >= metrics["throttle_s"] * 0.5
    for n, job in enumerate(jobs):
        assert (job["throttle_count"] or 0) == int((waits["pid"] == 1000 + n).sum())


def test_requests_and_seeks_of_the_device(storm: Storm) -> None:
    issued = storm.recording.column("block_rq_issue")
    device = storm.result.document()["devices"]["sda"]
    metrics = storm.result.metrics

    ends = np.concatenate(([0], issued["sector"][:-1] + issued["nr_sector"][:-1]))  # the head starts at 0
    jumps = np.abs(issued["sector"] - ends)
    assert device["seek_count"] == metrics["seek_count"] == int((jumps > 0).sum())
    assert metrics["seek_mean_mib"] == pytest.approx(jumps[jumps > 0].mean() * 512 / MIB, rel=1e-4)
    done, reads = requests(storm.recording, write=True), requests(storm.recording, write=False)
    assert metrics["write_requests"] == device["write_requests"] == len(done)
    assert device["read_requests"] == len(reads)
    assert metrics["mean_write_kib"] == pytest.approx(done["nr_sector"].mean() / 2, abs=0.001)
    assert len(issued) == len(done) + len(reads)


def test_time_the_device_was_busy(storm: Storm) -> None:
    issued = storm.recording.column("block_rq_issue")
    done = storm.recording.column("block_rq_complete")
    assert (issued["sector"] == done["sector"]).all()  # one at a time, in order

    busy = int((done["time_ns"] - issued["time_ns"]).sum()) / storm.result.now_ns

    assert storm.result.metrics["device_busy_share"] == pytest.approx(busy, abs=1e-4)


def test_every_page_written_was_submitted_by_somebody(storm: Storm) -> None:
    metrics, vm = storm.result.metrics, storm.result.vmstat

    assert vm["nr_writeback"] == 0
    submitted = sum(metrics[f"written_{who}"] for who in ("direct", "kswapd", "flusher", "writer"))
    xfs = storm.result.booted.arrays["xfs"][0]
    own = int(xfs["meta_writes"] + xfs["synced"] // 4096)  # the filesystem's metadata and its log
    assert (own > 0) == (storm.filesystem == "xfs")
    assert submitted == vm["nr_written"] == vm["pgpgout"] // 4 - own
    assert submitted + own == int(requests(storm.recording, write=True)["nr_sector"].sum()) // 8


def test_pages_reclaim_wrote(storm: Storm) -> None:
    metrics, vm = storm.result.metrics, storm.result.vmstat
    by_direct = len(by(storm.recording, "mm_vmscan_writepage", kswapd=False))
    by_kswapd = len(by(storm.recording, "mm_vmscan_writepage", kswapd=True))

    assert by_direct + by_kswapd == vm["nr_vmscan_write"] > 0  # of these XFS left some dirty
    refused = int(storm.result.booted.arrays["stat"]["reclaim_refused"][0])
    submitted = metrics["written_direct"], metrics["written_kswapd"]
    assert sum(submitted) + refused >= by_direct + by_kswapd
    assert all(pages + refused >= asked for pages, asked in zip(submitted, (by_direct, by_kswapd), strict=True))
    if storm.filesystem == "ext2":  # writepage is for one page there
        assert (submitted, refused) == ((by_direct, by_kswapd), 0)


def test_pages_the_flushers_wrote(storm: Storm) -> None:
    flusher = 200
    wrote = storm.recording.column("writeback_single_inode")
    calls = int(wrote["wrote"][wrote["pid"] == flusher].sum())
    totals = int(storm.recording.column("writeback_pages_written")["pages"].sum())

    assert totals == calls  # 2.6.34 counts calls of writepage, not the pages that went along
    assert storm.result.metrics["written_flusher"] >= calls > 0
    if storm.filesystem == "ext2":
        assert storm.result.metrics["written_flusher"] == calls


def test_dirty_levels_never_exceed_the_largest_reported(storm: Storm) -> None:
    state = storm.recording.column("global_dirty_state")
    metrics = storm.result.metrics

    assert state["dirty"].max() / 256 <= metrics["dirty_max_mib"] + 0.001
    assert (state["dirty"] + state["writeback"]).max() / 256 <= metrics["data_at_risk_max_mib"] + 0.001
    assert state["dirtied"].max() <= storm.result.vmstat["nr_dirtied"]
    assert max(storm.result.series["nr_dirty"]) / 256 <= metrics["dirty_max_mib"] + 0.001


def test_killed_tasks(storm: Storm) -> None:
    victims = storm.recording.column("mark_victim")["target_pid"].tolist()

    assert storm.result.metrics["oom_kills"] == len(victims)
    jobs = storm.result.document()["jobs"]
    assert [1000 + n for n, job in enumerate(jobs) if job["killed"]] == sorted(victims)


def test_the_trace_is_in_order_of_time_and_names_its_tasks(storm: Storm) -> None:
    records = storm.recording.records()

    assert (np.diff(records["time_ns"]) >= 0).all()
    assert storm.recording.comms[KSWAPD] == "kswapd0"
    assert storm.recording.comms[1000] == "updater"


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Any:
    try:
        return postprocess.find_script(tmp_path_factory.mktemp("script"))
    except postprocess.NoScript as reason:
        pytest.skip(str(reason))


def test_the_kernels_own_script_gives_the_ledgers_totals(script: Any, storm: Storm) -> None:
    summary, output = postprocess.run_script(*script, storm.text)
    metrics = storm.result.metrics

    assert "Failed to parse" not in output
    assert summary["Direct reclaims"] == metrics["alloc_stall_count"]
    assert summary["Time stalled direct reclaim"] == pytest.approx(metrics["alloc_stall_s"], abs=0.0051)
    for label, who in (("Direct reclaim", "direct"), ("Kswapd", "kswapd")):
        assert summary[f"{label} pages scanned"] == metrics[f"scanned_{who}"]
        assert summary[f"{label} pages reclaimed"] == metrics[f"reclaimed_{who}"]
    written = sum(number for label, number in summary.items() if " write " in label)
    assert written == storm.result.vmstat["nr_vmscan_write"]
    assert summary == pytest.approx(postprocess.postprocess_totals(storm.recording), abs=0.0051)


def test_a_full_trace_holds_the_decisions_and_each_page_besides(tmp_path: Path) -> None:
    what = mixed(3)
    (tmp_path / "d").mkdir()
    (tmp_path / "f").mkdir()

    few, decisions = traced(what, tmp_path / "d")
    many, full = traced(what, tmp_path / "f", events="full")

    assert few.metrics == many.metrics
    assert few.vmstat == many.vmstat
    for name, array in decisions.events.items():
        assert len(full.events[name]) == len(array)
    assert len(full.column("wbc_writepage")) > 0
    freed = len(full.column("mm_pagevec_free"))
    assert freed == many.metrics["reclaimed_direct"] + many.metrics["reclaimed_kswapd"]
