# SPDX-License-Identifier: GPL-2.0-or-later
"""Where the memory is, by meminfo, vmstat, slabtop, slabinfo, free and top."""

import pytest

from pageout.diagnose.findings import INFO, WARNING
from pageout.readers.facts import Snapshot
from tests.diagnose.build import findings, given, snapshot

GIB = 1 << 20  # in KiB
LEVELS = {
    "MemTotal": 64 * GIB, "MemFree": 4 * GIB, "MemAvailable": 40 * GIB, "Buffers": GIB, "Cached": 35 * GIB,
    "SwapTotal": 0, "SwapFree": 0, "Dirty": 100, "Writeback": 0, "AnonPages": 20 * GIB, "Shmem": GIB, "Slab": 3 * GIB,
    "SReclaimable": 2 * GIB, "SUnreclaim": GIB, "KernelStack": 100_000, "PageTables": 400_000, "HugePages_Total": 0,
    "HugePages_Free": 0, "HugePages_Rsvd": 0, "Hugepagesize": 2048,
}  # fmt: skip


def meminfo(**more: float) -> Snapshot:
    return snapshot("meminfo", LEVELS | more)


def test_a_healthy_machine_is_called_healthy_and_nothing_else() -> None:
    found = findings(given(meminfo()))

    assert set(found) == {"memory-at-ease"}
    assert found["memory-at-ease"].severity == INFO
    assert "40 GiB of 64 GiB" in found["memory-at-ease"].title


def test_a_pool_of_huge_pages_nobody_uses_is_told_with_its_size() -> None:
    pool = {"HugePages_Total": 20_480, "HugePages_Free": 20_480, "Cached": GIB, "MemAvailable": 5 * GIB}
    found = findings(given(meminfo(**pool)))

    assert found["huge-pages-idle"].severity == WARNING
    assert "40 GiB of 64 GiB is set aside as huge pages, 100 % of these unused" in found["huge-pages-idle"].title


def test_a_pool_that_is_in_use_is_no_warning() -> None:
    found = findings(given(meminfo(HugePages_Total=20_480, HugePages_Free=12, Cached=GIB)))

    assert found["huge-pages"].severity == INFO


def test_reserved_huge_pages_are_not_counted_as_unused() -> None:
    found = findings(given(meminfo(HugePages_Total=20_480, HugePages_Free=20_480, HugePages_Rsvd=20_400, Cached=GIB)))

    assert "huge-pages-idle" not in found


@pytest.mark.parametrize(("reclaimable", "word"), [(28, "dentries and inodes"), (1, "not reclaimable")])
def test_much_slab_says_whether_reclaim_can_have_it(reclaimable: int, word: str) -> None:
    found = findings(given(meminfo(Slab=30 * GIB, SReclaimable=reclaimable * GIB, SUnreclaim=(30 - reclaimable) * GIB)))

    assert word in found["slab-heavy"].title


def test_slab_is_told_from_vmstat_alone() -> None:
    pages = {
        "nr_free_pages": 500_000, "nr_file_pages": 32_000, "nr_shmem": 300, "nr_anon_pages": 160_000,
        "nr_slab_reclaimable": 1_100_000, "nr_slab_unreclaimable": 28_000_000, "nr_page_table_pages": 2_000,
    }  # fmt: skip
    assert "not reclaimable" in findings(given(snapshot("vmstat", pages)))["slab-heavy"].title


def test_shared_memory_is_an_alarm_only_where_little_is_left() -> None:
    calm = findings(given(meminfo(Shmem=30 * GIB)))
    tight = findings(given(meminfo(Shmem=30 * GIB, MemAvailable=4 * GIB)))

    assert (calm["shmem-heavy"].severity, tight["shmem-heavy"].severity) == (INFO, WARNING)


def test_memory_in_no_line_is_missed() -> None:
    found = findings(given(meminfo(Cached=5 * GIB, MemAvailable=9 * GIB)))

    assert "GiB of 64 GiB is in no line of meminfo" in found["memory-unaccounted"].title


def test_a_part_of_meminfo_accuses_nobody() -> None:
    part = {name: LEVELS[name] for name in ("MemTotal", "MemFree", "Cached")}

    assert "memory-unaccounted" not in findings(given(snapshot("meminfo", part)))


def test_top_s_heading_says_that_memory_is_used_up() -> None:
    head = {"Mem total": 80 * GIB, "Mem free": 1e6, "Mem avail": 5e5, "Swap total": 0.0, "Swap free": 0.0}

    assert "and there is no swap" in findings(given(snapshot("top", head)))["memory-short"].title


def test_free_without_its_unit_says_nothing() -> None:
    row = {"total": 64_000, "free": 100, "available": 200}

    assert "memory-short" not in findings(given(snapshot("free", row, part="Mem")))
    assert "memory-short" in findings(given(snapshot("free", row, part="Mem", unit_bytes=1 << 20)))


def test_the_cache_that_holds_most_of_the_slab_is_named() -> None:
    rows = [
        snapshot("slabtop", {"objs": 1e9, "use_percent": 100.0, "cache_size_kib": 45e6}, 3, part="bitmap_node"),
        snapshot("slabtop", {"objs": 1e5, "use_percent": 90.0, "cache_size_kib": 5e4}, 8, part="dentry"),
    ]
    found = findings(given(*rows))["slab-cache"]

    assert "bitmap_node" in found.title
    assert "leak" in found.detail


def test_small_caches_are_no_news() -> None:
    row = snapshot("slabinfo", {"active_objs": 1e5, "num_objs": 1e5, "objsize": 192.0}, part="dentry")

    assert "slab-cache" not in findings(given(row))
