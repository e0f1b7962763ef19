# SPDX-License-Identifier: GPL-2.0-or-later
"""The same source without numba: ordinary Python over tables that hand out Python integers and check every access."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

Layout = Mapping[str, tuple[Any, bool]]


def _cell(column: Any) -> tuple[Any, int, int]:
    """(reader, writer's array, range) of a column: memoryviews hand out Python integers faster than numpy does."""
    info = np.iinfo(column.dtype)
    return column, int(info.min), int(info.max)


class DebugRecord:
    """One record, read and written as Python integers, with range checks."""

    __slots__ = ("_columns", "_row")

    def __init__(self, columns: Mapping[str, tuple[Any, int, int]], row: int) -> None:
        object.__setattr__(self, "_columns", columns)
        object.__setattr__(self, "_row", row)

    def __getattr__(self, name: str) -> int:
        return self._columns[name][0].item(self._row)  # type: ignore[no-any-return]

    def __setattr__(self, name: str, value: int) -> None:
        column, low, high = self._columns[name]
        if not low <= value <= high:
            raise OverflowError(f"{name} = {value} does not fit {column.dtype}")
        column[self._row] = value


class DebugTable:
    """A table of records or scalars with bounds checks: a negative index is an error here, not the last row."""

    def __init__(self, array: Any) -> None:
        self._array = array
        self._columns = {name: _cell(array[name]) for name in array.dtype.names} if array.dtype.names else None
        self._cell = None if self._columns else _cell(array)
        self._length = len(array)

    def _check(self, index: int) -> int:
        if not 0 <= index < self._length:
            raise IndexError(f"index {index} outside 0..{self._length - 1}")
        return index

    def __getitem__(self, index: int) -> Any:
        self._check(index)
        if self._columns is None:
            return self._array.item(index)
        return DebugRecord(self._columns, index)

    def __setitem__(self, index: int, value: int) -> None:
        self._check(index)
        _, low, high = self._cell or (None, 0, 0)
        if not low <= value <= high:
            raise OverflowError(f"{value} does not fit {self._array.dtype}")
        self._array[index] = value

    def word_at(self, index: int) -> int:
        """Return eight bytes as an integer."""
        self._check(index)
        self._check(index + 7)
        return int.from_bytes(self._array[index : index + 8].tobytes(), "little", signed=True)


class DebugKernel:
    """`k` without numba: attributes are the same tables."""

    def __init__(self, arrays: Mapping[str, Any], layout: Layout) -> None:
        for name, (_, single) in layout.items():
            table = DebugTable(arrays[name])
            setattr(self, name, table[0] if single else table)


def bind_state(arrays: Mapping[str, Any], layout: Layout) -> tuple[Any, Any]:
    """Return (k, k): without numba the state is an object, and its own address."""
    kernel = DebugKernel(arrays, layout)
    return kernel, kernel


def kernel_view(layout: Layout) -> Any:
    """Return the function `at(k) -> k`."""
    return lambda k: k


_ADDRESSES: list[Any] = [None]


def _address_of(function: Any) -> int:
    _ADDRESSES.append(function)
    return len(_ADDRESSES) - 1


def call_at(address: int, k: Any, argument: int) -> int:
    """Call the unit registered under this number."""
    return int(_ADDRESSES[address](k, argument))


def call_policy(address: int, page: Any, context_record: Any, argument: int) -> int:
    """Call a user's policy registered under this number."""
    return int(_ADDRESSES[address](page, context_record, argument))


def lowest_bit(value: int) -> int:
    """Return the index of the lowest set bit of `value`, which is not 0."""
    return (value & -value).bit_length() - 1


def word_at(table: DebugTable, index: int) -> int:
    """Return the eight bytes from `index` on of a table of bytes as one integer, the first byte lowest."""
    return table.word_at(index)


def marked_bytes(table: DebugTable, index: int, wanted: int) -> int:
    """Return a bit for each of the 64 bytes from `index` on: below the space, above ASCII, or the one wanted."""
    found = sum(1 << n for n in range(64) if not 32 <= table[index + n] < 128 or table[index + n] == wanted)
    return found - (1 << 64) if found >> 63 else found


def kfn(function: Any) -> Any:
    """An inner kernel function: itself."""
    return function


kinline = kfn


class Unit:
    """A unit's entry: called with (k, integer)."""

    def __init__(self, function: Any) -> None:
        self._function = function
        self.name = function.__name__
        self.compiled_now = False
        self.address = _address_of(function)

    def is_cached(self) -> bool:
        return True

    def install(self, addresses: Any, number: int, failed: Callable[[BaseException], int]) -> Any:
        """Put the unit's number at addresses[number]."""
        addresses[number] = self.address

    def __call__(self, k: Any, argument: int) -> int:
        return int(self._function(k, argument))


def kentry(function: Any) -> Unit:
    """A unit's entry."""
    return Unit(function)


def compile_policy(function: Any, page_dtype: Any, context_dtype: Any) -> tuple[Any, int]:
    """Register a policy; returns (it, its number)."""
    return function, _address_of(function)
