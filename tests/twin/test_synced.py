# SPDX-License-Identifier: GPL-2.0-or-later
"""Who calls fsync all along is seen by the requests he gives himself; the size of his calls only where folios tell."""

from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest

from pageout.bundle.samples import Samples
from pageout.events.tables import Events
from pageout.jit import INTERPRETED
from pageout.twin import synced
from pageout.twin.blackbox import Inputs, _Box, black_box
from pageout.twin.demand import Writer
from pageout.twin.simulated import run
from pageout.vocabulary.scenario import MIB, Task
from tests.twin.test_blackbox import SETTINGS, known

MS = 1_000_000
PAGES = 64


def requests(starts_ms: list[int], pid: int = 7, comm: str = "w") -> pl.DataFrame:
    """One request of 64 pages at each of these times, done 10 ms later."""
    nr = len(starts_ms)
    start = pl.Series([at * MS for at in starts_ms], dtype=pl.Int64)
    return pl.DataFrame({
        "op": ["write"] * nr, "sync": [True] * nr, "meta": [False] * nr, "nr_sector": [PAGES * 8] * nr,
        "dev": ["8,0"] * nr, "pid": [pid] * nr, "comm": [comm] * nr, "time_ns": start, "time_ns_end": start + 10 * MS,
    })  # fmt: skip


def calls(monkeypatch: pytest.MonkeyPatch, rows: pl.DataFrame, last_ms: int) -> synced.Synced | None:
    def found(_: Events) -> pl.DataFrame:
        return rows

    found.missing = lambda _: ()  # type: ignore[attr-defined]
    monkeypatch.setattr(synced, "df_requests", found)
    time = np.array([0, last_ms * MS])
    writer = Writer(7, "w", "8:0", time, np.array([0.0, PAGES * len(rows)]), np.zeros(2), None, None)
    return synced.synced_of(Events(), writer, "8:0", True, 10_000.0)


def test_a_call_begins_where_its_pages_could_be_dirtied_since_the_one_before(monkeypatch: pytest.MonkeyPatch) -> None:
    # two requests a call, the second while the first is under way; then 90 ms of dirtying
    starts = [at for n in range(5) for at in (100 * n, 100 * n + 5)]
    found = calls(monkeypatch, requests(starts), 500)

    assert found is not None
    assert found.is_spread
    assert (found.start_ns // MS).tolist() == [0, 100, 200, 300, 400]
    assert (found.end_ns // MS).tolist() == [15, 115, 215, 315, 415]
    assert found.during(np.array([0, 50 * MS, 110 * MS, 500 * MS])).tolist() == [0, 15 * MS, 25 * MS, 75 * MS]


def test_one_call_at_the_end_is_no_habit(monkeypatch: pytest.MonkeyPatch) -> None:
    found = calls(monkeypatch, requests([480, 485, 490, 495, 500]), 490)

    assert found is not None
    assert not found.is_spread
    assert found.at_end_ns == 510 * MS


def test_the_journal_is_no_writer(monkeypatch: pytest.MonkeyPatch) -> None:
    assert calls(monkeypatch, requests([0, 100, 200, 300], pid=9, comm="jbd2/sda-8"), 400) is None


@pytest.mark.parametrize(
    ("design", "filesystem", "nbytes"),
    [("linux-6.1", "xfs", 0), ("linux-6.12", "ext4", 0), ("linux-6.12", "xfs", 4096), ("linux-6.18", "ext4", 4096)],
)
def test_checks_tell_the_size_of_calls_where_folios_are_large(design: str, filesystem: str, nbytes: int) -> None:
    box: Any = SimpleNamespace(known=SimpleNamespace(filesystem=filesystem), _filesystem_of=lambda _: "")
    box.large_folios = _Box(Inputs(Events(), None, None, frozenset(), {}, "", 250, design=design), 1).large_folios
    one = Writer(7, "w", "8:0", np.zeros(1, np.int64), np.zeros(1), np.zeros(1), None, 1)

    assert _Box._call_bytes(box, one) == nbytes


@pytest.mark.skipif(INTERPRETED, reason="seconds of a machine, interpreted, take minutes")
def test_a_writer_that_syncs_every_few_calls_is_played_so() -> None:
    task = Task(name="w", rw="write", io_bytes=60 * MIB, bs_bytes=65536, fsync_every=32, end_fsync=True)
    before = run(msgspec.structs.replace(known(task), design="linux-6.12"))
    assert before.evidence.events is not None
    assert isinstance(before.evidence.samples, Samples)
    found = black_box(before.evidence.events, before.evidence.samples, SETTINGS, "6.12.0", 250)
    (again,) = found.scenario.tasks

    assert again.fsync_every * again.bs_bytes == pytest.approx(2 * MIB, rel=0.15)
    assert run(found.scenario).sim_seconds == pytest.approx(before.sim_seconds, rel=0.1)
