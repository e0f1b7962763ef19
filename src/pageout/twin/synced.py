# SPDX-License-Identifier: GPL-2.0-or-later
"""When a writer called fsync(), by the requests that he gave a device himself.

Since 3.2 only fsync() and its like make a writer give requests to the device himself, and they alone are REQ_SYNC. All
that one call gives is on the device before it returns, and what the next one gives has to be dirtied first: where
nothing of his was under way for half that time at least, another call begins.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pageout.analysis.block import df_requests
from pageout.events.tables import Events
from pageout.twin.completions import SECTOR
from pageout.twin.demand import Writer

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

PAGE_BYTES = 4096
OWN_SHARE = 0.05  # of what a writer dirtied: if so much was written for his sake, he synced
LATE_NS = 300_000_000  # a counter that is sampled shows what was dirtied so much later
LEAST_CALLS = 4  # of fsync, of one who calls it all along,
LEAST_FIRST = 0.25  # if so much of what they gave was given in the first half of his time
JOURNAL = "jbd2/"  # its blocks are REQ_SYNC, too, and before 6.13 not REQ_META


class Synced(NamedTuple):
    """Calls of fsync by a writer, on the trace's clock."""

    start_ns: Ints
    end_ns: Ints  # when all that a call gave was on the device
    is_spread: bool  # over all his time, not only at its end
    at_end_ns: int | None  # when all he wrote was on the device; None: it was not because he asked

    def during(self, time_ns: Ints) -> Floats:
        """Return how long he was in fsync up to each of these times, ns."""
        took = self.end_ns - self.start_ns
        edges = np.column_stack([self.start_ns, self.end_ns]).ravel()
        so_far = np.column_stack([np.cumsum(took) - took, np.cumsum(took)]).ravel()
        return np.interp(time_ns, edges, so_far.astype(np.float64))


def synced_of(events: Events, writer: Writer, device: str, is_alone: bool, page_ns: float) -> Synced | None:
    """Return the calls of a writer, None where he made none.

    device: "7:0"; is_alone: nobody else writes to it, so that what others give is for his sake
    page_ns: CPU time of a page that is dirtied, where it is not known of this writer
    """
    if df_requests.missing(events):
        return None
    sync = df_requests(events).filter(
        (pl.col("op") == "write") & pl.col("sync") & ~pl.col("meta") & (pl.col("nr_sector") > 0)
        & (pl.col("dev").cast(pl.String) == device.replace(":", ","))
    )  # fmt: skip
    own = sync.filter(pl.col("pid") == writer.pid)
    least = OWN_SHARE * writer.total * PAGE_BYTES
    if is_alone and _bytes(own) < least:
        own = sync.filter(~pl.col("comm").cast(pl.String).fill_null("").str.starts_with(JOURNAL))
    if _bytes(own) < least or not len(own):
        return None
    own = own.sort("time_ns")
    start = own["time_ns"].to_numpy()
    done = np.maximum.accumulate(np.maximum(own["time_ns_end"].fill_null(own["time_ns"]).to_numpy(), start))
    pages = own["nr_sector"].to_numpy() * float(SECTOR) / PAGE_BYTES
    a_page = writer.page_ns.value if writer.page_ns is not None else page_ns
    begins = np.append(True, start[1:] - done[:-1] > pages[1:] * a_page / 2)
    ends = np.append(begins[1:], True)
    first_ns, last_ns = int(writer.time_ns[0]), int(writer.time_ns[-1])
    early = pages[start < (first_ns + last_ns) // 2].sum()
    is_spread = int(begins.sum()) >= LEAST_CALLS and bool(early >= LEAST_FIRST * pages.sum())
    at_end_ns = int(done[-1]) if done[-1] > last_ns - LATE_NS else None
    return Synced(start[begins], done[ends], is_spread, at_end_ns)


def _bytes(rows: pl.DataFrame) -> int:
    return int(rows["nr_sector"].sum()) * SECTOR
