# SPDX-License-Identifier: GPL-2.0-or-later
"""Requests at the device: how long, how large, how far apart, how many at once, by whom.

Source: Linux v2.6.31..v6.18 block/blk-mq.c and kernel/trace/blktrace.c:blk_fill_rwbs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from pageout.analysis.needs import needs
from pageout.analysis.pairs import lasted, named, pair, total

if TYPE_CHECKING:
    from pageout.events.tables import Events

SECTOR_BYTES = 512
_OPS = {"R": "read", "W": "write", "D": "discard", "N": "other", "Z": "zone", "F": "flush"}
_AT = ["segment", "dev", "sector", "empty"]


def rwbs_class(text: str) -> tuple[str, bool, bool, bool, bool]:
    """Return (operation, sync, metadata, readahead, preflush or FUA) of the letters a request is printed with.

    A leading F is a flush before the operation, or is the operation: `FF`, `FWS`, `WFS`, `RA`, `WSM`, `DE`.
    """
    flush = text.startswith("F")
    rest = text[1:] if flush else text
    operation = _OPS.get(rest[:1], "other") if rest else "flush"
    letters = rest[1:]
    return operation, "S" in letters, "M" in letters, "A" in letters, flush or "F" in letters


def with_class(rows: pl.DataFrame) -> pl.DataFrame:
    """Return rows with op (read, write, discard, flush, zone, other), sync, meta, readahead, flush: from rwbs."""
    seen = rows["rwbs"].cast(pl.String).unique().drop_nulls().to_list()
    schema = {"_rwbs": pl.String, "op": pl.String, "sync": pl.Boolean, "meta": pl.Boolean, "readahead": pl.Boolean,
              "flush": pl.Boolean}  # fmt: skip
    classes = pl.DataFrame([(text, *rwbs_class(text)) for text in seen], schema=schema, orient="row")
    keyed = rows.with_columns(pl.col("rwbs").cast(pl.String).alias("_rwbs"))
    return keyed.join(classes, on="_rwbs", how="left", maintain_order="left").drop("_rwbs")


def _runs(events: Events) -> pl.DataFrame:
    """Return issues and completions in the order of lines, with the number of the run each belongs to.

    A run, of one place of a device, ends with a completion: an issue that another issue follows was put back
    (6.1 prints a request again each time the driver was busy).
    """
    empty = (pl.col("nr_sector") == 0).alias("empty")
    issues = events.frame("block_rq_issue").with_columns(pl.lit(False).alias("done"), empty)
    ends = events.frame("block_rq_complete").with_columns(pl.lit(True).alias("done"), empty)
    columns = [*_AT, "line", "time_ns", "done"]
    marks = pl.concat([issues.select(columns), ends.select(columns)]).sort("line")
    run = pl.col("done").cast(pl.Int64).shift(1, fill_value=0).cum_sum().over(_AT).alias("run")
    return marks.with_columns(run)


@needs("block_rq_issue")
def df_requests(events: Events) -> pl.DataFrame:
    """Return one row for each request that was given to a device.

    dev, segment, line, line_end, time_ns, time_ns_end; issues: how often it was given (more than 1: it was put back);
    latency_ns: from the last time it was given to its first completion, null if the trace does not hold that;
    whole_ns: from the first time; rwbs, op, sync, meta, readahead, flush: see rwbs_class; sector, nr_sector (of 512
    bytes); seek: sectors from the end of the request before it on this device, null for the first of a segment and for
    requests without a place; depth: requests at the device with this one (at least: those from before the trace are
    not counted); comm, pid: the task that gave it first (what was put back, a kworker gives again); error: null if
    not completed.
    """
    runs = _runs(events).group_by(*_AT, "run", maintain_order=True).agg(
        pl.col("line").filter(~pl.col("done")).last(),
        pl.col("line").filter(~pl.col("done")).first().alias("first_line"),
        pl.col("time_ns").filter(~pl.col("done")).first().alias("first_ns"),
        (~pl.col("done")).sum().alias("issues"),
        pl.col("line").filter(pl.col("done")).last().alias("line_end"),
        pl.col("time_ns").filter(pl.col("done")).last().alias("time_ns_end"),
    ).filter(pl.col("line").is_not_null())  # fmt: skip
    errors = events.frame("block_rq_complete").select(pl.col("line").alias("line_end"), "error")
    issued = named(events.frame("block_rq_issue"), events)
    givers = issued.select(
        pl.col("line").alias("first_line"), pl.coalesce(pl.col("issuer").cast(pl.String), "comm").alias("comm"), "pid"
    )
    kept = runs.select("line", "line_end", "first_line", "first_ns", "time_ns_end", "issues", "empty").sort("line")
    rows = (
        kept.join(errors, on="line_end", how="left", maintain_order="left")
        .join(givers, on="first_line", how="left", maintain_order="left")
        .join(issued.drop("comm", "pid"), on="line", how="inner", maintain_order="left")
    )
    return _placed(with_class(rows)).select(
        "dev", "segment", "line", "line_end", "time_ns", "time_ns_end", "issues", lasted().alias("latency_ns"),
        lasted("first_ns").alias("whole_ns"), "rwbs", "op", "sync", "meta", "readahead", "flush", "sector",
        "nr_sector", "seek", "depth", "comm", "pid", "error",
    )  # fmt: skip


def _placed(rows: pl.DataFrame) -> pl.DataFrame:
    """Return requests with seek and depth."""
    where = pl.when(~pl.col("empty")).then(pl.col("sector").cast(pl.Int64, strict=False))
    with_ends = rows.with_columns(where.alias("_from"), (where + pl.col("nr_sector")).alias("_to"))
    before = pl.col("_to").forward_fill().shift(1).over("segment", "dev")
    with_seek = with_ends.with_columns((pl.col("_from") - before).alias("seek")).drop("_from", "_to")
    begun = rows.select("segment", "dev", "line", pl.lit(1).alias("step"))
    done = rows.filter(pl.col("line_end").is_not_null()).select(
        "segment", "dev", pl.col("line_end").alias("line"), pl.lit(-1).alias("step")
    )
    depth = pl.concat([begun, done]).sort("line").with_columns(pl.col("step").cum_sum().over("segment", "dev"))
    return with_seek.join(depth.select("line", pl.col("step").alias("depth")), on="line", how="left",
                          maintain_order="left")  # fmt: skip


@needs("block_rq_issue")
def df_request_totals(events: Events) -> pl.DataFrame:
    """Return requests summed, by dev, op, sync and comm: the task that gave them.

    requests, unfinished; bytes; mean_bytes; sequential: share that began where the one before on the device ended,
    null if none has a place; latency_median_ns, latency_p99_ns, latency_max_ns: from the last time they were given,
    null if none was completed; whole_p99_ns, whole_max_ns: from the first; depth_mean.
    """
    near = (pl.col("seek") == 0).mean().alias("sequential")
    size = (pl.col("nr_sector").cast(pl.Int64) * SECTOR_BYTES).alias("bytes")
    latency = pl.col("latency_ns")
    return (
        df_requests(events)
        .with_columns(size)
        .group_by("dev", "op", "sync", "comm")
        .agg(
            pl.len().alias("requests"),
            pl.col("line_end").null_count().alias("unfinished"),
            total("bytes"),
            pl.col("bytes").mean().alias("mean_bytes"),
            near,
            latency.median().alias("latency_median_ns"),
            latency.quantile(0.99).alias("latency_p99_ns"),
            latency.max().alias("latency_max_ns"),
            pl.col("whole_ns").quantile(0.99).alias("whole_p99_ns"),
            pl.col("whole_ns").max().alias("whole_max_ns"),
            pl.col("depth").mean().alias("depth_mean"),
        )
        .sort("dev", "bytes", "op", "comm", descending=[False, True, False, False], nulls_last=True)
    )


@needs("block_rq_issue", "block_rq_complete")
def df_device_load(events: Events) -> pl.DataFrame:
    """Return what each device did: dev; requests; read_bytes, written_bytes; busy_ns: time with a request at it.

    Only requests whose completion the trace holds count.
    """
    done = df_requests(events).filter(pl.col("line_end").is_not_null() & (pl.col("time_ns_end") >= pl.col("time_ns")))
    keys = ("segment", "dev")
    steps = pl.concat(
        [
            done.select(*keys, "time_ns", "line", pl.lit(1).alias("step")),
            done.select(
                *keys, pl.col("time_ns_end").alias("time_ns"), pl.col("line_end").alias("line"),
                pl.lit(-1).alias("step"),
            ),
        ]
    ).sort("time_ns", "line")  # fmt: skip
    held = steps.with_columns(
        pl.col("step").cum_sum().over(keys).alias("depth"),
        (pl.col("time_ns").shift(-1).over(keys) - pl.col("time_ns")).alias("gap"),
    )
    busy = held.filter(pl.col("depth") > 0).group_by("dev").agg(pl.col("gap").sum().alias("busy_ns"))
    size = pl.col("nr_sector").cast(pl.Int64) * SECTOR_BYTES
    work = done.group_by("dev").agg(
        pl.len().alias("requests"),
        size.filter(pl.col("op") == "read").sum().alias("read_bytes"),
        size.filter(pl.col("op") == "write").sum().alias("written_bytes"),
    )
    return work.join(busy, on="dev", how="left").with_columns(pl.col("busy_ns").fill_null(0)).sort("dev")


@needs("block_rq_insert|block_getrq")
def df_queueing(events: Events) -> pl.DataFrame:
    """Return how long I/O waited before the device: in the scheduler, or for a free request (a tag).

    step: scheduler (block_rq_insert to block_rq_issue) or request (block_bio_queue to block_getrq, of one task); dev,
    segment, line, line_end, time_ns, time_ns_end, wait_ns: null if the trace does not hold the end; rwbs, sector,
    nr_sector, comm, pid. With no scheduler nothing is inserted; what was merged was never issued by itself.
    """
    place = ["segment", "dev", "sector"]
    parts = []
    for step, begin, end, by in (
        ("scheduler", "block_rq_insert", "block_rq_issue", place),
        ("request", "block_bio_queue", "block_getrq", ["pid", *place]),
    ):
        if begin in events and end in events:
            rows = pair(events.frame(begin), events.frame(end).select(*by, "line", "time_ns"), by)
            parts.append(
                named(rows, events).select(
                    pl.lit(step).alias("step"), "dev", "segment", "line", "line_end", "time_ns", "time_ns_end",
                    lasted().alias("wait_ns"), "rwbs", "sector", "nr_sector",
                    pl.coalesce(pl.col("issuer").cast(pl.String), "comm").alias("comm"), "pid",
                )
            )  # fmt: skip
    if not parts:
        _raise_unpaired(events)
    return pl.concat(parts).sort("line")


def _raise_unpaired(events: Events) -> None:
    needs("block_rq_issue" if "block_rq_insert" in events else "block_bio_queue")(df_queueing.function)(events)
