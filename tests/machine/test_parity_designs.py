# SPDX-License-Identifier: GPL-2.0-or-later
"""Every design on one small storm: machine code and plain Python come to the same state, to the last bit."""

import json
import os
import subprocess
import sys
from functools import cache

import msgspec
import pytest

from pageout.jit import INTERPRETED
from pageout.machine.simulate import simulate
from pageout.vocabulary.scenario import MIB, Cgroup, Phase, Scenario, Task
from pageout.vocabulary.settings import CHOICES, DESIGNS, choices
from tests.conftest import ROOT
from tests.machine.test_parity import small

pytestmark = pytest.mark.skipif(INTERPRETED, reason="compares compiled runs with interpreted ones")
MS = 1_000_000


def storm(design: str, **more: str) -> Scenario:
    """Pages dirtied at random in little memory, a reader, allocations of two orders, anonymous memory."""
    what = small(
        design,
        Task(name="update", rw="randwrite", file=(0,), io_bytes=2 * MIB, rate_bps=200 * MIB, norandommap=True),
        Task(name="read", file=(1,), bs_bytes=65536, io_bytes=12 * MIB, rate_bps=40 * MIB, background=True),
        Task(name="hog", kind="hog", anon_bytes=3 * MIB, rate_bps=1000 * MIB, hold_ns=1000 * MS, background=True),
        Task(name="alloc", kind="alloc", interval_ns=MS, hold=64, background=True),
        Task(name="order2", kind="alloc", order=2, interval_ns=5 * MS, hold=8, background=True),
        files=(4, 12),
        memory_mib=6,
        prefill_bytes=6 * MIB,
        length_ns=10 * MS,
        disk={"kind": "ssd", "queue_depth": 32},
        choices=more,
    )
    settings = {"vm.min_free_kbytes": 512, "vm.dirty_ratio": 60, "vm.dirty_background_ratio": 50}
    return msgspec.structs.replace(what, settings=settings, design=design)


def at_work(design: str) -> Scenario:
    """The storm upon a machine that was at work before, its writer's demand in phases."""
    plain = msgspec.structs.replace(storm(design), length_ns=30 * MS)
    update, *others = plain.tasks
    phases = (Phase(0, 0, MIB), Phase(10 * MS, 200 * MIB, MIB))
    tasks = (msgspec.structs.replace(update, rate_bps=0, phases=phases, phase_clock="own"), *others)
    files = (msgspec.structs.replace(plain.files[0], dirty_bytes=MIB, dirty_age_ns=1234 * MS), *plain.files[1:])
    (disk,) = plain.machine.disks
    known = msgspec.structs.replace(disk, start_bandwidth=5 * MIB, start_ratelimit=MIB, start_written_bytes=MIB)
    machine = msgspec.structs.replace(plain.machine, disks=(known,))
    return msgspec.structs.replace(plain, machine=machine, files=files, tasks=tasks)


NODE = {
    "reclaim.engine": "node",
    "watermark.marks": "scaled",
    "lru.batch": "15",
    "pcp.high": "low",
    "compaction": "on",
    "oom.score": "rss",
}
LATER = {
    "reclaim.file_writepage": "never",
    "reclaim.scan_cost": "rotations",
    "reclaim.trim_retry": "on",
    "events.isolate_mode": "off",
}


def swapping(what: Scenario) -> Scenario:
    """The same with swap, and a hog that does not fit."""
    machine = msgspec.structs.replace(what.machine, swap_bytes=16 * MIB, swap_disk=what.machine.disks[0].name)
    hog = msgspec.structs.replace(what.tasks[2], anon_bytes=8 * MIB)
    return msgspec.structs.replace(
        what, machine=machine, tasks=(*what.tasks[:2], hog, *what.tasks[3:]), length_ns=40 * MS
    )


def grouped(what: Scenario, most: int, high: int) -> Scenario:
    """The same with its writer and its hog in one group and its reader in another."""
    groups = (Cgroup(name="job", max_bytes=most), Cgroup(name="b", max_bytes=most, high_bytes=high))
    of = {"update": "job", "hog": "job", "read": "b"}
    tasks = tuple(msgspec.structs.replace(task, cgroup=of.get(task.name, "")) for task in what.tasks)
    return msgspec.structs.replace(what, cgroups=groups, tasks=tasks, length_ns=40 * MS)


