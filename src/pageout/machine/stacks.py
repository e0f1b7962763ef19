# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel stacks that a run leaves: the deepest, and the first that ran over, as the stack tracer prints them."""

from __future__ import annotations

from typing import Any

from pageout.kernel import frames
from pageout.machine.boot import Booted
from pageout.vocabulary.scenario import Scenario
from pageout.vocabulary.settings import choices


def rows(booted: Booted, scenario: Scenario, start: int, nr: int) -> list[tuple[int, int, str]]:
    """Return (depth, size, function) of a chain that was kept, innermost first."""
    sizes = frames.sizes_of(choices(scenario))
    names: list[str] = []
    for entry in booted.arrays["chain"][start : start + nr].tolist():
        names += frames.names_in_chain(entry)
    found, depth = [], 0
    for name in names:
        depth += sizes[name]
        found.append((depth, sizes[name], name))
    return found[::-1]


def entries(chain: list[tuple[int, int, str]]) -> list[dict[str, Any]]:
    """Return a chain as --json prints it; `assumed` where the size is in no trace."""
    return [
        {"depth": depth, "size": size, "location": name}
        | ({"assumed": True} if frames.SIZES[name][1].startswith("assumed") else {})
        for depth, size, name in chain
    ]


def facts(booted: Booted, scenario: Scenario, ledger: Any) -> dict[str, Any]:
    """Return the stack's size, what lies at its low end, which kernel build the frames are of, whose was deepest."""
    chosen = choices(scenario)
    nbytes = int(chosen["stack.bytes"])
    build = "x86-64; interrupts run on a stack of their own"
    if nbytes == frames.I386_STACK:
        up, down = frames.I386_SCALE
        build = (
            f"i386, CONFIG_4KSTACKS, interrupts on stacks of their own; frame sizes assumed: {up}/{down} of x86-64's"
        )
    if chosen["stack.diet"] == "on":
        build += "; on a diet: which function gave how much is assumed"
    pids = booted.arrays["task"]["pid"]

    def comm(name: str, nr: str) -> str | None:
        return booted.comms[int(pids[ledger.stat(name)])] if ledger.stat(nr) else None

    return {
        "bytes": nbytes,
        "thread_info_bytes": frames.THREAD_INFO_BYTES,
        "build": build,
        "sizes_assumed": nbytes == frames.I386_STACK or chosen["stack.diet"] == "on",
        "deepest_task": comm("peak_task", "peak_nr"),
        "first_overflow_task": comm("overflow_task", "overflow_nr"),
    }
