# SPDX-License-Identifier: GPL-2.0-or-later
"""From the words on the command line to the scenario that is simulated."""

from pathlib import Path

import msgspec

from pageout.cli.options import Common, words
from pageout.vocabulary.scenario import Scenario
from pageout.vocabulary.settings import DESIGNS, choices
from pageout.workload import program


def load_workload(path: Path, common: Common, design: str | None = None) -> Scenario:
    """Return the scenario of a fio job or a TOML, with the command line's machine, design, settings and seed on top."""
    return program.load_workload(path, common.machine, design, common.settings, common.seed)


def with_design(scenario: Scenario, design: str) -> Scenario:
    """Return the scenario under one of the designs there are."""
    return msgspec.structs.replace(scenario, design=design)


def all_designs() -> tuple[str, ...]:
    """Return the names of all designs, the one that Linux shipped first."""
    return tuple(DESIGNS)


def chosen_designs(text: str) -> tuple[str, ...]:
    """Return the designs of a comma-separated list, or `all`. Raises UsageError on an unknown one."""
    return all_designs() if text.strip() == "all" else words("--designs", text, all_designs())


def stack_bytes(scenario: Scenario) -> int:
    """Return the size of a kernel stack under the scenario's design and choices."""
    return int(choices(scenario)["stack.bytes"])
