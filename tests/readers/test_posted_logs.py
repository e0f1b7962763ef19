# SPDX-License-Identifier: GPL-2.0-or-later
"""Logs and stacks that people posted, where they are at hand: what must come out of each is known."""

import re

import pytest

from pageout.readers.facts import Fact, KernelVersion, OomReport, StackTable, TaskStack
from pageout.readers.read import Input, read_input
from pageout.vocabulary.errors import TraceError
from tests.conftest import ROOT

REAL = ROOT.parent / "shared" / "realdata"


def posted(name: str) -> Input:
    if not (REAL / name).exists():
        pytest.skip(f"no {REAL / name} here")
    return read_input(str(REAL / name))


def names(fact: Fact) -> list[str]:
    assert isinstance(fact, TaskStack | OomReport)
    return [frame.function for frame in fact.frames if not frame.guess]


# file, lines that may stay unread (prose), facts of each class
FILES = [
    ("hung-task/bugzilla-218011-ext4-nine-tasks-2023.txt", 11, {"TaskStack": 10, "KernelVersion": 1, "Mount": 1}),
    ("hung-task/cloudflare-612-wb-completion.txt", 0, {"TaskStack": 1, "KernelVersion": 1}),
    ("hung-task/ming-lei-unplugged-nvme-bdp-stack.txt", 0, {"TaskStack": 1}),
    ("hung-task/premont-over-high-stack.txt", 0, {"TaskStack": 1}),
    ("hung-task/wahren-sdcard-sync.txt", 0, {"TaskStack": 1, "KernelVersion": 1}),
    ("oom/chris-down-mglru-memcg-32m-2024.txt", 0, {"OomReport": 2, "KernelVersion": 1}),
    ("oom/sharbiani-memcg-hang-2019-quoted.txt", 2, {"OomReport": 2, "KernelVersion": 1}),
    ("stack/berthels-2010-47.txt", 0, {"StackTable": 1}),
    ("stack/ppc64-2023-dummy-frame.txt", 0, {"StackTable": 1}),
]


@pytest.mark.parametrize(("name", "prose", "expected"), FILES)
def test_every_line_is_accounted_for_and_every_report_found(name: str, prose: int, expected: dict[str, int]) -> None:
    found = posted(name)
    account = found.account
    assert account.lines == len((REAL / name).read_bytes().splitlines())
    assert account.events + account.known_non_events + account.unread == account.lines
    assert account.unread <= prose
    counts: dict[str, int] = {}
    for fact in found.facts:
        counts[type(fact).__name__] = counts.get(type(fact).__name__, 0) + 1
    assert counts == expected


def test_nine_victims_wait_at_known_sites_and_only_guesses_name_dirty_pages() -> None:
    tasks = [fact for fact in posted(FILES[0][0]).facts if isinstance(fact, TaskStack)]
    assert {(task.state, task.blocked_s, task.kernel, task.source) for task in tasks} == {
        ("D", 122, "6.5.7-custom", "hung task")
    }
    assert (tasks[0].comm, tasks[0].pid) == ("jbd2/nvme0n1p2-", 127)
    assert [task.comm for task in tasks[2:6]] == [f"CPU {n}/KVM" for n in range(4)]
    assert sum("jbd2_log_wait_commit" in names(task) for task in tasks) >= 2
    assert not any("balance_dirty_pages_ratelimited_flags" in names(task) for task in tasks)
    assert all(task.frames[-1].line > task.line for task in tasks)


def test_the_task_whose_lines_were_broken_is_whole() -> None:
    task, kernel = posted("hung-task/wahren-sdcard-sync.txt").facts
    assert isinstance(task, TaskStack)
    assert isinstance(kernel, KernelVersion)
    assert (task.comm, task.pid, task.state, task.blocked_s, task.kernel) == ("sync", 22272, "D", 120, kernel.release)
    assert "wb_wait_for_completion" in names(task)


def test_a_stack_of_proc_ends_in_throttling() -> None:
    (gone,) = posted("hung-task/ming-lei-unplugged-nvme-bdp-stack.txt").facts
    (high,) = posted("hung-task/premont-over-high-stack.txt").facts
    assert names(gone)[0] == "balance_dirty_pages"
    assert names(high)[0] == "mem_cgroup_handle_over_high"


def test_a_memcg_full_of_dirty_pages_says_so() -> None:
    report = posted("oom/chris-down-mglru-memcg-32m-2024.txt").facts[1]
    assert isinstance(report, OomReport)
    stat = {name: value.number for name, value in report.memcg_stat.items()}
    assert (stat["file_dirty"], stat["file_writeback"], stat["pgscan_kswapd"]) == (26923008, 0, 0)
    assert report.memcg_kib["limit"].number == 32768
    assert report.memcg is not None
    assert report.memcg.endswith("run-u640.service")
    assert [task.pid for task in report.tasks] == [128825, 128826]
    assert report.killed[0][0] == 128825


def test_two_quoted_reports_are_two_and_have_hardly_a_dirty_page() -> None:
    first, second = (
        fact for fact in posted("oom/sharbiani-memcg-hang-2019-quoted.txt").facts if isinstance(fact, OomReport)
    )
    assert (first.memcg, first.memcg_stat["dirty"].number) == ("/leaker", 132 * 1024)
    assert "mem_cgroup_oom_synchronize" in names(first)
    assert (second.gfp_mask, second.killed) == ("0x600040(GFP_NOFS)", ())


@pytest.mark.parametrize(
    ("name", "rows", "depth"), [("berthels-2010-47", 47, 7568), ("ppc64-2023-dummy-frame", 17, 4144)]
)
def test_stack_tables_are_whole(name: str, rows: int, depth: int) -> None:
    (table,) = posted(f"stack/{name}.txt").facts
    assert isinstance(table, StackTable)
    assert (len(table.rows), table.announced, table.rows[0][0], table.problem) == (rows, rows, depth, "")


def test_every_posted_file_is_read_or_refused_with_a_line() -> None:
    if not REAL.exists():
        pytest.skip(f"no {REAL} here")
    for path in sorted(path for path in REAL.rglob("*.*") if path.is_file()):
        try:
            account = read_input(str(path)).account
        except TraceError as error:
            said = str(error)
            assert re.match(re.escape(f"{path}:") + r"\d+: ", said), said
        else:
            assert account.events + account.known_non_events + account.unread == account.lines
