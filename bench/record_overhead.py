# SPDX-License-Identifier: GPL-2.0-or-later
"""What recording costs the recorded: tracepoints one by one, and fio with and without `pageout record`.

Needs root, tracefs, loop devices and, for the second half, fio. A disk of its own, ext4 on a loop device on tmpfs, is
made and taken away: nothing slows the writer down but the kernel, so each event costs as large a share as it ever can.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.common import MIB, Sheet, bench_main, child_environment, in_turns

ROUNDS, EVENT_ROUNDS = 7, 15
FILE_MIB = 256
DISK_MIB = 2048

# What could tell demand below freerun, reads, anonymous growth: what each costs decides what is in the set light.
CANDIDATES = {
    "global_dirty_state": "writeback/global_dirty_state",
    "writeback_dirty_folio": "writeback/writeback_dirty_folio",
    "writeback_mark_inode_dirty": "writeback/writeback_mark_inode_dirty",
    "writeback_dirty_inode": "writeback/writeback_dirty_inode",
    "ext4_da_write_begin": "ext4/ext4_da_write_begin",
    "mm_filemap_add_to_page_cache": "filemap/mm_filemap_add_to_page_cache",
}

JOBS = {
    "write 4k": ("--rw=write", "--bs=4k", f"--size={FILE_MIB}m", "--loops=4", "--overwrite=0"),
    "write 64k": ("--rw=write", "--bs=64k", f"--size={FILE_MIB}m", "--loops=8", "--overwrite=0"),
    "write 64k, fsync each 8 MiB": ("--rw=write", "--bs=64k", f"--size={FILE_MIB}m", "--fsync=128", "--loops=2"),
    "direct read 4k": ("--rw=randread", "--bs=4k", f"--size={FILE_MIB}m", "--direct=1", "--io_size=192m"),
}


@contextlib.contextmanager
def disk(folder: Path) -> Iterator[Path]:
    """Give the mount point of an ext4 on memory."""
    memory, mount = folder / "memory", folder / "mount"
    with contextlib.ExitStack() as undo:
        for place in (memory, mount):
            place.mkdir()
        call("mount", "-t", "tmpfs", "-o", f"size={DISK_MIB + 64}m", "tmpfs", str(memory))
        undo.callback(unmount, memory)
        with (memory / "image").open("wb") as file:
            file.truncate(DISK_MIB << 20)
        call("mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0", str(memory / "image"))
        call("mount", "-o", "loop", str(memory / "image"), str(mount))
        undo.callback(unmount, mount)
        yield mount


def call(*argv: str) -> None:
    """Run a program that has to succeed."""
    subprocess.run(argv, check=True)


def unmount(place: Path) -> None:
    """Unmount; what was running there may take a moment to end."""
    for _ in range(50):
        if not subprocess.run(["umount", str(place)], capture_output=True, check=False).returncode:
            return
        time.sleep(0.1)
    call("umount", str(place))


def write_s(path: Path) -> float:
    """Seconds of writing a new file in calls of 4 KiB, had all of it gone as its fastest tenth did.

    A MiB takes about a millisecond: others on this computer disturb some, not all. What is dirty is thrown away again.
    """
    data = bytes(4096)
    taken = []
    with path.open("wb", buffering=0) as file:
        target = file.fileno()
        for start in range(0, FILE_MIB * MIB, MIB):
            begun = time.perf_counter()
            for at in range(start, start + MIB, 4096):
                os.pwrite(target, data, at)
            taken.append(time.perf_counter() - begun)
        os.ftruncate(target, 0)
    return FILE_MIB * statistics.mean(sorted(taken)[: FILE_MIB // 10])


def event_costs(sheet: Sheet, mount: Path, rounds: int) -> None:
    """Measure tracepoints one by one."""
    from pageout.record import tenancy
    from pageout.record.tracefs import PREFIX, Instance

    note = tenancy.Note(os.getpid(), tenancy.started(os.getpid()), f"{PREFIX}{os.getpid()}")
    instance = Instance(tenancy.arrive(note), note.instance)
    counts: dict[str, int] = {}
    try:
        instance.create()
        instance.write("trace_clock", "mono")
        instance.write("buffer_size_kb", "4096")
        instance.write("tracing_on", "1")

        def traced(name: str) -> Callable[[], float]:
            def run() -> float:
                file = f"events/{CANDIDATES[name]}/enable"
                instance.write("trace", "")
                instance.write(file, "1")
                try:
                    taken = write_s(mount / "file")
                finally:
                    instance.write(file, "0")
                stats = [instance.stats(cpu) for cpu in instance.cpus()]
                counts[name] = sum(row.get("entries", 0) + row.get("overrun", 0) for row in stats)
                return taken

            return run

        present = [name for name in CANDIDATES if (instance.root / "events" / CANDIDATES[name]).exists()]
        write_s(mount / "file")
        bare_run = lambda: write_s(mount / "file")  # noqa: E731
        runs = {name: traced(name) for name in present} | {"none": bare_run, "again": bare_run}
        found = in_turns(rounds, **runs)
    finally:
        tenancy.depart(note)
    bare = min(found["none"])  # what disturbs only ever adds
    noise = 100 * (min(found["again"]) / bare - 1)
    sheet.add("no event, measured again", noise, "% of a 4 KiB writer's time", "", "what cannot be told from nothing")
    for name in present:
        extra = min(found[name]) - bare
        each = f"{1e9 * extra / counts[name]:,.0f} ns each" if counts[name] > 10_000 else "too few to time one"
        said = f"{counts[name]:,} events for {FILE_MIB} MiB written; {each}"
        sheet.add(name, 100 * extra / bare, "% of a 4 KiB writer's time", "", said)


def fio_figures(argv: list[str], events: str, folder: Path) -> dict[str, float]:
    """Run fio, recorded or not; returns CPU us a call of fio's own, its seconds, and the recorder's figures."""
    bundle = folder / f"bundle-{time.monotonic_ns()}"
    extra = {"events": 0.0, "lost": 0.0, "share": 0.0}
    if events in ("light", "full"):
        record = [sys.executable, "-m", "pageout", "record", "--json", "--events", events, "-o", str(bundle), "--"]
        done = subprocess.run([*record, *argv], capture_output=True, text=True, check=True, env=child_environment())
        said = json.loads(done.stdout)
        text = (bundle / "fio.json").read_text()
        extra = {"events": said["events"]["recorded"], "lost": said["events"]["lost"], "share": said["cpu_share"]}
        shutil.rmtree(bundle)
    else:
        text = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    job = json.loads(text)["jobs"][0]
    calls = job["read"]["total_ios"] + job["write"]["total_ios"]
    seconds = job["job_runtime"] / 1000
    return extra | {"cpu_us": (job["usr_cpu"] + job["sys_cpu"]) / 100 * seconds / calls * 1e6, "seconds": seconds}


def fio_costs(sheet: Sheet, mount: Path, folder: Path, rounds: int) -> None:
    """Measure fio with and without recording, in turns."""
    for job, words in JOBS.items():
        argv = ["fio", "--name=w", f"--filename={mount}/file", "--ioengine=psync", "--fallocate=none",
                "--output-format=json", *words]  # fmt: skip
        kept: dict[str, list[dict[str, float]]] = {"none": [], "again": [], "light": [], "full": []}

        def run(events: str, argv: list[str] = argv, kept: dict[str, list[dict[str, float]]] = kept) -> float:
            kept[events].append(fio_figures(argv, events, folder))
            return kept[events][-1]["cpu_us"]

        runs = {events: functools.partial(run, events) for events in kept}
        found = in_turns(rounds, **runs)
        for events in ("again", "light", "full"):
            cpu = 100 * (min(found[events]) / min(found["none"]) - 1)
            last = kept[events][-1]
            least = {name: min(row["seconds"] for row in kept[name]) for name in (events, "none")}
            wall = 100 * (least[events] / least["none"] - 1)
            share = 100 * statistics.median(row["share"] for row in kept[events])
            per_s = last["events"] / max(last["seconds"], 1e-3)
            note = (
                f"wall {wall:+.1f} %; {per_s:,.0f} events/s, {last['lost']:,.0f} lost; recorder {share:.1f} % of a CPU"
            )
            target = "<= 2" if events == "light" else ""
            if events == "again":
                note = f"wall {wall:+.1f} %: what cannot be told from nothing"
            sheet.add(
                f"{job}, {'not recorded, again' if events == 'again' else events}",
                cpu,
                "% more CPU a call",
                target,
                note,
            )


def measure(sheet: Sheet) -> None:
    """Fill the sheet."""
    if os.geteuid():
        sheet.add("recording", float("nan"), "", "", "not measured: needs root")
        return
    rounds = 2 if sheet.quick else ROUNDS
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what was mounted goes
    with tempfile.TemporaryDirectory() as name, disk(Path(name)) as mount:
        event_costs(sheet, mount, 2 if sheet.quick else EVENT_ROUNDS)
        if shutil.which("fio"):
            fio_costs(sheet, mount, Path(name), rounds)
        else:
            sheet.add("fio", float("nan"), "", "", "not measured: not installed")


if __name__ == "__main__":
    bench_main("record_overhead", "What recording costs", measure)
