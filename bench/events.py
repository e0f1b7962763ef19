# SPDX-License-Identifier: GPL-2.0-or-later
"""What events cost: whole runs with none, with decisions, with full; and the text encoder by itself."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

from bench.common import GIB, KIB, Sheet, bench_main, in_turns, play, ratio
from bench.lives import writer

ROUNDS = 7
ENCODER_RECORDS = 1_000_000


def storm(quick: bool) -> Any:
    """The demo's scenario."""
    import msgspec

    from pageout.workload.program import load_workload
    from pageout.workload.shipped import path_of

    scenario = load_workload(path_of("storm"))
    return msgspec.structs.replace(scenario, length_ns=scenario.length_ns // (10 if quick else 1))


def whole_run(scenario: Any, events: str) -> Callable[[], float]:
    """Return a function that measures simulate(): boot, run, drain, digest, check; in CPU seconds."""
    from pageout.machine.simulate import simulate
    from pageout.vocabulary.tracepoints import TRACEPOINTS, enabled

    def run() -> float:
        chosen = (False,) * len(TRACEPOINTS) if events == "off" else enabled(events)
        with patch("pageout.machine.boot.enabled", lambda _: chosen):
            begun = time.process_time()
            simulate(scenario)
            return time.process_time() - begun

    return run


def engine_run(scenario: Any, events: str) -> Callable[[], float]:
    """Return a function that measures the compiled run alone; the ring is thrown away as it fills."""
    return lambda: play(scenario, events=events).run_s


def measure_sets(
    sheet: Sheet, name: str, scenario: Any, run: Callable[[Any, str], Callable[[], float]], target: str
) -> None:
    """Compare the sets on one scenario."""
    sets = ("off", "decisions", "full")
    found = in_turns(2 if sheet.quick else ROUNDS, **{events: run(scenario, events) for events in sets})
    sheet.add(f"{name}, no events", statistics.median(found["off"]), "s")
    for events in sets[1:]:
        share = (ratio(found, events, "off") - 1) * 100
        sheet.add(f"{name}, {events}", share, "% more", target if events == "decisions" else "")


class _Sink:
    """Counts what the encoder hands over, and keeps nothing."""

    def __init__(self) -> None:
        self.nr_bytes = self.nr_lines = 0

    def write(self, chunk: Any) -> int:
        self.nr_bytes += len(chunk)
        self.nr_lines += bytes(chunk).count(b"\n")
        return len(chunk)


def measure_encoder(sheet: Sheet) -> None:
    """Lines of ftrace text per CPU second, from the storm's own records, over and over."""
    import numpy as np

    from pageout.events.encode import TextWriter
    from pageout.events.recording import RECORD

    ran = play(storm(sheet.quick), events="full", keep=True)
    nr = ENCODER_RECORDS // (10 if sheet.quick else 1)
    one = ran.records[:nr]
    records = np.ascontiguousarray(np.concatenate([one] * (nr // len(one) + 1))[:nr]).view(RECORD)
    rates, sink = [], _Sink()
    for turn in range(4):
        sink = _Sink()
        writer_ = TextWriter(sink.write, ran.booted.comms)
        begun = time.process_time()
        writer_.drain(records)
        writer_.close()
        if turn:  # the first turn loads the encoder
            rates.append(nr / (time.process_time() - begun))
    sheet.add(
        "text encoder",
        statistics.median(rates) / 1e6,
        "M lines/s",
        note=f"{nr:,} records of the storm, {sink.nr_bytes / nr:.0f} bytes a line",
    )


def measure(sheet: Sheet) -> None:
    """Fill the sheet."""
    few = 1 if sheet.quick else 4
    sequential, random = writer("write", 128 * KIB, few * GIB), writer("randwrite", 4 * KIB, few * GIB)
    measure_sets(sheet, "storm, simulate()", storm(sheet.quick), whole_run, "<= 10")
    measure_sets(sheet, "sequential writes, simulate()", sequential, whole_run, "<= 10")
    measure_sets(sheet, "sequential writes, engine alone", sequential, engine_run, "<= 10")
    measure_sets(sheet, "random writes, engine alone", random, engine_run, "<= 10")
    measure_encoder(sheet)


if __name__ == "__main__":
    bench_main("events", "What events cost", measure)
