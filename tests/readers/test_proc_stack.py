# SPDX-License-Identifier: GPL-2.0-or-later
"""/proc/PID/stack, one or many, however they were collected."""

import pytest

from pageout.readers.facts import TaskStack
from tests.readers.kernel_logs import read

ONE = "[<0>] balance_dirty_pages+0x649/0x2500\n[<0>] ext4_file_write_iter+0x130/0x2c0 [ext4]\n"
TWO = "[<0>] rq_qos_wait+0xbb/0x130\n[<0>] wbt_wait+0x9b/0xd0\n"
END = "[<0>] entry_SYSCALL_64_after_hwframe+0x63/0xcd\n"


def stacks(text: str) -> list[tuple[int | None, str | None, list[str]]]:
    found = [fact for fact in read(text)[0] if isinstance(fact, TaskStack)]
    assert {fact.source for fact in found} <= {"proc stack"}
    return [(fact.pid, fact.comm, [frame.function for frame in fact.frames]) for fact in found]


BDP, WBT = ["balance_dirty_pages", "ext4_file_write_iter"], ["rq_qos_wait", "wbt_wait"]


@pytest.mark.parametrize(
    ("text", "pids"),
    [
        (f"==> /proc/12/stack <==\n{ONE}\n==> /proc/34/stack <==\n{TWO}", [12, 34]),
        (f"# cat /proc/12/stack\n{ONE}root@host:~# cat /proc/34/stack\n{TWO}", [12, 34]),
        (f"$ sudo cat /proc/12/task/34/stack\n{ONE}{END}{TWO}", [34, None]),
        (f"{ONE}\n{TWO}", [None, None]),
        ("".join(f"/proc/12/stack:{line}\n" for line in ONE.splitlines())
         + "".join(f"/proc/34/stack:{line}\n" for line in TWO.splitlines()), [12, 34]),
        (f"/proc/12/stack:\n{ONE}/proc/34/stack:\n{TWO}", [12, 34]),
        (ONE.replace("[<0>]", "[<ffffffff81180123>]") + "[<ffffffffffffffff>] 0xffffffffffffffff\n" + TWO,
         [None, None]),
    ],
)  # fmt: skip
def test_every_way_to_collect_stacks_tells_them_apart(text: str, pids: list[int | None]) -> None:
    first, second = stacks(text)
    assert (first[0], second[0]) == tuple(pids)
    assert first[2][:2] == BDP
    assert second[2] == WBT
    assert read(text)[1].unread == 0


@pytest.mark.parametrize(
    ("heading", "pid", "comm"),
    [
        ("PID: 77 comm: dd", 77, "dd"), ("77 (dd)", 77, "dd"), ("dd 77", 77, "dd"), ("=== dd-77 ===", 77, "dd"),
        ("dd(77):", 77, "dd"), ("   77 D    dd", 77, "dd"), ("77", 77, None), ("and then I saw this:", None, None),
    ],
)  # fmt: skip
def test_a_line_above_may_name_the_task(heading: str, pid: int | None, comm: str | None) -> None:
    ((found_pid, found_comm, functions),) = stacks(f"{heading}\n{ONE}")
    assert (found_pid, found_comm, functions) == (pid, comm, BDP)


def test_a_quoted_stack_is_one_too() -> None:
    text = "".join(f"> > {line}\n" for line in ONE.splitlines())
    assert stacks(text) == [(None, None, BDP)]


def test_frames_of_a_log_are_not_of_proc() -> None:
    (fact,) = (
        fact
        for fact in read("".join(f"[ 1.5] {line}\n" for line in ONE.splitlines()))[0]
        if isinstance(fact, TaskStack)
    )
    assert fact.source == "backtrace"
