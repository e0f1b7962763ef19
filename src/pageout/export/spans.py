# SPDX-License-Identifier: GPL-2.0-or-later
"""From events to spans of time: which end belongs to which begin, and which spans can share a line of a drawing."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

Array = NDArray[Any]

BEGIN, END = 1, 2


class Pairs(NamedTuple):
    """Row numbers in the frames of the begins and of the ends."""

    begin: Array  # of pairs: begin[n] ended with end[n]
    end: Array
    open_begin: Array  # begins with neither an end nor another begin after them
    open_end: Array  # ends without a begin
    again: Array  # begins that give way to another one next to them: the later one, or the earlier if that counts


def pair(begins: pl.DataFrame, ends: pl.DataFrame, keys: Sequence[str], first_counts: bool = False) -> Pairs:
    """Pair begins and ends that are next to each other among the events with the same keys, in one segment.

    Of begins without an end between them the last is paired (what began before is void: a request that was issued
    again), or the first where `first_counts` (kswapd, woken again while awake). An event that lacks
    a key, or an end before its begin, is paired with nothing.
    """
    by = ["segment", *keys]
    both = pl.concat(
        frame.select("line", "time_ns", *by).with_row_index("row").with_columns(pl.lit(value).alias("is_end"))
        for frame, value in ((begins, False), (ends, True))
    )
    both = both.filter(~pl.any_horizontal(pl.col(by).is_null())).sort("line", maintain_order=True)
    again = pl.Series("row", [], dtype=pl.UInt32)
    if first_counts:
        both = both.with_columns(pl.col("is_end").shift(1).over(by).alias("before"))
        repeated = ~pl.col("is_end") & pl.col("before").eq_missing(False)
        again = both.filter(repeated)["row"]
        both = both.filter(~repeated)
    both = both.with_columns(
        pl.col(name).shift(-1).over(by).alias(f"next_{name}") for name in ("is_end", "row", "time_ns")
    )
    matched = both.filter(
        ~pl.col("is_end") & pl.col("next_is_end").eq_missing(True) & (pl.col("next_time_ns") >= pl.col("time_ns"))
    )
    begin, end = matched["row"].to_numpy(), matched["next_row"].to_numpy()
    if not first_counts:
        again = both.filter(~pl.col("is_end") & pl.col("next_is_end").eq_missing(False))["row"]
    alone = np.setdiff1d(np.arange(len(begins)), np.concatenate([begin, again.to_numpy()]))
    return Pairs(begin, end, alone, np.setdiff1d(np.arange(len(ends)), end), again.to_numpy())


class Mark(NamedTuple):
    """A span's begin or end on a lane."""

    time_ns: int
    phase: int  # BEGIN, END
    span: int
    lane: int


def nested(begin: Sequence[int], end: Sequence[int], most: int) -> Iterator[Mark]:
    """Yield the marks of spans, within or beside each other on each lane; those of one lane in the order of time.

    A span that would cross another one goes to the next lane; what finds no place on `most` lanes is left out.
    """
    stacks: list[list[int]] = [[]]
    for span in sorted(range(len(begin)), key=lambda n: (begin[n], -end[n])):
        for lane, stack in enumerate(stacks):
            while stack and end[stack[-1]] <= begin[span]:
                yield Mark(end[stack[-1]], END, stack.pop(), lane)
            if not stack or end[span] <= end[stack[-1]]:
                break
        else:
            if len(stacks) == most:
                continue
            lane = len(stacks)
            stacks.append([])
        stacks[lane].append(span)
        yield Mark(begin[span], BEGIN, span, lane)
    for lane, stack in enumerate(stacks):
        while stack:
            yield Mark(end[stack[-1]], END, stack.pop(), lane)


def beside(begin: Sequence[int], end: Sequence[int], most: int) -> Iterator[Mark]:
    """Yield the marks of spans that never overlap on a lane, on as few lanes as that takes, `most` at most."""
    lanes: list[tuple[int, int]] = []  # when each is free, and its number
    for span in sorted(range(len(begin)), key=lambda n: (begin[n], end[n])):
        if lanes and lanes[0][0] <= begin[span]:
            _, lane = heapq.heappop(lanes)
        elif len(lanes) == most:
            continue
        else:
            lane = len(lanes)
        heapq.heappush(lanes, (end[span], lane))
        yield Mark(begin[span], BEGIN, span, lane)
        yield Mark(end[span], END, span, lane)
