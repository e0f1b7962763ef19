# SPDX-License-Identifier: GPL-2.0-or-later
"""Traces of the block layer and of fsync: is the device slow, dead, or given a bad pattern; whose flush is one behind.

Source: Linux v6.1 block/blk-mq.c, include/trace/events/block.h; fs/ext4/fsync.c, fs/jbd2/commit.c.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import polars as pl

from pageout.analysis.block import df_requests, with_class
from pageout.analysis.journal import df_fsync, df_journal
from pageout.analysis.writeback import df_flusher_work
from pageout.diagnose.case import Case
from pageout.diagnose.findings import ERROR, HIGH, INFO, LOW, MEDIUM, WARNING, Finding
from pageout.diagnose.trace_words import NS, Row, holes_unknown, lines, number, rows_of, seconds, tasks, total, window_s
from pageout.diagnose.verdict import not_the_limits
from pageout.diagnose.words import bytes_text, counted, percent
from pageout.vocabulary.schema import event_of

if TYPE_CHECKING:
    from pageout.events.tables import Events

SECTOR = 512
DEAD_S = 5.0  # a request this old, and nothing completed since
SLOW_NS = 500_000_000
SMALL_BYTES = 32 * 1024
FAR_SECTORS = 2048  # 1 MiB: a seek, not a gap
BUSY = 0.8
LONG_FSYNC_NS = 1_000_000_000


def devices(case: Case) -> Iterator[Finding]:
    """Each device of a trace: dead, slow, or given small scattered writes."""
    for file, events in case.traces():
        requests = df_requests.or_none(events)
        if requests is None or "block_rq_complete" not in events:
            continue
        for device in requests["dev"].unique(maintain_order=True).to_list():
            mine = requests.filter(pl.col("dev") == device)
            finding = _dead(file, events, str(device), mine) or _pattern(case, file, events, str(device), mine)
            if finding is not None:
                yield finding


def _dead(file: str, events: Events, device: str, mine: pl.DataFrame) -> Finding | None:
    """Requests given and never completed, and no completion since the oldest of them."""
    last = rows_of(mine.sort("line", descending=True), 1)[0]
    here = mine.filter(pl.col("segment") == last["segment"])
    waiting = here.filter(pl.col("line_end").is_null()).sort("line")
    if waiting.is_empty():
        return None
    end = max(number(frame["time_ns"].max()) for frame in events.frames.values() if len(frame))
    oldest = rows_of(waiting, 1)[0]
    age_s = (end - oldest["time_ns"]) / NS
    since = here.filter(pl.col("time_ns_end") > oldest["time_ns"])
    if age_s < DEAD_S or len(since):
        return None
    return Finding(
        id="device-silent",
        severity=ERROR,
        title=f"device {device} has not completed a request for {age_s:,.1f} s, with {len(waiting):,} given to it",
        detail=f"The oldest was given at line {oldest['line']:,} by {oldest['comm']} and did not come back before the trace ends.",
        confidence=HIGH if age_s > 30 else MEDIUM,
        why="each request is paired with its completion by place; none came",
        evidence=lines(file, waiting, 4)
        + lines(file, mine.filter(pl.col("line_end").is_not_null()).tail(1), 1, "line_end"),
        is_not=("the dirty limits: whatever they are, nothing of this device gets clean",),
        unknown=("what the driver and the log say of it", *holes_unknown(events)),
        capture=("log", "blocked", "counters"),
        weight=age_s + 10,
        covers=("requests-summary",),
    )


def _pattern(case: Case, file: str, events: Events, device: str, mine: pl.DataFrame) -> Finding | None:
    done = mine.filter(pl.col("latency_ns").is_not_null())
    writes = done.filter((pl.col("op") == "write") & (pl.col("nr_sector") > 0))
    if len(done) < 20:
        return None
    p99 = number(done["latency_ns"].quantile(0.99))
    window = max(window_s(events), 1e-3)
    busy = min(total(done, "latency_ns") / NS / max(number(done["depth"].mean()), 1.0) / window, 1.0)
    size = number(writes["nr_sector"].cast(pl.Int64).mean()) * SECTOR if len(writes) else 0.0
    far = writes.filter(pl.col("seek").cast(pl.Int64).abs() > FAR_SECTORS)
    scattered = len(writes) >= 100 and size < SMALL_BYTES and len(far) > 0.5 * len(writes)
    slow = p99 > SLOW_NS
    if not (scattered and busy > BUSY) and not slow:
        return None
    sync = number(writes["sync"].mean()) if len(writes) else 0.0
    return Finding(
        id="device-small-writes" if scattered else "device-saturated",
        severity=WARNING,
        title=f"device {device}: "
        + (
            f"small {'synchronous ' if sync > 0.8 else 'scattered '}writes, {bytes_text(size)} on average, {percent(len(far), len(writes))} after a seek"
            if scattered
            else f"requests take up to {seconds(number(done['latency_ns'].max()))}, 1 % of them over {seconds(p99)}"
        ),
        detail=f"Writes by whom: {_submitters(writes)}. "
        + (f"{sync:.0%} of them are synchronous (fsync, O_SYNC): somebody waits for each. " if sync > 0.5 else "")
        + f"Depth {number(done['depth'].mean()):.1f} on average, {number(done['depth'].max()):.0f} at most. "
        + (
            "The device's bandwidth is not what is exhausted: each write costs a seek."
            if scattered
            else "Whoever waits for this device waits that long."
        ),
        confidence=MEDIUM,
        why="sizes, places and times of each request are in the trace",
        evidence=lines(file, (far if scattered else done.sort("latency_ns", descending=True)), 3, "line", "line_end"),
        is_not=not_the_limits(case),
        unknown=("what kind of device it is, and how deep its own queue", *holes_unknown(events)),
        capture=("device", "throttle"),
        weight=p99 / NS,
        covers=("requests-summary",),
    )


def _submitters(writes: pl.DataFrame) -> str:
    size = (pl.col("nr_sector").cast(pl.Int64).sum() * SECTOR).alias("bytes")
    by = writes.group_by("comm").agg(pl.len().alias("n"), size).sort("n", descending=True)
    return ", ".join(
        f"{'an interrupt (who queued them is not recorded)' if row['comm'] in ('<idle>', 'swapper') else row['comm']} {row['n']:,} of {bytes_text(row['bytes'] / row['n'])}"
        for row in rows_of(by, 3)
    )


def fsync(case: Case) -> Iterator[Finding]:
    """fsync that takes long: behind whose writing."""
    for file, events in case.traces():
        calls = df_fsync.or_none(events)
        if calls is None:
            yield from _sync_work(case, file, events)
            continue
        slow = calls.filter((pl.col("took_ns") > LONG_FSYNC_NS) | pl.col("took_ns").is_null()).sort(
            "took_ns", descending=True, nulls_last=True
        )
        if slow.is_empty():
            continue
        journal = df_journal.or_none(events)
        flushed = number(journal["flushing"].max()) if journal is not None and len(journal) else None
        worst = rows_of(slow, 1)[0]
        others = df_flusher_work.or_none(events)
        behind = ""
        if others is not None and len(others):
            wrote = total(others, "pages")
            behind = f" Flushers wrote {bytes_text(wrote * 4096)} meanwhile." if wrote else ""
        yield Finding(
            id="fsync-behind-flush",
            severity=WARNING,
            title=f"fsync takes up to {seconds(worst['took_ns'])} ({worst['comm']})",
            detail=f"{len(slow)} calls over {seconds(LONG_FSYNC_NS)}: {tasks(slow, 'took_ns')}."
            + (f" A journal commit spent up to {flushed:,.0f} ms flushing file data that was not the caller's: with ordered data one waits for everybody's." if flushed else "")
            + behind,
            confidence=MEDIUM,
            why="begin and end of each fsync are in the trace" + ("" if flushed else "; what the journal did meanwhile is not"),
            evidence=lines(file, slow, 3, "line", "line_end") + (lines(file, journal.sort("flushing", descending=True), 2) if journal is not None else ()),
            is_not=not_the_limits(case),
            unknown=("which files' data the commit wrote", *holes_unknown(events)),
            capture=("block", "throttle"),
            advice=("lower vm.dirty_background_bytes: less of others' data is then waiting when a commit comes",),
            weight=number(worst["took_ns"]) / NS,
        )  # fmt: skip


def _sync_work(case: Case, file: str, events: Events) -> Iterator[Finding]:
    """Without fsync's own events: long passes of flushers for a sync."""
    work = df_flusher_work.or_none(events)
    if work is None:
        return
    syncs = work.filter((pl.col("reason").cast(pl.String) == "sync") & (pl.col("took_ns") > LONG_FSYNC_NS))
    if syncs.is_empty():
        return
    worst = rows_of(syncs.sort("took_ns", descending=True), 1)[0]
    yield Finding(
        id="sync-waits-for-flusher",
        severity=WARNING,
        title=f"a sync keeps the flusher of {worst['bdi']} busy for {seconds(worst['took_ns'])} a pass",
        detail=f"{len(syncs)} passes for sync, {seconds(total(syncs, 'took_ns'))} in all{_pages(worst)}. Who called it waits at least that long.",
        confidence=MEDIUM,
        why="start and end of each pass are in the trace; who waits for it is not",
        evidence=lines(file, syncs, 3, "line", "line_end"),
        is_not=not_the_limits(case),
        unknown=("which task called sync", *holes_unknown(events)),
        capture=("block", "blocked"),
        weight=number(worst["took_ns"]) / NS,
    )