KSWAPD_SUFFICES = (
    "memory cgroups",
    "memory cgroups, later",
    "linux-6.1",
    "linux-6.12",
    "linux-6.18",
    "at work before",
    "generations",
    "generations, later",
)  # the same reclaim stalls in "a node" and "a node, later"
STALLS_LATE = ("linux-2.6.18", "ioless-throttle", "linux-6.1", "linux-6.12", "linux-6.18")


def later_queue(disk: dict, **more: str) -> Scenario:
    """The storm on blk-mq, long enough for timers and tags to come into it."""
    what = storm("linux-2.6.34", **{"block.layer": "mq", **more})
    disks = (msgspec.structs.replace(what.machine.disks[0], **disk),)
    return msgspec.structs.replace(what, machine=msgspec.structs.replace(what.machine, disks=disks), length_ns=40 * MS)


SLICES = {"kind": "throttled", "limit": "slices", "write_bps": 30 * MIB, "read_bps": 60 * MIB, "write_iops": 2000}
TICKS = {"kind": "throttled", "limit": "ticks", "tick_ns": 2 * MS, "tick_bytes": MIB, "elevator": "none", "tags": 4}
VARIANTS = {
    **{name: storm(name) for name in DESIGNS},
    **{name: msgspec.structs.replace(storm(name), length_ns=30 * MS) for name in STALLS_LATE},
    "at work before": at_work("linux-6.18"),
    "blk-mq": later_queue({"tags": 3}),
    "blk-mq in slices": later_queue(
        SLICES, **{"block.throttle": "spare", "write.folios": "all", "throttle.by": "pause"}
    ),
    "blk-mq in ticks": later_queue(TICKS, **{"block.throttle": "meta"}),
    "worker per CPU, file order": storm("reclaim-thread", **{"reclaim.worker": "cpu", "reclaim.worker_order": "file"}),
    "a node": swapping(storm("linux-6.1", **NODE)),
    "a node, later": swapping(storm("linux-6.18", **NODE, **LATER)),
    "a node, flushers of 2.6.34": swapping(storm("linux-2.6.34", **NODE, **LATER)),
    "memory cgroups": grouped(storm("linux-6.1"), 3 * MIB, 0),
    "memory cgroups, later": grouped(swapping(storm("linux-6.18")), 2 * MIB, MIB),
    "generations": swapping(storm("linux-6.1", lru="gen")),
    "generations, later": grouped(swapping(storm("linux-6.18", lru="gen")), 2 * MIB, MIB),
    "an overflow ends it": storm("linux-2.6.34", **{"stack.bytes": "4096", "stack.overflow": "stop"}),
    "switch at writepage": storm("stack-switch", **{"stack.switch": "writepage"}),
    "page age, half background, one list, wide gap": storm(
        "linux-2.6.34",
        **{
            "flusher.order": "page_age",
            "background.start": "half",
            "lru.split": "off",
            "watermark.gap": "wide",
        },
    ),
}


def digests() -> dict[str, tuple[str, int]]:
    """Digest and direct reclaims of each variant, as this process runs it."""
    found = {}
    for name, what in VARIANTS.items():
        result = simulate(what)
        found[name] = (result.digest, int(result.metrics["alloc_stall_count"]))
    return found


@cache
def interpreted() -> dict[str, list]:
    script = "import json; from tests.machine.test_parity_designs import digests; print(json.dumps(digests()))"
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": os.pathsep.join([*sys.path, str(ROOT)])}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


@cache
def compiled() -> dict[str, tuple[str, int]]:
    return digests()


@pytest.mark.parametrize("name", VARIANTS)
def test_a_design_has_the_same_digest_compiled_and_interpreted(name: str) -> None:
    assert compiled()[name] == tuple(interpreted()[name])


def test_the_storm_reaches_what_the_designs_differ_in() -> None:
    assert all(stalls > 0 for name, (_, stalls) in compiled().items() if name not in KSWAPD_SUFFICES)
    assert len({digest for digest, _ in compiled().values()}) > len(VARIANTS) // 2


def test_between_them_the_variants_take_every_value_that_steers_reclaim_or_writeback() -> None:
    taken = {(point, value) for what in VARIANTS.values() for point, value in choices(what).items()}
    steered = [point for point in CHOICES if point.split(".")[0] in ("flusher", "dirty", "background", "stack")]
    missing = {(point, value) for point in steered for value in CHOICES[point][0]} - taken
    assert not missing
