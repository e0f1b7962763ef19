# SPDX-License-Identifier: GPL-2.0-or-later
"""The article's storm: a full page cache, a fast writer, and everybody who needs memory at the same time."""

from __future__ import annotations

from pageout.vocabulary.machines import load_machine
from pageout.vocabulary.scenario import File, Scenario, Task

MIB, GIB = 1 << 20, 1 << 30
MS, S = 1_000_000, 1_000_000_000
LENGTH_NS = 30 * S


def _periodic(name: str, kind: str, interval_ns: int, **more: int) -> Task:
    return Task(name=name, kind=kind, interval_ns=interval_ns, background=True, **more)  # type: ignore[arg-type]


def demo_scenario(seed: int = 1) -> Scenario:
    """Return the storm on the 2 GB server: XFS, one SATA disk, 8 KB stacks, cache full, 30 s of simulated time.

    A writer streams as fast as it may; an updater fills a new table at random; a reader goes through a sparse image, so
    that the cache turns over; a database takes most of memory. Network buffers (order 0 and 1 to 3), select() callers
    and forks allocate beside them.
    """
    return Scenario(
        name="demo",
        machine=load_machine("server-2g"),
        files=(
            File(name="stream", size_bytes=8 * GIB),
            File(name="table", size_bytes=GIB),
            File(name="image", size_bytes=16 * GIB),
        ),
        tasks=(
            Task(name="writer", rw="write", bs_bytes=128 * 1024, file=(0,), io_bytes=8 * GIB, seed=seed),
            Task(
                name="updater",
                rw="randwrite",
                bs_bytes=4096,
                file=(1,),
                io_bytes=GIB,
                time_based=True,
                runtime_ns=LENGTH_NS,
                norandommap=True,
                rate_bps=8 * MIB,
                seed=seed + 1,
                background=True,
            ),
            Task(
                name="reader",
                rw="read",
                bs_bytes=64 * 1024,
                file=(2,),
                io_bytes=16 * GIB,
                rate_bps=300 * MIB,
                background=True,
            ),
            Task(
                name="database",
                kind="hog",
                anon_bytes=1500 * MIB,
                rate_bps=400 * MIB,
                hold_ns=60 * S,
                start_delay_ns=5 * S,
                background=True,
            ),
            _periodic("netrx", "alloc", MS, order=0, hold=2048),
            _periodic("selector", "select", 2 * MS),
            _periodic("forker", "fork", 10 * MS, lifetime_ns=S),
            *(_periodic(f"order-{order}", "alloc", 5 * MS, order=order, hold=256) for order in (1, 2, 3)),
        ),
        length_ns=LENGTH_NS,
        prefill_bytes=2 * GIB,
        seed=seed,
    )
