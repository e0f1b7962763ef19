# SPDX-License-Identifier: GPL-2.0-or-later
"""The options that verbs share, and how their words become values."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from pageout.report.text import plain
from pageout.vocabulary.errors import UsageError, did_you_mean

MANY = 1000  # seeds, or runs at a time: more is a slip of the key
CHECK_EVERY = 10_000  # events between two recounts of the whole machine with --check

Workload = Annotated[
    Path,
    Parameter(
        name="WORKLOAD",
        help="A fio job file (.fio), a scenario (.toml), or the name of a shipped one (`pageout scenarios`).",
    ),
]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Common:
    """What `run`, `compare` and `demo` all take."""

    machine: Annotated[
        str | None,
        Parameter(metavar="MACHINE", help="Machine to run on: a preset's name or a TOML file. The output names it."),
    ] = None
    settings: Annotated[
        tuple[str, ...],
        Parameter(
            name="--set",
            metavar="KEY=VALUE",
            negative=(),
            show_default=False,
            help="May be given again: a sysctl (vm.dirty_bytes=64M), a device's limit (sda.write_bps=80M), "
            "a design's choice (reclaim.writeback=never), a part of the machine (machine.cpus=4).",
        ),
    ] = ()
    seed: Annotated[
        int | None, Parameter(metavar="N", help="Seed of all random numbers; a job file's randseed wins.")
    ] = None
    json: Annotated[bool, Parameter(negative=(), show_default=False, help="Print one JSON document instead.")] = False
    trace: Annotated[
        Path | None,
        Parameter(
            metavar="FILE",
            help="Write the kernel's tracepoints to FILE, as text; with several designs one file each, its name in it.",
        ),
    ] = None
    events: Annotated[
        Literal["decisions", "full"],
        Parameter(metavar="SET", help="What is traced: decisions, or full with each page's events."),
    ] = "decisions"
    plot: Annotated[
        Path | None,
        Parameter(
            metavar="FILE",
            help="Draw one run over time, or several designs' figures as bars, as .svg, .png or .html.",
        ),
    ] = None
    report: Annotated[
        Path | None,
        Parameter(
            metavar="FILE", help="Write one self-contained page: what was run, the reading, tables, plots over time."
        ),
    ] = None
    check: Annotated[
        bool,
        Parameter(negative=(), show_default=False, help="Recount the whole machine all along, not only at the end."),
    ] = False
    power_cut: Annotated[
        str | None,
        Parameter(metavar="TIME", help="Cut the power at this simulated time (90s, 2min): what is lost is counted."),
    ] = None

    def check_every(self) -> int:
        """Return after how many events the machine is recounted, 0 for only at the end."""
        return CHECK_EVERY if self.check else 0

    def power_cut_ns(self) -> int | None:
        """Return when the power is cut. Raises UsageError if that is no time."""
        from pageout.vocabulary.units import parse_duration

        if self.power_cut is None:
            return None
        try:
            return parse_duration(self.power_cut)
        except ValueError as error:
            raise UsageError(f"--power-cut {plain(self.power_cut)}: {error}") from None


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Many:
    """What `compare` and `demo` take beside: several runs of one workload."""

    jobs: Annotated[
        int | None, Parameter(metavar="N", help="Runs at a time, each in its own process; unset: one a core.")
    ] = None
    seeds: Annotated[
        int, Parameter(metavar="N", help="Play each design with N seeds in turn: medians, and how far they lie apart.")
    ] = 1
    csv: Annotated[
        Path | None, Parameter(metavar="FILE", help="Write the figures, one row a design and seed, as .csv.")
    ] = None

    def checked(self) -> "Many":
        """Return these options. Raises UsageError on a number that makes no sense."""
        for option, value in (("--jobs", self.jobs), ("--seeds", self.seeds)):
            if value is not None and not 1 <= value <= MANY:
                raise UsageError(f"{option} {value}: must be from 1 to {MANY}")
        return self


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class OfRecording:
    """What `validate` and `replay` both take."""

    design: Annotated[
        str | None, Parameter(metavar="DESIGN", help="The kernel's design; unset: the one of the recorded release.")
    ] = None
    box: Annotated[
        Literal["auto", "white", "black"],
        Parameter(
            metavar="BOX",
            help="white: the workload as the recording says it; black: by trace and samples; auto: white if it can.",
        ),
    ] = "auto"
    seed: Annotated[int, Parameter(metavar="N", help="Seed of all random numbers.")] = 1
    plot: Annotated[
        Path | None,
        Parameter(metavar="FILE", help="Draw recorded and simulated levels over each other: .html, .svg, .png."),
    ] = None
    json: Annotated[bool, Parameter(negative=(), show_default=False, help="Print one JSON document instead.")] = False


def words(option: str, text: str, known: Iterable[str]) -> tuple[str, ...]:
    """Return the names in a comma-separated list, each once. Raises UsageError on an unknown one or none at all."""
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    known = tuple(known)
    if not names:
        raise UsageError(f"{option}: no name given; there is {', '.join(known)}")
    for name in names:
        if name not in known:
            raise UsageError(f"{option} {plain(name)}: no such name{did_you_mean(name, known)}")
    return names
