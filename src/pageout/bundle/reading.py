# SPDX-License-Identifier: GPL-2.0-or-later
"""What of a bundle other readers take: its trace, its /proc files, its log, and the settings its meta.json holds."""

from __future__ import annotations

import re

from pageout.bundle.bundle import trace_name
from pageout.bundle.files import META, Files, files_of
from pageout.bundle.meta import read_meta
from pageout.readers.read import Input, read_input, read_pieces
from pageout.readers.source import OnRead
from pageout.vocabulary.errors import TraceError

_TOLD = re.compile(
    r"(?:vmstat|meminfo|zoneinfo|buddyinfo|pagetypeinfo|diskstats|pressure-\w{1,20}|bdi)\.(?:before|after)"
    r"|sysctls|dmesg|mounts|stderr"
)
MAX_LINES = 1_000_000


def told_by(files: Files) -> list[str]:
    """Return the names of the files that say something of the machine, the trace first."""
    trace = trace_name(files)
    return ([trace] if trace is not None else []) + [name for name in files.names if _TOLD.fullmatch(name)]


def trace_of(path: str) -> str | None:
    """Return the path of a bundle's trace, None if it has none.  Raises TraceError if it is no bundle."""
    files = files_of(path)
    name = trace_name(files)
    return files.where(name) if name is not None else None


def settings_input(files: Files) -> Input | None:
    """Return kernel and sysctls of meta.json as they would be read from `sysctl -a`, each at its own line.

    None if it holds neither, or a file says them.  Raises TraceError if it cannot be read.
    """
    if "sysctls" in files.names:
        return None
    meta, _ = read_meta(files)
    told = {f'"{name}"': f"{name} = {value}" for name, value in meta.sysctl.items()}
    if meta.kernel:
        told['"kernel"'] = f"Linux version {meta.kernel} (as recorded)"
    lines = files.text(META).splitlines()[:MAX_LINES]
    placed = [next((told.pop(key) for key in list(told) if key in line), "") for line in lines]
    rows = [*placed, *told.values()]
    if not any(rows):
        return None
    return read_pieces(files.where(META), ["\n".join(rows).encode() + b"\n"])


def inputs_of(path: str, on_read: OnRead | None = None) -> tuple[list[Input], list[str]]:
    """Return a bundle's files as `explain` reads them, and what could not be read.  Raises TraceError: no bundle."""
    files = files_of(path)
    inputs, errors = [], []
    for name in told_by(files):
        try:
            inputs.append(read_input(files.where(name), on_read))
        except TraceError as error:
            errors.append(str(error))
    try:
        settings = settings_input(files)
    except TraceError as error:
        settings, errors = None, [*errors, str(error)]
    if not inputs and settings is None and not errors:
        raise TraceError(f"{path}: neither a trace nor a /proc file in it: record again")
    return inputs + ([settings] if settings is not None else []), errors
