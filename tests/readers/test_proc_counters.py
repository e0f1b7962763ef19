# SPDX-License-Identifier: GPL-2.0-or-later
"""meminfo, vmstat, zoneinfo, buddyinfo, diskstats, pressure, slabinfo in every dress they are pasted in."""

import pytest

from pageout.readers.facts import KernelVersion, Snapshot
from tests.readers.reading import of, read, snapshots, unread, values

MEMINFO = """MemTotal:       16318480 kB
MemFree:          812344 kB
MemAvailable:    9120044 kB
Cached:          8100220 kB
Active(file):    3000100 kB
Dirty:             51200 kB
Writeback:          1024 kB
NFS_Unstable:          0 kB
HugePages_Total:       3
Hugepagesize:       2048 kB
"""


def test_meminfo_is_one_snapshot_in_kib_each_value_with_its_line() -> None:
    (found,) = snapshots(MEMINFO, "meminfo")
    assert values(found)["Dirty"] == 51200
    assert found.values["Dirty"].line == 6
    assert values(found)["HugePages_Total"] == 3
    assert not unread(MEMINFO)


@pytest.mark.parametrize(
    "text",
    [
        "Dirty:   51200 KB\nWriteback: 1024 kb\n",
        "Dirty: 50 MB\nWriteback: 1 MiB\n",
        "Dirty: 51,200 kB\nWriteback: 1,024 kB\n",
        "Dirty:\n   51200 kB\nWriteback:  1024\nkB\n",
        "Dirty: 51200 kB Writeback: 1024 kB\n",
        "Dirty: 51200 kB, Writeback: 1024 kB\n",
        "Dirty 51200 kB\nWriteback 1024 kB\n",
        "/proc/meminfo:Dirty:  51200 kB\n/proc/meminfo:Writeback: 1024 kB\n",
        "meminfo:Dirty:  51200 kB\nmeminfo:Writeback: 1024 kB\n",
        "$ grep -E 'Dirty|Writeback:' /proc/meminfo\nDirty:  51200 kB\nWriteback: 1024 kB\n",
        "Dirty:  51200 kB\n...\nWriteback: 1024 kB\n",
        "Dirty:             51200 kB\r\nWriteback:          1024 kB\r\n",
    ],
)
def test_meminfo_is_read_however_it_is_spelt(text: str) -> None:
    (found,) = snapshots(text, "meminfo")
    assert values(found) == {"Dirty": 51200, "Writeback": 1024}


def test_a_field_of_a_later_kernel_is_kept_inside_meminfo_and_left_alone_outside() -> None:
    inside = "Dirty: 5 kB\nNovelty:  12 kB\nWriteback: 1 kB\n"
    assert values(snapshots(inside, "meminfo")[0]) == {"Dirty": 5, "Novelty": 12, "Writeback": 1}
    assert unread("Novelty:  12 kB\n\n\n\n\nDirty: 5 kB\n") == ["Novelty:  12 kB"]


@pytest.mark.parametrize(
    "line",
    [
        "Cached: -123 kB",
        "Cached: lots kB",
        f"Cached: {'9' * 40} kB",
        f"Cached: {'9' * 5000} kB",
        "Cached: 18446744073709551615 kB",
    ],
)
def test_a_value_that_is_no_count_is_unread_and_its_neighbours_are_kept(line: str) -> None:
    text = f"Dirty: 5 kB\n{line}\nWriteback: 1 kB\n"
    (found,) = snapshots(text, "meminfo")
    assert values(found) == {"Dirty": 5, "Writeback": 1}
    assert len(unread(text)) == 1


def test_snapshots_of_a_loop_are_numbered() -> None:
    text = "".join(f"Mon Jan  6 10:00:0{n} UTC 2025\nDirty: {n} kB\nWriteback: 0 kB\n" for n in range(3))
    found = snapshots(text, "meminfo")
    assert [(snapshot.number, values(snapshot)["Dirty"]) for snapshot in found] == [(0, 0), (1, 1), (2, 2)]
    assert not unread(text)


