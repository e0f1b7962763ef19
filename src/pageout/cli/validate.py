# SPDX-License-Identifier: GPL-2.0-or-later
"""pageout validate BUNDLE...: what the model predicts beside what was measured, with the error."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from pageout.cli.options import MANY, OfRecording
from pageout.cli.recordings import draw_levels, of_run, read_twin
from pageout.cli.terminal import Progress, hint, show, warn
from pageout.vocabulary.errors import UsageError

if TYPE_CHECKING:
    from pageout.cli.recordings import Panel
    from pageout.twin.judge import Recorded

DONE, BEYOND = 0, 1

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
    source: Annotated[
        str | None,
        Parameter(
            name="--from",
            metavar="BUNDLE",
            help="Predict each from this recording: its demand, by trace and samples alone unless --box says "
            "otherwise, under the settings, limits and kernel in which the other differs. Sums are compared a second, "
            "with half again the tolerance.",
        ),
    ] = None,
    seeds: Annotated[
        int,
        Parameter(metavar="N", help="Simulate with N seeds in turn: the prediction is their median, with its range."),
    ] = 1,
    common: OfRecording | None = None,
) -> int:
    """Simulate what was recorded and say how near the prediction is.

    Exit status 1: a figure is beyond its tolerance and beyond the real machine's own spread.
    """
    from pageout import jit
    from pageout.cli.output import print_json
    from pageout.report.plot import checked_suffix
    from pageout.report.validation import answer_text, validation_tables

    common = common or OfRecording()
    if not 1 <= seeds <= MANY:
        raise UsageError(f"--seeds {seeds}: must be from 1 to {MANY}")
    if not bundles:
        raise UsageError("validate: name a bundle: a folder or .zip that pageout record wrote")
    suffix = checked_suffix(common.plot) if common.plot is not None else ""
    with Progress() as progress, jit.compiling(progress.note):
        document, panels = _validated(list(dict.fromkeys(bundles)), source, common, seeds, progress)
    draw_levels(common.plot, suffix, panels)
    if common.json:
        print_json(document)
    else:
        show(answer_text(document), validation_tables(document))
        hint(_next(document))
    missed = any(row["within"] is False for bundle in document["bundles"] for row in bundle["figures"])
    return BEYOND if missed else DONE


@dataclass(frozen=True)
class _Asked:
    """One recording, and what is to be simulated for it."""

    recorded: "Recorded"
    changes: tuple[str, ...] = ()
    before: "Recorded | None" = None  # the recording it is predicted from


def _validated(
    paths: list[str], source: str | None, common: OfRecording, seeds: int, progress: Progress
) -> "tuple[dict[str, Any], list[Panel]]":
    """Read all, then simulate all: bad input is found before anything takes long."""
    import pageout
    from pageout.twin import between, judge

    asked = _read(paths, source, common, progress)
    found, panels = [], []
    recordings = [one.recorded for one in asked]
    warn([*judge.copies(recordings), *_same_as_source(asked)])
    rows = zip(asked, judge.spreads(recordings), strict=True)
    for number, (one, spread) in enumerate(rows):
        progress.part(len(paths) + number, 2 * len(paths), one.recorded.name)
        row, panel = _predicted(one, spread, common.seed, seeds, progress)
        found.append(row)
        panels.append(panel)
    document: dict[str, Any] = {"pageout": pageout.__version__}
    if source is not None:
        document |= {
            "from": source,
            "from_case": asked[0].before.name if asked[0].before else "",
            "margin": between.MARGIN,
        }
    return document | {"bundles": found, "summary": judge.summary(found)}, panels


def _same_as_source(asked: list[_Asked]) -> list[str]:
    """Return a warning for each recording that is predicted from itself."""
    from pageout.twin.judge import same_recording

    return [
        f"{one.recorded.path}: predicted from itself: that says how well it replays, not what a change does"
        for one in asked
        if one.before is not None and same_recording(one.recorded, one.before)
    ]


def _read(paths: list[str], source: str | None, common: OfRecording, progress: Progress) -> list[_Asked]:
    """Read all recordings; their scenarios are their own, or the source's under their settings."""
    from pageout.bundle.bundle import read_bundle
    from pageout.twin import between, judge

    if source is None:
        found = []
        for number, path in enumerate(paths):
            progress.part(number, 2 * len(paths), f"reading {path}")
            bundle, twin = read_twin(path, common.design, common.box, common.seed, progress)
            found.append(_Asked(judge.recorded(bundle, twin, twin.window)))
        return found
    box = "black" if common.box == "auto" else common.box
    bundle, twin = read_twin(source, common.design, box, common.seed, progress)
    ours, before = between.conditions_of(bundle), between.rates_of(judge.recorded(bundle, twin, twin.window))
    found = []
    for number, path in enumerate(paths):
        progress.part(number, 2 * len(paths), f"reading {path}")
        other = read_bundle(path, progress)
        warn(other.warnings)
        moved = between.moved(twin, ours, between.conditions_of(other), common.design)
        measured = judge.recorded(other, moved.twin, between.window_of(other))
        found.append(_Asked(between.rates_of(measured), moved.changes, before))
    return found


def _predicted(
    asked: _Asked, spread: dict[str, float | None], first_seed: int, seeds: int, progress: Progress
) -> "tuple[dict[str, Any], Panel]":
    """Simulate one recording with each seed in turn, and judge it."""
    from pageout.bundle.measured import measured, per_second
    from pageout.twin import between, judge
    from pageout.twin import seeds as of_seeds
    from pageout.twin.simulated import run

    one = asked.recorded
    numbers = range(first_seed, first_seed + seeds)
    runs = [run(of_seeds.from_seed(one.twin.scenario, seed), progress) for seed in numbers]
    each = [measured(ran.evidence) for ran in runs]
    if asked.before is not None:
        lasted = [ran.evidence.window.seconds if ran.evidence.window is not None else None for ran in runs]
        each = [per_second(figures, seconds) for figures, seconds in zip(each, lasted, strict=True)]
    predicted, ranges = of_seeds.together(each)
    margin = 1.0 if asked.before is None else between.MARGIN
    figures = judge.figures(one, predicted, spread, margin)
    figures = [of_seeds.with_range(row, ranges.get(row["name"])) for row in figures]
    row: dict[str, Any] = {"path": one.path, "case": one.name, "design": one.twin.scenario.design}
    row["settings"] = dict(one.twin.scenario.settings)
    row |= {"seed": first_seed, "seeds": seeds, "warnings": list(one.warnings)} | of_run(one.twin, runs[0])
    if asked.before is not None:
        row["changes"] = list(asked.changes)
        figures = between.with_before(figures, asked.before.figures)
    row["figures"] = figures
    return row, (f"{one.path}, {row['design']}", one.curve, judge.curve_of(runs[0].evidence))


def _next(document: dict[str, Any]) -> str:
    import shlex

    first = document["bundles"][0]
    nbytes = first["settings"].get("vm.dirty_background_bytes", 0)
    half = max(first["settings"].get("vm.dirty_background_ratio", 10) // 2, 1)
    change = f"vm.dirty_background_bytes={nbytes // 2}" if nbytes else f"vm.dirty_background_ratio={half}"
    return f"pageout replay {shlex.quote(str(first['path']))} --set {change}"
