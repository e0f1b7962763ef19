# SPDX-License-Identifier: GPL-2.0-or-later
"""pageout run WORKLOAD: simulate one workload under one design."""

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from pageout.cli.options import Common, Workload, words
from pageout.cli.terminal import complain, hint, show

FAILURES = {  # word of --fail-on -> figure, what happened
    "oom": ("oom_kills", "tasks killed by the OOM killer"),
    "overflow": ("stack_overflows", "kernel stack overflows"),
    "lost": ("pages_lost", "dirty pages lost"),
}


def run(
    workload: Workload,
    /,
    *,
    design: Annotated[
        str | None, Parameter(metavar="DESIGN", help="The kernel's design; unset: linux-2.6.34, or the scenario's.")
    ] = None,
    fail_on: Annotated[
        str | None, Parameter(metavar="WHAT", help="Exit with 1 if any of these happened: oom,overflow,lost.")
    ] = None,
    common: Common = Common(),  # noqa: B008  frozen
) -> int:
    """Simulate a workload and print its figures, what they say, and what to try next."""
    from pageout.cli.load import load_workload
    from pageout.cli.output import print_json
    from pageout.cli.play import play

    watched = words("--fail-on", fail_on, FAILURES) if fail_on is not None else ()
    scenario = load_workload(workload, common, design)
    (result,) = play([scenario], common, workload)
    document = result.document()
    if common.json:
        print_json(document)
    else:
        _print(document, scenario)
        _next(workload, common, scenario.design)
    return _verdict(document["metrics"], watched)


def _print(document: dict[str, Any], scenario: Any) -> None:
    from pageout.cli.load import stack_bytes
    from pageout.report import describe, reading, table

    machine = describe.machine_line(scenario.machine, stack_bytes(scenario))
    jobs = describe.workload_line(scenario)
    sentences = reading.endings(document)
    sentences += reading.reading(document["metrics"], document["sim_seconds"], stack_bytes(scenario))
    sentences += describe.stack_lines(document)
    overflow = table.stack_text(document)
    show(
        table.head_text(document, machine, jobs),
        table.jobs_table(document),
        table.metrics_table(document),
        *((overflow,) if overflow is not None else ()),
        table.reading_text(sentences),
    )


def _next(workload: Path, common: Common, design: str) -> None:
    from pageout.cli.load import all_designs
    from pageout.cli.nextstep import command

    others = [name for name in all_designs() if name != design]
    hint(command("compare", workload, common, designs=",".join([design, *others])))


def _verdict(metrics: dict[str, Any], watched: tuple[str, ...]) -> int:
    """Return 1 if something a script watches for happened, and say what."""
    from pageout.report.reading import figure

    happened = [
        f"{word} ({figure(metrics, name):,} {what})"
        for word in watched
        for name, what in (FAILURES[word],)
        if figure(metrics, name)
    ]
    if happened:
        complain(f"--fail-on: {', '.join(happened)}")
    return 1 if happened else 0
