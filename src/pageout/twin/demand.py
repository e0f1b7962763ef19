# SPDX-License-Identifier: GPL-2.0-or-later
"""What each writer would have dirtied and when, had nobody held it back: from balance_dirty_pages and the counters.

Above free run each check says what its task dirtied since the check before, and how long it then slept. Below, a check
leaves global_dirty_state alone, or nothing: what the machine's counter of dirtied pages rose by, less what is accounted
for, goes to the writers that were looked at meanwhile. Writes to pages that are dirty already are seen by nobody.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pageout.events.tables import Events
from pageout.twin.estimate import Estimate, of_values, segments

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

BIN_NS = 20_000_000
MOSTLY = 0.75  # of looks; where memory is in pieces, some folios are single pages
STEP_S = 0.1  # of a curve that phases are made of
LEAST_PAGES = 8  # of an interval that tells a speed
LEAST_INTERVALS = 8
FREE_SHARE = 0.25  # of intervals without a sleep, those that nothing else held up
STALL_NS = 100_000_000
THINK_NS = 500_000_000  # what a task does of its own will takes longer than what others keep it from
CPU_BOUND = 0.1  # of the CPU's own speed: such a writer only computes
OVER_DEVICE = 2.0  # times what its device takes: such a writer is never let go as it would
MAX_PHASES = 200
FLUSHERS = ("writeback_start", "writeback_written", "writeback_pages_written", "writeback_exec")
ANONYMOUS = -1


@dataclass
class Writer:
    """One task that dirtied pages. Times are ns of the trace; curves rise from 0."""

    pid: int
    comm: str
    device: str | None  # "7:0"; None: it was never looked at above free run
    time_ns: Ints  # moments, in order
    pages: Floats  # dirtied up to each moment
    waited_ns: Floats  # held back up to each moment
    page_ns: Estimate | None  # CPU time it takes for a page
    call_pages: int | None  # pages of one call, where folios tell
    less: float = 0.0  # of its pages, those that may be another's
    more: float = 0.0  # of others' pages, those that may be its own

    @property
    def bytes(self) -> Estimate:
        """Return the bytes it dirtied; what several may have dirtied is in the interval of each."""
        return Estimate(*(4096 * pages for pages in (self.total, self.total - self.less, self.total + self.more)))

    @property
    def total(self) -> float:
        """Return all pages it dirtied."""
        return float(self.pages[-1]) if len(self.pages) else 0.0


@dataclass(frozen=True)
class _Looks:
    """The looks that were taken at a task, in their order."""

    time_ns: Ints
    pages: Floats  # dirtied since the look before; NaN: in free run, not said
    slept_ns: Floats  # what it was told to sleep after this look
    wanted: Floats  # dirtied_pause: pages at which it was to be looked at


def writers_of(
    events: Events, samples: Mapping[str, Any] | None, time_ns: Ints | None, samplers: Iterable[int], tick_ns: int
) -> list[Writer]:
    """Return the writers, those of most pages first; what nobody accounts for is written by one with pid ANONYMOUS.

    samples, time_ns: counters of /proc/vmstat over time, on the trace's clock; samplers: pids that only sampled
    """
    looks = _looks(events, set(samplers))
    points = _counter(events, samples, time_ns)
    found = {pid: _accounted(one, tick_ns) for pid, one in looks.items()}
    if points is not None:
        _share_out(looks, found, points)
    names = _names(events)
    made = [
        _writer(pid, one, looks.get(pid), *names.get(pid, ("writer", None)))
        for pid, one in found.items()
        if one.pages.sum() >= 1
    ]
    return sorted(made, key=lambda one: (-one.total, one.pid))


def _writer(pid: int, one: _Accounted, looks: _Looks | None, comm: str, device: str | None) -> Writer:
    return Writer(
        pid, comm, device, np.append(one.start, one.time), np.append(0.0, np.cumsum(one.pages)),
        np.append(0.0, np.cumsum(one.waited)), _page_ns(looks) if looks is not None else None,
        _call_pages(looks) if looks is not None else None, one.less, one.more,
    )  # fmt: skip


@dataclass
class _Accounted:
    start: int
    time: Ints
    pages: Floats
    waited: Floats
    less: float = 0.0
    more: float = 0.0


def _looks(events: Events, samplers: set[int]) -> dict[int, _Looks]:
    """Bring checks and the states without a check together, task by task."""
    checks = events.frame("balance_dirty_pages").select(
        "line", "time_ns", "pid", pl.col("comm").cast(pl.String), "dirtied", "dirtied_pause", "paused", "pause",
        "period",
    )  # fmt: skip
    checks = checks.with_columns(pl.lit(1).alias("is_check"))
    states = events.frame("global_dirty_state").select("line", "time_ns", "pid", pl.col("comm").cast(pl.String))
    both = pl.concat([checks, states], how="diagonal").sort("pid", "line")
    flushers = {pid for name in FLUSHERS for pid in events.frame(name)["pid"].unique().to_list()}
    others = list(samplers | flushers)
    both = both.filter(~pl.col("pid").is_in(others) & (pl.col("pid") > 0) & ~pl.col("comm").str.starts_with("kworker"))
    found = {}
    for (pid,), rows in both.group_by("pid", maintain_order=True):
        is_check = rows["is_check"].is_not_null().to_numpy()
        followed = np.append(is_check[1:], False)
        keep = is_check | ~followed  # a state that a check follows is of the same look
        found[int(pid)] = _of_task(rows.filter(pl.Series(keep)))
    return found


def _of_task(rows: pl.DataFrame) -> _Looks:
    is_check = rows["is_check"].is_not_null().to_numpy()
    dirtied, paused, pause, period, wanted = (
        rows[name].cast(pl.Float64, strict=False).fill_null(0).to_numpy()
        for name in ("dirtied", "paused", "pause", "period", "dirtied_pause")
    )
    pages = np.where(is_check, np.where(paused > 0, 0.0, dirtied), np.nan)
    # who neither sleeps nor is charged a tick goes on with the same count; whoever slept in this call began anew
    goes_on = is_check & (paused == 0) & (pause <= 0) & (pause > -1000) & (period == 0)
    pages[1:] -= np.where(goes_on[:-1] & is_check[1:], np.minimum(dirtied[:-1], dirtied[1:]), 0.0)
    return _Looks(rows["time_ns"].to_numpy(), pages, np.where(is_check & (pause > 0), pause * 1e6, 0.0), wanted)


def _accounted(looks: _Looks, tick_ns: int) -> _Accounted:
    """What the checks say themselves; how long the task really slept: as told, and late by up to a tick."""
    pages = np.nan_to_num(looks.pages)
    a_page = _page_ns(looks)
    gaps = np.diff(looks.time_ns).astype(np.float64)
    own = np.maximum(gaps - looks.slept_ns[:-1], 0.0)
    work = pages[1:] * (a_page.value if a_page else 0.0)
    slept, over = looks.slept_ns[:-1] > 0, own - work
    # A timer is late by a tick at most. What else kept a task that mostly goes on at once: for a moment, other tasks,
    # which are not played; for long, the kernel, which has its own reasons again.
    goes_on = slept.any() and float(np.median(over[slept])) <= 2 * tick_ns
    late = np.where(slept & (over < THINK_NS), np.clip(over, 0.0, 1.25 * tick_ns), 0.0)
    late = np.where(slept & goes_on & (over > STALL_NS) & (over < THINK_NS), over, late)
    waited = np.minimum(looks.slept_ns[:-1] + late, gaps)
    first = int(looks.time_ns[0] - min(pages[0] * (a_page.value if a_page else 10_000.0), 1e9))
    return _Accounted(first, looks.time_ns, pages, np.append(0.0, waited))


def _page_ns(looks: _Looks) -> Estimate | None:
    """CPU time of a page: of intervals that no sleep is in."""
    gaps, pages = np.diff(looks.time_ns).astype(np.float64), looks.pages[1:]
    free = (looks.slept_ns[:-1] == 0) & (np.nan_to_num(pages) >= LEAST_PAGES) & (gaps > 0)
    if int(free.sum()) < LEAST_INTERVALS:
        return None
    return of_values(gaps[free] / pages[free], 0.05, FREE_SHARE, 0.5)


def _call_pages(looks: _Looks) -> int | None:
    """Pages of one call: since folios, a task is looked at between calls or folios, and dirties whole ones.

    A step shows where a task could have been looked at elsewhere: it was to be, at a number of pages that is no
    multiple of the step, or it was looked at early, because its CPU had dirtied enough.
    """
    which = np.nan_to_num(looks.pages) > 0
    told, wanted = looks.pages[which].astype(np.int64), looks.wanted[which].astype(np.int64)
    for step in (256, 128, 64, 32, 16, 8, 4):
        shows = (told < wanted) | (wanted % step != 0)
        if int(shows.sum()) >= LEAST_INTERVALS and (told[shows] % step == 0).mean() >= MOSTLY:
            return step
    exact = (told == wanted) & (wanted % 2 != 0)
    return 1 if int(exact.sum()) >= LEAST_INTERVALS else None


def _counter(events: Events, samples: Mapping[str, Any] | None, time_ns: Ints | None) -> tuple[Ints, Floats] | None:
    """Return the machine's pages dirtied over time, by events and samples; None where neither says."""
    state = events.frame("global_dirty_state").select("time_ns", "dirtied").drop_nulls()
    times, values = [state["time_ns"].to_numpy()], [state["dirtied"].cast(pl.Float64).to_numpy()]
    column = samples.get("nr_dirtied") if samples is not None else None
    if column is not None and time_ns is not None:
        told = np.isfinite(column)
        times.append(time_ns[told])
        values.append(np.asarray(column)[told])
    at, much = np.concatenate(times), np.concatenate(values)
    if len(at) < 2:
        return None
    order = np.argsort(at, kind="stable")
    return at[order], np.maximum.accumulate(much[order] - much[order][0])


