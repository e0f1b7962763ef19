# SPDX-License-Identifier: GPL-2.0-or-later
"""Tasks that wait: who holds up whom."""

from pageout.diagnose.findings import ERROR, INFO, WARNING
from pageout.readers.facts import LogLine
from tests.diagnose.build import findings, given, snapshot, task

DIRTY = (
    "__schedule schedule io_schedule_timeout balance_dirty_pages balance_dirty_pages_ratelimited generic_perform_write"
)
FAULT = "schedule jbd2_log_wait_commit jbd2_log_do_checkpoint add_transaction_credits start_this_handle jbd2__journal_start ext4_page_mkwrite do_page_mkwrite"
COMMIT = (
    "schedule io_schedule folio_wait_bit_common write_cache_pages jbd2_journal_commit_transaction kjournald2 kthread"
)
TEARDOWN = "__schedule schedule wb_wait_for_completion mem_cgroup_css_free css_free_rwork_fn process_one_work"
SYNC = "__schedule schedule wb_wait_for_completion sync_inodes_sb iterate_supers ksys_sync"
HIGH_THROTTLE = "mem_cgroup_handle_over_high exit_to_usermode_loop do_syscall_64"
TAG = "__schedule schedule io_schedule blk_mq_get_tag blk_mq_submit_bio ext4_writepages wb_workfn"
MUTEX = "schedule schedule_preempt_disabled __mutex_lock mutex_lock some_ioctl"


def gone(line: int = 900) -> LogLine:
    return LogLine(line, "device gone", "nvme0: removed", "nvme0n1", 1.0)


def test_a_writer_at_the_dirty_limit_is_not_said_to_have_a_dead_device_without_proof() -> None:
    found = findings(given(task(DIRTY, blocked_s=None)))["dirty-limit-wait"]

    assert found.severity == WARNING
    assert found.confidence == "low"
    assert any("dead or gone" in unknown for unknown in found.unknown)
    assert not found.is_not


def test_a_writer_at_the_dirty_limit_of_a_device_that_went_waits_for_ever() -> None:
    found = findings(given(task(DIRTY), gone()))["device-dead"]

    assert found.severity == ERROR
    assert "nvme0n1" in found.title
    assert 900 in [one.line for one in found.evidence]


def test_the_journal_waiting_for_those_who_wait_for_it_is_a_circle() -> None:
    faults = [task(FAULT, f"CPU {n}/KVM", 200 + n) for n in range(4)]
    lock = "schedule rwsem_down_read_slowpath down_read do_madvise"
    found = findings(given(task(COMMIT, "jbd2/vda1-8", 7), *faults, task(lock, "worker", 9)))

    finding = found["journal-page-deadlock"]
    assert finding.severity == ERROR
    assert finding.title.startswith("jbd2/vda1-8:7")
    assert "4 of 6" in finding.detail
    assert "mmap_lock" in finding.detail
    assert any("dirty limits" in text for text in finding.is_not)


def test_a_commit_without_faulting_tasks_is_no_circle() -> None:
    found = findings(given(task(COMMIT, "jbd2/vda1-8", 7), task(MUTEX, "a", 8)))

    assert "journal-page-deadlock" not in found


def test_a_dead_cgroups_worker_is_told_to_be_harmless() -> None:
    found = findings(given(task(TEARDOWN, "kworker/3:1", 5, workqueue="cgroup_destroy css_free_rwork_fn")))

    assert found["cgroup-teardown-writeback"].severity == INFO
    assert "122 s" in found["cgroup-teardown-writeback"].detail


def test_a_dead_cgroups_worker_beside_a_stuck_device_is_not_harmless() -> None:
    found = findings(given(task(TEARDOWN, "kworker/3:1", 5), task(TAG, "kworker/u8:1", 6)))

    assert "cgroup-teardown-writeback" not in found
    assert found["waits-tag"].title.startswith("2 tasks wait; at the bottom kworker/u8:1:6")


def test_sync_says_how_to_know_the_time_left() -> None:
    found = findings(given(task(SYNC, "sync", 22)))["sync-waits-for-flusher"]

    assert any("time left" in advice for advice in found.advice)
    assert found.severity == WARNING


def test_memory_high_is_not_the_dirty_limits() -> None:
    found = findings(given(task(HIGH_THROTTLE, blocked_s=None)))["memory-high-throttle"]

    assert found.confidence == "high"
    assert any("dirty limits" in text for text in found.is_not)


