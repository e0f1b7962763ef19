# SPDX-License-Identifier: GPL-2.0-or-later
"""The shipped scenarios: each loads without a warning, says what it is, runs, and shows what its head claims.

The table of directions is in docs/explanation/fidelity.md.
"""

import re
from functools import cache
from typing import Any

import pytest

from pageout.jit import INTERPRETED
from pageout.machine.simulate import Result, simulate
from pageout.vocabulary.settings import DESIGNS
from pageout.workload import shipped
from pageout.workload.program import load_workload
from tests.conftest import ROOT

LINUX = "linux-2.6.34"
NAMES = shipped.names()
compiled = pytest.mark.skipif(INTERPRETED, reason="whole runs: compiled only")


@cache
def run(name: str, *settings: str, design: str | None = None, seed: int | None = None) -> Result:
    return simulate(load_workload(name, design=design, settings=settings, seed=seed))


def job(result: Result, name: str) -> dict[str, Any]:
    """One task's figures, by its name."""
    return next(row for row in result.document()["jobs"] if row["name"] == name)


def deepest_of(result: Result, name: str) -> int:
    """The deepest stack among the tasks whose names begin so."""
    return max(row["stack_max_bytes"] for row in result.document()["jobs"] if row["name"].startswith(name))


def written(result: Result) -> int:
    return sum(result.metrics[f"written_{who}"] for who in ("direct", "kswapd", "flusher", "writer"))


def seeks_per_mib(result: Result) -> float:
    return float(result.metrics["seek_count"] / (written(result) / 256))


def cause(result: Result, table: str, name: str) -> float:
    """The share of a cause among the pages that reclaim chose to write, or among direct reclaims."""
    return sum(row["share"] for row in result.document()["why"][table]["causes"] if row["cause"] == name)


# --- what each must be


@pytest.mark.parametrize("name", NAMES)
def test_a_scenario_loads_without_a_warning_and_is_called_by_its_name(name: str) -> None:
    scenario = load_workload(name)

    assert scenario.warnings == ()
    assert scenario.name == name
    assert scenario.design == LINUX


@pytest.mark.parametrize("name", NAMES)
def test_a_head_says_what_is_shown_and_which_command_shows_it(name: str) -> None:
    about = shipped.about(name)

    assert 20 < len(about.shows) < 110
    assert about.claims
    assert 1 <= about.seconds < 60
    assert about.source
    assert about.look_at
    for command in about.commands:
        words = command.split()
        assert words[0] == "pageout"
        assert name in words
        if "--designs" in words:
            assert set(words[words.index("--designs") + 1].split(",")) <= set(DESIGNS)
        settings = [words[n + 1] for n, word in enumerate(words) if word == "--set"]
        load_workload(name, settings=settings)


def test_the_claims_of_the_article_that_a_load_can_show_are_all_covered() -> None:
    claimed = {claim for name in NAMES for claim in shipped.about(name).claims}
    # S9 and S10 are designs, S14 the tracepoints of every run.
    assert claimed >= {f"S{number}" for number in (1, 2, 3, 4, 5, 6, 7, 8, 11, 12, 13)}


@compiled
@pytest.mark.parametrize("name", NAMES)
def test_a_scenario_runs_to_its_end_and_loses_nothing(name: str) -> None:
    result = run(name)

    assert result.ending in ("done", "length")
    assert result.metrics["pages_lost"] == 0
    assert not [row["error"] for row in result.document()["jobs"] if row["error"]]


# --- what each claims


@compiled
def test_xfs_overflow_has_the_articles_chain_on_a_select_caller_and_4k_stacks_run_over() -> None:
    linux, without = run("xfs-overflow"), run("xfs-overflow", design="no-direct-writeback")
    deepest = [deepest_of(run("xfs-overflow", seed=seed), "selector") for seed in (1, 2, 3)]

    # chain A; only the read of metadata, with the adapter at work below it, is as deep
    assert max(deepest) == pytest.approx(7568, rel=0.05)
    assert min(deepest) >= 7568 * 0.9
    assert linux.metrics["written_direct"] > 5000
    assert run("xfs-overflow", "stack.bytes=4K").metrics["stack_overflows"] > 0
    assert without.metrics["written_direct"] == 0
    assert deepest_of(without, "selector") < min(deepest) - 2000


