# SPDX-License-Identifier: GPL-2.0-or-later
"""Causes planted in a workload are found again: why reclaim wrote, why tasks had to reclaim."""

from typing import Any

import msgspec
import pytest

from pageout.jit import INTERPRETED
from pageout.machine.simulate import simulate
from pageout.vocabulary.scenario import Filesystem, Scenario, Task
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
    log = io("write", 400, "logger", of=7, rate_bps=MIB)
    settings = {"vm.dirty_writeback_centisecs": 20}
    return _files(6, 64, _random(6, 4), log, _reader(6, 40), hog(70), seconds=30, **settings)


@pytest.mark.parametrize(
    ("cause", "plant", "share"),
    [
        ("zone", small_zone, 0.5),
        ("background", high_threshold, 0.5),
        ("inode-queue", many_files, 0.5),
        ("file-order", one_file, 0.5),
        ("inode-age", stamped_anew, 0.35),
    ],
)
def test_a_planted_cause_is_the_first_one_found(cause: str, plant: Any, share: float) -> None:
    writes = simulate(plant()).why["writes"]

    wanted = [row for row in writes["causes"] if row["cause"] not in ("swap", "clustered")]
    pages = sum(row["count"] for row in wanted)
    assert pages > 20
    assert wanted[0]["cause"] == cause
    assert wanted[0]["count"] > share * pages
    (first, *_) = wanted[0]["examples"]
    assert first["dirty_ms"] > 0


def test_every_page_and_every_direct_reclaim_has_one_cause() -> None:
    result = simulate(storm())

    why = result.why
    for table in (why["writes"], why["direct_reclaims"]):
        assert table["total"] == sum(row["count"] for row in table["causes"]) > 0
        assert sum(row["share"] for row in table["causes"]) == pytest.approx(1)
    assert why["direct_reclaims"]["total"] == result.metrics["alloc_stall_count"] == result.vmstat["allocstall"]
    file_pages = sum(row["count"] for row in why["writes"]["causes"] if row["cause"] not in ("swap", "clustered"))
    assert sum(row["pages"] for row in why["ages"]) == file_pages


@pytest.mark.parametrize("kind", ["xfs", "ext4", "ext2", "btrfs"])
def test_causes_are_of_all_that_reclaim_wrote_and_of_nothing_that_was_refused(kind: str) -> None:
    what = storm()
    on = msgspec.structs.replace(what.machine, filesystem=Filesystem(kind=kind))  # type: ignore[arg-type]
    result = simulate(msgspec.structs.replace(what, machine=on))

    why, metrics = result.why, result.metrics
    written = metrics["written_direct"] + metrics["written_kswapd"]
    assert why["writes"]["total"] == written
    assert written > 0 or kind == "btrfs"  # it never writes for reclaim
    # ext4 allocates for nobody but its own writepages, XFS not while the inode is locked
    assert (why["refused"] > 0) == (kind != "ext2")
    by_cause = {row["cause"]: row["count"] for row in why["writes"]["causes"]}
    assert "clustered" not in by_cause or kind == "xfs"


def test_pages_that_go_along_with_one_that_reclaim_wants_have_a_cause_of_their_own() -> None:
    """A file written in order lies in order: XFS takes its neighbours along, up to four times reclaim's 32."""
    result = simulate(
        scenario(
            machine(64),
            (file(512, "log"), file(2000, "image")),
            io("write", 512, "writer", rate_bps=40 * MIB),
            io("read", 2000, "reader", of=1, bs_bytes=64 * KIB, rate_bps=400 * MIB),
            prefill_bytes=64 * MIB,
            length_ns=6 * S,
            settings={"vm.dirty_background_bytes": 512 * MIB, "vm.dirty_bytes": 1024 * MIB},
        )
    )
    by_cause = {row["cause"]: row for row in result.why["writes"]["causes"]}
    wanted = sum(row["count"] for cause, row in by_cause.items() if cause not in ("swap", "clustered"))

    assert wanted < by_cause["clustered"]["count"] <= 127 * wanted
    assert (by_cause["clustered"]["mean_ms"], by_cause["clustered"]["examples"]) == (None, [])


def test_nothing_reclaimed_has_no_shares() -> None:
    why = simulate(scenario(machine(64), (file(1),), io("write", 1))).why

    assert why["writes"] == why["direct_reclaims"] == {"total": 0, "causes": []}
    assert set(why["facts"].values()) == {None}
