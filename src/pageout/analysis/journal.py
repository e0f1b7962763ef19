# SPDX-License-Identifier: GPL-2.0-or-later
"""ext4 and its journal: what a commit took, and what fsync waited.

Source: Linux v2.6.33..v6.18 fs/jbd2/commit.c:jbd2_journal_commit_transaction, fs/ext4/fsync.c:ext4_sync_file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from pageout.analysis.needs import needs
from pageout.analysis.pairs import TASK, lasted, named, pair

if TYPE_CHECKING:
    from pageout.events.tables import Events


@needs("jbd2_run_stats")
def df_journal(events: Events) -> pl.DataFrame:
    """Return one row for each transaction that was committed, as the journal says it.

    dev, tid, segment, line, time_ns: when it was done; ms: wait (for the one before), request_delay (null before 3.9),
    running, locked (nobody may join, who wants to waits), flushing (data of ordered files), logging; handle_count;
    blocks, blocks_logged.
    """
    return events.frame("jbd2_run_stats").select(
        "dev", "tid", "segment", "line", "time_ns", "wait", "request_delay", "running", "locked", "flushing", "logging",
        "handle_count", "blocks", "blocks_logged",
    )  # fmt: skip


@needs("jbd2_start_commit", "jbd2_end_commit")
def df_commits(events: Events) -> pl.DataFrame:
    """Return one row for each commit: dev, transaction, comm, pid, segment, line, line_end, time_ns, time_ns_end.

    took_ns: null if the trace does not hold the end; sync: somebody waits for it.
    """
    by = (*TASK, "dev", "transaction")
    rows = pair(events.frame("jbd2_start_commit"), events.frame("jbd2_end_commit").select(*by, "line", "time_ns"), by)
    return named(rows, events).select(
        "dev", "transaction", "comm", "pid", "segment", "line", "line_end", "time_ns", "time_ns_end",
        lasted().alias("took_ns"), pl.col("sync") == 1,
    )  # fmt: skip


@needs("ext4_sync_file_enter")
def df_fsync(events: Events) -> pl.DataFrame:
    """Return one row for each fsync on ext4: comm, pid, dev, ino, datasync, segment, line, line_end.

    time_ns, time_ns_end, took_ns: null if the trace does not hold the end; ret: 0 or -errno.
    """
    by = (*TASK, "dev", "ino")
    ends = events.frame("ext4_sync_file_exit").select(*by, "line", "time_ns", "ret")
    return named(pair(events.frame("ext4_sync_file_enter"), ends, by), events).select(
        "comm", "pid", "dev", "ino", pl.col("datasync") == 1, "segment", "line", "line_end", "time_ns", "time_ns_end",
        lasted().alias("took_ns"), pl.col("ret_end").alias("ret"),
    )  # fmt: skip
