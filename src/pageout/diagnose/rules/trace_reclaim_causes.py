# SPDX-License-Identifier: GPL-2.0-or-later
"""What the time of stalls in reclaim went to, or what it met: each cause with its share and its proof.

Source: Linux v2.6.36..v6.18 mm/vmscan.c; what each field counts: include/trace/events/vmscan.h.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from pageout.analysis.compaction import df_compaction
from pageout.analysis.pairs import open_at, until_next
from pageout.analysis.reclaim import df_lru, df_reclaim_writes, df_throttled, list_of
from pageout.analysis.slab import df_shrinkers
from pageout.diagnose.findings import Evidence
from pageout.diagnose.trace_words import lines, number, rows_of, said, seconds, total
from pageout.diagnose.words import pages_text, percent

if TYPE_CHECKING:
    from pageout.events.tables import Events

STARVED_NS = 10_000_000  # between two events of a task in reclaim, with need-resched set


class Stalls(NamedTuple):
    """Reclaims of one kind that a finding is about; `steps`: what their time went to (df_reclaim_steps)."""

    file: str
    events: Events
    kind: str
    found: pl.DataFrame
    steps: pl.DataFrame

    @property
    def stalled_ns(self) -> float:
        return total(self.found, "stall_ns")

    def spent(self, *steps: str) -> float:
        """Return the time of some steps."""
        return total(self.steps.filter(pl.col("step").is_in(steps)), "took_ns")

    def longest(self, *steps: str) -> tuple[Evidence, ...]:
        """Return the lines that end the longest of some steps."""
        return lines(
            self.file, self.steps.filter(pl.col("step").is_in(steps)).sort("took_ns", descending=True), 2, "at"
        )


class Cause(NamedTuple):
    """What part of reclaim's time, or of its pages, goes where; `share` orders them; `short` is for a title."""

    id: str
    share: float
    short: str
    text: str
    evidence: tuple[Evidence, ...]
    advice: tuple[str, ...] = ()
    capture: tuple[str, ...] = ()


def causes(stalls: Stalls) -> list[Cause]:
    """Return the causes, the weightiest first."""
    makers = (_compaction, _asleep, _for_pages, _shrinkers, _starved, _writes, _swap, _dirty, _little)
    found = [cause for make in makers if (cause := make(stalls)) is not None]
    return sorted(found, key=lambda cause: -cause.share)


def _mostly(share: float) -> str:
    return "mostly " if share > 0.5 else "partly "


def _compaction(stalls: Stalls) -> Cause | None:
    """Compaction stands beside direct reclaim in the allocator's slow path, not inside: compare the two."""
    runs = df_compaction.or_none(stalls.events)
    if runs is None or stalls.kind != "direct":
        return None
    runs = runs.filter(~pl.col("background")).sort("took_ns", descending=True, nulls_last=True)
    took, stalled_ns = total(runs, "took_ns"), stalls.stalled_ns
    if took < 0.2 * stalled_ns:
        return None
    statuses = runs.group_by("status").len().sort("len", descending=True)
    told = ", ".join(f"{row['len']} {row['status']}" for row in rows_of(statuses, 3) if row["status"] is not None)
    more = f" ({took / stalled_ns:.1f} times the reclaim)" if stalled_ns and took > stalled_ns else ""
    return Cause(
        "compaction", took / max(took + stalled_ns, 1), f"compaction took {seconds(took)} more",
        f"compaction took {seconds(took)} more in the same allocations{more}{f'; it ended {told}' if told else ''}",
        lines(stalls.file, runs, 2, "line", "line_end"),
        ("ask for lower orders, or let transparent_hugepage/defrag be madvise or defer", "raise vm.min_free_kbytes or vm.watermark_scale_factor: kcompactd and kswapd then work ahead"),
        ("compaction",),
    )  # fmt: skip


