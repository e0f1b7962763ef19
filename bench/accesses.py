# SPDX-License-Identifier: GPL-2.0-or-later
"""Page accesses per second of the engine, on a memory-backed device, beside libcachesim on the same requests.

zipf 1.0 over n/10 objects of 4 KiB, a cache of a tenth of them. libcachesim gives a miss ratio; the engine keeps page
frames, two lists, file index, block device, scheduler and virtual time as well.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

from bench.common import GIB, KIB, MIB, PAGE, Ran, Sheet, bench_main, in_turns, play, ratio
from bench.twin import twin_hits

ROUNDS = 5
SEED = 1


def requests(nr: int, nr_objects: int) -> Any:
    """Return page numbers, int64: ranks drawn by 1/rank, spread over the file by a seeded permutation.

    No request follows the page before it, so that no readahead starts: one request stays one page.
    """
    import numpy as np

    rng = np.random.default_rng(SEED)
    weights = np.cumsum(1.0 / np.arange(1, nr_objects + 1))
    ranks = np.searchsorted(weights, rng.random(nr) * weights[-1])
    pages = rng.permutation(nr_objects)[ranks].astype(np.int64)
    pages[pages == 0] = 1
    while len(at := np.flatnonzero(pages[1:] == pages[:-1] + 1)):
        pages[at + 1] = pages[at]
    return pages


def scenario(nr_objects: int, memory_bytes: int) -> Any:
    """One task that reads single pages of a file on a device without latency."""
    from pageout.vocabulary.scenario import Disk, File, Machine, Scenario, Task

    disk = Disk(kind="null", size_bytes=16 * GIB)
    return Scenario(
        name="accesses",
        machine=Machine(name="bench-cache", memory_bytes=memory_bytes, cpus=1, disks=(disk,)),
        files=(File(name="objects", size_bytes=nr_objects * PAGE, exists=True),),
        tasks=(Task(name="reader", file=(0,), rw="randread", bs_bytes=4 * KIB, io_bytes=nr_objects * PAGE),),
    )


def memory_for(pages: Any, nr_objects: int) -> int:
    """Memory of a machine whose page cache settles at a tenth of the objects."""
    want = nr_objects // 10
    memory = 16 * MIB + want * PAGE * 33 // 32
    for _ in range(4):
        missing = want - play(scenario(nr_objects, memory), request_list=pages[: 20 * want]).vm("nr_file_pages")
        memory += missing * PAGE
    return memory // PAGE * PAGE


def same_as_simulate(pages: Any, nr_objects: int, memory: int) -> bool:
    """Does simulate(), with all that is round it, end in the same state to the last byte?"""
    from pageout.machine import simulate as whole
    from pageout.machine.boot import boot

    subject = scenario(nr_objects, memory)
    with patch.object(whole, "boot", partial(boot, request_list=pages)):
        there = whole.simulate(subject).booted.arrays
    here = play(subject, request_list=pages).booted.arrays
    return all(here[name].tobytes() == there[name].tobytes() for name in here if name not in whole.UNHASHED)


def write_oracle_general(path: Path, pages: Any) -> None:
    """Write the requests in libCacheSim's binary format: u4 time, u8 object, u4 size, i8 next access (none)."""
    import numpy as np

    rows = np.zeros(len(pages), dtype=[("time", "<u4"), ("id", "<u8"), ("nbytes", "<u4"), ("next", "<i8")])
    rows["id"], rows["nbytes"], rows["next"] = pages, PAGE, -1
    rows["time"] = np.arange(len(pages)) // 1_000_000
    rows.tofile(path)


class LibCacheSim:
    """libcachesim over one request file."""

    def __init__(self, path: Path, nr_requests: int, room: int) -> None:
        self.path, self.nr, self.room = path, nr_requests, room
        self.miss_ratio = 0.0

    def _process(self, cache: Any) -> float:
        import libcachesim

        reader = libcachesim.TraceReader(str(self.path), libcachesim.TraceType.ORACLE_GENERAL_TRACE)
        begun = time.process_time()
        self.miss_ratio, _ = cache.process_trace(reader)
        return self.nr / (time.process_time() - begun)

    def native(self, hashpower: int) -> Callable[[], float]:
        """Return a function that measures its LRU in C, requests per CPU second."""

        def measure() -> float:
            import libcachesim

            return self._process(libcachesim.LRU(self.room * PAGE, hashpower=hashpower))

        return measure

    def plugin(self) -> float:
        """Measure an LRU in Python through its PluginCache, requests per CPU second."""
        import libcachesim

        def hit(data: Any, request: Any) -> None:
            data.move_to_end(request.obj_id)

        def miss(data: Any, request: Any) -> None:
            data[request.obj_id] = None

        def remove(data: Any, object_id: int) -> None:
            data.pop(object_id, None)

        def evict(data: Any, request: Any) -> int:
            return int(data.popitem(last=False)[0])

        cache = libcachesim.PluginCache(
            cache_size=self.room * PAGE,
            cache_name="lru in Python",
            hashpower=20,
            cache_init_hook=lambda _: OrderedDict(),
            cache_hit_hook=hit,
            cache_miss_hook=miss,
            cache_eviction_hook=evict,
            cache_remove_hook=remove,
            cache_free_hook=lambda data: data.clear(),
        )
        return self._process(cache)


