# SPDX-License-Identifier: GPL-2.0-or-later
"""Bytes per page frame, a 256 GiB machine booted here, and what a page costs on it against a 1 GiB machine.

Both machines are the preset big-256g but for their memory, their page cache is full of clean pages when the clock
starts, and both have the same dirty limits in bytes: each page written displaces one, and is flushed in the run.
"""

from __future__ import annotations

import gc
import os
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.common import GIB, KIB, MIB, PAGE, Sheet, bench_main, in_turns, play, ratio

ROUNDS = 3
BIG, SMALL = 256, 1


def scenario(memory_gib: int, rw: str, file_bytes: int, nr_bytes: int, *, full: bool = True) -> Any:
    """One writer on big-256g, or on the same machine with other memory."""
    import msgspec

    from pageout.vocabulary.machines import load_machine
    from pageout.vocabulary.scenario import File, Scenario, Task

    return Scenario(
        name=f"{rw} on {memory_gib} GiB",
        machine=msgspec.structs.replace(load_machine("big-256g"), memory_bytes=memory_gib * GIB),
        files=(File(name="file", size_bytes=file_bytes),),
        tasks=(
            Task(name="writer", file=(0,), rw=rw, bs_bytes=128 * KIB if rw == "write" else PAGE, io_bytes=nr_bytes),  # type: ignore[arg-type]
        ),
        settings={"vm.dirty_bytes": 200 * MIB, "vm.dirty_background_bytes": 100 * MIB},
        prefill_bytes=memory_gib * GIB if full else 0,
    )


def resident_gib() -> float:
    """Memory this process holds now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / GIB


def measure_boot(sheet: Sheet) -> None:
    """Boot the big machine, empty and full."""
    play(scenario(SMALL, "write", GIB, MIB, full=False))  # load everything first
    for full, what in ((False, "empty"), (True, "cache full")):
        gc.collect()
        before, user = resident_gib(), resource.getrusage(resource.RUSAGE_SELF).ru_utime
        ran = play(scenario(BIG, "write", GIB, MIB, full=full))
        user = resource.getrusage(resource.RUSAGE_SELF).ru_utime - user
        if not full:
            tables = sum(array.nbytes for array in ran.booted.arrays.values())
            sheet.add("256 GiB machine, all tables", tables / GIB, "GiB", "", "allocated; touched only when used")
        sheet.add(f"256 GiB machine, boot, {what}", user, "s user", "", f"and {ran.boot_s - user:.1f} s in the kernel")
        sheet.add(f"256 GiB machine, resident, {what}", resident_gib() - before, "GiB")
        del ran


def measure_cost(sheet: Sheet) -> None:
    """Nanoseconds per page written, sequentially and at random, big machine against small."""
    nr_bytes = GIB if sheet.quick else 8 * GIB
    for rw, limit in (("write", 2), ("randwrite", 4)):
        stages: dict[int, str] = {}

        def cost_on(memory_gib: int, rw: str = rw, stages: dict[int, str] = stages) -> Callable[[], float]:
            def run() -> float:
                ran = play(scenario(memory_gib, rw, 16 * GIB, nr_bytes))
                nr = nr_bytes // PAGE
                reclaimed = ran.stat("reclaimed_direct") + ran.stat("reclaimed_kswapd")
                stages[memory_gib] = f"{ran.vm('nr_written') / nr:.0%} flushed, {reclaimed / nr:.0%} displaced one"
                cost = ran.run_s * 1e9 / nr
                del ran
                gc.collect()
                return cost

            return run

        found = in_turns(1 if sheet.quick else ROUNDS, big=cost_on(BIG), small=cost_on(SMALL))
        name = "sequential 128 KiB" if rw == "write" else "random 4 KiB"
        sheet.add(f"{name}, 256 GiB", sorted(found["big"])[len(found["big"]) // 2], "ns a page", "", stages[BIG])
        sheet.add(f"{name}, 1 GiB", sorted(found["small"])[len(found["small"]) // 2], "ns a page", "", stages[SMALL])
        sheet.add(f"{name}, 256 GiB / 1 GiB", ratio(found, "big", "small"), "x", f"<= {limit}")


def measure(sheet: Sheet) -> None:
    """Fill the sheet."""
    from pageout.engine.state import LAYOUT

    sheet.add(
        "page frame", LAYOUT["page"][0].itemsize, "bytes", "<= 32", "Linux's own struct page: 56 in 2.6.34, 64 now"
    )
    sheet.add("file page", LAYOUT["slot"][0].itemsize + 4 / 8, "bytes", "", "frame and block, four bits of bitmaps")
    measure_boot(sheet)
    measure_cost(sheet)


if __name__ == "__main__":
    bench_main("size", "Size: bytes per page, a 256 GiB machine, its cost per page", measure)
