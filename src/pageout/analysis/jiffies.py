# SPDX-License-Identifier: GPL-2.0-or-later
"""The timer's rate of the kernel that recorded, by the times it printed: all are whole ticks, rounded down to ms."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    from pageout.events.tables import Events

LONGEST_MS = 1 << 31  # beyond, a time is jiffies that wrapped


def hz_of(events: Events) -> int | None:
    """Return the coarsest HZ all printed times are jiffies of; None if all are 0, or none is."""
    frame = events.frame("balance_dirty_pages").select("paused", "pause", "period", "think")
    values = [frame[name].drop_nulls().cast(pl.Int64, strict=False).drop_nulls().abs() for name in frame.columns]
    times = {value for column in values for value in column.unique().to_list() if 0 < value < LONGEST_MS}
    if not times:
        return None
    fits = (hz for hz in (100, 250, 300, 1000) if all(-(-ms * hz // 1000) * 1000 // hz == ms for ms in times))
    return next(fits, None)