def user_policy() -> Any:
    """A user's own policy: spare every eighth page of the file until reclaim is desperate, and count."""
    from pageout.engine.constants import PAGE_ACTIVATE, PAGE_RECLAIM
    from pageout.machine.policy import policy

    @policy("isolate")
    def spare_eighth(page: Any, ctx: Any, priority: int) -> int:
        ctx.acc0 += 1
        if page.index & 7 == 0 and priority > 6:
            ctx.acc1 += 1
            return PAGE_ACTIVATE
        return PAGE_RECLAIM

    return spare_eighth


def measure_native(sheet: Sheet, folder: Path) -> None:
    """The engine as it is against libcachesim's LRU in C."""
    nr = 1_000_000 if sheet.quick else 10_000_000
    nr_objects = nr // 10
    pages = requests(nr, nr_objects)
    path = folder / "native.oracleGeneral"
    write_oracle_general(path, pages)
    memory = memory_for(pages, nr_objects)
    last: dict[str, Ran] = {}
    peer = LibCacheSim(path, nr, nr_objects // 10)

    def engine(name: str, zero_cost: bool) -> Callable[[], float]:
        def run() -> float:
            last[name] = play(scenario(nr_objects, memory), request_list=pages, zero_cost=zero_cost)
            return nr / last[name].run_s

        return run

    found = in_turns(
        2 if sheet.quick else ROUNDS,
        engine=engine("engine", False),
        free=engine("free", True),
        lru=peer.native(24),
        small=peer.native(20),
    )
    lru = max(("lru", "small"), key=lambda name: statistics.median(found[name]))
    ran = last["engine"]
    ran.check(scenario(nr_objects, memory))
    hits, held = ran.stat("request_hits"), ran.vm("nr_file_pages")
    sheet.add(
        "accesses",
        statistics.median(found["engine"]) / 1e6,
        "M/s",
        note=f"{nr:,} requests, {nr_objects:,} objects, {held:,} pages cached, {ran.now_s:.1f} s simulated",
    )
    sheet.add("accesses, CPU work free", statistics.median(found["free"]) / 1e6, "M/s", note="boot(zero_cost=True)")
    sheet.add("libcachesim LRU in C", statistics.median(found["lru"]) / 1e6, "M/s", note="hash table as it comes: 2^24")
    sheet.add("libcachesim LRU in C, small table", statistics.median(found["small"]) / 1e6, "M/s", note="hashpower 20")
    sheet.add("accesses / libcachesim", ratio(found, "engine", lru), "x", ">= 0.5", "aim 1; against its faster table")
    sheet.add("hit ratio", hits / nr, note="two lists, 2.6.34")
    sheet.add("hit ratio, libcachesim LRU", 1 - peer.miss_ratio, note="one list: another policy")
    few = pages[: 20 * nr_objects // 10]
    sheet.add(
        "ends as simulate() does",
        same_as_simulate(few, nr_objects, memory),
        "",
        ">= 1",
        f"every table, {len(few):,} requests",
    )
    twin = twin_hits(pages.tolist(), held)
    sheet.add("hit ratio, naive twin", twin / nr, note="two lists, an OrderedDict each")
    sheet.add(
        "hit ratio, engine - twin",
        abs(hits - twin) / nr,
        "",
        "<= 0.001",
        "the twin has one zone, no pagevec, no watermarks",
    )


def measure_policy(sheet: Sheet, folder: Path) -> None:
    """The engine with a user's policy in Python against libcachesim's PluginCache with an LRU in Python."""
    nr = 500_000 if sheet.quick else 1_000_000
    nr_objects = nr // 10
    pages = requests(nr, nr_objects)
    path = folder / "plugin.oracleGeneral"
    write_oracle_general(path, pages)
    memory = memory_for(pages, nr_objects)
    peer = LibCacheSim(path, nr, nr_objects // 10)
    chosen = user_policy()
    chosen.compiled()
    last: list[Ran] = []

    def engine() -> float:
        last[:] = [play(scenario(nr_objects, memory), request_list=pages, policy=chosen)]
        return nr / last[0].run_s

    found = in_turns(2 if sheet.quick else ROUNDS, engine=engine, plugin=peer.plugin)
    asked, spared = (int(last[0].booted.arrays["policy_ctx"][name][0]) for name in ("acc0", "acc1"))
    sheet.add(
        "accesses with a user's policy",
        statistics.median(found["engine"]) / 1e6,
        "M/s",
        note=f"{nr:,} requests; asked {asked:,} times, {spared:,} pages spared",
    )
    sheet.add("libcachesim PluginCache", statistics.median(found["plugin"]) / 1e6, "M/s", note="LRU in Python")
    sheet.add("policy / PluginCache", ratio(found, "engine", "plugin"), "x", ">= 4")


def measure(sheet: Sheet) -> None:
    """Fill the sheet."""
    with tempfile.TemporaryDirectory() as folder:
        measure_native(sheet, Path(folder))
        measure_policy(sheet, Path(folder))


if __name__ == "__main__":
    bench_main("accesses", "Page accesses per second, zipf 1.0, 4 KiB, cache = 10 % of the objects", measure)
