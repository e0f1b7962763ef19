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


def zoned(mask: str, *zones: ZoneState, pages: dict[str, float] | None = None, **more: Any) -> OomReport:
    return report(gfp_mask=mask, memory=MemoryState(values(pages or {}, 30), zones, {}, 4), **more)


def zone(name: str, pages: dict[str, float], line: int = 40) -> ZoneState:
    return ZoneState(0, name, values(pages, line), (), None, line)


HIGHMEM = {"free": 300_000, "min": 128, "high": 700, "managed": 327_000}
LOW = {"free": 1100, "min": 1900, "high": 2400, "managed": 211_000}


def test_low_memory_runs_out_while_high_memory_is_free() -> None:
    found = findings(given(zoned("0xcc0(GFP_KERNEL)", zone("Normal", LOW), zone("HighMem", HIGHMEM, 45))))["oom"]

    assert "zone Normal ran out of memory, while 1.14 GiB were free in HighMem" in found.title
    assert "may not use HighMem" in found.detail


def test_clean_cache_left_in_the_short_zone_is_told() -> None:
    cached = LOW | {"inactive_file": 180_000, "writepending": 14_000}
    found = findings(
        given(zoned("0xcc0(GFP_KERNEL)", zone("Normal", cached), pages={"inactive_file": 180_000, "dirty": 14_000}))
    )["oom"]

    assert found.title == "zone Normal ran out of memory with 648 MiB of clean file cache in it"
    assert any("protected" in text for text in found.unknown)


def test_free_cma_does_not_help_a_request_for_the_kernel() -> None:
    mostly = {"free": 46_000, "min": 5_600, "high": 8_400, "managed": 167_000, "free_cma": 41_000}
    found = findings(given(zoned("0xcc0(GFP_KERNEL)", zone("Normal", mostly))))["oom"]

    assert "is CMA" in found.title or "CMA's" in found.title


def test_a_machine_with_free_memory_was_not_out_of_it() -> None:
    found = findings(
        given(zoned("0x0()", zone("Normal", {"free": 90_000, "min": 100, "high": 300, "managed": 200_000})))
    )

    assert "oom" not in found
    assert "page fault" in found["oom-not-short"].detail


def test_a_request_that_may_use_no_zone_shown_is_a_matter_of_cpusets() -> None:
    movable = zone("Movable", {"free": 3_000_000, "min": 2_000, "high": 6_000, "managed": 3_200_000})

    assert "none of the zones" in findings(given(zoned("0xcc2(GFP_HIGHUSER)", movable)))["oom-not-short"].detail


def test_a_killer_called_by_hand_is_told() -> None:
    assert "by hand" in findings(given(zoned("0x0()", zone("Normal", LOW), order=-1)))["oom-asked-for"].title


def test_pages_of_64_kib_are_counted_as_such() -> None:
    memory = MemoryState(values({"active_anon": 16_384}, 30), (zone("Normal", LOW),), {}, 64)

    assert "(1 GiB)" in findings(given(report(memory=memory)))["oom"].title


def test_memory_in_nothing_that_is_listed_is_not_called_anonymous() -> None:
    told = zoned(
        "0xcc0(GFP_KERNEL)", zone("Normal", LOW), pages={"active_anon": 5_000, "ram": 1_000_000, "reserved": 10_000}
    )

    assert "in nothing that the report lists" in findings(given(told))["oom"].title


def test_no_limit_is_not_a_limit_of_eight_million_tebibytes() -> None:
    told = report(
        memcg="/a",
        memcg_kib=values({"usage": 4000, "limit": 9007199254740988}, 10),
        memcg_stat=values({"anon": 4e6}, 20),
    )

    assert "TiB" not in findings(given(told))["memcg-oom"].title
