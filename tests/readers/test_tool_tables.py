# SPDX-License-Identifier: GPL-2.0-or-later
"""Tables of vmstat, iostat, sar, pidstat, dstat, iotop, top and free: all versions, wrapped, repeated."""

import pytest

from tests.readers.reading import snapshots, tables, unread, values

VMSTAT = """procs -----------memory---------- ---swap-- -----io---- -system-- ------cpu-----
 r  b   swpd   free   buff  cache   si   so    bi    bo   in   cs us sy id wa st
 1  0      0 812344  42432 8697580    0    0   186   927  211  201 55  9 35  0  1
 0  7      0 802344  42432 8797580    0    0     0 88927  211  201  1  9  0 90  0
"""


def test_vmstat_gives_a_row_a_moment_and_says_nothing_it_does_not_know() -> None:
    (table,) = tables(VMSTAT, "vmstat 1")
    assert [row.numbers["b"] for row in table.rows] == [0, 7]
    assert table.rows[1].numbers["bo"] == 88927
    assert [row.since_boot for row in table.rows] == [None, False]
    assert table.unit_bytes is None
    assert not unread(VMSTAT)


@pytest.mark.parametrize(
    ("command", "unit", "since_boot"),
    [
        ("vmstat 1", 1024, True),
        ("vmstat -S M 1", 1 << 20, True),
        ("vmstat -w -Sm 1", 10**6, True),
        ("vmstat -y 1 5", 1024, False),
    ],
)
def test_the_command_tells_the_unit_and_the_first_row(command: str, unit: int, since_boot: bool) -> None:
    (table,) = tables(f"$ {command}\n{VMSTAT}", "vmstat 1")
    assert (table.unit_bytes, table.rows[0].since_boot, table.rows[1].since_boot) == (unit, since_boot, False)
    assert table.command == command


def test_a_vmstat_header_that_comes_again_goes_on_with_the_table() -> None:
    (table,) = tables(VMSTAT * 3, "vmstat 1")
    assert len(table.rows) == 6
    assert [row.since_boot for row in table.rows] == [None] + [False] * 5


def test_two_vmstats_of_two_commands_are_two_tables() -> None:
    text = f"$ vmstat 1\n{VMSTAT}$ vmstat 1\n{VMSTAT}"
    assert [len(table.rows) for table in tables(text, "vmstat 1")] == [2, 2]


def test_a_wrapped_vmstat_is_joined_by_its_columns() -> None:
    text = VMSTAT.replace(" -system-- ------cpu-----", "\n-system-- ------cpu-----").replace(" wa st", "\nwa st")
    text = text.replace("35  0  1\n", "35\n 0  1\n").replace(" 90  0\n", "\n90  0\n")
    (table,) = tables(text, "vmstat 1")
    assert table.rows[0].numbers == tables(VMSTAT, "vmstat 1")[0].rows[0].numbers
    assert table.rows[1].numbers["wa"] == 90
    assert not unread(text)


def test_vmstat_of_today_has_guests_and_a_clock() -> None:
    text = (
        "--procs-- -----------------------memory---------------------- ---swap-- -----io---- -system-- "
        "----------cpu---------- -----timestamp-----\n"
        "   r    b         swpd         free        inact       active   si   so    bi    bo   in   cs  us  sy  id  wa"
        "  st  gu                 UTC\n"
        "   1    0            0     21737668        42432      2697580    0    0   186   927  211  201  55   9  35   0"
        "   1   2 2026-11-23 07:45:12\n"
    )
    (table,) = tables(text, "vmstat 1")
    assert (table.rows[0].numbers["gu"], table.rows[0].numbers["active"]) == (2, 2697580)
    assert table.rows[0].words["time"] == "2026-11-23 07:45:12"
    assert not unread(text)


def test_a_cut_row_keeps_the_columns_it_has() -> None:
    text = VMSTAT + " 0  9      0 702344  42432\nand here it hung\n"
    row = tables(text, "vmstat 1")[0].rows[-1]
    assert row.numbers == {"r": 0, "b": 9, "swpd": 0, "free": 702344, "buff": 42432}
    assert unread(text) == ["and here it hung"]


@pytest.mark.parametrize(
    "row", ["1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18", "one two three", f"1 0 {'9' * 400} 1 1"]
)
def test_what_does_not_fit_the_table_is_unread(row: str) -> None:
    assert len(unread(f"{VMSTAT}{row}\n")) == 1
    assert len(tables(f"{VMSTAT}{row}\n", "vmstat 1")[0].rows) == 2