def test_guesses_on_a_stack_do_not_make_it_the_dirty_limits() -> None:
    found = findings(given(task("schedule ?balance_dirty_pages ?generic_perform_write __mutex_lock mutex_lock")))

    assert "dirty-limit-wait" not in found
    assert "waits-lock" in found


def test_nine_victims_and_one_holder_are_one_finding() -> None:
    victims = [task(MUTEX, f"v{n}", n + 1, blocker=("holder", 77)) for n in range(9)]

    found = findings(given(*victims))

    assert len(found) == 1
    assert "holder" in next(iter(found.values())).title


def test_a_task_reported_twice_counts_once() -> None:
    found = findings(given(task(MUTEX, "a", 8), task(MUTEX, "a", 8, line=4000)))["waits-lock"]

    assert "1 waits for a lock" in found.detail


def test_sleeping_tasks_of_a_full_listing_do_not_count() -> None:
    sleepers = [task("schedule do_nanosleep hrtimer_nanosleep", f"s{n}", n + 1, state="S") for n in range(5)]

    assert set(findings(given(*sleepers))) == {"cannot-tell"}


def test_counters_far_below_the_threshold_clear_the_dirty_limits() -> None:
    counters = snapshot("vmstat", {"nr_dirty": 500, "nr_writeback": 0, "nr_dirty_threshold": 250_000,
                                   "nr_dirty_background_threshold": 125_000})  # fmt: skip

    found = findings(given(counters, file="v.txt"), given(task(TAG, "kworker/u8:1", 6)))["waits-tag"]

    assert any("v.txt" in text or "balance_dirty_pages" in text for text in found.is_not)


UPDATES = "__schedule schedule jbd2_journal_commit_transaction kjournald2 kthread"
STARTS = "schedule wait_transaction_locked start_this_handle jbd2__journal_start ext4_dirty_inode"


def test_a_commit_that_waits_for_handles_is_not_said_to_wait_for_its_disk() -> None:
    found = findings(given(task(UPDATES, "jbd2/sda1-8", 7), task(STARTS, "a", 8), task(STARTS, "b", 9)))

    finding = found["waits-commit-updates"]
    assert "open handles" in finding.title
    assert "not among these stacks" in finding.detail
    assert "hardware" not in finding.detail


def test_the_task_with_the_open_handle_is_named_before_its_victims() -> None:
    holder = "schedule rwsem_down_write_slowpath down_write ext4_xattr_inode_iget ext4_xattr_set_handle ext4_create"
    found = findings(given(task(UPDATES, "jbd2/sda1-8", 7), task(STARTS, "a", 8), task(holder, "culprit", 9)))

    (finding,) = (one for name, one in found.items() if name.startswith("waits-"))
    assert "likely waits for culprit:9" in finding.title


def test_locks_without_their_holder_are_said_to_be_so() -> None:
    found = findings(given(task("schedule rwsem_down_write_slowpath down_write ext4_file_write_iter", "a", 8)))

    assert "not among these stacks" in found["waits-inode-lock"].detail
    assert "who holds the lock" in found["waits-inode-lock"].unknown


def test_an_unknown_place_is_named_by_its_function() -> None:
    found = findings(given(task("__schedule schedule wait_for_the_moon probe_moon", "lander", 8)))

    assert found["waits-unknown"].title.startswith("lander:8 stands in wait_for_the_moon")


def test_two_tasks_wait_and_one_waits() -> None:
    two = findings(given(task(TAG, "a", 1), task(TAG, "b", 2)))["waits-tag"].title
    one = findings(given(task(TAG, "a", 1)))["waits-tag"].title

    assert two.startswith("a:1, b:2 wait for")
    assert one.startswith("a:1 waits for")


def test_trouble_of_hours_ago_is_not_why_a_task_waits_now() -> None:
    now = task(TAG, "a", 1, stamp_s=90_000.0)

    assert "device-dead" not in findings(given(now, gone()))
    assert "device-dead" in findings(given(task(TAG, "a", 1, stamp_s=60.0), gone()))


def test_a_journal_behind_a_device_that_went_is_the_devices_fault() -> None:
    found = findings(given(task(STARTS, "a", 1), task(UPDATES, "jbd2/nvme0n1-8", 2), gone()))

    assert "nvme0n1 is gone" in found["device-dead"].title


def test_a_server_that_does_not_answer_is_the_device_of_its_writers() -> None:
    silent = LogLine(5, "server not responding", "nfs: server filer01 not responding, still trying", "filer01", None)

    found = findings(given(task(DIRTY, "rsync", 77), silent))["device-dead"]

    assert found.title.startswith("filer01 does not answer, and rsync:77 waits")
