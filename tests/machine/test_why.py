# SPDX-License-Identifier: GPL-2.0-or-later
"""Causes planted in a workload are found again: why reclaim wrote, why tasks had to reclaim."""

from typing import Any

import pytest

from pageout.jit import INTERPRETED
from pageout.machine.simulate import simulate
from pageout.vocabulary.scenario import Scenario, Task
from tests.machine.test_designs import storm
from tests.machine.test_simulate import GIB, KIB, MIB, S, file, io, machine, scenario

pytestmark = pytest.mark.skipif(INTERPRETED, reason="whole runs: compiled only")
LATE_LIMITS = {"vm.dirty_background_ratio": 5, "vm.dirty_ratio": 80}


def hog(mib: int) -> Task:
    return Task(name="hog", kind="hog", anon_bytes=mib * MIB, rate_bps=30 * MIB, hold_ns=600 * S, background=True)


def small_zone() -> Scenario:
    """The small upper zone is filled with dirty pages first; then a reader fills the rest of memory."""
    disk = {"size_bytes": 16 * GIB, "kind": "throttled", "read_bps": 4 * GIB, "write_bps": 40 * MIB}
    return scenario(
        machine(4288, cpus=4, **disk),
        (file(110, "table"), file(8000, "image")),
        io("randwrite", 110, "writer", norandommap=True),
        io("read", 8000, "reader", of=1, bs_bytes=128 * KIB),
        length_ns=6 * S,
    )


def high_threshold() -> Scenario:
    """The background threshold is larger than memory."""
    return scenario(
        machine(64),
        (file(256, "table"), file(2000, "image")),
        io("randwrite", 64, "writer", norandommap=True, rate_bps=10 * MIB),
        io("read", 2000, "reader", of=1, bs_bytes=64 * KIB, rate_bps=100 * MIB),
        prefill_bytes=64 * MIB,
        length_ns=4 * S,
        settings={"vm.dirty_background_bytes": 512 * MIB, "vm.dirty_bytes": 1024 * MIB},
    )


def _files(count: int, mib: int, writer: Task, *more: Task, seconds: int, **settings: int) -> Scenario:
    return scenario(
        machine(128),
        (*(file(mib, f"f{i}") for i in range(count)), file(4000, "image"), file(400, "log")),
        writer,
        *more,
        prefill_bytes=128 * MIB,
        length_ns=seconds * S,
        settings=LATE_LIMITS | settings,
    )


def _random(files: int, rate_mib: int) -> Task:
    return Task(
        name="writer", rw="randwrite", bs_bytes=4096, file=tuple(range(files)), io_bytes=400 * MIB, norandommap=True,
        rate_bps=rate_mib * MIB,
    )  # fmt: skip


def _reader(of: int, rate_mib: int) -> Task:
    return io("read", 4000, "reader", of=of, bs_bytes=64 * KIB, rate_bps=rate_mib * MIB)


def many_files() -> Scenario:
    """A hundred files dirtied all at once: the flusher serves one after the other."""
    return _files(100, 4, _random(100, 6), _reader(100, 20), hog(60), seconds=20)


def one_file() -> Scenario:
    """One large file dirtied at random: the flusher goes through it by index, reclaim by age."""
    return _files(1, 512, _random(1, 8), _reader(1, 40), hog(60), seconds=20)


def stamped_anew() -> Scenario:
    """A few files dirtied without pause and looked at by the flusher five times a second: their stamps stay young."""
    log = io("write", 400, "logger", of=4, rate_bps=2 * MIB)
    settings = {"vm.dirty_writeback_centisecs": 20}
    return _files(3, 32, _random(3, 3), log, _reader(3, 12), hog(30), seconds=30, **settings)


@pytest.mark.parametrize(
    ("cause", "plant"),
    [
        ("zone", small_zone),
        ("background", high_threshold),
        ("inode-queue", many_files),
        ("file-order", one_file),
        ("inode-age", stamped_anew),
    ],
)
def test_a_planted_cause_is_the_first_one_found(cause: str, plant: Any) -> None:
    writes = simulate(plant()).why["writes"]

    assert writes["total"] > 20
    assert writes["causes"][0]["cause"] == cause
    assert writes["causes"][0]["share"] > 0.5
    (first, *_) = writes["causes"][0]["examples"]
    assert first["dirty_ms"] > 0


def test_every_page_and_every_direct_reclaim_has_one_cause() -> None:
    result = simulate(storm())

    why = result.why
    for table in (why["writes"], why["direct_reclaims"]):
        assert table["total"] == sum(row["count"] for row in table["causes"]) > 0
        assert sum(row["share"] for row in table["causes"]) == pytest.approx(1)
    assert why["direct_reclaims"]["total"] == result.metrics["alloc_stall_count"] == result.vmstat["allocstall"]
    file_pages = sum(row["count"] for row in why["writes"]["causes"] if row["cause"] != "swap")
    assert sum(row["pages"] for row in why["ages"]) == file_pages


def test_nothing_reclaimed_has_no_shares() -> None:
    why = simulate(scenario(machine(64), (file(1),), io("write", 1))).why

    assert why["writes"] == why["direct_reclaims"] == {"total": 0, "causes": []}
    assert set(why["facts"].values()) == {None}
