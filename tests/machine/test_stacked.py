# SPDX-License-Identifier: GPL-2.0-or-later
"""Stacked devices against closed forms, whole runs: rates, reads and writes of each layer, memory for the network."""

import msgspec
import pytest

from pageout.jit import INTERPRETED
from pageout.machine.simulate import Result, simulate
from pageout.vocabulary.scenario import MIB, NS_PER_S, Disk, File, Filesystem, Machine, Scenario, Task

pytestmark = pytest.mark.skipif(INTERPRETED, reason="whole runs: compiled only")
RATE = 8 * MIB


def slow(name: str, bps: int = RATE, **fields) -> Disk:
    return Disk(
        **{"name": name, "kind": "throttled", "write_bps": bps, "read_bps": bps, "size_bytes": 256 * MIB, **fields}
    )


def array(kind: str, *members: Disk, **fields) -> tuple[Disk, ...]:
    top = Disk(name="top", kind=kind, members=tuple(disk.name for disk in members), **fields)  # type: ignore[arg-type]
    return (*members, top)


def session(*, bps: int = 800 * MIB, **fields) -> tuple[Disk, ...]:
    far = slow("far", bps)
    return (far, Disk(**{"name": "top", "kind": "iscsi", "members": ("far",), "queue_depth": 32, **fields}))


WRITE = Task(name="w", file=(0,), rw="write", bs_bytes=65536, io_bytes=24 * MIB, end_fsync=True)
READ = msgspec.structs.replace(WRITE, rw="read", end_fsync=False)
RANDOM = Task(name="w", file=(0,), rw="randwrite", bs_bytes=4096, io_bytes=MIB, fsync_every=1)


def run(disks: tuple[Disk, ...], task: Task = WRITE, *, memory_mib: int = 64, check: int = 500, **options) -> Result:
    # delalloc=False: no transactions, so that the devices see the file's pages and no log
    on = Filesystem(disk=options.pop("fs", disks[-1].name), delalloc=options.pop("delalloc", False))
    machine = Machine(
        memory_bytes=memory_mib * MIB, disks=disks, filesystem=on,
        **options.pop("machine", {}),
    )  # fmt: skip
    files = options.pop("files", (File(name="f", size_bytes=options.pop("file_mib", 24) * MIB, exists=True),))
    tasks = options.pop("tasks", (task,))
    scenario = Scenario(name="stack", machine=machine, files=files, tasks=tasks, **options)
    result = simulate(scenario, check=check)
    assert result.ending in ("done", "length")
    return result


def devices(result: Result) -> dict:
    return result.document()["devices"]


def rate(result: Result, direction: str = "write") -> float:
    return result.metrics[f"{direction}_mb_s"] * 1e6


@pytest.mark.parametrize("members", [2, 3, 5])
def test_raid0_over_n_equal_disks_has_n_times_the_rate(members: int) -> None:
    result = run(array("raid0", *(slow(f"m{i}") for i in range(members))))
    assert rate(result) == pytest.approx(members * RATE, rel=0.06)


def test_a_mirror_writes_as_fast_as_its_slowest_member() -> None:
    result = run(array("raid1", slow("m0", 4 * RATE), slow("m1", RATE), slow("m2", 2 * RATE)))
    assert rate(result) == pytest.approx(RATE, rel=0.03)
    assert result.vmstat["pgpgout"] == 24 * 1024  # once, as submitted, not once a copy


def test_a_linear_device_has_the_rate_of_the_member_written_to() -> None:
    assert rate(run(array("linear", slow("m0"), slow("m1", 4 * RATE)))) == pytest.approx(RATE, rel=0.03)


@pytest.mark.parametrize("members", [3, 4, 5])
def test_raid5_writes_full_stripes_at_the_rate_of_its_data_disks_and_reads_nothing(members: int) -> None:
    result = run(array("raid5", *(slow(f"m{i}") for i in range(members))))
    assert rate(result) == pytest.approx((members - 1) * RATE, rel=0.06)
    figures = devices(result)
    written = sum(
        round(figures[f"m{i}"]["write_requests"] * figures[f"m{i}"]["mean_write_kib"]) for i in range(members)
    )
    data_kib = 24 * 1024
    assert data_kib * members / (members - 1) == pytest.approx(written, rel=0.02)
    assert figures["top"]["rmw_reads"] <= data_kib / 4 * 0.02


@pytest.mark.parametrize(("members", "reads"), [(3, 1), (4, 2), (5, 2), (8, 2)])
def test_a_small_random_write_to_raid5_is_two_reads_and_two_writes(members: int, reads: int) -> None:
    """With three members the rest of the stripe is one page: one read. Pages still in the stripe cache are not read."""
    result = run(array("raid5", *(slow(f"m{i}") for i in range(members))), RANDOM, file_mib=120, memory_mib=256)
    figures = devices(result)
    writes = sum(figures[f"m{i}"]["write_requests"] for i in range(members))
    nr = figures["top"]["write_requests"]
    assert nr == 256
    assert writes == 2 * nr
    assert reads * nr * 0.97 <= figures["top"]["rmw_reads"] <= reads * nr
    assert sum(figures[f"m{i}"]["read_requests"] for i in range(members)) == figures["top"]["rmw_reads"]


