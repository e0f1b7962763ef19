# SPDX-License-Identifier: GPL-2.0-or-later
"""What other tasks write to other devices is found in a recording, and takes from the share of the one that matters."""

import msgspec
import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pageout.bundle.bundle import read_bundle
from pageout.bundle.levels import Levels
from pageout.jit import INTERPRETED
from pageout.twin.boxes import scenario_of
from pageout.twin.completions import Device
from pageout.twin.elsewhere import CALL_BYTES, SLOT_NS, activity_of
from pageout.twin.simulated import Run, run
from pageout.vocabulary.scenario import Disk, File, Filesystem, Machine, Task
from pageout.vocabulary.units import MIB
from pageout.workload.fio import read_fio
from tests.bundle.made import of_run

S = 10**9
JOB = "[global]\ndirectory=$DIR\nioengine=psync\nend_fsync=1\n[w]\nrw=write\nbs=64k\nsize=160m\n"
MACHINE = Machine(
    name="two disks", memory_bytes=512 * MIB, copy_mb_s=2000,
    disks=(
        Disk(name="sda", kind="throttled", write_bps=20 * MIB, read_bps=20 * MIB, queue_depth=32),
        Disk(name="sdb", kind="ssd", queue_depth=32),
    ),
    filesystem=Filesystem(name="main", kind="ext4", disk="sda"),
    more_filesystems=(Filesystem(name="root", kind="ext4", disk="sdb"),),
)  # fmt: skip
LIMITS = {
    "vm.dirty_ratio": 0,
    "vm.dirty_bytes": 32 * MIB,
    "vm.dirty_background_ratio": 0,
    "vm.dirty_background_bytes": 8 * MIB,
}


def device(name: str, at_s: list[float], nbytes: list[int]) -> Device:
    return Device(
        name, written_bytes=sum(nbytes), written_ns=(np.array(at_s) * S).astype(np.int64),
        written=np.array(nbytes, np.float64),
    )  # fmt: skip


def levels(at_s: list[float], others: list[float]) -> Levels:
    zero = np.zeros(len(at_s))
    return Levels((np.array(at_s) * S).astype(np.int64), zero, zero, np.array(others))


MAIN = device("7:0", [9.0], [100 * MIB])


@given(st.lists(st.tuples(st.floats(0.1, 9.9), st.integers(1, 64)), min_size=1, max_size=30), st.integers(0, 4096))
def test_what_was_written_and_what_is_held_more_at_the_end_is_what_was_dirtied(rows, held: int) -> None:
    rows.sort()
    other = device("8:0", [at for at, _ in rows], [mib * MIB for _, mib in rows])
    found = activity_of(levels([0, 10], [0, held]), {"7:0": MAIN, "8:0": other}, MAIN, 0, 10 * S)
    total = other.written_bytes + held * 4096

    if found is None:
        assert total < 4 * MIB
        return
    assert found.total_bytes == sum(phase.amount_bytes for phase in found.phases)
    assert total - CALL_BYTES < found.total_bytes <= total
    for phase in found.phases:  # no more by then than was written and held by the end of its quarter second
        so_far = sum(one.amount_bytes for one in found.phases if one.start_ns <= phase.start_ns)
        end = phase.start_ns + SLOT_NS
        assert so_far <= sum(mib * MIB for at, mib in rows if at * S <= end) + held * 4096 * end / (10 * S) + 4096


def test_what_stays_dirty_for_a_moment_was_waited_for_and_what_stays_for_long_was_not() -> None:
    at = [n / 10 for n in range(1, 100)]
    busy = device("8:0", at, [MIB] * 99)
    waited = activity_of(levels([0, 10], [256, 256]), {"8:0": busy}, MAIN, 0, 10 * S)
    left = activity_of(levels([0, 10], [0, 25600]), {"8:0": busy}, MAIN, 0, 10 * S)

    assert waited is not None
    assert left is not None
    assert waited.sync_bytes == 2 * MIB
    assert left.sync_bytes == 0


def test_too_little_and_what_the_device_itself_wrote_are_nothing() -> None:
    quiet = device("8:0", [1.0], [MIB])

    assert activity_of(levels([0, 10], [0, 0]), {"7:0": MAIN, "8:0": quiet}, MAIN, 0, 10 * S) is None
    assert activity_of(None, {"8:0": device("8:0", [1.0], [1 << 30])}, MAIN, 0, 10 * S) is None


@pytest.mark.skipif(INTERPRETED, reason="simulates seconds of two disks: interpreted, that takes minutes")
def test_a_recording_beside_which_packages_were_installed_is_simulated_with_that(tmp_path) -> None:
    """Made by the simulator itself: with the other writer left out, the share of the limit is another."""
    scenario = read_fio("job.fio", JOB, MACHINE, environ={})
    packages = Task(
        name="dpkg", rw="write", file=(len(scenario.files),), bs_bytes=65536, io_bytes=600 * MIB, rate_bps=100 * MIB,
        fsync_every=32, background=True, start_delay_ns=2 * S,
    )  # fmt: skip
    scenario = msgspec.structs.replace(
        scenario, name="beside", design="linux-6.18", settings=LIMITS, tasks=(*scenario.tasks, packages),
        files=(*scenario.files, File(name="packages", size_bytes=64 * MIB, exists=True, filesystem="root")),
    )  # fmt: skip
    ran = run(scenario, trace=tmp_path / "trace.txt")
    bundle = read_bundle(str(of_run(tmp_path / "b", ran, tmp_path / "trace.txt", scenario, JOB)))
    twin = scenario_of(bundle, design="linux-6.18")
    others = next(task for task in twin.scenario.tasks if task.name == "others")
    alone = msgspec.structs.replace(twin.scenario, tasks=tuple(t for t in twin.scenario.tasks if t is not others))
    real, found, without = (share_at_the_end(one) for one in (ran, run(twin.scenario), run(alone)))

    assert others.io_bytes == pytest.approx(written_to(ran, "8,16"), rel=0.1)
    assert others.fsync_every > 0
    assert found == pytest.approx(real, abs=0.1)
    assert without > real + 0.3


def written_to(ran: Run, dev: str) -> int:
    done = ran.evidence.events.frame("block_rq_complete").filter(pl.col("dev").cast(pl.String) == dev)
    return 512 * int(done["nr_sector"].cast(pl.Int64).sum())


def share_at_the_end(ran: Run) -> float:
    """The part of the setpoint that the main device has, over the last checks of its writer."""
    checks = ran.evidence.events.frame("balance_dirty_pages").filter(pl.col("bdi").cast(pl.String) == "8:0").tail(100)
    return float((checks["bdi_setpoint"].cast(pl.Float64) / checks["setpoint"].cast(pl.Float64)).median())
