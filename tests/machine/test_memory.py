# SPDX-License-Identifier: GPL-2.0-or-later
"""Anonymous memory: the OOM killer, swap, and that no page goes astray."""

from pathlib import Path

import msgspec
import numpy as np
import pytest

from pageout.engine import constants as c
from pageout.jit import INTERPRETED
from pageout.machine.simulate import Result, simulate
from pageout.vocabulary.scenario import Scenario, Task
from tests.machine.test_simulate import GIB, KIB, MIB, MS, S, file, io, machine, scenario, traced

pytestmark = pytest.mark.skipif(INTERPRETED, reason="whole runs: compiled only")


def hog(mib: int, name: str = "hog", **more: object) -> Task:
    return Task(name=name, kind="hog", anon_bytes=mib * MIB, **{"hold_ns": S, **more})  # type: ignore[arg-type]


def crowded(swap_mib: int) -> Scenario:
    """A hog larger than memory, beside a writer that only wants to get on."""
    return scenario(
        machine(32, swap_mib=swap_mib),
        (file(8, exists=True),),
        hog(48, rate_bps=40 * MIB),
        io("write", 8, "writer", bs_bytes=64 * KIB, rate_bps=2 * MIB, end_fsync=True),
    )


def anonymous(result: Result) -> tuple[int, int, int]:
    """(pages in memory, pages with a slot on swap, pages with either) of all anonymous memory."""
    arrays = result.booted.arrays
    in_memory = on_swap = either = 0
    for inode in arrays["inode"][arrays["inode"]["kind"] == c.INODE_ANON]:
        slots = arrays["slot"][inode["slot_start"] :][: inode["nr_slots"]]
        in_memory += int((slots["page"] != c.NIL).sum())
        on_swap += int((slots["block"] != c.NIL).sum())
        either += int(((slots["page"] != c.NIL) | (slots["block"] != c.NIL)).sum())
    return in_memory, on_swap, either


def test_a_hog_larger_than_memory_is_killed_and_the_machine_goes_on(tmp_path: Path) -> None:
    result, recording = traced(crowded(0), tmp_path, check=2000)

    jobs = {job["name"]: job for job in result.document()["jobs"]}
    assert jobs["hog"]["killed"]
    assert result.metrics["oom_kills"] == 1
    assert recording.column("mark_victim")["target_pid"].tolist() == [1000]
    assert not jobs["writer"]["killed"]
    assert jobs["writer"]["write_mib"] == 8
    assert jobs["writer"]["error"] is None
    assert result.ending == "done"
    assert anonymous(result) == (0, 0, 0)


def test_with_swap_the_same_hog_survives() -> None:
    result = simulate(crowded(64), check=2000)

    assert result.metrics["oom_kills"] == 0
    assert not any(job["killed"] for job in result.document()["jobs"])
    assert result.ending == "done"
    assert result.vmstat["pswpout"] > 0
    assert anonymous(result) == (0, 0, 0)  # it has gone, with all it had
    assert int(result.booted.arrays["stat"]["swap_free"][0]) == 64 * 256


def test_the_killer_takes_the_largest_task() -> None:
    small, large = hog(8, "small", hold_ns=20 * S), hog(64, "large", rate_bps=40 * MIB, start_delay_ns=S)

    jobs = simulate(scenario(machine(32), (), small, large)).document()["jobs"]

    assert [job["killed"] for job in jobs] == [False, True]


def test_a_hog_that_fits_is_left_alone() -> None:
    result = simulate(scenario(machine(64), (), hog(32)))

    assert result.metrics["oom_kills"] == 0
    assert result.vmstat["pgfault"] == 32 * 256


def test_swap_too_small_for_the_hog_ends_in_the_oom_killer_too() -> None:
    result = simulate(scenario(machine(32, swap_mib=8), (), hog(64, rate_bps=40 * MIB)), check=2000)

    assert result.metrics["oom_kills"] == 1


