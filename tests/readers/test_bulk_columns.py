# SPDX-License-Identifier: GPL-2.0-or-later
"""Columns made narrow by the compiled pass, beside the same made by numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from pageout.events.blocks import NULL, Part, part_of
from pageout.readers.bulk_columns import Narrower
from pageout.readers.bulk_loop import run_loop

DTYPES = (pl.Int16, pl.UInt16, pl.Int32, pl.UInt32, pl.Int64, pl.UInt64, pl.Categorical)
EDGES = [NULL, NULL + 1, -1, 0, *(sign * (1 << n) + d for n in (15, 16, 31, 32) for d in (-1, 0) for sign in (1, -1))]
NUMBERS = st.sampled_from([*EDGES, (1 << 63) - 1]) | st.integers(0, 100)
PAD = 3


def _valid(part: Part, nr: int) -> list[int | None]:
    """The numbers of a part, None where they are null."""
    if part.numbers is None:
        return [None] * nr
    missing = np.zeros(nr, bool) if part.missing is None else part.missing
    return [None if gone else int(number) for number, gone in zip(part.numbers, missing, strict=True)]


@settings(max_examples=60, deadline=None)
@given(st.data(), st.lists(st.sampled_from(DTYPES), min_size=1, max_size=8), st.integers(1, 9))
def test_compiled_and_numpy_make_the_same_columns(data: Any, dtypes: list[Any], nr: int) -> None:
    cells = data.draw(st.lists(st.lists(NUMBERS, min_size=nr, max_size=nr), min_size=len(dtypes), max_size=len(dtypes)))
    rows = np.full((len(dtypes) + 1, nr + PAD), 7, np.int64)
    rows[1:, :nr] = cells
    block = Narrower(run_loop).block(dtypes, rows.reshape(-1), nr + PAD, nr + PAD, nr)
    assert block.nr_rows == nr
    for dtype, column, part in zip(dtypes, rows[1:, :nr], block.parts, strict=True):
        wanted = part_of(dtype, column)
        assert _valid(part, nr) == _valid(wanted, nr)
        if part.numbers is not None and wanted.numbers is not None:
            assert part.numbers.dtype == wanted.numbers.dtype
            assert_array_equal(part.missing is None, wanted.missing is None)
