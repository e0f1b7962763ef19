# SPDX-License-Identifier: GPL-2.0-or-later
"""Dates between snapshots, and other things people's collectors and forums put around counters."""

import pytest

from pageout.readers.facts import Moment
from pageout.readers.moments import seconds_of
from tests.readers.reading import of, read, snapshots, tables, unread, values


@pytest.mark.parametrize(
    "text",
    [
        "Tue Mar  3 10:15:30 UTC 2020", "Tue Mar 3 10:15:30 2020", "2020-03-03 10:15:30", "2020-03-03T10:15:30+01:00",
        "TS 1583230530", "TS 1583230530.000000000 2020-03-03 10:15:30", "zzz ***Tue Mar 3 10:15:30 CET 2020",
        "Tue 03 Mar 2020 10:15:30 AM CET", "1583230530", "--- 2020-03-03 10:15:30 ---",
    ],
)  # fmt: skip
def test_dates_of_every_collector_are_the_same_moment(text: str) -> None:
    assert seconds_of(text) == 1583230530


@pytest.mark.parametrize(
    "text", ["10:15:30", "Mar 3 10:15:30 host kernel: x", "2020-13-03 10:15:30", "15832305301", "Tue Mar 3"]
)
def test_what_is_no_whole_date_is_no_moment(text: str) -> None:
    assert seconds_of(text) is None


DISK = "   8       0 sda {0} 3 4096 500 {1} 7 8192 900 {2} 1200 1400\n"


def test_dates_stand_between_snapshots_of_diskstats_and_nothing_is_unread() -> None:
    text = "".join(f"TS 158323053{n}.5\n" + DISK.format(10 + n, 20 + n, 1) for n in range(4))

    assert [one.seconds for one in of(Moment, text)] == [1583230530.5 + n for n in range(4)]
    assert [one.number for one in snapshots(text, "diskstats")] == [0, 1, 2, 3]
    assert unread(text) == []


def test_a_date_alone_is_not_worth_reading() -> None:
    from pageout.vocabulary.errors import TraceError

    with pytest.raises(TraceError):
        read("TS 1583230530\n")


VMSTAT = """--time-- procs -----------memory---------- ---swap-- -----io---- --system-- -----cpu-----
          r  b   swpd   free   buff  cache   si   so    bi    bo   in   cs us sy id wa st
18:16:32 36  0   4528 226590 236028 744648    0    0   374 60698 2258 1663 32  5 63  1  0
18:16:37 34  0   4528 220770 236068 748592    0    0   399 77304 2063 1640 33  5 62  1  0
"""


def test_a_clock_before_each_row_of_vmstat_is_its_time() -> None:
    (table,) = tables(VMSTAT, "vmstat 1")

    assert [row.words["time"] for row in table.rows] == ["18:16:32", "18:16:37"]
    assert [row.numbers["bo"] for row in table.rows] == [60698, 77304]
    assert unread(VMSTAT) == []


def test_remarks_between_rows_do_not_end_the_table() -> None:
    head, rows = (
        VMSTAT.split("\n", 2)[:2],
        ["0 1 5 6 7 8 0 0 250628 0 1 2 0 18 52 30 0", "0 0 5 6 7 8 0 0 0 0 1 2 0 1 99 0 0"],
    )
    text = (
        "\n".join([head[0].removeprefix("--time-- "), head[1], rows[1], "", *["# what I saw then"] * 6, rows[0]]) + "\n"
    )
    (table,) = tables(text, "vmstat 1")

    assert [row.numbers["bi"] for row in table.rows] == [0, 250628]


def test_busybox_top_shows_kswapd() -> None:
    text = """ PID  PPID USER     STAT   VSZ %VSZ CPU %CPU COMMAND
   32     2 root     RW       0  0.0   0 49.9 [kswapd0]
  613     1 root     S    1409m 84.7   1  4.5 /usr/bin/player --full -x
"""
    (table,) = tables(text, "top")

    assert (table.rows[0].words["COMMAND"], table.rows[0].numbers["%CPU"]) == ("[kswapd0]", 49.9)
    assert table.rows[1].numbers["VSZ"] == 1409 * 1024
    assert unread(text) == []


def test_a_heading_of_top_may_have_a_line_for_each_of_many_cpus() -> None:
    cpus = "".join(
        f"%Cpu{n:<3}:  2.0 us,  0.3 sy,  0.0 ni, 97.7 id,  0.0 wa,  0.0 hi,  0.0 si,  0.0 st\n" for n in range(48)
    )
    text = (
        "top - 14:02:50 up 16:38,  1 user,  load average: 8.90, 4.11, 2.45\n"
        "Tasks: 488 total,   2 running, 486 sleeping,   0 stopped,   0 zombie\n"
        f"{cpus}KiB Mem : 98437376 total, 28629740 free, 60484752 used,  9322880 buff/cache\n"
    )
    (head,) = snapshots(text, "top")

    assert values(head)["Mem total"] == 98437376
    assert unread(text) == []


def test_counters_printed_bold_are_counters() -> None:
    text = "cat /proc/meminfo\nMemTotal:  1000 kB\n**Dirty:   64 kB**\n**Writeback:    0 kB\nMapped: 9 kB**\n"
    (one,) = snapshots(text, "meminfo")

    assert values(one) == {"MemTotal": 1000, "Dirty": 64, "Writeback": 0, "Mapped": 9}


def test_encoded_line_ends_of_a_mail_end_lines() -> None:
    event = (
        "  dd-55  [025] ....   165.{0}: balance_dirty_pages: bdi 8:=\n"
        "144: limit=3D1048576 setpoint=3D917504 dirty=3D950856 bdi_setpoint=3D83005 =\n"
        "bdi_dirty=3D81032 dirty_ratelimit=3D63408 task_ratelimit=3D63592 dirtied=3D=\n"
        "32 dirtied_pause=3D32 paused=3D0 pause=3D9 period=3D2 think=3D0=0A=\n"
    )
    text = "Content-Transfer-Encoding: quoted-printable\n\nAs seen:=0A=\n" + "".join(
        event.format(500_000 + n) for n in range(3)
    )
    found = read(text)

    assert found.account.events == 3
    assert found.events is not None
    assert len(found.events.frame("balance_dirty_pages")) == 3
    assert unread(text) == ["As seen:"]


def test_top_without_its_first_line_is_still_top() -> None:
    text = (
        "Tasks: 181 total,   2 running, 129 sleeping,   0 stopped,   0 zombie\n"
        "%Cpu(s):  0.1 us, 18.9 sy,  0.0 ni,  5.8 id, 75.2 wa,  0.0 hi,  0.0 si,  0.0 st\n"
        "KiB Mem :   938748 total,    46416 free,   839752 used,    52580 buff/cache\n"
        "KiB Swap:        0 total,        0 free,        0 used.    57068 avail Mem\n"
    )
    (head,) = snapshots(text, "top")

    assert (values(head)["Mem avail"], values(head)["cpu wa"]) == (57068, 75.2)
    assert unread(text) == []
