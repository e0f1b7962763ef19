# SPDX-License-Identifier: GPL-2.0-or-later
"""pageout replay BUNDLE: the recorded run simulated; with --set or --design, what would have happened."""

from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from pageout.cli.terminal import Progress, hint, show, warn

DONE = 0


def replay(
    bundle: Annotated[
        str, Parameter(name="BUNDLE", help="A folder, or .zip of it, that pageout record wrote, or any with meta.json.")
    ],
    /,
    *,
    settings: Annotated[
        tuple[str, ...],
        Parameter(
            name="--set", metavar="KEY=VALUE", negative=(), show_default=False,
            help="May be given again: a sysctl (vm.dirty_bytes=64M), a device's limit (disk.write_bps=80M), a design's "
            "choice, a part of the machine (machine.cpus=4).",
        ),
    ] = (),
    design: Annotated[
        str | None, Parameter(metavar="DESIGN", help="Another design than the one of the recorded release.")
    ] = None,
    box: Annotated[
        Literal["auto", "white", "black"],
        Parameter(
            metavar="BOX",
            help="white: the workload as the recording says it; black: by trace and samples; auto: white if it can.",
        ),
    ] = "auto",
    seed: Annotated[int, Parameter(metavar="N", help="Seed of all random numbers.")] = 1,
    scenario: Annotated[
        Path | None,
        Parameter(metavar="FILE", help="Write the run as a scenario, OUT.toml: to be read, changed, run."),
    ] = None,
    plot: Annotated[
        Path | None,
        Parameter(metavar="FILE", help="Draw recorded and simulated levels over each other: .html, .svg, .png."),
    ] = None,
    json: Annotated[bool, Parameter(negative=(), show_default=False, help="Print one JSON document instead.")] = False,
) -> int:  # fmt: skip
    """Say what a recorded run would have been otherwise: before, after, difference, and how far to trust it."""
    from pageout import jit
    from pageout.cli.output import distinct, print_json, replacing
    from pageout.report.plot import checked_suffix
    from pageout.report.replayed import replay_answer, replay_table
    from pageout.report.validation import levels_picture

    suffix = checked_suffix(plot) if plot is not None else ""
    distinct({"--scenario": scenario, "--plot": plot}, Path(bundle))
    with Progress() as progress, jit.compiling(progress.note):
        document, curves, text = _replayed(bundle, settings, design, box, seed, progress)
    if scenario is not None:
        with replacing(scenario) as part:
            part.write_text(text)
    if plot is not None:
        with replacing(plot) as part:
            part.write_bytes(levels_picture(curves, suffix))
    if json:
        print_json(document)
    else:
        show(replay_answer(document), replay_table(document))
        hint(_next(document, scenario))
    return DONE


def _replayed(
    path: str, settings: tuple[str, ...], design: str | None, box: str, seed: int, progress: Progress
) -> tuple[dict[str, Any], list[Any], str]:
    """Return the document, the curves to draw, the scenario as TOML."""
    import pageout
    from pageout.bundle.measured import measured
    from pageout.cli.load import with_design
    from pageout.cli.validate import read_one
    from pageout.twin import judge, whatif
    from pageout.twin.simulated import run
    from pageout.vocabulary.settings import apply_settings, design_named
    from pageout.workload.to_toml import scenario_toml

    progress.part(0, 3, f"reading {path}")
    one = read_one(path, None, box, seed, progress)
    plain = one.twin.scenario
    other = apply_settings(with_design(plain, design_named(design)) if design is not None else plain, settings)
    warn(list(other.warnings))
    progress.part(1, 3, "unchanged")
    unchanged = run(plain, progress)
    progress.part(2, 3, "changed")
    changed = run(other, progress) if other != plain else unchanged
    figures = whatif.rows(one.figures, measured(unchanged.evidence), measured(changed.evidence), one.tick_ms)
    judged = [row["trust"] for row in figures if row["trust"] is not None]
    document = {
        "pageout": pageout.__version__,
        "path": one.path,
        "case": one.name,
        "box": one.twin.box,
        "recorded_design": plain.design,
        "design": other.design,
        "set": list(settings),
        "seed": seed,
        "digest": changed.digest,
        "ending": changed.ending,
        "sim_seconds": round(changed.sim_seconds, 6),
        "wall_seconds": round(changed.wall_seconds, 3),
        "trusted": sum(judged),
        "judged": len(judged),
        "notes": list(one.twin.notes),
        "warnings": [*one.warnings, *other.warnings],
        "figures": figures,
    }
    after = judge.curve_of(changed.evidence)
    return document, [(f"{one.path}, replayed", one.curve, after)], scenario_toml(other, one.twin.notes)


def _next(document: dict[str, Any], scenario: Path | None) -> str:
    import shlex

    if scenario is not None:
        return f"pageout run {shlex.quote(str(scenario))}"
    return f"pageout validate {shlex.quote(str(document['path']))}"
