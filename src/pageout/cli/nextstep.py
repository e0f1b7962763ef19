# SPDX-License-Identifier: GPL-2.0-or-later
"""What to type next: a command that repeats the run just done with one thing changed."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pageout.cli.options import Common
from pageout.report.contrast import best

TELLING = ("alloc_stall_s", "write_mb_s", "seek_count", "stack_max_bytes")


def command(verb: str, workload: Path, common: Common, **changed: str) -> str:
    """Return the shell command for `verb` on the same workload, machine, settings and seed."""
    place = str(workload) if not str(workload).startswith("-") else f"./{workload}"
    parts = ["pageout", verb, place]
    if common.machine is not None:
        parts += ["--machine", common.machine]
    for setting in common.settings:
        parts += ["--set", setting]
    if common.seed is not None:
        parts += ["--seed", str(common.seed)]
    for option, value in changed.items():
        parts += [f"--{option}", value]
    return shlex.join(parts)


def most_telling(documents: Sequence[dict[str, Any]]) -> str:
    """Return the design to look at first: best at the first figure in which the designs differ, else the first."""
    for name in TELLING:
        winners = best(documents, name)
        if winners:
            return str(documents[winners[0]]["design"])
    return str(documents[0]["design"])
