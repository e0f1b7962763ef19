# SPDX-License-Identifier: GPL-2.0-or-later
"""Contiguous memory in whole runs: huge pages against a dirty cache, jumbo frames, stacks that cost memory; --proc."""

import msgspec
import numpy as np
import pytest

from pageout.engine import constants as c
from pageout.jit import INTERPRETED
from pageout.machine.simulate import Result, simulate
from pageout.vocabulary.scenario import Scenario, Task
from tests.machine.test_simulate import KIB, MIB, MS, NO_FLUSHING, S, file, io, machine, scenario
from tests.naive import allocator as naive

pytestmark = pytest.mark.skipif(INTERPRETED, reason="whole runs: compiled only")
SEEDS = (1, 2, 3)


def under(what: Scenario, **choices: str | int) -> Result:
    return simulate(msgspec.structs.replace(what, choices={k.replace("_", "."): v for k, v in choices.items()}))


def huge_pages(seed: int) -> Scenario:
    """Huge pages wanted on a machine half of whose memory is dirty."""
    return scenario(
        machine(64),
        (file(40, "table"), file(1024, "image")),
        io("randwrite", 40, "updater", of=0, norandommap=True, time_based=True, runtime_ns=6 * S, seed=seed,
           rate_bps=30 * MIB),
        io("read", 1024, "reader", of=1, bs_bytes=64 * KIB, rate_bps=10 * MIB, background=True),
        Task(name="huge", kind="hugepages", interval_ns=100 * MS, count=6, background=True),
        prefill_bytes=64 * MIB,
        length_ns=6 * S,
        seed=seed,
        settings={"vm.dirty_ratio": 60, "vm.dirty_background_ratio": 50},
    )  # fmt: skip