def touched_twice(length_ns: int = 0) -> Scenario:
    return scenario(
        machine(32, swap_mib=64), (file(1),), hog(40, rate_bps=40 * MIB, hold_ns=4 * S), length_ns=length_ns
    )


def test_what_was_swapped_out_comes_back() -> None:
    result = simulate(touched_twice(), check=5000)

    vm = result.vmstat
    assert vm["pswpout"] >= (40 - 32) * 256
    assert vm["pswpin"] > 0
    assert vm["pgmajfault"] == vm["pswpin"]
    assert vm["pgpgin"] == vm["pswpin"] * 4
    assert vm["pgpgout"] == vm["pswpout"] * 4


@pytest.mark.parametrize("at_ms", [900, 1300, 2100, 3100])
def test_no_anonymous_page_goes_astray(at_ms: int) -> None:
    result = simulate(touched_twice(at_ms * MS), check=5000)

    in_memory, on_swap, either = anonymous(result)
    touched = min(40 * 256, at_ms * 40 * 256 // 1000)
    assert touched * 0.95 <= either <= 40 * 256
    assert in_memory == result.vmstat["nr_anon_pages"]
    assert on_swap == 64 * 256 - int(result.booted.arrays["stat"]["swap_free"][0])


def test_a_page_fault_a_page_and_no_more_while_memory_lasts() -> None:
    result = simulate(scenario(machine(64), (), hog(16, hold_ns=5 * S)))

    assert result.vmstat["pgfault"] == 16 * 256  # touched again each second: mapped, so no fault
    assert result.vmstat["pgmajfault"] == 0


def test_all_memory_is_free_again_when_everybody_has_gone() -> None:
    tasks = (
        hog(8, hold_ns=MS),
        Task(name="alloc", kind="alloc", order=3, interval_ns=MS, hold=8, count=50),
        Task(name="fork", kind="fork", interval_ns=MS, lifetime_ns=10 * MS, count=50),
    )

    result = simulate(scenario(machine(64), (), *tasks, length_ns=2 * S), check=1000)

    zones = result.booted.arrays["zone"]
    on_cpus = int(result.booted.arrays["pcp"]["nr"].sum())
    assert result.vmstat["nr_free_pages"] + on_cpus == int(zones["present"].sum())
    assert np.count_nonzero(result.booted.arrays["page"]["pflags"] & c.PG_KERNEL) == 0


def test_high_orders_fail_where_memory_is_in_pieces_and_single_pages_do_not() -> None:
    what = scenario(
        machine(32),
        (file(GIB // MIB, "image"),),
        io("read", 256, "reader", bs_bytes=64 * KIB, rate_bps=100 * MIB, background=True),
        Task(name="order8", kind="alloc", order=8, interval_ns=2 * MS, hold=24, count=100),
        prefill_bytes=32 * MIB,
    )

    metrics = simulate(what, check=5000).metrics

    assert metrics["highorder_attempts"] == 100
    assert 0 < metrics["highorder_failures"] < 100


def test_a_hog_in_a_hurry_gives_way_at_the_end_of_each_slice() -> None:
    result = simulate(scenario(machine(64), (), hog(32)))

    stat, task = result.booted.arrays["stat"], result.booted.arrays["task"]
    assert int(task["cpu_ns"][result.first_task]) < int(stat["slices"][0]) * 60_000  # 50 us, and the fault that ends it


def test_a_run_in_which_nobody_gets_on_any_more_ends_and_says_so() -> None:
    """Linux 2.6.34: who may not enter a filesystem and finds nothing to reclaim never looks at the free lists again."""
    whole = crowded(0)
    result = simulate(msgspec.structs.replace(whole, files=(file(8),)), check=20_000)

    assert result.ending.startswith("livelock")
    assert result.now_ns > 1200 * S
    assert result.metrics["oom_kills"] == 1
    assert result.vmstat["nr_free_pages"] > 6000  # what the killed task had
