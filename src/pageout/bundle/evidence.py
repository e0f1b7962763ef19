# SPDX-License-Identifier: GPL-2.0-or-later
"""What a run left, whoever ran it: what figures are measured from. A recording and a simulated run both become this."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from pageout.analysis.block import with_class
from pageout.bundle.bundle import Bundle
from pageout.bundle.calls import Calls, job_text
from pageout.bundle.fio_command import job_of_command, job_of_files, job_of_line, jobs_of
from pageout.bundle.samples import Samples
from pageout.events.tables import Events
from pageout.vocabulary.fio_words import fio_command

FIO_COMM = "fio"
JOB_FILE = "job.fio"
MOST_JOB_FILES = 64
NEAR_NS = 1_000_000_000  # fio's own runtime and the trace tell of one start if they are no further apart


@dataclass(frozen=True)
class Window:
    """From the start of the first task to the end of the last one's fsync, on the trace's clock."""

    start_ns: int
    end_ns: int

    @property
    def seconds(self) -> float:
        """Return its length."""
        return (self.end_ns - self.start_ns) / 1e9


@dataclass(frozen=True)
class Evidence:
    """Events, samples and calls of one run. None: not recorded."""

    events: Events | None
    samples: Samples | None
    calls: Sequence[Calls]
    device: str | None
    window: Window | None
    counters: Mapping[str, float] | None  # how far those of /proc/vmstat rose; one that stood still may be absent
    ends_clean: bool = False  # all that the tasks wrote was on the device at the end of the window
    begun_ns: int | None = None  # when the command's first page was dirtied: fio lays files out before its jobs


def evidence_of(bundle: Bundle) -> Evidence:
    """Return the evidence in a recording."""
    window = window_of(bundle)
    writers = [calls for calls in bundle.calls if calls.is_write]
    clean = bool(writers) and all(_synced(bundle, calls) for calls in writers)
    return Evidence(
        bundle.events, bundle.samples, bundle.calls, bundle.device, window, bundle.counters, clean,
        first_of_fio(bundle.events, window),
    )  # fmt: skip


def first_of_fio(events: Events | None, window: Window | None) -> int | None:
    """Return when a fio first dirtied a page, no later than its jobs began; None where nothing says."""
    if events is None or window is None:
        return window.start_ns if window is not None else None
    states = events.frame("global_dirty_state").filter(pl.col("comm").cast(pl.String) == FIO_COMM)
    first = states["time_ns"].min()
    return min(first, window.start_ns) if isinstance(first, int) else window.start_ns


def fio_text(bundle: Bundle) -> str | None:
    """Return the fio job that ran: of the case, by command and job files, or by fio's own output.

    Of several job files fio's own output has but what the last one says for all: it does not stand for them.
    """
    case, files = bundle.case, bundle.files
    if case is not None and case.fio is not None:
        return job_of_line(case.fio) or case.fio
    names = [JOB_FILE, *(f"job-{number}.fio" for number in range(2, MOST_JOB_FILES + 1))]
    kept = [files.text(name) if name in files.names else None for name in names]
    there = [text for text in kept if text is not None]
    told = fio_command(bundle.meta.command or ())
    text = job_of_files(there) if told is None else job_of_command(bundle.meta.command or (), kept)
    if text is not None and "${" not in text:
        return text
    if told is not None and len(told.files) > 1:
        return text
    return job_text(files) or text or (there[0] if there else None)  # its own output has variables filled in


def _synced(bundle: Bundle, calls: Calls) -> bool:
    """Say whether a task's fsync was its end; clones are named as their job is, with a number behind."""
    text, case = fio_text(bundle), bundle.case
    if text is not None:
        jobs = jobs_of(text)
        own = [told for name, told in jobs if name in (calls.name, calls.name.rpartition(".")[0])]
        told_of = own or [told for _, told in jobs]
        return bool(told_of) and all(told.get("end_fsync") == "1" for told in told_of)
    return case is not None and any(task.end_fsync for task in case.tasks if task.log == f"log.{calls.name}.csv")


def window_of(bundle: Bundle) -> Window | None:
    """Return when the tasks worked: by their logs, by fio and the trace, by the recorder; None if nothing says."""
    calls = [one for one in bundle.calls if one.is_write] or bundle.calls
    spans = [(one.start_ns, one.end_ns) for one in calls if one.start_ns is not None and one.end_ns is not None]
    if spans:
        return Window(min(start for start, _ in spans), max(end for _, end in spans))
    if (
        calls
        and bundle.events is not None
        and (found := _of_fio(bundle, max(one.after_s + one.seconds for one in calls)))
    ):
        return found
    if bundle.meta.start_s is not None and bundle.meta.end_s is not None:
        return Window(int(bundle.meta.start_s * 1e9), int(bundle.meta.end_s * 1e9))
    samples = bundle.samples
    return Window(int(samples.time_ns[0]), int(samples.time_ns[-1])) if samples is not None else None


def _of_fio(bundle: Bundle, seconds: float) -> Window | None:
    """Return fio's runtime, placed by the last write its fsync waited for, then by what fio's tasks did first."""
    events = bundle.events
    assert events is not None
    lasted = int(seconds * 1e9)
    wrote = any(calls.is_write for calls in bundle.calls)
    ends = finished_requests(events, bundle.device, "write" if wrote else "read")["time_ns"]
    firsts = (
        events.frame("global_dirty_state")
        .filter(pl.col("comm").cast(pl.String) == FIO_COMM)
        .group_by("pid").agg(pl.col("time_ns").min())["time_ns"].to_list()
    )  # fmt: skip
    if not len(ends):
        return Window(min(firsts), min(firsts) + lasted) if firsts else None
    last = ends.max()
    assert isinstance(last, int)
    guess = last - lasted
    near = [first for first in firsts if abs(first - guess) <= NEAR_NS]
    start = min(near, key=lambda first: abs(first - guess), default=guess)
    return Window(start, start + lasted)


def written_requests(events: Events, device: str | None) -> pl.DataFrame:
    """Return each write the device finished."""
    return finished_requests(events, device, "write")


def finished_requests(events: Events, device: str | None, op: str) -> pl.DataFrame:
    """Return time_ns, sector and nr_sector of each request the device finished; an empty frame if no event says.

    Completions: where a driver is busy 6.1 prints a request again each time it is given.
    """
    rows = events.frame("block_rq_complete").select(
        "time_ns", "line", "sector", "nr_sector", "rwbs", pl.col("dev").cast(pl.String)
    )
    if device is not None:
        rows = rows.filter(pl.col("dev") == device.replace(":", ","))
    return with_class(rows).filter((pl.col("op") == op) & (pl.col("nr_sector") > 0))
