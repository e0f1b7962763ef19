# SPDX-License-Identifier: GPL-2.0-or-later
"""Traces of throttling since 3.2: who is held back at which limit, and why the limit is where it is.

Source: Linux v6.1 mm/page-writeback.c:balance_dirty_pages, wb_position_ratio.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from pageout.analysis.block import df_requests
from pageout.analysis.writeback import df_bdi_rates, df_dirty_state, df_dirty_throttle, df_inodes, df_throttle_totals
from pageout.diagnose.case import Case
from pageout.diagnose.findings import ERROR, HIGH, INFO, LOW, MEDIUM, WARNING, Evidence, Finding
from pageout.diagnose.trace_words import (
    NS,
    Row,
    holes_unknown,
    lines,
    number,
    rows_of,
    seconds,
    tasks,
    total,
    unnoticed,
    window_s,
)
from pageout.diagnose.words import bytes_text, pages_text, percent, seconds_text

if TYPE_CHECKING:
    from pageout.events.tables import Events

PAGE, KIB = 4096, 1024
ROOT_CGROUP = ("1", "/", "None")
SMALL_LIMIT_PAGES = 16384  # 64 MiB: below it a limit is hardly a machine's own
HARD_PAUSE_MS = 200
STUCK_MS = 1000  # in one call: five full pauses, and still above the limit
LONG_DRAIN_S = 10.0


class _Held(NamedTuple):
    """Writers of one device and cgroup that were told to sleep."""

    file: str
    events: Events
    bdi: str
    cgroup: str | None
    checks: pl.DataFrame  # all of them, df_dirty_throttle
    pauses: pl.DataFrame  # those with a sleep

    @property
    def asked_ns(self) -> float:
        return total(self.pauses, "asked_ns")

    @property
    def disk(self) -> str:
        return f"device {self.bdi}"


def held_back(case: Case) -> Iterator[Finding]:
    """Writers that sleep in balance_dirty_pages, by device and cgroup: what limit they met."""
    for file, events in case.traces():
        checks = df_dirty_throttle.or_none(events)
        if checks is None:
            continue
        pauses = checks.filter(pl.col("asked_ns") > 0)
        if pauses.is_empty():
            yield _never(file, events, checks)
            continue
        groups = pauses.group_by("bdi", "cgroup").agg(pl.col("asked_ns").sum()).sort("asked_ns", descending=True)
        held = [_held(file, events, row, checks, pauses) for row in rows_of(groups, 4)]
        whole_ns = sum(one.asked_ns for one in held)
        if unnoticed(pauses, events):
            yield _short(file, events, checks, pauses, whole_ns)
            continue
        yield from (_of_device(one, case) for one in held if one.asked_ns > 0.05 * whole_ns)
        yield from _starving(file, events, held)


def _held(file: str, events: Events, row: Row, checks: pl.DataFrame, pauses: pl.DataFrame) -> _Held:
    bdi = row["bdi"]  # None: a line cut before it was said
    same = pl.col("bdi").eq_missing(pl.lit(bdi)) & pl.col("cgroup").eq_missing(pl.lit(row["cgroup"]))
    return _Held(
        file, events, "(not said)" if bdi is None else str(bdi), row["cgroup"], checks.filter(same), pauses.filter(same)
    )


def _never(file: str, events: Events, checks: pl.DataFrame) -> Finding:
    wrapped = int(checks["wrapped"].sum())
    return Finding(
        id="dirty-limit-not-the-stall",
        severity=INFO,
        title=f"writers were checked {len(checks):,} times at the dirty limit and never told to sleep",
        detail=_wrapped_words(wrapped)
        + "If they stall, they stall elsewhere: reclaim, the journal, the device's queue, reading.",
        confidence=HIGH if not wrapped else MEDIUM,
        why="each check prints the pause it takes",
        evidence=lines(file, checks, 3),
        is_not=(f"the dirty limits: none of {len(checks):,} checks asked for a pause ({file}:{checks['line'][0]})",),
        unknown=("what else the writers wait for", *holes_unknown(events)),
        capture=("blocked", "reclaim", "block"),
    )


def _short(file: str, events: Events, checks: pl.DataFrame, pauses: pl.DataFrame, whole_ns: float) -> Finding:
    by_task = df_throttle_totals(events, ("comm", "pid"))
    worst = rows_of(by_task, 1)[0]
    wrapped = int(checks["wrapped"].sum())
    dirty = checks.filter(pl.col("dirty") == pl.col("dirty").max())
    return Finding(
        id="dirty-limit-not-the-stall",
        severity=INFO,
        title=f"balance_dirty_pages costs little here: {seconds(whole_ns)} in all, {seconds(worst['asked_ns'])} of the most delayed task",
        detail=(
            f"{len(checks):,} checks of {checks['pid'].n_unique()} tasks, {len(pauses):,} with a pause. {_wrapped_words(wrapped)}"
            "A stall of tenths of a second and more is elsewhere: loading the program, allocating memory, reading, the journal."
        ),
        confidence=MEDIUM,
        why="pauses are printed before they are taken; what happens between the shown lines is not in the file",
        evidence=lines(file, pauses.sort("asked_ns", descending=True), 3) + lines(file, dirty, 1),
        is_not=(
            f"the dirty limits: all pauses of {len(checks):,} checks add up to {seconds(whole_ns)} ({file}:{pauses['line'][0]})",
        ),
        unknown=("what the tasks did outside balance_dirty_pages", *holes_unknown(events)),
        capture=("blocked", "reclaim", "block"),
        weight=whole_ns / NS,
    )


def _wrapped_words(wrapped: int) -> str:
    if not wrapped:
        return ""
    return f"{wrapped} of them print times that wrapped around (pause or think beyond 2^31 ms): these say nothing and are not counted. "


def _of_device(held: _Held, case: Case) -> Finding:
    last = rows_of(held.pauses.tail(1), 1)[0]
    if _strict(held):
        return _strictlimit(held)
    if held.cgroup is not None and held.cgroup not in ROOT_CGROUP:
        if _far_below_global(held):
            return _cgroup_limit(held)
        if 0 < _levels(held)[2] < SMALL_LIMIT_PAGES:
            return _small_cgroup_limit(held)
    if number(held.pauses["paused"].max()) >= STUCK_MS and _mostly_hard(held):
        return _hard_limit(held, last)
    return _normal(held, case, last)


def _levels(held: _Held) -> tuple[float, float, float]:
    """Return the medians of dirty, setpoint and limit in pages."""
    return tuple(number(held.pauses[name].median()) for name in ("dirty", "setpoint", "limit"))  # type: ignore[return-value]


def _strict(held: _Held) -> bool:
    """A rate of nothing, or a share of nothing for the device, while the machine is far below its setpoint."""
    dirty, setpoint, _ = _levels(held)
    rate, share = held.pauses["task_ratelimit"].median(), held.pauses["bdi_setpoint"].median()
    starved = rate is not None and number(rate) <= 64
    no_share = share is not None and number(share) < 0.01 * max(setpoint, 1)
    return setpoint > 0 and dirty < 0.5 * setpoint and (starved or no_share)


def _strictlimit(held: _Held) -> Finding:
    dirty, _, limit = _levels(held)
    share, mine = (number(held.pauses[name].median()) for name in ("bdi_setpoint", "bdi_dirty"))
    rate = number(held.pauses["task_ratelimit"].median())
    seen = held.pauses.filter(pl.col("seen_ns").is_not_null())
    each = number(seen["seen_ns"].median())
    return Finding(
        id="device-dirty-limit",
        severity=WARNING,
        title=f"writers of {held.disk} are held back by that device's own share of the limit, {pages_text(share)}, not by the machine's",
        detail=(
            f"The machine has {pages_text(dirty)} dirty of {pages_text(limit)} allowed; the device's setpoint is {pages_text(share)} "
            f"and it holds {pages_text(mine)}. The rate given to a writer is {bytes_text(rate * KIB)}/s: a page or so a pause"
            + (f", {seconds(each)} each" if each else "") + ". This is what strictlimit (FUSE mounts, strict_limit of the bdi) or a small max_ratio does: "
            "the share follows how much the device wrote lately, and falls to nothing when it was idle."
        ),
        confidence=HIGH if share == 0 or rate == 0 else MEDIUM,
        why="task_ratelimit and the device's setpoint are near zero while the machine's level is far below its setpoint",
        evidence=lines(held.file, held.pauses, 4),
        is_not=(f"vm.dirty_ratio or vm.dirty_bytes: {pages_text(dirty)} dirty is {percent(dirty, limit)} of the limit ({held.file}:{held.pauses['line'][0]})",),
        unknown=("the device's max_ratio, min_ratio and strict_limit (/sys/class/bdi)", *holes_unknown(held.events)),
        capture=("settings", "throttle"),
        advice=(
            f"look at /sys/class/bdi/{held.bdi}/{{max_ratio,min_ratio,strict_limit}}; min_ratio 1 gives it a share even after idling",
            "kernels from 6.14 on keep a small share for devices that were quiet",
        ),
        weight=held.asked_ns / NS,
        covers=("dirty-limit-throttling",),
    )  # fmt: skip


def _far_below_global(held: _Held) -> bool:
    state = df_dirty_state.or_none(held.events)
    if state is None:
        return False
    dirty, _, _ = _levels(held)
    return number(state["thresh"].median()) > 3 * max(dirty, 1)


def _cgroup_limit(held: _Held) -> Finding:
    dirty, setpoint, _ = _levels(held)
    state = df_dirty_state(held.events)
    whole = number(state["thresh"].median())
    return Finding(
        id="memcg-dirty-limit",
        severity=WARNING,
        title=f"writers of cgroup {held.cgroup} are held back by their cgroup's share of the dirty limit, {pages_text(setpoint)}",
        detail=(
            f"They have {pages_text(dirty)} dirty; the machine's own limit is {pages_text(whole)}. The share is vm.dirty_ratio of what "
            "the cgroup may still use below memory.max and memory.high: a cgroup full of other memory has little left to dirty. "
            f"Asked to sleep {seconds(held.asked_ns)} in all: {tasks(held.pauses, 'asked_ns')}."
        ),
        confidence=MEDIUM,
        why="the event names a cgroup and its level is far below the machine's",
        evidence=lines(held.file, held.pauses.sort("asked_ns", descending=True), 3) + lines(held.file, state, 1),
        is_not=(f"the machine's dirty limit: {pages_text(whole)} ({held.file}:{state['line'][0]})",),
        unknown=("the cgroup's memory.max and memory.high", *holes_unknown(held.events)),
        capture=("cgroup", "throttle"),
        advice=("raise memory.high or memory.max of the cgroup, or write less at once in it",),
        weight=held.asked_ns / NS,
    )


def _small_cgroup_limit(held: _Held) -> Finding:
    """The limit printed is too small to be a machine's, and the event names a cgroup."""
    dirty, _, limit = _levels(held)
    return Finding(
        id="memcg-dirty-limit",
        severity=WARNING if dirty >= limit else INFO,
        title=f"writers of cgroup {held.cgroup} are held back at a limit of {pages_text(limit)}, most likely their cgroup's own",
        detail=(
            f"They have {pages_text(dirty)} dirty. A cgroup may dirty vm.dirty_ratio of what it may still use below memory.max and memory.high: "
            f"full of other memory it has little left. Asked to sleep {seconds(held.asked_ns)} in all: {tasks(held.pauses, 'asked_ns')}."
        ),
        confidence=LOW,
        why="the event names a cgroup and the limit is smaller than any machine's own; the machine's limit is not in the trace",
        evidence=lines(held.file, held.pauses.sort("asked_ns", descending=True), 3),
        unknown=("the machine's limit: global_dirty_state", "the cgroup's memory.max and memory.high", *holes_unknown(held.events)),
        capture=("cgroup", "throttle"),
        advice=("if it is the cgroup's: raise its memory.high or memory.max, or write less at once in it",),
        weight=held.asked_ns / NS,
    )  # fmt: skip


