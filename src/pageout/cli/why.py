# SPDX-License-Identifier: GPL-2.0-or-later
"""pageout why WORKLOAD: the cause of every page that reclaim wrote and of every direct reclaim."""

from dataclasses import replace
from typing import Annotated, Any

from cyclopts import Parameter

from pageout.cli.options import Common, Workload, words
from pageout.cli.terminal import hint, show


def why(
    workload: Workload,
    /,
    *,
    design: Annotated[
        str | None, Parameter(metavar="DESIGN", help="The kernel's design; unset: linux-2.6.34, or the scenario's.")
    ] = None,
    off: Annotated[
        str,
        Parameter(metavar="WHAT", help="Suspected mechanisms to switch off in further runs: all, none, or M1,M2,..."),
    ] = "all",
    common: Common = Common(),  # noqa: B008  frozen
) -> int:
    """Say why reclaim wrote pages and why tasks had to reclaim; then try without each suspected mechanism."""
    from pageout.cli.load import load_workload
    from pageout.cli.nextstep import command
    from pageout.cli.play import play

    mechanisms = _mechanisms(off)
    scenario = load_workload(workload, common, design)
    (result,) = play([scenario], common, workload)
    base = result.document()
    alone = replace(common, trace=None, plot=None)
    results = play([_without(scenario, choices) for _, choices, _ in mechanisms], alone) if mechanisms else []
    runs = [
        (name, choices, instead, other.document())
        for (name, choices, instead), other in zip(mechanisms, results, strict=True)
    ]
    _output(base, runs, scenario, common)
    if not common.json:
        hint(command("compare", workload, common, designs=f"{scenario.design},zone-dirty-limits,reclaim-3.2"))
    return 0


def _mechanisms(off: str) -> list[tuple[str, dict[str, str], str]]:
    """Return (name, choices, what is done instead) of the runs asked for; more than one: all together, too."""
    from pageout.report.why import ALL
    from pageout.vocabulary.mechanisms import MECHANISMS

    if off == "none":
        return []
    known = {mechanism.name: mechanism for mechanism in MECHANISMS}
    names = tuple(known) if off == "all" else words("--off", off, known)
    chosen = [known[name] for name in names]
    runs = [(one.name, dict(one.choices), one.instead) for one in chosen]
    if len(chosen) > 1:
        together: dict[str, str] = {}
        for one in chosen:
            together |= one.choices
        runs.append((ALL, together, "each of the lines above at once"))
    return runs


def _without(scenario: Any, choices: dict[str, str]) -> Any:
    import msgspec

    return msgspec.structs.replace(scenario, choices={**scenario.choices, **choices}, warnings=())


def _output(
    base: dict[str, Any], runs: list[tuple[str, dict[str, str], str, dict[str, Any]]], scenario: Any, common: Common
) -> None:
    if common.json:
        from pageout.cli.output import print_json

        keys = ("written_direct", "written_kswapd", "alloc_stall_count", "alloc_stall_s", "write_mb_s", "seek_count")
        ablation = [
            {
                "off": name,
                "choices": choices,
                "digest": document["digest"],
                "metrics": {key: document["metrics"].get(key) for key in keys},
                "why": document["why"],
            }
            for name, choices, _, document in runs
        ]
        print_json(base | {"ablation": ablation})
        return
    from pageout.cli.load import stack_bytes
    from pageout.report import describe, table
    from pageout.report import why as report

    ablated = [report.Ablated(name, instead, document) for name, _, instead, document in runs]
    parts = [
        table.head_text(
            base, describe.machine_line(scenario.machine, [stack_bytes(scenario)]), describe.workload_line(scenario)
        ),
        table.reading_text(report.answer(base) + report.ablation_reading(base, ablated)),
        report.writes_table(base["why"]),
        report.facts_table(base["why"]),
        report.reclaims_table(base["why"]),
        report.ablation_table(base, ablated),
        report.examples_text(base["why"]),
    ]
    show(*(part for part in parts if part is not None))
