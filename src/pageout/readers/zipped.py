# SPDX-License-Identifier: GPL-2.0-or-later
"""Members of a .zip by a path that leads into it: `report.zip/trace.txt.gz`. Nothing is ever unpacked onto a disk.

A .zip comes from somebody else: names that lead out of it, more members than a recording has, and sizes that no
recording has are refused before a byte is unpacked; what grows beyond what its header promises is cut by zipfile.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from pageout.vocabulary.errors import TraceError

MAX_MEMBERS = 4096
MAX_MEMBER_BYTES = 8 << 30
BOMB_RATIO, BOMB_BYTES = 200, 1 << 28  # as of a packed file: see source.py
BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError)


def split(name: str) -> tuple[str, str] | None:
    """Return (the .zip, the member) of a path that leads into a .zip, None of any other."""
    place = Path(name)
    for above in place.parents:
        if above.suffix.lower() == ".zip" and above.is_file():
            return str(above), place.relative_to(above).as_posix()
    return None


def members(path: str) -> dict[str, zipfile.ZipInfo]:
    """Return the files in a .zip by their names.  Raises TraceError: it is broken, or no recording."""
    with _opened(path) as archive:
        entries = archive.infolist()
        if len(entries) > MAX_MEMBERS:
            raise TraceError(f"{path}: {len(entries):,} files in it: no recording has so many; refused")
        found: dict[str, zipfile.ZipInfo] = {}
        for entry in entries:
            if not entry.is_dir():
                found[_checked(path, entry, found)] = entry
        return found


def _checked(path: str, entry: zipfile.ZipInfo, found: dict[str, zipfile.ZipInfo]) -> str:
    name = entry.filename
    parts = PurePosixPath(name).parts
    if not name.isprintable() or name.startswith("/") or "\\" in name or ":" in name or ".." in parts:
        raise TraceError(f"{path}: {name[:80]!r} would lie outside of it: refused")
    if name in found:
        raise TraceError(f"{path}: {name[:80]!r} is in it twice: refused")
    if entry.flag_bits & 1:
        raise TraceError(f"{path}: {name[:80]!r} is encrypted: unpack it and name the folder")
    grown = entry.file_size > BOMB_BYTES and entry.file_size > BOMB_RATIO * max(entry.compress_size, 1)
    if grown or entry.file_size > MAX_MEMBER_BYTES:
        raise TraceError(
            f"{path}: {name[:80]!r}: {entry.compress_size:,} bytes unpack to {entry.file_size:,}: no recording; refused"
        )
    return name


@contextmanager
def open_member(path: str, name: str) -> Iterator[IO[bytes]]:
    """Open one file of a .zip.  Raises TraceError, also while it is read: not there, or broken."""
    entry = members(path).get(name)
    if entry is None:
        raise TraceError(f"{path}/{name}: no such file in the .zip")
    with _opened(path) as archive, archive.open(entry) as file:
        yield file


@contextmanager
def _opened(path: str) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except BROKEN as error:
        raise TraceError(f"{path}: a broken .zip ({str(error)[:120]}): copy it again") from None
    except OSError as error:
        raise TraceError(f"{path}: cannot be read ({error.strerror or error}): name a file") from None
