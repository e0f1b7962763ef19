# SPDX-License-Identifier: GPL-2.0-or-later
"""Kernel stacks: depth is the sum of frames, chains are those of the traces, a small stack overflows."""

import importlib
from typing import Any

import msgspec
import pytest

from pageout.jit import INTERPRETED
from pageout.kernel import frames
from pageout.kernel.fs.xfs_trees import NR_AGS
from pageout.machine.simulate import Result, simulate
from pageout.vocabulary.scenario import Filesystem, Scenario, Task
from tests.machine.test_simulate import KIB, MIB, MS, S, file, io, machine, scenario

pytestmark = pytest.mark.skipif(INTERPRETED, reason="whole runs: compiled only")

# The chains of the reference's section 15, as far as XFS goes; to the byte in tests/kernel/fs/test_xfs_chains.py.
RECLAIM = (
    "alloc_pages_current __alloc_pages_nodemask try_to_free_pages do_try_to_free_pages shrink_zone shrink_page_list"
)
ALLOCATE = "xfs_vm_writepage xfs_page_state_convert xfs_map_blocks xfs_iomap xfs_iomap_write_allocate"
LOOKUP = "xfs_alloc_vextent xfs_alloc_ag_vextent xfs_alloc_ag_vextent_near xfs_alloc_fixup_trees xfs_alloc_lookup_eq \
xfs_btree_lookup xfs_btree_lookup_get_block xfs_btree_read_buf_block xfs_trans_read_buf xfs_buf_read"
SPLIT = "xfs_bmapi xfs_bmap_add_extent xfs_bmap_add_extent_delay_real xfs_btree_insert xfs_btree_insrec \
xfs_btree_make_block_unfull xfs_btree_split xfs_bmbt_alloc_block"
SELECT = "system_call_fastpath sys_select core_sys_select do_select sock_poll unix_poll __pollwait"
WRITER = "system_call_fastpath sys_write vfs_write do_sync_write xfs_file_aio_write xfs_write \
generic_file_buffered_write balance_dirty_pages_ratelimited_nr"
WRITEBACK = "writeback_inodes_wb writeback_single_inode do_writepages xfs_vm_writepages generic_writepages \
write_cache_pages __writepage"
TRANSACTION = "xfs_trans_alloc _xfs_trans_alloc kmem_zone_zalloc kmem_zone_alloc kmem_cache_alloc __slab_alloc new_slab"
FLUSHER = "kernel_thread_helper kthread bdi_start_fn bdi_writeback_task wb_do_writeback wb_writeback"


def goes_through(result: Result, *parts: str) -> None:
    """The deepest stack has these functions, in this order."""
    names = [name for _, _, name in result.deepest_stack[::-1]]
    remaining = iter(names)
    assert all(wanted in remaining for wanted in " ".join(parts).split()), names


def small_nodes(monkeypatch: pytest.MonkeyPatch, of_files: int, of_space: int) -> None:
    """Btree leaves that hold fewer records, so that splits come within a short run: 512-byte blocks hold 30 and 62."""
    module = importlib.import_module("pageout.machine.simulate")
    real = module.boot

    def boot(*args: object, **options: object) -> Any:
        booted = real(*args, **options)
        capacity = booted.arrays["xfs_tree"]["capacity"]
        capacity[: 2 * NR_AGS], capacity[2 * NR_AGS :] = of_space, of_files
        return booted

    monkeypatch.setattr(module, "boot", boot)


def writers() -> Scenario:
    """Many writers at random in files of their own, on a machine that is short of memory."""
    return scenario(
        machine(64, cpus=4, filesystem=Filesystem(kind="xfs")),
        (*(file(32, f"table{n}") for n in range(16)), file(1024, "image")),
        *(io("randwrite", 32, f"writer{n}", of=n, norandommap=True, time_based=True, runtime_ns=4 * S, seed=2 + n)
          for n in range(16)),
        io("read", 1024, "reader", of=16, bs_bytes=64 * KIB, rate_bps=400 * MIB, background=True),
        Task(name="hog", kind="hog", anon_bytes=48 * MIB, rate_bps=60 * MIB, hold_ns=60 * S, background=True),
        prefill_bytes=64 * MIB,
        length_ns=4 * S,
    )  # fmt: skip


