# SPDX-License-Identifier: GPL-2.0-or-later
"""pageout compare WORKLOAD --designs D1,D2: the same workload and seed under several designs, side by side."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from pageout.cli.options import Common, Workload
from pageout.cli.terminal import hint, show


def compare(
    workload: Workload,
    /,
    *,
    designs: Annotated[
        str,
        Parameter(metavar="D1,D2", help="Designs to compare, separated by commas; the first is the measure."),
    ],
    common: Common = Common(),  # noqa: B008  frozen
) -> int:
    """Simulate a workload under several designs, same seed, and print one table and what it says."""
    from pageout.cli.load import chosen_designs, load_workload
    from pageout.cli.nextstep import command, most_telling

    names = chosen_designs(designs)
    documents = play_designs(load_workload(workload, common), names, common, workload)
    if not common.json:
        hint(command("run", workload, common, design=most_telling(documents), trace="trace.txt"))
    return 0


def play_designs(
    scenario: Any, names: Sequence[str], common: Common, workload: Path | None = None
) -> list[dict[str, Any]]:
    """Simulate a scenario under each design and print the comparison; returns the documents."""
    from pageout.cli.load import with_design
    from pageout.cli.output import print_json
    from pageout.cli.play import play

    results = play([with_design(scenario, name) for name in names], common, workload)
    documents = [result.document() for result in results]
    if common.json:
        print_json({"runs": documents})
    else:
        _print(documents, scenario)
    return documents


def _print(documents: list[dict[str, Any]], scenario: Any) -> None:
    from pageout.report import contrast, describe, table

    machine, jobs = describe.machine_line(scenario.machine), describe.workload_line(scenario)
    show(
        table.storm_text(documents, machine, jobs),
        table.designs_table(documents),
        table.reading_text(contrast.contrast(documents)),
    )