def _asleep(stalls: Stalls) -> Cause | None:
    """Sleeps inside: congestion_wait until 5.15, reclaim_throttle since."""
    rows = df_throttled.or_none(stalls.events)
    if rows is None:
        return None
    mine = _inside(rows.filter(pl.col("by") == stalls.kind), stalls)
    slept = total(mine, "delayed_ns")
    if mine.is_empty() or slept < 0.1 * stalls.stalled_ns:
        return None
    reasons = mine.group_by("reason").agg(pl.col("delayed_ns").sum()).sort("delayed_ns", descending=True)
    told = ", ".join(f"{row['reason']} {seconds(row['delayed_ns'])}" for row in rows_of(reasons, 3))
    share = slept / max(stalls.stalled_ns, 1)
    return Cause(
        "asleep", share, f"{_mostly(share)}asleep", f"{seconds(slept)} of it asleep, waiting for others to make progress ({told})",
        lines(stalls.file, mine.sort("delayed_ns", descending=True), 2), (), ("throttle", "block"),
    )  # fmt: skip


def _inside(rows: pl.DataFrame, stalls: Stalls) -> pl.DataFrame:
    """Return the rows that happened within these stalls."""
    spans = stalls.found.with_columns(pl.lit(True).alias("inside"))
    return open_at(rows, spans, ["inside"]).filter(pl.col("inside"))


def _for_pages(stalls: Stalls) -> Cause | None:
    """Lumpy reclaim waits for each page of the block it wants."""
    waited = stalls.spent("for pages")
    share = waited / max(stalls.stalled_ns, 1)
    if share < 0.1:
        return None
    return Cause(
        "pages", share, f"{_mostly(share)}waiting for writes",
        f"{seconds(waited)} of it waiting for pages of the wanted blocks to be written, one after the other",
        stalls.longest("for pages"), (), ("block", "device"),
    )  # fmt: skip


def _shrinkers(stalls: Stalls) -> Cause | None:
    rows = df_shrinkers.or_none(stalls.events)
    if rows is None:
        return None
    mine = rows.filter(pl.col("by") == stalls.kind)
    took = total(mine, "took_ns")
    if mine.is_empty() or took < 0.2 * stalls.stalled_ns:
        return None
    first = rows_of(mine, 1)[0]
    starts = stalls.events.frame("mm_shrink_slab_start")
    picked = starts.filter(pl.col("shrinker").cast(pl.String).str.starts_with(str(first["shrinker"])))
    share = took / max(stalls.stalled_ns, 1)
    return Cause(
        "shrinkers", share, f"{_mostly(share)}in shrinkers",
        f"{seconds(took)} of it in shrinkers, most in {first['shrinker']} ({seconds(first['took_ns'])}, {seconds(first['longest_ns'])} at worst)",
        lines(stalls.file, picked, 2), ("a shrinker that writes or waits stalls whoever calls it: fewer cached inodes (vm.vfs_cache_pressure), or a kernel where it does not wait",), ("slab",),
    )  # fmt: skip


def _starved(stalls: Stalls) -> Cause | None:
    """Gaps between a task's events in reclaim while it should have given up the CPU: it did not run, or ran in something untraced."""
    steps = ("mm_vmscan_lru_isolate", "mm_vmscan_lru_shrink_inactive", "mm_vmscan_lru_shrink_active")
    columns = ("segment", "pid", "line", "time_ns", "context", "comm")
    parts = [stalls.events.frame(name).select(columns) for name in steps if name in stalls.events]
    if not parts:
        return None
    inside = _inside(until_next(pl.concat(parts).sort("line"), stalls.events), stalls)
    pressed = inside.filter(pl.col("context").cast(pl.String).str.contains("[NnB]") & (pl.col("seen_ns") > STARVED_NS))
    lost = total(pressed, "seen_ns")
    if pressed.is_empty() or lost < 0.3 * max(stalls.stalled_ns, 1):
        return None
    worst = pressed.sort("seen_ns", descending=True)
    return Cause(
        "cpu-starved", min(lost / max(stalls.stalled_ns, lost), 1.0), "without the CPU, not for a disk",
        f"{seconds(lost)} passed between single steps with need-resched set, {seconds(worst['seen_ns'][0])} at worst: the task did not get the CPU, or ran in code without tracepoints (slab shrinkers, a huge tree of cgroups); no disk is involved",
        lines(stalls.file, worst, 3),
        (),
        ("slab",),
    )  # fmt: skip


