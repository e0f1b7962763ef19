# SPDX-License-Identifier: GPL-2.0-or-later
"""The road to OOM on whole machines: the kernel's report as text, the reasons as numbers, and who gets there first."""

import re
from pathlib import Path

import pytest

from pageout.engine import constants as c
from pageout.jit import INTERPRETED
from pageout.machine.simulate import Result, simulate
from pageout.report.oom import first_oom
from pageout.vocabulary.scenario import Disk, Filesystem, Machine, Scenario, Task
from tests.machine.test_memory import crowded, hog
from tests.machine.test_simulate import GIB, KIB, MIB, MS, S, file, io, machine, scenario

pytestmark = pytest.mark.skipif(INTERPRETED, reason="whole runs: compiled only")

LINE = re.compile(r"\[ *(\d+)\.(\d{6})\] (.*)")
INVOKED = re.compile(r"(\S+) invoked oom-killer: gfp_mask=0x([0-9a-f]+), order=(\d+), oom_adj=(-?\d+)")
KILLED = re.compile(r"Killed process (\d+) \((.+)\) vsz:(\d+)kB, anon-rss:(\d+)kB, file-rss:(\d+)kB")
SCORE = re.compile(r"Out of memory: kill process (\d+) \((.+)\) score (\d+) or a child")
ZONE = re.compile(r"Node 0 (DMA|DMA32|Normal) free:")
FIELD = re.compile(r"([a-z_()]+):(\d+)")
BUDDY = re.compile(r"Node 0 (DMA|DMA32|Normal): ((?:\d+\*\d+kB )+)= (\d+)kB")


def said(result: Result) -> list[str]:
    """The lines of the log without their times, which never run backwards."""
    times, lines = [], []
    for line in result.dmesg.splitlines():
        match = LINE.fullmatch(line)
        assert match, line
        times.append(int(match[1]) * 1_000_000 + int(match[2]))
        lines.append(match[3])
    assert times == sorted(times)
    return lines


def only(pattern: re.Pattern[str], lines: list[str]) -> re.Match[str]:
    (found,) = [match for line in lines if (match := pattern.fullmatch(line))]
    return found


@pytest.fixture(scope="module")
def killed() -> Result:
    return simulate(crowded(0))


def test_the_report_reads_as_the_kernels(killed: Result) -> None:
    lines = said(killed)
    start = next(i for i, line in enumerate(lines) if INVOKED.fullmatch(line))
    assert INVOKED.fullmatch(lines[start]).groups() == ("hog", "280da", "0", "0")  # type: ignore[union-attr]
    assert lines[start + 1 : start + 4] == [
        "hog cpuset=/ mems_allowed=0",
        "Pid: 1000, comm: hog Not tainted 2.6.34 #1",
        "Call Trace:",
    ]
    trace = [line.strip() for line in lines[start + 4 : lines.index("Mem-Info:")]]
    assert trace[0] == "dump_stack"
    order = [
        trace.index(name) for name in ("out_of_memory", "__alloc_pages_nodemask", "do_anonymous_page", "page_fault")
    ]
    assert order == sorted(order)
    score, victim = only(SCORE, lines), only(KILLED, lines)
    assert (score[1], score[2]) == (victim[1], victim[2]) == ("1000", "hog")
    assert int(victim[3]) == 4 * int(score[3])  # so young a task's score is its size
    assert 0 < int(victim[4]) < int(victim[3])


def test_the_numbers_of_the_report_agree_with_each_other(killed: Result) -> None:
    lines = said(killed)
    totals = {
        name: int(nr) for line in lines for name, nr in FIELD.findall(line) if not line.startswith(("Node", "CPU"))
    }
    zones = {match[1]: dict(FIELD.findall(line)) for line in lines if (match := ZONE.match(line))}
    assert list(zones) == ["DMA", "DMA32"]
    for name in ("active_anon", "inactive_anon", "active_file", "inactive_file", "free", "dirty", "writeback"):
        assert sum(int(zone[name]) for zone in zones.values()) == 4 * totals[name], name
    for match in filter(None, map(BUDDY.fullmatch, lines)):
        blocks = [tuple(map(int, part[:-2].split("*"))) for part in match[2].split()]
        assert [size for _, size in blocks] == [4 << order for order in range(11)]
        assert sum(nr * size for nr, size in blocks) == int(match[3]) == int(zones[match[1]]["free"])
    assert lines.count("lowmem_reserve[]: 0 0 0 0") == 1  # the highest zone keeps nothing from anybody
    assert "Total swap = 0kB" in lines
    assert "8192 pages RAM" in lines
    assert int(zones["DMA32"]["min"]) < int(zones["DMA32"]["low"]) < int(zones["DMA32"]["high"])


