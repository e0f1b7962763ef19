# SPDX-License-Identifier: GPL-2.0-or-later
"""Whole page lives per second: written, dirtied, throttled, flushed, completed, reclaimed; beside SimPy.

A life counts when its page has been through every stage: on these machines nothing is read, so a page that reclaim
freed was dirtied by write(), submitted, completed by the device and scanned. Pages still in memory at the end are not
counted, though their cost is.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

from bench.common import GIB, KIB, PAGE, Ran, Sheet, bench_main, in_turns, play, ratio

ROUNDS = 5
SIMPY_USERS = 16


def machine(memory_bytes: int = GIB) -> Any:
    """1 GiB, 2 CPUs, XFS on a device of 1 GB/s by token bucket: slower than the writer, so the writer is throttled."""
    from pageout.vocabulary.scenario import Disk, Machine

    disk = Disk(kind="throttled", size_bytes=128 * GIB, write_bps=1_000_000_000)
    return Machine(name="bench-1g", memory_bytes=memory_bytes, disks=(disk,))


def writer(rw: str, bs_bytes: int, nr_bytes: int) -> Any:
    """One task that writes a file of `nr_bytes`, each block once."""
    from pageout.vocabulary.scenario import File, Scenario, Task

    return Scenario(
        name=f"{rw} {bs_bytes // KIB}K",
        machine=machine(),
        files=(File(name="file", size_bytes=nr_bytes),),
        tasks=(Task(name="writer", file=(0,), rw=rw, bs_bytes=bs_bytes, io_bytes=nr_bytes),),  # type: ignore[arg-type]
    )


def lives(ran: Ran) -> int:
    """Pages that went through all stages."""
    reclaimed = ran.stat("reclaimed_direct") + ran.stat("reclaimed_kswapd")
    assert reclaimed <= ran.vm("nr_written") <= ran.vm("nr_dirtied")
    return reclaimed


def simpy_rate(nr: int, capacity: int) -> Callable[[], float]:
    """Return a function that measures request, timeout, release per CPU second: 16 processes, one Resource."""
    import simpy

    def user(env: Any, device: Any, turns: int) -> Any:
        for _ in range(turns):
            with device.request() as request:
                yield request
                yield env.timeout(1)

    def measure() -> float:
        env = simpy.Environment()
        device = simpy.Resource(env, capacity=capacity)
        for _ in range(SIMPY_USERS):
            env.process(user(env, device, nr // SIMPY_USERS))
        begun = time.process_time()
        env.run()
        return nr / (time.process_time() - begun)

    return measure


def measure(sheet: Sheet) -> None:
    """Fill the sheet."""
    few = 2 if sheet.quick else 8
    sequential, random = writer("write", 128 * KIB, few * GIB), writer("randwrite", 4 * KIB, few * GIB)
    last: dict[str, Ran] = {}

    def rate_of(scenario: Any) -> Callable[[], float]:
        def run() -> float:
            last[scenario.name] = ran = play(scenario)
            return lives(ran) / ran.run_s

        return run

    runs = {"sequential": rate_of(sequential), "random": rate_of(random)}
    nr = 20_000 if sheet.quick else 200_000
    runs |= {"contended": simpy_rate(nr, 1), "free": simpy_rate(nr, SIMPY_USERS)}
    found = in_turns(2 if sheet.quick else ROUNDS, **runs)
    for name, scenario, target in (("sequential", sequential, ">= 1"), ("random", random, "")):
        ran = last[scenario.name]
        ran.check(scenario)
        note = (
            f"{lives(ran):,} lives of {few * GIB // PAGE:,} pages, {ran.stat('throttle_count'):,} throttled sleeps, "
            f"{ran.run_s / ran.stat('steps') * 1e9:.0f} ns a step"
        )
        sheet.add(f"{name} lives", statistics.median(found[name]) / 1e6, "M/s", target, note)
    sheet.add("sequential ns per life", 1e9 / statistics.median(found["sequential"]), "ns")
    sheet.add("random ns per life", 1e9 / statistics.median(found["random"]), "ns")
    for name, what in (("contended", "1 slot, 16 processes"), ("free", "16 slots, 16 processes")):
        sheet.add(f"SimPy, {what}", statistics.median(found[name]) / 1e6, "M/s", note="request, timeout, release")
    faster = max(("contended", "free"), key=lambda name: statistics.median(found[name]))
    sheet.add("sequential / SimPy", ratio(found, "sequential", faster), "x", ">= 5", "against the faster of the two")
    sheet.add("random / SimPy", ratio(found, "random", faster), "x", "", "against the faster of the two")


if __name__ == "__main__":
    bench_main("lives", "Whole page lives per second, 1 GiB machine, 8 GiB written", measure)
