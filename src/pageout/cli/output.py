# SPDX-License-Identifier: GPL-2.0-or-later
"""Files and documents that are whole or not there at all."""

import csv
import io
import json
import os
import re
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
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
    if (stream := _own_stream(path)) is not None:
        yield from _through(stream, path.suffix)
        return
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


@contextmanager
def replacing_folder(path: Path, is_ours: Callable[[Path], bool]) -> Iterator[Path]:
    """Give a new folder to fill beside `path`, which takes the place of `path` once it is whole, else is removed.

    Raises UsageError, before any work is done, if `path` is a file, or a folder that is neither empty nor ours.
    """
    target = Path(os.path.realpath(path))
    _check_folder(target, path, is_ours)
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        part.mkdir()
    except OSError as error:
        raise UsageError(f"{plain(path)}: cannot be made ({error.strerror}): choose another folder") from None
    try:
        yield part
        _check_folder(target, path, is_ours)
        _take_place(part, target)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _check_folder(target: Path, path: Path, is_ours: Callable[[Path], bool]) -> None:
    try:
        if not target.name:
            raise UsageError(f"{plain(path)}: is no folder to replace: name one in it")
        if target.exists() and not target.is_dir():
            raise UsageError(f"{plain(path)}: is a file: name a folder")
        if target.is_dir() and any(target.iterdir()) and not is_ours(target):
            raise UsageError(f"{plain(path)}: holds other things than tables of pageout: choose another folder")
    except OSError as error:
        raise UsageError(f"{plain(path)}: cannot be looked at ({error.strerror}): choose another folder") from None


def _take_place(part: Path, target: Path) -> None:
    """Put a folder in the place of another one, which stays if that cannot be done."""
    if not target.exists():
        part.rename(target)
        return
    old = target.with_name(f".{target.name}.{os.getpid()}.old")
    target.rename(old)
    try:
        part.rename(target)
    except BaseException:
        old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _own_stream(path: Path) -> int | None:
    """Return the file descriptor that a name such as /dev/stdout stands for, if it is open."""
    text = str(path.absolute())
    named = {"/dev/stdout": 1, "/dev/stderr": 2}
    found = re.fullmatch(r"/(?:dev|proc/self)/fd/(\d{1,4})", text)
    number = named.get(text, int(found[1]) if found else None)
    try:
        return number if number is not None and os.fstat(number) else None
    except OSError:
        return None


def _through(stream: int, suffix: str) -> Iterator[Path]:
    """Give a file of our own and copy it to the stream once it is whole: another process may have to write it."""
    with tempfile.TemporaryDirectory(prefix="pageout-") as folder:
        part = Path(folder) / f"part{suffix}"
        part.touch()
        yield part
        sys.stdout.flush()
        with part.open("rb") as whole, os.fdopen(os.dup(stream), "wb") as out:
            shutil.copyfileobj(whole, out)


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


def csv_text(documents: Sequence[dict[str, Any]]) -> str:
    """Return one row a run: what it was, then every figure; null is an empty cell."""
    about = ("workload", "machine", "design", "kernel", "seed", "digest", "ending", "sim_seconds")
    figures = list(dict.fromkeys(name for document in documents for name in document["metrics"]))
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\n")
    table.writerow([*about, *figures])
    for document in documents:
        cells = [document.get(name) for name in about] + [document["metrics"].get(name) for name in figures]
        table.writerow(["" if cell is None else _harmless(cell) for cell in cells])
    return out.getvalue()


def _harmless(cell: Any) -> Any:
    """Return a cell that no spreadsheet takes for a formula, whatever a workload is called."""
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in ("=", "+", "-", "@", "\t", "\r") else cell
