# SPDX-License-Identifier: GPL-2.0-or-later
"""Kernel stacks: depth is the sum of frames, chains are those of the traces, a small stack overflows."""

import msgspec
import pytest

from pageout.jit import INTERPRETED
from pageout.kernel import frames
from pageout.machine.simulate import Result, simulate
from pageout.vocabulary.scenario import Filesystem, Scenario, Task
from tests.machine.test_simulate import KIB, MIB, MS, S, file, io, machine, scenario

pytestmark = pytest.mark.skipif(INTERPRETED, reason="whole runs: compiled only")

# Chain A of the reference's section 15, as the traces of April 2010 have it.
_CHAIN_A = """
system_call_fastpath sys_select core_sys_select do_select sock_poll unix_poll __pollwait
alloc_pages_current __alloc_pages_nodemask try_to_free_pages do_try_to_free_pages shrink_zone shrink_page_list
xfs_vm_writepage xfs_page_state_convert xfs_map_blocks xfs_iomap xfs_iomap_write_allocate xfs_bmapi
xfs_bmap_add_extent xfs_bmap_add_extent_delay_real xfs_btree_insert xfs_btree_insrec xfs_btree_make_block_unfull
xfs_btree_split xfs_bmbt_alloc_block xfs_alloc_vextent xfs_alloc_ag_vextent xfs_alloc_ag_vextent_near
xfs_alloc_fixup_trees xfs_alloc_lookup_eq xfs_btree_lookup xfs_btree_lookup_get_block xfs_btree_read_buf_block
xfs_trans_read_buf xfs_buf_read _xfs_buf_read xfs_buf_iorequest _xfs_buf_ioapply
submit_bio generic_make_request __make_request get_request_wait get_request mempool_alloc mempool_alloc_slab
"""
CHAIN_A = _CHAIN_A.split()


def selectors(filesystem: str = "xfs", design: str = "linux-2.6.34", **more: object) -> Scenario:
    """Many select() callers that must reclaim while a table is updated at random."""
    return scenario(
        machine(32, cpus=4, filesystem=Filesystem(kind=filesystem)),  # type: ignore[arg-type]
        (file(64, "table"), file(1024, "image")),
        io("randwrite", 64, "updater", of=0, norandommap=True, rate_bps=20 * MIB, time_based=True, runtime_ns=2 * S,
           seed=2),
        io("read", 1024, "reader", of=1, bs_bytes=64 * KIB, rate_bps=400 * MIB, background=True),
        Task(name="hog", kind="hog", anon_bytes=20 * MIB, rate_bps=60 * MIB, hold_ns=60 * S, background=True),
        *(Task(name=f"selector{n}", kind="select", interval_ns=MS // 10, background=True) for n in range(32)),
        prefill_bytes=32 * MIB,
        length_ns=2 * S,
        design=design,
        **more,  # type: ignore[arg-type]
    )  # fmt: skip


@pytest.fixture(scope="module")
def deep() -> Result:
    return simulate(selectors())


def test_the_sizes_of_the_deepest_chain_add_up_to_the_deepest_stack(deep: Result) -> None:
    rows = deep.deepest_stack[::-1]

    assert sum(size for _, size, _ in rows) == deep.metrics["stack_max_bytes"] == rows[-1][0]
    depth = 0
    for at, size, name in rows:
        depth += size
        assert at == depth
        assert size == frames.SIZES[name][0] > 0


def test_the_deepest_stack_is_the_deepest_of_any_job(deep: Result) -> None:
    jobs = deep.document()["jobs"]

    assert deep.metrics["stack_max_bytes"] >= max(job["stack_max_bytes"] for job in jobs)
    assert max(job["stack_max_bytes"] for job in jobs if job["kind"] == "select") == deep.metrics["stack_max_bytes"]


def test_select_reclaim_xfs_goes_through_the_functions_of_the_articles_trace(deep: Result) -> None:
    names = [name for _, _, name in deep.deepest_stack[::-1]]

    remaining = iter(names)
    assert all(wanted in remaining for wanted in CHAIN_A), names
    assert deep.metrics["stack_max_bytes"] == pytest.approx(7568, rel=0.05)


def test_without_writeback_from_reclaim_the_same_caller_needs_half_the_stack(deep: Result) -> None:
    other = simulate(selectors(design="flushers-only"))

    of_select = [
        max(job["stack_max_bytes"] for job in result.document()["jobs"] if job["kind"] == "select")
        for result in (deep, other)
    ]
    assert of_select[1] < 0.55 * of_select[0]


def test_ext2_needs_less_stack_than_xfs(deep: Result) -> None:
    assert simulate(selectors("ext2")).metrics["stack_max_bytes"] < deep.metrics["stack_max_bytes"] - 2000


def test_a_4_kib_stack_overflows_under_the_storm_and_an_8_kib_one_does_not(deep: Result) -> None:
    small = simulate(selectors(choices={"stack.bytes": 4096}))

    assert deep.metrics["stack_overflows"] == 0
    assert small.metrics["stack_overflows"] > 0
    assert small.metrics["stack_max_bytes"] > 4096
    over = [job for job in small.document()["jobs"] if job["stack_max_bytes"] > 4096]
    assert over


def test_the_stack_of_a_machine_that_only_writes_is_shallow() -> None:
    quiet = simulate(scenario(machine(128), (file(4),), io("write", 4)))

    assert quiet.metrics["stack_overflows"] == 0
    assert quiet.metrics["stack_max_bytes"] < deepest_of_a_flusher()


def deepest_of_a_flusher() -> int:
    """The flusher's own chain down to the driver, by the frame table."""
    rows = {row.name: row for row in frames.TABLE}
    chain = ("bdi_writeback_thread", "wb_writeback", "writeback_inodes_wb", "writeback_single_inode",
             "write_cache_pages", "xfs_vm_writepage")  # fmt: skip
    leaf = frames.chain_bytes(tuple(frames.LEAVES["xfs_read_metadata"].split()))
    return sum(frames.frame_bytes(rows[name]) for name in chain) + leaf + 1


def test_stack_bytes_of_the_machine_and_of_the_design_are_one_choice() -> None:
    what = selectors()
    by_machine = msgspec.structs.replace(what, machine=msgspec.structs.replace(what.machine, stack_bytes=4096))

    assert (
        simulate(by_machine).metrics["stack_overflows"]
        == (simulate(selectors(choices={"stack.bytes": 4096})).metrics["stack_overflows"])
    )
