# SPDX-License-Identifier: GPL-2.0-or-later
"""What moved reclaim's writing about 2.6.16, in the directions that docs/explanation/before-2.6.16.md states."""

from functools import cache

import msgspec
import pytest

from pageout.jit import INTERPRETED
from pageout.machine.simulate import Result, simulate
from pageout.workload.program import load_scenario
from tests.conftest import ROOT
from tests.machine.test_design_directions import SEEDS, squeeze
from tests.machine.test_simulate import MIB, S

pytestmark = pytest.mark.skipif(INTERPRETED, reason="whole runs: compiled only")
MEMORY = 4288 * MIB  # 192 MiB above 4 GiB, less the kernel


@cache
def two_zones(design: str, length_s: int) -> Result:
    what = load_scenario(ROOT / "examples" / "two-zones.toml", seed=1)
    box = msgspec.structs.replace(what.machine, memory_bytes=MEMORY)
    return simulate(
        msgspec.structs.replace(what, machine=box, design=design, length_ns=length_s * S, prefill_bytes=MEMORY)
    )


def written_by_reclaim(result: Result) -> float:
    return result.metrics["written_direct"] + result.metrics["written_kswapd"]


def test_a_zone_of_its_own_below_4_gib_makes_reclaim_write() -> None:
    before, after = two_zones("linux-2.6.14", 8), two_zones("linux-2.6.15", 8)

    assert len(before.booted.arrays["zone"]) == 2
    assert len(after.booted.arrays["zone"]) == 3
    assert written_by_reclaim(before) == 0
    assert written_by_reclaim(after) > 1000


def test_without_memory_above_4_gib_the_zone_changes_no_byte() -> None:
    before, after = (
        simulate(msgspec.structs.replace(squeeze(), design=design)) for design in ("linux-2.6.14", "linux-2.6.15")
    )

    assert before.digest == after.digest
    assert written_by_reclaim(before) > 0


def test_scans_that_go_on_after_32_pages_make_fewer_direct_reclaims_as_tosatti_measured() -> None:
    """2.6.14 with and without the early end: allocstall 636 and 90."""
    early, late = (
        [simulate(msgspec.structs.replace(squeeze(seed), choices={"reclaim.bail": bail})) for seed in SEEDS]
        for bail in ("batch", "never")
    )

    stalls = [sum(result.vmstat["allocstall"] for result in results) for results in (early, late)]
    assert stalls[1] < 0.9 * stalls[0]


def test_older_kernels_let_more_of_the_limit_become_dirty_before_they_hold_a_writer() -> None:
    levels = [two_zones(design, 8).metrics["dirty_max_mib"] for design in ("linux-2.6.34", "linux-2.6.14")]

    assert levels[1] > levels[0] * 1.2