def test_each_zone_says_why_it_had_nothing_to_give(killed: Result) -> None:
    (event,) = killed.oom
    assert (event["victim"], event["victim_pid"], event["invoked_by"]) == ("hog", 1000, "hog")
    assert (event["order"], event["gfp"], event["panic"], event["swap_free_kib"]) == (0, "0x280da", None, 0)
    for zone in event["zones"]:
        assert zone["free_kib"] <= zone["high_kib"] + zone["reserve_kib"]
        lists = zone["lists"]
        assert zone["reclaimable"]["pages"] == lists["inactive_file"]["pages"] + lists["active_file"]["pages"]
        anon = lists["inactive_anon"]["pages"] + lists["active_anon"]["pages"]
        assert str(anon) in zone["reason"]
        assert zone["all_unreclaimable"] == (zone["unreclaimable_since_s"] is not None)
    blocks = first_oom(killed.document())
    assert "hog asked, order 0, gfp 0x280da; hog (1000) was killed" in str(blocks[0])
    assert len(blocks) == 3


def test_the_killed_tasks_memory_comes_back(killed: Result) -> None:
    arrays = killed.booted.arrays
    assert killed.vmstat["nr_anon_pages"] == 0
    assert killed.vmstat["nr_free_pages"] > 32 * 256 // 2
    assert not arrays["task"]["memdie"].any()
    assert killed.ending == "done"


def test_a_run_without_trouble_leaves_no_report() -> None:
    result = simulate(scenario(machine(64), (), hog(16)))
    assert result.oom == []
    assert first_oom(result.document()) == []
    assert all("used greatest stack depth" in line for line in said(result))


def two_hogs(**of_the_large: object) -> Scenario:
    return scenario(
        machine(32),
        (),
        hog(14, "small", hold_ns=20 * S),
        hog(40, "large", rate_bps=40 * MIB, start_delay_ns=S, **of_the_large),
    )


@pytest.mark.parametrize(
    ("keys", "victims"),
    [
        ({}, ["large"]),
        ({"oom_adj": -17}, ["small"]),
        ({"oom_adj": -3}, ["small", "large"]),
        ({"privileged": True}, ["small", "large"]),
    ],
)
def test_the_keys_of_a_task_decide_who_dies(keys: dict[str, object], victims: list[str]) -> None:
    result = simulate(two_hogs(**keys))
    assert [event["victim"] for event in result.oom][: len(victims)] == victims[: len(result.oom)]
    assert result.oom


def test_a_child_dies_for_its_parent() -> None:
    child = hog(4, "child", hold_ns=20 * S, parent="large")
    what = scenario(machine(32), (), child, hog(40, "large", rate_bps=40 * MIB, start_delay_ns=S))
    lines = said(simulate(what))
    assert [SCORE.fullmatch(line)[2] for line in lines if SCORE.fullmatch(line)] == ["large", "large"]  # type: ignore[index]
    assert [KILLED.fullmatch(line)[2] for line in lines if KILLED.fullmatch(line)] == ["child", "large"]  # type: ignore[index]


@pytest.mark.parametrize(("value", "words"), [(1, "panic_on_oom is selected"), (2, "Compulsory panic_on_oom")])
def test_panic_on_oom_ends_the_run_with_a_report(value: int, words: str) -> None:
    what = scenario(machine(32), (), hog(48), settings={"vm.panic_on_oom": value, "vm.oom_dump_tasks": 1})
    result = simulate(what)
    assert result.ending == "panic: out of memory, and vm.panic_on_oom is set"
    lines = said(result)
    assert words in lines[-1]
    assert lines[-1].startswith("Kernel panic - not syncing: ")
    table = lines.index("[ pid ]   uid  tgid total_vm      rss cpu oom_adj name")
    assert re.fullmatch(r"\[ 1000\]  1000  1000    13312 +\d+   [01]       0 hog", lines[table + 1])
    assert result.oom[0]["panic"] is not None
    assert result.oom[0]["victim"] is None


def test_device_errors_are_in_the_log() -> None:
    what = scenario(
        machine(64, write_error_every=3),
        (file(16),),
        io("write", 16, "writer", bs_bytes=64 * KIB, end_fsync=True),
        length_ns=5 * S,
    )
    result = simulate(what)
    lines = said(result)
    errors = [line for line in lines if re.fullmatch(r"end_request: I/O error, dev sda, sector \d+", line)]
    assert len(errors) == result.document()["devices"]["sda"]["write_errors"] > 0
    lost = [line for line in lines if re.fullmatch(r"Buffer I/O error on device sda, logical block \d+", line)]
    assert len(lost) == 10 < result.metrics["pages_lost"]  # ten in five seconds
    assert lines.count("lost page write due to I/O error on sda") == 10


