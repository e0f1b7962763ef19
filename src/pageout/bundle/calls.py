# SPDX-License-Identifier: GPL-2.0-or-later
"""What the workload says of itself: one line a call in log.*.csv, or fio's own JSON. A task each."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from pageout.bundle.fio_command import option_line, plain_name
from pageout.vocabulary.errors import TraceError
from pageout.vocabulary.json_words import json_words

if TYPE_CHECKING:
    from pageout.bundle.files import Files
    from pageout.bundle.meta import Meta

FIO = "fio.json"
LOG = re.compile(r"log\.([\w.-]{1,100})\.csv")
_HEAD = re.compile(r"#\s{0,9}(?:\w{1,30} -?\d{1,18}\s{0,9}){1,20}")
_PAIR = re.compile(r"(\w{1,30}) (-?\d{1,18})")
_PAGE_BYTES = 4096
NEAR_ALL = 1 - 1e-9
_DELAY = re.compile(r"(\d{1,9})([a-zA-Z]{0,4})")
_UNITS = {"us": 1e-6, "usec": 1e-6, "ms": 1e-3, "msec": 1e-3, "m": 60.0, "h": 3600.0, "d": 86400.0}


class Quantiles(NamedTuple):
    """A distribution: value at each share of the calls, both rising. Exact values of every call, or a table of them."""

    share: NDArray[np.float64]
    value_us: NDArray[np.float64]
    nr: int

    def at(self, share: float) -> float | None:
        """Return the value that this share of the calls does not exceed: the first listed for at least this share."""
        if not self.nr:
            return None
        return float(self.value_us[min(int(np.searchsorted(self.share, share * NEAR_ALL)), len(self.share) - 1)])

    def mean_of(self, share: float) -> float | None:
        """Return the mean of the lowest calls, this share of them; between two listed shares values rise evenly."""
        at = np.append(self.share[self.share < share], share)
        if not self.nr or len(at) < 2:
            return None
        values = np.interp(at, self.share, self.value_us)
        middles = np.append(values[0], (values[1:] + values[:-1]) / 2)
        return float((middles * np.diff(at, prepend=0.0)).sum() / share)


class Calls(NamedTuple):
    """What one task did: bytes and time of its reads or its writes, and how long the calls took."""

    name: str
    is_write: bool
    nbytes: int
    seconds: float  # from its start to its end, an fsync at the end included
    start_ns: int | None  # on the trace's clock
    end_ns: int | None
    latency: Quantiles
    each_us: NDArray[np.float64] | None = None  # of every call, in order, where a log says
    each_bytes: NDArray[np.float64] | None = None
    fsync_us: float | None = None  # of the last one
    after_s: float = 0.0  # how long after the first task it began, where its own clock is all there is


def of_values(values: NDArray[np.float64]) -> Quantiles:
    """Return the distribution of single values, us."""
    nr = len(values)
    return Quantiles(np.arange(1, nr + 1) / max(nr, 1), np.sort(values), nr)


def pooled(parts: Sequence[Quantiles]) -> Quantiles:
    """Return the distribution of all calls of several tasks together.

    Of a table the calls between two of its shares are taken to lie at the higher value.
    """
    parts = [part for part in parts if part.nr]
    if len(parts) < 2:
        return parts[0] if parts else of_values(np.zeros(0))
    values = np.concatenate([part.value_us for part in parts])
    weights = np.concatenate([np.diff(part.share, prepend=0.0) * part.nr for part in parts])
    order = np.argsort(values, kind="stable")
    total = sum(part.nr for part in parts)
    return Quantiles(np.cumsum(weights[order]) / total, values[order], total)


def read_calls(files: Files, meta: Meta) -> list[Calls]:
    """Return what each task did, from its log or from fio.  Raises TraceError if a file is not what it should be."""
    logs = [name for name in files.names if LOG.fullmatch(name)]
    kinds = {task.log: task.op for task in meta.case.tasks} if meta.case else {}
    found = [calls for name in logs if (calls := _of_log(files, name, kinds.get(name)))]
    if FIO in files.names and not found:
        found = _of_fio(files)
    return found or _of_command(meta)


def _of_log(files: Files, name: str, op: str | None) -> Calls | None:
    """Return one task's log; None of a task that neither reads nor writes files."""
    if op is not None and op not in ("read", "write", "randread", "randwrite"):
        return None
    content = files.read(name)
    head = content[:1000].split(b"\n", 1)[0].decode("utf-8", "replace").strip()
    if not _HEAD.fullmatch(head):
        return None
    told = {key: int(value) for key, value in _PAIR.findall(head)}
    rows = _rows(files.where(name), content)
    if "lat_us" not in rows.columns or "start_us" not in told or "end_us" not in told:
        raise TraceError(f"{files.where(name)}:1: no start_us, end_us and lat_us: record again")
    each = rows["lat_us"].drop_nulls().to_numpy()
    sizes = rows["bytes"].drop_nulls().to_numpy() if "bytes" in rows.columns else np.zeros(0)
    is_write = "write" in op if op is not None else told.get("fsync_us", 0) > 0 or "writ" in name
    start, end = told["start_us"] * 1000, _ended_us(told, rows) * 1000
    return Calls(
        name.split(".")[1], is_write, told.get("bytes", int(sizes.sum())), max(end - start, 0) / 1e9, start, end,
        of_values(each), each, sizes if len(sizes) == len(each) else np.full(len(each), _PAGE_BYTES, np.float64),
        float(told["fsync_us"]) if "fsync_us" in told else None,
    )  # fmt: skip