def test_vmstat_s_is_a_snapshot() -> None:
    text = (
        "     24684092 K total memory\n       616700 K used memory\n  12983455 "
        "K paged in\n 10 pages swapped in\n 7 forks\n"
    )
    (found,) = snapshots(text, "vmstat -s")
    assert values(found) == {
        "total memory": 24684092,
        "used memory": 616700,
        "paged in": 12983455,
        "pages swapped in": 10,
        "forks": 7,
    }
    assert not unread(text)


BANNER = "Linux 5.10.0-8-amd64 (box) \t01/02/2022 \t_x86_64_\t(4 CPU)\n\n"
CPU = (
    "avg-cpu:  %user   %nice %system %iowait  %steal   %idle\n           "
    "1.00    0.00    2.00   90.00    0.00    7.00\n\n"
)
OLD = (
    "Device:         rrqm/s   wrqm/s     r/s     w/s    rkB/s    wkB/s avgrq-sz "
    "avgqu-sz   await r_await w_await  svctm  %util\n"
    "sda               0.00   934.00    0.50  200.00     2.00 48690.00   "
    "486.00   142.59  713.00    9.00  715.00   5.00 100.00\n"
    "dm-0              0.00     0.00    0.50 1134.00     2.00 48690.00    "
    "85.00   842.59  713.00    9.00  715.00   0.88 100.00\n\n"
)
NEW = (
    "Device            r/s     rkB/s   rrqm/s  %rrqm r_await rareq-sz     "
    "w/s     wkB/s   wrqm/s  %wrqm w_await wareq-sz     d/s"
    "     dkB/s   drqm/s  %drqm d_await dareq-sz     f/s f_await  aqu-sz  %util\n"
    "nvme0n1          0.50      2.00     0.00   0.00    9.00     4.00  200.00 "
    " 48690.00   934.00  82.36  715.00   243.45    0.00"
    "      0.00     0.00   0.00    0.00     0.00    0.10   33.00  142.59 100.00\n\n"
)
MB = OLD.replace("rkB/s    wkB/s", "rMB/s    wMB/s")
SECTORS = (
    OLD.replace("rkB/s    wkB/s", "rsec/s   wsec/s").replace(" r_await w_await", "").replace("9.00  715.00   ", "")
)
PLAIN = (
    "Device             tps    kB_read/s    kB_wrtn/s    kB_dscd/s    kB_read    "
    "kB_wrtn    kB_dscd\nsda  200.5 2.0 48690.0 0.0 100 200 0\n\n"
)


@pytest.mark.parametrize(
    ("report", "source", "column", "value"),
    [
        (OLD, "iostat -x", "w_await", 715),
        (NEW, "iostat -x", "aqu-sz", 142.59),
        (MB, "iostat -x", "wMB/s", 48690),
        (SECTORS, "iostat -x", "wsec/s", 48690),
        (PLAIN, "iostat", "kB_wrtn/s", 48690),
    ],
)
def test_iostat_of_every_version_is_read(report: str, source: str, column: str, value: float) -> None:
    text = BANNER + (CPU + report) * 3
    (table,) = tables(text, source)
    assert [row.numbers[column] for row in table.rows][:1] == [value]
    assert {row.report for row in table.rows} == {0, 1, 2}
    assert {(row.report, row.since_boot) for row in table.rows} == {(0, True), (1, False), (2, False)}
    (cpu,) = tables(text, "iostat cpu")
    assert [(row.report, row.numbers["%iowait"]) for row in cpu.rows] == [(0, 90), (1, 90), (2, 90)]
    assert not unread(text)


def test_an_iostat_without_its_beginning_may_or_may_not_be_since_boot() -> None:
    assert [row.since_boot for row in tables(OLD + OLD, "iostat -x")[0].rows] == [None, None, False, False]
    assert not any(row.since_boot for row in tables(f"$ iostat -xy 1\n{OLD}", "iostat -x")[0].rows)


