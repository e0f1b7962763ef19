# SPDX-License-Identifier: GPL-2.0-or-later
"""Reading a long recording: ours, text to frames with every field, beside what others take for less of it.

The kernel's script is looked for in PAGEOUT_POSTPROCESS and under /usr/src. trace-cmd, where it is installed, prints a
trace.dat of as many events; ours, beside it, reads the very text it printed.
"""

from __future__ import annotations

import os
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path

from bench.common import Sheet, bench_main, child_environment, in_turns, ratio
from bench.recording import write_text

LINES, ROUNDS = 2_000_000, 3
STREAM_LINES = 2_000_000
SCRIPT = "Documentation/trace/postprocess/trace-vmscan-postprocess.pl"
# The script takes the running kernel's formats for the recording's, and exits with 25 where these
# have fewer fields than it knows, as those of 6.18 have for 6.1's script. It opens nothing else; so it is kept
# from opening these, as if tracing was not mounted, and takes its own.
OWN_FORMATS = "BEGIN { *CORE::GLOBAL::open = sub (*;$@) { 0 } } my $script = shift; do $script; die $@ if $@"
SAME_EVENTS = "ours, on what trace-cmd report printed"
_HEAD = re.compile(r" *(.*?)-(\d+) +\[(\d{3})\] +(\S+) +(\d+)\.(\d+): (\w+): ")


def ours(path: Path) -> Callable[[], float]:
    """Return a function that measures text to frames, in CPU seconds of all threads."""
    from pageout.readers.read import read_input

    def run() -> float:
        begun = time.process_time()
        read_input(str(path))
        return time.process_time() - begun

    return run


def heads_by_re(path: Path) -> Callable[[], float]:
    """Return a function that measures Python's re on the head of each line alone."""

    def run() -> float:
        begun = time.process_time()
        with path.open() as file:
            sum(_HEAD.match(line) is not None for line in file)
        return time.process_time() - begun

    return run


def program(command: list[str], stdin: Path | None = None) -> Callable[[], float]:
    """Return a function that measures a program, its output thrown away, in CPU seconds."""

    def run() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        with stdin.open() if stdin is not None else open(os.devnull) as file:  # noqa: PTH123
            subprocess.run(command, stdin=file, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    return run


def postprocess_script() -> Path | None:
    """Return the kernel's script, if it is here."""
    given = os.environ.get("PAGEOUT_POSTPROCESS")
    found = [Path(given)] if given else sorted(Path("/usr/src").glob(f"linux-source-*/{SCRIPT}"))
    return found[-1] if found and shutil.which("perl") else None


def others(folder: Path, text: Path, lines: int) -> tuple[dict[str, Callable[[], float]], dict[str, str]]:
    """Return what can be measured here beside ours, and why the rest cannot."""
    runs = {"wc -l": program(["wc", "-l", str(text)]), "Python re, heads only": heads_by_re(text)}
    missing = {}
    script = postprocess_script()
    if script is None:
        missing["trace-vmscan-postprocess.pl"] = "set PAGEOUT_POSTPROCESS to the script"
    else:
        runs["trace-vmscan-postprocess.pl"] = program(["perl", "-e", OWN_FORMATS, str(script.absolute())], text)
    binary = folder / "trace.dat"
    if shutil.which("trace-cmd") is None:
        missing["trace-cmd report"] = "not installed"
    elif find_spec("bench.recording_dat") is None:
        missing["trace-cmd report"] = "no trace.dat to give it"
    else:
        subprocess.run(
            [sys.executable, "-m", "bench.recording_dat", str(binary), "--events", str(lines)],
            env=child_environment(), stdout=subprocess.DEVNULL, check=True,
        )  # fmt: skip
        runs["trace-cmd report"] = program(["trace-cmd", "report", "-i", str(binary)])
        report = folder / "report.txt"
        with report.open("wb") as file:
            subprocess.run(["trace-cmd", "report", "-i", str(binary)], stdout=file, check=False)
        runs[SAME_EVENTS] = ours(report)
    for name in list(runs):
        try:
            runs[name]()
        except subprocess.CalledProcessError as error:
            missing[name] = f"exits with {error.returncode}"
            del runs[name]
    return runs, missing


def compile_seconds(folder: Path) -> float:
    """CPU seconds of a fresh process that makes the loop's machine code."""
    code = (
        "import time; from pageout.readers.bulk_loop import run_loop; t = time.process_time(); run_loop.address; "
        "print(time.process_time() - t)"
    )
    env = child_environment(PAGEOUT_CACHE=str(folder / "cache"))
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    return float(done.stdout)


def stream_peak_mib(path: Path) -> float:
    """Peak memory of a fresh process that streams a recording, in MiB."""
    code = (
        "import resource, sys; from pageout.readers.read import stream_events; "
        "stream_events(sys.argv[1], lambda name, frame: None); "
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)"
    )
    command = [sys.executable, "-c", code, str(path)]
    done = subprocess.run(command, env=child_environment(), capture_output=True, text=True, check=True)
    return float(done.stdout)


