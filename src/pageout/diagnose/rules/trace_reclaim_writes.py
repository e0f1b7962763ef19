# SPDX-License-Identifier: GPL-2.0-or-later
"""Traces in which reclaim does the flushers' work, or fails: who writes the dirty pages, in which zone, and OOM kills.

Limits on dirty pages count all memory; reclaim works zone by zone (until 4.7), and finds what stands at the cold end
of a list. Source: Linux v2.6.34..v3.2 mm/vmscan.c:shrink_page_list, mm/page-writeback.c:global_dirty_limits;
v4.13..v6.18 mm/oom_kill.c:mark_oom_victim.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from pageout.analysis.block import df_device_load, df_requests
from pageout.analysis.oom import df_oom
from pageout.analysis.pairs import task_names
from pageout.analysis.reclaim import df_reclaim_writes
from pageout.analysis.reclaim_steps import df_zone_writes
from pageout.analysis.writeback import df_dirty_state, df_flusher_work
from pageout.diagnose.case import Case
from pageout.diagnose.findings import ERROR, HIGH, INFO, MEDIUM, WARNING, Evidence, Finding
from pageout.diagnose.trace_words import NS, Row, holes_unknown, lines, number, rows_of, total, window_s
from pageout.diagnose.words import bytes_text, counted, pages_text, percent
from pageout.readers.facts import OomReport

if TYPE_CHECKING:
    from pageout.events.tables import Events

FEW, MANY, A_SECOND = 64, 256, 10  # pages; pages a second
SECTOR = 512
BEFORE_S = 1.0  # what reclaim got in this time before a kill
MUCH_DIRTY = 16 << 8  # pages: 16 MiB


class _Wrote(NamedTuple):
    """Dirty file pages that reclaim and the flushers wrote, and how high the level was."""

    kswapd: float
    tasks: float
    flushers: float | None
    state: pl.DataFrame | None

    @property
    def pages(self) -> float:
        return self.kswapd + self.tasks

    @property
    def share(self) -> float:
        return self.pages / max(self.pages + (self.flushers or 0), 1)

    @property
    def below_background(self) -> bool:
        return self.state is not None and len(self.state) > 0 and not bool(self.state["over_background"].any())


def instead_of_flushers(case: Case) -> Iterator[Finding]:
    """Reclaim writes pages that no flusher came for."""
    for file, events in case.traces():
        rows = df_reclaim_writes.or_none(events)
        if rows is None:
            continue
        files = rows.filter(pl.col("lru") == "file")
        kswapd = total(files.filter(pl.col("by") == "kswapd"), "pages")
        work = df_flusher_work.or_none(events)
        flushers = total(work, "pages") if work is not None else None
        wrote = _Wrote(kswapd, total(files, "pages") - kswapd, flushers, df_dirty_state.or_none(events))
        if wrote.pages >= FEW and wrote.share >= 0.3:
            yield _finding(file, events, wrote)


def _finding(file: str, events: Events, wrote: _Wrote) -> Finding:
    zones = df_zone_writes.or_none(events)
    zone = _one_zone(zones) if zones is not None else None
    who = "kswapd" if wrote.tasks < 0.05 * wrote.pages else "reclaim"
    share = "" if wrote.flushers is None else (
        ", the flushers nothing" if wrote.flushers < 1 else f", the flushers {pages_text(wrote.flushers)}"
    )  # fmt: skip
    first = events.frame("mm_vmscan_writepage")
    state = wrote.state
    high = state.sort("held", descending=True) if state is not None else None
    return Finding(
        id="zone-full-of-dirty-pages" if zone is not None else "reclaim-writes-file-pages",
        severity=WARNING if wrote.pages >= max(MANY, A_SECOND * window_s(events)) else INFO,
        title=f"{who} wrote {_started(wrote.pages)} itself{share}"
        + (f": {_zone_name(zone)} is full of dirty pages" if zone is not None else "")
        + (", below the background threshold" if zone is None and wrote.below_background else ""),
        detail=" ".join(one for one in (_who_wrote(wrote, events), _zone_words(zone, zones), _level_words(wrote), _pattern(events)) if one),
        confidence=HIGH if wrote.flushers is not None and state is not None else MEDIUM,
        why="each page that reclaim writes is an event" + (", and so is each pass of a flusher" if wrote.flushers is not None else "; what flushers wrote is not recorded"),
        evidence=lines(file, first, 2) + (lines(file, zones.filter(pl.col("zid") == zone["zid"]), 1) if zone is not None and zones is not None else ()) + (lines(file, high, 2) if high is not None else ()),
        is_not=_not_limits(file, wrote),
        unknown=("who made these pages dirty: below the limits no event tells; write() and stores to a shared mapping look alike", *holes_unknown(events)),
        capture=("throttle", "block"),
        advice=_advice(wrote, zone),
        weight=1 + wrote.share,
        covers=("writeback-healthy",),
    )  # fmt: skip


def _started(pages: float) -> str:
    return f"{pages_text(pages)} of dirty pages"


def _who_wrote(wrote: _Wrote, events: Events) -> str:
    told = f"kswapd {pages_text(wrote.kswapd)}, tasks that allocate {pages_text(wrote.tasks)}"
    if wrote.flushers is not None:
        told += f", flushers {pages_text(wrote.flushers)}"
    return (
        f"Pages written: {told}. Reclaim writes a page as it comes to the end of the LRU, in no order of the disk "
        f"(a filesystem may write neighbours along, which are not counted here){_in_all(events)}."
    )


def _in_all(events: Events) -> str:
    load = df_device_load.or_none(events)
    written = total(load, "written_bytes") if load is not None else 0
    return f"; in all {bytes_text(written)} went to devices" if written else ""


def _one_zone(zones: pl.DataFrame) -> Row | None:
    """Return the zone that has nearly all the writes and hardly anything to give, while others give without writing."""
    known = zones.filter(pl.col("zid").is_not_null()).with_columns((pl.col("kswapd") + pl.col("tasks")).alias("wrote"))
    if len(known) < 2:
        return None
    row = rows_of(known.sort("wrote", descending=True), 1)[0]
    others = known.filter(pl.col("wrote") < row["wrote"])
    alone = row["wrote"] >= 0.8 * total(known, "wrote")
    clean = total(others, "nr_reclaimed") > 0.9 * total(others, "nr_scanned") > 0
    poor = row["nr_reclaimed"] < 0.3 * row["nr_scanned"]
    return row if alone and clean and poor else None


def _zone_name(zone: Row) -> str:
    return f"zone {zone['zid']} of node {zone['nid']}"


def _zone_words(zone: Row | None, zones: pl.DataFrame | None) -> str:
    if zone is None or zones is None:
        return ""
    others = zones.filter((pl.col("zid") != zone["zid"]) & (pl.col("nr_scanned") > 0))
    scanned, got = total(others, "nr_scanned"), total(others, "nr_reclaimed")
    return (
        f"In {_zone_name(zone)} reclaim got {percent(zone['nr_reclaimed'], zone['nr_scanned'])} of {zone['nr_scanned']:,} "
        f"scanned pages, in the other zones {percent(got, scanned)}. The dirty limits count all memory; reclaim needs "
        "pages of this zone."
    )


def _level_words(wrote: _Wrote) -> str:
    if wrote.state is None or wrote.state.is_empty():
        return ""
    row = rows_of(wrote.state.sort("held", descending=True), 1)[0]
    said = f"At most {pages_text(row['held'])} were dirty or under writeback, the background threshold is {pages_text(row['bg_thresh'])}"
    if wrote.below_background:
        return said + ": flushers had no cause to begin but the age of the data."
    return said + "."


def _pattern(events: Events) -> str:
    """How the writes of the device that got most of them lie."""
    requests = df_requests.or_none(events)
    if requests is None:
        return ""
    writes = requests.filter((pl.col("op") == "write") & (pl.col("nr_sector") > 0) & pl.col("seek").is_not_null())
    if len(writes) < FEW:
        return ""
    most = rows_of(writes.group_by("dev").len().sort("len", descending=True), 1)[0]
    mine = writes.filter(pl.col("dev") == most["dev"])
    on = number((mine["seek"] == 0).mean())
    size = number(mine["nr_sector"].cast(pl.Int64).mean()) * SECTOR
    order = "in the order of the disk" if on > 0.5 else "out of the disk's order"
    return f"Device {most['dev']} gets writes {order}: {on:.1%} begin where the one before ended, {bytes_text(size)} on average."


def _not_limits(file: str, wrote: _Wrote) -> tuple[str, ...]:
    if not wrote.below_background or wrote.state is None:
        return ()
    row = rows_of(wrote.state.sort("held", descending=True), 1)[0]
    return (
        f"the dirty limits holding writers back: {pages_text(row['held'])} at most of {pages_text(row['thresh'])} ({file}:{row['line']})",
    )


def _advice(wrote: _Wrote, zone: Row | None) -> tuple[str, ...]:
    said = []
    if wrote.below_background:
        size = "the zone" if zone is not None else "what reclaim needs in a few seconds"
        said.append(
            f"lower vm.dirty_background_bytes well below {size}, or vm.dirty_expire_centisecs: flushers write sooner, in file order; data rewritten often is then written more often"
        )
    if zone is not None:
        said.append("kernels from 3.3 on spread dirty pages over the zones")
    return tuple(said)


# --- out of memory ---


def kills(case: Case) -> Iterator[Finding]:
    """The OOM killer in a trace: what was dirty, and what reclaim got just before."""
    if any(report.memory is not None or report.memcg_stat for _, report in case.facts(OomReport)):
        return  # the report says more
    for file, events in case.traces():
        found = df_oom.or_none(events)
        if found is not None and len(found):
            yield _killed(file, events, found)


def _killed(file: str, events: Events, found: pl.DataFrame) -> Finding:
    kill = rows_of(found, 1)[0]
    scanned, got, shrinks = _just_before(events, kill)
    state = df_dirty_state.or_none(events)
    level = rows_of(state.filter(pl.col("line") <= kill["line"]).tail(1), 1) if state is not None else []
    dirty, writing = (level[0]["dirty"], level[0]["writeback"]) if level else (0, 0)
    stuck = dirty + writing if level else 0
    much = stuck >= MUCH_DIRTY
    detail = f"{counted(len(found), 'kill')}; the first by {kill['comm']}-{kill['pid']}, which needed memory. "
    if scanned:
        detail += f"In the second before, reclaim scanned {scanned:,} pages and got {got:,}. "
    if level:
        detail += f"{pages_text(dirty)} were dirty, {pages_text(writing)} under writeback: free only when written. "
    return Finding(
        id="oom-in-trace",
        severity=ERROR,
        title=f"the OOM killer killed {_victim(events, kill)}"
        + (f", with {pages_text(stuck)} of memory dirty or under writeback" if much else ""),
        detail=detail.strip(),
        confidence=HIGH if scanned and got < 0.1 * scanned else MEDIUM,
        why="the kill is an event" + (", and so is what reclaim got before" if scanned else "; what held the memory is not"),
        evidence=(*lines(file, found, 2), *lines(file, shrinks, 2), *((Evidence(file, level[0]["line"]),) if level else ())),
        is_not=() if much or not level else (f"dirty pages: {pages_text(stuck)} were dirty or under writeback ({file}:{level[0]['line']})",),
        unknown=("what held the rest of the memory: the log's report says it (dmesg)", *holes_unknown(events)),
        capture=("log", "counters"),
        advice=("lower vm.dirty_bytes to a second or two of the slowest disk's bandwidth: less of memory can then be stuck",) if much else (),
        weight=100 + len(found),
        covers=("writeback-healthy",),
    )  # fmt: skip


def _just_before(events: Events, kill: Row) -> tuple[int, int, pl.DataFrame]:
    """Return pages scanned and reclaimed before the kill, and the batches that got nothing."""
    batches = events.frame("mm_vmscan_lru_shrink_inactive").filter(
        (pl.col("line") < kill["line"])
        & (pl.col("segment") == kill["segment"])
        & (pl.col("time_ns") >= kill["time_ns"] - int(BEFORE_S * NS))
    )
    scanned, got = (int(total(batches, name)) for name in ("nr_scanned", "nr_reclaimed"))
    return scanned, got, batches.filter(pl.col("nr_reclaimed") == 0).tail(2)


def _victim(events: Events, kill: Row) -> str:
    names = task_names(events).filter(pl.col("pid") == kill["target_pid"])
    name = kill["target_comm"] or (names["comm"][0] if len(names) else None)
    return f"{name} ({kill['target_pid']})" if name else f"task {kill['target_pid']}"


RULES: tuple[Callable[[Case], Iterator[Finding]], ...] = (instead_of_flushers, kills)
