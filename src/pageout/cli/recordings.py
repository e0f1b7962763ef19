# SPDX-License-Identifier: GPL-2.0-or-later
"""What the verbs that take recordings share: reading one, drawing what came of it."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pageout.cli.terminal import Progress, warn

if TYPE_CHECKING:
    from pageout.bundle.bundle import Bundle
    from pageout.twin.boxes import Twin
    from pageout.twin.judge import Curve

    Panel = tuple[str, Curve | None, Curve | None]  # title, recorded, simulated


def read_twin(path: str, design: str | None, box: str, seed: int, progress: Progress) -> "tuple[Bundle, Twin]":
    """Read one bundle and make its scenario; warnings go to standard error."""
    from pageout.bundle.bundle import read_bundle
    from pageout.twin.boxes import scenario_of

    bundle = read_bundle(path, progress)
    warn(bundle.warnings)
    return bundle, scenario_of(bundle, design, seed, box)


def draw_levels(plot: Path | None, suffix: str, panels: "Sequence[Panel]") -> None:
    """Write the picture that was asked for."""
    from pageout.cli.output import replacing
    from pageout.report.validation import levels_picture

    if plot is not None:
        with replacing(plot) as part:
            part.write_bytes(levels_picture(panels, suffix))


def of_run(twin: "Twin", run: Any) -> dict[str, Any]:
    """Return what a document says of a simulated run, whoever asked for it."""
    return {
        "box": twin.box,
        "digest": run.digest,
        "ending": run.ending,
        "sim_seconds": round(run.sim_seconds, 6),
        "wall_seconds": round(run.wall_seconds, 3),
        "notes": list(twin.notes),
    }