def log_latencies(files: Files, name: str) -> NDArray[np.float64]:
    """Return how long each call of a task's log took, us; none if it does not say."""
    rows = _rows(files.where(name), files.read(name))
    return rows["lat_us"].drop_nulls().to_numpy() if "lat_us" in rows.columns else np.zeros(0)


def _rows(where: str, content: bytes) -> pl.DataFrame:
    """Return a log's first three columns: time, latency, size."""
    try:
        text = pl.read_csv(content, skip_rows=1, infer_schema=False, truncate_ragged_lines=True, ignore_errors=True)
        return text.select(pl.col(text.columns[:3]).str.strip_chars().cast(pl.Float64, strict=False))
    except (pl.exceptions.PolarsError, ValueError) as error:
        raise TraceError(f"{where}: no table with commas ({str(error)[:120]}): record again") from None


def _ended_us(told: dict[str, int], rows: pl.DataFrame) -> int:
    """Return when a task was done, its last fsync included, which `end_us` may leave out: then where calls end."""
    last = rows.select((pl.col(rows.columns[0]) + pl.col("lat_us")).max()).item() if len(rows) else None
    return max(told["end_us"], int(last or 0) + told.get("fsync_us", 0))


class _FioLatency(msgspec.Struct):
    N: int = 0
    max: float = 0.0
    percentile: dict[str, float] = {}


class _FioDirection(msgspec.Struct):
    io_bytes: int = 0
    runtime: Annotated[float, msgspec.Meta(ge=0, le=1e12)] = 0.0  # ms
    total_ios: int = 0
    clat_ns: _FioLatency = msgspec.field(default_factory=_FioLatency)


class _FioJob(msgspec.Struct):
    jobname: str = ""
    groupid: int = 0
    options: dict[str, Any] = msgspec.field(default_factory=dict, name="job options")
    read: _FioDirection = msgspec.field(default_factory=_FioDirection)
    write: _FioDirection = msgspec.field(default_factory=_FioDirection)


class _Fio(msgspec.Struct):
    jobs: list[_FioJob] = []
    common: dict[str, Any] = msgspec.field(default_factory=dict, name="global options")


def _read_fio(files: Files) -> _Fio:
    where = files.where(FIO)
    content = files.read(FIO)
    begin = content.find(b"{")  # fio prints warnings before its document
    try:
        return msgspec.json.decode(content[max(begin, 0) :], type=_Fio, strict=False)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise TraceError(f"{where}: not what fio writes: {json_words(error)}: record again") from None


