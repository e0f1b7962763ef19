# SPDX-License-Identifier: GPL-2.0-or-later
"""Members of a .zip by a path that leads into it: `report.zip/trace.txt.gz`. Nothing is ever unpacked onto a disk.

A .zip comes from somebody else: names that lead out of it, more members than a recording has, and sizes that no
recording has are refused before a byte is unpacked; what grows beyond what its header promises is cut by zipfile.
"""

from __future__ import annotations

import lzma
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
NAMED = 5  # members that a message names
MAGIC = b"PK\x03\x04"
BROKEN = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, UnicodeDecodeError)


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
            if not entry.filename:
                raise TraceError(f"{path}: a file in it has no name: pack it anew")
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
    with _opened(path) as archive:
        try:
            with archive.open(entry) as file:
                yield file
        except BROKEN as error:
            raise TraceError(f"{path}/{name}: damaged in the .zip ({_damage(error)}): copy the .zip again") from None


def about(path: str) -> str:
    """Return what a .zip that is no bundle is, and what to do with it; "" if this is no .zip on a disk."""
    try:
        if not Path(path).is_file():
            return ""
        names = list(members(path))
    except TraceError as error:
        return str(error).removeprefix(f"{path}: ")
    if not names:
        return "a .zip archive with nothing in it: name another file"
    if any(PurePosixPath(name).name == "meta.json" for name in names) and Path(path).suffix.lower() != ".zip":
        return "a recorded bundle, by what is in it: let its name end in .zip"
    shown = ", ".join(name[:60] for name in names[:NAMED]) + (", ..." if len(names) > NAMED else "")
    return f"a .zip archive without a meta.json, so no bundle: unpack it and name the files in it: {shown}"


def _damage(error: Exception) -> str:
    """Return in plain words what zipfile and zlib raise of a file that is not as it was packed."""
    text = str(error)
    if isinstance(error, EOFError) or "truncated" in text or "incomplete" in text:
        return "it ends too soon"
    if isinstance(error, NotImplementedError):
        return f"packed in a way that is not read here: {text[:80]}"
    if "CRC" in text:
        return "its checksum differs"
    return "its bytes do not unpack" if isinstance(error, zlib.error) else text[:120] or type(error).__name__


def _no_zip(path: str) -> str:
    """Return what is wrong with a file that zipfile takes for none of its own."""
    with Path(path).open("rb") as file:
        begins = file.read(len(MAGIC))
    if begins == MAGIC:
        return "a damaged .zip: its list of files, which stands at its end, is missing or broken: copy it again"
    return "named .zip, but no .zip archive by its content: name another file, or copy it again"


@contextmanager
def _opened(path: str) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except zipfile.BadZipFile:
        raise TraceError(f"{path}: {_no_zip(path)}") from None
    except BROKEN as error:
        raise TraceError(f"{path}: a damaged .zip ({_damage(error)}): copy it again") from None
    except OSError as error:
        raise TraceError(f"{path}: cannot be read ({error.strerror or error}): name a file") from None
