# SPDX-License-Identifier: GPL-2.0-or-later
"""A cgroup's own files, of both versions."""

from pageout.diagnose.findings import ERROR, INFO, WARNING
from tests.diagnose.build import findings, given, snapshot

MIB = 1 << 20


def test_kills_in_a_cgroup_are_told_as_a_total_of_the_past() -> None:
    events = {"low": 0.0, "high": 0.0, "max": 90.0, "oom": 2.0, "oom_kill": 2.0}
    found = findings(given(snapshot("memory.events", events, place="/shop.slice/a.service")))

    assert found["memcg-oom-kills"].severity == ERROR
    assert "2 tasks of cgroup /shop.slice/a.service" in found["memcg-oom-kills"].title
    assert "memcg-at-limit" not in found


def test_a_limit_met_by_page_cache_is_normal_and_one_met_by_programs_is_not() -> None:
    def told(anon: int, file: int) -> str:
        stat = snapshot("memory.stat", {"anon": anon * MIB, "file": file * MIB, "file_dirty": 0.0}, 1)
        return findings(given(stat, snapshot("memory.events", {"max": 4000.0, "oom_kill": 0.0}, 20)))[
            "memcg-at-limit"
        ].severity

    assert told(100, 900) == INFO
    assert told(950, 20) == WARNING


def test_usage_far_below_the_limit_clears_the_cgroup() -> None:
    for used, limit in (("memory.usage_in_bytes", "memory.limit_in_bytes"), ("memory.current", "memory.max")):
        facts = snapshot(used, {used: 400.0 * MIB}), snapshot(limit, {limit: 8000.0 * MIB}, 4)
        found = findings(given(*facts))

        assert set(found) == {"memcg-roomy"}
        assert found["memcg-roomy"].severity == INFO


def test_no_limit_is_no_limit() -> None:
    for name, none in (("memory.limit_in_bytes", 9223372036854771712.0), ("memory.max", float("inf"))):
        used = name.replace("limit_in", "usage_in").replace("max", "current")
        found = findings(given(snapshot(used, {used: 400.0 * MIB}), snapshot(name, {name: none}, 4)))

        assert not {"memcg-full", "memcg-roomy"} & set(found)


def test_the_lowest_limit_counts() -> None:
    facts = (
        snapshot("memory.current", {"memory.current": 395.0 * MIB}),
        snapshot("memory.high", {"memory.high": 400.0 * MIB}, 4),
        snapshot("memory.max", {"memory.max": 600.0 * MIB}, 8),
    )
    assert "of 400 MiB" in findings(given(*facts))["memcg-full"].title


def test_anonymous_memory_at_the_limit_is_a_warning() -> None:
    facts = (
        snapshot("memory.current", {"memory.current": 399.0 * MIB}),
        snapshot("memory.max", {"memory.max": 400.0 * MIB}, 4),
        snapshot("memory.stat", {"anon": 380.0 * MIB, "file": 3.0 * MIB, "shmem": 0.0}, 8),
    )
    assert findings(given(*facts))["memcg-full"].severity == WARNING


def test_version_one_counts_children_in_its_totals() -> None:
    stat = {"cache": 0.0, "rss": 0.0, "dirty": 0.0, "total_cache": 900.0 * MIB, "total_rss": 9.0 * MIB, "total_dirty": 600.0 * MIB}  # fmt: skip
    found = findings(given(snapshot("memory.stat", stat)))

    assert "600 MiB" in found["memcg-dirty"].title
