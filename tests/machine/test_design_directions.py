# SPDX-License-Identifier: GPL-2.0-or-later
"""For each design a scenario that tells it from linux-2.6.34, in the direction that its source expects.

The table of directions is in docs/explanation/designs.md.
"""

from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pageout.jit import INTERPRETED
from pageout.machine.simulate import Result, simulate
from pageout.vocabulary.scenario import Filesystem, Scenario, Task
from pageout.vocabulary.settings import DESIGNS
from tests.conftest import ROOT
from tests.machine.test_simulate import KIB, MIB, MS, S, file, io, machine, scenario, traced

pytestmark = pytest.mark.skipif(INTERPRETED, reason="whole runs: compiled only")
LINUX = "linux-2.6.34"
SEEDS = (1, 2, 3)
ORDERS = (1, 2, 3)


def squeeze(seed: int = 1, *, fs: str = "xfs", orders: tuple[int, ...] = ORDERS, kind: str = "disk") -> Scenario:
    """A small machine whose limits let half of memory be dirty: random dirt, a reader, a hog, allocations."""
    memory = 64
    return scenario(
        machine(memory, cpus=4, kind=kind, filesystem=Filesystem(kind=fs)),  # type: ignore[arg-type]
        (file(64, "table"), file(1024, "image")),
        io("randwrite", 64, "updater", of=0, norandommap=True, rate_bps=20 * MIB, time_based=True, runtime_ns=S,
           seed=seed),
        io("read", 1024, "reader", of=1, bs_bytes=64 * KIB, rate_bps=200 * MIB, background=True),
        Task(name="hog", kind="hog", anon_bytes=memory * MIB * 7 // 10, rate_bps=60 * MIB, hold_ns=60 * S,
             background=True),
        *(Task(name=f"selector{n}", kind="select", interval_ns=MS // 10, background=True) for n in range(4)),
        Task(name="netrx", kind="alloc", interval_ns=MS, hold=128, background=True),
        *(Task(name=f"order-{order}", kind="alloc", order=order, interval_ns=5 * MS, hold=16, background=True)
          for order in orders),
        settings={"vm.dirty_ratio": 60, "vm.dirty_background_ratio": 50},
        prefill_bytes=memory * MIB,
        length_ns=S,
        seed=seed,
    )  # fmt: skip


@cache
def run(design: str = LINUX, seed: int = 1, choices: tuple[tuple[str, str], ...] = (), **more: Any) -> Result:
    what = msgspec.structs.replace(squeeze(seed, **more), design=design, choices=dict(choices))
    return simulate(what)


def total(figure: str, design: str = LINUX, **more: Any) -> float:
    """A figure summed over the seeds."""
    return sum(run(design, seed, **more).metrics[figure] for seed in SEEDS)


def selectors_depth(result: Result) -> int:
    """The deepest stack of the select() callers, who write no files themselves."""
    return max(job["stack_max_bytes"] for job in result.document()["jobs"] if job["name"].startswith("selector"))


def deepest_selector(design: str = LINUX) -> int:
    """The deepest stack of any select() caller, over the seeds."""
    return max(selectors_depth(run(design, seed)) for seed in SEEDS)


def state_but_depth(result: Result) -> dict[str, Any]:
    return {name: value for name, value in result.metrics.items() if not name.startswith("stack_")}


def congestion_s(design: str) -> float:
    return sum(float(run(design, seed).booted.arrays["task"]["congestion_ns"].sum()) for seed in SEEDS) / S


def test_linux_writes_from_direct_reclaim_deep_on_foreign_stacks() -> None:
    assert total("written_direct") > 1000
    assert selectors_depth(run()) > 5000


def test_no_direct_writeback_writes_none_and_takes_the_filesystem_off_foreign_stacks() -> None:
    assert total("written_direct", "no-direct-writeback") == 0
    assert total("written_flusher", "no-direct-writeback") > total("written_flusher")
    assert selectors_depth(run("no-direct-writeback")) < selectors_depth(run()) - 2000


def test_order_0_only_writes_from_high_orders_only() -> None:
    assert 0 < total("written_direct", "order-0-only") < 0.2 * total("written_direct")
    assert total("written_direct", "order-0-only", orders=()) == 0
    assert total("written_direct", orders=()) > 1000


def test_order_0_only_gives_the_two_kinds_of_request_what_was_promised(tmp_path: Path) -> None:
    what = msgspec.structs.replace(squeeze(), design="order-0-only")

    _, recording = traced(what, tmp_path)

    begun = recording.column("mm_vmscan_direct_reclaim_begin")
    assert {int(order) for order in begun["order"]} >= {0, 1, 2, 3}
    assert ((begun["may_writepage"] != 0) == (begun["order"] > 0)).all()


def test_kosaki_takes_writing_from_kswapd_and_defers_it_in_direct_reclaim_but_pressure_brings_it_back() -> None:
    assert total("written_kswapd", "kosaki-priority") == 0
    assert 0 < total("written_direct", "kosaki-priority") < 0.7 * total("written_direct")
    assert deepest_selector("kosaki-priority") >= deepest_selector()


@pytest.mark.parametrize("design", ["flushers-only", "inode-targeting"])
def test_gormans_designs_leave_all_writing_to_the_flushers_and_wait_for_it(design: str) -> None:
    assert total("written_direct", design) == 0
    assert total("written_kswapd", design) < 0.8 * total("written_kswapd")
    assert total("written_flusher", design) > total("written_flusher")
    assert congestion_s(design) > congestion_s(LINUX)


def test_inode_targeting_asks_for_pages_of_a_zone_of_the_inodes_that_reclaim_met() -> None:
    assert run("inode-targeting", fs="ext2").digest != run("flushers-only", fs="ext2").digest
    marked = [int(run("inode-targeting", seed).booted.arrays["task"]["wbc_zone"].max()) for seed in SEEDS]
    assert max(marked) > 0


def test_write_around_writes_more_a_call_and_takes_no_less_stack() -> None:
    assert total("written_direct", "write-around") > 1.2 * total("written_direct")
    assert deepest_selector("write-around") >= deepest_selector()


def test_a_reclaim_thread_takes_reclaim_off_the_callers_stacks_and_makes_them_stand_in_line() -> None:
    deepest = [selectors_depth(run("reclaim-thread", seed)) for seed in SEEDS]

    assert max(deepest) < selectors_depth(run()) - 3000
    assert max(deepest) == _bytes_of("sys_select", "do_select", "alloc_pages", "hand_to_worker")
    assert total("alloc_stall_s", "reclaim-thread") > total("alloc_stall_s")


def _bytes_of(*names: str) -> int:
    from pageout.kernel import frames

    return sum(frames.frame_bytes(frames.TABLE[getattr(frames.FN, name)]) for name in names)


def test_a_reclaim_thread_itself_carries_the_chain_from_a_base_of_its_own() -> None:
    result = run("reclaim-thread", 1, (("reclaim.worker", "cpu"),))
    first = int(result.booted.arrays["param"]["first_worker"][0])
    peaks = result.booted.arrays["task"]["peak"][first : first + 4]
    assert peaks.max() > 3000
    assert int(run().booted.arrays["task"]["peak"][first : first + 4].max()) == _bytes_of("reclaim_worker")


@pytest.mark.parametrize(("where", "less"), [("reclaim", 1900), ("writepage", 2000)])
def test_a_switch_of_stacks_changes_the_depth_and_nothing_else(where: str, less: int) -> None:
    switched = run("stack-switch", 1, (("stack.switch", where),))

    assert state_but_depth(switched) == state_but_depth(run())
    assert selectors_depth(switched) <= selectors_depth(run()) - less
    assert switched.deepest_stack[0][0] == switched.metrics["stack_max_bytes"]


def test_zone_dirty_limits_keep_a_small_zone_from_filling_with_dirt() -> None:
    what = scenario(
        machine(4400), (file(300),), io("write", 300, rate_bps=200 * MIB, bs_bytes=64 * KIB), length_ns=2 * S
    )

    def share_of_top_zone(design: str) -> float:
        zone = simulate(msgspec.structs.replace(what, design=design)).booted.arrays["zone"][-1]
        return float(zone["nr_dirty"]) / float(zone["present"])

    assert share_of_top_zone(LINUX) > 0.9
    assert 0.15 < share_of_top_zone("zone-dirty-limits") <= 0.2


def test_reclaim_3_2_writes_nothing_from_direct_reclaim_and_reclaims_pages_as_soon_as_they_are_written() -> None:
    def rotated(design: str) -> int:
        return sum(run(design, seed).vmstat["pgrotated"] for seed in SEEDS)

    assert total("written_direct", "reclaim-3.2") == 0
    assert 0 < total("written_kswapd", "reclaim-3.2") < total("written_direct") + total("written_kswapd")
    assert rotated("reclaim-3.2") > 1.2 * rotated(LINUX)
    assert rotated("reclaim-3.2") > 3 * rotated("no-direct-writeback")
    assert selectors_depth(run("reclaim-3.2")) < selectors_depth(run()) - 2000


def test_reclaim_3_2_waits_only_for_congestion_it_has_met(tmp_path: Path) -> None:
    _, recording = traced(msgspec.structs.replace(squeeze(), design="reclaim-3.2"), tmp_path)

    waits = recording.column("writeback_wait_iff_congested")
    assert waits.size > 0
    assert (waits["usec_delayed"] == 0).any()


# --- the mechanisms that `why` takes away one by one


def test_half_the_background_level_keeps_less_dirty() -> None:
    usual = total("dirty_mean_mib", orders=())
    assert total("dirty_mean_mib", orders=(), choices=(("background.start", "half"),)) < usual


def test_wide_watermarks_wake_kswapd_earlier(tmp_path: Path) -> None:
    def zone(choices: tuple[tuple[str, str], ...]) -> Any:
        return run(choices=choices, orders=()).booted.arrays["zone"][-1]

    kernel, wide = zone(()), zone((("watermark.gap", "wide"),))
    for mark in ("wmark_low", "wmark_high"):
        assert wide[mark] - wide["wmark_min"] == 8 * (kernel[mark] - kernel["wmark_min"])
    assert wide["wmark_min"] == kernel["wmark_min"]


def test_without_the_split_no_file_page_is_ever_active() -> None:
    one_list, split = run(choices=(("lru.split", "off"),)), run()
    assert one_list.vmstat["nr_active_file"] == 0
    assert split.vmstat["nr_active_file"] > 0
    assert one_list.vmstat["pgactivate"] < split.vmstat["pgactivate"]


def test_every_design_has_a_page_and_a_row_of_directions() -> None:
    index = (ROOT / "docs" / "explanation" / "designs.md").read_text()
    for design in DESIGNS:
        page = ROOT / "docs" / "designs" / f"{design}.md"
        assert page.is_file(), design
        assert f"../designs/{design}.md" in index, design
