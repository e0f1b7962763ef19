# SPDX-License-Identifier: GPL-2.0-or-later
"""Files and documents that are whole or not there at all."""

import json
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pageout.report.text import plain
from pageout.vocabulary.errors import UsageError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a new file to write beside `path`, which takes the place of `path` once it is whole, else is removed.

    A device or pipe is given as it is. Raises UsageError, before any work is done, if nothing can be written there.
    """
    target = Path(os.path.realpath(path))
    if _is_special(target, path):
        yield target
        return
    part = target.with_name(f".{target.stem}.{os.getpid()}.part{target.suffix}")
    try:
        os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    except OSError as error:
        raise UsageError(f"{plain(path)}: cannot be written ({error.strerror}): choose another file") from None
    try:
        yield part
        part.replace(target)
    finally:
        with suppress(FileNotFoundError):
            part.unlink()


def _is_special(target: Path, path: Path) -> bool:
    try:
        mode = target.stat().st_mode
    except OSError:
        return False
    if stat.S_ISDIR(mode):
        raise UsageError(f"{plain(path)}: is a folder: name a file in it")
    return not stat.S_ISREG(mode)


def distinct(files: dict[str, Path | None], workload: Path | None = None) -> None:
    """Refuse two outputs to one file, or an output over the workload. Raises UsageError."""
    seen = {os.path.realpath(workload): "the workload"} if workload else {}
    for option, path in files.items():
        if path is None:
            continue
        place = os.path.realpath(path)
        if place in seen:
            raise UsageError(f"{option} {plain(path)}: is {seen[place]} too: choose another file")
        seen[place] = f"{option}'s file"


def print_json(document: dict[str, Any]) -> None:
    """Print one JSON document on standard output."""
    sys.stdout.write(json.dumps(document, indent=1, allow_nan=False) + "\n")