def measure_readers(sheet: Sheet, folder: Path, lines: int) -> None:
    """Lines per CPU second, and how many times as fast ours is."""
    text = folder / "trace.txt"
    write_text(text, lines)
    sheet.add("compiling the loop, once", compile_seconds(folder), "s", "<= 10", "not in the figures below")
    runs, missing = others(folder, text, lines)
    mine = ours(text)
    mine()  # loads the loop
    found = in_turns(2 if sheet.quick else ROUNDS, ours=mine, **runs)
    note = f"{lines:,} lines, {text.stat().st_size / lines:.0f} bytes each; every field, to frames"
    sheet.add("ftrace text to frames", rate(found, "ours", lines), "M lines/s", ">= 3", note)
    notes = {"trace-vmscan-postprocess.pl": "by its own formats, not the running kernel's"}
    for name in runs:
        sheet.add(name, rate(found, name, lines), "M lines/s", "", notes.get(name, ""))
        target = ">= 8" if name.startswith("trace") else ""
        same = SAME_EVENTS if name == "trace-cmd report" and SAME_EVENTS in runs else "ours"
        if name != SAME_EVENTS:
            sheet.add(f"ours : {name}", ratio(found, name, same), "times", target)
    for name, why in missing.items():
        sheet.add(name, float("nan"), "", "", f"not measured: {why}")


def rate(found: Mapping[str, list[float]], name: str, lines: int) -> float:
    """Million lines per CPU second."""
    return lines / statistics.median(found[name]) / 1e6


def measure_memory(sheet: Sheet, folder: Path, lines: int) -> None:
    """Bytes per event in frames, and what streaming takes."""
    from pageout.readers.read import read_input

    text = folder / "trace.txt"
    events = read_input(str(text)).events
    assert events is not None
    nbytes = sum(frame.estimated_size() for frame in [*events.frames.values(), events.other])
    sheet.add("frames", nbytes / len(events), "bytes/event", "<= 150", f"{len(events.frames)} kinds")
    for name in ("balance_dirty_pages",):
        frame = events.frame(name)
        sheet.add(f"frame of {name}", frame.estimated_size() / len(frame), "bytes/event", "<= 150")
    write_text(text, lines)
    note = f"{text.stat().st_size / 2**20:,.0f} MiB of text"
    sheet.add("stream_events, peak memory", stream_peak_mib(text), "MiB", "<= 1024", note)


def measure(sheet: Sheet) -> None:
    """Fill the sheet."""
    tenth = 10 if sheet.quick else 1
    with tempfile.TemporaryDirectory() as name:
        measure_readers(sheet, Path(name), LINES // tenth)
        measure_memory(sheet, Path(name), STREAM_LINES // tenth)


if __name__ == "__main__":
    bench_main("reading", "Reading recordings", measure)
