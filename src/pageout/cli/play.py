# SPDX-License-Identifier: GPL-2.0-or-later
"""Simulate scenarios, one or several at a time, with everything around a run: files, progress, warnings, pictures."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

from pageout.cli import workers
from pageout.cli.bars import Bars
from pageout.cli.options import Common, Many
from pageout.cli.output import csv_text, distinct, replacing
from pageout.cli.terminal import Progress, warn
from pageout.cli.workers import Order, Played
from pageout.vocabulary.errors import UsageError

if TYPE_CHECKING:
    from pageout.machine.simulate import Result
    from pageout.vocabulary.scenario import Scenario

Outcome = Union["Result", Played]  # both have document(), series, histograms, watermarks


def play(
    scenarios: "Sequence[Scenario]", common: Common, workload: Path | None = None, many: Many | None = None
) -> "list[Outcome]":
    """Return the outcomes in order; files are in place once all runs are done, else not at all.

    One scenario is simulated in this process and gives its Result, with the machine's tables; several run side by side.
    """
    many = (many or Many()).checked()
    orders = _orders(scenarios, common)
    outputs = {"--plot": common.plot, "--report": common.report, "--csv": many.csv}
    distinct({**{f"--trace {n}": order.trace for n, order in enumerate(orders)}, **outputs}, workload)
    if common.plot is not None:
        from pageout.report.plot import checked_suffix

        checked_suffix(common.plot)
    with ExitStack() as files:
        parts = {option: files.enter_context(replacing(path)) for option, path in outputs.items() if path is not None}
        orders = [
            replace(order, trace=files.enter_context(replacing(order.trace)) if order.trace else None)
            for order in orders
        ]
        warn([text for scenario in scenarios for text in scenario.warnings])
        outcomes = _simulate(orders, many)
        _write(parts, outcomes, scenarios)
    return outcomes


def seeded(load: "Callable[[Common], Scenario]", common: Common, many: Many) -> "list[Scenario]":
    """Return the scenario once for each seed: its own, and those that follow. Raises UsageError if it has no other."""
    first = load(common)
    found = [first]
    for seed in range(first.seed + 1, first.seed + many.checked().seeds):
        other = load(replace(common, seed=seed))
        if other.seed != seed:
            raise UsageError(f"--seeds {many.seeds}: the workload's own randseed wins over other seeds: take it out")
        found.append(other)
    return found


def _orders(scenarios: "Sequence[Scenario]", common: Common) -> list[Order]:
    options = {
        "events": common.events,
        "check": common.check_every(),
        "power_cut_ns": common.power_cut_ns(),
    }
    seeds = {scenario.seed for scenario in scenarios}
    names = [
        f"{scenario.design}, seed {scenario.seed}" if len(seeds) > 1 else scenario.design for scenario in scenarios
    ]
    words = [f"{one.design}.seed-{one.seed}" if len(seeds) > 1 else one.design for one in scenarios]
    traces = trace_paths(common.trace, words)
    return [
        Order(scenario, name, trace, options) for scenario, name, trace in zip(scenarios, names, traces, strict=True)
    ]


def _simulate(orders: Sequence[Order], many: Many) -> "list[Outcome]":
    at_once = min(many.jobs or workers.cores(), len(orders))
    if at_once > 1:
        with Bars([order.name for order in orders]) as bars:
            return list(workers.simulate_all(orders, at_once, bars))
    return _one_after_the_other(orders)


def _one_after_the_other(orders: Sequence[Order]) -> "list[Outcome]":
    outcomes: list[Outcome] = []
    with Progress() as progress:
        from pageout import jit
        from pageout.machine.simulate import simulate

        with jit.compiling(progress.note):
            for number, order in enumerate(orders):
                progress.part(number, len(orders), order.name)
                result = simulate(order.scenario, trace=order.trace, progress=progress, **order.options)
                outcomes.append(result if len(orders) == 1 else Played.of(result))
    return outcomes


def _write(parts: dict[str, Path], outcomes: "Sequence[Outcome]", scenarios: "Sequence[Scenario]") -> None:
    """Write what was asked for beside the table."""
    documents = [outcome.document() for outcome in outcomes]
    if "--csv" in parts:
        parts["--csv"].write_text(csv_text(documents))
    if not parts.keys() & {"--plot", "--report"}:
        return
    from pageout.report.charts import Drawn
    from pageout.report.plot import checked_suffix, plot_bytes

    drawn = [
        Drawn(document, outcome.series, outcome.histograms, outcome.watermarks)
        for document, outcome in zip(documents, outcomes, strict=True)
    ]
    if "--plot" in parts:
        parts["--plot"].write_bytes(plot_bytes(drawn, checked_suffix(parts["--plot"])))
    if "--report" in parts:
        parts["--report"].write_bytes(_page(drawn, scenarios))


def _page(drawn: Sequence[Any], scenarios: "Sequence[Scenario]") -> bytes:
    from pageout.cli.load import stack_bytes
    from pageout.report import describe
    from pageout.report.page import report_page

    documents = [run.document for run in drawn]
    stacks = {scenario.design: stack_bytes(scenario) for scenario in scenarios}
    first = scenarios[0]
    what = {
        "workload": describe.workload_line(first),
        "machine": describe.machine_line(first.machine, stacks.values()),
        **describe.run_lines(documents),
    }
    return report_page(drawn, what, describe.sentences(documents, stacks), stacks)


def trace_paths(path: Path | None, words: Sequence[str]) -> list[Path | None]:
    """Return each run's trace file: the one named for a single run, else storm.txt -> storm.DESIGN.txt."""
    if path is None or len(words) == 1:
        return [path] * len(words)
    return [path.with_name(f"{path.stem}.{word}{path.suffix}") for word in words]
