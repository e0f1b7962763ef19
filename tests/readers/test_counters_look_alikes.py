# SPDX-License-Identifier: GPL-2.0-or-later
"""Texts that look like counters and are something else: an unread line is better than a wrong fact."""

import pytest

from pageout.readers.facts import Snapshot, Sysctl, Table
from pageout.readers.read import read_pieces
from tests.readers.reading import of, snapshots, tables, values

LOOK_ALIKES = {
    "smaps": "Rss:    512 kB\nPss:     10 kB\nAnonHugePages:      2048 "
    "kB\nShmemPmdMapped:     0 kB\nFilePmdMapped:      0 kB\n",
    "status": "VmPeak:    5120 kB\nVmRSS:     512 kB\nThreads:\t1\nvoluntary_ctxt_switches:\t150\n",
    "sched": "nr_switches          :    123\nnr_voluntary_switches :   5\nse.load.weight : 1048576\n",
    "queue": "nr_requests: 64\nnr_running 5\n",
    "blkparse": "  8,0    1        2     0.000001 812  Q   W 223490 + 8 [dd]\n8 0 sda 1 2\n",
    "partitions": "   8        0  976762584 sda\n   8        1     524288 sda1\n",
    "a short row": "1 2 abc 4 5 6 7 8\n",
    "ls": "total 4\ndrwxr-xr-x 2 root root 4096 Jan  1 10:00 proc\n",
    "sources": "fs/ext4/inode.c: 1234\nnet/core.c: warning\nkernel: BUG\n",
    "a path in prose": "/sys/block/sda/queue/nr_requests is too "
    "small\n/sys/block/sda/queue/nr_requests: I set this to 64\n",
    "a word": "scheduler: mq-deadline\nmax_bytes=5\n",
    "C": "dirty = 1;\nnr_dirty = 5;\nint free = 3;\n",
    "psi words": "some things take 5 minutes\nfull of it\nlow 5\n",
    "clock": "10:00:01 it froze\n10:00:02 tps went down\n10:00:03 1 2 3\n",
}


@pytest.mark.parametrize("name", LOOK_ALIKES)
def test_what_only_looks_like_a_counter_is_left_alone(name: str) -> None:
    text = f"Dirty: 7 kB\n\n\n\n\n\nplain words\n{LOOK_ALIKES[name]}plain words\n"
    assert [values(fact) for fact in of(Snapshot, text)] == [{"Dirty": 7}]
    assert not of(Table, text)
    assert not of(Sysctl, text)


def test_a_sysctl_named_like_a_counter_is_a_sysctl() -> None:
    text = "compact_memory:1\nzone_reclaim_mode:0\nnr_hugepages:0\ndirty_ratio:20\n"
    assert [fact.name for fact in of(Sysctl, text)] == [
        "vm.compact_memory",
        "vm.zone_reclaim_mode",
        "vm.nr_hugepages",
        "vm.dirty_ratio",
    ]
    assert not of(Snapshot, text)


def test_a_word_and_a_number_after_a_table_are_no_row() -> None:
    text = "Device r/s w/s rkB/s wkB/s await %util\nsda 1 2 3 4 5 6\n\nAttached 3 files\nAttached 3\n\n\nthanks 4 5 6\n"
    (table,) = tables(text, "iostat -x")
    assert [row.words["Device"] for row in table.rows] == ["sda"]


@pytest.mark.parametrize("nr", [1, 5000])
def test_a_line_without_end_is_not_looked_at(nr: int) -> None:
    line = b"MemTotal: 5 kB " * (100 * nr)
    found = read_pieces("x", [b"Dirty: 1 kB\n", line, b"\n"])
    assert found.account.unread == 1
    assert [values(fact) for fact in found.facts if isinstance(fact, Snapshot)] == [{"Dirty": 1}]


def test_a_zone_alone_in_an_oom_report_is_not_zoneinfo() -> None:
    text = "Dirty: 1 kB\nNode 0 Normal free:5kB min:3kB low:4kB high:5kB\nNode 0 Normal: 5*4kB (UME) 3*8kB (U) = 44kB\n"
    assert not snapshots(text, "zoneinfo")
    assert not snapshots(text, "buddyinfo")


@pytest.mark.parametrize(
    "line",
    [
        "dentry 1 2 : " + "1 " * 60 + "x",
        "dentry 1 2 : " + ": " * 60 + "x",
        "/sys/block/sda/queue/scheduler:" + "a" * 300 + "! [b]",
        "/sys/block/sda/queue/scheduler:[" + "a " * 300 + "!",
    ],
)
def test_a_line_that_nearly_fits_is_given_up_at_once(line: str) -> None:
    text = f"slabinfo - version: 2.1\n{line}\n"
    assert read_pieces("x", [text.encode()]).account.lines == 2