def _mostly_hard(held: _Held) -> bool:
    over = held.pauses.filter(pl.col("dirty") >= pl.col("limit"))
    return total(over, "asked_ns") > 0.3 * held.asked_ns


def _hard_limit(held: _Held, last: Row) -> Finding:
    dirty, _, limit = _levels(held)
    worst = held.pauses.sort("paused", descending=True)
    return Finding(
        id="dirty-hard-limit",
        severity=ERROR,
        title=f"writers of {held.disk} stand at the hard dirty limit: {pages_text(dirty)} dirty of {pages_text(limit)}, up to {worst['paused'][0]:,} ms in one call",
        detail=(
            f"They loop in {HARD_PAUSE_MS} ms pauses until pages get clean ({tasks(held.pauses, 'asked_ns')}). Either a device hardly writes, "
            "or the limit fell below what was dirty already because memory was taken by others. "
            + _share_words(held, last)
        ).strip(),
        confidence=MEDIUM,
        why="dirty is at or above the limit in the events, and tasks were paused before in the same call",
        evidence=lines(held.file, worst, 4),
        is_not=("reclaim: these tasks wait in write(), not for memory",),
        unknown=("whether the device completes requests at all", *holes_unknown(held.events)),
        capture=("device", "counters", "block"),
        advice=(
            f"find the slow device (bdi_dirty large); cap its share: echo 5 > /sys/class/bdi/{held.bdi}/max_ratio",
        ),
        weight=held.asked_ns / NS + 5,
        covers=("dirty-limit-throttling",),
    )