def test_prose_between_two_halves_makes_two_moments() -> None:
    text = "Dirty: 5 kB\n" + "and then we waited\n" * 5 + "Writeback: 1 kB\n"
    assert [snapshot.number for snapshot in snapshots(text, "meminfo")] == [0, 1]


def test_a_mark_of_the_author_beside_counters_is_known() -> None:
    assert not unread("Dirty: 5 kB\n[...]\nWriteback: 1 kB\n^C\n")
    assert unread("Dirty: 5 kB\n\n\n\nso much\n^C\n") == ["so much", "^C"]


def test_meminfo_of_a_node_has_the_node_as_its_part() -> None:
    text = "Node 0 MemTotal:  100 kB\nNode 0 Dirty:  5 kB\nNode 1 MemTotal:  200 kB\n"
    assert {snapshot.part: values(snapshot)["MemTotal"] for snapshot in snapshots(text, "meminfo")} == {
        "Node 0": 100,
        "Node 1": 200,
    }


def test_prose_that_mentions_a_counter_is_not_a_snapshot() -> None:
    text = "Dirty: 5 kB\n\n\n\n\nI saw Dirty: 700 kB once, and Cached went to 5 GB.\nfree pages 3\ncache 5 of them\n"
    (found,) = snapshots(text, "meminfo")
    assert values(found) == {"Dirty": 5}


def test_vmstat_is_read_bare_prefixed_and_wrapped() -> None:
    bare = "nr_free_pages 1320053\nnr_dirty 495\npgscan_direct 3\nkswapd_low_wmark_hit_quickly 7\noom_kill 0\n"
    expected = {
        "nr_free_pages": 1320053,
        "nr_dirty": 495,
        "pgscan_direct": 3,
        "kswapd_low_wmark_hit_quickly": 7,
        "oom_kill": 0,
    }
    prefixed = "".join(f"/proc/vmstat:{line}\n" for line in bare.splitlines())
    wrapped = bare.replace("kswapd_low_wmark_hit_quickly 7", "kswapd_low_wmark_hit_quickly\n7")
    for text in (bare, prefixed, wrapped, f"# cat /proc/vmstat\n{bare}"):
        (found,) = snapshots(text, "vmstat")
        assert values(found) == expected
        assert not unread(text)


def test_counters_a_cgroup_shares_with_vmstat_go_with_the_block_they_stand_in() -> None:
    text = "pgfault 10\npgscan_direct 4\nworkingset_refault_file 9\nfile_dirty 4096\npgsteal 3\n"
    (found,) = snapshots(text, "memory.stat")
    assert values(found) == {
        "pgfault": 10,
        "pgscan_direct": 4,
        "workingset_refault_file": 9,
        "file_dirty": 4096,
        "pgsteal": 3,
    }
    assert not snapshots(text, "vmstat")
    assert not unread(text)
    only = "pgscan_direct 4\npgscan_kswapd 5\n"
    assert values(snapshots(only, "vmstat")[0]) == {"pgscan_direct": 4, "pgscan_kswapd": 5}


ZONEINFO_NEW = """Node 0, zone   Normal
  per-node stats
      nr_inactive_file 436000
      nr_dirty     458
  pages free     4591519
        boost    16
        min      14769
        low      20163
        high     25557
        promo    30951
        spanned  5505024
        present  5505024
        managed  5394266
        cma      0
        protection: (0, 0, 12, 13)
      nr_free_pages 4591519
      nr_zone_write_pending 458
  pagesets
    cpu: 0
              count:    9524
              high:     10900
              batch:    63
              high_min: 10081
  vm stats threshold: 36
    cpu: 1
              count:    4836
              high:     12019
              batch:    63
  vm stats threshold: 36
  node_unreclaimable:  0
  start_pfn:           1048576
"""
ZONEINFO_OLD = """Node 0, zone      DMA
  pages free     3977
        min      5
        low      6
        high     7
        scanned  0 (a: 17 i: 0)
        spanned  4080
        present  3852
    nr_free_pages 3977
    nr_vmscan_write 4
        protection: (0, 2991, 16121, 16121)
  pagesets
    cpu: 0
              count: 0
              high:  0
              batch: 1
  vm stats threshold: 6
    cpu: 1 pcp: 1
              count: 3
              high:  4
              batch: 1
  all_unreclaimable: 1
  prev_priority:     12
  temp_priority:     12
  start_pfn:         16
  inactive_ratio:    1
"""