def forks(seed: int) -> Scenario:
    """A fork storm on a small machine whose memory is full of cache and splintered by network buffers."""
    return scenario(
        machine(48, cpus=4),
        (file(96, "table"), file(1024, "image")),
        io("randwrite", 96, "updater", of=0, norandommap=True, rate_bps=20 * MIB, time_based=True, runtime_ns=3 * S,
           seed=seed),
        io("read", 1024, "reader", of=1, bs_bytes=64 * KIB, rate_bps=80 * MIB, background=True),
        Task(name="netrx", kind="alloc", interval_ns=MS // 4, hold=2048, background=True),
        *(Task(name=f"forker{n}", kind="fork", interval_ns=2 * MS, lifetime_ns=600 * MS, background=True)
          for n in range(4)),
        prefill_bytes=48 * MIB,
        length_ns=3 * S,
        seed=seed,
    )  # fmt: skip


def on_ext2(what: Scenario) -> Scenario:
    """The same without a log and metadata far away, whose seeks are none of reclaim's."""
    filesystem = msgspec.structs.replace(what.machine.filesystem, kind="ext2")
    return msgspec.structs.replace(what, machine=msgspec.structs.replace(what.machine, filesystem=filesystem))


def test_gentle_lumpy_seeks_less_far_and_gets_no_fewer_huge_pages() -> None:
    """S11: a lumpy reclaim that is less seeky; over three seeds, for one run says little."""
    got, far = {"on": 0, "gentle": 0}, {"on": 0.0, "gentle": 0.0}
    for seed in SEEDS:
        for how in got:
            run = under(huge_pages(seed), reclaim_lumpy=how)
            got[how] += sum(row["attempts"] - row["failures"] for row in run.document()["highorder"])
            data_only = under(on_ext2(huge_pages(seed)), reclaim_lumpy=how).metrics
            far[how] += data_only["seek_mean_mib"] * data_only["seek_count"]
    assert got["gentle"] >= got["on"] > 0
    assert far["gentle"] < far["on"]


def test_16k_stacks_take_more_memory_and_make_forks_wait_longer_than_8k() -> None:
    """S12 and 18.9 of the reference: every fork needs a block of order 2 in place of one of order 1."""
    stalls, slow = [0, 0], [0.0, 0.0]
    for seed in SEEDS:
        small, large = (under(forks(seed), stack_bytes=size) for size in (8192, 16384))
        for which, run in enumerate((small, large)):
            stalls[which] += int(run.booted.arrays["hist_sum"]["total"][c.HIST_FORK])
            slow[which] += run.metrics["fork_stall_p99_us"]
        assert large.metrics["stack_memory_mib"] > 1.3 * small.metrics["stack_memory_mib"]
        assert [run.document()["highorder"][0]["order"] for run in (small, large)] == [1, 2]
        assert small.metrics["highorder_failures"] == large.metrics["highorder_failures"] == 0
    assert stalls[1] > 2 * stalls[0]
    assert slow[1] > slow[0]


def test_stack_memory_is_the_order_each_fork_needs() -> None:
    for size, pages in ((4096, 1), (8192, 2), (16384, 4)):
        calm = scenario(machine(64), (file(1),), Task(name="f", kind="fork", interval_ns=MS, lifetime_ns=S, count=20))
        run = under(calm, stack_bytes=size)
        assert run.metrics["stack_memory_mib"] == pytest.approx(20 * pages / 256, abs=1e-3)


def test_huge_pages_stay_in_the_pool_when_their_task_is_gone() -> None:
    run = simulate(scenario(machine(64), (file(1),), Task(name="h", kind="hugepages", interval_ns=MS, count=5)))
    assert run.ending == "done"
    assert run.document()["highorder"] == [{"order": 9, "attempts": 5, "failures": 0}]
    assert "HugePages_Total:       5\n" in run.proc_files()["meminfo"]
    heads = run.booted.arrays["page"]["pflags"] & (c.PG_KERNEL | c.ORDER_MASK) == c.PG_KERNEL | 9 << c.ORDER_SHIFT
    blocks = np.flatnonzero(heads)
    assert len(blocks) == 5
    assert (run.booted.arrays["pageblock"][blocks >> 9] == c.MIGRATE_UNMOVABLE).all()


def test_an_atomic_request_fails_where_one_that_may_wait_reclaims() -> None:
    """A jumbo frame in softirq context against memory full of clean cache: only kswapd can help it."""
    found = {}
    for gfp in ("atomic", "kernel", "nofs", "noio"):
        what = scenario(
            machine(32),
            (file(64),),
            io("read", 64, "reader", bs_bytes=64 * KIB, background=True),
            Task(name="rx", kind="alloc", order=2, gfp=gfp, interval_ns=MS // 20, hold=1200, count=1500),  # type: ignore[arg-type]
            prefill_bytes=32 * MIB,
        )
        run = simulate(what)
        (found[gfp],) = (job for job in run.document()["jobs"] if job["name"] == "rx")
    assert found["atomic"]["highorder_failures"] > 0
    assert found["atomic"]["alloc_stall_count"] == 0
    for gfp in ("kernel", "nofs", "noio"):
        assert found[gfp]["highorder_failures"] == 0
        assert found[gfp]["alloc_stall_count"] > 0


@pytest.fixture(scope="module")
def stopped() -> Result:
    """A machine caught in the middle of a storm."""
    tasks = (
        io("randwrite", 40, "w", norandommap=True, rate_bps=40 * MIB, background=True),
        io("randread", 20, "m", mmap=True, background=True),
        Task(name="hog", kind="hog", anon_bytes=8 * MIB, hold_ns=60 * S, background=True),
        Task(name="fork", kind="fork", interval_ns=MS, lifetime_ns=100 * MS, background=True),
        Task(name="huge", kind="hugepages", interval_ns=100 * MS, background=True),
    )
    return simulate(
        scenario(machine(64, swap_mib=16), (file(40),), *tasks, settings=NO_FLUSHING, length_ns=2 * S, seed=5)
    )


def rows(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def test_buddyinfo_and_pagetypeinfo_equal_a_recount_of_page_flags(stopped: Result) -> None:
    arrays, files = stopped.booted.arrays, stopped.proc_files()
    pflags = arrays["page"]["pflags"]
    buddy, by_type = rows(files["buddyinfo"]), rows(files["pagetypeinfo"])
    typed = {(row[3].rstrip(","), row[5]): row[6:] for row in by_type if row[:1] == ["Node"] and "type" in row}
    counted = {row[3]: row[4:] for row in by_type if row[:1] == ["Node"] and "type" not in row}
    start = 0
    for row, zone in zip(buddy, arrays["zone"], strict=True):
        end = int(zone["end_page"])
        here = pflags[start:end]
        heads = here[here & c.PG_BUDDY != 0]
        orders, kinds = (heads & c.ORDER_MASK) >> c.ORDER_SHIFT, (heads & c.MT_MASK) >> c.MT_SHIFT
        assert row[:3] == ["Node", "0,", "zone"]
        assert row[4:] == [str(int((orders == order).sum())) for order in range(11)]
        for kind, name in enumerate(("Unmovable", "Reclaimable", "Movable", "Reserve", "Isolate")):
            expected = [str(int(((orders == order) & (kinds == kind)).sum())) for order in range(11)]
            assert typed[row[3], name] == expected
        blocks = [arrays["pageblock"][page >> 9] for page in range(start, end, 512)]
        assert counted[row[3]] == [str(blocks.count(kind)) for kind in range(5)]
        start = end
    assert by_type[0] == ["Page", "block", "order:", "9"]


def test_the_indices_are_those_of_the_twin(stopped: Result) -> None:
    files = stopped.proc_files()
    for name, index in (("extfrag_index", naive.fragmentation_index), ("unusable_index", naive.unusable_index)):
        for row, free in zip(rows(files[name]), rows(files["buddyinfo"]), strict=True):
            counts = [int(nr) for nr in free[4:]]
            assert [round(float(value) * 1000) for value in row[4:]] == [index(counts, order) for order in range(11)]


@pytest.mark.parametrize(
    ("counts", "order", "expected"),
    [([0] * 11, 3, 0), ([8] + [0] * 10, 3, 750), ([100] + [0] * 10, 1, 490), ([0] * 9 + [1, 0], 9, -1000)],
)
def test_the_fragmentation_index_by_hand(counts: list[int], order: int, expected: int) -> None:
    from pageout.machine.procfs import fragmentation_index

    assert fragmentation_index(counts, order) == naive.fragmentation_index(counts, order) == expected


def test_zoneinfo_vmstat_and_meminfo_equal_a_recount_of_page_flags(stopped: Result) -> None:
    arrays, files = stopped.booted.arrays, stopped.proc_files()
    pflags, mapping = arrays["page"]["pflags"], arrays["page"]["mapping"]
    cached = (mapping >= 0) & (pflags & (c.PG_LRU | c.PG_PVEC | c.PG_ISOLATED) != 0)
    anon = pflags & c.PG_SWAPBACKED != 0
    heads = pflags[pflags & c.PG_BUDDY != 0]
    recount = {
        "nr_free_pages": int((1 << ((heads & c.ORDER_MASK) >> c.ORDER_SHIFT)).sum()),
        "nr_anon_pages": int((cached & anon).sum()),
        "nr_file_pages": int((cached & ~anon).sum()),
        "nr_mapped": int((cached & ~anon & (pflags & c.PG_MAPPED != 0)).sum()),
        "nr_dirty": int((~anon & (pflags & c.PG_DIRTY != 0)).sum()),
        "nr_writeback": int((pflags & c.PG_WRITEBACK != 0).sum()),
        "nr_active_anon": int((pflags & c.PG_LRU != 0)[anon & (pflags & c.PG_ACTIVE != 0)].sum()),
    }
    zones = [row for row in rows(files["zoneinfo"]) if len(row) == 2]
    vmstat = {name: int(value) for name, value in rows(files["vmstat"])}
    meminfo = {row[0].rstrip(":"): int(row[1]) for row in rows(files["meminfo"])}
    for name, count in recount.items():
        assert sum(int(value) for key, value in zones if key == name) == count, name
        assert vmstat.get(name, count) == count
    named = {"MemFree": "nr_free_pages", "Cached": "nr_file_pages", "AnonPages": "nr_anon_pages",
             "Dirty": "nr_dirty", "Writeback": "nr_writeback", "Mapped": "nr_mapped"}  # fmt: skip
    assert {name: meminfo[name] for name in named} == {name: 4 * recount[key] for name, key in named.items()}
    stacks = int((pflags & (c.PG_KERNEL | c.ORDER_MASK) == c.PG_KERNEL | 1 << c.ORDER_SHIFT).sum())
    assert meminfo["KernelStack"] == 8 * stacks > 0
    assert "slabs_scanned" not in vmstat
    kept = [int(row[1]) for row in rows(files["zoneinfo"]) if row[0] == "count:"]
    assert sum(kept) == int((pflags & c.PG_PCP != 0).sum())