def _share_words(held: _Held, last: Row) -> str:
    if last["bdi_dirty"] is None or not last["dirty"]:
        return ""
    share = last["bdi_dirty"] / last["dirty"]
    return f"{held.disk} holds {share:.0%} of it. " if share < 0.5 else ""


class _Bandwidth(NamedTuple):
    """What a device takes, KiB/s, by what, and the line that says it."""

    kib_s: float
    by: str
    evidence: Evidence


def _bandwidth(held: _Held) -> _Bandwidth | None:
    """Return what the device was seen to take; else what the kernel believed last (it begins at 100 MiB/s)."""
    requests = df_requests.or_none(held.events)
    if requests is not None:
        same = pl.col("dev").cast(pl.String).str.replace(",", ":", literal=True) == held.bdi
        done = requests.filter(same & (pl.col("op") == "write") & pl.col("time_ns_end").is_not_null())
        span_s = (number(done["time_ns_end"].max()) - number(done["time_ns"].min())) / NS if len(done) else 0.0
        if len(done) >= 20 and span_s > 0.5:
            kib = total(done, "nr_sector") / 2 / span_s
            return _Bandwidth(kib, "by its requests", Evidence(held.file, int(done["line"][0])))
    rates = df_bdi_rates.or_none(held.events)
    if rates is not None:
        mine = rates.filter(pl.col("bdi").cast(pl.String) == held.bdi)
        if len(mine):
            return _Bandwidth(
                number(mine["awrite_bw"][-1]),
                "by the kernel's last estimate",
                Evidence(held.file, int(mine["line"][-1])),
            )
    return None