def _pages(row: Row) -> str:
    return f", {bytes_text(row['pages'] * 4096)} in the longest" if row["pages"] is not None else ""


def journal(case: Case) -> Iterator[Finding]:
    """Transactions that keep others out for long."""
    for file, events in case.traces():
        commits = df_journal.or_none(events)
        if commits is None or commits.is_empty():
            continue
        locked = commits.filter(pl.col("locked") + pl.col("wait") > 1000).sort("locked", descending=True)
        if locked.is_empty():
            continue
        row = rows_of(locked, 1)[0]
        yield Finding(
            id="journal-holds-up",
            severity=WARNING,
            title=f"the journal of {row['dev']} kept new transactions out for up to {row['locked']:,} ms",
            detail=f"{len(locked)} of {len(commits)} commits waited over a second for handles to end or for the commit before. Every task that changes metadata waits meanwhile.",
            confidence=HIGH,
            why="the journal measures it itself",
            evidence=lines(file, locked, 4),
            is_not=not_the_limits(case),
            unknown=("which task held its handle so long", *holes_unknown(events)),
            capture=("blocked", "block"),
            weight=row["locked"] / 1000,
        )


_OURS = ("vmscan", "writeback", "block", "compaction", "oom", "kmem", "filemap")  # as perf names systems
JOURNAL_S, EXPIRE_S = (4.5, 5.8), (25.0, 36.0)  # between bursts: the commit interval; the age at which data is written
BURST_S = 1.0  # requests closer than this are one burst


