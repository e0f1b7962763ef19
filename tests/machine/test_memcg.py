# SPDX-License-Identifier: GPL-2.0-or-later
"""Whole runs with memory cgroups: what users ask of them, all checkers on."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from pageout.jit import INTERPRETED
from pageout.machine import checkers
from pageout.machine.simulate import Result, simulate
from pageout.readers.read import read_input
from pageout.vocabulary.errors import InvariantError
from pageout.vocabulary.scenario import Cgroup, Scenario
from tests.machine.test_memory import hog
from tests.machine.test_simulate import KIB, MIB, MS, S, file, io, machine, scenario

pytestmark = pytest.mark.skipif(INTERPRETED, reason="whole runs: compiled only")
LATER = ("linux-6.1", "linux-6.12", "linux-6.18")
JOB = "job"


def grouped(what: Scenario, *groups: Cgroup, design: str = "linux-6.1") -> Scenario:
    return msgspec.structs.replace(what, cgroups=groups, design=design)


def group_of(result: Result, name: str = JOB) -> dict[str, Any]:
    return next(group for group in result.cgroups if group["name"] == name)


def reader(mib: int, name: str = "reader", which: int = 0, **more: Any) -> Any:
    return io("read", mib, name, of=which, **{"bs_bytes": 64 * KIB, "cgroup": JOB, **more})


@pytest.mark.parametrize("design", LATER)
def test_a_reader_of_more_than_memory_max_reclaims_from_its_own_group_and_leaves_the_others_cache(design: str) -> None:
    what = scenario(
        machine(128),
        (file(64, exists=True), file(16, "kept", exists=True)),
        reader(16, "kept", 1, cgroup=""),
        reader(64, start_delay_ns=S, background=False),
    )
    result = simulate(grouped(what, Cgroup(name=JOB, max_bytes=8 * MIB), design=design), check=5000)

    job = group_of(result)
    assert job["memory.peak"] == job["memory.max"] == 8 * MIB
    assert 7 * MIB < job["memory.current"] <= 8 * MIB
    assert job["memory.stat"]["pgsteal"] >= 56 * MIB // 4096
    assert job["memory.events"]["max"] > 0
    assert job["memory.events"]["oom"] == 0
    assert result.metrics["scanned_direct"] == result.metrics["scanned_kswapd"] == 0  # nobody else's pages
    cached = result.booted.arrays["inode"]["nr_pages"][:2].tolist()
    assert cached[1] == 16 * MIB // 4096


@pytest.mark.parametrize("design", LATER)
def test_a_hog_over_memory_max_is_killed_and_the_hog_outside_is_not(design: str) -> None:
    what = scenario(machine(128), (), hog(16, "inside", cgroup=JOB), hog(32, "outside"))
    result = simulate(grouped(what, Cgroup(name=JOB, max_bytes=8 * MIB), design=design), check=500)

    killed = {job["name"]: job["killed"] for job in result.document()["jobs"]}
    assert killed == {"inside": True, "outside": False}
    assert group_of(result)["memory.events"]["oom_kill"] == 1
    assert group_of(result)["memory.current"] < MIB // 4
    assert [(kill["victim"], kill["cgroup"]) for kill in result.oom] == [("inside", JOB)]
    assert "Memory cgroup out of memory: kill process" in result.dmesg
    assert "limit 8192kB" in result.dmesg
    assert "Memory cgroup stats for /job:" in result.dmesg
    assert result.oom[0]["cgroup_kib"]["anon"] > 7 << 10


def test_with_swap_the_hog_lives_and_its_group_stays_within_its_limit() -> None:
    what = scenario(machine(128, swap_mib=64, kind="ssd"), (), hog(16, "inside", cgroup=JOB))
    result = simulate(grouped(what, Cgroup(name=JOB, max_bytes=8 * MIB)), check=500)

    assert not result.document()["jobs"][0]["killed"]
    assert group_of(result)["memory.peak"] == 8 * MIB
    assert result.vmstat["pswpout"] >= 8 * MIB // 4096


def test_over_memory_high_a_hog_without_swap_crawls_and_nobody_dies() -> None:
    what = scenario(machine(128), (), hog(9, "inside", cgroup=JOB, rate_bps=100 * MIB))
    free = simulate(grouped(what, Cgroup(name=JOB)))
    result = simulate(grouped(what, Cgroup(name=JOB, high_bytes=8 * MIB)), check=500)

    job = group_of(result)
    assert job["memory.events"]["high"] > 0
    assert job["memory.events"]["oom_kill"] == job["memory.events"]["max"] == 0
    assert job["high_sleeps"] > 0
    assert job["high_slept_s"] >= job["high_asked_s"] > 0.1
    assert result.now_ns - free.now_ns == pytest.approx(job["high_slept_s"] * S, rel=0.05)


def writers(design: str, **limits: int) -> Scenario:
    what = scenario(
        machine(256, kind="throttled", write_bps=40 * MIB),
        (),
        io("write", 48, "inside", bs_bytes=64 * KIB, cgroup=JOB),
        io("write", 48, "outside", of=1, bs_bytes=64 * KIB),
    )
    files = (file(48), file(48, "other"))
    return grouped(msgspec.structs.replace(what, files=files), Cgroup(name=JOB, **limits), design=design)


@pytest.mark.parametrize("design", LATER)
def test_a_writer_in_a_small_group_is_throttled_at_the_groups_limit_and_not_stalled_in_reclaim(
    design: str, tmp_path: Path
) -> None:
    result = simulate(writers(design, max_bytes=16 * MIB), trace=tmp_path / "t.txt", check=20_000)

    job, jobs = group_of(result), {job["name"]: job for job in result.document()["jobs"]}
    assert job["memory.events"]["oom"] == 0
    assert jobs["inside"]["throttle_count"] > jobs["outside"]["throttle_count"]
    assert jobs["inside"]["write_mb_s"] < 42
    events = read_input(str(tmp_path / "t.txt")).events.frames
    pauses = events["balance_dirty_pages"]
    assert set(pauses["cgroup_ino"].to_list()) == {1, 1001}
    inside = pauses.filter(pauses["cgroup_ino"] == 1001)
    assert set(inside["comm"].to_list()) == {"inside"}
    assert inside["dirty"].max() < 16 * MIB // 4096 // 2  # pages of the group, not of the machine
    begins, ends = events["mm_vmscan_memcg_reclaim_begin"], events["mm_vmscan_memcg_reclaim_end"]
    assert begins.height == ends.height == job["reclaims"] > 0
    works = events["writeback_start"]
    assert {1, 1001} <= set(works["cgroup_ino"].to_list())


def test_a_group_without_a_limit_has_writeback_of_its_own() -> None:
    result = simulate(writers("linux-6.18"), check=20_000)

    bdi, inode = result.booted.arrays["bdi"], result.booted.arrays["inode"]
    nr_bdis = int(result.booted.arrays["param"]["nr_bdis"][0])
    assert inode["bdi"][:2].tolist() == [nr_bdis, 0]
    assert bdi["nr_dirtied"][[0, nr_bdis]].tolist() == [48 * MIB // 4096] * 2
    assert group_of(result)["memory.max"] is None
    assert group_of(result)["reclaims"] == 0


def test_global_reclaim_takes_from_every_group() -> None:
    what = scenario(
        machine(32),
        (file(24, exists=True), file(24, "other", exists=True)),
        reader(24),
        reader(24, "second", 1, cgroup="b"),
        hog(16, "pressure", start_delay_ns=500 * MS),
    )
    result = simulate(grouped(what, Cgroup(name=JOB), Cgroup(name="b"), design="linux-6.12"), check=2000)

    assert result.metrics["reclaimed_kswapd"] > 0
    assert all(group_of(result, name)["memory.stat"]["pgsteal_kswapd"] > 0 for name in (JOB, "b"))
    assert all(group_of(result, name)["memory.events"]["max"] == 0 for name in (JOB, "b"))


SPOILED = [
    ("memory_max", lambda group: group["usage"] - 1, "may hold"),
    ("usage", lambda group: group["usage"] + 1, "usage"),
    ("nr_file", lambda group: group["nr_file"] + 1, "nr_file"),
    ("peak", lambda group: group["usage"] - 1, "more than its peak"),
]


@pytest.mark.parametrize(("name", "value", "said"), SPOILED, ids=[name for name, _, _ in SPOILED])
def test_a_spoiled_group_is_found_and_named(name: str, value: Any, said: str) -> None:
    what = scenario(machine(128), (file(16, exists=True),), reader(16, background=False))
    result = simulate(grouped(what, Cgroup(name=JOB, max_bytes=8 * MIB)))
    group = result.booted.arrays["memcg"]
    checkers.check(result.booted, result.scenario)
    group[name][1] = value({field: int(group[field][1]) for field in group.dtype.names})

    with pytest.raises(InvariantError, match=said):
        checkers.check(result.booted, result.scenario)