def _normal(held: _Held, case: Case, last: Row) -> Finding:
    dirty, setpoint, limit = _levels(held)
    found = _bandwidth(held)
    bandwidth = found.kib_s if found is not None else None
    drain_s = dirty * PAGE / (bandwidth * KIB) if bandwidth else None
    slow = drain_s is not None and drain_s > LONG_DRAIN_S
    rate = number(held.pauses["task_ratelimit"].median())
    writers = held.pauses["pid"].n_unique()
    worst = number(held.pauses["asked_ns"].max())
    title = f"{writers} writer{'s' if writers > 1 else ''} of {held.disk} {'are' if writers > 1 else 'is'} held back at the dirty limit: {seconds(held.asked_ns)} in all, up to {seconds(worst)} a time"
    detail = f"More is written than the device takes{f' ({bytes_text(found.kib_s * KIB)}/s {found.by})' if found is not None else ''}: {tasks(held.pauses, 'asked_ns')}. "
    detail += f"Dirty and under writeback: {pages_text(dirty)}, setpoint {pages_text(setpoint)}{_limit_words(limit)}; a writer is given {bytes_text(rate * KIB)}/s. "
    if drain_s is not None:
        detail += f"To write what is dirty takes {seconds_text(drain_s)}: a sync started now lasts about that long, and a power cut loses that much. "
    detail += _fell(held) + _near_background(held)
    return Finding(
        id="dirty-limit-throttling",
        severity=WARNING if held.asked_ns > 0.2 * max(window_s(held.events), 1.0) * NS else INFO,
        title=title + ("; a high limit for it" if slow else ""),
        detail=detail.strip(),
        confidence=HIGH if bandwidth else MEDIUM,
        why="pauses, levels and limits are printed with each check" + ("" if bandwidth else "; the device's bandwidth is not recorded"),
        evidence=lines(held.file, held.pauses.sort("asked_ns", descending=True), 3) + ((found.evidence,) if found is not None else ()),
        is_not=_not_reclaim(held.events),
        unknown=(*(("the device's bandwidth: bdi_dirty_ratelimit is not in the trace",) if not bandwidth else ()), *holes_unknown(held.events)),
        capture=("throttle", "block") if not bandwidth else ("block",),
        advice=_advice(held, bandwidth, dirty, limit, slow),
        weight=held.asked_ns / NS,
    )  # fmt: skip


