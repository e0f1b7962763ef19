# SPDX-License-Identifier: GPL-2.0-or-later
"""Those who call into the kernel, each with its own path: poll(), sendfile(), the NFS server; and stack diets."""

import msgspec
import pytest

from pageout.jit import INTERPRETED
from pageout.kernel import frames
from pageout.machine.simulate import Result, simulate
from pageout.readers.stack_tables import parse_stacks
from pageout.report.table import stack_text
from pageout.vocabulary.scenario import Scenario, Task
from tests.machine.test_simulate import KIB, MIB, MS, S, file, io, machine, scenario
from tests.machine.test_stacks import selectors

pytestmark = pytest.mark.skipif(INTERPRETED, reason="whole runs: compiled only")

ROWS = {row.name: row for row in frames.TABLE}
SENDFILE = """
system_call_fastpath sys_sendfile64 do_sendfile do_splice_direct splice_direct_to_actor do_splice_to
xfs_file_splice_read xfs_splice_read generic_file_splice_read __generic_file_splice_read page_cache_async_readahead
ondemand_readahead ra_submit __do_page_cache_readahead __page_cache_alloc alloc_pages_current __alloc_pages_nodemask
try_to_free_pages do_try_to_free_pages shrink_zone shrink_page_list xfs_vm_writepage
"""
NFSD = """
kernel_thread_helper kthread nfsd svc_process svc_process_common nfsd_dispatch nfsd3_proc_write nfsd_write
nfsd_vfs_write vfs_writev do_readv_writev do_sync_readv_writev xfs_file_aio_write xfs_write generic_file_buffered_write
"""
POLL = "system_call_fastpath sys_poll do_sys_poll sock_poll unix_poll __pollwait __get_free_pages alloc_pages_current"


def bytes_of(*names: str) -> int:
    return sum(frames.frame_bytes(ROWS[name]) for name in names)


def crowd(*tasks: Task, rate: int = 20 * MIB) -> Scenario:
    """Callers in a small memory in which four tables are filled at random: they have to reclaim."""
    return scenario(
        machine(32, cpus=4),
        (file(16, "table0"), file(1024, "image"), file(128, "export"), *(file(16, f"table{n}") for n in (3, 4, 5))),
        *(io("randwrite", 64, f"updater{n}", of=n, norandommap=True, rate_bps=rate // 4, time_based=True,
             runtime_ns=2 * S, seed=2 + n) for n in (0, 3, 4, 5)),
        Task(name="hog", kind="hog", anon_bytes=20 * MIB, rate_bps=60 * MIB, hold_ns=60 * S, background=True),
        *tasks,
        prefill_bytes=32 * MIB,
        length_ns=2 * S,
    )  # fmt: skip


def names_of(result: Result) -> list[str]:
    return [name for _, _, name in result.deepest_stack[::-1]]


def in_order(wanted: str, names: list[str]) -> bool:
    remaining = iter(names)
    return all(name in remaining for name in wanted.split())


def task(kind: str, number: int, **more: object) -> Task:
    own = {"name": f"{kind}{number}", "kind": kind, "background": True, "seed": number}
    return Task(**(own | more))  # type: ignore[arg-type]


def sender(number: int, **more: object) -> Task:
    own = {"file": (1,), "bs_bytes": 256 * KIB, "io_bytes": 1024 * MIB}
    return task("sendfile", number, **(own | more))


@pytest.fixture(scope="module")
def senders() -> Result:
    return simulate(crowd(*(sender(n, offset_bytes=n * 32 * MIB) for n in range(24))))


def test_the_callers_of_the_recorded_chains_have_the_recorded_depth() -> None:
    assert bytes_of("sys_sendfile", "xfs_splice_read", "async_readahead") + 32 == 1664
    assert bytes_of("sys_select", "do_select") == 1664 + 16
    assert bytes_of("alloc_pages", "try_to_free_pages", "shrink_zone", "shrink_page_list") == 1440


@pytest.mark.parametrize(
    ("leaf", "nbytes"), [("get_request", 784), ("dispatch_kick_mv_polled", 1792), ("dispatch_threshold_slab", 2032)]
)
def test_the_ways_below_submit_bio_have_the_recorded_depth(leaf: str, nbytes: int) -> None:
    depth = bytes_of("submit_bio") + frames.chain_bytes(tuple(frames.LEAVES[leaf].split()))

    assert depth == pytest.approx(nbytes, abs=8)


def test_sendfile_reads_ahead_in_large_requests_and_sends_all() -> None:
    what = scenario(machine(32), (file(64, exists=True),), sender(0, file=(0,), io_bytes=64 * MIB, background=False))
    result = simulate(what)

    (job,) = result.document()["jobs"]
    queue = result.booted.arrays["queue"]
    assert job["read_mib"] == 64
    assert int(queue["blocks_read"][0]) == 64 * 256  # each page once: it is larger than memory, and read in order
    assert int(queue["nr_read_requests"][0]) < 64 * 256 / 16


def test_sendfile_reclaim_and_xfs_are_on_one_stack_in_the_order_of_the_trace(senders: Result) -> None:
    assert in_order(SENDFILE, names_of(senders)), names_of(senders)
    assert senders.document()["stack"]["deepest_task"].startswith("sendfile")


