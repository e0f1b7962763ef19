# SPDX-License-Identifier: GPL-2.0-or-later
"""The files of a bundle: in a folder, in a .zip, or in the one folder that a .zip holds; its manifest checked."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

import msgspec

from pageout.readers import zipped
from pageout.vocabulary.errors import TraceError
from pageout.vocabulary.json_words import json_words

META, MANIFEST = "meta.json", "manifest.json"
VERSION = 1  # of bundles that this pageout reads
MAX_TEXT_BYTES = 256 << 20  # of a file read whole: samples and logs of hours
MAX_FILES = 4096
CHUNK = 1 << 20


class ManifestFile(msgspec.Struct, frozen=True):
    """What a manifest says of a file."""

    bytes: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True):
    """The list of a bundle's files, written last: without it a recording was not finished, or is older."""

    bundle: int
    files: dict[str, ManifestFile] = {}
    pageout: str = ""


class _BundleVersion(msgspec.Struct, frozen=True):
    bundle: int


class Files(NamedTuple):
    """Where a bundle's files are: `place` is the folder, or the path into the .zip; names have no folder."""

    path: str  # as the user named it
    place: str
    names: tuple[str, ...]

    def where(self, name: str) -> str:
        """Return the path that readers open, and messages say."""
        return str(Path(self.place) / name)

    @contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        """Open a file as it is.  Raises TraceError if that cannot be."""
        where = self.where(name)
        if (inside := zipped.split(where)) is not None:
            with zipped.open_member(*inside) as member:
                yield member
            return
        try:
            with Path(where).open("rb") as file:
                yield file
        except OSError as error:
            raise TraceError(f"{where}: cannot be read ({error.strerror or error}): record again") from None

    def read(self, name: str) -> bytes:
        """Return a whole file.  Raises TraceError: it cannot be read, or is larger than any recording's."""
        with self.open(name) as file:
            content = file.read(MAX_TEXT_BYTES + 1)
        if len(content) > MAX_TEXT_BYTES:
            raise TraceError(f"{self.where(name)}: larger than {MAX_TEXT_BYTES >> 20} MiB: no recording's; refused")
        return content

    def text(self, name: str) -> str:
        """Return a whole file as text, whatever bytes are in it."""
        return self.read(name).decode("utf-8", "replace")


def is_bundle(path: str) -> bool:
    """Say whether this is a folder or .zip with a meta.json: no error, whatever it is."""
    try:
        return META in _listed(path).names
    except TraceError:
        return False


def files_of(path: str) -> Files:
    """Return the files of a bundle, sums checked.  Raises TraceError with what is wrong and what to do."""
    found = _listed(path)
    if META not in found.names:
        raise TraceError(f"{path}: no {META} in it, so no bundle: pageout record makes one")
    if MANIFEST in found.names:
        _check(found)
    return found


def _listed(path: str) -> Files:
    """Return the files that stand at the top, or in the one folder a .zip has."""
    place = Path(path)
    try:
        if place.is_dir():
            names = [one.name for one, _ in zip(place.iterdir(), range(MAX_FILES), strict=False) if one.is_file()]
            return Files(path, path, tuple(sorted(names)))
        if not place.exists():
            raise TraceError(f"{path}: no such file or folder: name a bundle")
        if not place.is_file() or not zipfile_named(place):
            raise TraceError(f"{path}: a file, and no bundle: name a folder with a {META}, or a .zip of it")
    except OSError as error:
        raise TraceError(f"{path}: cannot be read ({error.strerror or error}): name a bundle") from None
    return _in_zip(path, list(zipped.members(path)))


def zipfile_named(place: Path) -> bool:
    """Say whether a path is taken for a .zip: by its name, as a path into it is."""
    return place.suffix.lower() == ".zip"


def _in_zip(path: str, members: list[str]) -> Files:
    tops = [name for name in members if "/" not in name]
    if META in tops:
        return Files(path, path, tuple(sorted(tops)))
    folders = {name.rpartition("/")[0] for name in members if name.endswith(f"/{META}")}
    if len(folders) > 1:
        raise TraceError(f"{path}: {len(folders)} bundles in it: unpack it and name each folder")
    folder = next(iter(folders), "")
    inside = [name.rpartition("/")[2] for name in members if name.rpartition("/")[0] == folder]
    return Files(path, str(Path(path) / folder), tuple(sorted(inside)))


def _check(files: Files) -> None:
    """Hold the files against the manifest.  Raises TraceError at the first that is not as it was written."""
    where = files.where(MANIFEST)
    content = files.read(MANIFEST)
    try:
        version = msgspec.json.decode(content, type=_BundleVersion).bundle
        if version > VERSION:
            raise TraceError(
                f"{where}: a bundle of version {version}, this pageout reads {VERSION}: "
                "install the pageout that recorded it, or a newer one"
            )
        manifest = msgspec.json.decode(content, type=Manifest)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise TraceError(f"{where}: {json_words(error)}: copy the bundle again") from None
    for name, told in manifest.files.items():
        if name not in files.names:
            raise TraceError(f"{files.path}: {name[:80]!r} is missing, its manifest names it: copy the bundle again")
        size, sha256 = _sum(files, name)
        if size != told.bytes:
            raise TraceError(
                f"{files.where(name)}: {size:,} bytes, {told.bytes:,} when it was recorded: copy the bundle again"
            )
        if sha256 != told.sha256:
            raise TraceError(f"{files.where(name)}: not what was recorded (its sum differs): copy the bundle again")


def _sum(files: Files, name: str) -> tuple[int, str]:
    digest, size = hashlib.sha256(), 0
    with files.open(name) as file:
        while piece := file.read(CHUNK):
            digest.update(piece)
            size += len(piece)
    return size, digest.hexdigest()
