# SPDX-License-Identifier: GPL-2.0-or-later
"""Black box: what a recording's writers wanted, by its trace and samples alone, nobody having said.

A writer is a task that was looked at by balance_dirty_pages for the device. While the kernel made it wait it could not
dirty; what it dirtied, over the rest of the time it was there, is its demand, as calls with a pause for thought between
them: a writer that is held more asks for as much, later. What cannot be seen is said in the notes.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pageout.analysis.block import df_requests
from pageout.analysis.writeback import df_dirty_throttle
from pageout.bundle.bundle import Bundle
from pageout.bundle.evidence import written_requests
from pageout.kernel.costs import ADD_TO_CACHE_NS, ALLOC_NS, DIRTY_NS, LOOKUP_NS
from pageout.vocabulary.errors import TraceError
from pageout.vocabulary.scenario import File, Machine, Task, task_seed

PAGE_BYTES, SECTOR_BYTES = 4096, 512
CALL_BYTES = 64 << 10  # assumed: a call's size is in no event; above 4 KiB it decides little
RANDOM_SHARE = 0.5  # of requests that begin elsewhere than the one before ended
SMALL_KIB = 64  # mean request of a writer that jumps about
LATE_TICKS = (
    2  # a sleep ends so much later than asked at most; the rest of the time to the next event is the task's own
)
MAX_WRITERS = 64
EDGE = 0.02  # of what was dirtied: its first and last part say little of the rate
PAGE_NS = ALLOC_NS + ADD_TO_CACHE_NS + DIRTY_NS + LOOKUP_NS


class Demand(NamedTuple):
    """What one writer wanted."""

    name: str
    start_ns: int
    nbytes: int
    rate: float  # bytes a second while nothing held it
    held_s: float


class Program(NamedTuple):
    """Files and tasks that ask for as much, and what was assumed."""

    files: tuple[File, ...]
    tasks: tuple[Task, ...]
    notes: tuple[str, ...]


def program_of(bundle: Bundle, machine: Machine, seed: int) -> Program:
    """Return tasks in the place of a recording's writers.  Raises TraceError where nothing was written, or no trace."""
    notes = ["black box: the workload by trace and samples alone"]
    demands = demands_of(bundle, notes)
    random, span = _places(bundle)
    origin = min(demand.start_ns for demand in demands)
    synced = _ends_synced(bundle)
    if synced:
        notes.append("the writers are taken to end with an fsync: a task itself waited for its writes")
    files, tasks = [], []
    for number, demand in enumerate(demands):
        size = max(demand.nbytes // CALL_BYTES * CALL_BYTES, CALL_BYTES)
        call = PAGE_BYTES if random else CALL_BYTES
        files.append(File(name=demand.name, size_bytes=max(span if random else size, call), exists=random))
        tasks.append(
            Task(
                name=demand.name, file=(number,), rw="randwrite" if random else "write", bs_bytes=call, io_bytes=size,
                thinktime_ns=_think_ns(machine, call, demand.rate), norandommap=random, end_fsync=synced,
                start_delay_ns=demand.start_ns - origin, seed=task_seed(seed, number),
            )
        )  # fmt: skip
        notes.append(
            f"{demand.name}: {size / 1e6:.4g} MB at {demand.rate / 1e6:.4g} MB/s while nothing held it, "
            f"held {demand.held_s:.3g} s"
        )
    notes.append("reads and anonymous memory are left out")
    return Program(tuple(files), tuple(tasks), tuple(notes))


def demands_of(bundle: Bundle, notes: list[str]) -> list[Demand]:
    """Return each writer's demand, the first first."""
    events = bundle.events
    if events is None:
        raise TraceError(f"{bundle.path}: no trace, and nothing says the workload: record with a trace")
    total = int(written_requests(events, bundle.device)["nr_sector"].sum()) * SECTOR_BYTES
    if not total:
        raise TraceError(f"{bundle.path}: no write of {bundle.device or 'any device'} was finished: nothing to replay")
    writers = _writers(bundle)
    if not writers:
        return [_unseen(bundle, total, notes)]
    if len(writers) > 1:
        notes.append("what was written is split between the writers by the pages their checks say they dirtied")
    dirtied = sum(row["dirtied"] for row in writers)
    found = []
    for row in writers:
        nbytes = int(total * row["dirtied"] / dirtied) if dirtied else total // len(writers)
        free_ns = max(row["last_ns"] - row["first_ns"] - row["held_ns"], 1_000_000)
        found.append(Demand(row["name"], row["first_ns"], nbytes, nbytes * 1e9 / free_ns, row["held_ns"] / 1e9))
    return sorted(found, key=lambda one: one.start_ns)


def _writers(bundle: Bundle) -> list[dict[str, Any]]:
    """Return name, first_ns, last_ns, dirtied (pages), held_ns of each task that was checked for the device."""
    events = bundle.events
    assert events is not None
    if df_dirty_throttle.missing(events):
        return []
    tick_ns = 1_000_000_000 // (bundle.hz or 250)
    held = pl.min_horizontal(pl.col("seen_ns").fill_null(pl.col("asked_ns")), pl.col("asked_ns") + LATE_TICKS * tick_ns)
    checks = df_dirty_throttle(events).filter(pl.col("bdi").cast(pl.String) == (bundle.device or ""))
    rows = (
        checks.group_by("pid", pl.col("comm").cast(pl.String))
        .agg(
            pl.col("dirtied").cast(pl.Int64).sum(),
            pl.when(pl.col("asked_ns") > 0).then(held).otherwise(0).sum().alias("held_ns"),
        )
        .sort("dirtied", "pid", descending=[True, False])
        .head(MAX_WRITERS)
    )
    most = rows["dirtied"].sum()
    rows = rows.filter(pl.col("dirtied") * 100 >= most)  # a task that wrote less than a hundredth is let be
    state = events.frame("global_dirty_state").select("pid", "time_ns")
    seen = pl.concat([state, events.frame("balance_dirty_pages").select("pid", "time_ns")])
    spans = seen.group_by("pid").agg(
        pl.col("time_ns").min().alias("first_ns"), pl.col("time_ns").max().alias("last_ns")
    )
    named = rows.join(spans, on="pid", how="left").with_columns(
        pl.format("{}-{}", pl.col("comm").fill_null("task"), "pid").alias("name")
    )
    return named.select("name", "first_ns", "last_ns", "dirtied", "held_ns").to_dicts()


def _unseen(bundle: Bundle, total: int, notes: list[str]) -> Demand:
    """Return one writer for all where nobody was ever held: as fast as the machine's counter rose."""
    notes.append("nobody was held: one writer in the place of all, as fast as nr_dirtied rose")
    at, dirtied = _dirtied(bundle)
    rose = dirtied - dirtied[:1]
    busy = at[(rose > EDGE * rose[-1]) & (rose < (1 - EDGE) * rose[-1])] if len(at) else at
    if len(busy) < 2 or busy[-1] <= busy[0]:
        raise TraceError(f"{bundle.path}: nobody was held and nr_dirtied is in no sample: nothing says the demand")
    return Demand("writers", int(busy[0]), total, (1 - 2 * EDGE) * total * 1e9 / float(busy[-1] - busy[0]), 0.0)


def _dirtied(bundle: Bundle) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the machine's count of dirtied pages over time: as sampled, else as writers' checks print it."""
    samples = bundle.samples
    sampled = samples.column("nr_dirtied") if samples is not None else None
    if samples is not None and sampled is not None:
        return samples.time_ns, sampled
    assert bundle.events is not None
    rows = bundle.events.frame("global_dirty_state").select("time_ns", "dirtied").drop_nulls().sort("time_ns")
    return rows["time_ns"].to_numpy(), rows["dirtied"].cast(pl.Float64).to_numpy()


def _places(bundle: Bundle) -> tuple[bool, int]:
    """Say whether writes jump about on the device, and over how many bytes."""
    events = bundle.events
    assert events is not None
    rows = written_requests(events, bundle.device)
    mean_kib = float(rows["nr_sector"].sum()) / 2 / max(len(rows), 1)
    if mean_kib > SMALL_KIB or df_requests.missing(events):
        return False, 0
    requests = df_requests(events).filter(
        (pl.col("op") == "write") & (pl.col("nr_sector") > 0)
        & (pl.col("dev").cast(pl.String) == (bundle.device or "").replace(":", ","))
    )  # fmt: skip
    jumps = requests.select((pl.col("seek") != 0).fill_null(False).mean()).item() if len(requests) else 0
    middle = requests["sector"].cast(pl.Int64, strict=False)
    low, high = middle.quantile(0.02, "lower"), middle.quantile(0.98, "higher")
    if not jumps or jumps < RANDOM_SHARE or low is None or high is None:
        return False, 0
    return True, max(int(high - low) * SECTOR_BYTES // CALL_BYTES * CALL_BYTES, CALL_BYTES)


def _ends_synced(bundle: Bundle) -> bool:
    """Say whether a task that is no flusher gave the device the last of its writes: as fsync does."""
    events = bundle.events
    assert events is not None
    if "block_rq_issue" not in events:
        return False
    rows = events.frame("block_rq_issue").filter(
        (pl.col("dev").cast(pl.String) == (bundle.device or "").replace(":", ","))
        & pl.col("rwbs").cast(pl.String).str.contains("^F?WF?S|^FF")
    )
    return len(rows) > 0


def _think_ns(machine: Machine, call: int, rate: float) -> int:
    """Return the pause between two calls for a rate, less what the call itself takes."""
    pages = -(-call // PAGE_BYTES)
    own = machine.syscall_ns + pages * (PAGE_NS + PAGE_BYTES * 1000 // machine.copy_mb_s)
    return max(int(call * 1e9 / rate) - own, 0)