@pytest.mark.parametrize("width", [72, 76, 90])
@pytest.mark.parametrize("report", [OLD, NEW, PLAIN])
def test_a_wrapped_iostat_is_joined_by_its_columns(report: str, width: int) -> None:
    source = "iostat" if report is PLAIN else "iostat -x"
    text = BANNER + "".join(folded(line, width) + "\n" for line in (CPU + report).splitlines()) * 2
    (table,) = tables(text, source)
    (plain,) = tables(BANNER + (CPU + report) * 2, source)
    assert [(row.words, row.numbers, row.report) for row in table.rows] == [
        (row.words, row.numbers, row.report) for row in plain.rows
    ]
    assert not unread(text)


def folded(line: str, width: int) -> str:
    """A line cut at its last blank before `width`, again and again, as a mailer does."""
    parts = []
    while len(line) > width and (at := line.rfind(" ", 0, width)) > 0:
        parts.append(line[:at])
        line = line[at + 1 :]
    return "\n".join([*parts, line])


def test_iostat_with_times_commas_units_and_nan() -> None:
    text = (
        f"{BANNER}01/02/2022 10:00:00 AM\n"
        "Device            r/s     rkB/s   w_await aqu-sz  %util\nsda  0,50  2,00  -nan  142,59  100,00\n\n"
        "01/02/2022 10:00:01 AM\n"
        "     r/s     rkB/s   w_await aqu-sz  %util Device\n   0.5  1.5M 3.0 4.0 5.0% sda\n"
    )
    first, second = tables(text, "iostat -x")
    assert first.rows[0].numbers == {"r/s": 0.5, "rkB/s": 2.0, "aqu-sz": 142.59, "%util": 100}
    assert first.rows[0].words == {"Device": "sda", "time": "01/02/2022 10:00:00 AM"}
    assert second.rows[0].words["Device"] == "sda"
    assert not unread(text)


SAR_B = """04:00:00 PM  pgpgin/s pgpgout/s   fault/s  majflt/s  pgfree/s pgscank/s pgscand/s pgsteal/s    %vmeff
04:10:00 PM   6570.43  37504.61   1937.60      0.20 337274.24 10817339.49      0.00  10623.60      0.10
04:20:00 PM   6266.09  28821.33   4392.91      0.65 266336.28 8464619.82      0.00   7756.98      0.09
Average:      6418.26  33162.97   3165.25      0.42 301805.26 9640979.65      0.00   9190.29      0.10
"""


@pytest.mark.parametrize("wrap", [False, True])
@pytest.mark.parametrize("clock", ["04:10:00 PM", "16:10:00"])
def test_sar_is_read_with_either_clock_wrapped_or_not(clock: str, wrap: bool) -> None:
    text = SAR_B.replace("04:10:00 PM", clock)
    if wrap:
        text = "\n".join(folded(line, 72) for line in text.splitlines()) + "\n"
    (table,) = tables(text, "sar -B")
    assert table.columns[0] == "pgpgin/s"
    assert [row.numbers["%vmeff"] for row in table.rows] == [0.10, 0.09, 0.10]
    assert [row.numbers["pgscank/s"] for row in table.rows] == [10817339.49, 8464619.82, 9640979.65]
    assert [row.average for row in table.rows] == [False, False, True]
    assert table.rows[0].words == {"time": clock}
    assert not unread(text)


@pytest.mark.parametrize(
    ("option", "header", "row"),
    [
        (
            "-r",
            "kbmemfree kbavail kbmemused %memused kbbuffers kbcached kbcommit %commit kbactive kbinact kbdirty",
            "1 2 3 4 5 6 7 8 9 10 11",
        ),
        ("-r", "kbmemfree kbmemused  %memused kbbuffers  kbcached  kbcommit   %commit", "1 2 3 4 5 6 7"),
        ("-S", "kbswpfree kbswpused  %swpused  kbswpcad   %swpcad", "1 2 3 4 5"),
        ("-W", "pswpin/s pswpout/s", "1.0 2.0"),
        ("-b", "tps      rtps      wtps      dtps   bread/s   bwrtn/s   bdscd/s", "1 2 3 4 5 6 7"),
        ("-b", "tps      rtps      wtps   bread/s   bwrtn/s", "1 2 3 4 5"),
        ("-q", "runq-sz  plist-sz   ldavg-1   ldavg-5  ldavg-15   blocked", "1 2 3 4 5 6"),
        ("-u", "CPU     %user     %nice   %system   %iowait    %steal     %idle", "all 1 2 3 4 5 6"),
        (
            "-d",
            "DEV       tps     rkB/s     wkB/s     dkB/s   areq-sz    aqu-sz     await     %util",
            "sda 1 2 3 4 5 6 7 8",
        ),
        (
            "-d",
            "DEV       tps  rd_sec/s  wr_sec/s  avgrq-sz  avgqu-sz     await     svctm     %util",
            "dev8-0 1 2 3 4 5 6 7 8",
        ),
    ],
)
def test_each_option_of_sar_has_its_own_table(option: str, header: str, row: str) -> None:
    text = f"{BANNER}10:00:01        {header}\n10:10:01        {row}\n10:20:01        {row}\nAverage:        {row}\n"
    (table,) = tables(text, f"sar {option}")
    assert len(table.rows) == 3
    assert not any(row.since_boot for row in table.rows)
    assert len(table.rows[0].numbers) == sum(word.replace(".", "").isdigit() for word in row.split())
    assert not unread(text)