def test_a_file_in_memory_is_sent_without_the_disk() -> None:
    tasks = [sender(n, file=(0,), io_bytes=4 * MIB, background=False, group=n) for n in range(2)]
    result = simulate(scenario(machine(128), (file(4, exists=True),), *tasks))

    jobs = result.document()["jobs"]
    assert [job["read_mib"] for job in jobs] == [4, 4]
    assert int(result.booted.arrays["queue"]["blocks_read"][0]) == 1024
    assert jobs[1]["seconds"] < jobs[0]["seconds"] / 2


def test_the_nfs_server_writes_with_its_own_frames_and_is_throttled_later() -> None:
    servers = (
        task("nfsd", n, file=(2,), rw="write", bs_bytes=32 * KIB, io_bytes=128 * MIB, offset_bytes=n * 16 * MIB)
        for n in range(4)
    )
    result = simulate(crowd(*servers, rate=MIB))
    jobs = [job for job in result.document()["jobs"] if job["kind"] == "nfsd"]

    assert min(job["write_mib"] for job in jobs) > 1
    assert in_order(NFSD, names_of(result)), names_of(result)
    flags = result.booted.arrays["task"]["tflags"]
    assert (flags != 0).sum() >= 4 + 2
    base = bytes_of("nfsd", "nfsd_write")
    assert min(job["stack_max_bytes"] for job in jobs) > base


def test_the_nfs_server_reads_by_splice() -> None:
    server = task("nfsd", 0, file=(0,), rw="read", bs_bytes=32 * KIB, io_bytes=4 * MIB, background=False)
    result = simulate(scenario(machine(128), (file(4, exists=True),), server))

    (job,) = result.document()["jobs"]
    assert job["read_mib"] == 4
    assert "__generic_file_splice_read" in names_of(result)
    assert "sys_sendfile64" not in names_of(result)


def test_poll_has_the_depth_of_select_by_another_path() -> None:
    what = selectors()
    polls = tuple(msgspec.structs.replace(t, kind="poll") if t.kind == "select" else t for t in what.tasks)
    result = simulate(msgspec.structs.replace(what, tasks=polls))

    rows = [frames.names_of(ROWS[name]) for name in ("sys_poll", "do_poll", "alloc_pages")]
    assert in_order(POLL, [name for row in rows for name in row])
    reached = max(job["stack_max_bytes"] for job in result.document()["jobs"] if job["kind"] == "poll")
    assert reached > bytes_of("sys_poll", "do_poll") + 1440


def test_the_first_overflow_prints_and_reads_back_the_same() -> None:
    result = simulate(selectors(choices={"stack.bytes": 4096}))
    document = result.document()
    text = stack_text(document)

    assert text is not None
    (one,) = parse_stacks(text.plain.split("\n")).tables
    printed = [(entry.depth, entry.size, entry.location) for entry in one.entries]
    assert printed == result.first_overflow
    assert 4096 - frames.THREAD_INFO_BYTES < printed[0][0] <= document["deepest_stack"][0]["depth"]
    assert document["stack"]["sizes_assumed"]
    assert "assumed: 5/8" in document["stack"]["build"]


def test_an_overflow_may_be_the_end() -> None:
    result = simulate(selectors(choices={"stack.bytes": 4096, "stack.overflow": "stop"}))

    assert result.ending == "panic: kernel stack overflow"
    assert result.metrics["stack_overflows"] == 1
    assert result.now_ns < 2 * S


def test_on_a_diet_the_same_callers_need_a_kilobyte_less_and_allocate_instead() -> None:
    usual, diet = simulate(selectors()), simulate(selectors(design="stack-diet"))
    deepest = [
        max(job["stack_max_bytes"] for job in result.document()["jobs"] if job["kind"] == "select")
        for result in (usual, diet)
    ]

    assert deepest[0] - deepest[1] >= 1000
    assert int(diet.booted.arrays["stat"]["kmalloc_pages"][0]) > 0
    assert int(usual.booted.arrays["stat"]["kmalloc_pages"][0]) == 0
    sizes = diet.booted.arrays["function"]["frame_bytes"]
    assert sizes[frames.FN.shrink_zone] == frames.DIET["shrink_zone"] < frames.SIZES["shrink_zone"][0]


def test_16_kib_stacks_hold_twice_as_much_and_make_a_fork_take_four_pages() -> None:
    what = scenario(machine(64), (file(1),), Task(name="f", kind="fork", interval_ns=MS, lifetime_ns=S, count=20))
    small, large = (simulate(msgspec.structs.replace(what, design=name)) for name in ("linux-2.6.34", "stack-16k"))

    assert large.metrics["stack_memory_mib"] == 2 * small.metrics["stack_memory_mib"] > 0
    assert large.document()["stack"]["bytes"] == 16384


def test_a_polled_cache_flush_goes_from_the_driver_to_the_scheduler() -> None:
    def deepest(driver: str) -> Result:
        return simulate(
            scenario(machine(64, driver=driver, queue_depth=4), (file(4),), io("write", 4, "w", fsync_every=8))
        )

    ahci, marvell = deepest("ahci"), deepest("sata_mv")
    assert "ata_pio_queue_task" not in names_of(ahci)
    assert marvell.metrics["stack_max_bytes"] >= ahci.metrics["stack_max_bytes"]
