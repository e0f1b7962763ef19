# SPDX-License-Identifier: GPL-2.0-or-later
"""pageout validate BUNDLE...: what the model predicts beside what was measured, with the error."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from pageout.cli.terminal import Progress, hint, show, warn
from pageout.vocabulary.errors import UsageError

if TYPE_CHECKING:
    from pageout.twin.judge import Curve, Recorded

DONE, BEYOND = 0, 1
MANY = 1000

Bundles = Annotated[
    list[str],
    Parameter(
        name="BUNDLE",
        help="Folders, or .zip files of them, that pageout record wrote, or any with a meta.json. Several of one case, "
        "kernel and settings are twins: they tell the machine's own spread.",
    ),
]


def validate(
    bundles: Bundles,
    /,
    *,
    design: Annotated[
        str | None, Parameter(metavar="DESIGN", help="The kernel's design; unset: the one of the recorded release.")
    ] = None,
    box: Annotated[
        Literal["auto", "white", "black"],
        Parameter(
            metavar="BOX",
            help="white: the workload as the recording says it; black: by trace and samples; auto: white if it can.",
        ),
    ] = "auto",
    seed: Annotated[int, Parameter(metavar="N", help="Seed of all random numbers.")] = 1,
    seeds: Annotated[
        int,
        Parameter(metavar="N", help="Simulate with N seeds in turn: the prediction is their median, with its range."),
    ] = 1,
    plot: Annotated[
        Path | None,
        Parameter(metavar="FILE", help="Draw recorded and predicted levels over each other: .html, .svg, .png."),
    ] = None,
    json: Annotated[bool, Parameter(negative=(), show_default=False, help="Print one JSON document instead.")] = False,
) -> int:
    """Simulate what was recorded and say how near the prediction is.

    Exit status 1: a figure is beyond its tolerance and beyond the real machine's own spread.
    """
    from pageout import jit
    from pageout.cli.output import print_json, replacing
    from pageout.report.plot import checked_suffix
    from pageout.report.validation import answer_text, levels_picture, validation_tables

    if not 1 <= seeds <= MANY:
        raise UsageError(f"--seeds {seeds}: must be from 1 to {MANY}")
    if not bundles:
        raise UsageError("validate: name a bundle: a folder or .zip that pageout record wrote")
    suffix = checked_suffix(plot) if plot is not None else ""
    with Progress() as progress, jit.compiling(progress.note):
        document, curves = _validated(list(dict.fromkeys(bundles)), design, box, (seed, seeds), progress)
    if plot is not None:
        with replacing(plot) as part:
            part.write_bytes(levels_picture(curves, suffix))
    if json:
        print_json(document)
    else:
        show(answer_text(document), validation_tables(document))
        hint(_next(document))
    missed = any(row["within"] is False for bundle in document["bundles"] for row in bundle["figures"])
    return BEYOND if missed else DONE


def _validated(
    paths: list[str], design: str | None, box: str, seeds: tuple[int, int], progress: Progress
) -> "tuple[dict[str, Any], list[tuple[str, Curve | None, Curve | None]]]":
    """Read all, then simulate all: bad input is found before anything takes long.  seeds: the first, how many"""
    import pageout
    from pageout.bundle.measured import measured
    from pageout.twin import judge
    from pageout.twin.simulated import run

    all_recorded = []
    for number, path in enumerate(paths):
        progress.part(number, 2 * len(paths), f"reading {path}")
        all_recorded.append(read_one(path, design, box, seeds[0], progress))
    found, curves = [], []
    rows = zip(all_recorded, judge.spreads(all_recorded), strict=True)
    for number, (one, spread) in enumerate(rows):
        progress.part(len(paths) + number, 2 * len(paths), one.name)
        runs = [run(one.twin.scenario, progress, seed=seed) for seed in range(seeds[0], seeds[0] + seeds[1])]
        simulated = runs[0]
        predicted, ranges = judge.together([measured(each.evidence) for each in runs])
        figures = [row | ranges.get(row["name"], {}) for row in judge.figures(one, predicted, spread)]
        curves.append((f"{one.path}, {one.twin.scenario.design}", one.curve, judge.curve_of(simulated.evidence)))
        found.append(
            {
                "path": one.path,
                "case": one.name,
                "design": one.twin.scenario.design,
                "box": one.twin.box,
                "seed": seeds[0],
                "seeds": seeds[1],
                "digest": simulated.digest,
                "ending": simulated.ending,
                "sim_seconds": round(simulated.sim_seconds, 6),
                "wall_seconds": round(simulated.wall_seconds, 3),
                "notes": list(one.twin.notes),
                "warnings": list(one.warnings),
                "figures": figures,
            }
        )
    document = {"pageout": pageout.__version__, "bundles": found, "summary": judge.summary(found)}
    return document, curves


def read_one(path: str, design: str | None, box: str, seed: int, progress: Progress) -> "Recorded":
    """Read and measure one bundle, and make its scenario; its warnings go to standard error."""
    from pageout.bundle.bundle import read_bundle
    from pageout.twin.boxes import scenario_of
    from pageout.twin.judge import recorded

    bundle = read_bundle(path, progress)
    one = recorded(bundle, scenario_of(bundle, design, seed, box))
    warn(one.warnings)
    return one


def _next(document: dict[str, Any]) -> str:
    import shlex

    path = str(document["bundles"][0]["path"])
    return f"pageout replay {shlex.quote(path)} --set vm.dirty_background_ratio=5"