def _fell(held: _Held) -> str:
    """Say that the limits themselves went down: they are shares of memory that others may take."""
    state = df_dirty_state.or_none(held.events)
    if state is None or state.is_empty():
        return ""
    highest, lowest = number(state["thresh"].max()), number(state["thresh"].min())
    if lowest <= 0 or highest < 1.3 * lowest:
        return ""
    return (
        f"The limit itself moved between {pages_text(lowest)} and {pages_text(highest)}: it is a share of the memory that is free "
        "or clean cache, so it falls when tasks take memory. "
    )


def _limit_words(limit: float) -> str:
    return f", limit {pages_text(limit)}" if limit else ""


def _near_background(held: _Held) -> str:
    state = df_dirty_state.or_none(held.events)
    if state is None or state.is_empty():
        return ""
    row = rows_of(state.tail(1), 1)[0]
    if row["thresh"] and row["bg_thresh"] > 0.8 * row["thresh"]:
        return (
            f"The background threshold ({pages_text(row['bg_thresh'])}) is close to the limit ({pages_text(row['thresh'])}): flushers start "
            "when writers are already being held back. "
        )
    return ""


def _not_reclaim(events: Events) -> tuple[str, ...]:
    if "mm_vmscan_direct_reclaim_begin" in events:
        return ()
    return ("direct reclaim, as far as was recorded: the trace has none",)


def _advice(held: _Held, bandwidth: float | None, dirty: float, limit: float, slow: bool) -> tuple[str, ...]:
    said = ["sustained writing cannot be faster than the device: raising vm.dirty_* only moves the wall"]
    if bandwidth and slow:
        one_s = int(bandwidth * KIB)
        said.append(
            f"for shorter syncs and less at risk: vm.dirty_bytes={_round(2 * one_s)} vm.dirty_background_bytes={_round(one_s)} "
            f"(2 s and 1 s of this device; bursts above {bytes_text(_round(2 * one_s))} then wait sooner; now the limit is {pages_text(limit)})"
        )
    return tuple(said)


def _round(nbytes: int) -> int:
    """Return a size as a whole number of MiB, at least 1."""
    return max(1, round(nbytes / (1 << 20))) << 20


def _of_cgroup(held: _Held) -> bool:
    """The levels printed may be a cgroup's own, which says nothing of other devices."""
    return held.cgroup is not None and held.cgroup not in ROOT_CGROUP and 0 < _levels(held)[2] < SMALL_LIMIT_PAGES


