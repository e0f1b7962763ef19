# SPDX-License-Identifier: GPL-2.0-or-later
"""Rows of iostat, vmstat and top."""

import pytest

from pageout.diagnose.findings import INFO, WARNING, Finding
from pageout.readers.facts import Table, TableRow
from tests.diagnose.build import findings, given, table

IOSTAT = ("r/s", "w/s", "rkB/s", "wkB/s", "r_await", "w_await", "aqu-sz", "%util")
VMSTAT = ("r", "b", "swpd", "free", "si", "so", "bi", "bo", "us", "sy", "id", "wa")


def iostat(*rows: tuple[str, tuple[float, ...]]) -> dict[str, Finding]:
    made = [
        TableRow(2 + n, dict(zip(IOSTAT, row, strict=True)), {"Device": name}) for n, (name, row) in enumerate(rows)
    ]
    return findings(given(Table(1, "iostat -x", tuple(made))))


BUSY = (0.0, 50.0, 0.0, 25_600.0, 0.0, 900.0, 45.0, 100.0)
CALM = (1.0, 2.0, 16.0, 40.0, 0.4, 0.5, 0.0, 1.0)


def test_a_busy_device_is_told_beside_idle_ones() -> None:
    told = iostat(("sda", CALM), ("sdb", BUSY), ("dm-0", CALM), ("sda", CALM), ("sdb", BUSY), ("dm-0", CALM))

    assert told["device-saturated"].title.startswith("sdb: 100 % busy, 50 writes/s")
    assert any("vm.dirty_bytes=78643200" in line and "price" in line for line in told["device-saturated"].advice)


def test_small_writes_one_at_a_time_are_commits_not_bandwidth() -> None:
    told = iostat(("sda", (0.0, 120.0, 0.0, 1_200.0, 0.0, 8.2, 0.99, 99.0)))["device-one-at-a-time"]

    assert "fsync or a journal" in told.title


def test_reads_that_queue_are_not_put_down_to_writers() -> None:
    told = iostat(("sdc", (2_000.0, 1.0, 1e6, 4.0, 61.0, 0.0, 130.0, 100.0)))

    assert "device-reads" in told
    assert told["device-reads"].advice == ()


def test_a_device_always_busy_that_answers_at_once_is_no_trouble() -> None:
    told = iostat(("nvme0n1", (13_000.0, 0.0, 216_000.0, 0.0, 0.1, 0.0, 1.4, 100.0)))

    assert set(told) == {"devices-keep-up"}
    assert told["devices-keep-up"].severity == INFO


def test_a_device_that_may_be_too_slow_is_not_cleared() -> None:
    told = iostat(("md0", (500.0, 2.0, 20_000.0, 8.0, 24.0, 3.0, 12.0, 100.0)))

    assert set(told) == {"device-busy"}
    assert not any("overloaded" in line for line in told["device-busy"].is_not)


def test_slow_answers_of_an_idle_device_are_neither_overload_nor_health() -> None:
    told = iostat(("sda", (0.0, 4.0, 0.0, 20.0, 0.0, 86.0, 0.26, 25.8)))

    assert set(told) == {"device-slow-answers"}
    assert "86 ms" in told["device-slow-answers"].title


def vmstat(*rows: tuple[float, ...]) -> dict[str, Finding]:
    return findings(given(table("vmstat 1", VMSTAT, rows)))


THRASH = (1.0, 3.0, 25e4, 2e3, 9_000.0, 8_000.0, 9_000.0, 8_000.0, 2.0, 5.0, 10.0, 83.0)
PUSHED = (0.0, 2.0, 25e4, 7e3, 0.0, 3_500.0, 3_000.0, 3_500.0, 8.0, 14.0, 0.0, 78.0)


@pytest.mark.parametrize(("row", "name"), [(THRASH, "swap-thrash"), (PUSHED, "swap-out")])
def test_swapping_row_after_row_is_told_by_its_direction(row: tuple[float, ...], name: str) -> None:
    assert vmstat(row, row, row)[name].severity == WARNING


def test_one_row_of_swapping_is_not_enough() -> None:
    assert "swap-thrash" not in vmstat(THRASH)


def test_cpus_at_work_are_not_waiting() -> None:
    row = (4.0, 0.0, 0.0, 9e5, 0.0, 0.0, 0.0, 8.0, 99.0, 1.0, 0.0, 0.0)
    told = vmstat(row, row, row)

    assert set(told) == {"cpu-bound"}
    assert {"swapping", "slow disks, in these rows"} <= set(told["cpu-bound"].is_not)


def test_rows_that_wait_for_disks_are_never_called_quiet() -> None:
    row = (0.0, 1.0, 0.0, 9e5, 0.0, 0.0, 9e3, 8.0, 1.0, 2.0, 40.0, 57.0)

    assert set(vmstat(row)) == {"cannot-tell"}
    assert vmstat(row, row, row)["tasks-blocked"].severity == INFO


@pytest.mark.parametrize("command", ["kswapd0", "[kswapd1]"])
def test_kswapd_on_a_cpu_is_seen_in_top(command: str) -> None:
    rows = (TableRow(8, {"%CPU": 99.7}, {"COMMAND": command, "S": "R"}),)
    told = findings(given(Table(7, "top", rows)))["kswapd-busy"]

    assert told.confidence == "low"
    assert "100 % of a CPU" in told.title


def test_kswapd_asleep_is_not() -> None:
    rows = (TableRow(8, {"%CPU": 0.3}, {"COMMAND": "kswapd0", "S": "S"}),)

    assert "kswapd-busy" not in findings(given(Table(7, "top", rows)))