def test_a_stack_too_large_for_one_block_fails_with_a_report() -> None:
    what = scenario(
        machine(32),
        (file(GIB // MIB, "image"),),
        io("read", 256, "reader", bs_bytes=64 * KIB, rate_bps=100 * MIB, background=True),
        Task(name="fork", kind="fork", interval_ns=MS, lifetime_ns=10 * S, count=600),
        choices={"stack.bytes": 64 * KIB},
        prefill_bytes=32 * MIB,
    )
    result = simulate(what)
    failures = result.metrics["highorder_failures"]
    lines = said(result)
    reports = [line for line in lines if line == "fork: page allocation failure. order:4, mode:0xd0"]
    suppressed = [int(m[1]) for line in lines if (m := re.search(r"(\d+) callbacks suppressed", line))]
    assert 0 < len(reports) <= failures
    assert len(reports) + sum(suppressed) <= failures
    assert " copy_process" in lines


def test_a_task_that_does_not_move_is_reported_with_its_stack() -> None:
    what = scenario(
        machine(64, kind="throttled", write_bps=100 * KIB),
        (file(32),),
        io("write", 4, "writer", bs_bytes=64 * KIB, end_fsync=True),
        settings={"kernel.hung_task_timeout_secs": 2},
        length_ns=12 * S,
    )
    lines = said(simulate(what))
    first = lines.index("INFO: task writer:1000 blocked for more than 2 seconds.")
    assert lines[first + 1] == '"echo 0 > /proc/sys/kernel/hung_task_timeout_secs" disables this message.'
    assert re.fullmatch(r"writer +D [0-9a-f]{16} +\d+ +1000 +1 0x00000000", lines[first + 2])
    assert lines[first + 3 : first + 5] == ["Call Trace:", " wait_on_page_writeback"]
    assert " sys_fsync" in lines[first + 4 : first + 12]


def kswapd_stuck(design: str, kick: str) -> Scenario:
    """Most pages dirty on a fast disk and below the background threshold; kswapd is held up by a slow swap device."""
    disks = (
        Disk(name="sda", size_bytes=8 * GIB, kind="ssd", queue_depth=32),
        Disk(name="sdb", size_bytes=GIB, kind="throttled", write_iops=10, max_sectors_kb=4),
    )
    box = Machine(
        name="two", memory_bytes=64 * MIB, cpus=2, hz=1000, swap_bytes=16 * MIB, swap_disk="sdb", disks=disks,
        filesystem=Filesystem(disk="sda"),
    )  # fmt: skip
    return scenario(
        box,
        (file(64),),
        io("write", 24, "dirtier", bs_bytes=64 * KIB, background=True),
        *(hog(10, f"hog{i}", rate_bps=10 * MIB, start_delay_ns=S) for i in range(4)),
        design=design,
        choices={"reclaim.kick": kick},
        length_ns=20 * S,
        settings={"vm.dirty_ratio": 95, "vm.dirty_background_ratio": 90, "vm.dirty_writeback_centisecs": 0},
    )


def test_reclaim_that_may_not_write_comes_to_oom_where_reclaim_that_writes_does_not() -> None:
    """The direction of the article's S7, with nobody to help: the flushers are not asked."""
    writes, stays = (simulate(kswapd_stuck(design, "none")) for design in ("linux-2.6.34", "no-direct-writeback"))
    assert writes.oom == []
    assert writes.metrics["written_direct"] > 0
    assert stays.oom
    dirty = [zone["reclaimable"]["dirty"] for zone in stays.oom[0]["zones"]]
    files = [
        sum(zone["lists"][name]["pages"] for name in ("inactive_file", "active_file")) for zone in stays.oom[0]["zones"]
    ]
    assert sum(dirty) > sum(files) // 2 > 0
    assert "dirty" in stays.oom[0]["zones"][1]["reason"]


REAL = Path("../shared/realdata/oom")
REAL_INVOKED = re.compile(
    r"(\S+) invoked oom-killer: gfp_mask=0x([0-9a-f]+).*order=(-?\d+), oom_(?:score_)?adj=(-?\d+)"
)
REAL_KILLED = re.compile(
    r"Killed process (\d+) \((.+?)\),? (?:total-vm|vsz):(\d+)kB, anon-rss:(\d+)kB, file-rss:(\d+)kB"
)


def read_reports(text: str) -> list[tuple[str, str]]:
    """What a reader of real reports takes from one: who asked, who was killed."""
    flat = re.sub(r"^[> ]*(?:\[ *[\d.]+\] ?)?", "", text, flags=re.MULTILINE)
    asked = [match[1] for match in REAL_INVOKED.finditer(flat)]
    died = [match[2] for match in REAL_KILLED.finditer(flat)]
    return list(zip(asked, died, strict=False))


def test_a_reader_of_real_reports_reads_ours(killed: Result, root: Path) -> None:
    folder = (root / REAL).resolve()
    if not folder.is_dir():
        pytest.skip("no real reports here")
    for path in sorted(folder.glob("*.txt")):
        assert read_reports(path.read_text(errors="replace")), path.name
    assert read_reports(killed.dmesg) == [("hog", "hog")]


def test_the_log_is_of_the_run_and_not_of_how_it_was_looked_at() -> None:
    first, again = simulate(crowded(0)), simulate(crowded(0), check=2000)
    assert first.dmesg == again.dmesg
    assert int(first.booted.arrays["stat"]["klog_nr"][0]) < c.KLOG_RECORDS
