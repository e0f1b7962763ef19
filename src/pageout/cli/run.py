# SPDX-License-Identifier: GPL-2.0-or-later
"""pageout run WORKLOAD: simulate one workload under one design."""

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from pageout.cli.options import Common, Workload, words
from pageout.cli.terminal import complain, hint, show, width

PROC_FILES = ("buddyinfo", "pagetypeinfo", "extfrag_index", "unusable_index", "zoneinfo", "vmstat", "meminfo")
GROUPED = "linux-6.1,linux-6.12,linux-6.18"  # designs with memory cgroups
STACK_FILE = "stack_trace"  # of the stack tracer, in debugfs
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
    dmesg: Annotated[
        Path | None, Parameter(metavar="FILE", help="Write the simulated kernel's log to FILE, as dmesg prints it.")
    ] = None,
    proc: Annotated[
        Path | None,
        Parameter(
            metavar="DIR",
            help="Write buddyinfo, pagetypeinfo, zoneinfo, vmstat, meminfo, fragmentation indices of the end, and the "
            "stack tracer's stack_trace to DIR, in the kernel's formats.",
        ),
    ] = None,
    common: Common = Common(),  # noqa: B008  frozen
) -> int:
    """Simulate a workload and print its figures, what they say, and what to try next."""
    from pageout.cli.load import load_workload
    from pageout.cli.output import distinct, print_json, replacing
    from pageout.cli.play import play
    from pageout.cli.workers import Played
    from pageout.report.stack import tracer_text

    watched = words("--fail-on", fail_on, FAILURES) if fail_on is not None else ()
    scenario = load_workload(workload, common, design)
    distinct({"--dmesg": dmesg, "--trace": common.trace, "--plot": common.plot}, workload)
    with ExitStack() as files:
        log = files.enter_context(replacing(dmesg)) if dmesg is not None else None
        parts = {name: files.enter_context(replacing(path)) for name, path in _proc_paths(proc, workload).items()}
        (result,) = play([scenario], common, workload)
        if not isinstance(result, Played):
            if log is not None:
                log.write_text(result.dmesg)
            texts = result.proc_files() | {STACK_FILE: tracer_text(result.deepest_stack)} if parts else {}
            for name, part in parts.items():
                part.write_text(texts[name])
    document = result.document()
    if common.json:
        print_json(document)
    else:
        _print(document, scenario)
        _next(workload, common, GROUPED if scenario.cgroups else "all")
    return _verdict(document["metrics"], watched)


def _proc_paths(folder: Path | None, workload: Path) -> dict[str, Path]:
    """Return {name: file} of what --proc writes; makes the folder. Raises UsageError if that cannot be."""
    if folder is None:
        return {}
    from pageout.cli.output import distinct
    from pageout.report.text import plain
    from pageout.vocabulary.errors import UsageError

    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise UsageError(f"--proc {plain(folder)}: cannot be made ({error.strerror}): choose another folder") from None
    paths = {name: folder / name for name in (*PROC_FILES, STACK_FILE)}
    for name, path in paths.items():
        distinct({f"--proc {name}": path}, workload)
    return paths


def _print(document: dict[str, Any], scenario: Any) -> None:
    from pageout.cli.load import stack_bytes
    from pageout.report import cgroups, describe, oom, reading, table

    machine = describe.machine_line(scenario.machine, [stack_bytes(scenario)])
    jobs = describe.workload_line(scenario)
    sentences = reading.endings(document)
    sentences += reading.reading(
        document["metrics"], document["sim_seconds"], stack_bytes(scenario), document.get("devices")
    )
    sentences += cgroups.sentences(document)
    sentences += describe.stack_lines(document)
    overflow = table.stack_text(document)
    show(
        table.head_text(document, machine, jobs, width()),
        table.jobs_table(document, width()),
        table.metrics_table(document),
        *((groups,) if (groups := cgroups.cgroups_table(document)) is not None else ()),
        *((overflow,) if overflow is not None else ()),
        *oom.first_oom(document),
        table.reading_text(sentences, width()),
    )


def _next(workload: Path, common: Common, designs: str) -> None:
    from pageout.cli.nextstep import command

    hint(command("compare", workload, common, designs=designs))


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
