# SPDX-License-Identifier: GPL-2.0-or-later
"""pageout record -- COMMAND: capture what a real machine does, in a bundle."""

import os
import re
import shlex
import stat
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from pageout.cli.terminal import Progress, complain, hint, show, warn
from pageout.vocabulary.errors import UsageError

if TYPE_CHECKING:
    from pageout.record.recorder import Outcome

DONE, STOPPED = 0, 130
LONGEST_S = 7 * 24 * 3600.0


def record(
    *command: Annotated[
        str,
        Parameter(
            name="COMMAND",
            allow_leading_hyphen=True,
            help="What to run and record, after --. Without: the whole machine for --duration seconds.",
        ),
    ],
    output: Annotated[
        Path | None,
        Parameter(
            name=["--output", "-o"],
            metavar="BUNDLE",
            help="A new folder, or NAME.zip (default pageout-DATE-TIME.bundle). Nothing is overwritten.",
        ),
    ] = None,
    duration: Annotated[
        float | None, Parameter(metavar="S", help="Stop after S seconds; a command is told to end then.")
    ] = None,
    events: Annotated[
        str, Parameter(metavar="SET", help="light: decisions and requests; full: what fires for each page, too.")
    ] = "light",
    device: Annotated[
        str | None, Parameter(metavar="DEV", help="Record requests of this disk only: /dev/sda, or MAJ:MIN.")
    ] = None,
    user: Annotated[
        str | None, Parameter(metavar="NAME", help="Run the command as this user (default: as root, as perf does).")
    ] = None,
    print_: Annotated[
        bool,
        Parameter(
            name="--print", negative="", help="Print the shell commands that record, their cost, how to undo them."
        ),
    ] = False,
    json: Annotated[bool, Parameter(negative="", help="Print one JSON document and nothing else.")] = False,
) -> int:
    """Record a command, or the whole machine for some seconds: tracepoints, samples, settings. Needs root.

    Ctrl-C ends the recording, and the command; the bundle is written all the same.
    """
    argv = list(command[1:] if command[:1] == ("--",) else command)
    _check(argv, duration, events, user)
    disk = _disk(device) if device is not None else None
    if print_:
        return _print(argv, duration, events, disk)
    from pageout.record.recorder import Request, Stopped
    from pageout.record.recorder import record as run

    target = Path(os.path.normpath(output or time.strftime("pageout-%Y%m%d-%H%M%S.bundle")))
    output_to = sys.stderr.buffer if json else None
    request = Request(target, argv or None, duration, events, user, disk, output_to)
    try:
        with Progress(quiet=json, per_second=1) as progress:
            outcome = run(request, _ticker(progress, duration))
    except Stopped:
        complain("interrupted; nothing is written, and the machine is as it was")
        return STOPPED
    warn(outcome.warnings)
    if json:
        from pageout.cli.output import print_json

        print_json(_document(outcome))
    else:
        _say(outcome)
    return DONE


def _check(argv: list[str], duration: float | None, events: str, user: str | None) -> None:
    from pageout.record.sets import SETS
    from pageout.vocabulary.errors import did_you_mean, shown

    if events not in SETS:
        raise UsageError(f"--events {shown(events)}: no such set{did_you_mean(events, SETS)}")
    if duration is not None and not 0 < duration <= LONGEST_S:
        raise UsageError(f"--duration {duration}: from 0.1 to {LONGEST_S:,.0f} seconds")
    if not argv and duration is None:
        raise UsageError(
            "record: say what to run (-- COMMAND), or for how long the whole machine is recorded (--duration S)"
        )
    if user is not None and not argv:
        raise UsageError("--user goes with a command")


def _disk(device: str) -> str:
    """Return MAJ:MIN of the whole disk a device is, or is on."""
    from pageout.record.machine import disks, whole_disk

    number = device
    if not re.fullmatch(r"\d{1,4}:\d{1,7}", device):
        place = Path(device if "/" in device else f"/dev/{device}")
        try:
            found = place.stat()
        except OSError as error:
            raise UsageError(f"--device {device}: {error.strerror}") from None
        if not stat.S_ISBLK(found.st_mode):
            raise UsageError(f"--device {device}: no block device: /dev/sda, say, or MAJ:MIN")
        number = f"{os.major(found.st_rdev)}:{os.minor(found.st_rdev)}"
    disk = whole_disk(number)
    if disk not in disks():
        raise UsageError(f"--device {device}: no disk of this machine; there is {', '.join(disks().values())}")
    return disk


def _ticker(progress: Progress, duration: float | None) -> Any:
    silent = False

    def on_tick(seconds: float, text: str, has_spoken: bool) -> None:
        nonlocal silent
        silent |= has_spoken  # a bar would be drawn over what the command prints
        if not silent:
            progress(min(seconds / duration, 1.0) if duration else 0.0, f"recording, {seconds:.0f} s: {text}")

    return on_tick


def _document(outcome: "Outcome") -> dict[str, Any]:
    import pageout

    meta = outcome.meta
    return {
        "pageout": pageout.__version__,
        "bundle": str(outcome.path),
        "bytes": _size(outcome.path),
        "seconds": round(meta["end_s"] - meta["start_s"], 3),
        "ended_by": meta["ended_by"],
        "rc": meta["rc"],
        "events": meta["events"],
        "samples": meta["samples"]["count"],
        "dev": meta["dev"],
        "cpu_share": meta["recorder"]["cpu_share"],
        "warnings": outcome.warnings,
    }


def _say(outcome: "Outcome") -> None:
    found = _document(outcome)
    events = found["events"]
    name = outcome.meta["devices"].get(found["dev"] or "", {}).get("name")
    disk = f"{name} ({found['dev']})" if name else "none was written to"
    show(
        f"recorded {found['seconds']:.1f} s in {outcome.path}: {events['recorded']:,} events, {events['lost']:,} lost, "
        f"{found['samples']:,} samples, {found['bytes'] / 1e6:.1f} MB",
        f"events    {events['set']}: {len(events['names'])} tracepoints, clock {events['clock']}, "
        f"buffers {events['buffer_kib_per_cpu']:,} KiB on each of {events['cpus']} CPUs\n"
        f"disk      {disk}\n"
        f"recorder  {100 * found['cpu_share']:.2f} % of one CPU",
    )
    place = str(outcome.path)
    hint(f"pageout explain {shlex.quote(place if not place.startswith('-') else f'./{place}')}")


def _size(path: Path) -> int:
    files = path.iterdir() if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files)


def _print(argv: list[str], duration: float | None, events: str, disk: str | None) -> int:
    from pageout.record.by_hand import script

    sys.stdout.write(script(argv, duration, events, disk))
    return DONE