@compiled
def test_deep_storage_takes_more_stack_of_a_writer_and_its_layers_more_requests_and_memory() -> None:
    copy, updater = (
        max(deepest_of(run(name, seed=seed), task) for seed in (1, 2, 3))
        for name, task in (("deep-storage", "copy"), ("xfs-overflow", "updater"))
    )
    devices = run("deep-storage").document()["devices"]

    assert copy > updater
    assert devices["md0"]["rmw_reads"] > 100
    assert sum(devices[f"isc{n}"]["skb_failures"] for n in range(3)) > 0


@compiled
def test_deep_storage_fills_memory_with_dirty_pages_that_flushers_are_too_slow_to_clean() -> None:
    """At the kill of this seed nothing else is left to reclaim; over seeds the designs hardly differ in kills."""
    without = run("deep-storage", design="no-direct-writeback")

    assert without.metrics["oom_kills"] > 0
    assert without.metrics["written_flusher"] > 100_000
    zones = [zone["reclaimable"] for zone in without.document()["oom"][0]["zones"]]
    assert sum(zone["dirty"] + zone["writeback"] for zone in zones) > 0.9 * sum(zone["pages"] for zone in zones)


@compiled
def test_reclaim_seeks_more_for_each_mib_than_flushers_do() -> None:
    seeds = (1, 2, 3)

    def mean(design: str) -> float:
        return sum(seeks_per_mib(run("reclaim-seeks", design=design, seed=seed)) for seed in seeds) / len(seeds)

    assert mean(LINUX) > 1.05 * mean("no-direct-writeback")
    assert (
        run("reclaim-seeks").metrics["write_mb_s"]
        < run("reclaim-seeks", design="no-direct-writeback").metrics["write_mb_s"]
    )


@compiled
def test_duplicate_writes_are_dropped_and_the_fewer_the_sooner_data_expires() -> None:
    soon = ("vm.dirty_expire_centisecs=100", "vm.dirty_writeback_centisecs=100")
    usual, hasty = run("duplicate-writes"), run("duplicate-writes", *soon)

    assert usual.metrics["rewrites_saved_pages"] > 10 * written(usual)
    assert written(hasty) > 4 * written(usual)
    assert hasty.metrics["seek_count"] > 4 * usual.metrics["seek_count"]


@compiled
@pytest.mark.parametrize(("name", "more"), [("lumpy-storm", 0.2), ("build-and-huge-pages", 0.05)])
def test_lumpy_reclaim_gets_huge_pages_and_without_it_they_fail(name: str, more: float) -> None:
    lumpy, off = (run(name, *setting).document()["highorder"][-1] for setting in ((), ("reclaim.lumpy=off",)))

    assert lumpy["order"] == off["order"] == 9
    assert lumpy["failures"] < lumpy["attempts"] / 2
    assert off["failures"] / off["attempts"] > more + lumpy["failures"] / lumpy["attempts"]


@compiled
def test_lumpy_reclaim_among_dirty_pages_takes_its_time() -> None:
    lumpy, off = (job(run("lumpy-storm", *setting), "huge") for setting in ((), ("reclaim.lumpy=off",)))

    assert lumpy["alloc_stall_s"] / lumpy["highorder_attempts"] > 0.5
    assert off["alloc_stall_s"] / off["highorder_attempts"] < 0.05


@compiled
def test_reclaim_to_oom_kills_only_where_direct_reclaim_may_not_write() -> None:
    linux, without = run("reclaim-to-oom"), run("reclaim-to-oom", design="no-direct-writeback")

    assert linux.metrics["oom_kills"] == 0
    assert linux.metrics["written_direct"] > 0
    assert without.metrics["oom_kills"] > 0
    first = without.document()["oom"][0]
    assert sum(row["reclaimable"]["dirty"] for row in first["zones"]) > 0
    saved = run("reclaim-to-oom", "reclaim.kick=scanned", design="no-direct-writeback")
    assert saved.metrics["oom_kills"] == 0


@compiled
def test_fork_storm_16k_stacks_cost_twice_the_memory_and_make_forks_reclaim() -> None:
    large, small = run("fork-storm"), run("fork-storm", "stack.bytes=8K")

    assert large.metrics["stack_memory_mib"] == pytest.approx(2 * small.metrics["stack_memory_mib"], rel=0.1)
    assert large.metrics["fork_stall_p99_us"] > small.metrics["fork_stall_p99_us"]
    reclaims = [sum(job(row, f"forker.{n}")["alloc_stall_count"] for n in range(4)) for row in (large, small)]
    assert reclaims[0] > 5 * reclaims[1]


