# SPDX-License-Identifier: GPL-2.0-or-later
"""Files people posted, beside the repository: skipped where they are absent. What each must say is in their INDEX."""

import re
from collections.abc import Callable

import pytest

from pageout.readers.facts import Snapshot, Sysctl, Table
from pageout.readers.read import Input, read_pieces
from pageout.vocabulary.errors import TraceError
from tests.conftest import ROOT

POSTED = ROOT.parent / "shared" / "realdata"


def counter(found: Input, source: str, name: str, part: str = "") -> float:
    (snapshot,) = [f for f in found.facts if isinstance(f, Snapshot) and f.source == source and f.part == part]
    return snapshot.values[name].number


def buczek(found: Input) -> None:
    assert counter(found, "meminfo", "Slab") == pytest.approx(50e6, rel=0.01)
    assert counter(found, "meminfo", "SReclaimable") == pytest.approx(40e6, rel=0.05)
    assert counter(found, "meminfo", "Cached") == pytest.approx(165e6, rel=0.01)
    assert counter(found, "meminfo", "Dirty") == pytest.approx(0.7e6, rel=0.05)


def marod(found: Input) -> None:
    assert counter(found, "meminfo", "Dirty") == 5008372
    assert counter(found, "meminfo", "Writeback") == 277224


def priebe(found: Input) -> None:
    direct, kswapd = counter(found, "vmstat", "pgsteal_direct"), counter(found, "vmstat", "pgsteal_kswapd")
    assert direct / (direct + kswapd) == pytest.approx(0.9, abs=0.02)
    assert counter(found, "vmstat", "nr_dirty") == 495
    assert counter(found, "vmstat", "nr_dirty_threshold") == 265636


def diskstats(found: Input) -> None:
    assert counter(found, "diskstats", "flushes", "sdc") == 127
    assert counter(found, "diskstats", "flush_ms", "sdc") == 182
    assert counter(found, "diskstats", "discard_ms", "sdb2") == 11130
    assert len(found.facts) == 52


def theys(found: Input) -> None:
    scans, memory = (fact for fact in found.facts if isinstance(fact, Table))
    assert (scans.source, memory.source) == ("sar -B", "sar -r")
    assert len(scans.rows) == len(memory.rows) == 6
    assert [row.numbers["%vmeff"] for row in scans.rows] == [0.1, 0.09, 0.08, 0.06, 0.08, 0.11]
    assert min(row.numbers["pgscank/s"] for row in scans.rows) > 6.8e6
    assert max(row.numbers["pgscand/s"] for row in scans.rows) < 12
    assert memory.rows[0].numbers["kbcached"] == 138477148
    assert max(row.numbers["kbdirty"] for row in memory.rows) == 306336
    assert [row.words["time"] for row in scans.rows] == [row.words["time"] for row in memory.rows]


def premont_stat(found: Input) -> None:
    assert counter(found, "memory.stat", "file_dirty") == 811008
    assert counter(found, "memory.stat", "pgscan") == 48241750
    assert len(found.facts) == 1


def premont_sysctl(found: Input) -> None:
    settings = [fact for fact in found.facts if isinstance(fact, Sysctl)]
    by_name = {(fact.name, n // 6): fact.number for n, fact in enumerate(settings)}
    assert by_name["vm.dirty_ratio", 0] == 20
    assert by_name["vm.dirty_bytes", 1] == 536870912
    assert by_name["vm.dirty_background_bytes", 1] == 268435456
    assert [fact.how for fact in settings].count("said") == 1


def pressure(found: Input) -> None:
    assert counter(found, "pressure memory", "total_us", "full") == 25


def buddyinfo(found: Input) -> None:
    orders = {fact.part: fact.free_by_order for fact in found.facts if isinstance(fact, Snapshot)}
    assert orders["Node 0, zone Normal"] == (4381, 1093, 185, 1530, 567, 102, 4, 0, 0, 0, 0)


def sample(found: Input) -> None:
    assert counter(found, "meminfo", "Zswap") == 22414


CASES: dict[str, Callable[[Input], None]] = {
    "meminfo/buczek-xfs-256g-2020.txt": buczek,
    "meminfo/marod-nvme-stuck-2025.txt": marod,
    "meminfo/procfs-fixture-meminfo.txt": sample,
    "meminfo/procfs-fixture-pressure-memory.txt": pressure,
    "vmstat/priebe-proc-vmstat-2019.txt": priebe,
    "vmstat/procfs-fixture-diskstats.txt": diskstats,
    "vmstat/theys-sar-B-wrapped-2025.txt": theys,
    "cgroup/premont-memory-stat-fluent-2020.txt": premont_stat,
    "sysctl/premont-dirty-sysctls.txt": premont_sysctl,
    "allocfail/procfs-fixture-buddyinfo.txt": buddyinfo,
}


def posted(name: str) -> Input:
    path = POSTED / name
    if not path.is_file():
        pytest.skip("the files people posted are not beside the repository")
    return read_pieces(name, [re.sub(rb"(?m)^(?:> ?)+", b"", path.read_bytes())])  # quote marks are undressed elsewhere


@pytest.mark.parametrize("name", CASES)
def test_a_posted_file_says_what_its_author_found_in_it(name: str) -> None:
    found = posted(name)
    assert found.account.unread_lines == []
    CASES[name](found)


@pytest.mark.parametrize(
    "folder", ["hung-task", "ftrace-vmscan", "ftrace-writeback", "stack", "oom", "blkparse", "fio", "perf-script"]
)
def test_no_counter_is_seen_where_there_is_none(folder: str) -> None:
    if not (POSTED / folder).is_dir():
        pytest.skip("the files people posted are not beside the repository")
    for path in sorted((POSTED / folder).iterdir()):
        try:
            found = posted(f"{folder}/{path.name}")
        except TraceError:
            continue
        assert not [fact for fact in found.facts if isinstance(fact, Table | Sysctl)]
        assert not [f for f in found.facts if isinstance(f, Snapshot) and not f.source.startswith("memory")]
