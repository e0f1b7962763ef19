# SPDX-License-Identifier: GPL-2.0-or-later
"""Traces of kernels until 3.1: a writer over the dirty limit writes pages itself, and sleeps, until the level falls.

Source: Linux v2.6.34..v3.1 mm/page-writeback.c:balance_dirty_pages.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from pageout.analysis.block import df_device_load
from pageout.analysis.reclaim import df_direct_reclaim, df_lru, df_reclaim_writes
from pageout.analysis.reclaim_steps import df_limit_waits
from pageout.analysis.writeback import df_dirty_state
from pageout.diagnose.case import Case
from pageout.diagnose.findings import HIGH, INFO, LOW, MEDIUM, WARNING, Evidence, Finding
from pageout.diagnose.trace_words import (
    NS,
    SHORT_NS,
    Row,
    holes_unknown,
    lines,
    number,
    rows_of,
    seconds,
    task,
    tasks,
    total,
    window_s,
)
from pageout.diagnose.words import bytes_text, counted, pages_text, percent, times

if TYPE_CHECKING:
    from pageout.events.tables import Events

BUSY, IDLE = 0.8, 0.5


class _Device(NamedTuple):
    """A device whose writers were held back; busy: share of the time it had requests, None if not recorded."""

    bdi: str
    waits: pl.DataFrame
    busy: float | None
    written_bytes: float

    @property
    def longest_ns(self) -> float:
        return number(self.waits["asleep_ns"].max())


def held_back(case: Case) -> Iterator[Finding]:
    """Writers that wrote for themselves and slept at the limit, by device."""
    for file, events in case.traces():
        waits = df_limit_waits.or_none(events)
        if waits is None or waits.is_empty() or "balance_dirty_pages" in events:
            continue
        window = max(window_s(events), 1e-3)
        devices = _devices(events, waits, window)
        yield _finding(file, events, waits, devices, window)
        yield from _starved(file, waits, devices, window)


def _devices(events: Events, waits: pl.DataFrame, window: float) -> list[_Device]:
    load = df_device_load.or_none(events)
    rows = {str(row["dev"]).replace(",", ":"): row for row in rows_of(load, 1000)} if load is not None else {}
    found = []
    for bdi in waits["bdi"].cast(pl.String).unique(maintain_order=True).to_list():
        row = rows.get(bdi)
        busy = row["busy_ns"] / NS / window if row is not None else None
        mine = waits.filter(pl.col("bdi").cast(pl.String) == bdi)
        found.append(_Device(bdi, mine, busy, row["written_bytes"] if row is not None else 0.0))
    return found


def _finding(file: str, events: Events, waits: pl.DataFrame, devices: list[_Device], window: float) -> Finding:
    asleep, worst = total(waits, "asleep_ns"), rows_of(waits, 1)[0]
    unnoticed = worst["asleep_ns"] < SHORT_NS
    known = [device for device in devices if device.busy is not None]
    all_busy = len(known) == len(devices) and all((device.busy or 0) >= BUSY for device in known)
    detail = [
        _until_3_1(waits),
        f"Most: {tasks(waits, 'asleep_ns')}." if len(waits) > 1 else "",
        _load_words(known, window),
        "Each of them is busy: nobody is held back for another device's sake." if all_busy and len(devices) > 1 else "",
        "More is written than the device takes." if all_busy and len(devices) == 1 else "",
        _level(events),
    ]
    return Finding(
        id="dirty-limit-not-the-stall" if unnoticed else "dirty-limit-throttling",
        severity=WARNING if not unnoticed and asleep > 0.2 * window * NS else INFO,
        title=_title(waits, devices, asleep, worst) if not unnoticed else (
            f"the dirty limit costs little here: {seconds(asleep)} at most, {seconds(worst['asleep_ns'])} of {task(worst)}"
        ),
        detail=" ".join(one for one in detail if one),
        confidence=HIGH if all_busy else MEDIUM,
        why="each wait is in the trace; it lasts at most until the task's next event" + ("" if known else "; what the device did is not recorded"),
        evidence=lines(file, waits, 4) + _level_line(file, events),
        is_not=_not_reclaim(file, events),
        unknown=("how long each wait was to the millisecond", *holes_unknown(events)),
        capture=("throttle", "block") if not known else ("device", "settings"),
        advice=("sustained writing cannot be faster than the device: raising vm.dirty_* only moves the wall",) if not unnoticed else (),
        weight=asleep / NS,
        covers=("writeback-healthy",),
    )  # fmt: skip


def _until_3_1(waits: pl.DataFrame) -> str:
    wrote = f"{times(int(total(waits, 'wrote')))}, {seconds(total(waits, 'writing_ns'))}"
    return f"Before 3.2 a writer over the limit writes pages itself ({wrote}) and sleeps until the level falls."


def _title(waits: pl.DataFrame, devices: list[_Device], asleep: float, worst: Row) -> str:
    where = f"device {devices[0].bdi}" if len(devices) == 1 else counted(len(devices), "device")
    held = f"{counted(len(waits), 'writer')} of {where} {'was' if len(waits) == 1 else 'were'} held back at the dirty limit"
    most = f", most {task(worst)} ({seconds(worst['asleep_ns'])})" if len(waits) > 1 else ""
    return f"{held}, {seconds(asleep)}{' in all' if len(waits) > 1 else ''}{most}"


def _load_words(known: list[_Device], window: float) -> str:
    told = [
        f"{device.bdi} takes {bytes_text(device.written_bytes / window)}/s and is busy {device.busy:.0%} of the time"
        for device in known[:4]
        if device.busy is not None
    ]
    return f"Device {'; '.join(told)}." if told else ""


def _level(events: Events) -> str:
    state = df_dirty_state.or_none(events)
    if state is None or state.is_empty():
        return ""
    row = rows_of(state.sort("held", descending=True), 1)[0]
    return f"Dirty and under writeback: {pages_text(row['held'])} at most, the limit is {pages_text(row['thresh'])}, writers are held back from {pages_text(row['freerun'])} on."


def _level_line(file: str, events: Events) -> tuple[Evidence, ...]:
    state = df_dirty_state.or_none(events)
    return lines(file, state.sort("held", descending=True), 1) if state is not None else ()


def _not_reclaim(file: str, events: Events) -> tuple[str, ...]:
    """Reclaim is cleared where kswapd found clean pages, wrote none, and nobody had to reclaim for himself."""
    lru, direct = df_lru.or_none(events), df_direct_reclaim.or_none(events)
    if lru is None:
        return ()
    scanned, got = total(lru, "nr_scanned"), total(lru, "nr_reclaimed")
    writes = df_reclaim_writes.or_none(events)
    wrote = total(writes, "pages") if writes is not None else 0
    stalled = total(direct, "stall_ns") if direct is not None else 0
    if scanned < 1 or got < 0.9 * scanned or wrote > 0.01 * got or stalled > SHORT_NS:
        return ()
    line = events.frame("mm_vmscan_lru_shrink_inactive")["line"][0]
    nobody = "nobody reclaimed for itself" if direct is None else f"tasks reclaimed for {seconds(stalled)} in all"
    return (
        f"reclaim: it got {percent(got, scanned)} of what it scanned and wrote {pages_text(wrote) if wrote else 'nothing'}; {nobody} ({file}:{line})",
    )


def _starved(file: str, waits: pl.DataFrame, devices: list[_Device], window: float) -> Iterator[Finding]:
    """Writers of a device that is mostly idle wait: another one's pages fill the limit."""
    holders = [device for device in devices if device.busy is not None and device.busy >= BUSY]
    for device in devices:
        if device.busy is None or device.busy > IDLE or device.longest_ns < 0.2 * window * NS or not holders:
            continue
        holder = min(holders, key=lambda one: one.written_bytes)
        yield Finding(
            id="slow-device-starves-others",
            severity=WARNING,
            title=f"writers of device {device.bdi} wait at the dirty limit while it is idle; {holder.bdi} is the slow one",
            detail=f"{device.bdi} is busy {device.busy:.0%} of the time, its writers slept {seconds(total(device.waits, 'asleep_ns'))}. "
            f"{holder.bdi} is busy {holder.busy:.0%} and takes {bytes_text(holder.written_bytes / window)}/s: the limit is one for all devices.",
            confidence=LOW if len(holders) > 1 else MEDIUM,
            why="who waits and which device is busy is in the trace; whose pages fill the limit is not",
            evidence=lines(file, device.waits, 2) + lines(file, holder.waits, 2),
            unknown=("each device's share of the dirty pages",),
            capture=("throttle", "device"),
            advice=(f"cap the slow device's share: echo 5 > /sys/class/bdi/{holder.bdi}/max_ratio",),
            weight=total(device.waits, "asleep_ns") / NS,
        )


RULES: tuple[Callable[[Case], Iterator[Finding]], ...] = (held_back,)