def _starving(file: str, events: Events, held: list[_Held]) -> Iterator[Finding]:
    """Writers of a device with little dirty wait because another device holds most of it."""
    for one in held:
        last = one.pauses.filter(pl.col("bdi_dirty").is_not_null())
        if last.is_empty():
            continue
        mine, all_of_it = number(last["bdi_dirty"].median()), number(last["dirty"].median())
        others = [other for other in held if other.bdi != one.bdi]
        if all_of_it < 1 or mine > 0.2 * all_of_it or _strict(one) or _of_cgroup(one):
            continue
        holder = max(others, key=lambda other: number(other.pauses["bdi_dirty"].median()), default=None)
        yield Finding(
            id="slow-device-starves-others",
            severity=ERROR if one.asked_ns > 0.2 * max(window_s(events), 10.0) * NS else WARNING,
            title=f"writers of {one.disk} wait although it holds only {percent(mine, all_of_it)} of the dirty pages"
            + (f": {holder.disk} holds {percent(number(holder.pauses['bdi_dirty'].median()), all_of_it)}" if holder is not None else ": another device holds the rest"),
            detail=(
                "The limit is one for all devices. A slow device fills it, and whoever writes anywhere is held back. "
                f"{tasks(one.pauses, 'asked_ns')} were asked to sleep {seconds(one.asked_ns)}."
            ),
            confidence=MEDIUM if holder is not None else LOW,
            why="the events print the device's own dirty pages beside all of them",
            evidence=lines(file, last.sort("asked_ns", descending=True), 3) + (lines(file, holder.pauses, 2) if holder is not None else ()),
            is_not=(f"{one.disk} being slow: it has little to write",),
            unknown=(*(() if holder is not None else ("which device holds the rest: its writers are not in the trace",)), *holes_unknown(events)),
            capture=("throttle", "device"),
            advice=(f"cap the slow device's share: echo 5 > /sys/class/bdi/{holder.bdi if holder is not None else 'MAJ:MIN'}/max_ratio (and strict_limit 1, from 6.2 on)",),
            weight=one.asked_ns / NS,
            covers=("dirty-limit-throttling",) if len(held) == 1 else (),
        )  # fmt: skip


# --- levels and inodes ---


def healthy(case: Case) -> Iterator[Finding]:
    """Writeback at work, and nobody held back: say so."""
    for file, events in case.traces():
        state = df_dirty_state.or_none(events)
        if state is None or state.is_empty() or "balance_dirty_pages" in events or "balance_dirty_wait" in events:
            continue
        highest = state.sort("fill", descending=True, nulls_last=True)
        row = rows_of(highest, 1)[0]
        if row["fill"] is None or bool(state["over_freerun"].any()):
            continue
        inodes = df_inodes.or_none(events)
        wrote = total(inodes, "wrote") if inodes is not None else None
        background = "below" if not bool(state["over_background"].any()) else "above"
        yield Finding(
            id="writeback-healthy",
            severity=INFO,
            title=f"writeback looks healthy: at most {pages_text(row['held'])} dirty or under writeback, of {pages_text(row['thresh'])} allowed",
            detail=f"That is {background} the background threshold ({pages_text(row['bg_thresh'])}); writers are held back from {pages_text(row['freerun'])} on."
            + (f" {len(inodes)} inode{'s' if len(inodes) > 1 else ''} written, {pages_text(wrote)}." if inodes is not None and wrote is not None else ""),
            confidence=HIGH if len(state) > 10 else MEDIUM,
            why=f"{len(state):,} readings of the levels, none near the limit",
            evidence=lines(file, highest, 2),
            is_not=(f"the dirty limits: the level never came near them ({file}:{row['line']})",),
            unknown=("whether anything stalls outside writeback", *holes_unknown(events)),
            capture=("blocked", "reclaim"),
        )  # fmt: skip


RULES: tuple[Callable[[Case], Iterator[Finding]], ...] = (held_back, healthy)
