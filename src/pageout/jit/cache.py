# SPDX-License-Identifier: GPL-2.0-or-later
"""Where machine code is kept, under which key, and who is told when some has to be made."""

from __future__ import annotations

import fcntl
import hashlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parent.parent
COMPILED_FROM = ("jit", "engine", "kernel", "machine", "vocabulary", "events", "readers", "validate")


def source_key() -> str:
    """Name of everything the machine code depends on: each source file, the libraries, the options that shape code.

    numba's own cache looks at the one file a function stands in and would run stale code when another changes.
    """
    import llvmlite
    import numba
    import numpy as np

    digest = hashlib.sha256()
    for folder in COMPILED_FROM:
        for path in sorted((ROOT / folder).rglob("*.py")):
            digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    options = [f"{name}={value}" for name, value in sorted(os.environ.items()) if name.startswith("NUMBA_")]
    digest.update(repr((sys.version, numba.__version__, llvmlite.__version__, np.__version__, options)).encode())
    return digest.hexdigest()[:20]


def cache_root() -> Path:
    """The folder for compiled units: PAGEOUT_CACHE, the user's cache, or a temporary one if it cannot be written."""
    base = os.environ.get("PAGEOUT_CACHE") or os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    root = Path(base) / "pageout"
    try:
        root.mkdir(parents=True, exist_ok=True)
        if os.access(root, os.W_OK):
            return root
    except OSError:
        pass
    return Path(tempfile.gettempdir()) / f"pageout-{os.getuid()}"


class _Notes:
    """Who wants to know which unit is being compiled, and the time spent on loading and compiling so far."""

    listener: Callable[[str], None] | None = None
    seconds = 0.0


def loading_seconds() -> float:
    """Return the wall time this process has spent on compiling and loading units."""
    return _Notes.seconds


def add_loading(seconds: float) -> None:
    """Count time spent on compiling or loading a unit."""
    _Notes.seconds += seconds


@contextmanager
def compiling(note: Callable[[str], None]) -> Iterator[None]:
    """While this is open, `note(unit)` is called before each unit that has to be compiled, not loaded."""
    before, _Notes.listener = _Notes.listener, note
    try:
        yield
    finally:
        _Notes.listener = before


@contextmanager
def sole_compiler(folder: Path, unit: str) -> Iterator[None]:
    """Let one process at a time make this unit: whoever waited finds it in the cache."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{unit}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def announce(unit: str) -> None:
    """Say that a unit is about to be compiled."""
    if _Notes.listener is not None:
        _Notes.listener(unit)