def selectors(filesystem: str = "xfs", design: str = "linux-2.6.34", **more: object) -> Scenario:
    """Many select() callers that must reclaim while tables are filled at random, each with a lock of its own."""
    return scenario(
        machine(32, cpus=4, filesystem=Filesystem(kind=filesystem)),  # type: ignore[arg-type]
        (*(file(8, f"table{n}") for n in range(8)), file(1024, "image")),
        *(io("randwrite", 64, f"updater{n}", of=n, norandommap=True, rate_bps=20 * MIB // 8, time_based=True,
             runtime_ns=2 * S, seed=2 + n) for n in range(8)),
        io("read", 1024, "reader", of=8, bs_bytes=64 * KIB, rate_bps=400 * MIB, background=True),
        Task(name="hog", kind="hog", anon_bytes=20 * MIB, rate_bps=60 * MIB, hold_ns=60 * S, background=True),
        *(Task(name=f"selector{n}", kind="select", interval_ns=MS // 10, background=True) for n in range(64)),
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
    # a select caller comes near; deepest is the flusher, which may enter XFS twice
    assert (
        max(job["stack_max_bytes"] for job in jobs if job["kind"] == "select") > 0.9 * deep.metrics["stack_max_bytes"]
    )


def test_chain_a_select_reclaim_xfs_splits_a_tree_and_looks_for_metadata(monkeypatch: pytest.MonkeyPatch) -> None:
    small_nodes(monkeypatch, 30, 62)

    result = simulate(selectors(), check=200_000)

    goes_through(result, SELECT, RECLAIM, ALLOCATE, SPLIT, LOOKUP)
    # 7568 with the read and the request that the trace has below xfs_buf_read at 6608
    at = {name: depth for depth, _, name in result.deepest_stack}
    assert at["xfs_buf_read"] == pytest.approx(6608, rel=0.05)


def test_chain_c_a_writer_comes_to_xfs_twice_by_the_memory_of_its_own_transaction(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    small_nodes(monkeypatch, 8, 12)
    result = simulate(writers(), check=20000)

    goes_through(result, WRITER, WRITEBACK, ALLOCATE, TRANSACTION, RECLAIM, ALLOCATE, SPLIT, "xfs_alloc_vextent")
    assert result.metrics["stack_max_bytes"] == pytest.approx(8528, rel=0.05)
    assert result.metrics["stack_overflows"] > 0


def test_chain_f_the_flusher_on_its_own_stack() -> None:
    """The report gives three sums, no functions: the flusher's start, writeback and XFS, the block layer."""
    fragmented = Filesystem(kind="xfs", layout="fragmented", fragment_pages=3)
    result = simulate(
        scenario(machine(64, filesystem=fragmented), (file(64),), io("randwrite", 40, norandommap=True, seed=3),
                 prefill_bytes=32 * MIB)
    )  # fmt: skip

    goes_through(result, FLUSHER, WRITEBACK, ALLOCATE, "xfs_bmapi xfs_alloc_vextent xfs_buf_read __make_request")
    assert result.metrics["stack_max_bytes"] == pytest.approx(5064, rel=0.05)


def test_without_writeback_from_reclaim_the_same_caller_needs_far_less_stack(deep: Result) -> None:
    other = simulate(selectors(design="flushers-only"))

    of_select = [
        max(job["stack_max_bytes"] for job in result.document()["jobs"] if job["kind"] == "select")
        for result in (deep, other)
    ]
    assert of_select[1] < 0.6 * of_select[0]


def test_ext2_needs_less_stack_than_xfs(deep: Result) -> None:
    assert simulate(selectors("ext2")).metrics["stack_max_bytes"] < deep.metrics["stack_max_bytes"] - 1500


def test_a_4_kib_stack_overflows_under_the_storm_and_an_8_kib_one_does_not(deep: Result) -> None:
    small = simulate(selectors(choices={"stack.bytes": 4096}))

    assert deep.metrics["stack_overflows"] == 0
    assert small.metrics["stack_overflows"] > 0
    assert small.metrics["stack_max_bytes"] > 4096
    assert "xfs_vm_writepage" in [name for _, _, name in small.deepest_stack]


def test_the_stack_of_a_machine_that_only_writes_is_shallow() -> None:
    quiet = simulate(scenario(machine(128), (file(4),), io("write", 4)))

    assert quiet.metrics["stack_overflows"] == 0
    assert quiet.metrics["stack_max_bytes"] < deepest_of_a_flusher()


def deepest_of_a_flusher() -> int:
    """The flusher's own chain down to the driver, by the frame table."""
    rows = {row.name: row for row in frames.TABLE}
    chain = ("bdi_writeback_thread", "wb_writeback", "writeback_inodes_wb", "writeback_single_inode",
             "write_cache_pages", "xfs_vm_writepage", "xfs_iomap_write_allocate", "xfs_bmapi", "xfs_bmap_add_extent",
             "xfs_alloc_vextent", "xfs_buf_read", "submit_bio")  # fmt: skip
    on_the_way = ("writepage", "bmbt_alloc_block", "near_lookup", "bt_lookup", "buf_iorequest")
    leaves = {name: frames.chain_bytes(tuple(chain.split())) for name, chain in frames.LEAVES.items()}
    driver = max(nbytes for name, nbytes in leaves.items() if name.startswith("dispatch_"))
    return sum(frames.frame_bytes(rows[name]) for name in chain) + sum(leaves[name] for name in on_the_way) + driver


def test_stack_bytes_of_the_machine_and_of_the_design_are_one_choice() -> None:
    what = selectors()
    by_machine = msgspec.structs.replace(what, machine=msgspec.structs.replace(what.machine, stack_bytes=4096))

    assert (
        simulate(by_machine).metrics["stack_overflows"]
        == (simulate(selectors(choices={"stack.bytes": 4096})).metrics["stack_overflows"])
    )
