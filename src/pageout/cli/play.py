# SPDX-License-Identifier: GPL-2.0-or-later
"""Simulate scenarios one after the other, with everything around a run: files, progress, warnings, pictures."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from pageout.cli.options import Common
from pageout.cli.output import distinct, replacing
from pageout.cli.terminal import Progress, warn

if TYPE_CHECKING:
    from pageout.machine.simulate import Result
    from pageout.vocabulary.scenario import Scenario


def play(scenarios: "Sequence[Scenario]", common: Common, workload: Path | None = None) -> "list[Result]":
    """Return the results in order; traces and the plot are in place once all are done, else not at all."""
    traces = trace_paths(common.trace, [scenario.design for scenario in scenarios])
    power_cut_ns = common.power_cut_ns()
    distinct({**{f"--trace {n}": path for n, path in enumerate(traces)}, "--plot": common.plot}, workload)
    with ExitStack() as files:
        picture = _picture(common.plot, files)
        parts = [files.enter_context(replacing(path)) if path else None for path in traces]
        warn([text for scenario in scenarios for text in scenario.warnings])
        results = _simulate(scenarios, common, power_cut_ns, parts)
        if picture is not None:
            _draw(picture, results)
    return results


def _picture(path: Path | None, files: ExitStack) -> Path | None:
    """Make sure of the picture's file before a run is spent on it."""
    if path is None:
        return None
    from pageout.report.plot import checked_suffix

    checked_suffix(path)
    return files.enter_context(replacing(path))


def _simulate(
    scenarios: "Sequence[Scenario]", common: Common, power_cut_ns: int | None, traces: Sequence[Path | None]
) -> "list[Result]":
    results = []
    with Progress() as progress:
        from pageout import jit
        from pageout.machine.simulate import simulate

        with jit.compiling(progress.note):
            for number, (scenario, trace) in enumerate(zip(scenarios, traces, strict=True)):
                progress.part(number, len(scenarios), scenario.design)
                result = simulate(
                    scenario,
                    trace=trace,
                    events=common.events,
                    check=common.check_every(),
                    power_cut_ns=power_cut_ns,
                    progress=progress,
                )
                results.append(result)
    return results


def _draw(path: Path, results: "Sequence[Result]") -> None:
    from pageout.report.plot import checked_suffix, plot_bytes

    panels = [(result.document()["design"], result.series) for result in results]
    path.write_bytes(plot_bytes(panels, checked_suffix(path)))


def trace_paths(path: Path | None, designs: Sequence[str]) -> list[Path | None]:
    """Return each design's trace file: the one named for a single design, else storm.txt -> storm.DESIGN.txt."""
    if path is None or len(designs) == 1:
        return [path] * len(designs)
    return [path.with_name(f"{path.stem}.{design}{path.suffix}") for design in designs]
