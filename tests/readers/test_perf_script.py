# SPDX-License-Identifier: GPL-2.0-or-later
"""perf script in its three prefixes, with call chains."""

from tests.readers.traces import others, read, rows, segments

BEGIN = "mm_vmscan_direct_reclaim_begin: order=0 may_writepage=1 gfp_flags=GFP_KERNEL"
NAME = "mm_vmscan_direct_reclaim_begin"


def test_the_three_prefixes_give_task_cpu_and_time():
    found = read(
        f"tar 29776 666709.771979:   10101010 vmscan:{BEGIN}\n"
        f"tar 27409/28744 [003] 666709.771980: vmscan:{BEGIN}\n"
        f"   Web Content    313 [000]   666709.771981: vmscan:{BEGIN}\n"
        f"   jbd2/sda1-8   3000 [000]   666709.771982123:          1 vmscan:{BEGIN}\n"
        f"       swapper     0 [001]   666709.771983:  vmscan:{BEGIN}\n"
    )

    assert rows(found, NAME, "comm", "pid", "cpu", "time_ns") == [
        ("tar", 29776, None, 666709_771_979_000), ("tar", 28744, 3, 666709_771_980_000),
        ("Web Content", 313, 0, 666709_771_981_000), ("jbd2/sda1-8", 3000, 0, 666709_771_982_123),
        ("swapper", 0, 1, 666709_771_983_000),
    ]  # fmt: skip
    assert "perf script" in found.kind
    assert (found.account.events, found.account.unread) == (5, 0)


def test_call_chains_belong_to_the_sample_before():
    found = read(
        "# ========\n# captured on    : Mon Jan  1 00:00:00 2024\n# hostname : box\n# ========\n#\n"
        f"tar   313 [000]   1.000001: vmscan:{BEGIN}\n"
        "\tffffffff8117a3b0 try_to_free_pages+0x10 ([kernel.kallsyms])\n\t          3d6b4c vfs_read (/lib/my vmlinux)\n"
        "\t               0 [unknown] ([unknown])\n\n"
        "tar   313 [000]   1.000002:   10101010 cpu-clock: \n\t          3d6b4c vfs_read (/lib/vmlinux)\n\n"
    )

    assert found.events.stacks == {6: ("try_to_free_pages", "vfs_read", ""), 11: ("vfs_read",)}
    assert others(found) == [("cpu-clock", "")]
    assert segments(found) == [0, 0]
    assert (found.account.events, found.account.unread) == (2, 0)


def test_lost_samples_and_other_text_begin_segments():
    event = f"tar   313 [000]   1.000001: vmscan:{BEGIN}\n"

    found = read(
        f"$ perf script\n[ perf record: Woken up 1 times to write data ]\n{event}"
        f"tar   313 [000]   1.000002: PERF_RECORD_LOST lost 12\n{event}and now\n{event}"
    )

    assert segments(found) == [0, 1, 2]
    assert (found.events.lost, found.account.unread) == (12, 2)


def test_a_wrapped_sample_is_joined():
    found = read(
        "tar   313 [000]   1.000001: block:block_rq_issue: 8,0 W 4096 () 53248 + \n8 [tar]\n"
        f"tar   313 [000]   1.000001: vmscan:{BEGIN}\n"
    )

    assert rows(found, "block_rq_issue", "dev", "sector", "nr_sector") == [("8,0", 53248, 8)]
    assert (found.account.events, found.account.unread) == (2, 0)


def test_ftrace_lines_are_not_taken_for_samples_nor_samples_for_ftrace_lines():
    found = read(f" jbd2/sda1-8-3000 [000] .... 1.000001: {BEGIN}\n jbd2/sda1-8 3000 1.000001: vmscan:{BEGIN}\n")

    assert rows(found, NAME, "comm", "pid") == [("jbd2/sda1-8", 3000)] * 2
    assert dict(found.account.kinds) == {"ftrace text": 1, "perf script": 1}
    assert segments(found) == [0, 1]
