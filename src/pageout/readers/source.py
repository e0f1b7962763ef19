# SPDX-License-Identifier: GPL-2.0-or-later
"""A file's bytes, whatever packed them: plain, .gz, .xz, .zst, .bz2, standard input. Never all at once."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from pageout.readers import zipped
from pageout.readers.foreign import ZIP, foreign, of_folder
from pageout.vocabulary.errors import TraceError

STDIN = "-"
CHUNK = 1 << 22
FIRST = 1 << 16  # /proc/sys refuses a read of 4 MiB: ENOMEM
OnRead = Callable[[float], None]
# Traces shrink some tenfold, twentyfold with luck. What grows like this, and to this size, was packed to do harm.
BOMB_RATIO, BOMB_BYTES = 200, 1 << 28

_MAGIC = (
    (b"\x1f\x8b", "gz"), (b"\xfd7zXZ\x00", "xz"), (b"\x28\xb5\x2f\xfd", "zst"),
    *((b"BZh%d1AY&" % level, "bz2") for level in range(1, 10)),
)  # fmt: skip


class _Counted(io.RawIOBase):
    """Counts what is read of a packed file, so that a bomb is seen before it fills the memory."""

    def __init__(self, raw: IO[bytes], first: bytes) -> None:
        self.raw, self.first, self.nbytes = raw, first, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(cast("bytearray", buffer))
        data = self.first[: len(view)] or self.raw.read(len(view))
        self.first = self.first[len(data) :]
        view[: len(data)] = data
        self.nbytes += len(data)
        return len(data)


def packing(head: bytes) -> str:
    """Return gz, xz, zst or bz2 by a file's first bytes, empty for anything else."""
    return next((name for magic, name in _MAGIC if head.startswith(magic)), "")


@contextmanager
def open_bytes(name: str, on_read: OnRead | None = None) -> Iterator[Iterator[bytes]]:
    """Open a file, `-` for standard input; yields its unpacked bytes in pieces of at most CHUNK.

    on_read: told, before each piece, what share of the file has been read.
    Raises TraceError, also while the pieces are taken: the file cannot be read, is broken, or unpacks without end.
    """
    try:
        if name != STDIN and Path(name).is_dir():
            raise TraceError(f"{name}: {of_folder(Path(name))}")
        if name == STDIN:
            yield _pieces("standard input", sys.stdin.buffer)
            return
        if (inside := zipped.split(name)) is not None:
            with zipped.open_member(*inside) as member:
                yield _pieces(name, member)
            return
        with Path(name).open("rb", buffering=0) as file:
            pieces = _pieces(name, file)
            yield pieces if on_read is None else _told(pieces, file, on_read)
    except OSError as error:
        raise TraceError(f"{name}: cannot be read ({error.strerror or error}): name a file") from None


def _told(pieces: Iterator[bytes], file: IO[bytes], on_read: OnRead) -> Iterator[bytes]:
    size = os.fstat(file.fileno()).st_size if file.seekable() else 0
    for piece in pieces:
        on_read(min(file.tell() / size, 1.0) if size else 0.0)
        yield piece


def _pieces(name: str, file: IO[bytes]) -> Iterator[bytes]:
    size = min(FIRST, CHUNK)
    first = file.read(size)
    kind = packing(first[:16])
    _refuse_foreign(name, first)
    if not kind:
        while first:
            yield first
            size = size if len(first) < size else CHUNK
            first = file.read(size)
        return
    counted = _Counted(file, first)
    buffered = io.BufferedReader(counted, CHUNK)
    total = 0
    try:
        unpacked = _unpacker(kind, buffered)
        while piece := unpacked.read(CHUNK):
            if not total:
                _refuse_foreign(name, piece, kind)
            total += len(piece)
            if total > BOMB_BYTES and total > BOMB_RATIO * max(counted.nbytes, 1):
                raise TraceError(
                    f"{name}: {counted.nbytes:,} bytes of .{kind} unpack to over {total:,}: no recording does; refused"
                )
            yield piece
    except _broken(kind) as error:
        raise TraceError(f"{name}: a broken .{kind} file ({error}): copy it again") from None


def _refuse_foreign(name: str, first: bytes, packed: str = "") -> None:
    """Raise TraceError if these first bytes are no text nor trace.  packed: what they were in, if in anything"""
    if what := foreign(first):
        if what == ZIP:
            what = (
                f"a .zip archive packed once more, as .{packed}: unpack both" if packed else zipped.about(name) or what
            )
        raise TraceError(f"{name}: {what}")


def _broken(kind: str) -> tuple[type[Exception], ...]:
    """Return what unpackers raise of a file that is not whole, or not what its first bytes say."""
    errors: tuple[type[Exception], ...] = (EOFError, OSError, zlib.error, lzma.LZMAError, ValueError)
    if kind == "zst":
        from backports.zstd import ZstdError

        errors += (ZstdError,)
    return errors


def _unpacker(kind: str, file: IO[bytes]) -> IO[bytes]:
    if kind == "gz":
        return cast("IO[bytes]", gzip.GzipFile(fileobj=file))
    if kind == "xz":
        return cast("IO[bytes]", lzma.LZMAFile(file))
    if kind == "bz2":
        return cast("IO[bytes]", bz2.BZ2File(file))
    from backports.zstd import ZstdFile

    return cast("IO[bytes]", ZstdFile(file))
