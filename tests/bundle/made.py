# SPDX-License-Identifier: GPL-2.0-or-later
"""Bundles for tests: of a simulated run, and small ones written by hand."""

import gzip
import hashlib
import json
import zipfile
from pathlib import Path

from pageout.twin.simulated import Run
from pageout.vocabulary.scenario import Scenario

JOB = "[global]\ndirectory=$DIR\nioengine=psync\nend_fsync=1\n[w]\nrw=write\nbs=64k\nsize=48m\n"
TRACE = """# tracer: nop
#
# entries-in-buffer/entries-written: 9/9   #P:2
#
#                                _-----=> irqs-off/BH-disabled
#           TASK-PID     CPU#  |||||  TIMESTAMP  FUNCTION
#              | |         |   |||||     |         |
        reader-7     [000] .....   100.100000: global_dirty_state: dirty=10 writeback=0 bg_thresh=100 thresh=200 limit=200 dirtied=1000 written=990
           fio-9     [001] .....   100.150000: global_dirty_state: dirty=90 writeback=0 bg_thresh=100 thresh=200 limit=200 dirtied=1080 written=990
        reader-7     [000] .....   100.200000: global_dirty_state: dirty=150 writeback=20 bg_thresh=100 thresh=200 limit=200 dirtied=1200 written=1030
           fio-9     [001] .....   100.210000: balance_dirty_pages: bdi 7:0: limit=200 setpoint=175 dirty=170 bdi_setpoint=174 bdi_dirty=160 dirty_ratelimit=400 task_ratelimit=420 dirtied=32 dirtied_pause=32 paused=0 pause=12 period=12 think=0 cgroup_ino=1
           fio-9     [001] .....   100.250000: balance_dirty_pages: bdi 7:0: limit=200 setpoint=175 dirty=170 bdi_setpoint=174 bdi_dirty=160 dirty_ratelimit=400 task_ratelimit=420 dirtied=32 dirtied_pause=32 paused=0 pause=0 period=12 think=16 cgroup_ino=1
        reader-7     [000] .....   100.300000: global_dirty_state: dirty=40 writeback=30 bg_thresh=100 thresh=200 limit=200 dirtied=1300 written=1230
          <idle>-0     [001] ..s1.   100.350000: block_rq_complete: 7,0 W () 800 + 256 be,0,4 [0]
          <idle>-0     [001] ..s1.   100.360000: block_rq_complete: 254,0 W () 800 + 8 be,0,4 [0]
        reader-7     [000] .....   100.400000: global_dirty_state: dirty=10 writeback=0 bg_thresh=100 thresh=200 limit=200 dirtied=1310 written=1300
"""
SAMPLES = """t_s,nr_dirty,nr_writeback,nr_free,nr_dirtied,nr_written
0.0,10,0,50000,1000,990
0.1,150,20,49800,1200,1030
0.2,40,30,49700,1300,1230
0.3,10,0,49700,1310,1300
"""
META = {
    "case": {"name": "small", "fio": JOB, "wbps": 4194304},
    "sysctl": {"vm.dirty_bytes": 819200, "vm.dirty_background_bytes": 409600},
    "kernel": "6.18.1-test",
    "dev": "7:0",
    "vmstat_delta": {"pgscan_kswapd": 5},
}


def small(folder: Path, **changed: str | bytes | dict | None) -> Path:
    """Write a bundle by hand; `changed`: a file's other content by its name with _ for ., None to leave it out."""
    folder.mkdir(parents=True, exist_ok=True)
    fio = {"jobs": [{"jobname": "w", "write": {"io_bytes": 1310720, "runtime": 200, "total_ios": 20, "clat_ns": {
        "N": 20, "max": 5000000, "percentile": {"50.000000": 30000, "99.000000": 4000000}}}}]}  # fmt: skip
    files = {
        "trace.txt.gz": gzip.compress(TRACE.encode(), mtime=0), "samples.csv": SAMPLES, "meta.json": META,
        "fio.json": fio, "job.fio": JOB,
    }  # fmt: skip
    files |= {name.replace("__", "."): content for name, content in changed.items()}
    for name, content in files.items():
        if content is None:
            continue
        text = json.dumps(content) if isinstance(content, dict) else content
        (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


def with_manifest(folder: Path, version: int = 1) -> Path:
    """Add the list of a bundle's files."""
    files = {
        one.name: {"bytes": one.stat().st_size, "sha256": hashlib.sha256(one.read_bytes()).hexdigest()}
        for one in folder.iterdir()
    }
    (folder / "manifest.json").write_text(json.dumps({"bundle": version, "pageout": "0", "files": files}))
    return folder


def zipped(folder: Path, path: Path, top: str = "") -> Path:
    """Put a bundle's files in a .zip, at its top or in one folder."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for one in sorted(folder.iterdir()):
            archive.write(one, f"{top}{one.name}")
    return path


def of_run(folder: Path, run: Run, trace: Path, scenario: Scenario, fio: str) -> Path:
    """Write a simulated run as a recorder would have."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "trace.txt.gz").write_bytes(gzip.compress(trace.read_bytes(), mtime=0))
    samples = run.evidence.samples
    assert samples is not None
    names = list(samples.columns)
    rows = [
        ",".join([f"{at / 1e9:.9f}", *(f"{samples.columns[name][n]:.0f}" for name in names)])
        for n, at in enumerate(samples.time_ns.tolist())
    ]
    (folder / "samples.csv").write_text("\n".join([",".join(["t_s", *names]), *rows]) + "\n")
    jobs = [
        {
            "jobname": calls.name,
            "write" if calls.is_write else "read": {
                "io_bytes": calls.nbytes, "runtime": calls.seconds * 1000, "total_ios": calls.latency.nr,
                "clat_ns": {
                    "N": calls.latency.nr, "max": float(calls.latency.value_us[-1]) * 1000,
                    "percentile": {
                        repr(float(share) * 100): float(value) * 1000
                        for share, value in zip(calls.latency.share, calls.latency.value_us, strict=True)
                    },
                },
            },
        }
        for calls in run.evidence.calls
    ]  # fmt: skip
    (folder / "fio.json").write_text(json.dumps({"jobs": jobs}))
    machine = scenario.machine
    window = run.evidence.window
    assert window is not None
    meta = {
        "kernel": "6.1.0", "dev": run.evidence.device, "hz": machine.hz, "cpus": machine.cpus,
        "sysctl": scenario.settings, "samples": {"clock": "trace", "time_column": "t_s"},
        "start_s": window.start_ns / 1e9, "end_s": window.end_ns / 1e9, "vmstat_delta": dict(run.evidence.counters or {}),
        "case": {"name": scenario.name, "fio": fio, "wbps": machine.disks[0].write_bps, "fs": machine.filesystem.kind},
        "machine": {"memory_kib": machine.memory_bytes >> 10},
    }  # fmt: skip
    (folder / "meta.json").write_text(json.dumps(meta))
    return folder