def summary(case: Case) -> Iterator[Finding]:
    """Requests that show no trouble: who writes and reads, in which bursts."""
    for file, events in case.traces():
        name = next((one for one in ("block_rq_issue", "block_bio_queue", "block_rq_complete") if one in events), None)
        if name is None:
            continue
        rows = (
            df_requests(events)
            if {"block_rq_issue", "block_rq_complete"} <= events.frames.keys()
            else events.frame(name)
        )
        givers = [pl.col(column).cast(pl.String) for column in ("issuer", "comm") if column in rows.columns]
        rows = rows.with_columns(pl.coalesce(givers).alias("who"))
        classes = with_class(rows)
        by = (
            classes.group_by("who", "op")
            .agg(
                pl.len().alias("n"),
                pl.col("nr_sector").cast(pl.Int64).sum().alias("sectors"),
                pl.col("sync").any(),
                pl.col("line").first(),
            )
            .sort("n", "line", descending=[True, False])
        )
        told = ", ".join(
            f"{row['who'] or 'somebody'}: {row['n']:,} {row['op']}{'s' if row['n'] > 1 else ''} ({bytes_text(row['sectors'] * SECTOR)})"
            for row in rows_of(by, 5)
        )
        bursts = _bursts(rows)
        yield Finding(
            id="requests-summary",
            severity=INFO,
            title=f"{counted(len(rows), 'request')} in {counted(len(bursts), 'burst')}; nothing in them shows trouble by itself",
            detail=f"By whom: {told}. " + _gaps(bursts),
            confidence=MEDIUM if len(rows) >= 20 else LOW,
            why="each request says who gave it; whether anybody waited for it, it does not",
            evidence=lines(file, bursts, 5),
            unknown=("whether any task waits for these requests", *holes_unknown(events)),
            capture=("blocked", "throttle"),
        )  # fmt: skip


def _bursts(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the first request of each burst."""
    ordered = rows.sort("line").with_columns((pl.col("time_ns").diff().over("segment") / NS).alias("gap_s"))
    return ordered.filter(pl.col("gap_s").is_null() | (pl.col("gap_s") > BURST_S))


def _gaps(bursts: pl.DataFrame) -> str:
    said = []
    for row in rows_of(bursts, 50):
        gap = row["gap_s"]
        if gap is None:
            continue
        journal = JOURNAL_S[0] <= gap <= JOURNAL_S[1]
        if journal and str(row["who"]).startswith(("jbd2", "xfsaild", "kworker")):
            said.append(f"{row['who']} writes {gap:.1f} s after what was before: a journal commits every 5 s")
        elif EXPIRE_S[0] <= gap <= EXPIRE_S[1]:
            said.append(
                f"{row['who']} writes {gap:.1f} s after what was before: dirty data is written at 30 s of age (vm.dirty_expire_centisecs)"
            )
    return "; ".join(dict.fromkeys(said)) + ("." if said else "")


def quiet(case: Case) -> Iterator[Finding]:
    """A trace in which nothing of reclaim or writeback occurs: say what is in it."""
    for file, events in case.traces():
        if events.frames or len(events) == 0:
            continue
        names = list(events.other_names())
        if any(event_of(name) is not None or name.partition(":")[0] in _OURS for name in names):
            continue
        yield Finding(
            id="no-relevant-events",
            severity=INFO,
            title="no event of reclaim, writeback or the block layer is in this trace",
            detail=f"It has {len(events):,} events of other kinds: {', '.join(names[:6])}{'...' if len(names) > 6 else ''}.",
            confidence=HIGH,
            why="every line was looked at",
            evidence=lines(file, events.other, 2),
            unknown=("anything about memory or disks: such events were not recorded, or did not happen",),
            capture=("throttle", "reclaim"),
        )


RULES: tuple[Callable[[Case], Iterator[Finding]], ...] = (devices, fsync, journal, summary, quiet)