@pytest.mark.parametrize("indented", [True, False])
def test_zoneinfo_of_today_keeps_zone_and_node_apart(indented: bool) -> None:
    text = ZONEINFO_NEW if indented else "\n".join(line.strip() for line in ZONEINFO_NEW.splitlines())
    by_part = {snapshot.part: values(snapshot) for snapshot in snapshots(text, "zoneinfo")}
    zone = by_part["Node 0, zone Normal"]
    assert (zone["free"], zone["boost"], zone["min"], zone["low"], zone["high"]) == (4591519, 16, 14769, 20163, 25557)
    assert (zone["managed"], zone["protection 2"], zone["start_pfn"], zone["node_unreclaimable"]) == (
        5394266,
        12,
        1048576,
        0,
    )
    assert (zone["cpu 0 high"], zone["cpu 1 count"]) == (10900, 4836)
    assert by_part["Node 0"] == {"nr_inactive_file": 436000, "nr_dirty": 458}
    assert not unread(text)


def test_zoneinfo_of_2010_and_before_is_read() -> None:
    (found,) = snapshots(ZONEINFO_OLD, "zoneinfo")
    zone = values(found)
    assert (zone["all_unreclaimable"], zone["prev_priority"], zone["scanned"], zone["protection 3"]) == (
        1,
        12,
        0,
        16121,
    )
    assert (zone["high"], zone["cpu 0 high"], zone["cpu 1 pcp 1 count"]) == (7, 0, 3)
    assert not unread(ZONEINFO_OLD)


def test_two_zoneinfos_are_two_snapshots_of_each_zone() -> None:
    numbers = [(s.part, s.number) for s in snapshots(ZONEINFO_NEW * 2, "zoneinfo")]
    assert sorted(numbers) == sorted((part, n) for part in ("Node 0", "Node 0, zone Normal") for n in (0, 1))


def test_a_protection_line_a_mailer_cut_is_joined() -> None:
    text = ZONEINFO_NEW.replace("(0, 0, 12, 13)", "(0, 0,\n12, 13)")
    zone = {s.part: values(s) for s in snapshots(text, "zoneinfo")}["Node 0, zone Normal"]
    assert zone["protection 3"] == 13
    assert not unread(text)


def test_buddyinfo_gives_blocks_by_order_also_when_wrapped() -> None:
    plain = "Node 0, zone      DMA      1      0      1      0      2      1      1      0      1      1      3\n"
    cut = plain.replace("1      0      1      1      3\n", "1\n    0      1      1      3\n")
    for text in (plain, cut, f"/proc/buddyinfo:{plain}"):
        (found,) = snapshots(text, "buddyinfo")
        assert found.part == "Node 0, zone DMA"
        assert found.free_by_order == (1, 0, 1, 0, 2, 1, 1, 0, 1, 1, 3)
        assert not unread(text)


def test_pagetypeinfo_has_orders_by_type_and_page_blocks() -> None:
    text = (
        "Page block order: 9\nPages per block:  512\n\n"
        "Free pages count per migrate type at order       0      1      2 \n"
        "Node    0, zone   Normal, type    Unmovable      7    278 >100000 \n"
        "Node    0, zone   Normal, type      Movable   6142   9357   3916 \n\n"
        "Number of blocks type     Unmovable      Movable  Reclaimable \n"
        "Node 0, zone   Normal          100          200           30 \n"
    )
    found = {snapshot.part: snapshot for snapshot in snapshots(text, "pagetypeinfo")}
    assert found["Node 0, zone Normal, type Movable"].free_by_order == (6142, 9357, 3916)
    assert values(found["Node 0, zone Normal, type Unmovable"])["capped"] == 1
    assert values(found["Node 0, zone Normal, blocks"]) == {"Unmovable": 100, "Movable": 200, "Reclaimable": 30}
    assert not snapshots(text, "buddyinfo")
    assert not unread(text)