def test_sar_goes_on_after_a_repeated_header_and_a_restart() -> None:
    text = SAR_B + "\n04:30:00 PM       LINUX RESTART\t(4 CPU)\n\n" + SAR_B
    (table,) = tables(text, "sar -B")
    assert len(table.rows) == 6
    assert not unread(text)


def test_pidstat_names_the_writer() -> None:
    text = (
        f"{BANNER}10:00:01 AM   UID       PID   kB_rd/s   kB_wr/s kB_ccwr/s iodelay  Command\n"
        "10:00:02 AM     0       812      0.00  48690.00      0.00      99  kworker/u8:1+flush-8:0\n"
        "10:00:02 AM  1000      4719     -1.00     -1.00     -1.00       0  my writer\n\n"
        "Average:        0       812      0.00  48690.00      0.00      99  kworker/u8:1+flush-8:0\n"
    )
    (table,) = tables(text, "pidstat -d")
    assert [row.words["Command"] for row in table.rows] == [
        "kworker/u8:1+flush-8:0",
        "my writer",
        "kworker/u8:1+flush-8:0",
    ]
    assert table.rows[0].numbers["PID"] == 812
    assert not unread(text)


def test_pidstat_h_has_seconds_since_the_epoch() -> None:
    text = (
        "#      Time   UID       PID    %usr %system  %guest   %wait    %CPU   CPU  Command\n 1700000000 "
        "    0        45    0.00   99.00    0.00    0.00   99.00     1  kswapd0\n"
    )
    (table,) = tables(text, "pidstat -u")
    assert table.rows[0].numbers["%CPU"] == 99
    assert table.rows[0].words == {"time": "1700000000", "CPU": "1", "Command": "kswapd0"}


TOP = """top - 07:45:12 up  9:41,  1 user,  load average: 12.02, 8.37, 3.92
Tasks: 179 total,   2 running, 177 sleeping,   0 stopped,   0 zombie
%Cpu(s):  1.5 us, 50.0 sy,  0.0 ni,  0.0 id, 48.5 wa,  0.0 hi,  0.0 si,  0.0 st
MiB Mem :  24105.5 total,    228.0 free,    601.8 used,  23275.9 buff/cache
MiB Swap:      0.0 total,      0.0 free,      0.0 used.  23503.7 avail Mem

    PID USER      PR  NI    VIRT    RES    SHR S  %CPU  %MEM     TIME+ COMMAND
     45 root      20   0       0      0      0 R  99.7   0.0   0:50.00 kswapd0
   4267 me        20   0    1.2g   5140   3080 D   6.2   0.0   0:00.01 dd if=/dev/zero
"""


def test_top_knows_how_much_kswapd_takes_and_who_waits() -> None:
    (table,) = tables(TOP, "top")
    rows = {row.words["COMMAND"]: row for row in table.rows}
    assert rows["kswapd0"].numbers["%CPU"] == 99.7
    assert rows["dd if=/dev/zero"].words["S"] == "D"
    assert rows["dd if=/dev/zero"].numbers["VIRT"] == pytest.approx(1.2 * (1 << 20))
    (head,) = snapshots(TOP, "top")
    assert values(head)["Mem buff/cache"] == pytest.approx(23275.9 * 1024)
    assert (values(head)["load 1"], values(head)["cpu wa"], values(head)["Mem avail"]) == (12.02, 48.5, 23503.7 * 1024)
    assert not unread(TOP)


