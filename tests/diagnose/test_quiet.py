# SPDX-License-Identifier: GPL-2.0-or-later
"""What is said where nothing is wrong: never an alarm, never beside a finding."""

import pytest
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st

from pageout.diagnose.findings import ERROR, INFO, WARNING
from tests.diagnose.build import findings, given, snapshot, sysctls


def pressure(resource: str, part: str, percent: float, line: int = 1) -> object:
    values = {"avg10": percent, "avg60": percent, "avg300": percent, "total": 1e9}
    return snapshot(f"pressure {resource}", values, line, part=part)


def test_little_pressure_clears_what_it_measures_and_no_more() -> None:
    found = findings(given(pressure("io", "some", 1.1)))  # type: ignore[arg-type]

    assert found["pressure-low"].severity == INFO
    assert found["pressure-low"].is_not == ("waiting for io, in the last minutes",)


@pytest.mark.parametrize(("resource", "part", "severity"), [("memory", "full", ERROR), ("memory", "some", WARNING), ("io", "full", WARNING)])  # fmt: skip
def test_only_memory_that_stops_all_tasks_is_an_error(resource: str, part: str, severity: str) -> None:
    found = findings(given(pressure(resource, part, 98.5)))  # type: ignore[arg-type]

    assert found["pressure"].severity == severity
    assert len(found["pressure"].title) < 110


def test_settings_are_explained_with_what_they_cost() -> None:
    found = findings(given(*sysctls([("vm.dirty_background_ratio", 5), ("vm.dirty_ratio", 40)])))

    assert set(found) == {"sysctl-meaning"}
    assert "a disk of 150 MB/s writes that in" in found["sysctl-meaning"].detail


def test_half_a_pair_of_limits_is_not_called_free_of_contradiction() -> None:
    found = findings(given(*sysctls([("vm.dirty_ratio", 40)])))

    assert "contradict" not in found["sysctl-meaning"].title


def test_a_limit_at_the_kernel_s_own_background_threshold_is_told() -> None:
    found = findings(given(*sysctls([("vm.dirty_ratio", 10), ("vm.dirty_expire_centisecs", 500)])))

    assert found["sysctl-background-above-limit"].confidence == "medium"


@pytest.mark.parametrize("name", ["dirty_writeback_centisecs", "dirty_expire_centisecs"])
def test_an_hour_until_old_pages_are_written_is_told(name: str) -> None:
    assert "60 min" in findings(given(*sysctls([(f"vm.{name}", 360_000)])))["sysctl-late-writeback"].title


def test_reclaim_by_kswapd_alone_is_calm_history() -> None:
    totals = {"pgsteal_kswapd_normal": 4e6, "pgsteal_kswapd_dma32": 1e5, "pgsteal_direct_normal": 0.0}
    found = findings(given(snapshot("vmstat", totals)))

    assert set(found) == {"reclaim-history-calm"}
    assert "since boot" in found["reclaim-history-calm"].title


KIB = st.integers(0, 1 << 33)


@settings(deadline=None, max_examples=60)
@drawn(st.fixed_dictionaries({}, optional=dict.fromkeys(("MemTotal", "MemFree", "MemAvailable", "Cached", "AnonPages", "Slab", "SReclaimable", "SUnreclaim", "Shmem", "HugePages_Total", "HugePages_Free", "HugePages_Rsvd", "Hugepagesize", "PageTables", "KernelStack", "SwapTotal", "SwapFree", "Dirty", "Writeback"), KIB)))  # fmt: skip
def test_no_meminfo_makes_it_fail_or_print_what_cannot_be(values: dict[str, int]) -> None:
    found = findings(given(snapshot("meminfo", {name: float(number) for name, number in values.items()})))

    assert found
    for finding in found.values():
        assert "nan" not in finding.title
        assert "? %" not in finding.title
        assert finding.severity != ERROR
