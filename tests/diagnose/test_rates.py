# SPDX-License-Identifier: GPL-2.0-or-later
"""What two snapshots say, and what one of them cannot."""

import pytest
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st

from pageout.diagnose.findings import ERROR, WARNING, Finding
from pageout.readers.facts import Fact, Moment, Snapshot
from tests.diagnose.build import findings, given, snapshot


def two(
    source: str, first: dict[str, float], last: dict[str, float], seconds: float | None, part: str = ""
) -> list[Fact]:
    """Two snapshots, and the dates above them if their distance is known."""
    stamps: list[Fact] = [] if seconds is None else [Moment(1, 1e9), Moment(101, 1e9 + seconds)]
    return [
        *stamps,
        snapshot(source, first, 2, part=part),
        snapshot(source, last, 102, part=part, number=1),
    ]


def found(*facts: Fact) -> dict[str, Finding]:
    return findings(given(*sorted(facts, key=lambda fact: fact.line)))


BEFORE = {"nr_dirty": 500_000.0, "nr_writeback": 10_000.0, "nr_written": 1e6}
AFTER = {"nr_dirty": 490_000.0, "nr_writeback": 10_000.0, "nr_written": 1e6 + 51_200}  # 200 MiB more


def test_what_is_dirty_over_what_was_written_is_how_long_a_sync_takes() -> None:
    told = found(*two("vmstat", BEFORE, AFTER, 10))["drain-time"]

    assert "1 min" in told.title or "97.7 s" in told.title
    assert any("vm.dirty_bytes=62914560" in line and "price" in line for line in told.advice)


def test_without_the_time_between_them_two_snapshots_give_no_rate() -> None:
    assert "drain-time" not in found(*two("vmstat", BEFORE, AFTER, None))


def test_a_date_above_the_last_snapshot_only_gives_no_rate() -> None:
    facts = two("vmstat", BEFORE, AFTER, 10)

    assert "drain-time" not in found(*facts[1:])


def test_nothing_written_while_pages_are_under_writeback_is_stuck() -> None:
    told = found(*two("vmstat", BEFORE, BEFORE, 30))

    assert told["writeback-stuck"].severity == ERROR


IDLE = {"reads": 100.0, "writes": 200.0, "in_flight": 0.0, "sectors_read": 0.0, "sectors_written": 0.0, "read_ms": 0.0, "write_ms": 0.0, "io_ms": 0.0, "weighted_io_ms": 0.0}  # fmt: skip


@pytest.mark.parametrize(("seconds", "severity"), [(60, ERROR), (None, WARNING), (1, WARNING)])
def test_a_device_that_completes_nothing_is_dead_only_after_a_while(seconds: float | None, severity: str) -> None:
    told = found(*two("diskstats", IDLE | {"in_flight": 7.0}, IDLE | {"in_flight": 7.0}, seconds, part="sdb"))

    assert told["device-silent"].severity == severity
    assert "sdb has 7 requests in flight" in told["device-silent"].title


def test_a_device_without_requests_is_idle_not_dead() -> None:
    assert "device-silent" not in found(*two("diskstats", IDLE, IDLE, 60, part="sdb"))


def test_diskstats_give_what_iostat_would() -> None:
    after = IDLE | {"writes": 200.0 + 500, "sectors_written": 500 * 1024.0, "write_ms": 500 * 400.0, "io_ms": 10_000.0, "weighted_io_ms": 200_000.0}  # fmt: skip
    told = found(*two("diskstats", IDLE, after, 10, part="sdb"))["device-saturated"]

    assert "sdb: 100 % busy, 50 writes/s, of 512 KiB, 400 ms each" in told.title


def test_swap_both_ways_is_thrashing_and_one_way_is_not() -> None:
    before = {"pswpin": 0.0, "pswpout": 0.0}

    assert "swap-thrash" in found(*two("vmstat", before, {"pswpin": 9e5, "pswpout": 9e5}, 60))
    assert "swap-thrash" not in found(*two("vmstat", before, {"pswpin": 10.0, "pswpout": 9e5}, 60))
    assert "swap-thrash" not in found(*two("vmstat", before, {"pswpin": 9e5, "pswpout": 9e5}, 86_000))


def test_refaults_as_many_as_reclaimed_pages_are_thrashing() -> None:
    before = {"workingset_refault_file": 0.0, "pgsteal_kswapd": 0.0}

    assert "file-thrash" in found(*two("vmstat", before, {"workingset_refault_file": 9e5, "pgsteal_kswapd": 1e6}, None))
    assert "file-thrash" not in found(
        *two("vmstat", before, {"workingset_refault_file": 9e4, "pgsteal_kswapd": 1e6}, None)
    )


def test_a_thrashing_past_is_called_past() -> None:
    totals = {"workingset_refault_file": 2.9e6, "workingset_restore_file": 1.8e6, "pgsteal_kswapd": 4e6}
    told = found(snapshot("vmstat", totals))["refaults-since-boot"]

    assert told.severity == "info"
    assert told.title.startswith("since boot")


def test_totals_since_boot_are_called_that() -> None:
    told = found(snapshot("vmstat", {"oom_kill": 3.0, "drop_pagecache": 4000.0}))

    assert "since boot" in told["oom-kills-since-boot"].title
    assert "4,000 times since boot" in told["caches-dropped"].title
    assert all(one.severity != ERROR for one in told.values())


def zone(**more: float) -> Snapshot:
    return snapshot("zoneinfo", {"free": 9e5, "min": 16_000.0, "managed": 8e6, **more}, part="Node 0, zone Normal")


def test_zoneinfo_says_when_kswapd_gave_up_and_when_a_zone_is_below_its_minimum() -> None:
    assert found(zone(node_unreclaimable=1.0))["node-unreclaimable"].severity == WARNING
    assert "zone-below-min" in found(zone(free=9_000.0))
    assert "watermark-boost" in found(zone(boost=30_000.0))
    assert set(found(zone())) == {"cannot-tell"}


NAMES = [
    "nr_dirty",
    "nr_writeback",
    "nr_written",
    "nr_dirty_threshold",
    "nr_dirty_background_threshold",
    "pswpin",
    "pswpout",
    "allocstall",
    "workingset_refault",
    "workingset_refault_file",
    "workingset_restore",
    "pgsteal_kswapd",
    "pgsteal_direct_normal",
    "oom_kill",
]
COUNTERS = st.dictionaries(st.sampled_from(NAMES), st.integers(0, 1 << 63).map(float), min_size=1)


@settings(deadline=None, max_examples=80)
@drawn(COUNTERS, COUNTERS, st.none() | st.integers(-5, 100_000))
def test_two_snapshots_need_not_have_the_same_counters(
    first: dict[str, float], last: dict[str, float], seconds: int | None
) -> None:
    for finding in found(*two("vmstat", first, last, seconds)).values():
        assert "nan" not in finding.title
        assert finding.evidence or finding.id == "cannot-tell"


@pytest.mark.parametrize(("pages", "told"), [(0.0, False), (90_000.0, True)])
@pytest.mark.parametrize("name", ["managed", "present"])
def test_a_zone_without_pages_is_not_below_its_minimum(name: str, pages: float, told: bool) -> None:
    values = {"free": 0.0, "min": 32.0, name: pages}
    found = findings(given(snapshot("zoneinfo", values, part="Node 0, zone Movable")))

    assert any("below its minimum" in finding.title for finding in found.values()) == told
