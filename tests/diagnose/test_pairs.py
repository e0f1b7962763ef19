# SPDX-License-Identifier: GPL-2.0-or-later
"""Two snapshots, in one file or two."""

from pageout.diagnose.case import Case
from pageout.diagnose.findings import Evidence
from pageout.diagnose.pairs import pair
from tests.diagnose.build import findings, given, snapshot

BEFORE = {"nr_written": 1000.0, "nr_dirty": 50_000.0, "nr_writeback": 2000.0}


def test_snapshots_of_two_files_are_a_pair_in_the_order_they_were_named() -> None:
    first = given(snapshot("vmstat", BEFORE), file="a.txt")
    last = given(snapshot("vmstat", BEFORE | {"nr_written": 9000.0}), file="b.txt")

    both = pair(Case([first, last]), "vmstat")

    assert both is not None
    assert both.delta("nr_written") == 8000
    assert both.seconds is None
    assert both.lines("nr_written") == (Evidence("a.txt", 1), Evidence("b.txt", 1))


def test_a_file_that_has_two_is_not_mixed_with_another() -> None:
    one = given(snapshot("vmstat", BEFORE), snapshot("vmstat", BEFORE | {"nr_written": 1500.0}, line=20), file="a.txt")
    other = given(snapshot("vmstat", BEFORE | {"nr_written": 9000.0}), file="b.txt")

    both = pair(Case([one, other]), "vmstat")

    assert both is not None
    assert both.delta("nr_written") == 500


def test_a_level_that_stays_is_not_stuck_while_pages_are_written() -> None:
    levels = {"MemTotal": 16_000_000.0, "MemFree": 8_000_000.0, "Dirty": 2_000_000.0, "Writeback": 80_000.0}
    still = [snapshot("meminfo", levels, line=100 * n) for n in (1, 2)]
    moving = [snapshot("vmstat", BEFORE | {"nr_written": 1000.0 * n}, line=100 * n + 50) for n in (1, 2)]

    assert "writeback-stuck" in findings(given(*still))
    assert "writeback-stuck" not in findings(given(*still, *moving))
