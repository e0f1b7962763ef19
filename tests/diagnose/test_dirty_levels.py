# SPDX-License-Identifier: GPL-2.0-or-later
"""Dirty memory beside its limits."""

import pytest

from pageout.diagnose.findings import INFO, WARNING
from pageout.readers.facts import Moment
from tests.diagnose.build import findings, given, snapshot

LIMITS = {"nr_dirty_threshold": 400_000.0, "nr_dirty_background_threshold": 200_000.0}


@pytest.mark.parametrize(("dirty", "told"), [(320_000.0, True), (180_000.0, False), (20.0, False)])
def test_the_level_is_told_only_where_writers_are_slowed(dirty: float, told: bool) -> None:
    found = findings(given(snapshot("vmstat", LIMITS | {"nr_dirty": dirty, "nr_writeback": 0.0})))

    assert ("dirty-level-high" in found) == told


@pytest.mark.parametrize(("speed", "severity"), [(4_000.0, WARNING), (200_000.0, INFO)])
def test_a_device_s_own_bandwidth_says_how_long_its_sync_takes(speed: float, severity: str) -> None:
    stats = {"BdiWriteback": 100_000.0, "BdiReclaimable": 900_000.0, "BdiDirtyThresh": 2e6, "BdiWriteBandwidth": speed}
    found = findings(given(snapshot("bdi stats", stats, part="8:16")))["bdi-drain-time"]

    assert found.severity == severity
    assert found.title.startswith("device 8:16 has 977 MiB to write")
    assert bool(found.advice) == (severity == WARNING)


def test_two_snapshots_tell_of_now_and_not_of_the_past() -> None:
    first = {"allocstall_normal": 9e6, "pgsteal_direct": 9e8, "pgsteal_kswapd": 9e8, "pgscan_direct": 1e9}
    grown = {name: value + 40_000 for name, value in first.items()}
    facts = [Moment(1, 1e9), snapshot("vmstat", first, 2), Moment(20, 1e9 + 8), snapshot("vmstat", grown, 21, number=1)]
    found = findings(given(*facts))

    assert "in 8 s" in found["direct-reclaim-now"].title
    assert "direct-reclaim-dominates" not in found
