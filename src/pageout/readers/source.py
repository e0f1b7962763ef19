# SPDX-License-Identifier: GPL-2.0-or-later
"""A file's bytes, whatever packed them: plain, .gz, .xz, .zst, standard input. Never all at once."""

from __future__ import annotations

import gzip
import io
import lzma
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from pageout.vocabulary.errors import TraceError

STDIN = "-"
CHUNK = 1 << 22
# Traces shrink some tenfold, twentyfold with luck. What grows like this, and to this size, was packed to do harm.
BOMB_RATIO, BOMB_BYTES = 200, 1 << 28

_MAGIC = ((b"\x1f\x8b", "gz"), (b"\xfd7zXZ\x00", "xz"), (b"\x28\xb5\x2f\xfd", "zst"))


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
    """Return gz, xz or zst by a file's first bytes, empty for anything else."""
    return next((name for magic, name in _MAGIC if head.startswith(magic)), "")


@contextmanager
def open_bytes(name: str) -> Iterator[Iterator[bytes]]:
    """Open a file, `-` for standard input; yields its unpacked bytes in pieces of at most CHUNK.

    Raises TraceError, also while the pieces are taken: the file cannot be read, is broken, or unpacks without end.
    """
    try:
        if name == STDIN:
            yield _pieces("standard input", sys.stdin.buffer)
            return
        with Path(name).open("rb", buffering=0) as file:
            yield _pieces(name, file)
    except OSError as error:
        raise TraceError(f"{name}: cannot be read ({error.strerror or error}): name a file") from None


def _pieces(name: str, file: IO[bytes]) -> Iterator[bytes]:
    first = file.read(CHUNK)
    kind = packing(first[:8])
    if not kind:
        while first:
            yield first
            first = file.read(CHUNK)
        return
    counted = _Counted(file, first)
    buffered = io.BufferedReader(counted, CHUNK)
    total = 0
    try:
        unpacked = _unpacker(kind, buffered)
        while piece := unpacked.read(CHUNK):
            total += len(piece)
            if total > BOMB_BYTES and total > BOMB_RATIO * max(counted.nbytes, 1):
                raise TraceError(
                    f"{name}: {counted.nbytes:,} bytes of .{kind} unpack to over {total:,}: no recording does; refused"
                )
            yield piece
    except (EOFError, zlib.error, gzip.BadGzipFile, lzma.LZMAError, ValueError) as error:
        raise TraceError(f"{name}: a broken .{kind} file ({error}): copy it again") from None


def _unpacker(kind: str, file: IO[bytes]) -> IO[bytes]:
    if kind == "gz":
        return cast("IO[bytes]", gzip.GzipFile(fileobj=file))
    if kind == "xz":
        return cast("IO[bytes]", lzma.LZMAFile(file))
    from backports.zstd import ZstdFile

    return cast("IO[bytes]", ZstdFile(file))
