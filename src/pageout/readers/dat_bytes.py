# SPDX-License-Identifier: GPL-2.0-or-later
"""Bytes of a binary recording, taken one after another with every length checked; and what packed them."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import NoReturn

from pageout.vocabulary.errors import TraceError

MAX_STRING = 1 << 16
# What grows like this, and to this size, was packed to do harm.
MAX_RATIO, MAX_UNPACKED = 1100, 1 << 28


class Cursor:
    """A place in bytes, and the byte order of the machine that wrote them."""

    def __init__(self, name: str, data: memoryview, at: int = 0, *, big: bool = False, base: str = "") -> None:
        self.name, self.data, self.at, self.big, self.base = name, data, at, big, base

    def fail(self, why: str) -> NoReturn:
        """Raise TraceError with the file and the offset."""
        raise TraceError(f"{self.name}: trace.dat broken at byte {self.at:,}{self.base}: {why}")

    def go(self, at: int) -> None:
        """Move to an offset some field gave."""
        if not 0 <= at <= len(self.data):
            self.fail(f"offset {at:,} is outside the file of {len(self.data):,} bytes")
        self.at = at

    def take(self, size: int, what: str) -> memoryview:
        """Return the next `size` bytes."""
        left = len(self.data) - self.at
        if not 0 <= size <= left:
            self.fail(f"{what} should have {size:,} bytes, {left:,} are left")
        found = self.data[self.at : self.at + size]
        self.at += size
        return found

    def number(self, size: int, what: str) -> int:
        """Return the next unsigned number of 1, 2, 4 or 8 bytes."""
        return int.from_bytes(self.take(size, what), "big" if self.big else "little")

    def sized(self, size: int, what: str) -> bytes:
        """Return bytes preceded by their length, itself a number of `size` bytes."""
        return bytes(self.take(self.number(size, f"the size of {what}"), what))

    def string(self, what: str) -> str:
        """Return a string that ends in a NUL."""
        window = bytes(self.data[self.at : self.at + MAX_STRING])
        end = window.find(b"\0")
        if end < 0:
            self.fail(f"{what} has no end")
        self.at += end + 1
        return window[:end].decode("utf-8", "replace")

    def expect(self, magic: bytes, what: str) -> None:
        """Pass over bytes that must stand here."""
        start = self.at
        if bytes(self.take(len(magic), what)) != magic:
            self.at = start
            self.fail(f"{what} should stand here")


class Unpacker:
    """Unpacks blocks by one method, and refuses to unpack without end."""

    def __init__(self, method: str, nbytes_of_file: int) -> None:
        self.method = method
        self._left = max(MAX_UNPACKED, MAX_RATIO * nbytes_of_file)

    def block(self, cursor: Cursor) -> bytes:
        """Return the next block unpacked: its size packed, its size unpacked, its bytes."""
        packed, size = cursor.number(4, "the size of a packed block"), cursor.number(4, "its unpacked size")
        data = cursor.take(packed, "a packed block")
        if size > max(MAX_RATIO * packed, 1 << 16) * 40 or size > self._left:
            cursor.fail(f"{packed:,} bytes cannot hold the {size:,} they promise")
        try:
            found = self._unpack(data, size)
        except (zlib.error, ValueError, OSError, EOFError) as error:
            cursor.fail(f"the {self.method} block does not unpack ({error})")
        if len(found) != size:
            cursor.fail(f"the {self.method} block gives {len(found):,} bytes, it promises {size:,}")
        self._left -= size
        return found

    def _unpack(self, data: memoryview, size: int) -> bytes:
        if self.method == "zlib":
            return zlib.decompressobj().decompress(data, size) if size else b""
        from backports.zstd import ZstdDecompressor, ZstdError

        try:
            return ZstdDecompressor().decompress(bytes(data), max_length=size)
        except ZstdError as error:
            raise ValueError(str(error)) from None


def methods() -> Sequence[str]:
    """Return the ways of packing that are read."""
    return ("none", "zlib", "zstd")