def _writes(stalls: Stalls) -> Cause | None:
    """Pages this reclaim wrote itself, from the stack of whoever allocated."""
    rows = df_reclaim_writes.or_none(stalls.events)
    if rows is None:
        return None
    writes = _inside(stalls.events.frame("mm_vmscan_writepage").filter(list_of("flags") == "file"), stalls)
    pages, others = len(writes), total(rows.filter((pl.col("by") == "kswapd") & (pl.col("lru") == "file")), "pages")
    if pages < 1:
        return None
    took = stalls.spent("writing file")
    share = min(took / max(stalls.stalled_ns, 1), 1.0)
    scattered = f" (kswapd {pages_text(others)} more)" if others else ""
    spent = f"{seconds(took)} of it in writing {pages_text(pages)} of file pages themselves" if share > 0.05 else (
        f"they wrote {pages_text(pages)} of file pages themselves"
    )  # fmt: skip
    return Cause(
        "writes", share, f"{_mostly(share)}writing file pages",
        f"{spent}, page by page{scattered}; each goes down through the filesystem on the stack of whoever allocated",
        stalls.longest("writing file") if share > 0.05 else lines(stalls.file, writes, 2),
        ("a kernel whose reclaim leaves file pages to the flushers (direct reclaim: 3.2 and later)", "lower vm.dirty_background_bytes: flushers write before reclaim meets the pages"),
        ("throttle",),
    )  # fmt: skip


def _swap(stalls: Stalls) -> Cause | None:
    """Anonymous pages it wrote to swap, and waited for room in the queue to do so."""
    took = stalls.spent("writing anon")
    share = min(took / max(stalls.stalled_ns, 1), 1.0)
    if share < 0.1:
        return None
    writes = _inside(stalls.events.frame("mm_vmscan_writepage").filter(list_of("flags") == "anon"), stalls)
    slept = stalls.events.frame("block_sleeprq")
    queue = _inside(slept, stalls) if len(slept) else slept
    full = f"; {len(queue):,} times the queue of device {queue['dev'][0]} was full" if len(queue) else ""
    return Cause(
        "swap", share, f"{_mostly(share)}writing to swap",
        f"{seconds(took)} of it in writing {pages_text(len(writes))} of anonymous pages to swap{full}",
        stalls.longest("writing anon") + lines(stalls.file, queue, 1),
        ("swap on a device that keeps up, or less of it: vm.swappiness 0 to 10 leaves anonymous pages longer",),
        ("device", "block"),
    )  # fmt: skip


def _dirty(stalls: Stalls) -> Cause | None:
    """What it scanned was dirty or under writeback."""
    rows = df_lru.or_none(stalls.events)
    if rows is None or not said(rows, "nr_dirty"):
        return None
    mine = rows.filter((pl.col("by") == stalls.kind) & (pl.col("lru") != "anon"))
    scanned, dirty, writeback = (total(mine, name) for name in ("nr_scanned", "nr_dirty", "nr_writeback"))
    if scanned < 1 or dirty < 0.2 * scanned:
        return None
    shrinks = stalls.events.frame("mm_vmscan_lru_shrink_inactive")
    met = shrinks.filter(pl.col("nr_dirty") > 0).sort("nr_dirty", descending=True)
    return Cause(
        "dirty", min(dirty / scanned, 1.0), f"{percent(dirty, scanned)} of the pages it met were dirty",
        f"{percent(dirty, scanned)} of the pages it scanned were dirty or under writeback ({percent(writeback, scanned)} under writeback): they become free only when the device has written them",
        lines(stalls.file, met, 2),
        ("lower vm.dirty_background_bytes and vm.dirty_bytes to a second or two of the disk's bandwidth: less of the list is then dirty",),
        ("throttle",),
    )  # fmt: skip


def _little(stalls: Stalls) -> Cause | None:
    """It scanned much and got little, for no reason the trace tells."""
    rows = df_lru.or_none(stalls.events)
    if rows is None:
        return None
    mine = rows.filter(pl.col("by") == stalls.kind)
    scanned, reclaimed = total(mine, "nr_scanned"), total(mine, "nr_reclaimed")
    if scanned < 1000 or reclaimed > 0.3 * scanned:
        return None
    poor = stalls.events.frame("mm_vmscan_lru_shrink_inactive").filter(pl.col("nr_reclaimed") == 0)
    return Cause(
        "finds-little", 0.3 * (1 - reclaimed / scanned), f"{percent(reclaimed, scanned)} of the scanned pages came free",
        f"only {percent(reclaimed, scanned)} of {number(scanned):,.0f} scanned pages could be reclaimed",
        lines(stalls.file, poor, 2), (), ("counters",),
    )  # fmt: skip
