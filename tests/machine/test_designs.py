# SPDX-License-Identifier: GPL-2.0-or-later
"""A design is data: without its choice points nothing changes, at them only what it says."""

from pathlib import Path

import msgspec
import pytest

from pageout.jit import INTERPRETED
from pageout.machine.simulate import Result, simulate
from pageout.readers.read import read_input
from pageout.validate.oracle import judge_throttling, settings_of
from pageout.vocabulary.scenario import Scenario, Task
from pageout.vocabulary.settings import DESIGNS
from pageout.vocabulary.tracepoints import REASONS, RECLAIM_WB_FILE
from tests.events.recording import Recording
from tests.machine.test_simulate import KIB, MIB, MS, S, file, io, machine, scenario, traced

pytestmark = pytest.mark.skipif(INTERPRETED, reason="whole runs: compiled only")
KSWAPD = 32  # its pid


def storm(seed: int = 1, memory_mib: int = 32, hog_tenths: int = 6, **disk: object) -> Scenario:
    """New pages dirtied at random, a reader that turns the cache over, a hog, and small allocations."""
    return scenario(
        machine(memory_mib, cpus=4, **disk),
        (file(64, "table"), file(1024, "image"), file(256, "stream")),
        io("randwrite", 64, "updater", of=0, norandommap=True, rate_bps=20 * MIB, time_based=True,
           runtime_ns=S, seed=seed),
        io("read", 1024, "reader", of=1, bs_bytes=64 * KIB, rate_bps=200 * MIB, background=True),
        io("write", 256, "writer", of=2, bs_bytes=128 * KIB, background=True),
        Task(name="hog", kind="hog", anon_bytes=memory_mib * MIB * hog_tenths // 10, rate_bps=60 * MIB, hold_ns=60 * S,
             background=True),
        *(Task(name=f"selector{n}", kind="select", interval_ns=MS // 10, background=True) for n in range(4)),
        Task(name="netrx", kind="alloc", interval_ns=MS, hold=128, background=True),
        Task(name="forker", kind="fork", interval_ns=10 * MS, lifetime_ns=100 * MS, background=True),
        prefill_bytes=memory_mib * MIB,
        length_ns=S,
        seed=seed,
    )  # fmt: skip


def under(design: str, what: Scenario) -> Scenario:
    return msgspec.structs.replace(what, design=design)


# Designs that work out a device's bandwidth from the first page on: their state is never that of linux-2.6.34.
RECKONING = {"ioless-throttle", "linux-6.1", "linux-6.12", "linux-6.18"}


def calm(design: str) -> Scenario:
    """Plenty of memory: nobody reclaims, nobody is throttled. Only of stacks a fork or select() is a choice point."""
    others = (
        Task(name="s", kind="select", interval_ns=MS, count=50),
        Task(name="f", kind="fork", interval_ns=MS, lifetime_ns=10 * MS, count=50),
    )
    mover = io("randwrite", 4, "w", end_fsync=True, seed=3)
    in_bytes = {"vm.dirty_bytes": 64 * MIB, "vm.dirty_background_bytes": 32 * MIB}  # what ratios are of is no matter
    return scenario(machine(128), (file(4),), mover, *(() if design.startswith("stack-") else others),
                    settings=in_bytes)  # fmt: skip


def file_pages_written_by_direct_reclaim(recording: Recording) -> int:
    """How often direct reclaim has called a filesystem's writepage."""
    events = recording.column("mm_vmscan_writepage")
    return int(((events["flags"] & RECLAIM_WB_FILE != 0) & (events["pid"] != KSWAPD)).sum())


@pytest.mark.parametrize("design", sorted(DESIGNS.keys() - RECKONING))
def test_a_design_whose_choice_points_are_never_reached_changes_no_byte(design: str, tmp_path: Path) -> None:
    texts, digests = [], []
    for n, name in enumerate(("linux-2.6.34", design)):
        result = simulate(under(name, calm(design)), trace=tmp_path / f"{n}.txt", events="full")
        texts.append((tmp_path / f"{n}.txt").read_bytes())
        digests.append(result.digest)
        assert result.metrics["alloc_stall_count"] == result.metrics["throttle_count"] == 0

    assert len(texts[0]) > 10_000
    assert texts[0] == texts[1]
    assert digests[0] == digests[1]


@pytest.mark.parametrize("design", DESIGNS)
def test_each_design_survives_the_storm_with_all_its_checks(design: str) -> None:
    result = simulate(under(design, storm()), check=2000)

    assert result.ending == "length"
    assert result.metrics["alloc_stall_count"] > 100
    assert result.metrics["written_flusher"] > 0


def test_direct_reclaim_of_linux_writes_file_pages_in_the_storm(tmp_path: Path) -> None:
    result, recording = traced(storm(), tmp_path)

    refused = int(result.booted.arrays["stat"]["reclaim_refused"][0])
    assert result.metrics["written_direct"] > 10
    assert result.metrics["written_direct"] + refused >= file_pages_written_by_direct_reclaim(recording) > 10


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("design", ["no-direct-writeback", "flushers-only"])
def test_these_designs_never_enter_writepage_from_direct_reclaim(design: str, seed: int, tmp_path: Path) -> None:
    result, recording = traced(under(design, storm(seed)), tmp_path)

    assert result.metrics["alloc_stall_count"] > 100
    assert result.metrics["written_direct"] == 0
    assert file_pages_written_by_direct_reclaim(recording) == 0
    assert not recording.column("mm_vmscan_direct_reclaim_begin")["may_writepage"].any()


def test_flushers_only_still_swaps_from_direct_reclaim() -> None:
    what = storm(hog_tenths=7)
    with_swap = msgspec.structs.replace(what.machine, swap_bytes=64 * MIB, swap_disk="sda")

    result = simulate(under("flushers-only", msgspec.structs.replace(what, machine=with_swap)))

    assert result.vmstat["pswpout"] > 0
    assert result.metrics["written_direct"] + result.metrics["written_kswapd"] >= result.vmstat["pswpout"]


def test_a_design_that_forbids_all_writing_from_reclaim_leaves_file_pages_to_the_flushers(tmp_path: Path) -> None:
    never = msgspec.structs.replace(storm(), choices={"reclaim.writeback": "never"})

    result, recording = traced(never, tmp_path)

    assert result.metrics["written_direct"] == result.metrics["written_kswapd"] == 0
    assert len(recording.column("mm_vmscan_writepage")) == 0


def test_flushers_only_waits_for_congestion_where_linux_writes() -> None:
    waits = [
        int(simulate(under(design, storm())).booted.arrays["task"]["congestion_ns"].sum())
        for design in ("linux-2.6.34", "flushers-only")
    ]

    assert waits[1] > waits[0]


def steady(design: str) -> Result:
    """A writer four times as fast as its device, for long enough to be held back."""
    slow = machine(128, kind="throttled", write_bps=20 * MIB)
    return simulate(under(design, scenario(slow, (file(64),), io("write", 64, bs_bytes=64 * KIB))))


def test_throttle_earlier_keeps_less_dirty_in_memory() -> None:
    linux, earlier = steady("linux-2.6.34").metrics, steady("throttle-earlier").metrics

    assert linux["throttle_count"] > 0
    assert earlier["throttle_count"] > 0
    assert earlier["data_at_risk_max_mib"] < 0.9 * linux["data_at_risk_max_mib"]
    assert earlier["dirty_writeback_mean_mib"] < 0.8 * linux["dirty_writeback_mean_mib"]


def test_throttle_earlier_holds_writers_from_the_background_level_and_linux_from_the_midpoint() -> None:
    background, limit = 4 * MIB, 16 * MIB
    settings = {"vm.dirty_bytes": limit, "vm.dirty_background_bytes": background}
    slow = machine(128, kind="throttled", write_bps=MIB, nr_requests=4, max_sectors_kb=64)  # little fits the queue
    what = scenario(slow, (file(64),), io("write", 64, bs_bytes=64 * KIB), settings=settings, length_ns=2 * S)

    runs = {design: simulate(under(design, what)).metrics for design in ("linux-2.6.34", "throttle-earlier")}

    levels = {design: metrics["data_at_risk_max_mib"] for design, metrics in runs.items()}
    assert runs["throttle-earlier"]["dirty_max_mib"] < runs["linux-2.6.34"]["dirty_max_mib"] - 4
    between_checks = 128 / 64 * 1.0  # MiB a task may dirty before it looks: memory / (32 * CPUs)
    assert (4 + 16) / 2 - 0.1 <= levels["linux-2.6.34"] <= (4 + 16) / 2 + between_checks
    assert 4 - 0.1 <= levels["throttle-earlier"] <= 4 + between_checks


@pytest.mark.parametrize(("stack", "order"), [(4096, 0), (8192, 1), (16384, 2), (65536, 4)])
def test_a_fork_asks_for_the_order_its_stack_needs(stack: int, order: int, tmp_path: Path) -> None:
    what = scenario(
        machine(64), (file(1),), Task(name="f", kind="fork", interval_ns=MS, lifetime_ns=S, count=20),
        choices={"stack.bytes": stack},
    )  # fmt: skip

    result, recording = traced(what, tmp_path, events="full")

    assert result.metrics["stack_memory_mib"] == pytest.approx(20 * stack / MIB, abs=0.001)
    assert result.metrics["highorder_attempts"] == (20 if order else 0)
    assert not recording.column("mm_vmscan_direct_reclaim_begin").size
    assert int(result.booted.arrays["param"]["stack_order"][0]) == order


def test_held_by_pauses_no_writer_writes_and_every_number_printed_is_the_arithmetic_s(tmp_path: Path) -> None:
    slow = machine(128, kind="throttled", write_bps=20 * MIB)
    what = scenario(slow, (file(64, "a"), file(64, "b")), io("write", 64, "one", bs_bytes=64 * KIB),
                    io("write", 64, "two", of=1, bs_bytes=64 * KIB))  # fmt: skip

    result = simulate(under("ioless-throttle", what), trace=tmp_path / "trace.txt", check=5000)
    found = judge_throttling(read_input(str(tmp_path / "trace.txt")).events, settings_of("6.1", 250, {}))

    assert result.metrics["written_writer"] == 0
    assert result.metrics["throttle_count"] > 50
    assert found["position"].judged > 50
    assert {kind: one.share for kind, one in found.items()} == dict.fromkeys(found, 1.0)


@pytest.mark.parametrize("kernel", ["6.1", "6.18"])
def test_a_design_named_for_a_kernel_prints_what_that_kernel_prints(kernel: str, tmp_path: Path) -> None:
    slow = machine(128, kind="throttled", write_bps=20 * MIB)
    what = scenario(slow, (file(64),), io("write", 64, "one", bs_bytes=64 * KIB))

    result = simulate(under(f"linux-{kernel}", what), trace=tmp_path / "trace.txt")
    text = (tmp_path / "trace.txt").read_text()
    found = read_input(str(tmp_path / "trace.txt"))
    judged = judge_throttling(found.events, settings_of(kernel, 250, {}))

    assert result.document()["kernel"] == kernel
    assert found.account.unread == 0
    assert not found.events.other_names()
    assert f"entries-written: {found.account.events}/{found.account.events}   #P:" in text
    assert {kind: one.share for kind, one in judged.items()} == dict.fromkeys(judged, 1.0)
    assert {"background"} <= set(found.events.frame("writeback_start")["reason"].to_list()) <= set(REASONS)
    assert ("wb_setpoint=" in text, "bdi_setpoint=" in text) == (kernel == "6.18", kernel == "6.1")
    assert " flush-8:0" not in text


def test_equal_writers_get_equal_shares_and_stay_below_the_limit() -> None:
    slow = machine(128, kind="throttled", write_bps=20 * MIB)
    names = ("one", "two", "three")
    what = scenario(slow, tuple(file(256, name) for name in names),
                    *(io("write", 256, name, of=n, bs_bytes=64 * KIB) for n, name in enumerate(names)),
                    settings={"vm.dirty_bytes": 16 * MIB, "vm.dirty_background_bytes": 8 * MIB}, length_ns=8 * S)  # fmt: skip

    result = simulate(under("ioless-throttle", what))

    first = result.first_task
    written = result.booted.arrays["task"]["bytes_written"][first : first + len(names)].tolist()
    assert max(written) < 1.25 * min(written)
    between_checks = 3 * 256 * 4 * KIB / MIB  # pages each may dirty before it looks again
    assert result.metrics["data_at_risk_max_mib"] < 16 + between_checks
