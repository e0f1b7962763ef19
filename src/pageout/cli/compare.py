# SPDX-License-Identifier: GPL-2.0-or-later
"""pageout compare WORKLOAD --designs D1,D2: the same workload and seed under several designs, side by side."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from pageout.cli.options import Common, Many, Workload
from pageout.cli.terminal import hint, show, width


def compare(
    workload: Workload,
    /,
    *,
    designs: Annotated[
        str,
        Parameter(metavar="D1,D2", help="Designs to compare, separated by commas, or `all`; the first is the measure."),
    ],
    many: Many = Many(),  # noqa: B008  frozen
    common: Common = Common(),  # noqa: B008  frozen
) -> int:
    """Simulate a workload under several designs, same seed, and print one table and what it says."""
    from pageout.cli.load import chosen_designs, load_workload
    from pageout.cli.nextstep import command, most_telling
    from pageout.cli.play import seeded

    names = chosen_designs(designs)
    scenarios = seeded(lambda options: load_workload(workload, options), common, many)
    documents = play_designs(scenarios, names, common, many, workload)
    if not common.json:
        hint(command("run", workload, common, design=most_telling(documents), trace="trace.txt"))
    return 0


def play_designs(
    scenarios: Sequence[Any], names: Sequence[str], common: Common, many: Many, workload: Path | None = None
) -> list[dict[str, Any]]:
    """Simulate a scenario, once a seed, under each design and print the comparison; returns the documents."""
    from pageout.cli.load import with_design
    from pageout.cli.output import print_json
    from pageout.cli.play import play

    begun = time.monotonic()
    runs = [with_design(scenario, name) for name in names for scenario in scenarios]
    outcomes = play(runs, common, workload, many)
    documents = [outcome.document() for outcome in outcomes]
    if common.json:
        print_json({"runs": documents})
    else:
        _print(documents, runs, time.monotonic() - begun)
    return documents


def _print(documents: list[dict[str, Any]], runs: Sequence[Any], elapsed: float) -> None:
    from pageout.cli.load import stack_bytes
    from pageout.report import describe, table

    stacks = {run.design: stack_bytes(run) for run in runs}
    machine = describe.machine_line(runs[0].machine, stacks.values())
    show(
        table.storm_text(documents, machine, describe.workload_line(runs[0]), width(), elapsed),
        table.designs_table(documents, width()),
        table.reading_text(describe.sentences(documents, stacks), width()),
    )
