# SPDX-License-Identifier: GPL-2.0-or-later
"""Tables of drsnoop, biosnoop and their kin."""

import pytest

from pageout.vocabulary.errors import TraceError
from tests.readers.traces import read


def test_direct_reclaims_of_drsnoop():
    found = read(
        "COMM           PID     LAT(ms)  PAGES\nsummond        17678      0.19     143\nWeb Content    5 0.27 114\n"
        "IndexedDB #18  7       0.05     1\n               7       0.05     1\n"
    )

    (table,) = found.facts
    assert (table.line, table.source) == (1, "drsnoop")
    assert [(row.line, row.words["COMM"], row.numbers) for row in table.rows] == [
        (2, "summond", {"PID": 17678, "LAT(ms)": 0.19, "PAGES": 143}),
        (3, "Web Content", {"PID": 5, "LAT(ms)": 0.27, "PAGES": 114}),
        (4, "IndexedDB #18", {"PID": 7, "LAT(ms)": 0.05, "PAGES": 1}),
        (5, "", {"PID": 7, "LAT(ms)": 0.05, "PAGES": 1}),
    ]
    assert found.account.unread == 0


def test_requests_of_biosnoop_old_and_new_and_of_bpftrace():
    found = read(
        "Tracing block device I/O... Hit Ctrl-C to end.\n"
        "TIME(s)     COMM           PID    DISK      T SECTOR     BYTES  QUE(ms) LAT(ms)\n"
        "0.000004    supervise      1950   xvda1     W 13092560   4096      0.02    0.74\n"
        "0.000100    ?              0                R -1         8         0.02    0.38\n\n"
        "TIME(ms)     DISK    COMM             PID    LAT(ms)\n611          nvme0n1 my task          3379   1.5\n"
    )

    first, second = found.facts
    assert [row.numbers["LAT(ms)"] for row in first.rows] == [0.74, 0.38]
    assert [row.words["DISK"] for row in first.rows] == ["xvda1", ""]
    assert second.rows[0].words == {"DISK": "nvme0n1", "COMM": "my task"}
    assert found.kind == "BPF table (biosnoop)"


def test_a_table_ends_where_a_row_does_not_fit():
    found = read("COMM PID LAT(ms) PAGES\nx 5 0.1 3\nand 7 of these\nx 5 0.1 3\n^C\n")

    assert len(found.facts[0].rows) == 1
    assert found.account.unread == 3


@pytest.mark.parametrize("text", ["COMM PID\nx 5\n", "PID USER PR NI VIRT RES\n5 root 20 0 1 1\n", "TIME COMM\n"])
def test_tables_of_other_tools_are_not_taken(text):
    with pytest.raises(TraceError, match="nothing here"):
        read(text)