@pytest.mark.parametrize("nr_fields", [4, 11, 15, 17, 20])
def test_diskstats_of_every_era_are_read(nr_fields: int) -> None:
    text = "$ cat /proc/diskstats\n   8       0 sda " + " ".join(str(n + 1) for n in range(nr_fields)) + "\n"
    (found,) = snapshots(text, "diskstats")
    got = values(found)
    assert (found.part, got["major"], got["minor"]) == ("sda", 8, 0)
    assert got["sectors_written"] == (4 if nr_fields == 4 else 7)
    assert got.get("flush_ms") == (17 if nr_fields >= 17 else None)
    assert ("field 20" in got) == (nr_fields == 20)


@pytest.mark.parametrize(("first", "whole"), [(4, 11), (9, 11), (11, 15), (11, 17), (12, 17)])
def test_diskstats_a_mailer_cut_are_joined(first: int, whole: int) -> None:
    words = [str(n + 1) for n in range(whole)]
    text = f"   8       0 sda {' '.join(words[:first])}\n{' '.join(words[first:])}\n   8 16 sdb {' '.join(words)}\n"
    found = {snapshot.part: values(snapshot) for snapshot in snapshots(text, "diskstats")}
    assert found["sda"] == found["sdb"] | {"minor": 0}
    assert not unread(text)


def test_a_device_of_its_own_file_is_named_by_the_path() -> None:
    numbers = "  5374  388 276 358 2147 340 130 99 0 3 4 0 0 0 0 7 8"
    for text in (f"/sys/block/sda/stat:{numbers}\n", f"$ cat /sys/block/sda/stat\n{numbers}\n"):
        (found,) = snapshots(text, "block stat")
        assert (found.part, values(found)["writes"]) == ("sda", 2147)
    (found,) = snapshots("/sys/block/sda/inflight:       0       13\n", "block inflight")
    assert values(found) == {"reads_in_flight": 0, "writes_in_flight": 13}
    assert unread("Dirty: 1 kB\n1 2 3 4 5 6 7 8 9 10 11\n") == ["1 2 3 4 5 6 7 8 9 10 11"]


PSI = "some avg10=0.10 avg60=2.00 avg300=3.85 total=15\nfull avg10=0.20 avg60=3.00 avg300=4.95 total=25\n"


@pytest.mark.parametrize(
    ("text", "source"),
    [
        (PSI, "pressure"),
        (f"$ cat /proc/pressure/io\n{PSI}", "pressure io"),
        ("".join(f"/proc/pressure/io:{line}\n" for line in PSI.splitlines()), "pressure io"),
        (f"==> /proc/pressure/io <==\n{PSI}", "pressure io"),
        (PSI.replace(" total", "\ntotal"), "pressure"),
    ],
)
def test_pressure_is_named_only_where_the_text_names_it(text: str, source: str) -> None:
    found = {snapshot.part: values(snapshot) for snapshot in snapshots(text, source)}
    assert found["some"] == {"avg10": 0.1, "avg60": 2, "avg300": 3.85, "total_us": 15}
    assert found["full"]["avg300"] == 4.95
    assert not unread(text)


def test_several_pressure_files_of_one_command_come_in_its_order() -> None:
    text = f"$ cat /proc/pressure/cpu /proc/pressure/memory\n{PSI.splitlines()[0]}\n{PSI}"
    assert [(s.source, s.part) for s in of(Snapshot, text)] == [
        ("pressure cpu", "some"),
        ("pressure memory", "some"),
        ("pressure memory", "full"),
    ]


def test_pressure_of_a_cgroup_has_its_place() -> None:
    text = "".join(f"/sys/fs/cgroup/app.slice/io.pressure:{line}\n" for line in PSI.splitlines())
    assert {snapshot.place for snapshot in snapshots(text, "pressure io")} == {"/app.slice"}


SLABINFO = (
    "slabinfo - version: 2.1\n"
    "# name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab> : tunables <limit> <batchcount> "
    "<sharedfactor> : slabdata <active_slabs> <num_slabs> <sharedavail>\n"
    "xfs_inode         180000 190000   1024   32    8 : tunables    0    0    0 : slabdata   5938   5938      0\n"
    "dentry            172494 172500    192   21    1 : tunables    0    0    0 : slabdata   8214   8214      0\n"
)


