# SPDX-License-Identifier: GPL-2.0-or-later
"""How long a machine's CPU takes for a page in reclaim, by batches that followed each other undisturbed.

Reclaim that finds nothing to free goes round and round: how much it scans then is a question of CPU time alone, so the
time is measured wherever a trace has it. One rule for every recording: two batches of one task with nothing else
traced between them; pages all freed cost a look and the freeing, pages all kept (by direct reclaim, which writes none
of a file) cost a look. The median of each; a machine that shows one of the two only is as many times slower in the
other than the model's own.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec
import numpy as np
import polars as pl

from pageout.events.tables import Events
from pageout.kernel.costs import FREE_NS, SCAN_NS
from pageout.vocabulary.scenario import Machine

BATCH = "mm_vmscan_lru_shrink_inactive"
OF_BATCHES = (BATCH, "mm_vmscan_lru_isolate")  # all that may stand between two
FULL, ENOUGH = 16, 16  # pages a batch, batches
LONGEST_NS = 1_000_000  # a page


class ReclaimCost(NamedTuple):
    """CPU time of looking at a page, and of freeing it; in ns."""

    scan_ns: int
    free_ns: int


def with_reclaim_cost(events: Events | None, machine: Machine, notes: list[str]) -> Machine:
    """Return the machine with the recording's own cost, if it tells."""
    cost = reclaim_cost(events)
    if cost is None:
        return machine
    notes.append(f"reclaim: {cost.scan_ns} ns to look at a page, {cost.free_ns} ns to free it, by batches in the trace")
    return msgspec.structs.replace(machine, scan_ns=cost.scan_ns, free_ns=cost.free_ns)


def reclaim_cost(events: Events | None) -> ReclaimCost | None:
    """Return the cost, None if too few batches tell."""
    if events is None or BATCH not in events.frames:
        return None
    pairs = _undisturbed(events)
    full = pairs.filter(pl.col("nr_scanned") >= FULL)
    freed = _page_ns(full.filter(pl.col("nr_reclaimed") == pl.col("nr_scanned")))
    kept = _page_ns(full.filter((pl.col("nr_reclaimed") == 0) & ~pl.col("comm").cast(pl.String).str.contains("kswapd")))
    if freed is None and kept is None:
        return None
    if kept is None or (freed is not None and freed <= kept):
        both = SCAN_NS + FREE_NS
        whole = freed if freed is not None else 0
        return _bounded(whole * SCAN_NS // both, whole * FREE_NS // both)
    return _bounded(kept, freed - kept if freed is not None else kept * FREE_NS // SCAN_NS)


def _bounded(scan_ns: int, free_ns: int) -> ReclaimCost:
    return ReclaimCost(min(max(scan_ns, 1), LONGEST_NS), min(max(free_ns, 1), LONGEST_NS))


def _page_ns(batches: pl.DataFrame) -> int | None:
    if len(batches) < ENOUGH:
        return None
    ns = (batches["took_ns"] / batches["nr_scanned"]).median()
    return round(ns) if isinstance(ns, float) and ns > 0 else None


def _undisturbed(events: Events) -> pl.DataFrame:
    """Return the batches before which their task's last event was a batch, too, and nobody else had one since."""
    batches = events.frame(BATCH).select("line", "time_ns", "pid", "comm", "nr_scanned", "nr_reclaimed").sort("line")
    disturbing = [frame["line"].to_numpy() for name, frame in events.frames.items() if name not in OF_BATCHES]
    lines = np.sort(np.concatenate([*disturbing, events.other["line"].to_numpy()])) if disturbing else np.zeros(0)
    seen = np.searchsorted(lines, batches["line"].to_numpy())
    others = np.zeros(len(batches), dtype=bool)
    if len(batches) > 1:
        pid, time = batches["pid"].to_numpy(), batches["time_ns"].to_numpy()
        others[1:] = (pid[1:] == pid[:-1]) & (seen[1:] == seen[:-1]) & (time[1:] > time[:-1])
    return batches.with_columns(took_ns=pl.col("time_ns").diff(), alone=pl.Series(others)).filter(pl.col("alone"))