@pytest.mark.parametrize(
    ("fields", "limit"),
    [
        ({"rtt_us": 10_000, "mb_s": 1000, "socket_buffer_bytes": 128 * 1024}, 128 * 1024 / 0.010),
        ({"rtt_us": 5_000, "mb_s": 1000, "socket_buffer_bytes": 64 * 1024}, 64 * 1024 / 0.005),
        ({"rtt_us": 200, "mb_s": 20, "socket_buffer_bytes": 256 * 1024}, 20e6),
        ({"rtt_us": 200, "mb_s": 1000, "socket_buffer_bytes": 512 * 1024, "bps": 10 * MIB}, 10 * MIB),
    ],
)
def test_iscsi_writes_at_the_least_of_window_over_round_trip_link_and_target(fields: dict, limit: float) -> None:
    assert rate(run(session(**fields))) == pytest.approx(limit, rel=0.06)


def test_iscsi_reads_at_the_rate_of_the_link() -> None:
    result = run(session(rtt_us=100, mb_s=20), READ)
    assert rate(result, "read") == pytest.approx(20e6, rel=0.2)  # readahead does not keep the link full
    assert result.vmstat["pgpgin"] == 24 * 1024


def sessions(nr: int, memory_mib: int) -> dict[str, int]:
    """A striped writer over so many slow sessions with large send buffers, beside a hog; failed allocations of each."""
    fars = [slow(f"far{i}", 800 * MIB, nr_requests=256) for i in range(nr)]
    links = [
        Disk(name=f"i{i}", kind="iscsi", members=(far.name,), queue_depth=120, mb_s=40, rtt_us=100_000,
             socket_buffer_bytes=16 * MIB)
        for i, far in enumerate(fars)
    ]  # fmt: skip
    tasks = (
        msgspec.structs.replace(WRITE, io_bytes=16 * MIB),
        Task(name="hog", kind="hog", anon_bytes=16 * MIB, hold_ns=30 * NS_PER_S),
    )
    result = run((*fars, *array("raid0", *links, chunk_bytes=4096)), memory_mib=memory_mib, tasks=tasks,
                 length_ns=20 * NS_PER_S, settings={"vm.min_free_kbytes": 64, "vm.dirty_ratio": 90})  # fmt: skip
    assert (result.vmstat["nr_dirty"], result.vmstat["nr_writeback"]) == (0, 0)  # tried again until it went
    return {name: row["skb_failures"] for name, row in devices(result).items() if "skb_failures" in row}


def test_a_network_without_memory_for_its_buffers_tries_again_until_all_is_written() -> None:
    """Dirty memory can only be cleaned through sockets that need memory: the article's worst case."""
    assert sum(sessions(8, 24).values()) > 0
    assert sum(sessions(8, 128).values()) == 0


def test_swap_on_a_loop_device_dirties_the_pages_of_its_file_again() -> None:
    disks = (Disk(name="sda", kind="ssd", size_bytes=256 * MIB), Disk(name="loop0", kind="loop", file="image"))
    hog = Task(name="hog", kind="hog", anon_bytes=24 * MIB, rate_bps=2 * MIB, hold_ns=NS_PER_S)
    result = run(
        disks, fs="sda", delalloc=None, memory_mib=32, files=(File(name="image", size_bytes=64 * MIB),), tasks=(hog,),
        length_ns=60 * NS_PER_S, machine={"swap_bytes": 64 * MIB, "swap_disk": "loop0"},
        settings={"vm.dirty_writeback_centisecs": 100, "vm.min_free_kbytes": 4096, "vm.swappiness": 100},
    )  # fmt: skip
    figures, stat = devices(result), result.booted.arrays["stat"]
    swapped_out = result.vmstat["pswpout"]
    assert swapped_out > 1000
    assert result.vmstat["pswpin"] > 1000  # what was swapped out is read back through the device
    assert figures["loop0"]["write_requests"] == swapped_out
    assert int(stat["pages_dirtied_total"][0]) + int(stat["rewrites_saved"][0]) == swapped_out
    xfs = result.booted.arrays["xfs"][0]
    own = int(xfs["synced"]) // 4096 + int(xfs["meta_writes"])  # its log, its metadata
    assert figures["sda"]["mean_write_kib"] * figures["sda"]["write_requests"] == pytest.approx(
        4 * (swapped_out + own), rel=1e-4
    )


def test_what_has_no_head_makes_no_seeks_and_what_is_not_measured_is_not_zero() -> None:
    figures = devices(run(array("raid5", *(slow(f"m{i}") for i in range(3)))))
    assert (figures["top"]["seek_count"], figures["top"]["device_busy_share"]) == (None, None)
    assert "skb_failures" not in figures["top"]
    assert "rmw_reads" not in figures["m0"]
    assert figures["m0"]["seek_count"] is not None


def test_the_machines_requests_are_those_of_its_disks_not_of_every_layer() -> None:
    result = run(array("raid0", slow("m0"), slow("m1")))
    figures = devices(result)
    assert result.metrics["write_requests"] == figures["m0"]["write_requests"] + figures["m1"]["write_requests"]


def test_a_failing_member_costs_a_striped_write_and_not_a_raid5_one() -> None:
    """Every 10th write request of one member fails."""
    bad = {"write_error_every": 10}
    assert run(array("raid0", slow("m0", **bad), slow("m1"))).metrics["pages_lost"] > 0
    assert run(array("raid5", slow("m0", **bad), slow("m1"), slow("m2"))).metrics["pages_lost"] == 0
    assert run(array("raid1", slow("m0", **bad), slow("m1"))).metrics["pages_lost"] == 0