def test_slabinfo_has_a_snapshot_a_cache() -> None:
    found = {snapshot.part: values(snapshot) for snapshot in snapshots(SLABINFO, "slabinfo")}
    assert found["xfs_inode"]["num_objs"] == 190000
    assert found["dentry"]["active_slabs"] == 8214
    assert not unread(SLABINFO)


def test_slabinfo_a_mailer_cut_is_joined() -> None:
    text = SLABINFO.replace(" : slabdata   ", "\n: slabdata   ").replace("<limit> <batch", "<limit>\n<batch")
    found = {snapshot.part: values(snapshot) for snapshot in snapshots(text, "slabinfo")}
    assert found["xfs_inode"]["active_slabs"] == 5938
    assert not unread(text)


def test_slabtop_is_read() -> None:
    text = (
        " Active / Total Objects (% used)    : 1142318 / 1499384 (76.2%)\n"
        " Minimum / Average / Maximum Object : 0.01K / 0.23K / 50.27K\n\n"
        "  OBJS ACTIVE  USE OBJ SIZE  SLABS OBJ/SLAB CACHE SIZE NAME                   \n"
        "172494 172494 100%    0.19K   8214       21     32856K dentry                 \n"
    )
    (found,) = snapshots(text, "slabtop")
    assert (found.part, values(found)["cache_size_kib"], values(found)["obj_size_kib"]) == ("dentry", 32856, 0.19)
    assert not unread(text)


def test_bdi_stats_of_debugfs_are_named_by_their_folder() -> None:
    lines = (
        "BdiWriteback:            16 kB\nBdiDirtyThresh:       1000 kB\nBdiWriteBandwidth: "
        "  2048 kBps\nb_dirty:        3\nstate:  1\n"
    )
    text = f"# cat /sys/kernel/debug/bdi/8:0/stats\n{lines}"
    (found,) = snapshots(text, "bdi stats")
    assert found.part == "8:0"
    assert values(found) == {
        "BdiWriteback": 16,
        "BdiDirtyThresh": 1000,
        "BdiWriteBandwidth": 2048,
        "b_dirty": 3,
        "state": 1,
    }
    assert not unread(text)


def test_io_of_a_task_is_named_by_its_pid() -> None:
    text = "$ cat /proc/812/io\nrchar: 10\nwchar: 20\nread_bytes: 4096\ncancelled_write_bytes: 0\n"
    (found,) = snapshots(text, "pid io")
    assert (found.part, values(found)["wchar"]) == ("812", 20)


@pytest.mark.parametrize(
    "text",
    [
        "Linux box 6.1.0-13-amd64 #1 SMP PREEMPT_DYNAMIC Debian 6.1.55-1 (2023-09-29) x86_64 GNU/Linux\n",
        "Linux version 6.1.0-13-amd64 (debian-kernel@x) (gcc 12) #1 SMP\n",
        "Linux 6.1.0-13-amd64 (box) \t01/02/2024 \t_x86_64_\t(4 CPU)\n",
        "$ uname -r\n6.1.0-13-amd64\n",
        "/proc/version:Linux version 6.1.0-13-amd64 (debian-kernel@x) (gcc 12) #1 SMP\n",
        "Linux box 6.1.0-13-amd64 #1 SMP PREEMPT_DYNAMIC Debian 6.1.55-1\n(2023-09-29) x86_64 GNU/Linux\n",
    ],
)
def test_the_kernel_is_known_from_any_of_its_prints(text: str) -> None:
    assert [fact.release for fact in of(KernelVersion, text)] == ["6.1.0-13-amd64"]


def test_the_lines_add_up_in_a_mail_of_many_things() -> None:
    text = f"Hello,\n\n{MEMINFO}\nand\n\n{ZONEINFO_NEW}\n{PSI}\n{SLABINFO}thanks\n"
    account = read(text).account
    assert account.lines == text.count("\n")
    assert account.events + account.known_non_events + account.unread == account.lines
    assert account.unread == 3
