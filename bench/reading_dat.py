# SPDX-License-Identifier: GPL-2.0-or-later
"""Reading a long trace.dat: ours, pages to frames with every field, beside `trace-cmd report`."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from bench.common import Sheet, bench_main, in_turns, ratio
from bench.reading import ours, program, rate, stream_peak_mib
from bench.recording_dat import recording

EVENTS, ROUNDS = 500_000, 3


def frame_bytes(path: Path) -> float:
    """Bytes an event in the frames."""
    from pageout.readers.read import read_input

    found = read_input(str(path)).events
    assert found is not None
    return sum(frame.estimated_size() for frame in (*found.frames.values(), found.other)) / len(found)


def measure(sheet: Sheet) -> None:
    """Fill the sheet."""
    events = EVENTS // (10 if sheet.quick else 1)
    with tempfile.TemporaryDirectory() as folder:
        plain, packed = Path(folder) / "trace.dat", Path(folder) / "packed.dat"
        made = recording(events)
        made.write(plain)
        made.packing = "zstd"
        made.write(packed)
        runs = {"plain": ours(plain), "zstd": ours(packed)}
        for run in runs.values():
            run()  # loads the loops
        if shutil.which("trace-cmd"):
            runs["trace-cmd report"] = program(["trace-cmd", "report", "-i", str(plain)])
        found = in_turns(2 if sheet.quick else ROUNDS, **runs)
        note = f"{events:,} events, {plain.stat().st_size / events:.0f} bytes each; every field, to frames"
        sheet.add("trace.dat to frames", rate(found, "plain", events), "M events/s", ">= 5", note)
        sheet.add("trace.dat packed by zstd to frames", rate(found, "zstd", events), "M events/s")
        if "trace-cmd report" in runs:
            sheet.add("trace-cmd report", rate(found, "trace-cmd report", events), "M events/s")
            sheet.add("ours : trace-cmd report", ratio(found, "trace-cmd report", "plain"), "times", ">= 8")
        else:
            sheet.add("trace-cmd report", float("nan"), "", "", "not measured: not installed")
        sheet.add("frames", frame_bytes(plain), "bytes/event", "<= 150")
        sheet.add("peak while streaming", stream_peak_mib(plain), "MiB", "<= 1024")


if __name__ == "__main__":
    bench_main("reading_dat", "Reading trace.dat", measure)