def test_top_of_2010_and_two_reports() -> None:
    old = TOP.replace(
        "MiB Mem :  24105.5 total,    228.0 free,    601.8 used,  23275.9 buff/cache",
        "Mem:   1017k total,    1000k used,    17k free,     9k buffers",
    )
    old = old.replace(
        "MiB Swap:      0.0 total,      0.0 free,      0.0 used.  23503.7 avail Mem",
        "Swap:  2000k total,     4k used,  1996k free,   500k cached",
    )
    old = old.replace(
        "%Cpu(s):  1.5 us, 50.0 sy,  0.0 ni,  0.0 id, 48.5 wa", "Cpu(s):  1.5%us, 50.0%sy,  0.0%ni,  0.0%id, 48.5%wa"
    )
    text = old + "\n" + old
    first, second = snapshots(text, "top")
    assert (first.number, second.number) == (0, 1)
    assert (values(first)["Mem free"], values(first)["Mem cached"], values(first)["cpu wa"]) == (17, 500, 48.5)
    (table,) = tables(text, "top")
    assert [row.report for row in table.rows] == [0, 0, 1, 1]
    assert not unread(text)


def test_iotop_gives_bytes_a_second() -> None:
    text = (
        "Total DISK READ :       0.00 B/s | Total DISK WRITE :      12.30 M/s\n"
        "Actual DISK READ:       0.00 B/s | Actual DISK WRITE:      12.30 M/s\n"
        "    TID  PRIO  USER     DISK READ  DISK WRITE  SWAPIN     IO>    COMMAND\n"
        "    812 be/4 root        0.00 B/s   12.00 M/s  0.00 % 99.99 % [kworker/u8:1+flush-8:0]\n"
        "    813 be/4 me          1.00 K/s    0.00 B/s  ?unavailable?  dd if=/dev/zero\n"
    )
    (table,) = tables(text, "iotop")
    assert table.rows[0].numbers == {"TID": 812, "read_bytes_s": 0, "write_bytes_s": 12 << 20, "SWAPIN": 0, "IO": 99.99}
    assert table.rows[1].numbers == {"TID": 813, "read_bytes_s": 1024, "write_bytes_s": 0}
    assert not unread(text)


def test_dstat_names_columns_by_group() -> None:
    text = (
        "----total-cpu-usage---- -dsk/total- -net/total- ---paging-- ---system--\n"
        "usr sys idl wai hiq siq| read  writ| recv  send|  in   out | int   csw\n"
        "  1   2  90   7   0   0|  28k  148M|   0     0 |   0     0 | 318  1233\n"
    )
    (table,) = tables(text, "dstat")
    assert table.rows[0].numbers["dsk/total:writ"] == 148 << 20
    assert table.rows[0].numbers["total-cpu-usage:wai"] == 7
    assert not unread(text)


@pytest.mark.parametrize(
    ("option", "unit"), [("", 1024), (" -m", 1 << 20), (" -g", 1 << 30), (" -k", 1024), (" -b", 1)]
)
def test_free_has_the_unit_of_its_command(option: str, unit: int) -> None:
    table = (
        "              total        used        free      shared  buff/cache   available\n"
        "Mem:          24105         601       21228           8        2675       23503\n"
        "Swap:             0           0           0\n"
    )
    text = f"$ free{option}\n{table}"
    memory, swap = snapshots(text, "free")
    assert (memory.part, memory.unit_bytes, values(memory)["buff/cache"]) == ("Mem", unit, 2675)
    assert values(swap) == {"total": 0, "used": 0, "free": 0}
    assert snapshots(table, "free")[0].unit_bytes is None
    assert not unread(text)


def test_free_of_2010_and_free_for_humans() -> None:
    old = (
        "             total       used       free     shared    buffers     cached\nMem:       1017      "
        "1000         17          0          9        500\n-/+ buffers/cache:       "
        " 491        526\nSwap:      2000         4       1996\n"
    )
    parts = {snapshot.part: values(snapshot) for snapshot in snapshots(old, "free")}
    assert parts["-/+ buffers/cache"] == {"used": 491, "free": 526}
    human = (
        "               total        used        free      shared  buff/cache   available\n"
        "Mem:            23Gi       601Mi        20Gi       8.6Mi       2.6Gi        22Gi\n"
        "Swap:             0B          0B          0B\n"
    )
    memory = snapshots(human, "free")[0]
    assert (memory.unit_bytes, values(memory)["total"]) == (1, 23 << 30)
    assert not unread(old + human)