@compiled
def test_mmap_writer_dirt_reaches_kswapd_and_no_task_stalls_for_long() -> None:
    result = run("mmap-writer")

    assert result.metrics["written_kswapd"] > 500
    assert result.metrics["written_kswapd"] > 0.9 * written(result)
    assert result.metrics["throttle_s"] == 0
    assert result.metrics["alloc_stall_s"] < 1


@compiled
def test_small_zone_makes_kswapd_write_unless_limits_are_the_zones_own() -> None:
    linux, zoned = run("small-zone"), run("small-zone", design="zone-dirty-limits")

    assert linux.metrics["written_kswapd"] > 50_000
    assert linux.metrics["written_flusher"] < 5000
    assert zoned.metrics["written_kswapd"] == 0
    assert zoned.metrics["written_flusher"] > 50_000
    assert cause(linux, "writes", "zone") > 3 * cause(linux, "writes", "background")


@compiled
def test_mixed_disks_are_all_kept_busy_each_at_its_own_speed() -> None:
    result = run("mixed-disks")
    busy = [row["device_busy_share"] for row in result.document()["devices"].values()]
    fast, usual, slow = (job(result, f"on-{name}")["write_mb_s"] for name in ("ssd", "sda", "old"))

    assert min(busy) > 0.9
    assert fast > 240
    assert 110 < usual < 125
    assert 12 < slow < 25


@compiled
def test_usb_stick_leaves_the_disk_its_speed_but_holds_up_who_wants_huge_pages() -> None:
    linux = run("usb-stick")

    assert job(linux, "to-disk")["write_mb_s"] > 90
    assert job(linux, "huge")["alloc_stall_s"] > 5
    assert job(linux, "huge")["highorder_failures"] > 0


@compiled
def test_usb_stick_makes_each_wait_of_who_wants_huge_pages_longer() -> None:
    """A load without chance has no seeds: three sizes of memory instead."""

    def waits(*settings: str, design: str | None = None) -> tuple[float, int]:
        rows = [job(run("usb-stick", f"machine.memory={mib}M", *settings, design=design), "huge")
                for mib in (480, 512, 544)]  # fmt: skip
        return sum(row["alloc_stall_s"] for row in rows), sum(row["alloc_stall_count"] for row in rows)

    seconds, times = waits()
    fast_seconds, fast_times = waits("stick.write_bps=60MB/s", "stick.write_iops=2000")
    assert seconds / times > 1.15 * fast_seconds / fast_times
    assert seconds > 1.05 * waits(design="no-direct-writeback")[0]


@compiled
def test_streaming_copy_is_written_by_flushers_and_the_throttled_writer_alone() -> None:
    usual = run("streaming-copy")
    late = run("streaming-copy", "vm.dirty_ratio=90", "vm.dirty_background_ratio=80")

    assert usual.metrics["written_direct"] + usual.metrics["written_kswapd"] == 0
    assert usual.metrics["alloc_stall_count"] == 0
    assert usual.metrics["throttle_s"] > 5
    assert late.metrics["dirty_max_mib"] > 5 * usual.metrics["dirty_max_mib"]
    assert late.metrics["throttle_s"] < 0.7 * usual.metrics["throttle_s"]
    assert late.metrics["written_direct"] + late.metrics["written_kswapd"] < 0.01 * written(late)


@compiled
def test_small_transactions_seek_for_each_block_where_lazy_writers_seek_for_each_file() -> None:
    result = run("small-transactions")
    slowest_lazy = min(job(result, f"lazy.{n}")["write_mb_s"] for n in range(8))
    fastest_mailbox = max(job(result, f"mailbox.{n}")["write_mb_s"] for n in range(8))

    assert slowest_lazy > 20 * fastest_mailbox
    assert seeks_per_mib(result) > 100
    assert result.metrics["written_writer"] == written(result)


def test_each_direction_of_the_fidelity_page_names_a_test_that_is_there() -> None:
    page = (ROOT / "docs" / "explanation" / "fidelity.md").read_text()
    named = re.findall(r"`(test_\w+)`", page)
    assert len(named) >= 10
    tests = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    assert not [name for name in named if f"def {name}(" not in tests]
