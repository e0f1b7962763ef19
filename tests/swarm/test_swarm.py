# SPDX-License-Identifier: GPL-2.0-or-later
"""Random scenarios with all checkers on: nothing may break, and once writers rest everything must become clean."""

import os

import pytest

from pageout.jit import INTERPRETED
from tests.swarm.draw import draw

SEEDS = range(int(os.environ.get("PAGEOUT_SWARM_FROM", "0")), int(os.environ.get("PAGEOUT_SWARM_TO", "24")))
pytestmark = pytest.mark.skipif(INTERPRETED, reason="minutes of simulated time: compiled only")


@pytest.mark.parametrize("seed", SEEDS)
def test_a_drawn_machine_keeps_its_invariants_and_is_clean_after_a_rest(seed: int) -> None:
    from pageout.machine.simulate import simulate

    result = simulate(draw(seed), check=2000)

    assert result.ending in ("length", "panic: out of memory and no killable processes")
    if result.ending == "length":
        left_alone = all(not job["killed"] for job in result.document()["jobs"])
        busy = result.vmstat["nr_writeback"]
        assert busy == 0
        assert result.vmstat["nr_dirty"] == 0 or not left_alone
