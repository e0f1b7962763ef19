# SPDX-License-Identifier: GPL-2.0-or-later
"""Columns of int64 made as narrow as a frame has them, in one compiled pass. `blocks.part_of` is the twin."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pageout.events.blocks import NULL, Block, Part, limits_of
from pageout.jit import bind_state, kernel_view, kinline

Array = NDArray[Any]

PARAM = np.dtype([(name, "i8") for name in ("nr_rows", "nr_columns")])
# Where a column begins, how wide it is to be, in bytes, and where it goes; its least and largest number come back.
COLUMN = np.dtype([(name, "i8") for name in ("first", "width", "to", "least", "most")])
LAYOUT = {
    "param": (PARAM, True),
    "column": (COLUMN, False),
    "rows": (np.dtype("i8"), False),
    "out2": (np.dtype("u2"), False),
    "out4": (np.dtype("u4"), False),
    "out8": (np.dtype("i8"), False),
}
columns_at = kernel_view(LAYOUT)
_LOW_2, _LOW_4 = (1 << 16) - 1, (1 << 32) - 1


@kinline
def narrow_column(k: Any, column: Any, nr: int) -> None:
    """Copy a column."""
    first, to, width = column.first, column.to, column.width
    least = k.rows[first]
    most = least
    for row in range(nr):
        number = k.rows[first + row]
        if number < least:
            least = number
        if number > most:
            most = number
        if width == 4:
            k.out4[to + row] = number & _LOW_4
        elif width == 8:
            k.out8[to + row] = number
        else:
            k.out2[to + row] = number & _LOW_2
    column.least = least
    column.most = most


@kinline
def narrow_columns(k: Any) -> Any:
    """Copy all columns."""
    for number in range(k.param.nr_columns):
        narrow_column(k, k.column[number], k.param.nr_rows)
    return 0


class Narrower:
    """Makes blocks of rows. `run`: calls `narrow_columns` with an address of LAYOUT."""

    def __init__(self, run: Any) -> None:
        self._run = run

    def block(self, dtypes: Sequence[Any], rows: Array, first: int, stride: int, nr_rows: int) -> Block:
        """Return rows, at least one and sorted by line, as a block: a column of each dtype every `stride` cells."""
        param, table = np.zeros(1, PARAM), np.zeros(len(dtypes), COLUMN)
        param["nr_rows"], param["nr_columns"] = nr_rows, len(dtypes)
        limits = [limits_of(dtype) for dtype in dtypes]
        widths = [np.dtype(narrow).itemsize for narrow, _, _ in limits]
        used = dict.fromkeys((2, 4, 8), 0)
        for n, width in enumerate(widths):
            table[n] = (first + n * stride, width, used[width], 0, 0)
            used[width] += nr_rows
        outs = {width: np.empty(max(used[width], 1), "i8" if width == 8 else f"u{width}") for width in used}
        arrays = {"param": param, "column": table, "rows": rows, **{f"out{width}": outs[width] for width in outs}}
        block, address = bind_state(arrays, LAYOUT)
        self._run(address, 1)
        del block
        parts = []
        for (narrow, low, high), (start, width, to, least, most) in zip(limits, table.tolist(), strict=True):
            numbers, missing = outs[width][to : to + nr_rows].view(narrow), None
            if most == NULL:
                parts.append(Part(None, None))
                continue
            if least < low or most > high:
                column = rows[start : start + nr_rows]
                missing = (column < low) | (column > high)
            parts.append(Part(numbers, missing))
        return Block(nr_rows, parts, None)
