# SPDX-License-Identifier: GPL-2.0-or-later
"""What the benches share: a machine that runs without anything round it, pairs measured in turn, tables, JSON.

Everything is measured in CPU time of the process, never in wall time: other work on the computer then matters little.
What is compared runs in turns (A B, B A, A B, ...) and the result is the median of each round's ratio.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MODULES = ("lives", "accesses", "size", "compile", "events", "policy", "reading", "reading_dat", "record_overhead")
RESULTS = Path(__file__).parent / "results"
KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
PAGE = 4 * KIB


@dataclass
class Row:
    """One measured figure. target: "" for none, else as ">= 1" or "<= 0.3"."""

    name: str
    value: float
    unit: str = ""
    target: str = ""
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the figure reaches its target; None without one."""
        if not self.target:
            return None
        sign, limit = self.target.split()
        return self.value >= float(limit) if sign == ">=" else self.value <= float(limit)


@dataclass
class Sheet:
    """The figures of one bench, printed as a table and written as JSON."""

    name: str
    title: str
    quick: bool = False
    rows: list[Row] = field(default_factory=list)
    loops: list[float] = field(default_factory=list)

    def add(self, name: str, value: float, unit: str = "", target: str = "", note: str = "") -> None:
        """Append one figure."""
        self.rows.append(Row(name, value, unit, target, note))

    def show(self) -> None:
        """Print the table."""
        from rich.console import Console
        from rich.table import Table

        table = Table(title=self.title + (" (quick: not a measurement)" if self.quick else ""), title_justify="left")
        for heading, justify in (("figure", "left"), ("value", "right"), ("unit", "left"), ("target", "right")):
            table.add_column(heading, justify=justify, no_wrap=heading != "figure")  # type: ignore[arg-type]
        table.add_column("note")
        for row in self.rows:
            verdict = {None: "", True: " met", False: " MISSED"}[row.met]
            table.add_row(
                row.name,
                f"{row.value:,.4g}" if row.value < 1000 else f"{row.value:,.0f}",
                row.unit,
                row.target + verdict,
                row.note,
            )
        loops = " and ".join(f"{seconds:.2f}" for seconds in self.loops)
        table.caption = f"CPU time; a fixed Python loop took {loops} s before and after"
        table.caption_justify = "left"
        Console(width=None if sys.stdout.isatty() else 140).print(table)

    def save(self) -> None:
        """Write bench/results/NAME.json."""
        import numba
        import numpy as np

        RESULTS.mkdir(exist_ok=True)
        document = {
            "bench": self.name,
            "quick": self.quick,
            "python": platform.python_version(),
            "numba": numba.__version__,
            "numpy": np.__version__,
            "cpu": cpu_model(),
            "python_loop_s": self.loops,
            "figures": {
                row.name: {"value": row.value, "unit": row.unit, "target": row.target, "met": row.met, "note": row.note}
                for row in self.rows
            },
        }
        (RESULTS / f"{self.name}.json").write_text(json.dumps(document, indent=2) + "\n")


def cpu_model() -> str:
    """The CPU's name, as Linux tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def python_loop_s() -> float:
    """CPU seconds of a fixed loop in plain Python: how fast this computer was at that moment. For comparing runs."""
    begun = time.process_time()
    sum(i * i for i in range(3_000_000))
    return time.process_time() - begun


def bench_main(name: str, title: str, measure: Callable[[Sheet], None]) -> None:
    """Run one bench as a program: `--quick`, `--strict`; exit 1 if it is strict and a target is missed."""
    parser = argparse.ArgumentParser(prog=f"python -m bench.{name}", description=title)
    parser.add_argument(
        "-q", "--quick", action="store_true", help="a tenth of the work: shows that all runs, not how fast"
    )
    parser.add_argument("-s", "--strict", action="store_true", help="exit 1 if a target is missed")
    arguments = parser.parse_args()
    sheet = Sheet(name, title, arguments.quick)
    sheet.loops.append(python_loop_s())
    measure(sheet)
    sheet.loops.append(python_loop_s())
    sheet.show()
    sheet.save()
    if arguments.strict and any(row.met is False for row in sheet.rows):
        raise SystemExit(1)


def in_turns(rounds: int, **run: Callable[[], float]) -> dict[str, list[float]]:
    """Call each function once a round, the order reversed every other round; returns what each returned, by round."""
    found: dict[str, list[float]] = {name: [] for name in run}
    for turn in range(rounds):
        for name in list(run) if turn % 2 == 0 else list(run)[::-1]:
            found[name].append(run[name]())
    return found


def ratio(found: Mapping[str, Sequence[float]], above: str, below: str) -> float:
    """The median over the rounds of above / below."""
    return statistics.median(a / b for a, b in zip(found[above], found[below], strict=True))


@dataclass
class Ran:
    """A machine that has run to its end, and what its run and its boot cost in CPU seconds."""

    booted: Any
    boot_s: float
    run_s: float
    records: Any = None

    def stat(self, name: str) -> int:
        """A field of the machine's one-of-a-kind record."""
        return int(self.booted.arrays["stat"][name][0])

    @property
    def now_s(self) -> float:
        """The machine's clock, in seconds."""
        return self.stat("now_ns") / 1e9

    def vm(self, name: str) -> int:
        """A counter of /proc/vmstat."""
        return int(self.booted.arrays["vm"][name][0])

    def check(self, scenario: Any) -> None:
        """All invariants of the model hold; raises InvariantError."""
        from pageout.machine import checkers

        checkers.check(self.booted, scenario)


def play(
    scenario: Any,
    *,
    events: str = "decisions",
    policy: Any = None,
    zero_cost: bool = False,
    request_list: Any = None,
    keep: bool = False,
) -> Ran:
    """Boot a scenario and run it in one go: no digest, no checks, no progress; events are dropped as the ring fills.

    events: decisions, full, or off       keep: hand the events back
    """
    import numpy as np

    from pageout.engine import constants as c
    from pageout.machine.boot import boot
    from pageout.machine.dispatch import UNITS, core_unit
    from pageout.machine.prepare import prepare_unit

    for unit in (*UNITS, prepare_unit):
        _ = unit.address  # compiled, if need be, before the clock starts
    begun = time.process_time()
    booted = boot(
        scenario, events="decisions" if events == "off" else events, zero_cost=zero_cost, request_list=request_list
    )
    if events == "off":
        booted.arrays["event_on"][:] = 0
    if policy is not None:
        booted.arrays["param"]["policy_isolate"][0] = policy.compiled()[1]
    stat, ring, kept = booted.arrays["stat"], booted.arrays["ring"], []
    ready = time.process_time()
    while True:
        why = core_unit(booted.address, 1 << 20)
        if keep:
            kept.append(ring[: int(stat["ring_nr"][0])].copy())
        stat["ring_nr"][0] = 0
        if why not in (c.STOP_DRAIN, c.STOP_STEPS):
            break
    done = time.process_time()
    assert why == c.STOP_DONE or why == c.STOP_LENGTH, f"the run stopped with {why}"
    return Ran(booted, ready - begun, done - ready, np.concatenate(kept) if keep else None)


def child_environment(**more: str) -> dict[str, str]:
    """The environment of a child process that imports the same pageout as this one."""
    import pageout

    source = str(Path(pageout.__file__).parent.parent)
    path = os.pathsep.join([more.pop("SOURCE", source), str(Path(__file__).parent.parent)])
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return kept | {"PYTHONPATH": path} | more
