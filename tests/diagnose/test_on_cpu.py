# SPDX-License-Identifier: GPL-2.0-or-later
"""Tasks that run and do not give up their CPU are not tasks that wait."""

import pytest

from pageout.diagnose.findings import ERROR, WARNING
from pageout.diagnose.wait_sites import asleep
from pageout.readers.facts import LogLine
from tests.diagnose.build import findings, given, task

TRIM = "scan_bitmap trim_group trim_all some_ioctl do_syscall_64"
TICK = "dump_stack watchdog_timer_fn __hrtimer_run_queues hrtimer_interrupt asm_sysvec_apic_timer_interrupt"
SLEEPS = "__schedule schedule io_schedule folio_wait_writeback ext4_sync_file"


def stall(line: int = 1) -> LogLine:
    return LogLine(line, "rcu stall", "rcu: INFO: rcu_preempt self-detected stall on CPU", None, 1.0)


def test_a_soft_lockup_is_a_task_that_runs() -> None:
    found = findings(given(task(TRIM, "trimmer", 7, source="soft lockup", state=None, blocked_s=23)))

    assert found["cpu-stuck"].severity == ERROR
    assert "trimmer:7 keeps a CPU for 23 s" in found["cpu-stuck"].title
    assert not any(name.startswith("waits-") for name in found)


def test_what_the_tick_prints_above_is_not_where_the_task_is() -> None:
    hog = task(f"{TICK} slow_walk big_loop", "walker", 7, source="soft lockup", state=None, blocked_s=22)

    assert "slow_walk" in findings(given(hog))["cpu-stuck"].title


def test_a_watchdogs_stack_without_its_line_is_a_lockup_too() -> None:
    hog = task(f"{TICK} slow_walk big_loop", "walker", 7, source="backtrace", state=None, blocked_s=None)

    assert "slow_walk" in findings(given(hog))["cpu-stuck"].title


def test_a_task_that_spins_is_told_to_be_a_victim() -> None:
    spins = "native_queued_spin_lock_slowpath _raw_spin_lock take_list checkpoint_list"
    found = findings(given(task(spins, "k", 8, source="soft lockup", state=None, blocked_s=40)))["cpu-stuck"]

    assert "take_list" in found.title
    assert "victim" in found.detail
    assert any("holds the lock" in text for text in found.unknown)


def test_a_stall_names_the_task_behind_it_and_not_an_idle_one() -> None:
    idle = task("acpi_idle_enter cpuidle_enter_state do_idle", "swapper/3", 0, source="backtrace", state=None)
    busy = task("walk_tree search_all", "walker", 2, source="backtrace", state=None, blocked_s=None)

    assert "walker:2" in findings(given(stall(), idle, busy))["cpu-stuck"].title


def test_a_stall_without_a_stack_says_that_there_is_none() -> None:
    found = findings(given(stall()))["cpu-stuck"]

    assert found.severity == WARNING
    assert "no stack" in found.title


@pytest.mark.parametrize(
    ("functions", "more", "waits"),
    [
        (SLEEPS, {}, True),
        (SLEEPS, {"source": "backtrace", "state": None}, True),
        ("fault_in something", {"source": "backtrace", "state": None}, False),
        ("__schedule preempt_schedule_common __cond_resched loop", {"source": "backtrace", "state": None}, False),
        (SLEEPS, {"source": "soft lockup", "state": None}, False),
        ("unlink_file free_pgtables", {"source": "locks held", "state": None}, False),
        ("worker_thread kthread ret_from_fork", {"source": "proc stack", "state": None}, False),
        ("?io_schedule ?schedule", {"source": "backtrace", "state": None}, False),
    ],
)
def test_who_sleeps_is_told_from_the_scheduler_on_its_stack(
    functions: str, more: dict[str, object], waits: bool
) -> None:
    assert asleep(task(functions, **more)) is waits  # type: ignore[arg-type]


def test_a_running_task_does_not_clear_the_dirty_limits() -> None:
    found = findings(given(task(TRIM, "trimmer", 7, source="soft lockup", state=None, blocked_s=23)))["cpu-stuck"]

    assert not any("balance_dirty_pages" in text for text in found.is_not)


def test_a_crash_comes_before_what_hangs_after_it() -> None:
    bug = LogLine(300, "kernel bug", "kernel BUG at fs/some/file.c:123!", None, 1.0)
    died = task("some_write do_writepages", "kworker/1:1", 7, source="backtrace", state=None, line=310, blocked_s=None)
    after = task(SLEEPS, "late", 10)
    found = findings(given(bug, died, after))["kernel-crash"]

    assert found.title == "kworker/1:1:7 crashed in the kernel, in some_write: kernel BUG at fs/some/file.c:123"
    assert "1 task that waits" in found.detail
    assert 300 in [one.line for one in found.evidence]


def test_a_bug_in_prose_without_a_stack_is_no_crash() -> None:
    assert "kernel-crash" not in findings(
        given(LogLine(3, "kernel bug", "kernel BUG at mm/a.c:1!", None, None), task(SLEEPS, pid=2))
    )