def _share_out(looks: dict[int, _Looks], found: dict[int, _Accounted], points: tuple[Ints, Floats]) -> None:
    """Give what the counter rose by, less what checks account for, to who was looked at in free run meanwhile."""
    start, end = int(points[0][0]), int(points[0][-1])
    edges = np.arange(start, end + 2 * BIN_NS, BIN_NS)
    nr = len(edges) - 1
    rest = np.diff(np.interp(edges, points[0], points[1]))
    free: dict[int, Floats] = {}
    for pid, one in looks.items():
        before = np.append(found[pid].start, one.time_ns[:-1])
        for low, high, pages in zip(before.tolist(), one.time_ns.tolist(), one.pages.tolist(), strict=True):
            first, last = (min(max((at - start) // BIN_NS, 0), nr - 1) for at in (low, high))
            if pages != pages:
                free.setdefault(pid, np.zeros(nr))[first : last + 1] += 1.0 / (last + 1 - first)
            elif pages > 0:
                rest[first : last + 1] -= pages / (last + 1 - first)
    rest = _settled(rest)
    given = sum(free.values(), np.zeros(nr))
    for pid, weights in free.items():
        share = rest * np.divide(weights, given, out=np.zeros(nr), where=given > 0)
        _add(found[pid], edges, share)
        others = np.where(weights > 0, rest - share, 0.0)
        found[pid].less, found[pid].more = float(share[others > 0].sum()), float(others.sum())
    left = np.where(given > 0, 0.0, rest)
    _leave(found, edges, left)


def _settled(rest: Floats) -> Floats:
    """What the checks run ahead of the counter, kept a CPU, is taken off what comes after, or before."""
    total = np.maximum.accumulate(np.cumsum(rest))
    ahead = np.minimum.accumulate(np.cumsum(rest)[::-1])[::-1]
    smooth = np.maximum.accumulate(np.maximum(np.minimum(total, ahead), 0.0))
    return np.diff(smooth, prepend=0.0)


def _add(one: _Accounted, edges: Ints, share: Floats) -> None:
    wanted = share > 0
    if not wanted.any():
        return
    time = np.concatenate((one.time, edges[1:][wanted]))
    order = np.argsort(time, kind="stable")
    one.pages = np.concatenate((one.pages, share[wanted]))[order]
    one.waited = np.concatenate((one.waited, np.zeros(int(wanted.sum()))))[order]
    one.time = time[order]
    one.start = min(one.start, int(edges[:-1][wanted][0]))


def _leave(found: dict[int, _Accounted], edges: Ints, left: Floats) -> None:
    """What is left: a last writer's that was not looked at again, or where nobody is known, of one without a name."""
    known = float(sum(one.pages.sum() for one in found.values()))
    if left.sum() < max(64.0, 0.01 * known):
        return
    lasts = {pid: int(one.time[-1]) for pid, one in found.items() if len(one.time) and one.pages.sum() > 0.01 * known}
    for pid, last in lasts.items():
        after = (edges[1:] > last) & (edges[:-1] < last + 1_000_000_000)
        _add(found[pid], edges, np.where(after, left, 0.0) / len(lasts))
        left = np.where(after, left * (1 - 1 / len(lasts)), left)
    if left.sum() >= max(256.0, 0.01 * known):
        nobody = _Accounted(int(edges[0]), np.zeros(0, np.int64), np.zeros(0), np.zeros(0))
        nobody.start = int(edges[:-1][left > 0][0])
        found[ANONYMOUS] = nobody
        _add(nobody, edges, left)
        nobody.less = float(left.sum())


def _names(events: Events) -> dict[int, tuple[str, str | None]]:
    """Return comm and device of each task; the device of most of its checks."""
    found: dict[int, tuple[str, str | None]] = {}
    states = events.frame("global_dirty_state").select("pid", pl.col("comm").cast(pl.String))
    for pid, comm in states.unique().sort("pid", "comm").iter_rows():
        found[pid] = comm or "writer", None
    checks = events.frame("balance_dirty_pages").select("pid", pl.col("comm", "bdi").cast(pl.String))
    for pid, comm, bdi, _ in checks.group_by("pid", "comm", "bdi").len().sort("len", "bdi").iter_rows():
        found[pid] = comm or "writer", bdi
    return found


# Phases


@dataclass(frozen=True)
class Stretch:
    """Pages asked for from `start_s` to `end_s` of a clock; rate None: as fast as the CPU lets it."""

    start_s: float
    end_s: float
    pages: float
    rate: float | None  # pages a second


def stretches(
    writer: Writer, start_ns: int, cpu_page_ns: float | None, device_rate: float | None = None
) -> tuple[str, list[Stretch]]:
    """Return the clock a writer goes by, and its demand as few stretches of like rate.

    own: it goes on when its call returns, so that time it was held does not count; clock: it keeps to the clock.
    cpu_page_ns: CPU time of a page for a writer that does not tell its own
    device_rate: pages a second its device takes. Who asks for much more is as fast as his CPU lets him: what else kept
    him between two checks was the kernel, at work on what he had written.
    """
    a_page = writer.page_ns.value if writer.page_ns is not None else cpu_page_ns
    bounds = [CPU_BOUND * 1e9 / a_page] if a_page else []
    bounds += [OVER_DEVICE * device_rate] if device_rate else []
    bound = min(bounds, default=None)  # pages a second; beyond, nothing but the CPU holds the writer
    wall = (writer.time_ns - start_ns) / 1e9
    own = wall - writer.waited_ns / 1e9
    held = float(writer.waited_ns[-1]) / 1e9 if len(writer.waited_ns) else 0.0
    clock = "own"
    if held <= 0.02 * max(wall[-1] - wall[0], 1e-9) or _is_steadier(wall, own, writer.pages, bound):
        clock = "clock"
    time = np.maximum.accumulate(own if clock == "own" else wall)
    pieces: list[Stretch] = []
    for first, last in _bursts(time):
        times, pages = _coarser(time[first : last + 1], writer.pages[first : last + 1])
        straight = segments(times, pages, max(writer.total * 0.02, 256.0), MAX_PHASES)
        pieces += [_stretch(*piece, bound) for piece in straight]
    return clock, _joined(pieces)


def _bursts(time: Floats) -> list[tuple[int, int]]:
    """Return (first, last) points of the stretches between which the writer rests."""
    rests = np.flatnonzero(np.diff(time) > max(THINK_NS / 1e9, 0.02 * float(time[-1] - time[0])))
    edges = [-1, *rests.tolist(), len(time) - 1]
    # the pages of the point after a rest were dirtied at its end: the burst begins at the rest's last moment
    return [(max(before, 0), last) for before, last in pairwise(edges) if last > max(before, 0)]


def _coarser(time: Floats, pages: Floats) -> tuple[Floats, Floats]:
    """Return the curve at steps of time; a rest before its first rise is cut down to nothing."""
    if len(time) > 1 and time[1] - time[0] > THINK_NS / 1e9:
        time = time.copy()
        time[0] = time[1] - 1e-6
    steps = int((time[-1] - time[0]) // STEP_S)
    if steps < 2:
        return time[[0, -1]], pages[[0, -1]]
    at = np.linspace(time[0], time[-1], steps + 1)
    return at, np.interp(at, time, pages)


def _joined(pieces: list[Stretch]) -> list[Stretch]:
    """Join neighbours that both go as fast as they can."""
    found: list[Stretch] = []
    for one in pieces:
        last = found[-1] if found else None
        if last is not None and last.rate is None and one.rate is None and one.start_s - last.end_s < THINK_NS / 1e9:
            found[-1] = Stretch(last.start_s, one.end_s, last.pages + one.pages, None)
        else:
            found.append(one)
    least = 0.002 * sum(one.pages for one in found)
    return [one for one in found if one.pages > least]


def _stretch(start: float, end: float, pages: float, bound: float | None) -> Stretch:
    rate = pages / max(end - start, 1e-9)
    is_free = rate > bound if bound is not None else end - start < 1e-6
    return Stretch(start, end, pages, None if is_free else rate)


def _is_steadier(wall: Floats, own: Floats, pages: Floats, bound: float | None) -> bool:
    """Is the writer's rate by the clock on the wall steadier than by its own, and it not as fast as the CPU?"""
    span = max(float(own[-1] - own[0]), 1e-9)
    if bound is not None and pages[-1] / span > bound:
        return False
    by_wall, by_own = (_variation(time, pages) for time in (wall, own))
    return by_wall < 0.15 and by_wall < by_own


def _variation(time: Floats, pages: Floats) -> float:
    time = np.maximum.accumulate(time)
    edges = np.linspace(time[0], time[-1], max(int((time[-1] - time[0]) // 1.0), 4) + 1)
    rates = np.diff(np.interp(edges, time, pages))
    return float(rates.std() / rates.mean()) if rates.mean() > 0 else np.inf
