# SPDX-License-Identifier: GPL-2.0-or-later
"""A made-up engine for tests of the command line: it simulates nothing and returns fixtures."""

import sys
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pageout.cli import workers
from pageout.vocabulary.scenario import Disk, File, Machine, Scenario, Task
from tests.report.documents import document, histograms, series

SCENARIO = Scenario(
    name="storm",
    machine=Machine(name="made-up", disks=(Disk(),)),
    files=(File(name="data", size_bytes=1 << 30),),
    tasks=(
        Task(name="writer", rw="write", file=(0,), io_bytes=1 << 20),
        Task(name="s", kind="select", interval_ns=10**6, background=True),
    ),
    warnings=("storm.fio:3: iodepth_batch is not modelled",),
)


class FakeResult:
    """What the engine's result offers, filled with made-up figures."""

    def __init__(self, scenario: Scenario, figures: dict[str, Any]) -> None:
        self._document = document(scenario.design, **figures) | {"seed": scenario.seed}
        self.series = series()
        self.dmesg = "[    1.000000] writer used greatest stack depth: 5296 bytes left\n"
        self.histograms = histograms()
        self.watermarks = {"min": 100, "low": 125, "high": 150}
        self.deepest_stack = [(720, 48, "xfs_vm_writepage"), (672, 672, "sys_select")]

    def document(self) -> dict[str, Any]:
        return self._document

    def proc_files(self) -> dict[str, str]:
        from pageout.cli.run import PROC_FILES

        return {name: f"{name} of the run\n" for name in PROC_FILES}


class FakeEngine:
    """Stands for machine.simulate and jit: records its calls, writes a trace, does what `during` says."""

    def __init__(self) -> None:
        self.calls: list[tuple[Scenario, dict[str, Any]]] = []
        self.figures: dict[str, dict[str, Any]] = {}
        self.during: Callable[[], None] = lambda: None
        self.note: Callable[[str], None] | None = None

    def simulate(self, scenario: Scenario, *, trace: Path | None = None, **options: Any) -> FakeResult:
        self.calls.append((scenario, {"trace": trace, **options}))
        if trace is not None:
            trace.write_text("# tracer: nop\n")
        options["progress"](0.5, "half way")
        self.during()
        return FakeResult(scenario, self.figures.get(scenario.design, {}))

    @contextmanager
    def compiling(self, note: Callable[[str], None]) -> Iterator[None]:
        note("mm")
        yield


def installed(monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    """Put a made-up engine in the place of the real one."""
    import pageout

    fake = FakeEngine()
    simulate, jit = (types.ModuleType(f"pageout.{name}") for name in ("machine.simulate", "jit"))
    simulate.simulate = fake.simulate  # type: ignore[attr-defined]
    jit.compiling = fake.compiling  # type: ignore[attr-defined]
    for module in (simulate, jit):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(pageout, "jit", jit, raising=False)
    monkeypatch.setattr(workers, "cores", lambda: 1)  # a made-up engine does not reach other processes
    return fake
