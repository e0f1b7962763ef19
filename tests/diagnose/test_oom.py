# SPDX-License-Identifier: GPL-2.0-or-later
"""Out of memory, and why each kind was not given back."""

from typing import Any

from pageout.readers.facts import MemoryState, OomReport, Value, ZoneState
from tests.diagnose.build import findings, given

MIB = 1 << 20


def values(numbers: dict[str, float], line: int) -> dict[str, Value]:
    return {name: Value(number, line + n) for n, (name, number) in enumerate(numbers.items())}


def report(**more: Any) -> OomReport:
    told: dict[str, Any] = {
        "line": 1, "invoker": "rsync", "gfp_mask": "0xcc0(GFP_KERNEL)", "order": 0, "constraint": None, "memcg": None,
        "memcg_kib": {}, "memcg_failcnt": None, "memcg_stat": {}, "memory": None, "frames": (),
        "killed": ((100, "rsync", {}),), "kernel": "6.7.4", "stamp_s": None, "last_line": 90,
    }  # fmt: skip
    return OomReport(**(told | more))


def of_cgroup(stat: dict[str, float], limit_mib: int = 32, **more: Any) -> OomReport:
    return report(
        memcg="/user.slice/a", memcg_kib=values({"usage": limit_mib << 10, "limit": limit_mib << 10}, 10),
        memcg_stat=values(stat, 20), **more,
    )  # fmt: skip


def machine(pages: dict[str, float], zones: list[dict[str, float]], swap_kib: float = 0, **more: Any) -> OomReport:
    told = tuple(
        ZoneState(0, "Normal", values(zone, 40 + 10 * n), tuple(more.pop("blocks", ())), None, 40 + 10 * n)
        for n, zone in enumerate(zones)
    )
    swap = values({"free": 0, "total": swap_kib}, 80)
    return report(memory=MemoryState(values(pages, 30), told, swap), **more)


def test_a_cgroup_full_of_dirty_pages_nobody_writes_is_told_apart() -> None:
    found = findings(given(of_cgroup({"anon": 0, "file_dirty": 26 * MIB, "file_writeback": 0, "pgscan_direct": 9000,
                                      "pgscan_kswapd": 0})))["memcg-oom-dirty"]  # fmt: skip

    assert found.confidence == "high"
    assert "nothing of it being written" in found.title
    assert "none by kswapd" in found.detail
    assert {one.line for one in found.evidence} >= {1, 21, 22}


def test_a_cgroup_full_of_its_tasks_memory_is_not_about_dirty_pages() -> None:
    found = findings(given(of_cgroup({"anon": 30 * MIB, "file": 0, "file_dirty": 0, "file_writeback": 0})))["memcg-oom"]

    assert "anonymous memory of tasks (30 MiB)" in found.title
    assert any("dirty pages: 0 B" in text for text in found.is_not)


def test_a_cgroup_report_without_dirty_counters_does_not_say_zero() -> None:
    found = findings(given(of_cgroup({"rss": 30 * MIB})))["memcg-oom"]

    assert not any("0 B" in text for text in found.is_not)
    assert any("lists none" in text for text in found.is_not)


def test_the_machine_without_swap_is_told_by_zone_and_kind() -> None:
    pages = {
        "active_anon": 400_000,
        "inactive_anon": 50_000,
        "inactive_file": 300,
        "active_file": 200,
        "dirty": 0,
        "writeback": 0,
    }

    found = findings(given(machine(pages, [{"free": 1000, "min": 1100, "low": 1400, "high": 1700}])))["oom"]

    assert "anonymous memory of tasks" in found.title
    assert "there is no swap" in found.detail
    assert "Normal (node 0)" in found.detail
    assert any("dirty pages: 0 B" in text for text in found.is_not)


def test_the_machine_with_its_cache_dirty_says_so() -> None:
    pages = {"active_anon": 10_000, "inactive_file": 90_000, "active_file": 10_000, "dirty": 80_000, "writeback": 9_000}

    found = findings(given(machine(pages, [{"free": 1000, "min": 1100}])))["oom"]

    assert "dirty or under writeback" in found.title
    assert any("vm.dirty_bytes" in text for text in found.advice)
    assert not found.is_not


def test_a_high_order_with_free_pages_is_fragmentation() -> None:
    pages = {"active_anon": 10_000, "free": 50_000}

    found = findings(given(machine(pages, [{"free": 50_000, "min": 1100}], order=3, blocks=(50_000, 0, 0))))[
        "oom-order"
    ]

    assert "8 contiguous pages (order 3)" in found.title


def test_a_kill_without_its_report_admits_what_is_missing() -> None:
    found = findings(given(report(memcg="/a")))["oom-bare"]

    assert found.unknown
    assert "rsync (100)" in found.title


def test_an_allocation_that_may_not_enter_the_filesystem_says_what_it_skips() -> None:
    found = findings(given(of_cgroup({"anon": 30 * MIB, "file_dirty": 0}, gfp_mask="0x50(GFP_NOFS)")))["memcg-oom"]

    assert "GFP_NOFS" in found.detail
