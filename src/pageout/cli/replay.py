# SPDX-License-Identifier: GPL-2.0-or-later
"""pageout replay BUNDLE: the recorded run simulated; with --set or --design, what would have happened."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from pageout.cli.options import OfRecording
from pageout.cli.recordings import draw_levels, of_run, read_twin
from pageout.cli.terminal import Progress, hint, show, warn

if TYPE_CHECKING:
    from pageout.cli.recordings import Panel

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
    scenario: Annotated[
        Path | None,
        Parameter(metavar="FILE", help="Write the run as a scenario, OUT.toml: to be read, changed, run."),
    ] = None,
    common: OfRecording | None = None,
) -> int:  # fmt: skip
    """Say what a recorded run would have been otherwise: before, after, difference, and how far to trust it.

    --design is that of the changed run; unchanged it has the one of the recorded release.
    """
    from pageout import jit
    from pageout.cli.output import distinct, print_json, replacing
    from pageout.report.plot import checked_suffix
    from pageout.report.replayed import replay_answer, replay_table

    common = common or OfRecording()
    suffix = checked_suffix(common.plot) if common.plot is not None else ""
    distinct({"--scenario": scenario, "--plot": common.plot}, Path(bundle))
    with Progress() as progress, jit.compiling(progress.note):
        document, panel, text = _replayed(bundle, settings, common, progress)
    if scenario is not None:
        with replacing(scenario) as part:
            part.write_text(text)
    draw_levels(common.plot, suffix, [panel])
    if common.json:
        print_json(document)
    else:
        show(replay_answer(document), replay_table(document))
        hint(_next(document, scenario))
    return DONE


def _replayed(
    path: str, settings: tuple[str, ...], common: OfRecording, progress: Progress
) -> "tuple[dict[str, Any], Panel, str]":
    """Return the document, the curves to draw, the scenario as TOML."""
    import pageout
    from pageout.bundle.measured import measured
    from pageout.twin import judge, whatif
    from pageout.twin.recorded_lru import under_design
    from pageout.twin.simulated import run
    from pageout.vocabulary.settings import apply_settings, design_named
    from pageout.workload.to_toml import scenario_toml

    progress.part(0, 3, f"reading {path}")
    bundle, twin = read_twin(path, None, common.box, common.seed, progress)
    one = judge.recorded(bundle, twin, twin.window)
    plain = one.twin.scenario
    chosen = under_design(plain, design_named(common.design)) if common.design is not None else plain
    other = whatif.settled(plain, apply_settings(chosen, settings))
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
        "recorded_design": plain.design,
        "design": other.design,
        "set": list(settings),
        "seed": common.seed,
        **of_run(one.twin, changed),
        "trusted": sum(judged),
        "judged": len(judged),
        "warnings": [*one.warnings, *other.warnings],
        "figures": figures,
    }
    after = judge.curve_of(changed.evidence)
    return document, (f"{one.path}, replayed", one.curve, after), scenario_toml(other, one.twin.notes)


def _next(document: dict[str, Any], scenario: Path | None) -> str:
    import shlex

    if scenario is not None:
        return f"pageout run {shlex.quote(str(scenario))}"
    return f"pageout validate {shlex.quote(str(document['path']))}"