def job_text(files: Files) -> str | None:
    """Return the job file that fio's own output tells of, None if it tells of none.  Raises TraceError as read_calls.

    A job that ran as several is listed as often, each with a file of its own, and so it is here.
    """
    fio = _read_fio(files) if FIO in files.names else _Fio()
    if not any(job.options for job in fio.jobs):
        return None
    lines = ["[global]", *_option_lines(fio.common)]
    for number, (job, name) in enumerate(zip(fio.jobs, _names(fio.jobs), strict=True)):
        kept = dict(job.options)
        if name != plain_name(job.jobname):
            is_clone = kept.pop("numjobs", None) is not None or "numjobs" in fio.common
            if not is_clone and not {"filename", "filename_format", "nrfiles"} & (set(kept) | set(fio.common)):
                kept["filename"] = f"{plain_name(job.jobname)}.0.0"  # two jobs of one name are at one file
            if "numjobs" in fio.common:
                kept["numjobs"] = "1"
        if number and job.groupid > fio.jobs[number - 1].groupid and not {"stonewall", "new_group"} & set(kept):
            kept["stonewall"] = ""  # fio does not list it
        lines += [f"[{name}]", *_option_lines(kept)]
    return "\n".join(lines) + "\n"


def _names(jobs: Sequence[_FioJob]) -> list[str]:
    """Return what each is called; clones of one job share its name in fio's own output, here they are numbered."""
    plain = [plain_name(job.jobname) for job in jobs]
    several, met = Counter(plain), Counter[str]()
    found = []
    for name in plain:
        found.append(name if several[name] == 1 else f"{name}.{met[name]}")
        met[name] += 1
    return found


def _option_lines(options: dict[str, Any]) -> list[str]:
    """Return options as a job file has them; fio prints a bare one as an empty text."""
    return [option_line(name, str(value)) for name, value in options.items() if name != "name"]


def _of_fio(files: Files) -> list[Calls]:
    """Return each job's calls; its clock is its own, so nothing is said of when it began."""
    found = []
    told_all = _read_fio(files)
    jobs, common = told_all.jobs, told_all.common
    after = _begun_after(jobs, common)
    for job, name in zip(jobs, _names(jobs), strict=True):
        for is_write, told in ((True, job.write), (False, job.read)):
            if told.io_bytes > 0:
                seconds = told.runtime / 1000
                calls = Calls(name, is_write, told.io_bytes, seconds, None, None, _table(told))
                found.append(calls._replace(after_s=after[job.groupid] + _delay_s(job, common)))
    return found


def _begun_after(jobs: Sequence[_FioJob], common: dict[str, Any]) -> dict[int, float]:
    """Return how long after the first group each began, s: a group waits for the one before (stonewall)."""
    longest: dict[int, float] = {}
    for job in jobs:
        lasted = max(job.read.runtime, job.write.runtime) / 1000 + _delay_s(job, common)
        longest[job.groupid] = max(longest.get(job.groupid, 0.0), lasted)
    together = {job.groupid for job in jobs if "new_group" in job.options}  # these begin with the group before
    begun, found = 0.0, {}
    ends = 0.0
    for group in sorted(longest):
        if group not in together:
            begun = ends
        found[group] = begun
        ends = max(ends, begun + longest[group])
    return found


def _delay_s(job: _FioJob, common: dict[str, Any]) -> float:
    """Return the job's startdelay, s; of a range its lower end."""
    told = _DELAY.match(str(job.options.get("startdelay", common.get("startdelay", ""))))
    return int(told[1]) * _UNITS.get(told[2].lower(), 1.0) if told else 0.0


def _of_command(meta: Meta) -> list[Calls]:
    """Return what a command wrote, as the kernel counted it (wchar of /proc/PID/io), from its start to its end."""
    nbytes = int(meta.command_io.get("wchar", 0))
    if not nbytes or meta.start_s is None or meta.end_s is None or meta.end_s <= meta.start_s:
        return []
    name = (meta.command[0] if meta.command else "command").rpartition("/")[2][:100] or "command"
    start, end = int(meta.start_s * 1e9), int(meta.end_s * 1e9)
    return [Calls(name, True, nbytes, (end - start) / 1e9, start, end, of_values(np.zeros(0)))]


def _table(told: _FioDirection) -> Quantiles:
    """Return fio's percentiles as a distribution, its greatest value at the end."""
    rows: list[tuple[float, float]] = []
    for share, value in told.clat_ns.percentile.items():
        try:
            rows.append((float(share) / 100, value / 1000))
        except ValueError:
            continue
    rows = sorted(row for row in rows if 0 < row[0] < 1)
    rows.append((1.0, max(told.clat_ns.max / 1000, rows[-1][1] if rows else 0.0)))
    nr = told.clat_ns.N or told.total_ios
    return Quantiles(np.array([row[0] for row in rows]), np.array([row[1] for row in rows]), nr if len(rows) > 1 else 0)
