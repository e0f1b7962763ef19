# SPDX-License-Identifier: GPL-2.0-or-later
"""What lies between the first and the last of many snapshots."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import pytest
from hypothesis import given as over
from hypothesis import strategies as st

from pageout.diagnose.findings import ERROR, INFO, WARNING
from pageout.diagnose.series import Series, stretches
from pageout.readers.facts import Fact, Moment
from tests.diagnose.build import findings, given, snapshot, sysctls

LIMITS = {"nr_dirty_threshold": 400_000.0, "nr_dirty_background_threshold": 200_000.0}


def looked(source: str, rows: Sequence[Mapping[str, float]], dated: bool = True) -> list[Fact]:
    """A snapshot a second."""
    facts: list[Fact] = []
    for number, row in enumerate(rows):
        if dated:
            facts.append(Moment(1 + 20 * number, 1e9 + number))
        facts.append(snapshot(source, dict(row), 2 + 20 * number, number=number))
    return facts


def pages(dirty: float, under: float, written: float) -> dict[str, float]:
    return LIMITS | {"nr_dirty": dirty, "nr_writeback": under, "nr_written": written}


@over(st.lists(st.booleans(), max_size=20))
def test_stretches_are_where_it_holds_and_nowhere_else(holds: list[bool]) -> None:
    found = list(stretches(holds))

    assert [at for one in found for at in range(one.first, one.last + 1)] == [at for at, one in enumerate(holds) if one]
    assert all(before.last + 1 < after.first for before, after in pairwise(found))


@pytest.mark.parametrize("at_end", [100.0, 390_000.0])
def test_a_limit_met_in_between_is_found_wherever_the_level_ends(at_end: float) -> None:
    levels = [100.0, 150_000.0, 350_000.0, 380_000.0, at_end]
    found = findings(given(*looked("vmstat", [pages(level, 0, 100 * n) for n, level in enumerate(levels)])))

    finding = found["dirty-level-high-at-times"]
    assert finding.severity == WARNING
    assert f"{3 if at_end > 300_000 else 2} of 5 snapshots" in finding.title
    assert "dirty-level-high" not in found
    assert not any("the dirty limits" in text for one in found.values() for text in one.is_not)


@pytest.mark.parametrize(("stated", "told"), [(True, "dirty-level-high-at-times"), (False, "dirty-over-time")])
def test_meminfo_says_whether_a_limit_was_met_only_where_the_settings_are_known(stated: bool, told: str) -> None:
    rows = [{"Dirty": kib, "Writeback": 0.0, "MemAvailable": 8e6, "MemTotal": 16e6} for kib in (1e3, 2e6, 1e3)]
    facts = looked("meminfo", rows) + (list(sysctls([("vm.dirty_bytes", 2 << 30)], 500)) if stated else [])

    assert told in findings(given(*facts))


def test_a_level_that_rose_and_fell_is_told_with_its_speed() -> None:
    rows = [{"Dirty": kib, "Writeback": under} for kib, under in ((1e4, 0.0), (1e6, 0.0), (5e5, 1e5), (2e4, 0.0))]
    finding = findings(given(*looked("meminfo", rows)))["dirty-over-time"]

    assert finding.severity == INFO
    assert "between 9.77 MiB and 977 MiB" in finding.title
    assert "It rose for 1 s" in finding.detail
    assert "by 479 MiB/s" in finding.detail
    assert "Nothing was under writeback while it rose" in finding.detail


@pytest.mark.parametrize(("seconds", "told"), [(3, False), (6, True)])
def test_a_while_without_a_page_written_is_found_between_moving_counters(seconds: int, told: bool) -> None:
    written = [1e3, 2e3] + [3e3] * (seconds + 1) + [4e3, 5e3] * 3
    found = findings(given(*looked("vmstat", [pages(50_000, 2_000, number) for number in written])))

    assert ("writeback-stood-still" in found) == told
    if told:
        assert found["writeback-stood-still"].severity == ERROR
        assert f"for {seconds} s" in found["writeback-stood-still"].title


def test_an_idle_machine_s_counter_that_is_a_little_off_is_no_stall() -> None:
    written = [1e3] + [3e3] * 20 + [4e3]
    found = findings(given(*looked("vmstat", [pages(20, 3, number) for number in written])))

    assert "writeback-stood-still" not in found


@pytest.mark.parametrize(("busy", "told"), [(range(4, 7), "direct-reclaim-burst"), (range(20), "direct-reclaim-now")])
def test_reclaim_in_a_part_of_the_time_is_told_as_a_burst(busy: range, told: str) -> None:
    rows, stalls = [], 1000.0
    for number in range(20):
        stalls += 500 if number in busy else 0
        rows.append({"allocstall_normal": stalls, "pgsteal_direct": 30 * stalls, "pgsteal_kswapd": 20 * stalls})
    found = findings(given(*looked("vmstat", rows)))

    assert told in found
    assert len({"direct-reclaim-burst", "direct-reclaim-now"} & found.keys()) == 1


def test_a_meminfo_of_another_moment_clears_nothing_that_vmstat_leaves_open() -> None:
    facts = looked("vmstat", [pages(level, 0, 100) for level in (10.0, 200_000.0, 10.0)])
    quiet = snapshot("meminfo", {"MemTotal": 16e6, "MemAvailable": 15e6, "Dirty": 80.0, "Writeback": 0.0}, 500)
    found = findings(given(*facts, quiet))

    assert not any("the dirty limits" in text for one in found.values() for text in one.is_not)


def test_memory_that_was_low_for_a_while_is_not_memory_at_ease() -> None:
    rows = [{"MemTotal": 16e6, "MemFree": 1e5, "MemAvailable": left} for left in (8e6, 3e5, 2e5, 8e6)]
    found = findings(given(*looked("meminfo", rows)))

    assert "memory ran low for 1 s: 195 MiB of 15.3 GiB" in found["memory-low-for-a-while"].title
    assert "memory-at-ease" not in found


def test_without_a_date_above_each_nothing_is_said_in_seconds() -> None:
    rows = looked("vmstat", [pages(10, 0, 1)] * 3)

    assert Series("a", [one for one in rows if not isinstance(one, Moment)]).seconds is None
    dated = [one for one in rows if isinstance(one, Moment)]
    assert Series("a", [one for one in rows if not isinstance(one, Moment)], dated).seconds == (0.0, 1.0, 2.0)
