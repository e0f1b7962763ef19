# SPDX-License-Identifier: GPL-2.0-or-later
"""A bundle on its way to its place: made in a hidden folder beside it, which takes its name once it is whole.

A bundle is a folder, or one .zip of it; `manifest.json`, written last, has the size and SHA-256 of every file.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import pageout
from pageout.vocabulary.errors import RecordError

FORMAT = 1
RESERVE_BYTES = 8 << 20  # kept for what is written at the end, when the disk is full


class Package:
    """The output."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self.is_zip = target.suffix == ".zip"
        self.folder = target.parent / f".{target.name}.{os.getpid()}.part"
        self._reserve = self.folder / ".reserve"

    def begin(self) -> int:
        """Make the hidden folder; returns its inode.  Raises RecordError."""
        if os.path.lexists(self.target):
            raise RecordError(f"record: {self.target}: exists already: nothing is overwritten; name another with -o")
        try:
            self.folder.mkdir(mode=0o755)
            reserve = os.open(self._reserve, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
            try:
                os.posix_fallocate(reserve, 0, RESERVE_BYTES)
            finally:
                os.close(reserve)
        except OSError as error:
            self.discard()
            raise RecordError(
                f"record: {self.target}: cannot be written ({error.strerror}): choose another place"
            ) from None
        return self.folder.stat().st_ino

    def release_reserve(self) -> None:
        """Give room for what is written at the end."""
        self._reserve.unlink(missing_ok=True)

    def write_json(self, name: str, document: dict[str, Any]) -> None:
        """Write one of its files."""
        text = json.dumps(document, indent=1, allow_nan=False, ensure_ascii=True)
        (self.folder / name).write_text(text + "\n")

    def finish(self) -> Path:
        """Write the manifest and put everything in its place; returns where it is.  Raises RecordError, OSError.

        Where a zip finds no room, the folder is left, under the zip's name without its ending.
        """
        self.release_reserve()
        for path in self.folder.glob(".*"):
            path.unlink()
        files = {path.name: _file_row(path) for path in sorted(self.folder.iterdir())}
        self.write_json("manifest.json", {"bundle": FORMAT, "pageout": pageout.__version__, "files": files})
        target = self.target
        if self.is_zip:
            try:
                self._zip()
                self.discard()
                return target
            except OSError:
                target = target.with_suffix("")
        _give_back(self.folder)
        if os.path.lexists(target):
            target = target.with_name(f"{target.name}.{os.getpid()}")
        self.folder.rename(target)
        return target

    def _zip(self) -> None:
        part = self.folder.with_suffix(".part.zip")
        try:
            with zipfile.ZipFile(part, "x", zipfile.ZIP_DEFLATED, compresslevel=3) as out:
                paths = sorted(self.folder.iterdir(), key=lambda path: (path.name != "manifest.json", path.name))
                for path in paths:
                    out.write(path, path.name)
            _own(part)
            if os.path.lexists(self.target):
                raise FileExistsError(self.target)
            part.rename(self.target)
        finally:
            part.unlink(missing_ok=True)

    def discard(self) -> None:
        """Leave nothing."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _file_row(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    return {"bytes": path.stat().st_size, "sha256": digest.hexdigest()}


def _give_back(folder: Path) -> None:
    for path in (*folder.iterdir(), folder):
        _own(path)


def _own(path: Path) -> None:
    """Give a file to the user who called sudo."""
    uid, gid = (os.environ.get(name, "") for name in ("SUDO_UID", "SUDO_GID"))
    if uid.isdigit() and gid.isdigit() and not os.geteuid():
        with suppress(OSError):
            os.chown(path, int(uid), int(gid), follow_symlinks=False)
